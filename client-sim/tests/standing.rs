//! When a copy is held to the accepted position: also between samples, once an entity has stopped.

use starling_client_sim::space::Space;
use starling_client_sim::target::{
    ClientNo, ClientPlan, EntityNo, EntityPlan, Frame, Held, Known, Link, Terms,
};
use starling_client_sim::truth::{Area, Findings, Judge, News, Taken};

const TICK_NS: u64 = 50_000_000;
const BOUND_M: f64 = 0.04;
const WATCHER: ClientNo = ClientNo(0);
const WALKER: ClientNo = ClientNo(1);

fn plan(client: ClientNo) -> ClientPlan {
    let entity = EntityNo(client.0);
    ClientPlan {
        client,
        entities: vec![EntityPlan { entity, name: format!("test/{}", client.0) }],
        areas: vec![Area::Around { radius_m: 50.0, flat: false }],
        channels: Vec::new(),
        judged: client == WATCHER,
    }
}

fn at(x: f64) -> [f64; 3] {
    [x, 0.0, 0.0]
}

/// What is told of one tick: the walker's sample, if one was taken, and the watcher's copy.
fn tick(tick: u32, sample: Option<f64>, copy: f64) -> News {
    let at_ns = u64::from(tick) * TICK_NS;
    let mut news = News::default();
    let taken = |client: ClientNo, x| Taken {
        entity: EntityNo(client.0),
        tick,
        exact: true,
        position: at(x),
        sampled_ns: at_ns,
    };
    news.taken.push(taken(WATCHER, 0.0));
    news.taken.extend(sample.map(|x| taken(WALKER, x)));
    let known = [WATCHER, WALKER].map(|client| Known { client, from: tick, to: tick });
    news.received.known.extend(known);
    news.received.copies.push(Held {
        entity: EntityNo(WALKER.0),
        position: at(copy),
        state_tick: tick,
        changed: false,
        told: true,
    });
    let (client, visible, first, len) = (WATCHER, 1, 0, 1);
    news.received.frames.push(Frame { client, tick, at_ns, decoded: true, visible, first, len });
    news
}

/// Judges a walker that was reported at these places, and copies, from tick 100 on.
fn judge(ticks: &[(Option<f64>, f64)]) -> Findings {
    judge_as_told(ticks, true)
}

/// The same; `exact` if it is told in which tick each sample was taken, not only by which.
fn judge_as_told(ticks: &[(Option<f64>, f64)], exact: bool) -> Findings {
    let mut judge = Judge::new(&[plan(WATCHER), plan(WALKER)], false);
    judge.set_terms(Terms {
        space: Space::Metric,
        tick_hz: 20.0,
        error_bound_m: BOUND_M,
        grid_m: 0.001,
        hysteresis: 1.125,
    });
    judge.set_measured(0..u64::MAX);
    let mut links = News::default();
    links.received.links.extend([WATCHER, WALKER].map(|client| (client, Link::Connected)));
    judge.take(&links, 0);
    for (number, (sample, copy)) in (100..).zip(ticks) {
        let mut news = tick(number, *sample, *copy);
        news.taken.iter_mut().for_each(|taken| taken.exact = exact);
        judge.take(&news, u64::from(number) * TICK_NS);
    }
    judge.finish()
}

#[test]
fn a_copy_that_drifts_after_its_entity_stopped_is_over_the_bound() {
    let stopped = [(Some(4.0), 4.0), (Some(5.0), 5.0), (Some(5.0), 5.0)];
    let right = judge(&[&stopped[..], &[(None, 5.0), (None, 5.02)]].concat());
    assert_eq!((right.over_bound, right.error_m.len()), (0, 5));
    let drifts = judge(&[&stopped[..], &[(None, 5.05), (None, 5.1)]].concat());
    assert_eq!(drifts.over_bound, 2);
    assert!(drifts.error_m.max() > Some(0.09), "{:?}", drifts.error_m.max());
}

#[test]
fn a_copy_may_follow_the_line_of_an_entity_whose_sample_is_missing() {
    let found = judge(&[(Some(4.0), 4.0), (Some(5.0), 5.0), (None, 6.0), (None, 7.0)]);
    assert_eq!((found.over_bound, found.error_m.len()), (0, 2));
}

#[test]
fn a_copy_is_not_judged_in_a_tick_before_which_its_sample_may_have_been_taken() {
    let moves = [(Some(4.0), 5.0), (Some(5.0), 6.0)];
    assert_eq!(judge_as_told(&moves, false).error_m.len(), 0);
    assert_eq!(judge_as_told(&moves, true).over_bound, 2);
}
