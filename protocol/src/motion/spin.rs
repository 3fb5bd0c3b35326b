//! How something goes on turning: a rotation per tick, in integers.
//!
//! Quaternions are in fixed point with 30 bits. A spin is the vector part of the rotation of one
//! tick about the axes of the world, in units of 1/65,536.

use crate::sample::Orientation;

/// A quaternion x, y, z, w in units of 2^-30.
type Fixed = [i64; 4];

const ONE: i64 = 1 << 30;
/// What one step of a sent component is worth: 2^30 / (511 sqrt 2).
const STEP: i64 = 1_485_815;
/// A spin's unit.
const SPIN: i64 = ONE >> 16;
/// Nothing is said to spin on for longer.
const TICKS_MAX: u32 = 255;
const SHIFTS: [u32; 3] = [20, 10, 0];

/// What an orientation becomes after so many ticks of a spin. Only quaternions spin.
#[inline]
#[must_use]
pub fn spun(orientation: Orientation, spin: [i16; 3], ticks: u32) -> Orientation {
    match orientation {
        Orientation::Quaternion(packed) if spin != [0; 3] && ticks > 0 => {
            Orientation::Quaternion(turned(packed, spin, ticks))
        }
        other => other,
    }
}

/// By itself, so that whoever asks for what does not spin has no more than the question.
#[inline(never)]
fn turned(packed: u32, spin: [i16; 3], ticks: u32) -> u32 {
    let turn = power(one_tick(spin), ticks.min(TICKS_MAX));
    pack(product(turn, unpack(packed)))
}

/// The spin that leads from one orientation to another in so many ticks; none unless both are
/// quaternions.
#[must_use]
pub fn spin_between(from: Orientation, to: Orientation, ticks: u32) -> [i16; 3] {
    let (Orientation::Quaternion(a), Orientation::Quaternion(b)) = (from, to) else {
        return [0; 3];
    };
    let [x, y, z, w] = unpack(a);
    let [dx, dy, dz, dw] = product(unpack(b), [-x, -y, -z, w]);
    let sign = if dw < 0 { -1 } else { 1 };
    let unit = SPIN * i64::from(ticks.max(1));
    [dx, dy, dz].map(|axis| {
        let spin = (2 * sign * axis + unit).div_euclid(2 * unit);
        spin.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
    })
}

/// The rotation of one tick. Three components of at most half a unit leave something for the last.
fn one_tick(spin: [i16; 3]) -> Fixed {
    let [x, y, z] = spin.map(|axis| i64::from(axis) * SPIN);
    [x, y, z, rest(x * x + y * y + z * z)]
}

fn power(mut base: Fixed, mut times: u32) -> Fixed {
    let mut all = [0, 0, 0, ONE];
    while times > 0 {
        if times & 1 == 1 {
            all = product(base, all);
        }
        base = product(base, base);
        times >>= 1;
    }
    all
}

/// First `b`, then `a`; each component rounded down.
fn product(a: Fixed, b: Fixed) -> Fixed {
    let ([ax, ay, az, aw], [bx, by, bz, bw]) = (a, b);
    let whole = [
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    ];
    whole.map(|component| component >> 30)
}

/// The component that is missing to length one.
fn rest(squares: i64) -> i64 {
    (ONE * ONE - squares).max(0).isqrt()
}

fn unpack(packed: u32) -> Fixed {
    let largest = (packed >> 30) as usize;
    let mut all = [0; 4];
    let mut squares = 0;
    let others = (0..4).filter(|at| *at != largest);
    for (at, shift) in others.zip(SHIFTS) {
        all[at] = (i64::from(packed >> shift & 0x3ff) - 512) * STEP;
        squares += all[at] * all[at];
    }
    all[largest] = rest(squares);
    all
}

fn pack(all: Fixed) -> u32 {
    let mut largest = 0;
    for (at, component) in all.iter().enumerate() {
        if component.abs() > all[largest].abs() {
            largest = at;
        }
    }
    let sign = if all[largest] < 0 { -1 } else { 1 };
    let others = all.iter().enumerate().filter(|(at, _)| *at != largest);
    others.fold(largest as u32, |packed, (_, component)| {
        let steps = (2 * sign * component + STEP).div_euclid(2 * STEP);
        packed << 10 | (steps + 512).clamp(1, 1023) as u32
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_spin_leads_to_where_it_was_taken_from(
            rotation in prop::array::uniform4(-1.0f32..1.0), spin in prop::array::uniform3(-3_000i16..3_000),
        ) {
            let from = Orientation::from_quaternion(rotation);
            let to = spun(from, spin, 1);
            let found = spin_between(from, to, 1);
            prop_assert!((0..3).all(|axis| (found[axis] - spin[axis]).abs() < 200), "{found:?}");
            let [a, b] = [spun(from, found, 1), to].map(|q| q.to_quaternion().expect("a quaternion"));
            let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            prop_assert!(dot.abs() > 0.99999, "{dot}");
        }

        #[test]
        fn many_ticks_are_as_good_as_one_after_another(
            rotation in prop::array::uniform4(-1.0f32..1.0), spin in prop::array::uniform3(-3_000i16..3_000),
            ticks in 1u32..40,
        ) {
            let from = Orientation::from_quaternion(rotation).to_quaternion().expect("a quaternion");
            let turn = |q: [f64; 4]| {
                let [x, y, z] = spin.map(|axis| f64::from(axis) / 65_536.0);
                let w = (1.0 - x * x - y * y - z * z).sqrt();
                let [bx, by, bz, bw] = q;
                [w * bx + x * bw + y * bz - z * by, w * by - x * bz + y * bw + z * bx,
                 w * bz + x * by - y * bx + z * bw, w * bw - x * bx - y * by - z * bz]
            };
            let end = (0..ticks).fold(from.map(f64::from), |q, _| turn(q));
            let told = spun(Orientation::from_quaternion(from), spin, ticks);
            let told = told.to_quaternion().expect("a quaternion");
            let dot: f64 = (0..4).map(|at| f64::from(told[at]) * end[at]).sum();
            prop_assert!(dot.abs() > 0.99999, "{dot}");
        }

        #[test]
        fn any_bits_spin(packed: u32, spin: [i16; 3], ticks: u32) {
            let Orientation::Quaternion(end) = spun(Orientation::Quaternion(packed), spin, ticks)
            else { return Err(TestCaseError::fail("no quaternion")) };
            let _ = spin_between(Orientation::Quaternion(packed), Orientation::Quaternion(end), ticks);
        }
    }

    /// Worked out apart from this code, by the text of `docs/protocol.md`.
    #[test]
    fn a_spin_is_the_same_to_the_bit_everywhere() {
        let turned = |packed, spin, ticks| spun(Orientation::Quaternion(packed), spin, ticks);
        let quaternion = Orientation::Quaternion;
        assert_eq!(turned(0xe008_0200, [1_000, -2_000, 3_000], 17), quaternion(0xa9f3_0798));
        assert_eq!(turned(0x5a3c_1234, [i16::MIN, i16::MAX, -1], 3), quaternion(0x956c_efa0));
        assert_eq!(turned(0xffff_ffff, [7, 0, -9], 400), quaternion(0x3dff_fe04));
    }

    #[test]
    fn what_does_not_spin_stays_to_the_bit() {
        let packed = Orientation::Quaternion(0xdead_beef);
        assert_eq!(spun(packed, [0; 3], 9), packed);
        assert_eq!(spun(packed, [5; 3], 0), packed);
        assert_eq!(spun(Orientation::Heading(3), [5; 3], 9), Orientation::Heading(3));
    }
}
