//! `wirebook decode`: single messages to unified events, without an engine.

use std::io::{self, BufReader, Write};

use serde_json::Value;
use wirebook::book::Level;
use wirebook::decimal::Fixed;
use wirebook::venue::{Act, BookKind, Channel, DecodeError, Decoded, Item, Route, RouteId, Routes, Venue};

use super::events::{self, Object};
use super::recording::{Line, Reader};
use super::{Decode, Failure, say};

/// Topics that are remembered with the decimals they need; when there are more, all are forgotten.
const TOPICS_MAX: usize = 65_536;
/// Levels of one side in one message.
const LEVELS_MAX: u32 = 10_000;
/// Prices and amounts may each need more decimals than the messages before, and some of these may be missing.
const TRIES_MAX: u32 = 4;

/// Runs the command.
pub(crate) fn run(arguments: &Decode) -> Result<(), Failure> {
    let mut decoder = Decoder::new((arguments.venue.open)());
    let mut reader = Reader::over("standard input".to_owned(), Box::new(BufReader::new(io::stdin())));
    // Written line by line, so that nothing is lost when the command is interrupted.
    let mut out = io::stdout().lock();
    let mut line = Line::default();
    let mut bad = 0_u64;
    while let Some(outcome) = reader.advance() {
        let number = reader.line;
        let outcome = match outcome {
            Ok(()) => decoder.line(reader.text(), number, &mut line),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(events) => {
                for event in events {
                    writeln!(out, "{event}")?;
                }
            }
            Err(error) => {
                bad += 1;
                say(format_args!("line {number}: {error}"));
            }
        }
    }
    match bad {
        0 => Ok(()),
        1 => Err(Failure::failed("one line could not be decoded, see above")),
        count => Err(Failure::failed(format!("{count} lines could not be decoded, see above"))),
    }
}

struct Decoder {
    venue: Box<dyn Venue>,
    routes: Routes,
    /// Symbols of the routes, by the number that stands in for a feed.
    symbols: Vec<Option<String>>,
    decoded: Decoded,
}

impl Decoder {
    fn new(venue: Box<dyn Venue>) -> Decoder {
        Decoder { venue, routes: Routes::default(), symbols: Vec::new(), decoded: Decoded::new() }
    }

    /// The events of a message, or of a line of a recording.
    fn line(&mut self, text: &[u8], number: u64, line: &mut Line) -> Result<Vec<Value>, String> {
        // No venue's message has all of these members.
        let recorded = [&b"\"conn\""[..], b"\"kind\"", b"\"data\""].iter().all(|name| contains(text, name))
            && line.read(text).is_ok();
        if !recorded {
            return self.message(text, number);
        }
        match (line.kind.as_str(), line.dir.as_str()) {
            ("text", "in") => self.message(line.data.as_bytes(), number),
            ("text", "out") | ("open", _) => Ok(Vec::new()),
            (kind, _) => Err(format!("a recorded line of kind {kind:?} holds no message of a stream")),
        }
    }

