//! Candle intervals.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// The interval of a candle, as CCXT spells it (`1m` is a minute, `1M` a month).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[allow(missing_docs)] // The names say it: a letter for the unit, and how many.
pub enum Timeframe {
    S1,
    M1,
    M3,
    M5,
    M15,
    M30,
    H1,
    H2,
    H4,
    H6,
    H8,
    H12,
    D1,
    D3,
    W1,
    Month1,
}

use Timeframe::*;

/// All intervals, shortest first, with their spelling and length in seconds (a month: 30 days).
const ALL: [(Timeframe, &str, u32); 16] = [
    (S1, "1s", 1),
    (M1, "1m", 60),
    (M3, "3m", 180),
    (M5, "5m", 300),
    (M15, "15m", 900),
    (M30, "30m", 1_800),
    (H1, "1h", 3_600),
    (H2, "2h", 7_200),
    (H4, "4h", 14_400),
    (H6, "6h", 21_600),
    (H8, "8h", 28_800),
    (H12, "12h", 43_200),
    (D1, "1d", 86_400),
    (D3, "3d", 259_200),
    (W1, "1w", 604_800),
    (Month1, "1M", 2_592_000),
];

impl Timeframe {
    /// All intervals, shortest first.
    pub fn all() -> impl Iterator<Item = Timeframe> {
        ALL.iter().map(|row| row.0)
    }

    /// The spelling: `1m`, `4h`, `1M`.
    pub fn as_str(self) -> &'static str {
        ALL[self as usize].1
    }

    /// Length in seconds; a month counts 30 days.
    pub fn seconds(self) -> u32 {
        ALL[self as usize].2
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Timeframe {
    type Err = Error;

    fn from_str(text: &str) -> Result<Timeframe, Error> {
        ALL.iter().find(|row| row.1 == text).map(|row| row.0).ok_or_else(|| {
            let known: Vec<&str> = ALL.iter().map(|row| row.1).collect();
            Error::new(ErrorKind::BadRequest, format!("no timeframe {text:?}; there are {}", known.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for timeframe in Timeframe::all() {
            assert_eq!(timeframe.as_str().parse::<Timeframe>().unwrap(), timeframe);
        }
        assert_eq!("1M".parse::<Timeframe>().unwrap(), Month1);
        assert_eq!("1m".parse::<Timeframe>().unwrap().seconds(), 60);
        assert!("2m".parse::<Timeframe>().unwrap_err().to_string().contains("there are 1s, 1m, 3m"));
    }
}
