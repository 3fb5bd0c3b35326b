//! Notes on events: reactions, flags, votes. Each kind has a rule by which it counts, and the world
//! keeps the sum, so that nobody has to add up what others said.

use super::log::{Log, Record};
use crate::checksum::Checksum;
use crate::session::Session;
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::limits::{
    NOTE_KINDS_MAX, NOTE_NAME_BYTES_MAX, NOTE_NAMES_TOLD_MAX, NOTES_MAX,
};
use starling_protocol::message::events::{
    Action, Annotate, NoteRule, NoteSummary, Noted, Publisher,
};
use starling_protocol::units::{Offset, SessionId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What a note, a name and a kind cost, for the bound in bytes.
const NOTE_OVERHEAD_BYTES: usize = 96;
/// Bytes of notes that one channel keeps.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Who notes and reads: somebody with a subject is one however many sessions it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum User {
    /// With a token.
    Named(String),
    /// In open mode: one session.
    Session(SessionId),
}

impl User {
    /// Who published an event.
    pub(crate) fn of(publisher: &Publisher) -> Self {
        match publisher.subject.as_str() {
            "" => Self::Session(publisher.session),
            subject => Self::Named(subject.to_owned()),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Named(subject) => subject.len(),
            Self::Session(_) => 8,
        }
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        match self {
            Self::Named(subject) => sum.add_bytes(subject.as_bytes()),
            Self::Session(id) => sum.add(id.0),
        };
    }
}

impl Session {
    /// Who this session is for notes and receipts.
    pub(crate) fn user(&self) -> User {
        User::of(&self.publisher())
    }
}

/// The notes of one kind on one event.
#[derive(Debug)]
struct Kind {
    rule: NoteRule,
    total: u64,
    by_user: BTreeMap<User, BTreeMap<String, u32>>,
    by_name: BTreeMap<String, u64>,
    /// Names, the most frequent first.
    ranked: BTreeSet<(Reverse<u64>, String)>,
    notes: usize,
}

impl Kind {
    fn new(rule: NoteRule) -> Self {
        Self {
            rule,
            total: 0,
            by_user: BTreeMap::new(),
            by_name: BTreeMap::new(),
            ranked: BTreeSet::new(),
            notes: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.notes == 0 && self.total == 0
    }

    fn of(&self, user: &User, name: &str) -> u32 {
        self.by_user.get(user).and_then(|names| names.get(name)).copied().unwrap_or(0)
    }

    /// Sets or takes back; `false` where that changes nothing.
    fn apply(&mut self, user: &User, said: &Annotate) -> bool {
        let name = if self.rule == NoteRule::Flag { "" } else { said.name.as_str() };
        let had = self.of(user, name);
        match self.rule {
            NoteRule::Total => self.total = self.total.saturating_add(said.count.into()),
            _ if said.remove && had == 0 => return false,
            NoteRule::Multiple if said.remove => {
                self.set(user, name, had.saturating_sub(said.count));
            }
            NoteRule::Multiple => self.set(user, name, had.saturating_add(said.count)),
            _ if said.remove => self.set(user, name, 0),
            _ if had > 0 => return false,
            NoteRule::Unique => {
                let old = self.by_user.get(user).and_then(|names| names.keys().next().cloned());
                old.iter().for_each(|old| self.set(user, old, 0));
                self.set(user, name, 1);
            }
            _ => self.set(user, name, 1),
        }
        true
    }

    fn set(&mut self, user: &User, name: &str, count: u32) {
        let had = self.of(user, name);
        let names = self.by_user.entry(user.clone()).or_default();
        if count == 0 {
            names.remove(name);
        } else {
            names.insert(name.to_owned(), count);
        }
        if names.is_empty() {
            self.by_user.remove(user);
        }
        self.notes = self.notes + usize::from(count > 0) - usize::from(had > 0);
        self.total = self.total + u64::from(count) - u64::from(had);
        if self.rule != NoteRule::Flag {
            self.rank(name, i64::from(count) - i64::from(had));
        }
    }

    fn rank(&mut self, name: &str, change: i64) {
        let old = self.by_name.remove(name).unwrap_or(0);
        self.ranked.remove(&(Reverse(old), name.to_owned()));
        let new = old.saturating_add_signed(change);
        if new > 0 {
            self.by_name.insert(name.to_owned(), new);
            self.ranked.insert((Reverse(new), name.to_owned()));
        }
    }

    fn summary(&self, kind: &str) -> NoteSummary {
        let top = self.ranked.iter().take(NOTE_NAMES_TOLD_MAX);
        let mut names: Vec<_> = top.map(|(Reverse(n), name)| (name.clone(), *n)).collect();
        names.sort_unstable();
        NoteSummary {
            kind: kind.to_owned(),
            rule: self.rule,
            total: self.total,
            users: self.by_user.len() as u32,
            names,
        }
    }

    /// What it costs, for the bound in bytes.
    fn cost(&self) -> usize {
        let one = NOTE_OVERHEAD_BYTES + NOTE_NAME_BYTES_MAX;
        one * (1 + self.notes + self.by_name.len())
    }

    fn forget(&mut self, user: &User) {
        let names = self.by_user.get(user).into_iter().flat_map(BTreeMap::keys);
        for name in names.cloned().collect::<Vec<_>>() {
            self.set(user, &name, 0);
        }
    }

    fn add_to(&self, sum: &mut Checksum) {
        sum.add(self.rule as u8).add(self.total);
        for (user, names) in &self.by_user {
            user.add_to(sum);
            for (name, count) in names {
                sum.add_bytes(name.as_bytes()).add(*count);
            }
        }
    }
}

/// The notes on one channel's events.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    by_target: BTreeMap<Offset, BTreeMap<String, Kind>>,
    bytes: usize,
}

