//! Faults under the virtual clock: each alone with exact expectations, and random mixtures of them.
//!
//! `WIREBOOK_MIXTURES` sets how many mixtures are run, `WIREBOOK_SEED` the first of their seeds.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

#[allow(unreachable_pub, dead_code)] // A module of tests: nothing else reaches it.
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use wirebook::book::BookState;
use wirebook::engine::{Backoff, Config};
use wirebook::model::{FeedId, FeedState, Timeframe};
use wirebook::sim::faults::Script;
use wirebook::sim::{self, SnapshotMix, VenueKind};
use wirebook::venue::Channel;
use world::{SECOND, World};

/// A small venue: three symbols with 20 levels a side, so that no snapshot is cut and whole books can be compared.
fn sim(seed: u64, script: Script) -> sim::Config {
    let mut config = sim::Config::new(VenueKind::Binance).with_symbols(3);
    config.seed = seed;
    config.levels = 20;
    config.snapshot = SnapshotMix::TRYING;
    config.script = script;
    config
}

/// The same, with snapshots that are never older than the stream, so that their number is known.
fn plain_sim(seed: u64, script: &str) -> sim::Config {
    let mut config = sim(seed, Script::parse(script).unwrap());
    (config.snapshot.old, config.snapshot.recent) = (0, 0);
    config
}

fn config(seed: u64) -> Config {
    let mut config = Config::default();
    config.seed = seed;
    config.stale_after_ms = Some(2_000);
    config.reconnect = Backoff { first_ms: 100, max_ms: 2_000 };
    config.retry = Backoff { first_ms: 100, max_ms: 2_000 };
    config
}

struct Run {
    world: World,
    books: Vec<FeedId>,
}

/// Watches three books, and more channels of the first symbol, and waits until all books are live.
fn started(seed: u64, script: &str) -> Run {
    let mut world = World::new(&plain_sim(seed, script), config(seed), seed);
    let books = ["BTCUSDT", "ETHUSDT", "BNBUSDT"].map(|symbol| world.watch(symbol, Channel::Book, Some(100)));
    world.watch("BTCUSDT", Channel::Trades, None);
    world.watch("BTCUSDT", Channel::BidAsk, None);
    world.watch("BTCUSDT", Channel::Ticker, None);
    world.watch("BTCUSDT", Channel::Candles(Timeframe::M1), None);
    assert!(world.run_until_done(4 * SECOND, World::all_live), "{:?}", world.core);
    Run { world, books: books.to_vec() }
}

impl Run {
    /// Runs until `until_s`; no live book was ever wrong, and none is behind.
    fn until(&mut self, until_s: u64) -> &mut Run {
        self.world.run_until(until_s * SECOND);
        assert_eq!(self.world.seen.wrong, Vec::<String>::new());
        assert_eq!(self.world.behind(3 * SECOND), Vec::<String>::new());
        self
    }

    fn state(&self, at: usize) -> BookState {
        self.world.core.book(self.books[at]).unwrap().state()
    }

    /// How often each book fell out of the live state.
    fn fell(&self) -> Vec<u64> {
        self.world.fell(&self.books)
    }

    fn healed(&self) {
        assert!(self.world.all_live(), "{:?}", self.world.core);
        assert_eq!(self.world.seen.wrong, Vec::<String>::new());
    }
}

#[test]
fn nothing_happens_without_a_fault() {
    let mut run = started(1, "");
    run.until(30).healed();
    let counters = run.world.core.counters();
    assert_eq!((counters.gaps, counters.snapshots, counters.reconnects, counters.malformed), (0, 3, 0, 0));
    assert_eq!(run.fell(), [0, 0, 0]);
    let seen = &run.world.seen;
    assert!(seen.compared > 500, "{} books compared", seen.compared);
    assert!(seen.trades > 20 && seen.quotes > 50 && seen.tickers > 20 && seen.candles > 10, "{seen:?}");
    assert_eq!(run.world.host.venue().counters().bans, 0);
}

