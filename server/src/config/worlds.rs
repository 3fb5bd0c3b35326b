//! Worlds as written: tables in the file, or `NAME=metric,profile=fleet,tick-hz=2` on the command
//! line.

use super::namespaces::{DurabilityName, NamespaceEntry};
use serde::{Deserialize, Serialize};
use starling_protocol::limits::{RING_TICKS_MAX, RINGS_MAX};
use starling_protocol::message::control::{Authority, Ring};
use starling_protocol::schema::{Field, FieldType, Kind, OrientationKind, Schema, Visibility};
use starling_protocol::space::Space;
use starling_world::config::Profile;

/// A world that exists from the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldEntry {
    /// Its name, 1 to 64 bytes.
    pub name: String,
    /// `metric` or `geodetic`.
    pub space: SpaceName,
    /// Tenant whose world it is; by default that of tokens that name none.
    pub tenant: Option<String>,
    /// It is no tenant's: all of them meet in it.
    #[serde(default)]
    pub shared: bool,
    /// `game`, `fleet` or `events`; by default game for metric and fleet for geodetic.
    pub profile: Option<ProfileName>,
    /// `client`, `server` or `host`; by default client.
    pub authority: Option<AuthorityName>,
    /// Ticks per second.
    pub tick_hz: Option<u16>,
    /// Seconds without contact after which an entity leaves.
    pub presence_s: Option<u32>,
    /// Seconds for which a lost session can be resumed.
    pub park_s: Option<u32>,
    /// Rings of distance in which changes are told less often: `25m/2+50m/4` tells what is beyond
    /// 25 m in every second tick and what is beyond 50 m in every fourth.
    pub rings: Option<String>,
    /// Greatest speed that a client may claim, in metres per second.
    pub speed_max_mps: Option<f64>,
    /// Greatest jump between two accepted positions, in metres.
    pub teleport_max_m: Option<f64>,
    /// What an acknowledgement means where no namespaces are named: `memory` or `durable`.
    pub durability: Option<DurabilityName>,
    /// Sessions at once.
    pub sessions_max: Option<u32>,
    /// Entities at once: 65,535 unless said, and at most 1,048,576.
    pub entities_max: Option<u32>,
    /// Kinds of entity; one plain kind where none are named.
    #[serde(default)]
    pub kinds: Vec<KindEntry>,
    /// What its channels are like; where none are named, those of the server, and where it names
    /// none either, every name is a channel in memory.
    #[serde(default)]
    pub namespaces: Vec<NamespaceEntry>,
}

/// A kind of entity as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindEntry {
    /// Its name, 1 to 32 bytes.
    pub name: String,
    /// `none`, `heading`, `look` or `quaternion`.
    #[serde(default)]
    pub orientation: OrientationName,
    /// It carries an opaque block of up to 255 bytes.
    #[serde(default)]
    pub block: bool,
    /// Typed fields.
    #[serde(default)]
    pub fields: Vec<FieldEntry>,
}

/// A typed field as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldEntry {
    /// Its name, 1 to 32 bytes.
    pub name: String,
    /// `bool`, `enum:4`, `bits:7` or `range:0..100/0.5`.
    pub r#type: String,
    /// `all`, `team` or `owner`.
    #[serde(default)]
    pub visible: VisibleName,
}

