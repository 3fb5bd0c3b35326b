//! Drives a recorded track again: a GPX file becomes an entity of a geodetic world.
//!
//! ```sh
//! starling serve &
//! cargo run -p starling-client --example publish_gpx -- 127.0.0.1:4433 PRINT FILE.gpx [SPEED]
//! ```
//! `PRINT` is the certificate's fingerprint; an empty one (`""`) believes any certificate. `SPEED`
//! 10 drives ten times as fast. The entity's name is that of the file without its ending.
#![allow(clippy::print_stdout)] // an example talks to its reader

#[path = "shared/arguments.rs"]
#[allow(dead_code)]
mod arguments;

use anyhow::{Context, Result, ensure};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use starling_client::net::{Client, MonotonicClock};
use starling_client::{ClientEvent, ConnectOptions, Fix, FixSource, Nanos, Pose, Space, SpawnSpec};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One point of a track.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    /// Latitude and longitude in degrees, altitude in metres.
    place: [f64; 3],
    /// Seconds since 1970.
    time_s: Option<f64>,
}

fn main() -> Result<()> {
    let file = arguments::argument(3).context("which track: the third argument")?;
    let speed: f64 = arguments::argument(4).map_or(Ok(1.0), |s| s.parse()).context("the speed")?;
    ensure!(speed > 0.0, "the speed is more than 0");
    let points = read(&std::fs::read_to_string(&file).with_context(|| file.clone())?)?;
    let name = Path::new(&file).file_stem().map_or_else(|| "track".into(), |s| s.to_string_lossy());
    let start = points[0].time_s.unwrap_or(0.0);
    println!("{} points as {name}", points.len());

    let clock = MonotonicClock::start();
    let options = ConnectOptions::new("city")
        .create(Space::Geodetic)
        .seed(arguments::seed())
        .token(arguments::token());
    let mut client = Client::connect(clock.now(), &arguments::server()?, options)?;
    let me = client.spawn(SpawnSpec::at(Pose::at(points[0].place)).named(name))?;
    for (n, point) in points.iter().enumerate() {
        // A track without times is driven at a point a second.
        let into_s = point.time_s.map_or(n as f64, |time_s| time_s - start);
        drive_until(&mut client, &clock, Nanos((into_s / speed * 1e9) as u64))?;
        client.set_pose(me, Pose::at(point.place).fix(fix_now()?))?;
        client.advance(clock.now());
    }
    let end = clock.now() + Nanos::SECOND;
    drive_until(&mut client, &clock, end)?;
    client.goodbye(clock.now());
    client.advance(clock.now());
    Ok(())
}

fn drive_until(client: &mut Client, clock: &MonotonicClock, due: Nanos) -> Result<()> {
    while clock.now() < due {
        client.wait(clock.now(), Duration::from_nanos(due.since(clock.now())));
        client.advance(clock.now());
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Closed { error } = event {
                return Err(error.into());
            }
            println!("{event:?}");
        }
    }
    Ok(())
}

/// The track is driven now, whenever it was recorded.
fn fix_now() -> Result<Fix> {
    let time_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    Ok(Fix { time_ms, source: FixSource::Gnss, ..Fix::default() })
}

/// The track points of a GPX 1.0 or 1.1 file, in order.
fn read(text: &str) -> Result<Vec<Point>> {
    let mut reader = Reader::from_str(text);
    let (mut points, mut open, mut tag) = (Vec::new(), None, String::new());
    loop {
        match reader.read_event()? {
            Event::Start(start) if start.local_name().as_ref() == "trkpt" => {
                open = Some(point(&start)?);
            }
            Event::Empty(start) if start.local_name().as_ref() == "trkpt" => {
                points.push(point(&start)?);
            }
            Event::Start(start) => tag = start.local_name().as_ref().to_owned(),
            Event::Text(text) => {
                if let Some(point) = &mut open {
                    note(point, &tag, text.xml10_content().trim())?;
                }
            }
            Event::End(end) if end.local_name().as_ref() == "trkpt" => points.extend(open.take()),
            Event::End(_) => tag.clear(),
            Event::Eof => break,
            _ => {}
        }
    }
    ensure!(!points.is_empty(), "the file has no track points");
    Ok(points)
}

fn point(start: &BytesStart<'_>) -> Result<Point> {
    let mut point = Point::default();
    for attribute in start.attributes() {
        let attribute = attribute?;
        let degrees = || -> Result<f64> { Ok(attribute.value.parse()?) };
        match attribute.key.as_ref() {
            "lat" => point.place[0] = degrees().context("a latitude")?,
            "lon" => point.place[1] = degrees().context("a longitude")?,
            _ => {}
        }
    }
    Ok(point)
}

fn note(point: &mut Point, tag: &str, text: &str) -> Result<()> {
    match tag {
        "ele" => point.place[2] = text.parse().context("an elevation")?,
        "time" => {
            let time: jiff::Timestamp = text.parse().context("a time")?;
            point.time_s = Some(time.as_millisecond() as f64 / 1e3);
        }
        _ => {}
    }
    Ok(())
}
