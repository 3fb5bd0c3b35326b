//! A seeded link conditioner: what a bad network does to packets, in a form that replays exactly.
//!
//! It sits below QUIC and sees whole UDP packets, one way. It is pure: the driver pushes packets
//! with the time and pops them when they are due. The same profile, seed and pushes give the same
//! faults on every platform.
//!
//! ```
//! use starling_protocol::units::Nanos;
//! use starling_transport::conditioner::{Conditioner, LinkProfile};
//!
//! let mut link = Conditioner::new(LinkProfile::parse("delay=60ms")?, 7);
//! link.push(Nanos(0), vec![1, 2, 3]);
//! assert_eq!(link.next_due(), Some(Nanos::from_millis(60)));
//! assert_eq!(link.pop(Nanos::from_millis(59)), None);
//! assert_eq!(link.pop(Nanos::from_millis(60)), Some(vec![1, 2, 3]));
//! # Ok::<(), starling_transport::conditioner::LinkError>(())
//! ```

mod profile;
mod quantity;
pub(crate) mod rng;

pub use profile::{Blackout, LinkError, LinkProfile};
pub use quantity::Fraction;

use bytes::Bytes;
use rng::Rng;
use starling_protocol::units::Nanos;
use std::collections::BTreeMap;

/// Packets in flight on one direction of one link: a second at 4,000 packets a second.
pub const IN_FLIGHT_MAX: usize = 4_096;
/// How long a packet that is to be overtaken waits for one that overtakes it.
const OVERTAKE_NS: u64 = 50 * Nanos::MILLISECOND;
/// IPv4 and UDP headers, which take their share of a bottleneck.
const HEADER_BYTES: u64 = 28;
/// Scale of the probability of falling into a burst of losses.
const BILLION: u64 = 1_000_000_000;

/// What a conditioner can carry.
pub trait Packet: Clone {
    /// Bytes of UDP payload.
    fn payload_bytes(&self) -> usize;

    /// Damages the packet; `random` chooses the bit.
    fn corrupt(&mut self, random: u64);
}

impl Packet for Vec<u8> {
    fn payload_bytes(&self) -> usize {
        self.len()
    }

    fn corrupt(&mut self, random: u64) {
        let bits = self.len() as u64 * 8;
        if let Some(bit) = random.checked_rem(bits) {
            self[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }
}

impl Packet for Bytes {
    fn payload_bytes(&self) -> usize {
        self.len()
    }

    fn corrupt(&mut self, random: u64) {
        let mut copy = self.to_vec();
        copy.corrupt(random);
        *self = Self::from(copy);
    }
}

/// What became of the packets pushed into a [`Conditioner`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConditionerStats {
    /// Packets pushed.
    pub offered: u64,
    /// Packets popped, copies included.
    pub delivered: u64,
    /// Packets lost by the dice.
    pub lost: u64,
    /// Packets lost in a blackout.
    pub blacked_out: u64,
    /// Packets dropped at the tail of the bottleneck's queue.
    pub tail_dropped: u64,
    /// Packets dropped because [`IN_FLIGHT_MAX`] others were in flight.
    pub overflowed: u64,
    /// Packets that were doubled.
    pub duplicated: u64,
    /// Packets held back to be overtaken.
    pub reordered: u64,
    /// Packets damaged.
    pub corrupted: u64,
}

/// One direction of a link.
#[derive(Clone, Debug)]
pub struct Conditioner<T> {
    profile: LinkProfile,
    rng: Rng,
    /// The link's start, from which blackouts and rebinds count.
    origin: Option<Nanos>,
    /// Whether the two-state chain is in its losing state.
    in_burst: bool,
    /// When the bottleneck will have sent all that waits at it.
    busy_until: Nanos,
    /// Packets by time of arrival, then by order of departure.
    in_flight: BTreeMap<(Nanos, u64), T>,
    departures: u64,
    /// The packet that waits to be overtaken: where it is filed, and when it was due.
    held: Option<((Nanos, u64), Nanos)>,
    rebinds_told: u64,
    stats: ConditionerStats,
}

impl<T: Packet> Conditioner<T> {
    /// A link that starts at the time of its first call.
    #[must_use]
    pub fn new(profile: LinkProfile, seed: u64) -> Self {
        Self {
            profile,
            rng: Rng::new(seed),
            origin: None,
            in_burst: false,
            busy_until: Nanos(0),
            in_flight: BTreeMap::new(),
            departures: 0,
            held: None,
            rebinds_told: 0,
            stats: ConditionerStats::default(),
        }
    }

    /// The same link, with its start fixed: two directions of one link share their blackouts.
    #[must_use]
    pub fn started_at(mut self, origin: Nanos) -> Self {
        self.origin = Some(origin);
        self
    }

    /// What this link does.
    #[must_use]
    pub const fn profile(&self) -> &LinkProfile {
        &self.profile
    }

    /// Changes what happens to packets pushed from now on; the link's start stays.
    pub fn set_profile(&mut self, profile: LinkProfile) {
        self.profile = profile;
        self.in_burst = false;
    }

    /// Counters since the start.
    #[must_use]
    pub const fn stats(&self) -> &ConditionerStats {
        &self.stats
    }

