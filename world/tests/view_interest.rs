//! Who sees whom (P3, P12).

mod view_stage;

use starling_protocol::message::control::{Audience, ControlUp};
use starling_protocol::message::interest::{Interest, Shape, Target};
use view_stage::*;

#[test]
fn two_who_are_near_see_each_other_and_not_themselves() {
    let mut sky = Sky::new(metric(), 1);
    let (a, b) = (sky.player([0.; 3], 50.), sky.player([30., 0., 0.], 50.));
    sky.run(2);
    let (ea, eb) = (sky.clients[a].own[0].entity, sky.clients[b].own[0].entity);
    assert_eq!(sky.seen(a), [eb].into());
    assert_eq!(sky.seen(b), [ea].into());
}

#[test]
fn whoever_is_in_the_margin_stays_and_does_not_come() {
    let mut sky = Sky::new(metric(), 1);
    let (a, b) = (sky.player([0.; 3], 100.), sky.player([110., 0., 0.], 10.));
    let eb = sky.clients[b].own[0].entity;
    sky.run(3);
    assert!(!sky.sees(a, eb), "beyond the enter radius");
    sky.place(b, [100., 0., 0.]);
    sky.run(2);
    assert!(sky.sees(a, eb));
    sky.place(b, [112., 0., 0.]);
    sky.run(5);
    assert!(sky.sees(a, eb), "within the leave radius");
    sky.place(b, [113., 0., 0.]);
    sky.run(2);
    assert!(!sky.sees(a, eb));
    sky.place(b, [101., 0., 0.]);
    sky.run(5);
    assert!(!sky.sees(a, eb));
}

#[test]
fn an_entity_that_disappears_leaves() {
    let mut sky = Sky::new(metric(), 1);
    let (a, b) = (sky.player([0.; 3], 100.), sky.player([10., 0., 0.], 10.));
    sky.run(2);
    assert_eq!(sky.seen(a).len(), 1);
    let handle = sky.clients[b].own.pop().expect("one").handle;
    sky.send(b, ControlUp::Despawn { handle });
    sky.run(2);
    assert!(sky.seen(a).is_empty());
}

#[test]
fn several_areas_are_seen_together_and_each_by_its_own_filter() {
    let mut sky = Sky::new(metric(), 1);
    let host = sky.client();
    let near = sky.spawn(host, [0., 0., 0.]);
    let far = sky.spawn(host, [500., 0., 0.]);
    let red = sky.spawn_as(host, [505., 0., 0.], |s| s.team = 3);
    let outside = sky.spawn(host, [250., 0., 0.]);
    let viewer = sky.client();
    let point = |x, radius_m| Interest::new(Shape::Point { center: [x, 0., 0.], radius_m });
    sky.look(viewer, 0, point(0., 50.));
    sky.look(viewer, 1, Interest { team: Some(3), ..point(500., 50.) });
    sky.run(2);
    assert_eq!(sky.seen(viewer), [near, red].into());
    sky.look(viewer, 1, point(500., 50.));
    sky.run(2);
    assert_eq!(sky.seen(viewer), [near, far, red].into());
    sky.send(viewer, ControlUp::SetInterest { id: 1, interest: None });
    sky.run(2);
    assert_eq!(sky.seen(viewer), [near].into());
    let follow = Shape::Follow { entity: Target::Id(outside) };
    sky.look(viewer, 2, Interest::new(follow));
    sky.run(2);
    assert_eq!(sky.seen(viewer), [near, outside].into());
}

#[test]
fn what_is_private_or_of_another_team_is_not_seen() {
    let mut sky = Sky::new(metric(), 1);
    let owner = sky.client();
    let open = sky.spawn(owner, [1., 0., 0.]);
    let mine = sky.spawn_as(owner, [2., 0., 0.], |s| s.audience = Audience::Private);
    let ours = sky.spawn_as(owner, [3., 0., 0.], |s| {
        s.team = 2;
        s.audience = Audience::Team;
    });
    let mate = sky.client();
    sky.spawn_as(mate, [0., 0., 0.], |s| s.team = 2);
    sky.look(mate, 0, around(50.));
    let stranger = sky.player([0., 5., 0.], 50.);
    sky.run(3);
    let (mate_sees, stranger_sees) = (sky.seen(mate), sky.seen(stranger));
    assert!(mate_sees.contains(&open) && mate_sees.contains(&ours));
    assert!(stranger_sees.contains(&open) && !stranger_sees.contains(&ours));
    assert!(!mate_sees.contains(&mine) && !stranger_sees.contains(&mine));
}

