//! A congestion controller for small, steady flows over links that lose packets by themselves.
//!
//! Cubic takes every loss for a full queue. A session's datagrams are few and regular, and on a
//! radio link the loss has nothing to do with them: cubic shrinks to two packets and the positions
//! stall. This one
//!
//! - never goes below 32 KiB in flight, what 60 Hz of full datagrams need at 300 ms;
//! - gives way by a twentieth when a loss looks like the radio's, and by three tenths, like cubic,
//!   when the round-trip time says that a queue is filling or much is lost;
//! - grows as RFC 9002 does, and only while the application uses half of what it has. How much it
//!   uses is told by what is in flight, not by whether somebody asked in vain for one more packet.

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory};
use std::any::Any;
use std::mem::take;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes in flight that are always allowed.
const WINDOW_BYTES_MIN: u64 = 32 * 1024;
/// Bytes in flight that are never exceeded.
const WINDOW_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Kept after a loss that looks random, in percent.
const KEPT_AFTER_CHANCE: u64 = 95;
/// Kept after a loss that looks like a full queue, in percent.
const KEPT_AFTER_CROWD: u64 = 70;
/// A loss of more than this share, in percent, is nobody's chance.
const CHANCE_PERCENT_MAX: u64 = 15;
/// Bytes after which a share of loss says something.
const JUDGED_BYTES_MIN: u64 = 32 * 1024;
/// A queue is filling when the round trip takes half as long again, and this much more.
const QUEUE_DELAY_MIN: Duration = Duration::from_millis(10);

/// Makes [`Steady`] controllers.
#[derive(Debug)]
pub(super) struct SteadyFactory;

impl ControllerFactory for SteadyFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Steady::new(now, current_mtu))
    }
}

#[derive(Clone, Debug)]
struct Steady {
    window: u64,
    /// Below it the window doubles each round trip, above it grows by one packet.
    slow_start_end: u64,
    mtu: u64,
    /// Losses of packets sent before this are of one event.
    reacted_at: Option<Instant>,
    /// Bytes that arrived and bytes that did not, both halved once a round trip.
    acked: u64,
    lost: u64,
    halved_at: Instant,
    /// The round-trip time says that a queue is filling.
    crowded: bool,
    /// Of the acknowledgement that is being taken in: bytes, and those that the window may grow by.
    arriving: u64,
    counting: u64,
}

impl Steady {
    fn new(now: Instant, mtu: u16) -> Self {
        Self {
            window: WINDOW_BYTES_MIN,
            slow_start_end: WINDOW_BYTES_MAX,
            mtu: mtu.into(),
            reacted_at: None,
            acked: 0,
            lost: 0,
            halved_at: now,
            crowded: false,
            arriving: 0,
            counting: 0,
        }
    }

    fn measure(&mut self, now: Instant, bytes: u64, rtt: Duration, rtt_min: Duration) {
        self.crowded = rtt > rtt_min + rtt_min / 2 + QUEUE_DELAY_MIN;
        self.acked += bytes;
        if now.saturating_duration_since(self.halved_at) > rtt {
            self.halved_at = now;
            self.acked /= 2;
            self.lost /= 2;
        }
    }

    fn grow(&mut self, bytes: u64) {
        let more =
            if self.window < self.slow_start_end { bytes } else { self.mtu * bytes / self.window };
        self.window = (self.window + more).min(WINDOW_BYTES_MAX);
    }

    /// Percent of the window that is kept after a loss.
    const fn kept(&self) -> u64 {
        let total = self.acked + self.lost;
        let judged = total >= JUDGED_BYTES_MIN;
        if self.crowded || (judged && self.lost * 100 > total * CHANCE_PERCENT_MAX) {
            KEPT_AFTER_CROWD
        } else {
            KEPT_AFTER_CHANCE
        }
    }

    fn is_old(&self, sent: Instant) -> bool {
        self.reacted_at.is_some_and(|reacted| sent <= reacted)
    }
}

