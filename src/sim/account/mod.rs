//! The account of a loopback venue: balances, orders, fills and a ledger, matched against the venue's own market, with a
//! truth that tests can read.
//!
//! How to drive it: [`Account::place`], [`Account::amend`], [`Account::cancel`] and [`Account::cancel_all`] do what a
//! client asks, or say why not ([`Refusal`]). [`Account::on_trade`] is told each trade of the market; the venue does
//! that. Each transition is one [`Event`] with all that changed by it; the venue hands them to its protocol, which
//! writes them as the real venue would (`Protocol::on_account`).
//!
//! # How orders are matched
//! - A taker meets the resting levels of the true book as it is at that moment. The book does not change by it, so that
//!   equal seeds give equal markets whatever the account does.
//! - A resting order is filled when the market trades at its price or through it, at its own price and at most for the
//!   traded quantity, which the account's own orders share: better price first, then the older one.
//! - A stop waits until the market trades at its price or beyond; then it is as if it had been sent at that moment.
//! - What is left of a market, IOC or FOK order expires. A stop that the balance does not cover when it is triggered
//!   expires as well.
//!
//! Amounts are exact decimals; costs and fees are cut down to [`DECIMALS`] digits, and what is reserved is rounded up.
//! Nothing is random here. Only spot: what is reduce-only elsewhere has no meaning.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ring::hmac;
use rust_decimal::{Decimal, RoundingStrategy};

use super::market::{Market, Side, Symbol, Trade};

/// Digits behind the point of costs and fees.
pub const DECIMALS: u32 = 8;
/// Orders that go on, at most.
pub const OPEN_MAX: usize = 1_000;
/// Orders that are remembered; beyond that those that ended long ago are forgotten.
pub const ORDERS_KEPT: usize = 20_000;
/// Fills, and four times as many ledger entries, that are remembered.
pub const FILLS_KEPT: usize = 50_000;
/// First order number and first trade number of the account.
const FIRST_ID: u64 = 1_000_001;

/// Which asset a fee is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeIn {
    /// The asset that is received: the base of a buyer, the quote of a seller.
    Received,
    /// Always the quote.
    Quote,
}

/// Who may do what, and what they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// Name of the key, by default `loopback-key`.
    pub key: String,
    /// What is signed with, by default [`AccountConfig::SECRET`]. It is valid base64, because some venues sign with what
    /// it decodes to.
    pub secret: String,
    /// The third part that some venues want, by default `loopback-pass`.
    pub passphrase: String,
    /// What is there at the start, by asset.
    pub balances: Vec<(String, Decimal)>,
    /// Share of a fill that a maker pays.
    pub maker_fee: Decimal,
    /// Share of a fill that a taker pays.
    pub taker_fee: Decimal,
    /// Which asset pays it.
    pub fee_in: FeeIn,
    /// Least cost of an order.
    pub min_cost: Decimal,
}

impl AccountConfig {
    /// The default secret.
    pub const SECRET: &str = "bG9vcGJhY2stc2VjcmV0LWxvb3BiYWNrLXNlY3JldCE=";

    /// The default keys, 100 of each base asset and a million of each quote asset of the first ten symbols, a tenth of a
    /// percent of fees, and orders from a cost of 5.
    pub fn new(symbols: &[Symbol]) -> Self {
        let mut balances: Vec<(String, Decimal)> = Vec::new();
        let mut give = |asset: &str, amount: i64| {
            if !balances.iter().any(|(known, _)| known == asset) {
                balances.push((asset.to_owned(), Decimal::from(amount)));
            }
        };
        let first = &symbols[..symbols.len().min(10)];
        first.iter().for_each(|symbol| give(&symbol.base, 100));
        first.iter().for_each(|symbol| give(&symbol.quote, 1_000_000));
        AccountConfig {
            key: "loopback-key".to_owned(),
            secret: Self::SECRET.to_owned(),
            passphrase: "loopback-pass".to_owned(),
            balances,
            maker_fee: Decimal::new(1, 3),
            taker_fee: Decimal::new(1, 3),
            fee_in: FeeIn::Received,
            min_cost: Decimal::from(5),
        }
    }
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So much of the base asset.
    Base(Decimal),
    /// So much of the quote asset; market orders only.
    Cost(Decimal),
}

