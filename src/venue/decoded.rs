//! What an adapter makes of one message: a scratch area that is reused for every message.
//!
//! Decoding first and applying afterwards costs one copy of 16 bytes a level, and buys three things: members may come
//! in any order, a message that turns out broken half-way has touched nothing, and everything an adapter does can be
//! tested without an engine.

use std::fmt;
use std::ops::{Deref, Range};

use super::{Act, Route, RouteId};
use crate::book::{Delta, Expected, Level, Snapshot};
use crate::error::Error;
use crate::json::{Cursor, JsonError};
use crate::model::{BidAsk, Candle, Health, Ticker, Trade, Wall};

/// A range of rows in [`Decoded`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// From the start of this one to the end of `last`.
    pub(super) fn through(self, last: Span) -> Span {
        Span { start: self.start, end: last.end }
    }
}

/// What a book message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookKind {
    /// A change.
    Delta,
    /// A whole book; `cut` if its limit may have cut off worse levels.
    Snapshot {
        /// Bids may go on beyond the worst one.
        bids_cut: bool,
        /// Asks may go on beyond the worst one.
        asks_cut: bool,
    },
}

/// One piece of meaning in a message. Rows it names lie in [`Decoded`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item {
    /// A book message.
    Book {
        /// Where it belongs.
        route: RouteId,
        /// Whole or change.
        kind: BookKind,
        /// Number of its first update; 0 where the venue numbers nothing.
        first: u64,
        /// Number of its last update, likewise.
        last: u64,
        /// Number of the last update before it, where the venue says so.
        prev: Option<u64>,
        /// The venue's time.
        venue_time: Option<Wall>,
        /// Bids.
        bids: Span,
        /// Asks.
        asks: Span,
        /// Levels left out because their numbers cannot be held.
        rejected: u32,
        /// The checksum that the book has to have afterwards, where the venue sends one.
        checksum: Option<Expected>,
    },
    /// Nothing changed in a topic: a sign of life, or proof.
    Unchanged {
        /// Where it belongs.
        route: RouteId,
        /// The checksum that the book has to have now, where the venue sends it apart from changes.
        checksum: Option<Expected>,
    },
    /// Trades.
    Trades {
        /// Where they belong.
        route: RouteId,
        /// The trades.
        trades: Span,
    },
    /// A ticker.
    Ticker {
        /// Where it belongs.
        route: RouteId,
        /// Row of the ticker.
        row: u32,
        /// The venue's symbol, as a range of the frame, where one topic carries all markets.
        symbol: Option<Span>,
    },
    /// Best bid and ask.
    BidAsk {
        /// Where it belongs.
        route: RouteId,
        /// Row of the quote.
        row: u32,
        /// As in `Ticker`.
        symbol: Option<Span>,
    },
    /// A candle.
    Candle {
        /// Where it belongs.
        route: RouteId,
        /// Row of the candle.
        row: u32,
    },
    /// The answer to one of our requests.
    Ack {
        /// The number of the request.
        id: u64,
    },
    /// A topic was subscribed or left, where the venue names that instead of our request.
    Settled {
        /// Which of both.
        act: Act,
        /// The topic.
        topic: Box<str>,
    },
    /// All topics that are subscribed now, where the venue answers every request with that.
    Subscribed(Box<[Box<str>]>),
    /// A topic cannot be subscribed, where the venue names that instead of our request.
    TopicRefused {
        /// The topic.
        topic: Box<str>,
        /// The venue's reason in unified terms.
        error: Error,
    },
    /// A sign of life, or another message that means nothing more.
    Heartbeat,
    /// The refusal of one of our requests, or of something that we sent without a number.
    Refusal {
        /// The number of the request, if the venue named one.
        id: Option<u64>,
        /// The venue's reason in unified terms.
        error: Error,
    },
    /// Status of the venue.
    Status(Health),
    /// The venue will close this connection: reconnect at once.
    Shutdown,
    /// A message of a topic that nobody asks for (any more).
    Unrouted,
}

/// Why a message could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not what the venue's documentation says; the route if the message got so far.
    Malformed {
        /// Where it belongs.
        route: Option<RouteId>,
        /// What was wrong, and where.
        error: JsonError,
    },
    /// A number is finer than the scales of the route: decode again with these.
    Finer {
        /// Where it belongs.
        route: RouteId,
        /// Decimals that prices need.
        price_scale: u8,
        /// Decimals that amounts need.
        amount_scale: u8,
    },
    /// The venue counts the messages of a connection, and some before this one are missing: no book of the connection can
    /// be relied on. Decode again.
    Gap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Malformed { error, .. } => write!(f, "{error}"),
            DecodeError::Finer { price_scale, amount_scale, .. } => {
                write!(f, "needs {price_scale} decimals in prices and {amount_scale} in amounts")
            }
            DecodeError::Gap { expected, got } => {
                write!(f, "messages of the connection are missing: {expected} was due, {got} came")
            }
        }
    }
}

