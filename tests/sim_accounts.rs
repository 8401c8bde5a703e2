//! The engine and a loopback venue with an account, on real sockets: what the engine believes of orders, fills and
//! balances is compared with what is true.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

#[allow(unreachable_pub, dead_code)] // A module of tests: nothing else reaches it.
mod accounts;
#[allow(unreachable_pub, clippy::unwrap_used, dead_code)] // A module of tests: nothing else reaches it.
mod loopback;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use accounts::{agree, fixed};
use loopback::{Loopback, engine_config, sim};
use wirebook::ErrorKind;
use wirebook::credentials::Credentials;
use wirebook::model::{Event, FeedState, MarketId, NewOrder, OrderId, OrderStatus, TakerSide, TimeInForce, Update};
use wirebook::sim::account::AccountConfig;
use wirebook::sim::market::Side;

/// An engine with a live account.
struct Day {
    run: Loopback,
    market: MarketId,
    /// Ids of own trades as they were told.
    trades: Rc<RefCell<Vec<String>>>,
}

impl Day {
    fn start(script: &str, orders_per_10s: usize) -> Day {
        let mut sim = sim(3, script);
        sim.updates_per_s = 100;
        sim.limits.orders_per_10s = orders_per_10s;
        let keys = Credentials::new(sim.account.key.clone(), AccountConfig::SECRET);
        let mut config = engine_config();
        config.core.order_timeout_ms = 1_000;
        let mut run = Loopback::start_as(sim, true, config, Some(keys));
        run.engine.load_markets(run.venue).unwrap();
        run.engine.watch_orders(run.venue).unwrap();
        run.engine.watch_balance(run.venue).unwrap();
        let told = run.engine.watch_my_trades(run.venue).unwrap();
        let trades = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&trades);
        let note = move |update: &Update<'_>, _: &mut wirebook::Outbox| {
            if let Event::MyTrade(trade) = update.event {
                noted.borrow_mut().push(trade.id.to_string());
            }
        };
        run.engine.on(told, note).unwrap();
        let venue = run.venue;
        assert!(run.run_until(20, |engine, _| engine.is_account_live(venue)), "{:?}", run.engine);
        let market = run.engine.markets(venue).resolve("BTC/USDT").unwrap().id;
        Day { run, market, trades }
    }

    /// Best price of a side in cents.
    fn best(&self, side: Side) -> i64 {
        self.run.server.with_venue(|venue| venue.market().best(0, side).0)
    }

    fn limit(&self, side: TakerSide, amount: &str, cents: i64) -> NewOrder {
        NewOrder::limit(self.market, side, fixed(amount), fixed(&format!("{}.{:02}", cents / 100, cents % 100)))
    }

    fn create(&mut self, order: &NewOrder) -> OrderId {
        self.run.engine.create_order(order).unwrap()
    }

    /// Waits until an order has a status.
    fn until(&mut self, order: OrderId, status: OrderStatus) {
        let done = self.run.run_until(20, |engine, _| engine.order(order).unwrap().status == status);
        assert!(done, "not {status:?}: {:?}", self.run.engine.order(order));
    }

    /// Waits until both sides say the same.
    fn until_agreed(&mut self) {
        let venue = self.run.venue;
        let trades = Rc::clone(&self.trades);
        let mut why = String::new();
        let done = self.run.run_until(20, |engine, server| {
            let result = server.with_venue(|truth| {
                let engine = &*engine;
                agree(
                    truth,
                    engine.orders(venue),
                    |id| engine.find_order(venue, id),
                    engine.balances(venue),
                    &trades.borrow(),
                )
            });
            why = result.err().unwrap_or_default();
            why.is_empty() && engine.is_account_live(venue)
        });
        assert!(done, "{why}\n{:?}", self.run.engine);
    }

    fn asked(&self) -> u64 {
        self.run.server.with_venue(|venue| venue.account().asked())
    }
}

