use super::*;

const RATE: u16 = 20;
const MS: u64 = Nanos::MILLISECOND;

/// A server whose clock is ahead by a known offset, behind a link with known delays.
struct Link {
    ahead_ns: u64,
    random: u64,
    base_ns: u64,
    jitter_ns: u64,
}

impl Link {
    fn way(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.base_ns + (self.random >> 33) % (self.jitter_ns + 1)
    }

    /// One tick: an uplink sent some time before it, and the datagram that echoes it.
    fn tick(&mut self, rate: TickRate, tick: Tick) -> ClockSample {
        let deadline = rate.deadline_ns(tick);
        let up = self.way();
        let arrived = deadline - 10 * MS;
        let late_ns = MS / 4;
        let leaves = deadline + late_ns;
        ClockSample {
            tick,
            sent: Nanos(arrived - up - self.ahead_ns),
            received: Nanos(leaves + self.way() - self.ahead_ns),
            held_ns: leaves - arrived,
            late_ns,
        }
    }
}

fn run(link: &mut Link, ticks: u32) -> (ServerClock, Nanos) {
    let rate = TickRate::new(RATE).expect("in range");
    let first = link.tick(rate, Tick(100));
    let mut clock = ServerClock::new(first.sent, rate, 5_000_000);
    let mut now = first.sent;
    for n in 101..101 + ticks {
        let sample = link.tick(rate, Tick(n));
        clock.sample(sample);
        clock.heard(sample.received, sample.tick);
        now = sample.received;
    }
    (clock, now)
}

fn error_ns(clock: &ServerClock, link: &Link, now: Nanos) -> u64 {
    clock.server_time(now).0.abs_diff(now.0 + link.ahead_ns)
}

#[test]
fn a_still_link_gives_the_exact_time_from_the_first_sample() {
    let mut link = Link { ahead_ns: 3_000 * MS, random: 1, base_ns: 30 * MS, jitter_ns: 0 };
    let (clock, now) = run(&mut link, 1);
    assert!(error_ns(&clock, &link, now) < MS, "{} ns", error_ns(&clock, &link, now));
    assert_eq!(clock.rtt_ns(), Some(60 * MS));
}

#[test]
fn under_jitter_the_clock_stays_within_a_tenth_of_it() {
    for seed in 0..50 {
        let mut link =
            Link { ahead_ns: 3_000 * MS, random: seed, base_ns: 30 * MS, jitter_ns: 40 * MS };
        let (clock, now) = run(&mut link, 400);
        let error = error_ns(&clock, &link, now);
        assert!(error < 10 * MS, "seed {seed}: {error} ns");
    }
}

#[test]
fn server_time_never_runs_back() {
    for seed in 0..20 {
        let mut link =
            Link { ahead_ns: 900 * MS, random: seed, base_ns: 5 * MS, jitter_ns: 80 * MS };
        let rate = TickRate::new(RATE).expect("in range");
        let (mut clock, mut now) = run(&mut link, 2);
        let mut last = clock.server_time(now);
        for n in 103..300 {
            let sample = link.tick(rate, Tick(n));
            clock.sample(sample);
            for _ in 0..10 {
                now = now + 5 * MS;
                let time = clock.server_time(now);
                assert!(time >= last, "seed {seed} tick {n}");
                last = time;
            }
        }
    }
}

#[test]
fn the_interpolation_delay_covers_the_way_the_jitter_and_one_tick() {
    let mut still = Link { ahead_ns: 0, random: 3, base_ns: 20 * MS, jitter_ns: 0 };
    let (clock, now) = run(&mut still, 200);
    let delay = clock.interpolation_delay_ns(now + 10_000 * MS);
    assert!((70 * MS..75 * MS).contains(&delay), "{delay}");

    let mut rough = Link { ahead_ns: 0, random: 3, base_ns: 20 * MS, jitter_ns: 60 * MS };
    let (clock, now) = run(&mut rough, 200);
    let delay = clock.interpolation_delay_ns(now + 10_000 * MS);
    assert!((110 * MS..145 * MS).contains(&delay), "{delay}");
    assert!(clock.jitter_ns() > 5 * MS);
}

#[test]
fn ticks_and_times_are_each_others_inverse() {
    let rate = TickRate::new(60).expect("in range");
    let clock = ServerClock::new(Nanos(0), rate, 0);
    for tick in [Tick(0), Tick(1), Tick(59), Tick(61), Tick(1_000_003)] {
        let at = clock.local_time_of(Nanos(0), tick) + 1;
        assert_eq!(clock.tick_at(at), tick);
    }
}
