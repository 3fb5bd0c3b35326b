//! The path of one recorded entity, and its replay.

use crate::motion::{Facing, Motion, Pose};
use crate::space::{Position, Space, wrap_degrees};
use std::sync::Arc;

/// Two fixes this close in time and place are one movement, which is interpolated.
const DENSE_S: f64 = 0.150;
const DENSE_M: f64 = 5.0;
/// An entity stays this long after its last fix if its fixes do not tell.
const LINGER_S: f64 = 1.0;

/// One fix, in seconds from the start of the replay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fix {
    /// Seconds of trace time.
    pub(super) t_s: f64,
    /// Where.
    pub(super) position: Position,
    /// Metres per second, if recorded.
    pub(super) velocity: Option<[f64; 3]>,
    /// Which way, if recorded.
    pub(super) facing: Facing,
}

/// All fixes of one entity, in order of time, no two at one time.
#[derive(Debug)]
pub struct Track {
    name: String,
    space: Space,
    fixes: Vec<Fix>,
    leaves_s: f64,
}

impl Track {
    /// `None` when there is no fix.
    pub(super) fn new(name: String, space: Space, fixes: Vec<Fix>) -> Option<Self> {
        let (first, last) = (fixes.first()?, fixes.last()?);
        // Who was last heard of before the start was there then, and nothing says it left.
        let parked = last.t_s <= 0.0;
        let mean_gap_s = (last.t_s - first.t_s) / (fixes.len() - 1).max(1) as f64;
        let linger_s = if fixes.len() > 1 { mean_gap_s } else { LINGER_S };
        let leaves_s = if parked { f64::INFINITY } else { last.t_s + linger_s };
        Some(Self { name, space, fixes, leaves_s })
    }

    /// `<file stem>/<id>`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of fixes that are replayed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fixes.len()
    }

    /// Never: a track has a fix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fixes.is_empty()
    }

    /// Where it is first.
    #[must_use]
    pub fn start(&self) -> Position {
        self.fixes[0].position
    }

    /// Seconds of trace time at which the last fix falls due.
    #[must_use]
    pub fn end_s(&self) -> f64 {
        self.fixes.last().map_or(0.0, |fix| fix.t_s)
    }

    /// From fix `at` to the next, as one movement?
    fn is_dense(&self, at: usize) -> bool {
        let (Some(a), Some(b)) = (self.fixes.get(at), self.fixes.get(at + 1)) else { return false };
        b.t_s - a.t_s <= DENSE_S && self.space.distance_m(a.position, b.position) <= DENSE_M
    }
}

/// Replays one track, at a multiple of its speed.
pub struct TrackPlayer {
    track: Arc<Track>,
    speed: f64,
    cursor: usize,
}

impl TrackPlayer {
    /// A replay of `speed` trace seconds per second.
    #[must_use]
    pub fn new(track: Arc<Track>, speed: f64) -> Self {
        Self { track, speed, cursor: 0 }
    }

    /// A fix that holds until the next. At the end of a dense run that is a standstill, whatever
    /// the velocity on arrival.
    fn held(&self, fix: &Fix) -> Pose {
        let ends_run = self.cursor.checked_sub(1).is_some_and(|before| self.track.is_dense(before));
        let pose = self.pose_of(fix);
        let velocity = if ends_run { pose.velocity.map(|_| [0.0; 3]) } else { pose.velocity };
        Pose { velocity, ..pose }
    }

    fn pose_of(&self, fix: &Fix) -> Pose {
        Pose {
            at_s: fix.t_s / self.speed,
            position: fix.position,
            velocity: fix.velocity.map(|v| v.map(|c| c * self.speed)),
            facing: fix.facing,
        }
    }
}

impl Motion for TrackPlayer {
    fn pose(&mut self, t_s: f64) -> Option<Pose> {
        let trace_s = t_s * self.speed;
        let fixes = &self.track.fixes;
        while fixes.get(self.cursor + 1).is_some_and(|next| next.t_s <= trace_s) {
            self.cursor += 1;
        }
        let fix = &fixes[self.cursor];
        if trace_s < fix.t_s || trace_s >= self.track.leaves_s {
            return None;
        }
        if !self.track.is_dense(self.cursor) {
            return Some(self.held(fix));
        }
        Some(self.pose_of(&between(self.track.space, fix, &fixes[self.cursor + 1], trace_s)))
    }

    fn next_fix_s(&self) -> Option<f64> {
        let next = self.track.fixes.get(self.cursor + 1)?;
        (!self.track.is_dense(self.cursor)).then(|| next.t_s / self.speed)
    }

    fn is_over(&self, t_s: f64) -> bool {
        t_s * self.speed >= self.track.leaves_s
    }
}

fn between(space: Space, a: &Fix, b: &Fix, t_s: f64) -> Fix {
    let u = (t_s - a.t_s) / (b.t_s - a.t_s);
    let mix = |a: f64, b: f64| a + (b - a) * u;
    let mix3 = |a: [f64; 3], b: [f64; 3]| [0, 1, 2].map(|k| mix(a[k], b[k]));
    let mut position = mix3(a.position, b.position);
    if space == Space::Geodetic {
        // The short way round, across the antimeridian if need be.
        position[1] = wrap_degrees(a.position[1] + wrap_degrees(b.position[1] - a.position[1]) * u);
    }
    let velocity = match (a.velocity, b.velocity) {
        (Some(v), Some(w)) => Some(mix3(v, w)),
        (one, other) => one.or(other),
    };
    Fix { t_s, position, velocity, facing: turn(a.facing, b.facing, u) }
}

fn turn(a: Facing, b: Facing, u: f64) -> Facing {
    match (a, b) {
        (Facing::Heading(a), Facing::Heading(b)) => {
            Facing::Heading((a + wrap_degrees(b - a) * u).rem_euclid(360.0))
        }
        (Facing::Quaternion(a), Facing::Quaternion(b)) => Facing::Quaternion(nlerp(a, b, u)),
        (a, _) => a,
    }
}

/// The normalised mean of two rotations; the shorter of the two ways.
fn nlerp(a: [f64; 4], b: [f64; 4], u: f64) -> [f64; 4] {
    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    let sign = if dot < 0.0 { -1.0 } else { 1.0 };
    let mixed = [0, 1, 2, 3].map(|k| a[k] * (1.0 - u) + b[k] * sign * u);
    let norm = mixed.iter().map(|c| c * c).sum::<f64>().sqrt().max(1e-12);
    mixed.map(|c| c / norm)
}
