//! The loopback OKX: public market data of its API v5, as of 2026.
//!
//! # As on the real venue
//! - `/ws/v5/public`, `/ws/v5/business` (candles and `trades-all`) and `/ws/v5/private`; a channel on the wrong path is
//!   refused with 60018. One acknowledgement for each argument, then the first data, in the order of the request.
//! - `books` tells 400 levels every 100 ms, chained by `prevSeqId` and `seqId`, with a checksum; levels that fall out of
//!   the 400 are deleted. After a minute without a change an empty update repeats the number. `books5` and `bbo-tbt`
//!   come whole.
//! - The text `ping` is answered with the text `pong`. A connection to which nothing was sent for 30 s is closed.
//! - The private socket wants a login. `orders` tells each transition of each order, `account` and
//!   `balance_and_position` what it did to the balances, all balances again every 5 s; the answer to an order may come
//!   before or after. The same orders by REST.
//! - 3 connections a second, 480 subscriptions, unsubscriptions and logins an hour and connection, 20 REST requests of a
//!   kind in two seconds.
//!
//! # Other than on the real venue
//! - The checksum is right; since early 2026 the real one is always 0.
//! - Beside the spot markets there is one perpetual swap, BTC-USDT-SWAP, and one future, in contracts of a hundredth of
//!   a coin. The lists of other kinds are empty, and there are no channels of funding, open interest and the like. There
//!   are no candles of three months.
//! - The account pays cash for what it buys on spot markets. It has no tier, so that the books and the fills of VIP users
//!   are closed, and there are no algo orders.
//! - A post-only order that would match is refused (51006) rather than taken and canceled.
//! - Bills have the fee in the row of the currency that pays it.
//! - The notice of a shutdown comes before every end for age, which the real venue does not have.
//! - The numbers of orders at a price are made up.

mod auth;
mod frames;
mod history;
mod orders;
mod private;
mod rest;
mod streams;

use serde_json::Value;

use self::streams::Kind;
use super::account;
use super::hub::{ConnId, Hub, PerConn, Rules};
use super::limits::{PerRoute, Sliding};
use super::market::{Event, Span, Symbol};
use super::shown::Shown;
use super::text::put_string;
use super::venue::Protocol;
use super::wire::{HttpReply, Request};
use super::{Config, Defaults, Limits};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const HOUR: u64 = 3_600 * SECOND;

/// The pace of `books`, `books5` and tickers.
const BOOKS: usize = 0;

static RULES: Rules = Rules {
    paces_ns: &[100 * MS, 10 * MS],
    spans: &streams::SPANS,
    shutdown_notice: Some(frames::shutdown_notice),
    salt: 0x0c_e200,
};

/// What the venue brings along.
pub(super) fn defaults() -> Defaults {
    Defaults {
        quote: "USDT",
        separator: "-",
        limits: Limits {
            connects_per_s: 3,
            commands_per_h: 480,
            idle_ns: 30 * SECOND,
            requests_per_2s: 20,
            shutdown_notice_ns: 30 * SECOND,
            ..Limits::NONE
        },
    }
}

/// The derivatives that the venue has beside its spot markets.
pub(super) fn derivatives() -> [Symbol; 2] {
    ["SWAP", EXPIRY].map(|suffix| Symbol {
        name: format!("BTC-USDT-{suffix}"),
        base: "BTC".to_owned(),
        quote: "USDT".to_owned(),
        price_scale: 1,
        qty_scale: 2,
        tick: 1,
        step: 1,
        price: 600_000,
        order_steps: 3_000,
    })
}

/// The last day of the one future, and its end in milliseconds.
const EXPIRY: &str = "301227";
const EXPIRY_MS: &str = "1924588800000";

/// The three paths, which have channels of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Public,
    Business,
    Private,
}

#[derive(Debug)]
struct Client {
    path: Path,
    commands: Sliding,
    /// Whether it has shown the keys of the account.
    logged_in: bool,
}

