//! What of sessions outlives the process: written when it changes, positions every few seconds.
//!
//! P11: in a world with a store, a session can be taken up again after a restart, with the same
//! names for its entities, the same channels and the same numbers. What a host holds is not kept: it
//! is the host's own world.

use super::SessionIdx;
use super::rows::{self, EntityRow, Part, SessionRow, SubscriptionRow};
use crate::World;
use crate::channel::subscription::Source;
use crate::durable::MissedTurns;
use crate::entity::{EntityIdx, Owner};
use crate::journal::{Health, Table};
use starling_protocol::message::control::Spawn;
use starling_protocol::message::interest::{Interest, Shape, Target};
use starling_protocol::sample::Sample;
use starling_protocol::units::{ChannelKey, SessionId, Tick};

/// A position that changed is written this often.
const POSITIONS_MS: u64 = 4_000;
/// At the end of a server so many more are: one group of changes must stay of a size.
const POSITIONS_AT_ONCE_MAX: u64 = 16_384;
/// With more on its way to the store no position is added: a store that hangs must not fill memory.
const UNDER_WAY_MAX: u64 = 4_096;

impl World {
    /// Is this session one that outlives the process?
    pub(super) fn keeps(&self, idx: SessionIdx) -> bool {
        self.durable.journal.is_on() && self.sessions.get(idx).is_some_and(|s| !s.is_host())
    }

    /// Something of the session itself changed.
    pub(crate) fn keep_session(&mut self, idx: SessionIdx) {
        if !self.keeps(idx) {
            return;
        }
        let session = &self.sessions[idx];
        let mut tokens = session.tokens.iter();
        let row = SessionRow {
            newest: tokens.next().copied().unwrap_or_default(),
            replaced: tokens.next().copied(),
            subject: session.principal.subject.clone(),
            capabilities: session.capabilities,
            here: session.here,
            parked_ms: session.parked_ms,
            token: session.principal.token.clone(),
        };
        let key = rows::key(session.id, Part::Itself);
        self.durable.journal.put(Table::Session, key, row.write());
    }

    /// The session is gone, and everything of it.
    pub(crate) fn forget_session(&mut self, id: SessionId) {
        self.durable.journal.remove_range(Table::Session, rows::keys_of(id));
    }

    /// An entity is new, or is another than it was.
    pub(crate) fn keep_entity(&mut self, entity: EntityIdx) {
        let Some(Owner { session, handle }) = self.entities.owner(entity) else { return };
        if !self.keeps(session) {
            return;
        }
        let row =
            EntityRow { sequence: self.entities.sequence(entity), spawn: self.spawn_of(entity) };
        let key = rows::key(self.sessions[session].id, Part::Entity(handle));
        self.durable.journal.put(Table::Session, key, row.write());
    }

    /// An entity is its session's no more.
    pub(crate) fn forget_entity(&mut self, owner: Owner) {
        if self.keeps(owner.session) {
            let key = rows::key(self.sessions[owner.session].id, Part::Entity(owner.handle));
            self.durable.journal.remove(Table::Session, key);
        }
    }

    /// A subscription begins, or another of its rights changed.
    pub(crate) fn keep_subscription(&mut self, idx: SessionIdx, key: ChannelKey) {
        if !self.keeps(idx) {
            return;
        }
        let Some(subscription) = self.sessions[idx].subscriptions.get(key) else { return };
        let Source::Channel(channel) = subscription.source else { return };
        let row = SubscriptionRow {
            base: subscription.base,
            presence: subscription.presence,
            channel: self.channels[channel].name.clone(),
        };
        let key = rows::key(self.sessions[idx].id, Part::Subscription(key));
        self.durable.journal.put(Table::Session, key, row.write());
    }

    /// A subscription ended.
    pub(crate) fn forget_subscription(&mut self, idx: SessionIdx, key: ChannelKey) {
        if self.keeps(idx) {
            let key = rows::key(self.sessions[idx].id, Part::Subscription(key));
            self.durable.journal.remove(Table::Session, key);
        }
    }

