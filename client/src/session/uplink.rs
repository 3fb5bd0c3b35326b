//! The datagrams that go up, and what becomes of each.

use crate::clock::ServerClock;
use crate::session::awaited::Awaited;
use crate::session::cue::CuesUp;
use crate::session::input::Inputs;
use crate::session::own::{Owned, Repeat};
use crate::session::pace::Pace;
use starling_protocol::limits::UPLINK_DATAGRAMS_PER_TICK_MAX;
use starling_protocol::space::Space;
use starling_protocol::units::{Nanos, Tick, newer16};
use starling_protocol::uplink::{Ack, SampleUp, UplinkWriter};

/// Uplinks whose fate is remembered.
const REMEMBERED: usize = 256;
/// A fold report speaks of the newest uplink and of so many before it.
const REPORTED: u16 = 32;
/// Samples of a gateway that fit one datagram at the least.
const SAMPLES_PER_DATAGRAM: usize = 40;
/// Ticks to wait for the news that a sample arrived, beside the round trip.
const PATIENCE_TICKS: u64 = 7;

/// The moment that samples are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The tick that the samples will be labelled with.
    pub tick: Tick,
    /// Its nominal instant, on this side's clock: deadlines of ticks, free of jitter.
    pub at: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Flown {
    sequence: u16,
    at: Nanos,
    newest_input: Option<u16>,
    folded: bool,
}

/// What one uplink may be asked to carry.
pub(crate) struct Cargo<'a> {
    pub(crate) space: Space,
    pub(crate) clock: &'a ServerClock,
    pub(crate) owned: &'a mut Owned,
    pub(crate) inputs: &'a mut Inputs,
    pub(crate) cues: &'a mut CuesUp,
    /// What has arrived, and whether any of it was not told yet.
    pub(crate) ack: Option<Ack>,
    pub(crate) ack_is_news: bool,
    pub(crate) keep_alive_ns: Option<u64>,
    /// When to ask whether the server is there.
    pub(crate) probe_at: Option<Nanos>,
}

impl Cargo<'_> {
    fn must_probe(&self, now: Nanos) -> bool {
        self.probe_at.is_some_and(|at| now >= at)
    }
}

/// A burst of datagrams for one tick.
#[derive(Debug)]
struct Round {
    /// Of the samples; `None` for one that only acknowledges.
    label: Option<Tick>,
    datagrams_left: usize,
    places_left: usize,
    first: bool,
    asked: bool,
}

/// Counts of what went up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UplinkCounts {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) samples: u64,
}

/// Everything that goes up by datagram.
#[derive(Debug)]
pub(crate) struct Uplink {
    pace: Pace,
    round: Option<Round>,
    next: u16,
    flown: Box<[Option<Flown>; REMEMBERED]>,
    newest_folded: Option<u16>,
    /// Uplinks before this one are counted as arrived or lost.
    judged: u16,
    last_sent: Option<Nanos>,
    cursor: usize,
    /// The program evaluates its samples when asked.
    asks: bool,
    awaited: Awaited,
    pub(crate) counts: UplinkCounts,
}

impl Uplink {
    pub(crate) fn new(first_sequence: u16) -> Self {
        Self {
            pace: Pace::default(),
            round: None,
            next: first_sequence,
            flown: Box::new([None; REMEMBERED]),
            newest_folded: None,
            judged: first_sequence,
            last_sent: None,
            cursor: 0,
            asks: false,
            awaited: Awaited::default(),
            counts: UplinkCounts::default(),
        }
    }

    /// A session begins or goes on, on another connection and perhaps at another time of the world.
    /// Sequences go on; what was under way is lost.
    pub(crate) fn restart(&mut self) {
        self.pace = Pace::default();
        self.round = None;
        self.awaited = Awaited::default();
        self.last_sent = None;
    }

    /// What the server owes since it last spoke.
    pub(crate) const fn awaited(&self) -> Awaited {
        self.awaited
    }

    /// When the newest uplink left.
    pub(crate) const fn last_sent(&self) -> Option<Nanos> {
        self.last_sent
    }

    /// The server spoke.
    pub(crate) fn answered(&mut self) {
        self.awaited = Awaited::default();
    }

    /// The tick that the newest uplink is labelled with.
    pub(crate) fn label(&self) -> Tick {
        self.pace.label().unwrap_or_default()
    }

    /// The number of the next uplink.
    pub(crate) const fn next_sequence(&self) -> u16 {
        self.next
    }