/// The pieces of meaning in one message, in order: a slice that grows.
///
/// Its places are used again without being emptied first, so that forgetting a message costs nothing. What is left in
/// them, a reason for a refusal at most, goes when the place is taken again.
#[derive(Default)]
pub struct Items {
    places: Vec<Item>,
    len: usize,
}

impl Items {
    fn with_capacity(count: usize) -> Items {
        Items { places: vec![Item::Unrouted; count], len: 0 }
    }

    /// Adds one.
    #[inline(always)]
    pub fn push(&mut self, item: Item) {
        match self.places.get_mut(self.len) {
            Some(place) => *place = item,
            None => self.places.push(item),
        }
        self.len += 1;
    }

    /// Forgets all of them.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl Deref for Items {
    type Target = [Item];

    #[inline]
    fn deref(&self) -> &[Item] {
        self.places.get(..self.len).unwrap_or_default()
    }
}

impl<'a> IntoIterator for &'a Items {
    type Item = &'a Item;
    type IntoIter = std::slice::Iter<'a, Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The meaning of one message.
#[derive(Debug, Default)]
pub struct Decoded {
    /// What the message said, in order.
    pub items: Items,
    levels: Vec<Level>,
    /// Asks of a message that mixes both sides, until they are moved behind the bids.
    asks: Vec<Level>,
    trades: Vec<Trade>,
    tickers: Vec<Ticker>,
    bids_asks: Vec<BidAsk>,
    candles: Vec<Candle>,
}

impl Decoded {
    /// Rows that are kept free at start, so that usual messages never allocate.
    const LEVELS_START: usize = 12_000;
    const ASKS_START: usize = 512;

    /// A scratch area with room for usual messages.
    pub fn new() -> Decoded {
        Decoded {
            items: Items::with_capacity(64),
            levels: Vec::with_capacity(Decoded::LEVELS_START),
            asks: Vec::with_capacity(Decoded::ASKS_START),
            trades: Vec::with_capacity(64),
            tickers: Vec::with_capacity(4),
            bids_asks: Vec::with_capacity(4),
            candles: Vec::with_capacity(4),
        }
    }

    /// Forgets the last message.
    #[inline]
    pub fn clear(&mut self) {
        self.items.clear();
        self.levels.clear();
        self.asks.clear();
        self.trades.clear();
        self.tickers.clear();
        self.bids_asks.clear();
        self.candles.clear();
    }

    /// Reads one side, `[["price","amount"],..]`, at the scales of `route`: at most `levels_max` rows. Says where they
    /// lie, and how many were left out because their numbers cannot be held.
    ///
    /// # Errors
    /// What the text has wrong, [`JsonErrorKind::LevelsMax`](crate::json::JsonErrorKind) among it.
    #[inline(always)]
    pub fn read_levels(
        &mut self,
        c: &mut Cursor<'_>,
        route: &Route,
        levels_max: usize,
    ) -> Result<(Span, u32), JsonError> {
        // The reader's limit counts the whole list, and the other side may stand there already.
        let start = self.levels.len();
        let rejected = c.levels(route.price_scale, route.amount_scale, start + levels_max, &mut self.levels)?;
        Ok((Span { start: start as u32, end: self.levels.len() as u32 }, rejected))
    }

    /// Where the next level will lie: the start of a span that [`Decoded::levels_since`] ends.
    #[inline]
    pub(super) fn levels_start(&self) -> u32 {
        self.levels.len() as u32
    }

    /// Adds one level.
    #[inline]
    pub(super) fn push_level(&mut self, level: Level) {
        self.levels.push(level);
    }

    /// The levels added since.
    #[inline]
    pub(super) fn levels_since(&self, start: u32) -> Span {
        Span { start, end: self.levels_start() }
    }

    /// Adds an ask in a message that mixes both sides.
    #[inline]
    pub(super) fn push_mixed_ask(&mut self, level: Level) {
        self.asks.push(level);
    }

    /// Moves those asks behind the levels there are.
    #[inline(always)]
    pub(super) fn mixed_asks(&mut self) -> Span {
        let start = self.levels_start();
        // One or two as a rule, for which a call that copies them takes longer than this.
        for &ask in &self.asks {
            self.levels.push(ask);
        }
        self.asks.clear();
        self.levels_since(start)
    }

    /// Adds one trade, and says where it lies.
    #[inline]
    pub fn add_trade(&mut self, trade: Trade) -> Span {
        let start = self.trades.len() as u32;
        self.trades.push(trade);
        Span { start, end: start + 1 }
    }

