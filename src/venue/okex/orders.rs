//! Orders in the venue's words, the same on the socket and by REST. Nothing is allocated on the way.

use crate::error::{Error, ErrorKind};
use crate::market::{Market, MarketKind};
use crate::model::{Id, Order, OrderKind, TimeInForce};
use crate::venue::OrderAct;
use crate::venue::trading::{push_member, push_number, unsupported};

/// What an order operation says of its order.
pub(super) fn push_order(
    act: &OrderAct,
    order: &Order,
    market: &Market,
    code: Option<u64>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    match code {
        Some(code) => {
            out.extend_from_slice(b"{\"instIdCode\":");
            push_u64(code, out);
        }
        None => push_member("{\"instId\":\"", &market.venue_symbol, out),
    }
    match act {
        OrderAct::Create => push_new(order, market, out)?,
        OrderAct::Edit { price: None, amount: None } => {
            return Err(Error::new(ErrorKind::InvalidOrder, "a change needs a price or an amount"));
        }
        OrderAct::Edit { price, amount } => {
            push_ids(order, out)?;
            for (key, number) in [(",\"newSz\":\"", amount), (",\"newPx\":\"", price)] {
                if let Some(number) = number {
                    push_number(key, *number, out);
                }
            }
        }
        OrderAct::Cancel => push_ids(order, out)?,
    }
    out.push(b'}');
    Ok(())
}

/// A new order: in cash on spot, else with the margin of the whole account.
fn push_new(order: &Order, market: &Market, out: &mut Vec<u8>) -> Result<(), Error> {
    let is_spot = market.kind == MarketKind::Spot;
    let word = word(order, is_spot)?;
    push_member(",\"tdMode\":\"", if is_spot { "cash" } else { "cross" }, out);
    push_member(",\"side\":\"", order.side.as_str(), out);
    push_member(",\"ordType\":\"", word, out);
    if order.kind.has_price() {
        let missing = || Error::new(ErrorKind::InvalidOrder, "a limit order needs a price");
        push_number(",\"px\":\"", order.price.ok_or_else(missing)?, out);
    }
    match (order.amount, order.cost_ordered) {
        (Some(amount), _) => push_number(",\"sz\":\"", amount, out),
        (None, Some(cost)) if is_spot && word == "market" => push_number(",\"sz\":\"", cost, out),
        (None, Some(_)) => {
            return Err(unsupported("takes a cost in place of an amount for market orders on spot only"));
        }
        (None, None) => return Err(Error::new(ErrorKind::InvalidOrder, "the order has no amount")),
    }
    if is_spot && word == "market" {
        // By itself the venue takes the size of a purchase for a cost.
        push_member(",\"tgtCcy\":\"", if order.amount.is_some() { "base_ccy" } else { "quote_ccy" }, out);
    }
    if order.reduce_only {
        if is_spot {
            return Err(unsupported("has no reduce-only orders on spot"));
        }
        out.extend_from_slice(b",\"reduceOnly\":true");
    }
    let id = order.client_order_id;
    if !id.is_none() {
        if id.as_str().len() > 32 || !id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let text = "a client order id has to be made of at most 32 letters and digits";
            return Err(Error::new(ErrorKind::InvalidOrder, text));
        }
        push_member(",\"clOrdId\":\"", id.as_str(), out);
    }
    Ok(())
}

/// The venue's word for kind, post-only and time in force.
fn word(order: &Order, is_spot: bool) -> Result<&'static str, Error> {
    use TimeInForce::{Fok, Gtc, Ioc};
    Ok(match (order.kind, order.post_only, order.time_in_force) {
        (OrderKind::Limit, true, None | Some(Gtc)) => "post_only",
        (OrderKind::Limit, false, None | Some(Gtc)) => "limit",
        (OrderKind::Limit, false, Some(Ioc)) => "ioc",
        (OrderKind::Limit, false, Some(Fok)) => "fok",
        (OrderKind::Market, false, Some(Ioc)) if !is_spot => "optimal_limit_ioc",
        (OrderKind::Market, false, None | Some(Gtc | Ioc)) => "market",
        (OrderKind::Limit | OrderKind::Market, true, _) => {
            let text = "a post-only order is a limit order that stays until it is cancelled";
            return Err(Error::new(ErrorKind::InvalidOrder, text));
        }
        (OrderKind::Limit | OrderKind::Market, _, Some(_)) => {
            return Err(unsupported("has limit orders that are GTC, IOC or FOK, and market orders that are IOC"));
        }
        _ => return Err(unsupported("has orders with a trigger on another socket, which is not built here")),
    })
}

/// The venue's id, or ours as long as that is not known.
fn push_ids(order: &Order, out: &mut Vec<u8>) -> Result<(), Error> {
    match (order.id.is_none(), order.client_order_id.is_none()) {
        (false, _) => push_member(",\"ordId\":\"", order.id.as_str(), out),
        (true, false) => push_member(",\"clOrdId\":\"", order.client_order_id.as_str(), out),
        (true, true) => return Err(Error::new(ErrorKind::InvalidOrder, "the order has no id yet")),
    }
    Ok(())
}

pub(super) fn push_u64(number: u64, out: &mut Vec<u8>) {
    let digits: Id = Id::of_u64(number);
    out.extend_from_slice(digits.as_str().as_bytes());
}
