//! What every transport keeps, run on each of them.

#[path = "contract/congestion.rs"]
mod congestion;
#[path = "contract/faults.rs"]
mod faults;
#[path = "contract/refusals.rs"]
mod refusals;
#[path = "contract/stage.rs"]
mod stage;

use stage::{MemoryStage, QuicStage, Stage, Troupe};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_transport::quic::{QuinnServer, ShardedServer, Sockets, UdpServer};
use starling_transport::{Event, SendError};

fn quinn_stage() -> QuicStage<QuinnServer> {
    QuicStage::new()
}

fn looped_stage() -> QuicStage<UdpServer> {
    QuicStage::new()
}

fn sharded_stage() -> QuicStage<ShardedServer> {
    QuicStage::new()
}

fn shared_socket_stage() -> QuicStage<UdpServer> {
    QuicStage::with(Sockets::Shared, |_| {})
}

/// Runs each behaviour on each transport.
macro_rules! contract {
    ($($behaviour:ident),* $(,)?) => {
        mod memory { $(#[test] fn $behaviour() { super::$behaviour(super::MemoryStage::new()); })* }
        mod quinn { $(#[test] fn $behaviour() { super::$behaviour(super::quinn_stage()); })* }
        mod looped { $(#[test] fn $behaviour() { super::$behaviour(super::looped_stage()); })* }
        mod sharded { $(#[test] fn $behaviour() { super::$behaviour(super::sharded_stage()); })* }
        mod looped_with_clients_on_one_socket {
            $(#[test] fn $behaviour() { super::$behaviour(super::shared_socket_stage()); })*
        }
    };
}

contract!(
    both_sides_hear_of_a_connection_first,
    nothing_is_taken_before_a_connection_stands,
    datagrams_pass_both_ways,
    the_largest_datagram_of_the_protocol_passes,
    a_datagram_too_large_for_a_packet_is_refused,
    each_kind_of_stream_is_in_order_both_ways,
    a_server_may_write_first_on_every_stream,
    many_small_messages_arrive_once_and_in_order,
    a_big_message_arrives_whole,
    a_writer_is_held_back_while_nobody_reads,
    streams_flow_again_once_they_are_read,
    a_client_closes_with_a_code_and_words,
    a_server_closes_with_a_code_and_words,
    what_was_written_before_a_close_arrives_before_it,
    a_closed_connection_takes_nothing_and_tells_nothing,
    an_unknown_connection_takes_nothing,
    a_poll_respects_its_limit_and_loses_nothing,
    the_allowance_shows_room_and_a_round_trip,
    two_hundred_connections_stand_at_once_and_are_told_apart,
);

fn both_sides_hear_of_a_connection_first<S: Stage>(stage: S) {
    let mut troupe = Troupe::new(stage);
    let conn = troupe.begin();
    troupe.until("both are connected", |t| !t.at_client.is_empty() && !t.at_server.is_empty());
    assert!(matches!(troupe.at_client[0], Event::Connected { conn: c, .. } if c == conn));
    assert!(matches!(troupe.at_server[0], Event::Connected { .. }));
}

fn nothing_is_taken_before_a_connection_stands<S: Stage>(stage: S) {
    let mut troupe = Troupe::new(stage);
    let conn = troupe.begin();
    let now = troupe.stage.now();
    let client = troupe.stage.client();
    assert_eq!(client.write(now, conn, StreamKind::Control, b"early"), Ok(0));
    assert_eq!(client.send_datagram(now, conn, b"early"), Err(SendError::Full));
    assert_eq!(client.allowance(conn), Some(starling_transport::Allowance::default()));
}

fn datagrams_pass_both_ways<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    troupe.client_datagram(pair.client, b"up");
    troupe.server_datagram(pair.server, b"down");
    troupe.until("both datagrams are there", |t| {
        t.datagrams_at_server() == [b"up"] && t.datagrams_at_client() == [b"down"]
    });
}

fn the_largest_datagram_of_the_protocol_passes<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    let payload = vec![9; starling_protocol::limits::DATAGRAM_BYTES_MAX];
    troupe.client_datagram(pair.client, &payload);
    troupe.server_datagram(pair.server, &payload);
    troupe.until("both datagrams are there", |t| {
        t.datagrams_at_server() == [&payload[..]] && t.datagrams_at_client() == [&payload[..]]
    });
}

fn a_datagram_too_large_for_a_packet_is_refused<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    let now = troupe.stage.now();
    let refused = troupe.stage.client().send_datagram(now, pair.client, &[0; 1_201]);
    assert!(matches!(refused, Err(SendError::TooLarge(1_100..=1_200))), "{refused:?}");
    let refused = troupe.stage.server().send_datagram(now, pair.server, &[0; 9_000]);
    assert!(matches!(refused, Err(SendError::TooLarge(1_100..=1_200))), "{refused:?}");
}

fn each_kind_of_stream_is_in_order_both_ways<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    for kind in StreamKind::ALL {
        for part in 0..3 {
            troupe.client_writes(pair.client, kind, &[kind as u8, part]);
            troupe.server_writes(pair.server, kind, &[part, kind as u8]);
        }
    }
    troupe.until("all parts are there", |t| {
        StreamKind::ALL.iter().all(|&kind| {
            let k = kind as u8;
            t.stream_at_server(kind) == [k, 0, k, 1, k, 2]
                && t.stream_at_client(kind) == [0, k, 1, k, 2, k]
        })
    });
}

fn a_server_may_write_first_on_every_stream<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    for kind in StreamKind::ALL {
        troupe.server_writes(pair.server, kind, b"first");
    }
    troupe.until("all streams have spoken", |t| {
        StreamKind::ALL.iter().all(|&kind| t.stream_at_client(kind) == b"first")
    });
}

fn many_small_messages_arrive_once_and_in_order<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    for n in 0..2_000_u16 {
        troupe.client_writes(pair.client, StreamKind::Events, &n.to_be_bytes());
        if n % 100 == 0 {
            troupe.step();
        }
    }
    let sent: Vec<u8> = (0..2_000_u16).flat_map(u16::to_be_bytes).collect();
    troupe.until("all are there", |t| t.stream_at_server(StreamKind::Events) == sent);
}

fn a_big_message_arrives_whole<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    let message: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut up, mut down) = (&message[..], &message[..]);
    troupe.until("both are written and there", |t| {
        let now = t.stage.now();
        let taken = t.stage.client().write(now, pair.client, StreamKind::Bulk, up);
        up = &up[taken.expect("the connection stands")..];
        let taken = t.stage.server().write(now, pair.server, StreamKind::Bulk, down);
        down = &down[taken.expect("the connection stands")..];
        t.stream_at_server(StreamKind::Bulk).len() == message.len()
            && t.stream_at_client(StreamKind::Bulk).len() == message.len()
    });
    assert!(troupe.stream_at_server(StreamKind::Bulk) == message);
    assert!(troupe.stream_at_client(StreamKind::Bulk) == message);
}

/// Writes until nothing is taken any more, without the client ever polling; returns the bytes.
fn fill<S: Stage>(troupe: &mut Troupe<S>, pair: stage::Pair) -> usize {
    let chunk = [3; 10_000];
    let (mut written, mut quiet) = (0, 0);
    // A driver on a thread of its own may take more after a while in which it was not run.
    while quiet < 50 || room(troupe, pair) > 0 {
        let now = troupe.stage.now();
        let taken = troupe.stage.server().write(now, pair.server, StreamKind::Events, &chunk);
        let taken = taken.expect("the connection stands");
        quiet = if taken == 0 { quiet + 1 } else { 0 };
        written += taken;
        troupe.stage.server().flush(now);
        troupe.step_server();
        assert!(written < 10_000_000, "a writer is never held back");
    }
    written
}

/// Bytes that the server's streams take now.
fn room<S: Stage>(troupe: &mut Troupe<S>, pair: stage::Pair) -> u32 {
    let allowance = troupe.stage.server().allowance(pair.server);
    allowance.expect("the connection stands").stream_bytes
}

fn a_writer_is_held_back_while_nobody_reads<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    let written = fill(&mut troupe, pair);
    assert!((60_000..1_000_000).contains(&written), "{written} bytes were taken");
    assert_eq!(room(&mut troupe, pair), 0);
}

