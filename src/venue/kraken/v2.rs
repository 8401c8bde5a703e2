//! Version 2: objects, numbers without quotes. Frames are from Kraken's documentation of 2025.

use super::{Channel, DecodeError, Decoded, KRAKEN, RouteId, Routes, rest};
use crate::book::checksum::Scales;
use crate::book::{Expected, Level};
use crate::error::Error;
use crate::json::{Cursor, JsonError, JsonErrorKind};
use crate::model::{BidAsk, Candle, Health, Id, TakerSide, Ticker, Trade};
use crate::sys::pairs::Between;
use crate::venue::decoded::Span;
use crate::venue::routes::Name;
use crate::venue::shared::{IsoTimes, LevelReader, cut, number, number_if_any, statistic};
use crate::venue::{BookKind, Item, Route};

/// `{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD",..}]}`; everything else is an answer or a notice.
#[inline]
pub(super) fn on_frame(
    frame: &[u8],
    routes: &Routes,
    times: &mut IsoTimes,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    let mut c = Cursor::new(frame);
    let (mut channel, mut is_snapshot, mut data): (&[u8], _, _) = (b"", None, None);
    let mut found = None;
    let mut done = false;
    let read = c.object(|c, key| {
        match key {
            b"channel" => channel = c.bytes()?,
            b"type" => is_snapshot = Some(c.bytes()? == b"snapshot"),
            b"data" => match is_snapshot {
                // The usual order.
                Some(is_snapshot) if !channel.is_empty() => {
                    done = true;
                    on_data(c, channel, is_snapshot, routes, times, &mut found, out)?;
                }
                _ => {
                    data = Some(*c);
                    c.skip()?;
                }
            },
            _ => c.skip()?,
        }
        Ok(())
    });
    let read = read.and_then(|()| c.finish());
    match (read, data, is_snapshot) {
        (Ok(()), ..) if done => Ok(()),
        (Ok(()), Some(mut data), Some(is_snapshot)) if !channel.is_empty() => {
            on_data(&mut data, channel, is_snapshot, routes, times, &mut found, out)
                .map_err(|error| DecodeError::of_json(error, found))
        }
        (Ok(()), ..) => on_other(frame, out),
        (Err(error), ..) => Err(DecodeError::of_json(error, found)),
    }
}

/// A message of a book as the venue writes it, member by member in its usual order and without a blank. `None` if anything
/// is different, or unusual: then [`on_frame`] reads it from the start, and what this added to `out` is to be given up.
///
/// It does what [`on_frame`] does and is its twin; it exists because telling the members by their names takes half of the
/// time of a message.
#[inline(always)]
pub(super) fn on_usual_book(frame: &[u8], routes: &Routes, times: &mut IsoTimes, out: &mut Decoded) -> Option<()> {
    const CHANNEL: Name = Name::new(b"book");
    let mut c = Cursor::new(frame);
    if !c.eat_text(b"{\"channel\":\"book\",\"type\":") {
        return None;
    }
    let kind = if c.eat_text(b"\"update\",\"data\":[{\"symbol\":") {
        BookKind::Delta
    } else if c.eat_text(b"\"snapshot\",\"data\":[{\"symbol\":") {
        BookKind::Snapshot { bids_cut: false, asks_cut: false }
    } else {
        return None;
    };
    let (id, route) = routes.read_symbol(CHANNEL, &mut c)?;
    if !c.eat_text(b",\"bids\":[") || !matches!(route.channel, Channel::Book | Channel::TopBook(_)) {
        return None;
    }
    let bids = read_usual_levels(&mut c, route, out)?;
    if !c.eat_text(b",\"asks\":[") {
        return None;
    }
    let asks = read_usual_levels(&mut c, route, out)?;
    if !c.eat_text(b",\"checksum\":") {
        return None;
    }
    let crc = c.plain_u64()? as u32;
    if !c.eat_text(b",\"timestamp\":") {
        return None;
    }
    let venue_time = Some(times.plain_time(&mut c)?);
    if !c.eat_text(b"}]}") || !c.is_at_end() {
        return None;
    }
    let printed = Scales { price: route.price_scale, qty: route.amount_scale };
    let checksum = Some(Expected::Kraken { crc, printed });
    let (first, last, prev, rejected) = (0, 0, None, 0);
    out.items.push(Item::Book { route: id, kind, first, last, prev, venue_time, bids, asks, rejected, checksum });
    Some(())
}

