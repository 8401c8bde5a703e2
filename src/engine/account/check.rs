//! Orders are looked at before they are sent: a venue's refusal costs a round trip and counts against its limits.

use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::market::{Limits, Market};
use crate::model::{NewOrder, OrderKind, TimeInForce};
use crate::venue::{Ability, TradingProfile};

/// Whether the market takes the order, and the venue its kind.
///
/// # Errors
/// [`ErrorKind::InvalidOrder`] with what would be right, [`ErrorKind::MarketClosed`], [`ErrorKind::NotSupported`],
/// [`ErrorKind::ArgumentsRequired`].
pub(crate) fn check(order: &NewOrder, market: &Market, profile: &TradingProfile) -> Result<(), Error> {
    if !market.active {
        return Err(Error::new(ErrorKind::MarketClosed, "the market does not trade now"));
    }
    for (needed, ability, what) in [
        (true, Ability::CreateOrder, "orders"),
        (order.kind == OrderKind::Market, Ability::MarketOrder, "market orders"),
        (order.kind == OrderKind::Stop, Ability::StopOrder, "stop orders"),
        (order.kind == OrderKind::StopLimit, Ability::StopLimitOrder, "stop limit orders"),
        (order.kind == OrderKind::TakeProfit, Ability::TakeProfitOrder, "take profit orders"),
        (order.kind == OrderKind::TakeProfitLimit, Ability::TakeProfitLimitOrder, "take profit limit orders"),
        (order.cost.is_some(), Ability::MarketOrderWithCost, "market orders by cost"),
        (order.post_only, Ability::PostOnly, "post-only orders"),
        (order.reduce_only, Ability::ReduceOnly, "reduce-only orders"),
        (order.time_in_force == Some(TimeInForce::Ioc), Ability::ImmediateOrCancel, "immediate-or-cancel orders"),
        (order.time_in_force == Some(TimeInForce::Fok), Ability::FillOrKill, "fill-or-kill orders"),
        (order.client_order_id.is_some(), Ability::ClientOrderId, "client order ids"),
    ] {
        if needed && !profile.abilities.contains(&ability) {
            return Err(Error::new(ErrorKind::NotSupported, format!("has no {what}")));
        }
    }
    if order.time_in_force == Some(TimeInForce::Gtd) {
        return Err(Error::new(ErrorKind::NotSupported, "good-till-date orders are not built yet"));
    }
    if order.post_only
        && (order.kind == OrderKind::Market || order.time_in_force.is_some_and(|tif| tif != TimeInForce::Gtc))
    {
        return Err(invalid("a post-only order is a limit order that stays: no market, IOC or FOK".into()));
    }
    let missing = |what: &str| Error::new(ErrorKind::ArgumentsRequired, format!("this kind of order needs a {what}"));
    let refused = |what: &str| invalid(format!("this kind of order takes no {what}"));
    match (order.kind.has_price(), order.price) {
        (true, None) => return Err(missing("price")),
        (false, Some(_)) => return Err(refused("price")),
        _ => {}
    }
    match (order.kind.has_trigger(), order.trigger_price) {
        (true, None) => return Err(missing("trigger price")),
        (false, Some(_)) => return Err(refused("trigger price")),
        _ => {}
    }
    match (order.amount, order.cost) {
        (None, None) => return Err(missing("amount")),
        (Some(_), Some(_)) => return Err(invalid("give an amount or a cost, not both".into())),
        (None, Some(_)) if order.kind != OrderKind::Market => return Err(refused("cost")),
        _ => {}
    }
    for price in [order.price, order.trigger_price].into_iter().flatten() {
        check_number("price", price, market.price_tick, market.price_limits)?;
    }
    if let Some(amount) = order.amount {
        check_number("amount", amount, market.amount_step, market.amount_limits)?;
        if let Some(price) = order.price {
            check_cost(price, amount, market)?;
        }
    }
    if let Some(cost) = order.cost {
        check_number("cost", cost, None, market.cost_limits)?;
    }
    Ok(())
}

/// A change of an order, likewise.
///
/// # Errors
/// [`ErrorKind::InvalidOrder`] with what would be right.
pub(crate) fn check_change(price: Option<Fixed>, amount: Option<Fixed>, market: &Market) -> Result<(), Error> {
    if let Some(price) = price {
        check_number("price", price, market.price_tick, market.price_limits)?;
    }
    if let Some(amount) = amount {
        check_number("amount", amount, market.amount_step, market.amount_limits)?;
    }
    Ok(())
}

