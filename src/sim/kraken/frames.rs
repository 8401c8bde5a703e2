//! The messages of the loopback Kraken. Prices and quantities are JSON numbers, times RFC 3339.

use std::fmt::Write as _;

use super::super::hub::{ConnId, Writing};
use super::super::market::{Candle, Market, Side, Stats, Symbol, Trade};
use super::super::shown::Shown;
use super::super::text::{pow10, put_fixed, put_short, put_time, put_u64};
use super::{step, whole};

/// Levels a side that the checksum covers.
const CHECKED: usize = 10;

/// `2023-10-06T17:35:55.440295Z`
pub(super) fn time(time_ns: u64) -> String {
    let mut out = String::new();
    put_time(&mut out, time_ns, 6);
    out
}

/// `,"timestamp":"2023-10-06T17:35:55.440295Z"`
fn put_stamp(out: &mut String, time_ns: u64) {
    out.push_str(",\"timestamp\":\"");
    put_time(out, time_ns, 6);
    out.push('"');
}

/// A number with all its digits, or as short as can be: with one digit behind the point at least, and with an exponent
/// when it is small.
fn put_number(out: &mut String, mantissa: i64, scale: u8, padded: bool) {
    if padded && scale > 0 {
        put_fixed(out, i128::from(mantissa), scale, scale);
        return;
    }
    let magnitude = mantissa.unsigned_abs();
    let small = scale > 4 && magnitude > 0 && magnitude < pow10(scale - 4);
    if !small {
        let begin = out.len();
        put_short(out, i128::from(mantissa), scale);
        if !out[begin..].contains('.') {
            out.push_str(".0");
        }
        return;
    }
    if mantissa < 0 {
        out.push('-');
    }
    let digits = magnitude.to_string();
    let exponent = usize::from(scale) + 1 - digits.len();
    let digits = digits.trim_end_matches('0');
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    let _ = write!(out, "e-{exponent:02}");
}

fn price(out: &mut String, key: &str, symbol: &Symbol, mantissa: i64) {
    out.push_str(key);
    put_number(out, mantissa, symbol.price_scale, false);
}

fn qty(out: &mut String, key: &str, symbol: &Symbol, mantissa: i64) {
    out.push_str(key);
    put_number(out, mantissa, symbol.qty_scale, false);
}

/// `{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2","connection_id":6447481662169813000}]}`
pub(super) fn status(conn: ConnId) -> String {
    let connection_id = 6_447_481_662_169_813_000 + u64::from(conn.number());
    format!(
        "{{\"channel\":\"status\",\"type\":\"update\",\"data\":[{{\"version\":\"2.0.10\",\"system\":\"online\",\
         \"api_version\":\"v2\",\"connection_id\":{connection_id}}}]}}"
    )
}

/// `{"channel":"book","type":"update","data":[{`
fn begin(out: &mut String, channel: &str, kind: &str) {
    let _ = write!(out, "{{\"channel\":\"{channel}\",\"type\":\"{kind}\",\"data\":[");
}

/// `[{"price":0.5666,"qty":4831.75496356}]`. Whether a number has all its digits, and whether a price comes twice,
/// follows from the number of the update, so that all of it occurs and equal runs are equal.
fn put_levels(out: &mut String, symbol: &Symbol, levels: &[(i64, i64)], id: u64, twice: bool) {
    out.push('[');
    for (i, (level_price, level_qty)) in levels.iter().enumerate() {
        let dice = (id.wrapping_mul(31) + i as u64) % 8;
        if twice && i == 0 && dice == 3 && *level_qty > 0 {
            put_level(out, symbol, *level_price, level_qty + 1, 0);
            out.push(',');
        }
        put_level(out, symbol, *level_price, *level_qty, dice);
        if i + 1 < levels.len() {
            out.push(',');
        }
    }
    out.push(']');
}

fn put_level(out: &mut String, symbol: &Symbol, level_price: i64, level_qty: i64, dice: u64) {
    out.push_str("{\"price\":");
    put_number(out, level_price, symbol.price_scale, dice & 1 == 1);
    out.push_str(",\"qty\":");
    put_number(out, level_qty, symbol.qty_scale, dice & 2 == 2);
    out.push('}');
}

/// The venue's digest of the best levels: the digits of price and quantity at the pair's precision, without point and
/// zeros in front, asks before bids.
fn checksum(shown: &Shown) -> u32 {
    let mut digits = String::new();
    for side in [&shown.asks, &shown.bids] {
        for (level_price, level_qty) in side.iter().take(CHECKED) {
            put_u64(&mut digits, level_price.unsigned_abs());
            put_u64(&mut digits, level_qty.unsigned_abs());
        }
    }
    crc32fast::hash(digits.as_bytes())
}

