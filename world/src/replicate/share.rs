//! From an agenda to datagrams when it takes more than one, or more than the link may carry.
//!
//! Who finds no place in this tick grows hungrier, the nearer the faster, and the hungriest are
//! served first: the near are told of often and nobody starves. A slot that finds no place is
//! skipped, so that its acknowledged state stays what it was.

use super::Scene;
use super::due::Due;
use super::lane::Lane;
use super::size::item_bits;
use super::view::{Reports, View};
use super::write::{PageScribe, Reader};
use crate::space::{Cartesian, distance2};
use starling_protocol::limits::{DATAGRAM_BYTES_MAX, DATAGRAMS_PER_TICK_MAX};
use starling_protocol::snapshot::{Cover, SnapshotWriter};

/// A datagram smaller than this is not begun.
pub(super) const DATAGRAM_BYTES_MIN: usize = 64;
/// What header and reports take of a datagram, about.
const HEAD_BITS: usize = 136;
/// What the head of a page takes, about.
const PAGE_BITS: usize = 48;
/// What a slot that is skipped takes, about, where few are.
const SKIP_BITS: usize = 5;
/// What the list of skipped slots of one page takes at most.
const SKIPS_BITS: usize = 268;
/// How much hungrier the nearest grow in a tick; the farthest grow by one.
const HUNGER_NEAREST: f64 = 4.0;

/// Working space.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// (hunger, about the bits, which of the agenda)
    ranked: Vec<(u16, u32, u32)>,
    /// By place in the agenda: it is to be sent in this tick.
    chosen: Vec<bool>,
    /// By place in the agenda: it was.
    sent: Vec<bool>,
    /// Slots of the datagram at hand that it does not speak of.
    skipped: Vec<u16>,
    /// The chosen of the page at hand.
    due: Vec<Due>,
    at: Vec<u32>,
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
    choose(view, lane, scene, reader, allowance, focus);
    let mut packer = Packer {
        view,
        lane,
        scene,
        reader,
        reports: *reports,
        left: allowance,
        datagrams: 0,
        next_page: Some(0),
        from: 0,
    };
    while packer.can_begin() {
        packer.datagram();
    }
    settle(view, lane);
}

/// Chooses the hungriest whose news will fit.
fn choose(
    view: &mut View,
    lane: &mut Lane,
    scene: &Scene<'_>,
    reader: Reader,
    allowance: usize,
    focus: Option<Cartesian>,
) {
    let Lane { agenda, share, codes, .. } = lane;
    let farthest = agenda.due.iter().map(|due| away2(view, scene, *due, focus)).fold(1.0, f64::max);
    share.ranked.clear();
    for (at, item) in agenda.due.iter().enumerate() {
        let slot = usize::from(item.slot);
        let near = 1.0 - (away2(view, scene, *item, focus) / farthest).sqrt();
        let growth = 1 + (HUNGER_NEAREST * near) as u16;
        let hunger = view.slots.hunger(slot).saturating_add(growth);
        view.slots.set_hunger(slot, hunger);
        let bits = item_bits(scene, &reader, &view.slots, codes, *item);
        share.ranked.push((hunger, bits as u32, at as u32));
    }
    share.ranked.sort_unstable_by_key(|(hunger, _, at)| (std::cmp::Reverse(*hunger), *at));
    share.chosen.clear();
    share.chosen.resize(agenda.due.len(), false);
    share.sent.clear();
    share.sent.resize(agenda.due.len(), false);
    let most = allowance.min(DATAGRAM_BYTES_MAX * DATAGRAMS_PER_TICK_MAX) * 8;
    let datagrams = most.div_ceil(DATAGRAM_BYTES_MAX * 8);
    let mut left = most.saturating_sub(datagrams * HEAD_BITS + page_bits(&agenda.due));
    for (_, bits, at) in &share.ranked {
        match left.checked_sub(*bits as usize) {
            Some(rest) => left = rest,
            None => break,
        }
        share.chosen[*at as usize] = true;
    }
    // The hungriest always tries, or a record larger than the estimate of a narrow link would wait
    // for ever.
    if let Some((_, _, at)) = share.ranked.first() {
        share.chosen[*at as usize] = true;
    }
}

