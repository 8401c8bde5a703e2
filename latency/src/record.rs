//! What a run leaves: one file with all figures, the histograms behind them, and pictures.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::{Deserialize, Serialize};

use crate::contenders::Kind;
use crate::plot;
use crate::proc::Machine;
use crate::report::{self, Detail};
use crate::stats::Quantiles;

/// Everything that was measured, and where. `summary.json` of a record, and what `run --json` prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) machine: Machine,
    /// UTC.
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) rounds: usize,
    pub(crate) round_ms: u64,
    /// Both sides on a core of their own; both under SCHED_FIFO.
    pub(crate) pinned: bool,
    pub(crate) real_time: bool,
    /// What ratios are taken to.
    pub(crate) reference: String,
    pub(crate) contenders: Vec<ContenderInfo>,
    pub(crate) rows: Vec<Row>,
    pub(crate) counted: Vec<Counted>,
    pub(crate) orders: Vec<OrderRow>,
    pub(crate) growth: Vec<GrowthRow>,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
}

/// Who took part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContenderInfo {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) kind: Kind,
    pub(crate) sleeps: bool,
}

/// One contender under one load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    pub(crate) load: String,
    pub(crate) contender: String,
    /// From just before the sender's write to the top read, over all rounds.
    pub(crate) wire_to_book: Quantiles,
    /// Only the last message of each burst.
    pub(crate) last_of_burst: Option<Quantiles>,
    /// To the reference in the same round, median of the rounds.
    pub(crate) p50_ratio: Option<f64>,
    pub(crate) p99_ratio: Option<f64>,
    /// Per message, median of the rounds.
    pub(crate) user_ns: f64,
    pub(crate) system_ns: f64,
    pub(crate) allocations: f64,
    pub(crate) allocated_bytes: f64,
    pub(crate) rounds: Vec<Round>,
    /// Why it has no figures, or less rounds than others.
    pub(crate) failure: Option<String>,
}

/// One round of a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Round {
    pub(crate) wire_to_book: Quantiles,
    pub(crate) last_of_burst: Option<Quantiles>,
    pub(crate) user_ns: f64,
    pub(crate) system_ns: f64,
    pub(crate) allocations: f64,
    pub(crate) allocated_bytes: f64,
    /// By how much the sender's latest message was late.
    pub(crate) late_ns_max: u64,
    /// Share of the time in which receiver and sender waited for their cores.
    pub(crate) receiver_delay: f64,
    pub(crate) sender_delay: f64,
    /// How often it was run, until both had their cores.
    pub(crate) attempts: usize,
}

/// What one message costs a contender that sleeps, by counting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counted {
    pub(crate) contender: String,
    pub(crate) system_calls: Option<f64>,
    pub(crate) instructions: Option<f64>,
}

/// From the receive stamp to the return of an order's write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OrderRow {
    pub(crate) load: String,
    pub(crate) tick_to_trade: Quantiles,
}

/// What a message costs with so many books on so many sockets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct GrowthRow {
    pub(crate) books: u32,
    pub(crate) sockets: u32,
    pub(crate) load: String,
    /// Time inside of `poll` per message, median.
    pub(crate) poll_ns: f64,
    pub(crate) wire_to_book_p50_ns: f64,
}

/// The histograms behind the rows of a load, one for each round: contender, start and length of the round, histogram.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raw {
    pub(crate) load: String,
    pub(crate) rounds: Vec<(String, Duration, Duration, Histogram<u64>)>,
}

