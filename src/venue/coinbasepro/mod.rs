//! Coinbase Exchange (`coinbasepro`), which was Coinbase Pro until 2022: spot.
//!
//! A topic is `channel:product`; `level2` stands for the batched channel of that name, which needs no key. The book comes
//! whole on the stream, then in changes without any number: the order of the stream is all there is. Frames above the
//! decoders are from captures of April 2021; what differs since then is said there.

mod fetch;
#[cfg(test)]
mod fetch_tests;
mod orders;
mod private;
#[cfg(test)]
mod private_tests;
mod rest;
mod rows;
#[cfg(test)]
mod tests;

use self::rest::{markets, refusal};
use super::routes::Name;
use super::shared::{IsoTimes, LevelReader, cut, snapshots_on_stream, statistic, unreadable};
use super::{
    Act, Answer, AnswerError, Ask, BookKind, Channel, DecodeError, Decoded, Item, MessageLimit, Method, PingRule,
    Profile, Reply, Request, RestLimit, Route, Routes, Venue,
};
use crate::book::{Level, Rule};
use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, DocParser, JsonError, JsonErrorKind, Kind};
use crate::market::Market;
use crate::model::{Health, Id, Status, TakerSide, Ticker, Timeframe, Trade, Wall};
use crate::sys::pairs::Between;

/// Coinbase Exchange.
pub static COINBASEPRO: Profile = Profile {
    id: "coinbasepro",
    name: "Coinbase Exchange",
    ws_url: "wss://ws-feed.exchange.coinbase.com",
    ws_path: "",
    rest_url: "https://api.exchange.coinbase.com",
    closed: None,
    ping: PingRule { venue_every_s: 0, venue_timeout_s: 0, ask_after_s: 5, dead_after_s: 5 },
    lifetime_s: u32::MAX,
    messages: MessageLimit { count: 50, window_ms: 1_000 },
    connects: MessageLimit { count: 8, window_ms: 1_000 },
    streams_per_link_max: 200,
    topics_per_message_max: 50,
    rest: RestLimit { weight: 10, window_ms: 1_000 },
    weight_header: "",
    top_depths: &[],
    snapshot_depths: &[(u16::MAX, 1)],
    // By REST only.
    timeframes: {
        use Timeframe::*;
        &[M1, M5, M15, H1, H6, D1]
    },
    rule: Rule::Unnumbered,
    top_rule: Rule::Unnumbered,
    book_window: 0,
    market_lists: 1,
    ping_text: None,
    trading: Some(&private::TRADING),
    open: || Box::new(CoinbasePro::default()),
};

/// Levels of one side in a snapshot; the venue sends all there are.
const SNAPSHOT_LEVELS_MAX: usize = 250_000;

/// The adapter.
#[derive(Default)]
struct CoinbasePro {
    doc: DocParser,
    times: IsoTimes,
}

/// Names under which the venue lists a channel, with ours: the channels that start a topic.
const CHANNELS: [(&str, &str); 5] = [
    ("level2", "level2"),
    ("level2_batch", "level2"),
    ("level2_50", "level2"),
    ("ticker", "ticker"),
    ("matches", "matches"),
];

