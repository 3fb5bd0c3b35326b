//! The files of the workspace, read from disk in a fixed order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A text file of the workspace.
#[derive(Clone, Debug)]
pub struct File {
    /// Path relative to the workspace, with `/` between its parts.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl File {
    /// A file that exists only in a test.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

/// The directory that holds the workspace's manifest.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests package lies inside the workspace").to_path_buf()
}

/// Every text file of ours below `root`, sorted by path.
///
/// # Errors
/// When a directory cannot be listed.
pub fn files(root: &Path) -> io::Result<Vec<File>> {
    let mut paths = Vec::new();
    collect(root, &mut paths)?;
    paths.sort();
    Ok(paths.iter().filter_map(|path| read(root, path)).collect())
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.is_dir() {
            true if is_ours(&path) => collect(&path, into)?,
            true => {}
            false => into.push(path),
        }
    }
    Ok(())
}

/// Build output, fuzz inputs and the hidden directories of tools are not ours.
fn is_ours(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let hidden = name.starts_with('.') && name != ".ci";
    !hidden && !["target", "artifacts", "corpus"].contains(&&*name)
}

/// Binary files, such as traces and fuzz inputs, are none of the rules' business.
fn read(root: &Path, path: &Path) -> Option<File> {
    let text = String::from_utf8(fs::read(path).ok()?).ok()?;
    let parts: Vec<_> =
        path.strip_prefix(root).ok()?.iter().map(|part| part.to_string_lossy()).collect();
    Some(File { path: parts.join("/"), text })
}
