//! Channels: named runs of numbered events, kept in memory and, where they are durable, on disk.
//!
//! A channel has one sequencer, this world, so its offsets count 1, 2, 3, ... without gaps within
//! an epoch. It exists from the first subscription or publish until nobody follows it and its
//! history has expired; one that is made again has another epoch, so that an old place in it is
//! never mistaken for a new one. An inbox lives as long as its session, whose name is never given
//! again in this life of the world, so its epoch is the world's.

mod admit;
mod annotate;
pub(crate) mod beside;
mod counts;
mod cursors;
pub(crate) mod deliver;
mod deltas;
mod epochs;
pub(crate) mod erase;
pub(crate) mod history;
mod leases;
pub(crate) mod log;
mod make;
pub(crate) mod members;
pub(crate) mod name;
pub(crate) mod notes;
mod pen;
pub(crate) mod policy;
pub(crate) mod publish;
mod recalled;
mod recipients;
pub(crate) mod refuse;
pub(crate) mod state;
pub(crate) mod subscribe;
pub(crate) mod subscription;
mod sweep;
pub(crate) mod versions;

use crate::config::WorldConfig;
use crate::durable::kept::Kept;
use crate::namespace::Durability;
use crate::namespace::{Namespace, Namespaces};
use crate::session::SessionIdx;
use beside::{Beside, Timetable};
use counts::Count;
use epochs::Epochs;
use log::{Log, Record};
use members::MemberList;
use name::WORLD_PRESENCE;
use policy::ChannelPolicy;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::CHANNELS_MAX;
use starling_protocol::message::events::DeliveryClass;
use starling_protocol::units::{ChannelKey, ChannelPosition, Offset, SessionId, Tick};
use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Bytes of events that all channels of a world keep together.
const CHANNELS_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Channels that one publish may squeeze to make room.
const ROWS_SQUEEZED_MAX: usize = 256;

/// A row of the slab of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChannelIdx(u32);

impl ChannelIdx {
    const fn at(self) -> usize {
        self.0 as usize
    }
}

/// What a channel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelKind {
    /// Events that are published.
    Plain,
    /// The presence list of another channel.
    Presence,
    /// How many are on a presence list.
    Count,
}

/// One channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) log: Log,
    /// What it is like; `None` for a presence list and for how many are on one.
    pub(crate) namespace: Option<Arc<Namespace>>,
    /// What is on disk, where the channel is durable: the log is a cache of its end then.
    pub(crate) kept: Option<Box<Kept>>,
    /// Who follows it, and under which key. A session follows a channel at most once.
    pub(crate) subscribers: BTreeMap<SessionIdx, ChannelKey>,
    /// Who is here, where this is a presence list.
    pub(crate) members: Option<MemberList>,
    /// How many are on a presence list, where this tells it.
    pub(crate) count: Option<Count>,
    /// What it keeps beside its events.
    pub(crate) beside: Beside,
    /// The session that named it first; `None` for the server.
    maker: Option<SessionId>,
}

impl Channel {
    /// Is it the world's own list, which stands always?
    fn is_the_worlds(&self) -> bool {
        self.name == WORLD_PRESENCE
    }

    /// How its events are delivered.
    pub(crate) fn class(&self) -> DeliveryClass {
        self.namespace.as_ref().map_or(DeliveryClass::Ordered, |namespace| namespace.class)
    }

    /// Does nothing hold it any more? What is damaged stands until somebody has seen to it.
    fn is_idle(&self, oldest_state: Tick) -> bool {
        let empty = self.members.as_ref().is_none_or(MemberList::is_empty)
            && self.log.is_empty()
            && self.first_kept() > self.log.newest()
            && !self.is_damaged();
        let memory = self.kept.is_none();
        let stateless = self.beside.is_empty() || memory && self.beside.touched() < oldest_state;
        self.subscribers.is_empty() && empty && stateless
    }

    /// The first event that is kept, here or on disk; one beyond the newest when none is.
    pub(crate) fn first_kept(&self) -> Offset {
        match &self.kept {
            None => self.log.first(),
            Some(kept) => kept.first(self.log.newest()),
        }
    }

