//! Orders: checked, sent, answered, looked up when nobody knows what became of them. None is ever sent twice.

use super::session::{OrderNote, OrderRequest, Phase, Purpose, Session};
use super::{Command, Core, Job, Sink};
use crate::decimal::Fixed;
use crate::engine::account::{check, check_change};
use crate::error::{Error, ErrorKind, Retry};
use crate::model::{
    Cause, Event, Id, MarketId, Mono, NewOrder, Order, OrderId, OrderStatus, Outcome, Stamp, Update, VenueId,
};
use crate::venue::{Ability, OrderAct, OrderRow, PrivateChannel, Reply, Way};

impl Core {
    /// Sends a new order. What becomes of it comes as [`Event::OrderAnswer`] and [`Event::Order`].
    ///
    /// Nothing is allocated on the way to a private socket in steady state.
    ///
    /// # Errors
    /// What is wrong with the order, before anything is sent; [`ErrorKind::NetworkError`] if the private socket is not up,
    /// [`ErrorKind::RateLimitExceeded`] if the venue's limit for orders is used up. An order that gave an error was not sent.
    pub fn create_order(&mut self, new: &NewOrder, now: Stamp) -> Result<OrderId, Error> {
        let venue_id = new.market.venue;
        let id = self.ready_for_orders(venue_id, now)?;
        let Some((session, markets)) = self.session_and_markets(venue_id) else { return Err(no_session(id)) };
        let market = markets.market(new.market);
        let market =
            market.ok_or_else(|| Error::new(ErrorKind::BadSymbol, "this market is not of this venue").at(id))?;
        check(new, market, session.profile).map_err(|error| error.at(id).with_symbol(&market.symbol))?;
        session.take_order_turn(now.mono).map_err(|error| error.at(id))?;
        session.order_number = (session.order_number + 1).max(now.wall.ms().max(0).cast_unsigned());
        let own = new.client_order_id.unwrap_or_else(|| session.adapter.client_order_id(session.order_number));
        let slot = session.account.orders.add(venue_id, new, own).map_err(|error| error.at(id))?;
        match self.send_order(venue_id, slot, OrderAct::Create, now) {
            Ok(order) => Ok(order),
            Err(error) => {
                self.refuse(venue_id, slot, &error);
                Err(error)
            }
        }
    }

