//! One entity as the server should know it.

use super::news::Taken;
use crate::space::{Position, Space};
use std::collections::VecDeque;

/// Samples remembered per entity: for staleness under loss, and for where it was when drawn.
const RECENT_MAX: usize = 64;

/// An entity of the run.
#[derive(Debug)]
pub(super) struct Subject {
    presence: Presence,
    position: Position,
    cartesian: Position,
    /// The server may have taken something that nobody told us of.
    blind: bool,
    recent: VecDeque<Taken>,
}

/// Does the entity exist in the server?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// No.
    Absent,
    /// It was asked for, and nothing confirms it yet.
    Appearing,
    /// Yes.
    Present,
    /// Its removal was asked for, and nothing confirms it yet.
    Leaving,
    /// Its owner lost the connection.
    Doubtful,
}

/// Where an entity is for sure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub position: Position,
    pub cartesian: Position,
}

/// What can be said of an entity at a tick.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whereabouts {
    /// It is not there: nobody may hold it.
    Nowhere,
    /// Nothing certain.
    Unknown,
    At(Place),
}

impl Subject {
    pub(super) fn new() -> Self {
        Self {
            presence: Presence::Absent,
            position: [0.0; 3],
            cartesian: [0.0; 3],
            blind: false,
            recent: VecDeque::new(),
        }
    }

    pub(super) fn appear(&mut self) {
        if self.presence != Presence::Present {
            self.presence = Presence::Appearing;
        }
    }

    pub(super) fn leave(&mut self) {
        self.presence = Presence::Leaving;
    }

    pub(super) fn is_gone(&mut self) {
        if self.presence == Presence::Leaving {
            self.presence = Presence::Absent;
        }
    }

    pub(super) fn lose_owner(&mut self) {
        if self.presence != Presence::Absent {
            self.presence = Presence::Doubtful;
        }
    }

    /// Some ticks of its owner are not known: it may have moved unseen.
    pub(super) fn go_blind(&mut self) {
        self.blind = true;
    }

    pub(super) fn take(&mut self, space: Space, taken: Taken) {
        if self.presence == Presence::Leaving {
            return;
        }
        self.presence = Presence::Present;
        self.blind = false;
        self.position = taken.position;
        self.cartesian = space.cartesian(taken.position);
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(taken);
    }

    pub(super) fn whereabouts(&self) -> Whereabouts {
        match self.presence {
            Presence::Absent => Whereabouts::Nowhere,
            Presence::Present if !self.blind => {
                Whereabouts::At(Place { position: self.position, cartesian: self.cartesian })
            }
            _ => Whereabouts::Unknown,
        }
    }

    pub(super) fn place(&self) -> Option<Place> {
        match self.whereabouts() {
            Whereabouts::At(place) => Some(place),
            Whereabouts::Nowhere | Whereabouts::Unknown => None,
        }
    }

    /// The tick of the newest sample, and when that was sampled.
    pub(super) fn newest(&self) -> Option<(u32, u64)> {
        self.recent.back().map(|taken| (taken.tick, taken.sampled_ns))
    }

    /// Is the tick of the newest sample known, and not only by which tick it was taken?
    pub(super) fn is_exact(&self) -> bool {
        self.recent.back().is_some_and(|taken| taken.exact)
    }

    /// Was it in one place in its last two samples? Then it has stopped.
    pub(super) fn stands(&self) -> bool {
        let mut newest = self.recent.iter().rev().map(|taken| taken.position);
        newest.next().zip(newest.next()).is_some_and(|(last, before)| last == before)
    }

    /// Samples taken after one tick and up to another, newest first.
    pub(super) fn taken_between(&self, after: u32, to: u32) -> impl Iterator<Item = &Taken> {
        let recent = self.recent.iter().rev();
        recent.skip_while(move |t| t.tick > to).take_while(move |t| t.tick > after)
    }

    /// Where its owner had it at a moment, between two samples.
    pub(super) fn position_at(&self, space: Space, at_ns: u64) -> Option<Position> {
        let after = self.recent.iter().position(|t| t.sampled_ns >= at_ns)?;
        let (a, b) = (self.recent.get(after.checked_sub(1)?)?, self.recent.get(after)?);
        let span = (b.sampled_ns - a.sampled_ns).max(1) as f64;
        let u = (at_ns - a.sampled_ns) as f64 / span;
        let mut mixed = [0, 1, 2].map(|k| a.position[k] + (b.position[k] - a.position[k]) * u);
        if space == Space::Geodetic {
            let turn = crate::space::wrap_degrees(b.position[1] - a.position[1]);
            mixed[1] = crate::space::wrap_degrees(a.position[1] + turn * u);
        }
        Some(mixed)
    }
}
