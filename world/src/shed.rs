//! P13: what a world does without while there is no time for all of it, one step after the other.
//!
//! The shell measures whether ticks keep their deadlines and says so
//! ([`Command::Strain`](crate::input::Command::Strain)); the world goes one step up or down, tells
//! everyone who is connected, and counts what it refuses. Ticks, accepted events, sessions that come
//! back and what is near are never given up.

use crate::World;
use crate::channel::publish::Refusal;
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::ControlDown;
use starling_protocol::units::Tick;
use std::ops::Range;

/// The steps of the ladder, each with all that come before it. 0 is normal.
pub mod step {
    /// New sessions are refused, with a time to try again.
    pub const NEWCOMERS: u8 = 1;
    /// What is in the outer third of an area is told of in every fourth tick.
    pub const FAR: u8 = 2;
    /// And what is in the middle third.
    pub const MIDDLE: u8 = 3;
    /// History and new subscriptions are refused.
    pub const READERS: u8 = 4;
    /// New publishes are refused, before they are acknowledged, with a time to try again.
    pub const PUBLISHES: u8 = 5;
    /// Who has not read for a second is closed as a slow consumer, and may resume.
    pub const SLOWEST: u8 = 6;
}

/// When to try again a publish, a lease or a page of history that was refused, in milliseconds.
/// Subscriptions are refused without a time: the SDK asks again after a second.
pub(crate) const RETRY_MS: u32 = 2_000;
/// When a newcomer is to knock again, in milliseconds: each at another time, as those who wait at the
/// door are told.
const KNOCK_AGAIN_MS: Range<u64> = 1_000..5_000;
/// Golden: whatever the number of knocks, their times lie evenly.
const KNOCK_STRIDE_MS: u64 = 2_472;
/// Milliseconds for which a session may leave unread what waits for it.
const PATIENCE_MS: u64 = 5_000;
/// The same on the last step.
const LAST_PATIENCE_MS: u64 = 1_000;
/// Who is away so far, in parts of an area's reach, is far; or in the middle. Squared.
const FAR2: f64 = 4.0 / 9.0;
const MIDDLE2: f64 = 1.0 / 9.0;
/// What waits is told of once in so many ticks.
const EVERY_TICKS: u32 = 4;

/// How far up the ladder a world is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shed(u8);

impl Shed {
    /// The step.
    pub(crate) const fn step(self) -> u8 {
        self.0
    }

    /// Is this given up?
    pub(crate) const fn sheds(self, step: u8) -> bool {
        self.0 >= step
    }

    /// How long a session may leave unread what waits for it, in milliseconds.
    pub(crate) const fn patience_ms(self) -> u64 {
        if self.sheds(step::SLOWEST) { LAST_PATIENCE_MS } else { PATIENCE_MS }
    }

    /// Which part of an area waits in this tick: whatever is farther away, as the square of a part
    /// of its reach. The nearest third never waits. Sessions have their turns in different ticks.
    pub(crate) fn waits_beyond2(self, session: u32, now: Tick) -> Option<f64> {
        let turn = now.0.wrapping_add(session).is_multiple_of(EVERY_TICKS);
        match self.0 {
            _ if turn => None,
            0..step::FAR => None,
            step::FAR => Some(FAR2),
            _ => Some(MIDDLE2),
        }
    }
}

impl World {
    /// How far up the ladder it is; 0 is normal.
    #[must_use]
    pub fn shed_step(&self) -> u8 {
        self.shed.step()
    }

    /// There is too little time for everything, or enough again: one step up or down.
    pub(crate) fn strain(&mut self, too_much: bool) {
        let Shed(before) = self.shed;
        let after = match too_much {
            true => (before + 1).min(step::SLOWEST),
            false => before.saturating_sub(1),
        };
        if after == before {
            return;
        }
        self.shed = Shed(after);
        self.counters.shed_steps += 1;
        let live: Vec<_> = self.sessions.iter_live().map(|(idx, _)| idx).collect();
        for idx in live {
            self.sessions.control(idx, &ControlDown::Shed { level: after }, self.now);
        }
    }

    /// May what this step gives up still be asked for?
    ///
    /// # Errors
    /// `OVERLOADED`: later.
    pub(crate) fn spare(&mut self, step: u8) -> Result<(), CloseCode> {
        if !self.shed.sheds(step) {
            return Ok(());
        }
        self.counters.shed_refusals += 1;
        Err(CloseCode::OVERLOADED)
    }

    /// When a newcomer that was refused just now is to knock again.
    pub(crate) fn newcomer_waits_ms(&self) -> u32 {
        let Range { start, end } = KNOCK_AGAIN_MS;
        let knocks = self.counters.shed_refusals % (end - start);
        (start + knocks * KNOCK_STRIDE_MS % (end - start)) as u32
    }

    /// P13: publishes are among the last that are refused, and never once they are accepted.
    pub(crate) fn spare_publishes(&mut self) -> Result<(), Refusal> {
        let later = |code| Refusal { code, retry_after_ms: Some(RETRY_MS) };
        self.spare(step::PUBLISHES).map_err(later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_waits_before_middle_and_near_never() {
        let waits = |at, tick| Shed(at).waits_beyond2(0, Tick(tick));
        assert!((0..8).all(|tick| waits(step::NEWCOMERS, tick).is_none()));
        let told = |at| (0..8).filter(|tick| waits(at, *tick).is_none()).collect::<Vec<_>>();
        assert_eq!(told(step::FAR), [0, 4]);
        assert_eq!(told(step::SLOWEST), [0, 4]);
        assert_eq!(waits(step::FAR, 1), Some(FAR2));
        assert_eq!(waits(step::MIDDLE, 1), Some(MIDDLE2));
        assert_eq!(Shed(step::FAR).waits_beyond2(1, Tick(3)), None, "another's turn");
    }
}
