//! The loopback Kraken: public spot market data of its WebSocket API v2, and what belongs to it of REST.
//!
//! # As on the real venue
//! - `/v2`: `status` comes unasked, subscriptions name one channel and several symbols, and each symbol is acknowledged
//!   or refused alone. Numbers are JSON numbers with or without zeros at their end, small ones with an exponent.
//! - `book` tells each change at once, in rows that have to be applied in order; the same price may come twice. It has no
//!   numbers but a checksum of the ten best levels. Levels that others push out of the depth are not deleted, and are
//!   told again when they come back.
//! - A connection that has subscribed something hears a heartbeat in each second without anything else; one that has
//!   not is closed after a minute.
//! - 150 connections in ten minutes.
//!
//! # Other than on the real venue
//! - 20 REST requests of a kind in two seconds; the real limits are looser or stricter by the day.
//! - There is no private data: whoever wants it has an invalid session. There are no single orders (`level3`), and there
//!   is no version 1.

mod frames;
mod rest;
mod streams;

use serde_json::{Value, json};

use self::streams::Kind;
use super::hub::{ConnId, Hub, Rules};
use super::limits::{PerRoute, Sliding};
use super::market::{Event, Symbol};
use super::shown::Shown;
use super::text::pow10;
use super::venue::Protocol;
use super::wire::{HttpReply, Request};
use super::{Config, Defaults, Limits};

const SECOND: u64 = 1_000_000_000;

static RULES: Rules = Rules { paces_ns: &[0], spans: &streams::SPANS, shutdown_notice: None, salt: 0x00c2_a4e1_0000 };

/// What the venue brings along.
pub(super) fn defaults() -> Defaults {
    Defaults {
        quote: "USD",
        separator: "/",
        limits: Limits { connects_per_10min: 150, idle_ns: 60 * SECOND, requests_per_2s: 20, ..Limits::NONE },
    }
}

/// Gives quantities the eight decimals that the venue has for most coins, as far as its numbers stay small.
pub(super) fn refine(symbol: &mut Symbol) {
    const STEPS_MAX: i64 = 1_000_000_000_000;
    while symbol.qty_scale < 8 && symbol.order_steps < STEPS_MAX / 10 {
        symbol.qty_scale += 1;
        symbol.order_steps *= 10;
    }
}

/// The protocol. See the module's documentation.
#[derive(Debug)]
pub(super) struct Kraken {
    connects: Sliding,
    requests: PerRoute,
    /// What each stream of the hub is.
    kinds: Vec<Kind>,
    /// The book behind each stream of books, by the index of the stream.
    shown: Vec<Option<Shown>>,
}

impl Kraken {
    pub(super) fn new(config: &Config) -> Self {
        Kraken {
            connects: Sliding::new(config.limits.connects_per_10min, 600 * SECOND),
            requests: PerRoute::new(config.limits.requests_per_2s, 2 * SECOND),
            kinds: Vec::new(),
            shown: Vec::new(),
        }
    }
}

impl Protocol for Kraken {
    fn rules(&self) -> &'static Rules {
        &RULES
    }

    fn connect(&mut self, hub: &mut Hub, target: &str) -> Result<ConnId, HttpReply> {
        if self.connects.hit(hub.now_ns()).is_err() {
            hub.counters.connects_refused += 1;
            return Err(rest::too_many(hub));
        }
        if target.split('?').next() != Some("/v2") {
            return Err(rest::not_found(hub));
        }
        let conn = hub.open(0);
        hub.send_text(conn, frames::status(conn));
        Ok(conn)
    }

    fn on_text(&mut self, hub: &mut Hub, conn: ConnId, text: &str) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let req_id = message.get("req_id").filter(|id| id.is_i64());
        let method = message.get("method").and_then(Value::as_str);
        match (method, message.get("params")) {
            (Some("ping"), _) => {
                let answer = Answer { method: "pong", req_id, outcome: Outcome::Plain };
                hub.answer(conn, answer.text(hub.now_ns()));
            }
            (Some("subscribe"), Some(params)) => self.subscribe(hub, conn, params, req_id),
            (Some("unsubscribe"), Some(params)) => self.unsubscribe(hub, conn, params, req_id),
            (Some(method), Some(params)) if params.get("token").is_some() => {
                refuse(hub, conn, method, req_id, "ESession:Invalid session", None);
            }
            (method, _) => refuse(hub, conn, method.unwrap_or_default(), req_id, "Malformed request", None),
        }
    }

    fn on_event(&mut self, hub: &mut Hub, event: Event) {
        self.tell(hub, event);
    }

    fn on_book(&mut self, hub: &mut Hub, symbol: usize, _pace: usize) {
        self.tell_books(hub, symbol);
    }

    fn on_second(&mut self, hub: &mut Hub) {
        let now_ns = hub.now_ns();
        for conn in hub.conn_ids() {
            let silent_ns = now_ns.saturating_sub(hub.sent_ns(conn));
            if silent_ns >= hub.limits.idle_ns {
                hub.close(conn, 1000, "");
            } else if silent_ns >= SECOND && hub.subscriptions(conn).len() > 0 {
                hub.send_text(conn, "{\"channel\":\"heartbeat\"}".to_owned());
            }
        }
    }

    fn on_request(&mut self, hub: &mut Hub, request: &Request) -> HttpReply {
        self.answer_request(hub, request)
    }
}

