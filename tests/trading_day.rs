//! Trading under the virtual clock: random orders and random faults, and at the end the account of the venue.
//!
//! `WIREBOOK_MIXTURES` sets how many days are run, `WIREBOOK_SEED` the first of their seeds.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

#[allow(unreachable_pub, dead_code)] // A module of tests: nothing else reaches it.
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use wirebook::credentials::Credentials;
use wirebook::engine::{Backoff, Config};
use wirebook::model::{NewOrder, OrderId, OrderStatus, TakerSide, TimeInForce};
use wirebook::sim::account::AccountConfig;
use wirebook::sim::faults::{Amount, Fault, Script, Target, What, When, Who};
use wirebook::sim::market::Side;
use wirebook::sim::{self, VenueKind};
use world::{SECOND, World, fixed};

const MS: u64 = 1_000_000;
/// How long a day with random faults is; the last third is without faults.
const DAY_NS: u64 = 60 * SECOND;

fn world(seed: u64, script: Script) -> World {
    let mut sim = sim::Config::new(VenueKind::Binance).with_symbols(3);
    sim.seed = seed;
    sim.levels = 20;
    sim.script = script;
    let mut config = Config::default();
    config.seed = seed;
    config.reconnect = Backoff { first_ms: 100, max_ms: 2_000 };
    config.retry = Backoff { first_ms: 100, max_ms: 2_000 };
    let keys = Credentials::new(sim.account.key.clone(), AccountConfig::SECRET);
    let mut world = World::new_as(&sim, config, seed, Some(keys));
    world.watch_account();
    world
}

/// An account that is live.
fn live(script: &str) -> World {
    let mut world = world(1, Script::parse(script).unwrap());
    let venue = world.venue;
    assert!(world.run_until_done(4 * SECOND, |world| world.core.is_account_live(venue)), "{:?}", world.core);
    world
}

fn limit(world: &World, side: TakerSide, amount: &str, cents_away: i64) -> NewOrder {
    let book_side = if side == TakerSide::Buy { Side::Bid } else { Side::Ask };
    let best = world.host.venue().market().best(0, book_side).0;
    let cents = if side == TakerSide::Buy { best - cents_away } else { best + cents_away };
    let market = world.core.markets(world.venue).resolve("BTC/USDT").unwrap().id;
    NewOrder::limit(market, side, fixed(amount), fixed(&format!("{}.{:02}", cents / 100, cents % 100)))
}

fn status(world: &World, order: OrderId) -> OrderStatus {
    world.core.orders(world.venue).find(|known| known.handle == order).unwrap().status
}

/// Waits until both sides say the same.
fn settle(world: &mut World, within_ns: u64) -> Result<(), String> {
    let until_ns = world.now_ns - world::START_NS + within_ns;
    world.run_until_done(until_ns, |world| world.account_agrees().is_ok());
    world.account_agrees()
}

#[test]
fn an_order_is_found_again_when_its_answer_is_lost_with_the_connection() {
    // Nothing of the venue arrives from the fifth second on; one second later the connection is gone.
    let mut world = live("at 5s silence connection for 3s\nat 6s cut");
    world.run_until(5_200 * MS);
    let stamp = world.stamp();
    let order = world.core.create_order(&limit(&world, TakerSide::Buy, "0.01", 9_000), stamp).unwrap();
    world.run_until(5_900 * MS);
    assert_eq!(status(&world, order), OrderStatus::Pending);
    assert_eq!(world.host.venue().account().open_orders().count(), 1, "it did arrive");
    assert!(world.run_until_done(6_100 * MS, |world| status(world, order) == OrderStatus::Unknown));
    assert!(world.run_until_done(20 * SECOND, |world| status(world, order) == OrderStatus::Open));
    settle(&mut world, 5 * SECOND).unwrap();
    let account = world.host.venue().account();
    assert_eq!((account.asked(), account.duplicates()), (1, 0));
}

#[test]
fn fills_that_were_missed_are_fetched() {
    let mut world = live("at 5s silence connection for 60s\nat 8s cut");
    world.run_until(5_200 * MS);
    for cents_away in [-2_000, -1_000, 0] {
        let stamp = world.stamp();
        world.core.create_order(&limit(&world, TakerSide::Buy, "0.5", cents_away), stamp).unwrap();
    }
    world.run_until(7_900 * MS);
    let fills = world.host.venue().account().fills().len();
    assert!(fills > 1 && world.seen.my_trades.is_empty(), "{fills} fills of which nothing is known");
    settle(&mut world, 20 * SECOND).unwrap();
    assert_eq!(world.seen.my_trades.len(), world.host.venue().account().fills().len());
}

