//! Whole sessions on a network in memory, on virtual time, against a small server.
#![cfg(feature = "net")]

#[path = "support/plaza.rs"]
mod plaza;
mod support;

use plaza::{Plaza, WALK};
use starling_client::conditioner::LinkProfile;
use starling_client::net::{Client, ClientIndex, Clients, Pilot};
use starling_client::{
    ClientEvent, ConnectOptions, OwnKey, Pose, Publication, Sampling, Session, SessionState,
    SpawnSpec,
};
use starling_protocol::message::control::ResumeAnswer;
use starling_protocol::units::Nanos;
use starling_transport::memory::{ClientSide, Network, ServerSide};
use support::{MS, entity, ms};

/// The server's epoch is this much older than the network.
const AHEAD: u64 = 7_000 * MS;

struct Stage {
    network: Network,
    plaza: Plaza<ServerSide>,
    client: Client<ClientSide>,
    now: Nanos,
    events: Vec<ClientEvent>,
}

impl Stage {
    fn new(seed: u64, link: &str) -> Self {
        let network = Network::new(seed);
        let plaza = Plaza::new(network.server(), AHEAD);
        let link = LinkProfile::parse(link).expect("a profile");
        let options = ConnectOptions::new("plaza").seed(seed);
        let client = Client::over(Nanos(0), network.client(), link, options);
        Self { network, plaza, client, now: Nanos(0), events: Vec::new() }
    }

    /// Steps everything by a millisecond at a time.
    fn run(&mut self, millis: u64, mut frame: impl FnMut(&mut Client<ClientSide>, Nanos)) {
        for _ in 0..millis {
            self.now = self.now + MS;
            self.plaza.advance(self.now);
            frame(&mut self.client, self.now);
            self.client.advance(self.now);
            self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
        }
    }

    fn idle(&mut self, millis: u64) {
        self.run(millis, |_, _| {});
    }

    fn clock_error_ms(&self) -> f64 {
        let clock = self.client.clock().expect("a session stands");
        let (ours, truth) = (clock.server_time(self.now), self.plaza.time(self.now));
        (ours.0 as f64 - truth.0 as f64) / MS as f64
    }

    /// Distance between the walker as drawn and as it was at the moment that is drawn.
    fn view_error_m(&self) -> f64 {
        let view = self.client.view();
        let (tick, part) = view.drawn_tick().expect("it was drawn");
        let truth = (f64::from(tick.0) + f64::from(part)) / 20.0 * WALK;
        let seen = view.get(entity(7)).expect("the walker is in sight");
        (seen.pose().position[0] - truth).abs()
    }
}

#[test]
fn a_session_over_a_lossy_link_keeps_its_clock_and_its_view() {
    for seed in 0..10 {
        let mut stage = Stage::new(seed, "loss=5%,delay=30ms,jitter=15ms,dup=1%,reorder=2%");
        stage.idle(8_000);
        assert!(stage.clock_error_ms().abs() < 8.0, "seed {seed}: {}", stage.clock_error_ms());
        let mut worst: f64 = 0.0;
        for _ in 0..2_000 {
            stage.idle(1);
            worst = worst.max(stage.view_error_m());
        }
        assert!(worst < 0.02, "seed {seed}: {worst} m");
        let stats = stage.client.stats();
        assert!(stats.datagrams_lost > 0 && stats.decode_errors == 0, "seed {seed}: {stats:?}");
        assert!((45_000..95_000).contains(&stats.rtt_us), "seed {seed}: {stats:?}");
    }
}

#[test]
fn uplinks_are_labelled_with_every_tick_once() {
    let mut stage = Stage::new(1, "delay=20ms,jitter=8ms");
    let me = stage.client.spawn(SpawnSpec::at(Pose::default())).expect("room");
    stage.run(5_000, |client, now| {
        client.set_pose(me, Pose::at([now.as_secs_f64(), 0.0, 0.0])).expect("in range");
    });
    let guest = stage.plaza.guests.values().next().expect("one guest");
    let mut ticks: Vec<u32> =
        guest.labels.iter().filter(|(_, samples)| *samples > 0).map(|label| label.0.0).collect();
    ticks.sort_unstable();
    let late = ticks.split_off(20);
    let skipped = late.windows(2).filter(|w| w[1] != w[0] + 1).count();
    assert!(skipped <= 1, "{skipped} ticks were left out or doubled: {late:?}");
    assert!(late.len() > 65, "{} samples", late.len());
}

#[test]
fn a_cut_connection_is_resumed_and_nothing_is_asked_twice() {
    let mut stage = Stage::new(3, "delay=10ms");
    stage.client.spawn(SpawnSpec::at(Pose::default()).named("me")).expect("room");
    stage.idle(1_000);
    let first = *stage.plaza.guests.keys().next().expect("one guest");
    stage.network.cut(first);
    stage.idle(8_000);
    assert_eq!(stage.client.state(), SessionState::Live);
    let resumed = stage.events.iter().filter(|event| {
        matches!(event, ClientEvent::Reconnected { answer: ResumeAnswer::Resumed, .. })
    });
    assert_eq!(resumed.count(), 1);
    let spawned = stage.events.iter().filter(|e| matches!(e, ClientEvent::Spawned { .. }));
    assert_eq!(spawned.count(), 1);
    assert!(stage.view_error_m() < 0.02);
    assert_eq!(stage.client.stats().breaches, 0);
}

