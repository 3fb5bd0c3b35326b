//! Connects, says hello on a channel, and prints what comes back for three seconds.
//!
//! ```sh
//! starling serve &
//! cargo run -p starling-client --example hello -- 127.0.0.1:4433 [FINGERPRINT]
//! ```
#![allow(clippy::print_stdout)] // an example talks to its reader

#[path = "shared/arguments.rs"]
#[allow(dead_code)]
mod arguments;

use anyhow::Result;
use starling_client::net::AsyncClient;
use starling_client::{
    ClientEvent, ConnectOptions, Interest, Pose, Publication, Shape, Space, SpawnSpec,
    SubscribeOptions,
};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = ConnectOptions::new("plaza")
        .create(Space::Metric)
        .seed(arguments::seed())
        .token(arguments::token());
    let client = AsyncClient::connect(&arguments::server()?, options).await?;
    client.with(|session| {
        if let Some(welcome) = session.welcome() {
            let (world, hz) = (&welcome.world, welcome.tick_rate.hz());
            println!("welcome to {world} at {hz} Hz, session {}", welcome.session.0);
        }
    });

    let me = client.spawn(SpawnSpec::at(Pose::at([0.0, 0.0, 0.0]))).await?;
    println!("I stand: {:?}", client.with(|session| session.own(me)));
    client.with(|session| {
        session.set_interest(0, Interest::new(Shape::Around { entity: None, radius_m: 50.0 }))?;
        session.subscribe("lobby", SubscribeOptions::default())
    })?;
    let receipt = client.publish(Publication::to_channel("lobby", b"hello")).await?;
    println!("my hello was accepted: {receipt:?}");

    let listen = async {
        while let Some(event) = client.next_event().await {
            match event {
                ClientEvent::Delivered(event) => {
                    println!("{}: {}", event.offset.0, String::from_utf8_lossy(&event.payload));
                }
                event => println!("{event:?}"),
            }
        }
    };
    // That the time is over is how this ends.
    let _over = tokio::time::timeout(Duration::from_secs(3), listen).await;
    println!("{:#?}", client.with(|session| session.stats()));
    client.goodbye().await;
    Ok(())
}
