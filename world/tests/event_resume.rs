//! P6: who resumes gets every event after its place once each, in order, or is told what is gone.

mod session_stage;

use session_stage::{Guest, Stage, message, place};
use starling_protocol::limits::CHANNEL_EVENTS_MAX;
use starling_protocol::message::control::INBOX;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, ChannelPosition, Offset};

const KEY: ChannelKey = ChannelKey(1);

fn talk(stage: &mut Stage, who: &Guest, ids: std::ops::Range<u64>) {
    for id in ids {
        while stage.say(who.conn, "chat", id).is_err() {
            stage.tick();
        }
    }
}

fn start(stage: &mut Stage, who: &Guest) -> ChannelPosition {
    match stage.subscribe(who.conn, KEY.0, "chat") {
        Answer::Reset(place) => place,
        other => panic!("from now: {other:?}"),
    }
}

/// What a resumed connection was told about the channel: its answer, gaps, offsets.
fn told(stage: &mut Stage, who: &Guest) -> (Vec<Answer>, Vec<(u64, u64)>, Vec<u64>) {
    let (mut answers, mut gaps, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
    for event in stage.events(who.conn) {
        match event {
            EventDown::Subscribed { key: KEY, answer, .. } => answers.push(answer),
            EventDown::Gap { key: KEY, from, to } => {
                assert!(offsets.is_empty(), "a gap is told before what follows it");
                gaps.push((from.0, to.0));
            }
            EventDown::Deliver(event) if event.key == KEY => offsets.push(event.offset.0),
            _ => {}
        }
    }
    (answers, gaps, offsets)
}

#[test]
fn a_resume_delivers_what_was_missed_once_and_then_goes_on() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    let at = start(&mut stage, &bob);
    talk(&mut stage, &alice, 0..3);
    stage.detach(bob.conn);
    talk(&mut stage, &alice, 3..6);
    let bob = stage.resume(&bob, &[(KEY, place(at.epoch, 2))]);
    talk(&mut stage, &alice, 6..8);
    let (answers, gaps, offsets) = told(&mut stage, &bob);
    assert_eq!((answers, gaps), (vec![Answer::Resumed], vec![]));
    assert_eq!(offsets, [3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_second_resume_from_the_same_place_repeats_nothing_that_was_confirmed() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    let at = start(&mut stage, &bob);
    talk(&mut stage, &alice, 0..4);
    let bob = stage.resume(&bob, &[(KEY, place(at.epoch, 2))]);
    assert_eq!(told(&mut stage, &bob).2, [3, 4]);
    let bob = stage.resume(&bob, &[(KEY, place(at.epoch, 4))]);
    assert_eq!(told(&mut stage, &bob), (vec![Answer::Resumed], vec![], vec![]));
}

#[test]
fn a_place_before_what_is_kept_resumes_with_the_gap_told_first() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    let at = start(&mut stage, &bob);
    stage.detach(bob.conn);
    let beyond = CHANNEL_EVENTS_MAX as u64 + 10;
    talk(&mut stage, &alice, 0..beyond);
    let bob = stage.resume(&bob, &[(KEY, place(at.epoch, 3))]);
    stage.ticks_with(5, &[bob.conn]);
    let (answers, gaps, offsets) = told(&mut stage, &bob);
    assert_eq!((answers, gaps), (vec![Answer::Resumed], vec![(4, 10)]));
    assert_eq!(offsets, (11..=beyond).collect::<Vec<_>>());
}

#[test]
fn a_place_of_another_epoch_is_a_reset_that_gives_all_that_is_kept() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    talk(&mut stage, &alice, 0..3);
    let Answer::Reset(now) = stage.subscribe(alice.conn, 9, "chat") else { panic!("from now") };
    let mut foreign = now;
    foreign.epoch.0 ^= 1;
    let answer = stage.subscribe_with(bob.conn, KEY.0, "chat", Some(foreign), false);
    assert_eq!(answer, Answer::Reset(place(now.epoch, 0)));
    assert_eq!(told(&mut stage, &bob).2, [1, 2, 3]);
}

