//! The engine without its sockets: feeds, links, requests, timers and policy as one state machine.
//!
//! A driver hands in what happened (a link is up, a message came, a request was answered, time has passed) and carries
//! out the [`Command`]s that come back. The engine drives it with real sockets, tests with a virtual clock, `replay`
//! with recordings; all run the same code. Time is an argument of every call.
//!
//! ```text
//! loop {
//!     core.begin_cycle();
//!     // on_link_up, on_link_down, on_message, on_ping, on_reply as things happen
//!     core.on_tick(now, &mut sink);          // when now >= core.next_deadline()
//!     while let Some(command) = core.next_command() { /* connect, send, close, request */ }
//! }
//! ```

mod fetch;
mod links;
mod orders;
#[cfg(test)]
mod private_tests;
mod requests;
mod session;
#[cfg(test)]
mod tests;
mod timers;
mod trouble;
mod watch;

use std::collections::{HashMap, VecDeque};

use self::session::{OrderNote, Purpose, Session};
use crate::engine::config::{Config, VenueConfig};
use crate::engine::feed::{Announce, Feed, Feeds, Todo};
use crate::engine::link::{Link, LinkPhase, Op};
use crate::engine::policy::RollingWindow;
use crate::error::{Error, ErrorKind};
use crate::market::{Market, Markets};
use crate::metrics::Stage;
pub use crate::model::RequestId;
use crate::model::{Cause, FeedId, FeedState, Health, MarketId, Mono, OrderId, Stamp, Status, Update, VenueId, Wall};
use crate::venue::{
    self, Act, Answer, AnswerError, Ask, Channel, Decoded, Fetch, Fetched, Item, OrderAct, Profile, Reply, Route,
    SignedRequest, Venue,
};

/// A logical connection; its socket may change underneath.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId {
    pub(crate) slot: u32,
    generation: u32,
}

impl LinkId {
    /// Dense number, for a driver's own table; used again after a link is gone.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// What the driver has to do. `Debug` shows no text and no query: logins and signatures are in them.
pub enum Command {
    /// Open a WebSocket to `url`, then call [`Core::on_link_up`] or [`Core::on_link_down`].
    Connect {
        /// The link.
        link: LinkId,
        /// Where to.
        url: String,
    },
    /// Send a text message.
    Send {
        /// The link.
        link: LinkId,
        /// The message.
        text: Vec<u8>,
    },
    /// Send a ping.
    Ping {
        /// The link.
        link: LinkId,
    },
    /// Close the socket. No call is expected for it.
    Close {
        /// The link.
        link: LinkId,
    },
    /// Send a REST request, then call [`Core::on_reply`].
    Request {
        /// The request.
        request: RequestId,
        /// Base URL of the host.
        base: String,
        /// What to send.
        signed: Box<SignedRequest>,
    },
    /// Give up a request: its time is over. No call is expected for it.
    Cancel {
        /// The request.
        request: RequestId,
    },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Command::Connect { link, url } => {
                let path = url.split(['?', '#']).next().unwrap_or("");
                f.debug_struct("Connect").field("link", link).field("url", &path).finish()
            }
            Command::Send { link, text } => {
                f.debug_struct("Send").field("link", link).field("bytes", &text.len()).finish()
            }
            Command::Ping { link } => f.debug_struct("Ping").field("link", link).finish(),
            Command::Close { link } => f.debug_struct("Close").field("link", link).finish(),
            Command::Request { request, base, signed } => {
                f.debug_struct("Request").field("request", request).field("base", base).field("signed", signed).finish()
            }
            Command::Cancel { request } => f.debug_struct("Cancel").field("request", request).finish(),
        }
    }
}

