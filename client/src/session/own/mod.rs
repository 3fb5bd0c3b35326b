//! Entities of mine: what I want, what stands, and what of it was sent.

mod rejoin;
mod sample;
mod spec;

pub(crate) use sample::Repeat;
pub use spec::SpawnSpec;

use crate::error::RequestError;
use crate::pose::Pose;
use sample::Sent;
use spec::raw_fields;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{BLOCK_BYTES_MAX, FIELDS_MAX, SESSION_ENTITIES_MAX};
use starling_protocol::message::control::{ControlUp, Spawn};
use starling_protocol::sample::Sample;
use starling_protocol::schema::{Schema, Value};
use starling_protocol::space::Space;
use starling_protocol::units::{EntityId, Handle};
use std::collections::VecDeque;

/// My name for an entity of mine. Stands from the moment of asking, through every reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnKey(u32);

impl OwnKey {
    const fn new(index: usize, generation: u16) -> Self {
        Self(index as u32 | (generation as u32) << 16)
    }

    const fn index(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// As the request number of a spawn.
    pub(crate) const fn request(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_request(request: u32) -> Self {
        Self(request)
    }
}

/// How far an entity of mine has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnState {
    /// Not asked for yet on this connection.
    Wanted,
    /// Asked for.
    Asked,
    /// It stands.
    Stands {
        /// The server's short name for it, for this session.
        handle: Handle,
        /// Its name for everyone.
        entity: EntityId,
    },
}

#[derive(Debug)]
struct Own {
    spec: Box<SpawnSpec>,
    state: OwnState,
    /// To be removed as soon as it stands.
    doomed: bool,
    sample: Option<Sample>,
    sequence: u16,
    /// There is a sample that was not sent.
    fresh: bool,
    /// The last sample was said twice.
    still: bool,
    sent: Option<Sent>,
    /// Fields, and the block, that changed since they were last told.
    untold: [bool; 2],
}

/// Refusals that can still be asked for.
const REFUSALS_KEPT: usize = 64;

/// The entities of one session.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    slab: Vec<(u16, Option<Own>)>,
    free: Vec<u16>,
    by_handle: Vec<Option<OwnKey>>,
    count: usize,
    wanted: usize,
    /// No place before this one is wanted.
    wanted_from: usize,
    /// Some entity may have changes that were not told.
    untold: bool,
    /// The last that were refused, and why.
    refused: VecDeque<(OwnKey, CloseCode)>,
}

impl Owned {
    pub(crate) fn want(&mut self, spec: SpawnSpec) -> Result<OwnKey, RequestError> {
        spec.check()?;
        if self.count == SESSION_ENTITIES_MAX {
            return Err(RequestError::Limit);
        }
        let index = self.free.pop().map_or_else(|| self.grow(), usize::from);
        let (generation, own) = &mut self.slab[index];
        *own = Some(Own {
            spec: Box::new(spec),
            state: OwnState::Wanted,
            doomed: false,
            sample: None,
            sequence: 0,
            fresh: false,
            still: false,
            sent: None,
            untold: [false; 2],
        });
        self.count += 1;
        self.wanted += 1;
        self.wanted_from = self.wanted_from.min(index);
        Ok(OwnKey::new(index, *generation))
    }

    fn grow(&mut self) -> usize {
        self.slab.push((0, None));
        self.slab.len() - 1
    }

    fn get(&self, key: OwnKey) -> Option<&Own> {
        let (generation, own) = self.slab.get(key.index())?;
        own.as_ref().filter(|_| OwnKey::new(key.index(), *generation) == key)
    }

    fn get_mut(&mut self, key: OwnKey) -> Option<&mut Own> {
        let (generation, own) = self.slab.get_mut(key.index())?;
        own.as_mut().filter(|_| OwnKey::new(key.index(), *generation) == key)
    }

    pub(crate) fn state(&self, key: OwnKey) -> Option<OwnState> {
        self.get(key).map(|own| own.state)
    }

