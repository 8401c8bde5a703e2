//! The REST half of the loopback binance: market data under `/api/v3`, `/sapi/v1/system/status`, and on binance.com what
//! an account asks, see `private`.

use std::fmt::Write as _;

use serde_json::Value;

use super::super::hub::Hub;
use super::super::limits::Refusal;
use super::super::market::{Side, Stats};
use super::super::text::{percent_decode, put_u64};
use super::super::wire::{HttpReply, Request};
use super::frames::{TimeUnit, partial_depth, put_id, put_mean, put_percent, put_price, put_qty, put_quote};
use super::{Binance, INTERVALS, SECOND, SPANS, ZONE_FROM, interval, private};

/// What the routes cost.
#[derive(Debug)]
pub(super) struct RouteWeights {
    exchange_info: u64,
    /// Up to 100, 500, 1000, 5000 levels.
    depth: [u64; 4],
    trades: u64,
    historical: u64,
    agg_trades: u64,
    klines: u64,
    avg_price: u64,
    /// One symbol, up to 20, up to 100, more or all.
    day: [u64; 4],
    /// One symbol, several or all.
    price: [u64; 2],
    /// Each symbol, and at most.
    rolling: [u64; 2],
}

pub(super) const WEIGHTS_2026: RouteWeights = RouteWeights {
    exchange_info: 20,
    depth: [5, 25, 50, 250],
    trades: 25,
    historical: 25,
    agg_trades: 4,
    klines: 2,
    avg_price: 2,
    day: [2, 2, 40, 80],
    price: [2, 4],
    rolling: [4, 200],
};

pub(super) const WEIGHTS_2021: RouteWeights = RouteWeights {
    exchange_info: 10,
    depth: [1, 5, 10, 50],
    trades: 1,
    historical: 5,
    agg_trades: 1,
    klines: 1,
    avg_price: 1,
    day: [1, 1, 20, 40],
    price: [1, 2],
    rolling: [2, 100],
};

/// An answer that is an error of the venue: `{"code":-1121,"msg":"Invalid symbol."}`.
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) code: i64,
    pub(super) message: String,
    /// What else there is to say, as JSON.
    pub(super) data: Option<String>,
}

pub(super) type Answer = Result<String, ApiError>;

/// Answers one route.
pub(super) type Handler = fn(&mut Binance, &mut Hub, TimeUnit, &mut Params) -> Answer;

pub(super) fn bad(code: i64, message: impl Into<String>) -> ApiError {
    ApiError { status: 400, code, message: message.into(), data: None }
}

pub(super) fn mandatory(name: &str) -> ApiError {
    bad(-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
}

pub(super) fn illegal(name: &str, range: &str) -> ApiError {
    bad(-1100, format!("Illegal characters found in parameter '{name}'; legal range is '{range}'."))
}

const SYMBOL_RANGE: &str = "^[A-Z0-9-_.]{1,20}$";

/// The parameters of a request, each read at most once.
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    sent: usize,
}

impl Params {
    pub(super) fn new(query: &str) -> Result<Self, ApiError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = percent_decode(key);
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(bad(-1101, "Duplicate values for a parameter detected."));
            }
            pairs.push((key, percent_decode(value)));
        }
        Ok(Params { sent: pairs.len(), pairs })
    }

    /// Parameters that came otherwise.
    pub(super) fn of(pairs: Vec<(String, String)>) -> Self {
        Params { sent: pairs.len(), pairs }
    }

    /// A copy of all parameters, for what reads one of them twice.
    pub(super) fn copy(&self) -> Self {
        Params { sent: self.sent, pairs: self.pairs.clone() }
    }

    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(at) = self.pairs.iter().position(|(key, _)| key == name) else { return Ok(None) };
        let (_, value) = self.pairs.swap_remove(at);
        if value.is_empty() {
            return Err(bad(-1105, format!("Parameter '{name}' was empty.")));
        }
        Ok(Some(value))
    }

    pub(super) fn int(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.take(name)? else { return Ok(None) };
        match value.parse::<u64>() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(illegal(name, "^[0-9]{1,20}$")),
        }
    }

    /// A number of rows: `default` when absent, cut down to `max`.
    pub(super) fn limit(&mut self, default: u64, max: u64) -> Result<usize, ApiError> {
        match self.int("limit")?.unwrap_or(default) {
            0 => Err(bad(-1130, "Data sent for parameter 'limit' is not valid.")),
            limit => Ok(limit.min(max) as usize),
        }
    }

    /// Every parameter that was sent has to be one that the route knows.
    pub(super) fn done(&self) -> Result<(), ApiError> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        let read = self.sent - self.pairs.len();
        let message =
            format!("Not all sent parameters were read; read '{read}' parameter(s) but was sent '{}'.", self.sent);
        Err(bad(-1104, message))
    }
}

/// Which symbols a request is about.
enum Symbols {
    One(usize),
    List(Vec<usize>),
    All,
}

