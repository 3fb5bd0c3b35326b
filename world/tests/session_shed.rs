//! P13: with too little time a world gives up one thing after the other, tells everyone, and gives up
//! neither what it accepted nor who comes back; with time again it takes them up in reverse.

mod session_stage;

use session_stage::{Guest, Stage, message};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{ControlDown, ResumeAnswer};
use starling_protocol::message::events::*;
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
