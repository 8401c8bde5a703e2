//! The engine on real sockets against the loopback venue: all channels, faults, wrong input, many feeds.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

#[allow(unreachable_pub, clippy::unwrap_used, dead_code)] // A module of tests: nothing else reaches it.
mod loopback;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use loopback::{Loopback, engine_config, is_true, sim};
use wirebook::model::{Event, FeedState, Health, Timeframe, Update};
use wirebook::{Engine, EngineConfig, ErrorKind, VenueConfig};

#[test]
fn every_channel_over_tls() {
    let mut run = Loopback::start(sim(3, ""), true, engine_config());
    let (engine, venue) = (&mut run.engine, run.venue);
    assert_eq!(engine.load_markets(venue).unwrap().len(), 3);
    let book = engine.watch_order_book(venue, "BTC/USDT", None).unwrap();
    let top = engine.watch_order_book(venue, "BTC/USDT", Some(5)).unwrap();
    let trades = engine.watch_trades(venue, "BTC/USDT").unwrap();
    let aggregates = engine.watch_agg_trades(venue, "BTC/USDT").unwrap();
    let ticker = engine.watch_ticker(venue, "BTC/USDT").unwrap();
    let tickers = engine.watch_tickers(venue, &[]).unwrap()[0];
    let quote = engine.watch_bids_asks(venue, &["BTC/USDT"]).unwrap()[0];
    let candles = engine.watch_ohlcv(venue, "BTC/USDT", Timeframe::S1).unwrap();
    let status = engine.watch_status(venue).unwrap();
    assert_eq!(engine.watch_trades(venue, "BTCUSDT").unwrap(), trades, "the same again is the same feed");
    let market = engine.markets(venue).resolve("BTC/USDT").unwrap().id;
    let done = run.run_until(20, |engine, _| {
        engine.book(book).unwrap().is_live()
            && engine.book(top).unwrap().is_live()
            && engine.trades(trades).unwrap().len() > 3
            && engine.trades(aggregates).unwrap().len() > 3
            && engine.ticker(ticker).unwrap().is_some()
            && engine.ticker_of(tickers, market).unwrap().is_some()
            && engine.bid_ask(quote).unwrap().is_some()
            && engine.candles(candles).unwrap().len() > 1
            && engine.status(venue).status == Health::Ok
    });
    assert!(done, "{:?}", run.engine);
    let engine = &run.engine;
    assert_eq!(is_true(engine.book(book).unwrap(), "BTCUSDT", &run.server), Some(true));
    let top = engine.book(top).unwrap();
    assert_eq!((top.bids().len(), top.asks().len()), (5, 5));
    let truth = run.server.truth_levels_at("BTCUSDT", top.nonce().unwrap()).unwrap();
    assert_eq!(top.bids().map(|level| (level.price, level.qty)).collect::<Vec<_>>(), truth.bids[..5]);
    // Trades are numbered without a hole, and each is the venue's.
    let ids: Vec<u64> = engine.trades(trades).unwrap().iter().map(|trade| trade.id.as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
    assert!(engine.candles(candles).unwrap().iter().rev().skip(1).all(|candle| candle.closed));
    assert_eq!(engine.state(status).unwrap().0, FeedState::Live);
    assert_eq!(run.server.counters().protocol_violations, 0);
}

/// Faults over real sockets, the shorter set: the long one runs under the virtual clock.
#[test]
fn faults_heal_and_no_wrong_book_is_shown() {
    for (tls, script) in [
        (true, "at 2s cut\nat 3s gap\nevery 700ms duplicate\nat 4s corrupt *@depth*"),
        (false, "at 1s split 5 for 3s\nat 2s reorder\nat 4s close 1008\nquiet after 5s"),
        (
            true,
            "at 1s glue 5 for 3s\nat 2s fragment for 2s\nat 3s silence BTCUSDT for 3s\nat 4s http 503 for 3 requests",
        ),
        (true, "at 2s shutdown after 500ms\nat 3s refuse for 1s\nat 4s stale for 2s\nat 4s cut"),
    ] {
        let mut run = Loopback::start(sim(3, script), tls, engine_config());
        run.engine.load_markets(run.venue).unwrap();
        let symbols = ["BTC/USDT", "ETH/USDT", "BNB/USDT"];
        let feeds = run.engine.watch_order_book_for_symbols(run.venue, &symbols, Some(100)).unwrap();
        let start = std::time::Instant::now();
        let mut compared = 0;
        run.run_until(9, |engine, server| {
            for (feed, symbol) in feeds.iter().zip(["BTCUSDT", "ETHUSDT", "BNBUSDT"]) {
                let book = engine.book(*feed).unwrap();
                if book.is_live() && engine.changed().contains(feed) {
                    assert_ne!(is_true(book, symbol, server), Some(false), "{script}: {symbol} at {:?}", book.nonce());
                    compared += 1;
                }
            }
            start.elapsed() > Duration::from_secs(8)
        });
        assert!(run.all_live(&feeds, 20), "{script}: {:?}", run.engine);
        assert!(compared > 50, "{script}: {compared} compared");
        assert!(run.server.counters().faults > 0, "{script}: the faults did happen");
    }
}

#[test]
fn two_hundred_symbols_come_and_go() {
    let mut config = engine_config();
    // With so many symbols some are quiet for long.
    config.core.stale_after_ms = None;
    let mut run = Loopback::start(sim(210, ""), true, config);
    run.engine.load_markets(run.venue).unwrap();
    let names: Vec<String> = run.engine.markets(run.venue).iter().map(|market| market.symbol.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let kept = run.engine.watch_order_book_for_symbols(run.venue, &names[..10], Some(100)).unwrap();
    assert!(run.all_live(&kept, 20), "{:?}", run.engine);
    let fell = Rc::new(RefCell::new(Vec::new()));
    for feed in &kept {
        let fell = Rc::clone(&fell);
        let note = move |update: &Update<'_>, _: &mut wirebook::Outbox| {
            if let Event::Book { book, .. } = update.event
                && !book.is_live()
            {
                fell.borrow_mut().push((update.feed, book.cause()));
            }
        };
        run.engine.on(*feed, note).unwrap();
    }
    for round in 0..2 {
        let more = run.engine.watch_order_book_for_symbols(run.venue, &names[10..210], Some(100)).unwrap();
        assert_eq!(more.len(), 200);
        assert!(run.all_live(&more, 60), "round {round}: {:?}", run.engine);
        for (feed, symbol) in more.iter().zip(&names[10..]) {
            let venue_symbol = symbol.replace('/', "");
            assert_eq!(is_true(run.engine.book(*feed).unwrap(), &venue_symbol, &run.server), Some(true), "{symbol}");
        }
        run.engine.unwatch_order_book_for_symbols(run.venue, &names[10..210]).unwrap();
        assert!(run.engine.book(more[0]).is_err(), "the handle is stale");
        // The venue hears of it too: nothing of the feeds comes any more.
        let quiet = run.run_until(30, |engine, _| engine.counters().feeds == 10 && engine.counters().links == 1);
        assert!(quiet, "{:?}", run.engine);
    }
    assert_eq!(*fell.borrow(), [], "the ten that stayed were not touched");
    let counters = run.server.counters();
    assert_eq!((counters.bans, counters.too_many, counters.too_many_messages), (0, 0, 0));
}

#[test]
fn wrong_input_gets_a_clear_answer() {
    let mut run = Loopback::start(sim(3, ""), true, engine_config());
    let error = run.engine.add_venue("binanse").unwrap_err().to_string();
    assert_eq!(
        error,
        "no venue \"binanse\"; there are binance, binanceus, binanceje, okex, okcoin, kraken, coinbasepro, bitfinex"
    );
    let error = run.engine.add_venue("binanceje").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ExchangeNotAvailable);
    let error =
        run.engine.add_venue_with("binance", VenueConfig::at("https://x", "https://x")).unwrap_err().to_string();
    assert_eq!(error, "https://x has to begin with wss:// or ws://");
    let with_path = VenueConfig::at("wss://x/stream", "https://x");
    let error = run.engine.add_venue_with("binance", with_path).unwrap_err().to_string();
    assert_eq!(error, "wss://x/stream has to end with host or port; the path /stream is ours to add");
    assert!(run.engine.add_venue_with("binance", VenueConfig::at("wss://x/", "https://x:1/")).is_ok());
    run.engine.load_markets(run.venue).unwrap();
    let venue = run.venue;
    let engine = &mut run.engine;
    let text =
        |result: Result<_, wirebook::Error>| result.map(|_: wirebook::model::FeedId| ()).unwrap_err().to_string();
    assert_eq!(
        text(engine.watch_order_book(venue, "BTC/USDTT", None)),
        "binance: BTC/USDTT: no such market; did you mean BTC/USDT?"
    );
    assert_eq!(
        text(engine.watch_order_book(venue, "BTC/USDT", Some(6_000))),
        "binance: a book has 1 to 5000 levels a side here, not 6000"
    );
    let before = engine.counters().feeds;
    let error = engine.watch_trades_for_symbols(venue, &["BTC/USDT", "NO/SUCH"]).unwrap_err();
    assert_eq!((error.kind(), engine.counters().feeds), (ErrorKind::BadSymbol, before), "all or none");
    let error = engine.watch_bids_asks(venue, &[]).unwrap_err().to_string();
    assert_eq!(error, "binance: has no stream of all bids and asks; name the symbols: each has a stream of its own");
    let feed = engine.watch_trades(venue, "BTC/USDT").unwrap();
    assert_eq!(engine.book(feed).unwrap_err().to_string(), "this feed has trades, no book");
    engine.unwatch(feed).unwrap();
    assert_eq!(engine.unwatch(feed).unwrap_err().kind(), ErrorKind::StaleHandle);
    assert_eq!(engine.unwatch_trades(venue, "BTC/USDT").unwrap_err().kind(), ErrorKind::BadRequest);
}

#[test]
fn a_refused_port_and_a_bad_certificate_are_named() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = engine_config();
    config.core.request_timeout_ms = 300;
    let mut engine = Engine::new(config.clone()).unwrap();
    let urls = VenueConfig::at(format!("ws://127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
    let venue = engine.add_venue_with("binance", urls).unwrap();
    let error = engine.load_markets(venue).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkError);
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{port}")) && error.to_string().contains("refused"),
        "{error}"
    );

    // The loopback venue's own authority is not among those that are trusted.
    let run = Loopback::start(sim(3, ""), true, EngineConfig::default());
    let mut engine = Engine::new(config).unwrap();
    let venue = engine.add_venue_with("binance", VenueConfig::at(run.server.ws_url(), run.server.rest_url())).unwrap();
    let error = engine.load_markets(venue).unwrap_err().to_string();
    let expected = "TLS: the certificate is not signed by a trusted authority; add the authority if a proxy or test \
                    server is meant";
    assert_eq!(error, expected);
}
