//! What the truth found.

use crate::meter::{Distribution, Timeline};
use serde::Serialize;
use std::fmt;

/// Wrong pairs, and copies beyond the bound, that are named one by one; the rest is only counted.
pub(super) const WRONG_NAMED_MAX: usize = 50;

/// The result of judging a run.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// (client, entity, tick) that were compared with the brute-force truth.
    pub pairs_checked: u64,
    /// (client, entity) that were wrong for longer than the grace, each time they were.
    pub wrong_set: u64,
    /// The first of them.
    pub wrong: Vec<WrongPair>,
    /// Copies whose state was of an earlier tick than one that the client had before.
    pub went_back: u64,
    /// Frames of judged clients.
    pub frames: u64,
    /// Entities that they held, summed.
    pub held: u64,
    /// Copies that were right within the bound.
    pub visible_updates: u64,
    /// Of these, those that needed a record.
    pub changed: u64,
    /// Copies in frames that arrived which were off by more than the bound.
    pub over_bound: u64,
    /// The first of them.
    pub over: Vec<OverBound>,
    /// Samples that no record was needed for.
    pub covered: u64,
    /// From the moment of sampling to the decode of the first state that reflects it.
    pub staleness_ms: Distribution,
    /// Copy against accepted position, at ticks that arrived.
    pub error_m: Distribution,
    /// What would be drawn against where the owner was at that moment.
    pub view_error_m: Distribution,
    /// How far what would be drawn lies behind.
    pub view_age_ms: Distribution,
    /// From the sample that brought a pair together to the decode of the first copy.
    pub enter_ms: Distribution,
    /// From the sample that parted a pair to the frame without the copy.
    pub leave_ms: Distribution,
    /// What became of the events.
    pub events: EventFindings,
    /// What became of the cues.
    pub cues: CueFindings,
    /// Frames that were not judged because the truth could not keep up.
    pub frames_shed: u64,
    /// Columns of the truth.
    pub timeline: Timeline,
}

/// What became of the events.
#[derive(Clone, Debug, Default)]
pub struct EventFindings {
    /// Handed over for publishing within the measured time.
    pub published: u64,
    /// Acknowledged by the server.
    pub acked: u64,
    /// Refused by the server.
    pub refused: u64,
    /// Arrived, each once per recipient.
    pub delivered: u64,
    /// Owed to a recipient and not arrived; or never acknowledged.
    pub lost: u64,
    /// Arrived at a recipient once more.
    pub duplicated: u64,
    /// Arrived after a later one of the same stream.
    pub out_of_order: u64,
    /// Arrived at somebody whom they were clearly not for, or were published by nobody.
    pub stray: u64,
    /// Not followed: the run published more than can be.
    pub unjudged: u64,
    /// From handing over to arrival.
    pub latency_ms: Distribution,
    /// The first of the lost, duplicated, disordered and stray ones.
    pub named: Vec<String>,
}

/// What became of the cues.
#[derive(Clone, Debug, Default)]
pub struct CueFindings {
    /// Taken for sending.
    pub sent: u64,
    /// Not taken for sending.
    pub refused: u64,
    /// Deliveries that were owed for certain.
    pub owed: u64,
    /// Arrived, each once per recipient.
    pub delivered: u64,
    /// Owed for certain, and not arrived.
    pub lost: u64,
    /// Arrived at a recipient once more.
    pub duplicated: u64,
    /// Arrived when they were of no use any more.
    pub late: u64,
    /// Arrived at somebody whom they were clearly not for, or were given by nobody.
    pub stray: u64,
    /// Hearings of which it is not known whether they were rightful: too many came at once.
    pub unjudged: u64,
    /// The first of those that went wrong.
    pub named: Vec<String>,
}

/// A client that does not see what it should, or sees what it should not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrongPair {
    /// The observer.
    pub client: u32,
    /// The entity, by name.
    pub entity: String,
    /// Which way it is wrong.
    pub what: Wrong,
    /// The tick since which the entity is inside or outside.
    pub since_tick: u32,
    /// The tick at which it was found wrong.
    pub found_tick: u32,
}

/// A client's copy of an entity that is farther from the accepted position than the server states.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverBound {
    /// Whose copy.
    pub client: u32,
    /// Of which entity, by name.
    pub entity: String,
    /// At which tick.
    pub tick: u32,
    /// By so many metres it is off.
    pub error_m: f64,
}

impl fmt::Display for OverBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, entity, tick, error_m } = self;
        write!(f, "client {client}: {entity} off by {error_m:.3} m at tick {tick}")
    }
}

/// Which way a pair is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// The client should hold it and does not.
    Missing,
    /// The client should have dropped it and has not.
    StillPresent,
}
