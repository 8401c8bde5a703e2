//! The private half of a venue: its socket, what is subscribed there, and bringing the account up to date.
//!
//! A session goes through these steps, and begins again at the first when its socket is lost:
//!
//! 1. a token by REST, where the venue wants one;
//! 2. the socket; the login on it, where there is one;
//! 3. the channels;
//! 4. reconciliation: balances, positions, open orders and the trades that were missed are asked for by REST, orders of
//!    which nobody heard are looked up. What the stream tells meanwhile is taken in at once;
//! 5. live. Only now the private feeds say so.

use super::{Core, LinkId, Sink, VenueSlot, link_mut};
use crate::credentials::Secret;
use crate::engine::account::{Account, closed};
use crate::engine::config::{Config, VenueConfig};
use crate::engine::feed::{Announce, Data, Feed};
use crate::engine::link::LinkPhase;
use crate::engine::policy::RollingWindow;
use crate::error::{Error, ErrorKind, Retry};
use crate::market::Markets;
use crate::model::{
    Balance, Cause, Event, FeedId, FeedState, Id, MarketId, Mono, MyTrade, Notice, Order, OrderId, OrderStatus,
    Position, Stamp, Update, VenueId, Wall,
};
use crate::venue::{
    Channel, Context, Fetch, Fetched, OrderAct, OrderRow, PrivateChannel, PrivateRow, PrivateRows, Trading,
    TradingProfile,
};

/// A venue's private half in this engine.
pub(super) struct Session {
    pub(super) profile: &'static TradingProfile,
    pub(super) adapter: Box<dyn Trading>,
    has_credentials: bool,
    ws_url: String,
    pub(super) account: Account,
    rows: PrivateRows,
    pub(super) link: Option<LinkId>,
    pub(super) phase: Phase,
    /// What the phase has time for.
    phase_until: Mono,
    /// Channels that are asked for.
    wanted: Vec<PrivateChannel>,
    unconfirmed: Vec<PrivateChannel>,
    feeds: [Option<FeedId>; PrivateChannel::ALL.len()],
    /// Questions of the reconciliation without an answer.
    reconciling: u32,
    /// It has been live before: what came meanwhile was missed.
    was_live: bool,
    /// When that was first, by the venue's clock: trades before it are not looked for.
    live_since: Option<Wall>,
    /// Trades from here on were missed, if they are not told.
    missed_since: Option<Wall>,
    polls: Vec<Poll>,
    /// Questions to be asked at a time.
    later: Vec<(Mono, Fetch, Purpose)>,
    failures: u32,
    pub(super) token: Secret,
    token_asked: bool,
    token_renew_at: Mono,
    /// The venue's clock less ours.
    pub(super) offset_ns: i64,
    clock_at: Mono,
    /// Requests about orders on the socket that wait for an answer.
    pub(super) requests: Vec<OrderRequest>,
    pub(super) next_request: u64,
    pub(super) order_number: u64,
    pub(super) order_window: RollingWindow,
    /// Orders of which it is being found out what became of them.
    pub(super) lookups: Vec<Lookup>,
    /// The login was refused for good.
    refused: Option<Error>,
    /// The last time that was told, on both clocks.
    seen: Stamp,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody asked for it, or it waits for the list of markets.
    Idle,
    /// A socket is being made.
    Connecting,
    LoggingIn,
    Subscribing,
    Reconciling,
    Live,
}

/// A channel that is asked for by REST again and again.
struct Poll {
    channel: PrivateChannel,
    every_ms: u32,
    at: Mono,
}

/// A request about an order, on its way over the socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderRequest {
    pub(super) request: u64,
    /// `None` for one that cancels all.
    pub(super) order: Option<OrderId>,
    pub(super) act: OrderAct,
    pub(super) until: Mono,
}

/// An order that is being looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup {
    pub(super) order: OrderId,
    /// When it was sent, or heard of last.
    pub(super) since: Mono,
    pub(super) at: Mono,
    pub(super) failures: u32,
    pub(super) is_asked: bool,
}

/// What becomes of the answer to a [`Fetch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is the user's: as an event, or kept for who waits for it.
    User {
        kept: bool,
    },
    Token,
    RenewToken,
    Clock,
    /// Part of the reconciliation.
    Reconcile,
    /// A channel that the venue does not push.
    Poll(PrivateChannel),
    /// What became of an order.
    Lookup(OrderId),
    /// A balance that the stream does not tell.
    Balance,
}

/// A change of an order to be told when a sink is at hand.
#[derive(Clone, Debug)]
pub(super) struct OrderNote {
    pub(super) order: OrderId,
    /// The answer to a request of ours, if it is one.
    pub(super) answer: Option<(OrderAct, crate::model::Outcome)>,
    /// The order itself changed.
    pub(super) changed: bool,
}

/// Rows that one question brings at most, where the venue lets us choose.
const ROWS: u16 = 1_000;

impl Session {
    pub(super) fn new(profile: &'static TradingProfile, config: &VenueConfig, core: &Config) -> Result<Session, Error> {
        let adapter = (profile.open)(config.credentials.as_ref())?;
        let ws_url = config.private_ws_url.as_ref().or(config.ws_url.as_ref());
        let orders = RollingWindow::new(profile.orders.count, profile.orders.window_ms);
        Ok(Session {
            profile,
            adapter,
            has_credentials: config.credentials.is_some(),
            ws_url: ws_url.map_or_else(|| profile.ws_url.to_owned(), Clone::clone),
            account: Account::new(core.orders_max, core.trades_max),
            rows: PrivateRows::default(),
            link: None,
            phase: Phase::Idle,
            phase_until: Mono::NEVER,
            wanted: Vec::new(),
            unconfirmed: Vec::new(),
            feeds: [None; PrivateChannel::ALL.len()],
            reconciling: 0,
            was_live: false,
            live_since: None,
            missed_since: None,
            polls: Vec::new(),
            later: Vec::new(),
            failures: 0,
            token: Secret::default(),
            token_asked: false,
            token_renew_at: Mono::NEVER,
            offset_ns: 0,
            clock_at: if config.credentials.is_some() { Mono(0) } else { Mono::NEVER },
            requests: Vec::with_capacity(256),
            next_request: 1,
            order_number: 0,
            order_window: orders,
            lookups: Vec::with_capacity(64),
            refused: None,
            seen: Stamp::default(),
        })
    }

