//! `starling serve` as a process that is treated badly.

use crate::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use starling_client::net::Server as Place;
use starling_client::tls::ServerTrust;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How often a process that is to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A server and what it was started with; killed when dropped.
pub(crate) struct Server {
    child: Child,
    how: How,
    address: SocketAddr,
}

/// What a server is started with.
#[derive(Clone, Debug, Default)]
struct How {
    args: Vec<String>,
    environment: Vec<(String, String)>,
    heard: Arc<Mutex<Heard>>,
}

/// What was heard of it, in all of its lives.
#[derive(Debug, Default)]
struct Heard {
    /// The end of what it said on standard error.
    said: String,
    /// Where the life that is tells its numbers.
    metrics: String,
}

/// Bytes of that end, at most.
const SAID_BYTES_MAX: usize = 64 * 1024;

impl Heard {
    fn hears(&mut self, line: &str) {
        if self.said.len() + line.len() > SAID_BYTES_MAX {
            self.said.clear();
        }
        self.said.push_str(line);
    }
}

impl Server {
    /// Starts one on a free port; every later life of it has the same.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_in(args, Vec::new())
    }

    /// The same in an environment of its own.
    pub(crate) fn start_in(args: &[&str], environment: Vec<(String, String)>) -> Self {
        Self::try_start(args, environment).unwrap_or_else(|said| panic!("{said}"))
    }

    /// A server, or what it said instead.
    pub(crate) fn try_start(
        args: &[&str],
        environment: Vec<(String, String)>,
    ) -> Result<Self, String> {
        let args = args.iter().map(ToString::to_string).collect();
        let how = How { args, environment, ..How::default() };
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, address) = launch(&how, free)?;
        Ok(Self { child, how, address })
    }

    /// Where it is; whoever comes through a relay passes that.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A place that clients dial, trusted without looking: this is our own machine.
    pub(crate) fn place(address: SocketAddr) -> Place {
        Place::new(address, ServerTrust::Insecure)
    }

    /// Ends it without a word, in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is our child");
    }

    /// Starts it again with what it had, at the same address.
    pub(crate) fn start_again(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match launch(&self.how, self.address) {
                Ok((child, _)) => return self.child = child,
                // The port or the lock of the one before is let go of a moment after its end.
                Err(said) => assert!(Instant::now() < deadline, "{said}"),
            }
        }
    }

    /// Starts it again, or tells what it said instead.
    pub(crate) fn try_start_again(&mut self) -> Result<(), String> {
        launch(&self.how, self.address).map(|(child, _)| self.child = child)
    }

    /// What it said on standard error, in all of its lives.
    pub(crate) fn said(&self) -> String {
        self.how.heard().said.clone()
    }

    /// One of its numbers, as `starling_name{label="value"}`; `None` while it cannot be asked.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.page()?.number(name)
    }

    /// All of its numbers as of one moment; `None` while it cannot be asked.
    pub(crate) fn page(&self) -> Option<Page> {
        let place = self.how.heard().metrics.clone();
        let (host, path) = place.strip_prefix("http://")?.split_once('/')?;
        let mut stream = TcpStream::connect(host).ok()?;
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).ok()?;
        Some(Page(page))
    }

    /// Stands still until it is continued.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Goes on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Is asked to leave, as a supervisor asks.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Its number in the system.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, once it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.has_ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }
}

/// A server's numbers.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        let mut lines = self.0.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }
}

impl How {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("nobody panics")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already, which is as well.
        let _gone = self.child.kill();
        let _code = self.child.wait();
    }
}

/// A process that serves at this address, or what it said instead.
fn launch(how: &How, at: SocketAddr) -> Result<(Child, SocketAddr), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("STARLING_")) {
        command.env_remove(name);
    }
    let at = at.to_string();
    command
        .args(["serve", "--listen", &at, "--http", "127.0.0.1:0", "--log", "warn"])
        .args(&how.args);
    command.envs(how.environment.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut err = child.stderr.take().expect("it is piped");
    let (mut greeting, mut line) = (String::new(), String::new());
    while !greeting.contains("stop with Ctrl-C") {
        line.clear();
        let read = out.read_line(&mut line).map_err(|error| error.to_string())?;
        greeting.push_str(&line);
        if read == 0 {
            let mut said = greeting;
            err.read_to_string(&mut said).map_err(|error| error.to_string())?;
            child.wait().map_err(|error| error.to_string())?;
            return Err(said);
        }
    }
    // What it says later is of no interest, but must not fill its pipes.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let (heard, mut err) = (Arc::clone(&how.heard), BufReader::new(err));
    std::thread::spawn(move || {
        let mut line = String::new();
        while err.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            heard.lock().expect("nobody panics").hears(&line);
            line.clear();
        }
    });
    let metrics = greeting.split_once("health and metrics ").map(|(_, rest)| rest);
    let metrics = metrics.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    metrics.clone_into(&mut how.heard().metrics);
    let words = greeting.split_once(" udp ").map(|(_, rest)| rest);
    let address = words.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok((child, address.unwrap_or_else(|| panic!("no address in {greeting}"))))
}
