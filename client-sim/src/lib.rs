//! The swarm: load, measurement and a verdict, for Starling and for any server behind
//! [`target::Target`].
#![forbid(unsafe_code)]

pub mod meter;
pub mod metrics;
pub mod motion;
pub mod report;
pub mod scenario;
pub mod space;
pub mod starling;
pub mod swarm;
pub mod target;
pub mod trace;
pub mod truth;
pub mod verdict;