#[test]
fn days_of_random_orders_and_faults_end_with_the_account_of_the_venue() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let days = number("WIREBOOK_MIXTURES").unwrap_or(60);
    let first = number("WIREBOOK_SEED").unwrap_or(1);
    let next = AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let worker = || {
            let mut wrong = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= days || wrong.len() >= 3 {
                    return wrong;
                }
                if let Err(why) = day(first + at) {
                    wrong.push(format!("seed {}: {why}", first + at));
                }
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} days went wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// One day; what was wrong at its end.
fn day(seed: u64) -> Result<(), String> {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xacc0);
    let mut script = Script::random(seed, DAY_NS, &["BTCUSDT", "ETHUSDT", "BNBUSDT"]);
    // What a connection loses while it lives cannot be noticed, and real ones do not do that: they are cut after it.
    for at in 0..script.faults.len() {
        if let Fault { when: When::At(at_ns), what: What::Silence { target: Target::Connection(who), for_ns } } =
            script.faults[at].clone()
        {
            // The silence lasts until everything that was withheld is lost.
            let silence = What::Silence { target: Target::Connection(who), for_ns: DAY_NS };
            script.faults[at].what = silence;
            script.faults.push(Fault { when: When::At(at_ns + for_ns), what: What::Cut { who: Who::All } });
        }
    }
    // Answers to orders are lost, too.
    for _ in 0..rng.usize(..4) {
        let when = When::At(rng.u64(5..35) * SECOND);
        let path = ["/ws-api/v3/order", "/ws-api", "/api/v3"][rng.usize(..3)].to_owned();
        let status = [429, 500, 503, 504][rng.usize(..4)];
        let amount = Amount::Requests(rng.u32(1..4));
        script.faults.push(Fault { when, what: What::Http { status, path: Some(path), amount } });
    }
    let mut world = world(seed, script);
    let mut placed = Vec::new();
    let mut at_ns = 3 * SECOND;
    while at_ns < DAY_NS * 5 / 6 {
        world.run_until(at_ns);
        at_ns += rng.u64(50..1_500) * MS;
        // Whatever is refused before it is sent is fine.
        act(&mut world, &mut rng, &mut placed);
    }
    settle(&mut world, 60 * SECOND)?;
    let account = world.host.venue().account();
    if account.duplicates() > 0 {
        return Err(format!("{} orders were sent twice", account.duplicates()));
    }
    // Each came once, and once more for each time that it was replaced.
    for placed in &placed {
        let name = world
            .core
            .orders(world.venue)
            .find(|order| order.handle == placed.order)
            .map(|order| order.client_order_id);
        let Some(name) = name.map(|name| name.to_string()) else { continue };
        let count = account.orders().filter(|order| order.client_id == name).count();
        if count > 1 + placed.edits {
            return Err(format!("{name} is there {count} times after {} changes", placed.edits));
        }
    }
    if placed.is_empty() { Err("nothing was sent".to_owned()) } else { Ok(()) }
}

/// An order that was sent, and how often it was changed.
struct Placed {
    order: OrderId,
    edits: usize,
}

/// Something that a trader does.
fn act(world: &mut World, rng: &mut fastrand::Rng, placed: &mut Vec<Placed>) {
    if world.core.markets(world.venue).resolve("BTC/USDT").is_err() {
        return;
    }
    let stamp = world.stamp();
    let side = if rng.bool() { TakerSide::Buy } else { TakerSide::Sell };
    let amount = format!("0.{:05}", rng.u32(100..60_000));
    let order = limit(world, side, &amount, rng.i64(-800..800));
    let known = if placed.is_empty() { None } else { Some(rng.usize(..placed.len())) };
    match (rng.u32(..12), known) {
        (0 | 1, Some(known)) => _ = world.core.cancel_order(placed[known].order, stamp),
        (kind @ (2 | 3), Some(known)) => {
            let (price, amount) = if kind == 2 { (order.price, None) } else { (None, order.amount) };
            let sent = world.core.edit_order(placed[known].order, price, amount, stamp).is_ok();
            placed[known].edits += usize::from(sent);
        }
        (4, _) if rng.u32(..3) == 0 => _ = world.core.cancel_all_orders(world.venue, Some(order.market), stamp),
        (kind, _) => {
            let order = match kind {
                5 => NewOrder::market(order.market, side, fixed(&amount)),
                6 => order.staying(TimeInForce::Ioc),
                7 => order.staying(TimeInForce::Fok),
                8 => order.post_only(),
                9 => NewOrder::market_with_cost(order.market, side, fixed("250")),
                _ => order,
            };
            placed.extend(world.core.create_order(&order, stamp).map(|order| Placed { order, edits: 0 }));
        }
    }
}