    /// Can what is on disk of it not be read?
    pub(crate) fn is_damaged(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.damaged)
    }
}

/// All channels of a world.
#[derive(Debug)]
pub(crate) struct Channels {
    rows: Vec<Option<Box<Channel>>>,
    free: Vec<ChannelIdx>,
    by_name: BTreeMap<String, ChannelIdx>,
    /// What each is like.
    namespaces: Namespaces,
    /// There is a store: durable channels are what they are called.
    has_store: bool,
    epochs: Epochs,
    /// The next name of a durable channel in keys of rows.
    next_id: u64,
    /// Bytes of events that all of them keep.
    bytes: usize,
    /// Messages of all of them that were read again.
    recalled: usize,
    /// Where the sweep goes on.
    swept: usize,
    /// Where the next room is made.
    squeezed: usize,
    /// When something beside the events of a channel is due.
    timetable: Timetable,
}

impl Channels {
    /// No channel but the world's presence list.
    pub(crate) fn new(config: &WorldConfig) -> Self {
        let mut channels = Self {
            rows: Vec::new(),
            free: Vec::new(),
            by_name: BTreeMap::new(),
            namespaces: config.namespaces.clone(),
            epochs: Epochs::new(config.epoch, config.seed),
            has_store: false,
            next_id: 1,
            bytes: 0,
            recalled: 0,
            swept: 0,
            squeezed: 0,
            timetable: Timetable::default(),
        };
        channels.insert(WORLD_PRESENCE, ChannelKind::Presence, None, None);
        channels
    }

    /// What the channel of this name is like, whether or not there is one now.
    ///
    /// # Errors
    /// `UNKNOWN_CHANNEL` where there can be none.
    pub(crate) fn namespace(&self, name: &str) -> Result<&Arc<Namespace>, CloseCode> {
        self.namespaces.find(name).ok_or(CloseCode::UNKNOWN_CHANNEL)
    }

