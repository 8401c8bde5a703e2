//! Sequence rules: how snapshots and deltas join, and what a missing number means.
//!
//! [`Sync`] is the only one who asks for a snapshot. It holds deltas in a bounded pool while one is on its way, joins
//! both as the venue documents it, and refuses to call a book live that is not whole. It has no clock and no socket:
//! each call says what to do next as a [`Step`].
//!
//! A sync is named by what it waits for:
//! - `Subscription`: nothing is known to flow yet; deltas that come all the same are held.
//! - `Snapshot`: a snapshot was asked for; deltas are held.
//! - `Following`: joined; each delta must continue the last one. A *refresh* (a new snapshot while the book stays live)
//!   happens here too: deltas are then applied and held.

use std::collections::VecDeque;

use super::{Book, Level};
use crate::model::{Stamp, Wall};

/// Deltas held while a snapshot is on its way; beyond it the oldest are dropped. Venues send ten a second.
pub(super) const HELD_DELTAS_MAX: usize = 2_048;
/// Levels in held deltas, all together.
pub(super) const HELD_LEVELS_MAX: usize = 65_536;

/// How a venue numbers its deltas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Each delta spans `first..=last`, and the next one begins at `last + 1`; the snapshot carries a `last`.
    /// Binance spot.
    Range,
    /// Each delta names the `last` of the one before it; the first one applied spans the snapshot's number.
    /// Binance futures.
    PrevId,
    /// Each message is a whole book that replaces the one before: partial-depth streams.
    Replace,
    /// The snapshot comes on the stream, and each delta names the number of the message before it, which may go back
    /// while the chain holds. A message without a number before it counts as the next one. OKX.
    Chain,
    /// The snapshot comes on the stream, and nothing is numbered: the order of the stream is all there is, and a
    /// checksum where the venue sends one. Kraken, Coinbase.
    Unnumbered,
}

impl Rule {
    /// True if snapshots come on the stream when it is subscribed, so that a new one takes a new subscription.
    pub fn is_in_band(self) -> bool {
        matches!(self, Rule::Chain | Rule::Unnumbered)
    }
}

/// A change of a book.
#[derive(Clone, Copy, Debug)]
pub struct Delta<'a> {
    /// Number of the first update in it; 0 where the venue numbers nothing.
    pub first: u64,
    /// Number of the last update in it, likewise.
    pub last: u64,
    /// Number of the last update before it, where the venue says so.
    pub prev: Option<u64>,
    /// The venue's time.
    pub venue_time: Option<Wall>,
    /// Bids; amount 0 removes the level.
    pub bids: &'a [Level],
    /// Asks; amount 0 removes the level.
    pub asks: &'a [Level],
}

/// A whole book.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// Number of the last update in it.
    pub last: u64,
    /// The venue's time.
    pub venue_time: Option<Wall>,
    /// Bids.
    pub bids: &'a [Level],
    /// Asks.
    pub asks: &'a [Level],
    /// There may be bids worse than the worst one here.
    pub bids_cut: bool,
    /// There may be asks worse than the worst one here.
    pub asks_cut: bool,
}

/// What a call to [`Sync`] did, and what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The delta went into the book.
    Applied,
    /// The delta is held until the snapshot comes.
    Held,
    /// The delta was held, and a snapshot is needed now.
    HeldAsk,
    /// The delta is older than the book, or a duplicate: nothing changed.
    Ignored,
    /// The snapshot and what was held are joined: the book is whole.
    Joined,
    /// The snapshot cannot be joined to what is held, or to the first delta after it: ask for another one.
    SnapshotTooOld,
    /// The snapshot was not asked for: nothing changed.
    Unasked,
    /// A number is missing: the book is not to be relied on, and a snapshot is needed now.
    Gap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// The book does not have the checksum that the venue sent: it is not to be relied on, and a snapshot is needed now.
    Mismatch {
        /// The venue's checksum.
        expected: u32,
        /// The book's.
        got: u32,
    },
}

