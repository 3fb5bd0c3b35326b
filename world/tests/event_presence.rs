//! P8: joins and leaves alternate, starting with a join; a reconnect in time makes neither; a leave
//! comes no later than the presence time and one tick after the last contact.

mod session_stage;

use session_stage::{Guest, Stage, spawn_at};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::ControlUp;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, ChannelPosition, SessionId};

const LIST: u32 = 9;

/// What a watcher of a presence list was told: members, then joins and leaves.
#[derive(Debug, Default)]
struct Watched {
    members: Vec<SessionId>,
    changes: Vec<(Action, SessionId)>,
    at: ChannelPosition,
}

fn watch(stage: &mut Stage, who: &Guest, list: &str) -> Watched {
    let answer = stage.subscribe(who.conn, LIST, list);
    assert!(matches!(answer, Answer::Reset(_)), "members, then what follows: {answer:?}");
    read(stage, who)
}

fn read(stage: &mut Stage, who: &Guest) -> Watched {
    let mut watched = Watched::default();
    for event in stage.events(who.conn) {
        match event {
            EventDown::Subscribed { key: ChannelKey(LIST), answer: Answer::Reset(at), .. } => {
                watched.at = at;
            }
            EventDown::Members { members, .. } => {
                assert!(watched.changes.is_empty(), "members come before what follows them");
                watched.members.extend(members.iter().map(|m| m.session));
            }
            EventDown::Deliver(event) if event.key == ChannelKey(LIST) => {
                let publisher = event.publisher.expect("a member");
                watched.at.offset = event.offset;
                if matches!(event.action, Action::Join | Action::Leave) {
                    watched.changes.push((event.action, publisher.session));
                }
            }
            _ => {}
        }
    }
    watched
}

fn follow(stage: &mut Stage, who: &Guest) {
    let answer = stage.subscribe_with(who.conn, 1, "room", None, true);
    assert!(matches!(answer, Answer::Reset(_)));
}

