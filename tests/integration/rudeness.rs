//! What a client that is in may do wrong over real QUIC: each has its documented answer and its
//! counter, and nobody else notices (P15).

use crate::stage::{GLOBE, Stage, Who, YARD, config, hello, spawn, stage};
use starling_client::{
    ClientEvent, CloseCode, ConnectOptions, Interest, Pose, Publication, RequestError, Shape,
    Space, SpawnSpec, SubscribeOptions, Target,
};
use starling_protocol::limits::{DATAGRAM_BYTES_MAX, EVENT_BYTES_MAX, MESSAGE_BYTES_MAX};
use starling_protocol::message::control::{ControlDown, ControlUp, RejectReason};
use starling_protocol::message::events::{EventDown, EventUp, Publish, Scope};
use starling_protocol::sample::Sample;
use starling_protocol::space::IPos;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{ChannelKey, Handle, MessageId, Tick};
use starling_protocol::uplink::{CueScope, CueUp, SampleUp, UplinkWriter};
use starling_server::config::WorldEntry;

/// Two who behave, and one in the same world who will not.
fn three() -> (Stage, [Who; 2], usize) {
    let mut stage = stage();
    let pair = stage.pair();
    let at = stage.guest(YARD);
    (stage, pair, at)
}

fn in_yard(counter: &str) -> String {
    format!("starling_world_{counter}_total{{world=\"{YARD}\"}}")
}

/// It is closed with this code, which is counted; the others go on.
fn is_closed(stage: &mut Stage, pair: [Who; 2], at: usize, code: CloseCode) {
    stage.until("it is closed", |stage| stage.rude[at].closed.is_some());
    assert_eq!(stage.rude[at].closed, Some(code));
    stage.counts_close(code);
    stage.others_go_on(pair);
}

#[test]
fn a_message_too_large_is_refused_by_its_length() {
    let (mut stage, pair, at) = three();
    let length = (MESSAGE_BYTES_MAX as u32 + 1) | 0x8000_0000;
    stage.rude[at].raw(StreamKind::Control, &length.to_be_bytes());
    is_closed(&mut stage, pair, at, CloseCode::TOO_LARGE);
}

#[test]
fn garbage_on_a_stream_is_a_protocol_error() {
    let (mut stage, pair, at) = three();
    stage.rude[at].frame(StreamKind::Events, &[0xff; 40]);
    is_closed(&mut stage, pair, at, CloseCode::PROTOCOL_ERROR);
}

#[test]
fn ten_thousand_subscriptions_at_once_are_too_many_messages() {
    let (mut stage, pair, at) = three();
    for key in 1..=10_000 {
        let channel = format!("a-channel-that-has-a-rather-long-name-and-is-the-only-one-so/{key}");
        let key = ChannelKey(key);
        stage.rude[at].event(&EventUp::Subscribe { key, channel, resume: None, presence: false });
    }
    is_closed(&mut stage, pair, at, CloseCode::RATE_LIMITED);
    stage.counts(&in_yard("subscriptions_denied"), 1.0);
}

#[test]
fn garbage_datagrams_are_counted_and_change_nothing() {
    let (mut stage, pair, at) = three();
    let mut seed = 5_u64;
    stage.until_with(
        "garbage is counted (seed 5)",
        |stage| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let garbage: Vec<u8> = (0..seed >> 54).map(|n| (seed >> (n % 56)) as u8).collect();
            stage.rude[at].datagram(&garbage);
        },
        |stage| stage.metric(&in_yard("uplinks_malformed")) >= 30.0,
    );
    assert_eq!(stage.rude[at].closed, None);
    stage.others_go_on(pair);
}

#[test]
fn a_datagram_beyond_the_limit_is_dropped_and_counted() {
    let (mut stage, pair, at) = three();
    let name = "starling_net_datagrams_oversized_total{transport=\"quic\"}";
    stage.until_with(
        "it is counted",
        |stage| {
            stage.rude[at].datagram(&[1; DATAGRAM_BYTES_MAX + 1]);
        },
        |stage| stage.metric(name) >= 1.0,
    );
    assert_eq!(stage.rude[at].closed, None);
    stage.others_go_on(pair);
}