/// Rows of `{"price":0.5666,"qty":4831.75496356}` and the bracket behind them.
#[inline(always)]
fn read_usual_levels(c: &mut Cursor<'_>, route: &Route, out: &mut Decoded) -> Option<Span> {
    const BETWEEN: Between = Between::new(b",\"qty\":");
    let (start, mut left) = (out.levels_start(), route.levels_max);
    if c.eat_text(b"]") {
        return Some(out.levels_since(start));
    }
    loop {
        if !c.eat_text(b"{\"price\":") {
            return None;
        }
        let [price, qty] = c.plain_bare_pair(BETWEEN, [route.price_scale, route.amount_scale])?;
        left = left.checked_sub(1)?;
        out.push_level(Level { price, qty });
        if c.eat_text(b"}]") {
            return Some(out.levels_since(start));
        }
        if !c.eat_text(b"},") {
            return None;
        }
    }
}

/// The rows of a message; `found` is where the row at hand belongs.
#[inline]
fn on_data<'r>(
    c: &mut Cursor<'_>,
    channel: &[u8],
    is_snapshot: bool,
    routes: &'r Routes,
    times: &mut IsoTimes,
    found: &mut Option<(RouteId, &'r Route)>,
    out: &mut Decoded,
) -> Result<(), JsonError> {
    match channel {
        b"book" | b"ticker" | b"trade" | b"ohlc" => {}
        b"status" => return on_status(c, out),
        _ => {
            out.items.push(Item::Heartbeat);
            return c.skip();
        }
    }
    if channel == b"trade" && is_snapshot {
        // The last trades before the subscription, which we do not ask for.
        out.items.push(Item::Heartbeat);
        return c.skip();
    }
    let mut trades: Option<(RouteId, Span)> = None;
    c.array(|c| {
        let symbol = symbol_of(c)?;
        *found = if channel == b"ohlc" {
            routes.find_pair(ohlc_name(c)?.as_bytes(), symbol)
        } else {
            routes.find_pair(channel, symbol)
        };
        let Some((id, route)) = *found else {
            out.items.push(Item::Unrouted);
            return c.skip();
        };
        match route.channel {
            Channel::Book | Channel::TopBook(_) => on_book(c, id, route, is_snapshot, times, out),
            Channel::Ticker | Channel::BidAsk => on_ticker(c, id, route, times, out),
            Channel::Candles(_) => on_ohlc(c, id, route, times, out),
            Channel::Trades => {
                let span = on_trade(c, route, times, out)?;
                match &mut trades {
                    Some((of, before)) if *of == id => *before = before.through(span),
                    _ => {
                        if let Some((route, trades)) = trades.replace((id, span)) {
                            out.items.push(Item::Trades { route, trades });
                        }
                    }
                }
                Ok(())
            }
            _ => c.skip(),
        }
    })?;
    if let Some((route, trades)) = trades {
        out.items.push(Item::Trades { route, trades });
    }
    Ok(())
}

/// The symbol of the row that comes next, which is its first member. Nothing is read.
#[inline]
fn symbol_of<'a>(c: &Cursor<'a>) -> Result<&'a [u8], JsonError> {
    let mut ahead = *c;
    if ahead.eat_text(b"{\"symbol\":") {
        return ahead.bytes();
    }
    member_of(c, b"symbol", |c| c.bytes())
}

/// `ohlc-5` for a row with `"interval":5`.
fn ohlc_name(c: &Cursor<'_>) -> Result<String, JsonError> {
    Ok(format!("ohlc-{}", member_of(c, b"interval", |c| c.u64())?))
}

