//! Fixes of a fleet, and the symbols that tell them.

use super::tally::{Tally, count_turn, turned};
use starling_client_sim::motion::Motion;
use starling_protocol::motion::{ALTITUDE_UNIT, FixState, LATITUDE_UNIT, longitude_unit, snap_fix};
use starling_protocol::space::{Space, wrap_longitude};
use starling_protocol::units::Tick;

const FLEET_HZ: u16 = 2;
const FLEET_TICKS: u32 = 2_400;

pub(super) fn fleet(players: impl Iterator<Item = Box<dyn Motion>>) -> Tally {
    let mut tally = Tally::default();
    for mut player in players {
        let (mut newest, mut last_at_s) = (None::<FixState>, f64::NEG_INFINITY);
        for tick in 0..FLEET_TICKS {
            let pose = player.pose(f64::from(tick) / f64::from(FLEET_HZ));
            let fresh = pose.filter(|pose| pose.at_s > last_at_s);
            let Some(pose) = fresh else { continue };
            let Ok(at) = Space::Geodetic.snap(pose.position) else { continue };
            last_at_s = pose.at_s;
            let (at, orientation) = (snap_fix(Space::Geodetic, at), turned(pose.facing));
            let now = Tick(tick);
            newest = Some(match newest {
                None => FixState::first(now, at, orientation),
                Some(last) => {
                    let next = last.then(now, at, orientation);
                    count_fix(&mut tally, &last, &next);
                    next
                }
            });
        }
    }
    tally
}

fn count_fix(tally: &mut Tally, last: &FixState, now: &FixState) {
    let expected = last.predict(Space::Geodetic, now.tick).0;
    let nearest = |d: i32, unit: i32| (d + unit / 2).div_euclid(unit);
    let around = wrap_longitude(i64::from(now.pos.0[1]) - i64::from(expected[1]));
    let moved = [
        nearest(now.pos.0[0] - expected[0], LATITUDE_UNIT),
        nearest(around, longitude_unit(now.pos.0[0])),
        nearest(now.pos.0[2] - expected[2], ALTITUDE_UNIT),
    ];
    let turned = now.orientation != last.orientation;
    let axes: usize = (0..3).map(|axis| usize::from(moved[axis] != 0) << axis).sum();
    tally.count("FIX_HEAD", 0, axes | usize::from(turned) << 3, 1.0);
    for axis in (0..3).filter(|axis| moved[*axis] != 0) {
        let table = if axis < 2 { "FIX_PLANE" } else { "FIX_ALTITUDE" };
        tally.residual(table, 0, moved[axis], 1.0);
    }
    if turned {
        let tables = ["FIX_HEADING", "FIX_LOOK", "FIX_QUATERNION"];
        count_turn(tally, tables, 0, last.orientation, now.orientation, 1.0);
    }
}
