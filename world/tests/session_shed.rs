//! P13: with too little time a world gives up one thing after the other, tells everyone, and gives up
//! neither what it accepted nor who comes back; with time again it takes them up in reverse.

mod session_stage;

use session_stage::{Guest, Stage, message, place};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{ControlDown, ResumeAnswer};
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, ChannelPosition, Epoch, SessionId};
use starling_world::input::Command;
use starling_world::shed::step;

const CHAT: &str = "chat";

fn climb(stage: &mut Stage, steps: u8) {
    (0..steps).for_each(|_| stage.step(Command::Strain { too_much: true }));
}

fn relax(stage: &mut Stage, steps: u8) {
    (0..steps).for_each(|_| stage.step(Command::Strain { too_much: false }));
}

/// The steps that a guest was told of since the last look.
fn told(stage: &mut Stage, guest: &Guest) -> Vec<u8> {
    let told = stage.control(guest.conn).into_iter();
    told.filter_map(|message| match message {
        ControlDown::Shed { level } => Some(level),
        _ => None,
    })
    .collect()
}

fn reads(stage: &mut Stage, guest: &Guest) -> Result<usize, CloseCode> {
    let range = HistoryRange::Newest;
    let query = HistoryQuery { request: 7, channel: CHAT.into(), range, thread: None, limit: 10 };
    stage.event(guest.conn, EventUp::History(Box::new(query)));
    let answer = stage.events(guest.conn).into_iter().find_map(|event| match event {
        EventDown::History(page) => Some(Ok(page.entries.len())),
        EventDown::RequestRefused { code, retry_after_ms, .. } => {
            assert!(retry_after_ms.is_some(), "it says when to ask again");
            Some(Err(code))
        }
        _ => None,
    });
    answer.expect("every request is answered")
}

#[test]
fn everyone_is_told_each_step_up_and_down_one_at_a_time() {
    let mut stage = Stage::new();
    let alice = stage.guest();
    climb(&mut stage, 9);
    assert_eq!(told(&mut stage, &alice), [1, 2, 3, 4, 5, 6]);
    assert_eq!(stage.world.stats().shed_step, step::SLOWEST);
    relax(&mut stage, 9);
    assert_eq!(told(&mut stage, &alice), [5, 4, 3, 2, 1, 0]);
    assert_eq!(stage.world.counters().shed_steps, 12);
}

#[test]
fn newcomers_are_refused_and_who_was_there_comes_back() {
    let mut stage = Stage::new();
    let alice = stage.guest();
    stage.detach(alice.conn);
    climb(&mut stage, step::NEWCOMERS);
    let attach = stage.knock();
    let refused = stage.enter(attach).expect_err("too little time");
    assert_eq!(refused.code, CloseCode::OVERLOADED);
    assert!(refused.retry_after_ms.is_some());
    let alice = stage.resume(&alice, &[]);
    assert_eq!(alice.welcome.resumed, ResumeAnswer::Resumed);
    assert_eq!(stage.world.counters().shed_refusals, 1);
    relax(&mut stage, 1);
    stage.guest();
}

#[test]
fn readers_then_publishes_are_refused_and_what_is_accepted_is_delivered() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.subscribe(bob.conn, 1, CHAT);
    stage.say(alice.conn, CHAT, 1).expect("there is time");
    climb(&mut stage, step::MIDDLE);
    assert_eq!(reads(&mut stage, &alice), Ok(1));
    climb(&mut stage, 1);
    assert_eq!(reads(&mut stage, &alice), Err(CloseCode::OVERLOADED));
    assert_eq!(stage.subscribe(alice.conn, 2, CHAT), Answer::Denied(CloseCode::OVERLOADED));
    stage.say(alice.conn, CHAT, 2).expect("publishes go on");
    climb(&mut stage, 1);
    assert_eq!(stage.say(alice.conn, CHAT, 3), Err(CloseCode::OVERLOADED));
    stage.say(alice.conn, CHAT, 2).expect("what was accepted is answered as it was");
    let heard: Vec<u64> =
        stage.delivered(bob.conn, 1).iter().map(|event| event.message.0).collect();
    assert_eq!(heard, [1, 2]);
    relax(&mut stage, 2);
    stage.say(alice.conn, CHAT, 3).expect("there is time again");
    assert_eq!(reads(&mut stage, &alice), Ok(3));
}

