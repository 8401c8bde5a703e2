//! Loopback venues: a venue of one's own on 127.0.0.1, behind it a market whose truth is known at every instant.
//!
//! A loopback venue speaks the real venue's protocol as far as it is public: the same paths, REST and WebSocket on one
//! port, the same frames, acknowledgements, pings, limits and refusals. A client written for the real venue talks to it
//! when only its base addresses are changed. What the venue sends can be compared with what is true
//! ([`venue::Venue::truth`]), and trouble can be asked for line by line ([`faults`]).
//!
//! # How to drive it
//! - By sockets: [`server::Server::start`] runs it in a thread of its own, plain or over TLS with its own certificate
//!   authority.
//! - By bytes and a clock of one's own: [`host::Host`] holds the venue and its connections; give it bytes and times, take
//!   bytes and deadlines. The server is a loop of sockets around it.
//! - By messages: [`venue::Venue`] is the venue alone.
//!
//! ```
//! use wirebook::sim::{Config, VenueKind, venue::Venue, wire::Out};
//!
//! let start_ns = 1_700_000_000_000_000_000;
//! let mut venue = Venue::new(&Config::new(VenueKind::Binance), start_ns);
//! let conn = venue.connect(start_ns, "/ws/btcusdt@trade").unwrap();
//! venue.advance(start_ns + 5_000_000_000);
//! while let Some((to, out)) = venue.pop() {
//!     assert_eq!(to, conn);
//!     if let Out::Text(text) = out {
//!         assert!(text.starts_with(r#"{"e":"trade","E":17"#));
//!     }
//! }
//! ```
//!
//! Times are Unix nanoseconds and an argument everywhere; only the server reads a clock. Equal configurations and equal
//! calls give equal answers.
//!
//! # What it never does
//! It shares no encoder, decoder, decimal, book or sync code with the rest of the crate: both sides are written from the
//! venue's documentation, so that one misreading cannot hide in both. It never lets a client make it panic, grow without
//! a named bound, or wait.

pub mod account;
mod binance;
pub mod faults;
pub mod host;
mod hub;
mod kraken;
mod limits;
pub mod market;
mod okex;
pub mod server;
mod shown;
mod text;
pub mod venue;
pub mod wire;

use std::fmt;
use std::str::FromStr;

use account::AccountConfig;
use faults::Script;
use market::Symbol;
use venue::Protocol;

/// Which venue to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VenueKind {
    /// binance.com spot, as of mid 2026.
    Binance,
    /// binance.us spot.
    BinanceUs,
    /// binance.je, closed in 2020, as it was last.
    BinanceJe,
    /// OKX spot (API v5), by its old name.
    Okex,
    /// Kraken spot (WebSocket v2).
    Kraken,
}

impl VenueKind {
    /// All loopback venues.
    pub const ALL: [VenueKind; 5] =
        [VenueKind::Binance, VenueKind::BinanceUs, VenueKind::BinanceJe, VenueKind::Okex, VenueKind::Kraken];

    /// The venue's id.
    pub fn name(self) -> &'static str {
        match self {
            VenueKind::Binance => "binance",
            VenueKind::BinanceUs => "binanceus",
            VenueKind::BinanceJe => "binanceje",
            VenueKind::Okex => "okex",
            VenueKind::Kraken => "kraken",
        }
    }

    /// The first `count` symbols, as the venue spells them.
    fn symbols(self, count: usize) -> Vec<Symbol> {
        let Defaults { quote, separator, .. } = self.defaults();
        let mut symbols = market::symbols(count, quote);
        for symbol in &mut symbols {
            symbol.name = format!("{}{separator}{}", symbol.base, symbol.quote);
        }
        if self == VenueKind::Kraken {
            symbols.iter_mut().for_each(kraken::refine);
        }
        if self == VenueKind::Okex {
            let derivatives = okex::derivatives();
            symbols.truncate(market::SYMBOLS_MAX - derivatives.len());
            symbols.extend(derivatives);
        }
        symbols
    }

    fn defaults(self) -> Defaults {
        match self {
            VenueKind::Binance | VenueKind::BinanceUs | VenueKind::BinanceJe => binance::defaults(self),
            VenueKind::Okex => okex::defaults(),
            VenueKind::Kraken => kraken::defaults(),
        }
    }

    /// The protocol that it speaks.
    fn protocol(self, config: &Config) -> Box<dyn Protocol> {
        match self {
            VenueKind::Binance | VenueKind::BinanceUs | VenueKind::BinanceJe => Box::new(binance::Binance::new(config)),
            VenueKind::Okex => Box::new(okex::Okex::new(config)),
            VenueKind::Kraken => Box::new(kraken::Kraken::new(config)),
        }
    }
}

