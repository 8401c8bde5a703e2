//! Order books: two sorted sides of fixed-point levels, and a state that says whether they can be relied on.
//!
//! [`Side`] keeps levels, [`Sync`] knows the venue's sequence rules, [`Book`] ties both to a [`BookState`]. Nothing here
//! knows a socket or a clock. The accessors of [`Book`] answer only while it is [`BookState::Live`]; whoever wants what
//! was known last asks for [`Book::last_known`] by name.

pub mod checksum;
pub mod side;
mod sync;

pub use checksum::Expected;
pub use side::{BookSide, Change, Level, Side};
pub use sync::{Delta, Held, Rule, Snapshot, Step, Sync};

use crate::decimal::{DecimalError, Fixed};
use crate::model::{Cause, MarketId, Mono, Stamp, Wall};
use checksum::{Checksum, Scales};

/// Whether a book can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BookState {
    /// Waits for a snapshot, or for the deltas that join it.
    Syncing,
    /// Complete and in sequence.
    Live,
    /// A delta is missing; a new snapshot is on its way.
    Gapped,
    /// Best bid at or above best ask after a whole message; repaired by a new snapshot unless the next delta ends it.
    Crossed,
    /// Nothing came for longer than the feed's limit.
    Stale,
    /// The market does not trade, or its numbers cannot be held.
    Halted,
}

impl BookState {
    /// The word for tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            BookState::Syncing => "syncing",
            BookState::Live => "live",
            BookState::Gapped => "gapped",
            BookState::Crossed => "crossed",
            BookState::Stale => "stale",
            BookState::Halted => "halted",
        }
    }
}

/// An order book of one market.
///
/// Levels hold mantissas at [`price_scale`](Book::price_scale) and [`amount_scale`](Book::amount_scale); both may grow
/// when a venue sends a finer number.
#[derive(Debug)]
#[repr(C)] // What a delta touches comes last, and lies together.
pub struct Book {
    market: MarketId,
    cause: Cause,
    since: Stamp,
    levels_rejected: u64,
    state: BookState,
    price_scale: u8,
    amount_scale: u8,
    /// Levels of a side that the venue keeps; worse ones fall out without a word. `usize::MAX` if it keeps all.
    window: usize,
    updates: u64,
    received: Stamp,
    nonce: Option<u64>,
    venue_time: Option<Wall>,
    bids: Side,
    asks: Side,
}

impl Book {
    /// An empty book with room for `levels_max` levels a side, [`BookState::Syncing`].
    pub fn new(market: MarketId, price_scale: u8, amount_scale: u8, levels_max: usize) -> Book {
        Book {
            market,
            bids: Side::new(BookSide::Bid, levels_max),
            asks: Side::new(BookSide::Ask, levels_max),
            price_scale,
            amount_scale,
            state: BookState::Syncing,
            cause: Cause::Asked,
            since: Stamp::default(),
            nonce: None,
            venue_time: None,
            received: Stamp::default(),
            updates: 0,
            levels_rejected: 0,
            window: usize::MAX,
        }
    }

    /// Keeps the best `levels` of each side after every change: for venues that define their book as these and do not
    /// delete what falls out.
    pub(crate) fn keep_window(&mut self, levels: usize) {
        self.window = levels;
    }

    /// The market.
    pub fn market(&self) -> MarketId {
        self.market
    }

    /// Whether the book can be relied on.
    pub fn state(&self) -> BookState {
        self.state
    }

    /// True for [`BookState::Live`].
    pub fn is_live(&self) -> bool {
        self.state == BookState::Live
    }

    /// Why it is in its state.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Since when it is in its state.
    pub fn since(&self) -> Stamp {
        self.since
    }

    /// The venue's sequence number of the last change. CCXT calls it `nonce`.
    pub fn nonce(&self) -> Option<u64> {
        self.nonce
    }

    /// The venue's time of the last change, if it sent one.
    pub fn venue_time(&self) -> Option<Wall> {
        self.venue_time
    }

    /// When the bytes of the last change were read.
    pub fn received(&self) -> Stamp {
        self.received
    }

    /// How many changes were applied, snapshots included.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// How many levels were left out because their numbers cannot be held.
    pub fn levels_rejected(&self) -> u64 {
        self.levels_rejected
    }

    /// Decimals of the prices: a price mantissa of 12345 at scale 2 is 123.45.
    pub fn price_scale(&self) -> u8 {
        self.price_scale
    }

    /// Decimals of the amounts.
    pub fn amount_scale(&self) -> u8 {
        self.amount_scale
    }

    /// The price of a level as a number.
    pub fn price(&self, level: Level) -> Fixed {
        Fixed::new(level.price, self.price_scale)
    }

    /// The amount of a level as a number.
    pub fn amount(&self, level: Level) -> Fixed {
        Fixed::new(level.qty, self.amount_scale)
    }

    /// The best bid of a live book.
    #[inline]
    pub fn best_bid(&self) -> Option<Level> {
        if self.is_live() { self.bids.best() } else { None }
    }

    /// The best ask of a live book.
    #[inline]
    pub fn best_ask(&self) -> Option<Level> {
        if self.is_live() { self.asks.best() } else { None }
    }

