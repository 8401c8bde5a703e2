//! The loopback binance: spot market data of binance.com (mid 2026), binance.us and binance.je.
//!
//! [`Venue`] is the protocol without sockets. Connections are opened with [`Venue::connect`], client messages go in by
//! [`Venue::text`], [`Venue::ping`], [`Venue::pong`] and [`Venue::close`], REST requests by [`Venue::http`]. Time passes
//! by [`Venue::advance`]; what the venue says waits in a queue for [`Venue::pop`]. Call `advance` when
//! [`Venue::next_deadline`] has come and pop everything after each call of any kind: `advance` stops early when
//! [`QUEUE_MAX`] messages wait or [`STEPS_MAX`] things have happened, and its deadline then lies in the past.
//!
//! # As on the real venue
//! - `/ws`, `/ws/<stream>[/<stream>..]`, `/stream?streams=a/b`, `?timeUnit=MICROSECOND` (binance only), and SUBSCRIBE,
//!   UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY. An unknown but well-formed stream is acknowledged and
//!   stays silent; an empty name, or one with spaces, quotes or slashes, is an error.
//! - Book events are cut every 100 ms (and every 1000 ms) of the clock for all symbols that changed; `U` is always the
//!   last `u` plus one. Partial books and tickers come at the same instants, when something changed.
//! - The first event of a subscription comes before its acknowledgement in some of the cases.
//! - Book snapshots lie at different points, see [`SnapshotMix`].
//! - All clients count as one address for the limits.
//!
//! # Other than on the real venue
//! - `serverShutdown` comes [`Limits::shutdown_notice_ns`] before a connection is closed for its age; how early the real
//!   one comes is not documented. The close code is 1001.
//! - The 24 h statistics cover the trades since the start of the market; candles from before it are made up.
//! - 1,025 streams: the connection is closed with 1008, or the upgrade answered with 400. What the real venue does is not
//!   documented.

mod frames;
mod rest;

use std::collections::{HashMap, VecDeque};

use fastrand::Rng;
use serde_json::Value;

use self::frames::{Batch, Kline, ROLLING, TimeUnit};
use super::faults::{Action, Engine, Verdict, Who, WireFault};
use super::limits::{Penalty, Sliding, Weights};
use super::market::{Candle, Event, Market, MarketConfig, Side, Span, Truth};
use super::text::{percent_decode, put_string};
use super::wire::{HttpReply, Out};
use super::{Config, Counters, Limits, SnapshotMix, VenueKind};

/// Messages that wait to be popped at most before [`Venue::advance`] stops early. A single instant may go beyond it by
/// what it says to all connections.
pub const QUEUE_MAX: usize = 16_384;
/// Updates, batches and timers that one [`Venue::advance`] works through at most, so that a call stays short.
pub const STEPS_MAX: usize = 10_000;
/// Longest stream name that is accepted, in bytes.
pub const STREAM_NAME_MAX: usize = 128;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const MINUTE: u64 = 60 * SECOND;
const FAST: u64 = 100 * MS;
const SLOW: u64 = SECOND;
const BAN_NS_MAX: u64 = 3 * 24 * 60 * MINUTE;
/// How long an acknowledgement waits for an event to come first.
const ACK_NS_MAX: u64 = 250 * MS;

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
        connects_per_5min: 300,
        weight_per_min,
        requests_per_5min,
        ban_after: 3,
        ban_ns: 2 * MINUTE,
        ping_ns,
        pong_timeout_ns,
        lifetime_ns: 24 * 60 * MINUTE,
        shutdown_notice_ns: 30 * SECOND,
        connections_max: 1_000,
        out_bytes_max: 16 << 20,
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
        VenueKind::Binance => &BINANCE,
        VenueKind::BinanceUs => &BINANCE_US,
        VenueKind::BinanceJe => &BINANCE_JE,
    }
}

/// The venue's own limits.
pub(super) fn limits(kind: VenueKind) -> Limits {
    variant(kind).limits.clone()
}

/// The quote asset of most of the venue's markets.
pub(super) fn quote(kind: VenueKind) -> &'static str {
    variant(kind).quote
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

/// A connection. Stale ids are ignored everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    /// A number below the most connections that were ever open at a time; reused after the end of a connection.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Depth { slow: bool },
    Partial { levels: usize, slow: bool },
    Trade,
    AggTrade,
    BookTicker,
    Ticker,
    MiniTicker,
    Rolling(usize),
    AvgPrice,
    Kline(usize),
    AllMiniTickers,
    AllTickers,
    AllRolling(usize),
    AllBookTickers,
}

#[derive(Debug)]
struct Stream {
    name: String,
    kind: Kind,
    symbol: usize,
    /// Indices of the connections that get it.
    subscribers: Vec<u32>,
    /// What was last told, as far as a stream only tells news: update number, trade number, candle and its trades.
    told: (u64, u64),
    /// Texts that a fault put behind the next event.
    held: Vec<(u32, String)>,
}

