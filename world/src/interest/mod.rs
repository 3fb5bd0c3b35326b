//! Areas of interest: what each session declared, and what it therefore sees.
//!
//! A session holds up to eight areas; it sees the union. Whoever came within an area's enter
//! distance stays visible until it is beyond the leave distance of every area (the world's
//! hysteresis times the enter distance; for boxes and viewports the half sides grow by the same).
//! The nearest few have their margin in ranks: one of the `k` nearest stays while it is among the
//! nearest `k * 5 / 4`.

mod area;
mod marks;
mod near;
mod region;
mod sight;

pub(crate) use area::Area;
pub(crate) use region::{Region, Side};

use crate::atlas::Atlas;
use crate::config::WorldConfig;
use crate::entity::{Entities, EntityIdx};
use crate::executor::{Executor, run_parts, width};
use crate::session::{Session, SessionIdx, Sessions};
use sight::{Sight, Viewer};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::INTERESTS_MAX;
use starling_protocol::message::interest::Interest;
use starling_protocol::space::Space;
use std::ops::Range;

/// The areas of every session, and what each sees.
#[derive(Debug)]
pub(crate) struct Interests {
    space: Space,
    hysteresis: f64,
    rows: Vec<Row>,
    lanes: Vec<Lane>,
}

/// One session's areas, and what it saw.
#[derive(Debug, Default)]
struct Row {
    areas: Vec<(u8, Area)>,
    /// A connection carries the session: it looks.
    looks: bool,
    /// What it sees, in order.
    seen: Vec<EntityIdx>,
    /// The team that this was worked out for, and as of which handover of an entity.
    team: u8,
    handovers: u32,
    /// Which lane worked it out, and where there are its enters and leaves.
    lane: usize,
    enters: Range<usize>,
    leaves: Range<usize>,
}

/// What one thread needs to work out what its share of the sessions sees.
#[derive(Debug, Default)]
struct Lane {
    sight: Sight,
    enters: Vec<EntityIdx>,
    leaves: Vec<EntityIdx>,
}

/// A share of the sessions, and what works on it.
struct Part<'a> {
    first: usize,
    number: usize,
    rows: &'a mut [Row],
    lane: &'a mut Lane,
}

/// What a session sees now and did not see before, and the other way round; both in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changes<'a> {
    /// What it sees now and did not see in the tick before.
    pub(crate) enters: &'a [EntityIdx],
    /// What it saw in the tick before and does not see now.
    pub(crate) leaves: &'a [EntityIdx],
}

impl Interests {
    /// Nobody is interested in anything yet.
    #[must_use]
    pub(crate) fn new(config: &WorldConfig) -> Self {
        Self {
            space: config.space,
            hysteresis: f64::from(config.hysteresis_permille) / 1000.0,
            rows: Vec::new(),
            lanes: Vec::new(),
        }
    }

    fn row(&mut self, session: SessionIdx) -> &mut Row {
        if self.rows.len() <= session.at() {
            self.rows.resize_with(session.at() + 1, Row::default);
        }
        &mut self.rows[session.at()]
    }

