//! The orders of an account, found by handle, by the venue's id and by our own.

use std::collections::{HashMap, VecDeque};

use rust_decimal::Decimal;

use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::model::{
    Fee, Id, MarketId, MyTrade, NewOrder, Order, OrderId, OrderKind, OrderStatus, TakerSide, VenueId, Wall,
};
use crate::venue::OrderRow;

/// Orders within a bound. Those that have ended make room for new ones, oldest first.
pub(crate) struct Orders {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Orders that have ended, oldest first; one may have been forgotten since.
    ended: VecDeque<(u32, u32)>,
    by_id: HashMap<(Option<MarketId>, Id), u32>,
    by_client_id: HashMap<Id, u32>,
    orders_max: usize,
}

struct Slot {
    generation: u32,
    order: Option<Order>,
    /// What its trades add up to. Apart from what the venue says of the order, which may hold them already.
    traded: Traded,
}

#[derive(Default)]
struct Traded {
    amount: Option<Fixed>,
    cost: Decimal,
    fees: Vec<Fee>,
}

impl Orders {
    /// Room for `orders_max` orders, taken now.
    pub(crate) fn new(orders_max: usize) -> Orders {
        let orders_max = orders_max.max(1);
        Orders {
            slots: Vec::with_capacity(orders_max),
            free: Vec::with_capacity(orders_max),
            ended: VecDeque::with_capacity(orders_max),
            by_id: HashMap::with_capacity(orders_max * 2),
            by_client_id: HashMap::with_capacity(orders_max * 2),
            orders_max,
        }
    }

