//! Follows one entity by its name, wherever it goes.
//!
//! ```sh
//! starling serve &
//! cargo run -p starling-client --example follow -- 127.0.0.1:4433 FINGERPRINT NAME [WORLD]
//! ```
//! `NAME` is for example `bus/517`, as `publish_gpx` calls its own; an empty fingerprint (`""`)
//! believes any certificate. `WORLD` is `city` unless said.
#![allow(clippy::print_stdout)] // an example talks to its reader

#[path = "shared/arguments.rs"]
#[allow(dead_code)]
mod arguments;

use anyhow::{Context, Result};
use starling_client::net::{Client, MonotonicClock};
use starling_client::{ClientEvent, ConnectOptions, Interest, Shape, Space, Target};
use std::time::Duration;

fn main() -> Result<()> {
    let name = arguments::argument(3).context("whom to follow: the third argument")?;
    let world = arguments::argument(4).unwrap_or_else(|| "city".into());
    let clock = MonotonicClock::start();
    let options = ConnectOptions::new(world).create(Space::Geodetic).viewer();
    let options = options.seed(arguments::seed()).token(arguments::token());
    let mut client = Client::connect(clock.now(), &arguments::server()?, options)?;
    let entity = Target::Name(name.clone());
    client.set_interest(0, Interest::new(Shape::Follow { entity }))?;
    println!("waiting for {name}");

    loop {
        client.wait(clock.now(), Duration::from_secs(1));
        client.advance(clock.now());
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Closed { error } = event {
                return Err(error.into());
            }
            println!("{event:?}");
        }
        for entity in client.view().left() {
            println!("{entity} is gone");
        }
        for seen in client.view().updated() {
            let [latitude, longitude, altitude] = seen.pose().position;
            println!("{latitude:.6} {longitude:.6} {altitude:.1} {:?}", seen.pose().facing);
        }
        client.view_mut().clear_changes();
    }
}
