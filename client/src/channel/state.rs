//! Keyed state: the values of a channel's keys, told whole and then followed.

use starling_protocol::limits::{STATE_BYTES_MAX, STATE_KEYS_MAX};
use starling_protocol::message::events::{Action, Event, StateEntry};
use std::collections::BTreeMap;

/// The values of a channel, in order of their keys.
///
/// ```
/// use starling_client::{ConnectOptions, Session, SubscribeOptions};
/// use starling_protocol::units::Nanos;
///
/// # fn main() -> Result<(), starling_client::RequestError> {
/// let mut session = Session::new(Nanos(0), ConnectOptions::new("plaza"));
/// let doors = session.subscribe("doors", SubscribeOptions::default())?;
/// let state = session.state_of(doors).expect("it was just subscribed");
/// assert!(state.get("front").is_none(), "nothing was told yet");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyedState {
    values: BTreeMap<String, StateEntry>,
    bytes: usize,
    /// Pages are still to come.
    incoming: bool,
}

impl KeyedState {
    /// The value of a key, and the event that set it: what a
    /// [`Publication::expecting`](crate::Publication::expecting) compares with.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&StateEntry> {
        self.values.get(key)
    }

    /// All values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &StateEntry> {
        self.values.values()
    }

    /// How many keys have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// No key has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Are all values here, as far as the server has told?
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        !self.incoming
    }

    /// The channel starts anew.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }

    /// One page of the values. True when they are complete.
    pub(crate) fn page(&mut self, entries: Vec<StateEntry>, last: bool) -> bool {
        entries.into_iter().for_each(|entry| self.put(entry));
        self.incoming = !last;
        last
    }

    /// Follows one event of the channel.
    pub(crate) fn apply(&mut self, event: &Event) {
        let Some(key) = &event.state_key else { return };
        match event.action {
            Action::Message => self.put(StateEntry {
                key: key.clone(),
                offset: event.offset,
                tick: event.tick,
                publisher: event.publisher.clone(),
                ttl_ms: None,
                payload: event.payload.clone(),
            }),
            Action::Clear => self.remove(key),
            _ => {}
        }
    }

    /// What a server may not hold is not held here either.
    fn put(&mut self, entry: StateEntry) {
        self.remove(&entry.key);
        let bytes = cost(&entry);
        if self.values.len() < STATE_KEYS_MAX && self.bytes + bytes <= STATE_BYTES_MAX {
            self.bytes += bytes;
            self.values.insert(entry.key.clone(), entry);
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(old) = self.values.remove(key) {
            self.bytes -= cost(&old);
        }
    }
}

/// As much as the server counts, or less.
fn cost(entry: &StateEntry) -> usize {
    entry.key.len() + entry.payload.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::units::{ChannelKey, MessageId, Offset, Tick};

    fn entry(key: &str, offset: u64, bytes: usize) -> StateEntry {
        StateEntry {
            key: key.into(),
            offset: Offset(offset),
            tick: Tick(1),
            publisher: None,
            ttl_ms: None,
            payload: vec![1; bytes],
        }
    }

    fn event(key: &str, offset: u64, action: Action) -> Event {
        Event {
            key: ChannelKey(1),
            offset: Offset(offset),
            tick: Tick(1),
            unix_ms: 0,
            publisher: None,
            message: MessageId(0),
            action,
            state_key: Some(key.into()),
            parent: None,
            payload: vec![2],
        }
    }

    #[test]
    fn pages_and_events_make_the_state() {
        let mut state = KeyedState::default();
        assert!(!state.page(vec![entry("a", 1, 1)], false) && !state.is_complete());
        assert!(state.page(vec![entry("b", 2, 1)], true) && state.is_complete());
        state.apply(&event("a", 3, Action::Message));
        state.apply(&event("b", 4, Action::Clear));
        assert_eq!(state.get("a").map(|e| (e.offset, e.payload[0])), Some((Offset(3), 2)));
        assert_eq!(state.len(), 1);
        state.restart();
        assert!(state.is_empty());
    }

    #[test]
    fn no_server_makes_it_hold_more_than_a_channel_may() {
        let mut state = KeyedState::default();
        for number in 0..STATE_KEYS_MAX as u64 + 9 {
            state.apply(&event(&format!("k{number}"), number + 1, Action::Message));
        }
        assert_eq!(state.len(), STATE_KEYS_MAX);
        let mut state = KeyedState::default();
        for number in 0..10 {
            state.page(vec![entry(&format!("k{number}"), 1, STATE_BYTES_MAX / 4)], false);
        }
        assert_eq!((state.len(), state.bytes <= STATE_BYTES_MAX), (3, true));
    }
}