    /// All orders that are remembered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.slots.iter().filter_map(|slot| slot.order.as_ref())
    }

    /// An order by its handle.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`].
    pub(crate) fn find(&self, id: OrderId) -> Result<&Order, Error> {
        match self.slots.get(id.slot as usize) {
            Some(Slot { generation, order: Some(order), .. }) if *generation == id.generation => Ok(order),
            _ => Err(Error::new(ErrorKind::StaleHandle, "this order has ended and was forgotten")),
        }
    }

    pub(crate) fn at(&self, slot: u32) -> Option<&Order> {
        self.slots.get(slot as usize)?.order.as_ref()
    }

    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut Order> {
        self.slots.get_mut(slot as usize)?.order.as_mut()
    }

    /// The place of an order by the venue's id, or by ours where that is not known.
    pub(crate) fn place(&self, market: Option<MarketId>, id: Id, client_order_id: Id) -> Option<u32> {
        // A row may leave the market out; ids are the venue's own then.
        let by_id = || {
            if id.is_none() {
                return None;
            }
            self.by_id.get(&(market, id)).or_else(|| self.by_id.get(&(None, id))).copied().or_else(|| match market {
                None => self.iter().find(|order| order.id == id).map(|order| order.handle.slot),
                Some(_) => None,
            })
        };
        let by_client_id =
            || if client_order_id.is_none() { None } else { self.by_client_id.get(&client_order_id).copied() };
        by_id().or_else(by_client_id)
    }

    /// Adds an order that is about to be sent.
    ///
    /// # Errors
    /// [`ErrorKind::LimitReached`] if all places are taken by orders that go on; [`ErrorKind::DuplicateOrderId`].
    pub(crate) fn add(&mut self, venue: VenueId, new: &NewOrder, client_order_id: Id) -> Result<u32, Error> {
        if self.by_client_id.contains_key(&client_order_id) {
            let text = format!("the client order id {client_order_id} was used before");
            return Err(Error::new(ErrorKind::DuplicateOrderId, text));
        }
        let slot = self.room()?;
        let mut order = blank(OrderId { venue, slot, generation: self.slots[slot as usize].generation });
        order.client_order_id = client_order_id;
        order.market = Some(new.market);
        (order.side, order.kind) = (new.side, new.kind);
        order.time_in_force = new.time_in_force;
        (order.post_only, order.reduce_only) = (new.post_only, new.reduce_only);
        (order.price, order.trigger_price) = (new.price, new.trigger_price);
        (order.amount, order.cost_ordered) = (new.amount, new.cost);
        self.by_client_id.insert(client_order_id, slot);
        self.slots[slot as usize].order = Some(order);
        Ok(slot)
    }

    /// Takes in what a message says of an order, which may be one that somebody else made. The place of the order, if
    /// anything changed; and whether it is news at all.
    pub(crate) fn on_row(&mut self, venue: VenueId, row: &OrderRow) -> Option<u32> {
        let slot = match self.place(row.market, row.id, row.client_order_id) {
            Some(slot) => slot,
            // Nothing names it, or it has neither a market nor a state: there is nothing to keep.
            None if row.id.is_none() && row.client_order_id.is_none() => return None,
            None => {
                let slot = self.room().ok()?;
                let handle = OrderId { venue, slot, generation: self.slots[slot as usize].generation };
                self.slots[slot as usize].order = Some(blank(handle));
                slot
            }
        };
        self.merge(slot, row).then_some(slot)
    }

    /// Takes in what a message says of the order at `slot`. True if anything changed.
    pub(crate) fn merge(&mut self, slot: u32, row: &OrderRow) -> bool {
        let Some(order) = self.slots.get_mut(slot as usize).and_then(|slot| slot.order.as_mut()) else { return false };
        let had_ended = order.status.is_final();
        let is_earlier = row.updated.zip(order.updated).is_some_and(|(row, ours)| row < ours);
        let mut changed = false;
        if order.market.is_none() && row.market.is_some() {
            order.market = row.market;
            changed = true;
        }
        if !row.client_order_id.is_none() && order.client_order_id.is_none() {
            order.client_order_id = row.client_order_id;
            self.by_client_id.insert(row.client_order_id, slot);
            changed = true;
        }
        if !row.id.is_none() && order.id != row.id {
            let is_former = self.by_id.get(&(order.market, row.id)) == Some(&slot);
            if is_former || (is_earlier && !order.id.is_none()) {
                // It had this id before an amendment: whatever is told of that came late.
                return changed;
            }
            // An amendment may give a new id. The old one goes on finding the order.
            order.id = row.id;
            self.by_id.insert((order.market, row.id), slot);
            changed = true;
        }
        // An older message must not undo a newer one. What was filled only grows, and that orders messages better than
        // their times, which venues round.
        let filled = row.filled.unwrap_or(order.filled);
        let is_final = row.status.is_some_and(OrderStatus::is_final);
        let knows_less = filled < order.filled;
        let is_earlier = is_earlier && filled == order.filled;
        let is_older = !is_final && (knows_less || is_earlier || (had_ended && row.status.is_some()));
        if filled > order.filled {
            order.filled = filled;
            changed = true;
        }
        if is_older {
            return changed;
        }
        changed |= set(&mut order.side, row.side);
        changed |= set(&mut order.kind, row.kind);
        changed |= set(&mut order.post_only, row.post_only);
        changed |= set(&mut order.reduce_only, row.reduce_only);
        changed |= set_some(&mut order.time_in_force, row.time_in_force);
        changed |= set_some(&mut order.price, row.price);
        changed |= set_some(&mut order.trigger_price, row.trigger_price);
        changed |= set_some(&mut order.amount, row.amount);
        changed |= set_some(&mut order.cost_ordered, row.cost_ordered);
        // The end of an order may come without what was filled.
        if !knows_less {
            changed |= set_some(&mut order.cost, row.cost);
            changed |= set_some(&mut order.average, row.average);
        }
        // One of them gives the other, where the venue tells only that.
        let filled = Decimal::from(order.filled);
        match (row.cost, row.average) {
            (None, Some(average)) if !knows_less => {
                order.cost = average.checked_mul(filled).map(|cost| cost.normalize())
            }
            (Some(cost), None) if !knows_less => {
                order.average = cost.checked_div(filled).map(|average| average.normalize());
            }
            _ => {}
        }
        changed |= set_some(&mut order.created, row.created);
        changed |= set_some(&mut order.updated, row.updated);
        changed |= set_some(&mut order.last_trade, row.last_trade);
        if let Some(fee) = row.fee
            && order.fees != [fee]
        {
            order.fees.retain(|old| old.currency != fee.currency);
            order.fees.push(fee);
            changed = true;
        }
        if let Some(error) = &row.error {
            order.error = Some(error.clone());
            changed = true;
        }
        if let Some(status) = row.status
            // A venue that goes on with an order does not know of the cancellation yet.
            && !(order.status == OrderStatus::Canceling && status == OrderStatus::Open)
            && status != order.status
            // A final state is told once.
            && !had_ended
        {
            changed = true;
            self.set_status(slot, status);
        }
        changed
    }

    /// An order goes into another state for a reason of ours.
    pub(crate) fn set_status(&mut self, slot: u32, status: OrderStatus) {
        let Some(place) = self.slots.get_mut(slot as usize) else { return };
        let Some(order) = &mut place.order else { return };
        let had_ended = order.status.is_final();
        order.status = status;
        if status.is_final() && !had_ended {
            self.ended.push_back((slot, place.generation));
        }
    }

    /// Adds a trade that was not known to its order, where the venue does not tell what was filled in all. The place of
    /// the order.
    pub(crate) fn on_fill(&mut self, trade: &MyTrade) -> Option<u32> {
        let slot = self.place(trade.market, trade.order, Id::NONE)?;
        let Slot { order: Some(order), traded, .. } = &mut self.slots[slot as usize] else { return None };
        let amount = traded.amount.unwrap_or(Fixed::new(0, 0)).checked_add(trade.amount)?;
        traded.amount = Some(amount);
        traded.cost = traded.cost.saturating_add(trade.cost.unwrap_or_default());
        if let Some(fee) = trade.fee {
            add_fee(&mut traded.fees, fee);
        }
        order.last_trade = order.last_trade.max(trade.venue_time);
        // The venue may have told by REST what these trades add up to, and more that are still to come.
        if amount >= order.filled {
            order.filled = amount;
            order.cost = Some(traded.cost);
            order.average = traded.cost.checked_div(Decimal::from(amount)).map(|average| average.normalize());
            order.fees.clone_from(&traded.fees);
        }
        Some(slot)
    }

    /// Adds the fee of a trade that was not known to its order, where the venue tells what was filled in all but not what
    /// it cost in fees.
    pub(crate) fn on_fee(&mut self, trade: &MyTrade) -> Option<u32> {
        let slot = self.place(trade.market, trade.order, Id::NONE)?;
        let order = self.slots[slot as usize].order.as_mut()?;
        add_fee(&mut order.fees, trade.fee?);
        Some(slot)
    }

    /// A place for one more order.
    fn room(&mut self) -> Result<u32, Error> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        if self.slots.len() < self.orders_max {
            self.slots.push(Slot { generation: 0, order: None, traded: Traded::default() });
            return Ok(self.slots.len() as u32 - 1);
        }
        while let Some((slot, generation)) = self.ended.pop_front() {
            let place = &mut self.slots[slot as usize];
            if place.generation != generation {
                continue;
            }
            let Some(order) = place.order.take() else { continue };
            place.generation = place.generation.wrapping_add(1);
            place.traded.amount = None;
            place.traded.cost = Decimal::ZERO;
            place.traded.fees.clear();
            self.by_client_id.remove(&order.client_order_id);
            // Under ids that it had before an amendment, too.
            if self.by_id.remove(&(order.market, order.id)).is_none() || self.by_id.len() > self.orders_max {
                self.by_id.retain(|_, place| *place != slot);
            }
            return Ok(slot);
        }
        let text = format!("{} open orders are the most this engine was set to (orders_max)", self.orders_max);
        Err(Error::new(ErrorKind::LimitReached, text))
    }
}

