//! What the datagrams of a tick say of entities, judged with the entities that it is said of.
//!
//! Whoever notes a session's datagrams collects its claims, in a bucket for each stretch of entities.
//! Then each stretch is judged by one part, bucket by bucket: all that is said of an entity is said by
//! its owner, and so lies in one bucket, in the order in which it arrived.

use super::judge::{self, Claim, Judge, Judges, Verdict};
use crate::World;
use crate::config::WorldConfig;
use crate::entity::{Accepted, EntityIdx, SampledRows};
use crate::executor::{Executor, run_parts};
use crate::session::SessionIdx;
use crate::simd;
use starling_protocol::message::control::{RejectReason, Rejection};
use starling_protocol::units::{Handle, Tick};

/// Claims ahead for which rows begin to come.
const AHEAD: usize = 8;

/// One sample, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filed {
    pub(super) entity: EntityIdx,
    /// Number of its datagram in the tick, and of itself in the datagram.
    pub(super) place: (u32, u32),
    pub(super) session: SessionIdx,
    pub(super) handle: Handle,
    pub(super) sequence: u16,
    pub(super) claim: Claim,
}

/// A sample that was not accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    place: (u32, u32),
    session: SessionIdx,
    rejection: Rejection,
}

impl Refused {
    pub(super) fn new(
        place: (u32, u32),
        session: SessionIdx,
        (handle, sequence): (Handle, u16),
        reason: RejectReason,
    ) -> Self {
        Self { place, session, rejection: Rejection { handle, sequence, reason } }
    }
}

/// What one part filed, and what it could not.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// By stretch of entities.
    buckets: Vec<Vec<Filed>>,
    /// Entities of one stretch.
    stretch: usize,
    pub(super) refused: Vec<Refused>,
}

impl Files {
    /// Begins a tick in which there are so many stretches, each of so many entities.
    pub(super) fn begin(&mut self, stretches: usize, stretch: usize) {
        if self.buckets.len() < stretches {
            self.buckets.resize_with(stretches, Vec::new);
        }
        self.buckets.iter_mut().for_each(Vec::clear);
        self.stretch = stretch;
        self.refused.clear();
    }

    /// One more claim.
    #[inline]
    pub(super) fn file(&mut self, filed: Filed) {
        self.buckets[filed.entity.at() / self.stretch].push(filed);
    }
}

/// What became of the claims about one stretch of entities.
#[derive(Debug, Default)]
pub(super) struct Findings {
    fresh: Vec<EntityIdx>,
    refused: Vec<Refused>,
    accepted: u64,
    rebases: u64,
    old: u64,
}

/// What claims are judged by.
#[derive(Clone, Copy)]
pub(super) struct Court<'a> {
    pub(super) config: &'a WorldConfig,
    pub(super) now: Tick,
    pub(super) unix_ms: Option<u64>,
}

/// A stretch of entities, their judges, and what is found.
struct Bench<'a> {
    number: usize,
    rows: SampledRows<'a>,
    judges: &'a mut [Judge],
    first: usize,
    findings: &'a mut Findings,
}

impl World {
    /// Judges what [`World::note_datagrams`] filed.
    pub(super) fn judge_claims(
        &mut self,
        parts: usize,
        unix_ms: Option<u64>,
        exec: &impl Executor,
    ) {
        let Self { arrivals, entities, judges, config, .. } = self;
        let stretch = stretch(entities.rows(), parts);
        let court = Court { config, now: self.now, unix_ms };
        let (files, findings) = arrivals.files(parts);
        // All of them: few entities make fewer stretches than parts, and all are merged.
        findings.iter_mut().for_each(Findings::begin);
        let rows = entities.rows();
        let pieces = entities.sampled(stretch).zip(judges.pieces(stretch, rows)).zip(findings);
        let bench = |(number, ((rows, judges), findings))| Bench {
            number,
            rows,
            judges,
            first: number * stretch,
            findings,
        };
        run_parts(exec, pieces.enumerate().map(bench), |bench| bench.sit(files, court));
        self.conclude(parts);
    }