impl fmt::Display for VenueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for VenueKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        VenueKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let known: Vec<&str> = VenueKind::ALL.iter().map(|kind| kind.name()).collect();
            format!("no loopback venue `{text}`; there are {}", known.join(", "))
        })
    }
}

/// What a venue brings along, see [`Config::new`].
struct Defaults {
    /// Quote asset of most markets.
    quote: &'static str,
    /// Between base and quote in the name of a market.
    separator: &'static str,
    limits: Limits,
}

/// What a loopback venue allows its clients, and how it treats connections. [`Config::new`] sets the venue's own values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages of a client within one second, pings and pongs included; one more closes the connection.
    pub messages_per_s: usize,
    /// Streams of one connection; one more closes it.
    pub streams_per_connection: usize,
    /// New orders within ten seconds.
    pub orders_per_10s: usize,
    /// Connection attempts within a second.
    pub connects_per_s: usize,
    /// Connection attempts within five minutes.
    pub connects_per_5min: usize,
    /// Connection attempts within ten minutes.
    pub connects_per_10min: usize,
    /// Requests to subscribe, to unsubscribe and to log in on one connection within an hour.
    pub commands_per_h: usize,
    /// A connection to which nothing was sent for so long is closed, in nanoseconds.
    pub idle_ns: u64,
    /// REST requests of one kind within a second.
    pub requests_per_s: usize,
    /// REST requests of one kind within two seconds.
    pub requests_per_2s: usize,
    /// REST weight in a minute of the clock.
    pub weight_per_min: u64,
    /// REST requests in five minutes of the clock.
    pub requests_per_5min: u64,
    /// After how many requests that do not heed a 429 the client is banned (418).
    pub ban_after: u32,
    /// Length of the first ban in nanoseconds; each further one is twice as long, up to three days.
    pub ban_ns: u64,
    /// Time between pings of the venue, in nanoseconds.
    pub ping_ns: u64,
    /// A connection is cut when its last good pong is so old, in nanoseconds.
    pub pong_timeout_ns: u64,
    /// Age at which a connection is closed, in nanoseconds.
    pub lifetime_ns: u64,
    /// How long before that the shutdown is announced, in nanoseconds, where the venue has a message for it.
    pub shutdown_notice_ns: u64,
    /// Connections at the same time, of all kinds; further ones are closed at once.
    pub connections_max: usize,
    /// Unsent bytes of one connection; a client that reads so slowly is cut.
    pub out_bytes_max: usize,
}

impl Limits {
    /// No limits but those that protect the loopback venue itself: connections at a time and unsent bytes.
    pub const NONE: Limits = Limits {
        messages_per_s: usize::MAX,
        streams_per_connection: usize::MAX,
        orders_per_10s: usize::MAX,
        connects_per_s: usize::MAX,
        connects_per_5min: usize::MAX,
        connects_per_10min: usize::MAX,
        commands_per_h: usize::MAX,
        idle_ns: u64::MAX,
        requests_per_s: usize::MAX,
        requests_per_2s: usize::MAX,
        weight_per_min: u64::MAX,
        requests_per_5min: u64::MAX,
        ban_after: u32::MAX,
        ban_ns: 0,
        ping_ns: u64::MAX,
        pong_timeout_ns: u64::MAX,
        lifetime_ns: u64::MAX,
        shutdown_notice_ns: 0,
        connections_max: 1_000,
        out_bytes_max: 16 << 20,
    };
}

/// Where in time a book snapshot lies; each member is a share of all snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotMix {
    /// Exactly now, in the middle of a batch, so that the client has to straddle.
    pub now: u32,
    /// At the end of the last batch.
    pub last: u32,
    /// At the end of one of the ten batches before it, so that the client has to drop less or more.
    pub recent: u32,
    /// 30 to 60 batches ago, which is older than what most clients have held, so that they have to fetch again.
    pub old: u32,
}

