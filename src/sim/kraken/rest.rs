//! The REST half of the loopback Kraken: public data under `/0/public`.

use serde_json::{Map, Value, json};

use super::super::hub::Hub;
use super::super::market::{Side, Symbol};
use super::super::text::{percent_decode, put_fixed};
use super::super::wire::{HttpReply, Request};
use super::streams::{INTERVALS, SPANS};
use super::{Kraken, SECOND, frames};

/// Names of assets and pairs in the REST half: ours, the venue's asset id, the short one.
const NAMES: [(&str, &str, &str); 7] = [
    ("BTC", "XXBT", "XBT"),
    ("ETH", "XETH", "ETH"),
    ("LTC", "XLTC", "LTC"),
    ("XRP", "XXRP", "XRP"),
    ("DOGE", "XXDG", "XDG"),
    ("USD", "ZUSD", "USD"),
    ("EUR", "ZEUR", "EUR"),
];

/// Rows of trades in one answer, at most, and of candles.
const ROWS_MAX: usize = 720;

type Answer = Result<Value, &'static str>;

type Handler = fn(&mut Hub, &str) -> Answer;

const ROUTES: [(&str, Handler); 7] = [
    ("/0/public/Time", time),
    ("/0/public/SystemStatus", status),
    ("/0/public/AssetPairs", pairs),
    ("/0/public/Depth", depth),
    ("/0/public/Ticker", tickers),
    ("/0/public/Trades", trades),
    ("/0/public/OHLC", candles),
];

impl Kraken {
    /// Answers a REST request.
    pub(super) fn answer_request(&mut self, hub: &mut Hub, request: &Request) -> HttpReply {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let pair = value(query, "pair").unwrap_or_default();
        let verdict = hub.judge_request(path, &pair, path == "/0/public/Depth");
        let mut answer = match verdict.status {
            Some(429) => refusal(429, "EAPI:Rate limit exceeded"),
            Some(status) => refusal(status, "EService:Unavailable"),
            None => self.route(hub, path, query),
        };
        answer.delay_ns = verdict.delay_ns;
        answer
    }

    fn route(&mut self, hub: &mut Hub, path: &str, query: &str) -> HttpReply {
        let Some((route, handler)) = ROUTES.iter().find(|(route, _)| *route == path) else { return not_found(hub) };
        if !self.requests.hit(route, hub.now_ns()) {
            return too_many(hub);
        }
        match handler(hub, query) {
            Ok(result) => reply(200, &json!({"error": [], "result": result})),
            Err(error) => {
                hub.counters.bad_requests += 1;
                refusal(200, error)
            }
        }
    }
}

/// Too many requests, or connections; the venue says so with status 200 to requests.
pub(super) fn too_many(hub: &mut Hub) -> HttpReply {
    hub.counters.too_many += 1;
    refusal(429, "EAPI:Rate limit exceeded")
}

pub(super) fn not_found(hub: &mut Hub) -> HttpReply {
    hub.counters.bad_requests += 1;
    refusal(404, "EGeneral:Unknown method")
}

fn refusal(status: u16, error: &str) -> HttpReply {
    reply(status, &json!({"error": [error]}))
}

fn reply(status: u16, body: &Value) -> HttpReply {
    let headers = vec![("Content-Type", "application/json".to_owned())];
    HttpReply { status, headers, body: body.to_string(), delay_ns: 0 }
}

fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| percent_decode(value))
}

fn asset_id(asset: &str) -> &str {
    NAMES.iter().find(|(ours, ..)| *ours == asset).map_or(asset, |(_, id, _)| id)
}

fn short_name(asset: &str) -> &str {
    NAMES.iter().find(|(ours, ..)| *ours == asset).map_or(asset, |(.., short)| short)
}

/// `XXBTZUSD` where both assets have old names, `SOLUSD` otherwise.
fn pair_id(symbol: &Symbol) -> String {
    let (base, quote) = (asset_id(&symbol.base), asset_id(&symbol.quote));
    if base != symbol.base && quote != symbol.quote { format!("{base}{quote}") } else { alt_name(symbol) }
}

