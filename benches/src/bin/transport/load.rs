//! What is sent, and what came of it.

use rustix::time::{ClockId, clock_gettime};
use starling_benches::contest::RTT_MS_MAX;
use std::fmt;
use std::time::{Duration, Instant};

/// Bytes of each datagram's payload.
pub(crate) const PAYLOAD_BYTES: usize = 100;
/// A tick.
pub(crate) const TICK: Duration = Duration::from_millis(50);
/// What arrives is taken in no more often than this.
pub(crate) const CADENCE: Duration = Duration::from_millis(1);
/// Between the last handshake and the first second that counts.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// When clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uplink {
    Answer,
    Staggered,
    None,
}

impl Uplink {
    pub(crate) const ALL: [Self; 3] = [Self::Answer, Self::Staggered, Self::None];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Staggered => "staggered",
            Self::None => "none",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|uplink| uplink.name() == name)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) uplink: Uplink,
    /// The time that counts.
    pub(crate) measured: Duration,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, uplink, .. } = self;
        match uplink {
            Uplink::None => write!(f, "{clients} clients, 20 Hz down"),
            other => write!(f, "{clients} clients, 20 Hz down, 20 Hz up ({})", other.name()),
        }
    }
}

/// What one run measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) down: u64,
    pub(crate) up: u64,
    pub(crate) packets_out: u64,
    pub(crate) packets_in: u64,
    /// UDP payload of these.
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    /// Memory of this process for each connection, once all stand.
    pub(crate) connection_bytes: u64,
    /// Processor time of this process for each handshake.
    pub(crate) handshake: Duration,
    /// Round trips at the middle and at the 99th percentile, where they were taken.
    pub(crate) rtt_ms: Option<[f64; 2]>,
    /// Processor time of the clients for each tick, in microseconds.
    pub(crate) clients_us: Option<f64>,
}

impl Figures {
    pub(crate) fn us_per_datagram(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (self.down + self.up).max(1) as f64
    }

    /// Its round trips were those of a process that starved: it works in batches, and batches are
    /// cheap, so that the run says nothing.
    pub(crate) fn is_starved(&self) -> bool {
        self.rtt_ms.is_some_and(|[_, p99]| p99 > RTT_MS_MAX)
    }

    /// What the clients say last, on a line: round trips and their own processor time.
    pub(crate) fn take_said(&mut self, line: &str) {
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        if let [p50, p99, us] = numbers[..] {
            (self.rtt_ms, self.clients_us) = (Some([p50, p99]), Some(us));
        }
    }
}

/// The first lines of a table of [`Figures`].
pub(crate) const HEAD: &str = "\
| load | server | us per datagram | down / up, per s | packets out / in per tick | bytes of a packet out / in \
| share of a core | KiB / us per connection | RTT p50 / p99, ms | clients, us per tick | run |\n\
|---|---|---|---|---|---|---|---|---|---|---|";

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.wall.as_secs_f64();
        let per_down = |count: u64| count as f64 / self.down.max(1) as f64;
        let mean = |bytes: u64, packets: u64| bytes as f64 / packets.max(1) as f64;
        let rtt = self.rtt_ms.map_or_else(|| "-".to_owned(), |[a, b]| format!("{a:.1} / {b:.1}"));
        write!(
            f,
            "{:.2} | {:.0} / {:.0} | {:.2} / {:.2} | {:.1} / {:.1} | {:.1} % | {:.1} / {} | {rtt} | {} | {}",
            self.us_per_datagram(),
            self.down as f64 / seconds,
            self.up as f64 / seconds,
            per_down(self.packets_out),
            per_down(self.packets_in),
            mean(self.bytes_out, self.packets_out),
            mean(self.bytes_in, self.packets_in),
            self.cpu.as_secs_f64() * 100.0 / seconds,
            self.connection_bytes as f64 / 1024.0,
            self.handshake.as_micros(),
            self.clients_us.map_or_else(|| "-".to_owned(), |us| format!("{us:.1}")),
            if self.is_starved() { "starved, does not count" } else { "valid" },
        )
    }
}

/// Processor time of this process.
pub(crate) fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Resident memory of this process in bytes; zero where the system does not say.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Sleeps until the next look at the socket is due, or the next tick.
pub(crate) fn rest(looked: Instant, tick: Instant) {
    let until = (looked + CADENCE).min(tick);
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
}