#[derive(Debug)]
struct Conn {
    generation: u32,
    combined: bool,
    unit: TimeUnit,
    /// Names in the order of subscription; no index for streams that do not exist.
    subscriptions: Vec<(String, Option<usize>)>,
    messages: Sliding,
    /// Acknowledgements that wait for an event: text, latest time, events to come first.
    acks: VecDeque<(String, u64, u32)>,
    next_ping_ns: u64,
    ping_payload: Vec<u8>,
    alive_ns: u64,
    notice_ns: u64,
    close_ns: u64,
    silent_until_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Batches {
    /// Last update number told on the 100 ms streams, and on the 1000 ms streams.
    fast: u64,
    slow: u64,
    changed: bool,
    changed_slow: bool,
    /// 100 ms events since the last slow one, for the accelerated mode.
    count: u32,
}

/// The protocol of one loopback venue. See the module's documentation.
#[derive(Debug)]
pub struct Venue {
    kind: VenueKind,
    variant: &'static Variant,
    limits: Limits,
    market: Market,
    faults: Engine,
    rng: Rng,
    snapshot: SnapshotMix,
    early_event_percent: u32,
    http_delay_ns: (u64, u64),
    conns: Vec<Option<Conn>>,
    open: usize,
    generation: u32,
    streams: Vec<Stream>,
    stream_by_name: HashMap<String, usize>,
    /// Streams of each symbol, then those of all symbols.
    streams_of: Vec<Vec<usize>>,
    /// Lower-case symbol names.
    lower: HashMap<String, usize>,
    batches: Vec<Batches>,
    /// Symbols that changed since the last 100 ms.
    dirty: Vec<usize>,
    /// Symbols that changed since the last second.
    dirty_slow: Vec<usize>,
    rate: Option<Rate>,
    queue: VecDeque<(ConnId, Out)>,
    /// Texts to use again.
    spare: Vec<String>,
    now_ns: u64,
    next_fast_ns: u64,
    next_slow_ns: u64,
    /// Earliest deadline of a connection; may be too early, never too late.
    next_conn_ns: u64,
    connects: Sliding,
    connect_penalty: Penalty,
    weights: Weights,
    requests: Weights,
    penalty: Penalty,
    wire_faults: Vec<(WireFault, u64)>,
    counters: Counters,
    batch: Batch,
    events: Vec<Event>,
    actions: Vec<Action>,
    scratch: [String; 2],
}

/// The accelerated mode.
#[derive(Debug)]
struct Rate {
    per_s: u64,
    /// Events so far, from which the next time follows without rounding errors.
    count: u64,
    from_ns: u64,
    /// Symbols whose book somebody has subscribed, or all.
    turn: Vec<usize>,
    at: usize,
}

impl Rate {
    fn next_ns(&self) -> u64 {
        self.from_ns + ((u128::from(self.count) + 1) * u128::from(SECOND) / u128::from(self.per_s)) as u64
    }
}

impl Venue {
    /// A venue whose market begins at `start_ns` (Unix nanoseconds).
    pub fn new(config: &Config, start_ns: u64) -> Self {
        let variant = variant(config.venue);
        let market = Market::new(
            &MarketConfig {
                seed: config.seed,
                symbols: config.symbols.clone(),
                levels: config.levels,
                updates_per_s: config.updates_per_s,
                history: config.history,
                spans: &SPANS,
            },
            start_ns,
        );
        let batches = (0..market.len()).map(|index| {
            let id = market.update_id(index);
            Batches { fast: id, slow: id, changed: false, changed_slow: false, count: 0 }
        });
        let lower = (0..market.len()).map(|index| (market.symbol(index).name.to_lowercase(), index)).collect();
        let limits = config.limits.clone();
        let rate = config.rate.map(|per_s| Rate {
            per_s: u64::from(per_s.clamp(1, 1_000_000)),
            count: 0,
            from_ns: start_ns,
            turn: (0..market.len()).collect(),
            at: 0,
        });
        Venue {
            kind: config.venue,
            variant,
            faults: Engine::new(&config.script, config.seed, start_ns),
            rng: Rng::with_seed(config.seed ^ 0xb1a4_ce00),
            snapshot: config.snapshot,
            early_event_percent: config.early_event_percent,
            http_delay_ns: config.http_delay_ns,
            conns: Vec::new(),
            open: 0,
            generation: 0,
            streams: Vec::new(),
            stream_by_name: HashMap::new(),
            streams_of: vec![Vec::new(); market.len() + 1],
            lower,
            batches: batches.collect(),
            dirty: Vec::new(),
            dirty_slow: Vec::new(),
            rate,
            queue: VecDeque::new(),
            spare: Vec::new(),
            now_ns: start_ns,
            next_fast_ns: start_ns - start_ns % FAST + FAST,
            next_slow_ns: start_ns - start_ns % SLOW + SLOW,
            next_conn_ns: u64::MAX,
            connects: Sliding::new(limits.connects_per_5min, 5 * MINUTE),
            connect_penalty: Penalty::new(limits.ban_after, limits.ban_ns, BAN_NS_MAX),
            weights: Weights::new(limits.weight_per_min, MINUTE),
            requests: Weights::new(limits.requests_per_5min, 5 * MINUTE),
            penalty: Penalty::new(limits.ban_after, limits.ban_ns, BAN_NS_MAX),
            wire_faults: Vec::new(),
            counters: Counters::default(),
            batch: Batch::default(),
            events: Vec::new(),
            actions: Vec::new(),
            scratch: Default::default(),
            limits,
            market,
        }
    }

    /// Which venue it is.
    pub fn kind(&self) -> VenueKind {
        self.kind
    }

    /// The venue's limits in this run.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The market behind the venue.
    pub fn market(&self) -> &Market {
        &self.market
    }

    /// The true book now; `None` for an unknown symbol. In the middle of a batch it is ahead of what was told.
    pub fn truth(&self, symbol: &str) -> Option<Truth> {
        self.market.index(symbol).map(|index| self.market.truth(index))
    }

    /// Fingerprint of the true book at the end of a book event, see
    /// [`fingerprint_level`](super::market::fingerprint_level); `None` when no event ended there or too long ago.
    pub fn truth_at(&self, symbol: &str, update_id: u64) -> Option<u64> {
        self.market.truth_at(self.market.index(symbol)?, update_id)
    }

