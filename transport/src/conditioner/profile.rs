//! What a link does to packets, and how a person writes it down.
//!
//! A profile is a comma-separated list: an optional name first, then `key=value` overrides.
//!
//! | key | example | meaning |
//! |---|---|---|
//! | `loss` | `5%` | packets lost |
//! | `burst` | `3` | mean length of a run of losses, in packets (Gilbert-Elliott) |
//! | `delay` | `60ms` | one-way delay |
//! | `jitter` | `20ms` | each packet's delay is uniform in delay +- jitter |
//! | `dup` | `1%` | packets that arrive twice |
//! | `reorder` | `2%` | packets that the next one overtakes |
//! | `corrupt` | `0.1%` | packets that arrive with one bit flipped |
//! | `rate` | `1mbit` | the bottleneck's rate |
//! | `queue` | `64k` | bytes that wait at the bottleneck before its tail drops |
//! | `blackout` | `5s@20s`, `5s@20s/60s` | nothing passes for 5 s, 20 s after the start (then every 60 s) |
//! | `rebind` | `10s` | the source port changes this often |

use super::quantity::{self, Fraction};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Bytes that wait at a rate-limited bottleneck unless `queue` says otherwise.
const QUEUE_BYTES_DEFAULT: u64 = 64 * 1024;
/// Longest mean run of losses.
const BURST_PACKETS_MAX: u32 = 10_000;

/// Named profiles: one way, each way. Written in the language that they extend.
///
/// - `wifi-bad`: the far corner of a house. Short bursts when somebody else transmits, retries on
///   the radio that show as jitter, the odd swap.
/// - `lte`: a good mobile link. Little loss, a deep queue, a steady 30 ms to the core.
/// - `train`: mobile at speed. Hand-overs lose runs of packets, a tunnel takes 4 s of each
///   minute, the carrier's address translation forgets the port.
/// - `geo-sat`: geostationary orbit, 35,786 km up and down again, behind a shaped terminal.
/// - `rideshare`: a phone in a car in a city. Street canyons for 2 s of every 45 s, new ports.
const NAMED: [(&str, &str); 6] = [
    ("none", ""),
    (
        "wifi-bad",
        "loss=3%,burst=4,delay=15ms,jitter=15ms,dup=0.1%,reorder=1%,rate=10mbit,queue=128k",
    ),
    ("lte", "loss=0.5%,burst=3,delay=30ms,jitter=10ms,rate=10mbit,queue=256k"),
    (
        "train",
        "loss=2%,burst=8,delay=50ms,jitter=30ms,rate=2mbit,queue=128k,blackout=4s@20s/60s,rebind=45s",
    ),
    ("geo-sat", "loss=0.5%,burst=2,delay=280ms,jitter=10ms,rate=5mbit,queue=256k"),
    (
        "rideshare",
        "loss=1%,burst=5,delay=45ms,jitter=25ms,dup=0.1%,rate=3mbit,queue=96k,blackout=2s@15s/45s,rebind=30s",
    ),
];

/// A time in which nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blackout {
    /// How long it lasts, in nanoseconds.
    pub length_ns: u64,
    /// When it begins, in nanoseconds after the link's start.
    pub at_ns: u64,
    /// Nanoseconds from one beginning to the next; `None` for a single one.
    pub every_ns: Option<u64>,
}

impl Blackout {
    /// Whether the link is dark `elapsed_ns` after its start.
    #[must_use]
    pub const fn covers(&self, elapsed_ns: u64) -> bool {
        let Some(since) = elapsed_ns.checked_sub(self.at_ns) else { return false };
        let phase = match self.every_ns {
            Some(every) => since % every,
            None => since,
        };
        phase < self.length_ns
    }
}

/// What one direction of a link does to packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkProfile {
    /// Packets lost.
    pub loss: Fraction,
    /// Mean length of a run of losses, in packets; 1 makes losses independent.
    pub burst_packets: u32,
    /// One-way delay, in nanoseconds.
    pub delay_ns: u64,
    /// Half the width of the uniform spread round the delay, in nanoseconds.
    pub jitter_ns: u64,
    /// Packets that arrive twice.
    pub duplicate: Fraction,
    /// Packets that the next one overtakes.
    pub reorder: Fraction,
    /// Packets that arrive with one bit flipped.
    pub corrupt: Fraction,
    /// Bits a second of the bottleneck; `None` for a link without one.
    pub rate_bps: Option<u64>,
    /// Bytes that wait at the bottleneck before its tail drops.
    pub queue_bytes: u64,
    /// When nothing passes.
    pub blackout: Option<Blackout>,
    /// Nanoseconds between changes of the source port.
    pub rebind_every_ns: Option<u64>,
}

