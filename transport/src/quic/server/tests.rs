//! Clients that break the rules of streams, played by plain quinn.

use super::*;
use crate::tls::{ClientTls, ServerTrust};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ApplicationClose, ClientConfig, Connection, ConnectionError, SendStream};
use std::net::Ipv4Addr;

const DEADLINE: Duration = Duration::from_secs(20);

struct Scene {
    server: QuinnServer,
    endpoint: Endpoint,
    runtime: Runtime,
}

impl Scene {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads can be had");
        let identity = Identity::development().expect("a certificate can be made");
        let mut options = ServerOptions::new((Ipv4Addr::LOCALHOST, 0).into(), identity);
        options.runtime = RuntimeChoice::Given(runtime.handle().clone());
        let server = QuinnServer::bind(&options).expect("a free port can be had");
        let inside = runtime.enter();
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into());
        drop(inside);
        Self { server, endpoint: endpoint.expect("a free port can be had"), runtime }
    }

    fn connect(&self) -> Connection {
        let tls = ClientTls::new(&ServerTrust::Insecure).expect("no roots are needed");
        let tls = QuicClientConfig::try_from(tls.config()).expect("the suite is there");
        let config = ClientConfig::new(Arc::new(tls));
        let address = self.server.local_addr();
        self.runtime.block_on(async {
            let connecting = self.endpoint.connect_with(config, address, "localhost");
            let connecting = connecting.expect("the address is right");
            connecting.await.expect("the server lets it in")
        })
    }

    fn open(&self, connection: &Connection, bytes: &[u8]) -> SendStream {
        self.runtime.block_on(async {
            let (mut send, _) = connection.open_bi().await.expect("streams may be opened");
            send.write_all(bytes).await.expect("there is room");
            send
        })
    }

    /// Polls until the server tells of an end; checks that both sides agree on it.
    fn ends_as_protocol_error(&mut self, connection: &Connection) -> String {
        let (start, mut events) = (Instant::now(), Vec::new());
        while !matches!(events.last(), Some(Event::Closed { .. })) {
            assert!(start.elapsed() < DEADLINE, "the server does not mind: {events:?}");
            self.server.wait(Duration::from_millis(10));
            self.server.poll(Nanos(0), 1, &mut events);
        }
        let wire = self.runtime.block_on(connection.closed());
        let protocol_error = ending::to_wire(CloseCode::PROTOCOL_ERROR);
        assert!(
            matches!(&wire, ConnectionError::ApplicationClosed(ApplicationClose { error_code, .. })
                if *error_code == protocol_error),
            "{wire:?}"
        );
        assert_eq!(self.server.stats().protocol_errors, 1);
        match events.pop() {
            Some(Event::Closed { code: CloseCode::PROTOCOL_ERROR, reason, .. }) => reason,
            other => panic!("not a protocol error: {other:?}"),
        }
    }
}

#[test]
fn a_stream_of_unknown_kind_ends_the_connection() {
    let mut scene = Scene::new();
    let connection = scene.connect();
    let _send = scene.open(&connection, &[9]);
    assert_eq!(scene.ends_as_protocol_error(&connection), "a stream of unknown kind");
}

#[test]
fn a_second_stream_of_one_kind_ends_the_connection() {
    let mut scene = Scene::new();
    let connection = scene.connect();
    let _send = (scene.open(&connection, &[1]), scene.open(&connection, &[1]));
    assert_eq!(scene.ends_as_protocol_error(&connection), "a second stream of one kind");
}

#[test]
fn a_stream_without_a_kind_ends_the_connection() {
    let mut scene = Scene::new();
    let connection = scene.connect();
    scene.open(&connection, &[]).finish().expect("the stream is open");
    assert_eq!(scene.ends_as_protocol_error(&connection), "a stream without a kind");
}

#[test]
fn a_stream_that_is_reset_ends_the_connection() {
    let mut scene = Scene::new();
    let connection = scene.connect();
    let mut send = scene.open(&connection, &[2]);
    send.reset(quinn::VarInt::from_u32(1)).expect("the stream is open");
    assert_eq!(scene.ends_as_protocol_error(&connection), "a stream was reset");
}

#[test]
fn a_client_that_stops_reading_a_stream_ends_the_connection() {
    let mut scene = Scene::new();
    let connection = scene.connect();
    let (mut send, mut recv) =
        scene.runtime.block_on(connection.open_bi()).expect("streams may be opened");
    scene.runtime.block_on(send.write_all(&[0, 7])).expect("there is room");
    recv.stop(quinn::VarInt::from_u32(1)).expect("the stream is open");
    let (start, mut events) = (Instant::now(), Vec::new());
    while !matches!(events.last(), Some(Event::Closed { .. })) {
        assert!(start.elapsed() < DEADLINE, "the server does not mind: {events:?}");
        scene.server.wait(Duration::from_millis(10));
        scene.server.poll(Nanos(0), 1, &mut events);
        let conn = events[0].conn();
        // The server notices when it writes.
        let _taken = scene.server.write(Nanos(0), conn, StreamKind::Control, b"hello?");
        scene.server.flush(Nanos(0));
    }
    assert!(matches!(events.pop(), Some(Event::Closed { code: CloseCode::PROTOCOL_ERROR, .. })));
}

#[test]
fn a_second_stream_does_not_pass_the_limit_of_eight() {
    let scene = Scene::new();
    let connection = scene.connect();
    let opened = scene.runtime.block_on(async {
        let mut opened = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(200), connection.open_bi()).await
        {
            opened.push(stream);
        }
        opened.len()
    });
    assert_eq!(opened, 8);
}
