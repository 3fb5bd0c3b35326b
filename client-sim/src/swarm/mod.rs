//! The swarm: clients that move, look and publish, thousands of them on few threads.

mod driver;
mod lateness;
mod mover;
mod phase;
mod plan;
mod publisher;

pub use driver::Driver;
pub use lateness::Lateness;
pub use phase::{Phase, Schedule};
pub use plan::{Crew, InterestSpec, PlanOptions, Source};
