//! Channels as an application sees them, over the loss of connections and breaches of promises
//! (P4, P6, P7).

mod support;

use starling_client::{
    ClientEvent, EraseStatus, History, PageStatus, Publication, PublishStatus, SubscribeOptions,
};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{ControlUp, INBOX, ResumeAnswer};
use starling_protocol::message::events::{
    Action, Answer, DeliveryClass, Event, EventDown, EventUp, HistoryPage, HistoryRange, Member,
    MemberState, Publisher, Receipt,
};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{
    ChannelKey, ChannelPosition, Epoch, MessageId, Offset, SessionId, Tick,
};
use support::{Bench, ms, welcome};

fn at(offset: u64) -> ChannelPosition {
    ChannelPosition { epoch: Epoch(1), offset: Offset(offset) }
}

fn event(key: ChannelKey, offset: u64, action: Action, session: u64) -> EventDown {
    EventDown::Deliver(Box::new(Event {
        key,
        offset: Offset(offset),
        tick: Tick(100),
        unix_ms: 0,
        publisher: Some(Publisher { session: SessionId(session), subject: "ann".into() }),
        message: MessageId(offset),
        action,
        state_key: None,
        parent: None,
        payload: vec![offset as u8],
    }))
}

fn message(key: ChannelKey, offset: u64) -> EventDown {
    event(key, offset, Action::Message, 1)
}

fn subscribed(bench: &mut Bench, channel: &str, top: u64) -> ChannelKey {
    let key = bench.session.subscribe(channel, SubscribeOptions::default()).expect("room");
    assert!(matches!(bench.channel().as_slice(), [EventUp::Subscribe { .. }]));
    bench.tell(&EventDown::Subscribed {
        key,
        answer: Answer::Reset(at(top)),
        top: at(top),
        class: DeliveryClass::Ordered,
    });
    bench.events();
    key
}

fn delivered(bench: &mut Bench) -> Vec<u64> {
    let events = bench.events().into_iter();
    let offsets = events.filter_map(|event| match event {
        ClientEvent::Delivered(event) => Some(event.offset.0),
        _ => None,
    });
    offsets.collect()
}

fn reconnect(bench: &mut Bench, answer: ResumeAnswer) -> Vec<(ChannelKey, ChannelPosition)> {
    bench.session.handle_closed(ms(500), CloseCode::LOST);
    let due = bench.session.next_timeout(ms(500)).expect("it tries again");
    bench.session.advance(due);
    bench.wishes();
    bench.session.handle_connected(due);
    let hello = bench.control();
    let [ControlUp::Hello(hello)] = hello.as_slice() else { panic!("{hello:?}") };
    let positions = hello.resume.as_ref().map(|resume| resume.channels.clone());
    bench.welcome.resumed = answer;
    bench.welcome_at(due);
    bench.events();
    positions.unwrap_or_default()
}

#[test]
fn events_come_in_order_and_once_and_a_repetition_is_counted() {
    let mut bench = Bench::live(welcome());
    let key = subscribed(&mut bench, "lobby", 4);
    for offset in [5, 6, 6, 5, 7] {
        bench.tell(&message(key, offset));
    }
    assert_eq!(delivered(&mut bench), [5, 6, 7]);
    assert_eq!(bench.session.stats().breaches, 2);
    assert_eq!(bench.session.subscription(key).and_then(|s| s.position()), Some(at(7)));
}

#[test]
fn a_hole_makes_the_session_ask_again_from_its_position() {
    let mut bench = Bench::live(welcome());
    let key = subscribed(&mut bench, "lobby", 4);
    bench.tell(&message(key, 5));
    bench.tell(&message(key, 8));
    bench.tell(&message(key, 9));
    let asked = bench.channel();
    let [EventUp::Subscribe { resume, .. }] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(*resume, Some(at(5)));
    bench.tell(&EventDown::Subscribed {
        key,
        answer: Answer::Resumed,
        top: at(9),
        class: DeliveryClass::Ordered,
    });
    (6..=9).for_each(|offset| bench.tell(&message(key, offset)));
    assert_eq!(delivered(&mut bench), [5, 6, 7, 8, 9]);
}

