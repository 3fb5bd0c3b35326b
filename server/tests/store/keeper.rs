//! The keeper: what rooms hand in is written in groups, told when it is, and bounded.

use starling_protocol::units::Nanos;
use starling_server::exchange::Mailbox;
use starling_server::room::pool::Clock;
use starling_server::store::memory::{Memory, Trouble};
use starling_server::store::{BYTES_MAX, Books, CHANGES_MAX, Clerk, Grouping, Keeper, Pen, Store};
use starling_world::input::Command;
use starling_world::journal::{
    Change, Health, News, Query, RowRange, Rows, Shelf, Table, VALUE_BYTES_MAX,
};
use std::cell::Cell;
use std::sync::{Arc, mpsc};

const MS: u64 = Nanos::MILLISECOND;

/// A keeper on made-up time, with one world that writes.
struct Stage {
    memory: Memory,
    keeper: Keeper,
    now: Nanos,
    /// How long a piece of work takes.
    takes_ns: Cell<u64>,
}

/// One life of a world.
struct World {
    mailbox: Arc<Mailbox>,
    pen: Pen,
    handed_in: Cell<u64>,
}

impl Stage {
    fn new() -> Self {
        let memory = Memory::new();
        let keeper = Keeper::new(Arc::new(memory.clone()), Grouping::default());
        Self { memory, keeper, now: Nanos(0), takes_ns: Cell::new(0) }
    }

    fn world(&self, name: &str) -> World {
        let mailbox = Arc::new(Mailbox::new());
        let pen = self.keeper.desk().begin(name, &mailbox);
        World { mailbox, pen, handed_in: Cell::new(0) }
    }

    fn poll(&mut self) -> Option<Nanos> {
        let done = self.now + self.takes_ns.get();
        self.keeper.poll(self.now, &|| done)
    }

    /// Time passes, in steps of a tenth of a millisecond.
    fn pass(&mut self, ns: u64) {
        let end = self.now + ns;
        while self.now < end {
            self.poll();
            self.now = self.now + MS / 10;
        }
        self.poll();
    }

    fn kept(&self, world: &str) -> usize {
        self.memory.read(world, &everything()).expect("it can be read").rows.len()
    }
}

impl World {
    /// So many rows in one group.
    fn write(&self, now: Nanos, rows: usize, bytes: usize) {
        let mut changes: Vec<_> = (0..rows)
            .map(|_| {
                self.handed_in.set(self.handed_in.get() + 1);
                let key = self.handed_in.get().to_be_bytes().to_vec();
                Change::Put { table: Table::Event, key, value: vec![1; bytes] }
            })
            .collect();
        self.pen.submit(now, &mut changes, &mut Vec::new());
        assert!(changes.is_empty());
    }

