//! Version 1: arrays, numbers as strings, `[channelID, payload, channelName, pair]`. Frames are from captures of April
//! 2021.

use super::{Channel, DecodeError, Decoded, RouteId, Routes, book_topic};
use crate::book::Expected;
use crate::book::checksum::Scales;
use crate::json::{Cursor, JsonError, Kind};
use crate::model::{BidAsk, Candle, Id, TakerSide, Ticker, Trade, Wall};
use crate::venue::decoded::Span;
use crate::venue::shared::{number, statistic};
use crate::venue::{BookKind, Item, Route};

/// The channel and the pair stand at the end, and the numbers before can only be read when they are known.
#[inline]
pub(super) fn on_data(frame: &[u8], routes: &Routes, out: &mut Decoded) -> Result<(), DecodeError> {
    let Some((channel, pair)) = name_of(frame) else {
        return Err(DecodeError::of_json(Cursor::new(frame).missing(), None));
    };
    // The depth is no part of the topic as it is looked up.
    let channel = if channel.starts_with(b"book-") { b"book" } else { channel };
    let Some((id, route)) = routes.find_pair(channel, pair) else {
        out.items.push(Item::Unrouted);
        return Ok(());
    };
    let mut c = Cursor::new(frame);
    read(&mut c, frame, id, route, out)
        .and_then(|()| c.finish())
        .map_err(|error| DecodeError::of_json(error, Some((id, route))))
}

fn read(c: &mut Cursor<'_>, frame: &[u8], id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    c.open_array()?;
    c.skip()?;
    c.comma()?;
    match route.channel {
        Channel::Book | Channel::TopBook(_) => return on_book(c, frame, id, route, out),
        Channel::Trades => on_trades(c, id, route, out)?,
        Channel::Ticker => on_ticker(c, id, out)?,
        Channel::BidAsk => on_spread(c, id, route, out)?,
        Channel::Candles(_) => on_ohlc(c, id, route, out)?,
        _ => c.skip()?,
    }
    c.close_array()
}

/// The last two elements: `"book-1000"` and `"XMR/USD"`.
#[inline]
fn name_of(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = frame.trim_ascii_end().strip_suffix(b"\"]")?;
    let (body, pair) = body.split_at(memchr::memrchr(b'"', body)? + 1);
    let body = body.get(..body.len() - 1)?.trim_ascii_end().strip_suffix(b",")?.trim_ascii_end().strip_suffix(b"\"")?;
    let (_, channel) = body.split_at(memchr::memrchr(b'"', body)? + 1);
    Some((channel, pair))
}

/// A snapshot `[0,{"as":[["5541.3","2.507","1534614248.456738"]],"bs":[["5541.2","1.529","1534614248.765567"]]},..]`, and
/// updates `[992,{"b":[["354.15000000","5.00000000","1618678133.365913"]],"c":"2583817756"},"book-1000","XMR/USD"]`,
/// with both sides in two objects of which the last has the checksum. That is made of the digits as they are sent.
#[inline]
fn on_book(c: &mut Cursor<'_>, frame: &[u8], id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    let start = *c;
    let (mut bids, mut asks, mut crc, mut printed) = (None, None, None, None);
    let (mut venue_time, mut rejected, mut is_snapshot) = (None, 0, false);
    loop {
        c.object(|c, key| {
            match key {
                b"as" | b"bs" | b"a" | b"b" => {
                    let from = c.position();
                    let (span, n) = out.read_levels(c, route, route.levels_max as usize)?;
                    rejected += n;
                    let is_whole = key.len() == 2;
                    is_snapshot |= is_whole;
                    if !is_whole {
                        let text = &frame[from..c.position()];
                        printed = printed.or_else(|| decimals_of(text));
                        venue_time = venue_time.max(last_time(text));
                    }
                    *(if key[0] == b'b' { &mut bids } else { &mut asks }) = Some(span);
                }
                b"c" => crc = Some(c.u64()? as u32),
                _ => c.skip()?,
            }
            Ok(())
        })?;
        c.comma()?;
        if c.peek() != Kind::Object {
            break;
        }
    }
    c.skip()?;
    c.close_array()?;
    if bids.is_none() && asks.is_none() || is_snapshot && (bids.is_none() || asks.is_none()) {
        return Err(start.missing());
    }
    let checksum = match (crc, printed) {
        (Some(crc), Some(printed)) => Some(Expected::Kraken { crc, printed }),
        _ => None,
    };
    let kind = if is_snapshot { BookKind::Snapshot { bids_cut: false, asks_cut: false } } else { BookKind::Delta };
    let (bids, asks) = (bids.unwrap_or_default(), asks.unwrap_or_default());
    let (first, last, prev) = (0, 0, None);
    out.items.push(Item::Book { route: id, kind, first, last, prev, venue_time, bids, asks, rejected, checksum });
    Ok(())
}

