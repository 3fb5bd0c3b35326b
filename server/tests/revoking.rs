//! Grants taken back before their token ends (P12), and tenants that cannot see each other.

mod support;

use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{ControlUp, Hello, Resume, ResumeAnswer};
use starling_protocol::space::Space;
use starling_protocol::units::{Epoch, Nanos};
use starling_server::auth::revoke::Revocation;
use starling_server::auth::{Refusal, Verified, Verifier};
use starling_server::stepped::Builder;
use starling_server::store::Grouping;
use starling_server::store::memory::Memory;
use starling_world::config::{Owner, WorldConfig};
use starling_world::grants::{Grants, Pattern};
use std::sync::Arc;
use support::{Hall, hall_of, hello, metric_world, settings, spawn};

/// Unix seconds when a hall opens its doors, one second after its clock's origin.
const OPENS: u64 = 1_800_000_001;

/// Takes tokens that read `tenant/subject/name/made`.
struct Plain;

impl Verifier for Plain {
    fn verify(&self, token: &str, _now_s: u64) -> Result<Verified, Refusal> {
        let parts: Vec<_> = token.split('/').collect();
        let [tenant, subject, name, made] = parts[..] else { return Err(Refusal::Missing) };
        Ok(Verified {
            tenant: tenant.into(),
            subject: subject.into(),
            token: name.into(),
            issued_s: made.parse().ok(),
            worlds: vec![Pattern("*".into())],
            grants: Grants::open(),
            expires_s: Some(OPENS + 3_000),
        })
    }
}

fn hall_with(worlds: Vec<WorldConfig>) -> Hall {
    let builder = worlds.into_iter().fold(Builder::new(settings(|_| {}), 1), Builder::world);
    hall_of(builder.verifier(Arc::new(Plain), (OPENS - 1) * 1_000))
}

fn hall() -> Hall {
    hall_with(vec![metric_world()])
}

fn owned(name: &str, owner: Owner) -> WorldConfig {
    WorldConfig { name: name.into(), owner, ..metric_world() }
}

fn with_token(token: &str) -> Hello {
    Hello { token: token.into(), ..hello() }
}

fn revoke(hall: &mut Hall, revocation: &Revocation) -> usize {
    let now = hall.now;
    let done = hall.server.front_mut().revoke(now, revocation);
    hall.run_ms(50);
    done.expect("it is in force")
}

fn subject(tenant: &str, subject: &str) -> Revocation {
    Revocation::Subject { tenant: tenant.into(), subject: subject.into() }
}

#[test]
fn every_connection_of_a_subject_is_closed_and_its_old_tokens_are_refused() {
    let mut hall = hall();
    let eve = [hall.says(with_token("/eve/1/100")), hall.says(with_token("/eve/2/100"))];
    let bob = hall.says(with_token("/bob/3/100"));
    assert_eq!(revoke(&mut hall, &subject("", "eve")), 2);
    for at in eve {
        assert_eq!(hall.closed(at), Some(CloseCode::REVOKED));
    }
    assert_eq!(hall.closed(bob), None);
    let again = hall.says(with_token("/eve/9/100"));
    assert_eq!(hall.refusal(again), Some(CloseCode::REVOKED), "made before");
    let later = hall.says(with_token(&format!("/eve/10/{}", OPENS + 60)));
    assert!(hall.welcome(later).is_some(), "a token that is made later is good");
}

#[test]
fn a_session_goes_with_the_token_that_it_came_with() {
    let mut hall = hall();
    let eve = hall.says(with_token("/eve/1/100"));
    let session = hall.welcome(eve).expect("let in").session;
    assert_eq!(revoke(&mut hall, &Revocation::Session(session)), 1);
    assert_eq!(hall.closed(eve), Some(CloseCode::REVOKED));
    let again = hall.says(with_token("/eve/1/100"));
    assert_eq!(hall.refusal(again), Some(CloseCode::REVOKED));
    let other = hall.says(with_token("/eve/2/100"));
    assert!(hall.welcome(other).is_some(), "another token of the same subject is good");
}

#[test]
fn a_parked_session_cannot_be_resumed_nor_its_token_be_used() {
    let mut hall = hall();
    let eve = hall.says(with_token("/eve/1/100"));
    let welcome = hall.welcome(eve).expect("let in").clone();
    let now = hall.now;
    hall.clients[eve].leave(now, CloseCode::LOST);
    hall.run_ms(100);
    let session = welcome.session;
    assert_eq!(revoke(&mut hall, &Revocation::Session(session)), 0);
    let resume = Some(Resume { session, token: welcome.resume_token, channels: Vec::new() });
    let barred = hall.says(Hello { resume: resume.clone(), ..with_token("/eve/1/100") });
    assert_eq!(hall.refusal(barred), Some(CloseCode::REVOKED));
    let fresh = hall.says(Hello { resume, ..with_token("/eve/2/100") });
    assert_eq!(hall.welcome(fresh).map(|w| w.resumed), Some(ResumeAnswer::Reset));
}

#[test]
fn a_fresh_token_that_was_revoked_does_not_help() {
    let mut hall = hall();
    let eve = hall.says(with_token("/eve/1/100"));
    assert_eq!(revoke(&mut hall, &Revocation::Tenant("acme".into())), 0);
    let token = "acme/eve/5/100".to_owned();
    hall.control(eve, &ControlUp::RefreshToken { token });
    hall.run_ms(100);
    assert_eq!(hall.closed(eve), None);
    assert_eq!(hall.totals().tokens_refused.get(), 1);
}

