//! Message ids of the last ten minutes, so that a publish that is repeated creates nothing new.
//!
//! P7: they are kept with the events that they brought about, in the same commit, so that a restart
//! forgets neither or both.

use super::rows;
use crate::checksum::Checksum;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::IDEMPOTENCE_SECONDS;
use starling_protocol::message::events::Action;
use starling_protocol::units::{ChannelPosition, MessageId, Offset, SessionId};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Message ids that a world knows at once.
const SEEN_MAX: usize = 1 << 20;
/// Ids of one publisher, of all its sessions: about 100 a second for as long as they are known.
const OF_AUTHOR_MAX: usize = 1 << 16;
/// Where a world knows this many, what is left is for those who have fewer than their share.
const SHARED_MAX: usize = SEEN_MAX / 4 * 3;
const SHARE: usize = 1 << 12;
/// Subjects that are longer are known by their session alone: keys of rows are short.
const SUBJECT_BYTES_MAX: usize = 256;
/// Sessions of one subject that wait for one message.
const WAITING_MAX: usize = 64;
/// An id is forgotten when this many minutes have begun since the one it was accepted in.
const MINUTES: u32 = IDEMPOTENCE_SECONDS.div_ceil(60) + 1;

/// A publisher, as it is known after a restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Author {
    /// A session without a subject.
    Session(SessionId),
    /// All sessions of a subject.
    Subject(Arc<str>),
}

impl Author {
    /// Who publishes from this session.
    pub(crate) fn of(session: SessionId, subject: &str) -> Self {
        match subject.len() {
            1..=SUBJECT_BYTES_MAX => Self::Subject(subject.into()),
            _ => Self::Session(session),
        }
    }
}

/// Where a message stands, and a digest of what it said, 0 where that is not compared: an id that
/// is used again for something else is refused, not taken for a repeat and lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stands {
    pub(crate) at: ChannelPosition,
    pub(crate) content: u64,
}

impl Stands {
    /// Can a message with this content be the same one?
    pub(crate) const fn may_be(&self, content: u64) -> bool {
        content == 0 || self.content == 0 || self.content == content
    }
}

/// A digest of what a message says; never 0.
pub(crate) fn content(
    channel: &str,
    action: Action,
    key: Option<&str>,
    parent: Option<Offset>,
    payload: &[u8],
) -> u64 {
    let mut sum = Checksum::new();
    sum.add_bytes(channel.as_bytes()).add_bytes(&rows::action_bytes(action));
    sum.add_bytes(key.unwrap_or_default().as_bytes()).add(parent.map_or(0, |parent| parent.0));
    sum.add_bytes(payload).value().max(1)
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is on stable storage.
    Kept(Stands),
    /// It will be; these are told when it is.
    Pending(Stands, Vec<SessionId>),
    /// It was accepted, and the row that says where is damaged.
    Damaged,
}

/// Message ids by publisher.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    fates: BTreeMap<(Author, MessageId), Fate>,
    minutes: BTreeMap<u32, Vec<(Author, MessageId)>>,
    /// How many are known of each publisher.
    by_author: BTreeMap<Author, usize>,
}

impl Seen {
    /// P7: can one more of this publisher be remembered? None is forgotten for another, and nobody
    /// takes up what others need.
    ///
    /// # Errors
    /// `RATE_LIMITED` where it has as many as one may have; `OVERLOADED` where there are too many in
    /// all, and it has its share.
    pub(crate) fn check_room(&self, author: &Author) -> Result<(), CloseCode> {
        let (all, own) = (self.fates.len(), self.by_author.get(author).copied().unwrap_or(0));
        match () {
            () if own >= OF_AUTHOR_MAX => Err(CloseCode::RATE_LIMITED),
            () if all >= SEEN_MAX || all >= SHARED_MAX && own >= SHARE => {
                Err(CloseCode::OVERLOADED)
            }
            () => Ok(()),
        }
    }

    /// What became of a message.
    pub(crate) fn find(&self, author: &Author, message: MessageId) -> Option<&Fate> {
        self.fates.get(&(author.clone(), message))
    }

