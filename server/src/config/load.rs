//! File, environment and flags, laid over one another.

use super::error::{ConfigError, Fault, Origin};
use super::place::{field_at, line_of, line_of_field};
use super::worlds::{WorldEntry, scalar};
use super::{Config, Settings};
use std::path::{Path, PathBuf};

/// A value that comes from a flag of the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The flag, for errors: `--listen`.
    pub flag: String,
    /// The field, as `section.key`; `worlds` adds a world, given as one line.
    pub field: String,
    /// The value as typed.
    pub value: String,
}

impl Override {
    /// A value for a field.
    #[must_use]
    pub fn new(flag: &str, field: &str, value: impl ToString) -> Self {
        Self { flag: flag.into(), field: field.into(), value: value.to_string() }
    }
}

/// A value laid over the file, and where it came from.
struct Layer {
    origin: Origin,
    field: String,
    value: String,
}

const PREFIX: &str = "STARLING_";

impl Config {
    /// Reads the file (if any), then lays the environment and the flags over it, and validates.
    ///
    /// Variables are named `STARLING_SECTION__KEY` (`STARLING_SERVER__LISTEN`); their values are
    /// written as in the file, and text needs no quotes. `STARLING_WORLDS` holds worlds as
    /// one-line specifications between semicolons.
    ///
    /// # Errors
    /// [`ConfigError`] names file and line, variable or flag, and the field.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[Override],
    ) -> Result<(Self, Settings), ConfigError> {
        let source = file.map(Source::read).transpose()?;
        let mut config = source.as_ref().map_or_else(|| Ok(Self::default()), Source::parse)?;
        let layers = layers(environment, flags);
        for layer in &layers {
            config = config.overlaid(layer)?;
        }
        let settings = config.validate().map_err(|e| found(e, source.as_ref(), &layers))?;
        Ok((config, settings))
    }

    /// Reads a configuration from text; `path` is for errors.
    ///
    /// # Errors
    /// [`ConfigError`] with line and field.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Source { path: path.into(), text: text.into() }.parse()
    }

    fn overlaid(&self, layer: &Layer) -> Result<Self, ConfigError> {
        let wrong = |why: String| ConfigError {
            origin: layer.origin.clone(),
            field: Some(layer.field.clone()),
            why,
        };
        if layer.field == "worlds" {
            let entry = WorldEntry::parse(&layer.value).map_err(wrong)?;
            return Ok(self.with_world(entry));
        }
        let Some((section, key)) = layer.field.split_once('.') else {
            return Err(wrong("no such setting".into()));
        };
        let mut tree = toml::Table::try_from(self).map_err(|e| wrong(e.to_string()))?;
        let Some(toml::Value::Table(table)) = tree.get_mut(section) else {
            return Err(wrong("no such section".into()));
        };
        table.insert(key.into(), scalar(&layer.value));
        let typed = tree.try_into();
        typed
            .or_else(|_| self.with_text(section, key, &layer.value))
            .map_err(|e| wrong(e.message().lines().next().unwrap_or("not understood").to_owned()))
    }

    /// The value as text, for settings such as a name that reads as a number.
    fn with_text(&self, section: &str, key: &str, value: &str) -> Result<Self, toml::de::Error> {
        let mut tree = toml::Table::try_from(self).map_err(serde::de::Error::custom)?;
        if let Some(toml::Value::Table(table)) = tree.get_mut(section) {
            table.insert(key.into(), value.into());
        }
        tree.try_into()
    }

    /// Adds a world, or replaces the one of that name.
    #[must_use]
    pub fn with_world(&self, entry: WorldEntry) -> Self {
        let mut config = self.clone();
        config.worlds.retain(|world| world.name != entry.name);
        config.worlds.push(entry);
        config
    }
}

/// Variables in order of their names, then flags in order.
fn layers(
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[Override],
) -> Vec<Layer> {
    let mut variables: Vec<_> = environment.into_iter().filter_map(variable).collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    let mut layers = Vec::new();
    for (name, field, value) in variables {
        let values: Vec<_> = match field.as_str() {
            "worlds" => value.split(';').map(str::trim).filter(|v| !v.is_empty()).collect(),
            _ => vec![value.as_str()],
        };
        layers.extend(values.into_iter().map(|value| Layer {
            origin: Origin::Variable(name.clone()),
            field: field.clone(),
            value: value.into(),
        }));
    }
    layers.extend(flags.iter().map(|flag| Layer {
        origin: Origin::Flag(flag.flag.clone()),
        field: flag.field.clone(),
        value: flag.value.clone(),
    }));
    layers
}

/// (variable, field, value) for variables that are ours.
fn variable((name, value): (String, String)) -> Option<(String, String, String)> {
    let rest = name.strip_prefix(PREFIX)?;
    let field = match rest.split_once("__") {
        Some((section, key)) => format!("{section}.{key}").to_lowercase(),
        None if rest == "WORLDS" => "worlds".into(),
        None => return None,
    };
    Some((name, field, value))
}

