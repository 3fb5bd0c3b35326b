//! The uplink datagram: both ways, cut short, and from noise (P15).

use proptest::prelude::*;
use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::sample::{Fix, FixSource, Orientation, Sample};
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::{Handle, Tick};
use starling_protocol::uplink::{
    Ack, CueScope, CueUp, SampleUp, Uplink, UplinkError, UplinkWriter,
};

/// An uplink datagram that owns what it says.
#[derive(Clone, Debug)]
struct Model {
    space: Space,
    sequence: u16,
    tick: u32,
    ack: Option<Ack>,
    newest_input: u16,
    inputs: Vec<Vec<u8>>,
    cues: Vec<(u16, u8, u8, CueScope, Vec<u8>)>,
    samples: Vec<SampleUp>,
}

impl Model {
    fn write(&self) -> (Vec<u8>, usize, usize) {
        let mut out = Vec::new();
        let mut w = UplinkWriter::new(&mut out, self.space, self.sequence, Tick(self.tick));
        if let Some(ack) = self.ack {
            w.ack(ack);
        }
        w.inputs(self.newest_input, self.inputs.iter().map(Vec::as_slice));
        let cues = w.cues(self.cues.iter().map(cue));
        let samples = self.samples.iter().take_while(|s| w.sample(s)).count();
        let bytes = w.finish();
        assert_eq!(bytes, out.len());
        (out, cues, samples)
    }
}

fn cue((id, kind, life, scope, payload): &(u16, u8, u8, CueScope, Vec<u8>)) -> CueUp<'_> {
    CueUp { id: *id, kind: *kind, life: *life, scope: *scope, payload }
}

fn orientation() -> impl Strategy<Value = Orientation> {
    prop_oneof![
        Just(Orientation::None),
        any::<u8>().prop_map(Orientation::Heading),
        (0u16..4096, 0u16..2048).prop_map(|(yaw, pitch)| Orientation::Look { yaw, pitch }),
        any::<u32>().prop_map(Orientation::Quaternion),
    ]
}

fn fix() -> impl Strategy<Value = Fix> {
    let source = prop_oneof![
        Just(FixSource::Unknown),
        Just(FixSource::Gnss),
        Just(FixSource::Network),
        Just(FixSource::Manual)
    ];
    (any::<u64>(), any::<Option<u16>>(), any::<Option<u16>>(), source).prop_map(
        |(time_ms, accuracy_dm, speed_cmps, source)| Fix {
            time_ms,
            accuracy_dm,
            speed_cmps,
            source,
        },
    )
}

fn sample() -> impl Strategy<Value = SampleUp> {
    let sample =
        (any::<[i32; 3]>(), any::<Option<[i32; 3]>>(), orientation(), prop::option::of(fix()))
            .prop_map(|(position, velocity, orientation, fix)| Sample {
                position: IPos(position),
                velocity,
                orientation,
                fix,
            });
    (any::<u16>(), any::<u16>(), sample).prop_map(|(handle, sequence, sample)| SampleUp {
        handle: Handle(handle),
        sequence,
        sample,
    })
}

fn scope() -> impl Strategy<Value = CueScope> {
    prop_oneof![
        (any::<u16>(), 0f32..1e6)
            .prop_map(|(h, radius_m)| CueScope::NearMine { entity: Handle(h), radius_m }),
        any::<u16>().prop_map(|h| CueScope::WatchersOfMine { entity: Handle(h) }),
        (any::<[i32; 3]>(), 0f32..1e6)
            .prop_map(|(c, radius_m)| CueScope::Near { center: IPos(c), radius_m }),
        Just(CueScope::World),
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..=64);
    let ack = (any::<u16>(), any::<u8>(), any::<u32>()).prop_map(|(tick, sequence, bits)| Ack {
        tick,
        sequence,
        bits,
    });
    (
        prop_oneof![Just(Space::Metric), Just(Space::Geodetic)],
        (any::<u16>(), any::<u32>(), prop::option::of(ack), any::<u16>()),
        prop::collection::vec(bytes(), 0..=8),
        prop::collection::vec((any::<u16>(), any::<u8>(), 0u8..=15, scope(), bytes()), 0..20),
        prop::collection::vec(sample(), 0..60),
    )
        .prop_map(|(space, (sequence, tick, ack, newest_input), inputs, cues, samples)| {
            Model { space, sequence, tick, ack, newest_input, inputs, cues, samples }
        })
}

