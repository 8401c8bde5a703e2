//! A soak: 20,000 messages a second over TLS, every book compared with the truth, memory watched.
//!
//! ```text
//! WIREBOOK_SOAK_S=600 cargo test --release --features sim --test soak -- --nocapture
//! ```
//!
//! Without the variable it runs for a few seconds, so that it is known to work.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

#[allow(unreachable_pub, dead_code)] // A module of tests: nothing else reaches it.
mod counting;
#[allow(unreachable_pub, clippy::unwrap_used, dead_code)]
mod loopback;

use std::time::{Duration, Instant};

use loopback::{Loopback, engine_config, is_true, sim};
use wirebook::book::Book;
use wirebook::model::{Event, Update};
use wirebook::sys::thread::resident_bytes;

const RATE: u32 = 20_000;
const SYMBOLS: usize = 20;

#[test]
fn memory_stays_and_books_are_true() {
    let seconds: u64 = std::env::var("WIREBOOK_SOAK_S").map_or(6, |text| text.parse().unwrap());
    let mut sim = sim(SYMBOLS, "");
    sim.levels = 100;
    sim.rate = Some(RATE);
    let mut config = engine_config();
    config.core.stale_after_ms = None;
    let mut run = Loopback::start(sim, true, config);
    run.engine.load_markets(run.venue).unwrap();
    let names: Vec<String> = run.engine.markets(run.venue).iter().map(|market| market.symbol.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let feeds = run.engine.watch_order_book_for_symbols(run.venue, &names, Some(500)).unwrap();
    assert!(run.all_live(&feeds, 30), "{:?}", run.engine);

    let (start, mut printed) = (Instant::now(), Instant::now());
    let (mut messages, mut compared, mut first) = (0u64, 0u64, None);
    let mut not_live = 0u64;
    while start.elapsed() < Duration::from_secs(seconds) {
        let mut handler = |update: &Update<'_>, _: &mut wirebook::Outbox| {
            if let Event::Book { book, .. } = update.event {
                not_live += u64::from(!book.is_live());
            }
        };
        // Sleeps when idle, so that the venue's thread has a core to itself.
        let work = run.engine.wait_with(Some(Duration::from_millis(10)), &mut handler).unwrap();
        messages += u64::from(work.messages);
        if printed.elapsed() >= Duration::from_secs((seconds / 20).max(1)) {
            printed = Instant::now();
            for (feed, name) in feeds.iter().zip(&names) {
                let book: &Book = run.engine.book(*feed).unwrap();
                // The venue's thread is ahead of us, and remembers the last few thousand numbers.
                if book.is_live()
                    && let Some(right) = is_true(book, &name.replace('/', ""), &run.server)
                {
                    assert!(right, "{name} at {:?}", book.nonce());
                    compared += 1;
                }
            }
            let now = (counting::live_bytes(), resident_bytes().unwrap_or(0));
            let first = *first.get_or_insert(now);
            println!(
                "{:5.0} s  {messages:9} messages  engine {:7} KiB ({:+} B)  process {:6} KiB ({:+} KiB)  {compared} books compared",
                start.elapsed().as_secs_f64(),
                now.0 / 1024,
                now.0 - first.0,
                now.1 / 1024,
                (now.1 as i64 - first.1 as i64) / 1024,
            );
        }
    }
    let (engine, _) = first.unwrap();
    let grown = counting::live_bytes() - engine;
    assert!(grown.abs() < 256 * 1024, "the engine's memory changed by {grown} bytes");
    assert!(compared > 0);
    let counters = run.engine.counters();
    assert_eq!((counters.gaps, counters.malformed, counters.reconnects, not_live), (0, 0, 0, 0), "{counters:?}");
    println!("{messages} messages in {seconds} s, {:?}", run.server.counters());
}
