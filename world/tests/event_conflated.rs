//! P4, conflated: a slow subscriber gets the newest of each key, in order, and no gap; and values as
//! differences, for those who take them.

mod session_stage;

use session_stage::dice::Dice;
use session_stage::{Guest, Stage, message};
use starling_protocol::delta;
use starling_protocol::message::control::Capabilities;
use starling_protocol::message::events::*;
use starling_world::namespace::{Namespace, Namespaces};
use std::collections::BTreeMap;

const LATEST: &str = "latest";

fn stage() -> Stage {
    let latest = Namespace { class: DeliveryClass::Conflated, ..Namespace::new(LATEST) };
    Stage::with(|config| config.namespaces = Namespaces::of(vec![latest, Namespace::new("doc")]))
}

fn set(channel: &str, id: u64, key: &str, value: Vec<u8>) -> Publish {
    Publish { key: Some(key.into()), payload: value, ..message(channel, id) }
}

#[test]
fn a_slow_subscriber_gets_the_newest_of_each_key_in_order() {
    let mut stage = stage();
    let (ann, bob) = (stage.guest(), stage.guest());
    stage.subscribe(bob.conn, 1, LATEST);
    stage.allow(bob.conn, 0);
    stage.tick();
    for id in 1..=40_u64 {
        if id % 10 == 0 {
            stage.ticks_with(4, &[bob.conn]);
        }
        let key = ["a", "b", "c"][id as usize % 3];
        stage.publish(ann.conn, set(LATEST, id, key, vec![id as u8; 2_000])).expect("accepted");
    }
    stage.publish(ann.conn, message(LATEST, 41)).expect("accepted");
    stage.allow(bob.conn, 1 << 20);
    stage.ticks_with(2, &[bob.conn]);
    let told = stage.delivered(bob.conn, 1);
    let offsets: Vec<_> = told.iter().map(|event| event.offset.0).collect();
    assert_eq!(offsets, [38, 39, 40, 41], "what has no key is passed over never");
}

#[test]
fn whoever_is_slow_the_newest_of_each_key_comes_and_nothing_goes_back() {
    for seed in 0..40 {
        let (mut stage, mut dice) = (stage(), Dice::new(seed));
        let author = stage.guest();
        let followers: Vec<Guest> = (0..3).map(|_| stage.guest()).collect();
        for guest in &followers {
            stage.subscribe(guest.conn, 1, LATEST);
        }
        let mut newest = BTreeMap::new();
        let mut heard = [const { BTreeMap::new() }; 3];
        let (mut at, mut delivered, mut top) = ([0; 3], 0, 0);
        let mut listen = |stage: &mut Stage| {
            for (who, guest) in followers.iter().enumerate() {
                for event in stage.delivered(guest.conn, 1) {
                    assert!(event.offset.0 > at[who], "in order");
                    at[who] = event.offset.0;
                    delivered += 1;
                    heard[who].insert(event.state_key.expect("all have one"), event.offset.0);
                }
            }
            delivered
        };
        let conns: Vec<_> = followers.iter().map(|guest| guest.conn).collect();
        for id in 0..300 {
            let key = format!("k{}", dice.roll(5));
            let value = set(LATEST, id, &key, vec![id as u8; 3_000]);
            if stage.publish(author.conn, value).is_ok() {
                top += 1;
                newest.insert(key, top);
            }
            let bytes = [0, 1, 4_000][dice.roll(3) as usize];
            stage.allow(conns[dice.roll(3) as usize], bytes);
            if dice.roll(2) == 0 {
                stage.ticks_with(1, &conns);
            }
            listen(&mut stage);
        }
        for _ in 0..40 {
            conns.iter().for_each(|conn| stage.allow(*conn, 1 << 20));
            stage.ticks_with(1, &conns);
            listen(&mut stage);
        }
        let total = listen(&mut stage);
        assert!(total < 3 * top, "some were passed over");
        for heard in heard {
            assert_eq!(heard, newest);
        }
    }
}

