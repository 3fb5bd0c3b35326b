//! One session on one transport, for a frame loop.

use super::wire::{Wire, WireStats};
use super::{Dial, Server, ServerError};
use crate::options::ConnectOptions;
use crate::session::Session;
use crate::session::uplink::Sampling;
use starling_protocol::units::Nanos;
use starling_transport::quic::{ConnStats, UdpClient, random_seed};
use starling_transport::{Event, Transport};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// Events taken from a transport at once.
const EVENTS_MAX: usize = 256;
/// Times that a transport is asked in one step, so that a flood cannot hold up a frame.
const POLLS_MAX: usize = 16;

/// One session on a plain UDP socket: no runtime, no callback, no thread.
///
/// It is a [`Session`] that also does its own input and output: [`Client::advance`] is all that a
/// frame has to call, with the time on one monotonic clock of its choice.
///
/// ```no_run
/// use starling_client::net::{Client, MonotonicClock, Server};
/// use starling_client::{ClientEvent, ConnectOptions, Pose, SpawnSpec, tls::ServerTrust};
///
/// let clock = MonotonicClock::start();
/// let server = Server::new("127.0.0.1:4433".parse()?, ServerTrust::Insecure);
/// let mut client = Client::connect(clock.now(), &server, ConnectOptions::new("plaza"))?;
/// let me = client.spawn(SpawnSpec::at(Pose::at([0.0, 0.0, 0.0])))?;
/// loop {
///     client.set_pose(me, Pose::at([clock.now().as_secs_f64(), 0.0, 0.0]))?;
///     client.advance(clock.now());
///     while let Some(event) = client.poll_event() {
///         if let ClientEvent::Closed { error } = event {
///             return Err(error.into());
///         }
///     }
///     for seen in client.view().iter() {
///         println!("{} at {:?}", seen.id(), seen.pose().position);
///     }
/// #   break;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client<T: Dial = UdpClient> {
    session: Session,
    wire: Wire,
    transport: T,
    target: T::Target,
    events: Vec<Event>,
}

impl Client<UdpClient> {
    /// Begins to connect to a server.
    ///
    /// # Errors
    /// [`ServerError`] when it cannot even be tried.
    pub fn connect(
        now: Nanos,
        server: &Server,
        mut options: ConnectOptions,
    ) -> Result<Self, ServerError> {
        if options.seed == 0 {
            options.seed = random_seed();
        }
        let transport = Server::transport(options.seed)?;
        Ok(Self::over(now, transport, server.target()?, options))
    }

    /// Sleeps until a packet arrives, the session is due, or `at_most` is over: for programs that
    /// have no frames of their own to wait for.
    pub fn wait(&mut self, now: Nanos, at_most: Duration) {
        let due = self.next_timeout(now);
        let nap = due.map_or(at_most, |due| Duration::from_nanos(due.since(now)));
        self.transport.wait(nap.min(at_most));
    }

    /// What QUIC counted on the present connection.
    #[must_use]
    pub fn quic_stats(&self) -> Option<ConnStats> {
        self.transport.conn_stats(self.wire.conn()?)
    }

    pub(super) fn into_parts(self) -> (Session, super::asynchronous::Driven) {
        let Self { session, wire, transport, target, events } = self;
        (session, super::asynchronous::Driven { wire, transport, target, events })
    }
}

impl<T: Dial> Client<T> {
    /// A session on any transport.
    pub fn over(now: Nanos, transport: T, target: T::Target, options: ConnectOptions) -> Self {
        let session = Session::new(now, options);
        let (wire, events) = (Wire::default(), Vec::with_capacity(EVENTS_MAX));
        let mut client = Self { session, wire, transport, target, events };
        client.advance(now);
        client
    }

    /// One frame: receives, does what is due, draws the view as of `now`, and sends.
    pub fn advance(&mut self, now: Nanos) {
        self.receive(now);
        self.session.advance(now);
        self.send(now);
    }

    /// As [`Client::advance`], for a program that can say where its entities are at any moment:
    /// when an uplink is due it is asked to set their poses for exactly that tick's instant.
    pub fn advance_sampled(&mut self, now: Nanos, sample: impl FnOnce(&mut Session, Sampling)) {
        self.receive(now);
        self.session.advance(now);
        if let Some(sampling) = self.session.wants_samples(now) {
            sample(&mut self.session, sampling);
        }
        self.send(now);
    }

    /// When [`Client::advance`] is to be called again at the latest.
    #[must_use]
    pub fn next_timeout(&mut self, now: Nanos) -> Option<Nanos> {
        let due = [self.session.next_timeout(now), self.transport.next_timeout()];
        due.into_iter().flatten().min()
    }

    /// The transport below.
    #[must_use]
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    /// The transport below, to sleep on it for example.
    #[must_use]
    pub const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// What the wire counted.
    #[must_use]
    pub const fn wire_stats(&self) -> WireStats {
        self.wire.stats
    }

    fn receive(&mut self, now: Nanos) {
        receive(now, &mut self.session, &mut self.wire, &mut self.transport, &mut self.events);
    }

    fn send(&mut self, now: Nanos) {
        self.wire.grant(now, &mut self.session, &mut self.transport, &self.target);
        self.wire.send(now, &mut self.session, &mut self.transport);
        self.transport.flush(now);
    }
}

/// Brings a session all that its transport has for it.
pub(super) fn receive<T: Transport>(
    now: Nanos,
    session: &mut Session,
    wire: &mut Wire,
    transport: &mut T,
    events: &mut Vec<Event>,
) {
    for _ in 0..POLLS_MAX {
        let count = transport.poll(now, EVENTS_MAX, events);
        for event in events.drain(..) {
            wire.bring(now, session, event);
        }
        if count < EVENTS_MAX {
            return;
        }
    }
}

/// A client is its session, with input and output of its own.
impl<T: Dial> Deref for Client<T> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl<T: Dial> DerefMut for Client<T> {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}
