//! Codes lead a table to the state that they were made of, to the bit.

use crate::stage::ANN;
use proptest::prelude::*;
use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::motion::{FixState, Gain, Knot, Spin, Step, TrackKind};
use starling_protocol::sample::Orientation;
use starling_protocol::schema::{Kind, OrientationKind, Schema};
use starling_protocol::snapshot::{
    Enter, Fields, Page, SnapshotError, SnapshotWriter, State, Table, fix_code, knot_code,
};
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::{KindId, Slot, Tick};

proptest! {
    #[test]
    fn a_knot_survives_its_code(
        base in knots(),
        now in knots(),
        turns in any::<[u32; 2]>(),
        kind in 0usize..4,
        age in 1u32..300,
        lag in 0u32..300,
    ) {
        let kind = KINDS[kind];
        let tick = Tick(1000);
        let base = Knot { tick: tick - age - 3, orientation: orientation(kind, turns[0]), ..base };
        let now = Knot { tick: tick - lag, orientation: orientation(kind, turns[1]), ..now };
        coded(kind, base, &[now], tick, age)?;
    }

    #[test]
    fn knots_that_follow_from_each_other_survive_their_code(
        base in knots(),
        changes in prop::collection::vec(changes(), 1..=6),
        kind in 0usize..4,
        age in 1u32..12,
    ) {
        let kind = KINDS[kind];
        let tick = Tick(1000);
        let base = Knot { tick: tick - age, orientation: orientation(kind, 77), ..base };
        let (mut since, mut from) = (Vec::new(), base);
        for (after, what, residual, turn) in changes {
            let then = from.tick + after;
            let step = Step { gain: Gain::ALL[what % 3], residual };
            let line = if what < 3 { from.step(then, &step) } else { Some(from.turned(then, from.orientation)) };
            let Some(line) = line.filter(|line| line.tick <= tick) else { break };
            let faces = from.faces(then);
            let mut next = Knot { orientation: faces, ..line };
            if what % 2 == 1 {
                next.orientation = orientation(kind, turn);
                let spins = kind == OrientationKind::Quaternion;
                let spin = Spin::ALL[turn as usize % 3];
                next.spin = if spins { from.spin_after(&next, spin) } else { [0; 3] };
            }
            from = next;
            since.push(from);
        }
        coded(kind, base, &since, tick, age)?;
    }

    #[test]
    fn fixes_survive_their_code(
        base in fixes(),
        steps in prop::collection::vec((any::<[i16; 3]>(), 1u32..40, any::<u32>()), 1..=3),
        kind in 0usize..4,
        lag in 0u32..40,
        metric: bool,
    ) {
        let kind = KINDS[kind];
        let space = if metric { Space::Metric } else { Space::Geodetic };
        let base = FixState {
            pos: starling_protocol::motion::snap_fix(space, base.pos),
            prev_pos: starling_protocol::motion::snap_fix(space, base.prev_pos),
            orientation: orientation(kind, base.pos.0[0] as u32),
            ..base
        };
        let (mut fixes, mut from) = (Vec::new(), base);
        for (by, apart, turn) in steps {
            let at = from.predict(space, from.tick + apart).0;
            let at = IPos([0, 1, 2].map(|a: usize| at[a] / 2 + i32::from(by[a])));
            let at = starling_protocol::motion::snap_fix(space, at);
            from = from.then(from.tick + apart, at, orientation(kind, turn));
            fixes.push(from);
        }
        let tick = from.tick + lag;
        let Some(code) = fix_code(kind, space, &base, &fixes, tick) else { return Ok(()) };
        let age = tick.0 - base.tick.0;
        let got = through_a_table(TrackKind::Fixes, space, kind, State::Fix(base), |page| {
            page.code(3, code);
        }, tick, age)?;
        prop_assert_eq!(got, State::Fix(from));
    }
}

/// Ticks to the next knot; 0 to 2 a step of this gain, 3 and 4 the line goes on; its residual; an
/// orientation.
fn changes() -> impl Strategy<Value = (u32, usize, [i32; 3], u32)> {
    let residual = prop_oneof![
        4 => prop::array::uniform3(-6i32..6),
        1 => prop::array::uniform3(-500i32..500),
    ];
    (1u32..4, 0usize..5, residual, any::<u32>())
}