#[test]
fn a_gap_is_told_before_the_next_event() {
    let mut bench = Bench::live(welcome());
    let key = subscribed(&mut bench, "lobby", 4);
    bench.tell(&EventDown::Gap { key, from: Offset(5), to: Offset(9) });
    bench.tell(&message(key, 10));
    let events = bench.events();
    assert!(matches!(
        events.as_slice(),
        [ClientEvent::Gap { from: Offset(5), to: Offset(9), .. }, ClientEvent::Delivered(_)]
    ));
}

#[test]
fn a_resume_names_every_position_and_goes_on_from_there() {
    let mut bench = Bench::live(welcome());
    let key = subscribed(&mut bench, "lobby", 4);
    bench.tell(&message(key, 5));
    bench.tell(&message(INBOX, 1));
    assert_eq!(delivered(&mut bench), [5, 1]);
    let positions = reconnect(&mut bench, ResumeAnswer::Resumed);
    assert_eq!(positions, [(INBOX, at(1)), (key, at(5))]);
    assert!(bench.channel().is_empty(), "what was live is not asked for again");
    bench.tell(&EventDown::Subscribed {
        key,
        answer: Answer::Resumed,
        top: at(7),
        class: DeliveryClass::Ordered,
    });
    (6..=7).for_each(|offset| bench.tell(&message(key, offset)));
    bench.tell(&message(INBOX, 2));
    assert_eq!(delivered(&mut bench), [6, 7, 2]);
    assert_eq!(bench.session.stats().breaches, 0);
}

#[test]
fn after_a_reset_every_channel_is_asked_for_from_its_own_position() {
    let mut bench = Bench::live(welcome());
    let key = subscribed(&mut bench, "lobby", 4);
    bench.tell(&message(key, 5));
    bench.tell(&message(INBOX, 1));
    reconnect(&mut bench, ResumeAnswer::Reset);
    let asked = bench.channel();
    let [EventUp::Subscribe { channel, resume, .. }] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!((channel.as_str(), *resume), ("lobby", Some(at(5))));
    bench.tell(&message(INBOX, 1));
    assert_eq!(delivered(&mut bench), [1], "the inbox of a new session counts anew");
}

#[test]
fn a_publish_without_an_answer_is_repeated_under_its_id_after_a_resume() {
    let mut bench = Bench::live(welcome());
    let hello = Publication::to_channel("lobby", b"hello");
    let first = bench.session.publish(hello.clone()).expect("room");
    let second = bench.session.publish(hello).expect("room");
    assert_eq!(bench.channel().len(), 2);
    let receipt = Receipt::Channel(at(9));
    bench.tell(&EventDown::Published { message: second, receipt });
    assert_eq!(bench.session.publish_status(second), PublishStatus::Accepted(receipt));
    reconnect(&mut bench, ResumeAnswer::Resumed);
    let again = bench.channel();
    let [EventUp::Publish(publish)] = again.as_slice() else { panic!("{again:?}") };
    assert_eq!(publish.message, first);
    bench.tell(&EventDown::Published { message: first, receipt });
    bench.tell(&EventDown::Published { message: first, receipt });
    assert_eq!(bench.events().len(), 1, "answered once");
    assert_eq!(bench.session.stats().breaches, 0, "one answer to what was sent, one to its repeat");
    let other = Receipt::Channel(at(10));
    bench.tell(&EventDown::Published { message: first, receipt: other });
    assert!(bench.events().is_empty());
    assert_eq!(bench.session.stats().breaches, 1, "another answer than the first");
}

#[test]
fn a_publish_whose_session_is_gone_is_uncertain_and_not_repeated() {
    let mut bench = Bench::live(welcome());
    let message = bench.session.publish(Publication::to_channel("a", b"x")).expect("room");
    bench.channel();
    reconnect(&mut bench, ResumeAnswer::Denied);
    assert!(bench.channel().is_empty());
    assert_eq!(bench.session.publish_status(message), PublishStatus::OutcomeUnknown);
}

