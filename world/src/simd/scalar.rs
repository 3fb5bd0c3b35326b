//! Plain Rust, which is what the others are tested against.

use super::{Axes, BLOCK, Grid, GridBox, LEAF, Leaf, Ring, Row, Verdict, sieve_with};

#[inline]
pub(super) fn squares(axes: &Axes, center: Grid, flat: bool) -> [f32; LEAF] {
    let mut squares = [0.0f32; LEAF];
    for lane in 0..LEAF {
        let dx = axes[0][lane].wrapping_sub(center[0]) as f32;
        let dy = axes[1][lane].wrapping_sub(center[1]) as f32;
        squares[lane] = dx * dx + dy * dy;
    }
    if !flat {
        for lane in 0..LEAF {
            let dz = axes[2][lane].wrapping_sub(center[2]) as f32;
            squares[lane] += dz * dz;
        }
    }
    squares
}

/// Eight at a time, which compilers turn into one compare and one gather of bits.
#[inline]
pub(super) fn mask(test: impl Fn(usize) -> bool) -> u64 {
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

pub(super) fn within(axes: &Axes, center: Grid, limit: f32, flat: bool) -> u64 {
    let squares = squares(axes, center, flat);
    mask(|lane| squares[lane] <= limit)
}

pub(super) fn inside(axes: &Axes, bounds: &GridBox) -> u64 {
    let [xs, ys, zs] = axes;
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

pub(super) fn sieve(row: Row<'_>, ring: &Ring, verdicts: &mut Vec<Verdict>) {
    let limit = ring.leave.maybe;
    let near = |block| touched(row.boxes.block(block), ring.center, limit, ring.flat);
    let judge = |leaf: &Leaf, old: u64, flat| {
        let squares = squares(&leaf.axes, ring.center, flat);
        let within = |limit: f32| mask(|lane| squares[lane] <= limit);
        (
            within(ring.enter.sure) | old & within(ring.leave.sure),
            within(ring.enter.maybe) | old & within(ring.leave.maybe),
        )
    };
    sieve_with(row, verdicts, near, judge, ring);
}

pub(super) fn touching(sides: [&[i32; BLOCK]; 6], bounds: &GridBox) -> u16 {
    let [x0, y0, z0, x1, y1, z1] = sides;
    let mut bits = 0;
    for i in 0..BLOCK {
        let touches = (x0[i] <= bounds.max[0])
            & (y0[i] <= bounds.max[1])
            & (z0[i] <= bounds.max[2])
            & (x1[i] >= bounds.min[0])
            & (y1[i] >= bounds.min[1])
            & (z1[i] >= bounds.min[2]);
        bits |= u16::from(touches) << i;
    }
    bits
}

pub(super) fn touched(sides: [&[i32; BLOCK]; 6], center: Grid, limit: f32, flat: bool) -> u16 {
    let [x0, y0, z0, x1, y1, z1] = sides;
    let [x, y, z] = center;
    let mut bits = 0;
    for i in 0..BLOCK {
        let away = |[min, max]: [&[i32; BLOCK]; 2], c: i32| {
            let away = c.wrapping_sub(c.min(max[i]).max(min[i])) as f32;
            away * away
        };
        let mut square = away([x0, x1], x) + away([y0, y1], y);
        if !flat {
            square += away([z0, z1], z);
        }
        bits |= u16::from(square <= limit) << i;
    }
    bits
}

pub(super) fn round(axes: &Axes, lanes: u64) -> GridBox {
    let mut bounds = GridBox::EMPTY;
    for (axis, coordinates) in axes.iter().enumerate() {
        for (lane, c) in coordinates.iter().enumerate() {
            let used = lanes >> lane & 1 == 1;
            bounds.min[axis] = bounds.min[axis].min(if used { *c } else { i32::MAX });
            bounds.max[axis] = bounds.max[axis].max(if used { *c } else { i32::MIN });
        }
    }
    bounds
}