#[test]
fn a_place_beyond_the_top_is_a_reset_to_the_top() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    let at = start(&mut stage, &alice);
    talk(&mut stage, &alice, 0..3);
    let ahead = Some(place(at.epoch, 50));
    let answer = stage.subscribe_with(bob.conn, KEY.0, "chat", ahead, false);
    assert_eq!(answer, Answer::Reset(place(at.epoch, 3)));
    talk(&mut stage, &alice, 3..4);
    assert_eq!(told(&mut stage, &bob).2, [4]);
}

#[test]
fn a_client_that_never_heard_the_answer_starts_where_it_would_have_told() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    talk(&mut stage, &alice, 0..2);
    let at = start(&mut stage, &bob);
    talk(&mut stage, &alice, 2..5);
    stage.detach(bob.conn);
    let bob = stage.resume(&bob, &[]);
    let (answers, gaps, offsets) = told(&mut stage, &bob);
    assert_eq!((answers, gaps), (vec![Answer::Reset(at)], vec![]));
    assert_eq!(offsets, [3, 4, 5]);
}

/// It asks again as it heard no answer, and events come between its resume and that.
#[test]
fn asked_for_again_it_starts_there_too() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    talk(&mut stage, &alice, 0..2);
    let at = start(&mut stage, &bob);
    stage.detach(bob.conn);
    let bob = stage.resume(&bob, &[]);
    talk(&mut stage, &alice, 2..5);
    assert_eq!(stage.subscribe(bob.conn, KEY.0, "chat"), Answer::Reset(at));
    let (answers, gaps, offsets) = told(&mut stage, &bob);
    assert_eq!((answers.last(), gaps), (Some(&Answer::Reset(at)), vec![]));
    assert!(offsets.ends_with(&[3, 4, 5]), "{offsets:?}");
    let answer = stage.subscribe(bob.conn, KEY.0, "chat");
    assert_eq!(answer, Answer::Reset(place(at.epoch, 5)), "whoever heard it begins anew from now");
}

#[test]
fn a_slow_live_subscriber_is_told_the_gap_before_the_next_event() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    start(&mut stage, &bob);
    stage.allow(bob.conn, 0);
    stage.tick();
    for id in 0..100 {
        let publish = Publish { payload: vec![0; 16_000], ..message("chat", id) };
        while stage.publish(alice.conn, publish.clone()).is_err() {
            stage.tick();
        }
    }
    assert_eq!(told(&mut stage, &bob).2, [0; 0], "its link took nothing");
    stage.allow(bob.conn, 10_000_000);
    stage.tick();
    let (_, gaps, offsets) = told(&mut stage, &bob);
    let first = offsets[0];
    assert_eq!(gaps, [(1, first - 1)]);
    assert_eq!(offsets, (first..=100).collect::<Vec<_>>());
    assert_eq!(stage.world.counters().events_missed, first - 1);
}

#[test]
fn the_inbox_keeps_its_numbers_while_parked_and_resumes_like_any_channel() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    assert!(stage.events(bob.conn).is_empty(), "it starts before its first event, in this epoch");
    let epoch = bob.welcome.epoch;
    let whisper = |id| session_stage::scoped(Scope::Session(bob.session()), id);
    assert_eq!(stage.publish(alice.conn, whisper(1)), Ok(Receipt::Inboxes(1)));
    assert_eq!(stage.delivered(bob.conn, 0)[0].offset, Offset(1));
    stage.detach(bob.conn);
    assert_eq!(stage.publish(alice.conn, whisper(2)), Ok(Receipt::Inboxes(1)));
    let bob = stage.resume(&bob, &[(INBOX, place(epoch, 1))]);
    let got: Vec<_> =
        stage.delivered(bob.conn, 0).iter().map(|e| (e.offset.0, e.message.0)).collect();
    assert_eq!(got, [(2, 2)]);
}
