//! What happened to a session, one closed list.

use crate::channel::PresenceCount;
use crate::error::ConnectError;
use crate::session::own::OwnKey;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::CUE_BYTES_MAX;
use starling_protocol::message::control::{RejectReason, RequestKind, ResumeAnswer};
use starling_protocol::message::events::{
    Answer, Event, LeaseTold, Member, ReadCursor, Receipt, Unread,
};
use starling_protocol::message::host::PlayerInput;
use starling_protocol::snapshot;
use starling_protocol::space::Space;
use starling_protocol::units::{ChannelKey, EntityId, Handle, MessageId, Offset, SessionId, Tick};

/// What happened to a session, in order.
///
/// Entities that enter, move and leave are not here but in the [`View`](crate::View), and cues come
/// from [`Session::poll_cue`](crate::Session::poll_cue): both are state that may be skipped, these
/// are not.
///
/// ```
/// use starling_client::{ClientEvent, ConnectOptions, Session};
/// # use starling_protocol::units::Nanos;
/// # let mut session = Session::new(Nanos(0), ConnectOptions::new("plaza"));
/// while let Some(event) = session.poll_event() {
///     match event {
///         ClientEvent::Connected { session } => println!("in, as {session:?}"),
///         ClientEvent::Delivered(event) => println!("{} bytes were said", event.payload.len()),
///         ClientEvent::Reconnecting { wait_ms, .. } => println!("again in {wait_ms} ms"),
///         ClientEvent::Closed { error } => println!("over: {error}"),
///         _ => {}
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The session stands for the first time.
    Connected {
        /// This session.
        session: SessionId,
    },
    /// The connection was lost; the session connects again by itself.
    Reconnecting {
        /// Why it was lost.
        code: CloseCode,
        /// Milliseconds until the next attempt.
        wait_ms: u64,
    },
    /// It stands again.
    Reconnected {
        /// What the server made of it. After anything but `Resumed` it is a new session, in which
        /// own entities, interests and subscriptions were asked for again.
        answer: ResumeAnswer,
        /// This session.
        session: SessionId,
    },
    /// The session ended for good.
    Closed {
        /// Why, and what to do next.
        error: ConnectError,
    },
    /// The session ended because this side asked for it.
    Goodbye,

    /// An entity of mine stands.
    Spawned {
        /// My name for it.
        key: OwnKey,
        /// The server's short name for it, as fold reports and cues use it.
        handle: Handle,
        /// Its name for everyone.
        entity: EntityId,
        /// The name it got.
        name: String,
    },
    /// An entity of mine does not stand; its key is of no further use.
    SpawnRefused {
        /// My name for it.
        key: OwnKey,
        /// Why.
        code: CloseCode,
    },
    /// An entity of mine is gone; its key is of no further use.
    Despawned {
        /// My name for it.
        key: OwnKey,
        /// Why.
        code: CloseCode,
    },
    /// A sample of mine was not accepted.
    Rejected {
        /// In this tick.
        tick: Tick,
        /// Of this entity of mine.
        key: OwnKey,
        /// The sample's number.
        sequence: u16,
        /// Why.
        reason: RejectReason,
    },
    /// Another entity than before is moved for me by the game or the host.
    Avatar {
        /// Its name for everyone; `None` when there is none any more.
        entity: Option<EntityId>,
    },
    /// An area of interest stands.
    InterestSet {
        /// Its number.
        id: u8,
    },
    /// A request was refused; the session goes on.
    RequestRefused {
        /// What was asked.
        request: RequestKind,
        /// Why.
        code: CloseCode,
    },
    /// A fresh token was accepted.
    TokenAccepted,
    /// The server drains; the session will reconnect by itself.
    GoingAway {
        /// Milliseconds until the server closes the connection.
        deadline_ms: u32,
    },
    /// The server has too little time for everything, or enough again (P13). A session begins, and
    /// begins again, at 0.
    Shed {
        /// The step: 1 refuses newcomers, 2 tells far things less often, 3 middle ones too, 4 refuses
        /// history and new subscriptions (which are asked for again by themselves), 5 publishes, notes
        /// and leases, 6 closes slow readers sooner. 0 is normal. Presence is told on every step.
        level: u8,
    },

    /// A subscription stands.
    Subscribed {
        /// Which.
        key: ChannelKey,
        /// `Resumed`: every event after the position follows. `Reset`: from that position anew.
        answer: Answer,
    },
    /// A subscription was denied or ended by the server.
    Unsubscribed {
        /// Which.
        key: ChannelKey,
        /// Its channel.
        channel: String,
        /// Why.
        code: CloseCode,
    },
    /// The next event of a channel.
    Delivered(Box<Event>),
    /// Events of a channel are gone for good; the next one is `to + 1`.
    Gap {
        /// Which channel.
        key: ChannelKey,
        /// First missing offset.
        from: Offset,
        /// Last missing offset.
        to: Offset,
    },
    /// A presence list is complete.
    Members {
        /// Which channel.
        key: ChannelKey,
    },
    /// A member came.
    Joined {
        /// To this presence channel.
        key: ChannelKey,
        /// Who.
        member: Member,
    },
    /// A member is there in another way, or shows something else.
    MemberChanged {
        /// On this presence channel.
        key: ChannelKey,
        /// Who, and how.
        member: Member,
    },
    /// Several came, left or changed at once; who came and went again is not named.
    MembersChanged {
        /// On this presence channel.
        key: ChannelKey,
        /// Who is there and was not, or is in another way.
        here: Vec<Member>,
        /// Who was there and is not.
        left: Vec<SessionId>,
    },
    /// How many are on a presence list, for a subscription to `count/...`.
    Count {
        /// Which.
        key: ChannelKey,
        /// Users and sessions.
        count: PresenceCount,
    },
    /// A member left.
    Left {
        /// This presence channel.
        key: ChannelKey,
        /// Who.
        session: SessionId,
    },
    /// The values of a channel's keys are complete: see
    /// [`Session::state_of`](crate::Session::state_of).
    State {
        /// Which channel.
        key: ChannelKey,
    },
    /// What others do in a channel just now, or do no more (`ttl_ms` 0): see
    /// [`Session::leases`](crate::Session::leases).
    Leases {
        /// Which channel.
        key: ChannelKey,
        /// Whose, and what.
        leases: Vec<LeaseTold>,
    },
    /// Others have read on.
    Cursors {
        /// Which channel.
        key: ChannelKey,
        /// Whose, and up to where.
        cursors: Vec<ReadCursor>,
    },
    /// How much I have not read.
    Unread {
        /// Of this question.
        request: u32,
        /// One for each channel, in the order asked for.
        channels: Vec<Unread>,
    },
    /// A page of history is here: see [`Session::page`](crate::Session::page).
    History {
        /// Of this request.
        request: u32,
    },
    /// What a subject published is erased.
    Erased {
        /// Of this request.
        request: u32,
        /// So many events lost their content.
        events: u64,
    },
    /// A lease or a receipt of mine was refused.
    ChannelRefused {
        /// In this channel.
        key: ChannelKey,
        /// Why.
        code: CloseCode,
        /// Milliseconds to wait before the next attempt.
        retry_after_ms: Option<u32>,
    },
    /// A question of mine was refused.
    AskRefused {
        /// Which.
        request: u32,
        /// Why.
        code: CloseCode,
        /// Milliseconds to wait before the next attempt.
        retry_after_ms: Option<u32>,
    },
    /// A publish was accepted.
    Published {
        /// Its id.
        message: MessageId,
        /// Where it stands.
        receipt: Receipt,
    },
    /// A publish was refused.
    PublishRefused {
        /// Its id.
        message: MessageId,
        /// Why.
        code: CloseCode,
        /// Milliseconds to wait before the next attempt.
        retry_after_ms: Option<u32>,
    },
    /// A publish was under way when its session was lost for good: it appeared once or not at all.
    PublishUncertain {
        /// Its id.
        message: MessageId,
    },

    /// Host: a player came.
    PlayerJoined {
        /// Its session.
        session: SessionId,
        /// Subject of its token; empty in open mode.
        subject: String,
    },
    /// Host: a player left.
    PlayerLeft {
        /// Its session.
        session: SessionId,
    },
    /// Host: the inputs that arrived for this tick.
    PlayerInputs {
        /// The tick that folds them.
        tick: Tick,
        /// In order of session and number, each once.
        inputs: Vec<PlayerInput>,
    },
}

