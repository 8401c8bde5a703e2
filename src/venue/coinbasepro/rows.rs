//! Rows of an account: messages of the channel `user`, and what REST says of the same things.

use std::collections::VecDeque;

use rust_decimal::Decimal;

use super::COINBASEPRO;
use super::rest::currency;
use crate::error::{Error, ErrorKind};
use crate::json::Node;
use crate::model::{
    Balance, Code, Fee, Id, LedgerEntry, LedgerKind, Liquidity, MyTrade, OrderKind, OrderStatus, TakerSide,
    TimeInForce, Transaction, TransactionKind, TransactionStatus,
};
use crate::venue::shared::cut;
use crate::venue::trading::{Context, Members, OrderRow, PrivateRow, PrivateRows, code};

/// Orders with a trigger that were told. Once triggered they come again, as plain ones.
#[derive(Default)]
pub(super) struct Stops(VecDeque<Id>);

/// The oldest is forgotten beyond this.
const STOPS_MAX: usize = 1_024;

impl Stops {
    fn add(&mut self, id: Id) {
        if self.0.len() >= STOPS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }
}

/// A message of the channel `user`; none of any other type.
pub(super) fn on_user_message(row: Node<'_>, stops: &mut Stops, cx: &Context<'_>, out: &mut PrivateRows) {
    let (id, time, market) = (row.id("order_id"), row.iso("time"), cx.market_of(row.text("product_id")));
    let told = OrderRow { id, market, side: side(row), updated: time, ..OrderRow::default() };
    let order = match row.text("type") {
        "match" | "last_match" => {
            out.rows.extend(match_row(row, cx).map(PrivateRow::MyTrade));
            return;
        }
        // `{"type":"received","time":"..","product_id":"BTC-USD","sequence":10,"order_id":"..","size":"1.34",
        // "price":"502.1","side":"buy","order_type":"limit","client_oid":".."}`; market orders have `funds` as well, or
        // in place of `size`, and no price.
        "received" => {
            let amount = row.positive("size");
            OrderRow {
                client_order_id: row.id("client_oid"),
                status: Some(OrderStatus::Open),
                kind: kind(row.text("order_type")).filter(|_| !stops.0.contains(&id)),
                price: row.positive("price"),
                amount,
                cost_ordered: row.positive("funds").filter(|_| amount.is_none()),
                created: time,
                ..told
            }
        }
        // `{"type":"open",..,"order_id":"..","price":"200.2","remaining_size":"1.00","side":"sell"}`
        "open" => OrderRow { status: Some(OrderStatus::Open), price: row.positive("price"), ..told },
        // `{"type":"done",..,"price":"200.2","order_id":"..","reason":"filled","side":"sell","remaining_size":"0"}`
        "done" => {
            stops.0.retain(|stop| *stop != id);
            let status = match row.text("reason") {
                "filled" => OrderStatus::Closed,
                _ => OrderStatus::Canceled,
            };
            OrderRow { status: Some(status), error: why_canceled(row.text("cancel_reason")), ..told }
        }
        // `{"type":"change",..,"reason":"modify_order","order_id":"..","side":"sell","old_size":"2","new_size":"1",
        // "old_price":"5","new_price":"6"}`, or `price` where that stayed.
        "change" => OrderRow {
            price: row.positive("new_price").or_else(|| row.positive("price")),
            amount: row.positive("new_size"),
            ..told
        },
        // An order with a trigger was taken: `{"type":"activate",..,"order_id":"..","stop_type":"entry","side":"buy",
        // "stop_price":"80","size":"2","funds":"50"}`
        "activate" => {
            stops.add(id);
            OrderRow {
                status: Some(OrderStatus::Open),
                kind: told.side.map(|side| triggered(true, row.text("stop_type"), side)),
                trigger_price: row.positive("stop_price"),
                amount: row.positive("size"),
                ..told
            }
        }
        _ => return,
    };
    if !id.is_none() {
        out.push(PrivateRow::Order(order));
    }
}

