//! From an agenda to datagrams when it takes more than one, or more than the link may carry.
//!
//! Who finds no place in this tick grows hungrier, the nearer the faster, and the hungriest are
//! served first: the near are told of often and nobody starves. A slot that finds no place is
//! skipped, so that its acknowledged state stays what it was. A record that is wider than a whole
//! datagram of a thin link can be is tried now and then only, or it would hold up everyone else.

use super::Scene;
use super::due::WordNews;
use super::lane::Lane;
use super::priority::Candidates;
use super::size;
use super::slots::{BLOCK, BLOCKS_PER_PAGE, Slots, bits};
use super::view::{Reports, View};
use super::write::{PageScribe, Reader};
use crate::entity::EntityIdx;
use crate::space::{Cartesian, distance2};
use starling_protocol::limits::{DATAGRAM_BYTES_MAX, DATAGRAMS_PER_TICK_MAX};
use starling_protocol::snapshot::{Cover, SnapshotWriter};

/// A datagram smaller than this is not begun.
pub(super) const DATAGRAM_BYTES_MIN: usize = 64;
/// What header and reports take of a datagram, about.
const HEAD_BITS: usize = 112;
/// What the head of a page takes, about.
const PAGE_BITS: usize = 48;
/// What a slot that is skipped takes, about, where few are.
const SKIP_BITS: usize = 5;
/// What the list of skipped slots of one page takes besides.
const SKIPS_BITS: usize = 12;
/// In how many ticks one record is tried that seems wider than a datagram may be.
const WIDE_TICKS: u32 = 8;
/// By how much a slot grows hungrier in a tick, by quarters of the distance of the farthest.
const GROWTH: [(f64, u8); 3] = [(1.0 / 16.0, 5), (1.0 / 4.0, 3), (9.0 / 16.0, 2)];

/// Working space.
#[derive(Debug, Default)]
pub(crate) struct Share {
    candidates: Candidates,
    /// Squared distance of each candidate.
    away2: Vec<f64>,
    /// By block of the agenda: what is to be sent in this tick and was not yet.
    waiting: Vec<u64>,
    /// By block of the agenda: what was sent.
    sent: Vec<u64>,
}

impl Share {
    /// By block of the agenda: what was sent.
    pub(super) fn sent(&self) -> &[u64] {
        &self.sent
    }
}

/// Writes as much as the allowance takes, in as many datagrams as that needs.
pub(super) fn write_many(
    view: &mut View,
    lane: &mut Lane,
    scene: &Scene<'_>,
    reader: Reader,
    reports: &Reports,
    allowance: usize,
    focus: Option<Cartesian>,
) {
    gather(view, lane, scene, reader, allowance, focus);
    choose(view, lane, allowance);
    let mut packer = Packer {
        view,
        lane,
        scene,
        reader,
        reports: *reports,
        left: allowance,
        datagrams: 0,
        next_page: Some(0),
    };
    while packer.can_begin() {
        packer.datagram();
    }
    settle(view, lane);
}

/// Collects all of which there is news, hungrier than it was.
fn gather(
    view: &mut View,
    lane: &mut Lane,
    scene: &Scene<'_>,
    reader: Reader,
    allowance: usize,
    focus: Option<Cartesian>,
) {
    let whole = allowance.min(DATAGRAM_BYTES_MAX) * 8;
    let whole = whole.saturating_sub(HEAD_BITS + PAGE_BITS);
    let try_wide = (scene.now.0.wrapping_add(reader.session.0)).is_multiple_of(WIDE_TICKS);
    let Lane { agenda, share, .. } = lane;
    share.candidates.clear();
    share.away2.clear();
    for news in &agenda.words {
        for at in bits(news.due()) {
            let entity = view.slots.entity(usize::from(news.word) * BLOCK + at);
            let bits = match 1u64 << at {
                bit if news.leaves & bit != 0 => size::LISTED_BITS,
                bit if news.enters & bit != 0 => size::enter_bits(scene, &reader, entity),
                _ => size::change_bits(
                    scene,
                    entity,
                    view.slots.base(usize::from(news.word) * BLOCK + at),
                ),
            };
            let slot = news.word * BLOCK as u16 + at as u16;
            let hunger = match bits > whole {
                true if !try_wide => continue,
                true => u8::MAX,
                false => view.slots.hunger(usize::from(slot)),
            };
            share.away2.push(away2(scene, entity, focus));
            let bits = bits.min(usize::from(u16::MAX)) as u16;
            share.candidates.add(slot, hunger, bits);
        }
    }
    let farthest2 = share.away2.iter().copied().fold(1.0, f64::max);
    let mut away2 = share.away2.iter();
    share.candidates.each_hunger(|slot, hunger| {
        let away2 = away2.next().copied().unwrap_or(0.0);
        let near = GROWTH.iter().find(|(within, _)| away2 <= farthest2 * within);
        *hunger = hunger.saturating_add(near.map_or(1, |(_, growth)| *growth));
        view.slots.set_hunger(usize::from(slot), *hunger);
    });
}