    /// Sets the area number `id` of a session.
    ///
    /// # Errors
    /// `LIMIT` for a number beyond [`INTERESTS_MAX`], `BAD_INTEREST` for a shape that is not
    /// finite, empty, or not of this space.
    pub(crate) fn set(
        &mut self,
        session: SessionIdx,
        id: u8,
        interest: &Interest,
    ) -> Result<(), CloseCode> {
        if usize::from(id) >= INTERESTS_MAX {
            return Err(CloseCode::LIMIT);
        }
        let area = Area::new(self.space, self.hysteresis, interest)?;
        let areas = &mut self.row(session).areas;
        match areas.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => areas[at].1 = area,
            Err(at) => areas.insert(at, (id, area)),
        }
        Ok(())
    }

    /// Removes the area number `id` of a session.
    pub(crate) fn clear(&mut self, session: SessionIdx, id: u8) {
        self.row(session).areas.retain(|(other, _)| *other != id);
    }

    /// A connection carries the session: it looks from the next tick on and saw nothing before.
    pub(crate) fn open(&mut self, session: SessionIdx) {
        let row = self.row(session);
        row.blind();
        row.looks = true;
    }

    /// No connection carries the session: it sees nothing, and its areas wait.
    pub(crate) fn close(&mut self, session: SessionIdx) {
        let row = self.row(session);
        row.blind();
        row.looks = false;
    }

    /// Removes every area of a session that is gone.
    pub(crate) fn forget(&mut self, session: SessionIdx) {
        self.close(session);
        self.row(session).areas.clear();
    }

    /// The areas of a session, by number.
    #[must_use]
    pub(crate) fn areas(&self, session: SessionIdx) -> &[(u8, Area)] {
        self.rows.get(session.at()).map_or(&[], |row| &row.areas)
    }

    /// Works out what every session sees now.
    pub(crate) fn look(
        &mut self,
        sessions: &Sessions,
        atlas: &Atlas,
        entities: &Entities,
        exec: &impl Executor,
    ) {
        let width = width(exec);
        self.lanes.resize_with(width, Lane::default);
        let share = self.rows.len().div_ceil(width).max(1);
        let chunks = self.rows.chunks_mut(share).zip(&mut self.lanes).enumerate();
        let part = |(number, (rows, lane))| Part { first: number * share, number, rows, lane };
        run_parts(exec, chunks.map(part), |part| part.run(sessions, atlas, entities));
    }

    /// What entered and left a session's view in the last [`Interests::look`].
    #[must_use]
    pub(crate) fn changes(&self, session: SessionIdx) -> Changes<'_> {
        let row =
            self.rows.get(session.at()).and_then(|row| Some((row, self.lanes.get(row.lane)?)));
        match row {
            Some((row, lane)) => Changes {
                enters: &lane.enters[row.enters.clone()],
                leaves: &lane.leaves[row.leaves.clone()],
            },
            None => Changes { enters: &[], leaves: &[] },
        }
    }

    /// Does a session see an entity, as of the last [`Interests::look`]?
    #[must_use]
    pub(crate) fn sees(&self, session: SessionIdx, entity: EntityIdx) -> bool {
        let row = self.rows.get(session.at());
        row.is_some_and(|row| row.seen.binary_search(&entity).is_ok())
    }

    /// There was no room for an entity that entered: it enters again in the next tick.
    pub(crate) fn turn_away(&mut self, session: SessionIdx, entity: EntityIdx) {
        let seen = &mut self.row(session).seen;
        if let Ok(at) = seen.binary_search(&entity) {
            seen.remove(at);
        }
    }
}

impl Row {
    /// It sees nothing, and nothing of that is told.
    fn blind(&mut self) {
        self.seen.clear();
        self.enters = 0..0;
        self.leaves = 0..0;
    }
}

impl Part<'_> {
    fn run(&mut self, sessions: &Sessions, atlas: &Atlas, entities: &Entities) {
        self.lane.enters.clear();
        self.lane.leaves.clear();
        for (at, row) in self.rows.iter_mut().enumerate() {
            row.lane = self.number;
            (row.enters, row.leaves) = (0..0, 0..0);
            let idx = SessionIdx((self.first + at) as u32);
            if let Some(session) = sessions.get(idx).filter(|_| row.looks) {
                row.look(idx, session, self.lane, atlas, entities);
            }
        }
    }
}

impl Row {
    fn look(
        &mut self,
        idx: SessionIdx,
        session: &Session,
        lane: &mut Lane,
        atlas: &Atlas,
        entities: &Entities,
    ) {
        let viewer = Viewer {
            session: idx,
            team: session.team,
            owned: session.owned(),
            avatar: session.avatar,
            stands: self.handovers == entities.handovers() && self.team == session.team,
        };
        (self.handovers, self.team) = (entities.handovers(), session.team);
        let (entered, left) = (lane.enters.len(), lane.leaves.len());
        lane.sight.look(&viewer, &mut self.areas, &mut self.seen, atlas, entities);
        lane.enters.extend_from_slice(&lane.sight.enters);
        lane.leaves.extend_from_slice(&lane.sight.leaves);
        self.enters = entered..lane.enters.len();
        self.leaves = left..lane.leaves.len();
    }
}