/// `{"channel":"book","type":"snapshot","data":[{"symbol":"MATIC/USD","bids":[..],"asks":[..],"checksum":2439117997,"timestamp":"2023-10-06T17:35:55.440295Z"}]}`
pub(super) fn book_snapshot(out: &mut String, symbol: &Symbol, shown: &Shown) {
    begin(out, "book", "snapshot");
    let _ = write!(out, "{{\"symbol\":\"{}\",\"bids\":", symbol.name);
    put_levels(out, symbol, &shown.bids, shown.id, false);
    out.push_str(",\"asks\":");
    put_levels(out, symbol, &shown.asks, shown.id, false);
    let _ = write!(out, ",\"checksum\":{}", checksum(shown));
    put_stamp(out, shown.time_ns);
    out.push_str("}]}");
}

/// The same with `"type":"update"` and the changed levels.
pub(super) fn book_update(out: &mut String, writing: Writing<'_>, index: usize, shown: &Shown) {
    let symbol = writing.market.symbol(index);
    begin(out, "book", "update");
    let _ = write!(out, "{{\"symbol\":\"{}\",\"bids\":", symbol.name);
    put_levels(out, symbol, &shown.bid_changes, shown.id, true);
    out.push_str(",\"asks\":");
    put_levels(out, symbol, &shown.ask_changes, shown.id, true);
    let _ = write!(out, ",\"checksum\":{}", checksum(shown) ^ u32::from(writing.spoil_checksum));
    put_stamp(out, shown.time_ns);
    out.push_str("}]}");
}

/// `{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}`
pub(super) fn trades<'a>(out: &mut String, symbol: &Symbol, kind: &str, trades: impl Iterator<Item = &'a Trade>) {
    begin(out, "trade", kind);
    for (i, trade) in trades.enumerate() {
        let side = if trade.buyer_is_maker { "sell" } else { "buy" };
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{{\"symbol\":\"{}\",\"side\":\"{side}\"", symbol.name);
        price(out, ",\"price\":", symbol, trade.price);
        qty(out, ",\"qty\":", symbol, trade.qty);
        let _ = write!(out, ",\"ord_type\":\"market\",\"trade_id\":{}", trade.id);
        put_stamp(out, trade.time_ns);
        out.push('}');
    }
    out.push_str("]}");
}

/// Mean price, cut at the pair's precision; the last one when nothing traded.
fn mean(stats: &Stats) -> i64 {
    let mean = stats.quote_volume.checked_div(i128::from(stats.volume));
    mean.and_then(|mean| i64::try_from(mean).ok()).unwrap_or(stats.last)
}

/// `{"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10035,"ask_qty":740.0,"last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017,"change_pct":-0.17,"timestamp":".."}]}`
pub(super) fn ticker(out: &mut String, market: &Market, index: usize, kind: &str, stats: &Stats, now_ns: u64) {
    let symbol = market.symbol(index);
    let (bid, ask) = (market.best(index, Side::Bid), market.best(index, Side::Ask));
    begin(out, "ticker", kind);
    let _ = write!(out, "{{\"symbol\":\"{}\"", symbol.name);
    price(out, ",\"bid\":", symbol, bid.0);
    qty(out, ",\"bid_qty\":", symbol, bid.1);
    price(out, ",\"ask\":", symbol, ask.0);
    qty(out, ",\"ask_qty\":", symbol, ask.1);
    price(out, ",\"last\":", symbol, stats.last);
    qty(out, ",\"volume\":", symbol, stats.volume);
    price(out, ",\"vwap\":", symbol, mean(stats));
    price(out, ",\"low\":", symbol, stats.low);
    price(out, ",\"high\":", symbol, stats.high);
    price(out, ",\"change\":", symbol, stats.last - stats.open);
    out.push_str(",\"change_pct\":");
    let percent = i128::from(stats.last - stats.open) * 10_000 / i128::from(stats.open.max(1));
    put_number(out, i64::try_from(percent).unwrap_or_default(), 2, false);
    put_stamp(out, now_ns);
    out.push_str("}]}");
}

/// `{"channel":"ohlc","type":"update","timestamp":"..","data":[{"symbol":"MATIC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,"vwap":0.5626,"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,"timestamp":".."}]}`
pub(super) fn candles(
    out: &mut String,
    symbol: &Symbol,
    kind: &str,
    interval_min: u64,
    candles: &[Candle],
    now_ns: u64,
) {
    let _ = write!(out, "{{\"channel\":\"ohlc\",\"type\":\"{kind}\"");
    put_stamp(out, now_ns);
    out.push_str(",\"data\":[");
    for (i, candle) in candles.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{{\"symbol\":\"{}\"", symbol.name);
        price(out, ",\"open\":", symbol, candle.open);
        price(out, ",\"high\":", symbol, candle.high);
        price(out, ",\"low\":", symbol, candle.low);
        price(out, ",\"close\":", symbol, candle.close);
        let _ = write!(out, ",\"trades\":{}", candle.trades);
        qty(out, ",\"volume\":", symbol, candle.volume);
        let mean = candle.quote_volume.checked_div(i128::from(candle.volume));
        price(out, ",\"vwap\":", symbol, mean.and_then(|mean| i64::try_from(mean).ok()).unwrap_or(candle.close));
        out.push_str(",\"interval_begin\":\"");
        put_time(out, candle.open_ms.saturating_mul(1_000_000), 9);
        let _ = write!(out, "\",\"interval\":{interval_min}");
        put_stamp(out, candle.open_ms.saturating_add(interval_min * 60_000).saturating_mul(1_000_000));
        out.push('}');
    }
    out.push_str("]}");
}

/// `{"channel":"instrument","type":"snapshot","data":{"assets":[..],"pairs":[..]}}`
pub(super) fn instruments(out: &mut String, market: &Market) {
    out.push_str("{\"channel\":\"instrument\",\"type\":\"snapshot\",\"data\":{\"assets\":[");
    let mut assets: Vec<&str> = Vec::new();
    for index in 0..market.len() {
        let symbol = market.symbol(index);
        for asset in [symbol.base.as_str(), symbol.quote.as_str()] {
            if !assets.contains(&asset) {
                assets.push(asset);
            }
        }
    }
    for (i, asset) in assets.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(
            out,
            "{comma}{{\"id\":\"{asset}\",\"status\":\"enabled\",\"precision\":10,\"precision_display\":5,\
             \"borrowable\":true,\"collateral_value\":1.0,\"margin_rate\":0.01}}"
        );
    }
    out.push_str("],\"pairs\":[");
    for index in 0..market.len() {
        let symbol = market.symbol(index);
        let comma = if index > 0 { "," } else { "" };
        let (price_step, qty_step) = (step(symbol.price_scale), step(symbol.qty_scale));
        let _ = write!(
            out,
            "{comma}{{\"symbol\":\"{}\",\"base\":\"{}\",\"quote\":\"{}\",\"status\":\"online\",\"qty_precision\":{},\
             \"qty_increment\":{qty_step},\"price_precision\":{},\"price_increment\":{price_step},\
             \"tick_size\":{price_step},\"cost_precision\":5,\"cost_min\":\"0.5\",\"qty_min\":{qty_step},\
             \"marginable\":true,\"has_index\":true,\"margin_initial\":0.2,\"position_limit_long\":250,\
             \"position_limit_short\":200}}",
            symbol.name, symbol.base, symbol.quote, symbol.qty_scale, symbol.price_scale
        );
    }
    out.push_str("]}}");
}

