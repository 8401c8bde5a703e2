//! What venues allow a client: so many hits in a sliding window, so much request weight in a minute.

use std::collections::{HashMap, VecDeque};

const SECOND_NS: u64 = 1_000_000_000;

/// At most `max` hits within any `span_ns`; `usize::MAX` is no limit.
#[derive(Debug)]
pub(crate) struct Sliding {
    max: usize,
    span_ns: u64,
    /// Times of the hits that still count, oldest first; never more than `max`.
    times: VecDeque<u64>,
}

impl Sliding {
    pub(crate) fn new(max: usize, span_ns: u64) -> Self {
        Sliding { max, span_ns, times: VecDeque::new() }
    }

    /// Counts a hit. An error says after how many nanoseconds there is room again; such a hit does not count.
    pub(crate) fn hit(&mut self, now_ns: u64) -> Result<(), u64> {
        if self.max == usize::MAX {
            return Ok(());
        }
        while self.times.front().is_some_and(|time| time.saturating_add(self.span_ns) <= now_ns) {
            self.times.pop_front();
        }
        if self.times.len() < self.max {
            self.times.push_back(now_ns);
            return Ok(());
        }
        let free_ns = self.times.front().map_or(now_ns, |time| time.saturating_add(self.span_ns));
        Err(free_ns.saturating_sub(now_ns).max(1))
    }
}

/// At most `max` requests of each route within any `span_ns`.
#[derive(Debug)]
pub(crate) struct PerRoute {
    max: usize,
    span_ns: u64,
    by_route: HashMap<&'static str, Sliding>,
}

impl PerRoute {
    pub(crate) fn new(max: usize, span_ns: u64) -> Self {
        PerRoute { max, span_ns, by_route: HashMap::new() }
    }

    /// Counts a request; false for one too many, which does not count.
    pub(crate) fn hit(&mut self, route: &'static str, now_ns: u64) -> bool {
        let (max, span_ns) = (self.max, self.span_ns);
        self.by_route.entry(route).or_insert_with(|| Sliding::new(max, span_ns)).hit(now_ns).is_ok()
    }
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// 429 for too much, 418 for a ban.
    pub(crate) status: u16,
    /// Whole seconds to wait, at least 1.
    pub(crate) retry_after_s: u64,
    /// When a ban ends, in Unix nanoseconds; for 429 when the limit is free again.
    pub(crate) until_ns: u64,
    /// True for the request that turned warnings into a ban.
    pub(crate) banned_now: bool,
}

/// From warnings to a ban: who goes on asking after a 429 without waiting is shut out, longer each time.
#[derive(Debug)]
pub(crate) struct Penalty {
    ban_after: u32,
    ban_ns: u64,
    ban_ns_max: u64,
    /// No requests before this time after a 429.
    wait_ns: u64,
    ignored: u32,
    banned_until_ns: u64,
    bans: u32,
}

impl Penalty {
    /// `ban_after` requests within the time of a 429 lead to a ban of `ban_ns`, twice as long each further time.
    pub(crate) fn new(ban_after: u32, ban_ns: u64, ban_ns_max: u64) -> Self {
        Penalty { ban_after: ban_after.max(1), ban_ns, ban_ns_max, wait_ns: 0, ignored: 0, banned_until_ns: 0, bans: 0 }
    }

    /// Whether a ban is in force, before anything is counted.
    pub(crate) fn check(&self, now_ns: u64) -> Result<(), Refusal> {
        if now_ns < self.banned_until_ns { Err(self.refusal(418, self.banned_until_ns, now_ns, false)) } else { Ok(()) }
    }

    /// A request beyond a limit that is free again at `free_ns`: a 429, or a ban when 429s were not heeded.
    pub(crate) fn exceed(&mut self, now_ns: u64, free_ns: u64) -> Refusal {
        if now_ns < self.wait_ns {
            self.ignored += 1;
        } else {
            self.ignored = 0;
        }
        self.wait_ns = free_ns;
        if self.ignored < self.ban_after {
            return self.refusal(429, free_ns, now_ns, false);
        }
        let length_ns = self.ban_ns.saturating_mul(1 << self.bans.min(20)).min(self.ban_ns_max);
        self.bans += 1;
        self.ignored = 0;
        self.banned_until_ns = now_ns.saturating_add(length_ns);
        self.refusal(418, self.banned_until_ns, now_ns, true)
    }

