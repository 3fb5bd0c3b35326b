//! What a session sees.
//!
//! The table holds what the server said; drawing turns it into poses at one moment. That moment
//! lies a little behind the server's present, so that in the common case the ticks on both sides
//! of it are known and motion is smooth.

mod changes;
mod drawn;
mod ghosts;
mod ground;
mod heard;
mod motion;
mod seen;
mod turn;

pub use heard::Heard;
pub use seen::Seen;

use crate::clock::ServerClock;
use crate::event::Cue;
use crate::options::ViewOptions;
use crate::pose::Pose;
use changes::Changes;
use drawn::Drawn;
use ghosts::Ghosts;
use heard::Losses;
use motion::{Moment, Place, Rules};
use starling_protocol::message::bulk::BulkDown;
use starling_protocol::message::control::Welcome;
use starling_protocol::motion::TrackKind;
use starling_protocol::schema::Schema;
use starling_protocol::snapshot::{SnapshotError, Table};
use starling_protocol::units::{EntityId, Nanos, Slot, Tick, TickRate};
use starling_protocol::uplink::Ack;
use std::collections::BTreeMap;

/// States are kept for drawing this far back at least, however slow the ticks are.
const HISTORY_TICKS_MIN: u32 = 4;
/// Nothing of a fleet is drawn on for longer than this without news, unless options say so.
const FIX_EXTRAPOLATION_MS: u64 = 10_000;
/// Jumps in games and in fleets, unless options say otherwise.
const KNOT_TELEPORT_M: f64 = 20.0;
const FIX_TELEPORT_M: f64 = 2_000.0;

/// What a session sees.
///
/// ```no_run
/// # use starling_client::{ConnectOptions, Session};
/// # use starling_protocol::units::Nanos;
/// # let mut session = Session::new(Nanos(0), ConnectOptions::new("plaza"));
/// # let now = Nanos(0);
/// session.advance(now); // once per frame
/// for seen in session.view().iter() {
///     println!("{} is at {:?}", seen.name().unwrap_or("?"), seen.pose().position);
/// }
/// ```
#[derive(Debug)]
pub struct View {
    options: ViewOptions,
    world: Option<World>,
    by_id: BTreeMap<EntityId, Slot>,
    drawn: Vec<Option<Drawn>>,
    /// By slot: something was heard since it was last drawn.
    news: Vec<bool>,
    last_draw: Option<(Nanos, Moment)>,
    changes: Changes,
    heard: Heard,
    ack_is_news: bool,
    losses: Losses,
    ghosts: Ghosts,
}

/// What a Welcome makes of a view.
#[derive(Debug)]
struct World {
    table: Table,
    schema: Schema,
    rate: TickRate,
    rules: Rules,
}

impl View {
    pub(crate) fn new(options: ViewOptions) -> Self {
        Self {
            options,
            world: None,
            by_id: BTreeMap::new(),
            drawn: Vec::new(),
            news: Vec::new(),
            last_draw: None,
            changes: Changes::default(),
            heard: Heard::default(),
            ack_is_news: false,
            losses: Losses::default(),
            ghosts: Ghosts::default(),
        }
    }

    /// A session begins: the server knows nothing of what was seen before and tells it anew.
    /// `same_world` says whether entities of before are known by the same ids.
    pub(crate) fn begin(&mut self, now: Nanos, welcome: &Welcome, same_world: bool) {
        for (entity, slot) in std::mem::take(&mut self.by_id) {
            let drawn = self.drawn.get(usize::from(slot.0)).copied().flatten();
            self.ghosts.add(entity, drawn);
        }
        self.ghosts.begin(now);
        if !same_world {
            self.ghosts.give_up().for_each(|entity| self.changes.leave(entity));
            self.last_draw = None;
        }
        self.changes.forget_slots();
        self.drawn.clear();
        self.news.clear();
        self.heard = Heard::default();
        self.ack_is_news = false;
        self.losses.restart();
        let (rate, track) = (welcome.tick_rate, welcome.track);
        let history_ms = u64::from(self.options.history_ms);
        let history_ticks = rate.ticks_in_ms(history_ms).max(HISTORY_TICKS_MIN);
        self.world = Some(World {
            table: Table::new(track, welcome.space, welcome.tick, history_ticks),
            schema: welcome.schema.clone(),
            rate,
            rules: rules(&self.options, welcome),
        });
    }

