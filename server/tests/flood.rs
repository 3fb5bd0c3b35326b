//! Everything wrong at once, and for long: what the server keeps for rude clients stays within its
//! limits, and no tick is late (P15).

mod support;

use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::frame;
use starling_protocol::limits::{
    DATAGRAM_BYTES_MAX, MESSAGE_BYTES_MAX, UPLINK_DATAGRAMS_PER_TICK_MAX,
};
use starling_protocol::message::events::{EventDown, EventUp, Publish, Scope};
use starling_protocol::space::Space;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{ChannelKey, MessageId, Nanos, Tick};
use starling_protocol::uplink::{CueScope, CueUp, UplinkWriter};
use starling_server::room::gauge::Reading;
use starling_server::stepped::Builder;
use support::{Hall, WORLD, hall_of, hello, metric_world, settings, spawn};

const CLIENT_BYTES_MAX: u32 = 65_536;
const EVENTS_PER_S: u32 = 100;
const CONTROL_PER_S: u32 = 200;
const SESSIONS_MAX: usize = 30;
const ENTITIES_MAX: usize = 150;
/// Datagrams of one client that pass in a second, and at once: as many as the ticks of one take in.
const DATAGRAMS_PER_S: usize = 20 * UPLINK_DATAGRAMS_PER_TICK_MAX;
const FLOOD_S: u64 = 12;
/// Those who were closed come again so often.
const RETURN_S: u64 = 3;
const OF_EACH: usize = 3;

/// A way to be rude.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Datagrams that mean nothing.
    Noise,
    /// Datagrams full of cues for everyone.
    Cues,
    /// Events for everyone.
    Shouts,
    /// Events in ever new channels, each followed too.
    Channels,
    /// Entity after entity.
    Crowd,
    /// Listens to nothing that it is told.
    Deaf,
    /// Never says Hello.
    Mute,
}

const WAYS: [Way; 7] =
    [Way::Noise, Way::Cues, Way::Shouts, Way::Channels, Way::Crowd, Way::Deaf, Way::Mute];

struct Rude {
    at: usize,
    way: Way,
    said: u32,
    /// What the stream did not take yet.
    rest: Vec<u8>,
}

impl Rude {
    fn new(hall: &mut Hall, way: Way) -> Self {
        let at = if matches!(way, Way::Mute) { hall.stranger() } else { hall.says(hello()) };
        hall.clients[at].deaf = matches!(way, Way::Deaf);
        Self { at, way, said: 0, rest: Vec::new() }
    }

    /// Comes back, if it was closed.
    fn come_again(&mut self, hall: &mut Hall) {
        if hall.closed(self.at).is_some() {
            *self = Self::new(hall, self.way);
        }
    }

    /// A millisecond of it. Some say a little more than they may, others all that they can.
    fn act(&mut self, hall: &mut Hall, ms: u64) {
        match self.way {
            Way::Noise => (0..6).for_each(|_| hall.datagram(self.at, &[self.next() as u8; 700])),
            Way::Cues => hall.datagram(self.at, &cues(self.next() as u16)),
            Way::Shouts if ms.is_multiple_of(8) => self.say(hall, StreamKind::Events, 1),
            Way::Channels => self.say(hall, StreamKind::Events, MESSAGE_BYTES_MAX),
            Way::Crowd if ms.is_multiple_of(2) => self.say(hall, StreamKind::Control, 1),
            Way::Mute => self.say(hall, StreamKind::Control, MESSAGE_BYTES_MAX),
            Way::Shouts | Way::Crowd | Way::Deaf => {}
        }
    }

    /// Messages of so many bytes at least, as far as the stream takes them.
    fn say(&mut self, hall: &mut Hall, stream: StreamKind, least: usize) {
        while self.rest.len() < least {
            let message = self.message();
            frame::write(&message, &mut self.rest);
        }
        let taken = hall.pour(self.at, stream, &self.rest);
        self.rest.drain(..taken);
    }

    fn message(&mut self) -> Vec<u8> {
        let said = self.next();
        let channel = format!("of-{}/{}", self.at, said / 2);
        match self.way {
            Way::Shouts => codec::encode(&event(said, Scope::World)),
            Way::Channels if said.is_multiple_of(2) => {
                let (key, resume, presence) = (ChannelKey(said), None, true);
                codec::encode(&EventUp::Subscribe { key, channel, resume, presence })
            }
            Way::Channels => codec::encode(&event(said, Scope::Channel(channel))),
            Way::Crowd => codec::encode(&spawn(&channel, [1_024, 2_048, 0])),
            Way::Noise | Way::Cues | Way::Deaf | Way::Mute => vec![0xff; 100],
        }
    }

    fn next(&mut self) -> u32 {
        self.said += 1;
        self.said
    }
}

fn event(message: u32, scope: Scope) -> EventUp {
    EventUp::Publish(Box::new(Publish::plain(MessageId(message.into()), scope, vec![7; 1_000])))
}

/// One datagram with as many cues as go into it.
fn cues(sequence: u16) -> Vec<u8> {
    let mut datagram = Vec::new();
    let mut writer = UplinkWriter::new(&mut datagram, Space::Metric, sequence, Tick(0));
    let cue = |n| CueUp {
        id: sequence.wrapping_mul(16).wrapping_add(n),
        kind: 1,
        life: 15,
        scope: CueScope::World,
        payload: &[7; 60],
    };
    assert!(writer.cues((0..16).map(cue)) > 8, "many fit");
    writer.finish();
    datagram
}

