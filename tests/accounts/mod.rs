//! What an engine believes of an account against what is true.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use wirebook::decimal::Fixed;
use wirebook::model::{Balance, Order, OrderStatus};
use wirebook::sim::account::Status;
use wirebook::sim::venue::Venue;

pub fn fixed(text: &str) -> Fixed {
    Fixed::parse_exact(text.as_bytes()).unwrap()
}

fn exact(value: Fixed) -> Decimal {
    value.to_string().parse().unwrap()
}

/// Whether orders, trades and balances are those of the venue; what is not. `trades` are the ids as they were told: each
/// has to be there once.
pub fn agree<'a>(
    venue: &Venue,
    orders: impl Iterator<Item = &'a Order>,
    find: impl Fn(&str) -> Option<&'a Order>,
    balances: &[Balance],
    trades: &[String],
) -> Result<(), String> {
    let account = venue.account();
    let open: BTreeSet<String> =
        orders.filter(|order| !order.status.is_final()).map(|order| order.id.to_string()).collect();
    let truly_open: BTreeSet<String> = account.open_orders().map(|order| order.id.to_string()).collect();
    if open != truly_open {
        return Err(format!("open are {open:?}, in truth {truly_open:?}"));
    }
    for truth in account.orders() {
        let Some(order) = find(&truth.id.to_string()) else {
            // An order that was replaced by another one of its name is not known by its old id any more.
            if account.order_named(&truth.client_id).is_some_and(|newer| newer.id > truth.id) {
                continue;
            }
            return Err(format!("unknown: {truth:?}"));
        };
        let status = match truth.status {
            Status::Waiting | Status::Open => OrderStatus::Open,
            Status::Filled => OrderStatus::Closed,
            Status::Canceled => OrderStatus::Canceled,
            Status::Expired => OrderStatus::Expired,
        };
        let right = order.status == status
            && exact(order.filled) == truth.filled
            && order.cost.unwrap_or_default() == truth.cost
            && order.price.map(exact) == truth.price
            && (truth.cost_asked.is_some() || order.amount.map(exact) == Some(truth.amount));
        if !right {
            return Err(format!("{order:?}\nin truth {truth:?}"));
        }
    }
    let told: BTreeSet<&String> = trades.iter().collect();
    if told.len() != trades.len() {
        return Err(format!("a trade was told twice: {trades:?}"));
    }
    let true_trades: BTreeSet<String> = account.fills().map(|fill| fill.id.to_string()).collect();
    if !told.iter().copied().eq(true_trades.iter()) {
        return Err(format!("trades are {told:?}, in truth {true_trades:?}"));
    }
    for truth in account.balances() {
        let balance = balances.iter().find(|balance| balance.currency.as_str() == truth.asset);
        let both = balance.map(|balance| (balance.free.unwrap_or_default(), balance.used.unwrap_or_default()));
        let is_nothing = both.is_none() && truth.free.is_zero() && truth.used.is_zero();
        if both != Some((truth.free, truth.used)) && !is_nothing {
            return Err(format!("{balance:?} in truth {truth:?}"));
        }
    }
    Ok(())
}
