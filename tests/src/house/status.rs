//! The page that says which promise is kept today, and which tests hold it to that.
//!
//! Nobody writes the page: it is made from the table of promises in the README, from the tests and from
//! the code that ships. A test cites a promise by its number, in the comment at the head of its file or
//! in its own; code cites it in any comment. What the README promises without a reserve must be cited in
//! code and by tests of two kinds: what one way of testing cannot see, another may.

use super::Breach;
use super::tree::File;
use std::collections::BTreeSet;

/// Where the page lies.
pub const PAGE: &str = "docs/status.md";
/// The promises are P1 to this one.
pub const PROMISES: usize = 17;

const HEAD: &str = "\
# Status

Which promise is kept today, where, and by which tests. This page is made from the table of promises in
[README.md](../README.md), and from the code and the tests, which cite promises by their numbers:

```sh
STARLING_REGENERATE=1 cargo test -p starling-tests --test integration status
```

*Yes* says that tests of at least two kinds try to break the promise and do not succeed; *in part*, that
the README names what of it is not there yet; *not yet*, that no test cites it.

";

/// A promise as the README gives it.
#[derive(Debug)]
struct Promise<'a> {
    number: usize,
    words: &'a str,
    /// What of it is not there yet.
    lacks: Option<&'a str>,
}

/// Tests that cite promises: a whole file, or one of its tests.
#[derive(Debug)]
struct Citation {
    numbers: Vec<usize>,
    path: String,
    /// What is tested, as the comment or the name of the test says it.
    words: String,
}

/// How a test looks at what it tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Bytes and predictions.
    Codec,
    /// The deterministic core, alone.
    Core,
    /// The transport, alone.
    Transport,
    /// The SDK, alone.
    Sdk,
    /// The server round the core.
    Server,
    /// The swarm and its judgement.
    Swarm,
    /// The whole system on real sockets.
    Sockets,
    /// The whole system in one thread, from a seed.
    Simulation,
    /// The real binary, its processes, signals and files.
    Binary,
}

impl Kind {
    /// By where the test lies.
    fn of(path: &str) -> Self {
        match path.split('/').next() {
            Some("protocol") => Self::Codec,
            Some("world") => Self::Core,
            Some("transport") => Self::Transport,
            Some("client") => Self::Sdk,
            Some("server") => Self::Server,
            Some("client-sim") => Self::Swarm,
            Some("cli") => Self::Binary,
            _ if path.starts_with("tests/simulation") => Self::Simulation,
            _ if path.starts_with("tests/chaos") => Self::Binary,
            _ => Self::Sockets,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Codec => "codec",
            Self::Core => "core",
            Self::Transport => "transport",
            Self::Sdk => "SDK",
            Self::Server => "server",
            Self::Swarm => "swarm",
            Self::Sockets => "real sockets",
            Self::Simulation => "simulation",
            Self::Binary => "real binary",
        }
    }
}

/// The page, as it should be.
#[must_use]
pub fn page(readme: &File, house: &[File]) -> String {
    let (promises, citations, keepers) = (promises(readme), citations(house), keepers(house));
    let mut page =
        HEAD.to_owned() + "| Promise | Kept | | Tests of these kinds |\n|---|---|---|---|\n";
    for promise in &promises {
        let Promise { number, words, .. } = promise;
        let kept = kept(promise, &citations);
        let kinds = kinds(*number, &citations).into_iter().map(Kind::words);
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        page += &format!("| [P{number}](#p{number}) | {kept} | {words} | {kinds} |\n");
    }
    for promise in &promises {
        page += &section(promise, &citations, &keepers);
    }
    page
}

fn kinds(number: usize, citations: &[Citation]) -> BTreeSet<Kind> {
    of(number, citations).map(|citation| Kind::of(&citation.path)).collect()
}

fn section(promise: &Promise<'_>, citations: &[Citation], keepers: &[Keeper]) -> String {
    let Promise { number, words, lacks } = promise;
    let mut text = format!("\n## P{number}\n\n{words}\n");
    if let Some(lacks) = lacks {
        text += &format!("*({lacks})*\n");
    }
    text += "\n";
    let kept_in = keepers.iter().filter(|keeper| keeper.numbers.contains(number));
    let kept_in = kept_in.map(|Keeper { path, .. }| format!("[{path}](../{path})"));
    let kept_in = kept_in.collect::<Vec<_>>();
    if !kept_in.is_empty() {
        text += &format!("Kept in {}.\n\n", kept_in.join(", "));
    }
    for Citation { path, words, .. } in of(*number, citations) {
        text += &format!("- [{path}](../{path}): {words}\n");
    }
    if of(*number, citations).next().is_none() {
        text += "No test yet.\n";
    }
    text
}

fn of(number: usize, citations: &[Citation]) -> impl Iterator<Item = &Citation> {
    citations.iter().filter(move |citation| citation.numbers.contains(&number))
}