#[test]
fn a_list_starts_with_its_members_and_goes_on_with_joins_and_leaves() {
    let mut stage = Stage::new();
    let [alice, bob, eve] = [0; 3].map(|_| stage.guest());
    follow(&mut stage, &alice);
    let first = watch(&mut stage, &eve, "presence/room");
    assert_eq!((first.members, first.changes), (vec![alice.session()], vec![]));
    follow(&mut stage, &bob);
    stage.event(alice.conn, EventUp::Unsubscribe { key: ChannelKey(1) });
    stage.send(bob.conn, ControlUp::Goodbye);
    let changes = read(&mut stage, &eve).changes;
    let expected = [
        (Action::Join, bob.session()),
        (Action::Leave, alice.session()),
        (Action::Leave, bob.session()),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn the_worlds_list_has_every_session() {
    let mut stage = Stage::new();
    let alice = stage.guest();
    let list = watch(&mut stage, &alice, "presence/");
    assert_eq!(list.members, [alice.session()]);
    let bob = stage.guest();
    stage.send(bob.conn, ControlUp::Goodbye);
    let changes = read(&mut stage, &alice).changes;
    assert_eq!(changes, [(Action::Join, bob.session()), (Action::Leave, bob.session())]);
}

#[test]
fn a_reconnect_in_time_makes_neither_leave_nor_join() {
    let mut stage = Stage::new();
    let (alice, eve) = (stage.guest(), stage.guest());
    follow(&mut stage, &alice);
    watch(&mut stage, &eve, "presence/room");
    stage.detach(alice.conn);
    stage.ticks_with(200, &[eve.conn]);
    let alice = stage.resume(&alice, &[]);
    stage.ticks_with(200, &[eve.conn, alice.conn]);
    assert!(read(&mut stage, &eve).changes.is_empty());
}

#[test]
fn silence_is_a_leave_one_tick_after_the_presence_time_and_the_next_word_a_join() {
    let mut stage = Stage::new();
    let (alice, eve) = (stage.guest(), stage.guest());
    follow(&mut stage, &alice);
    watch(&mut stage, &eve, "presence/room");
    stage.ticks_with(200, &[eve.conn]);
    assert!(read(&mut stage, &eve).changes.is_empty());
    stage.ticks_with(1, &[eve.conn]);
    assert_eq!(read(&mut stage, &eve).changes, [(Action::Leave, alice.session())]);
    stage.ticks_with(300, &[eve.conn]);
    stage.breathe(alice.conn);
    assert_eq!(read(&mut stage, &eve).changes, [(Action::Join, alice.session())]);
}

/// (P8) The server's own pause is nobody's silence, however long it was.
#[test]
fn what_the_server_slept_through_is_no_silence() {
    let mut stage = Stage::new();
    let (alice, bob, eve) = (stage.guest(), stage.guest(), stage.guest());
    let (bus, _) = stage.spawn(alice.conn, spawn_at("bus", [0.; 3])).expect("room");
    stage.spawn(alice.conn, spawn_at("tram", [1., 0., 0.])).expect("room");
    follow(&mut stage, &alice);
    follow(&mut stage, &bob);
    watch(&mut stage, &eve, "presence/room");
    stage.detach(bob.conn);
    stage.ticks_with(100, &[eve.conn]);
    for seconds in [1, 12, 40] {
        stage.world.skip(seconds * 20);
        stage.ticks_with(1, &[eve.conn]);
    }
    assert!(read(&mut stage, &eve).changes.is_empty());
    assert_eq!(stage.world.entities().len(), 2, "both were heard of: {bus:?}");
    stage.ticks_with(97, &[eve.conn]);
    assert!(read(&mut stage, &eve).changes.is_empty());
    stage.ticks_with(1, &[eve.conn]);
    assert_eq!(read(&mut stage, &eve).changes.len(), 2, "what is silence counts as before");
    assert_eq!(stage.world.entities().len(), 0);
}

#[test]
fn a_session_that_resumes_late_left_once_and_joined_again() {
    let mut stage = Stage::new();
    let (alice, eve) = (stage.guest(), stage.guest());
    follow(&mut stage, &alice);
    watch(&mut stage, &eve, "presence/room");
    stage.detach(alice.conn);
    stage.ticks_with(250, &[eve.conn]);
    stage.resume(&alice, &[]);
    let expected = [(Action::Leave, alice.session()), (Action::Join, alice.session())];
    assert_eq!(read(&mut stage, &eve).changes, expected);
}

#[test]
fn a_list_resumes_where_it_was_or_starts_from_its_members_again() {
    let mut stage = Stage::new();
    let (alice, eve) = (stage.guest(), stage.guest());
    let at = watch(&mut stage, &eve, "presence/room").at;
    follow(&mut stage, &alice);
    let eve = stage.resume(&eve, &[(ChannelKey(LIST), at)]);
    let seen = read(&mut stage, &eve);
    assert_eq!((seen.members, seen.changes), (vec![], vec![(Action::Join, alice.session())]));
    // Far more comings and goings than the list's log keeps.
    let bob = stage.guest();
    stage.detach(eve.conn);
    for i in 0..600 {
        let ask = stage.subscribe_with(bob.conn, 1, "room", None, true);
        if ask == Answer::Denied(CloseCode::RATE_LIMITED) {
            stage.tick();
            continue;
        }
        if i != 599 {
            stage.event(bob.conn, EventUp::Unsubscribe { key: ChannelKey(1) });
        }
    }
    stage.ticks_with(1_300, &[alice.conn, bob.conn]);
    let eve = stage.resume(&eve, &[(ChannelKey(LIST), at)]);
    let anew = read(&mut stage, &eve);
    assert!(anew.members.contains(&alice.session()), "{anew:?}");
    assert!(anew.changes.is_empty());
}

#[test]
fn presence_of_a_presence_list_is_refused() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let answer = stage.subscribe_with(guest.conn, 1, "presence/room", None, true);
    assert_eq!(answer, Answer::Denied(CloseCode::FORBIDDEN));
}

#[test]
fn a_long_list_comes_in_pages_that_hold_everyone_once() {
    let mut stage = Stage::new();
    let mut members: Vec<_> =
        (0..1_500).map(|i| stage.guest_named(&format!("subject {i}"))).collect();
    let eve = stage.guest();
    stage.allow(eve.conn, 5_000);
    stage.tick();
    stage.event(
        eve.conn,
        EventUp::Subscribe {
            key: ChannelKey(LIST),
            channel: "presence/".into(),
            resume: None,
            presence: false,
        },
    );
    let gone = members.pop().expect("many");
    stage.send(gone.conn, ControlUp::Goodbye);
    stage.ticks(20);
    let mut lasts = 0;
    let (mut listed, mut changes) = (Vec::new(), Vec::new());
    for event in stage.events(eve.conn) {
        match event {
            EventDown::Members { members, last, .. } => {
                lasts += usize::from(last);
                listed.extend(members.iter().map(|m| m.session));
            }
            EventDown::Deliver(event) if event.key == ChannelKey(LIST) => {
                assert_eq!(lasts, 1, "events follow the last page");
                changes.push((event.action, event.publisher.expect("a member").session));
            }
            _ => {}
        }
    }
    assert_eq!(lasts, 1);
    let mut unique = listed.clone();
    unique.sort();
    unique.dedup();
    assert_eq!((unique.len(), listed.len()), (1_501, 1_501), "as of one moment");
    assert_eq!(changes, [(Action::Leave, gone.session())], "and what came after it");
}
