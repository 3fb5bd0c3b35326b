//! Sessions of an earlier life of the world.
//!
//! They stand parked, by the names that their clients know. Who was here counts as here until it was
//! silent for the presence time, from the beginning of this life on (P8). Their entities are in no
//! view until their session is taken up again: where they are now nobody knows. Until then, or until
//! the presence time is over, nobody else gets their names.

use super::rows::{self, EntityRow, Part, SessionRow, SubscriptionRow};
use super::{NewSession, Session, SessionIdx};
use crate::World;
use crate::channel::ChannelKind;
use crate::channel::log::Log;
use crate::channel::name::{self, Name};
use crate::channel::policy::ChannelPolicy;
use crate::channel::subscription::{Source, Subscription};
use crate::durable::open::{each_row, everything};
use crate::entity::{Owner, SpawnSpec};
use crate::grants::{Grants, Principal};
use crate::journal::{Shelf, ShelfError, Table};
use crate::output::{Note, Output};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{INTERESTS_MAX, SESSION_ENTITIES_MAX, SUBSCRIPTIONS_MAX};
use starling_protocol::message::control::Spawn;
use starling_protocol::message::interest::Interest;
use starling_protocol::units::{ChannelKey, Handle, SessionId, Tick};
use std::collections::BTreeMap;

/// An entity that waits for its session.
#[derive(Clone, Debug)]
pub(crate) struct Asleep {
    sequence: Option<u16>,
    spawn: Spawn,
}

impl Asleep {
    fn name(&self) -> &str {
        self.spawn.name.as_deref().unwrap_or_default()
    }
}

/// Everything that is kept of one session.
#[derive(Default)]
struct Image {
    session: Option<SessionRow>,
    entities: Vec<(Handle, EntityRow)>,
    subscriptions: Vec<(ChannelKey, SubscriptionRow)>,
    interests: Vec<(u8, Interest)>,
    damaged: bool,
}

impl Image {
    /// Takes one row in; what cannot be read spoils all of it, as a resume is whole or none (P16).
    fn take(&mut self, part: Option<Part>, value: Option<&[u8]>) {
        let taken = part.zip(value).and_then(|(part, value)| {
            match part {
                Part::Itself => self.session = Some(SessionRow::read(value)?),
                Part::Entity(handle) => self.entities.push((handle, EntityRow::read(value)?)),
                Part::Subscription(key) => {
                    self.subscriptions.push((key, SubscriptionRow::read(value)?));
                }
                Part::Interest(id) => self.interests.push((id, rows::read_interest(value)?)),
            }
            Some(())
        });
        self.damaged |= taken.is_none();
    }

    /// The session, if all of it can be had.
    fn whole(self) -> Option<(SessionRow, Self)> {
        let fits = self.entities.len() <= SESSION_ENTITIES_MAX
            && self.subscriptions.len() <= SUBSCRIPTIONS_MAX
            && self.interests.len() <= INTERESTS_MAX;
        let row = self.session.clone().filter(|_| fits && !self.damaged)?;
        Some((row, self))
    }
}

impl World {
    /// Reads the sessions of an earlier life.
    ///
    /// # Errors
    /// [`ShelfError`] where the store cannot be read.
    pub(crate) fn restore_sessions(&mut self, shelf: &dyn Shelf) -> Result<(), ShelfError> {
        let mut images: BTreeMap<SessionId, Image> = BTreeMap::new();
        each_row(shelf, Table::Session, everything(), |key, value| {
            if let Some((id, part)) = rows::read_key(&key) {
                images.entry(id).or_default().take(part, value.as_deref());
            }
        })?;
        for (id, image) in images {
            let room = self.sessions.len() < self.config.sessions_max;
            match image.whole().filter(|_| room) {
                Some((row, image)) => self.restore_session(id, row, image),
                None => {
                    self.counters.sessions_damaged += 1;
                    self.forget_session(id);
                }
            }
        }
        Ok(())
    }

    fn restore_session(&mut self, id: SessionId, row: SessionRow, image: Image) {
        let tokens = row.tokens();
        let new = NewSession {
            id,
            conn: None,
            principal: Principal {
                subject: row.subject,
                token: row.token,
                grants: Grants::default(),
                ..Principal::default()
            },
            expires: None,
            token_digest: row.newest,
            capabilities: row.capabilities,
            inbox: Log::new(self.config.epoch, ChannelPolicy::INBOX),
        };
        let mut session = Session::new(new, &self.config, self.now);
        session.tokens = tokens;
        session.parked = Some(self.now);
        session.parked_ms = row.parked_ms;
        let idx = self.sessions.insert(session, self.now);
        self.sessions.unaged.push(id);
        self.lay_asleep(idx, image.entities);
        self.close_view(idx);
        for (number, interest) in image.interests {
            // One that does not fit the world any more is set again by its client, or refused then.
            let _ = self.interests.set(idx, number, &interest);
        }
        for (key, row) in image.subscriptions {
            self.restore_subscription(idx, key, &row);
        }
        if row.here {
            self.arrive(idx);
        }
        self.plan_wake(idx);
    }

