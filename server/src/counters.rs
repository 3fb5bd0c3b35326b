//! What the Front counts: one atomic per thing, so that the listener can read while it runs.

use starling_protocol::close::CloseCode;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that others may read at any time.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// As of now, for things that go up and down.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares named numbers with what they mean; the text is also the help of the metric.
macro_rules! counts {
    ($(#[doc = $about:literal])+ pub struct $name:ident { $($field:ident: $help:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Default)]
        pub struct $name { $(#[doc = $help] pub $field: Count,)+ }

        impl $name {
            /// Name, meaning and value of each, in order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($field), $help, self.$field.get())),+].into_iter()
            }
        }
    };
}

counts! {
    /// Totals of a Front.
    pub struct NetTotals {
        connections_opened: "Connections that completed their handshake.",
        hellos_waited: "First messages that waited their turn because many came at once.",
        hellos_refused: "First messages that were answered with a refusal.",
        tokens_refused: "Tokens that were refused, at the door or in mid-session.",
        sessions_joined: "Sessions that began.",
        sessions_resumed: "Sessions that were taken up again.",
        datagrams_received: "Uplink datagrams.",
        datagram_bytes_received: "Bytes of uplink datagrams.",
        datagrams_early: "Uplink datagrams dropped because they came before admission.",
        datagrams_oversized: "Uplink datagrams dropped because they were too large.",
        datagrams_over_rate: "Uplink datagrams dropped unread because the client sent too many.",
        datagrams_sent: "Snapshot datagrams handed to the network.",
        datagram_bytes_sent: "Bytes of snapshot datagrams handed to the network.",
        datagrams_unsent: "Snapshot datagrams dropped because the network took no more.",
        datagrams_too_large: "Snapshot datagrams dropped because the path takes smaller ones only.",
        datagrams_too_late: "Snapshot datagrams dropped because their connection was gone.",
        stream_bytes_received: "Bytes of streams received.",
        stream_bytes_sent: "Bytes of streams handed to the network.",
        messages_received: "Messages on streams.",
        messages_malformed: "Messages on streams that could not be read.",
        messages_held: "Messages that waited their turn because the client sent too many.",
    }
}

counts! {
    /// What a Front holds now.
    pub struct NetGauges {
        connections: "Connections now.",
        sessions: "Connections that have been admitted, now.",
        unsent_bytes: "Bytes that wait for clients to read.",
        held_bytes: "Bytes of messages that wait their turn.",
    }
}

/// Connections closed, by code.
#[derive(Debug)]
pub struct Closes {
    /// One for each documented code in order, and one for all others.
    counts: Vec<Count>,
}

impl Default for Closes {
    fn default() -> Self {
        Self { counts: (0..=CloseCode::ALL.len()).map(|_| Count::default()).collect() }
    }
}

impl Closes {
    /// Counts a close.
    pub fn count(&self, code: CloseCode) {
        let place = CloseCode::ALL.iter().position(|known| *known == code);
        self.counts[place.unwrap_or(CloseCode::ALL.len())].one();
    }

    /// Closes with this documented code.
    #[must_use]
    pub fn get(&self, code: CloseCode) -> u64 {
        self.iter().find(|(label, _)| *label == code.label()).map_or(0, |(_, count)| count)
    }

    /// Label and number of each code.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let labels = CloseCode::ALL.iter().map(|code| code.label()).chain(["unknown"]);
        labels.zip(self.counts.iter().map(Count::get))
    }
}

/// Everything that one Front counts.
#[derive(Debug, Default)]
pub struct NetCounters {
    /// Totals since the start.
    pub totals: NetTotals,
    /// As of now.
    pub gauges: NetGauges,
    /// Closes that the server decided on.
    pub closes: Closes,
    /// Closes by the client, and losses.
    pub ends: Closes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_nobody_documented_are_counted_together() {
        let closes = Closes::default();
        closes.count(CloseCode::ABUSE);
        closes.count(CloseCode(77));
        closes.count(CloseCode(78));
        assert_eq!(closes.get(CloseCode::ABUSE), 1);
        assert_eq!(closes.iter().last(), Some(("unknown", 2)));
    }
}
