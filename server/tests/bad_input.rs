//! What a client may send wrong: each has its code and its counter, and nobody else notices (P15).

mod support;

use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::limits::{
    DATAGRAM_BYTES_MAX, EVENT_BYTES_MAX, MESSAGE_BYTES_MAX, SUBSCRIPTIONS_MAX,
};
use starling_protocol::message::control::{
    ControlDown, ControlUp, Hello, INBOX, RejectReason, Rejection,
};
use starling_protocol::message::events::{Answer, EventDown, EventUp, Publish, Scope};
use starling_protocol::message::interest::{Interest, Shape, Target};
use starling_protocol::sample::{Fix, Sample};
use starling_protocol::space::{IPos, Space};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{ChannelKey, Handle, MessageId, Nanos, Tick};
use starling_protocol::uplink::{SampleUp, UplinkWriter};
use starling_server::config::Templates;
use starling_server::stepped::Builder;
use support::{Hall, hall, hall_of, hello, metric_world, settings, spawn};

/// A hall with one client to misbehave and another to be left alone.
fn rude() -> (Hall, usize) {
    let mut hall = hall();
    hall.guest();
    let at = hall.guest();
    (hall, at)
}

fn closed_with(hall: &mut Hall, at: usize, code: CloseCode) {
    hall.until("the rude client is closed", |hall| hall.closed(at).is_some());
    assert_eq!(hall.closed(at), Some(code));
    assert_eq!(hall.closes(code), 1, "and counted once");
    hall.others_are_served(at);
}

#[test]
fn a_message_beyond_its_limit_is_refused_by_its_length_alone() {
    let (mut hall, at) = rude();
    let length = (MESSAGE_BYTES_MAX as u32 + 1) | 0x8000_0000;
    hall.raw(at, StreamKind::Events, &length.to_be_bytes());
    closed_with(&mut hall, at, CloseCode::TOO_LARGE);
    assert_eq!(hall.totals().messages_malformed.get(), 1);
}

#[test]
fn a_length_of_two_to_the_62_allocates_nothing() {
    let (mut hall, at) = rude();
    hall.raw(at, StreamKind::Control, &[0xff; 8]);
    closed_with(&mut hall, at, CloseCode::TOO_LARGE);
}

#[test]
fn garbage_on_any_stream_closes_with_protocol_error() {
    for stream in StreamKind::ALL {
        let (mut hall, at) = rude();
        hall.send(at, stream, &[0xff; 40]);
        closed_with(&mut hall, at, CloseCode::PROTOCOL_ERROR);
        assert_eq!(hall.totals().messages_malformed.get(), 1, "{stream:?}");
    }
}

#[test]
fn an_empty_frame_is_refused() {
    let (mut hall, at) = rude();
    hall.raw(at, StreamKind::Bulk, &[0]);
    closed_with(&mut hall, at, CloseCode::PROTOCOL_ERROR);
}

#[test]
fn bytes_after_the_end_of_a_message_are_refused() {
    let (mut hall, at) = rude();
    let mut body = codec::encode(&ControlUp::Despawn { handle: Handle(3) });
    body.push(0);
    hall.send(at, StreamKind::Control, &body);
    closed_with(&mut hall, at, CloseCode::PROTOCOL_ERROR);
}

#[test]
fn a_message_cut_at_any_byte_is_refused_or_waited_for() {
    let whole = codec::encode(&spawn("cut", [5, 6, 7]));
    for end in 1..whole.len() {
        let (mut hall, at) = rude();
        hall.send(at, StreamKind::Control, &whole[..end]);
        hall.run_ms(20);
        assert_eq!(hall.closed(at), Some(CloseCode::PROTOCOL_ERROR), "cut at {end}");
    }
}

#[test]
fn garbage_datagrams_are_counted_and_nothing_else() {
    let (mut hall, at) = rude();
    let mut seed = 9_u64;
    for round in 0..60_u64 {
        let mut garbage = vec![0; (round as usize * 37) % (DATAGRAM_BYTES_MAX + 1)];
        for byte in &mut garbage {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (seed >> 56) as u8;
        }
        hall.datagram(at, &garbage);
        hall.run_ms(25);
    }
    hall.run_ms(100);
    let counters = hall.server.room("test").expect("it is there").world().counters().clone();
    assert!(counters.uplinks_malformed > 50, "seed 9: {counters:?}");
    assert_eq!(hall.closed(at), None);
    hall.others_are_served(usize::MAX);
}

