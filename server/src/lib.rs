//! The Starling server: thin shells round [`starling_world`].
//!
//! See ARCHITECTURE.md for how the pieces fit together.
#![forbid(unsafe_code)]

pub mod auth;
pub mod config;
pub mod counters;
pub mod data;
pub mod entropy;
pub mod exchange;
pub mod http;
pub mod net;
pub mod replay;
pub mod room;
pub mod run;
pub mod stepped;
pub mod store;
pub mod telemetry;
pub mod tenant;
pub mod wall;
