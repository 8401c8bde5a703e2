//! OKX (`okex`), protocol v5: spot, swaps and futures; and Okcoin (`okcoin`) as changed constants.
//!
//! A topic is `channel:instId`, the two members of `arg` in each message. Books come as a snapshot and updates on the
//! stream, chained by `prevSeqId`; until about 2023 only a checksum tied them, since 2026 the checksum is always 0. Frames
//! above the decoders are from captures of May 2022 and from OKX's documentation of 2025.

mod fetch;
mod orders;
mod private;
#[cfg(test)]
mod private_tests;
mod rest;
mod rows;
#[cfg(test)]
mod tests;

use self::rest::{markets, refusal, refused, status};
use super::decoded::Span;
use super::routes::Name;
use super::shared::{no_candles, number, number_if_any, snapshots_on_stream, statistic, unreadable};
use super::{
    Act, Answer, AnswerError, Ask, BookKind, Channel, DecodeError, Decoded, Item, MessageLimit, Method, PingRule,
    Profile, Reply, Request, RestLimit, Route, RouteId, Routes, Venue,
};
use crate::book::{Expected, Rule};
use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, DocParser, JsonError};
use crate::market::Market;
use crate::model::{BidAsk, Candle, Id, TakerSide, Ticker, Timeframe, Trade, Wall};

const GLOBAL: Profile = Profile {
    id: "okex",
    name: "OKX",
    ws_url: "wss://ws.okx.com:8443",
    ws_path: "/ws/v5/public",
    rest_url: "https://www.okx.com",
    closed: None,
    // The venue cuts a connection on which nothing was sent for 30 s.
    ping: PingRule { venue_every_s: 0, venue_timeout_s: 30, ask_after_s: 10, dead_after_s: 5 },
    lifetime_s: u32::MAX,
    messages: MessageLimit { count: 480, window_ms: 3_600_000 },
    connects: MessageLimit { count: 3, window_ms: 1_000 },
    streams_per_link_max: 200,
    topics_per_message_max: 50,
    rest: RestLimit { weight: 9, window_ms: 1_000 },
    weight_header: "",
    top_depths: &[5],
    snapshot_depths: &[(400, 1)],
    timeframes: {
        use Timeframe::*;
        &[M1, M3, M5, M15, M30, H1, H2, H4, H6, H12, D1, D3, W1, Month1]
    },
    rule: Rule::Chain,
    top_rule: Rule::Replace,
    book_window: 0,
    market_lists: LISTS.len() as u8,
    ping_text: Some("ping"),
    trading: Some(&private::TRADING),
    open: || Box::new(Okex::new(&OKEX, "/ws/v5/business")),
};

/// OKX.
pub static OKEX: Profile = GLOBAL;

/// Okcoin, spot only, as it spoke from April 2023 to its end.
pub static OKCOIN: Profile = Profile {
    id: "okcoin",
    name: "Okcoin",
    ws_url: "wss://real.okcoin.com:8443",
    rest_url: "https://www.okcoin.com",
    // Its last customers went over to OKX in that month.
    closed: Some("2025-05"),
    market_lists: 1,
    trading: Some(&private::OKCOIN_TRADING),
    open: || Box::new(Okex::new(&OKCOIN, OKCOIN.ws_path)),
    ..GLOBAL
};

/// Lists of instruments, each a request.
const LISTS: [&str; 3] = ["SPOT", "SWAP", "FUTURES"];

/// The adapter.
struct Okex {
    profile: &'static Profile,
    /// The path of the socket that serves candles.
    candles_path: &'static str,
    doc: DocParser,
}

impl Okex {
    fn new(profile: &'static Profile, candles_path: &'static str) -> Okex {
        Okex { profile, candles_path, doc: DocParser::default() }
    }
}

/// `arg` of a message: which topic it belongs to.
#[derive(Clone, Copy, Default)]
struct Arg<'a> {
    channel: &'a [u8],
    inst_id: &'a [u8],
}

