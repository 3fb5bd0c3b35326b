//! What a session is to be told in this tick.

use super::slots::{BLOCK, BLOCKS_PER_PAGE, NO_FLOOR, Slots, WordMask, bits};
use crate::entity::EntityIdx;
use crate::simd::Level;
use starling_protocol::limits::ENTERS_PER_DATAGRAM_TICK_MAX;
use starling_protocol::units::Tick;

/// A baseline older than this is told anew: datagrams name it by 16 bits.
const BASE_TICKS_MAX: u32 = 60_000;

/// What is to be told of the slots of one block, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WordNews {
    /// Which block.
    pub(crate) word: u16,
    /// Something changed since the slot's baseline.
    pub(crate) changed: u64,
    /// An entity entered.
    pub(crate) enters: u64,
    /// The entity left.
    pub(crate) leaves: u64,
    /// No datagram of this tick may speak of the slot: its enter is on the bulk stream, or its ring
    /// has not its turn.
    pub(crate) withheld: u64,
    /// Of those withheld: changed, and far away.
    pub(crate) deferred: u64,
}

impl WordNews {
    /// Slots of which something is to be told.
    #[inline]
    #[must_use]
    pub(crate) const fn due(&self) -> u64 {
        self.changed | self.enters | self.leaves
    }

    /// The same news, of these slots only; the others that have news are withheld.
    #[must_use]
    pub(crate) const fn only(&self, told: u64) -> Self {
        Self {
            word: self.word,
            changed: self.changed & told,
            enters: self.enters & told,
            leaves: self.leaves & told,
            withheld: self.withheld | self.due() & !told,
            deferred: self.deferred,
        }
    }

    /// The page that the block belongs to.
    #[inline]
    #[must_use]
    pub(crate) const fn page(&self) -> u8 {
        (self.word as usize / BLOCKS_PER_PAGE) as u8
    }
}

/// Since when there is news of each entity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stirred<'a> {
    /// By entity: the tick that first carries what is newest.
    pub(crate) at: &'a [Tick],
    /// The newest of them.
    pub(crate) newest: Tick,
    /// How to look through them.
    pub(crate) level: Level,
}

/// What a session is to be told, and what it must not be thought to know.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    /// In order; blocks without news are left out.
    pub(crate) words: Vec<WordNews>,
    enters: u32,
    /// There is something to tell.
    pub(crate) is_due: bool,
}

impl Agenda {
    /// Goes through the slots of a session.
    pub(crate) fn collect(&mut self, slots: &mut Slots, stirs: &Stirred<'_>, now: Tick) {
        self.words.clear();
        (self.enters, self.is_due) = (0, false);
        if slots.calm().is_some_and(|floor| stirs.newest <= floor) {
            return;
        }
        let mut calm = NO_FLOOR;
        for (word, block) in slots.blocks().iter().enumerate() {
            let floor = block.floor();
            let changed =
                if stirs.newest > floor { slots.changed(word, stirs.at, stirs.level) } else { 0 };
            let eventful = block.entering() | block.leaving() | block.bulk();
            if changed | eventful != 0 {
                self.note(word as u16, slots, changed, now);
            }
            calm = calm.min(floor);
        }
        slots.set_calm(calm, self.words.is_empty());
    }

    fn note(&mut self, word: u16, slots: &Slots, changed: u64, now: Tick) {
        let block = &slots.blocks()[usize::from(word)];
        let forgotten = forgotten(word, slots, changed, now);
        let news = WordNews {
            word,
            changed: changed & !forgotten,
            enters: block.entering() | forgotten,
            leaves: block.leaving(),
            withheld: block.bulk(),
            deferred: 0,
        };
        self.enters += news.enters.count_ones();
        self.is_due |= news.due() != 0;
        self.words.push(news);
    }

    /// Is there an enter to tell?
    #[must_use]
    pub(crate) fn has_enters(&self) -> bool {
        self.enters > 0
    }

    /// Are there more enters than datagrams should carry?
    #[must_use]
    pub(crate) fn is_crowd(&self) -> bool {
        self.enters as usize > ENTERS_PER_DATAGRAM_TICK_MAX
    }

    /// Takes all enters out, withholds their slots and names them in `crowd`.
    pub(crate) fn take_crowd(&mut self, crowd: &mut Vec<u16>) {
        crowd.clear();
        self.is_due = false;
        for news in &mut self.words {
            crowd.extend(bits(news.enters).map(|slot| news.word * 64 + slot as u16));
            news.withheld |= std::mem::take(&mut news.enters);
            self.is_due |= news.due() != 0;
        }
        self.enters = 0;
    }