impl Record {
    /// The loads, in the order in which they were run.
    pub(crate) fn loads(&self) -> Vec<&str> {
        let mut loads: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !loads.contains(&row.load.as_str()) {
                loads.push(&row.load);
            }
        }
        loads
    }

    /// The load that stands for all where there is room for one.
    pub(crate) fn main_load(&self) -> Option<&str> {
        let loads = self.loads();
        loads.iter().find(|load| **load == "tls-10k").or(loads.first()).copied()
    }

    /// Reads a `summary.json`, or that of a directory.
    pub(crate) fn read(path: &Path) -> Result<Record, String> {
        let path = if path.is_dir() { path.join(SUMMARY) } else { path.to_owned() };
        let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&text)
            .map_err(|error| format!("{} is no record of this program: {error}", path.display()))
    }

    /// Writes everything below `base`, in a directory named for host and date; which one it is.
    pub(crate) fn write(&self, base: &Path, raw: &[Raw]) -> Result<PathBuf, String> {
        let host: String =
            self.machine.host.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
        let host = if host.trim_matches('.').is_empty() { "unknown".to_owned() } else { host };
        let day = self.date.split('T').next().unwrap_or("undated");
        let mut directory = base.join(&host).join(day);
        // A second record of a day does not touch the first.
        for number in 2.. {
            if !directory.exists() {
                break;
            }
            directory = base.join(&host).join(format!("{day}-{number}"));
        }
        let explain = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir_all(&directory).map_err(|error| explain(&directory, error))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = directory.join(name);
            std::fs::write(&path, bytes).map_err(|error| explain(&path, error))
        };
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        text.push(b'\n');
        write(SUMMARY, &text)?;
        write("report.md", report::markdown(self, Detail::Full).as_bytes())?;
        for raw in raw {
            write(&format!("{}.hlog", raw.load), &interval_log(raw, &self.date)?)?;
        }
        for raw in raw {
            let name = if Some(raw.load.as_str()) == self.main_load() {
                "curves.svg".to_owned()
            } else {
                format!("curves-{}.svg", raw.load)
            };
            write(&name, plot::curves(self, raw)?.as_bytes())?;
        }
        if !self.growth.is_empty() {
            write("growth.svg", plot::growth(self)?.as_bytes())?;
        }
        Ok(directory)
    }
}

/// The file of a record that holds all figures.
const SUMMARY: &str = "summary.json";

/// The rounds of a load as an interval log of HdrHistogram, contenders as tags.
fn interval_log(raw: &Raw, date: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment(&format!("wire to book in nanoseconds, {}, {date}", raw.load));
    let mut log = builder.begin_log_with(&mut bytes, &mut serializer).map_err(|error| error.to_string())?;
    for (contender, start, length, histogram) in &raw.rounds {
        log.write_histogram(histogram, *start, *length, Tag::new(contender)).map_err(|error| format!("{error:?}"))?;
    }
    drop(log);
    Ok(bytes)
}

/// The present time as `2026-11-22T23:05:09Z`.
pub(crate) fn now_utc() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    utc(seconds)
}

fn utc(seconds: u64) -> String {
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_795_388_709), "2026-11-22T23:05:09Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn logs_can_be_read_again() {
        use hdrhistogram::serialization::Deserializer;
        use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
        let histogram = crate::stats::histogram([1_000, 2_000, 3_000]).unwrap();
        let round = ("wirebook".to_owned(), Duration::from_secs(1), Duration::from_millis(350), histogram.clone());
        let log = interval_log(&Raw { load: "tls-10k".into(), rounds: vec![round] }, "today").unwrap();
        let entries: Vec<_> = IntervalLogIterator::new(&log).filter_map(Result::ok).collect();
        let intervals: Vec<_> = entries
            .iter()
            .filter_map(|entry| match entry {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 1);
        assert_eq!(intervals[0].tag().map(|tag| tag.as_str()), Some("wirebook"));
        let text = intervals[0].encoded_histogram();
        let bytes = decode_base64(text);
        let again: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!(again, histogram);
    }

    fn decode_base64(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (mut bits, mut count) = (0_u32, 0);
        for c in text.bytes().filter(|c| *c != b'=') {
            let value = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                _ => 63,
            };
            (bits, count) = (bits << 6 | u32::from(value), count + 6);
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count) as u8);
            }
        }
        bytes
    }
}
