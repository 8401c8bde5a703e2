//! The messages of the streams, written from the venue's documentation member by member.
//!
//! All of them append to a reused buffer. Prices and quantities have eight decimals whatever the tick is.

use super::super::hub::Batch;
use super::super::market::{AggTrade, Candle, Market, Side, Stats, Symbol, Trade};
use super::super::text::{pow10, put_fixed, put_i64, put_u64};

/// Unit of the times in the messages of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeUnit {
    Milli,
    Micro,
}

impl TimeUnit {
    pub(super) fn of_ns(self, time_ns: u64) -> u64 {
        match self {
            TimeUnit::Milli => time_ns / 1_000_000,
            TimeUnit::Micro => time_ns / 1_000,
        }
    }

    pub(super) fn of_ms(self, time_ms: u64) -> u64 {
        match self {
            TimeUnit::Milli => time_ms,
            TimeUnit::Micro => time_ms.saturating_mul(1_000),
        }
    }

    /// The last instant before `time_ms`.
    pub(super) fn before_ms(self, time_ms: u64) -> u64 {
        self.of_ms(time_ms).saturating_sub(1)
    }
}

/// Decimals of every price and quantity.
const DECIMALS: u8 = 8;

pub(super) fn put_price(out: &mut String, symbol: &Symbol, mantissa: i64) {
    put_fixed(out, i128::from(mantissa), symbol.price_scale, DECIMALS);
}

pub(super) fn put_qty(out: &mut String, symbol: &Symbol, mantissa: i64) {
    put_fixed(out, i128::from(mantissa), symbol.qty_scale, DECIMALS);
}

/// Price times quantity.
pub(super) fn put_quote(out: &mut String, symbol: &Symbol, mantissa: i128) {
    put_fixed(out, mantissa, symbol.price_scale + symbol.qty_scale, DECIMALS);
}

/// `,"key":123`
fn int(out: &mut String, key: &str, value: u64) {
    out.push_str(key);
    put_u64(out, value);
}

/// `key"1.20000000"`
fn price(out: &mut String, key: &str, symbol: &Symbol, mantissa: i64) {
    out.push_str(key);
    out.push('"');
    put_price(out, symbol, mantissa);
    out.push('"');
}

fn qty(out: &mut String, key: &str, symbol: &Symbol, mantissa: i64) {
    out.push_str(key);
    out.push('"');
    put_qty(out, symbol, mantissa);
    out.push('"');
}

fn quote(out: &mut String, key: &str, symbol: &Symbol, mantissa: i128) {
    out.push_str(key);
    out.push('"');
    put_quote(out, symbol, mantissa);
    out.push('"');
}

/// The first members of most events.
fn begin(out: &mut String, event: &str, time: u64, symbol: &Symbol) {
    out.push_str("{\"e\":\"");
    out.push_str(event);
    int(out, "\",\"E\":", time);
    out.push_str(",\"s\":\"");
    out.push_str(&symbol.name);
    out.push('"');
}

/// `[["0.35130000","6195.00000000"],...]`
pub(super) fn put_levels(out: &mut String, symbol: &Symbol, levels: impl Iterator<Item = (i64, i64)>) {
    out.push('[');
    for (i, (level_price, level_qty)) in levels.enumerate() {
        price(out, if i > 0 { ",[" } else { "[" }, symbol, level_price);
        qty(out, ",", symbol, level_qty);
        out.push(']');
    }
    out.push(']');
}

/// `{"e":"depthUpdate","E":1633998512068,"s":"NKNUSDT","U":499869750,"u":499869752,"b":[["0.35130000","6195.00000000"]],"a":[]}`
pub(super) fn depth(out: &mut String, symbol: &Symbol, time: u64, batch: &Batch) {
    begin(out, "depthUpdate", time, symbol);
    int(out, ",\"U\":", batch.first);
    int(out, ",\"u\":", batch.last);
    out.push_str(",\"b\":");
    put_levels(out, symbol, batch.bids.iter().copied());
    out.push_str(",\"a\":");
    put_levels(out, symbol, batch.asks.iter().copied());
    out.push('}');
}

