//! What a client is told in a tick, bit by bit.
//!
//! ```text
//! head      tick 16, age of the baseline 5 (0: none), low byte of the newest sample taken 8,
//!           '1' clock 16, held 12, or '0'
//! left      gamma(n + 1), n gaps in the baseline's list, gamma
//! came      gamma(n + 1), n times: number 13, three signed positions, heading 8
//! the rest  in order of number: '0', or '1', per axis a class of 2 bits and 0, 5, 8 bits or any
//!           signed value, then '0' or '1' and heading 8
//! ```

use super::ID_BITS;
use starling_protocol::bits::{BitError, BitReader, BitWriter};

/// Ticks after which a baseline is forgotten.
pub(super) const AGE_MAX: u32 = 31;
/// Steps per metre.
pub(super) const STEPS: f64 = 64.0;
/// Entities that come to one client in one tick, so that the datagram stays small.
pub(super) const CAME_MAX: usize = 48;
/// Bits of the small differences, by class.
const CLASS_BITS: [u32; 3] = [0, 5, 8];

/// One entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// In 1/64 m.
    pub(super) at: [i32; 3],
    /// In 1/256 turn.
    pub(super) heading: u8,
}

/// The beginning of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) tick: u16,
    pub(super) age: u32,
    pub(super) taken: u8,
    /// The client's clock, and for how long the server held it.
    pub(super) echo: Option<(u16, u16)>,
}

/// Longest time that an echo can say to have been held, in units of the clock.
pub(super) const HELD_MAX: u16 = 0xfff;

impl Head {
    pub(super) fn write(&self, bits: &mut BitWriter<'_>) {
        bits.put(self.tick.into(), 16);
        bits.put(self.age.into(), 5);
        bits.put(self.taken.into(), 8);
        bits.flag(self.echo.is_some());
        if let Some((clock, held)) = self.echo {
            bits.put(clock.into(), 16);
            bits.put(held.into(), 12);
        }
    }

    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, BitError> {
        let (tick, age) = (bits.take(16)? as u16, bits.take(5)? as u32);
        let taken = bits.take(8)? as u8;
        let echo = match bits.flag()? {
            true => Some((bits.take(16)? as u16, bits.take(12)? as u16)),
            false => None,
        };
        Ok(Self { tick, age, taken, echo })
    }
}

/// Writes what changed from one sorted list of entities to another; `then` and `now` look up their
/// states.
pub(super) fn write(
    bits: &mut BitWriter<'_>,
    before: &[u16],
    after: &[u16],
    then: impl Fn(u16) -> State,
    now: impl Fn(u16) -> State,
    scratch: &mut Scratch,
) {
    scratch.split(before, after);
    bits.gamma(scratch.left.len() as u64 + 1);
    let mut at = 0;
    for index in &scratch.left {
        bits.gamma(u64::from(index + 1 - at));
        at = index + 1;
    }
    bits.gamma(scratch.came.len() as u64 + 1);
    for id in &scratch.came {
        bits.put((*id).into(), ID_BITS);
        let state = now(*id);
        state.at.iter().for_each(|axis| bits.signed(*axis));
        bits.put(state.heading.into(), 8);
    }
    for id in &scratch.kept {
        write_change(bits, then(*id), now(*id));
    }
}

fn write_change(bits: &mut BitWriter<'_>, then: State, now: State) {
    bits.flag(then != now);
    if then == now {
        return;
    }
    for (then, now) in then.at.iter().zip(now.at) {
        let step = now.wrapping_sub(*then);
        let class = CLASS_BITS.iter().position(|len| fits(step, *len));
        bits.put(class.unwrap_or(CLASS_BITS.len()) as u64, 2);
        match class {
            Some(class) => {
                let len = CLASS_BITS[class];
                bits.put((step as u64) & ((1 << len) - 1), len);
            }
            None => bits.signed(step),
        }
    }
    bits.flag(then.heading != now.heading);
    if then.heading != now.heading {
        bits.put(now.heading.into(), 8);
    }
}

const fn fits(step: i32, len: u32) -> bool {
    match len {
        0 => step == 0,
        _ => step >= -(1 << (len - 1)) && step < 1 << (len - 1),
    }
}

