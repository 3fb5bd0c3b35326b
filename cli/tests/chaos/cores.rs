//! A server with too little of a processor (P13): what it gives up, in which order, and that it takes it
//! up again.

use crate::cast::Cast;
use crate::room::Room;
use crate::server::Server;
use crate::{PATIENCE, cannot};
use starling_protocol::close::{CloseCode, Retry};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Publishes are refused from here on.
const PUBLISHES: u8 = 5;
/// Ticks in a second: more than one in each turn of a processor's quota, which is a tenth of a second.
const HZ: u16 = 60;
/// Seconds after a load in which everything is as it was.
const BACK_S: u64 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A part of one core for a process; `None` where this process may not say so.
struct Share(PathBuf);

impl Share {
    fn of(process: u32, percent: u64) -> Option<Self> {
        let name = format!("/sys/fs/cgroup/cpu/starling-chaos-{}", std::process::id());
        std::fs::create_dir(&name).ok()?;
        let share = Self(name.into());
        share.says("cpu.cfs_period_us", "100000")?;
        share.says("cpu.cfs_quota_us", &(percent * 1_000).to_string())?;
        share.says("cgroup.procs", &process.to_string())?;
        Some(share)
    }

    fn says(&self, name: &str, value: &str) -> Option<()> {
        std::fs::write(self.0.join(name), value).ok()
    }

    fn is_all(&self) {
        self.says("cpu.cfs_quota_us", "-1").expect("it was said before");
    }

    /// In how many tenths of a second it used all that it may.
    fn throttled(&self) -> u64 {
        let stat = std::fs::read_to_string(self.0.join("cpu.stat")).unwrap_or_default();
        let told = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        told.and_then(|periods| periods.parse().ok()).unwrap_or_default()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // It stays while the process is in it, which ends after this: put back first.
        let processes = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for process in processes.lines() {
            let _gone = std::fs::write("/sys/fs/cgroup/cpu/cgroup.procs", process);
        }
        let _kept = std::fs::remove_dir(&self.0);
    }
}

/// Hundredths of a second for which a process has run.
fn ran(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(')').expect("its name");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    fields[11..13].iter().map(|time| time.parse::<u64>().expect("a time")).sum()
}

/// What a world's ticks were like so far.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    /// Those that were run and those that were left out.
    gone: u64,
    /// Those that began after the next was due, and those that were left out.
    late: u64,
    step: u8,
}

impl Ticks {
    fn of(server: &Server) -> Option<Self> {
        let page = server.page()?;
        let number = |name: &str| page.number(&format!("{name}{{world=\"yard\"}}"));
        let skipped = number("starling_tick_skipped_total")? as u64;
        Some(Self {
            gone: number("starling_tick_lateness_seconds_count")? as u64 + skipped,
            late: number("starling_tick_overruns_total")? as u64 + skipped,
            step: number("starling_world_shed_step")? as u8,
        })
    }

    /// How many ticks may go by until everything is as it was: ten seconds of them, and two seconds for
    /// each that the machine itself spoilt, which takes a tenth of its ticks.
    fn back_within(self, before: Self) -> u64 {
        let hz = u64::from(HZ);
        BACK_S * hz + 2 * hz * ((self.late - before.late) / (hz / 10))
    }
}

/// Everything is as it was, within its time by the server's own ticks: a machine that is busy with
/// something else makes them late, and is counted.
fn comes_back(server: &Server, cast: &mut Cast) {
    let deadline = Instant::now() + PATIENCE;
    let mut before = None;
    loop {
        assert!(Instant::now() < deadline, "it stays at {before:?}; {cast}");
        cast.pass(LOOK_EVERY);
        let Some(now) = Ticks::of(server) else { continue };
        let before = *before.get_or_insert(now);
        if now.step == 0 {
            return eprintln!("as it was after {} ticks", now.gone - before.gone);
        }
        let within = now.back_within(before);
        assert!(now.gone - before.gone <= within, "{before:?}, then {now:?}: not within {within}");
    }
}

/// Fault 53: 30 % of one core, or a third of what the load takes where that is less, so that there is never
/// enough. The ladder is climbed one step after the other, everyone is told, what is refused may be tried
/// again, nothing accepted is lost; then there is all of it again.
#[test]
fn a_third_of_a_core_sheds_in_order_and_comes_back() {
    let room = Room::with_ticks(HZ);
    let server = Server::start(&room.args());
    let mut cast = Cast::gather(server.address(), 12, 30);
    let beginning = cast.beginning();
    cast.publish(true);
    cast.until("all is well", |cast| cast.ledger.acked() > 100);
    let (before, since) = (ran(server.id()), Instant::now());
    cast.pass(Duration::from_secs(3));
    let used = (ran(server.id()) - before) * 1_000 / since.elapsed().as_millis() as u64;
    let percent = (used / 3).clamp(2, 30);
    let Some(share) = Share::of(server.id(), percent) else {
        return cannot("limit the processor time of another process");
    };
    cast.until("publishes are refused", |cast| cast.ladders().any(|l| l.highest >= PUBLISHES));
    cast.pass(Duration::from_secs(3));
    assert!(share.throttled() > 10, "it had too little: {}", share.throttled());
    assert!(cast.refusals.contains_key(&CloseCode::OVERLOADED), "{:?}", cast.refusals);
    assert!(cast.refusals.keys().all(|code| code.retry() == Retry::Later), "{:?}", cast.refusals);
    cast.publish(false);
    share.is_all();
    comes_back(&server, &mut cast);
    cast.until("everyone is told so", |cast| cast.ladders().all(|ladder| ladder.at == 0));
    let leaps: Vec<_> = cast.ladders().filter(|ladder| !ladder.leaps.is_empty()).collect();
    assert!(leaps.is_empty(), "one step after the other: {leaps:?}");
    let acked = cast.ledger.acked();
    cast.publish(true);
    cast.until("it goes on", |cast| cast.ledger.acked() > acked + 100 && cast.is_together());
    cast.judge(server.address(), beginning);
    assert_eq!(cast.resets_and_gaps(), (30, 0), "each begins once; {cast}");
    let refused = &cast.refusals;
    eprintln!("{percent} % of a core for what takes {used} %: refused {refused:?}; {cast}");
}
