//! Orders of the loopback OKX: what the private socket and REST take alike.

use std::fmt::Write as _;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::Value;

use super::super::account::{self, Amend, Amount, Lasts, NewOrder, Order, Status};
use super::super::hub::Hub;
use super::super::market::Side;
use super::super::text::put_string;
use super::{Okex, frames};

/// Orders of one batch.
pub(super) const BATCH_MAX: usize = 20;

/// What is to be done with each argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Place,
    Cancel,
    Amend,
}

/// The operations of the socket and the paths of REST below `/api/v5/trade/`: what to do, and whether with several.
pub(super) const OPS: [(&str, &str, Op, bool); 6] = [
    ("order", "/api/v5/trade/order", Op::Place, false),
    ("batch-orders", "/api/v5/trade/batch-orders", Op::Place, true),
    ("cancel-order", "/api/v5/trade/cancel-order", Op::Cancel, false),
    ("batch-cancel-orders", "/api/v5/trade/cancel-batch-orders", Op::Cancel, true),
    ("amend-order", "/api/v5/trade/amend-order", Op::Amend, false),
    ("batch-amend-orders", "/api/v5/trade/amend-batch-orders", Op::Amend, true),
];

/// A code, and the words that belong to it.
type Wrong = (u32, String);

impl Okex {
    /// Does an operation with each of its arguments. Gives the inner of the answer:
    /// `"data":[{"ordId":"12345689","clOrdId":"b15","tag":"","ts":"1695190491421","sCode":"0","sMsg":""}],"code":"0","msg":""`
    pub(super) fn carry_out(&mut self, hub: &mut Hub, op: Op, args: &[Value]) -> String {
        let mut out = String::from("\"data\":[");
        let mut failed = 0;
        for (at, arg) in args.iter().enumerate() {
            let done = match op {
                Op::Place => place(hub, arg),
                Op::Cancel => cancel(hub, arg),
                Op::Amend => self.amend(hub, arg),
            };
            failed += usize::from(done.is_err());
            if at > 0 {
                out.push(',');
            }
            let (code, words) = done.as_ref().err().map_or((0, ""), |(code, words)| (*code, words));
            let id = done.as_ref().map_or_else(|_| text(arg, "ordId").to_owned(), u64::to_string);
            out.push_str("{\"ordId\":");
            put_string(&mut out, &id);
            for name in ["clOrdId", "tag", "reqId"] {
                let _ = write!(out, ",\"{name}\":");
                put_string(&mut out, text(arg, name));
            }
            let _ = write!(out, ",\"ts\":\"{}\",\"sCode\":\"{code}\",\"sMsg\":", hub.now_ns() / 1_000_000);
            put_string(&mut out, words);
            out.push('}');
        }
        let (code, words) = match failed {
            0 => (0, ""),
            failed if failed == args.len() => (1, "All operations failed"),
            _ => (2, "Bulk operation partially succeeded."),
        };
        let _ = write!(out, "],\"code\":\"{code}\",\"msg\":\"{words}\"");
        out
    }

    /// `{"instId":"BTC-USDT","ordId":"590909145319051111","newSz":"2","newPx":"30000","reqId":"b12344"}`
    fn amend(&mut self, hub: &mut Hub, arg: &Value) -> Result<u64, Wrong> {
        let symbol = spot(hub, arg)?;
        let order = find(hub, symbol, arg)?.ok_or((51503, "Your order doesn't exist.".to_owned()))?;
        let id = order.id;
        let amend = Amend { price: number(arg, "newPx")?, amount: number(arg, "newSz")?, client_id: None };
        if amend.price.is_none() && amend.amount.is_none() {
            return Err((50014, "Parameter newSz or newPx can not be empty".to_owned()));
        }
        let now_ns = hub.now_ns();
        self.amended_by = Some((id, text(arg, "reqId").to_owned()));
        hub.account.amend(&hub.market, now_ns, id, amend).map_err(|refusal| match refusal {
            account::Refusal::Ended => (51509, "Modification failed as the order has ended.".to_owned()),
            other => refused(other),
        })?;
        Ok(id)
    }
}

