//! The internal listener: health, metrics, debugging. Bound to loopback unless told otherwise.
//!
//! | path | answer |
//! |---|---|
//! | `/live` | 200 while the process runs |
//! | `/ready` | 200 while new sessions are taken, 503 before and while draining |
//! | `/metrics` | Prometheus text |
//! | `/debug` | JSON: threads, worlds, sessions, queues, hash of the configuration |

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What the listener shows. Every call is cheap and takes no lock for long.
pub trait Shown: Send + Sync + 'static {
    /// Are new sessions taken?
    fn ready(&self) -> bool;
    /// Prometheus text.
    fn metrics(&self) -> String;
    /// A look inside.
    fn debug(&self) -> serde_json::Value;
}

/// Binds the listener.
///
/// # Errors
/// When the address is taken or may not be bound.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` changes or its sender is gone.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    shown: Arc<dyn Shown>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let router = Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/debug", get(debug))
        .with_state(shown);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // Either way it is time to stop: told so, or nobody is left to tell.
            drop(stop.changed().await);
        })
        .await
}

async fn ready(State(shown): State<Arc<dyn Shown>>) -> impl IntoResponse {
    if shown.ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(shown): State<Arc<dyn Shown>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shown.metrics())
}

async fn debug(State(shown): State<Arc<dyn Shown>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], format!("{:#}\n", shown.debug()))
}
