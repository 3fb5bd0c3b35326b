//! A tick in the steady state hardly allocates: the R-tree's own nodes when it is rebuilt, and one
//! list of the parts of the work.

mod view_stage;

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

/// Players that swing to and fro, so that some come and go all the time.
fn swing(sky: &mut Sky, count: usize, ticks: u32) {
    for _ in 0..ticks {
        let now = f64::from(sky.world.now().0);
        for i in 0..count {
            let phase = (now / 20. + i as f64 * 0.37) % 8.;
            let x = if phase < 4. { phase } else { 8. - phase } * 15.;
            sky.place(i, [x, i as f64 * 2., 0.]);
        }
        sky.tick();
    }
}

#[test]
fn a_tick_in_the_steady_state_allocates_for_the_index_only() {
    const PLAYERS: usize = 60;
    let mut sky = Sky::new(metric(), 3);
    for i in 0..PLAYERS {
        let client = sky.player([0., i as f64 * 2., 0.], 40.);
        sky.clients[client].weather = Weather { loss: 0.05, delay: 1, ..Weather::default() };
    }
    swing(&mut sky, PLAYERS, 400);
    (sky.meter, sky.metered) = (|| COUNT.get(), Vec::new());
    let before = sky.world.counters().clone();
    swing(&mut sky, PLAYERS, 160);
    let after = sky.world.counters();
    assert!(after.enters > before.enters + 500 && after.leaves > before.leaves + 500);
    let (quiet, rebuilds): (Vec<usize>, Vec<usize>) = sky.metered.iter().partition(|n| **n <= 2);
    assert!(quiet.len() >= 139, "{:?}", sky.metered);
    assert!(rebuilds.iter().all(|n| *n <= 20), "{rebuilds:?}");
}
