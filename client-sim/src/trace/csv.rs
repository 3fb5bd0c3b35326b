//! CSV with a header, read row by row.

use super::parse::{geodetic, number, optional};
use super::recording::{Recording, Row};
use super::summary::Summary;
use crate::motion::Facing;
use crate::space::Space;
use anyhow::{Result, bail};
use csv::{ReaderBuilder, StringRecord};
use std::io::Read;

/// The columns of a file: where each known one is.
struct Columns {
    space: Space,
    count: usize,
    id: usize,
    time: (&'static str, usize),
    position: [(&'static str, usize); 2],
    height: (&'static str, Option<usize>),
    /// Metric: vx, vy, vz. Geodetic: speed and heading.
    motion: [(&'static str, Option<usize>); 3],
    quaternion: [(&'static str, Option<usize>); 4],
}

pub(super) fn read(
    text: impl Read,
    stem: &str,
    file: &str,
    sum: &mut Summary,
) -> Result<Recording> {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(text);
    let columns = Columns::find(reader.headers()?)?;
    let mut recording = Recording::new(stem, columns.space);
    let mut cells = csv::ByteRecord::new();
    while reader.read_byte_record(&mut cells)? {
        let line = cells.position().map_or(0, csv::Position::line);
        sum.rows += 1;
        let row = StringRecord::from_byte_record(std::mem::take(&mut cells))
            .map_err(|_| "it is not UTF-8".to_owned())
            .and_then(|cells| columns.row(&cells, line).map(|row| (cells, row)));
        match row {
            Ok((cells, row)) => match recording.push(cells[columns.id].trim(), row) {
                Ok(()) => {}
                Err(why) => sum.malformed(file, line, why),
            },
            Err(why) => sum.malformed(file, line, why),
        }
        recording.check_size()?;
    }
    Ok(recording)
}

impl Columns {
    fn find(header: &StringRecord) -> Result<Self> {
        let at = |name: &str| header.iter().position(|h| h.trim_start_matches('\u{feff}') == name);
        let all = |names: [&'static str; 4]| {
            let found = names.map(at);
            found.iter().all(Option::is_some).then(|| found.map(Option::unwrap_or_default))
        };
        let quaternion = ["qx", "qy", "qz", "qw"].map(|name| (name, at(name)));
        if let Some([id, time, lat, lon]) = all(["id", "t_unix_ms", "lat_deg", "lon_deg"]) {
            return Ok(Self {
                space: Space::Geodetic,
                count: header.len(),
                id,
                time: ("t_unix_ms", time),
                position: [("lat_deg", lat), ("lon_deg", lon)],
                height: ("alt_m", at("alt_m")),
                motion: [
                    ("speed_mps", at("speed_mps")),
                    ("heading_deg", at("heading_deg")),
                    ("", None),
                ],
                quaternion: quaternion.map(|(name, _)| (name, None)),
            });
        }
        if let Some([id, time, x, y]) = all(["player", "t_ms", "x_m", "y_m"]) {
            return Ok(Self {
                space: Space::Metric,
                count: header.len(),
                id,
                time: ("t_ms", time),
                position: [("x_m", x), ("y_m", y)],
                height: ("z_m", at("z_m")),
                motion: ["vx_mps", "vy_mps", "vz_mps"].map(|name| (name, at(name))),
                quaternion,
            });
        }
        bail!(
            "the header names neither id,t_unix_ms,lat_deg,lon_deg nor player,t_ms,x_m,y_m: {}",
            header.iter().collect::<Vec<_>>().join(",")
        )
    }

    fn row(&self, cells: &StringRecord, line: u64) -> Result<Row, String> {
        if cells.len() != self.count {
            return Err(format!("{} cells where the header has {}", cells.len(), self.count));
        }
        let given = |(name, at): (&str, usize)| number(name, &cells[at]);
        let maybe =
            |(name, at): (&str, Option<usize>)| optional(name, at.and_then(|at| cells.get(at)));
        let t_ms = given(self.time)?;
        let [a, b] = [given(self.position[0])?, given(self.position[1])?];
        let height = maybe(self.height)?.unwrap_or(0.0);
        let motion = [maybe(self.motion[0])?, maybe(self.motion[1])?, maybe(self.motion[2])?];
        let (position, velocity, facing) = match self.space {
            Space::Geodetic => {
                let (velocity, facing) = course(motion[0], motion[1]);
                (geodetic(a, b, height)?, velocity, facing)
            }
            Space::Metric => {
                let velocity = match motion {
                    [Some(vx), Some(vy), vz] => Some([vx, vy, vz.unwrap_or(0.0)]),
                    _ => None,
                };
                let q = &self.quaternion;
                let facing = quaternion([maybe(q[0])?, maybe(q[1])?, maybe(q[2])?, maybe(q[3])?])?;
                ([a, b, height], velocity, facing)
            }
        };
        Ok(Row { line, t_ms, position, velocity, facing })
    }
}

/// Velocity east, north, up and facing from speed over ground and heading.
pub(super) fn course(speed: Option<f64>, heading: Option<f64>) -> (Option<[f64; 3]>, Facing) {
    let Some(heading) = heading else { return (None, Facing::None) };
    let (east, north) = heading.to_radians().sin_cos();
    (speed.map(|s| [east * s, north * s, 0.0]), Facing::Heading(heading.rem_euclid(360.0)))
}

fn quaternion(q: [Option<f64>; 4]) -> Result<Facing, String> {
    let [Some(x), Some(y), Some(z), Some(w)] = q else { return Ok(Facing::None) };
    let norm = (x * x + y * y + z * z + w * w).sqrt();
    match (0.9..1.1).contains(&norm) {
        true => Ok(Facing::Quaternion([x, y, z, w].map(|c| c / norm))),
        false => Err(format!("the quaternion's length is {norm:.3}, not 1")),
    }
}
