//! The words of Kraken, and the rows of its REST answers.

use super::KRAKEN;
use super::names::unified;
use super::private::refused;
use crate::error::{Error, ErrorKind};
use crate::json::Node;
use crate::model::{
    Balance, Candle, Currency, Fee, Id, LedgerEntry, LedgerKind, OrderKind, OrderStatus, TakerSide, Ticker, Trade,
    Transaction, TransactionKind, TransactionStatus, Wall,
};
use crate::venue::trading::{Members, id};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

// --- Words -------------------------------------------------------------------------------------------------------------

pub(super) fn side(word: &str) -> Option<TakerSide> {
    match word {
        "buy" | "b" => Some(TakerSide::Buy),
        "sell" | "s" => Some(TakerSide::Sell),
        _ => None,
    }
}

pub(super) fn kind_of_order(word: &str) -> Option<OrderKind> {
    match word {
        "limit" | "iceberg" => Some(OrderKind::Limit),
        "market" | "settle-position" => Some(OrderKind::Market),
        "stop-loss" | "trailing-stop" => Some(OrderKind::Stop),
        "stop-loss-limit" | "trailing-stop-limit" => Some(OrderKind::StopLimit),
        "take-profit" => Some(OrderKind::TakeProfit),
        "take-profit-limit" => Some(OrderKind::TakeProfitLimit),
        _ => None,
    }
}

/// The words of the stream, and of REST.
pub(super) fn status_of_order(word: &str) -> Option<OrderStatus> {
    match word {
        "pending_new" | "new" | "partially_filled" | "pending" | "open" => Some(OrderStatus::Open),
        "filled" | "closed" => Some(OrderStatus::Closed),
        "canceled" => Some(OrderStatus::Canceled),
        "expired" => Some(OrderStatus::Expired),
        _ => None,
    }
}

/// Why the venue cancelled an order by itself, where that was a refusal.
pub(super) fn closing_reason(row: Node<'_>) -> Option<Error> {
    let reason = row.text("reason");
    let kind = match reason {
        _ if reason.starts_with("Post only") => ErrorKind::OrderImmediatelyFillable,
        _ if reason.starts_with("Insufficient") => ErrorKind::InsufficientFunds,
        _ => return None,
    };
    Some(refused(reason, kind).of_order().at(KRAKEN.id))
}

pub(super) fn ledger_kind(word: &str) -> LedgerKind {
    match word {
        "trade" | "spend" | "receive" | "sale" | "conversion" => LedgerKind::Trade,
        "deposit" => LedgerKind::Deposit,
        "withdrawal" => LedgerKind::Withdrawal,
        "transfer" | "allocation" | "deallocation" => LedgerKind::Transfer,
        "margin" | "rollover" | "settled" => LedgerKind::Margin,
        "nft_rebate" => LedgerKind::Rebate,
        _ => LedgerKind::Other,
    }
}

// --- Rows --------------------------------------------------------------------------------------------------------------

/// `{"aclass":"currency","altname":"XBT","decimals":10,"display_decimals":5,"status":"enabled"}` under `XXBT`; what is not
/// enabled may allow deposits or withdrawals only.
pub(super) fn currency(name: &str, row: Node<'_>) -> Currency {
    let status = row.text("status");
    let may = |word: &str| (!status.is_empty()).then_some(status == "enabled" || status == word);
    Currency {
        active: matches!(status, "enabled" | ""),
        deposit: may("deposit_only"),
        withdraw: may("withdrawal_only"),
        scale: row.get("decimals").and_then(|decimals| decimals.u64().ok()).and_then(|n| u8::try_from(n).ok()),
        ..Currency::new(unified(name), name)
    }
}

/// `{"a":["52609.6","1","1.000"],"b":["52609.5","1","1.000"],"c":["52641.1","0.00080000"],"v":["1920.8","7954.0"],
/// "p":["52389.9","54022.9"],"t":[23329,80463],"l":["51513.9","51513.9"],"h":["53219.9","57200.0"],"o":"52280.4"}`: of two
/// the second is that of 24 hours. `o` is the first price of the day, and not of 24 hours: it is left out.
pub(super) fn ticker(row: Node<'_>) -> Ticker {
    let price = |key: &str, at: usize| row.get(key)?.at(at)?.fixed().ok();
    let statistic = |key: &str| row.get(key)?.at(1)?.fixed_round().ok();
    Ticker {
        high: statistic("h"),
        low: statistic("l"),
        bid: price("b", 0),
        bid_volume: price("b", 2),
        ask: price("a", 0),
        ask_volume: price("a", 2),
        vwap: statistic("p"),
        last: price("c", 0),
        base_volume: statistic("v"),
        ..Ticker::default()
    }
}

/// `["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952]`
pub(super) fn public_trade(row: Node<'_>) -> Option<Trade> {
    Some(Trade {
        id: row.at(6).and_then(|id| id.u64().ok()).map_or(Id::NONE, Id::of_u64),
        venue_time: row.at(2).and_then(seconds),
        price: row.at(0)?.fixed().ok()?,
        amount: row.at(1)?.fixed().ok()?,
        side: row.at(3).and_then(|word| side(word.str().ok()?)),
    })
}

