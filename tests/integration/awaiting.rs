//! The async face on a real socket: everything can be awaited, and nothing hangs.

use crate::stage::{PATIENCE, Stage, YARD, stage};
use starling_client::net::{AsyncClient, AsyncConnectError, SpawnError};
use starling_client::protocol::message::events::Receipt;
use starling_client::{
    ClientEvent, CloseCode, ConnectError, ConnectOptions, CueTo, Pose, Publication, SpawnSpec,
    SubscribeOptions,
};
use std::future::Future;
use tokio::runtime::Builder;

/// Runs to the end, or panics after a minute.
fn in_time<R>(work: impl Future<Output = R>) -> R {
    let runtime = Builder::new_current_thread().enable_time().build().expect("it needs little");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, work).await.expect("everything comes to its end")
    })
}

async fn enters(stage: &Stage, world: &str) -> Result<AsyncClient, AsyncConnectError> {
    AsyncClient::connect(&stage.place(), ConnectOptions::new(world)).await
}

#[test]
fn a_day_can_be_awaited() {
    let stage = stage();
    in_time(async {
        let ann = enters(&stage, YARD).await.expect("the door is open");
        let bob = enters(&stage, YARD).await.expect("the door is open");
        let spec = |name: &str| SpawnSpec::at(Pose::at([0.0; 3])).named(name);
        let me = ann.spawn(spec("ann")).await.expect("there is room");
        let key = bob.spawn(spec("bob")).await.expect("there is room");
        bob.with(|bob| bob.set_interest_around(0, key, 50.0)).expect("the first of eight");
        bob.with(|bob| bob.subscribe("lobby", SubscribeOptions::default())).expect("the first");
        while !matches!(bob.next_event().await, Some(ClientEvent::Subscribed { .. })) {}

        let said = ann.publish(Publication::to_channel("lobby", "hello")).await;
        assert!(matches!(said, Ok(Receipt::Channel(at)) if at.offset.0 == 1), "{said:?}");
        let heard = loop {
            match bob.next_event().await.expect("the session stands") {
                ClientEvent::Delivered(event) => break event,
                _ => continue,
            }
        };
        assert_eq!(heard.payload, b"hello");

        let there = Pose::at([5.0, 5.0, 0.0]);
        ann.with(|ann| ann.set_pose(me, there)).expect("a place of this world");
        let cue = cue(&ann, &bob).await;
        assert_eq!((cue.kind, cue.payload()), (3, &b"honk"[..]));
        ann.goodbye().await;
        bob.goodbye().await;
    });
}

/// A cue arrives in time or not at all: one of a few does.
async fn cue(from: &AsyncClient, to: &AsyncClient) -> starling_client::Cue {
    loop {
        from.with(|from| from.send_cue(CueTo::World, 3, 15, b"honk")).expect("few are waiting");
        let patience = PATIENCE / 30;
        if let Ok(cue) = tokio::time::timeout(patience, to.next_cue()).await {
            return cue.expect("the session stands");
        }
    }
}

#[test]
fn a_refusal_is_told_to_whoever_awaits() {
    let stage = stage();
    in_time(async {
        let refused = enters(&stage, "no-such-world").await.expect_err("there is no such world");
        assert!(matches!(refused, AsyncConnectError::Connect(ConnectError::UnknownWorld)));
        let ann = enters(&stage, YARD).await.expect("the door is open");
        let spec = || SpawnSpec::at(Pose::at([0.0; 3])).named("twin");
        ann.spawn(spec()).await.expect("the first has the name");
        let eve = enters(&stage, YARD).await.expect("the door is open");
        let taken = eve.spawn(spec()).await.expect_err("the name is taken");
        assert_eq!(taken, SpawnError::Refused(CloseCode::BAD_NAME));
    });
}

#[test]
fn a_client_that_is_dropped_says_goodbye() {
    let mut stage = stage();
    let bob = stage.enters("bob", [3.0, 0.0, 0.0]);
    let ann = in_time(async {
        let ann = enters(&stage, YARD).await.expect("the door is open");
        let spec = SpawnSpec::at(Pose::at([0.0; 3])).named("ann");
        ann.spawn(spec).await.expect("there is room");
        ann
    });
    stage.until("she is seen", |stage| stage[bob].sees("ann"));
    drop(ann);
    stage.until("she is gone", |stage| !stage[bob].sees("ann"));
    assert_eq!(stage.metric("starling_world_sessions{world=\"yard\",state=\"parked\"}"), 0.0);
}
