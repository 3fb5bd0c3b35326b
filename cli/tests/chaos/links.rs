//! Faults of the way between: what is lost, doubled, damaged, held back, cut and moved there changes
//! nothing of what is acknowledged and heard (P4, P6, P7).

use crate::cast::{CHANNEL, Cast, WORLD};
use crate::relay::{Orders, Relay};
use crate::server::Server;
use crate::{Dice, PATIENCE, rounds, seed};
use starling_client::net::{Client, MonotonicClock};
use starling_client::{ClientEvent, ConnectOptions, SubscribeOptions};
use starling_protocol::units::SessionId;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const SERVE: [&str; 2] = ["--world", "yard=metric,profile=game"];

/// A cast behind a relay with this profile publishes for so many rounds, in each of which something
/// happens to the way; then everything is judged.
fn suffers(link: &str, mut happens: impl FnMut(&mut Orders, u32, &mut Dice)) -> Cast {
    let (server, mut dice) = (Server::start(&SERVE), Dice(seed()));
    let relay = Relay::start(server.address(), link, seed());
    let mut cast = Cast::gather(relay.address, 2, 2);
    let beginning = cast.beginning();
    cast.publish(true);
    for round in 0..rounds(4) {
        happens(&mut relay.order(), round, &mut dice);
        cast.pass(Duration::from_millis(dice.between(150, 500)));
    }
    {
        let mut orders = relay.order();
        (orders.no_way_up, orders.no_way_down) = (false, false);
    }
    cast.judge(relay.address, beginning);
    eprintln!("{link}: {cast}");
    cast
}

/// Fault 1.
#[test]
fn a_tenth_lost_and_some_doubled() {
    suffers("loss=10%,delay=50ms,jitter=30ms,dup=2%", |_, _, _| {});
}

/// Fault 2.
#[test]
fn a_third_lost() {
    suffers("loss=30%,delay=5ms", |_, _, _| {});
}

/// Fault 3: the way is cut in one direction, then in the other.
#[test]
fn cut_one_way_at_a_time() {
    suffers("delay=5ms", |orders, round, _| {
        (orders.no_way_up, orders.no_way_down) = (round % 4 == 1, round % 4 == 3);
    });
}

/// Fault 5: a NAT forgets everyone again and again.
#[test]
fn addresses_change_under_load() {
    let cast = suffers("delay=5ms", |orders, _, _| orders.moves += 1);
    let (resets, gaps) = cast.resets_and_gaps();
    assert_eq!((resets, gaps), (2, 0), "each begins once; {cast}");
}

/// Fault 6: the address of before goes on sending copies.
#[test]
fn an_old_address_goes_on_speaking() {
    suffers("delay=5ms", |orders, round, _| {
        orders.moves += u32::from(round % 2 == 0);
        orders.old_address_speaks = true;
    });
}

/// Fault 7.
#[test]
fn a_bit_in_every_hundredth_packet_is_wrong() {
    let cast = suffers("corrupt=1%,delay=5ms", |_, _, _| {});
    assert_eq!(cast.reconnects, 0, "damage is a loss and no reason to part; {cast}");
}

/// Fault 8: the way carries less and less, and says nothing of what it swallows.
#[test]
fn large_packets_vanish() {
    suffers("delay=5ms", |orders, round, _| {
        orders.largest = [None, Some(1_280), Some(1_200), Some(1_200)][round as usize % 4];
    });
}

/// Fault 9, for everyone: 256 kbit/s.
#[test]
fn a_narrow_way() {
    let cast = suffers("rate=256kbit,queue=32k,delay=20ms", |_, _, _| {});
    assert_eq!(cast.reconnects, 0, "{cast}");
}

/// Fault 10: everything is held back, and comes at once.
#[test]
fn what_was_held_back_comes_at_once() {
    suffers("delay=400ms,jitter=390ms,reorder=20%", |_, _, _| {});
}

/// Fault 11: packets of the past come once more.
#[test]
fn packets_of_the_past_come_once_more() {
    let cast = suffers("delay=5ms", |orders, _, dice| {
        orders.replay = dice.between(50, 200) as u32;
    });
    assert_eq!(cast.reconnects, 0, "{cast}");
}

/// Fault 4: a whole cut of less than the presence time is nobody's leave, a longer one is one leave and one
/// return.
#[test]
fn a_cut_of_nine_seconds_is_no_leave_and_one_of_eleven_is_one() {
    let server = Server::start(&SERVE);
    let relay = Relay::start(server.address(), "delay=5ms", seed());
    let mut watched = Watched::new(&server, relay.address);
    for (seconds, changes) in [(9, 0), (11, 2)] {
        let before = watched.changes;
        let cut = |orders: &mut Orders, is: bool| {
            (orders.no_way_up, orders.no_way_down) = (is, is);
        };
        cut(&mut relay.order(), true);
        watched.pass(Duration::from_secs(seconds));
        cut(&mut relay.order(), false);
        watched.pass(Duration::from_secs(6));
        assert_eq!(watched.changes - before, changes, "{seconds} s");
        eprintln!("cut for {seconds} s: {} changes", watched.changes - before);
    }
}

/// One who follows a channel from behind the relay, and one who watches who does.
struct Watched {
    clock: MonotonicClock,
    watcher: Client,
    away: Client,
    name: SessionId,
    changes: u32,
}

impl Watched {
    fn new(server: &Server, relay: SocketAddr) -> Self {
        let clock = MonotonicClock::start();
        let connect = |at| {
            let options = ConnectOptions::new(WORLD);
            Client::connect(clock.now(), &Server::place(at), options).expect("it can be tried")
        };
        let (mut watcher, plain) = (connect(server.address()), SubscribeOptions::default);
        watcher.subscribe(&format!("presence/{CHANNEL}"), plain()).expect("the first");
        let (deadline, mut ready) = (Instant::now() + PATIENCE, false);
        while !ready {
            assert!(Instant::now() < deadline, "the list does not come");
            watcher.advance(clock.now());
            while let Some(event) = watcher.poll_event() {
                ready |= matches!(event, ClientEvent::Members { .. });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut away = connect(relay);
        away.subscribe(CHANNEL, SubscribeOptions { presence: true, ..plain() }).expect("the first");
        while away.welcome().is_none() {
            assert!(Instant::now() < deadline, "nobody comes");
            away.advance(clock.now());
            std::thread::sleep(Duration::from_millis(1));
        }
        let name = away.welcome().map_or(SessionId(0), |welcome| welcome.session);
        let mut all = Self { clock, watcher, away, name, changes: 0 };
        while all.changes == 0 {
            assert!(Instant::now() < deadline, "nobody is told of who came");
            all.pass(Duration::from_millis(20));
        }
        all
    }

    fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.away.advance(self.clock.now());
            while self.away.poll_event().is_some() {}
            self.watcher.advance(self.clock.now());
            while let Some(event) = self.watcher.poll_event() {
                self.changes += u32::from(match event {
                    ClientEvent::Joined { member, .. } => member.session == self.name,
                    ClientEvent::Left { session, .. } => session == self.name,
                    _ => false,
                });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