    /// The true book at any remembered update number. Slow.
    pub fn truth_levels_at(&self, symbol: &str, update_id: u64) -> Option<Truth> {
        self.market.truth_levels_at(self.market.index(symbol)?, update_id)
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// For whoever carries the bytes: counts what only it can see.
    pub fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// Open WebSocket connections.
    pub fn connections(&self) -> usize {
        self.open
    }

    /// Whether a scripted fault closes new connections before a byte is exchanged.
    pub fn refuses(&mut self, now_ns: u64) -> bool {
        self.advance_faults(now_ns);
        let refused = self.faults.refuses(now_ns);
        self.counters.faults += u64::from(refused);
        refused
    }

    /// Faults of bytes that are in force, with their end; for links that carry no WebSocket or are not open yet.
    pub fn wire_faults(&self, now_ns: u64) -> impl Iterator<Item = (WireFault, u64)> {
        self.wire_faults.iter().copied().filter(move |(_, until_ns)| now_ns < *until_ns)
    }

    /// A request to become a WebSocket.
    ///
    /// # Errors
    /// The answer that refuses it: 404 for an unknown path, 400 for parameters that make no sense, 429 and 418 for too
    /// many attempts.
    pub fn connect(&mut self, now_ns: u64, target: &str) -> Result<ConnId, HttpReply> {
        self.now_ns = self.now_ns.max(now_ns);
        let attempt = self.connect_penalty.check(now_ns).and_then(|()| {
            let hit = self.connects.hit(now_ns);
            hit.map_err(|wait_ns| self.connect_penalty.exceed(now_ns, now_ns.saturating_add(wait_ns)))
        });
        if let Err(refusal) = attempt {
            self.counters.connects_refused += 1;
            return Err(self.refused(&refusal));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut unit = TimeUnit::Milli;
        let mut names: Vec<String> = Vec::new();
        let combined = match path.strip_prefix("/ws") {
            Some("" | "/") => false,
            Some(rest) if rest.starts_with('/') => {
                names.extend(rest[1..].split('/').filter(|name| !name.is_empty()).map(percent_decode));
                false
            }
            _ if path == "/stream" || path == "/stream/" => true,
            _ => return Err(self.not_found()),
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
                    _ => return Err(self.bad_time_unit()),
                },
                _ => {}
            }
        }
        if names.len() > self.limits.streams_per_connection {
            self.counters.too_many_streams += 1;
            return Err(self.error(400, -1101, "Too many parameters sent for this endpoint."));
        }
        if names.iter().any(|name| !well_formed(name)) {
            return Err(self.error(400, -1100, "Illegal characters found in a parameter."));
        }
        self.generation = self.generation.wrapping_add(1);
        let lifetime_ns = self.faults.lifetime_ns().unwrap_or(self.limits.lifetime_ns);
        let close_ns = now_ns.saturating_add(lifetime_ns);
        let conn = Conn {
            generation: self.generation,
            combined,
            unit,
            subscriptions: Vec::new(),
            messages: Sliding::new(self.limits.messages_per_s, SECOND),
            acks: VecDeque::new(),
            next_ping_ns: now_ns.saturating_add(self.limits.ping_ns),
            ping_payload: Vec::new(),
            alive_ns: now_ns,
            notice_ns: if self.variant.shutdown_event {
                // Half of a short life is announced rather than none of it.
                close_ns.saturating_sub(self.limits.shutdown_notice_ns.min(lifetime_ns / 2))
            } else {
                u64::MAX
            },
            close_ns,
            silent_until_ns: 0,
        };
        let index = match self.conns.iter().position(Option::is_none) {
            Some(index) => {
                self.conns[index] = Some(conn);
                index
            }
            None => {
                self.conns.push(Some(conn));
                self.conns.len() - 1
            }
        };
        self.open += 1;
        self.counters.connects += 1;
        self.next_conn_ns = 0;
        let id = ConnId { index: index as u32, generation: self.generation };
        for name in names {
            self.subscribe(id, name);
        }
        Ok(id)
    }

    /// A text message of a client.
    pub fn text(&mut self, now_ns: u64, conn: ConnId, text: &str) {
        self.now_ns = self.now_ns.max(now_ns);
        if self.count_message(now_ns, conn) {
            self.request(now_ns, conn, text);
        }
    }

    /// A ping of a client.
    pub fn ping(&mut self, now_ns: u64, conn: ConnId, payload: &[u8]) {
        self.now_ns = self.now_ns.max(now_ns);
        if self.count_message(now_ns, conn) {
            self.send(conn.index, Out::Pong(payload.to_vec()));
        }
    }

    /// A pong of a client. Only the payload of the last ping keeps the connection alive.
    pub fn pong(&mut self, now_ns: u64, conn: ConnId, payload: &[u8]) {
        self.now_ns = self.now_ns.max(now_ns);
        if self.count_message(now_ns, conn)
            && let Some(it) = self.conn(conn)
            && !payload.is_empty()
            && it.ping_payload == payload
        {
            it.alive_ns = now_ns;
        }
    }

    /// A close frame of a client; it is answered and the connection is over.
    pub fn close(&mut self, now_ns: u64, conn: ConnId, code: Option<u16>) {
        self.now_ns = self.now_ns.max(now_ns);
        if self.conn(conn).is_some() {
            self.end(conn.index, Out::Close { code: code.unwrap_or(1000), reason: String::new() });
        }
    }

    /// A connection that is gone without a word.
    pub fn lost(&mut self, conn: ConnId) {
        if self.conn(conn).is_some() {
            self.remove(conn.index);
        }
    }

    /// Lets time pass up to `now_ns`, or until [`QUEUE_MAX`] messages wait or [`STEPS_MAX`] things have happened.
    pub fn advance(&mut self, now_ns: u64) {
        for _ in 0..STEPS_MAX {
            if self.queue.len() >= QUEUE_MAX {
                break;
            }
            let due_ns = self.due_ns();
            if due_ns > now_ns {
                self.now_ns = self.now_ns.max(now_ns);
                break;
            }
            self.now_ns = self.now_ns.max(due_ns);
            self.step(due_ns);
        }
    }

    /// When [`Venue::advance`] has something to do next. There is always something: the market never sleeps.
    pub fn next_deadline(&self) -> Option<u64> {
        Some(self.due_ns())
    }

    /// The oldest message that waits.
    pub fn pop(&mut self) -> Option<(ConnId, Out)> {
        self.queue.pop_front()
    }

    /// Gives the text of a popped message back so that its memory is used again. Optional.
    pub fn recycle(&mut self, out: Out) {
        if let Out::Text(mut text) = out
            && self.spare.len() < 64
        {
            text.clear();
            self.spare.push(text);
        }
    }

