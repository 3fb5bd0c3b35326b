//! Changes of orientation inside a code.

use super::SnapshotError;
use super::code::CodeBuilder;
use crate::sample::Orientation;
use crate::schema::OrientationKind;
use crate::tables::{Prefix, Word};

const SHIFTS: [u32; 3] = [20, 10, 0];

/// Appends the way from one orientation to another of the same kind.
pub(super) fn turn(
    code: &mut CodeBuilder,
    prefix: &Prefix,
    kind: OrientationKind,
    from: Orientation,
    to: Orientation,
) -> Option<()> {
    match (kind, from, to) {
        (OrientationKind::Heading, Orientation::Heading(a), Orientation::Heading(b)) => {
            code.residual(prefix, i32::from(b.wrapping_sub(a) as i8))
        }
        (
            OrientationKind::Look,
            Orientation::Look { yaw: a, pitch: p },
            Orientation::Look { yaw: b, pitch: q },
        ) => {
            code.residual(prefix, short_way(a, b))?;
            code.residual(prefix, i32::from(q) - i32::from(p))
        }
        (OrientationKind::Quaternion, Orientation::Quaternion(a), Orientation::Quaternion(b)) => {
            quaternion(code, prefix, a, b)
        }
        _ => None,
    }
}

fn quaternion(code: &mut CodeBuilder, prefix: &Prefix, a: u32, b: u32) -> Option<()> {
    if a >> 30 != b >> 30 {
        return code.raw(u64::from(b) << 1, 33);
    }
    code.raw(1, 1)?;
    for shift in SHIFTS {
        code.residual(prefix, component(b, shift) - component(a, shift))?;
    }
    Some(())
}

/// Reads what [`turn`] made.
pub(super) fn read_turn(
    word: &mut Word,
    prefix: &Prefix,
    kind: OrientationKind,
    from: Orientation,
) -> Result<Orientation, SnapshotError> {
    match (kind, from) {
        (OrientationKind::Heading, Orientation::Heading(a)) => {
            let way = prefix.read_residual(word)?;
            Ok(Orientation::Heading(a.wrapping_add(way as u8)))
        }
        (OrientationKind::Look, Orientation::Look { yaw, pitch }) => {
            let yaw = i32::from(yaw).wrapping_add(prefix.read_residual(word)?) as u16 & 0xfff;
            let pitch = within(i32::from(pitch), prefix.read_residual(word)?, 0x7ff)? as u16;
            Ok(Orientation::Look { yaw, pitch })
        }
        (OrientationKind::Quaternion, Orientation::Quaternion(a)) => {
            read_quaternion(word, prefix, a)
        }
        _ => Err(SnapshotError::Malformed("a turn of what has no orientation")),
    }
}

fn read_quaternion(
    word: &mut Word,
    prefix: &Prefix,
    from: u32,
) -> Result<Orientation, SnapshotError> {
    if word.take(1)? == 0 {
        return Ok(Orientation::Quaternion(word.take(32)? as u32));
    }
    let mut packed = from & 3 << 30;
    for shift in SHIFTS {
        let now = within(component(from, shift), prefix.read_residual(word)?, 0x3ff)?;
        packed |= (now as u32) << shift;
    }
    Ok(Orientation::Quaternion(packed))
}

fn component(packed: u32, shift: u32) -> i32 {
    (packed >> shift & 0x3ff) as i32
}

/// From one yaw to another by the shorter way, in 1/4096 turn.
fn short_way(from: u16, to: u16) -> i32 {
    let round = i32::from(to.wrapping_sub(from) & 0xfff);
    if round < 0x800 { round } else { round - 0x1000 }
}

fn within(value: i32, change: i32, max: i32) -> Result<i32, SnapshotError> {
    let now = value.wrapping_add(change);
    if (0..=max).contains(&now) {
        Ok(now)
    } else {
        Err(SnapshotError::Malformed("an angle out of range"))
    }
}
