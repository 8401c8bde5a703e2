//! What came out of a replay: first and last of everything, and the books at the end, as JSON and as a table.
//!
//! The JSON has the members of the expected values that come with the recordings used in tests, so that both can be
//! compared member by member.

use std::collections::HashMap;
use std::io::{self, Write};
use std::rc::Rc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use wirebook::book::{Book, BookState, Level, Side};
use wirebook::decimal::Fixed;
use wirebook::engine::{Core, Sink};
use wirebook::model::{BidAsk, Candle, Event, FeedId, MarketId, TakerSide, Ticker, Trade, Update, Wall};
use wirebook::venue::Channel;

use crate::cli::table::Table;

/// States of the books of one connection that are remembered to choose from; after so many there are no checkpoints.
const STATES_MAX: usize = 1 << 18;
/// States along the way of one book in the output.
const CHECKPOINTS: u64 = 8;
/// Levels of a side in the output.
const LEVELS_SHOWN: usize = 10;

/// What came out of one connection.
pub(super) struct Session {
    pub(super) name: String,
    pub(super) frames: u64,
    /// Messages of topics that were not subscribed.
    pub(super) unrouted: u64,
    pub(super) channels: HashMap<FeedId, Channel>,
    rows: Vec<Row>,
    index: HashMap<(FeedId, Option<MarketId>), usize>,
    states: usize,
}

/// What came out of one channel of one market.
struct Row {
    feed: FeedId,
    channel: Channel,
    market: Option<MarketId>,
    /// Known at the end.
    symbol: String,
    data: Data,
}

enum Data {
    Book(Box<BookEnd>),
    Trades(Rows<Trade>, Option<Fixed>),
    BidAsk(Rows<BidAsk>),
    Ticker(Box<Rows<Ticker>>),
    Candles(Rows<Candle>),
}

/// The first and the last of many.
struct Rows<T> {
    count: u64,
    first: Option<(T, Rc<str>)>,
    last: Option<(T, Rc<str>)>,
}

impl<T: Copy> Rows<T> {
    fn new() -> Rows<T> {
        Rows { count: 0, first: None, last: None }
    }

    fn push(&mut self, row: T, frame: &Rc<str>) {
        self.count += 1;
        if self.first.is_none() {
            self.first = Some((row, frame.clone()));
        }
        self.last = Some((row, frame.clone()));
    }

    fn to_json(&self, row: impl Fn(&T, &str) -> Value) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("count".to_owned(), self.count.into());
        for (name, side) in [("first", &self.first), ("last", &self.last)] {
            if let Some((value, frame)) = side {
                map.insert(name.to_owned(), row(value, frame));
            }
        }
        map
    }
}

/// A book along the way.
struct BookMoment {
    updates: u64,
    frame: Option<Rc<str>>,
    sides: [(Option<Level>, usize); 2],
    price_scale: u8,
    amount_scale: u8,
}

/// A book at the end.
#[derive(Default)]
struct BookEnd {
    moments: Vec<BookMoment>,
    /// There were too many, and all were given up.
    moments_lost: bool,
    updates: u64,
    state: Option<BookState>,
    cause: String,
    nonce: Option<u64>,
    venue_time: Option<Wall>,
    crossed: bool,
    sides: [SideEnd; 2],
}

#[derive(Default)]
struct SideEnd {
    best: Vec<(Fixed, Fixed)>,
    levels: usize,
    amount_sum: String,
    sha256: String,
}

/// Collects events as they come.
pub(super) struct Collector<'a> {
    pub(super) session: &'a mut Session,
    /// The time of the frame that they came in, as it was written; `None` while a request is answered.
    pub(super) frame: Option<Rc<str>>,
}

impl Sink for Collector<'_> {
    fn update(&mut self, update: &Update<'_>) {
        if matches!(update.event, Event::State { .. } | Event::Notice(_) | Event::Status(_)) {
            return;
        }
        let room = self.session.states < STATES_MAX;
        let frame = self.frame.clone();
        let Some(row) = self.session.row(update.feed, update.market) else { return };
        match (update.event, &mut row.data, frame) {
            (Event::Book { book, .. }, Data::Book(end), frame) => {
                if end.moments.last().map_or(0, |moment| moment.updates) == book.updates() {
                    return;
                }
                if !room {
                    end.moments_lost = true;
                    end.moments.clear();
                    return;
                }
                end.moments.push(BookMoment::of(book, frame));
                self.session.states += 1;
            }
            (Event::Trades(trades), Data::Trades(rows, sum), Some(frame)) => {
                for trade in trades {
                    rows.push(*trade, &frame);
                    *sum = sum.and_then(|sum| sum.checked_add(trade.amount));
                }
            }
            (Event::BidAsk(quote), Data::BidAsk(rows), Some(frame)) => rows.push(*quote, &frame),
            (Event::Ticker(ticker), Data::Ticker(rows), Some(frame)) => rows.push(*ticker, &frame),
            (Event::Candle(candle), Data::Candles(rows), Some(frame)) => rows.push(*candle, &frame),
            _ => {}
        }
    }
}

