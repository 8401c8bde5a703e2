//! The simplest use: poll in a loop, and look at the book when it changed.
//!
//! ```text
//! cargo run --release --example hot_loop                                   # Binance itself
//! cargo run --release --features sim --example hot_loop -- --sim           # a loopback venue
//! ```
//!
//! `poll` never blocks, so this keeps one core busy; `engine.wait(None)` in its place sleeps until something happens.

use wirebook::Engine;

#[allow(unreachable_pub, dead_code)] // Shared by all examples; each uses a part.
mod common;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = common::Options::from_args()?;
    let mut engine = Engine::new(options.engine.clone())?;
    let venue = engine.add_venue_with("binance", options.venue.clone())?;
    engine.load_markets(venue)?;
    let feed = engine.watch_order_book(venue, "BTC/USDT", Some(100))?;

    let mut printed = None;
    while !options.is_over() {
        engine.poll()?;
        if !engine.changed().contains(&feed) {
            continue;
        }
        let book = engine.book(feed)?;
        // Both are `None` unless the book is whole and in sequence: nothing stale or gapped is ever traded on.
        let top = book.best_bid().zip(book.best_ask());
        if top != printed {
            match top {
                Some((bid, ask)) => {
                    println!("{} x {}   {} x {}", book.amount(bid), book.price(bid), book.price(ask), book.amount(ask))
                }
                None => println!("{}: {}", book.state().as_str(), book.cause()),
            }
            printed = top;
        }
    }
    if printed.is_none() {
        return Err("no book in all that time".into());
    }
    Ok(())
}
