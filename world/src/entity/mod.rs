//! Everything that has a position: one dense slab, a column for each property.
//!
//! An [`EntityIdx`] is reused, an [`EntityId`] never: its generation counts the entities that held
//! the index before. A freed index rests until the end of the next tick, so that whoever compares
//! what was visible with what is visible now cannot mistake one entity for another. Who keeps an index
//! for longer, as slots do whose leave is not acknowledged, asks when its entity was `born`.

mod fields;
mod names;
mod sampled;
mod spec;
mod stirs;

pub use fields::FieldState;
pub(crate) use sampled::SampledRows;
pub use spec::{Owner, SpawnSpec};

use crate::config::WorldConfig;
use crate::session::SessionIdx;
use names::Names;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::BLOCK_BYTES_MAX;
use starling_protocol::message::control::Audience;
use starling_protocol::message::interest::Target;
use starling_protocol::sample::{Fix, Orientation};
use starling_protocol::schema::Schema;
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::{EntityId, Handle, KindId, Tick};
use stirs::Stirs;

/// A row of the slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct EntityIdx(pub u32);

impl EntityIdx {
    /// As an index into a column.
    #[must_use]
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// What decides who may see an entity: one short row, read once for every candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Owning session, or [`NOBODY`].
    pub owner: u32,
    /// Session whose avatar it is, or [`NOBODY`].
    pub avatar_of: u32,
    /// Its kind.
    pub kind: KindId,
    /// Team, 0 for none.
    pub team: u8,
    /// Who may see it at all.
    pub audience: Audience,
}

/// In place of a session index where there is no session.
pub const NOBODY: u32 = u32::MAX;

/// The accepted state of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Accepted {
    /// Where it is.
    pub position: IPos,
    /// Canonical steps per second; metric worlds only.
    pub velocity: Option<[i32; 3]>,
    /// How it is turned.
    pub orientation: Orientation,
    /// What the receiver knew besides.
    pub fix: Option<Fix>,
    /// In which tick it was accepted.
    pub tick: Tick,
}

/// All entities of a world.
#[derive(Debug)]
pub struct Entities {
    space: Space,
    schema: Schema,
    seed: u64,
    entities_max: usize,
    generations: Vec<u32>,
    live: Vec<bool>,
    /// The tick before it came into being.
    born: Vec<Tick>,
    traits: Vec<Traits>,
    handles: Vec<Handle>,
    accepted: Vec<Accepted>,
    sequences: Vec<Option<u16>>,
    contacts: Vec<Tick>,
    fields: Vec<FieldState>,
    names: Names,
    free: Vec<EntityIdx>,
    resting: Vec<EntityIdx>,
    spawned: Vec<EntityIdx>,
    /// Accepted since the last tick ended, once each.
    fresh: Vec<EntityIdx>,
    is_fresh: Vec<bool>,
    /// The tick for which the accepted position was sampled.
    labels: Vec<Tick>,
    stirs: Stirs,
    /// How often an entity changed hands: who may see what is to be worked out anew.
    handovers: u32,
    count: usize,
}

impl Entities {
    /// An empty slab for a world of this configuration.
    #[must_use]
    pub fn new(config: &WorldConfig) -> Self {
        Self {
            space: config.space,
            schema: config.schema.clone(),
            seed: config.seed,
            entities_max: config.entities_max,
            generations: Vec::new(),
            live: Vec::new(),
            born: Vec::new(),
            traits: Vec::new(),
            handles: Vec::new(),
            accepted: Vec::new(),
            sequences: Vec::new(),
            contacts: Vec::new(),
            fields: Vec::new(),
            names: Names::default(),
            free: Vec::new(),
            resting: Vec::new(),
            spawned: Vec::new(),
            fresh: Vec::new(),
            is_fresh: Vec::new(),
            labels: Vec::new(),
            stirs: Stirs::default(),
            handovers: 0,
            count: 0,
        }
    }

