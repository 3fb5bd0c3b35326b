//! Keys, tokens and certificates: made by one command, believed by the next.

use crate::shell::{Scratch, is_secret, serve, starling};

/// A short flight of two clients; gives its exit code and what it said.
fn flight(address: &str, more: &[&str]) -> crate::shell::Ended {
    let args =
        ["swarm", "--server", address, "--scenario", "walk", "--clients", "2", "--for", "1s"];
    starling(&[&args, more].concat())
}

#[test]
fn a_server_with_a_key_takes_its_tokens_and_nobody_else() {
    let scratch = Scratch::new();
    let folder = scratch.path("keys");
    starling(&["token", "keys", "--out", &folder]).fine();
    let (private, public) =
        (scratch.path("keys/starling.key.pem"), scratch.path("keys/starling.pub.pem"));
    assert!(is_secret(&private));
    starling(&["token", "keys", "--out", &folder]).complains(1, &["exists already"]);

    let serving = serve(&["--auth-key", &public, "--world", "walk=metric"]);
    assert!(!serving.greeting.contains("OPEN"), "{}", serving.greeting);
    let stranger = flight(&serving.address, &["--insecure"]);
    stranger.complains(2, &["token"]);

    let token = starling(&["token", "make", "--key", &private, "--sub", "ann"]).fine();
    let file = scratch.file("token", &token);
    let guest = flight(&serving.address, &["--insecure", "--token", &format!("@{file}")]);
    assert!(matches!(guest.code, Some(0 | 3 | 4)) && guest.out.contains("2 of 2"), "{guest:?}");

    let elsewhere = ["token", "make", "--key", &private, "--sub", "bob", "--world", "other"];
    let token = starling(&elsewhere).fine();
    let wrong_world = flight(&serving.address, &["--insecure", "--token", token.trim()]);
    wrong_world.complains(2, &["does not grant"]);
}

#[test]
fn a_token_of_another_key_is_refused() {
    let scratch = Scratch::new();
    let (ours, other) = (scratch.path("ours"), scratch.path("other"));
    starling(&["token", "keys", "--out", &ours]).fine();
    starling(&["token", "keys", "--out", &other]).fine();
    let serving = serve(&["--auth-key", &scratch.path("ours/starling.pub.pem")]);
    let key = scratch.path("other/starling.key.pem");
    let token = starling(&["token", "make", "--key", &key, "--sub", "eve"]).fine();
    let forged = flight(&serving.address, &["--insecure", "--token", token.trim()]);
    forged.complains(2, &["token was refused"]);
}

#[test]
fn what_is_no_key_grant_or_life_of_a_token_is_named() {
    let scratch = Scratch::new();
    let garbage = scratch.file("garbage.pem", "no key");
    let make = ["token", "make", "--sub", "ann", "--key"];
    starling(&[&make[..], &[&garbage]].concat()).complains(1, &[&garbage, "not a private key"]);
    starling(&["token", "keys", "--out", &scratch.path("")]).fine();
    let key = scratch.path("starling.key.pem");
    starling(&[&make[..], &[&key, "--for", "2h"]].concat()).complains(1, &["at most 1h"]);
    starling(&[&make[..], &[&key, "--grant", "fly"]].concat()).complains(1, &["`fly`"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--auth-key"];
    starling(&[&serve[..], &[&key]].concat()).complains(1, &["auth.keys", &key]);
}

#[test]
fn a_certificate_that_was_made_is_served_and_pinned_by_its_fingerprint() {
    let scratch = Scratch::new();
    let folder = scratch.path("certs");
    let made = starling(&["cert", "make", "--out", &folder, "--host", "game.example.org"]).fine();
    let (cert, key) =
        (scratch.path("certs/starling.cert.pem"), scratch.path("certs/starling.cert.key.pem"));
    assert!(is_secret(&key));
    let shown = starling(&["cert", "show", &cert]).fine();
    let fingerprint = shown.trim().strip_prefix("fingerprint ").expect("it is shown");
    assert!(made.contains(fingerprint), "{made}");

    let serving = serve(&["--cert", &cert, "--key", &key]);
    assert_eq!(serving.fingerprint, fingerprint);
    let pinned = ["check", "--reach", &serving.address, "--fingerprint", fingerprint];
    let reached = starling(&pinned).fine();
    for line in ["udp      ok", "mtu      ok", "link     round trip", "clock    ok", "time of day"]
    {
        assert!(reached.contains(line), "`{line}` is not said: {reached}");
    }
    let other = "00".repeat(32);
    let fooled = flight(&serving.address, &["--fingerprint", &other]);
    fooled.complains(2, &["certificate is not trusted"]);
}

#[test]
fn what_is_no_certificate_is_named() {
    let scratch = Scratch::new();
    let garbage = scratch.file("garbage.pem", "no certificate");
    starling(&["cert", "show", &garbage]).complains(1, &[&garbage, "no certificate"]);
    let missing = scratch.path("missing.pem");
    starling(&["cert", "show", &missing]).complains(1, &[&missing]);
}
