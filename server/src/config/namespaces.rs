//! Namespaces as written: what channels are like, by the beginning of their names.

use super::error::Fault;
use super::worlds::written;
use serde::{Deserialize, Serialize};
use starling_protocol::limits::{CHANNEL_NAME_BYTES_MAX, EVENT_BYTES_MAX};
use starling_protocol::message::events::DeliveryClass;
use starling_world::namespace::{Access, Durability, Keep, NAMESPACES_MAX, Namespace, Namespaces};

/// Longest time for which events can be kept: ten years.
const KEEP_S_MAX: u64 = 3_650 * 86_400;
/// First segments that mean something else.
const RESERVED: [&str; 3] = ["presence", "count", "session"];

/// A namespace as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceEntry {
    /// `chat` covers the channel `chat` and every `chat/...`; an empty one covers all.
    pub name: String,
    /// `ordered` (every event) or `conflated` (the newest of each key); by default ordered.
    #[serde(default)]
    pub class: ClassName,
    /// `memory` or `durable`; by default memory.
    #[serde(default)]
    pub durability: DurabilityName,
    /// Seconds for which an event is kept; by default 600, or a day where durable.
    pub keep_s: Option<u64>,
    /// Events of one channel that are kept; by default 1,024, or 1,000,000 where durable.
    pub keep_events: Option<u64>,
    /// Bytes of one channel that are kept; by default 1 MiB, or 256 MiB where durable.
    pub keep_bytes: Option<u64>,
    /// Whether channels have members; by default they do.
    pub presence: Option<bool>,
    /// Whether events may set keys; by default they may.
    pub state: Option<bool>,
    /// Bytes of one payload, at most 16,384, which is the default.
    pub payload_bytes_max: Option<u32>,
    /// Publishes of one session in a second; by default no bound but the session's 50.
    pub publishes_per_s: Option<u32>,
    /// `granted` (by the token), `everyone` or `nobody`; by default granted.
    #[serde(default)]
    pub subscribe: AccessName,
    /// The same for publishing; `nobody` leaves it to the server.
    #[serde(default)]
    pub publish: AccessName,
}

written! {
    /// [`DeliveryClass`] as written.
    ClassName for DeliveryClass {
        #[default] Ordered => DeliveryClass::Ordered, Conflated => DeliveryClass::Conflated,
    }
}
written! {
    /// [`Durability`] as written.
    DurabilityName for Durability {
        #[default] Memory => Durability::Memory, Durable => Durability::Durable,
    }
}
written! {
    /// [`Access`] as written.
    AccessName for Access {
        #[default] Granted => Access::Granted, Everyone => Access::Everyone,
        Nobody => Access::Nobody,
    }
}

/// The namespaces that are written, or `None` where none are.
pub(super) fn namespaces(
    entries: &[NamespaceEntry],
    at: &dyn Fn(&str) -> String,
) -> Result<Option<Namespaces>, Fault> {
    if entries.is_empty() {
        return Ok(None);
    }
    if entries.len() > NAMESPACES_MAX {
        return Err(Fault::new(at("namespaces"), format!("at most {NAMESPACES_MAX}")));
    }
    let mut namespaces: Vec<Namespace> = Vec::with_capacity(entries.len());
    for (number, entry) in entries.iter().enumerate() {
        let at = |key: &str| at(&format!("namespaces.{number}.{key}"));
        if namespaces.iter().any(|namespace| namespace.name == entry.name) {
            return Err(Fault::new(at("name"), format!("`{}` is there twice", entry.name)));
        }
        namespaces.push(entry.namespace(&at)?);
    }
    Ok(Some(Namespaces::of(namespaces)))
}

/// Every name is a channel, with this durability.
pub(super) fn plain(durability: Durability) -> Namespaces {
    match durability {
        Durability::Memory => Namespaces::default(),
        Durability::Durable => Namespaces::of(vec![Namespace::new("").durable()]),
    }
}

