//! Sessions: live, parked, gone.
//!
//! A session is what a client keeps when its connection breaks: its entities, areas of interest,
//! subscriptions, inbox and the numbers of its inputs. It is *live* while a connection carries it,
//! *parked* after that for the world's `park_ms`, then gone. All times are in ticks.

mod attach;
mod avatar;
mod conns;
mod drain;
mod expiry;
mod handles;
pub(crate) mod hold;
mod keep;
mod mute;
mod rate;
mod repeats;
mod requests;
mod restore;
mod revoke;
mod rows;
mod slab;
mod speaker;
mod state;
mod token;
mod view;
mod wakes;
mod welcome;

pub use handles::Owned;
pub use slab::Sessions;
pub(crate) use speaker::Speaker;

use crate::authority::inputs::InputQueue;
use crate::channel::history::Reads;
use crate::channel::log::Log;
use crate::channel::subscription::Subscriptions;
use crate::config::WorldConfig;
use crate::cue::CueIds;
use crate::entity::EntityIdx;
use crate::grants::Principal;
use crate::input::{ConnId, Link};
use crate::mail::Mail;
use crate::presence::Presence;
use crate::simd;
use rate::TokenBucket;
use repeats::Repeats;
use restore::Asleep;
use starling_protocol::message::control::Capabilities;
use starling_protocol::units::{Handle, SessionId, Tick, TickRate};
use std::collections::BTreeMap;
use token::{Digest, ResumeTokens};

/// A row of the slab of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionIdx(pub u32);

impl SessionIdx {
    /// As an index into a column.
    #[must_use]
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// Publishes that a session may make in a second, and at once after a pause.
const PUBLISHES_PER_SECOND: u32 = 50;
/// Subscriptions that a session may ask for in a second.
const SUBSCRIBES_PER_SECOND: u32 = 20;
/// Subscriptions that it may ask for at once: all that it may hold, so that a start is one burst.
const SUBSCRIBES_BURST: u32 = starling_protocol::limits::SUBSCRIPTIONS_MAX as u32;
/// Pages of history that a session may ask for in a second.
const READS_PER_SECOND: u32 = 5;
/// Pages of history that it may ask for at once.
const READS_BURST: u32 = 20;
/// Channels that it may have counted for what it has not read in a second; at once, all that it
/// may follow.
const COUNTS_PER_SECOND: u32 = 64;
/// Stream bytes that a link takes until the shell says more: its first flow-control window.
const STREAM_BYTES_AT_START: u32 = 64 * 1024;

/// What a link may carry, and what of it is left in this tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes of datagrams per tick.
    pub datagram_bytes: u32,
    /// Bytes of streams per tick.
    pub stream_bytes: u32,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: u32,
    /// Stream bytes not yet used up in the tick `spent`.
    left: u32,
    spent: Tick,
}

impl Default for Allowance {
    /// One datagram a tick and one window of stream bytes, until the shell knows the link.
    fn default() -> Self {
        Self {
            datagram_bytes: starling_protocol::limits::DATAGRAM_BYTES_MAX as u32,
            stream_bytes: STREAM_BYTES_AT_START,
            rtt_us: 0,
            left: STREAM_BYTES_AT_START,
            spent: Tick(0),
        }
    }
}

impl Allowance {
    pub(crate) fn grant(&mut self, link: &Link) {
        self.datagram_bytes = link.datagram_bytes;
        self.stream_bytes = link.stream_bytes;
        self.rtt_us = link.rtt_us;
    }

    /// Stream bytes not yet used up in this tick.
    pub(crate) fn stream_left(&self, now: Tick) -> u32 {
        if self.spent == now { self.left } else { self.stream_bytes }
    }

    /// So many are left in this tick.
    pub(crate) fn leave(&mut self, left: u32, now: Tick) {
        (self.left, self.spent) = (left, now);
    }
}

/// One session. What every datagram of its client needs comes first.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Session {
    /// The connection that carries it; `None` while it is parked.
    pub(crate) conn: Option<ConnId>,
    /// What its link may carry.
    pub(crate) link: Allowance,
    /// The entity that a game or a host moves for it.
    pub(crate) avatar: Option<EntityIdx>,
    /// Bits of [`Capabilities`].
    pub(crate) capabilities: u32,
    /// Team of its first entity or avatar, 0 for none.
    pub(crate) team: u8,
    /// It counts as present: joined and not left.
    pub(crate) here: bool,
    /// It is told nothing for now: its token has ended, or its Welcome is held.
    pub(crate) muted: bool,
    /// Its Welcome waits until it is on stable storage that there is such a session.
    pub(crate) held: bool,
    /// Numbered inputs on their way to a game or a host.
    pub(crate) inputs: InputQueue,
    /// Its entities by handle.
    pub(crate) owned: Owned,
    /// What takes it up again.
    pub(crate) tokens: ResumeTokens,
    /// Who it is and what it may do now.
    pub(crate) principal: Principal,
    /// Its name in messages.
    pub(crate) id: SessionId,
    /// When it was parked.
    pub(crate) parked: Option<Tick>,
    /// The same in milliseconds since 1970, for a later life of the world; 0 while it is live.
    pub(crate) parked_ms: u64,
    /// Ticks that it was parked for in an earlier life.
    pub(crate) parked_before: u32,
    /// Entities of an earlier life, until it is taken up again.
    pub(crate) asleep: BTreeMap<Handle, Asleep>,
    /// The tick in which the token ends.
    pub(crate) expires: Option<Tick>,
    /// When it was last told that its inputs are not taken.
    pub(crate) input_refusal_told: Option<Tick>,
    /// What waits to be written.
    pub(crate) mail: Mail,
    /// Events addressed to it alone.
    pub(crate) inbox: Log,
    /// The channels that it follows.
    pub(crate) subscriptions: Subscriptions,
    /// Pages of history that it waits for.
    pub(crate) reads: Reads,
    /// How it is here.
    pub(crate) presence: Presence,
    /// Channels that there are because it named them first.
    pub(crate) channels_made: usize,
    /// Its recent publishes, so that a repeat is recognised.
    pub(crate) repeats: Repeats,
    /// Its own cues, of which the same holds: a client that resumes repeats those under way.
    pub(crate) cue_ids: CueIds,
    publish_rate: TokenBucket,
    /// In namespaces that have a rate of their own, of which there are few.
    namespace_rates: BTreeMap<String, TokenBucket>,
    subscribe_rate: TokenBucket,
    count_rate: TokenBucket,
    read_rate: TokenBucket,
}

