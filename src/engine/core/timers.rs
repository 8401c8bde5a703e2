//! Housekeeping and deadlines.

use super::{Core, HOUSEKEEPING_FEEDS, HOUSEKEEPING_NS, MarketList, REFRESH_NS_MIN};
use crate::book::BookState;
use crate::engine::feed::{Announce, Data, SnapshotAsk, Todo};
use crate::model::{Cause, FeedId, Mono, Stamp, VenueId};
use crate::venue::Channel;

impl Core {
    /// Looks at a few feeds: due snapshots, silence, books that stay crossed, sides that run low.
    pub(super) fn housekeep(&mut self, now: Stamp) {
        let slots = self.feeds.slots();
        if slots == 0 {
            self.housekeeping_at = now.mono.after_ns(HOUSEKEEPING_NS);
            return;
        }
        for _ in 0..HOUSEKEEPING_FEEDS.min(slots) {
            let slot = self.housekeeping_slot % slots;
            self.housekeeping_slot = slot + 1;
            self.housekeep_feed(slot, now);
        }
        let steps = u64::from(slots.div_ceil(HOUSEKEEPING_FEEDS));
        self.housekeeping_at = now.mono.after_ns(HOUSEKEEPING_NS / steps);
    }

    pub(super) fn housekeep_feed(&mut self, slot: u32, now: Stamp) {
        let crossed_ns_max = self.feeds.crossed_ns_max;
        let settled_ns = self.config.settled_after_ms.saturating_mul(1_000_000);
        let Some(feed) = self.feeds.at_mut(slot) else { return };
        let (heard, stale_after_ns, depth, id) = (feed.heard, feed.stale_after_ns, feed.depth, feed.id);
        let Data::Book(inner) = &mut feed.data else { return };
        if let SnapshotAsk::At(at) = inner.ask
            && now.mono >= at
        {
            self.ask_snapshot(slot, now.mono);
            return;
        }
        if let SnapshotAsk::InBand(at) = inner.ask
            && now.mono >= at
        {
            inner.ask = SnapshotAsk::None;
            self.want_snapshot(slot, now.mono);
            return;
        }
        match inner.book.state() {
            BookState::Syncing
                if inner.book.cause() == Cause::AwaitingDelta
                    && now.mono.since_ns(inner.joined) >= self.config.quiet_after_ms.saturating_mul(1_000_000) =>
            {
                if inner.halted {
                    inner.book.set_state(BookState::Halted, Cause::MarketInactive, now);
                } else {
                    inner.book.set_state(BookState::Live, Cause::Synced, now);
                }
                self.notes.push((id, Announce::Book));
            }
            BookState::Live if now.mono.since_ns(heard) > stale_after_ns => {
                inner.book.set_state(BookState::Stale, Cause::Silence, now);
                self.notes.push((id, Announce::Book));
            }
            BookState::Live => {
                if now.mono.since_ns(inner.joined) >= settled_ns {
                    inner.tries = 0;
                }
                let low = inner.book.known_levels_min().is_some_and(|known| known < usize::from(depth / 2));
                // Not more often than every few seconds: a market may have fewer levels than were asked for.
                if low && now.mono.since_ns(inner.joined) > REFRESH_NS_MIN {
                    if inner.sync.rule().is_in_band() {
                        self.todo.push(Todo::Distrust(slot, Cause::SideLow));
                    } else if inner.sync.refresh() {
                        self.want_snapshot(slot, now.mono);
                    }
                }
            }
            BookState::Crossed if now.mono.since_ns(inner.book.since().mono) > crossed_ns_max => {
                self.todo.push(Todo::Distrust(slot, Cause::Crossed));
            }
            _ => {}
        }
    }

    /// The driver's next call of `on_tick` must not be later than this.
    #[inline]
    pub(super) fn wake(&mut self, at: Mono) {
        self.next_deadline = self.next_deadline.min(at);
    }

    pub(super) fn find_deadline(&self) -> Mono {
        let mut next = if self.feeds.len() == 0 { Mono::NEVER } else { self.housekeeping_at };
        for (_, link) in &self.links {
            let Some(link) = link else { continue };
            let ping = self.venues[usize::from(link.venue.0)].profile.ping;
            let ns = |s: u32| u64::from(s) * 1_000_000_000;
            next = next.min(link.deadline(ns(ping.ask_after_s), ns(ping.dead_after_s)));
        }
        for venue in &self.venues {
            next = next.min(venue.status_at).min(venue.rest.pump_at);
            // A session waits for the list of markets; only the first tick asks for that.
            let has_list = !venue.markets.is_empty() || matches!(venue.list, MarketList::None);
            if let Some(session) = venue.session.as_ref().filter(|_| has_list) {
                next = next.min(session.deadline());
            }
            if let MarketList::Later { at, .. } = venue.list {
                next = next.min(at);
            }
        }
        if self.venues.iter().any(|venue| venue.rest.in_flight > 0) {
            let deadlines = self.pending.values().filter_map(|pending| pending.deadline);
            next = next.min(deadlines.min().unwrap_or(Mono::NEVER));
        }
        next
    }

    pub(super) fn deepen(&mut self, id: FeedId, depth: Option<u16>) {
        let Some(depth) = depth else { return };
        let Some(feed) = self.feeds.at_mut(id.slot) else { return };
        feed.depth = feed.depth.max(depth);
    }

    pub(super) fn metric_row(&mut self, venue: VenueId, channel: Channel) -> u32 {
        let next = self.metric_rows.len() as u32;
        *self.metric_rows.entry((venue.0, channel.as_str())).or_insert(next)
    }
}