/// The protocol. See the module's documentation.
#[derive(Debug)]
pub(super) struct Okex {
    clients: PerConn<Client>,
    connects: Sliding,
    requests: PerRoute,
    /// What each stream of the hub is.
    kinds: Vec<Kind>,
    /// The book behind each stream of `books`, by the index of the stream.
    shown: Vec<Option<Shown>>,
    /// The order that is amended right now, and the client's name for that.
    amended_by: Option<(u64, String)>,
}

impl Okex {
    pub(super) fn new(config: &Config) -> Self {
        Okex {
            clients: PerConn::default(),
            connects: Sliding::new(config.limits.connects_per_s, SECOND),
            requests: PerRoute::new(config.limits.requests_per_2s, 2 * SECOND),
            kinds: Vec::new(),
            shown: Vec::new(),
            amended_by: None,
        }
    }
}

impl Protocol for Okex {
    fn rules(&self) -> &'static Rules {
        &RULES
    }

    fn connect(&mut self, hub: &mut Hub, target: &str) -> Result<ConnId, HttpReply> {
        if self.connects.hit(hub.now_ns()).is_err() {
            hub.counters.connects_refused += 1;
            return Err(rest::too_many(hub));
        }
        let path = match target.split('?').next().unwrap_or_default() {
            "/ws/v5/public" => Path::Public,
            "/ws/v5/business" => Path::Business,
            "/ws/v5/private" => Path::Private,
            _ => return Err(rest::not_found(hub)),
        };
        let conn = hub.open(0);
        let commands = Sliding::new(hub.limits.commands_per_h, HOUR);
        self.clients.insert(conn, Client { path, commands, logged_in: false });
        Ok(conn)
    }

    fn on_text(&mut self, hub: &mut Hub, conn: ConnId, text: &str) {
        if text == "ping" {
            hub.send_text(conn, "pong".to_owned());
            return;
        }
        if let Err(refusal) = self.command(hub, conn, text) {
            hub.counters.bad_messages += 1;
            hub.answer(conn, refusal.text(conn));
        }
    }

    fn on_gone(&mut self, _hub: &mut Hub, conn: ConnId) {
        self.clients.remove(conn);
    }

    fn on_event(&mut self, hub: &mut Hub, event: Event) {
        self.tell(hub, event);
    }

    fn on_account(&mut self, hub: &mut Hub, event: &account::Event) {
        self.tell_account(hub, event);
    }

    fn on_book(&mut self, hub: &mut Hub, symbol: usize, pace: usize) {
        self.tell_books(hub, symbol, pace);
    }

    fn on_second(&mut self, hub: &mut Hub) {
        self.every_second(hub);
        self.tell_account_again(hub);
        for conn in hub.conn_ids() {
            if hub.now_ns() >= hub.sent_ns(conn).saturating_add(hub.limits.idle_ns) {
                hub.close(conn, 4004, "No data received in 30s.");
            }
        }
    }

    fn on_request(&mut self, hub: &mut Hub, request: &Request) -> HttpReply {
        self.answer_request(hub, request)
    }
}

/// An error event: `{"event":"error","code":"60018","msg":"...","connId":"a4d3ae55"}`.
struct Refusal {
    code: u32,
    message: String,
    /// The request's own id, as JSON.
    id: Option<String>,
}

impl Refusal {
    fn new(code: u32, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), id: None }
    }

    fn text(&self, conn: ConnId) -> String {
        let mut text = String::from("{");
        if let Some(id) = &self.id {
            text.push_str("\"id\":");
            text.push_str(id);
            text.push(',');
        }
        text.push_str("\"event\":\"error\",\"code\":\"");
        text.push_str(&self.code.to_string());
        text.push_str("\",\"msg\":");
        put_string(&mut text, &self.message);
        frames::put_conn(&mut text, conn);
        text.push('}');
        text
    }
}

