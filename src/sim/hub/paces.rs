//! When books are told: how far each symbol was told at each pace, and whose turn it is in the accelerated mode.

use super::super::market::{Change, Market, Side};
use super::{Hub, SECOND};

/// How far a symbol's book was told at each pace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Last update number told.
    last: u64,
    changed: bool,
    /// Books told at the first pace since the last one at this, for the accelerated mode.
    count: u64,
}

impl Pace {
    /// Told up to this update number.
    pub(super) fn told(last: u64) -> Self {
        Pace { last, changed: false, count: 0 }
    }
}

/// The accelerated mode.
#[derive(Debug)]
pub(in super::super) struct Rate {
    per_s: u64,
    /// Events so far, from which the next time follows without rounding errors.
    count: u64,
    from_ns: u64,
    /// Symbols whose book somebody has subscribed, or all.
    turn: Vec<usize>,
    at: usize,
}

impl Rate {
    /// So many books a second in all, of all symbols until somebody subscribes some.
    pub(super) fn new(per_s: u32, symbols: usize, from_ns: u64) -> Self {
        Rate { per_s: u64::from(per_s.clamp(1, 1_000_000)), count: 0, from_ns, turn: (0..symbols).collect(), at: 0 }
    }

    pub(in super::super) fn next_ns(&self) -> u64 {
        self.from_ns + ((u128::from(self.count) + 1) * u128::from(SECOND) / u128::from(self.per_s)) as u64
    }

    /// The symbol whose turn it is.
    pub(in super::super) fn take_turn(&mut self) -> Option<usize> {
        self.count += 1;
        let index = self.turn.get(self.at % self.turn.len().max(1)).copied()?;
        self.at = (self.at + 1) % self.turn.len();
        Some(index)
    }
}

impl Hub {
    /// Last update number of a symbol that was told at a pace.
    pub(crate) fn told_id(&self, symbol: usize, pace: usize) -> u64 {
        self.paces[symbol][pace].last
    }

    /// Remembers that a symbol has something to tell, and gives the paces at which it is to be told at once.
    pub(in super::super) fn note_change(&mut self, index: usize) {
        let Some(paces) = self.paces.get_mut(index) else { return };
        let id = self.market.update_id(index);
        for (at, pace) in paces.iter_mut().enumerate().take(self.rules.paces_ns.len()) {
            // An update may find nothing to do, and an event without update numbers does not exist.
            if id != pace.last && !std::mem::replace(&mut pace.changed, true) {
                self.dirty[at].push(index);
            }
        }
    }

    /// Symbols that have something to tell at a pace; they count as told from now on.
    pub(in super::super) fn take_dirty(&mut self, pace: usize) -> Vec<usize> {
        let dirty = std::mem::take(&mut self.dirty[pace]);
        for index in &dirty {
            self.paces[*index][pace].changed = false;
        }
        dirty
    }

    /// The list of [`Hub::take_dirty`] for the next time.
    pub(in super::super) fn give_dirty(&mut self, pace: usize, mut dirty: Vec<usize>) {
        dirty.clear();
        if self.dirty[pace].is_empty() {
            self.dirty[pace] = dirty;
        }
    }

    /// Marks the truth before a book is told at the first pace.
    pub(in super::super) fn mark(&mut self, index: usize) {
        let told = self.paces[index].iter().take(self.rules.paces_ns.len()).map(|pace| pace.last).min();
        self.market.mark_keeping(index, told.unwrap_or_default());
    }

    /// The book was told.
    pub(in super::super) fn note_told(&mut self, index: usize, pace: usize) {
        self.paces[index][pace].last = self.market.update_id(index);
    }

    /// In the accelerated mode: whether a slower pace has its turn after so many books of the first one.
    pub(in super::super) fn count_turn(&mut self, index: usize, pace: usize) -> bool {
        let paces_ns = self.rules.paces_ns;
        let every = paces_ns[pace].checked_div(paces_ns[0]).unwrap_or(1).max(1);
        let pace = &mut self.paces[index][pace];
        pace.count += 1;
        let due = pace.count >= every;
        if due {
            pace.count = 0;
        }
        due
    }

    /// In the accelerated mode the symbols take turns whose book somebody wants.
    pub(super) fn refresh_turn(&mut self) {
        let Some(rate) = &mut self.rate else { return };
        rate.turn.clear();
        for index in 0..self.market.len() {
            let wanted = |stream: &usize| {
                let stream = &self.streams[*stream];
                stream.is_book && !stream.subscribers.is_empty()
            };
            if self.streams_of[index].iter().any(wanted) {
                rate.turn.push(index);
            }
        }
        if rate.turn.is_empty() {
            rate.turn.extend(0..self.market.len());
        }
    }
}

/// A batch of book changes, already sorted: bids falling, asks rising.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) bids: Vec<(i64, i64)>,
    pub(crate) asks: Vec<(i64, i64)>,
}

impl Batch {
    /// Gathers all changes above `after`, each price once with its quantity now.
    pub(crate) fn gather(&mut self, market: &Market, index: usize, after: u64) {
        self.first = after + 1;
        self.last = market.update_id(index);
        self.bids.clear();
        self.asks.clear();
        let slot = |change: &Change| (change.price, 0);
        for change in market.changes_since(index, after) {
            match change.side {
                Side::Bid => self.bids.push(slot(change)),
                Side::Ask => self.asks.push(slot(change)),
            }
        }
        self.bids.sort_unstable_by_key(|level| std::cmp::Reverse(level.0));
        self.asks.sort_unstable();
        self.bids.dedup_by_key(|level| level.0);
        self.asks.dedup_by_key(|level| level.0);
        for (side, levels) in [(Side::Bid, &mut self.bids), (Side::Ask, &mut self.asks)] {
            for (level_price, level_qty) in levels {
                *level_qty = market.quantity(index, side, *level_price);
            }
        }
    }
}