    /// An area of interest was set, or removed. One that follows an entity by its id is kept by its
    /// name, as ids are of one life.
    pub(crate) fn keep_interest(&mut self, idx: SessionIdx, id: u8, interest: Option<&Interest>) {
        if !self.keeps(idx) {
            return;
        }
        let key = rows::key(self.sessions[idx].id, Part::Interest(id));
        let Some(interest) = interest else {
            return self.durable.journal.remove(Table::Session, key);
        };
        let mut interest = interest.clone();
        if let Shape::Follow { entity } = &mut interest.shape
            && let Some(found) = self.entities.target(entity)
        {
            *entity = Target::Name(self.entities.name(found).into());
        }
        self.durable.journal.put(Table::Session, key, rows::interest(&interest));
    }

    /// Once a tick: positions whose turn it is, if they changed since their last. While the store
    /// does not take them they miss their turn, so that nothing piles up before it.
    pub(crate) fn keep_positions(&mut self) {
        if !self.durable.journal.is_on() {
            return;
        }
        let crowded = self.durable.journal.under_way() > UNDER_WAY_MAX;
        if crowded || self.durable.health != Health::Well {
            let first = self.durable.missed.map_or(self.now, |missed| missed.first);
            self.durable.missed = Some(MissedTurns { first, last: self.now });
            return;
        }
        let period = self.position_period();
        let since = self.changed_since(period);
        let first = self.now.0 % period;
        for row in (first as usize..self.entities.rows()).step_by(period as usize) {
            self.keep_position(EntityIdx(row as u32), since);
        }
    }

    /// At the end of a server: every position that changed since its last turn.
    pub(super) fn keep_all_positions(&mut self) {
        if !self.durable.journal.is_on() {
            return;
        }
        let since = self.changed_since(self.position_period());
        let most = self.durable.journal.written() + POSITIONS_AT_ONCE_MAX;
        for row in 0..self.entities.rows() {
            if self.durable.journal.written() >= most {
                return; // what is left is as its last turn had it
            }
            self.keep_position(EntityIdx(row as u32), since);
        }
    }

    fn position_period(&self) -> u32 {
        self.config.tick_rate.ticks_in_ms(POSITIONS_MS).max(1)
    }

    /// What changed after this tick has its turn: a period ago, or before the turns that were missed
    /// for as long as some of them were not made good.
    fn changed_since(&mut self, period: u32) -> i64 {
        let ago = |tick: Tick| i64::from(tick.0) - i64::from(period);
        let missed = self.durable.missed;
        self.durable.missed = missed.filter(|missed| ago(self.now) <= i64::from(missed.last.0));
        ago(self.durable.missed.map_or(self.now, |missed| missed.first))
    }

    fn keep_position(&mut self, entity: EntityIdx, since: i64) {
        let changed = i64::from(self.entities.accepted(entity).tick.0) > since;
        if changed && self.entities.is_live(entity) {
            self.keep_entity(entity);
        }
    }

    /// The request that would make an entity as it is now.
    fn spawn_of(&self, entity: EntityIdx) -> Spawn {
        let (entities, traits) = (&self.entities, self.entities.traits(entity));
        let (accepted, fields) = (entities.accepted(entity), entities.fields(entity));
        let values = fields.values().iter().enumerate().filter(|(_, raw)| **raw != 0);
        Spawn {
            request: 0,
            name: Some(entities.name(entity).into()),
            kind: traits.kind,
            team: traits.team,
            audience: traits.audience,
            sample: Sample {
                position: accepted.position,
                velocity: accepted.velocity,
                orientation: accepted.orientation,
                fix: accepted.fix,
            },
            fields: values.map(|(index, raw)| (index as u8, *raw)).collect(),
            block: fields.block().to_vec(),
            avatar_of: None,
        }
    }
}
