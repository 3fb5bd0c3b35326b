//! Recordings: what went into a world, in the order in which it did, and a checksum for every tick.
//!
//! A world is a function of what goes in. Whoever writes down the commands of each step and the
//! datagrams of each tick, in order of arrival, can run the world again, bit for bit, and look at any
//! moment of it. A recording is a row of [`Entry`]s, each a frame of its own: the length in four bytes,
//! little-endian, the FNV-1a sum of what follows in four, and the entry in the form of every message.
//!
//! What it holds is what clients said: positions, events, subjects. Resume tokens are left out, so the
//! Welcomes of a replay hand out none that works. Keep recordings as you keep the data itself.

mod replay;

pub use replay::{Replay, ReplayError, Replayed};

use crate::checksum::Checksum;
use crate::config::WorldConfig;
use crate::input::{Command, ConnId, Link, TickInputs};
use crate::journal::{RowRange, Rows, Shelf, ShelfError};
use crate::output::Output;
use serde::{Deserialize, Serialize};
use starling_protocol::codec;
use std::cell::RefCell;

/// The form of recordings.
pub const FORMAT: u16 = 1;
/// Before the entry of a frame: its length and its sum.
pub const FRAME_HEAD_BYTES: usize = 8;

/// One entry of a recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Entry {
    /// Always the first.
    Begin(Box<Begin>),
    /// What the world was told when it read what an earlier life had kept.
    Read(Result<Rows, ShelfError>),
    /// The world stands: whatever it read comes before this, and everything else after.
    Opened,
    /// A command of the next step.
    Command(Command),
    /// The commands since the last step were done.
    Step {
        /// As it was passed to the world.
        now_us: u64,
    },
    /// A datagram of the next tick.
    Datagram {
        /// From whom.
        conn: ConnId,
        /// When it arrived, in microseconds since the world's epoch.
        at_us: u64,
        /// Its payload.
        bytes: Vec<u8>,
    },
    /// What a link may carry in the next tick.
    Link(Link),
    /// The tick was run.
    Tick {
        /// As it was passed to the world.
        now_us: u64,
        /// As it was passed to the world.
        unix_ms: Option<u64>,
        /// What came of it.
        sums: Sums,
    },
    /// Ticks that the server was too late for.
    Skip {
        /// How many.
        ticks: u32,
    },
    /// Always the last: without it the recording was cut off.
    End {
        /// Something could not be written down: nothing after this point is known.
        lagged: bool,
    },
}

/// How a recording begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begin {
    /// [`FORMAT`].
    pub format: u16,
    /// The version that wrote it: only the same one promises the same bits.
    pub starling: String,
    /// The world.
    pub config: WorldConfig,
    /// Of what it was made.
    pub how: How,
}

/// Of what a world was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct How {
    /// A game of its own decided: it must be given to the replay.
    pub game: bool,
    /// It went on from what an earlier life had kept.
    pub kept: bool,
}

/// What came of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// [`crate::World::checksum`] after it.
    pub world: u64,
    /// Of every datagram that it sent, in order.
    pub datagrams: u64,
}

impl Sums {
    /// Of a world and what its last tick wrote.
    #[must_use]
    pub fn of(world: &crate::World, out: &Output) -> Self {
        let mut sum = Checksum::new();
        for sent in &out.datagrams {
            sum.add(sent.conn.0).add_bytes(&out.arena[sent.bytes.clone()]);
        }
        Self { world: world.checksum(), datagrams: sum.value() }
    }
}

/// Writes entries down as frames.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Frames that wait to be taken away.
    frames: Vec<u8>,
}

impl Recorder {
    /// Begins a recording.
    #[must_use]
    pub fn begin(config: &WorldConfig, how: How, starling: &str) -> Self {
        let mut recorder = Self::default();
        let (starling, config) = (starling.into(), config.clone());
        recorder.entry(&Entry::Begin(Box::new(Begin { format: FORMAT, starling, config, how })));
        recorder
    }

    /// What was written down and not taken away yet; whole frames.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.frames)
    }

    /// Bytes that wait to be taken away.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.frames.len()
    }

    /// Commands, before they are done.
    pub fn step(&mut self, now_us: u64, commands: &[Command]) {
        for command in commands {
            self.entry(&Entry::Command(without_secrets(command)));
        }
        self.entry(&Entry::Step { now_us });
    }

    /// A tick, after it was run.
    pub fn tick(&mut self, inputs: &TickInputs, sums: Sums) {
        for link in &inputs.links {
            self.entry(&Entry::Link(*link));
        }
        for datagram in &inputs.datagrams {
            let bytes = inputs.arena[datagram.bytes.clone()].to_vec();
            let (conn, at_us) = (datagram.conn, datagram.at_us);
            self.entry(&Entry::Datagram { conn, at_us, bytes });
        }
        self.entry(&Entry::Tick { now_us: inputs.now_us, unix_ms: inputs.unix_ms, sums });
    }

    /// Ticks that are left out.
    pub fn skip(&mut self, ticks: u32) {
        self.entry(&Entry::Skip { ticks });
    }

    /// What an earlier life had kept.
    pub fn read(&mut self, answer: &Result<Rows, ShelfError>) {
        self.entry(&Entry::Read(answer.clone()));
    }

    /// The world stands.
    pub fn opened(&mut self) {
        self.entry(&Entry::Opened);
    }

    /// Ends the recording.
    pub fn end(&mut self, lagged: bool) {
        self.entry(&Entry::End { lagged });
    }

    fn entry(&mut self, entry: &Entry) {
        // Nothing that a world takes in is larger than a record may be.
        let Some(bytes) = codec::encode_record(entry) else { return };
        self.frames.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.frames.extend_from_slice(&sum_of(&bytes).to_le_bytes());
        self.frames.extend_from_slice(&bytes);
    }
}

/// A shelf whose answers are written down, where somebody does.
#[derive(Debug)]
pub struct Reader<'a, S> {
    shelf: &'a S,
    recorder: Option<&'a RefCell<Recorder>>,
}

impl<'a, S: Shelf> Reader<'a, S> {
    /// Reads from this shelf.
    pub const fn new(shelf: &'a S, recorder: Option<&'a RefCell<Recorder>>) -> Self {
        Self { shelf, recorder }
    }
}

impl<S: Shelf> Shelf for Reader<'_, S> {
    fn read(&self, rows: &RowRange) -> Result<Rows, ShelfError> {
        let answer = self.shelf.read(rows);
        if let Some(recorder) = self.recorder {
            recorder.borrow_mut().read(&answer);
        }
        answer
    }
}

/// The command without what would let its reader in.
fn without_secrets(command: &Command) -> Command {
    let mut command = command.clone();
    if let Command::Attach(attach) = &mut command {
        attach.token.fill(0);
    }
    command
}

/// The sum of a frame.
fn sum_of(bytes: &[u8]) -> u32 {
    let sum = Checksum::new().add_bytes(bytes).value();
    (sum ^ (sum >> 32)) as u32
}
