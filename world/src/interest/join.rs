//! One tick of interest: follow who changed lanes, seat whoever changed leaf, look.

use super::group::Group;
use super::lane::Lane;
use super::seats::Plain;
use super::solo::Solo;
use super::viewer::Viewer;
use super::{Interests, Span, Told};
use crate::atlas::Atlas;
use crate::entity::{Entities, EntityIdx};
use crate::executor::{Executor, run_parts, width};
use crate::session::{SessionIdx, Sessions};

/// A share of the viewers, and what works on it.
struct Part<'a> {
    groups: &'a mut [Group],
    solos: &'a mut [Solo],
    plains: &'a mut [Plain],
    lane: &'a mut Lane,
}

/// What everyone looks at.
#[derive(Clone, Copy)]
struct Scenery<'a> {
    sessions: &'a Sessions,
    atlas: &'a Atlas,
    entities: &'a Entities,
}

impl Interests {
    /// Works out what every session sees now. Once in each tick, after the index was settled.
    pub(crate) fn look(
        &mut self,
        sessions: &Sessions,
        atlas: &Atlas,
        entities: &Entities,
        exec: &impl Executor,
    ) {
        let scenery = Scenery { sessions, atlas, entities };
        // Never fewer: a tick that runs on one thread keeps the room of those that run on all.
        if self.lanes.len() < width(exec) {
            self.lanes.resize_with(width(exec), Lane::default);
        }
        self.gone.clear();
        self.run(exec, |part| part.follow(scenery));
        self.seat_all(sessions, atlas, entities);
        self.run(exec, |part| part.look(scenery));
        self.tell();
    }

    /// Runs the same work on equal shares of the viewers.
    fn run(&mut self, exec: &impl Executor, work: impl Fn(&mut Part<'_>) + Sync) {
        let Self { groups, solos, plains, lanes, .. } = self;
        let (mut groups, mut solos, mut plains) =
            (groups.as_mut_slice(), solos.as_mut_slice(), plains.as_mut_slice());
        let shares = lanes.len();
        let share = [groups.len(), solos.len(), plains.len()].map(|len| len.div_ceil(shares));
        let parts = lanes.iter_mut().map(|lane| Part {
            groups: cut(&mut groups, share[0]),
            solos: cut(&mut solos, share[1]),
            plains: cut(&mut plains, share[2]),
            lane,
        });
        run_parts(exec, parts, work);
    }

    /// Notes where each session's enters and leaves are, and adds who went without a look.
    fn tell(&mut self) {
        self.looks += 1;
        self.merged.clear();
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let number = Some(number as u32);
            let (mut entered, mut left) = (0, 0);
            for &(session, enters, leaves) in &lane.ends {
                self.told[session.at()] = Told {
                    look: self.looks,
                    enters: Span { lane: number, from: entered, to: enters },
                    leaves: Span { lane: number, from: left, to: leaves },
                };
                (entered, left) = (enters, leaves);
            }
            self.gone.append(&mut lane.gone);
        }
        self.gone.sort_unstable();
        let gone = std::mem::take(&mut self.gone);
        for gone in gone.chunk_by(|a, b| a.0 == b.0) {
            self.merge(gone[0].0, gone);
        }
        self.gone = gone;
    }

    fn merge(&mut self, session: SessionIdx, gone: &[(SessionIdx, EntityIdx)]) {
        if !self.rows[session.at()].looks {
            return;
        }
        let told = self.told[session.at()];
        let told = if told.look == self.looks { told } else { Told::default() };
        let from = self.merged.len();
        if let Some(lane) = told.leaves.lane {
            let range = told.leaves.from as usize..told.leaves.to as usize;
            self.merged.extend_from_slice(&self.lanes[lane as usize].leaves[range]);
        }
        self.merged.extend(gone.iter().map(|(_, entity)| *entity));
        self.merged[from..].sort_unstable();
        let leaves = Span { lane: None, from: from as u32, to: self.merged.len() as u32 };
        self.told[session.at()] = Told { look: self.looks, leaves, ..told };
    }
}

/// The next `share` of what is left.
fn cut<'a, T>(rest: &mut &'a mut [T], share: usize) -> &'a mut [T] {
    let all = std::mem::take(rest);
    let (here, after) = all.split_at_mut(share.min(all.len()));
    *rest = after;
    here
}

impl Part<'_> {
    fn follow(&mut self, scenery: Scenery<'_>) {
        self.lane.clear();
        let Lane { trail, gone, astray, .. } = &mut *self.lane;
        for group in &mut *self.groups {
            group.follow(scenery.atlas.index(), trail, gone, astray);
        }
        for solo in &mut *self.solos {
            let mut standing = solo.standing;
            if let Some(viewer) = scenery.viewer(solo.session, &mut standing) {
                solo.follow(&viewer, scenery.atlas, self.lane);
            }
        }
    }

    fn look(&mut self, scenery: Scenery<'_>) {
        let Scenery { atlas, entities, .. } = scenery;
        for group in &mut *self.groups {
            group.look(atlas.index(), entities, self.lane);
        }
        for solo in &mut *self.solos {
            let mut standing = solo.standing;
            if let Some(viewer) = scenery.viewer(solo.session, &mut standing) {
                solo.standing = standing;
                solo.look(&viewer, atlas, entities, self.lane);
            }
        }
        for plain in &mut *self.plains {
            if let Some(viewer) = scenery.viewer(plain.session, &mut plain.standing) {
                let sight = &mut self.lane.sight;
                sight.look(&viewer, &mut plain.areas, &mut plain.seen, atlas, entities);
                self.lane.begin();
                self.lane.enters.extend_from_slice(&self.lane.sight.enters);
                self.lane.leaves.extend_from_slice(&self.lane.sight.leaves);
                self.lane.end(viewer.session);
            }
        }
    }
}

impl<'a> Scenery<'a> {
    fn viewer(
        &self,
        session: Option<SessionIdx>,
        standing: &mut super::viewer::Standing,
    ) -> Option<Viewer<'a>> {
        let session = session?;
        Some(Viewer::new(session, self.sessions.get(session)?, self.entities, standing))
    }
}