/// `{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}`, also the body of the REST snapshot.
pub(super) fn partial_depth(
    out: &mut String,
    symbol: &Symbol,
    update_id: u64,
    bids: impl Iterator<Item = (i64, i64)>,
    asks: impl Iterator<Item = (i64, i64)>,
) {
    int(out, "{\"lastUpdateId\":", update_id);
    out.push_str(",\"bids\":");
    put_levels(out, symbol, bids);
    out.push_str(",\"asks\":");
    put_levels(out, symbol, asks);
    out.push('}');
}

/// `{"e":"trade","E":..,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":..,"m":true,"M":true}`, with `"b":88,"a":50`
/// before `T` where order numbers are told.
pub(super) fn trade(out: &mut String, symbol: &Symbol, trade: &Trade, order_ids: bool, unit: TimeUnit) {
    begin(out, "trade", unit.of_ns(trade.time_ns), symbol);
    int(out, ",\"t\":", trade.id);
    price(out, ",\"p\":", symbol, trade.price);
    qty(out, ",\"q\":", symbol, trade.qty);
    if order_ids {
        int(out, ",\"b\":", trade.buyer_order);
        int(out, ",\"a\":", trade.seller_order);
    }
    int(out, ",\"T\":", unit.of_ns(trade.time_ns));
    out.push_str(if trade.buyer_is_maker { ",\"m\":true,\"M\":true}" } else { ",\"m\":false,\"M\":true}" });
}

/// `{"e":"aggTrade","E":1633998523963,"s":"NKNUSDT","a":15683430,"p":"0.35280000","q":"58.00000000","f":19862790,"l":19862790,"T":1633998523963,"m":false,"M":true}`
pub(super) fn agg_trade(out: &mut String, symbol: &Symbol, agg: &AggTrade, unit: TimeUnit) {
    begin(out, "aggTrade", unit.of_ns(agg.time_ns), symbol);
    int(out, ",\"a\":", agg.id);
    price(out, ",\"p\":", symbol, agg.price);
    qty(out, ",\"q\":", symbol, agg.qty);
    int(out, ",\"f\":", agg.first);
    int(out, ",\"l\":", agg.last);
    int(out, ",\"T\":", unit.of_ns(agg.time_ns));
    out.push_str(if agg.buyer_is_maker { ",\"m\":true,\"M\":true}" } else { ",\"m\":false,\"M\":true}" });
}

/// `{"u":499869768,"s":"NKNUSDT","b":"0.35210000","B":"672.00000000","a":"0.35260000","A":"3199.00000000"}`
pub(super) fn book_ticker(out: &mut String, market: &Market, index: usize) {
    let symbol = market.symbol(index);
    int(out, "{\"u\":", market.update_id(index));
    out.push_str(",\"s\":\"");
    out.push_str(&symbol.name);
    out.push('"');
    best(out, market, index);
    out.push('}');
}

fn best(out: &mut String, market: &Market, index: usize) {
    let symbol = market.symbol(index);
    let (bid, ask) = (market.best(index, Side::Bid), market.best(index, Side::Ask));
    price(out, ",\"b\":", symbol, bid.0);
    qty(out, ",\"B\":", symbol, bid.1);
    price(out, ",\"a\":", symbol, ask.0);
    qty(out, ",\"A\":", symbol, ask.1);
}

/// Change of the price in percent with three decimals.
pub(super) fn put_percent(out: &mut String, stats: &Stats) {
    let change = i128::from(stats.last - stats.open) * 100_000 / i128::from(stats.open.max(1));
    put_fixed(out, change, 3, 3);
}

/// Volume-weighted mean price with eight decimals; the last price when nothing traded.
pub(super) fn put_mean(out: &mut String, symbol: &Symbol, quote_volume: i128, volume: i64, last: i64) {
    if volume <= 0 {
        put_price(out, symbol, last);
        return;
    }
    // The mantissa of the quotient has the price's scale; eight decimals need the difference on top.
    let raise = i128::from(pow10(DECIMALS.saturating_sub(symbol.price_scale)));
    put_fixed(out, quote_volume.saturating_mul(raise) / i128::from(volume), DECIMALS, DECIMALS);
}