/// The sequence state of one book.
#[derive(Debug)]
#[repr(C)] // What every delta touches comes first.
pub struct Sync {
    rule: Rule,
    phase: Phase,
    /// Last update in the book, while following.
    last: u64,
    ignored: u64,
    held: Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Subscription,
    Snapshot,
    Following {
        /// A fresh snapshot was asked for; deltas are held as well as applied.
        refresh: bool,
        /// No delta was applied since the snapshot: the first one may straddle it.
        first: bool,
    },
}

impl Sync {
    /// A sync that waits for the subscription.
    pub fn new(rule: Rule) -> Sync {
        Sync { rule, phase: Phase::Subscription, last: 0, held: Held::default(), ignored: 0 }
    }

    /// The rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// True while the book is whole and in sequence.
    pub fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Following { .. })
    }

    /// True if nothing has joined the snapshot yet: the book is as old as the snapshot, and that may be older than the
    /// stream.
    pub fn is_unconfirmed(&self) -> bool {
        matches!(self.phase, Phase::Following { first: true, .. })
    }

    /// Deltas that were older than the book or came twice.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Deltas held at the moment.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The connection is gone: forgets all and waits for the next subscription.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Subscription;
        self.held.clear();
    }

    /// The subscription is confirmed. True if a snapshot has to be asked for now.
    pub fn subscribed(&mut self) -> bool {
        if self.rule == Rule::Replace || self.phase != Phase::Subscription {
            return false;
        }
        self.phase = Phase::Snapshot;
        !self.rule.is_in_band()
    }

    /// Asks for a fresh snapshot while the book stays as it is (a side ran low, or an audit is due). True if one is
    /// needed now; false if one is on its way or there is nothing to refresh.
    pub fn refresh(&mut self) -> bool {
        match self.phase {
            Phase::Following { refresh: false, first } if self.rule != Rule::Replace && !self.rule.is_in_band() => {
                self.phase = Phase::Following { refresh: true, first };
                true
            }
            _ => false,
        }
    }

    /// The book cannot be relied on for a reason that the numbers do not show (unreadable message, crossed for too
    /// long): a new snapshot is needed, unless whole books replace each other anyway.
    pub fn distrust(&mut self) {
        if self.rule == Rule::Replace {
            return;
        }
        // A message was lost, so what is held has a hole too.
        self.held.clear();
        self.phase = Phase::Snapshot;
    }

    /// The book counts with more decimals from now on: what is held moves along, by factors that are powers of ten.
    /// False if a number would not fit; nothing has changed then, and the book is to be distrusted.
    pub(crate) fn rescale(&mut self, price_mul: i64, qty_mul: i64) -> bool {
        let scaled = |level: &Level| {
            Some(Level { price: level.price.checked_mul(price_mul)?, qty: level.qty.checked_mul(qty_mul)? })
        };
        if self.held.levels.iter().any(|level| scaled(level).is_none()) {
            return false;
        }
        for level in &mut self.held.levels {
            *level = scaled(level).unwrap_or(*level);
        }
        true
    }

    /// A delta came.
    #[inline]
    pub fn on_delta(&mut self, delta: &Delta<'_>, book: &mut Book, received: Stamp) -> Step {
        if let Phase::Following { refresh, first } = self.phase
            && (self.continues(delta) || first && self.straddles(delta))
        {
            self.last = delta.last;
            book.apply(delta, self.nonce(delta.last), received);
            if refresh || first {
                self.after_applied(delta, refresh);
            }
            return Step::Applied;
        }
        self.on_delta_out_of_line(delta)
    }

    #[cold]
    fn after_applied(&mut self, delta: &Delta<'_>, refresh: bool) {
        self.phase = Phase::Following { refresh, first: false };
        if refresh {
            self.hold(delta);
        }
    }

    /// The first delta after the snapshot: Range, `U <= L + 1 <= u`; PrevId, `U <= L <= u`.
    fn straddles(&self, delta: &Delta<'_>) -> bool {
        let due = match self.rule {
            Rule::Range => self.last.saturating_add(1),
            _ => self.last,
        };
        delta.first <= due && due <= delta.last
    }

    /// Every delta after the first: Range, U = previous u + 1; PrevId, pu = previous u (Binance, "How to
    /// manage a local order book correctly", spot and futures).
    #[inline]
    fn continues(&self, delta: &Delta<'_>) -> bool {
        match self.rule {
            Rule::Range => self.last.checked_add(1) == Some(delta.first) && delta.last >= delta.first,
            Rule::PrevId => delta.prev == Some(self.last) && delta.last >= self.last,
            Rule::Chain => delta.prev.is_none_or(|prev| prev == self.last),
            Rule::Unnumbered => true,
            Rule::Replace => false,
        }
    }

    /// The number that a book shows.
    #[inline]
    fn nonce(&self, last: u64) -> Option<u64> {
        match self.rule {
            Rule::Unnumbered => None,
            // What OKX sent before it had numbers, and its top of the book.
            Rule::Chain | Rule::Replace if last == 0 => None,
            _ => Some(last),
        }
    }

    #[cold]
    fn on_delta_out_of_line(&mut self, delta: &Delta<'_>) -> Step {
        match self.phase {
            Phase::Subscription | Phase::Snapshot if self.rule.is_in_band() => {
                // From before the subscription that the snapshot belongs to.
                self.ignored += 1;
                Step::Ignored
            }
            Phase::Following { .. } if self.rule == Rule::Chain => {
                self.phase = Phase::Snapshot;
                Step::Gap { expected: self.last, got: delta.prev.unwrap_or(delta.first) }
            }
            Phase::Subscription if self.rule != Rule::Replace => {
                // Data before the confirmation: the stream delivers, so the snapshot can be asked for.
                self.hold(delta);
                self.phase = Phase::Snapshot;
                Step::HeldAsk
            }
            Phase::Snapshot => {
                self.hold(delta);
                Step::Held
            }
            Phase::Following { .. } if delta.last <= self.last => {
                self.ignored += 1;
                Step::Ignored
            }
            Phase::Following { first: true, .. } => {
                // Nothing had joined the snapshot: not the stream has a hole, the snapshot was older than it.
                self.held.clear();
                self.hold(delta);
                self.phase = Phase::Snapshot;
                Step::SnapshotTooOld
            }
            Phase::Following { .. } => {
                // If the snapshot of a refresh is on its way, it serves when it is new enough.
                let expected = match self.rule {
                    Rule::Range => self.last.saturating_add(1),
                    _ => self.last,
                };
                let got = match self.rule {
                    Rule::Range => delta.first,
                    _ => delta.prev.unwrap_or(delta.first),
                };
                self.held.clear();
                self.hold(delta);
                self.phase = Phase::Snapshot;
                Step::Gap { expected, got }
            }
            Phase::Subscription => Step::Ignored,
        }
    }

    /// A whole book came, from REST or on the stream.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot<'_>, book: &mut Book, received: Stamp) -> Step {
        match (self.rule, self.phase) {
            (Rule::Replace, phase) => {
                if phase != Phase::Subscription && snapshot.last < self.last {
                    self.ignored += 1;
                    return Step::Ignored;
                }
                self.last = snapshot.last;
                self.phase = Phase::Following { refresh: false, first: false };
                book.reset(snapshot, self.nonce(snapshot.last), received);
                Step::Joined
            }
            (rule, _) if rule.is_in_band() => {
                // Whatever was before, the stream goes on from here.
                self.last = snapshot.last;
                self.phase = Phase::Following { refresh: false, first: false };
                book.reset(snapshot, self.nonce(snapshot.last), received);
                Step::Joined
            }
            (_, Phase::Snapshot) => self.join(snapshot, book, received),
            (_, Phase::Following { refresh: true, .. }) => {
                // What was applied since the refresh was asked for is held as well; a snapshot from before that would
                // take back changes that are not held.
                if snapshot.last < self.last && self.held.is_empty() {
                    return Step::SnapshotTooOld;
                }
                self.join(snapshot, book, received)
            }
            _ => Step::Unasked,
        }
    }

    /// Joins as documented there. Range (spot): drop `u <= L`; the first one applied has
    /// `U <= L + 1 <= u`; if the first one held has `U > L + 1` the snapshot is too old. PrevId (futures): drop
    /// `u < L`; the first one applied has `U <= L <= u` or `pu == L`.
    fn join(&mut self, snapshot: &Snapshot<'_>, book: &mut Book, received: Stamp) -> Step {
        if !self.held.covers(snapshot.last, self.rule) {
            return Step::SnapshotTooOld;
        }
        book.reset(snapshot, Some(snapshot.last), received);
        self.last = snapshot.last;
        let mut held = std::mem::take(&mut self.held);
        let mut first = true;
        held.each(|delta| {
            let old = match self.rule {
                Rule::PrevId => delta.last < snapshot.last,
                _ => delta.last <= snapshot.last,
            };
            if !old {
                book.apply(delta, Some(delta.last), received);
                self.last = delta.last;
                first = false;
            }
        });
        self.phase = Phase::Following { refresh: false, first };
        Step::Joined
    }

    fn hold(&mut self, delta: &Delta<'_>) {
        self.held.push(delta, self.rule);
    }
}

