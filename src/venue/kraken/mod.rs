//! Kraken (`kraken`), spot: version 2 of the protocol, and the data of version 1 for recordings.
//!
//! A topic is `channel:symbol`, followed by `@` and what the messages do not repeat: `book:BTC/USD@25` for 25 levels
//! (`book:BTC/USD` has 1000), `ticker:BTC/USD@bbo` for the best bid and ask. Books come as a snapshot and updates on the
//! stream, tied by a checksum of their ten best levels; what falls out of the depth is not deleted. Version 2 stands in
//! `v2`, version 1 (arrays, until 2021 the only one) in `v1`; the private half in `private`, REST in `fetch` and `replies`.

mod fetch;
#[cfg(test)]
mod fetch_tests;
mod frames;
mod names;
#[cfg(test)]
mod order_tests;
mod orders;
mod private;
#[cfg(test)]
mod private_tests;
mod replies;
mod rest;
mod rows;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use self::names::v2_symbol;
use self::rest::{markets, refusal, status};
use super::shared::{IsoTimes, no_candles, snapshots_on_stream, unreadable};
use super::{
    Act, Answer, AnswerError, Ask, Channel, DecodeError, Decoded, MessageLimit, Method, PingRule, Profile, Reply,
    Request, RestLimit, Route, RouteId, Routes, Venue,
};
use crate::book::Rule;
use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, DocParser, JsonError};
use crate::market::Market;
use crate::model::{Timeframe, Wall};

