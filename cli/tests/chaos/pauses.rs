//! A server that stands still and goes on, or is asked to leave while it is at work (P14); clocks that jump.

use crate::cast::Cast;
use crate::room::Room;
use crate::server::Server;
use crate::{Dice, power, rounds, seed};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SERVE: [&str; 2] = ["--world", "yard=metric,profile=game"];
const DAY_MS: i64 = 86_400_000;

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

/// The time of day of a server, to be moved.
struct TimeOfDay(PathBuf);

impl TimeOfDay {
    fn under(folder: &Path) -> Self {
        let time = Self(folder.join("clock"));
        std::fs::write(&time.0, [0; 8]).expect("a file can be written");
        time
    }

    fn environment(&self, folder: &Path) -> Vec<(String, String)> {
        power::preloaded(&power::compiled("clock", folder), "STARLING_CLOCK", &self.0)
    }

    fn moves(&self, ms: i64) {
        let file = std::fs::OpenOptions::new().write(true).open(&self.0).expect("it was written");
        file.write_all_at(&ms.to_le_bytes(), 0).expect("it can be written");
    }
}

fn since_1970_ms() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.expect("it is later").as_millis() as i64
}

/// Fault 51: the time of day jumps by a day, back by two, to 1970 and home again, and then goes in steps.
#[test]
fn a_clock_that_jumps_is_nobodys_concern() {
    let room = Room::new();
    let time = TimeOfDay::under(room.folder());
    let server = Server::start_in(&room.args(), time.environment(room.folder()));
    let mut cast = Cast::gather(server.address(), 2, 2);
    let beginning = cast.beginning();
    cast.publish(true);
    let now = since_1970_ms();
    for ms in [0, DAY_MS, -DAY_MS, -now, 0] {
        time.moves(ms);
        cast.pass(Duration::from_millis(700));
    }
    for step in 1..=20 {
        time.moves(step * 100);
        cast.pass(Duration::from_millis(100));
    }
    cast.judge(server.address(), beginning);
    assert_eq!(cast.reconnects, 0, "{cast}");
    assert_eq!(cast.resets_and_gaps(), (2, 0), "each begins once; {cast}");
    eprintln!("the clock jumped: {cast}");
}

/// Fault 51, across lives: a server that begins half an hour early or half a day late forgets nothing, and one that
/// begins long before its certificate says so.
#[test]
fn a_server_that_begins_at_another_time_forgets_nothing() {
    let room = Room::new();
    let time = TimeOfDay::under(room.folder());
    let mut server = Server::start_in(&room.args(), time.environment(room.folder()));
    let mut cast = Cast::gather(server.address(), 2, 2);
    let beginning = cast.beginning();
    cast.publish(true);
    let now = since_1970_ms();
    cast.until("some are acknowledged", |cast| cast.ledger.acked() > 10);
    for ms in [-2 * DAY_MS, -now] {
        time.moves(ms);
        server.kill();
        let said = server.try_start_again().expect_err("its certificate is of the future");
        assert!(said.contains("is the clock right?"), "{said}");
        time.moves(0);
        server.start_again();
    }
    for ms in [-DAY_MS / 48, DAY_MS / 2, 0] {
        time.moves(ms);
        server.kill();
        server.start_again();
        let acked = cast.ledger.acked();
        cast.until("something is acknowledged again", |cast| cast.ledger.acked() > acked + 10);
    }
    cast.judge(server.address(), beginning);
    assert_eq!(cast.resets_and_gaps(), (2, 0), "each begins once; {cast}");
    eprintln!("begun at other times: {cast}");
}
