//! The table of faults names tests that exist.

use super::Breach;
use super::tree::File;

/// Where the table lies.
pub const PAGE: &str = "docs/faults.md";
/// Faults that the table must have.
pub const FAULTS: &[u32] =
    &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 26, 27, 39, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 60];

/// Every fault has a row, every row names a test, and every test that is named exists.
#[must_use]
pub fn are_tested(page: &File, house: &[File]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let lines: Vec<(usize, &str)> = page.text.lines().enumerate().collect();
    for fault in FAULTS {
        let start = format!("| {fault} |");
        let row = lines.iter().find(|(_, line)| line.starts_with(&start));
        if row.is_none_or(|(_, line)| named(line).next().is_none()) {
            breaches.push(Breach::at(&page.path, 0, format!("no test of fault {fault} is named")));
        }
    }
    for (number, line) in lines {
        for (path, name) in named(line) {
            let file = house.iter().find(|file| file.path == path);
            if !file.is_some_and(|file| has_test(file, name)) {
                let rule = format!("there is no test {path}::{name}");
                breaches.push(Breach::at(&page.path, number + 1, rule));
            }
        }
    }
    breaches
}

/// The tests that a line names, as `path.rs::name` between backticks.
fn named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter_map(|words| words.split_once("::")).filter(|(path, _)| path.ends_with(".rs"))
}

/// A function of this name, whose attributes make it a test.
fn has_test(file: &File, name: &str) -> bool {
    let start = format!("fn {name}(");
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let functions = lines.iter().enumerate().filter(|(_, line)| line.starts_with(&start));
    functions.map(|(at, _)| &lines[..at]).any(|above| {
        let attributes = above.iter().rev().take_while(|line| line.starts_with("#["));
        attributes.into_iter().any(|line| *line == "#[test]")
    })
}
