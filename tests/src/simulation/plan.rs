//! What befalls processes, and when: all drawn before a run begins.

use super::dice::Dice;
use super::options::{Knob, Options};
use starling_protocol::units::Nanos;

/// Something that befalls a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The server dies on the spot, and is back after a while.
    Kill,
    /// The power goes: what was written and not synced is lost, torn or reordered.
    PowerLoss,
    /// The server drains, and is back once it is over.
    Drain,
    /// The server's process does not run for so long.
    PauseServer(u64),
    /// A client's process does not run for so long.
    PauseClient(usize, u64),
}

/// Deeds in order of time.
pub(crate) fn draw(options: &Options) -> Vec<(Nanos, Deed)> {
    let mut dice = Dice::lane(options.seed, 2);
    let span_ns = u64::from(options.get(Knob::FaultsMs)) * Nanos::MILLISECOND;
    let mut plan = Vec::new();
    let at = |dice: &mut Dice| Nanos(span_ns / 5 + dice.below(span_ns * 4 / 5));
    for _ in 0..options.get(Knob::Kills) {
        plan.push((at(&mut dice), Deed::Kill));
    }
    for _ in 0..options.get(Knob::Drains) {
        plan.push((at(&mut dice), Deed::Drain));
    }
    let pause_ns = u64::from(options.get(Knob::PauseMs)) * Nanos::MILLISECOND;
    if pause_ns > 0 {
        plan.push((at(&mut dice), Deed::PauseServer(1 + dice.below(pause_ns))));
        let client = dice.below(options.get(Knob::Clients).into()) as usize;
        plan.push((at(&mut dice), Deed::PauseClient(client, 1 + dice.below(pause_ns))));
    }
    for _ in 0..options.get(Knob::PowerLosses) {
        plan.push((at(&mut dice), Deed::PowerLoss));
    }
    plan.sort_by_key(|(at, _)| *at);
    plan
}
