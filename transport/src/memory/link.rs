//! One connection: two lanes, a handshake, a close and an idle timeout.

use super::inbox::Inbox;
use super::lane::{Arrival, Body, Lane};
use crate::conditioner::LinkProfile;
use crate::conditioner::rng::derive;
use crate::{Allowance, ConnKey, Event};
use starling_protocol::close::CloseCode;
use starling_protocol::units::Nanos;
use std::net::{Ipv4Addr, SocketAddr};

/// Where the server of every memory network seems to be.
pub(super) const SERVER_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 255, 255, 254)), 4433);
/// The port from which every client first sends.
const CLIENT_PORT: u16 = 50_000;
/// Signs of life that a silent client gives within one idle timeout.
const PINGS_PER_IDLE: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client = 0,
    Server = 1,
}

impl End {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handshake is under way.
    Opening,
    /// Connected, and not yet ended by either side as far as this one knows.
    Up,
    /// Ended; nothing follows.
    Closed,
}

/// The two inboxes that one link fills.
pub(super) struct Inboxes<'a> {
    pub(super) client: &'a mut Inbox,
    pub(super) server: &'a mut Inbox,
}

impl Inboxes<'_> {
    fn at(&mut self, end: End) -> &mut Inbox {
        match end {
            End::Client => self.client,
            End::Server => self.server,
        }
    }
}

#[derive(Debug)]
pub(super) struct Link {
    key: ConnKey,
    /// Which client it belongs to.
    pub(super) client: usize,
    /// Lanes by the end that sends.
    lanes: [Lane; 2],
    phases: [Phase; 2],
    /// When each end last had a sign of life.
    heard: [Nanos; 2],
    idle_ns: u64,
    pub(super) cut: bool,
    /// How often the client's port has changed.
    pub(super) rebinds: u64,
    /// Where this link stands in the network's agenda.
    pub(super) scheduled: Option<Nanos>,
}

impl Link {
    pub(super) fn open(
        key: ConnKey,
        client: usize,
        profile: &LinkProfile,
        seed: u64,
        idle_ns: u64,
        now: Nanos,
    ) -> Self {
        let lane = |end: u64| Lane::new(profile.clone(), derive(seed, 2 * key.0 + end), now);
        let mut lanes = [lane(0), lane(1)];
        lanes[End::Client as usize].send_reliably(now, Body::Open);
        Self {
            key,
            client,
            lanes,
            phases: [Phase::Opening; 2],
            heard: [now; 2],
            idle_ns,
            cut: false,
            rebinds: 0,
            scheduled: None,
        }
    }

    pub(super) const fn phase(&self, end: End) -> Phase {
        self.phases[end as usize]
    }

    /// The lane on which `end` sends.
    pub(super) const fn lane(&mut self, end: End) -> &mut Lane {
        &mut self.lanes[end as usize]
    }

    pub(super) const fn lanes(&self) -> &[Lane; 2] {
        &self.lanes
    }

    /// Both ends know that it is over.
    pub(super) fn is_over(&self) -> bool {
        self.phases == [Phase::Closed; 2]
    }

    pub(super) fn allowance(&self, end: End, now: Nanos) -> Option<Allowance> {
        let lane = &self.lanes[end as usize];
        let rtt_ns: u64 = self.lanes.iter().map(|lane| lane.profile().delay_ns).sum();
        let allowance = Allowance {
            datagram_bytes: lane.datagram_space(now).try_into().unwrap_or(u32::MAX),
            stream_bytes: lane.stream_space() as u32,
            rtt_us: (rtt_ns / 1_000).max(1).try_into().unwrap_or(u32::MAX),
        };
        match self.phase(end) {
            Phase::Opening => Some(Allowance::default()),
            Phase::Up => Some(allowance),
            Phase::Closed => None,
        }
    }

    /// `end` closes; a link that the peer has not heard of just goes away.
    pub(super) fn close(&mut self, now: Nanos, end: End, code: CloseCode, reason: String) {
        self.phases[end as usize] = Phase::Closed;
        match self.phase(end.other()) {
            Phase::Opening if end == End::Client => self.phases = [Phase::Closed; 2],
            _ => self.lane(end).close(now, code, reason),
        }
    }

