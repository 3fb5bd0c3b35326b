//! The end of a server, stepped: what was accepted is on stable storage and acknowledged before
//! `going_away` ends connections, and sessions are there for the next process (P5, P11, P14).

mod support;

use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{ControlDown, Hello, Resume, ResumeAnswer};
use starling_protocol::message::events::{EventDown, EventUp, Publish, Receipt, Scope};
use starling_protocol::space::Space;
use starling_protocol::units::{ChannelKey, Epoch, MessageId, Nanos};
use starling_server::config::WorldEntry;
use starling_server::stepped::Builder;
use starling_server::store::{Grouping, Memory, memory::Trouble};
use std::sync::Arc;
use support::{Hall, hall_of, hello, settings, spawn};

/// A hall whose one world is kept in this store, each commit of which takes so long.
fn kept(store: &Memory, epoch: u32, commit_ms: u64) -> Hall {
    let settings = settings(|config| {
        let entry = WorldEntry::parse("test=metric,durability=durable").expect("well formed");
        config.worlds = vec![entry];
    });
    let store = Arc::new(store.clone());
    let takes = Box::new(move || commit_ms * Nanos::MILLISECOND);
    hall_of(Builder::new(settings, 1).epoch(Epoch(epoch)).store(store, Grouping::default(), takes))
}

/// A client that was let in, however long the store takes.
fn guest(hall: &mut Hall) -> usize {
    let at = hall.says(hello());
    hall.until("it is let in", |hall| hall.welcome(at).is_some());
    at
}

fn publish(message: u64) -> EventUp {
    let scope = Scope::Channel("news".into());
    EventUp::Publish(Box::new(Publish::plain(MessageId(message), scope, vec![7; 8])))
}

fn subscribe() -> EventUp {
    EventUp::Subscribe { key: ChannelKey(1), channel: "news".into(), resume: None, presence: false }
}

/// The numbers under which publishes were acknowledged.
fn acknowledged(hall: &Hall, at: usize) -> Vec<u64> {
    let receipts = hall.clients[at].events.iter().filter_map(|message| match message {
        EventDown::Published { receipt: Receipt::Channel(position), .. } => Some(position.offset.0),
        _ => None,
    });
    receipts.collect()
}

fn drain(hall: &mut Hall, deadline_ms: u32) {
    let now = hall.now;
    hall.server.front_mut().drain(now, deadline_ms, 500);
}

/// Fault 49 and 60: the disk takes its time, and nobody is sent away without an answer.
#[test]
fn what_was_accepted_is_stored_and_acknowledged_before_connections_end() {
    let (store, commit_ms) = (Memory::new(), 800);
    let mut hall = kept(&store, 1, commit_ms);
    let (from, to) = (guest(&mut hall), guest(&mut hall));
    hall.event(to, &subscribe());
    hall.run_ms(3_000);
    drain(&mut hall, 30_000);
    hall.run_ms(950);
    let late = hall.says(hello());
    assert_eq!(hall.refusal(late), Some(CloseCode::GOING_AWAY), "nobody new comes in");
    (1..=5).for_each(|message| hall.event(from, &publish(message)));
    hall.run_ms(200);
    assert!(acknowledged(&hall, from).is_empty() && hall.closed(from).is_none(), "it is served");
    hall.until("it is closed", |hall| hall.closed(from).is_some());
    assert_eq!(acknowledged(&hall, from), [1, 2, 3, 4, 5]);
    assert_eq!([from, to].map(|at| hall.closed(at)), [Some(CloseCode::GOING_AWAY); 2]);
    let heard = hall.clients[to].events.iter().filter(|m| matches!(m, EventDown::Deliver(_)));
    assert_eq!(heard.count(), 5);
    assert!(hall.server.front().is_drained());
}

/// What comes when nothing more is taken in is not acknowledged, and not there: who sent it brings it
/// to the next server under the same name (P7).
#[test]
fn what_comes_too_late_is_left_to_the_next_server() {
    let store = Memory::new();
    let mut hall = kept(&store, 1, 400);
    let from = guest(&mut hall);
    drain(&mut hall, 30_000);
    hall.run_ms(950);
    hall.event(from, &publish(1));
    hall.run_ms(100);
    hall.event(from, &publish(2));
    hall.until("it is closed", |hall| hall.closed(from).is_some());
    assert_eq!(acknowledged(&hall, from), [1]);

    let mut hall = kept(&store, 2, 0);
    let from = guest(&mut hall);
    hall.event(from, &publish(2));
    hall.until("it is there", |hall| !acknowledged(hall, from).is_empty());
    assert_eq!(acknowledged(&hall, from), [2], "the second of the channel, and no third");
}

/// Fault 47: no disk holds a server beyond its deadline.
#[test]
fn a_disk_without_room_ends_nothing_later_than_the_deadline() {
    let store = Memory::new();
    let mut hall = kept(&store, 1, 0);
    let from = guest(&mut hall);
    hall.event(from, &publish(1));
    hall.run_ms(100);
    store.set_trouble(Trouble::Full);
    hall.event(from, &publish(2));
    drain(&mut hall, 5_000);
    hall.run_ms(4_900);
    assert_eq!(hall.closed(from), None, "there may be room in time");
    hall.run_ms(200);
    assert_eq!(hall.closed(from), Some(CloseCode::GOING_AWAY));
    assert_eq!(acknowledged(&hall, from), [1], "what is not stored is not acknowledged");
}

#[test]
fn a_store_that_failed_is_not_waited_for() {
    let store = Memory::new();
    let mut hall = kept(&store, 1, 0);
    let from = guest(&mut hall);
    store.set_trouble(Trouble::Failing { written: false });
    hall.event(from, &publish(1));
    hall.run_ms(100);
    drain(&mut hall, 30_000);
    hall.run_ms(1_500);
    assert_eq!(hall.closed(from), Some(CloseCode::GOING_AWAY));
    assert!(acknowledged(&hall, from).is_empty());
}

/// The next process finds the session, and the entity where it was a moment ago.
#[test]
fn sessions_are_there_for_the_next_process() {
    let store = Memory::new();
    let mut hall = kept(&store, 1, 5);
    let at = guest(&mut hall);
    hall.control(at, &spawn("me", [1_024, 0, 0]));
    hall.until("it has its entity", |hall| {
        hall.clients[at].control.iter().any(|m| matches!(m, ControlDown::Spawned { .. }))
    });
    let before = hall.welcome(at).expect("it was let in").clone();
    drain(&mut hall, 30_000);
    hall.until("it is closed", |hall| hall.closed(at).is_some());
    let now = hall.now;
    hall.server.finish(now);

    let mut hall = kept(&store, 2, 5);
    let resume = Resume { session: before.session, token: before.resume_token, channels: vec![] };
    let at = hall.says(Hello { resume: Some(resume), ..hello() });
    hall.until("it is let in", |hall| hall.welcome(at).is_some());
    let after = hall.welcome(at).expect("it was let in");
    assert_eq!(after.resumed, ResumeAnswer::Resumed);
    assert_eq!((after.session, after.entities.len()), (before.session, 1));
    assert_eq!(after.space, Space::Metric);
}