    fn news(&self) -> Vec<News> {
        let mut commands = Vec::new();
        self.mailbox.take_commands(&mut commands);
        commands
            .into_iter()
            .map(|command| match command {
                Command::Store(news) => news,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

fn everything() -> RowRange {
    let keys = vec![]..vec![255; 9];
    RowRange {
        table: Table::Event,
        keys,
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        backwards: false,
    }
}

/// P5: an acknowledgement follows `Committed`, and that follows the disk.
#[test]
fn a_change_is_told_once_it_is_written_and_not_before() {
    let mut stage = Stage::new();
    let world = stage.world("a");
    stage.takes_ns.set(5 * MS);
    world.write(stage.now, 3, 10);
    stage.pass(2 * MS);
    assert_eq!((stage.kept("a"), world.news()), (3, vec![]), "the disk is still at work");
    stage.pass(4 * MS);
    assert_eq!(world.news(), []);
    stage.pass(MS);
    assert_eq!(world.news(), [News::Committed { changes: 3 }]);
}

#[test]
fn changes_wait_for_each_other_for_two_milliseconds() {
    let mut stage = Stage::new();
    let (a, b) = (stage.world("a"), stage.world("b"));
    for _ in 0..19 {
        a.write(stage.now, 1, 10);
        b.write(stage.now, 1, 10);
        stage.pass(MS / 10);
    }
    assert_eq!(stage.memory.commits(), 0);
    stage.pass(MS);
    assert_eq!(stage.memory.commits(), 1, "one commit for both worlds");
    assert_eq!(a.news(), [News::Committed { changes: 19 }]);
    assert_eq!(b.news(), [News::Committed { changes: 19 }]);
}

#[test]
fn with_enough_of_them_they_do_not_wait() {
    let mut stage = Stage::new();
    let world = stage.world("a");
    world.write(stage.now, 255, 10);
    stage.poll();
    assert_eq!(stage.memory.commits(), 0);
    world.write(stage.now, 1, 10);
    stage.poll();
    stage.poll();
    assert_eq!(world.news(), [News::Committed { changes: 256 }]);
}

#[test]
fn what_waits_while_a_commit_is_under_way_shares_the_next() {
    let mut stage = Stage::new();
    let world = stage.world("a");
    stage.takes_ns.set(20 * MS);
    for _ in 0..30 {
        world.write(stage.now, 1, 10);
        stage.pass(MS);
    }
    stage.pass(40 * MS);
    assert_eq!(stage.memory.commits(), 3);
    assert_eq!(world.news(), [News::Committed { changes: 30 }]);
}

#[test]
fn a_question_is_answered_with_what_was_written() {
    let mut stage = Stage::new();
    let world = stage.world("a");
    world.write(stage.now, 2, 10);
    let ask = |now, ticket| {
        let mut queries = vec![Query { ticket, rows: everything() }];
        world.pen.submit(now, &mut Vec::new(), &mut queries);
    };
    ask(stage.now, 7);
    stage.pass(MS);
    assert_eq!(world.news(), [News::Found { ticket: 7, rows: Rows::default() }]);
    stage.pass(2 * MS);
    ask(stage.now, 8);
    stage.pass(MS);
    let news = world.news();
    assert_eq!(news[0], News::Committed { changes: 2 });
    assert!(matches!(&news[1], News::Found { ticket: 8, rows } if rows.rows.len() == 2));
}

/// P16: what cannot be read is told as damaged, and nothing delivered for it.
#[test]
fn a_store_that_cannot_be_read_answers_that_it_is_damaged() {
    let mut stage = Stage::new();
    let world = stage.world("a");
    stage.memory.set_trouble(Trouble::Unreadable);
    let mut queries = vec![Query { ticket: 1, rows: everything() }];
    world.pen.submit(stage.now, &mut Vec::new(), &mut queries);
    stage.pass(MS);
    let rows = Rows { damaged: Some(vec![]), ..Rows::default() };
    assert_eq!(world.news(), [News::Found { ticket: 1, rows }]);
}

/// Fault 47: a full disk holds what waits until there is room.
#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let mut stage = Stage::new();
    let (world, other) = (stage.world("a"), stage.world("b"));
    stage.memory.set_trouble(Trouble::Full);
    world.write(stage.now, 1, 10);
    stage.pass(3 * MS);
    world.write(stage.now, 1, 10);
    stage.pass(1_000 * MS);
    assert_eq!(world.news(), [News::Health(Health::Full)]);
    assert_eq!(other.news(), [News::Health(Health::Full)]);
    let late = stage.world("c");
    assert_eq!(late.news(), [News::Health(Health::Full)], "a world that begins is told");
    stage.memory.set_trouble(Trouble::None);
    stage.pass(300 * MS);
    assert_eq!(world.news(), [News::Health(Health::Well), News::Committed { changes: 2 }]);
    assert_eq!(stage.kept("a"), 2);
}

/// Fault 48: what a failed write or sync left behind nobody knows, so nothing is written after it.
#[test]
fn a_failure_is_told_and_is_for_good_while_reads_go_on() {
    for written in [false, true] {
        let mut stage = Stage::new();
        let world = stage.world("a");
        world.write(stage.now, 1, 10);
        stage.pass(3 * MS);
        world.news();
        stage.memory.set_trouble(Trouble::Failing { written });
        world.write(stage.now, 1, 10);
        stage.pass(3 * MS);
        assert_eq!(world.news(), [News::Health(Health::Failed)]);
        stage.memory.set_trouble(Trouble::None);
        world.write(stage.now, 5, 10);
        stage.pass(1_000 * MS);
        assert_eq!(stage.memory.commits(), 1 + u64::from(written));
        assert_eq!(stage.keeper.desk().figures().lost, 6);
        let mut queries = vec![Query { ticket: 1, rows: everything() }];
        world.pen.submit(stage.now, &mut Vec::new(), &mut queries);
        stage.pass(MS);
        assert!(matches!(&world.news()[..], [News::Found { rows, .. }] if !rows.rows.is_empty()));
    }
}

/// Fault 49: a sync that takes seconds.
#[test]
fn a_slow_disk_falls_behind_and_catches_up() {
    let mut stage = Stage::new();
    let world = stage.world("a");
    stage.takes_ns.set(2_000 * MS);
    world.write(stage.now, 1, 10);
    stage.pass(3 * MS);
    world.write(stage.now, CHANGES_MAX / 5 * 4, 10);
    assert_eq!(world.news(), [News::Health(Health::Behind)], "told at once");
    assert!(!world.pen.is_crowded());
    world.write(stage.now, CHANGES_MAX / 5 + 1, 10);
    assert!(world.pen.is_crowded());
    stage.pass(12_000 * MS);
    assert!(!world.pen.is_crowded());
    let all = 2 + CHANGES_MAX as u64 - 1;
    assert_eq!(world.news(), [News::Committed { changes: all }, News::Health(Health::Well)]);
}

#[test]
fn what_waits_is_bounded_in_bytes_too() {
    let stage = Stage::new();
    let world = stage.world("a");
    for _ in 0..BYTES_MAX / VALUE_BYTES_MAX / 5 * 4 {
        world.write(stage.now, 1, VALUE_BYTES_MAX);
    }
    assert_eq!(world.news(), []);
    while !world.pen.is_crowded() {
        world.write(stage.now, 1, VALUE_BYTES_MAX);
    }
    assert_eq!(world.news(), [News::Health(Health::Behind)]);
    assert!(stage.keeper.desk().figures().waiting_bytes < BYTES_MAX + 2 * VALUE_BYTES_MAX);
}

#[test]
fn a_group_is_never_cut_and_a_commit_has_a_bound() {
    let mut stage = Stage::new();
    let world = stage.world("a");
    for _ in 0..5 {
        world.write(stage.now, 10_000, 10);
    }
    stage.poll();
    stage.poll();
    assert_eq!(world.news(), [News::Committed { changes: 10_000 }]);
    world.write(stage.now, 20_000, 10);
    stage.pass(MS);
    assert_eq!(world.news().last(), Some(&News::Committed { changes: 70_000 }));
    assert_eq!(stage.memory.commits(), 6);
}

#[test]
fn a_world_that_begins_again_hears_nothing_of_its_earlier_life() {
    let mut stage = Stage::new();
    let first = stage.world("a");
    first.write(stage.now, 1, 10);
    stage.pass(3 * MS);
    stage.memory.set_trouble(Trouble::Full);
    first.write(stage.now, 1, 10);
    stage.pass(3 * MS);
    let second = stage.world("a");
    first.write(stage.now, 1, 10);
    stage.memory.set_trouble(Trouble::None);
    stage.pass(500 * MS);
    assert_eq!(stage.kept("a"), 1, "what was told, and nothing that came too late");
    assert_eq!(second.news(), [News::Health(Health::Well)]);
    second.write(stage.now, 1, 10);
    stage.pass(3 * MS);
    assert_eq!(second.news(), [News::Committed { changes: 1 }]);
    assert_eq!(stage.keeper.desk().figures().waiting_changes, 0);
}

/// P5: a world begins after the disk was found full and before what waited was put back: none of it
/// is written any more, for it was not there when the new life read what is kept.
#[test]
fn what_found_no_room_is_not_written_after_a_later_life_began() {
    let mut stage = Stage::new();
    let (first, other) = (stage.world("a"), stage.world("b"));
    stage.memory.set_trouble(Trouble::Full);
    stage.takes_ns.set(5 * MS);
    first.write(stage.now, 2, 10);
    other.write(stage.now, 1, 10);
    stage.now = stage.now + 2 * MS;
    stage.poll(); // tried, and not told yet
    let second = stage.world("a");
    stage.memory.set_trouble(Trouble::None);
    stage.takes_ns.set(0);
    stage.pass(6 * MS);
    assert_eq!(stage.keeper.desk().figures().waiting_changes, 1, "the other world's");
    stage.pass(500 * MS);
    assert_eq!((stage.kept("a"), stage.kept("b")), (0, 1));
    second.write(stage.now, 1, 10);
    stage.pass(3 * MS);
    assert!(second.news().ends_with(&[News::Committed { changes: 1 }]));
    assert_eq!(stage.keeper.desk().figures().waiting_changes, 0);
}

#[test]
fn a_world_that_ends_has_what_it_handed_in_written() {
    let mut stage = Stage::new();
    let world = stage.world("a");
    world.write(stage.now, 2, 10);
    drop(world);
    stage.pass(3 * MS);
    assert_eq!(stage.kept("a"), 2);
}

#[test]
fn the_end_writes_all_that_waits() {
    let mut stage = Stage::new();
    let world = stage.world("a");
    stage.takes_ns.set(50 * MS);
    for _ in 0..3 {
        world.write(stage.now, 10_000, 10);
    }
    assert_eq!(stage.keeper.finish(stage.now, &|| Nanos(0)), 0);
    assert_eq!(world.news(), [News::Committed { changes: 30_000 }]);
    let mut full = Stage::new();
    let world = full.world("a");
    full.memory.set_trouble(Trouble::Full);
    world.write(full.now, 2, 10);
    assert_eq!(full.keeper.finish(full.now, &|| Nanos(0)), 2, "and says what found no room");
}

#[test]
fn a_keeper_on_its_thread_writes_rings_and_stops_clean() {
    let memory = Memory::new();
    let clock = Clock::start();
    let clerk =
        Clerk::start(Arc::new(memory.clone()), Grouping::default(), clock).expect("a thread");
    let books: &Books = clerk.books();
    let mailbox = Arc::new(Mailbox::new());
    let world = World { pen: books.begin("a", &mailbox), mailbox, handed_in: Cell::new(0) };
    let (rung, bell) = mpsc::sync_channel(64);
    books.hang(world.pen.life(), Arc::new(move || rung.send(()).unwrap_or_default()));
    world.write(clock.now(), 3, 10);
    bell.recv().expect("the bell rings");
    assert_eq!(world.news(), [News::Committed { changes: 3 }]);
    world.write(clock.now(), 2, 10);
    let shelf = books.shelf("a");
    drop(clerk);
    assert_eq!(shelf.read(&everything()).expect("it can be read").rows.len(), 5);
}
