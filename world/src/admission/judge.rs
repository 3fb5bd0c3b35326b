//! Is a sample believed? Range, time, speed and distance, judged on the time of the samples.

use crate::config::WorldConfig;
use crate::entity::{Accepted, EntityIdx};
use crate::space::{cartesian, distance2};
use starling_protocol::message::control::RejectReason;
use starling_protocol::sample::Sample;
use starling_protocol::space::IPos;
use starling_protocol::units::Tick;

/// Rejected samples that must agree with each other before the entity is taken to where they are.
const REBASE_SAMPLES: u8 = 3;
/// Milliseconds by which a fix may be ahead of the server's clock.
const FUTURE_MS: u64 = 30_000;
/// What is added to the distance that a speed allows: rounding, and a jump of one foot.
const SPEED_SLACK_M: f64 = 0.5;
/// What the speed limit is multiplied by: clocks and smoothing.
const SPEED_SLACK: f64 = 1.1;

/// A sample and the tick for which it was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// What is said.
    pub(crate) sample: Sample,
    /// The tick that its datagram is labelled with.
    pub(crate) label: Tick,
}

/// What a claim is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The world's limits.
    pub(crate) config: &'a WorldConfig,
    /// What was accepted last.
    pub(crate) accepted: &'a Accepted,
    /// The present tick.
    pub(crate) now: Tick,
    /// The server's clock, where it may judge fix times.
    pub(crate) unix_ms: Option<u64>,
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is believed.
    Accept,
    /// It agrees with the ones rejected before it, so it is believed after all.
    Rebase,
    /// The same fix once more.
    Repeat,
    /// It is not.
    Reject(RejectReason),
}

/// What later claims are held against of an earlier one.
#[derive(Clone, Copy, Debug)]
struct Past {
    position: IPos,
    label: Tick,
    /// When its fix was taken, where it was one.
    fix_ms: Option<u64>,
}

impl Past {
    fn of(claim: &Claim) -> Self {
        let Claim { sample, label } = claim;
        let fix_ms = sample.fix.map(|fix| fix.time_ms);
        Self { position: sample.position, label: *label, fix_ms }
    }
}

/// What is remembered of one entity's samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Judge {
    /// The claim believed last.
    believed: Option<Past>,
    /// The claim rejected last, and how many in a row agreed with each other.
    doubted: Option<(Past, u8)>,
}

/// The judges of all entities.
#[derive(Debug, Default)]
pub(crate) struct Judges {
    pub(super) rows: Vec<Judge>,
}

impl Judges {
    /// Begins anew with an entity that just appeared.
    pub(crate) fn begin(&mut self, entity: EntityIdx) {
        if self.rows.len() <= entity.at() {
            self.rows.resize(entity.at() + 1, Judge::default());
        }
        self.rows[entity.at()] = Judge::default();
    }
}

impl Judge {
    /// Judges a claim about its entity.
    pub(super) fn judge(&mut self, claim: &Claim, context: &Context<'_>) -> Verdict {
        if !context.config.space.contains(claim.sample.position) {
            return Verdict::Reject(RejectReason::OutOfRange);
        }
        let before = self.believed.unwrap_or_else(|| Past {
            position: context.accepted.position,
            label: context.accepted.tick,
            fix_ms: context.accepted.fix.map(|fix| fix.time_ms),
        });
        if is_repeat(&before, claim) {
            return Verdict::Repeat;
        }
        match follows(&before, claim, context) {
            Ok(()) => self.believe(claim, Verdict::Accept),
            Err(reason) => self.doubt(claim, reason, context),
        }
    }

    fn believe(&mut self, claim: &Claim, verdict: Verdict) -> Verdict {
        *self = Self { believed: Some(Past::of(claim)), doubted: None };
        verdict
    }

