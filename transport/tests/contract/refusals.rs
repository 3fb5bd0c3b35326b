//! Who is not let in, and what bad input does: nothing to anybody else (P15).

use super::stage::{QuicServer, QuicStage, Stage, Troupe, on_each_server};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::conditioner::LinkProfile;
use starling_transport::quic::{
    ClientEndpoint, ConnectError, ConnectOptions, ServerError, ServerOptions, ServerSecret, Sockets,
};
use starling_transport::tls::{
    ClientTls, Fingerprint, Identity, ServerTrust, development_certificate,
};
use starling_transport::{ConnKey, SendError};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

on_each_server!(
    another_protocol_is_refused_and_others_stay,
    a_server_with_another_certificate_is_not_believed,
    roots_are_believed_for_the_names_that_they_vouch_for,
    an_insecure_client_believes_anybody,
    a_full_server_refuses_and_counts,
    a_port_that_is_taken_is_named,
    an_address_that_is_not_here_is_named,
    what_cannot_be_tried_is_told_at_once,
    garbage_on_the_port_harms_nobody,
    a_handshake_that_is_never_finished_is_given_up,
    under_a_flood_of_handshakes_addresses_have_to_be_proven_and_the_honest_get_in,
    a_server_that_shuts_down_tells_its_clients,
    a_server_that_shuts_down_says_goodbye_to_whoever_it_did_not_close,
    a_datagram_that_finds_no_room_is_refused_and_counted,
    a_flush_makes_room_for_a_client_that_says_more_than_the_queue_takes,
    a_server_that_came_back_with_its_secret_tells_old_clients_at_once,
);

/// Begins a connection and waits for its end; returns the code.
fn refused<V: QuicServer>(troupe: &mut Troupe<QuicStage<V>>) -> Option<CloseCode> {
    troupe.at_client.clear();
    troupe.begin();
    troupe.until("it is refused", |t| t.closed_at_client().is_some());
    assert_eq!(troupe.connected_at_client(), 0);
    troupe.closed_at_client().map(|end| end.0)
}

/// A connection that stands is as good as before.
fn unharmed<V: QuicServer>(troupe: &mut Troupe<QuicStage<V>>, client: ConnKey) {
    let before = troupe.stream_at_server(StreamKind::Control).len();
    troupe.client_writes(client, StreamKind::Control, b"!");
    troupe.until("it is heard", |t| t.stream_at_server(StreamKind::Control).len() == before + 1);
}

fn another_protocol_is_refused_and_others_stay<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::new());
    troupe.stage.options.tls =
        ClientTls::with_alpn(&ServerTrust::Insecure, b"h3").expect("no roots are needed");
    assert_eq!(refused(&mut troupe), Some(CloseCode::VERSION));
    troupe.until("it is counted", |t| t.stage.server.stats().handshakes_failed == 1);
    unharmed(&mut troupe, pair.client);
}

fn a_server_with_another_certificate_is_not_believed<V: QuicServer>() {
    let mut stage = QuicStage::<V>::new();
    let other = ServerTrust::Fingerprint(Fingerprint([7; 32]));
    stage.options.tls = ClientTls::new(&other).expect("a pin needs no roots");
    assert_eq!(refused(&mut Troupe::new(stage)), Some(CloseCode::UNTRUSTED));
}

fn roots_are_believed_for_the_names_that_they_vouch_for<V: QuicServer>() {
    let hour = Duration::from_secs(48 * 3_600);
    let made = development_certificate(&["localhost".to_owned()], hour).expect("the name is right");
    let identity = Identity::from_pem(&made.certificate, &made.key).expect("it was just made");
    let mut stage =
        QuicStage::<V>::with(Sockets::PerConnection, |options| options.identity = identity);
    let roots = ServerTrust::Roots(made.certificate);
    stage.options.tls = ClientTls::new(&roots).expect("a certificate is a root");
    let (mut troupe, _) = Troupe::connected(stage);
    troupe.stage.options.server_name = "example.org".to_owned();
    assert_eq!(refused(&mut troupe), Some(CloseCode::UNTRUSTED));
}

fn an_insecure_client_believes_anybody<V: QuicServer>() {
    let mut stage = QuicStage::<V>::new();
    stage.options.tls = ClientTls::new(&ServerTrust::Insecure).expect("no roots are needed");
    let (mut troupe, pair) = Troupe::connected(stage);
    unharmed(&mut troupe, pair.client);
}