    /// What an adapter is given with each call.
    pub(super) fn context<'a>(token: &'a Secret, offset_ns: i64, markets: &'a Markets, now: Stamp) -> Context<'a> {
        Context { now: Wall(now.wall.0.saturating_add(offset_ns)), markets, token: token.reveal() }
    }

    /// Splits the session into its adapter and what that is given.
    pub(super) fn parts<'a>(&'a mut self, markets: &'a Markets, now: Stamp) -> (&'a mut dyn Trading, Context<'a>) {
        (&mut *self.adapter, Session::context(&self.token, self.offset_ns, markets, now))
    }

    /// Where the private socket is; `None` while a token is needed first.
    pub(super) fn url(&mut self, markets: &Markets, now: Stamp) -> Option<String> {
        if self.profile.needs_token && self.token.reveal().is_empty() {
            return None;
        }
        self.adapter.reset();
        let ws_url = self.ws_url.clone();
        let (adapter, cx) = self.parts(markets, now);
        Some(format!("{ws_url}{}", adapter.socket_path(&cx)))
    }

    /// When the session needs attention next.
    pub(super) fn deadline(&self) -> Mono {
        let polls = self.polls.iter().map(|poll| poll.at).min().unwrap_or(Mono::NEVER);
        let later = self.later.iter().map(|later| later.0).min().unwrap_or(Mono::NEVER);
        let requests = self.requests.iter().map(|request| request.until).min().unwrap_or(Mono::NEVER);
        let waiting = self.lookups.iter().filter(|lookup| !lookup.is_asked);
        let lookups = waiting.map(|lookup| lookup.at).min().unwrap_or(Mono::NEVER);
        let clock = if self.wanted.is_empty() { Mono::NEVER } else { self.clock_at };
        polls.min(later).min(requests).min(lookups).min(clock).min(self.phase_until).min(self.token_renew_at)
    }

    fn is_native(&self, channel: PrivateChannel) -> bool {
        self.profile.native.contains(&channel)
    }
}