    /// Whether an order is right, as far as can be told without sending it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_order(&self, new: &NewOrder) -> Result<(), Error> {
        let Some(venue) = self.venues.get(usize::from(new.market.venue.0)) else {
            return Err(Error::new(ErrorKind::StaleHandle, "this venue is not of this engine"));
        };
        let id = venue.profile.id;
        let session = venue.session.as_ref().ok_or_else(|| no_session(id))?;
        let market = venue.markets.market(new.market);
        let market =
            market.ok_or_else(|| Error::new(ErrorKind::BadSymbol, "this market is not of this venue").at(id))?;
        check(new, market, session.profile).map_err(|error| error.at(id).with_symbol(&market.symbol))
    }

    /// As [`Core::create_order`]; what was refused before it was sent comes as an event as well, since nobody is there to
    /// take the error.
    pub(crate) fn create_order_later(&mut self, new: &NewOrder, now: Stamp, sink: &mut impl Sink) {
        if let Err(error) = self.create_order(new, now) {
            log::warn!("an order from a callback was refused: {error}");
            let feed = self.private_feed(new.market.venue, PrivateChannel::Orders);
            let event = Event::OrderRefused { order: new, error: &error };
            sink.update(&Update { feed, market: Some(new.market), received: now, kernel: None, event });
        }
    }

    /// Asks for the end of an order.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`]; [`ErrorKind::OrderNotFound`] if it has ended; otherwise as [`Core::create_order`].
    pub fn cancel_order(&mut self, order: OrderId, now: Stamp) -> Result<(), Error> {
        self.change(order, OrderAct::Cancel, now)
    }

    /// Asks for another price or amount of an order; the amount is that of the whole order, what is filled included.
    ///
    /// # Errors
    /// As [`Core::cancel_order`], and what is wrong with the numbers; [`ErrorKind::NotSupported`].
    pub fn edit_order(
        &mut self,
        order: OrderId,
        price: Option<Fixed>,
        amount: Option<Fixed>,
        now: Stamp,
    ) -> Result<(), Error> {
        if price.is_none() && amount.is_none() {
            return Err(Error::new(ErrorKind::ArgumentsRequired, "give a new price, a new amount, or both"));
        }
        self.change(order, OrderAct::Edit { price, amount }, now)
    }

    /// Asks for the end of all orders of a venue, or of one of its markets: in one request where the venue has that, one by
    /// one otherwise. How many requests were sent.
    ///
    /// # Errors
    /// As [`Core::create_order`].
    pub fn cancel_all_orders(&mut self, venue_id: VenueId, market: Option<MarketId>, now: Stamp) -> Result<u32, Error> {
        let id = self.ready_for_orders(venue_id, now)?;
        let ability = if market.is_some() { Ability::CancelAllOrdersOfMarket } else { Ability::CancelAllOrders };
        let until = now.mono.after_ms(self.config.order_timeout_ms);
        let mut text = self.buffer();
        let Some((session, markets)) = self.session_and_markets(venue_id) else { return Err(no_session(id)) };
        if session.profile.abilities.contains(&ability) {
            session.take_order_turn(now.mono).map_err(|error| error.at(id))?;
            let request = session.take_number();
            let row = market.and_then(|market| markets.market(market));
            let (adapter, cx) = session.parts(markets, now);
            match adapter.cancel_all(row, request, &cx, &mut text).map_err(|error| error.at(id))? {
                Way::Socket => {
                    let Some(link) = session.link else { return Err(not_up(id)) };
                    session.requests.push(OrderRequest { request, order: None, act: OrderAct::Cancel, until });
                    self.commands.push_back(Command::Send { link, text });
                }
                Way::Rest(signed) => {
                    self.recycle(text);
                    self.queue(venue_id, Job::CancelAll, None, *signed, now.mono);
                }
            }
            self.wake(until);
            return Ok(1);
        }
        let orders: Vec<OrderId> = session
            .account
            .orders
            .iter()
            .filter(|order| matches!(order.status, OrderStatus::Open | OrderStatus::Pending))
            .filter(|order| market.is_none() || order.market == market)
            .map(|order| order.handle)
            .collect();
        self.recycle(text);
        for order in &orders {
            self.cancel_order(*order, now)?;
        }
        Ok(orders.len() as u32)
    }

    /// An order that is remembered, by the venue's id or by ours.
    pub fn find_order(&self, venue: VenueId, id: &str) -> Option<&Order> {
        let orders = &self.account(venue)?.orders;
        let id = Id::new(id.as_bytes())?;
        orders.at(orders.place(None, id, id)?)
    }

    fn change(&mut self, order: OrderId, act: OrderAct, now: Stamp) -> Result<(), Error> {
        let venue_id = order.venue;
        let id = self.ready_for_orders(venue_id, now)?;
        let Some((session, markets)) = self.session_and_markets(venue_id) else { return Err(no_session(id)) };
        let found = session.account.orders.find(order).map_err(|error| error.at(id))?;
        if found.status.is_final() {
            let text = format!("the order has ended: it is {}", found.status.as_str());
            return Err(Error::new(ErrorKind::OrderNotFound, text).at(id));
        }
        let (ability, what) = match act {
            OrderAct::Edit { .. } => (Ability::EditOrder, "cannot change orders: cancel it and make a new one"),
            _ => (Ability::CancelOrder, "cannot cancel orders"),
        };
        if !session.profile.abilities.contains(&ability) {
            return Err(Error::new(ErrorKind::NotSupported, what).at(id));
        }
        if let OrderAct::Edit { price, amount } = act
            && let Some(market) = found.market.and_then(|market| markets.market(market))
        {
            check_change(price, amount, market).map_err(|error| error.at(id).with_symbol(&market.symbol))?;
        }
        session.take_order_turn(now.mono).map_err(|error| error.at(id))?;
        self.send_order(venue_id, order.slot, act, now)?;
        if act == OrderAct::Cancel
            && let Some(session) = self.session_mut(venue_id)
            && session.account.orders.at(order.slot).is_some_and(|order| order.status == OrderStatus::Open)
        {
            session.account.orders.set_status(order.slot, OrderStatus::Canceling);
            self.order_notes.push(OrderNote { order, answer: None, changed: true });
        }
        Ok(())
    }

    /// That orders can be sent, as far as can be told before anything is. The venue's id.
    fn ready_for_orders(&mut self, venue_id: VenueId, now: Stamp) -> Result<&'static str, Error> {
        let Some(venue) = self.venues.get(usize::from(venue_id.0)) else {
            return Err(Error::new(ErrorKind::StaleHandle, "this venue is not of this engine"));
        };
        let id = venue.profile.id;
        let Some(session) = venue.session.as_ref() else { return Err(no_session(id)) };
        let on_socket = session.profile.abilities.contains(&Ability::OrdersOnSocket);
        let is_up = matches!(session.phase, Phase::Reconciling | Phase::Live);
        if session.follows_orders() && (is_up || !on_socket) {
            return Ok(id);
        }
        // Whoever sends orders wants to know what becomes of them.
        self.watch_private(venue_id, PrivateChannel::Orders, now.mono)?;
        for channel in [PrivateChannel::MyTrades, PrivateChannel::Balance] {
            self.want_channel(venue_id, channel, now.mono);
        }
        if on_socket { Err(not_up(id)) } else { Ok(id) }
    }

    fn send_order(&mut self, venue_id: VenueId, slot: u32, act: OrderAct, now: Stamp) -> Result<OrderId, Error> {
        let id = self.profile(venue_id).id;
        let until = now.mono.after_ms(self.config.order_timeout_ms);
        let mut text = self.buffer();
        let super::VenueSlot { session, markets, .. } = &mut self.venues[usize::from(venue_id.0)];
        let Some(session) = session.as_deref_mut() else { return Err(no_session(id)) };
        let request = session.take_number();
        let Some(order) = session.account.orders.at(slot) else { return Err(no_session(id)) };
        let handle = order.handle;
        let cx = Session::context(&session.token, session.offset_ns, markets, now);
        let way = session.adapter.order(&act, order, request, &cx, &mut text).map_err(|error| error.at(id))?;
        match way {
            Way::Socket => {
                let Some(link) = session.link else { return Err(not_up(id)) };
                if session.requests.len() >= REQUESTS_MAX {
                    let text = format!("{REQUESTS_MAX} requests about orders wait for an answer");
                    return Err(Error::new(ErrorKind::LimitReached, text).at(id));
                }
                session.requests.push(OrderRequest { request, order: Some(handle), act, until });
                self.commands.push_back(Command::Send { link, text });
                self.wake(until);
            }
            Way::Rest(signed) => {
                self.recycle(text);
                self.queue(venue_id, Job::Order(handle, act), None, *signed, now.mono);
            }
        }
        Ok(handle)
    }

    /// An order that was not sent, or that the venue refused.
    fn refuse(&mut self, venue_id: VenueId, slot: u32, error: &Error) {
        let Some(session) = self.session_mut(venue_id) else { return };
        if let Some(order) = session.account.orders.at_mut(slot) {
            order.error = Some(error.clone());
        }
        session.account.orders.set_status(slot, OrderStatus::Rejected);
    }

    // --- Answers ------------------------------------------------------------------------------------------------------

    /// The answer to a request on the socket.
    pub(super) fn on_order_answer(
        &mut self,
        venue_id: VenueId,
        request: u64,
        outcome: Result<OrderRow, Error>,
        now: Stamp,
    ) {
        let Some(session) = self.session_mut(venue_id) else { return };
        // Late answers, too, say something: but only of an order that is still known.
        let Some(at) = session.requests.iter().position(|waiting| waiting.request == request) else { return };
        let waiting = session.requests.swap_remove(at);
        match waiting.order {
            Some(order) => self.on_outcome(order, waiting.act, outcome, now),
            None => {
                if let Err(error) = outcome {
                    log::warn!("{}: cancelling all orders failed: {error}", self.profile(venue_id).id);
                    self.venues[usize::from(venue_id.0)].last_error = Some(error);
                }
            }
        }
    }

    /// The answer to a request by REST.
    pub(super) fn on_order_reply(
        &mut self,
        order: OrderId,
        act: OrderAct,
        reply: Result<Reply<'_>, Error>,
        now: Stamp,
        sink: &mut impl Sink,
    ) {
        let _ = sink;
        let Some((session, markets)) = self.session_and_markets(order.venue) else { return };
        let (adapter, cx) = session.parts(markets, now);
        let outcome = match reply {
            Ok(reply) => adapter.on_order_reply(&act, &reply, &cx),
            Err(error) => Err(error),
        };
        self.on_outcome(order, act, outcome, now);
    }

    pub(super) fn on_cancel_all_reply(&mut self, venue_id: VenueId, reply: Result<Reply<'_>, Error>, now: Stamp) {
        let Some((session, markets)) = self.session_and_markets(venue_id) else { return };
        let (adapter, cx) = session.parts(markets, now);
        let outcome = match reply {
            Ok(reply) => adapter.on_order_reply(&OrderAct::Cancel, &reply, &cx).map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            self.venues[usize::from(venue_id.0)].last_error = Some(error);
        }
        // Whatever it says: what is open now is asked for.
        self.ask_open_orders(venue_id, now);
    }

    fn ask_open_orders(&mut self, venue_id: VenueId, now: Stamp) {
        use crate::venue::Fetch;
        let of_all = self.session_mut(venue_id).is_some_and(|session| session.profile.open_orders_of_all);
        if of_all {
            self.ask_private(venue_id, Fetch::OpenOrders { market: None }, Purpose::Balance, now);
        }
    }

    fn on_outcome(&mut self, handle: OrderId, act: OrderAct, outcome: Result<OrderRow, Error>, now: Stamp) {
        let id = self.profile(handle.venue).id;
        let Some(session) = self.session_mut(handle.venue) else { return };
        let orders = &mut session.account.orders;
        if orders.find(handle).is_err() {
            return;
        }
        let mut changed = false;
        let answer = match outcome {
            Ok(row) => {
                changed = orders.merge(handle.slot, &row);
                let order = orders.at(handle.slot);
                // An answer that says nothing of the state says that the order is there.
                if act == OrderAct::Create
                    && row.status.is_none()
                    && order.is_some_and(|order| matches!(order.status, OrderStatus::Pending | OrderStatus::Unknown))
                {
                    orders.set_status(handle.slot, OrderStatus::Open);
                    changed = true;
                }
                match row.error {
                    // The order is gone, and the one that was to come in its place was refused.
                    Some(error) if act != OrderAct::Create => Outcome::Rejected(error.at(id)),
                    _ => Outcome::Accepted,
                }
            }
            Err(error) => {
                let error = error.of_order().at(id);
                match error.retry() {
                    Retry::Unknown => {
                        let request = OrderRequest { request: 0, order: Some(handle), act, until: now.mono };
                        self.order_unknown(&request, &error, now);
                        return;
                    }
                    Retry::Resync => self.resync_clock(handle.venue, now.mono),
                    _ => {}
                }
                let Some(session) = self.session_mut(handle.venue) else { return };
                let orders = &mut session.account.orders;
                let status = orders.at(handle.slot).map(|order| order.status);
                match (act, status) {
                    // The stream may have told already that it is there.
                    (OrderAct::Create, Some(OrderStatus::Pending | OrderStatus::Unknown)) => {
                        self.refuse(handle.venue, handle.slot, &error);
                        changed = true;
                    }
                    (OrderAct::Cancel, Some(OrderStatus::Canceling)) => {
                        // It goes on, unless it has ended: then nobody told us.
                        orders.set_status(handle.slot, OrderStatus::Open);
                        changed = true;
                        if error.kind() == ErrorKind::OrderNotFound {
                            session.look_up(handle, now.mono, now.mono);
                        }
                    }
                    _ => {}
                }
                Outcome::Rejected(error)
            }
        };
        self.order_notes.push(OrderNote { order: handle, answer: Some((act, answer)), changed });
        self.wake(now.mono);
    }

    /// What became of a request is not known: the order is looked up.
    pub(super) fn order_unknown(&mut self, request: &OrderRequest, why: &Error, now: Stamp) {
        let Some(handle) = request.order else {
            return;
        };
        let id = self.profile(handle.venue).id;
        let at = now.mono.after_ms(LOOK_UP_AFTER_MS);
        let error =
            Error::new(why.kind(), format!("what became of it is not known: {}", why.message())).of_order().at(id);
        let Some(session) = self.session_mut(handle.venue) else { return };
        let orders = &mut session.account.orders;
        let Ok(order) = orders.find(handle) else { return };
        if order.status.is_final() {
            return;
        }
        if order.status == OrderStatus::Pending {
            orders.set_status(handle.slot, OrderStatus::Unknown);
        }
        if let Some(order) = orders.at_mut(handle.slot) {
            order.error = Some(error.clone());
        }
        session.look_up(handle, now.mono, at);
        self.order_notes.push(OrderNote {
            order: handle,
            answer: Some((request.act, Outcome::Unknown(error))),
            changed: true,
        });
        self.wake(at);
    }

    /// Requests that were not answered in time.
    pub(super) fn tick_order_requests(&mut self, venue_id: VenueId, now: Stamp) {
        let timeout_ms = self.config.order_timeout_ms;
        while let Some(session) = self.session_mut(venue_id)
            && let Some(at) = session.requests.iter().position(|request| now.mono >= request.until)
        {
            let request = session.requests.swap_remove(at);
            let error = Error::new(ErrorKind::RequestTimeout, format!("no answer within {timeout_ms} ms"));
            self.order_unknown(&request, &error, now);
        }
    }

    /// What the venue knows of an order that was looked up: one row, or none.
    pub(super) fn on_lookup(
        &mut self,
        venue_id: VenueId,
        handle: OrderId,
        rows: Vec<OrderRow>,
        now: Stamp,
        sink: &mut impl Sink,
    ) {
        let Some(session) = self.session_mut(venue_id) else { return };
        session.lookups.retain(|lookup| lookup.order != handle);
        if let Some(row) = rows.into_iter().next() {
            let orders = &mut session.account.orders;
            if orders.find(handle).is_ok() {
                let mut changed = orders.merge(handle.slot, &row);
                if let Some(order) = orders.at_mut(handle.slot)
                    && order.status != OrderStatus::Rejected
                {
                    changed |= order.error.take().is_some();
                }
                let status = orders.at(handle.slot).map(|order| order.status);
                if let (Some(OrderStatus::Unknown | OrderStatus::Pending), true) = (status, row.status.is_none()) {
                    orders.set_status(handle.slot, OrderStatus::Open);
                    changed = true;
                }
                // A cancellation of which nobody heard did not arrive, or its effect would be seen.
                if status == Some(OrderStatus::Canceling) && row.status == Some(OrderStatus::Open) {
                    orders.set_status(handle.slot, OrderStatus::Open);
                    changed = true;
                }
                if changed {
                    self.tell_order(venue_id, handle.slot, now, sink);
                }
            }
        }
        self.reconciled(venue_id, now);
    }

    /// An order could not be looked up, or the venue does not know it.
    pub(super) fn on_lookup_failure(&mut self, venue_id: VenueId, handle: OrderId, error: Error, at: Mono, now: Stamp) {
        let lost_after_ms = self.config.order_lost_after_ms;
        let Some(session) = self.session_mut(venue_id) else { return };
        let Some(place) = session.lookups.iter().position(|lookup| lookup.order == handle) else { return };
        let lookup = &mut session.lookups[place];
        lookup.is_asked = false;
        lookup.failures += 1;
        lookup.at = at;
        let not_found = error.kind() == ErrorKind::OrderNotFound;
        if not_found && now.mono.since_ns(lookup.since) < lost_after_ms * 1_000_000 {
            // It may still be on its way.
            self.wake(at);
            return;
        }
        if !not_found && error.retry() != Retry::Never {
            self.wake(at);
            return;
        }
        session.lookups.swap_remove(place);
        if let Ok(order) = session.account.orders.find(handle) {
            // Never heard of: it did not arrive. Heard of, and gone: it has ended, and how is not known any more.
            let status = if order.id.is_none() { OrderStatus::Rejected } else { OrderStatus::Canceled };
            session.account.orders.set_status(handle.slot, status);
            if let Some(order) = session.account.orders.at_mut(handle.slot) {
                order.error = Some(error);
            }
            self.order_notes.push(OrderNote { order: handle, answer: None, changed: true });
        }
        self.reconciled(venue_id, now);
    }

    /// Tells what happened to orders where no sink was at hand.
    pub(super) fn flush_order_notes(&mut self, now: Stamp, sink: &mut impl Sink) {
        let mut notes = std::mem::take(&mut self.order_notes);
        for note in notes.drain(..) {
            let feed = self.private_feed(note.order.venue, PrivateChannel::Orders);
            self.feeds.touch(feed, now.mono);
            let Some(account) = self.account(note.order.venue) else { continue };
            let Ok(order) = account.orders.find(note.order) else { continue };
            let market = order.market;
            if let Some((act, outcome)) = &note.answer {
                let event = Event::OrderAnswer { order, act: *act, outcome };
                sink.update(&Update { feed, market, received: now, kernel: None, event });
            }
            if note.changed {
                sink.update(&Update { feed, market, received: now, kernel: None, event: Event::Order(order) });
            }
        }
        self.order_notes = notes;
    }

    /// The venue says that the clocks are apart: they are compared at once.
    pub(super) fn resync_clock(&mut self, venue_id: VenueId, now: Mono) {
        if let Some(session) = self.session_mut(venue_id) {
            session.clock_due(now);
        }
        self.wake(now);
    }

    /// As [`Core::give_up`], for a reason that the venue gave.
    pub(super) fn give_up_with(&mut self, link: super::LinkId, cause: Cause, error: Error, now: Stamp) {
        self.commands.push_back(Command::Close { link });
        self.lose(link, cause, Some(&super::LinkDown { error, retry_after_s: None }), now);
    }
}

/// Requests about orders that wait for an answer on one socket.
const REQUESTS_MAX: usize = 4_096;
/// An order of which nobody knows is looked up so much later, in milliseconds: it may still be on its way.
const LOOK_UP_AFTER_MS: u64 = 500;

fn no_session(id: &'static str) -> Error {
    Error::new(ErrorKind::NotSupported, "takes no orders here: its private half is not built").at(id)
}

fn not_up(id: &'static str) -> Error {
    let text = "the private socket is not up yet: wait until the feed of watch_orders is live";
    Error::new(ErrorKind::NetworkError, text).at(id)
}
