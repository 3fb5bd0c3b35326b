use super::*;
use starling_protocol::codec::decode;
use starling_protocol::frame::Frames;
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::events::Action;
use starling_protocol::units::{MessageId, Tick};

const ORDERED: DeliveryClass = DeliveryClass::Ordered;

fn at(offset: u64) -> ChannelPosition {
    ChannelPosition { epoch: Epoch(1), offset: Offset(offset) }
}

fn event(key: ChannelKey, offset: u64) -> Box<Event> {
    Box::new(Event {
        key,
        offset: Offset(offset),
        tick: Tick(1),
        unix_ms: 0,
        publisher: None,
        message: MessageId(0),
        action: Action::Message,
        state_key: None,
        parent: None,
        payload: Vec::new(),
    })
}

/// A live subscription that stands after event 4.
fn live() -> (Subscriptions, ChannelKey) {
    let (mut subscriptions, mut outbox) = (Subscriptions::new(), Outbox::default());
    let key = subscriptions.want("lobby", SubscribeOptions::default()).expect("room");
    subscriptions.flush(&mut outbox);
    let heard = subscriptions.subscribed(Nanos(0), key, Answer::Reset(at(4)), at(4), ORDERED);
    assert!(matches!(heard, Heard::Subscribed { .. }));
    (subscriptions, key)
}

fn offset(subscriptions: &Subscriptions, key: ChannelKey) -> u64 {
    subscriptions.get(key).and_then(Subscription::position).map_or(0, |p| p.offset.0)
}

#[test]
fn events_are_delivered_in_order_and_once() {
    let (mut subscriptions, key) = live();
    assert!(matches!(subscriptions.deliver(event(key, 5)), Heard::Delivered(_)));
    assert_eq!(subscriptions.deliver(event(key, 5)), Heard::Breach);
    assert_eq!(subscriptions.deliver(event(key, 3)), Heard::Breach);
    assert!(matches!(subscriptions.deliver(event(key, 6)), Heard::Delivered(_)));
    assert_eq!(offset(&subscriptions, key), 6);
}

#[test]
fn a_hole_stops_the_subscription_and_it_is_taken_up_from_its_position() {
    let (mut subscriptions, key) = live();
    assert_eq!(subscriptions.deliver(event(key, 7)), Heard::Breach);
    assert_eq!(subscriptions.get(key).map(Subscription::state), Some(SubscriptionState::Wanted));
    assert_eq!(subscriptions.deliver(event(key, 8)), Heard::Nothing);
    subscriptions.flush(&mut Outbox::default());
    subscriptions.subscribed(Nanos(0), key, Answer::Resumed, at(8), ORDERED);
    assert!(matches!(subscriptions.deliver(event(key, 5)), Heard::Delivered(_)));
    assert_eq!(subscriptions.get(key).map(Subscription::behind), Some(3));
}

#[test]
fn a_gap_that_is_told_moves_on() {
    let (mut subscriptions, key) = live();
    let gap = subscriptions.gap(key, Offset(5), Offset(9));
    assert_eq!(gap, Heard::Gap { key, from: Offset(5), to: Offset(9) });
    assert!(matches!(subscriptions.deliver(event(key, 10)), Heard::Delivered(_)));
    assert_eq!(subscriptions.gap(key, Offset(13), Offset(14)), Heard::Breach);
}

#[test]
fn a_gap_may_come_before_the_answer_that_it_belongs_to() {
    let mut subscriptions = Subscriptions::new();
    let options = SubscribeOptions { resume: Some(at(4)), presence: false };
    let key = subscriptions.want("lobby", options).expect("room");
    subscriptions.flush(&mut Outbox::default());
    assert!(matches!(subscriptions.gap(key, Offset(5), Offset(9)), Heard::Gap { .. }));
    subscriptions.subscribed(Nanos(0), key, Answer::Resumed, at(20), ORDERED);
    assert!(matches!(subscriptions.deliver(event(key, 10)), Heard::Delivered(_)));
}