#[test]
fn a_trading_day_ends_with_the_account_of_the_venue() {
    let mut day = Day::start("", 1_000);
    // An order that rests, is made smaller, moved, and canceled.
    let bid = day.best(Side::Bid);
    let order = day.create(&day.limit(TakerSide::Buy, "0.01", bid - 5_000));
    day.until(order, OrderStatus::Open);
    day.run.engine.edit_order(order, None, Some(fixed("0.005"))).unwrap();
    assert!(day.run.run_until(20, |engine, _| engine.order(order).unwrap().amount == Some(fixed("0.00500"))));
    day.until_agreed();
    let price = day.limit(TakerSide::Buy, "1", bid - 6_000).price.unwrap();
    day.run.engine.edit_order(order, Some(price), None).unwrap();
    let moved = day.run.run_until(20, |engine, _| engine.order(order).unwrap().price == Some(price));
    assert!(moved, "{:?}", day.run.engine.order(order));
    day.until_agreed();
    day.run.engine.cancel_order(order).unwrap();
    day.until(order, OrderStatus::Canceled);
    day.until_agreed();

    // A taker that eats several levels, and a maker that waits for the market.
    let taker = day.create(&day.limit(TakerSide::Buy, "3", day.best(Side::Ask) + 3_000));
    day.until(taker, OrderStatus::Closed);
    day.until_agreed();
    assert!(day.trades.borrow().len() > 1, "several levels");
    let maker = day.create(&day.limit(TakerSide::Sell, "0.002", day.best(Side::Ask)));
    day.until(maker, OrderStatus::Closed);
    day.until_agreed();
    let by_cost = day.create(&NewOrder::market_with_cost(day.market, TakerSide::Buy, fixed("500")));
    day.until(by_cost, OrderStatus::Closed);
    let immediate = day.limit(TakerSide::Sell, "90", day.best(Side::Bid)).staying(TimeInForce::Ioc);
    let immediate = day.create(&immediate);
    day.until(immediate, OrderStatus::Expired);
    day.until_agreed();

    // What is refused, by us and by the venue.
    let asked = day.asked();
    let error = day.run.engine.create_order(&day.limit(TakerSide::Buy, "0.00001", bid)).unwrap_err();
    assert_eq!((error.kind(), day.asked()), (ErrorKind::InvalidOrder, asked), "{error}");
    let error = day.run.engine.create_order(&day.limit(TakerSide::Buy, "0.000001", bid)).unwrap_err();
    assert_eq!((error.kind(), day.asked()), (ErrorKind::InvalidOrder, asked), "{error}");
    for (order, kind) in [
        (day.limit(TakerSide::Buy, "90", bid - 100), ErrorKind::InsufficientFunds),
        (
            day.limit(TakerSide::Buy, "0.01", day.best(Side::Ask) + 5_000).post_only(),
            ErrorKind::OrderImmediatelyFillable,
        ),
    ] {
        let order = day.create(&order);
        day.until(order, OrderStatus::Rejected);
        assert_eq!(day.run.engine.order(order).unwrap().error.as_ref().unwrap().kind(), kind);
    }

    // All at once.
    let many: Vec<OrderId> =
        (1..6).map(|step| day.create(&day.limit(TakerSide::Buy, "0.01", bid - 20_000 - step * 100))).collect();
    many.iter().for_each(|order| day.until(*order, OrderStatus::Open));
    day.until_agreed();
    day.run.engine.cancel_all_orders(day.run.venue, Some("BTC/USDT")).unwrap();
    many.iter().for_each(|order| day.until(*order, OrderStatus::Canceled));
    day.until_agreed();
    let counters = day.run.server.counters();
    assert_eq!((counters.protocol_violations, counters.bans, counters.too_many), (0, 0, 0));
    // What is asked by REST says the same.
    let venue = day.run.venue;
    let balances = day.run.engine.fetch_balance(venue).unwrap();
    let usdt = day.run.server.with_venue(|venue| venue.account().balance("USDT").free);
    assert_eq!(balances.iter().find(|row| row.currency.as_str() == "USDT").unwrap().free, Some(usdt));
    let fills = day.run.server.with_venue(|venue| venue.account().fills().len());
    assert_eq!(day.run.engine.fetch_my_trades(venue, Some("BTC/USDT"), None, None).unwrap().len(), fills);
    assert_eq!(day.run.engine.fetch_open_orders(venue, None).unwrap().len(), 0);
}

