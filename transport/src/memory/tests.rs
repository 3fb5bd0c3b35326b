use super::*;
use crate::{Event, SendError, Transport};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;

const SEED: u64 = 41;

/// One server, one client, one connection.
struct Pair {
    network: Network,
    server: ServerSide,
    client: ClientSide,
    conn: ConnKey,
    now: Nanos,
    at_server: Vec<Event>,
    at_client: Vec<Event>,
}

impl Pair {
    fn connected(profile: &str) -> Self {
        let mut pair = Self::opening(profile);
        pair.run_for(3_000);
        assert!(matches!(pair.at_client.first(), Some(Event::Connected { .. })), "seed {SEED}");
        pair.at_server.clear();
        pair.at_client.clear();
        pair
    }

    fn opening(profile: &str) -> Self {
        let network = Network::new(SEED);
        let (server, mut client) = (network.server(), network.client());
        let profile = LinkProfile::parse(profile).expect("the profile is right");
        let conn = client.connect(Nanos(0), &profile);
        let (at_server, at_client) = (Vec::new(), Vec::new());
        Self { network, server, client, conn, now: Nanos(0), at_server, at_client }
    }

    fn step(&mut self, ms: u64) {
        self.now = self.now + ms * Nanos::MILLISECOND;
        self.client.poll(self.now, usize::MAX, &mut self.at_client);
        self.server.poll(self.now, usize::MAX, &mut self.at_server);
    }

    fn run_for(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.step(1));
    }
}

fn stream_bytes(events: &[Event], kind: StreamKind) -> Vec<u8> {
    let of_kind = |event: &Event| match event {
        Event::Stream { stream, bytes, .. } if *stream == kind => Some(bytes.to_vec()),
        _ => None,
    };
    events.iter().filter_map(of_kind).flatten().collect()
}

fn datagrams(events: &[Event]) -> Vec<u8> {
    let first_byte = |event: &Event| match event {
        Event::Datagram { payload, .. } => Some(payload[0]),
        _ => None,
    };
    events.iter().filter_map(first_byte).collect()
}

fn closed_with(events: &[Event]) -> Option<CloseCode> {
    match events.last()? {
        Event::Closed { code, .. } => Some(*code),
        _ => None,
    }
}

#[test]
fn a_handshake_takes_one_round_trip() {
    let mut pair = Pair::opening("delay=10ms");
    pair.run_for(10);
    assert_eq!((pair.at_server.len(), pair.at_client.len()), (1, 0));
    pair.run_for(10);
    pair.step(0);
    assert!(matches!(pair.at_client[0], Event::Connected { remote, .. } if remote.port() == 4433));
}

#[test]
fn nothing_is_taken_before_the_handshake_is_done() {
    let mut pair = Pair::opening("delay=10ms");
    let (now, conn) = (pair.now, pair.conn);
    assert_eq!(pair.client.write(now, conn, StreamKind::Control, b"early"), Ok(0));
    assert_eq!(pair.client.send_datagram(now, conn, b"early"), Err(SendError::Full));
    assert_eq!(pair.client.allowance(conn), Some(crate::Allowance::default()));
    assert_eq!(pair.server.allowance(conn), None);
}

#[test]
fn streams_survive_a_terrible_link_whole_and_in_order() {
    let mut pair = Pair::connected("loss=30%,delay=20ms,jitter=15ms,dup=10%,reorder=10%");
    let sent: Vec<u8> = (0..50_000_u32).map(|n| (n % 251) as u8).collect();
    let mut rest = &sent[..];
    for _ in 0..60_000 {
        let taken = pair.client.write(pair.now, pair.conn, StreamKind::Bulk, rest);
        rest = &rest[taken.expect("the link is up")..];
        pair.step(1);
        if stream_bytes(&pair.at_server, StreamKind::Bulk).len() == sent.len() {
            break;
        }
    }
    assert!(stream_bytes(&pair.at_server, StreamKind::Bulk) == sent, "seed {SEED}");
}

