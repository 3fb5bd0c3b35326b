//! How often symbols occurred.

use starling_client_sim::motion::Facing;
use starling_protocol::sample::Orientation;
use starling_protocol::tables::{SYMBOLS, residual_symbol};
use std::collections::BTreeMap;

pub(super) type Row = [f64; SYMBOLS];

/// How often each symbol occurred, by table and class.
#[derive(Clone, Default)]
pub(super) struct Tally(pub(super) BTreeMap<(&'static str, usize), Row>);

impl Tally {
    pub(super) fn count(&mut self, table: &'static str, class: usize, symbol: usize, weight: f64) {
        self.0.entry((table, class)).or_insert([0.0; SYMBOLS])[symbol] += weight;
    }

    pub(super) fn residual(
        &mut self,
        table: &'static str,
        class: usize,
        residual: i32,
        weight: f64,
    ) {
        if let Some((symbol, _)) = residual_symbol(residual) {
            self.count(table, class, symbol, weight);
        }
    }

    /// How often each symbol of a table occurred.
    pub(super) fn row(&self, table: &'static str, class: usize) -> Row {
        self.0.get(&(table, class)).copied().unwrap_or([0.0; SYMBOLS])
    }

    /// How often any of them did.
    pub(super) fn sum(&self, table: &'static str, class: usize) -> f64 {
        self.row(table, class).iter().sum()
    }

    /// Adds another tally, scaled so that each of its codes weighs `weight` in all.
    pub(super) fn merge(&mut self, other: &Self, weight: f64) {
        for ((table, class), row) in &other.0 {
            let head = match table.split('_').next() {
                Some("FIX") => "FIX_HEAD",
                Some("STEP") => "STEP_HEAD",
                _ => "HEAD",
            };
            let codes: f64 = other.0.get(&(head, *class)).map_or(1.0, |row| row.iter().sum());
            let mine = self.0.entry((table, *class)).or_insert([0.0; SYMBOLS]);
            mine.iter_mut().zip(row).for_each(|(mine, new)| *mine += new * weight / codes);
        }
    }
}

pub(super) fn turned(facing: Facing) -> Orientation {
    match facing {
        Facing::None => Orientation::None,
        Facing::Heading(degrees) => {
            Orientation::Heading((degrees / 360.0 * 256.0).round().rem_euclid(256.0) as u8)
        }
        Facing::Quaternion(q) => Orientation::from_quaternion(q.map(|c| c as f32)),
    }
}

/// No source has looks: yaw is taken from headings at sixteen times their resolution, pitch at
/// four.
pub(super) fn count_turn(
    tally: &mut Tally,
    [heading, look, quaternion]: [&'static str; 3],
    class: usize,
    from: Orientation,
    to: Orientation,
    weight: f64,
) {
    match (from, to) {
        (Orientation::Heading(a), Orientation::Heading(b)) => {
            let way = i32::from(b.wrapping_sub(a) as i8);
            tally.residual(heading, class, way, weight);
            tally.residual(look, class, way * 16 + way % 5, weight);
            tally.residual(look, class, way * 4 - way % 3, weight);
        }
        (Orientation::Quaternion(a), Orientation::Quaternion(b)) if a >> 30 == b >> 30 => {
            for shift in [0, 10, 20] {
                let part = |q: u32| (q >> shift & 0x3ff) as i32;
                tally.residual(quaternion, class, part(b) - part(a), weight);
            }
        }
        _ => {}
    }
}