    /// Every entity as it was last drawn.
    pub fn iter(&self) -> impl Iterator<Item = Seen<'_>> {
        let slots = self.drawn.iter().enumerate().filter(|(_, drawn)| drawn.is_some());
        slots.filter_map(|(slot, _)| self.seen(Slot(slot as u16)))
    }

    /// One entity as it was last drawn.
    #[must_use]
    pub fn get(&self, entity: EntityId) -> Option<Seen<'_>> {
        self.seen(*self.by_id.get(&entity)?)
    }

    /// The entity with this name, where the interest asked for names.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Seen<'_>> {
        self.iter().find(|seen| seen.name() == Some(name))
    }

    /// How many entities are in sight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Nothing is in sight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Entities that entered since changes were last cleared.
    #[must_use]
    pub fn entered(&self) -> &[EntityId] {
        &self.changes.entered
    }

    /// Entities that left since changes were last cleared.
    #[must_use]
    pub fn left(&self) -> &[EntityId] {
        &self.changes.left
    }

    /// Entities whose state or fields changed since changes were last cleared.
    pub fn updated(&self) -> impl Iterator<Item = Seen<'_>> {
        self.changes.updated.iter().filter_map(|slot| self.seen(*slot))
    }

    /// Forgets who entered, left and changed: to be called once these were looked at.
    pub fn clear_changes(&mut self) {
        self.changes.clear();
    }

    /// What the server said, slot by slot, for those who judge rather than look.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        self.world.as_ref().map(|world| &world.table)
    }

    /// The slot that an entity is in.
    #[must_use]
    pub fn slot(&self, entity: EntityId) -> Option<Slot> {
        self.by_id.get(&entity).copied()
    }

    /// What the last datagram did.
    #[must_use]
    pub const fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Where an entity is by all that is known now, at a moment in the server's time; corrections
    /// are not blended.
    #[must_use]
    pub fn pose_at(&self, entity: EntityId, server: Nanos) -> Option<Pose> {
        let (world, slot) = (self.world.as_ref()?, *self.by_id.get(&entity)?);
        let place = motion::place(&world.table, &world.rules, slot, moment(world.rate, server))?;
        Some(world.pose(place))
    }

    fn seen(&self, slot: Slot) -> Option<Seen<'_>> {
        let world = self.world.as_ref()?;
        let drawn = self.drawn.get(usize::from(slot.0))?.as_ref()?;
        let entity = world.table.entity(slot).filter(|e| e.entity == drawn.entity)?;
        Some(Seen { entity, drawn, world })
    }
}

/// Hearing.
impl View {
    /// Applies one datagram. The tick is given when it is the first datagram of a newer tick.
    pub(crate) fn apply(
        &mut self,
        bytes: &[u8],
        cue: impl FnMut(Cue),
    ) -> Result<Option<Tick>, SnapshotError> {
        let Some(world) = &mut self.world else { return Ok(None) };
        let newest = world.table.newest_tick();
        let applied = world.table.apply(&world.schema, bytes)?;
        applied.cues().map(|told| Cue::new(world.rules.space, &told)).for_each(cue);
        let (tick, sequence, is_news) = (applied.tick, applied.sequence, applied.is_news);
        self.heard.copy(&applied);
        self.losses.note(tick, sequence);
        self.take_note();
        self.ack_is_news |= is_news;
        Ok(newest.is_none_or(|newest| tick > newest).then_some(tick))
    }

    pub(crate) fn apply_bulk(&mut self, message: &BulkDown) -> Result<(), SnapshotError> {
        let Some(world) = &mut self.world else { return Ok(()) };
        let applied = world.table.apply_bulk(&world.schema, message)?;
        self.heard.copy(&applied);
        self.take_note();
        Ok(())
    }

    fn take_note(&mut self) {
        let Some(world) = &self.world else { return };
        let id = |slot| world.table.entity(slot).map(|entity| entity.entity);
        let ghosts = &self.ghosts;
        self.changes.note(&self.heard, |slot| id(slot).filter(|entity| !ghosts.has(*entity)));
        for left in &self.heard.left {
            self.by_id.remove(&left.entity);
        }
        let highest = self.heard.entered.iter().map(|slot| usize::from(slot.0) + 1).max();
        let len = self.news.len().max(highest.unwrap_or(0));
        self.news.resize(len, false);
        self.drawn.resize(len, None);
        for slot in &self.heard.entered {
            let Some(entity) = id(*slot) else { continue };
            self.by_id.insert(entity, *slot);
            if self.ghosts.has(entity) {
                self.drawn[usize::from(slot.0)] = self.ghosts.returned(entity);
            }
        }
        for slot in &self.heard.updated {
            self.news[usize::from(slot.0)] = true;
        }
    }

