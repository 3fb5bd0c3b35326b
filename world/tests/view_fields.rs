//! Typed fields, blocks and names: on change, until acknowledged, to those who may see them (P12).

mod view_stage;

use starling_protocol::message::control::ControlUp;
use starling_protocol::message::interest::Interest;
use starling_protocol::schema::*;
use starling_protocol::units::EntityId;
use starling_world::config::WorldConfig;
use view_stage::*;

fn config() -> WorldConfig {
    let field = |name: &str, bits, visibility| Field {
        name: name.into(),
        ty: FieldType::Bits { bits },
        visibility,
    };
    let fields = vec![
        field("health", 7, Visibility::All),
        field("ammo", 10, Visibility::Team),
        field("money", 32, Visibility::Owner),
    ];
    let kind =
        Kind { name: "player".into(), orientation: OrientationKind::Heading, fields, block: true };
    WorldConfig { schema: Schema { kinds: vec![kind] }, ..metric() }
}

fn fields(sky: &Sky, client: usize, entity: EntityId) -> ([u32; 3], Vec<u8>) {
    let table = &sky.clients[client].table;
    let mut views = table.slots().filter_map(|slot| table.entity(slot));
    let view = views.find(|view| view.entity == entity).expect("it is seen");
    ([view.fields[0], view.fields[1], view.fields[2]], view.block.to_vec())
}

#[test]
fn each_sees_the_fields_that_it_may_see() {
    let mut sky = Sky::new(config(), 1);
    let owner = sky.client();
    let entity = sky.spawn_as(owner, [0.; 3], |s| {
        s.team = 1;
        s.fields = vec![(0, 100), (1, 30), (2, 5_000)];
        s.block = b"hat".to_vec();
    });
    let mate = sky.client();
    sky.spawn_as(mate, [1., 0., 0.], |s| s.team = 1);
    sky.look(mate, 0, around(50.));
    let stranger = sky.player([0., 1., 0.], 50.);
    sky.run(3);
    assert_eq!(fields(&sky, mate, entity), ([100, 30, 0], b"hat".to_vec()));
    assert_eq!(fields(&sky, stranger, entity), ([100, 0, 0], b"hat".to_vec()));
    let handle = sky.clients[owner].own[0].handle;
    let change = vec![(0, 90), (1, 29), (2, 1)];
    sky.send(owner, ControlUp::SetFields { handle, fields: change });
    sky.run(1);
    assert_eq!(fields(&sky, mate, entity).0, [90, 29, 0]);
    assert_eq!(fields(&sky, stranger, entity).0, [90, 0, 0]);
}

#[test]
fn fields_and_blocks_survive_a_bad_link() {
    for seed in 0..8 {
        let mut sky = Sky::new(config(), seed);
        let owner = sky.client();
        let ids: Vec<_> = (0..20).map(|i| sky.spawn(owner, [f64::from(i), 0., 0.])).collect();
        let viewer = sky.player([5., 5., 0.], 50.);
        sky.clients[viewer].weather = Weather { loss: 0.3, double: 0.1, delay: 2, jitter: 3 };
        let mut expected = vec![([0, 0, 0], Vec::new()); 20];
        for tick in 0..200u32 {
            let i = (sky.rng.next() % 20) as usize;
            let handle = sky.clients[owner].own[i].handle;
            if tick % 7 == 0 {
                let block = vec![tick as u8; (tick % 20) as usize];
                expected[i].1.clone_from(&block);
                sky.send(owner, ControlUp::SetBlock { handle, block });
            } else {
                expected[i].0[0] = tick % 128;
                sky.send(owner, ControlUp::SetFields { handle, fields: vec![(0, tick % 128)] });
            }
            if tick % 3 == 0 {
                let x = sky.rng.between(0., 20.);
                sky.clients[owner].own[i].sample = at(sky.space(), [x, 0., 0.]);
            }
            sky.tick();
        }
        sky.clients[viewer].weather = Weather::default();
        sky.run(20);
        for (id, expected) in ids.iter().zip(&expected) {
            assert_eq!(&fields(&sky, viewer, *id), expected, "seed {seed}");
        }
    }
}

#[test]
fn a_value_that_does_not_change_is_not_told() {
    let mut sky = Sky::new(config(), 1);
    let owner = sky.client();
    sky.spawn(owner, [0.; 3]);
    sky.clients[owner].own[0].speaks = false;
    let viewer = sky.client();
    let area = Interest::new(starling_protocol::message::interest::Shape::Point {
        center: [0.; 3],
        radius_m: 5.,
    });
    sky.look(viewer, 0, area);
    sky.run(40);
    let handle = sky.clients[owner].own[0].handle;
    let before = sky.clients[viewer].datagrams;
    for _ in 0..10 {
        sky.send(owner, ControlUp::SetFields { handle, fields: vec![(0, 0)] });
        sky.tick();
    }
    assert!(sky.clients[viewer].datagrams <= before + 1);
}

#[test]
fn names_come_with_the_interest_that_asks_for_them() {
    let mut sky = Sky::new(config(), 1);
    let owner = sky.client();
    sky.spawn_as(owner, [0.; 3], |s| s.name = Some("bus/17".into()));
    let curious = sky.player([1., 0., 0.], 50.);
    let other = sky.client();
    sky.spawn(other, [2., 0., 0.]);
    sky.look(other, 0, Interest { names: false, ..around(50.) });
    sky.run(2);
    let names = |client: usize| {
        let table = &sky.clients[client].table;
        let views = table.slots().filter_map(|slot| table.entity(slot));
        views.filter_map(|view| view.name.map(String::from)).collect::<Vec<_>>()
    };
    assert!(names(curious).contains(&"bus/17".to_string()));
    assert!(names(other).is_empty());
}

#[test]
fn whoever_joins_a_team_sees_its_fields_at_once() {
    let mut sky = Sky::new(config(), 1);
    let owner = sky.client();
    let entity = sky.spawn_as(owner, [0.; 3], |s| {
        s.team = 1;
        s.fields = vec![(1, 30)];
    });
    let late = sky.client();
    let area = Interest::new(starling_protocol::message::interest::Shape::Point {
        center: [0.; 3],
        radius_m: 50.,
    });
    sky.look(late, 0, area);
    sky.run(5);
    assert_eq!(fields(&sky, late, entity).0, [0, 0, 0]);
    sky.spawn_as(late, [1., 0., 0.], |s| s.team = 1);
    sky.run(3);
    assert_eq!(fields(&sky, late, entity).0, [0, 30, 0]);
}

#[test]
fn whoever_joins_a_team_while_a_crowd_is_on_its_way_sees_the_fields_of_all() {
    let mut sky = Sky::new(config(), 1);
    let owner = sky.client();
    let crowd: Vec<_> = (0..150)
        .map(|i| {
            sky.spawn_as(owner, [f64::from(i) * 0.1, 0., 0.], |s| {
                s.team = 1;
                s.fields = vec![(1, 30)];
            })
        })
        .collect();
    let late = sky.client();
    sky.clients[late].bulk_delay = 6;
    let area = Interest::new(starling_protocol::message::interest::Shape::Point {
        center: [0.; 3],
        radius_m: 50.,
    });
    sky.look(late, 0, area);
    sky.run(2);
    assert!(sky.world.counters().bulks > 0, "so many enter over the bulk stream");
    assert_eq!(sky.clients[late].table.slots().count(), 0, "where they still are");
    sky.spawn_as(late, [1., 0., 0.], |s| s.team = 1);
    sky.run(40);
    for entity in crowd {
        assert_eq!(fields(&sky, late, entity).0, [0, 30, 0]);
    }
}
