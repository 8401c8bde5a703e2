//! Rows of an account. They are arrays in which only the place tells what a cell is, the same on the socket and by REST;
//! those of older days are shorter.

use super::BITFINEX;
use super::rest::code_of;
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::json::Node;
use crate::model::{
    Balance, Code, Fee, Id, LedgerEntry, LedgerKind, Liquidity, MyTrade, OrderKind, OrderStatus, Position,
    PositionSide, TakerSide, TimeInForce, Transaction, TransactionKind, TransactionStatus, Wall,
};
use crate::venue::shared::cut;
use crate::venue::trading::{Context, OrderRow, code, id};
use rust_decimal::Decimal;

/// The cells of a row. One that is absent, `null` or of another kind is `None`.
pub(super) struct Cells<'a>([Option<Node<'a>>; CELLS]);

/// Those of an order are the most.
const CELLS: usize = 32;

impl<'a> Cells<'a> {
    pub(super) fn of(row: Node<'a>) -> Cells<'a> {
        let mut cells = [None; CELLS];
        cells.iter_mut().zip(row.iter()).for_each(|(cell, node)| *cell = Some(node).filter(|node| !node.is_null()));
        Cells(cells)
    }

    pub(super) fn node(&self, at: usize) -> Option<Node<'a>> {
        *self.0.get(at)?
    }

    /// A text; empty if there is none.
    pub(super) fn text(&self, at: usize) -> &'a str {
        self.node(at).and_then(|node| node.str().ok()).unwrap_or("")
    }

    /// A whole number, bare or in quotes.
    pub(super) fn integer(&self, at: usize) -> Option<u64> {
        self.node(at)?.u64().ok()
    }

    /// A number as it stands there.
    pub(super) fn number(&self, at: usize) -> Option<Fixed> {
        self.node(at)?.fixed().ok()
    }

    /// A price; zero stands for none.
    fn price(&self, at: usize) -> Option<Fixed> {
        self.number(at).filter(|price| !price.is_zero())
    }

    /// An amount. The venue keeps eight decimals; what it computes with binary floating point may show more.
    fn amount(&self, at: usize) -> Option<Fixed> {
        let number = self.node(at)?.fixed_round().ok()?;
        let power = crate::decimal::power_of_ten(number.scale().saturating_sub(AMOUNT_SCALE))?;
        if power == 1 {
            return Some(number);
        }
        let half = (power / 2) * number.mantissa().signum();
        Some(Fixed::new(number.mantissa().checked_add(half)? / power, AMOUNT_SCALE).trimmed())
    }

    /// What the venue computed.
    pub(super) fn money(&self, at: usize) -> Option<Decimal> {
        self.node(at)?.big_decimal().ok()
    }

    pub(super) fn ms(&self, at: usize) -> Option<Wall> {
        self.node(at)?.i64().ok().filter(|ms| *ms > 0).map(Wall::from_ms)
    }

    /// A number as an id; zero stands for none.
    pub(super) fn id(&self, at: usize) -> Id {
        self.integer(at).filter(|number| *number > 0).map_or(Id::NONE, Id::of_u64)
    }

    fn code(&self, at: usize) -> Code {
        code(code_of(self.text(at)))
    }

    fn boxed(&self, at: usize) -> Option<Box<str>> {
        Some(self.text(at)).filter(|text| !text.is_empty()).map(Into::into)
    }
}

const AMOUNT_SCALE: u8 = 8;

/// Flags of an order.
pub(super) const REDUCE_ONLY: u64 = 1 << 10;
pub(super) const POST_ONLY: u64 = 1 << 12;