    /// Makes an entity appear. It is replicated from the next tick on.
    ///
    /// # Errors
    /// `LIMIT`, `UNKNOWN_KIND`, `BAD_POSITION`, `BAD_NAME` (taken, empty or too long), `BAD_FIELD`.
    pub fn spawn(&mut self, spec: SpawnSpec, now: Tick) -> Result<EntityIdx, CloseCode> {
        if self.count >= self.entities_max {
            return Err(CloseCode::LIMIT);
        }
        let kind = self.schema.kind(spec.kind).ok_or(CloseCode::UNKNOWN_KIND)?;
        if !self.space.contains(spec.sample.position) {
            return Err(CloseCode::BAD_POSITION);
        }
        let fields = FieldState::new(kind, &spec.fields, &spec.block, now)?;
        if let Some(name) = &spec.name {
            self.names.check(name)?;
        }
        let idx = self.take_row();
        let id = self.id(idx);
        self.names.insert(idx, spec.name.clone(), id, self.seed);
        self.fill_row(idx, &spec, fields, now);
        Ok(idx)
    }

    /// Would [`Entities::spawn`] take this, were its name free?
    pub(crate) fn check(&self, spec: &SpawnSpec) -> Result<(), CloseCode> {
        let kind = self.schema.kind(spec.kind).ok_or(CloseCode::UNKNOWN_KIND)?;
        if !self.space.contains(spec.sample.position) {
            return Err(CloseCode::BAD_POSITION);
        }
        FieldState::new(kind, &spec.fields, &spec.block, Tick(0)).map(drop)
    }

    fn take_row(&mut self) -> EntityIdx {
        self.count += 1;
        if let Some(idx) = self.free.pop() {
            return idx;
        }
        let idx = EntityIdx(self.live.len() as u32);
        self.generations.push(0);
        self.live.push(false);
        self.born.push(Tick(0));
        self.traits.push(Traits {
            owner: NOBODY,
            avatar_of: NOBODY,
            kind: KindId(0),
            team: 0,
            audience: Audience::All,
        });
        self.handles.push(Handle(0));
        self.accepted.push(Accepted::default());
        self.sequences.push(None);
        self.contacts.push(Tick(0));
        self.fields.push(FieldState::default());
        self.is_fresh.push(false);
        self.labels.push(Tick(0));
        self.stirs.at.push(Tick(0));
        idx
    }

    fn fill_row(&mut self, idx: EntityIdx, spec: &SpawnSpec, fields: FieldState, now: Tick) {
        let at = idx.at();
        self.live[at] = true;
        self.born[at] = now;
        self.traits[at] = Traits {
            owner: spec.owner.map_or(NOBODY, |o| o.session.0),
            avatar_of: spec.avatar_of.map_or(NOBODY, |s| s.0),
            kind: spec.kind,
            team: spec.team,
            audience: spec.audience,
        };
        self.handles[at] = spec.owner.map_or(Handle(0), |o| o.handle);
        self.accepted[at] = Accepted {
            position: spec.sample.position,
            velocity: spec.sample.velocity,
            orientation: spec.sample.orientation,
            fix: spec.sample.fix,
            tick: now + 1,
        };
        self.labels[at] = now + 1;
        self.sequences[at] = None;
        self.contacts[at] = now;
        self.fields[at] = fields;
        self.stirs.begin(idx, now);
        self.spawned.push(idx);
    }

    /// The tick before an entity came into being: who held its index earlier is another.
    #[inline]
    pub(crate) fn born(&self, idx: EntityIdx) -> Tick {
        self.born[idx.at()]
    }

    /// Makes an entity disappear. Its index rests until the end of the next tick.
    pub fn despawn(&mut self, idx: EntityIdx) {
        if !self.is_live(idx) {
            return;
        }
        self.names.remove(idx);
        self.live[idx.at()] = false;
        self.traits[idx.at()].owner = NOBODY;
        self.traits[idx.at()].avatar_of = NOBODY;
        self.generations[idx.at()] = self.generations[idx.at()].wrapping_add(1);
        self.fields[idx.at()] = FieldState::default();
        self.resting.push(idx);
        self.count -= 1;
    }

