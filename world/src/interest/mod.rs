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
pub(crate) use marks::Mark;
pub(crate) use region::{Region, Side};
pub(crate) use sight::{Sight, Viewer};

use crate::config::WorldConfig;
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::INTERESTS_MAX;
use starling_protocol::message::interest::Interest;
use starling_protocol::space::Space;

/// The areas of every session.
#[derive(Debug)]
pub(crate) struct Interests {
    space: Space,
    hysteresis: f64,
    rows: Vec<Vec<(u8, Area)>>,
}

impl Interests {
    /// Nobody is interested in anything yet.
    #[must_use]
    pub(crate) fn new(config: &WorldConfig) -> Self {
        Self {
            space: config.space,
            hysteresis: f64::from(config.hysteresis_permille) / 1000.0,
            rows: Vec::new(),
        }
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
        if self.rows.len() <= session.at() {
            self.rows.resize_with(session.at() + 1, Vec::new);
        }
        let areas = &mut self.rows[session.at()];
        match areas.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => areas[at].1 = area,
            Err(at) => areas.insert(at, (id, area)),
        }
        Ok(())
    }

    /// Removes the area number `id` of a session.
    pub(crate) fn clear(&mut self, session: SessionIdx, id: u8) {
        if let Some(areas) = self.rows.get_mut(session.at()) {
            areas.retain(|(other, _)| *other != id);
        }
    }

    /// Removes every area of a session that is gone.
    pub(crate) fn forget(&mut self, session: SessionIdx) {
        if let Some(areas) = self.rows.get_mut(session.at()) {
            areas.clear();
        }
    }

    /// Every session's areas, at least `sessions` rows of them.
    pub(crate) fn rows(&mut self, sessions: usize) -> &mut [Vec<(u8, Area)>] {
        if self.rows.len() < sessions {
            self.rows.resize_with(sessions, Vec::new);
        }
        &mut self.rows
    }
}