impl Binance {
    /// Answers a REST request.
    pub(super) fn answer_request(&mut self, hub: &mut Hub, request: &Request) -> HttpReply {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let route = path.strip_prefix("/api/v3").or_else(|| {
            let old = path.strip_prefix("/api/v1").filter(|_| self.variant.old_paths);
            old.or_else(|| path.strip_prefix("/sapi/v1").filter(|_| self.variant.sapi).map(|_| path))
        });
        let symbol = query.split('&').find_map(|pair| pair.strip_prefix("symbol=")).unwrap_or_default();
        let verdict = hub.judge_request(path, symbol, route == Some("/depth"));
        let acts = private::rest_route(&request.method, route.unwrap_or_default()).is_some_and(|route| route.acts);
        let mut reply = match verdict.status {
            Some(status) => {
                if status == 504 && acts {
                    // Carried out, and the answer is lost on the way.
                    self.route(hub, request, route, query, false);
                }
                self.faulty(hub, status)
            }
            None => self.route(hub, request, route, query, verdict.stale),
        };
        reply.delay_ns = verdict.delay_ns;
        reply
    }

    fn route(&mut self, hub: &mut Hub, request: &Request, route: Option<&str>, query: &str, stale: bool) -> HttpReply {
        let unit = match request.header("x-mbx-time-unit").filter(|_| self.variant.micro) {
            None => TimeUnit::Milli,
            Some(text) if text.eq_ignore_ascii_case("MILLISECOND") => TimeUnit::Milli,
            Some(text) if text.eq_ignore_ascii_case("MICROSECOND") => TimeUnit::Micro,
            Some(_) => return self.bad_time_unit(hub),
        };
        let has_key = request.header("x-mbx-apikey").is_some_and(|key| !key.is_empty());
        let new = self.variant.new_rows;
        let us = self.variant.sapi;
        let private = private::rest_route(&request.method, route.unwrap_or_default()).filter(|_| new);
        let handler: Option<Handler> = match route {
            _ if private.is_some() => private.as_ref().map(|private| private.handler),
            _ if request.method != "GET" && request.method != "HEAD" => None,
            Some("/ping") => Some(|_, _, _, _| Ok("{}".to_owned())),
            Some("/time") => Some(|_, hub, unit, _| Ok(format!("{{\"serverTime\":{}}}", unit.of_ns(hub.now_ns())))),
            Some("/exchangeInfo") => Some(Binance::exchange_info),
            Some("/depth") => Some(if stale { Binance::stale_depth } else { Binance::depth }),
            Some("/trades") => Some(Binance::trades),
            Some("/historicalTrades") => Some(Binance::historical_trades),
            Some("/aggTrades") => Some(Binance::agg_trades),
            Some("/klines") => Some(Binance::klines),
            Some("/uiKlines") if new => Some(Binance::klines),
            Some("/avgPrice") => Some(Binance::avg_price),
            Some("/ticker/24hr") => Some(Binance::ticker_day),
            Some("/ticker/tradingDay") if new => Some(Binance::ticker_trading_day),
            Some("/ticker/price") => Some(Binance::ticker_price),
            Some("/ticker/bookTicker") => Some(Binance::ticker_book),
            Some("/ticker") if us => Some(Binance::ticker_rolling),
            Some("/sapi/v1/system/status") => Some(|_, _, _, _| Ok("{\"status\":0,\"msg\":\"normal\"}".to_owned())),
            _ => None,
        };
        let Some(handler) = handler else { return not_found(hub) };
        let weight = match &private {
            Some(private) => private.weight,
            None => self.weight(route.unwrap_or_default(), query),
        };
        if let Err(refusal) = self.spend(hub, weight) {
            return self.refused(hub, &refusal);
        }
        if route == Some("/historicalTrades") && !new && !has_key {
            return self.error(hub, 401, -2014, "API-key format invalid.");
        }
        let params = match private {
            Some(_) => self.signed_params(hub, request, query),
            None => Params::new(query),
        };
        let answer = params.and_then(|mut params| {
            let body = handler(self, hub, unit, &mut params)?;
            params.done()?;
            Ok(body)
        });
        match answer {
            Ok(body) => self.reply(200, body),
            Err(error) => {
                hub.counters.bad_requests += 1;
                self.reply(error.status, error.body())
            }
        }
    }

    /// Counts a request, by REST or by the WS-API.
    pub(super) fn spend(&mut self, hub: &Hub, weight: u64) -> Result<(), Refusal> {
        let now_ns = hub.now_ns();
        self.penalty.check(now_ns)?;
        let free = self.requests.spend(now_ns, 1).and_then(|_| self.weights.spend(now_ns, weight));
        free.map(|_| ()).map_err(|free_ns| self.penalty.exceed(now_ns, free_ns))
    }