    fn due_ns(&self) -> u64 {
        let market_ns = match &self.rate {
            Some(rate) => rate.next_ns(),
            None => self.market.next_ns().min(self.next_fast_ns),
        };
        market_ns.min(self.next_slow_ns).min(self.next_conn_ns).min(self.faults.next_ns().unwrap_or(u64::MAX))
    }

    fn advance_faults(&mut self, now_ns: u64) {
        if self.faults.next_ns().is_some_and(|next_ns| next_ns <= now_ns) {
            self.faults.fire(now_ns, &mut self.actions);
            self.act(now_ns);
        }
    }

    /// Does what is due at `now_ns`, one source at a time.
    fn step(&mut self, now_ns: u64) {
        self.advance_faults(now_ns);
        if self.next_conn_ns <= now_ns {
            self.serve_connections(now_ns);
        }
        match &self.rate {
            Some(rate) if rate.next_ns() <= now_ns => self.accelerated(now_ns),
            Some(_) => {}
            None => {
                // Updates of the same instant belong to the batch that ends then.
                if self.market.next_ns() <= now_ns {
                    let mut events = std::mem::take(&mut self.events);
                    let index = self.market.step(&mut events);
                    self.tell(now_ns, &mut events);
                    self.events = events;
                    self.note_change(index);
                    return;
                }
                if self.next_fast_ns <= now_ns {
                    self.next_fast_ns += FAST;
                    self.end_batches(now_ns);
                }
            }
        }
        if self.next_slow_ns <= now_ns {
            self.next_slow_ns += SLOW;
            if self.rate.is_none() {
                self.end_slow_batches(now_ns);
            }
            self.every_second(now_ns);
        }
    }

    /// Sends what is told at once: trades and best prices.
    fn tell(&mut self, now_ns: u64, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            let index = match event {
                Event::Trade(index, _) | Event::Agg(index, _) | Event::Top(index, _) => index,
            };
            for at in 0..self.streams_of[index].len() {
                let stream = self.streams_of[index][at];
                match (self.streams[stream].kind, event) {
                    (Kind::Trade, Event::Trade(_, trade)) => {
                        let order_ids = self.variant.order_ids;
                        self.publish(now_ns, stream, |market, unit, out| {
                            frames::trade(out, market.symbol(index), &trade, order_ids, unit);
                        });
                    }
                    (Kind::AggTrade, Event::Agg(_, agg)) => {
                        self.publish(now_ns, stream, |market, unit, out| {
                            frames::agg_trade(out, market.symbol(index), &agg, unit);
                        });
                    }
                    (Kind::BookTicker, Event::Top(..)) => {
                        self.publish(now_ns, stream, |market, _, out| frames::book_ticker(out, market, index));
                    }
                    _ => {}
                }
            }
            if let Event::Top(..) = event {
                let all = self.market.len();
                for at in 0..self.streams_of[all].len() {
                    let stream = self.streams_of[all][at];
                    if self.streams[stream].kind == Kind::AllBookTickers {
                        self.publish(now_ns, stream, |market, _, out| frames::book_ticker(out, market, index));
                    }
                }
            }
        }
    }

    /// Remembers that a symbol has something for the next batch.
    fn note_change(&mut self, index: usize) {
        let Some(batch) = self.batches.get_mut(index) else { return };
        // An update may find nothing to do, and an event without update numbers does not exist.
        if self.market.update_id(index) == batch.fast {
            return;
        }
        if !std::mem::replace(&mut batch.changed, true) {
            self.dirty.push(index);
        }
        if !std::mem::replace(&mut batch.changed_slow, true) {
            self.dirty_slow.push(index);
        }
    }

