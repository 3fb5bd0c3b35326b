//! Which tokens are taken, and why others are not.

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use starling_server::auth::claims::{Audience, Claims};
use starling_server::auth::jwt::Tokens;
use starling_server::auth::keys::{PemPair, PrivateKey, PublicKey, generate};
use starling_server::auth::mint::mint;
use starling_server::auth::{Open, Refusal, Verifier};
use starling_server::config::TokenSettings;

const NOW: u64 = 1_800_000_000;

struct Issuer {
    pair: PemPair,
    key: PrivateKey,
    tokens: Tokens,
}

fn issuer() -> Issuer {
    let pair = generate().expect("the system has random bytes");
    let public = PublicKey::from_pem(&pair.public).expect("our own key");
    let settings = TokenSettings {
        keys: Vec::new(),
        audience: "starling".into(),
        issuer: "issuer".into(),
        leeway_s: 30,
        life_max_s: 3_600,
    };
    let key = PrivateKey::from_pem(&pair.private).expect("our own key");
    Issuer { pair, key, tokens: Tokens::new(vec![public], &settings) }
}

fn claims() -> Claims {
    Claims {
        iss: "issuer".into(),
        aud: Audience::One("starling".into()),
        sub: "player-7".into(),
        jti: "one".into(),
        iat: NOW,
        exp: NOW + 600,
        worlds: vec!["arena".into(), "test/*".into()],
        see: true,
        subscribe: vec!["chat/*".into()],
        ..Claims::default()
    }
}

impl Issuer {
    fn header(&self) -> Value {
        json!({ "typ": "JWT", "alg": "EdDSA", "kid": self.key.id })
    }

    /// Signs any header and any claims, however wrong they are.
    fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
        let pair = rcgen::KeyPair::from_pem(&self.pair.private).expect("our own key");
        let signature = rcgen::SigningKey::sign(&pair, message.as_bytes()).expect("it signs");
        format!("{message}.{}", base64(&signature))
    }

    fn with(&self, header: Value, claims: Value) -> Result<(), Refusal> {
        let token = self.sign(&header.to_string(), &claims.to_string());
        self.tokens.verify(&token, NOW).map(drop)
    }

    fn refuses_claims(&self, change: impl FnOnce(&mut Value)) -> Refusal {
        let mut changed = serde_json::to_value(claims()).expect("plain data");
        change(&mut changed);
        self.with(self.header(), changed.clone()).expect_err(&changed.to_string())
    }

    fn refuses_header(&self, change: impl FnOnce(&mut Value)) -> Refusal {
        let mut header = self.header();
        change(&mut header);
        let claims = serde_json::to_value(claims()).expect("plain data");
        self.with(header.clone(), claims).expect_err(&header.to_string())
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let padded = [group[0], *group.get(1).unwrap_or(&0), *group.get(2).unwrap_or(&0)];
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for digit in 0..=group.len() {
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(char::from(DIGITS[value as usize]));
        }
    }
    text
}

#[test]
fn a_good_token_says_who_and_what() {
    let issuer = issuer();
    let token = mint(&issuer.key, &claims()).expect("it signs");
    let verified = issuer.tokens.verify(&token, NOW).expect("a good token");
    assert_eq!(verified.subject, "player-7");
    assert_eq!(verified.expires_s, Some(NOW + 600));
    assert!(verified.may_enter("arena") && verified.may_enter("test/3"));
    assert!(!verified.may_enter("other"));
    assert!(verified.grants.see && !verified.grants.r#move && !verified.grants.host);
    assert!(verified.grants.may_subscribe("chat/a") && !verified.grants.may_publish("chat/a"));
}

#[test]
fn several_audiences_may_hold_ours() {
    let issuer = issuer();
    let several = Audience::Several(vec!["other".into(), "starling".into()]);
    let token = mint(&issuer.key, &Claims { aud: several, ..claims() }).expect("it signs");
    assert!(issuer.tokens.verify(&token, NOW).is_ok());
}

#[test]
fn each_required_claim_is_required() {
    let issuer = issuer();
    for name in ["exp", "iat", "aud", "iss", "sub", "jti"] {
        let refusal = issuer.refuses_claims(|claims| {
            claims.as_object_mut().expect("an object").remove(name);
        });
        assert!(matches!(&refusal, Refusal::Malformed(why) if why.contains(name)), "{refusal}");
    }
}

#[test]
fn each_claim_has_its_type() {
    let issuer = issuer();
    for (name, value) in [
        ("exp", json!("1800000600")),
        ("exp", json!(-1)),
        ("exp", json!(1.8e9)),
        ("exp", json!(null)),
        ("iat", json!("1800000000")),
        ("nbf", json!("1800000000")),
        ("aud", json!(7)),
        ("iss", json!(["issuer"])),
        ("sub", json!(7)),
        ("jti", json!({})),
        ("worlds", json!("arena")),
        ("see", json!("yes")),
        ("publish", json!([7])),
    ] {
        let refusal = issuer.refuses_claims(|claims| claims[name] = value.clone());
        assert!(matches!(refusal, Refusal::Malformed(_)), "{name} {value}: {refusal}");
    }
}

#[test]
fn each_claim_has_its_bounds() {
    let issuer = issuer();
    let refuses = |name: &str, value: Value| issuer.refuses_claims(|claims| claims[name] = value);
    assert_eq!(refuses("aud", json!("other")), Refusal::Audience("other".into()));
    assert_eq!(refuses("aud", json!([])), Refusal::Audience(String::new()));
    assert_eq!(refuses("iss", json!("other")), Refusal::Issuer("other".into()));
    assert_eq!(refuses("nbf", json!(NOW + 31)), Refusal::Early(31));
    assert_eq!(refuses("iat", json!(NOW + 60)), Refusal::Early(60));
    assert_eq!(refuses("exp", json!(NOW + 3_601)), Refusal::TooLong(3_601));
    assert_eq!(refuses("exp", json!(u64::MAX)), Refusal::TooLong(u64::MAX - NOW));
    assert!(matches!(refuses("sub", json!("")), Refusal::Malformed(_)));
    assert!(matches!(refuses("jti", json!("")), Refusal::Malformed(_)));
}

#[test]
fn a_token_ends_when_it_says_but_for_the_leeway() {
    let issuer = issuer();
    let token = mint(&issuer.key, &claims()).expect("it signs");
    assert!(issuer.tokens.verify(&token, NOW + 629).is_ok());
    assert_eq!(issuer.tokens.verify(&token, NOW + 630), Err(Refusal::Expired(30)));
    assert!(issuer.tokens.verify(&token, NOW - 30).is_ok());
    assert_eq!(issuer.tokens.verify(&token, NOW - 31), Err(Refusal::Early(31)));
}

#[test]
fn the_key_decides_the_algorithm() {
    let issuer = issuer();
    let none = issuer.refuses_header(|header| header["alg"] = json!("none"));
    assert!(matches!(none, Refusal::Malformed(_)), "{none}");
    let other = issuer.refuses_header(|header| header["alg"] = json!("ES256"));
    assert_eq!(other, Refusal::Algorithm("ES256".into()));
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    let issuer = issuer();
    let header = json!({ "alg": "HS256", "kid": issuer.key.id }).to_string();
    let body = serde_json::to_string(&claims()).expect("plain data");
    let message = format!("{}.{}", base64(header.as_bytes()), base64(body.as_bytes()));
    let public = PublicKey::from_pem(&issuer.pair.public).expect("our own key");
    for secret in [issuer.pair.public.as_bytes(), &public.bytes] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        let token = format!("{message}.{}", base64(tag.as_ref()));
        let refusal = issuer.tokens.verify(&token, NOW);
        assert_eq!(refusal, Err(Refusal::Algorithm("HS256".into())));
    }
}