/// How long an order lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// Until it is filled or canceled (GTC).
    Resting,
    /// What is not filled at once is dropped (IOC).
    Immediate,
    /// All at once or nothing (FOK).
    AllOrNothing,
}

/// When a waiting order begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The market has to trade here or beyond.
    pub price: Decimal,
    /// Beyond means higher.
    pub above: bool,
}

/// An order to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Index of the symbol in the market.
    pub symbol: usize,
    /// [`Side::Bid`] buys.
    pub side: Side,
    /// The limit, or none for a market order.
    pub price: Option<Decimal>,
    /// How much.
    pub amount: Amount,
    /// How long.
    pub lasts: Lasts,
    /// Refuse it if it would match at once.
    pub post_only: bool,
    /// Wait for this.
    pub stop: Option<Stop>,
    /// The client's name for it, unique among the orders that go on; empty without one.
    pub client_id: String,
}

impl NewOrder {
    /// A limit order that rests.
    pub fn limit(symbol: usize, side: Side, amount: Decimal, price: Decimal) -> Self {
        NewOrder {
            symbol,
            side,
            price: Some(price),
            amount: Amount::Base(amount),
            lasts: Lasts::Resting,
            post_only: false,
            stop: None,
            client_id: String::new(),
        }
    }

    /// A market order.
    pub fn market(symbol: usize, side: Side, amount: Amount) -> Self {
        NewOrder {
            price: None,
            amount,
            lasts: Lasts::Immediate,
            ..NewOrder::limit(symbol, side, Decimal::ZERO, Decimal::ZERO)
        }
    }
}

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A stop that the market has not reached.
    Waiting,
    /// In the book.
    Open,
    /// Done.
    Filled,
    /// Ended by the client.
    Canceled,
    /// Ended by its own conditions.
    Expired,
}

impl Status {
    /// Whether the order goes on.
    pub fn is_open(self) -> bool {
        matches!(self, Status::Waiting | Status::Open)
    }
}

/// An order as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The venue's number.
    pub id: u64,
    /// The client's name, empty without one.
    pub client_id: String,
    /// Index of the symbol.
    pub symbol: usize,
    /// [`Side::Bid`] buys.
    pub side: Side,
    /// The limit, or none.
    pub price: Option<Decimal>,
    /// How much in all; what was filled for orders by cost.
    pub amount: Decimal,
    /// The cost that was asked for, for orders by cost.
    pub cost_asked: Option<Decimal>,
    /// How long.
    pub lasts: Lasts,
    /// It must not take.
    pub post_only: bool,
    /// What it waits or waited for.
    pub stop: Option<Stop>,
    /// Where it is.
    pub status: Status,
    /// So much is filled.
    pub filled: Decimal,
    /// For so much.
    pub cost: Decimal,
    /// When it came, in Unix nanoseconds.
    pub created_ns: u64,
    /// When it last changed.
    pub updated_ns: u64,
    /// Lower is older among equal prices.
    priority: u64,
}

impl Order {
    /// What is not filled.
    pub fn remaining(&self) -> Decimal {
        self.amount - self.filled
    }
}

/// One execution of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Trade number, of this account and rising by one.
    pub id: u64,
    /// Its order.
    pub order_id: u64,
    /// The client's name for the order.
    pub client_id: String,
    /// Index of the symbol.
    pub symbol: usize,
    /// [`Side::Bid`] bought.
    pub side: Side,
    /// At this price.
    pub price: Decimal,
    /// So much.
    pub amount: Decimal,
    /// Price times amount.
    pub cost: Decimal,
    /// What it cost beside that.
    pub fee: Decimal,
    /// In this asset.
    pub fee_asset: String,
    /// The order rested.
    pub maker: bool,
    /// When, in Unix nanoseconds.
    pub time_ns: u64,
}

/// What an account has of an asset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Which.
    pub asset: String,
    /// At hand.
    pub free: Decimal,
    /// Reserved by orders.
    pub used: Decimal,
}

/// Why a balance changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A fill, with its trade number.
    Trade(u64),
    /// The fee of a fill, with its trade number.
    Fee(u64),
    /// A deposit or a withdrawal.
    Transfer,
}

