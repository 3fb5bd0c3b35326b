//! Who gets in, and what the others are told (P12).

mod support;

use starling_protocol::close::CloseCode;
use starling_protocol::limits::{HELLO_BYTES_MAX, TOKEN_BYTES_MAX};
use starling_protocol::message::control::{ControlDown, ControlUp, Hello, ResumeAnswer};
use starling_protocol::space::Space;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_server::auth::claims::{Audience, Claims};
use starling_server::auth::jwt::Tokens;
use starling_server::auth::keys::{PrivateKey, PublicKey, generate};
use starling_server::auth::mint::mint;
use starling_server::config::{TokenSettings, WorldPolicy};
use starling_server::room::directory::EMPTY_NS;
use starling_server::stepped::Builder;
use std::sync::Arc;
use support::{Hall, hall, hall_of, hello, metric_world, settings};

/// Unix seconds when a hall opens its doors, one second after its clock's origin.
const OPENS: u64 = 1_800_000_001;

fn refused(hall: &mut Hall, hello: Hello, code: CloseCode) {
    let guest = hall.guest();
    let before = hall.closes(code);
    let at = hall.says(hello);
    assert_eq!(hall.refusal(at), Some(code), "it is told why");
    assert_eq!(hall.closed(at), Some(code), "and closed with the same code");
    assert_eq!(hall.closes(code), before + 1, "and counted");
    assert!(hall.totals().hellos_refused.get() >= 1);
    assert_eq!(hall.closed(guest), None);
    hall.others_are_served(at);
}

#[test]
fn a_plain_hello_is_welcome() {
    let mut hall = hall();
    let at = hall.guest();
    let welcome = hall.welcome(at).expect("it is").clone();
    assert_eq!((welcome.world.as_str(), welcome.tick_rate.hz()), ("test", 20));
    assert_eq!(welcome.resumed, ResumeAnswer::New);
    assert_ne!(welcome.resume_token, [0; 32]);
    let other = hall.guest();
    assert_ne!(hall.welcome(other).map(|w| w.resume_token), Some(welcome.resume_token));
}

#[test]
fn a_version_that_is_not_spoken_is_refused() {
    refused(&mut hall(), Hello { versions: vec![2, 3], ..hello() }, CloseCode::VERSION);
    refused(&mut hall(), Hello { versions: vec![], ..hello() }, CloseCode::VERSION);
}

#[test]
fn a_world_that_is_not_there_is_refused() {
    let unknown = Hello { world: "other".into(), ..hello() };
    refused(&mut hall(), unknown, CloseCode::UNKNOWN_WORLD);
}

#[test]
fn a_world_of_another_space_is_refused() {
    let geodetic = Hello { create: Some(Space::Geodetic), ..hello() };
    refused(&mut hall(), geodetic, CloseCode::SPACE_MISMATCH);
}

#[test]
fn a_name_that_no_world_may_have_is_refused() {
    let bad = Hello { world: "a\n\u{1b}[2J".into(), create: Some(Space::Metric), ..hello() };
    refused(&mut hall(), bad, CloseCode::BAD_NAME);
}

#[test]
fn another_schema_is_refused() {
    refused(&mut hall(), Hello { schema_hash: Some(1), ..hello() }, CloseCode::SCHEMA_MISMATCH);
}

#[test]
fn a_hello_makes_a_world_unless_only_listed_ones_exist() {
    let create = || Hello { world: "new".into(), create: Some(Space::Geodetic), ..hello() };
    let mut open = hall();
    let at = open.says(create());
    assert_eq!(open.welcome(at).map(|w| (w.space, w.tick_rate.hz())), Some((Space::Geodetic, 2)));

    let listed = settings(|config| config.server.worlds = Some(WorldPolicy::Listed));
    let mut closed = hall_of(Builder::new(listed, 1).world(metric_world()));
    refused(&mut closed, create(), CloseCode::UNKNOWN_WORLD);
}

#[test]
fn a_made_world_ends_a_minute_after_its_last_client_left() {
    let mut hall = hall();
    let create = Hello { world: "new".into(), create: Some(Space::Metric), ..hello() };
    let at = hall.says(create);
    let now = hall.now;
    hall.clients[at].leave(now, CloseCode::GOODBYE);
    hall.run_ms(EMPTY_NS / Nanos::MILLISECOND - 1_000);
    assert!(hall.server.room("new").is_some());
    hall.run_ms(3_000);
    assert!(hall.server.room("new").is_none());
    assert!(hall.server.room("test").is_some(), "a listed world stays");
}