    pub(super) fn next_due(&self) -> Option<Nanos> {
        let lanes = self.lanes.iter().filter_map(Lane::next_due);
        let idle = [End::Client, End::Server].into_iter().filter_map(|end| self.idle_at(end));
        let rebind = self.lanes[End::Client as usize].next_rebind();
        lanes.chain(idle).chain(rebind).chain(self.ping_at()).min()
    }

    fn idle_at(&self, end: End) -> Option<Nanos> {
        let waits = match self.phase(end) {
            Phase::Up => true,
            Phase::Opening => end == End::Client,
            Phase::Closed => false,
        };
        waits.then(|| self.heard[end as usize] + self.idle_ns)
    }

    /// When the client has to show that it lives: nothing it sent is under way.
    fn ping_at(&self) -> Option<Nanos> {
        let quiet =
            self.phase(End::Client) == Phase::Up && self.lanes[End::Client as usize].is_quiet();
        quiet.then(|| self.heard[End::Client as usize] + self.idle_ns / PINGS_PER_IDLE)
    }

    /// Does what is due at `now`.
    pub(super) fn step(&mut self, now: Nanos, inboxes: &mut Inboxes<'_>) {
        self.rebinds += self.lane(End::Client).rebinds_due(now);
        if self.ping_at().is_some_and(|at| at <= now) {
            self.lane(End::Client).send_reliably(now, Body::Ping);
        }
        let mut arrivals = Vec::new();
        for end in [End::Client, End::Server] {
            let cut = self.cut;
            self.lane(end).step(now, cut, &mut arrivals);
            for arrival in arrivals.drain(..) {
                self.arrive(now, end.other(), arrival, inboxes);
            }
        }
        for end in [End::Client, End::Server] {
            if self.idle_at(end).is_some_and(|at| at <= now) {
                self.end(end, CloseCode::LOST, "idle timeout".to_owned(), inboxes);
            }
        }
    }

    fn arrive(&mut self, now: Nanos, end: End, arrival: Arrival, inboxes: &mut Inboxes<'_>) {
        // The sender hears the acknowledgement.
        self.heard = [now; 2];
        if self.phase(end) == Phase::Closed {
            return;
        }
        self.connect(now, end, inboxes);
        let (conn, at) = (self.key, now);
        match arrival {
            Arrival::Open | Arrival::Accept | Arrival::Echo => {}
            Arrival::Stream { stream, bytes } => {
                inboxes.at(end).push(Event::Stream { conn, stream, bytes, at });
            }
            Arrival::Datagram(payload) => inboxes.at(end).push_datagram(conn, payload, at),
            Arrival::Close { code, reason } => self.end(end, code, reason, inboxes),
        }
    }

    /// The first sign of life from the peer completes the handshake.
    fn connect(&mut self, now: Nanos, end: End, inboxes: &mut Inboxes<'_>) {
        if self.phase(end) != Phase::Opening {
            return;
        }
        self.phases[end as usize] = Phase::Up;
        let remote = match end {
            End::Client => SERVER_ADDRESS,
            End::Server => self.client_address(),
        };
        inboxes.at(end).push(Event::Connected { conn: self.key, remote });
        if end == End::Server {
            self.lane(End::Server).send_reliably(now, Body::Accept);
        }
    }

    fn end(&mut self, end: End, code: CloseCode, reason: String, inboxes: &mut Inboxes<'_>) {
        self.phases[end as usize] = Phase::Closed;
        inboxes.at(end).push(Event::Closed { conn: self.key, code, reason });
    }

    fn client_address(&self) -> SocketAddr {
        let [_, a, b, c] = (self.key.0 as u32).to_be_bytes();
        SocketAddr::new(
            Ipv4Addr::new(10, a, b, c).into(),
            CLIENT_PORT.wrapping_add(self.rebinds as u16),
        )
    }
}
