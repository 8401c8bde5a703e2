//! Scripted faults: one small language for all loopback venues.
//!
//! A script is a text, one fault a line, `#` begins a comment. A line says when and what:
//!
//! ```text
//! at 5s silence BTCUSDT for 3s      # once, five seconds after the venue started
//! every 10s gap                     # again and again
//! with 0.01 duplicate *@depth*      # each chance is a throw of the dice
//! ```
//!
//! | fault | what happens |
//! |---|---|
//! | `silence [TARGET] for T` | matching events are lost for a time; `silence connection [one] for T` withholds everything from the connections that are open, answers and pings too |
//! | `gap [TARGET]` | the next matching event is lost |
//! | `duplicate [TARGET]` | it is sent twice |
//! | `reorder [TARGET]` | it is sent after the following event of its stream |
//! | `corrupt [TARGET]` | it is cut short, or a control character that no JSON allows stands in it |
//! | `bad-checksum [TARGET]` | it carries a wrong checksum, on venues that send one |
//! | `split [BYTES] for T` | all connections: bytes leave in pieces of 1 to BYTES (7) |
//! | `glue [FRAMES] for T` | all connections: frames wait until FRAMES (4) of them leave in one write, also behind the answer to the upgrade |
//! | `fragment for T` | all connections: messages come in several WebSocket frames with control frames between them |
//! | `half-open [one]` | connections stay open and nothing is read or written any more |
//! | `close CODE [one]` | WebSocket close frame, then the end of the connection |
//! | `cut [one]` | the connection ends without a close frame |
//! | `http STATUS [PATH] [for N requests\|for T]` | requests whose path begins with PATH get this status, by default one of them |
//! | `slow T [PATH] [for N requests\|for T]` | their answers are late by T |
//! | `stale [SYMBOL] [for N requests\|for T]` | book snapshots are older than what the stream still repeats |
//! | `refuse for T` | new connections are closed before a byte is exchanged |
//! | `shutdown [after T]` | the venue announces its shutdown where it has a message for it, and closes all connections after T (1s) |
//! | `lifetime T` | (without a time before it) connections are closed at this age |
//! | `quiet after T` | (without a time before it) no fault happens or lasts beyond this time |
//!
//! A TARGET is a symbol as the venue spells it (case does not matter), or a stream name in which `*` stands for
//! anything; without one every data event counts. Times are written `250us`, `20ms`, `1.5s`, `3m`, `24h`, and count from
//! the start of the venue. With `with P` the chance is each event for faults of events and connections, each request
//! for `http`, `slow` and `stale`, and each new connection for `refuse` (which then needs no `for`).
//! `every` does not pile up: what has not happened by the next turn happens once.
//!
//! The same script, seed and inputs give the same faults.

mod engine;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use fastrand::Rng;

pub(crate) use engine::{Action, Engine, RequestVerdict, Verdict};
use parse::Words;

/// Most lines with a fault in one script.
pub const FAULTS_MAX: usize = 1_000;

/// A list of faults. See the module's documentation for the language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The faults in the order of their lines; at most [`FAULTS_MAX`] are obeyed.
    pub faults: Vec<Fault>,
}

/// One line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it happens.
    pub when: When,
    /// What happens.
    pub what: What,
}

/// When a fault happens. Times count from the start of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, after so many nanoseconds.
    At(u64),
    /// Every so many nanoseconds.
    Every(u64),
    /// At each chance, so many times in a million.
    With(u32),
    /// As long as the venue runs; only for [`What::Lifetime`] and [`What::Quiet`].
    Always,
}

/// Which events a fault concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every data event.
    All,
    /// Events of this symbol, or of streams that match this name with `*` for anything.
    Match(String),
    /// Whole connections, with answers and pings.
    Connection(Who),
}

/// Which connections a fault concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// All that are open.
    All,
    /// One of them, chosen by the seed.
    One,
}

/// How many requests a fault of requests concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// The next so many.
    Requests(u32),
    /// All within so many nanoseconds.
    For(u64),
}

