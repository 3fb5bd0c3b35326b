//! Works out, from one seed, what both sides of the wire must agree on to the bit: datagrams, what a
//! table makes of them, predicted places and orientations. Fails when the digest of all that is not
//! the one written here, so that it can be run on any machine:
//!
//! ```text
//! cargo run -p starling-protocol --bin same_bits
//! cargo build -p starling-protocol --bin same_bits --target wasm32-unknown-unknown
//! ```
//!
//! In wasm it is `main` that is to be called; it traps when the digest is another.

use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::motion::{FixState, Gain, Knot, Spin, Step, TrackKind, snap_fix, snap_knot};
use starling_protocol::sample::Orientation;
use starling_protocol::schema::{Kind, OrientationKind, Schema};
use starling_protocol::snapshot::{
    Code, Enter, Fields, Page, SnapshotWriter, State, Table, fix_code, knot_code,
};
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::{EntityId, KindId, Slot, Tick};

/// Of everything below, wherever it runs.
pub(crate) const DIGEST: u64 = 11_589_321_340_465_664_055;
const ROUNDS: u32 = 3_000;
const FIRST: u32 = 1_000;

fn main() {
    assert_eq!(digest(), DIGEST, "this machine works out something else");
}

/// Runs every kind of track.
pub(crate) fn digest() -> u64 {
    let mut sum = Digest(0xcbf2_9ce4_8422_2325);
    let turns = [OrientationKind::Heading, OrientationKind::Look, OrientationKind::Quaternion];
    for (seed, turn) in (1..).zip(turns) {
        game(turn, Rng(seed), &mut sum);
        for space in [Space::Metric, Space::Geodetic] {
            fleet(space, turn, Rng(seed), &mut sum);
        }
    }
    sum.0
}

/// FNV-1a, 64 bits.
struct Digest(u64);

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn within(&mut self, most: i32) -> i32 {
        (self.next() % (2 * most as u64 + 1)) as i32 - most
    }

    fn part(&mut self) -> f32 {
        self.within(1_000) as f32 / 1_000.0
    }

    fn facing(&mut self, kind: OrientationKind) -> Orientation {
        match kind {
            OrientationKind::None => Orientation::None,
            OrientationKind::Heading => Orientation::Heading(self.next() as u8),
            OrientationKind::Look => Orientation::Look {
                yaw: self.next() as u16 & 0xfff,
                pitch: 900 + self.next() as u16 % 200,
            },
            OrientationKind::Quaternion => {
                Orientation::from_quaternion([self.part(), self.part(), self.part(), 2.0])
            }
        }
    }
}

/// A client and the server that tells it of one entity.
struct Link {
    schema: Schema,
    space: Space,
    table: Table,
    told: Tick,
    coded: u32,
}

impl Link {
    fn new(space: Space, track: TrackKind, orientation: OrientationKind) -> Self {
        let kind = Kind { name: "thing".into(), orientation, fields: vec![], block: false };
        let schema = Schema { kinds: vec![kind] };
        let table = Table::new(track, space, Tick(FIRST), 8);
        Self { schema, space, table, told: Tick(FIRST), coded: 0 }
    }

    fn tell(&mut self, tick: Tick, state: &State, code: Option<Code>, sum: &mut Digest) {
        let mut page = Page::new(self.space);
        page.start(0, tick, code.map(|_| self.told));
        match code {
            Some(code) => page.code(7, code),
            None if self.told == Tick(FIRST) => {
                let entity = EntityId { index: 1, generation: 0 };
                let fields = Fields::default();
                let enter = Enter { entity, kind: KindId(0), name: None, fields };
                page.enter(7, &self.schema.kinds[0], &enter, state);
            }
            None => page.absolute(7, state),
        }
        let mut bytes = Vec::new();
        let mut writer = SnapshotWriter::new(&mut bytes, tick, tick.0, DATAGRAM_BYTES_MAX);
        assert!(writer.page(&page), "one entity fits");
        writer.finish(std::iter::empty());
        self.table.apply(&self.schema, &bytes).expect("what we wrote");
        self.told = tick;
        self.coded += u32::from(code.is_some());
        sum.add(&bytes);
        for ahead in [0, 1, 7, 90] {
            let later = tick + ahead;
            let at = self.table.position(Slot(7), later).expect("it is held");
            let held = self.table.entity(Slot(7)).expect("it is held").state;
            assert_eq!(at, state.position(later), "both sides agree here");
            assert_eq!(held.orientation(later), state.orientation(later));
            at.0.iter().for_each(|axis| sum.add(&axis.to_le_bytes()));
            sum.add(format!("{:?}", held.orientation(later)).as_bytes());
            self.space.point(at).iter().for_each(|axis| sum.add(&axis.to_bits().to_le_bytes()));
        }
    }
}

