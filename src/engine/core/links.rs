//! Links: which feed lives where, what is sent and confirmed, what happens when one is lost.

use super::{Command, Core, LinkDown, LinkId, PONG_RESERVE, levels_max, link_mut, route_of};
use crate::book::{Book, BookState, Rule, Sync};
use crate::engine::feed::{Announce, BookFeed, Data, SnapshotAsk, Todo};
use crate::engine::link::{Link, LinkPhase, Op, SentOp, Topics};
use crate::engine::policy::RollingWindow;
use crate::error::{Error, ErrorKind};
use crate::model::{Cause, FeedId, FeedState, MarketId, Mono, Ring, Stamp, VenueId};
use crate::venue::{Act, Channel};
use std::collections::{HashSet, VecDeque};

impl Core {
    /// Puts a feed whose market is known onto a link with room.
    pub(super) fn start(&mut self, id: FeedId, market: Option<MarketId>, now: Mono) {
        let Ok(feed) = self.feeds.find(id) else { return };
        let (venue_id, channel, depth) = (feed.venue, feed.channel, feed.depth);
        let venue = &mut self.venues[usize::from(venue_id.0)];
        let row = market.and_then(|market| venue.markets.market(market));
        let mut topic = String::new();
        if let Err(error) = venue.adapter.topic(row, channel, &mut topic) {
            self.fail(id, error, now);
            return;
        }
        let old_key = feed.topic.clone();
        if *old_key != *topic {
            if venue.topics.contains_key(topic.as_str()) {
                let text = "the same is watched already under another spelling of the symbol";
                let error = Error::new(ErrorKind::BadRequest, text).at(venue.profile.id).with_symbol(&feed.symbol);
                self.fail(id, error, now);
                return;
            }
            venue.topics.remove(&old_key);
            venue.topics.insert(topic.as_str().into(), id);
        }
        let (price_scale, amount_scale) = row.map_or((0, 0), |row| (row.price_scale, row.amount_scale));
        let halted = row.is_some_and(|row| !row.active);
        let (rule, window) = match channel {
            Channel::TopBook(depth) => (venue.profile.top_rule, depth),
            _ => (venue.profile.rule, venue.profile.book_window),
        };
        let markets = venue.markets.len();
        let levels_max = levels_max(depth).max(self.config.book_levels_min);
        let book = |market| {
            let mut book = Book::new(market, price_scale, amount_scale, levels_max.max(usize::from(window) * 2));
            if venue.profile.book_window > 0 && rule != Rule::Replace {
                book.keep_window(usize::from(window));
            }
            book
        };
        let data = match (channel, market) {
            (Channel::Book | Channel::TopBook(_), Some(market)) => Data::Book(Box::new(BookFeed {
                book: book(market),
                sync: Sync::new(rule),
                checksum: None,
                ask: SnapshotAsk::None,
                tries: 0,
                joined: now,
                halted,
                asks: 0,
                gaps: 0,
            })),
            (Channel::Trades | Channel::AggTrades, _) => Data::Trades(Ring::new(self.config.trades_max)),
            (Channel::Ticker, _) => Data::Ticker(None),
            (Channel::BidAsk, _) => Data::BidAsk(None),
            (Channel::AllTickers, _) => Data::Tickers(vec![None; markets]),
            (Channel::AllBidsAsks, _) => Data::BidsAsks(vec![None; markets]),
            (Channel::Candles(_), _) => Data::Candles(Ring::new(self.config.candles_max)),
            _ => Data::None,
        };
        if let Some(feed) = self.feeds.at_mut(id.slot) {
            feed.market = market;
            feed.topic = topic.as_str().into();
            feed.price_scale = price_scale;
            feed.amount_scale = amount_scale;
            feed.data = data;
            feed.state = FeedState::Connecting;
            self.notes.push((id, Announce::State));
        }
        // One topic serves all markets of the venue, so these need the list of markets to tell them apart.
        if !channel.has_market() && !self.has_markets(venue_id) {
            self.load_markets(venue_id, now);
        }
        let link = self.link_with_room(venue_id, channel, &topic, now);
        self.join(link, id, &topic, now);
    }

