//! Who is there: a list that starts as a snapshot and follows the events of its channel.

use crate::error::RequestError;
use crate::session::outbox::Outbox;
use starling_protocol::limits::{MEMBER_DATA_BYTES_MAX, PRESENCE_MEMBERS_MAX};
use starling_protocol::message::events::{Action, Event, EventUp, Member, MemberState, Publisher};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::SessionId;
use std::collections::BTreeMap;

/// The members of a channel, in order of their sessions.
///
/// ```
/// use starling_client::{ConnectOptions, Session, SubscribeOptions};
/// use starling_protocol::units::Nanos;
///
/// # fn main() -> Result<(), starling_client::RequestError> {
/// let mut session = Session::new(Nanos(0), ConnectOptions::new("plaza"));
/// let lobby = session.subscribe("presence/lobby", SubscribeOptions::default())?;
/// let members = session.presence(lobby).expect("a name that begins like this is a list");
/// assert!(members.is_empty(), "nothing was answered yet");
/// let names: Vec<_> = members.iter().map(|member| &member.subject).collect();
/// # assert!(names.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct PresenceList {
    members: BTreeMap<SessionId, Member>,
    /// How many sessions of each user are there, by name.
    users: BTreeMap<String, usize>,
    /// Sessions of users without a name.
    nameless: usize,
    /// A new snapshot, until its last page is here.
    incoming: Option<BTreeMap<SessionId, Member>>,
}

/// What an event did to the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PresenceChange {
    Joined(Member),
    Changed(Member),
    Left(SessionId),
}

/// Who is on the list now, or in another way, and who is no more.
type Changes = (Vec<Member>, Vec<SessionId>);

impl PresenceList {
    /// Those who are there.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// Is this session there?
    #[must_use]
    pub fn contains(&self, session: SessionId) -> bool {
        self.members.contains_key(&session)
    }

    /// How this session is there.
    #[must_use]
    pub fn get(&self, session: SessionId) -> Option<&Member> {
        self.members.get(&session)
    }

    /// How many users are there: sessions of the same subject count once, and each one without a
    /// subject by itself.
    #[must_use]
    pub fn users(&self) -> usize {
        self.users.len() + self.nameless
    }

    /// How many sessions of this user are there.
    #[must_use]
    pub fn sessions_of(&self, subject: &str) -> usize {
        self.users.get(subject).copied().unwrap_or(0)
    }

    /// How many sessions are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The list follows anew from a snapshot.
    pub(crate) fn restart(&mut self) {
        self.incoming = Some(BTreeMap::new());
    }

    /// One page of a snapshot. True when the list is complete again.
    pub(crate) fn page(&mut self, members: Vec<Member>, last: bool) -> bool {
        let incoming = self.incoming.get_or_insert_default();
        let room = PRESENCE_MEMBERS_MAX.saturating_sub(incoming.len());
        incoming.extend(members.into_iter().take(room).map(|m| (m.session, m)));
        if last {
            (self.users, self.nameless) = (BTreeMap::new(), 0);
            self.members = BTreeMap::new();
            for member in self.incoming.take().unwrap_or_default().into_values() {
                self.put(member);
            }
        }
        last
    }

    /// A run of changes at once. Only what is news of it is told.
    pub(crate) fn apply_run(&mut self, here: Vec<Member>, left: Vec<SessionId>) -> Changes {
        let mut changes = (Vec::new(), left);
        changes.1.retain(|session| self.take(*session));
        for member in here {
            if self.members.get(&member.session) != Some(&member) && self.put(member.clone()) {
                changes.0.push(member);
            }
        }
        changes
    }

    /// Adds a member, or changes one; false where there is no room for it.
    fn put(&mut self, member: Member) -> bool {
        self.take(member.session);
        if self.members.len() >= PRESENCE_MEMBERS_MAX {
            return false;
        }
        match member.subject.as_str() {
            "" => self.nameless += 1,
            subject => *self.users.entry(subject.to_owned()).or_default() += 1,
        }
        self.members.insert(member.session, member);
        true
    }

    /// Removes a member; false if it was none.
    fn take(&mut self, session: SessionId) -> bool {
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

    /// Applies one event of the list's channel; `None` when it is nothing of a member.
    pub(crate) fn apply(&mut self, event: &Event) -> Option<PresenceChange> {
        let Publisher { session, subject } = event.publisher.clone()?;
        match event.action {
            Action::Join => {
                let (state, data) = (MemberState::Here, event.payload.clone());
                let member = Member { session, subject, since: event.tick, state, data };
                self.put(member.clone());
                Some(PresenceChange::Joined(member))
            }
            Action::Change(state) => {
                let member = self.members.get_mut(&session)?;
                (member.state, member.data) = (state, event.payload.clone());
                Some(PresenceChange::Changed(member.clone()))
            }
            Action::Leave => {
                self.take(session);
                Some(PresenceChange::Left(session))
            }
            _ => None,
        }
    }
}

/// How this session is there, once it has said so.
#[derive(Debug, Default)]
pub(crate) struct OwnPresence {
    said: Option<(MemberState, Vec<u8>)>,
    told: bool,
}

impl OwnPresence {
    pub(crate) fn say(&mut self, away: bool, data: &[u8]) -> Result<(), RequestError> {
        if data.len() > MEMBER_DATA_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        let state = if away { MemberState::Away } else { MemberState::Here };
        *self = Self { said: Some((state, data.to_vec())), told: false };
        Ok(())
    }

