//! One market at two venues: who bids most, who asks least, and what lies between them.
//!
//! ```text
//! cargo run --release --features sim --example two_venues -- --sim --seconds 5
//! ```
//!
//! One engine serves any number of venues, on one thread. Their books have scales of their own, so prices are compared as
//! numbers ([`Book::price`]) and never as mantissas; and both have to be live, or the comparison means nothing. (The
//! loopback venues know nothing of each other, so their prices lie far apart.)

use wirebook::Engine;
use wirebook::book::Book;
use wirebook::decimal::Fixed;

#[allow(unreachable_pub, dead_code)] // Shared by all examples; each uses a part.
mod common;

/// Best bid and ask of a live book.
fn top(book: &Book) -> Option<(Fixed, Fixed)> {
    Some((book.price(book.best_bid()?), book.price(book.best_ask()?)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = common::Options::from_args()?;
    let mut engine = Engine::new(options.engine.clone())?;
    let venues = [
        engine.add_venue_with("binance", options.venue.clone())?,
        engine.add_venue_with("okex", options.second.clone())?,
    ];
    let mut feeds = Vec::new();
    for venue in venues {
        engine.load_markets(venue)?;
        feeds.push(engine.watch_order_book(venue, "BTC/USDT", None)?);
    }
    let names = ["binance", "okex"];
    let (mut compared, mut last) = (0u64, None);
    while !options.is_over() {
        engine.poll()?;
        if engine.changed().is_empty() {
            continue;
        }
        let (Some(first), Some(second)) = (top(engine.book(feeds[0])?), top(engine.book(feeds[1])?)) else { continue };
        compared += 1;
        // Bought where it is cheapest, sold where it is dearest.
        let bid = usize::from(second.0 > first.0);
        let ask = usize::from(second.1 < first.1);
        let (best_bid, best_ask) = ([first.0, second.0][bid], [first.1, second.1][ask]);
        if last != Some((best_bid, best_ask)) {
            last = Some((best_bid, best_ask));
            if compared % 100 == 1 {
                println!("bid {best_bid} at {}, ask {best_ask} at {}", names[bid], names[ask]);
            }
        }
    }
    println!("{compared} comparisons");
    if compared == 0 {
        return Err("the books were never live at the same time".into());
    }
    Ok(())
}