impl Notes {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All notes on an event, kind by kind.
    pub(crate) fn summaries(&self, target: Offset) -> Vec<NoteSummary> {
        let kinds = self.by_target.get(&target).into_iter().flatten();
        kinds.map(|(name, kind)| kind.summary(name)).collect()
    }

    /// Sets or takes back a note; what its kind comes to then, or `None` where nothing changed.
    ///
    /// # Errors
    /// `CONFLICT` for another rule than that of the kind, and for a Total that is taken back;
    /// `LIMIT` for too many kinds, notes or bytes.
    pub(super) fn apply(
        &mut self,
        user: &User,
        said: &Annotate,
    ) -> Result<Option<NoteSummary>, CloseCode> {
        self.check(user, said)?;
        Ok(self.note(user, said))
    }

    /// Sets or takes back. A kind of which nothing is left is as if it had never been: what the
    /// next life makes of the events is the same, whatever was erased of them.
    fn note(&mut self, user: &User, said: &Annotate) -> Option<NoteSummary> {
        if said.remove && self.find(said).is_none() {
            return None;
        }
        let before = self.cost(said);
        let kinds = self.by_target.entry(said.target).or_default();
        let kind = kinds.entry(said.kind.clone()).or_insert_with(|| Kind::new(said.rule));
        let changed = kind.apply(user, said);
        let summary = kind.summary(&said.kind);
        self.drop_if_empty(said.target, &said.kind);
        self.bytes = self.bytes + self.cost(said) - before;
        changed.then_some(summary)
    }

    /// Makes again what an event of an earlier life set or took back.
    pub(super) fn replay(&mut self, record: &Record) {
        let Action::Annotate(target) = record.action else { return };
        let (Some(publisher), Ok(noted)) = (&record.publisher, codec::decode(&record.payload))
        else {
            return;
        };
        let Noted { name, count, remove, summary } = noted;
        let NoteSummary { kind, rule, .. } = summary;
        let (message, channel) = (record.message, String::new());
        let said = Annotate { message, channel, target, rule, kind, name, count, remove };
        self.note(&User::of(publisher), &said); // it was allowed before
    }

    /// An event that set or took back a note is erased. What its user said else goes with the user;
    /// of a Total nobody knows who said what but its events.
    pub(super) fn unsay(&mut self, record: &Record) {
        let Action::Annotate(target) = record.action else { return };
        let Ok(Noted { count, summary, .. }) = codec::decode::<Noted>(&record.payload) else {
            return;
        };
        let kinds = self.by_target.get_mut(&target);
        if let Some(kind) = kinds.and_then(|kinds| kinds.get_mut(&summary.kind))
            && kind.rule == NoteRule::Total
        {
            let cost = kind.cost();
            kind.total = kind.total.saturating_sub(count.into());
            if self.drop_if_empty(target, &summary.kind) {
                self.bytes -= cost;
            }
        }
    }

    /// Forgets a kind of which nothing is left; returns whether it did.
    fn drop_if_empty(&mut self, target: Offset, name: &str) -> bool {
        let Some(kinds) = self.by_target.get_mut(&target) else { return false };
        let empty = kinds.get(name).is_some_and(Kind::is_empty);
        if empty {
            kinds.remove(name);
            if kinds.is_empty() {
                self.by_target.remove(&target);
            }
        }
        empty
    }

