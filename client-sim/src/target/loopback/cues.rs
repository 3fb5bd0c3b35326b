//! Cues of the loopback server.

use super::{Fault, Loopback};
use crate::target::{GivenCue, HeardCue, Received};

/// Cues on their way, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Cues {
    /// Given since the last tick.
    pub given: Vec<GivenCue>,
    taken: u64,
    heard: u64,
}

impl Loopback {
    /// Takes the cues that were given since the last tick, and tells them to who is near.
    pub(super) fn tell_cues(&mut self, into: &mut Received) {
        for given in std::mem::take(&mut self.cues.given) {
            self.cues.taken += 1;
            let giver = given.cue.giver;
            let mut clients = self.near(giver, given.radius_m);
            clients.retain(|client| *client != giver);
            for fault in &self.faults {
                if let Fault::StrayCue(number, client) = *fault
                    && number == self.cues.taken
                    && !clients.contains(&client)
                {
                    clients.push(client);
                }
            }
            for client in clients {
                let (tick, cue) = (self.tick, given.cue);
                let expires = tick + u32::from(given.life_ticks);
                self.tell_cue(HeardCue { client, cue, tick, expires, at_tick: tick }, into);
            }
        }
    }

    fn tell_cue(&mut self, mut heard: HeardCue, into: &mut Received) {
        self.cues.heard += 1;
        let number = self.cues.heard;
        if self.has(Fault::DropCue(number)) {
            return;
        }
        if self.has(Fault::LateCue(number)) {
            heard.at_tick = heard.expires + 1;
        }
        into.heard.push(heard);
        if self.has(Fault::DoubleCue(number)) {
            into.heard.push(heard);
        }
    }
}