fn alt_name(symbol: &Symbol) -> String {
    format!("{}{}", short_name(&symbol.base), short_name(&symbol.quote))
}

fn indices(hub: &Hub, query: &str) -> Result<Vec<usize>, &'static str> {
    let Some(pairs) = value(query, "pair") else { return Ok((0..hub.market.len()).collect()) };
    pairs.split(',').map(|pair| index(hub, pair)).collect()
}

fn index(hub: &Hub, pair: &str) -> Result<usize, &'static str> {
    let known = |symbol: &Symbol| {
        pair == pair_id(symbol) || pair == alt_name(symbol) || pair == ws_name(symbol) || pair == symbol.name
    };
    (0..hub.market.len()).find(|index| known(hub.market.symbol(*index))).ok_or("EQuery:Unknown asset pair")
}

fn one_index(hub: &Hub, query: &str) -> Result<usize, &'static str> {
    index(hub, &value(query, "pair").ok_or("EGeneral:Invalid arguments")?)
}

fn number(query: &str, name: &str) -> Result<Option<u64>, &'static str> {
    value(query, name).map(|text| text.parse().map_err(|_| "EGeneral:Invalid arguments")).transpose()
}

/// The name of version 1.
fn ws_name(symbol: &Symbol) -> String {
    format!("{}/{}", short_name(&symbol.base), short_name(&symbol.quote))
}

fn fixed(mantissa: i64, scale: u8) -> String {
    let mut out = String::new();
    put_fixed(&mut out, i128::from(mantissa), scale, scale);
    out
}

fn time(hub: &mut Hub, _query: &str) -> Answer {
    Ok(json!({"unixtime": hub.now_ns() / SECOND, "rfc1123": ""}))
}

fn status(hub: &mut Hub, _query: &str) -> Answer {
    Ok(json!({"status": "online", "timestamp": frames::time(hub.now_ns())}))
}

fn pairs(hub: &mut Hub, query: &str) -> Answer {
    let mut result = Map::new();
    for index in indices(hub, query)? {
        let symbol = hub.market.symbol(index);
        let row = json!({
            "altname": alt_name(symbol),
            "wsname": ws_name(symbol),
            "aclass_base": "currency",
            "base": asset_id(&symbol.base),
            "aclass_quote": "currency",
            "quote": asset_id(&symbol.quote),
            "lot": "unit",
            "cost_decimals": 5,
            "pair_decimals": symbol.price_scale,
            "lot_decimals": symbol.qty_scale,
            "lot_multiplier": 1,
            "leverage_buy": [2, 3, 4, 5],
            "leverage_sell": [2, 3, 4, 5],
            "fees": [[0, 0.4], [10_000, 0.35]],
            "fees_maker": [[0, 0.25], [10_000, 0.2]],
            "fee_volume_currency": "ZUSD",
            "margin_call": 80,
            "margin_stop": 40,
            "ordermin": fixed(symbol.step, symbol.qty_scale),
            "costmin": "0.5",
            "tick_size": fixed(symbol.tick, symbol.price_scale),
            "status": "online",
        });
        result.insert(pair_id(symbol), row);
    }
    Ok(Value::Object(result))
}

fn depth(hub: &mut Hub, query: &str) -> Answer {
    let index = one_index(hub, query)?;
    let count = number(query, "count")?.unwrap_or(100).clamp(1, 500) as usize;
    let symbol = hub.market.symbol(index);
    let stamp = hub.now_ns() / SECOND;
    let rows = |side| -> Vec<Value> {
        let levels = hub.market.levels(index, side).take(count);
        levels
            .map(|(price, qty)| json!([fixed(price, symbol.price_scale), fixed(qty, symbol.qty_scale), stamp]))
            .collect()
    };
    Ok(json!({pair_id(symbol): {"asks": rows(Side::Ask), "bids": rows(Side::Bid)}}))
}

