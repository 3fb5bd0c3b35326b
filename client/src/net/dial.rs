//! Making a connection, which each kind of transport does in its own way.

use starling_protocol::units::Nanos;
use starling_transport::conditioner::LinkProfile;
use starling_transport::memory::ClientSide;
use starling_transport::quic::{self, UdpClient};
use starling_transport::{ConnKey, Transport};

/// A transport that can connect, again and again, to the same target.
pub trait Dial: Transport {
    /// Where to, and how.
    type Target;

    /// Begins a connection; `None` when it cannot even be tried.
    fn dial(&mut self, now: Nanos, target: &Self::Target) -> Option<ConnKey>;
}

impl Dial for UdpClient {
    type Target = quic::ConnectOptions;

    fn dial(&mut self, now: Nanos, target: &Self::Target) -> Option<ConnKey> {
        self.connect(now, target).ok()
    }
}

/// A network in memory: the target is what the link does to packets.
impl Dial for ClientSide {
    type Target = LinkProfile;

    fn dial(&mut self, now: Nanos, target: &Self::Target) -> Option<ConnKey> {
        Some(self.connect(now, target))
    }
}
