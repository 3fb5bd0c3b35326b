//! From an agenda to datagrams: the common case, in which everything fits into one.

use super::Scene;
use super::codes::newest_state;
use super::due::{WordNews, common_base};
use super::lane::Lane;
use super::slots::{BLOCK, BLOCKS_PER_PAGE, Slots, bits};
use super::view::{Reports, View};
use crate::entity::{EntityIdx, FieldState, Traits};
use crate::session::SessionIdx;
use starling_protocol::limits::AGE_MAX;
use starling_protocol::schema::{Kind, Visibility};
use starling_protocol::snapshot::{Cover, Enter, Fields, Page, SnapshotWriter};
use starling_protocol::units::Tick;

/// Who is written to, as far as it decides what is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    /// The session.
    pub(crate) session: SessionIdx,
    /// Its team, 0 for none.
    pub(crate) team: u8,
    /// It wants names.
    pub(crate) names: bool,
}

impl Reader {
    /// The fields of an entity that it may see, as a mask; the block is for everyone.
    fn visible(&self, kind: &Kind, traits: &Traits) -> u32 {
        let owns = traits.owner == self.session.0 || traits.avatar_of == self.session.0;
        let same_team = self.team != 0 && traits.team == self.team;
        let mut mask = 1 << kind.fields.len();
        for (i, field) in kind.fields.iter().enumerate() {
            let sees = match field.visibility {
                Visibility::All => true,
                Visibility::Team => same_team || owns,
                Visibility::Owner => owns,
            };
            mask |= u32::from(sees) << i;
        }
        mask
    }
}

/// Writes the news of slots into pages.
pub(crate) struct PageScribe<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) reader: Reader,
    pub(super) slots: &'a Slots,
    pub(super) tally: &'a mut super::lane::Tally,
}

impl PageScribe<'_> {
    /// Fills a page with the news of its blocks, which are in order.
    pub(crate) fn fill(&mut self, page: &mut Page, index: u8, news: &[WordNews]) {
        let base = common_base(news, self.slots);
        page.start(index, self.scene.now, base);
        for news in news {
            self.tell(page, news, base);
        }
    }

    fn tell(&mut self, page: &mut Page, news: &WordNews, base: Option<Tick>) {
        let slots = self.slots;
        let block = &slots.blocks()[usize::from(news.word)];
        let offset = (news.word % BLOCKS_PER_PAGE as u16) as u8 * BLOCK as u8;
        bits(news.leaves).for_each(|slot| page.leave(offset + slot as u8));
        for slot in bits(news.enters) {
            self.enter(page, offset + slot as u8, block.entity(slot));
        }
        self.tell_changes(page, news, base);
        bits(news.withheld).for_each(|slot| page.skip(offset + slot as u8));
    }

    /// Where nothing but tracks changed, the codes of slots with the page's own baseline lie ready
    /// for the most part.
    fn tell_changes(&mut self, page: &mut Page, news: &WordNews, base: Option<Tick>) {
        let (scene, slots) = (self.scene, self.slots);
        let block = &slots.blocks()[usize::from(news.word)];
        let offset = (news.word % BLOCKS_PER_PAGE as u16) as u8 * BLOCK as u8;
        let common = block.common();
        let ready = base == Some(common) && scene.entities.newest_fields() <= common;
        let even = if ready { news.changed & !block.odd() } else { 0 };
        let made = (even != 0).then(|| scene.codes.made_since(common, scene.now));
        for slot in bits(news.changed) {
            let entity = block.entity(slot);
            let made = made.filter(|_| even >> slot & 1 == 1);
            if let Some(code) = made.and_then(|made| made.code(entity)) {
                page.code(offset + slot as u8, code);
                self.tally.codes += 1;
                continue;
            }
            let own = slots.base(usize::from(news.word) * BLOCK + slot);
            self.change(page, offset + slot as u8, entity, own, base);
        }
    }

    fn enter(&mut self, page: &mut Page, slot: u8, entity: EntityIdx) {
        let entities = self.scene.entities;
        let Some(kind) = entities.schema().kind(entities.kind(entity)) else { return };
        let enter = enter_record(self.scene, &self.reader, entity, kind);
        page.enter(slot, kind, &enter, &newest_state(self.scene.tracks, entity));
        self.tally.records += 1;
    }

    fn change(
        &mut self,
        page: &mut Page,
        slot: u8,
        entity: EntityIdx,
        own: Tick,
        base: Option<Tick>,
    ) {
        let scene = self.scene;
        // Where no fields changed of anything, it moved.
        let fields_may = scene.entities.newest_fields() > own;
        let moved = !fields_may || scene.tracks.newest(entity) > own;
        let mask = if fields_may { self.changed(entity, own) } else { 0 };
        if moved && !self.code(page, slot, entity, own, base) {
            if mask != 0 {
                return self.enter(page, slot, entity);
            }
            page.absolute(slot, &newest_state(scene.tracks, entity));
            self.tally.records += 1;
        }
        if mask != 0 {
            let Some(kind) = scene.entities.schema().kind(scene.entities.kind(entity)) else {
                return;
            };
            page.fields(slot, kind, &told(scene.entities.fields(entity), mask));
        }
    }

    /// Appends the code of an entity; `false` where only a record can say it.
    #[inline]
    fn code(
        &mut self,
        page: &mut Page,
        slot: u8,
        entity: EntityIdx,
        own: Tick,
        base: Option<Tick>,
    ) -> bool {
        let scene = self.scene;
        let age = scene.now.0 - own.0;
        let shared = base == Some(own);
        if !shared && age > u32::from(AGE_MAX) {
            return false;
        }
        let Some(code) = scene.code(entity, own) else { return false };
        if shared {
            page.code(slot, code);
        } else {
            page.code_since(slot, age as u8, code);
        }
        self.tally.codes += 1;
        true
    }

    fn changed(&self, entity: EntityIdx, own: Tick) -> u32 {
        let entities = self.scene.entities;
        let fields = entities.fields(entity);
        if fields.newest() <= own {
            return 0;
        }
        let Some(kind) = entities.schema().kind(entities.kind(entity)) else { return 0 };
        let mut mask = 0;
        for i in 0..kind.fields.len() {
            mask |= u32::from(fields.changed(i) > own) << i;
        }
        if kind.block {
            mask |= u32::from(fields.block_changed() > own) << kind.fields.len();
        }
        mask & self.reader.visible(kind, entities.traits(entity))
    }
}

