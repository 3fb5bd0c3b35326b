//! The server dies and comes back on what it had kept, and paths are cut for a while: who comes back
//! has the session that it had, nothing acknowledged is gone, nothing is heard twice (P4 to P8, P11).

use starling_client::conditioner::LinkProfile;
use starling_client::net::{ClientIndex, Clients, Pilot};
use starling_client::{
    ClientEvent, CloseCode, ConnectOptions, Publication, ResumeAnswer, Session, SpawnSpec,
    SubscribeOptions,
};
use starling_client::{OwnKey, Pose};
use starling_protocol::message::events::Receipt;
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::space::Space;
use starling_protocol::units::{Epoch, Nanos, SessionId};
use starling_server::config::Config;
use starling_server::stepped::{Builder, Stepped};
use starling_server::store::{Grouping, Memory};
use starling_transport::memory::{ClientSide, Network, ServerSide};
use starling_transport::{ConnKey, Transport};
use starling_world::config::{Profile, WorldConfig};
use starling_world::namespace::{Namespace, Namespaces};
use std::collections::BTreeSet;
use std::sync::Arc;

const NEWS: &str = "kept/news";
const CLIENTS: usize = 10;

/// What each client was told, and what it does.
#[derive(Default)]
struct Told {
    events: Vec<Vec<ClientEvent>>,
}

impl Pilot for Told {
    fn event(&mut self, client: ClientIndex, _: &mut Session, event: ClientEvent) {
        let at = client.0;
        if self.events.len() <= at {
            self.events.resize_with(at + 1, Vec::new);
        }
        self.events[at].push(event);
    }
}

struct Stage {
    now: Nanos,
    network: Network,
    server: Stepped<ServerSide>,
    store: Memory,
    clients: Clients<ClientSide>,
    who: Vec<(ClientIndex, OwnKey)>,
    told: Told,
    lives: u32,
    steps: u32,
}

fn server(network: &Network, store: &Memory, life: u32, now: Nanos) -> Stepped<ServerSide> {
    let mut world = WorldConfig::new("yard", Space::Metric, Profile::Game);
    let kept = Namespace::new("kept").durable();
    world.namespaces = Namespaces::of(vec![kept, Namespace::new("")]);
    let builder = Builder::from_config(&Config::default(), life.into()).expect("sound defaults");
    let store = Arc::new(store.clone());
    let builder = builder.store(store, Grouping::default(), Box::new(|| Nanos::MILLISECOND));
    builder.world(world).epoch(Epoch(life)).build(network.server(), now)
}

impl Stage {
    fn new(seed: u64, link: &str) -> Self {
        let (network, store) = (Network::new(seed), Memory::new());
        let server = server(&network, &store, 1, Nanos(0));
        let link = LinkProfile::parse(link).expect("a profile");
        let mut clients = Clients::new(network.client());
        let who = (0..CLIENTS).map(|number| {
            let mut options = ConnectOptions::new("yard").seed(seed * 100 + number as u64);
            options.reconnect.before_first = true;
            let client = clients.add(Nanos(0), link.clone(), options);
            let session = clients.get_mut(client).expect("it was just added");
            let spec = SpawnSpec::at(Pose::at([number as f64, 0.0, 0.0]));
            let own = session.spawn(spec.named(format!("e{number}"))).expect("room");
            let options = SubscribeOptions { presence: true, ..SubscribeOptions::default() };
            session.subscribe(NEWS, options).expect("the first");
            let area = Interest::new(Shape::Point { center: [0.0; 3], radius_m: 500.0 });
            session.set_interest(0, area).expect("the first of eight");
            (client, own)
        });
        let (who, told) = (who.collect(), Told::default());
        let (lives, steps) = (1, 0);
        let mut stage =
            Self { now: Nanos(0), network, server, store, clients, who, told, lives, steps };
        stage.run_ms(2_000, false);
        stage
    }

    /// Everyone moves; with `news` everyone publishes too.
    fn run_ms(&mut self, ms: u64, news: bool) {
        for _ in 0..ms {
            self.now = self.now + Nanos::MILLISECOND;
            self.steps += 1;
            if self.steps.is_multiple_of(50) {
                self.act(news);
            }
            self.server.poll(self.now);
            self.clients.advance(self.now, &mut self.told);
        }
    }

    fn act(&mut self, news: bool) {
        for (number, (client, own)) in self.who.clone().into_iter().enumerate() {
            let Some(session) = self.clients.get_mut(client) else { continue };
            let place = [number as f64, f64::from(self.steps % 1_000) * 0.01, 0.0];
            let _ = session.set_pose(own, Pose::at(place));
            if news && self.steps as usize / 50 % CLIENTS == number {
                let line = format!("{number} at {}", self.steps);
                let _ = session.publish(Publication::to_channel(NEWS, line));
            }
        }
    }

    /// As by SIGKILL: what is not on the disk is gone, and the new one has the old one's secret, so
    /// that everyone who speaks is told at once.
    fn kill_and_restart(&mut self) {
        self.lives += 1;
        self.server = server(&self.network, &self.store, self.lives, self.now);
        let mut side = self.network.server();
        for (client, _) in &self.who {
            if let Some(conn) = self.clients.conn(*client) {
                side.close(self.now, conn, CloseCode::LOST, "reset");
            }
        }
    }

    fn session(&self, number: usize) -> &Session {
        self.clients.get(self.who[number].0).expect("it was not removed")
    }

