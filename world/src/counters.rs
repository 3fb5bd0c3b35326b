//! What a world counts. Each number only grows; nothing is dropped without one of them.

/// Totals since the world began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ticks run.
    pub ticks: u64,
    /// Uplink datagrams taken in.
    pub uplinks: u64,
    /// Uplink datagrams of connections without a session.
    pub uplinks_unknown: u64,
    /// Uplink datagrams that could not be read.
    pub uplinks_malformed: u64,
    /// Uplink datagrams beyond what a session may send in one tick.
    pub uplinks_excess: u64,
    /// Uplink datagrams seen before, or too old to tell.
    pub uplinks_repeated: u64,
    /// Samples accepted.
    pub samples_accepted: u64,
    /// Samples older than one already folded.
    pub samples_old: u64,
    /// Samples rejected, in the order of [`REJECT_REASONS`].
    pub samples_rejected: [u64; REJECT_REASONS],
    /// Entities that were taken where their samples had agreed to be, after rejections.
    pub rebases: u64,
    /// Knots set, or fixes taken into a track.
    pub entries: u64,
    /// Entities that entered a session's view.
    pub enters: u64,
    /// Entities that left a session's view.
    pub leaves: u64,
    /// Datagrams written.
    pub datagrams: u64,
    /// Bytes of them.
    pub datagram_bytes: u64,
    /// Datagrams that carried nothing but that the world is alive.
    pub heartbeats: u64,
    /// Bulk messages written.
    pub bulks: u64,
    /// Codes computed.
    pub codes_made: u64,
    /// Codes appended to datagrams, made for this one or for another.
    pub codes_sent: u64,
    /// Absolute and enter records written.
    pub records: u64,
    /// Slots that were due and did not fit the link's allowance.
    pub skipped: u64,
    /// Acknowledgements of datagrams.
    pub acks: u64,
    /// Acknowledgements of what was never sent, or is forgotten.
    pub acks_unknown: u64,
    /// Entities that a full snapshot table could not take.
    pub slots_exhausted: u64,
    /// Cues taken in.
    pub cues: u64,
    /// Cues refused: too many, malformed, or not of an entity of the sender.
    pub cues_refused: u64,
    /// Cues put into a session's list.
    pub cues_queued: u64,
    /// Cues that expired before their datagram was acknowledged.
    pub cues_expired: u64,
    /// Cues that did not fit a session's list.
    pub cues_dropped: u64,
}

/// How many reasons [`starling_protocol::message::control::RejectReason`] has.
pub const REJECT_REASONS: usize = 7;
