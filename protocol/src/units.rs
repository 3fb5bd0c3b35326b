//! Newtypes for every quantity that crosses a function boundary.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};

/// A point on some monotonic clock, in nanoseconds since an origin that the caller chose.
///
/// Starling's objects never read a clock: time is an argument, so that a simulation can own it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// One second.
    pub const SECOND: u64 = 1_000_000_000;
    /// One millisecond.
    pub const MILLISECOND: u64 = 1_000_000;

    /// The instant `ms` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * Self::MILLISECOND)
    }

    /// Nanoseconds from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Seconds since the origin.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add<u64> for Nanos {
    type Output = Self;
    fn add(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

/// The number of a simulation step, counted from the start of the world's [`Epoch`].
///
/// At 128 Hz a `u32` lasts a year; a world that runs longer starts a new epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[repr(transparent)]
pub struct Tick(pub u32);

impl Tick {
    /// The low 16 bits, as datagrams carry them.
    #[must_use]
    pub const fn low16(self) -> u16 {
        self.0 as u16
    }

    /// The tick nearest to `self` whose low 16 bits are `low`.
    ///
    /// Right whenever the true tick is within 32,767 of `self`.
    #[must_use]
    pub const fn unwrap16(self, low: u16) -> Self {
        let ahead = low.wrapping_sub(self.low16()) as i16;
        Self(self.0.wrapping_add_signed(ahead as i32))
    }

    /// Ticks from `earlier` to `self`, or `None` when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Option<u32> {
        self.0.checked_sub(earlier.0)
    }
}

impl Add<u32> for Tick {
    type Output = Self;
    fn add(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }
}

impl Sub<u32> for Tick {
    type Output = Self;
    fn sub(self, ticks: u32) -> Self {
        Self(self.0.saturating_sub(ticks))
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Ticks per second, 1 to [`crate::limits::TICK_HZ_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct TickRate(u16);

impl TryFrom<u16> for TickRate {
    type Error = &'static str;

    fn try_from(hz: u16) -> Result<Self, Self::Error> {
        Self::new(hz).ok_or("a tick rate is 1 to 240 per second")
    }
}

impl TickRate {
    /// A rate of `hz` ticks per second, or `None` outside the limits.
    #[must_use]
    pub const fn new(hz: u16) -> Option<Self> {
        if hz == 0 || hz > crate::limits::TICK_HZ_MAX { None } else { Some(Self(hz)) }
    }

    /// Ticks per second.
    #[must_use]
    pub const fn hz(self) -> u16 {
        self.0
    }

    /// Nanoseconds after the epoch's start at which `tick` is due: `tick / rate`, exactly.
    #[must_use]
    pub const fn deadline_ns(self, tick: Tick) -> u64 {
        (tick.0 as u128 * Nanos::SECOND as u128 / self.0 as u128) as u64
    }

    /// Nanoseconds of one tick, rounded down.
    #[must_use]
    pub const fn period_ns(self) -> u64 {
        Nanos::SECOND / self.0 as u64
    }

    /// Ticks in `ms` milliseconds, rounded up.
    #[must_use]
    pub const fn ticks_in_ms(self, ms: u64) -> u32 {
        (ms * self.0 as u64).div_ceil(1000) as u32
    }
}

/// Counts a world's lives: a new epoch starts when its memory is lost or its ticks run out.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u32);

/// Names an entity for good: an index that is reused, and a generation that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityId {
    /// Zone in the high bits, index within the zone in the low 16.
    pub index: u32,
    /// How many entities held this index before.
    pub generation: u32,
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Names a session within its server. Not a secret; the resume token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// An index into the world's list of [`crate::schema::Kind`]s.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct KindId(pub u8);

/// A position in a client's snapshot table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u16);

/// An owner's short name for one of its own entities, given by `Spawned`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Handle(pub u16);

/// Chosen by the publisher; makes a publish repeatable without being doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub u64);

/// A session's short name for a channel it subscribed to, chosen by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelKey(pub u32);

/// A place in a channel: offsets count 1, 2, 3, ... without gaps within an epoch.
///
/// Offset 0 is "before the first event".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Offset(pub u64);

/// A channel's epoch and an offset in it: all that a subscriber needs to resume.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ChannelPosition {
    /// The life of the channel that `offset` counts in.
    pub epoch: Epoch,
    /// The last event that was seen.
    pub offset: Offset,
}

/// Compares two wrapping sequence numbers: is `a` newer than `b`?
///
/// Right while the two are less than 32,768 apart (RFC 1982 arithmetic on 16 bits).
#[must_use]
pub const fn newer16(a: u16, b: u16) -> bool {
    (a.wrapping_sub(b) as i16) > 0
}
