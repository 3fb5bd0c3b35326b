//! Vectors of datagrams. Those of snapshots are sessions: a Welcome, then datagrams and bulk
//! messages to apply in order; each line says what the table holds after it.

use crate::{Line, check};
use starling_protocol::codec;
use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::message::bulk::BulkDown;
use starling_protocol::message::control::{Authority, ControlDown, ResumeAnswer, Welcome};
use starling_protocol::motion::{FixState, Gain, Knot, Spin, Step, TrackKind, snap_fix};
use starling_protocol::sample::{Fix, FixSource, Orientation, Sample};
use starling_protocol::schema::{Field, FieldType, Kind, OrientationKind, Schema, Visibility};
use starling_protocol::snapshot::{
    BulkWriter, Clock, Cover, Cue, Enter, Fields, Fold, Page, SnapshotWriter, State, Table,
    fix_code, knot_code,
};
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::{EntityId, Epoch, Handle, KindId, SessionId, Slot, Tick, TickRate};
use starling_protocol::uplink::{Ack, CueScope, CueUp, SampleUp, Uplink, UplinkWriter};
use std::fmt::Write as _;
use std::path::PathBuf;

const ANN: EntityId = EntityId { index: 5, generation: 2 };
const BOB: EntityId = EntityId { index: 70_000, generation: 0 };
const BUS: EntityId = EntityId { index: 0, generation: 0 };