impl Kraken {
    fn subscribe(&mut self, hub: &mut Hub, conn: ConnId, params: &Value, req_id: Option<&Value>) {
        for (symbol, wanted) in self.wanted(hub, params) {
            let symbol = symbol.as_deref();
            let (stream, mut result) = match wanted {
                Ok(wanted) => wanted,
                Err(error) => {
                    refuse(hub, conn, "subscribe", req_id, error, symbol);
                    continue;
                }
            };
            let name = hub.stream(stream).name.clone();
            if !hub.subscribe(conn, &name, Some(stream)) {
                refuse(hub, conn, "subscribe", req_id, "Already subscribed", symbol);
                continue;
            }
            let snapshot = match params.get("snapshot").and_then(Value::as_bool) {
                Some(asked) => asked,
                None => !matches!(self.kinds[stream], Kind::Trades),
            };
            result["snapshot"] = json!(snapshot);
            let answer = Answer { method: "subscribe", req_id, outcome: Outcome::Done(&result) };
            hub.answer(conn, answer.text(hub.now_ns()));
            if snapshot {
                self.tell_first(hub, conn, stream);
            }
        }
    }

    fn unsubscribe(&mut self, hub: &mut Hub, conn: ConnId, params: &Value, req_id: Option<&Value>) {
        for (symbol, wanted) in self.wanted(hub, params) {
            let symbol = symbol.as_deref();
            match wanted {
                Ok((stream, result)) => {
                    let name = hub.stream(stream).name.clone();
                    if hub.unsubscribe(conn, &name) {
                        let answer = Answer { method: "unsubscribe", req_id, outcome: Outcome::Done(&result) };
                        hub.answer(conn, answer.text(hub.now_ns()));
                    } else {
                        refuse(hub, conn, "unsubscribe", req_id, "Subscription Not Found", symbol);
                    }
                }
                Err(error) => refuse(hub, conn, "unsubscribe", req_id, error, symbol),
            }
        }
    }
}

fn refuse(hub: &mut Hub, conn: ConnId, method: &str, req_id: Option<&Value>, error: &str, symbol: Option<&str>) {
    hub.counters.bad_messages += 1;
    let answer = Answer { method, req_id, outcome: Outcome::Refused { error, symbol } };
    hub.answer(conn, answer.text(hub.now_ns()));
}

/// What a client is answered:
/// `{"method":"subscribe","result":{"channel":"book",..},"success":true,"time_in":"..","time_out":"..","req_id":1}`
struct Answer<'a> {
    method: &'a str,
    req_id: Option<&'a Value>,
    outcome: Outcome<'a>,
}

enum Outcome<'a> {
    Plain,
    Done(&'a Value),
    /// `{"error":"Currency pair not supported FOO/BAR","method":..,"success":false,"symbol":"FOO/BAR",..}`
    Refused {
        error: &'a str,
        symbol: Option<&'a str>,
    },
}

impl Answer<'_> {
    fn text(&self, now_ns: u64) -> String {
        let mut answer = match &self.outcome {
            Outcome::Plain => json!({}),
            Outcome::Done(result) => json!({"result": result, "success": true}),
            Outcome::Refused { error, symbol } => {
                let error = match symbol {
                    Some(symbol) if error.starts_with("Currency pair") => format!("{error} {symbol}"),
                    _ => (*error).to_owned(),
                };
                let mut answer = json!({"error": error, "success": false});
                if let Some(symbol) = symbol {
                    answer["symbol"] = json!(symbol);
                }
                answer
            }
        };
        if !self.method.is_empty() {
            answer["method"] = json!(self.method);
        }
        if let Some(req_id) = self.req_id {
            answer["req_id"] = req_id.clone();
        }
        // The venue needs some microseconds.
        answer["time_in"] = json!(frames::time(now_ns.saturating_sub(20_000)));
        answer["time_out"] = json!(frames::time(now_ns));
        answer.to_string()
    }
}

/// A power of ten as the venue writes a step: `0.1`, `1e-08`.
fn step(scale: u8) -> String {
    match scale {
        0 => "1.0".to_owned(),
        1..=4 => format!("0.{}1", "0".repeat(usize::from(scale) - 1)),
        _ => format!("1e-{scale:02}"),
    }
}

/// The integer `mantissa` at `scale` decimals, cut down to whole units.
fn whole(mantissa: i64, scale: u8) -> i64 {
    mantissa / i64::try_from(pow10(scale)).unwrap_or(i64::MAX)
}