/// `[ID,GID,CID,SYMBOL,MTS_CREATE,MTS_UPDATE,AMOUNT,AMOUNT_ORIG,TYPE,TYPE_PREV,MTS_TIF,_,FLAGS,STATUS,_,_,PRICE,PRICE_AVG,
/// PRICE_TRAILING,PRICE_AUX_LIMIT,..]`, where the amount is what is left, negative for sales. `None` if nothing names it.
pub(super) fn order(row: Node<'_>, cx: &Context<'_>) -> Option<OrderRow> {
    let row = Cells::of(row);
    let (id, client_order_id) = (row.id(0), row.id(2));
    if id.is_none() && client_order_id.is_none() {
        return None;
    }
    let (left, ordered) = (row.amount(6), row.amount(7));
    let side = [ordered, left].into_iter().flatten().find(|amount| !amount.is_zero()).map(side_of);
    let state = row.text(13);
    let (amount, filled) = amounts(left, ordered, !row.text(9).is_empty(), state);
    let (kind, time_in_force) = kind_of(row.text(8));
    let (price, trigger_price) = match kind {
        Some(OrderKind::Market) => (None, None),
        Some(OrderKind::Stop) => (None, row.price(16)),
        Some(OrderKind::StopLimit) => (row.price(19), row.price(16)),
        _ => (row.price(16), None),
    };
    let flags = row.integer(12);
    let average = row.money(17).filter(|average| !average.is_zero());
    Some(OrderRow {
        id,
        client_order_id,
        market: cx.market_of(row.text(3)),
        status: status_of(state),
        side,
        kind,
        time_in_force: time_in_force.or_else(|| row.ms(10).map(|_| TimeInForce::Gtd)),
        post_only: flags.map(|flags| flags & POST_ONLY != 0),
        reduce_only: flags.map(|flags| flags & REDUCE_ONLY != 0),
        price,
        trigger_price,
        amount,
        filled,
        cost: average.zip(filled).and_then(|(average, filled)| average.checked_mul(Decimal::from(filled))),
        average,
        created: row.ms(4),
        updated: row.ms(5),
        error: reason_of(state),
        ..OrderRow::default()
    })
}

/// What was ordered, and what of that was filled. The amount that was ordered stays when an order is changed: then only
/// the text of the state tells what was filled.
fn amounts(
    left: Option<Fixed>,
    ordered: Option<Fixed>,
    is_changed: bool,
    state: &str,
) -> (Option<Fixed>, Option<Fixed>) {
    let (left, ordered) = (left.and_then(absolute), ordered.and_then(absolute));
    if is_changed {
        let filled = fills_in(state);
        return (left.zip(filled).and_then(|(left, filled)| left.checked_add(filled)), filled);
    }
    let filled = ordered.zip(left).and_then(|(ordered, left)| ordered.checked_sub(left));
    (ordered, filled.filter(|filled| filled.mantissa() >= 0))
}

/// The sum of what stands in brackets: `EXECUTED @ 916.2(0.78): was PARTIALLY FILLED @ 915.9(0.22)`.
fn fills_in(state: &str) -> Option<Fixed> {
    let mut sum = Fixed::ZERO;
    for part in state.split('(').skip(1) {
        let number = part.split(')').next().unwrap_or("");
        sum = sum.checked_add(absolute(Fixed::parse_exact(number.as_bytes()).ok()?)?)?;
    }
    Some(sum)
}

pub(super) fn absolute(number: Fixed) -> Option<Fixed> {
    Some(Fixed::new(number.mantissa().checked_abs()?, number.scale()))
}

fn side_of(amount: Fixed) -> TakerSide {
    if amount.mantissa() < 0 { TakerSide::Sell } else { TakerSide::Buy }
}

/// `EXCHANGE` before the name stands for spot.
fn kind_of(name: &str) -> (Option<OrderKind>, Option<TimeInForce>) {
    match name.strip_prefix("EXCHANGE ").unwrap_or(name) {
        "LIMIT" => (Some(OrderKind::Limit), None),
        "IOC" => (Some(OrderKind::Limit), Some(TimeInForce::Ioc)),
        "FOK" => (Some(OrderKind::Limit), Some(TimeInForce::Fok)),
        "MARKET" => (Some(OrderKind::Market), None),
        "STOP" | "TRAILING STOP" => (Some(OrderKind::Stop), None),
        "STOP LIMIT" => (Some(OrderKind::StopLimit), None),
        other if other.contains("LIMIT") => (Some(OrderKind::Limit), None),
        other if other.contains("MARKET") => (Some(OrderKind::Market), None),
        _ => (None, None),
    }
}

