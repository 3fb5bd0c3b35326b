//! What a run of the swarm is asked to do.

use super::plan::InterestSpec;
use crate::metrics::MetricsUrl;
use starling_transport::conditioner::LinkProfile;
use starling_transport::tls::ServerTrust;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Clients that one thread of the swarm drives before a second one helps.
const CLIENTS_PER_THREAD: usize = 500;

/// How many threads drive so many clients well on this machine. All clients answer a tick at once,
/// and so does the server: where there are several cores one is left to it, for else each would
/// wait for the other in every tick.
#[must_use]
pub fn threads(clients: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    clients.div_ceil(CLIENTS_PER_THREAD).clamp(1, cores.saturating_sub(1).max(1))
}

/// What the clients do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// A built-in scenario by name, or a `FILE.toml`.
    Scenario(String),
    /// Recorded movement.
    Traces(Vec<PathBuf>),
}

/// What a run of the swarm is asked to do. The fields are the flags of `starling swarm`.
#[derive(Clone, Debug)]
pub struct SwarmOptions {
    /// Where the server is.
    pub server: SocketAddr,
    /// How it is believed.
    pub trust: ServerTrust,
    /// Access token; empty in open mode.
    pub token: String,
    /// The world to enter; named after the scenario, or `trace`, where absent.
    pub world: Option<String>,
    /// Where the server's metrics are.
    pub metrics: Option<MetricsUrl>,
    /// What the clients do.
    pub work: Work,
    /// Clients of a scenario.
    pub clients: u32,
    /// Length of the measured time; 30 s, or the rest of the traces, where absent.
    pub measured: Option<Duration>,
    /// Seed of all motion, events and faults.
    pub seed: u64,
    /// Entities that a client shall see on average.
    pub visible: f64,
    /// Events per second and client.
    pub events_per_s: f64,
    /// Cues per second and client; the scenario's own rate where absent, none for traces.
    pub cues_per_s: Option<f64>,
    /// Trace seconds per second.
    pub speed: f64,
    /// Connections that traced entities are spread over; one each where absent.
    pub sessions: Option<u32>,
    /// Sessions that only look.
    pub viewers: u32,
    /// What viewers look at; with no viewers, what everybody looks at.
    pub interests: Vec<InterestSpec>,
    /// What the link does to packets, one way, each way.
    pub link: LinkProfile,
    /// The link as it was asked for, for the report.
    pub link_name: Option<String>,
    /// Threads that drive clients.
    pub threads: usize,
    /// Commit that the program was built from, for the report.
    pub commit: Option<String>,
}

impl SwarmOptions {
    /// A hundred players of the arena on a server of this machine, for 30 s.
    #[must_use]
    pub fn new(server: SocketAddr, trust: ServerTrust) -> Self {
        Self {
            server,
            trust,
            token: String::new(),
            world: None,
            metrics: None,
            work: Work::Scenario("arena".to_owned()),
            clients: 100,
            measured: None,
            seed: 1,
            visible: 50.0,
            events_per_s: 0.1,
            cues_per_s: None,
            speed: 1.0,
            sessions: None,
            viewers: 0,
            interests: Vec::new(),
            link: LinkProfile::default(),
            link_name: None,
            threads: 1,
            commit: None,
        }
    }

    /// The link's name for the report, if it has faults.
    #[must_use]
    pub fn faulted_link(&self) -> Option<String> {
        let unnamed = || format!("{:?}", self.link);
        (!self.link.is_none()).then(|| self.link_name.clone().unwrap_or_else(unnamed))
    }
}