impl Core {
    /// Watches something of the account.
    pub(super) fn watch_private(
        &mut self,
        venue_id: VenueId,
        channel: PrivateChannel,
        now: Mono,
    ) -> Result<FeedId, Error> {
        let venue = &self.venues[usize::from(venue_id.0)];
        let id = venue.profile.id;
        let session = venue.session.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::NotSupported,
                format!("has no {} here: its private half is not built", channel.as_str()),
            )
            .at(id)
        })?;
        if !session.is_native(channel) && !session.profile.polled.iter().any(|row| row.0 == channel) {
            let known = session.profile.native.iter().chain(session.profile.polled.iter().map(|row| &row.0));
            let known: Vec<_> = known.map(|channel| channel.as_str()).collect();
            let text = format!("has no {}; it has {}", channel.as_str(), known.join(", "));
            return Err(Error::new(ErrorKind::NotSupported, text).at(id));
        }
        if !session.has_credentials {
            let text = format!("{} are an account's: give VenueConfig::credentials", channel.as_str());
            return Err(Error::new(ErrorKind::AuthenticationError, text).at(id));
        }
        if let Some(feed) = session.feeds[channel as usize] {
            if self.feeds.find(feed).is_ok_and(|feed| feed.state != FeedState::Failed) {
                return Ok(feed);
            }
            self.unwatch(feed, now)?;
        }
        let metric = self.metric_row(venue_id, Channel::Private(channel));
        let feed = self.feeds.insert(|id| Feed {
            id,
            venue: venue_id,
            market: None,
            symbol: "".into(),
            channel: Channel::Private(channel),
            topic: "".into(),
            state: FeedState::Connecting,
            cause: Cause::Asked,
            error: None,
            link: None,
            metric,
            price_scale: 0,
            amount_scale: 0,
            depth: 0,
            stale_after_ns: u64::MAX,
            heard: now,
            changed_in: u64::MAX,
            data: Data::None,
        });
        let Some(session) = self.session_mut(venue_id) else { return Ok(feed) };
        session.feeds[channel as usize] = Some(feed);
        session.refused = None;
        self.want_channel(venue_id, channel, now);
        Ok(feed)
    }

    /// A private feed has ended. Its channel goes on: orders may depend on it.
    pub(super) fn unwatch_private(&mut self, venue: VenueId, channel: PrivateChannel) {
        if let Some(session) = self.session_mut(venue) {
            session.feeds[channel as usize] = None;
            session.polls.retain(|poll| poll.channel != channel);
        }
    }

    pub(super) fn session_mut(&mut self, venue: VenueId) -> Option<&mut Session> {
        self.venues.get_mut(usize::from(venue.0))?.session.as_deref_mut()
    }

    pub(super) fn session_and_markets(&mut self, venue: VenueId) -> Option<(&mut Session, &Markets)> {
        let VenueSlot { session, markets, .. } = self.venues.get_mut(usize::from(venue.0))?;
        Some((session.as_deref_mut()?, markets))
    }

    /// What is known of the account, where there is one.
    pub(crate) fn account(&self, venue: VenueId) -> Option<&Account> {
        Some(&self.venues.get(usize::from(venue.0))?.session.as_ref()?.account)
    }

    /// The private half is up and reconciled.
    pub fn is_account_live(&self, venue: VenueId) -> bool {
        let session = self.venues.get(usize::from(venue.0)).and_then(|venue| venue.session.as_ref());
        session.is_some_and(|session| session.phase == Phase::Live)
    }

    /// All orders of an account that are remembered.
    pub fn orders(&self, venue: VenueId) -> impl Iterator<Item = &Order> {
        self.account(venue).into_iter().flat_map(|account| account.orders.iter())
    }

    /// All balances of an account that are known.
    pub fn balances(&self, venue: VenueId) -> &[Balance] {
        self.account(venue).map_or(&[], |account| account.balances())
    }

    /// A channel is asked for: on the socket, or by asking again and again.
    pub(super) fn want_channel(&mut self, venue_id: VenueId, channel: PrivateChannel, now: Mono) {
        let Some(session) = self.session_mut(venue_id) else { return };
        let is_new = !session.wanted.contains(&channel);
        if is_new {
            session.wanted.push(channel);
        }
        let polled = session.profile.polled.iter().find(|row| row.0 == channel);
        if let Some((_, every_ms)) = polled
            && !session.polls.iter().any(|poll| poll.channel == channel)
        {
            session.polls.push(Poll { channel, every_ms: *every_ms, at: now });
        }
        if is_new && session.link.is_some() && session.phase != Phase::Connecting && session.is_native(channel) {
            // Beside those that are subscribed already.
            session.unconfirmed.push(channel);
            if session.phase != Phase::LoggingIn {
                session.phase = Phase::Subscribing;
                self.subscribe_private(venue_id, &[channel], now);
            }
        } else if !is_new && let Some(session) = self.session_mut(venue_id) {
            let state = if session.phase == Phase::Live { FeedState::Live } else { FeedState::Connecting };
            self.set_private_state(venue_id, Some(channel), state, Cause::Confirmed, None);
        }
        self.wake(now);
    }

    fn subscribe_private(&mut self, venue_id: VenueId, channels: &[PrivateChannel], now: Mono) {
        let timeout_ms = self.config.subscribe_timeout_ms;
        let mut messages = Vec::new();
        let Some((session, markets)) = self.session_and_markets(venue_id) else { return };
        let Some(link) = session.link else { return };
        session.phase_until = now.after_ms(timeout_ms);
        let first = session.next_request;
        let stamp = Stamp { mono: now, wall: session.wall_at(now).unwrap_or_default() };
        let (adapter, cx) = session.parts(markets, stamp);
        adapter.subscribe(channels, first, &cx, &mut messages);
        session.next_request += messages.len() as u64;
        for text in messages {
            self.commands.push_back(super::Command::Send { link, text });
        }
    }

    /// The private socket is up.
    pub(super) fn on_session_up(&mut self, venue_id: VenueId, link: LinkId, now: Stamp) {
        let login_ms = self.config.subscribe_timeout_ms;
        let mut text = self.buffer();
        let Some((session, markets)) = self.session_and_markets(venue_id) else { return };
        session.link = Some(link);
        session.clock_seen(now);
        let native = |channel: &&PrivateChannel| session.profile.native.contains(channel);
        session.unconfirmed = session.wanted.iter().filter(native).copied().collect();
        if session.profile.needs_login {
            session.phase = Phase::LoggingIn;
            session.phase_until = now.mono.after_ms(login_ms);
            let (adapter, cx) = session.parts(markets, now);
            adapter.login(&cx, &mut text);
            self.commands.push_back(super::Command::Send { link, text });
        } else {
            self.recycle(text);
            self.begin_subscribing(venue_id, now);
        }
        self.set_private_state(venue_id, None, FeedState::Subscribing, Cause::Asked, None);
    }

    fn begin_subscribing(&mut self, venue_id: VenueId, now: Stamp) {
        let Some(session) = self.session_mut(venue_id) else { return };
        session.phase = Phase::Subscribing;
        let channels = session.unconfirmed.clone();
        if channels.is_empty() {
            self.reconcile(venue_id, now);
        } else {
            self.subscribe_private(venue_id, &channels, now.mono);
        }
    }

    /// The private socket is lost. Requests on their way over it have an unknown outcome.
    pub(super) fn on_session_down(&mut self, venue_id: VenueId, cause: Cause, error: Option<&Error>, now: Stamp) {
        let Some(session) = self.session_mut(venue_id) else { return };
        if session.phase == Phase::Live {
            session.missed_since = session.account.traded_until.or(session.live_since);
        }
        session.phase = Phase::Connecting;
        session.phase_until = Mono::NEVER;
        session.reconciling = 0;
        // What was asked to bring the account up to date has to be asked again anyway.
        session.later.retain(|later| !matches!(later.2, Purpose::Reconcile));
        if session.profile.needs_token {
            // A token is good for one connection.
            session.token = Secret::default();
            session.token_renew_at = Mono::NEVER;
        }
        let lost = std::mem::take(&mut session.requests);
        let why =
            error.cloned().unwrap_or_else(|| Error::new(ErrorKind::NetworkError, "the private socket was replaced"));
        for request in &lost {
            self.order_unknown(request, &why, now);
        }
        if let Some(session) = self.session_mut(venue_id) {
            session.requests = lost;
            session.requests.clear();
        }
        self.set_private_state(venue_id, None, FeedState::Connecting, cause, error);
    }

    /// Everything of a session that is due.
    pub(super) fn tick_session(&mut self, venue_id: VenueId, now: Stamp) {
        let loaded = self.has_markets(venue_id);
        let Some(session) = self.session_mut(venue_id) else { return };
        session.clock_seen(now);
        if session.wanted.is_empty() && session.lookups.is_empty() && session.later.is_empty() {
            return;
        }
        if !loaded {
            if matches!(self.venues[usize::from(venue_id.0)].list, super::MarketList::None) {
                self.load_markets(venue_id, now.mono);
            }
            return;
        }
        let has_native = session.wanted.iter().any(|channel| session.profile.native.contains(channel));
        if session.phase == Phase::Idle && session.refused.is_none() && !session.wanted.is_empty() {
            if has_native {
                session.phase = Phase::Connecting;
                let link = self.open_link(venue_id, "", true, now.mono);
                if let Some(session) = self.session_mut(venue_id) {
                    session.link = Some(link);
                }
                self.tick_link(link, now);
            } else {
                // A venue without a private socket: all is asked for.
                self.reconcile(venue_id, now);
            }
        }
        let Some(session) = self.session_mut(venue_id) else { return };
        if now.mono >= session.phase_until {
            session.phase_until = Mono::NEVER;
            let what = match session.phase {
                Phase::LoggingIn => "the login was not answered",
                Phase::Subscribing => "a private channel was not confirmed",
                _ => "the private socket took too long",
            };
            if let Some(link) = session.link {
                self.give_up(link, Cause::RequestFailed, what.to_owned(), now);
            }
        }
        self.tick_order_requests(venue_id, now);
        let Some(session) = self.session_mut(venue_id) else { return };
        if now.mono >= session.clock_at {
            session.clock_at = Mono::NEVER;
            self.ask_private(venue_id, Fetch::Time, Purpose::Clock, now);
        }
        let Some(session) = self.session_mut(venue_id) else { return };
        if now.mono >= session.token_renew_at {
            session.token_renew_at = Mono::NEVER;
            self.ask_private(venue_id, Fetch::RenewToken, Purpose::RenewToken, now);
        }
        for at in 0.. {
            let Some(poll) = self.session_mut(venue_id).and_then(|session| session.polls.get_mut(at)) else { break };
            if now.mono < poll.at {
                continue;
            }
            // Set anew when the answer comes.
            poll.at = Mono::NEVER;
            let channel = poll.channel;
            let fetches = self.fetches_of(venue_id, channel);
            for fetch in fetches {
                self.ask_private(venue_id, fetch, Purpose::Poll(channel), now);
            }
        }
        while let Some(session) = self.session_mut(venue_id)
            && let Some(at) = session.later.iter().position(|later| now.mono >= later.0)
        {
            let (_, fetch, purpose) = session.later.swap_remove(at);
            self.ask_private(venue_id, fetch, purpose, now);
        }
        for at in 0.. {
            let Some(lookup) = self.session_mut(venue_id).and_then(|session| session.lookups.get_mut(at)) else {
                break;
            };
            if lookup.is_asked || now.mono < lookup.at {
                continue;
            }
            lookup.is_asked = true;
            let order = lookup.order;
            let found = self.account(venue_id).and_then(|account| account.orders.find(order).ok());
            let Some(fetch) = found.map(|order| Fetch::Order {
                market: order.market,
                id: order.id,
                client_order_id: order.client_order_id,
            }) else {
                continue;
            };
            self.ask_private(venue_id, fetch, Purpose::Lookup(order), now);
        }
    }

    fn fetches_of(&self, venue_id: VenueId, channel: PrivateChannel) -> Vec<Fetch> {
        let Some(session) = self.venues[usize::from(venue_id.0)].session.as_ref() else { return Vec::new() };
        let (since, limit, currency) = (None, None, None);
        match channel {
            PrivateChannel::Balance => vec![Fetch::Balance],
            PrivateChannel::Positions => vec![Fetch::Positions],
            PrivateChannel::Ledger => vec![Fetch::Ledger { currency, since, limit }],
            PrivateChannel::Transactions => {
                vec![Fetch::Deposits { currency, since, limit }, Fetch::Withdrawals { currency, since, limit }]
            }
            PrivateChannel::Orders if session.profile.open_orders_of_all => vec![Fetch::OpenOrders { market: None }],
            PrivateChannel::Orders => session
                .markets_of_orders()
                .into_iter()
                .map(|market| Fetch::OpenOrders { market: Some(market) })
                .collect(),
            PrivateChannel::MyTrades => session.trade_fetches(session.account.traded_until),
        }
    }

    /// Asks one question of the private half; what comes is for `purpose`.
    pub(super) fn ask_private(&mut self, venue_id: VenueId, fetch: Fetch, purpose: Purpose, now: Stamp) {
        let Some((session, markets)) = self.session_and_markets(venue_id) else { return };
        let (adapter, cx) = session.parts(markets, now);
        match adapter.request(&fetch, &cx) {
            Ok(signed) => {
                let job = super::Job::Fetch(Box::new(fetch), purpose, false);
                self.queue(venue_id, job, None, signed, now.mono);
            }
            Err(error) => self.on_private_failure(venue_id, fetch, purpose, error, now),
        }
    }

    pub(super) fn ask_token(&mut self, venue_id: VenueId, now: Stamp) {
        let Some(session) = self.session_mut(venue_id) else { return };
        if !session.token_asked {
            session.token_asked = true;
            self.ask_private(venue_id, Fetch::Token, Purpose::Token, now);
        }
    }

    // --- Bringing the account up to date ------------------------------------------------------------------------------

    fn reconcile(&mut self, venue_id: VenueId, now: Stamp) {
        let Some(session) = self.session_mut(venue_id) else { return };
        session.phase = Phase::Reconciling;
        session.phase_until = Mono::NEVER;
        session.reconciling = 0;
        let wants = |channel| session.wanted.contains(&channel);
        let mut fetches = Vec::new();
        if wants(PrivateChannel::Balance) {
            fetches.push(Fetch::Balance);
        }
        if wants(PrivateChannel::Positions) {
            fetches.push(Fetch::Positions);
        }
        let follows_orders = wants(PrivateChannel::Orders) || wants(PrivateChannel::MyTrades);
        if follows_orders {
            if session.profile.open_orders_of_all {
                fetches.push(Fetch::OpenOrders { market: None });
            } else {
                let markets = session.markets_of_orders();
                fetches.extend(markets.into_iter().map(|market| Fetch::OpenOrders { market: Some(market) }));
            }
            if session.was_live {
                fetches.extend(session.trade_fetches(session.missed_since));
            }
        }
        session.reconciling = fetches.len() as u32;
        for fetch in fetches {
            self.ask_private(venue_id, fetch, Purpose::Reconcile, now);
        }
        self.reconciled(venue_id, now);
    }

    /// The session is live if nothing is asked for any more.
    pub(super) fn reconciled(&mut self, venue_id: VenueId, now: Stamp) {
        let Some(session) = self.session_mut(venue_id) else { return };
        if session.phase != Phase::Reconciling || session.reconciling > 0 || !session.lookups.is_empty() {
            return;
        }
        session.phase = Phase::Live;
        session.was_live = true;
        session.live_since = session.live_since.or(Some(Wall(now.wall.0.saturating_add(session.offset_ns))));
        session.missed_since = None;
        session.failures = 0;
        self.set_private_state(venue_id, None, FeedState::Live, Cause::Confirmed, None);
    }

    /// The state of one private feed, or of all.
    fn set_private_state(
        &mut self,
        venue_id: VenueId,
        channel: Option<PrivateChannel>,
        state: FeedState,
        cause: Cause,
        error: Option<&Error>,
    ) {
        let Some(session) = self.session_mut(venue_id) else { return };
        let feeds = session.feeds;
        for (at, id) in feeds.into_iter().enumerate() {
            let Some(id) = id.filter(|_| channel.is_none_or(|channel| channel as usize == at)) else { continue };
            let Some(feed) = self.feeds.at_mut(id.slot) else { continue };
            // Refused for good.
            if feed.state == FeedState::Failed || (feed.state == state && feed.cause == cause) {
                continue;
            }
            (feed.state, feed.cause, feed.error) = (state, cause, error.cloned());
            self.notes.push((id, Announce::State));
        }
    }

    // --- What comes ---------------------------------------------------------------------------------------------------

    /// A message of the private socket.
    #[inline(never)]
    pub(super) fn on_private(&mut self, id: LinkId, frame: &[u8], received: Stamp, sink: &mut impl Sink) {
        let Some(link) = link_mut(&mut self.links, id) else { return };
        let venue_id = link.venue;
        let Some((session, markets)) = self.session_and_markets(venue_id) else { return };
        session.clock_seen(received);
        let mut rows = std::mem::take(&mut session.rows);
        rows.clear();
        let (adapter, cx) = session.parts(markets, received);
        if let Err(error) = adapter.on_frame(frame, &cx, &mut rows) {
            rows.clear();
            if let Some(link) = link_mut(&mut self.links, id) {
                link.malformed += 1;
            }
            log::warn!("a private message of {} cannot be read: {error}", self.profile(venue_id).id);
            // It may have been an order's: everything is asked for again.
            self.begin_again(venue_id, received);
        }
        for row in rows.rows.drain(..) {
            self.on_private_row(venue_id, row, received, sink);
        }
        if let Some(session) = self.session_mut(venue_id) {
            session.rows = rows;
        }
        self.work_off(received, sink);
    }

    /// Something may have been missed on a connection that goes on.
    fn begin_again(&mut self, venue_id: VenueId, now: Stamp) {
        let Some(session) = self.session_mut(venue_id) else { return };
        if session.phase == Phase::Live {
            session.missed_since = session.account.traded_until.or(session.live_since);
            self.set_private_state(venue_id, None, FeedState::Subscribing, Cause::Malformed, None);
            self.reconcile(venue_id, now);
        }
    }

    fn on_private_row(&mut self, venue_id: VenueId, row: PrivateRow, now: Stamp, sink: &mut impl Sink) {
        match row {
            PrivateRow::LoggedIn => {
                if self.session_mut(venue_id).is_some_and(|session| session.phase == Phase::LoggingIn) {
                    self.begin_subscribing(venue_id, now);
                }
            }
            PrivateRow::LoginRefused(error) => self.on_login_refused(venue_id, error, now),
            PrivateRow::Confirmed(channel) => {
                let Some(session) = self.session_mut(venue_id) else { return };
                session.unconfirmed.retain(|waiting| *waiting != channel);
                if session.unconfirmed.is_empty() && session.phase == Phase::Subscribing {
                    self.reconcile(venue_id, now);
                }
            }
            PrivateRow::ChannelRefused(channel, error) => {
                log::warn!("{}: {} refused: {error}", self.profile(venue_id).id, channel.as_str());
                self.set_private_state(venue_id, Some(channel), FeedState::Failed, Cause::Refused, Some(&error));
                let Some(session) = self.session_mut(venue_id) else { return };
                session.wanted.retain(|wanted| *wanted != channel);
                session.unconfirmed.retain(|waiting| *waiting != channel);
                if session.unconfirmed.is_empty() && session.phase == Phase::Subscribing {
                    self.reconcile(venue_id, now);
                }
            }
            PrivateRow::Answer { request, outcome } => self.on_order_answer(venue_id, request, outcome, now),
            PrivateRow::Order(row) => self.on_order_row(venue_id, &row, now, sink),
            PrivateRow::MyTrade(trade) => self.on_my_trade(venue_id, &trade, now, sink),
            PrivateRow::Balance(balance) => {
                let Some(session) = self.session_mut(venue_id) else { return };
                if let Some(at) = session.account.on_balance(&balance, now.mono) {
                    self.tell_balance(venue_id, at, now, sink);
                }
            }
            PrivateRow::BalanceChange { currency, amount } => {
                let Some(session) = self.session_mut(venue_id) else { return };
                if let Some(at) = session.account.on_balance_change(currency, amount, now.mono) {
                    self.tell_balance(venue_id, at, now, sink);
                }
            }
            PrivateRow::Position(position) => self.on_position(venue_id, &position, now, sink),
            PrivateRow::Ledger(entry) => {
                let Some(session) = self.session_mut(venue_id) else { return };
                if session.account.on_ledger(&entry) {
                    self.tell(venue_id, PrivateChannel::Ledger, None, Event::Ledger(&entry), now, sink);
                }
            }
            PrivateRow::Transaction(row) => {
                let Some(session) = self.session_mut(venue_id) else { return };
                if session.account.on_transaction(&row) {
                    self.tell(venue_id, PrivateChannel::Transactions, None, Event::Transaction(&row), now, sink);
                }
            }
            PrivateRow::Gap => {
                log::warn!("{}: private messages were lost; asking for all", self.profile(venue_id).id);
                self.begin_again(venue_id, now);
            }
            PrivateRow::Expired | PrivateRow::Shutdown => {
                if let Some(link) = self.session_mut(venue_id).and_then(|session| session.link) {
                    self.replace(link, Cause::VenueShutdown, now);
                }
            }
        }
    }

    fn on_login_refused(&mut self, venue_id: VenueId, error: Error, now: Stamp) {
        log::warn!("the login was refused: {error}");
        let is_final = error.retry() == Retry::Never;
        let Some(session) = self.session_mut(venue_id) else { return };
        let link = session.link;
        if error.retry() == Retry::Resync {
            // The clocks are apart; they are compared before the next try.
            session.clock_at = now.mono;
        }
        if is_final {
            session.refused = Some(error.clone());
            session.phase = Phase::Idle;
            session.phase_until = Mono::NEVER;
            session.link = None;
            if let Some(link) = link {
                self.close_link(link);
            }
            self.set_private_state(venue_id, None, FeedState::Failed, Cause::Refused, Some(&error));
        } else if let Some(link) = link {
            self.give_up_with(link, Cause::Refused, error.clone(), now);
        }
        self.venues[usize::from(venue_id.0)].last_error = Some(error);
    }

    pub(super) fn on_order_row(&mut self, venue_id: VenueId, row: &OrderRow, now: Stamp, sink: &mut impl Sink) {
        let Some(session) = self.session_mut(venue_id) else { return };
        if let Some(slot) = session.account.orders.on_row(venue_id, row) {
            self.tell_order(venue_id, slot, now, sink);
        }
    }

    pub(super) fn on_my_trade(&mut self, venue_id: VenueId, trade: &MyTrade, now: Stamp, sink: &mut impl Sink) {
        let Some(session) = self.session_mut(venue_id) else { return };
        if !session.account.on_trade(trade) {
            return;
        }
        let (adds_up, fees_add_up) = (session.profile.fills_add_up, session.profile.fees_add_up);
        let order = match (adds_up, fees_add_up) {
            (true, _) => session.account.orders.on_fill(trade),
            (false, true) => session.account.orders.on_fee(trade),
            _ => None,
        };
        if session.profile.asks_balance && session.wanted.contains(&PrivateChannel::Balance) {
            // One question for the fills of a moment.
            let at = now.mono.after_ms(BALANCE_AFTER_MS);
            if !session.later.iter().any(|later| later.2 == Purpose::Balance) {
                session.later.push((at, Fetch::Balance, Purpose::Balance));
            }
            self.wake(at);
        }
        self.tell(venue_id, PrivateChannel::MyTrades, trade.market, Event::MyTrade(trade), now, sink);
        if let Some(slot) = order {
            self.tell_order(venue_id, slot, now, sink);
        }
    }

    fn on_position(&mut self, venue_id: VenueId, position: &Position, now: Stamp, sink: &mut impl Sink) {
        let Some(session) = self.session_mut(venue_id) else { return };
        if session.account.on_position(position) {
            let event = Event::Position(position);
            self.tell(venue_id, PrivateChannel::Positions, position.market, event, now, sink);
        }
    }

    // --- Telling ------------------------------------------------------------------------------------------------------

    fn tell(
        &mut self,
        venue_id: VenueId,
        channel: PrivateChannel,
        market: Option<MarketId>,
        event: Event<'_>,
        now: Stamp,
        sink: &mut impl Sink,
    ) {
        let feed = self.private_feed(venue_id, channel);
        self.feeds.touch(feed, now.mono);
        sink.update(&Update { feed, market, received: now, kernel: None, event });
    }

    /// The feed of a private channel; [`FeedId::NONE`] if nobody watches it.
    pub(super) fn private_feed(&self, venue_id: VenueId, channel: PrivateChannel) -> FeedId {
        let session = self.venues.get(usize::from(venue_id.0)).and_then(|venue| venue.session.as_ref());
        session.and_then(|session| session.feeds[channel as usize]).unwrap_or(FeedId::NONE)
    }

    pub(super) fn tell_order(&mut self, venue_id: VenueId, slot: u32, now: Stamp, sink: &mut impl Sink) {
        let feed = self.private_feed(venue_id, PrivateChannel::Orders);
        self.feeds.touch(feed, now.mono);
        let Some(order) = self.account(venue_id).and_then(|account| account.orders.at(slot)) else { return };
        sink.update(&Update { feed, market: order.market, received: now, kernel: None, event: Event::Order(order) });
    }

    fn tell_balance(&mut self, venue_id: VenueId, at: usize, now: Stamp, sink: &mut impl Sink) {
        let feed = self.private_feed(venue_id, PrivateChannel::Balance);
        self.feeds.touch(feed, now.mono);
        let Some(all) = self.account(venue_id).map(Account::balances) else { return };
        let Some(balance) = all.get(at) else { return };
        sink.update(&Update {
            feed,
            market: None,
            received: now,
            kernel: None,
            event: Event::Balance { balance, all },
        });
    }

    // --- Answers ------------------------------------------------------------------------------------------------------

    /// The answer to a question of the session's own.
    #[allow(clippy::too_many_arguments)] // The parts of one pending request.
    pub(super) fn on_private_answer(
        &mut self,
        venue_id: VenueId,
        fetch: &Fetch,
        purpose: Purpose,
        sent: Mono,
        answer: Fetched,
        now: Stamp,
        sink: &mut impl Sink,
    ) {
        match (purpose, answer) {
            (Purpose::Clock, Fetched::Time(time)) => self.on_clock(venue_id, time, sent, now),
            (Purpose::Token, Fetched::Token(token)) => {
                let Some(session) = self.session_mut(venue_id) else { return };
                session.token = token;
                session.token_asked = false;
                if session.profile.renew_token_s > 0 {
                    session.token_renew_at = now.mono.after_ms(u64::from(session.profile.renew_token_s) * 1_000);
                }
                if let Some(id) = session.link
                    && let Some(link) = link_mut(&mut self.links, id)
                    && matches!(link.phase, LinkPhase::Backoff(_))
                {
                    link.phase = LinkPhase::Backoff(now.mono);
                    self.tick_link(id, now);
                }
            }
            (Purpose::RenewToken, _) => {
                let Some(session) = self.session_mut(venue_id) else { return };
                session.token_renew_at = now.mono.after_ms(u64::from(session.profile.renew_token_s) * 1_000);
            }
            (Purpose::Lookup(order), answer) => {
                let rows = if let Fetched::Orders(rows) = answer { rows } else { Vec::new() };
                self.on_lookup(venue_id, order, rows, now, sink);
            }
            (_, answer) => {
                self.take_in(venue_id, fetch, answer, sent, now, sink);
                if let Purpose::Poll(channel) = purpose {
                    self.poll_again(venue_id, channel, now.mono);
                    self.set_private_state(venue_id, Some(channel), FeedState::Live, Cause::Confirmed, None);
                }
            }
        }
        if purpose == Purpose::Reconcile {
            if let Some(session) = self.session_mut(venue_id) {
                session.reconciling = session.reconciling.saturating_sub(1);
            }
            self.reconciled(venue_id, now);
        }
    }

    fn poll_again(&mut self, venue_id: VenueId, channel: PrivateChannel, now: Mono) {
        let Some(session) = self.session_mut(venue_id) else { return };
        let Some(poll) = session.polls.iter_mut().find(|poll| poll.channel == channel) else { return };
        poll.at = now.after_ms(u64::from(poll.every_ms));
        let at = poll.at;
        self.wake(at);
    }

    /// What was asked for to bring the account up to date.
    fn take_in(
        &mut self,
        venue_id: VenueId,
        fetch: &Fetch,
        answer: Fetched,
        sent: Mono,
        now: Stamp,
        sink: &mut impl Sink,
    ) {
        match answer {
            Fetched::Balances(rows) => {
                let Some(session) = self.session_mut(venue_id) else { return };
                let mut changed = Vec::new();
                let account = &mut session.account;
                changed.extend(rows.iter().filter_map(|row: &Balance| account.on_balance_answer(row, sent)));
                account.on_balances_end(&rows, sent, &mut changed);
                for at in changed {
                    self.tell_balance(venue_id, at, now, sink);
                }
            }
            Fetched::Orders(rows) => {
                for row in &rows {
                    self.on_order_row(venue_id, row, now, sink);
                }
                if let Fetch::OpenOrders { market } = fetch {
                    self.find_missing(venue_id, *market, &rows, sent, now);
                }
            }
            Fetched::MyTrades(rows) => {
                let missed_since = self.session_mut(venue_id).and_then(|session| session.missed_since);
                if let (Some(since), Some(oldest)) = (missed_since, rows.first().and_then(|row| row.venue_time))
                    && rows.len() >= usize::from(ROWS)
                    && oldest > since
                {
                    // More than one answer holds: those before it are not asked for.
                    let feed = self.private_feed(venue_id, PrivateChannel::MyTrades);
                    let event = Event::Notice(Notice::TradesMissing { since, until: oldest });
                    sink.update(&Update { feed, market: None, received: now, kernel: None, event });
                }
                for trade in rows {
                    self.on_my_trade(venue_id, &MyTrade { backfilled: true, ..trade }, now, sink);
                }
            }
            Fetched::Positions(rows) => {
                for row in &rows {
                    self.on_position(venue_id, row, now, sink);
                }
                let Some(session) = self.session_mut(venue_id) else { return };
                let told = |old: &Position| rows.iter().any(|row| row.market == old.market && row.id == old.id);
                let open = session.account.positions.iter().filter(|old| old.side.is_some() && !told(old));
                for gone in open.map(closed).collect::<Vec<_>>() {
                    self.on_position(venue_id, &gone, now, sink);
                }
            }
            Fetched::Ledger(rows) => {
                rows.into_iter().for_each(|row| self.on_private_row(venue_id, PrivateRow::Ledger(row), now, sink));
            }
            Fetched::Transactions(rows) => {
                rows.into_iter().for_each(|row| self.on_private_row(venue_id, PrivateRow::Transaction(row), now, sink));
            }
            _ => {}
        }
    }

    /// Orders that we take for open and that the venue's list of open orders does not hold have ended meanwhile.
    fn find_missing(&mut self, venue_id: VenueId, market: Option<MarketId>, rows: &[OrderRow], sent: Mono, now: Stamp) {
        let Some(session) = self.session_mut(venue_id) else { return };
        let is_told = |id: Id, own: Id| {
            rows.iter().any(|row| (!id.is_none() && row.id == id) || (!own.is_none() && row.client_order_id == own))
        };
        let missing: Vec<OrderId> = session
            .account
            .orders
            .iter()
            .filter(|order| !order.status.is_final() && order.status != OrderStatus::Pending)
            .filter(|order| market.is_none() || order.market == market)
            .filter(|order| !is_told(order.id, order.client_order_id))
            .map(|order| order.handle)
            .collect();
        for order in missing {
            session.look_up(order, sent, now.mono);
        }
        self.wake(now.mono);
    }

    fn on_clock(&mut self, venue_id: VenueId, time: Wall, sent: Mono, now: Stamp) {
        let every_ms = self.config.venue_clock_every_ms;
        let Some(session) = self.session_mut(venue_id) else { return };
        // The venue looked at its clock about half-way.
        let way_ns = now.mono.since_ns(sent);
        let ours = now.wall.0.saturating_sub((way_ns / 2) as i64);
        let offset_ns = time.0.saturating_sub(ours);
        // What is less than the way and the venue's rounding explain says nothing.
        let unsure_ns = way_ns as i64 / 2 + 1_000_000_000;
        session.offset_ns = if offset_ns.abs() > unsure_ns { offset_ns } else { 0 };
        session.clock_at = now.mono.after_ms(every_ms);
    }

    /// A question of the session's own was not answered.
    pub(super) fn on_private_failure(
        &mut self,
        venue_id: VenueId,
        fetch: Fetch,
        purpose: Purpose,
        error: Error,
        now: Stamp,
    ) {
        let failures = self.session_mut(venue_id).map_or(0, |session| session.failures.saturating_add(1));
        let at = now.mono.after_ms(self.config.retry.wait_ms(failures.max(1), &mut self.rng));
        let every_ms = self.config.venue_clock_every_ms;
        let id = self.profile(venue_id).id;
        let Some(session) = self.session_mut(venue_id) else { return };
        session.failures = failures;
        if error.retry() == Retry::Resync && purpose != Purpose::Clock {
            session.clock_at = now.mono;
        }
        let is_final = error.retry() == Retry::Never;
        match purpose {
            Purpose::Clock => session.clock_at = now.mono.after_ms(every_ms),
            Purpose::Token => {
                session.token_asked = false;
                log::warn!("{id}: no token for the private socket: {error}");
                if is_final {
                    self.on_login_refused(venue_id, error, now);
                    return;
                }
                session.token_asked = true;
                session.later.push((at, fetch, purpose));
            }
            // It is dead already, or dies soon: the venue says so on the socket.
            Purpose::RenewToken => {
                let every_ms = u64::from(session.profile.renew_token_s) * 100;
                session.token_renew_at = now.mono.after_ms(every_ms);
            }
            Purpose::Poll(channel) => {
                if is_final {
                    session.polls.retain(|poll| poll.channel != channel);
                    self.set_private_state(venue_id, Some(channel), FeedState::Failed, Cause::Refused, Some(&error));
                } else {
                    self.poll_again(venue_id, channel, now.mono);
                    let state = FeedState::Connecting;
                    self.set_private_state(venue_id, Some(channel), state, Cause::RequestFailed, Some(&error));
                }
            }
            Purpose::Lookup(order) => self.on_lookup_failure(venue_id, order, error, at, now),
            Purpose::Reconcile if is_final => {
                // It cannot be had. Those who rely on it are told; the rest goes on.
                log::warn!("{id}: the account cannot be brought up to date: {error}");
                session.reconciling = session.reconciling.saturating_sub(1);
                let channel = match fetch {
                    Fetch::Balance => PrivateChannel::Balance,
                    Fetch::Positions => PrivateChannel::Positions,
                    Fetch::MyTrades { .. } => PrivateChannel::MyTrades,
                    _ => PrivateChannel::Orders,
                };
                self.set_private_state(venue_id, Some(channel), FeedState::Failed, Cause::Refused, Some(&error));
                self.reconciled(venue_id, now);
            }
            Purpose::Reconcile | Purpose::Balance => session.later.push((at, fetch, purpose)),
            Purpose::User { .. } => {}
        }
        self.wake(at);
    }
}

