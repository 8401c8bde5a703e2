//! The messages of the loopback OKX. All numbers are strings in their shortest form, all times milliseconds.

use std::fmt::Write as _;

use serde_json::Value;

use super::super::hub::{ConnId, Writing};
use super::super::market::{AggTrade, Candle, Market, Side, Stats, Symbol, Trade};
use super::super::shown::Shown;
use super::super::text::{put_fixed, put_short};
use super::{EXPIRY, EXPIRY_MS};

/// Kinds of markets.
pub(super) const INST_TYPES: [&str; 5] = ["SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"];

/// A contract is a hundredth of a coin.
const CONTRACT_SCALE: u8 = 2;

/// The kind of a market.
pub(super) fn inst_type(symbol: &Symbol) -> &'static str {
    match symbol.name.rsplit('-').next() {
        Some("SWAP") => "SWAP",
        Some(EXPIRY) => "FUTURES",
        _ => "SPOT",
    }
}

/// The number of a market that orders name it by.
pub(super) fn inst_code(index: usize) -> usize {
    10_000 + index
}

/// Whether quantities are contracts.
fn has_contracts(symbol: &Symbol) -> bool {
    inst_type(symbol) != "SPOT"
}

/// Levels a side that the checksum covers.
const CHECKED: usize = 25;

/// `key"1.2"`
fn price(out: &mut String, key: &str, symbol: &Symbol, mantissa: i64) {
    number(out, key, mantissa, symbol.price_scale);
}

fn qty(out: &mut String, key: &str, symbol: &Symbol, mantissa: i64) {
    number(out, key, mantissa, symbol.qty_scale);
}

fn number(out: &mut String, key: &str, mantissa: i64, scale: u8) {
    out.push_str(key);
    out.push('"');
    put_short(out, i128::from(mantissa), scale);
    out.push('"');
}

/// Price times quantity, to eight decimals.
fn quote(out: &mut String, key: &str, symbol: &Symbol, mantissa: i128) {
    out.push_str(key);
    out.push('"');
    let mut text = String::new();
    let contract_scale = if has_contracts(symbol) { CONTRACT_SCALE } else { 0 };
    put_fixed(&mut text, mantissa, symbol.price_scale + symbol.qty_scale + contract_scale, 8);
    out.push_str(text.trim_end_matches('0').trim_end_matches('.'));
    out.push('"');
}

/// A traded quantity in coins; of contracts where the quantities are those.
fn coins(out: &mut String, key: &str, symbol: &Symbol, mantissa: i64) {
    number(out, key, mantissa, symbol.qty_scale + if has_contracts(symbol) { CONTRACT_SCALE } else { 0 });
}

/// `,"connId":"a4d3ae55"`
pub(super) fn put_conn(out: &mut String, conn: ConnId) {
    let _ = write!(out, ",\"connId\":\"{:08x}\"", conn.number());
}

/// `{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}`
pub(super) fn acknowledged(op: &str, arg: &Value, id: Option<&str>, conn: ConnId) -> String {
    let mut out = String::from("{");
    if let Some(id) = id {
        let _ = write!(out, "\"id\":{id},");
    }
    let _ = write!(out, "\"event\":\"{op}\",\"arg\":{arg}");
    put_conn(&mut out, conn);
    out.push('}');
    out
}

/// `{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}`
pub(super) fn logged_in(id: Option<&str>, conn: ConnId) -> String {
    let mut out = String::from("{");
    if let Some(id) = id {
        let _ = write!(out, "\"id\":{id},");
    }
    out.push_str("\"event\":\"login\",\"code\":\"0\",\"msg\":\"\"");
    put_conn(&mut out, conn);
    out.push('}');
    out
}

/// `{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"a4d3ae55"}`
pub(super) fn shutdown_notice(_now_ns: u64, conn: ConnId, _view: usize, out: &mut String) {
    out.push_str(
        "{\"event\":\"notice\",\"code\":\"64008\",\"msg\":\"The connection will soon be closed for a service upgrade. \
         Please reconnect.\"",
    );
    put_conn(out, conn);
    out.push('}');
}

