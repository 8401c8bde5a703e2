//! From the socket to the callback nothing is allocated in steady state, in the clear and over TLS. In a file of its
//! own, because it brings an allocator.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

#[allow(unreachable_pub, dead_code)] // A module of tests: nothing else reaches it.
mod counting;
#[allow(unreachable_pub, clippy::unwrap_used, dead_code)]
mod loopback;

use std::time::{Duration, Instant};

use loopback::{Loopback, engine_config, sim};
use wirebook::engine::Outbox;
use wirebook::model::{Event, Timeframe, Update};

/// Messages, allocations and reads of two seconds in steady state, all channels watched.
fn steady_state(tls: bool) -> (u64, u64, u64) {
    let mut sim = sim(3, "");
    sim.rate = Some(2_000);
    let mut run = Loopback::start(sim, tls, engine_config());
    run.engine.load_markets(run.venue).unwrap();
    let (engine, venue) = (&mut run.engine, run.venue);
    let symbols = ["BTC/USDT", "ETH/USDT", "BNB/USDT"];
    let books = engine.watch_order_book_for_symbols(venue, &symbols, Some(100)).unwrap();
    engine.watch_order_book(venue, "BTC/USDT", Some(20)).unwrap();
    engine.watch_trades_for_symbols(venue, &symbols).unwrap();
    engine.watch_agg_trades(venue, "BTC/USDT").unwrap();
    engine.watch_tickers(venue, &symbols).unwrap();
    engine.watch_bids_asks(venue, &symbols).unwrap();
    engine.watch_ohlcv(venue, "BTC/USDT", Timeframe::M1).unwrap();
    let mut live = 0u64;
    for feed in &books {
        // A callback that looks, as users' callbacks do.
        engine
            .on(*feed, |update: &Update<'_>, _: &mut Outbox| {
                if let Event::Book { book, .. } = update.event {
                    std::hint::black_box((book.best_bid(), book.bids().take(10).map(|level| level.qty).sum::<i64>()));
                }
            })
            .unwrap();
    }
    let mut handler = |update: &Update<'_>, _: &mut Outbox| {
        if let Event::Book { book, .. } = update.event {
            live += u64::from(book.is_live());
        }
    };
    // Buffers reach their size, and the venue confirms everything.
    let warm = Instant::now() + Duration::from_secs(4);
    while Instant::now() < warm {
        run.engine.wait_with(Some(Duration::from_millis(5)), &mut handler).unwrap();
    }
    let (mut messages, mut reads) = (0u64, 0u64);
    let before = counting::allocations();
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let work = run.engine.poll_with(&mut handler).unwrap();
        messages += u64::from(work.messages);
        reads += u64::from(work.reads);
    }
    let allocations = counting::allocations() - before;
    assert!(live > 1_000, "{live} live books");
    assert_eq!((run.engine.counters().gaps, run.engine.counters().malformed), (0, 0));
    (messages, allocations, reads)
}

#[test]
fn plain_sockets_allocate_nothing() {
    let (messages, allocations, reads) = steady_state(false);
    println!("plain: {messages} messages, {reads} reads, {allocations} allocations");
    assert!(messages > 1_000, "{messages} messages");
    assert_eq!(allocations, 0, "over {messages} messages");
}

#[test]
fn tls_sockets_allocate_nothing() {
    let (messages, allocations, reads) = steady_state(true);
    println!("TLS: {messages} messages, {reads} reads, {allocations} allocations");
    assert!(messages > 1_000, "{messages} messages");
    assert_eq!(allocations, 0, "over {messages} messages");
    assert!(reads <= messages, "one read brings whole messages: {reads} reads for {messages} messages");
}
