//! A frame in the steady state allocates nothing: hearing, drawing, looking, answering.

mod support;

use allocation_counter::measure;
use starling_client::{Pose, SpawnSpec};
use starling_protocol::message::control::ControlDown;
use starling_protocol::snapshot::{Clock, Fold};
use starling_protocol::units::Handle;
use support::{Bench, Snapshot, entity, knot, ms, welcome};

const ENTITIES: u8 = 60;
const TICKS: u32 = 200;
const FRAMES_PER_TICK: u64 = 3;

/// Datagrams of a world in which everything moves, one each tick, made in advance.
fn datagrams(bench: &Bench) -> Vec<Vec<u8>> {
    let one = |tick: u32| {
        let state = |slot: u8| knot(tick, f64::from(slot) + f64::from(tick) * 0.3, 6.0);
        let enters = (0..ENTITIES).filter(|_| tick == 100);
        let moves = (0..ENTITIES).filter(|slot| tick > 100 && u32::from(*slot) % 2 == tick % 2);
        let newest = (tick - 100) as u16;
        let applied = Some(newest * FRAMES_PER_TICK as u16);
        let fold = Fold { newest, received: u32::MAX, steps: [1; 15], applied };
        let clock = tick.is_multiple_of(16).then_some(Clock { echo: newest, hold: 16, late: 4 });
        let snapshot = Snapshot {
            fold: Some(fold),
            clock,
            enters: enters.map(|slot| (slot, entity(slot.into()), "n", state(slot))).collect(),
            states: moves.map(|slot| (slot, state(slot))).collect(),
            ..Snapshot::at(tick)
        };
        snapshot.encode(&bench.welcome, tick)
    };
    (100..100 + TICKS).map(one).collect()
}

#[test]
fn a_frame_in_the_steady_state_allocates_nothing() {
    let mut bench = Bench::live(welcome());
    let key = bench.session.spawn(SpawnSpec::at(Pose::default())).expect("room");
    let (handle, name) = (Handle(0), "me".to_owned());
    bench.say(ms(0), &ControlDown::Spawned { request: 0, handle, entity: entity(900), name });
    bench.events();
    let datagrams = datagrams(&bench);
    let session = &mut bench.session;
    let mut uplink = Vec::with_capacity(2_000);
    let (mut sum, mut uplinks, mut frames) = (0.0, 0, 0);
    let mut steady = 0;
    for (n, datagram) in datagrams.iter().enumerate() {
        let spent = measure(|| {
            let tick_at = ms(n as u64 * 50 + 2);
            assert!(session.handle_datagram(tick_at, datagram));
            for frame in 0..FRAMES_PER_TICK {
                let now = tick_at + frame * 16_000_000;
                session.set_pose(key, Pose::at([n as f64, frame as f64, 0.0])).expect("in range");
                session.send_input(&[n as u8]).expect("room");
                session.advance(now);
                while session.poll_datagram(now, &mut uplink) {
                    uplinks += 1;
                }
                sum += session.view().iter().map(|seen| seen.pose().position[0]).sum::<f64>();
                sum += session.view().updated().count() as f64;
                session.view_mut().clear_changes();
                assert_eq!(session.poll_event(), None);
                let _due = session.next_timeout(now);
                frames += 1;
            }
            assert_eq!(session.stats().decode_errors, 0);
        });
        steady += if n >= 40 { spent.count_total } else { 0 };
    }
    assert_eq!(steady, 0, "allocations in {} frames of the steady state", frames - 120);
    assert!(sum > 0.0 && uplinks >= TICKS - 1, "{uplinks} uplinks");
    assert_eq!(session.view().iter().count(), usize::from(ENTITIES));
}
