//! Reports and cues, and what fits a datagram.

use crate::stage::*;
use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::snapshot::*;
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::Tick;

#[test]
fn reports_and_cues_arrive() {
    let fold = Fold { newest: 7, received: 5, steps: [2; 15], applied: Some(3) };
    let clock = Clock { echo: 7, hold: 160, late: 3 };
    let cue = |id, tick| Cue {
        id,
        tick: Tick(tick),
        life: 3,
        kind: 4,
        source: Some(ANN),
        position: Some(IPos([1, -2, 3])),
        payload: b"bang",
    };
    let tell = |tick, cues: &[Cue<'_>]| {
        let mut bytes = Vec::new();
        let mut writer = SnapshotWriter::new(&mut bytes, Tick(tick), tick, DATAGRAM_BYTES_MAX);
        writer.fold(&fold).clock(&clock);
        let before = writer.bytes_len();
        let (len, taken) = writer.finish(cues.iter().copied());
        let bits: usize = cues.iter().map(cue_bits).sum();
        assert!(len - before <= (bits + 4).div_ceil(8) && taken == cues.len());
        bytes
    };
    let (mut table, schema) = (table(), schema());
    let first = tell(100, &[cue(1, 98), cue(2, 100)]);
    let applied = table.apply(&schema, &first).expect("two cues");
    assert_eq!((applied.fold, applied.clock), (Some(fold), Some(clock)));
    assert!(applied.cues().eq([cue(1, 98), cue(2, 100)]));
    let second = tell(101, &[cue(1, 98), cue(2, 100), cue(3, 101)]);
    let applied = table.apply(&schema, &second).expect("a repetition and a new one");
    assert!(applied.cues().eq([cue(3, 101)]));
}

#[test]
fn a_cue_is_never_late() {
    let (mut table, schema) = (table(), schema());
    let cue = Cue {
        id: 1,
        tick: Tick(100),
        life: 3,
        kind: 0,
        source: None,
        position: None,
        payload: b"",
    };
    let mut bytes = Vec::new();
    let mut writer = SnapshotWriter::new(&mut bytes, Tick(102), 102, DATAGRAM_BYTES_MAX);
    writer.cover(Cover { first: 0, last: 0 });
    writer.finish([cue].into_iter());
    let other = datagram(104, 104, |writer| {
        writer.cover(Cover { first: 1, last: 1 });
    });
    table.apply(&schema, &other).expect("a newer one, of another page");
    let applied = table.apply(&schema, &bytes).expect("the newest of its page");
    assert_eq!(applied.cues().count(), 0);
}

#[test]
fn a_writer_keeps_to_its_limit() {
    let mut bytes = Vec::new();
    let mut writer = SnapshotWriter::new(&mut bytes, Tick(100), 1, 60);
    let mut page = Page::new(Space::Metric);
    page.start(0, Tick(100), None);
    (0..20).for_each(|slot| page.absolute(slot, &State::Knot(knot(100, i32::from(slot)))));
    assert!(page.bits() > 60 * 8 && !writer.page(&page));
    page.start(0, Tick(100), None);
    (0..4).for_each(|slot| page.absolute(slot, &State::Knot(knot(100, i32::from(slot)))));
    let room = writer.room_bits();
    assert!(writer.page(&page));
    assert_eq!(writer.room_bits(), room - page.bits() - 2);
    writer.finish(std::iter::empty());
    assert!(bytes.len() <= 60);
}
