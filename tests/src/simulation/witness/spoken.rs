//! What was published to channels, each payload of it once: where it may be heard, and where it
//! has to be kept.

use super::{Life, Witness};
use starling_protocol::message::events::Event;
use starling_protocol::units::{ChannelKey, ChannelPosition, Epoch, MessageId, Offset};
use std::collections::{BTreeMap, BTreeSet};

/// What honest clients said, and where it was heard.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    /// The channels whose events outlive the server.
    pub(super) durable: BTreeSet<String>,
    said: BTreeMap<MessageId, (String, [u8; 8])>,
    messages: BTreeMap<[u8; 8], MessageId>,
    heard: BTreeMap<(Life, MessageId), Offset>,
}

impl Witness {
    /// From now on events of this channel outlive the server.
    pub(crate) fn keeps(&mut self, channel: &str) {
        self.spoken.durable.insert(channel.into());
    }

    /// The life of a durable channel, once it is known.
    pub(crate) fn durable_life(&self, channel: &str) -> Option<Epoch> {
        self.lives.get(channel).copied().filter(|_| self.spoken.durable.contains(channel))
    }

    /// An honest client publishes this.
    pub(crate) fn says(&mut self, channel: &str, message: MessageId, payload: [u8; 8]) {
        self.spoken.said.insert(message, (channel.into(), payload));
        self.spoken.messages.insert(payload, message);
    }

    /// P7: one publish is one event, under its own name and in its own channel.
    pub(super) fn is_once(&mut self, life: &Life, event: &Event) {
        let Some(payload) = event.payload.first_chunk::<8>() else { return };
        let Some(message) = self.spoken.messages.get(payload).copied() else { return };
        let (channel, _) = &self.spoken.said[&message];
        if *channel != life.0 || message != event.message {
            let words = format!("P4 {:?} of {channel} came as {event:?}", message);
            return self.broken.push(words);
        }
        let first = *self.spoken.heard.entry((life.clone(), message)).or_insert(event.offset);
        if first != event.offset {
            let words = format!("P7 {life:?} has {message:?} at {first:?} and {:?}", event.offset);
            self.broken.push(words);
        }
    }

    /// P5: a durable channel goes on in the life that it has, whatever the server's. P6: nobody who
    /// stands in it is sent elsewhere.
    pub(super) fn goes_on(
        &mut self,
        client: usize,
        key: ChannelKey,
        channel: &str,
        after: ChannelPosition,
    ) {
        let next = self.next.get(&(client, key)).filter(|next| next.epoch == after.epoch);
        let stands = next.filter(|_| self.spoken.durable.contains(channel));
        if let Some(next) = stands.filter(|next| next.offset.0 != after.offset.0 + 1) {
            self.broken.push(format!("P6 client {client}: {channel} from {next:?} to {after:?}"));
        }
        let known = self.durable_life(channel).filter(|epoch| *epoch != after.epoch);
        let life = |epoch| (channel.to_owned(), epoch);
        // Nothing may have been kept of a life in which nothing was acknowledged or delivered.
        let lost = known.filter(|epoch| {
            let acked = self.acked.get(&life(*epoch)).is_some_and(|log| !log.is_empty());
            acked || self.logs.get(&life(*epoch)).is_some_and(|log| !log.is_empty())
        });
        if let Some(epoch) = lost {
            self.broken.push(format!("P5 {channel} was {epoch:?} and is {after:?}"));
        }
    }

    /// P6: of a durable channel nothing is gone that anyone was told of.
    pub(super) fn is_kept_back(&mut self, channel: &str, from: Offset, to: Offset) {
        if let Some(epoch) = self.durable_life(channel) {
            self.broken.push(format!("P6 {channel} in {epoch:?} lacks {from:?} to {to:?}"));
        }
    }

    /// I5, I6: everything acknowledged or delivered of durable channels is on the disk once.
    /// `count` says how often a payload is there.
    pub(crate) fn is_kept(&mut self, count: &dyn Fn([u8; 8]) -> usize) {
        let Spoken { durable, said, .. } = &self.spoken;
        let acked = self.acked.iter().flat_map(|(life, log)| {
            log.iter().map(move |(offset, message)| (life, *offset, *message))
        });
        let heard = self.logs.iter().flat_map(|(life, log)| {
            log.iter().map(move |(offset, (message, _))| (life, *offset, *message))
        });
        let all = acked.map(|event| ("acknowledged", event));
        let all = all.chain(heard.map(|event| ("delivered", event)));
        for (what, (life, offset, message)) in
            all.filter(|(_, (life, ..))| durable.contains(&life.0))
        {
            let Some((_, payload)) = said.get(&message) else { continue };
            self.checks.kept += 1;
            let found = count(*payload);
            if found != 1 {
                let words = format!("P5 {life:?} {offset:?} was {what} and is kept {found} times");
                self.broken.push(words);
            }
        }
    }

    /// Has this subscription come to the end of all that was acknowledged?
    pub(crate) fn has_reached(&self, client: usize, key: ChannelKey, channel: &str) -> bool {
        let Some(epoch) = self.durable_life(channel) else { return true };
        let acked = self.acked.get(&(channel.into(), epoch)).and_then(|log| log.last_key_value());
        let stands = self.next.get(&(client, key)).map_or(Offset(0), |next| next.offset);
        acked.is_none_or(|(top, _)| stands > *top)
    }
}
