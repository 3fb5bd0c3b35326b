//! Cues: once each and in time, or not at all (P17).

mod view_stage;

use starling_protocol::message::control::{Audience, ControlDown, RequestKind};
use starling_protocol::units::Tick;
use starling_protocol::uplink::CueScope;
use starling_world::grants::{Grants, Pattern};
use std::collections::BTreeMap;
use view_stage::*;

fn world_cue(id: u16, life: u8) -> (u16, u8, u8, CueScope, Vec<u8>) {
    (id, 1, life, CueScope::World, id.to_le_bytes().to_vec())
}

/// Each cue at most once and never late; how often each payload was heard.
fn assert_once_and_in_time(client: &Client) -> BTreeMap<Vec<u8>, usize> {
    let mut count = BTreeMap::new();
    for heard in &client.heard {
        assert!(heard.at <= heard.given + u32::from(heard.life), "late: {heard:?}");
        *count.entry(heard.payload.clone()).or_insert(0) += 1;
    }
    assert!(count.values().all(|n| *n == 1), "twice: {count:?}");
    count
}

#[test]
fn every_scope_reaches_its_own() {
    let mut sky = Sky::new(metric(), 1);
    let shooter = sky.player([0.; 3], 100.);
    let near = sky.player([20., 0., 0.], 5.);
    let watcher = sky.player([60., 0., 0.], 100.);
    let far = sky.player([900., 0., 0.], 5.);
    sky.run(3);
    let mine = sky.clients[shooter].own[0].handle;
    let scopes = [
        CueScope::NearMine { entity: mine, radius_m: 30. },
        CueScope::WatchersOfMine { entity: mine },
        CueScope::Near { center: at(sky.space(), [890., 0., 0.]).position, radius_m: 30. },
        CueScope::World,
    ];
    for (i, scope) in scopes.into_iter().enumerate() {
        sky.clients[shooter].cues.push((i as u16, i as u8, 3, scope, vec![i as u8]));
    }
    sky.run(4);
    sky.clients[shooter].cues.clear();
    sky.run(4);
    let kinds = |client: usize| {
        let mut kinds: Vec<_> = sky.clients[client].heard.iter().map(|h| h.kind).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(kinds(near), [0, 3]);
    assert_eq!(kinds(watcher), [1, 3]);
    assert_eq!(kinds(far), [2, 3]);
    assert_eq!(kinds(shooter), [], "whoever gives a cue knows of it");
    let entity = sky.clients[shooter].own[0].entity;
    let heard = &sky.clients[near].heard;
    let shot = heard.iter().find(|h| h.kind == 0).expect("heard");
    assert_eq!((shot.source, shot.position), (Some(entity), Some(sky.accepted(entity))));
}

#[test]
fn cues_are_heard_once_and_in_time_over_any_link() {
    for seed in 0..10 {
        let mut sky = Sky::new(metric(), seed);
        let shooter = sky.player([0.; 3], 100.);
        let hearer = sky.player([20., 0., 0.], 100.);
        let mut rng = Rng(seed);
        sky.clients[hearer].weather = Weather {
            loss: rng.between(0., 0.4),
            double: 0.3,
            delay: rng.between(0., 4.) as u32,
            jitter: 3,
        };
        for tick in 0..400u32 {
            let cues = &mut sky.clients[shooter].cues;
            cues.push(world_cue(tick as u16, 1 + (tick % 6) as u8));
            if cues.len() > 3 {
                cues.remove(0);
            }
            sky.tick();
        }
        let heard = assert_once_and_in_time(&sky.clients[hearer]);
        assert!(heard.len() > 50, "seed {seed}: {} heard", heard.len());
        assert!(heard.len() <= 400);
    }
}

#[test]
fn a_cue_that_was_taken_before_a_resume_is_not_taken_again() {
    let mut sky = Sky::new(metric(), 3);
    let shooter = sky.player([0.; 3], 100.);
    let hearer = sky.player([20., 0., 0.], 100.);
    sky.run(3);
    sky.clients[shooter].cues = vec![world_cue(1, 8)];
    sky.tick();
    let repeated = sky.world.counters().cues_repeated;
    sky.resume(shooter);
    sky.run(3);
    assert_eq!(assert_once_and_in_time(&sky.clients[hearer]).len(), 1);
    assert!(sky.world.counters().cues_repeated > repeated, "each repeat is counted");
}

#[test]
fn over_a_good_link_every_cue_is_heard_in_its_tick() {
    let mut sky = Sky::new(metric(), 3);
    let shooter = sky.player([0.; 3], 100.);
    let hearer = sky.player([20., 0., 0.], 100.);
    for tick in 0..100u32 {
        sky.clients[shooter].cues = vec![world_cue(tick as u16, 0)];
        sky.tick();
    }
    assert_eq!(assert_once_and_in_time(&sky.clients[hearer]).len(), 100);
    assert!(sky.clients[hearer].heard.iter().all(|h| h.at == h.given));
}

#[test]
fn a_cue_that_cannot_be_delivered_in_time_is_not_delivered() {
    let mut sky = Sky::new(metric(), 3);
    let shooter = sky.player([0.; 3], 100.);
    let hearer = sky.player([20., 0., 0.], 100.);
    sky.run(3);
    sky.clients[hearer].weather.loss = 1.;
    sky.clients[shooter].cues = vec![world_cue(1, 3)];
    sky.run(4);
    sky.clients[shooter].cues.clear();
    sky.clients[hearer].weather.loss = 0.;
    sky.run(20);
    assert_eq!(sky.clients[hearer].heard, []);
    assert_eq!(sky.world.counters().cues_expired, 1);
}

#[test]
fn cues_without_a_grant_or_of_a_foreign_entity_are_refused() {
    let mut sky = Sky::new(metric(), 3);
    let grants = Grants { publish: vec![Pattern("@near".into())], ..Grants::open() };
    let shooter = sky.client_with(grants, 0);
    sky.spawn(shooter, [0.; 3]);
    let hearer = sky.player([1., 0., 0.], 100.);
    let foreign =
        CueScope::NearMine { entity: starling_protocol::units::Handle(77), radius_m: 10. };
    sky.clients[shooter].cues = vec![world_cue(1, 3), (2, 1, 3, foreign, Vec::new())];
    sky.run(3);
    assert_eq!(sky.clients[hearer].heard, []);
    assert_eq!(sky.world.counters().cues_refused, 2);
    let told = sky.clients[shooter].control.iter().filter(|message| {
        matches!(message, ControlDown::RequestRefused { request: RequestKind::Cue, .. })
    });
    assert_eq!(told.count(), 1, "once a second");
}

#[test]
fn a_hidden_entity_does_not_give_itself_away_by_a_cue() {
    let mut sky = Sky::new(metric(), 3);
    let shooter = sky.client();
    sky.spawn_as(shooter, [0.; 3], |s| s.audience = Audience::Private);
    let hearer = sky.player([1., 0., 0.], 100.);
    sky.run(2);
    let entity = sky.clients[shooter].own[0].handle;
    let scope = CueScope::NearMine { entity, radius_m: 10. };
    sky.clients[shooter].cues = vec![(1, 9, 3, scope, Vec::new())];
    sky.run(3);
    let heard = &sky.clients[hearer].heard;
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].source, heard[0].position), (None, None));
}

#[test]
fn a_burst_of_cues_is_bounded_and_counted() {
    let mut sky = Sky::new(metric(), 3);
    let shooters: Vec<_> = (0..12).map(|i| sky.player([f64::from(i), 0., 0.], 1.)).collect();
    let hearer = sky.player([0., 1., 0.], 1.);
    sky.clients[hearer].weather.loss = 1.;
    for shooter in shooters {
        sky.clients[shooter].cues = (0..10).map(|id| world_cue(id, 15)).collect();
    }
    sky.tick();
    assert_eq!(sky.world.now(), Tick(1));
    let counters = sky.world.counters();
    assert_eq!(counters.cues, 120);
    assert!(counters.cues_dropped >= 120 - 64, "{}", counters.cues_dropped);
}
