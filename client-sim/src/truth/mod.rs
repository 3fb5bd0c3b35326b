//! Who should see whom: brute force in f64 over the accepted positions.
//!
//! Nothing here is shared with the server's index, its interest sets or its integer positions.
//! It is slow on purpose and therefore easy to believe.

mod area;
mod cues;
mod events;
mod findings;
mod judge;
mod links;
mod news;
mod observer;
mod past;
mod places;
mod room;
mod subject;

pub use area::Area;
pub use findings::{CueFindings, EventFindings, Findings, OverBound, Wrong, WrongPair};
pub use judge::Judge;
pub use news::{News, Taken};
pub use room::Room;