impl BookMoment {
    fn of(book: &Book, frame: Option<Rc<str>>) -> BookMoment {
        let known = book.last_known();
        let side = |side: &Side| (side.levels_all().next(), side.len_all());
        BookMoment {
            updates: book.updates(),
            frame,
            sides: [side(known.bids), side(known.asks)],
            price_scale: book.price_scale(),
            amount_scale: book.amount_scale(),
        }
    }

    fn to_json(&self) -> Value {
        let side = |(best, levels): &(Option<Level>, usize)| {
            best.map(|level| {
                let price = Fixed::new(level.price, self.price_scale).to_string();
                let amount = Fixed::new(level.qty, self.amount_scale).to_string();
                json!([price, amount, levels])
            })
        };
        let frame = self.frame.as_ref().map(|frame| frame.to_string());
        json!([self.updates, frame, side(&self.sides[0]), side(&self.sides[1])])
    }
}

impl BookEnd {
    fn take_down(&mut self, book: &Book) {
        let known = book.last_known();
        self.updates = book.updates();
        self.state = Some(book.state());
        self.cause = book.cause().to_string();
        self.nonce = book.nonce();
        self.venue_time = book.venue_time();
        self.crossed = book.is_crossed();
        self.sides = [SideEnd::of(book, known.bids), SideEnd::of(book, known.asks)];
    }

    /// Up to eight moments, evenly spread over the updates. A moment within a join of snapshot and held deltas was
    /// never seen from outside, and is left out.
    fn checkpoints(&self) -> Vec<Value> {
        let mut wanted: Vec<u64> =
            (0..CHECKPOINTS).map(|at| 1 + at * self.updates.saturating_sub(1) / (CHECKPOINTS - 1)).collect();
        wanted.dedup();
        let moment = |updates| {
            let at = self.moments.binary_search_by_key(updates, |moment| moment.updates).ok()?;
            Some(self.moments[at].to_json())
        };
        wanted.iter().filter_map(moment).collect()
    }

    fn to_json(&self) -> Value {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        put("updates", self.updates.into());
        put("state", self.state.map_or("", BookState::as_str).into());
        put("cause", self.cause.as_str().into());
        put("sequence", self.nonce.into());
        put("ts", self.venue_time.map(seconds).into());
        put(
            "frame_t",
            self.moments.last().and_then(|moment| moment.frame.as_ref()).map(|frame| frame.to_string()).into(),
        );
        put("crossed", self.crossed.into());
        for (name, side) in ["bids", "asks"].into_iter().zip(&self.sides) {
            let best = side.best.iter().map(|(price, amount)| json!([price.to_string(), amount.to_string()]));
            put(name, best.collect::<Vec<_>>().into());
            put(&format!("{name}_levels"), side.levels.into());
            put(&format!("{name}_size_sum"), side.amount_sum.as_str().into());
            put(&format!("{name}_sha256"), side.sha256.as_str().into());
        }
        if !self.moments_lost {
            put("checkpoints", self.checkpoints().into());
        }
        map.into()
    }
}

impl SideEnd {
    fn of(book: &Book, side: &Side) -> SideEnd {
        let mut end = SideEnd { levels: side.len_all(), ..SideEnd::default() };
        let mut hash = Sha256::new();
        let mut sum: i128 = 0;
        for level in side.levels_all() {
            let (price, amount) = (book.price(level), book.amount(level));
            if end.best.len() < LEVELS_SHOWN {
                end.best.push((price, amount));
            }
            // At most some ten thousand times an i64, which an i128 holds.
            sum += i128::from(level.qty);
            hash.update(format!("{price} {amount}\n"));
        }
        end.amount_sum = plain(sum, book.amount_scale());
        end.sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        end
    }
}

