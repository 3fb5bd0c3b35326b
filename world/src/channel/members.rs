//! The members of a presence list.

use super::log::Log;
use starling_protocol::message::events::Member;
use starling_protocol::units::{ChannelPosition, SessionId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A cached list of members is used again while the events since are this few.
const SNAPSHOT_LAG_MAX: u64 = 64;

/// Who is here.
#[derive(Debug, Default)]
pub(crate) struct MemberList {
    members: BTreeMap<SessionId, Member>,
    /// All members as of a place in the list's log, shared by those who read it page by page.
    snapshot: Option<(ChannelPosition, Arc<[Member]>)>,
}

impl MemberList {
    /// Adds a member; `false` if it was one already.
    pub(crate) fn insert(&mut self, member: Member) -> bool {
        self.members.insert(member.session, member).is_none()
    }

    /// Removes a member; `false` if it was none.
    pub(crate) fn remove(&mut self, session: SessionId) -> bool {
        self.members.remove(&session).is_some()
    }

    /// Every member, in order of session.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> + '_ {
        self.members.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Every member as of a place from which `log` still has every event on.
    ///
    /// Many who ask at once share one list, although members come and go between them: the events
    /// since its place follow it.
    pub(crate) fn snapshot(&mut self, log: &Log) -> (ChannelPosition, Arc<[Member]>) {
        let top = log.top();
        if let Some((at, members)) = &self.snapshot
            && top.offset.0 - at.offset.0 <= SNAPSHOT_LAG_MAX
            && log.has_all_after(at.offset)
        {
            return (*at, Arc::clone(members));
        }
        let members: Arc<[Member]> = self.members.values().cloned().collect();
        self.snapshot = Some((top, Arc::clone(&members)));
        (top, members)
    }

    /// Gives back the memory of the cached list.
    pub(crate) fn forget_snapshot(&mut self) {
        self.snapshot = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::log::Record;
    use crate::channel::policy::ChannelPolicy;
    use starling_protocol::message::events::Action;
    use starling_protocol::message::events::MemberState;
    use starling_protocol::units::{Epoch, Tick};

    fn member(session: u64) -> Member {
        let (state, data) = (MemberState::Here, Vec::new());
        Member { session: SessionId(session), subject: String::new(), since: Tick(0), state, data }
    }

    fn join() -> Arc<Record> {
        Arc::new(Record { action: Action::Join, ..Record::new(Tick(0), 0) })
    }

    #[test]
    fn a_list_is_shared_until_too_much_has_changed() {
        let mut list = MemberList::default();
        let mut log = Log::new(Epoch(1), ChannelPolicy::PRESENCE);
        assert!(list.insert(member(1)) && !list.insert(member(1)));
        log.append(join());
        let (at, first) = list.snapshot(&log);
        for _ in 0..SNAPSHOT_LAG_MAX {
            log.append(join());
        }
        let (again, second) = list.snapshot(&log);
        assert!(at == again && Arc::ptr_eq(&first, &second));
        log.append(join());
        assert_eq!(list.snapshot(&log).0, log.top());
        assert!(list.remove(SessionId(1)) && !list.remove(SessionId(1)));
        assert!(list.is_empty());
    }
}
