//! One side of an order book: its levels, sorted, within a capacity fixed at the start.
//!
//! The levels lie in one array with the best at the end, and asks carry negated keys, so that one path of code serves
//! both sides and the busy end is where an insertion moves little. A level is looked for among the best
//! 64 first, because most changes happen there.
//!
//! What a side does not know it does not show. A snapshot that the venue cut, or a level that had no room, leaves an
//! *edge*: levels at or better than it are all known, those beyond may be missing. [`Side::levels`] ends there.

use std::hint::select_unpredictable;
use std::{error::Error, fmt};

/// How many levels from the best one are searched first. A power of two.
const NEAR: usize = 64;
/// How many levels are searched where one is guessed to be.
const GUESSED: usize = 16;

/// A price and the quantity offered there, as mantissas at the scales of the market.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Level {
    /// Mantissa at the market's price scale.
    pub price: i64,
    /// Mantissa at the market's amount scale. Zero means that the level is gone.
    pub qty: i64,
}

/// Which side of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BookSide {
    /// Who wants to buy; the highest price is the best.
    Bid,
    /// Who wants to sell; the lowest price is the best.
    Ask,
}

impl BookSide {
    /// The other side.
    pub const fn opposite(self) -> BookSide {
        match self {
            BookSide::Bid => BookSide::Ask,
            BookSide::Ask => BookSide::Bid,
        }
    }

    /// The place of a price on this side: a better price has a greater key. `None` for `i64::MIN`, which has no
    /// negative and is refused on both sides alike.
    #[inline]
    fn key(self, price: i64) -> Option<i64> {
        Some(self.price(price)).filter(|key| *key != i64::MIN)
    }

    /// The price of a key, and the other way round; `i64::MIN` stays what it is.
    #[inline(always)]
    pub(super) fn price(self, key: i64) -> i64 {
        match self {
            BookSide::Bid => key,
            BookSide::Ask => key.wrapping_neg(),
        }
    }
}

/// What [`Side::set`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// The level is new. If the side was full, its worst level made room.
    Inserted,
    /// The level was there and has its new quantity.
    Updated,
    /// The level was there and is gone.
    Removed,
    /// There was nothing to remove. Venues send this: their deltas reach deeper than what we hold.
    Absent,
    /// The side is full of better levels, so the level was not stored and the edge moved.
    BeyondCapacity,
    /// The price is `i64::MIN`, which has no place on a side. Nothing changed.
    Rejected,
}

/// A price or quantity does not fit 64 bits at the wanted scale. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a price or quantity of the book does not fit 64 bits at the new scale")
    }
}

impl Error for Overflow {}

/// The levels of one side. See the module's head for the layout and the edge.
///
/// Only [`Side::new`] allocates, and [`Side::reset`] when a snapshot comes out of order.
#[derive(Clone, Debug)]
pub struct Side {
    side: BookSide,
    /// Ascending by key, so the best is the last.
    entries: Vec<Entry>,
    levels_max: usize,
    /// All levels with this key or a greater one are known. `None` if all are.
    known_from: Option<i64>,
    levels_dropped: u64,
}

/// A level as it is stored: a better price has a greater key, which is never `i64::MIN`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: i64,
    pub(super) qty: i64,
}

impl Side {
    /// An empty side that holds `levels_max` levels at most, for which it takes memory now. At least one.
    pub fn new(side: BookSide, levels_max: usize) -> Side {
        let levels_max = levels_max.max(1);
        Side { side, entries: Vec::with_capacity(levels_max), levels_max, known_from: None, levels_dropped: 0 }
    }

    /// Which side this is.
    pub const fn side(&self) -> BookSide {
        self.side
    }

    /// How many levels the side can hold.
    pub const fn capacity(&self) -> usize {
        self.levels_max
    }

    /// Sets the quantity of a level; zero removes it. A negative quantity is the caller's mistake and counts as zero.
    ///
    /// On a full side a new level pushes out the worst one, or is not stored if it would be the worst. Either moves
    /// the edge, so that what was dropped is no longer taken for absent, and counts in [`Side::levels_dropped`].
    #[inline]
    pub fn set(&mut self, price: i64, qty: i64) -> Change {
        debug_assert!(qty >= 0, "negative quantity {qty}");
        let key = self.side.price(price);
        // Nearly all changes give a level near the best one another quantity. No level has the key that is refused.
        if qty > 0
            && let Some(near) = self.entries.last_chunk_mut()
            && let Some(entry) = last_up_to(near, key)
            && entry.key == key
        {
            entry.qty = qty;
            return Change::Updated;
        }
        self.set_any(Entry { key, qty })
    }

