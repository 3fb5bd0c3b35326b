//! The internal listener: health, metrics, debugging. Bound to loopback unless told otherwise.
//!
//! | path | answer |
//! |---|---|
//! | `/live` | 200 while the process runs |
//! | `/ready` | 200 while new sessions are taken, 503 while draining |
//! | `/metrics` | Prometheus text |
//! | `/debug` | JSON: threads, worlds, sessions, queues, hash of the configuration |
//! | `POST /revoke?subject=S[&tenant=T]`, `?session=N`, `?tenant=T` | grants taken back; loopback only |
//! | `/debug/why?world=W&session=S&entity=E[&tick=N]` | JSON: why a session gets an entity, or not |

mod board;
mod query;
mod revoke;
mod why;

pub use board::{Board, Facts};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::Builder;
use tokio::sync::watch;

/// A listener that serves on a thread of its own until it is dropped.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    stop: Option<watch::Sender<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Binds the address and serves what is on the board.
    ///
    /// # Errors
    /// When the address is taken or may not be bound, or no thread can be had.
    pub fn start(address: SocketAddr, board: Arc<Board>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = watch::channel(false);
        let serve = move || {
            let served = runtime.block_on(serve(listener, board, stopped));
            if let Err(error) = served {
                tracing::error!(%error, "the internal listener broke");
            }
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(serve)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// The address that was bound.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Without its sender the server is told to stop.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the internal listener panicked");
        }
    }
}

async fn serve(
    listener: TcpListener,
    board: Arc<Board>,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    // Whoever reaches another address may read, and change nothing.
    let local = listener.local_addr()?.ip().is_loopback();
    let router = Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/debug", get(debug))
        .route("/debug/why", get(why))
        .route(
            "/revoke",
            post(move |board, headers, query| take_back(local, board, headers, query)),
        )
        .with_state(board);
    let serving = axum::serve(listener, router).into_future();
    // Stopping at once: an open connection of a scraper must not hold the process up.
    tokio::select! {
        biased;
        _ = stopped.changed() => Ok(()),
        served = serving => served,
    }
}

async fn ready(State(board): State<Arc<Board>>) -> impl IntoResponse {
    match board.is_ready() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics(State(board): State<Arc<Board>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], board.metrics())
}

async fn debug(State(board): State<Arc<Board>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], format!("{:#}\n", board.debug()))
}

async fn why(State(board): State<Arc<Board>>, RawQuery(query): RawQuery) -> impl IntoResponse {
    shown(why::answer(&board, &query.unwrap_or_default()).await)
}

async fn take_back(
    local: bool,
    State(board): State<Arc<Board>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    // A browser says where a page's request comes from; no page has business here.
    if !local || headers.contains_key(header::ORIGIN) {
        return shown(Err((403, "only by loopback, and from no web page".to_owned())));
    }
    shown(revoke::answer(&board, &query.unwrap_or_default()).await)
}

fn shown(answer: Result<serde_json::Value, (u16, String)>) -> impl IntoResponse {
    let (status, body) = match answer {
        Ok(answer) => (StatusCode::OK, answer),
        Err((status, error)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, serde_json::json!({ "error": error }))
        }
    };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body:#}\n"))
}