/// Balances are asked for so long after a fill, in milliseconds, so that the venue has booked it.
const BALANCE_AFTER_MS: u64 = 200;

impl Session {
    /// An order is to be looked up.
    pub(super) fn look_up(&mut self, order: OrderId, since: Mono, at: Mono) {
        if !self.lookups.iter().any(|lookup| lookup.order == order) {
            self.lookups.push(Lookup { order, since, at, failures: 0, is_asked: false });
        }
    }

    pub(super) fn follows_orders(&self) -> bool {
        self.wanted.contains(&PrivateChannel::Orders)
    }

    /// The number of the next request on the socket.
    pub(super) fn take_number(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request - 1
    }

    /// Room in the venue's limit for one more request about an order.
    pub(super) fn take_order_turn(&mut self, now: Mono) -> Result<(), Error> {
        self.order_window.take(now, 1, 0).map_err(|at| {
            let wait_ms = at.since_ns(now).div_ceil(1_000_000);
            let text = format!("the limit for orders is used up for {wait_ms} ms");
            Error::new(ErrorKind::RateLimitExceeded, text)
        })
    }

    /// The clocks are to be compared.
    pub(super) fn clock_due(&mut self, now: Mono) {
        if self.has_credentials {
            self.clock_at = now;
        }
    }

    fn markets_of_orders(&self) -> Vec<MarketId> {
        let mut markets: Vec<MarketId> = self.account.orders.iter().filter_map(|order| order.market).collect();
        markets.sort_unstable();
        markets.dedup();
        markets
    }

    fn trade_fetches(&self, since: Option<Wall>) -> Vec<Fetch> {
        let limit = Some(ROWS);
        if self.profile.my_trades_of_all {
            return vec![Fetch::MyTrades { market: None, since, limit }];
        }
        let markets = self.markets_of_orders().into_iter();
        markets.map(|market| Fetch::MyTrades { market: Some(market), since, limit }).collect()
    }

    /// Remembers which wall-clock time belongs to which monotonic one.
    fn clock_seen(&mut self, now: Stamp) {
        self.seen = now;
    }

    /// The wall-clock time at `mono`, as far as it was seen.
    pub(super) fn wall_at(&self, mono: Mono) -> Option<Wall> {
        (self.seen.wall.0 != 0).then(|| Wall(self.seen.wall.0.saturating_add(mono.since_ns(self.seen.mono) as i64)))
    }
}