    fn refusal(&self, status: u16, until_ns: u64, now_ns: u64, banned_now: bool) -> Refusal {
        let retry_after_s = until_ns.saturating_sub(now_ns).div_ceil(SECOND_NS).max(1);
        Refusal { status, retry_after_s, until_ns, banned_now }
    }
}

/// Weight used up in clock-aligned windows, as X-MBX-USED-WEIGHT-1M counts it.
#[derive(Debug)]
pub(crate) struct Weights {
    max: u64,
    span_ns: u64,
    window: u64,
    used: u64,
}

impl Weights {
    pub(crate) fn new(max: u64, span_ns: u64) -> Self {
        Weights { max, span_ns: span_ns.max(1), window: 0, used: 0 }
    }

    /// Adds `weight` and gives what is used up by now; an error says when the window ends (Unix nanoseconds).
    pub(crate) fn spend(&mut self, now_ns: u64, weight: u64) -> Result<u64, u64> {
        let window = now_ns / self.span_ns;
        if window != self.window {
            self.window = window;
            self.used = 0;
        }
        if self.used.saturating_add(weight) > self.max {
            return Err((window + 1).saturating_mul(self.span_ns));
        }
        self.used += weight;
        Ok(self.used)
    }

    /// What is used up in the current window.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = SECOND_NS;

    #[test]
    fn a_sliding_window_counts_the_last_second() {
        let mut window = Sliding::new(5, S);
        for i in 0..5 {
            assert_eq!(window.hit(i * 100), Ok(()));
        }
        assert_eq!(window.hit(S - 1), Err(1));
        assert_eq!(window.hit(S), Ok(()));
        assert_eq!(window.hit(S), Err(100));
        assert_eq!(window.hit(3 * S), Ok(()));
    }

    #[test]
    fn weight_is_counted_by_the_clock_minute() {
        let mut weights = Weights::new(100, 60 * S);
        assert_eq!(weights.spend(59 * S, 60), Ok(60));
        assert_eq!(weights.spend(59 * S, 41), Err(60 * S));
        assert_eq!(weights.spend(59 * S, 40), Ok(100));
        assert_eq!(weights.spend(60 * S, 100), Ok(100));
    }

    #[test]
    fn who_does_not_heed_a_429_is_banned_and_longer_each_time() {
        let mut penalty = Penalty::new(3, 120 * S, 500 * S);
        assert_eq!(penalty.exceed(0, 60 * S).status, 429);
        assert_eq!(penalty.exceed(S, 60 * S).retry_after_s, 59);
        assert_eq!(penalty.exceed(2 * S, 60 * S).status, 429);
        let ban = penalty.exceed(3 * S, 60 * S);
        assert_eq!((ban.status, ban.retry_after_s, ban.until_ns, ban.banned_now), (418, 120, 123 * S, true));
        assert_eq!(penalty.check(122 * S).unwrap_err().status, 418);
        assert!(!penalty.check(122 * S).unwrap_err().banned_now);
        assert_eq!(penalty.check(123 * S), Ok(()));
        assert_eq!(penalty.bans, 1);
        for i in 0..3 {
            assert_eq!(penalty.exceed(200 * S + i, 300 * S).status, 429);
        }
        assert_eq!(penalty.exceed(200 * S + 3, 300 * S).retry_after_s, 240);
    }

    #[test]
    fn who_waits_is_only_warned() {
        let mut penalty = Penalty::new(1, 120 * S, 500 * S);
        for minute in 0..10 {
            assert_eq!(penalty.exceed(minute * 60 * S, (minute + 1) * 60 * S).status, 429);
        }
        assert_eq!(penalty.bans, 0);
    }
}
