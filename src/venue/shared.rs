//! What several adapters need to read: numbers, times, and rows of levels that are not arrays of two.

use crate::book::Level;
use crate::decimal::{DecimalError, Fixed};
use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, JsonError, JsonErrorKind, Node};
use crate::market::Market;
use crate::model::{Timeframe, Wall};
use crate::venue::Profile;

/// A number at the scale of its market; at its own where it is finer.
#[inline]
pub(super) fn number(c: &mut Cursor<'_>, scale: u8) -> Result<Fixed, JsonError> {
    let at = *c;
    if let Ok(mantissa) = c.decimal(scale) {
        return Ok(Fixed::new(mantissa, scale));
    }
    *c = at;
    c.fixed()
}

/// Like [`number`], but `None` for what some venues write where there is nothing: `""` and `null`.
#[inline]
pub(super) fn number_if_any(c: &mut Cursor<'_>, scale: u8) -> Result<Option<Fixed>, JsonError> {
    if c.absent() { Ok(None) } else { number(c, scale).map(Some) }
}

/// A statistic, which may be rounded; `None` where there is nothing.
pub(super) fn statistic(c: &mut Cursor<'_>) -> Result<Option<Fixed>, JsonError> {
    if c.absent() { Ok(None) } else { c.fixed_round().map(Some) }
}

/// A venue's text, bounded.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

/// A REST answer that is no JSON, or not what it should be.
pub(super) fn unreadable(error: JsonError) -> Error {
    Error::new(ErrorKind::BadResponse, format!("cannot read the answer: {error}"))
}

/// No REST snapshot is ever joined to a stream that brings its own.
pub(super) fn snapshots_on_stream() -> Error {
    Error::new(ErrorKind::NotSupported, "snapshots come on the stream")
}

/// What the venue has in place of candles of this interval.
pub(super) fn no_candles(profile: &Profile, timeframe: Timeframe) -> Error {
    let known: Vec<_> = profile.timeframes.iter().map(|t| t.as_str()).collect();
    let text = format!("has no candles of {timeframe}; it has {}", known.join(", "));
    Error::new(ErrorKind::NotSupported, text).at(profile.id)
}

/// The markets of a list of `what`. One row that cannot be read must not hide the others; a list of which none can be read is
/// an error, an empty one is not: a venue may have no futures.
pub(super) fn readable(rows: impl Iterator<Item = Option<Market>>, what: &str) -> Result<Vec<Market>, Error> {
    let mut count = 0;
    let list: Vec<Market> = rows.inspect(|_| count += 1).flatten().collect();
    if list.is_empty() && count > 0 {
        return Err(Error::new(ErrorKind::BadResponse, format!("the list of {what} holds no readable market")));
    }
    Ok(list)
}

/// A limit or a step. Zero, or nothing, stands for none.
pub(super) fn limit(row: Node<'_>, key: &str) -> Option<Fixed> {
    row.get(key).and_then(|node| node.fixed().ok()).filter(|number| !number.is_zero())
}

/// Reads `"2021-04-17T16:43:40.217224Z"`. `None` for a time that the venue did not have: some messages of Coinbase carry
/// the year 1.
#[inline(never)]
fn iso_time(c: &mut Cursor<'_>) -> Result<Option<Wall>, JsonError> {
    let at = *c;
    let text = c.bytes()?;
    match parse_iso(text) {
        Some(wall) => Ok(Some(wall).filter(|wall| wall.0 > 0)),
        None => Err(at.missing()),
    }
}

/// Reads `"2021-04-17T16:43:40.217224Z"` faster, because it remembers the last date: only the time of day is decoded then.
#[derive(Debug)]
pub(super) struct IsoTimes {
    /// `"2021-04-17T`, quote included.
    date: [u8; DATE],
    /// Its first nanosecond.
    start_ns: i64,
}

/// The length of a date with its quote and the `T`.
const DATE: usize = 12;

impl Default for IsoTimes {
    /// With a day that is long ago.
    fn default() -> IsoTimes {
        IsoTimes { date: *b"\"1970-01-02T", start_ns: 86_400_000_000_000 }
    }
}

impl IsoTimes {
    /// The time that comes next, if it has six digits of a fraction and is one that [`iso_time`] reads as well. `None`, and
    /// nothing is read, if anything else comes.
    #[inline(always)]
    pub(super) fn plain_time(&mut self, c: &mut Cursor<'_>) -> Option<Wall> {
        let mut ahead = *c;
        let wall = self.of_text(ahead.plain_chunk()?)?;
        *c = ahead;
        Some(wall)
    }

