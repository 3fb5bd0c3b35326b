//! The curve along which entities are neighbours: the order of the index's leaves.
//!
//! It may be as crooked as it likes (where faces of the cube meet): it decides which entities share
//! a leaf, and never which are found.

use crate::leaf::Grid;
use starling_protocol::space::Space;

/// Bits of each coordinate that the curve looks at.
const BITS: u32 = 24;

/// Where a point lies along the curve.
#[inline]
#[must_use]
pub(crate) fn key(space: Space, at: Grid) -> u64 {
    match space {
        Space::Metric => {
            let [x, y] = [at[0], at[1]].map(|c| (c.cast_unsigned() ^ 1 << 31) >> (32 - BITS));
            hilbert(x, y)
        }
        Space::Geodetic => {
            let (face, x, y) = cube(at);
            u64::from(face) << (2 * BITS) | hilbert(x, y)
        }
    }
}

/// Seen from the middle of the Earth: through which face of a cube round it, and where.
fn cube(at: Grid) -> (u32, u32, u32) {
    let at = at.map(i64::from);
    let axis = (0..3).max_by_key(|axis| at[*axis].abs()).unwrap_or(0);
    let depth = at[axis].abs().max(1);
    let half = 1 << (BITS - 1);
    let cell = |c: i64| (half + c * (half - 1) / depth) as u32;
    let face = 2 * axis as u32 + u32::from(at[axis] < 0);
    (face, cell(at[(axis + 1) % 3]), cell(at[(axis + 2) % 3]))
}

/// Distance along a Hilbert curve over a square of 2^24 cells a side.
fn hilbert(mut x: u32, mut y: u32) -> u64 {
    let mut distance = 0;
    for level in (0..BITS).rev() {
        let (right, up) = (x >> level & 1, y >> level & 1);
        distance = distance << 2 | u64::from((3 * right) ^ up);
        // Without branches: (x, y) are complemented in the lower right and swapped below.
        let below = up.wrapping_sub(1);
        let turn = below & right.wrapping_neg();
        (x, y) = (x ^ turn, y ^ turn);
        let swap = (x ^ y) & below;
        (x, y) = (x ^ swap, y ^ swap);
    }
    distance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_on_the_curve_are_neighbours_in_the_plane() {
        let mut cells: Vec<(u64, i32, i32)> = Vec::new();
        for x in 0..32 {
            for y in 0..32 {
                cells.push((key(Space::Metric, [x << 8, y << 8, 0]), x, y));
            }
        }
        cells.sort_unstable();
        for pair in cells.windows(2) {
            let away = (pair[0].1 - pair[1].1).abs() + (pair[0].2 - pair[1].2).abs();
            assert_eq!((away, pair[1].0 - pair[0].0), (1, 1), "{pair:?}");
        }
    }

    #[test]
    fn the_globe_has_six_faces_and_no_hole() {
        const R: i32 = 1_630_000_000;
        let ends = [[R, 0, 0], [-R, 0, 0], [0, R, 0], [0, -R, 0], [0, 0, R], [0, 0, -R]];
        let mut faces: Vec<_> = ends.iter().map(|p| key(Space::Geodetic, *p) >> 48).collect();
        faces.sort_unstable();
        assert_eq!(faces, [0, 1, 2, 3, 4, 5]);
        let near = key(Space::Geodetic, [R, 1_000, 1_000]);
        assert!(near.abs_diff(key(Space::Geodetic, [R, 1_300, 1_000])) < 1 << 12);
        assert_eq!(key(Space::Geodetic, [0; 3]) >> 51, 0, "the middle has a key, too");
    }
}
