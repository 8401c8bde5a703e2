//! The engine: one thread, one event loop, every socket of every venue.
//!
//! ```no_run
//! use wirebook::{Engine, EngineConfig};
//!
//! let mut engine = Engine::new(EngineConfig::default())?;
//! let venue = engine.add_venue("binance")?;
//! engine.load_markets(venue)?;
//! let feed = engine.watch_order_book(venue, "BTC/USDT", None)?;
//! loop {
//!     engine.poll()?;
//!     for changed in engine.changed() {
//!         let book = engine.book(*changed)?;
//!         if let (Some(bid), Some(ask)) = (book.best_bid(), book.best_ask()) {
//!             println!("{} / {}", book.price(bid), book.price(ask));
//!         }
//!     }
//!     # let _ = feed;
//! }
//! # Ok::<(), wirebook::Error>(())
//! ```
//!
//! - [`Engine::poll`] never blocks and does bounded work: at most `frames_per_poll_max` messages of each connection.
//!   [`Engine::wait`] sleeps until something happens; what follows the wake-up is the same code.
//! - `Err` from either means that the engine is of no further use. Trouble of one connection or feed is an event.
//! - Events come by looking ([`Engine::changed`]), by a handler ([`Engine::poll_with`]), or by a callback for each feed
//!   ([`Engine::on`]); all three are the same mechanism, and all may be used at once.
//! - Reconnecting, resubscribing, resyncing and staying within the venue's limits is the engine's business.
//!
//! `core` is the engine without sockets, `io` the sockets, `feed` what happens to one message, `link` one connection,
//! `policy` when to try again, `config` what can be set, `handler` what the user hands in.

mod account;
mod config;
mod core;
mod feed;
mod handler;
mod io;
mod link;
mod policy;
mod private;

pub use self::core::{Command, Core, Counters, LinkDown, LinkId, NoSink, RequestId, Sink};
pub use config::{Config, EngineConfig, HostConfig, VenueConfig};
pub use handler::{Callback, Handler, NoHandler, Outbox};
pub use io::Work;
pub use policy::{Backoff, RollingWindow};

use std::time::Duration;

use self::feed::{Data, Feed};
use self::handler::OutRequest;
use self::io::{Io, StampedSink, now};
use crate::book::Book;
use crate::error::{Error, ErrorKind};
use crate::market::{Market, Markets};
use crate::metrics::{Counter, MetricId, Metrics, Stage};
use crate::model::{
    BidAsk, Candle, Cause, FeedId, FeedState, MarketId, Mono, Ring, Stamp, Status, Ticker, Timeframe, Trade, Update,
    VenueId,
};
use crate::net::url::Url;
use crate::sys::Failure;
use crate::sys::clock::Clock;
use crate::venue::Channel;

/// The engine. See the [module](self).
pub struct Engine {
    core: Core,
    io: Io,
    clock: Clock,
    clock_tick_at: Mono,
    callbacks: Vec<Option<(FeedId, Callback)>>,
    outbox: Outbox,
    metrics: Metrics,
    /// Histograms of the core's rows.
    metric_ids: Vec<MetricId>,
    measure: bool,
    failures: Vec<Failure>,
}

/// Venues times channels that histograms are kept of.
const METRIC_ROWS_MAX: usize = 1_024;

/// The clock is compared with the operating system's about this often.
const CLOCK_TICK_NS: u64 = 1_000_000_000;

