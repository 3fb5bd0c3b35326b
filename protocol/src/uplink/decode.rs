//! Reading an uplink datagram. Borrows from it and allocates nothing.

use super::{
    ACK, Ack, CUES, CUES_PER_DATAGRAM_MAX, CueScope, CueUp, INPUTS, InputUp, RESERVED,
    SAMPLE_ACCURACY, SAMPLE_FIX, SAMPLE_SPEED, SAMPLE_VELOCITY, SAMPLES, SampleUp, TYPE_MASK,
    UPLINK_TYPE, UplinkError,
};
use crate::bits::{take_varint, unzigzag, unzigzag64};
use crate::limits::{
    CUE_BYTES_MAX, CUE_TICKS_MAX, DATAGRAM_BYTES_MAX, INPUT_BYTES_MAX, INPUTS_PER_DATAGRAM_MAX,
};
use crate::sample::{Fix, FixSource, Orientation, Sample};
use crate::space::{IPos, Space};
use crate::units::Handle;

/// A datagram that was checked from end to end.
#[derive(Clone, Debug)]
pub struct Uplink<'a> {
    /// Counts this client's datagrams.
    pub sequence: u16,
    /// Low 16 bits of the tick that the client labels it with.
    pub tick: u16,
    /// Which snapshots have arrived.
    pub ack: Option<Ack>,
    inputs: Inputs<'a>,
    cues: Cues<'a>,
    samples: Samples<'a>,
}

impl<'a> Uplink<'a> {
    /// The datagram that exactly these bytes are. Positions may lie outside the space: admission
    /// answers those, each by itself.
    ///
    /// # Errors
    /// [`UplinkError`]; nothing of the datagram is to be used.
    pub fn decode(space: Space, bytes: &'a [u8]) -> Result<Self, UplinkError> {
        Self::read(bytes, |rest| Samples::check(space, rest))
    }

    /// The same of bytes that [`Uplink::decode`] took before: their samples are not looked through
    /// once more.
    ///
    /// # Errors
    /// [`UplinkError`] for other bytes, or none; of those, samples may be missing.
    pub fn decode_again(space: Space, bytes: &'a [u8]) -> Result<Self, UplinkError> {
        Self::read(bytes, |rest| {
            let rest = Bytes(std::mem::take(&mut rest.0));
            Ok(Samples { rest, space, first_fix_ms: None })
        })
    }

    fn read(
        bytes: &'a [u8],
        samples: impl FnOnce(&mut Bytes<'a>) -> Result<Samples<'a>, UplinkError>,
    ) -> Result<Self, UplinkError> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(UplinkError::TooLarge);
        }
        let mut rest = Bytes(bytes);
        let flags = rest.u8()?;
        if flags & TYPE_MASK != UPLINK_TYPE || flags & RESERVED != 0 {
            return Err(UplinkError::Type);
        }
        let (sequence, tick) = (rest.u16()?, rest.u16()?);
        let ack = if flags & ACK != 0 { Some(rest.ack()?) } else { None };
        let inputs = if flags & INPUTS != 0 { Inputs::check(&mut rest)? } else { Inputs::EMPTY };
        let cues = if flags & CUES != 0 { Cues::check(&mut rest)? } else { Cues::EMPTY };
        let samples = if flags & SAMPLES != 0 { samples(&mut rest)? } else { Samples::EMPTY };
        if !rest.0.is_empty() {
            return Err(UplinkError::Trailing);
        }
        Ok(Self { sequence, tick, ack, inputs, cues, samples })
    }

    /// Says nothing but that it was sent: it asks whether the server is there.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.ack.is_none() && !self.says_anything()
    }

    /// Are there inputs, cues or samples?
    #[must_use]
    pub fn says_anything(&self) -> bool {
        self.inputs.left > 0 || self.cues.left > 0 || !self.samples.rest.0.is_empty()
    }

    /// Are there neither inputs nor cues?
    #[must_use]
    pub fn samples_alone(&self) -> bool {
        self.inputs.left == 0 && self.cues.left == 0
    }

    /// The inputs, oldest first.
    #[must_use]
    pub fn inputs(&self) -> Inputs<'a> {
        self.inputs.clone()
    }

    /// The cues.
    #[must_use]
    pub fn cues(&self) -> Cues<'a> {
        self.cues.clone()
    }

    /// The samples, in the order of sending.
    #[must_use]
    pub fn samples(&self) -> Samples<'a> {
        self.samples.clone()
    }
}

