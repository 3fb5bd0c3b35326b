//! What names, namespaces and grants let a session do in a channel.
//!
//! Asked when something is asked for, and again before something is told, so that a grant that was
//! narrowed holds at once (P12).

use super::name::{self, Name, WORLD_PRESENCE};
use crate::World;
use crate::grants::Principal;
use crate::namespace::Access;
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::Publish;

/// The grant to publish to every user.
const ANY_USER: &str = "@user";

impl World {
    /// May a session follow what has this name?
    ///
    /// # Errors
    /// `BAD_NAME`, `UNKNOWN_CHANNEL`, `FORBIDDEN`.
    pub(crate) fn check_subscribe(&self, idx: SessionIdx, name: &str) -> Result<(), CloseCode> {
        let grants = &self.sessions[idx].principal.grants;
        match name::parse(name, self.realm(idx))? {
            Name::Plain(channel) => {
                let namespace = self.channels.namespace(channel)?;
                allowed(namespace.subscribe, grants.may_subscribe(channel))
            }
            // What is for a user needs no grant of that user, and of another one that says `user/`:
            // a grant of all channels is none of everybody's mail. P12: of another tenant's no grant
            // is any, for that is no user here.
            Name::User(user) => {
                let subject = &self.sessions[idx].principal.subject;
                let by_name = !subject.is_empty() && grants.may_subscribe_by_name(name);
                allowed(Access::Granted, user.is(subject) || by_name)
            }
            Name::Presence("") | Name::Count("") => {
                allowed(Access::Granted, grants.may_see_members(WORLD_PRESENCE, name))
            }
            Name::Presence(channel) | Name::Count(channel) => {
                match self.channels.namespace(channel)?.presence {
                    true => allowed(Access::Granted, grants.may_see_members(channel, name)),
                    false => Err(CloseCode::UNKNOWN_CHANNEL),
                }
            }
        }
    }

    /// May a session be among the members of a channel that it may follow?
    ///
    /// # Errors
    /// `FORBIDDEN`, also where the channel has none.
    pub(crate) fn check_member(&self, idx: SessionIdx, channel: &str) -> Result<(), CloseCode> {
        let namespace = self.channels.namespace(channel)?;
        let grants = &self.sessions[idx].principal.grants;
        let granted = match namespace.subscribe {
            Access::Everyone => grants.presence.is_none() || grants.may_be_among(channel),
            _ => grants.may_be_among(channel),
        };
        allowed(Access::Granted, namespace.presence && granted)
    }

    /// May a session hold leases in this plain channel?
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub(crate) fn check_lease(&self, idx: SessionIdx, channel: &str) -> Result<(), CloseCode> {
        let namespace = self.channels.namespace(channel)?;
        allowed(namespace.publish, self.sessions[idx].principal.grants.may_publish(channel))
    }

    /// May a session read the history of what has this name?
    ///
    /// # Errors
    /// `BAD_NAME`, `UNKNOWN_CHANNEL`, `FORBIDDEN`.
    pub(crate) fn check_read(&self, idx: SessionIdx, name: &str) -> Result<(), CloseCode> {
        let channel = match name::parse(name, self.realm(idx))? {
            Name::Plain(channel) => channel,
            Name::User(_) => return self.check_subscribe(idx, name),
            Name::Presence(_) | Name::Count(_) => return Err(CloseCode::UNKNOWN_CHANNEL),
        };
        let namespace = self.channels.namespace(channel)?;
        let grants = &self.sessions[idx].principal.grants;
        let granted = match namespace.subscribe {
            Access::Everyone => grants.history.is_none() || grants.may_read(channel),
            Access::Granted => grants.may_read(channel),
            Access::Nobody => false,
        };
        allowed(Access::Granted, granted)
    }

    /// May a session set notes on the events of this plain channel?
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub(crate) fn check_annotate(&self, idx: SessionIdx, channel: &str) -> Result<(), CloseCode> {
        let namespace = self.channels.namespace(channel)?;
        allowed(namespace.publish, self.sessions[idx].principal.grants.may_annotate(channel))
    }

    /// May a session publish this to the channel of this name?
    ///
    /// # Errors
    /// `UNKNOWN_CHANNEL`, `FORBIDDEN` (also for a key where there is no state), `TOO_LARGE`.
    pub(crate) fn check_publish(
        &self,
        idx: SessionIdx,
        channel: &str,
        publish: &Publish,
    ) -> Result<(), CloseCode> {
        let Principal { subject, grants, .. } = &self.sessions[idx].principal;
        let granted = match name::parse(channel, self.realm(idx))? {
            Name::Plain(_) => grants.may_publish(channel),
            // Where nobody has a name there are no users.
            Name::User(_) if subject.is_empty() => return Err(CloseCode::UNKNOWN_CHANNEL),
            Name::User(_) => grants.may_publish(channel) || grants.may_publish(ANY_USER),
            Name::Presence(_) | Name::Count(_) => return Err(CloseCode::UNKNOWN_CHANNEL),
        };
        let namespace = self.channels.namespace(channel)?;
        allowed(namespace.publish, granted)?;
        allowed(Access::Granted, namespace.state || publish.key.is_none())?;
        match publish.payload.len() > namespace.payload_bytes_max {
            true => Err(CloseCode::TOO_LARGE),
            false => Ok(()),
        }
    }
}

const fn allowed(access: Access, granted: bool) -> Result<(), CloseCode> {
    match access {
        Access::Everyone => Ok(()),
        Access::Granted if granted => Ok(()),
        _ => Err(CloseCode::FORBIDDEN),
    }
}
