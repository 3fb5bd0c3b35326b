//! P11: a resume succeeds whole or is refused whole; the newest connection wins; a token works
//! until the client was heard on the connection that it opened.

mod session_stage;

use session_stage::{Stage, digest, metres, spawn_at};
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::control::*;
use starling_protocol::message::events::{Answer, EventDown};
use starling_protocol::space::Space;
use starling_protocol::units::{ChannelKey, Epoch, SessionId, Tick};
use starling_protocol::uplink::UplinkWriter;
use starling_world::input::ConnId;
use starling_world::output::Note;

#[test]
fn a_resumed_session_has_its_entities_and_subscriptions() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let (handle, entity) = stage.spawn(guest.conn, spawn_at("bus 7", [1., 2., 0.])).expect("room");
    stage.subscribe(guest.conn, 5, "chat");
    stage.detach(guest.conn);
    assert!(stage.notes.contains(&Note::Parked { session: guest.session() }));
    stage.ticks(100);
    let back = stage.resume(&guest, &[]);
    assert_eq!((back.session(), back.welcome.resumed), (guest.session(), ResumeAnswer::Resumed));
    let own = OwnEntity { handle, entity, name: "bus 7".into(), sequence: 0 };
    assert_eq!(back.welcome.entities, [own]);
    let answered = stage.events(back.conn).into_iter().filter_map(|event| match event {
        EventDown::Subscribed { key, answer, .. } => Some((key.0, answer)),
        _ => None,
    });
    let answered: Vec<_> = answered.collect();
    assert!(matches!(answered[..], [(5, Answer::Reset(_))]), "{answered:?}");
    stage.say(back.conn, "chat", 1).expect("accepted");
    assert_eq!(stage.delivered(back.conn, 5).len(), 1);
}

#[test]
fn a_token_works_once_and_is_replaced_by_the_next() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let second = stage.resume(&guest, &[]);
    assert_ne!(second.welcome.resume_token, guest.welcome.resume_token);
    stage.breathe(second.conn);
    let again = stage.resume(&guest, &[]);
    assert_eq!(again.welcome.resumed, ResumeAnswer::Denied, "used before");
    assert_ne!(again.session(), guest.session());
    assert_eq!(stage.closed(second.conn), None, "a denied resume disturbs nobody");
    assert_eq!(stage.resume(&second, &[]).welcome.resumed, ResumeAnswer::Resumed);
}

#[test]
fn a_client_whose_welcome_was_lost_comes_again_with_the_token_that_it_has() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let (handle, _) = stage.spawn(guest.conn, spawn_at("bus", [0.; 3])).expect("room");
    stage.detach(guest.conn);
    for _ in 0..3 {
        let unheard = stage.resume(&guest, &[]);
        assert_eq!(unheard.welcome.resumed, ResumeAnswer::Resumed);
        stage.ticks(3);
        stage.detach(unheard.conn);
    }
    let back = stage.resume(&guest, &[]);
    assert_eq!((back.session(), back.welcome.resumed), (guest.session(), ResumeAnswer::Resumed));
    assert_eq!(back.welcome.entities[0].handle, handle);
    assert_eq!(stage.world.counters().resumes_denied, 0);
}

#[test]
fn the_old_token_is_dead_once_the_client_was_heard_on_its_new_connection() {
    let by_message = |stage: &mut Stage, conn| stage.breathe(conn);
    let by_datagram = |stage: &mut Stage, conn| {
        let mut datagram = Vec::new();
        UplinkWriter::new(&mut datagram, Space::Metric, 1, Tick(0)).finish();
        stage.datagram(conn, &datagram);
        stage.tick();
    };
    let ways: [fn(&mut Stage, ConnId); 2] = [by_message, by_datagram];
    for speak in ways {
        let mut stage = Stage::new();
        let guest = stage.guest();
        let back = stage.resume(&guest, &[]);
        speak(&mut stage, back.conn);
        stage.detach(back.conn);
        assert_eq!(stage.resume(&guest, &[]).welcome.resumed, ResumeAnswer::Denied);
        assert_eq!(stage.resume(&back, &[]).welcome.resumed, ResumeAnswer::Resumed);
    }
}

#[test]
fn of_two_connections_that_present_one_token_at_once_the_newer_has_the_session() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.detach(guest.conn);
    let first = stage.resume(&guest, &[]);
    let second = stage.resume(&guest, &[]);
    assert_eq!(second.welcome.resumed, ResumeAnswer::Resumed);
    assert_eq!(stage.closed(first.conn), Some(CloseCode::REPLACED));
    stage.breathe(second.conn);
    for loser in [&guest, &first] {
        assert_eq!(stage.resume(loser, &[]).welcome.resumed, ResumeAnswer::Denied);
    }
    assert_eq!(stage.closed(second.conn), None);
}

#[test]
fn the_newest_connection_wins_and_the_older_is_told() {
    let mut stage = Stage::new();
    let old = stage.guest();
    let new = stage.resume(&old, &[]);
    assert_eq!(stage.closed(old.conn), Some(CloseCode::REPLACED));
    assert_eq!(stage.world.sessions().live(), 1);
    stage.detach(old.conn);
    assert_eq!(stage.world.sessions().live(), 1, "the older connection's end is not the session's");
    stage.say(new.conn, "chat", 1).expect("the newer one speaks for it");
}

