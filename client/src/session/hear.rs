//! What arrives by datagram.

use super::Session;
use crate::clock::{ClockSample, ServerClock};
use crate::session::input::Inputs;
use crate::session::uplink::Uplink;
use crate::view::Heard;
use starling_protocol::snapshot::{CLOCK_UNITS_PER_MS, Clock, SnapshotError};
use starling_protocol::units::Nanos;

impl Session {
    /// A datagram arrived. True when it was applied;
    /// [`View::heard`](crate::View::heard) then says what it did.
    pub fn handle_datagram(&mut self, now: Nanos, bytes: &[u8]) -> bool {
        self.counts.datagrams_in += 1;
        self.counts.datagram_bytes_in += bytes.len() as u64;
        self.note_life(now);
        if !self.is_live() {
            self.counts.datagrams_stale += 1; // it overtook the Welcome, or follows a goodbye
            return false;
        }
        let queue = &mut self.queue;
        match self.view.apply(bytes, |cue| queue.push_cue(cue)) {
            Ok(newer) => {
                self.learn(now);
                if let (Some(tick), Some(clock)) = (newer, &mut self.clock) {
                    self.counts.ticks_heard += 1;
                    self.uplink.heard(tick);
                    clock.heard(now, tick);
                }
                true
            }
            Err(SnapshotError::Stale(_)) => {
                self.counts.datagrams_stale += 1;
                false
            }
            Err(_) => {
                self.counts.decode_errors += 1;
                false
            }
        }
    }

    /// The server spoke.
    pub(super) fn note_life(&mut self, now: Nanos) {
        self.last_heard = now;
        self.uplink.answered();
        self.call_off_race();
    }

    fn learn(&mut self, now: Nanos) {
        let Some(clock) = &mut self.clock else { return };
        learn(self.view.heard(), now, clock, &mut self.uplink, &mut self.inputs);
    }
}

/// Takes in what a datagram says about this side's own uplinks.
fn learn(
    heard: &Heard,
    now: Nanos,
    clock: &mut ServerClock,
    uplink: &mut Uplink,
    inputs: &mut Inputs,
) {
    if let Some(fold) = &heard.fold {
        uplink.folded(fold.newest, fold.received, inputs);
        if let Some(number) = fold.applied {
            inputs.applied(number);
        }
    }
    let Some(Clock { echo, hold, late }) = heard.clock else { return };
    let told = hold != u16::MAX && late != u16::MAX;
    if let Some(sent) = uplink.sent_at(echo).filter(|_| told) {
        clock.sample(ClockSample {
            tick: heard.tick,
            sent,
            received: now,
            held_ns: nanos(hold),
            late_ns: nanos(late),
        });
    }
}

fn nanos(units: u16) -> u64 {
    u64::from(units) * Nanos::MILLISECOND / u64::from(CLOCK_UNITS_PER_MS)
}
