//! What channels carry beside their events, on real sockets: values, leases, notes, versions,
//! receipts (P4, P6, P7).

use crate::stage::{PATIENCE, Stage, Who, YARD, stage};
use starling_client::net::AsyncClient;
use starling_client::protocol::codec::decode;
use starling_client::protocol::message::events::{Action, NoteRule, Noted, Receipt};
use starling_client::protocol::units::Offset;
use starling_client::{
    ChannelKey, ClientEvent, CloseCode, ConnectOptions, MessageId, Note, Publication,
    PublishStatus, SubscribeOptions, UnreadStatus,
};
use tokio::runtime::Builder;

const ROOM: &str = "room";

fn follows(stage: &mut Stage, who: Who) -> ChannelKey {
    let wanted = stage[who].client.subscribe(ROOM, SubscribeOptions::default()).expect("one");
    let stands = |event: &ClientEvent| matches!(event, ClientEvent::Subscribed { key, .. } if *key == wanted);
    stage.until("the subscription stands", |stage| stage[who].has_heard(stands));
    wanted
}

fn offset(stage: &mut Stage, who: Who, message: MessageId) -> Offset {
    let status = |stage: &Stage| stage[who].client.publish_status(message);
    stage.until("it is answered", |stage| status(stage) != PublishStatus::Pending);
    match status(stage) {
        PublishStatus::Accepted(Receipt::Channel(at)) => at.offset,
        other => panic!("not accepted: {other:?}"),
    }
}

fn says(stage: &mut Stage, who: Who, publication: Publication) -> Offset {
    let message = stage[who].client.publish(publication).expect("few are in flight");
    offset(stage, who, message)
}

fn notes(stage: &mut Stage, who: Who, note: Note) -> Offset {
    let message = stage[who].client.annotate(note).expect("few are in flight");
    offset(stage, who, message)
}

fn value(stage: &Stage, who: Who, key: ChannelKey, name: &str) -> Option<Vec<u8>> {
    let state = stage[who].client.state_of(key)?;
    state.get(name).map(|value| value.payload.clone())
}

#[test]
fn values_are_told_whole_and_then_followed_until_they_end() {
    let mut stage = stage();
    let [ann, bob] = stage.pair();
    let set = |key: &str, value: &str| Publication::to_channel(ROOM, value).key(key);
    let first = says(&mut stage, ann, set("door", "open"));
    says(&mut stage, ann, set("lamp", "on").lasting_ms(700));
    let room = follows(&mut stage, bob);
    stage.until("the values are here", |s| {
        s[bob].client.state_of(room).is_some_and(|v| v.len() == 2)
    });
    says(&mut stage, bob, set("door", "shut").expecting(first));
    let late = stage[ann].client.publish(set("door", "ajar").expecting(first)).expect("few");
    stage.until("it is refused", |stage| {
        let status = stage[ann].client.publish_status(late);
        matches!(status, PublishStatus::Refused { code: CloseCode::CONFLICT, .. })
    });
    stage.until("the new one is followed", |s| value(s, bob, room, "door") == Some(b"shut".into()));
    stage.until("the other ends by itself", |s| value(s, bob, room, "lamp").is_none());
    says(&mut stage, ann, Publication::clear(ROOM, "door"));
    stage.until("and this one by a word", |s| value(s, bob, room, "door").is_none());
}

#[test]
fn who_types_is_told_to_the_others_until_it_stops() {
    let mut stage = stage();
    let [ann, bob] = stage.pair();
    let (hers, his) = (follows(&mut stage, ann), follows(&mut stage, bob));
    stage[ann].client.lease(hers, "typing", 60_000, b"...").expect("it stands");
    let typing = |stage: &Stage| stage[bob].client.leases(his, stage.clock.now()).count();
    stage.until("it is told", |stage| typing(stage) == 1);
    stage[ann].client.lease(hers, "typing", 0, b"").expect("it stands");
    stage.until("it has ended", |stage| typing(stage) == 0);
    assert!(!stage[ann].has_heard(|event| matches!(event, ClientEvent::Leases { .. })));
    stage[ann].client.lease(hers, "typing", u32::MAX, b"").expect("the server says no");
    stage.until("too long is refused", |stage| {
        stage[ann].has_heard(|event| {
            matches!(event, ClientEvent::ChannelRefused { code: CloseCode::LIMIT, .. })
        })
    });
}

