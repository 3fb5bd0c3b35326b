//! What is written to the terminal and to new files.

use crate::exit::Exit;
use anyhow::{Context, Result, bail};
use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::Path;

/// One line on standard output. A reader that went away ends the program quietly.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        leave(Exit::Done);
    }
}

/// Ends the program at once, where there is nobody left to return to.
#[expect(clippy::disallowed_methods, reason = "the command line is where a process may end")]
pub(crate) fn leave(exit: Exit) -> ! {
    std::process::exit(exit as i32)
}

/// What went wrong and why, each cause once: some errors tell their cause in their own words.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |mut said, cause| {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
        said
    })
}

/// What went wrong, on standard error.
pub(crate) fn complain(words: &str) {
    // Where even that cannot be written, the exit code still tells.
    drop(writeln!(std::io::stderr().lock(), "error: {words}"));
}

/// A line that replaces itself where there is a terminal, and is left out where there is none.
pub(crate) fn status(line: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        // A terminal that cannot take a status line loses nothing that matters.
        drop(write!(err, "\r\x1b[2K{line}").and_then(|()| err.flush()));
    }
}

/// Removes the status line.
pub(crate) fn clear_status() {
    status("");
}

/// Writes a file that must not exist yet; a secret can be read by its owner only.
pub(crate) fn write_new(path: &Path, text: &str, secret: bool) -> Result<()> {
    if path.exists() {
        bail!("{} exists already; name another folder with --out", path.display());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("could not make the folder {}", folder.display()))?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if secret { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = secret;
    let mut file =
        options.open(path).with_context(|| format!("could not write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let taken = anyhow!("port 1 is taken").context("server.listen: port 1 is taken");
        assert_eq!(with_causes(&taken), "server.listen: port 1 is taken");
        let wrapped = taken.context("could not start");
        assert_eq!(with_causes(&wrapped), "could not start: server.listen: port 1 is taken");
    }
}
