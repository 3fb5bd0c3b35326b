//! What a session is told no more when its grant has ended or was narrowed (P12).
//!
//! A token that ends leaves its session ten seconds for a fresh one. In these it is told nothing
//! but answers on the control stream: no event, no page, no snapshot. All of it waits where it is,
//! and goes on with a fresh token as if nothing had been.

use super::SessionIdx;
use crate::World;
use crate::mail::About;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::ChannelKey;

impl World {
    /// Looks whether the token of a session has ended, and mutes it or lets it be told again.
    pub(super) fn judge_token(&mut self, idx: SessionIdx) {
        let now = self.now;
        let session = &mut self.sessions[idx];
        let ended = session.expires.is_some_and(|end| end <= now);
        let silent = ended || session.held;
        if std::mem::replace(&mut session.muted, silent) && !silent {
            session.mail.renew(now);
            self.sessions.mark_dirty(idx);
        }
    }

    /// Takes what waits out of the mail that these ended subscriptions would have told, and where
    /// the session may look no more, entities.
    pub(crate) fn withdraw(&mut self, idx: SessionIdx, ended: &[ChannelKey]) {
        let session = &mut self.sessions[idx];
        let may_look = session.principal.grants.see;
        session.mail.retain(|stream, about| match about {
            About::Nothing => may_look || stream != StreamKind::Bulk,
            About::Channel(key) => !ended.contains(&key),
            About::Channels => ended.is_empty(),
        });
    }
}
