//! Leases: what somebody is doing for as long as it keeps saying so, such as typing.
//!
//! They have no number and are not kept: whoever follows the channel now is told, once a tick, the
//! newest of each. A lease ends by itself, with its subscription and with its session.

use super::publish::Refusal;
use super::{Channel, ChannelIdx};
use crate::World;
use crate::checksum::Checksum;
use crate::counters::count;
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{
    LEASE_DATA_BYTES_MAX, LEASE_MS_MAX, LEASE_NAME_BYTES_MAX, LEASES_MAX,
};
use starling_protocol::message::events::{EventDown, Lease, LeaseTold, Publisher};
use starling_protocol::units::{ChannelKey, SessionId, Tick, TickRate};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of leases told in one message, and of one channel in one tick.
const TOLD_BYTES_MAX: usize = 8 * 1024;

/// Whose it is, and what.
type LeaseName = (SessionId, String);

/// One lease.
#[derive(Clone, Debug)]
struct Held {
    who: Publisher,
    ends: Tick,
    data: Vec<u8>,
}

impl Held {
    fn told(&self, name: &str, now: Tick, rate: TickRate) -> LeaseTold {
        let ticks = u64::from(self.ends.since(now).unwrap_or(0));
        let ttl_ms = (ticks * 1_000 / u64::from(rate.hz())) as u32;
        let (who, name, data) = (self.who.clone(), name.to_owned(), self.data.clone());
        LeaseTold { who, name, ttl_ms, data }
    }
}

/// The leases of one channel.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: BTreeMap<LeaseName, Held>,
    /// By when they end.
    ends: BTreeSet<(Tick, SessionId, String)>,
    /// What followers are told next; `None`: it has ended.
    news: BTreeMap<LeaseName, Option<Publisher>>,
}

impl Leases {
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// When the next one ends by itself.
    pub(crate) fn next_end(&self) -> Option<Tick> {
        self.ends.first().map(|(end, ..)| *end)
    }

    /// Ends one whose time is over; `false` when there is none.
    pub(crate) fn end_one(&mut self, now: Tick) -> bool {
        let Some((_, session, name)) = self.ends.first().filter(|(end, ..)| *end <= now).cloned()
        else {
            return false;
        };
        self.end(&(session, name))
    }

    /// How many a session has.
    fn count(&self, session: SessionId) -> usize {
        self.of(session).count()
    }

    fn of(&self, session: SessionId) -> impl Iterator<Item = &LeaseName> {
        let from = (session, String::new());
        self.held.range(from..).map(|(name, _)| name).take_while(move |(s, _)| *s == session)
    }

    fn has(&self, name: &LeaseName) -> bool {
        self.held.contains_key(name)
    }

    fn begin(&mut self, name: LeaseName, held: Held) {
        self.end(&name);
        self.ends.insert((held.ends, name.0, name.1.clone()));
        self.news.insert(name.clone(), None);
        self.held.insert(name, held);
    }

    fn end(&mut self, name: &LeaseName) -> bool {
        let Some(held) = self.held.remove(name) else { return false };
        self.ends.remove(&(held.ends, name.0, name.1.clone()));
        self.news.insert(name.clone(), Some(held.who));
        true
    }

    fn end_all_of(&mut self, session: SessionId) -> bool {
        let names: Vec<_> = self.of(session).cloned().collect();
        names.iter().for_each(|name| {
            self.end(name);
        });
        !names.is_empty()
    }

    /// Takes out what is told next, as much as one message holds.
    fn take_news(&mut self, now: Tick, rate: TickRate) -> Vec<LeaseTold> {
        let (mut told, mut bytes) = (Vec::new(), 0);
        while let Some((name, ended)) = self.news.pop_first() {
            let lease = match (ended, self.held.get(&name)) {
                (Some(who), _) => LeaseTold { who, name: name.1, ttl_ms: 0, data: Vec::new() },
                (None, Some(held)) => held.told(&name.1, now, rate),
                (None, None) => continue,
            };
            bytes += cost(&lease);
            told.push(lease);
            if bytes >= TOLD_BYTES_MAX {
                break;
            }
        }
        told
    }

    /// Every lease, in messages of bounded size.
    fn all(&self, but: SessionId, now: Tick, rate: TickRate) -> Vec<Vec<LeaseTold>> {
        let (mut batches, mut bytes) = (vec![Vec::new()], 0);
        for ((session, name), held) in &self.held {
            if *session == but {
                continue;
            }
            let lease = held.told(name, now, rate);
            if bytes >= TOLD_BYTES_MAX {
                batches.push(Vec::new());
                bytes = 0;
            }
            bytes += cost(&lease);
            batches.last_mut().expect("there is one from the start").push(lease);
        }
        batches.retain(|batch| !batch.is_empty());
        batches
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for ((session, name), held) in &self.held {
            sum.add(session.0).add_bytes(name.as_bytes()).add(held.ends.0);
            sum.add_bytes(&held.data);
        }
        sum.add(self.news.len() as u64);
    }
}

