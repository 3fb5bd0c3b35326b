//! A UDP socket as both sides use it: packets in by the batch, packets out one by one, marks and
//! local addresses with them.
//!
//! Sends are not batched: of the four microseconds that one costs, entering the kernel is a tenth
//! of one, and the rest is for each packet in any case. What the socket does not take stays with
//! the connections, but for the one packet that was already made.

use super::packet::{Arrival, Departure};
use mio::net::UdpSocket;
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use std::io::{self, IoSliceMut};

/// Bytes of the largest packet, or run of packets of one sender, that the kernel hands over.
const RUN_BYTES_MAX: usize = 65_535;
/// Distance of two buffers: off the powers of two, whose beginnings share lines of the cache.
const STRIDE_BYTES: usize = RUN_BYTES_MAX + 1 + 192;

/// Where packets arrive; sockets of one thread share it.
pub(in crate::quic) struct Inlet {
    bytes: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
    batch: usize,
}

impl std::fmt::Debug for Inlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inlet").field("batch", &self.batch).finish_non_exhaustive()
    }
}

impl Inlet {
    /// Room for so many packets, or runs of packets, at once.
    pub(in crate::quic) fn new(batch: usize) -> Self {
        let batch = batch.clamp(1, BATCH_SIZE);
        let bytes = vec![0; batch * STRIDE_BYTES].into_boxed_slice();
        Self { bytes, metas: [RecvMeta::default(); BATCH_SIZE], batch }
    }
}

/// What became of a packet that was to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::quic) enum Sent {
    /// The kernel has it.
    Taken,
    /// The socket's buffer is full: try again.
    Full,
    /// It is lost, as packets may be.
    Failed,
}

/// A socket with what the kernel can do for it.
#[derive(Debug)]
pub(in crate::quic) struct Socket {
    pub(in crate::quic) io: UdpSocket,
    state: UdpSocketState,
    /// Answers have to name the address that packets came to, for the socket has several.
    answers_from: bool,
}

impl Socket {
    pub(in crate::quic) fn new(socket: socket2::Socket) -> io::Result<Self> {
        let io = UdpSocket::from_std(socket.into());
        let state = UdpSocketState::new((&io).into())?;
        let answers_from = io.local_addr()?.ip().is_unspecified();
        Ok(Self { io, state, answers_from })
    }

    /// Reads one batch and hands each packet to `take`. Says whether there may be more.
    pub(in crate::quic) fn receive(
        &self,
        inlet: &mut Inlet,
        mut take: impl FnMut(&Arrival, &[u8]),
    ) -> bool {
        let Inlet { bytes, metas, batch } = inlet;
        let mut chunks = bytes.chunks_exact_mut(STRIDE_BYTES);
        let mut slices: [_; BATCH_SIZE] = std::array::from_fn(|_| {
            IoSliceMut::new(chunks.next().map_or(&mut [], |chunk| &mut chunk[..RUN_BYTES_MAX]))
        });
        let received = self.state.recv((&self.io).into(), &mut slices[..*batch], metas);
        // Empty, or an echo of something sent earlier, which QUIC's timers deal with.
        let Ok(count) = received else { return false };
        for (slice, meta) in slices[..count].iter().zip(metas.iter()) {
            let arrival = Arrival {
                from: meta.addr,
                to: meta.dst_ip.filter(|_| self.answers_from),
                ecn_bits: meta.ecn.map_or(0, |ecn| ecn as u8),
            };
            let run = &slice[..meta.len];
            run.chunks(meta.stride.max(1)).for_each(|packet| take(&arrival, packet));
        }
        count == *batch
    }

    /// Packets that one departure may hold. One from the moment on that the driver of a network
    /// card has failed to cut a run of them, or where the system cuts none.
    pub(in crate::quic) fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    pub(in crate::quic) fn send(&self, departure: &Departure, bytes: &[u8]) -> Sent {
        let bytes = &bytes[..departure.bytes];
        let sent = self.try_send(departure, bytes, departure.segment_bytes);
        let Some(segment) = departure.segment_bytes.filter(|_| sent == Sent::Failed) else {
            return sent;
        };
        // Cut by hand; what does not leave now is lost, as packets may be.
        bytes.chunks(segment).fold(Sent::Taken, |all, packet| {
            match self.try_send(departure, packet, None) {
                Sent::Taken => all,
                Sent::Full | Sent::Failed => Sent::Failed,
            }
        })
    }

    fn try_send(&self, departure: &Departure, bytes: &[u8], segment: Option<usize>) -> Sent {
        let transmit = Transmit {
            destination: departure.to,
            ecn: EcnCodepoint::from_bits(departure.ecn_bits),
            contents: bytes,
            segment_size: segment,
            src_ip: departure.from.filter(|_| self.answers_from),
        };
        match self.state.try_send((&self.io).into(), &transmit) {
            Ok(()) => Sent::Taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Full,
            Err(_) => Sent::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket as Plain;
    use std::time::Duration;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_run_that_the_system_does_not_cut_leaves_packet_by_packet() {
        const PACKETS: usize = 200;
        let receiver = Plain::bind("127.0.0.1:0").expect("there are ports enough");
        receiver.set_read_timeout(Some(Duration::from_secs(5))).expect("five seconds are some");
        let sender = Plain::bind("127.0.0.1:0").expect("there are ports enough");
        sender.set_nonblocking(true).expect("sockets can be so");
        let sender = Socket::new(sender.into()).expect("it is a socket");
        let bytes: Vec<u8> = (0..PACKETS).map(|n| n as u8).collect();
        let to = receiver.local_addr().expect("it is bound");
        // More packets than Linux cuts at once.
        let run = Departure { segment_bytes: Some(1), ..Departure::one(to, 0, PACKETS) };
        assert_eq!(sender.send(&run, &bytes), Sent::Taken);
        for byte in bytes {
            let mut packet = [0; 9];
            assert_eq!(receiver.recv(&mut packet).ok(), Some(1));
            assert_eq!(packet[0], byte);
        }
        assert_eq!(sender.segments_max(), 1, "and nobody tries again");
    }
}
