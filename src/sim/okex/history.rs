//! What the loopback OKX answers about the account, by signed requests of REST.

use std::fmt::Write as _;

use serde_json::json;

use super::super::account::{Entry, Fill, Order, Reason};
use super::super::hub::Hub;
use super::super::market::Side;
use super::orders::find;
use super::private::{fills_of, plain, put_balances, put_fill, put_order, side};
use super::rest::{Answer, Handler, Query, inst_type, joined};

/// Rows of one answer, at most.
const ROWS_MAX: u64 = 100;

/// All of it is read by GET.
pub(super) const ROUTES: [(&str, Handler); 15] = [
    ("/api/v5/trade/order", order),
    ("/api/v5/trade/orders-pending", orders_pending),
    ("/api/v5/trade/orders-history", orders_history),
    ("/api/v5/trade/orders-history-archive", orders_history),
    ("/api/v5/trade/fills", fills),
    ("/api/v5/trade/fills-history", fills),
    ("/api/v5/account/balance", balance),
    ("/api/v5/account/positions", none),
    ("/api/v5/account/bills", bills),
    ("/api/v5/account/bills-archive", bills),
    ("/api/v5/account/trade-fee", trade_fee),
    ("/api/v5/account/config", config),
    ("/api/v5/asset/balances", none),
    ("/api/v5/asset/deposit-history", none),
    ("/api/v5/asset/withdrawal-history", none),
];

fn none(_hub: &mut Hub, _query: &Query<'_>) -> Answer {
    Ok(String::new())
}

/// One order by `ordId` or `clOrdId`.
fn order(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let symbol = query.symbol(hub)?;
    let arg = json!({"ordId": query.value("ordId"), "clOrdId": query.value("clOrdId")});
    let order = find(hub, symbol, &arg)?.ok_or_else(|| (51603, "Order does not exist.".to_owned()))?;
    let mut out = String::new();
    put_order(&mut out, hub, order, fills_of(hub, order).next(), None);
    Ok(out)
}

/// Which rows of a list are asked for, the newest first: `after` a number means older than it, `before` newer.
struct Page<'a> {
    symbol: Option<usize>,
    /// There is nothing but spot.
    is_spot: bool,
    order_id: Option<u64>,
    currency: Option<&'a str>,
    after: Option<u64>,
    before: Option<u64>,
    begin_ms: Option<u64>,
    end_ms: Option<u64>,
    limit: usize,
}

impl<'a> Page<'a> {
    fn of(hub: &Hub, query: &'a Query<'_>) -> Result<Page<'a>, (u32, String)> {
        Ok(Page {
            symbol: query.value("instId").map(|_| query.symbol(hub)).transpose()?,
            is_spot: query.value("instType").map(|_| inst_type(query)).transpose()?.is_none_or(|kind| kind == "SPOT"),
            order_id: query.number("ordId")?,
            currency: query.value("ccy"),
            after: query.number("after")?,
            before: query.number("before")?,
            begin_ms: query.number("begin")?,
            end_ms: query.number("end")?,
            limit: query.number("limit")?.unwrap_or(ROWS_MAX).clamp(1, ROWS_MAX) as usize,
        })
    }

    fn has(&self, id: u64, time_ns: u64) -> bool {
        let time_ms = time_ns / 1_000_000;
        self.is_spot
            && self.after.is_none_or(|after| id < after)
            && self.before.is_none_or(|before| id > before)
            && self.begin_ms.is_none_or(|begin_ms| time_ms >= begin_ms)
            && self.end_ms.is_none_or(|end_ms| time_ms <= end_ms)
    }

    fn orders(&self, hub: &Hub, wanted: impl Fn(&Order) -> bool) -> String {
        let rows = hub.account.orders().rev().filter(|order| {
            wanted(order)
                && self.has(order.id, order.created_ns)
                && self.symbol.is_none_or(|symbol| symbol == order.symbol)
        });
        joined(rows.take(self.limit), |out, order| put_order(out, hub, order, fills_of(hub, order).next(), None))
    }
}

fn orders_pending(hub: &mut Hub, query: &Query<'_>) -> Answer {
    Ok(Page::of(hub, query)?.orders(hub, |order| order.status.is_open()))
}

fn orders_history(hub: &mut Hub, query: &Query<'_>) -> Answer {
    query.needed("instType")?;
    Ok(Page::of(hub, query)?.orders(hub, |order| !order.status.is_open()))
}

fn fills(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let page = Page::of(hub, query)?;
    let wanted = |fill: &&Fill| {
        page.has(fill.id, fill.time_ns)
            && page.symbol.is_none_or(|symbol| symbol == fill.symbol)
            && page.order_id.is_none_or(|id| id == fill.order_id)
    };
    let rows = hub.account.fills().rev().filter(wanted).take(page.limit);
    Ok(joined(rows, |out, fill| put_fill(out, &hub.market, fill)))
}

/// All that is held, or the currencies of `ccy`, separated by commas.
fn balance(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let wanted = query.value("ccy").map(|wanted| wanted.replace("%2C", ","));
    let is_wanted = |asset: &str| wanted.as_deref().is_none_or(|wanted| wanted.split(',').any(|one| one == asset));
    let balances: Vec<_> = hub.account.balances().filter(|balance| is_wanted(&balance.asset)).collect();
    let mut out = String::new();
    put_balances(&mut out, hub.now_ns(), balances.iter());
    Ok(out)
}

