//! A viewer where nothing moves: silence is the rule, and yet it finds out when its path has died.

use starling_client::conditioner::LinkProfile;
use starling_client::net::{ClientIndex, Clients, Pilot};
use starling_client::{ClientEvent, ConnectOptions, ResumeAnswer, Session, SessionState};
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::space::Space;
use starling_protocol::units::Nanos;
use starling_server::config::Config;
use starling_server::stepped::{Builder, Stepped};
use starling_transport::memory::{ClientSide, Network, ServerSide};
use starling_world::config::{Profile, WorldConfig};

/// A path may be dead for so long before the session goes on over another: until its next word, at
/// most 4.5 s later, then 17 ticks and half a second until the echo is overdue, 7 ticks and half a
/// second until a probe's answer is, and two round trips.
const NOTICE_MS: u64 = 7_000;

struct Quiet {
    now: Nanos,
    network: Network,
    server: Stepped<ServerSide>,
    clients: Clients<ClientSide>,
    viewer: ClientIndex,
    heard: Heard,
}

/// How often the session was taken up again.
#[derive(Default)]
struct Heard {
    resumed: u32,
}

impl Pilot for Heard {
    fn event(&mut self, _: ClientIndex, _: &mut Session, event: ClientEvent) {
        let answer = ResumeAnswer::Resumed;
        self.resumed +=
            u32::from(matches!(event, ClientEvent::Reconnected { answer: a, .. } if a == answer));
    }
}

impl Quiet {
    fn new(seed: u64, link: &str) -> Self {
        let network = Network::new(seed);
        let world = WorldConfig::new("still", Space::Metric, Profile::Game);
        let builder = Builder::from_config(&Config::default(), seed).expect("sound defaults");
        let server = builder.world(world).build(network.server(), Nanos(0));
        let link = LinkProfile::parse(link).expect("a profile");
        let options = ConnectOptions::new("still").viewer().seed(seed);
        let mut clients = Clients::new(network.client());
        let viewer = clients.add(Nanos(0), link, options);
        let area = Shape::Point { center: [0.0; 3], radius_m: 50.0 };
        let session = clients.get_mut(viewer).expect("it was just added");
        session.set_interest(0, Interest::new(area)).expect("the first of eight");
        Self { now: Nanos(0), network, server, clients, viewer, heard: Heard::default() }
    }

    fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now = self.now + Nanos::MILLISECOND;
            self.server.poll(self.now);
            self.clients.advance(self.now, &mut self.heard);
        }
    }

    fn session(&self) -> &Session {
        self.clients.get(self.viewer).expect("it was not removed")
    }
}

#[test]
fn on_a_lossy_link_a_quiet_viewer_stays_on_its_connection() {
    let (mut races, mut unanswered) = (0, 0);
    for seed in 0..20 {
        let mut quiet = Quiet::new(seed, "loss=5%,delay=40ms,jitter=20ms,dup=1%,reorder=2%");
        quiet.run_ms(60_000);
        assert_eq!(quiet.session().state(), SessionState::Live, "seed {seed}");
        let stats = quiet.session().stats();
        unanswered += stats.datagrams_out.saturating_sub(stats.datagrams_in);
        assert_eq!(stats.reconnects, 0, "seed {seed}: {stats:?}");
        races += stats.races;
    }
    assert!(unanswered > 0, "nothing was lost in twenty minutes");
    assert!(races <= 1, "{races} races in twenty minutes");
}

#[test]
fn a_quiet_viewer_goes_on_over_a_second_connection_when_its_path_dies() {
    for seed in 0..20 {
        let mut quiet = Quiet::new(seed, "delay=20ms,jitter=5ms");
        quiet.run_ms(5_000 + seed * 137);
        let only = quiet.clients.conn(quiet.viewer).expect("it has a connection");
        quiet.network.cut(only);
        quiet.run_ms(NOTICE_MS);
        assert_eq!(quiet.heard.resumed, 1, "seed {seed}");
        assert_eq!(quiet.session().stats().races, 1, "seed {seed}");
    }
}
