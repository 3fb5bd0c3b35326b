//! What is barred: tokens by their name or by whose they are, and sessions (P12).

use super::Verified;
use super::revoke::NotRevoked;
use crate::tenant::Scoped;
use serde::{Deserialize, Serialize};
use starling_protocol::units::SessionId;
use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Bars that are remembered at once; each until what it bars has ended.
pub const BARRED_MAX: usize = 65_536;

/// Something that is good for nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bar {
    /// Which.
    pub what: Barring,
    /// Unix seconds at which it was made. Tokens of an owner that were made later are good.
    pub made_s: u64,
    /// Unix seconds at which the last of what it bars has ended.
    pub until_s: u64,
}

impl Bar {
    /// P12: of two for the same what either bars is barred, in whatever order they come: the later
    /// second counts, and the later end.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.made_s = self.made_s.max(other.made_s);
        self.until_s = self.until_s.max(other.until_s);
    }

    /// Puts it among others, merged with one that is there for the same.
    pub(crate) fn put_into(self, bars: &mut BTreeMap<Barring, Self>) {
        bars.entry(self.what.clone()).and_modify(|old| old.merge(&self)).or_insert(self);
    }
}

/// What a bar is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Barring {
    /// The token of this name.
    Token(String),
    /// The session of this number, which some world may still have in its store.
    Session(SessionId),
    /// All tokens of a tenant, or of one subject of it.
    Owner {
        /// Whose; empty for tokens without a tenant.
        tenant: String,
        /// All where there is none.
        subject: Option<String>,
    },
}

/// What is good for nothing any more, although it has not ended.
#[derive(Debug, Default)]
pub(crate) struct Barred {
    /// By their own name.
    tokens: BTreeMap<String, Until>,
    /// By their number.
    sessions: BTreeMap<SessionId, Until>,
    /// Of a tenant, and there of a subject or of all.
    owners: BTreeMap<Scoped<Option<String>>, Until>,
    /// Made since they were last taken.
    fresh: Vec<Bar>,
}

#[derive(Clone, Copy, Debug)]
struct Until {
    /// Tokens made until then.
    made_s: u64,
    /// When the last of them has ended.
    until_s: u64,
}

impl Until {
    /// P12: never less than what is barred already, as in [`Bar::merge`].
    fn into_entry<K: Ord>(self, entry: Entry<'_, K, Self>) {
        let known = entry.or_insert(self);
        known.made_s = known.made_s.max(self.made_s);
        known.until_s = known.until_s.max(self.until_s);
    }
}

impl Barred {
    /// Bars a token by its name until `until_s`.
    pub(crate) fn token(&mut self, name: &str, now_s: u64, until_s: u64) -> Result<(), NotRevoked> {
        let barred = self.tokens.get(name).is_some_and(|bar| bar.until_s > now_s);
        if name.is_empty() || barred {
            return Ok(()); // open mode has no tokens, and no token lives longer than its first bar
        }
        self.bar(Barring::Token(name.to_owned()), now_s, until_s)
    }

    /// Bars what a tenant's tokens, or those of one subject, were made until now.
    pub(crate) fn owner(
        &mut self,
        tenant: &str,
        subject: Option<&str>,
        now_s: u64,
        until_s: u64,
    ) -> Result<(), NotRevoked> {
        let (tenant, subject) = (tenant.to_owned(), subject.map(str::to_owned));
        self.bar(Barring::Owner { tenant, subject }, now_s, until_s)
    }

    /// Bars a session until `until_s`.
    pub(crate) fn session(
        &mut self,
        id: SessionId,
        now_s: u64,
        until_s: u64,
    ) -> Result<(), NotRevoked> {
        self.bar(Barring::Session(id), now_s, until_s)
    }

    /// The sessions that no world may take up again.
    pub(crate) fn sessions(&self) -> BTreeSet<SessionId> {
        self.sessions.keys().copied().collect()
    }

    /// Takes up what an earlier life of the server barred.
    pub(crate) fn restore(&mut self, mut bars: Vec<Bar>) {
        bars.sort_by_key(|bar| Reverse(bar.until_s)); // should they be too many, the oldest have ended
        bars.into_iter().take(BARRED_MAX).for_each(|bar| self.insert(bar));
    }

    /// The bars made since the last call.
    pub(crate) fn take_fresh(&mut self) -> Vec<Bar> {
        std::mem::take(&mut self.fresh)
    }

    fn bar(&mut self, what: Barring, made_s: u64, until_s: u64) -> Result<(), NotRevoked> {
        self.make_room(made_s)?;
        let bar = Bar { what, made_s, until_s };
        self.fresh.push(bar.clone());
        self.insert(bar);
        Ok(())
    }

