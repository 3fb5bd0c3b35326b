//! Slow readers, drains, losses, and what is the same twice (P11, P13, P14).

mod support;

use starling_protocol::close::CloseCode;
use starling_protocol::limits::EVENT_BYTES_MAX;
use starling_protocol::message::control::{ControlDown, ControlUp, Hello, Resume, ResumeAnswer};
use starling_protocol::message::events::{EventDown, EventUp, Publish, Scope};
use starling_protocol::units::{ChannelKey, MessageId};
use support::{Hall, hall, hello, spawn};

fn publish(message: u64, channel: &str, bytes: usize) -> EventUp {
    EventUp::Publish(Box::new(Publish::plain(
        MessageId(message),
        Scope::Channel(channel.into()),
        vec![7; bytes],
    )))
}

fn subscribe(channel: &str) -> EventUp {
    let (key, channel) = (ChannelKey(1), channel.into());
    EventUp::Subscribe { key, channel, resume: None, presence: false }
}

fn delivered(hall: &Hall, at: usize) -> usize {
    hall.clients[at].events.iter().filter(|m| matches!(m, EventDown::Deliver(_))).count()
}

#[test]
fn an_event_does_not_wait_for_a_tick() {
    let mut hall = hall();
    let (from, to) = (hall.guest(), hall.guest());
    hall.event(to, &subscribe("news"));
    hall.event(from, &subscribe("news"));
    hall.run_ms(60);
    for message in 0..5 {
        hall.event(from, &publish(message, "news", 10));
        // A tick takes 50 ms; the way up and down takes two steps of a millisecond.
        hall.run_ms(4);
        assert_eq!(delivered(&hall, to), message as usize + 1);
        hall.run_ms(31);
    }
}

#[test]
fn a_client_that_does_not_read_is_closed_and_the_others_get_everything() {
    let mut hall = hall();
    let (from, deaf, to) = (hall.guest(), hall.guest(), hall.guest());
    for at in [deaf, to, from] {
        hall.event(at, &subscribe("news"));
    }
    hall.run_ms(60);
    hall.clients[deaf].deaf = true;
    let mut sent = 0;
    while hall.closes(CloseCode::SLOW_CONSUMER) == 0 {
        sent += 1;
        assert!(sent < 2_000, "a client that reads nothing is closed at last");
        hall.event(from, &publish(sent, "news", EVENT_BYTES_MAX));
        hall.run_ms(40);
    }
    hall.run_ms(2_000);
    assert_eq!(delivered(&hall, to), sent as usize);
    hall.clients[deaf].deaf = false;
    hall.until("it hears why", |hall| hall.closed(deaf).is_some());
    assert_eq!(hall.closed(deaf), Some(CloseCode::SLOW_CONSUMER));
}

#[test]
fn a_client_that_leaves_little_unread_is_closed_by_its_age() {
    let mut hall = hall();
    let (from, deaf) = (hall.guest(), hall.guest());
    hall.event(deaf, &subscribe("news"));
    hall.run_ms(60);
    hall.clients[deaf].deaf = true;
    // A link holds 64 KiB, so that only the last of these wait, far from any bound in bytes.
    for message in 0..6 {
        hall.event(from, &publish(message, "news", EVENT_BYTES_MAX));
        hall.run_ms(25);
    }
    hall.run_ms(4_700);
    assert_eq!(hall.closes(CloseCode::SLOW_CONSUMER), 0, "it has five seconds");
    hall.run_ms(600);
    assert_eq!(hall.closes(CloseCode::SLOW_CONSUMER), 1);
}

#[test]
fn a_lost_client_takes_its_session_up_again() {
    let mut hall = hall();
    let lost = hall.guest();
    hall.control(lost, &spawn("mine", [1, 2, 3]));
    hall.run_ms(60);
    let welcome = hall.welcome(lost).expect("it was").clone();
    let now = hall.now;
    hall.clients[lost].leave(now, CloseCode::LOST);
    hall.run_ms(500);
    let token = welcome.resume_token;
    let resume = Resume { session: welcome.session, token, channels: Vec::new() };
    let again = hall.says(Hello { resume: Some(resume.clone()), ..hello() });
    let resumed = hall.welcome(again).expect("welcome back").clone();
    assert_eq!((resumed.resumed, resumed.session), (ResumeAnswer::Resumed, welcome.session));
    assert_eq!(resumed.entities.len(), 1, "its entity stayed");
    assert_eq!(hall.totals().sessions_resumed.get(), 1);
    hall.control(again, &spawn("another", [4, 5, 6]));
    hall.run_ms(60);
    let thief = hall.says(Hello { resume: Some(resume), ..hello() });
    let denied = hall.welcome(thief).map(|w| (w.resumed, w.session == welcome.session));
    assert_eq!(denied, Some((ResumeAnswer::Denied, false)), "a token works once");
}