/// One change of what an account has in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, rising by one.
    pub id: u64,
    /// Which asset.
    pub asset: String,
    /// By how much.
    pub change: Decimal,
    /// What there is after it, reserved or not.
    pub after: Decimal,
    /// Why.
    pub reason: Reason,
    /// When, in Unix nanoseconds.
    pub time_ns: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An order came.
    New,
    /// A stop is in the market now.
    Triggered,
    /// Price, amount or name are other ones.
    Amended {
        /// The name before.
        old_client_id: String,
    },
    /// An order was filled, in part or for good.
    Filled,
    /// The client ended an order.
    Canceled,
    /// An order ended by its own conditions.
    Expired,
    /// A deposit or a withdrawal.
    Transfer,
}

/// One transition with all that it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in Unix nanoseconds.
    pub time_ns: u64,
    /// What.
    pub change: Change,
    /// The order after it; none for a transfer.
    pub order: Option<Order>,
    /// The execution of [`Change::Filled`].
    pub fill: Option<Fill>,
    /// All balances that changed, as they are after it.
    pub balances: Vec<Balance>,
    /// Its ledger entries.
    pub ledger: Vec<Entry>,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such symbol.
    Symbol,
    /// The price is not positive or no multiple of the tick.
    Price,
    /// The amount is not positive, no multiple of the step, or not more than what is filled.
    Amount,
    /// Less than the least cost.
    Cost,
    /// The parts do not go together: a post-only order without a price, a resting one without a price, and the like.
    Combination,
    /// The balance does not cover it.
    Funds,
    /// An order of this name goes on already.
    Duplicate,
    /// A post-only order would match at once.
    WouldMatch,
    /// A stop would be triggered at once.
    WouldTrigger,
    /// No such order.
    Unknown,
    /// The order has ended.
    Ended,
    /// Too many orders go on.
    TooMany,
}

/// Changes to an order; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amend {
    /// Another limit. The order goes behind others of the same price.
    pub price: Option<Decimal>,
    /// Another amount of the whole order, what is filled included. The order goes behind others if it is more.
    pub amount: Option<Decimal>,
    /// Another name.
    pub client_id: Option<String>,
}

/// One account. See the module's documentation.
#[derive(Debug)]
pub struct Account {
    config: AccountConfig,
    /// Free and used.
    balances: BTreeMap<String, (Decimal, Decimal)>,
    orders: VecDeque<Order>,
    open: Vec<u64>,
    by_client_id: HashMap<String, u64>,
    fills: VecDeque<Fill>,
    ledger: VecDeque<Entry>,
    next_order: u64,
    next_fill: u64,
    next_entry: u64,
    next_priority: u64,
    asked: u64,
    duplicates: u64,
    events: Vec<Event>,
}

impl Account {
    /// An account without orders.
    pub fn new(config: &AccountConfig) -> Self {
        let balances = config.balances.iter().map(|(asset, free)| (asset.clone(), (*free, Decimal::ZERO)));
        Account {
            balances: balances.collect(),
            config: config.clone(),
            orders: VecDeque::new(),
            open: Vec::new(),
            by_client_id: HashMap::new(),
            fills: VecDeque::new(),
            ledger: VecDeque::new(),
            next_order: FIRST_ID,
            next_fill: FIRST_ID,
            next_entry: 1,
            next_priority: 0,
            asked: 0,
            duplicates: 0,
            events: Vec::new(),
        }
    }

    /// Keys, fees and what was there at the start.
    pub fn config(&self) -> &AccountConfig {
        &self.config
    }

    // The truth.

    /// All balances, by asset.
    pub fn balances(&self) -> impl ExactSizeIterator<Item = Balance> {
        self.balances.iter().map(|(asset, (free, used))| Balance { asset: asset.clone(), free: *free, used: *used })
    }

    /// The balance of an asset, zero if it was never there.
    pub fn balance(&self, asset: &str) -> Balance {
        let (free, used) = self.balances.get(asset).copied().unwrap_or_default();
        Balance { asset: asset.to_owned(), free, used }
    }

    /// All orders that are remembered, oldest first.
    pub fn orders(&self) -> impl DoubleEndedIterator<Item = &Order> + ExactSizeIterator {
        self.orders.iter()
    }

    /// The orders that go on, oldest first.
    pub fn open_orders(&self) -> impl Iterator<Item = &Order> {
        self.open.iter().filter_map(|id| self.order(*id))
    }

    /// An order by its number.
    pub fn order(&self, id: u64) -> Option<&Order> {
        self.orders.get(self.position(id)?)
    }

