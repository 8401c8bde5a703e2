//! Policy: when to try again, and how often at most. Small pure functions with their defaults in one place.

use std::collections::VecDeque;

use crate::model::Mono;

/// Exponential backoff with full jitter: a uniformly random wait below a ceiling that doubles with each failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Ceiling after the first failure, in milliseconds.
    pub first_ms: u64,
    /// The ceiling never grows beyond this, in milliseconds.
    pub max_ms: u64,
}

impl Backoff {
    /// The wait before attempt number `failures + 1`: zero before the first attempt.
    pub fn wait_ms(self, failures: u32, rng: &mut fastrand::Rng) -> u64 {
        if failures == 0 {
            return 0;
        }
        let ceiling = self.first_ms.saturating_mul(1 << (failures - 1).min(32)).min(self.max_ms);
        rng.u64(0..=ceiling)
    }
}

/// A strict rolling window: never more than `max` units in any span of `window_ns`.
#[derive(Clone, Debug)]
pub struct RollingWindow {
    window_ns: u64,
    max: u32,
    used: u32,
    taken: VecDeque<(Mono, u32)>,
}

impl RollingWindow {
    /// At most `max` units in any `window_ms` milliseconds.
    pub fn new(max: u32, window_ms: u32) -> RollingWindow {
        RollingWindow { window_ns: u64::from(window_ms) * 1_000_000, max, used: 0, taken: VecDeque::new() }
    }

    /// Takes `units`, leaving at least `reserve` for others; otherwise says when to ask again.
    ///
    /// A request that is larger than the whole window is let through when the window is empty, or it would never be.
    ///
    /// # Errors
    /// The time at which enough of the window will be free.
    pub fn take(&mut self, now: Mono, units: u32, reserve: u32) -> Result<(), Mono> {
        self.forget(now);
        let room = self.max.saturating_sub(reserve);
        if self.used == 0 || self.used.saturating_add(units) <= room {
            self.record(now, units);
            return Ok(());
        }
        let mut free = room.saturating_sub(self.used);
        for (at, taken) in &self.taken {
            free = free.saturating_add(*taken);
            if free >= units {
                return Err(at.after_ns(self.window_ns));
            }
        }
        Err(self.taken.back().map_or(now, |(at, _)| at.after_ns(self.window_ns)))
    }

    /// Counts units that were used without asking, such as pongs.
    pub fn record(&mut self, now: Mono, units: u32) {
        if units == 0 {
            return;
        }
        self.used = self.used.saturating_add(units);
        let full = self.taken.len() >= ENTRIES_MAX;
        match self.taken.back_mut() {
            Some((at, taken)) if *at == now => *taken = taken.saturating_add(units),
            // Bounded even when a peer makes us record without end (pings): the newest entries are merged.
            Some((at, taken)) if full => {
                *at = now;
                *taken = taken.saturating_add(units);
            }
            _ => self.taken.push_back((now, units)),
        }
    }

    /// The venue says that `used` units are used: believes it if it is more than was counted here.
    pub fn at_least(&mut self, now: Mono, used: u32) {
        self.forget(now);
        self.record(now, used.saturating_sub(self.used));
    }

    /// Units used in the window that ends now.
    pub fn used(&mut self, now: Mono) -> u32 {
        self.forget(now);
        self.used
    }

    /// The most units in a window.
    pub fn max(&self) -> u32 {
        self.max
    }

    fn forget(&mut self, now: Mono) {
        while let Some((at, taken)) = self.taken.front() {
            if now.since_ns(*at) < self.window_ns {
                break;
            }
            self.used = self.used.saturating_sub(*taken);
            self.taken.pop_front();
        }
    }
}

const ENTRIES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn backoff_doubles_up_to_its_maximum() {
        let backoff = Backoff { first_ms: 250, max_ms: 30_000 };
        let mut rng = fastrand::Rng::with_seed(1);
        assert_eq!(backoff.wait_ms(0, &mut rng), 0);
        for (failures, ceiling) in [(1, 250), (2, 500), (3, 1_000), (8, 30_000), (200, 30_000)] {
            let waits: Vec<u64> = (0..200).map(|_| backoff.wait_ms(failures, &mut rng)).collect();
            assert!(waits.iter().all(|wait| *wait <= ceiling));
            assert!(waits.iter().any(|wait| *wait > ceiling / 2), "jitter fills the range below {ceiling}");
            assert!(waits.iter().any(|wait| *wait < ceiling / 4));
        }
    }

    #[test]
    fn reserve_is_left_to_others() {
        let mut window = RollingWindow::new(5, 1_000);
        for _ in 0..4 {
            assert_eq!(window.take(Mono(0), 1, 1), Ok(()));
        }
        assert_eq!(window.take(Mono(0), 1, 1), Err(Mono(1_000_000_000)));
        window.record(Mono(10), 1);
        assert_eq!(window.used(Mono(20)), 5);
        assert_eq!(window.take(Mono(1_000_000_000), 1, 1), Ok(()));
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more(asks in prop::collection::vec((0u64..400, 1u32..4), 1..200)) {
            let mut window = RollingWindow::new(7, 1);
            let (mut now, mut granted) = (Mono(0), Vec::new());
            for (pause, units) in asks {
                now = now.after_ns(pause * 1_000);
                if let Err(at) = window.take(now, units, 0) {
                    prop_assert!(at > now);
                    now = at;
                    prop_assert_eq!(window.take(now, units, 0), Ok(()));
                }
                granted.push((now, units));
            }
            for (end, _) in &granted {
                let inside = granted.iter().filter(|(at, _)| at <= end && end.since_ns(*at) < 1_000_000);
                prop_assert!(inside.map(|(_, units)| units).sum::<u32>() <= 7);
            }
        }
    }
}
