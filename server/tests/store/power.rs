//! Fault 46: the power goes.
//!
//! P5: before every single write and sync of a script of a thousand commits, the power goes, and
//! what was not synced is lost, torn or reordered. What was acknowledged is there afterwards, and
//! of what was not, a whole commit or nothing.

use crate::shop::{all, group, key, put, remove_range};
use crate::sim_disk::{Dice, Moment, SimDisk};
use starling_server::store::{Database, Group, Store};
use starling_world::journal::{RowRange, Table};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const COMMITS: u64 = 1_000;
/// Events that stay.
const KEPT: u64 = 24;
const STATES: u64 = 5;

/// What the script writes in one commit, for two worlds at once.
fn script(commit: u64) -> [Group; 2] {
    let value = |kind: &str| format!("{kind} {commit} ").repeat(1 + (commit * 7 % 40) as usize);
    let mut changes = vec![
        put(Table::Event, commit, &value("event")),
        put(Table::State, commit % STATES, &value("state")),
    ];
    if commit > KEPT {
        changes.push(remove_range(Table::Event, 0..commit - KEPT + 1));
    }
    [group("a", changes), group("b", [put(Table::World, 0, &value("top"))])]
}

/// All that is kept after so many commits of the script.
fn expected(commits: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let row = |commit: u64, at: usize, change: usize, number: u64| {
        let starling_world::journal::Change::Put { value, .. } =
            script(commit)[at].changes.swap_remove(change)
        else {
            unreachable!("the script puts first");
        };
        (key(number), value)
    };
    let first = commits.saturating_sub(KEPT - 1).max(1);
    let events = (first..=commits).map(|commit| row(commit, 0, 0, commit));
    let states = (0..STATES).filter_map(|state| {
        let last = (1..=commits).rev().take(STATES as usize).find(|c| c % STATES == state)?;
        Some(row(last, 0, 1, state))
    });
    let top = (commits > 0).then(|| row(commits, 1, 0, 0));
    events.chain(states).chain(top).collect()
}

fn kept(database: &Database) -> Vec<(Vec<u8>, Vec<u8>)> {
    let read = |world, table| {
        let asked = RowRange { rows_max: usize::MAX, ..all(table) };
        let rows = database.read(world, &asked).expect("it can be read");
        assert_eq!((rows.damaged, rows.more), (None, false));
        rows.rows
    };
    [read("a", Table::Event), read("a", Table::State), read("b", Table::World)].concat()
}

/// How far the script is: commits begun and commits acknowledged.
#[derive(Default)]
struct Progress {
    begun: AtomicU64,
    acknowledged: AtomicU64,
}

/// Opens what a crash left and compares it with what had been promised.
fn judge(disk: &SimDisk, progress: &Progress) -> Result<(), String> {
    let database = Database::on(Arc::new(disk.clone()), false).map_err(|why| why.to_string())?;
    let found = kept(&database);
    let acknowledged = progress.acknowledged.load(Ordering::Relaxed);
    let begun = progress.begun.load(Ordering::Relaxed);
    let whole = (acknowledged..=begun).any(|commits| expected(commits) == found);
    whole.then_some(()).ok_or_else(|| format!("neither {acknowledged} nor {begun}: {found:?}"))
}

fn must_hold(disk: &SimDisk, progress: &Progress, seed: u64) {
    judge(disk, progress).unwrap_or_else(|why| panic!("the crash of seed {seed}: {why}"));
}

