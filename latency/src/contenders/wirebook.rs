//! wirebook, by its public interface: an engine with one venue, polled or waited for.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use wirebook::engine::{Engine, EngineConfig, Handler, Outbox, VenueConfig};
use wirebook::model::{Event, FeedId, FeedState, Update};
use wirebook::net::stream::ReadMode;
use wirebook::net::tls::TlsRoots;

use super::order::OrderLink;
use crate::contender::{Contender, Levels, Observer, Target, Top, Waiting};
use crate::sys::now_ns;

/// Subscribing to a thousand streams takes some seconds, because the venue allows five messages a second.
const SETUP_MAX: Duration = Duration::from_secs(40);
/// The most books of a thousand levels whose snapshots fit into a minute's limit.
const LARGE_BOOKS_MAX: u32 = 100;

/// What is measured beside the latency of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    Nothing,
    /// The engine's own histograms are on, as they are by default.
    Metrics,
    /// Time inside of `poll`, per message.
    PollTime,
    /// An order is sent from the callback of every tenth message.
    Orders,
}

/// The contender.
#[derive(Debug)]
pub(super) struct Wirebook {
    read_mode: ReadMode,
    extra: Extra,
    engine: Option<Engine>,
    feeds: Vec<FeedId>,
    poll_ns: Vec<u64>,
    order_ns: Vec<u64>,
}

impl Wirebook {
    pub(super) fn boxed(read_mode: ReadMode, extra: Extra) -> Box<dyn Contender> {
        let (poll_ns, order_ns) = (Vec::with_capacity(1 << 16), Vec::with_capacity(1 << 14));
        Box::new(Wirebook { read_mode, extra, engine: None, feeds: Vec::new(), poll_ns, order_ns })
    }

    fn connect(&mut self, target: &Target) -> Result<(Engine, Rc<Cell<u32>>), String> {
        let explain = |error: wirebook::Error| error.to_string();
        let mut config = EngineConfig { roots: trusted(target)?, read_mode: self.read_mode, ..EngineConfig::default() };
        config.core.metrics = self.extra == Extra::Metrics;
        let mut engine = Engine::new(config).map_err(explain)?;
        let (secure, port) = (if target.tls { "s" } else { "" }, target.addr.port());
        let mut at =
            VenueConfig::at(format!("ws{secure}://localhost:{port}"), format!("http{secure}://localhost:{port}"));
        at.streams_per_link_max = u16::try_from(target.streams.div_ceil(target.sockets)).ok();
        let venue = engine.add_venue_with("binance", at).map_err(explain)?;
        engine.load_markets(venue).map_err(explain)?;
        let depth = (target.streams > LARGE_BOOKS_MAX).then_some(100);
        // The feed's own callback comes before the handler: it says which stream it is about.
        let current = Rc::new(Cell::new(0));
        for stream in 0..target.streams {
            let feed = engine.watch_order_book(venue, &format!("S{stream}/USDT"), depth).map_err(explain)?;
            let current = Rc::clone(&current);
            engine.on(feed, move |_, _| current.set(stream)).map_err(explain)?;
            self.feeds.push(feed);
        }
        Ok((engine, current))
    }

    /// Waits until every subscription is confirmed.
    fn subscribe(&self, engine: &mut Engine) -> Result<(), String> {
        let start = Instant::now();
        loop {
            engine.wait(Some(Duration::from_millis(10))).map_err(|error| error.to_string())?;
            let mut live = 0;
            for feed in &self.feeds {
                match engine.state(*feed).map_err(|error| error.to_string())? {
                    (FeedState::Live, ..) => live += 1,
                    (FeedState::Failed, cause, error) => return Err(format!("a feed failed: {cause}, {error:?}")),
                    _ => {}
                }
            }
            if live == self.feeds.len() {
                return Ok(());
            }
            if start.elapsed() > SETUP_MAX {
                return Err(format!("{live} of {} subscriptions are confirmed after {SETUP_MAX:?}", self.feeds.len()));
            }
        }
    }
}

/// Whom to trust: the sender's authority and nobody else.
#[allow(clippy::needless_update, reason = "with the library's feature `native-roots` there is one field more")]
pub(super) fn trusted(target: &Target) -> Result<TlsRoots, String> {
    if !target.tls {
        return Ok(TlsRoots::default());
    }
    let ca = std::fs::read(&target.ca).map_err(|error| format!("{}: {error}", target.ca.display()))?;
    Ok(TlsRoots { webpki: false, extra: vec![ca], ..TlsRoots::default() })
}

