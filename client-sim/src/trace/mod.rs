//! Replay of recorded movement: CSV and GPX files of real devices, with all their defects.
//!
//! CSV needs a header: `id,t_unix_ms,lat_deg,lon_deg[,alt_m,speed_mps,heading_deg]` or
//! `player,t_ms,x_m,y_m[,z_m,vx_mps,vy_mps,vz_mps,qx,qy,qz,qw]`. Columns may come in any order
//! and others are ignored. GPX may be 1.0 or 1.1; its tracks are numbered from 1. Both may be
//! gzipped.
//!
//! An entity is named `<file stem>/<id>`. Files start together, and so do the tracks of one GPX
//! file. Nothing in a file is fatal but a header that cannot be understood: what is wrong is
//! counted, named by line, and left out.

mod csv;
mod gpx;
mod parse;
mod recording;
mod summary;
mod track;

pub use summary::{Malformed, Noted, Summary};
pub use track::{Track, TrackPlayer};

use crate::space::Space;
use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use recording::Recording;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

/// Rows that one run may hold in memory, about 100 bytes each.
const ROWS_MAX: usize = 20_000_000;

/// The recorded movement of one run.
pub struct Trace {
    /// The space of every file.
    pub space: Space,
    /// One track per entity.
    pub tracks: Vec<Arc<Track>>,
    /// Seconds of trace time from the start to the last row.
    pub length_s: f64,
    /// What was read, and what was wrong with it.
    pub summary: Summary,
}

impl Trace {
    /// Reads all files and lays their starts on one moment.
    ///
    /// # Errors
    /// A file that cannot be read or recognised, metric and geodetic files together, more than
    /// 20 million rows, or no usable row at all.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self> {
        let mut summary = Summary::default();
        let mut tracks = Vec::new();
        let mut space = None;
        for path in paths.iter().map(AsRef::as_ref) {
            let read = read(path, &mut summary);
            let recordings = read.with_context(|| format!("in the trace {}", path.display()))?;
            for recording in recordings {
                let first = *space.get_or_insert(recording.space);
                ensure!(
                    first == recording.space,
                    "{} is {:?} but an earlier trace is {first:?}; a world has one space",
                    path.display(),
                    recording.space
                );
                tracks.extend(recording.into_tracks(&mut summary));
            }
        }
        let Some(space) = space.filter(|_| !tracks.is_empty()) else {
            bail!("the traces hold no usable row ({} malformed)", summary.malformed_rows);
        };
        let length_s = tracks.iter().map(Track::end_s).fold(0.0, f64::max);
        summary.entities = tracks.len() as u64;
        summary.seconds = length_s;
        Ok(Self { space, tracks: tracks.into_iter().map(Arc::new).collect(), length_s, summary })
    }
}

/// What sort of file it is shows in its name, without a `.gz`.
fn read(path: &Path, summary: &mut Summary) -> Result<Vec<Recording>> {
    let name = path.file_name().and_then(|n| n.to_str()).context("its name is not UTF-8")?;
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    let stem = Path::new(plain).file_stem().and_then(|s| s.to_str()).unwrap_or(plain);
    let text = open(path)?;
    summary.files.push(plain.to_owned());
    match plain.rsplit('.').next() {
        Some("csv") => Ok(vec![csv::read(text, stem, plain, summary)?]),
        Some("gpx") => gpx::read(text, stem, plain, summary),
        _ => bail!("a trace is .csv or .gpx, plain or with .gz"),
    }
}

/// Opens a file and unpacks it if its first bytes say that it is gzip, whatever its name.
fn open(path: &Path) -> Result<Box<dyn Read>> {
    let mut file = BufReader::new(File::open(path)?);
    let gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}
