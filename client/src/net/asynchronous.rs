//! The async face: the same session, driven by a thread of its own, awaited from any runtime.

use super::client::{Client, receive};
use super::wire::Wire;
use super::{MonotonicClock, Server, ServerError};
use crate::channel::{
    EraseStatus, History, Note, PageStatus, Publication, PublishStatus, UnreadStatus,
};
use crate::error::{ConnectError, RequestError};
use crate::event::{ClientEvent, Cue};
use crate::options::ConnectOptions;
use crate::session::own::{OwnKey, OwnState, SpawnSpec};
use crate::session::{Session, SessionState};
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::{HistoryPage, Receipt, Unread};
use starling_protocol::units::{MessageId, Nanos};
use starling_transport::quic::{self, UdpClient, UdpWaker};
use starling_transport::{Event, Transport};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Notify;

/// The driver looks at its session at least so often.
const NAP_MAX: Duration = Duration::from_millis(100);
/// After the end of its session the driver stays for so long, that the last packets get out.
const LAST_PACKETS_NS: u64 = 50 * Nanos::MILLISECOND;

/// Why there is no async client.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AsyncConnectError {
    /// It could not even be tried.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// It was refused, or nobody answered.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The system gives no thread.
    #[error("cannot start the driver's thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why an entity does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// It was not asked for.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server refused it.
    #[error("the server refused the entity: {0}")]
    Refused(CloseCode),
    /// The session ended before the answer.
    #[error("the session ended before the answer")]
    Closed,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AskError {
    /// It was not asked.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server refused it.
    #[error("the server refused the question: {0}")]
    Refused(CloseCode),
    /// The session ended before the answer.
    #[error("the session ended before the answer")]
    Closed,
}

/// Why a publish was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It was not sent.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server refused it.
    #[error("the server refused the event: {code}")]
    Refused {
        /// Why.
        code: CloseCode,
        /// Milliseconds to wait before the next attempt.
        retry_after_ms: Option<u32>,
    },
    /// The session was lost for good before the answer: it appeared once or not at all.
    #[error("the session was lost before the answer: the event appeared once or not at all")]
    Uncertain,
}

/// A session that can be awaited. Cheap to share by reference; dropping it says goodbye.
///
/// ```no_run
/// use starling_client::net::{AsyncClient, Server};
/// use starling_client::{ConnectOptions, Pose, Publication, SpawnSpec, tls::ServerTrust};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::resolve("localhost:4433", ServerTrust::Insecure)?;
/// let client = AsyncClient::connect(&server, ConnectOptions::new("plaza")).await?;
/// let me = client.spawn(SpawnSpec::at(Pose::default())).await?;
/// client.with(|session| session.set_pose(me, Pose::at([3.0, 4.0, 0.0])))?;
/// client.publish(Publication::to_channel("lobby", b"hello")).await?;
/// while let Some(event) = client.next_event().await {
///     println!("{event:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncClient {
    shared: Arc<Shared>,
    waker: UdpWaker,
    clock: MonotonicClock,
}

#[derive(Debug)]
struct Shared {
    session: Mutex<Session>,
    /// Something happened to the session.
    changed: Notify,
    /// Nobody holds the client any more.
    dropped: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().expect("nobody panics while holding the session")
    }
}

/// What the driver's thread owns.
#[derive(Debug)]
pub(super) struct Driven {
    pub(super) wire: Wire,
    pub(super) transport: UdpClient,
    pub(super) target: quic::ConnectOptions,
    pub(super) events: Vec<Event>,
}

impl AsyncClient {
    /// Connects and waits for the Welcome or the refusal.
    ///
    /// # Errors
    /// [`AsyncConnectError`].
    pub async fn connect(
        server: &Server,
        options: ConnectOptions,
    ) -> Result<Self, AsyncConnectError> {
        let clock = MonotonicClock::start();
        let client = Client::connect(clock.now(), server, options)?;
        let (session, driven) = client.into_parts();
        let waker = driven.transport.waker();
        let (changed, dropped) = (Notify::new(), AtomicBool::new(false));
        let shared = Arc::new(Shared { session: Mutex::new(session), changed, dropped });
        let driver = Driver { shared: shared.clone(), driven, clock, over_at: None };
        std::thread::Builder::new().name("starling-client".into()).spawn(move || driver.run())?;
        let client = Self { shared, waker, clock };
        client.until_joined().await?;
        Ok(client)
    }

    async fn until_joined(&self) -> Result<(), ConnectError> {
        self.until(|session| match session.state() {
            SessionState::Live => Some(Ok(())),
            SessionState::Closed => Some(Err(why_closed(session))),
            _ => None,
        })
        .await
    }

    /// The next thing that happens; `None` once the session is closed and all was told.
    pub async fn next_event(&self) -> Option<ClientEvent> {
        let look = |session: &mut Session| match session.poll_event() {
            Some(event) => Some(Some(event)),
            None => session.is_closed().then_some(None),
        };
        self.until(look).await
    }

    /// The next cue that arrives in time; `None` once the session is closed.
    pub async fn next_cue(&self) -> Option<Cue> {
        let look = |session: &mut Session| match session.poll_cue() {
            Some(cue) => Some(Some(cue)),
            None => session.is_closed().then_some(None),
        };
        self.until(look).await
    }

