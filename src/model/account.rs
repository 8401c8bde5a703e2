//! What is private to an account: orders, own trades, balances, positions, ledger entries, deposits and withdrawals.
//!
//! Prices and amounts of orders are exact at their own scale ([`Fixed`]). What venues compute (averages, costs, fees,
//! balances) is [`Decimal`], which holds 28 digits.

use rust_decimal::Decimal;

use super::{Code, Id, MarketId, OrderId, TakerSide, Wall};
use crate::decimal::Fixed;
use crate::error::Error;

/// What an order waits for, and what it does then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OrderKind {
    /// At its price or better.
    #[default]
    Limit,
    /// At once, at whatever price.
    Market,
    /// A market order, once the trigger price is crossed against it.
    Stop,
    /// A limit order, once the trigger price is crossed against it.
    StopLimit,
    /// A market order, once the trigger price is reached in its favour.
    TakeProfit,
    /// A limit order, once the trigger price is reached in its favour.
    TakeProfitLimit,
}

impl OrderKind {
    /// The word of the unified API: what becomes of the order, `limit` or `market`.
    pub fn as_str(self) -> &'static str {
        if self.has_price() { "limit" } else { "market" }
    }

    /// It needs a price.
    pub fn has_price(self) -> bool {
        matches!(self, OrderKind::Limit | OrderKind::StopLimit | OrderKind::TakeProfitLimit)
    }

    /// It needs a trigger price.
    pub fn has_trigger(self) -> bool {
        !matches!(self, OrderKind::Limit | OrderKind::Market)
    }
}

/// How long an order stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeInForce {
    /// Until it is cancelled.
    Gtc,
    /// What cannot be filled at once is cancelled.
    Ioc,
    /// Filled at once and whole, or not at all.
    Fok,
    /// Until a time that was given with it.
    Gtd,
}

impl TimeInForce {
    /// `GTC`, `IOC`, `FOK` or `GTD`.
    pub fn as_str(self) -> &'static str {
        match self {
            TimeInForce::Gtc => "GTC",
            TimeInForce::Ioc => "IOC",
            TimeInForce::Fok => "FOK",
            TimeInForce::Gtd => "GTD",
        }
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OrderStatus {
    /// Sent, and not answered yet.
    #[default]
    Pending,
    /// Nothing came back, and whether it arrived is being found out. It is never sent again.
    Unknown,
    /// The venue has it.
    Open,
    /// A cancellation is on its way.
    Canceling,
    /// Filled whole.
    Closed,
    /// Cancelled, whether by us or by the venue.
    Canceled,
    /// Ended by its time in force.
    Expired,
    /// Refused.
    Rejected,
}

impl OrderStatus {
    /// The word of the unified API.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderStatus::Pending => "pending",
            OrderStatus::Unknown => "unknown",
            OrderStatus::Open => "open",
            OrderStatus::Canceling => "canceling",
            OrderStatus::Closed => "closed",
            OrderStatus::Canceled => "canceled",
            OrderStatus::Expired => "expired",
            OrderStatus::Rejected => "rejected",
        }
    }

    /// Nothing more happens to it.
    pub fn is_final(self) -> bool {
        matches!(self, OrderStatus::Closed | OrderStatus::Canceled | OrderStatus::Expired | OrderStatus::Rejected)
    }
}

/// A fee; negative for a rebate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fee {
    /// What it is paid in.
    pub currency: Code,
    /// How much.
    pub cost: Decimal,
}

/// An order as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewOrder {
    /// The market.
    pub market: MarketId,
    /// Buy or sell.
    pub side: TakerSide,
    /// Kind.
    pub kind: OrderKind,
    /// Amount in base currency, in contracts on derivatives. `None` where `cost` says it.
    pub amount: Option<Fixed>,
    /// Price, for the kinds that need one.
    pub price: Option<Fixed>,
    /// For market orders of venues that allow it: how much of the quote currency to spend or to receive.
    pub cost: Option<Fixed>,
    /// Trigger price, for the kinds that need one.
    pub trigger_price: Option<Fixed>,
    /// How long it stays; `None` for what the venue does by itself.
    pub time_in_force: Option<TimeInForce>,
    /// Refused rather than filled at once.
    pub post_only: bool,
    /// It only closes what is open.
    pub reduce_only: bool,
    /// An id of the user's own, in what the venue allows; `None` to have one made.
    pub client_order_id: Option<Id>,
}

