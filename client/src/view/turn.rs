//! Turning smoothly from one facing to another.

use crate::pose::Facing;

/// The facing `part` of the way from `a` to `b`, the shorter way round. `b` where they are of
/// different kinds.
pub(super) fn between(a: Facing, b: Facing, part: f32) -> Facing {
    match (a, b) {
        (Facing::Heading(a), Facing::Heading(b)) => Facing::Heading(arc(a, b, part)),
        (Facing::Look { yaw: ya, pitch: pa }, Facing::Look { yaw: yb, pitch: pb }) => {
            Facing::Look { yaw: arc(ya, yb, part), pitch: pa + (pb - pa) * part }
        }
        (Facing::Quaternion(a), Facing::Quaternion(b)) => Facing::Quaternion(slerp(a, b, part)),
        _ => b,
    }
}

/// What has to be added to `to` so that `from` is seen.
pub(super) fn difference(from: Facing, to: Facing) -> Facing {
    match (from, to) {
        (Facing::Heading(f), Facing::Heading(t)) => Facing::Heading(shortest(f - t)),
        (Facing::Look { yaw: fy, pitch: fp }, Facing::Look { yaw: ty, pitch: tp }) => {
            Facing::Look { yaw: shortest(fy - ty), pitch: fp - tp }
        }
        (Facing::Quaternion(f), Facing::Quaternion(t)) => {
            Facing::Quaternion(product(f, conjugate(t)))
        }
        _ => Facing::None,
    }
}

/// `facing` with `part` of a [`difference`] added.
pub(super) fn plus(facing: Facing, difference: Facing, part: f32) -> Facing {
    match (facing, difference) {
        (Facing::Heading(h), Facing::Heading(d)) => Facing::Heading(fold(h + d * part)),
        (Facing::Look { yaw, pitch }, Facing::Look { yaw: dy, pitch: dp }) => {
            Facing::Look { yaw: fold(yaw + dy * part), pitch: pitch + dp * part }
        }
        (Facing::Quaternion(q), Facing::Quaternion(d)) => {
            Facing::Quaternion(product(slerp([0.0, 0.0, 0.0, 1.0], d, part), q))
        }
        _ => facing,
    }
}

fn arc(a: f32, b: f32, part: f32) -> f32 {
    fold(a + shortest(b - a) * part)
}

/// Degrees in [-180, 180).
fn shortest(degrees: f32) -> f32 {
    (degrees + 180.0).rem_euclid(360.0) - 180.0
}

/// Degrees in [0, 360).
fn fold(degrees: f32) -> f32 {
    let folded = degrees.rem_euclid(360.0);
    if folded >= 360.0 { 0.0 } else { folded }
}

const fn conjugate([x, y, z, w]: [f32; 4]) -> [f32; 4] {
    [-x, -y, -z, w]
}

/// First `b`, then `a`.
fn product(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
    let ([ax, ay, az, aw], [bx, by, bz, bw]) = (a, b);
    [
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    ]
}

/// Shoemake's spherical interpolation (SIGGRAPH 1985); a straight line where the two are close.
fn slerp(a: [f32; 4], b: [f32; 4], part: f32) -> [f32; 4] {
    let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    let sign = if dot < 0.0 { -1.0 } else { 1.0 };
    let angle = (dot * sign).min(1.0).acos();
    let (wa, wb) = if angle < 1e-3 {
        (1.0 - part, part)
    } else {
        (((1.0 - part) * angle).sin() / angle.sin(), (part * angle).sin() / angle.sin())
    };
    let mut q = [0.0; 4];
    for i in 0..4 {
        q[i] = wa * a[i] + wb * sign * b[i];
    }
    let length = q.iter().map(|c| c * c).sum::<f32>().sqrt();
    if length > 0.0 { q.map(|c| c / length) } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::FRAC_1_SQRT_2 as R;

    fn near(a: Facing, b: Facing) -> bool {
        match difference(a, b) {
            Facing::Heading(d) => d.abs() < 1e-3,
            Facing::Look { yaw, pitch } => yaw.abs() < 1e-3 && pitch.abs() < 1e-3,
            Facing::Quaternion(q) => q[3].abs() > 0.999_999,
            Facing::None => false,
        }
    }

    #[test]
    fn the_shorter_way_round_is_taken() {
        let half = between(Facing::Heading(350.0), Facing::Heading(20.0), 0.5);
        assert!(near(half, Facing::Heading(5.0)), "{half:?}");
        let (a, b) =
            (Facing::Look { yaw: 10.0, pitch: -10.0 }, Facing::Look { yaw: 350.0, pitch: 30.0 });
        assert!(near(between(a, b, 0.5), Facing::Look { yaw: 0.0, pitch: 10.0 }));
    }

    #[test]
    fn half_of_a_quarter_turn_is_an_eighth() {
        let (still, quarter) = ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, R, R]);
        let eighth = [0.0, 0.0, (45f32.to_radians() / 2.0).sin(), (45f32.to_radians() / 2.0).cos()];
        let half = between(Facing::Quaternion(still), Facing::Quaternion(quarter), 0.5);
        assert!(near(half, Facing::Quaternion(eighth)), "{half:?}");
        let negative = quarter.map(|c| -c);
        let half = between(Facing::Quaternion(still), Facing::Quaternion(negative), 0.5);
        assert!(near(half, Facing::Quaternion(eighth)), "a rotation has two names");
    }

    #[test]
    fn a_difference_leads_from_one_to_the_other() {
        let pairs = [
            (Facing::Heading(350.0), Facing::Heading(20.0)),
            (Facing::Look { yaw: 1.0, pitch: 5.0 }, Facing::Look { yaw: 359.0, pitch: -5.0 }),
            (Facing::Quaternion([R, 0.0, 0.0, R]), Facing::Quaternion([0.0, R, 0.0, R])),
        ];
        for (a, b) in pairs {
            assert!(near(plus(b, difference(a, b), 1.0), a), "{a:?} {b:?}");
            assert!(near(plus(b, difference(a, b), 0.0), b), "{a:?} {b:?}");
        }
    }
}
