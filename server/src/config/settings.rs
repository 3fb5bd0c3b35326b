//! The configuration, validated once: what the rest of the server works with.

use super::error::Fault;
use super::keeping::Keeping;
use super::namespaces;
use super::owner::{meets, owner};
use super::tree::{AuthMode, Config, CongestionChoice, IoChoice, WorldPolicy};
use super::worlds::{WorldEntry, parse_rings};
use starling_protocol::limits::{
    SESSIONS_MAX, TICK_HZ_MAX, WORLD_ENTITIES_MAX, WORLD_NAME_BYTES_MAX, ZONE_ENTITIES_MAX,
};
use starling_protocol::space::Space;
use starling_protocol::units::{Nanos, TickRate};
use starling_transport::quic::{Congestion, Io};
use starling_world::config::{Profile, WorldConfig};
use starling_world::namespace::Namespaces;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A configuration that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// UDP address for clients.
    pub listen: SocketAddr,
    /// May a Hello create a world?
    pub worlds: WorldPolicy,
    /// Worlds that exist from the start.
    pub listed: Vec<WorldConfig>,
    /// What worlds made by a Hello look like.
    pub templates: Templates,
    /// Threads that run worlds; `None` for one per core.
    pub threads: Option<usize>,
    /// How connections share their path.
    pub congestion: Congestion,
    /// Who does the network's input and output.
    pub io: Io,
    /// Threads of our own loop; `None` to go by the machine.
    pub shards: Option<u8>,
    /// May the system cut large sends into packets?
    pub segmentation_offload: bool,
    /// Milliseconds of a drain.
    pub drain_ms: u32,
    /// Milliseconds over which clients spread their reconnects.
    pub drain_jitter_ms: u32,
    /// Certificate and key.
    pub certificate: Certificate,
    /// Who may come in.
    pub auth: AuthSettings,
    /// What one client may take.
    pub limits: Limits,
    /// The internal listener, where there is one.
    pub http: Option<HttpSettings>,
    /// The folder of what outlives the server, where there is one.
    pub data: Option<PathBuf>,
    /// The folder of recordings, where there is one.
    pub record: Option<PathBuf>,
    /// How what outlives the server is written there.
    pub keeping: Keeping,
    /// Filter of the log.
    pub log_filter: String,
}

/// What worlds look like that name nothing of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Templates {
    /// Ticks per second, where the configuration names a rate for all.
    pub tick_rate: Option<TickRate>,
    /// What channels are like, where the configuration says it for all.
    pub namespaces: Namespaces,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Made at start for these names.
    Development(Vec<String>),
    /// From PEM files.
    Files {
        /// The chain.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
}

/// Who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthSettings {
    /// Everyone.
    Open,
    /// Who shows a token.
    Token(TokenSettings),
}

/// What makes a token good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// PEM files of public keys.
    pub keys: Vec<PathBuf>,
    /// Required `aud`.
    pub audience: String,
    /// Required `iss`.
    pub issuer: String,
    /// Seconds by which clocks may differ.
    pub leeway_s: u64,
    /// Longest life in seconds.
    pub life_max_s: u64,
}

/// What one client, and all of them, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections_max: usize,
    /// Nanoseconds until the Hello must be complete.
    pub hello_timeout_ns: u64,
    /// Uplink datagrams of one client per tick.
    pub datagrams_per_tick: u32,
    /// Control messages per second.
    pub control_per_s: u32,
    /// Control messages at once.
    pub control_burst: u32,
    /// Event messages per second.
    pub events_per_s: u32,
    /// Event messages at once.
    pub events_burst: u32,
    /// Bytes of messages that may wait their turn.
    pub backlog_bytes: usize,
    /// Nanoseconds of sending too much until a client is closed.
    pub abuse_ns: u64,
    /// Bytes that may wait for one client to read.
    pub unsent_bytes: usize,
}

/// The internal listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Its address.
    pub listen: SocketAddr,
}

