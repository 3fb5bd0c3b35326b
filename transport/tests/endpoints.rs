//! Both sides' endpoints without sockets, in one thread, on a virtual clock.

#[path = "endpoints/wire.rs"]
mod wire;

use proptest::prelude::*;
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::Event;
use starling_transport::quic::{Arrival, ServerEndpoint};
use wire::Wire;

const MS: u64 = Nanos::MILLISECOND;

#[test]
fn a_tick_and_its_answer_take_one_packet_each_way() {
    let mut wire = Wire::new(1);
    let conn = wire.connect();
    wire.pass(500 * MS);
    let before = (wire.packets_down, wire.packets_up);
    for tick in 0..100_u8 {
        wire.shards[0].send_datagram(conn.1, &[tick; 80]).expect("there is room");
        wire.pass(3 * MS);
        wire.client_send(conn.0, &[tick; 40]);
        wire.pass(47 * MS);
    }
    // QUIC skips a packet number now and then, and the gap is acknowledged at once; and every two
    // seconds one is, for the sake of the round trip.
    let (down, up) = (wire.packets_down - before.0, wire.packets_up - before.1);
    assert!((100..108).contains(&down) && (100..104).contains(&up), "{down} down, {up} up");
    let rtt_us = wire.clients[0].stats(conn.0).expect("it stands").rtt_us;
    assert!(rtt_us < 15_000, "{rtt_us} us: the wait for a tick is no round trip");
}

#[test]
fn what_has_no_answer_is_acknowledged_within_what_was_told() {
    let mut wire = Wire::new(1);
    let conn = wire.connect();
    wire.pass(1_500 * MS);
    let before = wire.packets_down;
    wire.client_send(conn.0, b"alone");
    wire.pass(40 * MS);
    assert_eq!(wire.packets_down, before, "it is acknowledged too early");
    wire.pass(20 * MS);
    assert_eq!(wire.packets_down, before + 1);
    let lost = wire.clients[0].stats(conn.0).expect("it stands").packets_lost;
    assert_eq!(lost, 0);
}

#[test]
fn a_path_that_was_slow_at_first_is_known_for_what_it_is() {
    let mut wire = Wire::new(1);
    wire.delay_ns = 100 * MS;
    let conn = wire.connect();
    let ticks = |wire: &mut Wire, answers: usize| {
        for tick in 0..120_u8 {
            wire.server_send(conn.1, &[tick; 80]);
            wire.pass(3 * MS);
            (0..answers).for_each(|_| {
                wire.client_send(conn.0, &[tick; 40]);
            });
            wire.pass(47 * MS);
        }
    };
    // QUIC skips a packet number now and then, and the gap is acknowledged at once: so many packets
    // make that rare.
    ticks(&mut wire, 1);
    ticks(&mut wire, 40);
    wire.delay_ns = MS;
    ticks(&mut wire, 1);
    // Each acknowledgement but the prompt ones comes 50 ms late, and says so; but nothing is taken
    // off that would make a round trip shorter than the shortest one that was seen.
    let rtt_us = wire.clients[0].stats(conn.0).expect("it stands").rtt_us;
    assert!(rtt_us < 15_000, "{rtt_us} us: the wait for a tick is no round trip");
}

#[test]
fn what_a_connection_may_send_follows_its_path_from_tick_to_tick() {
    let mut wire = Wire::new(1);
    let conn = wire.connect();
    let tick = |wire: &mut Wire, delay_ns: u64| {
        wire.delay_ns = delay_ns;
        for _ in 0..200 {
            wire.server_send(conn.1, &[1; 80]);
            wire.pass(3 * MS);
            wire.client_send(conn.0, &[1; 40]);
            wire.pass(47 * MS);
        }
        wire.shards[0].allowance(conn.1).expect("it stands")
    };
    let near = tick(&mut wire, MS);
    let far = tick(&mut wire, 400 * MS);
    let near_again = tick(&mut wire, MS);
    assert!(near.rtt_us < 60_000 && far.rtt_us > 700_000, "{near:?} {far:?}");
    // A window of 32 KiB lets out a tick's share of itself.
    assert!(near.datagram_bytes > 4_000, "{near:?}");
    assert!((1_500..2_500).contains(&far.datagram_bytes), "{far:?}");
    assert!(near_again.datagram_bytes > 4_000, "{near_again:?}");
}