    /// Replaces everything by a snapshot, in whatever order it comes; best first is the fast case. A price that comes
    /// twice keeps its last quantity, a quantity of zero is no level, a price of `i64::MIN` is left out.
    ///
    /// `cut` says that the venue may have cut the snapshot at its limit: what lies beyond its worst level is unknown
    /// then. If there are more levels than the side holds, the best ones stay and the edge is put behind them.
    pub fn reset(&mut self, levels: &[Level], cut: bool) {
        self.entries.clear();
        self.known_from = None;
        let side = self.side;
        let entry = |level: &Level| Some(Entry { key: side.key(level.price)?, qty: level.qty });
        let plain = |level: &Level| level.qty > 0 && level.price != i64::MIN;
        let better = |a: &Level, b: &Level| side.price(a.price) > side.price(b.price);
        if levels.iter().all(plain) && levels.is_sorted_by(better) {
            self.fill(levels.iter().rev().filter_map(entry), levels.len(), cut);
        } else if levels.iter().all(plain) && levels.is_sorted_by(|a, b| better(b, a)) {
            self.fill(levels.iter().filter_map(entry), levels.len(), cut);
        } else {
            let mut entries: Vec<Entry> = levels.iter().filter_map(entry).collect();
            // The sort keeps equal prices in their order; reversed, the last of them is met first.
            entries.reverse();
            entries.sort_by_key(|entry| entry.key);
            entries.dedup_by_key(|entry| entry.key);
            entries.retain(|entry| entry.qty > 0);
            self.fill(entries.iter().copied(), entries.len(), cut);
        }
    }

