//! What a connection sends: one task for its datagrams and its end, one for each stream.

use super::super::ending;
use super::accept::Shared;
use super::flow::Flow;
use super::inbox::Note;
use crate::ConnKey;
use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::task::JoinSet;

/// Bytes taken from a stream at once.
const CHUNK_BYTES_MAX: usize = 16 * 1024;

/// Reads a connection until it ends, and says so last.
pub(super) async fn run(key: ConnKey, connection: Connection, shared: &Arc<Shared>) {
    let flow = Arc::new(Flow::default());
    let up = Note::Up { key, connection: connection.clone(), flow: flow.clone() };
    shared.inbox.push(up);
    let reader =
        Arc::new(Reader { key, connection, flow, shared: shared.clone(), kinds: AtomicU8::new(0) });
    let mut streams = JoinSet::new();
    let error = reader.read(&mut streams).await;
    // Streams may still hand over what arrived before the end.
    reader.flow.end();
    while streams.join_next().await.is_some() {}
    reader.finish(&error);
}

struct Reader {
    key: ConnKey,
    connection: Connection,
    flow: Arc<Flow>,
    shared: Arc<Shared>,
    /// Bit n is set once a stream of kind n was opened.
    kinds: AtomicU8,
}

impl Reader {
    async fn read(self: &Arc<Self>, streams: &mut JoinSet<()>) -> ConnectionError {
        loop {
            tokio::select! {
                datagram = self.connection.read_datagram() => match datagram {
                    Ok(first) => self.take_datagrams(first),
                    Err(error) => return error,
                },
                stream = self.connection.accept_bi() => match stream {
                    Ok((send, recv)) => {
                        streams.spawn(self.clone().read_stream(send, recv));
                    }
                    Err(error) => return error,
                },
            }
        }
    }

    /// Takes all datagrams that are there, under one lock and one wake-up.
    fn take_datagrams(&self, first: Bytes) {
        let at = Instant::now();
        let more = std::iter::from_fn(|| ready(self.connection.read_datagram())?.ok());
        let mut received = 0;
        let admitted = |payload: &Bytes| self.flow.admit_datagram(payload.len());
        let notes: Vec<_> = std::iter::once(first)
            .chain(more)
            .inspect(|_| received += 1)
            .filter(admitted)
            .map(|payload| Note::Datagram { key: self.key, payload, at })
            .collect();
        let counters = &self.shared.counters;
        counters.datagrams_in.fetch_add(received, Relaxed);
        counters.datagrams_dropped.fetch_add(received - notes.len() as u64, Relaxed);
        self.shared.inbox.extend(notes);
    }

    async fn read_stream(self: Arc<Self>, send: SendStream, mut recv: RecvStream) {
        match self.read_kind(&mut recv).await {
            Ok(Some(stream)) => {
                self.flow.offer_way(stream, send);
                self.shared.inbox.push(Note::Opened { key: self.key, stream });
                self.read_chunks(stream, recv).await;
            }
            Ok(None) => {}
            Err(why) => self.give_up(why),
        }
    }

    /// The first byte of a stream is its kind; a kind is opened once.
    async fn read_kind(&self, recv: &mut RecvStream) -> Result<Option<StreamKind>, &'static str> {
        let mut byte = [0];
        match recv.read(&mut byte).await {
            Ok(Some(1)) => {}
            Ok(_) => return Err("a stream without a kind"),
            Err(ReadError::Reset(_)) => return Err("a stream was reset"),
            Err(_) => return Ok(None),
        }
        let kind = StreamKind::from_byte(byte[0]).ok_or("a stream of unknown kind")?;
        let bit = 1 << kind as u8;
        let before = self.kinds.fetch_or(bit, Relaxed);
        if before & bit == 0 { Ok(Some(kind)) } else { Err("a second stream of one kind") }
    }

    async fn read_chunks(&self, stream: StreamKind, mut recv: RecvStream) {
        loop {
            self.flow.stream_room().await;
            match recv.read_chunk(CHUNK_BYTES_MAX, true).await {
                Ok(Some(chunk)) => self.take_chunk(stream, chunk.bytes),
                Err(ReadError::Reset(_)) => return self.give_up("a stream was reset"),
                // Finished by a client that is leaving, or ended with its connection.
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn take_chunk(&self, stream: StreamKind, bytes: Bytes) {
        self.flow.admit_stream(bytes.len());
        let at = Instant::now();
        self.shared.inbox.push(Note::Stream { key: self.key, stream, bytes, at });
    }

    fn give_up(&self, why: &'static str) {
        self.flow.give_up(&self.connection, &self.shared.counters, why);
    }

    fn finish(&self, error: &ConnectionError) {
        self.flow.retired.store(true, Relaxed);
        self.shared.counters.retire(&self.connection.stats());
        let (code, reason) = match self.flow.verdict() {
            Some(why) => (CloseCode::PROTOCOL_ERROR, why.to_owned()),
            None => ending::explain(error),
        };
        self.shared.inbox.push(Note::Closed { key: self.key, code, reason });
    }
}

/// What a future yields at once, if it does.
fn ready<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
