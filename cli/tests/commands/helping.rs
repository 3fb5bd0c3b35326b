//! Whoever is lost finds the way: help with examples, and words for what was wrong.

use crate::shell::starling;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["serve"],
    &["demo"],
    &["swarm"],
    &["token"],
    &["token", "keys"],
    &["token", "make"],
    &["cert"],
    &["cert", "make"],
    &["cert", "show"],
    &["config"],
    &["check"],
];

#[test]
fn the_help_of_every_command_has_an_example_of_it() {
    for command in COMMANDS {
        let help = starling(&[*command, &["--help"]].concat()).fine();
        let examples = help.split_once("Examples:").map(|(_, examples)| examples);
        let example = format!("starling {}", command.join(" "));
        assert!(examples.is_some_and(|text| text.contains(&example)), "{command:?}: {help}");
    }
}

#[test]
fn every_example_of_the_help_is_understood() {
    for command in COMMANDS {
        let help = starling(&[*command, &["--help"]].concat()).fine();
        let (_, examples) = help.split_once("Examples:").expect("there are examples");
        let examples = examples.replace(" \\\n     ", "");
        for example in examples.lines().filter_map(|line| line.split_once("starling ")) {
            let words = words(example.1);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            // With --help at its end nothing is done but the arguments are read.
            let ended = starling(&[&words[..], &["--help"]].concat());
            assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        }
    }
}

#[test]
fn the_help_of_serve_names_everything_that_a_world_can_be_given() {
    let help = starling(&["serve", "--help"]).fine();
    let refused = starling(&["serve", "--world", "plaza=metric,nonsense=1"]);
    let (_, known) = refused.err.split_once("expected one of ").expect("it says what it knows");
    let keys = known.split('`').skip(1).step_by(2).map(|key| key.replace('_', "-"));
    // Name and space come first, without a key; kinds and namespaces need a file.
    let other = |key: &String| !matches!(&**key, "name" | "space" | "kinds" | "namespaces");
    let keys: Vec<_> = keys.filter(other).collect();
    assert!(keys.len() > 5, "{}", refused.err);
    for key in keys {
        assert!(help.contains(&format!(",{key}=")), "`{key}` is not in the help: {help}");
    }
}

/// The words of a command as a shell splits it: quotes hold together, and two spaces or `>` end it.
fn words(line: &str) -> Vec<String> {
    let command = line.split("  ").next().unwrap_or(line).split(" > ").next().unwrap_or(line);
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in command.chars() {
        let last = words.last_mut().expect("there is always one");
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (None, ' ') => words.push(String::new()),
            (_, other) => last.push(other),
        }
    }
    words
}

#[test]
fn no_command_and_an_unknown_flag_are_bad_usage() {
    starling(&[]).complains(1, &["Usage: starling"]);
    starling(&["swarm", "--clients", "many"]).complains(1, &["--clients", "many"]);
    starling(&["serve", "--port", "4433"]).complains(1, &["--port"]);
    starling(&["swarm"]).complains(1, &["--fingerprint", "--insecure"]);
    starling(&["check"]).complains(1, &["--config", "--reach"]);
}

#[test]
fn the_version_is_told() {
    let version = starling(&["--version"]).fine();
    assert_eq!(version.trim(), concat!("starling ", env!("CARGO_PKG_VERSION")));
}
