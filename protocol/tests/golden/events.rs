//! Vectors of the events stream.

use crate::check_messages;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::{
    Action, Annotate, Answer, DeliveryClass, Entry, Event, EventDown, EventUp, HistoryPage,
    HistoryQuery, HistoryRange, Lease, LeaseTold, Member, MemberState, NoteRule, NoteSummary,
    Publish, Publisher, ReadCursor, Receipt, Scope, StateEntry, Unread, Version,
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
    EventUp::Publish(Box::new(Publish { action, ..Publish::plain(MESSAGE, scope, payload) }))
}

fn keyed() -> EventUp {
    EventUp::Publish(Box::new(Publish {
        message: MessageId(1),
        scope: Scope::Channel("door".into()),
        expected: Some(Offset(0)),
        action: Action::Message,
        key: Some("state".into()),
        ttl_ms: Some(1_500),
        parent: Some(Offset(3)),
        payload: vec![],
    }))
}

#[test]
fn events_to_the_server_keep_their_bytes() {
    let lobby = || Scope::Channel("lobby".into());
    let by_name = Target::Name("bus 7".into());
    let by_id = Target::Id(EntityId { index: 5, generation: 0 });
    let mut vectors = vec![
        (
            "subscribe",
            EventUp::Subscribe { key: KEY, channel: "lobby".into(), resume: None, presence: false },
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
            publish(Scope::NearMine { entity: Some(Handle(1)), radius_m: 10.0 }, Action::Message),
        ),
        (
            "publish_near",
            publish(Scope::Near { center: [1.5, -2.0, 0.0], radius_m: 10.0 }, Action::Message),
        ),
        ("publish_watchers", publish(Scope::Watchers(by_id), Action::Message)),
        ("publish_watchers_name", publish(Scope::Watchers(by_name), Action::Message)),
        ("publish_session", publish(Scope::Session(SessionId(42)), Action::Message)),
        ("publish_world", publish(Scope::World, Action::Message)),
        ("publish_user", publish(Scope::User("ann".into()), Action::Message)),
        ("publish_clear", publish(lobby(), Action::Clear)),
    ];
    vectors.extend(requests());
    check_messages("event_up.tsv", &vectors);
}

fn history(range: HistoryRange, thread: Option<Offset>) -> EventUp {
    let channel = "lobby".into();
    EventUp::History(Box::new(HistoryQuery { request: 9, channel, range, thread, limit: 50 }))
}

fn annotate(rule: NoteRule, remove: bool) -> EventUp {
    EventUp::Annotate(Box::new(Annotate {
        message: MESSAGE,
        channel: "lobby".into(),
        target: Offset(4),
        rule,
        kind: "reaction".into(),
        name: "heart".into(),
        count: 1,
        remove,
    }))
}

fn requests() -> Vec<(&'static str, EventUp)> {
    let offsets = HistoryRange::Offsets { from: Offset(1), to: Offset(u64::MAX) };
    let times = HistoryRange::Times { from_ms: 1_789_000_000_000, to_ms: 1_789_000_060_000 };
    let lease = |ttl_ms| {
        EventUp::Lease(Box::new(Lease { key: KEY, name: "typing".into(), ttl_ms, data: vec![] }))
    };
    vec![
        ("history_newest", history(HistoryRange::Newest, None)),
        ("history_offsets", history(offsets, Some(Offset(4)))),
        ("history_times", history(times, None)),
        ("annotate_total", annotate(NoteRule::Total, false)),
        ("annotate_flag", annotate(NoteRule::Flag, true)),
        ("annotate_distinct", annotate(NoteRule::Distinct, false)),
        ("annotate_unique", annotate(NoteRule::Unique, false)),
        ("annotate_multiple", annotate(NoteRule::Multiple, false)),
        ("read", EventUp::Read { key: KEY, offset: Offset(300) }),
        (
            "count_unread",
            EventUp::CountUnread { request: 2, channels: vec!["lobby".into(), "news".into()] },
        ),
        ("lease", lease(5_000)),
        ("lease_ended", lease(0)),
        ("presence", EventUp::Presence { state: MemberState::Away, data: vec![1] }),
        ("erase", EventUp::Erase { request: 3, subject: "ann".into() }),
    ]
}

