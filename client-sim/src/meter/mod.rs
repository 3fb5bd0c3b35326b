//! What is measured, as distributions and counts. Nothing here knows what server is under load.

mod distribution;
mod generator;
mod timeline;

pub use distribution::Distribution;
pub use generator::GeneratorMeter;
pub(crate) use timeline::Current;
pub use timeline::{Second, Timeline};