/// Reads the top after every message.
struct Strategy<'a> {
    observer: &'a mut dyn Observer,
    current: Rc<Cell<u32>>,
    running: bool,
    price_factor: i64,
    amount_factor: i64,
    orders: Option<Orders<'a>>,
}

/// Sends an order now and then, on a connection of its own.
struct Orders<'a> {
    link: OrderLink,
    messages: u64,
    /// When the kernel's clock read 0 on the engine's clock.
    offset_ns: i64,
    taken_ns: &'a mut Vec<u64>,
    error: Option<String>,
}

/// Every so many messages.
const ORDER_EVERY: u64 = 10;

impl Handler for Strategy<'_> {
    #[inline]
    fn on_update(&mut self, update: &Update<'_>, _: &mut Outbox) {
        let Event::Book { book, .. } = update.event else { return };
        let (Some(bid), Some(ask), Some(id)) = (book.best_bid(), book.best_ask(), book.nonce()) else { return };
        let top = Top {
            bid: bid.price * self.price_factor,
            bid_amount: bid.qty * self.amount_factor,
            ask: ask.price * self.price_factor,
            ask_amount: ask.qty * self.amount_factor,
        };
        if let Some(orders) = &mut self.orders {
            orders.messages += 1;
            if orders.messages.is_multiple_of(ORDER_EVERY) {
                match orders.link.send() {
                    Ok(()) => {
                        let received_ns = update.received.mono.0 as i64 - orders.offset_ns;
                        orders.taken_ns.push(now_ns().saturating_sub(received_ns as u64));
                    }
                    Err(error) => orders.error = Some(error),
                }
            }
        }
        self.running &= self.observer.on_top(self.current.get(), id, top);
    }
}

impl Contender for Wirebook {
    fn run(&mut self, target: &Target, waiting: Waiting, observer: &mut dyn Observer) -> Result<(), String> {
        let (mut engine, current) = self.connect(target)?;
        self.subscribe(&mut engine)?;
        let market = engine.market_of(self.feeds[0]).map_err(|error| error.to_string())?.ok_or("no market")?;
        let factor = |scale: u8| 10_i64.pow(8 - u32::from(scale.min(8)));
        let (price_factor, amount_factor) = (factor(market.price_scale), factor(market.amount_scale));
        let orders = match self.extra {
            Extra::Orders => Some(Orders {
                link: OrderLink::open(target)?,
                messages: 0,
                offset_ns: 0,
                taken_ns: &mut self.order_ns,
                error: None,
            }),
            _ => None,
        };
        observer.on_ready();
        let mut strategy = Strategy { observer, current, running: true, price_factor, amount_factor, orders };
        while strategy.running {
            let began = if self.extra == Extra::PollTime { now_ns() } else { 0 };
            let work = match waiting {
                Waiting::Spin => engine.poll_with(&mut strategy),
                Waiting::Sleep => engine.wait_with(None, &mut strategy),
            };
            let work = work.map_err(|error| error.to_string())?;
            if self.extra == Extra::PollTime && work.messages > 0 {
                let each = (now_ns() - began) / u64::from(work.messages);
                self.poll_ns.extend(std::iter::repeat_n(each, work.messages as usize));
            }
            if let Some(orders) = &mut strategy.orders
                && work.messages > 0
            {
                // The two clocks drift apart by some parts in a million; looked at after the work, it costs nobody time.
                let (before, ours, after) = (now_ns(), engine.now().mono.0, now_ns());
                orders.offset_ns = ours as i64 - ((before + after) / 2) as i64;
                if let Some(error) = orders.error.take() {
                    return Err(format!("an order was not sent: {error}"));
                }
            }
        }
        self.engine = Some(engine);
        Ok(())
    }

    fn book(&self, stream: u32) -> (Levels, Levels) {
        let feed = self.feeds.get(stream as usize);
        let Some(Ok(book)) = feed.zip(self.engine.as_ref()).map(|(feed, engine)| engine.book(*feed)) else {
            return (Vec::new(), Vec::new());
        };
        let factor = |scale: u8| 10_i64.pow(8 - u32::from(scale.min(8)));
        let (price, amount) = (factor(book.price_scale()), factor(book.amount_scale()));
        let of = |level: wirebook::book::Level| (level.price * price, level.qty * amount);
        (book.bids().map(of).collect(), book.asks().map(of).collect())
    }

    fn samples(&self) -> Vec<(&'static str, Vec<u64>)> {
        let all = [("poll", &self.poll_ns), ("tick-to-trade", &self.order_ns)];
        all.into_iter().filter(|(_, values)| !values.is_empty()).map(|(name, values)| (name, values.clone())).collect()
    }
}
