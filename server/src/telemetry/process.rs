//! What the operating system knows of this process. Linux only; elsewhere nothing is shown.

use std::fs;

/// Kernel clock ticks per second as user space sees them: 100 on every Linux platform.
const TICKS_PER_S: f64 = 100.0;

/// One look at the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// CPU time of all threads, user and system.
    pub(super) cpu_seconds: f64,
    /// Memory in RAM.
    pub(super) resident_bytes: u64,
    /// Address space.
    pub(super) virtual_bytes: u64,
    /// Threads.
    pub(super) threads: u64,
    /// Open file descriptors.
    pub(super) open_fds: u64,
    /// Most that it may open.
    pub(super) max_fds: u64,
    /// Unix time of its start.
    pub(super) start_seconds: f64,
}

impl Process {
    /// Reads `/proc`; `None` where there is none.
    pub(super) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name in parentheses may hold anything; fields are counted after it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
        let (user, system) = (number(11)?, number(12)?);
        let boot = line(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        Some(Self {
            cpu_seconds: (user + system) as f64 / TICKS_PER_S,
            resident_bytes: line(&status, "VmRSS:")? * 1024,
            virtual_bytes: number(20)?,
            threads: number(17)?,
            open_fds: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
            max_fds: max_fds().unwrap_or(0),
            start_seconds: boot as f64 + number(19)? as f64 / TICKS_PER_S,
        })
    }
}

/// The number after a label at the start of a line.
fn line(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(label))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn max_fds() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_threads_memory_and_files() {
        let process = Process::read().expect("Linux has /proc");
        assert!(process.threads >= 1 && process.open_fds >= 3);
        assert!(process.resident_bytes > 100_000);
        assert!(process.resident_bytes <= process.virtual_bytes);
        assert!(process.start_seconds > 1.5e9);
    }
}
