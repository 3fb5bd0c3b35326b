//! One connection as the Front holds it.

use super::bucket::{Bucket, Patience};
use super::unsent::Unsent;
use crate::config::Limits;
use crate::room::directory::Entry;
use crate::tenant::Scoped;
use starling_protocol::codec::{self, DecodeError};
use starling_protocol::frame::{FrameError, Frames};
use starling_protocol::limits::{HELLO_BYTES_MAX, MESSAGE_BYTES_MAX};
use starling_protocol::message::bulk::BulkUp;
use starling_protocol::message::control::ControlUp;
use starling_protocol::message::events::EventUp;
use starling_protocol::message::host::HostUp;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{Nanos, SessionId};
use std::net::SocketAddr;
use thiserror::Error;

/// A client that owns many entities sends one more datagram per tick for every so many.
const ENTITIES_PER_DATAGRAM: u32 = 40;
/// However slow a world ticks, a client may send so many datagrams a second.
const DATAGRAMS_PER_S_MIN: u32 = 20;
/// A host runs a whole world over its streams.
const HOST_FACTOR: u32 = 16;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// The peer's address when it came.
    pub(super) remote: SocketAddr,
    /// Its place in a world; `None` until it was admitted.
    pub(super) seat: Option<Seat>,
    /// Its Hello waits for its turn, and nothing else is read before.
    pub(super) waits: bool,
    /// What it has not read yet.
    pub(super) unsent: Unsent,
    lanes: [Lane; StreamKind::ALL.len()],
    datagrams: Bucket,
    patience: Patience,
}

/// The place of a connection in a world.
#[derive(Debug)]
pub(super) struct Seat {
    /// Name of the world.
    pub(super) world: String,
    /// Its room.
    pub(super) entry: Entry,
    /// Whose token it is; stays the same for the life of the connection.
    pub(super) subject: Scoped<String>,
    /// Name of the newest token.
    pub(super) token: String,
    /// Its Attach was taken in, so that its room is to hear of its end.
    pub(super) known: bool,
    /// It may host.
    pub(super) host: bool,
    /// Known once the world has welcomed it.
    pub(super) session: Option<SessionId>,
    /// Entities that it asked for and did not give back: what its datagrams are measured by.
    pub(super) entities: u32,
}

/// One stream on its way in.
#[derive(Debug)]
struct Lane {
    frames: Frames,
    bucket: Bucket,
    /// Its next message waits for a token.
    held: bool,
}

/// A message from a client.
#[derive(Debug)]
pub(super) enum Up {
    Control(ControlUp),
    Event(EventUp),
    Bulk(BulkUp),
    Host(HostUp),
}

/// What a stream has next.
#[derive(Debug)]
pub(super) enum Next {
    /// A message, and the bytes it had.
    Message(Up, usize),
    /// Not a whole message yet.
    Incomplete,
    /// The client sent too many; its messages wait. `true` when this began just now.
    Held(bool),
}

/// Why a stream cannot be read on.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Decode(#[from] DecodeError),
}

impl Connection {
    pub(super) fn new(remote: SocketAddr, limits: &Limits, now: Nanos) -> Self {
        let lane = |(per_s, burst)| Lane {
            frames: Frames::new(HELLO_BYTES_MAX),
            bucket: Bucket::new(per_s, burst, now),
            held: false,
        };
        Self {
            remote,
            seat: None,
            waits: false,
            unsent: Unsent::default(),
            lanes: StreamKind::ALL.map(|stream| lane(rate(limits, stream, false))),
            datagrams: Bucket::new(DATAGRAMS_PER_S_MIN, DATAGRAMS_PER_S_MIN, now),
            patience: Patience::default(),
        }
    }

    /// Gives it its place, and with it the limits of a known client.
    pub(super) fn seat(&mut self, seat: Seat, limits: &Limits, now: Nanos) {
        for (lane, stream) in self.lanes.iter_mut().zip(StreamKind::ALL) {
            lane.frames.set_limit(MESSAGE_BYTES_MAX);
            let (per_s, burst) = rate(limits, stream, seat.host);
            lane.bucket = Bucket::new(per_s, burst, now);
        }
        self.seat = Some(seat);
        self.measure_datagrams(limits, now);
    }

    /// Sets the rate of datagrams by what the client owns.
    pub(super) fn measure_datagrams(&mut self, limits: &Limits, now: Nanos) {
        let Some(seat) = &self.seat else { return };
        let per_tick = limits.datagrams_per_tick + seat.entities / ENTITIES_PER_DATAGRAM;
        let per_s = per_tick.saturating_mul(u32::from(seat.entry.tick_rate.hz()));
        let per_s = per_s.max(DATAGRAMS_PER_S_MIN);
        self.datagrams.set_rate(per_s, per_s, now);
    }

    /// May one more datagram pass? Says also for how long it has been too many.
    pub(super) fn datagram(&mut self, now: Nanos) -> (bool, u64) {
        let passes = self.datagrams.take(now);
        (passes, self.patience.note(passes, now))
    }

    /// Takes in the next bytes of a stream. Says how many wait now.
    pub(super) fn push(&mut self, stream: StreamKind, bytes: &[u8]) -> usize {
        let frames = &mut self.lanes[stream as usize].frames;
        frames.push(bytes);
        frames.buffered()
    }

    /// Bytes of all streams that wait to be read as messages.
    pub(super) fn buffered(&self) -> usize {
        self.lanes.iter().map(|lane| lane.frames.buffered()).sum()
    }

    /// The next message of a stream whose turn has come.
    pub(super) fn next(&mut self, stream: StreamKind, now: Nanos) -> Result<Next, Fault> {
        let lane = &mut self.lanes[stream as usize];
        if lane.frames.buffered() == 0 {
            lane.held = false;
            return Ok(Next::Incomplete);
        }
        if !lane.bucket.has(now) {
            let began = !std::mem::replace(&mut lane.held, true);
            return Ok(Next::Held(began));
        }
        lane.held = false;
        let Some(body) = lane.frames.next_frame()? else { return Ok(Next::Incomplete) };
        lane.bucket.take(now);
        Ok(Next::Message(decode(stream, body)?, body.len()))
    }
}

fn decode(stream: StreamKind, body: &[u8]) -> Result<Up, DecodeError> {
    match stream {
        StreamKind::Control => codec::decode(body).map(Up::Control),
        StreamKind::Events => codec::decode(body).map(Up::Event),
        StreamKind::Bulk => codec::decode(body).map(Up::Bulk),
        StreamKind::Host => codec::decode(body).map(Up::Host),
    }
}

/// Messages per second and at once.
fn rate(limits: &Limits, stream: StreamKind, host: bool) -> (u32, u32) {
    let (per_s, burst) = match stream {
        StreamKind::Events => (limits.events_per_s, limits.events_burst),
        StreamKind::Control | StreamKind::Bulk | StreamKind::Host => {
            (limits.control_per_s, limits.control_burst)
        }
    };
    let factor = if host { HOST_FACTOR } else { 1 };
    (per_s.saturating_mul(factor), burst.saturating_mul(factor))
}
