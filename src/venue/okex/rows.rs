//! Rows that the private socket and REST have in common: orders, fills, balances and positions.
//!
//! An empty string stands for nothing everywhere, and charges are negative.

use rust_decimal::Decimal;

use super::rest::refused;
use crate::json::Node;
use crate::market::{Market, MarketKind};
use crate::model::{
    Balance, Code, Currency, Fee, LedgerEntry, LedgerKind, Liquidity, MyTrade, OrderKind, OrderStatus, Position,
    PositionSide, TakerSide, TimeInForce, TradingFee, Transaction, TransactionKind, TransactionStatus,
};
use crate::venue::trading::{Context, Members, OrderRow, code};

/// A row of the channel `orders` or of `/api/v5/trade/order`. `None` if it does not say which order it is about.
pub(super) fn order(row: Node<'_>, venue: &'static str, cx: &Context<'_>) -> Option<OrderRow> {
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
        code => Some(refused(code, row.text("msg"), venue).of_order()),
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
        // Before the first fill the currency is a guess of the venue's.
        fee: fee(row, "fee", "feeCcy").filter(|fee| !fee.cost.is_zero()),
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

pub(super) fn transaction(kind: TransactionKind, row: Node<'_>) -> Option<Transaction> {
    use TransactionStatus::{Canceled, Failed, Ok, Pending};
    let text = |key: &str| Some(row.text(key)).filter(|text| !text.is_empty()).map(Into::into);
    let (id, status) = match kind {
        TransactionKind::Deposit => ("depId", if row.text("state") == "2" { Ok } else { Pending }),
        TransactionKind::Withdrawal => (
            "wdId",
            match row.text("state") {
                "2" => Ok,
                "-1" => Failed,
                "-2" => Canceled,
                _ => Pending,
            },
        ),
    };
    let fee = row.money("fee").filter(|_| kind == TransactionKind::Withdrawal).map(|cost| {
        let currency = if row.text("feeCcy").is_empty() { row.text("ccy") } else { row.text("feeCcy") };
        Fee { currency: code(currency), cost }
    });
    Some(Transaction {
        txid: text("txId"),
        network: text("chain"),
        status,
        address: text("to"),
        tag: text("tag").or_else(|| text("pmtId")).or_else(|| text("memo")),
        fee,
        created: row.ms("ts"),
        ..Transaction::new(row.id(id), kind, code(row.text("ccy")), row.money("amt")?)
    })
}

/// `{"bal":"8694.2","balChg":"0.0219","billId":"623950854533513219","ccy":"USDT","fee":"-0.00002","ordId":"..","type":"2",
/// "ts":"1695033476167"}`: the change includes the fee.
pub(super) fn ledger_entry(row: Node<'_>) -> Option<LedgerEntry> {
    let kind = match row.text("type") {
        "1" | "6" | "12" => LedgerKind::Transfer,
        "2" | "3" | "5" | "9" | "10" | "14" | "24" | "27" | "28" | "30" => LedgerKind::Trade,
        "7" | "8" => LedgerKind::Fee,
        "15" | "16" | "22" => LedgerKind::Margin,
        _ => LedgerKind::Other,
    };
    let [trade, order] = ["tradeId", "ordId"].map(|key| row.id(key));
    Some(LedgerEntry {
        reference: if trade.is_none() || trade.as_str() == "0" { order } else { trade },
        after: row.money("bal"),
        fee: row.money("fee").map(|fee| Decimal::ZERO - fee),
        venue_time: row.ms("ts"),
        ..LedgerEntry::new(row.id("billId"), kind, code(row.text("ccy")), row.money("balChg")?)
    })
}

/// `{"instType":"SPOT","maker":"-0.0008","taker":"-0.001","makerU":"","takerU":"","makerUSDC":"-0.0006",
/// "takerUSDC":"-0.0009","fiat":[{"ccy":"EUR","maker":"..","taker":".."}]}`: which of them holds depends on the currency.
pub(super) fn trading_fee(row: Node<'_>, market: &Market) -> Option<TradingFee> {
    let is_spot = market.kind == MarketKind::Spot;
    let currency: &str = market.settle.as_deref().unwrap_or(&market.quote);
    let fiat = row.get("fiat").into_iter().flat_map(Node::iter).find(|fiat| fiat.text("ccy") == currency);
    let (row, suffix) = match (fiat, currency) {
        (Some(fiat), _) => (fiat, ""),
        (None, "USDT") => (row, if is_spot { "" } else { "U" }),
        (None, "USDC") => (row, "USDC"),
        (None, _) => (row, if is_spot { "USDC" } else { "" }),
    };
    let rate = |name: &str| {
        let rate = row.money(&format!("{name}{suffix}")).or_else(|| row.money(name))?;
        Some(Decimal::ZERO - rate)
    };
    Some(TradingFee { market: Some(market.id), maker: rate("maker")?, taker: rate("taker")? })
}

/// A row for each network of each currency.
pub(super) fn currencies(data: Node<'_>) -> Vec<Currency> {
    let mut list: Vec<Currency> = Vec::new();
    for row in data.iter() {
        let spelling = row.text("ccy");
        let unified = code(spelling);
        if unified.is_none() {
            continue;
        }
        let at = list.iter().rposition(|currency| currency.code == unified).unwrap_or_else(|| {
            list.push(Currency::new(unified, spelling));
            list.len() - 1
        });
        let currency = &mut list[at];
        let name = row.text("name");
        if !name.is_empty() {
            currency.name = Some(name.into());
        }
        for (known, key) in [(&mut currency.deposit, "canDep"), (&mut currency.withdraw, "canWd")] {
            let here = row.get(key).and_then(|node| node.bool().ok());
            *known = (*known).max(here);
        }
        let digits = row.get("wdTickSz").and_then(|node| u8::try_from(node.u64().ok()?).ok());
        currency.scale = currency.scale.max(digits);
    }
    list
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