/// Declares how an enum of the protocol is written.
macro_rules! written {
    ($(#[doc = $doc:literal])+ $name:ident for $target:ty {
        $($(#[$attribute:meta])* $variant:ident => $value:path),+ $(,)?
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[expect(missing_docs, reason = "the variants are those of the protocol, described there")]
        pub enum $name { $($(#[$attribute])* $variant),+ }

        impl From<$name> for $target {
            fn from(written: $name) -> Self {
                match written { $($name::$variant => $value),+ }
            }
        }
    };
}

written! {
    /// [`Space`] as written.
    SpaceName for Space { #[default] Metric => Space::Metric, Geodetic => Space::Geodetic }
}
written! {
    /// [`Profile`] as written.
    ProfileName for Profile {
        #[default] Game => Profile::Game, Fleet => Profile::Fleet, Events => Profile::Events,
    }
}
written! {
    /// [`Authority`] as written.
    AuthorityName for Authority {
        #[default] Client => Authority::Client, Server => Authority::Server, Host => Authority::Host,
    }
}
written! {
    /// [`OrientationKind`] as written.
    OrientationName for OrientationKind {
        #[default] None => OrientationKind::None, Heading => OrientationKind::Heading,
        Look => OrientationKind::Look, Quaternion => OrientationKind::Quaternion,
    }
}
written! {
    /// [`Visibility`] as written.
    VisibleName for Visibility {
        #[default] All => Visibility::All, Team => Visibility::Team, Owner => Visibility::Owner,
    }
}

pub(super) use written;

impl WorldEntry {
    /// A world with nothing but a name and a space.
    #[must_use]
    pub fn new(name: &str, space: Space) -> Self {
        Self {
            name: name.into(),
            space: match space {
                Space::Metric => SpaceName::Metric,
                Space::Geodetic => SpaceName::Geodetic,
            },
            tenant: None,
            shared: false,
            profile: None,
            authority: None,
            tick_hz: None,
            presence_s: None,
            park_s: None,
            rings: None,
            speed_max_mps: None,
            teleport_max_m: None,
            durability: None,
            sessions_max: None,
            entities_max: None,
            kinds: Vec::new(),
            namespaces: Vec::new(),
        }
    }

    /// Reads `NAME=metric|geodetic[,profile=..,authority=..,tick-hz=..]`; every other setting of
    /// a world but its kinds can be given the same way.
    ///
    /// ```
    /// use starling_server::config::WorldEntry;
    /// let buses: WorldEntry = WorldEntry::parse("buses=geodetic,tick-hz=1,park-s=60").unwrap();
    /// assert_eq!((buses.name.as_str(), buses.tick_hz), ("buses", Some(1)));
    /// assert!(WorldEntry::parse("buses=spherical").is_err());
    /// ```
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or_else(|| format!("`{text}`: {SPEC}"))?;
        let mut table = toml::Table::new();
        table.insert("name".into(), name.trim().into());
        for (number, part) in rest.split(',').enumerate() {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key.trim().replace('-', "_"), scalar(value.trim())),
                None if number == 0 => ("space".to_owned(), part.trim().into()),
                None => return Err(format!("`{part}`: {SPEC}")),
            };
            if table.insert(key.clone(), value).is_some() {
                return Err(format!("`{key}` is given twice"));
            }
        }
        table.try_into().map_err(|e: toml::de::Error| e.message().replace('\n', " "))
    }

    /// The schema that its kinds declare.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn schema(&self) -> Result<Schema, String> {
        if self.kinds.is_empty() {
            return Ok(Schema::plain());
        }
        let kinds = self.kinds.iter().map(KindEntry::kind).collect::<Result<_, _>>()?;
        let schema = Schema { kinds };
        schema.validate().map_err(|e| e.to_string())?;
        Ok(schema)
    }
}

/// Reads rings as [`WorldEntry::rings`] has them.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn parse_rings(text: &str) -> Result<Vec<Ring>, String> {
    let parts = text.split('+').map(|part| {
        let wrong = || format!("`{part}` is not METRESm/TICKS, as in `25m/2+50m/4`");
        let (metres, ticks) = part.trim().split_once('/').ok_or_else(wrong)?;
        let metres = metres.strip_suffix('m').ok_or_else(wrong)?;
        let beyond_m = metres.parse().ok().filter(|m: &f32| m.is_finite() && *m > 0.0);
        let every_ticks = ticks.parse().ok().filter(|n| (2..=RING_TICKS_MAX).contains(n));
        let every_ticks =
            every_ticks.ok_or_else(|| format!("`{ticks}`: 2 to {RING_TICKS_MAX} ticks"))?;
        Ok(Ring { beyond_m: beyond_m.ok_or_else(wrong)?, every_ticks })
    });
    let rings = parts.collect::<Result<Vec<_>, String>>()?;
    if rings.len() > RINGS_MAX {
        return Err(format!("at most {RINGS_MAX} rings"));
    }
    if !rings.is_sorted_by(|a, b| a.beyond_m < b.beyond_m && a.every_ticks <= b.every_ticks) {
        return Err("each ring is to begin further out and to be told no more often".into());
    }
    Ok(rings)
}

const SPEC: &str = "expected NAME=metric|geodetic[,profile=game|fleet|events]\
    [,authority=client|server|host][,tick-hz=N]";

/// A number where it reads as one, else text.
pub(super) fn scalar(text: &str) -> toml::Value {
    let table: Result<toml::Table, _> = toml::from_str(&format!("value = {text}"));
    let value = table.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| toml::Value::String(text.into()))
}

impl KindEntry {
    fn kind(&self) -> Result<Kind, String> {
        let field = |entry: &FieldEntry| {
            let ty = parse_type(&entry.r#type)?;
            Ok(Field { name: entry.name.clone(), ty, visibility: entry.visible.into() })
        };
        let fields = self.fields.iter().map(field).collect::<Result<_, String>>()?;
        let orientation = self.orientation.into();
        Ok(Kind { name: self.name.clone(), orientation, fields, block: self.block })
    }
}

fn parse_type(text: &str) -> Result<FieldType, String> {
    let wrong = || format!("`{text}` is none of bool, enum:4, bits:7, range:0..100/0.5");
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "bool" if rest.is_empty() => Ok(FieldType::Bool),
        "enum" => rest.parse().map(|variants| FieldType::Enum { variants }).map_err(|_| wrong()),
        "bits" => rest.parse().map(|bits| FieldType::Bits { bits }).map_err(|_| wrong()),
        "range" => parse_range(rest).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn parse_range(text: &str) -> Option<FieldType> {
    let (range, quantum) = text.split_once('/')?;
    let (min, max) = range.split_once("..")?;
    let number = |text: &str| text.trim().parse::<f32>().ok();
    Some(FieldType::Ranged { min: number(min)?, max: number(max)?, quantum: number(quantum)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_is_read_from_one_line() {
        let entry = WorldEntry::parse("arena=metric,profile=game,authority=server,tick-hz=60");
        let entry = entry.expect("well formed");
        assert_eq!(entry.authority, Some(AuthorityName::Server));
        assert_eq!(entry.tick_hz, Some(60));
        assert_eq!(entry.speed_max_mps, None);
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, part) in [
            ("arena", "expected NAME"),
            ("arena=round", "round"),
            ("arena=metric,hz=3", "hz"),
            ("arena=metric,tick-hz=fast", "fast"),
            ("arena=metric,tick-hz=1,tick-hz=2", "twice"),
            ("arena=metric,loose", "expected NAME"),
        ] {
            let why = WorldEntry::parse(line).expect_err(line);
            assert!(why.contains(part), "{line}: {why}");
        }
    }

    #[test]
    fn rings_are_read_and_checked() {
        let entry = WorldEntry::parse("arena=metric,rings=25m/2+50.5m/4").expect("well formed");
        let rings = parse_rings(&entry.rings.expect("named")).expect("well formed");
        let ring = |beyond_m, every_ticks| Ring { beyond_m, every_ticks };
        assert_eq!(rings, [ring(25.0, 2), ring(50.5, 4)]);
        for wrong in [
            "",
            "25",
            "25m",
            "25/2",
            "0m/2",
            "infm/2",
            "25m/1",
            "25m/17",
            "50m/2+25m/4",
            "25m/4+50m/2",
            "1m/2+2m/2+3m/2+4m/2+5m/2",
        ] {
            assert!(parse_rings(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn types_of_fields_are_read_and_checked() {
        assert_eq!(parse_type("bits:7"), Ok(FieldType::Bits { bits: 7 }));
        let range = FieldType::Ranged { min: -1.0, max: 1.0, quantum: 0.5 };
        assert_eq!(parse_type("range:-1..1/0.5"), Ok(range));
        for wrong in ["bool:1", "enum:x", "range:1..2", "text", "bits:300"] {
            assert!(parse_type(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_schema_beyond_its_limits_is_refused() {
        let mut entry = WorldEntry::new("w", Space::Metric);
        let field =
            FieldEntry { name: "wide".into(), r#type: "bits:33".into(), visible: VisibleName::All };
        entry.kinds = vec![KindEntry {
            name: "k".into(),
            orientation: OrientationName::Heading,
            block: false,
            fields: vec![field],
        }];
        assert!(entry.schema().expect_err("33 bits").contains("wide"));
    }
}