#[test]
fn a_datagram_that_is_too_large_is_dropped_and_counted() {
    let (mut hall, at) = rude();
    hall.datagram(at, &[1; DATAGRAM_BYTES_MAX + 1]);
    hall.run_ms(20);
    assert_eq!(hall.totals().datagrams_oversized.get(), 1);
    assert_eq!(hall.closed(at), None);
}

#[test]
fn a_datagram_before_admission_is_dropped_and_counted() {
    let mut hall = hall();
    let at = hall.stranger();
    hall.datagram(at, &[1; 20]);
    hall.run_ms(20);
    assert_eq!(hall.totals().datagrams_early.get(), 1);
    assert_eq!(hall.closed(at), None);
}

#[test]
fn a_flood_of_datagrams_is_dropped_unread_and_ends_after_five_seconds() {
    let (mut hall, at) = rude();
    let began = hall.now;
    while hall.closed(at).is_none() {
        for size in 0..10 {
            hall.datagram(at, &vec![0; size]);
        }
        hall.run_ms(1);
        assert!(hall.now.since(began) < 10 * Nanos::SECOND, "the flood goes on");
    }
    assert!(hall.now.since(began) >= 5 * Nanos::SECOND, "a burst is put up with");
    let counters = hall.server.room("test").expect("it is there").world().counters().clone();
    let read = counters.uplinks + counters.uplinks_malformed + counters.uplinks_excess;
    assert!(read <= 80 * 9, "{read} were read of {}", hall.totals().datagrams_received.get());
    assert!(hall.totals().datagrams_over_rate.get() > 40_000);
    closed_with(&mut hall, at, CloseCode::ABUSE);
}

#[test]
fn messages_beyond_the_rate_wait_their_turn_and_none_is_lost() {
    let slow = settings(|config| {
        config.limits.events_per_s = 100;
        config.limits.events_burst = 10;
    });
    let mut hall = hall_of(Builder::new(slow, 1).world(metric_world()));
    let at = hall.guest();
    for key in 1..=60 {
        hall.event(at, &EventUp::Unsubscribe { key: ChannelKey(key) });
        hall.event(at, &subscribe(key, "news"));
    }
    hall.run_ms(20);
    let answers = |hall: &Hall| {
        let of_ours = |m: &&EventDown| matches!(m, EventDown::Subscribed { key, .. } if key.0 > 0);
        hall.clients[at].events.iter().filter(of_ours).count()
    };
    assert!(answers(&hall) <= 10);
    assert!(hall.totals().messages_held.get() >= 1);
    hall.run_ms(2_000);
    assert_eq!(answers(&hall), 60);
    assert_eq!(hall.closed(at), None);
}

#[test]
fn a_client_that_keeps_too_many_messages_waiting_is_closed() {
    let slow = settings(|config| {
        config.limits.events_per_s = 1;
        config.limits.events_burst = 1;
        config.limits.backlog_bytes = 65_536;
    });
    let mut hall = hall_of(Builder::new(slow, 1).world(metric_world()));
    hall.guest();
    let at = hall.guest();
    let big = publish(1, Scope::World, EVENT_BYTES_MAX);
    for _ in 0..8 {
        hall.event(at, &big);
    }
    closed_with(&mut hall, at, CloseCode::RATE_LIMITED);
}

fn subscribe(key: u32, channel: &str) -> EventUp {
    let (key, channel) = (ChannelKey(key), channel.into());
    EventUp::Subscribe { key, channel, resume: None, presence: false }
}

fn publish(message: u64, scope: Scope, bytes: usize) -> EventUp {
    EventUp::Publish(Box::new(Publish::plain(MessageId(message), scope, vec![7; bytes])))
}