    /// Makes an entity appear and waits until it stands.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub async fn spawn(&self, spec: SpawnSpec) -> Result<OwnKey, SpawnError> {
        let key = self.with(|session| session.spawn(spec))?;
        self.until(|session| match session.own(key) {
            Some(OwnState::Stands { .. }) => Some(Ok(key)),
            Some(_) => session.is_closed().then_some(Err(SpawnError::Closed)),
            None => Some(Err(session.refusal(key).map_or(SpawnError::Closed, SpawnError::Refused))),
        })
        .await
    }

    /// Publishes an event and waits until it is accepted.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish(&self, publication: Publication) -> Result<Receipt, PublishError> {
        let message = self.with(|session| session.publish(publication))?;
        self.until_accepted(message).await
    }

    /// Sets a note on a message or takes it back, and waits until it is accepted.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn annotate(&self, note: Note) -> Result<Receipt, PublishError> {
        let message = self.with(|session| session.annotate(note))?;
        self.until_accepted(message).await
    }

    /// How much of these channels I have not read, in their order.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn count_unread(&self, channels: &[&str]) -> Result<Vec<Unread>, AskError> {
        let request = self.with(|session| session.count_unread(channels))?;
        self.until(|session| match session.unread(request) {
            UnreadStatus::Counted(channels) => Some(Ok(channels)),
            UnreadStatus::Refused(code) => Some(Err(AskError::Refused(code))),
            UnreadStatus::Unknown => Some(Err(AskError::Closed)),
            UnreadStatus::Pending => session.is_closed().then_some(Err(AskError::Closed)),
        })
        .await
    }

    /// Erases everything that a subject ever published in this world, and waits until that is done,
    /// also on the server's disk; how many events lost their content.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn erase(&self, subject: &str) -> Result<u64, AskError> {
        let request = self.with(|session| session.erase(subject))?;
        self.until(|session| match session.erasure(request) {
            EraseStatus::Erased(events) => Some(Ok(events)),
            EraseStatus::Refused(code) => Some(Err(AskError::Refused(code))),
            EraseStatus::Unknown => Some(Err(AskError::Closed)),
            EraseStatus::Pending => session.is_closed().then_some(Err(AskError::Closed)),
        })
        .await
    }

    /// Reads a page of a channel's history.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn history(&self, channel: &str, what: History) -> Result<HistoryPage, AskError> {
        let request = self.with(|session| session.history(channel, what))?;
        self.until(|session| match session.page(request) {
            PageStatus::Read(page) => Some(Ok(*page)),
            PageStatus::Refused(code) => Some(Err(AskError::Refused(code))),
            PageStatus::Unknown => Some(Err(AskError::Closed)),
            PageStatus::Pending => session.is_closed().then_some(Err(AskError::Closed)),
        })
        .await
    }

    async fn until_accepted(&self, message: MessageId) -> Result<Receipt, PublishError> {
        self.until(|session| match session.publish_status(message) {
            PublishStatus::Accepted(receipt) => Some(Ok(receipt)),
            PublishStatus::Refused { code, retry_after_ms } => {
                Some(Err(PublishError::Refused { code, retry_after_ms }))
            }
            PublishStatus::OutcomeUnknown | PublishStatus::Unknown => {
                Some(Err(PublishError::Uncertain))
            }
            PublishStatus::Pending => session.is_closed().then_some(Err(PublishError::Uncertain)),
        })
        .await
    }

    /// Everything else that a session can do, at once. The driver waits meanwhile: be short.
    pub fn with<R>(&self, ask: impl FnOnce(&mut Session) -> R) -> R {
        let answer = ask(&mut self.shared.lock());
        self.waker.wake();
        answer
    }

    /// The present time on the session's clock.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Ends the session cleanly and waits until that is said.
    pub async fn goodbye(self) {
        self.with(|session| session.goodbye(self.clock.now()));
        self.until(|session| session.is_closed().then_some(())).await;
    }

    /// Waits until a look at the session finds what it looks for.
    async fn until<R>(&self, mut look: impl FnMut(&mut Session) -> Option<R>) -> R {
        let mut changed = std::pin::pin!(self.shared.changed.notified());
        loop {
            changed.as_mut().enable();
            let found = look(&mut self.shared.lock());
            if let Some(found) = found {
                return found;
            }
            changed.as_mut().await;
            changed.set(self.shared.changed.notified());
        }
    }
}

impl Drop for AsyncClient {
    fn drop(&mut self) {
        self.shared.dropped.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// The words that a session left when it closed.
fn why_closed(session: &mut Session) -> ConnectError {
    let events = std::iter::from_fn(|| session.poll_event());
    let errors = events.filter_map(|event| match event {
        ClientEvent::Closed { error } => Some(error),
        _ => None,
    });
    errors.last().unwrap_or(ConnectError::Unreachable)
}

struct Driver {
    shared: Arc<Shared>,
    driven: Driven,
    clock: MonotonicClock,
    /// The session is closed; the thread ends at this moment.
    over_at: Option<Nanos>,
}

impl Driver {
    fn run(mut self) {
        loop {
            let now = self.clock.now();
            let due = self.step(now);
            self.driven.transport.flush(now);
            self.shared.changed.notify_waiters();
            if self.over_at.is_some_and(|at| now >= at) {
                return;
            }
            let due = due.into_iter().chain(self.driven.transport.next_timeout()).min();
            let nap = due.map_or(NAP_MAX, |due| Duration::from_nanos(due.since(self.clock.now())));
            self.driven.transport.wait(nap.min(NAP_MAX));
        }
    }

    /// One step of the session; when the next one is due.
    fn step(&mut self, now: Nanos) -> Option<Nanos> {
        let Driven { wire, transport, target, events } = &mut self.driven;
        let mut session = self.shared.lock();
        if self.shared.dropped.load(Ordering::Acquire) {
            session.goodbye(now);
        }
        receive(now, &mut session, wire, transport, events);
        session.advance(now);
        wire.grant(now, &mut session, transport, target);
        wire.send(now, &mut session, transport);
        if session.is_closed() {
            self.over_at.get_or_insert(now + LAST_PACKETS_NS);
        }
        session.next_timeout(now)
    }
}
