//! Quotes from a callback: a bid and an ask around the best prices of a book, replaced when the market moves, and how long
//! it takes from the book's bytes to the order's.
//!
//! ```text
//! cargo run --release --features sim --example orders -- --sim --seconds 5
//! ```
//!
//! An order from a callback goes into the outbox and leaves in the same poll. Post-only, so that a quote that comes too
//! late is refused rather than filled; small, and far enough from the market that few are filled. Without `--sim` this
//! would trade with real money, so it refuses.

use std::time::Duration;

use wirebook::credentials::Credentials;
use wirebook::decimal::Fixed;
use wirebook::model::{Event, FeedId, MarketId, Mono, NewOrder, OrderId, Outcome, TakerSide, Update};
use wirebook::{Engine, Handler, Outbox};

#[allow(unreachable_pub, dead_code)] // Shared by all examples; each uses a part.
mod common;

/// One side of a quote.
#[derive(Default)]
struct Quote {
    price: Option<Fixed>,
    order: Option<OrderId>,
    /// Something was asked for and is not answered yet.
    waits: bool,
}

/// A market maker as plain as can be.
struct Maker {
    market: MarketId,
    book: FeedId,
    amount: Fixed,
    /// How far from the best price of its side, in ticks.
    away: Fixed,
    bid: Quote,
    ask: Quote,
    accepted: u64,
    rejected: u64,
    filled: u64,
    /// When the bytes were read that made it quote in this poll.
    cause: Option<Mono>,
}

impl Maker {
    fn quote(&mut self, side: TakerSide, best: Fixed, out: &mut Outbox) {
        let price = match side {
            TakerSide::Buy => best.checked_sub(self.away),
            TakerSide::Sell => best.checked_add(self.away),
        };
        let Some(price) = price else { return };
        let quote = match side {
            TakerSide::Buy => &mut self.bid,
            TakerSide::Sell => &mut self.ask,
        };
        if quote.waits || quote.price == Some(price) {
            return;
        }
        // The old quote goes first; the new one follows when that is told.
        let asked = match quote.order {
            Some(order) => out.cancel_order(order),
            None => out.create_order(&NewOrder::limit(self.market, side, self.amount, price).post_only()),
        };
        if asked.is_ok() {
            quote.waits = true;
            quote.price = Some(price);
        }
    }

    fn quote_of(&mut self, side: TakerSide) -> &mut Quote {
        match side {
            TakerSide::Buy => &mut self.bid,
            TakerSide::Sell => &mut self.ask,
        }
    }
}

impl Handler for Maker {
    fn on_update(&mut self, update: &Update<'_>, out: &mut Outbox) {
        match update.event {
            Event::Book { book, .. } if update.feed == self.book => {
                let (Some(bid), Some(ask)) = (book.best_bid(), book.best_ask()) else { return };
                let waited = (self.bid.waits, self.ask.waits);
                self.quote(TakerSide::Buy, book.price(bid), out);
                self.quote(TakerSide::Sell, book.price(ask), out);
                if (self.bid.waits, self.ask.waits) != waited {
                    self.cause = Some(update.received.mono);
                }
            }
            Event::OrderAnswer { order, outcome, .. } => {
                match outcome {
                    Outcome::Accepted => self.accepted += 1,
                    _ => self.rejected += 1,
                }
                let quote = self.quote_of(order.side);
                quote.waits = false;
                quote.order = Some(order.handle).filter(|_| !order.status.is_final());
            }
            Event::Order(order) if order.status.is_final() => {
                let quote = self.quote_of(order.side);
                if quote.order == Some(order.handle) {
                    *quote = Quote::default();
                }
            }
            Event::OrderRefused { order, error } => {
                println!("not sent: {error}");
                *self.quote_of(order.side) = Quote::default();
            }
            Event::MyTrade(trade) => {
                self.filled += 1;
                println!("filled: {} {} at {}", trade.side.as_str(), trade.amount, trade.price);
            }
            _ => {}
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = common::Options::from_args()?;
    let Some((key, secret)) = options.account() else {
        return Err("this example trades: run it with --sim".into());
    };
    let mut engine = Engine::new(options.engine.clone())?;
    let mut config = options.venue.clone();
    config.credentials = Some(Credentials::new(key, secret));
    let venue = engine.add_venue_with("binance", config)?;
    engine.load_markets(venue)?;
    let market = engine.markets(venue).resolve("BTC/USDT")?.clone();
    let book = engine.watch_order_book(venue, "BTC/USDT", Some(100))?;
    engine.watch_balance(venue)?;
    engine.watch_orders(venue)?;
    engine.watch_my_trades(venue)?;

    let tick = market.price_tick.ok_or("no tick")?;
    let away = tick.checked_mul(Fixed::new(20, 0)).ok_or("no such price")?;
    let amount = "0.001".parse()?;
    let mut maker = Maker {
        market: market.id,
        book,
        amount,
        away,
        bid: Quote::default(),
        ask: Quote::default(),
        accepted: 0,
        rejected: 0,
        filled: 0,
        cause: None,
    };
    let mut ticks_to_trades = Vec::new();
    while !options.is_over() {
        if engine.is_account_live(venue) {
            engine.poll_with(&mut maker)?;
            // The poll comes back when the orders are written.
            if let Some(cause) = maker.cause.take() {
                ticks_to_trades.push(engine.now().mono.since_ns(cause));
            }
        } else {
            // Quotes would be refused until the account is there.
            engine.wait(Some(Duration::from_millis(10)))?;
        }
    }
    println!(
        "{} accepted, {} refused, {} filled, {} open at the end",
        maker.accepted,
        maker.rejected,
        maker.filled,
        engine.open_orders(venue).count()
    );
    for balance in engine.balances(venue).iter().filter(|balance| balance.used.is_some_and(|used| !used.is_zero())) {
        let number = |number: Option<_>| {
            number.map_or("?".to_owned(), |number: rust_decimal::Decimal| number.normalize().to_string())
        };
        println!("{}: free {}, used {}", balance.currency, number(balance.free), number(balance.used));
    }
    ticks_to_trades.sort_unstable();
    let part = |part: f64| ticks_to_trades.get((ticks_to_trades.len() as f64 * part) as usize).copied().unwrap_or(0);
    println!(
        "from the book's bytes to the order's write: p50 {} ns, p90 {} ns, p99 {} ns",
        part(0.5),
        part(0.9),
        part(0.99)
    );
    if maker.accepted == 0 {
        return Err("no quote was accepted in all that time".into());
    }
    Ok(())
}