fn small_hall() -> Hall {
    let settings = settings(|config| {
        config.limits.unsent_bytes = CLIENT_BYTES_MAX;
        config.limits.backlog_bytes = CLIENT_BYTES_MAX;
        (config.limits.events_per_s, config.limits.events_burst) = (EVENTS_PER_S, EVENTS_PER_S);
        (config.limits.control_per_s, config.limits.control_burst) = (CONTROL_PER_S, CONTROL_PER_S);
    });
    let mut world = metric_world();
    (world.sessions_max, world.entities_max) = (SESSIONS_MAX, ENTITIES_MAX);
    hall_of(Builder::new(settings, 1).world(world))
}

fn reading(hall: &Hall) -> Reading {
    hall.server.room(WORLD).expect("it is there").gauge().read()
}

/// What is kept for all clients together is no more than each of them may have kept.
fn is_within_limits(hall: &Hall) {
    let gauges = &hall.server.counters().gauges;
    let most = gauges.connections.get() * u64::from(CLIENT_BYTES_MAX);
    assert!(gauges.unsent_bytes.get() <= most, "{gauges:?}");
    assert!(gauges.held_bytes.get() <= most, "{gauges:?}");
    let stats = reading(hall).stats;
    assert!(stats.sessions_live + stats.sessions_parked <= SESSIONS_MAX, "{stats:?}");
    assert!(stats.entities <= ENTITIES_MAX, "{stats:?}");

    let room = hall.server.room(WORLD).expect("it is there");
    let backlog = room.mailbox().backlog();
    let messages = (EVENTS_PER_S + CONTROL_PER_S) as usize;
    let bytes = DATAGRAMS_PER_S * DATAGRAM_BYTES_MAX + 2 * CLIENT_BYTES_MAX as usize;
    assert!(backlog.commands <= SESSIONS_MAX * messages, "{backlog:?}");
    assert!(backlog.bytes <= SESSIONS_MAX * bytes, "{backlog:?}");
    assert_eq!((backlog.refused, backlog.datagrams_dropped), (0, 0), "nobody else lost anything");
}

/// As many ticks were run as time has passed, each when it was due. Time stands still while one
/// runs: what is seen here is that nothing stops, skips or puts off a tick. That none can be made
/// to do more than so much follows from the bound on what is taken in.
fn is_in_time(hall: &Hall) {
    let room = hall.server.room(WORLD).expect("it is there");
    let newest = room.world().now();
    assert!(room.schedule().deadline(newest) <= hall.now, "{newest:?} came early");
    assert!(room.schedule().deadline(newest + 1) > hall.now, "{newest:?} is not the newest due");
    let reading = reading(hall);
    assert_eq!(reading.counters.ticks, u64::from(newest.0), "none is left out");
    assert_eq!((reading.overruns, reading.skipped, reading.held), (0, 0, 0));
    assert!(reading.lateness.max_ns <= Nanos::MILLISECOND, "{}", reading.lateness.max_ns);
}

/// The limits were reached: a flood that touches none proves nothing.
fn was_a_flood(hall: &Hall) {
    let (counters, totals) = (reading(hall).counters, hall.totals());
    for code in [CloseCode::ABUSE, CloseCode::SLOW_CONSUMER, CloseCode::RATE_LIMITED] {
        assert!(hall.closes(code) > 0, "nobody was closed with {code}");
    }
    assert!(totals.datagrams_over_rate.get() > 10_000, "{totals:?}");
    assert!(totals.messages_held.get() > 0, "{totals:?}");
    assert!(counters.attaches_refused.contains_key(&CloseCode::WORLD_FULL), "{counters:?}");
    assert!(counters.cues_refused > 0 && counters.cues_dropped > 0, "{counters:?}");
    assert!(!counters.events_refused.is_empty(), "{counters:?}");
    assert!(counters.requests_refused.contains_key(&CloseCode::LIMIT), "{counters:?}");
}

#[test]
fn a_flood_of_every_kind_is_bounded_and_makes_no_tick_late() {
    let mut hall = small_hall();
    let honest = hall.guest();
    let ways = WAYS.into_iter().cycle().take(OF_EACH * WAYS.len());
    let mut crowd: Vec<_> = ways.map(|way| Rude::new(&mut hall, way)).collect();
    for ms in 1..=FLOOD_S * 1_000 {
        crowd.iter_mut().for_each(|rude| rude.act(&mut hall, ms));
        if ms.is_multiple_of(RETURN_S * 1_000) {
            crowd.iter_mut().for_each(|rude| rude.come_again(&mut hall));
        }
        hall.run_ms(1);
        is_within_limits(&hall);
        is_in_time(&hall);
    }
    was_a_flood(&hall);
    let counters = reading(&hall).counters;
    let taken_in = counters.uplinks + counters.uplinks_malformed;
    let most_per_tick = crowd.len() * UPLINK_DATAGRAMS_PER_TICK_MAX;
    assert!(taken_in <= counters.ticks * most_per_tick as u64, "{taken_in} datagrams");
    assert_eq!(hall.closed(honest), None);
    hall.event(honest, &event(1, Scope::Channel("quiet".into())));
    hall.until("the honest client is answered", |hall| {
        hall.clients[honest].events.iter().any(|m| matches!(m, EventDown::Published { .. }))
    });
}
