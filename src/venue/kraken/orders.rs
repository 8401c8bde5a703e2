//! Requests about orders, as version 2 of the socket wants them: numbers are bare, and exact.
//!
//! Nothing is allocated but for refusals.

use super::names::push_v2_symbol;
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::model::{Id, Order, OrderKind, TakerSide, TimeInForce};
use crate::venue::trading::{Context, is_uuid, unsupported};
use crate::venue::written::{flag, key, number, text};

/// The beginning of any request, up to its first parameter.
pub(super) fn begin(method: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"method":""#);
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(br#"","params":{"#);
}

/// The end of any request.
pub(super) fn end(token: &str, number: u64, out: &mut Vec<u8>) {
    text("token", token, out);
    out.push(b'}');
    key("req_id", out);
    out.extend_from_slice(Id::of_u64(number).as_str().as_bytes());
    out.push(b'}');
}

/// `{"method":"add_order","params":{"order_type":"limit","side":"buy","order_qty":1.2,"symbol":"BTC/USD",
/// "limit_price":26500.4,"time_in_force":"gtc","post_only":true,"cl_ord_id":"..","token":".."},"req_id":123}`
pub(super) fn create(order: &Order, cx: &Context<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let Some(market) = order.market else { return Err(Error::new(ErrorKind::BadSymbol, "an order needs a market")) };
    let market = cx.market(market)?;
    begin("add_order", out);
    let order_type = match order.kind {
        OrderKind::Limit => "limit",
        OrderKind::Market => "market",
        OrderKind::Stop => "stop-loss",
        OrderKind::StopLimit => "stop-loss-limit",
        OrderKind::TakeProfit => "take-profit",
        OrderKind::TakeProfitLimit => "take-profit-limit",
    };
    text("order_type", order_type, out);
    text("side", order.side.as_str(), out);
    match (order.amount, order.cost_ordered) {
        (Some(amount), _) => number("order_qty", amount, out),
        (None, Some(cost)) if order.kind == OrderKind::Market && order.side == TakerSide::Buy => {
            number("cash_order_qty", cost, out);
        }
        (None, Some(_)) => return Err(unsupported("takes a cost in place of an amount only to buy at the market")),
        (None, None) => return Err(Error::new(ErrorKind::ArgumentsRequired, "an order needs an amount")),
    }
    key("symbol", out);
    out.push(b'"');
    push_v2_symbol(&market.venue_symbol, out);
    out.push(b'"');
    if order.kind.has_price() {
        number("limit_price", required(order.price, "needs a price")?, out);
    }
    if order.kind.has_trigger() {
        let trigger = required(order.trigger_price, "needs a trigger price")?;
        key("triggers", out);
        out.push(b'{');
        text("reference", "last", out);
        number("price", trigger, out);
        text("price_type", "static", out);
        out.push(b'}');
    }
    match order.time_in_force {
        None => {}
        Some(TimeInForce::Gtc) => text("time_in_force", "gtc", out),
        Some(TimeInForce::Ioc) => text("time_in_force", "ioc", out),
        Some(TimeInForce::Fok) => {
            return Err(unsupported("has no fill-or-kill orders on the socket; IOC comes nearest"));
        }
        Some(TimeInForce::Gtd) => {
            return Err(unsupported("wants the time of expiry of a GTD order, which is not kept"));
        }
    }
    if order.post_only {
        flag("post_only", out);
    }
    if order.reduce_only {
        // Only what is held on margin can be reduced.
        flag("margin", out);
        flag("reduce_only", out);
    }
    if !order.client_order_id.is_none() {
        text("cl_ord_id", client_order_id(&order.client_order_id)?, out);
    }
    Ok(())
}

/// `{"method":"amend_order","params":{"order_id":"..","order_qty":1.2,"limit_price":26500.4,"token":".."},"req_id":1}`. The
/// order keeps its ids. The amount is that of the whole order here too.
pub(super) fn edit(order: &Order, price: Option<Fixed>, amount: Option<Fixed>, out: &mut Vec<u8>) -> Result<(), Error> {
    begin("amend_order", out);
    if !order.id.is_none() {
        text("order_id", order.id.as_str(), out);
    } else {
        text("cl_ord_id", client_order_id(&order.client_order_id)?, out);
    }
    // Older descriptions of the request do not do without.
    if let Some(amount) = amount.or(order.amount) {
        number("order_qty", amount, out);
    }
    if let Some(price) = price {
        number("limit_price", price, out);
        if order.post_only {
            flag("post_only", out);
        }
    }
    Ok(())
}

/// `{"method":"cancel_order","params":{"order_id":[".."],"token":".."},"req_id":1}`
pub(super) fn cancel(order: &Order, out: &mut Vec<u8>) -> Result<(), Error> {
    begin("cancel_order", out);
    let (name, id) = if !order.id.is_none() {
        ("order_id", order.id.as_str())
    } else {
        ("cl_ord_id", client_order_id(&order.client_order_id)?)
    };
    key(name, out);
    out.extend_from_slice(b"[\"");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\"]");
    Ok(())
}

/// Our id, if it is one that Kraken takes.
fn client_order_id(id: &Id) -> Result<&str, Error> {
    let text = id.as_str();
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = match text.len() {
        32 => is_hex(text),
        _ => is_uuid(text),
    };
    let is_free_text = (1..=18).contains(&text.len()) && !text.contains(['"', '\\']);
    if is_uuid || is_free_text {
        return Ok(text);
    }
    let message = "a client order id is a UUID or has at most 18 characters, without quotes and backslashes";
    Err(Error::new(ErrorKind::InvalidOrder, message))
}

fn required(number: Option<Fixed>, message: &str) -> Result<Fixed, Error> {
    number.ok_or_else(|| Error::new(ErrorKind::ArgumentsRequired, format!("an order of this kind {message}")))
}