/// Numbered inputs of a datagram, oldest first.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    rest: Bytes<'a>,
    next: u16,
    left: u8,
}

impl<'a> Inputs<'a> {
    const EMPTY: Self = Self { rest: Bytes(&[]), next: 0, left: 0 };

    fn check(bytes: &mut Bytes<'a>) -> Result<Self, UplinkError> {
        let (newest, count) = (bytes.u16()?, bytes.u8()?);
        if !(1..=INPUTS_PER_DATAGRAM_MAX).contains(&usize::from(count)) {
            return Err(UplinkError::OutOfRange);
        }
        let next = newest.wrapping_sub(u16::from(count) - 1);
        let inputs = Self { rest: bytes.clone(), next, left: count };
        for _ in 0..count {
            bytes.slice(INPUT_BYTES_MAX)?;
        }
        Ok(inputs)
    }
}

impl<'a> Iterator for Inputs<'a> {
    type Item = InputUp<'a>;

    fn next(&mut self) -> Option<InputUp<'a>> {
        self.left = self.left.checked_sub(1)?;
        let number = self.next;
        self.next = number.wrapping_add(1);
        Some(InputUp { number, payload: self.rest.slice(INPUT_BYTES_MAX).ok()? })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Inputs<'_> {}

/// Cues of a datagram.
#[derive(Clone, Debug)]
pub struct Cues<'a> {
    rest: Bytes<'a>,
    left: u8,
}

impl<'a> Cues<'a> {
    const EMPTY: Self = Self { rest: Bytes(&[]), left: 0 };

    fn check(bytes: &mut Bytes<'a>) -> Result<Self, UplinkError> {
        let count = bytes.u8()?;
        if !(1..=CUES_PER_DATAGRAM_MAX).contains(&usize::from(count)) {
            return Err(UplinkError::OutOfRange);
        }
        let cues = Self { rest: bytes.clone(), left: count };
        for _ in 0..count {
            bytes.cue()?;
        }
        Ok(cues)
    }
}

impl<'a> Iterator for Cues<'a> {
    type Item = CueUp<'a>;

    fn next(&mut self) -> Option<CueUp<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.rest.cue().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Cues<'_> {}

/// Samples of a datagram.
#[derive(Clone, Debug)]
pub struct Samples<'a> {
    rest: Bytes<'a>,
    space: Space,
    first_fix_ms: Option<u64>,
}

impl<'a> Samples<'a> {
    const EMPTY: Self = Self { rest: Bytes(&[]), space: Space::Metric, first_fix_ms: None };

    fn check(space: Space, bytes: &mut Bytes<'a>) -> Result<Self, UplinkError> {
        let samples = Self { rest: bytes.clone(), space, first_fix_ms: None };
        let mut each = samples.clone();
        each.read()?;
        while !each.rest.0.is_empty() {
            each.read()?;
        }
        *bytes = each.rest;
        Ok(samples)
    }

    fn read(&mut self) -> Result<SampleUp, UplinkError> {
        let handle = Handle(u16::try_from(self.rest.varint()?).map_err(out_of_range)?);
        let sequence = self.rest.u16()?;
        let flags = self.rest.u8()?;
        let fix_only = SAMPLE_ACCURACY | SAMPLE_SPEED;
        if flags & RESERVED != 0 || (flags & SAMPLE_FIX == 0 && flags & fix_only != 0) {
            return Err(UplinkError::OutOfRange);
        }
        let position = self.rest.position(self.space)?;
        let velocity = if flags & SAMPLE_VELOCITY != 0 { Some(self.rest.triple()?) } else { None };
        let orientation = self.rest.orientation(flags >> 1 & 3)?;
        let fix = if flags & SAMPLE_FIX != 0 { Some(self.fix(flags)?) } else { None };
        Ok(SampleUp { handle, sequence, sample: Sample { position, velocity, orientation, fix } })
    }