/// `{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"..","taker_order_id":"..","time":"..",
/// "product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell","taker_user_id":"..","user_id":"..",
/// "taker_profile_id":"..","profile_id":"..","taker_fee_rate":"0.005"}`: the side of the maker. None if it does not say
/// which of both orders is ours.
fn match_row(row: Node<'_>, cx: &Context<'_>) -> Option<MyTrade> {
    let is = |key: &str| !row.id(key).is_none();
    let maker_side = side(row)?;
    let (liquidity, side, order, rate) = match (is("taker_user_id"), is("maker_user_id")) {
        (true, _) => (Liquidity::Taker, opposite(maker_side), "taker_order_id", "taker_fee_rate"),
        (false, true) => (Liquidity::Maker, maker_side, "maker_order_id", "maker_fee_rate"),
        (false, false) => return None,
    };
    let trade = trade(row, row.id(order), side, cx)?;
    let quote = cx.markets.by_venue_symbol(row.text("product_id")).map(|market| code(&market.quote));
    let cost = row.money(rate).and_then(|rate| trade.cost?.checked_mul(rate)).map(|cost| cost.normalize());
    let fee = quote.zip(cost).map(|(currency, cost)| Fee { currency, cost });
    Some(MyTrade { venue_time: row.iso("time"), liquidity: Some(liquidity), fee, ..trade })
}

/// `{"trade_id":74,"product_id":"BTC-USD","price":"10.00","size":"0.01","order_id":"..","created_at":"..",
/// "liquidity":"T","fee":"0.00025","settled":true,"side":"buy"}`: our own side.
pub(super) fn fill(row: Node<'_>, cx: &Context<'_>) -> Option<MyTrade> {
    let trade = trade(row, row.id("order_id"), side(row)?, cx)?;
    let quote = cx.markets.by_venue_symbol(row.text("product_id")).map(|market| code(&market.quote));
    let liquidity = match row.text("liquidity") {
        "M" => Some(Liquidity::Maker),
        "T" => Some(Liquidity::Taker),
        _ => None,
    };
    let fee = quote.zip(row.money("fee")).map(|(currency, cost)| Fee { currency, cost: cost.normalize() });
    Some(MyTrade { venue_time: row.iso("created_at"), liquidity, fee, ..trade })
}

/// What both have.
fn trade(row: Node<'_>, order: Id, side: TakerSide, cx: &Context<'_>) -> Option<MyTrade> {
    let (id, price, amount) = (row.id("trade_id"), row.number("price")?, row.positive("size")?);
    if id.is_none() || order.is_none() {
        return None;
    }
    Some(MyTrade {
        id,
        order,
        market: cx.market_of(row.text("product_id")),
        venue_time: None,
        side,
        price,
        amount,
        cost: Decimal::from(price).checked_mul(amount.into()).map(|cost| cost.normalize()),
        liquidity: None,
        fee: None,
        backfilled: false,
    })
}