fn a_full_server_refuses_and_counts<V: QuicServer>() {
    let stage = QuicStage::<V>::with(Sockets::PerConnection, |options| options.connections_max = 1);
    let (mut troupe, pair) = Troupe::connected(stage);
    assert_eq!(refused(&mut troupe), Some(CloseCode::OVERLOADED));
    troupe.until("it is counted", |t| t.stage.server.stats().refused == 1);
    unharmed(&mut troupe, pair.client);
}

fn a_port_that_is_taken_is_named<V: QuicServer>() {
    let stage = QuicStage::<V>::new();
    let address = stage.server.local_addr();
    let identity = Identity::development().expect("a certificate can be made");
    let error = V::bind(&ServerOptions::new(address, identity)).expect_err("it is taken");
    assert!(matches!(error, ServerError::PortTaken { address: a } if a == address));
    assert!(error.to_string().contains(&address.port().to_string()), "{error}");
}

fn an_address_that_is_not_here_is_named<V: QuicServer>() {
    let identity = Identity::development().expect("a certificate can be made");
    let address: SocketAddr = "192.0.2.1:4433".parse().expect("an address");
    let error = V::bind(&ServerOptions::new(address, identity)).expect_err("not here");
    assert!(error.to_string().contains("192.0.2.1:4433"), "{error}");
}

fn what_cannot_be_tried_is_told_at_once<V: QuicServer>() {
    let mut troupe = Troupe::new(QuicStage::<V>::with(Sockets::Shared, |_| {}));
    let mut attempt = |change: &dyn Fn(&mut ConnectOptions)| {
        let mut options = troupe.stage.options.clone();
        change(&mut options);
        let now = troupe.stage.now();
        troupe.stage.client.connect(now, &options).expect_err("it cannot be tried")
    };
    assert!(matches!(attempt(&|o| o.server.set_port(0)), ConnectError::Address(_)));
    assert!(matches!(attempt(&|o| o.server_name.clear()), ConnectError::Name(_)));
    let link = LinkProfile::parse("lte").expect("it is named");
    let own_link = attempt(&|o| o.link = link.clone());
    assert!(matches!(own_link, ConnectError::LinkOnSharedSocket));
}

fn garbage_on_the_port_harms_nobody<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::new());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("there are ports enough");
    let mut noise = 0x1234_5678_u32;
    for length in 0..600_usize {
        let packet: Vec<u8> = (0..length * 2)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .collect();
        socket.send_to(&packet, troupe.stage.server.local_addr()).expect("loopback takes it");
    }
    unharmed(&mut troupe, pair.client);
    troupe.until("one is counted", |t| t.stage.server.stats().open == 1);
}

/// Sends the first packet of each of `count` handshakes and never answers.
fn half_open<V: QuicServer>(stage: &QuicStage<V>, count: u64) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("there are ports enough");
    let mut endpoint = ClientEndpoint::for_many(5);
    let mut packet = Vec::new();
    for key in 1..=count {
        endpoint.connect(Nanos(0), ConnKey(key), &stage.options).expect("the options are right");
        while let Some(out) = endpoint.poll_transmit(Nanos(0), &mut packet) {
            socket.send_to(&packet[..out.bytes], out.to).expect("loopback takes it");
        }
    }
    socket
}

fn a_handshake_that_is_never_finished_is_given_up<V: QuicServer>() {
    let mut troupe = Troupe::new(QuicStage::<V>::new());
    let _silent = half_open(&troupe.stage, 1);
    troupe.until("it is given up", |t| {
        let stats = t.stage.server.stats();
        stats.handshakes_failed == 1 && stats.handshaking == 0
    });
    assert!(troupe.at_server.is_empty());
}

fn under_a_flood_of_handshakes_addresses_have_to_be_proven_and_the_honest_get_in<V: QuicServer>() {
    let mut troupe = Troupe::new(QuicStage::<V>::new());
    let _silent = half_open(&troupe.stage, 100);
    troupe.until("the server asks for proof", |t| t.stage.server.stats().retried >= 36);
    assert!(troupe.stage.server.stats().handshaking <= 64);
    let pair = troupe.connect();
    unharmed(&mut troupe, pair.client);
}

fn a_server_that_shuts_down_tells_its_clients<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::new());
    let identity = Identity::development().expect("a certificate can be made");
    let spare = ServerOptions::new(([127, 0, 0, 1], 0).into(), identity);
    let spare = V::bind(&spare).expect("a free port can be had");
    troupe.server_writes(pair.server, StreamKind::Control, b"we close");
    let now = troupe.stage.now();
    troupe.stage.server.close(now, pair.server, CloseCode::GOING_AWAY, "maintenance");
    let server = std::mem::replace(&mut troupe.stage.server, spare);
    let stopping = std::thread::spawn(move || server.shutdown(Duration::from_secs(5)));
    troupe.until("the client knows", |t| t.closed_at_client().is_some());
    assert_eq!(troupe.stream_at_client(StreamKind::Control), b"we close");
    assert_eq!(troupe.closed_at_client().map(|end| end.0), Some(CloseCode::GOING_AWAY));
    stopping.join().expect("a shutdown does not panic");
}

