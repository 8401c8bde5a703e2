//! Two books at once: the price of ETH in BTC, by way of dollars, as it could be traded now.
//!
//! ```text
//! cargo run --release --features sim --example two_symbols -- --sim --seconds 5
//! ```
//!
//! With more than one book the question is whether both can be relied on at the same time. `best_bid` and `best_ask`
//! answer only for live books, so the rate exists only while both are.

use wirebook::book::Book;
use wirebook::{Engine, Error};

#[allow(unreachable_pub, dead_code)] // Shared by all examples; each uses a part.
mod common;

/// What one ETH sells for in BTC, by way of dollars, at the best prices.
fn rate(eth: &Book, btc: &Book) -> Option<f64> {
    let sold = eth.price(eth.best_bid()?).to_f64();
    let bought = btc.price(btc.best_ask()?).to_f64();
    Some(sold / bought)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = common::Options::from_args()?;
    let mut engine = Engine::new(options.engine.clone())?;
    let venue = engine.add_venue_with("binance", options.venue.clone())?;
    engine.load_markets(venue)?;
    let feeds = engine.watch_order_book_for_symbols(venue, &["ETH/USDT", "BTC/USDT"], Some(100))?;
    let [eth, btc] = feeds[..] else { return Err("two symbols give two feeds".into()) };

    let mut rates = 0u64;
    let mut last = None;
    while !options.is_over() {
        engine.poll()?;
        if engine.changed().is_empty() {
            continue;
        }
        let now = rate(engine.book(eth)?, engine.book(btc)?);
        if now != last {
            match now {
                Some(rate) => println!("1 ETH = {rate:.8} BTC"),
                None => println!("waiting: {}", explain(&engine, &feeds)?),
            }
            rates += u64::from(now.is_some());
            last = now;
        }
    }
    // One book can be given up without touching the other.
    engine.unwatch_order_book(venue, "ETH/USDT")?;
    engine.poll()?;
    println!("{rates} rates; without ETH/USDT the other book is {}", engine.book(btc)?.state().as_str());
    if rates == 0 {
        return Err("no rate in all that time".into());
    }
    Ok(())
}

/// Which book is not live, and why.
fn explain(engine: &Engine, feeds: &[wirebook::model::FeedId]) -> Result<String, Error> {
    let mut words = Vec::new();
    for feed in feeds {
        let book = engine.book(*feed)?;
        if !book.is_live() {
            let symbol = engine.market_of(*feed)?.map_or("?", |market| &market.symbol);
            words.push(format!("{symbol} is {} ({})", book.state().as_str(), book.cause()));
        }
    }
    Ok(words.join(", "))
}
