//! One UDP socket that takes in and sends many packets with one call.

use anyhow::{Context, Result};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::Duration;

/// Bytes of one receive buffer; the system may put several packets of one sender into it.
const BUFFER_BYTES: usize = 16 * 1_024;
/// Packets that one call sends.
const SEND_MAX: usize = 64;
/// What is asked of the system for its own buffers.
const SYSTEM_BUFFER_BYTES: usize = 4 * 1_024 * 1_024;

pub(super) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    buffers: Vec<u8>,
    /// Packets to be sent: to whom, and where in `arena`.
    waiting: Vec<(SocketAddrAny, Range<usize>)>,
    arena: Vec<u8>,
}

impl Socket {
    pub(super) fn bind(listen: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(listen).context("cannot listen")?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // Less is taken as well.
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), SYSTEM_BUFFER_BYTES);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), SYSTEM_BUFFER_BYTES);
        let buffers = vec![0; BUFFER_BYTES * BATCH_SIZE];
        Ok(Self { socket, state, buffers, waiting: Vec::new(), arena: Vec::new() })
    }

    pub(super) fn address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// Waits for a packet, for at most so long.
    pub(super) fn wait(&self, longest: Duration) -> Result<bool> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let longest = Timespec::try_from(longest)?;
        match poll(&mut fds, Some(&longest)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in all packets that have come.
    pub(super) fn receive(&mut self, mut take: impl FnMut(SocketAddr, &mut [u8])) -> Result<()> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        loop {
            let mut slices: Vec<_> =
                self.buffers.chunks_mut(BUFFER_BYTES).map(IoSliceMut::new).collect();
            let socket = UdpSockRef::from(&self.socket);
            let count = match self.state.recv(socket, &mut slices, &mut metas) {
                Ok(count) => count,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                // A client that is gone may say so on the way back.
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => continue,
                Err(e) => return Err(e.into()),
            };
            for (meta, buffer) in
                metas.iter().zip(self.buffers.chunks_mut(BUFFER_BYTES)).take(count)
            {
                let packets = buffer[..meta.len].chunks_mut(meta.stride.max(1));
                packets.for_each(|packet| take(meta.addr, packet));
            }
            if count < BATCH_SIZE {
                return Ok(());
            }
        }
    }

    /// Puts a packet, written by `write` to the end of what it is given, among those to be sent.
    pub(super) fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.arena.len();
        write(&mut self.arena);
        self.waiting.push((to.as_any(), start..self.arena.len()));
    }

    /// Sends what waits.
    pub(super) fn send(&mut self) -> Result<()> {
        for packets in self.waiting.chunks(SEND_MAX) {
            let slices: Vec<_> =
                packets.iter().map(|(_, at)| [IoSlice::new(&self.arena[at.clone()])]).collect();
            let mut nothing: Vec<_> =
                packets.iter().map(|_| SendAncillaryBuffer::new(&mut [])).collect();
            let headers = packets.iter().zip(&slices).zip(&mut nothing);
            let mut headers: Vec<_> = headers
                .map(|(((to, _), slice), none)| MMsgHdr::new_with_addr(to, slice, none))
                .collect();
            send_all(&self.socket, &mut headers)?;
        }
        self.waiting.clear();
        self.arena.clear();
        Ok(())
    }
}

fn send_all(socket: &UdpSocket, mut headers: &mut [MMsgHdr<'_>]) -> Result<()> {
    while !headers.is_empty() {
        match sendmmsg(socket, headers, SendFlags::empty()) {
            Ok(sent) => headers = &mut headers[sent..],
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(socket, PollFlags::OUT)];
                poll(&mut fds, None)?;
            }
            Err(Errno::INTR) => {}
            // The first of them cannot be sent, whatever the reason: it is lost.
            Err(_) => headers = &mut headers[1..],
        }
    }
    Ok(())
}