/// What the first words say; `CANCELED was: PARTIALLY FILLED @ 915.9(0.22)` tells of earlier ones as well.
fn status_of(state: &str) -> Option<OrderStatus> {
    const WORDS: [(&str, OrderStatus); 9] = [
        ("ACTIVE", OrderStatus::Open),
        ("PARTIALLY FILLED", OrderStatus::Open),
        ("EXECUTED", OrderStatus::Closed),
        ("CANCELED", OrderStatus::Canceled),
        ("INSUFFICIENT", OrderStatus::Canceled),
        ("POSTONLY", OrderStatus::Canceled),
        ("IOC", OrderStatus::Canceled),
        ("FILLORKILL", OrderStatus::Canceled),
        ("RSN_", OrderStatus::Rejected),
    ];
    WORDS.iter().find(|(word, _)| state.starts_with(word)).map(|row| row.1)
}

/// Why the venue ended an order, where it says so.
fn reason_of(state: &str) -> Option<Error> {
    const WORDS: [(&str, ErrorKind); 5] = [
        ("INSUFFICIENT", ErrorKind::InsufficientFunds),
        ("POSTONLY", ErrorKind::OrderImmediatelyFillable),
        ("FILLORKILL", ErrorKind::OrderNotFillable),
        ("RSN_PAUSE", ErrorKind::MarketClosed),
        ("RSN_", ErrorKind::InvalidOrder),
    ];
    let (_, kind) = WORDS.iter().find(|(word, _)| state.starts_with(word))?;
    let word = state.split([' ', ':']).next().unwrap_or(state);
    Some(Error::new(*kind, cut(state)).with_code(cut(word)).at(BITFINEX.id).of_order())
}

/// `[ID,SYMBOL,MTS,ORDER_ID,AMOUNT,PRICE,ORDER_TYPE,ORDER_PRICE,MAKER,FEE,FEE_CURRENCY,CID]`; a fee that is paid is
/// negative.
pub(super) fn my_trade(row: Node<'_>, cx: &Context<'_>) -> Option<MyTrade> {
    let row = Cells::of(row);
    let (amount, price) = (row.amount(4)?, row.number(5)?);
    let fee = row.money(9).map(|fee| Fee { currency: row.code(10), cost: Decimal::ZERO - fee });
    let liquidity = match row.node(8).and_then(|maker| maker.i64().ok()) {
        Some(1) => Some(Liquidity::Maker),
        Some(-1) => Some(Liquidity::Taker),
        _ => None,
    };
    Some(MyTrade {
        id: row.id(0),
        order: row.id(3),
        market: cx.market_of(row.text(1)),
        venue_time: row.ms(2),
        side: side_of(amount),
        price,
        amount: absolute(amount)?,
        cost: None,
        liquidity,
        fee: fee.filter(|fee| !fee.currency.is_none()),
        backfilled: false,
    })
}

/// `["exchange","BTC",BALANCE,UNSETTLED_INTEREST,AVAILABLE,DESCRIPTION,META]`. What can be disposed of is `null` where the
/// venue did not compute it. `None` for the other wallets, of margin and of funding: they hold the same currencies.
pub(super) fn balance(row: Node<'_>) -> Option<Balance> {
    let row = Cells::of(row);
    if row.text(0) != "exchange" || row.text(1).is_empty() {
        return None;
    }
    let balance = Balance { currency: row.code(1), free: row.money(4), total: row.money(2), ..Balance::default() };
    Some(balance.completed())
}

