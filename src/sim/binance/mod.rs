//! The loopback binance: spot market data of binance.com (mid 2026), binance.us and binance.je, and an account at the
//! first of them.
//!
//! # As on the real venue
//! - `/ws`, `/ws/<stream>[/<stream>..]`, `/stream?streams=a/b`, `?timeUnit=MICROSECOND` (binance only), and SUBSCRIBE,
//!   UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY. An unknown but well-formed stream is acknowledged and
//!   stays silent; an empty name, or one with spaces, quotes or slashes, is an error.
//! - Book events are cut every 100 ms (and every 1000 ms) of the clock for all symbols that changed; `U` is always the
//!   last `u` plus one. Partial books and tickers come at the same instants, when something changed.
//! - The first event of a subscription comes before its acknowledgement in some of the cases.
//! - Book snapshots lie at different points, see [`SnapshotMix`].
//!
//! # Other than on the real venue
//! - `serverShutdown` comes [`Limits::shutdown_notice_ns`] before a connection is closed for its age; how early the real
//!   one comes is not documented. The close code is 1001.
//! - The 24 h statistics cover the trades since the start of the market; candles from before it are made up.
//! - 1,025 streams: the connection is closed with 1008, or the upgrade answered with 400. What the real venue does is not
//!   documented.

#[cfg(test)]
mod account_tests;
mod control;
mod frames;
mod private;
mod rest;
mod streams;
mod ws_api;

use std::collections::HashMap;

use self::frames::TimeUnit;
use self::streams::{Kind, View};
use super::account;
use super::hub::{Batch, ConnId, Hub, PerConn, Rules};
use super::limits::{Penalty, Sliding, Weights};
use super::market::{Event, Span};
use super::text::percent_decode;
use super::venue::Protocol;
use super::wire::{HttpReply, Request};
use super::{Config, Defaults, Limits, SnapshotMix, VenueKind};

/// Longest stream name that is accepted, in bytes.
const STREAM_NAME_MAX: usize = 128;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const MINUTE: u64 = 60 * SECOND;
const BAN_NS_MAX: u64 = 3 * 24 * 60 * MINUTE;

/// The pace of the 1000 ms streams.
const SLOW: usize = 1;

static RULES: Rules = Rules {
    paces_ns: &[100 * MS, SECOND],
    spans: &SPANS,
    shutdown_notice: Some(streams::put_shutdown_notice),
    salt: 0xb1a4_ce00,
};

/// Without the announcement.
static QUIET_RULES: Rules = Rules { shutdown_notice: None, ..RULES };

/// What the sister venues do not share; the first entry is binance.com.
#[derive(Debug)]
struct Variant {
    quote: &'static str,
    /// `trade` events tell the order numbers of both sides.
    order_ids: bool,
    /// `?timeUnit=` and `X-MBX-TIME-UNIT` are understood.
    micro: bool,
    /// Request ids may be strings or null.
    free_ids: bool,
    /// Candles of a second, and candles with a time zone.
    short_klines: bool,
    avg_price: bool,
    /// `!ticker@arr`.
    all_tickers: bool,
    /// `!bookTicker`.
    all_book_tickers: bool,
    /// How many of [`ROLLING`] have streams.
    rolling: usize,
    shutdown_event: bool,
    sapi: bool,
    /// `/api/v1` paths, and a list of allowed depths.
    old_paths: bool,
    /// 2026 members of a market row.
    new_rows: bool,
    weights: rest::RouteWeights,
    limits: Limits,
}

const fn limits_of(weight_per_min: u64, requests_per_5min: u64, ping_ns: u64, pong_timeout_ns: u64) -> Limits {
    Limits {
        messages_per_s: 5,
        streams_per_connection: 1024,
        orders_per_10s: 50,
        connects_per_5min: 300,
        weight_per_min,
        requests_per_5min,
        ban_after: 3,
        ban_ns: 2 * MINUTE,
        ping_ns,
        pong_timeout_ns,
        lifetime_ns: 24 * 60 * MINUTE,
        shutdown_notice_ns: 30 * SECOND,
        ..Limits::NONE
    }
}

static BINANCE: Variant = Variant {
    quote: "USDT",
    order_ids: false,
    micro: true,
    free_ids: true,
    short_klines: true,
    avg_price: true,
    all_tickers: false,
    all_book_tickers: false,
    rolling: 3,
    shutdown_event: true,
    sapi: true,
    old_paths: false,
    new_rows: true,
    weights: rest::WEIGHTS_2026,
    limits: limits_of(6_000, 300_000, 20 * SECOND, 60 * SECOND),
};