    fn message(&mut self, frame: &[u8], number: u64) -> Result<Vec<Value>, String> {
        if let Some(topic) = self.venue.topic_of(frame)
            && self.routes.find(self.venue.route_key(&topic).as_bytes()).is_none()
        {
            self.add(&topic)?;
        }
        let (mut tries, mut gap) = (0, None);
        loop {
            self.decoded.clear();
            match self.venue.on_frame(frame, &self.routes, &mut self.decoded) {
                Ok(()) => break,
                Err(DecodeError::Finer { route, price_scale, amount_scale }) if tries < TRIES_MAX => {
                    tries += 1;
                    let Some(route) = self.routes.route_mut(route) else { return Err("no such topic".to_owned()) };
                    route.price_scale = route.price_scale.max(price_scale);
                    route.amount_scale = route.amount_scale.max(amount_scale);
                }
                Err(error @ DecodeError::Gap { .. }) if tries < TRIES_MAX => {
                    tries += 1;
                    gap = Some(error);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        let mut events = Vec::new();
        if let Some(DecodeError::Gap { expected, got }) = gap {
            events.push(Object::new("gap", None).with("expected", expected).with("got", got));
        }
        for item in &self.decoded.items {
            self.events_of(item, frame, &mut events)?;
        }
        Ok(events.into_iter().map(|event| event.with("line", number).end()).collect())
    }

    fn add(&mut self, topic: &str) -> Result<(), String> {
        let Some((channel, symbol)) = self.venue.parse_topic(topic) else {
            return Err(format!("{topic:?} is no topic of {} that can be read", self.venue.profile().id));
        };
        if self.symbols.len() >= TOPICS_MAX {
            self.routes.clear();
            self.symbols.clear();
        }
        let feed = self.symbols.len() as u32;
        self.symbols.push(symbol);
        let levels_max = LEVELS_MAX;
        let topic = self.venue.route_key(topic);
        self.routes.insert(topic, Route { feed, channel, market: None, price_scale: 0, amount_scale: 0, levels_max });
        Ok(())
    }

    fn route(&self, id: RouteId) -> Option<(&Route, Option<&str>)> {
        let route = self.routes.route(id)?;
        Some((route, self.symbols.get(route.feed as usize)?.as_deref()))
    }

    fn events_of(&self, item: &Item, frame: &[u8], events: &mut Vec<Object>) -> Result<(), String> {
        let lost = || "a topic that is not known any more".to_owned();
        match item {
            Item::Book { route, kind, first, last, venue_time, bids, asks, rejected, .. } => {
                let (route, symbol) = self.route(*route).ok_or_else(lost)?;
                let level = |level: &Level| {
                    (Fixed::new(level.price, route.price_scale), Fixed::new(level.qty, route.amount_scale))
                };
                let snapshot = *kind != BookKind::Delta;
                let event = Object::new("book", symbol)
                    .with("snapshot", snapshot)
                    .with("first", (!snapshot && *first != 0).then_some(*first))
                    .with("nonce", (*last != 0).then_some(*last))
                    .time("timestamp", *venue_time)
                    .levels("bids", self.decoded.levels(*bids).iter().map(level))
                    .levels("asks", self.decoded.levels(*asks).iter().map(level))
                    .with("rejected", (*rejected > 0).then_some(*rejected));
                events.push(event);
            }
            Item::Trades { route, trades } => {
                let (route, symbol) = self.route(*route).ok_or_else(lost)?;
                let kind = if route.channel == Channel::AggTrades { "aggtrade" } else { "trade" };
                events.extend(self.decoded.trades(*trades).iter().map(|trade| events::trade(kind, symbol, trade)));
            }
            Item::Ticker { route, row, symbol } => {
                let own = symbol.map(|span| String::from_utf8_lossy(span.of(frame)).into_owned());
                let (_, topic) = self.route(*route).ok_or_else(lost)?;
                let ticker = self.decoded.ticker(*row).ok_or_else(lost)?;
                events.push(events::ticker(own.as_deref().or(topic), ticker));
            }
            Item::BidAsk { route, row, symbol } => {
                let own = symbol.map(|span| String::from_utf8_lossy(span.of(frame)).into_owned());
                let (_, topic) = self.route(*route).ok_or_else(lost)?;
                let quote = self.decoded.bid_ask(*row).ok_or_else(lost)?;
                events.push(events::bid_ask(own.as_deref().or(topic), quote));
            }
            Item::Candle { route, row } => {
                let (route, symbol) = self.route(*route).ok_or_else(lost)?;
                let candle = self.decoded.candle(*row).ok_or_else(lost)?;
                let Channel::Candles(timeframe) = route.channel else { return Err(lost()) };
                events.push(events::candle(symbol, timeframe, candle));
            }
            Item::Ack { id } => events.push(Object::new("ack", None).with("id", *id)),
            Item::Refusal { id, error } => {
                let event = Object::new("refusal", None).with("id", *id).with("message", error.message());
                events.push(event.with("code", error.code()));
            }
            Item::Status(health) => events.push(Object::new("status", None).with("status", health.as_str())),
            Item::Settled { act, topic } => {
                let name = if *act == Act::Subscribe { "subscribed" } else { "unsubscribed" };
                events.push(Object::new(name, None).with("topic", &**topic));
            }
            Item::Subscribed(topics) => {
                for topic in topics {
                    events.push(Object::new("subscribed", None).with("topic", &**topic));
                }
            }
            Item::TopicRefused { topic, error } => {
                let event = Object::new("refusal", None).with("topic", &**topic).with("message", error.message());
                events.push(event.with("code", error.code()));
            }
            Item::Unchanged { route, checksum: Some(expected) } => {
                let (_, symbol) = self.route(*route).ok_or_else(lost)?;
                events.push(Object::new("checksum", symbol).with("checksum", expected.value()));
            }
            Item::Heartbeat | Item::Unchanged { .. } => {}
            Item::Shutdown => events.push(Object::new("shutdown", None)),
            _ => return Err("a message that names no topic, and is no answer either".to_owned()),
        }
        Ok(())
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    // Members stand at the beginning or the end of a line; payloads in between may be megabytes.
    let ends = 200;
    let find = |text: &[u8]| text.windows(part.len()).any(|window| window == part);
    find(&text[..text.len().min(ends)]) || find(&text[text.len().saturating_sub(ends)..])
}
