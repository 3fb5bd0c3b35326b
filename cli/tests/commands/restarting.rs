//! `starling serve --data`: what is the same after the process died (P1, P5, P6, P7, P11).

use crate::serving::Guest;
use crate::shell::{Scratch, serve, serve_at, starling};
use starling_client::{ClientEvent, Publication, ResumeAnswer, SubscribeOptions};
use starling_protocol::message::events::Answer;
use starling_protocol::units::MessageId;

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

/// Publishes, and does not wait for the answer.
fn says(guest: &mut Guest, words: &str) -> MessageId {
    let publication = Publication::to_channel("room/1", words.as_bytes().to_vec());
    guest.client.publish(publication).expect("few are under way")
}

fn is_acknowledged(guest: &mut Guest, asked: MessageId) {
    guest.hears(
        "it is acknowledged",
        |event| matches!(event, ClientEvent::Published { message, .. } if *message == asked),
    );
}

/// What it heard on the channel, in its order.
fn heard(guest: &Guest) -> Vec<(u64, String)> {
    let delivered = guest.events.iter().filter_map(|event| match event {
        ClientEvent::Delivered(event) => Some(event),
        _ => None,
    });
    let words = |payload: &[u8]| String::from_utf8(payload.to_vec()).expect("words");
    delivered.map(|event| (event.offset.0, words(&event.payload))).collect()
}

/// Killed and begun again three times, while something is under way: the session and its subscription go
/// on, everything that was said is heard once and in order, and what was under way is acknowledged.
#[test]
fn after_a_kill_a_durable_channel_goes_on_and_nothing_of_it_is_lost() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let args = ["--world", "yard=metric,durability=durable", "--data", &data];
    let mut serving = serve(&args);
    let (mut ann, mut bob) = (Guest::of(&serving), Guest::of(&serving));
    ann.client.subscribe("room/1", SubscribeOptions::default()).expect("one is few enough");
    ann.hears("she follows", |event| matches!(event, ClientEvent::Subscribed { .. }));
    let mut said = Vec::new();
    for life in 0..3 {
        for words in ["one", "two", "three"] {
            said.push(format!("{words} of life {life}"));
            let asked = says(&mut bob, said.last().expect("it was pushed"));
            is_acknowledged(&mut bob, asked);
        }
        said.push(format!("the last words of life {life}"));
        let last = says(&mut bob, said.last().expect("it was pushed"));
        bob.client.advance(bob.clock.now());
        let address = serving.address.clone();
        drop(serving); // by SIGKILL
        for guest in [&mut ann, &mut bob] {
            guest.events.retain(|event| matches!(event, ClientEvent::Delivered(_)));
        }
        serving = serve_at(&address, &args);
        for guest in [&mut ann, &mut bob] {
            guest.hears("the session goes on", |event| {
                matches!(event, ClientEvent::Reconnected { answer: ResumeAnswer::Resumed, .. })
            });
        }
        ann.hears("the subscription goes on", |event| {
            matches!(event, ClientEvent::Subscribed { answer: Answer::Resumed, .. })
        });
        is_acknowledged(&mut bob, last);
    }
    let all = said.len() as u64;
    ann.hears(
        "the last of it",
        |event| matches!(event, ClientEvent::Delivered(event) if event.offset.0 == all),
    );
    assert_eq!(heard(&ann), (1..=all).zip(said).collect::<Vec<_>>());
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
