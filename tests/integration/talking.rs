//! Events and cues on real sockets: who hears what, how often and in which order (P4, P8, P17).

use crate::stage::{Stage, Who, stage};
use starling_client::protocol::message::events::{Receipt, Scope};
use starling_client::protocol::units::Offset;
use starling_client::{
    ChannelKey, ClientEvent, CloseCode, CueTo, MessageId, Nanos, Publication, PublishStatus,
    SubscribeOptions,
};

const LOBBY: &str = "lobby";

fn joins_lobby(stage: &mut Stage, who: Who, presence: bool) -> ChannelKey {
    let options = SubscribeOptions { presence, ..SubscribeOptions::default() };
    subscribes(stage, who, LOBBY, options)
}

fn subscribes(stage: &mut Stage, who: Who, name: &str, options: SubscribeOptions) -> ChannelKey {
    let wanted = stage[who].client.subscribe(name, options).expect("one is few enough");
    stage.until("the subscription stands", |stage| {
        stage[who].has_heard(
            |event| matches!(event, ClientEvent::Subscribed { key, .. } if *key == wanted),
        )
    });
    wanted
}

fn publishes(stage: &mut Stage, who: Who, publication: Publication) -> MessageId {
    stage[who].client.publish(publication).expect("few are in flight")
}

fn receipt(stage: &mut Stage, who: Who, message: MessageId) -> Receipt {
    let status = |stage: &Stage| stage[who].client.publish_status(message);
    stage.until("it is answered", |stage| status(stage) != PublishStatus::Pending);
    match status(stage) {
        PublishStatus::Accepted(receipt) => receipt,
        other => panic!("not accepted: {other:?}"),
    }
}

#[test]
fn a_chat_is_acknowledged_and_heard_by_all_in_one_order_without_holes() {
    let mut stage = stage();
    let pair @ [ann, bob] = stage.pair();
    for who in pair {
        joins_lobby(&mut stage, who, false);
    }
    let mut said = Vec::new();
    for line in 0..20 {
        for (who, name) in [(ann, "ann"), (bob, "bob")] {
            let message = Publication::to_channel(LOBBY, format!("{name} {line}"));
            said.push((who, publishes(&mut stage, who, message)));
        }
    }
    let mut offsets = Vec::new();
    for (who, message) in said {
        match receipt(&mut stage, who, message) {
            Receipt::Channel(position) => offsets.push(position.offset.0),
            other => panic!("a channel answers with a position: {other:?}"),
        }
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=40).collect::<Vec<_>>(), "each has a number of its own");
    stage.until("all was heard", |stage| {
        pair.iter().all(|who| stage[*who].delivered().count() == 40)
    });
    assert_eq!(stage[ann].texts(), stage[bob].texts());
    for who in pair {
        let heard: Vec<_> = stage[who].delivered().map(|event| event.offset.0).collect();
        assert_eq!(heard, (1..=40).collect::<Vec<_>>());
    }
    let author = stage[ann].client.welcome().map(|welcome| welcome.session);
    let by_ann = stage[bob].delivered().filter(|event| event.payload.starts_with(b"ann"));
    let authors: Vec<_> = by_ann.map(|e| e.publisher.as_ref().map(|p| p.session)).collect();
    assert!(authors.len() == 20 && authors.iter().all(|session| *session == author));
}

#[test]
fn a_publish_that_expects_another_top_is_refused_and_appears_nowhere() {
    let mut stage = stage();
    let pair @ [ann, bob] = stage.pair();
    joins_lobby(&mut stage, bob, false);
    let first = Publication::to_channel(LOBBY, "one").expecting(Offset(0));
    let first = publishes(&mut stage, ann, first);
    assert!(
        matches!(receipt(&mut stage, ann, first), Receipt::Channel(p) if p.offset == Offset(1))
    );
    let late = Publication::to_channel(LOBBY, "late").expecting(Offset(0));
    let late = publishes(&mut stage, ann, late);
    stage.until("it is refused", |stage| {
        let status = stage[ann].client.publish_status(late);
        matches!(status, PublishStatus::Refused { code: CloseCode::CONFLICT, .. })
    });
    let second = Publication::to_channel(LOBBY, "two").expecting(Offset(1));
    publishes(&mut stage, ann, second);
    stage.until("what was accepted is heard", |stage| stage[bob].delivered().count() == 2);
    assert_eq!(stage[bob].texts(), ["one", "two"]);
    stage.others_go_on(pair);
}