#[test]
fn a_gap_resyncs_that_book_alone() {
    let mut run = started(2, "at 6s gap btcusdt@depth@100ms");
    run.until(20).healed();
    let counters = run.world.core.counters();
    assert_eq!((counters.gaps, counters.snapshots, counters.reconnects), (1, 4, 0));
    assert_eq!(run.fell(), [1, 0, 0]);
}

#[test]
fn a_duplicate_changes_nothing() {
    let mut run = started(3, "every 1s duplicate");
    run.until(20).healed();
    let counters = run.world.core.counters();
    assert_eq!((counters.gaps, counters.snapshots, counters.reconnects), (0, 3, 0));
    assert_eq!(run.fell(), [0, 0, 0]);
}

#[test]
fn reordered_events_are_a_gap_and_heal() {
    let mut run = started(4, "at 6s reorder ethusdt@depth@100ms");
    run.until(20).healed();
    assert_eq!(run.world.core.counters().gaps, 1);
    assert_eq!(run.fell(), [0, 1, 0]);
}

#[test]
fn an_unreadable_message_puts_its_book_in_doubt() {
    let mut run = started(5, "at 6s corrupt bnbusdt@depth@100ms");
    run.until(20).healed();
    let counters = run.world.core.counters();
    assert_eq!((counters.malformed, counters.reconnects), (1, 0));
    assert_eq!(run.fell()[2], 1);
}

#[test]
fn a_silent_stream_is_stale_within_its_limit_and_the_others_go_on() {
    let mut run = started(6, "at 6s silence btcusdt@depth@100ms for 8s");
    run.until(10);
    assert_eq!([run.state(0), run.state(1), run.state(2)], [BookState::Stale, BookState::Live, BookState::Live]);
    run.until(20).healed();
    assert_eq!((run.fell(), run.world.core.counters().gaps), (vec![1, 0, 0], 1));
}

#[test]
fn a_silent_connection_is_replaced() {
    let mut run = started(7, "at 6s silence connection for 3m");
    run.until(12);
    assert_eq!(run.state(1), BookState::Stale);
    run.until(20).healed();
    assert_eq!(run.world.core.counters().reconnects, 1, "pinged after 5 s, given up 5 s later");
}

#[test]
fn half_open_connections_are_noticed() {
    let mut run = started(8, "at 6s half-open");
    run.until(20).healed();
    assert_eq!(run.world.core.counters().reconnects, 1);
}

#[test]
fn oddly_cut_bytes_change_nothing() {
    for script in ["at 5s split 3 for 8s", "at 5s glue 6 for 8s", "at 5s fragment for 8s"] {
        let mut run = started(9, script);
        run.until(20).healed();
        let counters = run.world.core.counters();
        assert_eq!(
            (counters.gaps, counters.snapshots, counters.reconnects, counters.malformed),
            (0, 3, 0, 0),
            "{script}"
        );
    }
}

#[test]
fn closed_and_cut_connections_come_back() {
    for script in ["at 6s close 1000", "at 6s close 1008", "at 6s close 1011", "at 6s cut"] {
        let mut run = started(10, script);
        run.until(30).healed();
        let counters = run.world.core.counters();
        assert_eq!((counters.reconnects, counters.snapshots, counters.gaps), (1, 6, 0), "{script}");
        assert_eq!(run.fell(), [1, 1, 1], "{script}");
    }
}

