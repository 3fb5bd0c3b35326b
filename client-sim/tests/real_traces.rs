//! Large recordings of real movement are read in full, and their known defects are found.
//!
//! The files are not part of the repository. The tests run where the variable STARLING_DATA names
//! the folder that holds them, and say that they were skipped elsewhere.

use starling_client_sim::trace::Trace;
use std::io::Write;
use std::path::PathBuf;

/// The file, or `None` after saying so.
fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("STARLING_DATA");
    if folder.is_none() {
        let words = format!("skipped: set STARLING_DATA to the folder that holds {name}\n");
        // Past the harness, which keeps what a test that passes prints to itself.
        std::io::stderr().write_all(words.as_bytes()).expect("somebody reads the errors");
    }
    folder.map(|folder| PathBuf::from(folder).join(name))
}

fn open(path: PathBuf) -> Trace {
    Trace::open(&[path]).expect("the recordings can be read")
}

#[test]
fn the_buses_of_warsaw_and_all_their_defects() {
    let Some(path) = data("fleet-warsaw-buses/positions.csv.gz") else { return };
    let trace = open(path);
    let sum = &trace.summary;
    assert_eq!(sum.rows, 467_301);
    assert_eq!(sum.malformed_rows, 2);
    let lines: Vec<_> = sum.malformed.iter().map(|m| (m.line, m.why.as_str())).collect();
    assert_eq!(lines, [(100_157, "t_unix_ms is empty"), (281_572, "t_unix_ms is empty")]);
    assert_eq!(sum.future, 1);
    assert!(sum.noted.iter().any(|n| n.what == "future" && n.entity == "positions/70041"));
    // Of 1,774 vehicles one only ever reported from the future.
    assert_eq!(sum.entities, 1_773);
    assert_eq!(sum.single_row, 190);
    assert_eq!(sum.back_in_time, 2);
    assert_eq!(sum.same_time, 17);
    assert_eq!(sum.duplicate, 0);
    assert_eq!(sum.unchanged_position, 24_468);
    assert_eq!(sum.over_40_mps, 331);
    assert_eq!(sum.gaps_over_60_s, 2_403);
    assert_eq!(sum.unordered, 192_088);
    assert!((4_590.0..4_680.0).contains(&trace.length_s), "{}", trace.length_s);
}

#[test]
fn six_real_matches() {
    let cars =
        [("gridiron", 13), ("b82d", 11), ("rlcs2", 7), ("58b2", 7), ("d52eb", 5), ("256", 5)];
    for (name, entities) in cars {
        let Some(path) = data(&format!("rocket-league/{name}.csv.gz")) else { return };
        let trace = open(path);
        let sum = &trace.summary;
        assert_eq!(
            (sum.entities, sum.malformed_rows, sum.back_in_time),
            (entities, 0, 0),
            "{name}"
        );
        assert!(sum.over_40_mps > 20, "{name}: {}", sum.over_40_mps);
    }
}

#[test]
fn people_aircraft_and_hikers() {
    let Some(path) = data("crowd/corridor_uo_180_180_070.csv.gz") else { return };
    assert_eq!(open(path).summary.entities, 148);
    let Some(path) = data("aircraft/switzerland_2018-08-01.csv.gz") else { return };
    let sum = open(path).summary;
    assert_eq!((sum.rows, sum.entities, sum.malformed_rows), (139_098, 842, 0));
    let Some(path) = data("aircraft/noisy_and_irregular.csv.gz") else { return };
    let sum = open(path).summary;
    // Rows without a position: 11 of the spoofed flight and 1,689 of the carrier.
    assert_eq!((sum.rows, sum.malformed_rows), (57_407, 1_700));
    let Some(path) = data("gpx/osm_traces.gpx.gz") else { return };
    let sum = open(path).summary;
    assert_eq!((sum.rows, sum.entities, sum.malformed_rows), (5_000, 3, 0));
}

#[test]
fn no_gpx_file_of_the_collection_is_fatal_but_those_without_a_point() {
    let Some(folder) = data("gpx/gpxpy") else { return };
    let mut read = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        match Trace::open(&[&path]) {
            Ok(trace) => read += usize::from(trace.summary.rows > 0),
            Err(error) => {
                let text = format!("{error:#}");
                assert!(text.contains("no usable row"), "{}: {text}", path.display());
            }
        }
    }
    assert!(read >= 10, "{read} files with tracks");
}
