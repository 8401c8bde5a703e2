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

use std::fmt;

use fastrand::Rng;

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
            let mut words = Words { words: line.split_whitespace().collect(), at: 0 };
            if words.words.is_empty() {
                continue;
            }
            let fault = fault(&mut words).map_err(|message| ParseError { line: index + 1, message })?;
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

/// Reads `1.5s` as nanoseconds; `None` when it is not a time or too long.
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > 9 || (number.contains('.') && part.is_empty()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let mut ns = whole.checked_mul(*unit_ns)?;
    if !part.is_empty() {
        let part_value: u64 = part.parse().ok()?;
        let part_ns = u128::from(part_value) * u128::from(*unit_ns) / 10u128.pow(part.len() as u32);
        ns = ns.checked_add(u64::try_from(part_ns).ok()?)?;
    }
    Some(ns)
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    fn eat(&mut self, word: &str) -> bool {
        let same = self.peek() == Some(word);
        self.at += usize::from(same);
        same
    }

    fn time(&mut self, of: &str) -> Result<u64, String> {
        let word =
            self.next().ok_or_else(|| format!("a time is missing after `{of}`; write it as 20ms, 1.5s or 3m"))?;
        parse_time(word).ok_or_else(|| format!("`{word}` is not a time; write it as 20ms, 1.5s or 3m"))
    }

    fn for_time(&mut self, of: &str) -> Result<u64, String> {
        if !self.eat("for") {
            return Err(format!("`{of}` needs a length, as in `{of} for 3s`{}", self.found()));
        }
        let ns = self.time("for")?;
        if ns == 0 { Err(format!("`{of}` needs a length above zero")) } else { Ok(ns) }
    }

    fn found(&self) -> String {
        self.peek().map_or_else(String::new, |word| format!(", found `{word}`"))
    }

    fn who(&mut self) -> Who {
        if self.eat("one") {
            return Who::One;
        }
        self.eat("all");
        Who::All
    }

    /// A word that is not the beginning of `for ...`.
    fn word(&mut self) -> Option<&'a str> {
        if self.peek() == Some("for") { None } else { self.next() }
    }

    fn target(&mut self) -> Target {
        match self.word() {
            None | Some("all") => Target::All,
            Some("connection") => Target::Connection(self.who()),
            Some(word) => Target::Match(word.to_owned()),
        }
    }

    fn event_target(&mut self, of: &str) -> Result<Target, String> {
        match self.target() {
            Target::Connection(_) => Err(format!("`{of}` concerns events: name a symbol or a stream, or nothing")),
            target => Ok(target),
        }
    }

    fn path(&mut self) -> Result<Option<String>, String> {
        match self.word() {
            None => Ok(None),
            Some(word) if word.starts_with('/') => Ok(Some(word.to_owned())),
            Some(word) => Err(format!("`{word}` is not a path; a path begins with `/`, as in /api/v3/depth")),
        }
    }

    fn amount(&mut self) -> Result<Amount, String> {
        if !self.eat("for") {
            return Ok(Amount::Requests(1));
        }
        let word = self.next().ok_or("a number of requests or a time is missing after `for`")?;
        if let Ok(count) = word.parse::<u32>() {
            if count == 0 || !(self.eat("requests") || self.eat("request")) {
                return Err(format!("write `for {} requests` or a time as in `for 2s`", count.max(1)));
            }
            return Ok(Amount::Requests(count));
        }
        match parse_time(word) {
            Some(ns) if ns > 0 => Ok(Amount::For(ns)),
            _ => Err(format!("`{word}` is neither a number of requests (`for 3 requests`) nor a time (`for 2s`)")),
        }
    }

    fn number(&mut self, default: u32, range: std::ops::RangeInclusive<u32>, of: &str) -> Result<u32, String> {
        let Some(word) = self.word() else { return Ok(default) };
        match word.parse::<u32>() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(format!("`{of}` takes a number from {} to {}, found `{word}`", range.start(), range.end())),
        }
    }
}

