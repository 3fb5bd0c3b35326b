//! Requests about messages that are on disk only: they wait until the message is read again.
//!
//! The tick does not wait: a request is parked, within bounds, and taken up again when the store has
//! answered. Everything is checked then as if it had come at that moment. Beyond the bounds it is
//! refused with `STORE_BUSY`.

use super::aside::Asides;
use super::read::{EventRun, Reader};
use crate::World;
use crate::channel::publish::{Accepted, Refusal};
use crate::channel::versions::target_of;
use crate::channel::{Channel, ChannelIdx};
use crate::checksum::Checksum;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::{Annotate, Publish};
use starling_protocol::units::{Offset, SessionId};
use std::collections::VecDeque;

/// Requests of a world that wait, and of one session.
const PARKED_MAX: usize = 1_024;
const PARKED_BY_SESSION_MAX: usize = 16;

/// What somebody wants done to a message.
#[derive(Debug)]
pub(crate) enum Wish {
    /// To change it, or to answer it.
    Publish(Box<Publish>),
    /// To note on it.
    Annotate(Box<Annotate>),
}

/// A request that waits for its message.
#[derive(Debug)]
struct Parked {
    session: SessionId,
    channel: ChannelIdx,
    /// The channel's name in keys, which is never given again.
    id: u64,
    message: Offset,
    wish: Wish,
}

/// Requests that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Recalls(VecDeque<Parked>);

impl Recalls {
    fn has_room(&self, session: SessionId) -> bool {
        let own = self.0.iter().filter(|parked| parked.session == session).count();
        self.0.len() < PARKED_MAX && own < PARKED_BY_SESSION_MAX
    }

    fn is_asked(&self, id: u64, message: Offset) -> bool {
        self.0.iter().any(|parked| parked.id == id && parked.message == message)
    }

    fn take(&mut self, id: u64, message: Offset) -> Vec<Parked> {
        let (taken, rest) =
            self.0.drain(..).partition(|parked| parked.id == id && parked.message == message);
        self.0 = rest;
        VecDeque::into(taken)
    }

    pub(super) fn add_to(&self, sum: &mut Checksum) {
        for parked in &self.0 {
            sum.add(parked.session.0).add(parked.id).add(parked.message.0);
        }
    }
}

impl Channel {
    /// Is this message kept, and not in memory?
    fn is_on_disk_only(&self, message: Offset) -> bool {
        let kept = self.kept.is_some() && !self.is_damaged();
        kept && (self.first_kept()..self.log.first()).contains(&message)
            && !self.log.is_recalled(message)
    }
}

impl World {
    /// Which message a publish is about that is on disk only.
    pub(crate) fn on_disk_of(&self, name: &str, publish: &Publish) -> Option<(ChannelIdx, Offset)> {
        let channel = self.channels.find(name)?;
        let message = target_of(publish.action).or(publish.parent)?;
        self.on_disk_only(channel, message).then_some((channel, message))
    }

    /// Is this message of a channel kept, and not in memory?
    pub(crate) fn on_disk_only(&self, channel: ChannelIdx, message: Offset) -> bool {
        self.channels[channel].is_on_disk_only(message)
    }

    /// Parks a request until the message that it is about is read.
    ///
    /// # Errors
    /// `STORE_BUSY` where too many wait, or where something about the message is on its way to the
    /// disk.
    pub(crate) fn recall(
        &mut self,
        session: SessionId,
        (channel, message): (ChannelIdx, Offset),
        wish: Wish,
    ) -> Result<Accepted, Refusal> {
        let busy = || Refusal::from(CloseCode::STORE_BUSY);
        let Channel { kept, log, .. } = &self.channels[channel];
        let id = kept.as_deref().map(|kept| kept.id).ok_or_else(busy)?;
        let recalls = &self.durable.recalls;
        if !recalls.has_room(session) || log.is_under_way(message) {
            return Err(busy());
        }
        if !recalls.is_asked(id, message) {
            self.ask_for_message(channel, message).ok_or_else(busy)?;
        }
        let parked = Parked { session, channel, id, message, wish };
        self.durable.recalls.0.push_back(parked);
        Ok(Accepted::OnceKept)
    }

    fn ask_for_message(&mut self, channel: ChannelIdx, message: Offset) -> Option<u64> {
        let offsets = message..Offset(message.0 + 1);
        self.ask_events(Reader::Recall(message), channel, offsets, false)
    }

    /// The store has answered: whoever waits for the message gets it, or an answer.
    pub(crate) fn recalled(&mut self, id: u64, message: Offset, run: Option<EventRun>) {
        let waiting = self.durable.recalls.take(id, message);
        let Some(first) = waiting.first() else { return };
        let channel = first.channel;
        let there = self.channels.first_kept_of(channel, id).is_some();
        let code = match run {
            Some(run) => self.take_back(channel, message, run),
            // It was read before something was erased.
            None if there => match self.ask_for_message(channel, message) {
                Some(_) => return self.durable.recalls.0.extend(waiting),
                None => Err(CloseCode::STORE_BUSY),
            },
            None => Ok(()),
        };
        for Parked { session, wish, .. } in waiting {
            let Some(idx) = self.sessions.by_id(session) else { continue };
            match wish {
                Wish::Publish(publish) => self.publish_recalled(idx, *publish, code),
                Wish::Annotate(said) => self.annotate_recalled(idx, *said, code),
            }
        }
    }

    /// Takes a message back into memory, unless it went there or is kept no longer.
    fn take_back(
        &mut self,
        channel: ChannelIdx,
        message: Offset,
        run: EventRun,
    ) -> Result<(), CloseCode> {
        if !self.on_disk_only(channel, message) {
            return Ok(());
        }
        let EventRun { events, asides, .. } = run;
        let Asides { beyond, .. } = asides;
        if beyond.is_some() {
            return Err(CloseCode::LIMIT);
        }
        let Some((_, record)) = events.into_iter().next() else { return Ok(()) };
        match self.channels.recall(channel, message, record, asides) {
            true => Ok(()),
            false => Err(CloseCode::STORE_BUSY),
        }
    }
}