/// Where events go, and stamps. The engine's own sink runs callbacks and keeps histograms.
pub trait Sink {
    /// Something happened.
    fn update(&mut self, update: &Update<'_>);

    /// A message of the feed with histogram row `metric` has come this far.
    #[inline]
    fn stage(&mut self, metric: u32, stage: Stage) {
        let _ = (metric, stage);
    }

    /// It took `ns` nanoseconds for a stage that was measured elsewhere.
    #[inline]
    fn passed(&mut self, metric: u32, stage: Stage, ns: u64) {
        let _ = (metric, stage, ns);
    }
}

/// A sink for what came by REST: its times would tell nothing about the stream.
pub(super) struct Untimed<'a, S>(pub(super) &'a mut S);

impl<S: Sink> Sink for Untimed<'_, S> {
    fn update(&mut self, update: &Update<'_>) {
        self.0.update(update);
    }
}

/// A sink that forgets everything.
#[derive(Debug, Default)]
pub struct NoSink;

impl Sink for NoSink {
    fn update(&mut self, _: &Update<'_>) {}
}

/// Why a connection ended or could not be made, with a sentence for people.
#[derive(Clone, Debug)]
pub struct LinkDown {
    /// What went wrong.
    pub error: Error,
    /// Seconds that the venue asks us to wait.
    pub retry_after_s: Option<u32>,
}

/// A venue of this engine.
struct VenueSlot {
    profile: &'static Profile,
    adapter: Box<dyn Venue>,
    ws_url: String,
    rest_url: String,
    streams_max: usize,
    lifetime_ns: u64,
    markets: Markets,
    list: MarketList,
    /// Markets of the lists that came so far, where there are several.
    listed: Vec<Market>,
    /// Feeds by topic, so that asking twice gives the same feed.
    topics: HashMap<Box<str>, FeedId>,
    links: Vec<LinkId>,
    connects: RollingWindow,
    rest: RestQueue,
    status: Status,
    status_at: Mono,
    last_error: Option<Error>,
    /// The private half, where the venue's is built.
    session: Option<Box<Session>>,
}

/// Where the list of markets stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MarketList {
    None,
    /// Asked for; how often before without success.
    Asked {
        failures: u32,
    },
    /// To be asked for again at this time.
    Later {
        at: Mono,
        failures: u32,
    },
    Loaded,
}

/// REST requests of a venue that wait for their turn.
struct RestQueue {
    window: RollingWindow,
    waiting: VecDeque<RequestId>,
    in_flight: u32,
    /// The venue told us to stay away until then.
    blocked_until: Mono,
    pump_at: Mono,
}

struct Pending {
    venue: VenueId,
    job: Job,
    feed: Option<FeedId>,
    weight: u32,
    /// Until it is sent.
    signed: Option<Box<SignedRequest>>,
    sent: Mono,
    /// `None` while it waits for its turn.
    deadline: Option<Mono>,
}

/// What a REST request is for.
#[derive(Debug)]
enum Job {
    /// The public half of the venue.
    Ask(Ask),
    /// A question of the private half, and what becomes of the answer; `true` if it was asked in a second place already.
    Fetch(Box<Fetch>, Purpose, bool),
    /// A request about an order.
    Order(OrderId, OrderAct),
    /// All orders are cancelled.
    CancelAll,
}

/// REST requests on their way to one venue at the same time.
const REQUESTS_IN_FLIGHT_MAX: u32 = 8;
/// Client messages that are kept free for pongs in each window.
const PONG_RESERVE: u32 = 1;
/// Feeds looked at in one step of housekeeping, so that no poll stalls on a thousand of them.
const HOUSEKEEPING_FEEDS: u32 = 16;
/// All feeds are looked at about this often.
const HOUSEKEEPING_NS: u64 = 100_000_000;
/// A ban without `Retry-After`.
const BAN_S: u64 = 120;
/// A 429 without `Retry-After`.
const SLOW_DOWN_S: u64 = 10;

