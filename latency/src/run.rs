//! A whole run: rounds in which contenders take turns, and the passes that count instead of timing.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::contender::Waiting;
use crate::contenders::{self, Entry, REFERENCE};
use crate::load::{BURST, Load, Pace};
use crate::pair::{self, Outcome, Scratch, Setting};
use crate::proc::machine;
use crate::record::{ContenderInfo, Counted, GrowthRow, OrderRow, Raw, Record, Round, Row, now_utc};
use crate::stats::{Quantiles, histogram, median};

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Wire to book, all contenders in turn.
    Latency,
    /// Tick to trade of wirebook.
    Orders,
    /// The cost of a message as books and connections grow in number.
    Growth,
    /// Instructions and system calls per message.
    Counts,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) entries: Vec<&'static Entry>,
    pub(crate) loads: Vec<Load>,
    pub(crate) parts: Vec<Part>,
    pub(crate) rounds: usize,
    pub(crate) round_ms: u64,
    pub(crate) pin: bool,
    pub(crate) fifo: bool,
}

/// A pair in which one side waited longer for its core than this share of the time is run again, so often at most.
pub(crate) const DELAY_MAX: f64 = 0.01;
const ATTEMPTS_MAX: usize = 4;

/// Rounds of the growth table and of orders: they compare wirebook with itself.
const SIDE_ROUNDS_MAX: usize = 5;

/// Books on one socket, and sockets with one book each, of the growth table.
const GROWTH_BOOKS: [u32; 4] = [1, 10, 100, 1_000];
const GROWTH_SOCKETS: [u32; 3] = [1, 10, 100];

/// Messages a second, and how many, when counting. Slow enough that everybody sleeps between two messages, under the
/// counting tool, too. System calls are the difference of two runs; callgrind can be told where to begin.
const STRACE: (u32, [usize; 2]) = (500, [200, 1_200]);
const CALLGRIND: (u32, usize) = (300, 900);

/// Runs a plan; also when contenders failed, which [`Row::failure`] tells.
pub(crate) fn run(plan: &Plan, command: String) -> Result<(Record, Vec<Raw>), String> {
    let mut runner = Runner {
        plan,
        binary: std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?,
        scratch: Scratch::new("run")?,
        started: Instant::now(),
        record: Record {
            machine: machine(),
            date: now_utc(),
            command,
            rounds: plan.rounds,
            round_ms: plan.round_ms,
            pinned: plan.pin,
            real_time: plan.fifo,
            reference: REFERENCE.into(),
            ..Record::default()
        },
        raw: Vec::new(),
    };
    for entry in &plan.entries {
        runner.record.contenders.push(ContenderInfo {
            name: entry.name.into(),
            about: entry.about.into(),
            kind: entry.kind,
            sleeps: entry.waiting == Waiting::Sleep,
        });
    }
    for part in &plan.parts {
        match part {
            Part::Latency => plan.loads.iter().try_for_each(|load| runner.latency(*load))?,
            Part::Orders => runner.orders()?,
            Part::Growth => runner.growth()?,
            Part::Counts => runner.counts()?,
        }
    }
    let all = [Part::Latency, Part::Orders, Part::Growth, Part::Counts];
    for part in all.iter().filter(|part| !plan.parts.contains(part)) {
        runner.record.notes.push(format!("{part:?} was not part of this run").to_lowercase());
    }
    Ok((runner.record, runner.raw))
}

struct Runner<'a> {
    plan: &'a Plan,
    binary: PathBuf,
    scratch: Scratch,
    started: Instant,
    record: Record,
    raw: Vec<Raw>,
}

