//! Pieces of real car motion, played back mirrored and shifted.

use super::{Facing, Motion, Pose, entity_rng};
use anyhow::{Context, Result};
use rand::RngExt;
use serde::Deserialize;
use std::sync::{Arc, OnceLock};

/// The pieces that ship with the crate; `data/README.md` names their source and licence.
const CARS: &[u8] = include_bytes!("../../data/cars.csv.gz");

/// A piece: the paths of several cars over the same seconds.
#[derive(Debug, Default)]
pub struct Clip {
    cars: Vec<Vec<Sample>>,
    length_s: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    t_s: f64,
    position: [f64; 3],
    velocity: [f64; 3],
    heading_deg: f64,
}

#[derive(Deserialize)]
struct Row {
    piece: usize,
    car: usize,
    t_ms: f64,
    x_m: f64,
    y_m: f64,
    z_m: f64,
    vx_mps: f64,
    vy_mps: f64,
    vz_mps: f64,
    heading_deg: f64,
}

/// Half the longer side of the field on which the pieces were recorded, in metres.
pub(super) const FIELD_HALF_M: f64 = 60.0;
/// Cars that play one piece together on one field.
pub(super) const CARS_PER_FIELD: u32 = 8;

/// The shipped pieces, decoded once.
///
/// # Panics
/// Never with the shipped file, which a test reads.
#[must_use]
pub fn clips() -> Arc<[Clip]> {
    static CLIPS: OnceLock<Arc<[Clip]>> = OnceLock::new();
    let read = || read(CARS).expect("the shipped pieces are well formed").into();
    Arc::clone(CLIPS.get_or_init(read))
}

fn read(gzip: &[u8]) -> Result<Vec<Clip>> {
    let mut rows = csv::Reader::from_reader(flate2::read::GzDecoder::new(gzip));
    let mut clips: Vec<Clip> = Vec::new();
    for row in rows.deserialize() {
        let row: Row = row.context("a row of the shipped pieces")?;
        let clip = grow(&mut clips, row.piece);
        grow(&mut clip.cars, row.car).push(row.sample());
        clip.length_s = clip.length_s.max(row.t_ms / 1e3);
    }
    Ok(clips)
}

fn grow<T: Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize_with(index + 1, T::default);
    }
    &mut list[index]
}

impl Row {
    fn sample(&self) -> Sample {
        Sample {
            t_s: self.t_ms / 1e3,
            position: [self.x_m, self.y_m, self.z_m],
            velocity: [self.vx_mps, self.vy_mps, self.vz_mps],
            heading_deg: self.heading_deg,
        }
    }
}

/// One car that plays piece after piece on a field of its group.
pub struct ClipPlayer {
    clips: Arc<[Clip]>,
    seed: u64,
    /// Cars of one group share pieces, mirrors and field.
    group: u32,
    member: u32,
    centre: [f64; 2],
    round: Round,
}

/// One play of one piece.
#[derive(Clone, Copy)]
struct Round {
    number: u32,
    start_s: f64,
    clip: usize,
    mirror: [f64; 2],
    cursor: usize,
}

impl ClipPlayer {
    /// Member `member` of group `group`, on a field about `centre`.
    #[must_use]
    pub fn new(clips: Arc<[Clip]>, seed: u64, group: u32, member: u32, centre: [f64; 2]) -> Self {
        let round = Round::draw(seed, group, 0, 0.0, clips.len());
        Self { clips, seed, group, member, centre, round }
    }

    fn next_round(&mut self) {
        let start_s = self.round.start_s + self.clips[self.round.clip].length_s;
        let number = self.round.number + 1;
        self.round = Round::draw(self.seed, self.group, number, start_s, self.clips.len());
    }
}

impl Round {
    fn draw(seed: u64, group: u32, number: u32, start_s: f64, clips: usize) -> Self {
        let mut rng = entity_rng(seed.wrapping_add(0x00c1_1b00), group.wrapping_add(number << 16));
        let mut sign = || if rng.random::<bool>() { 1.0 } else { -1.0 };
        let mirror = [sign(), sign()];
        Self { number, start_s, clip: rng.random_range(0..clips), mirror, cursor: 0 }
    }
}