#[test]
fn who_says_no_hello_is_closed_after_five_seconds() {
    let mut hall = hall();
    let guest = hall.guest();
    let silent = hall.stranger();
    let slow = hall.stranger();
    hall.raw(slow, StreamKind::Control, &[40, 0]);
    hall.run_ms(4_900);
    assert_eq!((hall.closed(silent), hall.closed(slow)), (None, None));
    hall.run_ms(200);
    assert_eq!(hall.closed(silent), Some(CloseCode::HELLO_TIMEOUT));
    assert_eq!(hall.closed(slow), Some(CloseCode::HELLO_TIMEOUT), "half a Hello is none");
    assert_eq!(hall.closes(CloseCode::HELLO_TIMEOUT), 2);
    assert_eq!(hall.closed(guest), None);
}

#[test]
fn the_first_message_must_be_a_hello_and_the_only_one() {
    let mut hall = hall();
    let rude = hall.stranger();
    hall.control(rude, &ControlUp::Goodbye);
    hall.run_ms(20);
    assert_eq!(hall.closed(rude), Some(CloseCode::PROTOCOL_ERROR));
    let twice = hall.guest();
    hall.control(twice, &ControlUp::Hello(Box::new(hello())));
    hall.run_ms(20);
    assert_eq!(hall.closed(twice), Some(CloseCode::PROTOCOL_ERROR));
    assert_eq!(hall.closes(CloseCode::PROTOCOL_ERROR), 2);
}

#[test]
fn a_hello_is_bounded_before_anyone_is_known() {
    let mut hall = hall();
    let guest = hall.guest();
    let at = hall.stranger();
    // A length of HELLO_BYTES_MAX + 1 is enough: its bytes are never waited for.
    let length = (HELLO_BYTES_MAX as u16 + 1) | 0x4000;
    hall.raw(at, StreamKind::Control, &length.to_be_bytes());
    hall.run_ms(20);
    assert_eq!(hall.closed(at), Some(CloseCode::TOO_LARGE));
    assert_eq!(hall.closes(CloseCode::TOO_LARGE), 1);
    let other = hall.stranger();
    hall.raw(other, StreamKind::Events, &[1; 3 * HELLO_BYTES_MAX]);
    hall.run_ms(20);
    assert_eq!(hall.closed(other), Some(CloseCode::TOO_LARGE), "on whatever stream");
    assert_eq!(hall.closed(guest), None);
}

#[test]
fn connections_are_bounded() {
    let few = settings(|config| config.limits.connections_max = 2);
    let mut hall = hall_of(Builder::new(few, 1).world(metric_world()));
    let (first, second) = (hall.guest(), hall.guest());
    let third = hall.stranger();
    hall.run_ms(20);
    assert_eq!(hall.closed(third), Some(CloseCode::OVERLOADED));
    assert_eq!((hall.closed(first), hall.closed(second)), (None, None));
    let now = hall.now;
    hall.clients[first].leave(now, CloseCode::GOODBYE);
    hall.run_ms(20);
    hall.guest();
}

struct Door {
    hall: Hall,
    key: PrivateKey,
}

/// A hall that lets in who has a token.
fn door() -> Door {
    let pair = generate().expect("the system has random bytes");
    let public = PublicKey::from_pem(&pair.public).expect("our own key");
    let rules = TokenSettings {
        keys: Vec::new(),
        audience: "starling".into(),
        issuer: "issuer".into(),
        leeway_s: 30,
        life_max_s: 3_600,
    };
    let tokens = Arc::new(Tokens::new(vec![public], &rules));
    let builder = Builder::new(settings(|_| {}), 1).world(metric_world());
    let hall = hall_of(builder.verifier(tokens, (OPENS - 1) * 1_000));
    Door { hall, key: PrivateKey::from_pem(&pair.private).expect("our own key") }
}

impl Door {
    fn token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let now = OPENS - 1 + self.hall.now.0 / Nanos::SECOND;
        let mut claims = Claims {
            iss: "issuer".into(),
            aud: Audience::One("starling".into()),
            sub: "ann".into(),
            jti: "one".into(),
            iat: now,
            exp: now + 60,
            worlds: vec!["te*".into()],
            see: true,
            r#move: true,
            ..Claims::default()
        };
        change(&mut claims);
        mint(&self.key, &claims).expect("it signs")
    }

    fn enter(&mut self, change: impl FnOnce(&mut Claims)) -> usize {
        let token = self.token(change);
        self.hall.says(Hello { token, ..hello() })
    }
}

