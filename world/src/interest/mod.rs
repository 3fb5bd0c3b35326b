//! Areas of interest: what each session declared, and what it therefore sees (P3).
//!
//! A session holds up to eight areas; it sees the union. Whoever came within an area's enter
//! distance stays visible until it is beyond the leave distance of every area (the world's
//! hysteresis times the enter distance; for boxes and viewports the half sides grow by the same).
//! The nearest few have their margin in ranks: one of the `k` nearest stays while it is among the
//! nearest `k * 5 / 4`.

#[cfg(feature = "oracle")]
mod alone;
mod area;
mod group;
mod join;
mod lane;
mod marks;
mod near;
#[cfg(test)]
mod oracle;
mod region;
mod seats;
mod sight;
mod solo;
mod table;
mod viewer;

pub(crate) use area::Area;
pub(crate) use region::{Region, Side};

use crate::config::WorldConfig;
use crate::entity::EntityIdx;
use crate::session::SessionIdx;
use group::Group;
use lane::Lane;
use seats::{Plain, Seat};
use solo::Solo;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::INTERESTS_MAX;
use starling_protocol::message::interest::Interest;
use starling_protocol::space::Space;

/// The areas of every session, and what each sees.
#[derive(Debug)]
pub(crate) struct Interests {
    space: Space,
    hysteresis: f64,
    rows: Vec<Row>,
    /// Sessions that are to be seated anew.
    touched: Vec<SessionIdx>,
    /// Viewers that share a leaf, by number, and the first group of each leaf.
    groups: Vec<Group>,
    free_groups: Vec<u32>,
    group_of: Vec<Option<u32>>,
    /// Groups that began since all were put in order.
    unsorted: usize,
    /// Viewers that look alone.
    solos: Vec<Solo>,
    free_solos: Vec<u32>,
    /// Viewers whose areas depend on ranks or on one entity.
    plains: Vec<Plain>,
    free_plains: Vec<u32>,
    handovers: u32,
    lanes: Vec<Lane>,
    /// Whom a session saw and sees no more although nobody looked.
    gone: Vec<(SessionIdx, EntityIdx)>,
    /// Working space.
    seen: Vec<EntityIdx>,
    merged: Vec<EntityIdx>,
    /// By session: does an area of it want names? Asked for every enter, when its areas are cold.
    names: Vec<bool>,
    /// By session: where its changes are, and in which look that was.
    told: Vec<Told>,
    looks: u32,
    /// Everyone is seated apart: the oracle for the others.
    #[cfg(test)]
    plain_only: bool,
}

/// One session's areas, where it is seated, and what it was told last.
#[derive(Debug, Default)]
struct Row {
    areas: Vec<(u8, Area)>,
    /// A connection carries the session: it looks.
    looks: bool,
    seat: Seat,
}

/// Where a session's enters and leaves are.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    look: u32,
    enters: Span,
    leaves: Span,
}

/// Some entities of a lane's list, or of those that were merged.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    lane: Option<u32>,
    from: u32,
    to: u32,
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
            touched: Vec::new(),
            groups: Vec::new(),
            free_groups: Vec::new(),
            group_of: Vec::new(),
            unsorted: 0,
            solos: Vec::new(),
            free_solos: Vec::new(),
            plains: Vec::new(),
            free_plains: Vec::new(),
            handovers: 0,
            lanes: Vec::new(),
            gone: Vec::new(),
            seen: Vec::new(),
            merged: Vec::new(),
            names: Vec::new(),
            told: Vec::new(),
            looks: 1,
            #[cfg(test)]
            plain_only: false,
        }
    }

    fn row(&mut self, session: SessionIdx) -> &mut Row {
        if self.rows.len() <= session.at() {
            self.rows.resize_with(session.at() + 1, Row::default);
            self.told.resize_with(session.at() + 1, Told::default);
            self.names.resize(session.at() + 1, false);
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
        self.areas_changed(session);
        Ok(())
    }

    /// Removes the area number `id` of a session.
    pub(crate) fn clear(&mut self, session: SessionIdx, id: u8) {
        self.row(session).areas.retain(|(other, _)| *other != id);
        self.areas_changed(session);
    }

    fn areas_changed(&mut self, session: SessionIdx) {
        self.names[session.at()] = self.areas(session).iter().any(|(_, area)| area.names);
        self.touched.push(session);
    }

    /// A connection carries the session: it looks from the next tick on and saw nothing before.
    pub(crate) fn open(&mut self, session: SessionIdx) {
        self.blind(session);
        self.row(session).looks = true;
        self.touched.push(session);
    }

    /// No connection carries the session: it sees nothing, and its areas wait.
    pub(crate) fn close(&mut self, session: SessionIdx) {
        self.blind(session);
        self.row(session).looks = false;
    }

    /// It sees nothing, and nothing of that is told.
    fn blind(&mut self, session: SessionIdx) {
        self.row(session);
        self.leave_seat(session);
        self.told[session.at()] = Told::default();
    }

    /// Removes every area of a session that is gone.
    pub(crate) fn forget(&mut self, session: SessionIdx) {
        self.close(session);
        self.row(session).areas.clear();
        self.names[session.at()] = false;
    }

    /// The areas of a session, by number.
    #[must_use]
    pub(crate) fn areas(&self, session: SessionIdx) -> &[(u8, Area)] {
        self.rows.get(session.at()).map_or(&[], |row| &row.areas)
    }

    /// Does an area of this session want names?
    #[must_use]
    pub(crate) fn wants_names(&self, session: SessionIdx) -> bool {
        self.names.get(session.at()).copied().unwrap_or(false)
    }

    /// What entered and left a session's view in the last [`Interests::look`].
    #[must_use]
    pub(crate) fn changes(&self, session: SessionIdx) -> Changes<'_> {
        match self.told.get(session.at()).filter(|told| told.look == self.looks) {
            Some(told) => Changes {
                enters: self.told(told.enters, |lane| &lane.enters),
                leaves: self.told(told.leaves, |lane| &lane.leaves),
            },
            None => Changes { enters: &[], leaves: &[] },
        }
    }

    fn told(&self, span: Span, list: impl Fn(&Lane) -> &Vec<EntityIdx>) -> &[EntityIdx] {
        let list = span.lane.map_or(&self.merged, |lane| list(&self.lanes[lane as usize]));
        &list[span.from as usize..span.to as usize]
    }
}