#[test]
fn notes_come_with_their_sums() {
    let mut stage = stage();
    let [ann, bob] = stage.pair();
    follows(&mut stage, ann);
    let target = says(&mut stage, ann, Publication::to_channel(ROOM, "hello"));
    let heart = || Note::new(ROOM, target, NoteRule::Distinct, "reaction", "heart");
    notes(&mut stage, bob, heart());
    notes(&mut stage, ann, heart());
    notes(&mut stage, bob, heart().taken_back());
    let sums = |stage: &Stage| {
        let noted = stage[ann].delivered().filter(|e| e.action == Action::Annotate(target));
        let noted = noted.map(|e| decode::<Noted>(&e.payload).expect("a Noted"));
        noted.map(|noted| noted.summary.total).collect::<Vec<_>>()
    };
    stage.until("all are told", |stage| sums(stage).len() == 3);
    assert_eq!(sums(&stage), [1, 2, 1]);
}

#[test]
fn a_message_is_changed_answered_and_ended_by_whom_it_is_of() {
    let mut stage = stage();
    let [ann, bob] = stage.pair();
    let target = says(&mut stage, ann, Publication::to_channel(ROOM, "helo"));
    says(&mut stage, ann, Publication::update(ROOM, target, "hello"));
    says(&mut stage, ann, Publication::append(ROOM, target, ", all"));
    says(&mut stage, bob, Publication::to_channel(ROOM, "hi").answering(target));
    let others = stage[bob].client.publish(Publication::delete(ROOM, target)).expect("few");
    stage.until("it is not his", |stage| {
        let status = stage[bob].client.publish_status(others);
        matches!(status, PublishStatus::Refused { code: CloseCode::FORBIDDEN, .. })
    });
    says(&mut stage, ann, Publication::delete(ROOM, target));
}

#[test]
fn receipts_go_forward_and_what_is_unread_is_counted() {
    let mut stage = stage();
    let [ann, bob] = stage.pair();
    let room = follows(&mut stage, bob);
    follows(&mut stage, ann);
    for line in ["one", "two", "three"] {
        says(&mut stage, ann, Publication::to_channel(ROOM, line));
    }
    stage.until("all are here", |stage| stage[bob].delivered().count() == 3);
    stage[bob].client.mark_read(room, Offset(2)).expect("it stands");
    stage[bob].client.mark_read(room, Offset(1)).expect("it stands");
    let read = |event: &ClientEvent| match event {
        ClientEvent::Cursors { cursors, .. } => cursors.iter().any(|c| c.offset == Offset(2)),
        _ => false,
    };
    stage.until("the other is told", |stage| stage[ann].has_heard(read));
    let request = stage[bob].client.count_unread(&[ROOM, "elsewhere"]).expect("the first");
    let status = |stage: &Stage| stage[bob].client.unread(request);
    stage.until("it is counted", |stage| status(stage) != UnreadStatus::Pending);
    let UnreadStatus::Counted(counts) = status(&stage) else { panic!("{:?}", status(&stage)) };
    let counts: Vec<_> = counts.iter().map(|c| (c.count, c.read.0, c.top.0)).collect();
    assert_eq!(counts, [(1, 2, 3), (0, 0, 0)]);
}

#[test]
fn notes_and_counts_can_be_awaited() {
    let stage = stage();
    let runtime = Builder::new_current_thread().enable_time().build().expect("it needs little");
    let work = async {
        let place = stage.place();
        let enter = || AsyncClient::connect(&place, ConnectOptions::new(YARD));
        let ann = enter().await.expect("the door is open");
        let bob = enter().await.expect("the door is open");
        ann.publish(Publication::to_channel(ROOM, "hello")).await.expect("accepted");
        let like = Note::new(ROOM, Offset(1), NoteRule::Flag, "like", "");
        assert!(matches!(bob.annotate(like).await, Ok(Receipt::Channel(at)) if at.offset.0 == 2));
        let unread = bob.count_unread(&[ROOM]).await.expect("granted");
        assert_eq!((unread[0].count, unread[0].top.0), (1, 2));
    };
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, work).await.expect("everything comes to its end");
    });
}