/// Kraken.
pub static KRAKEN: Profile = Profile {
    id: "kraken",
    name: "Kraken",
    ws_url: "wss://ws.kraken.com",
    ws_path: "/v2",
    rest_url: "https://api.kraken.com",
    closed: None,
    // A heartbeat comes every second once something is subscribed.
    ping: PingRule { venue_every_s: 1, venue_timeout_s: 60, ask_after_s: 3, dead_after_s: 3 },
    lifetime_s: u32::MAX,
    // The venue has a limit and does not publish it.
    messages: MessageLimit { count: 20, window_ms: 1_000 },
    connects: MessageLimit { count: 100, window_ms: 600_000 },
    streams_per_link_max: 200,
    // A refusal names our request, and no symbol: one each, so that nobody else is refused along with it.
    topics_per_message_max: 1,
    rest: RestLimit { weight: 5, window_ms: 5_000 },
    weight_header: "",
    top_depths: &[10, 25, 100, 500],
    snapshot_depths: &[(1_000, 1)],
    timeframes: {
        use Timeframe::*;
        &[M1, M5, M15, M30, H1, H4, D1, W1]
    },
    rule: Rule::Unnumbered,
    top_rule: Rule::Unnumbered,
    book_window: DEPTH,
    market_lists: 1,
    ping_text: Some(r#"{"method":"ping"}"#),
    trading: Some(&private::TRADING),
    open: || Box::new(Kraken::default()),
};

/// Levels of a side in [`Channel::Book`].
const DEPTH: u16 = 1_000;

/// The adapter.
#[derive(Default)]
struct Kraken {
    doc: DocParser,
    times: IsoTimes,
}

impl Venue for Kraken {
    fn profile(&self) -> &'static Profile {
        &KRAKEN
    }

    fn topic(&self, market: Option<&Market>, channel: Channel, out: &mut String) -> Result<(), Error> {
        let unsupported = |what: &str| Err(Error::new(ErrorKind::NotSupported, what.to_owned()).at(KRAKEN.id));
        let symbol = market.map_or_else(String::new, |market| v2_symbol(&market.venue_symbol));
        out.push_str(&match channel {
            Channel::Book => book_topic(&symbol, DEPTH),
            Channel::TopBook(depth) => book_topic(&symbol, depth),
            Channel::Trades => format!("trade:{symbol}"),
            Channel::Ticker => format!("ticker:{symbol}"),
            Channel::BidAsk => format!("ticker:{symbol}@bbo"),
            Channel::Candles(timeframe) if KRAKEN.timeframes.contains(&timeframe) => {
                format!("ohlc-{}:{symbol}", timeframe.seconds() / 60)
            }
            Channel::Candles(timeframe) => return Err(no_candles(&KRAKEN, timeframe)),
            Channel::AggTrades => return unsupported("has no stream of aggregated trades; watch trades"),
            Channel::AllTickers => return unsupported("has no stream of all tickers; name the symbols"),
            Channel::AllBidsAsks => return unsupported("has no stream of all bids and asks; name the symbols"),
            Channel::Status | Channel::Private(_) => {
                return unsupported("tells its status on every connection, and by REST");
            }
        });
        Ok(())
    }

    fn parse_topic(&self, topic: &str) -> Option<(Channel, Option<String>)> {
        let (name, rest) = topic.split_once(':')?;
        let (symbol, option) = rest.split_once('@').unwrap_or((rest, ""));
        let channel = match (name, option) {
            ("book", "") => Channel::Book,
            ("book", depth) => Channel::TopBook(depth.parse().ok()?),
            ("trade", "") => Channel::Trades,
            ("ticker", "") => Channel::Ticker,
            ("ticker", "bbo") | ("spread", "") => Channel::BidAsk,
            (name, "") => Channel::Candles(timeframe_of(name.strip_prefix("ohlc-")?.parse().ok()?)?),
            _ => return None,
        };
        Some((channel, Some(symbol.to_owned())))
    }

    fn topic_of(&self, frame: &[u8]) -> Option<String> {
        if frame.trim_ascii_start().first() == Some(&b'[') { v1::topic_of(frame) } else { v2::topic_of(frame) }
    }

    fn route_key<'t>(&self, topic: &'t str) -> &'t str {
        topic.split_once('@').map_or(topic, |parts| parts.0)
    }

    fn topics_of_subscription(&self, message: &[u8]) -> Vec<String> {
        // Both versions: `{"event":"subscribe","pair":["XBT/USD"],"subscription":{"name":"book","depth":1000}}` and
        // `{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10}}`.
        let mut asked = Subscription::default();
        if asked.read(&mut Cursor::new(message)).is_err() || !asked.subscribe {
            return Vec::new();
        }
        let Subscription { channel, symbols, depth, interval, bbo, .. } = asked;
        let topic = |symbol: &String| match channel.as_str() {
            "book" => book_topic(symbol, depth.unwrap_or(10)),
            "ohlc" => format!("ohlc-{}:{symbol}", interval.unwrap_or(1)),
            "ticker" if bbo => format!("ticker:{symbol}@bbo"),
            name => format!("{name}:{symbol}"),
        };
        symbols.iter().map(topic).collect()
    }

    /// `{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10,"snapshot":true},"req_id":1}`,
    /// for one topic.
    fn subscription(&self, act: Act, topics: &[&str], id: u64, out: &mut Vec<u8>) {
        let Some((name, rest)) = topics.first().and_then(|topic| topic.split_once(':')) else { return };
        let (symbol, option) = rest.split_once('@').unwrap_or((rest, ""));
        let (channel, params) = match (name, option) {
            ("book", "") => ("book", format!(r#","depth":{DEPTH}"#)),
            ("book", depth) => ("book", format!(r#","depth":{depth}"#)),
            ("ticker", "bbo") => ("ticker", r#","event_trigger":"bbo""#.to_owned()),
            ("trade", _) => ("trade", r#","snapshot":false"#.to_owned()),
            (name, _) => match name.strip_prefix("ohlc-") {
                Some(minutes) => ("ohlc", format!(r#","interval":{minutes}"#)),
                None => (name, String::new()),
            },
        };
        let method = if act == Act::Subscribe { "subscribe" } else { "unsubscribe" };
        let text = format!(
            r#"{{"method":"{method}","params":{{"channel":"{channel}","symbol":["{symbol}"]{params}}},"req_id":{id}}}"#
        );
        out.extend_from_slice(text.as_bytes());
    }

    fn on_frame(&mut self, frame: &[u8], routes: &Routes, out: &mut Decoded) -> Result<(), DecodeError> {
        if v2::on_usual_book(frame, routes, &mut self.times, out).is_some() {
            return Ok(());
        }
        out.clear();
        if frame.first() == Some(&b'[') {
            v1::on_data(frame, routes, out)
        } else {
            v2::on_frame(frame, routes, &mut self.times, out)
        }
    }

    fn request(&self, ask: Ask, _: Option<&Market>) -> Result<Request, Error> {
        let target = match ask {
            Ask::Markets | Ask::MoreMarkets(_) => "/0/public/AssetPairs",
            Ask::Status => "/0/public/SystemStatus",
            Ask::Snapshot { .. } => return Err(snapshots_on_stream().at(KRAKEN.id)),
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
        let refused = |error: Error| AnswerError::Refused(error.at(KRAKEN.id));
        if reply.status != 200 {
            return Err(refused(Error::new(
                ErrorKind::of_http_status(reply.status),
                format!("HTTP status {}", reply.status),
            )));
        }
        let doc = self.doc.parse(reply.body).map_err(|error| refused(unreadable(error)))?;
        if let Some(error) = refusal(&doc) {
            return Err(refused(error));
        }
        match ask {
            Ask::Markets | Ask::MoreMarkets(_) => markets(&doc).map(Answer::Markets).map_err(refused),
            Ask::Status => Ok(Answer::Status(status(&doc, now))),
            Ask::Snapshot { .. } => Err(refused(snapshots_on_stream())),
        }
    }
}

fn book_topic(symbol: &str, depth: u16) -> String {
    if depth == DEPTH { format!("book:{symbol}") } else { format!("book:{symbol}@{depth}") }
}

fn timeframe_of(minutes: u32) -> Option<Timeframe> {
    KRAKEN.timeframes.iter().find(|timeframe| timeframe.seconds() == minutes * 60).copied()
}

/// A subscription as a client wrote it, in either version.
#[derive(Default)]
struct Subscription {
    subscribe: bool,
    channel: String,
    symbols: Vec<String>,
    depth: Option<u16>,
    interval: Option<u32>,
    bbo: bool,
}

impl Subscription {
    fn read(&mut self, c: &mut Cursor<'_>) -> Result<(), JsonError> {
        c.object(|c, key| match key {
            b"event" | b"method" => {
                self.subscribe = c.bytes()? == b"subscribe";
                Ok(())
            }
            b"channel" | b"name" => {
                self.channel = c.str()?.to_owned();
                Ok(())
            }
            b"pair" | b"symbol" => c.array(|c| {
                self.symbols.push(c.str()?.to_owned());
                Ok(())
            }),
            b"depth" => {
                self.depth = u16::try_from(c.u64()?).ok();
                Ok(())
            }
            b"interval" => {
                self.interval = u32::try_from(c.u64()?).ok();
                Ok(())
            }
            b"event_trigger" => {
                self.bbo = c.bytes()? == b"bbo";
                Ok(())
            }
            b"subscription" | b"params" => self.read_inner(c),
            _ => c.skip(),
        })
    }

    /// As a function of its own, since a closure cannot call itself.
    fn read_inner(&mut self, c: &mut Cursor<'_>) -> Result<(), JsonError> {
        let inner = c.raw()?;
        let mut inner = Cursor::new(inner);
        let subscribe = self.subscribe;
        self.read(&mut inner)?;
        self.subscribe |= subscribe;
        Ok(())
    }
}
