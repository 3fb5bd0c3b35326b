//! Ending by signal: the first asks to drain, the second to stop at once.

use super::Running;
use std::io;
use std::time::Duration;
use tokio::runtime::Builder;

/// How often it is looked whether the server still runs.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How a server that was run until a signal came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every connection was gone in time.
    Drained,
    /// The deadline passed and the rest was closed.
    Deadline,
    /// A second signal stopped it at once.
    Forced,
    /// It ended by itself: a bug.
    Broken,
}

impl Running {
    /// Runs until SIGTERM, SIGINT or Ctrl-C; then drains, until all are gone, the deadline has
    /// passed, or a second signal comes. `greet` is called once signals are listened to, so that
    /// whoever is told that the server is up may stop it at once.
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub fn until_signal(self, greet: impl FnOnce(&Self)) -> io::Result<Ended> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(async {
            let signals = Signals::listen()?;
            greet(&self);
            self.wait(signals).await
        })?;
        tracing::info!(?ended, "stopped");
        self.stop();
        Ok(ended)
    }

    async fn wait(&self, mut signals: Signals) -> io::Result<Ended> {
        tokio::select! {
            biased;
            () = signals.next() => {}
            () = self.over() => return Ok(Ended::Broken),
        }
        self.drain();
        let drained = async {
            while !self.driving.orders.wait_drained(Duration::ZERO) {
                tokio::time::sleep(LOOK_EVERY / 10).await;
            }
        };
        tokio::select! {
            biased;
            () = signals.next() => Ok(Ended::Forced),
            () = drained => Ok(Ended::Drained),
            () = tokio::time::sleep(self.driving.drain_limit) => Ok(Ended::Deadline),
        }
    }

    /// Waits until the server ended by itself.
    async fn over(&self) {
        while !self.driving.is_over() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
