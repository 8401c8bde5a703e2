//! The loopback OKX, held against what the venue documents, and the engine against it: over real sockets, and under the
//! virtual clock.
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

use by_hand::{MS, Run, SECOND, START, crc32, keys, parsed};
use loopback::{Loopback, engine_config, is_true, sim_of};
use serde_json::{Value, json};
use wirebook::book::BookState;
use wirebook::model::Timeframe;
use wirebook::sim::market::{Side, fingerprint_level};
use wirebook::sim::venue::Venue;
use wirebook::sim::wire::Out;
use wirebook::sim::{Config, VenueKind};
use world::World;

fn spoken(path: &str, script: &str) -> Run {
    Run::new(VenueKind::Okex, path, script)
}

fn subscribe(channel: &str) -> String {
    json!({"op": "subscribe", "args": [{"channel": channel, "instId": "BTC-USDT"}]}).to_string()
}

/// A book that follows the venue by its documented rules and nothing else: texts, not numbers.
#[derive(Default)]
struct Reference {
    bids: BTreeMap<i64, (String, String)>,
    asks: BTreeMap<i64, (String, String)>,
    seq: i64,
}

impl Reference {
    fn follow(&mut self, message: &Value, price_scale: u32) {
        let row = &message["data"][0];
        let before = row["prevSeqId"].as_i64().unwrap();
        if message["action"] == "snapshot" {
            *self = Reference::default();
            assert_eq!(before, -1);
        } else {
            assert_eq!(before, self.seq, "{message}");
        }
        self.seq = row["seqId"].as_i64().unwrap();
        for (key, levels) in [("bids", &mut self.bids), ("asks", &mut self.asks)] {
            for level in row[key].as_array().unwrap() {
                let (price, size) = (level[0].as_str().unwrap(), level[1].as_str().unwrap());
                assert_eq!(level[2], "0");
                let number = mantissa(price, price_scale);
                if size == "0" {
                    assert_eq!(level[3], "0");
                    levels.remove(&number);
                } else {
                    levels.insert(number, (price.to_owned(), size.to_owned()));
                }
            }
        }
    }

    /// The documented digest: rank by rank, bids first.
    fn checksum(&self) -> i64 {
        let (mut bids, mut asks) = (self.bids.values().rev(), self.asks.values());
        let mut parts = Vec::new();
        for _ in 0..25 {
            for level in [bids.next(), asks.next()].into_iter().flatten() {
                parts.push(format!("{}:{}", level.0, level.1));
            }
        }
        i64::from(crc32(parts.join(":").as_bytes()) as i32)
    }

    fn fingerprint(&self, price_scale: u32, qty_scale: u32) -> u64 {
        let hash = |side: Side, levels: &BTreeMap<i64, (String, String)>| {
            let of = |level: &(String, String)| {
                fingerprint_level(side, mantissa(&level.0, price_scale), mantissa(&level.1, qty_scale))
            };
            levels.values().map(of).fold(0, u64::wrapping_add)
        };
        hash(Side::Bid, &self.bids).wrapping_add(hash(Side::Ask, &self.asks))
    }
}

fn mantissa(text: &str, scale: u32) -> i64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    assert!(!part.ends_with('0') && part.len() <= scale as usize, "{text} is not the shortest form");
    format!("{whole}{part:0<width$}", width = scale as usize).parse().unwrap()
}

