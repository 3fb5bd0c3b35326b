//! Where something is between and beyond the instants that are known.

use super::ground::{self, Steps};
use super::turn;
use crate::pose::Facing;
use starling_protocol::motion::FixState;
use starling_protocol::snapshot::{State, Table};
use starling_protocol::space::Space;
use starling_protocol::units::{Slot, Tick};

/// A moment between two ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(super) struct Moment {
    pub(super) tick: Tick,
    /// How far into the tick, 0 to 1.
    pub(super) part: f32,
}

/// How motion is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) space: Space,
    /// Nothing moves on for longer than so many ticks without news.
    pub(super) extrapolate_ticks: u32,
    /// A step of more metres is a jump, not a motion.
    pub(super) teleport_m: f64,
}

/// A place and a facing on the canonical grid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: Steps,
    pub(super) facing: Facing,
}

impl Moment {
    /// Ticks from `earlier`; zero when that is later.
    fn since(self, earlier: Tick) -> f64 {
        match self.tick.since(earlier) {
            Some(ticks) => f64::from(ticks) + f64::from(self.part),
            None => 0.0,
        }
    }

    fn no_later_than(self, tick: Tick) -> Self {
        if self.tick >= tick { Self { tick, part: 0.0 } } else { self }
    }
}

/// Where the entity in `slot` is at a moment, by all that is known.
pub(super) fn place(table: &Table, rules: &Rules, slot: Slot, moment: Moment) -> Option<Place> {
    match table.state_at(slot, moment.tick)? {
        State::Knot(_) => between_ticks(table, rules, slot, moment),
        State::Fix(fix) => between_fixes(table, rules, slot, moment, fix),
    }
}

/// A game's track says where something is at every tick: between two ticks it is on the line.
fn between_ticks(table: &Table, rules: &Rules, slot: Slot, moment: Moment) -> Option<Place> {
    let end = table.newest_tick()? + rules.extrapolate_ticks;
    let moment = moment.no_later_than(end);
    let now = table.state_at(slot, moment.tick)?;
    let next = table.state_at(slot, moment.tick + 1)?;
    let at = |state: &State, tick| (ground::of(state.position(tick)), facing(state, tick));
    Some(step(rules, at(now, moment.tick), at(next, moment.tick + 1), moment.part))
}

/// A fleet's fixes are far apart: between two it is on the line, after the last it goes on along
/// the line through the last two for as long as those were apart.
fn between_fixes(
    table: &Table,
    rules: &Rules,
    slot: Slot,
    moment: Moment,
    fix: &FixState,
) -> Option<Place> {
    let state = State::Fix(*fix);
    let from = ground::of(fix.pos);
    let Some(next) = next_fix(table, slot, fix.tick) else {
        return Some(Place { at: beyond(rules, fix, moment), facing: facing(&state, fix.tick) });
    };
    let apart = f64::from(next.tick.0 - fix.tick.0).max(1.0);
    let part = (moment.since(fix.tick) / apart).clamp(0.0, 1.0) as f32;
    let (to, next) = (ground::of(next.pos), State::Fix(next));
    let (from, to) = ((from, facing(&state, fix.tick)), (to, facing(&next, next.tick())));
    Some(step(rules, from, to, part))
}

/// The first fix after a tick: walks back from the newest by the links between fixes.
fn next_fix(table: &Table, slot: Slot, after: Tick) -> Option<FixState> {
    let mut before = Tick(u32::MAX);
    let mut found = None;
    while let Some(State::Fix(fix)) = table.state_at(slot, before) {
        if fix.tick <= after || fix.tick >= before {
            break;
        }
        found = Some(*fix);
        before = fix.tick - 1;
    }
    found
}

fn beyond(rules: &Rules, fix: &FixState, moment: Moment) -> Steps {
    let from = ground::of(fix.pos);
    let Some(apart @ 1..) = fix.tick.since(fix.prev_tick) else { return from };
    let way = ground::way(rules.space, ground::of(fix.prev_pos), from);
    if ground::metres(rules.space, from, way) > rules.teleport_m {
        return from;
    }
    let ahead = moment.since(fix.tick).min(f64::from(apart.min(rules.extrapolate_ticks)));
    ground::along(from, way, ahead / f64::from(apart))
}

/// Part of the way from one known place to the next; all of it at its end where it is a jump.
fn step(rules: &Rules, from: (Steps, Facing), to: (Steps, Facing), part: f32) -> Place {
    let way = ground::way(rules.space, from.0, to.0);
    if ground::metres(rules.space, from.0, way) > rules.teleport_m {
        let (at, facing) = if part >= 1.0 { to } else { from };
        return Place { at, facing };
    }
    Place {
        at: ground::along(from.0, way, f64::from(part)),
        facing: turn::between(from.1, to.1, part),
    }
}

fn facing(state: &State, tick: Tick) -> Facing {
    Facing::from_wire(state.orientation(tick))
}
