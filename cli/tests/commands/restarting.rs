//! `starling serve --data`: what is the same after the process died (P1, P11).

use crate::serving::Guest;
use crate::shell::{Scratch, serve, serve_at, starling};
use starling_client::ClientEvent;

#[test]
fn after_a_kill_its_clients_find_the_same_server_in_another_life() {
    let scratch = Scratch::new();
    let data = ["--data", &scratch.path("data")];
    let serving = serve(&data);
    let mut guest = Guest::of(&serving);
    let (address, fingerprint) = (serving.address.clone(), serving.fingerprint.clone());
    drop(serving); // by SIGKILL

    let serving = serve_at(&address, &data);
    assert_eq!(serving.fingerprint, fingerprint);
    guest.events.clear();
    guest.hears("it is in again", |event| matches!(event, ClientEvent::Reconnected { .. }));
}

#[test]
fn a_folder_has_one_server_at_a_time() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let _serving = serve(&["--data", &data]);
    let again = ["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", &data];
    starling(&again).complains(1, &["data.dir", "in use by another process"]);
}

#[test]
fn a_counter_that_is_gone_is_not_guessed() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    drop(serve(&["--data", &data]));
    std::fs::remove_file(scratch.path("data/keys/epoch")).expect("it was written");
    let again = ["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", &data];
    starling(&again).complains(1, &["data.dir", "epoch is damaged", "restore it"]);
}