/// The engine without its sockets.
pub struct Core {
    config: Config,
    venues: Vec<VenueSlot>,
    links: Vec<(u32, Option<Link>)>,
    feeds: Feeds,
    pending: HashMap<RequestId, Pending>,
    next_request: u64,
    commands: VecDeque<Command>,
    decoded: Decoded,
    todo: Vec<Todo>,
    /// Feeds whose state changed where no sink was at hand.
    notes: Vec<(FeedId, Announce)>,
    rng: fastrand::Rng,
    next_deadline: Mono,
    housekeeping_at: Mono,
    housekeeping_slot: u32,
    metric_rows: HashMap<(u16, &'static str), u32>,
    /// Buffers for messages, given back by the driver.
    spare: Vec<Vec<u8>>,
    /// Answers to questions that somebody waits for.
    fetched: HashMap<RequestId, Result<Fetched, Error>>,
    /// Changes of orders for which no sink was at hand, with the answer that brought them.
    order_notes: Vec<OrderNote>,
}

impl Core {
    /// A core without venues.
    pub fn new(config: Config) -> Core {
        let rng = fastrand::Rng::with_seed(config.seed);
        let feeds = Feeds::new(config.crossed_ms_max);
        Core {
            config,
            venues: Vec::new(),
            links: Vec::new(),
            feeds,
            pending: HashMap::new(),
            next_request: 1,
            commands: VecDeque::with_capacity(64),
            decoded: Decoded::new(),
            todo: Vec::with_capacity(64),
            notes: Vec::new(),
            rng,
            next_deadline: Mono::NEVER,
            housekeeping_at: Mono(0),
            housekeeping_slot: 0,
            metric_rows: HashMap::new(),
            spare: Vec::new(),
            fetched: HashMap::new(),
            order_notes: Vec::with_capacity(64),
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Adds a venue by its ccxt id.
    ///
    /// # Errors
    /// [`ErrorKind::NotSupported`] for an unknown id; [`ErrorKind::ExchangeNotAvailable`] for a venue that closed,
    /// unless `config` points elsewhere.
    pub fn add_venue(&mut self, id: &str, config: VenueConfig) -> Result<VenueId, Error> {
        let profile = venue::profile(id)?;
        if let (Some(day), None, None) = (profile.closed, &config.ws_url, &config.rest_url) {
            let text = format!("{} closed on {day}; give the URLs of a simulation to use it", profile.name);
            return Err(Error::new(ErrorKind::ExchangeNotAvailable, text).at(profile.id));
        }
        if self.venues.len() >= usize::from(u16::MAX) {
            return Err(Error::new(ErrorKind::LimitReached, "an engine holds at most 65535 venues"));
        }
        let rest = RestQueue {
            window: RollingWindow::new(profile.rest.weight, profile.rest.window_ms),
            waiting: VecDeque::new(),
            in_flight: 0,
            blocked_until: Mono(0),
            pump_at: Mono(0),
        };
        let session = match profile.trading {
            Some(trading) => Some(Session::new(trading, &config, &self.config).map_err(|error| error.at(profile.id))?),
            None if config.credentials.is_some() => {
                let text = "takes no credentials: its private half is not built";
                return Err(Error::new(ErrorKind::NotSupported, text).at(profile.id));
            }
            None => None,
        };
        let streams_max = config.streams_per_link_max.unwrap_or(profile.streams_per_link_max).max(1);
        self.venues.push(VenueSlot {
            profile,
            adapter: (profile.open)(),
            ws_url: config.ws_url.unwrap_or_else(|| profile.ws_url.to_owned()),
            rest_url: config.rest_url.unwrap_or_else(|| profile.rest_url.to_owned()),
            streams_max: usize::from(streams_max),
            lifetime_ns: u64::from(config.lifetime_s.unwrap_or(profile.lifetime_s)) * 1_000_000_000,
            markets: Markets::default(),
            list: MarketList::None,
            listed: Vec::new(),
            topics: HashMap::new(),
            links: Vec::new(),
            connects: RollingWindow::new(profile.connects.count, profile.connects.window_ms),
            rest,
            status: Status { status: Health::Unknown, updated: Wall(0), emulated: true },
            status_at: Mono::NEVER,
            last_error: None,
            session: session.map(Box::new),
        });
        Ok(VenueId(self.venues.len() as u16 - 1))
    }

    /// The profile of a venue.
    pub fn profile(&self, venue: VenueId) -> &'static Profile {
        self.venues[usize::from(venue.0)].profile
    }

    /// The markets of a venue; empty until they are loaded.
    pub fn markets(&self, venue: VenueId) -> &Markets {
        &self.venues[usize::from(venue.0)].markets
    }

    /// True once the markets of a venue were loaded.
    pub fn has_markets(&self, venue: VenueId) -> bool {
        !self.venues[usize::from(venue.0)].markets.is_empty()
    }

    /// A market.
    pub fn market(&self, id: MarketId) -> Option<&Market> {
        self.venues.get(usize::from(id.venue.0))?.markets.market(id)
    }

    /// What last went wrong at a venue outside of any feed.
    pub fn last_error(&self, venue: VenueId) -> Option<&Error> {
        self.venues[usize::from(venue.0)].last_error.as_ref()
    }

    /// What is known of the health of a venue.
    pub fn status(&self, venue: VenueId) -> Status {
        self.venues[usize::from(venue.0)].status
    }

    /// Asks for the list of markets, again if it was loaded before.
    pub fn load_markets(&mut self, venue: VenueId, now: Mono) {
        if !matches!(self.venues[usize::from(venue.0)].list, MarketList::Asked { .. }) {
            self.ask_markets(venue, 0, now);
        }
    }

    /// As [`Core::load_markets`]; what went wrong before is forgotten, and a pause after a failure is cut short.
    pub(crate) fn reload_markets(&mut self, venue: VenueId, now: Mono) {
        self.venues[usize::from(venue.0)].last_error = None;
        self.load_markets(venue, now);
    }

    /// True while a list of markets is on its way.
    pub(crate) fn is_loading_markets(&self, venue: VenueId) -> bool {
        matches!(self.venues[usize::from(venue.0)].list, MarketList::Asked { .. } | MarketList::Later { .. })
    }

    /// The header in which the venue says how much weight was used.
    pub(crate) fn weight_header(&self, request: RequestId) -> &'static str {
        let venue = self.pending.get(&request).map(|pending| &self.venues[usize::from(pending.venue.0)]);
        venue.map_or("", |venue| venue.profile.weight_header)
    }