impl From<IoChoice> for Io {
    fn from(choice: IoChoice) -> Self {
        match choice {
            IoChoice::Loop => Self::Loop,
            IoChoice::Quinn => Self::Quinn,
        }
    }
}

impl From<CongestionChoice> for Congestion {
    fn from(choice: CongestionChoice) -> Self {
        match choice {
            CongestionChoice::Steady => Self::Steady,
            CongestionChoice::Cubic => Self::Cubic,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Config::default().limits.validate().expect("the defaults hold")
    }
}

impl Config {
    /// Checks every value and gives them their types.
    ///
    /// # Errors
    /// [`super::ConfigError`] with the first field that does not hold.
    pub fn settings(&self) -> Result<Settings, super::ConfigError> {
        self.validate().map_err(|fault| super::ConfigError {
            origin: super::Origin::Program,
            field: Some(fault.field),
            why: fault.why,
        })
    }

    pub(super) fn validate(&self) -> Result<Settings, Fault> {
        let tick_rate = rate("server.tick_hz", self.server.tick_hz)?;
        let namespaces = namespaces::namespaces(&self.namespaces, &str::to_owned)?;
        let templates = Templates { tick_rate, namespaces: namespaces.unwrap_or_default() };
        let by_auth = match self.auth.mode {
            AuthMode::Open => WorldPolicy::Auto,
            AuthMode::Token => WorldPolicy::Listed,
        };
        at_least("server.threads", self.server.threads.unwrap_or(1).into(), 1)?;
        at_least("server.shards", self.server.shards.unwrap_or(1).into(), 1)?;
        at_least("server.drain_s", self.server.drain_s.into(), 1)?;
        at_most("server.drain_s", self.server.drain_s.into(), 3_600)?;
        Ok(Settings {
            listen: self.server.listen,
            worlds: self.server.worlds.unwrap_or(by_auth),
            listed: self.listed(&templates)?,
            templates,
            threads: self.server.threads.map(usize::from),
            congestion: self.server.congestion.into(),
            io: self.server.io.into(),
            shards: self.server.shards,
            segmentation_offload: self.server.segmentation_offload,
            drain_ms: self.server.drain_s * 1_000,
            drain_jitter_ms: self.server.drain_jitter_ms,
            certificate: self.certificate()?,
            auth: self.auth()?,
            limits: self.limits.validate()?,
            http: self.http()?,
            data: self.data.dir.clone(),
            record: self.data.record.clone(),
            keeping: self.data.keeping()?,
            log_filter: self.log.filter.clone(),
        })
    }

    fn listed(&self, templates: &Templates) -> Result<Vec<WorldConfig>, Fault> {
        let mut worlds: Vec<WorldConfig> = Vec::with_capacity(self.worlds.len());
        for (number, entry) in self.worlds.iter().enumerate() {
            let at = |key: &str| format!("worlds.{number}.{key}");
            let clash = |world: &WorldConfig| {
                world.name == entry.name && owner(entry).is_ok_and(|own| meets(&own, &world.owner))
            };
            if worlds.iter().any(clash) {
                return Err(Fault::new(at("name"), format!("`{}` is listed twice", entry.name)));
            }
            worlds.push(templates.listed(entry, &at)?);
        }
        Ok(worlds)
    }

    fn certificate(&self) -> Result<Certificate, Fault> {
        match (&self.tls.cert_file, &self.tls.key_file) {
            (Some(cert), Some(key)) => {
                Ok(Certificate::Files { cert: cert.clone(), key: key.clone() })
            }
            (None, None) if self.tls.names.is_empty() => {
                Err(Fault::new("tls.names", "a development certificate needs a name"))
            }
            (None, None) => Ok(Certificate::Development(self.tls.names.clone())),
            (Some(_), None) => Err(Fault::new("tls.cert_file", "needs tls.key_file beside it")),
            (None, Some(_)) => Err(Fault::new("tls.key_file", "needs tls.cert_file beside it")),
        }
    }

