//! To whom a cue goes.

use super::GivenCue;
use crate::World;
use crate::entity::EntityIdx;
use crate::session::SessionIdx;
use starling_protocol::message::control::Audience;
use starling_protocol::space::IPos;

impl World {
    /// To every session, but the one it comes from, with an entity within `radius_m` of `entity`.
    ///
    /// It carries the place where it happened, unless the entity hides its own.
    pub(crate) fn cue_near_entity(
        &mut self,
        from: Option<SessionIdx>,
        entity: EntityIdx,
        radius_m: f64,
        mut given: GivenCue,
    ) {
        let center = self.entities.accepted(entity).position;
        let open = self.entities.traits(entity).audience == Audience::All;
        given.source = open.then(|| self.entities.id(entity));
        given.position = open.then_some(center);
        self.cue_to_near(from, center, radius_m, given);
    }

    /// To every session, but the one it comes from, with an entity within `radius_m` of a point.
    pub(crate) fn cue_near(
        &mut self,
        from: Option<SessionIdx>,
        center: IPos,
        radius_m: f64,
        mut given: GivenCue,
    ) {
        given.position = Some(center);
        self.cue_to_near(from, center, radius_m, given);
    }

    fn cue_to_near(
        &mut self,
        from: Option<SessionIdx>,
        center: IPos,
        radius_m: f64,
        given: GivenCue,
    ) {
        let mut recipients = std::mem::take(&mut self.cues.recipients);
        self.sessions_near(center, radius_m, &mut recipients);
        self.cue_to(from, recipients, given);
    }

    /// To every session that sees an entity in this tick.
    pub(crate) fn cue_watchers(&mut self, entity: EntityIdx, mut given: GivenCue) {
        given.source = Some(self.entities.id(entity));
        let cue = self.cues.push(given, self.now);
        self.cues.watched.push((cue, entity));
    }

    /// To every session but the one it comes from.
    pub(crate) fn cue_world(&mut self, from: Option<SessionIdx>, given: GivenCue) {
        let mut recipients = std::mem::take(&mut self.cues.recipients);
        recipients.clear();
        recipients.extend(self.sessions.iter_live().map(|(idx, _)| idx));
        self.cue_to(from, recipients, given);
    }

    fn cue_to(&mut self, from: Option<SessionIdx>, recipients: Vec<SessionIdx>, given: GivenCue) {
        let cue = self.cues.push(given, self.now);
        for &idx in recipients.iter().filter(|idx| Some(**idx) != from) {
            let Some(view) = self.replication.view_mut(idx) else { continue };
            let room = self.cues.deliveries > 0;
            self.cues.deliveries = self.cues.deliveries.saturating_sub(1);
            if room && view.hear(&self.cues, cue) {
                self.counters.cues_queued += 1;
            } else {
                self.counters.cues_dropped += 1;
            }
        }
        self.cues.recipients = recipients;
    }
}
