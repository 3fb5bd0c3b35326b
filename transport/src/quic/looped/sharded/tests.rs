//! What passes between the front and its shards.

use super::*;
use crate::quic::{ClientOptions, ConnectOptions, UdpClient};
use crate::tls::{ClientTls, Identity, ServerTrust};
use std::net::Ipv4Addr;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// A server that nobody polls unless told, and a client that stands.
struct Scene {
    server: ShardedServer,
    client: UdpClient,
    options: ConnectOptions,
    conn: ConnKey,
    begun: Instant,
}

impl Scene {
    fn of(shards: u8) -> Self {
        let identity = Identity::development().expect("a certificate can be made");
        let trust = ServerTrust::Fingerprint(identity.fingerprint());
        let mut options = ServerOptions::new((Ipv4Addr::LOCALHOST, 0).into(), identity);
        options.shards = shards;
        let server = ShardedServer::bind(&options).expect("a free port can be had");
        let mut client = UdpClient::new(ClientOptions::default()).expect("sockets can be watched");
        let tls = ClientTls::new(&trust).expect("a pin needs no roots");
        let options = ConnectOptions::new(server.local_addr(), tls);
        let conn = client.connect(Nanos(0), &options).expect("the address is right");
        let mut scene = Self { server, client, options, conn, begun: Instant::now() };
        scene.until("it is connected", |scene| scene.waiting() == 1);
        scene
    }

    fn now(&self) -> Nanos {
        Nanos(self.begun.elapsed().as_nanos() as u64)
    }

    /// Lets the client alone go on until `done`.
    fn until(&mut self, hope: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < DEADLINE, "hoped in vain that {hope}");
            self.client.wait(Duration::from_millis(1));
            self.client.poll(self.now(), usize::MAX, &mut Vec::new());
        }
    }

    fn client_sends(&mut self, payload: &[u8]) {
        self.client.send_datagram(self.now(), self.conn, payload).expect("there is room");
        self.client.flush(self.now());
    }

    /// What the server's next poll brings.
    fn poll(&mut self, limit: usize) -> Vec<Event> {
        let mut events = Vec::new();
        self.server.poll(self.now(), limit, &mut events);
        events
    }

    /// Events that wait with the shards.
    fn waiting(&self) -> usize {
        self.server.lanes.iter().map(|lane| lock(&lane.report).events.len()).sum()
    }

    fn standings(&self) -> usize {
        self.server.lanes.iter().map(|lane| lock(&lane.report).standings.len()).sum()
    }
}

#[test]
fn what_a_poll_does_not_take_stays_with_the_shards() {
    let mut scene = Scene::of(2);
    for n in 0..8 {
        scene.client_sends(&[n]);
    }
    scene.until("all have arrived", |scene| scene.waiting() == 9);
    assert_eq!(scene.server.next_timeout(), None);
    for left in (6..9).rev() {
        assert_eq!(scene.poll(1).len(), 1);
        assert_eq!(scene.waiting(), left);
        assert_eq!(scene.server.next_timeout(), Some(Nanos(0)), "more waits");
    }
    assert_eq!(scene.poll(100).len(), 6);
    assert_eq!(scene.server.next_timeout(), None);
}

#[test]
fn a_front_that_is_late_finds_one_standing_for_each_connection() {
    let mut scene = Scene::of(2);
    for n in 2..6 {
        scene.client_sends(&[0]);
        scene.until("it has arrived", |scene| scene.waiting() == n);
    }
    assert_eq!(scene.standings(), 1);
    // Its connection is told of first, and only then where it stands.
    assert!(scene.poll(0).is_empty());
    assert_eq!(scene.standings(), 1);
    let Some(Event::Connected { conn, .. }) = scene.poll(1).pop() else {
        panic!("not yet told of")
    };
    assert_eq!(scene.standings(), 0);
    assert!(scene.server.allowance(conn).is_some_and(|allowance| allowance.datagram_bytes > 0));
}

#[test]
fn figures_are_there_without_waiting_for_a_shard() {
    let mut scene = Scene::of(2);
    scene.until("it is counted", |scene| scene.server.stats().open == 1);
    scene.server.stop(Duration::ZERO);
    // Nobody is left to ask.
    assert_eq!(scene.server.stats().accepted, 1);
}

/// A shard that is broken on purpose says so in a line: to find the names of a backtrace can take
/// longer than anything here may.
fn break_down_briefly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| match std::thread::current().name() {
            Some(name) if name.starts_with("shard") => eprintln!("{name}: {panic}"),
            _ => usual(panic),
        }));
    });
}

#[test]
fn a_shard_that_breaks_down_loses_its_connections_and_no_others_do() {
    break_down_briefly();
    let mut scene = Scene::of(2);
    let Some(Event::Connected { conn, .. }) = scene.poll(1).pop() else { panic!("not told of") };
    // Bytes that are not there.
    let mut orders = Orders::default();
    orders.list.push(Order::Datagram { conn, bytes: 0..1 });
    let broken = usize::from(ServerEndpoint::shard_of_key(conn));
    scene.server.lanes[broken].order(&mut orders);
    let mut events = Vec::new();
    scene.until("it is told of", |scene| {
        events.extend(scene.poll(10));
        !events.is_empty()
    });
    assert!(
        matches!(events[..], [Event::Closed { conn: c, code: CloseCode::LOST, .. }] if c == conn)
    );
    assert_eq!(scene.server.allowance(conn), None);
    assert_eq!(scene.server.stats().open, 0);

    scene.conn = scene.client.connect(scene.now(), &scene.options).expect("the address is right");
    scene.until("another gets in", |scene| scene.waiting() == 1);
    let Some(Event::Connected { conn, .. }) = scene.poll(1).pop() else { panic!("not told of") };
    assert_ne!(usize::from(ServerEndpoint::shard_of_key(conn)), broken);
}

#[test]
fn what_is_sent_after_a_connection_has_ended_is_counted() {
    let mut scene = Scene::of(2);
    let Some(Event::Connected { conn, .. }) = scene.poll(1).pop() else { panic!("not told of") };
    scene.client.close(scene.now(), scene.conn, CloseCode::GOODBYE, "");
    scene.until("the shard knows", |scene| scene.waiting() == 1);
    // The front does not know yet.
    assert_eq!(scene.server.send_datagram(scene.now(), conn, b"late"), Ok(()));
    scene.server.flush(scene.now());
    scene.until("it is counted", |scene| scene.server.stats().sends_late == 1);
}