#[test]
fn datagrams_that_come_faster_than_ticks_are_acknowledged_together() {
    let mut wire = Wire::new(1);
    let conn = wire.connect();
    wire.pass(4_000 * MS);
    let mut alone = 0;
    for round in 0..10_u8 {
        let before = wire.packets_down;
        for _ in 0..4 {
            wire.client_send(conn.0, &[round; 10]);
            wire.pass(10 * MS);
        }
        wire.pass(60 * MS);
        alone += u64::from(wire.packets_down - before == 1);
        // Nothing for so long that none is due at once.
        wire.pass(1_500 * MS);
    }
    // QUIC skips a packet number now and then, and the gap is acknowledged at once.
    assert!(alone >= 8, "{alone} of 10");
}

#[test]
fn a_connection_at_rest_has_no_acknowledgement_of_its_own_beside_an_answer() {
    let mut wire = Wire::new(1);
    let conn = wire.connect();
    wire.pass(4_000 * MS);
    let before = (wire.packets_down, wire.packets_up);
    for round in 0..8_u8 {
        wire.client_send(conn.0, &[round; 10]);
        wire.pass(40 * MS);
        wire.server_send(conn.1, &[round; 10]);
        wire.pass(3_710 * MS);
    }
    let (down, up) = (wire.packets_down - before.0, wire.packets_up - before.1);
    assert_eq!((down, up), (8, 16), "a word, its answer, and what acknowledges that");
}

#[test]
fn a_client_that_moved_is_found_on_the_shard_that_has_it() {
    let mut wire = Wire::new(4);
    let conn = wire.connect();
    let home = ServerEndpoint::shard_of_key(conn.1);
    for round in 0..8_u8 {
        wire.move_client(0);
        wire.client_send(conn.0, &[round]);
        wire.pass(200 * MS);
        wire.shards[usize::from(home)].send_datagram(conn.1, &[round]).expect("it still stands");
        wire.pass(200 * MS);
    }
    assert!(wire.forwarded > 0, "every port happened to lead to the same shard");
    assert_eq!(wire.datagrams_at_server(), (0..8).map(|round| vec![round]).collect::<Vec<_>>());
    assert_eq!(wire.datagrams_at_client().len(), 8);
}

#[test]
fn a_packet_of_a_former_life_is_answered_by_a_reset_from_any_shard() {
    let mut wire = Wire::new(2);
    let conn = wire.connect();
    wire.forget_everything();
    wire.client_send(conn.0, &[1; 100]);
    wire.pass(2_000 * MS);
    let ended = |event: &Event| matches!(event, Event::Closed { conn: c, .. } if *c == conn.0);
    assert!(wire.at_clients.iter().any(ended), "{:?}", wire.at_clients);
}

#[test]
fn two_thousand_clients_at_once_get_in() {
    let mut wire = Wire::new(2);
    (0..2_000).for_each(|_| {
        wire.begin();
    });
    wire.pass(12_000 * MS);
    let stands = |event: &&Event| matches!(event, Event::Connected { .. });
    let stand = wire.at_clients.iter().filter(stands).count();
    let stats: Vec<_> = wire.shards.iter().map(ServerEndpoint::stats).collect();
    assert_eq!(stand, 2_000, "{stats:?}");
    assert!(stats.iter().all(|stats| stats.retried > 0), "{stats:?}");
}