    /// The last order that had the client's name.
    pub fn order_named(&self, client_id: &str) -> Option<&Order> {
        self.order(*self.by_client_id.get(client_id)?)
    }

    /// All fills that are remembered, oldest first.
    pub fn fills(&self) -> impl DoubleEndedIterator<Item = &Fill> + ExactSizeIterator {
        self.fills.iter()
    }

    /// The ledger as far as it is remembered, oldest first.
    pub fn ledger(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.ledger.iter()
    }

    /// How many orders were asked for, those that were refused included.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// How many of them had the name of one that goes on.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    // What a client does.

    /// Takes a new order and gives its number. It may be filled or expired already.
    ///
    /// # Errors
    /// Why it was refused; nothing has changed then.
    pub fn place(&mut self, market: &Market, now_ns: u64, new: NewOrder) -> Result<u64, Refusal> {
        self.asked += 1;
        let checked = self.check(market, &new);
        self.duplicates += u64::from(checked == Err(Refusal::Duplicate));
        checked?;
        if self.open.len() >= OPEN_MAX {
            return Err(Refusal::TooMany);
        }
        let id = self.next_order;
        let (amount, cost_asked) = match new.amount {
            Amount::Base(amount) => (amount, None),
            Amount::Cost(cost) => (Decimal::ZERO, Some(cost)),
        };
        let order = Order {
            id,
            client_id: new.client_id,
            symbol: new.symbol,
            side: new.side,
            price: new.price,
            amount,
            cost_asked,
            lasts: new.lasts,
            post_only: new.post_only,
            stop: new.stop,
            status: if new.stop.is_some() { Status::Waiting } else { Status::Open },
            filled: Decimal::ZERO,
            cost: Decimal::ZERO,
            created_ns: now_ns,
            updated_ns: now_ns,
            priority: self.next_priority,
        };
        let symbol = market.symbol(order.symbol);
        let need = match (&order.price, &order.stop) {
            (None, None) => self.spent(symbol, order.side, &self.matches(market, &order)),
            _ => self.reserved(symbol, &order),
        };
        let held = self.reserved(symbol, &order);
        let asset = spent_asset(symbol, order.side);
        // A market order whose base is more than the book has is refused as well if that is not there.
        if need.max(held) > self.balance(asset).free {
            return Err(Refusal::Funds);
        }
        self.next_order += 1;
        self.next_priority += 1;
        if !order.client_id.is_empty() {
            self.by_client_id.insert(order.client_id.clone(), id);
        }
        self.open.push(id);
        let mut event = Event::new(now_ns, Change::New);
        self.hold(asset, held, &mut event);
        let waits = order.status == Status::Waiting;
        event.order = Some(order.clone());
        self.orders.push_back(order);
        self.events.push(event);
        if !waits {
            self.take(market, now_ns, id);
        }
        self.forget();
        Ok(id)
    }

    /// Changes an order.
    ///
    /// # Errors
    /// Why it was refused; the order is as it was then.
    pub fn amend(&mut self, market: &Market, now_ns: u64, id: u64, amend: Amend) -> Result<(), Refusal> {
        let at = self.open_position(id)?;
        let before = self.orders[at].clone();
        let symbol = market.symbol(before.symbol);
        let mut after = before.clone();
        if let Some(price) = amend.price {
            if before.price.is_none() || !is_step(price, symbol.tick, symbol.price_scale) {
                return Err(Refusal::Price);
            }
            after.price = Some(price);
        }
        if let Some(amount) = amend.amount {
            if amount <= before.filled || !is_step(amount, symbol.step, symbol.qty_scale) {
                return Err(Refusal::Amount);
            }
            after.amount = amount;
        }
        if let Some(price) = after.price
            && cost(price, after.amount) < self.config.min_cost
        {
            return Err(Refusal::Cost);
        }
        if let Some(name) = amend.client_id
            && name != before.client_id
        {
            if self.is_taken(&name) {
                return Err(Refusal::Duplicate);
            }
            after.client_id = name;
        }
        if after.post_only && after.status == Status::Open && !self.matches(market, &after).is_empty() {
            return Err(Refusal::WouldMatch);
        }
        let asset = spent_asset(symbol, before.side);
        let more = self.reserved(symbol, &after) - self.reserved(symbol, &before);
        if more > self.balance(asset).free {
            return Err(Refusal::Funds);
        }
        if after.price != before.price || after.amount > before.amount {
            after.priority = self.next_priority;
            self.next_priority += 1;
        }
        if after.client_id != before.client_id {
            // The old name finds the order too, and stays taken as long as it.
            self.by_client_id.insert(after.client_id.clone(), id);
        }
        after.updated_ns = now_ns;
        let mut event = Event::new(now_ns, Change::Amended { old_client_id: before.client_id });
        self.hold(asset, more, &mut event);
        let open = after.status == Status::Open;
        event.order = Some(after.clone());
        self.orders[at] = after;
        self.events.push(event);
        if open {
            self.take(market, now_ns, id);
        }
        Ok(())
    }

