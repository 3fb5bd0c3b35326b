//! Junk that comes faster than it can be read holds nothing up that is due (P15).

#[path = "contract/stage.rs"]
#[allow(dead_code, reason = "the contract uses the rest")]
mod stage;

use stage::{QuicServer, QuicStage, Troupe, on_each_server};
use starling_protocol::units::Nanos;
use starling_transport::ConnKey;
use starling_transport::quic::ClientEndpoint;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const FLOOD: Duration = Duration::from_secs(20);
/// The deadline of a handshake, and what it takes to count and to notice on a machine as busy as this.
const IN_TIME: Duration = Duration::from_secs(8);
const THREADS: u8 = 4;
/// Sockets of one thread: the kernel spreads them over the server's.
const SOCKETS: usize = 8;

on_each_server!(a_handshake_is_given_up_in_time_under_a_flood_of_junk);

/// The first packet of a handshake.
fn initial<V: QuicServer>(stage: &QuicStage<V>) -> Vec<u8> {
    let (mut endpoint, mut packet) = (ClientEndpoint::for_many(5), Vec::new());
    endpoint.connect(Nanos(0), ConnKey(1), &stage.options).expect("the options are right");
    let out = endpoint.poll_transmit(Nanos(0), &mut packet).expect("a client speaks first");
    packet.truncate(out.bytes);
    packet
}

/// First packets of handshakes that are not what they seem: the dearest junk to sort out.
struct Flood {
    threads: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
    begun: Instant,
}

impl Flood {
    fn begin(server: SocketAddr, initial: &[u8]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let begun = Instant::now();
        let flood = |seed: u8| {
            let (over, mut packet) = (Arc::clone(&over), initial.to_vec());
            move || {
                let bind = || UdpSocket::bind("127.0.0.1:0").expect("there are ports enough");
                let sockets: Vec<_> = (0..SOCKETS).map(|_| bind()).collect();
                packet[6] = seed;
                while !over.load(Relaxed) && begun.elapsed() < FLOOD {
                    for socket in &sockets {
                        // Another connection id: its keys do not fit.
                        packet[7] = packet[7].wrapping_add(1);
                        // What the kernel has no room for is lost.
                        let _sent = socket.send_to(&packet, server);
                    }
                }
            }
        };
        let threads = (0..THREADS).map(|seed| std::thread::spawn(flood(seed))).collect();
        Self { threads, over, begun }
    }

    fn age(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn a_handshake_is_given_up_in_time_under_a_flood_of_junk<V: QuicServer>() {
    let mut troupe = Troupe::new(QuicStage::<V>::new());
    let (server, initial) = (troupe.stage.server.local_addr(), initial(&troupe.stage));
    let silent = UdpSocket::bind("127.0.0.1:0").expect("there are ports enough");
    silent.send_to(&initial, server).expect("loopback takes it");
    troupe.until("the handshake is under way", |t| t.stage.server.stats().handshaking == 1);
    let flood = Flood::begin(server, &initial);
    troupe.until("it is given up", |t| t.stage.server.stats().handshaking == 0);
    assert!(flood.age() < IN_TIME, "it was given up after {:?}", flood.age());
}