#[test]
fn ten_thousand_subscriptions_are_answered_and_bounded() {
    let (mut hall, at) = rude();
    let mut sent = 0;
    // At a pace that is allowed: the bound on what one session may hold is what refuses them.
    for _ in 0..10_000 / 4 {
        for _ in 0..4 {
            sent += 1;
            hall.event(at, &subscribe(sent, &format!("channel/{sent}")));
        }
        hall.run_ms(250);
    }
    hall.run_ms(1_000);
    let (mut granted, mut denied) = (0, 0);
    for message in &hall.clients[at].events {
        match message {
            EventDown::Subscribed { answer: Answer::Denied(code), .. } => {
                assert!(
                    matches!(*code, CloseCode::LIMIT | CloseCode::RATE_LIMITED),
                    "denied with {code}"
                );
                denied += 1;
            }
            EventDown::Subscribed { key, .. } if *key != INBOX => granted += 1,
            _ => {}
        }
    }
    assert_eq!(granted + denied, 10_000, "each is answered");
    assert!((SUBSCRIPTIONS_MAX - 1..=SUBSCRIPTIONS_MAX).contains(&granted), "{granted}");
    assert_eq!(hall.closed(at), None);
    hall.others_are_served(usize::MAX);
}

#[test]
fn an_unknown_channel_or_key_is_answered() {
    let (mut hall, at) = rude();
    hall.event(at, &subscribe(1, ""));
    hall.event(at, &subscribe(2, &"x".repeat(200)));
    hall.event(at, &publish(9, Scope::Channel("a\u{0}b".into()), 3));
    hall.run_ms(50);
    let refused = hall.clients[at].events.iter().filter(|message| {
        matches!(
            message,
            EventDown::Subscribed { answer: Answer::Denied(_), .. }
                | EventDown::PublishRefused { .. }
        )
    });
    assert_eq!(refused.count(), 3, "{:?}", hall.clients[at].events);
    assert_eq!(hall.closed(at), None);
}

#[test]
fn an_event_that_is_too_large_is_refused() {
    let (mut hall, at) = rude();
    hall.event(at, &publish(1, Scope::World, EVENT_BYTES_MAX + 1));
    hall.run_ms(50);
    let refused = hall.clients[at].events.iter().any(|message| {
        matches!(message, EventDown::PublishRefused { code: CloseCode::TOO_LARGE, .. })
    });
    assert!(refused, "{:?}", hall.clients[at].events);
    assert_eq!(hall.closed(at), None);
}

#[test]
fn a_foreign_entity_cannot_be_touched() {
    let (mut hall, at) = rude();
    hall.control(at, &ControlUp::Despawn { handle: Handle(77) });
    hall.control(at, &ControlUp::SetFields { handle: Handle(77), fields: vec![(0, 1)] });
    hall.control(at, &ControlUp::SetBlock { handle: Handle(77), block: vec![1] });
    hall.run_ms(50);
    let refused = hall.clients[at].control.iter().filter(|message| {
        matches!(message, ControlDown::RequestRefused { code: CloseCode::UNKNOWN_ENTITY, .. })
    });
    assert_eq!(refused.count(), 3, "{:?}", hall.clients[at].control);
    assert_eq!(hall.closed(at), None);
}

#[test]
fn an_area_of_interest_that_is_none_is_refused() {
    let (mut hall, at) = rude();
    let center = [f64::NAN, 0.0, 0.0];
    let around = |radius_m| Shape::Around { entity: None, radius_m };
    let shapes = [
        Shape::Point { center, radius_m: 10.0 },
        Shape::Point { center: [f64::INFINITY, 0.0, 0.0], radius_m: 10.0 },
        Shape::Point { center: [0.0; 3], radius_m: f32::NAN },
        Shape::Viewport { center, side_m: 10.0 },
        Shape::Box { min: center, max: [1.0; 3] },
        Shape::Nearest { count: 5, center: Some(center) },
        around(-1.0),
        around(f32::INFINITY),
    ];
    let count = shapes.len();
    for shape in shapes {
        hall.control(at, &ControlUp::SetInterest { id: 0, interest: Some(Interest::new(shape)) });
    }
    let follow = Interest::new(Shape::Follow { entity: Target::Name("x".repeat(65)) });
    hall.control(at, &ControlUp::SetInterest { id: 200, interest: Some(follow) });
    hall.run_ms(50);
    let refused = |m: &&ControlDown| matches!(m, ControlDown::RequestRefused { .. });
    let refused = hall.clients[at].control.iter().filter(refused).count();
    assert_eq!(refused, count + 1, "{:?}", hall.clients[at].control);
    assert_eq!(hall.closed(at), None);
}