impl Default for LinkProfile {
    /// The perfect link, `none`.
    fn default() -> Self {
        Self {
            loss: Fraction::ZERO,
            burst_packets: 1,
            delay_ns: 0,
            jitter_ns: 0,
            duplicate: Fraction::ZERO,
            reorder: Fraction::ZERO,
            corrupt: Fraction::ZERO,
            rate_bps: None,
            queue_bytes: QUEUE_BYTES_DEFAULT,
            blackout: None,
            rebind_every_ns: None,
        }
    }
}

/// Why a text is no link profile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The first item is neither a known name nor `key=value`.
    #[error("no link profile is called {0:?}; known: {known}", known = LinkProfile::names().collect::<Vec<_>>().join(", "))]
    UnknownName(String),
    /// The key is not one of those that a link has.
    #[error("a link has no {0:?}; known: {keys}", keys = KEYS.join(", "))]
    UnknownKey(String),
    /// The key is known, the value is not of its kind.
    #[error("link {key}: {value:?} is not {expected}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// So much loss cannot come in such short runs.
    #[error("link burst: a loss of {loss} needs a burst of at least {least} packets")]
    BurstTooShort {
        /// The loss asked for.
        loss: Fraction,
        /// The shortest mean run that gives it.
        least: u32,
    },
}

const KEYS: [&str; 11] = [
    "loss", "burst", "delay", "jitter", "dup", "reorder", "corrupt", "rate", "queue", "blackout",
    "rebind",
];

impl LinkProfile {
    /// Reads a profile: a name, overrides, or a name followed by overrides.
    ///
    /// ```
    /// use starling_transport::conditioner::LinkProfile;
    /// let link = LinkProfile::parse("lte,loss=3%")?;
    /// assert_eq!(link.loss.to_string(), "3%");
    /// assert_eq!(link.delay_ns, 30_000_000);
    /// # Ok::<(), starling_transport::conditioner::LinkError>(())
    /// ```
    ///
    /// # Errors
    /// [`LinkError`] names the key and the value that are wrong.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let mut link = Self::default();
        for (place, item) in text.split(',').map(str::trim).enumerate() {
            match item.split_once('=') {
                Some((key, value)) => link.set(key.trim(), value.trim())?,
                None if place == 0 => link = Self::named(item)?,
                None => return Err(LinkError::UnknownKey(item.to_owned())),
            }
        }
        link.check()?;
        Ok(link)
    }

    /// The names that [`LinkProfile::parse`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// Whether packets pass untouched and at once.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn named(name: &str) -> Result<Self, LinkError> {
        let known = NAMED.iter().find(|(known, _)| *known == name);
        let (_, text) = known.ok_or_else(|| LinkError::UnknownName(name.to_owned()))?;
        if text.is_empty() { Ok(Self::default()) } else { Self::parse(text) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), LinkError> {
        const FRACTION: &str = "a share from 0% to 100%, like 5% or 0.05";
        const DURATION: &str = "a duration, like 250us, 60ms, 1.5s or 2min";
        match key {
            "loss" => self.loss = read("loss", value, FRACTION, quantity::fraction)?,
            "burst" => {
                self.burst_packets = read("burst", value, "packets, 1 to 10000, like 3", burst)?;
            }
            "delay" => self.delay_ns = read("delay", value, DURATION, quantity::duration_ns)?,
            "jitter" => self.jitter_ns = read("jitter", value, DURATION, quantity::duration_ns)?,
            "dup" => self.duplicate = read("dup", value, FRACTION, quantity::fraction)?,
            "reorder" => self.reorder = read("reorder", value, FRACTION, quantity::fraction)?,
            "corrupt" => self.corrupt = read("corrupt", value, FRACTION, quantity::fraction)?,
            "rate" => {
                let rate = read("rate", value, "a rate, like 500kbit or 1mbit", quantity::rate_bps);
                self.rate_bps = Some(rate?);
            }
            "queue" => {
                self.queue_bytes =
                    read("queue", value, "bytes, like 1500 or 64k", quantity::bytes)?;
            }
            "blackout" => {
                let dark =
                    read("blackout", value, "LENGTH@START, like 5s@20s or 5s@20s/60s", blackout);
                self.blackout = Some(dark?);
            }
            "rebind" => self.rebind_every_ns = Some(read("rebind", value, DURATION, period_ns)?),
            _ => return Err(LinkError::UnknownKey(key.to_owned())),
        }
        Ok(())
    }

    /// In a two-state chain the bad state holds at most burst / (burst + 1) of all packets.
    fn check(&self) -> Result<(), LinkError> {
        let (loss, all) = (u64::from(self.loss.ppm()), 1_000_000);
        if self.burst_packets == 1 || loss == all {
            return Ok(());
        }
        let least = loss.div_ceil(all - loss);
        if u64::from(self.burst_packets) >= least {
            return Ok(());
        }
        Err(LinkError::BurstTooShort { loss: self.loss, least: least as u32 })
    }
}

