//! A server in a process of its own, and what that process uses.

use super::Arm;
use anyhow::{Context, Result};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where it serves.
    pub server: SocketAddr,
    /// Where what it uses can be read: one meter for all, outside of what is measured.
    pub metrics: SocketAddr,
    /// Where its own metrics are, if it has any.
    pub own: Option<SocketAddr>,
}

impl Process {
    /// Starts this very program again, as the server of an arm with these settings, on one
    /// processor only if one is named.
    ///
    /// # Errors
    /// It does not start, or says nothing.
    pub fn start_with(arm: Arm, settings: &[String], processor: Option<u32>) -> Result<Self> {
        let own = std::env::current_exe()?;
        let mut command = match processor {
            None => Command::new(own),
            Some(number) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &number.to_string()]).arg(own);
                command
            }
        };
        command.args(["serve", arm.name()]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        Self::run(command)
    }

    fn run(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("its output was piped")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let mut addresses = line.split_whitespace().map(str::parse);
        let server = addresses.next().and_then(Result::ok);
        let server = server.with_context(|| format!("it said `{line}`"))?;
        let own = addresses.next().and_then(Result::ok);
        let metrics = meter(child.id())?;
        Ok(Self { child, server, metrics, own })
    }

    /// Ends it in the middle of whatever it does.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends by itself when its input does; a server that drains is not waited for.
        drop(self.child.stdin.take());
        std::thread::sleep(Duration::from_millis(200));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves what a process uses, in the form in which the swarm reads metrics.
fn meter(process: u32) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let answer_all = move || {
        for stream in listener.incoming().flatten() {
            // Who asks and does not wait for the answer goes without.
            let _ = answer(stream, process);
        }
    };
    std::thread::Builder::new().name("meter".into()).spawn(answer_all)?;
    Ok(address)
}

fn answer(mut stream: TcpStream, process: u32) -> Result<()> {
    let mut request = [0; 1_024];
    let _ = stream.read(&mut request)?;
    let body = format!(
        "process_cpu_seconds_total {}\nprocess_resident_memory_bytes {}\n",
        cpu_seconds(process).context("the process is gone")?,
        resident_bytes(process).context("the process is gone")?,
    );
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}")?;
    Ok(())
}

/// Processor time of all threads of a process that live, user and system, to the nanosecond.
#[must_use]
pub fn cpu_seconds(process: u32) -> Option<f64> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let of_thread = |entry: std::io::Result<fs::DirEntry>| -> Option<u64> {
        let text = fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Some(threads.filter_map(of_thread).sum::<u64>() as f64 / 1e9)
}

/// Memory of a process that is in RAM.
#[must_use]
pub fn resident_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let own = std::process::id();
        let before = cpu_seconds(own).expect("Linux tells");
        let mut sum = 0_u64;
        while cpu_seconds(own).is_some_and(|now| now == before) {
            sum = sum.wrapping_mul(31).wrapping_add(7);
        }
        assert!(resident_bytes(own).is_some_and(|bytes| bytes > 1_000_000), "{sum}");
    }
}
