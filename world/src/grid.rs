//! A plain grid: the oracle that the index is tested against, and the floor in benches.
//!
//! Square cells seen from above, a list in each. Simple enough to be right at a glance.

use crate::entity::EntityIdx;
use crate::leaf::Grid;
use std::collections::BTreeMap;

/// Entities by cell.
#[derive(Debug)]
pub struct CellGrid {
    side: i64,
    cells: BTreeMap<(i64, i64), Vec<(EntityIdx, Grid)>>,
}

impl CellGrid {
    /// A grid with cells of `side` steps that holds these entities.
    #[must_use]
    pub fn new(side: u32, entities: &[(EntityIdx, Grid)]) -> Self {
        let mut grid = Self { side: i64::from(side.max(1)), cells: BTreeMap::new() };
        for &(entity, at) in entities {
            let cell = (grid.cell(at[0]), grid.cell(at[1]));
            grid.cells.entry(cell).or_default().push((entity, at));
        }
        grid
    }

    fn cell(&self, coordinate: i32) -> i64 {
        i64::from(coordinate).div_euclid(self.side)
    }

    /// Everything within `radius` steps of `center`, in order; height is ignored when `flat`.
    #[must_use]
    pub fn within(&self, center: Grid, radius: u32, flat: bool) -> Vec<EntityIdx> {
        let reach = i64::from(radius);
        let range = |c: i32| {
            let c = i64::from(c);
            (c - reach).div_euclid(self.side)..=(c + reach).div_euclid(self.side)
        };
        let rows = range(center[1]);
        let mut found = Vec::new();
        for x in range(center[0]) {
            for cell in self.cells.range((x, *rows.start())..=(x, *rows.end())) {
                let hits = cell.1.iter().filter(|(_, at)| near(*at, center, radius, flat));
                found.extend(hits.map(|(entity, _)| *entity));
            }
        }
        found.sort_unstable();
        found
    }
}

/// Exact, in integers.
fn near(a: Grid, b: Grid, radius: u32, flat: bool) -> bool {
    let axes = if flat { 0..2 } else { 0..3 };
    let square = |axis: usize| i128::from(a[axis].abs_diff(b[axis])).pow(2);
    axes.map(square).sum::<i128>() <= i128::from(radius).pow(2)
}
