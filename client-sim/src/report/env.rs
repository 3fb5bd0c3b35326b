//! Where a run took place.

use serde::Serialize;
use std::fmt::Debug;

/// The machine and the program of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Env {
    /// Commit that the program was built from, if known.
    pub commit: Option<String>,
    /// Model of the processor.
    pub cpu: Option<String>,
    /// Processor cores that the program may use.
    pub cores: usize,
    /// Version of the operating system's kernel.
    pub kernel: Option<String>,
    /// Equal for runs with equal options.
    pub config_hash: String,
}

impl Env {
    /// Looks round. `options` is what the run was asked for.
    #[must_use]
    pub fn here(commit: Option<String>, options: &impl Debug) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        Self {
            commit,
            cpu: read("/proc/cpuinfo").and_then(|text| cpu_model(&text)),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            config_hash: format!("{:016x}", fnv1a(format!("{options:?}").as_bytes())),
        }
    }
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_options_have_equal_hashes_and_others_do_not() {
        let hash = |options: &str| Env::here(None, &options).config_hash;
        assert_eq!(hash("a"), hash("a"));
        assert_ne!(hash("a"), hash("b"));
    }

    #[test]
    fn the_processor_is_named() {
        let text = "processor\t: 0\nmodel name\t: Made Up 9000\ncache : 1\n";
        assert_eq!(cpu_model(text).as_deref(), Some("Made Up 9000"));
    }
}
