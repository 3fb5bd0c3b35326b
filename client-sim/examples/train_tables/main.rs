//! Prefix codes from motion: prints `protocol/src/tables/v2.rs`, and to stderr what they take.
//!
//! ```text
//! cargo run --release -p starling-client-sim --example train_tables -- TRACE... > tables.rs
//! ```
//! Entities of the built-in scenarios move as in a run, metric traces are replayed as cars of a
//! game, geodetic ones as a fleet. Knots and fixes are set by the rule of the server, and the
//! symbols of their codes are counted; each source weighs as said below. Every other entity is held
//! out: the bits that the new codes take for those stand beside the order-0 entropy of the same
//! symbols. A new table is a new table version.

mod fleet;
mod game;
mod lengths;
mod tally;

use anyhow::Result;
use fleet::fleet;
use game::game;
use lengths::{cost, entropy, lengths};
use starling_client_sim::motion::Motion;
use starling_client_sim::scenario::{Profile, Scenario};
use starling_client_sim::space::Space as SimSpace;
use starling_client_sim::trace::{Trace, TrackPlayer};
use starling_protocol::motion::STEP_CLASSES;
use starling_protocol::tables::{CLASSES, SYMBOLS};
use std::io::Write;
use tally::Tally;

const ENTITIES: u32 = 400;

/// A table: its name, what it is for, how many of its symbols can occur, and how many rows it has.
struct Table {
    name: &'static str,
    about: &'static str,
    symbols: usize,
    rows: usize,
}

const fn table(name: &'static str, about: &'static str, symbols: usize, rows: usize) -> Table {
    Table { name, about, symbols, rows }
}

const TABLES: [Table; 22] = [
    table("STEP_HEAD", "What a step is", 14, STEP_CLASSES),
    table("STEP_PLANE", "Residual of a step, x and y", 32, STEP_CLASSES),
    table("STEP_HEIGHT", "Residual of a step, z", 32, STEP_CLASSES),
    table("STEP_HEADING", "Change of heading in a step", 13, STEP_CLASSES),
    table("STEP_LOOK", "Change of yaw or pitch in a step", 17, STEP_CLASSES),
    table("STEP_QUATERNION", "Change of a quaternion's component in a step", 16, STEP_CLASSES),
    table("HEAD", "Which parts of a knot changed", 32, CLASSES),
    table("LAG", "Ticks since the knot", 32, CLASSES),
    table("POSITION_XY", "Position against the prediction, x and y", 32, CLASSES),
    table("POSITION_Z", "Position against the prediction, z", 32, CLASSES),
    table("VELOCITY_XY", "Change of velocity, x and y", 22, CLASSES),
    table("VELOCITY_Z", "Change of velocity, z", 22, CLASSES),
    table("HEADING", "Change of heading", 13, CLASSES),
    table("LOOK", "Change of yaw or pitch", 17, CLASSES),
    table("QUATERNION", "Change of a component of a quaternion", 16, CLASSES),
    table("FIX_HEAD", "Which parts of a fix differ from the prediction", 16, 1),
    table("FIX_LAG", "Ticks since the newest fix", 32, 1),
    table("FIX_PLANE", "Latitude and longitude (x and y) against the prediction", 32, 1),
    table("FIX_ALTITUDE", "Altitude (z) against the prediction", 32, 1),
    table("FIX_HEADING", "Change of heading", 13, 1),
    table("FIX_LOOK", "Change of yaw or pitch", 17, 1),
    table("FIX_QUATERNION", "Change of a component of a quaternion", 16, 1),
];

impl Table {
    /// A knot is younger than its base, so the greatest age of a class bounds the lag.
    fn symbols(&self, class: usize) -> usize {
        if self.name == "LAG" { [SYMBOLS, 2, 3, 4, 6, 9, 15, 31][class] } else { self.symbols }
    }

    fn lengths(&self, tally: &Tally, class: usize) -> [u8; SYMBOLS] {
        lengths(tally, self.name, class, self.symbols(class))
    }
}

/// What was counted of one source: to learn from, and to try it on.
struct Source {
    name: String,
    train: Tally,
    test: Tally,
}

fn main() -> Result<()> {
    let mut all = Tally::default();
    let mut sources = Vec::new();
    for (name, weight) in [("arena", 1.0), ("walk", 0.4), ("crowd", 0.2), ("city", 0.5)] {
        sources.push((scenario(name)?, weight));
    }
    for path in std::env::args().skip(1) {
        let (source, is_fleet) = trace(&path)?;
        sources.push((source, if is_fleet { 0.6 } else { 0.06 }));
    }
    sources.iter().for_each(|(source, weight)| all.merge(&source.train, *weight));
    shape_by_hand(&mut all);
    for (source, _) in &sources {
        report(&all, source, &mut std::io::stderr().lock())?;
    }
    print(&all, &mut std::io::stdout().lock())
}

fn scenario(name: &str) -> Result<Source> {
    let scenario = Scenario::open(name)?;
    let cast = scenario.cast(1, ENTITIES, 300.0);
    // Recorded cars move in groups of eight, and most of a group may be held out together.
    let players = |part: u32| {
        (0..ENTITIES).filter(move |e| e / 8 % 2 == part).map(|e| cast.entity(e)).collect::<Vec<_>>()
    };
    let is_fleet = scenario.profile == Profile::Fleet;
    Ok(source(name, players(0), players(1), is_fleet))
}