#[test]
fn the_slowest_are_closed_last_and_may_resume() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.subscribe(bob.conn, 1, CHAT);
    stage.allow(bob.conn, 0);
    stage.tick();
    stage.publish(alice.conn, message(CHAT, 1)).expect("there is time");
    climb(&mut stage, step::PUBLISHES);
    let second = u32::from(stage.world.config().tick_rate.hz());
    stage.ticks_with(second * 2, &[alice.conn, bob.conn]);
    assert_eq!(stage.closed(bob.conn), None, "it has five seconds");
    climb(&mut stage, 1);
    stage.ticks_with(1, &[alice.conn]);
    assert_eq!(stage.closed(bob.conn), Some(CloseCode::SLOW_CONSUMER));
    let bob = stage.resume(&bob, &[]);
    assert_eq!(bob.welcome.resumed, ResumeAnswer::Resumed);
}

/// A server that stood still could write to nobody: its clients have the time that is left to them.
#[test]
fn what_the_server_slept_through_is_no_slowness_of_its_clients() {
    let mut stage = Stage::new();
    let (alice, bob, eve) = (stage.guest(), stage.guest(), stage.guest());
    stage.subscribe(bob.conn, 1, CHAT);
    climb(&mut stage, step::SLOWEST - 2);
    for conn in [bob.conn, eve.conn] {
        stage.allow(conn, 0);
    }
    stage.tick();
    stage.publish(alice.conn, message(CHAT, 1)).expect("not the last step but one");
    let nothing = EventUp::Unsubscribe { key: ChannelKey(7) };
    stage.event(eve.conn, nothing); // whose answer waits
    climb(&mut stage, 2);
    let second = u32::from(stage.world.config().tick_rate.hz());
    stage.ticks_with(second - 3, &[bob.conn, alice.conn]);
    for seconds in [1, 12, 40] {
        stage.world.skip(seconds * second);
        stage.ticks_with(1, &[bob.conn, alice.conn]);
    }
    assert_eq!([bob.conn, eve.conn].map(|conn| stage.closed(conn)), [None; 2]);
    stage.ticks_with(1, &[bob.conn, alice.conn]);
    let slow = Some(CloseCode::SLOW_CONSUMER);
    assert_eq!([bob.conn, eve.conn].map(|conn| stage.closed(conn)), [slow; 2]);
}

/// All of a channel from its beginning is the dearest read there is, and no coming back.
#[test]
fn a_made_up_position_is_a_new_subscription_and_a_true_one_is_not() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    let Answer::Reset(was) = stage.subscribe(alice.conn, 1, CHAT) else { panic!("from now") };
    stage.say(alice.conn, CHAT, 1).expect("there is time");
    climb(&mut stage, step::READERS);
    let refused = Answer::Denied(CloseCode::OVERLOADED);
    let mut ask = |key, channel: &str, position: ChannelPosition| {
        stage.subscribe_with(bob.conn, key, channel, Some(position), false)
    };
    assert_eq!(ask(1, CHAT, place(Epoch(0), 0)), refused);
    assert_eq!(ask(1, "nowhere", was), refused);
    assert_eq!(ask(1, CHAT, was), Answer::Resumed);
    assert_eq!(stage.delivered(bob.conn, 1).len(), 1);
    assert_eq!(stage.world.counters().shed_refusals, 2);
}