impl Okex {
    /// `{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}` and its kin.
    fn command(&mut self, hub: &mut Hub, conn: ConnId, text: &str) -> Result<(), Refusal> {
        // The real venue quotes the request in its answer.
        let illegal = || Refusal::new(60012, format!("Illegal request: {text}"));
        let message: Value = serde_json::from_str(text).map_err(|_| illegal())?;
        let op = message.get("op").and_then(Value::as_str).ok_or_else(illegal)?;
        let id = match message.get("id") {
            None => None,
            Some(Value::String(id)) if id.len() <= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                Some(format!("\"{id}\""))
            }
            Some(_) => return Err(illegal()),
        };
        let result = self.command_of(hub, conn, op, message.get("args"), id.as_deref(), &illegal);
        result.map_err(|refusal| Refusal { id, ..refusal })
    }

    fn command_of(
        &mut self,
        hub: &mut Hub,
        conn: ConnId,
        op: &str,
        args: Option<&Value>,
        id: Option<&str>,
        illegal: &dyn Fn() -> Refusal,
    ) -> Result<(), Refusal> {
        let Some(client) = self.clients.get_mut(conn) else { return Ok(()) };
        let (path, logged_in) = (client.path, client.logged_in);
        let is_command = matches!(op, "subscribe" | "unsubscribe" | "login");
        if is_command && client.commands.hit(hub.now_ns()).is_err() {
            return Err(Refusal::new(60014, "Requests too frequent."));
        }
        let args = args.and_then(Value::as_array).filter(|args| !args.is_empty());
        match op {
            "login" => {
                let login = args.and_then(|args| args.first());
                auth::keys(hub).check_login(login, hub.now_ns()).map_err(|(code, words)| Refusal::new(code, words))?;
                client.logged_in = true;
                hub.answer(conn, frames::logged_in(id, conn));
                Ok(())
            }
            "subscribe" | "unsubscribe" => {
                for arg in args.ok_or_else(|| Refusal::new(60013, "Invalid args."))? {
                    let channel = arg.get("channel").and_then(Value::as_str).ok_or_else(illegal)?;
                    let wanted = self.stream(hub, path, logged_in, channel, arg)?;
                    hub.answer(conn, frames::acknowledged(op, arg, id, conn));
                    let name = hub.stream(wanted).name.clone();
                    if op == "unsubscribe" {
                        hub.unsubscribe(conn, &name);
                    } else if hub.subscribe(conn, &name, Some(wanted)) {
                        self.tell_first(hub, conn, wanted);
                    }
                }
                Ok(())
            }
            _ if path == Path::Private => {
                let (name, _, op, many) = orders::OPS.iter().find(|(name, ..)| *name == op).ok_or_else(illegal)?;
                if !logged_in {
                    return Err(streams::stranger());
                }
                let args = args.filter(|args| args.len() <= if *many { orders::BATCH_MAX } else { 1 });
                let args = args.ok_or_else(|| Refusal::new(60013, "Invalid args."))?;
                let id = id.ok_or_else(illegal)?;
                let (done, time_us) = (self.carry_out(hub, *op, args), hub.now_ns() / 1_000);
                let text = format!(
                    "{{\"id\":{id},\"op\":\"{name}\",{done},\"inTime\":\"{time_us}\",\"outTime\":\"{time_us}\"}}"
                );
                // The orders' channel may be quicker than the answer.
                hub.acknowledge(conn, text);
                Ok(())
            }
            _ => Err(illegal()),
        }
    }
}

/// A candle interval: `1m` to `1M`. Those of six hours and more begin at midnight of Hong Kong, or of UTC with `utc`.
fn span(name: &str) -> Option<usize> {
    streams::INTERVALS.iter().position(|known| *known == name)
}

/// Index of a symbol that a parameter names.
fn symbol(hub: &Hub, arg: &Value) -> Option<usize> {
    hub.market.index(arg.get("instId")?.as_str()?)
}

/// Candles of a length, beginning so long after midnight of UTC.
const fn candle_span(len_ms: u64, offset_ms: u64) -> Span {
    Span { len_ms: Some(len_ms), offset_ms }
}
