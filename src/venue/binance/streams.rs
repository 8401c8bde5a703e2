//! Decoders of the streams and of the whole book. Above each stands a message that it reads.

use crate::decimal::Fixed;
use crate::json::{Cursor, JsonError};
use crate::model::{BidAsk, Candle, Id, TakerSide, Ticker, Trade, Wall};
use crate::sys::pairs::Between;
use crate::venue::decoded::span_of;
use crate::venue::shared::number;
use crate::venue::{BookKind, Channel, Decoded, Item, Route, RouteId};

/// The event inside the wrapper, as the topic says it has to be.
#[inline]
pub(super) fn on_data(
    c: &mut Cursor<'_>,
    frame: &[u8],
    id: RouteId,
    route: &Route,
    out: &mut Decoded,
) -> Result<(), JsonError> {
    match route.channel {
        Channel::Book => on_depth_update(c, id, route, out),
        Channel::Trades | Channel::AggTrades => on_trade(c, id, route, out),
        Channel::BidAsk | Channel::AllBidsAsks => on_book_ticker(c, frame, id, route, out),
        Channel::TopBook(_) => on_whole_book(c, id, route, None, out),
        Channel::Candles(_) => on_kline(c, id, route, out),
        Channel::Ticker => on_ticker(c, frame, id, route, out),
        Channel::AllTickers => c.array(|c| on_ticker(c, frame, id, route, out)),
        Channel::Status | Channel::Private(_) => c.skip(),
    }
}

/// What follows on the topic, as the venue writes it, member by member in its usual order and without a blank, to the end of
/// the frame. `None` if anything is different, or unusual: then [`on_data`] reads it from the start. What this adds to `out`
/// is to be given up then.
///
/// It does what [`on_data`] does and is its twin; it exists because telling the members by their names takes half of the
/// time of a small message.
#[inline(always)]
pub(super) fn on_usual_data(c: Cursor<'_>, id: RouteId, route: &Route, out: &mut Decoded) -> Option<()> {
    match route.channel {
        Channel::Book => usual_depth_update(c, id, route, out),
        Channel::Trades => usual_trade(c, id, route, out),
        Channel::BidAsk => usual_book_ticker(c, id, route, out),
        _ => None,
    }
}

/// Reads exactly this text, or gives up.
#[inline(always)]
fn usual<const N: usize>(c: &mut Cursor<'_>, text: &[u8; N]) -> Option<()> {
    c.eat_text(text).then_some(())
}

#[inline(always)]
fn usual_depth_update(mut c: Cursor<'_>, id: RouteId, route: &Route, out: &mut Decoded) -> Option<()> {
    let levels_max = route.levels_max as usize;
    usual(&mut c, b",\"data\":{\"e\":\"depthUpdate\",\"E\":")?;
    let venue_time = Some(Wall::from_ms(c.plain_u64()?.cast_signed()));
    // Futures have a time of the transaction and the number before this one.
    if c.eat_text(b",\"T\":") {
        c.plain_digits()?;
    }
    usual(&mut c, b",\"s\":")?;
    if !c.eat_plain_string() {
        return None;
    }
    usual(&mut c, b",\"U\":")?;
    let first = c.plain_u64()?;
    usual(&mut c, b",\"u\":")?;
    let last = c.plain_u64()?;
    let prev = if c.eat_text(b",\"pu\":") { Some(c.plain_u64()?) } else { None };
    usual(&mut c, b",\"b\":")?;
    let (bids, bids_rejected) = out.read_levels(&mut c, route, levels_max).ok()?;
    usual(&mut c, b",\"a\":")?;
    let (asks, asks_rejected) = out.read_levels(&mut c, route, levels_max).ok()?;
    usual(&mut c, b"}}")?;
    if !c.is_at_end() || last < first {
        return None;
    }
    let (kind, rejected, checksum) = (BookKind::Delta, bids_rejected + asks_rejected, None);
    out.items.push(Item::Book { route: id, kind, first, last, prev, venue_time, bids, asks, rejected, checksum });
    Some(())
}

