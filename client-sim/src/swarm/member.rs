//! One client of a thread: what it does, and how its connection fares.

use super::giver::Giver;
use super::mover::Mover;
use super::plan::Crew;
use super::publisher::Publisher;
use crate::meter::GeneratorMeter;
use crate::target::{ClientNo, Link, Resumption};

pub(super) struct Member {
    pub client: ClientNo,
    pub looks: bool,
    pub connected: bool,
    pub ever_connected: bool,
    pub lost_ns: Option<u64>,
    pub movers: Vec<Mover>,
    pub publisher: Option<Publisher>,
    pub giver: Option<Giver>,
    pub sampled_ns: u64,
}

impl Member {
    /// What it publishes or gives is near its first entity.
    pub(super) fn may_publish(&self) -> bool {
        self.connected && self.movers.first().is_some_and(Mover::is_known)
    }

    pub(super) fn note(&mut self, link: &Link, now_ns: u64, meter: &mut GeneratorMeter) {
        match link {
            Link::Connected => {
                self.connected = true;
                meter.connected += u64::from(!std::mem::replace(&mut self.ever_connected, true));
            }
            Link::Refused(why) => {
                meter.refused += 1;
                meter.reason(format!("client {} refused: {why}", self.client.0));
            }
            Link::Lost(why) => {
                self.connected = false;
                self.lost_ns = Some(now_ns);
                meter.lost += 1;
                meter.reason(format!("client {} lost: {why}", self.client.0));
            }
            Link::Resumed(answer) => self.resume(*answer, now_ns, meter),
        }
    }

    fn resume(&mut self, answer: Resumption, now_ns: u64, meter: &mut GeneratorMeter) {
        self.connected = true;
        match answer {
            Resumption::Resumed => meter.resumed += 1,
            Resumption::Reset => meter.reset += 1,
            Resumption::Denied => meter.denied += 1,
        }
        if let Some(lost_ns) = self.lost_ns.take() {
            meter.gap_ms.record_ns(now_ns.saturating_sub(lost_ns));
        }
        if answer != Resumption::Resumed {
            self.movers.iter_mut().for_each(Mover::forget);
        }
    }
}

impl Crew {
    pub(super) fn member(&self, at: usize) -> Member {
        let plan = &self.plans[at];
        let movers = plan.entities.iter().map(|e| Mover::new(e.entity, self.cast.motion(e.entity)));
        let channel = plan.channels.first().copied();
        let acts = if plan.entities.is_empty() { 0.0 } else { 1.0 };
        let events_per_s = acts * self.events_per_s;
        Member {
            client: plan.client,
            looks: !plan.areas.is_empty(),
            connected: false,
            ever_connected: false,
            lost_ns: None,
            movers: movers.collect(),
            publisher: Publisher::new(self.seed, plan.client, channel, events_per_s),
            giver: Giver::new(self.seed, plan.client, acts * self.cues_per_s),
            sampled_ns: 0,
        }
    }
}
