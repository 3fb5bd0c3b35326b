//! QUIC over bad links: what is lost, what is not, and what a connection survives.

use super::stage::{Pair, QuicServer, QuicStage, Stage, Troupe, on_each_server};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_transport::Transport;
use starling_transport::conditioner::LinkProfile;
use starling_transport::quic::Sockets;
use std::time::{Duration, Instant};

on_each_server!(
    streams_are_whole_over_a_link_that_does_everything_wrong,
    datagrams_are_lost_but_never_doubled,
    every_named_profile_carries_a_connection,
    an_outage_shorter_than_the_idle_timeout_is_survived,
    an_address_translator_that_forgets_does_not_end_a_connection,
    a_client_that_moves_to_another_port_is_followed,
    a_shared_socket_that_moves_takes_its_connections_along,
    silence_beyond_the_clients_idle_timeout_is_a_loss_on_both_sides,
    signs_of_life_keep_a_silent_connection,
    a_server_that_is_not_there_is_a_loss,
    a_closed_connection_gives_its_socket_back_and_leaves_its_figures,
    both_sides_count_the_same_bytes_on_a_sound_link,
    a_drivers_wait_ends_when_there_is_something_or_somebody_calls,
);

const BAD: &str = "loss=10%,delay=10ms,jitter=5ms,dup=5%,reorder=5%,corrupt=1%";

/// Writes all of `bytes` both ways, as room allows, until both sides have them.
fn exchange<V: QuicServer>(troupe: &mut Troupe<QuicStage<V>>, pair: Pair, bytes: &[u8]) {
    let (mut up, mut down) = (bytes, bytes);
    troupe.until("all is there both ways", |t| {
        let now = t.stage.now();
        let taken = t.stage.client.write(now, pair.client, StreamKind::Events, up);
        up = &up[taken.expect("the connection stands")..];
        let taken = t.stage.server.write(now, pair.server, StreamKind::Events, down);
        down = &down[taken.expect("the connection stands")..];
        t.stream_at_server(StreamKind::Events).len() == bytes.len()
            && t.stream_at_client(StreamKind::Events).len() == bytes.len()
    });
    assert!(troupe.stream_at_server(StreamKind::Events) == bytes);
    assert!(troupe.stream_at_client(StreamKind::Events) == bytes);
}

fn streams_are_whole_over_a_link_that_does_everything_wrong<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::over(BAD));
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    exchange(&mut troupe, pair, &bytes);
    let stats = troupe.stage.client.conn_stats(pair.client).expect("the connection stands");
    assert!(stats.packets_lost > 0, "{stats:?}");
}

fn datagrams_are_lost_but_never_doubled<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::over("loss=20%,dup=20%,delay=2ms"));
    let mut sent = 0_u16;
    troupe.until("two hundred are sent", |t| {
        let now = t.stage.now();
        let taken = t.stage.client.send_datagram(now, pair.client, &sent.to_be_bytes());
        sent += u16::from(taken.is_ok());
        sent == 200
    });
    troupe.client_writes(pair.client, StreamKind::Control, b"end");
    troupe.until("the end is there", |t| t.stream_at_server(StreamKind::Control) == b"end");
    let mut arrived = troupe.datagrams_at_server();
    let count = arrived.len();
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived.len(), count, "a datagram arrived twice");
    assert!((100..200).contains(&count), "{count} of 200 arrived");
}

fn every_named_profile_carries_a_connection<V: QuicServer>() {
    for name in LinkProfile::names() {
        // The long outages of some have a test of their own.
        let link = LinkProfile { blackout: None, ..LinkProfile::parse(name).expect("it is named") };
        let mut stage = QuicStage::<V>::new();
        stage.options.link = link;
        let (mut troupe, pair) = Troupe::connected(stage);
        exchange(&mut troupe, pair, &[7; 5_000]);
    }
}

fn an_outage_shorter_than_the_idle_timeout_is_survived<V: QuicServer>() {
    let (mut troupe, pair) =
        Troupe::connected(QuicStage::<V>::over("delay=2ms,blackout=800ms@300ms"));
    let (start, mut said) = (Instant::now(), 0);
    troupe.until("it is past the outage", |t| {
        let now = t.stage.now();
        let taken = t.stage.client.write(now, pair.client, StreamKind::Control, &[1]);
        said += taken.expect("the connection stands");
        start.elapsed() > Duration::from_millis(1_200)
    });
    troupe.until("all is there", |t| t.stream_at_server(StreamKind::Control).len() == said);
    assert_eq!(troupe.closed_at_client(), None);
}