/// A quantity in whole units.
pub(super) fn put_whole(out: &mut String, symbol: &Symbol, mantissa: i64) {
    let _ = write!(out, "{}", whole(mantissa, symbol.qty_scale));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_both_spellings() {
        let number = |mantissa: i64, scale: u8, padded: bool| {
            let mut out = String::new();
            put_number(&mut out, mantissa, scale, padded);
            out
        };
        assert_eq!([number(5660, 4, false), number(5660, 4, true)], ["0.566", "0.5660"]);
        assert_eq!([number(4_000_000_000, 8, false), number(100, 2, false)], ["40.0", "1.0"]);
        assert_eq!(
            [number(1, 8, false), number(2_400, 8, false), number(10_000, 8, false)],
            ["1e-08", "2.4e-05", "0.0001"]
        );
        assert_eq!([number(-17, 5, false), number(0, 8, false), number(7, 0, true)], ["-0.00017", "0.0", "7.0"]);
        assert_eq!([number(-17, 6, false), number(1_000, 8, false)], ["-1.7e-05", "1e-05"]);
    }

    #[test]
    fn the_documented_checksum() {
        let level = |(price, qty): (&str, &str)| -> (i64, i64) {
            (price.replace('.', "").parse().unwrap(), qty.replace('.', "").parse().unwrap())
        };
        let asks = [
            ("45285.2", "0.00100000"),
            ("45286.4", "1.54571953"),
            ("45286.6", "1.54571109"),
            ("45289.6", "1.54560911"),
            ("45290.2", "0.15890660"),
            ("45291.8", "1.54553491"),
            ("45294.7", "0.04454749"),
            ("45296.1", "0.35380000"),
            ("45297.5", "0.09945542"),
            ("45299.5", "0.18772827"),
        ];
        let bids = [
            ("45283.5", "0.10000000"),
            ("45283.4", "1.54582015"),
            ("45282.1", "0.10000000"),
            ("45281.0", "0.10000000"),
            ("45280.3", "1.54592586"),
            ("45279.0", "0.07990000"),
            ("45277.6", "0.03310103"),
            ("45277.5", "0.30000000"),
            ("45277.3", "1.54602737"),
            ("45276.6", "0.15445238"),
        ];
        let shown = Shown::of(bids.map(level).to_vec(), asks.map(level).to_vec());
        assert_eq!(checksum(&shown), 3_310_070_434);
    }
}
