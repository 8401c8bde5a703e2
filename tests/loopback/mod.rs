//! An engine and a loopback venue on real sockets, with every live book compared with the truth.

use std::time::{Duration, Instant};

use wirebook::book::Book;
use wirebook::credentials::Credentials;
use wirebook::engine::{Backoff, Config};
use wirebook::model::{FeedId, VenueId};
use wirebook::sim::faults::Script;
use wirebook::sim::market::{Side, fingerprint_level};
use wirebook::sim::server::{Server, ServerConfig};
use wirebook::sim::{self, SnapshotMix, VenueKind};
use wirebook::{Engine, EngineConfig, VenueConfig};

/// A venue with small books, so that no snapshot is cut and whole books can be compared.
pub fn sim(symbols: usize, script: &str) -> sim::Config {
    sim_of(VenueKind::Binance, symbols, script)
}

pub fn sim_of(kind: VenueKind, symbols: usize, script: &str) -> sim::Config {
    let mut config = sim::Config::new(kind).with_symbols(symbols);
    config.levels = 20;
    config.snapshot = SnapshotMix::TRYING;
    config.script = Script::parse(script).unwrap();
    config
}

pub fn engine_config() -> EngineConfig {
    let mut core = Config::default();
    core.stale_after_ms = Some(2_000);
    core.reconnect = Backoff { first_ms: 50, max_ms: 1_000 };
    core.retry = Backoff { first_ms: 50, max_ms: 1_000 };
    core.request_timeout_ms = 3_000;
    EngineConfig { core, ..EngineConfig::default() }
}

pub struct Loopback {
    pub server: Server,
    pub engine: Engine,
    pub venue: VenueId,
}

impl Loopback {
    pub fn start(sim: sim::Config, tls: bool, config: EngineConfig) -> Loopback {
        Loopback::start_as(sim, tls, config, None)
    }

    /// The same with the keys of an account.
    pub fn start_as(
        sim: sim::Config,
        tls: bool,
        mut config: EngineConfig,
        credentials: Option<Credentials>,
    ) -> Loopback {
        let id = sim.venue.name();
        let server = Server::start(ServerConfig { tls, ..ServerConfig::new(sim) }).unwrap();
        config.roots.extra.extend(server.ca_pem().map(|pem| pem.as_bytes().to_vec()));
        let mut engine = Engine::new(config).unwrap();
        let mut at = VenueConfig::at(server.ws_url(), server.rest_url());
        at.credentials = credentials;
        let venue = engine.add_venue_with(id, at).unwrap();
        Loopback { server, engine, venue }
    }

    /// Polls until `done`, at most for `limit_s`; whether it is done.
    pub fn run_until(&mut self, limit_s: u64, mut done: impl FnMut(&mut Engine, &Server) -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(limit_s);
        while Instant::now() < deadline {
            self.engine.wait(Some(Duration::from_millis(20))).unwrap();
            if done(&mut self.engine, &self.server) {
                return true;
            }
        }
        false
    }

    pub fn all_live(&mut self, feeds: &[FeedId], limit_s: u64) -> bool {
        self.run_until(limit_s, |engine, _| feeds.iter().all(|feed| engine.book(*feed).unwrap().is_live()))
    }
}

/// A live book against the venue's truth at the same update number, or at any where the venue has no numbers. `None`: the
/// venue remembers no such number.
pub fn is_true(book: &Book, symbol: &str, server: &Server) -> Option<bool> {
    let bids = book.bids().map(|level| fingerprint_level(Side::Bid, level.price, level.qty));
    let asks = book.asks().map(|level| fingerprint_level(Side::Ask, level.price, level.qty));
    let ours = bids.chain(asks).fold(0, u64::wrapping_add);
    let Some(nonce) = book.nonce() else {
        return Some(server.with_venue(|venue| venue.update_with(symbol, ours)).is_some());
    };
    if server.truth_at(symbol, nonce) == Some(ours) {
        return Some(true);
    }
    server.truth_levels_at(symbol, nonce).map(|truth| truth.fingerprint() == ours)
}
