//! A bounded history of rows, allocated once, that counts what it had to forget.

/// The last rows of a feed (trades, candles). Room is taken when the feed is added and never grows.
///
/// Each row has a number, counted from 0. A reader keeps the number it has read up to and asks for what came
/// [`since`](Ring::since) then; rows that were overwritten before it came are counted, never silently skipped.
#[derive(Clone, Debug)]
pub struct Ring<T> {
    rows: Vec<T>,
    rows_max: usize,
    total: u64,
}

/// What [`Ring::since`] gives.
#[derive(Debug)]
pub struct Since<'a, T> {
    /// Rows that came and were overwritten before they could be read.
    pub missed: u64,
    /// The older part of the rows, oldest first.
    pub older: &'a [T],
    /// The newer part of the rows, oldest first.
    pub newer: &'a [T],
}

impl<'a, T> Since<'a, T> {
    /// All rows, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a T> + use<'a, T> {
        self.older.iter().chain(self.newer)
    }
}

impl<T> Ring<T> {
    /// Room for `rows_max` rows, at least one.
    pub fn new(rows_max: usize) -> Ring<T> {
        let rows_max = rows_max.max(1);
        Ring { rows: Vec::with_capacity(rows_max), rows_max, total: 0 }
    }

    /// Adds a row; the oldest is forgotten when the ring is full.
    pub fn push(&mut self, row: T) {
        if self.rows.len() < self.rows_max {
            self.rows.push(row);
        } else {
            let at = (self.total % self.rows_max as u64) as usize;
            self.rows[at] = row;
        }
        self.total += 1;
    }

    /// The newest row.
    pub fn last(&self) -> Option<&T> {
        let newest = self.total.checked_sub(1)?;
        self.rows.get((newest % self.rows_max as u64) as usize)
    }

    /// The newest row, to be replaced in place (a candle that goes on).
    pub fn last_mut(&mut self) -> Option<&mut T> {
        let newest = self.total.checked_sub(1)?;
        self.rows.get_mut((newest % self.rows_max as u64) as usize)
    }

    /// How many rows there ever were: the number to give to [`since`](Ring::since) next time.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Rows numbered `from` and later that are still here.
    pub fn since(&self, from: u64) -> Since<'_, T> {
        let oldest = self.total - self.rows.len() as u64;
        let start = from.clamp(oldest, self.total);
        let missed = oldest.saturating_sub(from);
        let count = (self.total - start) as usize;
        let at = (start % self.rows_max as u64) as usize;
        let older_len = count.min(self.rows.len() - at.min(self.rows.len()));
        let (older, newer) = (&self.rows[at.min(self.rows.len())..][..older_len], &self.rows[..count - older_len]);
        Since { missed, older, newer }
    }

    /// All rows that are still here, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.since(0).iter()
    }

    /// How many rows are here.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True if no row ever came.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_list_that_is_cut(rows_max in 1usize..9, count in 0u64..40, from in 0u64..50) {
            let mut ring = Ring::new(rows_max);
            (0..count).for_each(|row| ring.push(row));
            let kept: Vec<u64> = (count.saturating_sub(rows_max as u64)..count).collect();
            prop_assert_eq!(ring.iter().copied().collect::<Vec<_>>(), kept.clone());
            prop_assert_eq!(ring.last().copied(), count.checked_sub(1));
            let since = ring.since(from);
            let expected: Vec<u64> = kept.iter().copied().filter(|row| *row >= from).collect();
            prop_assert_eq!(since.iter().copied().collect::<Vec<_>>(), expected);
            prop_assert_eq!(since.missed, kept.first().map_or(0, |first| first.saturating_sub(from)));
        }
    }
}