    /// Removes all levels; nothing is unknown afterwards.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.known_from = None;
    }

    /// Removes the worst levels until at most `depth` are left, and returns how many went. The edge stays: this is for
    /// venues that define their book as the best `depth` levels, do not delete what falls out, and send a level again
    /// when it comes back.
    pub fn cut_to(&mut self, depth: usize) -> usize {
        let excess = self.entries.len().saturating_sub(depth);
        if excess > 0 {
            self.entries.drain(..excess);
        }
        excess
    }

    /// Moves to finer scales by multiplying every price by `price_mul` and every quantity by `qty_mul`, both powers of
    /// ten. The edge moves along.
    ///
    /// # Errors
    /// [`Overflow`] if a value would not fit or a factor is below 1; the side is unchanged then.
    pub fn rescale(&mut self, price_mul: i64, qty_mul: i64) -> Result<(), Overflow> {
        if price_mul < 1 || qty_mul < 1 {
            return Err(Overflow);
        }
        let scaled = |key: i64| key.checked_mul(price_mul).filter(|&key| key != i64::MIN).ok_or(Overflow);
        let known_from = self.known_from.map(scaled).transpose()?;
        for entry in &self.entries {
            scaled(entry.key)?;
            entry.qty.checked_mul(qty_mul).ok_or(Overflow)?;
        }
        for entry in &mut self.entries {
            entry.key *= price_mul;
            entry.qty *= qty_mul;
        }
        self.known_from = known_from;
        Ok(())
    }

    /// The best level, unless nothing is known to be best.
    #[inline]
    pub fn best(&self) -> Option<Level> {
        let entry = self.entries.last()?;
        if self.known_from.is_some_and(|known_from| entry.key < known_from) {
            return None;
        }
        Some(self.level(entry))
    }

    /// The levels up to the edge, best first.
    #[inline]
    pub fn levels(&self) -> Levels<'_> {
        Levels { side: self.side, entries: self.known().iter() }
    }

    /// The best levels up to the edge, at most `count` of them. The best is the last.
    #[inline]
    pub(super) fn best_entries(&self, count: usize) -> &[Entry] {
        let best = &self.entries[self.entries.len().saturating_sub(count)..];
        match (self.known_from, best.first()) {
            (Some(known_from), Some(worst)) if worst.key < known_from => {
                &best[best.partition_point(|entry| entry.key < known_from)..]
            }
            _ => best,
        }
    }

    /// All levels that are stored, best first. Those beyond the edge were true when they came, but others may be
    /// missing between them.
    pub fn levels_all(&self) -> Levels<'_> {
        Levels { side: self.side, entries: self.entries.iter() }
    }

    /// How many levels there are up to the edge.
    pub fn len(&self) -> usize {
        self.known().len()
    }

    /// Whether there is no level up to the edge.
    pub fn is_empty(&self) -> bool {
        self.best().is_none()
    }

    /// How many levels are stored, beyond the edge too.
    pub fn len_all(&self) -> usize {
        self.entries.len()
    }

    /// The worst price up to which every level is known. `None` if all are.
    pub fn edge(&self) -> Option<i64> {
        self.known_from.map(|key| self.side.price(key))
    }

    /// How many levels found no room since the side exists.
    pub const fn levels_dropped(&self) -> u64 {
        self.levels_dropped
    }

    /// The quantity stored at a price, beyond the edge too. `None` if no level is stored there.
    pub fn qty_at(&self, price: i64) -> Option<i64> {
        let index = self.search(self.side.key(price)?).ok()?;
        Some(self.entries[index].qty)
    }

    /// The address at which the levels end.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.entries.as_ptr_range().end.addr()
    }

    /// Where a key is, or where it would have to be inserted.
    fn search(&self, key: i64) -> Result<usize, usize> {
        let (far, near) = self.entries.split_at(self.entries.len().saturating_sub(NEAR));
        if near.first().is_some_and(|worst| worst.key <= key) {
            return shifted(search(near, key), far.len());
        }
        let start = guess(far, near, key);
        let window = far.get(start..far.len().min(start + GUESSED)).unwrap_or_default();
        match window {
            [first, .., last] if first.key <= key && key <= last.key => shifted(search(window, key), start),
            _ => search(far, key),
        }
    }

    /// [`Side::set`], whatever there is to do.
    #[inline(never)]
    fn set_any(&mut self, entry: Entry) -> Change {
        if entry.key == i64::MIN {
            return Change::Rejected;
        }
        match self.search(entry.key) {
            Ok(index) if entry.qty > 0 => {
                self.entries[index].qty = entry.qty;
                Change::Updated
            }
            Ok(index) => {
                self.entries.remove(index);
                Change::Removed
            }
            Err(_) if entry.qty <= 0 => Change::Absent,
            Err(index) if self.entries.len() < self.levels_max => {
                self.entries.insert(index, entry);
                Change::Inserted
            }
            Err(index) => self.insert_into_full(index, entry),
        }
    }

    #[inline(never)]
    fn insert_into_full(&mut self, index: usize, entry: Entry) -> Change {
        self.levels_dropped += 1;
        let Some(place) = index.checked_sub(1) else {
            self.forget(entry.key);
            return Change::BeyondCapacity;
        };
        self.forget(self.entries[0].key);
        // One move closes the gap of the worst and opens that of the new one.
        self.entries.copy_within(1..index, 0);
        self.entries[place] = entry;
        Change::Inserted
    }

    /// A level with this key was dropped: from here on only better ones are all known.
    fn forget(&mut self, key: i64) {
        let known_from = key.saturating_add(1);
        self.known_from = Some(self.known_from.map_or(known_from, |known| known.max(known_from)));
    }

    /// Takes `count` entries with ascending keys, all greater than zero.
    fn fill(&mut self, ascending: impl Iterator<Item = Entry>, count: usize, cut: bool) {
        let excess = count.saturating_sub(self.levels_max);
        for (index, entry) in ascending.enumerate() {
            if index == 0 && cut {
                self.known_from = Some(entry.key);
            }
            if index < excess {
                self.forget(entry.key);
            } else {
                self.entries.push(entry);
            }
        }
        self.levels_dropped = self.levels_dropped.saturating_add(excess as u64);
    }

    #[inline]
    fn known(&self) -> &[Entry] {
        self.best_entries(usize::MAX)
    }

    #[inline]
    fn level(&self, entry: &Entry) -> Level {
        Level { price: self.side.price(entry.key), qty: entry.qty }
    }
}