impl Runner<'_> {
    fn setting(&self, entry: &Entry, load: Load, round: usize) -> Setting {
        Setting {
            load,
            messages: load.messages_in(self.plan.round_ms),
            waiting: entry.waiting,
            seed: 1 + round as u64,
            pin: self.plan.pin,
            fifo: self.plan.fifo,
            wrapper: Vec::new(),
            patience: 1,
        }
    }

    /// Runs a pair until both sides had their cores.
    fn quiet_pair(&self, entry: &Entry, load: Load, round: usize) -> Result<(Outcome, usize), String> {
        let setting = self.setting(entry, load, round);
        // At ordinary priority there is nothing to hope for.
        let attempts_max = if setting.fifo { ATTEMPTS_MAX } else { 1 };
        let mut attempt = 1;
        loop {
            let outcome = pair::run(&self.binary, entry, &setting, &self.scratch)?;
            let (receiver, sender) = delays(&outcome);
            if receiver.max(sender) <= DELAY_MAX || attempt == attempts_max {
                return Ok((outcome, attempt));
            }
            attempt += 1;
        }
    }

    fn say(&self, text: &str) {
        eprintln!("{:6.1} s  {text}", self.started.elapsed().as_secs_f64());
    }

    fn latency(&mut self, load: Load) -> Result<(), String> {
        let name = load.to_string();
        let entries: Vec<_> =
            self.plan.entries.iter().filter(|entry| load.sockets == 1 || entry.many_sockets).copied().collect();
        let mut rows: Vec<Row> = entries
            .iter()
            .map(|entry| Row { load: name.clone(), contender: entry.name.into(), ..Row::default() })
            .collect();
        let mut raw = Raw { load: name.clone(), rounds: Vec::new() };
        for round in 0..self.plan.rounds {
            self.say(&format!("{name}, round {} of {}", round + 1, self.plan.rounds));
            for (entry, row) in entries.iter().zip(&mut rows) {
                if row.failure.is_some() {
                    continue;
                }
                let start = self.started.elapsed();
                match self.quiet_pair(entry, load, round) {
                    Ok((outcome, attempts)) => {
                        let (round, histogram) = round_of(load, &outcome, attempts)?;
                        row.rounds.push(round);
                        raw.rounds.push((entry.name.into(), start, self.started.elapsed() - start, histogram));
                    }
                    Err(error) => {
                        self.say(&format!("{}: {error}", entry.name));
                        row.failure = Some(error);
                    }
                }
            }
        }
        let reference = rows.iter().find(|row| row.contender == REFERENCE).map_or(Vec::new(), |row| row.rounds.clone());
        for row in &mut rows {
            sum_up(row, &reference, &raw)?;
        }
        self.record.rows.extend(rows);
        self.raw.push(raw);
        Ok(())
    }

    fn orders(&mut self) -> Result<(), String> {
        let entry = contenders::find("wirebook-order").ok_or("the list of contenders lacks the one with orders")?;
        for tls in [true, false] {
            let load = Load::new(tls, Pace::Rate(10_000));
            self.say(&format!("orders, {load}"));
            let mut times = Vec::new();
            for round in 0..self.plan.rounds.min(SIDE_ROUNDS_MAX) {
                match self.quiet_pair(entry, load, round) {
                    Ok((outcome, _)) => {
                        let taken = sample(&outcome, "tick-to-trade");
                        // Those before the first message that counts were sent with cold caches.
                        let from = taken.len().saturating_sub(outcome.latencies_ns.len() / 10);
                        times.extend_from_slice(&taken[from..]);
                    }
                    Err(error) => self.note_failure(&format!("orders, {load}: {error}")),
                }
            }
            let tick_to_trade = Quantiles::of(&histogram(times)?);
            self.record.orders.push(OrderRow { load: load.to_string(), tick_to_trade });
        }
        Ok(())
    }

    fn growth(&mut self) -> Result<(), String> {
        let entry = contenders::find("wirebook-poll-time").ok_or("the list of contenders lacks the one with times")?;
        let books = GROWTH_BOOKS.map(|books| (books, 1));
        let sockets = GROWTH_SOCKETS.map(|sockets| (sockets, sockets));
        let mut done = Vec::new();
        for (books, sockets) in books.into_iter().chain(sockets) {
            if done.contains(&(books, sockets)) {
                continue;
            }
            done.push((books, sockets));
            let load = Load { streams: books, sockets, small: true, ..Load::new(true, Pace::Rate(10_000)) };
            self.say(&format!("growth, {load}"));
            let (mut poll, mut latency) = (Vec::new(), Vec::new());
            for round in 0..self.plan.rounds.min(SIDE_ROUNDS_MAX) {
                match self.quiet_pair(entry, load, round) {
                    Ok((outcome, _)) => {
                        let times = sample(&outcome, "poll");
                        let from = times.len().saturating_sub(outcome.latencies_ns.len());
                        poll.extend(median(times[from..].iter().map(|ns| *ns as f64).collect()));
                        latency.push(Quantiles::of(&histogram(outcome.latencies_ns.iter().copied())?).p50_ns as f64);
                    }
                    Err(error) => self.note_failure(&format!("growth, {load}: {error}")),
                }
            }
            if let (Some(poll_ns), Some(wire_to_book_p50_ns)) = (median(poll), median(latency)) {
                let load = load.to_string();
                self.record.growth.push(GrowthRow { books, sockets, load, poll_ns, wire_to_book_p50_ns });
            }
        }
        Ok(())
    }

    fn counts(&mut self) -> Result<(), String> {
        let tools: Vec<(&str, bool)> =
            ["strace", "valgrind"].into_iter().map(|tool| (tool, is_installed(tool))).collect();
        for (tool, _) in tools.iter().filter(|(_, there)| !there) {
            let what = if *tool == "strace" { "system calls" } else { "instructions" };
            self.record.notes.push(format!("{what} were not counted: {tool} is not installed"));
        }
        for entry in self.plan.entries.iter().filter(|entry| entry.can_sleep) {
            self.say(&format!("counting, {}", entry.name));
            let mut counted = Counted { contender: entry.name.into(), ..Counted::default() };
            if tools[0].1 {
                match self.system_calls(entry) {
                    Ok(count) => counted.system_calls = Some(count),
                    Err(error) => self.note_failure(&format!("system calls, {}: {error}", entry.name)),
                }
            }
            if tools[1].1 {
                match self.instructions(entry) {
                    Ok(count) => counted.instructions = Some(count),
                    Err(error) => self.note_failure(&format!("instructions, {}: {error}", entry.name)),
                }
            }
            self.record.counted.push(counted);
        }
        Ok(())
    }

    /// The difference of a longer and a shorter run, per message; everything that happens once falls out of it.
    fn system_calls(&self, entry: &Entry) -> Result<f64, String> {
        let (per_s, messages) = STRACE;
        let file = self.scratch.path("strace");
        let wrapper = ["strace", "-f", "-c", "-o", &file.to_string_lossy()].map(str::to_owned).to_vec();
        let mut runs = [(0, 0); 2];
        for (run, messages) in runs.iter_mut().zip(messages) {
            let outcome = self.counting_pair(entry, per_s, messages, &wrapper)?;
            let calls = calls_of(&read(&file)?).ok_or("what strace wrote is not understood")?;
            *run = (calls, outcome.received.total as u64);
        }
        let [(short, fewer), (long, more)] = runs;
        match (long.checked_sub(short), more.checked_sub(fewer).filter(|more| *more > 0)) {
            (Some(count), Some(messages)) => Ok(count as f64 / messages as f64),
            _ => Err("the longer run counted less than the shorter".into()),
        }
    }

    /// From the moment at which every book was seen to the last message, per message.
    fn instructions(&self, entry: &Entry) -> Result<f64, String> {
        let (per_s, messages) = CALLGRIND;
        let file = self.scratch.path("callgrind");
        let out = format!("--callgrind-out-file={}", file.display());
        let marks = ["--zero-before=*counting_begins*", "--dump-before=*counting_ends*"];
        let wrapper = ["valgrind", "--quiet", "--tool=callgrind", &out, marks[0], marks[1]].map(str::to_owned);
        let outcome = self.counting_pair(entry, per_s, messages, &wrapper)?;
        // The first dump is the one at the mark; what comes after it is the end of the program.
        let count = totals_of(&read(&file.with_extension("1"))?).ok_or("what callgrind wrote is not understood")?;
        Ok(count as f64 / outcome.received.counted.max(1) as f64)
    }

    fn counting_pair(&self, entry: &Entry, per_s: u32, messages: usize, tool: &[String]) -> Result<Outcome, String> {
        let load = Load::new(true, Pace::Rate(per_s));
        let setting = Setting {
            messages,
            waiting: Waiting::Sleep,
            pin: false,
            fifo: false,
            wrapper: tool.to_vec(),
            patience: 3,
            ..self.setting(entry, load, 0)
        };
        pair::run(&self.binary, entry, &setting, &self.scratch)
    }

    fn note_failure(&mut self, text: &str) {
        self.say(text);
        self.record.notes.push(format!("failed: {text}"));
    }
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// The line `100.00    0.004321           2      1234        56 total`.
fn calls_of(text: &str) -> Option<u64> {
    text.lines().rev().find(|line| line.ends_with(" total"))?.split_ascii_whitespace().nth(3)?.parse().ok()
}