/// A trade number, -1 for none.
pub(super) fn put_id(out: &mut String, id: Option<u64>) {
    match id {
        Some(id) => put_u64(out, id),
        None => put_i64(out, -1),
    }
}

/// Open and close time of a window with the trades in it: the end of every full ticker.
fn window(out: &mut String, stats: &Stats, open_ms: u64, close_ms: u64, unit: TimeUnit) {
    int(out, ",\"O\":", unit.of_ms(open_ms));
    int(out, ",\"C\":", unit.of_ms(close_ms));
    out.push_str(",\"F\":");
    put_id(out, stats.first);
    out.push_str(",\"L\":");
    put_id(out, stats.last_id);
    int(out, ",\"n\":", stats.trades);
    out.push('}');
}

fn change(out: &mut String, symbol: &Symbol, stats: &Stats) {
    price(out, ",\"p\":", symbol, stats.last - stats.open);
    out.push_str(",\"P\":\"");
    put_percent(out, stats);
    out.push('"');
}

fn mean(out: &mut String, symbol: &Symbol, stats: &Stats) {
    out.push_str(",\"w\":\"");
    put_mean(out, symbol, stats.quote_volume, stats.volume, stats.last);
    out.push('"');
}

fn volumes(out: &mut String, symbol: &Symbol, stats: &Stats) {
    qty(out, ",\"v\":", symbol, stats.volume);
    quote(out, ",\"q\":", symbol, stats.quote_volume);
}

/// `{"e":"24hrTicker","E":..,"s":..,"p":"28.23000000","P":"1.600","w":..,"x":..,"c":..,"Q":..,"b":..,"B":..,"a":..,"A":..,"o":..,"h":..,"l":..,"v":..,"q":..,"O":..,"C":..,"F":..,"L":..,"n":..}`
pub(super) fn ticker(out: &mut String, market: &Market, index: usize, stats: &Stats, now_ns: u64, unit: TimeUnit) {
    let symbol = market.symbol(index);
    begin(out, "24hrTicker", unit.of_ns(now_ns), symbol);
    change(out, symbol, stats);
    mean(out, symbol, stats);
    price(out, ",\"x\":", symbol, stats.previous);
    price(out, ",\"c\":", symbol, stats.last);
    qty(out, ",\"Q\":", symbol, stats.last_qty);
    best(out, market, index);
    price(out, ",\"o\":", symbol, stats.open);
    price(out, ",\"h\":", symbol, stats.high);
    price(out, ",\"l\":", symbol, stats.low);
    volumes(out, symbol, stats);
    let close_ms = now_ns / 1_000_000;
    window(out, stats, close_ms.saturating_sub(86_400_000), close_ms, unit);
}

/// `{"e":"24hrMiniTicker","E":..,"s":..,"c":..,"o":..,"h":..,"l":..,"v":..,"q":..}`
pub(super) fn mini_ticker(out: &mut String, symbol: &Symbol, stats: &Stats, now_ns: u64, unit: TimeUnit) {
    begin(out, "24hrMiniTicker", unit.of_ns(now_ns), symbol);
    price(out, ",\"c\":", symbol, stats.last);
    price(out, ",\"o\":", symbol, stats.open);
    price(out, ",\"h\":", symbol, stats.high);
    price(out, ",\"l\":", symbol, stats.low);
    volumes(out, symbol, stats);
    out.push('}');
}

/// `{"e":"1hTicker","E":..,"s":..,"p":..,"P":..,"o":..,"h":..,"l":..,"c":..,"w":..,"v":..,"q":..,"O":..,"C":..,"F":..,"L":..,"n":..}`;
/// the open time is a whole minute.
pub(super) fn rolling_ticker(
    out: &mut String,
    symbol: &Symbol,
    rolling: &Rolling,
    stats: &Stats,
    now_ns: u64,
    unit: TimeUnit,
) {
    begin(out, rolling.event, unit.of_ns(now_ns), symbol);
    change(out, symbol, stats);
    price(out, ",\"o\":", symbol, stats.open);
    price(out, ",\"h\":", symbol, stats.high);
    price(out, ",\"l\":", symbol, stats.low);
    price(out, ",\"c\":", symbol, stats.last);
    mean(out, symbol, stats);
    volumes(out, symbol, stats);
    let close_ms = now_ns / 1_000_000;
    let open_ms = close_ms.saturating_sub(rolling.window_ms);
    window(out, stats, open_ms - open_ms % 60_000, close_ms, unit);
}

