//! Which sample the server took in which tick, from what was sent and what its fold reports say.
//!
//! A report at tick T tells, for the last 16 ticks, the newest uplink datagram folded by then, and
//! which of the 33 newest ones arrived. Together with the samples that each datagram carried that
//! is the exact state of every entity of the client at each of these ticks.

use crate::target::{Accepted, ClientNo, EntityNo, Known, Received};
use starling_protocol::limits::FOLD_TICKS;
use starling_protocol::snapshot::Fold;
use starling_protocol::units::newer16;
use std::collections::VecDeque;

/// Datagrams whose samples are remembered.
const REMEMBERED: usize = 256;
/// Datagrams before the newest that a report speaks of.
const REPORTED: u16 = 32;

/// The uplink datagrams of one client.
#[derive(Debug, Default)]
pub(super) struct Uplinks {
    /// The link lets some overtake others.
    overtakes: bool,
    sent: VecDeque<Sent>,
    /// Newest sample of each entity that was sent, and that is known to be taken.
    entities: Vec<Progress>,
    /// The newest datagram folded at `known_to`.
    newest: Option<u16>,
    known_to: Option<u32>,
}

#[derive(Debug)]
struct Sent {
    sequence: u16,
    folded: bool,
    samples: Vec<(EntityNo, u32)>,
}

/// The datagrams after one and up to another: a report says that the newest was folded in a tick.
#[derive(Clone, Copy)]
struct Run {
    after: u16,
    newest: u16,
    tick: u32,
    /// It says so of this very tick, not only that it was no later one.
    is_told: bool,
    /// The others were folded with the newest: none came after it, in a later tick.
    in_order: bool,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    entity: EntityNo,
    sent: u32,
    taken: u32,
}

impl Uplinks {
    /// Of a link that lets some datagrams overtake others, or of one that keeps their order.
    pub(super) fn new(overtakes: bool) -> Self {
        Self { overtakes, ..Self::default() }
    }

