//! Bitfinex (`bitfinex`), protocol v2: spot and perpetual swaps.
//!
//! A topic is `channel:symbol`, for candles `candles:trade:1m:symbol`; a book has its depth behind it where that is not
//! the usual one: `book:tBTCUSD@25`. Messages name nothing but the number of their channel, which the venue tells when it
//! confirms a subscription. We ask for three things that have to be asked for: checksums of books, the time of each
//! message, and a number that counts all of a connection, so that a lost one is noticed by the next, whichever channel
//! that belongs to. Frames above the decoders are from captures of April 2021 unless it says something else.

mod channels;
mod fetch;
#[cfg(test)]
mod fetch_tests;
#[cfg(test)]
mod order_tests;
mod orders;
mod private;
#[cfg(test)]
mod private_tests;
mod rest;
mod rows;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;

use self::channels::Channels;
use self::rest::{health_of, kind_of, markets, refusal, status};
use super::decoded::Span;
use super::shared::{LevelReader, cut, no_candles, number, snapshots_on_stream, statistic, unreadable};
use super::{
    Act, Answer, AnswerError, Ask, BookKind, Channel, DecodeError, Decoded, Item, MessageLimit, Method, PingRule,
    Profile, Reply, Request, RestLimit, Route, RouteId, Routes, Venue,
};
use crate::book::{Expected, Level, Rule};
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, DocParser, JsonError, JsonErrorKind, Kind};
use crate::market::Market;
use crate::model::{Candle, Id, TakerSide, Ticker, Timeframe, Trade, Wall};

