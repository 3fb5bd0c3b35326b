//! The rows of one recording, as they stand in the file, and their way into tracks.

use super::ROWS_MAX;
use super::summary::Summary;
use super::track::{Fix, Track};
use crate::motion::Facing;
use crate::space::{Position, Space};
use anyhow::{Result, ensure};
use std::collections::HashMap;

/// Bytes of an entity's name, as servers bound it.
const NAME_BYTES_MAX: usize = 64;
/// Beyond the 99th percentile of times by this much, a row is from the future.
const FUTURE_MS: f64 = 3_600_000.0;

/// One row that could be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub line: u64,
    pub t_ms: f64,
    pub position: Position,
    pub velocity: Option<[f64; 3]>,
    pub facing: Facing,
}

/// Rows of things that were recorded together: they share a clock.
pub(super) struct Recording {
    pub space: Space,
    stem: String,
    numbers: HashMap<String, usize>,
    entities: Vec<Entity>,
    rows: usize,
    unordered: u64,
    last_ms: f64,
}

struct Entity {
    name: String,
    rows: Vec<Row>,
}

/// The times between which a recording is replayed.
#[derive(Clone, Copy)]
struct Window {
    start_ms: f64,
    future_ms: f64,
}

impl Recording {
    pub(super) fn new(stem: &str, space: Space) -> Self {
        Self {
            space,
            stem: stem.to_owned(),
            numbers: HashMap::new(),
            entities: Vec::new(),
            rows: 0,
            unordered: 0,
            last_ms: f64::NEG_INFINITY,
        }
    }

    pub(super) fn push(&mut self, id: &str, row: Row) -> Result<(), String> {
        let number = match self.numbers.get(id) {
            Some(&number) => number,
            None => self.add(id)?,
        };
        self.entities[number].rows.push(row);
        self.rows += 1;
        self.unordered += u64::from(row.t_ms < self.last_ms);
        self.last_ms = row.t_ms;
        Ok(())
    }

    fn add(&mut self, id: &str) -> Result<usize, String> {
        let name = format!("{}/{id}", self.stem);
        if id.is_empty() {
            return Err("the id is empty".to_owned());
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("the name {name} is longer than {NAME_BYTES_MAX} bytes"));
        }
        self.numbers.insert(id.to_owned(), self.entities.len());
        self.entities.push(Entity { name, rows: Vec::new() });
        Ok(self.entities.len() - 1)
    }

    pub(super) fn check_size(&self) -> Result<()> {
        ensure!(self.rows <= ROWS_MAX, "more than {ROWS_MAX} rows");
        Ok(())
    }

    /// Counts what is odd and makes a track of each entity, in the order of first appearance.
    pub(super) fn into_tracks(self, sum: &mut Summary) -> Vec<Track> {
        sum.unordered += self.unordered;
        let Some(window) = self.window() else { return Vec::new() };
        let space = self.space;
        let all = self.entities.into_iter();
        all.filter_map(|entity| entity.into_track(space, window, sum)).collect()
    }

    fn window(&self) -> Option<Window> {
        let rows = self.entities.iter().flat_map(|e| &e.rows);
        let mut times: Vec<f64> = rows.map(|row| row.t_ms).collect();
        if times.is_empty() {
            return None;
        }
        times.sort_unstable_by(f64::total_cmp);
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        Some(Window { start_ms: at(1), future_ms: at(99) + FUTURE_MS })
    }
}

impl Entity {
    fn into_track(mut self, space: Space, window: Window, sum: &mut Summary) -> Option<Track> {
        if self.rows.len() == 1 {
            sum.single_row += 1;
            sum.note("single_row", &self.name, self.rows[0].line);
        }
        self.drop_future(window, sum);
        self.survey(space, sum);
        // Stable, so that of rows with one time the last in the file stays last.
        self.rows.sort_by(|a, b| a.t_ms.total_cmp(&b.t_ms));
        let early = self.rows.iter().filter(|row| row.t_ms < window.start_ms).count();
        sum.early += early as u64;
        let kept = &self.rows[early.saturating_sub(1)..];
        let mut fixes: Vec<Fix> = Vec::with_capacity(kept.len());
        for fix in kept.iter().map(|row| row.fix(window.start_ms)) {
            match fixes.last_mut() {
                Some(last) if last.t_s == fix.t_s => *last = fix,
                _ => fixes.push(fix),
            }
        }
        Track::new(self.name, space, fixes)
    }

    fn drop_future(&mut self, window: Window, sum: &mut Summary) {
        let name = &self.name;
        self.rows.retain(|row| {
            let future = row.t_ms > window.future_ms;
            if future {
                sum.future += 1;
                sum.note("future", name, row.line);
            }
            !future
        });
    }

    /// Compares each row with the one before it, in the order of the file.
    fn survey(&self, space: Space, sum: &mut Summary) {
        for pair in self.rows.windows(2) {
            let (a, b) = (&pair[0], &pair[1]);
            let same_place = a.position == b.position;
            let gap_ms = b.t_ms - a.t_ms;
            let what = if gap_ms < 0.0 {
                sum.back_in_time += 1;
                "back_in_time"
            } else if gap_ms == 0.0 && same_place {
                sum.duplicate += 1;
                "duplicate"
            } else if gap_ms == 0.0 {
                sum.same_time += 1;
                "same_time"
            } else {
                sum.unchanged_position += u64::from(same_place);
                sum.gaps_over_60_s += u64::from(gap_ms > 60_000.0);
                let metres = space.distance_m(a.position, b.position);
                let mps = metres / (gap_ms / 1e3);
                sum.over_40_mps += u64::from(mps > 40.0);
                sum.over_350_mps += u64::from(mps > 350.0);
                sum.over_1_km += u64::from(metres > 1000.0);
                continue;
            };
            sum.note(what, &self.name, b.line);
        }
    }
}

impl Row {
    /// Rows before the start stand at the start.
    fn fix(&self, start_ms: f64) -> Fix {
        Fix {
            t_s: ((self.t_ms - start_ms) / 1e3).max(0.0),
            position: self.position,
            velocity: self.velocity,
            facing: self.facing,
        }
    }
}