    /// Takes over a list of markets that came some other way than by [`Core::load_markets`].
    ///
    /// # Errors
    /// The venue's refusal, or why the list cannot be read.
    pub fn read_markets(&mut self, venue: VenueId, reply: &Reply<'_>, now: Stamp) -> Result<(), Error> {
        let slot = &mut self.venues[usize::from(venue.0)];
        let route = no_route(Channel::Status);
        match slot.adapter.on_reply(Ask::Markets, reply, &route, now.wall, &mut self.decoded) {
            Ok(Answer::Markets(list)) => {
                self.on_markets(venue, list, now.mono);
                Ok(())
            }
            Ok(_) => Err(Error::new(ErrorKind::BadResponse, "not a list of markets")),
            Err(error) => Err(error.into()),
        }
    }

    /// A message came on a link. The way of one message: decode, find its feed, apply, lend to the sink.
    #[inline]
    pub fn on_message(
        &mut self,
        id: LinkId,
        frame: &[u8],
        received: Stamp,
        kernel: Option<Wall>,
        sink: &mut impl Sink,
    ) {
        let Some(link) = link_mut(&mut self.links, id) else { return };
        link.heard = received.mono;
        link.pinged = None;
        link.messages += 1;
        if link.is_private {
            self.on_private(id, frame, received, sink);
            return;
        }
        self.decoded.clear();
        if let Err(error) = link.adapter.on_frame(frame, &link.routes, &mut self.decoded)
            && !self.decode_again(id, frame, error, received, sink)
        {
            self.work_off(received, sink);
            return;
        }
        let Some(link) = link_mut(&mut self.links, id) else { return };
        for item in &self.decoded.items {
            match item {
                Item::Book { route, .. }
                | Item::Trades { route, .. }
                | Item::Ticker { route, symbol: None, .. }
                | Item::BidAsk { route, symbol: None, .. }
                | Item::Candle { route, .. } => {
                    let Some((route, footprint)) = link.routes.with_footprint(*route) else { continue };
                    self.feeds.on_item(route, item, &self.decoded, None, received, kernel, &mut self.todo, sink);
                    if footprint.may_change() {
                        *footprint = self.feeds.footprint(route.feed);
                    }
                }
                Item::Ticker { route, symbol: Some(symbol), .. } | Item::BidAsk { route, symbol: Some(symbol), .. } => {
                    let Some(route) = link.routes.route(*route) else { continue };
                    let text = std::str::from_utf8(symbol.of(frame)).unwrap_or_default();
                    let markets = &self.venues[usize::from(link.venue.0)].markets;
                    let Some(market) = markets.by_venue_symbol(text).map(|market| market.id) else { continue };
                    self.feeds.on_item(
                        route,
                        item,
                        &self.decoded,
                        Some(market),
                        received,
                        kernel,
                        &mut self.todo,
                        sink,
                    );
                }
                Item::Unchanged { route, checksum } => {
                    let Some(route) = link.routes.route(*route) else { continue };
                    self.feeds.on_unchanged(route, *checksum, received, &mut self.todo, sink);
                }
                Item::Ack { id: request } => self.todo.push(Todo::Ack(id, *request)),
                Item::Refusal { id: request, error } => self.todo.push(Todo::Refusal(id, *request, error.clone())),
                Item::Status(health) => self.todo.push(Todo::Status(id, *health)),
                Item::Shutdown => self.todo.push(Todo::Shutdown(id)),
                Item::Settled { act, topic } => self.todo.push(Todo::Settled(id, *act, topic.clone())),
                Item::Subscribed(topics) => self.todo.push(Todo::Subscribed(id, topics.clone())),
                Item::TopicRefused { topic, error } => {
                    self.todo.push(Todo::TopicRefused(id, topic.clone(), error.clone()));
                }
                Item::Heartbeat => {}
                Item::Unrouted => link.unrouted += 1,
            }
        }
        if !self.todo.is_empty() {
            self.work_off(received, sink);
        }
    }

