//! A store of a test: it commits when the test says so, in groups, late, or never.

use super::{Guest, Stage};
use starling_protocol::message::events::EventDown;
use starling_world::World;
use starling_world::config::WorldConfig;
use starling_world::input::Command;
use starling_world::journal::*;
use starling_world::namespace::{Namespace, Namespaces};
use starling_world::output::Output;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a store would have: rows that survive, and changes on their way.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    pub damaged: BTreeSet<(Table, Vec<u8>)>,
    /// Handed out and not committed: each with all of its changes or none.
    pub waiting: VecDeque<Vec<Change>>,
    pub queries: VecDeque<Query>,
    committed: u64,
}

impl Disk {
    pub fn take(&mut self, out: &mut Output) {
        if !out.journal.is_empty() {
            self.waiting.push_back(std::mem::take(&mut out.journal));
        }
        self.queries.extend(out.queries.drain(..));
    }

    /// Commits the oldest batches; how many changes are on stable storage then.
    pub fn commit(&mut self, batches: usize) -> u64 {
        for batch in self.waiting.drain(..batches.min(self.waiting.len())) {
            self.committed += batch.len() as u64;
            for change in batch {
                match change {
                    Change::Put { table, key, value } => {
                        assert!(key.len() <= KEY_BYTES_MAX && value.len() <= VALUE_BYTES_MAX);
                        self.damaged.remove(&(table, key.clone()));
                        self.rows.insert((table, key), value);
                    }
                    Change::Remove { table, key } => drop(self.rows.remove(&(table, key))),
                    Change::RemoveRange { table, keys } => {
                        self.rows.retain(|(t, key), _| *t != table || !keys.contains(key));
                    }
                }
            }
        }
        self.committed
    }

    /// Damages a row so that its checksum tells.
    pub fn damage(&mut self, table: Table, key: &[u8]) {
        assert!(self.rows.contains_key(&(table, key.to_vec())), "there is no such row");
        self.damaged.insert((table, key.to_vec()));
    }

    /// The keys of a table.
    pub fn keys(&self, table: Table) -> Vec<Vec<u8>> {
        let keys = self.rows.keys().filter(|(t, _)| *t == table);
        keys.map(|(_, key)| key.clone()).collect()
    }

    /// What a crash leaves: the oldest so many batches made it, nobody heard of it.
    pub fn after_crash(mut self, batches: usize) -> Self {
        self.commit(batches);
        Self { rows: self.rows, damaged: self.damaged, ..Self::default() }
    }

    /// The rows that it would tell of.
    pub fn find(&self, asked: &RowRange) -> Rows {
        let (from, to) = (asked.keys.start.clone(), asked.keys.end.clone());
        if from >= to {
            return Rows::default();
        }
        let all = self.rows.range((asked.table, from)..(asked.table, to));
        let all: Vec<_> = if asked.backwards { all.rev().collect() } else { all.collect() };
        let mut rows = Rows::default();
        let mut bytes = 0;
        for ((table, key), value) in all {
            if self.damaged.contains(&(*table, key.clone())) {
                rows.damaged = Some(key.clone());
                return rows;
            }
            bytes += key.len() + value.len();
            let full = rows.rows.len() == asked.rows_max || bytes > asked.bytes_max;
            if full && !rows.rows.is_empty() {
                rows.more = true;
                return rows;
            }
            rows.rows.push((key.clone(), value.clone()));
        }
        rows
    }
}

impl Shelf for Disk {
    fn read(&self, rows: &RowRange) -> Result<Rows, ShelfError> {
        Ok(self.find(rows))
    }
}

impl Stage {
    /// A world that keeps the channels of the namespace `kept`, let in by its first commit.
    pub fn durable() -> Self {
        Self::durable_with(|_| {})
    }

    pub fn durable_with(change: impl FnOnce(&mut WorldConfig)) -> Self {
        let mut config = super::game();
        let kept = Namespace::new("kept").durable();
        config.namespaces = Namespaces::of(vec![kept, Namespace::new("")]);
        change(&mut config);
        Self::on_disk(config, Disk::default())
    }

    /// The next life of a world on this disk, with its first commit.
    pub fn on_disk(config: WorldConfig, disk: Disk) -> Self {
        let world = World::open(config, &disk).expect("the disk can be read");
        let mut stage = Self { disk, ..Self::of(world) };
        stage.tick();
        stage.commit();
        stage
    }

    /// The process dies when the oldest so many batches are committed, and begins again.
    pub fn crash(&mut self, batches: usize) {
        let disk = std::mem::take(&mut self.disk).after_crash(batches);
        let last_conn = self.last_conn;
        *self = Self::on_disk(self.world.config().clone(), disk);
        self.last_conn = last_conn;
    }

    /// What the server's clock says from the next tick on.
    pub fn clock(&mut self, unix_ms: u64) {
        self.inputs.unix_ms = Some(unix_ms);
    }

    /// Everything on its way to the disk gets there.
    pub fn commit(&mut self) {
        self.commit_some(usize::MAX);
    }

    /// The oldest batches get to the disk.
    pub fn commit_some(&mut self, batches: usize) {
        let changes = self.disk.commit(batches);
        self.news(News::Committed { changes });
    }

    pub fn news(&mut self, news: News) {
        self.step(Command::Store(news));
    }

    /// Answers questions to the store until none is left; how many.
    pub fn answer(&mut self) -> usize {
        let mut answered = 0;
        while self.answer_one() {
            answered += 1;
        }
        answered
    }

    pub fn answer_one(&mut self) -> bool {
        let Some(Query { ticket, rows }) = self.disk.queries.pop_front() else { return false };
        let rows = self.disk.find(&rows);
        self.news(News::Found { ticket, rows });
        true
    }

    /// Publishes, and what is answered at once.
    pub fn offer(&mut self, guest: &Guest, channel: &str, id: u64) -> Vec<EventDown> {
        let publish = super::message(channel, id);
        self.event(guest.conn, super::EventUp::Publish(Box::new(publish)));
        self.events(guest.conn)
    }
}
