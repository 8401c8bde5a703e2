//! Rows that the private socket and REST have in common: orders, fills, balances and positions.
//!
//! An empty string stands for nothing everywhere, and charges are negative.

use rust_decimal::Decimal;

use crate::error::Error;
use crate::json::Node;
use crate::market::Market;
use crate::model::{
    Balance, Code, Fee, Liquidity, MyTrade, OrderKind, OrderStatus, Position, PositionSide, TakerSide, TimeInForce,
};
use crate::venue::shared::cut;
use crate::venue::trading::{Context, Members, OrderRow, code};

use super::rest::kind_of;

/// A row of the channel `orders` or of `/api/v5/trade/order`. `None` if it does not say which order it is about.
pub(super) fn order(row: Node<'_>, cx: &Context<'_>) -> Option<OrderRow> {
    let (id, client_order_id) = (row.id("ordId"), row.id("clOrdId"));
    if id.is_none() && client_order_id.is_none() {
        return None;
    }
    let (kind, post_only, time_in_force) = kind(row.text("ordType"));
    // A market order may be over an amount of the quote currency.
    let is_cost = row.text("tgtCcy") == "quote_ccy" && row.text("ordType") == "market";
    let size = row.number("sz");
    let status = status(row.text("state"));
    // The same members tell how a change of the order went, which says nothing about the order itself.
    let error = match row.text("code") {
        "" | "0" => None,
        _ if status != Some(OrderStatus::Canceled) => None,
        code => Some(Error::new(kind_of(code), cut(row.text("msg"))).with_code(code).of_order()),
    };
    Some(OrderRow {
        id,
        client_order_id,
        market: cx.market_of(row.text("instId")),
        status,
        side: side(row),
        kind,
        time_in_force,
        post_only,
        reduce_only: flag(row, "reduceOnly"),
        price: row.positive("px"),
        trigger_price: None,
        amount: size.filter(|_| !is_cost),
        cost_ordered: size.filter(|_| is_cost),
        filled: row.number("accFillSz"),
        cost: None,
        average: row.money("avgPx").filter(|price| !price.is_zero()),
        fee: fee(row, "fee", "feeCcy"),
        created: row.ms("cTime"),
        updated: row.ms("uTime"),
        last_trade: row.ms("fillTime"),
        error,
    })
}

/// The fill in a row of the channel `orders`, where the fee is `fillFee`, or of `/api/v5/trade/fills`, where it is `fee`.
/// `None` if the row is about something else.
pub(super) fn my_trade(row: Node<'_>, fee_key: &str, fee_currency_key: &str, cx: &Context<'_>) -> Option<MyTrade> {
    let id = row.id("tradeId");
    if id.is_none() {
        return None;
    }
    Some(MyTrade {
        id,
        order: row.id("ordId"),
        market: cx.market_of(row.text("instId")),
        venue_time: row.ms("fillTime").or_else(|| row.ms("ts")),
        side: side(row)?,
        price: row.number("fillPx")?,
        amount: row.positive("fillSz")?,
        cost: None,
        liquidity: match row.text("execType") {
            "M" => Some(Liquidity::Maker),
            "T" => Some(Liquidity::Taker),
            _ => None,
        },
        fee: fee(row, fee_key, fee_currency_key),
        backfilled: false,
    })
}

/// One of the `details` of the channel `account` or of `/api/v5/account/balance`.
pub(super) fn balance(row: Node<'_>) -> Option<Balance> {
    let currency = code(row.text("ccy"));
    if currency.is_none() {
        return None;
    }
    let (free, used) = match row.money("availEq") {
        Some(free) => (Some(free), None),
        // What modes of the account without equity of their own have instead.
        None => (row.money("availBal"), row.money("frozenBal")),
    };
    let debt = row.money("liab").map(|debt| debt.abs());
    Some(Balance { currency, free, used, total: row.money("eq"), debt }.completed())
}