    fn link_with_room(&mut self, venue_id: VenueId, channel: Channel, topic: &str, now: Mono) -> LinkId {
        let venue = &self.venues[usize::from(venue_id.0)];
        let path = venue.adapter.ws_path(channel);
        let key = venue.adapter.route_key(topic);
        for id in &venue.links {
            if let Some((_, Some(link))) = self.links.get(id.slot as usize)
                && link.feeds.len() < venue.streams_max
                && link.path == path
                && !link.is_private
                && link.routes.find(key.as_bytes()).is_none()
            {
                return *id;
            }
        }
        self.open_link(venue_id, path, false, now)
    }

    /// A new link without feeds, to be connected at once.
    pub(super) fn open_link(&mut self, venue_id: VenueId, path: &'static str, is_private: bool, now: Mono) -> LinkId {
        let venue = &self.venues[usize::from(venue_id.0)];
        let link = Link {
            venue: venue_id,
            adapter: (venue.profile.open)(),
            path,
            is_private,
            routes: Default::default(),
            feeds: Vec::new(),
            phase: LinkPhase::Backoff(now),
            ops: VecDeque::new(),
            sent: Vec::new(),
            window: RollingWindow::new(venue.profile.messages.count, stretched(venue.profile.messages.window_ms)),
            pump_at: Mono(0),
            next_id: 1,
            heard: now,
            pinged: None,
            failures: 0,
            replace_at: Mono::NEVER,
            messages: 0,
            malformed: 0,
            unrouted: 0,
            reconnects: 0,
        };
        let slot = match self.links.iter().position(|(_, link)| link.is_none()) {
            Some(slot) => {
                self.links[slot].1 = Some(link);
                slot
            }
            None => {
                self.links.push((0, Some(link)));
                self.links.len() - 1
            }
        };
        let id = LinkId { slot: slot as u32, generation: self.links[slot].0 };
        self.venues[usize::from(venue_id.0)].links.push(id);
        self.wake(now);
        id
    }

    pub(super) fn join(&mut self, link_id: LinkId, feed_id: FeedId, topic: &str, now: Mono) {
        let Some(link) = link_mut(&mut self.links, link_id) else { return };
        let Some(feed) = self.feeds.at_mut(feed_id.slot) else { return };
        feed.link = Some(link_id);
        link.feeds.push(feed_id);
        link.routes.insert(link.adapter.route_key(topic), route_of(feed));
        if matches!(link.phase, LinkPhase::Up(_)) {
            feed.state = FeedState::Subscribing;
            link.ops.push_back(Op { act: Act::Subscribe, feed: feed_id, topic: topic.into() });
            link.pump_at = link.pump_at.max(now);
        }
        self.wake(now);
    }

    pub(super) fn leave(&mut self, link_id: LinkId, feed: FeedId, topic: &str, now: Mono) {
        let Some(link) = link_mut(&mut self.links, link_id) else { return };
        link.feeds.retain(|id| *id != feed);
        link.routes.remove(link.adapter.route_key(topic));
        if link.feeds.is_empty() {
            self.close_link(link_id);
            return;
        }
        // What was not sent yet need not be taken back.
        let unsent = link.ops.iter().position(|op| op.feed == feed && op.act == Act::Subscribe);
        match (unsent, link.phase) {
            (Some(at), _) => {
                link.ops.remove(at);
            }
            (None, LinkPhase::Up(_)) => {
                link.ops.push_back(Op { act: Act::Unsubscribe, feed, topic: topic.into() });
                link.pump_at = link.pump_at.max(now);
            }
            _ => {}
        }
        self.wake(now);
    }

    pub(super) fn close_link(&mut self, id: LinkId) {
        let Some((generation, slot)) = self.links.get_mut(id.slot as usize) else { return };
        let Some(link) = slot.take() else { return };
        *generation = generation.wrapping_add(1);
        self.venues[usize::from(link.venue.0)].links.retain(|other| *other != id);
        if !matches!(link.phase, LinkPhase::Backoff(_)) {
            self.commands.push_back(Command::Close { link: id });
        }
    }