fn told(fields: &FieldState, mask: u32) -> Fields<'_> {
    Fields { mask, values: fields.values(), block: fields.block() }
}

/// What an enter record says of an entity to this reader.
pub(super) fn enter_record<'a>(
    scene: &Scene<'a>,
    reader: &Reader,
    entity: EntityIdx,
    kind: &Kind,
) -> Enter<'a> {
    let entities = scene.entities;
    let fields = entities.fields(entity);
    let visible = reader.visible(kind, entities.traits(entity));
    Enter {
        entity: entities.id(entity),
        kind: entities.kind(entity),
        name: reader.names.then(|| entities.name(entity)),
        fields: Fields::set(kind, fields.values(), fields.block(), visible),
    }
}

/// Writes everything into one datagram of at most `limit` bytes; `false`, and nothing is written,
/// when it does not fit.
pub(super) fn write_single(
    view: &mut View,
    lane: &mut Lane,
    scene: &Scene<'_>,
    reader: Reader,
    reports: &Reports,
    limit: usize,
) -> bool {
    let Lane { draft, page, agenda, tally, skipped, .. } = &mut *lane;
    let counted = *tally;
    draft.clear();
    let mut writer = SnapshotWriter::new(draft, scene.now, view.sent.next(), limit);
    reports.write(&mut writer);
    writer.reserve(view.cues.bits(scene.cues));
    let mut scribe = PageScribe { scene, reader, slots: &view.slots, tally };
    let mut next = agenda.next_page(0);
    let mut fits = true;
    while let (Some(index), true) = (next, fits) {
        scribe.fill(page, index, agenda.page(index));
        fits = writer.page(page);
        next = index.checked_add(1).and_then(|index| agenda.next_page(index));
    }
    if !fits {
        lane.tally = counted;
        return false;
    }
    let (_, taken) = writer.finish(view.cues.iter(scene.cues));
    skipped.clear();
    agenda.withheld(skipped);
    view.sent.push(scene.now, Cover::ALL, skipped, view.cues.first(taken));
    view.reported(reports, scene.now);
    lane.send(scene, reader.session);
    true
}
