//! Writing an uplink datagram, section by section.

use super::{
    ACK, Ack, CUES, CUES_PER_DATAGRAM_MAX, CueScope, CueUp, INPUTS, SAMPLE_ACCURACY, SAMPLE_FIX,
    SAMPLE_SPEED, SAMPLE_VELOCITY, SAMPLES, SampleUp, UPLINK_TYPE,
};
use crate::bits::{put_varint, zigzag, zigzag64};
use crate::limits::{
    CUE_BYTES_MAX, CUE_TICKS_MAX, DATAGRAM_BYTES_MAX, INPUT_BYTES_MAX, INPUTS_PER_DATAGRAM_MAX,
};
use crate::sample::{Fix, Orientation, Sample};
use crate::space::Space;
use crate::units::Tick;

/// Writes one uplink datagram. The sections come in the order of the methods.
///
/// What does not fit [`DATAGRAM_BYTES_MAX`] is not written, and the method says so.
///
/// ```
/// use starling_protocol::{space::Space, units::Tick, uplink::{Uplink, UplinkWriter}};
/// let mut bytes = Vec::new();
/// UplinkWriter::new(&mut bytes, Space::Metric, 7, Tick(70_000)).finish();
/// let uplink = Uplink::decode(Space::Metric, &bytes).expect("what we wrote");
/// assert_eq!((uplink.sequence, uplink.tick), (7, Tick(70_000).low16()));
/// ```
#[derive(Debug)]
pub struct UplinkWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    space: Space,
    first_fix_ms: Option<u64>,
}