    /// Puts off the changes of slots of which `waits` is true; returns how many.
    pub(crate) fn defer(&mut self, slots: &Slots, waits: impl Fn(EntityIdx) -> bool) -> u32 {
        self.is_due = false;
        let mut count = 0;
        for news in &mut self.words {
            let block = &slots.blocks()[usize::from(news.word)];
            let far = bits(news.changed).filter(|slot| waits(block.entity(*slot)));
            news.deferred = far.fold(0, |far, slot| far | 1 << slot);
            news.changed &= !news.deferred;
            news.withheld |= news.deferred;
            count += news.deferred.count_ones();
            self.is_due |= news.due() != 0;
        }
        count
    }

    /// What concerns one page.
    #[must_use]
    pub(crate) fn page(&self, page: u8) -> &[WordNews] {
        let words = &self.words[self.words.partition_point(|news| news.page() < page)..];
        &words[..words.partition_point(|news| news.page() == page)]
    }

    /// The first page from `page` on of which there is something to say.
    #[must_use]
    pub(crate) fn next_page(&self, page: u8) -> Option<u8> {
        self.words.iter().map(WordNews::page).find(|other| *other >= page)
    }

    /// Slots of which no datagram may speak.
    pub(crate) fn withheld(&self, list: &mut Vec<WordMask>) {
        let words = self.words.iter().filter(|news| news.withheld != 0);
        list.extend(words.map(|news| (news.word, news.withheld)));
    }
}

/// Changed slots whose baseline is so old that no datagram can name it.
fn forgotten(word: u16, slots: &Slots, changed: u64, now: Tick) -> u64 {
    let block = &slots.blocks()[usize::from(word)];
    let base = |slot: usize| slots.base(usize::from(word) * BLOCK + slot);
    let is_old = |base: Tick| now.0 - base.0 > BASE_TICKS_MAX;
    let even = if is_old(block.common()) { changed & !block.odd() } else { 0 };
    let odd = bits(changed & block.odd()).filter(|slot| is_old(base(*slot)));
    odd.fold(even, |old, slot| old | 1 << slot)
}

/// The baseline against which most changes of a page are told.
#[must_use]
pub(crate) fn common_base(page: &[WordNews], slots: &Slots) -> Option<Tick> {
    let block = |news: &WordNews| &slots.blocks()[usize::from(news.word)];
    if let Some(news) = page.iter().find(|news| news.changed & !block(news).odd() != 0) {
        return Some(block(news).common());
    }
    let base = |news: &WordNews, slot| slots.base(usize::from(news.word) * BLOCK + slot);
    let odd = page.iter().flat_map(|news| bits(news.changed).map(move |s| base(news, s)));
    odd.max()
}

#[cfg(test)]
mod tests {
    use super::super::slots::SlotState;
    use super::*;
    use proptest::prelude::*;