impl Controller for Steady {
    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        _app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.measure(now, bytes, rtt.get(), rtt.min());
        self.arriving += bytes;
        if !self.is_old(sent) {
            self.counting += bytes;
        }
    }

    fn on_end_acks(
        &mut self,
        _now: Instant,
        in_flight: u64,
        _app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        let (arrived, bytes) = (take(&mut self.arriving), take(&mut self.counting));
        if 2 * (in_flight + arrived) >= self.window {
            self.grow(bytes);
        }
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.lost += lost_bytes;
        if self.is_old(sent) {
            return;
        }
        self.reacted_at = Some(now);
        let marked = lost_bytes == 0;
        let kept = match (is_persistent_congestion, marked) {
            (true, _) => 0,
            // A router that marks packets says plainly that its queue is filling.
            (false, true) => KEPT_AFTER_CROWD,
            (false, false) => self.kept(),
        };
        self.window = (self.window * kept / 100).max(WINDOW_BYTES_MIN);
        self.slow_start_end = self.window;
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu.into();
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        WINDOW_BYTES_MIN
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    /// A controller that has grown to `window` on a quiet path, and the time.
    fn grown(window: u64) -> (Steady, Instant) {
        let now = Instant::now();
        let mut steady = Steady::new(now, 1_200);
        steady.grow(window - WINDOW_BYTES_MIN);
        steady.measure(now, 100_000, RTT, RTT);
        (steady, now)
    }

    #[test]
    fn a_lone_loss_on_a_quiet_path_costs_little() {
        let (mut steady, now) = grown(100_000);
        steady.on_congestion_event(now, now, false, 1_200);
        assert_eq!(steady.window(), 95_000);
    }

    #[test]
    fn a_loss_while_a_queue_fills_costs_what_it_costs_cubic() {
        let (mut steady, now) = grown(100_000);
        steady.measure(now, 1_200, RTT * 2, RTT);
        steady.on_congestion_event(now, now, false, 1_200);
        assert_eq!(steady.window(), 70_000);
    }

    #[test]
    fn much_loss_is_nobodys_chance() {
        let (mut steady, now) = grown(100_000);
        steady.on_congestion_event(now, now, false, 50_000);
        assert_eq!(steady.window(), 70_000);
    }

    #[test]
    fn a_mark_counts_as_a_full_queue() {
        let (mut steady, now) = grown(100_000);
        steady.on_congestion_event(now, now, false, 0);
        assert_eq!(steady.window(), 70_000);
    }

    #[test]
    fn losses_of_one_round_trip_are_one_event() {
        let (mut steady, now) = grown(100_000);
        steady.on_congestion_event(now + RTT, now, false, 1_200);
        steady.on_congestion_event(now + RTT, now + RTT / 2, false, 1_200);
        assert_eq!(steady.window(), 95_000);
        steady.on_congestion_event(now + RTT * 3, now + RTT * 2, false, 1_200);
        assert_eq!(steady.window(), 90_250);
    }

    #[test]
    fn whatever_is_lost_the_floor_stays() {
        let (mut steady, mut now) = grown(200_000);
        for _ in 0..100 {
            now += RTT;
            steady.on_congestion_event(now, now, true, 100_000);
        }
        assert_eq!(steady.window(), WINDOW_BYTES_MIN);
    }

    #[test]
    fn old_losses_are_forgotten() {
        let (mut steady, mut now) = grown(100_000);
        steady.on_congestion_event(now, now, false, 50_000);
        for _ in 0..10 {
            now += RTT * 2;
            steady.measure(now, 60_000, RTT, RTT);
        }
        assert_eq!(steady.kept(), KEPT_AFTER_CHANCE);
    }

    #[test]
    fn growth_is_fast_before_the_first_loss_and_slow_after_it() {
        let (mut steady, now) = grown(100_000);
        steady.on_congestion_event(now, now, false, 1_200);
        let window = steady.window();
        steady.grow(window);
        assert_eq!(steady.window(), window + 1_200);
    }
}