/// A cue that arrived in time.
///
/// ```
/// # use starling_client::{ConnectOptions, Session};
/// # use starling_protocol::units::Nanos;
/// # let mut session = Session::new(Nanos(0), ConnectOptions::new("plaza"));
/// const SHOT: u8 = 1;
/// while let Some(cue) = session.poll_cue() {
///     if cue.kind == SHOT {
///         println!("a shot at {:?} with {:?}", cue.position, cue.payload());
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cue {
    /// The tick it belongs to.
    pub tick: Tick,
    /// Ticks after `tick` for which it is of use: it came no later than their end.
    pub life: u8,
    /// The game's own number for what it is.
    pub kind: u8,
    /// The entity it comes from.
    pub source: Option<EntityId>,
    /// Where it happened, in the units of the API.
    pub position: Option<[f64; 3]>,
    payload: [u8; CUE_BYTES_MAX],
    len: u8,
}

impl Cue {
    pub(crate) fn new(space: Space, told: &snapshot::Cue<'_>) -> Self {
        let mut payload = [0; CUE_BYTES_MAX];
        let len = told.payload.len().min(CUE_BYTES_MAX);
        payload[..len].copy_from_slice(&told.payload[..len]);
        Self {
            tick: told.tick,
            life: told.life,
            kind: told.kind,
            source: told.source,
            position: told.position.map(|pos| space.point(pos)),
            payload,
            len: len as u8,
        }
    }

    /// The game's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload[..usize::from(self.len)]
    }
}
