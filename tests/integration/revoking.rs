//! Grants taken back on a running server: in force when the call returns, also after a restart (P12).

use crate::stage::{Folder, Key, Stage, Who, YARD, config, token};
use starling_client::{CloseCode, ConnectOptions};
use starling_server::auth::claims::Claims;
use starling_server::config::Config;

struct Locked {
    key: Key,
    data: Folder,
}

impl Locked {
    fn made() -> Self {
        Self { key: Key::made(), data: Folder::made() }
    }

    fn config(&self) -> Config {
        let mut config = config();
        self.key.locks(&mut config);
        config.data.dir = Some(self.data.path().join("data"));
        config
    }

    fn pass(&self, claims: &Claims) -> ConnectOptions {
        ConnectOptions::new(YARD).token(self.key.signs(claims))
    }

    fn enters(&self, stage: &mut Stage, claims: &Claims) -> Who {
        let who = stage.knocks(self.pass(claims));
        stage.until("it is in", |stage| stage[who].client.welcome().is_some());
        who
    }
}

fn end(stage: &mut Stage, who: Who) -> CloseCode {
    stage.until("it is over", |stage| stage[who].end().is_some());
    stage[who].end().expect("it was just seen").code()
}

fn revoke(stage: &Stage, whom: &str, connections: u32) {
    let answer = stage.ask("POST", &format!("/revoke?{whom}"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(&format!("\"connections\": {connections}")), "{answer}");
}

#[test]
fn when_the_call_returns_the_token_opens_nothing_and_its_connection_goes() {
    let locked = Locked::made();
    let mut stage = Stage::of(locked.config());
    let (anns, bobs) = (token("ann"), token("bob"));
    let (ann, bob) = (locked.enters(&mut stage, &anns), locked.enters(&mut stage, &bobs));
    revoke(&stage, "subject=ann", 1);
    let again = stage.knocks(locked.pass(&anns));
    assert_eq!(end(&mut stage, again), CloseCode::REVOKED, "from the moment of the answer on");
    assert_eq!(end(&mut stage, ann), CloseCode::REVOKED);
    assert!(stage[bob].end().is_none(), "others stay");
    stage.counts_close(CloseCode::REVOKED);
}

#[test]
fn one_session_is_revoked_with_the_token_that_it_came_with() {
    let locked = Locked::made();
    let mut stage = Stage::of(locked.config());
    let first = Claims { jti: "first".into(), ..token("ann") };
    let second = Claims { jti: "second".into(), ..token("ann") };
    let (ann, other) = (locked.enters(&mut stage, &first), locked.enters(&mut stage, &second));
    let session = stage[ann].client.welcome().map(|welcome| welcome.session.0).expect("it is in");
    revoke(&stage, &format!("session={session}"), 1);
    assert_eq!(end(&mut stage, ann), CloseCode::REVOKED);
    let again = stage.knocks(locked.pass(&first));
    assert_eq!(end(&mut stage, again), CloseCode::REVOKED);
    assert!(stage[other].end().is_none(), "the same user with another token");
}

#[test]
fn a_restart_lifts_no_bar() {
    let locked = Locked::made();
    let mut stage = Stage::of(locked.config());
    let (anns, bobs) = (token("ann"), Claims { jti: "b".into(), ..token("bob") });
    let bob = locked.enters(&mut stage, &bobs);
    let session = stage[bob].client.welcome().map(|welcome| welcome.session.0).expect("it is in");
    revoke(&stage, "subject=ann", 0);
    revoke(&stage, &format!("session={session}"), 1);
    assert_eq!(end(&mut stage, bob), CloseCode::REVOKED);
    for _ in 0..2 {
        stage.comes_back(locked.config());
        for claims in [&anns, &bobs] {
            let who = stage.knocks(locked.pass(claims));
            assert_eq!(end(&mut stage, who), CloseCode::REVOKED, "{}", claims.sub);
        }
    }
    let later = Claims { iat: anns.iat + 20, jti: "later".into(), ..anns };
    locked.enters(&mut stage, &later);
}

#[test]
fn what_cannot_be_read_lets_nobody_in_by_mistake() {
    let locked = Locked::made();
    let stage = Stage::of(locked.config());
    revoke(&stage, "tenant=", 0);
    drop(stage);
    let file = locked.data.path().join("data/keys/revoked");
    let text = std::fs::read_to_string(&file).expect("it was written");
    std::fs::write(&file, &text[..text.len() / 2]).expect("it is ours");
    let server = starling_server::run::Server::new(locked.config()).expect("it holds");
    let error = server.start().map(drop).expect_err("it is damaged");
    assert!(error.to_string().contains("revoked"), "{error}");
}
