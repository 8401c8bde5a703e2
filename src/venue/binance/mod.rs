//! Binance spot, and its sisters Binance.US and Binance Jersey as changed constants.
//!
//! Streams are taken in combined mode (`/stream`): each event comes as `{"stream":"<topic>","data":{..}}`, so the topic
//! alone says which feed it belongs to. That matters because `bookTicker` and partial depth name no event type, and
//! partial depth no symbol either. Decoders stand in `streams`, markets and refusals in `rest`, the account in `private`,
//! REST in `fetch`. Sources: Binance's spot API documentation (web-socket-streams, rest-api, errors) as of 2026-07;
//! frames above the decoders are from captures of October 2021 unless another source is named.

mod events;
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
mod streams;
#[cfg(test)]
mod tests;

use self::private::{ACCESS, Access, OLDER_ACCESS};

use self::rest::{markets, refusal};
use self::streams::{event_name, on_data, on_usual_data, on_whole_book};
use super::shared::{cut, no_candles, unreadable};
use super::sign::percent_encode;
use super::{
    Act, Answer, AnswerError, Ask, Channel, DecodeError, Decoded, Item, MessageLimit, Method, PingRule, Profile, Reply,
    Request, RestLimit, Route, RouteId, Routes, Venue,
};
use crate::book::Rule;
use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, DocParser, JsonError};
use crate::market::Market;
use crate::model::{Health, Status, Timeframe, Wall};

const SPOT: Profile = Profile {
    id: "binance",
    name: "Binance",
    ws_url: "wss://stream.binance.com:9443",
    ws_path: "/stream",
    rest_url: "https://api.binance.com",
    closed: None,
    // The venue pings every 20 s and cuts after 60 s without a pong. We ask sooner: a dead connection shows within 10 s.
    ping: PingRule { venue_every_s: 20, venue_timeout_s: 60, ask_after_s: 5, dead_after_s: 5 },
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
    top_rule: Rule::Replace,
    book_window: 0,
    market_lists: 1,
    ping_text: None,
    trading: None,
    open: || Box::new(Binance::new(&VARIANTS[0])),
};

/// The protocol of Binance.US and Binance Jersey is Binance's of 2020 to 2023.
const OLDER: Profile = Profile {
    ping: PingRule { venue_every_s: 180, venue_timeout_s: 600, ask_after_s: 5, dead_after_s: 5 },
    rest: RestLimit { weight: 1_200, window_ms: 60_000 },
    snapshot_depths: &[(100, 1), (500, 5), (1_000, 10), (5_000, 50)],
    timeframes: {
        use Timeframe::*;
        &[M1, M3, M5, M15, M30, H1, H2, H4, H6, H8, H12, D1, D3, W1, Month1]
    },
    ..SPOT
};

/// Binance spot.
pub static BINANCE: Profile = Profile { trading: Some(&private::BINANCE), ..SPOT };

/// Binance.US, spot only.
pub static BINANCEUS: Profile = Profile {
    id: "binanceus",
    name: "Binance.US",
    ws_url: "wss://stream.binance.us:9443",
    rest_url: "https://api.binance.us",
    trading: Some(&private::BINANCEUS),
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
    access: Access,
}

static VARIANTS: [Variant; 3] = [
    Variant {
        profile: &BINANCE,
        all_tickers: "!miniTicker@arr",
        all_bids_asks: None,
        status: "/sapi/v1/system/status",
        access: ACCESS,
    },
    Variant {
        profile: &BINANCEUS,
        all_tickers: "!ticker@arr",
        all_bids_asks: None,
        status: "/sapi/v1/system/status",
        access: OLDER_ACCESS,
    },
    Variant {
        profile: &BINANCEJE,
        all_tickers: "!ticker@arr",
        all_bids_asks: Some("!bookTicker"),
        status: "/api/v3/ping",
        access: OLDER_ACCESS,
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
                    return Err(no_candles(self.variant.profile, timeframe));
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
            Channel::Status | Channel::Private(_) => {
                return Err(self.unsupported("status stream", "its status is asked for by REST"));
            }
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

    fn topics_of_subscription(&self, message: &[u8]) -> Vec<String> {
        let (mut subscribe, mut topics) = (false, Vec::new());
        let read = Cursor::new(message).object(|c, key| {
            match key {
                b"method" => subscribe = c.bytes()? == b"SUBSCRIBE",
                b"params" => c.array(|c| {
                    topics.push(c.str()?.to_owned());
                    Ok(())
                })?,
                _ => c.skip()?,
            }
            Ok(())
        });
        if read.is_ok() && subscribe { topics } else { Vec::new() }
    }

    fn on_frame(&mut self, frame: &[u8], routes: &Routes, out: &mut Decoded) -> Result<(), DecodeError> {
        if usual(frame, routes, out).is_some() {
            return Ok(());
        }
        out.clear();
        self.on_any_frame(frame, routes, out)
    }

    fn request(&self, ask: Ask, market: Option<&Market>) -> Result<Request, Error> {
        let (target, weight) = match ask {
            Ask::Markets | Ask::MoreMarkets(_) => ("/api/v3/exchangeInfo".to_owned(), 20),
            Ask::Status => (self.variant.status.to_owned(), 1),
            Ask::Snapshot { depth } => {
                let Some(market) = market else {
                    return Err(Error::new(ErrorKind::ArgumentsRequired, "a snapshot needs a market"));
                };
                let (limit, weight) = self.variant.profile.snapshot_depth(depth);
                let mut target = "/api/v3/depth?symbol=".to_owned();
                // Symbols may hold letters beyond ASCII since December 2025.
                percent_encode(&market.venue_symbol, &mut target);
                target.push_str(&format!("&limit={limit}"));
                (target, weight)
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
        let unreadable = |error: JsonError| AnswerError::Refused(unreadable(error).at(id));
        match ask {
            Ask::Markets | Ask::MoreMarkets(_) => {
                let doc = self.doc.parse(reply.body).map_err(unreadable)?;
                markets(&doc).map(Answer::Markets).map_err(|error| AnswerError::Refused(error.at(id)))
            }
            Ask::Snapshot { depth } => {
                let limit = usize::from(self.variant.profile.snapshot_depth(depth).0);
                let mut c = Cursor::new(reply.body);
                match on_whole_book(&mut c, RouteId(0), route, Some(limit), out).and_then(|()| c.finish()) {
                    Ok(()) => Ok(Answer::Snapshot),
                    Err(error) => match DecodeError::of_json(error, Some((RouteId(0), route))) {
                        DecodeError::Malformed { error, .. } => Err(unreadable(error)),
                        finer => Err(AnswerError::Decode(finer)),
                    },
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

/// A message in its usual form, of one of the busiest channels; see [`on_usual_data`]. Apart from what reads any message, so
/// that the few values it needs stay in registers.
#[inline(never)]
fn usual(frame: &[u8], routes: &Routes, out: &mut Decoded) -> Option<()> {
    let mut c = Cursor::new(frame);
    if !c.eat_text(b"{\"stream\":") {
        return None;
    }
    let (id, route) = routes.read_topic(&mut c)?;
    on_usual_data(c, id, route, out)
}

impl Binance {
    /// Any message, with its members in any order; the plain way beside [`usual`], and its judge in the tests.
    #[inline(never)]
    fn on_any_frame(&self, frame: &[u8], routes: &Routes, out: &mut Decoded) -> Result<(), DecodeError> {
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
            (Err(error), _) => Err(DecodeError::of_json(error, found)),
        }
    }

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
        on_data(&mut c, frame, id, route, out).map_err(|error| DecodeError::of_json(error, Some((id, route))))
    }
}
