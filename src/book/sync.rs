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
}

/// A change of a book.
#[derive(Clone, Copy, Debug)]
pub struct Delta<'a> {
    /// Number of the first update in it.
    pub first: u64,
    /// Number of the last update in it.
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
    /// The snapshot cannot be joined to what is held: ask for another one.
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
}

/// The sequence state of one book.
#[derive(Debug)]
pub struct Sync {
    rule: Rule,
    phase: Phase,
    /// Last update in the book, while following.
    last: u64,
    held: Held,
    ignored: u64,
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

    /// The subscription is confirmed. True if a snapshot is needed now.
    pub fn subscribed(&mut self) -> bool {
        if self.rule == Rule::Replace || self.phase != Phase::Subscription {
            return false;
        }
        self.phase = Phase::Snapshot;
        true
    }

    /// Asks for a fresh snapshot while the book stays as it is (a side ran low, or an audit is due). True if one is
    /// needed now; false if one is on its way or there is nothing to refresh.
    pub fn refresh(&mut self) -> bool {
        match self.phase {
            Phase::Following { refresh: false, first } if self.rule != Rule::Replace => {
                self.phase = Phase::Following { refresh: true, first };
                true
            }
            _ => false,
        }
    }

    /// The book cannot be relied on for a reason that the numbers do not show (unreadable message, crossed for too
    /// long). True if a snapshot is needed now; false if one is on its way, or none is ever.
    pub fn distrust(&mut self) -> bool {
        if self.rule == Rule::Replace {
            return false;
        }
        let ask = !matches!(self.phase, Phase::Snapshot | Phase::Following { refresh: true, .. });
        // A message was lost, so what is held has a hole too.
        self.held.clear();
        self.phase = Phase::Snapshot;
        ask
    }

    /// A delta came.
    #[inline]
    pub fn on_delta(&mut self, delta: &Delta<'_>, book: &mut Book, received: Stamp) -> Step {
        if let Phase::Following { refresh, first } = self.phase
            && (self.continues(delta) || first && self.straddles(delta))
        {
            self.last = delta.last;
            book.apply(delta, received);
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

    /// Every delta after the first: Range, U = previous u + 1 (card binance.md section 5); PrevId, pu = previous u.
    #[inline]
    fn continues(&self, delta: &Delta<'_>) -> bool {
        match self.rule {
            Rule::Range => self.last.checked_add(1) == Some(delta.first) && delta.last >= delta.first,
            Rule::PrevId => delta.prev == Some(self.last) && delta.last >= self.last,
            Rule::Replace => false,
        }
    }

    #[cold]
    fn on_delta_out_of_line(&mut self, delta: &Delta<'_>) -> Step {
        match self.phase {
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
                book.reset(snapshot, received);
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

    /// Joins as the card says. Range (binance.md section 5, spot): drop `u <= L`; the first one applied has
    /// `U <= L + 1 <= u`; if the first one held has `U > L + 1` the snapshot is too old. PrevId (futures): drop
    /// `u < L`; the first one applied has `U <= L <= u` or `pu == L`.
    fn join(&mut self, snapshot: &Snapshot<'_>, book: &mut Book, received: Stamp) -> Step {
        if !self.held.covers(snapshot.last, self.rule) {
            return Step::SnapshotTooOld;
        }
        book.reset(snapshot, received);
        self.last = snapshot.last;
        let mut held = std::mem::take(&mut self.held);
        let mut first = true;
        held.each(|delta| {
            let old = match self.rule {
                Rule::PrevId => delta.last < snapshot.last,
                _ => delta.last <= snapshot.last,
            };
            if !old {
                book.apply(delta, received);
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
