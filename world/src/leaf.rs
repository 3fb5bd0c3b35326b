//! Up to 64 entities that are neighbours, and which of them a probe hits.
//!
//! Coordinates lie axis by axis, so that all 64 are tested in a few loops without branches, and the
//! answer is a mask.

use crate::entity::EntityIdx;
use crate::simd::{self, Boxes, Level};

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

    pub(crate) fn touches(&self, other: &Self) -> bool {
        (0..3).all(|a| self.min[a] <= other.max[a] && other.min[a] <= self.max[a])
    }

    /// Does it hold nothing?
    pub(crate) fn is_empty(&self) -> bool {
        (0..3).any(|a| self.min[a] > self.max[a])
    }

    /// Its sides.
    pub(crate) fn sides(&self) -> [u32; 3] {
        [0, 1, 2].map(|axis| self.max[axis].abs_diff(self.min[axis]))
    }

    /// Is the other box inside of this one? One that holds nothing is.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        (0..3).all(|a| self.min[a] <= other.min[a] && other.max[a] <= self.max[a])
    }

    /// The box round both.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut both = *self;
        for axis in 0..3 {
            both.min[axis] = both.min[axis].min(other.min[axis]);
            both.max[axis] = both.max[axis].max(other.max[axis]);
        }
        both
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

    /// Which of a block of boxes it touches, and perhaps a few more.
    #[inline]
    pub(crate) fn touches(&self, level: Level, boxes: &Boxes, block: usize) -> u16 {
        match *self {
            Self::Box(bounds) => boxes.touching(level, block, &bounds),
            Self::Sphere { center, radius, flat } => {
                boxes.touched(level, block, center, limit(radius), flat)
            }
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

/// The square of a radius in 32-bit floats, with a little room.
fn limit(radius: u32) -> f32 {
    let reach = radius as f32;
    reach * reach * 1.000_01 + 4.0
}

/// Coordinates of the lanes of a leaf, axis by axis.
pub(crate) type Axes = [[i32; LEAF]; 3];

/// Up to 64 neighbours, axis by axis.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Leaf {
    pub(crate) axes: Axes,
    pub(crate) entities: [u32; LEAF],
    /// Their kinds, modulo 64.
    pub(crate) sorts: [u8; LEAF],
    /// Lanes in use.
    pub(crate) used: u64,
    /// Kinds of its entities, or of those that were here not long ago.
    pub(crate) kinds: u64,
    /// Where those are who belong here by the curve.
    pub(crate) core: GridBox,
    /// Whoever leaves this looks for another leaf. It holds all, as of the last time that the
    /// index was settled.
    pub(crate) fat: GridBox,
    /// Where on the curve it begins, and where the next one does.
    pub(crate) first: u64,
    pub(crate) after: u64,
    /// Of which zone it is.
    pub(crate) zone: u32,
}

impl Leaf {
    pub(crate) fn empty() -> Self {
        Self {
            axes: [[0; LEAF]; 3],
            entities: [NOBODY; LEAF],
            sorts: [0; LEAF],
            used: 0,
            kinds: 0,
            core: GridBox::EMPTY,
            fat: GridBox::EMPTY,
            first: 0,
            after: 0,
            zone: 0,
        }
    }

    pub(crate) fn put(&mut self, lane: usize, entity: EntityIdx, sort: u8, at: Grid) {
        self.place(lane, at);
        self.entities[lane] = entity.0;
        self.sorts[lane] = sort;
        self.used |= 1 << lane;
        self.kinds |= 1 << sort;
    }

    /// Takes entities out.
    pub(crate) fn vacate(&mut self, lanes: u64) {
        self.used &= !lanes;
    }

    /// Does its stretch of the curve hold this key?
    #[inline]
    pub(crate) fn owns(&self, key: u64) -> bool {
        self.first <= key && key < self.after
    }

    /// Takes over where its entities are now.
    pub(crate) fn fetch(&mut self, grids: &[Grid]) {
        for lane in bits(self.used) {
            self.place(lane, grids[self.entities[lane] as usize]);
        }
    }

    #[inline]
    pub(crate) fn place(&mut self, lane: usize, at: Grid) {
        for (axis, coordinate) in self.axes.iter_mut().zip(at) {
            axis[lane] = coordinate;
        }
    }

    #[inline]
    pub(crate) fn at(&self, lane: usize) -> Grid {
        [self.axes[0][lane], self.axes[1][lane], self.axes[2][lane]]
    }

    /// The box round the entities in these lanes.
    pub(crate) fn round(&self, lanes: u64) -> GridBox {
        let mut bounds = GridBox::EMPTY;
        bits(lanes).for_each(|lane| bounds.include(self.at(lane)));
        bounds
    }

    /// Lanes with an entity of one of these kinds.
    #[inline]
    pub(crate) fn of_kinds(&self, kinds: u64) -> u64 {
        if self.kinds & !kinds == 0 {
            return self.used;
        }
        if self.kinds & kinds == 0 {
            return 0;
        }
        let passes = |lane: &usize| kinds >> self.sorts[*lane] & 1 == 1;
        bits(self.used).filter(passes).fold(0, |mask, lane| mask | 1 << lane)
    }

    /// Lanes that the probe may hit.
    #[inline]
    pub(crate) fn mask(&self, level: Level, probe: &Probe) -> u64 {
        let hits = match *probe {
            Probe::Sphere { center, radius, flat } => {
                simd::within(level, &self.axes, center, limit(radius), flat)
            }
            Probe::Box(bounds) => simd::inside(level, &self.axes, &bounds),
        };
        hits & self.used
    }
}

/// The numbers of the bits that are set, in order.
#[inline]
pub(crate) fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (bit < LEAF).then_some(bit)
    })
}