/// The decimals of price and amount in the first row of `[["354.15000000","5.00000000",..`, as those of all rows are.
#[inline]
fn decimals_of(rows: &[u8]) -> Option<Scales> {
    let mut quotes = memchr::memchr_iter(b'"', rows.get(..96).unwrap_or(rows));
    let mut decimals = || {
        let text = rows.get(quotes.next()? + 1..quotes.next()?)?;
        let point = text.iter().position(|byte| *byte == b'.');
        Some(point.map_or(0, |point| (text.len() - point - 1) as u8))
    };
    Some(Scales { price: decimals()?, qty: decimals()? })
}

/// The time in the last row, the latest of all: `.."1618678133.365913"]]` or `.."1618678133.365913","r"]]`.
#[inline]
fn last_time(rows: &[u8]) -> Option<Wall> {
    let rows = rows.strip_suffix(b"]]")?;
    let rows = rows.strip_suffix(b",\"r\"").unwrap_or(rows);
    let start = rows.len().checked_sub(19)?;
    let text = rows.get(start..)?;
    // Ten digits of seconds until 2286, six of the fraction.
    (text[0] == b'"' && text[18] == b'"').then(|| time(&mut Cursor::new(text)).ok()).flatten()
}

/// Seconds since 1970 with a fraction.
#[inline]
fn time(c: &mut Cursor<'_>) -> Result<Wall, JsonError> {
    c.decimal(9).map(Wall)
}

/// `[["0.01136500","2.51146536","1561939201.587070","s","l",""]]`: price, amount, time, side of the taker, type of its
/// order. They have no id.
fn on_trades(c: &mut Cursor<'_>, route_id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    let mut trades: Option<Span> = None;
    c.array(|c| {
        c.open_array()?;
        let price = number(c, route.price_scale)?;
        c.comma()?;
        let amount = number(c, route.amount_scale)?;
        c.comma()?;
        let venue_time = Some(time(c)?);
        c.comma()?;
        let side = Some(if c.bytes()? == b"b" { TakerSide::Buy } else { TakerSide::Sell });
        c.close_array()?;
        let span = out.add_trade(Trade { id: Id::NONE, venue_time, price, amount, side });
        trades = Some(trades.map_or(span, |first| first.through(span)));
        Ok(())
    })?;
    if let Some(trades) = trades {
        out.items.push(Item::Trades { route: route_id, trades });
    }
    Ok(())
}

