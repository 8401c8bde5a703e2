//! The WS-API of the loopback binance.com: requests of an account on a socket, and its user data stream.

use std::fmt::Write as _;

use serde_json::Value;

use super::super::account::Event;
use super::super::hub::{ConnId, Hub};
use super::super::limits::Refusal;
use super::super::text::put_string;
use super::frames::TimeUnit;
use super::private::{Route, ws_route};
use super::rest::{Answer, ApiError, Params, bad, illegal, mandatory};
use super::streams::View;
use super::{Binance, SECOND};

/// Where it is.
pub(super) const PATH: &str = "/ws-api/v3";
/// Weight of opening a connection.
pub(super) const CONNECT_WEIGHT: u64 = 2;
/// Longest answer id that is repeated.
const ID_MAX: usize = 128;

/// What is remembered of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// Answers tell how much of the limits is used.
    pub(super) rate_limits: bool,
    subscription: Option<u64>,
    next_subscription: u64,
}

impl Session {
    pub(super) fn new(rate_limits: bool) -> Self {
        Session { rate_limits, subscription: None, next_subscription: 0 }
    }
}

impl Binance {
    /// Answers a request of a WS-API connection.
    pub(super) fn on_ws_api(&mut self, hub: &mut Hub, conn: ConnId, session: Session, text: &str) {
        let message: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let id = message.get("id").map(Value::to_string).filter(|id| id.len() <= ID_MAX);
        let id = id.unwrap_or_else(|| "null".to_owned());
        let mut rate_limits = session.rate_limits;
        let answer = self.ws_answer(hub, conn, &message, &mut rate_limits);
        let mut out = format!("{{\"id\":{id},\"status\":");
        match answer {
            Ok(result) => {
                let _ = write!(out, "200,\"result\":{result}");
            }
            Err(error) => {
                hub.counters.bad_messages += 1;
                let _ = write!(out, "{},\"error\":{}", error.status, error.body());
            }
        }
        if rate_limits {
            let _ = write!(
                out,
                ",\"rateLimits\":[{{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\
                 \"limit\":{},\"count\":{}}}]",
                hub.limits.weight_per_min,
                self.weights.used()
            );
        }
        out.push('}');
        hub.answer(conn, out);
    }

    fn ws_answer(&mut self, hub: &mut Hub, conn: ConnId, message: &Value, rate_limits: &mut bool) -> Answer {
        let Some(method) = message.get("method").and_then(Value::as_str) else {
            return Err(bad(-1013, "Invalid request: missing field `method`."));
        };
        let mut pairs = pairs_of(message.get("params"))?;
        pairs.retain(|(name, value)| {
            if name == "returnRateLimits" {
                *rate_limits = value != "false";
            }
            name != "returnRateLimits"
        });
        let symbol = pairs.iter().find(|(name, _)| name == "symbol").map_or("", |(_, value)| value.as_str());
        let verdict = hub.judge_request(&format!("{PATH}/{method}"), symbol, false);
        let route = ws_route(method);
        let weight = route.as_ref().map_or(1, |route| route.weight);
        match verdict.status {
            // Carried out, and the answer is lost on the way.
            Some(504) if route.as_ref().is_some_and(|route| route.acts) => {}
            Some(status) => return Err(faulty(status)),
            None => {}
        }
        self.spend(hub, weight).map_err(|refusal| over_limit(hub, &refusal))?;
        let unit = View::of(hub.view(conn)).unit;
        let answer = self.ws_method(hub, conn, method, route, unit, pairs);
        match verdict.status {
            Some(status) => Err(faulty(status)),
            None => answer,
        }
    }

