//! Rules on what Rust sources may name.

use super::Breach;
use super::tokens::{NamedPath, Token, paths, shipped, texts, tokens};
use super::tree::File;

/// A rule on one source file.
pub type Rule = fn(&File) -> Vec<Breach>;

/// Every rule on sources.
pub const RULES: &[Rule] = &[
    one_file_libraries,
    transport_knows_no_message,
    rooms_do_not_reach_up,
    unsafe_is_forbidden,
    queues_have_bounds,
    nothing_is_unfinished,
    only_the_command_line_talks,
];

/// Packages that ship, by directory.
const SHIPPED: &[&str] =
    &["protocol", "world", "transport", "client", "server", "client-sim", "cli"];

/// Libraries that one file, or one directory, hides from the rest.
const HIDDEN: &[(&str, &str)] = &[
    ("bincode", "protocol/src/codec.rs"),
    ("redb", "server/src/store/database.rs"),
    ("quinn", "transport/"),
    ("quinn_proto", "transport/"),
    ("quinn_udp", "transport/"),
];

/// The modules of protocol that transport may name: they hold numbers, not messages.
const TRANSPORT_MAY_NAME: &[&str] = &["units", "limits", "close", "planted", "stream", "version"];

fn is_rust(file: &File) -> bool {
    file.path.ends_with(".rs")
}

/// Whether the file is part of what a shipped package compiles.
pub(super) fn ships(file: &File) -> bool {
    let mut parts = file.path.split('/');
    let package = parts.next().is_some_and(|package| SHIPPED.contains(&package));
    let source = parts.next() == Some("src");
    let test = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
    package && source && !test && is_rust(file)
}

/// The tokens and paths of a file as it ships.
fn named(file: &File) -> (Vec<Token<'_>>, Vec<NamedPath<'_>>) {
    let kept = shipped(&tokens(&file.text));
    let found = paths(&kept);
    (kept, found)
}

/// bincode and quinn each stay behind the file or directory that is named for them.
#[must_use]
pub fn one_file_libraries(file: &File) -> Vec<Breach> {
    if !ships(file) {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    for (library, home) in HIDDEN.iter().filter(|(_, home)| !file.path.starts_with(home)) {
        for token in tokens(&file.text).iter().filter(|token| token.text == *library) {
            breaches.push(Breach::at(&file.path, token.line, format!("{library} lives in {home}")));
        }
    }
    breaches
}

/// Transport carries bytes: it knows units, limits, kinds of stream, close codes and what may be planted, no message.
#[must_use]
pub fn transport_knows_no_message(file: &File) -> Vec<Breach> {
    if !file.path.starts_with("transport/src/") {
        return Vec::new();
    }
    let (_, named) = named(file);
    let ours = named.iter().filter(|path| path.starts_with("starling_protocol"));
    ours.filter(|path| !path.segments.get(1).is_some_and(|m| TRANSPORT_MAY_NAME.contains(m)))
        .map(|path| Breach::at(&file.path, path.line, "transport may not know messages"))
        .collect()
}

/// In the server, net imports room and room imports world; nothing points back up.
#[must_use]
pub fn rooms_do_not_reach_up(file: &File) -> Vec<Breach> {
    let forbidden: &[&str] = match file.path.strip_prefix("server/src/") {
        Some(path) if path.starts_with("room") => &["net", "http", "run"],
        Some(path) if path.starts_with("http") => &["net", "run"],
        Some(path) if path.starts_with("net") => &["http", "run"],
        _ => return Vec::new(),
    };
    let (_, named) = named(file);
    let upward = |path: &&NamedPath<'_>| {
        let mut segments = path.segments.iter().skip_while(|s| **s == "super");
        let first = segments.next();
        let target = if first == Some(&"crate") { segments.next() } else { first };
        let from_the_top = matches!(path.segments[0], "crate" | "super");
        from_the_top && target.is_some_and(|module| forbidden.contains(module))
    };
    named
        .iter()
        .filter(upward)
        .map(|path| Breach::at(&file.path, path.line, "an import points back up the server"))
        .collect()
}