impl NamespaceEntry {
    fn namespace(&self, at: &dyn Fn(&str) -> String) -> Result<Namespace, Fault> {
        check_name(&self.name).map_err(|why| Fault::new(at("name"), why))?;
        let plain = match self.durability {
            DurabilityName::Memory => Namespace::new(&self.name),
            DurabilityName::Durable => Namespace::new(&self.name).durable(),
        };
        let within = |key: &str, value: Option<u64>, usual: u64, most: u64| match value {
            Some(value) if value == 0 || value > most => {
                Err(Fault::new(at(key), format!("must be 1 to {most}")))
            }
            value => Ok(value.unwrap_or(usual)),
        };
        let usual = plain.keep;
        let keep_s = within("keep_s", self.keep_s, usual.age_ms / 1_000, KEEP_S_MAX)?;
        let keep = Keep {
            age_ms: keep_s * 1_000,
            events: within("keep_events", self.keep_events, usual.events, u64::from(u32::MAX))?,
            bytes: within("keep_bytes", self.keep_bytes, usual.bytes, 1 << 40)?,
        };
        let most = EVENT_BYTES_MAX as u64;
        let payload = self.payload_bytes_max.map(u64::from);
        let payload_bytes_max = within("payload_bytes_max", payload, most, most)? as usize;
        let rate = self.publishes_per_s.map(u64::from);
        within("publishes_per_s", rate, 1, 1_000)?;
        Ok(Namespace {
            class: self.class.into(),
            keep,
            presence: self.presence.unwrap_or(plain.presence),
            state: self.state.unwrap_or(plain.state),
            payload_bytes_max,
            publishes_per_second: self.publishes_per_s,
            subscribe: self.subscribe.into(),
            publish: self.publish.into(),
            ..plain
        })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.len() >= CHANNEL_NAME_BYTES_MAX {
        return Err(format!("must be shorter than {CHANNEL_NAME_BYTES_MAX} bytes"));
    }
    if name.starts_with(['/', '@']) || name.ends_with('/') {
        return Err("is the beginning of names, without a `/` at either end".into());
    }
    if name.chars().any(|c| c.is_control() || c == '*') {
        return Err("has no `*` and no control characters".into());
    }
    match name.split('/').next() {
        Some(first) if RESERVED.contains(&first) => Err(format!("`{first}` is reserved")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Namespaces>, Fault> {
        #[derive(Deserialize)]
        struct File {
            namespaces: Vec<NamespaceEntry>,
        }
        let file: File = toml::from_str(text).expect("well formed");
        namespaces(&file.namespaces, &|key| key.to_owned())
    }

    #[test]
    fn a_namespace_is_read_with_its_defaults() {
        let text = "[[namespaces]]\nname = \"chat\"\n\
            [[namespaces]]\nname = \"orders\"\ndurability = \"durable\"\nkeep_events = 9\n\
            state = false\npublish = \"nobody\"\nclass = \"conflated\"\npublishes_per_s = 5\n";
        let namespaces = read(text).expect("holds").expect("some");
        let chat = namespaces.find("chat/a").expect("covered");
        assert_eq!(**chat, Namespace::new("chat"));
        let orders = namespaces.find("orders/7").expect("covered");
        assert_eq!(orders.keep, Keep { events: 9, ..Keep::DURABLE });
        assert_eq!((orders.class, orders.state), (DeliveryClass::Conflated, false));
        assert_eq!((orders.publish, orders.subscribe), (Access::Nobody, Access::Granted));
        assert_eq!(orders.publishes_per_second, Some(5));
        assert!(namespaces.find("other").is_none(), "what nothing covers is no channel");
    }

    #[test]
    fn what_does_not_hold_is_named() {
        for (line, field) in [
            ("name = \"a/\"", "namespaces.0.name"),
            ("name = \"/a\"", "namespaces.0.name"),
            ("name = \"@a\"", "namespaces.0.name"),
            ("name = \"a*\"", "namespaces.0.name"),
            ("name = \"presence/a\"", "namespaces.0.name"),
            ("name = \"a\"\nkeep_s = 0", "namespaces.0.keep_s"),
            ("name = \"a\"\nkeep_events = 0", "namespaces.0.keep_events"),
            ("name = \"a\"\nkeep_bytes = 0", "namespaces.0.keep_bytes"),
            ("name = \"a\"\npayload_bytes_max = 16385", "namespaces.0.payload_bytes_max"),
            ("name = \"a\"\npublishes_per_s = 0", "namespaces.0.publishes_per_s"),
            ("name = \"a\"\n[[namespaces]]\nname = \"a\"", "namespaces.1.name"),
        ] {
            let fault = read(&format!("[[namespaces]]\n{line}\n")).expect_err(line);
            assert_eq!(fault.field, field);
        }
    }
}