    /// What a request costs, as far as its parameters can be understood.
    fn weight(&self, route: &str, query: &str) -> u64 {
        let weights = &self.variant.weights;
        let value = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let symbols = match (value("symbol"), value("symbols")) {
            (Some(_), _) => 1,
            (None, Some(list)) => list.matches(',').count() + list.matches("%2C").count() + 1,
            (None, None) => usize::MAX,
        };
        match route {
            "/exchangeInfo" => weights.exchange_info,
            "/depth" => match value("limit").and_then(|limit| limit.parse::<u64>().ok()).unwrap_or(100) {
                0..=100 => weights.depth[0],
                101..=500 => weights.depth[1],
                501..=1000 => weights.depth[2],
                _ => weights.depth[3],
            },
            "/trades" => weights.trades,
            "/historicalTrades" => weights.historical,
            "/aggTrades" => weights.agg_trades,
            "/klines" | "/uiKlines" => weights.klines,
            "/avgPrice" => weights.avg_price,
            "/ticker/24hr" => match symbols {
                1 => weights.day[0],
                2..=20 => weights.day[1],
                21..=100 => weights.day[2],
                _ => weights.day[3],
            },
            "/ticker/price" | "/ticker/bookTicker" => weights.price[usize::from(symbols != 1)],
            "/ticker" | "/ticker/tradingDay" => {
                weights.rolling[0].saturating_mul(symbols as u64).min(weights.rolling[1])
            }
            _ => 1,
        }
    }

    fn reply(&self, status: u16, body: String) -> HttpReply {
        let used = self.weights.used().to_string();
        let headers = vec![
            ("Content-Type", "application/json;charset=UTF-8".to_owned()),
            ("X-MBX-USED-WEIGHT", used.clone()),
            ("X-MBX-USED-WEIGHT-1M", used),
        ];
        HttpReply { status, headers, body, delay_ns: 0 }
    }

    /// An error of the venue itself.
    pub(super) fn error(&self, hub: &mut Hub, status: u16, code: i64, message: &str) -> HttpReply {
        hub.counters.bad_requests += 1;
        self.error_body(status, code, message)
    }

    fn error_body(&self, status: u16, code: i64, message: &str) -> HttpReply {
        self.reply(status, bad(code, message).body())
    }