#[test]
fn a_client_that_lost_its_connection_before_the_welcome_is_not_shut_out() {
    let mut hall = hall();
    let lost = hall.guest();
    hall.control(lost, &spawn("mine", [1, 2, 3]));
    hall.run_ms(60);
    let welcome = hall.welcome(lost).expect("it was").clone();
    let (session, token) = (welcome.session, welcome.resume_token);
    let resume = || Some(Resume { session, token, channels: Vec::new() });
    let now = hall.now;
    hall.clients[lost].leave(now, CloseCode::LOST);
    let unlucky = hall.stranger();
    hall.clients[unlucky].deaf = true;
    hall.control(unlucky, &ControlUp::Hello(Box::new(Hello { resume: resume(), ..hello() })));
    hall.run_ms(60);
    assert_eq!(hall.totals().sessions_resumed.get(), 1, "the server has welcomed it back");
    let now = hall.now;
    hall.clients[unlucky].leave(now, CloseCode::LOST);
    hall.run_ms(60);
    let again = hall.says(Hello { resume: resume(), ..hello() });
    let welcome = hall.welcome(again).expect("welcome back");
    assert_eq!((welcome.resumed, welcome.session), (ResumeAnswer::Resumed, session));
    assert_eq!(welcome.entities.len(), 1);
}

#[test]
fn a_goodbye_by_close_code_alone_is_a_clean_end() {
    let mut hall = hall();
    let at = hall.guest();
    hall.control(at, &spawn("mine", [1, 2, 3]));
    hall.run_ms(60);
    let entities = |hall: &Hall| {
        let room = hall.server.room("test").expect("it is there");
        room.world().stats().entities
    };
    assert_eq!(entities(&hall), 1);
    let now = hall.now;
    hall.clients[at].leave(now, CloseCode::GOODBYE);
    hall.run_ms(100);
    assert_eq!(entities(&hall), 0);
}

#[test]
fn a_drain_tells_everyone_refuses_newcomers_and_ends_by_its_deadline() {
    let mut hall = hall();
    let (quick, slow) = (hall.guest(), hall.guest());
    let now = hall.now;
    hall.server.front_mut().drain(now, 3_000, 500);
    hall.run_ms(100);
    for at in [quick, slow] {
        let told = |m: &ControlDown| {
            matches!(m, ControlDown::GoingAway { deadline_ms: 1..=3_000, jitter_ms: 500 })
        };
        assert!(hall.clients[at].control.iter().any(told), "{:?}", hall.clients[at].control);
    }
    let late = hall.says(hello());
    assert_eq!(hall.refusal(late), Some(CloseCode::GOING_AWAY));
    hall.control(quick, &ControlUp::Goodbye);
    hall.run_ms(100);
    assert!(hall.closed(quick).is_some() && hall.closed(slow).is_none());
    assert!(!hall.server.front().is_drained());
    hall.run_ms(3_000);
    assert_eq!(hall.closed(slow), Some(CloseCode::GOING_AWAY));
    assert!(hall.server.front().is_drained());
}

/// The steps of load shedding that a client was told of.
fn sheds(hall: &Hall, at: usize) -> Vec<u8> {
    let told = hall.clients[at].control.iter();
    told.filter_map(|m| if let ControlDown::Shed { level } = m { Some(*level) } else { None })
        .collect()
}

/// Fault 53: a server that gets a turn every 120 ms has two ticks of three too late. It goes up the ladder
/// one step a second, says so, keeps what it accepted, and is back within ten seconds.
#[test]
fn a_server_with_too_little_time_sheds_in_order_and_comes_back() {
    let mut hall = hall();
    let (from, to) = (hall.guest(), hall.guest());
    hall.event(to, &subscribe("news"));
    hall.run_ms(60);
    hall.limp_ms(2_400, 120);
    hall.event(from, &publish(1, "news", 10));
    hall.limp_ms(600, 120);
    let steps = sheds(&hall, from);
    assert!(steps.len() >= 2 && steps.iter().copied().eq(1..=steps.len() as u8), "{steps:?}");
    let late = hall.stranger();
    hall.control(late, &ControlUp::Hello(Box::new(hello())));
    hall.limp_ms(480, 120);
    assert_eq!(hall.refusal(late), Some(CloseCode::OVERLOADED));
    assert_eq!(delivered(&hall, to), 1);
    hall.run_ms(10_000);
    assert_eq!(sheds(&hall, to).last(), Some(&0), "{:?}", sheds(&hall, to));
    assert_eq!([from, to].map(|at| hall.closed(at)), [None; 2]);
    hall.guest();
}

/// A server that stood still once has not too much to do.
#[test]
fn one_long_hitch_sheds_nothing() {
    let mut hall = hall();
    let guest = hall.guest();
    hall.limp_ms(3_000, 3_000);
    hall.run_ms(3_000);
    assert_eq!(sheds(&hall, guest), Vec::<u8>::new());
}

/// Everything that two clients hear in a busy second.
fn heard(events: u64) -> (Vec<String>, u64) {
    let mut hall = hall();
    let (a, b) = (hall.guest(), hall.guest());
    hall.event(b, &subscribe("news"));
    for number in 0..events {
        hall.control(a, &spawn(&format!("e{number}"), [number as i32 * 100, 7, 0]));
        hall.event(a, &publish(number, "news", number as usize));
        hall.run_ms(number % 40);
    }
    let said = hall.clients.iter().flat_map(|client| {
        let control = client.control.iter().map(|m| format!("{m:?}"));
        let events = client.events.iter().map(|m| format!("{m:?}"));
        control.chain(events).chain(client.datagrams.iter().map(|d| format!("{d:?}")))
    });
    (said.collect(), hall.server.room("test").expect("it is there").world().checksum())
}

#[test]
fn the_same_calls_give_the_same_bytes_and_the_same_checksum() {
    assert_eq!(heard(40), heard(40));
    assert_ne!(heard(40).1, heard(39).1);
}
