//! What this machine does to latency: one finding for each thing that is known to matter, with what it buys and how to
//! change it. Reads only; changes nothing.

use std::fs;
use std::path::Path;

use super::thread;

/// Whether a finding is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingState {
    /// As it should be.
    Good,
    /// It costs latency, or something will be refused; see the advice.
    Warn,
    /// This machine does not tell.
    Unknown,
}

/// One thing about this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub state: FindingState,
    /// What was found.
    pub found: String,
    /// What it buys, and how to get it.
    pub advice: &'static str,
}

/// Looks at everything. Takes some milliseconds.
pub fn inspect() -> Vec<Finding> {
    inspect_under(Path::new("/"))
}

/// As [`inspect`], with the files of the system looked for below `root`.
fn inspect_under(root: &Path) -> Vec<Finding> {
    let machine = Machine { root };
    vec![
        machine.kernel(),
        machine.virtualisation(),
        machine.clock_source(),
        machine.clock_sync(),
        machine.isolated_cores(),
        machine.tickless_cores(),
        machine.hyper_threads(),
        machine.governor(),
        machine.idle_states(),
        machine.huge_pages(),
        machine.busy_poll(),
        machine.interrupt_balancing(),
        machine.coalescing(),
        limit(
            "open files",
            libc::RLIMIT_NOFILE,
            4_096,
            "each connection needs one; raise `ulimit -n` (LimitNOFILE= in systemd)",
        ),
        limit(
            "locked memory",
            libc::RLIMIT_MEMLOCK,
            1 << 30,
            "allows mlockall, after which no page fault waits for a disk; raise `ulimit -l` (LimitMEMLOCK= in systemd)",
        ),
        limit(
            "real-time priority",
            libc::RLIMIT_RTPRIO,
            1,
            "allows SCHED_FIFO, so that nothing ordinary interrupts the hot thread; raise `ulimit -r` (LimitRTPRIO= in systemd)",
        ),
    ]
}

struct Machine<'a> {
    root: &'a Path,
}