    /// Lets a session wait for a message that is on its way to the disk; `false` if too many do.
    pub(crate) fn wait(&mut self, author: &Author, message: MessageId, session: SessionId) -> bool {
        let fate = self.fates.get_mut(&(author.clone(), message));
        let Some(Fate::Pending(_, waiting)) = fate else { return false };
        if waiting.contains(&session) {
            return true;
        }
        let room = waiting.len() < WAITING_MAX;
        if room {
            waiting.push(session);
        }
        room
    }

    /// Remembers a message.
    pub(crate) fn insert(&mut self, minute: u32, author: Author, message: MessageId, fate: Fate) {
        self.minutes.entry(minute).or_default().push((author.clone(), message));
        if self.fates.insert((author.clone(), message), fate).is_none() {
            *self.by_author.entry(author).or_default() += 1;
        }
    }

    /// A message is on stable storage: returns where it stands and who waits to hear it.
    pub(crate) fn kept(
        &mut self,
        author: &Author,
        message: MessageId,
    ) -> Option<(ChannelPosition, Vec<SessionId>)> {
        let fate = self.fates.get_mut(&(author.clone(), message))?;
        let Fate::Pending(stands, waiting) = fate else { return None };
        let (stands, waiting) = (*stands, std::mem::take(waiting));
        *fate = Fate::Kept(stands);
        Some((stands.at, waiting))
    }

    /// Forgets what is older than ten minutes; returns the keys of the rows that go with it.
    pub(crate) fn prune(&mut self, minute: u32) -> Option<Range<Vec<u8>>> {
        let first = minute.saturating_sub(MINUTES - 1);
        let newer = self.minutes.split_off(&first);
        let old = std::mem::replace(&mut self.minutes, newer);
        let (oldest, _) = old.first_key_value()?;
        let start = oldest.to_be_bytes().to_vec();
        old.values().flatten().for_each(|id| self.forget(id, first));
        Some(start..first.to_be_bytes().to_vec())
    }

    /// One whose commit takes longer than ten minutes is remembered on.
    fn forget(&mut self, id: &(Author, MessageId), minute: u32) {
        match self.fates.get(id) {
            Some(Fate::Pending(..)) => self.minutes.entry(minute).or_default().push(id.clone()),
            Some(_) => {
                self.fates.remove(id);
                self.let_one_go(&id.0);
            }
            None => {}
        }
    }

    fn let_one_go(&mut self, author: &Author) {
        if let Some(own) = self.by_author.get_mut(author) {
            *own -= 1;
            if *own == 0 {
                self.by_author.remove(author);
            }
        }
    }

