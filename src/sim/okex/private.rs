//! What the loopback OKX tells about the account: rows of orders, fills and balances, and the frames around them. All
//! numbers are strings, and what is not there is an empty one.

use std::fmt::Write as _;

use rust_decimal::Decimal;

use super::super::account::{Balance, Change, Event, Fill, Lasts, Order, Status};
use super::super::hub::{Hub, Writing};
use super::super::market::{Market, Side};
use super::super::text::put_string;
use super::streams::Kind;
use super::{Okex, frames};

/// The account's number.
const UID: &str = "1";
/// Balances are told again so often without a reason.
const AGAIN_S: u64 = 5;

impl Okex {
    /// A transition of the account: orders first, then balances.
    pub(super) fn tell_account(&mut self, hub: &mut Hub, event: &Event) {
        let order = event.order.as_ref().map(|order| {
            let symbol = hub.market.symbol(order.symbol);
            let inst_type = frames::INST_TYPES.iter().position(|known| *known == frames::inst_type(symbol));
            let amended = match &self.amended_by {
                Some((id, _)) if *id == order.id && matches!(event.change, Change::Amended { .. }) => {
                    self.amended_by.take().map(|(_, req_id)| req_id)
                }
                _ => None,
            };
            let mut row = String::new();
            put_order(&mut row, hub, order, event.fill.as_ref(), Some((&event.change, amended.as_deref())));
            (order.symbol, inst_type, row)
        });
        for at in 0..hub.stream_count() {
            if !hub.is_wanted(at) {
                continue;
            }
            if let (Kind::Orders { inst_type, symbol }, Some((its_symbol, its_type, row))) = (self.kinds[at], &order)
                && (inst_type.is_none() || inst_type == *its_type)
                && symbol.is_none_or(|symbol| symbol == *its_symbol)
            {
                hub.publish(at, |writing: Writing<'_>, out: &mut String| {
                    begin(out, writing.name);
                    let _ = write!(out, "\"data\":[{row}]}}");
                });
            }
        }
        if event.balances.is_empty() {
            return;
        }
        for at in 0..hub.stream_count() {
            match self.kinds[at] {
                Kind::Account if hub.is_wanted(at) => publish_account(hub, at, &event.balances),
                Kind::BalanceAndPosition if hub.is_wanted(at) => {
                    let kind = if event.fill.is_some() { "filled" } else { "transferred" };
                    // What is only reserved for an order is there as it was.
                    if event.ledger.is_empty() {
                        continue;
                    }
                    let mut text = String::new();
                    put_balance_and_position(&mut text, hub.now_ns(), kind, event.balances.iter());
                    hub.publish(at, |_: Writing<'_>, out: &mut String| out.push_str(&text));
                }
                _ => {}
            }
        }
    }

    /// All balances once more, whether they changed or not.
    pub(super) fn tell_account_again(&mut self, hub: &mut Hub) {
        if !(hub.now_ns() / super::SECOND).is_multiple_of(AGAIN_S) {
            return;
        }
        for at in 0..hub.stream_count() {
            if self.kinds[at] == Kind::Account && hub.is_wanted(at) {
                let balances: Vec<Balance> = hub.account.balances().collect();
                publish_account(hub, at, &balances);
            }
        }
    }
}

