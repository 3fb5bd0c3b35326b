//! P6, P11: the values of a channel are told whole to whoever had not got all of them when the server
//! died. Nobody is taken for one who has read what it was only promised.

mod session_stage;

use session_stage::{Guest, Stage, message};
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, ChannelPosition};
use starling_world::namespace::{Keep, Namespace, Namespaces};
use std::collections::BTreeMap;

const DOORS: &str = "kept/doors";
const KEY: ChannelKey = ChannelKey(1);
const DOORS_COUNT: u64 = 40;

/// Sets the values, or sets them anew, each committed at once.
fn set_doors(stage: &mut Stage, who: &Guest, first_id: u64) {
    for door in 0..DOORS_COUNT {
        let key = Some(format!("door {door}"));
        let payload = vec![1; 4_000];
        let publish = Publish { key, payload, ..message(DOORS, first_id + door) };
        stage.event(who.conn, EventUp::Publish(Box::new(publish)));
        stage.commit();
        stage.breathe(who.conn);
        stage.tick();
    }
}

/// What a follower knows.
#[derive(Default)]
struct Copy {
    at: ChannelPosition,
    values: BTreeMap<String, u64>,
    whole: bool,
    resets: u32,
}

impl Copy {
    fn hear(&mut self, event: EventDown) {
        match event {
            EventDown::Subscribed { key: KEY, answer: Answer::Reset(at), .. } => {
                *self = Self { at, resets: self.resets + 1, ..Self::default() };
            }
            EventDown::State { key: KEY, entries, last } => {
                self.values.extend(entries.into_iter().map(|e| (e.key, e.offset.0)));
                self.whole = last;
            }
            EventDown::Deliver(event) if event.key == KEY => {
                assert_eq!(event.offset.0, self.at.offset.0 + 1, "contiguous");
                self.at.offset = event.offset;
                self.values.extend(event.state_key.map(|key| (key, event.offset.0)));
            }
            EventDown::Gap { .. } => panic!("nothing is gone"),
            _ => {}
        }
    }

    fn listen(&mut self, stage: &mut Stage, who: &Guest) {
        stage.events(who.conn).into_iter().for_each(|event| self.hear(event));
    }

    fn listen_on(&mut self, stage: &mut Stage, who: &Guest) {
        for _ in 0..30 {
            self.listen(stage, who);
            stage.answer();
            stage.breathe(who.conn);
            stage.tick();
        }
    }
}

fn comes_back(stage: &mut Stage, guest: &Guest, at: ChannelPosition) -> Guest {
    let mut attach = stage.knock_again(guest, &[(KEY, at)]);
    attach.principal.subject = "bob".into();
    stage.enter(attach).expect("a resume never refuses a session")
}

/// Takes in what a narrow link lets through: where the channel starts, and not all of its values.
fn subscribes_on_a_narrow_link(stage: &mut Stage, bob: &Guest, copy: &mut Copy) {
    stage.allow(bob.conn, 9_000);
    stage.subscribe_unanswered(bob.conn, KEY.0, DOORS);
    stage.commit();
    copy.listen(stage, bob);
    assert!(copy.resets == 1 && !copy.whole, "told where it starts, and not all values");
}

#[test]
fn who_had_not_got_all_values_when_the_server_died_gets_them_from_the_next() {
    let mut stage = Stage::durable();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    set_doors(&mut stage, &ann, 1);
    let mut copy = Copy::default();
    subscribes_on_a_narrow_link(&mut stage, &bob, &mut copy);
    for life in 0..3 {
        stage.crash(usize::MAX);
        let bob = comes_back(&mut stage, &bob, copy.at);
        stage.commit();
        copy.listen(&mut stage, &bob);
        assert_eq!(copy.resets, life + 2, "it starts anew, in each life");
    }
    let bob = comes_back(&mut stage, &bob, copy.at);
    copy.listen_on(&mut stage, &bob);
    assert!(copy.whole);
    assert_eq!(copy.values.len() as u64, DOORS_COUNT);
}

/// A subscription that the disk had not heard of is asked for again, from a place that was told.
#[test]
fn so_does_one_whose_subscription_was_lost() {
    let mut stage = Stage::durable();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    set_doors(&mut stage, &ann, 1);
    stage.allow(bob.conn, 9_000);
    stage.subscribe_unanswered(bob.conn, KEY.0, DOORS);
    let mut copy = Copy::default();
    copy.listen(&mut stage, &bob);
    stage.crash(0);
    let bob = comes_back(&mut stage, &bob, copy.at);
    stage.subscribe_with(bob.conn, KEY.0, DOORS, Some(copy.at), false);
    copy.listen_on(&mut stage, &bob);
    assert!(copy.whole);
    assert_eq!(copy.values.len() as u64, DOORS_COUNT);
}

/// A follower that fell behind what is kept begins anew somewhere else than it subscribed.
#[test]
fn so_does_one_that_began_anew_later() {
    let mut stage = Stage::durable_with(|config| {
        let keep = Keep { events: 8, ..Keep::DURABLE };
        let kept = Namespace { keep, ..Namespace::new("kept").durable() };
        config.namespaces = Namespaces::of(vec![kept, Namespace::new("")]);
    });
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    let mut copy = Copy::default();
    stage.subscribe_unanswered(bob.conn, KEY.0, DOORS);
    copy.listen_on(&mut stage, &bob);
    stage.allow(bob.conn, 0);
    set_doors(&mut stage, &ann, 1);
    stage.allow(bob.conn, 9_000);
    stage.tick();
    stage.commit();
    stage.tick();
    copy.listen(&mut stage, &bob);
    assert!(copy.resets == 2 && !copy.whole, "it began anew");
    stage.crash(usize::MAX);
    let bob = comes_back(&mut stage, &bob, copy.at);
    copy.listen_on(&mut stage, &bob);
    assert!(copy.whole);
    assert_eq!(copy.values.len() as u64, DOORS_COUNT);
}

/// Values that were told are not told again to whoever has read on since.
#[test]
fn who_has_read_on_goes_on_from_there() {
    let mut stage = Stage::durable();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    set_doors(&mut stage, &ann, 1);
    let mut copy = Copy::default();
    stage.subscribe_unanswered(bob.conn, KEY.0, DOORS);
    copy.listen_on(&mut stage, &bob);
    set_doors(&mut stage, &ann, 100);
    copy.listen_on(&mut stage, &bob);
    let resets = copy.resets;
    stage.crash(usize::MAX);
    let bob = comes_back(&mut stage, &bob, copy.at);
    copy.listen_on(&mut stage, &bob);
    assert_eq!((copy.resets, copy.values.len() as u64), (resets, DOORS_COUNT));
}
