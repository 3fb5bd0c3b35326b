//! P4: each channel has one total order, numbered without gaps, and every subscriber sees a
//! contiguous run of it, in order.

mod session_stage;

use session_stage::{Stage, place, spawn_at};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::CHANNELS_MADE_MAX;
use starling_protocol::message::events::{Answer, EventDown, EventUp, Receipt};
use starling_protocol::units::ChannelKey;

#[test]
fn every_subscriber_gets_the_same_events_in_the_same_order_numbered_from_one() {
    let mut stage = Stage::new();
    let guests: Vec<_> = (0..3).map(|_| stage.guest()).collect();
    for (i, guest) in guests.iter().enumerate() {
        let Answer::Reset(from) = stage.subscribe(guest.conn, i as u32 + 1, "chat") else {
            panic!("a subscription without a place starts from now");
        };
        assert_eq!(from.offset.0, 0);
    }
    for id in 0..30 {
        let publisher = guests[id as usize % 3].conn;
        assert!(
            matches!(stage.say(publisher, "chat", id), Ok(Receipt::Channel(p)) if p.offset.0 == id + 1)
        );
    }
    for (i, guest) in guests.iter().enumerate() {
        let got = stage.delivered(guest.conn, i as u32 + 1);
        let numbers: Vec<_> = got.iter().map(|e| (e.offset.0, e.message.0)).collect();
        assert_eq!(numbers, (0..30).map(|id| (id + 1, id)).collect::<Vec<_>>());
    }
}

#[test]
fn an_event_names_its_publisher_and_does_not_wait_for_a_tick() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    stage.subscribe(bob.conn, 1, "chat");
    stage.say(alice.conn, "chat", 7).expect("open mode");
    let got = stage.delivered(bob.conn, 1);
    let publisher = got[0].publisher.as_ref().expect("a client published it");
    assert_eq!((publisher.session, publisher.subject.as_str()), (alice.session(), "alice"));
    assert_eq!(got[0].payload, 7u64.to_le_bytes());
}

#[test]
fn a_subscriber_starts_from_now_and_ends_when_it_says_so() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    let Ok(Receipt::Channel(top)) = stage.say(alice.conn, "chat", 0) else { panic!("accepted") };
    assert_eq!(stage.subscribe(bob.conn, 1, "chat"), Answer::Reset(top));
    stage.say(alice.conn, "chat", 1).expect("accepted");
    assert_eq!(stage.delivered(bob.conn, 1).len(), 1);
    stage.event(bob.conn, EventUp::Unsubscribe { key: ChannelKey(1) });
    let ended = EventDown::Unsubscribed { key: ChannelKey(1), code: CloseCode::GOODBYE };
    assert_eq!(stage.events(bob.conn), [ended]);
    stage.say(alice.conn, "chat", 2).expect("accepted");
    assert!(stage.events(bob.conn).is_empty());
}

#[test]
fn a_subscription_to_the_past_gets_what_is_kept() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    let Ok(Receipt::Channel(first)) = stage.say(alice.conn, "chat", 0) else { panic!("accepted") };
    stage.say(alice.conn, "chat", 1).expect("accepted");
    let answer = stage.subscribe_with(bob.conn, 1, "chat", Some(place(first.epoch, 0)), false);
    assert_eq!(answer, Answer::Resumed);
    let got: Vec<_> = stage.delivered(bob.conn, 1).iter().map(|e| e.offset.0).collect();
    assert_eq!(got, [1, 2]);
}

#[test]
fn a_key_names_one_channel_and_a_channel_has_one_key() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.subscribe(guest.conn, 1, "a");
    let taken = Answer::Denied(CloseCode::BAD_NAME);
    assert_eq!(stage.subscribe(guest.conn, 1, "b"), taken);
    assert_eq!(stage.subscribe(guest.conn, 2, "a"), taken);
    assert_eq!(stage.subscribe(guest.conn, 0, "c"), taken, "0 is the inbox");
    assert!(matches!(stage.subscribe(guest.conn, 1, "a"), Answer::Reset(_)), "the same again");
    stage.say(guest.conn, "a", 1).expect("accepted");
    assert_eq!(stage.delivered(guest.conn, 1).len(), 1, "once, although asked for twice");
}

#[test]
fn a_channel_that_nobody_follows_is_forgotten_once_its_events_are_old() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let Ok(Receipt::Channel(first)) = stage.say(guest.conn, "once", 0) else { panic!("accepted") };
    stage.ticks_with(10, &[guest.conn]);
    let Ok(Receipt::Channel(second)) = stage.say(guest.conn, "once", 1) else { panic!("accepted") };
    assert_eq!((first.epoch, second.offset.0), (second.epoch, 2), "still the same channel");
    stage.world.skip(600 * 20);
    stage.breathe(guest.conn);
    stage.ticks_with(20, &[guest.conn]);
    assert_eq!(stage.world.counters().channels_forgotten, 1);
    let Ok(Receipt::Channel(anew)) = stage.say(guest.conn, "once", 2) else { panic!("accepted") };
    assert_ne!(anew.epoch, first.epoch, "an old place in it must not be mistaken for a new one");
    assert_eq!(anew.offset.0, 1);
}

#[test]
fn a_quiet_channel_is_named_with_its_top_every_few_seconds() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.subscribe(guest.conn, 3, "quiet");
    stage.say(guest.conn, "quiet", 0).expect("accepted");
    stage.events(guest.conn);
    stage.ticks_with(201, &[guest.conn]);
    let tops: Vec<_> = stage.events(guest.conn);
    let of_quiet = |event: &EventDown| match event {
        EventDown::Tops { tops } => tops.iter().any(|(k, o)| (k.0, o.0) == (3, 1)),
        other => panic!("nothing else happened: {other:?}"),
    };
    assert_eq!(tops.iter().filter(|event| of_quiet(event)).count(), 2, "every five seconds");
}

#[test]
fn one_session_makes_so_many_channels_and_more_only_when_they_are_forgotten() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    let mut id = 0;
    let mut say = |stage: &mut Stage, conn, channel: &str| {
        id += 1;
        if id % 2 == 0 {
            stage.tick(); // within the rate of publishes
        }
        stage.say(conn, channel, id)
    };
    for number in 0..CHANNELS_MADE_MAX {
        say(&mut stage, alice.conn, &format!("c{number}")).expect("as many as it may");
    }
    assert_eq!(say(&mut stage, alice.conn, "more"), Err(CloseCode::LIMIT));
    let denied = Answer::Denied(CloseCode::LIMIT);
    assert_eq!(stage.subscribe(alice.conn, 1, "more"), denied);
    assert!(say(&mut stage, alice.conn, "c0").is_ok(), "what stands can be spoken in");
    assert!(say(&mut stage, bob.conn, "more").is_ok(), "others are not held to it");
    assert!(say(&mut stage, alice.conn, "more").is_ok(), "nor is it, once another has made one");
    stage.spawn(alice.conn, spawn_at("van", [0.0; 3])).expect("room");
    assert!(say(&mut stage, alice.conn, "van").is_ok(), "one more for each entity of its own");
    assert_eq!(say(&mut stage, alice.conn, "lorry"), Err(CloseCode::LIMIT));
    stage.ticks(13_000);
    assert!(stage.world.counters().channels_forgotten > CHANNELS_MADE_MAX as u64);
    assert!(say(&mut stage, alice.conn, "again").is_ok());
}
