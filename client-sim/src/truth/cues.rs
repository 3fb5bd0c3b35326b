//! Cues: each is heard once and in time by those who are near, or not at all.

use super::findings::CueFindings;
use super::links::Links;
use super::past::{CLEARLY_NS, Past, Side, around};
use super::room::Room;
use crate::target::{ClientNo, CueNo, GivenCue, HeardCue};
use std::collections::{BTreeMap, VecDeque};

/// A cue is remembered for so long. One that is heard later is late by any measure.
const KEPT_NS: u64 = 10 * CLEARLY_NS;
/// Cues that are heard of before they are known to be given, by another thread's news.
const EARLY_MAX: usize = 65_536;
/// Of the cues that went wrong this many are named.
const NAMED_MAX: usize = 50;

/// The cues of a run.
#[derive(Debug)]
pub(super) struct CueBook {
    room: Room,
    cues: BTreeMap<CueNo, Entry>,
    /// Cues whose recipients are not settled yet, and those that are remembered; in order of time.
    undecided: VecDeque<CueNo>,
    kept: VecDeque<CueNo>,
    /// The last of each giver's cues that is forgotten.
    forgotten: BTreeMap<ClientNo, u32>,
    early: VecDeque<HeardCue>,
    suspects: VecDeque<HeardCue>,
    links: Links,
    found: CueFindings,
}

#[derive(Debug)]
struct Entry {
    given: GivenCue,
    at_ns: u64,
    refused: bool,
    owed: Vec<ClientNo>,
    heard: Vec<ClientNo>,
}

impl CueBook {
    pub(super) fn new(clients: usize, room: Room) -> Self {
        Self {
            room,
            cues: BTreeMap::new(),
            undecided: VecDeque::new(),
            kept: VecDeque::new(),
            forgotten: BTreeMap::new(),
            early: VecDeque::new(),
            suspects: VecDeque::new(),
            links: Links::new(clients),
            found: CueFindings::default(),
        }
    }

    pub(super) fn connect(&mut self, client: ClientNo, at_ns: u64) {
        self.links.connect(client, at_ns);
    }

    pub(super) fn lose(&mut self, client: ClientNo, at_ns: u64) {
        self.links.lose(client, at_ns);
    }

    pub(super) fn give(&mut self, given: GivenCue, at_ns: u64) {
        self.found.sent += 1;
        let (owed, heard) = (Vec::new(), Vec::new());
        self.cues.insert(given.cue, Entry { given, at_ns, refused: false, owed, heard });
        self.undecided.push_back(given.cue);
        for _ in 0..self.early.len() {
            let Some(heard) = self.early.pop_front() else { return };
            match heard.cue == given.cue {
                true => self.hear(&heard),
                false => self.early.push_back(heard),
            }
        }
    }

    /// It could not be sent: nobody is owed it.
    pub(super) fn refuse(&mut self, cue: CueNo) {
        if let Some(entry) = self.cues.get_mut(&cue)
            && !std::mem::replace(&mut entry.refused, true)
        {
            self.found.sent -= 1;
            self.found.refused += 1;
        }
    }

    pub(super) fn hear(&mut self, heard: &HeardCue) {
        let Some(entry) = self.cues.get_mut(&heard.cue) else { return self.hear_unknown(heard) };
        if entry.heard.contains(&heard.client) {
            self.found.duplicated += 1;
            return self.name("heard twice", heard.cue, heard.client);
        }
        entry.heard.push(heard.client);
        // Who repeats it on its way shortens its life; nobody may lengthen it.
        let expires = heard.expires.min(heard.tick + u32::from(entry.given.life_ticks));
        self.found.delivered += 1;
        if heard.at_tick > expires {
            self.found.late += 1;
            self.name("late", heard.cue, heard.client);
        }
        if self.suspects.len() == self.room.suspects {
            self.found.unjudged += 1;
            return;
        }
        self.suspects.push_back(*heard);
    }

    fn hear_unknown(&mut self, heard: &HeardCue) {
        if self.forgotten.get(&heard.cue.giver).is_some_and(|last| heard.cue.number <= *last) {
            self.found.late += 1;
            return self.name("late", heard.cue, heard.client);
        }
        if self.early.len() == EARLY_MAX
            && let Some(unheard_of) = self.early.pop_front()
        {
            self.note_stray(&unheard_of);
        }
        self.early.push_back(*heard);
    }

    fn note_stray(&mut self, heard: &HeardCue) {
        self.found.stray += 1;
        self.name("stray", heard.cue, heard.client);
    }

    /// The past reaches up to a tick: settles what came to pass a second before.
    pub(super) fn turn(&mut self, past: &Past, tick: u32, at_ns: u64) {
        while let Some(cue) = next_due(&mut self.undecided, &self.cues, CLEARLY_NS, at_ns) {
            self.decide(past, cue);
            self.kept.push_back(cue);
        }
        while let Some(cue) = next_due(&mut self.kept, &self.cues, KEPT_NS, at_ns) {
            self.forget(cue);
        }
        // Cues of one tick are heard at about the same time.
        while let Some(heard) = self.suspects.front().copied() {
            let when = past.when(heard.tick);
            if heard.tick > tick || when.is_some_and(|when| when + CLEARLY_NS > at_ns) {
                return;
            }
            self.suspects.pop_front();
            self.settle(past, &heard);
        }
    }

    /// A stray if the past tells that its hearer was far off.
    fn settle(&mut self, past: &Past, heard: &HeardCue) {
        let when = past.when(heard.tick);
        if when.is_some_and(|when| self.was_elsewhere(past, heard, when)) {
            self.note_stray(heard);
        }
    }

