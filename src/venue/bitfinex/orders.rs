//! Requests about orders on the private socket: `[0,"on",null,{..}]`. Amounts and prices are in quotes, ids are bare.
//!
//! Nothing is allocated but for refusals.

use super::BITFINEX;
use super::rows::{POST_ONLY, REDUCE_ONLY};
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::market::MarketKind;
use crate::model::{Id, Order, OrderKind, TakerSide, TimeInForce, Wall};
use crate::venue::shared::push_date;
use crate::venue::trading::{Context, unsupported};
use crate::venue::written::{integer, key, quoted, text};

/// Client order ids are smaller.
pub(super) const CID_END: u64 = 1 << 45;

fn begin(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"[0,\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",null,{");
}

fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}]");
}

/// `[0,"on",null,{"cid":1700000000001,"type":"EXCHANGE LIMIT","symbol":"tBTCUSD","amount":"0.01","price":"52000",
/// "flags":4096}]`, negative amounts for sales.
pub(super) fn create(order: &Order, cx: &Context<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let Some(market) = order.market else { return Err(Error::new(ErrorKind::BadSymbol, "an order needs a market")) };
    let market = cx.market(market)?;
    let is_spot = market.kind == MarketKind::Spot;
    let Some(amount) = order.amount else {
        return Err(unsupported("takes the amount of an order in base currency, not its cost"));
    };
    if order.reduce_only && is_spot {
        return Err(unsupported("has reduce-only orders for derivatives only"));
    }
    begin("on", out);
    integer("cid", number_of(&order.client_order_id)?, out);
    key("type", out);
    out.push(b'"');
    if is_spot {
        out.extend_from_slice(b"EXCHANGE ");
    }
    out.extend_from_slice(name_of(order)?.as_bytes());
    out.push(b'"');
    text("symbol", &market.venue_symbol, out);
    quoted("amount", signed(amount, order.side)?, out);
    match order.kind {
        OrderKind::Market => {}
        OrderKind::Stop => quoted("price", required(order.trigger_price, "needs a trigger price")?, out),
        OrderKind::StopLimit => {
            quoted("price", required(order.trigger_price, "needs a trigger price")?, out);
            quoted("price_aux_limit", required(order.price, "needs a price")?, out);
        }
        _ => quoted("price", required(order.price, "needs a price")?, out),
    }
    let post_only = if order.post_only { POST_ONLY } else { 0 };
    let flags = post_only | if order.reduce_only { REDUCE_ONLY } else { 0 };
    if flags != 0 {
        integer("flags", flags, out);
    }
    end(out);
    Ok(())
}

/// `[0,"ou",null,{"id":1234567,"price":"52010","delta":"0.02"}]`. The venue takes an amount for what shall be left of it;
/// the change of it means the same to both of us, whatever is filled meanwhile.
pub(super) fn edit(
    order: &Order,
    price: Option<Fixed>,
    amount: Option<Fixed>,
    cx: &Context<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    begin("ou", out);
    name(order, cx, out)?;
    let named = out.len();
    if let Some(price) = price {
        match order.kind {
            OrderKind::Limit => quoted("price", price, out),
            OrderKind::StopLimit => quoted("price_aux_limit", price, out),
            _ => return Err(unsupported("has no price to change in an order of this kind")),
        }
    }
    if let Some(amount) = amount {
        let known = required(order.amount, "of which the amount is not known cannot be changed in amount")?;
        let more = amount.checked_sub(known).ok_or_else(too_wide)?;
        if !more.is_zero() {
            quoted("delta", signed(more, order.side)?, out);
        }
    }
    if out.len() == named {
        return Err(Error::new(ErrorKind::NoChange, "the order has this amount already"));
    }
    end(out);
    Ok(())
}

/// `[0,"oc",null,{"id":1234567}]`, `[0,"oc",null,{"cid":1700000000001,"cid_date":"2026-11-22"}]`.
pub(super) fn cancel(order: &Order, cx: &Context<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    begin("oc", out);
    name(order, cx, out)?;
    end(out);
    Ok(())
}

/// All orders of the account.
pub(super) fn cancel_all(out: &mut Vec<u8>) {
    begin("oc_multi", out);
    integer("all", 1, out);
    end(out);
}

/// The id of an order, or ours and the day on which it was made: ids may be used again on another one.
fn name(order: &Order, cx: &Context<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    if !order.id.is_none() {
        let id = order.id.as_u64().ok_or_else(|| Error::new(ErrorKind::InvalidOrder, "ids of orders are numbers"))?;
        integer("id", id, out);
        return Ok(());
    }
    integer("cid", number_of(&order.client_order_id)?, out);
    key("cid_date", out);
    out.push(b'"');
    // Nothing was heard of it yet: it was sent just now.
    let day: Wall = order.created.unwrap_or(cx.now);
    push_date(day, out);
    out.push(b'"');
    Ok(())
}

/// The venue's name for the kind of an order.
fn name_of(order: &Order) -> Result<&'static str, Error> {
    match (order.kind, order.time_in_force) {
        (_, Some(TimeInForce::Gtd)) => Err(unsupported("wants the time of expiry of a GTD order, which is not kept")),
        (OrderKind::Limit, Some(TimeInForce::Ioc)) => Ok("IOC"),
        (OrderKind::Limit, Some(TimeInForce::Fok)) => Ok("FOK"),
        (OrderKind::Limit, _) => Ok("LIMIT"),
        (OrderKind::Market, Some(TimeInForce::Fok)) => Err(unsupported("has fill-or-kill orders with a price only")),
        (OrderKind::Market, _) => Ok("MARKET"),
        (OrderKind::Stop | OrderKind::StopLimit, Some(TimeInForce::Ioc | TimeInForce::Fok)) => {
            Err(unsupported("has stop orders that stay once they are triggered, no IOC and no FOK"))
        }
        (OrderKind::Stop, _) => Ok("STOP"),
        (OrderKind::StopLimit, _) => Ok("STOP LIMIT"),
        (OrderKind::TakeProfit | OrderKind::TakeProfitLimit, _) => {
            Err(unsupported("has no take profit orders; it has STOP and STOP LIMIT"))
        }
    }
}

/// Our id as the number that the venue takes.
fn number_of(id: &Id) -> Result<u64, Error> {
    let number = id.as_u64().filter(|number| (1..CID_END).contains(number) && Id::of_u64(*number) == *id);
    number.ok_or_else(|| {
        let message = format!("a client order id is a whole number from 1 to {}, without leading zeros", CID_END - 1);
        Error::new(ErrorKind::InvalidOrder, message).at(BITFINEX.id)
    })
}

/// Sales are negative.
fn signed(amount: Fixed, side: TakerSide) -> Result<Fixed, Error> {
    match side {
        TakerSide::Buy => Ok(amount),
        TakerSide::Sell => Ok(Fixed::new(amount.mantissa().checked_neg().ok_or_else(too_wide)?, amount.scale())),
    }
}

fn required(number: Option<Fixed>, message: &str) -> Result<Fixed, Error> {
    number.ok_or_else(|| Error::new(ErrorKind::ArgumentsRequired, format!("an order of this kind {message}")))
}

fn too_wide() -> Error {
    Error::new(ErrorKind::InvalidOrder, "the amount cannot be held")
}
