//! P5, P10: messages of durable channels are changed, answered and noted on wherever they are, in
//! memory or on disk only, and history shows them as they stand, also after a restart.

mod session_stage;

use session_stage::{Stage, message};
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::*;
use starling_protocol::units::{MessageId, Offset};
use starling_world::grants::Grants;
use starling_world::input::ConnId;
use starling_world::journal::{Health, News, Table};
use starling_world::namespace::{Keep, Namespace, Namespaces};

const ROOM: &str = "kept/room";
const LARGE: usize = 14 * 1024;
/// More than memory holds of them.
const MANY: u64 = 90;

struct Room {
    stage: Stage,
    ann: ConnId,
    bob: ConnId,
    next: u64,
}

impl Room {
    /// Ann has said so much that the first of it is on disk only.
    fn new() -> Self {
        Self::of(Stage::durable())
    }

    fn of(mut stage: Stage) -> Self {
        let (ann, bob) = (stage.guest_named("ann").conn, stage.guest_named("bob").conn);
        let mut room = Self { stage, ann, bob, next: 1 };
        room.say_large(MANY);
        room
    }

    fn say_large(&mut self, count: u64) {
        for _ in 0..count {
            let payload = vec![7; LARGE];
            let said = self.by_ann(Publish { payload, ..message(ROOM, 0) });
            assert!(said.is_ok(), "{said:?}");
        }
    }

    fn by_ann(&mut self, publish: Publish) -> Result<u64, CloseCode> {
        let ann = self.ann;
        self.said(ann, publish)
    }

    fn by_bob(&mut self, publish: Publish) -> Result<u64, CloseCode> {
        let bob = self.bob;
        self.said(bob, publish)
    }

    fn id(&mut self) -> MessageId {
        self.next += 1;
        MessageId(self.next)
    }

    /// Publishes and returns the one answer, when the disk has told and written all.
    fn said(&mut self, who: ConnId, publish: Publish) -> Result<u64, CloseCode> {
        let message = self.id();
        self.stage.event(who, EventUp::Publish(Box::new(Publish { message, ..publish })));
        self.answer(who)
    }

    fn noted(&mut self, who: ConnId, note: Annotate) -> Result<u64, CloseCode> {
        let message = self.id();
        self.stage.event(who, EventUp::Annotate(Box::new(Annotate { message, ..note })));
        self.answer(who)
    }

    fn answer(&mut self, who: ConnId) -> Result<u64, CloseCode> {
        self.stage.answer();
        self.stage.commit();
        let answers = answers(&mut self.stage, who);
        assert_eq!(answers.len(), 1, "exactly one answer: {answers:?}");
        self.breathe();
        answers[0]
    }

    fn breathe(&mut self) {
        for _ in 0..2 {
            self.stage.breathe(self.ann);
            self.stage.breathe(self.bob);
            self.stage.tick();
        }
    }

    /// The process dies, and both come again.
    fn crash(&mut self, batches: usize) {
        self.stage.crash(batches);
        self.ann = self.stage.guest_named("ann").conn;
        self.bob = self.stage.guest_named("bob").conn;
    }

    /// What history tells of one event.
    fn shown(&mut self, offset: u64) -> Entry {
        let page = self.page(HistoryRange::Offsets { from: Offset(offset), to: Offset(offset) });
        <[Entry; 1]>::try_from(page.entries).expect("one entry")[0].clone()
    }

    fn page(&mut self, range: HistoryRange) -> HistoryPage {
        let query =
            HistoryQuery { request: 7, channel: ROOM.into(), range, thread: None, limit: 200 };
        self.stage.events(self.bob);
        self.stage.event(self.bob, EventUp::History(Box::new(query)));
        self.stage.answer();
        (0..8).for_each(|_| self.breathe());
        let mut told = self.stage.events(self.bob).into_iter().filter_map(|event| match event {
            EventDown::History(page) => Some(*page),
            EventDown::RequestRefused { code, .. } => panic!("{code}"),
            _ => None,
        });
        told.next().expect("a page")
    }
}

fn answers(stage: &mut Stage, who: ConnId) -> Vec<Result<u64, CloseCode>> {
    let answer = |event| match event {
        EventDown::Published { receipt: Receipt::Channel(at), .. } => Some(Ok(at.offset.0)),
        EventDown::PublishRefused { code, .. } => Some(Err(code)),
        _ => None,
    };
    stage.events(who).into_iter().filter_map(answer).collect()
}

