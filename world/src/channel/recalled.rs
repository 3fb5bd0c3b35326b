//! Messages that were read again from the disk, as somebody changes, answers or notes on them.
//!
//! While one is recalled, what is known of it lies beside the log as of any other in memory. It can be
//! let go at any time: whatever was made of it is on disk, or on the way there.

use super::log::{Log, Record};
use super::versions::target_of;
use super::{ChannelIdx, Channels};
use crate::durable::aside::Asides;
use starling_protocol::message::events::Action;
use starling_protocol::units::Offset;
use std::sync::Arc;

/// Messages recalled of one channel, and of all channels of a world.
const OF_CHANNEL_MAX: usize = 64;
const OF_WORLD_MAX: usize = 4_096;

impl Log {
    /// Was this message read again?
    pub(crate) fn is_recalled(&self, offset: Offset) -> bool {
        self.recalled.contains_key(&offset)
    }

    /// All that were read again, in order.
    pub(crate) fn recalled(&self) -> impl Iterator<Item = (Offset, &Record)> {
        self.recalled.iter().map(|(offset, record)| (*offset, record.as_ref()))
    }

    /// Is something about this message on its way to the disk? What the disk says of it is not the
    /// last word then.
    pub(crate) fn is_under_way(&self, message: Offset) -> bool {
        let about = |record: &Record| match record.action {
            Action::Message => record.parent == Some(message),
            Action::Delete(to) if self.any(to).and_then(|r| r.parent) == Some(message) => true,
            action => target_of(action) == Some(message),
        };
        let unseen = self.top().offset.0 + 1..=self.newest().0;
        unseen.map(Offset).filter_map(|offset| self.any(offset)).any(about)
    }
}

impl Channels {
    /// Takes in a message that was read again and what is known of it; `false` where too many are.
    pub(crate) fn recall(
        &mut self,
        idx: ChannelIdx,
        message: Offset,
        record: Record,
        mut known: Asides,
    ) -> bool {
        if self[idx].log.recalled.len() >= OF_CHANNEL_MAX {
            self.let_go_quiet(idx);
        }
        if self[idx].log.recalled.len() >= OF_CHANNEL_MAX || self.recalled >= OF_WORLD_MAX {
            return false;
        }
        let old = self[idx].log.recalled.insert(message, Arc::new(record));
        self.recalled += usize::from(old.is_none());
        self.with_beside(idx, |beside| {
            beside.versions.adopt(message, &mut known.versions);
            beside.notes.adopt(message, &mut known.notes);
        });
        true
    }

    /// Lets a message go, if it was recalled.
    pub(crate) fn let_go(&mut self, idx: ChannelIdx, message: Offset) {
        if self[idx].log.recalled.remove(&message).is_some() {
            self.recalled -= 1;
            self.with_beside(idx, |beside| {
                beside.versions.leave(message);
                beside.notes.end(message);
            });
        }
    }

    /// Lets those go of which nothing is on its way to the disk.
    pub(crate) fn let_go_quiet(&mut self, idx: ChannelIdx) {
        let log = &self[idx].log;
        let quiet = log.recalled.keys().copied().filter(|message| !log.is_under_way(*message));
        for message in quiet.collect::<Vec<_>>() {
            self.let_go(idx, message);
        }
    }

    /// Lets those go that come before an event: they are kept no longer.
    pub(super) fn let_go_before(&mut self, idx: ChannelIdx, first: Offset) {
        let gone = self[idx].log.recalled.range(..first).map(|(message, _)| *message);
        for message in gone.collect::<Vec<_>>() {
            self.let_go(idx, message);
        }
    }
}