/// `{"arg":{"channel":"books","instId":"BTC-USDT"},`
fn begin(out: &mut String, channel: &str, symbol: &Symbol) {
    let _ = write!(out, "{{\"arg\":{{\"channel\":\"{channel}\",\"instId\":\"{}\"}},", symbol.name);
}

/// `[["8476.98","415","0","13"]]`: price, size, a zero that once meant something, number of orders.
pub(super) fn put_levels(out: &mut String, symbol: &Symbol, levels: impl Iterator<Item = (i64, i64)>) {
    out.push('[');
    for (i, (level_price, level_qty)) in levels.enumerate() {
        price(out, if i > 0 { ",[" } else { "[" }, symbol, level_price);
        qty(out, ",", symbol, level_qty);
        let orders = if level_qty == 0 { 0 } else { 1 + level_qty.unsigned_abs() % 7 };
        let _ = write!(out, ",\"0\",\"{orders}\"]");
    }
    out.push(']');
}

/// The venue's digest of the best levels: price and size of each side in turn, as they are written.
fn checksum(symbol: &Symbol, shown: &Shown) -> i32 {
    let mut text = String::new();
    for at in 0..CHECKED {
        for side in [&shown.bids, &shown.asks] {
            let Some((level_price, level_qty)) = side.get(at) else { continue };
            if !text.is_empty() {
                text.push(':');
            }
            put_short(&mut text, i128::from(*level_price), symbol.price_scale);
            text.push(':');
            put_short(&mut text, i128::from(*level_qty), symbol.qty_scale);
        }
    }
    crc32fast::hash(text.as_bytes()).cast_signed()
}

fn ms(time_ns: u64) -> u64 {
    time_ns / 1_000_000
}

/// `{"arg":{..},"action":"snapshot","data":[{"asks":[..],"bids":[..],"ts":"1597026383085","checksum":-855196043,"seqId":123456,"prevSeqId":-1}]}`
pub(super) fn book_snapshot(out: &mut String, market: &Market, index: usize, shown: &Shown) {
    let symbol = market.symbol(index);
    begin(out, "books", symbol);
    out.push_str("\"action\":\"snapshot\",\"data\":[{\"asks\":");
    put_levels(out, symbol, shown.asks.iter().copied());
    out.push_str(",\"bids\":");
    put_levels(out, symbol, shown.bids.iter().copied());
    let _ = write!(
        out,
        ",\"ts\":\"{}\",\"checksum\":{},\"seqId\":{},\"prevSeqId\":-1}}]}}",
        ms(shown.time_ns),
        checksum(symbol, shown),
        shown.id
    );
}

/// The same with `"action":"update"`, the changed levels, and the number of the message before it.
pub(super) fn book_update(out: &mut String, writing: Writing<'_>, index: usize, shown: &Shown, before: u64) {
    let symbol = writing.market.symbol(index);
    begin(out, "books", symbol);
    out.push_str("\"action\":\"update\",\"data\":[{\"asks\":");
    put_levels(out, symbol, shown.ask_changes.iter().copied());
    out.push_str(",\"bids\":");
    put_levels(out, symbol, shown.bid_changes.iter().copied());
    let checksum = checksum(symbol, shown) ^ i32::from(writing.spoil_checksum);
    let _ = write!(
        out,
        ",\"ts\":\"{}\",\"checksum\":{checksum},\"seqId\":{},\"prevSeqId\":{before}}}]}}",
        ms(shown.time_ns),
        shown.id
    );
}

/// `books5`: `{"arg":{..},"data":[{"asks":[..],"bids":[..],"instId":"BTC-USDT","ts":"1626537446491","seqId":123456}]}`,
/// and `bbo-tbt` with one level a side.
pub(super) fn levels(out: &mut String, market: &Market, index: usize, depth: usize, now_ns: u64) {
    let symbol = market.symbol(index);
    begin(out, if depth == 1 { "bbo-tbt" } else { "books5" }, symbol);
    out.push_str("\"data\":[{\"asks\":");
    put_levels(out, symbol, market.levels(index, Side::Ask).take(depth));
    out.push_str(",\"bids\":");
    put_levels(out, symbol, market.levels(index, Side::Bid).take(depth));
    if depth > 1 {
        let _ = write!(out, ",\"instId\":\"{}\"", symbol.name);
    }
    let _ = write!(out, ",\"ts\":\"{}\",\"seqId\":{}}}]}}", ms(now_ns), market.update_id(index));
}