#[test]
fn the_nearest_few_have_a_margin_in_ranks() {
    let mut sky = Sky::new(metric(), 1);
    let owner = sky.client();
    let row: Vec<_> = (1..=12).map(|i| sky.spawn(owner, [f64::from(i) * 10., 0., 0.])).collect();
    let viewer = sky.client();
    let nearest = |count, x| Interest::new(Shape::Nearest { count, center: Some([x, 0., 0.]) });
    sky.look(viewer, 0, nearest(4, 0.));
    sky.run(2);
    assert_eq!(sky.seen(viewer), row[..4].iter().copied().collect());
    // Two move to the front: the third is the fifth now, in the margin; the fourth is the sixth.
    for (i, x) in [(10, 1.), (11, 2.)] {
        sky.clients[owner].own[i].sample = at(sky.space(), [x, 0., 0.]);
    }
    sky.run(2);
    let expected = [row[0], row[1], row[2], row[10], row[11]];
    assert_eq!(sky.seen(viewer), expected.into());
}

#[test]
fn a_flat_area_ignores_height_and_a_sphere_does_not() {
    let mut sky = Sky::new(metric(), 1);
    let owner = sky.client();
    let high = sky.spawn(owner, [0., 0., 500.]);
    let viewer = sky.client();
    let point = Interest::new(Shape::Point { center: [0.; 3], radius_m: 50. });
    sky.look(viewer, 0, point.clone());
    sky.run(2);
    assert!(sky.seen(viewer).is_empty());
    sky.look(viewer, 0, Interest { flat: true, ..point });
    sky.run(2);
    assert_eq!(sky.seen(viewer), [high].into());
    sky.look(viewer, 0, Interest::new(Shape::Viewport { center: [40., 0., 0.], side_m: 80. }));
    sky.run(2);
    assert_eq!(sky.seen(viewer), [high].into());
}

#[test]
fn the_antimeridian_and_the_poles_are_no_walls() {
    let mut sky = Sky::new(geodetic(), 1);
    let owner = sky.client();
    let west = sky.spawn(owner, [10., 179.9995, 0.]);
    let east = sky.spawn(owner, [10., -179.9995, 0.]);
    let here = sky.spawn(owner, [89.9995, 10., 0.]);
    let beyond = sky.spawn(owner, [89.9995, -170., 0.]);
    let viewer = sky.client();
    let point = |center| Interest::new(Shape::Point { center, radius_m: 400. });
    let viewport = |center| Interest::new(Shape::Viewport { center, side_m: 800. });
    let bounds = |min, max| Interest::new(Shape::Box { min, max });
    let date_line = [
        point([10., 180., 0.]),
        point([10., -179.9999, 0.]),
        viewport([10., 179.9999, 0.]),
        bounds([9., 179., -10.], [11., -179., 10.]),
    ];
    for (i, area) in date_line.into_iter().enumerate() {
        sky.look(viewer, 0, area);
        sky.run(2);
        assert_eq!(sky.seen(viewer), [west, east].into(), "area {i}");
    }
    for area in [point([90., 0., 0.]), viewport([90., 55., 0.])] {
        sky.look(viewer, 0, area);
        sky.run(2);
        assert_eq!(sky.seen(viewer), [here, beyond].into());
    }
}

#[test]
fn on_the_globe_whoever_climbs_straight_up_leaves_the_ground_behind() {
    let mut sky = Sky::new(geodetic(), 1);
    let owner = sky.client();
    // Enough that they do not all lie in one leaf.
    let parked: Vec<_> =
        (0..200).map(|i| sky.spawn(owner, [10. + f64::from(i) * 1e-5, 20., 0.])).collect();
    let drone = sky.player([10., 20., 0.], 300.);
    sky.allowances.insert(sky.clients[drone].conn, 8 * 1_100);
    sky.run(6);
    let near = sky.seen(drone);
    assert!(near.len() > 100 && near.len() <= parked.len());
    sky.place(drone, [10., 20., 2_000.]);
    sky.run(6);
    assert_eq!(sky.seen(drone), [].into(), "two kilometres up");
    sky.place(drone, [10., 20., 0.]);
    sky.run(6);
    assert_eq!(sky.seen(drone), near, "and down again");
}

#[test]
fn random_worlds_show_what_brute_force_finds() {
    for seed in 0..20 {
        let mut sky = Sky::new(metric(), seed);
        let owner = sky.client();
        let mut rng = Rng(seed ^ 0xfeed);
        let side = rng.between(100., 2_000.);
        let places: Vec<_> =
            (0..120).map(|_| [rng.between(0., side), rng.between(0., side), 0.]).collect();
        let ids: Vec<_> = places.iter().map(|p| sky.spawn(owner, *p)).collect();
        let viewer = sky.client();
        let radius = rng.between(20., side);
        let center = [rng.between(0., side), rng.between(0., side), 0.];
        sky.look(viewer, 0, Interest::new(Shape::Point { center, radius_m: radius as f32 }));
        sky.allowances.insert(sky.clients[viewer].conn, 8 * 1_100);
        sky.run(4);
        let away = |p: &[f64; 3]| {
            let off = [p[0] - center[0], p[1] - center[1]];
            (off[0] * off[0] + off[1] * off[1]).sqrt()
        };
        for (id, place) in ids.iter().zip(&places) {
            let sees = sky.sees(viewer, *id);
            let clear = (away(place) - radius).abs() > 0.01;
            assert!(!clear || sees == (away(place) < radius), "seed {seed}: {place:?}");
        }
    }
}