fn an_address_translator_that_forgets_does_not_end_a_connection<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::over("delay=1ms,rebind=300ms"));
    let (before, mut said) = (troupe.stage.client.local_addr(pair.client), 0);
    troupe.until("it has happened a few times", |t| {
        t.client_writes(pair.client, StreamKind::Control, &[1]);
        said += 1;
        t.stage.client.stats().rebinds >= 3
    });
    troupe.until("all is there", |t| t.stream_at_server(StreamKind::Control).len() == said);
    troupe.server_writes(pair.server, StreamKind::Control, b"still here");
    troupe
        .until("the server is heard", |t| t.stream_at_client(StreamKind::Control) == b"still here");
    assert_ne!(troupe.stage.client.local_addr(pair.client), before);
}

fn a_move_is_followed<V: QuicServer>(sockets: Sockets) {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::with(sockets, |_| {}));
    let before = troupe.stage.client.local_addr(pair.client);
    let now = troupe.stage.now();
    troupe.stage.client.rebind(now, pair.client).expect("there are ports enough");
    assert_ne!(troupe.stage.client.local_addr(pair.client), before);
    troupe.server_writes(pair.server, StreamKind::Control, b"where are you?");
    troupe.until("the server is heard", |t| {
        t.stream_at_client(StreamKind::Control) == b"where are you?"
    });
}

fn a_client_that_moves_to_another_port_is_followed<V: QuicServer>() {
    a_move_is_followed::<V>(Sockets::PerConnection);
}

fn a_shared_socket_that_moves_takes_its_connections_along<V: QuicServer>() {
    a_move_is_followed::<V>(Sockets::Shared);
}

fn silence_beyond_the_clients_idle_timeout_is_a_loss_on_both_sides<V: QuicServer>() {
    let mut stage = QuicStage::<V>::new();
    // Long enough for a handshake on a slow machine.
    stage.options.idle_timeout = Duration::from_secs(2);
    stage.options.keep_alive = None;
    let (mut troupe, _) = Troupe::connected(stage);
    troupe.until("both have lost it", |t| {
        t.closed_at_client().is_some() && t.closed_at_server().is_some()
    });
    let codes = [troupe.closed_at_client(), troupe.closed_at_server()].map(|end| end.map(|e| e.0));
    assert_eq!(codes, [Some(CloseCode::LOST); 2]);
}

fn signs_of_life_keep_a_silent_connection<V: QuicServer>() {
    let mut stage = QuicStage::<V>::new();
    let idle = Duration::from_secs(2);
    stage.options = stage.options.with_idle_timeout(idle);
    let (mut troupe, pair) = Troupe::connected(stage);
    let start = Instant::now();
    troupe.until("it would be lost long since", |_| start.elapsed() > 2 * idle);
    assert!(troupe.stage.client.allowance(pair.client).is_some());
    assert!(troupe.at_client.is_empty() && troupe.at_server.is_empty());
}

fn a_server_that_is_not_there_is_a_loss<V: QuicServer>() {
    let mut stage = QuicStage::<V>::new();
    stage.options.server = ([127, 0, 0, 1], 9).into();
    stage.options.idle_timeout = Duration::from_millis(200);
    let mut troupe = Troupe::new(stage);
    let conn = troupe.begin();
    troupe.until("the client gives up", |t| t.closed_at_client().is_some());
    assert_eq!(troupe.closed_at_client().map(|end| end.0), Some(CloseCode::LOST));
    assert_eq!(troupe.stage.client.allowance(conn), None);
}

fn a_closed_connection_gives_its_socket_back_and_leaves_its_figures<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::new());
    let now = troupe.stage.now();
    troupe.stage.client.close(now, pair.client, CloseCode::GOODBYE, "");
    troupe.until("QUIC has forgotten it", |t| t.stage.client.conn_stats(pair.client).is_none());
    assert_eq!(troupe.stage.client.local_addr(pair.client), None);
    let stats = troupe.stage.client.stats();
    assert!(stats.sum.bytes_up > 1_200 && stats.sum.bytes_down > 1_200, "{stats:?}");
}

fn both_sides_count_the_same_bytes_on_a_sound_link<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::new());
    exchange(&mut troupe, pair, &[1; 10_000]);
    // QUIC counts what a connection gets, and the first packet is there before the connection.
    let first = 1_200;
    troupe.until("what is under way has arrived", |t| {
        let (server, client) = (t.stage.server.stats(), t.stage.client.stats().sum);
        server.udp_bytes_in + first == client.bytes_up && server.udp_bytes_out == client.bytes_down
    });
}

fn a_drivers_wait_ends_when_there_is_something_or_somebody_calls<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::new());
    let start = Instant::now();
    troupe.client_datagram(pair.client, b"x");
    let now = troupe.stage.now();
    troupe.stage.client.flush(now);
    troupe.stage.server.wait(Duration::from_secs(20));
    let (server, client) = (troupe.stage.server.waker(), troupe.stage.client.waker());
    let caller = std::thread::spawn(move || {
        server();
        client.wake();
    });
    troupe.stage.client.wait(Duration::from_secs(20));
    caller.join().expect("nobody panics while calling");
    troupe.stage.server.wait(Duration::from_secs(20));
    assert!(start.elapsed() < Duration::from_secs(15));
}
