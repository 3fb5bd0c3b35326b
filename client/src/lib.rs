//! The Starling client SDK.
#![forbid(unsafe_code)]

mod backoff;
mod channel;
mod clock;
mod error;
mod event;
#[cfg(feature = "net")]
pub mod net;
mod options;
mod pose;
mod session;
mod view;

pub use channel::{
    PresenceList, Publication, PublishStatus, SubscribeOptions, Subscription, SubscriptionState,
};
pub use clock::{ClockSample, ServerClock};
pub use error::{ConnectError, RequestError};
pub use event::{ClientEvent, Cue};
pub use options::{ConnectOptions, KeepAlive, Reconnect, ViewOptions};
pub use pose::{Facing, Pose};
pub use session::cue::CueTo;
pub use session::input::PendingInput;
pub use session::own::{OwnKey, OwnState, SpawnSpec};
pub use session::uplink::Sampling;
pub use session::{LinkWish, Session, SessionState, Stats};
/// Conditions of a link: loss, delay, duplication, named profiles.
#[cfg(feature = "net")]
pub use starling_transport::conditioner;
/// Why a server is believed.
#[cfg(feature = "net")]
pub use starling_transport::tls;
pub use view::{Heard, Seen, View};