impl<'a> UplinkWriter<'a> {
    /// Starts a datagram at the end of `out`.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>, space: Space, sequence: u16, tick: Tick) -> Self {
        let start = out.len();
        out.push(UPLINK_TYPE);
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&tick.low16().to_le_bytes());
        Self { out, start, space, first_fix_ms: None }
    }

    /// Says which snapshots have arrived.
    pub fn ack(&mut self, ack: Ack) -> &mut Self {
        self.begin(ACK);
        self.out.extend_from_slice(&ack.tick.to_le_bytes());
        self.out.push(ack.sequence);
        self.out.extend_from_slice(&ack.bits.to_le_bytes());
        self
    }

    /// Sends the newest inputs, oldest first, the last of them numbered `newest`.
    ///
    /// Takes at most the last [`INPUTS_PER_DATAGRAM_MAX`] of `inputs`; writes nothing for none.
    ///
    /// # Panics
    /// When an input is longer than [`INPUT_BYTES_MAX`]: the caller checks.
    pub fn inputs<'i>(
        &mut self,
        newest: u16,
        inputs: impl ExactSizeIterator<Item = &'i [u8]>,
    ) -> &mut Self {
        let (count, surplus) = (inputs.len(), inputs.len().saturating_sub(INPUTS_PER_DATAGRAM_MAX));
        if count == 0 {
            return self;
        }
        self.begin(INPUTS);
        self.out.extend_from_slice(&newest.to_le_bytes());
        self.out.push((count - surplus) as u8);
        for input in inputs.skip(surplus) {
            assert!(input.len() <= INPUT_BYTES_MAX, "an input is checked before it is sent");
            self.out.push(input.len() as u8);
            self.out.extend_from_slice(input);
        }
        self
    }

    /// Sends cues; returns how many were taken, at most [`CUES_PER_DATAGRAM_MAX`].
    ///
    /// # Panics
    /// When a payload, a life or a radius is beyond its limit: the caller checks.
    pub fn cues<'c>(&mut self, cues: impl Iterator<Item = CueUp<'c>>) -> usize {
        let (start, flags) = (self.out.len(), self.out[self.start]);
        self.begin(CUES);
        self.out.push(0);
        let mut taken = 0;
        for cue in cues.take(CUES_PER_DATAGRAM_MAX) {
            if !self.whole(|w| w.cue(&cue)) {
                break;
            }
            taken += 1;
        }
        self.out[start] = taken as u8;
        if taken == 0 {
            self.out.truncate(start);
            self.out[self.start] = flags;
        }
        taken
    }

    /// Sends one sample; false when it does not fit and was not written.
    pub fn sample(&mut self, sample: &SampleUp) -> bool {
        let (flags, first_fix) = (self.out[self.start], self.first_fix_ms);
        self.begin(SAMPLES);
        let fits = self.whole(|w| w.put_sample(sample));
        if !fits {
            self.out[self.start] = flags;
            self.first_fix_ms = first_fix;
        }
        fits
    }

    /// Ends the datagram; returns its bytes.
    pub fn finish(self) -> usize {
        self.out.len() - self.start
    }

    /// Sets the flag of a section; sections come in rising order of their flags.
    fn begin(&mut self, section: u8) {
        let flags = &mut self.out[self.start];
        debug_assert!(*flags < section << 1, "the sections of a datagram have an order");
        *flags |= section;
    }

    /// Writes something whole or not at all.
    fn whole(&mut self, write: impl FnOnce(&mut Self)) -> bool {
        let before = self.out.len();
        write(self);
        let fits = self.out.len() - self.start <= DATAGRAM_BYTES_MAX;
        if !fits {
            self.out.truncate(before);
        }
        fits
    }

    fn cue(&mut self, cue: &CueUp<'_>) {
        assert!(u32::from(cue.life) <= CUE_TICKS_MAX, "a cue's life is checked before it is sent");
        assert!(cue.payload.len() <= CUE_BYTES_MAX, "a cue is checked before it is sent");
        self.out.extend_from_slice(&cue.id.to_le_bytes());
        self.out.extend_from_slice(&[cue.kind, cue.life]);
        self.scope(cue.scope);
        self.out.push(cue.payload.len() as u8);
        self.out.extend_from_slice(cue.payload);
    }

    fn scope(&mut self, scope: CueScope) {
        match scope {
            CueScope::NearMine { entity, radius_m } => {
                self.out.push(0);
                self.out.extend_from_slice(&entity.0.to_le_bytes());
                self.radius(radius_m);
            }
            CueScope::WatchersOfMine { entity } => {
                self.out.push(1);
                self.out.extend_from_slice(&entity.0.to_le_bytes());
            }
            CueScope::Near { center, radius_m } => {
                self.out.push(2);
                center.0.iter().for_each(|c| self.out.extend_from_slice(&c.to_le_bytes()));
                self.radius(radius_m);
            }
            CueScope::World => self.out.push(3),
        }
    }

    fn radius(&mut self, radius_m: f32) {
        assert!(radius_m.is_finite() && radius_m >= 0.0, "a radius is checked before it is sent");
        self.out.extend_from_slice(&radius_m.to_le_bytes());
    }

    fn put_sample(&mut self, up: &SampleUp) {
        put_varint(u64::from(up.handle.0), self.out);
        self.out.extend_from_slice(&up.sequence.to_le_bytes());
        self.out.push(flags(&up.sample));
        self.position(&up.sample);
        up.sample.velocity.iter().flatten().for_each(|v| self.signed(*v));
        self.orientation(up.sample.orientation);
        if let Some(fix) = &up.sample.fix {
            self.fix(fix);
        }
    }

    fn position(&mut self, sample: &Sample) {
        let [a, b, c] = sample.position.0;
        match self.space {
            Space::Metric => [a, b, c].iter().for_each(|v| self.signed(*v)),
            Space::Geodetic => {
                self.out.extend_from_slice(&a.to_le_bytes());
                self.out.extend_from_slice(&b.to_le_bytes());
                self.signed(c);
            }
        }
    }

    fn orientation(&mut self, orientation: Orientation) {
        match orientation {
            Orientation::None => {}
            Orientation::Heading(h) => self.out.push(h),
            Orientation::Look { yaw, pitch } => {
                let packed = u32::from(yaw & 0xfff) | u32::from(pitch & 0x7ff) << 12;
                self.out.extend_from_slice(&packed.to_le_bytes()[..3]);
            }
            Orientation::Quaternion(q) => self.out.extend_from_slice(&q.to_le_bytes()),
        }
    }

    fn fix(&mut self, fix: &Fix) {
        match self.first_fix_ms {
            None => {
                self.first_fix_ms = Some(fix.time_ms);
                put_varint(fix.time_ms, self.out);
            }
            Some(first) => {
                put_varint(zigzag64(fix.time_ms.wrapping_sub(first) as i64), self.out);
            }
        }
        for value in [fix.accuracy_dm, fix.speed_cmps].into_iter().flatten() {
            self.out.extend_from_slice(&value.to_le_bytes());
        }
        self.out.push(fix.source as u8);
    }

    fn signed(&mut self, v: i32) {
        put_varint(u64::from(zigzag(v)), self.out);
    }
}

fn flags(sample: &Sample) -> u8 {
    let mut flags = match sample.orientation {
        Orientation::None => 0,
        Orientation::Heading(_) => 2,
        Orientation::Look { .. } => 4,
        Orientation::Quaternion(_) => 6,
    };
    if sample.velocity.is_some() {
        flags |= SAMPLE_VELOCITY;
    }
    if let Some(fix) = &sample.fix {
        flags |= SAMPLE_FIX;
        flags |= if fix.accuracy_dm.is_some() { SAMPLE_ACCURACY } else { 0 };
        flags |= if fix.speed_cmps.is_some() { SAMPLE_SPEED } else { 0 };
    }
    flags
}