    pub(super) fn bad_time_unit(&self, hub: &mut Hub) -> HttpReply {
        self.error(hub, 400, -1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
    }

    /// 429 or 418 with the time to wait.
    pub(super) fn refused(&self, hub: &mut Hub, refusal: &Refusal) -> HttpReply {
        if refusal.status == 429 {
            hub.counters.too_many += 1;
        } else {
            hub.counters.bans += u64::from(refusal.banned_now);
        }
        self.refusal(hub, refusal.status, refusal.retry_after_s, refusal.until_ns)
    }

    fn refusal(&self, hub: &Hub, status: u16, retry_after_s: u64, until_ns: u64) -> HttpReply {
        let message = if status == 418 {
            format!(
                "Way too much request weight used; IP banned until {}. Please use WebSocket Streams for live updates to \
                 avoid bans.",
                until_ns / 1_000_000
            )
        } else {
            format!(
                "Too much request weight used; current limit is {} request weight per 1 MINUTE. Please use WebSocket \
                 Streams for live updates to avoid polling the API.",
                hub.limits.weight_per_min
            )
        };
        let mut reply = self.error_body(status, -1003, &message);
        reply.headers.push(("Retry-After", retry_after_s.to_string()));
        reply
    }

    /// The answer of a scripted fault.
    fn faulty(&self, hub: &Hub, status: u16) -> HttpReply {
        match status {
            418 | 429 => self.refusal(hub, status, 1, hub.now_ns() + SECOND),
            500..=599 => {
                let body = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>");
                let headers = vec![("Content-Type", "text/html".to_owned())];
                HttpReply { status, headers, body, delay_ns: 0 }
            }
            _ => self.error_body(status, -1000, "An unknown error occurred while processing the request."),
        }
    }

    pub(super) fn symbol_named(&self, hub: &Hub, name: &str, parameter: &str) -> Result<usize, ApiError> {
        let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 20 || !name.bytes().all(legal) {
            return Err(illegal(parameter, SYMBOL_RANGE));
        }
        hub.market.index(name).ok_or_else(|| bad(-1121, "Invalid symbol."))
    }

    pub(super) fn symbol(&self, hub: &Hub, params: &mut Params) -> Result<usize, ApiError> {
        let name = params.take("symbol")?.ok_or_else(|| mandatory("symbol"))?;
        self.symbol_named(hub, &name, "symbol")
    }

    fn symbols(&self, hub: &Hub, params: &mut Params) -> Result<Symbols, ApiError> {
        let one = params.take("symbol")?;
        let list = params.take("symbols")?;
        match (one, list) {
            (Some(_), Some(_)) => Err(bad(-1128, "Combination of optional parameters invalid.")),
            (Some(name), None) => Ok(Symbols::One(self.symbol_named(hub, &name, "symbol")?)),
            (None, None) => Ok(Symbols::All),
            (None, Some(list)) => {
                let range = "^\\[(\"[A-Z0-9-_.]{1,20}\"(,\"[A-Z0-9-_.]{1,20}\"){0,}){0,1}\\]$";
                let Ok(Value::Array(names)) = serde_json::from_str(&list) else {
                    return Err(illegal("symbols", range));
                };
                let mut indices = Vec::with_capacity(names.len());
                for name in &names {
                    let name = name.as_str().ok_or_else(|| illegal("symbols", range))?;
                    let index = self.symbol_named(hub, name, "symbols")?;
                    if indices.contains(&index) {
                        return Err(bad(-1151, "Symbol is present multiple times in the list."));
                    }
                    indices.push(index);
                }
                Ok(Symbols::List(indices))
            }
        }
    }

    fn depth(&mut self, hub: &mut Hub, _unit: TimeUnit, params: &mut Params) -> Answer {
        self.book_snapshot(hub, params, false)
    }

    fn stale_depth(&mut self, hub: &mut Hub, _unit: TimeUnit, params: &mut Params) -> Answer {
        self.book_snapshot(hub, params, true)
    }

    fn book_snapshot(&mut self, hub: &mut Hub, params: &mut Params, stale: bool) -> Answer {
        let index = self.symbol(hub, params)?;
        let limit = params.limit(100, 5_000)?;
        if self.variant.old_paths && ![5, 10, 20, 50, 100, 500, 1000, 5000].contains(&limit) {
            return Err(illegal("limit", "5, 10, 20, 50, 100, 500, 1000, 5000"));
        }
        let mix = &self.snapshot;
        let (now, last, recent) = (mix.now, mix.last, mix.recent);
        let total = now.saturating_add(last).saturating_add(recent).saturating_add(mix.old).max(1);
        let at = hub.rng.u32(..total);
        // How many batches back; none for the middle of the batch.
        let back = if stale || at >= now + last + recent {
            Some(hub.rng.usize(30..61))
        } else if at < now {
            None
        } else if at < now + last {
            Some(0)
        } else {
            Some(hub.rng.usize(1..11))
        };
        let marks = hub.market.marks(index);
        let id = back.and_then(|back| {
            let oldest = marks.len().saturating_sub(1);
            hub.market.marks(index).rev().nth(back.min(oldest))
        });
        let truth = id.and_then(|id| hub.market.truth_levels_at(index, id)).unwrap_or_else(|| hub.market.truth(index));
        let mut body = String::with_capacity(64 + 30 * (truth.bids.len() + truth.asks.len()));
        let side = |levels: Vec<(i64, i64)>| levels.into_iter().take(limit);
        partial_depth(&mut body, hub.market.symbol(index), truth.update_id, side(truth.bids), side(truth.asks));
        Ok(body)
    }

    fn trades(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let index = self.symbol(hub, params)?;
        let limit = params.limit(500, 1_000)?;
        Ok(trade_rows(hub, index, None, limit, unit))
    }

    fn historical_trades(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let index = self.symbol(hub, params)?;
        let limit = params.limit(500, 1_000)?;
        let from = params.int("fromId")?;
        Ok(trade_rows(hub, index, from, limit, unit))
    }

    fn agg_trades(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let index = self.symbol(hub, params)?;
        let limit = params.limit(500, 1_000)?;
        let (from, start_ms, end_ms) = (params.int("fromId")?, params.int("startTime")?, params.int("endTime")?);
        let symbol = hub.market.symbol(index);
        let aggs = hub.market.agg_trades(index);
        let time_ms = |ns: u64| ns / 1_000_000;
        let end = end_ms.map_or(aggs.len(), |end_ms| aggs.partition_point(|agg| time_ms(agg.time_ns) <= end_ms));
        let begin = match (from, start_ms) {
            (Some(from), _) => aggs.partition_point(|agg| agg.id < from),
            (None, Some(start_ms)) => aggs.partition_point(|agg| time_ms(agg.time_ns) < start_ms),
            (None, None) => end.saturating_sub(limit),
        };
        let mut out = String::from("[");
        for (i, agg) in aggs.range(begin.min(end)..end).take(limit).enumerate() {
            out.push_str(if i > 0 { ",{\"a\":" } else { "{\"a\":" });
            put_u64(&mut out, agg.id);
            out.push_str(",\"p\":\"");
            put_price(&mut out, symbol, agg.price);
            out.push_str("\",\"q\":\"");
            put_qty(&mut out, symbol, agg.qty);
            let _ = write!(
                out,
                "\",\"f\":{},\"l\":{},\"T\":{},\"m\":{},\"M\":true}}",
                agg.first,
                agg.last,
                unit.of_ns(agg.time_ns),
                agg.buyer_is_maker
            );
        }
        out.push(']');
        Ok(out)
    }

    fn klines(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let now_ns = hub.now_ns();
        let index = self.symbol(hub, params)?;
        let name = params.take("interval")?.ok_or_else(|| mandatory("interval"))?;
        let limit = params.limit(500, 1_000)?;
        let (start_ms, end_ms) = (params.int("startTime")?, params.int("endTime")?);
        let zone = match params.take("timeZone")?.as_deref() {
            None | Some("0" | "00:00" | "+00:00") => false,
            Some("8" | "+8" | "08:00" | "+08:00") if self.variant.short_klines => true,
            Some(_) => return Err(bad(-1130, "Data sent for parameter 'timeZone' is not valid.")),
        };
        // Candles of a second exist in UTC only by name; streams know no zone for them, requests do not care.
        let zone = zone && INTERVALS[ZONE_FROM..].contains(&name.as_str());
        let span = interval(&name, zone, self.variant).ok_or_else(|| bad(-1120, "Invalid interval."))?;
        let its = &SPANS[span];
        // Nothing before the summer of 2017, when the real venue opened.
        const FIRST_MS: u64 = 1_500_000_000_000;
        let now_ms = now_ns / 1_000_000;
        let until_ms = end_ms.unwrap_or(now_ms).min(now_ms);
        let mut opens = Vec::new();
        match start_ms {
            Some(start_ms) => {
                let start_ms = start_ms.max(FIRST_MS);
                let mut open_ms = its.open_ms(start_ms.min(now_ms));
                if open_ms < start_ms {
                    open_ms = its.next_ms(open_ms);
                }
                while open_ms <= until_ms && opens.len() < limit {
                    opens.push(open_ms);
                    open_ms = its.next_ms(open_ms);
                }
            }
            None => {
                let mut open_ms = its.open_ms(until_ms);
                while open_ms >= FIRST_MS && opens.len() < limit {
                    opens.push(open_ms);
                    open_ms = its.previous_ms(open_ms);
                }
                opens.reverse();
            }
        }
        hub.market.roll(index, span, now_ns);
        let symbol = hub.market.symbol(index);
        let mut out = String::from("[");
        for (i, open_ms) in opens.into_iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            let candle = hub.market.candle_at(index, span, open_ms);
            out.push('[');
            put_u64(&mut out, unit.of_ms(open_ms));
            for price in [candle.open, candle.high, candle.low, candle.close] {
                out.push_str(",\"");
                put_price(&mut out, symbol, price);
                out.push('"');
            }
            out.push_str(",\"");
            put_qty(&mut out, symbol, candle.volume);
            out.push_str("\",");
            put_u64(&mut out, unit.before_ms(its.next_ms(open_ms)));
            out.push_str(",\"");
            put_quote(&mut out, symbol, candle.quote_volume);
            out.push_str("\",");
            put_u64(&mut out, candle.trades);
            out.push_str(",\"");
            put_qty(&mut out, symbol, candle.taker_volume);
            out.push_str("\",\"");
            put_quote(&mut out, symbol, candle.taker_quote_volume);
            out.push_str("\",\"0\"]");
        }
        out.push(']');
        Ok(out)
    }