#[test]
fn an_order_whose_answer_is_lost_is_found_and_never_sent_again() {
    // The venue carries the first one out and answers that it does not know; the answer of the second is lost with the
    // connection.
    for (script, answer_lost) in [
        ("at 0s http 504 /ws-api/v3/order.place for 1 requests", false),
        ("at 6s silence connection for 20s\nat 8s cut", true),
    ] {
        let mut day = Day::start(script, 1_000);
        // The venue's clock began a little earlier.
        let begin = Instant::now();
        if answer_lost {
            day.run.run_until(10, |_, _| begin.elapsed() > Duration::from_millis(6_500));
        }
        let order = day.create(&day.limit(TakerSide::Buy, "0.01", day.best(Side::Bid) - 5_000));
        let pending = day.run.engine.order(order).unwrap().status;
        assert_eq!(pending, OrderStatus::Pending);
        if answer_lost {
            // Otherwise the stream tells at once that the order is there.
            day.until(order, OrderStatus::Unknown);
        }
        day.until(order, OrderStatus::Open);
        day.until_agreed();
        day.run.engine.cancel_order(order).unwrap();
        day.until(order, OrderStatus::Canceled);
        day.until_agreed();
        let (orders, duplicates) =
            day.run.server.with_venue(|venue| (venue.account().asked(), venue.account().duplicates()));
        assert_eq!((orders, duplicates), (1, 0), "{script}");
    }
}

#[test]
fn an_order_that_did_not_arrive_is_refused_in_the_end() {
    let mut day = Day::start("at 0s http 503 /ws-api/v3/order.place for 1 requests", 1_000);
    let order = day.create(&day.limit(TakerSide::Buy, "0.01", day.best(Side::Bid) - 5_000));
    day.until(order, OrderStatus::Unknown);
    day.until(order, OrderStatus::Rejected);
    day.until_agreed();
    assert_eq!(day.asked(), 0);
}

#[test]
fn too_many_orders_are_refused_by_the_venue() {
    let mut day = Day::start("", 2);
    let order = day.limit(TakerSide::Buy, "0.01", day.best(Side::Bid) - 5_000);
    let orders: Vec<OrderId> = (0..3).map(|_| day.create(&order)).collect();
    day.until(orders[0], OrderStatus::Open);
    day.until(orders[1], OrderStatus::Open);
    day.until(orders[2], OrderStatus::Rejected);
    let error = day.run.engine.order(orders[2]).unwrap().error.clone().unwrap();
    assert_eq!(error.kind(), ErrorKind::RateLimitExceeded, "{error}");
    day.until_agreed();
}

#[test]
fn a_wrong_key_or_secret_fails_for_good() {
    for (key, secret) in [("another", AccountConfig::SECRET), ("loopback-key", "another")] {
        let keys = Credentials::new(key, secret);
        let mut run = Loopback::start_as(sim(1, ""), false, engine_config(), Some(keys));
        run.engine.load_markets(run.venue).unwrap();
        let orders = run.engine.watch_orders(run.venue).unwrap();
        let failed = run.run_until(20, |engine, _| engine.state(orders).unwrap().0 == FeedState::Failed);
        assert!(failed, "{:?}", run.engine);
        let error = run.engine.fetch_balance(run.venue).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AuthenticationError, "{error}");
    }
}
