//! Prefix codes from motion: prints `protocol/src/tables/v1.rs`.
//!
//! ```text
//! cargo run --release -p starling-client-sim --example train_tables -- TRACE... > tables.rs
//! ```
//! Entities of the built-in scenarios move as in a run, metric traces are replayed as cars of a
//! game, geodetic ones as a fleet. For every tick and every age of a baseline the symbols of the
//! code are counted; each source weighs as said below. A new table is a new table version.

use anyhow::Result;
use starling_client_sim::motion::{Facing, Motion};
use starling_client_sim::scenario::{Profile, Scenario};
use starling_client_sim::space::Space as SimSpace;
use starling_client_sim::trace::{Trace, TrackPlayer};
use starling_protocol::limits::AGE_MAX;
use starling_protocol::motion::{
    ALTITUDE_UNIT, FixState, KNOT_GRID, Knot, LATITUDE_UNIT, longitude_unit, orientation_holds,
    snap_fix, snap_knot, snap_velocity,
};
use starling_protocol::sample::Orientation;
use starling_protocol::space::{IPos, Space, wrap_longitude};
use starling_protocol::tables::{CLASSES, CODE_BITS_MAX, SYMBOLS, class, residual_symbol};
use starling_protocol::units::{Tick, TickRate};
use std::collections::BTreeMap;
use std::io::Write;

const GAME_HZ: u16 = 20;
const FLEET_HZ: u16 = 2;
const GAME_TICKS: u32 = 1_200;
const FLEET_TICKS: u32 = 2_400;
const ENTITIES: u32 = 300;
/// Ages of bases that are called long, for the class that they share with age 1.
const LONG_AGES: [u32; 2] = [40, 60];
/// Weight of those ages beside age 1.
const LONG_WEIGHT: f64 = 0.05;
/// A symbol that was never seen is given this share of the symbols counted.
const UNSEEN: f64 = 1.0 / 3_000.0;

/// Tables for knots: name, what for, and how many of the symbols can occur.
const KNOT_TABLES: [(&str, &str, usize); 9] = [
    ("HEAD", "Which parts of a knot changed", 32),
    ("LAG", "Ticks since the knot", 32),
    ("POSITION_XY", "Position against the prediction, x and y", 32),
    ("POSITION_Z", "Position against the prediction, z", 32),
    ("VELOCITY_XY", "Change of velocity, x and y", 22),
    ("VELOCITY_Z", "Change of velocity, z", 22),
    ("HEADING", "Change of heading", 13),
    ("LOOK", "Change of yaw or pitch", 17),
    ("QUATERNION", "Change of a component of a quaternion", 16),
];

/// Tables for fixes.
const FIX_TABLES: [(&str, &str, usize); 7] = [
    ("FIX_HEAD", "Which parts of a fix differ from the prediction", 16),
    ("FIX_LAG", "Ticks since the newest fix", 32),
    ("FIX_PLANE", "Latitude and longitude (x and y) against the prediction", 32),
    ("FIX_ALTITUDE", "Altitude (z) against the prediction", 32),
    ("FIX_HEADING", "Change of heading", 13),
    ("FIX_LOOK", "Change of yaw or pitch", 17),
    ("FIX_QUATERNION", "Change of a component of a quaternion", 16),
];

type Row = [f64; SYMBOLS];

