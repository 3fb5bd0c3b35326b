//! What a subject published is erased, on a real disk and for good (P10).

use crate::stage::{Folder, Key, Stage, Who, YARD, config, token};
use starling_client::protocol::message::events::{Action, Receipt};
use starling_client::{
    CloseCode, ConnectOptions, EraseStatus, History, PageStatus, Publication, PublishStatus,
};
use starling_server::auth::claims::Claims;
use starling_server::config::{Config, NamespaceEntry};

const ROOM: &str = "kept/room";
const SECRET: &str = "what nobody is to know";

fn durable(key: &Key, data: &Folder) -> Config {
    let mut config = config();
    key.locks(&mut config);
    config.data.dir = Some(data.path().join("data"));
    let kept = r#"{ "name": "kept", "durability": "durable" }"#;
    config.namespaces = vec![namespace(kept), namespace(r#"{ "name": "" }"#)];
    config
}

fn namespace(json: &str) -> NamespaceEntry {
    serde_json::from_str(json).expect("well formed")
}

fn enters(stage: &mut Stage, key: &Key, claims: &Claims) -> Who {
    let who = stage.knocks(ConnectOptions::new(YARD).token(key.signs(claims)));
    stage.until("it is in", |stage| stage[who].client.welcome().is_some());
    who
}

fn says(stage: &mut Stage, who: Who, text: &str) -> u64 {
    let said = Publication::to_channel(ROOM, text);
    let message = stage[who].client.publish(said).expect("few are in flight");
    let status = |stage: &Stage| stage[who].client.publish_status(message);
    stage.until("it is answered", |stage| status(stage) != PublishStatus::Pending);
    match status(stage) {
        PublishStatus::Accepted(Receipt::Channel(at)) => at.offset.0,
        other => panic!("not accepted: {other:?}"),
    }
}

fn erases(stage: &mut Stage, who: Who, subject: &str) -> EraseStatus {
    let request = stage[who].client.erase(subject).expect("few wait");
    let status = |stage: &Stage| stage[who].client.erasure(request);
    stage.until("it is answered", |stage| status(stage) != EraseStatus::Pending);
    status(stage)
}

fn history(stage: &mut Stage, who: Who) -> Vec<(u64, Action, String)> {
    let request = stage[who].client.history(ROOM, History::between(1, 99)).expect("few wait");
    let status = |stage: &Stage| stage[who].client.page(request);
    stage.until("it is answered", |stage| status(stage) != PageStatus::Pending);
    let PageStatus::Read(page) = status(stage) else { panic!("refused") };
    let events = page.entries.into_iter().map(|entry| entry.event);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    events.map(|event| (event.offset.0, event.action, text(event.payload))).collect()
}

#[test]
fn tombstones_stand_where_it_was_also_after_a_restart() {
    let (key, data) = (Key::made(), Folder::made());
    let mut stage = Stage::of(durable(&key, &data));
    let [ann, bob] = ["ann", "bob"].map(|name| enters(&mut stage, &key, &token(name)));
    assert_eq!(says(&mut stage, ann, SECRET), 1);
    assert_eq!(says(&mut stage, bob, "hello"), 2);
    assert_eq!(says(&mut stage, ann, SECRET), 3);
    assert_eq!(erases(&mut stage, bob, "ann"), EraseStatus::Refused(CloseCode::FORBIDDEN));
    let admin = enters(&mut stage, &key, &Claims { admin: true, ..token("admin") });
    assert_eq!(erases(&mut stage, admin, "ann"), EraseStatus::Erased(2));
    let left = [
        (1, Action::Tombstone, String::new()),
        (2, Action::Message, "hello".to_owned()),
        (3, Action::Tombstone, String::new()),
    ];
    assert_eq!(history(&mut stage, bob), left);
    stage.comes_back(durable(&key, &data));
    let eve = enters(&mut stage, &key, &token("eve"));
    assert_eq!(history(&mut stage, eve), left);
    assert_eq!(says(&mut stage, eve, "and on"), 4);
}
