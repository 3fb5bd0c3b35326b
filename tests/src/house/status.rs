//! The page that says which promise is kept today, and which tests hold it to that.
//!
//! Nobody writes the page: it is made from the table of promises in the README and from the tests.
//! A test cites a promise by its number, in the comment at the head of its file or in its own.

use super::Breach;
use super::tree::File;

/// Where the page lies.
pub const PAGE: &str = "docs/status.md";
/// The promises are P1 to this one.
pub const PROMISES: usize = 17;

const HEAD: &str = "\
# Status

Which promise is kept today, and by which tests. This page is made from the table of promises in
[README.md](../README.md) and from the tests, which cite promises by their numbers:

```sh
STARLING_REGENERATE=1 cargo test -p starling-tests --test integration status
```

*Yes* says that tests try to break the promise and do not succeed; *in part*, that the README names
what of it is not there yet; *not yet*, that no test cites it.

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

/// The page, as it should be.
#[must_use]
pub fn page(readme: &File, house: &[File]) -> String {
    let (promises, citations) = (promises(readme), citations(house));
    let mut page = HEAD.to_owned() + "| Promise | Kept | |\n|---|---|---|\n";
    for promise in &promises {
        let Promise { number, words, .. } = promise;
        let kept = kept(promise, &citations);
        page += &format!("| [P{number}](#p{number}) | {kept} | {words} |\n");
    }
    for promise in &promises {
        page += &section(promise, &citations);
    }
    page
}

fn section(promise: &Promise<'_>, citations: &[Citation]) -> String {
    let Promise { number, words, lacks } = promise;
    let mut text = format!("\n## P{number}\n\n{words}\n");
    if let Some(lacks) = lacks {
        text += &format!("*({lacks})*\n");
    }
    text += "\n";
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
    let citations = citations(house);
    for Promise { number, lacks, .. } in promises(readme) {
        if lacks.is_none() && of(number, &citations).next().is_none() {
            let rule = format!("P{number} is promised without a reserve, and no test cites it");
            breaches.push(Breach::at(&readme.path, 0, rule));
        }
    }
    breaches
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

/// The promises that a text names: P and a number, standing alone.
fn numbers(text: &str) -> Vec<usize> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let numbers = words.filter_map(|word| word.strip_prefix('P')?.parse().ok());
    numbers.filter(|number| (1..=PROMISES).contains(number)).collect()
}