    /// Packets that are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Puts a packet on the link, or loses it.
    pub fn push(&mut self, now: Nanos, packet: T) {
        self.stats.offered += 1;
        if self.dark(now) {
            self.stats.blacked_out += 1;
        } else if self.loses() {
            self.stats.lost += 1;
        } else if let Some(departure) = self.pass_bottleneck(now, packet.payload_bytes()) {
            self.launch(departure, packet);
        } else {
            self.stats.tail_dropped += 1;
        }
    }

    /// Takes the next packet that has arrived by `now`.
    pub fn pop(&mut self, now: Nanos) -> Option<T> {
        let first = self.in_flight.first_entry().filter(|first| first.key().0 <= now)?;
        self.stats.delivered += 1;
        Some(first.remove())
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn next_due(&self) -> Option<Nanos> {
        self.in_flight.first_key_value().map(|((due, _), _)| *due)
    }

    /// How often the source port should have changed since this was last asked.
    pub fn rebinds_due(&mut self, now: Nanos) -> u64 {
        let elapsed = now.since(*self.origin.get_or_insert(now));
        let due = self.profile.rebind_every_ns.map_or(0, |every| elapsed / every);
        let news = due.saturating_sub(self.rebinds_told);
        self.rebinds_told += news;
        news
    }

    /// When the source port should change next.
    #[must_use]
    pub fn next_rebind(&self) -> Option<Nanos> {
        let every = self.profile.rebind_every_ns?;
        Some(self.origin? + every.saturating_mul(self.rebinds_told + 1))
    }

    /// Bytes that wait at the bottleneck.
    #[must_use]
    pub fn backlog_bytes(&self, now: Nanos) -> u64 {
        let Some(rate) = self.profile.rate_bps else { return 0 };
        let wait_ns = u128::from(self.busy_until.since(now));
        (wait_ns * u128::from(rate) / (8 * u128::from(BILLION))) as u64
    }

    fn dark(&mut self, now: Nanos) -> bool {
        let elapsed = now.since(*self.origin.get_or_insert(now));
        self.profile.blackout.is_some_and(|blackout| blackout.covers(elapsed))
    }

    fn loses(&mut self) -> bool {
        let (loss, burst) = (self.profile.loss, u64::from(self.profile.burst_packets));
        if burst == 1 || loss.ppm() == 0 || loss == Fraction::percent(100) {
            return self.chance(loss);
        }
        self.in_burst =
            if self.in_burst { self.rng.below(burst) != 0 } else { self.falls(loss, burst) };
        self.in_burst
    }

    /// Gilbert-Elliott: leaving with 1/b and falling with p / (b (1 - p)) loses p in runs of b.
    fn falls(&mut self, loss: Fraction, burst: u64) -> bool {
        let loss = u64::from(loss.ppm());
        self.rng.below(BILLION) < loss * BILLION / (burst * (1_000_000 - loss))
    }

    /// When a packet has left the bottleneck; `None` when its queue is full.
    fn pass_bottleneck(&mut self, now: Nanos, payload_bytes: usize) -> Option<Nanos> {
        let Some(rate) = self.profile.rate_bps else { return Some(now) };
        let bytes = payload_bytes as u64 + HEADER_BYTES;
        let backlog = self.backlog_bytes(now);
        if backlog > 0 && backlog + bytes > self.profile.queue_bytes {
            return None;
        }
        self.busy_until = self.busy_until.max(now) + (bytes * 8).saturating_mul(BILLION) / rate;
        Some(self.busy_until)
    }

    fn launch(&mut self, departure: Nanos, mut packet: T) {
        if self.chance(self.profile.corrupt) {
            packet.corrupt(self.rng.next());
            self.stats.corrupted += 1;
        }
        if self.chance(self.profile.duplicate) {
            self.stats.duplicated += 1;
            let due = self.arrival(departure);
            self.file(due, packet.clone());
        }
        let due = self.arrival(departure);
        let overtaken = self.chance(self.profile.reorder);
        let waiting = self.held.take();
        let key = self.file(if overtaken { due + OVERTAKE_NS } else { due }, packet);
        if overtaken && key.is_some() {
            self.stats.reordered += 1;
            self.held = key.map(|key| (key, due));
        }
        if let Some((key, own_due)) = waiting {
            self.release(key, own_due.max(due) + 1);
        }
    }

    fn arrival(&mut self, departure: Nanos) -> Nanos {
        let (delay, jitter) = (self.profile.delay_ns, self.profile.jitter_ns);
        if jitter == 0 {
            return departure + delay;
        }
        let spread = self.rng.below(jitter.saturating_mul(2));
        departure + (delay + spread).saturating_sub(jitter)
    }

    fn file(&mut self, due: Nanos, packet: T) -> Option<(Nanos, u64)> {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            self.stats.overflowed += 1;
            return None;
        }
        self.departures += 1;
        let key = (due, self.departures);
        self.in_flight.insert(key, packet);
        Some(key)
    }

    /// Lets a held packet go right behind the one that overtook it, unless it went already.
    fn release(&mut self, key: (Nanos, u64), due: Nanos) {
        if let Some(packet) = self.in_flight.remove(&key) {
            self.in_flight.insert((due.min(key.0), key.1), packet);
        }
    }

    fn chance(&mut self, part: Fraction) -> bool {
        part > Fraction::ZERO && self.rng.below(1_000_000) < u64::from(part.ppm())
    }
}

#[cfg(test)]
mod tests;
