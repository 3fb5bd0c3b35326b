//! Receipts: one cursor for each user and channel, which only goes forward, told in batches; and
//! what is unread, counted by it.

mod session_stage;

use session_stage::dice::Dice;
use session_stage::{Guest, Stage, message, patterns};
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, Offset};
use starling_world::grants::Grants;
use std::collections::BTreeMap;

const ROOM: &str = "room";

fn reads(stage: &mut Stage, guest: &Guest, offset: u64) {
    let (key, offset) = (ChannelKey(1), Offset(offset));
    stage.event(guest.conn, EventUp::Read { key, offset });
}

fn asks(stage: &mut Stage, guest: &Guest, channels: &[&str]) -> Result<Vec<Unread>, CloseCode> {
    let request = 1 << 31;
    let channels = channels.iter().map(|name| (*name).into()).collect();
    stage.events(guest.conn);
    stage.event(guest.conn, EventUp::CountUnread { request, channels });
    let answer = |event| match event {
        EventDown::Unread { request: r, channels } if r == request => Some(Ok(channels)),
        EventDown::RequestRefused { request: r, code, .. } if r == request => Some(Err(code)),
        _ => None,
    };
    let answers: Vec<_> = stage.events(guest.conn).into_iter().filter_map(answer).collect();
    assert_eq!(answers.len(), 1, "exactly one answer");
    answers.into_iter().next().expect("it was just counted")
}

fn unread(stage: &mut Stage, guest: &Guest) -> (u32, u64, u64) {
    let Unread { count, read, top } = asks(stage, guest, &[ROOM]).expect("granted")[0];
    (count, read.0, top.0)
}

/// The cursors told since the last look, the newest of each.
fn told(stage: &mut Stage, guest: &Guest) -> BTreeMap<String, u64> {
    let cursors = stage.events(guest.conn).into_iter().filter_map(|event| match event {
        EventDown::Cursors { cursors, .. } => Some(cursors),
        _ => None,
    });
    cursors.flatten().map(|cursor| (cursor.subject, cursor.offset.0)).collect()
}

fn room(names: &[&str]) -> (Stage, Vec<Guest>) {
    let mut stage = Stage::new();
    let guests: Vec<_> = names.iter().map(|name| stage.guest_named(name)).collect();
    for guest in &guests {
        stage.subscribe(guest.conn, 1, ROOM);
    }
    (stage, guests)
}

#[test]
fn a_cursor_goes_forward_and_never_back_or_beyond_the_top() {
    let (mut stage, guests) = room(&["ann", "bob"]);
    for id in 0..5 {
        stage.say(guests[0].conn, ROOM, id).expect("accepted");
    }
    for (offset, stands) in [(3, 3), (2, 3), (0, 3), (4, 4), (99, 5)] {
        reads(&mut stage, &guests[1], offset);
        assert_eq!(unread(&mut stage, &guests[1]), (5 - stands as u32, stands, 5));
    }
}

#[test]
fn followers_are_told_in_batches_and_who_comes_later_is_told_all() {
    let (mut stage, guests) = room(&["ann", "bob"]);
    for id in 0..5 {
        stage.say(guests[0].conn, ROOM, id).expect("accepted");
    }
    stage.events(guests[0].conn);
    for offset in 1..=4 {
        reads(&mut stage, &guests[1], offset);
    }
    assert!(told(&mut stage, &guests[0]).is_empty(), "not before the next batch");
    stage.ticks_with(5, &[guests[0].conn, guests[1].conn]);
    let messages = stage.events(guests[0].conn);
    let cursors = |event: &EventDown| matches!(event, EventDown::Cursors { .. });
    assert_eq!(messages.iter().filter(|event| cursors(event)).count(), 1, "{messages:?}");
    stage.ticks_with(20, &[guests[0].conn, guests[1].conn]);
    assert!(told(&mut stage, &guests[0]).is_empty(), "once");
    let eve = stage.guest_named("eve");
    stage.subscribe(eve.conn, 1, ROOM);
    assert_eq!(told(&mut stage, &eve), BTreeMap::from([("bob".into(), 4)]));
}

#[test]
fn what_is_unread_is_what_others_said_and_did_not_take_back() {
    let (mut stage, guests) = room(&["ann", "bob"]);
    let [ann, bob] = &guests[..] else { panic!("two") };
    for id in 0..4 {
        stage.say(ann.conn, ROOM, id).expect("accepted");
    }
    stage.say(bob.conn, ROOM, 10).expect("accepted");
    let keyed = Publish { key: Some("topic".into()), ..message(ROOM, 11) };
    stage.publish(ann.conn, keyed).expect("accepted");
    let delete = Publish { action: Action::Delete(Offset(2)), ..message(ROOM, 12) };
    stage.publish(ann.conn, delete).expect("hers");
    assert_eq!(
        unread(&mut stage, bob),
        (3, 0, 7),
        "neither one's own, nor values, nor what is gone"
    );
    assert_eq!(unread(&mut stage, ann), (1, 0, 7));
    reads(&mut stage, bob, 3);
    assert_eq!(unread(&mut stage, bob), (1, 3, 7));
}