/// `{"id":"..","price":"0.10000000","size":"0.01000000","product_id":"BTC-USD","client_oid":"..","side":"buy","stp":"dc",
/// "type":"limit","time_in_force":"GTC","post_only":false,"created_at":"2016-12-08T20:02:28.53864Z","done_at":"..",
/// "done_reason":"canceled","fill_fees":"0","filled_size":"0","executed_value":"0","status":"done","settled":true}`.
/// An order that is still `pending` has less of it.
pub(super) fn order(row: Node<'_>, cx: &Context<'_>) -> Option<OrderRow> {
    let (id, side) = (row.id("id"), side(row));
    if id.is_none() {
        return None;
    }
    let status = match (row.text("status"), row.text("done_reason")) {
        ("done", "canceled" | "cancelled") => Some(OrderStatus::Canceled),
        ("done" | "settled", _) => Some(OrderStatus::Closed),
        ("rejected", _) => Some(OrderStatus::Rejected),
        ("", _) => None,
        _ => Some(OrderStatus::Open),
    };
    let (stop, plain) = (row.text("stop"), kind(row.text("type")));
    let kind = match side.filter(|_| !stop.is_empty()) {
        Some(side) => Some(triggered(plain != Some(OrderKind::Market), stop, side)),
        None => plain,
    };
    let (filled, amount) = (row.number("filled_size"), row.positive("size"));
    let cost = row.money("executed_value").map(|cost| cost.normalize());
    let average = cost.zip(filled).filter(|(_, filled)| !filled.is_zero());
    let quote = cx.markets.by_venue_symbol(row.text("product_id")).map(|market| code(&market.quote));
    let fee = quote.zip(row.money("fill_fees").filter(|cost| !cost.is_zero()));
    Some(OrderRow {
        id,
        client_order_id: row.id("client_oid"),
        market: cx.market_of(row.text("product_id")),
        status,
        side,
        kind,
        time_in_force: match row.text("time_in_force") {
            "GTC" => Some(TimeInForce::Gtc),
            "GTT" => Some(TimeInForce::Gtd),
            "IOC" => Some(TimeInForce::Ioc),
            "FOK" => Some(TimeInForce::Fok),
            _ => None,
        },
        post_only: row.get("post_only").and_then(|flag| flag.bool().ok()),
        reduce_only: None,
        price: row.positive("price"),
        trigger_price: row.positive("stop_price"),
        amount,
        // By itself the venue reserves funds for a market order over an amount.
        cost_ordered: row.positive("specified_funds").or_else(|| row.positive("funds")).filter(|_| amount.is_none()),
        filled,
        cost,
        average: average.and_then(|(cost, filled)| cost.checked_div(filled.into())).map(|it| it.normalize()),
        fee: fee.map(|(currency, cost)| Fee { currency, cost: cost.normalize() }),
        created: row.iso("created_at"),
        updated: row.iso("done_at"),
        last_trade: None,
        error: rejection(row),
    })
}

/// Why an order was refused after it had been read: `{"status":"rejected","reject_reason":"post only",..}`.
pub(super) fn rejection(row: Node<'_>) -> Option<Error> {
    if row.text("status") != "rejected" {
        return None;
    }
    let reason = [row.text("reject_reason"), row.text("message")].into_iter().find(|text| !text.is_empty());
    let kind = match reason.map(str::to_ascii_lowercase) {
        Some(reason) if reason.contains("post") => ErrorKind::OrderImmediatelyFillable,
        Some(reason) if reason.contains("insufficient funds") => ErrorKind::InsufficientFunds,
        _ => ErrorKind::InvalidOrder,
    };
    Some(Error::new(kind, cut(reason.unwrap_or("the order was rejected"))).at(COINBASEPRO.id).of_order())
}

/// `"105:Insufficient Funds"`, where the venue ended an order for a reason of its own.
fn why_canceled(reason: &str) -> Option<Error> {
    let (number, _) = reason.split_once(':')?;
    let kind = match number {
        "105" => ErrorKind::InsufficientFunds,
        "106" => ErrorKind::OrderNotFillable,
        "103" | "104" | "107" => ErrorKind::OperationRejected,
        // Its time in force, or a trade with ourselves.
        _ => return None,
    };
    Some(Error::new(kind, cut(reason)).at(COINBASEPRO.id).with_code(number).of_order())
}

/// `{"id":"..","currency":"BTC","balance":"1.1","available":"1.00","hold":"0.1","profile_id":"..",
/// "trading_enabled":true}`
pub(super) fn balance(row: Node<'_>) -> Option<Balance> {
    let currency = currency(row.text("currency"));
    if currency.is_none() {
        return None;
    }
    let (free, used, total) = (row.money("available"), row.money("hold"), row.money("balance"));
    Some(Balance { currency, free, used, total, debt: None }.completed())
}