#[test]
fn latitude_91_and_other_places_that_are_none_are_refused() {
    let mut hall = hall();
    let create = Some(Space::Geodetic);
    let at = hall.says(Hello { world: "globe".into(), create, ..hello() });
    for (number, place) in [
        [910_000_000, 0, 0],
        [0, 1_810_000_000, 0],
        [i32::MIN, i32::MIN, i32::MIN],
        [0, 0, i32::MAX],
    ]
    .into_iter()
    .enumerate()
    {
        hall.control(at, &spawn(&format!("lost-{number}"), place));
    }
    hall.run_ms(50);
    let refused = hall.clients[at].control.iter().filter(|message| {
        matches!(message, ControlDown::SpawnRefused { code: CloseCode::BAD_POSITION, .. })
    });
    assert_eq!(refused.count(), 4, "{:?}", hall.clients[at].control);
    assert_eq!(hall.closed(at), None);
}

#[test]
fn a_fix_that_lies_an_hour_ahead_is_rejected_and_counted() {
    const NOON_MS: u64 = 1_800_000_000_000;
    let mut globe = Templates::default().created("globe", Space::Geodetic);
    globe.speed_max_mps = None;
    let builder = Builder::new(settings(|_| {}), 1).world(globe).began_at(NOON_MS);
    let mut hall = hall_of(builder);
    let at = hall.says(Hello { world: "globe".into(), ..hello() });
    hall.control(at, &spawn("bus", [0, 0, 0]));
    hall.run_ms(600);
    let say = |hall: &mut Hall, sequence: u16, time_ms: u64| {
        let position = IPos([i32::from(sequence) * 100, 0, 0]);
        let fix = Some(Fix { time_ms, ..Fix::default() });
        let sample = Sample { position, fix, ..Sample::default() };
        let mut datagram = Vec::new();
        let mut writer = UplinkWriter::new(&mut datagram, Space::Geodetic, sequence, Tick(0));
        assert!(writer.sample(&SampleUp { handle: Handle(0), sequence, sample }), "one fits");
        writer.finish();
        hall.datagram(at, &datagram);
        hall.run_ms(600);
    };
    let now_ms = |hall: &Hall| NOON_MS + hall.now.0 / Nanos::MILLISECOND;
    let good = now_ms(&hall);
    say(&mut hall, 1, good);
    let hour_ahead = now_ms(&hall) + 3_600_000;
    say(&mut hall, 2, hour_ahead);
    let rejections: Vec<_> = hall.clients[at]
        .control
        .iter()
        .filter_map(|message| match message {
            ControlDown::Rejected { samples, .. } => Some(samples.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    let reason = RejectReason::BadTime;
    assert_eq!(rejections, [Rejection { handle: Handle(0), sequence: 2, reason }]);
    let room = hall.server.room("globe").expect("it is there");
    let counters = room.world().counters();
    assert_eq!(counters.samples_rejected[reason as usize], 1);
    assert_eq!(counters.samples_accepted, 1);
}

#[test]
fn random_bytes_on_random_streams_never_harm_the_others() {
    let mut seed = 4_711_u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u32
    };
    let mut hall = hall();
    let guest = hall.guest();
    for _ in 0..60 {
        let at = if next() % 2 == 0 { hall.stranger() } else { hall.guest() };
        for _ in 0..next() % 6 {
            let stream = StreamKind::ALL[next() as usize % 4];
            let bytes: Vec<u8> = (0..next() % 200).map(|_| next() as u8).collect();
            match next() % 3 {
                0 if !bytes.is_empty() => hall.send(at, stream, &bytes),
                1 => hall.raw(at, stream, &bytes),
                _ => hall.datagram(at, &bytes),
            }
            hall.run_ms(3);
        }
        assert_eq!(hall.closed(guest), None, "seed 4711");
    }
    let documented = [
        CloseCode::PROTOCOL_ERROR,
        CloseCode::TOO_LARGE,
        CloseCode::HELLO_TIMEOUT,
        CloseCode::RATE_LIMITED,
    ];
    for at in 0..hall.clients.len() {
        let code = hall.closed(at);
        assert!(code.is_none_or(|code| documented.contains(&code)), "seed 4711: {code:?}");
    }
    hall.control(guest, &spawn("still-here", [1, 2, 3]));
    hall.run_ms(100);
    let spawned = |m: &ControlDown| matches!(m, ControlDown::Spawned { .. });
    assert!(hall.clients[guest].control.iter().any(spawned));
}
