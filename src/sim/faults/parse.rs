//! Reads the language of faults.

use super::{Amount, Fault, Target, UNITS, What, When, Who};

/// Reads `1.5s` as nanoseconds; `None` when it is not a time or too long.
pub(super) fn parse_time(text: &str) -> Option<u64> {
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

/// The words of a line, read from the left.
pub(super) struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Words { words: line.split_whitespace().collect(), at: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

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

/// Reads one line.
pub(super) fn fault(words: &mut Words<'_>) -> Result<Fault, String> {
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
        "bad-checksum" => What::BadChecksum { target: words.event_target(name)? },
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
                "unknown fault `{name}`; known are silence, gap, duplicate, reorder, corrupt, bad-checksum, split, glue, \
                 fragment, half-open, close, cut, http, slow, stale, refuse, shutdown, lifetime and quiet, \
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