    fn auth(&self) -> Result<AuthSettings, Fault> {
        let auth = &self.auth;
        at_most("auth.leeway_s", auth.leeway_s.into(), 30)?;
        at_most("auth.life_max_s", auth.life_max_s.into(), 3_600)?;
        if auth.mode == AuthMode::Open {
            return Ok(AuthSettings::Open);
        }
        at_least("auth.life_max_s", auth.life_max_s.into(), 1)?;
        for (field, value) in [("auth.audience", &auth.audience), ("auth.issuer", &auth.issuer)] {
            at_least(field, value.len() as u64, 1)?;
        }
        if auth.keys.is_empty() {
            return Err(Fault::new("auth.keys", "tokens need at least one public key"));
        }
        Ok(AuthSettings::Token(TokenSettings {
            keys: auth.keys.clone(),
            audience: auth.audience.clone(),
            issuer: auth.issuer.clone(),
            leeway_s: auth.leeway_s.into(),
            life_max_s: auth.life_max_s.into(),
        }))
    }

    fn http(&self) -> Result<Option<HttpSettings>, Fault> {
        let http = &self.http;
        if http.enabled && !http.listen.ip().is_loopback() && !http.public {
            let why = "is not loopback; whoever reaches it can read it: set http.public = true";
            return Err(Fault::new("http.listen", why));
        }
        Ok(http.enabled.then_some(HttpSettings { listen: http.listen }))
    }
}

impl Templates {
    /// A world that a Hello creates: games where space is metric, fleets on the globe.
    #[must_use]
    pub fn created(&self, name: &str, space: Space) -> WorldConfig {
        let mut config = WorldConfig::new(name, space, usual(space));
        config.tick_rate = self.tick_rate.unwrap_or(config.tick_rate);
        config.namespaces = self.namespaces.clone();
        config
    }

