//! What a channel keeps in memory and for how long.

use crate::namespace::{Keep, Namespace};
use starling_protocol::limits::{CHANNEL_BYTES_MAX, CHANNEL_EVENTS_MAX};

/// What a channel keeps in memory. The oldest events go first, whichever bound is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChannelPolicy {
    /// Events kept in memory.
    pub(crate) events_max: usize,
    /// Bytes of events kept in memory.
    pub(crate) bytes_max: usize,
    /// Milliseconds for which an event is kept.
    pub(crate) retention_ms: u32,
}

impl ChannelPolicy {
    /// A session's inbox: every session has one, so each is small.
    pub(crate) const INBOX: Self =
        Self { events_max: 256, bytes_max: 64 * 1024, retention_ms: 600_000 };

    /// A presence list, whose events are tiny and whose members can be sent anew.
    pub(crate) const PRESENCE: Self =
        Self { events_max: CHANNEL_EVENTS_MAX, bytes_max: CHANNEL_BYTES_MAX, retention_ms: 60_000 };

    /// The presence list of so many: whoever falls out of it gets all of them anew, so it keeps a
    /// part of as many, and a storm of joins costs each reader a few members for each.
    pub(crate) fn presence_of(members: usize) -> Self {
        let events_max = CHANNEL_EVENTS_MAX.max(members / 4);
        let bytes_max = CHANNEL_BYTES_MAX.max(events_max * 128);
        Self { events_max, bytes_max, ..Self::PRESENCE }
    }

    /// The newest part of what a namespace keeps: at most the shared limits.
    pub(crate) fn of(namespace: &Namespace) -> Self {
        let Keep { age_ms, events, bytes } = namespace.keep;
        let within = |value: u64, most: usize| value.min(most as u64) as usize;
        Self {
            events_max: within(events, CHANNEL_EVENTS_MAX),
            bytes_max: within(bytes, CHANNEL_BYTES_MAX),
            retention_ms: age_ms.min(u32::MAX.into()) as u32,
        }
    }
}
