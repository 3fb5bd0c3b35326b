//! Disks that are full, slow or broken under a server at work (P5, P6, P16): what was acknowledged is
//! there, what cannot be kept is refused with its reason, and memory channels and ticks go on.

use crate::cast::Cast;
use crate::room::{Crowd, Room};
use crate::server::Server;
use crate::{Dice, PATIENCE, cannot, power, seed};
use starling_protocol::close::CloseCode;
use starling_protocol::units::ChannelPosition;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Bytes of the small disk: a store that has just begun takes some 5 MB of it.
const DISK: &str = "size=24m";
/// Seconds that a slow disk takes for a sync.
const SYNC_S: u64 = 3;
/// Ticks of the world in a second.
const HZ: f64 = 20.0;
/// A turn of ours that takes longer was taken from us, as it may have been from the server.
const TURN: Duration = Duration::from_millis(100);

/// A disk of its own for a store, in memory; `None` where this process may not mount.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mounted(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder can be made");
        let mount = ["-t", "tmpfs", "-o", DISK, "none"];
        let done = Command::new("mount").args(mount).arg(at).output();
        done.is_ok_and(|done| done.status.success()).then(|| Self(at.to_owned()))
    }

    fn balloon(&self) -> PathBuf {
        self.0.join("balloon")
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let balloon = std::fs::File::create(self.balloon()).expect("a file can be made");
        for step in [64 * 1024, 4 * 1024] {
            let mut at = balloon.metadata().expect("it is there").len();
            let air = vec![7; step];
            while balloon.write_all_at(&air, at).is_ok() {
                at += step as u64;
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.balloon()).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(done.is_ok_and(|done| done.success()) || std::thread::panicking());
    }
}

/// All of these go on for a while, or until something is so.
fn together(casts: &mut [&mut Cast], what: &str, mut is_so: impl FnMut(&[&mut Cast]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(casts) {
        let all = casts.iter().map(|cast| format!("\n{cast}")).collect::<String>();
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}; {all}");
        casts.iter_mut().for_each(|cast| cast.pass(Duration::from_millis(2)));
    }
}

/// A durable and a memory channel of one server at work, and where they began.
struct Both {
    durable: Cast,
    memory: Cast,
    beginnings: [ChannelPosition; 2],
    /// For how long we did not get to run ourselves, all in all: nor did the server, then.
    stood: Duration,
}

impl Both {
    fn gather(server: &Server) -> Self {
        let mut durable = Cast::gather(server.address(), 3, 2);
        let mut memory = Cast::gather_on("memory/1", server.address(), 1, 1);
        let beginnings = [durable.beginning(), memory.beginning()];
        durable.publish(true);
        memory.publish(true);
        let mut both = Self { durable, memory, beginnings, stood: Duration::ZERO };
        both.go_on("both are acknowledged");
        both
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&Cast, &Cast) -> bool) {
        let Self { durable, memory, stood, .. } = self;
        let mut last = Instant::now();
        together(&mut [durable, memory], what, |casts| {
            let turn = std::mem::replace(&mut last, Instant::now()).elapsed();
            *stood += if turn > TURN { turn } else { Duration::ZERO };
            is_so(casts[0], casts[1])
        });
    }

    /// Both are acknowledged as before.
    fn go_on(&mut self, what: &str) {
        let (kept, told) = (self.durable.ledger.acked() + 20, self.memory.ledger.acked() + 20);
        self.until(what, |durable, memory| {
            durable.ledger.acked() >= kept && memory.ledger.acked() >= told
        });
    }

    /// The memory channel is acknowledged as before, whatever the durable one does.
    fn memory_goes_on(&mut self) {
        let told = self.memory.ledger.acked() + 40;
        self.until("the memory channel goes on", |_, memory| memory.ledger.acked() >= told);
    }

    /// Everything of the memory channel was heard; it is asked before a restart, which it is not made
    /// for.
    fn judge_memory(&mut self, server: &Server) {
        let Self { durable, memory, beginnings, .. } = self;
        memory.publish(false);
        together(&mut [durable, memory], "memory settles", |casts| casts[1].is_settled());
        memory.judge(server.address(), beginnings[1]);
        assert!(memory.refusals.is_empty(), "{:?}", memory.refusals);
    }

    fn judge_durable(&mut self, server: &Server) {
        self.durable.judge(server.address(), self.beginnings[0]);
        assert_eq!(self.durable.resets_and_gaps(), (2, 0), "each begins once; {}", self.durable);
    }

    fn refusals(&self, code: CloseCode) -> u64 {
        self.durable.refusals.get(&code).copied().unwrap_or_default()
    }
}

