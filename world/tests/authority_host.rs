//! Host authority: a trusted session owns the world's entities and gets the players' inputs.

mod session_stage;

use session_stage::{Guest, Stage, spawn_at};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::*;
use starling_protocol::message::host::{HostDown, HostUp, PlayerInput};
use starling_protocol::units::{Handle, SessionId, Tick};
use starling_protocol::uplink::UplinkWriter;
use starling_world::grants::Grants;
use starling_world::input::Command;

fn hosted() -> (Stage, Guest) {
    let mut stage = Stage::with(|config| config.authority = Authority::Host);
    let host = enter_as_host(&mut stage);
    (stage, host)
}

fn enter_as_host(stage: &mut Stage) -> Guest {
    let mut attach = stage.knock();
    attach.capabilities = Capabilities::HOST;
    attach.principal.subject = "host".into();
    attach.principal.grants = Grants { host: true, ..Grants::open() };
    stage.enter(attach).expect("granted")
}

fn resume_as_host(stage: &mut Stage, host: &Guest) -> Guest {
    let mut attach = stage.knock_again(host, &[]);
    attach.capabilities = Capabilities::HOST;
    attach.principal.subject = "host".into();
    attach.principal.grants = Grants { host: true, ..Grants::open() };
    stage.enter(attach).expect("granted")
}

fn input(stage: &mut Stage, guest: &Guest, number: u16, payload: &[u8]) {
    let mut datagram = Vec::new();
    let space = stage.world.config().space;
    let mut writer = UplinkWriter::new(&mut datagram, space, number, Tick(0));
    writer.inputs(number, [payload].into_iter());
    writer.finish();
    stage.datagram(guest.conn, &datagram);
}

fn joined(session: SessionId, subject: &str) -> HostDown {
    HostDown::Joined { session, subject: subject.into() }
}

#[test]
fn a_host_is_told_who_is_here_and_who_comes_and_goes() {
    let mut stage = Stage::with(|config| config.authority = Authority::Host);
    let early = stage.guest_named("early");
    let host = enter_as_host(&mut stage);
    let late = stage.guest_named("late");
    stage.send(early.conn, ControlUp::Goodbye);
    let told = stage.hosted(host.conn);
    let expected = [
        joined(early.session(), "early"),
        joined(late.session(), "late"),
        HostDown::Left { session: early.session() },
    ];
    assert_eq!(told, expected);
}

#[test]
fn inputs_reach_the_host_with_the_tick_that_folds_them_each_once() {
    let (mut stage, host) = hosted();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.hosted(host.conn);
    input(&mut stage, &bob, 1, b"b1");
    input(&mut stage, &alice, 4, b"a4");
    input(&mut stage, &alice, 4, b"a4");
    stage.tick();
    stage.tick();
    let player = |guest: &Guest, number, payload: &[u8]| PlayerInput {
        session: guest.session(),
        number,
        payload: payload.to_vec(),
    };
    let inputs = vec![player(&alice, 4, b"a4"), player(&bob, 1, b"b1")];
    assert_eq!(stage.hosted(host.conn), [HostDown::Inputs { tick: Tick(1), inputs }]);
}

#[test]
fn more_inputs_than_a_message_holds_come_in_several() {
    let (mut stage, host) = hosted();
    stage.allow(host.conn, 10_000_000);
    let players: Vec<_> = (0..700).map(|_| stage.guest()).collect();
    stage.tick();
    stage.hosted(host.conn);
    for player in &players {
        input(&mut stage, player, 1, &[7; 64]);
    }
    stage.tick();
    let mut sessions = Vec::new();
    let messages = stage.hosted(host.conn);
    assert!(messages.len() > 1);
    for message in messages {
        let HostDown::Inputs { tick: Tick(2), inputs } = message else { panic!("{message:?}") };
        sessions.extend(inputs.iter().map(|i| i.session));
    }
    assert_eq!(sessions, players.iter().map(Guest::session).collect::<Vec<_>>());
}

#[test]
fn only_the_host_owns_entities_and_makes_avatars() {
    let (mut stage, host) = hosted();
    let player = stage.guest();
    let refused = stage.spawn(player.conn, spawn_at("mine", [0.; 3]));
    assert_eq!(refused, Err(CloseCode::WRONG_AUTHORITY));
    let avatar = Spawn { avatar_of: Some(player.session()), ..spawn_at("avatar", [0.; 3]) };
    let (handle, id) = stage.spawn(host.conn, avatar).expect("the host may");
    let idx = stage.world.sessions().by_id(player.session()).expect("stands");
    let entity = stage.world.entities().find(id).expect("stands");
    assert_eq!(stage.world.entities().avatar_of(entity), Some(idx));
    let stranger = Spawn { avatar_of: Some(SessionId(999)), ..spawn_at("other", [0.; 3]) };
    assert_eq!(stage.spawn(host.conn, stranger), Err(CloseCode::UNKNOWN_ENTITY));
    let (second, id) = stage.spawn(host.conn, spawn_at("second", [1.; 3])).expect("room");
    assert_ne!(handle, second);
    stage.host(host.conn, HostUp::Avatar { handle: second, session: player.session() });
    let entities = stage.world.entities();
    assert_eq!(entities.avatar_of(entity), None, "a player has one avatar");
    assert_eq!(entities.avatar_of(entities.find(id).expect("stands")), Some(idx));
}