    /// The session that the newest Welcome named.
    fn id(&self, number: usize) -> SessionId {
        let events = self.told.events[self.who[number].0.0].iter();
        let mut named = events.rev().filter_map(|event| match event {
            ClientEvent::Connected { session } | ClientEvent::Reconnected { session, .. } => {
                Some(*session)
            }
            _ => None,
        });
        named.next().expect("it came in")
    }

    fn count(&self, number: usize, is_it: impl Fn(&ClientEvent) -> bool) -> usize {
        self.told.events[self.who[number].0.0].iter().filter(|event| is_it(event)).count()
    }

    /// Who joined and left the channel's members since this length of what the first client heard.
    fn comings(&self, after: usize) -> Vec<(bool, SessionId)> {
        let events = &self.told.events[self.who[0].0.0][after..];
        let comings = events.iter().filter_map(|event| match event {
            ClientEvent::Joined { member, .. } => Some((true, member.session)),
            ClientEvent::Left { session, .. } => Some((false, *session)),
            _ => None,
        });
        comings.collect()
    }

    /// Offsets and messages of the news that a client heard.
    fn heard(&self, number: usize) -> Vec<(u64, Vec<u8>)> {
        let events = self.told.events[self.who[number].0.0].iter();
        let heard = events.filter_map(|event| match event {
            ClientEvent::Delivered(event) => Some((event.offset.0, event.payload.clone())),
            _ => None,
        });
        heard.collect()
    }
}

#[test]
fn whoever_was_there_when_the_server_died_has_its_session_again() {
    for seed in 0..6 {
        let mut stage = Stage::new(seed, "delay=10ms,jitter=5ms,loss=1%");
        let sessions: Vec<_> = (0..CLIENTS).map(|n| stage.id(n)).collect();
        for _ in 0..3 {
            stage.run_ms(2_000 + seed * 137, true);
            stage.kill_and_restart();
            stage.run_ms(4_000, true);
        }
        stage.run_ms(3_000, false);
        let all = stage.heard(0);
        for (number, session) in sessions.into_iter().enumerate() {
            assert_eq!(stage.id(number), session, "seed {seed}");
            let resumed = |event: &ClientEvent| {
                matches!(event, ClientEvent::Reconnected { answer: ResumeAnswer::Resumed, .. })
            };
            assert_eq!(stage.count(number, resumed), 3, "seed {seed}, client {number}");
            let other = |event: &ClientEvent| {
                matches!(event, ClientEvent::Reconnected { .. }) && !resumed(event)
            };
            assert_eq!(stage.count(number, other), 0, "seed {seed}, client {number}");
            let lost = |event: &ClientEvent| {
                matches!(
                    event,
                    ClientEvent::Gap { .. }
                        | ClientEvent::PublishUncertain { .. }
                        | ClientEvent::Despawned { .. }
                        | ClientEvent::Unsubscribed { .. }
                )
            };
            assert_eq!(stage.count(number, lost), 0, "seed {seed}, client {number}");
            let heard = stage.heard(number);
            assert!(heard.iter().is_sorted_by(|a, b| a.0 + 1 == b.0), "seed {seed}: {heard:?}");
            assert_eq!(heard, all, "seed {seed}: the same for everyone");
            assert_eq!(stage.session(number).view().len(), CLIENTS - 1, "seed {seed}");
        }
        assert!(all.len() > 100, "{} lines", all.len());
        acknowledged_once(&stage, &all, seed);
    }
}

/// (P5, P7) What was acknowledged is there, where it was said to be; nothing is there twice.
fn acknowledged_once(stage: &Stage, all: &[(u64, Vec<u8>)], seed: u64) {
    for number in 0..CLIENTS {
        for event in &stage.told.events[stage.who[number].0.0] {
            let ClientEvent::Published { receipt: Receipt::Channel(at), .. } = event else {
                continue;
            };
            let found = all.iter().filter(|(offset, _)| *offset == at.offset.0).count();
            assert_eq!(found, 1, "seed {seed}: {at:?} was acknowledged");
        }
    }
    let mut lines: Vec<_> = all.iter().map(|(_, line)| line).collect();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), all.len(), "seed {seed}: a line is there twice");
}

/// (P8) A cut of nine seconds is no leave, one of eleven is one leave and one join.
#[test]
fn a_cut_of_nine_seconds_is_no_leave_and_one_of_eleven_is_one() {
    for seed in 0..4 {
        for (seconds, changes) in [(9, 0), (11, 2)] {
            let mut stage = Stage::new(seed, "delay=20ms,jitter=5ms");
            let list = stage.clients.get_mut(stage.who[0].0).expect("it was not removed");
            list.subscribe(&format!("presence/{NEWS}"), SubscribeOptions::default())
                .expect("the second");
            stage.run_ms(1_000, false);
            let (before, (away, _)) = (stage.told.events[stage.who[0].0.0].len(), stage.who[7]);
            let others: Vec<_> = stage.who.iter().filter(|(client, _)| *client != away).collect();
            let others: BTreeSet<_> =
                others.iter().filter_map(|(client, _)| stage.clients.conn(*client)).collect();
            // Its path is cut, and with it whatever connection it tries.
            let of_it = || (0..1_000).map(ConnKey).filter(|conn| !others.contains(conn));
            for _ in 0..seconds * 1_000 {
                of_it().for_each(|conn| stage.network.cut(conn));
                stage.run_ms(1, false);
            }
            of_it().for_each(|conn| stage.network.restore(conn));
            stage.run_ms(8_000, false);
            let session = stage.id(7);
            let expected = [(false, session), (true, session)];
            assert_eq!(stage.comings(before), expected[..changes], "seed {seed}, {seconds} s");
        }
    }
}
