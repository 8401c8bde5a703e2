//! A book as its subscribers have it: cut to a depth, and as it was when it was last told.

use super::market::{Market, Side};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Shown {
    depth: usize,
    /// Update number of the last change that was told.
    pub(crate) id: u64,
    /// When that was, in Unix nanoseconds.
    pub(crate) time_ns: u64,
    /// Price and quantity, best first.
    pub(crate) bids: Vec<(i64, i64)>,
    pub(crate) asks: Vec<(i64, i64)>,
    /// What the last [`Shown::refresh`] changed, best first; quantity zero for what is gone.
    pub(crate) bid_changes: Vec<(i64, i64)>,
    pub(crate) ask_changes: Vec<(i64, i64)>,
    spare: Vec<(i64, i64)>,
}

/// What becomes of levels that others have pushed out of the depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushedOut {
    /// They are deleted like others.
    Deleted,
    /// Clients have to cut their books themselves.
    Untold,
}

impl Shown {
    /// The book of a symbol as it was after `id`, an update number that the market remembers.
    pub(crate) fn at(market: &Market, symbol: usize, id: u64, depth: usize, time_ns: u64) -> Self {
        let truth = market.truth_levels_at(symbol, id).unwrap_or_else(|| market.truth(symbol));
        let (mut bids, mut asks) = (truth.bids, truth.asks);
        bids.truncate(depth);
        asks.truncate(depth);
        Shown {
            depth,
            id: truth.update_id,
            time_ns,
            bids,
            asks,
            bid_changes: Vec::new(),
            ask_changes: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// A book that belongs to no market.
    #[cfg(test)]
    pub(crate) fn of(bids: Vec<(i64, i64)>, asks: Vec<(i64, i64)>) -> Self {
        let (bid_changes, ask_changes, spare) = Default::default();
        Shown { depth: 0, id: 0, time_ns: 0, bids, asks, bid_changes, ask_changes, spare }
    }

    /// Takes over the book as it is now. True when something changed within the depth.
    pub(crate) fn refresh(&mut self, market: &Market, symbol: usize, time_ns: u64, pushed_out: PushedOut) -> bool {
        for side in [Side::Bid, Side::Ask] {
            let (levels, changes) = match side {
                Side::Bid => (&mut self.bids, &mut self.bid_changes),
                Side::Ask => (&mut self.asks, &mut self.ask_changes),
            };
            self.spare.clear();
            self.spare.extend(market.levels(symbol, side).take(self.depth));
            differences(side, levels, &self.spare, changes);
            if pushed_out == PushedOut::Untold {
                changes.retain(|(price, qty)| *qty > 0 || market.quantity(symbol, side, *price) == 0);
            }
            std::mem::swap(levels, &mut self.spare);
        }
        let changed = !self.bid_changes.is_empty() || !self.ask_changes.is_empty();
        if changed {
            self.id = market.update_id(symbol);
            self.time_ns = time_ns;
        }
        changed
    }
}

/// What leads from one list of levels to another, in their order.
fn differences(side: Side, old: &[(i64, i64)], new: &[(i64, i64)], changes: &mut Vec<(i64, i64)>) {
    changes.clear();
    let better = |a: i64, b: i64| if side == Side::Bid { a > b } else { a < b };
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (Some((old_price, _)), Some((new_price, new_qty))) if better(*new_price, *old_price) => {
                changes.push((*new_price, *new_qty));
                new.next();
            }
            (Some((old_price, old_qty)), Some((new_price, new_qty))) if old_price == new_price => {
                if old_qty != new_qty {
                    changes.push((*new_price, *new_qty));
                }
                old.next();
                new.next();
            }
            (Some((old_price, _)), _) => {
                changes.push((*old_price, 0));
                old.next();
            }
            (None, Some((new_price, new_qty))) => {
                changes.push((*new_price, *new_qty));
                new.next();
            }
            (None, None) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_lead_from_one_to_the_other() {
        let mut changes = Vec::new();
        differences(Side::Bid, &[(10, 1), (8, 2), (7, 3)], &[(11, 5), (10, 1), (8, 4), (6, 1)], &mut changes);
        assert_eq!(changes, [(11, 5), (8, 4), (7, 0), (6, 1)]);
        differences(Side::Ask, &[(10, 1), (12, 2)], &[(11, 5)], &mut changes);
        assert_eq!(changes, [(10, 0), (11, 5), (12, 0)]);
        differences(Side::Ask, &[(10, 1)], &[(10, 1)], &mut changes);
        assert_eq!(changes, []);
    }
}
