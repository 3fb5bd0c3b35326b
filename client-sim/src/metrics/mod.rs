//! What the server's process says of itself, read from its metrics in Prometheus text form.

mod http;
mod scrape;
mod server_use;

pub use http::MetricsUrl;
pub use scrape::{Buckets, Scrape};
pub use server_use::ServerUse;
pub(crate) use server_use::{READINGS_MIN, failed_max};
