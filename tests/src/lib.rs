//! What the tests of the whole system share. See ARCHITECTURE.md.
#![forbid(unsafe_code)]

pub mod house;
