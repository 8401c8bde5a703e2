//! Feeds: what a user watches, and the way of one decoded message into it.
//!
//! [`Feeds::on_item`] is the hot path of the core: it applies one item to its feed and lends the result to the sink.
//! Whatever needs more than that (a snapshot to be asked for, a refusal) is written down as a [`Todo`] for the control
//! path in `core`.

use crate::book::checksum::Checksum;
use crate::book::{Book, BookState, Delta, Expected, Step, Sync};
use crate::error::{Error, ErrorKind};
use crate::metrics::Stage;
use crate::model::{
    BidAsk, Candle, Cause, Event, FeedId, FeedState, MarketId, Mono, Notice, Ring, Stamp, Status, Ticker, Trade,
    Update, VenueId, Wall,
};
use crate::venue::{Act, BookKind, Channel, Decoded, Footprint, Item, Route};

use super::core::{LinkId, RequestId, Sink};

/// One feed. What every message touches comes first and lies in one line of a cache.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Feed {
    pub(crate) id: FeedId,
    /// When the last message came.
    pub(crate) heard: Mono,
    /// The cycle in which it changed last.
    pub(crate) changed_in: u64,
    pub(crate) market: Option<MarketId>,
    /// Row of the histograms.
    pub(crate) metric: u32,
    pub(crate) data: Data,
    pub(crate) venue: VenueId,
    /// As the user spelled it; empty for a whole venue.
    pub(crate) symbol: Box<str>,
    pub(crate) channel: Channel,
    /// The venue's topic; empty until the market is known.
    pub(crate) topic: Box<str>,
    pub(crate) state: FeedState,
    pub(crate) cause: Cause,
    pub(crate) error: Option<Error>,
    pub(crate) link: Option<LinkId>,
    pub(crate) price_scale: u8,
    pub(crate) amount_scale: u8,
    /// Levels a side that a book promises.
    pub(crate) depth: u16,
    /// Silence after which a book is stale; `u64::MAX` for never.
    pub(crate) stale_after_ns: u64,
}

/// What a feed keeps.
#[derive(Debug)]
pub(crate) enum Data {
    /// Not known yet: the market is not.
    None,
    Book(Box<BookFeed>),
    Trades(Ring<Trade>),
    Ticker(Option<Box<Ticker>>),
    /// By market index.
    Tickers(Vec<Option<Ticker>>),
    BidAsk(Option<BidAsk>),
    /// By market index.
    BidsAsks(Vec<Option<BidAsk>>),
    Candles(Ring<Candle>),
    Status(Option<Status>),
}

/// A book with its sequence state and the snapshot that may be on its way. What every message touches lies together,
/// where the book ends and the sequence state begins.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct BookFeed {
    pub(crate) book: Book,
    pub(crate) sync: Sync,
    /// From the first checksum on.
    pub(crate) checksum: Option<Box<Checksum>>,
    pub(crate) ask: SnapshotAsk,
    /// Snapshots asked for since the book was well for long.
    pub(crate) tries: u32,
    /// When it last became whole.
    pub(crate) joined: Mono,
    /// The market does not trade.
    pub(crate) halted: bool,
    /// Snapshots asked for, ever.
    pub(crate) asks: u64,
    /// Gaps, ever.
    pub(crate) gaps: u64,
}

/// Where the snapshot of a book stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotAsk {
    None,
    /// To be asked for at this time.
    At(Mono),
    Sent(RequestId),
    /// It comes on the stream, by this time at the latest.
    InBand(Mono),
}

impl BookFeed {
    /// Compares the book with the checksum that came with its last change.
    fn verify(&mut self, expected: Expected) -> Option<Step> {
        let checksum = self.checksum.get_or_insert_with(Default::default);
        let got = self.book.checksum(expected, checksum);
        if got == Some(expected.value()) {
            return None;
        }
        self.sync.distrust();
        Some(Step::Mismatch { expected: expected.value(), got: got.unwrap_or(0) })
    }
}

/// Work for the control path.
#[derive(Clone, Debug)]
pub(crate) enum Todo {
    /// A book needs a snapshot.
    Snapshot(u32),
    /// A book cannot be relied on for this reason.
    Distrust(u32, Cause),
    Ack(LinkId, u64),
    Settled(LinkId, Act, Box<str>),
    Subscribed(LinkId, Box<[Box<str>]>),
    TopicRefused(LinkId, Box<str>, Error),
    Refusal(LinkId, Option<u64>, Error),
    Shutdown(LinkId),
    Status(LinkId, crate::model::Health),
}