    /// A link is up: the WebSocket handshake is done.
    pub fn on_link_up(&mut self, id: LinkId, now: Stamp, sink: &mut impl Sink) {
        let Some(link) = link_mut(&mut self.links, id) else { return };
        let venue = &self.venues[usize::from(link.venue.0)];
        link.adapter.reset();
        link.phase = LinkPhase::Up(now.mono);
        link.heard = now.mono;
        link.forget_requests();
        let (venue_id, is_private) = (link.venue, link.is_private);
        // Replaced early by a random part of a twentieth of its life, so that many links do not go at once.
        let margin = (venue.lifetime_ns / 20).min(600_000_000_000);
        link.replace_at = now.mono.after_ns(venue.lifetime_ns - margin / 2 - self.rng.u64(0..=margin / 2));
        if let Some(text) = link.adapter.greeting() {
            link.window.record(now.mono, 1);
            self.commands.push_back(Command::Send { link: id, text: text.as_bytes().to_vec() });
        }
        for at in 0..link.feeds.len() {
            let feed_id = link.feeds[at];
            let Some(feed) = self.feeds.at_mut(feed_id.slot) else { continue };
            link.ops.push_back(Op { act: Act::Subscribe, feed: feed_id, topic: feed.topic.clone() });
            feed.state = FeedState::Subscribing;
            self.notes.push((feed_id, Announce::State));
        }
        if is_private {
            self.on_session_up(venue_id, id, now);
        }
        self.pump(id, now.mono);
        self.flush_notes(now, sink);
    }