/// What a fault does; the module's documentation has a line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields repeat the words of the table above; all times are nanoseconds.
#[non_exhaustive]
pub enum What {
    Silence { target: Target, for_ns: u64 },
    Gap { target: Target },
    Duplicate { target: Target },
    Reorder { target: Target },
    Corrupt { target: Target },
    BadChecksum { target: Target },
    Split { bytes: u32, for_ns: u64 },
    Glue { frames: u32, for_ns: u64 },
    Fragment { for_ns: u64 },
    HalfOpen { who: Who },
    Close { code: u16, who: Who },
    Cut { who: Who },
    Http { status: u16, path: Option<String>, amount: Amount },
    Slow { delay_ns: u64, path: Option<String>, amount: Amount },
    Stale { symbol: Option<String>, amount: Amount },
    Refuse { for_ns: u64 },
    Shutdown { after_ns: u64 },
    Lifetime { age_ns: u64 },
    Quiet { after_ns: u64 },
}

/// Why a script was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line in the text, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The first line that is not understood, with what would be right.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut faults = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = Words::new(line);
            if words.is_empty() {
                continue;
            }
            let fault = parse::fault(&mut words).map_err(|message| ParseError { line: index + 1, message })?;
            if faults.len() == FAULTS_MAX {
                return Err(ParseError { line: index + 1, message: format!("more than {FAULTS_MAX} faults") });
            }
            faults.push(fault);
        }
        Ok(Script { faults })
    }

    /// A mixture of faults for a run of `duration_ns`, equal for equal arguments. All of them are over after two thirds
    /// of the run, so that a client has time to recover before the end.
    pub fn random(seed: u64, duration_ns: u64, symbols: &[&str]) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5eed_fa17);
        let active = (duration_ns / 3 * 2).max(1);
        let mut faults = vec![Fault { when: When::Always, what: What::Quiet { after_ns: round(active) } }];
        for _ in 0..rng.usize(1..8) {
            let rng = &mut rng;
            let at = |rng: &mut Rng| When::At(round(rng.u64(0..active)));
            let span = |rng: &mut Rng| round(active / 20 + rng.u64(0..active / 4 + 1));
            let target = match rng.u8(..3) {
                0 => Target::All,
                _ if symbols.is_empty() => Target::All,
                1 => Target::Match(symbols[rng.usize(..symbols.len())].to_owned()),
                _ => Target::Match("*@depth*".to_owned()),
            };
            let who = if rng.bool() { Who::All } else { Who::One };
            let event_when = match rng.u8(..3) {
                0 => at(rng),
                1 => When::Every(round(active / 8 + rng.u64(0..active / 4 + 1))),
                _ => When::With(rng.u32(1_000..30_000)),
            };
            let amount = if rng.bool() { Amount::Requests(rng.u32(1..4)) } else { Amount::For(span(rng)) };
            let (when, what) = match rng.u8(..19) {
                0 | 1 => (event_when, What::Gap { target }),
                2 => (event_when, What::Duplicate { target }),
                3 => (event_when, What::Reorder { target }),
                4 => (event_when, What::Corrupt { target }),
                5 => (at(rng), What::Silence { target, for_ns: span(rng) }),
                6 => (at(rng), What::Silence { target: Target::Connection(who), for_ns: span(rng) }),
                7 => (at(rng), What::Split { bytes: rng.u32(1..64), for_ns: span(rng) }),
                8 => (at(rng), What::Glue { frames: rng.u32(2..9), for_ns: span(rng) }),
                9 => (at(rng), What::Fragment { for_ns: span(rng) }),
                10 => (at(rng), What::HalfOpen { who }),
                11 => {
                    let code = [1000, 1001, 1008, 1011, 1012][rng.usize(..5)];
                    (at(rng), What::Close { code, who })
                }
                12 | 13 => (at(rng), What::Cut { who }),
                14 => {
                    let status = [429, 418, 500, 502, 503][rng.usize(..5)];
                    (at(rng), What::Http { status, path: None, amount })
                }
                15 => (at(rng), What::Slow { delay_ns: span(rng), path: None, amount }),
                16 => (at(rng), What::Stale { symbol: None, amount }),
                17 => (at(rng), What::Refuse { for_ns: span(rng) }),
                _ => (at(rng), What::Shutdown { after_ns: span(rng) / 4 }),
            };
            faults.push(Fault { when, what });
        }
        Script { faults }
    }
}

