//! A bot that wanders about, turns away from others, and honks at whoever comes near.
//!
//! ```sh
//! starling serve &
//! cargo run -p starling-client --example tiny_bot -- 127.0.0.1:4433 [FINGERPRINT]
//! ```
//! It says where it is for exactly the tick that it is asked for, so its motion costs few bytes.
#![allow(clippy::print_stdout)] // an example talks to its reader

#[path = "shared/arguments.rs"]
#[allow(dead_code)]
mod arguments;

use anyhow::Result;
use starling_client::net::{Client, MonotonicClock};
use starling_client::{
    ClientEvent, ConnectOptions, CueTo, Facing, Nanos, OwnKey, Pose, RequestError, Space, SpawnSpec,
};
use std::time::Duration;

const SPEED_MPS: f64 = 2.0;
/// Closer than this the bot turns away and honks.
const NEAR_M: f64 = 5.0;
/// The kind of cue that a horn is, in this game.
const HORN: u8 = 1;

/// Where the bot was at a moment, and where it goes.
struct Bot {
    at: [f64; 2],
    since: Nanos,
    /// Degrees clockwise from +y.
    heading: f64,
}

fn main() -> Result<()> {
    let clock = MonotonicClock::start();
    let seed = arguments::seed();
    let options =
        ConnectOptions::new("plaza").create(Space::Metric).seed(seed).token(arguments::token());
    let mut client = Client::connect(clock.now(), &arguments::server()?, options)?;
    let heading = (seed % 360) as f64;
    let mut bot = Bot { at: [0.0; 2], since: clock.now(), heading };
    let me = client.spawn(SpawnSpec::at(bot.pose(clock.now())))?;
    client.set_interest_around(0, me, 30.0)?;
    loop {
        client.wait(clock.now(), Duration::from_millis(100));
        client.advance_sampled(clock.now(), |session, sampling| {
            // A bot never leaves the world, so its pose is one.
            let _told = session.set_pose(me, bot.pose(sampling.at));
        });
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Closed { error } = event {
                return Err(error.into());
            }
            println!("{event:?}");
        }
        while let Some(cue) = client.poll_cue() {
            println!("{:?} honks: {}", cue.source, String::from_utf8_lossy(cue.payload()));
        }
        bot.mind_the_others(&mut client, me, clock.now())?;
    }
}

impl Bot {
    fn pose(&self, now: Nanos) -> Pose {
        let [x, y] = self.place(now);
        let (east, north) = self.heading.to_radians().sin_cos();
        Pose::at([x, y, 0.0])
            .moving([SPEED_MPS * east, SPEED_MPS * north, 0.0])
            .facing(Facing::Heading(self.heading as f32))
    }

    fn place(&self, now: Nanos) -> [f64; 2] {
        // The moment asked for may lie a little before the last turn.
        let seconds = now.as_secs_f64() - self.since.as_secs_f64();
        let (east, north) = self.heading.to_radians().sin_cos();
        [self.at[0] + SPEED_MPS * seconds * east, self.at[1] + SPEED_MPS * seconds * north]
    }

    fn mind_the_others(&mut self, client: &mut Client, me: OwnKey, now: Nanos) -> Result<()> {
        let here = self.place(now);
        let distance = |position: [f64; 3]| (position[0] - here[0]).hypot(position[1] - here[1]);
        let near = client.view().iter().find(|seen| distance(seen.pose().position) < NEAR_M);
        let away = near.map(|seen| {
            let [x, y, _] = seen.pose().position;
            (here[0] - x).atan2(here[1] - y).to_degrees()
        });
        // Home is within a hundred metres.
        let home =
            (here[0].hypot(here[1]) > 100.0).then(|| (-here[0]).atan2(-here[1]).to_degrees());
        let Some(heading) = away.or(home) else { return Ok(()) };
        if (heading - self.heading).rem_euclid(360.0) < 1.0 {
            return Ok(());
        }
        (self.at, self.since, self.heading) = (here, now, heading.rem_euclid(360.0));
        match client.send_cue(CueTo::NearMine(me, 30.0), HORN, 3, b"beep") {
            Ok(_) | Err(RequestError::Busy | RequestError::NotLive) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