#[test]
fn refusals_of_rest_are_heeded() {
    for (script, requests_max) in [
        ("at 5s http 429 for 2 requests\nat 6s gap btcusdt@depth@100ms", 5),
        ("at 5s http 503 for 3 requests\nat 6s gap btcusdt@depth@100ms", 8),
        ("at 5s http 418 for 1 requests\nat 6s gap btcusdt@depth@100ms", 5),
        ("at 5s slow 30s for 1 requests\nat 6s gap btcusdt@depth@100ms", 6),
    ] {
        let mut run = started(11, script);
        let before = run.world.host.venue().counters().requests;
        run.until(12);
        assert_eq!(run.state(1), BookState::Live, "{script}");
        let done = run.world.run_until_done(400 * SECOND, World::all_live);
        assert!(done, "{script}: {:?}", run.world.core);
        run.healed();
        let requests = run.world.host.venue().counters().requests - before;
        assert!(requests <= requests_max, "{script}: {requests} requests");
        assert_eq!(run.world.host.venue().counters().bans, 0, "{script}");
    }
}

/// Longer than `settled_after_ms`: pauses must go on growing while a book is not well, whatever its age.
#[test]
fn a_rest_that_stays_down_is_not_stormed() {
    let mut run = started(17, "at 5s http 503 for 60s\nat 6s gap btcusdt@depth@100ms");
    let before = run.world.host.venue().counters().requests;
    run.until(64);
    let requests = run.world.host.venue().counters().requests - before;
    // Pauses of one second in the mean.
    assert!((20..150).contains(&requests), "{requests} requests in a minute");
    assert_eq!(run.state(1), BookState::Live);
    run.until(80).healed();
}

#[test]
fn an_announced_shutdown_is_taken_at_its_word() {
    let mut run = started(12, "at 6s shutdown after 2s");
    run.until(30).healed();
    assert_eq!(run.world.core.counters().reconnects, 1, "reconnected at once, not again when the old socket went");
}

#[test]
fn links_are_replaced_before_the_end_of_their_life() {
    let mut config = plain_sim(13, "");
    config.limits.shutdown_notice_ns = SECOND;
    config.limits.lifetime_ns = 60 * SECOND;
    let mut world = World::new(&config, self::config(13), 13);
    // The core is told of the shorter life, as a user of another venue would.
    let mut venue = wirebook::engine::VenueConfig::at("ws://venue.test", "http://venue.test");
    venue.lifetime_s = Some(50);
    world.venue = world.core.add_venue("binance", venue).unwrap();
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        world.watch(symbol, Channel::Book, Some(100));
    }
    world.run_until(240 * SECOND);
    assert!(world.all_live());
    assert_eq!(world.seen.wrong, Vec::<String>::new());
    let reconnects = world.core.counters().reconnects;
    assert!((4..=5).contains(&reconnects), "{reconnects} in 240 s of lives of 50 s");
    // Each replacement is one fall and one rise, and no gap.
    assert_eq!(world.core.counters().gaps, 0);
}

#[test]
fn feeds_come_and_go_without_touching_the_others() {
    let mut run = started(14, "");
    for round in 0..10 {
        let symbol = ["XRPUSDT", "BTCUSDT", "ETHUSDT"][round % 3];
        let now = run.world.stamp().mono;
        let extra = run.world.core.watch(run.world.venue, Some("BNBUSDT"), Channel::AggTrades, None, now).unwrap();
        let book = run.world.core.watch(run.world.venue, Some(symbol), Channel::TopBook(5), None, now);
        run.until(5 + 2 * round as u64);
        let now = run.world.stamp().mono;
        run.world.core.unwatch(extra, now).unwrap();
        if let Ok(book) = book {
            run.world.core.unwatch(book, now).unwrap();
            assert!(run.world.core.book(book).is_err(), "the handle is stale");
        }
        run.until(6 + 2 * round as u64);
    }
    run.healed();
    let counters = run.world.core.counters();
    assert_eq!((counters.gaps, counters.snapshots, counters.reconnects), (0, 3, 0));
    assert_eq!(run.fell(), [0, 0, 0]);
}

