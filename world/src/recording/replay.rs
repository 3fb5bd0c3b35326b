//! Running a recording again.

use super::{Begin, Entry, FORMAT, FRAME_HEAD_BYTES, Sums, sum_of};
use crate::World;
use crate::authority::Game;
use crate::executor::Executor;
use crate::input::{Command, TickInputs};
use crate::journal::{RowRange, Rows, Shelf, ShelfError};
use crate::output::Output;
use starling_protocol::codec::{self, RECORD_BYTES_MAX};
use starling_protocol::units::Tick;
use std::cell::RefCell;
use std::collections::VecDeque;
use thiserror::Error;

/// Why a recording cannot be run again, or not any further.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It does not begin as a recording does.
    #[error("this is no recording")]
    NotARecording,
    /// It was written in another form.
    #[error("the recording has form {0}; this program reads form {FORMAT}")]
    Format(u16),
    /// Its bytes are not what was written.
    #[error("the recording is damaged after tick {}: {why}", at.0)]
    Damaged {
        /// The last tick before.
        at: Tick,
        /// What is wrong.
        why: String,
    },
    /// A game decided there, and none was given.
    #[error(
        "a game decided in this world: run the recording with the program that has it (`Replay::begin` takes it)"
    )]
    NoGame,
    /// What an earlier life had kept is not what was written down.
    #[error("the world cannot go on from what was kept: {0}")]
    Kept(#[from] ShelfError),
}

/// A tick that was run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Which.
    pub tick: Tick,
    /// What came of it then.
    pub then: Sums,
    /// What comes of it now: the same, or something is wrong.
    pub now: Sums,
}

impl Replayed {
    /// Bit for bit as it was?
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.then == self.now
    }
}

/// A world that lives again. It is fed the frames of its recording, and runs tick by tick.
#[derive(Debug)]
pub struct Replay {
    world: World,
    began: Box<Begin>,
    commands: Vec<Command>,
    inputs: TickInputs,
    out: Output,
    ended: Option<bool>,
}

impl Replay {
    /// Begins with the first entry of a recording and whatever it read before it stood; a world that a
    /// game decided needs that game, as it was at the beginning.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn begin(
        began: Box<Begin>,
        read: Vec<Result<Rows, ShelfError>>,
        game: Option<Box<dyn Game>>,
    ) -> Result<Self, ReplayError> {
        if began.format != FORMAT {
            return Err(ReplayError::Format(began.format));
        }
        let game = match (began.how.game, game) {
            (true, None) => return Err(ReplayError::NoGame),
            (true, game) => game,
            (false, _) => None,
        };
        let (shelf, config) = (Remembered(RefCell::new(read.into())), began.config.clone());
        let world = match (began.how.kept, game) {
            (false, None) => World::new(config),
            (false, Some(game)) => World::with_game(config, game),
            (true, None) => World::open(config, &shelf)?,
            (true, Some(game)) => World::open_with_game(config, game, &shelf)?,
        };
        let (commands, inputs, out) = Default::default();
        Ok(Self { world, began, commands, inputs, out, ended: None })
    }

    /// How it began.
    #[must_use]
    pub const fn began(&self) -> &Begin {
        &self.began
    }

    /// The world as of the last entry.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// What the last tick wrote.
    #[must_use]
    pub const fn output(&self) -> &Output {
        &self.out
    }

    /// Did the recording end, and did it have to give up? `None`: it goes on, or was cut off.
    #[must_use]
    pub const fn ended(&self) -> Option<bool> {
        self.ended
    }

    /// Takes the next entry. Says what came of it where that was a tick.
    ///
    /// # Errors
    /// [`ReplayError::Damaged`] for an entry that cannot come here.
    pub fn take(
        &mut self,
        entry: Entry,
        exec: &impl Executor,
    ) -> Result<Option<Replayed>, ReplayError> {
        match entry {
            Entry::Begin(_) | Entry::Read(_) | Entry::Opened => {
                return Err(self.damaged("it begins twice"));
            }
            Entry::Command(command) => self.commands.push(command),
            Entry::Step { now_us } => {
                self.out.clear();
                self.world.step(now_us, &mut self.commands, &mut self.out);
                self.commands.clear();
            }
            Entry::Datagram { conn, at_us, bytes } => self.inputs.push(conn, at_us, &bytes),
            Entry::Link(link) => self.inputs.links.push(link),
            Entry::Tick { now_us, unix_ms, sums } => {
                return Ok(Some(self.tick((now_us, unix_ms), sums, exec)));
            }
            Entry::Skip { ticks } => self.world.skip(ticks),
            Entry::End { lagged } => self.ended = Some(lagged),
        }
        Ok(None)
    }

    /// What is wrong with the recording here.
    #[must_use]
    pub fn damaged(&self, why: impl Into<String>) -> ReplayError {
        ReplayError::Damaged { at: self.world.now(), why: why.into() }
    }

    fn tick(
        &mut self,
        (now_us, unix_ms): (u64, Option<u64>),
        then: Sums,
        exec: &impl Executor,
    ) -> Replayed {
        (self.inputs.now_us, self.inputs.unix_ms) = (now_us, unix_ms);
        self.out.clear();
        self.world.tick(&self.inputs, &mut self.out, exec);
        self.inputs.clear();
        let now = Sums::of(&self.world, &self.out);
        Replayed { tick: self.world.now(), then, now }
    }
}

/// The answers of a shelf, in the order in which they were given.
#[derive(Debug)]
struct Remembered(RefCell<VecDeque<Result<Rows, ShelfError>>>);

impl Shelf for Remembered {
    fn read(&self, _: &RowRange) -> Result<Rows, ShelfError> {
        let more = || Err(ShelfError("more is asked than was written down".into()));
        self.0.borrow_mut().pop_front().unwrap_or_else(more)
    }
}

impl Entry {
    /// The bytes that follow the head of a frame, from its first [`FRAME_HEAD_BYTES`].
    ///
    /// # Errors
    /// [`ReplayError::NotARecording`] for a length that no frame has.
    pub fn len_of(head: [u8; FRAME_HEAD_BYTES]) -> Result<usize, ReplayError> {
        let [a, b, c, d, ..] = head;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        if len <= RECORD_BYTES_MAX { Ok(len) } else { Err(ReplayError::NotARecording) }
    }

    /// Reads the rest of a frame.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(head: [u8; FRAME_HEAD_BYTES], bytes: &[u8]) -> Result<Self, String> {
        let [.., a, b, c, d] = head;
        if u32::from_le_bytes([a, b, c, d]) != sum_of(bytes) {
            return Err("a frame does not have its sum".into());
        }
        codec::decode_record(bytes).map_err(|error| error.to_string())
    }
}
