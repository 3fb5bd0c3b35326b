//! Channels come into being by being named, within what one session may bring about.
//!
//! A gateway or a host speaks for many and may name a channel for each, so one more is allowed for
//! every entity that it owns.

use super::{ChannelIdx, ChannelKind};
use crate::World;
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::CHANNELS_MADE_MAX;
use starling_protocol::units::SessionId;

impl World {
    /// The channel of this kind and full name, made now for a session if need be.
    ///
    /// # Errors
    /// `LIMIT` when the world holds as many as it may, or as many as this one may make.
    pub(crate) fn channel_for(
        &mut self,
        idx: SessionIdx,
        name: &str,
        kind: ChannelKind,
    ) -> Result<ChannelIdx, CloseCode> {
        if let Some(channel) = self.channels.find(name) {
            return Ok(channel);
        }
        let session = &mut self.sessions[idx];
        if session.channels_made >= CHANNELS_MADE_MAX + session.owned.len() {
            return Err(CloseCode::LIMIT);
        }
        let channel = self.channels.find_or_make(name, kind, Some(session.id))?;
        session.channels_made += 1;
        Ok(channel)
    }

    /// A channel is forgotten: its maker, if it is there still, may make another.
    pub(super) fn channel_forgotten(&mut self, maker: Option<SessionId>) {
        self.counters.channels_forgotten += 1;
        if let Some(idx) = maker.and_then(|id| self.sessions.by_id(id)) {
            self.sessions[idx].channels_made -= 1;
        }
    }
}