    /// Ends an order.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] or [`Refusal::Ended`].
    pub fn cancel(&mut self, market: &Market, now_ns: u64, id: u64) -> Result<(), Refusal> {
        self.open_position(id)?;
        self.end(market, now_ns, id, Status::Canceled);
        Ok(())
    }

    /// Ends all orders, or those of one symbol; their numbers, oldest first.
    pub fn cancel_all(&mut self, market: &Market, now_ns: u64, symbol: Option<usize>) -> Vec<u64> {
        let concerned = |order: &&Order| symbol.is_none_or(|symbol| order.symbol == symbol);
        let ids: Vec<u64> = self.open_orders().filter(concerned).map(|order| order.id).collect();
        for id in &ids {
            self.end(market, now_ns, *id, Status::Canceled);
        }
        ids
    }

    /// A deposit, or a withdrawal with a negative amount; not more than what is free.
    ///
    /// # Errors
    /// [`Refusal::Funds`].
    pub fn transfer(&mut self, now_ns: u64, asset: &str, change: Decimal) -> Result<(), Refusal> {
        if self.balance(asset).free + change < Decimal::ZERO {
            return Err(Refusal::Funds);
        }
        let mut event = Event::new(now_ns, Change::Transfer);
        self.book(asset, change, Reason::Transfer, &mut event);
        self.events.push(event);
        Ok(())
    }

    // What the market does.

    /// The market traded: fills what rests there and triggers stops.
    pub fn on_trade(&mut self, market: &Market, trade: &Trade, symbol: usize) {
        if self.open.is_empty() {
            return;
        }
        let row = market.symbol(symbol);
        let price = Decimal::new(trade.price, u32::from(row.price_scale));
        let mut left = Decimal::new(trade.qty, u32::from(row.qty_scale));
        let concerned = self.open_orders().filter(|order| order.symbol == symbol);
        let (mut reached, mut triggered) = (Vec::new(), Vec::new());
        for order in concerned {
            match (order.status, order.price, order.stop) {
                (Status::Waiting, _, Some(stop)) if is_beyond(price, stop) => triggered.push(order.id),
                (Status::Waiting, _, Some(_)) => {}
                (_, Some(limit), _) => {
                    let distance = match order.side {
                        Side::Bid => limit - price,
                        Side::Ask => price - limit,
                    };
                    if distance >= Decimal::ZERO {
                        reached.push((-distance, order.priority, order.id, limit));
                    }
                }
                _ => {}
            }
        }
        reached.sort();
        for (_, _, id, limit) in reached {
            let Some(order) = self.order(id) else { continue };
            let amount = order.remaining().min(left);
            if amount.is_zero() {
                break;
            }
            left -= amount;
            self.fill(market, trade.time_ns, id, limit, amount, true);
        }
        for id in triggered {
            self.trigger(market, trade.time_ns, id);
        }
    }

    /// What happened since this was last called.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    // Helpers.

    fn position(&self, id: u64) -> Option<usize> {
        self.orders.binary_search_by_key(&id, |order| order.id).ok()
    }

    fn open_position(&self, id: u64) -> Result<usize, Refusal> {
        let at = self.position(id).ok_or(Refusal::Unknown)?;
        if self.orders[at].status.is_open() { Ok(at) } else { Err(Refusal::Ended) }
    }

    /// An order of this name goes on.
    fn is_taken(&self, name: &str) -> bool {
        !name.is_empty() && self.order_named(name).is_some_and(|order| order.status.is_open())
    }

