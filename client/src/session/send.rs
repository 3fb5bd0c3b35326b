//! What leaves: bytes of streams, and uplink datagrams.

use super::{Phase, Session};
use crate::clock::ServerClock;
use crate::event::ClientEvent;
use crate::options::KeepAlive;
use crate::session::uplink::{Cargo, Sampling, Uplink};
use starling_protocol::message::control::{ControlUp, Welcome};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;

/// An uplink goes up at least so often while anything is to be kept alive: a little before the
/// heartbeat of a silent server, which the answer then stands for.
const KEEP_ALIVE_NS_MAX: u64 = 4_500 * Nanos::MILLISECOND;
const KEEP_ALIVE_NS_MIN: u64 = 50 * Nanos::MILLISECOND;

impl Session {
    /// Bytes that wait to be written to a stream, in order; empty when none do.
    ///
    /// Whoever owns the connection writes as many as it takes and tells
    /// [`Session::stream_written`].
    #[must_use]
    pub fn poll_stream(&self, stream: StreamKind) -> &[u8] {
        self.outbox.unsent(stream)
    }

    /// So many bytes of [`Session::poll_stream`] were taken by the network.
    pub fn stream_written(&mut self, stream: StreamKind, bytes: usize) {
        self.counts.stream_bytes_out += bytes as u64;
        self.outbox.sent(stream, bytes);
        self.flush();
    }

    /// The moment that samples of own entities are wanted for, once per uplink: for programs that
    /// can say where things are at any moment. They set their poses now and then poll datagrams.
    pub fn wants_samples(&mut self, now: Nanos) -> Option<Sampling> {
        let (uplink, cargo) = self.with_cargo()?;
        uplink.wants_samples(now, &cargo)
    }

    /// Writes the next uplink datagram into `out`, which is cleared; false when none is due.
    pub fn poll_datagram(&mut self, now: Nanos, out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some((uplink, mut cargo)) = self.with_cargo() else { return false };
        let (written, carries_ack) = (uplink.poll(now, &mut cargo, out), cargo.ack.is_some());
        if written {
            self.counts.datagram_bytes_out += out.len() as u64;
            if carries_ack {
                self.view.ack_told();
            }
        }
        written
    }

    /// The number of the next uplink; the fold reports of the server speak of these.
    #[must_use]
    pub const fn next_uplink(&self) -> u16 {
        self.uplink.next_sequence()
    }

    pub(super) fn uplink_due(&mut self, now: Nanos) -> Option<Nanos> {
        let (uplink, cargo) = self.with_cargo()?;
        uplink.next_timeout(now, &cargo)
    }

    fn with_cargo(&mut self) -> Option<(&mut Uplink, Cargo<'_>)> {
        if !matches!(self.phase, Phase::Live) {
            return None;
        }
        let probe_at = self.probe_at();
        let (welcome, clock) = (self.welcome.as_deref()?, self.clock.as_ref()?);
        let cargo = Cargo {
            space: welcome.space,
            clock,
            keep_alive_ns: keep_alive_ns(self.options.keep_alive, welcome, clock),
            probe_at,
            ack: self.view.ack(),
            ack_is_news: self.view.ack_is_news(),
            owned: &mut self.owned,
            inputs: &mut self.inputs,
            cues: &mut self.cues_up,
        };
        Some((&mut self.uplink, cargo))
    }

    /// Moves what is wanted into the streams, as far as there is room.
    pub(super) fn flush(&mut self) {
        if !self.is_live() {
            return;
        }
        let Some(welcome) = self.welcome.as_deref() else { return };
        while self.outbox.has_room(StreamKind::Control) {
            let message = match self.owned.next_wanted(welcome.space, &welcome.schema) {
                Some((_, Ok(spawn))) => ControlUp::Spawn(Box::new(spawn)),
                Some((key, Err(code))) => {
                    self.queue.push(ClientEvent::SpawnRefused { key, code });
                    continue;
                }
                None => {
                    let setting = self.owned.next_untold(&welcome.schema);
                    let setting = setting.or_else(|| self.interests.next(&self.owned));
                    let Some(message) = setting else { break };
                    message
                }
            };
            let told = self.outbox.control(&message);
            debug_assert!(told.is_ok(), "there was room");
        }
        self.subscriptions.flush(&mut self.outbox);
        self.publishes.flush(&mut self.outbox);
        self.receipts.flush(&mut self.outbox);
        self.presence.flush(&mut self.outbox);
        self.pages.flush(&mut self.outbox);
        self.erasures.flush(&mut self.outbox);
    }
}

fn keep_alive_ns(policy: KeepAlive, welcome: &Welcome, clock: &ServerClock) -> Option<u64> {
    if policy == KeepAlive::Off {
        return None;
    }
    // One of them may be lost and the next a little late before the session counts as gone.
    let often = u64::from(welcome.presence_ms) * Nanos::MILLISECOND * 9 / 20;
    let least = KEEP_ALIVE_NS_MIN.max(clock.rate().period_ns());
    Some(often.clamp(least, KEEP_ALIVE_NS_MAX.max(least)))
}