/// Libraries that deny unsafe code and do not forbid it, and where each may allow it: world in one
/// module of kernels, transport where it asks for memory ahead of time.
const UNSAFE: &[(&str, &str)] = &[("world/", "world/"), ("transport/", "transport/src/fetch.rs")];

/// Every library forbids unsafe code but the few of `UNSAFE`.
#[must_use]
pub fn unsafe_is_forbidden(file: &File) -> Vec<Breach> {
    let crate_root = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
    let found = tokens(&file.text);
    let has = |level: &str| {
        (0..found.len()).find(|at| texts(&found, *at, &[level, "(", "unsafe_code", ")"]))
    };
    let denies = UNSAFE.iter().any(|(package, _)| file.path.starts_with(package));
    let allowed = UNSAFE.iter().any(|(_, place)| file.path.starts_with(place));
    let mut breaches = Vec::new();
    if is_rust(file) && crate_root && !denies && has("forbid").is_none() {
        breaches.push(Breach::at(&file.path, 1, "a crate does not forbid unsafe code"));
    }
    if let Some(at) = has("allow").filter(|_| is_rust(file) && !allowed) {
        breaches.push(Breach::at(&file.path, found[at].line, "unsafe code is allowed here"));
    }
    breaches
}

/// No queue without a bound: the unbounded channels of std, tokio and crossbeam stay out.
#[must_use]
pub fn queues_have_bounds(file: &File) -> Vec<Breach> {
    if !is_rust(file) {
        return Vec::new();
    }
    let found = tokens(&file.text);
    let endless = |at: &usize| {
        matches!(
            found[*at].text,
            "unbounded_channel" | "UnboundedSender" | "UnboundedReceiver" | "unbounded"
        ) || is_std_channel(&found, *at)
    };
    (0..found.len())
        .filter(endless)
        .map(|at| Breach::at(&file.path, found[at].line, "a queue has no bound"))
        .collect()
}

/// `mpsc::channel()` and `mpsc::channel::<T>()` take no capacity; tokio's takes one.
fn is_std_channel(tokens: &[Token<'_>], at: usize) -> bool {
    if !texts(tokens, at, &["mpsc", "::", "channel"]) {
        return false;
    }
    let mut after = at + 3;
    if texts(tokens, after, &["::", "<"]) {
        let close = tokens.iter().skip(after).position(|token| token.text == "(");
        after += close.unwrap_or(0);
    }
    texts(tokens, after, &["(", ")"])
}

/// No half-built code, no mark for later, no test that is switched off.
#[must_use]
pub fn nothing_is_unfinished(file: &File) -> Vec<Breach> {
    if !is_rust(file) {
        return Vec::new();
    }
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut breaches = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        if marks.iter().any(|mark| line.contains(mark)) {
            breaches.push(Breach::at(&file.path, number + 1, "a mark for later was left"));
        }
    }
    let found = tokens(&file.text);
    for (at, token) in found.iter().enumerate() {
        let stub = matches!(token.text, "todo" | "unimplemented") && texts(&found, at + 1, &["!"]);
        let asleep = texts(&found, at, &["#", "[", "ignore"]);
        if stub || asleep {
            breaches.push(Breach::at(&file.path, token.line, "something is not finished"));
        }
    }
    breaches
}

/// Libraries count and trace; only the command line writes to the terminal.
#[must_use]
pub fn only_the_command_line_talks(file: &File) -> Vec<Breach> {
    if !ships(file) || file.path.starts_with("cli/") {
        return Vec::new();
    }
    let (tokens, _) = named(file);
    let talks = |at: &usize| {
        matches!(tokens[*at].text, "print" | "println" | "eprint" | "eprintln" | "dbg")
            && texts(&tokens, at + 1, &["!"])
    };
    (0..tokens.len())
        .filter(talks)
        .map(|at| Breach::at(&file.path, tokens[at].line, "a library writes to the terminal"))
        .collect()
}
