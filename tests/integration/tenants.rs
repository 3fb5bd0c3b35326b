//! Two tenants on one server: what is one's the other neither reads, writes, counts nor erases, even
//! in a world in which they meet and with grants of everything (P11, P12).

use crate::stage::{Folder, Key, Stage, Who, config, hello, token};
use starling_client::protocol::message::events::{Action, Answer, Receipt, Scope};
use starling_client::{
    ClientEvent, CloseCode, ConnectOptions, EraseStatus, History, PageStatus, Publication,
    PublishStatus, ResumeAnswer, Space, SubscribeOptions,
};
use starling_protocol::message::control::{Hello, Resume};
use starling_server::auth::claims::Claims;
use starling_server::config::{Config, DurabilityName, WorldEntry};

const PLAZA: &str = "plaza";
const ARENA: &str = "arena";
/// Bob's mail as it is called where tenants meet, and the room in which all are.
const BOBS_MAIL: &str = "user/acme/bob";
const SQUARE: &str = "square";

fn two_tenants(key: &Key, data: &Folder) -> Config {
    let mut config = config();
    key.locks(&mut config);
    config.data.dir = Some(data.path().join("data"));
    let durability = Some(DurabilityName::Durable);
    let plaza = WorldEntry { shared: true, durability, ..WorldEntry::new(PLAZA, Space::Metric) };
    let arena = |tenant: &str| WorldEntry {
        tenant: Some(tenant.into()),
        ..WorldEntry::new(ARENA, Space::Metric)
    };
    config.worlds = vec![plaza, arena("acme"), arena("umbra")];
    config
}

/// A token of a tenant that grants all there is.
fn of(tenant: &str, subject: &str) -> Claims {
    let everything = ["*", "user/*", "user/*/*", BOBS_MAIL, "@user"].map(str::to_owned).to_vec();
    Claims {
        tenant: tenant.into(),
        jti: format!("{tenant}-{subject}"),
        admin: true,
        publish: everything.clone(),
        update_any: everything.clone(),
        delete_any: everything.clone(),
        history: Some(everything.clone()),
        subscribe: everything,
        ..token(subject)
    }
}

fn enters(stage: &mut Stage, key: &Key, world: &str, claims: &Claims) -> Who {
    let who = stage.knocks(ConnectOptions::new(world).token(key.signs(claims)));
    stage.until("it is in", |stage| stage[who].client.welcome().is_some());
    who
}

fn says(stage: &mut Stage, who: Who, said: Publication) -> Result<u64, CloseCode> {
    let message = stage[who].client.publish(said).expect("few are in flight");
    let status = |stage: &Stage| stage[who].client.publish_status(message);
    stage.until("it is answered", |stage| status(stage) != PublishStatus::Pending);
    match status(stage) {
        PublishStatus::Accepted(Receipt::Channel(at)) => Ok(at.offset.0),
        PublishStatus::Refused { code, .. } => Err(code),
        other => panic!("neither: {other:?}"),
    }
}

fn mail(text: &str) -> Publication {
    Publication::new(Scope::User("acme/bob".into()), text)
}

/// Whether somebody may follow a channel.
fn follows(stage: &mut Stage, who: Who, channel: &str) -> Result<(), CloseCode> {
    let wanted = stage[who].client.subscribe(channel, SubscribeOptions::default());
    let wanted = wanted.expect("few are followed");
    let answer = |stage: &Stage| {
        stage[who].events.iter().find_map(|event| match event {
            ClientEvent::Subscribed { key, answer } if *key == wanted => match answer {
                Answer::Denied(code) => Some(Err(*code)),
                _ => Some(Ok(())),
            },
            ClientEvent::Unsubscribed { key, code, .. } if *key == wanted => Some(Err(*code)),
            _ => None,
        })
    };
    stage.until("it is answered", |stage| answer(stage).is_some());
    answer(stage).expect("it was just seen")
}

fn reads(stage: &mut Stage, who: Who, channel: &str) -> Result<Vec<(Action, String)>, CloseCode> {
    let request = stage[who].client.history(channel, History::between(1, 99)).expect("few wait");
    let status = |stage: &Stage| stage[who].client.page(request);
    stage.until("it is answered", |stage| status(stage) != PageStatus::Pending);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    match status(stage) {
        PageStatus::Read(page) => {
            let events = page.entries.into_iter().map(|entry| entry.event);
            Ok(events.map(|event| (event.action, text(event.payload))).collect())
        }
        PageStatus::Refused(code) => Err(code),
        other => panic!("neither: {other:?}"),
    }
}

fn erases(stage: &mut Stage, who: Who, subject: &str) -> EraseStatus {
    let request = stage[who].client.erase(subject).expect("few wait");
    let status = |stage: &Stage| stage[who].client.erasure(request);
    stage.until("it is answered", |stage| status(stage) != EraseStatus::Pending);
    status(stage)
}

fn said(text: &str) -> (Action, String) {
    (Action::Message, text.into())
}