/// The line `totals: 123456789`.
fn totals_of(text: &str) -> Option<u64> {
    text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?.split_ascii_whitespace().next()?.parse().ok()
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(tool).is_file())
}

/// Which share of the time receiver and sender waited for their cores.
fn delays(outcome: &Outcome) -> (f64, f64) {
    let share = |delay_ns: u64, took_ns: u64| delay_ns as f64 / took_ns.max(1) as f64;
    let (received, sent) = (&outcome.received, &outcome.sent);
    (share(received.run_delay_ns, received.took_ns), share(sent.run_delay_ns, sent.took_ns))
}

fn sample<'a>(outcome: &'a Outcome, name: &str) -> &'a [u64] {
    outcome.received.samples.iter().find(|(known, _)| known == name).map_or(&[], |(_, values)| values)
}

fn round_of(load: Load, outcome: &Outcome, attempts: usize) -> Result<(Round, hdrhistogram::Histogram<u64>), String> {
    let all = histogram(outcome.latencies_ns.iter().copied())?;
    let last = outcome.latencies_ns.iter().copied().skip(BURST - 1).step_by(BURST);
    let last_of_burst = match load.pace {
        Pace::Burst => Some(Quantiles::of(&histogram(last)?)),
        Pace::Rate(_) => None,
    };
    let received = &outcome.received;
    let each = |count: u64| count as f64 / received.seen.max(1) as f64;
    let (receiver_delay, sender_delay) = delays(outcome);
    let round = Round {
        wire_to_book: Quantiles::of(&all),
        last_of_burst,
        user_ns: each(received.user_ns),
        system_ns: each(received.system_ns),
        allocations: each(received.allocations),
        allocated_bytes: each(received.allocated_bytes),
        late_ns_max: outcome.sent.late_ns_max,
        receiver_delay,
        sender_delay,
        attempts,
    };
    Ok((round, all))
}