/// Chooses the hungriest whose news will fit.
fn choose(view: &mut View, lane: &mut Lane, allowance: usize) {
    let Lane { agenda, share, .. } = lane;
    let most = allowance.min(DATAGRAM_BYTES_MAX * DATAGRAMS_PER_TICK_MAX) * 8;
    let datagrams = most.div_ceil(DATAGRAM_BYTES_MAX * 8);
    let room = most.saturating_sub(datagrams * HEAD_BITS + page_bits(&agenda.words));
    share.waiting.clear();
    share.waiting.resize(agenda.words.len(), 0);
    share.sent.clear();
    share.sent.resize(agenda.words.len(), 0);
    view.choice.choose(&mut share.candidates, room);
    let mut blocks = agenda.words.iter().zip(&mut share.waiting);
    for (word, chosen) in share.candidates.chosen() {
        if let Some((_, waiting)) = blocks.find(|(news, _)| news.word == word) {
            *waiting = chosen;
        }
    }
}

/// What the pages take besides the news itself: heads, and lists of skipped slots.
fn page_bits(words: &[WordNews]) -> usize {
    let pages = words.chunk_by(|a, b| a.page() == b.page());
    pages.map(|page| PAGE_BITS + skip_bits(page)).sum()
}

/// What the list of skipped slots of a page takes at most: some bits for each, or one for every
/// slot up to the highest.
fn skip_bits(page: &[WordNews]) -> usize {
    let due: u32 = page.iter().map(|news| news.due().count_ones()).sum();
    let span = page.last().map_or(0, |news| {
        let offset = usize::from(news.word) % BLOCKS_PER_PAGE * BLOCK;
        offset + BLOCK - news.due().leading_zeros() as usize
    });
    (due as usize * SKIP_BITS).min(SKIPS_BITS + span)
}

/// Squared distance from where the session looks; what has left has no place any more.
fn away2(scene: &Scene<'_>, entity: EntityIdx, focus: Option<Cartesian>) -> f64 {
    match focus {
        Some(focus) if scene.entities.is_live(entity) => {
            distance2(focus, scene.atlas.place(entity).point)
        }
        _ => 0.0,
    }
}

/// Who was sent is sated; the others are counted.
fn settle(view: &mut View, lane: &mut Lane) {
    for (news, sent) in lane.agenda.words.iter().zip(&lane.share.sent) {
        for slot in bits(*sent) {
            view.slots.set_hunger(usize::from(news.word) * BLOCK + slot, 0);
        }
        lane.tally.skipped += u64::from((news.due() & !sent).count_ones());
    }
}

/// Fills datagram after datagram, page after page.
struct Packer<'a, 'w> {
    view: &'a mut View,
    lane: &'a mut Lane,
    scene: &'a Scene<'w>,
    reader: Reader,
    reports: Reports,
    /// Bytes that the link still takes.
    left: usize,
    datagrams: usize,
    /// The page to go on with; `None` when all are written.
    next_page: Option<u8>,
}

/// What became of a page.
enum Fit {
    /// All of it is written.
    Whole,
    /// Some of it is written; the rest needs another datagram.
    Part,
    /// Nothing of it fits.
    None,
}

impl Packer<'_, '_> {
    fn can_begin(&self) -> bool {
        self.next_page.is_some()
            && self.datagrams < DATAGRAMS_PER_TICK_MAX
            && self.left >= DATAGRAM_BYTES_MIN
    }

    /// Will there be another datagram after one of so many bytes?
    fn goes_on(&self, bytes: usize) -> bool {
        self.datagrams + 1 < DATAGRAMS_PER_TICK_MAX
            && self.left.saturating_sub(bytes) >= DATAGRAM_BYTES_MIN
    }

    fn datagram(&mut self) {
        let Some(first) = self.next_page else { return };
        // Taken out, so that the writer does not hold the whole lane.
        let mut draft = std::mem::take(&mut self.lane.draft);
        draft.clear();
        let sequence = self.view.sent.next();
        let mut writer = SnapshotWriter::new(&mut draft, self.scene.now, sequence, self.left);
        if self.datagrams == 0 {
            self.reports.write(&mut writer);
        }
        let last_page = Cover::ALL.last;
        writer.cover(Cover { first, last: last_page });
        if self.datagrams == 0 {
            // Half a datagram at most, so that a burst of cues does not silence positions.
            let cues = self.view.cues.bits(self.scene.cues);
            writer.reserve(cues.min(self.left.min(DATAGRAM_BYTES_MAX) * 4));
        }
        self.lane.skipped.clear();
        let Some(last) = self.fill(&mut writer, first) else {
            // Not even a list of skipped slots fits: nothing more goes out in this tick.
            self.lane.draft = draft;
            self.next_page = None;
            return;
        };
        writer.set_last(last);
        let cues = if self.datagrams == 0 { usize::MAX } else { 0 };
        let (_, taken) = writer.finish(self.view.cues.iter(self.scene.cues).take(cues));
        let carried = self.view.cues.first(taken);
        let cover = Cover { first, last };
        self.view.sent.push(self.scene.now, cover, &self.lane.skipped, carried);
        self.view.reported(&self.reports, self.scene.now);
        self.reports = Reports::default();
        self.left = self.left.saturating_sub(draft.len());
        self.datagrams += 1;
        self.lane.draft = draft;
        self.lane.send(self.scene, self.reader.session);
    }

