//! What streams and datagrams of a connection mean: decided once, by the protocol agreed on.
//!
//! Everything that differs between Starling's own protocol and another one carried by the same
//! loop is here: what opens a stream, and what stands before a datagram. WebTransport (ALPN `h3`)
//! would be a second variant: a settings and a CONNECT exchange before the connection counts as
//! standing, and a session id before each stream and datagram. The loop itself would not change.

use quinn_proto::{Connection, ReadError, StreamId};
use starling_protocol::stream::StreamKind;

/// How a connection carries streams and datagrams.
#[derive(Debug)]
pub(in crate::quic) enum Framing {
    /// ALPN `starling/1`: a stream begins with its kind, a datagram is its payload.
    Plain {
        /// Streams that the far side opened and that have not said what they are for.
        untold: Vec<StreamId>,
    },
}

impl Framing {
    /// Starling's own.
    pub(in crate::quic) const fn plain() -> Self {
        Self::Plain { untold: Vec::new() }
    }

    /// What the side that opens a stream writes first.
    pub(in crate::quic) const fn opening(&self, kind: StreamKind) -> &'static [u8] {
        match self {
            Self::Plain { .. } => match kind {
                StreamKind::Control => &[StreamKind::Control as u8],
                StreamKind::Events => &[StreamKind::Events as u8],
                StreamKind::Bulk => &[StreamKind::Bulk as u8],
                StreamKind::Host => &[StreamKind::Host as u8],
            },
        }
    }

    /// The far side has opened a stream.
    pub(in crate::quic) fn opened(&mut self, id: StreamId) {
        match self {
            Self::Plain { untold } => untold.push(id),
        }
    }

    /// Has this stream not said what it is for?
    pub(in crate::quic) fn is_untold(&self, id: StreamId) -> bool {
        match self {
            Self::Plain { untold } => untold.contains(&id),
        }
    }

    /// Reads what a stream is for; `None` when that has not arrived.
    ///
    /// # Errors
    /// What the far side did wrong, in words.
    pub(in crate::quic) fn read_kind(
        &mut self,
        connection: &mut Connection,
        id: StreamId,
    ) -> Result<Option<StreamKind>, &'static str> {
        let Self::Plain { untold } = self;
        let Some(byte) = first_byte(connection, id)? else { return Ok(None) };
        untold.retain(|&other| other != id);
        if untold.is_empty() {
            // An idle session holds no list.
            *untold = Vec::new();
        }
        StreamKind::from_byte(byte).map(Some).ok_or("a stream of unknown kind")
    }
}

fn first_byte(connection: &mut Connection, id: StreamId) -> Result<Option<u8>, &'static str> {
    let mut way = connection.recv_stream(id);
    let Ok(mut chunks) = way.read(true) else { return Ok(None) };
    let read = chunks.next(1);
    // Whether windows have to be told is found out when packets are asked for.
    let _transmit = chunks.finalize();
    match read {
        Ok(Some(chunk)) => Ok(chunk.bytes.first().copied()),
        Ok(None) => Err("a stream without a kind"),
        Err(ReadError::Reset(_)) => Err("a stream was reset"),
        Err(ReadError::Blocked) => Ok(None),
    }
}