fn read<T>(
    key: &'static str,
    value: &str,
    expected: &'static str,
    reader: fn(&str) -> Option<T>,
) -> Result<T, LinkError> {
    reader(value).ok_or_else(|| LinkError::BadValue { key, value: value.to_owned(), expected })
}

fn burst(text: &str) -> Option<u32> {
    text.parse().ok().filter(|packets| (1..=BURST_PACKETS_MAX).contains(packets))
}

/// A duration that divides time: never zero.
fn period_ns(text: &str) -> Option<u64> {
    quantity::duration_ns(text).filter(|&ns| ns > 0)
}

fn blackout(text: &str) -> Option<Blackout> {
    let (length, rest) = text.split_once('@')?;
    let (at, every) = match rest.split_once('/') {
        Some((at, every)) => (at, Some(period_ns(every)?)),
        None => (rest, None),
    };
    let length_ns = period_ns(length)?;
    let dark = Blackout { length_ns, at_ns: quantity::duration_ns(at)?, every_ns: every };
    // A blackout as long as its period would be a cut cable: surely a slip of the pen.
    every.is_none_or(|every| every > length_ns).then_some(dark)
}

impl FromStr for LinkProfile {
    type Err = LinkError;
    fn from_str(text: &str) -> Result<Self, LinkError> {
        Self::parse(text)
    }
}

impl fmt::Display for Blackout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, at) =
            (quantity::show_duration(self.length_ns), quantity::show_duration(self.at_ns));
        write!(f, "{length}@{at}")?;
        self.every_ns.map_or(Ok(()), |every| write!(f, "/{}", quantity::show_duration(every)))
    }
}

impl fmt::Display for LinkProfile {
    /// Writes what differs from `none`, so that reading it back gives the same profile.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = Self::default();
        let duration = |ns: u64| (ns > 0).then(|| quantity::show_duration(ns));
        let share = |part: Fraction| (part > Fraction::ZERO).then(|| part.to_string());
        let values = [
            share(self.loss),
            (self.burst_packets != none.burst_packets).then(|| self.burst_packets.to_string()),
            duration(self.delay_ns),
            duration(self.jitter_ns),
            share(self.duplicate),
            share(self.reorder),
            share(self.corrupt),
            self.rate_bps.map(quantity::show_rate),
            (self.queue_bytes != none.queue_bytes).then(|| quantity::show_bytes(self.queue_bytes)),
            self.blackout.map(|dark| dark.to_string()),
            self.rebind_every_ns.map(quantity::show_duration),
        ];
        let items: Vec<_> = KEYS
            .iter()
            .zip(values)
            .filter_map(|(key, value)| value.map(|value| format!("{key}={value}")))
            .collect();
        f.write_str(if items.is_empty() { "none" } else { "" })?;
        f.write_str(&items.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        LinkProfile::parse(text).expect_err("the text is no profile").to_string()
    }

    #[test]
    fn every_key_is_read() {
        let link = LinkProfile::parse(
            "loss=5%,delay=60ms,jitter=20ms,dup=1%,reorder=2%,burst=3,rate=1mbit,queue=64k,\
             blackout=5s@20s,rebind=10s,corrupt=0.1%",
        )
        .expect("the profile is right");
        assert_eq!(link.loss, Fraction::percent(5));
        assert_eq!(link.burst_packets, 3);
        assert_eq!((link.delay_ns, link.jitter_ns), (60_000_000, 20_000_000));
        assert_eq!(link.duplicate, Fraction::percent(1));
        assert_eq!(link.reorder, Fraction::percent(2));
        assert_eq!(link.corrupt, Fraction::from_ppm(1_000));
        assert_eq!((link.rate_bps, link.queue_bytes), (Some(1_000_000), 65_536));
        assert_eq!(link.rebind_every_ns, Some(10_000_000_000));
        let dark = link.blackout.expect("a blackout was named");
        assert!(dark.covers(20_000_000_000) && dark.covers(24_999_999_999));
        assert!(!dark.covers(19_999_999_999) && !dark.covers(25_000_000_000));
    }

