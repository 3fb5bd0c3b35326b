//! The Starling client SDK.
#![forbid(unsafe_code)]

mod backoff;
mod clock;
mod error;
mod options;

pub use clock::{ClockSample, ServerClock};
pub use error::{ConnectError, RequestError};
pub use options::{ConnectOptions, KeepAlive, Reconnect, ViewOptions};
