//! Faults 48 and 50: disks that fail, and files that are not what was written.

use crate::shop::{all, group, put};
use crate::sim_disk::{Dice, SimDisk};
use starling_server::store::{Database, FileDisk, Store, StoreError};
use starling_world::journal::Table;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

const ROWS: u64 = 300;

fn value(number: u64) -> String {
    format!("the value of row number {number}")
}

/// A disk with rows on it, all of them synced, of a store that was closed.
fn written() -> Vec<u8> {
    let (disk, database) = with_rows();
    drop(database);
    disk.durable()
}

fn with_rows() -> (SimDisk, Database) {
    let disk = SimDisk::default();
    let database = Database::on(Arc::new(disk.clone()), true).expect("a new store");
    for number in 0..ROWS {
        database.commit(&[group("a", [put(Table::Event, number, &value(number))])]).expect("well");
    }
    (disk, database)
}

/// Reads all that is told as good and checks that it is.
fn only_truth(database: &Database) -> bool {
    let Ok(rows) = database.read("a", &all(Table::Event)) else { return false };
    for (key, stored) in &rows.rows {
        assert_eq!(*stored, value(crate::shop::number(key)).into_bytes());
    }
    rows.damaged.is_none() && rows.rows.len() == ROWS as usize
}

/// P16: whatever bit flips, nothing is delivered that was not written, and a store that is checked
/// as it is opened is whole or says that it is not.
#[test]
fn a_flipped_bit_is_found_or_harmless() {
    flips(&written());
}

/// P16, where the server was killed: the newest commit is no less looked at than the ones before it,
/// and what is damaged is not taken for a commit that the crash tore.
#[test]
fn a_bit_that_flips_after_a_crash_is_found_or_harmless() {
    let (disk, _database) = with_rows();
    flips(&disk.durable());
}

fn flips(image: &[u8]) {
    let used = image.iter().rposition(|byte| *byte != 0).expect("something is written") + 1;
    let (mut refused, mut harmless) = (0, 0);
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut flipped = image.to_vec();
        let at = dice.roll(used);
        flipped[at] ^= 1 << dice.roll(8);
        match Database::on(Arc::new(SimDisk::holding(flipped.clone())), true) {
            Ok(database) => {
                assert!(only_truth(&database), "seed {seed}: checked, and yet not whole");
                harmless += 1;
            }
            Err(why) => {
                assert!(matches!(why, StoreError::Damaged(_)), "seed {seed}: {why}");
                assert!(why.to_string().contains("backup"), "it says what to do: {why}");
                refused += 1;
            }
        }
        // Unchecked, it may be opened; what is read is true all the same.
        if let Ok(database) = Database::on(Arc::new(SimDisk::holding(flipped)), false) {
            only_truth(&database);
        }
    }
    assert!(refused > 20 && harmless > 20, "{refused} refused, {harmless} harmless");
}

/// P16: a file that was cut is told, or whole where only room was cut away.
#[test]
fn a_truncated_store_is_refused() {
    let image = written();
    for seed in 0..60 {
        let len = Dice(seed).roll(image.len());
        let cut = SimDisk::holding(image[..len].to_vec());
        match Database::on(Arc::new(cut), true) {
            Ok(database) => assert!(len == 0 || only_truth(&database), "cut to {len}"),
            Err(why) => assert!(matches!(why, StoreError::Damaged(_)), "cut to {len}: {why}"),
        }
    }
}

/// An error of the disk, once, at any operation of a commit: it is told, nothing is written after
/// it, what was acknowledged can be read, and is there after a restart.
#[test]
fn after_an_error_nothing_is_written_any_more() {
    for ops in 0..8 {
        let disk = SimDisk::default();
        let database = Database::on(Arc::new(disk.clone()), false).expect("a new store");
        let event = |number| [group("a", [put(Table::Event, number, &value(number))])];
        for number in 0..10 {
            database.commit(&event(number)).expect("the disk is well");
        }
        disk.fail_in(ops);
        let mut acknowledged = 10;
        let why = loop {
            match database.commit(&event(acknowledged)) {
                Ok(()) => acknowledged += 1,
                Err(why) => break why,
            }
        };
        assert!(matches!(why, StoreError::Io(_)), "{why}");
        let before = disk.ops();
        for number in 20..23 {
            let refused = database.commit(&event(number)).expect_err("it failed for good");
            assert!(matches!(refused, StoreError::Io(_)), "{refused}");
        }
        let count = |database: &Database| {
            let rows = database.read("a", &all(Table::Event)).expect("reads go on");
            rows.rows.len() as u64
        };
        let seen = count(&database);
        assert!((acknowledged..=acknowledged + 1).contains(&seen), "{seen} of {acknowledged}");
        drop(database);
        assert_eq!(disk.ops(), before, "not a byte was written after the error");
        let survivor = SimDisk::holding(disk.durable());
        let again = Database::on(Arc::new(survivor), false).expect("it recovers");
        assert!((acknowledged..=acknowledged + 1).contains(&count(&again)));
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).expect("a folder for tests");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn a_file_keeps_what_was_written_and_is_one_servers_alone() {
    let folder = Folder::new("a_file_keeps");
    let path = folder.0.join("starling.redb");
    let database = Database::open(&path, true).expect("a new file");
    database.commit(&[group("a", [put(Table::Event, 1, "x")])]).expect("written");
    let second = Database::open(&path, true).expect_err("it is in use");
    assert!(matches!(&second, StoreError::Locked(locked) if *locked == path), "{second}");
    assert!(second.to_string().contains("another process"), "{second}");
    drop(database);
    let database = Database::open(&path, true).expect("it is free again");
    assert_eq!(database.read("a", &all(Table::Event)).expect("read").rows.len(), 1);
}

/// Fault 46, in the first second of a store.
#[test]
fn a_store_that_was_half_made_is_made_anew() {
    let folder = Folder::new("a_store_that_was_half_made");
    let path = folder.0.join("starling.redb");
    let image = written();
    for bytes in [0, 1, 1_000, image.len() / 2, image.len()] {
        fs::write(folder.0.join("starling.new"), &image[..bytes]).expect("left by a crash");
        let database = Database::open(&path, true).expect("a new store");
        assert!(database.read("a", &all(Table::Event)).expect("read").rows.is_empty());
        drop(database);
        fs::remove_file(&path).expect("it was made");
    }
}

#[test]
fn a_file_of_something_else_is_refused_and_left_as_it_is() {
    let folder = Folder::new("a_file_of_something_else");
    let path = folder.0.join("starling.redb");
    let letter = "Dear sister, ".repeat(1_000);
    fs::write(&path, &letter).expect("a letter");
    let refused = Database::open(&path, true).expect_err("no store");
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
    assert_eq!(fs::read_to_string(&path).expect("the letter"), letter);
}

#[test]
fn a_file_that_cannot_be_made_is_told() {
    let refused = FileDisk::open(&PathBuf::from("no/such/folder/starling.redb"));
    assert!(matches!(refused, Err(StoreError::Io(_))));
}
