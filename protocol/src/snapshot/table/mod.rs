//! What a client knows: one row per slot, each with the last few states of its entity.
//!
//! A server may code against any baseline that the client acknowledged, so a row keeps its states
//! back to the oldest baseline still in use, 32 at most. Each row keeps its own newest states. A datagram
//! that is older than what was applied changes nothing that is newer (P1).

mod apply;
mod decode;
mod history;
mod row;

pub use apply::{Applied, Left};
pub use history::HISTORY_MAX;
pub use row::EntityView;

use super::ack::AckState;
use super::header::Cover;
use super::presence::SlotSet;
use super::state::State;
use super::{PAGES_MAX, page_of};
use crate::motion::TrackKind;
use crate::space::{IPos, Space};
use crate::units::{EntityId, Slot, Tick};
use crate::uplink::Ack;
use apply::Changes;
use decode::Scratch;
use row::Row;

/// The snapshot table of one session.
#[derive(Debug)]
pub struct Table {
    track: TrackKind,
    space: Space,
    /// Ticks of states that are kept for rendering although no server needs them.
    history_ticks: u32,
    /// The tick that low 16 bits are completed with.
    reference: Tick,
    newest: Option<Tick>,
    ack: AckState,
    pages: [PageState; PAGES_MAX],
    /// The tick of the newest datagram that covered all pages, and skipped nothing of those that are
    /// not as new in `pages`: nearly every one does.
    whole: Option<Tick>,
    rows: Vec<Row>,
    scratch: Scratch,
    changes: Changes,
    /// By id: the tick of the last cue with it, so that each is delivered once.
    cues_seen: Box<[Option<Tick>; 256]>,
}

/// What was heard of a page.
#[derive(Clone, Copy, Debug, Default)]
struct PageState {
    /// The tick of the newest datagram that covered it.
    newest: Option<Tick>,
    /// The slots which that datagram skipped; their own rows say when they were covered.
    skipped: SlotSet,
}

impl Table {
    /// An empty table of a world, as Welcome describes it; `tick` is the world's newest.
    ///
    /// States of the last `history_ticks` ticks are kept for [`Table::state_at`].
    #[must_use]
    pub fn new(track: TrackKind, space: Space, tick: Tick, history_ticks: u32) -> Self {
        Self {
            track,
            space,
            history_ticks,
            reference: tick,
            newest: None,
            ack: AckState::default(),
            pages: [PageState::default(); PAGES_MAX],
            whole: None,
            rows: Vec::new(),
            scratch: Scratch::default(),
            changes: Changes::default(),
            cues_seen: Box::new([None; 256]),
        }
    }

    /// The client's clock says that the server is at `tick` by now. Needed only where nothing is
    /// heard for more than 32,767 ticks.
    pub fn expect_tick(&mut self, tick: Tick) {
        self.reference = self.reference.max(tick);
    }

    /// The newest tick of which a datagram was applied.
    #[must_use]
    pub const fn newest_tick(&self) -> Option<Tick> {
        self.newest
    }

    /// What the next uplink datagram acknowledges.
    #[must_use]
    pub fn ack(&self) -> Option<Ack> {
        self.ack.ack()
    }

    /// The entity in a slot.
    #[must_use]
    pub fn entity(&self, slot: Slot) -> Option<EntityView<'_>> {
        let row = self.rows.get(usize::from(slot.0))?;
        let newest = row.states.newest()?;
        row.view(slot, newest)
    }

    /// Every slot that holds an entity, in rising order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        let held = self.rows.iter().enumerate().filter(|(_, row)| row.entity.is_some());
        held.map(|(i, _)| Slot(i as u16))
    }

    /// Every slot that holds an entity, in rising order, with its entity and the state of
    /// [`Table::state_at`]: for who goes through all of them.
    pub fn states_at(&self, tick: Tick) -> impl Iterator<Item = (Slot, EntityId, &State)> {
        self.rows.iter().enumerate().filter_map(move |(slot, row)| {
            let state = row.states.at(tick).or_else(|| row.states.oldest())?;
            Some((Slot(slot as u16), row.entity?, state))
        })
    }

    /// The state that held in `slot` at `tick`: the newest one not after it, or else the oldest
    /// that is kept.
    #[must_use]
    pub fn state_at(&self, slot: Slot, tick: Tick) -> Option<&State> {
        let row = self.rows.get(usize::from(slot.0))?;
        row.states.at(tick).or_else(|| row.states.oldest())
    }

    /// Where the entity in `slot` was or will be at `tick`, by the server's word.
    #[must_use]
    pub fn position(&self, slot: Slot, tick: Tick) -> Option<IPos> {
        self.state_at(slot, tick).map(|state| state.position(tick))
    }

    /// The newest tick as of which the state in `slot` is known to be right: that of the newest
    /// datagram which covered it, or of the message that made it enter.
    #[must_use]
    pub fn covered(&self, slot: Slot) -> Option<Tick> {
        let row = self.rows.get(usize::from(slot.0)).filter(|row| row.entity.is_some())?;
        let (page, within) = page_of(slot);
        let page = self.page(page);
        let newest = page.newest.filter(|_| !page.skipped.has(within));
        newest.max(row.covered)
    }

    /// What was heard of a page.
    fn page(&self, number: u8) -> PageState {
        let page = self.pages[usize::from(number)];
        let outdated = page.newest < self.whole;
        if outdated { PageState { newest: self.whole, ..PageState::default() } } else { page }
    }

    /// Takes note that a datagram of `tick` covered these pages but for the slots it skipped.
    fn cover(&mut self, tick: Tick, cover: Cover, skipped: &[(u8, SlotSet)]) {
        for (number, skipped) in skipped {
            let before = self.page(*number);
            for slot in skipped.iter().filter(|slot| !before.skipped.has(*slot)) {
                let slot = usize::from(super::slot_of(*number, slot).0);
                if let Some(row) = self.rows.get_mut(slot) {
                    row.covered = row.covered.max(before.newest);
                }
            }
        }
        if cover == Cover::ALL {
            self.whole = Some(tick);
        } else {
            for number in cover.first..=cover.last {
                let skipped = SlotSet::EMPTY;
                self.pages[usize::from(number)] = PageState { newest: Some(tick), skipped };
            }
        }
        for (number, skipped) in skipped {
            let skipped = *skipped;
            self.pages[usize::from(*number)] = PageState { newest: Some(tick), skipped };
        }
    }
}