/// Bitfinex.
pub static BITFINEX: Profile = Profile {
    id: "bitfinex",
    name: "Bitfinex",
    ws_url: "wss://api-pub.bitfinex.com",
    ws_path: "/ws/2",
    // That of the account answers public questions, too.
    rest_url: "https://api.bitfinex.com",
    closed: None,
    // A heartbeat comes on each channel every 15 s.
    ping: PingRule { venue_every_s: 15, venue_timeout_s: 60, ask_after_s: 20, dead_after_s: 5 },
    lifetime_s: u32::MAX,
    // The venue has a limit and does not publish it.
    messages: MessageLimit { count: 20, window_ms: 1_000 },
    // Twenty, then a block of a minute.
    connects: MessageLimit { count: 15, window_ms: 60_000 },
    // The documentation says so; the venue takes 36.
    streams_per_link_max: 25,
    topics_per_message_max: 1,
    // Each endpoint has its own limit, from 10 to 90 in a minute; weights are such that none is passed.
    rest: RestLimit { weight: 60, window_ms: 60_000 },
    weight_header: "",
    top_depths: &[25, 100],
    snapshot_depths: &[(DEPTH, 1)],
    timeframes: {
        use Timeframe::*;
        &[M1, M5, M15, M30, H1, H6, H12, D1, W1, Month1]
    },
    rule: Rule::Chain,
    top_rule: Rule::Chain,
    // Levels that fall out of the depth are deleted.
    book_window: 0,
    market_lists: 1,
    ping_text: Some(r#"{"event":"ping","cid":1}"#),
    trading: Some(&private::TRADING),
    open: || Box::new(Bitfinex::default()),
};

/// The weight of a question that may be asked ten times a minute.
const RARE: u32 = 6;

/// Levels of a side in [`Channel::Book`].
const DEPTH: u16 = 250;

/// Bits of `conf`: a time in each message, a number in each message, checksums of books.
const TIMESTAMP: u64 = 1 << 15;
const SEQ_ALL: u64 = 1 << 16;
const OB_CHECKSUM: u64 = 1 << 17;
/// The message that asks for all three.
const CONF: &str = r#"{"event":"conf","flags":229376}"#;
const _: () = assert!(TIMESTAMP | SEQ_ALL | OB_CHECKSUM == 229_376);

/// The adapter.
#[derive(Default)]
struct Bitfinex {
    doc: DocParser,
    channels: Channels,
    counter: Counter,
}

/// The numbers of a connection's messages.
#[derive(Debug, Default, PartialEq)]
enum Counter {
    /// The venue has not confirmed that it counts: what looks like a number may be one of another connection.
    #[default]
    Off,
    /// Any number may come first.
    Start,
    /// This one has to come.
    Next(u64),
}

impl Counter {
    /// A message without a number is not counted.
    #[inline]
    fn see(&mut self, seq: Option<u64>) -> Result<(), DecodeError> {
        let (Some(got), Counter::Start | Counter::Next(_)) = (seq, &*self) else { return Ok(()) };
        let expected = if let Counter::Next(expected) = *self { expected } else { got };
        if got == expected {
            *self = Counter::Next(got.saturating_add(1));
            return Ok(());
        }
        // When it is decoded again it is the one that has to come.
        *self = Counter::Next(got);
        Err(DecodeError::Gap { expected, got })
    }

    /// A message was there and could not be read.
    #[cold]
    fn pass(&mut self) {
        if let Counter::Next(next) = self {
            *next = next.saturating_add(1);
        }
    }
}

impl Venue for Bitfinex {
    fn profile(&self) -> &'static Profile {
        &BITFINEX
    }

    fn reset(&mut self) {
        self.channels.clear();
        self.counter = Counter::Off;
    }

    fn greeting(&self) -> Option<&'static str> {
        Some(CONF)
    }

    fn topic(&self, market: Option<&Market>, channel: Channel, out: &mut String) -> Result<(), Error> {
        let unsupported = |what: &str| Err(Error::new(ErrorKind::NotSupported, what.to_owned()).at(BITFINEX.id));
        let symbol = market.map_or("", |market| &market.venue_symbol);
        out.push_str(&match channel {
            Channel::Book => book_topic(symbol, DEPTH),
            Channel::TopBook(depth) => book_topic(symbol, depth),
            Channel::Trades => format!("trades:{symbol}"),
            Channel::Ticker => format!("ticker:{symbol}"),
            Channel::Candles(timeframe) => match INTERVALS.iter().find(|row| row.1 == timeframe) {
                Some((name, _)) => format!("candles:trade:{name}:{symbol}"),
                None => return Err(no_candles(&BITFINEX, timeframe)),
            },
            Channel::BidAsk => return unsupported("has no stream of best bid and ask; watch the book"),
            Channel::AggTrades => return unsupported("has no stream of aggregated trades; watch trades"),
            Channel::AllTickers => return unsupported("has no stream of all tickers; name the symbols"),
            Channel::AllBidsAsks => return unsupported("has no stream of all bids and asks; watch the books"),
            Channel::Status | Channel::Private(_) => {
                return unsupported("tells its status on every connection, and by REST");
            }
        });
        Ok(())
    }

    fn parse_topic(&self, topic: &str) -> Option<(Channel, Option<String>)> {
        let (name, rest) = topic.split_once(':')?;
        let (channel, symbol) = match name {
            "book" => match rest.split_once('@') {
                Some((symbol, depth)) => (Channel::TopBook(depth.parse().ok()?), symbol),
                None => (Channel::Book, rest),
            },
            "trades" => (Channel::Trades, rest),
            "ticker" => (Channel::Ticker, rest),
            "candles" => {
                let (interval, symbol) = rest.strip_prefix("trade:")?.split_once(':')?;
                (Channel::Candles(INTERVALS.iter().find(|row| row.0 == interval)?.1), symbol)
            }
            _ => return None,
        };
        Some((channel, Some(symbol.to_owned())))
    }

    /// Known once the confirmation of the subscription was read.
    fn topic_of(&self, frame: &[u8]) -> Option<String> {
        let mut c = Cursor::new(frame);
        c.open_array().ok()?;
        self.channels.peek(c.u64().ok()?).map(str::to_owned)
    }

    fn topics_of_subscription(&self, message: &[u8]) -> Vec<String> {
        let mut event = Event::default();
        match event.read(message) {
            Ok(()) if event.event == "subscribe" => event.topic().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// `{"event":"subscribe","channel":"book","symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"25"}`,
    /// `{"event":"subscribe","channel":"candles","key":"trade:1m:tBTCUSD"}`, `{"event":"unsubscribe","chanId":232957}`, for
    /// one topic. Nothing while the number of a channel to leave is not known.
    fn subscription(&self, act: Act, topics: &[&str], _: u64, out: &mut Vec<u8>) {
        let Some((topic, (channel, rest))) = topics.first().and_then(|topic| Some((topic, topic.split_once(':')?)))
        else {
            return;
        };
        let text = match (act, channel) {
            (Act::Unsubscribe, _) => match self.channels.number(topic) {
                Some(number) => format!(r#"{{"event":"unsubscribe","chanId":{number}}}"#),
                None => return,
            },
            (Act::Subscribe, "book") => {
                let (symbol, depth) = rest.split_once('@').unwrap_or((rest, "250"));
                let options = format!(r#""prec":"P0","freq":"F0","len":"{depth}""#);
                format!(r#"{{"event":"subscribe","channel":"book","symbol":"{symbol}",{options}}}"#)
            }
            (Act::Subscribe, "candles") => format!(r#"{{"event":"subscribe","channel":"candles","key":"{rest}"}}"#),
            (Act::Subscribe, _) => format!(r#"{{"event":"subscribe","channel":"{channel}","symbol":"{rest}"}}"#),
        };
        out.extend_from_slice(text.as_bytes());
    }

    fn on_frame(&mut self, frame: &[u8], routes: &Routes, out: &mut Decoded) -> Result<(), DecodeError> {
        let Bitfinex { channels, counter, .. } = self;
        if on_usual_level(frame, channels, counter, routes, out).is_some() {
            return Ok(());
        }
        out.clear();
        match frame.trim_ascii_start().first() {
            Some(b'[') => on_data(frame, channels, counter, routes, out),
            _ => on_event(frame, channels, counter, out),
        }
    }

    fn request(&self, ask: Ask, _: Option<&Market>) -> Result<Request, Error> {
        let target = match ask {
            Ask::Markets | Ask::MoreMarkets(_) => "/v2/conf/pub:info:pair,pub:info:pair:futures",
            Ask::Status => "/v2/platform/status",
            Ask::Snapshot { .. } => return Err(snapshots_on_stream().at(BITFINEX.id)),
        };
        Ok(Request { method: Method::Get, target: target.to_owned(), weight: RARE })
    }

    fn on_reply(
        &mut self,
        ask: Ask,
        reply: &Reply<'_>,
        _: &Route,
        now: Wall,
        _: &mut Decoded,
    ) -> Result<Answer, AnswerError> {
        let refused = |error: Error| AnswerError::Refused(error.at(BITFINEX.id));
        if reply.status != 200 {
            return Err(refused(refusal(reply)));
        }
        let doc = self.doc.parse(reply.body).map_err(|error| refused(unreadable(error)))?;
        match ask {
            Ask::Markets | Ask::MoreMarkets(_) => markets(&doc).map(Answer::Markets).map_err(refused),
            Ask::Status => status(&doc, now).map(Answer::Status).map_err(refused),
            Ask::Snapshot { .. } => Err(refused(snapshots_on_stream())),
        }
    }
}

/// Bitfinex's names of the intervals.
const INTERVALS: [(&str, Timeframe); 10] = {
    use Timeframe::*;
    [
        ("1m", M1),
        ("5m", M5),
        ("15m", M15),
        ("30m", M30),
        ("1h", H1),
        ("6h", H6),
        ("12h", H12),
        ("1D", D1),
        ("7D", W1),
        ("1M", Month1),
    ]
};

fn book_topic(symbol: &str, depth: u16) -> String {
    if depth == DEPTH { format!("book:{symbol}") } else { format!("book:{symbol}@{depth}") }
}

/// One level of a book as the venue writes it, numbered and without a blank: `[17082,[60397,2,-0.51],7,1633998523964]`.
/// `None` if anything is different, or unusual: then [`on_data`] reads it from the start, and what this added to `out` is
/// to be given up.
///
/// It does what [`on_data`] does and is its twin; it exists because most messages by far are of this kind.
#[inline(always)]
fn on_usual_level(
    frame: &[u8],
    channels: &mut Channels,
    counter: &mut Counter,
    routes: &Routes,
    out: &mut Decoded,
) -> Option<()> {
    let mut c = Cursor::new(frame);
    if !c.eat_text(b"[") {
        return None;
    }
    let topic = channels.topic(c.plain_early_u64()?)?;
    if !c.eat_text(b",[") {
        return None;
    }
    let (id, route) = routes.find(topic.as_bytes())?;
    if !matches!(route.channel, Channel::Book | Channel::TopBook(_)) {
        return None;
    }
    let price = c.decimal(route.price_scale).ok()?;
    let (is_bid, qty) = if c.eat_text(b",0,1],") {
        (true, 0)
    } else if c.eat_text(b",0,-1],") {
        (false, 0)
    } else {
        if !c.eat_text(b",1,") && (!c.eat_text(b",") || c.plain_early_u64()? == 0 || !c.eat_text(b",")) {
            return None;
        }
        let amount = c.decimal(route.amount_scale).ok()?;
        if amount == 0 || !c.eat_text(b"],") {
            return None;
        }
        (amount > 0, amount.checked_abs()?)
    };
    let bare = |c: &mut Cursor<'_>| if c.peek() == Kind::Number { c.u64().ok() } else { None };
    let seq = bare(&mut c)?;
    let mut venue_time = None;
    if c.eat_text(b",") {
        let ms = bare(&mut c)?;
        if ms < Tail::TIMES_START {
            return None;
        }
        venue_time = Some(Wall::from_ms(i64::try_from(ms).ok()?));
    }
    if !c.eat_text(b"]") || !c.is_at_end() || *counter != Counter::Next(seq) {
        return None;
    }
    *counter = Counter::Next(seq.saturating_add(1));
    let start = out.levels_start();
    out.push_level(Level { price, qty });
    let (level, none) = (out.levels_since(start), Span::default());
    let (bids, asks) = if is_bid { (level, none) } else { (none, level) };
    let (kind, first, last, prev, rejected, checksum) = (BookKind::Delta, seq, seq, None, 0, None);
    out.items.push(Item::Book { route: id, kind, first, last, prev, venue_time, bids, asks, rejected, checksum });
    Some(())
}

/// What a message of a channel holds, until it is known to be whole.
enum Body {
    Quiet(Option<Expected>),
    Book {
        kind: BookKind,
        bids: Span,
        asks: Span,
        rejected: u32,
    },
    Trades(Span),
    /// Its row.
    Ticker(u32),
    Candles(Span),
    /// Nothing to tell.
    Nothing,
}

/// `[chanId,payload]` or `[chanId,"word",payload]`, with the number and the time of the message at the end.
#[inline]
fn on_data(
    frame: &[u8],
    channels: &mut Channels,
    counter: &mut Counter,
    routes: &Routes,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    let mut c = Cursor::new(frame);
    let mut found = None;
    let read = read_data(&mut c, channels, routes, &mut found, out);
    let (body, tail) = read.map_err(|error| {
        let error = DecodeError::of_json(error, found);
        if let DecodeError::Malformed { .. } = error {
            counter.pass();
        }
        error
    })?;
    counter.see(tail.seq)?;
    let Some((route, _)) = found else {
        let is_quiet = matches!(body, Body::Quiet(_));
        // Heartbeats come before the channel is confirmed as well.
        out.items.push(if is_quiet { Item::Heartbeat } else { Item::Unrouted });
        return Ok(());
    };
    let (last, venue_time) = (tail.seq.unwrap_or(0), tail.time);
    match body {
        Body::Book { kind, bids, asks, rejected } => {
            let (first, prev, checksum) = (last, None, None);
            out.items.push(Item::Book { route, kind, first, last, prev, venue_time, bids, asks, rejected, checksum });
        }
        Body::Quiet(checksum) => out.items.push(Item::Unchanged { route, checksum }),
        Body::Trades(trades) => out.items.push(Item::Trades { route, trades }),
        Body::Ticker(row) => {
            out.stamp_ticker(row, venue_time);
            out.items.push(Item::Ticker { route, row, symbol: None });
        }
        Body::Candles(candles) => out.push_candles(route, candles, venue_time),
        Body::Nothing => out.items.push(Item::Heartbeat),
    }
    Ok(())
}

#[inline]
fn read_data<'r>(
    c: &mut Cursor<'_>,
    channels: &mut Channels,
    routes: &'r Routes,
    found: &mut Option<(RouteId, &'r Route)>,
    out: &mut Decoded,
) -> Result<(Body, Tail), JsonError> {
    c.open_array()?;
    let topic = channels.topic(c.u64()?);
    *found = topic.and_then(|topic| routes.find(topic.as_bytes()));
    c.comma()?;
    let body = match (c.peek(), *found) {
        (Kind::String, found) => match (c.bytes()?, found) {
            (b"hb", _) => Body::Quiet(None),
            // `[232957,"cs",-890884919,17]`
            (b"cs", _) => {
                c.comma()?;
                Body::Quiet(Some(Expected::Bitfinex(c.i64()? as i32)))
            }
            // `[89,"te",[382489563,1564617600709,0.00705845,10087.98969503],18]`, of 2019. The same comes as `tu` again.
            (b"te", Some((_, route))) if route.channel == Channel::Trades => {
                c.comma()?;
                Body::Trades(on_trade(c, route, out)?)
            }
            _ => {
                c.comma()?;
                c.skip()?;
                Body::Nothing
            }
        },
        (_, Some((_, route))) => match route.channel {
            Channel::Book | Channel::TopBook(_) => on_book(c, route, out)?,
            Channel::Trades => on_trades(c, route, out)?,
            Channel::Ticker => on_ticker(c, out)?,
            Channel::Candles(_) => on_candles(c, route, out)?,
            _ => {
                c.skip()?;
                Body::Nothing
            }
        },
        (_, None) => {
            c.skip()?;
            Body::Nothing
        }
    };
    let tail = Tail::read(c)?;
    c.finish()?;
    Ok((body, tail))
}

/// What stands behind the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tail {
    seq: Option<u64>,
    time: Option<Wall>,
}

impl Tail {
    /// No connection will ever have so many messages, and no time is as small.
    const TIMES_START: u64 = 1_000_000_000_000;

    /// `,18,1564617600784]`, or one of both, or none. More may be put before them one day, so that the end counts.
    #[inline]
    fn read(c: &mut Cursor<'_>) -> Result<Tail, JsonError> {
        let (mut before, mut last) = (None, None);
        loop {
            if c.eat_text(b"]") {
                break;
            }
            c.comma()?;
            if c.peek() == Kind::Number {
                (before, last) = (last, Some(c.u64()?));
            } else {
                c.skip()?;
            }
        }
        Ok(match last {
            Some(ms) if ms >= Tail::TIMES_START => {
                Tail { seq: before, time: Some(Wall::from_ms(i64::try_from(ms).unwrap_or(i64::MAX))) }
            }
            seq => Tail { seq, time: None },
        })
    }
}

/// A snapshot `[[PRICE,COUNT,AMOUNT],..]`, bids before asks, or one row: `[0.0011829,0,-1]`. A count of 0 deletes the
/// level, the sign of the amount tells the side, asks are negative.
#[inline]
fn on_book(c: &mut Cursor<'_>, route: &Route, out: &mut Decoded) -> Result<Body, JsonError> {
    let mut reader = LevelReader::new(route.price_scale, route.amount_scale);
    let start = out.levels_start();
    let mut ahead = *c;
    ahead.open_array()?;
    let is_row = ahead.peek() == Kind::Number;
    if is_row {
        on_level(c, &mut reader, out)?;
    } else {
        let mut left = route.levels_max.saturating_mul(2);
        c.array(|c| {
            left = left.checked_sub(1).ok_or_else(|| JsonError::new(JsonErrorKind::LevelsMax, c.position()))?;
            on_level(c, &mut reader, out)
        })?;
    }
    reader.finish(c)?;
    let kind = if is_row { BookKind::Delta } else { BookKind::Snapshot { bids_cut: false, asks_cut: false } };
    let bids = out.levels_since(start);
    let asks = out.mixed_asks();
    Ok(Body::Book { kind, bids, asks, rejected: reader.rejected })
}

#[inline]
fn on_level(c: &mut Cursor<'_>, reader: &mut LevelReader, out: &mut Decoded) -> Result<(), JsonError> {
    let start = *c;
    c.open_array()?;
    let price = reader.price(c)?;
    c.comma()?;
    let count = c.u64()?;
    c.comma()?;
    let amount = reader.amount(c)?;
    c.close_array()?;
    let Some(Level { price, qty }) = LevelReader::level(price, amount) else { return Ok(()) };
    let size = if count == 0 { 0 } else { qty.saturating_abs() };
    let level = Level { price, qty: size };
    match qty {
        1.. => out.push_level(level),
        0 => return Err(start.missing()),
        _ => out.push_mixed_ask(level),
    }
    Ok(())
}

/// `[[669899159,1618665870435,166.391496,0.076989],..]`, the newest first: they are turned round.
fn on_trades(c: &mut Cursor<'_>, route: &Route, out: &mut Decoded) -> Result<Body, JsonError> {
    let mut trades: Option<Span> = None;
    c.array(|c| {
        let span = on_trade(c, route, out)?;
        trades = Some(trades.map_or(span, |first| first.through(span)));
        Ok(())
    })?;
    let Some(trades) = trades else { return Ok(Body::Nothing) };
    out.turn_trades(trades);
    Ok(Body::Trades(trades))
}

/// `[669899159,1618665870435,166.391496,0.076989]`: id, time, amount, price. The taker sold where the amount is negative.
#[inline]
fn on_trade(c: &mut Cursor<'_>, route: &Route, out: &mut Decoded) -> Result<Span, JsonError> {
    c.open_array()?;
    let start = *c;
    let Some(id) = Id::new(c.number_text()?) else { return Err(start.missing()) };
    c.comma()?;
    let venue_time = Some(Wall::from_ms(c.i64()?));
    c.comma()?;
    let amount = number(c, route.amount_scale)?;
    c.comma()?;
    let price = number(c, route.price_scale)?;
    c.close_array()?;
    let side = Some(if amount.mantissa() < 0 { TakerSide::Sell } else { TakerSide::Buy });
    let amount = Fixed::new(amount.mantissa().saturating_abs(), amount.scale());
    Ok(out.add_trade(Trade { id, venue_time, price, amount, side }))
}

/// `[0.068965,60157.36709703,0.0774,48578.50804052,0.001969,0.0262,0.076989,101459.39453471,0.0828,0.068961]`: bid,
/// amount of the 25 best bids, ask, amount of the 25 best asks, change, the same as a fraction, last, volume, high, low; a
/// null more since 2026.
fn on_ticker(c: &mut Cursor<'_>, out: &mut Decoded) -> Result<Body, JsonError> {
    let start = *c;
    let (mut cells, mut column) = ([None; 10], 0);
    c.array(|c| {
        match cells.get_mut(column) {
            Some(cell) => *cell = statistic(c)?,
            None => c.skip()?,
        }
        column += 1;
        Ok(())
    })?;
    if column < cells.len() {
        return Err(start.missing());
    }
    // What lies at the best price alone the venue does not tell.
    let [bid, _, ask, _, change, fraction, last, base_volume, high, low] = cells;
    let percentage = fraction.and_then(|fraction| fraction.checked_mul(Fixed::new(100, 0)));
    let open = last.zip(change).and_then(|(last, change)| last.checked_sub(change));
    let ticker = Ticker { bid, ask, open, last, high, low, change, percentage, base_volume, ..Ticker::default() };
    Ok(Body::Ticker(out.add_ticker(ticker)))
}

/// `[[1654074480000,31636,31636,31636,31636,0.0001],..]`, the newest first, or one of them; of 2022.
fn on_candles(c: &mut Cursor<'_>, route: &Route, out: &mut Decoded) -> Result<Body, JsonError> {
    let start = out.candles_start();
    let mut ahead = *c;
    ahead.open_array()?;
    if ahead.peek() == Kind::Number {
        on_candle(c, route, out)?;
    } else {
        c.array(|c| on_candle(c, route, out))?;
    }
    Ok(Body::Candles(out.candles_since(start)))
}

/// `[1654074420000,31633,31631,31640,31631,0.11289119]`: start, open, close, high, low, volume.
fn on_candle(c: &mut Cursor<'_>, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    c.open_array()?;
    let open_time = Wall::from_ms(c.i64()?);
    let mut prices = [Fixed::ZERO; 4];
    for price in &mut prices {
        c.comma()?;
        *price = number(c, route.price_scale)?;
    }
    c.comma()?;
    let volume = c.fixed_round()?;
    c.close_array()?;
    let [open, close, high, low] = prices;
    let (venue_time, quote_volume, trades, closed) = (None, None, None, false);
    out.add_candle(Candle { open_time, venue_time, open, high, low, close, volume, quote_volume, trades, closed });
    Ok(())
}

/// Everything that is an object: what we sent, as it is confirmed or refused, and notices.
#[derive(Default)]
struct Event<'a> {
    event: &'a str,
    channel: &'a str,
    symbol: &'a str,
    key: &'a str,
    prec: &'a str,
    len: &'a str,
    number: Option<u64>,
    code: Option<u64>,
    message: &'a str,
    status: &'a str,
    flags: u64,
    /// `platform` of the first message.
    platform: Option<u64>,
}

impl<'a> Event<'a> {
    fn read(&mut self, frame: &'a [u8]) -> Result<(), JsonError> {
        let mut c = Cursor::new(frame);
        c.object(|c, key| {
            let text = match key {
                b"event" => &mut self.event,
                b"channel" => &mut self.channel,
                b"symbol" => &mut self.symbol,
                b"key" => &mut self.key,
                b"prec" => &mut self.prec,
                b"status" => &mut self.status,
                b"msg" => {
                    self.message = c.raw_str()?;
                    return Ok(());
                }
                // A number in quotes; some clients leave the quotes out.
                b"len" => {
                    self.len = std::str::from_utf8(c.number_text()?).unwrap_or_default();
                    return Ok(());
                }
                b"chanId" => {
                    self.number = Some(c.u64()?);
                    return Ok(());
                }
                b"code" => {
                    self.code = Some(c.u64()?);
                    return Ok(());
                }
                b"flags" => {
                    self.flags = c.u64()?;
                    return Ok(());
                }
                b"platform" => {
                    return c.object(|c, key| {
                        if key == b"status" {
                            self.platform = Some(c.u64()?);
                            return Ok(());
                        }
                        c.skip()
                    });
                }
                _ => return c.skip(),
            };
            *text = c.str()?;
            Ok(())
        })?;
        c.finish()
    }

    /// The topic of a subscription. Nothing for a book of orders, or of rounded prices.
    fn topic(&self) -> Option<String> {
        match (self.channel, self.prec) {
            ("book", "P0" | "") => {
                Some(book_topic(self.symbol, if self.len.is_empty() { 25 } else { self.len.parse().ok()? }))
            }
            ("ticker" | "trades", _) => Some(format!("{}:{}", self.channel, self.symbol)),
            ("candles", _) => Some(format!("candles:{}", self.key)),
            _ => None,
        }
    }
}

/// `{"event":"subscribed","channel":"book","chanId":232957,"symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"25",
/// "pair":"BTCUSD"}`, `{"event":"unsubscribed","status":"OK","chanId":232957}`, `{"event":"error","msg":"symbol: invalid",
/// "code":10300,"channel":"book","symbol":"tNOPE","prec":"P0","len":"25","pair":"NOPE"}`, `{"event":"conf","status":"OK",
/// "flags":196608}`, `{"event":"info","version":2,"serverId":"..","platform":{"status":1}}`, `{"event":"info","code":20051,
/// "msg":".."}`, `{"event":"pong","ts":1511545528111,"cid":1}`.
#[cold]
fn on_event(
    frame: &[u8],
    channels: &mut Channels,
    counter: &mut Counter,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    let mut event = Event::default();
    event.read(frame).map_err(|error| DecodeError::Malformed { route: None, error })?;
    let item = match event.event {
        "subscribed" => confirmed(&event, channels),
        "unsubscribed" => match event.number.and_then(|number| channels.remove(number)) {
            Some(topic) => Item::Settled { act: Act::Unsubscribe, topic },
            None => Item::Heartbeat,
        },
        "conf" if event.status == "OK" => {
            *counter = if event.flags & SEQ_ALL == 0 { Counter::Off } else { Counter::Start };
            Item::Heartbeat
        }
        "error" | "conf" => refused(&event, channels),
        "info" => match (event.code, event.platform) {
            // The server restarts: connect again.
            (Some(20_051), _) => Item::Shutdown,
            (Some(20_060), _) => Item::Status(health_of(0)),
            // The end of maintenance: everything is to be subscribed again.
            (Some(20_061), _) => {
                out.items.push(Item::Status(health_of(1)));
                Item::Shutdown
            }
            (_, Some(state)) => Item::Status(health_of(state)),
            _ => Item::Heartbeat,
        },
        _ => Item::Heartbeat,
    };
    out.items.push(item);
    Ok(())
}

fn confirmed(event: &Event<'_>, channels: &mut Channels) -> Item {
    match (event.topic(), event.number) {
        (Some(topic), Some(number)) if channels.insert(number, &topic) => {
            Item::Settled { act: Act::Subscribe, topic: topic.into() }
        }
        // Of a channel that is not read.
        _ => Item::Heartbeat,
    }
}

fn refused(event: &Event<'_>, channels: &mut Channels) -> Item {
    let code = event.code.unwrap_or(0);
    if code == 10_301 && event.number.is_some() {
        // Subscribed already: this is the number.
        return confirmed(event, channels);
    }
    let text = if event.message.is_empty() { format!("{} was refused", event.event) } else { cut(event.message) };
    let error = Error::new(kind_of(code, event.message), text).with_code(code).at(BITFINEX.id);
    let topic = event.topic().or_else(|| event.number.and_then(|number| channels.remove(number)).map(String::from));
    match topic {
        Some(topic) => Item::TopicRefused { topic: topic.into(), error },
        None => Item::Refusal { id: None, error },
    }
}
