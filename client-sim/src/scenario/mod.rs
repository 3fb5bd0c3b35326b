//! Scenarios: which motion, in which space, over how large an area, judged by which limits.
//!
//! A scenario is a TOML file. Four are built in; `--scenario FILE.toml` reads another:
//!
//! ```toml
//! name = "raid"                 # shown in the report
//! about = "forty players on one boss"
//! space = "metric"              # metric | geodetic
//! profile = "game"              # game | fleet | events
//! motion = "arena"              # walk | arena | crowd (metric), city (geodetic)
//! radius_m = 30                 # of each client's area of interest
//! cues_per_s = 0.5              # that each client gives unless --cues-per-s says otherwise
//! # centre = [47.0, 8.0, 0.0]   # geodetic only: latitude, longitude, altitude
//!
//! [slo]                         # all optional; what must always hold is judged anyway
//! error_max_over_bound_m = 0.0
//! ticks = 1                     # what the next two start from
//! staleness_p99_over_tick_ms = 10
//! enter_p99_over_tick_ms = 60
//! bytes_per_visible_update = 3.5
//! event_latency_p99_ms = 60
//! tick_p99_ms = 20              # needs --metrics
//! cpu_us_per_client_tick = 35   # needs --metrics, 100 clients and 40 visible
//!
//! [slo_faulted]                 # with --link, instead of [slo] and what the link is granted
//! staleness_p99_over_tick_ms = 1500
//! ```

mod area;

pub use area::Area;

use crate::motion::{CityVehicle, HotSpots, Motion, Pedestrian, Plaza, Streets, Walker};
use crate::space::{Position, Space};
use crate::verdict::Slo;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// The built-in scenarios, by name.
const BUILT_IN: [(&str, &str); 4] = [
    ("walk", include_str!("../../scenarios/walk.toml")),
    ("arena", include_str!("../../scenarios/arena.toml")),
    ("crowd", include_str!("../../scenarios/crowd.toml")),
    ("city", include_str!("../../scenarios/city.toml")),
];

/// One kind of load, and the limits it is judged by.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Shown in the report.
    pub name: String,
    /// What it is, in one line.
    #[serde(default)]
    pub about: String,
    /// The space of the world it needs.
    pub space: Space,
    /// The profile of the world it needs.
    #[serde(default)]
    pub profile: Profile,
    /// How its entities move.
    pub motion: MotionKind,
    /// Radius of each client's area of interest, in metres.
    pub radius_m: f64,
    /// Where a geodetic scenario takes place.
    #[serde(default)]
    pub centre: Position,
    /// Cues that each client gives per second unless the command line says otherwise.
    #[serde(default)]
    pub cues_per_s: f64,
    /// Limits on a clean link.
    #[serde(default)]
    pub slo: Slo,
    /// Limits on a link with faults, instead of those derived from the clean ones and the link.
    #[serde(default)]
    pub slo_faulted: Slo,
}

/// What sort of world a scenario is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Fast ticks, velocities, a tight error bound.
    #[default]
    Game,
    /// Fixes now and then, over a wide area.
    Fleet,
    /// Hardly any motion; events matter.
    Events,
}

/// How the entities of a scenario move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MotionKind {
    /// Straight random waypoints.
    Walk,
    /// Players of a game, and cars of real matches.
    Arena,
    /// Pedestrians.
    Crowd,
    /// Vehicles in streets.
    City,
}

