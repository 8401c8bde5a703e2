//! The REST half of the loopback OKX: public data under `/api/v5/public` and `/api/v5/market`, and the door to what is
//! the account's.

use serde_json::Value;

use super::super::hub::Hub;
use super::super::market::Side;
use super::super::text::put_string;
use super::super::wire::{HttpReply, Request};
use super::auth::keys;
use super::orders::{BATCH_MAX, OPS};
use super::streams::SPANS;
use super::{Okex, frames, history, span};

/// Rows of candles and trades in one answer, at most.
const ROWS_MAX: usize = 500;

/// An answer that is an error: code and message.
pub(super) type Answer = Result<String, (u32, String)>;

pub(super) type Handler = fn(&mut Hub, &Query<'_>) -> Answer;

const ROUTES: [(&str, Handler); 10] = [
    ("/api/v5/public/time", time),
    ("/api/v5/public/instruments", instruments),
    ("/api/v5/system/status", |_, _| Ok(String::new())),
    ("/api/v5/market/books", books),
    ("/api/v5/market/ticker", ticker),
    ("/api/v5/market/tickers", tickers),
    ("/api/v5/market/trades", trades),
    ("/api/v5/market/history-trades", trades),
    ("/api/v5/market/candles", candles),
    ("/api/v5/market/history-candles", candles),
];

pub(super) struct Query<'a>(&'a str);

impl Query<'_> {
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value).filter(|value| !value.is_empty())
    }

    pub(super) fn needed(&self, name: &str) -> Result<&str, (u32, String)> {
        self.value(name).ok_or_else(|| (50014, format!("Parameter {name} can not be empty")))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, (u32, String)> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| (51000, format!("Parameter {name} error")))
    }

    pub(super) fn symbol(&self, hub: &Hub) -> Result<usize, (u32, String)> {
        let name = self.needed("instId")?;
        hub.market.index(name).ok_or_else(|| (51001, "Instrument ID doesn't exist.".to_owned()))
    }
}

impl Okex {
    /// Answers a REST request.
    pub(super) fn answer_request(&mut self, hub: &mut Hub, request: &Request) -> HttpReply {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let query = Query(query);
        let symbol = query.value("instId").unwrap_or_default();
        let verdict = hub.judge_request(path, symbol, path == "/api/v5/market/books");
        let mut reply = match verdict.status {
            Some(429) => refusal(429, 50011, "Too Many Requests"),
            Some(status) => refusal(status, 50001, "Service temporarily unavailable. Try again later"),
            None => self.route(hub, request, path, &query),
        };
        reply.delay_ns = verdict.delay_ns;
        reply
    }

    fn route(&mut self, hub: &mut Hub, request: &Request, path: &str, query: &Query<'_>) -> HttpReply {
        let public = ROUTES.iter().find(|(route, _)| *route == path);
        let private = history::ROUTES.iter().find(|(route, _)| *route == path);
        let order = OPS.iter().find(|(_, route, ..)| *route == path);
        let Some(route) = public.or(private).map(|(route, _)| *route).or(order.map(|(_, route, ..)| *route)) else {
            return not_found(hub);
        };
        let is_post = request.method == "POST" && order.is_some();
        if !is_post && (request.method != "GET" || public.or(private).is_none()) {
            hub.counters.bad_requests += 1;
            return refusal(405, 50115, "Invalid request method.");
        }
        if !self.requests.hit(route, hub.now_ns()) {
            return too_many(hub);
        }
        if public.is_none()
            && let Err((code, words)) = keys(hub).check_request(request, hub.now_ns())
        {
            hub.counters.bad_requests += 1;
            return refusal(401, code, &words);
        }
        let rows = match (order, public.or(private)) {
            (Some((.., op, many)), _) if is_post => match read_args(&request.body, *many) {
                Ok(args) => {
                    let (done, time_us) = (self.carry_out(hub, *op, &args), hub.now_ns() / 1_000);
                    return reply(200, format!("{{{done},\"inTime\":\"{time_us}\",\"outTime\":\"{time_us}\"}}"));
                }
                Err(wrong) => Err(wrong),
            },
            (_, Some((_, handler))) => handler(hub, query),
            _ => return not_found(hub),
        };
        match rows {
            Ok(rows) => reply(200, format!("{{\"code\":\"0\",\"msg\":\"\",\"data\":[{rows}]}}")),
            Err((code, message)) => {
                hub.counters.bad_requests += 1;
                refusal(200, code, &message)
            }
        }
    }
}

/// The object of a body, or the objects of its list.
fn read_args(body: &[u8], many: bool) -> Result<Vec<Value>, (u32, String)> {
    match (serde_json::from_slice(body), many) {
        (Ok(Value::Array(args)), true) if (1..=BATCH_MAX).contains(&args.len()) => Ok(args),
        (Ok(object @ Value::Object(_)), false) => Ok(vec![object]),
        (Ok(_), _) => Err((51000, "Parameter body error".to_owned())),
        (Err(_), _) => Err((50002, "JSON syntax error".to_owned())),
    }
}

/// 429 for too many requests, or connections.
pub(super) fn too_many(hub: &mut Hub) -> HttpReply {
    hub.counters.too_many += 1;
    refusal(429, 50011, "Too Many Requests")
}

