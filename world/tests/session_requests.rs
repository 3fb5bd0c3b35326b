//! Requests on the control stream, and the code of every refusal.

mod session_stage;

use session_stage::{Stage, game, metres, spawn_at};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{BLOCK_BYTES_MAX, INTERESTS_MAX};
use starling_protocol::message::control::*;
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::schema::*;
use starling_protocol::space::IPos;
use starling_protocol::units::{Handle, KindId, SessionId};
use starling_world::World;
use starling_world::grants::Grants;
use starling_world::input::{Command, ConnId};

fn field(name: &str, bits: u8) -> Field {
    Field { name: name.into(), ty: FieldType::Bits { bits }, visibility: Visibility::All }
}

fn kind(name: &str, fields: Vec<Field>, block: bool) -> Kind {
    Kind { name: name.into(), orientation: OrientationKind::None, fields, block }
}

/// A world of two kinds: one with a field of four bits, one with a block.
fn typed() -> Stage {
    let kinds = vec![kind("typed", vec![field("health", 4)], false), kind("opaque", vec![], true)];
    Stage::with(|config| config.schema = Schema { kinds })
}

fn refusals(stage: &mut Stage, conn: ConnId) -> Vec<(RequestKind, CloseCode)> {
    let control = stage.control(conn).into_iter().filter_map(|message| match message {
        ControlDown::RequestRefused { request, code } => Some((request, code)),
        _ => None,
    });
    control.collect()
}

#[test]
fn a_spawn_is_answered_with_handle_id_and_name() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let spawn = Spawn { request: 42, name: None, ..spawn_at("", [0.; 3]) };
    stage.send(guest.conn, ControlUp::Spawn(Box::new(spawn)));
    let control = stage.control(guest.conn);
    let [ControlDown::Spawned { request: 42, handle: Handle(0), entity, ref name }] = control[..]
    else {
        panic!("one answer: {control:?}");
    };
    let idx = stage.world.entities().find(entity).expect("it stands");
    assert!(!name.is_empty() && stage.world.entities().name(idx) == name);
}

#[test]
fn every_bad_spawn_has_its_code() {
    let mut stage = typed();
    let conn = stage.guest().conn;
    let other = stage.guest().conn;
    stage.spawn(other, spawn_at("taken", [0.; 3])).expect("room");
    let good = spawn_at("x", [0.; 3]);
    let mut far = good.clone();
    far.sample.position = IPos([i32::MAX, 0, 0]);
    let cases = [
        (Spawn { name: Some("taken".into()), ..good.clone() }, CloseCode::BAD_NAME),
        (Spawn { name: Some(String::new()), ..good.clone() }, CloseCode::BAD_NAME),
        (Spawn { name: Some("n".repeat(65)), ..good.clone() }, CloseCode::BAD_NAME),
        (Spawn { kind: KindId(9), ..good.clone() }, CloseCode::UNKNOWN_KIND),
        (far, CloseCode::BAD_POSITION),
        (Spawn { fields: vec![(0, 16)], ..good.clone() }, CloseCode::BAD_FIELD),
        (Spawn { fields: vec![(1, 0)], ..good.clone() }, CloseCode::BAD_FIELD),
        (Spawn { block: vec![1], ..good.clone() }, CloseCode::BAD_FIELD),
        (Spawn { avatar_of: Some(SessionId(1)), ..good.clone() }, CloseCode::WRONG_AUTHORITY),
    ];
    for (spawn, code) in cases {
        assert_eq!(stage.spawn(conn, spawn.clone()), Err(code), "{spawn:?}");
    }
    assert_eq!(stage.world.entities().len(), 1);
    assert!(stage.spawn(conn, good).is_ok());
}

#[test]
fn a_spawn_that_is_repeated_is_answered_with_what_stands() {
    let mut stage = typed();
    let conn = stage.guest().conn;
    let first = stage.spawn(conn, spawn_at("mine", [0.; 3])).expect("room");
    assert_eq!(stage.spawn(conn, spawn_at("mine", [5.; 3])), Ok(first));
    let other_kind = Spawn { kind: KindId(1), ..spawn_at("mine", [0.; 3]) };
    assert_eq!(stage.spawn(conn, other_kind), Err(CloseCode::BAD_NAME));
    assert_eq!(stage.world.entities().len(), 1);
}