fn fault(words: &mut Words<'_>) -> Result<Fault, String> {
    let when = match words.peek() {
        Some("at") => {
            words.at += 1;
            When::At(words.time("at")?)
        }
        Some("every") => {
            words.at += 1;
            match words.time("every")? {
                0 => return Err("`every` needs a time above zero".to_owned()),
                ns => When::Every(ns),
            }
        }
        Some("with") => {
            words.at += 1;
            let word = words.next().ok_or("a probability is missing after `with`; write 0.01 for one in a hundred")?;
            When::With(
                parse_ppm(word).ok_or_else(|| {
                    format!("`{word}` is not a probability; write a number from 0.000001 to 1, as 0.01")
                })?,
            )
        }
        _ => When::Always,
    };
    let name = words.next().ok_or("the fault is missing; write for example `at 5s cut`")?;
    let what = match name {
        "silence" => What::Silence { target: words.target(), for_ns: words.for_time(name)? },
        "gap" => What::Gap { target: words.event_target(name)? },
        "duplicate" => What::Duplicate { target: words.event_target(name)? },
        "reorder" => What::Reorder { target: words.event_target(name)? },
        "corrupt" => What::Corrupt { target: words.event_target(name)? },
        "split" => What::Split { bytes: words.number(7, 1..=65_536, name)?, for_ns: words.for_time(name)? },
        "glue" => What::Glue { frames: words.number(4, 2..=1_000, name)?, for_ns: words.for_time(name)? },
        "fragment" => What::Fragment { for_ns: words.for_time(name)? },
        "half-open" => What::HalfOpen { who: words.who() },
        "close" => {
            let code = words.next().and_then(|word| word.parse::<u16>().ok());
            match code {
                Some(1005 | 1006 | 1015) => {
                    return Err("this close code never travels; use `cut` for an end without a close frame".to_owned());
                }
                Some(code @ 1000..=4999) => What::Close { code, who: words.who() },
                _ => return Err("`close` takes a close code from 1000 to 4999, as in `close 1008`".to_owned()),
            }
        }
        "cut" => What::Cut { who: words.who() },
        "http" => {
            let status = words.next().and_then(|word| word.parse::<u16>().ok());
            let Some(status @ 400..=599) = status else {
                return Err("`http` takes a status from 400 to 599, as in `http 503`".to_owned());
            };
            What::Http { status, path: words.path()?, amount: words.amount()? }
        }
        "slow" => What::Slow { delay_ns: words.time(name)?, path: words.path()?, amount: words.amount()? },
        "stale" => What::Stale { symbol: words.word().map(str::to_owned), amount: words.amount()? },
        "refuse" if matches!(when, When::With(_)) && words.peek().is_none() => What::Refuse { for_ns: 0 },
        "refuse" => What::Refuse { for_ns: words.for_time(name)? },
        "shutdown" => {
            What::Shutdown { after_ns: if words.eat("after") { words.time("after")? } else { 1_000_000_000 } }
        }
        "lifetime" => What::Lifetime { age_ns: words.time(name)? },
        "quiet" => {
            if !words.eat("after") {
                return Err(format!("write `quiet after 20s`{}", words.found()));
            }
            What::Quiet { after_ns: words.time("after")? }
        }
        _ => {
            return Err(format!(
                "unknown fault `{name}`; known are silence, gap, duplicate, reorder, corrupt, split, glue, fragment, \
                 half-open, close, cut, http, slow, stale, refuse, shutdown, lifetime and quiet, \
                 after `at T`, `every T` or `with P`"
            ));
        }
    };
    match (&what, when) {
        (What::Lifetime { .. } | What::Quiet { .. }, When::Always) => {}
        (What::Lifetime { .. } | What::Quiet { .. }, _) => {
            return Err(format!("`{name}` holds for the whole run: write it without `at`, `every` or `with`"));
        }
        (_, When::Always) => {
            return Err(format!("say when: `at 5s {name} ...`, `every 10s {name} ...` or `with 0.01 {name} ...`"));
        }
        _ => {}
    }
    match words.next() {
        None => Ok(Fault { when, what }),
        Some(word) => Err(format!("`{word}` is not expected at the end of `{name}`")),
    }
}