static BINANCE_US: Variant = Variant {
    quote: "USDT",
    order_ids: true,
    micro: false,
    free_ids: true,
    short_klines: false,
    avg_price: false,
    all_tickers: true,
    all_book_tickers: false,
    rolling: 2,
    shutdown_event: false,
    sapi: true,
    old_paths: false,
    new_rows: false,
    weights: rest::WEIGHTS_2021,
    limits: limits_of(1_200, 6_100, 3 * MINUTE, 10 * MINUTE),
};

static BINANCE_JE: Variant = Variant {
    quote: "EUR",
    order_ids: true,
    micro: false,
    free_ids: false,
    short_klines: false,
    avg_price: false,
    all_tickers: true,
    all_book_tickers: true,
    rolling: 0,
    shutdown_event: false,
    sapi: false,
    old_paths: true,
    new_rows: false,
    weights: rest::WEIGHTS_2021,
    limits: limits_of(1_200, 6_100, 3 * MINUTE, 10 * MINUTE),
};

fn variant(kind: VenueKind) -> &'static Variant {
    match kind {
        VenueKind::BinanceUs => &BINANCE_US,
        VenueKind::BinanceJe => &BINANCE_JE,
        _ => &BINANCE,
    }
}

/// What the venue brings along.
pub(super) fn defaults(kind: VenueKind) -> Defaults {
    let variant = variant(kind);
    Defaults { quote: variant.quote, separator: "", limits: variant.limits.clone() }
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

const fn span(len_ms: u64, offset_ms: u64) -> Span {
    Span { len_ms: Some(len_ms), offset_ms }
}

/// Candle intervals; those of another time zone follow where they differ.
const INTERVALS: [&str; 22] = [
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M", "6h", "12h",
    "1d", "3d", "1w", "1M",
];
/// First entry of [`INTERVALS`] and [`SPANS`] in UTC+8.
const ZONE_FROM: usize = 16;
const ZONE_MS: u64 = 8 * HOUR_MS;
/// The week begins on Monday, the epoch was a Thursday.
const WEEK_OFFSET_MS: u64 = 3 * DAY_MS;

static SPANS: [Span; 22] = [
    span(1_000, 0),
    span(60_000, 0),
    span(180_000, 0),
    span(300_000, 0),
    span(900_000, 0),
    span(1_800_000, 0),
    span(HOUR_MS, 0),
    span(2 * HOUR_MS, 0),
    span(4 * HOUR_MS, 0),
    span(6 * HOUR_MS, 0),
    span(8 * HOUR_MS, 0),
    span(12 * HOUR_MS, 0),
    span(DAY_MS, 0),
    span(3 * DAY_MS, 0),
    span(7 * DAY_MS, WEEK_OFFSET_MS),
    Span { len_ms: None, offset_ms: 0 },
    span(6 * HOUR_MS, ZONE_MS),
    span(12 * HOUR_MS, ZONE_MS),
    span(DAY_MS, ZONE_MS),
    span(3 * DAY_MS, ZONE_MS),
    span(7 * DAY_MS, ZONE_MS + WEEK_OFFSET_MS),
    Span { len_ms: None, offset_ms: ZONE_MS },
];

/// Index of a candle interval, in UTC or in the one other time zone that streams know.
fn interval(name: &str, zone: bool, variant: &Variant) -> Option<usize> {
    let in_zone = INTERVALS[ZONE_FROM..].iter().position(|known| *known == name).filter(|_| zone);
    let at = match in_zone {
        Some(at) => ZONE_FROM + at,
        None => INTERVALS[..ZONE_FROM].iter().position(|known| *known == name)?,
    };
    let allowed = variant.short_klines || (at != 0 && !zone);
    allowed.then_some(at)
}

/// The protocol of one of the three venues. See the module's documentation.
#[derive(Debug)]
pub(super) struct Binance {
    variant: &'static Variant,
    snapshot: SnapshotMix,
    /// What each stream of the hub is.
    kinds: Vec<Kind>,
    /// Lower-case symbol names.
    lower: HashMap<String, usize>,
    connects: Sliding,
    connect_penalty: Penalty,
    weights: Weights,
    requests: Weights,
    penalty: Penalty,
    batch: Batch,
    orders: Sliding,
    /// Connections of the WS-API.
    sessions: PerConn<ws_api::Session>,
    /// Those that get the user data stream.
    listeners: Vec<ConnId>,
    /// Names of cancellations that were not told yet, by order.
    cancel_names: HashMap<u64, String>,
    /// Names that the venue made.
    names: u64,
    /// Transitions of orders so far.
    executions: u64,
}

impl Binance {
    /// One of the three.
    pub(super) fn new(config: &Config) -> Self {
        let limits = &config.limits;
        let symbols = config.symbols.iter().take(super::market::SYMBOLS_MAX).enumerate();
        Binance {
            variant: variant(config.venue),
            snapshot: config.snapshot,
            kinds: Vec::new(),
            lower: symbols.map(|(index, symbol)| (symbol.name.to_lowercase(), index)).collect(),
            connects: Sliding::new(limits.connects_per_5min, 5 * MINUTE),
            connect_penalty: Penalty::new(limits.ban_after, limits.ban_ns, BAN_NS_MAX),
            weights: Weights::new(limits.weight_per_min, MINUTE),
            requests: Weights::new(limits.requests_per_5min, 5 * MINUTE),
            penalty: Penalty::new(limits.ban_after, limits.ban_ns, BAN_NS_MAX),
            batch: Batch::default(),
            orders: Sliding::new(limits.orders_per_10s, 10 * SECOND),
            sessions: PerConn::default(),
            listeners: Vec::new(),
            cancel_names: HashMap::new(),
            names: 0,
            executions: 0,
        }
    }
}

impl Protocol for Binance {
    fn rules(&self) -> &'static Rules {
        if self.variant.shutdown_event { &RULES } else { &QUIET_RULES }
    }

    fn connect(&mut self, hub: &mut Hub, target: &str) -> Result<ConnId, HttpReply> {
        let now_ns = hub.now_ns();
        let attempt = self.connect_penalty.check(now_ns).and_then(|()| {
            let hit = self.connects.hit(now_ns);
            hit.map_err(|wait_ns| self.connect_penalty.exceed(now_ns, now_ns.saturating_add(wait_ns)))
        });
        if let Err(refusal) = attempt {
            hub.counters.connects_refused += 1;
            return Err(self.refused(hub, &refusal));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut unit = TimeUnit::Milli;
        let mut names: Vec<String> = Vec::new();
        let is_api = path == ws_api::PATH && self.variant.new_rows;
        let mut rate_limits = true;
        let combined = match path.strip_prefix("/ws") {
            Some("" | "/") => false,
            Some(rest) if rest.starts_with('/') => {
                names.extend(rest[1..].split('/').filter(|name| !name.is_empty()).map(percent_decode));
                false
            }
            _ if is_api => false,
            _ if path == "/stream" || path == "/stream/" => true,
            _ => return Err(rest::not_found(hub)),
        };
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = percent_decode(value);
            match key {
                "streams" if combined => {
                    names.extend(value.split('/').filter(|name| !name.is_empty()).map(str::to_owned));
                }
                "timeUnit" if self.variant.micro => match value.as_str() {
                    "MICROSECOND" | "microsecond" => unit = TimeUnit::Micro,
                    "MILLISECOND" | "millisecond" => unit = TimeUnit::Milli,
                    _ => return Err(self.bad_time_unit(hub)),
                },
                "returnRateLimits" if is_api => rate_limits = value != "false",
                _ => {}
            }
        }
        if is_api {
            if let Err(refusal) = self.spend(hub, ws_api::CONNECT_WEIGHT) {
                return Err(self.refused(hub, &refusal));
            }
            let conn = hub.open(View { unit, combined }.number() | streams::API_VIEW);
            hub.lift_message_limit(conn);
            self.sessions.insert(conn, ws_api::Session::new(rate_limits));
            return Ok(conn);
        }
        if names.len() > hub.limits.streams_per_connection {
            hub.counters.too_many_streams += 1;
            return Err(self.error(hub, 400, -1101, "Too many parameters sent for this endpoint."));
        }
        if names.iter().any(|name| !well_formed(name)) {
            return Err(self.error(hub, 400, -1100, "Illegal characters found in a parameter."));
        }
        let conn = hub.open(View { unit, combined }.number());
        for name in names {
            self.subscribe(hub, conn, &name);
        }
        Ok(conn)
    }

    fn on_text(&mut self, hub: &mut Hub, conn: ConnId, text: &str) {
        match self.sessions.get_mut(conn).copied() {
            Some(session) => self.on_ws_api(hub, conn, session, text),
            None => self.control(hub, conn, text),
        }
    }

    fn on_gone(&mut self, _hub: &mut Hub, conn: ConnId) {
        self.sessions.remove(conn);
        self.listeners.retain(|listener| *listener != conn);
    }

    fn on_account(&mut self, hub: &mut Hub, event: &account::Event) {
        self.tell_account(hub, event);
    }

    fn on_event(&mut self, hub: &mut Hub, event: Event) {
        self.tell(hub, event);
    }

    fn on_book(&mut self, hub: &mut Hub, symbol: usize, pace: usize) {
        self.tell_books(hub, symbol, pace);
    }

    fn on_second(&mut self, hub: &mut Hub) {
        self.every_second(hub);
    }

    fn on_request(&mut self, hub: &mut Hub, request: &Request) -> HttpReply {
        self.answer_request(hub, request)
    }
}

/// A name that could be a stream: anything without spaces, quotes, slashes and control characters.
fn well_formed(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= STREAM_NAME_MAX
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\\' | '/' | ',' | '`'))
}
