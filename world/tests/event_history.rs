//! P10: a history read returns every retained event of what was asked for, in order, and says which
//! part of it has expired; and every refusal has its code. P12: only what a grant covers when the
//! page is written.

mod session_stage;

use session_stage::{Guest, Stage, message, patterns};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::HISTORY_BYTES_MAX;
use starling_protocol::message::events::*;
use starling_protocol::units::{MessageId, Offset};
use starling_world::grants::{Grants, Principal};
use starling_world::input::Command;
use starling_world::namespace::{Access, Keep, Namespace, Namespaces};

type Answer = Result<HistoryPage, CloseCode>;

fn query(range: HistoryRange, limit: u16) -> HistoryQuery {
    HistoryQuery { request: 7, channel: "chat".into(), range, thread: None, limit }
}

fn offsets(from: u64, to: u64) -> HistoryRange {
    HistoryRange::Offsets { from: Offset(from), to: Offset(to) }
}

fn ask(stage: &mut Stage, guest: &Guest, query: HistoryQuery) -> Answer {
    stage.events(guest.conn);
    let request = query.request;
    stage.event(guest.conn, EventUp::History(Box::new(query)));
    let told = stage.events(guest.conn);
    let answers: Vec<_> = told.into_iter().filter_map(|event| answer(event, request)).collect();
    let [answer] = <[Answer; 1]>::try_from(answers).expect("exactly one answer");
    answer
}

fn answer(event: EventDown, request: u32) -> Option<Answer> {
    match event {
        EventDown::History(page) if page.request == request => Some(Ok(*page)),
        EventDown::RequestRefused { request: r, code, .. } if r == request => Some(Err(code)),
        _ => None,
    }
}

fn shown(page: &HistoryPage) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.event.offset.0).collect()
}

/// A world whose channels keep eight events, and so many said in `chat`.
fn said(events: u64) -> (Stage, Guest) {
    let keep = Keep { events: 8, ..Keep::MEMORY };
    let plain = Namespace { keep, ..Namespace::new("") };
    let closed = Namespace { subscribe: Access::Nobody, ..Namespace::new("closed") };
    let bare = Namespaces::of(vec![plain, closed]);
    let mut stage = Stage::with(|config| config.namespaces = bare);
    let guest = stage.guest();
    (1..=events).for_each(|id| assert!(stage.say(guest.conn, "chat", id).is_ok()));
    (stage, guest)
}

#[test]
fn the_newest_come_in_order_and_what_is_gone_is_told() {
    let (mut stage, guest) = said(10);
    let page = ask(&mut stage, &guest, query(HistoryRange::Newest, 3)).expect("granted");
    assert_eq!((shown(&page), page.top, page.expired), (vec![8, 9, 10], Offset(10), None));
    let all = ask(&mut stage, &guest, query(HistoryRange::Newest, 100)).expect("granted");
    assert_eq!(shown(&all), (3..=10).collect::<Vec<_>>());
    assert_eq!(all.expired, Some((Offset(1), Offset(2))), "more was asked for than is kept");
    assert_eq!(all.entries[0].event.message, MessageId(3));
}

#[test]
fn a_run_of_offsets_comes_page_by_page() {
    let (mut stage, guest) = said(10);
    let page = ask(&mut stage, &guest, query(offsets(1, 9), 4)).expect("granted");
    assert_eq!(shown(&page), [3, 4, 5, 6]);
    assert_eq!((page.expired, page.next), (Some((Offset(1), Offset(2))), Some(Offset(7))));
    let rest = ask(&mut stage, &guest, query(offsets(7, 9), 4)).expect("granted");
    assert_eq!((shown(&rest), rest.next, rest.expired), (vec![7, 8, 9], None, None));
    let beyond = ask(&mut stage, &guest, query(offsets(11, 99), 4)).expect("granted");
    assert_eq!((shown(&beyond), beyond.expired), (vec![], None));
    let gone = ask(&mut stage, &guest, query(offsets(2, 2), 4)).expect("granted");
    assert_eq!((shown(&gone), gone.expired), (vec![], Some((Offset(2), Offset(2)))));
}

#[test]
fn a_page_holds_no_more_bytes_than_it_may() {
    let (mut stage, guest) = said(0);
    for id in 1..=6 {
        let large = Publish { payload: vec![id as u8; 12 * 1024], ..message("chat", id) };
        stage.publish(guest.conn, large).expect("accepted");
    }
    let page = ask(&mut stage, &guest, query(offsets(1, 6), 100)).expect("granted");
    assert_eq!((shown(&page), page.next), (vec![1, 2, 3], Some(Offset(4))));
    let bytes: usize = page.entries.iter().map(|entry| entry.event.payload.len()).sum();
    assert!(bytes <= HISTORY_BYTES_MAX);
}

#[test]
fn a_time_is_asked_for_and_what_may_lie_in_it_is_told_as_gone() {
    let (mut stage, guest) = said(10);
    let times = |from_ms, to_ms| HistoryRange::Times { from_ms, to_ms };
    let all = ask(&mut stage, &guest, query(times(0, u64::MAX), 100)).expect("granted");
    assert_eq!(shown(&all), (3..=10).collect::<Vec<_>>());
    assert_eq!(all.expired, Some((Offset(1), Offset(2))));
    let later = ask(&mut stage, &guest, query(times(1, u64::MAX), 100)).expect("granted");
    assert_eq!((shown(&later), later.expired), (vec![], None), "a world without a clock is at 0");
}