/// A fault of a value, with the place where the value was set.
fn found(fault: Fault, source: Option<&Source>, layers: &[Layer]) -> ConfigError {
    let by_layer = layers.iter().rev().find(|layer| {
        layer.field == fault.field || (layer.field == "worlds" && fault.field.starts_with("worlds"))
    });
    let origin = match (by_layer, source) {
        (Some(layer), _) => layer.origin.clone(),
        (None, Some(source)) => Origin::File {
            path: source.path.clone(),
            line: line_of_field(&source.text, &fault.field),
        },
        (None, None) => Origin::Program,
    };
    ConfigError { origin, field: Some(fault.field), why: fault.why }
}

/// The text of a file.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError {
            origin: Origin::File { path: path.into(), line: None },
            field: None,
            why: format!("cannot be read: {e}"),
        })?;
        Ok(Self { path: path.into(), text })
    }

    fn parse(&self) -> Result<Config, ConfigError> {
        toml::from_str(&self.text).map_err(|e| {
            let line = e.span().map(|span| line_of(&self.text, span.start));
            ConfigError {
                origin: Origin::File { path: self.path.clone(), line },
                field: e.span().and_then(|span| field_at(&self.text, &span)),
                why: e.message().replace('\n', ", "),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AuthMode;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn load(pairs: &[(&str, &str)], flags: &[Override]) -> Result<Config, ConfigError> {
        Config::load(None, variables(pairs), flags).map(|(config, _)| config)
    }

    #[test]
    fn flags_beat_the_environment() {
        let flags = [Override::new("--listen", "server.listen", "127.0.0.1:3")];
        let environment = [
            ("STARLING_SERVER__LISTEN", "127.0.0.1:2"),
            ("STARLING_LIMITS__ABUSE_MS", "7"),
            ("STARLING_OTHER", "is not ours"),
            ("PATH", "neither"),
        ];
        let config = load(&environment, &flags).expect("valid");
        assert_eq!(config.server.listen.port(), 3);
        assert_eq!(config.limits.abuse_ms, 7);
    }

    #[test]
    fn worlds_come_by_variable_and_flag_and_the_last_of_a_name_counts() {
        let flags = [Override::new("--world", "worlds", "b=geodetic,tick-hz=4")];
        let config = load(&[("STARLING_WORLDS", "a=metric; b=metric")], &flags).expect("valid");
        let names: Vec<_> = config.worlds.iter().map(|w| (w.name.as_str(), w.tick_hz)).collect();
        assert_eq!(names, [("a", None), ("b", Some(4))]);
    }

    #[test]
    fn text_that_reads_as_a_number_stays_text() {
        let config = load(&[("STARLING_AUTH__AUDIENCE", "4711")], &[]).expect("valid");
        assert_eq!(config.auth.audience, "4711");
    }

    #[test]
    fn an_error_names_variable_or_flag_and_field() {
        for (name, value, field) in [
            ("STARLING_LIMITS__ABUSE_MS", "soon", "limits.abuse_ms"),
            ("STARLING_LIMITS__ABUSE_MD", "5", "limits.abuse_md"),
            ("STARLING_LIMIT__ABUSE_MS", "5", "limit.abuse_ms"),
            ("STARLING_SERVER__TICK_HZ", "0", "server.tick_hz"),
        ] {
            let error = load(&[(name, value)], &[]).expect_err(name);
            assert_eq!(error.origin, Origin::Variable(name.into()));
            assert_eq!(error.field.as_deref(), Some(field));
        }
        let flags = [Override::new("--tick-hz", "server.tick_hz", 900)];
        let error = load(&[], &flags).expect_err("too fast").to_string();
        assert!(error.starts_with("--tick-hz: server.tick_hz: "), "{error}");
    }

    #[test]
    fn an_error_in_a_file_names_line_and_field() {
        let cases = [
            ("[server]\nlisten = \"nowhere\"\n", 2, "server.listen"),
            ("[limits]\n\nabuse_md = 1\n", 3, "limits.abuse_md"),
            ("[auth]\nmode = \"closed\"\n", 2, "auth.mode"),
            ("\n[[worlds]]\nname = \"a\"\nspace = \"flat\"\n", 4, "worlds.0.space"),
        ];
        for (text, line, field) in cases {
            let error = Config::from_toml(text, Path::new("s.toml")).expect_err(text);
            let origin = Origin::File { path: "s.toml".into(), line: Some(line) };
            assert_eq!((error.origin, error.field.as_deref()), (origin, Some(field)), "{text}");
        }
        let error = Config::from_toml("[server\n", Path::new("s.toml")).expect_err("no TOML");
        assert!(error.to_string().starts_with("s.toml:1: "), "{error}");
    }

    #[test]
    fn a_value_that_does_not_hold_is_found_in_its_file() {
        let source = Source {
            path: "s.toml".into(),
            text: "[auth]\nmode = \"token\"\n[limits]\nconnections_max = 0\n".into(),
        };
        let mut config = source.parse().expect("well formed");
        config.auth.mode = AuthMode::Open;
        let fault = config.validate().expect_err("no connection at all");
        let error = found(fault, Some(&source), &[]);
        assert_eq!(error.to_string(), "s.toml:4: limits.connections_max: must be at least 1");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Config::load(Some(Path::new("no/such.toml")), [], &[]).expect_err("no file");
        assert!(error.to_string().starts_with("no/such.toml: cannot be read"), "{error}");
    }
}