#[test]
fn the_header_names_a_key_of_ours_and_demands_nothing() {
    let issuer = issuer();
    let unknown = issuer.refuses_header(|header| header["kid"] = json!("other"));
    assert_eq!(unknown, Refusal::UnknownKey("other".into()));
    let nameless = issuer.refuses_header(|header| {
        header.as_object_mut().expect("an object").remove("kid");
    });
    assert_eq!(nameless, Refusal::UnknownKey(String::new()));
    let critical = issuer.refuses_header(|header| header["crit"] = json!(["exp"]));
    assert_eq!(critical, Refusal::Critical);
    let empty = issuer.refuses_header(|header| header["crit"] = json!([]));
    assert_eq!(empty, Refusal::Critical);
}

#[test]
fn a_claim_or_header_given_twice_is_refused() {
    let issuer = issuer();
    let body = serde_json::to_string(&claims()).expect("plain data");
    let twice = body.replacen('{', r#"{"exp":1,"#, 1);
    let token = issuer.sign(&issuer.header().to_string(), &twice);
    assert!(matches!(issuer.tokens.verify(&token, NOW), Err(Refusal::Malformed(_))));
    let header = issuer.header().to_string().replacen('{', r#"{"alg":"EdDSA","#, 1);
    let token = issuer.sign(&header, &body);
    assert!(matches!(issuer.tokens.verify(&token, NOW), Err(Refusal::Malformed(_))));
}

#[test]
fn a_signature_by_another_or_over_something_else_is_refused() {
    let (ours, other) = (issuer(), issuer());
    let mut forged = other.key;
    forged.id.clone_from(&ours.key.id);
    let token = mint(&forged, &claims()).expect("it signs");
    assert_eq!(ours.tokens.verify(&token, NOW), Err(Refusal::Signature));

    let token = mint(&ours.key, &claims()).expect("it signs");
    let more = serde_json::to_string(&Claims { host: true, ..claims() }).expect("plain data");
    let parts: Vec<_> = token.split('.').collect();
    let raised = format!("{}.{}.{}", parts[0], base64(more.as_bytes()), parts[2]);
    assert_eq!(ours.tokens.verify(&raised, NOW), Err(Refusal::Signature));
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(ours.tokens.verify(&unsigned, NOW), Err(Refusal::Signature));
}

#[test]
fn what_is_no_token_is_refused_by_size_or_form() {
    let issuer = issuer();
    assert_eq!(issuer.tokens.verify("", NOW), Err(Refusal::Missing));
    let huge = "a".repeat(1 << 20);
    assert_eq!(issuer.tokens.verify(&huge, NOW), Err(Refusal::TooLarge(1 << 20)));
    for text in ["a", "a.b", "a.b.c", "a.b.c.d", "..", "\u{1F426}.x.y", "e30.e30.e30"] {
        let refusal = issuer.tokens.verify(text, NOW);
        assert!(matches!(refusal, Err(Refusal::Malformed(_))), "{text}: {refusal:?}");
    }
}

#[test]
fn a_token_cut_anywhere_is_refused() {
    let issuer = issuer();
    let token = mint(&issuer.key, &claims()).expect("it signs");
    for end in 1..token.len() {
        assert!(issuer.tokens.verify(&token[..end], NOW).is_err(), "cut at {end}");
    }
}

#[test]
fn open_mode_takes_everyone_and_gives_no_world_to_host() {
    let verified = Open.verify("", NOW).expect("everyone");
    assert!(Open.is_open() && verified.may_enter("anything"));
    assert!(verified.grants.see && verified.grants.r#move && !verified.grants.host);
}