    fn end_batches(&mut self, now_ns: u64) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            self.batches[index].changed = false;
            self.end_fast_batch(now_ns, index);
        }
        self.dirty = dirty;
    }

    fn end_fast_batch(&mut self, now_ns: u64, index: usize) {
        self.market.mark_keeping(index, self.batches[index].slow);
        self.publish_books(now_ns, index, false);
        self.batches[index].fast = self.market.update_id(index);
    }

    fn end_slow_batches(&mut self, now_ns: u64) {
        let mut dirty = std::mem::take(&mut self.dirty_slow);
        for index in dirty.drain(..) {
            self.batches[index].changed_slow = false;
            self.end_slow_batch(now_ns, index);
        }
        self.dirty_slow = dirty;
    }

    fn end_slow_batch(&mut self, now_ns: u64, index: usize) {
        self.publish_books(now_ns, index, true);
        self.batches[index].slow = self.market.update_id(index);
    }

    fn publish_books(&mut self, now_ns: u64, index: usize, slow: bool) {
        let from = if slow { self.batches[index].slow } else { self.batches[index].fast };
        let mut gathered = false;
        for at in 0..self.streams_of[index].len() {
            let stream = self.streams_of[index][at];
            if self.streams[stream].subscribers.is_empty() {
                continue;
            }
            match self.streams[stream].kind {
                Kind::Depth { slow: its } if its == slow => {
                    let mut batch = std::mem::take(&mut self.batch);
                    if !gathered {
                        batch.gather(&self.market, index, from);
                        gathered = true;
                    }
                    self.publish(now_ns, stream, |market, unit, out| {
                        frames::depth(out, market.symbol(index), unit.of_ns(now_ns), &batch);
                    });
                    self.batch = batch;
                }
                Kind::Partial { levels, slow: its } if its == slow => {
                    self.publish(now_ns, stream, |market, _, out| {
                        let side = |side| market.levels(index, side).take(levels);
                        let id = market.update_id(index);
                        frames::partial_depth(out, market.symbol(index), id, side(Side::Bid), side(Side::Ask));
                    });
                }
                _ => {}
            }
        }
    }

    /// One book event of the accelerated mode, with the updates that lead to it.
    fn accelerated(&mut self, now_ns: u64) {
        let Some(rate) = &mut self.rate else { return };
        rate.count += 1;
        let Some(index) = rate.turn.get(rate.at % rate.turn.len().max(1)).copied() else { return };
        rate.at = (rate.at + 1) % rate.turn.len();
        let updates = self.rng.u32(1..9);
        let mut events = std::mem::take(&mut self.events);
        for _ in 0..updates {
            self.market.update(index, now_ns, &mut events);
            self.tell(now_ns, &mut events);
        }
        self.events = events;
        // Orders that changed nothing in the end make no event: the venue never sends one without an update number.
        if self.market.update_id(index) == self.batches[index].fast {
            return;
        }
        self.end_fast_batch(now_ns, index);
        self.batches[index].count += 1;
        if self.batches[index].count >= 10 {
            self.batches[index].count = 0;
            self.end_slow_batch(now_ns, index);
        }
    }

    fn every_second(&mut self, now_ns: u64) {
        const DAY: u64 = 86_400_000;
        for stream in 0..self.streams.len() {
            if self.streams[stream].subscribers.is_empty() {
                continue;
            }
            let index = self.streams[stream].symbol;
            match self.streams[stream].kind {
                Kind::Ticker => {
                    let stats = self.market.stats(index, DAY, now_ns);
                    let news = (self.market.update_id(index), 0);
                    if self.is_news(stream, news) {
                        self.publish(now_ns, stream, |market, unit, out| {
                            frames::ticker(out, market, index, &stats, now_ns, unit);
                        });
                    }
                }
                Kind::MiniTicker => {
                    let stats = self.market.stats(index, DAY, now_ns);
                    let news = (self.market.last_trade(index).id, 0);
                    if self.is_news(stream, news) {
                        self.publish(now_ns, stream, |market, unit, out| {
                            frames::mini_ticker(out, market.symbol(index), &stats, now_ns, unit);
                        });
                    }
                }
                Kind::Rolling(window) => {
                    let rolling = &ROLLING[window];
                    let stats = self.market.stats(index, rolling.window_ms, now_ns);
                    let news = (self.market.last_trade(index).id, 0);
                    if self.is_news(stream, news) {
                        self.publish(now_ns, stream, |market, unit, out| {
                            frames::rolling_ticker(out, market.symbol(index), rolling, &stats, now_ns, unit);
                        });
                    }
                }
                Kind::AvgPrice => {
                    let stats = self.market.stats(index, 300_000, now_ns);
                    self.publish(now_ns, stream, |market, unit, out| {
                        frames::avg_price(out, market, index, &stats, now_ns, unit);
                    });
                }
                Kind::Kline(span) => self.publish_kline(now_ns, stream, index, span),
                Kind::AllMiniTickers | Kind::AllTickers | Kind::AllRolling(_) => self.publish_all(now_ns, stream),
                _ => {}
            }
        }
    }

    /// Whether a stream has not told this yet; remembers it.
    fn is_news(&mut self, stream: usize, news: (u64, u64)) -> bool {
        let told = &mut self.streams[stream].told;
        let is_news = *told != news;
        *told = news;
        is_news
    }

    /// Tells a candle when it has closed, and the open one every other second if it is not as it was told.
    fn publish_kline(&mut self, now_ns: u64, stream: usize, index: usize, span: usize) {
        const CLOSED: u64 = u64::MAX;
        self.market.roll(index, span, now_ns);
        let Some((current, closed)) = self.market.candles(index, span) else { return };
        let current = *current;
        let told = self.streams[stream].told;
        let ended = if span == 0 {
            // A candle of a second is told once, when it is over.
            closed.back().filter(|last| last.open_ms != told.0)
        } else {
            let at = closed.binary_search_by_key(&told.0, |candle| candle.open_ms).ok();
            at.filter(|_| told.1 != CLOSED).and_then(|at| closed.get(at))
        };
        if let Some(ended) = ended.copied() {
            self.streams[stream].told = (ended.open_ms, CLOSED);
            self.publish_candle(now_ns, stream, span, &ended, true);
        }
        let even_second = (now_ns / SECOND).is_multiple_of(2);
        if span > 0 && even_second && self.is_news(stream, (current.open_ms, current.trades)) {
            self.publish_candle(now_ns, stream, span, &current, false);
        }
    }

    fn publish_candle(&mut self, now_ns: u64, stream: usize, span: usize, candle: &Candle, closed: bool) {
        let index = self.streams[stream].symbol;
        let kline = Kline { candle, interval: INTERVALS[span], end_ms: SPANS[span].next_ms(candle.open_ms), closed };
        self.publish(now_ns, stream, |market, unit, out| {
            frames::kline(out, market.symbol(index), &kline, now_ns, unit);
        });
    }

    /// The array streams: one object for each symbol that changed since the last time.
    fn publish_all(&mut self, now_ns: u64, stream: usize) {
        let since = self.streams[stream].told.1;
        self.streams[stream].told.1 = now_ns;
        let kind = self.streams[stream].kind;
        let mut changed = Vec::new();
        for index in 0..self.market.len() {
            // The first message after a subscription tells all.
            if since == 0 || self.market.last_trade(index).time_ns > since {
                let window_ms =
                    if let Kind::AllRolling(window) = kind { ROLLING[window].window_ms } else { 86_400_000 };
                changed.push((index, self.market.stats(index, window_ms, now_ns)));
            }
        }
        if changed.is_empty() {
            return;
        }
        self.publish(now_ns, stream, |market, unit, out| {
            for (i, (index, stats)) in changed.iter().enumerate() {
                out.push(if i == 0 { '[' } else { ',' });
                match kind {
                    Kind::AllMiniTickers => frames::mini_ticker(out, market.symbol(*index), stats, now_ns, unit),
                    Kind::AllRolling(window) => {
                        frames::rolling_ticker(out, market.symbol(*index), &ROLLING[window], stats, now_ns, unit);
                    }
                    _ => frames::ticker(out, market, *index, stats, now_ns, unit),
                }
            }
            out.push(']');
        });
    }

    /// Sends one event of a stream to all who subscribed it, through the faults.
    fn publish(&mut self, now_ns: u64, stream: usize, write: impl Fn(&Market, TimeUnit, &mut String)) {
        let it = &mut self.streams[stream];
        if it.subscribers.is_empty() {
            return;
        }
        let mut verdict = Verdict::Pass;
        if !self.faults.is_idle() {
            let symbol = if it.symbol < self.market.len() { &self.market.symbol(it.symbol).name } else { "" };
            verdict = self.faults.on_event(now_ns, symbol, &it.name, &mut self.actions);
            self.counters.faults += u64::from(verdict != Verdict::Pass);
        }
        let mut late = std::mem::take(&mut self.streams[stream].held);
        if verdict != Verdict::Drop {
            let mut written = [false; 2];
            let mut scratch = std::mem::take(&mut self.scratch);
            for i in 0..self.streams[stream].subscribers.len() {
                let index = self.streams[stream].subscribers[i];
                let Some(conn) = self.conns[index as usize].as_ref() else { continue };
                let at = conn.unit as usize;
                if !written[at] {
                    scratch[at].clear();
                    write(&self.market, conn.unit, &mut scratch[at]);
                    written[at] = true;
                }
                let mut text = self.spare.pop().unwrap_or_default();
                if conn.combined {
                    text.push_str("{\"stream\":\"");
                    text.push_str(&self.streams[stream].name);
                    text.push_str("\",\"data\":");
                    text.push_str(&scratch[at]);
                    text.push('}');
                } else {
                    text.push_str(&scratch[at]);
                }
                match verdict {
                    Verdict::Later => {
                        self.streams[stream].held.push((index, text));
                        continue;
                    }
                    Verdict::Corrupt => self.corrupt(&mut text),
                    Verdict::Twice => self.send_event(now_ns, index, text.clone()),
                    _ => {}
                }
                self.send_event(now_ns, index, text);
            }
            self.scratch = scratch;
        }
        for (index, text) in late.drain(..) {
            // Whoever has left the stream since then gets nothing; a new connection in its place was cleared out.
            if self.streams[stream].subscribers.contains(&index) {
                self.send_event(now_ns, index, text);
            }
        }
        if self.streams[stream].held.is_empty() {
            self.streams[stream].held = late;
        }
        if !self.actions.is_empty() {
            self.act(now_ns);
        }
    }

    /// Makes a text that is no JSON any more: cut short, or with a raw control character in it.
    fn corrupt(&mut self, text: &mut String) {
        let mut at = self.faults.pick(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        if self.faults.pick(2) == 0 {
            text.truncate(at);
        } else {
            text.insert(at, '\u{1}');
        }
    }

    fn send_event(&mut self, now_ns: u64, index: u32, text: String) {
        self.send(index, Out::Text(text));
        let Some(conn) = self.conns[index as usize].as_mut() else { return };
        // Acknowledgements that waited for this event.
        if let Some(ack) = conn.acks.front_mut() {
            ack.2 = ack.2.saturating_sub(1);
            if ack.2 == 0 {
                self.send_acks(now_ns, index);
            }
        }
    }

    /// Sends acknowledgements in order, up to the first that still waits.
    fn send_acks(&mut self, now_ns: u64, index: u32) {
        while let Some(conn) = self.conns[index as usize].as_mut() {
            match conn.acks.front() {
                Some((_, due_ns, events)) if *events == 0 || *due_ns <= now_ns => {}
                _ => return,
            }
            if let Some((text, _, _)) = conn.acks.pop_front() {
                self.send(index, Out::Text(text));
            }
        }
    }

    fn send(&mut self, index: u32, out: Out) {
        let Some(conn) = self.conns.get(index as usize).and_then(Option::as_ref) else { return };
        if self.now_ns < conn.silent_until_ns {
            self.counters.faults += 1;
            return;
        }
        if let Out::Text(_) = out {
            self.counters.messages_sent += 1;
        }
        self.queue.push_back((ConnId { index, generation: conn.generation }, out));
    }

    /// Says the last word to a connection and forgets it.
    fn end(&mut self, index: u32, out: Out) {
        if let Some(conn) = self.conns.get(index as usize).and_then(Option::as_ref) {
            self.queue.push_back((ConnId { index, generation: conn.generation }, out));
            self.remove(index);
        }
    }

    fn remove(&mut self, index: u32) {
        let Some(conn) = self.conns[index as usize].take() else { return };
        self.open -= 1;
        for (_, stream) in conn.subscriptions {
            if let Some(stream) = stream {
                self.leave(stream, index);
            }
        }
        self.refresh_turn();
    }

    fn leave(&mut self, stream: usize, index: u32) {
        let stream = &mut self.streams[stream];
        stream.subscribers.retain(|other| *other != index);
        stream.held.retain(|(other, _)| *other != index);
        if stream.subscribers.is_empty() {
            stream.told = (0, 0);
        }
    }

    fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id.index as usize)?.as_mut().filter(|conn| conn.generation == id.generation)
    }

    /// Counts a message of a client; false when the connection is unknown or was closed for too many of them.
    fn count_message(&mut self, now_ns: u64, id: ConnId) -> bool {
        let Some(conn) = self.conn(id) else { return false };
        let within = conn.messages.hit(now_ns).is_ok();
        self.counters.messages_received += 1;
        if !within {
            self.counters.too_many_messages += 1;
            self.end(id.index, Out::Close { code: 1008, reason: "Too many requests".to_owned() });
        }
        within
    }

    /// Pings, missing pongs, lifetimes and late acknowledgements of all connections.
    fn serve_connections(&mut self, now_ns: u64) {
        let mut next_ns = u64::MAX;
        for index in 0..self.conns.len() {
            let Some(conn) = self.conns[index].as_mut() else { continue };
            let at = index as u32;
            if now_ns >= conn.close_ns {
                self.end(at, Out::Close { code: 1001, reason: "going away".to_owned() });
                continue;
            }
            if now_ns >= conn.alive_ns.saturating_add(self.limits.pong_timeout_ns) {
                self.counters.missed_pongs += 1;
                self.end(at, Out::Close { code: 1008, reason: "Pong timeout".to_owned() });
                continue;
            }
            let ack_due = conn.acks.front().is_some_and(|(_, due_ns, _)| *due_ns <= now_ns);
            let ping = now_ns >= conn.next_ping_ns;
            let notice = now_ns >= conn.notice_ns;
            if ping {
                conn.next_ping_ns = now_ns.saturating_add(self.limits.ping_ns);
                conn.ping_payload = (now_ns / MS).to_string().into_bytes();
            }
            let payload = conn.ping_payload.clone();
            if notice {
                conn.notice_ns = u64::MAX;
            }
            if ack_due {
                self.send_acks(now_ns, at);
            }
            if ping {
                self.send(at, Out::Ping(payload));
            }
            if notice {
                self.announce_shutdown(now_ns, at);
            }
            if let Some(conn) = self.conns[index].as_ref() {
                let ack_ns = conn.acks.front().map_or(u64::MAX, |(_, due_ns, _)| *due_ns);
                let pong_ns = conn.alive_ns.saturating_add(self.limits.pong_timeout_ns);
                let own_ns = conn.next_ping_ns.min(pong_ns).min(conn.close_ns).min(conn.notice_ns).min(ack_ns);
                next_ns = next_ns.min(own_ns);
            }
        }
        self.next_conn_ns = next_ns;
    }

    fn announce_shutdown(&mut self, now_ns: u64, index: u32) {
        if !self.variant.shutdown_event {
            return;
        }
        let Some(conn) = self.conns[index as usize].as_ref() else { return };
        let mut text = String::new();
        if conn.combined {
            text.push_str("{\"stream\":\"!serverShutdown\",\"data\":");
        }
        frames::server_shutdown(&mut text, now_ns, conn.unit);
        if conn.combined {
            text.push('}');
        }
        self.send(index, Out::Text(text));
    }

    /// Does what the faults ask for.
    fn act(&mut self, now_ns: u64) {
        let actions = std::mem::take(&mut self.actions);
        for action in &actions {
            if let Action::Wire { fault, until_ns } = action {
                self.wire_faults.retain(|(_, until_ns)| now_ns < *until_ns);
                self.wire_faults.push((*fault, *until_ns));
            }
            let who = match action {
                Action::Close { who, .. }
                | Action::Cut { who }
                | Action::HalfOpen { who }
                | Action::Silence { who, .. } => *who,
                Action::Wire { .. } | Action::Shutdown { .. } => Who::All,
            };
            let mut concerned: Vec<u32> =
                (0..self.conns.len() as u32).filter(|index| self.conns[*index as usize].is_some()).collect();
            if who == Who::One && !concerned.is_empty() {
                concerned = vec![concerned[self.faults.pick(concerned.len())]];
            }
            for index in concerned {
                self.counters.faults += 1;
                match action {
                    Action::Close { code, .. } => self.end(index, Out::Close { code: *code, reason: String::new() }),
                    Action::Cut { .. } => self.end(index, Out::Cut),
                    Action::HalfOpen { .. } => self.end(index, Out::Stall),
                    Action::Wire { fault, until_ns } => self.send(index, Out::Wire(*fault, *until_ns)),
                    Action::Silence { until_ns, .. } => {
                        if let Some(conn) = self.conns[index as usize].as_mut() {
                            conn.silent_until_ns = conn.silent_until_ns.max(*until_ns);
                        }
                    }
                    Action::Shutdown { after_ns } => {
                        self.announce_shutdown(now_ns, index);
                        if let Some(conn) = self.conns[index as usize].as_mut() {
                            conn.close_ns = conn.close_ns.min(now_ns.saturating_add(*after_ns));
                            conn.notice_ns = u64::MAX;
                        }
                        self.next_conn_ns = 0;
                    }
                }
            }
        }
        self.actions = actions;
        self.actions.clear();
    }

    fn subscribe(&mut self, id: ConnId, name: String) {
        let Some(conn) = self.conn(id) else { return };
        if conn.subscriptions.iter().any(|(known, _)| *known == name) {
            return;
        }
        let stream = self.stream(&name);
        match stream {
            Some(stream) => self.streams[stream].subscribers.push(id.index),
            None => self.counters.unknown_streams += 1,
        }
        if let Some(conn) = self.conn(id) {
            conn.subscriptions.push((name, stream));
        }
        self.refresh_turn();
    }

    fn unsubscribe(&mut self, id: ConnId, name: &str) {
        let Some(conn) = self.conn(id) else { return };
        let Some(at) = conn.subscriptions.iter().position(|(known, _)| known == name) else { return };
        let (_, stream) = conn.subscriptions.remove(at);
        if let Some(stream) = stream {
            self.leave(stream, id.index);
            self.refresh_turn();
        }
    }

    /// In the accelerated mode the symbols take turns whose book somebody wants.
    fn refresh_turn(&mut self) {
        let Some(rate) = &mut self.rate else { return };
        rate.turn.clear();
        for index in 0..self.market.len() {
            let wanted = |stream: &usize| {
                let stream = &self.streams[*stream];
                !stream.subscribers.is_empty() && matches!(stream.kind, Kind::Depth { .. } | Kind::Partial { .. })
            };
            if self.streams_of[index].iter().any(wanted) {
                rate.turn.push(index);
            }
        }
        if rate.turn.is_empty() {
            rate.turn.extend(0..self.market.len());
        }
    }

    /// The stream of a name, if the venue has it.
    fn stream(&mut self, name: &str) -> Option<usize> {
        if let Some(known) = self.stream_by_name.get(name) {
            return Some(*known);
        }
        let (symbol, kind) = self.parse_stream(name)?;
        let at = self.streams.len();
        self.streams.push(Stream {
            name: name.to_owned(),
            kind,
            symbol,
            subscribers: Vec::new(),
            told: (0, 0),
            held: Vec::new(),
        });
        self.stream_by_name.insert(name.to_owned(), at);
        self.streams_of[symbol].push(at);
        Some(at)
    }

    fn parse_stream(&self, name: &str) -> Option<(usize, Kind)> {
        let variant = self.variant;
        let all = self.market.len();
        let rolling = |window: &str| ROLLING[..variant.rolling].iter().position(|rolling| rolling.name == window);
        let kind = match name {
            "!miniTicker@arr" => Some(Kind::AllMiniTickers),
            "!ticker@arr" if variant.all_tickers => Some(Kind::AllTickers),
            "!bookTicker" if variant.all_book_tickers => Some(Kind::AllBookTickers),
            _ => name
                .strip_prefix("!ticker_")
                .and_then(|rest| rest.strip_suffix("@arr"))
                .and_then(rolling)
                .map(Kind::AllRolling),
        };
        if let Some(kind) = kind {
            return Some((all, kind));
        }
        let (symbol, topic) = name.split_once('@')?;
        let symbol = *self.lower.get(symbol)?;
        let (head, tail) = topic.split_once('@').map_or((topic, None), |(head, tail)| (head, Some(tail)));
        let slow = match tail {
            None | Some("1000ms") => Some(true),
            Some("100ms") => Some(false),
            _ => None,
        };
        let kind = match (head, tail) {
            ("depth", _) => Kind::Depth { slow: slow? },
            ("depth5", _) => Kind::Partial { levels: 5, slow: slow? },
            ("depth10", _) => Kind::Partial { levels: 10, slow: slow? },
            ("depth20", _) => Kind::Partial { levels: 20, slow: slow? },
            ("trade", None) => Kind::Trade,
            ("aggTrade", None) => Kind::AggTrade,
            ("bookTicker", None) => Kind::BookTicker,
            ("ticker", None) => Kind::Ticker,
            ("miniTicker", None) => Kind::MiniTicker,
            ("avgPrice", None) if variant.avg_price => Kind::AvgPrice,
            (head, tail) => match (head.strip_prefix("kline_"), head.strip_prefix("ticker_"), tail) {
                (Some(name), _, None) => Kind::Kline(interval(name, false, variant)?),
                (Some(name), _, Some("+08:00")) => Kind::Kline(interval(name, true, variant)?),
                (_, Some(window), None) => Kind::Rolling(rolling(window)?),
                _ => return None,
            },
        };
        Some((symbol, kind))
    }

    /// A control message: `{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":1}` and its kin.
    fn request(&mut self, now_ns: u64, conn: ConnId, text: &str) {
        let message: Value = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(error) => {
                self.counters.bad_messages += 1;
                let reply = error_text(3, &format!("Invalid JSON: {error}"), None);
                self.answer(conn, reply);
                return;
            }
        };
        let end = format!("at line 1 column {}", text.trim_end().len());
        let id = match message.get("id") {
            Some(id) if self.is_request_id(id) => Some(id.to_string()),
            _ => None,
        };
        let result = match (&message, &id) {
            (Value::Object(_), Some(_)) => self.command(conn, &message, &end),
            (Value::Object(_), None) => Err((2, "Invalid request: request ID must be an unsigned integer".to_owned())),
            _ => Err((2, format!("Invalid request: missing field `method` {end}"))),
        };
        let id = id.as_deref();
        match result {
            Ok(Reply::Acknowledged) => {
                let mut reply = String::from("{\"result\":null,\"id\":");
                reply.push_str(id.unwrap_or("null"));
                reply.push('}');
                self.acknowledge(now_ns, conn, reply);
            }
            Ok(Reply::Result(result)) => {
                let reply = format!("{{\"result\":{result},\"id\":{}}}", id.unwrap_or("null"));
                self.answer(conn, reply);
            }
            Ok(Reply::TooManyStreams) => {
                self.counters.too_many_streams += 1;
                self.end(conn.index, Out::Close { code: 1008, reason: "Too many streams".to_owned() });
            }
            Err((code, message)) => {
                self.counters.bad_messages += 1;
                self.answer(conn, error_text(code, &message, id));
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

    fn command(&mut self, conn: ConnId, message: &Value, end: &str) -> Result<Reply, (i64, String)> {
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
                let max = self.limits.streams_per_connection;
                for name in names {
                    self.subscribe(conn, name);
                    if self.conn(conn).is_some_and(|it| it.subscriptions.len() > max) {
                        return Ok(Reply::TooManyStreams);
                    }
                }
                Ok(Reply::Acknowledged)
            }
            "UNSUBSCRIBE" => {
                for name in names()? {
                    self.unsubscribe(conn, &name);
                }
                Ok(Reply::Acknowledged)
            }
            "LIST_SUBSCRIPTIONS" => {
                at_most(0)?;
                let mut list = String::from("[");
                if let Some(it) = self.conn(conn) {
                    for (i, (name, _)) in it.subscriptions.iter().enumerate() {
                        if i > 0 {
                            list.push(',');
                        }
                        put_string(&mut list, name);
                    }
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
                if let Some(it) = self.conn(conn) {
                    it.combined = *value;
                }
                Ok(Reply::Result("null".to_owned()))
            }
            "GET_PROPERTY" => {
                property()?;
                at_most(1)?;
                let combined = self.conn(conn).is_some_and(|it| it.combined);
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

    /// Queues an answer behind acknowledgements that still wait.
    fn answer(&mut self, conn: ConnId, text: String) {
        match self.conn(conn) {
            Some(it) if !it.acks.is_empty() => it.acks.push_back((text, 0, 0)),
            Some(_) => self.send(conn.index, Out::Text(text)),
            None => {}
        }
    }

    /// Acknowledges at once, or after the first event or two.
    fn acknowledge(&mut self, now_ns: u64, conn: ConnId, text: String) {
        let waits = self.rng.u32(..100) < self.early_event_percent;
        let events = self.rng.u32(1..3);
        match self.conn(conn) {
            Some(it) if waits => {
                let due_ns = now_ns.saturating_add(ACK_NS_MAX);
                it.acks.push_back((text, due_ns, events));
                self.next_conn_ns = self.next_conn_ns.min(due_ns);
            }
            _ => self.answer(conn, text),
        }
    }
}

enum Reply {
    /// `{"result":null,"id":..}`, perhaps after an event.
    Acknowledged,
    Result(String),
    TooManyStreams,
}

/// A name that could be a stream: anything without spaces, quotes, slashes and control characters.
fn well_formed(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= STREAM_NAME_MAX
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\\' | '/' | ',' | '`'))
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