fn add_fee(fees: &mut Vec<Fee>, fee: Fee) {
    match fees.iter_mut().find(|old| old.currency == fee.currency) {
        Some(old) => old.cost = old.cost.saturating_add(fee.cost),
        None => fees.push(fee),
    }
}

fn set<T: PartialEq + Copy>(place: &mut T, value: Option<T>) -> bool {
    match value {
        Some(value) if *place != value => {
            *place = value;
            true
        }
        _ => false,
    }
}

fn set_some<T: PartialEq + Copy>(place: &mut Option<T>, value: Option<T>) -> bool {
    value.is_some() && {
        let changed = *place != value;
        *place = value;
        changed
    }
}

fn blank(handle: OrderId) -> Order {
    Order {
        handle,
        id: Id::NONE,
        client_order_id: Id::NONE,
        market: None,
        status: OrderStatus::Pending,
        side: TakerSide::Buy,
        kind: OrderKind::Limit,
        time_in_force: None,
        post_only: false,
        reduce_only: false,
        price: None,
        trigger_price: None,
        amount: None,
        cost_ordered: None,
        filled: Fixed::new(0, 0),
        cost: None,
        average: None,
        fees: Vec::new(),
        created: None::<Wall>,
        updated: None,
        last_trade: None,
        error: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENUE: VenueId = VenueId(0);
    const MARKET: MarketId = MarketId { venue: VENUE, index: 7 };

    fn id(text: &str) -> Id {
        Id::new(text.as_bytes()).unwrap()
    }

    fn new_order() -> NewOrder {
        NewOrder::limit(MARKET, TakerSide::Sell, Fixed::new(15, 1), Fixed::new(100, 0))
    }

    fn row(id_: &str, status: OrderStatus, filled: i64) -> OrderRow {
        let (market, filled) = (Some(MARKET), Some(Fixed::new(filled, 1)));
        OrderRow { id: id(id_), market, status: Some(status), filled, ..OrderRow::default() }
    }

    fn trade(id_: &str, order: &str, amount: i64, price: i64) -> MyTrade {
        let (price, amount) = (Fixed::new(price, 0), Fixed::new(amount, 1));
        let cost = Some(Decimal::from(price) * Decimal::from(amount));
        let fee = Some(Fee { currency: crate::model::Code::new(b"USD").unwrap(), cost: Decimal::new(1, 1) });
        MyTrade {
            id: id(id_),
            order: id(order),
            market: Some(MARKET),
            venue_time: Some(Wall(5)),
            side: TakerSide::Sell,
            price,
            amount,
            cost,
            liquidity: None,
            fee,
            backfilled: false,
        }
    }

    #[test]
    fn an_order_is_found_by_our_id_until_the_venue_gives_one() {
        let mut orders = Orders::new(4);
        let slot = orders.add(VENUE, &new_order(), id("c1")).unwrap();
        assert_eq!(orders.at(slot).unwrap().status, OrderStatus::Pending);
        let answer = OrderRow { client_order_id: id("c1"), ..row("v1", OrderStatus::Open, 0) };
        assert_eq!(orders.on_row(VENUE, &answer), Some(slot));
        assert_eq!(orders.on_row(VENUE, &answer), None, "the same again is no news");
        let filled = row("v1", OrderStatus::Open, 5);
        assert_eq!(orders.on_row(VENUE, &filled), Some(slot));
        let order = orders.at(slot).unwrap();
        assert_eq!((order.filled, order.remaining()), (Fixed::new(5, 1), Some(Fixed::new(10, 1))));
        assert_eq!(orders.add(VENUE, &new_order(), id("c1")).unwrap_err().kind(), ErrorKind::DuplicateOrderId);
    }

    #[test]
    fn older_news_undo_nothing() {
        let mut orders = Orders::new(4);
        let slot = orders.on_row(VENUE, &row("v1", OrderStatus::Open, 5)).unwrap();
        let older = OrderRow { price: Some(Fixed::new(1, 0)), ..row("v1", OrderStatus::Open, 2) };
        assert_eq!(orders.on_row(VENUE, &older), None);
        assert_eq!(orders.at(slot).unwrap().price, None);
        // As much is filled, and the time is another one: an amendment came between.
        let at = |amount, time| OrderRow {
            amount: Some(Fixed::new(amount, 1)),
            updated: Some(Wall(time)),
            ..row("v1", OrderStatus::Open, 5)
        };
        assert_eq!(orders.on_row(VENUE, &at(10, 2)), Some(slot));
        assert_eq!(orders.on_row(VENUE, &at(15, 1)), None);
        assert_eq!(orders.at(slot).unwrap().amount, Some(Fixed::new(10, 1)));
        // The end is always the end, even where it does not say what was filled before.
        assert_eq!(orders.on_row(VENUE, &row("v1", OrderStatus::Canceled, 0)), Some(slot));
        assert_eq!(orders.on_row(VENUE, &row("v1", OrderStatus::Open, 5)), None);
        let order = orders.at(slot).unwrap();
        assert_eq!((order.status, order.filled), (OrderStatus::Canceled, Fixed::new(5, 1)));
        // What was filled before the end may be told after it.
        assert_eq!(orders.on_row(VENUE, &row("v1", OrderStatus::Open, 7)), Some(slot));
        let order = orders.at(slot).unwrap();
        assert_eq!((order.status, order.filled), (OrderStatus::Canceled, Fixed::new(7, 1)));
    }

    #[test]
    fn fills_add_up_where_the_venue_does_not_do_it() {
        let mut orders = Orders::new(4);
        let slot = orders.on_row(VENUE, &row("v1", OrderStatus::Open, 0)).unwrap();
        assert_eq!(orders.on_fill(&trade("t1", "v1", 5, 100)), Some(slot));
        assert_eq!(orders.on_fill(&trade("t2", "v1", 10, 103)), Some(slot));
        let order = orders.at(slot).unwrap();
        assert_eq!((order.filled, order.cost), (Fixed::new(15, 1), Some(Decimal::from(153))));
        assert_eq!(order.average, Some(Decimal::from(102)));
        assert_eq!(order.fees[0].cost, Decimal::new(2, 1));
        assert_eq!(orders.on_fill(&trade("t3", "nobody's", 1, 1)), None);
    }

    #[test]
    fn what_rest_told_already_is_not_added_again() {
        let mut orders = Orders::new(4);
        let told = OrderRow { cost: Some(Decimal::from(50)), ..row("v1", OrderStatus::Open, 5) };
        let slot = orders.on_row(VENUE, &told).unwrap();
        // The trade that REST counted comes as a missed one, then a new one.
        orders.on_fill(&trade("t1", "v1", 5, 100)).unwrap();
        let order = orders.at(slot).unwrap();
        assert_eq!((order.filled, order.cost), (Fixed::new(5, 1), Some(Decimal::from(50))));
        orders.on_fill(&trade("t2", "v1", 10, 103)).unwrap();
        let order = orders.at(slot).unwrap();
        assert_eq!((order.filled, order.cost), (Fixed::new(15, 1), Some(Decimal::from(153))));
        assert_eq!((order.fees.len(), order.fees[0].cost), (1, Decimal::new(2, 1)));
    }

    #[test]
    fn orders_that_ended_make_room_and_open_ones_do_not() {
        let mut orders = Orders::new(2);
        let first = orders.on_row(VENUE, &row("v1", OrderStatus::Open, 0)).unwrap();
        orders.on_row(VENUE, &row("v2", OrderStatus::Open, 0)).unwrap();
        assert_eq!(orders.add(VENUE, &new_order(), id("c3")).unwrap_err().kind(), ErrorKind::LimitReached);
        let handle = orders.at(first).unwrap().handle;
        orders.on_row(VENUE, &row("v1", OrderStatus::Closed, 15)).unwrap();
        assert!(orders.find(handle).is_ok(), "remembered until its place is needed");
        let third = orders.add(VENUE, &new_order(), id("c3")).unwrap();
        assert_eq!(third, first);
        assert_eq!(orders.find(handle).unwrap_err().kind(), ErrorKind::StaleHandle);
        assert_eq!(orders.place(Some(MARKET), id("v1"), Id::NONE), None);
        assert_eq!(orders.place(Some(MARKET), Id::NONE, id("c3")), Some(third));
    }

    #[test]
    fn an_amendment_may_give_another_id() {
        let mut orders = Orders::new(2);
        let slot = orders.add(VENUE, &new_order(), id("c1")).unwrap();
        orders.on_row(VENUE, &OrderRow { client_order_id: id("c1"), ..row("v1", OrderStatus::Open, 0) });
        orders.on_row(VENUE, &OrderRow { client_order_id: id("c1"), ..row("v2", OrderStatus::Open, 0) });
        assert_eq!(orders.place(Some(MARKET), id("v1"), Id::NONE), orders.place(None, id("v2"), Id::NONE));
        // An answer about the old one that comes late is neither the old id nor the end.
        assert_eq!(orders.on_row(VENUE, &row("v1", OrderStatus::Canceled, 0)), None);
        let order = orders.at(slot).unwrap();
        assert_eq!((order.id, order.status), (id("v2"), OrderStatus::Open));
        orders.set_status(slot, OrderStatus::Canceling);
        assert_eq!(orders.on_row(VENUE, &row("v2", OrderStatus::Open, 0)), None, "the venue does not know yet");
        assert_eq!(orders.at(slot).unwrap().status, OrderStatus::Canceling);
    }
}
