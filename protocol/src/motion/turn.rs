//! When a change of orientation is small enough not to be told.

use crate::sample::Orientation;

/// Steps of 1/256 turn that a heading may be off.
pub const HEADING_BAND: u8 = 1;
/// Steps of yaw or pitch that a look may be off.
pub const LOOK_BAND: u16 = 2;
/// Steps that each sent component of a quaternion may be off.
pub const QUATERNION_BAND: u32 = 3;

/// May a viewer keep `told` while the truth is `accepted`?
#[must_use]
pub fn orientation_holds(told: Orientation, accepted: Orientation) -> bool {
    match (told, accepted) {
        (Orientation::None, Orientation::None) => true,
        (Orientation::Heading(a), Orientation::Heading(b)) => {
            a.wrapping_sub(b).min(b.wrapping_sub(a)) <= HEADING_BAND
        }
        (Orientation::Look { yaw, pitch }, Orientation::Look { yaw: y, pitch: p }) => {
            let round = yaw.wrapping_sub(y) & 0xfff;
            round.min((0x1000 - round) & 0xfff) <= LOOK_BAND && pitch.abs_diff(p) <= LOOK_BAND
        }
        (Orientation::Quaternion(a), Orientation::Quaternion(b)) => {
            let near = |shift: u32| (a >> shift & 0x3ff).abs_diff(b >> shift & 0x3ff);
            a >> 30 == b >> 30 && [0, 10, 20].iter().all(|s| near(*s) <= QUATERNION_BAND)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_within_the_band_holds_and_one_beyond_does_not() {
        let heading = Orientation::Heading;
        assert!(orientation_holds(heading(0), heading(255)));
        assert!(!orientation_holds(heading(1), heading(255)));
        let look = |yaw, pitch| Orientation::Look { yaw, pitch };
        assert!(orientation_holds(look(4095, 1024), look(1, 1022)));
        assert!(!orientation_holds(look(4095, 1024), look(2, 1024)));
        let quaternion = |a: u32, b: u32, c: u32| Orientation::Quaternion(a << 20 | b << 10 | c);
        assert!(orientation_holds(quaternion(5, 5, 5), quaternion(8, 2, 5)));
        assert!(!orientation_holds(quaternion(5, 5, 5), quaternion(5, 5, 9)));
        assert!(!orientation_holds(heading(0), Orientation::None));
    }
}
