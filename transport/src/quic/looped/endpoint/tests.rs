//! Who is over makes room for whoever comes next, though both are found in one batch of packets.

use super::*;
use crate::quic::{ClientEndpoint, ConnectOptions};
use crate::tls::{ClientTls, Identity, ServerTrust};
use std::net::SocketAddr;

const NOW: Nanos = Nanos(0);

/// One of so many shards that a second handshake has to prove its address.
struct Scene {
    server: ServerEndpoint,
    options: ConnectOptions,
}

struct Client {
    endpoint: ClientEndpoint,
    address: SocketAddr,
}

impl Client {
    /// What it has to say now.
    fn packets(&mut self) -> Vec<Vec<u8>> {
        let mut buffer = Vec::new();
        let endpoint = &mut self.endpoint;
        std::iter::from_fn(|| {
            let out = endpoint.poll_transmit(NOW, &mut buffer)?;
            Some(buffer[..out.bytes].to_vec())
        })
        .collect()
    }

    fn is_connected(&mut self) -> bool {
        matches!(self.endpoint.poll_event(), Some(Event::Connected { .. }))
    }
}

impl Scene {
    fn new() -> Self {
        let identity = Identity::development().expect("a certificate can be made");
        let trust = ServerTrust::Fingerprint(identity.fingerprint());
        let address: SocketAddr = ([10, 0, 0, 1], 4433).into();
        let mut options =
            ServerOptions { shards: u8::MAX, ..ServerOptions::new(address, identity) };
        options.segmentation_offload = false;
        let tls = ClientTls::new(&trust).expect("a pin needs no roots");
        Self {
            server: ServerEndpoint::new(&options, &ServerSecret([5; 32]), 0),
            options: ConnectOptions::new(address, tls),
        }
    }

    fn client(&self, number: u8) -> Client {
        let key = ConnKey(u64::from(number));
        let mut endpoint = ClientEndpoint::for_one(key.0);
        endpoint.connect(NOW, key, &self.options).expect("the address is right");
        Client { endpoint, address: ([10, 0, number, 2], 10_000).into() }
    }

    /// Carries packets to and fro until a client's next ones end its handshake.
    fn shake(&mut self, client: &mut Client) {
        let mut buffer = Vec::new();
        for _ in 0..10 {
            for packet in client.packets() {
                self.server.handle_packet(NOW, &Arrival::from(client.address), &packet);
            }
            while let Some(out) = self.server.poll_transmit(NOW, &mut buffer) {
                let from = Arrival::from(self.options.server);
                client.endpoint.handle_packet(NOW, &from, &buffer[..out.bytes]);
            }
            if client.is_connected() {
                return;
            }
        }
        panic!("no handshake: {:?}", self.server.stats());
    }

    /// What a client has to say is in the batch.
    fn sort(&mut self, client: &mut Client) {
        for packet in client.packets() {
            self.server.sort_packet(NOW, &Arrival::from(client.address), &packet);
        }
    }

    /// Handshakes that ended well, are under way, and have to prove their address.
    fn census(&self) -> [u64; 3] {
        let stats = self.server.stats();
        [stats.accepted, stats.handshaking, stats.retried]
    }
}

#[test]
fn a_handshake_that_ends_within_a_batch_makes_room_for_a_newcomer_in_it() {
    let mut scene = Scene::new();
    let (mut first, mut second) = (scene.client(1), scene.client(2));
    scene.shake(&mut first);
    assert_eq!(scene.census(), [0, 1, 0]);
    scene.sort(&mut first);
    scene.sort(&mut second);
    scene.server.take_in(NOW);
    assert_eq!(scene.census(), [1, 1, 0]);
}

#[test]
fn a_handshake_under_way_makes_no_room() {
    let mut scene = Scene::new();
    let (mut first, mut second) = (scene.client(1), scene.client(2));
    scene.shake(&mut first);
    scene.sort(&mut second);
    scene.sort(&mut first);
    scene.server.take_in(NOW);
    let [accepted, handshaking, retried] = scene.census();
    assert_eq!([accepted, handshaking], [1, 0]);
    assert!(retried > 0);
}

#[test]
fn handshakes_that_were_all_closed_make_room() {
    let mut scene = Scene::new();
    let (mut first, mut second) = (scene.client(1), scene.client(2));
    scene.shake(&mut first);
    scene.server.close_all(NOW, CloseCode::GOING_AWAY, "");
    scene.sort(&mut second);
    assert_eq!(scene.census(), [0, 1, 0]);
}
