//! How members are here, how many they are, and runs of what became of them (P8).

mod session_stage;

use session_stage::{Guest, Stage};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::MEMBER_DATA_BYTES_MAX;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, Offset, SessionId};
use std::collections::BTreeMap;

const LIST: u32 = 9;

fn follow(stage: &mut Stage, who: &Guest) {
    let answer = stage.subscribe_with(who.conn, 1, "room", None, true);
    assert!(matches!(answer, Answer::Reset(_)));
}

fn be(stage: &mut Stage, who: &Guest, state: MemberState, data: &[u8]) {
    stage.event(who.conn, EventUp::Presence { state, data: data.to_vec() });
}

/// What is told of members after the list itself.
fn changes(stage: &mut Stage, who: &Guest) -> Vec<(Action, SessionId, Vec<u8>)> {
    let events = stage.delivered(who.conn, LIST).into_iter();
    events.map(|e| (e.action, e.publisher.expect("a member").session, e.payload)).collect()
}

#[test]
fn a_member_says_that_it_is_away_and_what_it_shows() {
    let mut stage = Stage::new();
    let (alice, eve) = (stage.guest(), stage.guest());
    follow(&mut stage, &alice);
    stage.subscribe(eve.conn, LIST, "presence/room");
    stage.events(eve.conn);
    be(&mut stage, &alice, MemberState::Away, b"lunch");
    be(&mut stage, &alice, MemberState::Away, b"lunch");
    be(&mut stage, &alice, MemberState::Here, b"");
    let who = alice.session();
    let expected = [
        (Action::Change(MemberState::Away), who, b"lunch".to_vec()),
        (Action::Change(MemberState::Here), who, Vec::new()),
    ];
    assert_eq!(changes(&mut stage, &eve), expected, "the same again is no change");
}

#[test]
fn silence_is_quiet_before_it_is_a_leave_and_the_next_word_ends_it() {
    let mut stage = Stage::new();
    let (alice, eve) = (stage.guest(), stage.guest());
    follow(&mut stage, &alice);
    be(&mut stage, &alice, MemberState::Away, b"");
    stage.subscribe(eve.conn, LIST, "presence/room");
    stage.events(eve.conn);
    let quiet = (Action::Change(MemberState::Quiet), alice.session(), Vec::new());
    stage.ticks_with(150, &[eve.conn]);
    assert_eq!(changes(&mut stage, &eve), []);
    stage.ticks_with(1, &[eve.conn]);
    assert_eq!(changes(&mut stage, &eve), std::slice::from_ref(&quiet));
    stage.breathe(alice.conn);
    let away = (Action::Change(MemberState::Away), alice.session(), Vec::new());
    assert_eq!(changes(&mut stage, &eve), std::slice::from_ref(&away), "as it said before");
    stage.ticks_with(201, &[eve.conn]);
    let leave = (Action::Leave, alice.session(), Vec::new());
    assert_eq!(changes(&mut stage, &eve), [quiet, leave]);
    stage.breathe(alice.conn);
    let join = (Action::Join, alice.session(), Vec::new());
    assert_eq!(changes(&mut stage, &eve), [join, away], "and away still");
}

#[test]
fn nobody_says_to_be_quiet_nor_shows_more_than_there_is_room_for() {
    let mut stage = Stage::new();
    let alice = stage.guest();
    be(&mut stage, &alice, MemberState::Quiet, b"");
    be(&mut stage, &alice, MemberState::Here, &[0; MEMBER_DATA_BYTES_MAX + 1]);
    let codes: Vec<_> = stage
        .events(alice.conn)
        .into_iter()
        .filter_map(|event| match event {
            EventDown::RequestRefused { request: 0, code, .. } => Some(code),
            _ => None,
        })
        .collect();
    assert_eq!(codes, [CloseCode::FORBIDDEN, CloseCode::TOO_LARGE]);
    assert_eq!(stage.closed(alice.conn), None);
}

