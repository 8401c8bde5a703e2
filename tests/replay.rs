//! `wirebook replay` against expected values: those of a recording written by hand here, and those that another project
//! worked out from real recordings.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // What is not there ends the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn wirebook(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wirebook")).args(arguments).output().unwrap()
}

fn replay(venue: &str, path: &Path) -> Value {
    let output = wirebook(&["replay", "--json", "--venue", venue, path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Where recordings of real venues are, if they are here.
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

/// Every member that the other project asserts has to be there and equal.
fn compare(expected: &Value, ours: &Value, path: &str, compared: &mut usize) {
    match expected {
        Value::Object(members) => {
            for (name, value) in members {
                compare(value, &ours[name.as_str()], &format!("{path}.{name}"), compared);
            }
        }
        // What the other project does not read, we may.
        Value::Null if path.ends_with(".l2_book.ts") => {}
        // A candle ends with its last millisecond; of some venues they end it with the first of the next.
        Value::Number(number) if path.ends_with(".stop") => {
            *compared += 1;
            let ahead_ms = (number.as_f64().unwrap() - ours.as_f64().unwrap()) * 1000.0;
            assert!([0, 1].contains(&(ahead_ms.round() as i64)), "{path}: {ours} is not {number}");
        }
        // Times: the nearest double is all that either side can write.
        Value::Number(number) => {
            *compared += 1;
            assert_eq!(number.as_f64(), ours.as_f64(), "{path}");
        }
        value => {
            *compared += 1;
            assert_eq!(value, ours, "{path}");
        }
    }
}

/// The recording of a venue; how many members were compared.
fn against_expected(recordings: &Path, folder: &str, venue: &str) -> usize {
    let folder = recordings.join(folder);
    let text = std::fs::read(folder.join("expected.cryptofeed.json")).unwrap();
    let expected: Value = serde_json::from_slice(&text).unwrap();
    let ours = replay(venue, &folder);
    let mut compared = 0;
    for (name, connection) in expected["connections"].as_object().unwrap() {
        let our_connection = &ours["connections"][name];
        assert_eq!(connection["frames"].as_u64(), our_connection["frames"].as_u64());
        assert_eq!(our_connection["unrouted"].as_u64(), Some(0));
        let symbols = connection["symbols"].as_object().unwrap();
        assert_eq!(symbols.len(), our_connection["symbols"].as_object().unwrap().len());
        for symbol in symbols.values() {
            let id = symbol["id"].as_str().unwrap();
            let our_symbol = &our_connection["symbols"][id];
            // Not more either: each kind of data that came is expected.
            assert_eq!(
                symbol.as_object().unwrap().keys().collect::<Vec<_>>(),
                our_symbol.as_object().unwrap().keys().collect::<Vec<_>>(),
                "{id}"
            );
            let mut symbol = symbol.clone();
            // Their lists of past trades are as they came, newest first; ours are turned round.
            if let ("bitfinex", Some(trades)) = (venue, symbol["trades"].as_object_mut()) {
                let (first, last) = (trades["first"].take(), trades["last"].take());
                (trades["first"], trades["last"]) = (last, first);
            }
            compare(&symbol, our_symbol, id, &mut compared);
        }
    }
    compared
}

#[test]
fn binance_of_2021_comes_out_as_expected() {
    let Some(recordings) = recordings() else { return };
    assert!(against_expected(&recordings, "binance", "binance") > 70);
}

#[test]
fn binanceus_of_2021_comes_out_as_expected() {
    let Some(recordings) = recordings() else { return };
    assert!(against_expected(&recordings, "binanceus", "binanceus") > 70);
}

/// A third venue that speaks the same protocol, recorded in 2023.
#[test]
fn binancetr_of_2023_comes_out_as_expected() {
    let Some(recordings) = recordings() else { return };
    assert!(against_expected(&recordings, "binancetr", "binance") > 60);
}

/// Every message of a book carries a checksum here, and a book that fails one stays gapped.
#[test]
fn okex_of_2022_comes_out_as_expected() {
    let Some(recordings) = recordings() else { return };
    assert!(against_expected(&recordings, "okex", "okex") > 100);
}

/// The same protocol, with books so thin that most messages of them change nothing.
#[test]
fn okcoin_of_2023_comes_out_as_expected() {
    let Some(recordings) = recordings() else { return };
    assert!(against_expected(&recordings, "okcoin", "okcoin") > 10);
}

/// Version 1 of the protocol, with checksums as well.
#[test]
fn kraken_of_2021_comes_out_as_expected() {
    let Some(recordings) = recordings() else { return };
    assert!(against_expected(&recordings, "kraken", "kraken") > 150);
}

#[test]
fn coinbasepro_of_2021_comes_out_as_expected() {
    let Some(recordings) = recordings() else { return };
    assert!(against_expected(&recordings, "coinbasepro", "coinbasepro") > 150);
}

/// Prices have digits that count instead of decimals, so books are rescaled on the way; every message has a number.
#[test]
fn bitfinex_of_2021_comes_out_as_expected() {
    let Some(recordings) = recordings() else { return };
    assert!(against_expected(&recordings, "bitfinex", "bitfinex") > 150);
}

/// The fixture: a stream under another spelling than ours (`@depth`), a delta before and one across the snapshot, amounts
/// finer than the market's step, a request whose query has another order, a topic that nobody subscribed.
#[test]
fn the_fixture_comes_out_as_worked_out_by_hand() {
    let whole = replay("binance", &fixture("replay"));
    let connection = &whole["connections"]["ws.1"];
    assert_eq!((&connection["frames"], &connection["unrouted"]), (&json!(8), &json!(1)));
    let symbol = &connection["symbols"]["ABCUSDT"];
    let book = json!({
        "updates": 3, "sequence": 15, "ts": 1700000001.39, "frame_t": "1700000001.4", "crossed": false,
        "state": "live",
        "bids": [["1.11", "2"], ["1.1", "5"]], "bids_levels": 2, "bids_size_sum": "7",
        "asks": [["1.12", "1.5"], ["1.13", "4"]], "asks_levels": 2, "asks_size_sum": "5.5",
        // sha256 of "1.11 2\n1.1 5\n" and of "1.12 1.5\n1.13 4\n".
        "bids_sha256": "aef619960051488dc00c9dc9fdbaacdce08cf5a8b58df46c5601687cd6d11d98",
        "asks_sha256": "059cb81369bed47769b41539e9eb786828d160bf6b67a7a54e98790efb1867da",
        // The second update was in what was held, so no frame showed it.
        "checkpoints": [[2, null, ["1.11", "2", 3], ["1.13", "4", 1]], [3, "1700000001.4", ["1.11", "2", 2], ["1.12", "1.5", 2]]],
    });
    compare(&book, &symbol["l2_book"], "l2_book", &mut 0);
    let trades = json!({
        "count": 2, "amount_sum": "0.75",
        "first": {"price": "1.11", "amount": "0.5", "side": "sell", "id": "70", "ts": 1700000001.49, "frame_t": "1700000001.5"},
        "last": {"price": "1.12", "amount": "0.25", "side": "buy", "id": "71", "ts": 1700000001.59, "frame_t": "1700000001.6"},
    });
    compare(&trades, &symbol["trades"], "trades", &mut 0);
    let candle = json!({
        "start": 1699999980.0, "stop": 1700000039.999, "interval": "1m", "closed": false, "frame_t": "1700000001.7",
        "open": "1.1", "high": "1.12", "low": "1.09", "close": "1.12", "volume": "0.75",
    });
    compare(&json!({"count": 1, "first": candle}), &symbol["candles"], "candles", &mut 0);
    let quote = json!({"bid": "1.11", "ask": "1.12", "ts": "1700000001.8", "frame_t": "1700000001.8"});
    compare(&json!({"count": 1, "last": quote}), &symbol["ticker"], "ticker", &mut 0);
}

/// Subscribed by a message, then opened again under `/ws/<topic>`: the second opening begins from an empty state.
#[test]
fn every_opening_is_a_connection_of_its_own() {
    let whole = replay("binance", &fixture("replay/ws.2.jsonl"));
    let connections = whole["connections"].as_object().unwrap();
    assert_eq!(connections.keys().collect::<Vec<_>>(), ["ws.2", "ws.2#2"], "only the named file is played");
    for (name, id) in [("ws.2", "72"), ("ws.2#2", "73")] {
        let trades = &connections[name]["symbols"]["ABCUSDT"]["trades"];
        assert_eq!((&trades["count"], &trades["last"]["id"]), (&json!(1), &json!(id)));
    }
}

#[test]
fn packed_files_are_read_like_plain_ones() {
    let folder = std::env::temp_dir().join(format!("wirebook-replay-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["ws.1.jsonl", "http.0.jsonl", "symbols.jsonl"] {
        use std::io::Write;
        let file = std::fs::File::create(folder.join(format!("{name}.gz"))).unwrap();
        let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packer.write_all(&std::fs::read(fixture("replay").join(name)).unwrap()).unwrap();
        packer.finish().unwrap();
    }
    let packed = replay("binance", &folder);
    std::fs::remove_dir_all(&folder).unwrap();
    let plain = replay("binance", &fixture("replay"));
    assert_eq!(packed["connections"]["ws.1"], plain["connections"]["ws.1"]);
}

#[test]
fn lines_that_cannot_be_used_are_named_and_the_rest_is_played() {
    let folder = fixture("replay_broken");
    let output = wirebook(&["replay", "--json", "--venue", "binance", folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    let connection = &whole["connections"]["ws.1"];
    assert_eq!(connection["symbols"]["ABCUSDT"]["trades"]["count"], 2);
    let file = folder.join("ws.1.jsonl");
    let errors = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<&str> = errors.lines().map(|line| line.strip_prefix("wirebook: ").unwrap()).collect();
    let at = |line: u64, text: &str| format!("{}:{line}: {text}", file.display());
    assert_eq!(
        errors,
        [
            at(1, "binance: NOSUCH: no such market; 2 markets are known, none is spelled like it").as_str(),
            &at(3, "not a line of a recording: JSON ends too early at byte 65"),
            &at(4, "a message of binance cannot be read: not a decimal number at byte 58"),
            &at(5, "a line of \"ws.7\" among those of \"ws.1\""),
            &at(6, "a binary message, which this venue does not send"),
            "5 lines could not be used, see above",
        ]
    );
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let error = |arguments: &[&str]| {
        let output = wirebook(arguments);
        assert!(output.stdout.is_empty());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = error(&["replay", "--venue", "binance", "/nowhere"]);
    assert_eq!((code, text.as_str()), (Some(1), "wirebook: /nowhere: No such file or directory (os error 2)\n"));
    let here = env!("CARGO_MANIFEST_DIR");
    let (code, text) = error(&["replay", "--venue", "binance", here]);
    assert_eq!(code, Some(1));
    assert_eq!(text, format!("wirebook: {here}: no recorded WebSocket (ws.N.jsonl) here\n"));
    let (code, text) = error(&["replay", "--venue", "binanze", here]);
    assert_eq!(code, Some(2));
    assert_eq!(
        text,
        "wirebook: invalid value 'binanze' for '--venue <VENUE>': no venue \"binanze\"; there are binance, binanceus, \
         binanceje, okex, okcoin, kraken, coinbasepro, bitfinex; `--help` says more\n"
    );
}