fn deliver(action: Action) -> EventDown {
    EventDown::Deliver(Box::new(Event {
        key: KEY,
        offset: Offset(3),
        tick: Tick(70_000),
        unix_ms: 1_789_000_000_123,
        publisher: Some(Publisher { session: SessionId(42), subject: "ann".into() }),
        message: MESSAGE,
        action,
        state_key: None,
        parent: None,
        payload: b"hi".to_vec(),
    }))
}

fn deliver_own() -> EventDown {
    EventDown::Deliver(Box::new(Event {
        key: ChannelKey(0),
        offset: Offset(1),
        tick: Tick(0),
        unix_ms: 0,
        publisher: None,
        message: MessageId(0),
        action: Action::Message,
        state_key: Some("state".into()),
        parent: Some(Offset(3)),
        payload: vec![],
    }))
}

#[test]
fn events_to_the_client_keep_their_bytes() {
    let subscribed =
        |answer| EventDown::Subscribed { key: KEY, answer, top: AT, class: DeliveryClass::Ordered };
    let member = Member {
        session: SessionId(42),
        subject: "ann".into(),
        since: Tick(9),
        state: MemberState::Away,
        data: vec![1, 2],
    };
    let mut vectors = vec![
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
    ];
    vectors.extend(answers());
    check_messages("event_down.tsv", &vectors);
}

fn ann() -> Option<Publisher> {
    Some(Publisher { session: SessionId(42), subject: "ann".into() })
}

fn hearts() -> NoteSummary {
    NoteSummary {
        kind: "reaction".into(),
        rule: NoteRule::Distinct,
        total: 3,
        users: 2,
        names: vec![("heart".into(), 2), ("smile".into(), 1)],
    }
}

fn page() -> EventDown {
    let EventDown::Deliver(event) = deliver(Action::Message) else { unreachable!() };
    let version =
        Version { offset: Offset(8), count: 2, tick: Tick(9), publisher: ann(), deleted: false };
    let entry = Entry { event: *event, version: Some(version), notes: vec![hearts()], replies: 4 };
    EventDown::History(Box::new(HistoryPage {
        request: 9,
        epoch: Epoch(2),
        top: Offset(8),
        expired: Some((Offset(1), Offset(2))),
        entries: vec![entry],
        next: Some(Offset(4)),
    }))
}

fn delta() -> EventDown {
    let EventDown::Deliver(event) = deliver_own() else { unreachable!() };
    EventDown::DeliverDelta { event, bytes: 4_000 }
}

fn answers() -> Vec<(&'static str, EventDown)> {
    let entry = StateEntry {
        key: "door".into(),
        offset: Offset(7),
        tick: Tick(9),
        publisher: ann(),
        ttl_ms: Some(500),
        payload: b"open".to_vec(),
    };
    let member = Member {
        session: SessionId(42),
        subject: "ann".into(),
        since: Tick(9),
        state: MemberState::Quiet,
        data: vec![],
    };
    let changed = EventDown::MembersChanged {
        key: KEY,
        from: Offset(3),
        to: Offset(9),
        here: vec![member],
        left: vec![SessionId(1)],
    };
    let cursor = ReadCursor { subject: "ann".into(), session: SessionId(42), offset: Offset(300) };
    let unread = Unread { count: 3, read: Offset(300), top: Offset(305) };
    let lease = LeaseTold {
        who: Publisher { session: SessionId(42), subject: "ann".into() },
        name: "typing".into(),
        ttl_ms: 5_000,
        data: vec![],
    };
    let refused = EventDown::RequestRefused {
        request: 9,
        code: CloseCode::STORE_BUSY,
        retry_after_ms: Some(250),
    };
    let conflated = EventDown::Subscribed {
        key: KEY,
        answer: Answer::Reset(AT),
        top: AT,
        class: DeliveryClass::Conflated,
    };
    vec![
        ("subscribed_conflated", conflated),
        ("state", EventDown::State { key: KEY, entries: vec![entry], last: true }),
        ("delta", delta()),
        ("members_changed", changed),
        ("count", EventDown::Count { key: KEY, users: 300, sessions: 301 }),
        ("history", page()),
        ("cursors", EventDown::Cursors { key: KEY, cursors: vec![cursor] }),
        ("unread", EventDown::Unread { request: 2, channels: vec![unread] }),
        ("leases", EventDown::Leases { key: KEY, leases: vec![lease] }),
        ("erased", EventDown::Erased { request: 3, events: 12 }),
        ("refused", refused),
        ("change", deliver(Action::Change(MemberState::Away))),
    ]
}