impl SnapshotMix {
    /// About as the real venue does it: nearly always the end of the last batch.
    pub const REAL: SnapshotMix = SnapshotMix { now: 10, last: 89, recent: 1, old: 0 };
    /// For tests of clients: every case often. Clients that give up when a snapshot is too old fail with it in about
    /// one of eight cases.
    pub const TRYING: SnapshotMix = SnapshotMix { now: 30, last: 40, recent: 25, old: 5 };
}

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which venue to be.
    pub venue: VenueKind,
    /// Seed of everything random: market, snapshots, faults.
    pub seed: u64,
    /// Instruments, at most [`market::SYMBOLS_MAX`]; see [`Config::with_symbols`]. Scales beyond 8 are cut in what the
    /// venue writes, because it writes eight decimals.
    pub symbols: Vec<Symbol>,
    /// Levels per side of each book, about.
    pub levels: usize,
    /// Book updates a second and symbol, in the mean.
    pub updates_per_s: u32,
    /// An acceleration that no real venue has: so many 100 ms depth events a second in all, spread evenly over time and
    /// over the symbols that somebody has subscribed. The market then moves by these events alone, and every tenth of a
    /// symbol also feeds the 1000 ms streams. Rates are from 1 to a million; what is beyond the machine falls behind.
    pub rate: Option<u32>,
    /// Ends of depth events remembered per symbol for `truth_at`, and trades.
    pub history: usize,
    /// Limits.
    pub limits: Limits,
    /// Where book snapshots lie.
    pub snapshot: SnapshotMix,
    /// How often the acknowledgement of a subscription comes after the first event or two, in percent.
    pub early_event_percent: u32,
    /// Least and most time that a REST answer takes, in nanoseconds.
    pub http_delay_ns: (u64, u64),
    /// The one account that the venue knows.
    pub account: AccountConfig,
    /// Faults.
    pub script: Script,
}

/// Marks remembered over all symbols when there are many of them.
const HISTORY_TOTAL: usize = 400_000;

impl Config {
    /// The venue with its own limits, ten known symbols, snapshots as on the real venue and no faults. Tests of clients
    /// will want [`SnapshotMix::TRYING`], fewer levels and fewer symbols.
    pub fn new(venue: VenueKind) -> Self {
        let symbols = venue.symbols(10);
        Config {
            venue,
            seed: 1,
            account: AccountConfig::new(&symbols),
            symbols,
            levels: 300,
            updates_per_s: 20,
            rate: None,
            history: 4_096,
            limits: venue.defaults().limits,
            snapshot: SnapshotMix::REAL,
            early_event_percent: 25,
            http_delay_ns: (1_000_000, 20_000_000),
            script: Script::default(),
        }
    }

    /// The same with `count` symbols, at most [`market::SYMBOLS_MAX`]; with many of them less history is kept of each.
    /// OKX has a perpetual swap and a future beside them.
    pub fn with_symbols(mut self, count: usize) -> Self {
        self.symbols = self.venue.symbols(count);
        self.history = self.history.min((HISTORY_TOTAL / count.max(1)).max(64));
        self
    }
}

/// What happened so far, for tests and reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// WebSocket connections accepted.
    pub connects: u64,
    /// Connections turned away by the limit of attempts.
    pub connects_refused: u64,
    /// Text messages sent to clients, before faults of bytes.
    pub messages_sent: u64,
    /// Messages, pings and pongs received.
    pub messages_received: u64,
    /// REST requests.
    pub requests: u64,
    /// Answers with status 429 that the venue meant.
    pub too_many: u64,
    /// Bans (first answers with status 418 that the venue meant).
    pub bans: u64,
    /// Answers with another status from 400 to 499 that the venue meant.
    pub bad_requests: u64,
    /// Messages to which the answer was an error.
    pub bad_messages: u64,
    /// Subscriptions of streams that do not exist.
    pub unknown_streams: u64,
    /// Connections closed for too many messages a second.
    pub too_many_messages: u64,
    /// Connections closed or refused for too many streams.
    pub too_many_streams: u64,
    /// Connections cut for a missing pong.
    pub missed_pongs: u64,
    /// Connections cut for reading too slowly.
    pub slow_readers: u64,
    /// Breaches of HTTP or WebSocket.
    pub protocol_violations: u64,
    /// Answers and events that a scripted fault touched, and connections that it ended.
    pub faults: u64,
}