fn kept(promise: &Promise<'_>, citations: &[Citation]) -> &'static str {
    match (of(promise.number, citations).next(), promise.lacks) {
        (None, _) => "not yet",
        (Some(_), Some(_)) => "in part",
        (Some(_), None) => "yes",
    }
}

/// The page is as the tests have it, and what the README promises without a reserve is tested.
#[must_use]
pub fn page_is_fresh(readme: &File, house: &[File]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let written = house.iter().find(|file| file.path == PAGE).map(|file| &file.text);
    if written != Some(&page(readme, house)) {
        breaches.push(Breach::at(PAGE, 0, "is not what the tests say; STARLING_REGENERATE=1"));
    }
    let (citations, keepers) = (citations(house), keepers(house));
    let whole = promises(readme).into_iter().filter(|promise| promise.lacks.is_none());
    for Promise { number, .. } in whole {
        let mut lacks = |what: &str| {
            let rule = format!("P{number} is promised without a reserve, and {what}");
            breaches.push(Breach::at(&readme.path, 0, rule));
        };
        if kinds(number, &citations).len() < 2 {
            lacks("tests of fewer than two kinds cite it");
        }
        if !keepers.iter().any(|keeper| keeper.numbers.contains(&number)) {
            lacks("no code that ships cites it");
        }
    }
    breaches
}

/// Code that keeps promises.
#[derive(Debug)]
struct Keeper {
    numbers: Vec<usize>,
    path: String,
}

fn keepers(house: &[File]) -> Vec<Keeper> {
    let keeper = |file: &File| {
        let comments = file.text.lines().filter_map(|line| line.trim().strip_prefix("//"));
        let numbers = comments.flat_map(numbers).collect::<Vec<_>>();
        (!numbers.is_empty()).then(|| Keeper { numbers, path: file.path.clone() })
    };
    house.iter().filter(|file| ships(&file.path)).filter_map(keeper).collect()
}

/// Sources of the crates that ship.
fn ships(path: &str) -> bool {
    let crates = ["protocol", "world", "transport", "client", "server", "client-sim", "cli"];
    let package = path.split('/').next().unwrap_or_default();
    path.ends_with(".rs") && crates.contains(&package) && path.contains("/src/") && !is_test(path)
}

fn promises(readme: &File) -> Vec<Promise<'_>> {
    let row = |number: usize| {
        let start = format!("| P{number} |");
        let words = readme.text.lines().find_map(|line| line.strip_prefix(&start))?;
        let words = words.trim().trim_end_matches('|').trim();
        let (words, lacks) = match words.split_once("*(") {
            Some((words, lacks)) => (words.trim(), Some(lacks.trim_end_matches(")*"))),
            None => (words, None),
        };
        Some(Promise { number, words, lacks })
    };
    (1..=PROMISES).filter_map(row).collect()
}

fn citations(house: &[File]) -> Vec<Citation> {
    house.iter().filter(|file| is_test(&file.path)).flat_map(citations_of).collect()
}

/// Integration tests of any crate, and the packages of tests but for their library.
fn is_test(path: &str) -> bool {
    let in_tests = path.starts_with("tests/") || path.contains("/tests/");
    in_tests && path.ends_with(".rs") && !path.starts_with("tests/src/")
}

fn citations_of(file: &File) -> Vec<Citation> {
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let head = lines.iter().map_while(|line| line.strip_prefix("//!"));
    let head = head.collect::<String>();
    let sentence = head.trim().split_inclusive('.').next().unwrap_or_default().to_owned();
    let tests = (0..lines.len()).filter(|at| lines[*at] == "#[test]");
    let tests = tests.filter_map(|at| test_at(&lines, at));
    std::iter::once((head, sentence))
        .chain(tests)
        .map(|(comment, words)| (numbers(&comment), words))
        .filter(|(numbers, _)| !numbers.is_empty())
        .map(|(numbers, words)| Citation { numbers, path: file.path.clone(), words })
        .collect()
}

/// The comment above a `#[test]`, and the name below it as a sentence.
fn test_at(lines: &[&str], at: usize) -> Option<(String, String)> {
    let above = lines[..at].iter().rev();
    let above = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
    let comment = above.filter_map(|line| line.strip_prefix("///")).collect();
    let name = lines[at..].iter().find_map(|line| line.strip_prefix("fn "))?;
    let name = name.split(['(', '<']).next()?;
    Some((comment, name.replace('_', " ")))
}

/// The promises that a text names: P and a number, standing alone, or all from one to another.
fn numbers(text: &str) -> Vec<usize> {
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    let number = |word: &str| word.strip_prefix('P')?.parse::<usize>().ok();
    let mut numbers: Vec<usize> = words.iter().filter_map(|word| number(word)).collect();
    for range in words.windows(3).filter(|range| range[1] == "to") {
        if let (Some(from), Some(to)) = (number(range[0]), number(range[2])) {
            numbers.extend(from + 1..to.min(PROMISES + 1));
        }
    }
    numbers.retain(|number| (1..=PROMISES).contains(number));
    numbers
}
