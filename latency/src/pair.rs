//! One pair: a sender and a receiver as processes of their own, started, watched and ended here.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::contender::Waiting;
use crate::contenders::Entry;
use crate::load::Load;
use crate::receive::Received;
use crate::send::Sent;
use crate::shared::{Shared, Word};

/// How a pair is to run.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) load: Load,
    /// Messages that count.
    pub(crate) messages: usize,
    pub(crate) waiting: Waiting,
    pub(crate) seed: u64,
    /// Pins the receiver to the first core and the sender to the second.
    pub(crate) pin: bool,
    /// Both sides run under SCHED_FIFO while it counts.
    pub(crate) fifo: bool,
    /// Goes before the receiver's command line: `strace ..`, `valgrind ..`.
    pub(crate) wrapper: Vec<String>,
    /// The receiver may take so much longer to come up.
    pub(crate) patience: u32,
}

/// What a pair brought.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: Sent,
    pub(crate) received: Received,
    /// Of each message that counts.
    pub(crate) latencies_ns: Vec<u64>,
}

/// Setup, warm-up and the end of a pair, beside its messages.
const PAIR_MAX: Duration = Duration::from_secs(60);

/// A directory in memory, which is gone when this is.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new directory; in `/dev/shm`, where there is one, because the shared file must never reach a disk.
    pub(crate) fn new(name: &str) -> Result<Scratch, String> {
        let base = Path::new("/dev/shm");
        let base = if base.is_dir() { base.to_owned() } else { std::env::temp_dir() };
        let path = base.join(format!("wirebook-latency-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Scratch(path))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in memory is small, and its name says whose it is.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that does not outlive this.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> Result<Process, String> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map(Process).map_err(|error| format!("{}: {error}", command.get_program().display()))
    }

    /// Waits for its end; `None` if that does not come.
    fn wait(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a pair. What either side finds wrong is an error.
pub(crate) fn run(binary: &Path, entry: &Entry, setting: &Setting, scratch: &Scratch) -> Result<Outcome, String> {
    let (map, ca, latencies) = (scratch.path("shared"), scratch.path("ca.pem"), scratch.path("latencies"));
    let (sent, received) = (scratch.path("sent.json"), scratch.path("received.json"));
    for file in [&sent, &received, &latencies] {
        let _ = std::fs::remove_file(file);
    }
    let load = setting.load;
    let shared = Shared::create(&map, load.warm_max() + setting.messages, load.streams as usize)
        .map_err(|error| format!("{}: {error}", map.display()))?;
    let common = |command: &mut Command, core: usize, out: &Path| {
        command.args(["--load", &load.to_string(), "--messages", &setting.messages.to_string()]);
        command.arg("--shared").arg(&map).arg("--ca").arg(&ca).arg("--out").arg(out);
        if setting.pin {
            command.args(["--core", &core.to_string()]);
        }
        if setting.fifo {
            command.arg("--fifo");
        }
    };
    let deadline = Instant::now() + PAIR_MAX * setting.patience.max(1);
    let mut command = Command::new(binary);
    command.args(["send", "--seed", &setting.seed.to_string()]);
    common(&mut command, 1, &sent);
    let mut sender = Process::start(command)?;
    while shared.word(Word::Port) == 0 {
        if Instant::now() > deadline || matches!(sender.0.try_wait(), Ok(Some(_))) {
            return Err(format!("the sender did not start: {}", last_words(&mut sender)));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let mut command = match setting.wrapper.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(binary);
            command
        }
        None => Command::new(binary),
    };
    command.args(["receive", entry.name, "--latencies"]).arg(&latencies);
    command.args(["--waiting", if setting.waiting == Waiting::Spin { "spin" } else { "sleep" }]);
    common(&mut command, 0, &received);
    let mut receiver = Process::start(command)?;
    let received_status = receiver.wait(deadline);
    // A receiver that failed does not tell the sender.
    shared.set(Word::Done, 1);
    let sent_status = sender.wait(Instant::now() + Duration::from_secs(12));
    for (name, status, process) in [("receiver", received_status, &mut receiver), ("sender", sent_status, &mut sender)]
    {
        match status {
            Some(status) if status.success() => {}
            // Said of the sender, it says less than what the receiver has to say.
            Some(status) => return Err(format!("the {name} failed ({status}): {}", last_words(process))),
            None => return Err(format!("the {name} did not come to an end and was ended")),
        }
    }
    let latencies_ns = std::fs::read(&latencies).map_err(|error| format!("{}: {error}", latencies.display()))?;
    let latencies_ns = latencies_ns.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let received: Received = read_json(&received)?;
    if !received.wrong.is_empty() {
        return Err(received.wrong.join("; "));
    }
    Ok(Outcome { sent: read_json(&sent)?, received, latencies_ns })
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// What a process that has ended said last.
fn last_words(process: &mut Process) -> String {
    use std::io::Read;
    let _ = process.0.kill();
    let mut text = String::new();
    if let Some(mut stderr) = process.0.stderr.take() {
        let _ = stderr.read_to_string(&mut text);
    }
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" / ")
}