    /// Known bids of a live book, best first; nothing otherwise.
    pub fn bids(&self) -> impl DoubleEndedIterator<Item = Level> + ExactSizeIterator + '_ {
        let count = if self.is_live() { self.bids.len() } else { 0 };
        self.bids.levels().take(count)
    }

    /// Known asks of a live book, best first; nothing otherwise.
    pub fn asks(&self) -> impl DoubleEndedIterator<Item = Level> + ExactSizeIterator + '_ {
        let count = if self.is_live() { self.asks.len() } else { 0 };
        self.asks.levels().take(count)
    }

    /// Both sides whatever the state: what was known last, which may be wrong.
    pub fn last_known(&self) -> LastKnown<'_> {
        LastKnown { bids: &self.bids, asks: &self.asks }
    }

    /// True if the best bid is at or above the best ask.
    #[inline(always)]
    pub fn is_crossed(&self) -> bool {
        match (self.bids.best(), self.asks.best()) {
            (Some(bid), Some(ask)) => bid.price >= ask.price,
            _ => false,
        }
    }

    /// Sets the state; `since` moves only when it is another one or for another cause.
    pub(crate) fn set_state(&mut self, state: BookState, cause: Cause, now: Stamp) -> bool {
        if self.state == state && (self.cause == cause || state == BookState::Live) {
            return false;
        }
        (self.state, self.cause, self.since) = (state, cause, now);
        true
    }

    /// Applies the levels of a delta. What they mean for the sequence is the business of [`Sync`].
    #[inline]
    pub(crate) fn apply(&mut self, delta: &Delta<'_>, nonce: Option<u64>, received: Stamp) {
        for level in delta.bids {
            self.bids.set(level.price, level.qty);
        }
        for level in delta.asks {
            self.asks.set(level.price, level.qty);
        }
        self.bids.cut_to(self.window);
        self.asks.cut_to(self.window);
        self.moved(nonce, delta.venue_time, received);
    }

    /// Replaces the content by a snapshot.
    pub(crate) fn reset(&mut self, snapshot: &Snapshot<'_>, nonce: Option<u64>, received: Stamp) {
        self.bids.reset(snapshot.bids, snapshot.bids_cut);
        self.asks.reset(snapshot.asks, snapshot.asks_cut);
        self.moved(nonce, snapshot.venue_time, received);
    }

    fn moved(&mut self, nonce: Option<u64>, venue_time: Option<Wall>, received: Stamp) {
        self.nonce = nonce;
        if venue_time.is_some() {
            self.venue_time = venue_time;
        }
        self.received = received;
        self.updates += 1;
    }

    /// The book's own checksum by the rule of `expected`. `None` if it has none: a level has more decimals than the
    /// venue prints.
    pub(crate) fn checksum(&self, expected: Expected, checksum: &mut Checksum) -> Option<u32> {
        let held = Scales { price: self.price_scale, qty: self.amount_scale };
        match expected {
            Expected::Okx(_) => Some(checksum.okx(&self.bids, &self.asks, held).cast_unsigned()),
            Expected::Bitfinex(_) => Some(checksum.bitfinex(&self.bids, &self.asks, held).cast_unsigned()),
            Expected::Kraken { printed, .. } => checksum.kraken(&self.bids, &self.asks, held, printed),
        }
    }

    /// The addresses at which the levels of both sides end, the best being the last.
    #[inline]
    pub(crate) fn ends(&self) -> [usize; 2] {
        [self.bids.end(), self.asks.end()]
    }

    pub(crate) fn reject_levels(&mut self, count: u32) {
        self.levels_rejected += u64::from(count);
    }

    /// The fewest known levels of a side that does not know everything: `None` if both sides know all.
    pub(crate) fn known_levels_min(&self) -> Option<usize> {
        let known = |side: &Side| side.edge().map(|_| side.len());
        match (known(&self.bids), known(&self.asks)) {
            (Some(bids), Some(asks)) => Some(bids.min(asks)),
            (bids, asks) => bids.or(asks),
        }
    }

    /// Counts with more decimals from now on.
    ///
    /// # Errors
    /// [`DecimalError::Overflow`] if a level would not fit; nothing has changed then.
    pub(crate) fn rescale(&mut self, price_scale: u8, amount_scale: u8) -> Result<(), DecimalError> {
        let factor = |from: u8, to: u8| 10i64.checked_pow(u32::from(to.saturating_sub(from)));
        let (Some(price_mul), Some(qty_mul)) =
            (factor(self.price_scale, price_scale), factor(self.amount_scale, amount_scale))
        else {
            return Err(DecimalError::Overflow);
        };
        let fits = |side: &Side| {
            side.levels_all().all(|l| l.price.checked_mul(price_mul).is_some() && l.qty.checked_mul(qty_mul).is_some())
        };
        if !fits(&self.bids) || !fits(&self.asks) {
            return Err(DecimalError::Overflow);
        }
        self.bids.rescale(price_mul, qty_mul).map_err(|_| DecimalError::Overflow)?;
        self.asks.rescale(price_mul, qty_mul).map_err(|_| DecimalError::Overflow)?;
        self.price_scale = self.price_scale.max(price_scale);
        self.amount_scale = self.amount_scale.max(amount_scale);
        Ok(())
    }

    /// The time that passed since the last change was read.
    pub fn age_ns(&self, now: Mono) -> u64 {
        now.since_ns(self.received.mono)
    }
}

/// What a book held last, whatever its state.
#[derive(Clone, Copy, Debug)]
pub struct LastKnown<'a> {
    /// The bids.
    pub bids: &'a Side,
    /// The asks.
    pub asks: &'a Side,
}