/// The counts told since the last look.
fn counts(stage: &mut Stage, who: &Guest) -> Vec<(u32, u32)> {
    let told = stage.events(who.conn).into_iter().filter_map(|event| match event {
        EventDown::Count { key: ChannelKey(LIST), users, sessions } => Some((users, sessions)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_count_tells_users_and_sessions_when_they_change_a_few_times_a_second() {
    let mut stage = Stage::new();
    let eve = stage.guest();
    assert!(matches!(stage.subscribe(eve.conn, LIST, "count/room"), Answer::Reset(_)));
    stage.tick();
    assert_eq!(counts(&mut stage, &eve), [(0, 0)]);
    let alices = [0; 3].map(|_| stage.guest_named("alice"));
    alices.iter().for_each(|alice| follow(&mut stage, alice));
    let bob = stage.guest();
    follow(&mut stage, &bob);
    stage.ticks_with(4, &[eve.conn]);
    assert_eq!(counts(&mut stage, &eve), [], "not so soon after the last");
    stage.ticks_with(1, &[eve.conn]);
    assert_eq!(counts(&mut stage, &eve), [(2, 4)], "all at once");
    stage.event(alices[0].conn, EventUp::Unsubscribe { key: ChannelKey(1) });
    stage.ticks_with(5, &[eve.conn]);
    assert_eq!(counts(&mut stage, &eve), [(2, 3)]);
    let frank = stage.guest();
    stage.subscribe(frank.conn, LIST, "count/room");
    assert_eq!(counts(&mut stage, &frank), [(2, 3)], "who comes later is told at once");
    stage.ticks_with(20, &[eve.conn]);
    assert_eq!(counts(&mut stage, &eve), [], "nothing has changed");
}

#[test]
fn a_slow_reader_of_a_count_is_told_the_newest_alone() {
    let mut stage = Stage::new();
    let eve = stage.guest();
    stage.subscribe(eve.conn, LIST, "count/");
    stage.tick();
    counts(&mut stage, &eve);
    stage.allow(eve.conn, 0);
    stage.tick();
    for _ in 0..5 {
        stage.guest();
        stage.ticks_with(6, &[]);
    }
    assert_eq!(counts(&mut stage, &eve), []);
    stage.allow(eve.conn, 1_000);
    stage.tick();
    assert_eq!(counts(&mut stage, &eve), [(6, 6)]);
}

/// A list as a client keeps it, which checks what it is told.
#[derive(Default)]
struct Kept {
    members: BTreeMap<SessionId, MemberState>,
    at: u64,
    runs: u32,
    resets: u32,
}

impl Kept {
    fn read(&mut self, stage: &mut Stage, who: &Guest) {
        for event in stage.events(who.conn) {
            match event {
                EventDown::Subscribed { answer: Answer::Reset(at), .. } => {
                    self.members.clear();
                    (self.at, self.resets) = (at.offset.0, self.resets + 1);
                }
                EventDown::Members { members, .. } => {
                    self.members.extend(members.iter().map(|m| (m.session, m.state)));
                }
                EventDown::MembersChanged { from, to, here, left, .. } => {
                    assert!(from == Offset(self.at + 1) && to >= from, "contiguous");
                    (self.at, self.runs) = (to.0, self.runs + 1);
                    for member in here {
                        self.members.insert(member.session, member.state);
                    }
                    for session in left {
                        assert!(self.members.remove(&session).is_some(), "who left was here");
                    }
                }
                EventDown::Deliver(event) if event.key == ChannelKey(LIST) => {
                    assert_eq!(event.offset.0, self.at + 1, "contiguous");
                    self.at = event.offset.0;
                    let who = event.publisher.expect("a member").session;
                    match event.action {
                        Action::Join => {
                            assert!(self.members.insert(who, MemberState::Here).is_none())
                        }
                        Action::Leave => assert!(self.members.remove(&who).is_some()),
                        Action::Change(state) => assert!(self.members.insert(who, state).is_some()),
                        other => panic!("not on a list: {other:?}"),
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn who_is_behind_is_told_runs_and_ends_with_the_same_list() {
    let mut stage = Stage::new();
    let eve = stage.guest();
    stage.subscribe(eve.conn, LIST, "presence/");
    let mut kept = Kept::default();
    kept.read(&mut stage, &eve);
    stage.allow(eve.conn, 0);
    stage.tick();
    let guests: Vec<_> = (0..200).map(|_| stage.guest()).collect();
    for (i, guest) in guests.iter().enumerate() {
        match i % 4 {
            0 => stage.send(guest.conn, starling_protocol::message::control::ControlUp::Goodbye),
            1 => be(&mut stage, guest, MemberState::Away, b"tea"),
            _ => {}
        }
    }
    kept.read(&mut stage, &eve);
    assert_eq!(kept.members.len(), 1, "nothing could be written");
    stage.allow(eve.conn, 64 * 1024);
    stage.ticks(2);
    kept.read(&mut stage, &eve);
    assert_eq!((kept.members.len(), kept.resets), (151, 1));
    assert!(kept.runs > 0);
    let away = kept.members.values().filter(|state| **state == MemberState::Away).count();
    assert_eq!(away, 50);
}

#[test]
fn a_storm_of_joins_costs_a_reader_a_few_members_for_each() {
    const JOINS: usize = 12_000;
    let mut stage = Stage::new();
    let eve = stage.guest();
    stage.subscribe(eve.conn, LIST, "presence/");
    let mut kept = Kept::default();
    for round in 0..JOINS / 400 {
        (0..400).for_each(|_| {
            stage.guest();
        });
        if round % 4 == 0 {
            stage.allow(eve.conn, 256 * 1024);
            stage.ticks(1);
            kept.read(&mut stage, &eve);
        }
    }
    stage.ticks_with(5, &[eve.conn]);
    kept.read(&mut stage, &eve);
    assert_eq!(kept.members.len(), JOINS + 1);
    assert!(kept.resets <= 5, "{} times from the start", kept.resets);
    assert!(stage.bytes(eve.conn) < JOINS * 100, "{} bytes", stage.bytes(eve.conn));
}
