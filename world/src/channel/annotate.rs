//! Setting and taking back notes, as clients ask for it.

use super::ChannelIdx;
use super::log::Record;
use super::name::{self, Name};
use super::publish::{Accepted, Refusal};
use super::versions::is_message;
use crate::World;
use crate::durable::recall::Wish;
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::limits::NOTE_NAME_BYTES_MAX;
use starling_protocol::message::events::{Action, Annotate, NoteRule, Noted, Receipt};
use starling_protocol::units::{ChannelPosition, Offset};

impl World {
    /// Sets or takes back a note, once, and answers as a publish is answered.
    pub(crate) fn annotate(&mut self, idx: SessionIdx, said: Annotate) {
        self.once(idx, (said.message, 0), |world| world.take_note(idx, said));
    }

    fn take_note(&mut self, idx: SessionIdx, said: Annotate) -> Result<Accepted, Refusal> {
        self.take_turn(idx)?;
        check_shape(&said)?;
        self.note(idx, said)
    }

    /// A note goes on that waited for a message on disk; or there is a reason why it cannot.
    pub(crate) fn annotate_recalled(
        &mut self,
        idx: SessionIdx,
        said: Annotate,
        read: Result<(), CloseCode>,
    ) {
        self.once(idx, (said.message, 0), |world| {
            read?;
            world.note(idx, said)
        });
    }

    fn note(&mut self, idx: SessionIdx, said: Annotate) -> Result<Accepted, Refusal> {
        let channel = self.notable(idx, &said)?;
        if self.channels[channel].kept.is_some() {
            self.may_keep(Some(channel))?;
            self.may_remember(idx)?;
        }
        if self.on_disk_only(channel, said.target) {
            let (session, place) = (self.sessions[idx].id, (channel, said.target));
            return self.recall(session, place, Wish::Annotate(Box::new(said)));
        }
        self.check_message(channel, said.target)?;
        self.channels.make_room()?;
        let user = self.sessions[idx].user();
        let changed = self.channels.with_beside(channel, |b| b.notes.apply(&user, &said))?;
        let Some(summary) = changed else { return self.nothing_noted(idx, channel, &said) };
        let Annotate { message, target, name, count, remove, .. } = said;
        let record = Record {
            publisher: Some(self.sessions[idx].publisher()),
            message,
            action: Action::Annotate(target),
            payload: codec::encode(&Noted { name, count, remove, summary }),
            ..self.new_record()
        };
        Ok(self.append_asked(channel, record, idx, message))
    }

    /// A note that changes nothing makes no event. P5: what it would have changed may be on its way
    /// to the disk, and is not to be taken for kept before it is.
    fn nothing_noted(
        &mut self,
        idx: SessionIdx,
        channel: ChannelIdx,
        said: &Annotate,
    ) -> Result<Accepted, Refusal> {
        let log = &self.channels[channel].log;
        let top = log.top();
        let noted = |offset: &u64| {
            let record = log.any(Offset(*offset));
            record.is_some_and(|record| record.action == Action::Annotate(said.target))
        };
        match (top.offset.0 + 1..=log.newest().0).rev().find(noted).map(Offset) {
            Some(offset) => {
                let at = ChannelPosition { offset, ..top };
                self.answer_once_kept(channel, at, idx, said.message)
            }
            None => {
                let receipt = Receipt::Channel(top);
                self.sessions[idx].repeats.remember(said.message, receipt, self.now);
                Ok(Accepted::Now(receipt))
            }
        }
    }

    /// The channel of an event that may be noted on.
    fn notable(&self, idx: SessionIdx, said: &Annotate) -> Result<ChannelIdx, CloseCode> {
        let Name::Plain(name) = name::parse(&said.channel, self.realm(idx))? else {
            return Err(CloseCode::UNKNOWN_CHANNEL);
        };
        self.check_annotate(idx, name)?;
        let channel = self.channels.find(name).ok_or(CloseCode::CONFLICT)?;
        self.channels.check_beside()?;
        Ok(channel)
    }

    /// Is this a message of the channel that is kept and was not deleted?
    pub(super) fn check_message(&self, idx: ChannelIdx, offset: Offset) -> Result<(), CloseCode> {
        let channel = &self.channels[idx];
        let there = channel.log.any(offset).is_some_and(is_message)
            && channel.log.unseen_length_of(offset, 0).is_some();
        match there && !channel.beside.versions.is_deleted(offset) {
            true => Ok(()),
            false => Err(CloseCode::CONFLICT),
        }
    }
}

/// What can be refused without looking at the world.
fn check_shape(said: &Annotate) -> Result<(), CloseCode> {
    let named = !matches!(said.rule, NoteRule::Total | NoteRule::Flag);
    let fits = |name: &str, least: usize| (least..=NOTE_NAME_BYTES_MAX).contains(&name.len());
    if !fits(&said.kind, 1) || !fits(&said.name, usize::from(named)) {
        return Err(CloseCode::BAD_NAME);
    }
    let counts = matches!(said.rule, NoteRule::Total | NoteRule::Multiple);
    let right = if counts { said.count > 0 } else { said.count == 1 };
    let taken_back = said.remove && said.rule == NoteRule::Total;
    if right && !taken_back { Ok(()) } else { Err(CloseCode::CONFLICT) }
}
