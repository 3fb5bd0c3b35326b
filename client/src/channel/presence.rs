//! Who is there: a list that starts as a snapshot and follows the events of its channel.

use starling_protocol::limits::PRESENCE_MEMBERS_MAX;
use starling_protocol::message::events::{Action, Event, Member, MemberState, Publisher};
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
    /// A new snapshot, until its last page is here.
    incoming: Option<BTreeMap<SessionId, Member>>,
}

/// What an event did to the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PresenceChange {
    Joined(Member),
    Left(SessionId),
}

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

    /// How many are there.
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
            self.members = self.incoming.take().unwrap_or_default();
        }
        last
    }

    /// Applies one event of the list's channel; `None` when it is no join or leave.
    pub(crate) fn apply(&mut self, event: &Event) -> Option<PresenceChange> {
        let Publisher { session, subject } = event.publisher.clone()?;
        match event.action {
            Action::Join => {
                let (state, data) = (MemberState::Here, event.payload.clone());
                let member = Member { session, subject, since: event.tick, state, data };
                if self.members.len() < PRESENCE_MEMBERS_MAX {
                    self.members.insert(session, member.clone());
                }
                Some(PresenceChange::Joined(member))
            }
            Action::Leave => {
                self.members.remove(&session);
                Some(PresenceChange::Left(session))
            }
            _ => None,
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
}