    /// The first datagram of a tick arrived.
    pub(crate) fn heard(&mut self, tick: Tick) {
        self.pace.heard(tick);
    }

    /// When this uplink left, while that is remembered.
    pub(crate) fn sent_at(&self, sequence: u16) -> Option<Nanos> {
        self.flown(sequence).map(|flown| flown.at)
    }

    fn flown(&self, sequence: u16) -> Option<&Flown> {
        let flown = self.flown[usize::from(sequence) % REMEMBERED].as_ref();
        flown.filter(|flown| flown.sequence == sequence)
    }

    fn is_folded(&self, sequence: u16) -> bool {
        self.flown(sequence).is_some_and(|flown| flown.folded)
    }

    /// The server folded `newest`, and `newest - 1 - i` for every set bit `i`.
    pub(crate) fn folded(&mut self, newest: u16, bits: u32, inputs: &mut Inputs) {
        self.fold_one(newest, inputs);
        for i in (0..REPORTED).filter(|i| bits >> i & 1 == 1) {
            self.fold_one(newest.wrapping_sub(1 + i), inputs);
        }
        if self.newest_folded.is_none_or(|known| newer16(newest, known)) {
            self.newest_folded = Some(newest);
            self.judge(newest.wrapping_sub(REPORTED));
        }
    }

    fn fold_one(&mut self, sequence: u16, inputs: &mut Inputs) {
        let flown = self.flown[usize::from(sequence) % REMEMBERED].as_mut();
        if let Some(flown) = flown.filter(|flown| flown.sequence == sequence) {
            flown.folded = true;
            if let Some(number) = flown.newest_input {
                inputs.received(number);
            }
        }
    }

    /// No report will speak of the uplinks before this one any more.
    fn judge(&mut self, before: u16) {
        while newer16(before, self.judged) {
            let known = self.flown(self.judged).is_some();
            self.counts.lost += u64::from(known && !self.is_folded(self.judged));
            self.judged = self.judged.wrapping_add(1);
        }
    }

    /// The moment that samples are wanted for, once per round.
    pub(crate) fn wants_samples(&mut self, now: Nanos, cargo: &Cargo<'_>) -> Option<Sampling> {
        self.asks = true;
        self.open(now, cargo);
        let round = self.round.as_mut()?;
        let tick = round.label.filter(|_| !round.asked)?;
        round.asked = true;
        Some(Sampling { tick, at: cargo.clock.local_time_of(now, tick) })
    }

    fn open(&mut self, now: Nanos, cargo: &Cargo<'_>) {
        if self.round.is_some() {
            return;
        }
        if self.pace.is_due(now, cargo.clock) {
            let label = self.pace.open(now, cargo.clock);
            self.begin(label, false, cargo);
        } else if self.errand_at(cargo).is_some_and(|at| now >= at) {
            self.pace.run_errand();
            // Nobody is asked: what goes is what came up.
            self.begin(self.pace.label(), true, cargo);
        }
    }

    /// When samples that came up since the last round may go without waiting for the next one.
    fn errand_at(&self, cargo: &Cargo<'_>) -> Option<Nanos> {
        let at = self.pace.errand_at(cargo.owned.len(), cargo.clock)?;
        // Last, for it looks at every entity.
        cargo.owned.has_fresh_for(self.pace.label()?).then_some(at)
    }

    fn begin(&mut self, label: Option<Tick>, asked: bool, cargo: &Cargo<'_>) {
        let owned = cargo.owned.len();
        let gateway =
            if owned > SAMPLES_PER_DATAGRAM { owned / SAMPLES_PER_DATAGRAM + 1 } else { 0 };
        self.round = Some(Round {
            label,
            datagrams_left: UPLINK_DATAGRAMS_PER_TICK_MAX + gateway,
            places_left: cargo.owned.places(),
            first: true,
            asked,
        });
    }

    /// Writes the next datagram of this round into `out`; false when there is none.
    pub(crate) fn poll(&mut self, now: Nanos, cargo: &mut Cargo<'_>, out: &mut Vec<u8>) -> bool {
        self.open(now, cargo);
        let written = self.write(now, cargo, out);
        if !written {
            self.round = None;
        }
        written
    }