    /// Ends the rest of indices freed before this tick.
    pub(crate) fn end_tick(&mut self) {
        self.free.append(&mut self.resting);
        self.spawned.clear();
        for idx in self.fresh.drain(..) {
            self.is_fresh[idx.at()] = false;
        }
    }

    /// Entities that disappeared since the last tick ended.
    pub(crate) fn despawned(&self) -> &[EntityIdx] {
        &self.resting
    }

    /// Entities whose position was accepted since the last tick ended, each once.
    ///
    /// Their order depends on how the judging was cut into parts, and so on the executor: whoever
    /// needs an order sorts.
    pub(crate) fn fresh(&self) -> &[EntityIdx] {
        &self.fresh
    }

    /// The tick for which the accepted position was sampled.
    pub(crate) fn label(&self, idx: EntityIdx) -> Tick {
        self.labels[idx.at()]
    }

    /// Entities made since the last tick ended, in order.
    pub(crate) fn spawned(&self) -> &[EntityIdx] {
        &self.spawned
    }

    /// Replaces values of typed fields, all or none.
    ///
    /// # Errors
    /// `BAD_FIELD` for an index that the kind does not have or a value that its type does not.
    pub fn set_fields(
        &mut self,
        idx: EntityIdx,
        values: &[(u8, u32)],
        now: Tick,
    ) -> Result<(), CloseCode> {
        let kind = self.schema.kind(self.kind(idx)).ok_or(CloseCode::UNKNOWN_KIND)?;
        self.fields[idx.at()].set(kind, values, now + 1)?;
        self.stirs.stir_fields(idx, self.fields[idx.at()].newest());
        Ok(())
    }

    /// Replaces the opaque block.
    ///
    /// # Errors
    /// `BAD_FIELD` for a kind without a block or a block that is too long.
    pub fn set_block(&mut self, idx: EntityIdx, block: &[u8], now: Tick) -> Result<(), CloseCode> {
        let has_block = self.schema.kind(self.kind(idx)).is_some_and(|k| k.block);
        if !has_block || block.len() > BLOCK_BYTES_MAX {
            return Err(CloseCode::BAD_FIELD);
        }
        self.fields[idx.at()].set_block(block, now + 1);
        self.stirs.stir_fields(idx, self.fields[idx.at()].newest());
        Ok(())
    }

    /// The live entity with this id.
    #[must_use]
    pub fn find(&self, id: EntityId) -> Option<EntityIdx> {
        let idx = EntityIdx(id.index);
        (self.is_live(idx) && self.generations[idx.at()] == id.generation).then_some(idx)
    }

