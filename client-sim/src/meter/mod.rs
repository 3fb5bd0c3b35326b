//! What is measured, as distributions and counts. Nothing here knows what server is under load.

mod distribution;
mod timeline;

pub use distribution::Distribution;
pub(crate) use timeline::Current;
pub use timeline::{Second, Timeline};