/// Deltas that wait for a snapshot, contiguous by the venue's rule, bounded in number and in levels.
#[derive(Debug, Default)]
pub struct Held {
    deltas: VecDeque<HeldDelta>,
    levels: VecDeque<Level>,
    /// Deltas dropped because the pool was full or did not continue.
    dropped: u64,
}

#[derive(Clone, Copy, Debug)]
struct HeldDelta {
    first: u64,
    last: u64,
    prev: Option<u64>,
    venue_time: Option<Wall>,
    bids: u32,
    asks: u32,
}

impl Held {
    /// How many deltas are held.
    pub fn len(&self) -> usize {
        self.deltas.len()
    }

    /// True if none is held.
    pub fn is_empty(&self) -> bool {
        self.deltas.is_empty()
    }

    /// How many deltas were dropped because the pool was full or had a hole.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn clear(&mut self) {
        self.deltas.clear();
        self.levels.clear();
    }

    fn push(&mut self, delta: &Delta<'_>, rule: Rule) {
        if delta.last < delta.first {
            return;
        }
        if let Some(newest) = self.deltas.back() {
            let continues = match rule {
                Rule::Range => newest.last.checked_add(1) == Some(delta.first),
                _ => delta.prev == Some(newest.last),
            };
            if !continues {
                if delta.last <= newest.last {
                    // A duplicate, or one that was overtaken: the newer ones do not need it.
                    self.dropped += 1;
                    return;
                }
                // A hole: what is older cannot be joined to this one any more.
                self.dropped += self.deltas.len() as u64;
                self.clear();
            }
        }
        let count = delta.bids.len() + delta.asks.len();
        while self.deltas.len() >= HELD_DELTAS_MAX || self.levels.len() + count > HELD_LEVELS_MAX {
            let Some(oldest) = self.deltas.pop_front() else { return };
            self.levels.drain(..(oldest.bids + oldest.asks) as usize);
            self.dropped += 1;
        }
        self.deltas.push_back(HeldDelta {
            first: delta.first,
            last: delta.last,
            prev: delta.prev,
            venue_time: delta.venue_time,
            bids: delta.bids.len() as u32,
            asks: delta.asks.len() as u32,
        });
        self.levels.extend(delta.bids);
        self.levels.extend(delta.asks);
    }

    /// True if a snapshot at `last` can be joined: nothing is missing between it and the first delta that is newer.
    fn covers(&self, last: u64, rule: Rule) -> bool {
        match rule {
            Rule::PrevId => match self.deltas.iter().find(|d| d.last >= last) {
                Some(d) => d.first <= last || d.prev == Some(last),
                None => true,
            },
            _ => match self.deltas.iter().find(|d| d.last > last) {
                Some(d) => last.checked_add(1).is_some_and(|next| d.first <= next),
                None => true,
            },
        }
    }

    /// Lends each delta, oldest first.
    fn each(&mut self, mut take: impl FnMut(&Delta<'_>)) {
        let levels = self.levels.make_contiguous();
        let mut at = 0;
        for held in &self.deltas {
            let (bids, asks) = (held.bids as usize, held.asks as usize);
            take(&Delta {
                first: held.first,
                last: held.last,
                prev: held.prev,
                venue_time: held.venue_time,
                bids: &levels[at..at + bids],
                asks: &levels[at + bids..at + bids + asks],
            });
            at += bids + asks;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MarketId, VenueId};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn book() -> Book {
        Book::new(MarketId { venue: VenueId(0), index: 0 }, 2, 3, 64)
    }

    fn level(price: i64, qty: i64) -> Level {
        Level { price, qty }
    }

    /// A delta `first..=last` that sets one bid, so that what was applied shows.
    fn delta(first: u64, last: u64, bids: &[Level]) -> Delta<'_> {
        Delta { first, last, prev: first.checked_sub(1), venue_time: None, bids, asks: &[] }
    }

    fn snapshot(last: u64, bids: &[Level]) -> Snapshot<'_> {
        Snapshot { last, venue_time: None, bids, asks: &[], bids_cut: false, asks_cut: false }
    }

    fn bids(book: &Book) -> Vec<(i64, i64)> {
        book.last_known().bids.levels_all().map(|level| (level.price, level.qty)).collect()
    }

    const T: Stamp = Stamp { mono: crate::model::Mono(0), wall: Wall(0) };

    /// A capture of Binance spot of 2021-10-12: snapshot 499869752; events (750,752) drop, (753,754)
    /// apply, (755,757) apply.
    #[test]
    fn worked_example_of_binance_spot() {
        let (mut sync, mut book) = (Sync::new(Rule::Range), book());
        assert!(sync.subscribed());
        assert_eq!(sync.on_delta(&delta(499869750, 499869752, &[level(1, 1)]), &mut book, T), Step::Held);
        assert_eq!(sync.on_snapshot(&snapshot(499869752, &[level(2, 2)]), &mut book, T), Step::Joined);
        assert_eq!(bids(&book), [(2, 2)], "what the snapshot contains is not applied again");
        assert_eq!(sync.on_delta(&delta(499869753, 499869754, &[level(3, 3)]), &mut book, T), Step::Applied);
        assert_eq!(sync.on_delta(&delta(499869755, 499869757, &[level(3, 0)]), &mut book, T), Step::Applied);
        assert_eq!((bids(&book), book.nonce()), (vec![(2, 2)], Some(499869757)));
    }

    /// A capture of Binance futures of 2021: snapshot 600859605926; an event up to ..4824 is dropped; U=..5926 u=..7423 pu=..4824
    /// is applied first (U <= L <= u); the next has pu=..7423.
    #[test]
    fn worked_example_of_binance_futures() {
        let (mut sync, mut book) = (Sync::new(Rule::PrevId), book());
        let with_prev = |first, last, prev, bids| Delta { prev: Some(prev), ..delta(first, last, bids) };
        assert!(sync.subscribed());
        let (a, b, c) = ([level(1, 1)], [level(5, 5)], [level(6, 6)]);
        assert_eq!(sync.on_delta(&with_prev(600859603343, 600859604824, 600859603000, &a), &mut book, T), Step::Held);
        assert_eq!(sync.on_snapshot(&snapshot(600859605926, &[level(4, 4)]), &mut book, T), Step::Joined);
        let straddling = with_prev(600859605926, 600859607423, 600859604824, &b);
        assert_eq!(sync.on_delta(&straddling, &mut book, T), Step::Applied);
        assert_eq!(
            sync.on_delta(&with_prev(600859609999, 600859610000, 600859607423, &c), &mut book, T),
            Step::Applied,
            "U is not the previous u + 1 there"
        );
        assert_eq!(bids(&book), [(6, 6), (5, 5), (4, 4)]);
        let lost = with_prev(600859611000, 600859611001, 600859610500, &a);
        assert_eq!(sync.on_delta(&lost, &mut book, T), Step::Gap { expected: 600859610000, got: 600859610500 });
    }

    #[test]
    fn a_snapshot_older_than_the_stream_is_refused() {
        let (mut sync, mut book) = (Sync::new(Rule::Range), book());
        assert_eq!(sync.on_delta(&delta(11, 12, &[level(1, 1)]), &mut book, T), Step::HeldAsk);
        assert_eq!(sync.on_snapshot(&snapshot(9, &[]), &mut book, T), Step::SnapshotTooOld);
        assert!(!sync.is_following());
        assert_eq!(sync.on_snapshot(&snapshot(10, &[]), &mut book, T), Step::Joined);
        assert_eq!((bids(&book), book.nonce()), (vec![(1, 1)], Some(12)));
    }

    #[test]
    fn the_first_delta_may_straddle_the_snapshot_and_no_later_one() {
        let (mut sync, mut book) = (Sync::new(Rule::Range), book());
        assert!(sync.subscribed());
        assert_eq!(sync.on_snapshot(&snapshot(10, &[]), &mut book, T), Step::Joined);
        assert_eq!(sync.on_delta(&delta(5, 10, &[level(9, 9)]), &mut book, T), Step::Ignored);
        assert_eq!(sync.on_delta(&delta(8, 13, &[level(1, 1)]), &mut book, T), Step::Applied);
        assert_eq!(
            sync.on_delta(&delta(12, 15, &[level(2, 2)]), &mut book, T),
            Step::Gap { expected: 14, got: 12 },
            "an overlap is against the rule, so it is not trusted"
        );
        assert_eq!(bids(&book), [(1, 1)]);
    }

    #[test]
    fn a_snapshot_that_turns_out_to_be_old_is_no_gap() {
        let (mut sync, mut book) = (Sync::new(Rule::Range), book());
        assert!(sync.subscribed());
        assert_eq!(sync.on_snapshot(&snapshot(10, &[]), &mut book, T), Step::Joined);
        assert!(sync.is_unconfirmed());
        assert_eq!(sync.on_delta(&delta(13, 14, &[level(1, 1)]), &mut book, T), Step::SnapshotTooOld);
        assert!(!sync.is_following());
        assert_eq!(sync.on_snapshot(&snapshot(13, &[]), &mut book, T), Step::Joined);
        assert!(!sync.is_unconfirmed());
        assert_eq!((bids(&book), book.nonce()), (vec![(1, 1)], Some(14)));
    }

    #[test]
    fn duplicates_are_ignored_and_counted() {
        let (mut sync, mut book) = (Sync::new(Rule::Range), book());
        assert!(sync.subscribed());
        sync.on_snapshot(&snapshot(10, &[]), &mut book, T);
        assert_eq!(sync.on_delta(&delta(11, 12, &[level(1, 1)]), &mut book, T), Step::Applied);
        assert_eq!(sync.on_delta(&delta(11, 12, &[level(1, 7)]), &mut book, T), Step::Ignored);
        assert_eq!((sync.ignored(), bids(&book)), (1, vec![(1, 1)]));
    }

    #[test]
    fn held_deltas_follow_finer_scales_or_are_left_as_they_are() {
        let (mut sync, mut book) = (Sync::new(Rule::Range), book());
        assert!(sync.subscribed());
        assert_eq!(sync.on_delta(&delta(11, 11, &[level(5, 7), level(i64::MAX / 10, 1)]), &mut book, T), Step::Held);
        assert!(!sync.rescale(100, 1), "the second price would not fit");
        assert!(sync.rescale(10, 1_000));
        sync.on_snapshot(&snapshot(10, &[level(60, 8_000)]), &mut book, T);
        assert_eq!(bids(&book), [(i64::MAX / 10 * 10, 1_000), (60, 8_000), (50, 7_000)]);
    }

    #[test]
    fn a_refresh_never_takes_back_what_was_applied() {
        let (mut sync, mut book) = (Sync::new(Rule::Range), book());
        assert!(sync.subscribed());
        sync.on_snapshot(&snapshot(10, &[]), &mut book, T);
        sync.on_delta(&delta(11, 12, &[level(1, 1)]), &mut book, T);
        assert!(sync.refresh());
        assert!(!sync.refresh(), "one is on its way");
        // From before the refresh was asked for, and nothing held that leads from it to the present.
        assert_eq!(sync.on_snapshot(&snapshot(11, &[]), &mut book, T), Step::SnapshotTooOld);
        assert_eq!((bids(&book), sync.is_following()), (vec![(1, 1)], true));
        sync.on_delta(&delta(13, 14, &[level(2, 2)]), &mut book, T);
        assert_eq!(sync.on_snapshot(&snapshot(12, &[level(1, 1), level(3, 3)]), &mut book, T), Step::Joined);
        assert_eq!((bids(&book), book.nonce()), (vec![(3, 3), (2, 2), (1, 1)], Some(14)));
        assert_eq!(sync.on_delta(&delta(15, 15, &[]), &mut book, T), Step::Applied);
    }

    #[test]
    fn whole_books_replace_each_other_and_never_go_back() {
        let (mut sync, mut book) = (Sync::new(Rule::Replace), book());
        assert!(!sync.subscribed(), "no snapshot is needed");
        assert_eq!(sync.on_snapshot(&snapshot(5, &[level(1, 1)]), &mut book, T), Step::Joined);
        assert_eq!(sync.on_snapshot(&snapshot(4, &[level(9, 9)]), &mut book, T), Step::Ignored);
        assert_eq!(bids(&book), [(1, 1)]);
        sync.disconnected();
        assert_eq!(sync.on_snapshot(&snapshot(4, &[level(2, 2)]), &mut book, T), Step::Joined);
        assert_eq!(bids(&book), [(2, 2)]);
    }

    #[test]
    fn the_pool_of_held_deltas_is_bounded_and_keeps_the_newest() {
        let (mut sync, mut book) = (Sync::new(Rule::Range), book());
        assert!(sync.subscribed());
        let extra = 10;
        for n in 1..=HELD_DELTAS_MAX as u64 + extra {
            sync.on_delta(&delta(n, n, &[level(n as i64, 1)]), &mut book, T);
        }
        assert_eq!((sync.held().len(), sync.held().dropped()), (HELD_DELTAS_MAX, extra));
        assert_eq!(sync.on_snapshot(&snapshot(extra - 1, &[]), &mut book, T), Step::SnapshotTooOld);
        assert_eq!(sync.on_snapshot(&snapshot(extra, &[]), &mut book, T), Step::Joined);
        assert_eq!(book.nonce(), Some(HELD_DELTAS_MAX as u64 + extra));
        // Levels are bounded as well, and a delta that alone is larger than the pool is not held at all.
        let many = vec![level(1, 1); HELD_LEVELS_MAX / 2];
        let mut sync = Sync::new(Rule::Range);
        assert!(sync.subscribed());
        for n in 1..=3 {
            sync.on_delta(&delta(n, n, &many), &mut book, T);
        }
        assert_eq!((sync.held().len(), sync.held().dropped()), (2, 1));
        let too_many = vec![level(1, 1); HELD_LEVELS_MAX + 1];
        sync.on_delta(&delta(4, 4, &too_many), &mut book, T);
        assert_eq!(sync.held().len(), 0);
    }

    #[test]
    fn numbers_at_the_end_of_their_range_do_no_harm() {
        let (mut sync, mut book) = (Sync::new(Rule::Range), book());
        assert!(sync.subscribed());
        assert_eq!(sync.on_snapshot(&snapshot(u64::MAX, &[]), &mut book, T), Step::Joined);
        assert_eq!(sync.on_delta(&delta(u64::MAX, u64::MAX, &[]), &mut book, T), Step::Applied);
        assert_eq!(sync.on_delta(&delta(0, 0, &[]), &mut book, T), Step::Ignored);
        assert_eq!(sync.on_delta(&delta(0, u64::MAX, &[]), &mut book, T), Step::Ignored);
    }

    /// What happens to a delta on its way.
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Arrives,
        Lost,
        Twice,
        /// Overtaken by the next one.
        Late,
        /// The connection is cut here.
        Cut,
        /// A snapshot that is so many deltas old arrives before it.
        Snapshot(usize),
        Refresh,
        Distrust,
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            12 => Just(Fate::Arrives),
            1 => Just(Fate::Lost),
            1 => Just(Fate::Twice),
            1 => Just(Fate::Late),
            1 => Just(Fate::Cut),
            6 => (0usize..6).prop_map(Fate::Snapshot),
            1 => Just(Fate::Refresh),
            1 => Just(Fate::Distrust),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// Whatever is lost, doubled, reordered or cut: while the sync says that it follows, the book is the true book
        /// of the number that it shows.
        #[test]
        fn a_followed_book_is_the_true_book(
            fates in prop::collection::vec((fate(), 1u64..4, 90i64..110, 0i64..3), 1..120),
            futures in any::<bool>(),
        ) {
            let rule = if futures { Rule::PrevId } else { Rule::Range };
            let (mut sync, mut ours) = (Sync::new(rule), book());
            sync.subscribed();
            let mut truth = BTreeMap::new();
            let mut history = vec![(0u64, truth.clone())];
            let (mut last, mut late) = (0u64, None::<(u64, u64, u64, Level)>);
            for (fate, span, price, qty) in fates {
                let prev = last;
                let first = last + if futures { 7 } else { 1 };
                last = first + span - 1;
                let change = level(price, qty);
                if qty == 0 { truth.remove(&price); } else { truth.insert(price, qty); }
                history.push((last, truth.clone()));
                let deliver = |sync: &mut Sync, ours: &mut Book, (first, last, prev, change): (u64, u64, u64, Level)| {
                    let bids = [change];
                    let delta = Delta { first, last, prev: Some(prev), venue_time: None, bids: &bids, asks: &[] };
                    sync.on_delta(&delta, ours, T);
                };
                let this = (first, last, prev, change);
                match fate {
                    Fate::Lost => {}
                    Fate::Late => {
                        if let Some(older) = late.replace(this) {
                            deliver(&mut sync, &mut ours, older);
                        }
                        continue;
                    }
                    Fate::Cut => {
                        sync.disconnected();
                        sync.subscribed();
                        late = None;
                    }
                    Fate::Snapshot(age) => {
                        deliver(&mut sync, &mut ours, this);
                        let (at, levels) = &history[history.len() - 1 - age.min(history.len() - 1)];
                        let bids: Vec<Level> = levels.iter().rev().map(|(price, qty)| level(*price, *qty)).collect();
                        sync.on_snapshot(&snapshot(*at, &bids), &mut ours, T);
                    }
                    Fate::Refresh => {
                        sync.refresh();
                        deliver(&mut sync, &mut ours, this);
                    }
                    Fate::Distrust => {
                        // The message was lost and the adapter noticed.
                        sync.distrust();
                    }
                    Fate::Twice => {
                        deliver(&mut sync, &mut ours, this);
                        deliver(&mut sync, &mut ours, this);
                    }
                    Fate::Arrives => deliver(&mut sync, &mut ours, this),
                }
                if let Some(older) = late.take() {
                    deliver(&mut sync, &mut ours, older);
                }
                if sync.is_following() {
                    let nonce = ours.nonce().unwrap();
                    let (_, expected) = history.iter().rev().find(|(at, _)| *at == nonce).unwrap();
                    let expected: Vec<(i64, i64)> = expected.iter().rev().map(|(p, q)| (*p, *q)).collect();
                    prop_assert_eq!(bids(&ours), expected, "at {}", nonce);
                }
            }
        }
    }
}