#[test]
fn a_wrong_token_or_another_subject_is_denied_and_changes_nothing() {
    let mut stage = Stage::new();
    let guest = stage.guest_named("alice");
    let mut wrong = stage.knock_again(&guest, &[]);
    wrong.principal.subject = "alice".into();
    wrong.resume.as_mut().expect("asked for").token_digest = digest(&[9; 32]);
    let denied = stage.enter(wrong).expect("a new session");
    assert_eq!(denied.welcome.resumed, ResumeAnswer::Denied);
    let mut thief = stage.knock_again(&guest, &[]);
    thief.principal.subject = "mallory".into();
    let denied = stage.enter(thief).expect("a new session");
    assert_eq!(denied.welcome.resumed, ResumeAnswer::Denied);
    assert_eq!(stage.closed(guest.conn), None);
    assert_eq!(stage.world.counters().resumes_denied, 2);
}

#[test]
fn a_session_that_is_gone_is_a_reset() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.send(guest.conn, ControlUp::Goodbye);
    assert_eq!(stage.closed(guest.conn), Some(CloseCode::GOODBYE));
    assert_eq!(stage.resume(&guest, &[]).welcome.resumed, ResumeAnswer::Reset);
    let mut unknown = guest.clone();
    unknown.welcome.session = SessionId(77);
    assert_eq!(stage.resume(&unknown, &[]).welcome.resumed, ResumeAnswer::Reset);
}

#[test]
fn a_session_of_an_earlier_life_of_the_world_is_a_reset() {
    let earlier = Stage::new().guest();
    let mut stage = Stage::with(|config| config.epoch = Epoch(2));
    stage.guest();
    assert_eq!(stage.resume(&earlier, &[]).welcome.resumed, ResumeAnswer::Reset);
}

#[test]
fn a_parked_session_waits_for_its_time_and_is_gone_after_it() {
    let mut stage = Stage::with(|config| config.park_ms = 20_000);
    let (early, late) = (stage.guest(), stage.guest());
    stage.detach(early.conn);
    stage.detach(late.conn);
    stage.ticks(400);
    assert_eq!(stage.resume(&early, &[]).welcome.resumed, ResumeAnswer::Resumed);
    stage.tick();
    assert_eq!(stage.resume(&late, &[]).welcome.resumed, ResumeAnswer::Reset);
    assert!(stage.notes.contains(&Note::Gone { session: late.session(), code: CloseCode::LOST }));
}

#[test]
fn a_gateway_with_more_entities_than_a_welcome_holds_asks_for_the_rest() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.allow(guest.conn, 10_000_000);
    stage.tick();
    let name = |i: usize| format!("a vehicle with a long name number {i}");
    let spawn = |i: usize| spawn_at(&name(i), [i as f64, 0., 0.]);
    let made: Vec<_> =
        (0..1_774).map(|i| stage.spawn(guest.conn, spawn(i)).expect("room")).collect();
    let back = stage.resume(&guest, &[]);
    let told = back.welcome.entities.len();
    assert!((1_000..1_774).contains(&told), "as many as fit: {told}");
    assert!(codec::encode(&ControlDown::Welcome(Box::new(back.welcome))).len() < MESSAGE_BYTES_MAX);
    stage.allow(back.conn, 10_000_000);
    stage.tick();
    for (i, made) in made.into_iter().enumerate().skip(told) {
        assert_eq!(stage.spawn(back.conn, spawn(i)), Ok(made));
    }
    assert_eq!(stage.world.entities().len(), 1_774);
}

#[test]
fn a_device_that_lost_its_token_gets_its_name_back_from_its_parked_session() {
    let mut stage = Stage::new();
    let lost = stage.guest_named("device");
    let (_, old) = stage.spawn(lost.conn, spawn_at("bus", [0.; 3])).expect("room");
    let other = stage.guest_named("other");
    let here = [5., 0., 0.];
    assert_eq!(stage.spawn(other.conn, spawn_at("bus", here)), Err(CloseCode::BAD_NAME));
    let back = stage.guest_named("device");
    let taken = stage.spawn(back.conn, spawn_at("bus", here));
    assert_eq!(taken, Err(CloseCode::BAD_NAME), "its old connection still stands");
    stage.detach(lost.conn);
    assert_eq!(stage.spawn(other.conn, spawn_at("bus", here)), Err(CloseCode::BAD_NAME));
    let mut broken = spawn_at("bus", here);
    broken.fields = vec![(9, 9)];
    assert_eq!(stage.spawn(back.conn, broken), Err(CloseCode::BAD_FIELD));
    assert!(stage.world.entities().find(old).is_some(), "a refused Spawn takes nothing away");
    let (_, new) = stage.spawn(back.conn, spawn_at("bus", here)).expect("handed over");
    let entities = stage.world.entities();
    assert!(entities.find(old).is_none());
    let idx = entities.find(new).expect("stands");
    assert_eq!(entities.accepted(idx).position, metres(here));
    let resumed = {
        let mut attach = stage.knock_again(&lost, &[]);
        attach.principal.subject = "device".into();
        stage.enter(attach).expect("a session")
    };
    assert_eq!(resumed.welcome.resumed, ResumeAnswer::Resumed);
    assert!(resumed.welcome.entities.is_empty());
}

#[test]
fn the_time_of_a_session_goes_on_while_it_is_parked() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.subscribe(guest.conn, 1, "chat");
    stage.detach(guest.conn);
    stage.ticks(300);
    let back = stage.resume(&guest, &[]);
    let keys: Vec<_> = stage
        .events(back.conn)
        .into_iter()
        .filter_map(|event| match event {
            EventDown::Subscribed { key: ChannelKey(key), .. } => Some(key),
            _ => None,
        })
        .collect();
    assert_eq!(keys, [1], "away for longer than presence lasts, and yet the same session");
}