/// `[1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1","3.39243896",23]`: with the average before the volume.
pub(super) fn candle(row: Node<'_>, closed: bool) -> Option<Candle> {
    let price = |at: usize| row.at(at)?.fixed().ok();
    Some(Candle {
        open_time: row.at(0).and_then(seconds)?,
        venue_time: None,
        open: price(1)?,
        high: price(2)?,
        low: price(3)?,
        close: price(4)?,
        volume: row.at(6)?.fixed_round().ok()?,
        quote_volume: None,
        trades: row.at(7).and_then(|count| count.u64().ok()),
        closed,
    })
}

/// `{"balance":"200000.00","hold_trade":"1500.00","credit":"0.00","credit_used":"0.00"}` under `ZUSD`.
pub(super) fn balance(name: &str, row: Node<'_>) -> Option<Balance> {
    let total = Some(row.money("balance")?);
    let debt = row.money("credit_used").filter(|debt| !debt.is_zero());
    Some(Balance { currency: unified(name), free: None, used: row.money("hold_trade"), total, debt }.completed())
}

/// `{"method":"Ether (Hex)","aclass":"currency","asset":"XETH","refid":"Q2CANKL-LBFVEE-U4Y2WQ","txid":"0x57fd..",
/// "info":"0x615f..","amount":"7.9999257900","fee":"0.0000000000","time":1529223212,"status":"Success"}`
pub(super) fn transaction(kind: TransactionKind, row: Node<'_>) -> Option<Transaction> {
    let text = |key: &str| Some(row.text(key)).filter(|text| !text.is_empty()).map(Box::from);
    let currency = unified(row.text("asset"));
    let status = match (row.text("status"), row.text("status-prop")) {
        (_, "canceled") => TransactionStatus::Canceled,
        (_, "on-hold" | "onhold" | "cancel-pending") => TransactionStatus::Pending,
        ("Success" | "Partial", _) => TransactionStatus::Ok,
        ("Failure", _) => TransactionStatus::Failed,
        _ => TransactionStatus::Pending,
    };
    let fee = row.money("fee").filter(|fee| !fee.is_zero()).map(|cost| Fee { currency, cost });
    let (network, created) = (text("network").or_else(|| text("method")), row.get("time").and_then(seconds));
    let (txid, address) = (text("txid"), text("info"));
    let known = Transaction::new(row.id("refid"), kind, currency, row.money("amount")?);
    Some(Transaction { txid, network, status, address, fee, created, ..known })
}

/// `{"refid":"TJ2L-...","time":1610124514.4217,"type":"trade","subtype":"","aclass":"currency","asset":"XXBT",
/// "amount":"-0.0055","fee":"0.0000","balance":"0.1500"}` under its id.
pub(super) fn ledger_entry(name: &str, row: Node<'_>) -> Option<LedgerEntry> {
    let kind = ledger_kind(row.text("type"));
    Some(LedgerEntry {
        reference: row.id("refid"),
        after: row.money("balance"),
        fee: row.money("fee"),
        venue_time: row.get("time").and_then(seconds),
        ..LedgerEntry::new(id(name), kind, unified(row.text("asset")), row.money("amount")?)
    })
}

/// Seconds since 1970 with up to nine decimals; zero stands for never.
pub(super) fn seconds(node: Node<'_>) -> Option<Wall> {
    let ns = node.big_decimal().ok()?.checked_mul(Decimal::from(1_000_000_000))?.trunc().to_i64()?;
    Some(Wall(ns)).filter(|wall| wall.0 > 0)
}

/// Rows of which none may be left out in silence.
pub(super) fn whole<T>(rows: impl Iterator<Item = Option<T>>, what: &str) -> Result<Vec<T>, Error> {
    rows.collect::<Option<Vec<T>>>().ok_or_else(|| bad(&format!("one of the {what} cannot be read")))
}

/// Oldest first, from `since` on, and no more than `limit`.
pub(super) fn bounded<T>(
    mut rows: Vec<T>,
    since: Option<Wall>,
    limit: Option<u16>,
    time: impl Fn(&T) -> Option<Wall>,
) -> Vec<T> {
    rows.retain(|row| time(row) >= since);
    rows.sort_by_key(|row| time(row));
    limited(rows, since.is_some(), limit)
}

/// The first rows if their beginning was asked for, else the last ones.
pub(super) fn limited<T>(mut rows: Vec<T>, from_start: bool, limit: Option<u16>) -> Vec<T> {
    let surplus = rows.len().saturating_sub(limit.map_or(usize::MAX, usize::from));
    if from_start {
        rows.truncate(rows.len() - surplus);
    } else {
        rows.drain(..surplus);
    }
    rows
}

pub(super) fn bad(message: &str) -> Error {
    Error::new(ErrorKind::BadResponse, message)
}
