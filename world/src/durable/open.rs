//! A world that goes on where an earlier life of it ended.

use super::journaled::Journaled;
use super::kept::Kept;
use super::rows::{self, ChannelRow};
use super::seen::Fate;
use super::{Clock, MINUTE_MS};
use crate::World;
use crate::authority::{Game, Rules};
use crate::channel::log::Log;
use crate::channel::policy::ChannelPolicy;
use crate::config::WorldConfig;
use crate::journal::{KEY_BYTES_MAX, RowRange, Rows, Shelf, ShelfError, Table};
use starling_protocol::planted::{self, Bug};
use starling_protocol::units::{ChannelPosition, Epoch, Offset};
use std::ops::Range;
use std::sync::Arc;

/// Rows read at once, and bytes of them.
const ROWS_MAX: usize = 512;
const BYTES_MAX: usize = 1024 * 1024;
/// The end of a channel that is brought into memory, as long as all of them stay within a bound.
const TAIL_EVENTS: usize = 64;
const TAIL_BYTES: usize = 128 * 1024;
const TAILS_BYTES_MAX: usize = 64 * 1024 * 1024;

impl World {
    /// A world that keeps what its config says is durable, and goes on with what an earlier life of
    /// it left on this shelf: its channels in their own epochs (P4, P6), and the message ids of the
    /// last ten minutes (P7). What comes out in [`Output::journal`](crate::output::Output) must go
    /// to the same store, and the store's [`News`](crate::journal::News) must come back.
    ///
    /// The epoch is that of the config, or one more than the last life's, whichever is greater.
    /// Connections wait at the door until it is on stable storage. P16: a row that is damaged stops
    /// its channel only.
    ///
    /// # Errors
    /// [`ShelfError`] where the store cannot be read, or not even say which life was the last.
    pub fn open(config: WorldConfig, shelf: &dyn Shelf) -> Result<Self, ShelfError> {
        let epoch = next_epoch(config.epoch, shelf)?;
        let mut world = Self::new(WorldConfig { epoch, ..config });
        world.durable.journal = Journaled::of_a_store();
        world.channels.begin_keeping();
        for key in rows::LIFE_KEYS {
            world.durable.journal.put(Table::World, key.to_vec(), rows::life(epoch));
        }
        world.durable.opening = Some(world.durable.journal.written());
        let newest_ms = world.restore_channels(shelf)?;
        world.restore_seen(shelf)?;
        world.restore_sessions(shelf)?;
        world.restore_erasures(shelf)?;
        let minute = world.durable.seen.newest_minute().map_or(0, u64::from);
        world.durable.clock = Clock::not_before(newest_ms.max(minute * MINUTE_MS));
        Ok(world)
    }

    /// As [`World::open`], with the rules of `game`.
    ///
    /// # Errors
    /// As [`World::open`].
    pub fn open_with_game(
        config: WorldConfig,
        game: Box<dyn Game>,
        shelf: &dyn Shelf,
    ) -> Result<Self, ShelfError> {
        let rules = Rules::of(game, config.seed);
        Ok(Self { rules, ..Self::open(config, shelf)? })
    }

    /// Returns a time that was reached when the newest event was accepted. Not what that event says
    /// itself: it tells the server's clock, which may have been put forward for a while.
    fn restore_channels(&mut self, shelf: &dyn Shelf) -> Result<u64, ShelfError> {
        let mut found = Vec::new();
        each_row(shelf, Table::Channel, everything(), |key, value| found.push((key, value)))?;
        let mut tails = Tails { shelf, left: TAILS_BYTES_MAX };
        let mut newest_ms = 0;
        self.channels.ids_after(last_id(shelf)?);
        for (key, value) in found {
            let Ok(name) = String::from_utf8(key) else { continue };
            let row = value.as_deref().and_then(rows::read_channel);
            self.channels.ids_after(row.as_ref().map_or(0, |row| row.id));
            newest_ms = newest_ms.max(self.restore_channel(&name, row, &mut tails)?);
        }
        Ok(newest_ms)
    }

    fn restore_channel(
        &mut self,
        name: &str,
        row: Option<ChannelRow>,
        tails: &mut Tails<'_>,
    ) -> Result<u64, ShelfError> {
        // A name that is durable no more stays on disk, where it may be found again one day.
        let namespace = self.channels.namespace(name).ok().map(Arc::clone);
        let durable = namespace.filter(|namespace| self.channels.keeps(namespace));
        let Some(namespace) = durable else { return Ok(0) };
        let Some(row) = row else {
            self.counters.channels_damaged += 1;
            self.channels.restore_damaged(name, namespace);
            return Ok(0);
        };
        let known_ms = row.marks.last().map_or(0, |mark| mark.newest_ms);
        let tail = tails.of(&row)?;
        let newest_ms = known_ms.max(tail.newest_ms());
        let mut log = Log::go_on_after(tail.newest, ChannelPolicy::of(&namespace));
        let mut kept = Kept::restored(row.id, namespace.keep, row.marks);
        kept.damaged = tail.damaged;
        self.counters.channels_damaged += u64::from(tail.damaged);
        kept.estimate(tail.newest.offset, newest_ms, tail.bytes_of_one());
        for (_, record) in tail.events {
            if !log.recall(record) {
                break;
            }
        }
        self.channels.restore(name, namespace, log, kept);
        if let Some(idx) = self.channels.find(name)
            && !self.restore_beside(idx, row.id, newest_ms, tails.shelf)?
        {
            self.channels.damage(idx);
            self.counters.channels_damaged += 1;
        }
        Ok(known_ms)
    }