/// What one follower of a document is told, made whole again.
fn whole(told: Vec<EventDown>, last: &mut BTreeMap<String, Vec<u8>>) -> (Vec<Vec<u8>>, usize) {
    let (mut values, mut deltas) = (Vec::new(), 0);
    for event in told {
        let event = match event {
            EventDown::Deliver(event) => *event,
            EventDown::DeliverDelta { event, bytes } => {
                deltas += 1;
                let key = event.state_key.clone().expect("only values");
                let dictionary = &last[&key];
                let payload = delta::decode(&event.payload, dictionary, bytes).expect("ours");
                Event { payload, ..*event }
            }
            _ => continue,
        };
        values.push(event.payload.clone());
        last.insert(event.state_key.unwrap_or_default(), event.payload);
    }
    (values, deltas)
}

fn follower(stage: &mut Stage, capabilities: u32) -> Guest {
    let mut attach = stage.knock();
    attach.capabilities = capabilities;
    let guest = stage.enter(attach).expect("everyone is let in");
    stage.subscribe(guest.conn, 1, "doc");
    stage.events(guest.conn);
    guest
}

#[test]
fn large_values_come_as_differences_to_those_who_take_them() {
    let mut stage = stage();
    let author = stage.guest();
    let (new, old) = (follower(&mut stage, Capabilities::DELTAS), follower(&mut stage, 0));
    let mut dice = Dice::new(7);
    let mut document: Vec<u8> = (0..8_000).map(|_| dice.roll(256) as u8).collect();
    let (mut last, mut sent, mut deltas) = (BTreeMap::new(), Vec::new(), 0);
    let before = (stage.bytes(new.conn), stage.bytes(old.conn));
    for id in 0..20 {
        document[dice.roll(8_000) as usize] ^= 1;
        let key = format!("page{}", id % 2);
        stage.publish(author.conn, set("doc", id, &key, document.clone())).expect("accepted");
        sent.push(document.clone());
        stage.ticks_with(1, &[new.conn, old.conn]);
        let (values, made) = whole(stage.events(new.conn), &mut last);
        assert_eq!(values, sent[sent.len() - 1..], "what comes out is what was published");
        deltas += made;
        let (values, made) = whole(stage.events(old.conn), &mut BTreeMap::new());
        assert_eq!((values.len(), made), (1, 0));
    }
    assert_eq!(deltas, 18, "all but the first of each key");
    let (with, without) = (stage.bytes(new.conn) - before.0, stage.bytes(old.conn) - before.1);
    assert!(with * 5 < without, "{with} and {without} bytes");
    let clear = Publish { action: Action::Clear, ..set("doc", 50, "page0", Vec::new()) };
    stage.publish(author.conn, clear).expect("accepted");
    stage.publish(author.conn, set("doc", 51, "page0", document.clone())).expect("accepted");
    let (values, made) = whole(stage.events(new.conn), &mut last);
    assert_eq!((values.len(), made), (2, 0), "after its removal a value is told whole");
}

#[test]
fn whoever_begins_anew_is_told_values_whole() {
    let mut stage = stage();
    let author = stage.guest();
    let guest = follower(&mut stage, Capabilities::DELTAS);
    let document = vec![5; 4_000];
    stage.publish(author.conn, set("doc", 1, "page", document.clone())).expect("accepted");
    stage.events(guest.conn);
    let Some(EventDown::Subscribed { top, .. }) = ({
        stage.subscribe(guest.conn, 1, "doc");
        stage.events(guest.conn).into_iter().next()
    }) else {
        panic!("it is answered")
    };
    assert_eq!(top.offset.0, 1);
    stage.publish(author.conn, set("doc", 2, "page", document)).expect("accepted");
    assert_eq!(stage.delivered(guest.conn, 1).len(), 1, "not as a difference");
}
