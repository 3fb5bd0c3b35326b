//! Many enters at once: they go over the bulk stream, not into datagrams that may be lost.
//!
//! A slot whose enter is under way there is *withheld*: datagrams skip it until the client has
//! said that the message is in its table.

use super::Scene;
use super::codes::newest_state;
use super::lane::Lane;
use super::size;
use super::slots::SlotState;
use super::view::View;
use super::write::{Reader, enter_record};
use crate::session::SessionIdx;
use starling_protocol::units::{Slot, Tick};

/// Bulk messages that may wait for their acknowledgement.
const BULKS_IN_FLIGHT: usize = 4;
/// Estimated bytes of one bulk message.
const BULK_BYTES: usize = 12 * 1024;
/// Bytes that may wait in a session's mail before bulk messages wait too.
const MAIL_BYTES_BUSY: usize = 16 * 1024;

/// A bulk message on its way.
#[derive(Debug)]
pub(crate) struct BulkSent {
    sequence: u32,
    tick: Tick,
    /// The team that its fields were chosen for.
    team: u8,
    slots: Vec<u16>,
}

impl View {
    /// Moves every enter of the agenda to the bulk stream, as far as that has room, and withholds
    /// the rest.
    pub(super) fn send_crowd(
        &mut self,
        idx: SessionIdx,
        lane: &mut Lane,
        scene: &Scene<'_>,
        reader: Reader,
    ) {
        let mut crowd = std::mem::take(&mut lane.crowd);
        lane.agenda.take_crowd(&mut crowd);
        let waiting = scene.sessions.get(idx).map_or(0, |s| s.mail.bytes());
        let mut rest = crowd.as_slice();
        while !rest.is_empty() && self.bulks.len() < BULKS_IN_FLIGHT && waiting < MAIL_BYTES_BUSY {
            let taken = self.send_bulk(idx, rest, lane, scene, reader);
            rest = &rest[taken..];
        }
        lane.crowd = crowd;
    }

    /// Writes as many enters as one message takes, one at least.
    fn send_bulk(
        &mut self,
        idx: SessionIdx,
        crowd: &[u16],
        lane: &mut Lane,
        scene: &Scene<'_>,
        reader: Reader,
    ) -> usize {
        lane.bulk.start(scene.now);
        let mut bits = 0;
        let mut slots = Vec::new();
        for &slot in crowd {
            let entity = self.slots.entity(usize::from(slot));
            bits += size::enter_bits(scene, &reader, entity);
            if !slots.is_empty() && bits > BULK_BYTES * 8 {
                break;
            }
            if let Some(kind) = scene.entities.schema().kind(scene.entities.kind(entity)) {
                let enter = enter_record(scene, &reader, entity, kind);
                let state = newest_state(scene.tracks, entity);
                if !lane.bulk.enter(Slot(slot), kind, &enter, &state) {
                    break;
                }
            }
            slots.push(slot);
        }
        for slot in &slots {
            self.slots.set(usize::from(*slot), SlotState::Bulk, scene.now);
        }
        let taken = slots.len();
        lane.bulks.push((idx, lane.bulk.message(self.bulk_sequence)));
        lane.tally.bulks += 1;
        lane.tally.records += taken as u64;
        let (sequence, tick, team) = (self.bulk_sequence, scene.now, self.team);
        self.bulks.push(BulkSent { sequence, tick, team, slots });
        self.bulk_sequence = self.bulk_sequence.wrapping_add(1);
        taken
    }

    /// The client has a bulk message in its table; `false` when none with this sequence is due.
    pub(crate) fn bulk_ack(&mut self, sequence: u32, now: Tick) -> bool {
        let Some(at) = self.bulks.iter().position(|bulk| bulk.sequence == sequence) else {
            return false;
        };
        let bulk = self.bulks.remove(at);
        for slot in bulk.slots.into_iter().map(usize::from) {
            match self.slots.state(slot) {
                // Other fields are visible by now: it enters anew, as what was held did.
                SlotState::Bulk if bulk.team != self.team => {
                    self.slots.set(slot, SlotState::Entering, now);
                }
                SlotState::Bulk => self.slots.hold(slot, bulk.tick),
                SlotState::BulkLeaving => self.slots.set(slot, SlotState::Leaving, now),
                _ => {}
            }
        }
        true
    }
}