    fn fix(&mut self, flags: u8) -> Result<Fix, UplinkError> {
        let coded = self.rest.varint()?;
        let time_ms =
            self.first_fix_ms.map_or(coded, |first| first.wrapping_add_signed(unzigzag64(coded)));
        self.first_fix_ms.get_or_insert(time_ms);
        let accuracy_dm = if flags & SAMPLE_ACCURACY != 0 { Some(self.rest.u16()?) } else { None };
        let speed_cmps = if flags & SAMPLE_SPEED != 0 { Some(self.rest.u16()?) } else { None };
        let source = match self.rest.u8()? {
            0 => FixSource::Unknown,
            1 => FixSource::Gnss,
            2 => FixSource::Network,
            3 => FixSource::Manual,
            _ => return Err(UplinkError::OutOfRange),
        };
        Ok(Fix { time_ms, accuracy_dm, speed_cmps, source })
    }
}

impl Iterator for Samples<'_> {
    type Item = SampleUp;

    fn next(&mut self) -> Option<SampleUp> {
        if self.rest.0.is_empty() { None } else { self.read().ok() }
    }
}

/// What is left of a datagram.
#[derive(Clone, Debug)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], UplinkError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(UplinkError::Truncated)?;
        self.0 = tail;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, UplinkError> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, UplinkError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, UplinkError> {
        self.array().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, UplinkError> {
        self.array().map(i32::from_le_bytes)
    }

    fn varint(&mut self) -> Result<u64, UplinkError> {
        let (value, rest) = take_varint(self.0)?;
        self.0 = rest;
        Ok(value)
    }

    fn signed(&mut self) -> Result<i32, UplinkError> {
        u32::try_from(self.varint()?).map(unzigzag).map_err(out_of_range)
    }

    fn triple(&mut self) -> Result<[i32; 3], UplinkError> {
        Ok([self.signed()?, self.signed()?, self.signed()?])
    }

    /// A length byte of at most `max` and as many bytes.
    fn slice(&mut self, max: usize) -> Result<&'a [u8], UplinkError> {
        let len = usize::from(self.u8()?);
        if len > max {
            return Err(UplinkError::OutOfRange);
        }
        let (head, tail) = self.0.split_at_checked(len).ok_or(UplinkError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    fn ack(&mut self) -> Result<Ack, UplinkError> {
        Ok(Ack { tick: self.u16()?, sequence: self.u8()?, bits: self.u32()? })
    }

    fn cue(&mut self) -> Result<CueUp<'a>, UplinkError> {
        let (id, kind, life) = (self.u16()?, self.u8()?, self.u8()?);
        if u32::from(life) > CUE_TICKS_MAX {
            return Err(UplinkError::OutOfRange);
        }
        let scope = self.scope()?;
        Ok(CueUp { id, kind, life, scope, payload: self.slice(CUE_BYTES_MAX)? })
    }

    fn scope(&mut self) -> Result<CueScope, UplinkError> {
        Ok(match self.u8()? {
            0 => CueScope::NearMine { entity: Handle(self.u16()?), radius_m: self.radius()? },
            1 => CueScope::WatchersOfMine { entity: Handle(self.u16()?) },
            2 => {
                let center = IPos([self.i32()?, self.i32()?, self.i32()?]);
                CueScope::Near { center, radius_m: self.radius()? }
            }
            3 => CueScope::World,
            _ => return Err(UplinkError::OutOfRange),
        })
    }

    fn radius(&mut self) -> Result<f32, UplinkError> {
        let radius_m = f32::from_bits(self.u32()?);
        let sound = radius_m.is_finite() && radius_m >= 0.0;
        if sound { Ok(radius_m) } else { Err(UplinkError::OutOfRange) }
    }

    fn position(&mut self, space: Space) -> Result<IPos, UplinkError> {
        Ok(IPos(match space {
            Space::Metric => self.triple()?,
            Space::Geodetic => [self.i32()?, self.i32()?, self.signed()?],
        }))
    }

    fn orientation(&mut self, kind: u8) -> Result<Orientation, UplinkError> {
        Ok(match kind {
            1 => Orientation::Heading(self.u8()?),
            2 => {
                let [low, middle, high] = self.array()?;
                let packed = u32::from_le_bytes([low, middle, high, 0]);
                if packed >> 23 != 0 {
                    return Err(UplinkError::OutOfRange);
                }
                Orientation::Look { yaw: (packed & 0xfff) as u16, pitch: (packed >> 12) as u16 }
            }
            3 => Orientation::Quaternion(self.u32()?),
            _ => Orientation::None,
        })
    }
}

const fn out_of_range(_: std::num::TryFromIntError) -> UplinkError {
    UplinkError::OutOfRange
}