/// Reads what [`write`] wrote, onto a baseline that is sorted by number.
pub(super) fn read(
    bits: &mut BitReader<'_>,
    before: &[(u16, State)],
    after: &mut Vec<(u16, State)>,
) -> Result<(), BitError> {
    after.clear();
    let left = read_left(bits, before.len())?;
    let came = bits.gamma()? - 1;
    for _ in 0..came {
        let id = bits.take(ID_BITS)? as u16;
        let mut at = [0; 3];
        for axis in &mut at {
            *axis = bits.signed()?;
        }
        let heading = bits.take(8)? as u8;
        after.push((id, State { at, heading }));
    }
    let mut left = left.into_iter().peekable();
    for (index, (id, then)) in before.iter().enumerate() {
        if left.next_if_eq(&index).is_none() {
            after.push((*id, read_change(bits, *then)?));
        }
    }
    after.sort_unstable_by_key(|(id, _)| *id);
    Ok(())
}

fn read_left(bits: &mut BitReader<'_>, len: usize) -> Result<Vec<usize>, BitError> {
    let count = bits.gamma()? - 1;
    let mut left = Vec::with_capacity((count as usize).min(len));
    let mut at = 0;
    for _ in 0..count {
        at += bits.gamma()? as usize;
        left.push(at - 1);
    }
    Ok(left)
}

fn read_change(bits: &mut BitReader<'_>, then: State) -> Result<State, BitError> {
    let mut now = then;
    if !bits.flag()? {
        return Ok(now);
    }
    for axis in &mut now.at {
        let class = bits.take(2)? as usize;
        let step = match CLASS_BITS.get(class) {
            Some(0) => 0,
            Some(len) => {
                let raw = bits.take(*len)? as i32;
                (raw << (32 - len)) >> (32 - len)
            }
            None => bits.signed()?,
        };
        *axis = axis.wrapping_add(step);
    }
    if bits.flag()? {
        now.heading = bits.take(8)? as u8;
    }
    Ok(now)
}

/// The three parts of a change of lists.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Places in the list before.
    left: Vec<u16>,
    came: Vec<u16>,
    kept: Vec<u16>,
}

impl Scratch {
    /// Both lists are sorted.
    fn split(&mut self, before: &[u16], after: &[u16]) {
        self.left.clear();
        self.came.clear();
        self.kept.clear();
        let mut after = after.iter().copied().peekable();
        for (index, old) in before.iter().enumerate() {
            while let Some(new) = after.next_if(|new| new < old) {
                self.came.push(new);
            }
            match after.next_if_eq(old) {
                Some(same) => self.kept.push(same),
                None => self.left.push(index as u16),
            }
        }
        self.came.extend(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(n: u16, by: i32) -> State {
        let n = i32::from(n);
        State { at: [n * 100 + by, -n, by * by * by], heading: (n + by) as u8 }
    }

    #[test]
    fn every_change_survives() {
        let before: Vec<u16> = (0..60).filter(|n| n % 3 != 0).collect();
        let after: Vec<u16> = (10..70).filter(|n| n % 4 != 1).collect();
        for by in [0, 1, -7, 15, 16, -16, -17, 127, -128, 129, 1_200] {
            let (then, now) = (|n| state(n, 0), |n| state(n, if n % 2 == 0 { by } else { 0 }));
            let mut bytes = Vec::new();
            let mut bits = BitWriter::new(&mut bytes);
            let head = Head { tick: 9, age: 3, taken: 200, echo: Some((7, HELD_MAX)) };
            head.write(&mut bits);
            write(&mut bits, &before, &after, then, now, &mut Scratch::default());
            bits.finish();
            let mut bits = BitReader::new(&bytes);
            assert_eq!(Head::read(&mut bits), Ok(head));
            let held: Vec<_> = before.iter().map(|n| (*n, then(*n))).collect();
            let mut got = Vec::new();
            assert_eq!(read(&mut bits, &held, &mut got), Ok(()));
            let wanted: Vec<_> = after.iter().map(|n| (*n, now(*n))).collect();
            assert_eq!(got, wanted, "by {by}");
        }
    }

    #[test]
    fn what_stands_still_is_one_bit() {
        let all: Vec<u16> = (0..100).collect();
        let mut bytes = Vec::new();
        let mut bits = BitWriter::new(&mut bytes);
        let still = |n| state(n, 0);
        write(&mut bits, &all, &all, still, still, &mut Scratch::default());
        bits.finish();
        assert_eq!(bytes.len(), 13);
    }
}