    fn check(&self, market: &Market, new: &NewOrder) -> Result<(), Refusal> {
        if new.symbol >= market.len() {
            return Err(Refusal::Symbol);
        }
        let symbol = market.symbol(new.symbol);
        let is_price = |price: Decimal| is_step(price, symbol.tick, symbol.price_scale);
        if new.price.is_some_and(|price| !is_price(price)) || new.stop.is_some_and(|stop| !is_price(stop.price)) {
            return Err(Refusal::Price);
        }
        let limited = new.price.is_some();
        let is_cost = matches!(new.amount, Amount::Cost(_));
        if (limited && is_cost) || (!limited && (new.post_only || new.lasts == Lasts::Resting)) {
            return Err(Refusal::Combination);
        }
        if (new.post_only && new.lasts != Lasts::Resting) || (is_cost && new.stop.is_some()) {
            return Err(Refusal::Combination);
        }
        let (amount_ok, worth) = match new.amount {
            Amount::Base(amount) => {
                let best = Decimal::new(market.best(new.symbol, new.side.other()).0, u32::from(symbol.price_scale));
                let price = new.price.or(new.stop.map(|stop| stop.price)).unwrap_or(best);
                let possible = amount <= Decimal::from(AMOUNT_MAX) && price <= Decimal::from(AMOUNT_MAX);
                let right = possible && is_step(amount, symbol.step, symbol.qty_scale);
                (right, if possible { cost(price, amount) } else { Decimal::ZERO })
            }
            Amount::Cost(cost) => (cost > Decimal::ZERO && cost <= Decimal::from(AMOUNT_MAX), cost),
        };
        if !amount_ok {
            return Err(Refusal::Amount);
        }
        if worth < self.config.min_cost {
            return Err(Refusal::Cost);
        }
        if self.is_taken(&new.client_id) {
            return Err(Refusal::Duplicate);
        }
        let last = Decimal::new(market.last_trade(new.symbol).price, u32::from(symbol.price_scale));
        if new.stop.is_some_and(|stop| is_beyond(last, stop)) {
            return Err(Refusal::WouldTrigger);
        }
        if new.post_only
            && new.stop.is_none()
            && let (Some(price), Amount::Base(amount)) = (new.price, new.amount)
            && !levels_within(market, new.symbol, new.side, Some(price), Some(amount), None).is_empty()
        {
            return Err(Refusal::WouldMatch);
        }
        Ok(())
    }

    /// The levels that an order would take now.
    fn matches(&self, market: &Market, order: &Order) -> Vec<(Decimal, Decimal)> {
        let amount = order.cost_asked.is_none().then(|| order.remaining());
        levels_within(market, order.symbol, order.side, order.price, amount, order.cost_asked)
    }

    /// What an order holds back of the asset that it spends.
    fn reserved(&self, symbol: &Symbol, order: &Order) -> Decimal {
        // Orders by cost are done at once.
        if !order.status.is_open() || order.cost_asked.is_some() {
            return Decimal::ZERO;
        }
        match (order.side, order.price) {
            (Side::Ask, _) => order.remaining(),
            (Side::Bid, None) => Decimal::ZERO,
            (Side::Bid, Some(price)) => {
                let cost = price * order.remaining();
                let most = self.config.maker_fee.max(self.config.taker_fee);
                let fee = if self.fee_asset(symbol, Side::Bid) == symbol.quote { cost * most } else { Decimal::ZERO };
                (cost + fee).round_dp_with_strategy(DECIMALS, RoundingStrategy::ToPositiveInfinity)
            }
        }
    }

    /// What taking these levels takes from the balance.
    fn spent(&self, symbol: &Symbol, side: Side, levels: &[(Decimal, Decimal)]) -> Decimal {
        if side == Side::Ask {
            return levels.iter().map(|(_, amount)| *amount).sum();
        }
        let fee = if self.fee_asset(symbol, side) == symbol.quote { self.config.taker_fee } else { Decimal::ZERO };
        levels.iter().map(|(price, amount)| cost(*price, *amount) + cut(cost(*price, *amount) * fee)).sum()
    }