/// A row of the channel `positions` or of `/api/v5/account/positions`.
pub(super) fn position(row: Node<'_>, cx: &Context<'_>) -> Option<Position> {
    let size = row.money("pos")?;
    let market = cx.markets.by_venue_symbol(row.text("instId"));
    let mark_price = row.money("markPx");
    let isolated = match row.text("mgnMode") {
        "isolated" => Some(true),
        "cross" => Some(false),
        _ => None,
    };
    let initial_margin = row.money("imr");
    let unrealized_pnl = row.money("upl");
    let margin = if isolated == Some(true) { row.money("margin") } else { initial_margin };
    let side = match row.text("posSide") {
        _ if size.is_zero() => None,
        "long" => Some(PositionSide::Long),
        "short" => Some(PositionSide::Short),
        _ if size.is_sign_negative() => Some(PositionSide::Short),
        _ => Some(PositionSide::Long),
    };
    let contracts = size.abs();
    Some(Position {
        id: row.id("posId"),
        market: market.map(|market| market.id),
        side,
        hedged: matches!(row.text("posSide"), "long" | "short"),
        contracts,
        notional: match market.filter(|market| is_inverse(market)) {
            Some(market) => worth_in_base(contracts, market, mark_price),
            None => row.money("notionalUsd"),
        },
        entry_price: row.money("avgPx"),
        mark_price,
        liquidation_price: row.money("liqPx"),
        leverage: row.money("lever"),
        isolated,
        collateral: margin.zip(unrealized_pnl).and_then(|(margin, profit)| margin.checked_add(profit)),
        initial_margin,
        maintenance_margin: row.money("mmr"),
        unrealized_pnl,
        realized_pnl: row.money("realizedPnl"),
        updated: row.ms("uTime"),
    })
}

/// What a charge of `key` costs; the venue writes charges as negative numbers.
pub(super) fn fee(row: Node<'_>, key: &str, currency_key: &str) -> Option<Fee> {
    let currency = code(row.text(currency_key));
    let cost = Decimal::ZERO - row.money(key)?;
    (currency != Code::NONE).then_some(Fee { currency, cost })
}

/// `buy` or `sell`.
pub(super) fn side(row: Node<'_>) -> Option<TakerSide> {
    match row.text("side") {
        "buy" => Some(TakerSide::Buy),
        "sell" => Some(TakerSide::Sell),
        _ => None,
    }
}

/// The states of orders, those of triggered ones among them.
fn status(state: &str) -> Option<OrderStatus> {
    match state {
        "live" | "partially_filled" | "partially_effective" => Some(OrderStatus::Open),
        "filled" | "effective" => Some(OrderStatus::Closed),
        "canceled" | "mmp_canceled" | "order_failed" => Some(OrderStatus::Canceled),
        _ => None,
    }
}

/// Kind, post-only and time in force are one word here.
fn kind(word: &str) -> (Option<OrderKind>, Option<bool>, Option<TimeInForce>) {
    use OrderKind::{Limit, Market};
    match word {
        "limit" | "mmp" => (Some(Limit), Some(false), None),
        "market" => (Some(Market), Some(false), None),
        "post_only" | "rpi" | "mmp_and_post_only" => (Some(Limit), Some(true), None),
        "fok" => (Some(Limit), Some(false), Some(TimeInForce::Fok)),
        "ioc" => (Some(Limit), Some(false), Some(TimeInForce::Ioc)),
        "optimal_limit_ioc" => (Some(Market), Some(false), Some(TimeInForce::Ioc)),
        _ => (None, None, None),
    }
}

/// `"true"` or `true`.
fn flag(row: Node<'_>, key: &str) -> Option<bool> {
    let node = row.get(key)?;
    node.bool().ok().or_else(|| node.str().ok()?.parse().ok())
}

/// A contract that is settled in what it is about.
fn is_inverse(market: &Market) -> bool {
    market.settle.as_ref() == Some(&market.base)
}

fn worth_in_base(contracts: Decimal, market: &Market, mark_price: Option<Decimal>) -> Option<Decimal> {
    contracts.checked_mul(market.contract_size?.into())?.checked_div(mark_price?)
}
