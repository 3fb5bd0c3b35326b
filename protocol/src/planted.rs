//! Bugs on purpose, each of which the simulation of the whole system has to find.
//!
//! They are there with the feature `planted` only, which nothing that ships turns on: without it
//! [`is`] is `false` for the compiler too, and nothing of them is left.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Bug {
    /// World: a cue that a client repeats is taken again.
    CueTwice = 1,
    /// World: a cue rides on when its life is over.
    CueLate,
    /// World: what left an area of interest is still seen for a while.
    FarSeen,
    /// World: what is between the radii leaves at once.
    NoHysteresis,
    /// World: an acknowledgement moves the baselines of slots that its datagrams left out.
    AckMovesAll,
    /// World: a resumed subscription begins one event too late.
    ResumeSkips,
    /// World: a resumed subscription begins one event too early.
    ResumeRepeats,
    /// World: what is gone from memory is passed over in silence.
    GapSilent,
    /// World: a message id is forgotten as soon as it was answered.
    PublishTwice,
    /// World: message ids are not kept with their events.
    SeenUnkept,
    /// World: a durable publish is acknowledged before its commit.
    AckEarly,
    /// World: a durable event is delivered before its commit.
    ShownEarly,
    /// World: channels of two lives of the world have the same epochs.
    EpochKept,
    /// World: after a restart numbers go on behind the channel's row, not behind its newest event.
    TailForgotten,
    /// World: a token is dead before its successor is known to have arrived.
    TokenSpent,
    /// World: who leaves a channel is not told to have left.
    MemberStays,
    /// World: clients are let in before the time is known.
    TimeUnknown,
    /// Server, store: a sync is skipped.
    SyncSkipped,
    /// Server, store: the last change of a commit is not written.
    CommitCut,
    /// Server, store: a commit is told before it can be done.
    NewsEarly,
    /// Server, net: of stream bytes that wait the newest are lost.
    BytesLost,
    /// Server, net: a drain closes nobody.
    DrainStuck,
    /// Client: a publish is repeated under another message id.
    NewMessageId,
    /// Client: a gap is not told.
    GapSwallowed,
    /// Client: a resume names a place that is one event behind.
    ResumeBehind,
    /// Client: after a reconnect it asks for entities that it has already.
    SpawnTwice,
    /// Protocol: an acknowledgement names a datagram that did not arrive.
    AckLost,
    /// Protocol: a leave is not taken in.
    LeaveLost,
    /// Protocol: an older state takes the place of a newer one.
    StateOld,
    /// Protocol: positions that are told whole are read six centimetres off.
    PlaceOff,
    /// Transport: a connection that was lost is told as one that broke the protocol.
    CodeWrong,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 31] = [
        Self::CueTwice,
        Self::CueLate,
        Self::FarSeen,
        Self::NoHysteresis,
        Self::AckMovesAll,
        Self::ResumeSkips,
        Self::ResumeRepeats,
        Self::GapSilent,
        Self::PublishTwice,
        Self::SeenUnkept,
        Self::AckEarly,
        Self::ShownEarly,
        Self::EpochKept,
        Self::TailForgotten,
        Self::TokenSpent,
        Self::MemberStays,
        Self::TimeUnknown,
        Self::SyncSkipped,
        Self::CommitCut,
        Self::NewsEarly,
        Self::BytesLost,
        Self::DrainStuck,
        Self::NewMessageId,
        Self::GapSwallowed,
        Self::ResumeBehind,
        Self::SpawnTwice,
        Self::AckLost,
        Self::LeaveLost,
        Self::StateOld,
        Self::PlaceOff,
        Self::CodeWrong,
    ];
}

#[cfg(feature = "planted")]
static PLANTED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Plants a bug in all of this process, and takes out the one before.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u32), std::sync::atomic::Ordering::SeqCst);
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u32
}

/// Whether this bug is planted: never.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}