/// A stage on which the client moves all the time.
fn moving(stage: &mut Stage, millis: u64, me: OwnKey) {
    stage.run(millis, |client, now| {
        client.set_pose(me, Pose::at([now.as_secs_f64(), 0.0, 0.0])).expect("in range");
    });
}

#[test]
fn a_path_that_died_is_left_for_a_second_connection() {
    let mut stage = Stage::new(6, "delay=10ms");
    let me = stage.client.spawn(SpawnSpec::at(Pose::default()).named("me")).expect("room");
    moving(&mut stage, 1_000, me);
    let first = *stage.plaza.guests.keys().next().expect("one guest");
    stage.network.cut(first);
    moving(&mut stage, 1_200, me);
    let resumed = stage.events.iter().filter(|event| {
        matches!(event, ClientEvent::Reconnected { answer: ResumeAnswer::Resumed, .. })
    });
    assert_eq!(resumed.count(), 1, "{:?}", stage.events);
    assert_eq!(stage.client.state(), SessionState::Live);
    assert_eq!(stage.client.stats().races, 1);
    moving(&mut stage, 2_000, me);
    assert!(stage.view_error_m() < 0.02);
    assert_eq!(stage.plaza.guests.len(), 1, "the dead path is given up");
}

#[test]
fn a_path_that_speaks_again_ends_the_race() {
    let mut stage = Stage::new(7, "delay=150ms");
    let me = stage.client.spawn(SpawnSpec::at(Pose::default()).named("me")).expect("room");
    moving(&mut stage, 3_000, me);
    let first = *stage.plaza.guests.keys().next().expect("one guest");
    stage.network.cut(first);
    while stage.client.stats().races == 0 {
        moving(&mut stage, 1, me);
    }
    stage.network.restore(first);
    moving(&mut stage, 3_000, me);
    let lost = stage.events.iter().filter(|e| matches!(e, ClientEvent::Reconnecting { .. }));
    assert_eq!(lost.count(), 0, "{:?}", stage.events);
    assert_eq!(stage.client.stats().races, 1);
    assert_eq!(stage.plaza.guests.keys().collect::<Vec<_>>(), [&first]);
}

#[test]
fn a_publish_is_acknowledged() {
    let mut stage = Stage::new(4, "delay=10ms,loss=10%");
    let message = stage.client.publish(Publication::to_channel("a", b"x")).expect("room");
    stage.idle(2_000);
    let acked = |event: &ClientEvent| matches!(event, ClientEvent::Published { message: id, .. } if *id == message);
    assert_eq!(stage.events.iter().filter(|event| acked(event)).count(), 1);
}

#[test]
fn a_goodbye_leaves_nothing_behind() {
    let mut stage = Stage::new(5, "delay=10ms");
    stage.idle(500);
    let now = stage.now;
    stage.client.goodbye(now);
    stage.idle(500);
    assert_eq!(stage.client.state(), SessionState::Closed);
    assert!(stage.plaza.guests.is_empty());
    assert_eq!(stage.events.last(), Some(&ClientEvent::Goodbye));
}

/// Counts what a swarm is asked and told.
#[derive(Default)]
struct Swarm {
    sampled: u64,
    heard: u64,
    connected: u64,
}

impl Pilot for Swarm {
    fn sample(&mut self, client: ClientIndex, session: &mut Session, sampling: Sampling) {
        self.sampled += 1;
        let owned: Vec<_> = session.owned().collect();
        for key in owned {
            let pose = Pose::at([sampling.at.as_secs_f64(), client.0 as f64, 0.0]);
            session.set_pose(key, pose).expect("in range");
        }
    }

    fn heard(&mut self, _: ClientIndex, session: &mut Session, _: Nanos) {
        self.heard += u64::from(session.view().heard().tick.0 > 0);
    }

    fn event(&mut self, _: ClientIndex, _: &mut Session, event: ClientEvent) {
        self.connected += u64::from(matches!(event, ClientEvent::Connected { .. }));
    }
}

#[test]
fn many_sessions_share_a_transport_and_are_asked_once_per_tick() {
    let network = Network::new(9);
    let mut plaza = Plaza::new(network.server(), AHEAD);
    let mut clients = Clients::new(network.client());
    for n in 0..50 {
        let link = LinkProfile::parse("delay=5ms").expect("a profile");
        let index = clients.add(Nanos(0), link, ConnectOptions::new("plaza").seed(n));
        let session = clients.get_mut(index).expect("just added");
        session.spawn(SpawnSpec::at(Pose::default())).expect("room");
    }
    let mut swarm = Swarm::default();
    for now in (1..3_000).map(ms) {
        plaza.advance(now);
        clients.advance(now, &mut swarm);
    }
    assert_eq!((clients.len(), swarm.connected), (50, 50));
    assert!((50 * 56..=50 * 60).contains(&swarm.sampled), "{}", swarm.sampled);
    assert!((50 * 57..=50 * 60).contains(&swarm.heard), "{}", swarm.heard);
    let uplinks: usize = plaza.guests.values().map(|guest| guest.labels.len()).sum();
    assert!((50 * 56..=50 * 61).contains(&uplinks), "{uplinks}");
    clients.remove(ms(3_000), ClientIndex(0)).expect("it was there");
    assert_eq!(clients.len(), 49);
}