fn act(action: Action, payload: &[u8]) -> Publish {
    Publish { action, payload: payload.to_vec(), ..message(ROOM, 0) }
}

fn update(target: u64, payload: &[u8]) -> Publish {
    act(Action::Update(Offset(target)), payload)
}

fn append(target: u64, payload: &[u8]) -> Publish {
    act(Action::Append(Offset(target)), payload)
}

fn delete(target: u64) -> Publish {
    act(Action::Delete(Offset(target)), b"")
}

fn reply(parent: u64) -> Publish {
    Publish { parent: Some(Offset(parent)), ..act(Action::Message, b"yes") }
}

fn note(target: u64, rule: NoteRule, name: &str) -> Annotate {
    let (message, channel, target) = (MessageId(0), ROOM.into(), Offset(target));
    let kind = format!("{rule:?}");
    Annotate { message, channel, target, rule, kind, name: name.into(), count: 1, remove: false }
}

fn sums(entry: &Entry) -> Vec<(NoteRule, u64, u32, Vec<(String, u64)>)> {
    entry.notes.iter().map(|sum| (sum.rule, sum.total, sum.users, sum.names.clone())).collect()
}

#[test]
fn a_message_on_disk_only_is_changed_and_shown_as_it_stands() {
    let mut room = Room::new();
    assert_eq!(room.shown(2).event.payload.len(), LARGE);
    assert_eq!(room.by_bob(update(2, b"no")), Err(CloseCode::FORBIDDEN));
    assert_eq!(room.by_ann(update(2, b"better")), Ok(MANY + 1));
    assert_eq!(room.by_ann(append(2, b" still")), Ok(MANY + 2));
    assert_eq!(room.by_ann(delete(3)), Ok(MANY + 3));
    assert_eq!(room.by_ann(update(3, b"no")), Err(CloseCode::CONFLICT));
    let check = |room: &mut Room| {
        let entry = room.shown(2);
        assert_eq!(entry.event.payload, b"better still");
        let version = entry.version.expect("it was changed");
        assert_eq!((version.offset.0, version.count, version.deleted), (MANY + 2, 3, false));
        assert!(room.shown(3).version.is_some_and(|version| version.deleted));
        assert_eq!(room.shown(4).version, None);
    };
    check(&mut room);
    room.crash(0);
    check(&mut room);
    assert_eq!(room.by_ann(append(2, b"!")), Ok(MANY + 4), "and goes on from there");
    assert_eq!(room.by_ann(update(3, b"no")), Err(CloseCode::CONFLICT));
    room.crash(0);
    assert_eq!(room.shown(2).event.payload, b"better still!");
}

/// What was changed and noted on in memory is so on disk when memory holds it no more.
#[test]
fn what_leaves_memory_is_known_as_it_was() {
    let mut room = Room::new();
    let last = room.by_ann(act(Action::Message, b"said")).expect("kept");
    let bob = room.bob;
    room.by_ann(append(last, b" more")).expect("kept");
    room.noted(bob, note(last, NoteRule::Distinct, "heart")).expect("kept");
    room.by_bob(reply(last)).expect("kept");
    let before = room.shown(last);
    assert_eq!(before.event.payload, b"said more");
    assert_eq!((before.notes.len(), before.replies), (1, 1));
    room.say_large(MANY);
    assert_eq!(room.shown(last), before);
    room.crash(0);
    assert_eq!(room.shown(last), before);
}

