//! Why a session is told of an entity in a tick, or not: the answer is what happened.

mod view_stage;

use starling_protocol::message::interest::Target;
use starling_protocol::units::{EntityId, Tick};
use starling_world::why::{Matter, Outcome, Why, WhyError};
use view_stage::*;

fn why(sky: &mut Sky, client: usize, entity: EntityId) -> Why {
    let session = sky.clients[client].welcome.session;
    sky.world.why(session, &Target::Id(entity)).expect("both are there")
}

#[test]
fn it_tells_area_slot_baseline_and_news() {
    let mut sky = Sky::new(metric(), 1);
    let viewer = sky.player([0.; 3], 50.);
    let other = sky.player([80., 0., 0.], 5.);
    let entity = sky.clients[other].own[0].entity;
    sky.run(5);
    let before = why(&mut sky, viewer, entity);
    assert!(before.slot.is_none() && before.told.is_empty());
    assert_eq!((before.areas[0].side, before.areas[0].distance_m), (Some("outside"), Some(80.)));
    sky.place(other, [40., 0., 0.]);
    sky.run(4);
    let entered = why(&mut sky, viewer, entity);
    let slot = entered.slot.expect("it is in view");
    assert_eq!((slot.state, slot.since), ("held", Tick(before.tick.0 + 1)));
    assert!(slot.base > slot.since && entered.areas[0].side == Some("inside"));
    let first = entered.told[0];
    assert_eq!(
        (first.tick, first.matter, first.outcome),
        (slot.since, Matter::Enter, Outcome::Sent)
    );
    assert_eq!(first.distance_m, Some(40.));
    sky.run(10);
    sky.place(other, [40.2, 0.1, 0.]);
    sky.tick();
    let changed = why(&mut sky, viewer, entity);
    let last = changed.told.last().expect("it moved");
    assert_eq!(
        (last.tick, last.matter, last.outcome),
        (changed.tick, Matter::Change, Outcome::Sent)
    );
    assert_eq!((last.code_bits.is_some(), changed.stirred), (true, changed.tick), "{last:?}");
}

#[test]
fn what_a_narrow_link_could_not_carry_was_skipped() {
    let mut sky = Sky::new(metric(), 2);
    let owner = sky.client();
    let entities: Vec<_> =
        (0..60).map(|i| sky.spawn(owner, [f64::from(i) * 0.5, 0., 0.])).collect();
    let viewer = sky.player([0.; 3], 50.);
    sky.run(10);
    let conn = sky.clients[viewer].conn;
    sky.allowances.insert(conn, 80);
    why(&mut sky, viewer, entities[59]);
    for _ in 0..80 {
        let space = sky.space();
        for own in &mut sky.clients[owner].own {
            let point = space.point(own.sample.position);
            own.sample = at(space, [point[0], 0.5 - point[1], 0.]);
        }
        sky.tick();
    }
    let why = why(&mut sky, viewer, entities[59]);
    assert!(why.link.is_full && why.link.datagram_bytes == 80);
    let skipped = why.told.iter().filter(|told| told.outcome == Outcome::Skipped);
    let hungers: Vec<_> = skipped.map(|told| told.hunger).collect();
    assert!(hungers.len() > 5 && hungers.windows(2).any(|pair| pair[1] > pair[0]), "{hungers:?}");
    assert!(why.told.iter().any(|told| told.outcome == Outcome::Sent), "in its turn it was sent");
}

#[test]
fn who_is_not_there_has_no_answer() {
    let mut sky = Sky::new(metric(), 3);
    let viewer = sky.player([0.; 3], 50.);
    let own = sky.clients[viewer].own[0].entity;
    sky.run(2);
    assert_eq!(why(&mut sky, viewer, own).hidden, Some("it is the session's own"));
    let session = sky.clients[viewer].welcome.session;
    let nobody = sky.world.why(session, &Target::Name("nobody".into()));
    assert_eq!(nobody, Err(WhyError::UnknownEntity));
    let other = starling_protocol::units::SessionId(session.0 + 9);
    assert_eq!(sky.world.why(other, &Target::Id(own)), Err(WhyError::UnknownSession));
}