impl NewOrder {
    /// A limit order.
    pub fn limit(market: MarketId, side: TakerSide, amount: Fixed, price: Fixed) -> NewOrder {
        NewOrder { kind: OrderKind::Limit, price: Some(price), ..NewOrder::market(market, side, amount) }
    }

    /// A market order.
    pub fn market(market: MarketId, side: TakerSide, amount: Fixed) -> NewOrder {
        NewOrder {
            market,
            side,
            kind: OrderKind::Market,
            amount: Some(amount),
            price: None,
            cost: None,
            trigger_price: None,
            time_in_force: None,
            post_only: false,
            reduce_only: false,
            client_order_id: None,
        }
    }

    /// A market order over an amount of the quote currency.
    pub fn market_with_cost(market: MarketId, side: TakerSide, cost: Fixed) -> NewOrder {
        NewOrder { amount: None, cost: Some(cost), ..NewOrder::market(market, side, cost) }
    }

    /// The same, refused rather than filled at once.
    pub fn post_only(self) -> NewOrder {
        NewOrder { post_only: true, ..self }
    }

    /// The same, only closing what is open.
    pub fn reduce_only(self) -> NewOrder {
        NewOrder { reduce_only: true, ..self }
    }

    /// The same, staying as long as `time_in_force` says.
    pub fn staying(self, time_in_force: TimeInForce) -> NewOrder {
        NewOrder { time_in_force: Some(time_in_force), ..self }
    }

    /// The same as an order of `kind` that waits for `trigger_price`.
    pub fn triggered_at(self, kind: OrderKind, trigger_price: Fixed) -> NewOrder {
        NewOrder { kind, trigger_price: Some(trigger_price), ..self }
    }

    /// The same under an id of the user's own.
    pub fn with_client_order_id(self, id: Id) -> NewOrder {
        NewOrder { client_order_id: Some(id), ..self }
    }
}

/// An order, as far as it is known.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Order {
    /// Its handle.
    pub handle: OrderId,
    /// The venue's id; empty until the venue gave one.
    pub id: Id,
    /// Our id; empty for an order of somebody else that has none.
    pub client_order_id: Id,
    /// The market, if it is one that is known.
    pub market: Option<MarketId>,
    /// Where it stands.
    pub status: OrderStatus,
    /// Buy or sell.
    pub side: TakerSide,
    /// Kind.
    pub kind: OrderKind,
    /// How long it stays.
    pub time_in_force: Option<TimeInForce>,
    /// Refused rather than filled at once.
    pub post_only: bool,
    /// It only closes what is open.
    pub reduce_only: bool,
    /// Price.
    pub price: Option<Fixed>,
    /// Trigger price.
    pub trigger_price: Option<Fixed>,
    /// Amount that was ordered.
    pub amount: Option<Fixed>,
    /// Cost that was ordered, in place of an amount.
    pub cost_ordered: Option<Fixed>,
    /// Amount that was filled.
    pub filled: Fixed,
    /// What the fills cost: price times amount.
    pub cost: Option<Decimal>,
    /// Average price of the fills.
    pub average: Option<Decimal>,
    /// Fees paid so far, by currency.
    pub fees: Vec<Fee>,
    /// When the venue took it.
    pub created: Option<Wall>,
    /// When it changed last, by the venue's clock.
    pub updated: Option<Wall>,
    /// When it was filled last.
    pub last_trade: Option<Wall>,
    /// Why it was refused, or why its fate is not known.
    pub error: Option<Error>,
}

impl Order {
    /// What is left of the amount.
    pub fn remaining(&self) -> Option<Fixed> {
        self.amount?.checked_sub(self.filled)
    }
}

