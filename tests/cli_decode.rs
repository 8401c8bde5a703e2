//! `wirebook decode` against the normalised events of other projects, and against what it must refuse.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // What is not there ends the test.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Decodes lines; the events of each line, and the whole outcome.
fn decode(venue: &str, lines: &[String]) -> (Vec<Vec<Value>>, Output) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wirebook"))
        .args(["decode", venue])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = lines.join("\n");
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let mut events = vec![Vec::new(); lines.len()];
    for line in String::from_utf8(output.stdout.clone()).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let number = event["line"].as_u64().unwrap() as usize;
        events[number - 1].push(event);
    }
    (events, output)
}

fn recordings() -> Option<PathBuf> {
    let shared = std::env::var_os("WIREBOOK_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let recordings = shared.join("recordings");
    if recordings.is_dir() {
        return Some(recordings);
    }
    println!("skipped: no recordings at {}", recordings.display());
    None
}

/// Best bid and ask, as tardis calls them.
fn same_quote(ours: &Value, expected: &Value) {
    for (our_name, name) in
        [("bid", "bidPrice"), ("bidVolume", "bidAmount"), ("ask", "askPrice"), ("askVolume", "askAmount")]
    {
        same(&ours[our_name], &expected[name], name);
    }
}

/// A book message, whole or not, level by level.
fn same_book(ours: &Value, expected: &Value) {
    assert_eq!((&ours["type"], &ours["snapshot"]), (&json!("book"), &expected["isSnapshot"]));
    for side in ["bids", "asks"] {
        let (ours, expected) = (ours[side].as_array().unwrap(), expected[side].as_array().unwrap());
        assert_eq!(ours.len(), expected.len());
        for (ours, expected) in ours.iter().zip(expected) {
            same(&ours[0], &expected["price"], "price");
            same(&ours[1], &expected["amount"], "amount");
        }
    }
}

/// The other projects keep numbers as doubles; ours are exact and have to round to the same ones.
fn same(ours: &Value, theirs: &Value, what: &str) {
    let ours: f64 = ours.as_str().unwrap_or_else(|| panic!("{what}: {ours}")).parse().unwrap();
    assert_eq!(Some(ours), theirs.as_f64(), "{what}");
}

/// `2019-04-01T00:00:00.940Z` as milliseconds since 1970.
fn ms_of_iso(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| -> i64 { text[range].parse().unwrap() };
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let months = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let years = if month > 2 { year } else { year - 1 };
    let days = (year - 1970) * 365 + leap_days(years) - leap_days(1969) + months[month as usize - 1] + day - 1;
    ((days * 24 + number(11..13)) * 60 + number(14..16)) * 60_000 + number(17..19) * 1_000 + number(20..23)
}

#[test]
fn every_message_of_tardis_gives_its_events() {
    let Some(recordings) = recordings() else { return };
    let text = std::fs::read_to_string(recordings.join("binance/tardis.jsonl")).unwrap();
    // The message as it was sent: neither numbers nor the order of members may change on the way.
    let raw: Vec<BTreeMap<String, Box<RawValue>>> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<String> = raw.iter().map(|row| row["in"].get().to_owned()).collect();
    let (events, output) = decode("binance", &lines);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut compared = 0;
    for (row, ours) in raw.iter().zip(&events) {
        let expected: Vec<Value> = serde_json::from_str(row["out"].get()).unwrap();
        let message: Value = serde_json::from_str(row["in"].get()).unwrap();
        let [ours] = &ours[..] else { panic!("{message}: {ours:?}") };
        let Some(expected) = expected.first() else {
            // A ticker, which tardis leaves alone.
            assert_eq!((&ours["type"], &ours["symbol"]), (&json!("ticker"), &json!("DOGEBNB")));
            same(&ours["last"], &json!(0.0001436), "last");
            continue;
        };
        assert_eq!(ours["symbol"], expected["symbol"]);
        compared += 1;
        match expected["type"].as_str().unwrap() {
            "trade" => {
                assert_eq!(ours["type"], "trade");
                assert_eq!((&ours["id"], &ours["side"]), (&expected["id"], &expected["side"]));
                same(&ours["price"], &expected["price"], "price");
                same(&ours["amount"], &expected["amount"], "amount");
                assert_eq!(ours["timestamp"].as_i64(), Some(ms_of_iso(expected["timestamp"].as_str().unwrap())));
            }
            "book_ticker" => {
                assert_eq!(ours["type"], "bidask");
                // tardis puts its own receive time where the venue gives none.
                assert!(ours.get("timestamp").is_none());
                same_quote(ours, expected);
            }
            "book_change" => same_book(ours, expected),
            other => panic!("{other} is not compared"),
        }
    }
    assert_eq!(compared, 4);
}

/// Values of crypto-msg-parser by path, such as `books[0].asks[1].quantity_base`.
#[test]
fn every_message_of_crypto_msg_parser_gives_its_values() {
    let Some(recordings) = recordings() else { return };
    let text = std::fs::read_to_string(recordings.join("binance/cmp.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<String> = rows.iter().map(|row| row["in"].as_str().unwrap().to_owned()).collect();
    let (events, output) = decode("binance", &lines);
    let mut compared = 0;
    for (at, (row, ours)) in rows.iter().zip(&events).enumerate() {
        if row["test"] == "binance.rs::ticker::option" {
            // A stream of the options market, which only has its sockets, not its topics, in common with spot: to take
            // it for a ticker of the spot market BTCUSDT would be wrong.
            assert!(ours.is_empty());
            let error =
                format!("wirebook: line {}: \"BTCUSDT@TICKER_ALL\" is no topic of binance that can be read\n", at + 1);
            assert!(String::from_utf8_lossy(&output.stderr).contains(&error));
            assert_eq!(output.status.code(), Some(1));
            continue;
        }
        let [ours] = &ours[..] else { panic!("{row}: {ours:?}") };
        if let Some(symbol) = row["parsed_symbol"].as_str() {
            assert_eq!(ours["symbol"], symbol);
        }
        for (path, expected) in row["expect"].as_object().unwrap() {
            compared += 1;
            let number = |name: &str| ours[name].as_str().unwrap().parse::<f64>().unwrap();
            let close = |ours: f64| {
                let theirs = expected.as_f64().unwrap();
                assert!((ours - theirs).abs() <= theirs.abs() * 1e-9, "{path}: {ours} {theirs}");
            };
            match path.as_str() {
                "symbol" | "candles[0].symbol" => assert_eq!(&ours["symbol"], expected, "{path}"),
                // The unified name: the venue's without the slash.
                "pair" | "candles[0].pair" => {
                    assert_eq!(ours["symbol"], expected.as_str().unwrap().replace('/', ""), "{path}");
                }
                "market_type" => assert_eq!(expected, "spot"),
                "msg_type" => assert_eq!((expected, &ours["type"]), (&json!("l2_topk"), &json!("book"))),
                "trades[0].quantity_base" => same(&ours["amount"], expected, path),
                "trades[0].quantity_quote" => close(number("amount") * number("price")),
                "trades[0].side" => assert_eq!(&ours["side"], expected, "{path}"),
                "books[0].snapshot" => assert_eq!(&ours["snapshot"], expected, "{path}"),
                "books[0].seq_id" => assert_eq!(ours["nonce"].as_u64(), expected.as_u64(), "{path}"),
                // The message has no time; theirs is the time at which it was received.
                "timestamp" => assert_eq!(ours.get("timestamp").unwrap_or(&Value::Null), expected, "{path}"),
                "books[0].timestamp" => assert_eq!(expected, &row["received_at"]),
                "candles.len" => assert_eq!(expected.as_u64(), Some(1)),
                "candles[0].timestamp" => assert_eq!(ours["updated"].as_u64(), expected.as_u64(), "{path}"),
                "candles[0].begin_time" => {
                    assert_eq!(ours["timestamp"].as_u64().unwrap() / 1_000, expected.as_u64().unwrap(), "{path}");
                }
                "candles[0].period" => assert_eq!(&ours["timeframe"], expected, "{path}"),
                "candles[0].quote_volume" => same(&ours["quoteVolume"], expected, path),
                // Spot trades in no contracts, and its books name no number before.
                _ if path.ends_with("quantity_contract") || path.ends_with("prev_seq_id") => {
                    assert!(expected.is_null())
                }
                _ if path.starts_with("candles[0].") => {
                    same(&ours[path.trim_start_matches("candles[0].")], expected, path)
                }
                _ if path.ends_with(".len") => {
                    let side = if path.contains("asks") { "asks" } else { "bids" };
                    assert_eq!(ours[side].as_array().unwrap().len() as u64, expected.as_u64().unwrap(), "{path}");
                }
                _ => {
                    // `books[0].asks[1].quantity_base`
                    let side = if path.contains("asks") { "asks" } else { "bids" };
                    let index: usize = path.split(['[', ']']).nth(3).unwrap().parse().unwrap();
                    let level = &ours[side][index];
                    let number = |at: usize| level[at].as_str().unwrap().parse::<f64>().unwrap();
                    match path.rsplit('.').next().unwrap() {
                        "price" => same(&level[0], expected, path),
                        "quantity_base" => same(&level[1], expected, path),
                        "quantity_quote" => close(number(0) * number(1)),
                        other => panic!("{other} is not compared"),
                    }
                }
            }
        }
    }
    assert!(compared > 40, "{compared}");
}

/// The events of tardis that we have too, in each message of a venue: how many were compared. Messages for which `skip`
/// says so are of another protocol, or of a channel that is not read.
fn against_tardis(venue: &str, skip: impl Fn(&Value) -> bool) -> usize {
    let Some(recordings) = recordings() else { return usize::MAX };
    let text = std::fs::read_to_string(recordings.join(venue).join("tardis.jsonl")).unwrap();
    let raw: Vec<BTreeMap<String, Box<RawValue>>> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let read =
        |row: &BTreeMap<String, Box<RawValue>>, name: &str| -> Value { serde_json::from_str(row[name].get()).unwrap() };
    let rows: Vec<_> = raw.iter().filter(|row| !skip(&read(row, "in"))).collect();
    let texts: Vec<&str> = rows.iter().map(|row| row["in"].get()).collect();
    let events = decode_named(venue, &texts);
    let mut compared = 0;
    for (row, ours) in rows.iter().zip(&events) {
        let expected = read(row, "out");
        // What is made of contracts beside their prices comes from messages before as well.
        let expected = expected.as_array().unwrap().iter().filter(|event| event["type"] != "derivative_ticker");
        let ours: Vec<&Value> = ours
            .iter()
            .filter(|event| ["trade", "book", "bidask", "ticker"].iter().any(|t| event["type"] == *t))
            .collect();
        let expected: Vec<&Value> = expected.collect();
        if expected.is_empty() && ours.iter().all(|event| event["type"] == "ticker") {
            continue;
        }
        assert_eq!(ours.len(), expected.len(), "{ours:?} {expected:?}");
        for (ours, expected) in ours.iter().zip(expected) {
            compared += 1;
            // tardis leaves out the letter in front that tells pairs from currencies.
            let symbol = ours["symbol"].as_str().unwrap();
            let symbol = if venue == "bitfinex" { symbol.strip_prefix('t').unwrap() } else { symbol };
            assert_eq!(symbol, expected["symbol"]);
            // tardis puts another time where the venue gives none.
            if let Some(ms) = ours.get("timestamp") {
                assert_eq!(ms.as_i64(), Some(ms_of_iso(expected["timestamp"].as_str().unwrap())));
            }
            match expected["type"].as_str().unwrap() {
                "trade" => {
                    assert_eq!(ours["side"], expected["side"]);
                    if let Some(id) = expected.get("id") {
                        assert_eq!(&ours["id"], id);
                    }
                    same(&ours["price"], &expected["price"], "price");
                    same(&ours["amount"], &expected["amount"], "amount");
                }
                // They take the amount of 25 levels for that of the best.
                "book_ticker" if venue == "bitfinex" => {
                    same(&ours["bid"], &expected["bidPrice"], "bid");
                    same(&ours["ask"], &expected["askPrice"], "ask");
                    assert_eq!((ours.get("bidVolume"), ours.get("askVolume")), (None, None));
                }
                "book_ticker" => same_quote(ours, expected),
                "book_change" => same_book(ours, expected),
                other => panic!("{other} is not compared"),
            }
        }
    }
    compared
}

/// The events of each message. Messages of bitfinex in which others wrote what channel they are of, at the end or in
/// place of its number, get that number and a confirmation that tells it.
fn decode_named(venue: &str, texts: &[&str]) -> Vec<Vec<Value>> {
    let (mut lines, mut own) = (Vec::new(), Vec::new());
    for (at, text) in texts.iter().enumerate() {
        let mut text = (*text).to_owned();
        let message: Value = serde_json::from_str(&text).unwrap();
        let mut names = json!(null);
        match (venue, message.as_array().map(Vec::as_slice)) {
            ("bitfinex", Some([first, ..])) if first.is_object() => {
                names = first.clone();
                names["chanId"] = (1_000_000 + at).into();
                let rest = text.find('}').unwrap() + 1;
                text = format!("[{}{}", names["chanId"], &text[rest..]);
            }
            ("bitfinex", Some([number, .., Value::String(channel), Value::String(symbol)])) => {
                names = json!({ "chanId": number, "channel": channel, "symbol": format!("t{symbol}") });
            }
            _ => {}
        }
        if names.is_object() {
            names["event"] = "subscribed".into();
            lines.push(names.to_string());
        }
        own.push(lines.len());
        lines.push(text);
    }
    let (mut events, output) = decode(venue, &lines);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    own.into_iter().map(|at| std::mem::take(&mut events[at])).collect()
}

#[test]
fn bitfinex_agrees_with_tardis() {
    // Of channels that are not read, or that are not named; past trades, which tardis leaves out.
    let skip = |message: &Value| {
        [6_957, 127_758, 12_778, 23_917, 23_928].iter().any(|number| message[0] == *number)
            || message[0] == 89 && message[1].is_array()
    };
    assert!(against_tardis("bitfinex", skip) >= 6);
}

#[test]
fn okex_agrees_with_tardis() {
    let known = ["trades", "books-l2-tbt", "tickers", "bbo-tbt"];
    let skip = |message: &Value| {
        // Until 2021 another protocol, with tables.
        message.get("table").is_some() || !known.iter().any(|name| message["arg"]["channel"] == *name)
    };
    assert!(against_tardis("okex", skip) >= 10);
}

#[test]
fn kraken_agrees_with_tardis() {
    assert!(against_tardis("kraken", |_| false) >= 7);
}

#[test]
fn coinbasepro_agrees_with_tardis() {
    assert!(against_tardis("coinbasepro", |_| false) >= 5);
}

/// The values of crypto-msg-parser, in each message of a venue: how many were compared.
fn against_crypto_msg_parser(venue: &str) -> usize {
    let Some(recordings) = recordings() else { return usize::MAX };
    let text = std::fs::read_to_string(recordings.join(venue).join("cmp.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_read = |row: &Value| {
        // REST answers, the protocol of okex until 2021, and channels that are not read.
        !["l2_snapshot", "l3_event", "funding_rate", "open_interest"].iter().any(|kind| row["msg_type"] == *kind)
            && !row["in"].as_str().unwrap().contains("\"table\"")
    };
    let rows: Vec<Value> = rows.filter(is_read).collect();
    let texts: Vec<&str> = rows.iter().map(|row| row["in"].as_str().unwrap()).collect();
    let events = decode_named(venue, &texts);
    let mut compared = 0;
    for (row, all) in rows.iter().zip(&events) {
        // Lists of past trades and candles of bitfinex come newest first, and are turned round.
        let ours = if venue == "bitfinex" { all.last() } else { all.first() }.unwrap_or_else(|| panic!("{row}"));
        assert_eq!(ours["symbol"], row["parsed_symbol"]);
        let is_spot = row["market_type"] == "spot";
        for (path, expected) in row["expect"].as_object().unwrap() {
            compared += 1;
            let last = path.rsplit('.').next().unwrap();
            let side = if path.contains("asks") { "asks" } else { "bids" };
            match (path.split(['[', '.']).next().unwrap(), last) {
                (_, "len") if path.starts_with("books") => {
                    assert_eq!(ours[side].as_array().unwrap().len() as u64, expected.as_u64().unwrap(), "{path}");
                }
                (_, "len") => assert_eq!(expected.as_u64(), Some(all.len() as u64), "{path}"),
                (_, "symbol") => assert_eq!(&ours["symbol"], expected, "{path}"),
                // They take the maker's side for the taker's there; cryptofeed and tardis do not.
                ("trades", "side") if venue == "coinbasepro" => assert_ne!(&ours["side"], expected, "{path}"),
                (_, "side" | "snapshot") => assert_eq!(&ours[last], expected, "{path}"),
                ("candles", "timestamp") if venue == "bitfinex" => {
                    assert_eq!(&ours["timestamp"], expected, "{path}");
                }
                ("candles", "timestamp") => {
                    // Where the venue gives no time, theirs is when the message was received.
                    let received = row.get("received_at").and_then(Value::as_u64);
                    assert_eq!(ours["updated"].as_u64().or(received), expected.as_u64(), "{path}");
                }
                ("candles", "begin_time") => {
                    assert_eq!(ours["timestamp"].as_u64().unwrap() / 1_000, expected.as_u64().unwrap(), "{path}");
                }
                ("candles", "open" | "high" | "low" | "close" | "volume") => same(&ours[last], expected, path),
                ("candles", "quote_volume") if venue == "okex" && is_spot => same(&ours["quoteVolume"], expected, path),
                ("trades" | "books" | "bbos", "timestamp") => {
                    let received = row.get("received_at").and_then(Value::as_u64);
                    assert_eq!(ours["timestamp"].as_u64().or(received), expected.as_u64(), "{path}");
                }
                ("trades" | "candles", "price") => same(&ours["price"], expected, path),
                ("books", "price") => same(&ours[side][index_of(path)][0], expected, path),
                ("bbos", "bid_price") => same(&ours["bid"], expected, path),
                ("bbos", "ask_price") => same(&ours["ask"], expected, path),
                // Contracts are what the venue sends; what they are worth they work out.
                (_, "quantity_contract") if expected.is_null() => assert!(is_spot, "{path}"),
                ("trades", "quantity_contract") => same(&ours["amount"], expected, path),
                ("books", "quantity_contract") => same(&ours[side][index_of(path)][1], expected, path),
                ("bbos", "bid_quantity_contract") => same(&ours["bidVolume"], expected, path),
                ("bbos", "ask_quantity_contract") => same(&ours["askVolume"], expected, path),
                ("trades", "quantity_base") if is_spot => same(&ours["amount"], expected, path),
                ("books", "quantity_base") if is_spot => same(&ours[side][index_of(path)][1], expected, path),
                (_, "seq_id" | "prev_seq_id" | "id") => assert!(expected.is_null(), "{path}"),
                _ => compared -= 1,
            }
        }
    }
    compared
}

/// The level that a path names: 1 in `books[0].asks[1].price`.
fn index_of(path: &str) -> usize {
    path.split(['[', ']']).nth(3).unwrap().parse().unwrap()
}

#[test]
fn okex_agrees_with_crypto_msg_parser() {
    let compared = against_crypto_msg_parser("okex");
    assert!(compared > 150, "{compared}");
}

#[test]
fn kraken_agrees_with_crypto_msg_parser() {
    let compared = against_crypto_msg_parser("kraken");
    assert!(compared > 15, "{compared}");
}

#[test]
fn coinbasepro_agrees_with_crypto_msg_parser() {
    let compared = against_crypto_msg_parser("coinbasepro");
    assert!(compared > 12, "{compared}");
}

#[test]
fn bitfinex_agrees_with_crypto_msg_parser() {
    let compared = against_crypto_msg_parser("bitfinex");
    assert!(compared > 40, "{compared}");
}

#[test]
fn numbers_stay_exact_and_finer_ones_are_taken() {
    let lines = [
        r#"{"e":"trade","E":2,"s":"ABCUSDT","t":1,"p":"1.5","q":"2","T":1,"m":true}"#,
        r#"{"e":"trade","E":2,"s":"ABCUSDT","t":2,"p":"0.123456789012345678","q":"9007199254740993","T":1,"m":false}"#,
        r#"{"stream":"abcusdt@depth","data":{"e":"depthUpdate","E":3,"s":"ABCUSDT","U":5,"u":7,"b":[["1.25","0.5"]],"a":[["1.5","0"]]}}"#,
        r#"{"t":1700000000.5,"conn":"ws.1","dir":"in","kind":"text","data":"{\"u\":9,\"s\":\"ABCUSDT\",\"b\":\"1\",\"B\":\"2\",\"a\":\"3\",\"A\":\"4\"}"}"#,
        r#"{"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker","E":4,"s":"ABCUSDT","c":"1","o":"2","h":"3","l":"1","v":"10","q":"20"},{"e":"24hrMiniTicker","E":4,"s":"XYZBTC","c":"5","o":"5","h":"5","l":"5","v":"0","q":"0"}]}"#,
        r#"{"result":null,"id":3}"#,
        r#"{"error":{"code":2,"msg":"Invalid request"},"id":4}"#,
        r#"{"e":"serverShutdown","E":1770123456789}"#,
    ];
    let (events, output) = decode("binance", &lines.map(str::to_owned));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = [
        vec![
            json!({"type": "trade", "symbol": "ABCUSDT", "id": "1", "timestamp": 1, "side": "sell", "price": "1.5", "amount": "2", "line": 1}),
        ],
        vec![
            json!({"type": "trade", "symbol": "ABCUSDT", "id": "2", "timestamp": 1, "side": "buy", "price": "0.123456789012345678", "amount": "9007199254740993", "line": 2}),
        ],
        vec![
            json!({"type": "book", "symbol": "ABCUSDT", "snapshot": false, "first": 5, "nonce": 7, "timestamp": 3, "bids": [["1.25", "0.5"]], "asks": [["1.5", "0"]], "line": 3}),
        ],
        vec![
            json!({"type": "bidask", "symbol": "ABCUSDT", "nonce": 9, "bid": "1", "bidVolume": "2", "ask": "3", "askVolume": "4", "line": 4}),
        ],
        vec![
            json!({"type": "ticker", "symbol": "ABCUSDT", "timestamp": 4, "last": "1", "close": "1", "open": "2", "high": "3", "low": "1", "baseVolume": "10", "quoteVolume": "20", "line": 5}),
            json!({"type": "ticker", "symbol": "XYZBTC", "timestamp": 4, "last": "5", "close": "5", "open": "5", "high": "5", "low": "5", "baseVolume": "0", "quoteVolume": "0", "line": 5}),
        ],
        vec![json!({"type": "ack", "id": 3, "line": 6})],
        vec![json!({"type": "refusal", "id": 4, "message": "Invalid request", "code": "2", "line": 7})],
        vec![json!({"type": "shutdown", "line": 8})],
    ];
    assert_eq!(events, expected);
}

#[test]
fn bad_lines_are_named_and_the_others_go_on() {
    let lines = [
        "",
        "junk",
        r#"{"e":"trade","s":"ABCUSDT","t":1,"p":"1.5","q":"2","T":1,"m":true}"#,
        r#"{"e":"trade","s":"ABCUSDT","t":1,"p":"1.5"}"#,
        r#"{"stream":"abcusdt@nothing","data":{}}"#,
    ];
    let (events, output) = decode("binance", &lines.map(str::to_owned));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(events.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1, 0, 0]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        errors.lines().collect::<Vec<_>>(),
        [
            "wirebook: line 2: unexpected JSON at byte 0",
            "wirebook: line 4: a member or element is missing or contradicts another at byte 0",
            "wirebook: line 5: \"abcusdt@nothing\" is no topic of binance that can be read",
            "wirebook: 3 lines could not be decoded, see above",
        ]
    );
}
