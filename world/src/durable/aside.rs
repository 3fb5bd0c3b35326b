//! What later events made of messages, beside the messages: so that it is known also of those that
//! memory does not hold any more.
//!
//! | key: channel, message (8 bytes each, the high one first), and | value, version 1 |
//! |---|---|
//! | 1, offset (8 bytes) | the row of the event that changed it |
//! | 2, offset (8 bytes) | nothing: this event answers it |
//! | 3, kind, user, name | rule, count |
//! | 4, kind, offset (8 bytes) | count: what this event added to a Total |
//!
//! A kind stands behind its length in a byte. A user is a 0 and the session (8 bytes), or a 1 and the
//! subject behind its length in two bytes. Each row is written in the commit of its event and hangs on
//! no other, so that an erasure removes rows and need not read any. They go with their message.

use super::row::{RowPen, RowReader};
use super::rows;
use crate::World;
use crate::channel::ChannelIdx;
use crate::channel::erase::Erased;
use crate::channel::log::Record;
use crate::channel::notes::{Notes, User};
use crate::channel::versions::Versions;
use crate::journal::Table;
use starling_protocol::codec;
use starling_protocol::message::events::{Action, NoteRule, Noted};
use starling_protocol::units::{Offset, SessionId};
use std::ops::Range;

/// The one version of every form so far.
const V1: u8 = 1;
/// What users with longer names noted is known as long as memory holds it: keys of rows are short.
const SUBJECT_BYTES_MAX: usize = 256;

const CHANGE: u8 = 1;
const ANSWER: u8 = 2;
const NOTE: u8 = 3;
const TOTAL: u8 = 4;

/// What a row says of a message.
#[derive(Debug, PartialEq)]
enum Said {
    Change(Offset, Box<Record>),
    Answer,
    Note { kind: String, rule: NoteRule, user: User, name: String, count: u32 },
    Total { kind: String, count: u32 },
}

/// What is known of messages beside what they said.
#[derive(Debug, Default)]
pub(crate) struct Asides {
    pub(crate) versions: Versions,
    pub(crate) notes: Notes,
    /// More is known of this one than can be read at once.
    pub(crate) beyond: Option<Offset>,
}

impl Asides {
    /// Takes in a row about a message; `None` where it cannot be read (P16).
    pub(super) fn take(
        &mut self,
        message: Offset,
        said: &Record,
        row: (&[u8], &[u8]),
    ) -> Option<()> {
        match read(row.0.get(16..)?, row.1)? {
            Said::Change(offset, record) => self.versions.retell(message, said, offset, &record),
            Said::Answer => self.versions.answered(message, 1),
            Said::Note { kind, rule, user, name, count } => {
                self.notes.restore(message, &kind, rule, (&user, &name), count);
            }
            Said::Total { kind, count } => {
                let user = User::Named(String::new());
                self.notes.restore(message, &kind, NoteRule::Total, (&user, ""), count);
            }
        }
        Some(())
    }
}

/// The keys of all rows about messages, from the first up to, and without, the second.
pub(super) fn keys(channel: u64, messages: Range<Offset>) -> Range<Vec<u8>> {
    rows::event_keys(channel, messages)
}

/// The channel and the message that a row is about.
pub(super) fn about(key: &[u8]) -> Option<(u64, Offset)> {
    rows::read_event_key(key.get(..16)?)
}

fn key(channel: u64, message: Offset, tag: u8, rest: &[&[u8]]) -> Vec<u8> {
    [&rows::event_key(channel, message), &[tag][..], &rest.concat()].concat()
}

/// The keys that begin like this.
fn beginning(start: Vec<u8>) -> Range<Vec<u8>> {
    let mut end = start.clone();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    start..end
}

fn kind_bytes(kind: &str) -> Vec<u8> {
    [&[kind.len() as u8][..], kind.as_bytes()].concat()
}

/// `None` for a name that is too long for a key.
fn user_bytes(user: &User) -> Option<Vec<u8>> {
    match user {
        User::Session(id) => Some([&[0][..], &id.0.to_be_bytes()].concat()),
        User::Named(subject) if subject.len() <= SUBJECT_BYTES_MAX => {
            let length = (subject.len() as u16).to_be_bytes();
            Some([&[1][..], &length, subject.as_bytes()].concat())
        }
        User::Named(_) => None,
    }
}