#[test]
fn loss_on_one_stream_does_not_delay_another() {
    let mut pair = Pair::connected("delay=50ms");
    pair.network.cut(pair.conn);
    pair.client.write(pair.now, pair.conn, StreamKind::Bulk, b"lost").expect("the link is up");
    pair.run_for(60);
    pair.network.restore(pair.conn);
    pair.client.write(pair.now, pair.conn, StreamKind::Control, b"kept").expect("the link is up");
    pair.run_for(51);
    assert_eq!(stream_bytes(&pair.at_server, StreamKind::Control), b"kept");
    assert_eq!(stream_bytes(&pair.at_server, StreamKind::Bulk), b"");
    pair.run_for(500);
    assert_eq!(stream_bytes(&pair.at_server, StreamKind::Bulk), b"lost");
}

#[test]
fn datagrams_are_lost_and_stay_lost() {
    let mut pair = Pair::connected("loss=20%,delay=5ms");
    for n in 0..200 {
        pair.server.send_datagram(pair.now, pair.conn, &[n]).expect("the link is up");
        pair.step(1);
    }
    pair.run_for(100);
    let arrived = datagrams(&pair.at_client);
    assert!((130..190).contains(&arrived.len()), "{} of 200, seed {SEED}", arrived.len());
    assert!(arrived.is_sorted());
}

#[test]
fn a_writer_is_held_back_until_the_reader_polls() {
    let mut pair = Pair::connected("delay=5ms");
    let (conn, window) = (pair.conn, lane::STREAM_WINDOW_BYTES);
    let much = vec![7; window + 1];
    assert_eq!(pair.server.write(pair.now, conn, StreamKind::Events, &much), Ok(window));
    assert_eq!(pair.server.write(pair.now, conn, StreamKind::Control, b"x"), Ok(0));
    assert_eq!(pair.server.allowance(conn).map(|a| a.stream_bytes), Some(0));
    pair.run_for(20);
    assert_eq!(pair.server.allowance(conn).map(|a| a.stream_bytes as usize), Some(window));
    assert_eq!(stream_bytes(&pair.at_client, StreamKind::Events).len(), window);
}

#[test]
fn a_slow_bottleneck_refuses_datagrams_instead_of_queueing_them() {
    let mut pair = Pair::connected("delay=5ms,rate=100kbit,queue=8k");
    let payload = [0; 1_000];
    let taken = (0..10)
        .filter(|_| pair.server.send_datagram(pair.now, pair.conn, &payload).is_ok())
        .count();
    assert_eq!(taken, 3);
    assert_eq!(pair.server.send_datagram(pair.now, pair.conn, &payload), Err(SendError::Full));
}

#[test]
fn a_datagram_that_no_packet_holds_is_refused() {
    let mut pair = Pair::connected("none");
    let (now, conn) = (pair.now, pair.conn);
    assert_eq!(pair.client.send_datagram(now, conn, &[0; DATAGRAM_BYTES_MAX]), Ok(()));
    assert_eq!(
        pair.client.send_datagram(now, conn, &[0; DATAGRAM_BYTES_MAX + 1]),
        Err(SendError::TooLarge(DATAGRAM_BYTES_MAX))
    );
}

#[test]
fn silence_beyond_the_idle_timeout_loses_the_connection_on_both_sides() {
    let mut pair = Pair::connected("delay=5ms");
    pair.network.cut(pair.conn);
    pair.run_for(11_900);
    assert_eq!(closed_with(&pair.at_server), None);
    pair.run_for(3_200);
    assert_eq!(closed_with(&pair.at_server), Some(CloseCode::LOST));
    assert_eq!(closed_with(&pair.at_client), Some(CloseCode::LOST));
    assert_eq!(pair.network.stats(pair.conn), None);
    assert_eq!(pair.network.next_due(), None);
}

#[test]
fn a_silent_connection_on_a_sound_link_stays_up() {
    let mut pair = Pair::connected("delay=5ms,loss=20%");
    pair.run_for(60_000);
    assert!(pair.at_server.is_empty() && pair.at_client.is_empty(), "seed {SEED}");
    assert!(pair.client.allowance(pair.conn).is_some());
}

