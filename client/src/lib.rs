//! The Starling client SDK: one session with a Starling server, from a frame loop or from async
//! code.
//!
//! | You have | Take |
//! |---|---|
//! | a frame loop | [`net::Client`]: `advance(now)` once a frame, no runtime, no thread |
//! | async code | [`net::AsyncClient`]: the same session, awaited |
//! | thousands of sessions | [`net::Clients`]: one thread, and only those with work are touched |
//! | a network of your own, or a browser | [`Session`]: bytes and time in, bytes and wishes out |
//!
//! All of them are a [`Session`]: it joins a world, makes own entities appear and says where they
//! are, sees others through its [`View`], hears and publishes on channels, and takes itself up
//! again when its connection is lost. Without the feature `net` the crate has no socket, no clock
//! and no thread, and builds for `wasm32`.
//!
#![cfg_attr(feature = "net", doc = "```no_run")]
#![cfg_attr(not(feature = "net"), doc = "```text")]
//! use starling_client::net::{Client, MonotonicClock, Server};
//! use starling_client::{ConnectOptions, Interest, Pose, Shape, SpawnSpec, tls::ServerTrust};
//!
//! let clock = MonotonicClock::start();
//! let server = Server::resolve("127.0.0.1:4433", ServerTrust::Insecure)?;
//! let mut client = Client::connect(clock.now(), &server, ConnectOptions::new("plaza"))?;
//!
//! let me = client.spawn(SpawnSpec::at(Pose::at([0.0, 0.0, 0.0])).named("ann"))?;
//! client.set_interest_around(0, me, 50.0)?;
//! loop {
//!     client.set_pose(me, Pose::at([clock.now().as_secs_f64(), 0.0, 0.0]))?;
//!     client.advance(clock.now());
//!     while let Some(event) = client.poll_event() {
//!         println!("{event:?}");
//!     }
//!     for seen in client.view().iter() {
//!         println!("{} at {:?}", seen.name().unwrap_or("?"), seen.pose().position);
//!     }
//! #   break;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/` has whole programs: `hello`, `frame_loop`, `follow`, `publish_gpx`, `host` and
//! `tiny_bot`.
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
    EraseStatus, History, KeyedState, Note, PageStatus, PresenceCount, PresenceList, Publication,
    PublishStatus, SubscribeOptions, Subscription, SubscriptionState, UnreadStatus,
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
pub use view::{Heard, Seen, View};

/// The wire, for everything that is not named here.
pub use starling_protocol as protocol;
pub use starling_protocol::close::CloseCode;
pub use starling_protocol::message::control::{ResumeAnswer, Welcome};
pub use starling_protocol::message::interest::{Interest, Shape, Target};
pub use starling_protocol::sample::{Fix, FixSource};
pub use starling_protocol::schema::Value;
pub use starling_protocol::space::Space;
pub use starling_protocol::units::{
    ChannelKey, EntityId, KindId, MessageId, Nanos, SessionId, Tick,
};

/// Conditions of a link: loss, delay, duplication, named profiles.
#[cfg(feature = "net")]
pub use starling_transport::conditioner;
/// Why a server is believed.
#[cfg(feature = "net")]
pub use starling_transport::tls;
