//! What is sent: over TLS or plain, how often, about how many books, over how many sockets.

use std::fmt;
use std::str::FromStr;

/// How messages are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// So many a second, evenly.
    Rate(u32),
    /// [`BURST`] in one write, [`BURSTS_PER_S`] times a second.
    Burst,
}

/// Messages of a burst.
pub(crate) const BURST: usize = 100;
/// Bursts in a second.
const BURSTS_PER_S: u32 = 100;
/// Levels of a side of a book; fewer where there are very many books, so that they fit into the cheapest snapshot.
const LEVELS: usize = 980;
const LEVELS_OF_MANY: usize = 90;

/// A load; its name says all of it: `tls-10k`, `plain-burst`, `tls-10k-100x10` (100 books on 10 sockets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) tls: bool,
    pub(crate) pace: Pace,
    pub(crate) streams: u32,
    pub(crate) sockets: u32,
    /// Books are small whatever their number: for series in which only the number should change.
    pub(crate) small: bool,
}

impl Load {
    /// One book on one socket.
    pub(crate) const fn new(tls: bool, pace: Pace) -> Load {
        Load { tls, pace, streams: 1, sockets: 1, small: false }
    }

    /// Time between two messages or bursts.
    pub(crate) fn interval_ns(self) -> u64 {
        match self.pace {
            Pace::Rate(per_s) => 1_000_000_000 / u64::from(per_s),
            Pace::Burst => 1_000_000_000 / u64::from(BURSTS_PER_S),
        }
    }

    /// Messages in one write.
    pub(crate) fn group(self) -> usize {
        if self.pace == Pace::Burst { BURST } else { 1 }
    }

    /// Messages in so many milliseconds; whole bursts.
    pub(crate) fn messages_in(self, ms: u64) -> usize {
        ((ms * 1_000_000 / self.interval_ns()) as usize).max(1) * self.group()
    }

    /// Levels of a side.
    pub(crate) fn levels(self) -> usize {
        if self.small { LEVELS_OF_MANY } else { LEVELS }
    }

    /// Messages a second before it counts: slow, but each book is heard of within a second.
    pub(crate) fn warm_per_s(self) -> u64 {
        u64::from(self.streams * 5).max(500)
    }

    /// Messages that may be sent before it counts.
    pub(crate) fn warm_max(self) -> usize {
        self.warm_per_s() as usize * 10
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "tls-" } else { "plain-" })?;
        match self.pace {
            Pace::Rate(per_s) if per_s.is_multiple_of(1_000) => write!(f, "{}k", per_s / 1_000)?,
            Pace::Rate(per_s) => write!(f, "{per_s}")?,
            Pace::Burst => f.write_str("burst")?,
        }
        if (self.streams, self.sockets) != (1, 1) || self.small {
            write!(f, "-{}x{}", self.streams, self.sockets)?;
        }
        f.write_str(if self.small { "-small" } else { "" })
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Load, String> {
        let wrong = |what: &str| {
            format!(
                "{text}: {what}; loads are named like tls-10k, plain-burst, tls-10k-100x10 (100 books on 10 sockets)"
            )
        };
        let mut parts = text.split('-');
        let tls = match parts.next() {
            Some("tls") => true,
            Some("plain") => false,
            _ => return Err(wrong("begins with neither tls nor plain")),
        };
        let pace = match parts.next().ok_or_else(|| wrong("the rate is missing"))? {
            "burst" => Pace::Burst,
            rate => {
                let (digits, factor) = rate.strip_suffix('k').map_or((rate, 1), |digits| (digits, 1_000));
                let number = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(factor));
                let number = number.filter(|number| (1..=200_000).contains(number));
                Pace::Rate(number.ok_or_else(|| wrong("the rate is no number from 1 to 200k, and not burst"))?)
            }
        };
        let mut load = Load::new(tls, pace);
        for part in parts {
            if part == "small" {
                load.small = true;
                continue;
            }
            let counts = part.split_once('x').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            (load.streams, load.sockets) = counts
                .filter(|(streams, sockets)| (1..=1_000).contains(sockets) && (*sockets..=10_000).contains(streams))
                .ok_or_else(|| {
                    wrong(
                        "BOOKSxSOCKETS is wrong: at most 10000 books, at most 1000 sockets, no more sockets than books",
                    )
                })?;
        }
        // A thousand large books do not fit into the venue's limit for snapshots.
        load.small |= load.streams > 100;
        if load.pace == Pace::Burst && load.sockets > 1 {
            return Err(wrong("a burst goes over one socket"));
        }
        Ok(load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in
            ["tls-10k", "plain-burst", "tls-250", "tls-50k-10x10", "plain-10k-1x1-small", "tls-10k-1000x1-small"]
        {
            assert_eq!(name.parse::<Load>().unwrap().to_string(), name);
        }
        assert!("tls-10k-1000x1".parse::<Load>().unwrap().small);
        for wrong in ["tls", "ssl-10k", "tls-0", "tls-10kk", "tls-10k-1x2", "tls-10k-3", "tls-burst-10x10", "tls-900k"]
        {
            let error = wrong.parse::<Load>().unwrap_err();
            assert!(error.starts_with(&format!("{wrong}: ")) && error.contains("named like"), "{error}");
        }
    }

    #[test]
    fn counts_follow_from_the_pace() {
        let load = |name: &str| name.parse::<Load>().unwrap();
        assert_eq!((load("tls-10k").messages_in(350), load("tls-10k").interval_ns()), (3_500, 100_000));
        assert_eq!((load("tls-burst").messages_in(350), load("tls-burst").group()), (3_500, 100));
        assert_eq!((load("tls-1k").warm_per_s(), load("tls-1k-1000x1").warm_per_s()), (500, 5_000));
    }
}