fn side(buyer_is_maker: bool) -> &'static str {
    if buyer_is_maker { "sell" } else { "buy" }
}

/// `{"arg":{..},"data":[{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","ts":"1630048897897","count":"3","source":"0","seqId":1234}]}`:
/// all that one order met at one price.
pub(super) fn trade(out: &mut String, market: &Market, index: usize, agg: &AggTrade) {
    let symbol = market.symbol(index);
    begin(out, "trades", symbol);
    let _ = write!(out, "\"data\":[{{\"instId\":\"{}\",\"tradeId\":\"{}\"", symbol.name, agg.last);
    price(out, ",\"px\":", symbol, agg.price);
    qty(out, ",\"sz\":", symbol, agg.qty);
    let _ = write!(
        out,
        ",\"side\":\"{}\",\"ts\":\"{}\",\"count\":\"{}\",\"source\":\"0\",\"seqId\":{}}}]}}",
        side(agg.buyer_is_maker),
        ms(agg.time_ns),
        agg.last - agg.first + 1,
        market.update_id(index)
    );
}

/// `trades-all`: the same for each execution, without `count` and `seqId`.
pub(super) fn single_trade(out: &mut String, symbol: &Symbol, trade: &Trade) {
    begin(out, "trades-all", symbol);
    out.push_str("\"data\":[");
    trade_row(out, symbol, trade);
    out.push_str("]}");
}

/// `{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","source":"0","ts":"1630048897897"}`
pub(super) fn trade_row(out: &mut String, symbol: &Symbol, trade: &Trade) {
    let _ = write!(out, "{{\"instId\":\"{}\",\"tradeId\":\"{}\"", symbol.name, trade.id);
    price(out, ",\"px\":", symbol, trade.price);
    qty(out, ",\"sz\":", symbol, trade.qty);
    let _ =
        write!(out, ",\"side\":\"{}\",\"source\":\"0\",\"ts\":\"{}\"}}", side(trade.buyer_is_maker), ms(trade.time_ns));
}

/// `{"arg":{..},"data":[{"instType":"SPOT",..}]}`
pub(super) fn ticker(out: &mut String, market: &Market, index: usize, stats: &Stats, now_ns: u64) {
    begin(out, "tickers", market.symbol(index));
    out.push_str("\"data\":[");
    ticker_row(out, market, index, stats, now_ns);
    out.push_str("]}");
}

/// `{"instType":"SPOT","instId":"BTC-USDT","last":"30218.8","lastSz":"1","askPx":"30220.1","askSz":"3","bidPx":"30210.4","bidSz":"4","open24h":"29571.4","high24h":..,"low24h":..,"sodUtc0":..,"sodUtc8":..,"volCcy24h":"2620.289","vol24h":"779573","ts":"1652459223003"}`
pub(super) fn ticker_row(out: &mut String, market: &Market, index: usize, stats: &Stats, now_ns: u64) {
    let symbol = market.symbol(index);
    let (bid, ask) = (market.best(index, Side::Bid), market.best(index, Side::Ask));
    let _ = write!(out, "{{\"instType\":\"{}\",\"instId\":\"{}\"", inst_type(symbol), symbol.name);
    price(out, ",\"last\":", symbol, stats.last);
    qty(out, ",\"lastSz\":", symbol, stats.last_qty);
    price(out, ",\"askPx\":", symbol, ask.0);
    qty(out, ",\"askSz\":", symbol, ask.1);
    price(out, ",\"bidPx\":", symbol, bid.0);
    qty(out, ",\"bidSz\":", symbol, bid.1);
    price(out, ",\"open24h\":", symbol, stats.open);
    price(out, ",\"high24h\":", symbol, stats.high);
    price(out, ",\"low24h\":", symbol, stats.low);
    price(out, ",\"sodUtc0\":", symbol, stats.open);
    price(out, ",\"sodUtc8\":", symbol, stats.open);
    if has_contracts(symbol) {
        coins(out, ",\"volCcy24h\":", symbol, stats.volume);
    } else {
        quote(out, ",\"volCcy24h\":", symbol, stats.quote_volume);
    }
    qty(out, ",\"vol24h\":", symbol, stats.volume);
    let _ = write!(out, ",\"ts\":\"{}\"}}", ms(now_ns));
}

