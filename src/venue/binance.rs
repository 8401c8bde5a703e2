//! Binance spot, and its sisters Binance.US and Binance Jersey as changed constants.
//!
//! Streams are taken in combined mode (`/stream`): each event comes as `{"stream":"<topic>","data":{..}}`, so the topic
//! alone says which feed it belongs to. That matters because `bookTicker` and partial depth name no event type, and
//! partial depth no symbol either. Sources: Binance's spot API documentation (web-socket-streams, rest-api, errors) as
//! of 2026-07; frames above the decoders are from captures of October 2021 unless another source is named.

use super::decoded::span_of;
use super::{
    Act, Answer, AnswerError, Ask, BookKind, Channel, DecodeError, Decoded, Item, MessageLimit, Method, PingRule,
    Profile, Reply, Request, RestLimit, Route, RouteId, Routes, Venue,
};
use crate::book::Rule;
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, Doc, DocParser, JsonError, Node};
use crate::market::{Limits, Market, MarketKind};
use crate::model::{BidAsk, Candle, Health, Id, MarketId, Status, TakerSide, Ticker, Timeframe, Trade, VenueId, Wall};

const SPOT: Profile = Profile {
    id: "binance",
    name: "Binance",
    ws_url: "wss://stream.binance.com:9443",
    ws_path: "/stream",
    rest_url: "https://api.binance.com",
    closed: None,
    // The venue pings every 20 s and cuts after 60 s without a pong.
    ping: PingRule { venue_every_s: 20, venue_timeout_s: 60, ask_after_s: 25, dead_after_s: 10 },
    lifetime_s: 24 * 3600,
    // Pings and pongs count as well.
    messages: MessageLimit { count: 5, window_ms: 1_000 },
    connects: MessageLimit { count: 300, window_ms: 300_000 },
    // The venue allows 1024. Fewer make a lost connection cheaper, and CCXT found 200 to be reliable.
    streams_per_link_max: 200,
    topics_per_message_max: 50,
    rest: RestLimit { weight: 6_000, window_ms: 60_000 },
    weight_header: "x-mbx-used-weight-1m",
    top_depths: &[5, 10, 20],
    snapshot_depths: &[(100, 5), (500, 25), (1_000, 50), (5_000, 250)],
    timeframes: {
        use Timeframe::*;
        &[S1, M1, M3, M5, M15, M30, H1, H2, H4, H6, H8, H12, D1, D3, W1, Month1]
    },
    rule: Rule::Range,
    open: || Box::new(Binance::new(&VARIANTS[0])),
};

/// The protocol of Binance.US and Binance Jersey is Binance's of 2020 to 2023.
const OLDER: Profile = Profile {
    ping: PingRule { venue_every_s: 180, venue_timeout_s: 600, ask_after_s: 25, dead_after_s: 10 },
    rest: RestLimit { weight: 1_200, window_ms: 60_000 },
    snapshot_depths: &[(100, 1), (500, 5), (1_000, 10), (5_000, 50)],
    timeframes: {
        use Timeframe::*;
        &[M1, M3, M5, M15, M30, H1, H2, H4, H6, H8, H12, D1, D3, W1, Month1]
    },
    ..SPOT
};

/// Binance spot.
pub static BINANCE: Profile = SPOT;

/// Binance.US, spot only.
pub static BINANCEUS: Profile = Profile {
    id: "binanceus",
    name: "Binance.US",
    ws_url: "wss://stream.binance.us:9443",
    rest_url: "https://api.binance.us",
    open: || Box::new(Binance::new(&VARIANTS[1])),
    ..OLDER
};

/// Binance Jersey, closed.
pub static BINANCEJE: Profile = Profile {
    id: "binanceje",
    name: "Binance Jersey",
    ws_url: "wss://stream.binance.je:9443",
    rest_url: "https://api.binance.je",
    closed: Some("2020-11-30"),
    open: || Box::new(Binance::new(&VARIANTS[2])),
    ..OLDER
};

/// What differs between the sisters beside the profile.
#[derive(Debug)]
struct Variant {
    profile: &'static Profile,
    /// Removed from Binance spot on 2026-03-26, where only the mini ticker is left.
    all_tickers: &'static str,
    all_bids_asks: Option<&'static str>,
    /// Where the venue tells its health; `/api/v3/ping` at least answers while it lives.
    status: &'static str,
}

static VARIANTS: [Variant; 3] = [
    Variant {
        profile: &BINANCE,
        all_tickers: "!miniTicker@arr",
        all_bids_asks: None,
        status: "/sapi/v1/system/status",
    },
    Variant { profile: &BINANCEUS, all_tickers: "!ticker@arr", all_bids_asks: None, status: "/sapi/v1/system/status" },
    Variant {
        profile: &BINANCEJE,
        all_tickers: "!ticker@arr",
        all_bids_asks: Some("!bookTicker"),
        status: "/api/v3/ping",
    },
];

/// The adapter.
struct Binance {
    variant: &'static Variant,
    doc: DocParser,
}

impl Binance {
    fn new(variant: &'static Variant) -> Binance {
        Binance { variant, doc: DocParser::default() }
    }

    fn unsupported(&self, what: &str, instead: &str) -> Error {
        Error::new(ErrorKind::NotSupported, format!("has no {what}; {instead}")).at(self.variant.profile.id)
    }
}