    fn insert(&mut self, Bar { what, made_s, until_s }: Bar) {
        let until = Until { made_s, until_s };
        match what {
            Barring::Token(name) => until.into_entry(self.tokens.entry(name)),
            Barring::Session(id) => until.into_entry(self.sessions.entry(id)),
            Barring::Owner { tenant, subject } => {
                until.into_entry(self.owners.entry(Scoped::of_operator(&tenant, subject)));
            }
        }
    }

    /// Is this token barred?
    pub(crate) fn holds(&self, verified: &Verified) -> bool {
        let made = |bar: &Until| verified.issued_s.is_none_or(|issued| issued <= bar.made_s);
        let barred = |subject: Option<&str>| {
            let owner = verified.scope(subject.map(str::to_owned));
            self.owners.get(&owner).is_some_and(made)
        };
        self.tokens.contains_key(&verified.token) || barred(None) || barred(Some(&verified.subject))
    }

    fn make_room(&mut self, now_s: u64) -> Result<(), NotRevoked> {
        if self.len() >= BARRED_MAX {
            self.tokens.retain(|_, bar| bar.until_s > now_s);
            self.sessions.retain(|_, bar| bar.until_s > now_s);
            self.owners.retain(|_, bar| bar.until_s > now_s);
        }
        (self.len() < BARRED_MAX).then_some(()).ok_or(NotRevoked::ListFull)
    }

    fn len(&self) -> usize {
        self.tokens.len() + self.sessions.len() + self.owners.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(subject: &str, issued_s: u64) -> Verified {
        Verified {
            subject: subject.into(),
            token: format!("{subject}-{issued_s}"),
            issued_s: Some(issued_s),
            ..Verified::default()
        }
    }

    #[test]
    fn tokens_made_until_now_are_barred_and_later_ones_are_good() {
        let mut barred = Barred::default();
        assert_eq!(barred.owner("", Some("eve"), 100, 4_000), Ok(()));
        assert!(barred.holds(&verified("eve", 99)) && barred.holds(&verified("eve", 100)));
        assert!(!barred.holds(&verified("eve", 101)) && !barred.holds(&verified("bob", 99)));
        let elsewhere = Verified { tenant: "acme".into(), ..verified("eve", 99) };
        assert!(!barred.holds(&elsewhere), "of another tenant");
        assert_eq!(barred.owner("acme", None, 100, 4_000), Ok(()));
        assert!(barred.holds(&elsewhere));
        assert_eq!(barred.token("bob-99", 100, 4_000), Ok(()));
        assert!(barred.holds(&verified("bob", 99)) && !barred.holds(&verified("bob", 98)));
    }

    #[test]
    fn what_was_barred_in_an_earlier_life_is_barred() {
        let mut barred = Barred::default();
        assert_eq!(barred.owner("acme", Some("eve"), 100, 4_000), Ok(()));
        assert_eq!(barred.token("bob-99", 100, 4_000), Ok(()));
        let bars = barred.take_fresh();
        assert!(bars.len() == 2 && barred.take_fresh().is_empty());
        let mut next = Barred::default();
        next.restore(bars);
        assert!(next.take_fresh().is_empty(), "they are kept already");
        let eve = Verified { tenant: "acme".into(), ..verified("eve", 99) };
        assert!(next.holds(&eve) && next.holds(&verified("bob", 99)));
        assert!(!next.holds(&Verified { issued_s: Some(101), ..eve }));
    }

    #[test]
    fn the_list_is_bounded_and_forgets_what_has_ended() {
        let mut barred = Barred::default();
        for number in 0..BARRED_MAX {
            let until = if number == 0 { 50 } else { 4_000 };
            assert_eq!(barred.token(&number.to_string(), 10, until), Ok(()));
        }
        assert_eq!(barred.token("more", 10, 4_000), Err(NotRevoked::ListFull));
        assert_eq!(barred.token("more", 50, 4_000), Ok(()), "the first has ended");
        assert_eq!(barred.token("yet more", 50, 4_000), Err(NotRevoked::ListFull));
    }

    #[test]
    fn of_two_bars_for_the_same_the_later_one_counts_in_whatever_order_they_come() {
        let mut barred = Barred::default();
        let what = Barring::Owner { tenant: String::new(), subject: Some("eve".into()) };
        barred.restore(vec![Bar { what, made_s: 130, until_s: 4_130 }]);
        assert_eq!(barred.owner("", Some("eve"), 100, 4_000), Ok(()), "by a clock that went back");
        assert!(barred.holds(&verified("eve", 120)), "it was barred, and still is");
        assert!(!barred.holds(&verified("eve", 131)));
    }

    #[test]
    fn a_token_that_is_barred_already_takes_no_room() {
        let mut barred = Barred::default();
        for _ in 0..3 {
            assert_eq!(barred.token("eve-1", 100, 4_000), Ok(()));
        }
        assert_eq!((barred.take_fresh().len(), barred.len()), (1, 1));
    }
}