fn cost(lease: &LeaseTold) -> usize {
    24 + lease.name.len() + lease.data.len() + lease.who.subject.len()
}

impl World {
    /// Begins, renews or ends a lease.
    pub(crate) fn lease(&mut self, idx: SessionIdx, lease: Lease) {
        let key = lease.key;
        if let Err(Refusal { code, retry_after_ms }) = self.take_lease(idx, lease) {
            count(&mut self.counters.requests_refused, code);
            let refused = EventDown::RequestRefused { request: key.0, code, retry_after_ms };
            self.sessions.event(idx, &refused, self.now);
        }
    }

    fn take_lease(&mut self, idx: SessionIdx, lease: Lease) -> Result<(), Refusal> {
        let channel = self.leasable(idx, &lease)?;
        let name = (self.sessions[idx].id, lease.name);
        if lease.ttl_ms == 0 {
            self.take_rated_turn(idx)?; // an end is one thing less to do
            if self.channels[channel].beside.leases.end(&name) {
                self.channels.lease_news(channel);
            }
            return Ok(());
        }
        self.take_turn(idx)?;
        if !self.channels[channel].beside.leases.has(&name) {
            self.check_lease_room(idx)?;
        }
        let ticks = self.config.tick_rate.ticks_in_ms(lease.ttl_ms.into()).max(1);
        let who = self.sessions[idx].publisher();
        let held = Held { who, ends: self.now + ticks, data: lease.data };
        self.channels[channel].beside.leases.begin(name, held);
        self.channels.lease_news(channel);
        Ok(())
    }

    /// The channel of a lease that may be.
    fn leasable(&self, idx: SessionIdx, lease: &Lease) -> Result<ChannelIdx, CloseCode> {
        if !(1..=LEASE_NAME_BYTES_MAX).contains(&lease.name.len()) {
            return Err(CloseCode::BAD_NAME);
        }
        if lease.data.len() > LEASE_DATA_BYTES_MAX {
            return Err(CloseCode::TOO_LARGE);
        }
        if lease.ttl_ms > LEASE_MS_MAX {
            return Err(CloseCode::LIMIT);
        }
        let channel = self.followed(idx, lease.key).ok_or(CloseCode::UNKNOWN_CHANNEL)?;
        let Channel { name, namespace, .. } = &self.channels[channel];
        match namespace {
            None => Err(CloseCode::FORBIDDEN),
            Some(_) => self.check_lease(idx, name).map(|()| channel),
        }
    }

    fn check_lease_room(&self, idx: SessionIdx) -> Result<(), CloseCode> {
        let session = &self.sessions[idx];
        let keys = session.subscriptions.iter().map(|(key, _)| key);
        let channels = keys.filter_map(|key| self.followed(idx, key));
        let held = channels.map(|c| self.channels[c].beside.leases.count(session.id));
        if held.sum::<usize>() >= LEASES_MAX { Err(CloseCode::LIMIT) } else { Ok(()) }
    }

    /// Ends every lease of a session in a channel, as when it follows it no more.
    pub(super) fn end_leases(&mut self, idx: SessionIdx, channel: ChannelIdx) {
        let session = self.sessions[idx].id;
        if self.channels[channel].beside.leases.end_all_of(session) {
            self.channels.lease_news(channel);
        }
    }

    /// Tells a new follower the leases of the channel.
    pub(super) fn tell_leases_to(&mut self, idx: SessionIdx, key: ChannelKey, channel: ChannelIdx) {
        let leases = &self.channels[channel].beside.leases;
        if leases.is_empty() {
            return;
        }
        let session = self.sessions[idx].id;
        for leases in leases.all(session, self.now, self.config.tick_rate) {
            self.tell_leases_if_room(idx, &EventDown::Leases { key, leases });
        }
    }

    /// Tells followers what became of leases since the last tick.
    pub(crate) fn tell_leases(&mut self) {
        for channel in self.channels.take_lease_news() {
            let leases = &mut self.channels[channel].beside.leases;
            let told = leases.take_news(self.now, self.config.tick_rate);
            if !leases.news.is_empty() {
                self.channels.lease_news(channel); // the rest is told in the next tick
            }
            let followers = self.channels[channel].subscribers.clone();
            for (idx, key) in followers {
                self.tell_lease_news(idx, key, &told);
            }
        }
    }

    fn tell_lease_news(&mut self, idx: SessionIdx, key: ChannelKey, told: &[LeaseTold]) {
        let own = self.sessions[idx].id;
        let others = told.iter().filter(|lease| lease.who.session != own).cloned();
        let leases: Vec<_> = others.collect();
        if !leases.is_empty() {
            self.tell_leases_if_room(idx, &EventDown::Leases { key, leases });
        }
    }

    /// Whoever is behind is not told: a lease ends by itself, and must not be what closes anyone.
    fn tell_leases_if_room(&mut self, idx: SessionIdx, message: &EventDown) {
        let session = &self.sessions[idx];
        if session.mail.bytes() > session.mail_bytes_max() / 2 {
            self.counters.leases_untold += 1;
        } else {
            self.sessions.event(idx, message, self.now);
        }
    }
}