    fn fee_asset<'a>(&self, symbol: &'a Symbol, side: Side) -> &'a str {
        match (self.config.fee_in, side) {
            (FeeIn::Received, Side::Bid) => &symbol.base,
            _ => &symbol.quote,
        }
    }

    /// Matches an order with the book, and ends what must not rest.
    fn take(&mut self, market: &Market, now_ns: u64, id: u64) {
        let Some(at) = self.position(id) else { return };
        let levels = self.matches(market, &self.orders[at]);
        let order = &mut self.orders[at];
        if order.cost_asked.is_some() {
            // What the money buys is known now; less if the book ends before that.
            order.amount = levels.iter().map(|(_, amount)| *amount).sum();
        }
        let whole = order.remaining();
        let rests = order.lasts == Lasts::Resting && order.price.is_some();
        let enough = levels.iter().map(|(_, amount)| *amount).sum::<Decimal>() >= whole;
        if order.lasts != Lasts::AllOrNothing || enough {
            for (price, amount) in levels {
                self.fill(market, now_ns, id, price, amount, false);
            }
        }
        if !rests && self.open_position(id).is_ok() {
            self.end(market, now_ns, id, Status::Expired);
        }
    }

    fn trigger(&mut self, market: &Market, now_ns: u64, id: u64) {
        let Ok(at) = self.open_position(id) else { return };
        self.orders[at].status = Status::Open;
        self.orders[at].updated_ns = now_ns;
        let order = self.orders[at].clone();
        let mut event = Event::new(now_ns, Change::Triggered);
        event.order = Some(order.clone());
        self.events.push(event);
        let symbol = market.symbol(order.symbol);
        if order.price.is_none() && order.side == Side::Bid {
            let need = self.spent(symbol, order.side, &self.matches(market, &order));
            if need > self.balance(&symbol.quote).free {
                self.end(market, now_ns, id, Status::Expired);
                return;
            }
        }
        self.take(market, now_ns, id);
    }

    fn fill(&mut self, market: &Market, now_ns: u64, id: u64, price: Decimal, amount: Decimal, maker: bool) {
        let Some(at) = self.position(id) else { return };
        let before = self.orders[at].clone();
        let symbol = market.symbol(before.symbol);
        let cost = cost(price, amount);
        let rate = if maker { self.config.maker_fee } else { self.config.taker_fee };
        let fee_asset = self.fee_asset(symbol, before.side).to_owned();
        let fee = cut(rate * if fee_asset == symbol.quote { cost } else { amount });
        let mut after = before.clone();
        after.filled += amount;
        after.cost += cost;
        after.updated_ns = now_ns;
        if after.remaining().is_zero() {
            after.status = Status::Filled;
        }
        let fill = Fill {
            id: self.next_fill,
            order_id: id,
            client_id: after.client_id.clone(),
            symbol: after.symbol,
            side: after.side,
            price,
            amount,
            cost,
            fee,
            fee_asset,
            maker,
            time_ns: now_ns,
        };
        self.next_fill += 1;
        let mut event = Event::new(now_ns, Change::Filled);
        let freed = self.reserved(symbol, &before) - self.reserved(symbol, &after);
        self.hold(spent_asset(symbol, after.side), -freed, &mut event);
        let (got, paid) = match after.side {
            Side::Bid => ((&symbol.base, amount), (&symbol.quote, cost)),
            Side::Ask => ((&symbol.quote, cost), (&symbol.base, amount)),
        };
        self.book(paid.0, -paid.1, Reason::Trade(fill.id), &mut event);
        self.book(got.0, got.1, Reason::Trade(fill.id), &mut event);
        self.book(&fill.fee_asset, -fee, Reason::Fee(fill.id), &mut event);
        if !after.status.is_open() {
            self.open.retain(|open| *open != id);
        }
        event.order = Some(after.clone());
        event.fill = Some(fill.clone());
        self.orders[at] = after;
        self.fills.push_back(fill);
        if self.fills.len() > FILLS_KEPT {
            self.fills.pop_front();
        }
        self.events.push(event);
    }

    fn end(&mut self, market: &Market, now_ns: u64, id: u64, status: Status) {
        let Some(at) = self.position(id) else { return };
        let before = self.orders[at].clone();
        let symbol = market.symbol(before.symbol);
        let freed = self.reserved(symbol, &before);
        let order = &mut self.orders[at];
        order.status = status;
        order.updated_ns = now_ns;
        let change = if status == Status::Canceled { Change::Canceled } else { Change::Expired };
        let mut event = Event::new(now_ns, change);
        event.order = Some(order.clone());
        self.open.retain(|open| *open != id);
        self.hold(spent_asset(symbol, before.side), -freed, &mut event);
        self.events.push(event);
    }

    /// Moves so much from free to used, or back.
    fn hold(&mut self, asset: &str, amount: Decimal, event: &mut Event) {
        if amount.is_zero() {
            return;
        }
        let (free, used) = self.balances.entry(asset.to_owned()).or_default();
        *free -= amount;
        *used += amount;
        event.note_balance(asset, *free, *used);
    }

    /// Changes what is there.
    fn book(&mut self, asset: &str, change: Decimal, reason: Reason, event: &mut Event) {
        if change.is_zero() {
            return;
        }
        let (free, used) = self.balances.entry(asset.to_owned()).or_default();
        *free += change;
        event.note_balance(asset, *free, *used);
        let after = *free + *used;
        let entry =
            Entry { id: self.next_entry, asset: asset.to_owned(), change, after, reason, time_ns: event.time_ns };
        self.next_entry += 1;
        event.ledger.push(entry.clone());
        self.ledger.push_back(entry);
        if self.ledger.len() > FILLS_KEPT * 4 {
            self.ledger.pop_front();
        }
    }

    /// Forgets the oldest orders that have ended when there are too many.
    fn forget(&mut self) {
        while self.orders.len() > ORDERS_KEPT {
            let Some(at) = self.orders.iter().position(|order| !order.status.is_open()) else { return };
            let Some(order) = self.orders.remove(at) else { return };
            self.by_client_id.retain(|_, id| *id != order.id);
        }
    }
}