/// What the pages take besides the news itself: heads, and lists of skipped slots.
fn page_bits(due: &[Due]) -> usize {
    let pages = due.chunk_by(|a, b| a.slot >> 8 == b.slot >> 8);
    pages.map(|page| PAGE_BITS + (page.len() * SKIP_BITS).min(SKIPS_BITS)).sum()
}

/// Squared distance from where the session looks; what has left has no place any more.
fn away2(view: &View, scene: &Scene<'_>, item: Due, focus: Option<Cartesian>) -> f64 {
    let entity = view.slots.entity(usize::from(item.slot));
    match focus {
        Some(focus) if scene.entities.is_live(entity) => {
            distance2(focus, scene.atlas.place(entity).point)
        }
        _ => 0.0,
    }
}

/// Who was sent is sated; the others are counted.
fn settle(view: &mut View, lane: &mut Lane) {
    for (item, sent) in lane.agenda.due.iter().zip(&lane.share.sent) {
        if *sent {
            view.slots.set_hunger(usize::from(item.slot), 0);
        } else {
            lane.tally.skipped += 1;
        }
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
    /// How many of its chosen are written already.
    from: usize,
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
        self.lane.share.skipped.clear();
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
        self.view.sent.push(self.scene.now, cover, &self.lane.share.skipped, carried);
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
                Fit::Whole => self.from = 0,
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
        self.gather(index);
        let all = self.lane.share.due.len();
        let from = self.from.min(all);
        let mut to = all;
        loop {
            if self.try_page(writer, index, from, to) {
                // An item that does not even fit alone waits for a wider link.
                let done = to == all || to == from;
                return if done { Fit::Whole } else { Fit::Part };
            }
            let wait = !fresh && self.goes_on(writer.bytes_len());
            if wait || to == from {
                return Fit::None;
            }
            to = from + (to - from) * 3 / 4;
        }
    }

    /// Collects what was chosen of a page.
    fn gather(&mut self, index: u8) {
        let Lane { agenda, share, .. } = &mut *self.lane;
        let (due, _) = agenda.page(index);
        let offset = agenda.due.partition_point(|d| d.slot < u16::from(index) << 8);
        share.due.clear();
        share.at.clear();
        for (at, item) in due.iter().enumerate() {
            if share.chosen[offset + at] {
                share.due.push(*item);
                share.at.push((offset + at) as u32);
            }
        }
    }

    /// Writes the chosen `from..to` of a page and skips every other slot of which there is news.
    fn try_page(
        &mut self,
        writer: &mut SnapshotWriter<'_>,
        index: u8,
        from: usize,
        to: usize,
    ) -> bool {
        let Lane { agenda, share, page, codes, tally, .. } = &mut *self.lane;
        let counted = *tally;
        let slots = &self.view.slots;
        let mut scribe = PageScribe { scene: self.scene, reader: self.reader, slots, codes, tally };
        let told = &share.due[from..to];
        scribe.fill(page, index, told);
        let (due, withheld) = agenda.page(index);
        let silent = |slot: &u16| told.binary_search_by_key(slot, |item| item.slot).is_err();
        let skipped = due.iter().map(|item| item.slot).filter(silent);
        let before = share.skipped.len();
        share.skipped.extend(skipped.chain(withheld.iter().copied()));
        share.skipped[before..].iter().for_each(|slot| page.skip(*slot as u8));
        if !writer.page(page) {
            share.skipped.truncate(before);
            *tally = counted;
            return false;
        }
        share.at[from..to].iter().for_each(|at| share.sent[*at as usize] = true);
        if to < share.due.len() {
            self.from = to;
        }
        true
    }
}
