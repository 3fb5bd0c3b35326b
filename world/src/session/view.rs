//! What a session's view is told of its comings and goings, and of its interests.

use super::SessionIdx;
use crate::World;
use crate::entity::EntityIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::INTERESTS_MAX;
use starling_protocol::message::bulk::BulkUp;
use starling_protocol::message::control::{ControlDown, RequestKind};
use starling_protocol::message::interest::Interest;
use starling_protocol::space::IPos;

impl World {
    /// A connection carries the session: its snapshots start anew, its interests stand if resumed.
    pub(super) fn open_view(&mut self, _idx: SessionIdx, _resumed: bool) {}

    /// No connection carries the session.
    pub(super) fn park_view(&mut self, _idx: SessionIdx) {}

    /// The session is gone.
    pub(super) fn close_view(&mut self, _idx: SessionIdx) {}

    /// Sets or removes an area of interest, and answers.
    pub(super) fn set_interest(&mut self, idx: SessionIdx, id: u8, interest: Option<Interest>) {
        match self.try_interest(idx, id, interest) {
            Ok(()) => self.sessions.control(idx, &ControlDown::InterestSet { id }, self.now),
            Err(code) => self.refuse_request(idx, RequestKind::Interest(id), code),
        }
    }

    /// Removes every area of interest of a session that may look no more.
    pub(super) fn recheck_interests(&mut self, idx: SessionIdx) {
        if !self.sessions[idx].principal.grants.see {
            (0..INTERESTS_MAX as u8).for_each(|id| self.clear_interest(idx, id));
        }
    }

    fn try_interest(
        &mut self,
        idx: SessionIdx,
        id: u8,
        interest: Option<Interest>,
    ) -> Result<(), CloseCode> {
        if usize::from(id) >= INTERESTS_MAX {
            return Err(CloseCode::LIMIT);
        }
        match interest {
            None => self.clear_interest(idx, id),
            Some(_) if !self.sessions[idx].principal.grants.see => {
                return Err(CloseCode::FORBIDDEN);
            }
            Some(_interest) => {}
        }
        Ok(())
    }

    fn clear_interest(&mut self, _idx: SessionIdx, _id: u8) {}

    /// All of a bulk message is in the client's table.
    pub(crate) fn bulk(&mut self, _idx: SessionIdx, _message: BulkUp) {}

    /// The sessions that see an entity, in order.
    pub(crate) fn watchers(&self, _entity: EntityIdx) -> Vec<SessionIdx> {
        Vec::new()
    }

    /// The sessions with an entity within so many metres, in order.
    pub(crate) fn sessions_near(&self, _center: IPos, _radius_m: f64) -> Vec<SessionIdx> {
        Vec::new()
    }
}