    fn doubt(&mut self, claim: &Claim, reason: RejectReason, context: &Context<'_>) -> Verdict {
        let agreeing = match &self.doubted {
            Some((last, count)) if follows(last, claim, context).is_ok() => count + 1,
            _ => 1,
        };
        // What lies in the future stays there, however often it is said.
        let possible = !is_future(claim, context);
        if agreeing >= REBASE_SAMPLES && possible {
            return self.believe(claim, Verdict::Rebase);
        }
        self.doubted = Some((Past::of(claim), agreeing));
        Verdict::Reject(reason)
    }
}

/// Receivers repeat their last fix until they have a new one.
fn is_repeat(before: &Past, claim: &Claim) -> bool {
    match (before.fix_ms, claim.sample.fix) {
        (Some(a), Some(b)) => a == b.time_ms && before.position == claim.sample.position,
        _ => false,
    }
}

fn is_future(claim: &Claim, context: &Context<'_>) -> bool {
    let Some((fix, now)) = claim.sample.fix.zip(context.unix_ms) else { return false };
    fix.time_ms > now.saturating_add(FUTURE_MS)
}

/// Can a claim follow another?
fn follows(before: &Past, claim: &Claim, context: &Context<'_>) -> Result<(), RejectReason> {
    let backwards = match (before.fix_ms, claim.sample.fix) {
        (Some(a), Some(b)) => b.time_ms < a,
        _ => false,
    };
    if backwards || is_future(claim, context) {
        return Err(RejectReason::BadTime);
    }
    let config = context.config;
    if config.speed_max_mps.is_none() && config.teleport_max_m.is_none() {
        return Ok(());
    }
    let at = |position: IPos| cartesian(config.space, position);
    let distance = distance2(at(before.position), at(claim.sample.position)).sqrt();
    if config.teleport_max_m.is_some_and(|most| distance > most) {
        return Err(RejectReason::Teleport);
    }
    let seconds = seconds_between(before, claim, context);
    let reach = |speed: f64| speed * SPEED_SLACK * seconds + SPEED_SLACK_M;
    match config.speed_max_mps {
        Some(speed) if distance > reach(speed) => Err(RejectReason::TooFast),
        _ => Ok(()),
    }
}