/// `{"a":["354.55000000",10,"10.38309685"],"b":["354.10000000",1,"1.40000000"],"c":["354.55000000","1.25690315"],
/// "v":["17861.00545423","33466.67340785"],"p":["355.33492037","349.17014510"],"t":[6483,10283],
/// "l":["340.88000000","333.87000000"],"h":["368.00000000","368.00000000"],"o":["340.88000000","335.20000000"]}`: of two
/// the first is since midnight, the second the last 24 hours; the second of three counts whole lots.
fn on_ticker(c: &mut Cursor<'_>, id: RouteId, out: &mut Decoded) -> Result<(), JsonError> {
    let mut ticker = Ticker::default();
    c.object(|c, key| {
        let mut cells = [None; 3];
        let mut column = 0;
        c.array(|c| {
            let value = statistic(c)?;
            if let Some(cell) = cells.get_mut(column) {
                *cell = value;
            }
            column += 1;
            Ok(())
        })?;
        let [first, second, third] = cells;
        match key {
            b"a" => (ticker.ask, ticker.ask_volume) = (first, third),
            b"b" => (ticker.bid, ticker.bid_volume) = (first, third),
            b"c" => ticker.last = first,
            b"v" => ticker.base_volume = second,
            b"p" => ticker.vwap = second,
            b"l" => ticker.low = second,
            b"h" => ticker.high = second,
            b"o" => ticker.open = second,
            _ => {}
        }
        Ok(())
    })?;
    let row = out.add_ticker(ticker);
    out.items.push(Item::Ticker { route: id, row, symbol: None });
    Ok(())
}

/// `["5698.40000","5700.00000","1542057299.545897","1.01234567","0.98765432"]`: bid, ask, time, amounts of both.
fn on_spread(c: &mut Cursor<'_>, id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    let mut quote = BidAsk::default();
    c.open_array()?;
    quote.bid = Some(number(c, route.price_scale)?);
    c.comma()?;
    quote.ask = Some(number(c, route.price_scale)?);
    c.comma()?;
    quote.venue_time = Some(time(c)?);
    c.comma()?;
    quote.bid_volume = Some(number(c, route.amount_scale)?);
    c.comma()?;
    quote.ask_volume = Some(number(c, route.amount_scale)?);
    c.close_array()?;
    let row = out.add_bid_ask(quote);
    out.items.push(Item::BidAsk { route: id, row, symbol: None });
    Ok(())
}

/// `["1675209613.118218","1675209660.000000","23135.00000","23135.40000","23135.00000","23135.40000","23135.13297",
/// "0.39012812",7]`: time of the last trade, end, open, high, low, close, average, volume, trades.
fn on_ohlc(c: &mut Cursor<'_>, id: RouteId, route: &Route, out: &mut Decoded) -> Result<(), JsonError> {
    let start = *c;
    let Channel::Candles(timeframe) = route.channel else { return c.skip() };
    let (mut venue_time, mut end, mut prices, mut volume, mut trades) = (None, None, [None; 4], None, None);
    let mut column = 0;
    c.array(|c| {
        match column {
            0 => venue_time = Some(time(c)?),
            1 => end = Some(time(c)?),
            2..=5 => prices[column - 2] = Some(number(c, route.price_scale)?),
            7 => volume = statistic(c)?,
            8 => trades = Some(c.u64()?),
            _ => c.skip()?,
        }
        column += 1;
        Ok(())
    })?;
    let (Some(end), [Some(open), Some(high), Some(low), Some(close)], Some(volume)) = (end, prices, volume) else {
        return Err(start.missing());
    };
    let open_time = Wall(end.0.saturating_sub(i64::from(timeframe.seconds()) * 1_000_000_000));
    let (quote_volume, closed) = (None, false);
    let row =
        out.add_candle(Candle { open_time, venue_time, open, high, low, close, volume, quote_volume, trades, closed });
    out.items.push(Item::Candle { route: id, row });
    Ok(())
}

pub(super) fn topic_of(frame: &[u8]) -> Option<String> {
    let (channel, pair) = name_of(frame)?;
    let (channel, pair) = (std::str::from_utf8(channel).ok()?, std::str::from_utf8(pair).ok()?);
    match channel.strip_prefix("book-") {
        Some(depth) => Some(book_topic(pair, depth.parse().ok()?)),
        None => Some(format!("{channel}:{pair}")),
    }
}