/// Changes of balances. A fill makes one for each of its two currencies; the fee is in that of the currency that pays it.
fn bills(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let page = Page::of(hub, query)?;
    let kind = query.value("type");
    let entries: Vec<&Entry> = hub.account.ledger().collect();
    let mut rows: Vec<(&Entry, Option<&Entry>)> = Vec::new();
    for entry in entries {
        match (entry.reason, rows.iter_mut().rev().take(2).find(|(other, _)| other.asset == entry.asset)) {
            (Reason::Fee(fill), Some((other, fee))) if other.reason == Reason::Trade(fill) => *fee = Some(entry),
            _ => rows.push((entry, None)),
        }
    }
    let wanted = |(entry, _): &(&Entry, Option<&Entry>)| {
        let its_kind = if entry.reason == Reason::Transfer { "1" } else { "2" };
        page.has(entry.id, entry.time_ns)
            && page.currency.is_none_or(|currency| currency == entry.asset)
            && kind.is_none_or(|kind| kind == its_kind)
    };
    let rows = rows.into_iter().rev().filter(wanted).take(page.limit);
    Ok(joined(rows, |out, (entry, fee)| put_bill(out, hub, entry, fee)))
}

/// `{"billId":"623950854533513219","ccy":"USDT","bal":"8694.2179","balChg":"-99.3","type":"2","subType":"1","ts":"1695033476167","fee":"0","instType":"SPOT","instId":"BTC-USDT","ordId":"62394","tradeId":"5","px":"..","sz":"..",..}`
fn put_bill(out: &mut String, hub: &Hub, entry: &Entry, fee: Option<&Entry>) {
    let fill = match entry.reason {
        Reason::Trade(id) | Reason::Fee(id) => hub.account.fills().rev().find(|fill| fill.id == id),
        Reason::Transfer => None,
    };
    let change = entry.change + fee.map(|fee| fee.change).unwrap_or_default();
    let time_ms = entry.time_ns / 1_000_000;
    let (kind, sub_kind) = match (entry.reason, fill.map(|fill| fill.side)) {
        (Reason::Transfer, _) => ("1", if change.is_sign_negative() { "12" } else { "11" }),
        (_, Some(Side::Bid)) => ("2", "1"),
        _ => ("2", "2"),
    };
    let _ = write!(
        out,
        "{{\"billId\":\"{}\",\"ccy\":\"{}\",\"bal\":\"{}\",\"balChg\":\"{}\",\"posBal\":\"0\",\"posBalChg\":\"0\",\
         \"type\":\"{kind}\",\"subType\":\"{sub_kind}\",\"ts\":\"{time_ms}\",\"fillTime\":\"{time_ms}\",\
         \"fee\":\"{}\",\"pnl\":\"0\",\"interest\":\"0\",\"mgnMode\":\"\",\"from\":\"\",\"to\":\"\",\"notes\":\"\",\
         \"sz\":\"{}\"",
        entry.id,
        entry.asset,
        plain(fee.map_or(entry.after, |fee| fee.after)),
        plain(change),
        plain(fee.map(|fee| fee.change).unwrap_or_default()),
        plain(entry.change.abs()),
    );
    match fill {
        Some(fill) => {
            let _ = write!(
                out,
                ",\"instType\":\"SPOT\",\"instId\":\"{}\",\"ordId\":\"{}\",\"clOrdId\":\"{}\",\"tradeId\":\"{}\",\
                 \"px\":\"{}\",\"side\":\"{}\",\"execType\":\"{}\"}}",
                hub.market.symbol(fill.symbol).name,
                fill.order_id,
                fill.client_id,
                fill.id,
                plain(fill.price),
                side(fill.side),
                if fill.maker { "M" } else { "T" },
            );
        }
        None => out.push_str(
            ",\"instType\":\"\",\"instId\":\"\",\"ordId\":\"\",\"clOrdId\":\"\",\"tradeId\":\"\",\"px\":\"\",\
             \"side\":\"\",\"execType\":\"\"}",
        ),
    }
}

/// `{"category":"1","instType":"SPOT","level":"Lv1","maker":"-0.0008","taker":"-0.001","ts":"1608623351857",..}`: what
/// is paid is negative.
fn trade_fee(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let inst_type = inst_type(query)?;
    query.value("instId").map(|_| query.symbol(hub)).transpose()?;
    let fees = hub.account.config();
    let (maker, taker) = (plain(-fees.maker_fee), plain(-fees.taker_fee));
    Ok(format!(
        "{{\"category\":\"1\",\"instType\":\"{inst_type}\",\"level\":\"Lv1\",\"maker\":\"{maker}\",\"taker\":\"{taker}\",\
         \"makerU\":\"\",\"takerU\":\"\",\"makerUSDC\":\"\",\"takerUSDC\":\"\",\"delivery\":\"\",\"exercise\":\"\",\
         \"ts\":\"{}\"}}",
        hub.now_ns() / 1_000_000
    ))
}

/// What kind of account it is: the one that only pays cash.
fn config(_hub: &mut Hub, _query: &Query<'_>) -> Answer {
    Ok("{\"uid\":\"1\",\"mainUid\":\"1\",\"acctLv\":\"1\",\"posMode\":\"net_mode\",\"autoLoan\":false,\"level\":\"Lv1\",\
        \"perm\":\"read_only,trade\"}"
        .to_owned())
}
