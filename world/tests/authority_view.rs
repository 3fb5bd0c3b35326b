//! What players see of a world that a host or a game moves: the others and themselves.

mod view_stage;

use starling_protocol::message::control::*;
use starling_protocol::message::host::HostUp;
use starling_protocol::units::SessionId;
use starling_protocol::uplink::CueScope;
use starling_world::World;
use starling_world::authority::tag::Tag;
use starling_world::grants::Grants;
use starling_world::input::Command;
use std::collections::BTreeSet;
use view_stage::{Sky, around, metric};

fn hosted() -> (Sky, usize, usize) {
    let mut config = metric();
    config.authority = Authority::Host;
    let mut sky = Sky::new(config, 1);
    let grants = Grants { host: true, ..Grants::open() };
    let host = sky.client_with(grants, Capabilities::HOST);
    let player = sky.client();
    sky.look(player, 0, around(50.0));
    (sky, host, player)
}

fn session(sky: &Sky, client: usize) -> SessionId {
    sky.clients[client].welcome.session
}

#[test]
fn a_player_sees_its_avatar_and_what_the_host_has_near_it() {
    let (mut sky, host, player) = hosted();
    let id = session(&sky, player);
    let avatar = sky.spawn_as(host, [0.; 3], |spawn| spawn.avatar_of = Some(id));
    let near = sky.spawn(host, [20., 0., 0.]);
    let far = sky.spawn(host, [500., 0., 0.]);
    sky.run(5);
    assert_eq!(sky.seen(player), BTreeSet::from([avatar, near]));
    for step in 0..40 {
        sky.place(host, [470.0 * f64::from(step) / 39.0, 0., 0.]);
        sky.tick();
    }
    sky.run(3);
    assert_eq!(sky.seen(player), BTreeSet::from([avatar, far]), "its view goes with its avatar");
    assert!(sky.checks > 40, "positions were compared with the world's at every tick");
}

#[test]
fn the_number_that_the_host_applied_rides_in_the_players_snapshots() {
    let (mut sky, host, player) = hosted();
    let id = session(&sky, player);
    sky.spawn_as(host, [0.; 3], |spawn| spawn.avatar_of = Some(id));
    sky.run(3);
    let conn = sky.clients[host].conn;
    let message = HostUp::Applied { session: id, number: 77 };
    sky.command(Command::Host { conn, message });
    let cue = (1, 1, 3, CueScope::World, Vec::new());
    sky.clients[player].cues.push(cue);
    sky.place(host, [1., 0., 0.]);
    sky.run(4);
    let folds = &sky.clients[player].folds;
    let newest = folds.last().expect("what it sends is told of");
    assert_eq!(newest.1.applied, Some(77));
}

#[test]
fn players_of_a_game_see_each_other_and_themselves() {
    let mut config = metric();
    config.authority = Authority::Server;
    config.schema = Tag::schema();
    let mut sky = Sky::of(World::with_game(config, Box::new(Tag::default())), 1);
    let players = [0; 3].map(|_| sky.client());
    for player in players {
        sky.look(player, 0, around(60.0));
    }
    sky.run(10);
    let all: BTreeSet<_> = {
        let entities = sky.world.entities();
        entities.iter().map(|idx| entities.id(idx)).collect()
    };
    assert_eq!(all.len(), 3);
    for player in players {
        assert_eq!(sky.seen(player), all);
    }
    sky.send(players[2], ControlUp::Goodbye);
    sky.clients.pop();
    sky.run(5);
    assert_eq!(sky.seen(players[0]).len(), 2);
}