#[test]
fn what_is_not_a_number_is_refused_wherever_it_is_said() {
    let (mut stage, pair, at) = three();
    let center = [f64::NAN, 0.0, 0.0];
    let area = Interest::new(Shape::Point { center, radius_m: 10.0 });
    stage.rude[at].control(&ControlUp::SetInterest { id: 0, interest: Some(area) });
    stage.until("the area is refused", |stage| {
        stage.rude[at].control.iter().any(|message| {
            matches!(message, ControlDown::RequestRefused { code: CloseCode::BAD_INTEREST, .. })
        })
    });
    stage.rude[at].event(&publish(1, Scope::Near { center, radius_m: 10.0 }));
    stage.until("the event is refused", |stage| {
        refusals(stage, at).any(|code| code == CloseCode::BAD_POSITION)
    });
    let reach = CueScope::Near { center: IPos([0; 3]), radius_m: f32::NAN };
    stage.until_with(
        "the cue is refused",
        |stage| {
            stage.rude[at].datagram(&cue_with_a_bad_radius(reach));
        },
        |stage| stage.metric(&in_yard("uplinks_malformed")) >= 1.0,
    );
    stage.counts(&in_yard("requests_refused"), 1.0);
    stage.counts(&in_yard("events_refused"), 1.0);
    let ann = &mut stage[pair[0]];
    let me = ann.me();
    let nowhere = ann.client.set_pose(me, Pose::at([f64::NAN, 0.0, 0.0]));
    assert!(matches!(nowhere, Err(RequestError::Position(_))), "{nowhere:?}");
    stage.others_go_on(pair);
}

fn publish(message: u64, scope: Scope) -> EventUp {
    EventUp::Publish(Box::new(Publish::plain(MessageId(message), scope, vec![7; 3])))
}

fn refusals(stage: &Stage, at: usize) -> impl Iterator<Item = CloseCode> {
    stage.rude[at].events.iter().filter_map(|message| match message {
        EventDown::PublishRefused { code, .. } => Some(*code),
        _ => None,
    })
}

/// The writer refuses such a radius, so it is put in afterwards.
fn cue_with_a_bad_radius(reach: CueScope) -> Vec<u8> {
    let CueScope::Near { center, radius_m } = reach else { panic!("a cue near a point") };
    let good = 1.25_f32;
    let mut datagram = Vec::new();
    let mut writer = UplinkWriter::new(&mut datagram, Space::Metric, 1, Tick(0));
    let scope = CueScope::Near { center, radius_m: good };
    writer.cues([CueUp { id: 1, kind: 1, life: 3, scope, payload: &[] }].into_iter());
    writer.finish();
    let place = datagram.windows(4).position(|bytes| bytes == good.to_le_bytes());
    let place = place.expect("the radius is written as it is");
    datagram[place..place + 4].copy_from_slice(&radius_m.to_le_bytes());
    datagram
}

#[test]
fn an_entity_at_latitude_91_is_refused_and_so_is_a_way_there() {
    let mut stage = stage();
    let pair = stage.pair();
    let at = stage.guest(GLOBE);
    stage.rude[at].control(&spawn([910_000_000, 0, 0]));
    stage.until("it is refused", |stage| {
        stage.rude[at].control.iter().any(|message| {
            matches!(message, ControlDown::SpawnRefused { code: CloseCode::BAD_POSITION, .. })
        })
    });
    stage.rude[at].control(&spawn([520_000_000, 130_000_000, 0]));
    stage.until("a real place is none", |stage| handle(stage, at).is_some());
    let handle = handle(&stage, at).expect("it was just seen");
    let north_of_north = Sample { position: IPos([910_000_000, 0, 0]), ..Sample::default() };
    is_rejected(&mut stage, at, handle, north_of_north, Space::Geodetic, RejectReason::OutOfRange);
    let counter = format!("starling_world_samples_rejected_total{{world=\"{GLOBE}\"}}");
    stage.counts(&counter, 1.0);
    stage.others_go_on(pair);
}