#[test]
fn an_unknown_symbol_fails_alone() {
    let mut world = World::new(&sim(15, Script::default()), config(15), 15);
    let book = world.watch("BTCUSDT", Channel::Book, None);
    let unknown = world.watch("BTCUSTD", Channel::Book, None);
    world.symbols.remove(&unknown);
    world.run_until(5 * SECOND);
    assert!(world.core.book(book).unwrap().is_live());
    let (state, _, error) = world.core.feed_state(unknown).unwrap();
    assert_eq!(state, FeedState::Failed);
    let error = error.unwrap().to_string();
    assert_eq!(error, "binance: BTCUSTD: no such market; did you mean BTC/USDT?");
}

#[test]
fn a_refused_feed_is_tried_anew_when_it_is_asked_for_again() {
    let mut world = World::new(&plain_sim(16, ""), config(16), 16);
    let book = world.watch("BTCUSDT", Channel::Book, None);
    assert!(world.run_until_done(5 * SECOND, |world| world.core.counters().links_up == 1));
    world.inject(br#"{"error":{"code":2,"msg":"Invalid request"},"id":1}"#);
    world.run_until(6 * SECOND);
    let (state, _, error) = world.core.feed_state(book).unwrap();
    assert_eq!((state, error.unwrap().kind()), (FeedState::Failed, wirebook::ErrorKind::BadRequest));
    world.symbols.remove(&book);
    let again = world.watch("BTCUSDT", Channel::Book, None);
    assert_ne!(again, book);
    assert!(world.core.book(book).is_err(), "the old handle is stale");
    world.run_until(10 * SECOND);
    assert!(world.all_live(), "{:?}", world.core);
}

/// Random mixtures of all faults. No live book is ever wrong or far behind, and when the faults are over all books are
/// live again.
#[test]
fn mixtures_of_faults_never_show_a_wrong_book() {
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    let (count, first) = (number("WIREBOOK_MIXTURES", 1_000), number("WIREBOOK_SEED", 1));
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let (next, compared, longest) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let (books, healed_ns) = mixture(first + at);
                    compared.fetch_add(books, Ordering::Relaxed);
                    longest.fetch_max(healed_ns, Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{count} mixtures, {} live books compared, all well again after at most {} s",
        compared.into_inner(),
        longest.into_inner() / SECOND
    );
}

/// Length of a mixture; its faults are over after two thirds of it.
const MIXTURE_NS: u64 = 9 * SECOND;

/// One mixture: how many books were compared, and when all was well.
fn mixture(seed: u64) -> (u64, u64) {
    let script = Script::random(seed, MIXTURE_NS, &["BTCUSDT", "ETHUSDT", "BNBUSDT"]);
    let context = || format!("seed {seed}, script:\n{script}");
    let mut sim = sim(seed, script.clone());
    if seed.is_multiple_of(2) {
        sim.snapshot.old = 0;
    }
    // Silence shows after two seconds; before that a book is as old as its snapshot, which the venue takes up to a second
    // ago, or up to six where it serves old ones.
    let old = sim.snapshot.old > 0 || script.to_string().contains("stale");
    let behind_ns = if old { 9 } else { 4 } * SECOND;
    let mut world = World::new(&sim, config(seed), seed);
    for symbol in ["BTCUSDT", "ETHUSDT", "BNBUSDT"] {
        world.watch(symbol, Channel::Book, Some(100));
    }
    world.watch("BTCUSDT", Channel::Trades, None);
    world.watch("ETHUSDT", Channel::BidAsk, None);
    for step in 1..=MIXTURE_NS / (SECOND / 2) {
        world.run_until(step * SECOND / 2);
        let behind = world.behind(behind_ns);
        assert!(behind.is_empty(), "{behind:?}\n{}", context());
    }
    // A ban without Retry-After keeps REST away for two minutes, and a dead link is noticed after 10 s.
    let healed = world.run_until_done(400 * SECOND, World::all_live);
    assert!(healed, "not well again: {:?}\n{}", world.core, context());
    assert!(world.seen.wrong.is_empty(), "{}\n{}", world.seen.wrong.join("\n"), context());
    (world.seen.compared, world.now_ns - world::START_NS)
}