    pub(crate) fn handle(&self, key: OwnKey) -> Option<Handle> {
        self.get(key)?.handle()
    }

    pub(crate) fn by_handle(&self, handle: Handle) -> Option<OwnKey> {
        *self.by_handle.get(usize::from(handle.0))?
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = OwnKey> {
        let present = |(index, (generation, own)): (usize, &(u16, Option<Own>))| {
            own.is_some().then(|| OwnKey::new(index, *generation))
        };
        self.slab.iter().enumerate().filter_map(present)
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// A new position of an entity; before the world is known it only moves the place of spawning.
    pub(crate) fn set_pose(
        &mut self,
        key: OwnKey,
        pose: Pose,
        space: Option<Space>,
    ) -> Result<(), RequestError> {
        let own = self.get_mut(key).ok_or(RequestError::Unknown)?;
        match space {
            Some(space) => own.set_sample(pose.sample(space)?),
            None => own.spec.pose = pose,
        }
        Ok(())
    }

    pub(crate) fn set_sample(&mut self, key: OwnKey, sample: Sample) -> Result<(), RequestError> {
        self.get_mut(key).ok_or(RequestError::Unknown)?.set_sample(sample);
        Ok(())
    }

    /// The newest sequence given to a sample of this entity.
    pub(crate) fn sequence(&self, key: OwnKey) -> Option<u16> {
        self.get(key).map(|own| own.sequence)
    }

    /// Changes fields; told to the server with the next flush, and again after every reconnect.
    pub(crate) fn set_fields(
        &mut self,
        key: OwnKey,
        changes: &[(u8, Value)],
        schema: Option<&Schema>,
    ) -> Result<(), RequestError> {
        let own = self.get_mut(key).ok_or(RequestError::Unknown)?;
        if changes.iter().any(|change| usize::from(change.0) >= FIELDS_MAX) {
            return Err(RequestError::BadField);
        }
        if let Some(schema) = schema {
            raw_fields(schema, own.spec.kind, changes).map_err(|_| RequestError::BadField)?;
        }
        for change in changes {
            match own.spec.fields.iter_mut().find(|f| f.0 == change.0) {
                Some(field) => *field = *change,
                None => own.spec.fields.push(*change),
            }
        }
        own.untold[0] = true;
        self.untold = true;
        Ok(())
    }

    /// Replaces the opaque block; told as fields are.
    pub(crate) fn set_block(&mut self, key: OwnKey, block: &[u8]) -> Result<(), RequestError> {
        if block.len() > BLOCK_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        let own = self.get_mut(key).ok_or(RequestError::Unknown)?;
        own.spec.block = block.to_vec();
        own.untold[1] = true;
        self.untold = true;
        Ok(())
    }

    /// The next message about fields or a block whose changes were not told.
    pub(crate) fn next_untold(&mut self, schema: &Schema) -> Option<ControlUp> {
        let stands = |own: &Own| own.untold != [false; 2] && own.handle().is_some();
        let mut owns = self.slab.iter_mut().filter_map(|(_, own)| own.as_mut());
        let Some(own) = owns.find(|own| self.untold && stands(own)) else {
            self.untold = false;
            return None;
        };
        let handle = own.handle()?;
        if std::mem::take(&mut own.untold[0]) {
            let raw = raw_fields(schema, own.spec.kind, &own.spec.fields);
            return Some(ControlUp::SetFields { handle, fields: raw.unwrap_or_default() });
        }
        own.untold[1] = false;
        Some(ControlUp::SetBlock { handle, block: own.spec.block.clone() })
    }

    /// Gives an entity up. The handle to despawn, where it stands already.
    pub(crate) fn give_up(&mut self, key: OwnKey) -> Result<Option<Handle>, RequestError> {
        let own = self.get_mut(key).ok_or(RequestError::Unknown)?;
        match own.state {
            OwnState::Wanted => {
                self.remove(key);
                Ok(None)
            }
            OwnState::Asked => {
                own.doomed = true;
                Ok(None)
            }
            OwnState::Stands { handle, .. } => {
                self.remove(key);
                Ok(Some(handle))
            }
        }
    }

    /// The next spawn to ask for, or the code with which it can only be refused.
    pub(crate) fn next_wanted(
        &mut self,
        space: Space,
        schema: &Schema,
    ) -> Option<(OwnKey, Result<Spawn, CloseCode>)> {
        if self.wanted == 0 {
            return None;
        }
        let wanted = |own: &Own| own.state == OwnState::Wanted;
        let from = self.wanted_from;
        let rest = self.slab[from..].iter();
        let index = from + rest.take_while(|(_, own)| !own.as_ref().is_some_and(wanted)).count();
        self.wanted_from = index;
        let (generation, own) = &mut self.slab[index];
        let (key, own) = (OwnKey::new(index, *generation), own.as_mut()?);
        let sample = own.sample.map_or_else(|| own.spec.pose.sample(space), Ok);
        let request = match sample {
            Ok(sample) => own.spec.request(key, sample, schema),
            Err(_) => Err(CloseCode::BAD_POSITION),
        };
        match request {
            Ok(_) => self.set_state(key, OwnState::Asked),
            Err(code) => self.refuse(key, code),
        }
        Some((key, request))
    }

    /// The server's answer. False when the entity is not wanted any more and is to be despawned.
    pub(crate) fn stands(&mut self, key: OwnKey, handle: Handle, entity: EntityId) -> bool {
        let Some(own) = self.get_mut(key) else { return false };
        if own.doomed {
            self.remove(key);
            return false;
        }
        // What was set while the answer was under way is sent as a sample.
        own.fresh = own.sample.is_some();
        self.set_state(key, OwnState::Stands { handle, entity });
        true
    }

    /// The server refused an entity, or took it away.
    pub(crate) fn refuse(&mut self, key: OwnKey, code: CloseCode) {
        self.remove(key);
        if self.refused.len() == REFUSALS_KEPT {
            self.refused.pop_front();
        }
        self.refused.push_back((key, code));
    }

    pub(crate) fn refusal(&self, key: OwnKey) -> Option<CloseCode> {
        self.refused.iter().rev().find(|refused| refused.0 == key).map(|refused| refused.1)
    }

    pub(crate) fn remove(&mut self, key: OwnKey) {
        if self.get(key).is_none() {
            return;
        }
        self.set_state(key, OwnState::Asked); // neither wanted nor known by a handle
        let (generation, own) = &mut self.slab[key.index()];
        *generation = generation.wrapping_add(1);
        *own = None;
        self.free.push(key.index() as u16);
        self.count -= 1;
    }

    fn set_state(&mut self, key: OwnKey, state: OwnState) {
        let Some(own) = self.get_mut(key) else { return };
        let before = std::mem::replace(&mut own.state, state);
        match before {
            OwnState::Wanted => self.wanted -= 1,
            OwnState::Stands { handle, .. } => self.by_handle[usize::from(handle.0)] = None,
            OwnState::Asked => {}
        }
        match state {
            OwnState::Wanted => {
                self.wanted += 1;
                self.wanted_from = self.wanted_from.min(key.index());
            }
            OwnState::Stands { handle, .. } => self.enter_handle(handle, key),
            OwnState::Asked => {}
        }
    }

    fn enter_handle(&mut self, handle: Handle, key: OwnKey) {
        let place = usize::from(handle.0);
        if self.by_handle.len() <= place {
            self.by_handle.resize(place + 1, None);
        }
        self.by_handle[place] = Some(key);
    }
}

impl Own {
    const fn handle(&self) -> Option<Handle> {
        match self.state {
            OwnState::Stands { handle, .. } => Some(handle),
            OwnState::Wanted | OwnState::Asked => None,
        }
    }
}
