//! What a session's view is told of its comings and goings, and of its interests.

use super::SessionIdx;
use crate::World;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::INTERESTS_MAX;
use starling_protocol::message::bulk::BulkUp;
use starling_protocol::message::control::{ControlDown, RequestKind};
use starling_protocol::message::interest::Interest;

impl World {
    /// A connection carries the session: its snapshots start anew, its interests stand.
    pub(super) fn open_view(&mut self, idx: SessionIdx) {
        self.replication.open(idx, self.now);
        self.interests.open(idx);
    }

    /// No connection carries the session: it sees nothing, and its interests wait.
    pub(super) fn park_view(&mut self, idx: SessionIdx) {
        self.replication.close(idx);
        self.interests.close(idx);
    }

    /// The session is gone.
    pub(super) fn close_view(&mut self, idx: SessionIdx) {
        self.replication.close(idx);
        self.interests.forget(idx);
    }

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
        let Some(interest) = interest else {
            self.clear_interest(idx, id);
            return if usize::from(id) < INTERESTS_MAX { Ok(()) } else { Err(CloseCode::LIMIT) };
        };
        if !self.sessions[idx].principal.grants.see {
            return Err(CloseCode::FORBIDDEN);
        }
        self.interests.set(idx, id, &interest)?;
        self.keep_interest(idx, id, Some(&interest));
        Ok(())
    }

    fn clear_interest(&mut self, idx: SessionIdx, id: u8) {
        self.interests.clear(idx, id);
        self.keep_interest(idx, id, None);
    }

    /// All of a bulk message is in the client's table.
    pub(crate) fn bulk(&mut self, idx: SessionIdx, message: BulkUp) {
        let BulkUp::Ack { sequence } = message else { return };
        let known =
            self.replication.view_mut(idx).is_some_and(|view| view.bulk_ack(sequence, self.now));
        self.counters.acks += u64::from(known);
        self.counters.acks_unknown += u64::from(!known);
    }
}