impl Scenario {
    /// Names of the built-in scenarios.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A built-in scenario by name, or a file when the name ends in `.toml`.
    ///
    /// # Errors
    /// An unknown name, a file that cannot be read, or a mistake in it, with its line.
    pub fn open(name: &str) -> Result<Self> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Self::parse(text);
        }
        if !name.ends_with(".toml") {
            let known: Vec<_> = Self::names().collect();
            bail!("no scenario `{name}`; there are {}, or a FILE.toml", known.join(", "));
        }
        let text = std::fs::read_to_string(Path::new(name))
            .with_context(|| format!("cannot read the scenario {name}"))?;
        Self::parse(&text).with_context(|| format!("in the scenario {name}"))
    }

    /// Reads a scenario from TOML.
    ///
    /// # Errors
    /// Unknown or missing fields, and values that make no sense.
    pub fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.name.is_empty(), "name is empty");
        ensure!(
            self.radius_m.is_finite() && self.radius_m > 0.0,
            "radius_m must be above 0, not {}",
            self.radius_m
        );
        ensure!(self.cues_per_s >= 0.0, "cues_per_s cannot be negative");
        let needs = match self.motion {
            MotionKind::City => Space::Geodetic,
            MotionKind::Walk | MotionKind::Arena | MotionKind::Crowd => Space::Metric,
        };
        ensure!(self.space == needs, "motion {:?} needs space {needs:?}", self.motion);
        ensure!(self.space.contains(self.centre), "centre {:?} is not a place", self.centre);
        Ok(())
    }

    /// Makes the motion of entity after entity in an area.
    #[must_use]
    pub fn cast(&self, seed: u64, entities: u32, side_m: f64) -> Cast {
        let stage = match self.motion {
            MotionKind::Walk => Stage::Field(side_m),
            MotionKind::Arena => Stage::Arena(Arc::new(HotSpots::new(seed, entities, side_m))),
            MotionKind::Crowd => Stage::Plaza(Arc::new(Plaza::new(seed, entities, side_m))),
            MotionKind::City => Stage::Town(Arc::new(Streets::new(self.centre, side_m))),
        };
        Cast { seed, stage }
    }
}

/// The entities of one run. Clones share what the entities share.
#[derive(Clone)]
pub struct Cast {
    seed: u64,
    stage: Stage,
}

#[derive(Clone)]
enum Stage {
    Field(f64),
    Arena(Arc<HotSpots>),
    Plaza(Arc<Plaza>),
    Town(Arc<Streets>),
}

impl Cast {
    /// The motion of entity number `entity`.
    #[must_use]
    pub fn entity(&self, entity: u32) -> Box<dyn Motion> {
        match &self.stage {
            Stage::Field(side_m) => Box::new(Walker::new(self.seed, entity, *side_m)),
            Stage::Arena(arena) => arena.entity(self.seed, entity),
            Stage::Plaza(plaza) => Box::new(Pedestrian::new(Arc::clone(plaza), self.seed, entity)),
            Stage::Town(town) => Box::new(CityVehicle::new(Arc::clone(town), self.seed, entity)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_is_well_formed_and_bears_its_name() {
        for name in Scenario::names() {
            let scenario = Scenario::open(name).expect("built-in scenarios parse");
            assert_eq!(scenario.name, name);
            assert!(scenario.slo.staleness_p99_over_tick_ms.is_some());
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let text = "name = \"x\"\nspace = \"metric\"\nmotion = \"walk\"\nradius = 5\n";
        let error = format!("{:#}", Scenario::parse(text).expect_err("`radius` is no field"));
        assert!(error.contains("line 4") && error.contains("radius"), "{error}");
        let nested = "name = \"x\"\nspace = \"metric\"\nmotion = \"walk\"\nradius_m = 5\n\
                      [slo]\nstaleness = 4\n";
        let error = format!("{:#}", Scenario::parse(nested).expect_err("`staleness` is no limit"));
        assert!(error.contains("line 6"), "{error}");
    }

    #[test]
    fn motion_and_space_must_fit_each_other() {
        let text = "name = \"x\"\nspace = \"geodetic\"\nmotion = \"walk\"\nradius_m = 5\n";
        assert!(Scenario::parse(text).is_err());
    }

    #[test]
    fn an_unknown_name_lists_what_there_is() {
        let error = Scenario::open("moon").expect_err("there is no such scenario").to_string();
        assert!(error.contains("walk, arena, crowd, city"), "{error}");
    }
}