    /// A datagram left with these samples (entity and the swarm's number).
    pub(super) fn sent(&mut self, sequence: u16, samples: Vec<(EntityNo, u32)>) {
        for (entity, number) in &samples {
            let progress = self.progress(*entity);
            progress.sent = progress.sent.max(*number);
        }
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { sequence, folded: false, samples });
    }

    fn progress(&mut self, entity: EntityNo) -> &mut Progress {
        let at = match self.entities.iter().position(|p| p.entity == entity) {
            Some(at) => at,
            None => {
                self.entities.push(Progress { entity, sent: 0, taken: 0 });
                self.entities.len() - 1
            }
        };
        &mut self.entities[at]
    }

    /// A new connection: the server's reports begin anew.
    pub(super) fn restart(&mut self) {
        self.sent.clear();
        self.newest = None;
        for progress in &mut self.entities {
            progress.sent = progress.taken;
        }
    }

    /// An entity is gone: nothing more is awaited of it.
    pub(super) fn forget(&mut self, entity: EntityNo) {
        self.entities.retain(|p| p.entity != entity);
    }

    /// A sample was refused: what the server holds instead is not known.
    pub(super) fn doubt(&mut self, entity: EntityNo, into: &mut Received) {
        into.doubtful.push(entity);
    }

    /// Nothing that was sent awaits its fate: the server can have taken nothing new up to `tick`.
    pub(super) fn quiet(&mut self, client: ClientNo, tick: u32, into: &mut Received) {
        let settled = self.entities.iter().all(|p| p.taken >= p.sent);
        if settled && self.known_to.is_none_or(|to| to < tick) {
            let from = self.known_to.map_or(tick, |to| to + 1);
            into.known.push(Known { client, from, to: tick });
            self.known_to = Some(tick);
        }
    }

    /// A report that came with a datagram of `tick`.
    pub(super) fn report(&mut self, client: ClientNo, tick: u32, fold: &Fold, into: &mut Received) {
        if self.known_to.is_some_and(|to| to >= tick) {
            return;
        }
        let oldest = tick.saturating_sub(FOLD_TICKS as u32 - 1);
        let next = self.known_to.map_or(oldest, |to| to + 1);
        let from = next.max(oldest);
        // What was folded up to the tick before `from`; of an older gap all counts as of `from`,
        // though some of it was folded before.
        let reaches_back = from > next || self.newest.is_none();
        let mut before = match (from > next, self.newest) {
            (false, Some(newest)) => newest,
            _ => self.sent.front().map_or(fold.newest, |s| s.sequence).wrapping_sub(1),
        };
        self.doubt_unreported(fold, before, into);
        for at in from..=tick {
            let Some(newest) = fold.newest_at((tick - at) as usize) else { continue };
            let is_told = !(reaches_back && at == from);
            let in_order = at == tick || !self.overtakes;
            let run = Run { after: before, newest, tick: at, is_told, in_order };
            self.take_run(run, fold, into);
            if newer16(newest, before) {
                before = newest;
            }
        }
        let late = self.take_late(tick, from == tick, fold, into);
        let from = if late { tick } else { from };
        into.known.push(Known { client, from, to: tick });
        (self.known_to, self.newest) = (Some(tick), Some(fold.newest));
        // What was folded is told: reports go through what is left.
        while self.sent.front().is_some_and(|sent| sent.folded) {
            self.sent.pop_front();
        }
    }

    fn take_run(&mut self, run: Run, fold: &Fold, into: &mut Received) {
        for at in (0..self.sent.len()).rev() {
            let sequence = self.sent[at].sequence;
            let in_run = newer16(sequence, run.after) && !newer16(sequence, run.newest);
            if in_run && arrived(fold, sequence) == Some(true) {
                let exact = run.is_told && (run.in_order || sequence == run.newest);
                self.take(at, run.tick, exact, into);
            }
        }
    }

    /// Datagrams that arrived after newer ones: in which tick is not told.
    /// `exact` if the report is of one tick.
    fn take_late(&mut self, tick: u32, exact: bool, fold: &Fold, into: &mut Received) -> bool {
        let before = into.accepted.len();
        for at in 0..self.sent.len() {
            let Sent { sequence, folded, .. } = self.sent[at];
            if !folded && arrived(fold, sequence) == Some(true) {
                self.take(at, tick, exact, into);
            }
        }
        into.accepted.len() > before
    }

    fn take(&mut self, at: usize, tick: u32, exact: bool, into: &mut Received) {
        self.sent[at].folded = true;
        let samples = std::mem::take(&mut self.sent[at].samples);
        for (entity, number) in &samples {
            let progress = self.progress(*entity);
            if *number > progress.taken {
                progress.taken = *number;
                accept(into, Accepted { entity: *entity, tick, exact, number: *number });
            }
        }
        self.sent[at].samples = samples;
    }

    /// Datagrams that fell out of the report's reach before their fate was told.
    fn doubt_unreported(&mut self, fold: &Fold, before: u16, into: &mut Received) {
        let edge = fold.newest.wrapping_sub(REPORTED);
        for sent in self.sent.iter().filter(|s| !s.folded) {
            if newer16(sent.sequence, before) && newer16(edge, sent.sequence) {
                into.doubtful.extend(sent.samples.iter().map(|(entity, _)| *entity));
            }
        }
    }
}

/// Of several samples of an entity that one tick took only the newest became its position.
fn accept(into: &mut Received, fresh: Accepted) {
    let in_tick = into.accepted.iter_mut().rev().take_while(|a| a.tick == fresh.tick);
    match in_tick.into_iter().find(|a| a.entity == fresh.entity) {
        Some(older) => *older = fresh,
        None => into.accepted.push(fresh),
    }
}

