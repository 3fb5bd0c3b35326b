//! Conflated channels and values as differences, on real sockets: the newest of each key arrives,
//! whatever the link (P4), and a large value that changes a little costs little.

use crate::stage::{Stage, Who, YARD, config, stage};
use starling_client::conditioner::LinkProfile;
use starling_client::{
    ChannelKey, ClientEvent, CloseCode, ConnectOptions, Publication, PublishStatus,
    SubscribeOptions,
};
use starling_server::config::NamespaceEntry;

const CHANNEL: &str = "live/board";
const KEYS: u32 = 4;
const ROUNDS: u32 = 16;
const VALUE_BYTES: usize = 12 * 1024;

fn conflated() -> Stage {
    let mut config = config();
    let live = r#"{ "name": "live", "class": "conflated" }"#;
    let entry = |json| serde_json::from_str::<NamespaceEntry>(json).expect("well formed");
    config.namespaces = vec![entry(live), entry(r#"{ "name": "" }"#)];
    Stage::of(config)
}

fn follows(stage: &mut Stage, who: Who, channel: &str) -> ChannelKey {
    let wanted = stage[who].client.subscribe(channel, SubscribeOptions::default()).expect("one");
    let stands = |event: &ClientEvent| matches!(event, ClientEvent::Subscribed { key, .. } if *key == wanted);
    stage.until("the subscription stands", |stage| stage[who].has_heard(stands));
    wanted
}

/// A value that says which it is, and no two of which are alike.
fn value(round: u32, key: u32) -> Vec<u8> {
    let mut state = u64::from(round) << 32 | u64::from(key) | 1;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    round.to_le_bytes().into_iter().chain(noise).take(VALUE_BYTES).collect()
}

fn round_of(payload: &[u8]) -> u32 {
    u32::from_le_bytes(payload[..4].try_into().expect("four bytes"))
}

/// Says it, again where it was too soon.
fn says(stage: &mut Stage, who: Who, publication: Publication) {
    loop {
        let message = stage[who].client.publish(publication.clone()).expect("few are in flight");
        let status = |stage: &Stage| stage[who].client.publish_status(message);
        stage.until("it is answered", |stage| status(stage) != PublishStatus::Pending);
        match status(stage) {
            PublishStatus::Refused { code: CloseCode::RATE_LIMITED, .. } => {}
            PublishStatus::Accepted(_) => return,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_slow_link_gets_the_newest_of_each_key_and_never_an_older_one_after_it() {
    let mut stage = conflated();
    let ann = stage.enters("ann", [0.0; 3]);
    let mut place = stage.place();
    place.link = LinkProfile::parse("rate=400kbit").expect("a profile");
    let bob = stage.comes_from(&place, ConnectOptions::new(YARD));
    let board = follows(&mut stage, bob, CHANNEL);
    for round in 1..=ROUNDS {
        for key in 0..KEYS {
            let set = Publication::to_channel(CHANNEL, value(round, key)).key(format!("k{key}"));
            says(&mut stage, ann, set);
        }
    }
    stage.until("the newest of each is here", |stage| {
        let values = stage[bob].client.state_of(board).expect("it follows");
        let newest = |key| values.get(&format!("k{key}")).map(|value| round_of(&value.payload));
        (0..KEYS).all(|key| newest(key) == Some(ROUNDS))
    });
    let told: Vec<_> = stage[bob].delivered().cloned().collect();
    assert!(told.windows(2).all(|pair| pair[0].offset < pair[1].offset), "in order");
    assert!(told.len() < (ROUNDS * KEYS) as usize, "what was replaced was passed over");
    assert!(!stage[bob].has_heard(|event| matches!(event, ClientEvent::Gap { .. })));
}

#[test]
fn a_large_value_that_changes_a_little_goes_as_a_difference() {
    let mut stage = stage();
    let [ann, bob] = stage.pair();
    let doc = follows(&mut stage, bob, "doc");
    let mut text = value(1, 1);
    let written =
        |stage: &Stage| stage.metric("starling_net_stream_bytes_sent_total{transport=\"quic\"}");
    says(&mut stage, ann, Publication::to_channel("doc", text.clone()).key("text"));
    stage.until("it is whole", |stage| has(stage, bob, doc, &text));
    let before = written(&stage);
    for round in 0..20 {
        text[100 + round] ^= 1;
        says(&mut stage, ann, Publication::to_channel("doc", text.clone()).key("text"));
        stage.until("it is followed", |stage| has(stage, bob, doc, &text));
    }
    let bytes = written(&stage) - before;
    assert!(bytes < 5.0 * VALUE_BYTES as f64, "{bytes} bytes for twenty changes of a byte");
}

fn has(stage: &Stage, who: Who, key: ChannelKey, text: &[u8]) -> bool {
    let state = stage[who].client.state_of(key);
    state.and_then(|state| state.get("text")).is_some_and(|value| value.payload == text)
}