impl Engine {
    /// An engine without venues.
    ///
    /// What the operating system refuses of pinning, memory locking and priority is reported by
    /// [`Engine::failures`] and otherwise ignored.
    ///
    /// # Errors
    /// [`ErrorKind::System`] if no epoll instance or no helper thread can be had; [`ErrorKind::NetworkError`] if the
    /// given certificate authorities cannot be read.
    pub fn new(config: EngineConfig) -> Result<Engine, Error> {
        let net = config.net().map_err(|error| io::of_net(&error))?;
        // Before the thread is pinned: its helper for DNS would inherit the core and starve there.
        let io = Io::new(net, config.core.frames_per_poll_max, config.core.seed)?;
        let failures = config.host.apply();
        Ok(Engine {
            measure: config.core.metrics,
            core: Core::new(config.core),
            io,
            clock: Clock::start(),
            clock_tick_at: Mono(0),
            callbacks: Vec::new(),
            outbox: Outbox::default(),
            metrics: Metrics::new(METRIC_ROWS_MAX),
            metric_ids: Vec::new(),
            failures,
        })
    }

    /// What the operating system did not let us do for the thread, and for the sockets made so far; each once.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter().chain(self.io.failures())
    }

    /// The present time on both clocks.
    pub fn now(&self) -> Stamp {
        now(&self.clock)
    }

    // --- Venues and markets -----------------------------------------------------------------------------------------

    /// Adds a venue by its ccxt id, at its own addresses.
    ///
    /// # Errors
    /// [`ErrorKind::NotSupported`] for an unknown id, [`ErrorKind::ExchangeNotAvailable`] for a venue that closed.
    pub fn add_venue(&mut self, id: &str) -> Result<VenueId, Error> {
        self.add_venue_with(id, VenueConfig::default())
    }

    /// Adds a venue with settings of its own, such as another address.
    ///
    /// # Errors
    /// As [`Engine::add_venue`]; [`ErrorKind::BadRequest`] for a URL that cannot be used.
    pub fn add_venue_with(&mut self, id: &str, mut config: VenueConfig) -> Result<VenueId, Error> {
        for (url, websocket) in [(&mut config.ws_url, true), (&mut config.rest_url, false)] {
            let Some(url) = url else { continue };
            let parsed = Url::parse(url).map_err(|error| io::of_net(&error))?;
            if parsed.scheme().is_websocket() != websocket {
                let right = if websocket { "wss:// or ws://" } else { "https:// or http://" };
                return Err(Error::new(ErrorKind::BadRequest, format!("{url} has to begin with {right}")));
            }
            if parsed.target() != "/" {
                let text = format!("{url} has to end with host or port; the path {} is ours to add", parsed.target());
                return Err(Error::new(ErrorKind::BadRequest, text));
            }
            url.truncate(url.trim_end_matches('/').len());
        }
        let venue = self.core.add_venue(id, config)?;
        Ok(venue)
    }

    /// Loads the list of markets, again if it was loaded before, and waits for it: at most three request timeouts.
    /// Everything else goes on meanwhile.
    ///
    /// # Errors
    /// What the venue or the network said; the list is asked for again in the background.
    pub fn load_markets(&mut self, venue: VenueId) -> Result<&Markets, Error> {
        let start = self.now().mono;
        let wait_ms = self.core.config().request_timeout_ms.saturating_mul(3);
        self.core.reload_markets(venue, start);
        loop {
            self.wait(Some(Duration::from_millis(50)))?;
            if self.core.has_markets(venue) && !self.core.is_loading_markets(venue) {
                return Ok(self.core.markets(venue));
            }
            let hopeless = self.core.last_error(venue).filter(|error| error.retry() == crate::Retry::Never);
            if let Some(error) = hopeless {
                return Err(error.clone());
            }
            if self.now().mono.since_ns(start) > wait_ms.saturating_mul(1_000_000) {
                let text = format!("the markets did not come within {wait_ms} ms");
                let late = Error::new(ErrorKind::RequestTimeout, text).at(self.core.profile(venue).id);
                return Err(self.core.last_error(venue).cloned().unwrap_or(late));
            }
        }
    }

    /// As [`Engine::load_markets`], without waiting: [`Engine::markets`] has them when they have come, and
    /// [`Engine::last_error`] says what went wrong meanwhile.
    pub fn request_markets(&mut self, venue: VenueId) {
        let now = self.now().mono;
        self.core.reload_markets(venue, now);
    }

    /// The markets of a venue; empty until they are loaded.
    pub fn markets(&self, venue: VenueId) -> &Markets {
        self.core.markets(venue)
    }

    /// A market.
    pub fn market(&self, id: MarketId) -> Option<&Market> {
        self.core.market(id)
    }

    // --- Watching -----------------------------------------------------------------------------------------------------

    /// Watches any channel: the method behind all `watch_*`. `depth` is the number of levels a side that a book has to
    /// know.
    ///
    /// If the markets are not loaded yet, they are loaded first, and an unknown symbol shows as
    /// [`FeedState::Failed`]. Watching the same again gives the same feed.
    ///
    /// # Errors
    /// [`ErrorKind::BadSymbol`], [`ErrorKind::NotSupported`], [`ErrorKind::BadRequest`], [`ErrorKind::LimitReached`].
    pub fn watch(
        &mut self,
        venue: VenueId,
        symbol: Option<&str>,
        channel: Channel,
        depth: Option<u16>,
    ) -> Result<FeedId, Error> {
        let now = self.now().mono;
        self.core.watch(venue, symbol, channel, depth, now)
    }

    /// Watches an order book of at least `limit` levels a side; `None` for the default depth. Where the venue has a
    /// stream of whole books that deep, it is taken; otherwise a snapshot and deltas.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn watch_order_book(&mut self, venue: VenueId, symbol: &str, limit: Option<u16>) -> Result<FeedId, Error> {
        let channel = self.core.profile(venue).book_channel(limit);
        self.watch(venue, Some(symbol), channel, limit)
    }

    /// Watches the order books of several symbols: all or none.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn watch_order_book_for_symbols(
        &mut self,
        venue: VenueId,
        symbols: &[&str],
        limit: Option<u16>,
    ) -> Result<Vec<FeedId>, Error> {
        let channel = self.core.profile(venue).book_channel(limit);
        self.watch_all(venue, symbols, channel, limit)
    }

    /// Watches single trades.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn watch_trades(&mut self, venue: VenueId, symbol: &str) -> Result<FeedId, Error> {
        self.watch(venue, Some(symbol), Channel::Trades, None)
    }

    /// Watches the trades of several symbols: all or none.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn watch_trades_for_symbols(&mut self, venue: VenueId, symbols: &[&str]) -> Result<Vec<FeedId>, Error> {
        self.watch_all(venue, symbols, Channel::Trades, None)
    }

    /// Watches trades added up by taker order and price.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn watch_agg_trades(&mut self, venue: VenueId, symbol: &str) -> Result<FeedId, Error> {
        self.watch(venue, Some(symbol), Channel::AggTrades, None)
    }

    /// Watches a ticker.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn watch_ticker(&mut self, venue: VenueId, symbol: &str) -> Result<FeedId, Error> {
        self.watch(venue, Some(symbol), Channel::Ticker, None)
    }

    /// Watches the tickers of these symbols, each a feed; or, for no symbols, those of all markets as one feed.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn watch_tickers(&mut self, venue: VenueId, symbols: &[&str]) -> Result<Vec<FeedId>, Error> {
        if symbols.is_empty() {
            return Ok(vec![self.watch(venue, None, Channel::AllTickers, None)?]);
        }
        self.watch_all(venue, symbols, Channel::Ticker, None)
    }

    /// Watches best bid and ask of these symbols, each a feed; or, for no symbols, those of all markets as one feed.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn watch_bids_asks(&mut self, venue: VenueId, symbols: &[&str]) -> Result<Vec<FeedId>, Error> {
        if symbols.is_empty() {
            return Ok(vec![self.watch(venue, None, Channel::AllBidsAsks, None)?]);
        }
        self.watch_all(venue, symbols, Channel::BidAsk, None)
    }

    /// Watches candles.
    ///
    /// # Errors
    /// As [`Engine::watch`]; [`ErrorKind::NotSupported`] names the intervals there are.
    pub fn watch_ohlcv(&mut self, venue: VenueId, symbol: &str, timeframe: Timeframe) -> Result<FeedId, Error> {
        self.watch(venue, Some(symbol), Channel::Candles(timeframe), None)
    }

    /// Watches candles of several symbols and intervals: all or none.
    ///
    /// # Errors
    /// As [`Engine::watch_ohlcv`].
    pub fn watch_ohlcv_for_symbols(
        &mut self,
        venue: VenueId,
        symbols: &[(&str, Timeframe)],
    ) -> Result<Vec<FeedId>, Error> {
        let wanted: Vec<_> =
            symbols.iter().map(|(symbol, timeframe)| (*symbol, Channel::Candles(*timeframe))).collect();
        self.watch_each(venue, &wanted, None)
    }

    /// Watches the status of a venue: asked for by REST every `status_every_ms`, and what the streams say.
    ///
    /// # Errors
    /// As [`Engine::watch`].
    pub fn watch_status(&mut self, venue: VenueId) -> Result<FeedId, Error> {
        self.watch(venue, None, Channel::Status, None)
    }

    fn watch_all(
        &mut self,
        venue: VenueId,
        symbols: &[&str],
        channel: Channel,
        depth: Option<u16>,
    ) -> Result<Vec<FeedId>, Error> {
        let wanted: Vec<_> = symbols.iter().map(|symbol| (*symbol, channel)).collect();
        self.watch_each(venue, &wanted, depth)
    }

    fn watch_each(
        &mut self,
        venue: VenueId,
        wanted: &[(&str, Channel)],
        depth: Option<u16>,
    ) -> Result<Vec<FeedId>, Error> {
        if wanted.is_empty() {
            return Err(Error::new(ErrorKind::ArgumentsRequired, "name at least one symbol"));
        }
        let now = self.now().mono;
        let mut feeds: Vec<FeedId> = Vec::with_capacity(wanted.len());
        for (symbol, channel) in wanted {
            let before = self.core.find_feed(venue, Some(symbol), *channel);
            match self.core.watch(venue, Some(symbol), *channel, depth, now) {
                Ok(feed) if before.is_none() => feeds.push(feed),
                Ok(_) => {}
                Err(error) => {
                    // Only what this call began is ended again.
                    for feed in feeds {
                        self.core.unwatch(feed, now)?;
                    }
                    return Err(error);
                }
            }
        }
        wanted.iter().map(|(symbol, channel)| self.core.watch(venue, Some(symbol), *channel, depth, now)).collect()
    }

    /// Ends a feed; its handle is stale from now on. Other feeds are not touched.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`].
    pub fn unwatch(&mut self, feed: FeedId) -> Result<(), Error> {
        let now = self.now().mono;
        self.core.unwatch(feed, now)?;
        if let Some(slot) = self.callbacks.get_mut(feed.slot as usize) {
            *slot = None;
        }
        Ok(())
    }

    /// Ends the feed that watches this channel of this market.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] if there is none.
    pub fn unwatch_channel(&mut self, venue: VenueId, symbol: Option<&str>, channel: Channel) -> Result<(), Error> {
        match self.core.find_feed(venue, symbol, channel) {
            Some(feed) => self.unwatch(feed),
            None => {
                let error = Error::new(ErrorKind::BadRequest, format!("no {} is watched here", channel.as_str()));
                Err(error.at(self.core.profile(venue).id).with_symbol(symbol.unwrap_or("")))
            }
        }
    }

    /// Ends all order books of this symbol, however deep.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] if there is none.
    pub fn unwatch_order_book(&mut self, venue: VenueId, symbol: &str) -> Result<(), Error> {
        let depths = self.core.profile(venue).top_depths.iter().map(|depth| Channel::TopBook(*depth));
        let channels = depths.chain([Channel::Book]);
        let feeds: Vec<FeedId> =
            channels.filter_map(|channel| self.core.find_feed(venue, Some(symbol), channel)).collect();
        if feeds.is_empty() {
            return self.unwatch_channel(venue, Some(symbol), Channel::Book);
        }
        feeds.into_iter().try_for_each(|feed| self.unwatch(feed))
    }

    /// Ends the order books of several symbols.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] at the first that is not watched; those before it have ended.
    pub fn unwatch_order_book_for_symbols(&mut self, venue: VenueId, symbols: &[&str]) -> Result<(), Error> {
        symbols.iter().try_for_each(|symbol| self.unwatch_order_book(venue, symbol))
    }

    /// Ends single trades of a symbol.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] if there are none.
    pub fn unwatch_trades(&mut self, venue: VenueId, symbol: &str) -> Result<(), Error> {
        self.unwatch_channel(venue, Some(symbol), Channel::Trades)
    }

    /// Ends single trades of several symbols.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] at the first that is not watched; those before it have ended.
    pub fn unwatch_trades_for_symbols(&mut self, venue: VenueId, symbols: &[&str]) -> Result<(), Error> {
        symbols.iter().try_for_each(|symbol| self.unwatch_trades(venue, symbol))
    }

    /// Ends aggregated trades of a symbol.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] if there are none.
    pub fn unwatch_agg_trades(&mut self, venue: VenueId, symbol: &str) -> Result<(), Error> {
        self.unwatch_channel(venue, Some(symbol), Channel::AggTrades)
    }

    /// Ends a ticker.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] if there is none.
    pub fn unwatch_ticker(&mut self, venue: VenueId, symbol: &str) -> Result<(), Error> {
        self.unwatch_channel(venue, Some(symbol), Channel::Ticker)
    }

    /// Ends the tickers of these symbols, or, for no symbols, the feed of all tickers.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] at the first that is not watched; those before it have ended.
    pub fn unwatch_tickers(&mut self, venue: VenueId, symbols: &[&str]) -> Result<(), Error> {
        if symbols.is_empty() {
            return self.unwatch_channel(venue, None, Channel::AllTickers);
        }
        symbols.iter().try_for_each(|symbol| self.unwatch_ticker(venue, symbol))
    }

    /// Ends best bid and ask of these symbols, or, for no symbols, the feed of all.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] at the first that is not watched; those before it have ended.
    pub fn unwatch_bids_asks(&mut self, venue: VenueId, symbols: &[&str]) -> Result<(), Error> {
        if symbols.is_empty() {
            return self.unwatch_channel(venue, None, Channel::AllBidsAsks);
        }
        symbols.iter().try_for_each(|symbol| self.unwatch_channel(venue, Some(symbol), Channel::BidAsk))
    }

    /// Ends candles.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] if there are none.
    pub fn unwatch_ohlcv(&mut self, venue: VenueId, symbol: &str, timeframe: Timeframe) -> Result<(), Error> {
        self.unwatch_channel(venue, Some(symbol), Channel::Candles(timeframe))
    }

    /// Ends candles of several symbols and intervals.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] at the first that is not watched; those before it have ended.
    pub fn unwatch_ohlcv_for_symbols(&mut self, venue: VenueId, symbols: &[(&str, Timeframe)]) -> Result<(), Error> {
        symbols.iter().try_for_each(|(symbol, timeframe)| self.unwatch_ohlcv(venue, symbol, *timeframe))
    }

    /// Ends the status of a venue.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] if it is not watched.
    pub fn unwatch_status(&mut self, venue: VenueId) -> Result<(), Error> {
        self.unwatch_channel(venue, None, Channel::Status)
    }

    /// Calls `callback` for each event of a feed, instead of the one set before. A callback cannot poll; what it wants
    /// done goes into the [`Outbox`].
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`].
    pub fn on(&mut self, feed: FeedId, callback: impl FnMut(&Update<'_>, &mut Outbox) + 'static) -> Result<(), Error> {
        self.core.feed(feed)?;
        let slot = feed.slot as usize;
        if self.callbacks.len() <= slot {
            self.callbacks.resize_with(slot + 1, || None);
        }
        self.callbacks[slot] = Some((feed, Box::new(callback)));
        Ok(())
    }

    // --- Running --------------------------------------------------------------------------------------------------

    /// Does what can be done now, without blocking.
    ///
    /// # Errors
    /// [`ErrorKind::System`]: the engine is of no further use.
    #[inline]
    pub fn poll(&mut self) -> Result<Work, Error> {
        self.cycle(Some(Duration::ZERO), &mut NoHandler)
    }

    /// As [`Engine::poll`], with a handler for all events.
    ///
    /// # Errors
    /// As [`Engine::poll`].
    #[inline]
    pub fn poll_with<H: Handler>(&mut self, handler: &mut H) -> Result<Work, Error> {
        self.cycle(Some(Duration::ZERO), handler)
    }

    /// Sleeps until something happens, a timer is due, or `timeout` has passed.
    ///
    /// # Errors
    /// As [`Engine::poll`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Work, Error> {
        self.wait_with(timeout, &mut NoHandler)
    }

    /// As [`Engine::wait`], with a handler for all events.
    ///
    /// # Errors
    /// As [`Engine::poll`].
    pub fn wait_with<H: Handler>(&mut self, timeout: Option<Duration>, handler: &mut H) -> Result<Work, Error> {
        let due_ns = self.core.next_deadline().since_ns(self.now().mono);
        // The kernel counts in milliseconds; rounding up spares a second wake-up.
        let due = Duration::from_nanos(due_ns.min(3_600_000_000_000)) + Duration::from_micros(999);
        let sleep = if self.io.has_more() { Duration::ZERO } else { timeout.unwrap_or(due).min(due) };
        self.cycle(Some(sleep), handler)
    }

    /// When the next timer is due, by the monotonic clock of [`Engine::now`].
    pub fn next_deadline(&self) -> Mono {
        self.core.next_deadline()
    }

    fn cycle<H: Handler>(&mut self, timeout: Option<Duration>, handler: &mut H) -> Result<Work, Error> {
        if self.measure && self.core.metric_row_count() != self.metric_ids.len() {
            self.register_metrics();
        }
        let Engine { core, io, clock, callbacks, outbox, metrics, metric_ids, .. } = self;
        core.begin_cycle();
        let (received, filled) = (Mono(0), Mono(0));
        let mut sink = EngineSink { callbacks, handler, outbox, metrics, metric_ids, clock, received, filled };
        io.carry_out(core, clock, &mut sink);
        let work = io.turn(timeout, core, clock, &mut sink)?;
        let stamp = now(clock);
        // Before all else: an order from a callback goes out in the cycle that brought its cause.
        while let Some(request) = sink.outbox.pop() {
            carry_out(request, core, stamp, &mut sink);
        }
        io.carry_out(core, clock, &mut sink);
        if stamp.mono >= core.next_deadline() {
            core.on_tick(stamp, &mut sink);
            io.carry_out(core, clock, &mut sink);
        }
        if stamp.mono >= self.clock_tick_at {
            self.clock_tick_at = stamp.mono.after_ns(CLOCK_TICK_NS);
            let at = self.clock.now();
            self.clock.tick(at);
        }
        Ok(work)
    }

    /// Takes memory for the histograms of channels that are new.
    #[cold]
    fn register_metrics(&mut self) {
        let rows = self.core.metric_rows();
        for (venue, channel, _) in rows.into_iter().skip(self.metric_ids.len()) {
            match self.metrics.register(venue, channel, &MEASURED) {
                Ok(id) => self.metric_ids.push(id),
                Err(full) => {
                    log::warn!("{venue} {channel}: {full}");
                    self.measure = false;
                    return;
                }
            }
        }
    }

    // --- Looking ------------------------------------------------------------------------------------------------------

    /// The feeds that changed in the last poll, each once.
    #[inline]
    pub fn changed(&self) -> &[FeedId] {
        self.core.changed()
    }

    /// The order book of a feed. Its accessors answer only while it is live.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`]; [`ErrorKind::BadRequest`] if the feed has no books;
    /// [`ErrorKind::OperationFailed`] before its market is known.
    #[inline]
    pub fn book(&self, feed: FeedId) -> Result<&Book, Error> {
        self.core.book(feed)
    }

    /// The last trades of a feed.
    ///
    /// # Errors
    /// As [`Engine::book`].
    pub fn trades(&self, feed: FeedId) -> Result<&Ring<Trade>, Error> {
        let feed = self.core.feed(feed)?;
        match &feed.data {
            Data::Trades(ring) => Ok(ring),
            _ => Err(no_such(feed, "trades")),
        }
    }

    /// The last candles of a feed.
    ///
    /// # Errors
    /// As [`Engine::book`].
    pub fn candles(&self, feed: FeedId) -> Result<&Ring<Candle>, Error> {
        let feed = self.core.feed(feed)?;
        match &feed.data {
            Data::Candles(ring) => Ok(ring),
            _ => Err(no_such(feed, "candles")),
        }
    }

    /// The last ticker of a feed, if one came.
    ///
    /// # Errors
    /// As [`Engine::book`].
    pub fn ticker(&self, feed: FeedId) -> Result<Option<&Ticker>, Error> {
        let feed = self.core.feed(feed)?;
        match &feed.data {
            Data::Ticker(ticker) => Ok(ticker.as_deref()),
            _ => Err(no_such(feed, "single ticker")),
        }
    }

    /// The last ticker of one market in the feed of all tickers, if one came.
    ///
    /// # Errors
    /// As [`Engine::book`].
    pub fn ticker_of(&self, feed: FeedId, market: MarketId) -> Result<Option<&Ticker>, Error> {
        let feed = self.core.feed(feed)?;
        match &feed.data {
            Data::Tickers(rows) => Ok(rows.get(market.index as usize).and_then(Option::as_ref)),
            _ => Err(no_such(feed, "tickers of all markets")),
        }
    }

    /// Best bid and ask of a feed, if one came.
    ///
    /// # Errors
    /// As [`Engine::book`].
    pub fn bid_ask(&self, feed: FeedId) -> Result<Option<&BidAsk>, Error> {
        let feed = self.core.feed(feed)?;
        match &feed.data {
            Data::BidAsk(quote) => Ok(quote.as_ref()),
            _ => Err(no_such(feed, "single bid and ask")),
        }
    }

    /// Best bid and ask of one market in the feed of all of them, if one came.
    ///
    /// # Errors
    /// As [`Engine::book`].
    pub fn bid_ask_of(&self, feed: FeedId, market: MarketId) -> Result<Option<&BidAsk>, Error> {
        let feed = self.core.feed(feed)?;
        match &feed.data {
            Data::BidsAsks(rows) => Ok(rows.get(market.index as usize).and_then(Option::as_ref)),
            _ => Err(no_such(feed, "bids and asks of all markets")),
        }
    }

    /// What is known of the health of a venue.
    pub fn status(&self, venue: VenueId) -> Status {
        self.core.status(venue)
    }

    /// Where a feed stands, why, and the error behind it.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`].
    pub fn state(&self, feed: FeedId) -> Result<(FeedState, Cause, Option<&Error>), Error> {
        self.core.feed_state(feed)
    }

    /// The market of a feed, once it is known.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`].
    pub fn market_of(&self, feed: FeedId) -> Result<Option<&Market>, Error> {
        Ok(self.core.feed(feed)?.market.and_then(|market| self.core.market(market)))
    }

    /// All feeds there are.
    pub fn feeds(&self) -> impl Iterator<Item = FeedId> {
        self.core.all_feeds().map(|feed| feed.id)
    }

    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        self.core.counters()
    }

    /// The last trouble of a venue outside of any feed.
    pub fn last_error(&self, venue: VenueId) -> Option<&Error> {
        self.core.last_error(venue)
    }

    /// Latencies by venue, channel and stage.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