    /// Writes pages from `first` on while they fit; returns the last page that is covered.
    fn fill(&mut self, writer: &mut SnapshotWriter<'_>, first: u8) -> Option<u8> {
        let mut index = self.lane.agenda.next_page(first);
        let mut fresh = true;
        while let Some(page) = index {
            match self.page(writer, page, fresh) {
                Fit::Whole => {}
                Fit::Part => {
                    self.next_page = Some(page);
                    return Some(page);
                }
                Fit::None => {
                    self.next_page = Some(page);
                    return page.checked_sub(1).filter(|_| !fresh);
                }
            }
            fresh = false;
            index = page.checked_add(1).and_then(|next| self.lane.agenda.next_page(next));
        }
        self.next_page = None;
        Some(Cover::ALL.last)
    }

    /// Writes what was chosen of a page, or as much of it as fits.
    fn page(&mut self, writer: &mut SnapshotWriter<'_>, index: u8, fresh: bool) -> Fit {
        let words = self.words(index);
        let mut told = [0; BLOCKS_PER_PAGE];
        told[..words.len()].copy_from_slice(&self.lane.share.waiting[words.clone()]);
        loop {
            let all = told[..words.len()] == self.lane.share.waiting[words.clone()];
            let none = told == [0; BLOCKS_PER_PAGE];
            if self.try_page(writer, index, words.clone(), &told) {
                // An item that does not even fit alone waits for a wider link.
                return if all || none { Fit::Whole } else { Fit::Part };
            }
            let wait = !fresh && self.goes_on(writer.bytes_len());
            if wait || none {
                return Fit::None;
            }
            keep_hungriest(&mut told, &self.lane.agenda.words[words.clone()], &self.view.slots);
        }
    }

    /// The blocks of a page, as places in the agenda.
    fn words(&self, page: u8) -> std::ops::Range<usize> {
        let words = &self.lane.agenda.words;
        let first = words.partition_point(|news| news.page() < page);
        first..first + self.lane.agenda.page(page).len()
    }

    /// Writes these slots of a page and skips every other slot of which there is news.
    fn try_page(
        &mut self,
        writer: &mut SnapshotWriter<'_>,
        index: u8,
        words: std::ops::Range<usize>,
        told: &[u64; BLOCKS_PER_PAGE],
    ) -> bool {
        let Lane { agenda, share, page, tally, skipped, .. } = &mut *self.lane;
        let counted = *tally;
        let mut news = [WordNews::default(); BLOCKS_PER_PAGE];
        let news = &mut news[..words.len()];
        for ((news, all), told) in news.iter_mut().zip(&agenda.words[words.clone()]).zip(told) {
            *news = all.only(*told);
        }
        let slots = &self.view.slots;
        let mut scribe = PageScribe { scene: self.scene, reader: self.reader, slots, tally };
        scribe.fill(page, index, news);
        if !writer.page(page) {
            *tally = counted;
            return false;
        }
        let silent = news.iter().filter(|news| news.withheld != 0);
        skipped.extend(silent.map(|news| (news.word, news.withheld)));
        for (at, told) in words.zip(told) {
            share.sent[at] |= told;
            share.waiting[at] &= !told;
        }
        true
    }
}

/// Keeps the hungriest three quarters of some slots of a page.
fn keep_hungriest(told: &mut [u64; BLOCKS_PER_PAGE], words: &[WordNews], slots: &Slots) {
    let hunger = |news: &WordNews, bit| slots.hunger(usize::from(news.word) * BLOCK + bit);
    let mut bins = [0u32; 256];
    for (news, told) in words.iter().zip(&*told) {
        bits(*told).for_each(|bit| bins[usize::from(hunger(news, bit))] += 1);
    }
    let mut drop = bins.iter().sum::<u32>().div_ceil(4);
    let mut least = 0;
    while bins[least] < drop {
        drop -= bins[least];
        least += 1;
    }
    for (news, told) in words.iter().zip(told) {
        for bit in bits(*told) {
            let hunger = usize::from(hunger(news, bit));
            if hunger < least || (hunger == least && drop > 0) {
                drop -= u32::from(hunger == least);
                *told &= !(1 << bit);
            }
        }
    }
}
