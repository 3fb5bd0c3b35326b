//! Rules on texts: documents, scripts and configuration.

use super::Breach;
use super::status::PROMISES;
use super::tree::File;
use std::collections::BTreeSet;

/// Places on somebody's own machine, which mean nothing to anybody else.
#[must_use]
pub fn names_no_machine(file: &File) -> Vec<Breach> {
    let places = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!("C:", "\\"),
    ];
    let lines = file.text.lines().enumerate();
    lines
        .filter(|(_, line)| places.iter().any(|place| line.contains(place)))
        .map(|(number, _)| Breach::at(&file.path, number + 1, "a path of one machine is named"))
        .collect()
}

/// Relative links of a Markdown file lead to a file of the workspace.
#[must_use]
pub fn links_lead_somewhere(file: &File, exists: &dyn Fn(&str) -> bool) -> Vec<Breach> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for target in targets(line).filter(|target| !exists(&beside(&file.path, target))) {
            let rule = format!("the link to {target} leads nowhere");
            breaches.push(Breach::at(&file.path, number + 1, rule));
        }
    }
    breaches
}

/// The relative targets of the links in a line, without their fragments.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let whole = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let relative = whole.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    relative.filter_map(|target| target.split('#').next()).filter(|target| !target.is_empty())
}

/// Resolves a link against the file that holds it.
fn beside(file: &str, target: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Clippy reads one `clippy.toml` per crate and does not merge them, so a crate's own file repeats
/// what the workspace's file bans.
#[must_use]
pub fn bans_are_repeated(shared: &File, own: &File) -> Vec<Breach> {
    let repeated: BTreeSet<_> = banned(&own.text).collect();
    let missing = banned(&shared.text).filter(|path| !repeated.contains(path));
    missing.map(|path| Breach::at(&own.path, 0, format!("does not repeat {path}"))).collect()
}

fn banned(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("{ path = \"")?.split('"').next())
}

/// A document that names a close code by label and number, as in `lost` 1001, has the number right.
#[must_use]
pub fn codes_are_right(file: &File, codes: &[(&str, u16)]) -> Vec<Breach> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for (label, stated) in stated_codes(line) {
            let wrong = codes.iter().find(|(known, code)| *known == label && *code != stated);
            if let Some((_, code)) = wrong {
                let rule = format!("{label} is {code}, not {stated}");
                breaches.push(Breach::at(&file.path, number + 1, rule));
            }
        }
    }
    breaches
}

/// Words in backquotes that a four-digit number follows, in brackets or not.
fn stated_codes(line: &str) -> Vec<(&str, u16)> {
    let parts: Vec<&str> = line.split('`').collect();
    let quoted = (1..parts.len().saturating_sub(1)).step_by(2);
    quoted
        .filter_map(|at| {
            let after = parts[at + 1].trim_start_matches([' ', '(']);
            let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
            let number = digits.parse().ok().filter(|_| digits.len() == 4)?;
            Some((parts[at], number))
        })
        .collect()
}

/// The promises are numbered, each with one row in the README.
#[must_use]
pub fn promises_are_listed(readme: &File) -> Vec<Breach> {
    let row = |number: usize| {
        let start = format!("| P{number} |");
        readme.text.lines().filter(|line| line.starts_with(&start)).count()
    };
    (1..=PROMISES)
        .filter(|number| row(*number) != 1)
        .map(|number| Breach::at(&readme.path, 0, format!("P{number} is not listed once")))
        .collect()
}

/// The commands that the README gives a newcomer.
pub const README_COMMANDS: &[&str] = &["cargo run --release -- demo", "cargo test --workspace"];

/// The README gives the commands, and the checks of every change run the second as it stands.
#[must_use]
pub fn commands_are_run(readme: &File, checks: &File) -> Vec<Breach> {
    let line = |file: &File, command: &str| file.text.lines().any(|line| line.trim() == command);
    let mut breaches = Vec::new();
    for command in README_COMMANDS.iter().filter(|command| !line(readme, command)) {
        breaches.push(Breach::at(&readme.path, 0, format!("does not give `{command}`")));
    }
    if !line(checks, README_COMMANDS[1]) {
        breaches.push(Breach::at(&checks.path, 0, "does not run the README's tests as given"));
    }
    breaches
}