    /// The newest minute in which a message was accepted.
    pub(crate) fn newest_minute(&self) -> Option<u32> {
        self.minutes.last_key_value().map(|(minute, _)| *minute)
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for (minute, ids) in &self.minutes {
            for (author, message) in ids {
                sum.add_bytes(&rows::seen_key(*minute, author, *message));
                match self.find(author, *message) {
                    Some(Fate::Kept(Stands { at, content })) => {
                        sum.add(1u8).add(at.epoch.0).add(at.offset.0).add(*content)
                    }
                    Some(Fate::Pending(Stands { at, .. }, waiting)) => {
                        for session in waiting {
                            sum.add(session.0);
                        }
                        sum.add(2u8).add(at.epoch.0).add(at.offset.0)
                    }
                    _ => sum.add(3u8),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::units::Epoch;

    fn at(offset: u64) -> Stands {
        Stands { at: ChannelPosition { epoch: Epoch(1), offset: Offset(offset) }, content: 9 }
    }

    #[test]
    fn a_message_is_remembered_for_ten_minutes_and_its_row_goes_with_it() {
        let (mut seen, alice) = (Seen::default(), Author::of(SessionId(1), "alice"));
        seen.insert(100, alice.clone(), MessageId(5), Fate::Kept(at(1)));
        assert_eq!(seen.prune(110), None);
        assert_eq!(seen.find(&alice, MessageId(5)), Some(&Fate::Kept(at(1))));
        let gone = seen.prune(111).expect("its minute is over");
        assert!(gone.contains(&rows::seen_key(100, &alice, MessageId(5))));
        assert!(!gone.contains(&rows::seen_key(101, &alice, MessageId(5))));
        assert_eq!(seen.find(&alice, MessageId(5)), None);
    }

    #[test]
    fn everyone_who_waits_is_told_once_and_a_pending_one_is_never_forgotten() {
        let (mut seen, alice) = (Seen::default(), Author::of(SessionId(1), "alice"));
        let waiting = Fate::Pending(at(7), vec![SessionId(1)]);
        seen.insert(100, alice.clone(), MessageId(5), waiting);
        assert!(seen.wait(&alice, MessageId(5), SessionId(2)));
        assert!(seen.wait(&alice, MessageId(5), SessionId(1)));
        assert!(seen.prune(500).is_some());
        let told = seen.kept(&alice, MessageId(5));
        assert_eq!(told, Some((at(7).at, vec![SessionId(1), SessionId(2)])));
        assert_eq!(seen.kept(&alice, MessageId(5)), None);
        assert!(!seen.wait(&alice, MessageId(5), SessionId(3)), "it is there already");
    }

    /// (P7) One who says all that it may takes nothing from another, and gets its room back.
    #[test]
    fn nobody_takes_up_what_others_need() {
        let author = |n: usize| Author::of(SessionId(1), &format!("author {n}"));
        let mut seen = Seen::default();
        let say = |seen: &mut Seen, who: usize, count: usize| {
            for id in 0..count {
                seen.insert(100, author(who), MessageId(id as u64), Fate::Kept(at(1)));
            }
        };
        seen.insert(100, author(99), MessageId(7), Fate::Kept(at(3)));
        say(&mut seen, 0, OF_AUTHOR_MAX);
        assert_eq!(seen.check_room(&author(0)), Err(CloseCode::RATE_LIMITED));
        assert_eq!(seen.check_room(&author(1)), Ok(()));
        (1..=SHARED_MAX / OF_AUTHOR_MAX).for_each(|who| say(&mut seen, who, OF_AUTHOR_MAX - 1));
        assert_eq!(seen.check_room(&author(1)), Err(CloseCode::OVERLOADED));
        assert_eq!(seen.check_room(&author(50)), Ok(()), "it has not had its share");
        assert_eq!(seen.find(&author(99), MessageId(7)), Some(&Fate::Kept(at(3))));
        assert!(seen.prune(111).is_some());
        assert_eq!(seen.check_room(&author(0)), Ok(()));
        assert!(seen.by_author.is_empty() && seen.fates.is_empty());
    }

    #[test]
    fn a_bounded_number_of_sessions_waits() {
        let (mut seen, alice) = (Seen::default(), Author::of(SessionId(1), "alice"));
        seen.insert(1, alice.clone(), MessageId(5), Fate::Pending(at(7), Vec::new()));
        let taken = (0..100).filter(|id| seen.wait(&alice, MessageId(5), SessionId(*id))).count();
        assert_eq!(taken, WAITING_MAX);
    }

    #[test]
    fn a_subject_is_one_publisher_and_without_one_each_session_is() {
        let of = |id, subject: &str| Author::of(SessionId(id), subject);
        assert_eq!(of(1, "alice"), of(2, "alice"));
        assert_ne!(of(1, ""), of(2, ""));
        let long = "x".repeat(SUBJECT_BYTES_MAX + 1);
        assert_ne!(of(1, &long), of(2, &long));
    }

    #[test]
    fn what_says_something_else_is_another_message() {
        let say =
            |channel, key, payload: &[u8]| content(channel, Action::Message, key, None, payload);
        let one = say("a", None, b"x");
        assert_eq!(one, say("a", None, b"x"));
        let others = [say("b", None, b"x"), say("a", Some("k"), b"x"), say("a", None, b"y")];
        assert!(others.iter().all(|other| *other != one && *other != 0));
        assert!(at(1).may_be(0) && at(1).may_be(9) && !at(1).may_be(8));
    }
}