    /// A link could not be made, or is lost.
    pub fn on_link_down(&mut self, id: LinkId, down: &LinkDown, now: Stamp, sink: &mut impl Sink) {
        let cause = if down.error.kind() == ErrorKind::RequestTimeout { Cause::DeadLink } else { Cause::Disconnected };
        self.lose(id, cause, Some(down), now);
        self.flush_notes(now, sink);
    }

    /// A ping, a pong, or any byte that was no message came on a link; `pongs` is how many pongs were sent in answer.
    #[inline]
    pub fn on_activity(&mut self, id: LinkId, pongs: u32, now: Mono) {
        let Some(link) = link_mut(&mut self.links, id) else { return };
        link.heard = now;
        link.pinged = None;
        link.window.record(now, pongs);
    }

    /// A REST request was answered, or failed.
    pub fn on_reply(&mut self, id: RequestId, reply: Result<Reply<'_>, Error>, now: Stamp, sink: &mut impl Sink) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let venue = &mut self.venues[usize::from(pending.venue.0)];
        venue.rest.in_flight = venue.rest.in_flight.saturating_sub(1);
        if let Ok(reply) = &reply {
            if let Some(used) = reply.weight_used {
                venue.rest.window.at_least(now.mono, used);
            }
            if matches!(reply.status, 418 | 429) {
                let usual_s = if reply.status == 418 { BAN_S } else { SLOW_DOWN_S };
                let wait_s = reply.retry_after_s.map_or(usual_s, u64::from);
                venue.rest.blocked_until = venue.rest.blocked_until.max(now.mono.after_ms(wait_s.max(1) * 1_000));
            }
        }
        let ask = match pending.job {
            Job::Ask(ask) => ask,
            Job::Fetch(ref fetch, purpose, further) => {
                self.on_fetch_reply(id, pending.venue, fetch, (purpose, further), pending.sent, reply, now, sink);
                self.pump_requests(pending.venue, now.mono);
                self.work_off(now, sink);
                return;
            }
            Job::Order(order, act) => {
                self.on_order_reply(order, act, reply, now, sink);
                self.pump_requests(pending.venue, now.mono);
                self.work_off(now, sink);
                return;
            }
            Job::CancelAll => {
                self.on_cancel_all_reply(pending.venue, reply, now);
                self.pump_requests(pending.venue, now.mono);
                self.work_off(now, sink);
                return;
            }
        };
        let outcome = match reply {
            Err(error) => Err(AnswerError::Refused(error)),
            Ok(reply) => self.read_answer(ask, pending.venue, pending.feed, &reply, now),
        };
        match (ask, pending.feed) {
            (Ask::Snapshot { .. }, Some(feed)) => self.on_snapshot_answer(id, feed, outcome, pending.sent, now, sink),
            (Ask::Markets, _) => self.on_markets_answer(pending.venue, 0, outcome, now.mono),
            (Ask::MoreMarkets(part), _) => self.on_markets_answer(pending.venue, part, outcome, now.mono),
            (Ask::Status, _) => self.on_status_answer(pending.venue, outcome, now),
            _ => {}
        }
        self.pump_requests(pending.venue, now.mono);
        self.work_off(now, sink);
    }

    /// Time has passed: whatever is due is done.
    pub fn on_tick(&mut self, now: Stamp, sink: &mut impl Sink) {
        for slot in 0..self.links.len() as u32 {
            let (generation, Some(_)) = &self.links[slot as usize] else { continue };
            self.tick_link(LinkId { slot, generation: *generation }, now);
        }
        for at in 0..self.venues.len() as u16 {
            let venue = &self.venues[usize::from(at)];
            if let MarketList::Later { at: due, failures } = venue.list
                && now.mono >= due
            {
                self.ask_markets(VenueId(at), failures, now.mono);
            }
            if now.mono >= self.venues[usize::from(at)].status_at {
                self.venues[usize::from(at)].status_at = now.mono.after_ms(self.config.status_every_ms);
                self.ask(VenueId(at), Ask::Status, None, None, now.mono);
            }
        }
        for at in 0..self.venues.len() as u16 {
            self.tick_session(VenueId(at), now);
        }
        self.expire_requests(now, sink);
        for at in 0..self.venues.len() as u16 {
            self.pump_requests(VenueId(at), now.mono);
        }
        if now.mono >= self.housekeeping_at {
            self.housekeep(now);
        }
        self.work_off(now, sink);
        self.next_deadline = self.find_deadline();
    }