#[test]
fn a_run_of_losses_is_made_good() {
    let mut wire = Wire::new(1);
    let conn = wire.connect();
    let bytes: Vec<u8> = (0..40_000_u32).map(|n| (n % 251) as u8).collect();
    let now = wire.now();
    assert_eq!(wire.clients[0].write(now, conn.0, StreamKind::Bulk, &bytes), Ok(bytes.len()));
    wire.lose(30);
    wire.pass(3_000 * MS);
    wire.lose(30);
    wire.pass(10_000 * MS);
    assert!(wire.stream_at_server(conn.1, StreamKind::Bulk) == bytes);
}

#[test]
fn a_loss_is_made_good_in_time_though_an_acknowledgement_waits_for_a_tick() {
    let mut wire = Wire::new(1);
    let conn = wire.connect();
    wire.pass(500 * MS);
    // The next acknowledgement is not one of those that go at once.
    wire.client_send(conn.0, b"first");
    wire.pass(500 * MS);
    let now = wire.now();
    wire.lose(1);
    assert_eq!(wire.shards[0].write(now, conn.1, StreamKind::Events, b"lost"), Ok(4));
    wire.pass(0);
    wire.client_send(conn.0, b"acknowledge me");
    // The server's probe is due when the client had its 25 ms to acknowledge and a round trip.
    wire.pass(45 * MS);
    assert_eq!(wire.stream_at_client(conn.0, StreamKind::Events), b"lost");
}

#[test]
fn connections_that_are_over_count_until_they_are_forgotten() {
    let mut wire = Wire::with(1, |options| options.connections_max = 1);
    let conn = wire.connect();
    let now = wire.now();
    wire.clients[0].close(now, conn.0, CloseCode::GOODBYE, "");
    wire.pass(10 * MS);
    assert_eq!(wire.shards[0].stats().open, 0);
    wire.begin();
    wire.pass(20 * MS);
    assert_eq!(wire.shards[0].stats().refused, 1, "QUIC still answers for the first");
    wire.pass(3_000 * MS);
    wire.connect();
}

#[test]
fn the_place_of_one_that_was_forgotten_while_sending_is_free_at_once() {
    let mut wire = Wire::with(1, |options| options.connections_max = 1);
    let conn = wire.connect();
    let now = wire.now();
    wire.clients[0].close(now, conn.0, CloseCode::GOODBYE, "");
    let forgotten = (0..10_000).any(|_| {
        wire.pass(MS / 2);
        wire.shards[0].connections() == 0
    });
    assert!(forgotten);
    // The server does nothing else before it hears of the newcomer.
    let newcomer = wire.begin();
    wire.arrive_from(newcomer);
    let stats = wire.shards[0].stats();
    assert_eq!((stats.refused, stats.handshaking), (0, 1));
}

