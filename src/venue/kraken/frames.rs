//! The rows of the two private channels.

use super::names::{Pairs, unified};
use super::rows::{closing_reason, kind_of_order, ledger_kind, side, status_of_order};
use crate::json::Node;
use crate::model::{
    Balance, Fee, LedgerEntry, LedgerKind, Liquidity, MyTrade, OrderStatus, TimeInForce, Transaction, TransactionKind,
    TransactionStatus, Wall,
};
use crate::venue::trading::{Members, OrderRow, PrivateRow, PrivateRows};

/// `{"order_id":"OK4GJX-KSTLS-7DZZO5","order_userref":3,"exec_id":"TGBB7L-HT5LX-J3BZ4A","exec_type":"trade",
/// "trade_id":62887576,"symbol":"BTC/USD","side":"sell","last_qty":0.005,"last_price":26599.9,"liquidity_ind":"t",
/// "cost":132.9995,"order_type":"limit","timestamp":"2023-09-22T10:33:05.709993Z","order_status":"partially_filled",
/// "cum_qty":0.005,"cum_cost":132.9995,"avg_price":26599.9,"fee_usd_equiv":0.3458,"fees":[{"asset":"USD","qty":0.3458}]}`:
/// what an order is stands in its first row, the later ones say what changes. The last trade still has a
/// `partially_filled`; `filled` comes in a row of its own.
pub(super) fn on_execution(row: Node<'_>, is_snapshot: bool, pairs: &Pairs, out: &mut PrivateRows) {
    let kind = row.text("exec_type");
    let is_trade = kind == "trade";
    let market = pairs.find(row.text("symbol"));
    let time = time(row);
    let status = status_of_order(row.text("order_status"));
    let id = row.id("order_id");
    let triggers = row.get("triggers").filter(|triggers| matches!(triggers.text("price_type"), "" | "static"));
    let flag = |key: &str| row.get(key).and_then(|flag| flag.bool().ok());
    let is_static = matches!(row.text("limit_price_type"), "" | "static");
    let is_first = kind == "pending_new" || (kind == "new" && market.is_some());
    out.push(PrivateRow::Order(OrderRow {
        id,
        client_order_id: row.id("cl_ord_id"),
        market,
        status,
        side: side(row.text("side")),
        // A trade tells what became of a triggered order: what it was is worth more.
        kind: kind_of_order(row.text("order_type")).filter(|_| !is_trade),
        time_in_force: time_in_force(row.text("time_in_force")),
        post_only: flag("post_only"),
        reduce_only: flag("reduce_only"),
        price: row.positive("limit_price").filter(|_| is_static),
        trigger_price: triggers.and_then(|triggers| triggers.positive("price")).or(row.positive("stop_price")),
        amount: row.positive("order_qty"),
        cost_ordered: row.positive("cash_order_qty"),
        // Zero stands here also where the row does not care.
        filled: row.positive("cum_qty"),
        cost: row.money("cum_cost").filter(|cost| !cost.is_zero()),
        average: row.money("avg_price").filter(|price| !price.is_zero()),
        fee: None,
        created: time.filter(|_| is_first),
        updated: time,
        last_trade: time.filter(|_| is_trade),
        error: status.filter(|status| *status == OrderStatus::Canceled).and_then(|_| closing_reason(row)),
    }));
    if !is_trade {
        return;
    }
    let (Some(side), Some(price), Some(amount)) =
        (side(row.text("side")), row.number("last_price"), row.number("last_qty"))
    else {
        // It has to be fetched then.
        return out.push(PrivateRow::Gap);
    };
    let fee = row
        .get("fees")
        .and_then(|fees| fees.at(0))
        .and_then(|fee| Some(Fee { currency: unified(fee.text("asset")), cost: fee.money("qty")? }));
    out.push(PrivateRow::MyTrade(MyTrade {
        id: row.id("exec_id"),
        order: id,
        market,
        venue_time: time,
        side,
        price,
        amount,
        cost: row.money("cost"),
        liquidity: match row.text("liquidity_ind") {
            "m" => Some(Liquidity::Maker),
            "t" => Some(Liquidity::Taker),
            _ => None,
        },
        fee,
        backfilled: is_snapshot,
    }));
}

/// `{"asset":"MATIC","asset_class":"currency","balance":500,"wallets":[{"type":"spot","id":"main","balance":300},
/// {"type":"earn","id":"flex","balance":200}]}`: what earns something is another balance.
pub(super) fn on_balance(row: Node<'_>, out: &mut PrivateRows) {
    let wallet = row.get("wallets").and_then(|wallets| wallets.iter().find(|wallet| wallet.text("type") == "spot"));
    let Some(total) = wallet.unwrap_or(row).money("balance") else { return };
    out.push(PrivateRow::Balance(Balance {
        currency: unified(row.text("asset")),
        total: Some(total),
        ..Balance::default()
    }));
}

/// `{"ledger_id":"AAICKV-NMQSR-ZO5IJD","ref_id":"AGBB7L-HT5LX-J3BB4A","timestamp":"2023-09-22T10:33:05.710082Z",
/// "type":"trade","asset":"BTC","asset_class":"currency","category":"trade","wallet_type":"spot","wallet_id":"main",
/// "amount":-0.005,"fee":0.0,"balance":0.005}`
pub(super) fn on_ledger(row: Node<'_>, out: &mut PrivateRows) {
    let Some(amount) = row.money("amount") else { return out.push(PrivateRow::Gap) };
    let currency = unified(row.text("asset"));
    let (after, fee, time) = (row.money("balance"), row.money("fee"), time(row));
    if matches!(row.text("wallet_type"), "spot" | "") && after.is_some() {
        out.push(PrivateRow::Balance(Balance { currency, total: after, ..Balance::default() }));
    }
    let (kind, reference) = (ledger_kind(row.text("type")), row.id("ref_id"));
    let entry = LedgerEntry::new(row.id("ledger_id"), kind, currency, amount);
    out.push(PrivateRow::Ledger(LedgerEntry { reference, after, fee, venue_time: time, ..entry }));
    let (kind, status) = match kind {
        LedgerKind::Deposit => (TransactionKind::Deposit, TransactionStatus::Ok),
        // It is booked when it is asked for, and back when it comes to nothing.
        LedgerKind::Withdrawal if amount.is_sign_negative() => {
            (TransactionKind::Withdrawal, TransactionStatus::Pending)
        }
        LedgerKind::Withdrawal => (TransactionKind::Withdrawal, TransactionStatus::Canceled),
        _ => return,
    };
    let fee = fee.filter(|fee| !fee.is_zero()).map(|cost| Fee { currency, cost });
    let transaction = Transaction::new(reference, kind, currency, amount.abs());
    out.push(PrivateRow::Transaction(Transaction { status, fee, created: time, updated: time, ..transaction }));
}

fn time(row: Node<'_>) -> Option<Wall> {
    row.iso("timestamp")
}

fn time_in_force(word: &str) -> Option<TimeInForce> {
    match word {
        "GTC" => Some(TimeInForce::Gtc),
        "GTD" => Some(TimeInForce::Gtd),
        "IOC" => Some(TimeInForce::Ioc),
        "FOK" => Some(TimeInForce::Fok),
        _ => None,
    }
}