    /// All topics of a link count as confirmed. For links whose topics were part of their URL, as in recordings.
    pub fn confirm_all(&mut self, id: LinkId, now: Stamp, sink: &mut impl Sink) {
        let Some(link) = link_mut(&mut self.links, id) else { return };
        link.ops.clear();
        link.sent.clear();
        let feeds = link.feeds.clone();
        for feed in feeds {
            self.confirm(feed, now.mono);
        }
        self.work_off(now, sink);
    }

    /// What a link lives on: for drivers that need to know which feeds belong to it.
    pub fn feeds_of(&self, id: LinkId) -> &[FeedId] {
        match self.links.get(id.slot as usize) {
            Some((generation, Some(link))) if *generation == id.generation => &link.feeds,
            _ => &[],
        }
    }
}

impl Core {
    /// A buffer for a message, empty.
    fn buffer(&mut self) -> Vec<u8> {
        let mut text = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES));
        text.clear();
        text
    }

    /// Takes back the text of a [`Command::Send`], so that the next one needs no memory.
    pub fn recycle(&mut self, text: Vec<u8>) {
        if self.spare.len() < BUFFERS_MAX && text.capacity() <= BUFFER_BYTES * 4 {
            self.spare.push(text);
        }
    }
}

/// Room for an order.
const BUFFER_BYTES: usize = 1_024;
/// Buffers that are kept.
const BUFFERS_MAX: usize = 64;

/// Shortest time between two snapshots that only renew a book, in nanoseconds.
const REFRESH_NS_MIN: u64 = 5_000_000_000;

/// What happened since the start; see [`Core::counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Links.
    pub links: u64,
    /// Links that are up.
    pub links_up: u64,
    /// Messages received on the links there are.
    pub messages: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Messages of topics that nobody asks for any more.
    pub unrouted: u64,
    /// Times that a link was lost or replaced.
    pub reconnects: u64,
    /// Feeds.
    pub feeds: u64,
    /// Books.
    pub books: u64,
    /// Books that are live.
    pub books_live: u64,
    /// Snapshots asked for by the books there are.
    pub snapshots: u64,
    /// Gaps noticed by the books there are.
    pub gaps: u64,
}

#[inline]
fn link_mut(links: &mut [(u32, Option<Link>)], id: LinkId) -> Option<&mut Link> {
    match links.get_mut(id.slot as usize) {
        Some((generation, Some(link))) if *generation == id.generation => Some(link),
        _ => None,
    }
}

/// Room for twice what a book promises, so that levels may come and go at the edge.
fn levels_max(depth: u16) -> usize {
    (usize::from(depth) * 2).max(64)
}

fn route_of(feed: &Feed) -> Route {
    Route {
        feed: feed.id.slot,
        channel: feed.channel,
        market: feed.market,
        price_scale: feed.price_scale,
        amount_scale: feed.amount_scale,
        // A delta never has more rows than the deepest book the venue sends.
        levels_max: DELTA_LEVELS_MAX,
    }
}

/// Rows of one side in one delta; a longer one is malformed.
const DELTA_LEVELS_MAX: u32 = 5_000;

fn no_route(channel: Channel) -> Route {
    Route { feed: u32::MAX, channel, market: None, price_scale: 0, amount_scale: 0, levels_max: 0 }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("venues", &self.venues.len()).field("counters", &self.counters()).finish()
    }
}