#[test]
fn what_is_said_nearby_is_heard_by_those_who_are_near() {
    let mut stage = stage();
    let [ann, bob] = stage.pair();
    let cat = stage.enters("cat", [400.0, 0.0, 0.0]);
    // Who is where is known to the server once a tick has seen it.
    stage[cat].goes_to([500.0, 0.0, 0.0]);
    let whisper = publishes(&mut stage, ann, Publication::near_mine(10.0, "psst"));
    assert_eq!(receipt(&mut stage, ann, whisper), Receipt::Inboxes(2), "bob's, and her own");
    let shout = publishes(&mut stage, ann, Publication::new(Scope::World, "hear, hear"));
    assert_eq!(receipt(&mut stage, ann, shout), Receipt::Inboxes(3));
    stage.until("all have heard", |stage| {
        stage[bob].delivered().count() == 2 && stage[cat].delivered().count() == 1
    });
    assert_eq!(stage[bob].texts(), ["psst", "hear, hear"]);
    assert_eq!(stage[cat].texts(), ["hear, hear"]);
    let numbers: Vec<_> = stage[cat].delivered().map(|event| event.offset.0).collect();
    assert_eq!(numbers, [1], "what was for others leaves no hole in one's own numbers");
}

#[test]
fn what_is_for_one_session_is_heard_by_that_one() {
    let mut stage = stage();
    let [ann, bob] = stage.pair();
    let cat = stage.enters("cat", [0.0, 5.0, 0.0]);
    let to = stage[bob].client.welcome().expect("he was welcomed").session;
    publishes(&mut stage, ann, Publication::new(Scope::Session(to), "for bob"));
    publishes(&mut stage, ann, Publication::new(Scope::World, "for all"));
    stage.until("all have heard", |stage| {
        stage[bob].delivered().count() == 2 && stage[cat].delivered().count() == 1
    });
    assert_eq!(stage[cat].texts(), ["for all"]);
}

/// A cue arrives in time or not at all: one after another is sent, each with a number of its own,
/// until somebody has heard one of this kind.
fn cues_until_heard(stage: &mut Stage, from: Who, to: CueTo, kind: u8, by: Who) {
    let (mut sent, mut due) = (0_u16, Nanos(0));
    let send = |stage: &mut Stage| {
        let now = stage.clock.now();
        if now >= due {
            (sent, due) = (sent + 1, now + 50 * Nanos::MILLISECOND);
            let cue = stage[from].client.send_cue(to, kind, 15, &sent.to_le_bytes());
            cue.expect("few are waiting");
        }
    };
    stage.until_with("a cue is heard", send, |stage| {
        stage[by].cues.iter().any(|cue| cue.kind == kind)
    });
}

#[test]
fn a_cue_is_heard_once_and_only_nearby() {
    const SHOT: u8 = 7;
    const BELL: u8 = 8;
    let mut stage = stage();
    let pair @ [ann, bob] = stage.pair();
    let cat = stage.enters("cat", [500.0, 0.0, 0.0]);
    let near_ann = CueTo::NearMine(stage[ann].me(), 30.0);
    cues_until_heard(&mut stage, ann, near_ann, SHOT, bob);
    cues_until_heard(&mut stage, ann, CueTo::World, BELL, cat);
    assert!(stage[cat].cues.iter().all(|cue| cue.kind == BELL), "{:?}", stage[cat].cues);
    stage.others_go_on(pair);
    for who in [bob, cat] {
        let cues = &stage[who].cues;
        let mut each: Vec<_> = cues.iter().map(|cue| (cue.kind, cue.payload())).collect();
        each.sort_unstable();
        each.dedup();
        assert_eq!(each.len(), cues.len(), "none is heard twice: {cues:?}");
    }
}

#[test]
fn a_presence_list_follows_who_comes_and_goes() {
    let mut stage = stage();
    let [ann, bob] = stage.pair();
    joins_lobby(&mut stage, ann, true);
    let list = subscribes(&mut stage, bob, "presence/lobby", SubscribeOptions::default());
    let session =
        |stage: &Stage, who: Who| stage[who].client.welcome().expect("it was welcomed").session;
    let (first, second) = (session(&stage, ann), session(&stage, bob));
    let is_there = |stage: &Stage, id| {
        stage[bob].client.presence(list).is_some_and(|members| members.contains(id))
    };
    stage.until("who was there is listed", |stage| is_there(stage, first));
    assert!(!is_there(&stage, second), "he only looks on");
    joins_lobby(&mut stage, bob, true);
    stage.until("who came is listed", |stage| is_there(stage, second));
    let clock = stage.clock;
    stage[ann].client.goodbye(clock.now());
    stage.until("who left is not", |stage| !is_there(stage, first));
    assert!(is_there(&stage, second));
    let told = |event: &ClientEvent| {
        matches!(event, ClientEvent::Left { key, session }
        if *key == list && *session == first)
    };
    assert_eq!(stage[bob].events.iter().filter(|event| told(event)).count(), 1);
}