    /// Turns trades round that came newest first.
    pub(super) fn turn_trades(&mut self, span: Span) {
        if let Some(trades) = self.trades.get_mut(span.range()) {
            trades.reverse();
        }
    }

    /// Adds a ticker; its row.
    pub fn add_ticker(&mut self, ticker: Ticker) -> u32 {
        self.tickers.push(ticker);
        self.tickers.len() as u32 - 1
    }

    /// Sets the time of a ticker that stands before it in its message.
    pub(super) fn stamp_ticker(&mut self, row: u32, venue_time: Option<Wall>) {
        if let Some(ticker) = self.tickers.get_mut(row as usize) {
            ticker.venue_time = venue_time;
        }
    }

    /// Adds a quote; its row.
    #[inline]
    pub fn add_bid_ask(&mut self, bid_ask: BidAsk) -> u32 {
        self.bids_asks.push(bid_ask);
        self.bids_asks.len() as u32 - 1
    }

    /// Adds a candle; its row.
    pub fn add_candle(&mut self, candle: Candle) -> u32 {
        self.candles.push(candle);
        self.candles.len() as u32 - 1
    }

    /// Where the next candle will lie: the start of a span that [`Decoded::candles_since`] ends.
    pub(super) fn candles_start(&self) -> u32 {
        self.candles.len() as u32
    }

    /// The candles added since.
    pub(super) fn candles_since(&self, start: u32) -> Span {
        Span { start, end: self.candles_start() }
    }

    /// Tells candles that came newest first, the oldest first.
    pub(super) fn push_candles(&mut self, route: RouteId, candles: Span, venue_time: Option<Wall>) {
        for row in candles.range().rev() {
            if let Some(candle) = self.candles.get_mut(row) {
                candle.venue_time = venue_time;
                self.items.push(Item::Candle { route, row: row as u32 });
            }
        }
    }

    /// The levels of a span.
    #[inline]
    pub fn levels(&self, span: Span) -> &[Level] {
        self.levels.get(span.range()).unwrap_or_default()
    }

    /// The trades of a span.
    #[inline]
    pub fn trades(&self, span: Span) -> &[Trade] {
        self.trades.get(span.range()).unwrap_or_default()
    }

    /// A ticker.
    pub fn ticker(&self, row: u32) -> Option<&Ticker> {
        self.tickers.get(row as usize)
    }

    /// A quote.
    pub fn bid_ask(&self, row: u32) -> Option<&BidAsk> {
        self.bids_asks.get(row as usize)
    }

    /// A candle.
    pub fn candle(&self, row: u32) -> Option<&Candle> {
        self.candles.get(row as usize)
    }

    /// A book item as a delta.
    #[inline(always)]
    pub fn delta(&self, item: &Item) -> Option<Delta<'_>> {
        let Item::Book { first, last, prev, venue_time, bids, asks, .. } = *item else { return None };
        Some(Delta { first, last, prev, venue_time, bids: self.levels(bids), asks: self.levels(asks) })
    }

    /// A book item as a snapshot; `None` if it is a change.
    pub fn snapshot(&self, item: &Item) -> Option<Snapshot<'_>> {
        let Item::Book { kind: BookKind::Snapshot { bids_cut, asks_cut }, last, venue_time, bids, asks, .. } = *item
        else {
            return None;
        };
        Some(Snapshot { last, venue_time, bids: self.levels(bids), asks: self.levels(asks), bids_cut, asks_cut })
    }
}

/// Where a slice lies within the frame it was cut from.
pub(crate) fn span_of(frame: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).wrapping_sub(frame.as_ptr() as usize);
    if start + part.len() > frame.len() {
        return Span::default();
    }
    Span { start: start as u32, end: (start + part.len()) as u32 }
}

impl Span {
    /// The bytes it names in a frame.
    pub fn of(self, frame: &[u8]) -> &[u8] {
        frame.get(self.range()).unwrap_or_default()
    }
}

impl DecodeError {
    /// The error for a JSON error in a message, on the route as far as it is known: a finer number asks for finer scales
    /// than those of the route.
    #[cold]
    pub(crate) fn of_json(error: JsonError, found: Option<(RouteId, &Route)>) -> DecodeError {
        match (found, error.finer()) {
            (Some((id, route)), Some((price, amount))) => DecodeError::Finer {
                route: id,
                price_scale: price.unwrap_or(0).max(route.price_scale),
                amount_scale: amount.unwrap_or(0).max(route.amount_scale),
            },
            _ => DecodeError::Malformed { route: found.map(|(id, _)| id), error },
        }
    }
}
