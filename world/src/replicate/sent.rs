//! Datagrams that were sent and may still be acknowledged.

use super::slots::{Slots, WordMask};
use crate::simd;
use starling_protocol::limits::ACK_BITS;
use starling_protocol::planted::{self, Bug};
use starling_protocol::snapshot::Cover;
use starling_protocol::units::Tick;
use starling_protocol::uplink::Ack;
use std::collections::VecDeque;

/// Datagrams remembered: an acknowledgement names one by eight bits.
const SENT_MAX: usize = 256;

/// Datagrams for which there is room at first: those that an acknowledgement names, and as many on
/// their way.
const IN_FLIGHT: usize = 2 * ACK_BITS as usize;

/// One datagram that was sent.
#[derive(Clone, Copy, Debug)]
struct SentDatagram {
    tick: Tick,
    cover: Cover,
    /// There is more to say of it.
    has_load: bool,
}

/// What few datagrams have.
#[derive(Clone, Copy, Debug)]
struct Load {
    sequence: u32,
    /// Cues that it carried, by their place in the session's queue.
    cues: u64,
    /// Where its skipped slots begin, counted from the first that was ever noted, and how many
    /// blocks they are in.
    from: u32,
    blocks: u32,
}

/// The last datagrams of one session, oldest first; their sequences follow one another.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    datagrams: VecDeque<SentDatagram>,
    next: u32,
    /// The newest that arrived, and bit `i` for the one `i + 1` before it.
    arrived: Option<(u32, u32)>,
    /// In order of sequence.
    loads: VecDeque<Load>,
    /// Slots that datagrams skipped, one datagram's after another's.
    skips: VecDeque<WordMask>,
    /// How many were noted and forgotten before.
    skips_forgotten: u32,
}

impl Sent {
    /// The sequence of the next datagram.
    #[must_use]
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Begins to bring the newest datagrams, and where the next will be noted.
    #[inline]
    pub(super) fn fetch(&self) {
        self.datagrams.back().inspect(|newest| simd::fetch(*newest));
    }

    /// Remembers the datagram with the sequence [`Sent::next`]; `skipped` is in order of words.
    pub(crate) fn push(&mut self, tick: Tick, cover: Cover, skipped: &[WordMask], cues: u64) {
        if self.datagrams.len() == SENT_MAX {
            self.forget_oldest();
        }
        let has_load = !skipped.is_empty() || cues != 0;
        if has_load {
            make_room(&mut self.loads, 1);
            make_room(&mut self.skips, skipped.len());
            let from = self.skips_forgotten.wrapping_add(self.skips.len() as u32);
            let (sequence, blocks) = (self.next, skipped.len() as u32);
            self.loads.push_back(Load { sequence, cues, from, blocks });
            self.skips.extend(skipped);
        }
        make_room(&mut self.datagrams, 1);
        self.datagrams.push_back(SentDatagram { tick, cover, has_load });
        self.next = self.next.wrapping_add(1);
    }

    fn forget_oldest(&mut self) {
        if self.datagrams.pop_front().is_some_and(|old| old.has_load)
            && let Some(load) = self.loads.pop_front()
        {
            self.skips.drain(..load.blocks as usize);
            self.skips_forgotten = self.skips_forgotten.wrapping_add(load.blocks);
        }
    }

    /// Takes in an acknowledgement: moves the baselines of the slots that the named datagrams
    /// covered, and tells `arrived` of the cues of each that is new. `false` when it names what was
    /// never sent, or is forgotten.
    pub(crate) fn ack(
        &mut self,
        ack: &Ack,
        slots: &mut Slots,
        mut arrived: impl FnMut(u32, u64),
    ) -> bool {
        let Some(at) = self.find(ack) else { return false };
        let newest = self.next.wrapping_sub((self.datagrams.len() - at) as u32);
        let Some(known) = self.known(newest) else { return false };
        let mut fresh = ack.bits & !known;
        while fresh != 0 {
            let back = fresh.ilog2();
            fresh &= !(1 << back);
            if let Some(at) = at.checked_sub(back as usize + 1) {
                self.arrive(at, slots, &mut arrived);
            }
        }
        if self.arrived.is_none_or(|(before, _)| before != newest) {
            self.arrive(at, slots, &mut arrived);
        }
        self.arrived = Some((newest, ack.bits | known));
        // No acknowledgement from now on can reach further back.
        for _ in 0..at.saturating_sub(ACK_BITS as usize) {
            self.forget_oldest();
        }
        true
    }

    /// Which of the datagrams before `newest` are known to have arrived; `None` when one newer
    /// than it is.
    fn known(&self, newest: u32) -> Option<u32> {
        let Some((before, bits)) = self.arrived else { return Some(0) };
        match newest.wrapping_sub(before) {
            0 => Some(bits),
            ahead @ 1..=0x7fff_ffff => {
                let itself = 1u32.checked_shl(ahead - 1).unwrap_or(0);
                Some(bits.checked_shl(ahead).unwrap_or(0) | itself)
            }
            _ => None,
        }
    }

    fn find(&self, ack: &Ack) -> Option<usize> {
        let newest = self.next.wrapping_sub(1);
        let back = usize::from((newest as u8).wrapping_sub(ack.sequence));
        let at = self.datagrams.len().checked_sub(back + 1)?;
        (self.datagrams[at].tick.low16() == ack.tick).then_some(at)
    }

