//! What several adapters need to read: numbers, times, and rows of levels that are not arrays of two.

use crate::book::Level;
use crate::decimal::{DecimalError, Fixed};
use crate::json::{Cursor, JsonError, JsonErrorKind};
use crate::model::Wall;

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

/// Reads `"2021-04-17T16:43:40.217224Z"`. `None` for a time that the venue did not have: some messages of Coinbase carry
/// the year 1.
#[inline]
pub(super) fn iso_time(c: &mut Cursor<'_>) -> Result<Option<Wall>, JsonError> {
    let at = *c;
    let text = c.bytes()?;
    match parse_iso(text) {
        Some(wall) => Ok(Some(wall).filter(|wall| wall.0 > 0)),
        None => Err(at.missing()),
    }
}

/// RFC 3339 in UTC, with up to nine digits of a fraction.
#[inline]
fn parse_iso(text: &[u8]) -> Option<Wall> {
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
    let digits = match rest {
        b"Z" => &[][..],
        [b'.', digits @ .., b'Z'] if digits.len() <= 9 => digits,
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
        ] {
            assert_eq!(parse_iso(text.as_bytes()), Some(Wall(ns)), "{text}");
        }
        for text in
            ["", "2021-04-17T16:43:40", "2021-04-17T16:43:40.Zx", "2021-13-17T16:43:40Z", "2021/04/17T16:43:40Z"]
        {
            assert_eq!(parse_iso(text.as_bytes()), None, "{text}");
        }
        assert_eq!(iso_time(&mut Cursor::new(b"\"0001-01-01T00:00:00.000000Z\"")), Ok(None));
        assert!(iso_time(&mut Cursor::new(b"\"yesterday\"")).is_err());
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