#[test]
fn a_spawn_needs_the_grant_to_move_and_a_client_that_is_no_viewer() {
    let mut stage = Stage::new();
    let looker = stage.guest_with(Grants { r#move: false, ..Grants::open() });
    assert_eq!(stage.spawn(looker.conn, spawn_at("a", [0.; 3])), Err(CloseCode::FORBIDDEN));
    let mut attach = stage.knock();
    attach.capabilities = Capabilities::VIEWER;
    let viewer = stage.enter(attach).expect("let in");
    assert_eq!(stage.spawn(viewer.conn, spawn_at("a", [0.; 3])), Err(CloseCode::FORBIDDEN));
}

#[test]
fn a_world_has_a_most_of_entities() {
    let mut stage = Stage::with(|config| config.entities_max = 3);
    let guest = stage.guest();
    for i in 0..3 {
        stage.spawn(guest.conn, spawn_at(&format!("e{i}"), [0.; 3])).expect("room");
    }
    assert_eq!(stage.spawn(guest.conn, spawn_at("e3", [0.; 3])), Err(CloseCode::LIMIT));
}

#[test]
fn fields_and_blocks_change_on_ones_own_entities_only() {
    let mut stage = typed();
    let (alice, bob) = (stage.guest(), stage.guest());
    let (typed, id) = stage.spawn(alice.conn, spawn_at("t", [0.; 3])).expect("room");
    let mut opaque = spawn_at("o", [0.; 3]);
    opaque.kind = KindId(1);
    let (opaque, _) = stage.spawn(alice.conn, opaque).expect("room");
    let set =
        |handle, fields: &[(u8, u32)]| ControlUp::SetFields { handle, fields: fields.to_vec() };
    let block = |handle, block: &[u8]| ControlUp::SetBlock { handle, block: block.to_vec() };
    stage.send(alice.conn, set(typed, &[(0, 15)]));
    stage.send(alice.conn, block(opaque, b"hello"));
    assert!(stage.control(alice.conn).is_empty(), "what is accepted is not answered");
    let idx = stage.world.entities().find(id).expect("stands");
    assert_eq!(stage.world.entities().fields(idx).values(), [15]);
    let bad = [
        (alice.conn, set(typed, &[(0, 16)]), typed, CloseCode::BAD_FIELD),
        (alice.conn, set(typed, &[(7, 0)]), typed, CloseCode::BAD_FIELD),
        (alice.conn, block(typed, b"x"), typed, CloseCode::BAD_FIELD),
        (alice.conn, block(opaque, &[0; BLOCK_BYTES_MAX + 1]), opaque, CloseCode::BAD_FIELD),
        (bob.conn, set(typed, &[(0, 1)]), typed, CloseCode::UNKNOWN_ENTITY),
        (bob.conn, block(opaque, b"x"), opaque, CloseCode::UNKNOWN_ENTITY),
    ];
    for (conn, message, handle, code) in bad {
        stage.send(conn, message);
        assert_eq!(refusals(&mut stage, conn), [(RequestKind::Fields(handle), code)]);
    }
    assert_eq!(stage.world.entities().fields(idx).values(), [15]);
}

#[test]
fn an_entity_despawns_at_its_owners_wish_and_nobody_elses() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    let (handle, id) = stage.spawn(alice.conn, spawn_at("a", [0.; 3])).expect("room");
    stage.control(bob.conn);
    stage.send(bob.conn, ControlUp::Despawn { handle });
    let unknown = (RequestKind::Despawn(handle), CloseCode::UNKNOWN_ENTITY);
    assert_eq!(refusals(&mut stage, bob.conn), [unknown]);
    assert!(stage.world.entities().find(id).is_some());
    stage.send(alice.conn, ControlUp::Despawn { handle });
    let gone = ControlDown::Despawned { handle, code: CloseCode::GOODBYE };
    assert_eq!(stage.control(alice.conn), [gone]);
    assert!(stage.world.entities().find(id).is_none());
}

#[test]
fn an_interest_is_set_or_refused_with_its_number() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let around = |radius_m| Interest::new(Shape::Point { center: [0.; 3], radius_m });
    let set = |id, interest| ControlUp::SetInterest { id, interest };
    stage.send(guest.conn, set(0, Some(around(10.0))));
    stage.send(guest.conn, set(0, None));
    let answers = [ControlDown::InterestSet { id: 0 }, ControlDown::InterestSet { id: 0 }];
    assert_eq!(stage.control(guest.conn), answers);
    let beyond = INTERESTS_MAX as u8;
    stage.send(guest.conn, set(beyond, Some(around(10.0))));
    stage.send(guest.conn, set(1, Some(around(f32::NAN))));
    stage.send(guest.conn, set(2, Some(around(-1.0))));
    let expected = [
        (RequestKind::Interest(beyond), CloseCode::LIMIT),
        (RequestKind::Interest(1), CloseCode::BAD_INTEREST),
        (RequestKind::Interest(2), CloseCode::BAD_INTEREST),
    ];
    assert_eq!(refusals(&mut stage, guest.conn), expected);
    let blind = stage.guest_with(Grants { see: false, ..Grants::open() });
    stage.send(blind.conn, set(0, Some(around(10.0))));
    let forbidden = (RequestKind::Interest(0), CloseCode::FORBIDDEN);
    assert_eq!(refusals(&mut stage, blind.conn), [forbidden]);
}

