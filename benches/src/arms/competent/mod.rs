//! The competent arm: plain UDP with its own encryption, made with care.
//!
//! Positions are on a grid of 1/64 m. A tick is a list of bits for each client: who left and who
//! came since the snapshot that the client acknowledged last, and for everyone else one bit if
//! nothing changed, or the smallest differences that say what did. Interest is a grid with
//! hysteresis; packets are received and sent many at a time; AES-128-GCM with a key agreed per client.

mod grid;
mod seal;
mod server;
mod snapshot;
mod socket;
mod target;

pub use server::serve;
pub use target::CompetentTarget;

use snapshot::State;

/// Entities that a world can hold: their numbers have so many bits.
const ID_BITS: u32 = 13;
/// Bytes of the first packet of either side: a public key and, on the way up, a number.
const HELLO_BYTES: usize = 32 + 2;
/// How often a client's clock is sent back, in ticks.
const ECHO_TICKS: u32 = 16;
/// One unit of the clocks that are sent, in microseconds.
const CLOCK_US: u64 = 64;

/// What a client sends in every tick: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Up {
    /// Counts the client's samples, low half.
    number: u16,
    /// The newest tick that was decoded, low half.
    ack: u16,
    /// The client's clock.
    clock: u16,
    state: State,
}

const UP_BYTES: usize = 16;

impl Up {
    fn write(&self) -> [u8; UP_BYTES] {
        let mut bytes = [0; UP_BYTES];
        bytes[..2].copy_from_slice(&self.number.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.ack.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.clock.to_le_bytes());
        for (axis, at) in self.state.at.iter().zip([6, 9, 12]) {
            bytes[at..at + 3].copy_from_slice(&axis.to_le_bytes()[..3]);
        }
        bytes[15] = self.state.heading;
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; UP_BYTES] = bytes.try_into().ok()?;
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let axis =
            |at: usize| i32::from_le_bytes([0, bytes[at], bytes[at + 1], bytes[at + 2]]) >> 8;
        let state = State { at: [6, 9, 12].map(axis), heading: bytes[15] };
        Some(Self { number: half(0), ack: half(2), clock: half(4), state })
    }
}

/// The number nearest to `near` whose low half is `low`.
const fn unwrap16(near: u32, low: u16) -> u32 {
    let ahead = low.wrapping_sub(near as u16) as i16;
    near.wrapping_add(ahead as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_survives() {
        let state = State { at: [-1, 70_000, -70_000], heading: 200 };
        let up = Up { number: 65_535, ack: 3, clock: 9, state };
        assert_eq!(Up::read(&up.write()), Some(up));
        assert_eq!(Up::read(&[0; 15]), None);
    }

    #[test]
    fn low_halves_are_completed_round_a_wrap() {
        assert_eq!(unwrap16(70_000, 69_990_u32 as u16), 69_990);
        assert_eq!(unwrap16(65_530, 4), 65_540);
    }
}