    fn ws_method(
        &mut self,
        hub: &mut Hub,
        conn: ConnId,
        method: &str,
        route: Option<Route>,
        unit: TimeUnit,
        pairs: Vec<(String, String)>,
    ) -> Answer {
        if let Some(route) = route {
            let mut params = self.ws_signed(hub, pairs)?;
            let body = (route.handler)(self, hub, unit, &mut params)?;
            params.done()?;
            return Ok(body);
        }
        match method {
            "ping" => Ok("{}".to_owned()),
            "time" => Ok(format!("{{\"serverTime\":{}}}", unit.of_ns(hub.now_ns()))),
            "userDataStream.subscribe.signature" => {
                self.ws_signed(hub, pairs)?.done()?;
                let Some(session) = self.sessions.get_mut(conn) else { return Err(bad(-1000, "No session.")) };
                if session.subscription.is_some() {
                    return Err(bad(-2035, "User Data Stream subscription already active."));
                }
                let number = session.next_subscription;
                session.subscription = Some(number);
                session.next_subscription += 1;
                if !self.listeners.contains(&conn) {
                    self.listeners.push(conn);
                }
                Ok(format!("{{\"subscriptionId\":{number}}}"))
            }
            "userDataStream.unsubscribe" => {
                if let Some(session) = self.sessions.get_mut(conn) {
                    session.subscription = None;
                }
                self.listeners.retain(|listener| *listener != conn);
                Ok("{}".to_owned())
            }
            _ => Err(bad(-1099, "Not found, authenticated, or authorized.")),
        }
    }

    fn ws_signed(&self, hub: &Hub, mut pairs: Vec<(String, String)>) -> Result<Params, ApiError> {
        pairs.sort();
        let key = pairs.iter().find(|(name, _)| name == "apiKey").ok_or_else(|| mandatory("apiKey"))?;
        self.check_key(hub, &key.1)?;
        let signed =
            pairs.iter().filter(|(name, _)| name != "signature").map(|(name, value)| format!("{name}={value}"));
        let payload = signed.collect::<Vec<String>>().join("&");
        let mut params = Params::of(pairs);
        params.take("apiKey")?;
        self.check_signature(hub, &payload, &mut params)?;
        Ok(params)
    }

    /// Tells all listeners what happened in the account.
    pub(super) fn tell_account(&mut self, hub: &mut Hub, event: &Event) {
        self.executions += 1;
        let name = event.order.as_ref().and_then(|order| self.cancel_names.remove(&order.id));
        for at in 0..self.listeners.len() {
            let conn = self.listeners[at];
            let Some(number) = self.sessions.get_mut(conn).and_then(|session| session.subscription) else { continue };
            let unit = View::of(hub.view(conn)).unit;
            for text in self.user_events(hub, event, unit, name.as_deref()) {
                hub.send_text(conn, format!("{{\"subscriptionId\":{number},\"event\":{text}}}"));
            }
        }
    }
}

/// The parameters of a request as they are signed.
fn pairs_of(params: Option<&Value>) -> Result<Vec<(String, String)>, ApiError> {
    let params = match params {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(params)) => params,
        Some(_) => return Err(bad(-1013, "Invalid request: params must be an object.")),
    };
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    let pairs = params.iter().map(|(name, value)| {
        text(value).map(|value| (name.clone(), value)).ok_or_else(|| illegal(name, "a string, a number or a boolean"))
    });
    pairs.collect()
}

fn over_limit(hub: &mut Hub, refusal: &Refusal) -> ApiError {
    if refusal.status == 429 {
        hub.counters.too_many += 1;
    } else {
        hub.counters.bans += u64::from(refusal.banned_now);
    }
    let until_ms = (hub.now_ns() + refusal.retry_after_s * SECOND) / super::MS;
    let data = format!("{{\"serverTime\":{},\"retryAfter\":{until_ms}}}", hub.now_ns() / super::MS);
    let text = "Too much request weight used. Please use WebSocket Streams for live updates to avoid bans.";
    ApiError { status: refusal.status, data: Some(data), ..bad(-1003, text) }
}

/// The answer of a scripted fault.
fn faulty(status: u16) -> ApiError {
    let (code, text) = match status {
        418 | 429 => (-1003, "Too much request weight used."),
        504 => {
            (-1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown.")
        }
        _ => (-1000, "An unknown error occurred while processing the request."),
    };
    ApiError { status, ..bad(code, text) }
}

/// `"error"` and the body of a REST answer: `{"code":-2010,"msg":"..","data":{..}}`.
impl ApiError {
    pub(super) fn body(&self) -> String {
        let mut out = format!("{{\"code\":{},\"msg\":", self.code);
        put_string(&mut out, &self.message);
        if let Some(data) = &self.data {
            out.push_str(",\"data\":");
            out.push_str(data);
        }
        out.push('}');
        out
    }
}