/// What a table holds after a code for the last of these knots, if there is one, is that knot.
fn coded(
    kind: OrientationKind,
    base: Knot,
    since: &[Knot],
    tick: Tick,
    age: u32,
) -> Result<(), TestCaseError> {
    let Some(code) = knot_code(kind, &base, since, tick, age) else { return Ok(()) };
    let Some(now) = since.last() else { return Err(TestCaseError::fail("a code of nothing")) };
    prop_assert!(code.len() <= 56 && tick.0 - now.tick.0 < age && !code.is_empty());
    let fill = |page: &mut Page| match age {
        2..=31 if age.is_multiple_of(2) => page.code_since(3, age as u8, code),
        _ => page.code(3, code),
    };
    let told = State::Knot(base);
    let got = through_a_table(TrackKind::Knots, Space::Metric, kind, told, fill, tick, age)?;
    let State::Knot(got) = got else { return Err(TestCaseError::fail("a fix")) };
    // What stands as before is not kept twice.
    let then = if now.rests() && base.rests() { got.tick } else { now.tick };
    prop_assert_eq!(got, Knot { tick: then, ..*now });
    Ok(())
}

const KINDS: [OrientationKind; 4] = [
    OrientationKind::None,
    OrientationKind::Heading,
    OrientationKind::Look,
    OrientationKind::Quaternion,
];

fn orientation(kind: OrientationKind, raw: u32) -> Orientation {
    match kind {
        OrientationKind::None => Orientation::None,
        OrientationKind::Heading => Orientation::Heading(raw as u8),
        OrientationKind::Look => {
            Orientation::Look { yaw: raw as u16 & 0xfff, pitch: (raw >> 16) as u16 & 0x7ff }
        }
        OrientationKind::Quaternion => Orientation::Quaternion(raw & 0xc00f_03ff),
    }
}

fn knots() -> impl Strategy<Value = Knot> {
    let near = prop::array::uniform3(-2000i32..2000);
    let far = prop::array::uniform3(-64_000_000i32..=64_000_000);
    let slow = prop::array::uniform3(-40i16..40);
    let vel = prop_oneof![4 => slow, 1 => any::<[i16; 3]>(), 1 => Just([0; 3])];
    (prop_oneof![4 => near, 1 => far], vel, 0u32..9).prop_map(|(pos, vel, run)| Knot {
        tick: Tick(0),
        run: if vel == [0; 3] { 0 } else { run },
        pos: pos.map(|v| v * 16),
        vel,
        ..Knot::default()
    })
}

fn fixes() -> impl Strategy<Value = FixState> {
    let at =
        || (-900_000_000i32..=900_000_000, -1_024_000_000i32..=1_024_000_000, -100_000i32..100_000);
    (at(), prop::array::uniform3(-9_000i32..9_000), 0u32..50).prop_map(|((a, b, c), by, apart)| {
        let prev_pos = if apart == 0 { [a, b, c] } else { [a / 2, b + by[1] / 2, c + by[2]] };
        FixState {
            tick: Tick(100),
            pos: IPos([a, b, c]),
            prev_tick: Tick(100 - apart),
            prev_pos: IPos(prev_pos),
            orientation: Orientation::None,
        }
    })
}

/// What a table holds in slot 3 after an enter with `base` and a page with one code.
fn through_a_table(
    track: TrackKind,
    space: Space,
    kind: OrientationKind,
    base: State,
    fill: impl FnOnce(&mut Page),
    tick: Tick,
    age: u32,
) -> Result<State, SnapshotError> {
    let plain = Kind { name: "k".into(), orientation: kind, fields: vec![], block: false };
    let schema = Schema { kinds: vec![plain] };
    let mut table = Table::new(track, space, tick, 0);
    let mut write = |tick: Tick, base: Option<Tick>, fill: &mut dyn FnMut(&mut Page)| {
        let mut bytes = Vec::new();
        let mut writer = SnapshotWriter::new(&mut bytes, tick, tick.0, DATAGRAM_BYTES_MAX);
        let mut page = Page::new(space);
        page.start(0, tick, base);
        fill(&mut page);
        assert!(writer.page(&page), "one entity fits");
        writer.finish(std::iter::empty());
        table.apply(&schema, &bytes).map(drop)
    };
    let enter = Enter { entity: ANN, kind: KindId(0), name: None, fields: Fields::default() };
    let then = tick - age;
    write(then, None, &mut |page| page.enter(3, &schema.kinds[0], &enter, &base))?;
    let mut fill = Some(fill);
    write(tick, Some(then), &mut |page| fill.take().expect("called once")(page))?;
    Ok(*table.entity(Slot(3)).expect("it entered").state)
}