    /// Forgets everything that a user noted.
    pub(super) fn forget(&mut self, user: &User) {
        self.by_target.retain(|_, kinds| {
            kinds.retain(|_, kind| {
                if !kind.by_user.contains_key(user) {
                    return true;
                }
                let before = kind.cost();
                kind.forget(user);
                let empty = kind.is_empty();
                self.bytes = self.bytes + if empty { 0 } else { kind.cost() } - before;
                !empty
            });
            !kinds.is_empty()
        });
    }

    fn find(&self, said: &Annotate) -> Option<&Kind> {
        self.by_target.get(&said.target)?.get(&said.kind)
    }

    fn check(&self, user: &User, said: &Annotate) -> Result<(), CloseCode> {
        let kind = self.find(said);
        if kind.is_some_and(|kind| kind.rule != said.rule) {
            return Err(CloseCode::CONFLICT);
        }
        let kinds = self.by_target.get(&said.target).map_or(0, BTreeMap::len);
        let (notes, old) =
            kind.map_or((0, false), |kind| (kind.notes, kind.of(user, &said.name) > 0));
        let full = self.bytes >= BYTES_MAX
            || kind.is_none() && kinds >= NOTE_KINDS_MAX
            || notes >= NOTES_MAX && !old;
        if full && !said.remove { Err(CloseCode::LIMIT) } else { Ok(()) }
    }

    /// What the kind that is spoken of costs.
    fn cost(&self, said: &Annotate) -> usize {
        self.find(said).map_or(0, Kind::cost)
    }

    /// Ends the notes on an event, which was deleted.
    pub(crate) fn end(&mut self, target: Offset) {
        let kinds = self.by_target.remove(&target);
        self.bytes -= kinds.iter().flat_map(BTreeMap::values).map(Kind::cost).sum::<usize>();
    }

    /// Forgets the notes on events that memory does not hold any more.
    pub(crate) fn retire(&mut self, log: &Log) {
        let before = self.by_target.range(..log.first()).map(|(target, _)| *target);
        for target in before.filter(|target| !log.is_recalled(*target)).collect::<Vec<_>>() {
            self.end(target);
        }
    }

    /// How often a user noted this on an event.
    pub(crate) fn count_of(&self, target: Offset, kind: &str, user: &User, name: &str) -> u32 {
        let kind = self.by_target.get(&target).and_then(|kinds| kinds.get(kind));
        kind.map_or(0, |kind| kind.of(user, name))
    }

    /// Puts back what somebody noted on an event.
    pub(crate) fn restore(
        &mut self,
        target: Offset,
        kind: &str,
        rule: NoteRule,
        (user, name): (&User, &str),
        count: u32,
    ) {
        let kinds = self.by_target.entry(target).or_default();
        let kind = kinds.entry(kind.to_owned()).or_insert_with(|| Kind::new(rule));
        match rule {
            NoteRule::Total => kind.total = kind.total.saturating_add(count.into()),
            _ => kind.set(user, name, count),
        }
    }

    /// Takes over what another knows of an event.
    pub(crate) fn adopt(&mut self, target: Offset, from: &mut Self) {
        if let Some(kinds) = from.by_target.remove(&target) {
            self.end(target);
            self.bytes += kinds.values().map(Kind::cost).sum::<usize>();
            self.by_target.insert(target, kinds);
        }
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for (target, kinds) in &self.by_target {
            for (name, kind) in kinds {
                sum.add(target.0).add_bytes(name.as_bytes());
                kind.add_to(sum);
            }
        }
    }
}

/// Events on which notes are on their way to the disk, and what the others on them come to.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    targets: BTreeSet<Offset>,
    others: Notes,
}

impl Unseen {
    /// P5: a note decides what comes after it as soon as it has its number, and is told when it is
    /// on stable storage. What is told until then is made from the events that are.
    pub(super) fn of(log: &Log) -> Self {
        let about = |record: &Record| match record.action {
            Action::Annotate(target) => Some(target),
            _ => None,
        };
        let (top, newest) = (log.top().offset.0, log.newest().0);
        let unseen = (top + 1..=newest).filter_map(|o| log.any(Offset(o)).and_then(about));
        // What is told of those on disk only is read from there.
        let unseen = unseen.filter(|target| *target >= log.first());
        let mut all = Self { targets: unseen.collect(), others: Notes::default() };
        let Some(first) = all.targets.first().copied() else { return all };
        for record in (first.0..=top).filter_map(|o| log.get(Offset(o))) {
            if about(record).is_some_and(|target| all.targets.contains(&target)) {
                all.others.replay(record);
            }
        }
        all
    }

    /// The notes on an event that may be told.
    pub(super) fn told<'a>(&'a self, target: Offset, notes: &'a Notes) -> &'a Notes {
        if self.targets.contains(&target) { &self.others } else { notes }
    }
}
