//! The swarm: clients that move, look and publish, thousands of them on few threads.
//!
//! [`run`] is all that a user needs, and [`run_on`] puts another server under the same load. The
//! rest is public so that tests can step a swarm in virtual time ([`Driver`]).

mod calendar;
mod court;
mod driver;
mod giver;
mod lateness;
mod member;
mod mover;
mod options;
mod phase;
mod plan;
mod prepare;
mod publisher;
mod rhythm;
mod run;

pub use driver::{Driver, Totals};
pub use lateness::Lateness;
pub use options::{SwarmOptions, Work, threads};
pub use phase::{Phase, Schedule};
pub use plan::{Crew, InterestSpec, PlanOptions, Source};
pub use run::{Progress, SwarmError, Venue, run, run_on};
