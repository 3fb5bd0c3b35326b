//! A server that is killed and begun again before everyone is back, and one that is asked to leave and
//! followed by the next (P4 to P8, P11, P14).

use crate::cast::{CHANNEL, Cast, WORLD};
use crate::room::Room;
use crate::server::Server;
use crate::{Dice, rounds, seed};
use starling_client::net::{Client, MonotonicClock};
use starling_client::{ClientEvent, ConnectOptions, SubscribeOptions};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const FOLLOWERS: usize = 40;
const MEMBERS: u32 = 3;

/// Fault 44: everyone comes back at once, again and again, and is sometimes cut off once more while it
/// does.
#[test]
fn everyone_comes_back_however_often_the_server_dies() {
    let (room, mut dice) = (Room::new(), Dice(seed()));
    let mut server = Server::start(&room.args());
    let mut cast = Cast::gather(server.address(), 3, FOLLOWERS);
    let beginning = cast.beginning();
    cast.publish(true);
    cast.until("some are acknowledged", |cast| cast.ledger.acked() > 20);
    for _ in 0..rounds(8) {
        server.kill();
        server.start_again();
        cast.pass(Duration::from_millis(dice.between(1, 400)));
    }
    let (started, acked) = (Instant::now(), cast.ledger.acked());
    cast.until("everybody is back", |cast| cast.ledger.acked() > acked + 20 && cast.is_together());
    let back = started.elapsed();
    cast.judge(server.address(), beginning);
    let begun = FOLLOWERS as u64;
    assert_eq!(cast.resets_and_gaps(), (begun, 0), "each begins once; {cast}");
    eprintln!("died {} times, all back {back:?} later: {cast}", rounds(8));
}

/// Fault 60, with a successor: what was acknowledged before the end is there after it.
#[test]
fn a_server_that_leaves_under_load_is_followed_by_the_next() {
    let (room, mut dice) = (Room::new(), Dice(seed()));
    let mut server = Server::start(&room.args());
    let mut cast = Cast::gather(server.address(), 3, 4);
    let beginning = cast.beginning();
    cast.publish(true);
    cast.until("some are acknowledged", |cast| cast.ledger.acked() > 20);
    for round in 0..rounds(3) {
        cast.pass(Duration::from_millis(dice.between(50, 400)));
        server.terminate();
        if round % 2 == 1 {
            cast.pass(Duration::from_millis(dice.between(1, 100)));
            server.terminate();
        }
        cast.until("it is gone", |_| server.has_ended().is_some());
        assert!(server.ended().success(), "{}", server.said());
        server.start_again();
        let acked = cast.ledger.acked();
        cast.until("it goes on", |cast| cast.ledger.acked() > acked + 20);
    }
    cast.judge(server.address(), beginning);
    assert_eq!(cast.resets_and_gaps(), (4, 0), "each begins once; {cast}");
    eprintln!("asked to leave {} times, and followed: {cast}", rounds(3));
}

/// Some who are there, and someone who watches them.
struct Watched {
    watcher: Client,
    members: Vec<Client>,
    clock: MonotonicClock,
    joined: u32,
    left: u32,
}

impl Watched {
    fn of_the_room(at: SocketAddr) -> Self {
        let clock = MonotonicClock::start();
        let connect = || {
            let mut options = ConnectOptions::new(WORLD);
            options.reconnect.before_first = true;
            let place = Server::place(at);
            Client::connect(clock.now(), &place, options).expect("it can be tried")
        };
        let mut watcher = connect();
        let list = format!("presence/{CHANNEL}");
        watcher.subscribe(&list, SubscribeOptions::default()).expect("few enough");
        let mut members: Vec<_> = (0..MEMBERS).map(|_| connect()).collect();
        for member in &mut members {
            let options = SubscribeOptions { presence: true, ..SubscribeOptions::default() };
            member.subscribe(CHANNEL, options).expect("few enough");
        }
        Self { watcher, members, clock, joined: 0, left: 0 }
    }

    fn look(&mut self) {
        let now = self.clock.now();
        for member in &mut self.members {
            member.advance(now);
            while member.poll_event().is_some() {}
        }
        self.watcher.advance(now);
        while let Some(event) = self.watcher.poll_event() {
            match event {
                ClientEvent::Members { key } => {
                    let list = self.watcher.presence(key);
                    self.joined = list.map_or(0, |list| list.iter().count() as u32);
                }
                ClientEvent::Joined { .. } => self.joined += 1,
                ClientEvent::Left { .. } => self.left += 1,
                ClientEvent::MembersChanged { here, left, .. } => {
                    self.joined += here.len() as u32;
                    self.left += left.len() as u32;
                }
                _ => {}
            }
        }
    }
}

/// Fault 52, for longer than a member may be silent and a connection may be idle: the server slept, and
/// nobody left (P8).
#[test]
fn who_is_there_while_the_server_sleeps_has_not_left() {
    let room = Room::new();
    let server = Server::start(&room.args());
    let mut cast = Cast::gather(server.address(), 2, 4);
    let beginning = cast.beginning();
    let mut watched = Watched::of_the_room(server.address());
    cast.publish(true);
    let told = cast.ledger.acked() + 50;
    cast.until("all are seen", |cast| {
        watched.look();
        cast.ledger.acked() > told && watched.joined >= MEMBERS
    });
    for seconds in [1, 12, 40] {
        server.stop();
        let end = Instant::now() + Duration::from_secs(seconds);
        cast.until("it slept", |_| {
            watched.look();
            Instant::now() > end
        });
        server.go_on();
        let acked = cast.ledger.acked();
        cast.until("it goes on", |cast| {
            watched.look();
            cast.ledger.acked() > acked + 100 && cast.is_together()
        });
        assert_eq!((watched.joined, watched.left), (MEMBERS, 0), "after {seconds} s; {cast}");
    }
    cast.judge(server.address(), beginning);
    let skipped = server.number("starling_tick_skipped_total{world=\"yard\"}");
    eprintln!("slept, ticks left out {skipped:?}: {cast}");
}
