//! Events by place, by entity, by session and for all: each is appended to every recipient's inbox,
//! under that inbox's own numbers.

mod session_stage;

use session_stage::{Stage, metres, patterns, scoped, spawn_at};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{Audience, ControlUp, Spawn};
use starling_protocol::message::events::{Receipt, Scope};
use starling_protocol::message::interest::{Interest, Shape, Target};
use starling_protocol::units::Handle;
use starling_world::grants::Grants;

/// Three guests with an entity each, at 0, 8 and 100 metres; all have been seen by one tick.
fn row() -> (Stage, Vec<session_stage::Guest>) {
    let mut stage = Stage::new();
    let mut guests = Vec::new();
    for (i, x) in [0.0, 8.0, 100.0].into_iter().enumerate() {
        let guest = stage.guest();
        let name = format!("e{i}");
        stage.spawn(guest.conn, spawn_at(&name, [x, 0., 0.])).expect("room");
        guests.push(guest);
    }
    stage.ticks(2);
    (stage, guests)
}

fn who_got(stage: &mut Stage, guests: &[session_stage::Guest]) -> Vec<usize> {
    let counts = guests.iter().map(|guest| stage.delivered(guest.conn, 0).len());
    counts.collect()
}

#[test]
fn near_mine_reaches_those_with_an_entity_in_reach() {
    let (mut stage, guests) = row();
    let near = Scope::NearMine { entity: Some(Handle(0)), radius_m: 10.0 };
    assert_eq!(stage.publish(guests[0].conn, scoped(near, 1)), Ok(Receipt::Inboxes(2)));
    assert_eq!(who_got(&mut stage, &guests), [1, 1, 0]);
}

#[test]
fn near_a_point_reaches_those_with_an_entity_there() {
    let (mut stage, guests) = row();
    let near = Scope::Near { center: [95.0, 0.0, 0.0], radius_m: 10.0 };
    assert_eq!(stage.publish(guests[0].conn, scoped(near, 1)), Ok(Receipt::Inboxes(1)));
    assert_eq!(who_got(&mut stage, &guests), [0, 0, 1]);
}

#[test]
fn the_world_and_one_session_are_scopes_too() {
    let (mut stage, guests) = row();
    stage.detach(guests[2].conn);
    assert_eq!(stage.publish(guests[0].conn, scoped(Scope::World, 1)), Ok(Receipt::Inboxes(3)));
    let one = Scope::Session(guests[1].session());
    assert_eq!(stage.publish(guests[0].conn, scoped(one, 2)), Ok(Receipt::Inboxes(1)));
    let numbers: Vec<_> = stage.delivered(guests[1].conn, 0).iter().map(|e| e.offset.0).collect();
    assert_eq!(numbers, [1, 2]);
    let back = stage.resume(&guests[2], &[]);
    assert_eq!(stage.delivered(back.conn, 0).len(), 1, "a parked session's inbox takes it too");
}

#[test]
fn watchers_are_those_who_see_the_entity() {
    let (mut stage, guests) = row();
    let shape = Shape::Around { entity: None, radius_m: 20.0 };
    let interest = Some(Interest::new(shape));
    stage.send(guests[1].conn, ControlUp::SetInterest { id: 0, interest });
    stage.ticks(2);
    let watchers = Scope::Watchers(Target::Name("e0".into()));
    assert_eq!(stage.publish(guests[0].conn, scoped(watchers, 1)), Ok(Receipt::Inboxes(1)));
    assert_eq!(who_got(&mut stage, &guests), [0, 1, 0]);
}

#[test]
fn an_entity_that_is_hidden_is_as_unknown_as_none() {
    let (mut stage, guests) = row();
    let hidden = Spawn { audience: Audience::Private, ..spawn_at("hidden", [0.; 3]) };
    stage.spawn(guests[0].conn, hidden).expect("room");
    let watchers = |name: &str| Scope::Watchers(Target::Name(name.into()));
    for (id, name) in [(1, "hidden"), (2, "nothing")] {
        let refused = stage.publish(guests[1].conn, scoped(watchers(name), id));
        assert_eq!(refused, Err(CloseCode::UNKNOWN_ENTITY));
    }
    assert!(stage.publish(guests[0].conn, scoped(watchers("hidden"), 3)).is_ok());
}

#[test]
fn every_scope_has_a_grant_of_its_own() {
    let mut stage = Stage::new();
    let grants = Grants { publish: patterns(&["@near", "chat*"]), ..Grants::open() };
    let guest = stage.guest_with(grants);
    stage.spawn(guest.conn, spawn_at("a", [0.; 3])).expect("room");
    stage.tick();
    let near = Scope::NearMine { entity: None, radius_m: 1.0 };
    assert!(stage.publish(guest.conn, scoped(near, 1)).is_ok());
    let others =
        [Scope::World, Scope::Session(guest.session()), Scope::Watchers(Target::Name("a".into()))];
    for (id, scope) in others.into_iter().enumerate() {
        let refused = stage.publish(guest.conn, scoped(scope, 10 + id as u64));
        assert_eq!(refused, Err(CloseCode::FORBIDDEN));
    }
}

#[test]
fn a_place_is_where_the_entity_is_now() {
    let (stage, _) = row();
    let entities = stage.world.entities();
    let idx = entities.named("e1").expect("stands");
    assert_eq!(entities.accepted(idx).position, metres([8., 0., 0.]));
}
