//! The core alone: one event on its way to everyone who follows its channel.
//!
//! A row for each number of followers: core time of a step with one publish of 64 bytes, that time
//! and the allocations for each delivery.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // a bench tells the terminal

use starling_benches::clock::CpuTime;
use starling_benches::spread::Spread;
use starling_protocol::message::events::{EventUp, Publish, Scope};
use starling_protocol::space::Space;
use starling_protocol::units::{ChannelKey, MessageId};
use starling_world::World;
use starling_world::config::{Profile, WorldConfig};
use starling_world::executor::Serial;
use starling_world::grants::{Grants, Principal};
use starling_world::input::{Attach, Command, ConnId, Link, TickInputs};
use starling_world::output::Output;
use std::time::Duration;

const CHANNEL: &str = "room";
const PAYLOAD_BYTES: usize = 64;

fn main() {
    let (steps, sizes) = match starling_benches::is_trial() {
        true => (5, vec![20]),
        false => (300, vec![1, 10, 100, 1_000]),
    };
    println!("| followers | step p50 | step p99 | per delivery | allocs per delivery |");
    println!("|---|---|---|---|---|");
    for followers in sizes {
        println!("{}", row(followers, steps));
    }
}

fn row(followers: u64, steps: u64) -> String {
    let mut world = World::new(WorldConfig::new("bench", Space::Metric, Profile::Events));
    let mut out = Output::default();
    (1..=followers).for_each(|conn| enter(&mut world, conn, &mut out));
    let mut times = Vec::new();
    let mut allocations = 0;
    for id in 1..=steps {
        breathe(&mut world, followers, &mut out);
        let payload = vec![id as u8; PAYLOAD_BYTES];
        let publish = Publish::plain(MessageId(id), Scope::Channel(CHANNEL.into()), payload);
        let message = EventUp::Publish(Box::new(publish));
        let mut commands = vec![Command::Event { conn: ConnId(1), message }];
        let mut time = Duration::ZERO;
        let spent = allocation_counter::measure(|| {
            time = CpuTime::of(|| world.step(0, &mut commands, &mut out));
        });
        allocations += spent.count_total;
        times.push(time);
    }
    let delivered = world.counters().events_delivered;
    assert_eq!(delivered, steps * followers, "everyone gets everything");
    let spread = Spread::new(times);
    let per = |total: f64| total / followers as f64;
    format!(
        "| {followers} | {:.1} us | {:.1} us | {:.3} us | {:.2} |",
        spread.quantile_us(0.5),
        spread.quantile_us(0.99),
        per(spread.quantile_us(0.5)),
        allocations as f64 / delivered as f64,
    )
}

fn enter(world: &mut World, conn: u64, out: &mut Output) {
    let conn = ConnId(conn);
    let mut token = [0; 32];
    token[..8].copy_from_slice(&conn.0.to_le_bytes());
    let attach = Attach {
        conn,
        principal: Principal { grants: Grants::open(), ..Principal::default() },
        token,
        token_digest: token,
        resume: None,
        schema_hash: None,
        capabilities: 0,
    };
    let (key, channel) = (ChannelKey(1), CHANNEL.to_owned());
    let follow = EventUp::Subscribe { key, channel, resume: None, presence: false };
    let follow = Command::Event { conn, message: follow };
    world.step(0, &mut vec![Command::Attach(Box::new(attach)), follow], out);
}

/// A tick in which every link takes all there is.
fn breathe(world: &mut World, followers: u64, out: &mut Output) {
    *out = Output::default();
    let (datagram_bytes, stream_bytes, rtt_us) = (0, 1 << 20, 1_000);
    let link = |conn| Link { conn: ConnId(conn), datagram_bytes, stream_bytes, rtt_us };
    let inputs = TickInputs { links: (1..=followers).map(link).collect(), ..TickInputs::default() };
    world.tick(&inputs, out, &Serial);
    *out = Output::default();
}