fn uplink(name: &str, space: Space, tick: u32, write: impl FnOnce(&mut UplinkWriter<'_>)) -> Line {
    let mut bytes = Vec::new();
    let mut writer = UplinkWriter::new(&mut bytes, space, 700, Tick(tick));
    write(&mut writer);
    writer.finish();
    let got = Uplink::decode(space, &bytes).expect("what we wrote");
    let inputs: Vec<_> = got.inputs().collect();
    let cues: Vec<_> = got.cues().collect();
    let samples: Vec<_> = got.samples().collect();
    let says = format!(
        "{space:?} sequence {} tick {} ack {:?} inputs {inputs:?} cues {cues:?} samples {samples:?}",
        got.sequence, got.tick, got.ack
    );
    Line { name: name.into(), bytes, says }
}

fn sample(handle: u16, position: [i32; 3]) -> SampleUp {
    let sample = Sample { position: IPos(position), ..Sample::default() };
    SampleUp { handle: Handle(handle), sequence: 513, sample }
}

fn fixed(handle: u16, time_ms: u64, fix: Fix) -> SampleUp {
    let plain = sample(handle, [522_300_000, 210_100_000, 11_250]);
    let orientation = Orientation::Heading(64);
    let sample = Sample { orientation, fix: Some(Fix { time_ms, ..fix }), ..plain.sample };
    SampleUp { sample, ..plain }
}

#[test]
fn uplink_datagrams_keep_their_bytes() {
    let ack = Ack { tick: 0x1234, sequence: 0x56, bits: 0x8000_0001 };
    let cue = |id, scope| CueUp { id, kind: 4, life: 3, scope, payload: b"bang" };
    let scopes = [
        CueScope::NearMine { entity: Handle(1), radius_m: 10.0 },
        CueScope::WatchersOfMine { entity: Handle(2) },
        CueScope::Near { center: IPos([1, -2, 3]), radius_m: 0.5 },
        CueScope::World,
    ];
    let look = Orientation::Look { yaw: 0xabc, pitch: 0x7ff };
    let turned = |handle, orientation, velocity| {
        let plain = sample(handle, [1024, -2560, 0]);
        SampleUp { sample: Sample { orientation, velocity, ..plain.sample }, ..plain }
    };
    let fix = Fix { accuracy_dm: Some(45), speed_cmps: Some(830), ..Fix::default() };
    let gnss = Fix { source: FixSource::Gnss, ..fix };
    check(
        "uplink.tsv",
        &[
            uplink("empty", Space::Metric, 70_000, |_| {}),
            uplink("ack", Space::Metric, 70_000, |w| {
                w.ack(ack);
            }),
            uplink("inputs", Space::Metric, 2, |w| {
                let inputs: [&[u8]; 3] = [b"a", b"", b"ccc"];
                w.inputs(1, inputs.into_iter());
            }),
            uplink("cues", Space::Metric, 2, |w| {
                let cues = scopes.iter().zip(0..).map(|(scope, id)| cue(id, *scope));
                assert_eq!(w.cues(cues), 4);
            }),
            uplink("metric_samples", Space::Metric, 2, |w| {
                assert!(w.sample(&sample(0, [0, 0, 0])));
                assert!(w.sample(&turned(300, Orientation::Heading(255), Some([-1, 64, 8192]))));
                assert!(w.sample(&turned(2, look, None)));
                assert!(w.sample(&turned(3, Orientation::Quaternion(0xdead_beef), None)));
            }),
            uplink("fixes", Space::Geodetic, 2, |w| {
                assert!(w.sample(&fixed(1, 1_700_000_000_000, gnss)));
                assert!(w.sample(&fixed(2, 1_699_999_999_000, Fix::default())));
            }),
            uplink("everything", Space::Metric, 2, |w| {
                w.ack(ack).inputs(9, [&b"go"[..]].into_iter());
                assert_eq!(w.cues([cue(9, CueScope::World)].into_iter()), 1);
                assert!(w.sample(&sample(1, [1, 2, 3])));
            }),
        ],
    );
}

/// A session whose lines are collected.
struct Script {
    schema: Schema,
    space: Space,
    table: Table,
    lines: Vec<Line>,
    /// Its datagrams, each behind its length: what fuzzers begin with.
    seed: Vec<u8>,
}

impl Script {
    fn new(space: Space, track: TrackKind, orientation: OrientationKind) -> Self {
        let field = |name: &str, ty| Field { name: name.into(), ty, visibility: Visibility::All };
        let kind = Kind {
            name: "thing".into(),
            orientation,
            fields: vec![
                field("health", FieldType::Bits { bits: 7 }),
                field("open", FieldType::Bool),
            ],
            block: true,
        };
        let schema = Schema { kinds: vec![kind] };
        let welcome = welcome(space, track, &schema);
        let table = Table::new(track, space, welcome.tick, 0);
        let bytes = codec::encode(&ControlDown::Welcome(Box::new(welcome)));
        let says = format!(
            "{space:?} {track:?} tick 70000; one kind `thing`: {orientation:?}, `health` of 7 bits, `open` bool, a block"
        );
        let lines = vec![Line { name: "welcome".into(), bytes, says }];
        Self { schema, space, table, lines, seed: Vec::new() }
    }

    /// Compares its lines with a file, and its datagrams with the seed of the fuzz target.
    fn check(&self, name: &str, world: u8) {
        check(&format!("{name}.tsv"), &self.lines);
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/snapshot");
        let (path, seed) = (folder.join(name.replace('_', "-")), [&[world], &*self.seed].concat());
        if std::env::var_os("STARLING_REGENERATE").is_some() {
            std::fs::write(&path, &seed).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
        assert_eq!(std::fs::read(&path).ok(), Some(seed), "{} is out of date", path.display());
    }

    fn kind(&self) -> Kind {
        self.schema.kinds[0].clone()
    }

    fn datagram<'c>(
        &mut self,
        name: &str,
        tick: u32,
        fill: impl FnOnce(&mut SnapshotWriter<'_>),
        cues: &[Cue<'c>],
    ) {
        let mut bytes = Vec::new();
        let mut writer = SnapshotWriter::new(&mut bytes, Tick(tick), tick, DATAGRAM_BYTES_MAX);
        fill(&mut writer);
        writer.finish(cues.iter().copied());
        let applied = self.table.apply(&self.schema, &bytes).expect("what we wrote");
        let mut says = format!("tick {} sequence {}", applied.tick, applied.sequence);
        if let Some(fold) = applied.fold {
            write!(says, " {fold:?}").expect("a string takes everything");
        }
        if let Some(clock) = applied.clock {
            write!(says, " {clock:?}").expect("a string takes everything");
        }
        for cue in applied.cues() {
            write!(says, " {cue:?}").expect("a string takes everything");
        }
        says.push_str(&self.table_text());
        self.seed.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
        self.seed.extend_from_slice(&bytes);
        self.lines.push(Line { name: name.into(), bytes, says });
    }

    fn page(&mut self, name: &str, tick: u32, base: Option<u32>, fill: impl FnOnce(&mut Page)) {
        let mut page = Page::new(self.space);
        page.start(0, Tick(tick), base.map(Tick));
        fill(&mut page);
        self.datagram(name, tick, |writer| assert!(writer.page(&page), "one page fits"), &[]);
    }

    fn bulk(&mut self, name: &str, message: &BulkDown) {
        self.table.apply_bulk(&self.schema, message).expect("what we wrote");
        let says = format!("bulk{}", self.table_text());
        self.lines.push(Line { name: name.into(), bytes: codec::encode(message), says });
    }

    fn table_text(&self) -> String {
        let mut text = String::new();
        for slot in self.table.slots() {
            let view = self.table.entity(slot).expect("the slot holds an entity");
            let covered = self.table.covered(slot).expect("what is held was told");
            let at = self.table.position(slot, covered).expect("what is held has a position");
            write!(
                text,
                " | slot {} entity {} name {:?} fields {:?} block {:?} {:?}; at {} it is at {:?}",
                slot.0,
                view.entity,
                view.name,
                &view.fields[..2],
                view.block,
                view.state,
                covered,
                at.0
            )
            .expect("a string takes everything");
        }
        text
    }
}

fn welcome(space: Space, track: TrackKind, schema: &Schema) -> Welcome {
    Welcome {
        version: 1,
        tables: 2,
        session: SessionId(1),
        resume_token: [0; 32],
        world: "golden".into(),
        space,
        track,
        authority: Authority::Client,
        epoch: Epoch(1),
        tick: Tick(70_000),
        tick_rate: TickRate::new(20).expect("in range"),
        server_time_us: 3_500_000_000,
        error_bound_mm: 40,
        hysteresis_permille: 1125,
        rings: vec![],
        presence_ms: 10_000,
        park_ms: 600_000,
        heartbeat_ticks: 80,
        schema: schema.clone(),
        resumed: ResumeAnswer::New,
        entities: vec![],
    }
}

fn enter<'a>(entity: EntityId, name: Option<&'a str>, fields: Fields<'a>) -> Enter<'a> {
    Enter { entity, kind: KindId(0), name, fields }
}

#[test]
fn snapshots_of_a_game_keep_their_bytes() {
    let mut script = Script::new(Space::Metric, TrackKind::Knots, OrientationKind::Look);
    let kind = script.kind();
    let turn = OrientationKind::Look;
    let look = |yaw, pitch| Orientation::Look { yaw, pitch };
    let first = Knot {
        tick: Tick(70_001),
        run: 0,
        pos: [16_000, -32_000, 160],
        vel: [12, -3, 0],
        orientation: look(100, 1024),
        spin: [0; 3],
    };
    let second =
        Knot { tick: Tick(70_005), pos: [16_240, -32_064, 160], vel: [14, -3, 0], ..first };
    let third =
        Knot { tick: Tick(70_008), vel: [14, -3, 9], orientation: look(90, 1030), ..second };
    let third = Knot { pos: [16_416, -32_112, 320], ..third };
    let still = Knot {
        tick: Tick(70_000),
        pos: [-16, 16, 0],
        orientation: look(0, 1024),
        ..Knot::default()
    };

    script.datagram("heartbeat", 70_001, |_| {}, &[]);
    script.page("two_enter", 70_002, None, |page| {
        let fields = Fields::set(&kind, &[100, 1], b"hat", u32::MAX);
        page.enter(3, &kind, &enter(ANN, Some("Ann"), fields), &State::Knot(first));
        page.enter(200, &kind, &enter(BOB, None, Fields::default()), &State::Knot(still));
    });
    let code = knot_code(turn, &first, &[second], Tick(70_005), 3).expect("a small change");
    script.page("a_code_at_age_3", 70_005, Some(70_002), |page| page.code(3, code));
    let code = knot_code(turn, &second, &[third], Tick(70_010), 4).expect("a small change");
    script.page("mixed_ages_and_fields", 70_010, Some(70_005), |page| {
        page.code_since(3, 4, code);
        page.fields(200, &kind, &Fields { mask: 0b101, values: &[77, 0], block: b"\x01\xff" });
    });
    let fourth = Knot { tick: Tick(70_060), pos: third.predict(Tick(70_060)).0, ..third };
    let fourth = Knot { pos: fourth.pos.map(|v| v / 16 * 16), ..fourth };
    let code = knot_code(turn, &third, &[fourth], Tick(70_060), 50).expect("a small change");
    script.page("a_long_base", 70_060, Some(70_010), |page| page.code(3, code));
    let slower = Step { gain: Gain::Soft, residual: [-2, 1, 0] };
    let fifth = fourth.step(Tick(70_061), &slower).expect("in range");
    let code = knot_code(turn, &fourth, &[fifth], Tick(70_061), 1).expect("a small change");
    script.page("a_step_at_age_1", 70_061, Some(70_060), |page| page.code(3, code));
    let sixth = fifth.turned(Tick(70_063), look(95, 1030));
    let stop = Step { gain: Gain::Stop, residual: [1, 0, -3] };
    let seventh = sixth.step(Tick(70_064), &stop).expect("in range");
    let code = knot_code(turn, &fifth, &[sixth, seventh], Tick(70_064), 3).expect("small changes");
    script.page("a_chain_of_two_steps", 70_064, Some(70_061), |page| page.code(3, code));
    let eighth = Knot { tick: Tick(70_066), vel: [5, 0, 0], ..seventh };
    let ninth = eighth.turned(Tick(70_068), look(0, 1024));
    let code = knot_code(turn, &seventh, &[ninth], Tick(70_068), 4).expect("a small change");
    script.page("a_line_that_runs", 70_068, Some(70_064), |page| page.code(3, code));
    let fold = Fold { newest: 700, received: u32::MAX, steps: [1; 15], applied: None };
    let clock = Clock { echo: 700, hold: 33, late: 2 };
    script.datagram(
        "reports",
        70_071,
        |w| {
            w.fold(&fold).clock(&clock);
        },
        &[],
    );
    let fold = Fold {
        newest: 3,
        received: 0xffff_fffe,
        steps: [0, 1, 2, 3, 300, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1],
        applied: Some(9),
    };
    script.datagram(
        "listed_steps",
        70_072,
        |w| {
            w.fold(&fold);
        },
        &[],
    );
    let teleported = Knot { tick: Tick(70_073), pos: [1_024_000_000, 0, -16], ..ninth };
    script.page("absolute_and_skip", 70_073, Some(70_068), |page| {
        page.absolute(3, &State::Knot(teleported));
        page.skip(200);
    });
    let cue = |source, position| Cue {
        id: 7,
        tick: Tick(70_072),
        life: 3,
        kind: 4,
        source,
        position,
        payload: b"bang",
    };
    let cues =
        [cue(Some(ANN), Some(IPos([1, -2, 3]))), Cue { id: 8, payload: b"", ..cue(None, None) }];
    script.datagram("cues", 70_074, |_| {}, &cues);
    let cover = Cover { first: 0, last: 2 };
    let mut page = Page::new(Space::Metric);
    page.start(2, Tick(70_075), None);
    page.enter(5, &kind, &enter(BUS, None, Fields::default()), &State::Knot(still));
    script.datagram(
        "partial",
        70_075,
        |writer| {
            writer.cover(cover);
            assert!(writer.page(&page), "one page fits");
        },
        &[],
    );
    script.page("leave", 70_076, None, |page| page.leave(200));
    script.check("snapshot_game", 0);
}

#[test]
fn snapshots_of_what_spins_keep_their_bytes() {
    let turn = OrientationKind::Quaternion;
    let mut script = Script::new(Space::Metric, TrackKind::Knots, turn);
    let kind = script.kind();
    let face = |x, y, z, w| Orientation::from_quaternion([x, y, z, w]);
    let first = Knot {
        tick: Tick(70_001),
        pos: [160, 320, 480],
        vel: [40, 0, 0],
        orientation: face(0.0, 0.0, 0.1, 1.0),
        spin: [900, -20, 1_500],
        ..Knot::default()
    };
    let spins = |from: &Knot, tick, orientation, spin| {
        let next = from.turned(Tick(tick), orientation);
        Knot { spin: from.spin_after(&next, spin), ..next }
    };
    script.page("enter", 70_002, None, |page| {
        page.enter(0, &kind, &enter(ANN, None, Fields::default()), &State::Knot(first));
        page.enter(9, &kind, &enter(BOB, None, Fields::default()), &State::Knot(first));
    });
    let soft = spins(&first, 70_006, face(0.1, 0.0, 0.3, 1.0), Spin::Soft);
    let code = knot_code(turn, &first, &[soft], Tick(70_006), 4).expect("a small change");
    script.page("a_soft_turn", 70_006, Some(70_002), |page| page.code(0, code));
    let hard = spins(&soft, 70_007, face(0.0, 0.0, 0.0, 1.0), Spin::Hard);
    let code = knot_code(turn, &soft, &[hard], Tick(70_007), 1).expect("a small change");
    script.page("a_hard_turn", 70_007, Some(70_006), |page| page.code(0, code));
    let none = spins(&hard, 70_008, face(0.0, 0.0, 0.0, 1.0), Spin::None);
    let code = knot_code(turn, &hard, &[none], Tick(70_008), 1).expect("within a word");
    script.page("a_turn_without_spin", 70_008, Some(70_007), |page| page.code(0, code));
    // Beyond 60 degrees in one tick: what leads there is more than a spin can say.
    let flip = spins(&none, 70_009, face(1.0, 0.0, 0.0, 0.1), Spin::Hard);
    assert_eq!(flip.spin[0], i16::MAX, "{:?}", flip.spin);
    let code = knot_code(turn, &none, &[flip], Tick(70_009), 1).expect("within a word");
    script.page("a_turn_that_is_clamped", 70_009, Some(70_008), |page| page.code(0, code));
    let told = Knot { spin: [32_700, -6, 7], ..flip.turned(Tick(70_010), flip.orientation) };
    let code = knot_code(turn, &flip, &[told], Tick(70_010), 1).expect("within a word");
    script.page("a_spin_that_is_told", 70_010, Some(70_009), |page| page.code(0, code));
    let one = spins(&told, 70_011, told.faces(Tick(70_011)), Spin::None);
    let [x, y, z, w] = one.orientation.to_quaternion().expect("it is one");
    let two = spins(&one, 70_013, face(x, y, z + 0.02, w), Spin::Soft);
    let chain = knot_code(turn, &told, &[one, two], Tick(70_013), 3).expect("small changes");
    script.page("a_chain_of_turns", 70_013, Some(70_010), |page| page.code(0, chain));
    script.page("a_record_with_spin", 70_014, None, |page| {
        page.absolute(9, &State::Knot(Knot { tick: Tick(70_014), ..hard }));
        page.skip(0);
    });
    script.check("snapshot_spin", 3);
}

#[test]
fn snapshots_of_a_fleet_keep_their_bytes() {
    let mut script = Script::new(Space::Geodetic, TrackKind::Fixes, OrientationKind::Heading);
    let kind = script.kind();
    let turn = OrientationKind::Heading;
    let at = |latitude, longitude| snap_fix(Space::Geodetic, IPos([latitude, longitude, 11_250]));
    let heading = Orientation::Heading;
    let first = FixState::first(Tick(70_001), at(522_300_000, 210_100_000), heading(64));
    let second = first.then(Tick(70_021), at(522_300_500, 210_101_000), heading(64));
    let third = second.then(Tick(70_041), at(522_300_900, 210_101_900), heading(64));
    let fourth = third.then(Tick(70_081), at(522_300_900, 210_101_900), heading(64));
    let space = Space::Geodetic;

    script.page("enter", 70_001, None, |page| {
        let fields = Fields::set(&kind, &[0, 1], b"", u32::MAX);
        page.enter(0, &kind, &enter(BUS, Some("bus 7"), fields), &State::Fix(first));
    });
    let code = fix_code(turn, space, &first, &[second], Tick(70_021)).expect("a small change");
    script.page("one_fix", 70_021, Some(70_001), |page| page.code(0, code));
    let code = fix_code(turn, space, &second, &[third, fourth], Tick(70_085));
    let code = code.expect("a small change");
    script.page("two_fixes_at_a_long_base", 70_085, Some(70_021), |page| page.code(0, code));
    let mut writer = BulkWriter::new(space);
    writer.start(Tick(70_085));
    let dateline = FixState::first(Tick(70_080), at(-899_999_999, 1_799_999_999), heading(0));
    let dateline = dateline.then(Tick(70_085), at(-900_000_000, -1_799_999_999), heading(128));
    assert!(writer.enter(
        Slot(300),
        &kind,
        &enter(ANN, None, Fields::default()),
        &State::Fix(dateline)
    ));
    script.bulk("bulk_enter_at_the_pole", &writer.message(1));
    let far = fourth.then(Tick(70_090), at(-330_000_000, 1_512_000_000), heading(1));
    script.page("absolute", 70_090, Some(70_085), |page| page.absolute(0, &State::Fix(far)));
    script.check("snapshot_fleet", 1);
}