fn streams_flow_again_once_they_are_read<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    let written = fill(&mut troupe, pair);
    troupe.until("all is read", |t| t.stream_at_client(StreamKind::Events).len() == written);
    troupe.until("there is room again", |t| {
        let allowance = t.stage.server().allowance(pair.server);
        allowance.is_some_and(|allowance| allowance.stream_bytes > 60_000)
    });
}

fn a_client_closes_with_a_code_and_words<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    let now = troupe.stage.now();
    troupe.stage.client().close(now, pair.client, CloseCode::GOODBYE, "see you");
    troupe.until("the server knows", |t| t.closed_at_server().is_some());
    let (code, reason) = troupe.closed_at_server().expect("it was just seen");
    assert_eq!((code, reason.as_str()), (CloseCode::GOODBYE, "see you"));
    assert_eq!(troupe.closed_at_client(), None);
}

fn a_server_closes_with_a_code_and_words<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    let now = troupe.stage.now();
    troupe.stage.server().close(now, pair.server, CloseCode::REPLACED, "newer one");
    troupe.until("the client knows", |t| t.closed_at_client().is_some());
    let (code, reason) = troupe.closed_at_client().expect("it was just seen");
    assert_eq!((code, reason.as_str()), (CloseCode::REPLACED, "newer one"));
    assert_eq!(troupe.closed_at_server(), None);
}

fn what_was_written_before_a_close_arrives_before_it<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    let last_words = vec![5; 20_000];
    troupe.server_writes(pair.server, StreamKind::Control, &last_words);
    let now = troupe.stage.now();
    troupe.stage.server().close(now, pair.server, CloseCode::FORBIDDEN, "no");
    troupe.until("the client knows", |t| t.closed_at_client().is_some());
    assert!(troupe.stream_at_client(StreamKind::Control) == last_words);

    let pair = troupe.connect();
    troupe.client_writes(pair.client, StreamKind::Events, &last_words);
    let now = troupe.stage.now();
    troupe.stage.client().close(now, pair.client, CloseCode::GOODBYE, "bye");
    troupe.until("the server knows", |t| t.closed_at_server().is_some());
    assert!(troupe.stream_at_server(StreamKind::Events) == last_words);
}