#[inline]
fn search(entries: &[Entry], key: i64) -> Result<usize, usize> {
    entries.binary_search_by_key(&key, |entry| entry.key)
}

fn shifted(found: Result<usize, usize>, by: usize) -> Result<usize, usize> {
    found.map(|index| by + index).map_err(|index| by + index)
}

/// Where among the far entries a key is likely to be: the first of so many entries that are looked at before all are.
/// It lies where it would if levels went on as densely as near the best one, which is true of five in six. In a book that
/// has not been touched for long this saves most of the waiting for memory.
fn guess(far: &[Entry], near: &[Entry], key: i64) -> usize {
    let (Some(worst), Some(best)) = (near.first(), near.last()) else { return 0 };
    let between = |better: i64, worse: i64| better.wrapping_sub(worse).cast_unsigned() as f64;
    let distance = between(worst.key, key) / between(best.key, worst.key) * near.len() as f64;
    far.len().saturating_sub((distance as usize).saturating_add(GUESSED / 2))
}

/// The last of these entries with this key or a lesser one; the first one if there is none. Halving takes always the
/// same steps, without a branch that could be mispredicted.
#[inline(always)]
fn last_up_to(near: &mut [Entry; NEAR], key: i64) -> Option<&mut Entry> {
    let near: &mut [Entry; 32] = half(near, key)?;
    let near: &mut [Entry; 16] = half(near, key)?;
    let near: &mut [Entry; 8] = half(near, key)?;
    let near: &mut [Entry; 4] = half(near, key)?;
    let near: &mut [Entry; 2] = half(near, key)?;
    let [entry]: &mut [Entry; 1] = half(near, key)?;
    Some(entry)
}

/// The half in which the last entry is that has this key or a lesser one. There always is one: the compiler knows.
#[inline(always)]
fn half<const ALL: usize, const HALF: usize>(all: &mut [Entry; ALL], key: i64) -> Option<&mut [Entry; HALF]> {
    let (worse, better) = all.split_at_mut_checked(HALF)?;
    let (worse, better) = (worse.first_chunk_mut()?, better.first_chunk_mut()?);
    Some(select_unpredictable(better[0].key <= key, better, worse))
}

/// Levels of a [`Side`], best first.
#[derive(Clone, Debug)]
pub struct Levels<'a> {
    side: BookSide,
    entries: std::slice::Iter<'a, Entry>,
}

impl Levels<'_> {
    #[inline]
    fn level(&self, entry: &Entry) -> Level {
        Level { price: self.side.price(entry.key), qty: entry.qty }
    }
}