fn no_such(feed: &Feed, what: &str) -> Error {
    match feed.data {
        Data::None => Error::new(ErrorKind::OperationFailed, "the markets are not loaded yet"),
        _ => Error::new(ErrorKind::BadRequest, format!("this feed has {}, no {what}", feed.channel.as_str())),
    }
}

fn carry_out(request: OutRequest, core: &mut Core, now: Stamp, sink: &mut impl Sink) {
    let outcome = match request {
        OutRequest::Watch { venue, symbol, channel, depth } => {
            core.watch(venue, symbol.as_deref(), channel, depth, now.mono).map(|_| ())
        }
        OutRequest::Unwatch(feed) => core.unwatch(feed, now.mono),
        OutRequest::Create(order) => {
            core.create_order_later(&order, now, sink);
            Ok(())
        }
        OutRequest::Cancel(order) => core.cancel_order(order, now),
        OutRequest::Edit(order, price, amount) => core.edit_order(order, price, amount, now),
        OutRequest::CancelAll(venue, market) => core.cancel_all_orders(venue, market, now).map(|_| ()),
    };
    if let Err(error) = outcome {
        log::warn!("a request from a callback was refused: {error}");
    }
}

/// The stages that the engine measures.
const MEASURED: [Stage; 5] = [Stage::Kernel, Stage::Decrypted, Stage::Parsed, Stage::Book, Stage::User];

