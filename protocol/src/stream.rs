//! The fixed set of streams of a connection.

/// Long-lived bidirectional streams, each opened by the client.
///
/// The first byte on a stream is its kind; loss on one never delays another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum StreamKind {
    /// Hello, Welcome, spawns, interests, rejections.
    Control = 0,
    /// Channels: subscribe, publish, deliver.
    Events = 1,
    /// Many enters at once.
    Bulk = 2,
    /// A host's stream of its players' inputs.
    Host = 3,
}

impl StreamKind {
    /// Every kind, in order of its number.
    pub const ALL: [Self; 4] = [Self::Control, Self::Events, Self::Bulk, Self::Host];

    /// The kind that a stream's first byte names.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}
