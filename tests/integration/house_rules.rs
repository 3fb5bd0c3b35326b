//! The house is in order, and each rule of the house is able to find it out of order.

use cargo_metadata::MetadataCommand;
use starling_protocol::close::CloseCode;
use starling_tests::house::arrows::{self, ARROWS, Imports};
use starling_tests::house::sources::{self, Rule};
use starling_tests::house::tree::{File, files, root};
use starling_tests::house::{Breach, clocks, documents, faults, status};

fn house() -> Vec<File> {
    files(&root()).expect("the workspace can be listed")
}

fn packages() -> Vec<Imports> {
    let manifest = root().join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec();
    let metadata = metadata.expect("cargo describes the workspace");
    metadata.packages.iter().map(Imports::from).collect()
}

fn in_order(breaches: impl IntoIterator<Item = Breach>) {
    let found: Vec<String> = breaches.into_iter().map(|breach| breach.to_string()).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The rule finds the bad text at that path and is content with the good one.
fn tells_apart(rule: Rule, path: &str, bad: &str, good: &str) {
    assert_eq!(rule(&File::new(path, bad)).len(), 1, "should be a breach: {bad}");
    in_order(rule(&File::new(path, good)));
}

fn importing(package: &str, dependency: &str) -> Imports {
    Imports {
        package: package.to_owned(),
        dependencies: vec![(dependency.to_owned(), false)],
        features: Vec::new(),
    }
}

#[test]
fn imports_follow_the_arrows() {
    let packages = packages();
    assert!(packages.len() >= ARROWS.len(), "the whole workspace is seen");
    in_order(arrows::check(&packages));
}

#[test]
fn an_import_against_the_arrows_is_found() {
    for (package, dependency) in [
        ("starling-client", "starling-world"),
        ("starling-client-sim", "starling-server"),
        ("starling-world", "starling-transport"),
        ("starling-protocol", "starling-world"),
        ("starling-server", "quinn"),
        ("starling-client", "bincode"),
        ("starling-client-sim", "rstar"),
        ("starling-newcomer", "serde"),
    ] {
        let breaches = arrows::check(&[importing(package, dependency)]);
        assert_eq!(breaches.len(), 1, "{package} imports {dependency}");
    }
    in_order(arrows::check(&[importing("starling-tests", "starling-world")]));
}

#[test]
fn the_client_opens_the_network_only_by_its_feature_net() {
    let packages = packages();
    let client = packages.iter().find(|imports| imports.package == "starling-client");
    in_order(arrows::check_client(client.expect("the client is a package of the workspace")));
}

#[test]
fn a_client_that_always_opens_the_network_is_found() {
    let always = importing("starling-client", "starling-transport");
    assert_eq!(arrows::check_client(&always).len(), 1);

    let mut other = always;
    other.dependencies[0].1 = true;
    in_order(arrows::check_client(&other));
    other.features = vec![("poll".to_owned(), vec!["dep:starling-transport".to_owned()])];
    assert_eq!(arrows::check_client(&other).len(), 1);
}

#[test]
fn sources_keep_the_rules() {
    let house = house();
    assert!(house.iter().any(|file| file.path == "protocol/src/lib.rs"), "sources are seen");
    in_order(house.iter().flat_map(|file| sources::RULES.iter().flat_map(move |rule| rule(file))));
}

#[test]
fn a_library_outside_its_file_is_found() {
    let rule = sources::one_file_libraries;
    tells_apart(rule, "protocol/src/frame.rs", "use bincode::config;", "// bincode is elsewhere");
    tells_apart(rule, "server/src/net/mod.rs", "use quinn::Endpoint;", "let why = \"quinn\";");
    tells_apart(rule, "client/src/net.rs", "use quinn_proto as q;", "use starling_transport as t;");
    in_order(rule(&File::new("protocol/src/codec.rs", "use bincode::config;")));
    in_order(rule(&File::new("transport/src/quic/server.rs", "use quinn::Endpoint;")));
}

#[test]
fn a_transport_that_reads_messages_is_found() {
    let rule = sources::transport_knows_no_message;
    let path = "transport/src/memory/link.rs";
    tells_apart(
        rule,
        path,
        "use starling_protocol::{limits, message::Hello};",
        "use starling_protocol::{close::CloseCode, limits::*, units::Tick};",
    );
    tells_apart(rule, path, "let s = starling_protocol::snapshot::decode(b);", "let s = 1;");
}

#[test]
fn a_room_that_imports_the_net_is_found() {
    let rule = sources::rooms_do_not_reach_up;
    tells_apart(
        rule,
        "server/src/room/mod.rs",
        "use crate::net::Front;",
        "use crate::config::Net;",
    );
    tells_apart(
        rule,
        "server/src/room/inbox.rs",
        "use super::super::net::A;",
        "use super::clock::B;",
    );
    tells_apart(rule, "server/src/room/worker.rs", "use crate::{net::Front, config::C};", "");
    tells_apart(rule, "server/src/http/mod.rs", "use crate::net::Front;", "use crate::room::Room;");
    tells_apart(rule, "server/src/room/mod.rs", "use crate::run::start;", "use std::net::IpAddr;");
}

#[test]
fn a_crate_that_does_not_forbid_unsafe_code_is_found() {
    let rule = sources::unsafe_is_forbidden;
    tells_apart(rule, "server/src/lib.rs", "//! Docs.", "#![forbid(unsafe_code)]");
    tells_apart(rule, "cli/src/main.rs", "fn main() {}", "#![forbid(unsafe_code)] fn main() {}");
    tells_apart(rule, "server/src/net/mod.rs", "#[allow(unsafe_code)] fn f() {}", "fn f() {}");
    in_order(rule(&File::new("world/src/lib.rs", "pub mod kernel;")));
    let allows = "#[allow(unsafe_code)] fn f() {}";
    tells_apart(rule, "transport/src/quic/hub/mod.rs", allows, "fn f() {}");
    in_order(rule(&File::new("transport/src/fetch.rs", allows)));
}

#[test]
fn a_queue_without_a_bound_is_found() {
    let rule = sources::queues_have_bounds;
    let path = "server/src/room/inbox.rs";
    tells_apart(rule, path, "let q = mpsc::channel();", "let q = mpsc::channel(64);");
    tells_apart(rule, path, "let q = mpsc::channel::<u8>();", "let q = mpsc::sync_channel(1);");
    tells_apart(rule, path, "let q = mpsc::unbounded_channel();", "let q = client.channel();");
    tells_apart(rule, path, "let q = crossbeam_channel::unbounded();", "let q = bounded(1);");
}

#[test]
fn a_mark_for_later_and_a_sleeping_test_are_found() {
    let rule = sources::nothing_is_unfinished;
    let path = "world/src/cue.rs";
    tells_apart(rule, path, concat!("// TO", "DO: later"), "// later means the next tick");
    tells_apart(rule, path, concat!("// FIX", "ME"), "// nothing to mend");
    tells_apart(rule, path, "fn f() { todo!() }", "fn f(todo: u8) {}");
    tells_apart(rule, path, "#[ignore] #[test] fn f() {}", "fn ignore() {}");
}

#[test]
fn a_library_that_writes_to_the_terminal_is_found() {
    let rule = sources::only_the_command_line_talks;
    let path = "client-sim/src/swarm/driver.rs";
    tells_apart(rule, path, "eprintln!(\"here\");", "tracing::debug!(\"here\");");
    tells_apart(rule, path, "dbg!(x);", "#[cfg(test)] mod tests { fn f() { println!(); } }");
    in_order(rule(&File::new("cli/src/terminal.rs", "println!(\"here\");")));
}

#[test]
fn the_core_the_wire_and_the_inner_client_are_pure() {
    in_order(house().iter().flat_map(clocks::check));
}

#[test]
fn a_clock_in_the_core_is_found() {
    let world = "world/src/session.rs";
    tells_apart(clocks::check, world, "fn f(t: Instant) {}", "fn f(now: Tick) {}");
    tells_apart(clocks::check, world, "use std::thread;", "fn f(threads: u8) {}");
    tells_apart(clocks::check, world, "let a = std::net::IpAddr::from(b);", "let a = self.net;");
    tells_apart(clocks::check, world, "fn f(m: HashMap<A, B>) {}", "fn f(m: BTreeMap<A, B>) {}");
    tells_apart(
        clocks::check,
        world,
        "fn f(s: SystemTime) {}",
        "#[cfg(test)] mod tests { use std::collections::HashMap; }",
    );
    tells_apart(clocks::check, "protocol/src/frame.rs", "async fn f() {}", "fn f() {}");
    tells_apart(clocks::check, "client/src/clock.rs", "let n = Instant::now();", "let n = now;");
    tells_apart(
        clocks::check,
        "client/src/lib.rs",
        "pub use starling_transport::tls;",
        "#[cfg(feature = \"net\")] pub use starling_transport::tls;",
    );
    in_order(clocks::check(&File::new("client/src/net/poll.rs", "let n = Instant::now();")));
    in_order(clocks::check(&File::new("server/src/room/mod.rs", "let n = Instant::now();")));
}

#[test]
fn texts_name_no_machine() {
    in_order(house().iter().flat_map(documents::names_no_machine));
}

#[test]
fn a_path_of_one_machine_is_found() {
    let rule = documents::names_no_machine;
    tells_apart(rule, "README.md", concat!("see /ho", "me/ann/x"), "see docs/operations.md");
    tells_apart(rule, ".ci/run", concat!("cd /ro", "ot/x"), "cd \"$root/\"");
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let root = root();
    let exists = |path: &str| root.join(path).exists();
    in_order(house().iter().flat_map(|file| documents::links_lead_somewhere(file, &exists)));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let exists = |path: &str| path == "docs/glossary.md";
    let check = |text| documents::links_lead_somewhere(&File::new("docs/adr/a.md", text), &exists);
    assert_eq!(check("see [that](../nowhere.md)").len(), 1);
    in_order(check("see [this](../glossary.md#tick), [web](https://example.org) and [here](#a)"));
}

#[test]
fn every_own_clippy_file_repeats_the_shared_bans() {
    let house = house();
    let clippy = |file: &&File| file.path.ends_with("clippy.toml");
    let (shared, own): (Vec<_>, Vec<_>) =
        house.iter().filter(clippy).partition(|file| file.path == "clippy.toml");
    assert_eq!(shared.len(), 1, "the workspace has its clippy.toml");
    assert!(!own.is_empty(), "world has its clippy.toml");
    in_order(own.iter().flat_map(|file| documents::bans_are_repeated(shared[0], file)));
}

#[test]
fn a_ban_that_is_not_repeated_is_found() {
    let shared = File::new("clippy.toml", "    { path = \"a::b\", reason = \"c\" },");
    let own = File::new("world/clippy.toml", "    { path = \"d::e\", reason = \"f\" },");
    assert_eq!(documents::bans_are_repeated(&shared, &own).len(), 1);
    in_order(documents::bans_are_repeated(&shared, &shared));
}

#[test]
fn the_commands_of_the_readme_are_those_that_are_checked() {
    let house = house();
    let file = |path: &str| house.iter().find(|file| file.path == path).cloned();
    let readme = file("README.md").expect("there is a README");
    let checks = file(".ci/run").expect("there is a script of checks");
    in_order(documents::commands_are_run(&readme, &checks));
}

#[test]
fn a_readme_with_other_commands_is_found() {
    let commands = documents::README_COMMANDS.join("\n");
    let good = File::new("README.md", &commands);
    in_order(documents::commands_are_run(&good, &good));
    let bad = File::new("README.md", "cargo run");
    assert_eq!(documents::commands_are_run(&bad, &good).len(), 2);
    assert_eq!(documents::commands_are_run(&good, &bad).len(), 1);
}

#[test]
fn the_documents_state_close_codes_as_they_are() {
    let codes: Vec<_> = CloseCode::ALL.iter().map(|code| (code.label(), code.0)).collect();
    let house = house();
    in_order(house.iter().flat_map(|file| documents::codes_are_right(file, &codes)));
}

#[test]
fn a_close_code_with_another_number_is_found() {
    let codes = [("lost", 1001), ("version", 3001)];
    let check = |text| documents::codes_are_right(&File::new("docs/a.md", text), &codes);
    assert_eq!(check("closed with `lost` (1002) or `version` 3001").len(), 1);
    in_order(check("closed with `lost` (1001), in `2024` or `version` 3001, with `lost` 12 times"));
}

#[test]
fn the_readme_lists_every_promise() {
    let house = house();
    let readme = house.iter().find(|file| file.path == "README.md").expect("there is a README");
    in_order(documents::promises_are_listed(readme));
    assert_eq!(documents::promises_are_listed(&File::new("README.md", "")).len(), 17);
}

#[test]
fn the_page_of_the_status_is_made_from_the_tests() {
    let mut house = house();
    let readme = house.iter().find(|file| file.path == "README.md").cloned();
    let readme = readme.expect("there is a README");
    if std::env::var_os("STARLING_REGENERATE").is_some() {
        let page = status::page(&readme, &house);
        std::fs::write(root().join(status::PAGE), &page).expect("the page can be written");
        house.retain(|file| file.path != status::PAGE);
        house.push(File::new(status::PAGE, &page));
    }
    in_order(status::page_is_fresh(&readme, &house));
}

#[test]
fn a_stale_page_and_a_promise_that_nobody_tests_are_found() {
    let readme = File::new("README.md", "| P1 | No way back. |\n| P5 | Safe. *(disks: not yet)* |");
    let code = File::new("world/src/a.rs", "// P1: the tick only grows.\n");
    let whole = File::new("world/tests/a.rs", "//! No way back (P1). More.\n");
    let one = File::new("tests/integration/b.rs", "/// P5, P1.\n#[test]\nfn a_disk_is_safe() {}\n");
    let other = File::new("tests/c.rs", "/// P5.\nfn not_a_test() {}\n// P1\n");
    let mut house = vec![code, whole, one, other];
    let page = status::page(&readme, &house);
    assert!(page.contains("| [P1](#p1) | yes | No way back. | core, real sockets |"), "{page}");
    assert!(page.contains("| [P5](#p5) | in part | Safe. | real sockets |"), "{page}");
    assert!(page.contains("Kept in [world/src/a.rs](../world/src/a.rs).\n"), "{page}");
    assert!(
        page.contains("- [world/tests/a.rs](../world/tests/a.rs): No way back (P1).\n"),
        "{page}"
    );
    let line = "- [tests/integration/b.rs](../tests/integration/b.rs): a disk is safe\n";
    assert!(page.contains(line), "{page}");
    assert!(!page.contains("c.rs"), "{page}");

    house.push(File::new(status::PAGE, &page));
    in_order(status::page_is_fresh(&readme, &house));
    let fresh_but = |house: &[File]| {
        let mut house = house.to_vec();
        house.pop();
        let page = status::page(&readme, &house);
        house.push(File::new(status::PAGE, &page));
        status::page_is_fresh(&readme, &house)
    };
    house[0].text.clear();
    assert_eq!(status::page_is_fresh(&readme, &house).len(), 2, "stale, and no code cites P1");
    assert_eq!(fresh_but(&house).len(), 1);
    house[1].text.clear();
    assert_eq!(fresh_but(&house).len(), 2, "and tests of one kind only cite it");
}

#[test]
fn every_fault_has_a_test() {
    let house = house();
    let page = house.iter().find(|file| file.path == faults::PAGE).expect("there is a table");
    in_order(faults::are_tested(page, &house));
}

#[test]
fn a_fault_without_a_test_and_a_test_that_is_not_there_are_found() {
    let rows = faults::FAULTS.iter().map(|fault| format!("| {fault} | it | `a/b.rs::it_is` | |\n"));
    let rows: String = rows.collect();
    let check = |page: &str, code: &str| {
        let house = [File::new("a/b.rs", code)];
        faults::are_tested(&File::new(faults::PAGE, page), &house).len()
    };
    let test = "#[test]\n#[cfg(unix)]\nfn it_is() {}\n";
    assert_eq!(check(&rows, test), 0);
    assert_eq!(check(&rows, "fn it_is() {}\n"), faults::FAULTS.len(), "it is no test");
    assert_eq!(check(&rows.replace("| 7 |", "| 77 |"), test), 1, "there is no row");
    assert_eq!(check(&rows.replacen("`a/b.rs::it_is`", "by eye", 1), test), 1, "no test is named");
}
