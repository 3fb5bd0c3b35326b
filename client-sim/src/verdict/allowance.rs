//! What the faults of a link may cost, from its profile.

use starling_transport::conditioner::LinkProfile;

/// Packets of one tick that a bottleneck lets through one after the other: a snapshot, and what
/// rides beside it on streams.
const PACKETS_PER_TICK: f64 = 2.0;
/// The largest packet, in bits.
const PACKET_BITS: f64 = 1_248.0 * 8.0;
/// A packet that the next one overtakes waits for it for at most so long.
const OVERTAKEN_MS: f64 = 50.0;
/// Of all samples so many may have met a longer run of losses than is granted.
const WORSE_SHARE: f64 = 0.005;
/// More ticks than this are not granted for losses: such a link is broken.
const LOST_TICKS_MAX: f64 = 100.0;
/// Who hears nothing for so long, and for four round trips, connects again.
const SILENCE_MS: f64 = 500.0;
/// Of events that were published on a link that is lit so many are acknowledged.
const ACKED_SHARE: f64 = 0.99;

/// What a link with faults is granted at the 99th percentile, above what a clean one is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// The longest way of a packet, one way, in milliseconds.
    way_ms: f64,
    /// Ticks in a row of which nothing arrives.
    lost_ticks: f64,
    /// The length of a black-out, in milliseconds; 0 where the run has none.
    dark_ms: f64,
    /// Of the run's time the share without black-outs and what follows them.
    lit_share: f64,
}

impl Allowance {
    /// For a run whose measured time ends so many seconds after its links began; `None` for a clean
    /// link.
    #[must_use]
    pub fn of(link: &LinkProfile, run_s: f64) -> Option<Self> {
        let ms = |ns: u64| ns as f64 / 1e6;
        let overtaken = f64::from(link.reorder.ppm()) > 0.0;
        let queued_ms =
            link.rate_bps.map_or(0.0, |bps| PACKETS_PER_TICK * PACKET_BITS * 1e3 / bps as f64);
        let mut all = Self {
            way_ms: ms(link.delay_ns + link.jitter_ns)
                + queued_ms
                + if overtaken { OVERTAKEN_MS } else { 0.0 },
            lost_ticks: lost_ticks(link),
            dark_ms: 0.0,
            lit_share: 1.0,
        };
        let run_ms = run_s * 1e3;
        if let Some(dark) = link.blackout.filter(|dark| ms(dark.at_ns) < run_ms) {
            all.dark_ms = ms(dark.length_ns);
            let times =
                dark.every_ns.map_or(1.0, |every| ((run_ms - ms(dark.at_ns)) / ms(every)).ceil());
            let unlit_ms = times * (all.dark_ms + all.reconnect_ms());
            all.lit_share = (1.0 - unlit_ms / run_ms).max(0.0);
        }
        (!link.is_none()).then_some(all)
    }

    /// Until a client whose link is lit again is back: it notices, connects and is welcomed.
    fn reconnect_ms(&self) -> f64 {
        let rtt_ms = 2.0 * self.way_ms;
        SILENCE_MS.max(4.0 * rtt_ms) + 2.0 * rtt_ms
    }

    fn outage_ms(&self) -> f64 {
        if self.dark_ms > 0.0 { self.dark_ms + self.reconnect_ms() } else { 0.0 }
    }

    /// From sampling to decode, on top of a clean link's: there and back, and what is lost. A
    /// black-out adds nothing. Staleness is that of samples which the server took, and in the dark
    /// it takes none. What was under way when the dark began is so old afterwards, a sample or two
    /// of each entity: that shows in the maximum, not at the 99th percentile of a run of seconds.
    #[must_use]
    pub fn staleness_ms(&self, tick_ms: f64) -> f64 {
        2.0 * self.way_ms + self.lost_ticks * tick_ms
    }

    /// Until an entity has entered: the same, and once more there and back, for many at a time
    /// come on a stream, which tells again what was lost. And the dark: after it everybody enters
    /// anew.
    #[must_use]
    pub fn enter_ms(&self, tick_ms: f64) -> f64 {
        2.0 * self.way_ms + tick_ms + self.staleness_ms(tick_ms) + self.outage_ms()
    }

    /// The share of published events that must have been acknowledged.
    #[must_use]
    pub fn acked_share(&self) -> f64 {
        ACKED_SHARE * self.lit_share
    }
}

/// The longest run of losses that all but few samples meet, there or back. After a loss the next
/// packet is lost too with a chance of 1 - 1/burst, or of the loss itself where losses do not come
/// in bursts.
fn lost_ticks(link: &LinkProfile) -> f64 {
    let loss = f64::from(link.loss.ppm()) / 1e6;
    let hit = 2.0 * loss;
    if hit <= WORSE_SHARE {
        return 0.0;
    }
    let again = (1.0 - 1.0 / f64::from(link.burst_packets)).max(loss);
    // What is whole but for rounding stays whole.
    let more = ((WORSE_SHARE / hit).ln() / again.ln() - 1e-9).ceil();
    if more.is_finite() { (1.0 + more.max(0.0)).min(LOST_TICKS_MAX) } else { LOST_TICKS_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_MS: f64 = 50.0;

    fn of(link: &str, run_s: f64) -> Allowance {
        let link = LinkProfile::parse(link).expect("the profile is right");
        Allowance::of(&link, run_s).expect("it has faults")
    }

    #[test]
    fn a_clean_link_is_granted_nothing() {
        assert_eq!(Allowance::of(&LinkProfile::default(), 30.0), None);
    }

    #[test]
    fn delay_and_jitter_count_there_and_back() {
        let far = of("delay=60ms,jitter=20ms", 30.0);
        assert_eq!(far.staleness_ms(TICK_MS), 160.0);
        assert_eq!(far.enter_ms(TICK_MS), 370.0);
        assert_eq!(far.acked_share(), 0.99);
        assert_eq!(of("delay=60ms,reorder=2%", 30.0).staleness_ms(TICK_MS), 220.0);
        let thin = of("rate=1mbit", 30.0).staleness_ms(TICK_MS);
        assert!((thin - 2.0 * 19.968).abs() < 1e-9, "{thin}");
    }

    #[test]
    fn a_loss_costs_the_ticks_until_something_arrives() {
        let lost = |link: &str| of(link, 30.0).lost_ticks;
        assert_eq!(lost("loss=0.2%"), 0.0);
        assert_eq!(lost("loss=5%"), 2.0);
        assert_eq!(lost("loss=3%,burst=4"), 10.0);
        assert_eq!(lost("loss=2%,burst=8"), 17.0);
        assert_eq!(lost("loss=100%"), LOST_TICKS_MAX);
    }

    #[test]
    fn a_black_out_costs_its_length_and_the_way_back_to_enter_if_the_run_meets_it() {
        let dark = "delay=50ms,blackout=4s@20s/60s";
        assert_eq!(of(dark, 19.0).enter_ms(TICK_MS), 250.0);
        // 4 s, then half a second until it is noticed and two round trips.
        assert_eq!(of(dark, 30.0).enter_ms(TICK_MS), 250.0 + 4_000.0 + 500.0 + 200.0);
        assert_eq!(of(dark, 30.0).staleness_ms(TICK_MS), 100.0);
        let share = of(dark, 94.0).acked_share();
        assert!((share - 0.99 * (1.0 - 2.0 * 4.7 / 94.0)).abs() < 1e-9, "{share}");
    }
}