/// The handle of its first entity.
fn handle(stage: &Stage, at: usize) -> Option<Handle> {
    stage.rude[at].control.iter().find_map(|message| match message {
        ControlDown::Spawned { handle, .. } => Some(*handle),
        _ => None,
    })
}

/// Says this sample until it is told that it was not taken, and why.
fn is_rejected(
    stage: &mut Stage,
    at: usize,
    handle: Handle,
    sample: Sample,
    space: Space,
    why: RejectReason,
) {
    let mut sequence = 0;
    stage.until_with(
        "the sample is rejected",
        |stage| {
            sequence += 1;
            let mut datagram = Vec::new();
            let mut writer = UplinkWriter::new(&mut datagram, space, sequence, Tick(0));
            assert!(writer.sample(&SampleUp { handle, sequence, sample }), "one sample fits");
            writer.finish();
            stage.rude[at].datagram(&datagram);
        },
        |stage| {
            stage.rude[at].control.iter().any(|message| match message {
                ControlDown::Rejected { samples, .. } => {
                    samples.iter().any(|s| s.handle == handle && s.reason == why)
                }
                _ => false,
            })
        },
    );
    assert_eq!(stage.rude[at].closed, None);
}

#[test]
fn an_entity_of_somebody_else_cannot_be_touched() {
    let (mut stage, pair, at) = three();
    let foreign = Handle(0);
    stage.rude[at].control(&ControlUp::Despawn { handle: foreign });
    stage.rude[at].control(&ControlUp::SetFields { handle: foreign, fields: vec![(0, 1)] });
    stage.until("both are refused", |stage| {
        let refused = stage.rude[at].control.iter().filter(|message| {
            matches!(message, ControlDown::RequestRefused { code: CloseCode::UNKNOWN_ENTITY, .. })
        });
        refused.count() == 2
    });
    let there = Sample { position: IPos([9_000, 0, 0]), ..Sample::default() };
    is_rejected(&mut stage, at, foreign, there, Space::Metric, RejectReason::NotYours);
    stage.counts(&in_yard("requests_refused"), 2.0);
    stage.counts(&in_yard("samples_rejected"), 1.0);
    stage.others_go_on(pair);
}

#[test]
fn the_name_of_an_entity_is_given_once() {
    let (mut stage, pair, _) = three();
    let thief = stage.knocks(ConnectOptions::new(YARD));
    let spec = SpawnSpec::at(Pose::at([0.0; 3])).named("ann");
    stage[thief].client.spawn(spec).expect("it can be asked for");
    stage.until("it is refused", |stage| {
        stage[thief].has_heard(|event| {
            matches!(event, ClientEvent::SpawnRefused { code: CloseCode::BAD_NAME, .. })
        })
    });
    stage.others_go_on(pair);
}

#[test]
fn a_channel_that_nobody_may_see_is_unknown() {
    let (mut stage, pair, at) = three();
    let mallory = stage.knocks(ConnectOptions::new(YARD));
    let inbox = stage[pair[0]].client.welcome().expect("it was welcomed").session.0;
    let channel = format!("session/{inbox}");
    let wanted = stage[mallory].client.subscribe(&channel, SubscribeOptions::default());
    let wanted = wanted.expect("it can be asked for");
    stage.until("it is denied", |stage| {
        stage[mallory].has_heard(|event| {
            matches!(event, ClientEvent::Unsubscribed { key, code: CloseCode::UNKNOWN_CHANNEL, .. }
                if *key == wanted)
        })
    });
    stage.rude[at].event(&publish(1, Scope::Channel("presence/yard".into())));
    stage.rude[at].event(&publish(2, Scope::Watchers(Target::Name("nobody".into()))));
    stage.until("both are refused", |stage| refusals(stage, at).count() == 2);
    let codes: Vec<_> = refusals(&stage, at).collect();
    assert_eq!(codes, [CloseCode::UNKNOWN_CHANNEL, CloseCode::UNKNOWN_ENTITY]);
    stage.counts(&in_yard("subscriptions_denied"), 1.0);
    stage.counts(&in_yard("events_refused"), 2.0);
    stage.others_go_on(pair);
}

