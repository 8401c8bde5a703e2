//! Feeds: begun, found, ended.

use super::{Command, Core, Counters, link_mut, route_of};
use crate::book::Book;
use crate::engine::feed::{Data, Feed};
use crate::engine::link::LinkPhase;
use crate::error::{Error, ErrorKind};
use crate::model::{Cause, FeedId, FeedState, Mono, VenueId};
use crate::venue::Channel;

impl Core {
    /// Watches a channel: of the market `symbol` (unified or the venue's spelling), or of the whole venue.
    ///
    /// Before the markets are loaded the feed waits for them; an unknown symbol then ends in [`FeedState::Failed`].
    /// Watching the same again gives the same feed. `depth` is the number of levels a side that a book has to know.
    ///
    /// # Errors
    /// [`ErrorKind::BadSymbol`], [`ErrorKind::NotSupported`], [`ErrorKind::LimitReached`].
    pub fn watch(
        &mut self,
        venue: VenueId,
        symbol: Option<&str>,
        channel: Channel,
        depth: Option<u16>,
        now: Mono,
    ) -> Result<FeedId, Error> {
        let Some(slot) = self.venues.get(usize::from(venue.0)) else {
            return Err(Error::new(ErrorKind::StaleHandle, "this venue is not of this engine"));
        };
        let (id, profile) = (slot.profile.id, slot.profile);
        if let (Channel::Private(channel), None) = (channel, symbol) {
            return self.watch_private(venue, channel, now);
        }
        match (channel.has_market(), symbol) {
            (true, None) => {
                let text = format!("watching {} needs a symbol", channel.as_str());
                return Err(Error::new(ErrorKind::ArgumentsRequired, text).at(id));
            }
            (false, Some(symbol)) => {
                let text = format!("{} is the whole venue's, it takes no symbol", channel.as_str());
                return Err(Error::new(ErrorKind::BadRequest, text).at(id).with_symbol(symbol));
            }
            _ => {}
        }
        if let (Channel::Book, Some(depth)) = (channel, depth) {
            let deepest = profile.snapshot_depth(u16::MAX).0;
            if depth == 0 || depth > deepest {
                let text = format!("a book has 1 to {deepest} levels a side here, not {depth}");
                return Err(Error::new(ErrorKind::BadRequest, text).at(id));
            }
        }
        if self.feeds.len() >= self.config.feeds_max {
            let text = format!("{} feeds are the most this engine was set to (feeds_max)", self.config.feeds_max);
            return Err(Error::new(ErrorKind::LimitReached, text));
        }
        // Says at once if the venue has no such channel, whatever the market.
        let mut topic = String::new();
        let loaded = self.has_markets(venue);
        let slot = &self.venues[usize::from(venue.0)];
        let market = match symbol {
            Some(symbol) if loaded => Some(slot.markets.resolve(symbol).map_err(|error| error.at(id))?),
            _ => None,
        };
        if channel != Channel::Status {
            slot.adapter.topic(market, channel, &mut topic)?;
        }
        let known = channel == Channel::Status || market.is_some() || !channel.has_market();
        let key = if known { topic } else { format!("{} {channel:?}", symbol.unwrap_or("")) };
        let market = market.map(|market| market.id);
        if let Some(feed) = slot.topics.get(key.as_str()).copied() {
            if self.feeds.find(feed).is_ok_and(|feed| feed.state != FeedState::Failed) {
                self.deepen(feed, depth);
                return Ok(feed);
            }
            // It failed, and the user asks again: so do we, under a new handle.
            self.unwatch(feed, now)?;
        }
        let metric = self.metric_row(venue, channel);
        let stale_after_ns = self.config.stale_after_ms.map_or(u64::MAX, |ms| ms.saturating_mul(1_000_000));
        let depth = depth.unwrap_or(self.config.book_depth).max(1);
        let feed = self.feeds.insert(|id| Feed {
            id,
            venue,
            market: None,
            symbol: symbol.unwrap_or("").into(),
            channel,
            topic: key.as_str().into(),
            state: FeedState::AwaitingMarkets,
            cause: Cause::Asked,
            error: None,
            link: None,
            metric,
            price_scale: 0,
            amount_scale: 0,
            depth,
            stale_after_ns,
            heard: now,
            changed_in: u64::MAX,
            data: Data::None,
        });
        self.venues[usize::from(venue.0)].topics.insert(key.into(), feed);
        if channel == Channel::Status {
            self.start_status(venue, feed, now);
        } else if known && (loaded || !channel.has_market()) {
            self.start(feed, market, now);
        } else {
            self.load_markets(venue, now);
        }
        Ok(feed)
    }

