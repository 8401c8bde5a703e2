//! Rows of the account, as the stream, the answers to orders and REST spell them.

use super::rest::kind_of;
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind, Retry};
use crate::json::{Kind, Node};
use crate::model::{
    Balance, Code, Fee, Liquidity, MyTrade, OrderKind, OrderStatus, TakerSide, TimeInForce, Transaction,
    TransactionKind, TransactionStatus, Wall,
};
use crate::venue::shared::{cut, parse_iso};
use crate::venue::trading::{Members, code, id};
use crate::venue::{Context, OrderRow};
use rust_decimal::Decimal;

/// What a venue says of an order outside the stream: `{"symbol":"LTCBTC","orderId":1,"orderListId":-1,
/// "clientOrderId":"myOrder1","price":"0.1","origQty":"1.0","executedQty":"0.0","cummulativeQuoteQty":"0.0",
/// "status":"NEW","timeInForce":"GTC","type":"LIMIT","side":"BUY","stopPrice":"0.0","icebergQty":"0.0",
/// "time":1499827319559,"updateTime":1499827319559,"isWorking":true,"origQuoteOrderQty":"0.000000"}`. Answers to orders
/// have `transactTime` for the times, those to cancellations `origClientOrderId` besides.
///
/// A change in place answers `{"amendedOrder":{..}}` with other names for some members, a replacement
/// `{"newOrderResponse":{..}}`. Empty for anything else.
pub(super) fn order_row(answer: Node<'_>, cx: &Context<'_>) -> OrderRow {
    let inner = ["amendedOrder", "newOrderResponse"].into_iter().find_map(|key| answer.get(key));
    let row = inner.unwrap_or(answer);
    let original = row.text("origClientOrderId");
    let (kind, post_only) = kind_of_order(row.text("type"));
    let filled = row.number("executedQty");
    let cost = row.money("cummulativeQuoteQty").or_else(|| row.money("cumulativeQuoteQty"));
    let cost = cost.filter(|cost| !cost.is_sign_negative());
    let answered = row.ms("transactTime").or_else(|| answer.ms("transactTime"));
    OrderRow {
        id: row.id("orderId"),
        client_order_id: id(if original.is_empty() { row.text("clientOrderId") } else { original }),
        market: cx.market_of(row.text("symbol")),
        status: status(row.text("status")),
        side: side(row.text("side")),
        kind,
        time_in_force: time_in_force(row.text("timeInForce")),
        post_only,
        price: row.positive("price"),
        trigger_price: row.positive("stopPrice"),
        amount: row.positive("origQty").or_else(|| row.positive("qty")),
        cost_ordered: row.positive("origQuoteOrderQty").or_else(|| row.positive("quoteOrderQty")),
        filled,
        cost,
        average: average(filled, cost),
        created: row.ms("time").or(answered.filter(|_| original.is_empty())),
        updated: row.ms("updateTime").or(answered),
        ..OrderRow::default()
    }
}

/// The answer to a request about one order, or about all of a market: a list, whose orders are told one by one.
///
/// # Errors
/// The answer names no order: nobody knows what became of it.
pub(super) fn order_answer(answer: Node<'_>, cx: &Context<'_>) -> Result<OrderRow, Error> {
    let row = order_row(answer, cx);
    if row.id.is_none() && answer.kind() != Kind::Array {
        return Err(Error::new(ErrorKind::BadResponse, "the answer names no order").of_order());
    }
    Ok(row)
}

/// The orders of a list, which may hold lists of orders that belong together.
pub(super) fn order_rows<'a>(list: impl Iterator<Item = Node<'a>>, cx: &Context<'_>, out: &mut dyn FnMut(OrderRow)) {
    for row in list {
        match row.get("orderReports") {
            Some(reports) => reports.iter().for_each(|row| out(order_row(row, cx))),
            None => out(order_row(row, cx)),
        }
    }
}

