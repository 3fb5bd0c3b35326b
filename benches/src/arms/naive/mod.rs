//! The naive arm: what a good developer writes in a day from the crates at hand.
//!
//! quinn with its default settings, one task per connection and one for the game, no lock; an R-tree
//! of one point per element, built anew in every tick; one bincode struct per entity and client, of
//! [`Record`], in as many datagrams as that takes.

mod server;
mod target;

pub use server::serve;
pub use target::NaiveTarget;

use serde::{Deserialize, Serialize};

/// One entity for one client: 33 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Who.
    pub id: u32,
    /// What.
    pub kind: u8,
    /// Metres.
    pub position: [f32; 3],
    /// Metres per second.
    pub velocity: [f32; 3],
    /// Degrees clockwise from +y.
    pub heading: f32,
}

/// One datagram down. A tick may take several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Down {
    tick: u32,
    /// Which of how many.
    part: u8,
    parts: u8,
    /// Number of the newest sample that was taken.
    taken: u32,
    /// Its clock, and for how long the server had it.
    time_us: u32,
    held_us: u32,
    records: Vec<Record>,
}

/// Bytes of a [`Down`] without records.
const HEAD_BYTES: usize = 4 + 1 + 1 + 4 + 4 + 4 + 8;
/// Bytes of a [`Record`].
const RECORD_BYTES: usize = 33;

/// One datagram up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Up {
    /// Counts the client's samples.
    number: u32,
    /// The client's clock.
    time_us: u32,
    entity: Record,
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(message, bincode::config::legacy())
        .expect("plain structs serialise")
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let config = bincode::config::legacy().with_limit::<65_536>();
    bincode::serde::decode_from_slice(bytes, config).ok().map(|(message, _)| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_33_bytes_and_survives() {
        let record = Record {
            id: 7,
            kind: 0,
            position: [1.0, -2.0, 3.5],
            velocity: [0.5; 3],
            heading: 90.0,
        };
        let records = vec![record; 3];
        let down = Down { tick: 9, part: 0, parts: 1, taken: 4, time_us: 5, held_us: 6, records };
        let bytes = encode(&down);
        assert_eq!(bytes.len(), HEAD_BYTES + 3 * RECORD_BYTES);
        assert_eq!(decode::<Down>(&bytes), Some(down));
    }
}
