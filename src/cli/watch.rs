//! `wirebook watch`: events of a venue as they come.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use wirebook::book::{Book, Level};
use wirebook::decimal::Fixed;
use wirebook::engine::{Engine, EngineConfig, Handler, Outbox};
use wirebook::model::{Cause, Event, FeedId, FeedState, MarketId, Notice, Update, VenueId, Wall};
use wirebook::venue::Channel;

use super::events::{self, Object};
use super::place::load_markets;
use super::{Failure, Stop, Watch, say};

/// Levels a side in JSON where no depth is asked for.
const LEVELS_SHOWN: usize = 10;
/// Connections in a row that failed, after which it is given up where none ever worked.
const ATTEMPTS_MAX: u64 = 4;

/// Runs the command.
pub(crate) fn run(arguments: &Watch) -> Result<(), Failure> {
    let channels = &arguments.channels;
    if arguments.depth.is_some() && !channels.contains(&Channel::Book) {
        return Err(Failure::misuse("--depth is for --channel book"));
    }
    let stop = Stop::listen();
    let deadline = arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut engine, venue) = arguments.place.engine(arguments.venue, EngineConfig::default())?;
    load_markets(&mut engine, venue, &stop, deadline)?;
    let mut printer = Printer {
        json: arguments.json,
        levels: arguments.depth.map_or(LEVELS_SHOWN, usize::from),
        out: Vec::new(),
        channels: HashMap::new(),
        symbols: engine.markets(venue).iter().map(|market| (market.id, market.symbol.to_string())).collect(),
        left: arguments.count.unwrap_or(u64::MAX),
        events: 0,
        ever_live: false,
        warned: String::new(),
    };
    for channel in channels {
        for feed in feeds(&mut engine, venue, *channel, arguments)? {
            printer.channels.insert(feed, *channel);
        }
    }
    let mut out = io::stdout().lock();
    loop {
        // A signal ends the wait at once.
        engine.wait_with(Some(Duration::from_millis(100)), &mut printer)?;
        out.write_all(&printer.out)?;
        out.flush()?;
        printer.out.clear();
        let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if stop.is_asked() || printer.left == 0 {
            return Ok(());
        }
        let all_failed =
            printer.channels.keys().all(|feed| engine.state(*feed).is_ok_and(|(state, ..)| state == FeedState::Failed));
        let hopeless = !printer.ever_live && engine.counters().reconnects >= ATTEMPTS_MAX;
        if late && printer.events > 0 {
            return Ok(());
        }
        if late || all_failed || hopeless {
            return Err(why_nothing(&engine, &printer, arguments));
        }
    }
}

fn why_nothing(engine: &Engine, printer: &Printer, arguments: &Watch) -> Failure {
    let error = printer.channels.keys().find_map(|feed| engine.state(*feed).ok()?.2.cloned());
    match (error, arguments.seconds) {
        (Some(error), _) => error.into(),
        (None, Some(seconds)) => Failure::failed(format!("nothing came within {seconds} s")),
        (None, None) => Failure::failed("nothing came"),
    }
}

fn feeds(engine: &mut Engine, venue: VenueId, channel: Channel, arguments: &Watch) -> Result<Vec<FeedId>, Failure> {
    let symbols: Vec<&str> = arguments.symbols.iter().map(String::as_str).collect();
    let whole_venue = match channel {
        Channel::Ticker => Channel::AllTickers,
        Channel::BidAsk => Channel::AllBidsAsks,
        other => other,
    };
    if channel == Channel::Status {
        return Ok(vec![engine.watch_status(venue)?]);
    }
    if symbols.is_empty() {
        if whole_venue.has_market() {
            let text = format!("name at least one symbol for --channel {}", channel.as_str());
            return Err(Failure::misuse(text));
        }
        return Ok(vec![engine.watch(venue, None, whole_venue, None)?]);
    }
    if channel == Channel::Book {
        return Ok(engine.watch_order_book_for_symbols(venue, &symbols, arguments.depth)?);
    }
    let watched: Result<Vec<FeedId>, _> =
        symbols.iter().map(|symbol| engine.watch(venue, Some(symbol), channel, None)).collect();
    Ok(watched?)
}

/// Writes events to a buffer, which is written out after each turn of the engine.
struct Printer {
    json: bool,
    levels: usize,
    out: Vec<u8>,
    channels: HashMap<FeedId, Channel>,
    symbols: HashMap<MarketId, String>,
    /// Events that are still wanted.
    left: u64,
    events: u64,
    ever_live: bool,
    /// What was warned of last, so that one cause that concerns many feeds is named once.
    warned: String,
}

