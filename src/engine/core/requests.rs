//! REST: snapshots, markets, status, and the limits of the venue.

use super::{
    Command, Core, Job, MarketList, NoSink, Pending, REQUESTS_IN_FLIGHT_MAX, RequestId, Sink, Untimed, no_route,
    route_of,
};
use crate::engine::feed::{Announce, Data, Feed, SnapshotAsk, Todo};
use crate::error::{Error, ErrorKind, Retry};
use crate::market::Market;
use crate::model::{Cause, FeedId, FeedState, Health, MarketId, Mono, Stamp, Status, VenueId};
use crate::venue::{Answer, AnswerError, Ask, Channel, DecodeError, Reply, SignedRequest};

impl Core {
    /// A book needs a snapshot: at once the first time, then with growing pauses.
    pub(super) fn want_snapshot(&mut self, slot: u32, now: Mono) {
        let Some((inner, _)) = self.feeds.book_mut(slot) else { return };
        if inner.ask != SnapshotAsk::None {
            return;
        }
        let wait_ms = self.config.retry.wait_ms(inner.tries, &mut self.rng);
        inner.tries = inner.tries.saturating_add(1);
        let at = now.after_ms(wait_ms);
        inner.ask = SnapshotAsk::At(at);
        if wait_ms == 0 {
            self.ask_snapshot(slot, now);
        } else {
            self.wake(at);
        }
    }

    pub(super) fn ask_snapshot(&mut self, slot: u32, now: Mono) {
        let Some(feed) = self.feeds.at(slot) else { return };
        if matches!(&feed.data, Data::Book(inner) if inner.sync.rule().is_in_band()) {
            self.resubscribe(slot, now);
            return;
        }
        let (venue, id, market, depth) = (feed.venue, feed.id, feed.market, feed.depth);
        let request = self.ask(venue, Ask::Snapshot { depth }, Some(id), market, now);
        let Some((inner, _)) = self.feeds.book_mut(slot) else { return };
        match request {
            Some(request) => {
                inner.asks += 1;
                inner.ask = SnapshotAsk::Sent(request);
            }
            None => inner.ask = SnapshotAsk::None,
        }
    }

    pub(super) fn ask(
        &mut self,
        venue_id: VenueId,
        ask: Ask,
        feed: Option<FeedId>,
        market: Option<MarketId>,
        now: Mono,
    ) -> Option<RequestId> {
        let venue = &mut self.venues[usize::from(venue_id.0)];
        let market = market.and_then(|market| venue.markets.market(market));
        let request = match venue.adapter.request(ask, market) {
            Ok(request) => request,
            Err(error) => {
                venue.last_error = Some(error);
                return None;
            }
        };
        let signed = SignedRequest::new(request.method, request.target, request.weight);
        Some(self.queue(venue_id, Job::Ask(ask), feed, signed, now))
    }