/// The refusal of a request about an order: `{"code":-2010,"msg":"Account has insufficient balance for requested
/// action."}`. That of a replacement has the reasons within: `{"code":-2021,"msg":"Order cancel-replace partially failed.",
/// "data":{"cancelResult":"SUCCESS","newOrderResult":"FAILURE","cancelResponse":{..},"newOrderResponse":{"code":-2010,
/// "msg":".."}}}`. If the old order is gone by then, that is no refusal but the order's end, with its error.
pub(super) fn order_refusal(
    answer: Node<'_>,
    status: u16,
    venue: &'static str,
    cx: &Context<'_>,
) -> Result<OrderRow, Error> {
    let half = |key: &str| answer.get("data").and_then(|data| data.get(key));
    let mut failed = ["newOrderResponse", "cancelResponse"].into_iter().filter_map(half);
    let reason = failed.rfind(|half| half.get("code").is_some()).unwrap_or(answer);
    let mut error = refusal_of(reason, status);
    // Whatever a server in trouble says: the order may have been carried out.
    if status >= 500 && error.kind().retry_of_order() != Retry::Unknown {
        let unsure = Error::new(ErrorKind::OperationFailed, error.message());
        error = error.code().map_or(unsure.clone(), |code| unsure.with_code(code));
    }
    let error = error.at(venue).of_order();
    match half("cancelResponse").filter(|half| half.get("orderId").is_some()) {
        Some(cancelled) => Ok(OrderRow { error: Some(error), ..order_row(cancelled, cx) }),
        None => Err(error),
    }
}

/// `{"code":-1121,"msg":"Invalid symbol."}`, with the HTTP status or what stands for it.
pub(super) fn refusal_of(answer: Node<'_>, status: u16) -> Error {
    let code = answer.get("code").and_then(|node| node.i64().ok());
    let message = answer.text("msg");
    let kind = match (status, code) {
        (418 | 429, _) | (_, None) => ErrorKind::of_http_status(status),
        (_, Some(code)) => kind_of(code, message),
    };
    let error = Error::new(kind, if message.is_empty() { format!("status {status}") } else { cut(message) });
    match code {
        Some(code) => error.with_code(code),
        None => error,
    }
}

pub(super) fn side(text: &str) -> Option<TakerSide> {
    match text {
        "BUY" => Some(TakerSide::Buy),
        "SELL" => Some(TakerSide::Sell),
        _ => None,
    }
}

pub(super) fn status(text: &str) -> Option<OrderStatus> {
    Some(match text {
        "NEW" | "PENDING_NEW" | "PARTIALLY_FILLED" | "ACCEPTED" | "TRIGGERING" => OrderStatus::Open,
        "FILLED" | "TRIGGERED" | "FINISHED" => OrderStatus::Closed,
        "CANCELED" => OrderStatus::Canceled,
        "PENDING_CANCEL" => OrderStatus::Canceling,
        "REJECTED" => OrderStatus::Rejected,
        "EXPIRED" | "EXPIRED_IN_MATCH" => OrderStatus::Expired,
        _ => return None,
    })
}

/// The kind of an order, and whether it is post-only.
pub(super) fn kind_of_order(text: &str) -> (Option<OrderKind>, Option<bool>) {
    let kind = match text {
        "LIMIT" | "LIMIT_MAKER" => OrderKind::Limit,
        "MARKET" => OrderKind::Market,
        "STOP_LOSS" => OrderKind::Stop,
        "STOP_LOSS_LIMIT" => OrderKind::StopLimit,
        "TAKE_PROFIT" => OrderKind::TakeProfit,
        "TAKE_PROFIT_LIMIT" => OrderKind::TakeProfitLimit,
        _ => return (None, None),
    };
    (Some(kind), Some(text == "LIMIT_MAKER"))
}

pub(super) fn time_in_force(text: &str) -> Option<TimeInForce> {
    match text {
        "GTC" => Some(TimeInForce::Gtc),
        "IOC" => Some(TimeInForce::Ioc),
        "FOK" => Some(TimeInForce::Fok),
        _ => None,
    }
}

/// What the fills cost on average.
pub(super) fn average(filled: Option<Fixed>, cost: Option<Decimal>) -> Option<Decimal> {
    let filled = Decimal::from(filled.filter(|filled| !filled.is_zero())?);
    cost?.checked_div(filled).map(|average| average.normalize())
}

/// What is held of a currency; `None` if the row names none.
pub(super) fn balance(row: Node<'_>, name: &str, free: &str, used: &str) -> Option<Balance> {
    let currency = currency(row.text(name));
    let balance = Balance { currency, free: row.money(free), used: row.money(used), ..Balance::default() };
    Some(balance.completed()).filter(|balance| !balance.currency.is_none())
}