/// By the fixes' own times, else by the ticks that the samples are labelled with. Labels may not
/// run ahead of the server: no more time can have passed than did here, and a second of jitter.
fn seconds_between(before: &Past, claim: &Claim, context: &Context<'_>) -> f64 {
    if let Some((a, b)) = before.fix_ms.zip(claim.sample.fix) {
        return b.time_ms.saturating_sub(a) as f64 / 1000.0;
    }
    let hz = u32::from(context.config.tick_rate.hz());
    let here = context.now.since(context.accepted.tick).unwrap_or(0) + hz;
    let labelled = claim.label.since(before.label).unwrap_or(0);
    f64::from(labelled.min(here).max(1)) / f64::from(hz)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;
    use starling_protocol::sample::Fix;
    use starling_protocol::space::Space;

    fn metric() -> WorldConfig {
        WorldConfig {
            speed_max_mps: Some(10.0),
            teleport_max_m: Some(100.0),
            ..WorldConfig::new("t", Space::Metric, Profile::Game)
        }
    }

    fn claim(x_m: f64, tick: u32) -> Claim {
        let position = IPos([(x_m * 1024.0) as i32, 0, 0]);
        Claim { sample: Sample { position, ..Sample::default() }, label: Tick(tick) }
    }

    struct Court {
        config: WorldConfig,
        judge: Judge,
        accepted: Accepted,
        unix_ms: Option<u64>,
    }

    impl Court {
        fn new(config: WorldConfig) -> Self {
            Self { config, judge: Judge::default(), accepted: Accepted::default(), unix_ms: None }
        }

        fn hear(&mut self, claim: &Claim, now: u32) -> Verdict {
            let context = Context {
                config: &self.config,
                accepted: &self.accepted,
                now: Tick(now),
                unix_ms: self.unix_ms,
            };
            let verdict = self.judge.judge(claim, &context);
            if matches!(verdict, Verdict::Accept | Verdict::Rebase) {
                self.accepted.position = claim.sample.position;
                self.accepted.tick = Tick(now);
            }
            verdict
        }
    }

    #[test]
    fn speed_is_judged_on_the_time_of_the_samples() {
        let mut court = Court::new(metric());
        assert_eq!(court.hear(&claim(0.0, 1), 1), Verdict::Accept);
        assert_eq!(court.hear(&claim(5.0, 11), 20), Verdict::Accept, "half a second, 5 m");
        let fast = Verdict::Reject(RejectReason::TooFast);
        assert_eq!(court.hear(&claim(9.0, 12), 60), fast, "one tick by its own label");
    }

    #[test]
    fn labels_cannot_buy_time() {
        let mut court = Court::new(metric());
        court.hear(&claim(0.0, 1), 1);
        let fast = Verdict::Reject(RejectReason::TooFast);
        assert_eq!(court.hear(&claim(50.0, 190), 2), fast);
    }

    #[test]
    fn a_jump_is_rejected_until_three_samples_agree() {
        let mut court = Court::new(metric());
        court.hear(&claim(0.0, 1), 1);
        let jump = Verdict::Reject(RejectReason::Teleport);
        assert_eq!(court.hear(&claim(500.0, 2), 2), jump);
        assert_eq!(court.hear(&claim(900.0, 3), 3), jump, "which does not agree");
        assert_eq!(court.hear(&claim(900.1, 4), 4), jump);
        assert_eq!(court.hear(&claim(900.2, 5), 5), Verdict::Rebase);
        assert_eq!(court.hear(&claim(900.3, 6), 6), Verdict::Accept);
    }

    #[test]
    fn a_world_without_limits_believes_every_place_in_range() {
        let mut court = Court::new(WorldConfig::new("t", Space::Metric, Profile::Game));
        assert_eq!(court.hear(&claim(0.0, 1), 1), Verdict::Accept);
        assert_eq!(court.hear(&claim(900_000.0, 2), 2), Verdict::Accept);
        let beyond = Claim {
            sample: Sample { position: IPos([i32::MAX, 0, 0]), ..Sample::default() },
            label: Tick(3),
        };
        assert_eq!(court.hear(&beyond, 3), Verdict::Reject(RejectReason::OutOfRange));
    }

    fn fix(time_ms: u64, lat: i32) -> Claim {
        let fix = Fix { time_ms, ..Fix::default() };
        let position = IPos([lat, 0, 0]);
        Claim { sample: Sample { position, fix: Some(fix), ..Sample::default() }, label: Tick(0) }
    }

    #[test]
    fn a_fix_never_goes_back_in_time_nor_lies_in_the_future() {
        let mut court = Court::new(WorldConfig::new("t", Space::Geodetic, Profile::Fleet));
        court.unix_ms = Some(1_000_000);
        let bad = Verdict::Reject(RejectReason::BadTime);
        assert_eq!(court.hear(&fix(500_000, 1), 1), Verdict::Accept);
        assert_eq!(court.hear(&fix(499_999, 2), 2), bad);
        assert_eq!(court.hear(&fix(500_000, 1), 3), Verdict::Repeat);
        assert_eq!(court.hear(&fix(1_030_000, 2), 4), Verdict::Accept);
        for later in 1..6 {
            assert_eq!(court.hear(&fix(1_030_000 + later, 3), 5), bad, "still in the future");
        }
    }

    #[test]
    fn a_clock_that_was_set_right_is_believed_again() {
        let mut court = Court::new(WorldConfig::new("t", Space::Geodetic, Profile::Fleet));
        court.hear(&fix(900_000, 1), 1);
        let bad = Verdict::Reject(RejectReason::BadTime);
        assert_eq!(court.hear(&fix(100_000, 2), 2), bad);
        assert_eq!(court.hear(&fix(101_000, 3), 3), bad);
        assert_eq!(court.hear(&fix(102_000, 4), 4), Verdict::Rebase);
        assert_eq!(court.hear(&fix(103_000, 5), 5), Verdict::Accept);
    }
}