/// `mantissa` / 10^`scale` without needless zeros, for sums that may be wider than 64 bits.
fn plain(mantissa: i128, scale: u8) -> String {
    let digits = format!("{:0>width$}", mantissa.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, decimals) = digits.split_at(digits.len() - usize::from(scale));
    let decimals = decimals.trim_end_matches('0');
    let sign = if mantissa < 0 { "-" } else { "" };
    if decimals.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{decimals}") }
}

/// Unix seconds with microseconds, the nearest double.
fn seconds(wall: Wall) -> f64 {
    (wall.0 / 1_000) as f64 / 1e6
}

impl Session {
    pub(super) fn new(name: String) -> Session {
        Session {
            name,
            frames: 0,
            unrouted: 0,
            channels: HashMap::new(),
            rows: Vec::new(),
            index: HashMap::new(),
            states: 0,
        }
    }

    /// Takes the books down as they are at the end, and names the markets.
    pub(super) fn finish(&mut self, core: &Core) {
        for row in &mut self.rows {
            let market = row.market.and_then(|market| core.market(market));
            row.symbol = market.map_or_else(String::new, |market| market.venue_symbol.to_string());
            if let (Data::Book(end), Ok(book)) = (&mut row.data, core.book(row.feed)) {
                end.take_down(book);
            }
        }
        self.rows.sort_by(|a, b| a.symbol.cmp(&b.symbol));
    }

    /// Makes sure that a book is shown even if nothing ever comes of it.
    pub(super) fn expect(&mut self, feed: FeedId, market: MarketId) {
        self.row(feed, Some(market));
    }

    /// The row of a channel of a market. `None` for a feed that nobody named.
    fn row(&mut self, feed: FeedId, market: Option<MarketId>) -> Option<&mut Row> {
        let at = match self.index.get(&(feed, market)) {
            Some(at) => *at,
            None => {
                let channel = *self.channels.get(&feed)?;
                let data = match channel {
                    Channel::Book | Channel::TopBook(_) => Data::Book(Box::default()),
                    Channel::Trades | Channel::AggTrades => Data::Trades(Rows::new(), Some(Fixed::ZERO)),
                    Channel::BidAsk | Channel::AllBidsAsks => Data::BidAsk(Rows::new()),
                    Channel::Candles(_) => Data::Candles(Rows::new()),
                    Channel::Ticker | Channel::AllTickers => Data::Ticker(Box::new(Rows::new())),
                    _ => return None,
                };
                self.rows.push(Row { feed, channel, market, symbol: String::new(), data });
                self.index.insert((feed, market), self.rows.len() - 1);
                self.rows.len() - 1
            }
        };
        self.rows.get_mut(at)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut symbols: Map<String, Value> = Map::new();
        for row in &self.rows {
            let (name, value) = row.to_json();
            if matches!(value, Value::Null) {
                continue;
            }
            let entry = symbols.entry(row.symbol.clone()).or_insert_with(|| json!({ "id": row.symbol }));
            // A second channel of the same kind goes by its full name.
            let name = if entry.get(name).is_some() { format!("{name} {:?}", row.channel) } else { name.to_owned() };
            entry[name] = value;
        }
        json!({ "frames": self.frames, "unrouted": self.unrouted, "symbols": symbols })
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{}: {} messages", self.name, self.frames)?;
        if self.unrouted > 0 {
            write!(out, ", {} of topics that were not subscribed", self.unrouted)?;
        }
        writeln!(out)?;
        let mut table = Table::new(&["MARKET", "CHANNEL", ">COUNT", "STATE", "LAST"]);
        for row in &self.rows {
            table.row(row.cells());
        }
        table.write(out)
    }
}

