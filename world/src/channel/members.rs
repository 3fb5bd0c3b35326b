//! The members of a presence list.

use super::log::{Log, Record};
use super::policy::ChannelPolicy;
use starling_protocol::message::events::{Action, EventDown, Member, MemberState};
use starling_protocol::units::{ChannelKey, ChannelPosition, Offset, SessionId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a member takes beside its name and what it shows.
pub(super) const MEMBER_BYTES: usize = 24;
/// A list of members is used again while the events since are this few, or this part of it.
const SNAPSHOT_LAG_MAX: u64 = 64;
const SNAPSHOT_LAG_PART: u64 = 16;
/// Whoever is this many events behind is told what came of them, and not each.
const RUN_EVENTS_MIN: u64 = 16;
/// The most of them in one message, and bytes of it.
const RUN_EVENTS_MAX: u64 = 1_024;
const RUN_BYTES_MAX: usize = 16 * 1024;
/// A list of more members tells its followers once a tick, so that they are told in runs.
const LONG: usize = 256;

/// Who is here.
#[derive(Debug, Default)]
pub(crate) struct MemberList {
    members: BTreeMap<SessionId, Arc<Member>>,
    /// How many sessions of each user are here, by name.
    users: BTreeMap<String, u32>,
    /// Sessions of users without a name, each of which counts as one.
    nameless: u32,
    /// All members as of a place in the list's log, shared by those who read it page by page.
    snapshot: Option<(ChannelPosition, Arc<[Arc<Member>]>)>,
}

impl MemberList {
    /// Adds a member; `false` if it was one already.
    pub(crate) fn insert(&mut self, member: Member) -> bool {
        if self.members.contains_key(&member.session) {
            return false;
        }
        match member.subject.as_str() {
            "" => self.nameless += 1,
            subject => *self.users.entry(subject.to_owned()).or_default() += 1,
        }
        self.members.insert(member.session, Arc::new(member));
        true
    }

    /// Removes a member; `false` if it was none.
    pub(crate) fn remove(&mut self, session: SessionId) -> bool {
        let Some(member) = self.members.remove(&session) else { return false };
        if member.subject.is_empty() {
            self.nameless -= 1;
        } else if let Some(sessions) = self.users.get_mut(&member.subject) {
            *sessions -= 1;
            if *sessions == 0 {
                self.users.remove(&member.subject);
            }
        }
        true
    }

    /// A member is here in another way; `false` if it is none, or is so already.
    pub(crate) fn change(&mut self, session: SessionId, state: MemberState, data: &[u8]) -> bool {
        let Some(member) = self.members.get_mut(&session) else { return false };
        if member.state == state && member.data == data {
            return false;
        }
        let member = Arc::make_mut(member);
        (member.state, member.data) = (state, data.to_vec());
        true
    }

    /// Every member, in order of session.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> + '_ {
        self.members.values().map(Arc::as_ref)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Users and sessions.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.users.len() as u32 + self.nameless, self.members.len() as u32)
    }

    /// Are there so many that followers are told once a tick?
    pub(crate) fn is_long(&self) -> bool {
        self.members.len() > LONG
    }

    /// What its log keeps.
    pub(crate) fn policy(&self) -> ChannelPolicy {
        ChannelPolicy::presence_of(self.members.len())
    }

    /// Every member as of a place from which `log` still has every event on.
    ///
    /// Many who ask at once share one list, although members come and go between them: the events
    /// since its place follow it.
    pub(crate) fn snapshot(&mut self, log: &Log) -> (ChannelPosition, Arc<[Arc<Member>]>) {
        let top = log.top();
        let lag_max = SNAPSHOT_LAG_MAX.max(self.members.len() as u64 / SNAPSHOT_LAG_PART);
        if let Some((at, members)) = &self.snapshot
            && top.offset.0 - at.offset.0 <= lag_max
            && log.has_all_after(at.offset)
        {
            return (*at, Arc::clone(members));
        }
        let members: Arc<[Arc<Member>]> = self.members.values().cloned().collect();
        self.snapshot = Some((top, Arc::clone(&members)));
        (top, members)
    }

    /// Gives back the memory of the cached list.
    pub(crate) fn forget_snapshot(&mut self) {
        self.snapshot = None;
    }

    /// What came of the events after `read`, for a reader that is far behind.
    pub(super) fn run(&self, key: ChannelKey, log: &Log, read: Offset) -> Option<Run> {
        let behind = log.top().offset.0.saturating_sub(read.0);
        if behind < RUN_EVENTS_MIN {
            return None;
        }
        let mut run = Run { key, from: Offset(read.0 + 1), to: read, changes: BTreeMap::new() };
        let mut bytes = 0;
        while run.to.0 - read.0 < RUN_EVENTS_MAX && bytes < RUN_BYTES_MAX {
            let next = Offset(run.to.0 + 1);
            let Some(record) = log.get(next) else { break };
            bytes += run.take(record, &self.members);
            run.to = next;
        }
        (run.to > read).then_some(run)
    }
}

