//! Worlds in which players send inputs and something else decides, on real sockets.

use crate::stage::{Key, Stage, Who, config, token};
use starling_client::protocol::message::control::RequestKind;
use starling_client::protocol::message::host::PlayerInput;
use starling_client::{
    ClientEvent, CloseCode, ConnectError, ConnectOptions, Interest, OwnKey, Pose, SessionId, Shape,
    Space, SpawnSpec, Value,
};
use starling_protocol::message::control::Authority;
use starling_server::auth::claims::Claims;
use starling_server::config::WorldEntry;
use starling_server::run::Server;
use starling_world::authority::tag::Tag;
use starling_world::config::{Profile, WorldConfig};

/// A game of tag.
fn playground() -> Stage {
    let mut world = WorldConfig::new("tag", Space::Metric, Profile::Game);
    (world.authority, world.schema) = (Authority::Server, Tag::schema());
    let server = Server::new(config()).expect("the configuration holds");
    Stage::on(server.world(world).game("tag", Box::new(Tag::default())))
}

fn looks_around(stage: &mut Stage, who: Who) {
    let around = Interest::new(Shape::Around { entity: None, radius_m: 100.0 });
    stage[who].client.set_interest(0, around).expect("the first of eight");
}

/// Names and places of all that somebody sees.
fn seen(stage: &Stage, who: Who) -> Vec<(String, [f64; 3])> {
    let view = stage[who].client.view();
    view.iter().map(|s| (s.name().unwrap_or("?").to_owned(), s.pose().position)).collect()
}

#[test]
fn in_a_game_inputs_go_up_and_the_avatar_comes_down() {
    let mut stage = playground();
    let [ann, bob] = [0; 2].map(|_| stage.knocks(ConnectOptions::new("tag")));
    for who in [ann, bob] {
        looks_around(&mut stage, who);
    }
    stage.until("both see both", |stage| [ann, bob].iter().all(|w| seen(stage, *w).len() == 2));
    let start = seen(&stage, bob);

    let north = stage[ann].client.send_input(&[1, 0]).expect("it is the first");
    let pending = |stage: &Stage| stage[ann].client.pending_inputs().count();
    assert_eq!((pending(&stage), stage[ann].client.newest_applied()), (1, None));
    stage.until("it was applied", |s| s[ann].client.newest_applied() == Some(north));
    assert_eq!(pending(&stage), 0, "what was applied is not predicted again");
    let gone_north = |stage: &Stage, who: Who| {
        let now = seen(stage, who);
        let gone = start.iter().filter(|(name, from)| {
            now.iter().any(|(other, to)| other == name && to[1] > from[1] + 2.0)
        });
        gone.count()
    };
    stage.until("one ran, for both to see", |s| [ann, bob].iter().all(|w| gone_north(s, *w) == 1));
    let stop = stage[ann].client.send_input(&[0, 0]).expect("it is the second");
    assert_eq!(stop, north.wrapping_add(1));
    stage.until("it stands", |s| s[ann].client.newest_applied() == Some(stop));
    assert_eq!(gone_north(&stage, bob), 1, "the other never moved");

    let it =
        stage[bob].client.view().iter().filter(|s| s.field_named("it") == Some(Value::Bool(true)));
    assert_eq!(it.count(), 1, "one of them is it");
}

#[test]
fn in_a_game_nobody_claims_a_place() {
    let mut stage = playground();
    let ann = stage.knocks(ConnectOptions::new("tag"));
    stage[ann].client.spawn(SpawnSpec::at(Pose::at([0.0; 3]))).expect("it can be asked for");
    stage.until("it is refused", |stage| {
        stage[ann].has_heard(|event| {
            matches!(event, ClientEvent::SpawnRefused { code: CloseCode::WRONG_AUTHORITY, .. })
        })
    });
}

#[test]
fn where_clients_decide_inputs_are_refused() {
    let mut stage = Stage::of(config());
    let pair @ [_, bob] = stage.pair();
    let cat = stage.enters("cat", [0.0, 5.0, 0.0]);
    stage[cat].client.send_input(&[1]).expect("it is the first");
    stage.until("it is refused", |stage| {
        stage[cat].has_heard(|event| {
            let refused = ClientEvent::RequestRefused {
                request: RequestKind::Input,
                code: CloseCode::WRONG_AUTHORITY,
            };
            *event == refused
        })
    });
    stage.counts("starling_world_inputs_refused_total{world=\"yard\"}", 1.0);
    stage.until("it is still in sight", |stage| stage[bob].sees("cat"));
    stage.others_go_on(pair);
}

/// A hall that somebody hosts, locked with a key.
fn hall(key: &Key) -> Stage {
    let mut config = config();
    key.locks(&mut config);
    let entry = WorldEntry::parse("hall=metric,authority=host").expect("well formed");
    config.worlds.push(entry);
    Stage::of(config)
}

fn may_host(key: &Key, subject: &str, host: bool) -> ConnectOptions {
    let claims = Claims { host, ..token(subject) };
    ConnectOptions::new("hall").token(key.signs(&claims))
}