    fn avg_price(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let now_ns = hub.now_ns();
        let index = self.symbol(hub, params)?;
        let stats = hub.market.stats(index, 300_000, now_ns);
        let mut out = String::from("{\"mins\":5,\"price\":\"");
        put_mean(&mut out, hub.market.symbol(index), stats.quote_volume, stats.volume, stats.last);
        out.push('"');
        if self.variant.new_rows {
            let _ = write!(out, ",\"closeTime\":{}", unit.of_ns(hub.market.last_trade(index).time_ns));
        }
        out.push('}');
        Ok(out)
    }

    /// `type=MINI` leaves out what is costly to compute.
    fn is_mini(&self, params: &mut Params) -> Result<bool, ApiError> {
        match params.take("type")?.as_deref() {
            None | Some("FULL") => Ok(false),
            Some("MINI") => Ok(true),
            Some(_) => Err(bad(-1139, "Invalid ticker type.")),
        }
    }

    fn ticker_day(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let now_ns = hub.now_ns();
        let mini = self.variant.new_rows && self.is_mini(params)?;
        let symbols = self.symbols(hub, params)?;
        let close_ms = now_ns / 1_000_000;
        let times = (close_ms.saturating_sub(86_400_000), close_ms);
        let parts = if mini { Parts::Mini } else { Parts::Day };
        Ok(each(hub, symbols, |hub, out, index| {
            let stats = hub.market.stats(index, 86_400_000, now_ns);
            ticker_row(hub, out, index, &stats, times, unit, parts);
        }))
    }

    fn ticker_trading_day(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let now_ns = hub.now_ns();
        let mini = self.is_mini(params)?;
        let Some(symbols) = some(self.symbols(hub, params)?) else { return Err(mandatory("symbol")) };
        let now_ms = now_ns / 1_000_000;
        let open_ms = now_ms - now_ms % 86_400_000;
        let parts = if mini { Parts::Mini } else { Parts::Rolling };
        Ok(each(hub, symbols, |hub, out, index| {
            let stats = hub.market.stats(index, now_ms - open_ms, now_ns);
            ticker_row(hub, out, index, &stats, (open_ms, open_ms + 86_399_999), unit, parts);
        }))
    }