proptest! {
    #[test]
    fn what_was_written_is_read(model in model()) {
        let (bytes, cues, samples) = model.write();
        prop_assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
        let got = Uplink::decode(model.space, &bytes)?;
        let again = Uplink::decode_again(model.space, &bytes)?;
        prop_assert!(again.samples().eq(got.samples()) && again.inputs().eq(got.inputs()));
        prop_assert_eq!(got.sequence, model.sequence);
        prop_assert_eq!(got.tick, Tick(model.tick).low16());
        prop_assert_eq!(got.ack, model.ack);
        prop_assert_eq!(got.inputs().len(), model.inputs.len());
        for (i, (input, sent)) in got.inputs().zip(&model.inputs).enumerate() {
            let back = (model.inputs.len() - 1 - i) as u16;
            prop_assert_eq!(input.number, model.newest_input.wrapping_sub(back));
            prop_assert_eq!(input.payload, &sent[..]);
        }
        prop_assert!(got.cues().eq(model.cues[..cues].iter().map(cue)));
        prop_assert!(got.samples().eq(model.samples[..samples].iter().copied()));
    }

    #[test]
    fn a_cut_datagram_is_an_error_unless_it_ends_between_samples(model in model()) {
        let (bytes, cues, samples) = model.write();
        for cut in 0..bytes.len() {
            if let Ok(got) = Uplink::decode(model.space, &bytes[..cut]) {
                let whole = got.samples().count();
                prop_assert!(whole > 0 && whole < samples, "cut at {} of {}", cut, bytes.len());
                prop_assert_eq!(got.cues().len(), cues);
            }
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..1200), flags in 0u8..16) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = 1 | flags << 2;
        }
        for space in [Space::Metric, Space::Geodetic] {
            if let Ok(got) = Uplink::decode(space, &bytes) {
                let counted = got.inputs().count() + got.cues().count() + got.samples().count();
                prop_assert!(counted < bytes.len());
                prop_assert_eq!(got.says_anything(), counted > 0);
                let again = Uplink::decode_again(space, &bytes)?;
                prop_assert_eq!((again.sequence, again.tick), (got.sequence, got.tick));
                prop_assert!(again.samples().eq(got.samples()) && again.cues().eq(got.cues()));
            }
        }
    }
}

fn empty() -> Vec<u8> {
    let mut out = Vec::new();
    UplinkWriter::new(&mut out, Space::Metric, 1, Tick(2)).finish();
    out
}

#[test]
fn a_datagram_of_another_type_or_with_unknown_flags_is_refused() {
    for first in [0, 2, 3, 1 | 64, 1 | 128] {
        let mut bytes = empty();
        bytes[0] = first;
        assert_eq!(Uplink::decode(Space::Metric, &bytes).err(), Some(UplinkError::Type));
    }
}

#[test]
fn bytes_after_the_end_and_datagrams_beyond_the_limit_are_refused() {
    let mut bytes = empty();
    bytes.push(0);
    assert_eq!(Uplink::decode(Space::Metric, &bytes).err(), Some(UplinkError::Trailing));
    bytes.resize(DATAGRAM_BYTES_MAX + 1, 0);
    assert_eq!(Uplink::decode(Space::Metric, &bytes).err(), Some(UplinkError::TooLarge));
}

#[test]
fn a_radius_that_is_no_number_is_refused() {
    let mut bytes = empty();
    bytes[0] |= 16;
    bytes.extend_from_slice(&[1, 0, 0, 7, 3, 0, 9, 0]);
    let with = |radius: f32| [&bytes[..], &radius.to_le_bytes(), &[0]].concat();
    assert!(Uplink::decode(Space::Metric, &with(4.0)).is_ok());
    for radius in [f32::NAN, f32::INFINITY, -1.0] {
        let bytes = with(radius);
        let got = Uplink::decode(Space::Metric, &bytes);
        assert_eq!(got.err(), Some(UplinkError::OutOfRange));
    }
}