/// What some events of a list came to.
#[derive(Debug)]
pub(super) struct Run {
    key: ChannelKey,
    from: Offset,
    pub(super) to: Offset,
    changes: BTreeMap<SessionId, Change>,
}

/// What they came to for one session.
#[derive(Debug)]
struct Change {
    was_here: bool,
    now: Now,
}

/// How it is at the end of them.
#[derive(Debug)]
enum Now {
    Gone,
    Here(Member),
    /// Changed, and left after them: that is all there is to tell of it, later.
    Leaving,
}

impl Run {
    /// Takes in the next event; returns about how many bytes it takes.
    fn take(&mut self, record: &Record, members: &BTreeMap<SessionId, Arc<Member>>) -> usize {
        let Some(publisher) = &record.publisher else { return 0 };
        let session = publisher.session;
        let was_here = record.action != Action::Join;
        let change = self.changes.entry(session).or_insert(Change { was_here, now: Now::Gone });
        let member = |since, state| Member {
            session,
            subject: publisher.subject.clone(),
            since,
            state,
            data: record.payload.clone(),
        };
        match (record.action, &mut change.now) {
            (Action::Join, now) => *now = Now::Here(member(record.tick, MemberState::Here)),
            (Action::Change(state), Now::Here(member)) => {
                (member.state, member.data) = (state, record.payload.clone());
            }
            (Action::Change(state), now) => {
                let since = members.get(&session).map(|m| m.since).filter(|s| *s <= record.tick);
                *now = since.map_or(Now::Leaving, |since| Now::Here(member(since, state)));
            }
            (_, now) => *now = Now::Gone,
        }
        MEMBER_BYTES + publisher.subject.len() + record.payload.len()
    }

    pub(super) fn into_message(self) -> EventDown {
        let (mut here, mut left) = (Vec::new(), Vec::new());
        for (session, change) in self.changes {
            match change.now {
                Now::Here(member) => here.push(member),
                Now::Gone if change.was_here => left.push(session),
                Now::Gone | Now::Leaving => {}
            }
        }
        let Self { key, from, to, .. } = self;
        EventDown::MembersChanged { key, from, to, here, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::message::events::Publisher;
    use starling_protocol::units::{Epoch, Tick};

    fn member(session: u64, subject: &str) -> Member {
        let (state, data) = (MemberState::Here, Vec::new());
        Member { session: SessionId(session), subject: subject.into(), since: Tick(0), state, data }
    }

    fn record(session: u64, action: Action) -> Arc<Record> {
        let publisher = Some(Publisher { session: SessionId(session), subject: String::new() });
        Arc::new(Record { action, publisher, ..Record::new(Tick(0), 0) })
    }

    #[test]
    fn a_list_is_shared_until_too_much_has_changed() {
        let mut list = MemberList::default();
        let mut log = Log::new(Epoch(1), ChannelPolicy::PRESENCE);
        assert!(list.insert(member(1, "")) && !list.insert(member(1, "")));
        log.append(record(1, Action::Join));
        let (at, first) = list.snapshot(&log);
        for _ in 0..SNAPSHOT_LAG_MAX {
            log.append(record(1, Action::Join));
        }
        let (again, second) = list.snapshot(&log);
        assert!(at == again && Arc::ptr_eq(&first, &second));
        log.append(record(1, Action::Join));
        assert_eq!(list.snapshot(&log).0, log.top());
        assert!(list.remove(SessionId(1)) && !list.remove(SessionId(1)));
        assert!(list.is_empty());
    }

    #[test]
    fn a_user_with_many_sessions_counts_once_and_each_nameless_one_by_itself() {
        let mut list = MemberList::default();
        for (session, subject) in [(1, "a"), (2, "a"), (3, "b"), (4, ""), (5, "")] {
            assert!(list.insert(member(session, subject)));
        }
        assert_eq!(list.counts(), (4, 5));
        list.remove(SessionId(1));
        assert_eq!(list.counts(), (4, 4), "another session of the user is here still");
        list.remove(SessionId(2));
        list.remove(SessionId(4));
        assert_eq!(list.counts(), (2, 2));
    }

    #[test]
    fn a_run_tells_what_came_of_its_events_alone() {
        let mut log = Log::new(Epoch(1), ChannelPolicy::PRESENCE);
        let list = MemberList::default();
        for session in 0..20 {
            log.append(record(session, Action::Join));
            log.append(record(session, Action::Change(MemberState::Away)));
        }
        (0..10).for_each(|session| {
            log.append(record(session, Action::Leave));
        });
        log.append(record(99, Action::Leave));
        let run = list.run(ChannelKey(1), &log, Offset(0)).expect("far behind");
        let EventDown::MembersChanged { from, to, here, left, .. } = run.into_message() else {
            panic!("a run")
        };
        assert_eq!((from, to), (Offset(1), log.top().offset));
        assert_eq!(left, [SessionId(99)], "who came and went again is not named");
        assert!(here.iter().all(|member| member.state == MemberState::Away));
        assert_eq!(here.len(), 10);
        assert!(list.run(ChannelKey(1), &log, Offset(to.0 - 3)).is_none(), "hardly behind");
    }
}