    /// The live entity with this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<EntityIdx> {
        self.names.find(name)
    }

    /// The live entity that a message means.
    #[must_use]
    pub fn target(&self, target: &Target) -> Option<EntityIdx> {
        match target {
            Target::Id(id) => self.find(*id),
            Target::Name(name) => self.named(name),
        }
    }

    /// Gives an entity to another session, as when a device comes back under a new session.
    pub fn set_owner(&mut self, idx: EntityIdx, owner: Option<Owner>) {
        self.traits[idx.at()].owner = owner.map_or(NOBODY, |o| o.session.0);
        self.handles[idx.at()] = owner.map_or(Handle(0), |o| o.handle);
        self.sequences[idx.at()] = None;
        self.handovers = self.handovers.wrapping_add(1);
    }

    /// Makes an entity a player's avatar, or nobody's.
    pub fn set_avatar_of(&mut self, idx: EntityIdx, session: Option<SessionIdx>) {
        self.handovers = self.handovers.wrapping_add(1);
        self.traits[idx.at()].avatar_of = session.map_or(NOBODY, |s| s.0);
    }

    /// Notes that the owner gave a sign of life.
    pub fn touch(&mut self, idx: EntityIdx, now: Tick) {
        self.contacts[idx.at()] = now;
    }

    /// Is there an entity in this row?
    #[must_use]
    pub fn is_live(&self, idx: EntityIdx) -> bool {
        self.live.get(idx.at()).copied().unwrap_or(false)
    }

    /// Its name for everyone.
    #[must_use]
    pub fn id(&self, idx: EntityIdx) -> EntityId {
        EntityId { index: idx.0, generation: self.generations[idx.at()] }
    }

    /// Its own name.
    #[must_use]
    pub fn name(&self, idx: EntityIdx) -> &str {
        self.names.of(idx)
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self, idx: EntityIdx) -> KindId {
        self.traits[idx.at()].kind
    }

    /// What decides who may see it.
    #[must_use]
    pub fn traits(&self, idx: EntityIdx) -> &Traits {
        &self.traits[idx.at()]
    }

    /// Whose it is.
    #[must_use]
    pub fn owner(&self, idx: EntityIdx) -> Option<Owner> {
        let session = self.traits[idx.at()].owner;
        (session != NOBODY)
            .then(|| Owner { session: SessionIdx(session), handle: self.handles[idx.at()] })
    }

    /// The player whose avatar it is.
    #[must_use]
    pub fn avatar_of(&self, idx: EntityIdx) -> Option<SessionIdx> {
        let session = self.traits[idx.at()].avatar_of;
        (session != NOBODY).then_some(SessionIdx(session))
    }

    /// Its accepted state.
    #[must_use]
    pub fn accepted(&self, idx: EntityIdx) -> &Accepted {
        &self.accepted[idx.at()]
    }

    /// Replaces its accepted state by one of this tick.
    pub(crate) fn accept(&mut self, idx: EntityIdx, accepted: Accepted) {
        self.accept_sampled(idx, accepted, accepted.tick);
    }

    /// Replaces its accepted state by one that was sampled for the tick `label`.
    pub(crate) fn accept_sampled(&mut self, idx: EntityIdx, accepted: Accepted, label: Tick) {
        self.accepted[idx.at()] = accepted;
        self.labels[idx.at()] = label;
        if !std::mem::replace(&mut self.is_fresh[idx.at()], true) {
            self.fresh.push(idx);
        }
    }

    /// The newest sample sequence that was folded.
    #[must_use]
    pub fn sequence(&self, idx: EntityIdx) -> Option<u16> {
        self.sequences[idx.at()]
    }

    /// The tick of the owner's last sign of life.
    #[must_use]
    pub fn contact(&self, idx: EntityIdx) -> Tick {
        self.contacts[idx.at()]
    }

    /// Notes that there is something to tell of it from this tick on.
    pub(crate) fn stir(&mut self, idx: EntityIdx, at: Tick) {
        self.stirs.stir(idx, at);
    }

    /// By row: the tick that first carries what is newest of an entity.
    #[inline]
    pub(crate) fn stirred(&self) -> &[Tick] {
        &self.stirs.at
    }

    /// The newest of them.
    #[inline]
    pub(crate) fn newest_stir(&self) -> Tick {
        self.stirs.newest
    }

    /// The newest tick that carries a changed field or block of any entity.
    #[inline]
    pub(crate) fn newest_fields(&self) -> Tick {
        self.stirs.newest_fields
    }

    /// How often an entity changed hands.
    pub(crate) fn handovers(&self) -> u32 {
        self.handovers
    }

    /// Its typed fields and block.
    #[must_use]
    pub fn fields(&self, idx: EntityIdx) -> &FieldState {
        &self.fields[idx.at()]
    }

    /// Every live entity, in order of index.
    pub fn iter(&self) -> impl Iterator<Item = EntityIdx> + '_ {
        let rows = self.live.iter().enumerate();
        rows.filter(|(_, live)| **live).map(|(at, _)| EntityIdx(at as u32))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many rows the slab has, live or not.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.live.len()
    }

    /// The kinds of the world.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The space of the world.
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }
}
