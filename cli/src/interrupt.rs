//! Ctrl-C and SIGTERM, as a flag that long work looks at.

use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Builder;

/// A flag that the first interrupt sets; the second ends the program at once.
pub(crate) fn flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let runtime = Builder::new_current_thread()
        .enable_io()
        .build()
        .context("could not listen for signals")?;
    let set = Arc::clone(&flag);
    std::thread::Builder::new()
        .name("interrupt".into())
        .spawn(move || runtime.block_on(watch(&set)))
        .context("could not listen for signals")?;
    Ok(flag)
}

async fn watch(flag: &AtomicBool) {
    loop {
        if wait().await.is_err() {
            return;
        }
        if flag.swap(true, Ordering::Relaxed) {
            crate::terminal::leave(crate::exit::Exit::Usage);
        }
    }
}

#[cfg(unix)]
async fn wait() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn wait() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