impl Motion for ClipPlayer {
    fn pose(&mut self, t_s: f64) -> Option<Pose> {
        while t_s >= self.round.start_s + self.clips[self.round.clip].length_s {
            self.next_round();
        }
        let clip = &self.clips[self.round.clip];
        // A piece with fewer cars is driven by some of its cars twice, mirrored once more.
        let cars = clip.cars.len() as u32;
        let twin = if self.member < cars { 1.0 } else { -1.0 };
        let path = &clip.cars[(self.member % cars) as usize];
        let within = t_s - self.round.start_s;
        while self.round.cursor + 2 < path.len() && path[self.round.cursor + 1].t_s <= within {
            self.round.cursor += 1;
        }
        let (a, b) = (&path[self.round.cursor], &path[self.round.cursor + 1]);
        let mirror = [self.round.mirror[0] * twin, self.round.mirror[1]];
        Some(between(a, b, within).placed(t_s, mirror, self.centre))
    }
}

/// Cubic Hermite interpolation: passes through both samples with their velocities.
fn between(a: &Sample, b: &Sample, t_s: f64) -> Sample {
    let h = b.t_s - a.t_s;
    let u = ((t_s - a.t_s) / h).clamp(0.0, 1.0);
    let mut out = Sample { t_s, ..Sample::default() };
    for k in 0..3 {
        let (p, q) = (a.position[k], b.position[k]);
        let (v, w) = (a.velocity[k] * h, b.velocity[k] * h);
        let (c2, c3) = (3.0 * (q - p) - 2.0 * v - w, 2.0 * (p - q) + v + w);
        out.position[k] = p + u * (v + u * (c2 + u * c3));
        out.velocity[k] = (v + u * (2.0 * c2 + u * 3.0 * c3)) / h;
    }
    let turn = (b.heading_deg - a.heading_deg + 180.0).rem_euclid(360.0) - 180.0;
    out.heading_deg = a.heading_deg + turn * u;
    out
}

impl Sample {
    fn placed(&self, at_s: f64, mirror: [f64; 2], centre: [f64; 2]) -> Pose {
        let [x, y, z] = self.position;
        let [vx, vy, vz] = self.velocity;
        let (east, north) = self.heading_deg.to_radians().sin_cos();
        Pose {
            at_s,
            position: [centre[0] + x * mirror[0], centre[1] + y * mirror[1], z],
            velocity: Some([vx * mirror[0], vy * mirror[1], vz]),
            facing: Facing::Heading(super::heading_deg(east * mirror[0], north * mirror[1])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_pieces_are_seven_of_twenty_seconds_with_four_to_eight_cars() {
        let clips = clips();
        assert_eq!(clips.len(), 7);
        for clip in clips.iter() {
            assert!((19.5..20.1).contains(&clip.length_s), "{}", clip.length_s);
            assert!((4..=8).contains(&clip.cars.len()));
            assert!(clip.cars.iter().all(|path| path.len() >= 190));
        }
    }

    #[test]
    fn a_clip_player_stays_on_its_field_and_moves_like_a_car() {
        let mut player = ClipPlayer::new(clips(), 3, 0, 7, [500.0, 500.0]);
        let (mut fast, mut last) = (0, player.pose(0.0).expect("a car is always there"));
        for step in 1..2000 {
            let pose = player.pose(f64::from(step) * 0.05).expect("a car is always there");
            assert!((pose.position[0] - 500.0).abs() < FIELD_HALF_M);
            assert!((pose.position[1] - 500.0).abs() < FIELD_HALF_M + 3.0);
            let moved = pose.position[0] - last.position[0];
            fast += i32::from(moved.abs() > 2.0);
            last = pose;
        }
        // Only the start of a new piece, every 20 s, jumps.
        assert!(fast <= 5, "{fast} jumps in 100 s");
    }

    #[test]
    fn velocity_is_the_derivative_of_position() {
        let mut player = ClipPlayer::new(clips(), 3, 1, 2, [0.0, 0.0]);
        let a = player.pose(5.0).expect("a car is always there");
        let b = player.pose(5.001).expect("a car is always there");
        let v = a.velocity.expect("cars have a velocity");
        for (k, speed) in v.iter().enumerate() {
            let measured = (b.position[k] - a.position[k]) / 0.001;
            assert!((measured - speed).abs() < 0.5, "{measured} {speed}");
        }
    }
}
