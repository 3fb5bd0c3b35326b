//! The complete configuration as a commented file.

use super::section::Documented;
use super::tree::{
    AuthSection, Config, DataSection, HttpSection, LimitsSection, LogSection, ServerSection,
    TlsSection,
};

const HEAD: &str = "\
# Configuration of a Starling server. Every value here is the default.
#
# A flag of the command line beats an environment variable, and that beats this file. Variables
# are named STARLING_SECTION__KEY, for example STARLING_SERVER__LISTEN.
";

/// An example of worlds; the test takes the comment signs away and reads it.
const WORLDS: &str = "\
# Worlds that exist from the start. On the command line: --world arena=metric,tick-hz=60
#
# [[worlds]]
# name = \"arena\"           # 1 to 64 bytes
# space = \"metric\"         # metric: metres. geodetic: WGS84 degrees
# profile = \"game\"         # game (20 Hz), fleet (2 Hz) or events (10 Hz)
# authority = \"client\"     # who says where things are: client, server or host
# tick_hz = 20             # 1 to 240
# presence_s = 10          # an entity leaves after so long without contact
# park_s = 600             # a lost session can be resumed for so long
# rings = \"25m/2+50m/4\"    # told in every 2nd tick beyond 25 m, every 4th beyond 50; left out: all in each
# speed_max_mps = 50.0     # faster claims are rejected; left out: no limit
# teleport_max_m = 100.0   # longer jumps are rejected; left out: no limit
# durability = \"memory\"    # durable: channels are on disk before a publish is acknowledged
# sessions_max = 1000
# entities_max = 10000
#
# [[worlds.kinds]]         # left out: one kind `entity` with a heading
# name = \"player\"
# orientation = \"look\"     # none, heading, look or quaternion
# block = false            # an opaque block of up to 255 bytes
# fields = [
#   { name = \"health\", type = \"range:0..100/0.5\" },
#   { name = \"weapon\", type = \"enum:12\" },
#   { name = \"ammo\", type = \"bits:10\", visible = \"owner\" },   # all, team or owner
# ]
";

/// An example of namespaces.
const NAMESPACES: &str = "\
# What channels are like, by the beginning of their names; the longest that covers a name decides.
# Where any are named, a channel that none covers does not exist. A world can have its own, as
# [[worlds.namespaces]]. Where none are named, every name is a channel in memory.
#
# [[namespaces]]
# name = \"chat\"            # covers chat and chat/...; an empty name covers everything
# class = \"ordered\"        # ordered: every event. conflated: the newest of each key
# durability = \"memory\"    # memory, or durable: on disk before it is acknowledged
# keep_s = 600             # events are kept so long; a day where durable
# keep_events = 1024       # and so many of each channel; 1000000 where durable
# keep_bytes = 1048576     # and so many bytes of each channel; 256 MiB where durable
# presence = true          # channels have members
# state = true             # events may set keys
# payload_bytes_max = 16384
# publishes_per_s = 50     # of one session; left out: no bound but the session's own
# subscribe = \"granted\"    # granted by the token, everyone, or nobody
# publish = \"granted\"      # nobody: the server alone
";

impl Config {
    /// A complete file with every default, what each setting means and what it costs.
    #[must_use]
    pub fn commented() -> String {
        let tree = toml::Table::try_from(Self::default()).expect("the defaults can be written");
        let mut text = HEAD.to_owned();
        section::<ServerSection>(&tree, "server", &mut text);
        section::<TlsSection>(&tree, "tls", &mut text);
        section::<AuthSection>(&tree, "auth", &mut text);
        section::<LimitsSection>(&tree, "limits", &mut text);
        section::<HttpSection>(&tree, "http", &mut text);
        section::<DataSection>(&tree, "data", &mut text);
        section::<LogSection>(&tree, "log", &mut text);
        text.push('\n');
        text.push_str(NAMESPACES);
        text.push('\n');
        text.push_str(WORLDS);
        text
    }
}

fn section<S: Documented>(tree: &toml::Table, name: &str, text: &mut String) {
    text.push('\n');
    comment(S::ABOUT, text);
    text.push_str(&format!("[{name}]\n"));
    for (field, doc) in S::FIELDS {
        comment(doc, text);
        match tree.get(name).and_then(|section| section.get(field)) {
            Some(value) => text.push_str(&format!("{field} = {value}\n")),
            None => text.push_str(&format!("# {field} =\n")),
        }
    }
}

fn comment(lines: &[&str], text: &mut String) {
    for line in lines {
        text.push_str(&format!("#{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_world::namespace::{Namespace, Namespaces};
    use std::path::Path;

    #[test]
    fn the_commented_file_reads_back_as_the_defaults() {
        let read = Config::from_toml(&Config::commented(), Path::new("commented.toml"));
        assert_eq!(read, Ok(Config::default()));
    }

    #[test]
    fn the_example_of_worlds_is_right() {
        let text = WORLDS.lines().skip(2).map(|line| line.trim_start_matches(['#', ' ']));
        let text = text.collect::<Vec<_>>().join("\n");
        let config = Config::from_toml(&text, Path::new("worlds.toml")).expect("well formed");
        let settings = config.settings().expect("holds");
        assert_eq!(settings.listed[0].schema.kinds[0].fields.len(), 3);
    }

    #[test]
    fn the_example_of_namespaces_is_right() {
        let text = NAMESPACES.lines().skip(4).map(|line| line.trim_start_matches(['#', ' ']));
        let text = text.collect::<Vec<_>>().join("\n");
        let config = Config::from_toml(&text, Path::new("namespaces.toml")).expect("well formed");
        let namespaces = config.settings().expect("holds").templates.namespaces;
        let mut expected = Namespace::new("chat");
        expected.publishes_per_second = Some(50);
        assert_eq!(namespaces, Namespaces::of(vec![expected]));
    }

    #[test]
    fn every_setting_is_there_with_a_comment() {
        let text = Config::commented();
        for part in ["hello_timeout_ms = 5000", "# cert_file =", "mode = \"open\"", "# tick_hz ="] {
            assert!(text.contains(part), "{part}");
        }
    }
}