#[test]
fn what_a_host_says_of_the_unknown_is_counted() {
    let (mut stage, host) = hosted();
    stage.host(host.conn, HostUp::Applied { session: SessionId(999), number: 1 });
    stage.host(host.conn, HostUp::Avatar { handle: Handle(9), session: SessionId(999) });
    assert_eq!(stage.world.counters().host_messages_unknown, 2);
    assert_eq!(stage.closed(host.conn), None);
}

#[test]
fn a_player_that_speaks_as_host_is_closed() {
    let (mut stage, host) = hosted();
    let player = stage.guest();
    stage.host(player.conn, HostUp::Applied { session: host.session(), number: 1 });
    assert_eq!(stage.closed(player.conn), Some(CloseCode::FORBIDDEN));
    assert_eq!(stage.closed(host.conn), None);
}

#[test]
fn a_host_that_reconnects_keeps_its_entities_and_is_told_again_who_is_here() {
    let (mut stage, host) = hosted();
    let player = stage.guest_named("p");
    stage.spawn(host.conn, spawn_at("door", [0.; 3])).expect("room");
    stage.detach(host.conn);
    stage.ticks(50);
    let back = resume_as_host(&mut stage, &host);
    assert_eq!(back.welcome.resumed, ResumeAnswer::Resumed);
    assert_eq!(back.welcome.entities.len(), 1);
    assert_eq!(stage.hosted(back.conn), [joined(player.session(), "p")]);
}

#[test]
fn what_stands_still_stays_while_its_host_is_there() {
    let (mut stage, host) = hosted();
    for name in ["door", "wall"] {
        stage.spawn(host.conn, spawn_at(name, [0.; 3])).expect("room");
    }
    stage.ticks_with(400, &[host.conn]);
    assert_eq!(stage.world.entities().len(), 2);
    stage.ticks(201);
    assert_eq!(stage.world.entities().len(), 0, "and leaves when the host is silent");
}

#[test]
fn a_host_that_loses_its_grant_is_closed() {
    let (mut stage, host) = hosted();
    let principal = starling_world::grants::Principal {
        subject: "host".into(),
        grants: Grants::open(),
        ..Default::default()
    };
    stage.step(Command::Regrant { conn: host.conn, principal });
    assert_eq!(stage.closed(host.conn), Some(CloseCode::FORBIDDEN));
}

#[test]
fn a_player_is_told_of_its_avatar_whenever_it_changes() {
    let (mut stage, host) = hosted();
    let (alice, bob) = (stage.player(), stage.player());
    let spawn = |name, avatar_of| Spawn { avatar_of, ..spawn_at(name, [0.; 3]) };
    let own = spawn("a", Some(alice.session()));
    let (_, first) = stage.spawn(host.conn, own).expect("room");
    assert_eq!(stage.avatars(alice.conn), [Some(first)]);
    let (handle, second) = stage.spawn(host.conn, spawn("b", None)).expect("room");
    let give = |stage: &mut Stage, player: &Guest| {
        stage.host(host.conn, HostUp::Avatar { handle, session: player.session() });
    };
    give(&mut stage, &alice);
    give(&mut stage, &alice);
    assert_eq!(stage.avatars(alice.conn), [Some(second)], "told once");
    give(&mut stage, &bob);
    assert_eq!(stage.avatars(alice.conn), [None], "it is another's now");
    assert_eq!(stage.avatars(bob.conn), [Some(second)]);
    stage.send(host.conn, ControlUp::Despawn { handle });
    assert_eq!(stage.avatars(bob.conn), [None]);
}

#[test]
fn a_resumed_player_is_told_of_its_avatar_behind_the_welcome() {
    let (mut stage, host) = hosted();
    let alice = stage.player();
    let own = Spawn { avatar_of: Some(alice.session()), ..spawn_at("a", [0.; 3]) };
    let (handle, entity) = stage.spawn(host.conn, own).expect("room");
    for expected in [Some(entity), None] {
        stage.detach(alice.conn);
        if expected.is_none() {
            stage.send(host.conn, ControlUp::Despawn { handle });
        }
        let mut attach = stage.knock_again(&alice, &[]);
        attach.capabilities = Capabilities::AVATAR;
        let conn = attach.conn;
        stage.step(Command::Attach(Box::new(attach)));
        let told = stage.control(conn);
        let [ControlDown::Welcome(welcome), ControlDown::Avatar { entity }] = &told[..] else {
            panic!("a Welcome, then the avatar: {told:?}");
        };
        assert_eq!((welcome.resumed, *entity), (ResumeAnswer::Resumed, expected));
        stage.detach(conn);
    }
}

#[test]
fn a_client_that_did_not_ask_is_told_of_no_avatar() {
    let (mut stage, host) = hosted();
    let alice = stage.guest();
    let own = Spawn { avatar_of: Some(alice.session()), ..spawn_at("a", [0.; 3]) };
    stage.spawn(host.conn, own).expect("room");
    assert_eq!(stage.avatars(alice.conn), []);
}