fn publish_account(hub: &mut Hub, stream: usize, balances: &[Balance]) {
    let mut text = String::new();
    put_account(&mut text, hub, stream, "event_update", balances.iter());
    if !text.is_empty() {
        hub.publish(stream, |_: Writing<'_>, out: &mut String| out.push_str(&text));
    }
}

/// The balances that a subscription begins with.
pub(super) fn account(out: &mut String, hub: &Hub, stream: usize, event_type: &str) {
    let balances: Vec<Balance> = hub.account.balances().collect();
    put_account(out, hub, stream, event_type, balances.iter());
}

/// `{"arg":{"channel":"account","uid":"1"},"eventType":"snapshot","curPage":1,"lastPage":true,"data":[{"uTime":"1773837554158",..,"details":[..]}]}`;
/// nothing if none of the balances is of the stream's currency.
fn put_account<'a>(
    out: &mut String,
    hub: &Hub,
    stream: usize,
    event_type: &str,
    balances: impl Iterator<Item = &'a Balance>,
) {
    let name = &hub.stream(stream).name;
    let only = name.split_once(':').map(|(_, currency)| currency);
    let mut wanted = balances.filter(|balance| only.is_none_or(|only| only == balance.asset)).peekable();
    if wanted.peek().is_none() && event_type != "snapshot" {
        return;
    }
    begin(out, name);
    let _ = write!(out, "\"eventType\":\"{event_type}\",\"curPage\":1,\"lastPage\":true,\"data\":[");
    put_balances(out, hub.now_ns(), wanted);
    out.push_str("]}");
}

/// `{"uTime":"1773837554158","totalEq":"","details":[{"ccy":"TUSD","eq":"2900","cashBal":"2900","availBal":"2900","availEq":"2900","frozenBal":"0","ordFrozen":"0",..}]}`
pub(super) fn put_balances<'a>(out: &mut String, now_ns: u64, balances: impl Iterator<Item = &'a Balance>) {
    let time_ms = now_ns / 1_000_000;
    let _ = write!(
        out,
        "{{\"uTime\":\"{time_ms}\",\"totalEq\":\"\",\"adjEq\":\"\",\"imr\":\"\",\"mmr\":\"\",\"notionalUsd\":\"\",\
         \"upl\":\"\",\"details\":["
    );
    for (at, balance) in balances.enumerate() {
        let total = plain(balance.free + balance.used);
        let (free, used) = (plain(balance.free), plain(balance.used));
        let _ = write!(
            out,
            "{}{{\"ccy\":\"{}\",\"eq\":\"{total}\",\"cashBal\":\"{total}\",\"availBal\":\"{free}\",\
             \"availEq\":\"{free}\",\"frozenBal\":\"{used}\",\"ordFrozen\":\"{used}\",\"liab\":\"\",\"upl\":\"\",\
             \"interest\":\"\",\"uTime\":\"{time_ms}\"}}",
            if at > 0 { "," } else { "" },
            balance.asset,
        );
    }
    out.push_str("]}");
}

/// `{"arg":{"channel":"positions","instType":"ANY","uid":"1"},"eventType":"snapshot","curPage":1,"lastPage":true,"data":[]}`
pub(super) fn no_positions(out: &mut String, hub: &Hub, stream: usize) {
    begin(out, &hub.stream(stream).name);
    out.push_str("\"eventType\":\"snapshot\",\"curPage\":1,\"lastPage\":true,\"data\":[]}");
}

/// What the channel begins with.
pub(super) fn balance_and_position(out: &mut String, hub: &Hub, event_type: &str) {
    let balances: Vec<Balance> = hub.account.balances().collect();
    put_balance_and_position(out, hub.now_ns(), event_type, balances.iter());
}