#[test]
fn a_short_cut_is_survived() {
    let mut pair = Pair::connected("delay=5ms");
    pair.client.write(pair.now, pair.conn, StreamKind::Control, b"a").expect("the link is up");
    pair.network.cut(pair.conn);
    pair.run_for(5_000);
    pair.network.restore(pair.conn);
    pair.run_for(2_000);
    assert_eq!(stream_bytes(&pair.at_server, StreamKind::Control), b"a");
}

#[test]
fn a_new_port_keeps_the_connection() {
    let mut pair = Pair::connected("delay=5ms,rebind=1s");
    pair.network.rebind(pair.conn);
    pair.run_for(3_000);
    pair.client.send_datagram(pair.now, pair.conn, &[1]).expect("the link is up");
    pair.run_for(10);
    assert_eq!(datagrams(&pair.at_server), [1]);
    assert!(pair.network.stats(pair.conn).is_some_and(|stats| stats.rebinds >= 4));
}

#[test]
fn what_was_written_before_a_close_arrives_before_it() {
    let mut pair = Pair::connected("loss=30%,delay=20ms");
    let reason = vec![b'x'; 5_000];
    pair.server.write(pair.now, pair.conn, StreamKind::Control, &reason).expect("the link is up");
    pair.server.close(pair.now, pair.conn, CloseCode::FORBIDDEN, "no");
    pair.run_for(5_000);
    assert_eq!(stream_bytes(&pair.at_client, StreamKind::Control), reason, "seed {SEED}");
    assert_eq!(closed_with(&pair.at_client), Some(CloseCode::FORBIDDEN));
    assert!(pair.at_server.is_empty(), "the closing side gets no event");
    let (now, conn) = (pair.now, pair.conn);
    assert_eq!(pair.client.write(now, conn, StreamKind::Control, b"x"), Err(SendError::Closed));
    assert_eq!(pair.network.next_due(), None);
}

#[test]
fn a_client_that_gives_up_early_still_ends_what_the_server_began() {
    let mut pair = Pair::opening("delay=10ms");
    pair.run_for(15);
    pair.client.close(pair.now, pair.conn, CloseCode::GOODBYE, "changed my mind");
    pair.run_for(100);
    assert_eq!(closed_with(&pair.at_server), Some(CloseCode::GOODBYE));
    assert!(pair.at_client.is_empty());
}

#[test]
fn a_reader_that_stops_polling_keeps_the_newest_datagrams() {
    let mut pair = Pair::connected("none");
    for n in 0..100 {
        pair.client.send_datagram(pair.now, pair.conn, &[n; 1_000]).expect("the link is up");
        pair.now = pair.now + Nanos::MILLISECOND;
        pair.client.poll(pair.now, usize::MAX, &mut pair.at_client);
    }
    pair.step(1);
    let arrived = datagrams(&pair.at_server);
    assert_eq!(arrived.last(), Some(&99));
    assert_eq!(arrived.len() as u64 + pair.network.datagrams_dropped(), 100);
    assert_eq!(arrived.len(), 65);
}

#[test]
fn a_limited_poll_leaves_the_rest_and_says_so() {
    let mut pair = Pair::connected("none");
    (0..10).for_each(|n| pair.client.send_datagram(pair.now, pair.conn, &[n]).expect("up"));
    assert_eq!(pair.server.poll(pair.now, 4, &mut pair.at_server), 4);
    assert_eq!(pair.server.next_timeout(), Some(pair.now));
    assert_eq!(pair.server.poll(pair.now, 100, &mut pair.at_server), 6);
    assert_eq!(datagrams(&pair.at_server), (0..10).collect::<Vec<_>>());
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let run = || {
        let mut pair = Pair::connected("wifi-bad,dup=5%");
        for n in 0..100 {
            pair.client.send_datagram(pair.now, pair.conn, &[n]).expect("the link is up");
            pair.server.write(pair.now, pair.conn, StreamKind::Events, &[n]).expect("up");
            pair.step(10);
        }
        format!("{:?}{:?}", pair.at_server, pair.at_client)
    };
    assert_eq!(run(), run());
}
