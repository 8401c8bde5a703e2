//! The loopback Kraken, held against what the venue documents, and the engine against it: over real sockets, and under
//! the virtual clock.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

#[allow(unreachable_pub, clippy::unwrap_used, dead_code)] // Modules of tests: nothing else reaches them.
mod by_hand;
#[allow(unreachable_pub, clippy::unwrap_used, dead_code)]
mod loopback;
#[allow(unreachable_pub, dead_code)]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use by_hand::{MS, Run, SECOND, crc32, keys, parsed};
use loopback::{Loopback, engine_config, is_true, sim_of};
use serde_json::{Value, json};
use wirebook::book::BookState;
use wirebook::model::Timeframe;
use wirebook::sim::VenueKind;
use wirebook::sim::market::{Side, fingerprint_level};
use wirebook::sim::wire::Out;
use world::World;

const SYMBOLS: [&str; 3] = ["BTC/USD", "ETH/USD", "BNB/USD"];

fn run(script: &str) -> Run {
    let mut run = Run::new(VenueKind::Kraken, "/v2", script);
    let status = run.collect();
    assert_eq!(
        status,
        [
            r#"{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2","connection_id":6447481662169813001}]}"#
        ]
    );
    run
}

fn subscribe(params: Value) -> String {
    json!({"method": "subscribe", "params": params, "req_id": 7}).to_string()
}

fn book(depth: u64) -> String {
    subscribe(json!({"channel": "book", "symbol": ["BTC/USD"], "depth": depth}))
}

/// A book that follows the venue by its documented rules: rows in order, zero deletes, then cut to the depth.
struct Reference {
    depth: usize,
    scales: (u32, u32),
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    /// Rows that came with all their digits, with an exponent, and prices that came twice in a message.
    spellings: [u32; 3],
}

impl Reference {
    fn new(run: &Run, depth: usize) -> Reference {
        let symbol = run.venue.market().symbol(0);
        let scales = (u32::from(symbol.price_scale), u32::from(symbol.qty_scale));
        Reference { depth, scales, bids: BTreeMap::new(), asks: BTreeMap::new(), spellings: [0; 3] }
    }

    fn follow(&mut self, message: &Value) {
        if message["type"] == "snapshot" {
            self.bids.clear();
            self.asks.clear();
        }
        let row = &message["data"][0];
        for (key, levels) in [("bids", &mut self.bids), ("asks", &mut self.asks)] {
            let mut before = None;
            for level in row[key].as_array().unwrap() {
                // Numbers keep their text in these tests.
                let (price_text, qty_text) = (level["price"].to_string(), level["qty"].to_string());
                self.spellings[0] += u32::from(qty_text.ends_with('0') && !qty_text.ends_with(".0"));
                self.spellings[1] += u32::from(qty_text.contains('e'));
                let (price, qty) = (mantissa(&price_text, self.scales.0), mantissa(&qty_text, self.scales.1));
                self.spellings[2] += u32::from(before == Some(price));
                before = Some(price);
                if qty == 0 {
                    levels.remove(&price);
                } else {
                    levels.insert(price, qty);
                }
            }
        }
        while self.bids.len() > self.depth {
            self.bids.pop_first();
        }
        while self.asks.len() > self.depth {
            self.asks.pop_last();
        }
    }

    fn checksum(&self) -> u64 {
        let asks = self.asks.iter().take(10);
        let bids = self.bids.iter().rev().take(10);
        let digits: String = asks.chain(bids).map(|(price, qty)| format!("{price}{qty}")).collect();
        u64::from(crc32(digits.as_bytes()))
    }

    fn fingerprint(&self) -> u64 {
        let hash = |side: Side, levels: &BTreeMap<i64, i64>| {
            levels.iter().map(|(price, qty)| fingerprint_level(side, *price, *qty)).fold(0, u64::wrapping_add)
        };
        hash(Side::Bid, &self.bids).wrapping_add(hash(Side::Ask, &self.asks))
    }
}