#[test]
fn where_tenants_meet_the_mail_of_one_is_no_channel_to_the_other() {
    let (key, data) = (Key::made(), Folder::made());
    let mut stage = Stage::of(two_tenants(&key, &data));
    let [ada, bob] = ["ada", "bob"].map(|n| enters(&mut stage, &key, PLAZA, &of("acme", n)));
    let eve = enters(&mut stage, &key, PLAZA, &of("umbra", "eve"));
    let nobody = "user/acme/nobody";
    follows(&mut stage, bob, BOBS_MAIL).expect("it is his");
    assert_eq!(says(&mut stage, ada, mail("for bob")), Ok(1));
    stage.until("he has it", |stage| stage[bob].texts() == ["for bob"]);
    for channel in [BOBS_MAIL, nobody] {
        // Word for word the same, whether there is such a user or not.
        assert_eq!(follows(&mut stage, eve, channel), Err(CloseCode::FORBIDDEN));
        assert_eq!(reads(&mut stage, eve, channel), Err(CloseCode::FORBIDDEN));
        let to = Publication::to_channel(channel, "from eve");
        assert_eq!(says(&mut stage, eve, to), Err(CloseCode::FORBIDDEN));
    }
    assert_eq!(says(&mut stage, eve, mail("from eve")), Err(CloseCode::FORBIDDEN));
    assert_eq!(follows(&mut stage, ada, BOBS_MAIL), Ok(()), "of her own tenant, and granted");
    assert_eq!(reads(&mut stage, ada, BOBS_MAIL), Ok(vec![said("for bob")]));
}

#[test]
fn where_tenants_meet_one_erases_its_own_only() {
    let (key, data) = (Key::made(), Folder::made());
    let mut stage = Stage::of(two_tenants(&key, &data));
    let bob = enters(&mut stage, &key, PLAZA, &of("acme", "bob"));
    let eve = enters(&mut stage, &key, PLAZA, &of("umbra", "eve"));
    let to_all = |text: &str| Publication::to_channel(SQUARE, text);
    assert_eq!(says(&mut stage, bob, to_all("by bob")), Ok(1));
    assert_eq!(says(&mut stage, eve, to_all("by eve")), Ok(2));
    for subject in ["bob", "acme/bob", "/bob", "../acme/bob"] {
        assert_eq!(erases(&mut stage, eve, subject), EraseStatus::Erased(0), "{subject}");
    }
    assert_eq!(reads(&mut stage, eve, SQUARE), Ok(vec![said("by bob"), said("by eve")]));
    assert_eq!(erases(&mut stage, bob, "bob"), EraseStatus::Erased(1));
}

#[test]
fn the_same_name_is_another_world_and_another_channel_to_another_tenant() {
    let (key, data) = (Key::made(), Folder::made());
    let mut stage = Stage::of(two_tenants(&key, &data));
    let bob = enters(&mut stage, &key, ARENA, &of("acme", "bob"));
    let namesake = enters(&mut stage, &key, ARENA, &of("umbra", "bob"));
    for who in [bob, namesake] {
        follows(&mut stage, who, "user/bob").expect("it is his");
        follows(&mut stage, who, SQUARE).expect("granted");
    }
    let to = |channel: &str| Publication::to_channel(channel, "for acme");
    assert_eq!(says(&mut stage, bob, to("user/bob")), Ok(1));
    assert_eq!(says(&mut stage, bob, to(SQUARE)), Ok(1));
    stage.until("it is heard", |stage| stage[bob].delivered().count() == 2);
    assert_eq!(reads(&mut stage, namesake, SQUARE), Ok(Vec::new()));
    assert_eq!(erases(&mut stage, namesake, "bob"), EraseStatus::Erased(0));
    assert_eq!(reads(&mut stage, bob, SQUARE), Ok(vec![said("for acme")]));
    assert_eq!(stage[namesake].delivered().count(), 0, "nothing crossed");
}

/// Somebody comes with a token of another's session; what it is answered, and whether it is in that
/// session.
fn presents(stage: &mut Stage, hello: Hello, of: &Resume) -> (ResumeAnswer, bool) {
    let at = stage.stranger();
    stage.rude[at].says(&Hello { resume: Some(of.clone()), ..hello });
    stage.until("it is welcome", |stage| stage.rude[at].welcome().is_some());
    let welcome = stage.rude[at].welcome().expect("it was just seen");
    (welcome.resumed, welcome.session == of.session)
}

#[test]
fn a_resume_token_opens_nothing_to_another_tenant_nor_to_another_of_its_own() {
    let (key, data) = (Key::made(), Folder::made());
    let mut stage = Stage::of(two_tenants(&key, &data));
    let hello = |world: &str, claims: &Claims| Hello { token: key.signs(claims), ..hello(world) };
    let bobs = hello(PLAZA, &of("acme", "bob"));
    let bob = stage.stranger();
    stage.rude[bob].says(&bobs);
    stage.until("it is welcome", |stage| stage.rude[bob].welcome().is_some());
    let welcome = stage.rude[bob].welcome().expect("it is in").clone();
    let (session, token) = (welcome.session, welcome.resume_token);
    let stolen = Resume { session, token, channels: Vec::new() };
    let elsewhere = [(ARENA, "acme"), (ARENA, "umbra")];
    for (world, tenant) in elsewhere {
        let (_, same) = presents(&mut stage, hello(world, &of(tenant, "bob")), &stolen);
        assert!(!same, "of another world");
    }
    for (tenant, subject) in [("umbra", "bob"), ("umbra", "acme/bob"), ("acme", "ada")] {
        let answer = presents(&mut stage, hello(PLAZA, &of(tenant, subject)), &stolen);
        assert_eq!(answer, (ResumeAnswer::Denied, false), "{tenant}/{subject}");
    }
    assert_eq!(stage.rude[bob].closed, None, "its own connection was not touched");
    assert_eq!(presents(&mut stage, bobs, &stolen), (ResumeAnswer::Resumed, true), "still good");
    stage.until("it was replaced", |stage| stage.rude[bob].closed.is_some());
    assert_eq!(stage.rude[bob].closed, Some(CloseCode::REPLACED));
}
