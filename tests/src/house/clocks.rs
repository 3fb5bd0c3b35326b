//! Where time, chance and the machine may not be asked.

use super::Breach;
use super::sources::ships;
use super::tokens::{paths, shipped, tokens, without_features};
use super::tree::File;

/// A part of the house and what it may not name.
struct Pure {
    below: &'static str,
    except: &'static str,
    words: &'static [&'static str],
    paths: &'static [&'static str],
    rule: &'static str,
}

const MACHINE: &[&str] =
    &["std::net", "std::fs", "std::env", "std::process", "std::thread", "std::io", "tokio"];

const PURE: &[Pure] = &[
    Pure {
        below: "world/src/",
        except: "",
        words: &["Instant", "SystemTime", "HashMap", "HashSet", "RandomState", "thread_rng"],
        paths: MACHINE,
        rule: "the core has no clock, thread, socket or unordered map",
    },
    Pure {
        below: "protocol/src/",
        except: "",
        words: &["Instant", "SystemTime", "HashMap", "HashSet", "async"],
        paths: MACHINE,
        rule: "the wire has no clock, no I/O and no async",
    },
    Pure {
        below: "client/src/",
        except: "client/src/net",
        words: &["SystemTime", "async"],
        paths: &[
            "std::net",
            "std::fs",
            "std::thread",
            "std::time::Instant",
            "Instant::now",
            "tokio",
            "starling_transport",
        ],
        rule: "outside net/ the SDK has no clock and no network, so that it builds for wasm",
    },
];

/// The core, the wire and the SDK's inner half take time and bytes as arguments.
#[must_use]
pub fn check(file: &File) -> Vec<Breach> {
    let applies = |pure: &&Pure| {
        let excepted = !pure.except.is_empty() && file.path.starts_with(pure.except);
        file.path.starts_with(pure.below) && !excepted && ships(file)
    };
    PURE.iter().filter(applies).flat_map(|pure| breaches(pure, file)).collect()
}

fn breaches(pure: &Pure, file: &File) -> Vec<Breach> {
    let tokens = without_features(&shipped(&tokens(&file.text)));
    let paths = paths(&tokens);
    let words = tokens.iter().filter(|token| pure.words.contains(&token.text));
    let reached =
        paths.iter().filter(|path| pure.paths.iter().any(|below| path.starts_with(below)));
    let lines = words.map(|token| token.line).chain(reached.map(|path| path.line));
    lines.map(|line| Breach::at(&file.path, line, pure.rule)).collect()
}
