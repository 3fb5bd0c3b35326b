//! Vectors of the events stream.

use crate::check_messages;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::{
    Action, Answer, Event, EventDown, EventUp, Member, Publish, Publisher, Receipt, Scope,
};
use starling_protocol::message::interest::Target;
use starling_protocol::units::{
    ChannelKey, ChannelPosition, EntityId, Epoch, Handle, MessageId, Offset, SessionId, Tick,
};

const KEY: ChannelKey = ChannelKey(7);
const AT: ChannelPosition = ChannelPosition { epoch: Epoch(2), offset: Offset(65_536) };
const MESSAGE: MessageId = MessageId(0x0102_0304_0506_0708);

fn publish(scope: Scope, action: Action) -> EventUp {
    let payload = b"hi".to_vec();
    EventUp::Publish(Box::new(Publish {
        message: MESSAGE,
        scope,
        expected: None,
        action,
        key: None,
        payload,
    }))
}

fn keyed() -> EventUp {
    EventUp::Publish(Box::new(Publish {
        message: MessageId(1),
        scope: Scope::Channel("door".into()),
        expected: Some(Offset(0)),
        action: Action::Message,
        key: Some("state".into()),
        payload: vec![],
    }))
}

#[test]
fn events_to_the_server_keep_their_bytes() {
    let lobby = || Scope::Channel("lobby".into());
    let by_name = Target::Name("bus 7".into());
    let by_id = Target::Id(EntityId { index: 5, generation: 0 });
    check_messages(
        "event_up.tsv",
        &[
            (
                "subscribe",
                EventUp::Subscribe {
                    key: KEY,
                    channel: "lobby".into(),
                    resume: None,
                    presence: false,
                },
            ),
            (
                "subscribe_resuming",
                EventUp::Subscribe {
                    key: ChannelKey(u32::MAX),
                    channel: "presence/lobby".into(),
                    resume: Some(AT),
                    presence: true,
                },
            ),
            ("unsubscribe", EventUp::Unsubscribe { key: KEY }),
            ("publish", publish(lobby(), Action::Message)),
            ("publish_keyed", keyed()),
            ("publish_update", publish(lobby(), Action::Update(Offset(4)))),
            ("publish_delete", publish(lobby(), Action::Delete(Offset(4)))),
            ("publish_append", publish(lobby(), Action::Append(Offset(4)))),
            ("publish_annotate", publish(lobby(), Action::Annotate(Offset(4)))),
            (
                "publish_near_mine",
                publish(
                    Scope::NearMine { entity: Some(Handle(1)), radius_m: 10.0 },
                    Action::Message,
                ),
            ),
            (
                "publish_near",
                publish(Scope::Near { center: [1.5, -2.0, 0.0], radius_m: 10.0 }, Action::Message),
            ),
            ("publish_watchers", publish(Scope::Watchers(by_id), Action::Message)),
            ("publish_watchers_name", publish(Scope::Watchers(by_name), Action::Message)),
            ("publish_session", publish(Scope::Session(SessionId(42)), Action::Message)),
            ("publish_world", publish(Scope::World, Action::Message)),
        ],
    );
}

fn deliver(action: Action) -> EventDown {
    EventDown::Deliver(Box::new(Event {
        key: KEY,
        offset: Offset(3),
        tick: Tick(70_000),
        publisher: Some(Publisher { session: SessionId(42), subject: "ann".into() }),
        message: MESSAGE,
        action,
        state_key: None,
        payload: b"hi".to_vec(),
    }))
}

fn deliver_own() -> EventDown {
    EventDown::Deliver(Box::new(Event {
        key: ChannelKey(0),
        offset: Offset(1),
        tick: Tick(0),
        publisher: None,
        message: MessageId(0),
        action: Action::Message,
        state_key: Some("state".into()),
        payload: vec![],
    }))
}

#[test]
fn events_to_the_client_keep_their_bytes() {
    let subscribed = |answer| EventDown::Subscribed { key: KEY, answer, top: AT };
    let member = Member { session: SessionId(42), subject: "ann".into(), since: Tick(9) };
    check_messages(
        "event_down.tsv",
        &[
            ("subscribed_resumed", subscribed(Answer::Resumed)),
            ("subscribed_reset", subscribed(Answer::Reset(AT))),
            ("subscribed_denied", subscribed(Answer::Denied(CloseCode::UNKNOWN_CHANNEL))),
            ("members", EventDown::Members { key: KEY, members: vec![member], last: true }),
            ("deliver", deliver(Action::Message)),
            ("deliver_own", deliver_own()),
            ("deliver_update", deliver(Action::Update(Offset(2)))),
            ("deliver_join", deliver(Action::Join)),
            ("deliver_leave", deliver(Action::Leave)),
            ("deliver_tombstone", deliver(Action::Tombstone)),
            ("gap", EventDown::Gap { key: KEY, from: Offset(4), to: Offset(9) }),
            ("unsubscribed", EventDown::Unsubscribed { key: KEY, code: CloseCode::FORBIDDEN }),
            ("published", EventDown::Published { message: MESSAGE, receipt: Receipt::Channel(AT) }),
            (
                "published_to_inboxes",
                EventDown::Published { message: MESSAGE, receipt: Receipt::Inboxes(12) },
            ),
            (
                "publish_refused",
                EventDown::PublishRefused {
                    message: MESSAGE,
                    code: CloseCode::OVERLOADED,
                    retry_after_ms: Some(250),
                },
            ),
            ("tops", EventDown::Tops { tops: vec![(KEY, Offset(9)), (ChannelKey(0), Offset(0))] }),
        ],
    );
}
