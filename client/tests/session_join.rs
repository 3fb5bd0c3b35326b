//! How a session begins, is refused, is lost, is taken up again and ends.

mod support;

use starling_client::{
    ClientEvent, ConnectError, ConnectOptions, LinkWish, Pose, Reconnect, SessionState, SpawnSpec,
    SubscribeOptions,
};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{
    Capabilities, ControlDown, ControlUp, Refused, ResumeAnswer,
};
use starling_protocol::message::events::EventUp;
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::units::{Epoch, Handle, Nanos};
use support::{Bench, entity, ms, own, welcome};

fn refused(code: CloseCode) -> ControlDown {
    let reason = "because".to_owned();
    ControlDown::Refused(Refused { code, reason, retry_after_ms: None })
}

fn closed(bench: &mut Bench) -> Option<ConnectError> {
    bench.events().into_iter().find_map(|event| match event {
        ClientEvent::Closed { error } => Some(error),
        _ => None,
    })
}

/// Goes through a loss and a new Welcome; returns what was said on the way.
fn reconnect(bench: &mut Bench, answer: ResumeAnswer, epoch: u32) -> Vec<ControlUp> {
    bench.session.handle_closed(ms(1_000), CloseCode::LOST);
    assert_eq!(bench.session.state(), SessionState::Reconnecting);
    let due = bench.session.next_timeout(ms(1_000)).expect("it will try again");
    assert!(due <= ms(1_100), "a loss is retried at once: {due:?}");
    bench.session.advance(due);
    assert_eq!(bench.wishes(), [LinkWish::Connect]);
    bench.session.handle_connected(due);
    let hello = bench.control();
    bench.welcome.resumed = answer;
    bench.welcome.epoch = Epoch(epoch);
    bench.welcome_at(due);
    hello
}

#[test]
fn every_refusal_has_its_own_error_and_ends_the_session() {
    let cases = [
        (CloseCode::VERSION, ConnectError::Version),
        (CloseCode::UNAUTHORIZED, ConnectError::Unauthorized { reason: "because".into() }),
        (CloseCode::FORBIDDEN, ConnectError::Forbidden { reason: "because".into() }),
        (CloseCode::SCHEMA_MISMATCH, ConnectError::SchemaMismatch),
        (CloseCode::UNKNOWN_WORLD, ConnectError::UnknownWorld),
        (CloseCode::SPACE_MISMATCH, ConnectError::SpaceMismatch),
        (
            CloseCode::WORLD_FULL,
            ConnectError::Busy { code: CloseCode::WORLD_FULL, retry_after_ms: None },
        ),
    ];
    for (code, error) in cases {
        let mut bench = Bench::joining(ConnectOptions::new("plaza"), welcome());
        bench.say(ms(5), &refused(code));
        assert_eq!(bench.session.state(), SessionState::Closed);
        assert_eq!(closed(&mut bench), Some(error));
        assert_eq!(bench.session.next_timeout(ms(5)), None);
    }
}

#[test]
fn a_patient_session_waits_out_a_full_world_but_not_a_bad_token() {
    let mut options = ConnectOptions::new("plaza");
    options.reconnect = Reconnect { before_first: true, ..Reconnect::default() };
    let mut bench = Bench::joining(options.clone(), welcome());
    bench.say(ms(5), &refused(CloseCode::WORLD_FULL));
    assert_eq!(bench.session.state(), SessionState::Connecting);
    let mut bench = Bench::joining(options, welcome());
    bench.say(ms(5), &refused(CloseCode::UNAUTHORIZED));
    assert_eq!(bench.session.state(), SessionState::Closed);
}

#[test]
fn a_server_that_does_not_answer_is_unreachable() {
    let mut bench = Bench::joining(ConnectOptions::new("plaza"), welcome());
    let due = bench.session.next_timeout(Nanos(0)).expect("it does not wait for ever");
    bench.session.advance(due);
    assert_eq!(closed(&mut bench), Some(ConnectError::Unreachable));
    assert_eq!(bench.wishes(), [LinkWish::Close(CloseCode::LOST)]);
}

