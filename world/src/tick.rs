//! One tick: everything that changes by the passing of time, in one fixed order. What is accepted in a
//! tick is told in the same (P2).

use crate::World;
use crate::executor::Executor;
use crate::input::TickInputs;
use crate::output::Output;

impl World {
    /// Runs the next tick: admits what came, lets the authority decide, moves everything, works
    /// out who sees what and tells them.
    ///
    /// `inputs` is what arrived since the tick before; the caller clears it afterwards. The same
    /// inputs give the same output with every executor.
    pub fn tick(&mut self, inputs: &TickInputs, out: &mut Output, exec: &impl Executor) {
        self.now = self.now + 1;
        self.unix_ms = inputs.unix_ms.unwrap_or(0);
        self.tell_the_time();
        self.counters.ticks += 1;
        self.cues.begin(self.now, self.sessions.live());
        self.sessions.begin_tick(&inputs.links);
        self.fold_datagrams(inputs, exec);
        self.run_authority(out);
        self.expire(out);
        self.end_in_channels();
        self.move_entities(exec);
        self.replicate(inputs, out, exec);
        self.entities.end_tick();
        self.end_of_tick_mail(inputs.now_us, out);
    }

    /// Brings tracks and index up to what was accepted.
    fn move_entities(&mut self, exec: &impl Executor) {
        for &entity in self.entities.despawned() {
            self.atlas.remove(entity);
        }
        for at in 0..self.entities.spawned().len() {
            let entity = self.entities.spawned()[at];
            if self.entities.is_live(entity) {
                self.judges.begin(entity);
                self.tracks.begin(entity, &self.entities, self.now);
                self.entities.stir(entity, self.now);
                let position = self.entities.accepted(entity).position;
                self.atlas.insert(entity, self.entities.kind(entity), position);
                self.counters.entries += 1;
            }
        }
        for at in 0..self.tracks.take_samples(&self.entities, self.now, exec).len() {
            self.entities.stir(self.tracks.made()[at], self.now);
            self.counters.entries += 1;
        }
        for at in 0..self.entities.fresh().len() {
            let entity = self.entities.fresh()[at];
            if self.entities.is_live(entity) {
                self.atlas.moved(entity, self.entities.accepted(entity).position);
            }
        }
        for at in 0..self.tracks.hold(&self.entities, self.now).len() {
            self.entities.stir(self.tracks.held()[at], self.now);
            self.counters.entries += 1;
        }
        self.atlas.refresh(exec);
        self.counters.zone_handovers = self.atlas.index().handovers();
    }
}