    fn ticker_rolling(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let now_ns = hub.now_ns();
        let mini = self.is_mini(params)?;
        let window = params.take("windowSize")?.unwrap_or_else(|| "1d".to_owned());
        let window_ms =
            window_ms(&window).ok_or_else(|| bad(-1130, "Data sent for parameter 'windowSize' is not valid."))?;
        let Some(symbols) = some(self.symbols(hub, params)?) else {
            return Err(bad(-1102, "Param 'symbol' or 'symbols' must be sent, but both were empty/null!"));
        };
        let close_ms = now_ns / 1_000_000;
        let open_ms = close_ms.saturating_sub(window_ms);
        let times = (open_ms - open_ms % 60_000, close_ms);
        let parts = if mini { Parts::Mini } else { Parts::Rolling };
        Ok(each(hub, symbols, |hub, out, index| {
            let stats = hub.market.stats(index, window_ms, now_ns);
            ticker_row(hub, out, index, &stats, times, unit, parts);
        }))
    }

    fn ticker_price(&mut self, hub: &mut Hub, _unit: TimeUnit, params: &mut Params) -> Answer {
        let symbols = self.symbols(hub, params)?;
        Ok(each(hub, symbols, |hub, out, index| {
            let symbol = hub.market.symbol(index);
            let _ = write!(out, "{{\"symbol\":\"{}\",\"price\":\"", symbol.name);
            put_price(out, symbol, hub.market.last_trade(index).price);
            out.push_str("\"}");
        }))
    }

    fn ticker_book(&mut self, hub: &mut Hub, _unit: TimeUnit, params: &mut Params) -> Answer {
        let symbols = self.symbols(hub, params)?;
        Ok(each(hub, symbols, |hub, out, index| {
            let symbol = hub.market.symbol(index);
            let _ = write!(out, "{{\"symbol\":\"{}\"", symbol.name);
            for (side, price_key, qty_key) in [(Side::Bid, "bidPrice", "bidQty"), (Side::Ask, "askPrice", "askQty")] {
                let (price, qty) = hub.market.best(index, side);
                let _ = write!(out, ",\"{price_key}\":\"");
                put_price(out, symbol, price);
                let _ = write!(out, "\",\"{qty_key}\":\"");
                put_qty(out, symbol, qty);
                out.push('"');
            }
            out.push('}');
        }))
    }