/// `[SYMBOL,STATUS,AMOUNT,BASE_PRICE,FUNDING,FUNDING_TYPE,PL,PL_PERC,PRICE_LIQ,LEVERAGE,_,POSITION_ID,MTS_CREATE,
/// MTS_UPDATE,_,TYPE,_,COLLATERAL,COLLATERAL_MIN,META]`, negative amounts for what is owed.
pub(super) fn position(row: Node<'_>, is_closed: bool, cx: &Context<'_>) -> Option<Position> {
    let row = Cells::of(row);
    let size = row.money(2)?;
    let side = match row.text(1) {
        "CLOSED" => None,
        _ if is_closed || size.is_zero() => None,
        _ if size.is_sign_negative() => Some(PositionSide::Short),
        _ => Some(PositionSide::Long),
    };
    let own_margin = row.integer(15).map(|kind| kind == 1);
    Some(Position {
        id: row.id(11),
        market: cx.market_of(row.text(0)),
        side,
        contracts: side.map_or(Decimal::ZERO, |_| size.abs()),
        entry_price: row.money(3),
        unrealized_pnl: row.money(6),
        liquidation_price: row.money(8),
        leverage: row.money(9),
        isolated: own_margin,
        collateral: row.money(17).filter(|_| own_margin == Some(true)),
        updated: row.ms(13),
        ..Position::default()
    })
}

/// `[ID,CURRENCY,METHOD,_,_,MTS_STARTED,MTS_UPDATED,_,_,STATUS,_,_,AMOUNT,FEES,_,_,ADDRESS,MEMO,_,_,TXID,NOTE]`, negative
/// amounts for withdrawals. `None` for one of the other kind.
pub(super) fn transaction(kind: TransactionKind, row: Node<'_>) -> Option<Transaction> {
    use TransactionStatus::{Canceled, Failed, Ok, Pending};
    let row = Cells::of(row);
    let amount = row.money(12)?;
    if amount.is_sign_negative() != (kind == TransactionKind::Withdrawal) {
        return None;
    }
    let status = match row.text(9) {
        "COMPLETED" | "SUCCESS" => Ok,
        "CANCELED" => Canceled,
        "ERROR" | "FAILURE" | "FAILED" => Failed,
        _ => Pending,
    };
    let currency = row.code(1);
    let fee = row.money(13).filter(|fee| !fee.is_zero()).map(|fee| Fee { currency, cost: fee.abs() });
    Some(Transaction {
        txid: row.boxed(20),
        network: row.boxed(2),
        status,
        address: row.boxed(16),
        tag: row.boxed(17),
        fee,
        created: row.ms(5),
        updated: row.ms(6),
        ..Transaction::new(row.id(0), kind, currency, amount.abs())
    })
}

/// `[ID,CURRENCY,_,MTS,_,AMOUNT,BALANCE,_,DESCRIPTION]`. What it is for stands in the text, and the number of what it
/// belongs to behind a `#`.
pub(super) fn ledger_entry(row: Node<'_>) -> Option<LedgerEntry> {
    const WORDS: [(&str, LedgerKind); 12] = [
        ("rebate", LedgerKind::Rebate),
        ("margin funding", LedgerKind::Margin),
        ("fee", LedgerKind::Fee),
        ("charge", LedgerKind::Fee),
        ("deposit", LedgerKind::Deposit),
        ("withdrawal", LedgerKind::Withdrawal),
        ("transfer", LedgerKind::Transfer),
        ("settlement", LedgerKind::Trade),
        ("position", LedgerKind::Trade),
        ("exchange ", LedgerKind::Trade),
        ("trade", LedgerKind::Trade),
        ("interest", LedgerKind::Margin),
    ];
    let row = Cells::of(row);
    let description = row.text(8);
    // The name of the wallet behind is one of the words.
    let text = description.split(" @ ").next().unwrap_or("").split(" on wallet").next().unwrap_or("");
    let text = text.to_ascii_lowercase();
    let kind = WORDS.iter().find(|(word, _)| text.contains(word)).map_or(LedgerKind::Other, |row| row.1);
    let number = description
        .split_once('#')
        .map_or("", |(_, rest)| rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or(""));
    Some(LedgerEntry {
        reference: id(number),
        after: row.money(6),
        venue_time: row.ms(3),
        ..LedgerEntry::new(row.id(0), kind, row.code(1), row.money(5)?)
    })
}