impl Row {
    /// The name of its kind, and what came; null if nothing did.
    fn to_json(&self) -> (&'static str, Value) {
        match &self.data {
            Data::Book(end) if end.updates == 0 => ("l2_book", Value::Null),
            Data::Book(end) => ("l2_book", end.to_json()),
            Data::Trades(rows, sum) => {
                let mut map = rows.to_json(|trade, frame| {
                    json!({
                        "price": trade.price.to_string(),
                        "amount": trade.amount.to_string(),
                        "side": trade.side.map(TakerSide::as_str),
                        "id": Some(trade.id.as_str()).filter(|id| !id.is_empty()),
                        "ts": trade.venue_time.map(seconds),
                        "frame_t": frame,
                    })
                });
                map.insert("amount_sum".to_owned(), sum.map(|sum| sum.to_string()).into());
                ("trades", map.into())
            }
            Data::BidAsk(rows) => {
                let map = rows.to_json(|quote, frame| {
                    json!({
                        "bid": quote.bid.map(|bid| bid.to_string()),
                        "ask": quote.ask.map(|ask| ask.to_string()),
                        // Where the venue gives no time, the time of the frame stands in, as it was written.
                        "ts": quote.venue_time.map_or_else(|| Value::from(frame), |time| seconds(time).into()),
                        "frame_t": frame,
                    })
                });
                ("ticker", map.into())
            }
            Data::Ticker(rows) => {
                let map = rows.to_json(|ticker, frame| {
                    json!({
                        "bid": ticker.bid.map(|bid| bid.to_string()),
                        "ask": ticker.ask.map(|ask| ask.to_string()),
                        "last": ticker.last.map(|last| last.to_string()),
                        "base_volume": ticker.base_volume.map(|volume| volume.to_string()),
                        "ts": ticker.venue_time.map(seconds),
                        "frame_t": frame,
                    })
                });
                // A ticker that names the best prices is what others call one.
                let quoted = rows.last.as_ref().is_some_and(|(ticker, _)| ticker.bid.is_some());
                (if quoted { "ticker" } else { "statistics" }, map.into())
            }
            Data::Candles(rows) => {
                let Channel::Candles(timeframe) = self.channel else { return ("candles", Value::Null) };
                let length_ns = i64::from(timeframe.seconds()) * 1_000_000_000;
                let map = rows.to_json(|candle, frame| {
                    json!({
                        "start": seconds(candle.open_time),
                        "stop": seconds(Wall(candle.open_time.0 + length_ns - 1_000_000)),
                        "interval": timeframe.as_str(),
                        "open": candle.open.to_string(),
                        "high": candle.high.to_string(),
                        "low": candle.low.to_string(),
                        "close": candle.close.to_string(),
                        "volume": candle.volume.to_string(),
                        "closed": candle.closed,
                        "frame_t": frame,
                    })
                });
                ("candles", map.into())
            }
        }
    }

    fn cells(&self) -> [String; 5] {
        let text = |number: Option<Fixed>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let (count, state, last) = match &self.data {
            Data::Book(end) => {
                let top = |side: &SideEnd| {
                    side.best.first().map_or_else(|| "-".to_owned(), |(price, amount)| format!("{price} x {amount}"))
                };
                let [bids, asks] = &end.sides;
                let nonce = end.nonce.map_or_else(String::new, |nonce| format!(", nonce {nonce}"));
                let levels = format!("{} + {} levels", bids.levels, asks.levels);
                let last = if end.updates == 0 {
                    end.cause.clone()
                } else {
                    format!("{} / {}, {levels}{nonce}", top(bids), top(asks))
                };
                (end.updates, end.state.map_or("", BookState::as_str), last)
            }
            Data::Trades(rows, sum) => {
                let last = rows.last.as_ref().map_or_else(String::new, |(trade, _)| {
                    let side = trade.side.map_or("", TakerSide::as_str);
                    format!("{side} {} x {}, {} in all", trade.price, trade.amount, text(*sum))
                });
                (rows.count, "", last)
            }
            Data::BidAsk(rows) => {
                let last =
                    rows.last.as_ref().map_or_else(String::new, |(q, _)| format!("{} / {}", text(q.bid), text(q.ask)));
                (rows.count, "", last)
            }
            Data::Ticker(rows) => {
                let last = rows.last.as_ref().map_or_else(String::new, |(ticker, _)| text(ticker.last));
                (rows.count, "", last)
            }
            Data::Candles(rows) => {
                let last = rows.last.as_ref().map_or_else(String::new, |(candle, _)| {
                    let Candle { open, high, low, close, volume, .. } = candle;
                    format!("open {open} high {high} low {low} close {close} volume {volume}")
                });
                (rows.count, "", last)
            }
        };
        let symbol = if self.symbol.is_empty() { "(all)" } else { &self.symbol };
        [symbol.to_owned(), self.channel.as_str().to_owned(), count.to_string(), state.to_owned(), last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_sums_are_written_plainly() {
        assert_eq!(plain(0, 3), "0");
        assert_eq!(plain(1_050, 3), "1.05");
        assert_eq!(plain(-7, 2), "-0.07");
        assert_eq!(plain(i128::from(i64::MAX) * 10, 0), "92233720368547758070");
    }
}
