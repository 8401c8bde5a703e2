//! Answers to questions by REST, and what is asked of an order.

use rust_decimal::Decimal;

use super::{
    Balance, Candle, Currency, Fee, Id, LedgerEntry, MarketId, MyTrade, OrderKind, OrderStatus, Position, Status,
    TakerSide, Ticker, TimeInForce, Trade, TradingFee, Transaction, Wall,
};
use crate::book::Level;
use crate::credentials::Secret;
use crate::decimal::Fixed;
use crate::error::Error;

/// The answer to a [`Fetch`](crate::venue::Fetch).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fetched {
    /// The venue's clock.
    Time(Wall),
    /// How it is.
    Status(Status),
    /// Its currencies.
    Currencies(Vec<Currency>),
    /// A book.
    OrderBook(FetchedBook),
    /// A ticker.
    Ticker(Box<Ticker>),
    /// The tickers of all markets that are known.
    Tickers(Vec<(MarketId, Ticker)>),
    /// Trades, oldest first.
    Trades(Vec<Trade>),
    /// Candles, oldest first.
    Candles(Vec<Candle>),
    /// Balances of all currencies that are held.
    Balances(Vec<Balance>),
    /// Orders, oldest first.
    Orders(Vec<OrderRow>),
    /// Own trades, oldest first.
    MyTrades(Vec<MyTrade>),
    /// Deposits or withdrawals, oldest first.
    Transactions(Vec<Transaction>),
    /// Ledger entries, oldest first.
    Ledger(Vec<LedgerEntry>),
    /// Positions that are open.
    Positions(Vec<Position>),
    /// What trading costs.
    TradingFees(Vec<TradingFee>),
    /// A token. Secret: it opens the account.
    Token(Secret),
    /// Nothing but that it was done.
    Done,
    /// The answer to [`Fetch::Raw`](crate::venue::Fetch::Raw), whatever its status.
    Raw {
        /// HTTP status.
        status: u16,
        /// The body.
        body: Box<[u8]>,
    },
}

/// A book as REST gives it, at the scales of its market unless it had finer numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchedBook {
    /// Bids, best first.
    pub bids: Vec<Level>,
    /// Asks, best first.
    pub asks: Vec<Level>,
    /// Decimals of the prices.
    pub price_scale: u8,
    /// Decimals of the amounts.
    pub amount_scale: u8,
    /// The venue's sequence number.
    pub nonce: Option<u64>,
    /// The venue's time.
    pub venue_time: Option<Wall>,
}

/// A request about orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OrderAct {
    /// A new order: as the order itself says.
    Create,
    /// A change of price or amount. The amount is that of the whole order, what is filled included.
    Edit {
        /// The price from now on.
        price: Option<Fixed>,
        /// The amount from now on.
        amount: Option<Fixed>,
    },
    /// The end of the order.
    Cancel,
}

/// What a private message, or the answer to a request about orders, says. Fields that it leaves out are `None` or empty;
/// they stay as they were.
#[derive(Clone, Debug, Default)]
pub struct OrderRow {
    /// The venue's id.
    pub id: Id,
    /// Our id.
    pub client_order_id: Id,
    /// The market.
    pub market: Option<MarketId>,
    /// Where it stands.
    pub status: Option<OrderStatus>,
    /// Buy or sell.
    pub side: Option<TakerSide>,
    /// Kind.
    pub kind: Option<OrderKind>,
    /// How long it stays.
    pub time_in_force: Option<TimeInForce>,
    /// Refused rather than filled at once.
    pub post_only: Option<bool>,
    /// It only closes what is open.
    pub reduce_only: Option<bool>,
    /// Price.
    pub price: Option<Fixed>,
    /// Trigger price.
    pub trigger_price: Option<Fixed>,
    /// Amount.
    pub amount: Option<Fixed>,
    /// Cost in place of an amount.
    pub cost_ordered: Option<Fixed>,
    /// What was filled in all.
    pub filled: Option<Fixed>,
    /// What was filled in all, in quote currency.
    pub cost: Option<Decimal>,
    /// Average price of the fills.
    pub average: Option<Decimal>,
    /// The fee so far, where the venue adds it up itself.
    pub fee: Option<Fee>,
    /// When it was made.
    pub created: Option<Wall>,
    /// When it changed.
    pub updated: Option<Wall>,
    /// When it was filled last.
    pub last_trade: Option<Wall>,
    /// Why it was refused.
    pub error: Option<Error>,
}
