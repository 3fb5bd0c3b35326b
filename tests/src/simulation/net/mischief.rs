//! What a client does that has said a proper Hello and then breaks the protocol: it speaks under
//! QUIC's encryption, so that all of it reaches the server's own decoders.

use crate::simulation::dice::Dice;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::quic::ClientEndpoint;
use starling_transport::{ConnKey, SendError};
use std::collections::BTreeMap;

/// A Hello is left as it is, so that mischief begins inside.
const FIRST_BYTES: usize = 24;
/// Time between two strikes, on average.
const STRIKE_NS: u64 = 80 * Nanos::MILLISECOND;

#[derive(Debug)]
pub(super) struct Mischief {
    dice: Dice,
    next: Nanos,
    /// Bytes that each connection wrote to its control stream.
    written: BTreeMap<ConnKey, usize>,
    /// What was said on control streams at the beginning: Hellos, with the tokens in them.
    hellos: Vec<Vec<u8>>,
    last: Vec<u8>,
    /// What its own side did not take: the server closed it, or a buffer was full.
    refused: u64,
}

impl Mischief {
    pub(super) fn new(dice: Dice) -> Self {
        Self {
            dice,
            next: Nanos(0),
            written: BTreeMap::new(),
            hellos: Vec::new(),
            last: Vec::new(),
            refused: 0,
        }
    }

    /// A datagram, more or less.
    pub(super) fn datagram(&mut self, payload: &[u8]) -> Vec<u8> {
        self.last = payload.to_vec();
        let mut bytes = payload.to_vec();
        if self.dice.chance(0.3) {
            self.spoil(&mut bytes);
        }
        bytes
    }

    /// Bytes of a stream, more or less.
    pub(super) fn write(
        &mut self,
        now: Nanos,
        endpoint: &mut ClientEndpoint,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        let written = self.written.entry(conn).or_default();
        let first = stream == StreamKind::Control && *written < FIRST_BYTES;
        if stream == StreamKind::Control {
            *written += bytes.len();
        }
        if first {
            self.hellos.push(bytes.to_vec());
            self.hellos.drain(..self.hellos.len().saturating_sub(8));
            // A Hello of former times: the token in it was used already.
            if self.dice.chance(0.2) {
                let old = self.hellos[self.dice.below(self.hellos.len() as u64) as usize].clone();
                endpoint.write(now, conn, stream, &old)?;
                return Ok(bytes.len());
            }
            return endpoint.write(now, conn, stream, bytes);
        }
        let mut spoilt = bytes.to_vec();
        if self.dice.chance(0.2) {
            self.spoil(&mut spoilt);
        }
        endpoint.write(now, conn, stream, &spoilt)?;
        Ok(bytes.len())
    }

    /// Says something of its own now and then.
    pub(super) fn strike(&mut self, now: Nanos, sockets: &mut BTreeMap<ConnKey, ClientEndpoint>) {
        if now < self.next {
            return;
        }
        self.next = now + self.dice.below(2 * STRIKE_NS);
        let (kind, stream) = (self.dice.below(5), self.dice.below(StreamKind::ALL.len() as u64));
        let stream = StreamKind::ALL[stream as usize];
        let Some((conn, endpoint)) = sockets.iter_mut().last() else { return };
        let mut noise = self.noise();
        let said = match kind {
            0 => (0..40).try_for_each(|_| endpoint.send_datagram(*conn, &self.last)),
            1 => endpoint.send_datagram(*conn, &noise),
            2 => endpoint.write(now, *conn, stream, &noise).map(drop),
            // The beginning of something long that never comes.
            3 => endpoint.write(now, *conn, stream, &[0xff, 0xff, 0x03]).map(drop),
            _ => {
                noise.truncate(1);
                endpoint.write(now, *conn, stream, &noise).map(drop)
            }
        };
        self.refused += u64::from(said.is_err());
    }

    fn noise(&mut self) -> Vec<u8> {
        let length = 1 + self.dice.below(300);
        (0..length).map(|_| self.dice.next() as u8).collect()
    }

    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let place = self.dice.below(bytes.len() as u64) as usize;
        match self.dice.below(4) {
            0 => bytes.truncate(place),
            1 => bytes[place] ^= 1 << self.dice.below(8),
            2 => bytes[place] = self.dice.next() as u8,
            _ => bytes.insert(place, self.dice.next() as u8),
        }
    }
}