/// Runs the script, with a look before each operation of the disk, and says how many there were. A file has its name once the
/// store in it is whole (`Database::open`), so the power goes after that.
fn run(
    disk: &SimDisk,
    commits: u64,
    look: impl Fn(&Moment<'_>, &Progress) + Send + 'static,
) -> u64 {
    drop(Database::on(Arc::new(disk.clone()), false).expect("a new store"));
    let before = disk.ops();
    let progress = Arc::new(Progress::default());
    let watched = Arc::clone(&progress);
    disk.watch(Box::new(move |moment| look(moment, &watched)));
    let mut database = None;
    for commit in 1..=commits {
        if commit % 100 == 1 {
            drop(database.take());
        }
        let open = || Database::on(Arc::new(disk.clone()), false).expect("nothing happened to it");
        let database = database.get_or_insert_with(open);
        progress.begun.store(commit, Ordering::Relaxed);
        database.commit(&script(commit)).expect("the disk is well");
        progress.acknowledged.store(commit, Ordering::Relaxed);
    }
    drop(database);
    disk.ops() - before
}

#[test]
fn whenever_the_power_goes_what_was_acknowledged_is_there() {
    let disk = SimDisk::default();
    let crashes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&crashes);
    let ops = run(&disk, COMMITS, move |moment, progress| {
        let seed = counted.fetch_add(1, Ordering::Relaxed);
        must_hold(&moment.crashed(&mut Dice(seed)), progress, seed);
    });
    assert_eq!(crashes.load(Ordering::Relaxed), ops);
    assert!(ops > 2 * COMMITS, "each commit writes and syncs: {ops}");
    assert_eq!(kept(&Database::on(Arc::new(disk), true).expect("well")), expected(COMMITS));
}

/// The power goes again while a store is being opened after it went.
#[test]
fn the_power_may_go_again_while_the_store_recovers() {
    let disk = SimDisk::default();
    let seeds = Mutex::new(0_u64);
    run(&disk, 40, move |moment, progress| {
        let mut seeds = seeds.lock().expect("nobody panicked before");
        *seeds += 1;
        if !seeds.is_multiple_of(4) {
            return;
        }
        let again = moment.crashed(&mut Dice(*seeds));
        let left = Arc::new(Mutex::new(Vec::new()));
        let leaves = Arc::clone(&left);
        let mut dice = Dice(*seeds + 1);
        again.watch(Box::new(move |moment| {
            leaves.lock().expect("nobody panicked before").push(moment.crashed(&mut dice));
        }));
        must_hold(&again, progress, *seeds);
        again.watch(Box::new(|_| {}));
        for disk in left.lock().expect("nobody panicked before").drain(..) {
            must_hold(&disk, progress, *seeds);
        }
    });
}

/// A commit goes on where the crash left off: nothing of the lost half comes back.
#[test]
fn a_store_that_lost_a_commit_writes_on() {
    let disk = SimDisk::default();
    let images = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&images);
    run(&disk, 30, move |moment, progress| {
        let at = progress.acknowledged.load(Ordering::Relaxed);
        taken.lock().expect("nobody panicked").push((at, moment.crashed(&mut Dice(at))));
    });
    let images = std::mem::take(&mut *images.lock().expect("nobody panicked"));
    for (at, disk) in images.into_iter().filter(|(at, _)| (10..14).contains(at)) {
        let database = Database::on(Arc::new(disk), false).expect("it recovers");
        let next = if kept(&database) == expected(at) { at + 1 } else { at + 2 };
        for commit in next..next + 5 {
            database.commit(&script(commit)).expect("the disk is well");
            assert_eq!(kept(&database), expected(commit));
        }
    }
}

/// The judge can tell: a disk that only says that it synced is found out.
#[test]
fn a_disk_that_lies_is_found_out() {
    let disk = SimDisk::default();
    let found = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&found);
    let liar = disk.clone();
    let seed = AtomicU64::new(0);
    drop(Database::on(Arc::new(disk.clone()), false).expect("a new store"));
    liar.lie();
    run(&disk, 20, move |moment, progress| {
        let seed = seed.fetch_add(1, Ordering::Relaxed);
        let broken = judge(&moment.crashed(&mut Dice(seed)), progress).is_err();
        counted.fetch_add(u64::from(broken), Ordering::Relaxed);
    });
    assert!(found.load(Ordering::Relaxed) > 50);
}