#[inline(always)]
fn usual_trade(mut c: Cursor<'_>, id: RouteId, route: &Route, out: &mut Decoded) -> Option<()> {
    const BETWEEN: Between = Between::new(b"\",\"q\":\"");
    usual(&mut c, b",\"data\":{\"e\":\"trade\",\"E\":")?;
    c.plain_digits()?;
    usual(&mut c, b",\"s\":")?;
    if !c.eat_plain_string() {
        return None;
    }
    usual(&mut c, b",\"t\":")?;
    let trade_id = c.plain_id()?;
    usual(&mut c, b",\"p\":\"")?;
    let [price, amount] = c.plain_quoted_pair(BETWEEN, [route.price_scale, route.amount_scale])?;
    // Until 2023, and on Binance.US still: the ids of both orders.
    if c.eat_text(b",\"b\":") {
        c.plain_digits()?;
        usual(&mut c, b",\"a\":")?;
        c.plain_digits()?;
    }
    usual(&mut c, b",\"T\":")?;
    let venue_time = Some(Wall::from_ms(c.plain_u64()?.cast_signed()));
    let side = if c.eat_text(b",\"m\":true,\"M\":true}}") {
        Some(TakerSide::Sell)
    } else {
        usual(&mut c, b",\"m\":false,\"M\":true}}")?;
        Some(TakerSide::Buy)
    };
    if !c.is_at_end() {
        return None;
    }
    let (price, amount) = (Fixed::new(price, route.price_scale), Fixed::new(amount, route.amount_scale));
    let trades = out.add_trade(Trade { id: trade_id, venue_time, price, amount, side });
    out.items.push(Item::Trades { route: id, trades });
    Some(())
}

#[inline(always)]
fn usual_book_ticker(mut c: Cursor<'_>, id: RouteId, route: &Route, out: &mut Decoded) -> Option<()> {
    const BID: Between = Between::new(b"\",\"B\":\"");
    const ASK: Between = Between::new(b"\",\"A\":\"");
    let scales = [route.price_scale, route.amount_scale];
    usual(&mut c, b",\"data\":{\"u\":")?;
    let nonce = Some(c.plain_u64()?);
    usual(&mut c, b",\"s\":")?;
    if !c.eat_plain_string() {
        return None;
    }
    usual(&mut c, b",\"b\":\"")?;
    let [bid, bid_volume] = c.plain_quoted_pair(BID, scales)?;
    usual(&mut c, b",\"a\":\"")?;
    let [ask, ask_volume] = c.plain_quoted_pair(ASK, scales)?;
    usual(&mut c, b"}}")?;
    if !c.is_at_end() {
        return None;
    }
    let price = |mantissa| Some(Fixed::new(mantissa, route.price_scale));
    let amount = |mantissa| Some(Fixed::new(mantissa, route.amount_scale));
    let row = out.add_bid_ask(BidAsk {
        nonce,
        venue_time: None,
        bid: price(bid),
        bid_volume: amount(bid_volume),
        ask: price(ask),
        ask_volume: amount(ask_volume),
    });
    out.items.push(Item::BidAsk { route: id, row, symbol: None });
    Some(())
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
                let (span, n) = out.read_levels(c, route, levels_max)?;
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
    let checksum = None;
    out.items.push(Item::Book { route: id, kind, first, last, prev, venue_time, bids, asks, rejected, checksum });
    Ok(())
}

/// Partial depth and the REST snapshot: `{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}`. A REST snapshot
/// with `limit` rows on a side may have been cut there.
pub(super) fn on_whole_book(
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
                let (span, n) = out.read_levels(c, route, WHOLE_LEVELS_MAX)?;
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
    let (prev, venue_time, checksum) = (None, None, None);
    out.items.push(Item::Book { route: id, kind, first: 0, last, prev, venue_time, bids, asks, rejected, checksum });
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

/// Reads a string that has to be `name`.
#[inline]
fn expect(c: &mut Cursor<'_>, name: &[u8]) -> Result<(), JsonError> {
    let at = *c;
    if c.bytes()? == name { Ok(()) } else { Err(at.missing()) }
}

pub(super) fn event_name(mut c: Cursor<'_>) -> Option<&str> {
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