impl Event {
    fn new(time_ns: u64, change: Change) -> Self {
        Event { time_ns, change, order: None, fill: None, balances: Vec::new(), ledger: Vec::new() }
    }

    fn note_balance(&mut self, asset: &str, free: Decimal, used: Decimal) {
        self.balances.retain(|balance| balance.asset != asset);
        self.balances.push(Balance { asset: asset.to_owned(), free, used });
    }
}

/// HMAC-SHA256 in hexadecimal: the signature of several venues.
pub(crate) fn hmac_sha256_hex(secret: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, text.as_bytes()).as_ref().iter().fold(String::new(), |mut out, byte| {
        out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        out.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        out
    })
}

/// Amounts, prices and costs above it are refused, so that no product overflows.
const AMOUNT_MAX: u64 = 1_000_000_000_000;

/// The levels that an order takes, best first and the last one perhaps in part: up to a limit, an amount, a cost.
fn levels_within(
    market: &Market,
    index: usize,
    side: Side,
    limit: Option<Decimal>,
    amount: Option<Decimal>,
    most_cost: Option<Decimal>,
) -> Vec<(Decimal, Decimal)> {
    let symbol = market.symbol(index);
    let step = Decimal::new(symbol.step, u32::from(symbol.qty_scale));
    let (mut left, mut money) = (amount, most_cost);
    let mut levels = Vec::new();
    for (price, quantity) in market.levels(index, side.other()) {
        let price = Decimal::new(price, u32::from(symbol.price_scale));
        let reached = limit.is_none_or(|limit| if side == Side::Bid { price <= limit } else { price >= limit });
        let mut amount = Decimal::new(quantity, u32::from(symbol.qty_scale));
        if let Some(left) = left {
            amount = amount.min(left);
        }
        if let Some(money) = money {
            let affordable = money / price;
            amount = amount.min(affordable - affordable % step);
        }
        if !reached || amount <= Decimal::ZERO {
            break;
        }
        left = left.map(|left| left - amount);
        money = money.map(|money| money - cost(price, amount));
        levels.push((price, amount));
    }
    levels
}

fn spent_asset(symbol: &Symbol, side: Side) -> &str {
    match side {
        Side::Bid => &symbol.quote,
        Side::Ask => &symbol.base,
    }
}

fn cut(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(DECIMALS, RoundingStrategy::ToZero).normalize()
}

fn cost(price: Decimal, amount: Decimal) -> Decimal {
    cut(price * amount)
}

/// Positive, a multiple of the step, and not too large to reckon with.
fn is_step(value: Decimal, step: i64, scale: u8) -> bool {
    value > Decimal::ZERO
        && value <= Decimal::from(AMOUNT_MAX)
        && (value % Decimal::new(step, u32::from(scale))).is_zero()
}

fn is_beyond(price: Decimal, stop: Stop) -> bool {
    if stop.above { price >= stop.price } else { price <= stop.price }
}

#[cfg(test)]
mod tests;