    fn restore_seen(&mut self, shelf: &dyn Shelf) -> Result<(), ShelfError> {
        let seen = &mut self.durable.seen;
        each_row(shelf, Table::Seen, everything(), |key, value| {
            let Some((minute, author, message)) = rows::read_seen_key(&key) else { return };
            let at = value.as_deref().and_then(rows::read_seen);
            seen.insert(minute, author, message, at.map_or(Fate::Damaged, Fate::Kept));
        })
    }
}

/// Reads the ends of channels, within a bound for all of them together.
struct Tails<'a> {
    shelf: &'a dyn Shelf,
    left: usize,
}

/// The end of a channel.
struct Tail {
    newest: ChannelPosition,
    /// From the newest back, without a hole.
    events: Vec<(Offset, crate::channel::log::Record)>,
    bytes: usize,
    damaged: bool,
}

impl Tail {
    fn newest_ms(&self) -> u64 {
        self.events.first().map_or(0, |(_, record)| record.unix_ms)
    }

    fn bytes_of_one(&self) -> u64 {
        (self.bytes / self.events.len().max(1)) as u64
    }
}

impl Tails<'_> {
    fn of(&mut self, row: &ChannelRow) -> Result<Tail, ShelfError> {
        let rows_max = if self.left > 0 { TAIL_EVENTS } else { 1 };
        let found = self.shelf.read(&RowRange {
            table: Table::Event,
            keys: rows::event_keys(row.id, Offset(0)..Offset(u64::MAX)),
            rows_max,
            bytes_max: TAIL_BYTES,
            backwards: true,
        })?;
        let tail = tail_of(row, found);
        self.left = self.left.saturating_sub(tail.bytes);
        Ok(tail)
    }
}

fn tail_of(row: &ChannelRow, found: Rows) -> Tail {
    let mut damaged = found.damaged.is_some() && found.rows.is_empty();
    let mut events = Vec::new();
    let mut bytes = 0;
    for (key, value) in found.rows {
        let event = rows::read_event_key(&key).zip(rows::read_event(&value));
        let Some(((_, offset), record)) = event else {
            damaged |= events.is_empty();
            break;
        };
        let follows = |(newer, _): &(Offset, _)| newer.0 == offset.0 + 1;
        if !events.last().is_none_or(follows) {
            break; // told when somebody reads so far
        }
        bytes += value.len();
        events.push((offset, record));
    }
    // The row was written together with the first event of its newest mark.
    let last = events.first().map_or(Offset(0), |(offset, _)| *offset);
    damaged |= last < row.newest.offset && !row.marks.is_empty();
    let last = if planted::is(Bug::TailForgotten) { Offset(0) } else { last };
    let newest = ChannelPosition { offset: last.max(row.newest.offset), ..row.newest };
    Tail { newest, events, bytes, damaged }
}

/// The epoch of this life.
fn next_epoch(least: Epoch, shelf: &dyn Shelf) -> Result<Epoch, ShelfError> {
    let mut last = None;
    let mut damaged = false;
    for key in rows::LIFE_KEYS {
        each_row(shelf, Table::World, only(key), |_, value| {
            let epoch = value.as_deref().and_then(rows::read_life);
            damaged |= epoch.is_none();
            last = last.max(epoch);
        })?;
    }
    match last {
        Some(last) => Ok(least.max(Epoch(last.0.wrapping_add(1)))),
        None if damaged => Err(ShelfError("nothing says which life of the world was last".into())),
        None => Ok(least),
    }
}

/// The greatest name of a channel in keys of events.
fn last_id(shelf: &dyn Shelf) -> Result<u64, ShelfError> {
    let keys = everything();
    let (table, backwards) = (Table::Event, true);
    let found =
        shelf.read(&RowRange { table, keys, rows_max: 1, bytes_max: BYTES_MAX, backwards })?;
    let key = found.rows.into_iter().map(|(key, _)| key).next().or(found.damaged);
    Ok(key.and_then(|key| rows::read_event_key(&key)).map_or(0, |(id, _)| id))
}

/// Visits every row of a range in order; one without a value is damaged.
pub(crate) fn each_row(
    shelf: &dyn Shelf,
    table: Table,
    keys: Range<Vec<u8>>,
    mut visit: impl FnMut(Vec<u8>, Option<Vec<u8>>),
) -> Result<(), ShelfError> {
    let Range { mut start, end } = keys;
    loop {
        let keys = start.clone()..end.clone();
        let (rows_max, bytes_max, backwards) = (ROWS_MAX, BYTES_MAX, false);
        let found = shelf.read(&RowRange { table, keys, rows_max, bytes_max, backwards })?;
        let last = found.damaged.as_ref().or_else(|| found.rows.last().map(|(key, _)| key));
        let Some(last) = last else { return Ok(()) };
        let goes_on = found.more || found.damaged.is_some();
        start = after(last);
        found.rows.into_iter().for_each(|(key, value)| visit(key, Some(value)));
        found.damaged.into_iter().for_each(|key| visit(key, None));
        if !goes_on {
            return Ok(());
        }
    }
}

/// The first key after this one.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The range of one key.
fn only(key: &[u8]) -> Range<Vec<u8>> {
    key.to_vec()..after(key)
}

/// The range of every key.
pub(crate) fn everything() -> Range<Vec<u8>> {
    Vec::new()..vec![0xff; KEY_BYTES_MAX + 1]
}