impl Machine<'_> {
    fn read(&self, path: &str) -> Option<String> {
        let text = fs::read(self.root.join(path)).ok()?;
        Some(String::from_utf8_lossy(&text).trim_matches(['\n', ' ', '\0']).to_owned())
    }

    fn list(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join(path)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn kernel(&self) -> Finding {
        const ADVICE: &str = "Linux 5.11 and later can prefer busy polling over interrupts; update the kernel";
        let Some(release) = self.read("proc/sys/kernel/osrelease") else { return unknown("kernel", ADVICE) };
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0_u32));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        judge("kernel", version >= (5, 11), release, ADVICE)
    }

    fn virtualisation(&self) -> Finding {
        const ADVICE: &str =
            "a hypervisor adds jitter of its own and makes waking up slow; for the last microseconds use bare metal";
        let Some(info) = self.read("proc/cpuinfo") else { return unknown("virtualisation", ADVICE) };
        let guest =
            info.lines().any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "hypervisor"));
        judge("virtualisation", !guest, if guest { "guest of a hypervisor" } else { "bare metal" }.to_owned(), ADVICE)
    }

    fn clock_source(&self) -> Finding {
        const ADVICE: &str =
            "with tsc a time stamp costs 10 ns instead of 25 ns to 1 µs; boot with clocksource=tsc tsc=reliable";
        match self.read("sys/devices/system/clocksource/clocksource0/current_clocksource") {
            Some(source) => judge("clock source", source == "tsc", source, ADVICE),
            None => unknown("clock source", ADVICE),
        }
    }

    fn clock_sync(&self) -> Finding {
        const ADVICE: &str =
            "venues refuse signed requests from a wrong clock, and latencies from the venue mean nothing; run chrony";
        // SAFETY: all-zero bytes are a valid `timex`; with no mode bits the call only reads.
        let (state, status, error_us) = unsafe {
            let mut time: libc::timex = std::mem::zeroed();
            (libc::adjtimex(&raw mut time), time.status, time.maxerror)
        };
        if state < 0 {
            return unknown("clock synchronisation", ADVICE);
        }
        let synchronised = status & libc::STA_UNSYNC == 0;
        let found = if synchronised { format!("within {error_us} µs") } else { "not synchronised".to_owned() };
        judge("clock synchronisation", synchronised && error_us < 100_000, found, ADVICE)
    }

    fn isolated_cores(&self) -> Finding {
        const ADVICE: &str = "a core of its own keeps other work away from the hot thread; boot with isolcpus=N and pin the thread there";
        let isolated = self.read("sys/devices/system/cpu/isolated").unwrap_or_default();
        let allowed = thread::cores().len();
        let found = if isolated.is_empty() {
            format!("none; {allowed} cores are allowed to this process")
        } else {
            format!("cores {isolated}; {allowed} cores are allowed to this process")
        };
        judge("isolated cores", !isolated.is_empty(), found, ADVICE)
    }

    fn tickless_cores(&self) -> Finding {
        const ADVICE: &str = "without the timer tick a spinning thread is not interrupted 100 to 1000 times a second; boot with nohz_full=N rcu_nocbs=N";
        let cores = self.read("sys/devices/system/cpu/nohz_full").unwrap_or_default();
        let some = cores.chars().any(|c| c.is_ascii_digit());
        judge("tickless cores", some, if some { format!("cores {cores}") } else { "none".to_owned() }, ADVICE)
    }

    fn hyper_threads(&self) -> Finding {
        const ADVICE: &str = "two threads of one core share its caches and units; leave the sibling of the hot core idle, or boot with nosmt";
        match self.read("sys/devices/system/cpu/smt/active").as_deref() {
            Some("0") => judge("hyper-threads", true, "off, or none".to_owned(), ADVICE),
            Some("1") => judge("hyper-threads", false, "on".to_owned(), ADVICE),
            _ => unknown("hyper-threads", ADVICE),
        }
    }

    fn governor(&self) -> Finding {
        const ADVICE: &str = "a core that has slowed down takes up to milliseconds to speed up; set the governor `performance` (cpupower frequency-set)";
        match self.read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") {
            Some(governor) => judge("frequency governor", governor == "performance", governor, ADVICE),
            None => unknown("frequency governor", ADVICE),
        }
    }

    fn idle_states(&self) -> Finding {
        const ADVICE: &str = "waking from a deep sleep state takes 10 to 100 µs; a spinning thread avoids it, otherwise hold /dev/cpu_dma_latency at 0 or boot with processor.max_cstate=1 idle=poll";
        let driver = self.read("sys/devices/system/cpu/cpuidle/current_driver");
        let states = self.list("sys/devices/system/cpu/cpu0/cpuidle");
        let deepest = states
            .iter()
            .filter_map(|state| {
                let base = format!("sys/devices/system/cpu/cpu0/cpuidle/{state}");
                if self.read(&format!("{base}/disable")).is_some_and(|flag| flag != "0") {
                    return None;
                }
                let latency: u64 = self.read(&format!("{base}/latency"))?.parse().ok()?;
                Some((latency, self.read(&format!("{base}/name")).unwrap_or_default()))
            })
            .max();
        match (driver, deepest) {
            (_, Some((latency, name))) => {
                judge("idle states", latency <= 2, format!("deepest {name}, {latency} µs to wake"), ADVICE)
            }
            (Some(driver), None) if driver == "none" => judge(
                "idle states",
                false,
                "no driver: an idle core is halted, and waking it costs what the hypervisor takes".to_owned(),
                ADVICE,
            ),
            _ => unknown("idle states", ADVICE),
        }
    }

    fn huge_pages(&self) -> Finding {
        const ADVICE: &str = "joining pages in the background stalls the process now and then; write `madvise` to /sys/kernel/mm/transparent_hugepage/enabled";
        match self.read("sys/kernel/mm/transparent_hugepage/enabled") {
            Some(modes) => {
                let chosen = modes.split(['[', ']']).nth(1).unwrap_or(&modes).to_owned();
                judge("transparent huge pages", chosen != "always", chosen, ADVICE)
            }
            None => unknown("transparent huge pages", ADVICE),
        }
    }

    fn busy_poll(&self) -> Finding {
        const ADVICE: &str = "with a real network card the kernel then fetches packets in the read itself, some µs sooner; sysctl net.core.busy_poll=50 net.core.busy_read=50";
        let read = |name: &str| self.read(&format!("proc/sys/net/core/{name}"));
        match (read("busy_poll"), read("busy_read")) {
            (Some(poll), Some(read)) => {
                judge("busy polling", poll != "0" && read != "0", format!("busy_poll {poll}, busy_read {read}"), ADVICE)
            }
            _ => unknown("busy polling", ADVICE),
        }
    }

    fn interrupt_balancing(&self) -> Finding {
        const ADVICE: &str = "irqbalance may move the network card's interrupts onto the hot core; stop it, or ban the core with IRQBALANCE_BANNED_CPULIST";
        let processes = self.list("proc");
        if !processes.iter().any(|name| name.bytes().all(|b| b.is_ascii_digit())) {
            return unknown("irqbalance", ADVICE);
        }
        let running = processes
            .iter()
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
            .any(|pid| self.read(&format!("proc/{pid}/comm")).is_some_and(|name| name == "irqbalance"));
        judge("irqbalance", !running, if running { "running" } else { "not running" }.to_owned(), ADVICE)
    }

    fn coalescing(&self) -> Finding {
        const ADVICE: &str = "waiting to merge interrupts delays packets by up to the shown time; ethtool -C DEVICE adaptive-rx off rx-usecs 0";
        let mut found = Vec::new();
        let mut slow = false;
        for device in self.list("sys/class/net") {
            // Only devices with hardware, or what the hypervisor says is hardware, behind them.
            if !self.root.join(format!("sys/class/net/{device}/device")).exists() {
                continue;
            }
            match super::socket::coalescing(&device) {
                Ok(coalescing) => {
                    slow |= coalescing.adaptive || coalescing.rx_us > 0;
                    let adaptive = if coalescing.adaptive { ", adaptive" } else { "" };
                    found.push(format!("{device} {} µs{adaptive}", coalescing.rx_us));
                }
                Err(error) => found.push(format!("{device} does not tell ({})", error.kind())),
            }
        }
        if found.is_empty() || found.iter().all(|text| text.contains("does not tell")) {
            let mut finding = unknown("interrupt coalescing", ADVICE);
            if !found.is_empty() {
                finding.found = found.join(", ");
            }
            return finding;
        }
        judge("interrupt coalescing", !slow, found.join(", "), ADVICE)
    }
}