#[test]
fn a_subscription_denied_for_the_time_being_is_asked_for_again() {
    let mut subscriptions = Subscriptions::new();
    let key = subscriptions.want("lobby", SubscribeOptions::default()).expect("room");
    subscriptions.flush(&mut Outbox::default());
    let denied = Answer::Denied(CloseCode::RATE_LIMITED);
    assert_eq!(subscriptions.subscribed(Nanos(0), key, denied, at(0), ORDERED), Heard::Nothing);
    let due = subscriptions.again_at().expect("it will be asked for again");
    subscriptions.again(due);
    let mut outbox = Outbox::default();
    subscriptions.flush(&mut outbox);
    assert!(!outbox.is_empty());
}

#[test]
fn a_resume_names_the_live_positions_and_asks_again_for_the_rest() {
    let (mut subscriptions, key) = live();
    let other = subscriptions.want("news", SubscribeOptions::default()).expect("room");
    subscriptions.flush(&mut Outbox::default());
    assert_eq!(subscriptions.positions(), [(key, at(4))]);
    subscriptions.resume();
    assert_eq!(subscriptions.get(other).map(Subscription::state), Some(SubscriptionState::Wanted));
    assert_eq!(subscriptions.get(key).map(Subscription::state), Some(SubscriptionState::Live));
}

/// P6: at the resume and as it was asked for again it is answered from the same place.
#[test]
fn what_an_answer_tells_again_is_passed_over_on_that_connection_only() {
    let (mut subscriptions, key) = live();
    subscriptions.resume();
    subscriptions.subscribed(Nanos(0), key, Answer::Resumed, at(6), ORDERED);
    for offset in 5..=6 {
        assert!(matches!(subscriptions.deliver(event(key, offset)), Heard::Delivered(_)));
    }
    assert_eq!(subscriptions.deliver(event(key, 6)), Heard::Breach, "it was answered once");
    subscriptions.subscribed(Nanos(0), key, Answer::Resumed, at(8), ORDERED);
    for offset in 5..=6 {
        assert_eq!(subscriptions.deliver(event(key, offset)), Heard::Nothing, "told before");
    }
    assert!(matches!(subscriptions.deliver(event(key, 7)), Heard::Delivered(_)));
    assert_eq!(subscriptions.deliver(event(key, 7)), Heard::Breach);
    subscriptions.resume();
    subscriptions.subscribed(Nanos(0), key, Answer::Resumed, at(8), ORDERED);
    assert!(matches!(subscriptions.deliver(event(key, 8)), Heard::Delivered(_)));
}

/// P6: what was told before may be gone when it is told again, and more with it.
#[test]
fn a_gap_that_begins_with_what_was_told_is_one_from_there_on() {
    let (mut subscriptions, key) = live();
    subscriptions.deliver(event(key, 5));
    subscriptions.deliver(event(key, 6));
    subscriptions.subscribed(Nanos(0), key, Answer::Reset(at(4)), at(9), ORDERED);
    let heard = subscriptions.gap(key, Offset(5), Offset(8));
    assert_eq!(heard, Heard::Gap { key, from: Offset(7), to: Offset(8) });
    assert!(matches!(subscriptions.deliver(event(key, 9)), Heard::Delivered(_)));
    assert_eq!(subscriptions.gap(key, Offset(7), Offset(8)), Heard::Breach, "told once");
}

#[test]
fn a_denied_subscription_is_gone() {
    let mut subscriptions = Subscriptions::new();
    let key = subscriptions.want("secret", SubscribeOptions::default()).expect("room");
    subscriptions.flush(&mut Outbox::default());
    let code = CloseCode::UNKNOWN_CHANNEL;
    let heard = subscriptions.subscribed(Nanos(0), key, Answer::Denied(code), at(0), ORDERED);
    assert_eq!(heard, Heard::Ended { key, channel: "secret".into(), code });
    assert!(subscriptions.get(key).is_none());
}

#[test]
fn subscriptions_are_bounded() {
    let mut subscriptions = Subscriptions::new();
    for n in 0..SUBSCRIPTIONS_MAX {
        let key = subscriptions.want(&format!("c/{n}"), SubscribeOptions::default());
        assert!(key.is_ok(), "{n}");
    }
    let one_more = subscriptions.want("c/more", SubscribeOptions::default());
    assert_eq!(one_more, Err(RequestError::Limit));
}

