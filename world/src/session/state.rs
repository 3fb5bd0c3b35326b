//! What of sessions, channels and rules goes into the world's checksum.

use super::{Session, SessionIdx};
use crate::World;
use crate::channel::log::Log;
use crate::channel::subscription::{Source, Subscriptions};
use crate::channel::{Channel, Channels};
use crate::checksum::Checksum;
use crate::durable::read::Ahead;
use starling_protocol::units::{Offset, Tick};

impl World {
    /// Adds sessions, channels and the state of a game.
    pub(crate) fn add_sessions_to(&self, sum: &mut Checksum) {
        for (idx, session) in self.sessions.iter() {
            add_session((idx, self.sessions.contact(idx)), session, &self.channels, sum);
        }
        for channel in self.channels.iter() {
            add_channel(channel, sum);
        }
        self.durable.add_to(sum);
        self.erasures.add_to(sum);
        sum.add(self.rules.checksum());
        sum.add(u64::from(self.sessions.host.map_or(0, |idx| idx.0 + 1)));
        sum.add(u64::from(self.sessions.draining)).add(self.shed.step());
        sum.add(self.counters.shed_refusals); // says when the next newcomer knocks again
        sum.add(self.sessions.settling.map_or(0, |change| change + 1));
    }
}

fn add_session(
    (idx, contact): (SessionIdx, Tick),
    session: &Session,
    channels: &Channels,
    sum: &mut Checksum,
) {
    sum.add(idx.0).add(session.id.0).add(session.conn.map_or(0, |conn| conn.0 + 1));
    add_tick(session.parked, sum);
    sum.add(session.parked_before).add(session.asleep.len() as u64);
    add_tick(session.expires, sum);
    sum.add_bytes(session.principal.subject.as_bytes());
    session.tokens.iter().for_each(|digest| {
        sum.add_bytes(digest);
    });
    sum.add(session.capabilities).add(contact.0).add(u64::from(session.here));
    sum.add(session.team).add(session.avatar.map_or(0, |entity| u64::from(entity.0) + 1));
    for (handle, entity) in session.owned.iter() {
        sum.add(handle.0).add(entity.0);
    }
    sum.add(session.inputs.applied.map_or(0, |number| u64::from(number) + 1));
    sum.add(session.channels_made as u64)
        .add(u64::from(session.muted))
        .add(u64::from(session.held));
    session.presence.add_to(sum);
    session.reads.add_to(sum);
    session.cue_ids.add_to(sum);
    sum.add(session.mail.bytes() as u64).add(session.link.left).add(session.link.spent.0);
    add_log(&session.inbox, sum);
    add_subscriptions(&session.subscriptions, channels, sum);
}

fn add_subscriptions(subscriptions: &Subscriptions, channels: &Channels, sum: &mut Checksum) {
    for (key, subscription) in subscriptions.iter() {
        let name = match subscription.source {
            Source::Inbox => "",
            Source::Channel(channel) => &channels[channel].name,
        };
        sum.add(key.0).add_bytes(name.as_bytes());
        sum.add(subscription.read.0).add(u64::from(subscription.presence));
        sum.add(u64::from(subscription.unnamed)).add(u64::from(subscription.paged));
        sum.add(subscription.ahead.as_ref().map_or(0, Ahead::weight));
    }
    for key in &subscriptions.lost {
        sum.add(key.0);
    }
}

fn add_channel(channel: &Channel, sum: &mut Checksum) {
    sum.add_bytes(channel.name.as_bytes());
    add_log(&channel.log, sum);
    if let Some(kept) = channel.kept.as_deref() {
        sum.add(kept.id).add(kept.bytes()).add(u64::from(kept.damaged));
        for mark in kept.marks() {
            sum.add(mark.first.0).add(mark.newest_ms);
        }
        sum.add(kept.newest_ms());
    }
    for member in channel.members.iter().flat_map(|list| list.iter()) {
        sum.add(member.session.0).add(member.since.0).add(member.state as u8);
        sum.add_bytes(&member.data);
    }
    channel.beside.add_to(sum);
}

fn add_log(log: &Log, sum: &mut Checksum) {
    let top = log.top();
    for (offset, record) in log.recalled() {
        sum.add(offset.0).add(record.message.0);
    }
    sum.add(top.epoch.0).add(log.first().0).add(top.offset.0).add(log.newest().0);
    for offset in log.first().0..=log.newest().0 {
        if let Some(record) = log.any(Offset(offset)) {
            sum.add(record.tick.0).add(record.message.0).add_bytes(&record.payload);
        }
    }
}

fn add_tick(tick: Option<Tick>, sum: &mut Checksum) {
    sum.add(tick.map_or(0, |tick| u64::from(tick.0) + 1));
}