#[test]
fn a_user_has_one_cursor_in_all_its_sessions_and_keeps_it() {
    let (mut stage, guests) = room(&["ann", "bob", "bob"]);
    for id in 0..3 {
        stage.say(guests[0].conn, ROOM, id).expect("accepted");
    }
    reads(&mut stage, &guests[1], 2);
    assert_eq!(unread(&mut stage, &guests[2]), (1, 2, 3));
    for guest in &guests[1..] {
        stage.event(guest.conn, EventUp::Unsubscribe { key: ChannelKey(1) });
    }
    assert_eq!(unread(&mut stage, &guests[1]), (1, 2, 3), "followed now or not");
    let nobody = stage.guest();
    stage.subscribe(nobody.conn, 1, ROOM);
    reads(&mut stage, &nobody, 3);
    assert_eq!(unread(&mut stage, &nobody), (0, 3, 3));
    stage.event(nobody.conn, EventUp::Unsubscribe { key: ChannelKey(1) });
    assert_eq!(
        unread(&mut stage, &nobody),
        (3, 0, 3),
        "without a subject for as long as it follows"
    );
}

/// P12 holds for what is not followed, too.
#[test]
fn only_what_is_granted_is_counted_and_read() {
    let mut stage = Stage::new();
    let ann = stage.guest();
    stage.say(ann.conn, "secret", 1).expect("accepted");
    let some = Grants { subscribe: patterns(&["open/*"]), ..Grants::open() };
    let bob = stage.guest_with(some);
    assert_eq!(asks(&mut stage, &bob, &["open/a", "secret"]), Err(CloseCode::FORBIDDEN));
    let nothing = Unread { count: 0, read: Offset(0), top: Offset(0) };
    assert_eq!(asks(&mut stage, &bob, &["open/a"]), Ok(vec![nothing]));
    assert_eq!(asks(&mut stage, &bob, &["open/a"; 257]), Err(CloseCode::LIMIT));
    assert_eq!(asks(&mut stage, &bob, &["open/a"; 256]), Err(CloseCode::RATE_LIMITED));
    stage.event(bob.conn, EventUp::Read { key: ChannelKey(9), offset: Offset(1) });
    let told = stage.events(bob.conn);
    let refused = |event: &EventDown| match event {
        EventDown::RequestRefused { request: 9, code, .. } => Some(*code),
        _ => None,
    };
    assert_eq!(told.iter().find_map(refused), Some(CloseCode::UNKNOWN_CHANNEL));
}

#[test]
fn cursors_and_counts_are_those_of_a_sequential_model() {
    let names = ["ann", "bob", "cat"];
    for seed in 0..30 {
        let (mut stage, guests) = room(&names);
        let mut dice = Dice::new(seed);
        let (mut authors, mut cursors) = (Vec::new(), [0_u64; 3]);
        let mut heard = [const { BTreeMap::new() }; 3];
        for id in 0..300 {
            let who = dice.roll(3) as usize;
            match dice.roll(10) {
                0..5 => {
                    stage.say(guests[who].conn, ROOM, id).expect("within the rate");
                    authors.push(who);
                }
                5..8 => {
                    let offset = dice.roll(authors.len() as u64 + 3);
                    reads(&mut stage, &guests[who], offset);
                    cursors[who] = cursors[who].max(offset.min(authors.len() as u64));
                }
                _ => {
                    let after = authors.iter().skip(cursors[who] as usize);
                    let count = after.filter(|author| **author != who).count() as u32;
                    let (read, top) = (cursors[who], authors.len() as u64);
                    heard[who].extend(told(&mut stage, &guests[who]));
                    assert_eq!(unread(&mut stage, &guests[who]), (count, read, top));
                }
            }
            let conns: Vec<_> = guests.iter().map(|guest| guest.conn).collect();
            stage.ticks_with(1, &conns);
            for (guest, heard) in guests.iter().zip(&mut heard) {
                for (name, offset) in told(&mut stage, guest) {
                    let before = heard.insert(name, offset).unwrap_or(0);
                    assert!(offset >= before, "never back");
                }
            }
        }
        let conns: Vec<_> = guests.iter().map(|guest| guest.conn).collect();
        stage.ticks_with(10, &conns);
        for (guest, heard) in guests.iter().zip(&mut heard) {
            heard.extend(told(&mut stage, guest));
            let stands = names.iter().zip(cursors).filter(|(_, offset)| *offset > 0);
            let stands: BTreeMap<_, _> = stands.map(|(n, o)| ((*n).to_string(), o)).collect();
            assert_eq!(*heard, stands);
        }
    }
}
