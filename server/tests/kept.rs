//! What is called durable is kept, or nothing starts (P5).

use starling_protocol::space::Space;
use starling_server::config::{AuthMode, Config, DurabilityName, NamespaceEntry, WorldEntry};
use starling_server::run::{Server, StartError};
use std::net::SocketAddr;

fn config() -> Config {
    let mut config = Config::default();
    config.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.http.enabled = false;
    config
}

fn durable(name: &str) -> NamespaceEntry {
    let json = format!(r#"{{ "name": "{name}", "durability": "durable" }}"#);
    serde_json::from_str(&json).expect("well formed")
}

/// The world and the namespace that nobody would keep.
fn refused(config: Config) -> Option<(String, String)> {
    match Server::new(config).and_then(Server::start) {
        Ok(_) => None,
        Err(StartError::NoStore { namespace, world }) => Some((world, namespace)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_durable_world_without_a_folder_is_refused_with_what_to_do() {
    let mut config = config();
    let entry = WorldEntry::new("arena", Space::Metric);
    config.worlds = vec![WorldEntry { durability: Some(DurabilityName::Durable), ..entry }];
    let refused = Server::new(config).and_then(Server::start).map(drop).expect_err("no folder");
    let why = refused.to_string();
    assert!(why.contains("`arena`") && why.contains("--data") && why.contains("memory"), "{why}");
}

#[test]
fn so_is_a_durable_namespace_of_worlds_that_a_hello_may_make() {
    let mut config = config();
    config.namespaces = vec![durable("orders"), durable("")];
    assert!(refused(config).is_some_and(|(_, namespace)| namespace == "orders"));
}

#[test]
fn where_nobody_may_make_worlds_only_those_that_are_listed_count() {
    let mut config = config();
    config.namespaces = vec![durable("orders")];
    config.server.worlds = Some(starling_server::config::WorldPolicy::Listed);
    assert_eq!(config.auth.mode, AuthMode::Open);
    assert_eq!(refused(config.clone()), None, "there is no world");
    config.worlds = vec![WorldEntry::new("arena", Space::Metric)];
    let arena = ("world `arena`".to_owned(), "orders".to_owned());
    assert_eq!(refused(config), Some(arena), "which takes the server's namespaces");
}

#[test]
fn inboxes_of_users_are_there_without_a_folder_and_kept_with_one() {
    assert_eq!(refused(config()), None);
}