impl Venue for Binance {
    fn profile(&self) -> &'static Profile {
        self.variant.profile
    }

    fn topic(&self, market: Option<&Market>, channel: Channel, out: &mut String) -> Result<(), Error> {
        if let Some(market) = market {
            out.extend(market.venue_symbol.chars().map(|c| c.to_ascii_lowercase()));
        }
        match channel {
            Channel::Book => out.push_str("@depth@100ms"),
            Channel::TopBook(depth) => out.push_str(&format!("@depth{depth}@100ms")),
            Channel::Trades => out.push_str("@trade"),
            Channel::AggTrades => out.push_str("@aggTrade"),
            Channel::Ticker => out.push_str("@ticker"),
            Channel::BidAsk => out.push_str("@bookTicker"),
            Channel::Candles(timeframe) => {
                if !self.variant.profile.timeframes.contains(&timeframe) {
                    let known: Vec<_> = self.variant.profile.timeframes.iter().map(|t| t.as_str()).collect();
                    let has = format!("it has {}", known.join(", "));
                    return Err(self.unsupported(&format!("candles of {timeframe}"), &has));
                }
                out.push_str("@kline_");
                out.push_str(timeframe.as_str());
            }
            Channel::AllTickers => out.push_str(self.variant.all_tickers),
            Channel::AllBidsAsks => match self.variant.all_bids_asks {
                Some(topic) => out.push_str(topic),
                None => {
                    return Err(self
                        .unsupported("stream of all bids and asks", "name the symbols: each has a stream of its own"));
                }
            },
            Channel::Status => return Err(self.unsupported("status stream", "its status is asked for by REST")),
        }
        Ok(())
    }

    fn parse_topic(&self, topic: &str) -> Option<(Channel, Option<String>)> {
        if topic == self.variant.all_tickers {
            return Some((Channel::AllTickers, None));
        }
        if Some(topic) == self.variant.all_bids_asks {
            return Some((Channel::AllBidsAsks, None));
        }
        let (symbol, name) = topic.split_once('@')?;
        let channel = match name.split('@').next()? {
            "trade" => Channel::Trades,
            "aggTrade" => Channel::AggTrades,
            "ticker" => Channel::Ticker,
            "bookTicker" => Channel::BidAsk,
            "depth" => Channel::Book,
            // Not the venue's: tardis.dev wraps REST snapshots so that they fit between the stream's messages.
            "depthSnapshot" => Channel::TopBook(u16::MAX),
            other => match other.strip_prefix("kline_") {
                Some(interval) => Channel::Candles(interval.parse().ok()?),
                None => Channel::TopBook(other.strip_prefix("depth")?.parse().ok()?),
            },
        };
        Some((channel, Some(symbol.to_ascii_uppercase())))
    }

    fn topic_of(&self, frame: &[u8]) -> Option<String> {
        let (mut stream, mut event, mut symbol, mut interval, mut has_update) = (None, None, None, None, false);
        let mut c = Cursor::new(frame);
        c.object(|c, key| {
            match key {
                b"stream" => stream = Some(c.str()?),
                b"e" => event = Some(c.str()?),
                b"s" => symbol = Some(c.str()?),
                b"u" => {
                    has_update = true;
                    c.skip()?;
                }
                b"k" => c.object(|c, key| {
                    if key == b"i" {
                        interval = Some(c.str()?);
                        return Ok(());
                    }
                    c.skip()
                })?,
                _ => c.skip()?,
            }
            Ok(())
        })
        .ok()?;
        if let Some(stream) = stream {
            return Some(stream.to_owned());
        }
        let name = match event {
            Some("depthUpdate") => "depth@100ms".to_owned(),
            Some("24hrTicker") => "ticker".to_owned(),
            Some("kline") => format!("kline_{}", interval?),
            Some(event) => event.to_owned(),
            None if has_update => "bookTicker".to_owned(),
            None => return None,
        };
        Some(format!("{}@{name}", symbol?.to_ascii_lowercase()))
    }

    /// `{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":1}`
    fn subscription(&self, act: Act, topics: &[&str], id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(match act {
            Act::Subscribe => b"{\"method\":\"SUBSCRIBE\",\"params\":[",
            Act::Unsubscribe => b"{\"method\":\"UNSUBSCRIBE\",\"params\":[",
        });
        for (at, topic) in topics.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(topic.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"],\"id\":");
        out.extend_from_slice(id.to_string().as_bytes());
        out.push(b'}');
    }

    fn on_frame(&mut self, frame: &[u8], routes: &Routes, out: &mut Decoded) -> Result<(), DecodeError> {
        let mut c = Cursor::new(frame);
        let mut found: Option<(RouteId, &Route)> = None;
        let mut wrapped = false;
        let mut data = None;
        let mut done = false;
        let result = c.object(|c, key| match key {
            b"stream" => {
                wrapped = true;
                found = routes.find(c.bytes()?);
                Ok(())
            }
            // The usual order; were it the other way round, the data is read once the topic is known.
            b"data" => match found {
                Some((id, route)) => {
                    done = true;
                    on_data(c, frame, id, route, out)
                }
                None => {
                    data = Some(*c);
                    c.skip()
                }
            },
            _ => c.skip(),
        });
        let finished = result.and_then(|()| c.finish());
        let finished = match (finished, found, data) {
            (Ok(()), Some((id, route)), Some(mut data)) if !done => {
                done = true;
                on_data(&mut data, frame, id, route, out)
            }
            (finished, ..) => finished,
        };
        match (finished, found) {
            (Ok(()), _) if done => Ok(()),
            (Ok(()), _) => self.on_other(frame, wrapped, data, routes, out),
            (Err(error), Some((id, route))) => {
                Err(DecodeError::of_json(error, id, route.price_scale, route.amount_scale))
            }
            (Err(error), None) => Err(DecodeError::Malformed { route: None, error }),
        }
    }

    fn request(&self, ask: Ask, market: Option<&Market>) -> Result<Request, Error> {
        let (target, weight) = match ask {
            Ask::Markets => ("/api/v3/exchangeInfo".to_owned(), 20),
            Ask::Status => (self.variant.status.to_owned(), 1),
            Ask::Snapshot { depth } => {
                let Some(market) = market else {
                    return Err(Error::new(ErrorKind::ArgumentsRequired, "a snapshot needs a market"));
                };
                let (limit, weight) = self.variant.profile.snapshot_depth(depth);
                let symbol = percent_encoded(&market.venue_symbol);
                (format!("/api/v3/depth?symbol={symbol}&limit={limit}"), weight)
            }
        };
        Ok(Request { method: Method::Get, target, weight })
    }

    fn on_reply(
        &mut self,
        ask: Ask,
        reply: &Reply<'_>,
        route: &Route,
        now: Wall,
        out: &mut Decoded,
    ) -> Result<Answer, AnswerError> {
        let id = self.variant.profile.id;
        if reply.status != 200 {
            return Err(AnswerError::Refused(refusal(reply).at(id)));
        }
        let unreadable = |error: JsonError| {
            AnswerError::Refused(Error::new(ErrorKind::BadResponse, format!("cannot read the answer: {error}")).at(id))
        };
        match ask {
            Ask::Markets => {
                let doc = self.doc.parse(reply.body).map_err(unreadable)?;
                markets(&doc).map(Answer::Markets).map_err(|error| AnswerError::Refused(error.at(id)))
            }
            Ask::Snapshot { depth } => {
                let limit = usize::from(self.variant.profile.snapshot_depth(depth).0);
                let mut c = Cursor::new(reply.body);
                match on_whole_book(&mut c, RouteId(0), route, Some(limit), out).and_then(|()| c.finish()) {
                    Ok(()) => Ok(Answer::Snapshot),
                    Err(error) => {
                        match DecodeError::of_json(error, RouteId(0), route.price_scale, route.amount_scale) {
                            DecodeError::Malformed { error, .. } => Err(unreadable(error)),
                            finer => Err(AnswerError::Decode(finer)),
                        }
                    }
                }
            }
            Ask::Status => {
                // `{"status":0,"msg":"normal"}`, 1 is maintenance. `/api/v3/ping` answers `{}`.
                let mut status = Health::Ok;
                let mut c = Cursor::new(reply.body);
                c.object(|c, key| {
                    if key != b"status" {
                        return c.skip();
                    }
                    status = if c.u64()? == 0 { Health::Ok } else { Health::Maintenance };
                    Ok(())
                })
                .map_err(unreadable)?;
                Ok(Answer::Status(Status { status, updated: now, emulated: true }))
            }
        }
    }
}

