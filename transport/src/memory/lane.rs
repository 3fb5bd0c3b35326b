//! One direction of a memory link: datagrams as the conditioner leaves them, streams made whole.
//!
//! Stream bytes travel in numbered segments that are sent again until they arrive, so that loss
//! becomes delay. Acknowledgements are not simulated: a sender knows at once what has arrived.

use crate::CLOSE_LINGER_NS;
use crate::conditioner::{Conditioner, ConditionerStats, LinkProfile, Packet};
use bytes::{Bytes, BytesMut};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::collections::BTreeMap;

/// Stream bytes of one direction that were written and not yet read: the send window of QUIC.
pub(super) const STREAM_WINDOW_BYTES: usize = 64 * 1024;
/// Bytes of one stream segment: what fits one packet.
const SEGMENT_BYTES: usize = 1_100;
/// What QUIC adds to a payload: header, packet number, frame header, tag.
const OVERHEAD_BYTES: usize = 30;
/// First retransmission beyond one and a half round trips.
const RETRY_NS_MIN: u64 = 25 * Nanos::MILLISECOND;
/// Retransmissions double their distance up to this.
const RETRY_NS_MAX: u64 = Nanos::SECOND;
/// What a window of an unlimited link lets through in one go.
const UNLIMITED_DATAGRAM_BYTES: u64 = 32 * 1024;

/// What travels.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Open,
    Accept,
    Ping,
    Segment { stream: StreamKind, index: u64, bytes: Bytes },
    Datagram(Bytes),
    Close { code: CloseCode, reason: String },
}

/// What comes out at the far end, in order for each stream.
#[derive(Debug)]
pub(super) enum Arrival {
    Open,
    Accept,
    Stream {
        stream: StreamKind,
        bytes: Bytes,
    },
    Datagram(Bytes),
    Close {
        code: CloseCode,
        reason: String,
    },
    /// Something arrived that says no more than that the peer lives.
    Echo,
}

#[derive(Clone, Debug)]
struct Frame {
    /// Names a frame that is sent again until it arrives; `None` for a datagram.
    number: Option<u64>,
    body: Body,
    damaged: bool,
}

impl Packet for Frame {
    fn payload_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Segment { bytes, .. } | Body::Datagram(bytes) => bytes.len(),
            // A handshake fills its packets, by rule of the protocol.
            Body::Open | Body::Accept => SEGMENT_BYTES,
            Body::Close { reason, .. } => reason.len(),
            Body::Ping => 1,
        };
        body + OVERHEAD_BYTES
    }

    fn corrupt(&mut self, _random: u64) {
        self.damaged = true;
    }
}

#[derive(Debug)]
struct Unacked {
    body: Body,
    retry_at: Nanos,
    wait_ns: u64,
}

#[derive(Debug)]
struct Closing {
    code: CloseCode,
    reason: String,
    deadline: Nanos,
}

#[derive(Debug)]
pub(super) struct Lane {
    wire: Conditioner<Frame>,
    /// Written and not yet cut into segments, by stream.
    pending: [BytesMut; StreamKind::ALL.len()],
    /// Segments cut so far, by stream.
    cut: [u64; StreamKind::ALL.len()],
    /// Frames that have not arrived yet.
    unacked: BTreeMap<u64, Unacked>,
    numbers: u64,
    /// Segments handed on so far, by stream.
    delivered: [u64; StreamKind::ALL.len()],
    /// Segments that arrived before one that they follow.
    early: BTreeMap<(StreamKind, u64), Bytes>,
    /// Bytes written and not yet read by the far application.
    held_bytes: usize,
    closing: Option<Closing>,
}

impl Lane {
    pub(super) fn new(profile: LinkProfile, seed: u64, start: Nanos) -> Self {
        Self {
            wire: Conditioner::new(profile, seed).started_at(start),
            pending: Default::default(),
            cut: [0; StreamKind::ALL.len()],
            unacked: BTreeMap::new(),
            numbers: 0,
            delivered: [0; StreamKind::ALL.len()],
            early: BTreeMap::new(),
            held_bytes: 0,
            closing: None,
        }
    }

    pub(super) fn profile(&self) -> &LinkProfile {
        self.wire.profile()
    }

    pub(super) fn set_profile(&mut self, profile: LinkProfile) {
        self.wire.set_profile(profile);
    }

    pub(super) fn stats(&self) -> ConditionerStats {
        *self.wire.stats()
    }

    pub(super) fn rebinds_due(&mut self, now: Nanos) -> u64 {
        self.wire.rebinds_due(now)
    }

    /// Bytes that [`Lane::write`] will still take.
    pub(super) const fn stream_space(&self) -> usize {
        STREAM_WINDOW_BYTES - self.held_bytes
    }

    /// Bytes of datagrams that would not wait long at the bottleneck.
    pub(super) fn datagram_space(&self, now: Nanos) -> u64 {
        if self.profile().rate_bps.is_none() {
            return UNLIMITED_DATAGRAM_BYTES;
        }
        (self.profile().queue_bytes / 2).saturating_sub(self.wire.backlog_bytes(now))
    }