    /// A link is lost: its feeds wait for the next attempt, and no book of it is shown as good.
    pub(super) fn lose(&mut self, id: LinkId, cause: Cause, down: Option<&LinkDown>, now: Stamp) {
        let Some(link) = link_mut(&mut self.links, id) else { return };
        let venue = &mut self.venues[usize::from(link.venue.0)];
        if let LinkPhase::Up(since) = link.phase
            && now.mono.since_ns(since) >= self.config.settled_after_ms * 1_000_000
        {
            link.failures = 0;
        }
        link.forget_requests();
        link.reconnects += 1;
        // A planned change is not a failure: the next attempt is made at once.
        let wait_ms = if matches!(cause, Cause::PlannedReconnect | Cause::VenueShutdown) && link.failures == 0 {
            0
        } else {
            link.failures += 1;
            self.config.reconnect.wait_ms(link.failures, &mut self.rng)
        };
        let asked_ms = down.and_then(|down| down.retry_after_s).map_or(0, |s| u64::from(s) * 1_000);
        link.phase = LinkPhase::Backoff(now.mono.after_ms(wait_ms.max(asked_ms)));
        if let Some(down) = down {
            venue.last_error = Some(down.error.clone());
        }
        let feeds = link.feeds.clone();
        if link.is_private {
            let venue = link.venue;
            self.on_session_down(venue, cause, down.map(|down| &down.error), now);
        }
        for feed_id in feeds {
            let Some(feed) = self.feeds.at_mut(feed_id.slot) else { continue };
            feed.state = FeedState::Connecting;
            feed.cause = cause;
            feed.error = down.map(|down| down.error.clone());
            self.notes.push((feed_id, Announce::State));
            if let Data::Book(inner) = &mut feed.data {
                inner.sync.disconnected();
                let ask = std::mem::replace(&mut inner.ask, SnapshotAsk::None);
                if inner.book.set_state(BookState::Syncing, cause, now) {
                    self.notes.push((feed_id, Announce::Book));
                }
                // A snapshot asked for before the loss says nothing about the next connection.
                if let SnapshotAsk::Sent(request) = ask {
                    self.cancel(request);
                }
            }
        }
        self.wake(now.mono);
    }

    pub(super) fn tick_link(&mut self, id: LinkId, now: Stamp) {
        let Some(link) = link_mut(&mut self.links, id) else { return };
        let link_venue = link.venue;
        let venue = &mut self.venues[usize::from(link_venue.0)];
        let profile = venue.profile;
        match link.phase {
            LinkPhase::Backoff(at) if now.mono >= at => match venue.connects.take(now.mono, 1, 0) {
                Ok(()) => {
                    let url = match &mut venue.session {
                        Some(session) if link.is_private => match session.url(&venue.markets, now) {
                            Some(url) => url,
                            None => {
                                // It goes on when the token has come.
                                link.phase = LinkPhase::Backoff(Mono::NEVER);
                                self.ask_token(link_venue, now);
                                return;
                            }
                        },
                        _ => format!("{}{}", venue.ws_url, link.path),
                    };
                    link.phase = LinkPhase::Connecting(now.mono.after_ms(self.config.connect_timeout_ms));
                    self.commands.push_back(Command::Connect { link: id, url });
                }
                Err(free_at) => link.phase = LinkPhase::Backoff(free_at),
            },
            LinkPhase::Connecting(until) if now.mono >= until => {
                let text = format!("no connection within {} ms", self.config.connect_timeout_ms);
                self.give_up(id, Cause::Disconnected, text, now);
            }
            LinkPhase::Up(_) => {
                let silence_ns = u64::from(profile.ping.ask_after_s) * 1_000_000_000;
                let dead_ns = u64::from(profile.ping.dead_after_s) * 1_000_000_000;
                if link.pinged.is_some_and(|at| now.mono.since_ns(at) >= dead_ns) {
                    let text = format!("nothing came for {} s, not even a pong", profile.ping.ask_after_s);
                    self.give_up(id, Cause::DeadLink, text, now);
                } else if now.mono >= link.replace_at {
                    self.replace(id, Cause::PlannedReconnect, now);
                } else if link.sent.iter().any(|sent| now.mono >= sent.deadline) {
                    let text = format!("a subscription was not confirmed in {} ms", self.config.subscribe_timeout_ms);
                    self.give_up(id, Cause::RequestFailed, text, now);
                } else {
                    if link.pinged.is_none() && now.mono.since_ns(link.heard) >= silence_ns {
                        link.pinged = Some(now.mono);
                        link.window.record(now.mono, 1);
                        self.commands.push_back(match profile.ping_text {
                            Some(text) => Command::Send { link: id, text: text.as_bytes().to_vec() },
                            None => Command::Ping { link: id },
                        });
                    }
                    self.pump(id, now.mono);
                }
            }
            _ => {}
        }
    }

