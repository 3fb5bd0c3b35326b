//! Small files that are there whole or not at all.

use super::DataError;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Makes a folder for its owner alone, with those above it.
pub(super) fn make_folder(path: &Path) -> Result<(), DataError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(path_error("make", path))
}

/// What a file holds, which nobody else may read; `None` where there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, DataError> {
    match fs::read_to_string(path) {
        Ok(text) => check_private(path).map(|()| Some(text)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(path_error("read", path)(why)),
    }
}

/// Writes a file anew, for its owner alone: after a crash there is the old one or the new.
pub(super) fn write(path: &Path, text: &str) -> Result<(), DataError> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&fresh).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(path_error("write", &fresh))?;
    fs::rename(&fresh, path).map_err(path_error("write", path))?;
    sync_folder_of(path)
}

pub(super) fn path_error(deed: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataError {
    let path = path.to_owned();
    move |why| DataError::Io { deed, path, why }
}

/// A new name is safe once its folder is.
fn sync_folder_of(path: &Path) -> Result<(), DataError> {
    if !cfg!(unix) {
        return Ok(()); // other systems do not open folders
    }
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|file| file.sync_all()).map_err(path_error("sync", folder))
}

#[cfg(unix)]
fn check_private(path: &Path) -> Result<(), DataError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_err(path_error("read", path))?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(DataError::Open(path.into())) }
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> Result<(), DataError> {
    Ok(())
}