    /// Watches what a topic of the venue stands for, under exactly this spelling: for recordings, whose messages name the
    /// topics that somebody else asked for. The markets have to be loaded.
    ///
    /// # Errors
    /// As [`Core::watch`]; [`ErrorKind::BadRequest`] if the venue has no such topic, or if the same is watched under
    /// another spelling.
    pub fn watch_topic(&mut self, venue: VenueId, topic: &str, depth: Option<u16>, now: Mono) -> Result<FeedId, Error> {
        let Some(slot) = self.venues.get(usize::from(venue.0)) else {
            return Err(Error::new(ErrorKind::StaleHandle, "this venue is not of this engine"));
        };
        let id = slot.profile.id;
        let Some((channel, symbol)) = slot.adapter.parse_topic(topic) else {
            return Err(Error::new(ErrorKind::BadRequest, format!("{topic:?} is no topic that can be read")).at(id));
        };
        let feeds_before = self.feeds.len();
        let feed_id = self.watch(venue, symbol.as_deref(), channel, depth, now)?;
        let is_new = self.feeds.len() > feeds_before;
        let Some(feed) = self.feeds.at_mut(feed_id.slot).filter(|feed| *feed.topic != *topic) else {
            return Ok(feed_id);
        };
        if !is_new {
            let text = format!("{topic:?} is watched already as {:?}", feed.topic);
            return Err(Error::new(ErrorKind::BadRequest, text).at(id));
        }
        let old = std::mem::replace(&mut feed.topic, topic.into());
        let route = route_of(feed);
        if let Some(link) = feed.link.and_then(|link| link_mut(&mut self.links, link)) {
            link.routes.remove(link.adapter.route_key(&old));
            link.routes.insert(link.adapter.route_key(topic), route);
            link.ops.iter_mut().filter(|op| op.feed == feed_id).for_each(|op| op.topic = topic.into());
        }
        let topics = &mut self.venues[usize::from(venue.0)].topics;
        topics.remove(&old);
        topics.insert(topic.into(), feed_id);
        Ok(feed_id)
    }

    /// Ends a feed. The others on its connection are not touched.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`].
    pub fn unwatch(&mut self, id: FeedId, now: Mono) -> Result<(), Error> {
        self.feeds.find(id)?;
        let Some(feed) = self.feeds.remove(id) else { return Ok(()) };
        let venue = &mut self.venues[usize::from(feed.venue.0)];
        if let Channel::Private(channel) = feed.channel {
            self.unwatch_private(feed.venue, channel);
            return Ok(());
        }
        venue.topics.remove(&feed.topic);
        if feed.channel == Channel::Status {
            venue.status_at = Mono::NEVER;
        }
        self.drop_request_of(&feed);
        if let Some(link) = feed.link {
            self.leave(link, id, &feed.topic, now);
        }
        Ok(())
    }

    /// The feed that watches this channel of this market, if there is one.
    pub fn find_feed(&self, venue: VenueId, symbol: Option<&str>, channel: Channel) -> Option<FeedId> {
        let slot = self.venues.get(usize::from(venue.0))?;
        if let Channel::Private(channel) = channel {
            return Some(self.private_feed(venue, channel)).filter(|feed| *feed != FeedId::NONE);
        }
        let mut topic = String::new();
        if channel != Channel::Status {
            let market = match symbol {
                Some(symbol) => Some(slot.markets.resolve(symbol).ok()?),
                None => None,
            };
            slot.adapter.topic(market, channel, &mut topic).ok()?;
        }
        slot.topics.get(topic.as_str()).copied()
    }

    /// State and cause of a feed, and the error behind it.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`].
    pub fn feed_state(&self, id: FeedId) -> Result<(FeedState, Cause, Option<&Error>), Error> {
        let feed = self.feeds.find(id)?;
        Ok((feed.state, feed.cause, feed.error.as_ref()))
    }

    pub(crate) fn feed(&self, id: FeedId) -> Result<&Feed, Error> {
        self.feeds.find(id)
    }

    pub(crate) fn all_feeds(&self) -> impl Iterator<Item = &Feed> {
        self.feeds.iter()
    }

    /// The book of a feed.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`]; [`ErrorKind::BadRequest`] if it is not a feed of books.
    /// [`ErrorKind::OperationFailed`] before its market is known.
    #[inline]
    pub fn book(&self, id: FeedId) -> Result<&Book, Error> {
        let feed = self.feeds.find(id)?;
        match &feed.data {
            Data::Book(inner) => Ok(&inner.book),
            Data::None => Err(Error::new(ErrorKind::OperationFailed, "the markets are not loaded yet")),
            _ => Err(Error::new(ErrorKind::BadRequest, format!("this feed has {}, no book", feed.channel.as_str()))),
        }
    }

    /// Feeds that changed in this cycle, each once.
    pub fn changed(&self) -> &[FeedId] {
        &self.feeds.changed
    }

    /// Rows of histograms: venue, channel and number, in the order of their numbers.
    pub fn metric_rows(&self) -> Vec<(&'static str, &'static str, u32)> {
        let mut rows: Vec<_> = self
            .metric_rows
            .iter()
            .map(|((venue, channel), row)| (self.venues[usize::from(*venue)].profile.id, *channel, *row))
            .collect();
        rows.sort_by_key(|row| row.2);
        rows
    }

    /// How many rows of histograms there are.
    #[inline]
    pub fn metric_row_count(&self) -> usize {
        self.metric_rows.len()
    }

    /// What happened on the links since the start: for reports.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for (_, link) in &self.links {
            let Some(link) = link else { continue };
            counters.links += 1;
            counters.links_up += u64::from(matches!(link.phase, LinkPhase::Up(_)));
            counters.messages += link.messages;
            counters.malformed += link.malformed;
            counters.unrouted += link.unrouted;
            counters.reconnects += link.reconnects;
        }
        for feed in self.feeds.iter() {
            counters.feeds += 1;
            if let Data::Book(inner) = &feed.data {
                counters.books += 1;
                counters.books_live += u64::from(inner.book.is_live());
                counters.snapshots += inner.asks;
                counters.gaps += inner.gaps;
            }
        }
        counters
    }

    /// The next command, oldest first.
    #[inline]
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When [`Core::on_tick`] is due. Calling it earlier is harmless.
    #[inline]
    pub fn next_deadline(&self) -> Mono {
        self.next_deadline
    }

    /// Starts a cycle: forgets what changed in the last one.
    #[inline]
    pub fn begin_cycle(&mut self) {
        self.feeds.cycle += 1;
        self.feeds.changed.clear();
    }
}