impl Handler for Printer {
    fn on_update(&mut self, update: &Update<'_>, _: &mut Outbox) {
        if self.left == 0 {
            return;
        }
        let symbol = update.market.and_then(|market| self.symbols.get(&market)).cloned();
        let symbol = symbol.as_deref();
        // The first state may be told while the feed is being made.
        let channel = self.channels.get(&update.feed).copied();
        let is_data = match update.event {
            Event::Book { book, .. } => {
                self.book(book, symbol, update.received.wall);
                book.is_live()
            }
            Event::Trades(trades) => {
                let kind = if channel == Some(Channel::AggTrades) { "aggtrade" } else { "trade" };
                for trade in trades {
                    let side = trade.side.map_or("-", |side| side.as_str());
                    let text = format!("{side:<4} {} at {}  id {}", trade.amount, trade.price, trade.id);
                    self.line(events::trade(kind, symbol, trade), update.received.wall, symbol, kind, &text);
                }
                true
            }
            Event::Ticker(ticker) => {
                let text = format!(
                    "last {}  {} %  high {}  low {}  volume {}",
                    plain(ticker.last),
                    plain(ticker.percentage),
                    plain(ticker.high),
                    plain(ticker.low),
                    plain(ticker.base_volume)
                );
                self.line(events::ticker(symbol, ticker), update.received.wall, symbol, "ticker", &text);
                true
            }
            Event::BidAsk(quote) => {
                let (bid, ask) = (plain(quote.bid), plain(quote.ask));
                let text = format!("{bid} x {} | {ask} x {}", plain(quote.bid_volume), plain(quote.ask_volume));
                self.line(events::bid_ask(symbol, quote), update.received.wall, symbol, "bidask", &text);
                true
            }
            Event::Candle(candle) => {
                let Some(Channel::Candles(timeframe)) = channel else { return };
                let text = format!(
                    "{timeframe} from {}  open {} high {} low {} close {}  volume {}{}",
                    time_of_day(candle.open_time),
                    candle.open,
                    candle.high,
                    candle.low,
                    candle.close,
                    candle.volume,
                    if candle.closed { "  closed" } else { "" }
                );
                let event = events::candle(symbol, timeframe, candle);
                self.line(event, update.received.wall, symbol, "candle", &text);
                true
            }
            Event::Status(status) => {
                let event = Object::new("status", None).with("status", status.status.as_str());
                let event = event.time("updated", status.updated);
                self.line(event, update.received.wall, None, "status", status.status.as_str());
                self.ever_live = true;
                true
            }
            Event::State { state, cause, error } => {
                let word = state_word(state);
                self.ever_live |= state == FeedState::Live;
                if let Some(error) = error.map(ToString::to_string)
                    && error != self.warned
                {
                    say(format_args!("warning: {error}"));
                    self.warned = error;
                }
                if !self.json && cause == Cause::Asked {
                    // The usual way to the first data.
                    return;
                }
                let kind = channel.map_or("feed", Channel::as_str);
                let event = Object::new("state", symbol).with("channel", kind).with("state", word);
                let event = event.with("cause", cause.to_string()).with("error", error.map(ToString::to_string));
                self.line(event, update.received.wall, symbol, kind, &format!("[{word}: {cause}]"));
                false
            }
            Event::Notice(notice) => {
                let text = match notice {
                    Notice::LevelsRejected(count) => format!("{count} levels left out: their numbers cannot be held"),
                    Notice::Rescaled { price_scale, amount_scale } => {
                        format!(
                            "counts with {price_scale} decimals in prices and {amount_scale} in amounts from now on"
                        )
                    }
                    _ => return,
                };
                let event = Object::new("notice", symbol).with("message", text.as_str());
                self.line(event, update.received.wall, symbol, "notice", &text);
                false
            }
            _ => false,
        };
        if is_data {
            self.events += 1;
            self.left -= 1;
        }
    }
}

impl Printer {
    fn book(&mut self, book: &Book, symbol: Option<&str>, received: Wall) {
        let pair = |level: Level| (book.price(level), book.amount(level));
        let state = book.state().as_str();
        let mut event = Object::new("book", symbol).with("state", state).with("cause", book.cause().to_string());
        event = event.with("nonce", book.nonce()).time("timestamp", book.venue_time());
        // A book that is not live shows nothing.
        event = event.levels("bids", book.bids().take(self.levels).map(pair));
        event = event.levels("asks", book.asks().take(self.levels).map(pair));
        let text = match (book.best_bid(), book.best_ask()) {
            _ if !book.is_live() => format!("[{state}: {}]", book.cause()),
            (bid, ask) => {
                let top = |level: Option<Level>| {
                    level.map(pair).map_or_else(|| "-".to_owned(), |(price, amount)| format!("{price} x {amount}"))
                };
                let (bids, asks) = (book.bids().len(), book.asks().len());
                let nonce = book.nonce().unwrap_or(0);
                format!("{} | {}  {bids} + {asks} levels, nonce {nonce}", top(bid), top(ask))
            }
        };
        self.line(event, received, symbol, "book", &text);
    }

    fn line(&mut self, event: Object, received: Wall, symbol: Option<&str>, kind: &str, text: &str) {
        // A vector takes everything.
        let _ = if self.json {
            writeln!(self.out, "{}", event.time("received", received).end())
        } else {
            writeln!(self.out, "{}  {:<12} {kind:<8} {text}", time_of_day(received), symbol.unwrap_or("-"))
        };
    }
}

fn plain(number: Option<Fixed>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn state_word(state: FeedState) -> &'static str {
    match state {
        FeedState::AwaitingMarkets => "awaiting markets",
        FeedState::Connecting => "connecting",
        FeedState::Subscribing => "subscribing",
        FeedState::Live => "confirmed",
        FeedState::Failed => "failed",
        FeedState::Ended => "ended",
    }
}

/// Hours, minutes, seconds, milliseconds of UTC.
fn time_of_day(wall: Wall) -> String {
    let ms = wall.ms().rem_euclid(86_400_000);
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_utc() {
        assert_eq!(time_of_day(Wall::from_ms(1_700_000_000_123)), "22:13:20.123");
        assert_eq!(time_of_day(Wall::from_ms(-1)), "23:59:59.999");
    }
}