#[test]
fn a_message_stands_at_its_first_place_as_it_is_now() {
    let (mut stage, guest) = said(3);
    let act = |action, id| Publish { action, payload: b"new".to_vec(), ..message("chat", id) };
    stage.publish(guest.conn, act(Action::Update(Offset(2)), 11)).expect("accepted");
    let answer = Publish { parent: Some(Offset(2)), ..message("chat", 12) };
    stage.publish(guest.conn, answer).expect("accepted");
    stage.publish(guest.conn, act(Action::Delete(Offset(3)), 13)).expect("accepted");
    let page = ask(&mut stage, &guest, query(HistoryRange::Newest, 100)).expect("granted");
    assert_eq!(shown(&page), [1, 2, 3, 5], "changes are shown where they changed something");
    let second = &page.entries[1];
    assert_eq!((second.event.payload.as_slice(), second.replies), (b"new".as_slice(), 1));
    assert_eq!(second.version.as_ref().map(|v| (v.offset, v.deleted)), Some((Offset(4), false)));
    assert!(page.entries[2].version.as_ref().is_some_and(|version| version.deleted));
    assert!(page.entries[2].event.payload.is_empty());
    let thread = HistoryQuery { thread: Some(Offset(2)), ..query(HistoryRange::Newest, 9) };
    assert_eq!(shown(&ask(&mut stage, &guest, thread).expect("granted")), [5]);
}

#[test]
fn a_change_whose_message_is_gone_is_shown_for_itself() {
    let (mut stage, guest) = said(1);
    let update = Publish { action: Action::Update(Offset(1)), ..message("chat", 2) };
    stage.publish(guest.conn, update).expect("accepted");
    (3..=9).for_each(|id| assert!(stage.say(guest.conn, "chat", id).is_ok()));
    let page = ask(&mut stage, &guest, query(offsets(1, 9), 100)).expect("granted");
    assert_eq!(shown(&page), (2..=9).collect::<Vec<_>>(), "every retained event");
    assert_eq!(page.expired, Some((Offset(1), Offset(1))));
}

#[test]
fn what_nobody_wrote_to_has_an_empty_history() {
    let (mut stage, guest) = said(0);
    let page = ask(&mut stage, &guest, query(HistoryRange::Newest, 5)).expect("granted");
    assert_eq!((shown(&page), page.top, page.expired, page.next), (vec![], Offset(0), None, None));
}

#[test]
fn every_refusal_has_its_code() {
    let (mut stage, guest) = said(1);
    let of =
        |channel: &str| HistoryQuery { channel: channel.into(), ..query(HistoryRange::Newest, 1) };
    for (channel, code) in [
        ("", CloseCode::BAD_NAME),
        ("a*", CloseCode::BAD_NAME),
        ("presence/chat", CloseCode::UNKNOWN_CHANNEL),
        ("session/1", CloseCode::UNKNOWN_CHANNEL),
        ("user/bob", CloseCode::FORBIDDEN),
        ("closed/a", CloseCode::FORBIDDEN),
    ] {
        assert_eq!(ask(&mut stage, &guest, of(channel)), Err(code), "{channel:?}");
    }
    let narrow = Grants { history: Some(patterns(&["other"])), ..Grants::open() };
    let narrow = stage.guest_with(narrow);
    assert_eq!(ask(&mut stage, &narrow, of("chat")), Err(CloseCode::FORBIDDEN));
    assert!(ask(&mut stage, &narrow, of("other")).is_ok());
}

#[test]
fn so_many_are_read_in_a_second_and_so_many_wait() {
    let (mut stage, guest) = said(1);
    let read = |stage: &mut Stage| ask(stage, &guest, query(HistoryRange::Newest, 1));
    let taken = (0..30).filter(|_| read(&mut stage).is_ok()).count();
    assert_eq!(taken, 20, "a burst");
    assert_eq!(read(&mut stage), Err(CloseCode::RATE_LIMITED));
    stage.ticks(20);
    assert!(read(&mut stage).is_ok());
    let other = stage.guest();
    stage.allow(other.conn, 0);
    stage.tick();
    let ask = |n| {
        EventUp::History(Box::new(HistoryQuery { request: n, ..query(HistoryRange::Newest, 1) }))
    };
    (0..6).for_each(|n| stage.event(other.conn, ask(n)));
    stage.allow(other.conn, 64 * 1024);
    stage.tick();
    let told = stage.events(other.conn);
    let pages = told.iter().filter(|event| matches!(event, EventDown::History(_))).count();
    let code = CloseCode::RATE_LIMITED;
    let refused = |event: &&EventDown| {
        matches!(event, EventDown::RequestRefused { code: c, retry_after_ms: Some(_), .. }
            if *c == code)
    };
    assert_eq!((pages, told.iter().filter(refused).count()), (4, 2));
}

#[test]
fn a_page_that_waits_is_not_told_once_its_grant_is_narrowed() {
    let (mut stage, guest) = said(3);
    stage.allow(guest.conn, 0);
    stage.tick();
    let asked = Box::new(query(HistoryRange::Newest, 9));
    stage.event(guest.conn, EventUp::History(asked));
    let grants = Grants { history: Some(Vec::new()), ..Grants::open() };
    let principal = Principal { grants, ..Principal::default() };
    stage.step(Command::Regrant { conn: guest.conn, principal });
    stage.allow(guest.conn, 64 * 1024);
    stage.tick();
    let told = stage.events(guest.conn);
    assert!(!told.iter().any(|event| matches!(event, EventDown::History(_))), "{told:?}");
    let forbidden = CloseCode::FORBIDDEN;
    let refused = EventDown::RequestRefused { request: 7, code: forbidden, retry_after_ms: None };
    assert!(told.contains(&refused), "{told:?}");
}
