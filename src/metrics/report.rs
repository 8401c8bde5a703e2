//! What was measured, as numbers, as a table and as JSON.

use super::{Channel, Count, Counter, Stage, Times};
use hdrhistogram::Histogram;
use std::fmt::{self, Write as _};

/// What was measured in some time. `Display` is a table for people, [`Report::to_json`] for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One row for each channel and stage at which something was recorded.
    pub stages: Vec<StageRow>,
    /// One row for each counter that is not zero.
    pub counters: Vec<CounterRow>,
}

/// The times of one stage. They are rounded up by at most 1 %.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageRow {
    /// As registered.
    pub venue: String,
    /// As registered.
    pub channel: String,
    /// What was measured.
    pub stage: Stage,
    /// How often.
    pub count: u64,
    /// Half of the times were not longer.
    pub p50_ns: u64,
    /// 90 % were not longer.
    pub p90_ns: u64,
    /// 99 % were not longer.
    pub p99_ns: u64,
    /// 99.9 % were not longer.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterRow {
    /// As registered.
    pub venue: String,
    /// As registered.
    pub channel: String,
    /// What was counted.
    pub counter: Counter,
    /// How often.
    pub count: u64,
}

impl Report {
    pub(super) fn new(
        channels: &[Channel],
        times_of: impl Fn(&Times) -> Histogram<u32>,
        count_of: impl Fn(&Count) -> u64,
    ) -> Report {
        let mut report = Report::default();
        for channel in channels {
            let names = || (channel.venue.clone(), channel.name.clone());
            for (stage, times) in Stage::ALL.into_iter().zip(&channel.times) {
                let Some(times) = times.as_deref().map(&times_of).filter(|times| !times.is_empty()) else { continue };
                let (venue, channel) = names();
                report.stages.push(StageRow {
                    venue,
                    channel,
                    stage,
                    count: times.len(),
                    p50_ns: times.value_at_quantile(0.5),
                    p90_ns: times.value_at_quantile(0.9),
                    p99_ns: times.value_at_quantile(0.99),
                    p999_ns: times.value_at_quantile(0.999),
                    max_ns: times.max(),
                });
            }
            for (counter, count) in Counter::ALL.into_iter().zip(&channel.counts) {
                let count = count_of(count);
                if count > 0 {
                    let (venue, channel) = names();
                    report.counters.push(CounterRow { venue, channel, counter, count });
                }
            }
        }
        report
    }

    /// One object: `{"stages":[{"venue":..,"channel":..,"stage":..,"count":..,"p50_ns":..,"p90_ns":..,"p99_ns":..,
    /// "p999_ns":..,"max_ns":..}],"counters":[{"venue":..,"channel":..,"counter":..,"count":..}]}`.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{\"stages\":[");
        for (index, row) in self.stages.iter().enumerate() {
            names(&mut out, index, &row.venue, &row.channel, "stage", row.stage.name());
            for (name, value) in [
                ("count", row.count),
                ("p50_ns", row.p50_ns),
                ("p90_ns", row.p90_ns),
                ("p99_ns", row.p99_ns),
                ("p999_ns", row.p999_ns),
                ("max_ns", row.max_ns),
            ] {
                // A string takes everything.
                let _ = write!(out, ",\"{name}\":{value}");
            }
            out.push('}');
        }
        out.push_str("],\"counters\":[");
        for (index, row) in self.counters.iter().enumerate() {
            names(&mut out, index, &row.venue, &row.channel, "counter", row.counter.name());
            let _ = write!(out, ",\"count\":{}}}", row.count);
        }
        out.push_str("]}");
        out
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = vec![
            ["venue", "channel", "stage", "count", "p50 us", "p90 us", "p99 us", "p99.9 us", "max us"]
                .map(String::from)
                .to_vec(),
        ];
        let micros = |ns: u64| format!("{}.{:02}", ns / 1000, ns % 1000 / 10);
        table.extend(self.stages.iter().map(|row| {
            let names = [row.venue.clone(), row.channel.clone(), row.stage.name().to_owned(), row.count.to_string()];
            let times = [row.p50_ns, row.p90_ns, row.p99_ns, row.p999_ns, row.max_ns].map(micros);
            names.into_iter().chain(times).collect()
        }));
        write_table(f, &table)?;
        if self.counters.is_empty() {
            return Ok(());
        }
        f.write_char('\n')?;
        let mut table = vec![["venue", "channel", "counter", "count"].map(String::from).to_vec()];
        table.extend(self.counters.iter().map(|row| {
            vec![row.venue.clone(), row.channel.clone(), row.counter.name().to_owned(), row.count.to_string()]
        }));
        write_table(f, &table)
    }
}

/// The first three columns are words and stand left, the others are numbers and stand right.
fn write_table(f: &mut fmt::Formatter<'_>, table: &[Vec<String>]) -> fmt::Result {
    let columns = table.first().map_or(0, Vec::len);
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in table {
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            if column < 3 {
                write!(f, "{gap}{cell:<width$}")?;
            } else {
                write!(f, "{gap}{cell:>width$}")?;
            }
        }
        f.write_char('\n')?;
    }
    Ok(())
}

/// Opens a row of JSON.
fn names(out: &mut String, index: usize, venue: &str, channel: &str, kind: &str, name: &str) {
    if index > 0 {
        out.push(',');
    }
    out.push_str("{\"venue\":");
    push_string(out, venue);
    out.push_str(",\"channel\":");
    push_string(out, channel);
    let _ = write!(out, ",\"{kind}\":\"{name}\"");
}

fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::{Counter, Metrics, Stage};
    use super::*;

    fn example() -> Report {
        let mut metrics = Metrics::new(4);
        let book = metrics.register("binance", "book", &Stage::ALL).unwrap();
        let odd = metrics.register("o\"d\\d\n", "\u{e9}", &[Stage::User]).unwrap();
        metrics.record(book, Stage::Book, 100);
        metrics.record(book, Stage::User, 120_000);
        metrics.record(odd, Stage::User, 5);
        metrics.add(book, Counter::Messages, 12);
        metrics.add(odd, Counter::Gaps, 1);
        metrics.report()
    }

    #[test]
    fn a_table_lines_up() {
        let mut report = example();
        report.stages.truncate(2);
        report.counters.truncate(1);
        let expected = "\
venue    channel  stage  count  p50 us  p90 us  p99 us  p99.9 us  max us
binance  book     book       1    0.10    0.10    0.10      0.10    0.10
binance  book     user       1  120.31  120.31  120.31    120.31  120.31

venue    channel  counter   count
binance  book     messages     12
";
        assert_eq!(report.to_string(), expected);
        assert_eq!(Report::default().to_string().lines().count(), 1);
    }

    #[test]
    fn json_is_what_serde_reads() {
        let json: serde_json::Value = serde_json::from_str(&example().to_json()).unwrap();
        assert_eq!(json["stages"].as_array().unwrap().len(), 3);
        assert_eq!(json["stages"][0]["stage"], "book");
        assert_eq!(json["stages"][0]["p999_ns"], 100);
        assert_eq!(json["stages"][0]["max_ns"], 100);
        assert_eq!(json["stages"][2]["venue"], "o\"d\\d\n");
        assert_eq!(json["stages"][2]["channel"], "\u{e9}");
        assert_eq!(
            json["counters"][0],
            serde_json::json!({"venue": "binance", "channel": "book", "counter": "messages", "count": 12})
        );
        assert_eq!(json["counters"][1]["counter"], "gaps");
        assert_eq!(Report::default().to_json(), "{\"stages\":[],\"counters\":[]}");
    }
}