    /// The channel with this name, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<ChannelIdx> {
        self.by_name.get(name).copied()
    }

    /// The channel of this kind and full name, made now by `maker` if need be.
    ///
    /// # Errors
    /// `LIMIT` when the world holds as many as it may, `UNKNOWN_CHANNEL` where no namespace has it.
    pub(crate) fn find_or_make(
        &mut self,
        name: &str,
        kind: ChannelKind,
        maker: Option<SessionId>,
    ) -> Result<ChannelIdx, CloseCode> {
        if let Some(idx) = self.find(name) {
            return Ok(idx);
        }
        let namespace = match kind {
            ChannelKind::Plain => Some(Arc::clone(self.namespace(name)?)),
            ChannelKind::Presence | ChannelKind::Count => None,
        };
        match self.len() {
            CHANNELS_MAX.. => Err(CloseCode::LIMIT),
            _ => Ok(self.insert(name, kind, namespace, maker)),
        }
    }

    /// Gives an event the next number in its channel.
    pub(crate) fn append(&mut self, idx: ChannelIdx, record: Arc<Record>) -> ChannelPosition {
        self.weigh(idx, |log| log.append(record))
    }

    /// Gives an event the next number in its channel, not to be seen yet.
    pub(crate) fn append_unseen(
        &mut self,
        idx: ChannelIdx,
        record: Arc<Record>,
    ) -> ChannelPosition {
        self.weigh(idx, |log| log.append_unseen(record))
    }

    /// What comes before this event is kept no longer.
    pub(crate) fn forget_before(&mut self, idx: ChannelIdx, first: Offset) {
        self.weigh(idx, |log| log.forget_before(first));
        self.let_go_before(idx, first);
    }

    /// Everything up to this event is on stable storage.
    pub(crate) fn show_through(&mut self, idx: ChannelIdx, offset: Offset) {
        self.weigh(idx, |log| log.show_through(offset));
    }

    /// From now on durable channels are kept on disk.
    pub(crate) fn begin_keeping(&mut self) {
        self.has_store = true;
    }

    /// Durable channels that are made from now on have greater names in keys of rows than this.
    pub(crate) fn ids_after(&mut self, id: u64) {
        self.next_id = self.next_id.max(id.saturating_add(1));
    }

    /// Puts back a channel of an earlier life.
    pub(crate) fn restore(&mut self, name: &str, namespace: Arc<Namespace>, log: Log, kept: Kept) {
        self.bytes += log.bytes();
        self.place(Channel {
            name: name.to_owned(),
            log,
            namespace: Some(namespace),
            kept: Some(Box::new(kept)),
            subscribers: BTreeMap::new(),
            members: None,
            count: None,
            beside: Beside::default(),
            maker: None,
        });
    }

    /// Puts back a channel of which nothing is known but its name.
    pub(crate) fn restore_damaged(&mut self, name: &str, namespace: Arc<Namespace>) {
        let log = Log::new(self.epochs.mint(), ChannelPolicy::of(&namespace));
        let mut kept = Kept::new(0, namespace.keep);
        kept.damaged = true;
        self.restore(name, namespace, log, kept);
    }

    /// Is what this plain channel carries kept on disk, whether it is there yet or not?
    pub(crate) fn is_durable(&self, name: &str) -> bool {
        match self.find(name) {
            Some(idx) => self[idx].kept.is_some(),
            None => self.namespace(name).is_ok_and(|namespace| self.keeps(namespace)),
        }
    }

    /// Are the channels of a namespace kept on disk?
    pub(crate) fn keeps(&self, namespace: &Namespace) -> bool {
        self.has_store && namespace.durability == Durability::Durable
    }

    /// The first event that is kept of a durable channel with this name in keys, if it is still
    /// there, and not found damaged.
    pub(crate) fn first_kept_of(&self, idx: ChannelIdx, id: u64) -> Option<Offset> {
        let channel = self.rows[idx.at()].as_deref()?;
        let kept = channel.kept.as_deref()?;
        (kept.id == id && !kept.damaged).then(|| channel.first_kept())
    }

    /// Does something to a log, and knows what all of them weigh after it.
    fn weigh<T>(&mut self, idx: ChannelIdx, act: impl FnOnce(&mut Log) -> T) -> T {
        let log = &mut self[idx].log;
        let (before, first) = (log.bytes(), log.first());
        let done = act(log);
        let (after, moved) = (log.bytes(), log.first() > first);
        self.bytes = self.bytes + after - before;
        if moved {
            self.retire(idx);
        }
        done
    }

    /// Makes sure that all channels together keep no more than they may: the older half of one
    /// after another goes, in turn.
    ///
    /// # Errors
    /// `OVERLOADED` when what could be looked at now did not give enough.
    pub(crate) fn make_room(&mut self) -> Result<(), CloseCode> {
        for _ in 0..ROWS_SQUEEZED_MAX.min(self.rows.len()) {
            if self.bytes <= CHANNELS_BYTES_MAX {
                break;
            }
            self.squeezed = (self.squeezed + 1) % self.rows.len();
            let Some(channel) = self.rows[self.squeezed].as_deref_mut() else { continue };
            let before = channel.log.bytes();
            channel.log.forget_half();
            self.bytes -= before - channel.log.bytes();
            self.retire(ChannelIdx(self.squeezed as u32));
        }
        if self.bytes <= CHANNELS_BYTES_MAX { Ok(()) } else { Err(CloseCode::OVERLOADED) }
    }

    /// How many there are, presence lists included.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Every channel in order of name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Channel> + '_ {
        self.by_name.values().map(|idx| &self[*idx])
    }

    fn insert(
        &mut self,
        name: &str,
        kind: ChannelKind,
        namespace: Option<Arc<Namespace>>,
        maker: Option<SessionId>,
    ) -> ChannelIdx {
        let policy = namespace.as_deref().map_or(ChannelPolicy::PRESENCE, ChannelPolicy::of);
        let members = (kind == ChannelKind::Presence).then(MemberList::default);
        let count = (kind == ChannelKind::Count).then(Count::default);
        let log = Log::new(self.epochs.mint(), policy);
        let durable = namespace.as_deref().filter(|namespace| self.keeps(namespace));
        let kept = durable.map(|namespace| Box::new(Kept::new(self.next_id, namespace.keep)));
        self.next_id += u64::from(kept.is_some());
        self.place(Channel {
            name: name.to_owned(),
            log,
            namespace,
            kept,
            subscribers: BTreeMap::new(),
            members,
            count,
            beside: Beside::default(),
            maker,
        })
    }

    /// Gives a channel its row.
    fn place(&mut self, channel: Channel) -> ChannelIdx {
        let name = channel.name.clone();
        let idx = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            ChannelIdx(self.rows.len() as u32 - 1)
        });
        if channel.count.is_some() {
            self.timetable.counts_due.insert(idx);
        }
        self.rows[idx.at()] = Some(Box::new(channel));
        self.by_name.insert(name, idx);
        idx
    }

    /// Forgets a channel.
    fn remove(&mut self, idx: ChannelIdx) -> Option<Box<Channel>> {
        let channel = self.rows[idx.at()].take()?;
        self.bytes -= channel.log.bytes();
        self.recalled -= channel.log.recalled.len();
        self.timetable.forget(idx, &channel);
        self.by_name.remove(&channel.name);
        self.free.push(idx);
        Some(channel)
    }
}

