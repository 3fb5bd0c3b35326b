//! What every store keeps, run on each of them.

use crate::shop::{
    self, DiskShop, MemoryShop, Shop, all, group, key, put, range, remove, remove_range,
};
use starling_server::store::{READ_BYTES_MAX, StoreError};
use starling_world::journal::{KEY_BYTES_MAX, RowRange, Table, VALUE_BYTES_MAX};
use std::ops::Range;

/// Runs each behaviour on each store.
macro_rules! contract {
    ($($behaviour:ident),* $(,)?) => {
        mod memory { $(#[test] fn $behaviour() { super::$behaviour(super::MemoryShop::new()); })* }
        mod disk { $(#[test] fn $behaviour() { super::$behaviour(super::DiskShop::new()); })* }
    };
}

contract!(
    what_was_committed_is_read,
    rows_come_in_order_of_their_keys,
    rows_come_backwards_too,
    an_answer_is_bounded_in_rows_and_in_bytes,
    an_empty_range_has_no_rows,
    a_later_change_counts,
    a_row_is_removed,
    a_range_is_removed_without_its_end,
    worlds_and_tables_do_not_see_each_other,
    worlds_are_committed_together,
    worlds_are_named_as_long_as_they_have_a_row,
    the_largest_row_is_kept_and_a_larger_one_refused_whole,
    what_was_committed_outlives_the_server,
    a_damaged_row_is_told_and_never_delivered,
    a_full_disk_takes_nothing_and_the_same_again_later,
    what_a_failed_disk_has_can_still_be_read,
);

fn what_was_committed_is_read(mut shop: impl Shop) {
    shop.commit(&[group("a", [put(Table::Event, 1, "one"), put(Table::State, 1, "other")])]);
    let rows = shop.read("a", &all(Table::Event));
    assert_eq!(rows.rows, [(key(1), b"one".to_vec())]);
    assert!(!rows.more);
    assert_eq!(rows.damaged, None);
}

fn rows_come_in_order_of_their_keys(mut shop: impl Shop) {
    for number in [3, 1, 256, 2] {
        shop.commit(&[group("a", [put(Table::Event, number, "x")])]);
    }
    assert_eq!(shop.keys("a", &all(Table::Event)), [1, 2, 3, 256]);
    assert_eq!(shop.keys("a", &range(Table::Event, 2..256)), [2, 3]);
}

fn rows_come_backwards_too(mut shop: impl Shop) {
    shop.commit(&[group("a", (1..=5).map(|number| put(Table::Event, number, "x")))]);
    let last = RowRange { backwards: true, rows_max: 2, ..range(Table::Event, 1..5) };
    assert_eq!(shop.keys("a", &last), [4, 3]);
    assert!(shop.read("a", &last).more);
}

fn an_answer_is_bounded_in_rows_and_in_bytes(mut shop: impl Shop) {
    shop.commit(&[group("a", (1..=5).map(|number| put(Table::Event, number, "eight by")))]);
    let three = RowRange { rows_max: 3, ..all(Table::Event) };
    assert_eq!((shop.keys("a", &three).len(), shop.read("a", &three).more), (3, true));
    let five = RowRange { rows_max: 5, ..all(Table::Event) };
    assert_eq!((shop.keys("a", &five).len(), shop.read("a", &five).more), (5, false));
    let bytes = |bytes_max| RowRange { bytes_max, ..all(Table::Event) };
    assert_eq!(shop.keys("a", &bytes(47)).len(), 2);
    assert_eq!(shop.keys("a", &bytes(48)).len(), 3);
    assert_eq!(shop.keys("a", &bytes(1)), [1], "one row at least");
    let large = "x".repeat(VALUE_BYTES_MAX);
    shop.commit(&[group("a", (1..=5).map(|number| put(Table::Event, number, &large)))]);
    let rows = shop.read("a", &bytes(usize::MAX));
    assert!(rows.more && rows.rows.len() * VALUE_BYTES_MAX <= READ_BYTES_MAX);
}

fn an_empty_range_has_no_rows(mut shop: impl Shop) {
    assert!(shop.keys("a", &all(Table::Event)).is_empty(), "nothing was ever written");
    shop.commit(&[group("a", [put(Table::Event, 1, "x")])]);
    let reversed = Range { start: 2, end: 1 };
    for keys in [1..1, reversed.clone(), 2..9] {
        assert!(shop.keys("a", &range(Table::Event, keys)).is_empty());
    }
    shop.commit(&[group("a", [remove_range(Table::Event, reversed)])]);
    assert_eq!(shop.keys("a", &all(Table::Event)), [1]);
}

fn a_later_change_counts(mut shop: impl Shop) {
    let event = |value| put(Table::Event, 1, value);
    shop.commit(&[group("a", [event("one"), event("two")]), group("a", [event("three")])]);
    assert_eq!(shop.read("a", &all(Table::Event)).rows, [(key(1), b"three".to_vec())]);
    shop.commit(&[group("a", [remove(Table::Event, 1), event("four")])]);
    assert_eq!(shop.read("a", &all(Table::Event)).rows, [(key(1), b"four".to_vec())]);
}

fn a_row_is_removed(mut shop: impl Shop) {
    shop.commit(&[group("a", (1..=3).map(|number| put(Table::Event, number, "x")))]);
    shop.commit(&[group("a", [remove(Table::Event, 2), remove(Table::Event, 9)])]);
    assert_eq!(shop.keys("a", &all(Table::Event)), [1, 3]);
}

fn a_range_is_removed_without_its_end(mut shop: impl Shop) {
    for world in ["a", "b"] {
        shop.commit(&[group(world, (1..=5).map(|number| put(Table::Event, number, "x")))]);
    }
    shop.commit(&[group("a", [remove_range(Table::Event, 2..4)])]);
    assert_eq!(shop.keys("a", &all(Table::Event)), [1, 4, 5]);
    assert_eq!(shop.keys("b", &all(Table::Event)), [1, 2, 3, 4, 5]);
}

fn worlds_and_tables_do_not_see_each_other(mut shop: impl Shop) {
    let worlds = ["", "a", "aa", "b"];
    for world in worlds {
        shop.commit(&[group(world, Table::ALL.map(|table| put(table, 1, "x")))]);
    }
    for table in Table::ALL {
        shop.commit(&[group("a", [remove_range(table, 0..u64::MAX)])]);
        let left = worlds.map(|world| shop.keys(world, &all(table)).len());
        assert_eq!(left, [1, 0, 1, 1], "{table:?}");
    }
}

fn worlds_are_committed_together(mut shop: impl Shop) {
    shop.commit(&[
        group("a", [put(Table::Event, 1, "x")]),
        group("b", [put(Table::Event, 1, "y"), put(Table::Event, 2, "z")]),
    ]);
    assert_eq!(shop.keys("a", &all(Table::Event)), [1]);
    assert_eq!(shop.keys("b", &all(Table::Event)), [1, 2]);
}

fn the_largest_row_is_kept_and_a_larger_one_refused_whole(mut shop: impl Shop) {
    let large = |key, value| starling_world::journal::Change::Put {
        table: Table::State,
        key: vec![7; key],
        value: vec![8; value],
    };
    shop.commit(&[group("a", [large(KEY_BYTES_MAX, VALUE_BYTES_MAX)])]);
    let everything = RowRange {
        table: Table::State,
        keys: vec![]..vec![255],
        rows_max: 9,
        bytes_max: usize::MAX,
        backwards: false,
    };
    assert_eq!(
        shop.read("a", &everything).rows,
        [(vec![7; KEY_BYTES_MAX], vec![8; VALUE_BYTES_MAX])]
    );
    for change in [large(KEY_BYTES_MAX + 2, 1), large(1, VALUE_BYTES_MAX + 1)] {
        let refused =
            shop.try_commit(&[group("a", [put(Table::Event, 1, "x")]), group("b", [change])]);
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
        assert!(shop.keys("a", &all(Table::Event)).is_empty());
    }
}

/// P5: so far as a clean end and a new beginning show it.
fn what_was_committed_outlives_the_server(mut shop: impl Shop) {
    shop.commit(&[group("a", (1..=100).map(|number| put(Table::Event, number, "x")))]);
    shop.commit(&[group("a", [remove_range(Table::Event, 1..51)])]);
    shop.reopen();
    assert_eq!(shop.keys("a", &all(Table::Event)), (51..=100).collect::<Vec<_>>());
    shop.commit(&[group("a", [put(Table::Event, 101, "x")])]);
    shop.reopen();
    assert_eq!(shop.keys("a", &all(Table::Event)).len(), 51);
}

/// P16: damaged stored data is detected by its checksum and never delivered.
fn a_damaged_row_is_told_and_never_delivered(mut shop: impl Shop) {
    let value = |number: u64| format!("the value of row number {number}");
    shop.commit(&[group("a", (1..=4).map(|n| put(Table::Event, n, &value(n))))]);
    shop.damage("a", Table::Event, 3, value(3).as_bytes());
    let rows = shop.read("a", &all(Table::Event));
    let numbers: Vec<_> = rows.rows.iter().map(|(key, _)| shop::number(key)).collect();
    assert_eq!((numbers, rows.damaged), (vec![1, 2], Some(key(3))));
    let backwards = RowRange { backwards: true, ..all(Table::Event) };
    let rows = shop.read("a", &backwards);
    let numbers: Vec<_> = rows.rows.iter().map(|(key, _)| shop::number(key)).collect();
    assert_eq!((numbers, rows.damaged), (vec![4], Some(key(3))));
    assert_eq!(shop.keys("a", &range(Table::Event, 4..5)), [4], "the others are good");
    shop.commit(&[group("a", [put(Table::Event, 3, "written anew")])]);
    assert_eq!(shop.keys("a", &all(Table::Event)), [1, 2, 3, 4]);
}

/// Fault 47: a full disk.
fn a_full_disk_takes_nothing_and_the_same_again_later(mut shop: impl Shop) {
    shop.commit(&[group("a", [put(Table::Event, 1, "x")])]);
    let large = "x".repeat(VALUE_BYTES_MAX);
    let much = || group("a", (2..=40).map(|number| put(Table::Event, number, &large)));
    shop.set_full(true);
    for _ in 0..3 {
        let refused = shop.try_commit(&[much()]);
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        assert_eq!(shop.keys("a", &all(Table::Event)), [1], "nothing of it, and reads go on");
    }
    shop.set_full(false);
    shop.commit(&[much()]);
    shop.reopen();
    assert_eq!(shop.keys("a", &RowRange { rows_max: 3, ..all(Table::Event) }), [1, 2, 3]);
}

/// Fault 48: an error of the disk.
fn what_a_failed_disk_has_can_still_be_read(mut shop: impl Shop) {
    shop.commit(&[group("a", [put(Table::Event, 1, "x")])]);
    shop.fail_next_commit();
    let failed = shop.try_commit(&[group("a", [put(Table::Event, 2, "x")])]);
    assert!(matches!(failed, Err(StoreError::Io(_))), "{failed:?}");
    assert_eq!(shop.keys("a", &range(Table::Event, 1..2)), [1]);
}

fn worlds_are_named_as_long_as_they_have_a_row(mut shop: impl Shop) {
    assert_eq!(shop.worlds(), [""; 0]);
    for world in ["yard", "a", "yards", "2:xyb"] {
        shop.commit(&[group(world, [put(Table::Session, 1, "x"), put(Table::World, 2, "x")])]);
    }
    assert_eq!(shop.worlds(), ["a", "yard", "2:xyb", "yards"]);
    shop.commit(&[group("yard", [remove(Table::Session, 1)])]);
    assert_eq!(shop.worlds().len(), 4, "one row is enough");
    shop.commit(&[group("yard", [remove(Table::World, 2)])]);
    assert_eq!(shop.worlds(), ["a", "2:xyb", "yards"]);
}
