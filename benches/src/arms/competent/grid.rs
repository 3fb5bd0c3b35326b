//! Who is near whom: squares as wide as the farthest that matters.

use super::snapshot::{STEPS, State};

/// Entities by square, in one array.
#[derive(Debug, Default)]
pub(super) struct Grid {
    low: [i32; 2],
    size: [usize; 2],
    /// Where each square begins in `ids`, and one more.
    starts: Vec<u32>,
    ids: Vec<(u16, [i32; 3])>,
    counts: Vec<u32>,
}

/// An enter and a leave radius, squared, in steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    enter: i64,
    leave: i64,
    side: i32,
}

impl Reach {
    pub(super) fn of(radius_m: f64, hysteresis: f64) -> Self {
        let enter = radius_m * STEPS;
        let leave = enter * hysteresis;
        let square = |steps: f64| (steps * steps) as i64;
        Self { enter: square(enter), leave: square(leave), side: leave.ceil() as i32 }
    }
}

impl Grid {
    /// Sorts all entities that are somewhere into squares.
    pub(super) fn build(&mut self, states: &[Option<State>], reach: Reach) {
        let all = || states.iter().flatten();
        let edge = |axis: usize, low: bool| {
            let axis = all().map(|state| state.at[axis]);
            if low { axis.min() } else { axis.max() }.unwrap_or(0)
        };
        self.low = [0, 1].map(|axis| edge(axis, true));
        self.size =
            [0, 1].map(|axis| ((edge(axis, false) - self.low[axis]) / reach.side + 1) as usize);
        self.counts.clear();
        self.counts.resize(self.size[0] * self.size[1] + 1, 0);
        for state in all() {
            let square = self.square(state.at, reach);
            self.counts[square + 1] += 1;
        }
        for square in 1..self.counts.len() {
            self.counts[square] += self.counts[square - 1];
        }
        self.starts.clone_from(&self.counts);
        self.ids.clear();
        self.ids.resize(all().count(), (0, [0; 3]));
        for (id, state) in states.iter().enumerate() {
            let Some(state) = state else { continue };
            let square = self.square(state.at, reach);
            self.ids[self.counts[square] as usize] = (id as u16, state.at);
            self.counts[square] += 1;
        }
    }

    fn square(&self, at: [i32; 3], reach: Reach) -> usize {
        let [x, y] = [0, 1].map(|axis| ((at[axis] - self.low[axis]) / reach.side) as usize);
        y * self.size[0] + x
    }

    /// Whom somebody at `centre` sees, sorted; `saw` tells whom it saw before.
    pub(super) fn look(
        &self,
        own: u16,
        centre: [i32; 3],
        reach: Reach,
        saw: impl Fn(u16) -> bool,
        seen: &mut Vec<u16>,
    ) {
        seen.clear();
        let [x, y] = [0, 1].map(|axis| ((centre[axis] - self.low[axis]) / reach.side) as usize);
        for row in y.saturating_sub(1)..(y + 2).min(self.size[1]) {
            // The squares of a row lie one after another.
            let from = row * self.size[0] + x.saturating_sub(1);
            let to = row * self.size[0] + (x + 2).min(self.size[0]);
            for (id, at) in &self.ids[self.starts[from] as usize..self.starts[to] as usize] {
                let away = |axis: usize| i64::from(at[axis] - centre[axis]);
                let square = away(0) * away(0) + away(1) * away(1) + away(2) * away(2);
                let near = square <= reach.enter || (square <= reach.leave && saw(*id));
                if near && *id != own {
                    seen.push(*id);
                }
            }
        }
        seen.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::Dice;

    #[test]
    fn everyone_within_the_radius_is_found_and_nobody_else() {
        let mut dice = Dice::new(3);
        let reach = Reach::of(50.0, 1.125);
        let mut one = || dice.between(-12_000.0, 12_000.0) as i32;
        let states: Vec<_> = (0..700)
            .map(|n| (n % 7 != 0).then(|| State { at: [one(), one(), 0], heading: 0 }))
            .collect();
        let mut grid = Grid::default();
        grid.build(&states, reach);
        let mut seen = Vec::new();
        for (own, state) in states.iter().enumerate().filter_map(|(n, s)| Some((n, s.as_ref()?))) {
            let own = own as u16;
            grid.look(own, state.at, reach, |id| id % 2 == 0, &mut seen);
            let near = |id: u16, other: &State| {
                let away = |axis: usize| f64::from(other.at[axis] - state.at[axis]) / 64.0;
                let metres = away(0).hypot(away(1));
                id != own && (metres <= 50.0 || (metres <= 56.25 && id.is_multiple_of(2)))
            };
            let all = states.iter().enumerate();
            let all = all.filter(|(id, s)| s.is_some_and(|s| near(*id as u16, &s)));
            let wanted: Vec<u16> = all.map(|(id, _)| id as u16).collect();
            assert_eq!(seen, wanted);
        }
    }
}
