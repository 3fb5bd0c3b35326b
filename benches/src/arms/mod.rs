//! Two other servers that do the same job, so that figures are ratios and not the machine's.
//!
//! They are part of no program that ships. Both take one moving entity per client at 20 Hz and tell
//! each client of all entities within a radius of its own; both are driven by the same swarm with
//! the same motion and judged by the same truth as Starling. What they lack is said in
//! `benches/RESULTS.md`.

pub mod competent;
mod copies;
pub mod naive;
pub mod process;
pub mod starling;

use anyhow::{Result, bail};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// Radius of every area of interest, in metres: that of the scenarios `walk` and `arena`.
pub const RADIUS_M: f32 = 50.0;
/// Ticks per second of the two other servers.
pub const TICK_HZ: u32 = 20;
/// One of their ticks.
pub const TICK: Duration = Duration::from_millis(1_000 / TICK_HZ as u64);

/// A server that can be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arm {
    /// Starling as it ships.
    Starling,
    /// quinn, rstar with one point per element, bincode structs.
    Naive,
    /// Plain UDP with AEAD, a grid, bit-packed deltas against acknowledged baselines.
    Competent,
}

impl Arm {
    /// All of them, Starling first.
    pub const ALL: [Self; 3] = [Self::Starling, Self::Naive, Self::Competent];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starling => "starling",
            Self::Naive => "naive",
            Self::Competent => "competent",
        }
    }

    /// Serves on a free port of this machine, which is told on standard output, until standard
    /// input ends. Settings are Starling's, such as `server.tick_hz=60`; the naive server knows
    /// `threads=all`, for a runtime on every processor.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn serve(self, settings: &[String]) -> Result<()> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        match self {
            Self::Starling => starling::serve(listen, settings),
            Self::Naive => naive::serve(listen, settings),
            Self::Competent => competent::serve(listen),
        }
    }
}

impl FromStr for Arm {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|arm| arm.name() == name) {
            Some(arm) => Ok(arm),
            None => bail!("`{name}` is none of starling, naive, competent"),
        }
    }
}

/// Tells whoever started this process where it listens, and where its own metrics are.
fn tell(address: SocketAddr, metrics: Option<SocketAddr>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address} {}", metrics.map_or_else(String::new, |at| at.to_string()))?;
    Ok(out.flush()?)
}

/// Returns when whoever started this process has closed its standard input, or is gone.
fn until_told() {
    let mut rest = Vec::new();
    // An input that cannot be read has ended too.
    let _ = std::io::stdin().lock().read_to_end(&mut rest);
}

/// Serves on a thread of its own until [`until_told`] returns.
fn serve_until_told(serve: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let serve = move || {
        if let Err(error) = serve() {
            // Standard error is all that a server without a log has.
            let _ = writeln!(std::io::stderr(), "{error:#}");
        }
    };
    std::thread::Builder::new().name("server".into()).spawn(serve)?;
    until_told();
    Ok(())
}
