//! The whole tree of settings, with what each costs and what it is when nobody says anything.

use super::namespaces::NamespaceEntry;
use super::section::section;
use super::worlds::WorldEntry;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Everything that can be configured, as written. [`Config::settings`] makes it usable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The server as a whole.
    pub server: ServerSection,
    /// Certificate and key.
    pub tls: TlsSection,
    /// Who may come in.
    pub auth: AuthSection,
    /// What one client may take.
    pub limits: LimitsSection,
    /// The internal listener.
    pub http: HttpSection,
    /// What outlives the server.
    pub data: DataSection,
    /// The log.
    pub log: LogSection,
    /// What channels are like in worlds that say nothing of their own.
    pub namespaces: Vec<NamespaceEntry>,
    /// Worlds that exist from the start.
    pub worlds: Vec<WorldEntry>,
}

/// May a Hello create a world?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorldPolicy {
    /// Yes: at most 64 at once, each removed when it was empty for 60 seconds.
    Auto,
    /// No: only the worlds listed here exist.
    Listed,
}

/// How a client shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Not at all: everyone may do everything but host. For development.
    Open,
    /// By a signed token.
    Token,
}

/// How a connection decides how fast it may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CongestionChoice {
    /// Never below 32 KiB in flight; a lost packet alone is no sign of a full queue.
    Steady,
    /// RFC 9438.
    Cubic,
}

/// Who does the network's input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IoChoice {
    /// Our own loop.
    Loop,
    /// quinn.
    Quinn,
}

section! {
    /// The server as a whole.
    pub struct ServerSection {
        /// UDP address for clients. "0.0.0.0:4433" opens it to the network.
        pub listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 4433)),
        /// Whether a Hello may create a world: "auto" or "listed".
        /// When not given: auto while auth is open, else listed.
        pub worlds: Option<WorldPolicy> = None,
        /// Ticks per second of worlds that name no rate of their own, 1 to 240.
        /// When not given: 20 for games, 2 for fleets, 10 for events.
        /// CPU time and bytes grow in proportion.
        pub tick_hz: Option<u16> = None,
        /// Threads that run worlds, and as many for parts of long ticks. When not given: as many as
        /// the machine has cores.
        pub threads: Option<u16> = None,
        /// Seconds from the first request to stop until the server closes everyone, whether or not
        /// the store has all that was accepted. Where it has, that is after one second.
        pub drain_s: u32 = 30,
        /// How connections share their path: "steady" keeps 32 KiB in flight whatever is lost, for
        /// radio links; "cubic" gives way to other traffic down to two packets.
        pub congestion: CongestionChoice = CongestionChoice::Steady,
        /// Who does the network's input and output: "loop" is ours, at about half the processor time
        /// for each datagram; "quinn" hands it to quinn's tasks.
        pub io: IoChoice = IoChoice::Loop,
        /// Threads of the loop, each with a socket of its own, 1 to 255. When not given: as many as
        /// the machine has cores, but with two cores or fewer one, which saves a hand-over between
        /// threads for everything that comes and goes, and one where sockets cannot share a port,
        /// as on Windows: there more of them do not start.
        pub shards: Option<u8> = None,
        /// Lets the system, or the network card, cut runs of packets for one client: cheaper where
        /// much goes to one client at once. Where it fails, packets leave one by one in any case.
        pub segmentation_offload: bool = true,
        /// After a drain clients spread their reconnects over this many milliseconds.
        pub drain_jitter_ms: u32 = 5_000,
    }
}

section! {
    /// Certificate and key. Without files a development certificate is made at start and its
    /// fingerprint printed, for clients to pin.
    pub struct TlsSection {
        /// PEM file with the certificate chain, leaf first.
        pub cert_file: Option<PathBuf> = None,
        /// PEM file with the private key of the leaf.
        pub key_file: Option<PathBuf> = None,
        /// Host names and addresses in a development certificate.
        pub names: Vec<String> = vec!["localhost".into(), "127.0.0.1".into(), "::1".into()],
    }
}

section! {
    /// Who may come in. Tokens are JWTs signed with Ed25519; `starling token` makes keys and
    /// tokens.
    pub struct AuthSection {
        /// "open" (everyone, everything but hosting; for development) or "token".
        pub mode: AuthMode = AuthMode::Open,
        /// PEM files with public keys whose tokens are taken. Several, so that keys can rotate.
        pub keys: Vec<PathBuf> = Vec::new(),
        /// What a token must name as its audience (`aud`).
        pub audience: String = "starling".into(),
        /// What a token must name as its issuer (`iss`).
        pub issuer: String = "starling".into(),
        /// Seconds by which clocks may differ, at most 30.
        pub leeway_s: u32 = 30,
        /// Longest life of a token in seconds, at most 3600. A client renews it in its session.
        pub life_max_s: u32 = 3_600,
    }
}

section! {
    /// What one client, and all of them, may take.
    pub struct LimitsSection {
        /// Connections at once. Each costs about 50 KiB.
        pub connections_max: u32 = 10_000,
        /// Milliseconds after the handshake within which the Hello must be complete.
        pub hello_timeout_ms: u32 = 5_000,
        /// Uplink datagrams of one client per tick, before they are dropped unread; a client
        /// that owns many entities gets one more for every 40.
        pub datagrams_per_tick: u32 = 4,
        /// Messages per second on the control stream; more wait their turn.
        pub control_per_s: u32 = 2_000,
        /// Control messages that may come at once.
        pub control_burst: u32 = 8_192,
        /// Messages per second on the events stream; more wait their turn.
        pub events_per_s: u32 = 200,
        /// Event messages that may come at once.
        pub events_burst: u32 = 1_024,
        /// Bytes of one client's messages that may wait their turn. Beyond it the client is
        /// closed with `rate_limited`.
        pub backlog_bytes: u32 = 262_144,
        /// Milliseconds of sending too much after which a client is closed with `abuse`.
        pub abuse_ms: u32 = 5_000,
        /// Bytes that may wait for one client that does not read its streams. Beyond it the
        /// client is closed with `slow_consumer`.
        pub unsent_bytes: u32 = 262_144,
    }
}

section! {
    /// The internal listener: /live, /ready, /metrics and /debug. It has no password.
    pub struct HttpSection {
        /// Whether to listen at all.
        pub enabled: bool = true,
        /// TCP address. Anything but loopback needs `public = true`.
        pub listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        /// I know that whoever reaches this address can read it.
        pub public: bool = false,
    }
}

section! {
    /// What outlives the server. Without a folder everything ends with the process: a development
    /// certificate is made anew, and clients learn of a restart by silence.
    pub struct DataSection {
        /// Folder for keys and for what is kept; made where there is none. One server at a time.
        pub dir: Option<PathBuf> = None,
        /// Folder for recordings of all that goes into each world, for `starling replay`: some hundred
        /// bytes for each client and tick, and a checksum of the whole world in every tick.
        pub record: Option<PathBuf> = None,
        /// Reads through all that is kept at start, about 3 s for each GB, and does not start on a
        /// store that is damaged. Without it damage is told where it is met, channel by channel.
        pub check: bool = true,
        /// What is to be kept waits so many milliseconds for more to share its commit, 0 to 1000,
        /// while no commit is under way. An acknowledgement takes that long and a sync of the disk.
        pub commit_wait_ms: u32 = 2,
        /// With so many changes a commit waits no longer.
        pub commit_changes: u32 = 256,
    }
}

section! {
    /// The log, on standard error.
    pub struct LogSection {
        /// Level, or levels by module: "info", "warn,starling_server=debug".
        pub filter: String = "info".into(),
    }
}