/// All feeds of an engine; slots are used again under a new generation.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    slots: Vec<Slot>,
    free: Vec<u32>,
    count: usize,
    /// Feeds that changed in this cycle, each once.
    pub(crate) changed: Vec<FeedId>,
    pub(crate) cycle: u64,
    pub(crate) crossed_ns_max: u64,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    feed: Option<Box<Feed>>,
}

impl Feeds {
    pub(crate) fn new(crossed_ms_max: u64) -> Feeds {
        Feeds { crossed_ns_max: crossed_ms_max.saturating_mul(1_000_000), ..Feeds::default() }
    }

    pub(crate) fn insert(&mut self, make: impl FnOnce(FeedId) -> Feed) -> FeedId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, feed: None });
            self.slots.len() as u32 - 1
        });
        let generation = self.slots[slot as usize].generation;
        let id = FeedId { slot, generation };
        self.slots[slot as usize].feed = Some(Box::new(make(id)));
        self.count += 1;
        // Each feed changes at most once a cycle, so this never grows on the hot path.
        self.changed.reserve(self.slots.len().saturating_sub(self.changed.len()));
        id
    }

    pub(crate) fn remove(&mut self, id: FeedId) -> Option<Box<Feed>> {
        self.find(id).ok()?;
        let slot = &mut self.slots[id.slot as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.count -= 1;
        slot.feed.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Slots, used or not.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn find(&self, id: FeedId) -> Result<&Feed, Error> {
        match self.slots.get(id.slot as usize) {
            Some(Slot { generation, feed: Some(feed) }) if *generation == id.generation => Ok(feed),
            _ => Err(Error::new(ErrorKind::StaleHandle, "this feed was unwatched; watch it again for a new handle")),
        }
    }

    pub(crate) fn at(&self, slot: u32) -> Option<&Feed> {
        self.slots.get(slot as usize)?.feed.as_deref()
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut Feed> {
        self.slots.get_mut(slot as usize)?.feed.as_deref_mut()
    }

    /// Where the things lie that a message of this feed needs.
    #[inline]
    pub(crate) fn footprint(&self, slot: u32) -> Footprint {
        let Some(slot @ Slot { feed: Some(feed), .. }) = self.slots.get(slot as usize) else {
            return Footprint::default();
        };
        let (book, ends) = match &feed.data {
            Data::Book(inner) => (std::ptr::from_ref(&**inner).addr(), inner.book.ends()),
            _ => (0, [0; 2]),
        };
        let (slot, feed) = (std::ptr::from_ref(slot).addr(), std::ptr::from_ref(&**feed).addr());
        Footprint { slot, feed, book, ends }
    }

    pub(crate) fn book_mut(&mut self, slot: u32) -> Option<(&mut BookFeed, FeedId)> {
        let feed = self.at_mut(slot)?;
        let id = feed.id;
        match &mut feed.data {
            Data::Book(book) => Some((book, id)),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Feed> {
        self.slots.iter().filter_map(|slot| slot.feed.as_deref())
    }

    /// Applies one item that has a route, and lends the outcome to the sink.
    #[inline]
    #[allow(clippy::too_many_arguments)] // One call site; a struct for it would be filled for each message.
    pub(crate) fn on_item(
        &mut self,
        route: &Route,
        item: &Item,
        decoded: &Decoded,
        all_market: Option<MarketId>,
        received: Stamp,
        kernel: Option<Wall>,
        todo: &mut Vec<Todo>,
        sink: &mut impl Sink,
    ) {
        let Some(Slot { feed: Some(feed), .. }) = self.slots.get_mut(route.feed as usize) else { return };
        feed.heard = received.mono;
        let market = feed.market.or(all_market);
        sink.stage(feed.metric, Stage::Parsed);
        if let Some(kernel) = kernel {
            let passed_ns = received.wall.0.saturating_sub(kernel.0).max(0);
            sink.passed(feed.metric, Stage::Kernel, passed_ns as u64);
        }
        let event = match (item, &mut feed.data) {
            (Item::Book { kind, rejected, checksum, .. }, Data::Book(inner)) => {
                let delta = if *kind == BookKind::Delta { decoded.delta(item) } else { None };
                let mut step = match (&delta, decoded.snapshot(item)) {
                    (Some(delta), _) => inner.sync.on_delta(delta, &mut inner.book, received),
                    (None, Some(snapshot)) => inner.sync.on_snapshot(&snapshot, &mut inner.book, received),
                    (None, None) => return,
                };
                if let (Some(expected), Step::Applied | Step::Joined) = (*checksum, step)
                    && let Some(mismatch) = inner.verify(expected)
                {
                    step = mismatch;
                }
                if *rejected > 0 {
                    inner.book.reject_levels(*rejected);
                    notice(feed, market, received, kernel, Notice::LevelsRejected(*rejected), sink);
                }
                let Data::Book(inner) = &mut feed.data else { return };
                if step != Step::Applied || !inner.book.is_live() || inner.book.is_crossed() {
                    let slot = route.feed;
                    if !settle(inner, step, slot, self.crossed_ns_max, received, todo) {
                        return;
                    }
                }
                let (bids, asks) = match delta {
                    Some(Delta { bids, asks, .. }) if step == Step::Applied => (bids, asks),
                    _ => (&[][..], &[][..]),
                };
                Event::Book { book: &inner.book, bids, asks }
            }
            (Item::Trades { trades, .. }, Data::Trades(ring)) => {
                let trades = decoded.trades(*trades);
                trades.iter().for_each(|trade| ring.push(*trade));
                Event::Trades(trades)
            }
            (Item::BidAsk { row, .. }, Data::BidAsk(last)) => {
                let Some(quote) = decoded.bid_ask(*row) else { return };
                *last = Some(*quote);
                Event::BidAsk(quote)
            }
            (Item::BidAsk { row, .. }, Data::BidsAsks(rows)) => {
                let Some(quote) = decoded.bid_ask(*row) else { return };
                let Some(last) = market.and_then(|market| rows.get_mut(market.index as usize)) else { return };
                *last = Some(*quote);
                Event::BidAsk(quote)
            }
            (Item::Ticker { row, .. }, Data::Ticker(last)) => {
                let Some(ticker) = decoded.ticker(*row) else { return };
                match last {
                    Some(last) => **last = *ticker,
                    None => *last = Some(Box::new(*ticker)),
                }
                Event::Ticker(ticker)
            }
            (Item::Ticker { row, .. }, Data::Tickers(rows)) => {
                let Some(ticker) = decoded.ticker(*row) else { return };
                let Some(last) = market.and_then(|market| rows.get_mut(market.index as usize)) else { return };
                *last = Some(*ticker);
                Event::Ticker(ticker)
            }
            (Item::Candle { row, .. }, Data::Candles(ring)) => {
                let Some(candle) = decoded.candle(*row) else { return };
                match ring.last_mut() {
                    Some(last) if last.open_time == candle.open_time => *last = *candle,
                    // An older candle than the last one: the venue repeats itself.
                    Some(last) if last.open_time > candle.open_time => return,
                    _ => ring.push(*candle),
                }
                Event::Candle(candle)
            }
            _ => return,
        };
        sink.stage(feed.metric, Stage::Book);
        if feed.changed_in != self.cycle {
            feed.changed_in = self.cycle;
            self.changed.push(feed.id);
        }
        sink.update(&Update { feed: feed.id, market, received, kernel, event });
        sink.stage(feed.metric, Stage::User);
    }

    /// Something of a private feed changed.
    pub(crate) fn touch(&mut self, id: FeedId, now: Mono) {
        let Some(Slot { generation, feed: Some(feed) }) = self.slots.get_mut(id.slot as usize) else { return };
        if *generation != id.generation {
            return;
        }
        feed.heard = now;
        if feed.changed_in != self.cycle {
            feed.changed_in = self.cycle;
            self.changed.push(feed.id);
        }
    }

    /// A topic is alive and nothing changed in it; its book has to have this checksum.
    pub(crate) fn on_unchanged(
        &mut self,
        route: &Route,
        checksum: Option<Expected>,
        received: Stamp,
        todo: &mut Vec<Todo>,
        sink: &mut impl Sink,
    ) {
        let Some(feed) = self.at_mut(route.feed) else { return };
        feed.heard = received.mono;
        if let (Data::Book(inner), Some(expected)) = (&mut feed.data, checksum)
            && inner.sync.is_following()
            && let Some(mismatch) = inner.verify(expected)
            && settle(inner, mismatch, route.feed, u64::MAX, received, todo)
        {
            self.announce(route.feed, Announce::Book, received, sink);
        }
    }

    /// Lends a feed's present state to the sink: after a change that no message brought.
    pub(crate) fn announce(&mut self, slot: u32, what: Announce, now: Stamp, sink: &mut impl Sink) {
        let Some(Slot { feed: Some(feed), .. }) = self.slots.get_mut(slot as usize) else { return };
        if feed.changed_in != self.cycle {
            feed.changed_in = self.cycle;
            self.changed.push(feed.id);
        }
        let event = match (what, &feed.data) {
            (Announce::Book, Data::Book(inner)) => Event::Book { book: &inner.book, bids: &[], asks: &[] },
            (Announce::Status, Data::Status(Some(status))) => Event::Status(status),
            (Announce::Notice(notice), _) => Event::Notice(notice),
            (Announce::State, _) => Event::State { state: feed.state, cause: feed.cause, error: feed.error.as_ref() },
            _ => return,
        };
        sink.update(&Update { feed: feed.id, market: feed.market, received: now, kernel: None, event });
    }
}

/// What [`Feeds::announce`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announce {
    State,
    Book,
    Status,
    Notice(Notice),
}

fn notice(
    feed: &Feed,
    market: Option<MarketId>,
    received: Stamp,
    kernel: Option<Wall>,
    notice: Notice,
    sink: &mut impl Sink,
) {
    sink.update(&Update { feed: feed.id, market, received, kernel, event: Event::Notice(notice) });
}

/// Brings the state of a book in line with what the sequence rules said. True if there is something to tell.
#[cold]
pub(crate) fn settle(
    inner: &mut BookFeed,
    step: Step,
    slot: u32,
    crossed_ns_max: u64,
    now: Stamp,
    todo: &mut Vec<Todo>,
) -> bool {
    match step {
        Step::Applied | Step::Joined => {
            if step == Step::Joined {
                inner.joined = now.mono;
                inner.ask = SnapshotAsk::None;
            }
            if inner.book.is_crossed() {
                if inner.book.state() == BookState::Crossed
                    && now.mono.since_ns(inner.book.since().mono) > crossed_ns_max
                {
                    todo.push(Todo::Distrust(slot, Cause::Crossed));
                }
                inner.book.set_state(BookState::Crossed, Cause::Crossed, now);
            } else if step == Step::Joined && inner.sync.is_unconfirmed() && !inner.book.is_live() {
                // A REST cache may be older than the stream. The next delta joins it or shows that it was; if none
                // comes for a while, the market is quiet, and housekeeping calls the book live.
                inner.book.set_state(BookState::Syncing, Cause::AwaitingDelta, now);
            } else if inner.halted {
                inner.book.set_state(BookState::Halted, Cause::MarketInactive, now);
            } else {
                inner.book.set_state(BookState::Live, Cause::Synced, now);
            }
            true
        }
        Step::Gap { expected, got } => {
            inner.gaps += 1;
            todo.push(Todo::Snapshot(slot));
            inner.book.set_state(BookState::Gapped, Cause::Gap { expected, got }, now)
        }
        Step::Mismatch { expected, got } => {
            inner.gaps += 1;
            inner.ask = SnapshotAsk::None;
            todo.push(Todo::Snapshot(slot));
            inner.book.set_state(BookState::Gapped, Cause::Checksum { expected, got }, now)
        }
        Step::HeldAsk => {
            todo.push(Todo::Snapshot(slot));
            false
        }
        Step::SnapshotTooOld => {
            inner.ask = SnapshotAsk::None;
            todo.push(Todo::Snapshot(slot));
            // While a fresh snapshot is only to renew a book that is live, the book stays live.
            !inner.sync.is_following() && inner.book.set_state(BookState::Syncing, Cause::SnapshotTooOld, now)
        }
        Step::Held | Step::Ignored | Step::Unasked => false,
    }
}