    fn write(&mut self, now: Nanos, cargo: &mut Cargo<'_>, out: &mut Vec<u8>) -> bool {
        let Some(mut round) = self.round.take() else { return false };
        if round.datagrams_left == 0 {
            return false;
        }
        let label = self.label();
        let mut datagram = UplinkWriter::new(out, cargo.space, self.next, label);
        if let Some(ack) = cargo.ack {
            datagram.ack(ack);
        }
        let mut newest_input = None;
        let mut cues = 0;
        if round.first {
            newest_input = put_inputs(&mut datagram, cargo.inputs);
            cargo.cues.settle(label, |uplink| self.is_folded(uplink));
            cues = datagram.cues(cargo.cues.to_send(label));
        }
        // A second answer to the same tick only acknowledges.
        let samples = match round.label {
            Some(_) => self.put_samples(now, &mut round, cargo, &mut datagram),
            None => 0,
        };
        datagram.finish();
        let first = std::mem::replace(&mut round.first, false);
        let mut is_reported = samples > 0 || newest_input.is_some() || cues > 0;
        if !(is_reported || first && cargo.ack_is_news) {
            if !(first && self.must_show_life(now, cargo)) {
                out.clear();
                return false;
            }
            if cargo.must_probe(now) {
                out.clear(); // without its acknowledgement it is known for a probe
                UplinkWriter::new(out, cargo.space, self.next, label).finish();
            }
            is_reported = cargo.ack.is_none() || cargo.must_probe(now);
        }
        cargo.cues.sent(cues, self.next);
        self.counts.samples += samples;
        self.awaited.sent(now, is_reported);
        self.note_sent(now, newest_input);
        round.datagrams_left -= 1;
        self.round = Some(round);
        true
    }

    fn put_samples(
        &mut self,
        now: Nanos,
        round: &mut Round,
        cargo: &mut Cargo<'_>,
        datagram: &mut UplinkWriter<'_>,
    ) -> u64 {
        let round_trip_ns = cargo.clock.rtt_ns().unwrap_or(200 * Nanos::MILLISECOND);
        let rule = Repeat {
            now,
            label: self.label(),
            folded: |uplink| self.is_folded(uplink),
            patience_ns: round_trip_ns + PATIENCE_TICKS * cargo.clock.rate().period_ns(),
            keep_alive_ns: cargo.keep_alive_ns,
        };
        let (mut cursor, mut count) = (self.cursor, 0);
        while let Some((key, handle, sequence, sample)) =
            cargo.owned.next_due(&mut cursor, &mut round.places_left, &rule)
        {
            if !datagram.sample(&SampleUp { handle, sequence, sample }) {
                break;
            }
            cargo.owned.sent(key, self.next, rule.label, now);
            (cursor, count) = (cursor + 1, count + 1);
            round.places_left -= 1;
        }
        self.cursor = cursor % cargo.owned.places().max(1);
        count
    }

    fn must_show_life(&self, now: Nanos, cargo: &Cargo<'_>) -> bool {
        self.life_at(now, cargo).is_some_and(|at| now >= at)
    }

    /// When an uplink goes that has nothing to say: the first, to stay present, or to ask.
    fn life_at(&self, now: Nanos, cargo: &Cargo<'_>) -> Option<Nanos> {
        let present = match self.last_sent {
            None => Some(now),
            Some(last) => cargo.keep_alive_ns.map(|keep_alive_ns| last + keep_alive_ns),
        };
        present.into_iter().chain(cargo.probe_at).min()
    }

    fn note_sent(&mut self, now: Nanos, newest_input: Option<u16>) {
        let flown = Flown { sequence: self.next, at: now, newest_input, folded: false };
        self.flown[usize::from(self.next) % REMEMBERED] = Some(flown);
        self.next = self.next.wrapping_add(1);
        self.last_sent = Some(now);
        self.counts.sent += 1;
    }

    /// When the next uplink may be due though nothing arrives.
    pub(crate) fn next_timeout(&self, now: Nanos, cargo: &Cargo<'_>) -> Option<Nanos> {
        let something = cargo.ack_is_news
            || self.asks && cargo.owned.len() > 0
            || cargo.owned.has_fresh()
            || cargo.inputs.anything_to_send()
            || !cargo.cues.is_empty();
        let round = self.pace.unasked(now, cargo.clock);
        let life = self.life_at(now, cargo).map(|at| at.max(round));
        let next = if something { Some(round) } else { life };
        next.into_iter().chain(self.errand_at(cargo)).min()
    }
}

fn put_inputs(datagram: &mut UplinkWriter<'_>, inputs: &Inputs) -> Option<u16> {
    let (newest, payloads) = inputs.to_send();
    let any = payloads.len() > 0;
    datagram.inputs(newest, payloads);
    any.then_some(newest)
}
