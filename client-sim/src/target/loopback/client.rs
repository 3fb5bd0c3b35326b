//! A client of the loopback server.

use crate::target::{ChannelNo, ClientPlan, EntityNo};
use std::collections::BTreeSet;

pub(super) struct Client {
    pub plan: ClientPlan,
    pub held: BTreeSet<EntityNo>,
    /// Events that came by place, and by each channel, so far.
    pub inbox: u64,
    pub offsets: Vec<(ChannelNo, u64)>,
}

impl Client {
    pub(super) fn next_offset(&mut self, channel: Option<ChannelNo>) -> u64 {
        let offset = match channel {
            None => &mut self.inbox,
            Some(channel) => match self.offsets.iter().position(|(c, _)| *c == channel) {
                Some(at) => &mut self.offsets[at].1,
                None => {
                    self.offsets.push((channel, 0));
                    let last = self.offsets.len() - 1;
                    &mut self.offsets[last].1
                }
            },
        };
        *offset += 1;
        *offset
    }
}
