//! Faults of the way between: what is lost, doubled, damaged, held back, cut and moved there changes
//! nothing of what is acknowledged and heard (P4, P6, P7).

use crate::cast::Cast;
use crate::relay::{Orders, Relay};
use crate::server::Server;
use crate::{Dice, rounds, seed};
use std::time::Duration;

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