/// Which side of the book a fill came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Liquidity {
    /// The order rested.
    Maker,
    /// The order took.
    Taker,
}

impl Liquidity {
    /// `maker` or `taker`.
    pub fn as_str(self) -> &'static str {
        match self {
            Liquidity::Maker => "maker",
            Liquidity::Taker => "taker",
        }
    }
}

/// A trade of one's own.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MyTrade {
    /// The venue's id of the trade.
    pub id: Id,
    /// The venue's id of the order.
    pub order: Id,
    /// The market, if it is one that is known.
    pub market: Option<MarketId>,
    /// When it was matched, by the venue's clock.
    pub venue_time: Option<Wall>,
    /// What the order did.
    pub side: TakerSide,
    /// Price.
    pub price: Fixed,
    /// Amount.
    pub amount: Fixed,
    /// Price times amount, in the quote currency.
    pub cost: Option<Decimal>,
    /// Maker or taker, where the venue says so.
    pub liquidity: Option<Liquidity>,
    /// The fee of this trade, where the venue says so.
    pub fee: Option<Fee>,
    /// It was missed on the stream and fetched afterwards.
    pub backfilled: bool,
}

/// What is held of one currency. `free + used = total`; what a venue does not say is `None` or derived from the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// The currency.
    pub currency: Code,
    /// At one's disposal.
    pub free: Option<Decimal>,
    /// Bound in orders.
    pub used: Option<Decimal>,
    /// Both.
    pub total: Option<Decimal>,
    /// Borrowed.
    pub debt: Option<Decimal>,
}

impl Balance {
    /// With the one of `free`, `used` and `total` that is missing, if the two others are there.
    pub fn completed(mut self) -> Balance {
        match (self.free, self.used, self.total) {
            (Some(free), Some(used), None) => self.total = free.checked_add(used),
            (Some(free), None, Some(total)) => self.used = total.checked_sub(free),
            (None, Some(used), Some(total)) => self.free = total.checked_sub(used),
            _ => {}
        }
        self
    }
}

/// Long or short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum PositionSide {
    Long,
    Short,
}

impl PositionSide {
    /// `long` or `short`.
    pub fn as_str(self) -> &'static str {
        match self {
            PositionSide::Long => "long",
            PositionSide::Short => "short",
        }
    }
}

/// A position of derivatives or margin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Position {
    /// The venue's id.
    pub id: Id,
    /// The market.
    pub market: Option<MarketId>,
    /// Long or short; `None` when it is closed.
    pub side: Option<PositionSide>,
    /// Both sides may be held at once.
    pub hedged: bool,
    /// How many contracts, never negative; zero when it is closed.
    pub contracts: Decimal,
    /// What it is worth.
    pub notional: Option<Decimal>,
    /// Average price of entry.
    pub entry_price: Option<Decimal>,
    /// Mark price.
    pub mark_price: Option<Decimal>,
    /// Price at which it is liquidated.
    pub liquidation_price: Option<Decimal>,
    /// Leverage.
    pub leverage: Option<Decimal>,
    /// Margin of its own (true) or shared (false).
    pub isolated: Option<bool>,
    /// Margin and profit together.
    pub collateral: Option<Decimal>,
    /// Margin that was needed to open it.
    pub initial_margin: Option<Decimal>,
    /// Margin that is needed to keep it.
    pub maintenance_margin: Option<Decimal>,
    /// Profit that closing it would bring.
    pub unrealized_pnl: Option<Decimal>,
    /// Profit made so far.
    pub realized_pnl: Option<Decimal>,
    /// When it changed last, by the venue's clock.
    pub updated: Option<Wall>,
}

/// Deposit or withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum TransactionKind {
    Deposit,
    Withdrawal,
}

/// Where a deposit or withdrawal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum TransactionStatus {
    Pending,
    Ok,
    Failed,
    Canceled,
}

