//! What a client that moves nothing is told of its own datagrams: by that it knows a path that
//! died.

mod view_stage;

use view_stage::*;

/// A viewer in a world where nothing moves, and that has been quiet for long.
fn quiet() -> (Sky, usize) {
    let mut sky = Sky::new(metric(), 1);
    let viewer = sky.client();
    sky.look(viewer, 0, around(50.));
    sky.run(40);
    sky.clients[viewer].mute = true;
    sky.run(40);
    (sky, viewer)
}

/// In which of so many ticks the viewer was sent something, counted from one.
fn answered(sky: &mut Sky, viewer: usize, ticks: u32) -> Vec<u32> {
    let mut answered = Vec::new();
    for tick in 1..=ticks {
        sky.tick();
        if !sky.clients[viewer].sizes.is_empty() {
            answered.push(tick);
        }
    }
    answered
}

#[test]
fn a_probe_is_answered_in_its_own_tick() {
    let (mut sky, viewer) = quiet();
    (sky.clients[viewer].mute, sky.clients[viewer].probes) = (false, true);
    assert_eq!(answered(&mut sky, viewer, 1), [1]);
    let (tick, fold) = *sky.clients[viewer].folds.last().expect("it is told what became of it");
    assert_eq!((tick, fold.newest_at(0)), (sky.world.now(), Some(fold.newest)));
}

#[test]
fn probes_without_end_are_answered_every_five_ticks() {
    let (mut sky, viewer) = quiet();
    (sky.clients[viewer].mute, sky.clients[viewer].probes) = (false, true);
    assert_eq!(answered(&mut sky, viewer, 16), [1, 6, 11, 16]);
}

#[test]
fn acknowledgements_are_echoed_every_sixteen_ticks() {
    let (mut sky, viewer) = quiet();
    sky.clients[viewer].mute = false;
    let answered = answered(&mut sky, viewer, 50);
    assert_eq!(answered, [1, 17, 33, 49]);
}
