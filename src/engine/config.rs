//! What can be set, with defaults that need no setting.

use super::policy::Backoff;
use crate::credentials::Credentials;
use crate::net::config::NetConfig;
use crate::net::error::NetError;
use crate::net::stream::ReadMode;
use crate::net::tls::{TlsRecords, TlsRoots};
use crate::sys::Failure;
use crate::sys::socket::SocketOptions;
use crate::sys::thread::{self, RealTimeGuard};

/// Settings of an engine with its sockets and its thread. The default is meant for production without any privilege.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// Policy, limits, sizes.
    pub core: Config,
    /// Certificate authorities: those of webpki-roots, and whatever is added.
    pub roots: TlsRoots,
    /// Options of all sockets.
    pub socket: SocketOptions,
    /// How WebSocket connections are read.
    pub read_mode: ReadMode,
    /// Who opens the records of TLS 1.3: this crate, without an allocation, or rustls.
    pub tls_records: TlsRecords,
    /// What is asked of the operating system for the calling thread.
    pub host: HostConfig,
}

impl EngineConfig {
    pub(super) fn net(&self) -> Result<NetConfig, NetError> {
        let mut net = NetConfig::new(&self.roots)?;
        net.tls = net.tls.with_records(self.tls_records);
        net.socket = self.socket.clone();
        net.read_mode = self.read_mode;
        net.ws.message_bytes_max = self.core.message_bytes_max;
        net.http.body_bytes_max = self.core.body_bytes_max;
        Ok(net)
    }
}

/// What is asked of the operating system for the thread that makes the engine. Nothing by default; nothing of it is
/// fatal when it is refused.
#[derive(Clone, Debug, Default)]
pub struct HostConfig {
    /// Pins the thread to this core.
    pub pin_to_core: Option<usize>,
    /// Keeps all memory of the process from being paged out.
    pub lock_memory: bool,
    /// Runs the thread under SCHED_FIFO with this priority, 1 to 99, bounded by the guard.
    pub real_time: Option<(u8, RealTimeGuard)>,
}

impl HostConfig {
    /// Asks for all that is set; what was refused.
    pub(super) fn apply(&self) -> Vec<Failure> {
        let pinned = self.pin_to_core.map(thread::pin_to_core);
        let locked = self.lock_memory.then(thread::lock_memory);
        let real_time = self.real_time.map(|(priority, guard)| thread::real_time(priority, guard));
        [pinned, locked, real_time].into_iter().flatten().filter_map(Result::err).collect()
    }
}

/// Settings of an engine. `Config::default()` is meant for production.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Waits between attempts to connect.
    pub reconnect: Backoff,
    /// Waits between attempts to get a snapshot, or another REST answer.
    pub retry: Backoff,
    /// Resolving, connecting, the TLS and the WebSocket handshake together take at most this long, in milliseconds.
    pub connect_timeout_ms: u64,
    /// A REST answer takes at most this long, in milliseconds.
    pub request_timeout_ms: u64,
    /// A subscription is confirmed within this time, in milliseconds; otherwise the connection is made anew.
    pub subscribe_timeout_ms: u64,
    /// A connection that lasted this long counts as good again: its next failure is its first. In milliseconds.
    pub settled_after_ms: u64,
    /// A book whose snapshot is not joined by any delta is called live after this time, in milliseconds: nothing
    /// happens on its market. Until then the snapshot might be older than the stream.
    pub quiet_after_ms: u64,
    /// A book that stays crossed for so long is fetched anew, in milliseconds.
    pub crossed_ms_max: u64,
    /// A book without a message for so long is shown as stale, in milliseconds. `None`: a quiet book is live, since
    /// nothing happens on many markets for minutes; a dead connection is noticed all the same.
    pub stale_after_ms: Option<u64>,
    /// Levels of a side that a book promises where no limit is asked for.
    pub book_depth: u16,
    /// Levels of a side that a book has room for at least; it has room for twice what it promises anyway.
    pub book_levels_min: usize,
    /// Trades that a feed remembers.
    pub trades_max: usize,
    /// Candles that a feed remembers.
    pub candles_max: usize,
    /// Feeds of one engine.
    pub feeds_max: usize,
    /// Largest WebSocket message, in bytes.
    pub message_bytes_max: usize,
    /// Largest REST answer, in bytes.
    pub body_bytes_max: usize,
    /// Messages of one connection in one poll; what is left waits for the next one, so that others get their turn.
    pub frames_per_poll_max: u32,
    /// An order that is not answered within this time counts as unknown and is looked up, in milliseconds.
    pub order_timeout_ms: u64,
    /// An order that was never heard of, and that the venue does not know so long after it was sent, counts as refused, in
    /// milliseconds.
    pub order_lost_after_ms: u64,
    /// Orders of one account that are remembered, and open ones that there may be.
    pub orders_max: usize,
    /// How often the venue's clock is compared with ours where there are credentials, in milliseconds.
    pub venue_clock_every_ms: u64,
    /// How often a venue without a status stream is asked how it is, in milliseconds.
    pub status_every_ms: u64,
    /// Stages are stamped and histograms kept.
    pub metrics: bool,
    /// Seed of the jitter; two engines should not share it.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            reconnect: Backoff { first_ms: 250, max_ms: 30_000 },
            retry: Backoff { first_ms: 200, max_ms: 10_000 },
            connect_timeout_ms: 10_000,
            request_timeout_ms: 10_000,
            subscribe_timeout_ms: 10_000,
            settled_after_ms: 10_000,
            quiet_after_ms: 1_000,
            crossed_ms_max: 1_000,
            stale_after_ms: None,
            book_depth: 1_000,
            book_levels_min: 0,
            trades_max: 1_000,
            candles_max: 1_000,
            feeds_max: 20_000,
            message_bytes_max: 16 << 20,
            body_bytes_max: 64 << 20,
            frames_per_poll_max: 256,
            order_timeout_ms: 5_000,
            order_lost_after_ms: 10_000,
            orders_max: 1_000,
            venue_clock_every_ms: 60_000,
            status_every_ms: 60_000,
            metrics: true,
            seed: fastrand::u64(..),
        }
    }
}

/// Settings of one venue in an engine; everything unset follows the venue's profile.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VenueConfig {
    /// Base URL of the streams, `wss://host:port`.
    pub ws_url: Option<String>,
    /// Base URL of REST, `https://host:port`.
    pub rest_url: Option<String>,
    /// Streams on one socket.
    pub streams_per_link_max: Option<u16>,
    /// The venue cuts a connection after this many seconds; it is replaced before that.
    pub lifetime_s: Option<u32>,
    /// Base URL of the private socket, `wss://host:port`; that of the streams if only that one is set.
    pub private_ws_url: Option<String>,
    /// Keys of an account: private feeds, orders and private REST need them.
    pub credentials: Option<Credentials>,
}

impl VenueConfig {
    /// Both base URLs at another place, such as a loopback venue.
    pub fn at(ws_url: impl Into<String>, rest_url: impl Into<String>) -> VenueConfig {
        VenueConfig { ws_url: Some(ws_url.into()), rest_url: Some(rest_url.into()), ..VenueConfig::default() }
    }
}