#[test]
fn a_presence_list_is_a_snapshot_that_follows_its_events() {
    let mut bench = Bench::live(welcome());
    let key = subscribed(&mut bench, "presence/lobby", 4);
    let member = |session| Member {
        session: SessionId(session),
        subject: String::new(),
        since: Tick(1),
        state: MemberState::Here,
        data: Vec::new(),
    };
    bench.tell(&EventDown::Members { key, members: vec![member(1), member(2)], last: true });
    bench.tell(&event(key, 5, Action::Join, 3));
    bench.tell(&event(key, 6, Action::Leave, 1));
    let events = bench.events();
    assert!(matches!(
        events.as_slice(),
        [ClientEvent::Members { .. }, ClientEvent::Joined { .. }, ClientEvent::Left { .. }]
    ));
    let list = bench.session.presence(key).expect("a presence channel");
    assert_eq!(list.iter().map(|m| m.session.0).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn an_application_that_takes_no_events_is_disconnected_and_loses_none() {
    let mut bench = Bench::live(welcome());
    let key = subscribed(&mut bench, "flood", 0);
    let mut told = 0;
    while bench.session.stats().slow_consumer == 0 {
        told += 1;
        assert!(told < 200_000, "memory has a bound");
        bench.tell(&message(key, told));
    }
    assert_eq!(bench.wishes().len(), 1, "the connection is closed");
    let due = ms(60_000);
    bench.session.advance(due);
    assert!(bench.wishes().is_empty(), "and not made again before the events are taken");
    let taken = delivered(&mut bench);
    assert_eq!(taken, (1..=taken.len() as u64).collect::<Vec<_>>());
    bench.session.advance(due);
    assert_eq!(bench.wishes().len(), 1);
    bench.session.handle_connected(due);
    let hello = bench.control();
    let [ControlUp::Hello(hello)] = hello.as_slice() else { panic!("{hello:?}") };
    let resume = hello.resume.as_ref().expect("it resumes");
    assert!(resume.channels.contains(&(key, at(taken.len() as u64))));
}

#[test]
fn events_that_overtake_the_welcome_wait_for_it() {
    let mut bench = Bench::live(welcome());
    let key = subscribed(&mut bench, "lobby", 4);
    bench.session.handle_closed(ms(500), CloseCode::LOST);
    let due = bench.session.next_timeout(ms(500)).expect("it tries again");
    bench.session.advance(due);
    bench.wishes();
    bench.session.handle_connected(due);
    bench.tell(&message(key, 5));
    assert!(delivered(&mut bench).is_empty());
    bench.welcome.resumed = ResumeAnswer::Resumed;
    bench.welcome_at(due);
    assert_eq!(delivered(&mut bench), [5]);
    assert!(bench.session.poll_stream(StreamKind::Events).is_empty());
}

/// P10 as an application sees it: a page is asked for once on each connection until it is answered.
#[test]
fn a_page_of_history_is_asked_for_until_it_is_answered() {
    let mut bench = Bench::live(welcome());
    let request = bench.session.history("chat", History::newest(2).thread(7)).expect("room");
    let asked = bench.channel();
    let [EventUp::History(query)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((query.request, query.limit, query.thread), (request, 2, Some(Offset(7))));
    assert_eq!(query.range, HistoryRange::Newest);
    assert_eq!(bench.session.page(request), PageStatus::Pending);
    let (epoch, top) = (Epoch(1), Offset(9));
    let expired = Some((Offset(1), Offset(3)));
    let page = HistoryPage { request, epoch, top, expired, entries: Vec::new(), next: None };
    bench.tell(&EventDown::History(Box::new(page.clone())));
    assert!(bench.events().iter().any(|event| matches!(event,
        ClientEvent::History { request: r } if *r == request)));
    assert_eq!(bench.session.page(request), PageStatus::Read(Box::new(page)));

    let second = bench.session.history("secret", History::between(1, 9)).expect("room");
    let code = CloseCode::FORBIDDEN;
    bench.tell(&EventDown::RequestRefused { request: second, code, retry_after_ms: None });
    assert!(bench.events().iter().any(|event| matches!(event,
        ClientEvent::AskRefused { request: r, .. } if *r == second)));
    assert_eq!(bench.session.page(second), PageStatus::Refused(code));
    let asked = |n| bench.session.history("chat", History::at(n, n + 1)).map(drop);
    let refused = (0..5).map(asked).filter(Result::is_err).count();
    assert_eq!(refused, 1, "four may wait");
}

fn value(key: ChannelKey, offset: u64, payload: Vec<u8>) -> Event {
    match event(key, offset, Action::Message, 1) {
        EventDown::Deliver(event) => Event { state_key: Some("page".into()), payload, ..*event },
        other => panic!("not an event: {other:?}"),
    }
}

#[test]
fn a_difference_becomes_the_value_that_was_published() {
    let mut bench = Bench::live(welcome());
    let key = subscribed(&mut bench, "doc", 0);
    let old = vec![7; 2_000];
    let new = [&old[..], b"more"].concat();
    bench.tell(&EventDown::Deliver(Box::new(value(key, 1, old.clone()))));
    let block = starling_protocol::delta::encode(&new, &old).expect("much shorter");
    let event = Box::new(value(key, 2, block));
    bench.tell(&EventDown::DeliverDelta { event, bytes: new.len() as u32 });
    let state = bench.session.state_of(key).expect("it is followed");
    assert_eq!(
        state.get("page").map(|value| (value.offset, value.payload.clone())),
        Some((Offset(2), new))
    );
    assert_eq!(delivered(&mut bench), [1, 2]);
}

#[test]
fn a_difference_that_cannot_be_read_is_a_breach_and_the_channel_is_taken_up_again() {
    for (payload, bytes) in [(vec![0xff; 40], 50), (vec![], 9), (vec![0], u32::MAX)] {
        let mut bench = Bench::live(welcome());
        let key = subscribed(&mut bench, "doc", 0);
        bench.tell(&EventDown::Deliver(Box::new(value(key, 1, vec![7; 100]))));
        delivered(&mut bench);
        let breaches = bench.session.stats().breaches;
        bench.tell(&EventDown::DeliverDelta { event: Box::new(value(key, 2, payload)), bytes });
        assert!(delivered(&mut bench).is_empty());
        assert_eq!(bench.session.stats().breaches, breaches + 1);
        let up = bench.channel();
        let [EventUp::Subscribe { resume: Some(resume), .. }] = up.as_slice() else {
            panic!("{up:?}");
        };
        assert_eq!(resume.offset, Offset(1));
    }
}

/// P10: a request to erase is said until it is answered, and both kinds of answers are told.
#[test]
fn what_a_subject_published_is_erased_on_request_and_asked_again_after_a_loss() {
    let mut bench = Bench::live(welcome());
    let request = bench.session.erase("ann").expect("room");
    let asked = EventUp::Erase { request, subject: "ann".into() };
    assert_eq!(bench.channel(), std::slice::from_ref(&asked));
    assert_eq!(bench.session.erasure(request), EraseStatus::Pending);
    reconnect(&mut bench, ResumeAnswer::Resumed);
    assert_eq!(bench.channel(), [asked]);
    bench.tell(&EventDown::Erased { request, events: 12 });
    assert_eq!(bench.events(), [ClientEvent::Erased { request, events: 12 }]);
    assert_eq!(bench.session.erasure(request), EraseStatus::Erased(12));
    let second = bench.session.erase("bob").expect("room");
    let (code, retry_after_ms) = (CloseCode::FORBIDDEN, None);
    bench.tell(&EventDown::RequestRefused { request: second, code, retry_after_ms });
    let refused = ClientEvent::AskRefused { request: second, code, retry_after_ms };
    assert_eq!(bench.events(), [refused]);
    assert_eq!(bench.session.erasure(second), EraseStatus::Refused(code));
}