/// `{"id":"..","type":"deposit","created_at":"2022-12-21 00:48:45.477503+00","completed_at":null,"account_id":"..",
/// "amount":"0.01000000","details":{"network":"litecoin","crypto_address":"..","crypto_transaction_hash":"..",
/// "destination_tag":"..","sent_to_address":"..","fee":".."},"canceled_at":null,"processed_at":null,"currency":"LTC"}`
pub(super) fn transaction(kind: TransactionKind, row: Node<'_>, accounts: &[(Id, Code)]) -> Option<Transaction> {
    let details = row.get("details");
    let text = |key: &str| details.map(|details| details.text(key)).filter(|text| !text.is_empty()).map(Into::into);
    let is = |key: &str| !row.text(key).is_empty();
    let account = || accounts.iter().find(|account| account.0 == row.id("account_id")).map(|account| account.1);
    let currency = Some(currency(row.text("currency"))).filter(|it| !it.is_none()).or_else(account);
    let currency = currency.unwrap_or(Code::NONE);
    let status = match (is("canceled_at"), is("completed_at"), is("processed_at")) {
        (true, ..) => TransactionStatus::Canceled,
        (_, true, _) => TransactionStatus::Ok,
        (_, _, true) => TransactionStatus::Failed,
        _ => TransactionStatus::Pending,
    };
    let fee = details.and_then(|details| details.money("fee")).filter(|_| kind == TransactionKind::Withdrawal);
    let mut amount = row.money("amount")?.abs();
    if let Some(fee) = fee {
        // What leaves the account includes it.
        amount = amount.checked_sub(fee).unwrap_or(amount);
    }
    Some(Transaction {
        txid: text("crypto_transaction_hash"),
        network: text("network"),
        status,
        address: text("sent_to_address").or_else(|| text("crypto_address")),
        tag: text("destination_tag"),
        fee: fee.map(|cost| Fee { currency, cost }),
        created: row.iso("created_at"),
        updated: ["canceled_at", "completed_at", "processed_at"].into_iter().find_map(|key| row.iso(key)),
        ..Transaction::new(row.id("id"), kind, currency, amount)
    })
}

/// `{"id":"11740725774","amount":"-1.7565669701255","balance":"0.0016490047745","created_at":"..","type":"fee",
/// "details":{"order_id":"..","product_id":"ETH-DAI","trade_id":"1740617"}}`
pub(super) fn ledger_entry(row: Node<'_>, currency: Code) -> Option<LedgerEntry> {
    let details = row.get("details");
    let detail = |key: &str| details.map_or("", |details| details.text(key));
    let kind = match (row.text("type"), detail("transfer_type")) {
        ("match" | "conversion", _) => LedgerKind::Trade,
        ("fee", _) => LedgerKind::Fee,
        ("rebate", _) => LedgerKind::Rebate,
        ("transfer", "deposit") => LedgerKind::Deposit,
        ("transfer", "withdraw") => LedgerKind::Withdrawal,
        ("transfer", _) => LedgerKind::Transfer,
        _ => LedgerKind::Other,
    };
    let ids = ["trade_id", "order_id", "transfer_id", "profile_transfer_id", "conversion_id"];
    let reference = ids.into_iter().filter_map(|key| Some(details?.id(key))).find(|id| !id.is_none());
    Some(LedgerEntry {
        reference: reference.unwrap_or(Id::NONE),
        after: row.money("balance"),
        venue_time: row.iso("created_at"),
        ..LedgerEntry::new(row.id("id"), kind, currency, row.money("amount")?)
    })
}

/// `buy` or `sell`.
pub(super) fn side(row: Node<'_>) -> Option<TakerSide> {
    match row.text("side") {
        "buy" => Some(TakerSide::Buy),
        "sell" => Some(TakerSide::Sell),
        _ => None,
    }
}

/// The other one.
pub(super) fn opposite(side: TakerSide) -> TakerSide {
    match side {
        TakerSide::Buy => TakerSide::Sell,
        TakerSide::Sell => TakerSide::Buy,
    }
}

fn kind(word: &str) -> Option<OrderKind> {
    match word {
        "limit" => Some(OrderKind::Limit),
        "market" => Some(OrderKind::Market),
        _ => None,
    }
}

/// The kind of an order that waits for the price to fall (`loss`) or to rise (`entry`) to its trigger.
fn triggered(has_price: bool, stop: &str, side: TakerSide) -> OrderKind {
    let is_stop = (stop == "loss") == (side == TakerSide::Sell);
    match (is_stop, has_price) {
        (true, true) => OrderKind::StopLimit,
        (true, false) => OrderKind::Stop,
        (false, true) => OrderKind::TakeProfitLimit,
        (false, false) => OrderKind::TakeProfit,
    }
}