fn a_closed_connection_takes_nothing_and_tells_nothing<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    troupe.server_datagram(pair.server, b"late");
    troupe.settle_server();
    let now = troupe.stage.now();
    let client = troupe.stage.client();
    client.close(now, pair.client, CloseCode::GOODBYE, "");
    assert_eq!(client.write(now, pair.client, StreamKind::Control, b"x"), Err(SendError::Closed));
    assert_eq!(client.send_datagram(now, pair.client, b"x"), Err(SendError::Closed));
    assert_eq!(client.allowance(pair.client), None);
    troupe.at_client.clear();
    troupe.until("the server knows", |t| t.closed_at_server().is_some());
    assert!(troupe.at_client.is_empty(), "{:?}", troupe.at_client);
    let now = troupe.stage.now();
    let server = troupe.stage.server();
    assert_eq!(server.write(now, pair.server, StreamKind::Control, b"x"), Err(SendError::Closed));
    assert_eq!(server.send_datagram(now, pair.server, b"x"), Err(SendError::Closed));
    assert_eq!(server.allowance(pair.server), None);
}

fn an_unknown_connection_takes_nothing<S: Stage>(stage: S) {
    let mut troupe = Troupe::new(stage);
    let (now, nobody) = (troupe.stage.now(), starling_transport::ConnKey(77));
    for transport in troupe.stage.both() {
        assert_eq!(transport.write(now, nobody, StreamKind::Control, b"x"), Err(SendError::Closed));
        assert_eq!(transport.send_datagram(now, nobody, b"x"), Err(SendError::Closed));
        assert_eq!(transport.allowance(nobody), None);
        transport.close(now, nobody, CloseCode::GOODBYE, "");
    }
}

fn a_poll_respects_its_limit_and_loses_nothing<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    for n in 0..3 {
        troupe.client_datagram(pair.client, &[n]);
        troupe.client_writes(pair.client, StreamKind::Control, &[n]);
    }
    troupe.limit = 1;
    troupe.until("all is there", |t| {
        t.datagrams_at_server().len() == 3 && t.stream_at_server(StreamKind::Control) == [0, 1, 2]
    });
}

fn the_allowance_shows_room_and_a_round_trip<S: Stage>(stage: S) {
    let (mut troupe, pair) = Troupe::connected(stage);
    for transport_and_key in [(true, pair.client), (false, pair.server)] {
        let (is_client, key) = transport_and_key;
        let transport = if is_client { troupe.stage.client() } else { troupe.stage.server() };
        let allowance = transport.allowance(key).expect("the connection stands");
        assert!(allowance.datagram_bytes >= 1_100, "{allowance:?}");
        assert!(allowance.stream_bytes >= 60_000, "{allowance:?}");
        assert!((1..2_000_000).contains(&allowance.rtt_us), "{allowance:?}");
    }
}

fn two_hundred_connections_stand_at_once_and_are_told_apart<S: Stage>(stage: S) {
    const CLIENTS: usize = 200;
    // A server gives a handshake three seconds, which is little for all of them on a slow machine.
    const AT_ONCE: usize = 5;
    let mut troupe = Troupe::new(stage);
    let mut conns = Vec::new();
    while conns.len() < CLIENTS {
        conns.extend((0..AT_ONCE).map(|_| troupe.begin()));
        troupe.until("they are connected", |t| {
            t.connected_at_client() == conns.len() && t.connected_at_server() == conns.len()
        });
    }
    for (n, &conn) in conns.iter().enumerate() {
        troupe.client_writes(conn, StreamKind::Control, &(n as u16).to_be_bytes());
    }
    troupe.until("all have spoken", |t| t.streams_at_server().len() == CLIENTS);
    let said = troupe.streams_at_server();
    for (conn, bytes) in &said {
        troupe.server_writes(*conn, StreamKind::Control, bytes);
    }
    troupe.until("all have heard", |t| t.streams_at_client().len() == CLIENTS);
    for (n, conn) in conns.iter().enumerate() {
        assert_eq!(troupe.streams_at_client()[conn], (n as u16).to_be_bytes());
    }
}

#[test]
fn every_transport_can_move_to_a_thread_of_its_own() {
    fn moves<T: starling_transport::Transport + Send + 'static>() -> &'static str {
        std::any::type_name::<T>()
    }
    let names = [
        moves::<starling_transport::memory::ServerSide>(),
        moves::<starling_transport::memory::ClientSide>(),
        moves::<QuinnServer>(),
        moves::<UdpServer>(),
        moves::<ShardedServer>(),
        moves::<starling_transport::quic::UdpClient>(),
    ];
    assert!(names.iter().all(|name| name.starts_with("starling_transport::")));
}