#[test]
fn a_good_token_opens_the_door() {
    let mut door = door();
    let at = door.enter(|_| {});
    assert!(door.hall.welcome(at).is_some());
}

#[test]
fn a_bad_token_is_refused_with_one_code_and_no_reason() {
    let mut door = door();
    let guest = door.enter(|_| {});
    let bad: [(&str, fn(&mut Claims)); 5] = [
        ("expired", |c| (c.iat, c.exp) = (c.iat - 100, c.iat - 40)),
        ("early", |c| c.nbf = Some(c.iat + 50)),
        ("audience", |c| c.aud = Audience::One("other".into())),
        ("issuer", |c| c.iss = "other".into()),
        ("long", |c| c.exp = c.iat + 4_000),
    ];
    for (number, (what, change)) in bad.into_iter().enumerate() {
        let at = door.enter(change);
        let hall = &mut door.hall;
        let refused = hall.clients[at].control.iter().find_map(|message| match message {
            ControlDown::Refused(refused) => Some(refused.clone()),
            _ => None,
        });
        let refused = refused.expect(what);
        assert_eq!(refused.code, CloseCode::UNAUTHORIZED);
        assert_eq!(refused.reason, "the token was refused", "the reason is for the log");
        assert_eq!(hall.closed(at), Some(CloseCode::UNAUTHORIZED));
        assert_eq!(hall.totals().tokens_refused.get(), number as u64 + 1);
    }
    for token in [String::new(), "a.b.c".into(), "a".repeat(TOKEN_BYTES_MAX + 1)] {
        let at = door.hall.says(Hello { token, ..hello() });
        assert_eq!(door.hall.refusal(at), Some(CloseCode::UNAUTHORIZED));
    }
    assert_eq!(door.hall.closed(guest), None);
}

#[test]
fn a_token_for_other_worlds_does_not_tell_which_exist() {
    let mut door = door();
    for world in ["test", "no-such-world"] {
        let token = door.token(|claims| claims.worlds = vec!["mine".into()]);
        let at = door.hall.says(Hello { token, world: world.into(), ..hello() });
        assert_eq!(door.hall.refusal(at), Some(CloseCode::FORBIDDEN), "{world}");
    }
}

#[test]
fn a_session_ends_with_its_token_unless_it_shows_a_fresh_one() {
    let mut door = door();
    let (fresh, stale) = (door.enter(|_| {}), door.enter(|claims| claims.sub = "bob".into()));
    door.hall.run_ms(50_000);
    let token = door.token(|_| {});
    door.hall.control(fresh, &ControlUp::RefreshToken { token });
    door.hall.run_ms(100);
    let accepted = |m: &ControlDown| matches!(m, ControlDown::TokenAccepted);
    assert!(door.hall.clients[fresh].control.iter().any(accepted));
    door.hall.run_ms(9_000);
    assert_eq!(door.hall.closed(stale), None, "within the time of its token");
    door.hall.run_ms(12_500);
    assert_eq!(door.hall.closed(stale), Some(CloseCode::EXPIRED));
    assert_eq!(door.hall.closed(fresh), None);
    assert_eq!(door.hall.closes(CloseCode::EXPIRED), 1);
}

#[test]
fn a_fresh_token_of_someone_else_is_refused_and_the_session_goes_on() {
    let mut door = door();
    let at = door.enter(|_| {});
    for change in [
        (|c| c.sub = "bob".into()) as fn(&mut Claims),
        |c| c.worlds = vec!["mine".into()],
        |c| c.iss = "other".into(),
    ] {
        door.hall.clients[at].control.clear();
        let token = door.token(change);
        door.hall.control(at, &ControlUp::RefreshToken { token });
        door.hall.run_ms(100);
        let refused = |m: &ControlDown| {
            matches!(m, ControlDown::RequestRefused { code: CloseCode::UNAUTHORIZED, .. })
        };
        assert!(door.hall.clients[at].control.iter().any(refused));
    }
    assert_eq!(door.hall.totals().tokens_refused.get(), 3);
    assert_eq!(door.hall.closed(at), None);
}