#[test]
fn notes_on_disk_only_count_as_their_rules_say_over_restarts() {
    let mut room = Room::new();
    use NoteRule::{Distinct, Flag, Multiple, Total, Unique};
    for life in 0..3 {
        for (rule, name) in
            [(Total, ""), (Flag, ""), (Distinct, "a"), (Unique, "a"), (Multiple, "a")]
        {
            for who in [room.ann, room.bob] {
                let told = room.noted(who, note(2, rule, name));
                assert!(told.is_ok(), "{rule:?} in life {life}: {told:?}");
            }
        }
        room.crash(usize::MAX);
    }
    let (ann, bob) = (room.ann, room.bob);
    room.noted(ann, note(2, Unique, "b")).expect("another instead");
    room.noted(ann, note(2, Distinct, "b")).expect("another, too");
    let back = Annotate { remove: true, ..note(2, Multiple, "a") };
    room.noted(bob, Annotate { count: 2, ..back }).expect("taken back");
    room.noted(bob, Annotate { remove: true, ..note(2, Flag, "") }).expect("taken back");
    let name = |name: &str, count| (name.to_owned(), count);
    let all = [
        (Distinct, 3, 2, vec![name("a", 2), name("b", 1)]),
        (Flag, 1, 1, vec![]),
        (Multiple, 4, 2, vec![name("a", 4)]),
        (Total, 6, 0, vec![]),
        (Unique, 2, 2, vec![name("a", 1), name("b", 1)]),
    ];
    assert_eq!(sums(&room.shown(2)), all);
    room.crash(0);
    assert_eq!(sums(&room.shown(2)), all);
    let (ann, other) = (room.ann, Annotate { kind: "Unique".into(), ..note(2, Distinct, "a") });
    assert_eq!(room.noted(ann, other), Err(CloseCode::CONFLICT), "the rule is known, too");
    room.by_ann(delete(2)).expect("kept");
    assert_eq!(sums(&room.shown(2)), []);
    assert_eq!(room.noted(ann, note(2, Flag, "")), Err(CloseCode::CONFLICT));
}

#[test]
fn answers_are_counted_and_a_deleted_one_is_not() {
    let mut room = Room::new();
    let first = room.by_bob(reply(2)).expect("kept");
    room.by_ann(reply(2)).expect("kept");
    assert_eq!(room.shown(2).replies, 2);
    room.crash(0);
    assert_eq!(room.by_bob(delete(first)), Ok(MANY + 3), "itself on disk only, or not");
    assert_eq!(room.shown(2).replies, 1);
    room.crash(0);
    assert_eq!(room.shown(2).replies, 1);
    room.by_ann(delete(2)).expect("kept");
    assert_eq!(room.by_bob(reply(2)), Err(CloseCode::CONFLICT));
}

/// A newest page, and one that goes through all of it, show each message once, at its first place.
#[test]
fn pages_from_disk_show_no_change_for_itself() {
    let mut room = Room::new();
    for target in [2, 5, 9] {
        room.by_ann(update(target, b"new")).expect("kept");
    }
    let (mut from, mut shown) = (Offset(1), Vec::new());
    loop {
        let page = room.page(HistoryRange::Offsets { from, to: Offset(u64::MAX) });
        shown.extend(page.entries.iter().map(|e| (e.event.offset.0, e.version.is_some())));
        let Some(next) = page.next else { break };
        from = next;
    }
    assert!(shown.iter().map(|(offset, _)| *offset).eq(1..=MANY));
    let changed = shown.iter().filter(|(_, changed)| *changed).map(|(offset, _)| *offset);
    assert_eq!(changed.collect::<Vec<_>>(), [2, 5, 9]);
}

#[test]
fn a_request_waits_for_the_disk_within_a_bound_and_has_one_answer() {
    let mut room = Room::new();
    let ann = room.ann;
    for id in 0..20 {
        let publish = Publish { message: MessageId(1_000 + id), ..append(2 + id % 3, b"x") };
        room.stage.event(ann, EventUp::Publish(Box::new(publish)));
    }
    let told = answers(&mut room.stage, ann);
    assert_eq!(told, vec![Err(CloseCode::STORE_BUSY); 4], "those beyond the bound");
    assert_eq!(room.stage.disk.queries.len(), 3, "each message is read once");
    // Asked again while it waits: one event, although both are answered.
    let again = Publish { message: MessageId(1_000), ..append(2, b"x") };
    room.stage.answer();
    room.stage.event(ann, EventUp::Publish(Box::new(again)));
    assert_eq!(answers(&mut room.stage, ann), [], "not before it is on stable storage");
    room.stage.commit();
    assert_eq!(answers(&mut room.stage, ann).len(), 16);
    room.breathe();
    assert_eq!(room.shown(2).event.payload.len(), LARGE + 6);
}