impl Venue for CoinbasePro {
    fn profile(&self) -> &'static Profile {
        &COINBASEPRO
    }

    fn topic(&self, market: Option<&Market>, channel: Channel, out: &mut String) -> Result<(), Error> {
        let unsupported = |what: &str| Err(Error::new(ErrorKind::NotSupported, what.to_owned()).at(COINBASEPRO.id));
        out.push_str(match channel {
            Channel::Book => "level2",
            Channel::Trades => "matches",
            Channel::Ticker => "ticker",
            Channel::TopBook(_) => return unsupported("has no stream of the best levels; watch the book"),
            Channel::BidAsk => return unsupported("has no stream of best bid and ask; watch the book"),
            Channel::Candles(_) => return unsupported("has no stream of candles; watch trades"),
            Channel::AggTrades => return unsupported("has no stream of aggregated trades; watch trades"),
            Channel::AllTickers => return unsupported("has no stream of all tickers; name the symbols"),
            Channel::AllBidsAsks => return unsupported("has no stream of all bids and asks; watch the books"),
            Channel::Status | Channel::Private(_) => return unsupported("has its status by REST here"),
        });
        out.push(':');
        out.push_str(market.map_or("", |market| &market.venue_symbol));
        Ok(())
    }

    fn parse_topic(&self, topic: &str) -> Option<(Channel, Option<String>)> {
        let (name, symbol) = topic.split_once(':')?;
        let channel = match name {
            "level2" => Channel::Book,
            "matches" => Channel::Trades,
            "ticker" => Channel::Ticker,
            _ => return None,
        };
        Some((channel, Some(symbol.to_owned())))
    }

    fn topic_of(&self, frame: &[u8]) -> Option<String> {
        let (mut kind, mut product) = (None, None);
        Cursor::new(frame)
            .object(|c, key| {
                match key {
                    b"type" => kind = Some(c.str()?),
                    b"product_id" => product = Some(c.str()?),
                    _ => c.skip()?,
                }
                Ok(())
            })
            .ok()?;
        let channel = match kind? {
            "snapshot" | "l2update" => "level2",
            "match" | "last_match" => "matches",
            "ticker" => "ticker",
            _ => return None,
        };
        Some(format!("{channel}:{}", product?))
    }

    /// `{"type":"subscribe","product_ids":["BTC-USD"],"channels":["ticker",{"name":"level2","product_ids":["ETH-USD"]}]}`
    fn topics_of_subscription(&self, message: &[u8]) -> Vec<String> {
        let (mut subscribe, mut products, mut channels) = (false, Vec::new(), Vec::new());
        let read = Cursor::new(message).object(|c, key| {
            match key {
                b"type" => subscribe = c.bytes()? == b"subscribe",
                b"product_ids" => products = strings(c)?,
                b"channels" => c.array(|c| {
                    channels.push(read_channel(c)?);
                    Ok(())
                })?,
                _ => c.skip()?,
            }
            Ok(())
        });
        if read.is_err() || !subscribe {
            return Vec::new();
        }
        let mut topics = Vec::new();
        for (name, own) in &channels {
            let Some(name) = our_name(name) else { continue };
            let products = if own.is_empty() { &products } else { own };
            topics.extend(products.iter().map(|product| format!("{name}:{product}")));
        }
        topics
    }

    /// `{"type":"subscribe","channels":[{"name":"level2_batch","product_ids":["BTC-USD"]}]}`
    fn subscription(&self, act: Act, topics: &[&str], _: u64, out: &mut Vec<u8>) {
        let channel = |(ours, venues): (&str, &str)| {
            let of_it = topics.iter().filter_map(|topic| topic.split_once(':')).filter(|(name, _)| *name == ours);
            let products: Vec<String> = of_it.map(|(_, product)| format!("\"{product}\"")).collect();
            let products = Some(products.join(",")).filter(|products| !products.is_empty())?;
            Some(format!(r#"{{"name":"{venues}","product_ids":[{products}]}}"#))
        };
        // `level2` itself needs a key since 2022.
        let names = [("level2", "level2_batch"), ("ticker", "ticker"), ("matches", "matches")];
        let channels: Vec<String> = names.into_iter().filter_map(channel).collect();
        let kind = if act == Act::Subscribe { "subscribe" } else { "unsubscribe" };
        out.extend_from_slice(format!(r#"{{"type":"{kind}","channels":[{}]}}"#, channels.join(",")).as_bytes());
    }

    fn on_frame(&mut self, frame: &[u8], routes: &Routes, out: &mut Decoded) -> Result<(), DecodeError> {
        if on_usual_update(frame, routes, &mut self.times, out).is_some() {
            return Ok(());
        }
        out.clear();
        on_any_frame(frame, routes, &mut self.times, out)
    }

    fn request(&self, ask: Ask, _: Option<&Market>) -> Result<Request, Error> {
        let target = match ask {
            Ask::Markets | Ask::MoreMarkets(_) => "/products",
            // The venue's clock: it answers while the venue lives.
            Ask::Status => "/time",
            Ask::Snapshot { .. } => return Err(snapshots_on_stream().at(COINBASEPRO.id)),
        };
        Ok(Request { method: Method::Get, target: target.to_owned(), weight: 1 })
    }

    fn on_reply(
        &mut self,
        ask: Ask,
        reply: &Reply<'_>,
        _: &Route,
        now: Wall,
        _: &mut Decoded,
    ) -> Result<Answer, AnswerError> {
        let refused = |error: Error| AnswerError::Refused(error.at(COINBASEPRO.id));
        if reply.status != 200 {
            return Err(refused(refusal(reply)));
        }
        match ask {
            Ask::Markets | Ask::MoreMarkets(_) => {
                let doc = self.doc.parse(reply.body).map_err(|error| refused(unreadable(error)))?;
                markets(&doc).map(Answer::Markets).map_err(refused)
            }
            Ask::Status => Ok(Answer::Status(Status { status: Health::Ok, updated: now, emulated: true })),
            Ask::Snapshot { .. } => Err(refused(snapshots_on_stream())),
        }
    }
}

/// Any message, with its members in any order; the plain way beside [`on_usual_update`], and its judge in the tests.
fn on_any_frame(frame: &[u8], routes: &Routes, times: &mut IsoTimes, out: &mut Decoded) -> Result<(), DecodeError> {
    let mut c = Cursor::new(frame);
    // The type comes first but in messages that another program wrote anew.
    let kind = if c.eat_text(b"{\"type\":") { c.bytes() } else { find_member(frame, b"type") };
    match kind {
        Ok(b"l2update" | b"snapshot") => on_level2(frame, routes, times, out),
        Ok(b"match" | b"last_match") => on_match(frame, routes, times, out),
        Ok(b"ticker") => on_ticker(frame, routes, times, out),
        Ok(b"subscriptions") => on_subscriptions(frame, out),
        Ok(b"error") => on_error(frame, out),
        // New types may come at any time.
        Ok(_) => {
            out.items.push(Item::Heartbeat);
            Ok(())
        }
        Err(error) => Err(DecodeError::Malformed { route: None, error }),
    }
}

#[cold]
fn find_member<'f>(frame: &'f [u8], name: &[u8]) -> Result<&'f [u8], JsonError> {
    let mut value = None;
    let start = Cursor::new(frame);
    let mut c = start;
    c.object(|c, key| {
        if key == name {
            value = Some(c.bytes()?);
            return Ok(());
        }
        c.skip()
    })?;
    value.ok_or_else(|| start.missing())
}

/// `{"type":"snapshot","product_id":"SKL-GBP","asks":[["0.5762","2865.9"]],"bids":[]}`, with a `time` since 2022, and
/// `{"type":"l2update","product_id":"YFI-BTC","changes":[["buy","0.82063","0.014210"]],
/// "time":"2021-04-17T16:43:40.217224Z"}`: absolute amounts, zero deletes.
#[inline]
fn on_level2(frame: &[u8], routes: &Routes, times: &mut IsoTimes, out: &mut Decoded) -> Result<(), DecodeError> {
    let found = routes.find_pair(b"level2", product_of(frame).map_err(|error| DecodeError::of_json(error, None))?);
    let Some((id, route)) = found else {
        out.items.push(Item::Unrouted);
        return Ok(());
    };
    let (mut changes, mut bids, mut asks, mut rejected, mut venue_time) = (None, None, None, 0, None);
    let mut c = Cursor::new(frame);
    let read = c.object(|c, key| {
        match key {
            b"changes" => changes = Some(read_changes(c, route, &mut rejected, out)?),
            b"bids" | b"asks" => {
                let (span, n) = out.read_levels(c, route, SNAPSHOT_LEVELS_MAX)?;
                rejected += n;
                *(if key == b"bids" { &mut bids } else { &mut asks }) = Some(span);
            }
            b"time" => venue_time = times.time(c)?,
            _ => c.skip()?,
        }
        Ok(())
    });
    read.and_then(|()| c.finish()).map_err(|error| DecodeError::of_json(error, found))?;
    let (kind, (bids, asks)) = match (changes, bids, asks) {
        (Some(sides), None, None) => (BookKind::Delta, sides),
        (None, Some(bids), Some(asks)) => (BookKind::Snapshot { bids_cut: false, asks_cut: false }, (bids, asks)),
        _ => return Err(DecodeError::of_json(Cursor::new(frame).missing(), found)),
    };
    let (first, last, prev, checksum) = (0, 0, None, None);
    out.items.push(Item::Book { route: id, kind, first, last, prev, venue_time, bids, asks, rejected, checksum });
    Ok(())
}

/// An `l2update` as the venue writes it, member by member in its usual order and without a blank. `None` if anything is
/// different, or unusual: then [`on_any_frame`] reads it from the start, and what this added to `out` is to be given up.
///
/// It does what [`on_level2`] does and is its twin; it exists because telling the members by their names takes most of the
/// time of a small message.
#[inline(always)]
fn on_usual_update(frame: &[u8], routes: &Routes, times: &mut IsoTimes, out: &mut Decoded) -> Option<()> {
    const CHANNEL: Name = Name::new(b"level2");
    const BETWEEN: Between = Between::new(b"\",\"");
    let mut c = Cursor::new(frame);
    if !c.eat_text(b"{\"type\":\"l2update\",\"product_id\":") {
        return None;
    }
    let (id, route) = routes.read_symbol(CHANNEL, &mut c)?;
    if !c.eat_text(b",\"changes\":[") {
        return None;
    }
    let (start, mut left) = (out.levels_start(), route.levels_max);
    loop {
        let is_bid = c.eat_text(b"[\"buy\",");
        if !is_bid && !c.eat_text(b"[\"sell\",") {
            return None;
        }
        let [price, qty] = c.plain_pair(BETWEEN, [route.price_scale, route.amount_scale])?;
        left = left.checked_sub(1)?;
        if is_bid {
            out.push_level(Level { price, qty });
        } else {
            out.push_mixed_ask(Level { price, qty });
        }
        if c.eat_text(b"]],\"time\":") {
            break;
        }
        if !c.eat_text(b"],") {
            return None;
        }
    }
    let venue_time = Some(times.plain_time(&mut c)?);
    if !c.eat_text(b"}") || !c.is_at_end() {
        return None;
    }
    let bids = out.levels_since(start);
    let asks = out.mixed_asks();
    let (kind, first, last, prev, rejected, checksum) = (BookKind::Delta, 0, 0, None, 0, None);
    out.items.push(Item::Book { route: id, kind, first, last, prev, venue_time, bids, asks, rejected, checksum });
    Some(())
}

/// The product, which comes second; wherever it is in messages that another program wrote anew.
#[inline]
fn product_of(frame: &[u8]) -> Result<&[u8], JsonError> {
    let mut c = Cursor::new(frame);
    if c.eat_text(b"{\"type\":") && c.bytes().is_ok() && c.eat_text(b",\"product_id\":") {
        return c.bytes();
    }
    find_member(frame, b"product_id")
}

/// Rows of `["buy","0.82063","0.014210"]`.
#[inline]
fn read_changes(
    c: &mut Cursor<'_>,
    route: &Route,
    rejected: &mut u32,
    out: &mut Decoded,
) -> Result<(super::Span, super::Span), JsonError> {
    let mut reader = LevelReader::new(route.price_scale, route.amount_scale);
    let (start, mut left) = (out.levels_start(), route.levels_max);
    c.array(|c| {
        c.open_array()?;
        let at = *c;
        let is_bid = match c.bytes()? {
            b"buy" => true,
            b"sell" => false,
            _ => return Err(at.missing()),
        };
        c.comma()?;
        let price = reader.price(c)?;
        c.comma()?;
        let amount = reader.amount(c)?;
        c.close_array()?;
        left = left.checked_sub(1).ok_or_else(|| JsonError::new(JsonErrorKind::LevelsMax, c.position()))?;
        match LevelReader::level(price, amount) {
            Some(level) if is_bid => out.push_level(level),
            Some(level) => out.push_mixed_ask(level),
            None => {}
        }
        Ok(())
    })?;
    reader.finish(c)?;
    *rejected += reader.rejected;
    let bids = out.levels_since(start);
    Ok((bids, out.mixed_asks()))
}

/// `{"type":"last_match","trade_id":563678,"maker_order_id":"..","taker_order_id":"..","side":"sell","size":"70",
/// "price":"0.4394","product_id":"NU-GBP","sequence":108779525,"time":"2021-04-17T16:43:18.435588Z"}`: the side of the
/// maker. A `last_match` comes once after subscribing, for the trade before.
#[inline]
fn on_match(frame: &[u8], routes: &Routes, times: &mut IsoTimes, out: &mut Decoded) -> Result<(), DecodeError> {
    let mut found = None;
    let (mut id, mut venue_time, mut price, mut amount, mut side) = (None, None, None, None, None);
    let mut c = Cursor::new(frame);
    let read = c.object(|c, key| {
        match key {
            b"trade_id" => id = Id::new(c.number_text()?),
            b"side" => side = Some(if c.bytes()? == b"sell" { TakerSide::Buy } else { TakerSide::Sell }),
            b"size" => amount = Some(c.fixed()?),
            b"price" => price = Some(c.fixed()?),
            b"product_id" => found = routes.find_pair(b"matches", c.bytes()?),
            b"time" => venue_time = times.time(c)?,
            _ => c.skip()?,
        }
        Ok(())
    });
    read.and_then(|()| c.finish()).map_err(|error| DecodeError::of_json(error, found))?;
    let Some((route, _)) = found else {
        out.items.push(Item::Unrouted);
        return Ok(());
    };
    let (Some(id), Some(price), Some(amount)) = (id, price, amount) else {
        return Err(DecodeError::of_json(Cursor::new(frame).missing(), found));
    };
    let trades = out.add_trade(Trade { id, venue_time, price, amount, side });
    out.items.push(Item::Trades { route, trades });
    Ok(())
}

/// `{"type":"ticker","sequence":201392664,"product_id":"SKL-USD","price":"0.7909","open_24h":"0.7055",
/// "volume_24h":"34162410.20000000","low_24h":"0.6915","high_24h":"0.8098","volume_30d":"948589762.90000000",
/// "best_bid":"0.7909","best_ask":"0.7916","side":"sell","time":"2021-04-17T16:44:00.525119Z","trade_id":1568289,
/// "last_size":"480"}`; since 2022 with `best_bid_size` and `best_ask_size`. The first one may have no time.
fn on_ticker(frame: &[u8], routes: &Routes, times: &mut IsoTimes, out: &mut Decoded) -> Result<(), DecodeError> {
    let mut found = None;
    let mut ticker = Ticker::default();
    let mut c = Cursor::new(frame);
    let read = c.object(|c, key| {
        let field = match key {
            b"product_id" => {
                found = routes.find_pair(b"ticker", c.bytes()?);
                return Ok(());
            }
            b"time" => {
                ticker.venue_time = times.time(c)?;
                return Ok(());
            }
            b"price" => &mut ticker.last,
            b"open_24h" => &mut ticker.open,
            b"high_24h" => &mut ticker.high,
            b"low_24h" => &mut ticker.low,
            b"volume_24h" => &mut ticker.base_volume,
            b"best_bid" => &mut ticker.bid,
            b"best_bid_size" => &mut ticker.bid_volume,
            b"best_ask" => &mut ticker.ask,
            b"best_ask_size" => &mut ticker.ask_volume,
            _ => return c.skip(),
        };
        *field = statistic(c)?;
        Ok(())
    });
    read.and_then(|()| c.finish()).map_err(|error| DecodeError::of_json(error, found))?;
    let Some((route, _)) = found else {
        out.items.push(Item::Unrouted);
        return Ok(());
    };
    if ticker.last.is_none() {
        return Err(DecodeError::of_json(Cursor::new(frame).missing(), found));
    }
    let row = out.add_ticker(ticker);
    out.items.push(Item::Ticker { route, row, symbol: None });
    Ok(())
}

/// `{"type":"subscriptions","channels":[{"name":"level2","product_ids":["BAND-GBP"]}]}`: all there are now.
#[cold]
fn on_subscriptions(frame: &[u8], out: &mut Decoded) -> Result<(), DecodeError> {
    let mut topics: Vec<Box<str>> = Vec::new();
    let read = Cursor::new(frame).object(|c, key| match key {
        b"channels" => c.array(|c| {
            let (name, products) = read_channel(c)?;
            if let Some(name) = our_name(&name) {
                topics.extend(products.iter().map(|product| format!("{name}:{product}").into_boxed_str()));
            }
            Ok(())
        }),
        _ => c.skip(),
    });
    read.map_err(|error| DecodeError::of_json(error, None))?;
    out.items.push(Item::Subscribed(topics.into()));
    Ok(())
}

/// `{"type":"error","message":"Failed to subscribe","reason":"XYZ-USD is not a valid product"}`
#[cold]
fn on_error(frame: &[u8], out: &mut Decoded) -> Result<(), DecodeError> {
    let (mut message, mut reason) = ("", "");
    let read = Cursor::new(frame).object(|c, key| {
        match key {
            b"message" => message = c.raw_str()?,
            b"reason" => reason = c.raw_str()?,
            _ => c.skip()?,
        }
        Ok(())
    });
    read.map_err(|error| DecodeError::of_json(error, None))?;
    let text = if reason.is_empty() { cut(message) } else { cut(&format!("{message}: {reason}")) };
    match reason.split_once(" is not a valid product") {
        Some((product, _)) => {
            for channel in ["level2", "matches", "ticker"] {
                let error = Error::new(ErrorKind::BadSymbol, text.clone()).at(COINBASEPRO.id);
                out.items.push(Item::TopicRefused { topic: format!("{channel}:{product}").into(), error });
            }
        }
        None => {
            let kind = rest::kind_of(message, ErrorKind::BadRequest);
            out.items.push(Item::Refusal { id: None, error: Error::new(kind, text).at(COINBASEPRO.id) });
        }
    }
    Ok(())
}

/// `"ticker"`, or `{"name":"level2","product_ids":["ETH-USD"]}`.
fn read_channel(c: &mut Cursor<'_>) -> Result<(String, Vec<String>), JsonError> {
    if c.peek() == Kind::String {
        return Ok((c.str()?.to_owned(), Vec::new()));
    }
    let (mut name, mut products) = (String::new(), Vec::new());
    c.object(|c, key| {
        match key {
            b"name" => name = c.str()?.to_owned(),
            b"product_ids" => products = strings(c)?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    Ok((name, products))
}

fn strings(c: &mut Cursor<'_>) -> Result<Vec<String>, JsonError> {
    let mut list = Vec::new();
    c.array(|c| {
        list.push(c.str()?.to_owned());
        Ok(())
    })?;
    Ok(list)
}

fn our_name(name: &str) -> Option<&'static str> {
    CHANNELS.iter().find(|(venues, _)| *venues == name).map(|row| row.1)
}
