//! Hosts a world: this program decides where everything is, the server brings it to everyone.
//!
//! ```sh
//! starling token keys --out keys
//! starling serve --world arena=metric,authority=host --auth-key keys/starling.pub.pem &
//! export STARLING_TOKEN=$(starling token make --key keys/starling.key.pem \
//!     --sub host --grant see,move,host)
//! cargo run -p starling-client --example host -- 127.0.0.1:4433 [FINGERPRINT]
//! ```
//! Hosting is never open to everyone, so it takes a token.
//!
//! Every player that joins gets an avatar. A player's input is two bytes: how many centimetres to
//! go east and north, each -128 to 127. An existing headless game server is bound in just like
//! this: it feeds its own simulation with the inputs and sets poses from it.
#![allow(clippy::print_stdout)] // an example talks to its reader

#[path = "shared/arguments.rs"]
#[allow(dead_code)]
mod arguments;

use anyhow::Result;
use starling_client::net::{Client, MonotonicClock};
use starling_client::protocol::message::host::PlayerInput;
use starling_client::{ClientEvent, ConnectOptions, OwnKey, Pose, SessionId, SpawnSpec};
use std::collections::BTreeMap;
use std::time::Duration;

struct Avatar {
    key: OwnKey,
    position: [f64; 3],
}

#[derive(Default)]
struct Game {
    avatars: BTreeMap<SessionId, Avatar>,
}

fn main() -> Result<()> {
    let clock = MonotonicClock::start();
    let options =
        ConnectOptions::new("arena").host().seed(arguments::seed()).token(arguments::token());
    let mut client = Client::connect(clock.now(), &arguments::server()?, options)?;
    let mut game = Game::default();
    loop {
        client.wait(clock.now(), Duration::from_secs(1));
        client.advance(clock.now());
        while let Some(event) = client.poll_event() {
            game.handle(&mut client, event)?;
        }
        client.advance(clock.now());
    }
}

impl Game {
    fn handle(&mut self, client: &mut Client, event: ClientEvent) -> Result<()> {
        match event {
            ClientEvent::PlayerJoined { session, subject } => {
                println!("player {} ({subject}) came", session.0);
                self.join(client, session)?;
            }
            ClientEvent::PlayerLeft { session } => {
                println!("player {} left", session.0);
                if let Some(avatar) = self.avatars.remove(&session) {
                    client.despawn(avatar.key)?;
                }
            }
            ClientEvent::PlayerInputs { inputs, .. } => {
                for input in inputs {
                    self.apply(client, &input)?;
                }
            }
            ClientEvent::Closed { error } => return Err(error.into()),
            event => println!("{event:?}"),
        }
        Ok(())
    }

    fn join(&mut self, client: &mut Client, player: SessionId) -> Result<()> {
        if self.avatars.contains_key(&player) {
            return Ok(()); // told again after a reconnect
        }
        let position = [self.avatars.len() as f64 * 2.0, 0.0, 0.0];
        let spec = SpawnSpec { avatar_of: Some(player), ..SpawnSpec::at(Pose::at(position)) };
        let key = client.spawn(spec)?;
        self.avatars.insert(player, Avatar { key, position });
        Ok(())
    }

    fn apply(&mut self, client: &mut Client, input: &PlayerInput) -> Result<()> {
        let Some(avatar) = self.avatars.get_mut(&input.session) else { return Ok(()) };
        if let [east, north] = input.payload[..] {
            avatar.position[0] += f64::from(east as i8) / 100.0;
            avatar.position[1] += f64::from(north as i8) / 100.0;
            client.set_pose(avatar.key, Pose::at(avatar.position))?;
        }
        // What is not understood is applied too: the player must not wait for it for ever.
        client.host_applied(input.session, input.number)?;
        Ok(())
    }
}