fn game(turn: OrientationKind, mut rng: Rng, sum: &mut Digest) {
    let mut link = Link::new(Space::Metric, TrackKind::Knots, turn);
    let mut tick = Tick(FIRST + 1);
    let mut knot = Knot { tick, orientation: rng.facing(turn), ..Knot::default() };
    link.tell(tick, &State::Knot(knot), None, sum);
    for _ in 0..ROUNDS {
        let age = 1 + rng.next() as u32 % 6;
        tick = tick + age;
        let next = next_knot(&knot, tick, turn, &mut rng);
        let code = knot_code(turn, &knot, &[next], tick, age);
        link.tell(tick, &State::Knot(next), code, sum);
        knot = next;
    }
    assert!(link.coded > ROUNDS / 3, "{} of {ROUNDS} had a code", link.coded);
}

fn next_knot(knot: &Knot, tick: Tick, turn: OrientationKind, rng: &mut Rng) -> Knot {
    let spun = |rng: &mut Rng, of: Spin| {
        let next = knot.turned(tick, rng.facing(turn));
        let still = turn != OrientationKind::Quaternion;
        Knot { spin: if still { [0; 3] } else { knot.spin_after(&next, of) }, ..next }
    };
    let step = |rng: &mut Rng, gain| {
        let residual = [rng.within(20), rng.within(20), rng.within(3)];
        knot.step(tick, &Step { gain, residual })
    };
    let made = match rng.next() % 8 {
        0 => Some(spun(rng, Spin::Soft)),
        1 => Some(spun(rng, Spin::Hard)),
        2 => Some(spun(rng, Spin::None)),
        3 | 4 => step(rng, Gain::Soft),
        5 => step(rng, Gain::Stop),
        _ => None,
    };
    made.unwrap_or_else(|| Knot {
        tick,
        run: 0,
        pos: snap_knot(IPos(knot.predict(tick).0.map(|axis| axis + rng.within(400)))),
        vel: [0; 3].map(|_: i16| rng.within(300) as i16),
        orientation: rng.facing(turn),
        ..*knot
    })
}

fn fleet(space: Space, turn: OrientationKind, mut rng: Rng, sum: &mut Digest) {
    let mut link = Link::new(space, TrackKind::Fixes, turn);
    let mut tick = Tick(FIRST + 1);
    let mut at = match space {
        Space::Metric => IPos([520_000, 1_790_000, 11_000]),
        // Round the date line, and up to the pole.
        Space::Geodetic => IPos([520_000_000, 1_799_990_000, 11_000]),
    };
    let mut fix = FixState::first(tick, snap_fix(space, at), rng.facing(turn));
    link.tell(tick, &State::Fix(fix), None, sum);
    for _ in 0..ROUNDS {
        tick = tick + 1 + rng.next() as u32 % 40;
        let moved = [rng.within(20_000), rng.within(3_000), rng.within(50)];
        let [latitude, longitude, height] =
            [0, 1, 2].map(|axis| at.0[axis].saturating_add(moved[axis]));
        let wrapped =
            (i64::from(longitude) + 1_800_000_000).rem_euclid(3_600_000_000) - 1_800_000_000;
        at = IPos([latitude.clamp(-900_000_000, 900_000_000), wrapped as i32, height]);
        let facing = if rng.next() & 3 == 0 { rng.facing(turn) } else { fix.orientation };
        let next = fix.then(tick, snap_fix(space, at), facing);
        let code = fix_code(turn, space, &fix, &[next], tick);
        link.tell(tick, &State::Fix(next), code, sum);
        fix = next;
    }
    assert!(link.coded > ROUNDS / 3, "{} of {ROUNDS} had a code", link.coded);
}