impl Iterator for Levels<'_> {
    type Item = Level;

    #[inline]
    fn next(&mut self) -> Option<Level> {
        self.entries.next_back().map(|entry| self.level(entry))
    }

    #[inline]
    fn nth(&mut self, n: usize) -> Option<Level> {
        self.entries.nth_back(n).map(|entry| self.level(entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl DoubleEndedIterator for Levels<'_> {
    fn next_back(&mut self) -> Option<Level> {
        self.entries.next().map(|entry| self.level(entry))
    }
}

impl ExactSizeIterator for Levels<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn level(price: i64, qty: i64) -> Level {
        Level { price, qty }
    }

    fn bids(levels_max: usize, levels: &[(i64, i64)]) -> Side {
        let mut side = Side::new(BookSide::Bid, levels_max);
        side.reset(&levels.iter().map(|&(price, qty)| level(price, qty)).collect::<Vec<_>>(), false);
        side
    }

    fn prices(side: &Side) -> Vec<i64> {
        side.levels().map(|level| level.price).collect()
    }

    #[test]
    fn both_sides_show_their_best_first() {
        for (side, expected) in [(BookSide::Bid, [3, 2, 1]), (BookSide::Ask, [1, 2, 3])] {
            let mut side = Side::new(side, 4);
            assert_eq!((side.best(), side.is_empty()), (None, true));
            for price in [2, 1, 3] {
                assert_eq!(side.set(price, price * 10), Change::Inserted);
            }
            assert_eq!(prices(&side), expected);
            assert_eq!(side.best(), Some(level(expected[0], expected[0] * 10)));
            assert_eq!(
                side.levels().rev().map(|level| level.price).collect::<Vec<_>>(),
                [expected[2], expected[1], expected[0]]
            );
            assert_eq!((side.levels().len(), side.levels().nth(1).map(|level| level.price)), (3, Some(2)));
            assert_eq!(side.set(2, 7), Change::Updated);
            assert_eq!((side.qty_at(2), side.qty_at(9)), (Some(7), None));
            assert_eq!(side.set(2, 0), Change::Removed);
            assert_eq!(side.set(2, 0), Change::Absent);
            assert_eq!(prices(&side), [expected[0], expected[2]]);
            assert_eq!((side.len(), side.len_all(), side.edge(), side.levels_dropped()), (2, 2, None, 0));
            side.clear();
            assert_eq!((side.len_all(), side.best()), (0, None));
        }
    }

    #[test]
    fn a_full_side_drops_its_worst_and_remembers_where() {
        let mut side = bids(3, &[(30, 1), (20, 1), (10, 1)]);
        assert_eq!(side.edge(), None);
        assert_eq!(side.set(25, 1), Change::Inserted);
        assert_eq!((prices(&side), side.edge(), side.levels_dropped()), (vec![30, 25, 20], Some(11), 1));
        // Worse than all: not stored, and the edge stays because 10 was already forgotten.
        assert_eq!(side.set(5, 1), Change::BeyondCapacity);
        assert_eq!((side.edge(), side.levels_dropped()), (Some(11), 2));
        // Between the edge and the worst level: known to be there, but without room, so the edge moves.
        assert_eq!(side.set(15, 1), Change::BeyondCapacity);
        assert_eq!((side.edge(), side.levels_dropped()), (Some(16), 3));
        // With room again what comes beyond the edge is stored, but not shown: 15 may be missing before it.
        assert_eq!(side.set(30, 0), Change::Removed);
        assert_eq!(side.set(12, 4), Change::Inserted);
        assert_eq!((prices(&side), side.len(), side.len_all()), (vec![25, 20], 2, 3));
        assert_eq!(side.levels_all().map(|level| level.price).collect::<Vec<_>>(), [25, 20, 12]);
        assert_eq!(side.qty_at(12), Some(4));
        // It is the first to go, and the edge is where it was.
        assert_eq!(side.set(21, 1), Change::Inserted);
        assert_eq!((prices(&side), side.edge(), side.levels_dropped()), (vec![25, 21, 20], Some(16), 4));
    }

    #[test]
    fn nothing_is_best_when_all_that_is_known_is_gone() {
        let mut side = Side::new(BookSide::Ask, 8);
        side.reset(&[level(10, 1), level(11, 1)], true);
        assert_eq!((side.edge(), side.best()), (Some(11), Some(level(10, 1))));
        assert_eq!(side.set(13, 1), Change::Inserted);
        side.set(10, 0);
        side.set(11, 0);
        assert_eq!((side.best(), side.is_empty(), side.len(), side.len_all()), (None, true, 0, 1));
    }

    #[test]
    fn a_snapshot_may_come_in_any_order() {
        for cut in [false, true] {
            for order in [[40, 30, 20, 10], [10, 20, 30, 40], [20, 40, 10, 30]] {
                let levels = order.map(|price| level(price, price));
                let mut side = bids(4, &[(99, 1)]);
                side.reset(&levels, cut);
                assert_eq!((prices(&side), side.edge()), (vec![40, 30, 20, 10], cut.then_some(10)), "{order:?}");
                // More than there is room for: the best stay.
                let mut side = Side::new(BookSide::Bid, 3);
                side.reset(&levels, cut);
                assert_eq!((prices(&side), side.edge(), side.levels_dropped()), (vec![40, 30, 20], Some(11), 1));
            }
        }
    }

    #[test]
    fn a_snapshot_with_repetitions_and_zeros() {
        let mut side = Side::new(BookSide::Ask, 4);
        side.reset(&[level(5, 1), level(6, 2), level(5, 3), level(7, 0), level(i64::MIN, 4), level(6, 0)], true);
        assert_eq!((side.levels_all().collect::<Vec<_>>(), side.edge()), (vec![level(5, 3)], Some(5)));
        side.reset(&[], true);
        assert_eq!((side.len_all(), side.edge()), (0, None), "an empty side was not cut");
    }

    #[test]
    fn cutting_to_a_depth_leaves_the_edge() {
        let mut side = bids(10, &[(5, 1), (4, 1), (3, 1), (2, 1)]);
        assert_eq!((side.cut_to(9), side.cut_to(2), side.cut_to(2)), (0, 2, 0));
        assert_eq!((prices(&side), side.edge(), side.levels_dropped()), (vec![5, 4], None, 0));
        side.set(5, 0);
        side.set(3, 7);
        assert_eq!(prices(&side), [4, 3], "what the venue sends again is shown again");
    }

    #[test]
    fn extreme_prices() {
        for book_side in [BookSide::Bid, BookSide::Ask] {
            let mut side = Side::new(book_side, 2);
            assert_eq!(side.set(i64::MIN, 1), Change::Rejected);
            assert_eq!(side.set(i64::MAX, 1), Change::Inserted);
            assert_eq!(side.set(-i64::MAX, 1), Change::Inserted);
            assert_eq!(side.set(0, 1), Change::Inserted);
            assert_eq!((side.len_all(), side.qty_at(i64::MIN), side.levels_dropped()), (2, None, 1));
        }
    }

    #[test]
    fn rescaling_is_all_or_nothing() {
        let mut side = bids(2, &[(30, 3), (20, 2), (10, 1)]);
        assert_eq!(side.edge(), Some(11));
        side.rescale(100, 10).unwrap();
        assert_eq!(
            (side.levels().collect::<Vec<_>>(), side.edge()),
            (vec![level(3000, 30), level(2000, 20)], Some(1100))
        );
        let before = format!("{side:?}");
        for (price_mul, qty_mul) in [(i64::MAX / 1000, 1), (1, i64::MAX / 25), (0, 1), (1, -1)] {
            assert_eq!(side.rescale(price_mul, qty_mul), Err(Overflow));
            assert_eq!(format!("{side:?}"), before);
        }
        // Multiplied, the key of this price would be the one number that has no negative.
        let mut side = Side::new(BookSide::Ask, 2);
        side.set(1 << 62, 1);
        assert_eq!(side.rescale(2, 1), Err(Overflow));
    }

    #[test]
    fn memory_is_taken_once() {
        let mut side = Side::new(BookSide::Bid, 100);
        let capacity = side.entries.capacity();
        side.reset(&(0..500).map(|price| level(price, 1)).collect::<Vec<_>>(), false);
        for price in 0..1000 {
            side.set(price, 1);
        }
        assert_eq!((side.entries.capacity(), side.len_all(), side.capacity()), (capacity, 100, 100));
        assert_eq!(Side::new(BookSide::Bid, 0).capacity(), 1);
        assert_eq!((size_of::<Level>(), size_of::<Entry>()), (16, 16));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(i64, i64),
        /// The venue's snapshot of its best levels, shuffled by rotation.
        Snapshot(usize, usize),
        Rescale,
    }

    /// Prices within `reach` of zero.
    fn steps(reach: i64) -> impl Strategy<Value = Vec<Step>> {
        let limits = 1..reach as usize * 3 / 2;
        let step = prop_oneof![
            60 => (-reach..reach, prop_oneof![1 => Just(0), 2 => 1..9_i64]).prop_map(|(price, qty)| Step::Set(price, qty)),
            2 => (limits, 0..5_usize).prop_map(|(limit, rotate)| Step::Snapshot(limit, rotate)),
            1 => Just(Step::Rescale),
        ];
        prop::collection::vec(step, 0..6 * reach as usize)
    }

    /// Beside the side stands the venue's true book, which has room for everything. Up to the edge both have to be the
    /// same, and beyond it nothing may be stored that is not true.
    fn is_the_true_book(start: Vec<i64>, steps: Vec<Step>, levels_max: usize, ask: bool) -> Result<(), TestCaseError> {
        let book_side = if ask { BookSide::Ask } else { BookSide::Bid };
        let mut side = Side::new(book_side, levels_max);
        // By key: the greatest is the best.
        let mut truth: BTreeMap<i64, i64> = start.into_iter().map(|key| (key, 1)).collect();
        let all: Vec<Level> = truth.iter().map(|(&key, &qty)| level(if ask { -key } else { key }, qty)).collect();
        side.reset(&all, false);
        let mut unit = 1;
        for step in steps {
            let dropped = side.levels_dropped();
            match step {
                Step::Set(price, qty) => {
                    let price = price * unit;
                    let key = if ask { -price } else { price };
                    let stored = side.levels_all().any(|level| level.price == price);
                    let full = side.len_all() == levels_max;
                    let worst = side
                        .levels_all()
                        .next_back()
                        .is_some_and(|worst| key < if ask { -worst.price } else { worst.price });
                    let expected = match (stored, qty) {
                        (true, 0) => Change::Removed,
                        (true, _) => Change::Updated,
                        (false, 0) => Change::Absent,
                        (false, _) if full && worst => Change::BeyondCapacity,
                        (false, _) => Change::Inserted,
                    };
                    prop_assert_eq!(side.set(price, qty), expected);
                    prop_assert_eq!(side.levels_dropped() - dropped, u64::from(!stored && qty > 0 && full));
                    if qty == 0 {
                        truth.remove(&key);
                    } else {
                        truth.insert(key, qty);
                    }
                    prop_assert_eq!(side.qty_at(price), (qty > 0 && expected != Change::BeyondCapacity).then_some(qty));
                }
                Step::Snapshot(limit, rotate) => {
                    let mut levels: Vec<Level> = truth
                        .iter()
                        .rev()
                        .take(limit)
                        .map(|(&key, &qty)| level(if ask { -key } else { key }, qty))
                        .collect();
                    let rotate = rotate.min(levels.len());
                    levels.rotate_left(rotate);
                    side.reset(&levels, levels.len() == limit);
                    prop_assert_eq!(side.len_all(), levels.len().min(levels_max));
                    prop_assert_eq!(side.levels_dropped() - dropped, levels.len().saturating_sub(levels_max) as u64);
                }
                Step::Rescale if unit < 1000 => {
                    side.rescale(10, 1).unwrap();
                    truth = truth.into_iter().map(|(key, qty)| (key * 10, qty)).collect();
                    unit *= 10;
                }
                Step::Rescale => {}
            }
            let edge = side.edge().map_or(i64::MIN, |price| if ask { -price } else { price });
            let expected: Vec<Level> =
                truth.range(edge..).rev().map(|(&key, &qty)| level(if ask { -key } else { key }, qty)).collect();
            prop_assert_eq!(side.levels().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!((side.len(), side.best()), (expected.len(), expected.first().copied()));
            prop_assert!(side.len_all() <= levels_max);
            for Level { price, qty } in side.levels_all() {
                prop_assert_eq!(truth.get(&if ask { -price } else { price }), Some(&qty));
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// More levels than lie near the best one, dense there and with holes beyond, so that guesses hit and miss.
        #[test]
        fn it_is_with_levels_far_from_the_best_one(
            start in prop::collection::vec(-150..150_i64, 0..250),
            steps in steps(150),
            levels_max in 60..240_usize,
            ask in any::<bool>(),
        ) {
            is_the_true_book(start, steps, levels_max, ask)?;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]

        #[test]
        fn up_to_the_edge_it_is_the_true_book(steps in steps(20), levels_max in 1..14_usize, ask in any::<bool>()) {
            is_the_true_book(Vec::new(), steps, levels_max, ask)?;
        }

        #[test]
        fn no_snapshot_is_too_odd(levels in prop::collection::vec((-9..9_i64, 0..4_i64), 0..40), levels_max in 1..10_usize, cut in any::<bool>()) {
            let mut side = bids(levels_max, &[]);
            side.reset(&levels.iter().map(|&(price, qty)| level(price, qty)).collect::<Vec<_>>(), cut);
            let mut expected: BTreeMap<i64, i64> = levels.iter().copied().collect();
            expected.retain(|_, qty| *qty > 0);
            let best: Vec<Level> = expected.iter().rev().take(levels_max).map(|(&price, &qty)| level(price, qty)).collect();
            prop_assert_eq!(side.levels().collect::<Vec<_>>(), best);
            let dropped = expected.keys().rev().nth(levels_max).map(|price| price + 1);
            let worst = expected.keys().next().copied().filter(|_| cut);
            prop_assert_eq!(side.edge(), dropped.or(worst));
        }
    }
}
