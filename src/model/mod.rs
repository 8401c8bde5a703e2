//! What users receive: times, handles, trades, tickers, candles, states, and the events that carry them.
//!
//! Field names follow the unified structures of CCXT in Rust's spelling. Prices and amounts are exact: an `i64` mantissa
//! with its scale, see [`Fixed`]. A field that a venue left out is `None`, never zero.

mod account;
mod event;
mod fetched;
mod id;
mod ring;
mod timeframe;

pub use account::{
    Balance, Currency, Fee, LedgerEntry, LedgerKind, Liquidity, MyTrade, NewOrder, Order, OrderKind, OrderStatus,
    Outcome, Position, PositionSide, TimeInForce, TradingFee, Transaction, TransactionKind, TransactionStatus,
};
pub use event::{Cause, Event, FeedState, Notice, Update};
pub use fetched::{Fetched, FetchedBook, OrderAct, OrderRow};
pub use id::{Code, FeedId, Id, MarketId, OrderId, RequestId, Text, VenueId};
pub use ring::{Ring, Since};
pub use timeframe::Timeframe;

use crate::decimal::Fixed;

/// A point of wall-clock time in nanoseconds since 1970-01-01 UTC. Never compared with [`Mono`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub i64);

impl Wall {
    /// From milliseconds since 1970, as most venues send them; saturates.
    pub fn from_ms(ms: i64) -> Wall {
        Wall(ms.saturating_mul(1_000_000))
    }

    /// Milliseconds since 1970, rounded down.
    pub fn ms(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

/// A point of the monotonic clock in nanoseconds since an arbitrary start. Never compared with [`Wall`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// The far future: a deadline that never comes.
    pub const NEVER: Mono = Mono(u64::MAX);

    /// This point and `ns` nanoseconds; saturates at [`Mono::NEVER`].
    pub fn after_ns(self, ns: u64) -> Mono {
        Mono(self.0.saturating_add(ns))
    }

    /// This point and `ms` milliseconds; saturates at [`Mono::NEVER`].
    pub fn after_ms(self, ms: u64) -> Mono {
        self.after_ns(ms.saturating_mul(1_000_000))
    }

    /// Nanoseconds since `earlier`, 0 if it was not earlier.
    pub fn since_ns(self, earlier: Mono) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One moment on both clocks, from one read of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Monotonic time.
    pub mono: Mono,
    /// Wall-clock time.
    pub wall: Wall,
}

/// The side of a trade or an order: who took, or what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TakerSide {
    /// The taker bought.
    Buy,
    /// The taker sold.
    Sell,
}

impl TakerSide {
    /// `"buy"` or `"sell"`, as CCXT writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            TakerSide::Buy => "buy",
            TakerSide::Sell => "sell",
        }
    }
}

/// One public trade, or one aggregated trade where that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trade {
    /// The venue's id of the trade (of the aggregate, for aggregated trades).
    pub id: Id,
    /// When it was matched, by the venue's clock.
    pub venue_time: Option<Wall>,
    /// Price.
    pub price: Fixed,
    /// Amount in base currency (in contracts on derivatives).
    pub amount: Fixed,
    /// The taker's side.
    pub side: Option<TakerSide>,
}

/// Statistics of the last 24 hours, or of the window that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Ticker {
    /// When the venue made it.
    pub venue_time: Option<Wall>,
    /// Highest price.
    pub high: Option<Fixed>,
    /// Lowest price.
    pub low: Option<Fixed>,
    /// Best bid.
    pub bid: Option<Fixed>,
    /// Amount at the best bid.
    pub bid_volume: Option<Fixed>,
    /// Best ask.
    pub ask: Option<Fixed>,
    /// Amount at the best ask.
    pub ask_volume: Option<Fixed>,
    /// Volume-weighted average price.
    pub vwap: Option<Fixed>,
    /// First price of the window.
    pub open: Option<Fixed>,
    /// Last price.
    pub last: Option<Fixed>,
    /// Last price before the window.
    pub previous_close: Option<Fixed>,
    /// `last` less `open`.
    pub change: Option<Fixed>,
    /// Change in percent.
    pub percentage: Option<Fixed>,
    /// Traded amount of the base currency. May be rounded: venues send more digits than fit.
    pub base_volume: Option<Fixed>,
    /// Traded amount of the quote currency. May be rounded.
    pub quote_volume: Option<Fixed>,
}

/// The best bid and ask.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BidAsk {
    /// When the venue made it, if it says so.
    pub venue_time: Option<Wall>,
    /// The venue's sequence number.
    pub nonce: Option<u64>,
    /// Best bid.
    pub bid: Option<Fixed>,
    /// Amount at the best bid.
    pub bid_volume: Option<Fixed>,
    /// Best ask.
    pub ask: Option<Fixed>,
    /// Amount at the best ask.
    pub ask_volume: Option<Fixed>,
}

/// One candle (OHLCV).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candle {
    /// Start of the interval.
    pub open_time: Wall,
    /// When the venue sent it.
    pub venue_time: Option<Wall>,
    /// First price.
    pub open: Fixed,
    /// Highest price.
    pub high: Fixed,
    /// Lowest price.
    pub low: Fixed,
    /// Last price.
    pub close: Fixed,
    /// Traded amount of the base currency. May be rounded.
    pub volume: Fixed,
    /// Traded amount of the quote currency. May be rounded.
    pub quote_volume: Option<Fixed>,
    /// Number of trades.
    pub trades: Option<u64>,
    /// The interval is over and the candle final.
    pub closed: bool,
}

/// Health of a venue as it announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Nothing known yet.
    Unknown,
    /// All is well.
    Ok,
    /// Under maintenance.
    Maintenance,
    /// About to shut down, or shut down.
    Shutdown,
    /// It answers with errors, or not at all.
    Error,
}

impl Health {
    /// The word CCXT uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Ok => "ok",
            Health::Maintenance => "maintenance",
            Health::Shutdown => "shutdown",
            Health::Error => "error",
        }
    }
}

/// Status of a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// How it is.
    pub status: Health,
    /// When that was learned.
    pub updated: Wall,
    /// True where the venue does not push it and it is asked for by REST.
    pub emulated: bool,
}