fn read_user(bytes: &[u8]) -> Option<(User, &[u8])> {
    match bytes.split_first()? {
        (0, rest) => {
            let (id, rest) = rest.split_first_chunk::<8>()?;
            Some((User::Session(SessionId(u64::from_be_bytes(*id))), rest))
        }
        (1, rest) => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (subject, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            Some((User::Named(text(subject)?), rest))
        }
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn read_rule(number: u8) -> Option<NoteRule> {
    use NoteRule::{Distinct, Flag, Multiple, Total, Unique};
    [Total, Flag, Distinct, Unique, Multiple].into_iter().find(|rule| *rule as u8 == number)
}

/// What a row says: of its key the part behind the message.
fn read(key: &[u8], value: &[u8]) -> Option<Said> {
    let (tag, rest) = key.split_first()?;
    let offset = |bytes: &[u8]| Some(Offset(u64::from_be_bytes(bytes.try_into().ok()?)));
    let mut row = RowReader::new(value, V1)?;
    match *tag {
        CHANGE => Some(Said::Change(offset(rest)?, Box::new(rows::read_event(value)?))),
        ANSWER => offset(rest).and_then(|_| row.done(Said::Answer)),
        NOTE | TOTAL => {
            let (length, rest) = rest.split_first()?;
            let (kind, rest) = rest.split_at_checked(usize::from(*length))?;
            let kind = text(kind)?;
            if *tag == TOTAL {
                offset(rest)?;
                let count = row.number()?;
                return row.done(Said::Total { kind, count });
            }
            let (user, name) = read_user(rest)?;
            let (rule, count) = (read_rule(row.number()?)?, row.number()?);
            row.done(Said::Note { kind, rule, user, name: text(name)?, count })
        }
        _ => None,
    }
}

impl World {
    /// P5: what an event makes of an earlier one goes to the disk in the same commit.
    pub(super) fn journal_aside(&mut self, idx: ChannelIdx, id: u64, at: Offset, record: &Record) {
        let number = at.0.to_be_bytes();
        let journal = &mut self.durable.journal;
        match record.action {
            Action::Update(to) | Action::Append(to) => {
                journal.put(Table::Note, key(id, to, CHANGE, &[&number]), rows::event(record));
            }
            Action::Delete(to) => {
                journal.put(Table::Note, key(id, to, CHANGE, &[&number]), rows::event(record));
                let keys = key(id, to, NOTE, &[])..key(id, to, TOTAL + 1, &[]);
                journal.remove_range(Table::Note, keys);
                let parent = self.channels[idx].log.any(to).and_then(|deleted| deleted.parent);
                if let Some(parent) = parent {
                    let answer = key(id, parent, ANSWER, &[&to.0.to_be_bytes()]);
                    self.durable.journal.remove(Table::Note, answer);
                }
            }
            Action::Message => {
                if let Some(parent) = record.parent {
                    let answer = key(id, parent, ANSWER, &[&number]);
                    journal.put(Table::Note, answer, RowPen::new(V1).done());
                }
            }
            Action::Annotate(to) => self.journal_note(idx, id, (at, to), record),
            _ => {}
        }
    }

    fn journal_note(
        &mut self,
        idx: ChannelIdx,
        id: u64,
        (at, message): (Offset, Offset),
        record: &Record,
    ) {
        let noted = codec::decode::<Noted>(&record.payload).ok();
        let Some((publisher, noted)) = record.publisher.as_ref().zip(noted) else { return };
        let Noted { name, count, summary, .. } = noted;
        let kind = kind_bytes(&summary.kind);
        let journal = &mut self.durable.journal;
        if summary.rule == NoteRule::Total {
            let key = key(id, message, TOTAL, &[&kind, &at.0.to_be_bytes()]);
            return journal.put(Table::Note, key, RowPen::new(V1).number(count).done());
        }
        let user = User::of(publisher);
        let Some(who) = user_bytes(&user) else { return };
        if summary.rule == NoteRule::Unique {
            let all = beginning(key(id, message, NOTE, &[&kind, &who]));
            journal.remove_range(Table::Note, all);
        }
        let name = if summary.rule == NoteRule::Flag { String::new() } else { name };
        let key = key(id, message, NOTE, &[&kind, &who, name.as_bytes()]);
        let notes = &self.channels[idx].beside.notes;
        match notes.count_of(message, &summary.kind, &user, &name) {
            0 => journal.remove(Table::Note, key),
            count => {
                let row = RowPen::new(V1).number(summary.rule as u8).number(count);
                journal.put(Table::Note, key, row.done());
            }
        }
    }

    /// An event is erased: what it made of others goes from the disk, and what others made of it.
    pub(crate) fn erase_aside(&mut self, id: u64, (at, was): &Erased) {
        let number = at.0.to_be_bytes();
        let journal = &mut self.durable.journal;
        match was.action {
            Action::Update(to) | Action::Append(to) => {
                journal.remove(Table::Note, key(id, to, CHANGE, &[&number]));
            }
            // It stays deleted, by nobody.
            Action::Delete(to) => {
                let row = rows::event(&was.erased());
                journal.put(Table::Note, key(id, to, CHANGE, &[&number]), row);
            }
            Action::Message => {
                let changes = key(id, *at, CHANGE, &[])..key(id, *at, ANSWER, &[]);
                let notes = key(id, *at, NOTE, &[])..key(id, *at, TOTAL + 1, &[]);
                journal.remove_range(Table::Note, changes);
                journal.remove_range(Table::Note, notes);
                if let Some(parent) = was.parent {
                    journal.remove(Table::Note, key(id, parent, ANSWER, &[&number]));
                }
            }
            Action::Annotate(to) => self.erase_note(id, (*at, to), was),
            _ => {}
        }
    }

    /// A note is erased, and with it whatever its user noted in that kind: it is erased too.
    fn erase_note(&mut self, id: u64, (at, message): (Offset, Offset), was: &Record) {
        let noted = codec::decode::<Noted>(&was.payload).ok();
        let Some((publisher, noted)) = was.publisher.as_ref().zip(noted) else { return };
        let kind = kind_bytes(&noted.summary.kind);
        let journal = &mut self.durable.journal;
        if noted.summary.rule == NoteRule::Total {
            let key = key(id, message, TOTAL, &[&kind, &at.0.to_be_bytes()]);
            return journal.remove(Table::Note, key);
        }
        if let Some(who) = user_bytes(&User::of(publisher)) {
            let all = beginning(key(id, message, NOTE, &[&kind, &who]));
            journal.remove_range(Table::Note, all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::units::Tick;

    #[test]
    fn rows_are_read_as_they_were_written_and_not_if_cut_short() {
        let user = User::Named("ann".into());
        let who = user_bytes(&user).expect("short");
        let note = key(7, Offset(300), NOTE, &[&kind_bytes("reaction"), &who, b"heart"]);
        let row = RowPen::new(V1).number(NoteRule::Multiple as u8).number(3u8).done();
        assert_eq!(about(&note), Some((7, Offset(300))));
        let (kind, name) = ("reaction".to_owned(), "heart".to_owned());
        let said = Said::Note { kind, rule: NoteRule::Multiple, user, name, count: 3 };
        assert_eq!(read(&note[16..], &row), Some(said));
        assert!((0..row.len()).all(|length| read(&note[16..], &row[..length]).is_none()));
        let cut = 16..note.len() - "heart".len();
        assert!(cut.clone().all(|length| read(&note[16..length], &row).is_none()));
        let record = Record { action: Action::Update(Offset(300)), ..Record::new(Tick(7), 99) };
        let change = key(7, Offset(300), CHANGE, &[&9u64.to_be_bytes()]);
        let said = Said::Change(Offset(9), Box::new(record.clone()));
        assert_eq!(read(&change[16..], &rows::event(&record)), Some(said));
    }

    #[test]
    fn what_is_about_a_message_lies_together() {
        let all = keys(7, Offset(5)..Offset(6));
        for rest in [&[0xff; 300][..], b""] {
            assert!(all.contains(&key(7, Offset(5), TOTAL, &[rest])));
            assert!(!all.contains(&key(7, Offset(6), CHANGE, &[rest])));
        }
        let range = beginning(vec![1, 0xff]);
        assert!(range.contains(&vec![1, 0xff, 9]) && !range.contains(&vec![2]));
    }
}