#[cold]
fn member_of<'a, T>(
    c: &Cursor<'a>,
    name: &[u8],
    mut read: impl FnMut(&mut Cursor<'a>) -> Result<T, JsonError>,
) -> Result<T, JsonError> {
    let (mut ahead, mut value) = (*c, None);
    ahead.object(|c, key| {
        if key == name {
            value = Some(read(c)?);
            return Ok(());
        }
        c.skip()
    })?;
    value.ok_or_else(|| c.missing())
}

/// `{"symbol":"MATIC/USD","bids":[{"price":0.5666,"qty":4831.75496356}],"asks":[{"price":0.5668,"qty":4410.79769741}],
/// "checksum":2439117997,"timestamp":"2023-10-06T17:35:55.440295Z"}`: absolute amounts, zero deletes. The checksum is
/// made of numbers printed with the decimals of the pair.
#[inline]
fn on_book(
    c: &mut Cursor<'_>,
    id: RouteId,
    route: &Route,
    is_snapshot: bool,
    times: &mut IsoTimes,
    out: &mut Decoded,
) -> Result<(), JsonError> {
    let start = *c;
    let mut reader = LevelReader::new(route.price_scale, route.amount_scale);
    let (mut venue_time, mut crc, mut bids, mut asks) = (None, None, None, None);
    let levels_max = route.levels_max;
    c.object(|c, key| {
        match key {
            b"bids" => bids = Some(read_levels(c, &mut reader, levels_max, out)?),
            b"asks" => asks = Some(read_levels(c, &mut reader, levels_max, out)?),
            b"checksum" => crc = Some(c.u64()? as u32),
            b"timestamp" => venue_time = times.time(c)?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    reader.finish(c)?;
    let (Some(bids), Some(asks)) = (bids, asks) else { return Err(start.missing()) };
    let printed = Scales { price: route.price_scale, qty: route.amount_scale };
    let kind = if is_snapshot { BookKind::Snapshot { bids_cut: false, asks_cut: false } } else { BookKind::Delta };
    out.items.push(Item::Book {
        route: id,
        kind,
        first: 0,
        last: 0,
        prev: None,
        venue_time,
        bids,
        asks,
        rejected: reader.rejected,
        checksum: crc.map(|crc| Expected::Kraken { crc, printed }),
    });
    Ok(())
}

/// Rows of `{"price":0.5666,"qty":4831.75496356}`.
#[inline]
fn read_levels(
    c: &mut Cursor<'_>,
    reader: &mut LevelReader,
    levels_max: u32,
    out: &mut Decoded,
) -> Result<Span, JsonError> {
    let (start, mut left) = (out.levels_start(), levels_max);
    c.array(|c| {
        let at = *c;
        let (mut price, mut amount) = (None, None);
        if c.eat_text(b"{\"price\":") {
            price = Some(reader.price(c)?);
            if c.eat_text(b",\"qty\":") {
                amount = Some(reader.amount(c)?);
            }
        }
        if amount.is_none() || !c.eat_text(b"}") {
            // Not spelled as usual.
            *c = at;
            (price, amount) = (None, None);
            c.object(|c, key| {
                match key {
                    b"price" => price = Some(reader.price(c)?),
                    b"qty" => amount = Some(reader.amount(c)?),
                    _ => c.skip()?,
                }
                Ok(())
            })?;
        }
        let (Some(price), Some(amount)) = (price, amount) else { return Err(at.missing()) };
        left = left.checked_sub(1).ok_or_else(|| JsonError::new(JsonErrorKind::LevelsMax, c.position()))?;
        if let Some(level) = LevelReader::level(price, amount) {
            out.push_level(level);
        }
        Ok(())
    })?;
    Ok(out.levels_since(start))
}

/// `{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,
/// "timestamp":"2023-09-25T07:49:37.708706Z"}`: the taker's side.
#[inline]
fn on_trade(c: &mut Cursor<'_>, route: &Route, times: &mut IsoTimes, out: &mut Decoded) -> Result<Span, JsonError> {
    let start = *c;
    let (mut id, mut venue_time, mut price, mut amount, mut side) = (None, None, None, None, None);
    c.object(|c, key| {
        match key {
            b"side" => side = Some(if c.bytes()? == b"buy" { TakerSide::Buy } else { TakerSide::Sell }),
            b"price" => price = Some(number(c, route.price_scale)?),
            b"qty" => amount = Some(number(c, route.amount_scale)?),
            b"trade_id" => id = Id::new(c.number_text()?),
            b"timestamp" => venue_time = times.time(c)?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let (Some(id), Some(price), Some(amount)) = (id, price, amount) else { return Err(start.missing()) };
    Ok(out.add_trade(Trade { id, venue_time, price, amount, side }))
}

/// `{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10035,"ask_qty":740.0,"last":0.10035,
/// "volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017,"change_pct":-0.17,
/// "timestamp":"2025-10-06T17:35:55.440295Z"}`; the best bid and ask are the same message, sent more often.
#[inline]
fn on_ticker(
    c: &mut Cursor<'_>,
    id: RouteId,
    route: &Route,
    times: &mut IsoTimes,
    out: &mut Decoded,
) -> Result<(), JsonError> {
    let (mut quote, mut ticker) = (BidAsk::default(), Ticker::default());
    let is_quote = route.channel == Channel::BidAsk;
    c.object(|c, key| {
        let field = match key {
            b"bid" => {
                quote.bid = number_if_any(c, route.price_scale)?;
                return Ok(());
            }
            b"bid_qty" => {
                quote.bid_volume = number_if_any(c, route.amount_scale)?;
                return Ok(());
            }
            b"ask" => {
                quote.ask = number_if_any(c, route.price_scale)?;
                return Ok(());
            }
            b"ask_qty" => {
                quote.ask_volume = number_if_any(c, route.amount_scale)?;
                return Ok(());
            }
            b"timestamp" => {
                quote.venue_time = times.time(c)?;
                return Ok(());
            }
            _ if is_quote => return c.skip(),
            b"last" => &mut ticker.last,
            b"volume" => &mut ticker.base_volume,
            b"vwap" => &mut ticker.vwap,
            b"low" => &mut ticker.low,
            b"high" => &mut ticker.high,
            b"change" => &mut ticker.change,
            b"change_pct" => &mut ticker.percentage,
            _ => return c.skip(),
        };
        *field = statistic(c)?;
        Ok(())
    })?;
    if is_quote {
        let row = out.add_bid_ask(quote);
        out.items.push(Item::BidAsk { route: id, row, symbol: None });
        return Ok(());
    }
    ticker.venue_time = quote.venue_time;
    (ticker.bid, ticker.bid_volume) = (quote.bid, quote.bid_volume);
    (ticker.ask, ticker.ask_volume) = (quote.ask, quote.ask_volume);
    let row = out.add_ticker(ticker);
    out.items.push(Item::Ticker { route: id, row, symbol: None });
    Ok(())
}

/// `{"symbol":"MATIC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,
/// "vwap":0.5626,"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,
/// "timestamp":"2023-10-04T16:30:00.000000Z"}`
fn on_ohlc(
    c: &mut Cursor<'_>,
    id: RouteId,
    route: &Route,
    times: &mut IsoTimes,
    out: &mut Decoded,
) -> Result<(), JsonError> {
    let start = *c;
    let (mut open_time, mut venue_time, mut trades, mut volume) = (None, None, None, None);
    let (mut open, mut high, mut low, mut close) = (None, None, None, None);
    c.object(|c, key| {
        let field = match key {
            b"open" => &mut open,
            b"high" => &mut high,
            b"low" => &mut low,
            b"close" => &mut close,
            b"trades" => {
                trades = Some(c.u64()?);
                return Ok(());
            }
            b"volume" => {
                volume = statistic(c)?;
                return Ok(());
            }
            b"interval_begin" => {
                open_time = times.time(c)?;
                return Ok(());
            }
            b"timestamp" => {
                venue_time = times.time(c)?;
                return Ok(());
            }
            _ => return c.skip(),
        };
        *field = Some(number(c, route.price_scale)?);
        Ok(())
    })?;
    let (Some(open_time), Some(open), Some(high), Some(low), Some(close), Some(volume)) =
        (open_time, open, high, low, close, volume)
    else {
        return Err(start.missing());
    };
    // Whether it is closed shows only when the next one begins.
    let (quote_volume, closed) = (None, false);
    let row =
        out.add_candle(Candle { open_time, venue_time, open, high, low, close, volume, quote_volume, trades, closed });
    out.items.push(Item::Candle { route: id, row });
    Ok(())
}

/// `[{"version":"2.0.10","system":"online","api_version":"v2","connection_id":6447481662169813000}]`
fn on_status(c: &mut Cursor<'_>, out: &mut Decoded) -> Result<(), JsonError> {
    c.array(|c| {
        c.object(|c, key| {
            if key == b"system" {
                let health = health_of(c.bytes()?);
                out.items.push(Item::Status(health));
                return Ok(());
            }
            c.skip()
        })
    })
}

/// The venue's word for its health. While only cancelling or resting orders are allowed, data flows all the same.
pub(super) fn health_of(word: &[u8]) -> Health {
    match word {
        b"online" => Health::Ok,
        b"maintenance" | b"cancel_only" | b"post_only" => Health::Maintenance,
        _ => Health::Unknown,
    }
}

/// Answers, signs of life, and the notices of both versions:
/// `{"method":"subscribe","result":{"channel":"book","depth":10,"snapshot":true,"symbol":"BTC/USD"},"success":true,
/// "time_in":"..","time_out":"..","req_id":1}`,
/// `{"error":"Currency pair not supported FOO/BAR","method":"subscribe","success":false,"req_id":1}`,
/// `{"channel":"heartbeat"}`, `{"method":"pong"}`, and of version 1 `{"event":"heartbeat"}` and
/// `{"connectionID":18239578009413566319,"event":"systemStatus","status":"online","version":"1.8.3"}`.
#[cold]
fn on_other(frame: &[u8], out: &mut Decoded) -> Result<(), DecodeError> {
    let (mut id, mut success, mut message, mut method, mut event, mut status) = (None, None, "", "", "", "");
    let read = Cursor::new(frame).object(|c, key| {
        match key {
            b"req_id" => id = Some(c.u64()?),
            b"success" => success = Some(c.bool()?),
            b"error" | b"errorMessage" => message = c.raw_str()?,
            b"method" => method = c.str()?,
            b"event" => event = c.str()?,
            b"status" => status = c.str()?,
            _ => c.skip()?,
        }
        Ok(())
    });
    read.map_err(|error| DecodeError::of_json(error, None))?;
    let refusal = || Error::new(rest::kind_of(message), cut(message)).at(KRAKEN.id);
    out.items.push(match (event, method, success, id) {
        ("systemStatus", ..) => Item::Status(health_of(status.as_bytes())),
        ("subscriptionStatus", ..) if status == "error" => Item::Refusal { id: None, error: refusal() },
        (_, "subscribe" | "unsubscribe", Some(true), Some(id)) => Item::Ack { id },
        (_, _, Some(false), id) => Item::Refusal { id, error: refusal() },
        _ if !message.is_empty() => Item::Refusal { id, error: refusal() },
        _ => Item::Heartbeat,
    });
    Ok(())
}

pub(super) fn topic_of(frame: &[u8]) -> Option<String> {
    let (mut channel, mut data) = (None, None);
    Cursor::new(frame)
        .object(|c, key| {
            match key {
                b"channel" => channel = Some(c.str()?),
                b"data" => {
                    data = Some(*c);
                    c.skip()?;
                }
                _ => c.skip()?,
            }
            Ok(())
        })
        .ok()?;
    let (channel, mut data) = (channel?, data?);
    data.open_array().ok()?;
    let symbol = std::str::from_utf8(symbol_of(&data).ok()?).ok()?;
    match channel {
        "ohlc" => Some(format!("{}:{symbol}", ohlc_name(&data).ok()?)),
        "book" | "ticker" | "trade" => Some(format!("{channel}:{symbol}")),
        _ => None,
    }
}
