//! Control messages of the loopback binance: `{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":1}` and its kin.

use serde_json::Value;

use super::super::hub::{ConnId, Hub};
use super::super::text::put_string;
use super::streams::View;
use super::{Binance, well_formed};

impl Binance {
    /// Does what a message says, and answers it.
    pub(super) fn control(&mut self, hub: &mut Hub, conn: ConnId, text: &str) {
        let message: Value = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(error) => {
                hub.counters.bad_messages += 1;
                let reply = error_text(3, &format!("Invalid JSON: {error}"), None);
                hub.answer(conn, reply);
                return;
            }
        };
        let end = format!("at line 1 column {}", text.trim_end().len());
        let id = match message.get("id") {
            Some(id) if self.is_request_id(id) => Some(id.to_string()),
            _ => None,
        };
        let result = match (&message, &id) {
            (Value::Object(_), Some(_)) => self.command(hub, conn, &message, &end),
            (Value::Object(_), None) => Err((2, "Invalid request: request ID must be an unsigned integer".to_owned())),
            _ => Err((2, format!("Invalid request: missing field `method` {end}"))),
        };
        let id = id.as_deref();
        match result {
            Ok(Reply::Acknowledged) => {
                let mut reply = String::from("{\"result\":null,\"id\":");
                reply.push_str(id.unwrap_or("null"));
                reply.push('}');
                hub.acknowledge(conn, reply);
            }
            Ok(Reply::Result(result)) => {
                let reply = format!("{{\"result\":{result},\"id\":{}}}", id.unwrap_or("null"));
                hub.answer(conn, reply);
            }
            Ok(Reply::TooManyStreams) => {
                hub.counters.too_many_streams += 1;
                hub.close(conn, 1008, "Too many streams");
            }
            Err((code, message)) => {
                hub.counters.bad_messages += 1;
                hub.answer(conn, error_text(code, &message, id));
            }
        }
    }

    fn is_request_id(&self, id: &Value) -> bool {
        if !self.variant.free_ids {
            return id.is_u64();
        }
        match id {
            Value::Null => true,
            Value::Number(number) => number.is_i64() || number.is_u64(),
            Value::String(text) => text.len() <= 36 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            _ => false,
        }
    }

    fn command(&mut self, hub: &mut Hub, conn: ConnId, message: &Value, end: &str) -> Result<Reply, (i64, String)> {
        let method = match message.get("method") {
            None => return Err((2, format!("Invalid request: missing field `method` {end}"))),
            Some(Value::String(method)) => method.as_str(),
            Some(other) => return Err((2, format!("Invalid request: invalid type: {other}, expected a string {end}"))),
        };
        let params: &[Value] = match message.get("params") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(params)) => params,
            Some(_) => return Err((2, format!("Invalid request: invalid type, expected a sequence {end}"))),
        };
        let names = || -> Result<Vec<String>, (i64, String)> {
            let mut names = Vec::with_capacity(params.len());
            for param in params {
                match param.as_str() {
                    Some(name) if well_formed(name) => names.push(name.to_owned()),
                    _ => return Err((2, "Invalid request: invalid stream".to_owned())),
                }
            }
            if names.is_empty() {
                return Err((2, format!("Invalid request: missing field `params` {end}")));
            }
            Ok(names)
        };
        let property = || match params.first() {
            Some(Value::String(name)) if name == "combined" => Ok(()),
            Some(Value::String(_)) => Err((0, "Unknown property".to_owned())),
            _ => Err((2, "Invalid request: property name must be a string".to_owned())),
        };
        let at_most = |count: usize| {
            if params.len() > count { Err((2, "Invalid request: too many parameters".to_owned())) } else { Ok(()) }
        };
        match method {
            "SUBSCRIBE" => {
                let names = names()?;
                let max = hub.limits.streams_per_connection;
                for name in names {
                    self.subscribe(hub, conn, &name);
                    if hub.subscriptions(conn).len() > max {
                        return Ok(Reply::TooManyStreams);
                    }
                }
                Ok(Reply::Acknowledged)
            }
            "UNSUBSCRIBE" => {
                for name in names()? {
                    hub.unsubscribe(conn, &name);
                }
                Ok(Reply::Acknowledged)
            }
            "LIST_SUBSCRIPTIONS" => {
                at_most(0)?;
                let mut list = String::from("[");
                for (i, name) in hub.subscriptions(conn).enumerate() {
                    if i > 0 {
                        list.push(',');
                    }
                    put_string(&mut list, name);
                }
                list.push(']');
                Ok(Reply::Result(list))
            }
            "SET_PROPERTY" => {
                property()?;
                at_most(2)?;
                let Some(Value::Bool(value)) = params.get(1) else {
                    return Err((1, "Invalid value type: expected Boolean".to_owned()));
                };
                let view = View { combined: *value, ..View::of(hub.view(conn)) };
                hub.set_view(conn, view.number());
                Ok(Reply::Result("null".to_owned()))
            }
            "GET_PROPERTY" => {
                property()?;
                at_most(1)?;
                let combined = View::of(hub.view(conn)).combined;
                Ok(Reply::Result(combined.to_string()))
            }
            other => Err((
                2,
                format!(
                    "Invalid request: unknown variant `{other}`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, \
                     `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY` {end}"
                ),
            )),
        }
    }
}

enum Reply {
    /// `{"result":null,"id":..}`, perhaps after an event.
    Acknowledged,
    Result(String),
    TooManyStreams,
}

/// `{"error":{"code":2,"msg":"Invalid request: ..."},"id":1}`; without the id where the request had none.
fn error_text(code: i64, message: &str, id: Option<&str>) -> String {
    let mut text = format!("{{\"error\":{{\"code\":{code},\"msg\":");
    put_string(&mut text, message);
    text.push('}');
    if let Some(id) = id {
        text.push_str(",\"id\":");
        text.push_str(id);
    }
    text.push('}');
    text
}