/// What a session followed before its server died it follows again, wherever it was.
#[test]
fn a_subscription_that_the_last_life_lost_is_taken_up_on_every_step() {
    let mut stage = Stage::new();
    let alice = stage.guest();
    stage.detach(alice.conn);
    climb(&mut stage, step::SLOWEST);
    let (key, was) = (ChannelKey(3), place(Epoch(0), 5));
    let alice = stage.resume(&alice, &[(key, was)]);
    let answer = stage.subscribe_with(alice.conn, key.0, CHAT, Some(was), false);
    assert!(matches!(answer, Answer::Reset(_)), "{answer:?}");
    let other = stage.subscribe_with(alice.conn, 4, "news", Some(was), false);
    assert_eq!(other, Answer::Denied(CloseCode::OVERLOADED));
}

/// Who says that it is away is not said again what nobody heard: small things pass, and so do ends.
#[test]
fn what_members_say_of_themselves_is_told_on_every_step() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.subscribe_with(alice.conn, 1, CHAT, None, true);
    stage.subscribe(bob.conn, 1, CHAT);
    stage.subscribe(bob.conn, 2, "presence/chat");
    let lease = |ttl_ms| {
        let (name, data) = ("typing".into(), Vec::new());
        EventUp::Lease(Box::new(Lease { key: ChannelKey(1), name, ttl_ms, data }))
    };
    stage.event(alice.conn, lease(20_000));
    stage.tick();
    climb(&mut stage, step::SLOWEST);
    stage.events(bob.conn);
    stage.event(alice.conn, EventUp::Presence { state: MemberState::Away, data: Vec::new() });
    stage.event(alice.conn, lease(0));
    stage.tick();
    let heard = stage.events(bob.conn);
    let away = |event: &EventDown| matches!(event, EventDown::Deliver(e) if e.action == Action::Change(MemberState::Away));
    assert!(heard.iter().any(away), "{heard:?}");
    let ended = |event: &EventDown| matches!(event, EventDown::Leases { leases, .. } if leases.iter().any(|l| l.ttl_ms == 0));
    assert!(heard.iter().any(ended), "{heard:?}");
    stage.event(alice.conn, lease(20_000));
    let refused = stage.events(alice.conn).pop();
    let Some(EventDown::RequestRefused { code, retry_after_ms, .. }) = refused else {
        panic!("a new lease waits for better times: {refused:?}");
    };
    assert!(code == CloseCode::OVERLOADED && retry_after_ms.is_some());
}

/// A session of another life, or with a token of before, is begun anew: its client comes back all the same.
#[test]
fn who_comes_back_and_finds_no_session_is_let_in_on_every_step() {
    let mut stage = Stage::new();
    let alice = stage.guest();
    stage.detach(alice.conn);
    climb(&mut stage, step::SLOWEST);
    let mut wrong = stage.knock_again(&alice, &[]);
    wrong.resume.as_mut().expect("it is asked for").token_digest = [7; 32];
    let denied = stage.enter(wrong).expect("it was here");
    assert_eq!(denied.welcome.resumed, ResumeAnswer::Denied);
    let mut unknown = stage.knock_again(&alice, &[]);
    unknown.resume.as_mut().expect("it is asked for").session = SessionId(77);
    let reset = stage.enter(unknown).expect("it was here");
    assert_eq!(reset.welcome.resumed, ResumeAnswer::Reset);
    assert_eq!(stage.world.counters().shed_refusals, 0);
}

#[test]
fn newcomers_are_told_to_come_at_different_times() {
    let mut stage = Stage::new();
    climb(&mut stage, step::NEWCOMERS);
    let mut waits: Vec<u32> = (0..40)
        .map(|_| {
            let attach = stage.knock();
            let refused = stage.enter(attach).expect_err("too little time");
            refused.retry_after_ms.expect("it says when")
        })
        .collect();
    waits.sort_unstable();
    assert!(waits[0] >= 1_000 && waits[39] <= 5_000, "{waits:?}");
    assert!(waits.windows(2).all(|two| (1..=400).contains(&(two[1] - two[0]))), "{waits:?}");
}
