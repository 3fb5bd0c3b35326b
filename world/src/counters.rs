//! What a world counts. Each number only grows; nothing is dropped without one of them.

use starling_protocol::close::CloseCode;
use std::collections::BTreeMap;

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
    /// Entities that crossed from one zone into another.
    pub zone_handovers: u64,
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
    /// Steps up and down the ladder of load shedding.
    pub shed_steps: u64,
    /// What was refused because of it: sessions, subscriptions, history, publishes.
    pub shed_refusals: u64,
    /// Slots that waited for the turn of their ring.
    pub deferred: u64,
    /// Acknowledgements of datagrams.
    pub acks: u64,
    /// Acknowledgements of what was never sent, or is forgotten.
    pub acks_unknown: u64,
    /// Entities that a full snapshot table could not take.
    pub slots_exhausted: u64,
    /// Cues taken in.
    pub cues: u64,
    /// Cues that were taken before, or are too old to tell.
    pub cues_repeated: u64,
    /// Cues refused: too many, malformed, or not of an entity of the sender.
    pub cues_refused: u64,
    /// Cues put into a session's list.
    pub cues_queued: u64,
    /// Cues that expired before their datagram was acknowledged.
    pub cues_expired: u64,
    /// Cues that did not fit a session's list.
    pub cues_dropped: u64,

    /// Sessions begun.
    pub sessions_opened: u64,
    /// Sessions of an earlier life that could not be read.
    pub sessions_damaged: u64,
    /// Sessions that lost their connection and wait.
    pub sessions_parked: u64,
    /// Sessions that ended.
    pub sessions_gone: u64,
    /// Resumes that took the session up whole.
    pub resumes_resumed: u64,
    /// Resumes of a session that is gone.
    pub resumes_reset: u64,
    /// Resumes with a wrong or used token.
    pub resumes_denied: u64,
    /// Welcomes that were told before it was on stable storage that there is such a session.
    pub welcomes_unkept: u64,
    /// Connections refused, by code.
    pub attaches_refused: ByCode,
    /// Requests refused, by code.
    pub requests_refused: ByCode,
    /// Connections that the world closed, by code.
    pub closes: ByCode,
    /// Commands of connections without a session.
    pub commands_unknown: u64,
    /// Subscriptions begun.
    pub subscriptions: u64,
    /// Subscriptions denied, by code.
    pub subscriptions_denied: ByCode,
    /// Events accepted.
    pub events_accepted: u64,
    /// Events of durable channels that came to stable storage.
    pub events_committed: u64,
    /// Changes handed out to the store.
    pub store_changes: u64,
    /// Questions handed out to the store.
    pub store_queries: u64,
    /// Events read from the store.
    pub events_read: u64,
    /// Times that the store told of a commit.
    pub store_commits: u64,
    /// Publishes of a message that was accepted before.
    pub events_repeated: u64,
    /// Publishes refused, by code.
    pub events_refused: ByCode,
    /// Events written to a subscriber.
    pub events_delivered: u64,
    /// Events that a subscriber was told are gone.
    pub events_missed: u64,
    /// Pages of history that were told.
    pub history_pages: u64,
    /// Events in them.
    pub history_events: u64,
    /// Values of keys that ended by themselves.
    pub state_ended: u64,
    /// Messages about leases that a session was not told, because it was behind.
    pub leases_untold: u64,
    /// Events of durable channels that are kept no longer.
    pub events_expired: u64,
    /// Events that were erased with everything of their subject.
    pub events_erased: u64,
    /// Erasures that are done.
    pub erasures: u64,
    /// Channels that stand still because what is on disk of them cannot be read.
    pub channels_damaged: u64,
    /// Channels forgotten because nothing held them.
    pub channels_forgotten: u64,
    /// Members that came to a presence list.
    pub presence_joins: u64,
    /// Members that left a presence list.
    pub presence_leaves: u64,
    /// Members that said to be here in another way, or fell quiet, or were heard again.
    pub presence_changes: u64,
    /// Members that no presence list could take.
    pub presence_refused: u64,
    /// Numbered inputs taken in.
    pub inputs_taken: u64,
    /// Numbered inputs seen before, or older than one taken.
    pub inputs_repeated: u64,
    /// Numbered inputs beyond what a player may send in one tick.
    pub inputs_dropped: u64,
    /// Numbered inputs that the world does not take from this session.
    pub inputs_refused: u64,
    /// Messages of a host about an entity or a player that is not there.
    pub host_messages_unknown: u64,
    /// Rejections that a session was not told, because it was behind or they were too many.
    pub rejections_untold: u64,
}

/// How often each code was given.
pub type ByCode = BTreeMap<CloseCode, u64>;

/// Counts one more of this code.
pub(crate) fn count(by_code: &mut ByCode, code: CloseCode) {
    *by_code.entry(code).or_default() += 1;
}

/// How many reasons [`starling_protocol::message::control::RejectReason`] has.
pub const REJECT_REASONS: usize = 7;
