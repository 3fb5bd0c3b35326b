//! Configuration: printed, checked, and refused with the place of the mistake.

use crate::shell::{Scratch, serve, starling};

#[test]
fn the_configuration_that_is_printed_is_accepted() {
    let scratch = Scratch::new();
    let file = scratch.file("starling.toml", &starling(&["config"]).fine());
    let checked = starling(&["check", "--config", &file]).fine();
    assert!(checked.contains("config   ok"), "{checked}");
}

#[test]
fn a_bad_configuration_is_refused_with_file_line_and_field() {
    let scratch = Scratch::new();
    for (name, text, line, field) in [
        ("unknown.toml", "[server]\nlisten = \"127.0.0.1:0\"\ntick_hx = 20\n", 3, "tick_hx"),
        ("low.toml", "[limits]\n\nunsent_bytes = 9\n", 3, "limits.unsent_bytes"),
        ("type.toml", "[server]\ntick_hz = \"fast\"\n", 2, "server.tick_hz"),
        ("world.toml", "[[worlds]]\nname = \"a b\"\nspace = \"metric\"\n", 2, "worlds.0.name"),
    ] {
        let file = scratch.file(name, text);
        let place = format!("{file}:{line}");
        starling(&["check", "--config", &file]).complains(1, &[&place, field]);
        starling(&["serve", "--config", &file]).complains(1, &[&place, field]);
    }
    let cut = scratch.file("cut.toml", "[server]\nlisten = \n");
    starling(&["serve", "--config", &cut]).complains(1, &[&format!("{cut}:2")]);
    let none = scratch.path("none.toml");
    starling(&["serve", "--config", &none]).complains(1, &[&none]);
}

#[test]
fn a_flag_that_does_not_hold_is_named() {
    starling(&["serve", "--tick-hz", "241"]).complains(1, &["--tick-hz"]);
    starling(&["serve", "--world", "arena=round"]).complains(1, &["--world", "round"]);
    starling(&["serve", "--worlds", "some"]).complains(1, &["--worlds", "some"]);
}

#[test]
fn flags_beat_the_file() {
    let scratch = Scratch::new();
    let text =
        "[server]\nlisten = \"192.0.2.1:1\"\n\n[[worlds]]\nname = \"here\"\nspace = \"metric\"\n";
    let file = scratch.file("starling.toml", text);
    let serving = serve(&["--config", &file]);
    assert!(serving.address.starts_with("127.0.0.1:"), "{}", serving.greeting);
}
