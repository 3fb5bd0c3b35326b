//! GPX 1.0 and 1.1: the points of its tracks.

use super::csv::course;
use super::parse::{geodetic, number, optional, shown};
use super::recording::{Recording, Row};
use super::summary::Summary;
use crate::space::Space;
use anyhow::{Context, Result, ensure};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use std::io::Read;

/// Bytes of unpacked XML that are held in memory.
const TEXT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Reads the tracks of one file, each as a recording of its own: they were rarely made together.
pub(super) fn read(
    text: impl Read,
    stem: &str,
    file: &str,
    sum: &mut Summary,
) -> Result<Vec<Recording>> {
    let mut xml = String::new();
    let bytes = text.take(TEXT_BYTES_MAX + 1).read_to_string(&mut xml)?;
    ensure!(bytes as u64 <= TEXT_BYTES_MAX, "more than {TEXT_BYTES_MAX} bytes of XML");
    let mut file = GpxFile { stem, file, sum, tracks: Vec::new(), point: None };
    file.read(&xml)?;
    Ok(file.tracks)
}

/// The tracks so far, and the point that is being read.
struct GpxFile<'a> {
    stem: &'a str,
    file: &'a str,
    sum: &'a mut Summary,
    tracks: Vec<Recording>,
    point: Option<Point>,
}

/// A track point: the raw text of its attributes and of its direct children.
#[derive(Default)]
struct Point {
    line: u64,
    /// Elements open within the point.
    depth: u32,
    field: Option<Field>,
    lat: String,
    lon: String,
    time: String,
    elevation: String,
    speed: String,
    course: String,
}

#[derive(Clone, Copy)]
enum Field {
    Time,
    Elevation,
    Speed,
    Course,
}

impl GpxFile<'_> {
    fn read(&mut self, xml: &str) -> Result<()> {
        let mut reader = Reader::from_str(xml);
        let mut lines = Lines { xml: xml.as_bytes(), at: 0, line: 1 };
        let mut root = false;
        loop {
            let line = lines.at(reader.buffer_position());
            match reader.read_event() {
                Ok(Event::Eof) => break,
                Ok(Event::Start(tag)) => {
                    root |= tag.local_name().as_ref() == "gpx";
                    self.open(&tag, line)?;
                }
                Ok(Event::Empty(tag)) => {
                    self.open(&tag, line)?;
                    self.close()?;
                }
                Ok(Event::End(_)) => self.close()?,
                Ok(Event::Text(text)) => self.text(&text.xml10_content()),
                Ok(Event::CData(text)) => self.text(&text.xml10_content()),
                Ok(_) => {}
                Err(error) => {
                    // What came before the damage is still good.
                    let line = lines.at(reader.error_position());
                    self.sum.malformed(self.file, line, format!("XML: {error}"));
                    break;
                }
            }
        }
        ensure!(root, "there is no <gpx> element");
        Ok(())
    }

    fn open(&mut self, tag: &BytesStart<'_>, line: u64) -> Result<()> {
        let name = tag.local_name();
        if let Some(point) = &mut self.point {
            point.open(name.as_ref());
            return Ok(());
        }
        match name.as_ref() {
            "trk" => self.tracks.push(Recording::new(self.stem, Space::Geodetic)),
            "trkpt" => {
                let [lat, lon] = [attribute(tag, "lat"), attribute(tag, "lon")];
                self.point = Some(Point { line, lat, lon, ..Point::default() });
            }
            "wpt" | "rtept" => self.sum.other_points += 1,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some(point) = &mut self.point else { return Ok(()) };
        if point.depth > 0 {
            point.close();
            return Ok(());
        }
        let Some(point) = self.point.take() else { return Ok(()) };
        self.sum.rows += 1;
        let number = self.tracks.len().to_string();
        let track = self.tracks.last_mut().context("a <trkpt> outside of any <trk>")?;
        let pushed = point.row().and_then(|row| track.push(&number, row));
        if let Err(why) = pushed {
            self.sum.malformed(self.file, point.line, why);
        }
        track.check_size()
    }

    fn text(&mut self, text: &str) {
        if let Some(field) = self.point.as_mut().and_then(Point::field) {
            field.push_str(text);
        }
    }
}

impl Point {
    fn open(&mut self, name: &str) {
        self.depth += 1;
        if self.depth == 1 {
            self.field = match name {
                "time" => Some(Field::Time),
                "ele" => Some(Field::Elevation),
                "speed" => Some(Field::Speed),
                "course" => Some(Field::Course),
                _ => None,
            };
        }
    }

    fn close(&mut self) {
        self.depth -= 1;
        if self.depth == 0 {
            self.field = None;
        }
    }

    /// The child whose text this is, if it is a direct child that matters.
    fn field(&mut self) -> Option<&mut String> {
        let field = self.field.filter(|_| self.depth == 1)?;
        Some(match field {
            Field::Time => &mut self.time,
            Field::Elevation => &mut self.elevation,
            Field::Speed => &mut self.speed,
            Field::Course => &mut self.course,
        })
    }

    fn row(&self) -> Result<Row, String> {
        let (lat, lon) = (number("lat", &self.lat)?, number("lon", &self.lon)?);
        let altitude = optional("ele", Some(&self.elevation))?.unwrap_or(0.0);
        let speed = optional("speed", Some(&self.speed))?;
        let heading = optional("course", Some(&self.course))?;
        let (velocity, facing) = course(speed, heading);
        Ok(Row {
            line: self.line,
            t_ms: time_ms(self.time.trim())?,
            position: geodetic(lat, lon, altitude)?,
            velocity,
            facing,
        })
    }
}

/// Milliseconds since 1970 of an RFC 3339 time; one without a zone is in UTC.
fn time_ms(text: &str) -> Result<f64, String> {
    if text.is_empty() {
        return Err("time is missing".to_owned());
    }
    let zoned = text.parse::<jiff::Timestamp>();
    let parsed = zoned.or_else(|_| format!("{text}Z").parse::<jiff::Timestamp>());
    parsed
        .map(|t| t.as_millisecond() as f64)
        .map_err(|_| format!("time `{}` cannot be read", shown(text)))
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> String {
    let found = tag.attributes().flatten().find(|a| a.key.local_name().as_ref() == name);
    found.map(|a| a.value.into_owned()).unwrap_or_default()
}

/// Counts lines up to positions that only grow.
struct Lines<'a> {
    xml: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    fn at(&mut self, position: u64) -> u64 {
        let end = (position as usize).clamp(self.at, self.xml.len());
        self.line += self.xml[self.at..end].iter().filter(|&&b| b == b'\n').count() as u64;
        self.at = end;
        self.line
    }
}