impl Binance {
    /// Everything that is not an event of a topic we know: acks, refusals, the shutdown notice, events that came
    /// without a wrapper, and events of topics that were given up.
    #[cold]
    fn on_other(
        &self,
        frame: &[u8],
        wrapped: bool,
        data: Option<Cursor<'_>>,
        routes: &Routes,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let malformed = |error| DecodeError::Malformed { route: None, error };
        let mut c = data.unwrap_or(Cursor::new(frame));
        if wrapped {
            // `{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}`
            let event = if c.peek() == crate::json::Kind::Object { event_name(c) } else { None };
            out.items.push(if event == Some("serverShutdown") { Item::Shutdown } else { Item::Unrouted });
            return Ok(());
        }
        let (mut id, mut has_result, mut refused, mut code, mut message) = (None, false, false, None, "");
        c.object(|c, key| {
            match key {
                b"id" => id = if c.null() { None } else { Some(c.u64()?) },
                b"result" => {
                    has_result = true;
                    c.skip()?;
                }
                // `{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":1}`
                b"error" => {
                    refused = true;
                    c.object(|c, key| {
                        match key {
                            b"code" => code = Some(c.i64()?),
                            b"msg" => message = c.raw_str()?,
                            _ => c.skip()?,
                        }
                        Ok(())
                    })?;
                }
                // The documentation prints the inner object alone.
                b"code" => {
                    refused = true;
                    code = Some(c.i64()?);
                }
                b"msg" => message = c.raw_str()?,
                _ => c.skip()?,
            }
            Ok(())
        })
        .map_err(malformed)?;
        if refused {
            let mut error = Error::new(ErrorKind::BadRequest, cut(message)).at(self.variant.profile.id);
            if let Some(code) = code {
                error = error.with_code(code);
            }
            out.items.push(Item::Refusal { id, error });
            return Ok(());
        }
        if let (true, Some(id)) = (has_result, id) {
            out.items.push(Item::Ack { id });
            return Ok(());
        }
        if event_name(Cursor::new(frame)) == Some("serverShutdown") {
            out.items.push(Item::Shutdown);
            return Ok(());
        }
        // A raw stream (`/ws/<topic>`): the event itself.
        let topic = self.topic_of(frame);
        let Some((id, route)) = topic.as_deref().and_then(|topic| routes.find(topic.as_bytes())) else {
            out.items.push(Item::Unrouted);
            return Ok(());
        };
        let mut c = Cursor::new(frame);
        on_data(&mut c, frame, id, route, out)
            .map_err(|error| DecodeError::of_json(error, id, route.price_scale, route.amount_scale))
    }
}

/// The event inside the wrapper, as the topic says it has to be.
#[inline]
fn on_data(c: &mut Cursor<'_>, frame: &[u8], id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    match route.channel {
        Channel::Book => on_depth_update(c, id, route, out),
        Channel::Trades | Channel::AggTrades => on_trade(c, id, route, out),
        Channel::BidAsk | Channel::AllBidsAsks => on_book_ticker(c, frame, id, route, out),
        Channel::TopBook(_) => on_whole_book(c, id, route, None, out),
        Channel::Candles(_) => on_kline(c, id, route, out),
        Channel::Ticker => on_ticker(c, frame, id, route, out),
        Channel::AllTickers => c.array(|c| on_ticker(c, frame, id, route, out)),
        Channel::Status => c.skip(),
    }
}

