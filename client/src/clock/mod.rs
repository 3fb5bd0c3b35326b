//! What time it is on the server.
//!
//! Every CLOCK section echoes an uplink, says how long the server held it, and how late after the
//! tick's deadline it was sent. So `rtt = received - sent - held`, and the server's clock read
//! `deadline(tick) + lateness + rtt / 2` when the datagram arrived. Of the last samples the one
//! with the smallest round trip is believed, because queues only ever add (RFC 5905 section 10).

mod slew;
mod transit;

use slew::Slew;
use starling_protocol::units::{Nanos, Tick, TickRate};
use transit::Transit;

/// Samples that are remembered.
const SAMPLES: usize = 16;
/// The offset follows at one part in so many: 2 %, not visible in motion.
const OFFSET_SLOWNESS: u64 = 50;
/// A clock that is wrong by more than this jumps.
const OFFSET_JUMP_NS: i64 = 250_000_000;
/// The interpolation delay follows at 4 %.
const DELAY_SLOWNESS: u64 = 25;
const DELAY_JUMP_NS: i64 = 1_000_000_000;
/// Nothing is drawn farther behind than this.
const DELAY_NS_MAX: i64 = 1_000_000_000;
/// Added to the delay for the sake of timers.
const DELAY_MARGIN_NS: i64 = 1_000_000;

/// One measurement of the server's clock.
#[derive(Clone, Copy, Debug)]
pub struct ClockSample {
    /// The tick of the datagram that carried it.
    pub tick: Tick,
    /// When the uplink that it echoes was sent, on this side's clock.
    pub sent: Nanos,
    /// When the datagram arrived, on this side's clock.
    pub received: Nanos,
    /// How long the server held the uplink, in nanoseconds.
    pub held_ns: u64,
    /// How long after its tick's deadline the datagram was sent, in nanoseconds.
    pub late_ns: u64,
}

/// The server's clock as seen from here. Time is nanoseconds since the world's epoch began.
///
/// ```
/// use starling_client::ServerClock;
/// use starling_protocol::units::{Nanos, Tick, TickRate};
///
/// let rate = TickRate::new(20).expect("in range");
/// let now = Nanos::from_millis(100);
/// let clock = ServerClock::new(now, rate, 5_000_000); // the Welcome said: 5 s since the epoch
/// assert_eq!(clock.tick_at(now), Tick(100));
/// ```
#[derive(Debug)]
pub struct ServerClock {
    rate: TickRate,
    /// Server minus local.
    offset: Slew,
    delay: Slew,
    samples: [(u64, i64); SAMPLES],
    count: usize,
    smoothed_rtt_ns: f64,
    transit: Transit,
}

impl ServerClock {
    /// A clock that knows only what a Welcome said: so many microseconds since the epoch.
    #[must_use]
    pub fn new(now: Nanos, rate: TickRate, server_time_us: u64) -> Self {
        let server_ns = i64::try_from(server_time_us.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let delay_ns = 2 * rate.period_ns() as i64;
        Self {
            rate,
            offset: Slew::new(
                now,
                server_ns.saturating_sub(signed(now)),
                OFFSET_SLOWNESS,
                OFFSET_JUMP_NS,
            ),
            delay: Slew::new(now, delay_ns.min(DELAY_NS_MAX), DELAY_SLOWNESS, DELAY_JUMP_NS),
            samples: [(u64::MAX, 0); SAMPLES],
            count: 0,
            smoothed_rtt_ns: 0.0,
            transit: Transit::new(),
        }
    }

    /// Takes in one measurement.
    pub fn sample(&mut self, sample: ClockSample) {
        let away = sample.received.since(sample.sent);
        let rtt_ns = away.saturating_sub(sample.held_ns);
        let sent_ns = self.rate.deadline_ns(sample.tick) + sample.late_ns;
        let offset_ns = (sent_ns + rtt_ns / 2) as i64 - signed(sample.received);
        self.samples[self.count % SAMPLES] = (rtt_ns, offset_ns);
        self.count += 1;
        self.smooth_rtt(rtt_ns);
        let best = self.samples.iter().min().map_or(offset_ns, |s| s.1);
        if self.count == 1 {
            // What the Welcome said was late by an unknown way; the first measurement is not.
            let Self { offset, .. } = self;
            *offset = Slew::new(sample.received, best, OFFSET_SLOWNESS, OFFSET_JUMP_NS);
        } else {
            self.offset.aim(sample.received, best);
        }
    }

    /// Notes that the first datagram of a tick arrived.
    pub fn heard(&mut self, now: Nanos, tick: Tick) {
        let due = self.rate.deadline_ns(tick);
        self.transit.record(self.server_time(now).0.saturating_sub(due));
        let delay = self.transit.high_ns() as i64 + self.period_ns() + DELAY_MARGIN_NS;
        self.delay.aim(now, delay.clamp(self.period_ns(), DELAY_NS_MAX));
    }

    /// The server's time now.
    #[must_use]
    pub fn server_time(&self, now: Nanos) -> Nanos {
        Nanos(signed(now).saturating_add(self.offset.at(now)).max(0) as u64)
    }

    /// The newest tick whose deadline has passed on the server.
    #[must_use]
    pub fn tick_at(&self, now: Nanos) -> Tick {
        self.tick_of(self.server_time(now)).0
    }

    /// The tick that begins at or before a server time, and how far into it that is, 0 to 1.
    #[must_use]
    pub fn tick_of(&self, server: Nanos) -> (Tick, f32) {
        let scaled = u128::from(server.0) * u128::from(self.rate.hz());
        let tick = (scaled / u128::from(Nanos::SECOND)) as u32;
        let rest = (scaled % u128::from(Nanos::SECOND)) as f64;
        (Tick(tick), (rest / Nanos::SECOND as f64) as f32)
    }

    /// When, on this side's clock, a tick is due on the server.
    #[must_use]
    pub fn local_time_of(&self, now: Nanos, tick: Tick) -> Nanos {
        let server_ns = self.rate.deadline_ns(tick) as i64;
        Nanos(server_ns.saturating_sub(self.offset.at(now)).max(0) as u64)
    }

    /// How far behind [`ServerClock::server_time`] a view is drawn to be smooth.
    #[must_use]
    pub fn interpolation_delay_ns(&self, now: Nanos) -> u64 {
        self.delay.at(now).max(0) as u64
    }

    /// Smoothed round-trip time in nanoseconds; `None` before the first measurement.
    #[must_use]
    pub fn rtt_ns(&self) -> Option<u64> {
        (self.count > 0).then_some(self.smoothed_rtt_ns as u64)
    }

    /// Mean difference between the delays of neighbouring ticks, in nanoseconds.
    #[must_use]
    pub fn jitter_ns(&self) -> u64 {
        self.transit.jitter_ns() as u64
    }

    /// Ticks per second.
    #[must_use]
    pub const fn rate(&self) -> TickRate {
        self.rate
    }

    fn smooth_rtt(&mut self, rtt_ns: u64) {
        let rtt = rtt_ns as f64;
        match self.count {
            1 => self.smoothed_rtt_ns = rtt,
            _ => self.smoothed_rtt_ns += (rtt - self.smoothed_rtt_ns) / 8.0, // RFC 6298
        }
    }

    const fn period_ns(&self) -> i64 {
        self.rate.period_ns() as i64
    }
}

fn signed(now: Nanos) -> i64 {
    i64::try_from(now.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