/// A rolling window that has a ticker stream of its own.
#[derive(Debug)]
pub(super) struct Rolling {
    pub(super) name: &'static str,
    pub(super) event: &'static str,
    pub(super) window_ms: u64,
}

pub(super) const ROLLING: [Rolling; 3] = [
    Rolling { name: "1h", event: "1hTicker", window_ms: 3_600_000 },
    Rolling { name: "4h", event: "4hTicker", window_ms: 14_400_000 },
    Rolling { name: "1d", event: "1dTicker", window_ms: 86_400_000 },
];

/// `{"e":"kline","E":..,"s":"NKNUSDT","k":{"t":start,"T":end,"s":..,"i":"1m","f":firstId,"L":lastId,"o":"..","c":"..","h":"..","l":"..","v":"..","n":30,"x":false,"q":"..","V":takerBase,"Q":takerQuote,"B":"0"}}`
pub(super) fn kline(out: &mut String, symbol: &Symbol, kline: &Kline<'_>, now_ns: u64, unit: TimeUnit) {
    let candle = kline.candle;
    begin(out, "kline", unit.of_ns(now_ns), symbol);
    int(out, ",\"k\":{\"t\":", unit.of_ms(candle.open_ms));
    int(out, ",\"T\":", unit.before_ms(kline.end_ms));
    out.push_str(",\"s\":\"");
    out.push_str(&symbol.name);
    out.push_str("\",\"i\":\"");
    out.push_str(kline.interval);
    out.push_str("\",\"f\":");
    let traded = candle.trades > 0;
    put_id(out, traded.then_some(candle.first));
    out.push_str(",\"L\":");
    put_id(out, traded.then_some(candle.last));
    price(out, ",\"o\":", symbol, candle.open);
    price(out, ",\"c\":", symbol, candle.close);
    price(out, ",\"h\":", symbol, candle.high);
    price(out, ",\"l\":", symbol, candle.low);
    qty(out, ",\"v\":", symbol, candle.volume);
    int(out, ",\"n\":", candle.trades);
    out.push_str(if kline.closed { ",\"x\":true" } else { ",\"x\":false" });
    quote(out, ",\"q\":", symbol, candle.quote_volume);
    qty(out, ",\"V\":", symbol, candle.taker_volume);
    quote(out, ",\"Q\":", symbol, candle.taker_quote_volume);
    out.push_str(",\"B\":\"0\"}}");
}

/// What a kline message is about.
#[derive(Debug)]
pub(super) struct Kline<'a> {
    pub(super) candle: &'a Candle,
    pub(super) interval: &'a str,
    pub(super) end_ms: u64,
    pub(super) closed: bool,
}

/// `{"e":"avgPrice","E":1693907033000,"s":"BTCUSDT","i":"5m","w":"25776.86000000","T":1693907032213}`
pub(super) fn avg_price(out: &mut String, market: &Market, index: usize, stats: &Stats, now_ns: u64, unit: TimeUnit) {
    let symbol = market.symbol(index);
    begin(out, "avgPrice", unit.of_ns(now_ns), symbol);
    out.push_str(",\"i\":\"5m\"");
    mean(out, symbol, stats);
    int(out, ",\"T\":", unit.of_ns(market.last_trade(index).time_ns));
    out.push('}');
}

/// `{"e":"serverShutdown","E":1693907033000}`
pub(super) fn server_shutdown(out: &mut String, now_ns: u64, unit: TimeUnit) {
    int(out, "{\"e\":\"serverShutdown\",\"E\":", unit.of_ns(now_ns));
    out.push('}');
}