    /// What [`iso_time`] reads, as fast as can be.
    #[inline]
    pub(super) fn time(&mut self, c: &mut Cursor<'_>) -> Result<Option<Wall>, JsonError> {
        match self.plain_time(c) {
            Some(wall) => Ok(Some(wall)),
            None => iso_time(c),
        }
    }

    #[inline(always)]
    fn of_text(&mut self, text: &[u8; DATE + 17]) -> Option<Wall> {
        let (date, rest) = text.split_first_chunk::<DATE>()?;
        let (clock, rest) = rest.split_first_chunk::<8>()?;
        let (fraction, quote) = rest.split_first_chunk::<8>()?;
        if *quote != *b"\"" || (*date != self.date && !self.remember(date)) {
            return None;
        }
        let clock = u64::from_le_bytes(*clock) ^ u64::from_le_bytes(*b"00:00:00");
        let fraction = u64::from_le_bytes(*fraction) ^ u64::from_le_bytes(*b".000000Z");
        // A digit is at most 9 now, and everything else zero. Both sums carry into the highest bit of a byte where that is
        // not so; what carries beyond a byte comes from one that has this bit itself.
        let wrong =
            clock | clock.wrapping_add(0x7676_7f76_767f_7676) | fraction | fraction.wrapping_add(0x7f76_7676_7676_767f);
        if wrong & 0x8080_8080_8080_8080 != 0 {
            return None;
        }
        // Numbers of two digits, each where its first digit was.
        let (clock, fraction) = (clock * 10 + (clock >> 8), (fraction >> 8) * 10 + (fraction >> 16));
        let two = |numbers: u64, byte: u32| (numbers >> (8 * byte) & 0xff) as i64;
        let seconds = (two(clock, 0) * 60 + two(clock, 3)) * 60 + two(clock, 6);
        let micros = (two(fraction, 0) * 100 + two(fraction, 2)) * 100 + two(fraction, 4);
        Some(Wall(self.start_ns + (seconds * 1_000_000 + micros) * 1_000))
    }

    /// Another day than the last one. False if it is none, or too far away to count with.
    #[cold]
    fn remember(&mut self, date: &[u8; DATE]) -> bool {
        let mut text = *b"\"2021-04-17T00:00:00Z";
        text[..DATE].copy_from_slice(date);
        match text.strip_prefix(b"\"").and_then(parse_iso) {
            // A hundred hours and more fit behind it: what is written as time of day counts as it is.
            Some(Wall(start_ns)) if start_ns > 0 && start_ns < i64::MAX / 2 => {
                (self.date, self.start_ns) = (*date, start_ns);
                true
            }
            _ => false,
        }
    }
}