/// `{"arg":{"channel":"balance_and_position","uid":"1"},"data":[{"pTime":"1597026383085","eventType":"snapshot","balData":[{"ccy":"BTC","cashBal":"1","uTime":"1597026383085"}],"posData":[],"trades":[]}]}`
fn put_balance_and_position<'a>(
    out: &mut String,
    now_ns: u64,
    event_type: &str,
    balances: impl Iterator<Item = &'a Balance>,
) {
    let time_ms = now_ns / 1_000_000;
    begin(out, "balance_and_position");
    let _ = write!(out, "\"data\":[{{\"pTime\":\"{time_ms}\",\"eventType\":\"{event_type}\",\"balData\":[");
    for (at, balance) in balances.enumerate() {
        let total = plain(balance.free + balance.used);
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{{\"ccy\":\"{}\",\"cashBal\":\"{total}\",\"uTime\":\"{time_ms}\"}}", balance.asset);
    }
    out.push_str("],\"posData\":[],\"trades\":[]}]}");
}

/// `{"arg":{"channel":"orders","instType":"SPOT","instId":"BTC-USDT","uid":"1"},`, from the name of the stream.
fn begin(out: &mut String, name: &str) {
    let mut parts = name.split(':');
    let channel = parts.next().unwrap_or_default();
    let _ = write!(out, "{{\"arg\":{{\"channel\":\"{channel}\"");
    let keys = if channel == "account" { ["ccy", ""] } else { ["instType", "instId"] };
    for (key, value) in keys.iter().zip(parts) {
        let _ = write!(out, ",\"{key}\":\"{value}\"");
    }
    let _ = write!(out, ",\"uid\":\"{UID}\"}},");
}

/// An order: as it is (REST, with its last fill), or as a transition (stream, with the fill that it is).
pub(super) fn put_order(
    out: &mut String,
    hub: &Hub,
    order: &Order,
    fill: Option<&Fill>,
    transition: Option<(&Change, Option<&str>)>,
) {
    let symbol = hub.market.symbol(order.symbol);
    let (fee_asset, rebate_asset) =
        if order.side == Side::Bid { (&symbol.base, &symbol.quote) } else { (&symbol.quote, &symbol.base) };
    let fee = fee_of(hub, order);
    let size = order.cost_asked.unwrap_or(order.amount);
    let average = if order.filled.is_zero() { String::new() } else { plain(order.cost / order.filled) };
    let _ =
        write!(out, "{{\"instType\":\"SPOT\",\"instId\":\"{}\",\"ordId\":\"{}\",\"clOrdId\":", symbol.name, order.id);
    put_string(out, &order.client_id);
    let _ = write!(
        out,
        ",\"tag\":\"\",\"ccy\":\"\",\"px\":\"{}\",\"sz\":\"{}\",\"tgtCcy\":\"{}\",\"side\":\"{}\",\"posSide\":\"net\",\
         \"tdMode\":\"cash\",\"ordType\":\"{}\",\"state\":\"{}\",\"accFillSz\":\"{}\",\"avgPx\":\"{average}\"",
        order.price.map(plain).unwrap_or_default(),
        plain(size),
        match (order.price, order.cost_asked) {
            (Some(_), _) => "",
            (None, Some(_)) => "quote_ccy",
            (None, None) => "base_ccy",
        },
        side(order.side),
        kind(order),
        state(order),
        plain(order.filled),
    );
    let _ = write!(
        out,
        ",\"fee\":\"{}\",\"feeCcy\":\"{fee_asset}\",\"rebate\":\"0\",\"rebateCcy\":\"{rebate_asset}\",\"pnl\":\"0\",\
         \"lever\":\"\",\"reduceOnly\":\"false\",\"category\":\"normal\",\"source\":\"\",\"cancelSource\":\"{}\",\
         \"cTime\":\"{}\",\"uTime\":\"{}\",\"algoId\":\"\",\"algoClOrdId\":\"\",\"attachAlgoOrds\":[]",
        plain(-fee),
        cancel_source(order),
        order.created_ns / 1_000_000,
        order.updated_ns / 1_000_000,
    );
    match fill {
        Some(fill) => {
            let _ = write!(
                out,
                ",\"fillPx\":\"{}\",\"fillSz\":\"{}\",\"fillTime\":\"{}\",\"tradeId\":\"{}\"",
                plain(fill.price),
                plain(fill.amount),
                fill.time_ns / 1_000_000,
                fill.id
            );
        }
        None => out.push_str(",\"fillPx\":\"\",\"fillSz\":\"0\",\"fillTime\":\"\",\"tradeId\":\"\""),
    }
    if let Some((change, req_id)) = transition {
        let (fee, fee_asset, liquidity) = match fill {
            Some(fill) => (plain(-fill.fee), fill.fee_asset.as_str(), liquidity(fill)),
            None => ("0".to_owned(), "", ""),
        };
        let amended = if matches!(change, Change::Amended { .. }) { "0" } else { "" };
        let _ = write!(
            out,
            ",\"fillFee\":\"{fee}\",\"fillFeeCcy\":\"{fee_asset}\",\"execType\":\"{liquidity}\",\
             \"amendResult\":\"{amended}\",\"code\":\"0\",\"msg\":\"\",\"reqId\":"
        );
        put_string(out, req_id.unwrap_or_default());
    }
    out.push('}');
}

/// What an order paid until it was filled as far as it is: the account may be ahead of it.
fn fee_of(hub: &Hub, order: &Order) -> Decimal {
    let fills: Vec<&Fill> = fills_of(hub, order).collect();
    let (mut filled, mut fee) = (Decimal::ZERO, Decimal::ZERO);
    for fill in fills.into_iter().rev().take_while(|fill| {
        filled += fill.amount;
        filled <= order.filled
    }) {
        fee += fill.fee;
    }
    fee
}

/// The fills of an order that are remembered, newest first.
pub(super) fn fills_of<'a>(hub: &'a Hub, order: &'a Order) -> impl Iterator<Item = &'a Fill> {
    let since = hub.account.fills().rev().take_while(|fill| fill.time_ns >= order.created_ns);
    since.filter(|fill| fill.order_id == order.id)
}

/// `{"instType":"SPOT","instId":"BTC-USDT","tradeId":"123","ordId":"312269865356374016","clOrdId":"b16","billId":"1111","fillPx":"999","fillSz":"3","side":"buy","execType":"M","feeCcy":"BTC","fee":"-0.003","ts":"1597026383085",..}`
pub(super) fn put_fill(out: &mut String, market: &Market, fill: &Fill) {
    let time_ms = fill.time_ns / 1_000_000;
    let _ = write!(
        out,
        "{{\"instType\":\"SPOT\",\"instId\":\"{}\",\"tradeId\":\"{}\",\"ordId\":\"{}\",\"clOrdId\":",
        market.symbol(fill.symbol).name,
        fill.id,
        fill.order_id
    );
    put_string(out, &fill.client_id);
    let _ = write!(
        out,
        ",\"billId\":\"{}\",\"tag\":\"\",\"fillPx\":\"{}\",\"fillSz\":\"{}\",\"fillIdxPx\":\"\",\"side\":\"{}\",\
         \"posSide\":\"net\",\"execType\":\"{}\",\"feeCcy\":\"{}\",\"fee\":\"{}\",\"ts\":\"{time_ms}\",\
         \"fillTime\":\"{time_ms}\"}}",
        fill.id,
        plain(fill.price),
        plain(fill.amount),
        side(fill.side),
        liquidity(fill),
        fill.fee_asset,
        plain(-fill.fee),
    );
}

/// Digits without zeros at the end, and without a sign before a zero.
pub(super) fn plain(value: Decimal) -> String {
    let value = value.normalize();
    if value.is_zero() { "0".to_owned() } else { value.to_string() }
}

pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Bid => "buy",
        Side::Ask => "sell",
    }
}

fn liquidity(fill: &Fill) -> &'static str {
    if fill.maker { "M" } else { "T" }
}

fn kind(order: &Order) -> &'static str {
    match (order.price, order.post_only, order.lasts) {
        (None, ..) => "market",
        (_, true, _) => "post_only",
        (_, _, Lasts::Resting) => "limit",
        (_, _, Lasts::Immediate) => "ioc",
        (_, _, Lasts::AllOrNothing) => "fok",
    }
}

fn state(order: &Order) -> &'static str {
    match order.status {
        Status::Waiting | Status::Open if order.filled.is_zero() => "live",
        Status::Waiting | Status::Open => "partially_filled",
        Status::Filled => "filled",
        Status::Canceled | Status::Expired => "canceled",
    }
}

/// Who ended an order: its owner, or its own terms.
fn cancel_source(order: &Order) -> &'static str {
    match (order.status, order.lasts) {
        (Status::Canceled, _) => "1",
        (Status::Expired, Lasts::AllOrNothing) => "13",
        (Status::Expired, _) => "14",
        _ => "",
    }
}
