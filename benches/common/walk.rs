//! A book that moves at random, the same way for the same seed, and the changes that a venue would send of it.

use std::collections::BTreeMap;

/// Random numbers that are the same everywhere (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `below`.
    pub(crate) fn below(&mut self, below: u64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below) as i64
    }
}

/// One level set anew; quantity 0 removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) is_bid: bool,
    pub(crate) price: i64,
    pub(crate) qty: i64,
}

/// The book. Prices are mantissas, `step` apart at least; bids have negated keys, so that the best comes first.
pub(crate) struct Walk {
    pub(crate) random: Random,
    sides: [BTreeMap<i64, i64>; 2],
    step: i64,
    qty_max: u64,
    /// Of five quantities three are multiples of this, as people's are.
    round: i64,
    levels: usize,
}

impl Walk {
    /// About `levels` levels a side around `mid`.
    pub(crate) fn new(seed: u64, mid: i64, step: i64, levels: usize, qty_max: u64, round: i64) -> Walk {
        let mut walk = Walk { random: Random::new(seed), sides: Default::default(), step, qty_max, round, levels };
        for side in [0, 1] {
            let mut price = mid;
            for _ in 0..levels {
                price += step * (1 + walk.random.below(2)) * if side == 0 { -1 } else { 1 };
                let qty = walk.qty();
                walk.sides[side].insert(if side == 0 { -price } else { price }, qty);
            }
        }
        walk
    }

    /// Most orders are small.
    pub(crate) fn qty(&mut self) -> i64 {
        let most = self.qty_max >> self.random.below(8);
        let qty = 1 + self.random.below(most.max(2));
        if self.random.below(5) < 3 { (qty / self.round).max(1) * self.round } else { qty }
    }

    /// Best first.
    pub(crate) fn bids(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.sides[0].iter().map(|(key, qty)| (-key, *qty))
    }

    /// Best first.
    pub(crate) fn asks(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.sides[1].iter().map(|(key, qty)| (*key, *qty))
    }

    /// Changes `count` levels, and returns the changes, best first on each side. As in recorded streams most happen
    /// near the top: of ten, about six within the best eight levels and nine within the best forty. A third sets a
    /// quantity anew, the others come and go.
    pub(crate) fn changes(&mut self, count: usize) -> Vec<Change> {
        let mut changed = BTreeMap::new();
        while changed.len() < count {
            let side = self.random.below(2) as usize;
            let deepest = match self.random.below(100) {
                0..55 => 8,
                55..88 => 40,
                _ => self.levels as u64,
            };
            let depth = self.random.below(deepest) as usize;
            let Some(at) = self.sides[side].keys().nth(depth).copied() else { continue };
            let len = self.sides[side].len();
            let (key, qty) = match self.random.below(3) {
                0 if len > self.levels / 2 => (at, 0),
                1 if len < self.levels * 2 => {
                    let key = at + self.step * (self.random.below(5) - 2);
                    // Never crossed.
                    if self.sides[1 - side].keys().next().is_some_and(|best| key <= -best) {
                        continue;
                    }
                    (key, self.qty())
                }
                _ => (at, self.qty()),
            };
            if changed.contains_key(&(side, key)) {
                continue;
            }
            match qty {
                0 => self.sides[side].remove(&key),
                _ => self.sides[side].insert(key, qty),
            };
            changed.insert((side, key), qty);
        }
        let change = |((side, key), qty): ((usize, i64), i64)| Change {
            is_bid: side == 0,
            price: if side == 0 { -key } else { key },
            qty,
        };
        changed.into_iter().map(change).collect()
    }
}
