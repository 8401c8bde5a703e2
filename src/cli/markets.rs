//! `wirebook markets`: what a venue trades.

use std::io::{self, BufWriter, Write};

use serde_json::{Value, json};
use wirebook::decimal::Fixed;
use wirebook::engine::EngineConfig;
use wirebook::market::{Limits, Market, MarketKind};

use super::place::load_markets;
use super::table::Table;
use super::{Failure, Markets, Stop};

/// Runs the command.
pub(crate) fn run(arguments: &Markets) -> Result<(), Failure> {
    let stop = Stop::listen();
    let (mut engine, venue) = arguments.place.engine(arguments.venue, EngineConfig::default())?;
    load_markets(&mut engine, venue, &stop, None)?;
    let wanted = arguments.filter.as_deref().unwrap_or("").to_ascii_uppercase();
    let fits = |market: &&Market| {
        [&market.symbol, &market.venue_symbol].iter().any(|name| name.to_ascii_uppercase().contains(&wanted))
    };
    let markets: Vec<&Market> = engine.markets(venue).iter().filter(fits).collect();
    if markets.is_empty() && !wanted.is_empty() {
        let count = engine.markets(venue).len();
        let text = format!("none of the {count} markets of {} has {wanted:?} in its name", arguments.venue.id);
        return Err(Failure::failed(text));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        writeln!(out, "{}", Value::from_iter(markets.iter().map(|market| to_json(market))))?;
    } else {
        let mut table = Table::new(&["SYMBOL", "ID", "ACTIVE", ">TICK", ">STEP", ">AMOUNT", ">COST FROM"]);
        for market in markets {
            let text = |number: Option<Fixed>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let limits = &market.amount_limits;
            table.row([
                market.symbol.to_string(),
                market.venue_symbol.to_string(),
                if market.active { "yes" } else { "no" }.to_owned(),
                text(market.price_tick),
                text(market.amount_step),
                format!("{} to {}", text(limits.min), text(limits.max)),
                text(market.cost_limits.min),
            ]);
        }
        table.write(&mut out)?;
    }
    out.flush()?;
    Ok(())
}

/// CCXT's market structure, as far as it is known.
fn to_json(market: &Market) -> Value {
    let text = |number: Option<Fixed>| number.map(|number| number.to_string());
    let limits = |limits: &Limits| json!({ "min": text(limits.min), "max": text(limits.max) });
    let kind = match market.kind {
        MarketKind::Spot => "spot",
        MarketKind::Swap => "swap",
        MarketKind::Future => "future",
        _ => "other",
    };
    json!({
        "symbol": &*market.symbol,
        "id": &*market.venue_symbol,
        "base": &*market.base,
        "quote": &*market.quote,
        "settle": market.settle.as_deref(),
        "type": kind,
        "active": market.active,
        "precision": { "price": text(market.price_tick), "amount": text(market.amount_step) },
        "limits": {
            "price": limits(&market.price_limits),
            "amount": limits(&market.amount_limits),
            "cost": limits(&market.cost_limits),
        },
    })
}