    /// Takes what the window has room for.
    pub(super) fn write(&mut self, stream: StreamKind, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.stream_space());
        self.pending[stream as usize].extend_from_slice(&bytes[..taken]);
        self.held_bytes += taken;
        taken
    }

    /// The far application has read `bytes` of a stream.
    pub(super) fn release(&mut self, bytes: usize) {
        self.held_bytes -= bytes;
    }

    /// Sends what was written.
    pub(super) fn flush(&mut self, now: Nanos) {
        for stream in StreamKind::ALL {
            while !self.pending[stream as usize].is_empty() {
                self.send_segment(now, stream);
            }
        }
    }

    fn send_segment(&mut self, now: Nanos, stream: StreamKind) {
        let pending = &mut self.pending[stream as usize];
        let bytes = pending.split_to(pending.len().min(SEGMENT_BYTES)).freeze();
        let index = self.cut[stream as usize];
        self.cut[stream as usize] += 1;
        self.send_reliably(now, Body::Segment { stream, index, bytes });
    }

    pub(super) fn send_datagram(&mut self, now: Nanos, payload: &[u8]) {
        let body = Body::Datagram(Bytes::copy_from_slice(payload));
        self.wire.push(now, Frame { number: None, body, damaged: false });
    }

    pub(super) fn send_reliably(&mut self, now: Nanos, body: Body) {
        self.numbers += 1;
        let profile = self.wire.profile();
        let wait_ns = (3 * (profile.delay_ns + profile.jitter_ns)).max(RETRY_NS_MIN);
        let number = self.numbers;
        let frame = Frame { number: Some(number), body: body.clone(), damaged: false };
        self.unacked.insert(number, Unacked { body, retry_at: now + wait_ns, wait_ns });
        self.wire.push(now, frame);
    }

    /// Says goodbye once all that was written has arrived, or the time to linger is over.
    pub(super) fn close(&mut self, now: Nanos, code: CloseCode, reason: String) {
        self.flush(now);
        self.closing = Some(Closing { code, reason, deadline: now + CLOSE_LINGER_NS });
        self.say_goodbye(now);
    }

    /// Whether all that was sent reliably has arrived.
    pub(super) fn is_quiet(&self) -> bool {
        self.unacked.is_empty()
    }

    pub(super) fn next_rebind(&self) -> Option<Nanos> {
        self.wire.next_rebind()
    }

    /// When a packet or a timer is due on this lane.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        let retry = self.unacked.values().map(|frame| frame.retry_at).min();
        let linger = self.closing.as_ref().map(|closing| closing.deadline);
        [self.wire.next_due(), retry, linger].into_iter().flatten().min()
    }

    /// Does what is due at `now`; with the cable `cut`, what would arrive is lost.
    pub(super) fn step(&mut self, now: Nanos, cut: bool, arrivals: &mut Vec<Arrival>) {
        self.retry(now);
        while let Some(frame) = self.wire.pop(now) {
            if !cut && !frame.damaged {
                self.receive(frame, arrivals);
            }
        }
        self.say_goodbye(now);
    }

    fn retry(&mut self, now: Nanos) {
        let (wire, unacked) = (&mut self.wire, &mut self.unacked);
        for (&number, frame) in unacked.iter_mut().filter(|(_, frame)| frame.retry_at <= now) {
            frame.wait_ns = (2 * frame.wait_ns).min(RETRY_NS_MAX);
            frame.retry_at = now + frame.wait_ns;
            let body = frame.body.clone();
            wire.push(now, Frame { number: Some(number), body, damaged: false });
        }
    }

    fn receive(&mut self, frame: Frame, arrivals: &mut Vec<Arrival>) {
        let fresh = frame.number.is_none_or(|number| self.unacked.remove(&number).is_some());
        if !fresh {
            return;
        }
        match frame.body {
            Body::Open => arrivals.push(Arrival::Open),
            Body::Accept => arrivals.push(Arrival::Accept),
            Body::Ping => arrivals.push(Arrival::Echo),
            Body::Datagram(bytes) => arrivals.push(Arrival::Datagram(bytes)),
            Body::Close { code, reason } => arrivals.push(Arrival::Close { code, reason }),
            Body::Segment { stream, index, bytes } => {
                self.early.insert((stream, index), bytes);
                arrivals.push(Arrival::Echo);
                self.hand_on(stream, arrivals);
            }
        }
    }

    fn hand_on(&mut self, stream: StreamKind, arrivals: &mut Vec<Arrival>) {
        let delivered = &mut self.delivered[stream as usize];
        while let Some(bytes) = self.early.remove(&(stream, *delivered)) {
            *delivered += 1;
            arrivals.push(Arrival::Stream { stream, bytes });
        }
    }

    fn say_goodbye(&mut self, now: Nanos) {
        let due = |closing: &Closing| self.unacked.is_empty() || closing.deadline <= now;
        if !self.closing.as_ref().is_some_and(due) {
            return;
        }
        if let Some(Closing { code, reason, .. }) = self.closing.take() {
            self.unacked.clear();
            self.send_reliably(now, Body::Close { code, reason });
        }
    }
}
