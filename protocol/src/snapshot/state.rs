//! An entity's state said in full, without a baseline.
//!
//! ```text
//! knot   gamma(j + 1), j = ticks since the knot; three signed positions in 1/64 m;
//!        velocity: '0', or '1', three signed values and gamma(run + 1); orientation
//! fix    gamma(j + 1), j = ticks since the fix; three signed grid indices;
//!        fix before: '0', or '1', three signed residuals against this fix, gamma of ticks between;
//!        orientation
//! orientation   heading 8 bits; look yaw 12, pitch 11; quaternion 32, and of a knot its spin: '0' none,
//!        or '1' and three signed values
//! ```

use super::SnapshotError;
use crate::bits::{BitReader, BitWriter};
use crate::motion::{FixState, Knot, TrackKind, add_residual, from_index, index, residual};
use crate::planted::{self, Bug};
use crate::sample::Orientation;
use crate::schema::OrientationKind;
use crate::space::{IPos, Space};
use crate::units::Tick;

/// What a client holds of an entity from some tick on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In worlds of [`TrackKind::Knots`].
    Knot(Knot),
    /// In worlds of [`TrackKind::Fixes`].
    Fix(FixState),
}

impl State {
    /// The tick of the knot or of the fix.
    #[must_use]
    pub const fn tick(&self) -> Tick {
        match self {
            Self::Knot(knot) => knot.tick,
            Self::Fix(fix) => fix.tick,
        }
    }

    /// Where the entity is at `tick` by the word of the server: on the track of a game, at the
    /// newest fix of a fleet.
    #[must_use]
    pub fn position(&self, tick: Tick) -> IPos {
        match self {
            Self::Knot(knot) => knot.predict(tick),
            Self::Fix(fix) => fix.pos,
        }
    }

    /// Do both say the same of every later tick? So it is with knots that stand still in the same
    /// place, whenever they were set.
    pub(super) fn stands_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Knot(a), Self::Knot(b)) => {
                let still = a.rests() && b.rests();
                still && a.pos == b.pos && a.orientation == b.orientation
            }
            _ => false,
        }
    }

    /// How the entity is turned at `tick`, as [`State::position`] says where it is.
    #[must_use]
    pub fn orientation(&self, tick: Tick) -> Orientation {
        match self {
            Self::Knot(knot) => knot.faces(tick),
            Self::Fix(fix) => fix.orientation,
        }
    }
}

/// Appends the state of an entity in full.
///
/// A knot that stands still is told as if it were set in `tick`: the same state, fewer bits.
///
/// # Panics
/// When the state is newer than `tick`: our own bug.
pub(super) fn write_state(bits: &mut BitWriter<'_>, space: Space, tick: Tick, state: &State) {
    let lag = tick.since(state.tick()).expect("a state is told in its tick or later");
    match state {
        State::Knot(knot) => write_knot(bits, lag, knot),
        State::Fix(fix) => write_fix(bits, space, lag, fix),
    }
    write_orientation(bits, state.orientation(state.tick()));
    if let State::Knot(Knot { orientation: Orientation::Quaternion(_), spin, .. }) = state {
        bits.flag(*spin != [0; 3]);
        if *spin != [0; 3] {
            spin.iter().for_each(|v| bits.signed(i32::from(*v)));
        }
    }
}

fn write_knot(bits: &mut BitWriter<'_>, lag: u32, knot: &Knot) {
    let moves = !knot.rests();
    bits.gamma(if moves { u64::from(lag) + 1 } else { 1 });
    index(Space::Metric, IPos(knot.pos)).iter().for_each(|v| bits.signed(*v));
    bits.flag(moves);
    if moves {
        knot.vel.iter().for_each(|v| bits.signed(i32::from(*v)));
        bits.gamma(u64::from(knot.run) + 1);
    }
}

fn write_fix(bits: &mut BitWriter<'_>, space: Space, lag: u32, fix: &FixState) {
    bits.gamma(u64::from(lag) + 1);
    index(space, fix.pos).iter().for_each(|v| bits.signed(*v));
    let apart = fix.tick.0.saturating_sub(fix.prev_tick.0);
    bits.flag(apart > 0);
    if apart > 0 {
        residual(space, fix.pos, fix.prev_pos).iter().for_each(|v| bits.signed(*v));
        bits.gamma(u64::from(apart));
    }
}