/// `{"arg":{"channel":"candle1D",..},"data":[["1597026383085","8533.02","8553.74","8527.17","8548.26","45247","529.5858061","5529.5858061","1"]]}`
pub(super) fn candle(out: &mut String, symbol: &Symbol, interval: &str, candle: &Candle, closed: bool) {
    begin(out, &format!("candle{interval}"), symbol);
    out.push_str("\"data\":[");
    candle_row(out, symbol, candle, closed);
    out.push_str("]}");
}

/// Open time, open, high, low, close, volume in base, in quote and in quote again, and whether it is over. The volumes of
/// swaps are contracts, coins and quote.
pub(super) fn candle_row(out: &mut String, symbol: &Symbol, candle: &Candle, closed: bool) {
    let _ = write!(out, "[\"{}\"", candle.open_ms);
    for mantissa in [candle.open, candle.high, candle.low, candle.close] {
        price(out, ",", symbol, mantissa);
    }
    qty(out, ",", symbol, candle.volume);
    if has_contracts(symbol) {
        coins(out, ",", symbol, candle.volume);
    } else {
        quote(out, ",", symbol, candle.quote_volume);
    }
    quote(out, ",", symbol, candle.quote_volume);
    out.push_str(if closed { ",\"1\"]" } else { ",\"0\"]" });
}

/// `{"arg":{"channel":"instruments","instType":"SPOT"},"data":[..]}`
pub(super) fn instruments(out: &mut String, market: &Market, wanted: &str) {
    let _ = write!(out, "{{\"arg\":{{\"channel\":\"instruments\",\"instType\":\"{wanted}\"}},\"data\":[");
    let rows = (0..market.len()).filter(|index| inst_type(market.symbol(*index)) == wanted);
    for (i, index) in rows.enumerate() {
        if i > 0 {
            out.push(',');
        }
        instrument_row(out, market, index);
    }
    out.push_str("]}");
}

/// One market; `instIdCode` alone is a number.
pub(super) fn instrument_row(out: &mut String, market: &Market, index: usize) {
    let symbol = market.symbol(index);
    let derivative = has_contracts(symbol);
    // What derivatives have, and what they do not have.
    let its = |value: &'static str| if derivative { value } else { "" };
    let family = if derivative { format!("{}-{}", symbol.base, symbol.quote) } else { String::new() };
    let (base, quote) = if derivative { ("", "") } else { (symbol.base.as_str(), symbol.quote.as_str()) };
    let _ = write!(
        out,
        "{{\"alias\":\"\",\"baseCcy\":\"{base}\",\"category\":\"1\",\"ctMult\":\"{}\",\"ctType\":\"{}\",\
         \"ctVal\":\"{}\",\"ctValCcy\":\"{}\",\"expTime\":\"{}\",\"instFamily\":\"{family}\",\"instId\":\"{}\",\
         \"instIdCode\":{},\"instType\":\"{}\",\"lever\":\"10\",\"listTime\":\"1548133413000\"",
        its("1"),
        its("linear"),
        its("0.01"),
        if derivative { symbol.base.as_str() } else { "" },
        if inst_type(symbol) == "FUTURES" { EXPIRY_MS } else { "" },
        symbol.name,
        inst_code(index),
        inst_type(symbol),
    );
    qty(out, ",\"lotSz\":", symbol, symbol.step);
    qty(out, ",\"maxLmtSz\":", symbol, symbol.step.saturating_mul(symbol.order_steps).saturating_mul(10_000));
    qty(out, ",\"maxMktSz\":", symbol, symbol.step.saturating_mul(symbol.order_steps).saturating_mul(100));
    qty(out, ",\"minSz\":", symbol, symbol.step);
    let _ = write!(
        out,
        ",\"optType\":\"\",\"quoteCcy\":\"{quote}\",\"settleCcy\":\"{}\",\"state\":\"live\",\"stk\":\"\"",
        if derivative { symbol.quote.as_str() } else { "" }
    );
    price(out, ",\"tickSz\":", symbol, symbol.tick);
    let _ = write!(out, ",\"uly\":\"{family}\"}}");
}