#[test]
fn books_chain_and_their_checksums_hold() {
    let mut run = spoken("/ws/v5/public", "");
    run.run(1_030 * MS);
    let texts = run.ask(&subscribe("books"));
    assert_eq!(texts[0], r#"{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"00000001"}"#);
    let mut book = Reference::default();
    let symbol = run.venue.market().symbol(0).clone();
    let scales = (u32::from(symbol.price_scale), u32::from(symbol.qty_scale));
    let mut messages: Vec<Value> = texts[1..].iter().map(|text| parsed(text)).collect();
    assert_eq!((messages.len(), messages[0]["action"].as_str()), (1, Some("snapshot")));
    messages.extend(run.run(20 * SECOND).iter().map(|text| parsed(text)));
    assert!((150..=201).contains(&messages.len()), "{} messages in 20 s", messages.len());
    for message in &messages {
        assert_eq!(message["arg"], json!({"channel": "books", "instId": "BTC-USDT"}));
        book.follow(message, scales.0);
        assert_eq!(message["data"][0]["checksum"].as_i64().unwrap(), book.checksum(), "{message}");
        let truth = run.venue.truth_at("BTC-USDT", book.seq as u64).unwrap();
        assert_eq!(book.fingerprint(scales.0, scales.1), truth);
    }
}

#[test]
fn a_deep_book_is_cut_at_four_hundred_levels() {
    let mut config = Config::new(VenueKind::Okex).with_symbols(1);
    config.levels = 1_000;
    config.updates_per_s = 200;
    let mut venue = Venue::new(&config, START);
    let conn = venue.connect(START, "/ws/v5/public").unwrap();
    venue.text(START, conn, &subscribe("books"));
    venue.advance(START + 10 * SECOND);
    let mut book = Reference::default();
    let mut seen = 0;
    while let Some((_, out)) = venue.pop() {
        let Out::Text(text) = out else { continue };
        let message = parsed(&text);
        if message.get("data").is_some() {
            book.follow(&message, 2);
            assert_eq!((book.bids.len(), book.asks.len()), (400, 400));
            assert_eq!(message["data"][0]["checksum"].as_i64().unwrap(), book.checksum());
            seen += 1;
        }
    }
    assert!(seen > 90, "{seen}");
}

#[test]
fn a_quiet_book_says_that_it_is_there() {
    // One book a second, each in its turn: a hundred seconds pass between two of the same.
    let mut config = Config::new(VenueKind::Okex).with_symbols(100);
    config.rate = Some(1);
    config.levels = 20;
    let mut venue = Venue::new(&config, START);
    let conn = venue.connect(START, "/ws/v5/public").unwrap();
    for index in 0..100 {
        let name = venue.market().symbol(index).name.clone();
        venue.text(START, conn, &subscribe("books").replace("BTC-USDT", &name));
    }
    let (mut idle, mut book) = (0, Reference::default());
    for second in 1..=400 {
        venue.advance(START + second * SECOND);
        while let Some((_, out)) = venue.pop() {
            let Out::Text(text) = out else { panic!("{out:?}") };
            let message = parsed(&text);
            if message["arg"]["instId"] != "BTC-USDT" || message["data"].is_null() {
                continue;
            }
            let row = &message["data"][0];
            if row["asks"] == json!([]) && row["bids"] == json!([]) {
                assert_eq!((row["seqId"].as_i64(), row["prevSeqId"].as_i64()), (Some(book.seq), Some(book.seq)));
                idle += 1;
            }
            book.follow(&message, 2);
            assert_eq!(row["checksum"].as_i64().unwrap(), book.checksum());
        }
    }
    assert_eq!(idle, 4, "one in each of the four pauses");
}

#[test]
fn every_channel_has_its_members() {
    let mut run = spoken("/ws/v5/public", "");
    run.run(5_000 * MS);
    let first = |run: &mut Run, channel: &str| {
        let texts = run.ask(&subscribe(channel));
        assert_eq!(texts.len(), 2, "{channel}: {texts:?}");
        parsed(&texts[1])
    };
    let books5 = first(&mut run, "books5");
    assert_eq!(keys(&books5["data"][0]), "asks bids instId seqId ts");
    assert_eq!(books5["data"][0]["asks"].as_array().unwrap().len(), 5);
    let best = first(&mut run, "bbo-tbt");
    assert_eq!(keys(&best["data"][0]), "asks bids seqId ts");
    assert_eq!(best["data"][0]["bids"].as_array().unwrap().len(), 1);
    let trade = first(&mut run, "trades");
    assert_eq!(keys(&trade["data"][0]), "count instId px seqId side source sz tradeId ts");
    let ticker = first(&mut run, "tickers");
    assert_eq!(
        keys(&ticker["data"][0]),
        "askPx askSz bidPx bidSz high24h instId instType last lastSz low24h open24h sodUtc0 sodUtc8 ts vol24h volCcy24h"
    );
    let texts = run.ask(r#"{"id":"a1","op":"subscribe","args":[{"channel":"instruments","instType":"SPOT"}]}"#);
    assert_eq!(
        texts[0],
        r#"{"id":"a1","event":"subscribe","arg":{"channel":"instruments","instType":"SPOT"},"connId":"00000001"}"#
    );
    let row = parsed(&texts[1])["data"][0].clone();
    assert_eq!((row["tickSz"].as_str(), row["lotSz"].as_str()), (Some("0.01"), Some("0.00001")));
    assert_eq!((row["instId"].as_str(), row["instIdCode"].as_i64()), (Some("BTC-USDT"), Some(10_000)));
    // News of each; best prices come every 10 ms at most, books of five every 100 ms.
    let texts = run.run(10 * SECOND);
    let count = |channel: &str| {
        texts.iter().filter(|text| text.starts_with(&format!("{{\"arg\":{{\"channel\":\"{channel}\""))).count()
    };
    assert!(count("bbo-tbt") > count("books5") && count("books5") > 20 && count("tickers") > 20, "{}", texts.len());
    assert!(count("trades") > 5);

    let mut run = spoken("/ws/v5/business", "");
    run.run(5_000 * MS);
    let texts = run.ask(&subscribe("candle1m"));
    assert_eq!(parsed(&texts[1])["data"][0].as_array().unwrap().len(), 9);
    let texts = run.run(60 * SECOND);
    let rows: Vec<Value> = texts.iter().map(|text| parsed(text)["data"][0].clone()).collect();
    let closed: Vec<&Value> = rows.iter().filter(|row| row[8] == "1").collect();
    assert_eq!(closed.len(), 1);
    let times: Vec<&str> = rows.iter().map(|row| row[0].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let texts = run.ask(&subscribe("trades-all"));
    assert_eq!(keys(&parsed(&texts[1])["data"][0]), "instId px side source sz tradeId ts");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut run = spoken("/ws/v5/public", "");
    for (text, code, part) in [
        ("nonsense", "60012", "Illegal request: nonsense"),
        ("{\"op\":\"jump\"}", "60012", "Illegal request: {\"op\":\"jump\"}"),
        ("{\"op\":\"subscribe\"}", "60013", "Invalid args"),
        ("{\"op\":\"subscribe\",\"args\":[]}", "60013", "Invalid args"),
        ("{\"op\":\"login\",\"args\":[{\"apiKey\":\"k\"}]}", "60009", "Login failed."),
        (&subscribe("candle1m"), "60018", "channel:candle1m,instId:BTC-USDT doesn't exist"),
        (&subscribe("nothing"), "60018", "channel:nothing,instId:BTC-USDT"),
        (&subscribe("books").replace("BTC", "CBT"), "60018", "instId:CBT-USDT"),
        (&subscribe("books-l2-tbt"), "60011", "Please log in"),
    ] {
        let texts = run.ask(text);
        assert_eq!(texts.len(), 1, "{text}");
        let error = parsed(&texts[0]);
        assert_eq!((error["event"].as_str(), error["code"].as_str()), (Some("error"), Some(code)), "{text}");
        assert!(error["msg"].as_str().unwrap().contains(part), "{error}");
    }
    assert_eq!(run.venue.counters().bad_messages, 9);
    assert_eq!(run.ask("ping"), ["pong"]);
    // What was refused does not end the connection, and does not keep the rest of the request from being heard.
    assert_eq!(run.ask(&subscribe("books")).len(), 2);
    let texts = run.ask(&subscribe("books").replace("subscribe", "unsubscribe"));
    assert_eq!(
        texts[0],
        r#"{"event":"unsubscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"00000001"}"#
    );
    assert_eq!(run.run(SECOND), Vec::<String>::new());
    // Asked again, it begins again.
    assert_eq!(run.ask(&subscribe("books")).len(), 2);
}

#[test]
fn limits_are_those_of_the_venue() {
    let mut run = spoken("/ws/v5/public", "");
    for _ in 0..480 {
        let texts = run.ask("{\"op\":\"login\",\"args\":[]}");
        assert!(texts[0].contains("60009"));
    }
    assert!(run.ask(&subscribe("books"))[0].contains("60014"));
    for _ in 0..2 {
        assert!(run.venue.connect(run.now, "/ws/v5/public").is_ok());
    }
    assert_eq!(run.venue.connect(run.now, "/ws/v5/public").unwrap_err().status, 429);
    assert_eq!(run.venue.counters().connects_refused, 1);
    for _ in 0..20 {
        run.get("/api/v5/public/time");
    }
    let reply = run.venue.http(run.now, "GET", "/api/v5/public/time", &[]);
    assert_eq!((reply.status, reply.body.as_str()), (429, r#"{"code":"50011","msg":"Too Many Requests","data":[]}"#));
    run.get("/api/v5/public/instruments?instType=SPOT");
    run.now += 2 * SECOND;
    run.get("/api/v5/public/time");
}

#[test]
fn a_silent_connection_is_closed_after_half_a_minute() {
    let mut run = spoken("/ws/v5/public", "");
    run.run(20 * SECOND);
    assert_eq!(run.ask("ping"), ["pong"]);
    run.run(29 * SECOND);
    assert_eq!(run.venue.connections(), 1);
    run.run(2 * SECOND);
    assert_eq!(run.venue.connections(), 0);
    assert!(matches!(&run.said[..], [Out::Close { code: 4004, .. }]), "{:?}", run.said);
}

#[test]
fn rest_answers_and_errors() {
    let mut run = spoken("/ws/v5/public", "");
    run.run(10 * SECOND);
    assert_eq!(run.get("/api/v5/public/time")["data"][0]["ts"], "1700000010000");
    let rows = run.get("/api/v5/public/instruments?instType=SPOT");
    assert_eq!(rows["data"].as_array().unwrap().len(), 3);
    let swap = &run.get("/api/v5/public/instruments?instType=SWAP")["data"][0];
    let part = |key: &str| swap[key].as_str().unwrap().to_owned();
    assert_eq!(
        ["instId", "uly", "settleCcy", "ctVal", "lotSz"].map(part),
        ["BTC-USDT-SWAP", "BTC-USDT", "USDT", "0.01", "0.01"]
    );
    assert_eq!(run.get("/api/v5/public/instruments?instType=OPTION&uly=BTC-USD")["data"], json!([]));
    let book = run.get("/api/v5/market/books?instId=ETH-USDT&sz=10");
    assert_eq!(book["data"][0]["bids"].as_array().unwrap().len(), 10);
    assert_eq!(run.get("/api/v5/market/tickers?instType=SPOT")["data"].as_array().unwrap().len(), 3);
    let trades = run.get("/api/v5/market/trades?instId=BTC-USDT&limit=3");
    let ids: Vec<u64> = trades["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["tradeId"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(ids.len() == 3 && ids[0] > ids[1] && ids[1] > ids[2], "{ids:?}");
    let candles = run.get("/api/v5/market/candles?instId=BTC-USDT&bar=1H&limit=3");
    let opens: Vec<&str> = candles["data"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(opens, ["1699999200000", "1699995600000", "1699992000000"]);
    let older = run.get("/api/v5/market/candles?instId=BTC-USDT&bar=1H&limit=1&after=1699995600000");
    assert_eq!(older["data"][0], candles["data"][2]);
    for (target, code) in [
        ("/api/v5/market/books?instId=NO-SUCH", "51001"),
        ("/api/v5/market/books", "50014"),
        ("/api/v5/market/books?instId=BTC-USDT&sz=x", "51000"),
        ("/api/v5/market/candles?instId=BTC-USDT&bar=7m", "51000"),
    ] {
        assert_eq!(run.get(target)["code"], code, "{target}");
    }
    assert_eq!(run.venue.http(run.now, "GET", "/api/v5/nothing", &[]).status, 404);
}

#[test]
fn a_bad_checksum_is_told_on_request() {
    let mut run = spoken("/ws/v5/public", "at 2s bad-checksum BTC-USDT");
    let mut book = Reference::default();
    let mut texts = run.ask(&subscribe("books"));
    texts.extend(run.run(5 * SECOND));
    let mut wrong = 0;
    for message in texts.iter().skip(1).map(|text| parsed(text)) {
        book.follow(&message, 2);
        wrong += u32::from(message["data"][0]["checksum"].as_i64() != Some(book.checksum()));
    }
    assert_eq!((wrong, run.venue.counters().faults), (1, 1));
}

#[test]
fn every_channel_over_tls() {
    let mut run = Loopback::start(sim_of(VenueKind::Okex, 3, ""), true, engine_config());
    let (engine, venue) = (&mut run.engine, run.venue);
    assert_eq!(engine.load_markets(venue).unwrap().len(), 5);
    let book = engine.watch_order_book(venue, "BTC/USDT", None).unwrap();
    let trades = engine.watch_trades(venue, "BTC/USDT").unwrap();
    let ticker = engine.watch_ticker(venue, "BTC/USDT").unwrap();
    let quote = engine.watch_bids_asks(venue, &["BTC/USDT"]).unwrap()[0];
    let candles = engine.watch_ohlcv(venue, "BTC/USDT", Timeframe::M1).unwrap();
    let done = run.run_until(20, |engine, _| {
        engine.book(book).unwrap().is_live()
            && engine.trades(trades).unwrap().len() > 3
            && engine.ticker(ticker).unwrap().is_some()
            && engine.bid_ask(quote).unwrap().is_some()
            && !engine.candles(candles).unwrap().is_empty()
    });
    assert!(done, "{:?}", run.engine);
    assert_eq!(is_true(run.engine.book(book).unwrap(), "BTC-USDT", &run.server), Some(true));
    let ids: Vec<u64> = run.engine.trades(trades).unwrap().iter().map(|trade| trade.id.as_u64().unwrap()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(run.server.counters().protocol_violations, 0);
    assert_eq!(run.server.counters().bad_messages, 0);
}

/// Over real sockets, the shorter set.
#[test]
fn faults_heal_over_sockets() {
    for (tls, script) in [
        (true, "at 1s gap books*\nat 2s bad-checksum\nat 3s cut"),
        (false, "at 1s split 5 for 2s\nat 2s reorder books*\nat 3s close 1008\nevery 700ms duplicate"),
    ] {
        let mut run = Loopback::start(sim_of(VenueKind::Okex, 3, script), tls, engine_config());
        run.engine.load_markets(run.venue).unwrap();
        let names = ["BTC/USDT", "ETH/USDT", "BNB/USDT"];
        let feeds = run.engine.watch_order_book_for_symbols(run.venue, &names, None).unwrap();
        let start = std::time::Instant::now();
        let mut compared = 0;
        run.run_until(6, |engine, server| {
            for (feed, symbol) in feeds.iter().zip(["BTC-USDT", "ETH-USDT", "BNB-USDT"]) {
                let book = engine.book(*feed).unwrap();
                if book.is_live() && engine.changed().contains(feed) {
                    assert_ne!(is_true(book, symbol, server), Some(false), "{script}: {symbol} at {:?}", book.nonce());
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

const SYMBOLS: [&str; 3] = ["BTC-USDT", "ETH-USDT", "BNB-USDT"];

#[test]
fn faults_under_the_virtual_clock() {
    // Script; how often each book fell; gaps and reconnects.
    for (script, expected, gaps, reconnects) in [
        ("", [0, 0, 0], 0, 0),
        // The chain is the only rule: what comes twice does not follow itself.
        ("at 6s duplicate books:BTC-USDT", [1, 0, 0], 1, 0),
        ("every 1s duplicate trades:BTC-USDT", [0, 0, 0], 0, 0),
        ("at 6s gap books:BTC-USDT", [1, 0, 0], 1, 0),
        ("at 6s reorder books:ETH-USDT", [0, 1, 0], 1, 0),
        ("at 6s bad-checksum BNB-USDT", [0, 0, 1], 1, 0),
        ("at 6s corrupt books:BTC-USDT", [1, 0, 0], 0, 0),
        ("at 6s cut", [1, 1, 1], 0, 1),
        ("at 6s close 1008", [1, 1, 1], 0, 1),
        ("at 6s shutdown after 2s", [1, 1, 1], 0, 1),
        ("at 5s split 3 for 8s\nat 5s glue 6 for 8s\nat 5s fragment for 8s", [0, 0, 0], 0, 0),
    ] {
        let (mut world, books) = World::with_books(VenueKind::Okex, &SYMBOLS, script);
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
    let (mut world, books) = World::with_books(VenueKind::Okex, &SYMBOLS, "at 6s silence books:BTC-USDT for 8s");
    world.run_until(10 * SECOND);
    let states: Vec<BookState> = books.iter().map(|feed| world.core.book(*feed).unwrap().state()).collect();
    assert_eq!(states, [BookState::Stale, BookState::Live, BookState::Live]);
    world.run_until(25 * SECOND);
    assert!(world.all_live(), "{:?}", world.core);
    assert_eq!(world.seen.wrong, Vec::<String>::new());
}
