//! What a session counted.

/// Counts since the session was made, and estimates of its link.
///
/// ```
/// # use starling_client::{ConnectOptions, Session};
/// # use starling_protocol::units::Nanos;
/// # let session = Session::new(Nanos(0), ConnectOptions::new("plaza"));
/// let stats = session.stats();
/// let rtt_ms = f64::from(stats.rtt_us) / 1e3;
/// println!("{rtt_ms:.1} ms, {} of {} lost", stats.datagrams_lost, stats.datagrams_in);
/// assert_eq!(stats.breaches, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Their bytes.
    pub datagram_bytes_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Their bytes.
    pub datagram_bytes_out: u64,
    /// Bytes received on streams.
    pub stream_bytes_in: u64,
    /// Bytes sent on streams.
    pub stream_bytes_out: u64,
    /// Datagrams that did not decode; they changed nothing and were not acknowledged.
    pub decode_errors: u64,
    /// Datagrams that were too old or came twice.
    pub datagrams_stale: u64,
    /// Snapshot datagrams that never arrived, as far as their numbers tell.
    pub datagrams_lost: u64,
    /// Uplinks that the server never folded.
    pub uplinks_lost: u64,
    /// Samples sent, repetitions included.
    pub samples_sent: u64,
    /// Ticks of which at least one datagram arrived.
    pub ticks_heard: u64,
    /// Times the server broke the protocol: an event twice, a hole, an answer to nothing.
    pub breaches: u64,
    /// Cues that were pushed out by newer ones because nobody took them.
    pub cues_dropped: u64,
    /// Attempts to connect again.
    pub reconnects: u64,
    /// Times a second connection was asked for because the first fell silent.
    pub races: u64,
    /// Times the connection was given up because the application took no events.
    pub slow_consumer: u64,
    /// Smoothed round-trip time in microseconds, server's holding time taken off.
    pub rtt_us: u32,
    /// Mean difference of neighbouring ticks' delays in microseconds.
    pub jitter_us: u32,
}

/// Those of [`Stats`] that the session counts itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) datagrams_in: u64,
    pub(super) datagram_bytes_in: u64,
    pub(super) datagram_bytes_out: u64,
    pub(super) stream_bytes_in: u64,
    pub(super) stream_bytes_out: u64,
    pub(super) decode_errors: u64,
    pub(super) datagrams_stale: u64,
    pub(super) ticks_heard: u64,
    pub(super) breaches: u64,
    pub(super) reconnects: u64,
    pub(super) slow_consumer: u64,
    pub(super) races: u64,
}

impl super::Session {
    /// What the session counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counts = &self.counts;
        let us = |ns: u64| u32::try_from(ns / 1_000).unwrap_or(u32::MAX);
        Stats {
            datagrams_in: counts.datagrams_in,
            datagram_bytes_in: counts.datagram_bytes_in,
            datagrams_out: self.uplink.counts.sent,
            datagram_bytes_out: counts.datagram_bytes_out,
            stream_bytes_in: counts.stream_bytes_in,
            stream_bytes_out: counts.stream_bytes_out,
            decode_errors: counts.decode_errors,
            datagrams_stale: counts.datagrams_stale,
            datagrams_lost: self.view.datagrams_lost(),
            uplinks_lost: self.uplink.counts.lost,
            samples_sent: self.uplink.counts.samples,
            ticks_heard: counts.ticks_heard,
            breaches: counts.breaches,
            cues_dropped: self.queue.cues_dropped,
            reconnects: counts.reconnects,
            slow_consumer: counts.slow_consumer,
            races: counts.races,
            rtt_us: self.clock.as_ref().and_then(|c| c.rtt_ns()).map_or(0, us),
            jitter_us: self.clock.as_ref().map_or(0, |c| us(c.jitter_ns())),
        }
    }
}