/// The server is alive, and says that its store is so.
fn health(server: &Server, state: &str) -> bool {
    let name = format!("starling_store_health{{state=\"{state}\"}}");
    server.number(&name) == Some(1.0)
}

/// Fault 47: the disk is full, there is room again, it is full once more as the server dies, and it is
/// full as the next one starts.
#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let room = Room::new();
    let Some(disk) = SmallDisk::mounted(Path::new(room.data())) else {
        return cannot("mount a small disk");
    };
    let mut server = Server::start(&room.args());
    let mut both = Both::gather(&server);
    let mut crowd = Crowd::gather(server.address(), 6);
    for time in ["once", "once more"] {
        disk.fill();
        let refused = both.refusals(CloseCode::STORE_FULL);
        both.until("the disk is full", |durable, _| {
            crowd.pump();
            durable.refusals.get(&CloseCode::STORE_FULL).is_some_and(|n| *n > refused)
        });
        assert!(health(&server, "full"), "{time}: {}", server.said());
        assert!(server.said().contains("the disk is full: make room"), "{}", server.said());
        both.memory_goes_on();
        if time == "once" {
            disk.make_room();
            both.go_on("there is room again, and it goes on by itself");
            assert!(health(&server, "well"), "{}", server.said());
        }
    }
    both.judge_memory(&server);
    server.kill();
    let started = server.try_start_again();
    eprintln!("started on a full disk: {started:?}");
    disk.make_room();
    if started.is_err() {
        server.start_again();
    }
    let acked = both.durable.ledger.acked();
    both.durable.until("it goes on in another life", |cast| cast.ledger.acked() > acked + 20);
    both.judge_durable(&server);
    eprintln!("disk full: {}, crowd {crowd}", both.durable);
}

/// A disk that does as it is told.
struct Disk {
    orders: std::fs::File,
    environment: Vec<(String, String)>,
}

#[derive(Clone, Copy)]
enum Order {
    FailWrites,
    FailSyncs,
    FailReads,
    Halve,
    SyncMs,
    Failed,
    After,
}

impl Disk {
    fn under(room: &Room) -> Self {
        let path = room.folder().join("orders");
        std::fs::write(&path, [0; 7 * 8]).expect("a file can be written");
        let library = power::compiled("failing", room.folder());
        let environment = power::preloaded(&library, "STARLING_ORDERS", &path);
        let orders = std::fs::OpenOptions::new().read(true).write(true).open(&path);
        Self { orders: orders.expect("it was written"), environment }
    }

    fn order(&self, order: Order, value: u64) {
        let at = order as u64 * 8;
        self.orders.write_all_at(&value.to_le_bytes(), at).expect("it can be written");
    }

    fn told(&self, what: Order) -> u64 {
        let mut bytes = [0; 8];
        self.orders.read_exact_at(&mut bytes, what as u64 * 8).expect("it was written");
        u64::from_le_bytes(bytes)
    }
}

/// The disk fails once, in this way. From then on nothing is written and nothing acknowledged, and it is
/// told; the next life goes on with what was acknowledged.
fn fails_once(order: Order, name: &str) {
    let (room, mut dice) = (Room::new(), Dice(seed()));
    let disk = Disk::under(&room);
    let mut server = Server::start_in(&room.args(), disk.environment.clone());
    let mut both = Both::gather(&server);
    let moment = Instant::now() + Duration::from_millis(dice.between(1, 200));
    both.until("a moment passes", |_, _| Instant::now() >= moment);
    disk.order(order, 1);
    both.until("the store has failed", |durable, _| {
        durable.refusals.contains_key(&CloseCode::STORE_BUSY)
    });
    assert!(health(&server, "failed"), "{}", server.said());
    assert!(server.said().contains("the disk failed"), "{}", server.said());
    let acked = both.durable.ledger.acked();
    both.memory_goes_on();
    assert_eq!(both.durable.ledger.acked(), acked, "nothing is acknowledged any more");
    assert_eq!((disk.told(Order::Failed), disk.told(Order::After)), (1, 0), "nor written");
    both.judge_memory(&server);
    server.kill();
    disk.order(Order::Failed, 0);
    server.start_again();
    both.durable.until("it goes on", |cast| cast.ledger.acked() > acked + 20);
    both.judge_durable(&server);
    eprintln!("{name}: {}", both.durable);
}

