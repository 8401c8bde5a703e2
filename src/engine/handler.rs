//! What the user gives the engine to call, and what such a call may ask for in turn.

use std::collections::VecDeque;

use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::model::{FeedId, MarketId, NewOrder, OrderId, Update, VenueId};
use crate::venue::Channel;

/// Takes events, by static dispatch: for [`Engine::poll_with`](super::Engine::poll_with). Closures are handlers too.
pub trait Handler {
    /// Something happened. `update` and what it lends is gone when this returns. `out` takes requests that are carried
    /// out at the end of the poll.
    fn on_update(&mut self, update: &Update<'_>, out: &mut Outbox);
}

impl<F: FnMut(&Update<'_>, &mut Outbox)> Handler for F {
    #[inline]
    fn on_update(&mut self, update: &Update<'_>, out: &mut Outbox) {
        self(update, out);
    }
}

/// A handler that does nothing: for those who poll and look.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHandler;

impl Handler for NoHandler {
    #[inline]
    fn on_update(&mut self, _: &Update<'_>, _: &mut Outbox) {}
}

/// A callback of one feed.
pub type Callback = Box<dyn FnMut(&Update<'_>, &mut Outbox)>;

/// Requests made from within a callback, where the engine itself is not at hand. Carried out at the end of the poll.
#[derive(Debug)]
pub struct Outbox {
    requests: VecDeque<OutRequest>,
}

impl Default for Outbox {
    /// Empty, with room for what callbacks usually ask for.
    fn default() -> Outbox {
        Outbox { requests: VecDeque::with_capacity(64) }
    }
}

/// A request from within a callback.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // Orders are what has to be quick, and must not be boxed.
pub(crate) enum OutRequest {
    Watch { venue: VenueId, symbol: Option<Box<str>>, channel: Channel, depth: Option<u16> },
    Unwatch(FeedId),
    Create(NewOrder),
    Cancel(OrderId),
    Edit(OrderId, Option<Fixed>, Option<Fixed>),
    CancelAll(VenueId, Option<MarketId>),
}

impl Outbox {
    /// Requests that one poll takes.
    pub const REQUESTS_MAX: usize = 1_024;

    /// Watches a channel of a market, or of the whole venue.
    ///
    /// # Errors
    /// [`ErrorKind::LimitReached`] after [`Outbox::REQUESTS_MAX`] requests in one poll. Whether the venue has such a
    /// channel shows when the request is carried out: a refusal is logged.
    pub fn watch(
        &mut self,
        venue: VenueId,
        symbol: Option<&str>,
        channel: Channel,
        depth: Option<u16>,
    ) -> Result<(), Error> {
        self.push(OutRequest::Watch { venue, symbol: symbol.map(Into::into), channel, depth })
    }

    /// Ends a feed.
    ///
    /// # Errors
    /// [`ErrorKind::LimitReached`] after [`Outbox::REQUESTS_MAX`] requests in one poll.
    pub fn unwatch(&mut self, feed: FeedId) -> Result<(), Error> {
        self.push(OutRequest::Unwatch(feed))
    }

    /// Sends a new order, in the same poll. What is wrong with it comes as
    /// [`Event::OrderRefused`](crate::model::Event::OrderRefused); what becomes of it as events of the orders. Give it a
    /// client order id to tell which is which.
    ///
    /// # Errors
    /// [`ErrorKind::LimitReached`] after [`Outbox::REQUESTS_MAX`] requests in one poll.
    pub fn create_order(&mut self, order: &NewOrder) -> Result<(), Error> {
        self.push(OutRequest::Create(*order))
    }

    /// Cancels an order, in the same poll. A refusal is logged.
    ///
    /// # Errors
    /// As [`Outbox::create_order`].
    pub fn cancel_order(&mut self, order: OrderId) -> Result<(), Error> {
        self.push(OutRequest::Cancel(order))
    }

    /// Changes price or amount of an order, in the same poll. A refusal is logged.
    ///
    /// # Errors
    /// As [`Outbox::create_order`].
    pub fn edit_order(&mut self, order: OrderId, price: Option<Fixed>, amount: Option<Fixed>) -> Result<(), Error> {
        self.push(OutRequest::Edit(order, price, amount))
    }

    /// Cancels all orders of a venue, or of one of its markets, in the same poll. A refusal is logged.
    ///
    /// # Errors
    /// As [`Outbox::create_order`].
    pub fn cancel_all_orders(&mut self, venue: VenueId, market: Option<MarketId>) -> Result<(), Error> {
        self.push(OutRequest::CancelAll(venue, market))
    }

    fn push(&mut self, request: OutRequest) -> Result<(), Error> {
        if self.requests.len() >= Outbox::REQUESTS_MAX {
            let text = format!("at most {} requests fit into one poll", Outbox::REQUESTS_MAX);
            return Err(Error::new(ErrorKind::LimitReached, text));
        }
        self.requests.push_back(request);
        Ok(())
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<OutRequest> {
        self.requests.pop_front()
    }
}
