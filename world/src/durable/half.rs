//! What later events made of a run of events, read after the run.

use super::aside;
use super::read::{EventRun, Question, run_of};
use crate::journal::{RowRange, Rows, Table};
use starling_protocol::units::Offset;
use std::collections::BTreeMap;

/// Rows in one answer, and bytes of them.
const ROWS_MAX: usize = 16_384;
const BYTES_MAX: usize = 1024 * 1024;
/// Answers for one run.
const ANSWERS_MAX: usize = 4;

/// A run whose events were read, and not everything yet that was made of them.
#[derive(Debug)]
pub(super) struct Half {
    run: EventRun,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    answers: usize,
}

/// What an answer of the store comes to.
pub(super) enum Taken {
    /// All that was asked for.
    Whole(EventRun),
    /// These rows are wanted, too.
    Half(RowRange),
}

impl Question {
    /// Takes in an answer, of a channel whose events are kept from `first` on; `None` where
    /// something is damaged (P16).
    pub(super) fn take(&mut self, rows: Rows, first: Offset) -> Option<Taken> {
        match self.half.take() {
            None => {
                let run = run_of(self, rows, first)?;
                if !self.reader.wants_asides() || run.events.is_empty() {
                    return Some(Taken::Whole(run));
                }
                let half = Half { run, rows: Vec::new(), answers: 0 };
                Some(self.ask_on(half, None))
            }
            Some(mut half) => {
                let (more, damaged) = (rows.more, rows.damaged.is_some());
                half.rows.extend(rows.rows);
                half.answers += 1;
                match half.rows.last().map(|(key, _)| key.clone()) {
                    _ if damaged => None,
                    Some(last) if more && half.answers < ANSWERS_MAX => {
                        Some(self.ask_on(half, Some(last)))
                    }
                    _ => half.whole(self, more).map(Taken::Whole),
                }
            }
        }
    }

    /// What is to be read on, from the last row that was.
    fn ask_on(&mut self, half: Half, last: Option<Vec<u8>>) -> Taken {
        let offsets = half.run.events.iter().map(|(offset, _)| offset.0);
        let (from, to) = (offsets.clone().min().unwrap_or(0), offsets.max().unwrap_or(0));
        let mut keys = aside::keys(self.id, Offset(from)..Offset(to + 1));
        match last {
            Some(last) if self.backwards => keys.end = last,
            Some(last) => keys.start = [&last[..], &[0]].concat(),
            None => {}
        }
        self.half = Some(half);
        let (rows_max, bytes_max, backwards) = (ROWS_MAX, BYTES_MAX, self.backwards);
        Taken::Half(RowRange { table: Table::Note, keys, rows_max, bytes_max, backwards })
    }
}

impl Half {
    /// The run with what was made of it. Where there is more than that, it ends before the event of
    /// which more is known; that one alone is told as it was said.
    fn whole(self, question: &Question, more: bool) -> Option<EventRun> {
        let Self { mut run, mut rows, .. } = self;
        let last = rows.last().and_then(|(key, _)| aside::about(key)).map(|(_, message)| message);
        if let Some(cut) = last.filter(|_| more) {
            let known =
                |offset: Offset| if question.backwards { offset > cut } else { offset < cut };
            run.more = true;
            let some = run.events.iter().any(|(offset, _)| known(*offset));
            let asked = |offset: Offset| if some { known(offset) } else { offset == cut };
            run.events.retain(|(offset, _)| asked(*offset));
            rows.retain(|(key, _)| aside::about(key).is_some_and(|(_, at)| some && known(at)));
            run.asides.beyond = (!some).then_some(cut);
        }
        if question.backwards {
            rows.reverse(); // what changed a message is told in order
        }
        let events: BTreeMap<_, _> = run.events.iter().map(|(at, record)| (*at, record)).collect();
        for (key, value) in &rows {
            let (id, message) = aside::about(key)?;
            // One that is kept no longer has no event any more.
            let Some(said) = events.get(&message).filter(|_| id == question.id) else { continue };
            run.asides.take(message, said, (key, value))?;
        }
        Some(run)
    }
}
