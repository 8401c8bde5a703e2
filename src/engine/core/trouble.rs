//! Messages that need more than their feed: unreadable ones, finer numbers, acks and refusals, books that cannot be relied on.

use super::{Core, LinkId, Sink, link_mut, route_of};
use crate::book::{BookState, Rule};
use crate::engine::feed::{Announce, Data, SnapshotAsk, Todo};
use crate::model::{Cause, Notice, Stamp, Status};
use crate::venue::DecodeError;

impl Core {
    /// A message could not be decoded. True if it could after all, with more decimals.
    #[cold]
    pub(super) fn decode_again(
        &mut self,
        id: LinkId,
        frame: &[u8],
        mut error: DecodeError,
        received: Stamp,
        sink: &mut impl Sink,
    ) -> bool {
        // Prices and amounts may each have to grow, once, and something may be missing before.
        for _ in 0..4 {
            let Some(link) = link_mut(&mut self.links, id) else { return false };
            match error {
                DecodeError::Finer { route, price_scale, amount_scale } => {
                    let Some(slot) = link.routes.route(route).map(|route| route.feed) else { return false };
                    if !self.rescale(slot, price_scale, amount_scale, received, sink) {
                        return false;
                    }
                }
                DecodeError::Gap { expected, got } => {
                    let feeds = link.feeds.clone();
                    for feed in feeds {
                        if let Some((inner, _)) = self.feeds.book_mut(feed.slot) {
                            inner.gaps += u64::from(inner.sync.is_following());
                        }
                        self.distrust(feed.slot, Cause::Gap { expected, got }, received);
                    }
                    self.flush_notes(received, sink);
                }
                DecodeError::Malformed { route, error } => {
                    link.malformed += 1;
                    log::warn!("a message of {} cannot be read: {error}", link.adapter.profile().id);
                    match route.and_then(|route| link.routes.route(route)) {
                        Some(route) => self.todo.push(Todo::Distrust(route.feed, Cause::Malformed)),
                        // It may have been anybody's: no book of this link can be relied on.
                        None => {
                            let feeds = link.feeds.iter();
                            self.todo.extend(feeds.map(|feed| Todo::Distrust(feed.slot, Cause::Malformed)));
                        }
                    }
                    return false;
                }
            }
            let Some(link) = link_mut(&mut self.links, id) else { return false };
            self.decoded.clear();
            match link.adapter.on_frame(frame, &link.routes, &mut self.decoded) {
                Ok(()) => return true,
                Err(again) => error = again,
            }
        }
        false
    }

    /// A feed counts with more decimals from now on. False if its numbers would not fit.
    pub(super) fn rescale(
        &mut self,
        slot: u32,
        price_scale: u8,
        amount_scale: u8,
        now: Stamp,
        sink: &mut impl Sink,
    ) -> bool {
        let Some(feed) = self.feeds.at_mut(slot) else { return false };
        if price_scale <= feed.price_scale && amount_scale <= feed.amount_scale {
            return false;
        }
        let (price_scale, amount_scale) = (price_scale.max(feed.price_scale), amount_scale.max(feed.amount_scale));
        if let Data::Book(inner) = &mut feed.data {
            // What is held was read with the old scales.
            let factor = |from: u8, to: u8| 10_i64.saturating_pow(u32::from(to.saturating_sub(from)));
            let (price_mul, qty_mul) = (factor(feed.price_scale, price_scale), factor(feed.amount_scale, amount_scale));
            if !inner.sync.rescale(price_mul, qty_mul) {
                // At once, so that nothing is joined to it in between.
                inner.sync.distrust();
                self.todo.push(Todo::Distrust(slot, Cause::Unrepresentable));
            }
            if inner.book.rescale(price_scale, amount_scale).is_err() {
                inner.book.set_state(BookState::Halted, Cause::Unrepresentable, now);
                let id = feed.id;
                self.notes.push((id, Announce::Book));
                self.todo.push(Todo::Distrust(slot, Cause::Unrepresentable));
                return false;
            }
        }
        feed.price_scale = price_scale;
        feed.amount_scale = amount_scale;
        let (route, topic, link) = (route_of(feed), feed.topic.clone(), feed.link);
        if let Some(link) = link.and_then(|link| link_mut(&mut self.links, link)) {
            link.routes.insert(link.adapter.route_key(&topic), route);
        }
        self.feeds.announce(slot, Announce::Notice(Notice::Rescaled { price_scale, amount_scale }), now, sink);
        true
    }

    /// Works off what the hot path wrote down.
    pub(super) fn work_off(&mut self, now: Stamp, sink: &mut impl Sink) {
        let mut at = 0;
        while at < self.todo.len() {
            let todo = self.todo[at].clone();
            at += 1;
            match todo {
                Todo::Snapshot(slot) => self.want_snapshot(slot, now.mono),
                Todo::Distrust(slot, cause) => self.distrust(slot, cause, now),
                Todo::Ack(link, request) => self.on_ack(link, request, now),
                Todo::Settled(link, act, topic) => self.on_settled(link, act, &topic, now),
                Todo::Subscribed(link, topics) => self.on_subscribed(link, &topics, now),
                Todo::TopicRefused(link, topic, error) => self.on_topic_refused(link, &topic, error, now),
                Todo::Refusal(link, request, error) => self.on_refusal(link, request, error, now),
                Todo::Shutdown(link) => self.replace(link, Cause::VenueShutdown, now),
                Todo::Status(link, health) => {
                    if let Some(venue) = link_mut(&mut self.links, link).map(|link| link.venue) {
                        self.set_status(venue, Status { status: health, updated: now.wall, emulated: false });
                    }
                }
            }
        }
        self.todo.clear();
        self.flush_notes(now, sink);
    }

    pub(super) fn flush_notes(&mut self, now: Stamp, sink: &mut impl Sink) {
        let mut notes = std::mem::take(&mut self.notes);
        for (id, what) in notes.drain(..) {
            if self.feeds.find(id).is_ok() {
                self.feeds.announce(id.slot, what, now, sink);
            }
        }
        self.notes = notes;
        if !self.order_notes.is_empty() {
            self.flush_order_notes(now, sink);
        }
    }

    pub(super) fn distrust(&mut self, slot: u32, cause: Cause, now: Stamp) {
        let Some((inner, id)) = self.feeds.book_mut(slot) else { return };
        if inner.sync.rule() == Rule::Replace {
            // The next message brings a whole book.
            if inner.book.set_state(BookState::Syncing, cause, now) {
                self.notes.push((id, Announce::Book));
            }
            return;
        }
        if !inner.sync.is_following() && inner.ask == SnapshotAsk::None && inner.sync.held().is_empty() {
            // Not subscribed yet.
            return;
        }
        inner.sync.distrust();
        let state = match cause {
            Cause::Crossed => BookState::Crossed,
            Cause::Unrepresentable => BookState::Halted,
            Cause::SideLow => BookState::Syncing,
            _ => BookState::Gapped,
        };
        if inner.book.set_state(state, cause, now) {
            self.notes.push((id, Announce::Book));
        }
        // A snapshot that is on its way may be from before the loss.
        if let SnapshotAsk::Sent(request) = inner.ask {
            inner.ask = SnapshotAsk::None;
            self.cancel(request);
        }
        self.want_snapshot(slot, now.mono);
    }
}
