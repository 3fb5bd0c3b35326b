//! The numbers that `docs/protocol.md` prints are those of the code.

use starling_protocol::close::{CloseCode, Retry};
use starling_protocol::motion::LONGITUDE_UNITS;
use starling_protocol::tables::{SYMBOLS, v2};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Compares what stands between the marks `<!-- name -->` and `<!-- /name -->` of the document
/// with what the code makes, or writes it anew.
fn check_block(name: &str, made: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&open).unwrap_or_else(|| panic!("no mark {open}"));
    let (kept, after) = rest.split_once(&close).unwrap_or_else(|| panic!("no mark {close}"));
    if std::env::var_os("STARLING_REGENERATE").is_some() {
        std::fs::write(&path, format!("{before}{open}{made}{close}{after}"))
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    } else {
        assert_eq!(kept, made, "docs/protocol.md has other numbers under `{name}`");
    }
}

fn row(numbers: &[u8]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_document_prints_the_numbers_of_the_code() {
    check_block("prefix-codes", &prefix_codes());
    check_block("longitude-units", &longitude_units());
    check_block("close-codes", &close_codes());
}

fn prefix_codes() -> String {
    let mut text = String::from("```\n");
    let knots = [
        ("head", &v2::HEAD),
        ("lag", &v2::LAG),
        ("position x, y", &v2::POSITION_XY),
        ("position z", &v2::POSITION_Z),
        ("velocity x, y", &v2::VELOCITY_XY),
        ("velocity z", &v2::VELOCITY_Z),
        ("heading", &v2::HEADING),
        ("look", &v2::LOOK),
        ("quaternion", &v2::QUATERNION),
    ];
    for (name, rows) in knots {
        writeln!(text, "knots, {name}").expect("a string takes everything");
        rows_of(&mut text, rows);
    }
    let steps = [
        ("head", &v2::STEP_HEAD),
        ("x, y", &v2::STEP_PLANE),
        ("z", &v2::STEP_HEIGHT),
        ("heading", &v2::STEP_HEADING),
        ("look", &v2::STEP_LOOK),
        ("quaternion", &v2::STEP_QUATERNION),
    ];
    for (name, rows) in steps {
        writeln!(text, "steps, {name}").expect("a string takes everything");
        rows_of(&mut text, rows);
    }
    let fixes = [
        ("head", &v2::FIX_HEAD),
        ("lag", &v2::FIX_LAG),
        ("first two axes", &v2::FIX_PLANE),
        ("third axis", &v2::FIX_ALTITUDE),
        ("heading", &v2::FIX_HEADING),
        ("look", &v2::FIX_LOOK),
        ("quaternion", &v2::FIX_QUATERNION),
    ];
    for (name, lengths) in fixes {
        writeln!(text, "fixes, {name}\n     {}", row(lengths)).expect("a string takes everything");
    }
    text + "```\n"
}

fn rows_of(text: &mut String, rows: &[[u8; SYMBOLS]]) {
    for (class, lengths) in rows.iter().enumerate() {
        writeln!(text, "  {class}: {}", row(lengths)).expect("a string takes everything");
    }
}

fn longitude_units() -> String {
    let mut text = String::from("```\n");
    for (i, units) in LONGITUDE_UNITS.chunks(10).enumerate() {
        let units: Vec<_> = units.iter().map(ToString::to_string).collect();
        writeln!(text, "{:2}-{:2}: {}", i * 10, i * 10 + 9, units.join(" "))
            .expect("a string takes everything");
    }
    text + "```\n"
}

fn close_codes() -> String {
    let mut text = String::from("| code | name | retry |\n|---|---|---|\n");
    for code in CloseCode::ALL {
        let retry = match code.retry() {
            Retry::Now => "now",
            Retry::Later => "later",
            Retry::Never => "never",
        };
        writeln!(text, "| {} | {} | {retry} |", code.0, code.label())
            .expect("a string takes everything");
    }
    text
}