fn a_server_that_shuts_down_says_goodbye_to_whoever_it_did_not_close<V: QuicServer>() {
    let (mut troupe, _) = Troupe::connected(QuicStage::<V>::new());
    let spare = QuicStage::<V>::new().server;
    let server = std::mem::replace(&mut troupe.stage.server, spare);
    let stopping = std::thread::spawn(move || server.shutdown(Duration::from_millis(300)));
    troupe.until("the client knows", |t| t.closed_at_client().is_some());
    assert_eq!(troupe.closed_at_client().map(|end| end.0), Some(CloseCode::GOING_AWAY));
    stopping.join().expect("a shutdown does not panic");
}

fn a_datagram_that_finds_no_room_is_refused_and_counted<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::new());
    let now = troupe.stage.now();
    let mut send = || troupe.stage.server.send_datagram(now, pair.server, &[1; 1_000]);
    let refused = (0..100).find_map(|_| send().err());
    assert_eq!(refused, Some(SendError::Full));
    troupe.until("it is counted", |t| t.stage.server.stats().datagrams_full == 1);
}

fn a_flush_makes_room_for_a_client_that_says_more_than_the_queue_takes<V: QuicServer>() {
    let (mut troupe, pair) = Troupe::connected(QuicStage::<V>::new());
    let now = troupe.stage.now();
    let client = troupe.stage.client();
    let mut full = 0;
    for _ in 0..12 {
        if client.send_datagram(now, pair.client, &[2; 1_000]) == Err(SendError::Full) {
            full += 1;
            client.flush(now);
            assert_eq!(
                client.send_datagram(now, pair.client, &[2; 1_000]),
                Ok(()),
                "there is room"
            );
        }
    }
    assert!(full > 0, "the queue was never full");
    troupe.stage.client().flush(now);
    troupe.until("all are there", |t| t.datagrams_at_server().len() == 12);
}

/// Binds the address as soon as its last owner has let go of it.
fn bind_again<V: QuicServer>(troupe: &mut Troupe<QuicStage<V>>, options: &ServerOptions) -> V {
    let mut bound = None;
    troupe.until("the port is free again", |_| {
        bound = V::bind(options).ok();
        bound.is_some()
    });
    bound.expect("it was just bound")
}

fn a_server_that_came_back_with_its_secret_tells_old_clients_at_once<V: QuicServer>() {
    let told = (0..10).any(|_| is_told_at_once::<V>());
    assert!(told, "the machine is too slow to tell, ten times over");
}

/// Whether the server was back before the link was, so that the client can be asked at all.
fn is_told_at_once<V: QuicServer>() -> bool {
    let identity = Identity::development().expect("a certificate can be made");
    let options = |listen: SocketAddr| {
        let mut options = ServerOptions::new(listen, identity.clone());
        options.secret = Some(ServerSecret([3; 32]));
        options
    };
    let trust = ServerTrust::Fingerprint(identity.fingerprint());
    let mut stage = QuicStage::<V>::over("blackout=2s@500ms");
    stage.server = V::bind(&options(([127, 0, 0, 1], 0).into())).expect("a free port");
    let address = stage.server.local_addr();
    stage.options.server = address;
    stage.options.tls = ClientTls::new(&trust).expect("a pin needs no roots");
    // Longer than this test has patience: by silence the client does not learn of it.
    stage.options.idle_timeout = Duration::from_secs(600);
    let (mut troupe, pair) = Troupe::connected(stage);
    let start = Instant::now();
    troupe.until("the link is dark", |_| start.elapsed() > Duration::from_millis(600));

    // It crashes: what it says last is not heard. Nobody sits on its port but its successor.
    let spare = QuicStage::<V>::new();
    troupe.stage.server = spare.server;
    let successor = bind_again(&mut troupe, &options(address));
    if start.elapsed() > Duration::from_millis(2_300) {
        return false;
    }
    troupe.until("the link is back", |_| start.elapsed() > Duration::from_millis(2_600));
    troupe.stage.server = successor;
    troupe.client_datagram(pair.client, b"still there?");
    troupe.until("the client knows", |t| t.closed_at_client().is_some());
    assert_eq!(troupe.closed_at_client().map(|end| end.0), Some(CloseCode::LOST));
    true
}