/// To whole milliseconds, so that random scripts read well; at least one.
fn round(ns: u64) -> u64 {
    (ns / 1_000_000).max(1) * 1_000_000
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.when {
            When::At(ns) => write!(f, "at {} ", Time(ns))?,
            When::Every(ns) => write!(f, "every {} ", Time(ns))?,
            When::With(ppm) => {
                let digits = format!("{ppm:07}");
                let (whole, part) = digits.split_at(digits.len() - 6);
                let part = part.trim_end_matches('0');
                write!(f, "with {whole}{}{part} ", if part.is_empty() { "" } else { "." })?;
            }
            When::Always => {}
        }
        let who = |who: Who| if who == Who::One { " one" } else { "" };
        let word = |word: &Option<String>| word.as_ref().map_or_else(String::new, |word| format!(" {word}"));
        let amount = |amount: Amount| match amount {
            Amount::Requests(n) => format!(" for {n} requests"),
            Amount::For(ns) => format!(" for {}", Time(ns)),
        };
        let target = |target: &Target| match target {
            Target::All => String::new(),
            Target::Match(word) => format!(" {word}"),
            Target::Connection(w) => format!(" connection{}", who(*w)),
        };
        match &self.what {
            What::Silence { target: t, for_ns } => write!(f, "silence{} for {}", target(t), Time(*for_ns)),
            What::Gap { target: t } => write!(f, "gap{}", target(t)),
            What::Duplicate { target: t } => write!(f, "duplicate{}", target(t)),
            What::Reorder { target: t } => write!(f, "reorder{}", target(t)),
            What::Corrupt { target: t } => write!(f, "corrupt{}", target(t)),
            What::BadChecksum { target: t } => write!(f, "bad-checksum{}", target(t)),
            What::Split { bytes, for_ns } => write!(f, "split {bytes} for {}", Time(*for_ns)),
            What::Glue { frames, for_ns } => write!(f, "glue {frames} for {}", Time(*for_ns)),
            What::Fragment { for_ns } => write!(f, "fragment for {}", Time(*for_ns)),
            What::HalfOpen { who: w } => write!(f, "half-open{}", who(*w)),
            What::Close { code, who: w } => write!(f, "close {code}{}", who(*w)),
            What::Cut { who: w } => write!(f, "cut{}", who(*w)),
            What::Http { status, path, amount: a } => write!(f, "http {status}{}{}", word(path), amount(*a)),
            What::Slow { delay_ns, path, amount: a } => {
                write!(f, "slow {}{}{}", Time(*delay_ns), word(path), amount(*a))
            }
            What::Stale { symbol, amount: a } => write!(f, "stale{}{}", word(symbol), amount(*a)),
            What::Refuse { for_ns: 0 } => write!(f, "refuse"),
            What::Refuse { for_ns } => write!(f, "refuse for {}", Time(*for_ns)),
            What::Shutdown { after_ns } => write!(f, "shutdown after {}", Time(*after_ns)),
            What::Lifetime { age_ns } => write!(f, "lifetime {}", Time(*age_ns)),
            What::Quiet { after_ns } => write!(f, "quiet after {}", Time(*after_ns)),
        }
    }
}

/// How bytes leave a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFault {
    /// In pieces of 1 to so many bytes.
    Split(u32),
    /// Not before so many frames are there, or a short while has passed.
    Glue(u32),
    /// Messages in several frames.
    Fragment,
}

/// A time in the largest unit that needs no fraction.
struct Time(u64);

const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return write!(f, "0s");
        }
        let unit = UNITS.iter().find(|(_, ns)| self.0.is_multiple_of(*ns)).unwrap_or(&("ns", 1));
        write!(f, "{}{}", self.0 / unit.1, unit.0)
    }
}