/// The unified code of a currency.
pub(super) fn currency(asset: &str) -> Code {
    code(super::rest::code(asset))
}

/// `{"symbol":"BNBBTC","id":28457,"orderId":100234,"orderListId":-1,"price":"4.00000100","qty":"12.00000000",
/// "quoteQty":"48.000012","commission":"10.10000000","commissionAsset":"BNB","time":1499865549590,"isBuyer":true,
/// "isMaker":false,"isBestMatch":true}`
pub(super) fn my_trade(row: Node<'_>, cx: &Context<'_>) -> Option<MyTrade> {
    let is = |key: &str| row.get(key).and_then(|node| node.bool().ok());
    let asset = row.text("commissionAsset");
    let fee = row.money("commission").filter(|_| !asset.is_empty());
    Some(MyTrade {
        id: row.id("id"),
        order: row.id("orderId"),
        market: cx.market_of(row.text("symbol")),
        venue_time: row.ms("time"),
        side: if is("isBuyer")? { TakerSide::Buy } else { TakerSide::Sell },
        price: row.number("price")?,
        amount: row.number("qty")?,
        cost: row.money("quoteQty"),
        liquidity: is("isMaker").map(|maker| if maker { Liquidity::Maker } else { Liquidity::Taker }),
        fee: fee.map(|cost| Fee { currency: currency(asset), cost }),
        backfilled: false,
    })
}

/// What deposits and withdrawals have in common.
fn transaction(row: Node<'_>, kind: TransactionKind) -> Option<Transaction> {
    let some = |key: &str| Some(row.text(key)).filter(|text| !text.is_empty()).map(Box::from);
    Some(Transaction {
        txid: some("txId"),
        network: some("network"),
        address: some("address"),
        tag: some("addressTag"),
        ..Transaction::new(row.id("id"), kind, currency(row.text("coin")), row.money("amount")?)
    })
}

/// `{"id":"769800519366885376","amount":"0.001","coin":"BNB","network":"BNB","status":1,"address":"bnb136ns6..",
/// "addressTag":"101764890","txId":"98A3EA560C6B3336..","insertTime":1661493146000,"completeTime":1661493146000,
/// "transferType":0,"confirmTimes":"1/1"}`
pub(super) fn deposit(row: Node<'_>) -> Option<Transaction> {
    let status = match row.get("status").and_then(|node| node.u64().ok()) {
        // 6: credited, and cannot be withdrawn yet.
        Some(1 | 6) => TransactionStatus::Ok,
        Some(2 | 7) => TransactionStatus::Failed,
        _ => TransactionStatus::Pending,
    };
    let (created, updated) = (row.ms("insertTime"), row.ms("completeTime"));
    Some(Transaction { status, created, updated, ..transaction(row, TransactionKind::Deposit)? })
}

/// `{"id":"b6ae22b3aa844210a7041aee7589627c","amount":"8.91000000","transactionFee":"0.004","coin":"USDT","status":6,
/// "address":"0x94df8b35..","txId":"0xb5ef8c13..","applyTime":"2019-10-12 11:12:02","network":"ETH","transferType":0,
/// "completeTime":"2023-03-23 16:52:41"}`
pub(super) fn withdrawal(row: Node<'_>) -> Option<Transaction> {
    let status = match row.get("status").and_then(|node| node.u64().ok()) {
        Some(1) => TransactionStatus::Canceled,
        Some(3 | 5) => TransactionStatus::Failed,
        Some(6) => TransactionStatus::Ok,
        _ => TransactionStatus::Pending,
    };
    let row_of = transaction(row, TransactionKind::Withdrawal)?;
    let fee = row.money("transactionFee").map(|cost| Fee { currency: row_of.currency, cost });
    let (created, updated) = (utc(row.text("applyTime")), utc(row.text("completeTime")));
    Some(Transaction { status, fee, created, updated, ..row_of })
}

/// `2019-10-12 11:12:02`, in UTC without saying so.
fn utc(text: &str) -> Option<Wall> {
    parse_iso(format!("{text}Z").as_bytes())
}