#[test]
fn other_code_tables_are_not_read() {
    let mut strange = welcome();
    strange.tables += 1;
    let mut bench = Bench::joining(ConnectOptions::new("plaza"), strange);
    bench.welcome_at(ms(5));
    assert_eq!(closed(&mut bench), Some(ConnectError::Version));
    assert_eq!(bench.wishes(), [LinkWish::Close(CloseCode::VERSION)]);
}

#[test]
fn garbage_from_the_server_ends_the_session_with_a_code() {
    let mut bench = Bench::live(welcome());
    let stream = starling_protocol::stream::StreamKind::Control;
    bench.session.handle_stream(ms(9), stream, &[3, 0xff, 0xff, 0xff]);
    assert_eq!(closed(&mut bench).map(|e| e.code()), Some(CloseCode::PROTOCOL_ERROR));
    assert_eq!(bench.wishes(), [LinkWish::Close(CloseCode::PROTOCOL_ERROR)]);
}

#[test]
fn what_was_wanted_before_the_welcome_is_asked_for_after_it() {
    let mut bench = Bench::joining(ConnectOptions::new("plaza"), welcome());
    bench.control();
    let key = bench.session.spawn(SpawnSpec::at(Pose::at([1.0, 2.0, 3.0]))).expect("room");
    bench.session.set_interest_around(0, key, 50.0).expect("in range");
    bench.session.subscribe("lobby", SubscribeOptions::default()).expect("room");
    assert!(bench.control().is_empty() && bench.channel().is_empty());
    bench.welcome_at(ms(5));
    let asked = bench.control();
    let [ControlUp::Spawn(spawn)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(spawn.sample.position.0, [1024, 2048, 3072]);
    assert!(matches!(bench.channel().as_slice(), [EventUp::Subscribe { .. }]));
    let (request, name) = (spawn.request, "p".to_owned());
    let (handle, entity) = (Handle(4), entity(9));
    bench.say(ms(9), &ControlDown::Spawned { request, handle, entity, name });
    let told = bench.control();
    let [ControlUp::SetInterest { id: 0, interest: Some(interest) }] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(interest.shape, Shape::Around { entity: Some(handle), radius_m: 50.0 });
}

#[test]
fn a_lost_session_is_resumed_with_its_token_and_its_entities_stand() {
    let mut bench = Bench::live(welcome());
    let spec = SpawnSpec::at(Pose::default()).named("me");
    let key = bench.session.spawn(spec).expect("room");
    bench
        .session
        .set_interest(1, Interest::new(Shape::Point { center: [0.0; 3], radius_m: 9.0 }))
        .expect("in range");
    let (handle, id, name) = (Handle(0), entity(3), "me".to_owned());
    bench.say(ms(9), &ControlDown::Spawned { request: 0, handle, entity: id, name });
    bench.control();
    bench.welcome.entities = vec![own(0, 3, "me")];
    let hello = reconnect(&mut bench, ResumeAnswer::Resumed, 1);
    let [ControlUp::Hello(hello)] = hello.as_slice() else { panic!("{hello:?}") };
    let resume = hello.resume.as_ref().expect("it resumes");
    assert_eq!((resume.session, resume.token), (bench.welcome.session, [9; 32]));
    assert!(
        bench
            .events()
            .iter()
            .any(|e| matches!(e, ClientEvent::Reconnected { answer: ResumeAnswer::Resumed, .. }))
    );
    let again = bench.control();
    assert!(matches!(again.as_slice(), [ControlUp::SetInterest { id: 1, .. }]), "{again:?}");
    assert!(bench.session.own(key).is_some());
}

#[test]
fn after_a_reset_entities_and_interests_are_asked_for_again_under_the_same_key() {
    let mut bench = Bench::live(welcome());
    let key = bench.session.spawn(SpawnSpec::at(Pose::default()).named("me")).expect("room");
    bench.session.set_interest_around(0, key, 20.0).expect("in range");
    let name = || "me".to_owned();
    bench.say(
        ms(9),
        &ControlDown::Spawned { request: 0, handle: Handle(0), entity: entity(3), name: name() },
    );
    bench.session.set_pose(key, Pose::at([7.0, 0.0, 0.0])).expect("in range");
    bench.control();
    reconnect(&mut bench, ResumeAnswer::Reset, 2);
    let asked = bench.control();
    let [ControlUp::Spawn(spawn)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(spawn.sample.position.0, [7 * 1024, 0, 0], "where it was last");
    bench.say(
        ms(9),
        &ControlDown::Spawned {
            request: spawn.request,
            handle: Handle(5),
            entity: entity(8),
            name: name(),
        },
    );
    let told = bench.control();
    let [ControlUp::SetInterest { interest: Some(interest), .. }] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(interest.shape, Shape::Around { entity: Some(Handle(5)), radius_m: 20.0 });
}

#[test]
fn an_entity_that_was_given_up_while_disconnected_is_despawned() {
    let mut bench = Bench::live(welcome());
    let key = bench.session.spawn(SpawnSpec::at(Pose::default()).named("me")).expect("room");
    bench.say(
        ms(9),
        &ControlDown::Spawned {
            request: 0,
            handle: Handle(0),
            entity: entity(3),
            name: "me".into(),
        },
    );
    bench.session.handle_closed(ms(900), CloseCode::LOST);
    bench.session.despawn(key).expect("it was there");
    bench.welcome.entities = vec![own(0, 3, "me")];
    reconnect(&mut bench, ResumeAnswer::Resumed, 1);
    assert_eq!(bench.control(), [ControlUp::Despawn { handle: Handle(0) }]);
}

#[test]
fn a_session_that_was_replaced_does_not_fight_for_it() {
    let mut bench = Bench::live(welcome());
    bench.session.handle_closed(ms(50), CloseCode::REPLACED);
    assert_eq!(closed(&mut bench), Some(ConnectError::Replaced));
}

#[test]
fn silence_beyond_the_heartbeat_is_a_loss() {
    // With a second connection to try, the first is kept for as long as the session counts as present.
    for (race, due) in [(false, ms(4_000 * 5 / 4 + 500)), (true, ms(10_000))] {
        let mut options = ConnectOptions::new("plaza");
        options.reconnect.race = race;
        let mut bench = Bench::joining(options, welcome());
        bench.welcome_at(Nanos(0));
        bench.session.advance(Nanos(due.0 - 1));
        assert_eq!(bench.session.state(), SessionState::Live);
        bench.session.advance(due);
        assert_eq!(bench.session.state(), SessionState::Reconnecting);
        assert_eq!(bench.wishes().last(), Some(&LinkWish::Close(CloseCode::LOST)));
    }
}

/// P14: the server ends the connection when all is done; then the client comes back, once.
#[test]
fn a_draining_server_is_stayed_with_until_it_ends_the_connection() {
    let mut waits = Vec::new();
    for seed in 1..=20 {
        let options = ConnectOptions::new("plaza").seed(seed);
        let mut bench = Bench::joining(options, welcome());
        bench.welcome_at(ms(5));
        bench.events();
        bench.say(ms(10), &ControlDown::GoingAway { deadline_ms: 2_000, jitter_ms: 500 });
        assert_eq!(bench.events(), [ClientEvent::GoingAway { deadline_ms: 2_000 }]);
        bench.session.advance(ms(400));
        assert!(bench.wishes().is_empty(), "it stays");
        bench.session.handle_closed(ms(1_100), CloseCode::GOING_AWAY);
        let due = bench.session.next_timeout(ms(1_100)).expect("it will try again");
        assert!(due <= ms(1_100 + 500 + 50), "within the jitter: {due:?}");
        waits.push(due);
        let told: Vec<_> = bench.events();
        assert!(matches!(told.as_slice(), [ClientEvent::Reconnecting { .. }]), "{told:?}");
        bench.session.advance(due);
        assert_eq!(bench.wishes(), [LinkWish::Connect]);
    }
    waits.sort_unstable();
    assert!(waits[19].since(waits[0]) > 300 * Nanos::MILLISECOND, "not all at once: {waits:?}");
}

#[test]
fn a_draining_server_that_forgets_to_end_is_left_at_its_deadline() {
    let mut bench = Bench::live(welcome());
    bench.say(ms(10), &ControlDown::GoingAway { deadline_ms: 2_000, jitter_ms: 500 });
    bench.session.advance(ms(2_010));
    assert_eq!(bench.session.state(), SessionState::Reconnecting);
    assert_eq!(bench.wishes(), [LinkWish::Close(CloseCode::GOING_AWAY)]);
}

#[test]
fn a_goodbye_is_said_before_the_connection_is_closed() {
    let mut bench = Bench::live(welcome());
    bench.session.goodbye(ms(10));
    bench.session.advance(ms(10));
    assert!(bench.wishes().is_empty(), "it is not written yet");
    assert_eq!(bench.control(), [ControlUp::Goodbye]);
    bench.session.advance(ms(11));
    assert_eq!(bench.wishes(), [LinkWish::Close(CloseCode::GOODBYE)]);
    assert_eq!(bench.events(), [ClientEvent::Goodbye]);
    assert_eq!(bench.session.state(), SessionState::Closed);
}

#[test]
fn an_avatar_is_known_until_the_session_is_another() {
    let mut bench = Bench::live(welcome());
    assert_eq!(bench.session.avatar(), None);
    let told = |index| ControlDown::Avatar { entity: Some(entity(index)) };
    let event = |index| ClientEvent::Avatar { entity: Some(entity(index)) };
    bench.say(ms(9), &told(3));
    assert_eq!((bench.session.avatar(), bench.events()), (Some(entity(3)), vec![event(3)]));
    reconnect(&mut bench, ResumeAnswer::Resumed, 1);
    bench.say(ms(1_100), &told(3));
    let changes = |bench: &mut Bench| {
        let changes = bench.events().into_iter();
        changes.filter(|e| matches!(e, ClientEvent::Avatar { .. })).collect::<Vec<_>>()
    };
    assert_eq!(changes(&mut bench), [], "the same as before");
    bench.say(ms(1_200), &told(5));
    assert_eq!(changes(&mut bench), [event(5)]);
    reconnect(&mut bench, ResumeAnswer::Reset, 1);
    assert_eq!(changes(&mut bench), [ClientEvent::Avatar { entity: None }]);
    assert_eq!(bench.session.avatar(), None);
}

#[test]
fn every_client_asks_to_be_told_of_its_avatar() {
    let mut bench = Bench::joining(ConnectOptions::new("plaza").viewer(), welcome());
    let hello = bench.control();
    let [ControlUp::Hello(hello)] = hello.as_slice() else { panic!("{hello:?}") };
    let all = Capabilities::VIEWER | Capabilities::AVATAR | Capabilities::DELTAS;
    assert_eq!(hello.capabilities, all);
}

/// A path that breaks as soon as a session stands does not make a client come back ever and again at once.
#[test]
fn a_session_that_never_stands_for_long_comes_back_ever_more_seldom() {
    let mut bench = Bench::live(welcome());
    let (mut now, mut waits) = (ms(100), Vec::new());
    for _ in 0..12 {
        bench.session.handle_closed(now, CloseCode::LOST);
        let due = bench.session.next_timeout(now).expect("it will try again");
        waits.push(due.since(now));
        bench.session.advance(due);
        bench.session.handle_connected(due);
        bench.welcome.resumed = ResumeAnswer::Resumed;
        bench.welcome_at(due);
        now = due + 300 * Nanos::MILLISECOND;
    }
    let longest = waits.iter().max().expect("twelve");
    assert!(*longest > Nanos::SECOND && waits[0] <= 50 * Nanos::MILLISECOND, "{waits:?}");
    now = now + 3 * Nanos::SECOND;
    bench.session.handle_closed(now, CloseCode::LOST);
    let due = bench.session.next_timeout(now).expect("it will try again");
    assert!(due.since(now) <= 50 * Nanos::MILLISECOND, "it stood for three seconds");
}

#[test]
fn an_attempt_to_come_back_is_given_up_sooner_than_the_first() {
    let mut bench = Bench::live(welcome());
    bench.session.handle_closed(ms(1_000), CloseCode::LOST);
    let mut limits = Vec::new();
    for _ in 0..5 {
        let due = bench.session.next_timeout(Nanos(0)).expect("it will try again");
        bench.session.advance(due);
        let until = bench.session.next_timeout(due).expect("an attempt has an end");
        limits.push(until.since(due) / Nanos::MILLISECOND);
        bench.session.advance(until);
        bench.wishes();
    }
    assert_eq!(limits, [5_000, 10_000, 10_000, 10_000, 10_000]);
}