#[test]
fn a_clean_goodbye_takes_the_entities_along_at_once() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let (_, id) = stage.spawn(guest.conn, spawn_at("a", [0.; 3])).expect("room");
    stage.send(guest.conn, ControlUp::Goodbye);
    assert!(stage.world.entities().find(id).is_none());
    assert!(stage.world.sessions().is_empty());
    let other = stage.guest();
    assert!(stage.spawn(other.conn, spawn_at("a", [1.; 3])).is_ok(), "the name is free");
}

#[test]
fn an_entity_leaves_when_its_only_owner_is_silent_too_long() {
    let mut stage = Stage::new();
    let (quick, slow) = (stage.guest(), stage.guest());
    let (_, kept) = stage.spawn(quick.conn, spawn_at("kept", [0.; 3])).expect("room");
    let (_, lost) = stage.spawn(slow.conn, spawn_at("lost", [0.; 3])).expect("room");
    stage.detach(quick.conn);
    stage.detach(slow.conn);
    stage.ticks(200);
    stage.resume(&quick, &[]);
    assert!(stage.world.entities().find(lost).is_some());
    stage.tick();
    assert!(stage.world.entities().find(kept).is_some());
    assert!(stage.world.entities().find(lost).is_none());
}

#[test]
fn an_entity_that_its_gateway_no_longer_speaks_of_leaves_alone() {
    let mut stage = typed();
    let gateway = stage.guest();
    let (spoken, kept) = stage.spawn(gateway.conn, spawn_at("kept", [0.; 3])).expect("room");
    let (silent, lost) = stage.spawn(gateway.conn, spawn_at("lost", [0.; 3])).expect("room");
    stage.control(gateway.conn);
    for tick in 0..201 {
        let fields = vec![(0, tick % 16)];
        stage.send(gateway.conn, ControlUp::SetFields { handle: spoken, fields });
        stage.tick();
    }
    assert!(stage.world.entities().find(kept).is_some());
    assert!(stage.world.entities().find(lost).is_none());
    let gone = ControlDown::Despawned { handle: silent, code: CloseCode::LOST };
    assert_eq!(stage.control(gateway.conn), [gone]);
}

#[test]
fn a_request_with_a_token_that_was_not_verified_is_refused() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.send(guest.conn, ControlUp::RefreshToken { token: "x".into() });
    stage.step(Command::RegrantRefused { conn: guest.conn });
    let refused = (RequestKind::Token, CloseCode::UNAUTHORIZED);
    assert_eq!(refusals(&mut stage, guest.conn), [refused, refused]);
    assert_eq!(stage.closed(guest.conn), None, "the session goes on");
}

#[test]
fn a_spawn_lands_where_it_says() {
    let mut stage = Stage::of(World::new(game()));
    let guest = stage.guest();
    let (_, id) = stage.spawn(guest.conn, spawn_at("a", [3., -4., 5.])).expect("room");
    let entities = stage.world.entities();
    let idx = entities.find(id).expect("stands");
    assert_eq!(entities.accepted(idx).position, metres([3., -4., 5.]));
}