    /// Puts a request into the venue's queue.
    pub(super) fn queue(
        &mut self,
        venue_id: VenueId,
        job: Job,
        feed: Option<FeedId>,
        signed: SignedRequest,
        now: Mono,
    ) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.queue_as(id, venue_id, job, feed, signed, now);
        id
    }

    /// As [`Core::queue`], under a number that was given before.
    pub(super) fn queue_as(
        &mut self,
        id: RequestId,
        venue_id: VenueId,
        job: Job,
        feed: Option<FeedId>,
        signed: SignedRequest,
        now: Mono,
    ) {
        let urgent = matches!(job, Job::Order(..) | Job::CancelAll);
        let (weight, signed) = (signed.weight, Some(Box::new(signed)));
        self.pending.insert(id, Pending { venue: venue_id, job, feed, weight, signed, sent: now, deadline: None });
        let waiting = &mut self.venues[usize::from(venue_id.0)].rest.waiting;
        if urgent {
            // Before snapshots and questions; behind orders that came before.
            let at = waiting.iter().position(|id| !self.pending.get(id).is_some_and(Pending::is_urgent));
            waiting.insert(at.unwrap_or(waiting.len()), id);
        } else {
            waiting.push_back(id);
        }
        self.pump_requests(venue_id, now);
    }

    /// Sends what the venue's REST limits allow.
    pub(super) fn pump_requests(&mut self, venue_id: VenueId, now: Mono) {
        let venue = &mut self.venues[usize::from(venue_id.0)];
        let rest = &mut venue.rest;
        rest.pump_at = Mono::NEVER;
        while let Some(id) = rest.waiting.front().copied() {
            let Some(pending) = self.pending.get_mut(&id) else {
                rest.waiting.pop_front();
                continue;
            };
            if now < rest.blocked_until {
                rest.pump_at = rest.blocked_until;
                break;
            }
            if rest.in_flight >= REQUESTS_IN_FLIGHT_MAX {
                // The next answer comes back here.
                break;
            }
            // A twentieth is left for what the user does beside us.
            if let Err(at) = rest.window.take(now, pending.weight, rest.window.max() / 20) {
                rest.pump_at = at;
                break;
            }
            rest.waiting.pop_front();
            let Some(signed) = pending.signed.take() else { continue };
            rest.in_flight += 1;
            pending.sent = now;
            pending.deadline = Some(now.after_ms(self.config.request_timeout_ms));
            self.commands.push_back(Command::Request { request: id, base: venue.rest_url.clone(), signed });
        }
        self.wake(now);
    }

    /// Forgets a request: nobody waits for its answer any more.
    pub(super) fn cancel(&mut self, id: RequestId) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let rest = &mut self.venues[usize::from(pending.venue.0)].rest;
        if pending.deadline.is_some() {
            rest.in_flight = rest.in_flight.saturating_sub(1);
            self.commands.push_back(Command::Cancel { request: id });
        } else {
            rest.waiting.retain(|waiting| *waiting != id);
        }
    }

    pub(super) fn drop_request_of(&mut self, feed: &Feed) {
        if let Data::Book(inner) = &feed.data
            && let SnapshotAsk::Sent(request) = inner.ask
        {
            self.cancel(request);
        }
    }

    pub(super) fn expire_requests(&mut self, now: Stamp, sink: &mut impl Sink) {
        // Few are ever under way; the list of those that wait is not looked at.
        let late: Vec<RequestId> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.deadline.is_some_and(|deadline| now.mono >= deadline))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.commands.push_back(Command::Cancel { request: id });
            let text = format!("no answer within {} ms", self.config.request_timeout_ms);
            self.on_reply(id, Err(Error::new(ErrorKind::RequestTimeout, text)), now, sink);
        }
    }

    pub(super) fn read_answer(
        &mut self,
        ask: Ask,
        venue: VenueId,
        feed: Option<FeedId>,
        reply: &Reply<'_>,
        now: Stamp,
    ) -> Result<Answer, AnswerError> {
        for _ in 0..3 {
            let route = match feed.map(|feed| self.feeds.find(feed)) {
                Some(Ok(feed)) => route_of(feed),
                _ => no_route(Channel::Status),
            };
            let venue = &mut self.venues[usize::from(venue.0)];
            self.decoded.clear();
            match venue.adapter.on_reply(ask, reply, &route, now.wall, &mut self.decoded) {
                Err(AnswerError::Decode(DecodeError::Finer { price_scale, amount_scale, .. })) => {
                    if !self.rescale(route.feed, price_scale, amount_scale, now, &mut NoSink) {
                        let text = "the snapshot holds numbers that do not fit";
                        return Err(AnswerError::Refused(Error::new(ErrorKind::BadResponse, text)));
                    }
                }
                outcome => return outcome,
            }
        }
        Err(AnswerError::Refused(Error::new(ErrorKind::BadResponse, "the snapshot holds numbers that do not fit")))
    }

    pub(super) fn on_snapshot_answer(
        &mut self,
        request: RequestId,
        id: FeedId,
        outcome: Result<Answer, AnswerError>,
        sent: Mono,
        now: Stamp,
        sink: &mut impl Sink,
    ) {
        if self.feeds.find(id).is_err() {
            return;
        }
        let Some((inner, _)) = self.feeds.book_mut(id.slot) else { return };
        if inner.ask != SnapshotAsk::Sent(request) {
            return;
        }
        inner.ask = SnapshotAsk::None;
        let error = match outcome {
            Ok(Answer::Snapshot) => {
                let route = match self.feeds.at(id.slot) {
                    Some(feed) => route_of(feed),
                    None => return,
                };
                let heard = self.feeds.at(id.slot).map_or(Mono(0), |feed| feed.heard);
                let Some(item) = self.decoded.items.first() else { return };
                let (decoded, todo) = (&self.decoded, &mut self.todo);
                self.feeds.on_item(&route, item, decoded, None, now, None, todo, &mut Untimed(sink));
                // The answer may have been long on its way: it says how things were when it was asked for.
                if let Some(feed) = self.feeds.at_mut(id.slot) {
                    feed.heard = heard.max(sent);
                }
                return;
            }
            Ok(_) => return,
            Err(error) => Error::from(error),
        };
        if error.retry() == Retry::Never {
            self.fail_with_book(id, error, now);
            return;
        }
        let Some(feed) = self.feeds.at_mut(id.slot) else { return };
        feed.cause = Cause::RequestFailed;
        feed.error = Some(error);
        self.notes.push((id, Announce::State));
        // `refresh` and `Snapshot` phases both still wait for one.
        self.todo.push(Todo::Snapshot(id.slot));
    }

    pub(super) fn ask_markets(&mut self, venue: VenueId, failures: u32, now: Mono) {
        let slot = &mut self.venues[usize::from(venue.0)];
        slot.list = MarketList::Asked { failures };
        slot.listed.clear();
        self.ask(venue, Ask::Markets, None, None, now);
    }

    /// The answer to list number `part`. Feeds look their markets up only when all lists are here.
    pub(super) fn on_markets_answer(
        &mut self,
        venue_id: VenueId,
        part: u8,
        outcome: Result<Answer, AnswerError>,
        now: Mono,
    ) {
        let mut outcome = outcome;
        if let Ok(Answer::Markets(list)) = &outcome {
            let venue = &self.venues[usize::from(venue_id.0)];
            let is_last = part.saturating_add(1) >= venue.profile.market_lists;
            if is_last && list.is_empty() && venue.listed.is_empty() {
                let error =
                    Error::new(ErrorKind::BadResponse, "the venue lists no markets at all").at(venue.profile.id);
                outcome = Err(AnswerError::Refused(error));
            }
        }
        let error = match outcome {
            Ok(Answer::Markets(mut list)) => {
                let venue = &mut self.venues[usize::from(venue_id.0)];
                let next = part.saturating_add(1);
                venue.listed.append(&mut list);
                if next < venue.profile.market_lists {
                    self.ask(venue_id, Ask::MoreMarkets(next), None, None, now);
                    return;
                }
                let list = std::mem::take(&mut venue.listed);
                self.on_markets(venue_id, list, now);
                return;
            }
            Ok(_) => return,
            Err(error) => Error::from(error),
        };
        let venue = &mut self.venues[usize::from(venue_id.0)];
        let MarketList::Asked { failures } = venue.list else { return };
        log::warn!("markets of {} could not be loaded: {error}", venue.profile.id);
        venue.last_error = Some(error);
        let failures = failures.saturating_add(1);
        let at = now.after_ms(self.config.retry.wait_ms(failures, &mut self.rng));
        venue.list = MarketList::Later { at, failures };
        self.wake(at);
    }

    pub(super) fn on_markets(&mut self, venue_id: VenueId, list: Vec<Market>, now: Mono) {
        // The session may have waited for them.
        self.wake(now);
        let venue = &mut self.venues[usize::from(venue_id.0)];
        venue.markets.merge(venue_id, list);
        venue.list = MarketList::Loaded;
        venue.last_error = None;
        let count = venue.markets.len();
        let waiting: Vec<FeedId> = self
            .feeds
            .iter()
            .filter(|feed| feed.venue == venue_id && feed.state == FeedState::AwaitingMarkets)
            .filter(|feed| feed.channel.has_market())
            .map(|feed| feed.id)
            .collect();
        for slot in 0..self.feeds.slots() {
            let Some(feed) = self.feeds.at_mut(slot).filter(|feed| feed.venue == venue_id) else { continue };
            match &mut feed.data {
                Data::Tickers(rows) => rows.resize(count, None),
                Data::BidsAsks(rows) => rows.resize(count, None),
                Data::Book(inner) => {
                    let market = feed.market.and_then(|market| venue.markets.market(market));
                    inner.halted = market.is_some_and(|market| !market.active);
                }
                _ => {}
            }
        }
        let id = venue.profile.id;
        for feed_id in waiting {
            let Ok(feed) = self.feeds.find(feed_id) else { continue };
            match self.venues[usize::from(venue_id.0)].markets.resolve(&feed.symbol).map(|market| market.id) {
                Ok(market) => self.start(feed_id, Some(market), now),
                Err(error) => self.fail(feed_id, error.at(id), now),
            }
        }
        self.wake(now);
    }

    pub(super) fn start_status(&mut self, venue_id: VenueId, id: FeedId, now: Mono) {
        let venue = &mut self.venues[usize::from(venue_id.0)];
        venue.status_at = now;
        if let Some(feed) = self.feeds.at_mut(id.slot) {
            feed.data = Data::Status(None);
            feed.state = FeedState::Live;
        }
        self.wake(now);
    }

    pub(super) fn on_status_answer(&mut self, venue: VenueId, outcome: Result<Answer, AnswerError>, now: Stamp) {
        let status = match outcome {
            Ok(Answer::Status(status)) => status,
            Ok(_) => return,
            Err(error) => {
                let error = Error::from(error);
                let health = if error.retry() == Retry::Wait { Health::Maintenance } else { Health::Error };
                self.venues[usize::from(venue.0)].last_error = Some(error);
                Status { status: health, updated: now.wall, emulated: true }
            }
        };
        self.set_status(venue, status);
    }

    pub(super) fn set_status(&mut self, venue_id: VenueId, status: Status) {
        let venue = &mut self.venues[usize::from(venue_id.0)];
        venue.status = status;
        if let Some(id) = venue.topics.get("").copied()
            && let Some(feed) = self.feeds.at_mut(id.slot)
        {
            feed.data = Data::Status(Some(status));
            self.notes.push((id, Announce::Status));
        }
    }
}

impl Pending {
    /// It is about an order: nothing else goes first.
    fn is_urgent(&self) -> bool {
        matches!(self.job, Job::Order(..) | Job::CancelAll)
    }
}
