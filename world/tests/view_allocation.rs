//! A tick in the steady state allocates nothing: with everything in motion, what comes and goes,
//! datagrams that are lost, cues, a link that cannot carry all, and the index in its course.

mod view_stage;

use starling_protocol::uplink::CueScope;
use starling_world::config::WorldConfig;
use starling_world::output::Output;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use view_stage::*;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call is passed on to the system's allocator; the counter does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `alloc` with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PLAYERS: usize = 60;
const TICKS: u32 = 200;

/// Players that swing to and fro, so that some come and go all the time. `step` is one of their
/// steps in the units of the space, `cues` whether the first gives one in every tick.
fn swing(sky: &mut Sky, ticks: u32, step: f64, cues: bool) {
    for _ in 0..ticks {
        let now = sky.world.now().0;
        for i in 0..PLAYERS {
            let phase = (f64::from(now) / 20. + i as f64 * 0.37) % 8.;
            let there = if phase < 4. { phase } else { 8. - phase } * 15.;
            sky.place(i, [there * step, i as f64 * 2. * step, 0.]);
        }
        if cues {
            let mine = sky.clients[0].own[0].handle;
            let scope = match now % 4 {
                0 => CueScope::NearMine { entity: mine, radius_m: 30. },
                1 => CueScope::WatchersOfMine { entity: mine },
                2 => CueScope::Near { center: sky.clients[0].own[0].sample.position, radius_m: 9. },
                _ => CueScope::World,
            };
            sky.clients[0].cues = vec![(now as u16, 1, 3, scope, vec![7; 9])];
        }
        sky.tick();
    }
}

/// Whom each of 60 players sees changes all the time, and a datagram in twenty is lost.
fn players(config: WorldConfig, step: f64, cues: bool) -> Sky {
    let mut sky = Sky::new(config, 3);
    for i in 0..PLAYERS {
        let client = sky.player([0., i as f64 * 2. * step, 0.], 40.);
        sky.clients[client].weather = Weather { loss: 0.05, delay: 1, ..Weather::default() };
    }
    swing(&mut sky, 2 * TICKS, step, cues);
    sky
}

/// Runs the ticks that are counted; returns what was counted of the world meanwhile.
fn metered(sky: &mut Sky, step: f64, cues: bool) -> [u64; 4] {
    let counted = |sky: &Sky| {
        let c = sky.world.counters();
        [c.enters, c.leaves, c.cues_queued, c.skipped]
    };
    (sky.meter, sky.metered) = (|| COUNT.get(), Vec::new());
    let before = counted(sky);
    swing(sky, TICKS, step, cues);
    assert_eq!(sky.metered, [0; TICKS as usize], "allocations by tick");
    let after = counted(sky);
    [0, 1, 2, 3].map(|i| after[i] - before[i])
}

#[test]
fn a_game_in_the_steady_state_allocates_nothing() {
    let mut sky = players(metric(), 1., true);
    let [enters, leaves, cues, _] = metered(&mut sky, 1., true);
    assert!(enters > 500 && leaves > 500 && cues > 1_000, "{enters} {leaves} {cues}");
}

#[test]
fn a_fleet_in_the_steady_state_allocates_nothing() {
    let metre = 9e-6;
    let mut sky = players(geodetic(), metre, false);
    let [enters, leaves, ..] = metered(&mut sky, metre, false);
    assert!(enters > 500 && leaves > 500, "{enters} {leaves}");
}

#[test]
fn links_that_cannot_carry_all_allocate_nothing() {
    let mut sky = players(metric(), 1., false);
    let narrow = |sky: &mut Sky, bytes| {
        sky.allowances = sky.clients.iter().map(|client| (client.conn, bytes)).collect();
    };
    // Until each of them has met a datagram that could not carry all.
    narrow(&mut sky, 64);
    swing(&mut sky, 4 * TICKS, 1., false);
    narrow(&mut sky, 72);
    swing(&mut sky, TICKS, 1., false);
    let [enters, _, _, skipped] = metered(&mut sky, 1., false);
    assert!(enters > 500 && skipped > 1_000, "{enters} {skipped}");
}

#[test]
fn to_step_when_nothing_came_allocates_nothing() {
    let mut sky = players(metric(), 1., false);
    let (mut commands, mut out) = (Vec::new(), Output::default());
    let before = COUNT.get();
    sky.world.step(1, &mut commands, &mut out);
    assert_eq!(COUNT.get(), before);
}
