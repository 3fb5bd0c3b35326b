//! What bytes from the network make us allocate: bounded when they are hostile, nothing at all in
//! the steady state (P15). An allocator that counts is what this file is for.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use starling_protocol::codec;
use starling_protocol::frame::Frames;
use starling_protocol::limits::{DATAGRAM_BYTES_MAX, MESSAGE_BYTES_MAX};
use starling_protocol::message::bulk::BulkDown;
use starling_protocol::message::control::{ControlDown, ControlUp};
use starling_protocol::message::events::{EventDown, EventUp};
use starling_protocol::message::host::HostDown;
use starling_protocol::motion::{Knot, TrackKind};
use starling_protocol::sample::Orientation;
use starling_protocol::schema::{OrientationKind, Schema};
use starling_protocol::snapshot::{Enter, Fields, Page, SnapshotWriter, State, Table, knot_code};
use starling_protocol::space::Space;
use starling_protocol::units::{EntityId, KindId, Tick};
use starling_protocol::uplink::Uplink;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call is passed on to the system's allocator; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.get() + layout.size();
        HELD.set(held);
        PEAK.set(PEAK.get().max(held));
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: `at` came from `alloc` with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that `work` held at once beyond what was held before, and how often it allocated.
fn allocated<T>(work: impl FnOnce() -> T) -> (usize, usize) {
    let (held, count) = (HELD.get(), COUNT.get());
    PEAK.set(held);
    drop(work());
    (PEAK.get() - held, COUNT.get() - count)
}

/// A decoder of a list reserves at most 1 MiB before it has read the elements; what it reads is
/// no longer than the message.
const MESSAGE_PEAK: usize = 2 * 1024 * 1024 + 64 * MESSAGE_BYTES_MAX;

/// Small numbers, great lengths and noise: what hostile messages are made of.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => prop::collection::vec(0u8..20, 1..8),
        1 => Just(vec![253, 255, 255, 255, 255, 255, 255, 255, 255]),
        1 => Just(vec![252, 255, 255, 255, 127]),
        1 => Just(vec![251, 255, 255]),
        2 => prop::collection::vec(any::<u8>(), 1..200),
    ];
    prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

#[test]
fn hostile_messages_allocate_within_limits() {
    let mut runner = TestRunner::new(Config::with_cases(2_000));
    runner
        .run(&hostile(), |bytes| {
            let peaks = [
                allocated(|| codec::decode::<ControlUp>(&bytes)).0,
                allocated(|| codec::decode::<ControlDown>(&bytes)).0,
                allocated(|| codec::decode::<EventUp>(&bytes)).0,
                allocated(|| codec::decode::<EventDown>(&bytes)).0,
                allocated(|| codec::decode::<BulkDown>(&bytes)).0,
                allocated(|| codec::decode::<HostDown>(&bytes)).0,
            ];
            prop_assert!(peaks.iter().all(|peak| *peak <= MESSAGE_PEAK), "{peaks:?}");
            Ok(())
        })
        .expect("no message allocates more");
}

#[test]
fn a_message_beyond_the_limit_is_refused_without_allocating() {
    let bytes = vec![0; MESSAGE_BYTES_MAX + 1];
    let (peak, _) = allocated(|| codec::decode::<ControlUp>(&bytes).is_err());
    assert_eq!(peak, 0);
}

#[test]
fn a_stream_holds_one_frame_at_most() {
    let mut frames = Frames::new(1_000);
    let body = vec![1; 1_000];
    let mut wire = Vec::new();
    starling_protocol::frame::write(&body, &mut wire);
    let (peak, _) = allocated(|| {
        for _ in 0..100 {
            for part in wire.chunks(300) {
                frames.push(part);
                while frames.next_frame().expect("well formed").is_some() {}
            }
        }
    });
    assert!(peak <= 4_096, "{peak} bytes");
}

#[test]
fn hostile_uplink_datagrams_allocate_nothing() {
    let mut runner = TestRunner::new(Config::with_cases(2_000));
    let bytes = prop::collection::vec(any::<u8>(), 0..=DATAGRAM_BYTES_MAX);
    runner
        .run(&(bytes, 0u8..16), |(mut bytes, flags)| {
            if let Some(first) = bytes.first_mut() {
                *first = 1 | flags << 2;
            }
            let (_, count) = allocated(|| {
                let uplink = Uplink::decode(Space::Geodetic, &bytes);
                uplink.map(|u| u.inputs().count() + u.cues().count() + u.samples().count())
            });
            prop_assert_eq!(count, 0);
            Ok(())
        })
        .expect("nothing is allocated");
}

fn knot(tick: Tick, i: u8) -> Knot {
    let bend = (tick.0 as i32 * 7 + i32::from(i) * 13) % 50;
    Knot {
        tick,
        run: 0,
        pos: [i32::from(i) * 1_600, bend * 16, 0],
        vel: [bend as i16, 3, 0],
        orientation: Orientation::Heading(i),
        spin: [0; 3],
    }
}

fn enters(page: &mut Page, schema: &Schema, tick: Tick, count: u8) {
    for i in 0..count {
        let entity = EntityId { index: u32::from(i), generation: 0 };
        let enter = Enter { entity, kind: KindId(0), name: None, fields: Fields::default() };
        page.enter(i, &schema.kinds[0], &enter, &State::Knot(knot(tick, i)));
    }
}

fn codes(page: &mut Page, now: Tick, count: u8) {
    for i in 0..count {
        let code = knot_code(OrientationKind::Heading, &knot(now - 1, i), &[knot(now, i)], now, 1);
        match code {
            Some(code) if i > 2 => page.code(i, code),
            _ => page.absolute(i, &State::Knot(knot(now, i))),
        }
    }
}

/// Fifty entities that are told anew every tick: neither side allocates once warm.
#[test]
fn the_steady_state_allocates_nothing_on_either_side() {
    let (schema, count) = (Schema::plain(), 50);
    let mut table = Table::new(TrackKind::Knots, Space::Metric, Tick(0), 8);
    let (mut page, mut bytes) = (Page::new(Space::Metric), Vec::new());
    let mut tick = |tick: u32, fill: &dyn Fn(&mut Page)| {
        bytes.clear();
        let now = Tick(tick);
        let mut writer = SnapshotWriter::new(&mut bytes, now, tick, DATAGRAM_BYTES_MAX);
        page.start(0, now, (tick > 1).then(|| now - 1));
        fill(&mut page);
        assert!(writer.page(&page), "fifty entities fit");
        writer.finish(std::iter::empty());
        let applied = table.apply(&schema, &bytes).expect("what we wrote");
        applied.updated().len()
    };
    tick(1, &|page| enters(page, &schema, Tick(1), count));
    let mut moved = |ticks: std::ops::Range<u32>| -> usize {
        ticks.map(|t| tick(t, &|page| codes(page, Tick(t), count))).sum()
    };
    moved(2..50);
    let (_, allocations) = allocated(|| assert_eq!(moved(50..300), 250 * usize::from(count)));
    assert_eq!(allocations, 0);
}