/// A deposit or a withdrawal.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transaction {
    /// The venue's id.
    pub id: Id,
    /// Id on the chain.
    pub txid: Option<Box<str>>,
    /// Which of both.
    pub kind: TransactionKind,
    /// Currency.
    pub currency: Code,
    /// The network, in the venue's spelling.
    pub network: Option<Box<str>>,
    /// Amount.
    pub amount: Decimal,
    /// Where it stands.
    pub status: TransactionStatus,
    /// To which address.
    pub address: Option<Box<str>>,
    /// Tag or memo of the address.
    pub tag: Option<Box<str>>,
    /// Fee.
    pub fee: Option<Fee>,
    /// When it began.
    pub created: Option<Wall>,
    /// When it changed last.
    pub updated: Option<Wall>,
}

impl Transaction {
    /// A transaction of which nothing but this is known.
    pub fn new(id: Id, kind: TransactionKind, currency: Code, amount: Decimal) -> Transaction {
        let status = TransactionStatus::Pending;
        let (txid, network, address, tag) = (None, None, None, None);
        let (fee, created, updated) = (None, None, None);
        Transaction { id, txid, kind, currency, network, amount, status, address, tag, fee, created, updated }
    }
}

/// What a ledger entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum LedgerKind {
    Trade,
    Fee,
    Rebate,
    Deposit,
    Withdrawal,
    Transfer,
    Margin,
    Other,
}

impl LedgerKind {
    /// The word of the unified API.
    pub fn as_str(self) -> &'static str {
        match self {
            LedgerKind::Trade => "trade",
            LedgerKind::Fee => "fee",
            LedgerKind::Rebate => "rebate",
            LedgerKind::Deposit | LedgerKind::Withdrawal => "transaction",
            LedgerKind::Transfer => "transfer",
            LedgerKind::Margin => "margin",
            LedgerKind::Other => "other",
        }
    }
}

/// One change of a balance.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// The venue's id.
    pub id: Id,
    /// Id of what it belongs to: a trade, an order, a transfer.
    pub reference: Id,
    /// What it is for.
    pub kind: LedgerKind,
    /// Currency.
    pub currency: Code,
    /// How much came; negative for what went.
    pub amount: Decimal,
    /// The balance afterwards, where the venue says so.
    pub after: Option<Decimal>,
    /// Fee.
    pub fee: Option<Decimal>,
    /// When, by the venue's clock.
    pub venue_time: Option<Wall>,
}

impl LedgerEntry {
    /// An entry of which nothing but this is known.
    pub fn new(id: Id, kind: LedgerKind, currency: Code, amount: Decimal) -> LedgerEntry {
        LedgerEntry { id, reference: Id::NONE, kind, currency, amount, after: None, fee: None, venue_time: None }
    }

    /// The balance before.
    pub fn before(&self) -> Option<Decimal> {
        self.after?.checked_sub(self.amount)
    }
}

/// A currency of a venue.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Currency {
    /// Unified code.
    pub code: Code,
    /// The venue's own spelling.
    pub venue_code: Box<str>,
    /// Name.
    pub name: Option<Box<str>>,
    /// It can be traded.
    pub active: bool,
    /// It can be deposited.
    pub deposit: Option<bool>,
    /// It can be withdrawn.
    pub withdraw: Option<bool>,
    /// Decimals that balances are kept with.
    pub scale: Option<u8>,
}

impl Currency {
    /// A currency of which nothing but this is known.
    pub fn new(code: Code, venue_code: &str) -> Currency {
        let venue_code = venue_code.into();
        Currency { code, venue_code, name: None, active: true, deposit: None, withdraw: None, scale: None }
    }
}

/// What trading costs, as a part of the cost: 0.001 for 0.1 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TradingFee {
    /// The market; `None` for all of them.
    pub market: Option<MarketId>,
    /// For orders that rest.
    pub maker: Decimal,
    /// For orders that take.
    pub taker: Decimal,
}

/// What became of a request about an order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The venue took it. What follows comes as changes of the order.
    Accepted,
    /// The venue refused it, for this reason.
    Rejected(Error),
    /// No answer came, or one that says nothing. It is looked up by the client order id, and never sent again; the order
    /// tells what was found.
    Unknown(Error),
}
