//! `starling check --reach`: a refusal is an answer too.

use crate::shell::{serve, starling};

#[test]
fn a_server_of_listed_worlds_is_reached_without_a_world_to_measure_in() {
    let serving = serve(&["--worlds", "listed", "--world", "city=geodetic"]);
    let check = ["check", "--reach", &serving.address, "--fingerprint", &serving.fingerprint];
    let reached = starling(&check).fine();
    for words in ["udp      ok", "session  none", "--world"] {
        assert!(reached.contains(words), "`{words}` is not said: {reached}");
    }
    let refused = starling(&[&check[..], &["--world", "nowhere"]].concat());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for words in ["udp      ok", "session  FAILED: no such world"] {
        assert!(refused.out.contains(words), "`{words}` is not said: {refused:?}");
    }
    let measured = starling(&[&check[..], &["--world", "city"]].concat()).fine();
    assert!(measured.contains("clock    ok"), "{measured}");
}