fn tickers(hub: &mut Hub, query: &str) -> Answer {
    let now_ns = hub.now_ns();
    let mut result = Map::new();
    for index in indices(hub, query)? {
        let stats = hub.market.stats(index, 86_400_000, now_ns);
        let symbol = hub.market.symbol(index);
        let price = |mantissa| fixed(mantissa, symbol.price_scale);
        let qty = |mantissa| fixed(mantissa, symbol.qty_scale);
        let best = |side| {
            let (best_price, best_qty) = hub.market.best(index, side);
            let mut lots = String::new();
            frames::put_whole(&mut lots, symbol, best_qty);
            json!([price(best_price), lots, qty(best_qty)])
        };
        let mean = stats.quote_volume.checked_div(i128::from(stats.volume));
        let mean = price(mean.and_then(|mean| i64::try_from(mean).ok()).unwrap_or(stats.last));
        let row = json!({
            "a": best(Side::Ask),
            "b": best(Side::Bid),
            "c": [price(stats.last), qty(stats.last_qty)],
            "v": [qty(stats.volume), qty(stats.volume)],
            "p": [mean, mean],
            "t": [stats.trades, stats.trades],
            "l": [price(stats.low), price(stats.low)],
            "h": [price(stats.high), price(stats.high)],
            "o": price(stats.open),
        });
        result.insert(pair_id(symbol), row);
    }
    Ok(Value::Object(result))
}

fn trades(hub: &mut Hub, query: &str) -> Answer {
    let index = one_index(hub, query)?;
    let since_ns = number(query, "since")?.unwrap_or(0);
    let count = number(query, "count")?.unwrap_or(1_000).clamp(1, 1_000) as usize;
    let symbol = hub.market.symbol(index);
    let trades = hub.market.trades(index);
    let begin = trades.partition_point(|trade| trade.time_ns <= since_ns).max(trades.len().saturating_sub(count));
    let rows: Vec<Value> = trades
        .range(begin..)
        .map(|trade| {
            let side = if trade.buyer_is_maker { "s" } else { "b" };
            let (price, qty) = (fixed(trade.price, symbol.price_scale), fixed(trade.qty, symbol.qty_scale));
            json!([price, qty, trade.time_ns as f64 / 1e9, side, "m", "", trade.id])
        })
        .collect();
    let last = trades.back().map_or(since_ns, |trade| trade.time_ns).to_string();
    Ok(json!({pair_id(symbol): rows, "last": last}))
}

fn candles(hub: &mut Hub, query: &str) -> Answer {
    let index = one_index(hub, query)?;
    let interval = number(query, "interval")?.unwrap_or(1);
    let span = INTERVALS.iter().position(|known| *known == interval).ok_or("EGeneral:Invalid arguments")?;
    let since_ms = number(query, "since")?.unwrap_or(0).saturating_mul(1_000);
    let now_ns = hub.now_ns();
    hub.market.roll(index, span, now_ns);
    let its = &SPANS[span];
    let newest_ms = its.open_ms(now_ns / 1_000_000);
    // Nothing before the autumn of 2013.
    const FIRST_MS: u64 = 1_381_000_000_000;
    let opens = std::iter::successors(Some(newest_ms), |open_ms| Some(its.previous_ms(*open_ms)));
    let mut opens: Vec<u64> = opens.take_while(|open_ms| *open_ms >= since_ms.max(FIRST_MS)).take(ROWS_MAX).collect();
    opens.reverse();
    let symbol = hub.market.symbol(index);
    let rows: Vec<Value> = opens
        .iter()
        .map(|open_ms| {
            let candle = hub.market.candle_at(index, span, *open_ms);
            let price = |mantissa| fixed(mantissa, symbol.price_scale);
            let mean = candle.quote_volume.checked_div(i128::from(candle.volume));
            let mean = mean.and_then(|mean| i64::try_from(mean).ok()).unwrap_or(candle.close);
            json!([
                open_ms / 1_000,
                price(candle.open),
                price(candle.high),
                price(candle.low),
                price(candle.close),
                price(mean),
                fixed(candle.volume, symbol.qty_scale),
                candle.trades
            ])
        })
        .collect();
    // The last row is not finished, so the next question begins at the one before it.
    Ok(json!({pair_id(symbol): rows, "last": its.previous_ms(newest_ms) / 1_000}))
}