    /// Merges what the parts found, in the order of arrival where that can be told.
    fn conclude(&mut self, parts: usize) {
        let Self { arrivals, entities, counters, .. } = self;
        let mut refused = std::mem::take(&mut arrivals.refused);
        let (files, findings) = arrivals.files(parts);
        for found in &mut *findings {
            entities.freshen(&found.fresh);
            counters.samples_accepted += found.accepted;
            counters.rebases += found.rebases;
            counters.samples_old += found.old;
            refused.append(&mut found.refused);
        }
        files.iter().for_each(|files| refused.extend_from_slice(&files.refused));
        refused.sort_unstable_by_key(|refused| refused.place);
        for Refused { session, rejection, .. } in refused.drain(..) {
            self.refuse_sample(session, rejection);
        }
        self.arrivals.refused = refused;
    }

    /// Counts a sample that was not accepted, and tells its session.
    pub(super) fn refuse_sample(&mut self, session: SessionIdx, rejection: Rejection) {
        self.counters.samples_rejected[rejection.reason as usize] += 1;
        self.sessions.reject(session, rejection);
    }

    /// Judges one claim at once.
    pub(super) fn judge_claim(&mut self, filed: &Filed, unix_ms: Option<u64>) {
        let mut findings = std::mem::take(&mut self.arrivals.alone);
        findings.begin();
        let Self { entities, judges, config, .. } = self;
        let rows = entities.rows();
        let court = Court { config, now: self.now, unix_ms };
        let pieces = entities.sampled(rows).zip(judges.pieces(rows, rows));
        for (rows, judges) in pieces {
            let findings = &mut findings;
            Bench { number: 0, rows, judges, first: 0, findings }.hear(filed, court);
        }
        self.entities.freshen(&findings.fresh);
        self.counters.samples_accepted += findings.accepted;
        self.counters.rebases += findings.rebases;
        self.counters.samples_old += findings.old;
        for Refused { session, rejection, .. } in findings.refused.drain(..) {
            self.refuse_sample(session, rejection);
        }
        self.arrivals.alone = findings;
    }
}

/// Entities of one of so many stretches.
pub(super) fn stretch(rows: usize, parts: usize) -> usize {
    rows.div_ceil(parts).max(1)
}

impl Findings {
    fn begin(&mut self) {
        self.fresh.clear();
        self.refused.clear();
        (self.accepted, self.rebases, self.old) = (0, 0, 0);
    }
}

impl Bench<'_> {
    fn sit(&mut self, files: &[Files], court: Court<'_>) {
        let number = self.number;
        for bucket in files.iter().map(|files| &files.buckets[number]) {
            for (at, filed) in bucket.iter().enumerate() {
                if let Some(soon) = bucket.get(at + AHEAD) {
                    self.rows.fetch(soon.entity);
                    let judge = &self.judges[soon.entity.at() - self.first];
                    simd::fetch_row(std::slice::from_ref(judge), size_of::<Judge>());
                }
                self.hear(filed, court);
            }
        }
    }

    fn hear(&mut self, filed: &Filed, court: Court<'_>) {
        let Filed { entity, claim, .. } = filed;
        if !self.rows.hear(*entity, filed.sequence, court.now) {
            self.findings.old += 1;
            return;
        }
        let accepted = self.rows.accepted(*entity);
        let Court { config, now, unix_ms } = court;
        let context = judge::Context { config, accepted, now, unix_ms };
        match self.judges[entity.at() - self.first].judge(claim, &context) {
            Verdict::Accept => self.accept(*entity, claim, now),
            Verdict::Rebase => {
                self.findings.rebases += 1;
                self.accept(*entity, claim, now);
            }
            Verdict::Repeat => self.findings.old += 1,
            Verdict::Reject(reason) => {
                let named = (filed.handle, filed.sequence);
                let refused = Refused::new(filed.place, filed.session, named, reason);
                self.findings.refused.push(refused);
            }
        }
    }

    fn accept(&mut self, entity: EntityIdx, claim: &Claim, now: Tick) {
        let sample = claim.sample;
        let accepted = Accepted {
            position: sample.position,
            velocity: sample.velocity,
            orientation: sample.orientation,
            fix: sample.fix,
            tick: now,
        };
        self.findings.accepted += 1;
        if self.rows.accept(entity, accepted, claim.label) {
            self.findings.fresh.push(entity);
        }
    }
}

impl Judges {
    /// The judges of so many entities in pieces.
    fn pieces(&mut self, size: usize, entities: usize) -> impl Iterator<Item = &mut [Judge]> {
        if self.rows.len() < entities {
            self.rows.resize(entities, Judge::default());
        }
        self.rows[..entities].chunks_mut(size.max(1))
    }
}