    fn exchange_info(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let now_ns = hub.now_ns();
        let permissions = params.take("permissions")?;
        let show_sets = params.take("showPermissionSets")?.as_deref() != Some("false");
        let status = params.take("symbolStatus")?;
        let symbols = self.symbols(hub, params)?;
        if !matches!(symbols, Symbols::All) && permissions.is_some() {
            return Err(bad(-1128, "Combination of optional parameters invalid."));
        }
        let spot = permissions.as_deref().is_none_or(|text| text.contains("SPOT") || text.contains("MARGIN"));
        let trading = match status.as_deref() {
            None | Some("TRADING") => true,
            Some("HALT" | "BREAK" | "CANCEL_ONLY") => false,
            Some(_) => return Err(bad(-1122, "Invalid symbolStatus.")),
        };
        let mut out = String::from("{\"timezone\":\"UTC\",\"serverTime\":");
        put_u64(&mut out, unit.of_ns(now_ns));
        let limits = &hub.limits;
        let orders = if self.variant.new_rows { (50, 160_000) } else { (100, 200_000) };
        let _ = write!(
            out,
            ",\"rateLimits\":[{{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\
             \"limit\":{}}},{{\"rateLimitType\":\"ORDERS\",\"interval\":\"SECOND\",\"intervalNum\":10,\"limit\":{}}},\
             {{\"rateLimitType\":\"ORDERS\",\"interval\":\"DAY\",\"intervalNum\":1,\"limit\":{}}},\
             {{\"rateLimitType\":\"RAW_REQUESTS\",\"interval\":\"MINUTE\",\"intervalNum\":5,\"limit\":{}}}],\
             \"exchangeFilters\":[],\"symbols\":",
            limits.weight_per_min, orders.0, orders.1, limits.requests_per_5min
        );
        let indices = match symbols {
            _ if !spot || !trading => Vec::new(),
            Symbols::One(index) => vec![index],
            Symbols::List(indices) => indices,
            Symbols::All => (0..hub.market.len()).collect(),
        };
        out.push('[');
        for (i, index) in indices.into_iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            self.market_row(hub, &mut out, index, show_sets);
        }
        out.push_str("]}");
        Ok(out)
    }

    /// One row of `symbols`, in the order of members that the venue uses.
    fn market_row(&self, hub: &Hub, out: &mut String, index: usize, show_sets: bool) {
        let symbol = hub.market.symbol(index);
        let new = self.variant.new_rows;
        let _ = write!(
            out,
            "{{\"symbol\":\"{}\",\"status\":\"TRADING\",\"baseAsset\":\"{}\",\"baseAssetPrecision\":8,\
             \"quoteAsset\":\"{}\",\"quotePrecision\":8,\"quoteAssetPrecision\":8,\"baseCommissionPrecision\":8,\
             \"quoteCommissionPrecision\":8,\"orderTypes\":[\"LIMIT\",\"LIMIT_MAKER\",\"MARKET\",\"STOP_LOSS_LIMIT\",\
             \"TAKE_PROFIT_LIMIT\"],\"icebergAllowed\":true,\"ocoAllowed\":true,",
            symbol.name, symbol.base, symbol.quote
        );
        if new {
            out.push_str("\"otoAllowed\":true,\"opoAllowed\":true,");
        }
        out.push_str("\"quoteOrderQtyMarketAllowed\":true,");
        if new {
            out.push_str(
                "\"allowTrailingStop\":true,\"cancelReplaceAllowed\":true,\"amendAllowed\":true,\
                 \"pegInstructionsAllowed\":true,",
            );
        }
        out.push_str("\"isSpotTradingAllowed\":true,\"isMarginTradingAllowed\":false,\"filters\":[");
        let price = |out: &mut String, key: &str, mantissa: i64| {
            let _ = write!(out, ",\"{key}\":\"");
            put_price(out, symbol, mantissa);
            out.push('"');
        };
        let qty = |out: &mut String, key: &str, mantissa: i64| {
            let _ = write!(out, ",\"{key}\":\"");
            put_qty(out, symbol, mantissa);
            out.push('"');
        };
        out.push_str("{\"filterType\":\"PRICE_FILTER\"");
        price(out, "minPrice", symbol.tick);
        price(out, "maxPrice", symbol.price.saturating_mul(1_000) / symbol.tick * symbol.tick);
        price(out, "tickSize", symbol.tick);
        if !new {
            out.push_str("},{\"filterType\":\"PERCENT_PRICE\",\"multiplierUp\":\"5\",\"multiplierDown\":\"0.2\",\"avgPriceMins\":5");
        }
        out.push_str("},{\"filterType\":\"LOT_SIZE\"");
        qty(out, "minQty", symbol.step);
        qty(out, "maxQty", symbol.step.saturating_mul(symbol.order_steps).saturating_mul(10_000));
        qty(out, "stepSize", symbol.step);
        if !new {
            out.push_str(
                "},{\"filterType\":\"MIN_NOTIONAL\",\"minNotional\":\"10.00000000\",\"applyToMarket\":true,\
                 \"avgPriceMins\":5",
            );
        }
        out.push_str("},{\"filterType\":\"ICEBERG_PARTS\",\"limit\":10},{\"filterType\":\"MARKET_LOT_SIZE\"");
        qty(out, "minQty", 0);
        qty(out, "maxQty", symbol.step.saturating_mul(symbol.order_steps).saturating_mul(100));
        qty(out, "stepSize", 0);
        if new {
            out.push_str(
                "},{\"filterType\":\"TRAILING_DELTA\",\"minTrailingAboveDelta\":10,\"maxTrailingAboveDelta\":2000,\
                 \"minTrailingBelowDelta\":10,\"maxTrailingBelowDelta\":2000},{\"filterType\":\"PERCENT_PRICE_BY_SIDE\",\
                 \"bidMultiplierUp\":\"5\",\"bidMultiplierDown\":\"0.2\",\"askMultiplierUp\":\"5\",\
                 \"askMultiplierDown\":\"0.2\",\"avgPriceMins\":5},{\"filterType\":\"NOTIONAL\",\
                 \"minNotional\":\"5.00000000\",\"applyMinToMarket\":true,\"maxNotional\":\"9000000.00000000\",\
                 \"applyMaxToMarket\":false,\"avgPriceMins\":5",
            );
        }
        out.push_str("},{\"filterType\":\"MAX_NUM_ORDERS\",\"maxNumOrders\":200},{\"filterType\":\"MAX_NUM_ALGO_ORDERS\",\"maxNumAlgoOrders\":5}]");
        if !new {
            out.push_str(",\"permissions\":[\"SPOT\"]}");
            return;
        }
        out.push_str(",\"permissions\":[]");
        if show_sets {
            out.push_str(",\"permissionSets\":[[\"SPOT\"]]");
        }
        out.push_str(
            ",\"defaultSelfTradePreventionMode\":\"EXPIRE_MAKER\",\"allowedSelfTradePreventionModes\":\
             [\"EXPIRE_TAKER\",\"EXPIRE_MAKER\",\"EXPIRE_BOTH\",\"DECREMENT\"]}",
        );
    }
}

