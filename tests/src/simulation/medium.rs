//! What a run is carried by: packets under QUIC, or links of whole connections.

use super::clock::Clock;
use super::dice::Dice;
use super::net::{Net, SimClient, SimServer};
use super::options::{Knob, Options};
use super::trace::{Trace, Verdict};
use starling_client::net::Dial;
use starling_protocol::units::Nanos;
use starling_transport::conditioner::LinkProfile;
use starling_transport::memory::{ClientSide, Network, ServerSide};
use starling_transport::{ConnKey, Transport};

/// Something that befalls a client's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Cut {
        up: bool,
        down: bool,
        until: Nanos,
    },
    Clog {
        until: Nanos,
    },
    Move,
    /// The client's side loses its connections, and the server hears nothing of it.
    Drop,
}

/// A network with one server and a link to each client.
pub(crate) trait Medium {
    type Server: Transport;
    type Client: Dial;

    fn open(options: &Options, links: usize) -> Self;
    /// The socket of a life of the server.
    fn server(&mut self, seed: u64, clock: Clock) -> Self::Server;
    fn client(&mut self, link: usize, dice: Dice, rogue: bool) -> Self::Client;
    fn target(&self) -> <Self::Client as Dial>::Target;
    /// It is this late now, truly.
    fn at(&mut self, now: Nanos);
    fn next_due(&self) -> Option<Nanos>;
    fn strike(&mut self, link: usize, conn: Option<ConnKey>, fault: Fault);
    /// No faults of links from here on; said at every step for the connection that stands.
    fn calm(&mut self, link: usize, conn: Option<ConnKey>);
    fn server_died(&mut self);
    fn note(&mut self, link: usize, number: u64, verdict: Verdict);
    /// All that happened, and what was wrong with it.
    fn finish(&mut self) -> (Trace, Vec<String>);
}

/// UDP packets.
pub(crate) struct Packets {
    net: Net,
    calm: bool,
}

impl Medium for Packets {
    type Server = SimServer;
    type Client = SimClient;

    fn open(options: &Options, links: usize) -> Self {
        Self { net: Net::new(options, links), calm: false }
    }

    fn server(&mut self, seed: u64, clock: Clock) -> SimServer {
        SimServer::new(&self.net, seed, clock)
    }

    fn client(&mut self, link: usize, dice: Dice, rogue: bool) -> SimClient {
        SimClient::new(&self.net, link, dice, rogue)
    }

    fn target(&self) {}

    fn at(&mut self, now: Nanos) {
        self.net.at(now);
    }

    fn next_due(&self) -> Option<Nanos> {
        self.net.next_due()
    }

    fn strike(&mut self, link: usize, _: Option<ConnKey>, fault: Fault) {
        match fault {
            Fault::Cut { up, down, until } => self.net.cut(link, up, down, until),
            Fault::Clog { until } => self.net.clog(link, until),
            Fault::Move => self.net.rebind(link),
            Fault::Drop => self.net.drop_connections(link),
        }
    }

    fn calm(&mut self, _: usize, _: Option<ConnKey>) {
        if !std::mem::replace(&mut self.calm, true) {
            self.net.calm();
        }
    }

    fn server_died(&mut self) {
        self.net.server_died();
    }

    fn note(&mut self, link: usize, number: u64, verdict: Verdict) {
        self.net.note(link, number, verdict);
    }

    fn finish(&mut self) -> (Trace, Vec<String>) {
        self.net.finish()
    }
}

/// Links of connections, without QUIC.
pub(crate) struct Links {
    network: Network,
    profile: LinkProfile,
    now: Nanos,
    trace: Trace,
    /// Connections whose links are mended later, and those whose faults are over.
    cuts: Vec<(Nanos, ConnKey)>,
    calmed: Vec<ConnKey>,
}

impl Links {
    fn good() -> LinkProfile {
        LinkProfile::parse("delay=2ms").expect("a well-formed list of faults")
    }

    fn bad(options: &Options) -> LinkProfile {
        let percent = |knob| f64::from(options.get(knob)) / 100.0;
        let delay_ms = options.get(Knob::DelayMs);
        let text = format!(
            "loss={:.2}%,delay={}ms,jitter={}ms,dup={:.2}%,reorder={:.2}%",
            percent(Knob::Loss),
            1 + delay_ms / 2,
            delay_ms / 4,
            percent(Knob::Twice),
            percent(Knob::Reorder).min(20.0),
        );
        LinkProfile::parse(&text).expect("a well-formed list of faults")
    }
}

impl Medium for Links {
    type Server = ServerSide;
    type Client = ClientSide;

    fn open(options: &Options, _: usize) -> Self {
        Self {
            network: Network::new(options.seed),
            profile: Self::bad(options),
            now: Nanos(0),
            trace: Trace::default(),
            cuts: Vec::new(),
            calmed: Vec::new(),
        }
    }

    fn server(&mut self, _: u64, _: Clock) -> ServerSide {
        self.network.server()
    }

    fn client(&mut self, _: usize, _: Dice, _: bool) -> ClientSide {
        self.network.client()
    }

    fn target(&self) -> LinkProfile {
        self.profile.clone()
    }

    fn at(&mut self, now: Nanos) {
        self.now = now;
        let network = &self.network;
        self.cuts.retain(|(until, conn)| {
            let lasts = *until > now;
            if !lasts {
                network.restore(*conn);
            }
            lasts
        });
    }

    fn next_due(&self) -> Option<Nanos> {
        self.network.next_due()
    }

    fn strike(&mut self, _: usize, conn: Option<ConnKey>, fault: Fault) {
        match (conn, fault) {
            (Some(conn), Fault::Cut { until, .. } | Fault::Clog { until }) => {
                self.network.cut(conn);
                self.cuts.push((until, conn));
            }
            (Some(conn), Fault::Move) => self.network.rebind(conn),
            (_, Fault::Drop) | (None, _) => {}
        }
    }

    fn calm(&mut self, _: usize, conn: Option<ConnKey>) {
        let Some(conn) = conn.filter(|conn| !self.calmed.contains(conn)) else { return };
        self.calmed.push(conn);
        self.network.restore(conn);
        self.network.set_profile(conn, &Self::good());
        self.cuts.clear();
    }

    fn server_died(&mut self) {}

    fn note(&mut self, link: usize, number: u64, verdict: Verdict) {
        self.trace.note(self.now, link, number, verdict);
    }

    fn finish(&mut self) -> (Trace, Vec<String>) {
        (std::mem::take(&mut self.trace), Vec::new())
    }
}