    fn arrive(&self, at: usize, slots: &mut Slots, arrived: &mut impl FnMut(u32, u64)) {
        let sequence = self.next.wrapping_sub((self.datagrams.len() - at) as u32);
        let SentDatagram { tick, cover, has_load } = self.datagrams[at];
        let load = if has_load { self.load(sequence) } else { None };
        let told = load.filter(|_| !planted::is(Bug::AckMovesAll));
        let skipped = told.map_or(0..0, |load| {
            let from = load.from.wrapping_sub(self.skips_forgotten) as usize;
            from..from + load.blocks as usize
        });
        slots.ack(cover.first, cover.last, tick, self.skips.range(skipped).copied());
        arrived(sequence, load.map_or(0, |load| load.cues));
    }

    fn load(&self, sequence: u32) -> Option<&Load> {
        let back = |sequence: u32| self.next.wrapping_sub(sequence);
        let at = self.loads.partition_point(|load| back(load.sequence) > back(sequence));
        self.loads.get(at).filter(|load| load.sequence == sequence)
    }
}

/// Makes room for as many as a link of a usual length has under way, so that it seldom grows.
fn make_room<T>(list: &mut VecDeque<T>, more: usize) {
    if list.len() + more > list.capacity() {
        list.reserve(more.max(IN_FLIGHT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::EntityIdx;
    use crate::replicate::slots::NO_BASE;

    fn ack(tick: u32, sequence: u32, bits: u32) -> Ack {
        Ack { tick: Tick(tick).low16(), sequence: sequence as u8, bits }
    }

    fn sent_each_tick(ticks: u32) -> Sent {
        let mut sent = Sent::default();
        (1..=ticks).for_each(|t| sent.push(Tick(t), Cover::ALL, &[], 0));
        sent
    }

    #[test]
    fn an_acknowledgement_moves_the_baseline_of_what_was_covered() {
        let mut slots = Slots::default();
        let slot = slots.take(EntityIdx(0), Tick(1)).expect("room");
        let other = slots.take(EntityIdx(1), Tick(1)).expect("room");
        let mut sent = Sent::default();
        sent.push(Tick(1), Cover::ALL, &[], 0);
        sent.push(Tick(2), Cover::ALL, &[(0, 1 << other)], 0);
        sent.push(Tick(3), Cover { first: 1, last: 63 }, &[], 0);
        assert!(sent.ack(&ack(3, 2, 0b01), &mut slots, |_, _| ()));
        assert_eq!([slots.base(slot), slots.base(other)], [Tick(2), NO_BASE]);
        assert!(sent.ack(&ack(3, 2, 0b10), &mut slots, |_, _| ()));
        assert_eq!([slots.base(slot), slots.base(other)], [Tick(2), Tick(1)]);
    }

    #[test]
    fn what_was_never_sent_is_not_acknowledged() {
        let mut slots = Slots::default();
        let slot = slots.take(EntityIdx(0), Tick(1)).expect("room");
        let mut sent = sent_each_tick(300);
        for wrong in [ack(300, 300, 0), ack(298, 298, 0), ack(7, 299, u32::MAX)] {
            assert!(!sent.ack(&wrong, &mut slots, |_, _| ()), "{wrong:?}");
        }
        assert_eq!(slots.base(slot), NO_BASE);
        assert!(sent.ack(&ack(300, 299, 0), &mut slots, |_, _| ()));
        assert_eq!(slots.base(slot), Tick(300));
    }

    #[test]
    fn whoever_was_silent_for_an_hour_is_heard_again() {
        let mut slots = Slots::default();
        let slot = slots.take(EntityIdx(0), Tick(1)).expect("room");
        let mut sent = sent_each_tick(2);
        assert!(sent.ack(&ack(1, 0, 0), &mut slots, |_, _| ()));
        (3..=72_000).for_each(|t| sent.push(Tick(t), Cover::ALL, &[], 0));
        assert!(sent.ack(&ack(72_000, 71_999, 0), &mut slots, |_, _| ()));
        assert_eq!(slots.base(slot), Tick(72_000));
        assert!(!sent.ack(&ack(1, 0, 0), &mut slots, |_, _| ()), "long forgotten");
    }

    #[test]
    fn each_datagram_arrives_once() {
        let mut slots = Slots::default();
        let mut sent = sent_each_tick(40);
        let mut arrived = Vec::new();
        for _ in 0..2 {
            sent.ack(&ack(40, 39, 0b101), &mut slots, |sequence, _| arrived.push(sequence));
        }
        assert_eq!(arrived, [36, 38, 39]);
    }

    #[test]
    fn an_acknowledgement_tells_which_cues_arrived() {
        let (mut sent, mut slots) = (Sent::default(), Slots::default());
        (1..=9).for_each(|t| sent.push(Tick(t), Cover::ALL, &[], u64::from(t) % 3));
        let mut arrived = Vec::new();
        sent.ack(&ack(8, 7, 0b11_0110), &mut slots, |_, cues| arrived.push(cues));
        assert_eq!(arrived, [2, 0, 2, 0, 2], "of the ticks 2, 3, 5, 6 and 8");
    }

    #[test]
    fn what_no_acknowledgement_can_reach_is_forgotten() {
        let mut slots = Slots::default();
        let mut sent = sent_each_tick(1000);
        assert_eq!(sent.datagrams.len(), SENT_MAX);
        sent.ack(&ack(1000, 999, 0), &mut slots, |_, _| ());
        assert_eq!(sent.datagrams.len(), ACK_BITS as usize + 1);
    }
}