#[test]
fn a_conflated_channel_jumps_forward_and_never_back() {
    let (mut subscriptions, key) = live();
    subscriptions.subscribed(Nanos(0), key, Answer::Resumed, at(9), DeliveryClass::Conflated);
    assert!(matches!(subscriptions.deliver(event(key, 9)), Heard::Delivered(_)));
    assert_eq!(subscriptions.deliver(event(key, 7)), Heard::Breach);
    assert_eq!(
        (offset(&subscriptions, key), subscriptions.get(key).map(Subscription::behind)),
        (9, Some(0))
    );
}

#[test]
fn a_run_of_changes_counts_as_all_of_its_events() {
    let (mut subscriptions, mut outbox) = (Subscriptions::new(), Outbox::default());
    let key = subscriptions.want("presence/lobby", SubscribeOptions::default()).expect("room");
    subscriptions.flush(&mut outbox);
    subscriptions.subscribed(Nanos(0), key, Answer::Reset(at(4)), at(4), DeliveryClass::Ordered);
    subscriptions.members(key, Vec::new(), true);
    let run = |from, to| ((Offset(from), Offset(to)), Vec::new(), vec![SessionId(1)]);
    let mut told = |(places, here, left)| subscriptions.members_changed(key, places, here, left);
    assert_eq!(told(run(5, 60)), Heard::Nothing, "nothing of it is news");
    assert_eq!(told(run(61, 61)), Heard::Nothing);
    assert_eq!(told(run(50, 61)), Heard::Breach, "told before");
    assert_eq!(told(run(63, 70)), Heard::Breach, "a hole");
    assert_eq!(offset(&subscriptions, key), 61);
    assert_eq!(subscriptions.get(key).map(Subscription::state), Some(SubscriptionState::Wanted));
}

/// What is told of ends and asked for, in order.
fn said(subscriptions: &mut Subscriptions) -> Vec<EventUp> {
    let mut outbox = Outbox::default();
    subscriptions.flush(&mut outbox);
    let mut frames = Frames::new(MESSAGE_BYTES_MAX);
    frames.push(outbox.unsent(StreamKind::Events));
    let mut said = Vec::new();
    while let Some(body) = frames.next_frame().expect("frames of our own") {
        said.push(decode(body).expect("a message of our own"));
    }
    said
}

#[test]
fn what_ended_since_the_hello_named_it_is_ended_there_before_another_key_asks_for_its_channel() {
    let (mut subscriptions, key) = live();
    assert_eq!(subscriptions.positions().len(), 1, "the Hello names it");
    subscriptions.drop_key(key).expect("it stands");
    let again = subscriptions.want("lobby", SubscribeOptions::default()).expect("room");
    subscriptions.resume();
    let told = said(&mut subscriptions);
    assert_eq!(told[0], EventUp::Unsubscribe { key });
    assert!(matches!(&told[1], EventUp::Subscribe { key, .. } if *key == again), "{told:?}");
    assert_eq!(said(&mut subscriptions), [], "once on each connection");
    subscriptions.resume();
    assert_eq!(said(&mut subscriptions)[0], EventUp::Unsubscribe { key }, "nobody said it arrived");
    assert_eq!(subscriptions.ended(key, CloseCode::GOODBYE), Heard::Nothing);
    subscriptions.resume();
    assert!(!said(&mut subscriptions).contains(&EventUp::Unsubscribe { key }));
}

#[test]
fn one_that_a_restarted_server_has_again_is_ended_again() {
    let (mut subscriptions, key) = live();
    subscriptions.drop_key(key).expect("it stands");
    said(&mut subscriptions);
    subscriptions.ended(key, CloseCode::GOODBYE);
    subscriptions.resume();
    subscriptions.subscribed(Nanos(0), key, Answer::Reset(at(4)), at(4), ORDERED);
    assert_eq!(said(&mut subscriptions), [EventUp::Unsubscribe { key }]);
}

#[test]
fn one_that_has_a_hole_is_known_to_the_server_and_one_that_was_never_asked_for_is_not() {
    let (mut subscriptions, key) = live();
    assert_eq!(subscriptions.deliver(event(key, 7)), Heard::Breach);
    subscriptions.drop_key(key).expect("it stands");
    let other = subscriptions.want("news", SubscribeOptions::default()).expect("room");
    subscriptions.drop_key(other).expect("it stands");
    assert_eq!(said(&mut subscriptions), [EventUp::Unsubscribe { key }]);
}