/// Runs callbacks and keeps histograms.
struct EngineSink<'a, H> {
    callbacks: &'a mut [Option<(FeedId, Callback)>],
    handler: &'a mut H,
    outbox: &'a mut Outbox,
    metrics: &'a mut Metrics,
    /// Empty when nothing is measured.
    metric_ids: &'a [MetricId],
    clock: &'a Clock,
    /// When the read began that the present message came with, and when its bytes lay decrypted.
    received: Mono,
    filled: Mono,
}

impl<H: Handler> Sink for EngineSink<'_, H> {
    #[inline]
    fn update(&mut self, update: &Update<'_>) {
        if let Some(Some((feed, callback))) = self.callbacks.get_mut(update.feed.slot as usize)
            && *feed == update.feed
        {
            callback(update, self.outbox);
        }
        self.handler.on_update(update, self.outbox);
    }

    #[inline]
    fn stage(&mut self, metric: u32, stage: Stage) {
        let Some(id) = self.metric_ids.get(metric as usize) else { return };
        if stage == Stage::Parsed {
            self.metrics.add(*id, Counter::Messages, 1);
            self.metrics.record(*id, Stage::Decrypted, self.filled.since_ns(self.received));
        }
        self.metrics.record(*id, stage, now(self.clock).mono.since_ns(self.received));
    }

    #[inline]
    fn passed(&mut self, metric: u32, stage: Stage, ns: u64) {
        if let Some(id) = self.metric_ids.get(metric as usize) {
            self.metrics.record(*id, stage, ns);
        }
    }
}

impl<H: Handler> StampedSink for EngineSink<'_, H> {
    #[inline]
    fn read_began(&mut self, received: Stamp) {
        self.received = received.mono;
        self.filled = received.mono;
    }

    #[inline]
    fn read_ended(&mut self) {
        if !self.metric_ids.is_empty() {
            self.filled = now(self.clock).mono;
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("core", &self.core).finish_non_exhaustive()
    }
}
