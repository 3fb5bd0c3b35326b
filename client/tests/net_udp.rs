//! The async face and the poll face over real sockets, against a small server on a thread.
#![cfg(feature = "net")]

#[path = "support/plaza.rs"]
mod plaza;
mod support;

use plaza::Plaza;
use starling_client::net::{AsyncClient, AsyncConnectError, Client, MonotonicClock, Server};
use starling_client::tls::{Fingerprint, ServerTrust};
use starling_client::{
    ClientEvent, ConnectError, ConnectOptions, Nanos, OwnState, Pose, Publication, SpawnSpec,
};
use starling_transport::quic::{QuinnServer, ServerOptions};
use starling_transport::tls::Identity;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A plaza that is stepped by a thread of its own until it is dropped.
struct Stage {
    server: Server,
    guests: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stage {
    fn new() -> Self {
        let identity = Identity::development().expect("a certificate");
        let trust = ServerTrust::Fingerprint(identity.fingerprint());
        let address = "127.0.0.1:0".parse().expect("an address");
        let options = ServerOptions::new(address, identity);
        let quinn = QuinnServer::bind(&options).expect("a port is free");
        let server = Server::new(quinn.local_addr(), trust);
        let (guests, over) = (Arc::default(), Arc::default());
        let (count, end): (Arc<AtomicUsize>, Arc<AtomicBool>) =
            (Arc::clone(&guests), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let clock = MonotonicClock::start();
            let mut plaza = Plaza::new(quinn, 7 * Nanos::SECOND);
            while !end.load(Ordering::Acquire) {
                plaza.transport.wait(Duration::from_millis(5));
                plaza.advance(clock.now());
                count.store(plaza.guests.len(), Ordering::Release);
            }
        });
        Self { server, guests, over, thread: Some(thread) }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let thread = self.thread.take().expect("dropped once");
        assert!(thread.join().is_ok(), "the server's thread ends without a panic");
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen in time"),
    }
}

#[tokio::test]
async fn an_async_client_connects_spawns_publishes_and_says_goodbye() {
    let stage = Stage::new();
    let options = ConnectOptions::new("plaza").seed(1);
    let connecting = AsyncClient::connect(&stage.server, options);
    let client = soon("the welcome", connecting).await.expect("it is welcome");
    let spec = SpawnSpec::at(Pose::at([1.0, 2.0, 0.0])).named("ann");
    let me = soon("the spawn", client.spawn(spec)).await.expect("it stands");
    assert!(matches!(client.with(|session| session.own(me)), Some(OwnState::Stands { .. })));
    let publication = Publication::to_channel("lobby", b"hello");
    soon("the receipt", client.publish(publication)).await.expect("it is accepted");
    let first = soon("an event", client.next_event()).await;
    assert!(matches!(first, Some(ClientEvent::Connected { .. })), "{first:?}");
    soon("the goodbye", client.goodbye()).await;
    soon("the leave", async {
        while stage.guests.load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_dropped_async_client_leaves() {
    let stage = Stage::new();
    let connecting = AsyncClient::connect(&stage.server, ConnectOptions::new("plaza").seed(2));
    drop(soon("the welcome", connecting).await.expect("it is welcome"));
    soon("the leave", async {
        while stage.guests.load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_with_another_certificate_is_not_believed() {
    let stage = Stage::new();
    let trust = ServerTrust::Fingerprint(Fingerprint([7; 32]));
    let stranger = Server { trust, ..stage.server.clone() };
    let connecting = AsyncClient::connect(&stranger, ConnectOptions::new("plaza").seed(3));
    let refused = soon("the refusal", connecting).await.err();
    assert!(
        matches!(refused, Some(AsyncConnectError::Connect(ConnectError::Untrusted))),
        "{refused:?}"
    );
}

#[test]
fn a_frame_loop_sees_the_walker_go_by_and_measures_the_way() {
    let stage = Stage::new();
    let clock = MonotonicClock::start();
    let options = ConnectOptions::new("plaza").seed(4);
    let mut client = Client::connect(clock.now(), &stage.server, options).expect("a socket");
    let (mut first, mut last) = (None, 0.0);
    while last - first.unwrap_or(last) < 1.0 {
        assert!(clock.now() < Nanos(PATIENCE.as_nanos() as u64), "the walker walks");
        client.wait(clock.now(), Duration::from_millis(16));
        client.advance(clock.now());
        if let Some(seen) = client.view().find("walker") {
            last = seen.pose().position[0];
            first.get_or_insert(last);
        }
    }
    let stats = client.stats();
    assert!((1..20_000).contains(&stats.rtt_us), "{stats:?}");
    assert_eq!((stats.decode_errors, stats.breaches), (0, 0));
    let quic = client.quic_stats().expect("connected");
    assert!(quic.packets_down > 5, "{quic:?}");
}
