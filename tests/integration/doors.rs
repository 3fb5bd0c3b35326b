//! Who is not let in over real QUIC: each hears the documented code, it is counted, and those who
//! are in go on (P12, P15).

use crate::stage::{GLOBE, Key, Rude, Stage, Who, YARD, config, hello, stage, token};
use starling_client::tls::ServerTrust;
use starling_client::{CloseCode, ConnectError, ConnectOptions, Space};
use starling_protocol::message::control::Hello;
use starling_server::auth::claims::{Audience, Claims};
use starling_transport::quic::ConnectOptions as Target;
use starling_transport::tls::ClientTls;

/// Is refused and closed with the same code, which is counted once; the others go on.
fn is_refused(hello: &Hello, code: CloseCode) {
    let mut stage = stage();
    let pair = stage.pair();
    let at = stage.stranger();
    stage.rude[at].says(hello);
    stage.until("it is closed", |stage| stage.rude[at].closed.is_some());
    assert_eq!(stage.rude[at].refused(), Some(code), "it is told why");
    assert_eq!(stage.rude[at].closed, Some(code), "and closed with the same code");
    stage.counts_close(code);
    assert_eq!(stage.metric("starling_net_hellos_refused_total{transport=\"quic\"}"), 1.0);
    stage.others_go_on(pair);
}

#[test]
fn a_client_of_another_protocol_does_not_get_past_the_handshake() {
    let mut stage = stage();
    let pair = stage.pair();
    let fingerprint = ServerTrust::Fingerprint(stage.running().fingerprint());
    let tls = ClientTls::with_alpn(&fingerprint, b"starling/0").expect("a pin needs no roots");
    let target = Target::new(stage.running().local_addr(), tls);
    stage.rude.push(Rude::to(stage.clock, &target));
    stage.until("it is closed", |stage| stage.rude[0].closed.is_some());
    assert_eq!(stage.rude[0].closed, Some(CloseCode::VERSION));
    stage.counts("starling_quic_handshakes_failed_total", 1.0);
    stage.others_go_on(pair);
}

#[test]
fn a_client_of_another_version_is_refused() {
    is_refused(&Hello { versions: vec![7, 8], ..hello(YARD) }, CloseCode::VERSION);
}

#[test]
fn a_client_built_for_another_schema_is_refused() {
    is_refused(&Hello { schema_hash: Some(1), ..hello(YARD) }, CloseCode::SCHEMA_MISMATCH);
}

#[test]
fn a_client_that_thinks_the_globe_is_flat_is_refused() {
    is_refused(&Hello { create: Some(Space::Metric), ..hello(GLOBE) }, CloseCode::SPACE_MISMATCH);
}

#[test]
fn the_sdk_says_each_refusal_in_its_own_words() {
    let mut stage = stage();
    let pair = stage.pair();
    let yard = || ConnectOptions::new(YARD);
    let flat = ConnectOptions::new(GLOBE).create(Space::Metric);
    let cases = [
        (ConnectOptions::new("no-such-world"), ConnectError::UnknownWorld),
        (ConnectOptions { schema_hash: Some(1), ..yard() }, ConnectError::SchemaMismatch),
        (flat, ConnectError::SpaceMismatch),
    ];
    for (options, error) in cases {
        let who = stage.knocks(options);
        stage.until("it is refused", |stage| stage[who].end().is_some());
        assert_eq!(stage[who].end(), Some(&error));
    }
    stage.others_go_on(pair);
}

/// A locked server with two guests in its yard.
fn locked(key: &Key) -> (Stage, [Who; 2]) {
    let mut config = config();
    key.locks(&mut config);
    let mut stage = Stage::of(config);
    let pair = [("ann", [0.0; 3]), ("bob", [3.0, 0.0, 0.0])].map(|(name, at)| {
        let pass = key.signs(&token(name));
        let who = stage.knocks(ConnectOptions::new(YARD).token(pass));
        stage.appears(who, name, at);
        who
    });
    (stage, pair)
}

#[test]
fn a_token_with_one_wrong_claim_opens_nothing() {
    let key = Key::made();
    let (mut stage, pair) = locked(&key);
    let wrong: [(&str, fn(&mut Claims)); 8] = [
        ("exp", |claims| (claims.iat, claims.exp) = (claims.iat - 900, claims.iat - 300)),
        ("exp too far", |claims| claims.exp = claims.iat + 86_400),
        ("iat", |claims| claims.iat += 300),
        ("nbf", |claims| claims.nbf = Some(claims.iat + 300)),
        ("aud", |claims| claims.aud = Audience::One("other".into())),
        ("iss", |claims| claims.iss = "other".into()),
        ("sub", |claims| claims.sub.clear()),
        ("jti", |claims| claims.jti.clear()),
    ];
    let count = wrong.len() as f64;
    for (claim, change) in wrong {
        let mut claims = token("eve");
        change(&mut claims);
        let code = refusal(&mut stage, ConnectOptions::new(YARD).token(key.signs(&claims)));
        assert_eq!(code, CloseCode::UNAUTHORIZED, "{claim}");
    }
    let refused = stage.metric("starling_net_tokens_refused_total{transport=\"quic\"}");
    assert_eq!(refused, count);
    stage.others_go_on(pair);
}

#[test]
fn a_token_for_another_world_is_forbidden_and_one_of_another_key_unauthorized() {
    let key = Key::made();
    let (mut stage, pair) = locked(&key);
    let elsewhere = key.signs(&Claims { worlds: vec!["other".into()], ..token("eve") });
    let code = refusal(&mut stage, ConnectOptions::new(YARD).token(elsewhere));
    assert_eq!(code, CloseCode::FORBIDDEN);
    let forged = Key::made().signs(&token("eve"));
    let code = refusal(&mut stage, ConnectOptions::new(YARD).token(forged));
    assert_eq!(code, CloseCode::UNAUTHORIZED);
    assert_eq!(refusal(&mut stage, ConnectOptions::new(YARD)), CloseCode::UNAUTHORIZED);
    stage.others_go_on(pair);
}

fn refusal(stage: &mut Stage, options: ConnectOptions) -> CloseCode {
    let who = stage.knocks(options);
    stage.until("it is refused", |stage| stage[who].end().is_some());
    stage[who].end().expect("it was just seen").code()
}