/// Fault 48.
#[test]
fn a_write_that_fails_once_ends_writing() {
    fails_once(Order::FailWrites, "a write failed, in half");
}

/// Fault 48: the next sync would say that all is well, and is not believed.
#[test]
fn a_sync_that_fails_once_ends_writing() {
    fails_once(Order::FailSyncs, "a sync failed");
}

/// Fault 48, for what may be read: a server that cannot read its store says so and does not start.
#[test]
fn a_store_that_cannot_be_read_is_not_begun_on() {
    let room = Room::new();
    let disk = Disk::under(&room);
    let mut server = Server::start_in(&room.args(), disk.environment.clone());
    let mut cast = Cast::gather(server.address(), 2, 2);
    let beginning = cast.beginning();
    cast.publish(true);
    cast.until("some are acknowledged", |cast| cast.ledger.acked() > 50);
    server.kill();
    disk.order(Order::FailReads, 1);
    let said = server.try_start_again().expect_err("it must not start");
    assert!(said.contains("the disk failed"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    server.start_again();
    cast.judge(server.address(), beginning);
}

/// A write that takes a part of what it is given says so, and is gone on with.
#[test]
fn writes_that_take_a_half_are_nobodys_concern() {
    let room = Room::new();
    let disk = Disk::under(&room);
    disk.order(Order::Halve, 1);
    let mut server = Server::start_in(&room.args(), disk.environment.clone());
    let mut both = Both::gather(&server);
    both.go_on("halves make a whole");
    both.judge_memory(&server);
    server.kill();
    server.start_again();
    both.judge_durable(&server);
    eprintln!("halved writes: {}", both.durable);
}

/// No tick waits for the disk: fewer were left out than a single wait for one sync would leave out of half
/// of its time, beside those in which we ourselves stood still.
fn no_tick_waited(server: &Server, both: &Both, before: f64) {
    let left_out = skipped(server) - before;
    let ours = both.stood.as_millis() as f64 / 1_000.0 * HZ;
    assert!(left_out < SYNC_S as f64 / 2.0 * HZ + ours, "{left_out} left out, of us {ours}");
    eprintln!("left out {left_out} ticks, we ourselves {ours}");
}

fn skipped(server: &Server) -> f64 {
    let name = "starling_tick_skipped_total{world=\"yard\"}";
    server.number(name).expect("it tells its numbers")
}

/// Fault 49: a sync takes three seconds, then as long as we like.
#[test]
fn a_slow_disk_delays_what_waits_for_it_and_no_tick() {
    let room = Room::new();
    let disk = Disk::under(&room);
    let server = Server::start_in(&room.args(), disk.environment.clone());
    let mut both = Both::gather(&server);
    let before = skipped(&server);
    disk.order(Order::SyncMs, SYNC_S * 1_000);
    both.memory_goes_on();
    both.go_on("the seconds are waited for");
    assert!(both.durable.refusals.is_empty(), "{:?}", both.durable.refusals);
    no_tick_waited(&server, &both, before);
    let before = skipped(&server);

    disk.order(Order::SyncMs, 3_600_000);
    let mut crowd = Crowd::gather(server.address(), 16);
    // The cast has too few under way to be refused any of them; the crowd has not.
    both.until("the store is behind", |_, _| {
        crowd.pump();
        crowd.retry_after.is_some()
    });
    assert!(crowd.were_all_refused_with(CloseCode::STORE_BUSY), "{crowd}");
    assert!(crowd.retry_after.is_some_and(|wait| wait > 0), "{crowd}");
    let waiting = server.number("starling_store_waiting_bytes").expect("it tells its numbers");
    assert!(waiting < 64.0 * 1024.0 * 1024.0, "what waits is bounded: {waiting}");
    both.memory_goes_on();
    no_tick_waited(&server, &both, before);
    disk.order(Order::SyncMs, 0);
    both.go_on("it is as fast as before");
    both.judge_memory(&server);
    both.judge_durable(&server);
    eprintln!("slow disk: {}, crowd {crowd}", both.durable);
}
