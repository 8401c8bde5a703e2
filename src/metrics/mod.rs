//! How long each stage of a message takes, and how often things happen.
//!
//! One histogram per venue, channel and stage, with a resolution of 1 % from 1 ns to 60 s: about 15 KiB. All memory is
//! taken when a channel is registered; recording allocates nothing, cannot fail and takes a few nanoseconds.
//!
//! ```
//! use wirebook::metrics::{Counter, Metrics, Stage};
//!
//! let mut metrics = Metrics::new(16);
//! let book = metrics.register("binance", "book", &[Stage::Book, Stage::User])?;
//! metrics.record(book, Stage::Book, 850);
//! metrics.add(book, Counter::Messages, 1);
//! println!("{}", metrics.report());
//! # Ok::<(), wirebook::metrics::MetricsFull>(())
//! ```

mod report;

pub use report::{CounterRow, Report, StageRow};

use hdrhistogram::Histogram;
use std::{error::Error, fmt};

/// The longest time that is told apart; anything longer counts as this.
pub const TIME_NS_MAX: u64 = 60_000_000_000;

/// What is measured. All but the first two are times since the receive stamp, which is taken when the read begins that
/// brings the end of the message; its bytes lie in the kernel then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// From the venue's stamp in the message to the receive stamp. As good as both clocks.
    Venue,
    /// From the kernel's receive stamp to ours.
    Kernel,
    /// Until all bytes of the message were read.
    Read,
    /// Until the message lay decrypted and unframed.
    Decrypted,
    /// Until the message was decoded.
    Parsed,
    /// Wire-to-book: until the book was updated.
    Book,
    /// Wire-to-user: until the user's code saw the event.
    User,
    /// Tick-to-trade: until the bytes of an order were handed to the socket.
    Order,
}

impl Stage {
    /// All stages in the order in which a message passes them.
    pub const ALL: [Stage; 8] = [
        Stage::Venue,
        Stage::Kernel,
        Stage::Read,
        Stage::Decrypted,
        Stage::Parsed,
        Stage::Book,
        Stage::User,
        Stage::Order,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Venue => "venue",
            Stage::Kernel => "kernel",
            Stage::Read => "read",
            Stage::Decrypted => "decrypted",
            Stage::Parsed => "parsed",
            Stage::Book => "book",
            Stage::User => "user",
            Stage::Order => "order",
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Counter {
    /// Messages that were decoded.
    Messages,
    /// Their bytes, decrypted.
    Bytes,
    /// Messages that were left alone, because nothing was asked for that is in them.
    Ignored,
    /// Messages that could not be decoded.
    Malformed,
    /// Missing numbers in a sequence.
    Gaps,
    /// Books that were started over.
    Resyncs,
    /// Checksums that did not match.
    ChecksumErrors,
    /// Levels without room in a full side.
    LevelsDropped,
    /// Levels whose price or quantity no scale could hold.
    LevelsRejected,
    /// Books that were moved to a finer scale.
    Rescales,
    /// Events that a user skipped who wanted only the latest.
    Conflated,
    /// Connections that were lost.
    Disconnects,
}

impl Counter {
    /// All counters.
    pub const ALL: [Counter; 12] = [
        Counter::Messages,
        Counter::Bytes,
        Counter::Ignored,
        Counter::Malformed,
        Counter::Gaps,
        Counter::Resyncs,
        Counter::ChecksumErrors,
        Counter::LevelsDropped,
        Counter::LevelsRejected,
        Counter::Rescales,
        Counter::Conflated,
        Counter::Disconnects,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Counter::Messages => "messages",
            Counter::Bytes => "bytes",
            Counter::Ignored => "ignored",
            Counter::Malformed => "malformed",
            Counter::Gaps => "gaps",
            Counter::Resyncs => "resyncs",
            Counter::ChecksumErrors => "checksum_errors",
            Counter::LevelsDropped => "levels_dropped",
            Counter::LevelsRejected => "levels_rejected",
            Counter::Rescales => "rescales",
            Counter::Conflated => "conflated",
            Counter::Disconnects => "disconnects",
        }
    }
}

/// A registered channel of a venue. Of use only with the [`Metrics`] that gave it; another one records it elsewhere or
/// not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MetricId(u16);

/// There is no room for another channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsFull;

impl fmt::Display for MetricsFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for the metrics of another channel")
    }
}