/// One object for one symbol, an array otherwise.
fn each(hub: &mut Hub, symbols: Symbols, mut write: impl FnMut(&mut Hub, &mut String, usize)) -> String {
    let mut out = String::new();
    let indices = match symbols {
        Symbols::One(index) => {
            write(hub, &mut out, index);
            return out;
        }
        Symbols::List(indices) => indices,
        Symbols::All => (0..hub.market.len()).collect(),
    };
    out.push('[');
    for (i, index) in indices.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(hub, &mut out, index);
    }
    out.push(']');
    out
}

fn trade_rows(hub: &Hub, index: usize, from: Option<u64>, limit: usize, unit: TimeUnit) -> String {
    let trades = hub.market.trades(index);
    let symbol = hub.market.symbol(index);
    let begin = match from {
        Some(from) => trades.partition_point(|trade| trade.id < from),
        None => trades.len().saturating_sub(limit),
    };
    let mut out = String::from("[");
    for (i, trade) in trades.range(begin..).take(limit).enumerate() {
        out.push_str(if i > 0 { ",{\"id\":" } else { "{\"id\":" });
        put_u64(&mut out, trade.id);
        out.push_str(",\"price\":\"");
        put_price(&mut out, symbol, trade.price);
        out.push_str("\",\"qty\":\"");
        put_qty(&mut out, symbol, trade.qty);
        out.push_str("\",\"quoteQty\":\"");
        put_quote(&mut out, symbol, i128::from(trade.price) * i128::from(trade.qty));
        out.push_str("\",\"time\":");
        put_u64(&mut out, unit.of_ns(trade.time_ns));
        let _ = write!(out, ",\"isBuyerMaker\":{},\"isBestMatch\":true}}", trade.buyer_is_maker);
    }
    out.push(']');
    out
}

fn ticker_row(
    hub: &Hub,
    out: &mut String,
    index: usize,
    stats: &Stats,
    times: (u64, u64),
    unit: TimeUnit,
    parts: Parts,
) {
    let symbol = hub.market.symbol(index);
    let price = |out: &mut String, key: &str, mantissa: i64| {
        let _ = write!(out, ",\"{key}\":\"");
        put_price(out, symbol, mantissa);
        out.push('"');
    };
    let qty = |out: &mut String, key: &str, mantissa: i64| {
        let _ = write!(out, ",\"{key}\":\"");
        put_qty(out, symbol, mantissa);
        out.push('"');
    };
    out.push_str("{\"symbol\":\"");
    out.push_str(&symbol.name);
    out.push('"');
    if parts != Parts::Mini {
        price(out, "priceChange", stats.last - stats.open);
        out.push_str(",\"priceChangePercent\":\"");
        put_percent(out, stats);
        out.push_str("\",\"weightedAvgPrice\":\"");
        put_mean(out, symbol, stats.quote_volume, stats.volume, stats.last);
        out.push('"');
    }
    if parts == Parts::Day {
        let (bid, ask) = (hub.market.best(index, Side::Bid), hub.market.best(index, Side::Ask));
        price(out, "prevClosePrice", stats.previous);
        price(out, "lastPrice", stats.last);
        qty(out, "lastQty", stats.last_qty);
        price(out, "bidPrice", bid.0);
        qty(out, "bidQty", bid.1);
        price(out, "askPrice", ask.0);
        qty(out, "askQty", ask.1);
    }
    price(out, "openPrice", stats.open);
    price(out, "highPrice", stats.high);
    price(out, "lowPrice", stats.low);
    if parts != Parts::Day {
        price(out, "lastPrice", stats.last);
    }
    qty(out, "volume", stats.volume);
    out.push_str(",\"quoteVolume\":\"");
    put_quote(out, symbol, stats.quote_volume);
    let _ = write!(out, "\",\"openTime\":{},\"closeTime\":{}", unit.of_ms(times.0), unit.of_ms(times.1));
    out.push_str(",\"firstId\":");
    put_id(out, stats.first);
    out.push_str(",\"lastId\":");
    put_id(out, stats.last_id);
    let _ = write!(out, ",\"count\":{}}}", stats.trades);
}

/// The venue's answer to unknown paths is not JSON.
pub(super) fn not_found(hub: &mut Hub) -> HttpReply {
    hub.counters.bad_requests += 1;
    let headers = vec![("Content-Type", "text/html".to_owned())];
    HttpReply { status: 404, headers, body: "<html><body><h2>404 Not found</h2></body></html>".to_owned(), delay_ns: 0 }
}

/// Which members a ticker row has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    Day,
    Rolling,
    Mini,
}

fn some(symbols: Symbols) -> Option<Symbols> {
    match symbols {
        Symbols::All => None,
        symbols => Some(symbols),
    }
}

/// `1m` to `59m`, `1h` to `23h`, `1d` to `7d`.
fn window_ms(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "m" if (1..=59).contains(&number) => Some(number * 60_000),
        "h" if (1..=23).contains(&number) => Some(number * 3_600_000),
        "d" if (1..=7).contains(&number) => Some(number * 86_400_000),
        _ => None,
    }
}