#[test]
fn a_tenant_goes_whole_and_others_stay() {
    let of = |tenant: &str| owned("test", Owner::Tenant(tenant.into()));
    let mut hall = hall_with(vec![of("acme"), of("umbra"), owned("plaza", Owner::Shared)]);
    let plaza = |token| Hello { world: "plaza".into(), ..with_token(token) };
    let acme = [hall.says(with_token("acme/eve/1/100")), hall.says(plaza("acme/ada/2/100"))];
    let umbra = [hall.says(with_token("umbra/eve/3/100")), hall.says(plaza("umbra/ada/4/100"))];
    assert_eq!(revoke(&mut hall, &Revocation::Tenant("acme".into())), 2);
    assert!(acme.iter().all(|at| hall.closed(*at) == Some(CloseCode::REVOKED)));
    assert!(umbra.iter().all(|at| hall.closed(*at).is_none()));
    assert_eq!(revoke(&mut hall, &subject("umbra", "ada")), 1, "by the name it has there");
    assert_eq!(hall.closed(umbra[0]), None);
}

#[test]
fn the_world_of_another_tenant_is_refused_as_one_that_is_not_there() {
    let mut hall = hall_with(vec![owned("lab", Owner::Tenant("umbra".into()))]);
    let mut refusal = |world: &str| {
        let at = hall.says(Hello { world: world.into(), ..with_token("acme/eve/1/100") });
        let refused = hall.clients[at].control.first().cloned();
        (refused, hall.closed(at))
    };
    let (other, nothing) = (refusal("lab"), refusal("nothing"));
    assert_eq!(other, nothing, "word for word");
    assert_eq!(other.1, Some(CloseCode::UNKNOWN_WORLD));
}

#[test]
fn a_revocation_in_a_busy_server_is_in_force_within_a_second() {
    let mut hall = hall();
    let eve = hall.says(with_token("/eve/1/100"));
    let began = hall.now;
    hall.server.front_mut().revoke(began, &subject("", "eve")).expect("in force");
    while hall.closed(eve).is_none() {
        hall.run_ms(1);
        assert!(hall.now.since(began) <= Nanos::SECOND, "P12: a second at most");
    }
}

/// Another life of a server on the same store, in which a Hello may make worlds.
fn life(store: &Memory, epoch: u32) -> Hall {
    let builder = Builder::new(settings(|_| {}), 1).world(metric_world());
    let builder = builder.verifier(Arc::new(Plain), (OPENS - 1) * 1_000).epoch(Epoch(epoch));
    hall_of(builder.store(Arc::new(store.clone()), Grouping::default(), Box::new(|| 0)))
}

/// Eve is in a world and then is not, for the connection is lost.
fn was_in(hall: &mut Hall, world: Hello) -> Resume {
    let eve = hall.says(world);
    hall.run_ms(500);
    let welcome = hall.welcome(eve).expect("let in").clone();
    hall.control(eve, &spawn("eve", [0; 3]));
    hall.run_ms(500);
    let now = hall.now;
    hall.clients[eve].leave(now, CloseCode::LOST);
    hall.run_ms(500);
    Resume { session: welcome.session, token: welcome.resume_token, channels: Vec::new() }
}

/// Neither the session nor its token is good for anything; another token gets a session of its own.
fn is_gone(hall: &mut Hall, resume: Resume, world: &Hello) {
    let with = |token: &str, resume| Hello { token: token.into(), resume, ..world.clone() };
    for resume in [Some(resume.clone()), None] {
        let old = hall.says(with("/eve/1/100", resume));
        hall.run_ms(500);
        assert_eq!(hall.closed(old), Some(CloseCode::REVOKED));
    }
    let fresh = hall.says(with("/eve/2/100", Some(resume)));
    hall.run_ms(500);
    assert_eq!(hall.welcome(fresh).map(|w| w.resumed), Some(ResumeAnswer::Reset));
}

#[test]
fn a_session_of_an_earlier_life_goes_with_its_token() {
    let store = Memory::new();
    let eves = with_token("/eve/1/100");
    let resume = was_in(&mut life(&store, 1), eves.clone());
    let mut hall = life(&store, 2);
    assert_eq!(revoke(&mut hall, &Revocation::Session(resume.session)), 0);
    is_gone(&mut hall, resume, &eves);
}

#[test]
fn a_session_whose_world_does_not_stand_does_not_come_back_with_it() {
    let made = Hello { world: "made".into(), create: Some(Space::Metric), ..hello() };
    let eves = Hello { token: "/eve/1/100".into(), ..made.clone() };
    for restarts in [false, true] {
        let store = Memory::new();
        let mut hall = life(&store, 1);
        let resume = was_in(&mut hall, eves.clone());
        if restarts {
            hall = life(&store, 10);
        } else {
            hall.run_ms(62_000);
        }
        assert!(hall.server.room("made").is_none(), "nobody is in it");
        assert_eq!(revoke(&mut hall, &Revocation::Session(resume.session)), 0);
        is_gone(&mut hall, resume, &made);
    }
}

#[test]
fn who_comes_with_the_token_before_it_is_known_goes_too() {
    let store = Memory::new();
    let eves = with_token("/eve/1/100");
    let resume = was_in(&mut life(&store, 1), eves.clone());
    let mut hall = life(&store, 2);
    let early = hall.stranger();
    let now = hall.now;
    let done = hall.server.front_mut().revoke(now, &Revocation::Session(resume.session));
    hall.control(early, &ControlUp::Hello(Box::new(eves)));
    hall.run_ms(500);
    assert_eq!((done, hall.closed(early)), (Ok(0), Some(CloseCode::REVOKED)));
}