/// The length of what a datagram down needs of a session.
const LINK_BYTES: usize = std::mem::offset_of!(Session, owned);
/// The length of what a datagram up needs of it.
const HOT_BYTES: usize = std::mem::offset_of!(Session, id);

/// What it takes to make a session.
pub(crate) struct NewSession {
    pub(crate) id: SessionId,
    pub(crate) conn: Option<ConnId>,
    pub(crate) principal: Principal,
    pub(crate) expires: Option<Tick>,
    pub(crate) token_digest: Digest,
    pub(crate) capabilities: u32,
    pub(crate) inbox: Log,
}

impl Session {
    pub(crate) fn new(new: NewSession, config: &WorldConfig, now: Tick) -> Self {
        let hz = config.tick_rate;
        Self {
            id: new.id,
            conn: new.conn,
            parked: None,
            parked_ms: 0,
            parked_before: 0,
            asleep: BTreeMap::new(),
            principal: new.principal,
            expires: new.expires,
            tokens: ResumeTokens::new(new.token_digest),
            capabilities: new.capabilities,
            link: Allowance::default(),
            here: false,
            muted: false,
            held: false,
            owned: Owned::default(),
            team: 0,
            avatar: None,
            inputs: InputQueue::default(),
            input_refusal_told: None,
            mail: Mail::default(),
            subscriptions: Subscriptions::with_inbox(new.inbox.top()),
            inbox: new.inbox,
            reads: Reads::default(),
            presence: Presence::default(),
            channels_made: 0,
            repeats: Repeats::new(hz),
            cue_ids: CueIds::default(),
            publish_rate: TokenBucket::new(PUBLISHES_PER_SECOND, PUBLISHES_PER_SECOND, hz, now),
            namespace_rates: BTreeMap::new(),
            subscribe_rate: TokenBucket::new(SUBSCRIBES_PER_SECOND, SUBSCRIBES_BURST, hz, now),
            read_rate: TokenBucket::new(READS_PER_SECOND, READS_BURST, hz, now),
            count_rate: TokenBucket::new(COUNTS_PER_SECOND, SUBSCRIBES_BURST, hz, now),
        }
    }

    /// Its name in messages.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The connection that carries it; `None` while it is parked.
    #[must_use]
    pub fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// Does a connection carry it?
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.conn.is_some()
    }

    /// Who it is and what it may do.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Its entities by handle.
    #[must_use]
    pub fn owned(&self) -> &Owned {
        &self.owned
    }

    /// Begins to bring what every datagram from its client needs.
    #[inline]
    pub(crate) fn fetch(&self) {
        simd::fetch_row(std::slice::from_ref(self), HOT_BYTES);
    }

    /// Begins to bring what every datagram to its client needs.
    #[inline]
    pub(crate) fn fetch_link(&self) {
        simd::fetch_row(std::slice::from_ref(self), LINK_BYTES);
    }

    /// Does it only look?
    pub(crate) fn is_viewer(&self) -> bool {
        self.capabilities & Capabilities::VIEWER != 0
    }

    /// Did it ask to host the world?
    pub(crate) fn is_host(&self) -> bool {
        self.capabilities & Capabilities::HOST != 0
    }

    /// Would it be told of its avatar?
    pub(crate) fn hears_of_avatar(&self) -> bool {
        self.capabilities & Capabilities::AVATAR != 0
    }

    /// Takes a token for one publish, or says how many ticks to wait.
    pub(crate) fn may_publish_now(&mut self, now: Tick) -> Result<(), u32> {
        self.publish_rate.take(now)
    }

    /// Takes a token for one publish in a namespace with a rate of its own, or says how many ticks to
    /// wait.
    pub(crate) fn may_publish_in(
        &mut self,
        namespace: &str,
        per_second: u32,
        rate: TickRate,
        now: Tick,
    ) -> Result<(), u32> {
        if let Some(bucket) = self.namespace_rates.get_mut(namespace) {
            return bucket.take(now);
        }
        let mut bucket = TokenBucket::new(per_second, per_second, rate, now);
        let taken = bucket.take(now);
        self.namespace_rates.insert(namespace.to_owned(), bucket);
        taken
    }

    /// Takes a token for counting what is unread in one channel, or says how many ticks to wait.
    pub(crate) fn may_count_now(&mut self, now: Tick) -> Result<(), u32> {
        self.count_rate.take(now)
    }

    /// Takes a token for one page of history, or says how many ticks to wait.
    pub(crate) fn may_read_now(&mut self, now: Tick) -> Result<(), u32> {
        self.read_rate.take(now)
    }

    /// Takes a token for one subscription, or says how many ticks to wait.
    pub(crate) fn may_subscribe_now(&mut self, now: Tick) -> Result<(), u32> {
        self.subscribe_rate.take(now)
    }
}