/// Reads `0.01` as 10,000 in a million.
fn parse_ppm(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || part.len() > 6 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let part: u32 = format!("{part:0<6}").parse().ok()?;
    let ppm = whole * 1_000_000 + part;
    (1..=1_000_000).contains(&ppm).then_some(ppm)
}

/// Whether `name` matches `pattern`, in which `*` stands for anything; ASCII case does not matter.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go back to: behind the last star, and one character further in the name.
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            back = Some((p, n));
        } else if pattern.get(p).is_some_and(|c| c.eq_ignore_ascii_case(&name[n])) {
            p += 1;
            n += 1;
        } else if let Some((star_p, star_n)) = back {
            p = star_p;
            n = star_n + 1;
            back = Some((star_p, star_n + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

impl Target {
    fn matches(&self, symbol: &str, stream: &str) -> bool {
        match self {
            Target::All => true,
            Target::Match(word) => word.eq_ignore_ascii_case(symbol) || glob(word, stream),
            Target::Connection(_) => false,
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

/// What a fault asks of the venue at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Close { code: u16, who: Who },
    Cut { who: Who },
    HalfOpen { who: Who },
    Silence { who: Who, until_ns: u64 },
    Wire { fault: WireFault, until_ns: u64 },
    Shutdown { after_ns: u64 },
}

/// What becomes of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Drop,
    Twice,
    /// After the next event of the same stream.
    Later,
    Corrupt,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestVerdict {
    pub(crate) status: Option<u16>,
    pub(crate) delay_ns: u64,
    pub(crate) stale: bool,
}

/// Runs a script. Time is an argument; nothing happens without a call.
#[derive(Debug)]
pub(crate) struct Engine {
    faults: Vec<(Fault, State)>,
    rng: Rng,
    quiet_ns: u64,
    lifetime_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// When it happens next by the clock; `u64::MAX` for never.
    next_ns: u64,
    /// How many events or requests it still concerns.
    armed: u32,
    /// Until when it concerns all of them.
    until_ns: u64,
}

impl Engine {
    pub(crate) fn new(script: &Script, seed: u64, start_ns: u64) -> Self {
        let mut engine = Engine {
            faults: Vec::with_capacity(script.faults.len().min(FAULTS_MAX)),
            rng: Rng::with_seed(seed ^ 0xfa01_7000),
            quiet_ns: u64::MAX,
            lifetime_ns: None,
        };
        for fault in script.faults.iter().take(FAULTS_MAX) {
            match (&fault.what, fault.when) {
                (What::Quiet { after_ns }, _) => engine.quiet_ns = start_ns.saturating_add(*after_ns),
                (What::Lifetime { age_ns }, _) => engine.lifetime_ns = Some(*age_ns),
                (_, when) => {
                    let next_ns = match when {
                        When::At(ns) | When::Every(ns) => start_ns.saturating_add(ns),
                        When::With(_) | When::Always => u64::MAX,
                    };
                    engine.faults.push((fault.clone(), State { next_ns, armed: 0, until_ns: 0 }));
                }
            }
        }
        engine
    }

    /// True when the script is empty, so that the venue can skip the rest.
    pub(crate) fn is_idle(&self) -> bool {
        self.faults.is_empty()
    }

    /// Age at which connections are closed, if the script says so.
    pub(crate) fn lifetime_ns(&self) -> Option<u64> {
        self.lifetime_ns
    }

    /// When the next fault happens by the clock.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let next = self.faults.iter().map(|(_, state)| state.next_ns).min()?;
        (next < self.quiet_ns).then_some(next)
    }

    /// Lets the faults happen whose time has come and appends what the venue has to do.
    pub(crate) fn fire(&mut self, now_ns: u64, actions: &mut Vec<Action>) {
        if now_ns >= self.quiet_ns {
            return;
        }
        for (fault, state) in &mut self.faults {
            while state.next_ns <= now_ns {
                let at_ns = state.next_ns;
                state.next_ns = match fault.when {
                    When::Every(every_ns) => at_ns.saturating_add(every_ns),
                    _ => u64::MAX,
                };
                begin(&fault.what, state, at_ns, self.quiet_ns, actions);
            }
        }
    }

    /// Asks what becomes of one data event.
    pub(crate) fn on_event(&mut self, now_ns: u64, symbol: &str, stream: &str, actions: &mut Vec<Action>) -> Verdict {
        if now_ns >= self.quiet_ns {
            return Verdict::Pass;
        }
        let mut verdict = Verdict::Pass;
        for (fault, state) in &mut self.faults {
            let (target, hit) = match &fault.what {
                What::Silence { target: Target::Connection(_), .. } => (None, Verdict::Drop),
                What::Silence { target, .. } | What::Gap { target } => (Some(target), Verdict::Drop),
                What::Duplicate { target } => (Some(target), Verdict::Twice),
                What::Reorder { target } => (Some(target), Verdict::Later),
                What::Corrupt { target } => (Some(target), Verdict::Corrupt),
                What::Http { .. } | What::Slow { .. } | What::Stale { .. } | What::Refuse { .. } => continue,
                _ => (None, Verdict::Pass),
            };
            if target.is_some_and(|target| !target.matches(symbol, stream)) {
                continue;
            }
            if let When::With(ppm) = fault.when
                && self.rng.u32(..1_000_000) < ppm
            {
                begin(&fault.what, state, now_ns, self.quiet_ns, actions);
            }
            if target.is_none() || (state.armed == 0 && now_ns >= state.until_ns) {
                continue;
            }
            // Silence swallows an event before anything else can happen to it, and does not use up the others.
            if verdict == Verdict::Pass {
                state.armed = state.armed.saturating_sub(1);
                verdict = hit;
            }
        }
        verdict
    }

    /// Asks what becomes of one request. `symbol` is empty where the request names none.
    pub(crate) fn on_request(&mut self, now_ns: u64, path: &str, symbol: &str, snapshot: bool) -> RequestVerdict {
        let mut verdict = RequestVerdict::default();
        if now_ns >= self.quiet_ns {
            return verdict;
        }
        for (fault, state) in &mut self.faults {
            let concerned = match &fault.what {
                What::Http { path: prefix, .. } | What::Slow { path: prefix, .. } => {
                    prefix.as_ref().is_none_or(|prefix| path.starts_with(prefix.as_str()))
                }
                What::Stale { symbol: only, .. } => {
                    snapshot && only.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(symbol))
                }
                _ => continue,
            };
            if !concerned {
                continue;
            }
            if let When::With(ppm) = fault.when
                && self.rng.u32(..1_000_000) < ppm
            {
                begin(&fault.what, state, now_ns, self.quiet_ns, &mut Vec::new());
            }
            if state.armed == 0 && now_ns >= state.until_ns {
                continue;
            }
            state.armed = state.armed.saturating_sub(1);
            match &fault.what {
                What::Http { status, .. } => verdict.status = verdict.status.or(Some(*status)),
                What::Slow { delay_ns, .. } => verdict.delay_ns = verdict.delay_ns.saturating_add(*delay_ns),
                _ => verdict.stale = true,
            }
        }
        verdict
    }

    /// Asks whether a new connection is refused.
    pub(crate) fn refuses(&mut self, now_ns: u64) -> bool {
        let mut refused = false;
        if now_ns < self.quiet_ns {
            for (fault, state) in &mut self.faults {
                if let What::Refuse { for_ns } = fault.what {
                    if let When::With(ppm) = fault.when
                        && self.rng.u32(..1_000_000) < ppm
                    {
                        refused = true;
                        state.until_ns = state.until_ns.max(now_ns.saturating_add(for_ns));
                    }
                    refused |= now_ns < state.until_ns;
                }
            }
        }
        refused
    }

    /// A random number below `end`, for what a fault leaves open.
    pub(crate) fn pick(&mut self, end: usize) -> usize {
        self.rng.usize(..end.max(1))
    }
}

/// Starts a fault: arms it, opens its window, or hands an action to the venue.
fn begin(what: &What, state: &mut State, now_ns: u64, quiet_ns: u64, actions: &mut Vec<Action>) {
    let until = |for_ns: u64| now_ns.saturating_add(for_ns).min(quiet_ns);
    match what {
        What::Silence { target: Target::Connection(who), for_ns } => {
            actions.push(Action::Silence { who: *who, until_ns: until(*for_ns) });
        }
        What::Silence { for_ns, .. } | What::Refuse { for_ns } => state.until_ns = until(*for_ns),
        What::Gap { .. } | What::Duplicate { .. } | What::Reorder { .. } | What::Corrupt { .. } => state.armed = 1,
        What::Split { bytes, for_ns } => {
            actions.push(Action::Wire { fault: WireFault::Split(*bytes), until_ns: until(*for_ns) });
        }
        What::Glue { frames, for_ns } => {
            actions.push(Action::Wire { fault: WireFault::Glue(*frames), until_ns: until(*for_ns) });
        }
        What::Fragment { for_ns } => {
            actions.push(Action::Wire { fault: WireFault::Fragment, until_ns: until(*for_ns) });
        }
        What::HalfOpen { who } => actions.push(Action::HalfOpen { who: *who }),
        What::Close { code, who } => actions.push(Action::Close { code: *code, who: *who }),
        What::Cut { who } => actions.push(Action::Cut { who: *who }),
        What::Http { amount, .. } | What::Slow { amount, .. } | What::Stale { amount, .. } => match amount {
            Amount::Requests(count) => state.armed = *count,
            Amount::For(for_ns) => state.until_ns = until(*for_ns),
        },
        What::Shutdown { after_ns } => actions.push(Action::Shutdown { after_ns: *after_ns }),
        What::Lifetime { .. } | What::Quiet { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const ALL: &str = "\
at 5s silence BTCUSDT for 3s
at 1.5s silence connection one for 250ms
every 10s gap
with 0.01 duplicate *@depth*
at 1m reorder ETHUSDT
with 1 corrupt
at 2s split 7 for 1s
at 2s glue 4 for 1s
at 2s fragment for 1s
at 8s half-open one
at 8s close 1008
at 9s cut
at 1s http 503 /api/v3/depth for 3 requests
at 1s http 429 for 2s
at 1s slow 500ms /api for 2 requests
at 1s stale BTCUSDT for 2 requests
at 1s refuse for 5s
with 0.25 refuse
at 30s shutdown after 2s
lifetime 24h
quiet after 2h
";

    fn engine(text: &str) -> Engine {
        Engine::new(&Script::parse(text).unwrap(), 1, 0)
    }

    fn events(engine: &mut Engine, from_s: u64, to_s: u64, symbol: &str, stream: &str) -> Vec<(u64, Verdict)> {
        (from_s..to_s)
            .map(|s| {
                engine.fire(s * S, &mut Vec::new());
                (s, engine.on_event(s * S, symbol, stream, &mut Vec::new()))
            })
            .filter(|(_, verdict)| *verdict != Verdict::Pass)
            .collect()
    }

    #[test]
    fn every_fault_reads_and_writes_back() {
        let script = Script::parse(ALL).unwrap();
        assert_eq!(script.faults.len(), ALL.lines().count());
        let written = script.to_string();
        assert_eq!(Script::parse(&written).unwrap(), script);
        assert_eq!(written, ALL.replace("1.5s", "1500ms"));
    }

    #[test]
    fn comments_and_defaults() {
        let script =
            Script::parse("# nothing\n\n at 1s http 500 # one request\nat 1s split for 1s\nat 1s shutdown").unwrap();
        assert_eq!(
            script.to_string(),
            "at 1s http 500 for 1 requests\nat 1s split 7 for 1s\nat 1s shutdown after 1s\n"
        );
    }

    #[test]
    fn random_scripts_read_back_and_are_equal_for_equal_seeds() {
        for seed in 0..300 {
            let script = Script::random(seed, 30 * S, &["BTCUSDT", "ETHUSDT"]);
            assert_eq!(Script::parse(&script.to_string()).unwrap(), script, "{script}");
            assert_eq!(Script::random(seed, 30 * S, &["BTCUSDT", "ETHUSDT"]), script);
        }
        assert_ne!(Script::random(1, 30 * S, &[]), Script::random(2, 30 * S, &[]));
    }

    #[test]
    fn errors_name_the_line_and_the_remedy() {
        for (text, line, part) in [
            ("at 5s gap\nat 5x gap", 2, "`5x` is not a time; write it as 20ms"),
            ("gap", 1, "say when: `at 5s gap ...`"),
            ("at 5s gapp", 1, "unknown fault `gapp`; known are silence, gap"),
            ("at 5s silence BTCUSDT", 1, "`silence` needs a length, as in `silence for 3s`"),
            ("at 5s silence BTCUSDT for 0s", 1, "above zero"),
            ("with 2 gap", 1, "`2` is not a probability"),
            ("with 0 gap", 1, "`0` is not a probability"),
            ("at 5s close 99", 1, "close code from 1000 to 4999"),
            ("at 5s close 1006", 1, "use `cut`"),
            ("at 5s http 200", 1, "status from 400 to 599"),
            ("at 5s http 503 depth", 1, "`depth` is not a path"),
            ("at 5s http 503 for 3", 1, "write `for 3 requests`"),
            ("at 5s http 503 for ever", 1, "`ever` is neither"),
            ("at 5s lifetime 3s", 1, "without `at`"),
            ("at 5s cut now", 1, "`now` is not expected"),
            ("at 5s gap connection", 1, "`gap` concerns events"),
            ("every 0s gap", 1, "above zero"),
            ("at 5s split 0 for 3s", 1, "`split` takes a number from 1 to 65536, found `0`"),
            ("at", 1, "a time is missing after `at`"),
            ("at 5s", 1, "the fault is missing"),
            ("quiet 20s", 1, "write `quiet after 20s`, found `20s`"),
            ("at 99999999999h cut", 1, "is not a time"),
        ] {
            let error = Script::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
        let long = "at 1s cut\n".repeat(FAULTS_MAX + 1);
        assert_eq!(Script::parse(&long).unwrap_err().line, FAULTS_MAX + 1);
    }

    #[test]
    fn silence_lasts_as_long_as_it_says() {
        let mut engine = engine("at 5s silence BTCUSDT for 3s");
        let hit = events(&mut engine, 0, 20, "BTCUSDT", "btcusdt@trade");
        assert_eq!(hit, [(5, Verdict::Drop), (6, Verdict::Drop), (7, Verdict::Drop)]);
        assert!(
            events(&mut self::engine("at 5s silence BTCUSDT for 3s"), 0, 20, "ETHUSDT", "ethusdt@trade").is_empty()
        );
    }

    #[test]
    fn event_faults_concern_one_event_each_time() {
        let mut engine = engine("every 10s gap\nat 3s duplicate *@depth*\nat 4s reorder\nat 5s corrupt");
        let hit = events(&mut engine, 0, 25, "BTCUSDT", "btcusdt@trade");
        assert_eq!(hit, [(4, Verdict::Later), (5, Verdict::Corrupt), (10, Verdict::Drop), (20, Verdict::Drop)]);
        let hit = events(&mut engine, 25, 27, "BTCUSDT", "btcusdt@depth@100ms");
        assert_eq!(hit, [(25, Verdict::Twice)]);
    }

    #[test]
    fn dice_fall_as_often_as_they_should() {
        let mut engine = engine("with 0.1 gap");
        let dropped =
            (0..10_000).filter(|s| engine.on_event(s * S, "X", "x@trade", &mut Vec::new()) == Verdict::Drop).count();
        assert!((850..1150).contains(&dropped), "{dropped}");
    }

    #[test]
    fn requests_are_counted_down() {
        let mut engine =
            engine("at 1s http 503 /api/v3/depth for 2 requests\nat 1s slow 3s for 10s\nat 2s stale BTCUSDT");
        engine.fire(S, &mut Vec::new());
        let plain = RequestVerdict { delay_ns: 3 * S, ..RequestVerdict::default() };
        assert_eq!(engine.on_request(S, "/api/v3/time", "", false), plain);
        let depth = |engine: &mut Engine, now| engine.on_request(now, "/api/v3/depth", "BTCUSDT", true);
        assert_eq!(depth(&mut engine, S).status, Some(503));
        assert_eq!(depth(&mut engine, S).status, Some(503));
        assert_eq!(depth(&mut engine, S), plain);
        engine.fire(2 * S, &mut Vec::new());
        assert!(!engine.on_request(2 * S, "/api/v3/depth", "ETHUSDT", true).stale);
        assert!(depth(&mut engine, 2 * S).stale);
        assert!(!depth(&mut engine, 2 * S).stale);
        assert_eq!(depth(&mut engine, 11 * S), RequestVerdict::default());
    }

    #[test]
    fn connections_are_refused_for_a_while() {
        let mut engine = engine("at 2s refuse for 2s");
        let refused: Vec<u64> = (0..8)
            .filter(|s| {
                engine.fire(s * S, &mut Vec::new());
                engine.refuses(s * S)
            })
            .collect();
        assert_eq!(refused, [2, 3]);
        let mut engine = self::engine("with 1 refuse");
        assert!(engine.refuses(0));
    }

    #[test]
    fn quiet_ends_everything() {
        let mut engine = engine("at 1s silence for 1h\nwith 1 refuse\nevery 1s cut\nquiet after 3s");
        let mut actions = Vec::new();
        for s in 0..10 {
            engine.fire(s * S, &mut actions);
        }
        assert_eq!(actions, [Action::Cut { who: Who::All }, Action::Cut { who: Who::All }]);
        assert_eq!(engine.on_event(2 * S, "X", "x", &mut actions), Verdict::Drop);
        assert_eq!(engine.on_event(3 * S, "X", "x", &mut actions), Verdict::Pass);
        assert!(engine.refuses(2 * S));
        assert!(!engine.refuses(3 * S));
        assert_eq!(engine.next_ns(), None);
        // What was armed and the dice are over too.
        for text in ["at 1s gap\nquiet after 3s", "with 1 gap\nquiet after 3s"] {
            let mut engine = self::engine(text);
            engine.fire(2 * S, &mut actions);
            assert_eq!(engine.on_event(3 * S, "X", "x", &mut actions), Verdict::Pass, "{text}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name, same) in [
            ("*@depth*", "btcusdt@depth@100ms", true),
            ("*@depth", "btcusdt@depth@100ms", false),
            ("BTC*@*ms", "btcusdt@depth@100ms", true),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("abc", "abcd", false),
        ] {
            assert_eq!(glob(pattern, name), same, "{pattern} {name}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(parse_time("1.5s"), Some(1_500_000_000));
        assert_eq!(parse_time("20ms"), Some(20_000_000));
        assert_eq!(parse_time("24h"), Some(86_400_000_000_000));
        for bad in ["", "5", "s", "1.s", ".5s", "1.0000000001s", "1 s", "-1s", "1d"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
        assert_eq!(Time(90_000_000_000).to_string(), "90s");
    }
}
