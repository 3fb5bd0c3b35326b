//! A game's frame loop: 60 frames a second, one call a frame, no runtime and no thread.
//!
//! ```sh
//! starling serve &
//! cargo run -p starling-client --example frame_loop -- 127.0.0.1:4433 [FINGERPRINT]
//! ```
//! Run it twice: each sees the other go round.
#![allow(clippy::print_stdout)] // an example talks to its reader

#[path = "shared/arguments.rs"]
#[allow(dead_code)]
mod arguments;

use anyhow::Result;
use starling_client::net::{Client, MonotonicClock};
use starling_client::{ClientEvent, ConnectOptions, Facing, Nanos, Pose, Space, SpawnSpec};

const FRAME_NS: u64 = Nanos::SECOND / 60;
/// The game ends after so many frames.
const FRAMES: u64 = 60 * 60;
const CIRCLE_M: f64 = 10.0;

fn main() -> Result<()> {
    let clock = MonotonicClock::start();
    let options = ConnectOptions::new("plaza")
        .create(Space::Metric)
        .seed(arguments::seed())
        .token(arguments::token());
    let mut client = Client::connect(clock.now(), &arguments::server()?, options)?;
    let me = client.spawn(SpawnSpec::at(circling(0.0)))?;
    client.set_interest_around(0, me, 100.0)?;

    for frame in 0..FRAMES {
        let now = clock.now();
        client.set_pose(me, circling(now.as_secs_f64()))?;
        client.advance(now);
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Closed { error } = event {
                return Err(error.into());
            }
            println!("{event:?}");
        }
        draw(&mut client, frame);
        wait_for_the_screen(&mut client, &clock, Nanos((frame + 1) * FRAME_NS));
    }
    client.goodbye(clock.now());
    client.advance(clock.now());
    Ok(())
}

/// Round the middle once in 20 seconds, looking ahead.
fn circling(seconds: f64) -> Pose {
    let angle = seconds * std::f64::consts::TAU / 20.0;
    let speed = CIRCLE_M * std::f64::consts::TAU / 20.0;
    Pose::at([CIRCLE_M * angle.cos(), CIRCLE_M * angle.sin(), 0.0])
        .moving([-speed * angle.sin(), speed * angle.cos(), 0.0])
        .facing(Facing::Heading(-(angle.to_degrees()) as f32))
}

/// Where a game would draw; this one prints once a second.
fn draw(client: &mut Client, frame: u64) {
    for entity in client.view().entered() {
        println!("{entity} came into sight");
    }
    for entity in client.view().left() {
        println!("{entity} went out of sight");
    }
    client.view_mut().clear_changes();
    if frame.is_multiple_of(60) {
        let rtt_ms = f64::from(client.stats().rtt_us) / 1e3;
        println!("{} in sight, round trip {rtt_ms:.1} ms", client.view().len());
        for seen in client.view().iter() {
            let [x, y, z] = seen.pose().position;
            println!("  {} at {x:.2} {y:.2} {z:.2}", seen.name().unwrap_or("?"));
        }
    }
}

/// Until the next frame, ticks of the server are answered as they come.
fn wait_for_the_screen(client: &mut Client, clock: &MonotonicClock, frame_at: Nanos) {
    while clock.now() < frame_at {
        let left = std::time::Duration::from_nanos(frame_at.since(clock.now()));
        client.wait(clock.now(), left);
        client.advance(clock.now());
    }
}