    fn restore_subscription(&mut self, idx: SessionIdx, key: ChannelKey, row: &SubscriptionRow) {
        let kind = match name::parse(&row.channel, self.realm(idx)) {
            Ok(Name::Plain(_) | Name::User(_)) => ChannelKind::Plain,
            Ok(Name::Presence(_)) => ChannelKind::Presence,
            Ok(Name::Count(_)) | Err(_) => return,
        };
        // Without its channel the client is told so when it comes, and asks again.
        let Ok(channel) = self.channel_for(idx, &row.channel, kind) else { return };
        self.channels[channel].subscribers.insert(idx, key);
        let mut subscription =
            Subscription::new(Source::Channel(channel), row.base, row.presence, self.now);
        // P6: nobody knows what of its first pages was written before the process died.
        subscription.paged = true;
        self.sessions[idx].subscriptions.insert(key, subscription);
    }

    fn lay_asleep(&mut self, idx: SessionIdx, entities: Vec<(Handle, EntityRow)>) {
        for (handle, EntityRow { sequence, spawn }) in entities {
            let asleep = Asleep { sequence, spawn };
            let name = asleep.name().to_owned();
            self.sessions[idx].asleep.insert(handle, asleep);
            self.sessions.sleepers.insert(name, Owner { session: idx, handle });
        }
    }

    /// Once a tick, and only in the first one that knows the time: who was parked too long by now is
    /// gone, and who had a connection when the server died is parked from here on.
    pub(crate) fn age_restored(&mut self, out: &mut Output) {
        if self.sessions.unaged.is_empty() || !self.durable.clock.is_set() {
            return;
        }
        let (now_ms, rate) = (self.kept_ms(), self.config.tick_rate);
        for id in std::mem::take(&mut self.sessions.unaged) {
            let Some(idx) = self.sessions.by_id(id) else { continue };
            let session = &mut self.sessions[idx];
            if session.is_live() {
                continue;
            }
            if session.parked_ms == 0 {
                session.parked_ms = now_ms;
                self.keep_session(idx);
            } else {
                let ms = now_ms.saturating_sub(session.parked_ms).min(self.config.park_ms.into());
                session.parked_before = rate.ticks_in_ms(ms);
            }
            if self.is_gone(idx) {
                self.end_session(idx, CloseCode::LOST, out);
            } else {
                self.plan_wake(idx);
            }
        }
    }

    /// The session is taken up again: its entities are there again, by their own names and handles.
    pub(super) fn wake_entities(&mut self, idx: SessionIdx, out: &mut Output) {
        for (handle, asleep) in std::mem::take(&mut self.sessions[idx].asleep) {
            self.sessions.sleepers.remove(asleep.name());
            let Asleep { sequence, spawn } = asleep;
            let owner = Owner { session: idx, handle };
            let spec = SpawnSpec::of(spawn);
            let team = spec.team;
            let woken = self.entities.spawn(spec, self.now);
            match woken {
                Ok(entity) if self.sessions[idx].owned.insert_at(handle, entity) => {
                    if self.sessions[idx].owned.len() == 1 {
                        self.sessions[idx].team = team;
                    }
                    self.entities.set_owner(entity, Some(owner));
                    self.entities.go_on_from(entity, sequence);
                    out.notes.push(Note::Spawned { entity: self.entities.id(entity) });
                }
                Ok(entity) => self.entities.despawn(entity),
                // Its client misses it in the Welcome, asks, and is told why not.
                Err(_) => self.forget_entity(owner),
            }
        }
    }

    /// Entities that wait for a session which does not come leave for silence, as all others do.
    pub(super) fn drop_asleep(&mut self, idx: SessionIdx) {
        for (handle, asleep) in std::mem::take(&mut self.sessions[idx].asleep) {
            self.sessions.sleepers.remove(asleep.name());
            self.forget_entity(Owner { session: idx, handle });
        }
    }

    /// A name that waits for its session passes on to another of the same subject.
    pub(super) fn take_name(&mut self, name: &str) {
        let Some(owner) = self.sessions.sleepers.remove(name) else { return };
        self.sessions[owner.session].asleep.remove(&owner.handle);
        self.forget_entity(owner);
    }

    /// When the entities that wait for a session leave.
    pub(super) fn asleep_leave_at(&self, idx: SessionIdx) -> Option<Tick> {
        let waits = !self.sessions[idx].asleep.is_empty();
        waits.then(|| self.sessions.contact(idx) + self.presence_ticks() + 1)
    }
}