/// Did a datagram arrive? `None` if the report does not say.
fn arrived(fold: &Fold, sequence: u16) -> Option<bool> {
    let back = fold.newest.wrapping_sub(sequence);
    match back {
        0 => Some(true),
        1..=REPORTED => Some(fold.received >> (back - 1) & 1 == 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: EntityNo = EntityNo(4);
    const CLIENT: ClientNo = ClientNo(2);

    /// One sample in each datagram from 1 on.
    fn sent(datagrams: u16) -> Uplinks {
        let mut uplinks = Uplinks::default();
        (1..=datagrams).for_each(|n| uplinks.sent(n, vec![(ME, u32::from(n))]));
        uplinks
    }

    fn fold(newest: u16, received: u32, steps: &[u16]) -> Fold {
        let mut all = [0; FOLD_TICKS - 1];
        all[..steps.len()].copy_from_slice(steps);
        Fold { newest, received, steps: all, applied: None }
    }

    fn taken(into: &Received) -> Vec<(u32, u32)> {
        into.accepted.iter().map(|a| (a.tick, a.number)).collect()
    }

    #[test]
    fn each_tick_took_the_newest_that_had_arrived() {
        let (mut uplinks, mut into) = (sent(5), Received::default());
        // 5 in tick 103, nothing in 102, 3 and 4 in 101 (3 was lost), 2 in 100.
        uplinks.report(CLIENT, 103, &fold(5, 0b1101, &[1, 0, 2, 1, 1]), &mut into);
        assert_eq!(taken(&into), [(99, 1), (100, 2), (101, 4), (103, 5)]);
        assert_eq!(into.known, [Known { client: CLIENT, from: 88, to: 103 }]);
        // The same told again changes nothing, and a later one goes on from there.
        uplinks.report(CLIENT, 103, &fold(5, 0b1101, &[1, 0, 2, 1, 1]), &mut into);
        uplinks.sent(6, vec![(ME, 6)]);
        uplinks.report(CLIENT, 105, &fold(6, 0b11011, &[0, 1, 1, 0, 2, 1, 1]), &mut into);
        assert_eq!(
            into.accepted[4..],
            [Accepted { entity: ME, tick: 104, exact: true, number: 6 }]
        );
        assert_eq!(into.known[1..], [Known { client: CLIENT, from: 104, to: 105 }]);
    }

    #[test]
    fn a_gap_in_the_reports_is_told_as_one() {
        let (mut uplinks, mut into) = (sent(40), Received::default());
        uplinks.report(CLIENT, 10, &fold(1, 0, &[1]), &mut into);
        uplinks.report(CLIENT, 60, &fold(40, u32::MAX, &[1; 15]), &mut into);
        assert_eq!(into.known[1], Known { client: CLIENT, from: 45, to: 60 });
        assert_eq!(taken(&into)[1], (45, 25));
        assert_eq!(into.doubtful.len(), 6, "2 to 7 are beyond what the report tells");
        assert_eq!(taken(&into).last(), Some(&(60, 40)));
    }

    #[test]
    fn a_datagram_that_came_late_counts_only_if_it_was_newer_for_its_entity() {
        let other = EntityNo(9);
        let (mut uplinks, mut into) = (Uplinks::default(), Received::default());
        uplinks.sent(1, vec![(ME, 1), (other, 1)]);
        uplinks.sent(2, vec![(ME, 2)]);
        uplinks.report(CLIENT, 10, &fold(2, 0, &[2]), &mut into);
        assert_eq!(taken(&into), [(10, 2)]);
        uplinks.report(CLIENT, 12, &fold(2, 1, &[0, 0, 2]), &mut into);
        assert_eq!(
            into.accepted[1..],
            [Accepted { entity: other, tick: 12, exact: false, number: 1 }]
        );
        assert_eq!(into.known[1..], [Known { client: CLIENT, from: 12, to: 12 }]);
    }

    #[test]
    fn what_was_folded_before_the_reach_of_a_report_is_not_put_exactly_into_its_first_tick() {
        let mut uplinks = sent(40);
        uplinks.report(CLIENT, 10, &fold(1, 0, &[1]), &mut Received::default());
        let mut into = Received::default();
        uplinks.report(CLIENT, 60, &fold(40, u32::MAX, &[1; 15]), &mut into);
        let exact: Vec<_> = into.accepted.iter().map(|a| (a.tick, a.exact)).collect();
        assert_eq!(exact[..2], [(45, false), (46, true)]);
        assert!(exact[1..].iter().all(|(_, exact)| *exact));
    }

    #[test]
    fn a_datagram_that_may_have_been_overtaken_is_not_put_exactly_into_an_earlier_tick() {
        for overtakes in [false, true] {
            let (mut uplinks, mut into) = (Uplinks::new(overtakes), Received::default());
            uplinks.sent(1, vec![(ME, 1)]);
            uplinks.sent(2, vec![]);
            // 2 came in tick 11. 1 may have come with it, or after it in tick 12.
            uplinks.report(CLIENT, 12, &fold(2, 1, &[0, 2]), &mut into);
            let exact = !overtakes;
            assert_eq!(into.accepted, [Accepted { entity: ME, tick: 11, exact, number: 1 }]);
        }
    }

    #[test]
    fn who_awaits_nothing_knows_that_nothing_was_taken() {
        let (mut uplinks, mut into) = (sent(1), Received::default());
        uplinks.quiet(CLIENT, 9, &mut into);
        assert!(into.known.is_empty(), "the sample is under way");
        uplinks.report(CLIENT, 10, &fold(1, 0, &[1]), &mut into);
        uplinks.quiet(CLIENT, 15, &mut into);
        assert_eq!(into.known[1..], [Known { client: CLIENT, from: 11, to: 15 }]);
    }
}