/// RFC 3339 in UTC, with up to nine digits of a fraction. Some venues write `+00` for `Z`.
#[inline]
pub(super) fn parse_iso(text: &[u8]) -> Option<Wall> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let separators = [head[4], head[7], head[10], head[13], head[16]];
    if separators != *b"--T::" && separators != *b"-- ::" {
        return None;
    }
    let two = |at: usize| -> Option<i64> {
        let (tens, ones) = (head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
    };
    let year = two(0)? * 100 + two(2)?;
    let (month, day) = (two(5)?, two(8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 of a year that begins in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day
            - 719_469;
    let seconds = days * 86_400 + two(11)? * 3_600 + two(14)? * 60 + two(17)?;
    let utc = |end: &[u8]| rest.strip_suffix(end);
    let digits = match utc(b"Z").or_else(|| utc(b"+00")).or_else(|| utc(b"+00:00"))? {
        [] => &[][..],
        [b'.', digits @ ..] if digits.len() <= 9 => digits,
        _ => return None,
    };
    let mut ns = 0_i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        ns = ns * 10 + i64::from(digit);
    }
    ns *= POWERS[9 - digits.len()];
    Some(Wall(seconds.saturating_mul(1_000_000_000).saturating_add(ns)))
}

/// Year, month and day of a day counted from 1970 on.
pub(super) fn civil(day: i64) -> (i64, i64, i64) {
    // Days of a year that begins in March, in eras of 400 years: the leap day is the last of all.
    let days = day.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day of a time: `2021-04-17`.
pub(super) fn push_date(time: Wall, out: &mut Vec<u8>) {
    let (year, month, day) = civil(time.0.div_euclid(86_400_000_000_000));
    for (number, places) in [(year, 4), (month, 2), (day, 2)] {
        if places == 2 {
            out.push(b'-');
        }
        out.extend((0..places).rev().map(|place| b'0' + (number / POWERS[place] % 10) as u8));
    }
}

const POWERS: [i64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// Reads the levels of a message cell by cell, and remembers what was wrong with them: a number that is finer than the
/// scales does not end the reading, so that the error names scales that do for all of them.
#[derive(Debug)]
pub(super) struct LevelReader {
    price_scale: u8,
    amount_scale: u8,
    finer_price: Option<u8>,
    finer_amount: Option<u8>,
    /// Levels left out because their numbers cannot be held.
    pub(super) rejected: u32,
}

impl LevelReader {
    #[inline]
    pub(super) fn new(price_scale: u8, amount_scale: u8) -> LevelReader {
        LevelReader { price_scale, amount_scale, finer_price: None, finer_amount: None, rejected: 0 }
    }

    /// A price; `None` if it cannot be held at this scale.
    #[inline]
    pub(super) fn price(&mut self, c: &mut Cursor<'_>) -> Result<Option<i64>, JsonError> {
        let result = c.decimal(self.price_scale);
        self.cell(result, true)
    }

    /// An amount; likewise.
    #[inline]
    pub(super) fn amount(&mut self, c: &mut Cursor<'_>) -> Result<Option<i64>, JsonError> {
        let result = c.decimal(self.amount_scale);
        self.cell(result, false)
    }

    /// Both as a level, if they can be held.
    #[inline]
    pub(super) fn level(price: Option<i64>, amount: Option<i64>) -> Option<Level> {
        Some(Level { price: price?, qty: amount? })
    }

    #[inline]
    fn cell(&mut self, result: Result<i64, JsonError>, is_price: bool) -> Result<Option<i64>, JsonError> {
        match result {
            Ok(mantissa) => Ok(Some(mantissa)),
            Err(error) => self.odd(error, is_price),
        }
    }

    #[cold]
    fn odd(&mut self, error: JsonError, is_price: bool) -> Result<Option<i64>, JsonError> {
        match error.kind {
            JsonErrorKind::Number(DecimalError::Inexact { scale }) => {
                let finer = if is_price { &mut self.finer_price } else { &mut self.finer_amount };
                *finer = Some(finer.map_or(scale, |finer| finer.max(scale)));
            }
            JsonErrorKind::Number(DecimalError::Overflow) => self.rejected = self.rejected.saturating_add(1),
            _ => return Err(error),
        }
        Ok(None)
    }

    /// All levels are read.
    #[inline]
    pub(super) fn finish(&self, c: &Cursor<'_>) -> Result<(), JsonError> {
        if self.finer_price.is_none() && self.finer_amount.is_none() {
            return Ok(());
        }
        let kind = JsonErrorKind::Inexact { price_scale: self.finer_price, qty_scale: self.finer_amount };
        Err(JsonError::new(kind, c.position()))
    }
}

/// A usual reader of frames against the plain one: what each makes of `frame` and of 40,000 copies with one or two bytes
/// changed, added or lost, as text. The usual one may answer `None`, and has to agree where it does not. Of the copies it
/// has to read so many that the comparison means something.
#[cfg(test)]
pub(super) fn judge_usual_reader(
    frame: &str,
    taken_min: usize,
    mut both_ways: impl FnMut(&[u8]) -> (Option<String>, Option<String>),
) {
    let mut random = fastrand::Rng::with_seed(7);
    let (usual, any) = both_ways(frame.as_bytes());
    assert!(any.is_some(), "{frame}");
    // Pairs of numbers need AVX2.
    if !std::is_x86_feature_detected!("avx2") {
        return;
    }
    assert_eq!(usual, any);
    let mut taken = 0;
    for _ in 0..40_000 {
        let mut damaged = frame.as_bytes().to_vec();
        for _ in 0..random.usize(1..=2) {
            let at = random.usize(..damaged.len());
            let byte = b"0123456789.\"[]{},:-eE buyZTaAB"[random.usize(..30)];
            match random.u8(..3) {
                0 => damaged[at] = byte,
                1 => damaged.insert(at, byte),
                _ => drop(damaged.remove(at)),
            }
        }
        let (usual, any) = both_ways(&damaged);
        if usual.is_some() {
            taken += 1;
            assert_eq!(usual, any, "{}", String::from_utf8_lossy(&damaged));
        }
    }
    assert!(taken >= taken_min, "{taken} of {frame}");
}

/// Gives `read` copies of `frames` with some bytes changed, added, lost or cut off at the end, `count` in all. Nothing more
/// is asked than that it comes back.
#[cfg(test)]
pub(super) fn damaged(frames: &[&str], count: usize, mut read: impl FnMut(&[u8])) {
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..count {
        let mut frame = frames[round % frames.len()].as_bytes().to_vec();
        for _ in 0..random.usize(1..=3) {
            let at = random.usize(..frame.len());
            match random.u8(..8) {
                0 => frame.truncate(at.max(1)),
                1 => frame[at] = random.u8(..),
                2 => frame.insert(at, b"\"{}[],:-.e0"[random.usize(..11)]),
                3 if frame.len() > 1 => drop(frame.remove(at)),
                // Digits and letters keep the frame readable.
                _ => frame[at] = b"0123456789-.e\"abZ"[random.usize(..17)],
            }
        }
        read(&frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2021-04-17T16:43:40.217224Z", 1_618_677_820_217_224_000),
            ("2024-02-29T23:59:59.999999999Z", 1_709_251_199_999_999_999),
            ("2000-03-01T00:00:00.5Z", 951_868_800_500_000_000),
            ("2023-10-06 17:35:55.440295Z", 1_696_613_755_440_295_000),
            ("2023-10-06 17:35:55.440295+00", 1_696_613_755_440_295_000),
            ("2023-10-06T17:35:55+00:00", 1_696_613_755_000_000_000),
        ] {
            assert_eq!(parse_iso(text.as_bytes()), Some(Wall(ns)), "{text}");
        }
        for text in [
            "",
            "2021-04-17T16:43:40",
            "2021-04-17T16:43:40.Zx",
            "2021-04-17T16:43:40+01",
            "2021-13-17T16:43:40Z",
            "2021/04/17T16:43:40Z",
        ] {
            assert_eq!(parse_iso(text.as_bytes()), None, "{text}");
        }
        assert_eq!(iso_time(&mut Cursor::new(b"\"0001-01-01T00:00:00.000000Z\"")), Ok(None));
        assert!(iso_time(&mut Cursor::new(b"\"yesterday\"")).is_err());
    }

    #[test]
    fn days_are_those_that_times_are_read_from() {
        for text in ["1970-01-01", "2000-02-29", "2024-02-29", "2024-03-01", "2026-12-31", "2100-03-01"] {
            let mut out = Vec::new();
            push_date(parse_iso(format!("{text}T23:59:59.999Z").as_bytes()).unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn times_of_a_remembered_day_are_those_of_the_plain_way() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut times = IsoTimes::default();
        let (mut read, mut refused) = (0, 0);
        for round in 0..200_000 {
            let mut text = *b"\"2021-04-17T16:43:40.217224Z\"";
            for _ in 0..random.usize(..4) {
                let at = random.usize(..text.len());
                text[at] = if random.u8(..4) > 0 { b'0' + random.u8(..10) } else { random.u8(..) };
            }
            if round % 7 == 0 {
                text[..DATE].fill(random.u8(..2));
            }
            let (mut c, mut plain) = (Cursor::new(&text), Cursor::new(&text));
            match times.plain_time(&mut c) {
                Some(wall) => {
                    read += 1;
                    let shown = String::from_utf8_lossy(&text);
                    assert_eq!(iso_time(&mut plain), Ok(Some(wall)), "{shown}");
                    assert_eq!(c.position(), plain.position(), "{shown}");
                }
                None => refused += 1,
            }
        }
        assert!(read > 50_000 && refused > 50_000, "{read} read, {refused} refused");
        let mut c = Cursor::new(b"\"2024-02-29T23:59:59.999999Z\"");
        assert_eq!(times.plain_time(&mut c), Some(Wall(1_709_251_199_999_999_000)));
        assert_eq!(times.plain_time(&mut Cursor::new(b"\"0001-01-01T00:00:00.000000Z\"")), None);
    }

    #[test]
    fn finer_levels_are_counted_together_and_wider_ones_rejected() {
        let mut c = Cursor::new(b"[1.25, 1.5, 99999999999999999999, 1.125, 2.5]");
        let mut reader = LevelReader::new(1, 2);
        c.open_array().unwrap();
        assert_eq!(reader.price(&mut c), Ok(None));
        c.comma().unwrap();
        assert_eq!(reader.amount(&mut c), Ok(Some(150)));
        c.comma().unwrap();
        assert_eq!(reader.price(&mut c), Ok(None));
        c.comma().unwrap();
        assert_eq!(reader.amount(&mut c), Ok(None));
        c.comma().unwrap();
        assert_eq!(reader.price(&mut c), Ok(Some(25)));
        assert_eq!(reader.rejected, 1);
        assert_eq!(reader.finish(&c).unwrap_err().finer(), Some((Some(2), Some(3))));
        assert_eq!(LevelReader::level(Some(1), None), None);
    }
}
