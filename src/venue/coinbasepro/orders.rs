//! Requests about orders: which target and which body each form of an order has.

use crate::error::{Error, ErrorKind};
use crate::market::Market;
use crate::model::{Id, Order, OrderKind, TakerSide, TimeInForce};
use crate::venue::Method;
use crate::venue::sign::percent_encode;
use crate::venue::trading::{Context, OrderAct, Target, is_uuid, push_member, push_number, unsupported};

/// Method, target and body of a request about `order`.
pub(super) fn request(act: &OrderAct, order: &Order, cx: &Context<'_>) -> Result<(Method, String, Vec<u8>), Error> {
    match act {
        OrderAct::Create => {
            let market = order.market.ok_or_else(|| Error::new(ErrorKind::BadSymbol, "the order names no market"))?;
            let mut body = Vec::with_capacity(256);
            push_new(order, cx.market(market)?, &mut body)?;
            Ok((Method::Post, "/orders".to_owned(), body))
        }
        OrderAct::Edit { .. } => Err(unsupported("cannot change orders by REST: cancel the order and make a new one")),
        OrderAct::Cancel => {
            let path = order_path(order.id, order.client_order_id)?;
            // The venue finds it faster by its product.
            let market = order.market.and_then(|market| cx.markets.market(market));
            let target = Target::new(&path).maybe("product_id", market.map(|market| &*market.venue_symbol));
            Ok((Method::Delete, target.0, Vec::new()))
        }
    }
}

/// The same for the cancellation of all orders.
pub(super) fn cancel_all(market: Option<&Market>) -> (Method, String) {
    (Method::Delete, Target::new("/orders").maybe("product_id", market.map(|market| &*market.venue_symbol)).0)
}

/// `/orders/{id}`, or `/orders/client:{our id}` as long as that is not known.
pub(super) fn order_path(id: Id, client_order_id: Id) -> Result<String, Error> {
    let mut path = "/orders/".to_owned();
    match (id.is_none(), client_order_id.is_none()) {
        (false, _) => percent_encode(id.as_str(), &mut path),
        (true, false) => {
            path.push_str("client:");
            percent_encode(client_order_id.as_str(), &mut path);
        }
        (true, true) => {
            return Err(Error::new(ErrorKind::ArgumentsRequired, "needs the id of the order, or the client order id"));
        }
    }
    Ok(path)
}

/// A UUID of version 4 by its looks, in which `number` stands.
pub(super) fn uuid(number: u64) -> Id {
    let mut text = *b"00000000-0000-4000-8000-776972656264";
    // From the last digit on: those of the number lie before and behind the version, and behind the variant.
    const PLACES: [usize; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 15, 16, 17, 20];
    let mut left = number;
    for place in PLACES.into_iter().rev() {
        text[place] = b"0123456789abcdef"[(left & 15) as usize];
        left >>= 4;
    }
    Id::new(&text).unwrap_or(Id::NONE)
}

/// `{"type":"limit","side":"buy","product_id":"BTC-USD","size":"0.001","price":"30000","time_in_force":"GTC",
/// "post_only":true,"stop":"loss","stop_price":"30100","client_oid":"1822e338-8e16-4740-a998-fcc33dcfc443"}`
fn push_new(order: &Order, market: &Market, out: &mut Vec<u8>) -> Result<(), Error> {
    let invalid = |text: &str| Error::new(ErrorKind::InvalidOrder, text);
    let is_market = !order.kind.has_price();
    if order.reduce_only {
        return Err(unsupported("has no reduce-only orders: it trades spot only"));
    }
    if order.post_only && (is_market || matches!(order.time_in_force, Some(TimeInForce::Ioc | TimeInForce::Fok))) {
        return Err(invalid("a post-only order is a limit order that stays until it is cancelled"));
    }
    push_member("{\"type\":\"", if is_market { "market" } else { "limit" }, out);
    push_member(",\"side\":\"", order.side.as_str(), out);
    push_member(",\"product_id\":\"", &market.venue_symbol, out);
    match (order.amount, order.cost_ordered) {
        (Some(amount), _) => push_number(",\"size\":\"", amount, out),
        (None, Some(cost)) if is_market => push_number(",\"funds\":\"", cost, out),
        (None, Some(_)) => return Err(unsupported("takes a cost in place of an amount for market orders only")),
        (None, None) => return Err(invalid("the order has no amount")),
    }
    if !is_market {
        push_number(",\"price\":\"", order.price.ok_or_else(|| invalid("a limit order needs a price"))?, out);
    }
    match (order.time_in_force, is_market) {
        // A market order never stays.
        (None, _) | (Some(TimeInForce::Gtc | TimeInForce::Ioc), true) => {}
        (Some(time_in_force @ (TimeInForce::Gtc | TimeInForce::Ioc | TimeInForce::Fok)), false) => {
            push_member(",\"time_in_force\":\"", time_in_force.as_str(), out);
        }
        (Some(_), true) => {
            return Err(unsupported("has market orders that are filled as far as can be, and no others"));
        }
        (Some(_), false) => return Err(unsupported("has limit orders that are GTC, IOC or FOK")),
    }
    if order.post_only {
        out.extend_from_slice(b",\"post_only\":true");
    }
    if order.kind.has_trigger() {
        // At or below the trigger price, or at or above it.
        let stop = match (order.kind, order.side) {
            (OrderKind::StopLimit, TakerSide::Sell) | (OrderKind::TakeProfitLimit, TakerSide::Buy) => "loss",
            (OrderKind::StopLimit, TakerSide::Buy) | (OrderKind::TakeProfitLimit, TakerSide::Sell) => "entry",
            _ => return Err(unsupported("has no market orders with a trigger: give a price as well")),
        };
        push_member(",\"stop\":\"", stop, out);
        let trigger = order.trigger_price.ok_or_else(|| invalid("this kind of order needs a trigger price"))?;
        push_number(",\"stop_price\":\"", trigger, out);
    }
    let id = order.client_order_id;
    if !id.is_none() {
        // The venue tells it in lower case, and it has to be found again.
        if !is_uuid(id.as_str()) || id.as_str().bytes().any(|byte| byte.is_ascii_uppercase()) {
            let text = "a client order id has to be a UUID in lower case, such as 1822e338-8e16-4740-a998-fcc33dcfc443";
            return Err(invalid(text));
        }
        push_member(",\"client_oid\":\"", id.as_str(), out);
    }
    out.push(b'}');
    Ok(())
}