    /// Closes a link that took too long over something.
    pub(super) fn give_up(&mut self, id: LinkId, cause: Cause, text: String, now: Stamp) {
        let Some(link) = link_mut(&mut self.links, id) else { return };
        let error = Error::new(ErrorKind::RequestTimeout, text).at(link.adapter.profile().id);
        self.commands.push_back(Command::Close { link: id });
        self.lose(id, cause, Some(&LinkDown { error, retry_after_s: None }), now);
    }

    /// Closes a link that works, and connects anew at once.
    pub(super) fn replace(&mut self, id: LinkId, cause: Cause, now: Stamp) {
        if link_mut(&mut self.links, id).is_some() {
            self.commands.push_back(Command::Close { link: id });
            self.lose(id, cause, None, now);
            self.tick_link(id, now);
        }
    }

    /// Sends what the message limit allows.
    pub(super) fn pump(&mut self, id: LinkId, now: Mono) {
        while let Some(link) = link_mut(&mut self.links, id) {
            if link.ops.is_empty() || !matches!(link.phase, LinkPhase::Up(_)) {
                break;
            }
            if let Err(at) = link.window.take(now, 1, PONG_RESERVE) {
                link.pump_at = at;
                break;
            }
            let topics_max = self.venues[usize::from(link.venue.0)].profile.topics_per_message_max;
            let Some((act, feeds)) = link.next_batch(usize::from(topics_max)) else { break };
            if !self.send_subscription(id, act, feeds, now) {
                break;
            }
        }
        self.wake(now);
    }

    pub(super) fn on_ack(&mut self, link_id: LinkId, request: u64, now: Stamp) {
        let Some(link) = link_mut(&mut self.links, link_id) else { return };
        let Some(at) = link.sent.iter().position(|sent| sent.id == request) else { return };
        let sent = link.sent.swap_remove(at);
        for (feed, topic) in sent.feeds {
            self.settled(link_id, sent.act, feed, &topic, now);
        }
    }

    /// The venue confirmed what it was asked about one topic.
    fn settled(&mut self, link_id: LinkId, act: Act, feed: FeedId, topic: &str, now: Stamp) {
        match act {
            Act::Subscribe => self.confirm(feed, now.mono),
            Act::Unsubscribe => self.subscribe_again(link_id, feed, topic, now),
        }
    }

    /// An answer that names the topic instead of our request.
    pub(super) fn on_settled(&mut self, link_id: LinkId, act: Act, topic: &str, now: Stamp) {
        if let Some(feed) = self.take_sent(link_id, act, topic) {
            self.settled(link_id, act, feed, topic, now);
        }
    }

    /// An answer that names all topics that are subscribed now.
    pub(super) fn on_subscribed(&mut self, link_id: LinkId, topics: &[Box<str>], now: Stamp) {
        let Some(link) = link_mut(&mut self.links, link_id) else { return };
        let listed: HashSet<&str> = topics.iter().map(|topic| &**topic).collect();
        let waiting = link.sent.iter().flat_map(|sent| sent.feeds.iter().map(|(_, topic)| (sent.act, topic.clone())));
        let done = waiting.filter(|(act, topic)| listed.contains(&**topic) == (*act == Act::Subscribe));
        for (act, topic) in done.collect::<Vec<_>>() {
            self.on_settled(link_id, act, &topic, now);
        }
    }

    /// A refusal that names the topic instead of our request.
    pub(super) fn on_topic_refused(&mut self, link_id: LinkId, topic: &str, error: Error, now: Stamp) {
        if let Some(feed) = self.take_sent(link_id, Act::Subscribe, topic) {
            if self.feeds.find(feed).is_ok() {
                self.fail_with_book(feed, error, now);
            }
        } else if let Some(feed) = self.take_sent(link_id, Act::Unsubscribe, topic) {
            self.subscribe_again(link_id, feed, topic, now);
        }
    }

