//! Samples of entities of mine: which of them go with the next uplink.

use super::{Own, OwnKey, OwnState, Owned};
use starling_protocol::sample::Sample;
use starling_protocol::units::{Handle, Nanos, Tick};

/// The last uplink that carried a sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    uplink: u16,
    /// The tick that it was labelled with.
    label: Tick,
    at: Nanos,
    repeats: u8,
}

/// When a sample that was sent is sent again.
pub(crate) struct Repeat<F: Fn(u16) -> bool> {
    pub(crate) now: Nanos,
    /// A tick gets one sample of each entity: those sent under this label wait for the next.
    pub(crate) label: Tick,
    /// Did this uplink arrive?
    pub(crate) folded: F,
    /// Wait so long for the news that it arrived.
    pub(crate) patience_ns: u64,
    /// Say the same again after so long, to stay present.
    pub(crate) keep_alive_ns: Option<u64>,
}

/// A lost sample is repeated so often before it is left to the keep-alive.
const REPEATS_MAX: u8 = 3;

impl Owned {
    /// Is any sample waiting for its first sending?
    pub(crate) fn has_fresh(&self) -> bool {
        self.slab.iter().any(|(_, own)| own.as_ref().is_some_and(Own::is_news))
    }

    /// Is any waiting that may still go under this label?
    pub(crate) fn has_fresh_for(&self, label: Tick) -> bool {
        let free = |own: &Own| own.is_news() && own.sent.is_none_or(|sent| sent.label != label);
        self.slab.iter().any(|(_, own)| own.as_ref().is_some_and(free))
    }

    /// Looks at up to `left` places from `cursor` on for the next sample to send.
    pub(crate) fn next_due<F: Fn(u16) -> bool>(
        &mut self,
        cursor: &mut usize,
        left: &mut usize,
        rule: &Repeat<F>,
    ) -> Option<(OwnKey, Handle, u16, Sample)> {
        while *left > 0 && !self.slab.is_empty() {
            let index = *cursor % self.slab.len();
            let (generation, own) = &mut self.slab[index];
            if let Some(own) = own
                && let OwnState::Stands { handle, .. } = own.state
                && own.is_due(rule)
                && let Some(sample) = own.sample
            {
                return Some((OwnKey::new(index, *generation), handle, own.sequence, sample));
            }
            *cursor = index + 1;
            *left -= 1;
        }
        None
    }

    /// The sample of an entity went out with this uplink.
    pub(crate) fn sent(&mut self, key: OwnKey, uplink: u16, label: Tick, at: Nanos) {
        let Some(own) = self.get_mut(key) else { return };
        let again = own.sent.filter(|_| !own.fresh).map_or(0, |sent| sent.repeats + 1);
        own.sent = Some(Sent { uplink, label, at, repeats: again.min(REPEATS_MAX) });
        own.fresh = false;
    }

    pub(crate) const fn places(&self) -> usize {
        self.slab.len()
    }
}

impl Own {
    pub(super) fn set_sample(&mut self, sample: Sample) {
        let repeated = self.sample == Some(sample);
        if repeated && (self.still || self.fresh) {
            return;
        }
        // Said twice it is news once more: the entity has stopped.
        self.still = repeated;
        // A sample that was never sent is replaced under its own number.
        self.sequence = self.sequence.wrapping_add(u16::from(!self.fresh));
        self.sample = Some(sample);
        self.fresh = true;
    }

    fn is_news(&self) -> bool {
        self.fresh && matches!(self.state, OwnState::Stands { .. })
    }

    fn is_due<F: Fn(u16) -> bool>(&mut self, rule: &Repeat<F>) -> bool {
        if self.sent.is_some_and(|sent| sent.label == rule.label) {
            return false;
        }
        let Some(sent) = self.sent.filter(|_| !self.fresh) else { return self.fresh };
        let ago = rule.now.since(sent.at);
        let lost = sent.repeats < REPEATS_MAX && ago >= rule.patience_ns;
        if lost && !(rule.folded)(sent.uplink) {
            return true;
        }
        if lost {
            self.sent = Some(Sent { repeats: REPEATS_MAX, ..sent }); // it arrived: settled
        }
        rule.keep_alive_ns.is_some_and(|keep_alive_ns| ago >= keep_alive_ns)
    }
}