fn write_orientation(bits: &mut BitWriter<'_>, orientation: Orientation) {
    match orientation {
        Orientation::None => {}
        Orientation::Heading(heading) => bits.put(u64::from(heading), 8),
        Orientation::Look { yaw, pitch } => {
            bits.put(u64::from(yaw), 12);
            bits.put(u64::from(pitch), 11);
        }
        Orientation::Quaternion(packed) => bits.put(u64::from(packed), 32),
    }
}

/// Reads what [`write_state`] made.
pub(super) fn read_state(
    bits: &mut BitReader<'_>,
    track: TrackKind,
    space: Space,
    kind: OrientationKind,
    tick: Tick,
) -> Result<State, SnapshotError> {
    let lag = bits.gamma()? - 1;
    let then = u64::from(tick.0).checked_sub(lag);
    let then = Tick(then.ok_or(SnapshotError::Malformed("a state before time"))? as u32);
    match track {
        TrackKind::Knots => Ok(State::Knot(read_knot(bits, kind, then)?)),
        TrackKind::Fixes => Ok(State::Fix(read_fix(bits, space, kind, then)?)),
    }
}

fn read_knot(
    bits: &mut BitReader<'_>,
    kind: OrientationKind,
    tick: Tick,
) -> Result<Knot, SnapshotError> {
    let pos = read_position(bits, Space::Metric)?.0;
    let (mut vel, mut run) = ([0; 3], 0);
    if bits.flag()? {
        vel = read_velocity(bits)?;
        run = bits.gamma()? - 1;
        if run > u64::from(tick.0) {
            return Err(SnapshotError::Malformed("a line before time"));
        }
    }
    let orientation = read_orientation(bits, kind)?;
    let spins = kind == OrientationKind::Quaternion && bits.flag()?;
    let spin = if spins { read_velocity(bits)? } else { [0; 3] };
    Ok(Knot { tick, run: run as u32, pos, vel, orientation, spin })
}

fn read_velocity(bits: &mut BitReader<'_>) -> Result<[i16; 3], SnapshotError> {
    let mut vel = [0; 3];
    for axis in &mut vel {
        *axis = i16::try_from(bits.signed()?)
            .map_err(|_| SnapshotError::Malformed("a velocity out of range"))?;
    }
    Ok(vel)
}

fn read_fix(
    bits: &mut BitReader<'_>,
    space: Space,
    kind: OrientationKind,
    tick: Tick,
) -> Result<FixState, SnapshotError> {
    let pos = read_position(bits, space)?;
    let (mut prev_tick, mut prev_pos) = (tick, pos);
    if bits.flag()? {
        let back = [bits.signed()?, bits.signed()?, bits.signed()?];
        prev_pos = add_residual(space, pos, back).ok_or(OUT_OF_RANGE)?;
        let before = u64::from(tick.0).checked_sub(bits.gamma()?);
        prev_tick = Tick(before.ok_or(SnapshotError::Malformed("a fix before time"))? as u32);
    }
    Ok(FixState { tick, pos, prev_tick, prev_pos, orientation: read_orientation(bits, kind)? })
}

const OUT_OF_RANGE: SnapshotError = SnapshotError::Malformed("a position out of range");

fn read_position(bits: &mut BitReader<'_>, space: Space) -> Result<IPos, SnapshotError> {
    let off = if planted::is(Bug::PlaceOff) { 62 } else { 0 };
    let index = [bits.signed()? + off, bits.signed()?, bits.signed()?];
    from_index(space, index).ok_or(OUT_OF_RANGE)
}

fn read_orientation(
    bits: &mut BitReader<'_>,
    kind: OrientationKind,
) -> Result<Orientation, SnapshotError> {
    Ok(match kind {
        OrientationKind::None => Orientation::None,
        OrientationKind::Heading => Orientation::Heading(bits.take(8)? as u8),
        OrientationKind::Look => {
            Orientation::Look { yaw: bits.take(12)? as u16, pitch: bits.take(11)? as u16 }
        }
        OrientationKind::Quaternion => Orientation::Quaternion(bits.take(32)? as u32),
    })
}