    /// Takes a topic off the list of what waits for an answer.
    fn take_sent(&mut self, link_id: LinkId, act: Act, topic: &str) -> Option<FeedId> {
        let link = link_mut(&mut self.links, link_id)?;
        let is_it = |sent: &SentOp| sent.feeds.iter().position(|(_, sent)| **sent == *topic);
        let (at, row) =
            link.sent.iter().enumerate().filter(|(_, sent)| sent.act == act).find_map(|(n, s)| Some((n, is_it(s)?)))?;
        let (feed, _) = link.sent[at].feeds.swap_remove(row);
        if link.sent[at].feeds.is_empty() {
            link.sent.swap_remove(at);
        }
        Some(feed)
    }

    /// A book whose snapshots come on the stream needs a new one: its topic is left, and subscribed again when the venue
    /// has confirmed that. The other topics of the link are not touched.
    pub(super) fn resubscribe(&mut self, slot: u32, now: Mono) {
        let Some(feed) = self.feeds.at_mut(slot) else { return };
        let (id, topic, link_id) = (feed.id, feed.topic.clone(), feed.link);
        let Data::Book(inner) = &mut feed.data else { return };
        let up = link_id.and_then(|id| link_mut(&mut self.links, id));
        let Some(link) = up.filter(|link| matches!(link.phase, LinkPhase::Up(_))) else {
            // It is subscribed anyway when the link comes up.
            inner.ask = SnapshotAsk::None;
            return;
        };
        let at = now.after_ms(self.config.subscribe_timeout_ms.saturating_mul(2));
        inner.asks += 1;
        inner.ask = SnapshotAsk::InBand(at);
        let waits = link.ops.iter().any(|op| op.feed == id)
            || link.sent.iter().any(|sent| sent.feeds.iter().any(|(feed, _)| *feed == id));
        if !waits {
            link.ops.push_back(Op { act: Act::Unsubscribe, feed: id, topic });
            link.pump_at = link.pump_at.max(now);
        }
        self.wake(now);
    }

    /// A topic was left whose feed is still here: it was left to be subscribed anew.
    fn subscribe_again(&mut self, link_id: LinkId, id: FeedId, topic: &str, now: Stamp) {
        let Ok(feed) = self.feeds.find(id) else { return };
        if feed.link != Some(link_id) || *feed.topic != *topic {
            return;
        }
        if let Some((inner, _)) = self.feeds.book_mut(id.slot) {
            // Nothing follows it until the snapshot comes.
            inner.sync.disconnected();
            if inner.book.is_live() && inner.book.set_state(BookState::Syncing, Cause::Asked, now) {
                self.notes.push((id, Announce::Book));
            }
        }
        let Some(link) = link_mut(&mut self.links, link_id) else { return };
        link.ops.push_back(Op { act: Act::Subscribe, feed: id, topic: topic.into() });
        link.pump_at = link.pump_at.max(now.mono);
        self.wake(now.mono);
    }

    /// A subscription is confirmed.
    pub(super) fn confirm(&mut self, id: FeedId, now: Mono) {
        if self.feeds.find(id).is_err() {
            return;
        }
        let Some(feed) = self.feeds.at_mut(id.slot) else { return };
        feed.state = FeedState::Live;
        feed.cause = Cause::Confirmed;
        feed.error = None;
        self.notes.push((id, Announce::State));
        if let Data::Book(inner) = &mut feed.data {
            if inner.sync.subscribed() {
                self.todo.push(Todo::Snapshot(id.slot));
            } else if inner.sync.rule().is_in_band() && !inner.sync.is_following() {
                // The snapshot follows the confirmation; if it does not, it is asked for again.
                inner.ask = SnapshotAsk::InBand(now.after_ms(self.config.subscribe_timeout_ms));
            }
        }
    }