    fn listed(
        &self,
        entry: &WorldEntry,
        at: &dyn Fn(&str) -> String,
    ) -> Result<WorldConfig, Fault> {
        check_name(&entry.name).map_err(|why| Fault::new(at("name"), why))?;
        let space = entry.space.into();
        let owner = owner(entry).map_err(|why| Fault::new(at("tenant"), why))?;
        let profile = entry.profile.map_or_else(|| usual(space), Into::into);
        let mut config = WorldConfig::new(&entry.name, space, profile);
        config.owner = owner;
        let tick_rate = rate(&at("tick_hz"), entry.tick_hz)?;
        config.tick_rate = tick_rate.or(self.tick_rate).unwrap_or(config.tick_rate);
        config.authority = entry.authority.map_or(config.authority, Into::into);
        config.namespaces = self.namespaces(entry, at)?;
        config.schema = entry.schema().map_err(|why| Fault::new(at("kinds"), why))?;
        config.presence_ms = seconds(&at("presence_s"), entry.presence_s, config.presence_ms)?;
        config.park_ms = seconds(&at("park_s"), entry.park_s, config.park_ms)?;
        if let Some(rings) = &entry.rings {
            config.rings = parse_rings(rings).map_err(|why| Fault::new(at("rings"), why))?;
        }
        config.speed_max_mps = positive(&at("speed_max_mps"), entry.speed_max_mps)?;
        config.teleport_max_m = positive(&at("teleport_max_m"), entry.teleport_max_m)?;
        config.sessions_max = count(&at("sessions_max"), entry.sessions_max, SESSIONS_MAX)?;
        let entities_max = entry.entities_max.or(Some(ZONE_ENTITIES_MAX as u32));
        config.entities_max = count(&at("entities_max"), entities_max, WORLD_ENTITIES_MAX)?;
        Ok(config)
    }
}

impl Templates {
    fn namespaces(
        &self,
        entry: &WorldEntry,
        at: &dyn Fn(&str) -> String,
    ) -> Result<Namespaces, Fault> {
        match (namespaces::namespaces(&entry.namespaces, at)?, entry.durability) {
            (Some(_), Some(_)) => {
                Err(Fault::new(at("durability"), "each of the namespaces says its own"))
            }
            (Some(own), None) => Ok(own),
            (None, Some(durability)) => Ok(namespaces::plain(durability.into())),
            (None, None) => Ok(self.namespaces.clone()),
        }
    }
}

impl super::LimitsSection {
    fn validate(&self) -> Result<Limits, Fault> {
        let ms = |value: u32| u64::from(value) * Nanos::MILLISECOND;
        for (field, value, least) in [
            ("limits.connections_max", self.connections_max, 1),
            ("limits.hello_timeout_ms", self.hello_timeout_ms, 100),
            ("limits.datagrams_per_tick", self.datagrams_per_tick, 1),
            ("limits.control_per_s", self.control_per_s, 1),
            ("limits.control_burst", self.control_burst, 1),
            ("limits.events_per_s", self.events_per_s, 1),
            ("limits.events_burst", self.events_burst, 1),
            ("limits.backlog_bytes", self.backlog_bytes, 65_536),
            ("limits.abuse_ms", self.abuse_ms, 1),
            ("limits.unsent_bytes", self.unsent_bytes, 65_536),
        ] {
            at_least(field, value.into(), least)?;
        }
        at_most("limits.connections_max", self.connections_max.into(), 1_000_000)?;
        Ok(Limits {
            connections_max: self.connections_max as usize,
            hello_timeout_ns: ms(self.hello_timeout_ms),
            datagrams_per_tick: self.datagrams_per_tick,
            control_per_s: self.control_per_s,
            control_burst: self.control_burst,
            events_per_s: self.events_per_s,
            events_burst: self.events_burst,
            backlog_bytes: self.backlog_bytes as usize,
            abuse_ns: ms(self.abuse_ms),
            unsent_bytes: self.unsent_bytes as usize,
        })
    }
}

/// Is this a name that a world may have?
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=WORLD_NAME_BYTES_MAX).contains(&name.len());
    if !fits || name.chars().any(|c| c.is_control() || c.is_whitespace() || c == '@') {
        let most = WORLD_NAME_BYTES_MAX;
        return Err(format!("a name has 1 to {most} bytes, no white space and no `@`"));
    }
    Ok(())
}

fn usual(space: Space) -> Profile {
    match space {
        Space::Metric => Profile::Game,
        Space::Geodetic => Profile::Fleet,
    }
}

fn rate(field: &str, hz: Option<u16>) -> Result<Option<TickRate>, Fault> {
    let wrong = || Fault::new(field, format!("must be 1 to {TICK_HZ_MAX}"));
    hz.map(|hz| TickRate::new(hz).ok_or_else(wrong)).transpose()
}

fn seconds(field: &str, seconds: Option<u32>, default_ms: u32) -> Result<u32, Fault> {
    let Some(seconds) = seconds else { return Ok(default_ms) };
    at_least(field, seconds.into(), 1)?;
    at_most(field, seconds.into(), 7 * 86_400)?;
    Ok(seconds * 1_000)
}

fn positive(field: &str, value: Option<f64>) -> Result<Option<f64>, Fault> {
    match value {
        Some(value) if !(value.is_finite() && value > 0.0) => {
            Err(Fault::new(field, "must be greater than 0; leave it out for no limit"))
        }
        value => Ok(value),
    }
}

fn count(field: &str, value: Option<u32>, most: usize) -> Result<usize, Fault> {
    let Some(value) = value else { return Ok(most) };
    at_least(field, value.into(), 1)?;
    at_most(field, value.into(), most as u64)?;
    Ok(value as usize)
}

pub(super) fn at_least(field: &str, value: u64, least: u64) -> Result<(), Fault> {
    if value >= least {
        Ok(())
    } else {
        Err(Fault::new(field, format!("must be at least {least}")))
    }
}

