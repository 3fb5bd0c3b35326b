//! The network under the sessions: a transport that can dial and wait.

use anyhow::{Context, Result};
use starling_protocol::units::Nanos;
use starling_transport::conditioner::LinkProfile;
use starling_transport::memory::ClientSide;
use starling_transport::quic::{ClientOptions, ConnectOptions, Sockets, UdpClient};
use starling_transport::tls::ClientTls;
use starling_transport::{ConnKey, Transport};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// A transport that the swarm can run on.
pub trait Wire: Transport {
    /// Begins a connection to the server.
    ///
    /// # Errors
    /// It cannot even be tried.
    fn dial(&mut self, now: Nanos) -> Result<ConnKey>;

    /// Sleeps until something arrives or this long is over.
    fn sleep(&mut self, longest: Duration);

    /// Does something wait to be taken in?
    fn is_pressed(&mut self) -> bool;

    /// Bytes of UDP payload received and sent so far.
    fn bytes(&self) -> (u64, u64);

    /// UDP datagrams received and sent so far.
    fn packets(&self) -> (u64, u64);

    /// Packets that the system dropped at this side's sockets so far, as far as it tells.
    fn socket_drops(&mut self, now: Nanos) -> u64;
}

/// QUIC on UDP sockets, by default one per connection.
pub struct QuicWire {
    client: UdpClient,
    options: ConnectOptions,
    ports: BTreeSet<u16>,
    drops: u64,
    looked: Option<Nanos>,
}

/// The system's list of sockets is read this often.
const LOOK_NS: u64 = Nanos::SECOND;

impl QuicWire {
    /// Connections to a server over a link.
    ///
    /// # Errors
    /// The system's poller cannot be had.
    pub fn new(server: SocketAddr, tls: ClientTls, link: &LinkProfile, seed: u64) -> Result<Self> {
        Self::with_sockets(Sockets::PerConnection, server, tls, link, seed)
    }

    /// The same on sockets of another kind: one for all, where there are more connections than a
    /// machine has ports.
    ///
    /// # Errors
    /// The system's poller cannot be had.
    pub fn with_sockets(
        sockets: Sockets,
        server: SocketAddr,
        tls: ClientTls,
        link: &LinkProfile,
        seed: u64,
    ) -> Result<Self> {
        let client = UdpClient::new(ClientOptions { sockets, seed, ..ClientOptions::default() })?;
        let options = ConnectOptions::new(server, tls).with_link(link.clone());
        Ok(Self { client, options, ports: BTreeSet::new(), drops: 0, looked: None })
    }
}

impl Wire for QuicWire {
    fn dial(&mut self, now: Nanos) -> Result<ConnKey> {
        let conn = self.client.connect(now, &self.options).context("cannot connect")?;
        let port = self.client.local_addr(conn).map(|address| address.port());
        self.ports.extend(port);
        Ok(conn)
    }

    fn sleep(&mut self, longest: Duration) {
        self.client.wait(longest);
    }

    fn is_pressed(&mut self) -> bool {
        self.client.wait(Duration::ZERO);
        // Zero is what has come and was not looked at; timers have a time.
        self.client.next_timeout() == Some(Nanos(0))
    }

    fn bytes(&self) -> (u64, u64) {
        let sum = self.client.stats().sum;
        (sum.bytes_down, sum.bytes_up)
    }

    fn packets(&self) -> (u64, u64) {
        let sum = self.client.stats().sum;
        (sum.packets_down, sum.packets_up)
    }

    fn socket_drops(&mut self, now: Nanos) -> u64 {
        if self.looked.is_none_or(|then| now.since(then) >= LOOK_NS) {
            self.looked = Some(now);
            let lists = ["/proc/net/udp", "/proc/net/udp6"];
            let read = lists.iter().filter_map(|list| std::fs::read_to_string(list).ok());
            let dropped = read.map(|list| drops(&list, &self.ports)).sum::<u64>();
            // A socket that is closed takes its count along.
            self.drops = self.drops.max(dropped);
        }
        self.drops + self.client.socket_full()
    }
}

/// Sum of the last column for sockets with one of these local ports.
fn drops(list: &str, ports: &BTreeSet<u16>) -> u64 {
    let of_line = |line: &str| {
        let mut columns = line.split_whitespace();
        let local = columns.nth(1)?;
        let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
        let dropped: u64 = columns.next_back()?.parse().ok()?;
        ports.contains(&port).then_some(dropped)
    };
    list.lines().skip(1).filter_map(of_line).sum()
}

impl Transport for QuicWire {
    fn poll(
        &mut self,
        now: Nanos,
        limit: usize,
        events: &mut Vec<starling_transport::Event>,
    ) -> usize {
        self.client.poll(now, limit, events)
    }

    fn send_datagram(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        payload: &[u8],
    ) -> Result<(), starling_transport::SendError> {
        self.client.send_datagram(now, conn, payload)
    }

    fn write(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        stream: starling_transport::StreamKind,
        bytes: &[u8],
    ) -> Result<usize, starling_transport::SendError> {
        self.client.write(now, conn, stream, bytes)
    }

    fn flush(&mut self, now: Nanos) {
        self.client.flush(now);
    }

    fn allowance(&self, conn: ConnKey) -> Option<starling_transport::Allowance> {
        self.client.allowance(conn)
    }

    fn close(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        code: starling_protocol::close::CloseCode,
        reason: &str,
    ) {
        self.client.close(now, conn, code, reason);
    }

    fn next_timeout(&self) -> Option<Nanos> {
        self.client.next_timeout()
    }
}

/// The network in memory, for simulation: perfect links, no sleep, bytes not counted.
impl Wire for ClientSide {
    fn dial(&mut self, now: Nanos) -> Result<ConnKey> {
        Ok(self.connect(now, &LinkProfile::default()))
    }

    fn sleep(&mut self, _: Duration) {}

    fn is_pressed(&mut self) -> bool {
        false
    }

    fn bytes(&self) -> (u64, u64) {
        (0, 0)
    }

    fn packets(&self) -> (u64, u64) {
        (0, 0)
    }

    fn socket_drops(&mut self, _: Nanos) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
        2188: 0100007F:8235 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21846 2 0000000000000000 12\n\
        2189: 0100007F:8236 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21847 2 0000000000000000 30\n";

    #[test]
    fn drops_of_own_sockets_only_are_counted() {
        assert_eq!(drops(LIST, &BTreeSet::from([0x8235])), 12);
        assert_eq!(drops(LIST, &BTreeSet::from([0x8235, 0x8236])), 42);
        assert_eq!(drops(LIST, &BTreeSet::new()), 0);
    }
}
