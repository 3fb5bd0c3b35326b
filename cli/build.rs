//! Tells the program which commit it was built from, where that can be known.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=../.git/logs/HEAD");
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = output.ok().filter(|o| o.status.success()).map(|o| o.stdout);
    if let Some(commit) = commit.and_then(|bytes| String::from_utf8(bytes).ok()) {
        println!("cargo::rustc-env=STARLING_COMMIT={}", commit.trim());
    }
}
