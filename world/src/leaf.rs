//! Up to 64 entities that are neighbours, and which of them a probe hits.
//!
//! Coordinates lie axis by axis, so that all 64 are tested in a few loops without branches, and the
//! answer is a mask.

use crate::entity::EntityIdx;
use starling_protocol::units::KindId;

/// Entities of a leaf: as many as a mask has bits.
pub const LEAF: usize = 64;
/// Steps beyond which coordinates are no longer subtracted in 32 bits.
const REACH_MAX: u32 = 1 << 30;
/// In place of an entity in a lane that is not in use.
const NOBODY: u32 = u32::MAX;

/// A point of the index: metric, the canonical grid; geodetic, ECEF on the ellipsoid in 1/256 m.
pub type Grid = [i32; 3];

/// An axis-aligned box with its faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridBox {
    /// Least coordinates.
    pub min: Grid,
    /// Greatest coordinates.
    pub max: Grid,
}

impl GridBox {
    /// Holds nothing.
    pub const EMPTY: Self = Self { min: [i32::MAX; 3], max: [i32::MIN; 3] };
    /// Holds everything.
    pub const ALL: Self = Self { min: [i32::MIN; 3], max: [i32::MAX; 3] };

    pub(crate) fn include(&mut self, p: Grid) {
        for (axis, coordinate) in p.into_iter().enumerate() {
            self.min[axis] = self.min[axis].min(coordinate);
            self.max[axis] = self.max[axis].max(coordinate);
        }
    }

    pub(crate) fn contains(&self, p: Grid) -> bool {
        (0..3).all(|axis| (self.min[axis]..=self.max[axis]).contains(&p[axis]))
    }

    pub(crate) fn intersects(&self, other: &Self) -> bool {
        (0..3).all(|a| self.min[a] <= other.max[a] && other.min[a] <= self.max[a])
    }

    /// The box with each face moved outwards.
    #[must_use]
    pub fn grown(&self, by: i32) -> Self {
        Self {
            min: self.min.map(|c| c.saturating_sub(by)),
            max: self.max.map(|c| c.saturating_add(by)),
        }
    }
}

/// What to look for. Finds everything inside and perhaps a little more: the caller's exact test
/// decides.
#[derive(Clone, Copy, Debug)]
pub enum Probe {
    /// A sphere; a cylinder without end when `flat`.
    Sphere {
        /// Its centre.
        center: Grid,
        /// Its radius in grid steps.
        radius: u32,
        /// Ignore the third coordinate.
        flat: bool,
    },
    /// A box.
    Box(GridBox),
}

impl Probe {
    /// A sphere of so many steps, or everything where that is too far for 32 bits.
    #[must_use]
    pub fn sphere(center: Grid, radius: f64, flat: bool) -> Self {
        if radius < f64::from(REACH_MAX) {
            Self::Sphere { center, radius: radius.ceil() as u32, flat }
        } else {
            Self::Box(GridBox::ALL)
        }
    }

    pub(crate) fn bounds(&self) -> GridBox {
        match *self {
            Self::Box(bounds) => bounds,
            Self::Sphere { center, radius, flat } => {
                let mut bounds = GridBox { min: center, max: center }.grown(radius as i32);
                if flat {
                    (bounds.min[2], bounds.max[2]) = (i32::MIN, i32::MAX);
                }
                bounds
            }
        }
    }
}

/// Up to 64 neighbours, axis by axis.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) axes: [[i32; LEAF]; 3],
    pub(crate) entities: [u32; LEAF],
    /// Lanes in use.
    pub(crate) used: u64,
    /// Kinds of its entities, or of those that were here since the rebuild.
    pub(crate) kinds: u64,
    pub(crate) bounds: GridBox,
}

impl Leaf {
    pub(crate) fn empty() -> Self {
        Self {
            axes: [[0; LEAF]; 3],
            entities: [NOBODY; LEAF],
            used: 0,
            kinds: 0,
            bounds: GridBox::EMPTY,
        }
    }

    pub(crate) fn put(&mut self, lane: usize, entity: EntityIdx, kind: KindId, at: Grid) {
        self.place(lane, at);
        self.entities[lane] = entity.0;
        self.used |= 1 << lane;
        self.kinds |= 1 << (kind.0 & 63);
        self.bounds.include(at);
    }

    /// Takes an entity out.
    pub(crate) fn vacate(&mut self, lane: usize) {
        self.used &= !(1 << lane);
        self.entities[lane] = NOBODY;
    }

    pub(crate) fn place(&mut self, lane: usize, at: Grid) {
        for (axis, coordinate) in self.axes.iter_mut().zip(at) {
            axis[lane] = coordinate;
        }
    }

    /// Lanes that the probe may hit.
    pub(crate) fn mask(&self, probe: &Probe) -> u64 {
        let hits = match *probe {
            Probe::Sphere { center, radius, flat } => self.within(center, radius, flat),
            Probe::Box(bounds) => self.inside(&bounds),
        };
        hits & self.used
    }

    /// Squares in 32-bit floats with a little room: plain loops that the compiler turns into SIMD.
    /// Differences may wrap round for entities far away, which can only add false hits.
    fn within(&self, center: Grid, radius: u32, flat: bool) -> u64 {
        let reach = radius as f32;
        let limit = reach * reach * 1.000_01 + 4.0;
        let [xs, ys, zs] = &self.axes;
        let mut squares = [0.0f32; LEAF];
        for lane in 0..LEAF {
            let dx = xs[lane].wrapping_sub(center[0]) as f32;
            let dy = ys[lane].wrapping_sub(center[1]) as f32;
            squares[lane] = dx * dx + dy * dy;
        }
        if !flat {
            for lane in 0..LEAF {
                let dz = zs[lane].wrapping_sub(center[2]) as f32;
                squares[lane] += dz * dz;
            }
        }
        mask(|lane| squares[lane] <= limit)
    }

    fn inside(&self, bounds: &GridBox) -> u64 {
        let [xs, ys, zs] = &self.axes;
        let (min, max) = (bounds.min, bounds.max);
        mask(|lane| {
            (xs[lane] >= min[0])
                & (xs[lane] <= max[0])
                & (ys[lane] >= min[1])
                & (ys[lane] <= max[1])
                & (zs[lane] >= min[2])
                & (zs[lane] <= max[2])
        })
    }
}

/// Eight at a time, which compilers turn into one compare and one gather of bits.
fn mask(test: impl Fn(usize) -> bool) -> u64 {
    let mut bits = 0;
    for byte in 0..LEAF / 8 {
        let mut part = 0u8;
        for bit in 0..8 {
            part |= u8::from(test(byte * 8 + bit)) << bit;
        }
        bits |= u64::from(part) << (byte * 8);
    }
    bits
}