/// What all rounds of a row come to.
fn sum_up(row: &mut Row, reference: &[Round], raw: &Raw) -> Result<(), String> {
    let mut all = histogram([])?;
    for (_, _, _, histogram) in raw.rounds.iter().filter(|(contender, ..)| *contender == row.contender) {
        all.add(histogram).map_err(|error| error.to_string())?;
    }
    row.wire_to_book = Quantiles::of(&all);
    let last: Vec<Quantiles> = row.rounds.iter().filter_map(|round| round.last_of_burst).collect();
    let middle = |of: &dyn Fn(&Quantiles) -> f64| median(last.iter().map(of).collect()).unwrap_or(0.0);
    if !last.is_empty() {
        row.last_of_burst = Some(Quantiles {
            count: last.iter().map(|last| last.count).sum(),
            mean_ns: middle(&|last| last.mean_ns),
            p50_ns: middle(&|last| last.p50_ns as f64) as u64,
            p90_ns: middle(&|last| last.p90_ns as f64) as u64,
            p99_ns: middle(&|last| last.p99_ns as f64) as u64,
            p999_ns: middle(&|last| last.p999_ns as f64) as u64,
            max_ns: last.iter().map(|last| last.max_ns).max().unwrap_or(0),
        });
    }
    let ratio = |of: fn(&Quantiles) -> u64| {
        let pairs = row.rounds.iter().zip(reference);
        let ratios = pairs.map(|(ours, floor)| of(&ours.wire_to_book) as f64 / of(&floor.wire_to_book).max(1) as f64);
        median(ratios.collect())
    };
    (row.p50_ratio, row.p99_ratio) = (ratio(|q| q.p50_ns), ratio(|q| q.p99_ns));
    let each = |of: fn(&Round) -> f64| median(row.rounds.iter().map(of).collect()).unwrap_or(0.0);
    (row.user_ns, row.system_ns) = (each(|round| round.user_ns), each(|round| round.system_ns));
    (row.allocations, row.allocated_bytes) = (each(|round| round.allocations), each(|round| round.allocated_bytes));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_tools_are_read() {
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n------ -----------\n\
                      60.00    0.000600           1       600           recvfrom\n\
                      ------ -----------\n100.00    0.001000           1      1234        56 total\n";
        assert_eq!(calls_of(strace), Some(1_234));
        assert_eq!(totals_of("version: 1\nsummary: 5\nfn=(1)\n1 5\ntotals: 98765 3\n"), Some(98_765));
        assert_eq!((calls_of(""), totals_of("")), (None, None));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let round = |p50_ns: u64| Round {
            wire_to_book: Quantiles { p50_ns, p99_ns: 2 * p50_ns, ..Quantiles::default() },
            allocations: p50_ns as f64,
            ..Round::default()
        };
        // The machine was twice as slow in the second round, for both.
        let reference = [round(100), round(200), round(100)];
        let mut row = Row { rounds: vec![round(150), round(300), round(160)], ..Row::default() };
        sum_up(&mut row, &reference, &Raw::default()).unwrap();
        assert_eq!((row.p50_ratio, row.p99_ratio, row.allocations), (Some(1.5), Some(1.5), 160.0));
        sum_up(&mut row, &[], &Raw::default()).unwrap();
        assert_eq!(row.p50_ratio, None);
    }
}