impl Error for MetricsFull {}

/// The histograms and counters of an engine.
#[derive(Debug)]
pub struct Metrics {
    channels: Vec<Channel>,
    channels_max: usize,
}

#[derive(Debug)]
struct Channel {
    venue: String,
    name: String,
    times: [Option<Box<Times>>; Stage::ALL.len()],
    counts: [Count; Counter::ALL.len()],
}

/// Since the last interval, and before it.
#[derive(Debug)]
struct Times {
    interval: Histogram<u32>,
    before: Histogram<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    interval: u64,
    before: u64,
}

impl Metrics {
    /// Room for `channels_max` channels, each of which takes memory when it is registered: 30 KiB a stage. At most
    /// 65,536.
    pub fn new(channels_max: usize) -> Metrics {
        Metrics { channels: Vec::new(), channels_max: channels_max.min(1 << 16) }
    }

    /// Takes memory for the stages of a channel, or finds them if the same names were registered before; then stages
    /// that are new are added.
    ///
    /// # Errors
    /// [`MetricsFull`] if all room is taken.
    pub fn register(&mut self, venue: &str, channel: &str, stages: &[Stage]) -> Result<MetricId, MetricsFull> {
        let known = self.channels.iter().position(|known| known.venue == venue && known.name == channel);
        let index = match known {
            Some(index) => index,
            None if self.channels.len() >= self.channels_max => return Err(MetricsFull),
            None => {
                self.channels.push(Channel {
                    venue: venue.to_owned(),
                    name: channel.to_owned(),
                    times: [const { None }; Stage::ALL.len()],
                    counts: [Count::default(); Counter::ALL.len()],
                });
                self.channels.len() - 1
            }
        };
        for &stage in stages {
            let times = &mut self.channels[index].times[stage as usize];
            if times.is_none() {
                *times = Times::new().map(Box::new);
            }
        }
        Ok(MetricId(u16::try_from(index).map_err(|_| MetricsFull)?))
    }

    /// Records a time in nanoseconds. Nothing happens if the stage was not registered.
    #[inline]
    pub fn record(&mut self, id: MetricId, stage: Stage, ns: u64) {
        if let Some(channel) = self.channels.get_mut(usize::from(id.0))
            && let Some(times) = &mut channel.times[stage as usize]
        {
            // Nothing takes no time; a clock that is coarse says so.
            times.interval.saturating_record(ns.clamp(1, TIME_NS_MAX));
        }
    }

    /// Adds to a counter.
    #[inline]
    pub fn add(&mut self, id: MetricId, counter: Counter, count: u64) {
        if let Some(channel) = self.channels.get_mut(usize::from(id.0)) {
            let counter = &mut channel.counts[counter as usize];
            counter.interval = counter.interval.saturating_add(count);
        }
    }

    /// All that was recorded since the start. Allocates.
    pub fn report(&self) -> Report {
        Report::new(&self.channels, |times| times.merged(), |count| count.before.saturating_add(count.interval))
    }

    /// What was recorded since the last call of this, and starts the next interval. [`Metrics::report`] still has it.
    /// Allocates.
    pub fn report_interval(&mut self) -> Report {
        let report = Report::new(&self.channels, |times| times.interval.clone(), |count| count.interval);
        for channel in &mut self.channels {
            for times in channel.times.iter_mut().flatten() {
                times.before = times.merged();
                times.interval.reset();
            }
            for count in &mut channel.counts {
                count.before = count.before.saturating_add(count.interval);
                count.interval = 0;
            }
        }
        report
    }
}

impl Times {
    /// `None` if the bounds were refused, which they are not.
    fn new() -> Option<Times> {
        let histogram = || Histogram::new_with_bounds(1, TIME_NS_MAX, 2).ok();
        Some(Times { interval: histogram()?, before: histogram()? })
    }