    #[test]
    fn a_repeated_blackout_returns() {
        let link = LinkProfile::parse("blackout=5s@20s/60s").expect("the profile is right");
        let dark = link.blackout.expect("a blackout was named");
        assert!(dark.covers(82_000_000_000));
        assert!(!dark.covers(86_000_000_000));
    }

    #[test]
    fn every_named_profile_is_read_and_reads_back() {
        for name in LinkProfile::names() {
            let link = LinkProfile::parse(name).expect("named profiles are right");
            assert_eq!(LinkProfile::parse(&link.to_string()).as_ref(), Ok(&link), "{name}");
            assert_eq!(link.is_none(), name == "none");
        }
    }

    #[test]
    fn overrides_follow_a_name() {
        let link = LinkProfile::parse("lte, loss=3%").expect("the profile is right");
        assert_eq!(link.loss, Fraction::percent(3));
        assert_eq!(link.burst_packets, 3);
    }

    #[test]
    fn errors_name_the_key_and_the_value() {
        assert!(error("dialup").contains("\"dialup\"") && error("dialup").contains("wifi-bad"));
        assert!(error("los=5%").contains("\"los\"") && error("los=5%").contains("loss"));
        assert!(error("loss=5%,lte").contains("\"lte\""));
        assert_eq!(
            error("delay=60"),
            "link delay: \"60\" is not a duration, like 250us, 60ms, 1.5s or 2min"
        );
        assert!(error("loss=120%").contains("loss") && error("loss=120%").contains("120%"));
        assert!(error("blackout=60s@1s/60s").contains("blackout"));
        assert!(error("rebind=0s").contains("rebind"));
        assert!(error("burst=0").contains("burst"));
        assert_eq!(error(""), LinkError::UnknownName(String::new()).to_string());
    }

    #[test]
    fn loss_that_no_such_bursts_can_give_is_refused() {
        assert_eq!(
            LinkProfile::parse("loss=90%,burst=2"),
            Err(LinkError::BurstTooShort { loss: Fraction::percent(90), least: 9 })
        );
        assert!(LinkProfile::parse("loss=90%").is_ok());
        assert!(LinkProfile::parse("loss=100%,burst=2").is_ok());
    }

    fn any_blackout() -> impl Strategy<Value = Blackout> {
        (1..10_000_u64, 0..100_000_u64, proptest::option::of(10_000..90_000_u64)).prop_map(
            |(length, at, every)| Blackout {
                length_ns: length * 1_000_000,
                at_ns: at * 1_000,
                every_ns: every.map(|ms| ms * 1_000_000),
            },
        )
    }

    fn any_profile() -> impl Strategy<Value = LinkProfile> {
        let share = || (0..=1_000_000_u32).prop_map(Fraction::from_ppm);
        let shares = (0..=500_000_u32, share(), share(), share());
        let times = (0..10_000_000_000_u64, 0..1_000_000_u64, proptest::option::of(1..1_u64 << 40));
        let pipe = (proptest::option::of(1..1_000_000_000_u64), 0..1_u64 << 24);
        (shares, times, pipe, 1..20_u32, proptest::option::of(any_blackout())).prop_map(
            |((loss, duplicate, reorder, corrupt), times, pipe, burst_packets, blackout)| {
                LinkProfile {
                    loss: Fraction::from_ppm(loss),
                    burst_packets,
                    delay_ns: times.0,
                    jitter_ns: times.1,
                    duplicate,
                    reorder,
                    corrupt,
                    rate_bps: pipe.0,
                    queue_bytes: pipe.1,
                    blackout,
                    rebind_every_ns: times.2,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(link in any_profile()) {
            prop_assume!(link.rebind_every_ns.is_none_or(|ns| ns < 86_400_000_000_000));
            let text = link.to_string();
            prop_assert_eq!(LinkProfile::parse(&text), Ok(link), "{}", text);
        }

        #[test]
        fn any_text_is_refused_or_reads_back(text in ".{0,80}|[a-z]{2,7}=[0-9.]{1,4}[a-z%]{0,4}") {
            if let Ok(link) = LinkProfile::parse(&text) {
                prop_assert_eq!(LinkProfile::parse(&link.to_string()), Ok(link));
            }
        }
    }
}