/// (P5) What dies before it is on the disk was never said.
#[test]
fn a_change_that_the_disk_did_not_get_never_was() {
    let mut room = Room::new();
    room.by_ann(update(2, b"first")).expect("kept");
    let (ann, bob) = (room.ann, room.bob);
    room.stage.event(ann, EventUp::Publish(Box::new(update(2, b"second"))));
    room.stage.event(bob, EventUp::Annotate(Box::new(note(2, NoteRule::Flag, ""))));
    assert_eq!(room.shown(2).event.payload, b"first", "and is not told before");
    assert_eq!(room.shown(2).notes, []);
    room.crash(0);
    assert_eq!(room.shown(2).event.payload, b"first");
    let bob = room.bob;
    assert_eq!(room.noted(bob, note(2, NoteRule::Flag, "")), Ok(MANY + 2));
    assert_eq!(sums(&room.shown(2)).len(), 1);
}

#[test]
fn what_is_kept_no_longer_takes_what_was_made_of_it_along() {
    let mut room = Room::of(Stage::durable_with(|config| {
        let keep = Keep { events: 150, ..Keep::DURABLE };
        let kept = Namespace { keep, ..Namespace::new("kept").durable() };
        config.namespaces = Namespaces::of(vec![kept, Namespace::new("")]);
    }));
    let bob = room.bob;
    room.by_ann(update(2, b"new")).expect("kept");
    room.noted(bob, note(2, NoteRule::Flag, "")).expect("kept");
    assert_eq!(room.stage.disk.keys(Table::Note).len(), 2);
    room.say_large(MANY * 2);
    room.stage.ticks_with(5, &[room.ann, room.bob]);
    room.stage.commit();
    assert_eq!(room.stage.disk.keys(Table::Note), Vec::<Vec<u8>>::new());
    assert_eq!(room.by_ann(update(2, b"late")), Err(CloseCode::CONFLICT));
}

#[test]
fn a_damaged_row_stops_the_channel() {
    let mut room = Room::new();
    room.by_ann(update(2, b"new")).expect("kept");
    room.crash(0);
    let rows = room.stage.disk.keys(Table::Note);
    room.stage.disk.damage(Table::Note, &rows[0]);
    assert_eq!(room.by_ann(append(2, b"!")), Err(CloseCode::STORE_DAMAGED));
}

#[test]
fn a_store_that_takes_nothing_is_told_at_once() {
    let mut room = Room::new();
    room.stage.news(News::Health(Health::Full));
    assert_eq!(room.by_ann(update(2, b"new")), Err(CloseCode::STORE_FULL));
    assert_eq!(room.stage.disk.queries.len(), 0);
}

/// (P10) What somebody made of messages that are on disk only goes with what it published.
#[test]
fn what_is_erased_leaves_nothing_of_what_it_made_of_others() {
    let mut room = Room::new();
    let (ann, bob) = (room.ann, room.bob);
    for (rule, name) in [(NoteRule::Total, ""), (NoteRule::Distinct, "a"), (NoteRule::Unique, "b")]
    {
        for who in [ann, bob] {
            room.noted(who, note(2, rule, name)).expect("kept");
        }
    }
    room.by_bob(reply(2)).expect("kept");
    room.by_ann(update(2, b"ann's")).expect("kept");
    room.say_large(MANY);
    let mut attach = room.stage.knock();
    attach.principal.grants = Grants { admin: true, ..Grants::open() };
    let admin = room.stage.enter(attach).expect("everyone is let in");
    let erase = EventUp::Erase { request: 9, subject: "bob".into() };
    room.stage.event(admin.conn, erase);
    let mut told = Vec::new();
    for _ in 0..40 {
        room.stage.ticks_with(1, &[admin.conn]);
        room.breathe();
        room.stage.answer();
        room.stage.commit();
        told.extend(room.stage.events(admin.conn));
    }
    assert!(told.iter().any(|e| matches!(e, EventDown::Erased { events: 4, .. })), "{told:?}");
    let only_ann = |room: &mut Room| {
        let entry = room.shown(2);
        assert_eq!((entry.event.payload.as_slice(), entry.replies), (&b"ann's"[..], 0));
        let totals: Vec<_> = entry.notes.iter().map(|sum| sum.total).collect();
        assert_eq!(totals, [1, 1, 1]);
    };
    only_ann(&mut room);
    room.crash(0);
    only_ann(&mut room);
    let mut rows = room.stage.disk.rows.iter();
    let names = |bytes: &[u8]| bytes.windows(3).any(|word| word == b"bob");
    assert!(!rows.any(|((table, key), row)| {
        [Table::Event, Table::Note].contains(table) && (names(key) || names(row))
    }));
}
