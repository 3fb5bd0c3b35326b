//! Pass, fail or invalid.

mod slo;

pub use slo::Slo;