pub(super) fn not_found(hub: &mut Hub) -> HttpReply {
    hub.counters.bad_requests += 1;
    refusal(404, 404, "Not Found")
}

fn refusal(status: u16, code: u32, message: &str) -> HttpReply {
    let mut body = format!("{{\"code\":\"{code}\",\"msg\":");
    put_string(&mut body, message);
    body.push_str(",\"data\":[]}");
    reply(status, body)
}

fn reply(status: u16, body: String) -> HttpReply {
    HttpReply { status, headers: vec![("Content-Type", "application/json".to_owned())], body, delay_ns: 0 }
}

/// Puts commas between rows.
pub(super) fn joined<T>(rows: impl Iterator<Item = T>, mut write: impl FnMut(&mut String, T)) -> String {
    let mut out = String::new();
    for (i, row) in rows.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(&mut out, row);
    }
    out
}

fn time(hub: &mut Hub, _query: &Query<'_>) -> Answer {
    Ok(format!("{{\"ts\":\"{}\"}}", hub.now_ns() / 1_000_000))
}

fn instruments(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let inst_type = inst_type(query)?;
    if inst_type == "OPTION" && query.value("uly").or_else(|| query.value("instFamily")).is_none() {
        return Err((50014, "Parameter uly can not be empty".to_owned()));
    }
    let only = query.value("instId").map(|_| query.symbol(hub)).transpose()?;
    let rows = of_type(hub, inst_type).into_iter().filter(|index| only.is_none_or(|only| only == *index));
    Ok(joined(rows, |out, index| frames::instrument_row(out, &hub.market, index)))
}

fn books(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let index = query.symbol(hub)?;
    let depth = query.number("sz")?.unwrap_or(1).min(400) as usize;
    let symbol = hub.market.symbol(index);
    let mut out = String::from("{\"asks\":");
    frames::put_levels(&mut out, symbol, hub.market.levels(index, Side::Ask).take(depth));
    out.push_str(",\"bids\":");
    frames::put_levels(&mut out, symbol, hub.market.levels(index, Side::Bid).take(depth));
    out.push_str(&format!(",\"ts\":\"{}\"}}", hub.now_ns() / 1_000_000));
    Ok(out)
}

fn ticker_rows(hub: &mut Hub, rows: impl Iterator<Item = usize>) -> String {
    const DAY_MS: u64 = 86_400_000;
    let now_ns = hub.now_ns();
    joined(rows, |out, index| {
        let stats = hub.market.stats(index, DAY_MS, now_ns);
        frames::ticker_row(out, &hub.market, index, &stats, now_ns);
    })
}

fn ticker(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let index = query.symbol(hub)?;
    Ok(ticker_rows(hub, std::iter::once(index)))
}

fn tickers(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let rows = of_type(hub, inst_type(query)?);
    Ok(ticker_rows(hub, rows.into_iter()))
}

pub(super) fn inst_type<'a>(query: &'a Query<'_>) -> Result<&'a str, (u32, String)> {
    let inst_type = query.needed("instType")?;
    let known = frames::INST_TYPES.contains(&inst_type);
    known.then_some(inst_type).ok_or((51000, "Parameter instType error".to_owned()))
}

/// Indices of the markets of a kind.
fn of_type(hub: &Hub, inst_type: &str) -> Vec<usize> {
    (0..hub.market.len()).filter(|index| frames::inst_type(hub.market.symbol(*index)) == inst_type).collect()
}

/// Newest first.
fn trades(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let index = query.symbol(hub)?;
    let limit = query.number("limit")?.unwrap_or(100).min(ROWS_MAX as u64) as usize;
    let rows = hub.market.trades(index).iter().rev().take(limit);
    Ok(joined(rows, |out, trade| frames::trade_row(out, hub.market.symbol(index), trade)))
}

/// Newest first; `after` asks for older ones, `before` for newer ones.
fn candles(hub: &mut Hub, query: &Query<'_>) -> Answer {
    let index = query.symbol(hub)?;
    let bar = query.value("bar").unwrap_or("1m");
    let span = span(bar).ok_or((51000, "Parameter bar error".to_owned()))?;
    let limit = query.number("limit")?.unwrap_or(100).clamp(1, 300) as usize;
    let (after, before) = (query.number("after")?, query.number("before")?.unwrap_or(0));
    let now_ns = hub.now_ns();
    hub.market.roll(index, span, now_ns);
    let its = &SPANS[span];
    let newest_ms = its.open_ms(now_ns / 1_000_000);
    let from_ms = match after {
        Some(after) if after <= newest_ms => its.previous_ms(its.next_ms(its.open_ms(after.saturating_sub(1)))),
        _ => newest_ms,
    };
    // Nothing before the summer of 2017.
    const FIRST_MS: u64 = 1_500_000_000_000;
    let opens = std::iter::successors(Some(from_ms), |open_ms| Some(its.previous_ms(*open_ms)));
    let opens = opens.take_while(|open_ms| *open_ms > before.max(FIRST_MS)).take(limit);
    Ok(joined(opens, |out, open_ms| {
        let candle = hub.market.candle_at(index, span, open_ms);
        frames::candle_row(out, hub.market.symbol(index), &candle, open_ms < newest_ms);
    }))
}
