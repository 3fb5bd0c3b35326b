//! Namespaces: what a channel is like, decided by the beginning of its name.
//!
//! A namespace covers the channel that has its name and every channel whose name goes on with a
//! `/` after it: `chat` covers `chat` and `chat/lobby`, and not `chatter`. The one with no name
//! covers all. Where several cover a channel, the longest one decides; where none does, there is no
//! such channel.

use serde::{Deserialize, Serialize};
use starling_protocol::limits::{CHANNEL_BYTES_MAX, CHANNEL_EVENTS_MAX, EVENT_BYTES_MAX};
use starling_protocol::message::events::DeliveryClass;
use std::sync::Arc;

/// The beginning of the names of users' own inboxes.
pub const USERS: &str = "user";

/// Namespaces of one world.
pub const NAMESPACES_MAX: usize = 64;

/// What is kept of a channel's events. The oldest go first, whichever bound is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Milliseconds.
    pub age_ms: u64,
    /// Events.
    pub events: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Keep {
    /// The newest in memory, for as long as a lost session stays parked by default.
    pub const MEMORY: Self = Self {
        age_ms: 600_000,
        events: CHANNEL_EVENTS_MAX as u64,
        bytes: CHANNEL_BYTES_MAX as u64,
    };

    /// A day on the disk.
    pub const DURABLE: Self =
        Self { age_ms: 24 * 3_600_000, events: 1_000_000, bytes: 256 * 1024 * 1024 };
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Durability {
    /// The event is in the server's memory, and gone with it.
    #[default]
    Memory,
    /// The event is on stable storage. A world without a store has none and keeps it in memory.
    Durable,
}

/// Who may do something in every channel of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    /// Whose token grants it.
    #[default]
    Granted,
    /// Everyone who may enter the world.
    Everyone,
    /// The server alone, whatever a token says.
    Nobody,
}

/// What the channels of a namespace are like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// The beginning of their names, without a `/` at its end; none covers every channel.
    pub name: String,
    /// How their events are delivered.
    pub class: DeliveryClass,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// What is kept of their events. Memory holds the newest part of it.
    pub keep: Keep,
    /// Have they members?
    pub presence: bool,
    /// May their events set keys?
    pub state: bool,
    /// Bytes of one payload.
    pub payload_bytes_max: usize,
    /// Publishes of one session in all of them together in a second, and at once after a pause;
    /// `None` for no bound but the session's own.
    pub publishes_per_second: Option<u32>,
    /// Who may follow them and read their history.
    pub subscribe: Access,
    /// Who may publish to them.
    pub publish: Access,
}

impl Namespace {
    /// Channels in memory with everything on, for those to whom it is granted.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            class: DeliveryClass::Ordered,
            durability: Durability::Memory,
            keep: Keep::MEMORY,
            presence: true,
            state: true,
            payload_bytes_max: EVENT_BYTES_MAX,
            publishes_per_second: None,
            subscribe: Access::Granted,
            publish: Access::Granted,
        }
    }

    /// The same with events on stable storage, kept for a day.
    #[must_use]
    pub fn durable(self) -> Self {
        Self { durability: Durability::Durable, keep: Keep::DURABLE, ..self }
    }

    /// The inboxes of users: durable, without members.
    fn users() -> Self {
        Self { presence: false, ..Self::new(USERS).durable() }
    }

    /// Does it cover this channel?
    #[must_use]
    pub fn covers(&self, channel: &str) -> bool {
        match channel.strip_prefix(self.name.as_str()) {
            Some(rest) => self.name.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

/// The namespaces of a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// The longest name first.
    longest_first: Vec<Arc<Namespace>>,
}

impl Default for Namespaces {
    /// Every name is a channel, in memory.
    fn default() -> Self {
        Self::of(vec![Namespace::new("")])
    }
}

impl Namespaces {
    /// These, and that of the users' inboxes where it is not among them.
    #[must_use]
    pub fn of(mut namespaces: Vec<Namespace>) -> Self {
        if namespaces.iter().all(|namespace| namespace.name != USERS) {
            namespaces.push(Namespace::users());
        }
        namespaces.sort_by(|a, b| (b.name.len(), &b.name).cmp(&(a.name.len(), &a.name)));
        Self { longest_first: namespaces.into_iter().map(Arc::new).collect() }
    }

    /// The one that decides about this channel; `None` where there can be no such channel.
    #[must_use]
    pub fn find(&self, channel: &str) -> Option<&Arc<Namespace>> {
        self.longest_first.iter().find(|namespace| namespace.covers(channel))
    }

    /// The first that somebody wants on stable storage. The users' inboxes are there in any case, and
    /// in memory where there is no store.
    #[must_use]
    pub fn wants_store(&self) -> Option<&Namespace> {
        let users = Namespace::users();
        self.iter().find(|one| one.durability == Durability::Durable && **one != users)
    }

    /// All of them, the longest name first.
    pub fn iter(&self) -> impl Iterator<Item = &Namespace> + '_ {
        self.longest_first.iter().map(Arc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_covers_whole_segments() {
        let chat = Namespace::new("chat");
        assert!(chat.covers("chat") && chat.covers("chat/lobby") && chat.covers("chat/a/b"));
        assert!(!chat.covers("chatter") && !chat.covers("cha") && !chat.covers("a/chat"));
        assert!(Namespace::new("").covers("anything/at all"));
    }

    #[test]
    fn the_longest_that_covers_a_channel_decides() {
        let names = ["a", "a/b", "c"].map(Namespace::new);
        let namespaces = Namespaces::of(names.to_vec());
        let found = |channel| namespaces.find(channel).map(|namespace| namespace.name.as_str());
        assert_eq!(found("a/x"), Some("a"));
        assert_eq!(found("a/b/x"), Some("a/b"));
        assert_eq!(found("d"), None, "nothing covers it");
        assert_eq!(found("user/7"), Some(USERS), "which is there in any case");
    }

    #[test]
    fn a_store_is_wanted_where_somebody_says_so() {
        assert_eq!(Namespaces::default().wants_store(), None);
        let chat = Namespaces::of(vec![Namespace::new(""), Namespace::new("chat").durable()]);
        assert_eq!(chat.wants_store().map(|one| one.name.as_str()), Some("chat"));
    }

    #[test]
    fn every_name_is_a_channel_where_nothing_is_said() {
        let namespaces = Namespaces::default();
        let plain = namespaces.find("whatever").expect("covered");
        assert_eq!((plain.durability, plain.keep), (Durability::Memory, Keep::MEMORY));
        let users = namespaces.find("user/player-7").expect("covered");
        assert_eq!(users.durability, Durability::Durable);
    }
}
