//! A file layer that forgets what was not synced: compiled when it is needed, preloaded into the server,
//! and asked after a kill which writes to take back.

use crate::Dice;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Offset in a record that stands for a change of length.
const LENGTH: u64 = u64::MAX;

/// The layer, over one file.
pub(crate) struct Layer {
    library: String,
    file: PathBuf,
}

impl Layer {
    /// Over a file that the server will make.
    pub(crate) fn over(file: PathBuf, folder: &Path) -> Self {
        Self { library: compiled("unsynced", folder), file }
    }

    /// What the server is started with.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        preloaded(&self.library, "STARLING_UNSYNCED", &self.file)
    }

    /// The power is gone: of the writes that no sync covered some are lost, some were made, and one was
    /// made in part. Says how many there were.
    pub(crate) fn forgets(&self, dice: &mut Dice) -> usize {
        let mut undo = self.file.as_os_str().to_owned();
        undo.push(".undo");
        let Ok(records) = std::fs::read(&undo) else { return 0 };
        let records = parse(&records);
        let file = std::fs::OpenOptions::new().write(true).open(&self.file);
        let file = file.expect("the store's file is there");
        let style = dice.roll() % 3;
        for (offset, len, before) in records.iter().rev() {
            let stays = match style {
                0 => false,
                _ => dice.roll().is_multiple_of(2),
            };
            match (*offset, stays) {
                // A file that had grown has its old length, or is longer than it was.
                (LENGTH, false) => file.set_len(*len).expect("it can be cut"),
                (_, true) => {}
                (offset, false) => {
                    let torn = if style == 2 { before.len() / 512 / 2 * 512 } else { before.len() };
                    file.write_all_at(&before[..torn], offset).expect("it can be written");
                }
            }
        }
        std::fs::remove_file(&undo).expect("it is there");
        records.len()
    }
}

/// Compiles a library of this folder of tests; needs a C compiler, as building Starling does.
pub(crate) fn compiled(name: &str, folder: &Path) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/chaos/{name}.c"));
    let library = folder.join(format!("{name}.so"));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(command.status().expect("there is a C compiler").success());
    library.to_str().expect("a plain path").to_owned()
}

/// The environment of a server that a library is preloaded into, which is told of a file.
pub(crate) fn preloaded(library: &str, variable: &str, file: &Path) -> Vec<(String, String)> {
    let file = file.to_str().expect("a plain path").to_owned();
    vec![("LD_PRELOAD".to_owned(), library.to_owned()), (variable.to_owned(), file)]
}

/// Offset, bytes written or length before, and what was there.
fn parse(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut records = Vec::new();
    let number = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("eight bytes"))
    };
    while bytes.len() >= 24 {
        let (offset, len, had) = (number(bytes, 0), number(bytes, 1), number(bytes, 2));
        let Some(before) = bytes[24..].get(..had as usize) else { break };
        records.push((offset, len, before));
        bytes = &bytes[24 + had as usize..];
    }
    records
}
