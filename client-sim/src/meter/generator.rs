//! What the swarm counts itself, thread by thread.

use super::{Distribution, Timeline};
use crate::target::Traffic;

/// Reasons for refusals and losses that are kept.
const REASONS_MAX: usize = 20;

/// The meter of one thread of the swarm. Rates count the measured time only; connections count
/// from the start.
#[derive(Clone, Debug, Default)]
pub struct GeneratorMeter {
    /// Clients let in at some time.
    pub connected: u64,
    /// Clients refused.
    pub refused: u64,
    /// Connections lost.
    pub lost: u64,
    /// Sessions that went on.
    pub resumed: u64,
    /// Sessions that had to be set up anew.
    pub reset: u64,
    /// Requests to resume that were refused.
    pub denied: u64,
    /// From loss to return, in milliseconds.
    pub gap_ms: Distribution,
    /// The first reasons for refusals and losses.
    pub reasons: Vec<String>,
    /// Lateness of each sample sent, in milliseconds.
    pub late_ms: Distribution,
    /// Round trips, in milliseconds.
    pub rtt_ms: Distribution,
    /// Samples sent.
    pub samples: u64,
    /// Frames of clients with an area.
    pub frames: u64,
    /// Entities held in these frames.
    pub visible: u64,
    /// Within the measured time.
    pub traffic: Traffic,
    /// Processor time of the thread, in nanoseconds, where the system tells.
    pub cpu_ns: Option<u64>,
    /// Columns that the swarm fills.
    pub timeline: Timeline,
}

impl GeneratorMeter {
    /// Keeps a reason, if there is room.
    pub fn reason(&mut self, text: String) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(text);
        }
    }

    /// Adds another thread's.
    pub fn merge(&mut self, other: Self) {
        self.connected += other.connected;
        self.refused += other.refused;
        self.lost += other.lost;
        self.resumed += other.resumed;
        self.reset += other.reset;
        self.denied += other.denied;
        self.gap_ms.merge(&other.gap_ms);
        other.reasons.into_iter().for_each(|reason| self.reason(reason));
        self.late_ms.merge(&other.late_ms);
        self.rtt_ms.merge(&other.rtt_ms);
        self.samples += other.samples;
        self.frames += other.frames;
        self.visible += other.visible;
        self.traffic = self.traffic.plus(other.traffic);
        self.cpu_ns = match (self.cpu_ns, other.cpu_ns) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        };
        self.timeline.merge(&other.timeline);
    }
}