/// The cars of a match or the vehicles of a fleet, and which it is.
fn trace(path: &str) -> Result<(Source, bool)> {
    let trace = Trace::open(&[path])?;
    let players = |part: usize| {
        let tracks = trace.tracks.iter().enumerate().filter(|(at, _)| at % 2 == part);
        let player = |track: &_| Box::new(TrackPlayer::new(Clone::clone(track), 1.0)) as _;
        tracks.map(|(_, track)| player(track)).collect::<Vec<Box<dyn Motion>>>()
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_fleet = trace.space == SimSpace::Geodetic;
    Ok((source(name, players(0), players(1), is_fleet), is_fleet))
}

fn source(
    name: &str,
    train: Vec<Box<dyn Motion>>,
    test: Vec<Box<dyn Motion>>,
    is_fleet: bool,
) -> Source {
    let count = |players: Vec<_>| match is_fleet {
        true => fleet(players.into_iter()),
        false => game(players.into_iter()),
    };
    Source { name: name.into(), train: count(train), test: count(test) }
}

/// What depends on acknowledgements and not on motion: a change is told in its own tick, and
/// again until it is acknowledged. And what no source has.
fn shape_by_hand(tally: &mut Tally) {
    for (table, keep) in [("LAG", 0.75), ("FIX_LAG", 0.4)] {
        let mut share = 1.0;
        for symbol in 0..SYMBOLS {
            tally.count(table, 0, symbol, share);
            share *= keep;
        }
    }
    let quaternions = tally.0.get(&("QUATERNION", 4)).copied();
    for (symbol, count) in quaternions.iter().flatten().enumerate() {
        tally.count("FIX_QUATERNION", 0, symbol, *count);
    }
    for symbol in 1..10 {
        tally.count("FIX_ALTITUDE", 0, symbol, 0.01 / f64::from(1 << symbol));
    }
    // Streets on a grid turn by quarters; roads do not.
    for (table, symbols) in [("FIX_HEADING", 13), ("FIX_LOOK", 17)] {
        let seen: f64 = tally.0.get(&(table, 0)).map_or(1.0, |row| row.iter().sum());
        (1..symbols).for_each(|s| tally.count(table, 0, s, 2.0 * seen / symbols as f64));
    }
}

/// Bits of a mean step and of a mean fix of what was held out, and their entropy.
fn report(learned: &Tally, source: &Source, out: &mut impl Write) -> Result<()> {
    for (head, prefix, rows) in [("STEP_HEAD", "STEP", STEP_CLASSES), ("FIX_HEAD", "FIX", 1)] {
        let (mut all, mut bits, mut least) = (0.0, 0.0, 0.0);
        for class in 0..rows {
            let codes = source.test.sum(head, class);
            let (mut here, mut floor) = (0.0, 0.0);
            let tables = TABLES.iter().filter(|t| t.name.starts_with(prefix));
            for table in tables.filter(|t| !t.name.ends_with("LOOK") && t.name != "FIX_LAG") {
                let counted = source.test.row(table.name, class);
                let plain = table.name.ends_with("HEAD");
                here += cost(&counted, &table.lengths(learned, class), plain);
                floor += entropy(&counted, plain);
            }
            if codes > 0.0 && rows > 1 {
                let name = &source.name;
                writeln!(out, "{name}: class {class}: {codes} steps of {:.2} bits", here / codes)?;
            }
            (all, bits, least) = (all + codes, bits + here, least + floor);
        }
        if all > 0.0 {
            let (mean, floor) = (bits / all, least / all);
            let more = (bits / least - 1.0) * 100.0;
            let name = &source.name;
            writeln!(out, "{name}: {prefix}: {mean:.2} bits, entropy {floor:.2}, {more:+.1} %")?;
        }
    }
    Ok(())
}

fn print(tally: &Tally, out: &mut impl Write) -> Result<()> {
    writeln!(out, "//! Code lengths of version 2, as numbers.\n//!")?;
    writeln!(
        out,
        "//! One row per table, one number per symbol: the length of its code in bits, 0"
    )?;
    writeln!(
        out,
        "//! where the symbol has none. Made by `client-sim/examples/train_tables` from"
    )?;
    writeln!(out, "//! the scenarios and recorded matches and buses. A change here is a new")?;
    writeln!(out, "//! [`crate::version::TABLES`].\n")?;
    writeln!(out, "use super::{{CLASSES, SYMBOLS}};\nuse crate::motion::STEP_CLASSES;\n")?;
    writeln!(out, "type Row = [u8; SYMBOLS];\ntype Rows = [Row; CLASSES];")?;
    writeln!(out, "type StepRows = [Row; STEP_CLASSES];")?;
    for table in &TABLES {
        let Table { name, about, rows, .. } = table;
        if *rows == 1 {
            let lengths = table.lengths(tally, 0);
            writeln!(out, "\n/// {about}.\npub const {name}: Row = {lengths:?};")?;
            continue;
        }
        let (ty, per) = match *rows {
            CLASSES => ("Rows", "per age class"),
            _ => ("StepRows", "per class of the knot before"),
        };
        writeln!(out, "\n/// {about}, {per}.\npub const {name}: {ty} = [")?;
        for class in 0..*rows {
            writeln!(out, "    {:?},", table.lengths(tally, class))?;
        }
        writeln!(out, "];")?;
    }
    Ok(())
}