    fn merged(&self) -> Histogram<u32> {
        let mut merged = self.before.clone();
        // Both have the same bounds, so this cannot fail.
        let _ = merged.add(&self.interval);
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_and_counters_are_indexes() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
        }
        for (index, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, index);
        }
    }

    #[test]
    fn registering_twice_is_the_same_channel_and_room_is_limited() {
        let mut metrics = Metrics::new(2);
        let book = metrics.register("kraken", "book", &[Stage::Book]).unwrap();
        let trades = metrics.register("kraken", "trades", &[]).unwrap();
        assert_ne!(book, trades);
        assert_eq!(metrics.register("kraken", "book", &[Stage::User]), Ok(book));
        assert_eq!(metrics.register("okx", "book", &[]), Err(MetricsFull));
        metrics.record(book, Stage::Book, 5);
        metrics.record(book, Stage::User, 5);
        // Neither is registered.
        metrics.record(book, Stage::Order, 5);
        metrics.record(trades, Stage::Book, 5);
        metrics.record(MetricId(9), Stage::Book, 5);
        metrics.add(MetricId(9), Counter::Gaps, 1);
        let stages: Vec<Stage> = metrics.report().stages.iter().map(|row| row.stage).collect();
        assert_eq!(stages, [Stage::Book, Stage::User]);
    }

    #[test]
    fn quantiles_are_within_one_percent() {
        let mut metrics = Metrics::new(1);
        let id = metrics.register("v", "c", &[Stage::Book]).unwrap();
        for ns in 1..=10_000 {
            metrics.record(id, Stage::Book, ns * 10);
        }
        let report = metrics.report();
        let [row] = &report.stages[..] else { panic!("{report:?}") };
        assert_eq!(row.count, 10_000);
        for (got, exact) in [
            (row.p50_ns, 50_000),
            (row.p90_ns, 90_000),
            (row.p99_ns, 99_000),
            (row.p999_ns, 99_900),
            (row.max_ns, 100_000),
        ] {
            assert!(got >= exact && got <= exact + exact / 100, "{got} for {exact}");
        }
    }

    #[test]
    fn no_time_is_too_short_or_too_long() {
        let mut metrics = Metrics::new(1);
        let id = metrics.register("v", "c", &[Stage::Book]).unwrap();
        metrics.record(id, Stage::Book, 0);
        metrics.record(id, Stage::Book, u64::MAX);
        let report = metrics.report();
        assert_eq!(report.stages[0].count, 2);
        assert_eq!(report.stages[0].p50_ns, 1);
        assert!((TIME_NS_MAX..=TIME_NS_MAX + TIME_NS_MAX / 100).contains(&report.stages[0].max_ns));
        metrics.add(id, Counter::Bytes, u64::MAX);
        metrics.add(id, Counter::Bytes, 1);
        assert_eq!(metrics.report().counters[0].count, u64::MAX);
    }

    #[test]
    fn intervals_start_over_and_the_whole_goes_on() {
        let mut metrics = Metrics::new(1);
        let id = metrics.register("v", "c", &[Stage::Book]).unwrap();
        let counts = |report: Report| {
            let messages = report.counters.first().map_or(0, |row| row.count);
            (report.stages.first().map_or(0, |row| row.count), messages)
        };
        for _ in 0..3 {
            metrics.record(id, Stage::Book, 7);
            metrics.add(id, Counter::Messages, 2);
        }
        assert_eq!(counts(metrics.report()), (3, 6));
        assert_eq!(counts(metrics.report_interval()), (3, 6));
        assert_eq!(counts(metrics.report_interval()), (0, 0));
        metrics.record(id, Stage::Book, 100);
        assert_eq!(counts(metrics.report_interval()), (1, 0));
        metrics.record(id, Stage::Book, 9);
        let report = metrics.report();
        assert_eq!((report.stages[0].p50_ns, report.stages[0].max_ns), (7, 100));
        assert_eq!(counts(report), (5, 6));
    }
}
