//! Recordings read from a file, run again, and shown to viewers.
//!
//! ```no_run
//! use starling_server::replay::Reel;
//! use starling_world::executor::Serial;
//!
//! let mut reel = Reel::open("recordings/arena-7.starling".as_ref(), None)?;
//! while let Some(replayed) = reel.tick(&Serial)? {
//!     assert!(replayed.is_exact(), "tick {} comes out otherwise", replayed.tick.0);
//! }
//! # Ok::<(), starling_server::replay::ReelError>(())
//! ```

use starling_protocol::message::control::Audience;
use starling_protocol::units::{EntityId, Tick};
use starling_world::authority::{Game, GameContext, Motion, NewEntity};
use starling_world::entity::EntityIdx;
use starling_world::executor::{Executor, Serial};
use starling_world::recording::{Entry, FRAME_HEAD_BYTES, Replay, ReplayError, Replayed};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a recording cannot be read or run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReelError {
    /// The file.
    #[error("cannot read {}: {why}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// What it holds.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// A recording on its way through a world.
pub struct Reel {
    path: PathBuf,
    file: Box<dyn Read + Send>,
    replay: Replay,
    cut_off: bool,
}

impl Reel {
    /// Opens a recording; a world that a game of its own decided needs that game.
    ///
    /// # Errors
    /// [`ReelError`].
    pub fn open(path: &Path, game: Option<Box<dyn Game>>) -> Result<Self, ReelError> {
        let unreadable = |why| ReelError::Read { path: path.to_owned(), why };
        let mut file: Box<dyn Read + Send> =
            Box::new(BufReader::new(File::open(path).map_err(unreadable)?));
        let mut read = Vec::new();
        let mut began = None;
        let replay = loop {
            let frame = next_frame(&mut file).map_err(unreadable)?;
            let (head, bytes) = frame.ok_or(ReplayError::NotARecording)?;
            let entry = Entry::read(head, &bytes).map_err(|_| ReplayError::NotARecording)?;
            match (entry, began.take()) {
                (Entry::Begin(begin), None) => began = Some(begin),
                (Entry::Read(rows), Some(begin)) => {
                    read.push(rows);
                    began = Some(begin);
                }
                (Entry::Opened, Some(begin)) => break Replay::begin(begin, read, game)?,
                _ => return Err(ReplayError::NotARecording.into()),
            }
        };
        Ok(Self { path: path.to_owned(), file, replay, cut_off: false })
    }

    /// What runs.
    #[must_use]
    pub const fn replay(&self) -> &Replay {
        &self.replay
    }

    /// Did the file end without the last entry of a recording? What there is of it is whole.
    #[must_use]
    pub const fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// Runs the next tick; `None` after the last.
    ///
    /// # Errors
    /// [`ReelError`].
    pub fn tick(&mut self, exec: &impl Executor) -> Result<Option<Replayed>, ReelError> {
        while self.replay.ended().is_none() && !self.cut_off {
            let frame = next_frame(&mut self.file);
            let frame = frame.map_err(|why| ReelError::Read { path: self.path.clone(), why })?;
            let Some((head, bytes)) = frame else {
                self.cut_off = true;
                break;
            };
            let entry = Entry::read(head, &bytes).map_err(|why| self.replay.damaged(why))?;
            if let Some(replayed) = self.replay.take(entry, exec)? {
                return Ok(Some(replayed));
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Reel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reel").field("path", &self.path).finish_non_exhaustive()
    }
}

type Frame = ([u8; FRAME_HEAD_BYTES], Vec<u8>);

/// The next whole frame; `None` where the file ends, be it in the middle of one.
fn next_frame(file: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; FRAME_HEAD_BYTES];
    if !is_whole(file.read_exact(&mut head))? {
        return Ok(None);
    }
    let len =
        Entry::len_of(head).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut bytes = vec![0; len];
    Ok(is_whole(file.read_exact(&mut bytes))?.then_some((head, bytes)))
}

fn is_whole(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A game that shows a recording: every entity of it appears, moves and goes as it did, at any speed.
/// Viewers are guests of the world that shows it and change nothing of the one that is shown.
#[derive(Debug)]
pub struct Projector {
    reel: Reel,
    /// Recorded ticks for one of the showing world.
    speed: f64,
    /// How far the recording should have come.
    due: f64,
    shown: BTreeMap<(u32, u32), Shown>,
    over: bool,
}

/// What of an entity is shown.
#[derive(Debug)]
struct Shown {
    entity: EntityId,
    /// The tick of the position that is shown.
    tick: Tick,
    fields: Vec<u32>,
}

impl Projector {
    /// Shows a recording from this tick on, at this speed.
    #[must_use]
    pub const fn new(reel: Reel, from: Tick, speed: f64) -> Self {
        Self { reel, speed, due: from.0 as f64, shown: BTreeMap::new(), over: false }
    }

    fn advance(&mut self) {
        self.due += self.speed;
        while !self.over && f64::from(self.reel.replay.world().now().0) < self.due {
            match self.reel.tick(&Serial) {
                Ok(Some(_)) => {}
                Ok(None) => self.over = true,
                Err(error) => {
                    tracing::error!(%error, "the recording ends here");
                    self.over = true;
                }
            }
        }
    }

    /// Shows one entity as it is; a place that the showing world refuses is left out.
    fn show(&mut self, idx: EntityIdx, context: &mut GameContext<'_>) {
        let world = self.reel.replay.world();
        let entities = world.entities();
        let (id, accepted) = (entities.id(idx), *entities.accepted(idx));
        let motion = Motion {
            position: world.config().space.point(accepted.position),
            velocity: None,
            orientation: accepted.orientation,
        };
        let fields: Vec<u32> = entities.fields(idx).values().to_vec();
        let numbered =
            |fields: &[u32]| (0..).zip(fields.iter().copied()).collect::<Vec<(u8, u32)>>();
        if let Some(shown) = self.shown.get_mut(&(id.index, id.generation)) {
            if shown.tick != accepted.tick && context.move_to(shown.entity, &motion).is_ok() {
                shown.tick = accepted.tick;
            }
            if shown.fields != fields
                && context.set_fields(shown.entity, &numbered(&fields)).is_ok()
            {
                shown.fields = fields;
            }
            return;
        }
        let new = NewEntity {
            name: Some(entities.name(idx).to_owned()),
            kind: entities.kind(idx),
            team: 0,
            audience: Audience::All,
            motion,
            fields: numbered(&fields),
            block: entities.fields(idx).block().to_vec(),
            avatar_of: None,
        };
        if let Ok(entity) = context.spawn(new) {
            let shown = Shown { entity, tick: accepted.tick, fields };
            self.shown.insert((id.index, id.generation), shown);
        }
    }
}

impl Game for Projector {
    fn step(&mut self, context: &mut GameContext<'_>) {
        self.advance();
        let all: Vec<EntityIdx> = self.reel.replay.world().entities().iter().collect();
        // Who is gone makes room for the name before somebody else may have it.
        let there: BTreeSet<_> = {
            let entities = self.reel.replay.world().entities();
            all.iter().map(|idx| entities.id(*idx)).map(|id| (id.index, id.generation)).collect()
        };
        self.shown.retain(|id, shown| {
            let stays = there.contains(id);
            // One that is gone already is as well.
            let _gone = stays || context.despawn(shown.entity).is_ok();
            stays
        });
        all.into_iter().for_each(|idx| self.show(idx, context));
    }
}
