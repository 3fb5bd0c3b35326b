//! A shell that runs the program: arguments in, lines and an exit code out, a deadline on all.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything here may take, however loaded the machine is.
const PATIENCE: Duration = Duration::from_secs(120);
/// Lines that wait to be read; the program waits with the next one.
const LINES_WAITING: usize = 4_096;

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end.
pub(crate) fn starling(args: &[&str]) -> Ended {
    Program::start(args).end()
}

impl Ended {
    /// It went well; gives what it printed.
    pub(crate) fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// It ended with this code and said all of this on standard error.
    pub(crate) fn complains(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not said: {self:?}");
        }
    }
}

/// A program that runs; killed when dropped.
pub(crate) struct Program {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Program {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("STARLING_")) {
            command.env_remove(name);
        }
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program was built");
        let out = lines(child.stdout.take().expect("it is piped"));
        let err = lines(child.stderr.take().expect("it is piped"));
        Self { child, out, err }
    }

    /// Reads what it prints up to the first line that holds this; gives all of it.
    pub(crate) fn until(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut said = String::new();
        while !said.contains(words) {
            match self.out.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => said.push_str(&line),
                Err(error) => panic!("`{words}` is not said ({error}): {said}\n{}", self.errors()),
            }
        }
        said
    }

    /// Asks it to stop, as a supervisor does.
    pub(crate) fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status();
        assert!(killed.expect("there is a shell").success());
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let out = rest(&self.out, deadline);
        let err = rest(&self.err, deadline);
        let (Some(out), Some(err)) = (out, err) else { panic!("it does not end") };
        let code = self.child.wait().expect("it is our child").code();
        Ended { code, out, err }
    }

    fn errors(&self) -> String {
        rest(&self.err, Instant::now() + Duration::from_secs(1)).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be gone already, which is as well.
        let _gone = self.child.kill();
        let _code = self.child.wait();
    }
}

/// The lines of a pipe as they come.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(LINES_WAITING);
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = String::new();
        while pipe.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Everything up to the end of a pipe; `None` when that does not come.
fn rest(lines: &Receiver<String>, deadline: Instant) -> Option<String> {
    let mut all = String::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => all.push_str(&line),
            Err(RecvTimeoutError::Disconnected) => return Some(all),
            Err(RecvTimeoutError::Timeout) => return None,
        }
    }
}

/// `starling serve` on free ports.
pub(crate) struct Serving {
    pub(crate) program: Program,
    /// What it printed when it was up.
    pub(crate) greeting: String,
    pub(crate) address: String,
    pub(crate) fingerprint: String,
    pub(crate) metrics: String,
}

/// Runs a server until the test drops it.
pub(crate) fn serve(args: &[&str]) -> Serving {
    serve_at("127.0.0.1:0", args)
}

/// Runs a server at this address until the test drops it.
pub(crate) fn serve_at(address: &str, args: &[&str]) -> Serving {
    let free = ["serve", "--listen", address, "--http", "127.0.0.1:0", "--log", "warn"];
    let mut program = Program::start(&[&free, args].concat());
    let greeting = program.until("stop with Ctrl-C");
    let after = |words: &str| {
        let rest = greeting.split_once(words).map(|(_, rest)| rest);
        let word = rest.and_then(|rest| rest.split_whitespace().next());
        word.unwrap_or_else(|| panic!("no `{words}` in {greeting}")).to_owned()
    };
    let (address, fingerprint) = (after(" udp "), after(" sha256 "));
    let metrics = after("health and metrics ");
    Serving { program, greeting, address, fingerprint, metrics }
}

/// A folder of this test's own, gone when dropped.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }

    /// The path of a file in it, as an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a plain path").to_owned()
    }

    /// A file in it, with this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    }

    /// What the program wrote there.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("it was written")
    }
}

/// Only its owner can read the file.
#[cfg(unix)]
pub(crate) fn is_secret(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let of = std::fs::metadata(Path::new(path)).expect("it is there");
    of.permissions().mode().trailing_zeros() >= 6
}

#[cfg(not(unix))]
pub(crate) fn is_secret(path: &str) -> bool {
    Path::new(path).exists()
}
