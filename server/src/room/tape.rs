//! Recordings of rooms: everything that goes into a world, written down while it happens.
//!
//! The room's thread makes the frames; a thread of the recording's own writes them. A tick never waits
//! for that: what finds more than [`WAITING_BYTES_MAX`] before it ends the recording, which says so in
//! the log and, by its missing end, to whoever plays it.

use starling_world::World;
use starling_world::config::WorldConfig;
use starling_world::input::{Command, TickInputs};
use starling_world::output::Output;
use starling_world::recording::{How, Recorder, Sums};
use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes that may wait to be written.
pub const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Pieces that may wait to be written: a tick and its steps make few.
const WAITING_PIECES_MAX: usize = 4_096;
/// Ending of the names of recordings.
pub const EXTENSION: &str = "starling";

/// Where frames go.
pub trait Sink: Send {
    /// Takes frames in, at once; `false` where it cannot, and then nothing more is to come.
    fn write(&mut self, frames: Vec<u8>) -> bool;
}

/// Gives each new world its sink, or none.
pub trait Studio: fmt::Debug + Send {
    /// The sink of a world that begins now.
    fn sink(&mut self, config: &WorldConfig) -> Option<Box<dyn Sink>>;
}

/// A recording that runs.
pub struct Tape {
    recorder: RefCell<Recorder>,
    /// `None` once it could not go on.
    sink: Option<Box<dyn Sink>>,
}

impl Tape {
    /// Begins the recording of a world.
    #[must_use]
    pub fn begin(config: &WorldConfig, how: How, sink: Box<dyn Sink>) -> Self {
        let recorder = Recorder::begin(config, how, env!("CARGO_PKG_VERSION"));
        let mut tape = Self { recorder: RefCell::new(recorder), sink: Some(sink) };
        tape.pass_on();
        tape
    }

    /// Where a world that begins writes down what it reads.
    pub(super) const fn recorder(&self) -> &RefCell<Recorder> {
        &self.recorder
    }

    /// The world stands, and whatever it was told while it was opened is written down.
    pub(super) fn opened(&mut self) {
        self.recorder.get_mut().opened();
        self.pass_on();
    }

    pub(super) fn step(&mut self, now_us: u64, commands: &[Command]) {
        if self.sink.is_some() {
            self.recorder.get_mut().step(now_us, commands);
            self.pass_on();
        }
    }

    pub(super) fn tick(&mut self, inputs: &TickInputs, world: &World, out: &Output) {
        if self.sink.is_some() {
            self.recorder.get_mut().tick(inputs, Sums::of(world, out));
            self.pass_on();
        }
    }

    pub(super) fn skip(&mut self, ticks: u32) {
        if self.sink.is_some() {
            self.recorder.get_mut().skip(ticks);
            self.pass_on();
        }
    }

    fn pass_on(&mut self) {
        let frames = self.recorder.get_mut().take();
        if self.sink.as_mut().is_some_and(|sink| !sink.write(frames)) {
            tracing::error!("a recording could not be written fast enough and ends here");
            self.sink = None;
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.recorder.get_mut().end(false);
        self.pass_on();
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape").field("runs", &self.sink.is_some()).finish_non_exhaustive()
    }
}

/// Writes each world to a file of its own in one folder: `<world>-<epoch>.starling`.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// In this folder, which is made if need be.
    ///
    /// # Errors
    /// What the system says.
    pub fn in_folder(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }
}

impl Studio for Files {
    fn sink(&mut self, config: &WorldConfig) -> Option<Box<dyn Sink>> {
        let kept =
            |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' };
        let name: String = config.name.chars().map(kept).collect();
        let path = self.folder.join(format!("{name}-{}.{EXTENSION}", config.epoch.0));
        match FileSink::create(&path) {
            Ok(sink) => Some(Box::new(sink)),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a world is not recorded");
                None
            }
        }
    }
}

/// A file with a thread that writes it.
struct FileSink {
    frames: Option<SyncSender<Vec<u8>>>,
    waiting: Arc<AtomicUsize>,
    writer: Option<JoinHandle<()>>,
}

impl FileSink {
    fn create(path: &Path) -> std::io::Result<Self> {
        let file = BufWriter::new(File::create_new(path)?);
        let (frames, waits) = sync_channel(WAITING_PIECES_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (counted, shown) = (Arc::clone(&waiting), path.display().to_string());
        let write = move || {
            if let Err(error) = write_all(file, &waits, &counted) {
                tracing::error!(path = shown, %error, "a recording ends here");
            }
        };
        let writer = std::thread::Builder::new().name("recording".into()).spawn(write)?;
        Ok(Self { frames: Some(frames), waiting, writer: Some(writer) })
    }
}

/// Until nothing comes any more, or the disk takes nothing any more.
fn write_all(
    mut file: BufWriter<File>,
    frames: &Receiver<Vec<u8>>,
    waiting: &AtomicUsize,
) -> std::io::Result<()> {
    while let Ok(frames) = frames.recv() {
        waiting.fetch_sub(frames.len(), Ordering::Relaxed);
        file.write_all(&frames)?;
    }
    file.flush()
}

impl Sink for FileSink {
    fn write(&mut self, frames: Vec<u8>) -> bool {
        let len = frames.len();
        if self.waiting.fetch_add(len, Ordering::Relaxed) + len > WAITING_BYTES_MAX {
            return false;
        }
        self.frames.as_ref().is_some_and(|sender| sender.try_send(frames).is_ok())
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.frames = None;
        let ended = self.writer.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) {
            tracing::error!("the thread of a recording broke down");
        }
    }
}