    /// Whoever was in sight before a reconnect and was not told again has left.
    pub(crate) fn expire(&mut self, now: Nanos) {
        self.ghosts.expire(now).for_each(|entity| self.changes.leave(entity));
    }

    /// When [`View::expire`] has work.
    pub(crate) const fn next_timeout(&self) -> Option<Nanos> {
        self.ghosts.until()
    }

    /// What the next uplink acknowledges.
    pub(crate) fn ack(&self) -> Option<Ack> {
        self.world.as_ref()?.table.ack()
    }

    /// Has anything arrived that the server repeats until an uplink acknowledges it?
    pub(crate) const fn ack_is_news(&self) -> bool {
        self.ack_is_news
    }

    pub(crate) const fn ack_told(&mut self) {
        self.ack_is_news = false;
    }

    pub(crate) const fn datagrams_lost(&self) -> u64 {
        self.losses.lost
    }
}

/// Drawing.
impl View {
    /// Draws every entity as of a little before the server's present.
    pub(crate) fn draw(&mut self, now: Nanos, clock: &ServerClock) {
        let Some(world) = &self.world else { return };
        let delay_ns = match self.options.interpolation_ms {
            Some(ms) => u64::from(ms) * Nanos::MILLISECOND,
            None => clock.interpolation_delay_ns(now),
        };
        let behind = Nanos(clock.server_time(now).0.saturating_sub(delay_ns));
        let last = self.last_draw;
        let mut moment = moment(world.rate, behind);
        if let Some((_, before)) = last.filter(|(_, before)| *before > moment) {
            moment = before; // time that is drawn never runs back
        }
        self.last_draw = Some((now, moment));
        let blend_ns = u64::from(self.options.blend_ms) * Nanos::MILLISECOND;
        for (slot, (drawn, news)) in self.drawn.iter_mut().zip(&mut self.news).enumerate() {
            world.draw(Slot(slot as u16), drawn, std::mem::take(news), now, last, moment, blend_ns);
        }
    }

    /// The moment in the server's time that was last drawn.
    #[must_use]
    pub fn drawn_tick(&self) -> Option<(Tick, f32)> {
        self.last_draw.map(|(_, moment)| (moment.tick, moment.part))
    }
}

impl World {
    fn draw(
        &self,
        slot: Slot,
        drawn: &mut Option<Drawn>,
        news: bool,
        now: Nanos,
        last: Option<(Nanos, Moment)>,
        moment: Moment,
        blend_ns: u64,
    ) {
        let here = self.table.entity(slot).map(|entity| entity.entity);
        let place = motion::place(&self.table, &self.rules, slot, moment);
        let (Some(entity), Some(place)) = (here, place) else {
            *drawn = None;
            return;
        };
        match drawn.as_mut().filter(|drawn| drawn.entity == entity) {
            Some(drawn) => {
                let then = last.filter(|_| news).and_then(|(at, then)| {
                    Some((at, motion::place(&self.table, &self.rules, slot, then)?))
                });
                if let Some((at, then)) = then {
                    drawn.correct(&self.rules, at, then);
                }
                drawn.draw(now, blend_ns, place);
            }
            None => *drawn = Some(Drawn::new(entity, now, place)),
        }
    }

    fn pose(&self, place: Place) -> Pose {
        let position = ground::point(self.rules.space, place.at);
        Pose { position, velocity: None, facing: place.facing, fix: None }
    }
}

fn moment(rate: TickRate, server: Nanos) -> Moment {
    let scaled = u128::from(server.0) * u128::from(rate.hz());
    let rest = (scaled % u128::from(Nanos::SECOND)) as f64 / Nanos::SECOND as f64;
    Moment { tick: Tick((scaled / u128::from(Nanos::SECOND)) as u32), part: rest as f32 }
}

fn rules(options: &ViewOptions, welcome: &Welcome) -> Rules {
    let heartbeat = welcome.heartbeat_ticks + welcome.heartbeat_ticks / 4;
    let (quiet, jump) = match welcome.track {
        TrackKind::Knots => (heartbeat, KNOT_TELEPORT_M),
        TrackKind::Fixes => (welcome.tick_rate.ticks_in_ms(FIX_EXTRAPOLATION_MS), FIX_TELEPORT_M),
    };
    let asked = options.extrapolation_ms.map(|ms| welcome.tick_rate.ticks_in_ms(u64::from(ms)));
    Rules {
        space: welcome.space,
        extrapolate_ticks: asked.unwrap_or(quiet),
        teleport_m: options.teleport_m.unwrap_or(jump),
    }
}