pub(super) fn at_most(field: &str, value: u64, most: u64) -> Result<(), Fault> {
    if value <= most { Ok(()) } else { Err(Fault::new(field, format!("must be at most {most}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.validate().expect_err("does not hold").field
    }

    #[test]
    fn the_defaults_hold() {
        let settings = Config::default().settings().expect("the defaults hold");
        assert_eq!(settings.worlds, WorldPolicy::Auto);
        assert_eq!(settings.http.map(|http| http.listen.port()), Some(8080));
    }

    #[test]
    fn what_does_not_hold_is_named() {
        assert_eq!(fault(|c| c.auth.mode = AuthMode::Token), "auth.keys");
        assert_eq!(fault(|c| c.auth.leeway_s = 31), "auth.leeway_s");
        assert_eq!(fault(|c| c.auth.life_max_s = 3_601), "auth.life_max_s");
        assert_eq!(fault(|c| c.tls.cert_file = Some("a".into())), "tls.cert_file");
        assert_eq!(fault(|c| c.tls.key_file = Some("a".into())), "tls.key_file");
        assert_eq!(fault(|c| c.server.tick_hz = Some(241)), "server.tick_hz");
        assert_eq!(fault(|c| c.limits.unsent_bytes = 9), "limits.unsent_bytes");
    }

    #[test]
    fn a_public_internal_listener_needs_the_word_of_the_operator() {
        let public: SocketAddr = "0.0.0.0:8080".parse().expect("an address");
        assert_eq!(fault(|c| c.http.listen = public), "http.listen");
        let mut config = Config::default();
        config.http.listen = public;
        config.http.public = true;
        assert!(config.validate().is_ok());
    }

    #[test]
    fn worlds_are_checked_one_by_one() {
        let world = |text: &str| WorldEntry::parse(text).expect("well formed");
        assert_eq!(fault(|c| c.worlds.push(world("a b=metric"))), "worlds.0.name");
        assert_eq!(fault(|c| c.worlds.push(world("a=metric,tick-hz=0"))), "worlds.0.tick_hz");
        let speed = "a=metric,speed-max-mps=-1.5";
        assert_eq!(fault(|c| c.worlds.push(world(speed))), "worlds.0.speed_max_mps");
        assert_eq!(fault(|c| c.worlds.push(world("a@b=metric"))), "worlds.0.name");
        let both = "a=metric,tenant=acme,shared=true";
        assert_eq!(fault(|c| c.worlds.push(world(both))), "worlds.0.tenant");
        assert_eq!(fault(|c| c.worlds.push(world("a=metric,tenant=a/b"))), "worlds.0.tenant");
        let label =
            |c: &mut Config| c.worlds.extend([world("a=metric"), world("a=metric,shared=true")]);
        assert_eq!(fault(label), "worlds.1.name");
        let mut apart = Config::default();
        apart.worlds.extend([world("a=metric,tenant=b"), world("a=metric,tenant=c")]);
        assert!(apart.settings().is_ok(), "each tenant has its own names");
        let twice = |c: &mut Config| c.worlds.extend([world("a=metric"), world("a=geodetic")]);
        assert_eq!(fault(twice), "worlds.1.name");
    }

    #[test]
    fn a_rate_for_all_yields_to_a_rate_of_its_own() {
        let mut config = Config::default();
        config.server.tick_hz = Some(30);
        let world = |text: &str| WorldEntry::parse(text).expect("well formed");
        config.worlds = vec![world("a=metric"), world("b=geodetic,tick-hz=5")];
        let settings = config.settings().expect("holds");
        let rates: Vec<_> = settings.listed.iter().map(|w| w.tick_rate.hz()).collect();
        assert_eq!(rates, [30, 5]);
        assert_eq!(settings.templates.created("c", Space::Geodetic).tick_rate.hz(), 30);
        assert_eq!(settings.listed[1].profile, Profile::Fleet);
    }
}
