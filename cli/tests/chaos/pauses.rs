//! A server that stands still and goes on, or is asked to leave while it is at work (P14); clocks that jump.

use crate::cast::Cast;
use crate::server::Server;
use crate::{Dice, Scratch, power, rounds, seed};
use std::time::Duration;

const SERVE: [&str; 2] = ["--world", "yard=metric,profile=game"];

/// Fault 52, for moments: shorter than any timeout. (Longer ones are in the simulation.)
#[test]
fn a_server_that_stands_still_for_a_moment_loses_nothing() {
    let (server, mut dice) = (Server::start(&SERVE), Dice(seed()));
    let mut cast = Cast::gather(server.address(), 2, 2);
    let beginning = cast.beginning();
    cast.publish(true);
    for _ in 0..rounds(3) {
        cast.pass(Duration::from_millis(dice.between(50, 300)));
        server.stop();
        cast.pass(Duration::from_millis(dice.between(200, 1_500)));
        server.go_on();
    }
    cast.judge(server.address(), beginning);
    eprintln!("stopped and continued: {cast}");
}

/// Fault 60: what was acknowledged before the end was heard by those who were there.
#[test]
fn a_server_that_is_asked_to_leave_under_load_leaves_in_order() {
    let mut server = Server::start(&SERVE);
    let mut cast = Cast::gather(server.address(), 2, 2);
    cast.publish(true);
    cast.pass(Duration::from_millis(300));
    server.terminate();
    cast.until("it is gone", |_| server.has_ended().is_some());
    assert!(server.ended().success());
    eprintln!("asked to leave: {cast}");
}

/// Fault 51: the time of day jumps by a day, back by two, to 1970 and home again.
#[test]
fn a_clock_that_jumps_is_nobodys_concern() {
    let scratch = Scratch::new();
    let library = power::compiled("clock", scratch.path());
    let jump = |seconds: i64| {
        let path = scratch.path().join("clock");
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.expect("a file can be made");
        std::os::unix::fs::FileExt::write_all_at(&file, &seconds.to_le_bytes(), 0)
            .expect("it can be written");
    };
    jump(0);
    let file = scratch.path().join("clock");
    let environment = power::preloaded(&library, "STARLING_CLOCK", &file);
    let server = Server::start_in(&SERVE, environment);
    let mut cast = Cast::gather(server.address(), 2, 2);
    let beginning = cast.beginning();
    cast.publish(true);
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = since_1970.expect("it is later").as_secs() as i64;
    for seconds in [0, 86_400, -86_400, -now, 0] {
        jump(seconds);
        cast.pass(Duration::from_millis(700));
    }
    cast.judge(server.address(), beginning);
    assert_eq!(cast.reconnects, 0, "{cast}");
    eprintln!("the clock jumped: {cast}");
}
