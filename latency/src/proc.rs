//! What `/proc` says of this process and this machine.

use std::fs;
use std::io::Read;

/// Priority of both sides under SCHED_FIFO: above everything ordinary, below the kernel's own.
pub(crate) const FIFO_PRIORITY: u8 = 40;

/// How long the calling thread was ready to run and had no core, so far; 0 where the kernel does not count it.
pub(crate) fn run_delay_ns() -> u64 {
    // Without any allocation, because those are being counted.
    let mut space = [0; 128];
    let read = fs::File::open("/proc/thread-self/schedstat").and_then(|mut file| file.read(&mut space));
    let text = str::from_utf8(&space[..read.unwrap_or(0)]).unwrap_or_default();
    text.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// What a record says of the machine.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    pub(crate) host: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    /// Of wirebook and of this harness.
    pub(crate) version: String,
}

/// Looks around.
pub(crate) fn machine() -> Machine {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpu = line("/proc/cpuinfo")
        .lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.trim_start_matches([' ', '\t', ':']).to_owned()));
    Machine {
        host: line("/proc/sys/kernel/hostname"),
        cpu: cpu.unwrap_or_else(|| "unknown".into()),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: line("/proc/sys/kernel/osrelease"),
        rustc: env!("WIREBOOK_LATENCY_RUSTC").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
