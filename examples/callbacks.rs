//! Callbacks: one for each feed, and a handler that sees everything.
//!
//! ```text
//! cargo run --release --features sim --example callbacks -- --sim --seconds 5
//! ```
//!
//! A callback borrows what happened for as long as it runs. It cannot poll; what it wants done goes into its outbox and
//! is carried out at the end of the poll. Here the first trade ends the feed of the ticker.

use std::cell::Cell;
use std::rc::Rc;

use wirebook::model::{Event, Timeframe, Update};
use wirebook::{Engine, Handler, Outbox};

#[allow(unreachable_pub, dead_code)] // Shared by all examples; each uses a part.
mod common;

/// A strategy as a handler: called by static dispatch for every event of every feed.
#[derive(Default)]
struct Strategy {
    updates: u64,
    live_books: u64,
}

impl Handler for Strategy {
    fn on_update(&mut self, update: &Update<'_>, _: &mut Outbox) {
        self.updates += 1;
        match update.event {
            Event::Book { book, .. } if book.is_live() => self.live_books += 1,
            Event::State { state, cause, error } => {
                let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
                println!("feed {:?}: {state:?}, {cause}{error}", update.feed);
            }
            _ => {}
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = common::Options::from_args()?;
    let mut engine = Engine::new(options.engine.clone())?;
    let venue = engine.add_venue_with("binance", options.venue.clone())?;
    engine.load_markets(venue)?;

    let book = engine.watch_order_book(venue, "BTC/USDT", Some(100))?;
    let trades = engine.watch_trades(venue, "BTC/USDT")?;
    let ticker = engine.watch_ticker(venue, "BTC/USDT")?;
    let candles = engine.watch_ohlcv(venue, "BTC/USDT", Timeframe::M1)?;

    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    engine.on(trades, move |update, out| {
        let Event::Trades(trades) = update.event else { return };
        for trade in trades {
            let side = trade.side.map_or("?", |side| side.as_str());
            println!("{side} {} at {} (id {})", trade.amount, trade.price, trade.id);
        }
        if counted.replace(counted.get() + trades.len()) == 0 {
            // Refused only when more than a thousand requests are made in one poll.
            let _ = out.unwatch(ticker);
        }
    })?;
    engine.on(candles, |update, _| {
        if let Event::Candle(candle) = update.event {
            println!("candle {} .. {}, volume {}", candle.low, candle.high, candle.volume);
        }
    })?;

    let mut strategy = Strategy::default();
    while !options.is_over() {
        // `poll_with` in a hot loop; this one sleeps while nothing happens.
        engine.wait_with(Some(std::time::Duration::from_millis(100)), &mut strategy)?;
    }
    println!("{} events, {} live books, {} trades", strategy.updates, strategy.live_books, count.get());
    println!(
        "the ticker: {}",
        engine.state(ticker).map_or_else(|error| error.to_string(), |_| "still there".to_owned())
    );
    if strategy.live_books == 0 || !engine.book(book)?.is_live() {
        return Err("no live book in all that time".into());
    }
    Ok(())
}