impl<'a> Arg<'a> {
    /// `{"channel":"books","instId":"BTC-USDT"}`
    #[inline]
    fn read(c: &mut Cursor<'a>) -> Result<Arg<'a>, JsonError> {
        let mut arg = Arg::default();
        c.object(|c, key| {
            match key {
                b"channel" => arg.channel = c.bytes()?,
                b"instId" => arg.inst_id = c.bytes()?,
                _ => c.skip()?,
            }
            Ok(())
        })?;
        Ok(arg)
    }

    fn topic(&self) -> String {
        format!("{}:{}", String::from_utf8_lossy(self.channel), String::from_utf8_lossy(self.inst_id))
    }
}

impl Venue for Okex {
    fn profile(&self) -> &'static Profile {
        self.profile
    }

    fn topic(&self, market: Option<&Market>, channel: Channel, out: &mut String) -> Result<(), Error> {
        let unsupported = |what: &str| Err(Error::new(ErrorKind::NotSupported, what.to_owned()).at(self.profile.id));
        match channel {
            Channel::Book => out.push_str("books"),
            Channel::TopBook(_) => out.push_str("books5"),
            Channel::Trades => out.push_str("trades"),
            Channel::Ticker => out.push_str("tickers"),
            Channel::BidAsk => out.push_str("bbo-tbt"),
            Channel::Candles(timeframe) => match INTERVALS.iter().find(|row| row.1 == timeframe) {
                Some((name, _)) => {
                    out.push_str("candle");
                    out.push_str(name);
                }
                None => return Err(no_candles(self.profile, timeframe)),
            },
            Channel::AggTrades => return unsupported("has no stream of aggregated trades; watch trades"),
            Channel::AllTickers => return unsupported("has no stream of all tickers; name the symbols"),
            Channel::AllBidsAsks => return unsupported("has no stream of all bids and asks; name the symbols"),
            Channel::Status | Channel::Private(_) => return unsupported("has its status by REST here"),
        }
        out.push(':');
        out.push_str(market.map_or("", |market| &market.venue_symbol));
        Ok(())
    }

    fn parse_topic(&self, topic: &str) -> Option<(Channel, Option<String>)> {
        let (name, symbol) = topic.split_once(':')?;
        let channel = match name {
            "books" | "books-l2-tbt" | "books50-l2-tbt" => Channel::Book,
            "books5" => Channel::TopBook(5),
            "trades" | "trades-all" => Channel::Trades,
            "tickers" => Channel::Ticker,
            "bbo-tbt" => Channel::BidAsk,
            _ => {
                let interval = name.strip_prefix("candle")?;
                let row =
                    INTERVALS.iter().find(|(name, _)| *name == interval || name.strip_suffix("utc") == Some(interval));
                Channel::Candles(row?.1)
            }
        };
        Some((channel, Some(symbol.to_owned())))
    }

    fn topic_of(&self, frame: &[u8]) -> Option<String> {
        let (mut arg, mut has_data) = (None, false);
        Cursor::new(frame)
            .object(|c, key| {
                match key {
                    b"arg" => arg = Some(Arg::read(c)?),
                    b"data" => {
                        has_data = true;
                        c.skip()?;
                    }
                    _ => c.skip()?,
                }
                Ok(())
            })
            .ok()?;
        arg.filter(|_| has_data).map(|arg| arg.topic())
    }