/// `{"instIdCode":10459,"tdMode":"cash","side":"buy","ordType":"limit","px":"42000.5","sz":"0.01","clOrdId":"b15"}`
fn place(hub: &mut Hub, arg: &Value) -> Result<u64, Wrong> {
    let symbol = spot(hub, arg)?;
    if text(arg, "tdMode") != "cash" {
        return Err(bad("tdMode"));
    }
    let side = match text(arg, "side") {
        "buy" => Side::Bid,
        "sell" => Side::Ask,
        _ => return Err(bad("side")),
    };
    let (limited, lasts, post_only) = match text(arg, "ordType") {
        "market" => (false, Lasts::Immediate, false),
        "limit" => (true, Lasts::Resting, false),
        "post_only" => (true, Lasts::Resting, true),
        "ioc" => (true, Lasts::Immediate, false),
        "fok" => (true, Lasts::AllOrNothing, false),
        _ => return Err(bad("ordType")),
    };
    let size = number(arg, "sz")?.ok_or_else(|| bad("sz"))?;
    let price = if limited { Some(number(arg, "px")?.ok_or_else(|| bad("px"))?) } else { None };
    let amount = match (limited, text(arg, "tgtCcy"), side) {
        // What a market order buys is counted in what it costs, unless it says otherwise.
        (false, "quote_ccy", _) | (false, "", Side::Bid) => Amount::Cost(size),
        (_, "base_ccy" | "", _) | (true, "quote_ccy", _) => Amount::Base(size),
        _ => return Err(bad("tgtCcy")),
    };
    let client_id = text(arg, "clOrdId").to_owned();
    if client_id.len() > 32 || !client_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(bad("clOrdId"));
    }
    let new = NewOrder { symbol, side, price, amount, lasts, post_only, stop: None, client_id };
    let now_ns = hub.now_ns();
    hub.account.place(&hub.market, now_ns, new).map_err(refused)
}

/// `{"instId":"BTC-USDT","ordId":"590909145319051111"}`
fn cancel(hub: &mut Hub, arg: &Value) -> Result<u64, Wrong> {
    let symbol = spot(hub, arg)?;
    let gone =
        |code| (code, "Cancellation failed as the order has been filled, canceled or does not exist.".to_owned());
    let order = find(hub, symbol, arg)?.ok_or_else(|| gone(51400))?;
    let (id, status) = (order.id, order.status);
    let now_ns = hub.now_ns();
    let canceled = hub.account.cancel(&hub.market, now_ns, id);
    canceled.map(|()| id).map_err(|_| gone(if status == Status::Filled { 51402 } else { 51401 }))
}

/// The order that an argument names by the venue's number or by the client's name.
pub(super) fn find<'a>(hub: &'a Hub, symbol: usize, arg: &Value) -> Result<Option<&'a Order>, Wrong> {
    let order = match (text(arg, "ordId"), text(arg, "clOrdId")) {
        ("", "") => return Err((50014, "Parameter ordId or clOrdId can not be empty".to_owned())),
        ("", client_id) => hub.account.order_named(client_id),
        (id, _) => id.parse().ok().and_then(|id| hub.account.order(id)),
    };
    Ok(order.filter(|order| order.symbol == symbol))
}

/// The market of an argument, by its name or its number. Derivatives are not for an account that only pays cash.
fn spot(hub: &Hub, arg: &Value) -> Result<usize, Wrong> {
    let code = arg.get("instIdCode").and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let symbol = match code {
        Some(code) => (0..hub.market.len()).find(|index| frames::inst_code(*index) as u64 == code),
        None => hub.market.index(text(arg, "instId")),
    };
    let symbol = symbol.ok_or_else(|| (51001, "Instrument ID doesn't exist.".to_owned()))?;
    if frames::inst_type(hub.market.symbol(symbol)) == "SPOT" {
        Ok(symbol)
    } else {
        Err((51010, "You can't complete this request under your current account mode.".to_owned()))
    }
}

/// A member that is text, empty where it is none.
fn text<'a>(arg: &'a Value, name: &str) -> &'a str {
    arg.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A number in quotes; none where it is missing.
fn number(arg: &Value, name: &str) -> Result<Option<Decimal>, Wrong> {
    match arg.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => {
            // Plain digits and one point: no sign, no exponent, no separators.
            let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            Decimal::from_str(text).ok().filter(|_| plain).map(Some).ok_or_else(|| bad(name))
        }
        Some(_) => Err(bad(name)),
    }
}

fn bad(name: &str) -> Wrong {
    (51000, format!("Parameter {name} error"))
}

fn refused(refusal: account::Refusal) -> Wrong {
    let (code, words) = match refusal {
        account::Refusal::Symbol => (51001, "Instrument ID doesn't exist."),
        account::Refusal::Price => (51000, "Parameter px error"),
        account::Refusal::Amount => (51121, "Order quantity must be a multiple of the lot size."),
        account::Refusal::Cost => (51020, "Your order should meet or exceed the minimum order amount."),
        account::Refusal::Combination | account::Refusal::WouldTrigger => (51000, "Parameter ordType error"),
        account::Refusal::Funds => (51008, "Order failed. Insufficient balance in account."),
        account::Refusal::Duplicate => (51016, "Duplicated client order ID."),
        account::Refusal::WouldMatch => (51006, "Order price is not within the price limit."),
        account::Refusal::Unknown | account::Refusal::Ended => (51603, "Order does not exist."),
        account::Refusal::TooMany => (51004, "Order failed. The number of open orders exceeds the limit."),
    };
    (code, words.to_owned())
}