impl Index<ChannelIdx> for Channels {
    type Output = Channel;
    fn index(&self, idx: ChannelIdx) -> &Channel {
        self.rows[idx.at()].as_deref().expect("a channel stands while somebody follows it")
    }
}

impl IndexMut<ChannelIdx> for Channels {
    fn index_mut(&mut self, idx: ChannelIdx) -> &mut Channel {
        self.rows[idx.at()].as_deref_mut().expect("a channel stands while somebody follows it")
    }
}

/// The oldest tick whose events are still kept.
fn oldest_kept(now: Tick, retention_ticks: u32) -> Tick {
    now - retention_ticks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;
    use starling_protocol::space::Space;

    fn channels() -> Channels {
        Channels::new(&WorldConfig::new("w", Space::Metric, Profile::Events))
    }

    fn plain(channels: &mut Channels, name: &str) -> Result<ChannelIdx, CloseCode> {
        channels.find_or_make(name, ChannelKind::Plain, None)
    }

    #[test]
    fn a_channel_that_is_made_again_has_another_epoch() {
        let mut channels = channels();
        let first = plain(&mut channels, "a").expect("room");
        let epoch = channels[first].log.top().epoch;
        channels.remove(first);
        assert!(channels.find("a").is_none());
        let second = plain(&mut channels, "a").expect("room");
        assert_ne!(channels[second].log.top().epoch, epoch);
    }

    fn large() -> Record {
        Record { payload: vec![0; 16 * 1024], ..Record::new(Tick(0), 0) }
    }

    #[test]
    fn all_channels_together_keep_no_more_than_they_may() {
        let mut channels = channels();
        for i in 0..20_000 {
            let idx = plain(&mut channels, &format!("c{}", i % 5_000)).expect("room");
            channels.make_room().expect("there is always an older half");
            channels.append(idx, Arc::new(large()));
        }
        let kept: usize = channels.iter().map(|channel| channel.log.bytes()).sum();
        assert_eq!(kept, channels.bytes);
        assert!(kept <= CHANNELS_BYTES_MAX + 17 * 1024);
        let tops = channels.iter().filter(|c| !c.is_the_worlds()).map(|c| c.log.top().offset.0);
        assert_eq!(tops.sum::<u64>(), 20_000, "numbers go on whatever is forgotten");
    }

    #[test]
    fn a_world_has_a_most_of_channels() {
        let mut channels = channels();
        let made =
            (0..CHANNELS_MAX).filter(|i| plain(&mut channels, &format!("c{i}")).is_ok()).count();
        assert_eq!(made, CHANNELS_MAX - 1, "the presence list of the world is one of them");
        assert!(plain(&mut channels, "c0").is_ok(), "what stands can still be found");
    }
}
