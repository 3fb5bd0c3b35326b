//! One way of one client's link: what it does to a packet.

use super::Packet;
use crate::simulation::dice::Dice;
use crate::simulation::options::{Knob, Options};
use crate::simulation::trace::Verdict;
use starling_protocol::units::Nanos;
use std::collections::VecDeque;

/// What every packet takes at least.
const LEAST_NS: u64 = Nanos::MILLISECOND;
/// One that may be overtaken waits for at most this much longer.
const OVERTAKEN_NS: u64 = 40 * Nanos::MILLISECOND;
/// What a link without faults takes.
const CALM_NS: u64 = 2 * Nanos::MILLISECOND;
/// Packets of the past that can be played again.
const CAPTURED_MAX: usize = 64;

/// The faults of a run, as links know them.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    loss: f64,
    delay_ns: f64,
    twice: f64,
    reorder: f64,
    corrupt: f64,
    marks: f64,
    replays: f64,
    /// Nanoseconds that one packet takes of a link that is slow.
    each_ns: u64,
    queue: u64,
    mtu: usize,
}

impl Faults {
    pub(super) fn of(options: &Options) -> Self {
        Self {
            loss: options.chance(Knob::Loss),
            delay_ns: f64::from(options.get(Knob::DelayMs)) * 1e6,
            twice: options.chance(Knob::Twice),
            reorder: options.chance(Knob::Reorder),
            corrupt: options.chance(Knob::Corrupt),
            marks: options.chance(Knob::Marks),
            replays: options.chance(Knob::Replays),
            each_ns: Nanos::SECOND.checked_div(options.get(Knob::Rate).into()).unwrap_or(0),
            queue: options.get(Knob::Queue).into(),
            mtu: options.get(Knob::Mtu) as usize,
        }
    }
}

/// One way.
#[derive(Debug)]
pub(super) struct Lane {
    dice: Dice,
    /// Nothing passes until then.
    pub(super) cut_until: Nanos,
    /// What passes arrives no sooner than this.
    pub(super) clogged_until: Nanos,
    busy_until: Nanos,
    /// When the latest packet arrives that nothing overtook.
    newest: Nanos,
    captured: VecDeque<Packet>,
}

impl Lane {
    pub(super) fn new(dice: Dice) -> Self {
        let begin = Nanos(0);
        Self {
            dice,
            cut_until: begin,
            clogged_until: begin,
            busy_until: begin,
            newest: begin,
            captured: VecDeque::new(),
        }
    }

    /// From now on it is a good link.
    pub(super) fn mend(&mut self, now: Nanos) {
        self.cut_until = now;
        self.clogged_until = now;
    }

    /// A packet comes by: files what will arrive, with the time, and says what became of it.
    pub(super) fn pass(
        &mut self,
        now: Nanos,
        faults: Option<&Faults>,
        mut packet: Packet,
        arrive: &mut impl FnMut(Nanos, Packet),
    ) -> Verdict {
        if now < self.cut_until {
            return Verdict::Cut;
        }
        let Some(faults) = faults else {
            arrive(now + CALM_NS, packet);
            return Verdict::Passed;
        };
        if packet.bytes.len() > faults.mtu {
            return Verdict::TooLarge;
        }
        if self.dice.chance(faults.loss) {
            return Verdict::Lost;
        }
        if faults.each_ns > 0 {
            self.busy_until = self.busy_until.max(now) + faults.each_ns;
            if self.busy_until.since(now) > (faults.queue + 1) * faults.each_ns {
                self.busy_until = Nanos(self.busy_until.0 - faults.each_ns);
                return Verdict::Dropped;
            }
        }
        if packet.ecn_bits != 0 && self.dice.chance(faults.marks) {
            packet.ecn_bits = 3;
        }
        self.capture(faults, &packet);
        if self.dice.chance(faults.twice) {
            let at = self.when(now, faults);
            arrive(at, packet.clone());
        }
        if self.dice.chance(faults.corrupt) {
            self.flip(&mut packet);
        }
        let at = self.when(now, faults);
        arrive(at, packet);
        Verdict::Passed
    }

    /// A packet of the past, if one is played again now.
    pub(super) fn replay(&mut self, faults: Option<&Faults>) -> Option<Packet> {
        let faults = faults?;
        if self.captured.is_empty() || !self.dice.chance(faults.replays) {
            return None;
        }
        let place = self.dice.below(self.captured.len() as u64) as usize;
        self.captured.get(place).cloned()
    }

    fn capture(&mut self, faults: &Faults, packet: &Packet) {
        if faults.replays > 0.0 && self.dice.chance(0.2) {
            if self.captured.len() == CAPTURED_MAX {
                self.captured.pop_front();
            }
            self.captured.push_back(packet.clone());
        }
    }

    fn when(&mut self, now: Nanos, faults: &Faults) -> Nanos {
        let start = now.max(self.busy_until).max(self.clogged_until) + LEAST_NS;
        // Exponential, and never more than eight times the mean.
        let spread = (-(1.0 - self.dice.unit()).ln()).min(8.0) * faults.delay_ns;
        let at = start + spread as u64;
        if self.dice.chance(faults.reorder) {
            return at + self.dice.below(OVERTAKEN_NS);
        }
        self.newest = self.newest.max(at);
        self.newest
    }

    /// Flips one bit, but never the first: what looks like the packet of another version is answered
    /// by what TLS made of its bytes, which no seed decides.
    fn flip(&mut self, packet: &mut Packet) {
        let bits = packet.bytes.len() as u64 * 8;
        let bit = 1 + self.dice.below(bits - 1);
        packet.bytes[(bit / 8) as usize] ^= 0x80 >> (bit % 8);
        packet.flipped = true;
    }
}