    fn news(at: &[Tick]) -> Stirred<'_> {
        Stirred { at, newest: at.iter().copied().max().unwrap_or_default(), level: Level::detect() }
    }

    #[test]
    fn news_is_what_stirred_after_its_baseline() {
        let mut slots = Slots::default();
        (0..130).for_each(|i| assert!(slots.take(EntityIdx(i), Tick(1)).is_some()));
        slots.ack(0, 0, Tick(4), [(1, 1 << 2)].into_iter());
        slots.ack(0, 0, Tick(3), [].into_iter());
        slots.depart(EntityIdx(129), Tick(5));
        let mut stirred = vec![Tick(4); 130];
        stirred[7] = Tick(5);
        let mut agenda = Agenda::default();
        agenda.collect(&mut slots, &news(&stirred), Tick(6));
        let told: Vec<_> =
            agenda.words.iter().map(|n| (n.word, n.changed, n.enters, n.leaves)).collect();
        assert_eq!(told, [(0, 1 << 7, 0, 0), (1, 1 << 2, 0, 0), (2, 0, 0, 0b10)]);
        assert_eq!(common_base(agenda.page(0), &slots), Some(Tick(4)));
        assert_eq!(common_base(&agenda.words[1..2], &slots), Some(Tick(3)));
        assert_eq!(agenda.words[0].only(0), WordNews { withheld: 1 << 7, ..WordNews::default() });
    }

    #[test]
    fn a_baseline_that_no_datagram_can_name_is_told_anew() {
        let mut slots = Slots::default();
        (0..2).for_each(|i| assert!(slots.take(EntityIdx(i), Tick(1)).is_some()));
        slots.ack(0, 0, Tick(4), [(0, 0b10)].into_iter());
        slots.ack(0, 0, Tick(3), [].into_iter());
        let mut agenda = Agenda::default();
        let now = Tick(4 + BASE_TICKS_MAX);
        agenda.collect(&mut slots, &news(&[now; 2]), now);
        assert_eq!((agenda.words[0].changed, agenda.words[0].enters), (0b01, 0b10));
    }

    #[test]
    fn nothing_is_looked_at_while_nothing_stirs() {
        let mut slots = Slots::default();
        assert!(slots.take(EntityIdx(0), Tick(1)).is_some());
        slots.ack(0, 0, Tick(4), [].into_iter());
        let mut agenda = Agenda::default();
        agenda.collect(&mut slots, &news(&[Tick(4)]), Tick(5));
        assert!(agenda.words.is_empty() && !agenda.is_due);
        assert_eq!(slots.calm(), Some(Tick(4)));
        agenda.collect(&mut slots, &news(&[Tick(5)]), Tick(5));
        assert_eq!(agenda.words[0].changed, 1, "until it stirs");
        slots.depart(EntityIdx(0), Tick(6));
        assert_eq!(slots.calm(), None, "or leaves");
    }
    /// What may befall a slot, or a page of them, in one tick.
    #[derive(Clone, Debug)]
    enum Event {
        Take(u32),
        Depart(u32),
        Bulk(u32),
        Hold(u32, u32),
        Ack(u32, u64),
        Stir(u32),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..90u32).prop_map(Event::Take),
            (0..90u32).prop_map(Event::Depart),
            (0..90u32).prop_map(Event::Bulk),
            (0..90u32, 1..9u32).prop_map(|(entity, ago)| Event::Hold(entity, ago)),
            (0..9u32, prop_oneof![Just(0), any::<u64>()])
                .prop_map(|(ago, skip)| Event::Ack(ago, skip)),
            (0..90u32).prop_map(Event::Stir),
        ]
    }

    fn befall(slots: &mut Slots, stirred: &mut [Tick], event: &Event, now: Tick) {
        let before = |ago: u32| Tick(now.0.saturating_sub(ago));
        let seen = |slots: &Slots, entity| slots.visible_slot(EntityIdx(entity));
        match *event {
            Event::Take(entity) if slots.slot_of(EntityIdx(entity)).is_none() => {
                slots.take(EntityIdx(entity), now);
            }
            Event::Depart(entity) => drop(slots.depart(EntityIdx(entity), now)),
            Event::Bulk(entity) => {
                let slot = seen(slots, entity).filter(|s| slots.state(*s) == SlotState::Entering);
                slot.into_iter().for_each(|slot| slots.set(slot, SlotState::Bulk, now));
            }
            Event::Hold(entity, ago) => {
                let slot = seen(slots, entity).filter(|s| slots.state(*s) == SlotState::Bulk);
                slot.into_iter().for_each(|slot| slots.hold(slot, before(ago)));
            }
            Event::Ack(ago, skip) => slots.ack(0, 0, before(ago), [(0, skip)].into_iter()),
            Event::Stir(entity) => stirred[entity as usize] = now,
            Event::Take(_) => {}
        }
    }

    proptest! {
        #[test]
        fn whoever_stirred_after_its_baseline_is_found_whatever_befell_its_block(
            events in prop::collection::vec((event(), 0..3u32), 1..300),
        ) {
            let (mut slots, mut stirred) = (Slots::default(), vec![Tick(0); 90]);
            let (mut agenda, mut now) = (Agenda::default(), Tick(1));
            for (event, ticks) in events {
                now = now + ticks;
                befall(&mut slots, &mut stirred, &event, now);
                agenda.collect(&mut slots, &news(&stirred), now);
                for slot in slots.iter() {
                    let held = slots.state(slot) == SlotState::Held;
                    let is = held && stirred[slots.entity(slot).at()] > slots.base(slot);
                    let found = agenda.words.iter().find(|n| usize::from(n.word) == slot / BLOCK);
                    let found = found.map_or(0, |news| news.changed) >> (slot % BLOCK) & 1 == 1;
                    prop_assert_eq!(found, is, "slot {}", slot);
                }
            }
        }
    }
}