    /// Owed to those who were near all the time from a second before to a second after.
    fn decide(&mut self, past: &Past, cue: CueNo) {
        let Some(entry) = self.cues.get(&cue).filter(|entry| !entry.refused) else { return };
        let (at_ns, during) = (entry.at_ns, around(entry.at_ns, entry.at_ns));
        let owed = past.clients().filter(|client| {
            let others = *client != cue.giver && self.links.stood(*client, at_ns);
            others && past.side(*client, cue.giver, entry.given.radius_m, &during) == Side::Inside
        });
        let owed: Vec<ClientNo> = owed.collect();
        self.found.owed += owed.len() as u64;
        if let Some(entry) = self.cues.get_mut(&cue) {
            entry.owed = owed;
        }
    }

    fn was_elsewhere(&self, past: &Past, heard: &HeardCue, when_ns: u64) -> bool {
        let Some(entry) = self.cues.get(&heard.cue) else { return false };
        let (radius_m, during) = (entry.given.radius_m, around(when_ns, when_ns));
        past.side(heard.client, heard.cue.giver, radius_m, &during) == Side::Outside
    }

    /// What has not arrived by now never will.
    fn forget(&mut self, cue: CueNo) {
        let Some(entry) = self.cues.remove(&cue) else { return };
        self.forgotten.insert(cue.giver, cue.number);
        let left = |client| {
            let lost_ns = self.links.lost_ns(client);
            lost_ns.is_some_and(|lost_ns| lost_ns < entry.at_ns + CLEARLY_NS)
        };
        let owed = entry.owed.iter().copied();
        let lost: Vec<_> = owed.filter(|c| !entry.heard.contains(c) && !left(*c)).collect();
        for client in lost {
            self.found.lost += 1;
            self.name("not heard", cue, client);
        }
    }

    fn name(&mut self, what: &str, cue: CueNo, at: ClientNo) {
        if self.found.named.len() < NAMED_MAX {
            let CueNo { giver, number } = cue;
            let text = format!("cue {number} of client {} {what} at client {}", giver.0, at.0);
            self.found.named.push(text);
        }
    }

    /// Counts what never arrived, and settles what the past tells of what did.
    pub(super) fn finish(mut self, past: &Past) -> CueFindings {
        for heard in std::mem::take(&mut self.suspects) {
            self.settle(past, &heard);
        }
        while let Some(cue) = self.kept.pop_front() {
            self.forget(cue);
        }
        for unheard_of in std::mem::take(&mut self.early) {
            self.note_stray(&unheard_of);
        }
        self.found
    }
}

/// The first of these cues if it was given so long ago.
fn next_due(
    cues: &mut VecDeque<CueNo>,
    known: &BTreeMap<CueNo, Entry>,
    after_ns: u64,
    at_ns: u64,
) -> Option<CueNo> {
    let given_ns = known.get(cues.front()?).map_or(0, |entry| entry.at_ns);
    if given_ns + after_ns > at_ns { None } else { cues.pop_front() }
}

#[cfg(test)]
mod tests {
    use super::super::past::tests::past_of_a_pair;
    use super::*;

    const GIVER: ClientNo = ClientNo(0);
    const HEARER: ClientNo = ClientNo(1);
    const CUE: CueNo = CueNo { giver: GIVER, number: 1 };

    fn given() -> GivenCue {
        GivenCue { cue: CUE, radius_m: 25, life_ticks: 3 }
    }

    fn heard(expires: u32, at_tick: u32) -> HeardCue {
        HeardCue { client: HEARER, cue: CUE, tick: 100, expires, at_tick }
    }

    #[test]
    fn a_cue_may_be_heard_of_before_it_is_known_to_be_given() {
        let mut book = CueBook::new(2, Room::default());
        book.hear(&heard(103, 101));
        book.give(given(), 0);
        let found = book.finish(&Past::new(&[]));
        assert_eq!((found.sent, found.delivered, found.stray), (1, 1, 0));
    }

    #[test]
    fn a_cue_that_nobody_gave_is_a_stray() {
        let mut book = CueBook::new(2, Room::default());
        book.hear(&heard(103, 101));
        assert_eq!(book.finish(&Past::new(&[])).stray, 1);
    }

    #[test]
    fn a_cue_that_is_heard_in_the_last_second_is_judged_if_the_past_reaches_it() {
        let strays = |apart_m, tick| {
            let mut book = CueBook::new(2, Room::default());
            book.give(given(), 3_500_000_000);
            book.hear(&HeardCue { tick, ..heard(tick + 3, tick) });
            book.finish(&past_of_a_pair(apart_m, 0.1)).stray
        };
        assert_eq!([strays(40.0, 75), strays(10.0, 75), strays(40.0, 100)], [1, 0, 0]);
    }

    #[test]
    fn a_life_that_was_shortened_counts_and_one_that_was_lengthened_does_not() {
        let late = |expires, at_tick| {
            let mut book = CueBook::new(2, Room::default());
            book.give(given(), 0);
            book.hear(&heard(expires, at_tick));
            book.finish(&Past::new(&[])).late
        };
        assert_eq!([late(103, 103), late(102, 103), late(103, 104), late(115, 104)], [0, 1, 1, 1]);
    }

    #[test]
    fn a_cue_that_was_forgotten_is_late_when_it_is_heard() {
        let mut book = CueBook::new(2, Room::default());
        book.give(given(), 0);
        book.turn(&Past::new(&[]), 300, KEPT_NS);
        book.hear(&heard(103, 101));
        let found = book.finish(&Past::new(&[]));
        assert_eq!((found.late, found.delivered, found.stray), (1, 0, 0));
    }
}