    fn ws_path(&self, channel: Channel) -> &'static str {
        if matches!(channel, Channel::Candles(_)) { self.candles_path } else { self.profile.ws_path }
    }

    fn topics_of_subscription(&self, message: &[u8]) -> Vec<String> {
        let (mut subscribe, mut topics) = (false, Vec::new());
        let read = Cursor::new(message).object(|c, key| {
            match key {
                b"op" => subscribe = c.bytes()? == b"subscribe",
                b"args" => c.array(|c| {
                    topics.push(Arg::read(c)?.topic());
                    Ok(())
                })?,
                _ => c.skip()?,
            }
            Ok(())
        });
        if read.is_ok() && subscribe { topics } else { Vec::new() }
    }

    /// `{"id":"1","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}`
    fn subscription(&self, act: Act, topics: &[&str], id: u64, out: &mut Vec<u8>) {
        let op = if act == Act::Subscribe { "subscribe" } else { "unsubscribe" };
        let args = topics.iter().filter_map(|topic| topic.split_once(':'));
        let args = args.map(|(channel, symbol)| format!(r#"{{"channel":"{channel}","instId":"{symbol}"}}"#));
        let args = args.collect::<Vec<_>>().join(",");
        out.extend_from_slice(format!(r#"{{"id":"{id}","op":"{op}","args":[{args}]}}"#).as_bytes());
    }

    fn on_frame(&mut self, frame: &[u8], routes: &Routes, out: &mut Decoded) -> Result<(), DecodeError> {
        if on_usual_book(frame, routes, out).is_some() {
            return Ok(());
        }
        out.clear();
        on_any_frame(frame, routes, self.profile.id, out)
    }

    fn request(&self, ask: Ask, _: Option<&Market>) -> Result<Request, Error> {
        let lists = &LISTS[..usize::from(self.profile.market_lists).min(LISTS.len())];
        let list = |part: u8| match lists.get(usize::from(part)) {
            Some(kind) => Ok(format!("/api/v5/public/instruments?instType={kind}")),
            None => {
                Err(Error::new(ErrorKind::BadRequest, format!("has no list of markets {part}")).at(self.profile.id))
            }
        };
        let target = match ask {
            Ask::Markets => list(0)?,
            Ask::MoreMarkets(part) => list(part)?,
            Ask::Status => "/api/v5/system/status".to_owned(),
            Ask::Snapshot { .. } => return Err(snapshots_on_stream().at(self.profile.id)),
        };
        Ok(Request { method: Method::Get, target, weight: 1 })
    }

    fn on_reply(
        &mut self,
        ask: Ask,
        reply: &Reply<'_>,
        _: &Route,
        now: Wall,
        _: &mut Decoded,
    ) -> Result<Answer, AnswerError> {
        let refused = |error: Error| AnswerError::Refused(error.at(self.profile.id));
        if reply.status != 200 {
            return Err(refused(refusal(reply)));
        }
        let doc = self.doc.parse(reply.body).map_err(|error| refused(unreadable(error)))?;
        if doc.get("code").is_none_or(|code| code.str() != Ok("0")) {
            return Err(refused(refusal(reply)));
        }
        match ask {
            Ask::Markets | Ask::MoreMarkets(_) => markets(&doc).map(Answer::Markets).map_err(refused),
            Ask::Status => Ok(Answer::Status(status(&doc, now))),
            Ask::Snapshot { .. } => Err(refused(snapshots_on_stream())),
        }
    }
}

/// OKX's names of the intervals. From six hours on those that begin at midnight UTC, as everywhere else.
const INTERVALS: [(&str, Timeframe); 14] = {
    use Timeframe::*;
    [
        ("1m", M1),
        ("3m", M3),
        ("5m", M5),
        ("15m", M15),
        ("30m", M30),
        ("1H", H1),
        ("2H", H2),
        ("4H", H4),
        ("6Hutc", H6),
        ("12Hutc", H12),
        ("1Dutc", D1),
        ("3Dutc", D3),
        ("1Wutc", W1),
        ("1Mutc", Month1),
    ]
};

/// A message of a book as the venue writes it, member by member in its usual order and without a blank. `None` if anything
/// is different, or unusual: then [`on_any_frame`] reads it from the start, and what this added to `out` is to be given
/// up.
///
/// It does what [`on_any_frame`] does and is its twin; it exists because telling the members by their names takes as long
/// as reading five levels.
#[inline(always)]
fn on_usual_book(frame: &[u8], routes: &Routes, out: &mut Decoded) -> Option<()> {
    const CHANNEL: Name = Name::new(b"books");
    let mut c = Cursor::new(frame);
    if !c.eat_text(b"{\"arg\":{\"channel\":\"books\"") || !c.eat_text(b",\"instId\":") {
        return None;
    }
    let (id, route) = routes.read_symbol(CHANNEL, &mut c)?;
    let kind = if c.eat_text(b"},\"action\":\"update\",\"data\"") {
        BookKind::Delta
    } else if c.eat_text(b"},\"action\":\"snapshot\",\"data\"") {
        BookKind::Snapshot { bids_cut: false, asks_cut: false }
    } else {
        return None;
    };
    if !c.eat_text(b":[{\"asks\":") || route.channel != Channel::Book {
        return None;
    }
    let levels_max = route.levels_max as usize;
    let (asks, asks_rejected) = out.read_levels(&mut c, route, levels_max).ok()?;
    if !c.eat_text(b",\"bids\":") {
        return None;
    }
    let (bids, bids_rejected) = out.read_levels(&mut c, route, levels_max).ok()?;
    if !c.eat_text(b",\"ts\":\"") {
        return None;
    }
    let venue_time = Some(Wall::from_ms(c.plain_u64()?.cast_signed()));
    let checksum = if c.eat_text(b"\",\"checksum\":0") {
        None
    } else if c.eat_text(b"\",\"checksum\":") {
        checksum_of(c.i64().ok()?)
    } else {
        return None;
    };
    let (mut last, mut prev) = (0, None);
    // Not there in 2022.
    if c.eat_text(b",\"seqId\":") {
        last = c.plain_u64()?;
        if !c.eat_text(b",\"prevSeqId\":") {
            return None;
        }
        prev = u64::try_from(c.i64().ok()?).ok();
    }
    if !c.eat_text(b"}]}") || !c.is_at_end() {
        return None;
    }
    let rejected = asks_rejected + bids_rejected;
    out.items.push(Item::Book { route: id, kind, first: last, last, prev, venue_time, bids, asks, rejected, checksum });
    Some(())
}

/// Any message, with its members in any order; the plain way beside [`on_usual_book`], and its judge in the tests.
fn on_any_frame(frame: &[u8], routes: &Routes, venue: &'static str, out: &mut Decoded) -> Result<(), DecodeError> {
    let mut c = Cursor::new(frame);
    let mut found: Option<(RouteId, &Route)> = None;
    let mut arg = Arg::default();
    let (mut is_event, mut is_snapshot, mut done, mut data) = (false, false, false, None);
    let result = c.object(|c, key| match key {
        b"arg" => {
            arg = Arg::read(c)?;
            found = routes.find_pair(arg.channel, arg.inst_id);
            Ok(())
        }
        b"action" => {
            is_snapshot = c.bytes()? == b"snapshot";
            Ok(())
        }
        // The usual order; books name the action before.
        b"data" => match found {
            Some((id, route)) if !done => {
                done = true;
                data = Some(*c);
                on_data(c, &arg, id, route, is_snapshot, out)
            }
            _ => {
                data = Some(*c);
                c.skip()
            }
        },
        b"event" => {
            is_event = true;
            c.skip()
        }
        _ => c.skip(),
    });
    let finished = result.and_then(|()| c.finish());
    let again = match (&finished, found, data) {
        // Members came in another order: what was not known when the data came is known now.
        (Ok(()), Some((id, route)), Some(mut data)) if !done || is_late_snapshot(is_snapshot, out) => {
            out.clear();
            done = true;
            on_data(&mut data, &arg, id, route, is_snapshot, out)
        }
        _ => finished,
    };
    match (again, found) {
        (Ok(()), _) if done => Ok(()),
        (Ok(()), _) if is_event => on_event(frame, venue, out),
        (Ok(()), _) => {
            out.items.push(Item::Unrouted);
            Ok(())
        }
        (Err(_), _) if frame == b"pong" => {
            out.items.push(Item::Heartbeat);
            Ok(())
        }
        (Err(error), _) => Err(DecodeError::of_json(error, found)),
    }
}

/// 0 stands for none.
#[inline]
fn checksum_of(crc: i64) -> Option<Expected> {
    Some(crc as i32).filter(|crc| *crc != 0).map(Expected::Okx)
}

/// True if the levels were taken for a change and turn out to be a snapshot.
fn is_late_snapshot(is_snapshot: bool, out: &Decoded) -> bool {
    is_snapshot && matches!(out.items.first(), Some(Item::Book { kind: BookKind::Delta, .. }))
}

/// The rows of a message, as its topic says they have to be.
#[inline]
fn on_data(
    c: &mut Cursor<'_>,
    arg: &Arg<'_>,
    id: RouteId,
    route: &Route,
    is_snapshot: bool,
    out: &mut Decoded,
) -> Result<(), JsonError> {
    if matches!(route.channel, Channel::Book | Channel::TopBook(_)) {
        return c.array(|c| on_book(c, id, route, is_snapshot, out));
    }
    let mut trades: Option<Span> = None;
    c.array(|c| match route.channel {
        Channel::Trades => {
            let span = on_trade(c, route, out)?;
            trades = Some(trades.map_or(span, |first| first.through(span)));
            Ok(())
        }
        Channel::BidAsk => on_bid_ask(c, id, route, out),
        Channel::Ticker => on_ticker(c, id, out),
        Channel::Candles(_) => on_candle(c, arg, id, route, out),
        _ => c.skip(),
    })?;
    if let Some(trades) = trades {
        out.items.push(Item::Trades { route: id, trades });
    }
    Ok(())
}

/// `{"asks":[["8476.98","415","0","13"]],"bids":[],"ts":"1597026383085","checksum":0,"seqId":123457,
/// "prevSeqId":123456}`: price, amount, nothing, orders. `prevSeqId` is -1 in a snapshot; both are missing in captures
/// of 2022, and the top five of the book have neither them nor a checksum.
#[inline]
fn on_book(
    c: &mut Cursor<'_>,
    id: RouteId,
    route: &Route,
    is_snapshot: bool,
    out: &mut Decoded,
) -> Result<(), JsonError> {
    let start = *c;
    let (mut last, mut prev, mut venue_time, mut checksum) = (0, None, None, None);
    let (mut bids, mut asks, mut rejected) = (None, None, 0);
    let levels_max = route.levels_max as usize;
    c.object(|c, key| {
        match key {
            b"asks" | b"bids" => {
                let (span, n) = out.read_levels(c, route, levels_max)?;
                rejected += n;
                *(if key == b"bids" { &mut bids } else { &mut asks }) = Some(span);
            }
            b"ts" => venue_time = Some(Wall::from_ms(c.i64()?)),
            b"checksum" => checksum = checksum_of(c.i64()?),
            b"seqId" => last = c.u64()?,
            b"prevSeqId" => prev = u64::try_from(c.i64()?).ok(),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let (Some(bids), Some(asks)) = (bids, asks) else { return Err(start.missing()) };
    let kind = match route.channel {
        Channel::TopBook(depth) => {
            let depth = usize::from(depth);
            BookKind::Snapshot { bids_cut: out.levels(bids).len() >= depth, asks_cut: out.levels(asks).len() >= depth }
        }
        // The venue keeps 400 levels, sends what comes within and deletes what falls out.
        _ if is_snapshot => BookKind::Snapshot { bids_cut: false, asks_cut: false },
        _ => BookKind::Delta,
    };
    out.items.push(Item::Book { route: id, kind, first: last, last, prev, venue_time, bids, asks, rejected, checksum });
    Ok(())
}

/// `{"instId":"BTC-USD-220527","tradeId":"7849","px":"30218.8","sz":"1","side":"buy","ts":"1652459199958"}`: the taker's
/// side.
#[inline]
fn on_trade(c: &mut Cursor<'_>, route: &Route, out: &mut Decoded) -> Result<Span, JsonError> {
    let start = *c;
    let (mut id, mut venue_time, mut price, mut amount, mut side) = (None, None, None, None, None);
    c.object(|c, key| {
        match key {
            b"tradeId" => id = Id::new(c.bytes()?),
            b"px" => price = Some(number(c, route.price_scale)?),
            b"sz" => amount = Some(number(c, route.amount_scale)?),
            b"side" => side = Some(if c.bytes()? == b"buy" { TakerSide::Buy } else { TakerSide::Sell }),
            b"ts" => venue_time = Some(Wall::from_ms(c.i64()?)),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let (Some(id), Some(price), Some(amount)) = (id, price, amount) else { return Err(start.missing()) };
    Ok(out.add_trade(Trade { id, venue_time, price, amount, side }))
}

/// `{"asks":[["31769.9","15","0","1"]],"bids":[["31769.8","38","0","6"]],"ts":"1654033096078","seqId":5}`; a side may be
/// empty.
#[inline]
fn on_bid_ask(c: &mut Cursor<'_>, id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    let mut quote = BidAsk::default();
    c.object(|c, key| {
        match key {
            b"asks" | b"bids" => {
                let is_bid = key == b"bids";
                c.array(|c| {
                    c.open_array()?;
                    let price = Some(number(c, route.price_scale)?);
                    c.comma()?;
                    let amount = Some(number(c, route.amount_scale)?);
                    c.close_array()?;
                    if is_bid {
                        (quote.bid, quote.bid_volume) = (price, amount);
                    } else {
                        (quote.ask, quote.ask_volume) = (price, amount);
                    }
                    Ok(())
                })?;
            }
            b"ts" => quote.venue_time = Some(Wall::from_ms(c.i64()?)),
            b"seqId" => quote.nonce = Some(c.u64()?),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let row = out.add_bid_ask(quote);
    out.items.push(Item::BidAsk { route: id, row, symbol: None });
    Ok(())
}

/// `{"instType":"FUTURES","instId":"BTC-USD-220527","last":"30218.8","lastSz":"1","askPx":"30220.1","askSz":"3",
/// "bidPx":"30210.4","bidSz":"4","open24h":"29571.4","high24h":"30899","low24h":"28716.4","volCcy24h":"2620.289",
/// "vol24h":"779573","ts":"1652459223003"}`: the volumes are base and quote on spot, contracts and base elsewhere.
fn on_ticker(c: &mut Cursor<'_>, id: RouteId, out: &mut Decoded) -> Result<(), JsonError> {
    let mut ticker = Ticker::default();
    let (mut is_spot, mut volume, mut currency_volume) = (false, None, None);
    c.object(|c, key| {
        let field = match key {
            b"instType" => {
                is_spot = c.bytes()? == b"SPOT";
                return Ok(());
            }
            b"ts" => {
                ticker.venue_time = Some(Wall::from_ms(c.i64()?));
                return Ok(());
            }
            b"last" => &mut ticker.last,
            b"askPx" => &mut ticker.ask,
            b"askSz" => &mut ticker.ask_volume,
            b"bidPx" => &mut ticker.bid,
            b"bidSz" => &mut ticker.bid_volume,
            b"open24h" => &mut ticker.open,
            b"high24h" => &mut ticker.high,
            b"low24h" => &mut ticker.low,
            b"vol24h" => &mut volume,
            b"volCcy24h" => &mut currency_volume,
            _ => return c.skip(),
        };
        *field = statistic(c)?;
        Ok(())
    })?;
    (ticker.base_volume, ticker.quote_volume) =
        if is_spot { (volume, currency_volume) } else { (currency_volume, None) };
    let row = out.add_ticker(ticker);
    out.items.push(Item::Ticker { route: id, row, symbol: None });
    Ok(())
}

/// `["1597026383085","8533.02","8553.74","8527.17","8548.26","45247","529.5858061","5529.5858061","1"]`: start, open,
/// high, low, close, volume (base on spot, contracts elsewhere), volume in currency (quote on spot, base elsewhere),
/// volume in quote, closed. The last two were not there in 2022.
fn on_candle(
    c: &mut Cursor<'_>,
    arg: &Arg<'_>,
    id: RouteId,
    route: &Route,
    out: &mut Decoded,
) -> Result<(), JsonError> {
    let start = *c;
    let is_spot = arg.inst_id.iter().filter(|byte| **byte == b'-').count() == 1;
    let (mut open_time, mut prices, mut volumes, mut closed) = (None, [None; 4], [None; 3], false);
    let mut column = 0;
    c.array(|c| {
        match column {
            0 => open_time = Some(Wall::from_ms(c.i64()?)),
            1..=4 => prices[column - 1] = number_if_any(c, route.price_scale)?,
            5..=7 => volumes[column - 5] = statistic(c)?,
            8 => closed = c.bytes()? == b"1",
            _ => c.skip()?,
        }
        column += 1;
        Ok(())
    })?;
    let [volume, currency_volume, quote_volume] = volumes;
    let (volume, quote_volume) =
        if is_spot { (volume, quote_volume.or(currency_volume)) } else { (currency_volume, quote_volume) };
    let (Some(open_time), [Some(open), Some(high), Some(low), Some(close)], Some(volume)) = (open_time, prices, volume)
    else {
        return Err(start.missing());
    };
    let trades = None;
    let row = out.add_candle(Candle {
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
    out.items.push(Item::Candle { route: id, row });
    Ok(())
}

/// Answers and notices: `{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}`,
/// `{"event":"error","code":"60018","msg":"..","connId":".."}`, `{"event":"notice","code":"64008","msg":".."}`.
#[cold]
fn on_event(frame: &[u8], venue: &'static str, out: &mut Decoded) -> Result<(), DecodeError> {
    let (mut event, mut arg, mut code, mut message, mut id) = ("", None, "", "", None);
    let read = Cursor::new(frame).object(|c, key| {
        match key {
            b"event" => event = c.str()?,
            b"arg" => arg = Some(Arg::read(c)?),
            b"code" => code = c.str()?,
            b"msg" => message = c.raw_str()?,
            b"id" => id = c.str()?.parse().ok(),
            _ => c.skip()?,
        }
        Ok(())
    });
    read.map_err(|error| DecodeError::Malformed { route: None, error })?;
    let item = match (event, arg) {
        ("subscribe", Some(arg)) => Item::Settled { act: Act::Subscribe, topic: arg.topic().into() },
        ("unsubscribe", Some(arg)) => Item::Settled { act: Act::Unsubscribe, topic: arg.topic().into() },
        ("error", _) => {
            let error = refused(code, message, venue);
            match named_topic(message) {
                Some(topic) => Item::TopicRefused { topic: topic.into(), error },
                None => Item::Refusal { id: id.or_else(|| quoted_id(message)), error },
            }
        }
        // The connection will be closed for an upgrade of the service, in a minute at most.
        ("notice", _) if code == "64008" => Item::Shutdown,
        _ => Item::Heartbeat,
    };
    out.items.push(item);
    Ok(())
}

/// The topic in `Wrong URL or channel:books,instId:FOO-BAR doesn't exist. ..`.
fn named_topic(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("channel:")?;
    let (channel, rest) = rest.split_once(",instId:")?;
    let symbol = rest.split(|c: char| c.is_whitespace() || c == ',').next()?;
    Some(format!("{channel}:{symbol}"))
}

/// The number of our request in the copy of it that some refusals carry, as text within text: unescaped or not.
fn quoted_id(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("\"id")?;
    let digits = rest.trim_start_matches([':', ' ', '\\', '"']);
    let len = digits.bytes().take_while(u8::is_ascii_digit).count();
    digits.get(..len)?.parse().ok()
}