/// Something that either side does.
#[derive(Clone, Debug)]
enum Deed {
    ClientDatagram(usize),
    ServerDatagram(usize),
    ClientWrites(usize, usize),
    ServerWrites(usize, usize),
    Pass(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    let who = 0..5_usize;
    prop_oneof![
        who.clone().prop_map(Deed::ClientDatagram),
        who.clone().prop_map(Deed::ServerDatagram),
        (who.clone(), 1..3_000_usize).prop_map(|(who, bytes)| Deed::ClientWrites(who, bytes)),
        (who, 1..3_000_usize).prop_map(|(who, bytes)| Deed::ServerWrites(who, bytes)),
        (0..60 * MS).prop_map(Deed::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_that_was_taken_is_forgotten(deeds in prop::collection::vec(deed(), 1..120)) {
        let mut wire = Wire::new(2);
        let conns: Vec<_> = (0..5).map(|_| wire.connect()).collect();
        let (mut up, mut down, mut written) = (0, 0, [[0; 2]; 5]);
        for deed in deeds {
            let now = wire.now();
            match deed {
                Deed::ClientDatagram(who) => up += usize::from(wire.client_send(conns[who].0, &[7; 90])),
                Deed::ServerDatagram(who) => down += usize::from(wire.server_send(conns[who].1, &[7; 90])),
                Deed::ClientWrites(who, bytes) => {
                    let taken = wire.clients[who].write(now, conns[who].0, StreamKind::Events, &vec![1; bytes]);
                    written[who][0] += taken.expect("it stands");
                }
                Deed::ServerWrites(who, bytes) => {
                    let shard = usize::from(ServerEndpoint::shard_of_key(conns[who].1));
                    let taken = wire.shards[shard].write(now, conns[who].1, StreamKind::Events, &vec![1; bytes]);
                    written[who][1] += taken.expect("it stands");
                }
                Deed::Pass(ns) => wire.pass(ns),
            }
        }
        wire.pass(5_000 * MS);
        prop_assert_eq!(wire.datagrams_at_server().len(), up);
        prop_assert_eq!(wire.datagrams_at_client().len(), down);
        for (conn, written) in conns.iter().zip(written) {
            let got = [
                wire.stream_at_server(conn.1, StreamKind::Events).len(),
                wire.stream_at_client(conn.0, StreamKind::Events).len(),
            ];
            prop_assert_eq!(got, written);
        }
        prop_assert!(wire.shards.iter().all(|shard| !shard.is_dirty()));
    }

    #[test]
    fn no_packet_whatever_it_holds_harms_anybody(
        noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1_400), 0..40),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=255_u8), 0..40),
    ) {
        let mut wire = Wire::new(2);
        let conn = wire.connect();
        let stranger = Arrival::from(([10, 9, 8, 7], 99).into());
        for packet in noise {
            let now = wire.now();
            wire.shards.iter_mut().for_each(|shard| shard.handle_packet(now, &stranger, &packet));
        }
        // And real ones, with a byte changed, from the client's own address.
        for (which, place, flip) in flips {
            let mut packet = which.get(&wire.seen_up).clone();
            let place = place.index(packet.len());
            packet[place] ^= flip;
            wire.inject_up(&packet);
        }
        wire.client_send(conn.0, b"still here");
        wire.pass(500 * MS);
        prop_assert_eq!(wire.datagrams_at_server(), vec![b"still here".to_vec()]);
    }
}

const TICK_MS: u64 = 50;

/// A server tells of ticks, some kilobytes each, and the client answers each time; then the client's
/// address changes. How many milliseconds later it hears of a tick again.
fn back_after_a_move(delay_ms: u64, phase_ms: u64) -> u64 {
    let mut wire = Wire::new(1);
    wire.delay_ns = delay_ms * MS;
    let conn = wire.connect();
    let moves_ms = 3_000 + phase_ms;
    for at_ms in 0..6_000 {
        if at_ms == moves_ms {
            wire.move_client(0);
        }
        if at_ms % TICK_MS == 0 {
            // What the path does not take is dropped, as states are.
            for part in 0..4 {
                wire.server_send(conn.1, &[part; 1_000]);
            }
        }
        if at_ms % TICK_MS == 20 {
            wire.client_send(conn.0, &[7; 60]);
        }
        wire.pass(MS);
        let hears = |event: Event| matches!(event, Event::Datagram { .. });
        if wire.at_clients.drain(..).any(hears) && at_ms > moves_ms {
            return at_ms + 1 - moves_ms;
        }
    }
    panic!("{delay_ms} ms away, {phase_ms} ms into a tick: nothing more is heard");
}

/// An address change under load: the state is back after two round trips, in which the new address is
/// proven, and the tick in which the client speaks from there; whenever in a tick the change comes (P3,
/// fault 5).
#[test]
fn an_address_change_under_load_costs_two_round_trips_and_a_tick() {
    for delay_ms in [10, 40, 150] {
        for phase_ms in [0, 10, 19, 21, 30, 49] {
            let back_ms = back_after_a_move(delay_ms, phase_ms);
            let most_ms = 2 * (2 * delay_ms) + TICK_MS;
            assert!(back_ms <= most_ms, "{delay_ms} ms away, {phase_ms} ms into a tick: {back_ms}");
        }
    }
}