#[test]
fn a_teleport_is_told_to_its_owner_and_shown_to_nobody() {
    let mut config = config();
    let strict = WorldEntry::parse("yard=metric,teleport-max-m=100,speed-max-mps=1000");
    config.worlds = vec![strict.expect("well formed")];
    let mut stage = Stage::of(config);
    let pair @ [ann, bob] = stage.pair();
    let cat = stage.enters("cat", [0.0, 6.0, 0.0]);
    let watch = Interest::new(Shape::Follow { entity: Target::Name("cat".into()) });
    stage[bob].client.set_interest(1, watch).expect("the second of eight");
    stage.until("cat is watched", |stage| stage[bob].sees("cat") && stage[ann].sees("cat"));

    stage[cat].goes_to([10_000.0, 6.0, 0.0]);
    stage.until("it is told", |stage| {
        stage[cat].has_heard(|event| {
            matches!(event, ClientEvent::Rejected { reason: RejectReason::Teleport, .. })
        })
    });
    stage.counts(&in_yard("samples_rejected"), 1.0);
    let shown = stage[bob].place_of("cat").expect("it is still in sight");
    assert!(shown[0].abs() < 1.0, "it is where it was: {shown:?}");
    stage[cat].goes_to([1.0, 7.0, 0.0]);
    stage.until("it moves as before", |stage| stage[bob].has_in_place(&stage[cat]));
    stage.others_go_on(pair);
}

#[test]
fn a_player_cannot_move_what_the_server_decides() {
    let mut config = config();
    let entry = WorldEntry::parse("hall=metric,authority=host").expect("well formed");
    config.worlds.push(entry);
    let mut stage = Stage::of(config);
    let pair = stage.pair();
    let at = stage.stranger();
    stage.rude[at].says(&hello("hall"));
    stage.until("it is welcome", |stage| stage.rude[at].welcome().is_some());
    stage.rude[at].control(&spawn([0, 0, 0]));
    stage.until("it gets no entity", |stage| {
        stage.rude[at].control.iter().any(|message| {
            matches!(message, ControlDown::SpawnRefused { code: CloseCode::WRONG_AUTHORITY, .. })
        })
    });
    stage.others_go_on(pair);
}

#[test]
fn who_does_not_read_is_closed_and_the_others_hear_everything() {
    let mut config = config();
    config.limits.unsent_bytes = 65_536;
    let mut stage = Stage::of(config);
    let pair @ [ann, bob] = stage.pair();
    let deaf = stage.guest(YARD);
    let key = ChannelKey(1);
    let subscribe =
        EventUp::Subscribe { key, channel: "news".into(), resume: None, presence: false };
    stage.rude[deaf].event(&subscribe);
    stage[bob].client.subscribe("news", SubscribeOptions::default()).expect("the first");
    stage.until("both are on air", |stage| {
        let deaf_is =
            |m: &EventDown| matches!(m, EventDown::Subscribed { key: k, .. } if *k == key);
        let bob_is = |event: &ClientEvent| matches!(event, ClientEvent::Subscribed { .. });
        stage.rude[deaf].events.iter().any(deaf_is) && stage[bob].has_heard(bob_is)
    });
    stage.rude[deaf].deaf = true;
    let mut said = 0;
    let closed = "starling_net_closes_total\
        {transport=\"quic\",by=\"server\",code=\"slow_consumer\"}";
    stage.until_with(
        "the deaf one is closed",
        |stage| {
            if stage[ann].client.publishes_in_flight() == 0 {
                said += 1;
                let page = Publication::to_channel("news", vec![7; EVENT_BYTES_MAX]);
                stage[ann].client.publish(page).expect("none is in flight");
            }
        },
        |stage| stage.shown(closed).is_some(),
    );
    stage.until("what was said is answered", |s| s[ann].client.publishes_in_flight() == 0);
    let refused = |event: &&ClientEvent| matches!(event, ClientEvent::PublishRefused { .. });
    let accepted = said - stage[ann].events.iter().filter(refused).count();
    stage.until("bob has heard it all", |stage| stage[bob].delivered().count() == accepted);
    stage.others_go_on(pair);
}
