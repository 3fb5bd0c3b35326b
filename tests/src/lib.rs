//! What the tests of the whole system share. See ARCHITECTURE.md.
#![forbid(unsafe_code)]

pub mod house;
pub mod simulation;

/// The README's example compiles against the SDK as it is.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
