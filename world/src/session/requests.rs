//! Requests on the control stream: entities of mine, and what I look at.

use super::SessionIdx;
use crate::World;
use crate::counters::count;
use crate::entity::{EntityIdx, Owner, SpawnSpec};
use crate::output::{Note, Output};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::SESSION_ENTITIES_MAX;
use starling_protocol::message::control::{Authority, ControlDown, ControlUp, RequestKind, Spawn};
use starling_protocol::units::Handle;

/// Whose entity has the name that a Spawn asks for.
enum Holder {
    Nobody,
    /// The session itself: its answer was lost, and it is given again.
    Mine(Handle, EntityIdx),
    /// A parked session of the same subject: a device that lost its token comes back, and the name
    /// passes on to it.
    Parked(EntityIdx),
    /// The same, of an entity that waits for its session since a restart.
    Asleep,
    Other,
}

impl World {
    /// Does what a control message asks, or says why not.
    pub(crate) fn control(&mut self, idx: SessionIdx, message: ControlUp, out: &mut Output) {
        match message {
            ControlUp::Spawn(spawn) => self.spawn(idx, *spawn, out),
            ControlUp::Despawn { handle } => self.despawn(idx, handle, out),
            ControlUp::SetFields { handle, fields } => {
                let set = self.touchable(idx, handle);
                let set = set.and_then(|e| {
                    self.entities.set_fields(e, &fields, self.now).map(|()| self.keep_entity(e))
                });
                self.answer(idx, RequestKind::Fields(handle), set);
            }
            ControlUp::SetBlock { handle, block } => {
                let set = self.touchable(idx, handle);
                let set = set.and_then(|e| {
                    self.entities.set_block(e, &block, self.now).map(|()| self.keep_entity(e))
                });
                self.answer(idx, RequestKind::Fields(handle), set);
            }
            ControlUp::SetInterest { id, interest } => self.set_interest(idx, id, interest),
            ControlUp::RefreshToken { .. } => {
                // The shell verifies tokens; one that comes this far was not verified.
                self.refuse_request(idx, RequestKind::Token, CloseCode::UNAUTHORIZED);
            }
            ControlUp::Goodbye => self.goodbye(idx, out),
            _ => self.close(idx, CloseCode::PROTOCOL_ERROR, out),
        }
    }

    /// Says that a request was refused.
    pub(crate) fn refuse_request(
        &mut self,
        idx: SessionIdx,
        request: RequestKind,
        code: CloseCode,
    ) {
        count(&mut self.counters.requests_refused, code);
        self.sessions.control(idx, &ControlDown::RequestRefused { request, code }, self.now);
    }

    /// Takes an entity out of the world, and out of whatever names it.
    pub(crate) fn remove_entity(&mut self, entity: EntityIdx, out: &mut Output) {
        if !self.entities.is_live(entity) {
            return;
        }
        if let Some(owner @ Owner { session, handle }) = self.entities.owner(entity) {
            self.forget_entity(owner);
            self.sessions[session].owned.remove(handle);
        }
        if let Some(player) = self.entities.avatar_of(entity) {
            self.lose_avatar(player);
        }
        out.notes.push(Note::Despawned { entity: self.entities.id(entity) });
        self.entities.despawn(entity);
    }

    fn answer(&mut self, idx: SessionIdx, request: RequestKind, done: Result<(), CloseCode>) {
        if let Err(code) = done {
            self.refuse_request(idx, request, code);
        }
    }

    /// An entity of this session, which gives a sign of life.
    fn touchable(&mut self, idx: SessionIdx, handle: Handle) -> Result<EntityIdx, CloseCode> {
        let session = &self.sessions[idx];
        let entity = session.owned.get(handle).ok_or(CloseCode::UNKNOWN_ENTITY)?;
        let hosts = self.sessions.host == Some(idx);
        if !(session.principal.grants.r#move || hosts) {
            return Err(CloseCode::FORBIDDEN);
        }
        self.entities.touch(entity, self.now);
        Ok(entity)
    }

    fn despawn(&mut self, idx: SessionIdx, handle: Handle, out: &mut Output) {
        match self.sessions[idx].owned.get(handle) {
            Some(entity) => {
                self.remove_entity(entity, out);
                let gone = ControlDown::Despawned { handle, code: CloseCode::GOODBYE };
                self.sessions.control(idx, &gone, self.now);
            }
            None => {
                let request = RequestKind::Despawn(handle);
                self.refuse_request(idx, request, CloseCode::UNKNOWN_ENTITY);
            }
        }
    }