/// `1.5e-05` or `12.50` at a scale.
fn mantissa(text: &str, scale: u32) -> i64 {
    let (number, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits: i64 = format!("{whole}{part}").parse().unwrap();
    let shift = i64::from(scale) + exponent.parse::<i64>().unwrap() - part.len() as i64;
    if shift >= 0 {
        digits * 10i64.pow(shift as u32)
    } else {
        let cut = 10i64.pow(-shift as u32);
        assert_eq!(digits % cut, 0, "{text} has too many digits");
        digits / cut
    }
}

#[test]
fn books_follow_the_truth_and_their_checksums_hold() {
    let mut run = run("");
    run.run(1_030 * MS);
    let texts = run.ask(&book(100));
    assert_eq!(texts.len(), 2);
    let acknowledged = parsed(&texts[0]);
    assert_eq!(acknowledged["result"], json!({"channel": "book", "depth": 100, "snapshot": true, "symbol": "BTC/USD"}));
    assert_eq!((&acknowledged["success"], &acknowledged["req_id"]), (&json!(true), &json!(7)));
    assert_eq!(keys(&acknowledged), "method req_id result success time_in time_out");
    let mut book = Reference::new(&run, 100);
    let mut texts = texts[1..].to_vec();
    texts.extend(run.run(20 * SECOND));
    let mut count = 0;
    for message in texts.iter().map(|text| parsed(text)).filter(|message| message["channel"] == "book") {
        book.follow(&message);
        let row = &message["data"][0];
        assert_eq!(keys(row), "asks bids checksum symbol timestamp");
        assert_eq!(row["checksum"].as_u64().unwrap(), book.checksum(), "{message}");
        assert!(run.venue.update_with("BTC/USD", book.fingerprint()).is_some(), "{message}");
        count += 1;
    }
    assert!(count > 250, "{count} messages in 20 s");
    assert!(book.spellings.iter().zip([50, 1, 5]).all(|(seen, least)| *seen >= least), "{:?}", book.spellings);
    let truth = run.venue.truth("BTC/USD").unwrap();
    assert_eq!(book.fingerprint(), truth.fingerprint());
}

#[test]
fn a_book_of_ten_levels_is_cut_by_the_client() {
    let mut run = run("");
    let mut texts = run.ask(&book(10));
    texts.extend(run.run(60 * SECOND));
    let mut book = Reference::new(&run, 10);
    for message in texts.iter().map(|text| parsed(text)).filter(|message| message["data"][0]["checksum"].is_u64()) {
        book.follow(&message);
        assert_eq!((book.bids.len(), book.asks.len()), (10, 10));
        assert_eq!(message["data"][0]["checksum"].as_u64().unwrap(), book.checksum(), "{message}");
    }
    let truth = run.venue.truth("BTC/USD").unwrap();
    assert_eq!(book.bids.into_iter().rev().collect::<Vec<_>>(), truth.bids[..10]);
    assert_eq!(book.asks.into_iter().collect::<Vec<_>>(), truth.asks[..10]);
}

#[test]
fn every_channel_has_its_members() {
    let mut run = run("");
    run.run(30 * SECOND);
    let first = |run: &mut Run, params: Value| {
        let texts = run.ask(&subscribe(params));
        assert_eq!(texts.len(), 2, "{texts:?}");
        let message = parsed(&texts[1]);
        assert_eq!(message["type"], "snapshot");
        message
    };
    let symbol = json!(["BTC/USD"]);
    let ticker = first(&mut run, json!({"channel": "ticker", "symbol": symbol}));
    let members = "ask ask_qty bid bid_qty change change_pct high last low symbol timestamp volume vwap";
    assert_eq!(keys(&ticker["data"][0]), members);
    let top = first(&mut run, json!({"channel": "ticker", "symbol": symbol, "event_trigger": "bbo"}));
    assert_eq!(keys(&top["data"][0]), members);
    let trades = first(&mut run, json!({"channel": "trade", "symbol": symbol, "snapshot": true}));
    assert_eq!(keys(&trades["data"][0]), "ord_type price qty side symbol timestamp trade_id");
    let candles = first(&mut run, json!({"channel": "ohlc", "symbol": symbol, "interval": 5}));
    assert_eq!(
        keys(&candles["data"][0]),
        "close high interval interval_begin low open symbol timestamp trades volume vwap"
    );
    assert_eq!(candles["data"][49]["interval_begin"], "2023-11-14T22:10:00.000000000Z");
    let instruments = first(&mut run, json!({"channel": "instrument"}));
    let pair = &instruments["data"]["pairs"][0];
    assert_eq!((pair["symbol"].as_str(), pair["price_precision"].as_u64()), (Some("BTC/USD"), Some(2)));
    assert_eq!((pair["qty_precision"].as_u64(), pair["qty_increment"].to_string().as_str()), (Some(8), "1e-08"));
    // Trades are numbered without a hole from the snapshot on.
    let mut ids: Vec<u64> = Vec::new();
    let mut rows = trades["data"].as_array().unwrap().clone();
    let texts = run.run(60 * SECOND);
    for message in texts.iter().map(|text| parsed(text)).filter(|message| message["channel"] == "trade") {
        rows.extend(message["data"].as_array().unwrap().iter().cloned());
    }
    ids.extend(rows.iter().map(|row| row["trade_id"].as_u64().unwrap()));
    assert!(ids.len() > 60 && ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
    // Without being asked for, the last trades are not told.
    let texts = run.ask(&subscribe(json!({"channel": "trade", "symbol": ["ETH/USD"]})));
    assert_eq!((texts.len(), parsed(&texts[0])["result"]["snapshot"].clone()), (1, json!(false)));
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut run = run("");
    for (text, error) in [
        ("nonsense".to_owned(), "Malformed request"),
        ("{\"method\":\"jump\",\"params\":{}}".to_owned(), "Malformed request"),
        ("{\"method\":\"subscribe\"}".to_owned(), "Malformed request"),
        (book(11), "Subscription depth not supported"),
        (subscribe(json!({"channel": "books", "symbol": ["BTC/USD"]})), "Subscription name invalid"),
        (subscribe(json!({"channel": "book"})), "EGeneral:Invalid arguments:symbol"),
        (
            subscribe(json!({"channel": "ohlc", "interval": 2, "symbol": ["BTC/USD"]})),
            "EGeneral:Invalid arguments:interval",
        ),
        (subscribe(json!({"channel": "executions", "token": "t"})), "ESession:Invalid session"),
        ("{\"method\":\"add_order\",\"params\":{\"token\":\"t\"}}".to_owned(), "ESession:Invalid session"),
    ] {
        let texts = run.ask(&text);
        assert_eq!(texts.len(), 1, "{text}");
        let answer = parsed(&texts[0]);
        assert_eq!((answer["error"].as_str(), &answer["success"]), (Some(error), &json!(false)), "{text}");
    }
    // Each symbol for itself.
    let texts = run.ask(&subscribe(json!({"channel": "trade", "symbol": ["FOO/BAR", "BTC/USD"]})));
    let (bad, good) = (parsed(&texts[0]), parsed(&texts[1]));
    assert_eq!(
        (bad["error"].as_str(), bad["symbol"].as_str()),
        (Some("Currency pair not supported FOO/BAR"), Some("FOO/BAR"))
    );
    assert_eq!(good["result"]["symbol"], "BTC/USD");
    let texts = run.ask(&subscribe(json!({"channel": "trade", "symbol": ["BTC/USD"]})));
    assert_eq!(parsed(&texts[0])["error"], "Already subscribed");
    let unsubscribe =
        json!({"method": "unsubscribe", "params": {"channel": "trade", "symbol": ["BTC/USD"]}, "req_id": 9});
    let texts = run.ask(&unsubscribe.to_string());
    assert_eq!(parsed(&texts[0])["result"], json!({"channel": "trade", "symbol": "BTC/USD"}));
    assert_eq!(run.venue.counters().bad_messages, 11);
}

#[test]
fn signs_of_life() {
    let mut run = run("");
    let pong = run.ask("{\"method\":\"ping\",\"req_id\":101}");
    assert_eq!(
        pong,
        [
            r#"{"method":"pong","req_id":101,"time_in":"2023-11-14T22:13:19.999980Z","time_out":"2023-11-14T22:13:20.000000Z"}"#
        ]
    );
    // Nothing is subscribed: no heartbeats, and after a minute the end.
    assert_eq!(run.run(59 * SECOND), Vec::<String>::new());
    assert_eq!(run.venue.connections(), 1);
    run.run(2 * SECOND);
    assert_eq!(run.venue.connections(), 0);
    assert!(matches!(&run.said[..], [Out::Close { .. }]), "{:?}", run.said);
    let mut run = self::run("");
    run.ask(&subscribe(json!({"channel": "status"})));
    let texts = run.run(10 * SECOND);
    assert_eq!(texts, vec![r#"{"channel":"heartbeat"}"#; 10]);
}

#[test]
fn rest_answers_and_errors() {
    let mut run = run("");
    run.run(30 * SECOND);
    let pairs = run.get("/0/public/AssetPairs");
    let row = &pairs["result"]["XXBTZUSD"];
    let part = |key: &str| row[key].as_str().unwrap().to_owned();
    assert_eq!(
        ["altname", "wsname", "base", "quote", "ordermin"].map(part),
        ["XBTUSD", "XBT/USD", "XXBT", "ZUSD", "0.00000001"]
    );
    assert!(pairs["result"]["BNBUSD"].is_object());
    for pair in ["XBTUSD", "XXBTZUSD", "BTC/USD"] {
        let depth = run.get(&format!("/0/public/Depth?pair={pair}&count=5"));
        assert_eq!(depth["result"]["XXBTZUSD"]["asks"].as_array().unwrap().len(), 5);
    }
    assert_eq!(keys(&run.get("/0/public/Ticker?pair=XBTUSD")["result"]["XXBTZUSD"]), "a b c h l o p t v");
    let candles = run.get("/0/public/OHLC?pair=XBTUSD&interval=60");
    assert_eq!(candles["result"]["XXBTZUSD"].as_array().unwrap().len(), 720);
    assert_eq!(candles["result"]["last"], 1_699_995_600);
    let trades = run.get("/0/public/Trades?pair=XBTUSD");
    assert_eq!(trades["result"]["XXBTZUSD"][0].as_array().unwrap().len(), 7);
    assert_eq!(run.get("/0/public/SystemStatus")["result"]["status"], "online");
    assert_eq!(run.get("/0/public/Depth?pair=NOSUCH")["error"], json!(["EQuery:Unknown asset pair"]));
    assert_eq!(run.get("/0/public/OHLC?pair=XBTUSD&interval=2")["error"], json!(["EGeneral:Invalid arguments"]));
    assert_eq!(run.venue.http(run.now, "GET", "/1/nothing", &[]).status, 404);
}

#[test]
fn a_hundred_and_fifty_connections_in_ten_minutes_are_the_most() {
    let mut run = run("");
    for _ in 1..150 {
        run.venue.connect(run.now, "/v2").unwrap();
    }
    assert_eq!(run.venue.connect(run.now, "/v2").unwrap_err().status, 429);
    assert!(run.venue.connect(run.now + 600 * SECOND, "/v2").is_ok());
}

#[test]
fn every_channel_over_tls() {
    let mut run = Loopback::start(sim_of(VenueKind::Kraken, 3, ""), true, engine_config());
    let (engine, venue) = (&mut run.engine, run.venue);
    assert_eq!(engine.load_markets(venue).unwrap().len(), 3);
    let book = engine.watch_order_book(venue, "BTC/USD", Some(100)).unwrap();
    let trades = engine.watch_trades(venue, "BTC/USD").unwrap();
    let ticker = engine.watch_ticker(venue, "BTC/USD").unwrap();
    let quote = engine.watch_bids_asks(venue, &["BTC/USD"]).unwrap()[0];
    let candles = engine.watch_ohlcv(venue, "BTC/USD", Timeframe::M1).unwrap();
    let done = run.run_until(20, |engine, _| {
        engine.book(book).unwrap().is_live()
            && engine.trades(trades).unwrap().len() > 3
            && engine.ticker(ticker).unwrap().is_some()
            && engine.bid_ask(quote).unwrap().is_some()
            && !engine.candles(candles).unwrap().is_empty()
    });
    assert!(done, "{:?}", run.engine);
    assert_eq!(is_true(run.engine.book(book).unwrap(), "BTC/USD", &run.server), Some(true));
    let ids: Vec<u64> = run.engine.trades(trades).unwrap().iter().map(|trade| trade.id.as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
    let counters = run.server.counters();
    assert_eq!((counters.protocol_violations, counters.bad_messages), (0, 0));
}

/// Over real sockets, the shorter set.
#[test]
fn faults_heal_over_sockets() {
    for (tls, script) in [
        (true, "at 1s gap book*\nat 2s bad-checksum\nat 3s cut"),
        (false, "at 1s split 5 for 2s\nat 2s reorder book*\nat 3s close 1008\nevery 700ms duplicate"),
    ] {
        let mut run = Loopback::start(sim_of(VenueKind::Kraken, 3, script), tls, engine_config());
        run.engine.load_markets(run.venue).unwrap();
        let feeds = run.engine.watch_order_book_for_symbols(run.venue, &SYMBOLS, Some(100)).unwrap();
        let start = std::time::Instant::now();
        let mut compared = 0;
        run.run_until(6, |engine, server| {
            for (feed, symbol) in feeds.iter().zip(SYMBOLS) {
                let book = engine.book(*feed).unwrap();
                if book.is_live() && engine.changed().contains(feed) {
                    assert_ne!(is_true(book, symbol, server), Some(false), "{script}: {symbol}");
                    compared += 1;
                }
            }
            start.elapsed() > Duration::from_secs(5)
        });
        assert!(run.all_live(&feeds, 20), "{script}: {:?}", run.engine);
        assert!(compared > 30, "{script}: {compared} compared");
        assert!(run.server.counters().faults > 0, "{script}: the faults did happen");
    }
}

#[test]
fn faults_under_the_virtual_clock() {
    // Script; how often each book fell; gaps and reconnects.
    for (script, expected, gaps, reconnects) in [
        ("", [0, 0, 0], 0, 0),
        // What comes twice changes nothing.
        ("every 1s duplicate", [0, 0, 0], 0, 0),
        ("at 6s bad-checksum BNB/USD", [0, 0, 1], 1, 0),
        ("at 6s gap book-*:BTC/USD", [1, 0, 0], 1, 0),
        ("at 6s corrupt book-*:BTC/USD", [1, 0, 0], 0, 0),
        ("at 6s cut", [1, 1, 1], 0, 1),
        ("at 6s close 1008", [1, 1, 1], 0, 1),
        ("at 5s split 3 for 8s\nat 5s glue 6 for 8s\nat 5s fragment for 8s", [0, 0, 0], 0, 0),
    ] {
        let (mut world, books) = World::with_books(VenueKind::Kraken, &SYMBOLS, script);
        world.run_until(20 * SECOND);
        assert_eq!(world.seen.wrong, Vec::<String>::new(), "{script}");
        assert_eq!(world.behind(3 * SECOND), Vec::<String>::new(), "{script}");
        assert!(world.all_live(), "{script}: {:?}", world.core);
        let counters = world.core.counters();
        assert_eq!(
            (world.fell(&books), counters.gaps, counters.reconnects),
            (expected.to_vec(), gaps, reconnects),
            "{script}"
        );
        assert!(world.seen.compared > 300 && world.seen.trades > 10, "{script}: {:?}", world.seen);
        assert_eq!(world.host.venue().counters().bad_messages, 0, "{script}");
    }
}

#[test]
fn a_silent_book_is_stale_and_the_others_go_on() {
    let (mut world, books) = World::with_books(VenueKind::Kraken, &SYMBOLS, "at 6s silence book-*:BTC/USD for 8s");
    world.run_until(10 * SECOND);
    let states: Vec<BookState> = books.iter().map(|feed| world.core.book(*feed).unwrap().state()).collect();
    assert_eq!(states, [BookState::Stale, BookState::Live, BookState::Live]);
    world.run_until(25 * SECOND);
    assert!(world.all_live(), "{:?}", world.core);
    assert_eq!(world.seen.wrong, Vec::<String>::new());
}