fn judge(name: &'static str, good: bool, found: String, advice: &'static str) -> Finding {
    let state = if good { FindingState::Good } else { FindingState::Warn };
    Finding { name, state, found, advice }
}

fn unknown(name: &'static str, advice: &'static str) -> Finding {
    Finding { name, state: FindingState::Unknown, found: "this machine does not tell".to_owned(), advice }
}

fn limit(name: &'static str, which: libc::__rlimit_resource_t, wanted: u64, advice: &'static str) -> Finding {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit` to the pointer.
    if unsafe { libc::getrlimit(which, &raw mut limit) } != 0 {
        return unknown(name, advice);
    }
    let text = |value: u64| if value == libc::RLIM_INFINITY { "unlimited".to_owned() } else { value.to_string() };
    // SAFETY: takes nothing and returns a number.
    let root = unsafe { libc::geteuid() } == 0;
    let privileged = root && which != libc::RLIMIT_NOFILE;
    let found = format!(
        "{} (may be raised to {}){}",
        text(limit.rlim_cur),
        text(limit.rlim_max),
        if privileged { "; running as root, which may go beyond" } else { "" }
    );
    judge(name, limit.rlim_cur >= wanted || privileged, found, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that looks like a file system root.
    struct Fake {
        root: std::path::PathBuf,
    }

    impl Fake {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("wirebook-doctor-{}-{name}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            fs::create_dir_all(&root).unwrap();
            Self { root }
        }

        fn finding(&self, name: &str) -> Finding {
            inspect_under(&self.root).into_iter().find(|finding| finding.name == name).unwrap()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    #[test]
    fn a_tuned_machine_is_good() {
        let machine = Fake::new(
            "tuned",
            &[
                ("proc/sys/kernel/osrelease", "6.1.0-13-amd64\n"),
                ("proc/cpuinfo", "flags\t\t: fpu vme sse2\n"),
                ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
                ("sys/devices/system/cpu/isolated", "2-3\n"),
                ("sys/devices/system/cpu/nohz_full", "2-3\n"),
                ("sys/devices/system/cpu/smt/active", "0\n"),
                ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state0/latency", "0\n"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state0/name", "POLL\n"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "2\n"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state1/name", "C1\n"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state2/latency", "133\n"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state2/disable", "1\n"),
                ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
                ("proc/sys/net/core/busy_poll", "50\n"),
                ("proc/sys/net/core/busy_read", "50\n"),
                ("proc/1/comm", "systemd\n"),
            ],
        );
        for name in [
            "kernel",
            "virtualisation",
            "clock source",
            "isolated cores",
            "tickless cores",
            "hyper-threads",
            "frequency governor",
            "idle states",
            "transparent huge pages",
            "busy polling",
            "irqbalance",
        ] {
            assert_eq!(machine.finding(name).state, FindingState::Good, "{name}");
        }
        assert_eq!(machine.finding("idle states").found, "deepest C1, 2 µs to wake");
        assert_eq!(machine.finding("transparent huge pages").found, "madvise");
    }

    #[test]
    fn an_untuned_machine_is_told() {
        let machine = Fake::new(
            "untuned",
            &[
                ("proc/sys/kernel/osrelease", "4.18.0\n"),
                ("proc/cpuinfo", "flags\t\t: fpu hypervisor\n"),
                ("sys/devices/system/clocksource/clocksource0/current_clocksource", "kvm-clock\n"),
                ("sys/devices/system/cpu/isolated", "\n"),
                ("sys/devices/system/cpu/nohz_full", "(null)\n"),
                ("sys/devices/system/cpu/smt/active", "1\n"),
                ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state2/latency", "133\n"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state2/name", "C6\n"),
                ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
                ("proc/sys/net/core/busy_poll", "0\n"),
                ("proc/sys/net/core/busy_read", "0\n"),
                ("proc/17/comm", "irqbalance\n"),
            ],
        );
        for name in [
            "kernel",
            "virtualisation",
            "clock source",
            "isolated cores",
            "tickless cores",
            "hyper-threads",
            "frequency governor",
            "idle states",
            "transparent huge pages",
            "busy polling",
            "irqbalance",
        ] {
            assert_eq!(machine.finding(name).state, FindingState::Warn, "{name}");
        }
    }

    #[test]
    fn a_machine_that_tells_nothing_is_unknown_not_good() {
        let machine = Fake::new("silent", &[]);
        for name in ["kernel", "clock source", "frequency governor", "idle states", "busy polling", "irqbalance"] {
            assert_eq!(machine.finding(name).state, FindingState::Unknown, "{name}");
        }
    }

    #[test]
    fn this_machine_is_inspected_with_advice_for_everything() {
        for finding in inspect() {
            assert!(!finding.found.is_empty() && !finding.advice.is_empty(), "{finding:?}");
            println!("{:?}  {}: {}", finding.state, finding.name, finding.found);
        }
    }
}