    fn spawn(&mut self, idx: SessionIdx, spawn: Spawn, out: &mut Output) {
        let request = spawn.request;
        let answer = match self.may_spawn(idx, &spawn).and_then(|()| self.make(idx, spawn, out)) {
            Ok((handle, entity)) => ControlDown::Spawned {
                request,
                handle,
                entity: self.entities.id(entity),
                name: self.entities.name(entity).into(),
            },
            Err(code) => {
                count(&mut self.counters.requests_refused, code);
                ControlDown::SpawnRefused { request, code }
            }
        };
        self.sessions.control(idx, &answer, self.now);
    }

    fn may_spawn(&self, idx: SessionIdx, spawn: &Spawn) -> Result<(), CloseCode> {
        let session = &self.sessions[idx];
        let hosts = self.sessions.host == Some(idx);
        match self.config.authority {
            Authority::Server => return Err(CloseCode::WRONG_AUTHORITY),
            Authority::Host if !hosts => return Err(CloseCode::WRONG_AUTHORITY),
            Authority::Client if spawn.avatar_of.is_some() => {
                return Err(CloseCode::WRONG_AUTHORITY);
            }
            _ => {}
        }
        if !(session.principal.grants.r#move || hosts) || session.is_viewer() {
            return Err(CloseCode::FORBIDDEN);
        }
        if session.owned.len() >= SESSION_ENTITIES_MAX {
            return Err(CloseCode::LIMIT);
        }
        Ok(())
    }

    fn make(
        &mut self,
        idx: SessionIdx,
        spawn: Spawn,
        out: &mut Output,
    ) -> Result<(Handle, EntityIdx), CloseCode> {
        let avatar_of = match spawn.avatar_of {
            Some(id) => Some(self.sessions.by_id(id).ok_or(CloseCode::UNKNOWN_ENTITY)?),
            None => None,
        };
        let inherited = match self.holder(idx, spawn.name.as_deref()) {
            Holder::Nobody => None,
            Holder::Mine(handle, entity) if self.entities.kind(entity) == spawn.kind => {
                return Ok((handle, entity));
            }
            Holder::Parked(entity) => Some(entity),
            Holder::Asleep => None,
            Holder::Mine(..) | Holder::Other => return Err(CloseCode::BAD_NAME),
        };
        let team = spawn.team;
        let spec = SpawnSpec::of(spawn);
        let asleep = spec.name.clone().filter(|name| self.sessions.sleepers.contains_key(name));
        if let Some(name) = asleep {
            self.entities.check(&spec)?;
            self.take_name(&name);
        }
        if let Some(old) = inherited {
            self.entities.check(&spec)?;
            self.remove_entity(old, out);
        }
        let entity = self.entities.spawn(spec, self.now)?;
        let handle = self.own(idx, entity, team);
        if let Some(player) = avatar_of {
            self.set_avatar(player, entity);
        }
        self.keep_entity(entity);
        out.notes.push(Note::Spawned { entity: self.entities.id(entity) });
        Ok((handle, entity))
    }

    fn own(&mut self, idx: SessionIdx, entity: EntityIdx, team: u8) -> Handle {
        let session = &mut self.sessions[idx];
        if session.owned.is_empty() {
            session.team = team;
        }
        let handle = session.owned.insert(entity).expect("room was checked before the spawn");
        self.entities.set_owner(entity, Some(Owner { session: idx, handle }));
        handle
    }

    /// Who holds a name now.
    fn holder(&self, idx: SessionIdx, name: Option<&str>) -> Holder {
        let Some(entity) = name.and_then(|name| self.entities.named(name)) else {
            return self.sleeping_holder(idx, name);
        };
        let Some(owner) = self.entities.owner(entity) else { return Holder::Other };
        if owner.session == idx {
            return Holder::Mine(owner.handle, entity);
        }
        let holder = &self.sessions[owner.session];
        let same = holder.principal.subject == self.sessions[idx].principal.subject;
        if same && !holder.is_live() { Holder::Parked(entity) } else { Holder::Other }
    }

    fn sleeping_holder(&self, idx: SessionIdx, name: Option<&str>) -> Holder {
        let Some(owner) = name.and_then(|name| self.sessions.sleepers.get(name)) else {
            return Holder::Nobody;
        };
        let subject = &self.sessions[owner.session].principal.subject;
        if *subject == self.sessions[idx].principal.subject {
            Holder::Asleep
        } else {
            Holder::Other
        }
    }
}