/// `{"e":"depthUpdate","E":1633998512068,"s":"NKNUSDT","U":499869750,"u":499869752,
/// "b":[["0.35130000","6195.00000000"]],"a":[]}`: `U` first id, `u` last id, absolute amounts, zero deletes.
#[inline]
fn on_depth_update(c: &mut Cursor<'_>, id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    let start = *c;
    let (mut first, mut last, mut prev, mut venue_time) = (None, None, None, None);
    let (mut bids, mut asks, mut rejected) = (None, None, 0);
    let levels_max = route.levels_max as usize;
    c.object(|c, key| {
        match key {
            b"e" => expect(c, b"depthUpdate")?,
            b"E" => venue_time = Some(Wall::from_ms(c.i64()?)),
            b"U" => first = Some(c.u64()?),
            b"u" => last = Some(c.u64()?),
            b"pu" => prev = Some(c.u64()?),
            b"b" | b"a" => {
                let (span, n) =
                    out.add_levels(|rows| c.levels(route.price_scale, route.amount_scale, levels_max, rows))?;
                rejected += n;
                *(if key == b"b" { &mut bids } else { &mut asks }) = Some(span);
            }
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let (Some(first), Some(last), Some(bids), Some(asks)) = (first, last, bids, asks) else {
        return Err(start.missing());
    };
    if last < first {
        return Err(start.missing());
    }
    let kind = BookKind::Delta;
    out.items.push(Item::Book { route: id, kind, first, last, prev, venue_time, bids, asks, rejected });
    Ok(())
}

/// Partial depth and the REST snapshot: `{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}`. A REST snapshot
/// with `limit` rows on a side may have been cut there.
fn on_whole_book(
    c: &mut Cursor<'_>,
    id: RouteId,
    route: &Route,
    limit: Option<usize>,
    out: &mut Decoded,
) -> Result<(), JsonError> {
    let start = *c;
    let (mut last, mut bids, mut asks, mut rejected) = (None, None, None, 0);
    c.object(|c, key| {
        match key {
            b"lastUpdateId" => last = Some(c.u64()?),
            b"bids" | b"asks" => {
                let (span, n) =
                    out.add_levels(|rows| c.levels(route.price_scale, route.amount_scale, WHOLE_LEVELS_MAX, rows))?;
                rejected += n;
                *(if key == b"bids" { &mut bids } else { &mut asks }) = Some(span);
            }
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let (Some(last), Some(bids), Some(asks)) = (last, bids, asks) else { return Err(start.missing()) };
    // A partial-depth stream promises its own depth and nothing beyond.
    let limit = match (limit, route.channel) {
        (None, Channel::TopBook(depth)) => usize::from(depth),
        (limit, _) => limit.unwrap_or(usize::MAX),
    };
    let kind =
        BookKind::Snapshot { bids_cut: out.levels(bids).len() >= limit, asks_cut: out.levels(asks).len() >= limit };
    out.items.push(Item::Book { route: id, kind, first: 0, last, prev: None, venue_time: None, bids, asks, rejected });
    Ok(())
}

/// The venue sends at most 5000 rows a side.
const WHOLE_LEVELS_MAX: usize = 5_000;

/// `{"e":"trade","E":1554076800945,"s":"BNBBTC","t":40756030,"p":"0.00426990","q":"33.82000000","T":1554076800940,
/// "m":false,"M":true}`, with `a` for `t` in aggregates. `m`: the buyer was the maker, so the taker sold.
#[inline]
fn on_trade(c: &mut Cursor<'_>, id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    let start = *c;
    let aggregate = route.channel == Channel::AggTrades;
    let (mut trade_id, mut venue_time, mut price, mut amount, mut side) = (None, None, None, None, None);
    c.object(|c, key| {
        match key {
            b"e" => expect(c, if aggregate { b"aggTrade" } else { b"trade" })?,
            // In plain trades `a` is the seller's order id (until 2023, and on Binance.US still).
            b"t" if !aggregate => trade_id = Id::new(c.number_text()?),
            b"a" if aggregate => trade_id = Id::new(c.number_text()?),
            b"T" => venue_time = Some(Wall::from_ms(c.i64()?)),
            b"p" => price = Some(number(c, route.price_scale)?),
            b"q" => amount = Some(number(c, route.amount_scale)?),
            b"m" => side = Some(if c.bool()? { TakerSide::Sell } else { TakerSide::Buy }),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let (Some(trade_id), Some(price), Some(amount)) = (trade_id, price, amount) else { return Err(start.missing()) };
    let trades = out.add_trade(Trade { id: trade_id, venue_time, price, amount, side });
    out.items.push(Item::Trades { route: id, trades });
    Ok(())
}

/// `{"u":499869768,"s":"NKNUSDT","b":"0.35210000","B":"672.00000000","a":"0.35260000","A":"3199.00000000"}`: no event
/// type and no time.
#[inline]
fn on_book_ticker(
    c: &mut Cursor<'_>,
    frame: &[u8],
    id: RouteId,
    route: &Route,
    out: &mut Decoded,
) -> Result<(), JsonError> {
    let start = *c;
    let mut quote = BidAsk::default();
    let mut symbol = None;
    let all = route.channel == Channel::AllBidsAsks;
    c.object(|c, key| {
        match key {
            b"u" => quote.nonce = Some(c.u64()?),
            b"s" => symbol = Some(span_of(frame, c.bytes()?)),
            b"b" => quote.bid = Some(number(c, route.price_scale)?),
            b"B" => quote.bid_volume = Some(number(c, route.amount_scale)?),
            b"a" => quote.ask = Some(number(c, route.price_scale)?),
            b"A" => quote.ask_volume = Some(number(c, route.amount_scale)?),
            b"E" => quote.venue_time = Some(Wall::from_ms(c.i64()?)),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    if quote.bid.is_none() && quote.ask.is_none() {
        return Err(start.missing());
    }
    let row = out.add_bid_ask(quote);
    out.items.push(Item::BidAsk { route: id, row, symbol: if all { symbol } else { None } });
    Ok(())
}

/// `{"e":"24hrTicker","E":1653812650349,"s":"ETHUSDT","p":"28.23000000","P":"1.600","w":"1781.16275609",
/// "x":"1764.61000000","c":"1792.84000000","Q":"0.55720000","b":"1792.83000000","B":"1.62740000","a":"1792.84000000",
/// "A":"20.29140000","o":"1764.61000000","h":"1808.98000000","l":"1748.94000000","v":"471703.53110000",
/// "q":"840180761.51358100","O":1653726250344,"C":1653812650344,"F":841094172,"L":841646650,"n":552479}`; the mini
/// ticker has `c o h l v q` of it.
fn on_ticker(c: &mut Cursor<'_>, frame: &[u8], id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    let start = *c;
    let mut ticker = Ticker::default();
    let mut symbol = None;
    c.object(|c, key| {
        let field = match key {
            b"E" => {
                ticker.venue_time = Some(Wall::from_ms(c.i64()?));
                return Ok(());
            }
            b"s" => {
                symbol = Some(span_of(frame, c.bytes()?));
                return Ok(());
            }
            b"p" => &mut ticker.change,
            b"P" => &mut ticker.percentage,
            b"w" => &mut ticker.vwap,
            b"x" => &mut ticker.previous_close,
            b"c" => &mut ticker.last,
            b"b" => &mut ticker.bid,
            b"B" => &mut ticker.bid_volume,
            b"a" => &mut ticker.ask,
            b"A" => &mut ticker.ask_volume,
            b"o" => &mut ticker.open,
            b"h" => &mut ticker.high,
            b"l" => &mut ticker.low,
            b"v" => &mut ticker.base_volume,
            b"q" => &mut ticker.quote_volume,
            _ => return c.skip(),
        };
        // Volumes have up to 19 digits: statistics may round.
        *field = Some(c.fixed_round()?);
        Ok(())
    })?;
    if ticker.last.is_none() || symbol.is_none() {
        return Err(start.missing());
    }
    let symbol = if route.channel == Channel::AllTickers { symbol } else { None };
    let row = out.add_ticker(ticker);
    out.items.push(Item::Ticker { route: id, row, symbol });
    Ok(())
}

/// `{"e":"kline","E":1653818762502,"s":"BTCUSDT","k":{"t":1653818760000,"T":1653818819999,"s":"BTCUSDT","i":"1m",
/// "f":1384844002,"L":1384844032,"o":"29038.46","c":"29038.47","h":"29038.47","l":"29038.46","v":"0.20926","n":31,
/// "x":false,"q":"6076.5891832","V":"0.10436","Q":"3030.4547292","B":"0"}}`: `x` true means closed.
fn on_kline(c: &mut Cursor<'_>, id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    let start = *c;
    let mut venue_time = None;
    let mut candle = None;
    c.object(|c, key| match key {
        b"e" => expect(c, b"kline"),
        b"E" => {
            venue_time = Some(Wall::from_ms(c.i64()?));
            Ok(())
        }
        b"k" => {
            let inner = *c;
            let (mut open_time, mut open, mut high, mut low, mut close) = (None, None, None, None, None);
            let (mut volume, mut quote_volume, mut trades, mut closed) = (None, None, None, false);
            c.object(|c, key| {
                let mut price = || number(c, route.price_scale).map(Some);
                match key {
                    b"o" => open = price()?,
                    b"h" => high = price()?,
                    b"l" => low = price()?,
                    b"c" => close = price()?,
                    b"t" => open_time = Some(Wall::from_ms(c.i64()?)),
                    b"v" => volume = Some(c.fixed_round()?),
                    b"q" => quote_volume = Some(c.fixed_round()?),
                    b"n" => trades = Some(c.u64()?),
                    b"x" => closed = c.bool()?,
                    _ => c.skip()?,
                }
                Ok(())
            })?;
            let (Some(open_time), Some(open), Some(high), Some(low), Some(close), Some(volume)) =
                (open_time, open, high, low, close, volume)
            else {
                return Err(inner.missing());
            };
            candle = Some(Candle {
                open_time,
                venue_time: None,
                open,
                high,
                low,
                close,
                volume,
                quote_volume,
                trades,
                closed,
            });
            Ok(())
        }
        _ => c.skip(),
    })?;
    let Some(candle) = candle else { return Err(start.missing()) };
    let row = out.add_candle(Candle { venue_time, ..candle });
    out.items.push(Item::Candle { route: id, row });
    Ok(())
}

/// A number at the scale of its market; at its own where it is finer, or where a topic serves all markets.
#[inline]
fn number(c: &mut Cursor<'_>, scale: u8) -> Result<Fixed, JsonError> {
    let at = *c;
    if let Ok(mantissa) = c.decimal(scale) {
        return Ok(Fixed::new(mantissa, scale));
    }
    *c = at;
    c.fixed()
}

/// Reads a string that has to be `name`.
#[inline]
fn expect(c: &mut Cursor<'_>, name: &[u8]) -> Result<(), JsonError> {
    let at = *c;
    if c.bytes()? == name { Ok(()) } else { Err(at.missing()) }
}

fn event_name(mut c: Cursor<'_>) -> Option<&str> {
    let mut event = None;
    c.object(|c, key| {
        if key == b"e" {
            event = Some(c.str()?);
            return Ok(());
        }
        c.skip()
    })
    .ok()?;
    event
}

/// The row of a market in `exchangeInfo` (cut): `{"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH",
/// "quoteAsset":"BTC","quotePrecision":8,"baseAssetPrecision":8,"filters":[{"filterType":"PRICE_FILTER",
/// "minPrice":"0.00000100","maxPrice":"922327.00000000","tickSize":"0.00000100"},{"filterType":"LOT_SIZE",
/// "minQty":"0.00010000","maxQty":"100000.00000000","stepSize":"0.00010000"},{"filterType":"MIN_NOTIONAL",
/// "minNotional":"0.00010000"}],"permissions":["SPOT","MARGIN"]}`
fn markets(doc: &Doc<'_>) -> Result<Vec<Market>, Error> {
    let Some(rows) = doc.root().get("symbols") else {
        return Err(Error::new(ErrorKind::BadResponse, "the list of markets has no member \"symbols\""));
    };
    // One row that cannot be read must not hide the others; none at all is an error.
    let list: Vec<Market> = rows.iter().filter_map(market).collect();
    if list.is_empty() {
        return Err(Error::new(ErrorKind::BadResponse, "the list of markets holds no readable market"));
    }
    Ok(list)
}

fn market(row: Node<'_>) -> Option<Market> {
    let text = |key: &str| row.get(key).and_then(|node| node.str().ok());
    let venue_symbol = text("symbol")?;
    let (base, quote) = (code(text("baseAsset")?), code(text("quoteAsset")?));
    let (mut price_tick, mut amount_step) = (None, None);
    let (mut price_limits, mut amount_limits, mut cost_limits) =
        (Limits::default(), Limits::default(), Limits::default());
    for filter in row.get("filters").into_iter().flat_map(|filters| filters.iter()) {
        let number = |key: &str| -> Option<Fixed> {
            filter.get(key).and_then(|node| node.fixed().ok()).filter(|number| !number.is_zero())
        };
        match filter.get("filterType").and_then(|node| node.str().ok()) {
            Some("PRICE_FILTER") => {
                price_tick = number("tickSize");
                price_limits = Limits { min: number("minPrice"), max: number("maxPrice") };
            }
            Some("LOT_SIZE") => {
                amount_step = number("stepSize");
                amount_limits = Limits { min: number("minQty"), max: number("maxQty") };
            }
            Some("NOTIONAL" | "MIN_NOTIONAL") => {
                cost_limits = Limits { min: number("minNotional"), max: number("maxNotional") };
            }
            _ => {}
        }
    }
    let precision = |key: &str| row.get(key).and_then(|node| node.u64().ok()).map_or(8, |n| n.min(18) as u8);
    let restricted =
        row.get("permissions").is_some_and(|list| list.iter().any(|permission| permission.str() == Ok("TRD_GRP_003")));
    Some(Market {
        id: MarketId { venue: VenueId(0), index: 0 },
        symbol: format!("{base}/{quote}").into(),
        venue_symbol: venue_symbol.into(),
        base: base.into(),
        quote: quote.into(),
        settle: None,
        kind: MarketKind::Spot,
        active: text("status") == Some("TRADING") && !restricted,
        price_scale: price_tick.map_or_else(|| precision("quotePrecision"), |tick| tick.trimmed().scale()),
        amount_scale: amount_step.map_or_else(|| precision("baseAssetPrecision"), |step| step.trimmed().scale()),
        price_tick,
        amount_step,
        price_limits,
        amount_limits,
        cost_limits,
    })
}

/// The unified code of a currency: Binance spells one differently.
fn code(asset: &str) -> &str {
    if asset == "YOYO" { "YOYOW" } else { asset }
}

/// Symbols may hold letters beyond ASCII since December 2025.
fn percent_encoded(symbol: &str) -> String {
    let mut out = String::with_capacity(symbol.len());
    for byte in symbol.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `{"code":-1121,"msg":"Invalid symbol."}`; the text decides before the code, the code before the status.
fn refusal(reply: &Reply<'_>) -> Error {
    let (mut code, mut message) = (None, "");
    let mut c = Cursor::new(reply.body);
    let known = c.object(|c, key| {
        match key {
            b"code" => code = Some(c.i64()?),
            b"msg" => message = c.raw_str()?,
            _ => c.skip()?,
        }
        Ok(())
    });
    let kind = match (reply.status, code) {
        (418, _) => ErrorKind::DdosProtection,
        (429, _) => ErrorKind::RateLimitExceeded,
        (_, Some(code)) if known.is_ok() => kind_of(code, message),
        (status, _) => ErrorKind::of_http_status(status),
    };
    let text = if message.is_empty() { format!("HTTP status {}", reply.status) } else { cut(message) };
    let error = Error::new(kind, text);
    match code {
        Some(code) => error.with_code(code),
        None => error,
    }
}

/// Card binance.md section 10, after Binance's documentation of error codes.
fn kind_of(code: i64, message: &str) -> ErrorKind {
    use ErrorKind::*;
    if message.contains("Market is closed") {
        return MarketClosed;
    }
    match code {
        -1000 | -1001 | -1006 | -1008 | -1010 => OperationFailed,
        -1007 => RequestTimeout,
        -1003 | -1015 => RateLimitExceeded,
        -1002 | -1022 | -1125 | -2008 | -2014 | -2015 => AuthenticationError,
        -1021 => InvalidNonce,
        -1014 => InvalidOrder,
        -1013
            if ["LOT_SIZE", "PRICE_FILTER", "Price * QTY is zero or less"]
                .iter()
                .any(|text| message.contains(text)) =>
        {
            InvalidOrder
        }
        -1108 | -1121 => BadSymbol,
        -1130..=-1100 | -1131 | -1013 => BadRequest,
        -2010 if message.contains("insufficient balance") => InsufficientFunds,
        -2010 if message.contains("would immediately") || message.contains("would trigger immediately") => {
            OrderImmediatelyFillable
        }
        -2010 => InvalidOrder,
        -2011 | -2013 => OrderNotFound,
        -2021 | -2022 => BadResponse,
        _ => ExchangeError,
    }
}

/// A venue's text, bounded.
fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Level;
    use crate::json::JsonErrorKind;

    fn adapter() -> Binance {
        Binance::new(&VARIANTS[0])
    }

    fn routes(topics: &[(&str, Channel)]) -> Routes {
        let mut routes = Routes::default();
        for (feed, (topic, channel)) in topics.iter().enumerate() {
            let route = Route {
                feed: feed as u32,
                channel: *channel,
                market: None,
                price_scale: 4,
                amount_scale: 0,
                levels_max: 100,
            };
            routes.insert(topic, route);
        }
        routes
    }

    fn decode(topic: &str, channel: Channel, frame: &str) -> Result<Decoded, DecodeError> {
        let mut out = Decoded::new();
        adapter().on_frame(frame.as_bytes(), &routes(&[(topic, channel)]), &mut out)?;
        Ok(out)
    }

    fn fixed(text: &str) -> Option<Fixed> {
        Some(text.parse().unwrap())
    }

    const DEPTH: &str = r#"{"stream":"nknusdt@depth@100ms","data":{"e":"depthUpdate","E":1633998512068,"s":"NKNUSDT","U":499869750,"u":499869752,"b":[["0.35130000","6195.00000000"],["0.34750000","0.00000000"]],"a":[]}}"#;

    #[test]
    fn depth_update_of_the_capture() {
        let out = decode("nknusdt@depth@100ms", Channel::Book, DEPTH).unwrap();
        let delta = out.delta(&out.items[0]).unwrap();
        assert_eq!((delta.first, delta.last, delta.prev), (499869750, 499869752, None));
        assert_eq!(delta.venue_time, Some(Wall(1_633_998_512_068_000_000)));
        assert_eq!(delta.bids, [Level { price: 3513, qty: 6195 }, Level { price: 3475, qty: 0 }]);
        assert_eq!((delta.asks, out.items.len()), (&[][..], 1));
        assert!(out.snapshot(&out.items[0]).is_none());
    }

    #[test]
    fn members_may_come_in_any_order() {
        let frame = r#" { "data" : {"a":[],"b":[["0.35130000","6195.00000000"]],"new":{"x":[1,2]},"u":2,"U":1,"s":"NKNUSDT","E":5,"e":"depthUpdate"}, "stream":"nknusdt@depth@100ms" } "#;
        let out = decode("nknusdt@depth@100ms", Channel::Book, frame).unwrap();
        let delta = out.delta(&out.items[0]).unwrap();
        assert_eq!((delta.first, delta.last, delta.bids.len()), (1, 2, 1));
    }

    #[test]
    fn a_finer_number_asks_for_finer_scales() {
        let frame = DEPTH.replace("0.34750000", "0.34751200").replace("6195.00000000", "6195.50000000");
        let error = decode("nknusdt@depth@100ms", Channel::Book, &frame).unwrap_err();
        assert_eq!(error, DecodeError::Finer { route: RouteId(0), price_scale: 6, amount_scale: 1 });
    }

    #[test]
    fn what_is_missing_or_contradicts_is_malformed() {
        for (from, to) in [
            (r#""U":499869750,"#, ""),
            (r#","a":[]"#, ""),
            (r#""u":499869752"#, r#""u":499869749"#),
            ("depthUpdate", "depthSnapshot"),
            ("6195.00000000", "6195.x"),
            ("}}", "}"),
            ("}}", "}}}"),
        ] {
            let error = decode("nknusdt@depth@100ms", Channel::Book, &DEPTH.replace(from, to)).unwrap_err();
            assert!(
                matches!(error, DecodeError::Malformed { route: Some(RouteId(0)), .. }),
                "{from} -> {to}: {error:?}"
            );
        }
        // Cut within the topic: nobody knows whose it was.
        let error = decode("nknusdt@depth@100ms", Channel::Book, &DEPTH[..20]).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { route: None, .. }));
        let long = DEPTH.replace(r#""a":[]"#, &format!(r#""a":[{}]"#, vec![r#"["1","1"]"#; 101].join(",")));
        match decode("nknusdt@depth@100ms", Channel::Book, &long) {
            Err(DecodeError::Malformed { error, .. }) => assert_eq!(error.kind, JsonErrorKind::LevelsMax),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_level_that_cannot_be_held_is_left_out_and_counted() {
        let frame = DEPTH.replace("0.34750000", "99999999999999999999");
        let out = decode("nknusdt@depth@100ms", Channel::Book, &frame).unwrap();
        let Item::Book { rejected, .. } = out.items[0] else { panic!() };
        assert_eq!((rejected, out.delta(&out.items[0]).unwrap().bids.len()), (1, 1));
    }

    #[test]
    fn trades_and_aggregates() {
        let frame = r#"{"stream":"bnbbtc@trade","data":{"e":"trade","E":1554076800945,"s":"BNBBTC","t":40756030,"p":"0.00426990","q":"33.82000000","b":133829535,"a":133829504,"T":1554076800940,"m":false,"M":true}}"#;
        let out = decode("bnbbtc@trade", Channel::Trades, frame).unwrap();
        let Item::Trades { trades, .. } = out.items[0] else { panic!() };
        let trade = out.trades(trades)[0];
        assert_eq!((trade.id.as_str(), trade.side), ("40756030", Some(TakerSide::Buy)));
        assert_eq!(trade.venue_time, Some(Wall(1_554_076_800_940_000_000)));
        // Finer than the market's scales: kept exactly all the same.
        assert_eq!((Some(trade.price), Some(trade.amount)), (fixed("0.0042699"), fixed("33.82")));

        let frame = r#"{"stream":"nknusdt@aggTrade","data":{"e":"aggTrade","E":1633998523963,"s":"NKNUSDT","a":15683430,"p":"0.35280000","q":"58.00000000","f":19862790,"l":19862790,"T":1633998523963,"m":true,"M":true}}"#;
        let out = decode("nknusdt@aggTrade", Channel::AggTrades, frame).unwrap();
        let Item::Trades { trades, .. } = out.items[0] else { panic!() };
        let trade = out.trades(trades)[0];
        assert_eq!((trade.id.as_str(), trade.side), ("15683430", Some(TakerSide::Sell)));
        assert_eq!((Some(trade.price), Some(trade.amount)), (fixed("0.3528"), fixed("58")));
    }

    #[test]
    fn book_ticker_has_no_type_and_no_time() {
        let frame = r#"{"stream":"nknusdt@bookTicker","data":{"u":499869768,"s":"NKNUSDT","b":"0.35210000","B":"672.00000000","a":"0.35260000","A":"3199.00000000"}}"#;
        let out = decode("nknusdt@bookTicker", Channel::BidAsk, frame).unwrap();
        let Item::BidAsk { row, symbol: None, .. } = out.items[0] else { panic!() };
        let quote = *out.bid_ask(row).unwrap();
        assert_eq!((quote.nonce, quote.venue_time), (Some(499869768), None));
        assert_eq!((quote.bid, quote.bid_volume), (fixed("0.3521"), fixed("672")));
        assert_eq!((quote.ask, quote.ask_volume), (fixed("0.3526"), fixed("3199")));
    }

    #[test]
    fn ticker_keeps_what_is_sent_and_nothing_else() {
        let frame = r#"{"stream":"ethusdt@ticker","data":{"e":"24hrTicker","E":1653812650349,"s":"ETHUSDT","p":"28.23000000","P":"1.600","w":"1781.16275609","x":"1764.61000000","c":"1792.84000000","Q":"0.55720000","b":"1792.83000000","B":"1.62740000","a":"1792.84000000","A":"20.29140000","o":"1764.61000000","h":"1808.98000000","l":"1748.94000000","v":"471703.53110000","q":"840180761.51358100","O":1653726250344,"C":1653812650344,"F":841094172,"L":841646650,"n":552479}}"#;
        let out = decode("ethusdt@ticker", Channel::Ticker, frame).unwrap();
        let Item::Ticker { row, .. } = out.items[0] else { panic!() };
        let ticker = out.ticker(row).unwrap();
        assert_eq!(
            (ticker.last, ticker.open, ticker.previous_close),
            (fixed("1792.84"), fixed("1764.61"), fixed("1764.61"))
        );
        assert_eq!(
            (ticker.high, ticker.low, ticker.vwap),
            (fixed("1808.98"), fixed("1748.94"), fixed("1781.16275609"))
        );
        assert_eq!((ticker.base_volume, ticker.quote_volume), (fixed("471703.5311"), fixed("840180761.513581")));
        assert_eq!((ticker.change, ticker.percentage), (fixed("28.23"), fixed("1.6")));
        assert_eq!((ticker.bid_volume, ticker.ask_volume), (fixed("1.6274"), fixed("20.2914")));

        let mini = r#"{"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker","E":1,"s":"AUSDT","c":"2","o":"1","h":"3","l":"0.5","v":"10","q":"20"},{"e":"24hrMiniTicker","E":1,"s":"BUSDT","c":"4","o":"1","h":"3","l":"0.5","v":"10","q":"20"}]}"#;
        let out = decode("!miniTicker@arr", Channel::AllTickers, mini).unwrap();
        let symbols: Vec<&[u8]> = out
            .items
            .iter()
            .map(|item| match item {
                Item::Ticker { symbol: Some(symbol), .. } => symbol.of(mini.as_bytes()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(symbols, [b"AUSDT", b"BUSDT"]);
        assert_eq!((out.ticker(1).unwrap().last, out.ticker(1).unwrap().bid), (fixed("4"), None));
    }

    #[test]
    fn candle() {
        let frame = r#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1653818762502,"s":"BTCUSDT","k":{"t":1653818760000,"T":1653818819999,"s":"BTCUSDT","i":"1m","f":1384844002,"L":1384844032,"o":"29038.46000000","c":"29038.47000000","h":"29038.48000000","l":"29038.45000000","v":"0.20926000","n":31,"x":true,"q":"6076.58918320","V":"0.10436000","Q":"3030.45472920","B":"0"}}}"#;
        let out = decode("btcusdt@kline_1m", Channel::Candles(Timeframe::M1), frame).unwrap();
        let Item::Candle { row, .. } = out.items[0] else { panic!() };
        let candle = out.candle(row).unwrap();
        assert_eq!(candle.open_time, Wall(1_653_818_760_000_000_000));
        assert_eq!((Some(candle.open), Some(candle.close)), (fixed("29038.46"), fixed("29038.47")));
        assert_eq!((Some(candle.high), Some(candle.low)), (fixed("29038.48"), fixed("29038.45")));
        assert_eq!((Some(candle.volume), candle.quote_volume), (fixed("0.20926"), fixed("6076.5891832")));
        assert_eq!((candle.trades, candle.closed), (Some(31), true));
    }

    #[test]
    fn partial_depth_is_a_whole_book() {
        let frame = r#"{"stream":"ethusdt@depth5@100ms","data":{"lastUpdateId":17044571457,"bids":[["1782.00000000","6.00000000"]],"asks":[["1782.01000000","15.00000000"],["1782.02000000","7.00000000"]]}}"#;
        let out = decode("ethusdt@depth5@100ms", Channel::TopBook(5), frame).unwrap();
        let snapshot = out.snapshot(&out.items[0]).unwrap();
        assert_eq!((snapshot.last, snapshot.bids_cut, snapshot.asks_cut), (17044571457, false, false));
        assert_eq!(snapshot.asks, [Level { price: 17820100, qty: 15 }, Level { price: 17820200, qty: 7 }]);
        let out = decode("ethusdt@depth5@100ms", Channel::TopBook(2), frame).unwrap();
        let snapshot = out.snapshot(&out.items[0]).unwrap();
        assert_eq!(
            (snapshot.bids_cut, snapshot.asks_cut),
            (false, true),
            "as many as were asked for: there may be more"
        );
    }

    #[test]
    fn answers_and_notices() {
        let items = |frame: &str| decode("x@trade", Channel::Trades, frame).unwrap().items;
        assert!(matches!(items(r#"{"result":null,"id":7}"#)[..], [Item::Ack { id: 7 }]));
        let refused = items(r#"{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":7}"#);
        let Item::Refusal { id: Some(7), error } = &refused[0] else { panic!("{refused:?}") };
        assert_eq!(error.to_string(), "binance: Invalid request: unknown variant (code 2)");
        assert!(matches!(items(r#"{"code":3,"msg":"Invalid JSON"}"#)[..], [Item::Refusal { id: None, .. }]));
        assert!(matches!(items(r#"{"e":"serverShutdown","E":1770123456789}"#)[..], [Item::Shutdown]));
        let combined = r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#;
        assert!(matches!(items(combined)[..], [Item::Shutdown]));
        assert!(matches!(items(r#"{"stream":"y@trade","data":{"e":"trade"}}"#)[..], [Item::Unrouted]));
        assert!(matches!(items(r#"{"stream":"y@trade","data":[1]}"#)[..], [Item::Unrouted]));
    }

    #[test]
    fn events_without_a_wrapper_find_their_feed() {
        let raw = &DEPTH[r#"{"stream":"nknusdt@depth@100ms","data":"#.len()..DEPTH.len() - 1];
        let out = decode("nknusdt@depth@100ms", Channel::Book, raw).unwrap();
        assert_eq!(out.delta(&out.items[0]).unwrap().last, 499869752);
        let raw = r#"{"u":1,"s":"NKNUSDT","b":"0.3521","B":"6","a":"0.3526","A":"3"}"#;
        let out = decode("nknusdt@bookTicker", Channel::BidAsk, raw).unwrap();
        assert!(matches!(out.items[0], Item::BidAsk { .. }));
    }

    #[test]
    fn topics_there_and_back() {
        let (mut topic, market) = (String::new(), sample_market());
        for channel in [
            Channel::Book,
            Channel::TopBook(20),
            Channel::Trades,
            Channel::AggTrades,
            Channel::Ticker,
            Channel::BidAsk,
            Channel::Candles(Timeframe::Month1),
        ] {
            topic.clear();
            adapter().topic(Some(&market), channel, &mut topic).unwrap();
            assert_eq!(adapter().parse_topic(&topic), Some((channel, Some("ETHBTC".to_owned()))), "{topic}");
        }
        assert_eq!(topic, "ethbtc@kline_1M");
        assert_eq!(adapter().parse_topic("ethbtc@depth20"), Some((Channel::TopBook(20), Some("ETHBTC".to_owned()))));
        assert_eq!(adapter().parse_topic("ethbtc@forceOrder"), None);
        let error = adapter().topic(None, Channel::AllBidsAsks, &mut topic).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSupported);
        let error = Binance::new(&VARIANTS[1])
            .topic(Some(&market), Channel::Candles(Timeframe::S1), &mut topic)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "binanceus: has no candles of 1s; it has 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h, 1d, 3d, 1w, 1M"
        );
    }

    #[test]
    fn subscriptions_are_spelled_as_documented() {
        let mut out = Vec::new();
        adapter().subscription(Act::Subscribe, &["btcusdt@depth@100ms", "btcusdt@trade"], 1, &mut out);
        assert_eq!(out, br#"{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms","btcusdt@trade"],"id":1}"#);
        out.clear();
        adapter().subscription(Act::Unsubscribe, &["btcusdt@trade"], 2, &mut out);
        assert_eq!(out, br#"{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":2}"#);
    }

    const EXCHANGE_INFO: &str = r#"{"timezone":"UTC","symbols":[{"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","baseAssetPrecision":8,"quoteAsset":"BTC","quotePrecision":8,"filters":[{"filterType":"PRICE_FILTER","minPrice":"0.00000100","maxPrice":"922327.00000000","tickSize":"0.00000100"},{"filterType":"LOT_SIZE","minQty":"0.00010000","maxQty":"100000.00000000","stepSize":"0.00010000"},{"filterType":"MIN_NOTIONAL","minNotional":"0.00010000","applyToMarket":true,"avgPriceMins":5}],"permissions":["SPOT","MARGIN"]},{"symbol":"YOYOBTC","status":"BREAK","baseAsset":"YOYO","quoteAsset":"BTC","filters":[]},{"broken":1},{"symbol":"AB","status":"TRADING","baseAsset":"A","quoteAsset":"B","filters":[],"permissions":["TRD_GRP_003"]}]}"#;

    fn sample_market() -> Market {
        let reply = Reply { status: 200, body: EXCHANGE_INFO.as_bytes(), weight_used: None, retry_after_s: None };
        match answer(Ask::Markets, reply) {
            Ok(Answer::Markets(list)) => list[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    fn answer(ask: Ask, reply: Reply<'_>) -> Result<Answer, AnswerError> {
        let routes = routes(&[("nknusdt@depth@100ms", Channel::Book)]);
        let route = *routes.route(RouteId(0)).unwrap();
        adapter().on_reply(ask, &reply, &route, Wall(5), &mut Decoded::new())
    }

    #[test]
    fn markets_of_exchange_info() {
        let reply = Reply { status: 200, body: EXCHANGE_INFO.as_bytes(), weight_used: None, retry_after_s: None };
        let Ok(Answer::Markets(list)) = answer(Ask::Markets, reply) else { panic!() };
        let names: Vec<_> = list.iter().map(|market| (&*market.symbol, &*market.venue_symbol, market.active)).collect();
        assert_eq!(names, [("ETH/BTC", "ETHBTC", true), ("YOYOW/BTC", "YOYOBTC", false), ("A/B", "AB", false)]);
        let market = &list[0];
        assert_eq!((market.price_scale, market.amount_scale), (6, 4));
        assert_eq!((market.price_tick, market.amount_step), (fixed("0.000001"), fixed("0.0001")));
        assert_eq!(market.amount_limits, Limits { min: fixed("0.0001"), max: fixed("100000") });
        assert_eq!(market.cost_limits, Limits { min: fixed("0.0001"), max: None });
        assert_eq!((list[1].price_scale, list[1].price_tick), (8, None));
    }

    #[test]
    fn rest_requests_carry_their_weight() {
        let market = sample_market();
        let request = |depth| adapter().request(Ask::Snapshot { depth }, Some(&market)).unwrap();
        assert_eq!((request(100).target.as_str(), request(100).weight), ("/api/v3/depth?symbol=ETHBTC&limit=100", 5));
        assert_eq!((request(101).target.as_str(), request(101).weight), ("/api/v3/depth?symbol=ETHBTC&limit=500", 25));
        assert_eq!((request(u16::MAX).weight, request(1_000).weight), (250, 50));
        assert_eq!(percent_encoded("币安USDT"), "%E5%B8%81%E5%AE%89USDT");
    }

    #[test]
    fn refusals_in_unified_words() {
        let kind = |status, body: &str| {
            let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
            match answer(Ask::Snapshot { depth: 100 }, reply) {
                Err(AnswerError::Refused(error)) => (error.kind(), error.to_string()),
                other => panic!("{other:?}"),
            }
        };
        let (found, text) = kind(400, r#"{"code":-1121,"msg":"Invalid symbol."}"#);
        assert_eq!((found, text.as_str()), (ErrorKind::BadSymbol, "binance: Invalid symbol. (code -1121)"));
        assert_eq!(kind(429, r#"{"code":-1003,"msg":"Too many requests"}"#).0, ErrorKind::RateLimitExceeded);
        assert_eq!(kind(418, "").0, ErrorKind::DdosProtection);
        assert_eq!(kind(503, "<html>").1, "binance: HTTP status 503");
        assert_eq!(kind(200, "[]").0, ErrorKind::BadResponse);
        assert_eq!(kind(200, r#"{"lastUpdateId":1,"bids":[]}"#).0, ErrorKind::BadResponse);
        for (code, text, expected) in [
            (-1021, "", ErrorKind::InvalidNonce),
            (-1022, "", ErrorKind::AuthenticationError),
            (-2010, "Account has insufficient balance for requested action.", ErrorKind::InsufficientFunds),
            (-2010, "Order would immediately match and take.", ErrorKind::OrderImmediatelyFillable),
            (-2010, "other", ErrorKind::InvalidOrder),
            (-1013, "Filter failure: LOT_SIZE", ErrorKind::InvalidOrder),
            (-1013, "Market is closed.", ErrorKind::MarketClosed),
            (-1013, "other", ErrorKind::BadRequest),
            (-1105, "", ErrorKind::BadRequest),
            (-1108, "", ErrorKind::BadSymbol),
            (-1125, "", ErrorKind::AuthenticationError),
            (-2011, "", ErrorKind::OrderNotFound),
            (-1007, "", ErrorKind::RequestTimeout),
            (-9999, "", ErrorKind::ExchangeError),
        ] {
            assert_eq!(kind_of(code, text), expected, "{code} {text}");
        }
    }

    #[test]
    fn status_by_rest() {
        let health = |body: &str| match answer(
            Ask::Status,
            Reply { status: 200, body: body.as_bytes(), weight_used: None, retry_after_s: None },
        ) {
            Ok(Answer::Status(status)) => (status.status, status.updated, status.emulated),
            other => panic!("{other:?}"),
        };
        assert_eq!(health(r#"{"status":0,"msg":"normal"}"#), (Health::Ok, Wall(5), true));
        assert_eq!(health(r#"{"status":1,"msg":"system maintenance"}"#).0, Health::Maintenance);
        assert_eq!(health("{}").0, Health::Ok);
    }
}
