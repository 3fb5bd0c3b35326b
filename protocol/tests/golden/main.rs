//! Golden vectors: the bytes of every message and of datagrams, in files that a client in another
//! language can test itself with.
//!
//! A file has one vector per line: name, bytes in hex, and what they say as JSON (messages) or as
//! text (datagrams), separated by tabs. `STARLING_REGENERATE=1 cargo test -p starling-protocol
//! --test golden` writes the files anew; a change in them is a change of the protocol.

mod control;
mod datagrams;
mod events;
mod streams;
mod tables;

use serde::Serialize;
use serde::de::DeserializeOwned;
use starling_protocol::codec;
use std::fmt::{Debug, Write as _};
use std::path::PathBuf;

/// One vector as its file has it.
#[derive(Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) says: String,
}

/// Compares the lines of a file with those that the code makes, or writes the file anew.
pub(crate) fn check(file: &str, made: &[Line]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("STARLING_REGENERATE").is_some() {
        std::fs::write(&path, made.iter().map(write_line).collect::<String>())
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let kept: Vec<Line> = text.lines().map(read_line).collect();
    for (made, kept) in made.iter().zip(&kept) {
        assert_eq!(made, kept, "{file}: the bytes of `{}` changed", kept.name);
    }
    assert_eq!(made.len(), kept.len(), "{file} has another number of vectors");
}

fn write_line(line: &Line) -> String {
    let hex = line.bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    });
    format!("{}\t{hex}\t{}\n", line.name, line.says)
}

fn read_line(line: &str) -> Line {
    let mut parts = line.splitn(3, '\t');
    let mut part = || parts.next().unwrap_or_else(|| panic!("three columns in `{line}`"));
    let (name, hex, says) = (part().into(), part(), part().into());
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16);
    Line { name, bytes: digits.map(|pair| byte(pair).expect("hex")).collect(), says }
}

/// Checks the vectors of one kind of message both ways, and that no variant lacks one.
pub(crate) fn check_messages<T>(file: &str, vectors: &[(&str, T)])
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let lines: Vec<Line> = vectors
        .iter()
        .map(|(name, message)| Line {
            name: (*name).into(),
            bytes: codec::encode(message),
            says: serde_json::to_string(message).expect("messages are plain data"),
        })
        .collect();
    check(file, &lines);
    for ((name, message), line) in vectors.iter().zip(&lines) {
        assert_eq!(codec::decode(&line.bytes).as_ref(), Ok(message), "{file}: {name}");
        for cut in 0..line.bytes.len() {
            let cut = codec::decode::<T>(&line.bytes[..cut]);
            assert!(cut.is_err(), "{file}: {name} was read although cut short");
        }
        let longer = [&line.bytes[..], &[0]].concat();
        assert_eq!(codec::decode::<T>(&longer), Err(codec::DecodeError::Trailing(1)));
    }
    let mut variants: Vec<u8> = lines.iter().map(|line| line.bytes[0]).collect();
    variants.sort_unstable();
    variants.dedup();
    assert!(variants.iter().copied().eq(0..variants.len() as u8), "{file}: {variants:?}");
    let next = codec::decode::<T>(&[variants.len() as u8; 64]);
    let next = next.expect_err("every variant has a vector").to_string();
    assert!(next.contains("variant index"), "{file} lacks a vector for a variant: {next}");
}