    /// Another connection: what was said is said again, which changes nothing where it is known.
    pub(crate) fn forget_told(&mut self) {
        self.told = false;
    }

    pub(crate) fn flush(&mut self, outbox: &mut Outbox) {
        if let Some((state, data)) = self.said.as_ref().filter(|_| !self.told)
            && outbox.has_room(StreamKind::Events)
        {
            let message = EventUp::Presence { state: *state, data: data.clone() };
            self.told = outbox.event(&message).is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::units::{ChannelKey, MessageId, Offset, Tick};

    fn member(session: u64) -> Member {
        Member {
            session: SessionId(session),
            subject: String::new(),
            since: Tick(1),
            state: MemberState::Here,
            data: Vec::new(),
        }
    }

    fn event(session: u64, action: Action) -> Event {
        Event {
            key: ChannelKey(1),
            offset: Offset(1),
            tick: Tick(9),
            unix_ms: 0,
            publisher: Some(Publisher { session: SessionId(session), subject: String::new() }),
            message: MessageId(0),
            action,
            state_key: None,
            parent: None,
            payload: Vec::new(),
        }
    }

    #[test]
    fn a_snapshot_in_pages_replaces_the_list_only_when_it_is_complete() {
        let mut list = PresenceList::default();
        list.restart();
        assert!(list.page(vec![member(1)], true));
        list.restart();
        assert!(!list.page(vec![member(2)], false));
        assert!(list.contains(SessionId(1)));
        assert!(list.page(vec![member(3)], true));
        let sessions: Vec<u64> = list.iter().map(|m| m.session.0).collect();
        assert_eq!(sessions, [2, 3]);
    }

    #[test]
    fn joins_and_leaves_follow() {
        let mut list = PresenceList::default();
        assert!(matches!(list.apply(&event(5, Action::Join)), Some(PresenceChange::Joined(_))));
        assert_eq!(list.len(), 1);
        let left = list.apply(&event(5, Action::Leave));
        assert_eq!(left, Some(PresenceChange::Left(SessionId(5))));
        assert!(list.is_empty());
        assert_eq!(list.apply(&event(5, Action::Message)), None);
    }

    #[test]
    fn a_member_changes_and_keeps_since_when_it_is_there() {
        let mut list = PresenceList::default();
        list.apply(&event(5, Action::Join));
        let change = Event { tick: Tick(99), ..event(5, Action::Change(MemberState::Away)) };
        let changed = Member { state: MemberState::Away, since: Tick(9), ..member(5) };
        assert_eq!(list.apply(&change), Some(PresenceChange::Changed(changed.clone())));
        assert_eq!(list.get(SessionId(5)), Some(&changed));
        assert_eq!(list.apply(&event(6, Action::Change(MemberState::Away))), None, "not there");
    }

    #[test]
    fn a_run_is_told_as_far_as_it_is_news() {
        let mut list = PresenceList::default();
        list.restart();
        list.page(vec![member(1), member(2)], true);
        let away = Member { state: MemberState::Away, ..member(2) };
        let here = vec![member(1), away.clone(), member(3)];
        let news = list.apply_run(here, vec![SessionId(9)]);
        assert_eq!(news, (vec![away, member(3)], vec![]));
        assert_eq!(list.apply_run(vec![], vec![SessionId(1)]).1, [SessionId(1)]);
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn sessions_of_one_user_count_once() {
        let mut list = PresenceList::default();
        let of = |session, subject: &str| Member { subject: subject.into(), ..member(session) };
        list.restart();
        list.page(vec![of(1, "a"), of(2, "a"), of(3, ""), of(4, "")], true);
        assert_eq!((list.len(), list.users(), list.sessions_of("a")), (4, 3, 2));
        list.apply_run(vec![], vec![SessionId(1)]);
        assert_eq!((list.users(), list.sessions_of("a")), (3, 1));
        list.apply_run(vec![of(2, "a")], vec![SessionId(3)]);
        assert_eq!((list.users(), list.sessions_of("a")), (2, 1));
        list.apply_run(vec![], vec![SessionId(2)]);
        assert_eq!((list.users(), list.sessions_of("a")), (1, 0));
    }
}