    /// The venue refused a request. One bad topic must not block the others: a batch is tried again in halves.
    pub(super) fn on_refusal(&mut self, link_id: LinkId, request: Option<u64>, error: Error, now: Stamp) {
        let Some(link) = link_mut(&mut self.links, link_id) else { return };
        let Some(at) = request.and_then(|id| link.sent.iter().position(|sent| sent.id == id)) else {
            self.venues[usize::from(link.venue.0)].last_error = Some(error);
            return;
        };
        let sent = link.sent.swap_remove(at);
        if sent.act == Act::Unsubscribe {
            for (feed, topic) in sent.feeds {
                self.subscribe_again(link_id, feed, &topic, now);
            }
            return;
        }
        if let [(feed, _)] = sent.feeds[..] {
            if self.feeds.find(feed).is_ok() {
                self.fail_with_book(feed, error, now);
            }
            return;
        }
        let half = sent.feeds.len().div_ceil(2);
        for chunk in sent.feeds.chunks(half) {
            let Some(link) = link_mut(&mut self.links, link_id) else { return };
            if let Err(at) = link.window.take(now.mono, 1, PONG_RESERVE) {
                // No room now: back to the end of the list, where they are batched again.
                let ops =
                    chunk.iter().map(|(feed, topic)| Op { act: Act::Subscribe, feed: *feed, topic: topic.clone() });
                link.ops.extend(ops);
                link.pump_at = at;
                continue;
            }
            self.send_subscription(link_id, Act::Subscribe, chunk.to_vec(), now.mono);
        }
        self.wake(now.mono);
    }

    /// Sends one message about these topics and remembers that it waits for an answer. False if that has to wait.
    fn send_subscription(&mut self, id: LinkId, act: Act, feeds: Topics, now: Mono) -> bool {
        let Some(link) = link_mut(&mut self.links, id) else { return false };
        let request = link.next_id;
        link.next_id += 1;
        let topics: Vec<&str> = feeds.iter().map(|(_, topic)| &**topic).collect();
        let mut text = Vec::with_capacity(64 + topics.len() * 32);
        link.adapter.subscription(act, &topics, request, &mut text);
        if text.is_empty() {
            return self.leave_unnamed(id, feeds, now);
        }
        self.commands.push_back(Command::Send { link: id, text });
        let deadline = now.after_ms(self.config.subscribe_timeout_ms);
        link.sent.push(SentOp { id: request, act, feeds, deadline });
        true
    }

    /// Topics that are to be left before the venue has said what to call them. While the answer to their subscription is
    /// due, they wait for it; otherwise there is nothing to leave. False if they wait.
    fn leave_unnamed(&mut self, id: LinkId, feeds: Topics, now: Mono) -> bool {
        let mut all_done = true;
        for (feed, topic) in feeds {
            let stays = self.feeds.find(feed).is_ok_and(|feed| feed.link == Some(id) && *feed.topic == *topic);
            let Some(link) = link_mut(&mut self.links, id) else { return false };
            let asked = |sent: &SentOp| sent.act == Act::Subscribe && sent.feeds.iter().any(|(_, sent)| *sent == topic);
            if link.sent.iter().any(asked) {
                link.ops.push_back(Op { act: Act::Unsubscribe, feed, topic });
                link.pump_at = now.after_ms(UNNAMED_RETRY_MS);
                all_done = false;
            } else if stays {
                // It was to be left only to be subscribed anew.
                link.ops.push_back(Op { act: Act::Subscribe, feed, topic });
            }
        }
        all_done
    }

    /// As [`Core::fail`], for a feed that may have a book: it follows nothing any more, and says so.
    pub(super) fn fail_with_book(&mut self, id: FeedId, error: Error, now: Stamp) {
        if let Some((inner, _)) = self.feeds.book_mut(id.slot)
            && inner.book.set_state(BookState::Halted, Cause::Refused, now)
        {
            self.notes.push((id, Announce::Book));
        }
        self.fail(id, error, now.mono);
    }

    /// A feed cannot be served: it leaves its link and says why.
    pub(super) fn fail(&mut self, id: FeedId, error: Error, now: Mono) {
        let Some(feed) = self.feeds.at_mut(id.slot) else { return };
        feed.state = FeedState::Failed;
        feed.cause = Cause::Refused;
        feed.error = Some(error);
        let (link, topic) = (feed.link.take(), feed.topic.clone());
        self.notes.push((id, Announce::State));
        if let Data::Book(inner) = &mut feed.data {
            inner.sync.disconnected();
            inner.ask = SnapshotAsk::None;
        }
        if let Some(link) = link {
            self.leave(link, id, &topic, now);
        }
    }
}

/// How long to wait before it is looked again whether a topic has a name.
const UNNAMED_RETRY_MS: u64 = 50;

/// The venue counts messages when they arrive, we when they leave, and on the way they may close up: half a window more
/// keeps us within the limit unless the network delays one by as much.
fn stretched(window_ms: u32) -> u32 {
    window_ms.saturating_add(window_ms / 2)
}