/// The inputs that the host was given, in order.
fn inputs(stage: &Stage, host: Who) -> Vec<PlayerInput> {
    let given = stage[host].events.iter().filter_map(|event| match event {
        ClientEvent::PlayerInputs { inputs, .. } => Some(inputs.clone()),
        _ => None,
    });
    given.flatten().collect()
}

/// The host makes an avatar for each player that comes.
fn greets(stage: &mut Stage, host: Who, subject: &str) -> (SessionId, OwnKey) {
    let joined = |stage: &Stage| {
        stage[host].events.iter().find_map(|event| match event {
            ClientEvent::PlayerJoined { session, subject: whose } if whose == subject => {
                Some(*session)
            }
            _ => None,
        })
    };
    stage.until("the host is told who came", |stage| joined(stage).is_some());
    let player = joined(stage).expect("it was just told");
    let avatar = SpawnSpec::at(Pose::at([0.0; 3])).named(format!("avatar of {subject}"));
    let spec = SpawnSpec { avatar_of: Some(player), ..avatar };
    (player, stage[host].client.spawn(spec).expect("one is few enough"))
}

#[test]
fn a_host_is_given_the_inputs_and_its_word_is_what_players_see() {
    let key = Key::made();
    let mut stage = hall(&key);
    let host = stage.knocks(may_host(&key, "the host", true).host());
    let ann = stage.knocks(may_host(&key, "ann", false));
    let bob = stage.knocks(may_host(&key, "bob", false));
    for who in [ann, bob] {
        looks_around(&mut stage, who);
    }
    let (annie, avatar) = greets(&mut stage, host, "ann");
    greets(&mut stage, host, "bob");
    stage.until("players see avatars, their own too", |stage| {
        [ann, bob].iter().all(|who| stage[*who].sees("avatar of ann"))
    });
    stage.until("each knows which is its own", |stage| {
        [(ann, "avatar of ann"), (bob, "avatar of bob")].iter().all(|(who, name)| {
            let client = &stage[*who].client;
            let mine = client.avatar().and_then(|avatar| client.view().get(avatar));
            mine.is_some_and(|seen| seen.name() == Some(*name))
        })
    });

    let sent: Vec<_> = (1..=5_u8)
        .map(|step| stage[ann].client.send_input(&[step]).expect("few are pending"))
        .collect();
    stage.until("the host has them", |stage| inputs(stage, host).len() >= sent.len());
    let given = inputs(&stage, host);
    let numbers: Vec<_> = given.iter().map(|input| input.number).collect();
    assert_eq!(numbers, sent, "each once and in order");
    assert!(given.iter().all(|input| input.session == annie));
    let steps: Vec<_> = given.iter().map(|input| input.payload.clone()).collect();
    assert_eq!(steps, (1..=5_u8).map(|step| vec![step]).collect::<Vec<_>>());

    let newest = *sent.last().expect("there were five");
    let there = [15.0, -4.0, 1.0];
    stage[host].client.set_pose(avatar, Pose::at(there)).expect("a place of this world");
    stage[host].client.host_applied(annie, newest).expect("the session stands");
    stage.until("she is told what was applied", |stage| {
        stage[ann].client.newest_applied() == Some(newest)
    });
    let bound_m = stage[bob].bound_m();
    let in_place = |stage: &Stage, who: Who| {
        let at = stage[who].place_of("avatar of ann");
        at.is_some_and(|at| crate::stage::distance(at, there) <= bound_m)
    };
    stage.until("all see where it is now", |s| [ann, bob].iter().all(|who| in_place(s, *who)));
    assert_eq!(stage[bob].client.newest_applied(), None, "of his none was applied");
}

#[test]
fn a_host_is_told_who_leaves_and_what_it_removes_is_gone() {
    let key = Key::made();
    let mut stage = hall(&key);
    let host = stage.knocks(may_host(&key, "the host", true).host());
    let ann = stage.knocks(may_host(&key, "ann", false));
    let bob = stage.knocks(may_host(&key, "bob", false));
    looks_around(&mut stage, bob);
    let (annie, avatar) = greets(&mut stage, host, "ann");
    greets(&mut stage, host, "bob");
    stage.until("her avatar is seen", |stage| stage[bob].sees("avatar of ann"));
    let clock = stage.clock;
    stage[ann].client.goodbye(clock.now());
    stage.until("the host is told", |stage| {
        stage[host].has_heard(|event| *event == ClientEvent::PlayerLeft { session: annie })
    });
    stage[host].client.despawn(avatar).expect("it stood");
    stage.until("her avatar is gone", |stage| !stage[bob].sees("avatar of ann"));
}

#[test]
fn nobody_hosts_without_the_grant() {
    let key = Key::made();
    let mut stage = hall(&key);
    let eve = stage.knocks(may_host(&key, "eve", false).host());
    stage.until("she is refused", |stage| stage[eve].end().is_some());
    assert!(matches!(stage[eve].end(), Some(ConnectError::Forbidden { .. })));
}
