//! The Starling server: thin shells round [`starling_world`].
//!
//! See ARCHITECTURE.md for how the pieces fit together.
#![forbid(unsafe_code)]

pub mod auth;
pub mod config;
pub mod exchange;