fn check_cost(price: Fixed, amount: Fixed, market: &Market) -> Result<(), Error> {
    // Of a contract, the cost is not price times amount.
    if market.contract_size.is_some() {
        return Ok(());
    }
    let Some(cost) = price.checked_mul(amount) else { return Ok(()) };
    let limits = market.cost_limits;
    if let Some(min) = limits.min
        && cost < min
    {
        return Err(invalid(format!("price times amount is {cost}; at least {min} is needed")));
    }
    if let Some(max) = limits.max
        && cost > max
    {
        return Err(invalid(format!("price times amount is {cost}; at most {max} is allowed")));
    }
    Ok(())
}

fn check_number(what: &str, number: Fixed, step: Option<Fixed>, limits: Limits) -> Result<(), Error> {
    if number.mantissa() <= 0 {
        return Err(invalid(format!("{what} {number} has to be above zero")));
    }
    if let Some(step) = step
        && let Some((below, above)) = beside(number, step)
    {
        let right = if below.is_zero() { above.to_string() } else { format!("{below} or {above}") };
        return Err(invalid(format!("{what} {number} is no multiple of {step}: {right} would be right")));
    }
    if let Some(min) = limits.min
        && number < min
    {
        return Err(invalid(format!("{what} {number} is below the least of {min}")));
    }
    if let Some(max) = limits.max
        && number > max
    {
        return Err(invalid(format!("{what} {number} is above the most of {max}")));
    }
    Ok(())
}

/// The multiples of `step` on both sides of `number`, if it is none itself.
fn beside(number: Fixed, step: Fixed) -> Option<(Fixed, Fixed)> {
    let scale = number.scale().max(step.scale());
    // What cannot be compared at one scale is the venue's to judge.
    let (wide, step) = (number.rescale(scale).ok()?, step.rescale(scale).ok()?);
    if step <= 0 || wide % step == 0 {
        return None;
    }
    let below = wide - wide % step;
    Some((Fixed::new(below, scale).trimmed(), Fixed::new(below.checked_add(step)?, scale).trimmed()))
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::InvalidOrder, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MarketId, TakerSide, VenueId};
    use crate::venue::BINANCE;

    fn fixed(text: &str) -> Fixed {
        text.parse().unwrap()
    }

    fn market() -> Market {
        let limits = |min: &str, max: &str| Limits { min: Some(fixed(min)), max: Some(fixed(max)) };
        Market {
            price_tick: Some(fixed("0.05")),
            amount_step: Some(fixed("0.001")),
            price_limits: limits("1", "100000"),
            amount_limits: limits("0.002", "50"),
            cost_limits: limits("10", "500000"),
            ..Market::plain(MarketId { venue: VenueId(0), index: 0 }, "BTC", "USD")
        }
    }

    fn limit(amount: &str, price: &str) -> NewOrder {
        NewOrder::limit(market().id, TakerSide::Buy, fixed(amount), fixed(price))
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        let Some(profile) = BINANCE.trading else { return };
        let check = |order: &NewOrder| check(order, &market(), profile);
        assert!(check(&limit("0.01", "40000.05")).is_ok());
        for (order, text) in [
            (limit("0.01", "40000.07"), "price 40000.07 is no multiple of 0.05: 40000.05 or 40000.1 would be right"),
            (limit("0.0015", "40000"), "amount 0.0015 is no multiple of 0.001: 0.001 or 0.002 would be right"),
            (limit("0.0001", "40000"), "amount 0.0001 is no multiple of 0.001: 0.001 would be right"),
            (limit("0.001", "40000"), "amount 0.001 is below the least of 0.002"),
            (limit("60", "40000"), "amount 60 is above the most of 50"),
            (limit("0.002", "40"), "price times amount is 0.08; at least 10 is needed"),
            (limit("0", "40"), "amount 0 has to be above zero"),
            (limit("1", "40").staying(TimeInForce::Ioc).post_only(), "a post-only order is a limit order that stays"),
        ] {
            let error = check(&order).unwrap_err();
            assert!(error.message().starts_with(text) && error.kind() == ErrorKind::InvalidOrder, "{error:?}");
        }
        let no_price = NewOrder { price: None, ..limit("1", "40") };
        assert_eq!(check(&no_price).unwrap_err().kind(), ErrorKind::ArgumentsRequired);
        let closed = Market { active: false, ..market() };
        assert_eq!(super::check(&limit("1", "40"), &closed, profile).unwrap_err().kind(), ErrorKind::MarketClosed);
    }
}