/// How often each symbol occurred, by table and class.
#[derive(Clone, Default)]
struct Tally(BTreeMap<(&'static str, usize), Row>);

impl Tally {
    fn count(&mut self, table: &'static str, class: usize, symbol: usize, weight: f64) {
        self.0.entry((table, class)).or_insert([0.0; SYMBOLS])[symbol] += weight;
    }

    fn residual(&mut self, table: &'static str, class: usize, residual: i32, weight: f64) {
        if let Some((symbol, _)) = residual_symbol(residual) {
            self.count(table, class, symbol, weight);
        }
    }

    /// Adds another tally, scaled so that each of its codes weighs `weight` in all.
    fn merge(&mut self, other: &Self, weight: f64) {
        for ((table, class), row) in &other.0 {
            let head = if table.starts_with("FIX") { "FIX_HEAD" } else { "HEAD" };
            let codes: f64 = other.0.get(&(head, *class)).map_or(1.0, |row| row.iter().sum());
            let mine = self.0.entry((table, *class)).or_insert([0.0; SYMBOLS]);
            mine.iter_mut().zip(row).for_each(|(mine, new)| *mine += new * weight / codes);
        }
    }
}

fn main() -> Result<()> {
    let mut all = Tally::default();
    for (name, weight) in [("arena", 1.0), ("walk", 0.4), ("crowd", 0.2), ("city", 0.5)] {
        all.merge(&scenario(name)?, weight);
    }
    for path in std::env::args().skip(1) {
        let trace = Trace::open(&[path])?;
        let players = trace.tracks.iter().map(|track| {
            let player = TrackPlayer::new(track.clone(), 1.0);
            Box::new(player) as Box<dyn Motion>
        });
        let tally = match trace.space {
            SimSpace::Metric => game(players),
            SimSpace::Geodetic => fleet(players),
        };
        all.merge(&tally, 0.1);
    }
    shape_by_hand(&mut all);
    report(&all, &mut std::io::stderr().lock())?;
    print(&all, &mut std::io::stdout().lock())
}

fn scenario(name: &str) -> Result<Tally> {
    let scenario = Scenario::open(name)?;
    let cast = scenario.cast(1, ENTITIES, 300.0);
    let players = (0..ENTITIES).map(|entity| cast.entity(entity));
    Ok(if scenario.profile == Profile::Fleet { fleet(players) } else { game(players) })
}

fn game(players: impl Iterator<Item = Box<dyn Motion>>) -> Tally {
    let mut tally = Tally::default();
    for mut player in players {
        let knots = knots(player.as_mut());
        for (now, tick) in
            knots.iter().zip(0..GAME_TICKS).filter_map(|(k, t)| Some((k.as_ref()?, t)))
        {
            for age in (1..=u32::from(AGE_MAX)).chain(LONG_AGES).filter(|age| *age <= tick) {
                let base = knots[(tick - age) as usize].as_ref();
                if let Some(base) = base.filter(|base| base.tick < now.tick) {
                    count_knot(&mut tally, base, now, tick, age);
                }
            }
        }
    }
    tally
}

/// The newest knot as of each tick, by the rule of the server.
fn knots(player: &mut dyn Motion) -> Vec<Option<Knot>> {
    let rate = TickRate::new(GAME_HZ).expect("in range");
    let (mut knots, mut newest, mut last) = (Vec::new(), None::<Knot>, None);
    for tick in 0..GAME_TICKS {
        let pose = player.pose(f64::from(tick) / f64::from(GAME_HZ));
        let Some((pose, at)) = pose.and_then(|p| Some((p, Space::Metric.snap(p.position).ok()?)))
        else {
            knots.push(newest);
            continue;
        };
        let before: IPos = last.replace(at).unwrap_or(at);
        let velocity = pose.velocity.map_or_else(
            || [0, 1, 2].map(|a: usize| (at.0[a] - before.0[a]) * i32::from(GAME_HZ)),
            |v| v.map(|c| (c * 1024.0).round() as i32),
        );
        let orientation = turned(pose.facing);
        let holds = newest.is_some_and(|knot| {
            knot.holds(Tick(tick), at) && orientation_holds(knot.orientation, orientation)
        });
        if !holds {
            let (pos, vel) = (snap_knot(at), snap_velocity(velocity, rate));
            newest = Some(Knot { tick: Tick(tick), pos, vel, orientation });
        }
        knots.push(newest);
    }
    knots
}

fn turned(facing: Facing) -> Orientation {
    match facing {
        Facing::None => Orientation::None,
        Facing::Heading(degrees) => {
            Orientation::Heading((degrees / 360.0 * 256.0).round().rem_euclid(256.0) as u8)
        }
        Facing::Quaternion(q) => Orientation::from_quaternion(q.map(|c| c as f32)),
    }
}

fn count_knot(tally: &mut Tally, base: &Knot, now: &Knot, tick: u32, age: u32) {
    let long = age > u32::from(AGE_MAX);
    let (class, weight) = (class(age), if long { LONG_WEIGHT } else { 1.0 });
    let at = snap_knot(base.predict(now.tick));
    let moved = [0, 1, 2].map(|a: usize| (now.pos[a] - at[a]) / KNOT_GRID);
    let sped = [0, 1, 2].map(|a: usize| i32::from(now.vel[a]) - i32::from(base.vel[a]));
    let turned = now.orientation != base.orientation;
    let parts = [
        moved[0] != 0 || moved[1] != 0,
        moved[2] != 0,
        sped[0] != 0 || sped[1] != 0,
        sped[2] != 0,
        turned,
    ];
    let head = parts.iter().enumerate().map(|(bit, part)| usize::from(*part) << bit).sum();
    tally.count("HEAD", class, head, weight);
    if age > 1 && !long {
        tally.count("LAG", class, (tick - now.tick.0) as usize, weight);
    }
    let mut residuals = |table, part: bool, values: &[i32]| {
        for value in values.iter().filter(|_| part) {
            tally.residual(table, class, *value, weight);
        }
    };
    residuals("POSITION_XY", parts[0], &moved[..2]);
    residuals("POSITION_Z", parts[1], &moved[2..]);
    residuals("VELOCITY_XY", parts[2], &sped[..2]);
    residuals("VELOCITY_Z", parts[3], &sped[2..]);
    if turned {
        count_turn(
            tally,
            ["HEADING", "LOOK", "QUATERNION"],
            class,
            base.orientation,
            now.orientation,
            weight,
        );
    }
}

/// No source has looks: yaw is taken from headings at sixteen times their resolution, pitch at
/// four.
fn count_turn(
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

fn fleet(players: impl Iterator<Item = Box<dyn Motion>>) -> Tally {
    let mut tally = Tally::default();
    for mut player in players {
        let (mut newest, mut last_at_s) = (None::<FixState>, f64::NEG_INFINITY);
        for tick in 0..FLEET_TICKS {
            let pose = player.pose(f64::from(tick) / f64::from(FLEET_HZ));
            let fresh = pose.filter(|pose| pose.at_s > last_at_s);
            let Some(pose) = fresh else { continue };
            let Ok(at) = Space::Geodetic.snap(pose.position) else { continue };
            last_at_s = pose.at_s;
            let (at, orientation) = (snap_fix(Space::Geodetic, at), turned(pose.facing));
            let now = Tick(tick);
            newest = Some(match newest {
                None => FixState::first(now, at, orientation),
                Some(last) => {
                    let next = last.then(now, at, orientation);
                    count_fix(&mut tally, &last, &next);
                    next
                }
            });
        }
    }
    tally
}

fn count_fix(tally: &mut Tally, last: &FixState, now: &FixState) {
    let expected = last.predict(Space::Geodetic, now.tick).0;
    let nearest = |d: i32, unit: i32| (d + unit / 2).div_euclid(unit);
    let around = wrap_longitude(i64::from(now.pos.0[1]) - i64::from(expected[1]));
    let moved = [
        nearest(now.pos.0[0] - expected[0], LATITUDE_UNIT),
        nearest(around, longitude_unit(now.pos.0[0])),
        nearest(now.pos.0[2] - expected[2], ALTITUDE_UNIT),
    ];
    let turned = now.orientation != last.orientation;
    let axes: usize = (0..3).map(|axis| usize::from(moved[axis] != 0) << axis).sum();
    tally.count("FIX_HEAD", 0, axes | usize::from(turned) << 3, 1.0);
    for axis in (0..3).filter(|axis| moved[*axis] != 0) {
        let table = if axis < 2 { "FIX_PLANE" } else { "FIX_ALTITUDE" };
        tally.residual(table, 0, moved[axis], 1.0);
    }
    if turned {
        let tables = ["FIX_HEADING", "FIX_LOOK", "FIX_QUATERNION"];
        count_turn(tally, tables, 0, last.orientation, now.orientation, 1.0);
    }
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
    let quaternions = tally.0.get(&("QUATERNION", 2)).copied();
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

/// Bits of a mean code by age class, the lag of long bases aside.
fn report(tally: &Tally, out: &mut impl Write) -> Result<()> {
    for class in 0..CLASSES {
        let codes: f64 = tally.0.get(&("HEAD", class)).map_or(1.0, |row| row.iter().sum());
        let mut bits = 0.0;
        for (name, _, symbols) in KNOT_TABLES.into_iter().filter(|t| t.0 != "LOOK") {
            if name == "LAG" && class == 0 {
                continue;
            }
            let symbols = if name == "LAG" { lags(class) } else { symbols };
            let lengths = lengths(tally, name, class, symbols);
            let row = tally.0.get(&(name, class)).copied().unwrap_or([0.0; SYMBOLS]);
            let plain = matches!(name, "HEAD" | "LAG");
            for (symbol, count) in row.iter().enumerate() {
                let raw = if symbol < 8 || plain { 0 } else { symbol - 5 };
                bits += count * (f64::from(lengths[symbol]) + raw as f64);
            }
        }
        writeln!(out, "class {class}: {:.2} bits per code", bits / codes)?;
    }
    Ok(())
}

fn print(tally: &Tally, out: &mut impl Write) -> Result<()> {
    writeln!(out, "//! Code lengths of version 1, as numbers.\n//!")?;
    writeln!(
        out,
        "//! One row per table, one number per symbol: the length of its code in bits, 0"
    )?;
    writeln!(
        out,
        "//! where the symbol has none. Made by `client-sim/examples/train_tables.rs` from"
    )?;
    writeln!(out, "//! the scenarios and recorded matches and buses. A change here is a new")?;
    writeln!(out, "//! [`crate::version::TABLES`].\n")?;
    writeln!(out, "use super::{{CLASSES, SYMBOLS}};\n")?;
    writeln!(out, "type Row = [u8; SYMBOLS];\ntype Rows = [Row; CLASSES];")?;
    for (name, about, symbols) in KNOT_TABLES {
        writeln!(out, "\n/// {about}, per age class.\npub const {name}: Rows = [")?;
        for class in 0..CLASSES {
            let symbols = if name == "LAG" { lags(class) } else { symbols };
            writeln!(out, "    {:?},", lengths(tally, name, class, symbols))?;
        }
        writeln!(out, "];")?;
    }
    for (name, about, symbols) in FIX_TABLES {
        let lengths = lengths(tally, name, 0, symbols);
        writeln!(out, "\n/// {about}.\npub const {name}: Row = {lengths:?};")?;
    }
    Ok(())
}

/// A knot is younger than its base, so the greatest age of a class bounds the lag.
fn lags(class: usize) -> usize {
    [SYMBOLS, 2, 3, 4, 6, 9, 15, 31][class]
}

fn lengths(tally: &Tally, table: &'static str, class: usize, symbols: usize) -> [u8; SYMBOLS] {
    let mut row = tally.0.get(&(table, class)).copied().unwrap_or([0.0; SYMBOLS]);
    let total = row.iter().sum::<f64>().max(1e-9);
    for (symbol, count) in row.iter_mut().enumerate() {
        *count = if symbol < symbols { count.max(total * UNSEEN) } else { 0.0 };
    }
    package_merge(&row)
}

/// Lengths of the best prefix code of at most [`CODE_BITS_MAX`] bits (Larmore and Hirschberg,
/// 1990). Counts of zero get no code.
fn package_merge(counts: &Row) -> [u8; SYMBOLS] {
    type Package = (f64, Vec<usize>);
    let by_weight = |a: &Package, b: &Package| a.0.total_cmp(&b.0);
    let mut coins: Vec<Package> = (0..SYMBOLS)
        .filter(|symbol| counts[*symbol] > 0.0)
        .map(|symbol| (counts[symbol], vec![symbol]))
        .collect();
    coins.sort_by(by_weight);
    let mut packages: Vec<Package> = Vec::new();
    for _ in 0..CODE_BITS_MAX {
        let mut all = [coins.clone(), packages].concat();
        all.sort_by(by_weight);
        let pairs = all.chunks_exact(2);
        packages = pairs.map(|p| (p[0].0 + p[1].0, [&p[0].1[..], &p[1].1].concat())).collect();
    }
    let mut lengths = [0; SYMBOLS];
    for symbol in packages.iter().take(coins.len() - 1).flat_map(|package| &package.1) {
        lengths[*symbol] += 1;
    }
    lengths
}
