//! The loopback binance, held against what the venue documents: frames member by member, sequence numbers, limits,
//! errors, and each scripted fault.
#![cfg(feature = "sim")]
// Helpers of tests may fail as loudly as tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use wirebook::sim::faults::{Script, WireFault};
use wirebook::sim::market::{Side, fingerprint_level};
use wirebook::sim::venue::{ConnId, QUEUE_MAX, STEPS_MAX, Venue};
use wirebook::sim::wire::{HttpReply, Out};
use wirebook::sim::{Config, SnapshotMix, VenueKind};

const START: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// A venue, and what it said so far with the time at which it did.
struct Run {
    venue: Venue,
    now: u64,
    said: Vec<(u64, ConnId, Out)>,
}

impl Run {
    fn new(kind: VenueKind, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(kind).with_symbols(3);
        config.levels = 20;
        config.early_event_percent = 0;
        change(&mut config);
        Run { venue: Venue::new(&config, START), now: START, said: Vec::new() }
    }

    fn binance() -> Self {
        Run::new(VenueKind::Binance, |_| {})
    }

    fn with(script: &str) -> Self {
        Run::new(VenueKind::Binance, |config| config.script = Script::parse(script).unwrap())
    }

    fn connect(&mut self, target: &str) -> ConnId {
        let conn = self.venue.connect(self.now, target).unwrap();
        self.drain();
        conn
    }

    fn drain(&mut self) {
        while let Some((conn, out)) = self.venue.pop() {
            self.said.push((self.now - START, conn, out));
        }
    }

    /// Lets time pass, deadline by deadline.
    fn run(&mut self, ns: u64) {
        self.run_with(ns, false);
    }

    /// The same with a client that answers pings.
    fn run_alive(&mut self, ns: u64) {
        self.run_with(ns, true);
    }

    fn run_with(&mut self, ns: u64, pong: bool) {
        let end = self.now + ns;
        loop {
            let before = self.said.len();
            let next = self.venue.next_deadline().unwrap().max(self.now);
            self.now = next.min(end);
            self.venue.advance(self.now);
            self.drain();
            for i in before..self.said.len() {
                if let (true, (_, conn, Out::Ping(payload))) = (pong, self.said[i].clone()) {
                    self.venue.pong(self.now, conn, &payload);
                }
            }
            if next > end {
                return;
            }
        }
    }

    fn send(&mut self, conn: ConnId, text: &str) {
        self.venue.text(self.now, conn, text);
        self.drain();
    }

    /// Sends and gives the one answer that comes at once.
    fn ask(&mut self, conn: ConnId, text: &str) -> String {
        let before = self.said.len();
        self.send(conn, text);
        match &self.said[before..] {
            [(_, _, Out::Text(answer))] => answer.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn http(&mut self, target: &str) -> HttpReply {
        self.venue.http(self.now, "GET", target, &[])
    }

    fn texts(&self) -> Vec<String> {
        self.timed_texts().into_iter().map(|(_, text)| text).collect()
    }

    fn timed_texts(&self) -> Vec<(u64, String)> {
        let text = |(at, _, out): &(u64, ConnId, Out)| match out {
            Out::Text(text) => Some((*at, text.clone())),
            _ => None,
        };
        self.said.iter().filter_map(text).collect()
    }

    /// What was said that is not text.
    fn controls(&self) -> Vec<(u64, Out)> {
        let control = |(at, _, out): &(u64, ConnId, Out)| match out {
            Out::Text(_) => None,
            other => Some((*at, other.clone())),
        };
        self.said.iter().filter_map(control).collect()
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn header<'a>(reply: &'a HttpReply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The text with numbers as `1`, strings of a decimal with eight digits behind the point as `"1.0"`, booleans that vary
/// as `_`, and equal rows of books once: order and type of the members without their values.
fn shape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = if c == '"' {
            let len = rest[1..].find('"').unwrap() + 2;
            let number = rest[1..len - 1].trim_start_matches('-');
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            let decimal = number.split_once('.').filter(|(whole, part)| digits(whole) && digits(part));
            out.push_str(match decimal {
                Some((_, part)) if part.len() == 8 => "\"1.0\"",
                Some((_, part)) if part.len() == 3 => "\"0.000\"",
                _ => &rest[..len],
            });
            len
        } else if c.is_ascii_digit() || c == '-' {
            out.push('1');
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-').len()
        } else {
            out.push(c);
            c.len_utf8()
        };
        rest = &rest[len..];
    }
    let row = r#"["1.0","1.0"]"#;
    while out.contains(&format!("{row},{row}")) {
        out = out.replace(&format!("{row},{row}"), row);
    }
    for key in ["m", "x"] {
        for value in ["true", "false"] {
            out = out.replace(&format!("\"{key}\":{value}"), &format!("\"{key}\":_"));
        }
    }
    out
}

/// The first text with rows on both sides that a stream sends on a raw connection.
fn first_of(kind: VenueKind, stream: &str) -> String {
    let mut run = Run::new(kind, |config| config.updates_per_s = 200);
    run.connect(&format!("/ws/{stream}"));
    run.run(4 * S);
    let texts = run.texts();
    let full = |text: &&String| !text.contains("\"b\":[]") && !text.contains("\"a\":[]");
    texts.iter().find(full).unwrap_or_else(|| panic!("nothing on {stream}")).clone()
}

#[test]
fn frames_have_the_documented_members_in_order() {
    use VenueKind::{Binance, BinanceJe, BinanceUs};
    let depth = r#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":1,"b":[["1.0","1.0"]],"a":[["1.0","1.0"]]}"#;
    let partial = r#"{"lastUpdateId":1,"bids":[["1.0","1.0"]],"asks":[["1.0","1.0"]]}"#;
    let trade = r#"{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1.0","q":"1.0","T":1,"m":_,"M":true}"#;
    let old_trade = r#"{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1.0","q":"1.0","b":1,"a":1,"T":1,"m":_,"M":true}"#;
    let agg = r#"{"e":"aggTrade","E":1,"s":"BTCUSDT","a":1,"p":"1.0","q":"1.0","f":1,"l":1,"T":1,"m":_,"M":true}"#;
    let book_ticker = r#"{"u":1,"s":"BTCUSDT","b":"1.0","B":"1.0","a":"1.0","A":"1.0"}"#;
    let mini =
        r#"{"e":"24hrMiniTicker","E":1,"s":"BTCUSDT","c":"1.0","o":"1.0","h":"1.0","l":"1.0","v":"1.0","q":"1.0"}"#;
    let ticker = r#"{"e":"24hrTicker","E":1,"s":"BTCUSDT","p":"1.0","P":"0.000","w":"1.0","x":"1.0","c":"1.0","Q":"1.0","b":"1.0","B":"1.0","a":"1.0","A":"1.0","o":"1.0","h":"1.0","l":"1.0","v":"1.0","q":"1.0","O":1,"C":1,"F":1,"L":1,"n":1}"#;
    let rolling = r#"{"e":"1hTicker","E":1,"s":"BTCUSDT","p":"1.0","P":"0.000","o":"1.0","h":"1.0","l":"1.0","c":"1.0","w":"1.0","v":"1.0","q":"1.0","O":1,"C":1,"F":1,"L":1,"n":1}"#;
    let average = r#"{"e":"avgPrice","E":1,"s":"BTCUSDT","i":"5m","w":"1.0","T":1}"#;
    let kline = |interval: &str| {
        format!(
            r#"{{"e":"kline","E":1,"s":"BTCUSDT","k":{{"t":1,"T":1,"s":"BTCUSDT","i":"{interval}","f":1,"L":1,"o":"1.0","c":"1.0","h":"1.0","l":"1.0","v":"1.0","n":1,"x":_,"q":"1.0","V":"1.0","Q":"1.0","B":"0"}}}}"#
        )
    };
    let cases = [
        (Binance, "btcusdt@depth", depth.to_owned()),
        (Binance, "btcusdt@depth@100ms", depth.to_owned()),
        (BinanceUs, "btcusdt@depth@100ms", depth.to_owned()),
        (Binance, "btcusdt@depth5", partial.to_owned()),
        (Binance, "btcusdt@depth20@100ms", partial.to_owned()),
        (Binance, "btcusdt@trade", trade.to_owned()),
        (BinanceUs, "btcusdt@trade", old_trade.to_owned()),
        (BinanceJe, "btceur@trade", old_trade.replace("USDT", "EUR")),
        (Binance, "btcusdt@aggTrade", agg.to_owned()),
        (Binance, "btcusdt@bookTicker", book_ticker.to_owned()),
        (BinanceJe, "!bookTicker", book_ticker.replace("BTCUSDT", "*")),
        (Binance, "btcusdt@ticker", ticker.to_owned()),
        (Binance, "btcusdt@miniTicker", mini.to_owned()),
        (Binance, "btcusdt@ticker_1h", rolling.to_owned()),
        (Binance, "btcusdt@ticker_4h", rolling.replace("1h", "4h")),
        (Binance, "btcusdt@ticker_1d", rolling.replace("1h", "1d")),
        (Binance, "!miniTicker@arr", format!("[{mini},*")),
        (BinanceUs, "!ticker@arr", format!("[{ticker},*")),
        (Binance, "!ticker_1h@arr", format!("[{rolling},*")),
        (Binance, "btcusdt@avgPrice", average.to_owned()),
        (Binance, "btcusdt@kline_1s", kline("1s")),
        (Binance, "btcusdt@kline_1m", kline("1m")),
        (Binance, "btcusdt@kline_1M", kline("1M")),
        (Binance, "btcusdt@kline_1d@+08:00", kline("1d")),
    ];
    for (kind, stream, expected) in cases {
        let text = first_of(kind, stream);
        json(&text);
        let mut seen = shape(&text);
        if stream == "!bookTicker" {
            seen = seen.replace("BTCEUR", "*").replace("ETHEUR", "*").replace("BNBEUR", "*");
        }
        match expected.strip_suffix('*') {
            Some(beginning) => assert!(seen.starts_with(beginning), "{stream}\n{seen}\n{beginning}"),
            None => assert_eq!(seen, expected, "{stream}"),
        }
    }
}

#[test]
fn times_are_milliseconds_or_microseconds_as_asked() {
    let first = |kind, target: &str| {
        let mut run = Run::new(kind, |_| {});
        run.connect(target);
        run.run(5 * S);
        json(&run.texts()[0])
    };
    for (kind, target, digits) in [
        (VenueKind::Binance, "/ws/btcusdt@trade", 13),
        (VenueKind::Binance, "/ws/btcusdt@trade?timeUnit=MICROSECOND", 16),
        // The others do not know the parameter and ignore it.
        (VenueKind::BinanceUs, "/ws/btcusdt@trade?timeUnit=MICROSECOND", 13),
    ] {
        let trade = first(kind, target);
        assert_eq!((trade["E"].to_string().len(), trade["T"].to_string().len()), (digits, digits), "{target}");
    }
    let candle = &first(VenueKind::Binance, "/ws/btcusdt@kline_1m?timeUnit=MICROSECOND")["k"];
    assert_eq!(candle["T"].as_u64().unwrap() - candle["t"].as_u64().unwrap(), 59_999_999);
    let refused = Run::binance().venue.connect(START, "/ws/btcusdt@trade?timeUnit=NANOSECOND").unwrap_err();
    assert_eq!((refused.status, json(&refused.body)["code"].as_i64()), (400, Some(-1194)));
}

#[test]
fn raw_combined_and_subscribed_addressing() {
    let mut run = Run::binance();
    let raw = run.connect("/ws/btcusdt@bookTicker");
    let several = run.connect("/ws/btcusdt@bookTicker/ethusdt@bookTicker");
    let combined = run.connect("/stream?streams=btcusdt@bookTicker/bnbusdt@depth10@100ms");
    let subscribed = run.connect("/ws");
    let switched = run.connect("/stream");
    let reply = run.ask(subscribed, r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker"],"id":7}"#);
    assert_eq!(reply, r#"{"result":null,"id":7}"#);
    run.ask(switched, r#"{"method":"SUBSCRIBE","params":["ethusdt@bookTicker"],"id":1}"#);
    run.ask(switched, r#"{"method":"SET_PROPERTY","params":["combined",false],"id":2}"#);
    run.said.clear();
    run.run(5 * S);
    let of = |conn: ConnId| -> Vec<String> {
        let text = |(_, to, out): &(u64, ConnId, Out)| match out {
            Out::Text(text) if *to == conn => Some(text.clone()),
            _ => None,
        };
        run.said.iter().filter_map(text).collect()
    };
    let raw_texts = of(raw);
    assert!(raw_texts.len() > 5);
    assert!(raw_texts.iter().all(|text| text.starts_with(r#"{"u":"#) && text.contains(r#""s":"BTCUSDT""#)));
    assert_eq!(of(subscribed), raw_texts, "equal events on all ways");
    assert!(of(switched).iter().all(|text| text.contains(r#""s":"ETHUSDT""#) && !text.contains("stream")));
    assert!(of(several).len() > raw_texts.len());
    let combined = of(combined);
    let tickers: Vec<&String> = combined.iter().filter(|text| text.contains("bookTicker")).collect();
    assert_eq!(tickers.len(), raw_texts.len());
    assert_eq!(*tickers[0], format!(r#"{{"stream":"btcusdt@bookTicker","data":{}}}"#, raw_texts[0]));
    let depth = r#"{"stream":"bnbusdt@depth10@100ms","data":{"lastUpdateId":"#;
    assert!(combined.iter().any(|text| text.starts_with(depth)));
}

#[test]
fn control_messages_and_their_errors() {
    let error = |code: i64, message: &str, id: &str| format!(r#"{{"error":{{"code":{code},"msg":"{message}"}}{id}}}"#);
    let bad_id = error(2, "Invalid request: request ID must be an unsigned integer", "");
    let mut run = Run::binance();
    let conn = run.connect("/ws/ethusdt@kline_12h");
    for (request, reply) in [
        (r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#, r#"{"result":["ethusdt@kline_12h"],"id":3}"#.to_owned()),
        (
            r#"{"method":"SUBSCRIBE","params":["btcusdt@kline_12h","nosuch@kline_12h"],"id":"a1-B"}"#,
            r#"{"result":null,"id":"a1-B"}"#.to_owned(),
        ),
        (
            r#"{"method":"SUBSCRIBE","params":["btcusdt@kline_12h"],"id":null}"#,
            r#"{"result":null,"id":null}"#.to_owned(),
        ),
        (
            r#"{"method":"LIST_SUBSCRIPTIONS","params":[],"id":-4}"#,
            r#"{"result":["ethusdt@kline_12h","btcusdt@kline_12h","nosuch@kline_12h"],"id":-4}"#.to_owned(),
        ),
        (
            r#"{"method":"UNSUBSCRIBE","params":["ethusdt@kline_12h"],"id":312}"#,
            r#"{"result":null,"id":312}"#.to_owned(),
        ),
        (r#"{"method":"UNSUBSCRIBE","params":["never@trade"],"id":313}"#, r#"{"result":null,"id":313}"#.to_owned()),
        (
            r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#,
            r#"{"result":["btcusdt@kline_12h","nosuch@kline_12h"],"id":3}"#.to_owned(),
        ),
        (r#"{"method":"GET_PROPERTY","params":["combined"],"id":2}"#, r#"{"result":false,"id":2}"#.to_owned()),
        (r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#, r#"{"result":null,"id":5}"#.to_owned()),
        (r#"{"method":"GET_PROPERTY","params":["combined"],"id":2}"#, r#"{"result":true,"id":2}"#.to_owned()),
        (r#"{"method":"GET_PROPERTY","params":["other"],"id":2}"#, error(0, "Unknown property", r#","id":2"#)),
        (
            r#"{"method":"SET_PROPERTY","params":["combined","yes"],"id":2}"#,
            error(1, "Invalid value type: expected Boolean", r#","id":2"#),
        ),
        (
            r#"{"method":"SET_PROPERTY","params":[1],"id":2}"#,
            error(2, "Invalid request: property name must be a string", r#","id":2"#),
        ),
        (
            r#"{"method":"SET_PROPERTY","params":["combined",true,1],"id":2}"#,
            error(2, "Invalid request: too many parameters", r#","id":2"#),
        ),
        (r#"{"method":"SUBSCRIBE","params":[""],"id":2}"#, error(2, "Invalid request: invalid stream", r#","id":2"#)),
        (r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1.5}"#, bad_id.clone()),
        (r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"]}"#, bad_id.clone()),
        (r#"{"method":"SUBSCRIBE","params":["x"],"id":"0123456789012345678901234567890123456"}"#, bad_id.clone()),
        (
            r#"{"params":["btcusdt@trade"],"id":1}"#,
            error(2, "Invalid request: missing field `method` at line 1 column 35", r#","id":1"#),
        ),
        (
            r#"{"method":"SUBSCRIB","params":["btcusdt@trade"],"id":1}"#,
            error(
                2,
                "Invalid request: unknown variant `SUBSCRIB`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, \
                 `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY` at line 1 column 55",
                r#","id":1"#,
            ),
        ),
        (r#"{"method":}"#, error(3, "Invalid JSON: expected value at line 1 column 11", "")),
    ] {
        run.now += S;
        assert_eq!(run.ask(conn, request), reply, "{request}");
    }
    assert_eq!(run.venue.counters().unknown_streams, 1);
    assert_eq!(run.venue.counters().bad_messages, 11);
    // binance.je takes unsigned integers only.
    let mut run = Run::new(VenueKind::BinanceJe, |_| {});
    let conn = run.connect("/ws");
    assert_eq!(run.ask(conn, r#"{"method":"LIST_SUBSCRIPTIONS","id":"a"}"#), bad_id);
    assert_eq!(run.ask(conn, r#"{"method":"LIST_SUBSCRIPTIONS","id":9}"#), r#"{"result":[],"id":9}"#);
}

#[test]
fn unknown_streams_are_acknowledged_and_stay_silent() {
    let mut run = Run::binance();
    let conn = run.connect("/stream?streams=nosuch@depth@100ms/btcusdt@nothing/!bookTicker/BTCUSDT@trade/!ticker@arr");
    let reply = run.ask(conn, r#"{"method":"SUBSCRIBE","params":["btcusdt@kline_7m","btcusdt@depth7"],"id":1}"#);
    assert_eq!(reply, r#"{"result":null,"id":1}"#);
    run.run(5 * S);
    assert_eq!(run.texts().len(), 1);
    assert_eq!(run.venue.counters().unknown_streams, 7);
    let mut run = Run::new(VenueKind::BinanceUs, |_| {});
    run.connect("/ws/btcusdt@kline_1s/btcusdt@kline_1d@+08:00/btcusdt@avgPrice/!bookTicker/btcusdt@ticker_1d");
    run.run(5 * S);
    assert!(run.texts().is_empty());
}

#[test]
fn a_first_event_may_come_before_the_acknowledgement() {
    let (mut early, mut at_once) = (0, 0);
    for seed in 0..60 {
        let mut run = Run::new(VenueKind::Binance, |config| {
            config.seed = seed;
            config.early_event_percent = 25;
        });
        let conn = run.connect("/ws");
        run.send(conn, r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","btcusdt@depth@100ms"],"id":1}"#);
        run.send(conn, r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#);
        run.run(2 * S);
        let texts = run.timed_texts();
        let ack = texts.iter().position(|(_, text)| text == r#"{"result":null,"id":1}"#).unwrap();
        let list = texts.iter().position(|(_, text)| text.contains(r#""id":2"#)).unwrap();
        assert!(ack < list, "answers keep their order");
        assert!(texts[ack].0 <= 250 * MS, "an acknowledgement does not wait forever");
        assert!(ack <= 2, "one or two events come before");
        if ack == 0 { at_once += 1 } else { early += 1 }
    }
    assert!(early > 3 && at_once > 30, "{early} {at_once}");
}

/// U and u of the depth events among texts of raw connections, by symbol.
fn ranges(texts: &[String]) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut ranges: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for text in texts.iter().filter(|text| text.contains("depthUpdate")) {
        let Ok(event) = serde_json::from_str::<Value>(text) else { continue };
        let range = (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap());
        ranges.entry(event["s"].as_str().unwrap().to_owned()).or_default().push(range);
    }
    ranges
}

/// How often U is not the u before plus one.
fn breaks(ranges: &[(u64, u64)]) -> usize {
    ranges.windows(2).filter(|w| w[1].0 != w[0].1 + 1).count()
}

#[test]
fn update_ids_are_contiguous_at_both_speeds() {
    for (stream, grid) in [("depth@100ms", 100 * MS), ("depth", S), ("depth@1000ms", S)] {
        let mut run = Run::binance();
        run.connect(&format!("/ws/btcusdt@{stream}/ethusdt@{stream}"));
        run.run_alive(60 * S);
        let all = ranges(&run.texts());
        assert_eq!(all.len(), 2);
        for (symbol, ranges) in all {
            assert!(ranges.len() > 50, "{symbol} {}", ranges.len());
            assert!(ranges.iter().all(|(first, last)| first <= last));
            assert_eq!(breaks(&ranges), 0, "{symbol}");
        }
        assert!(run.timed_texts().iter().all(|(at, _)| at % grid == 0));
    }
}

#[test]
fn events_vary_as_they_do_on_the_real_venue() {
    let mut run = Run::binance();
    run.connect("/ws/btcusdt@depth@100ms");
    run.run_alive(600 * S);
    let (mut one_sided, mut empty, mut deletes, mut unknown) = (0, 0, 0, 0);
    let mut known: HashSet<(bool, String)> = HashSet::new();
    for text in run.texts() {
        let event = json(&text);
        let sides = [("b", true), ("a", false)].map(|(key, bid)| (event[key].as_array().unwrap().clone(), bid));
        one_sided += usize::from(sides.iter().any(|(rows, _)| rows.is_empty()));
        empty += usize::from(sides.iter().all(|(rows, _)| rows.is_empty()));
        for (rows, bid) in &sides {
            let prices: Vec<f64> = rows.iter().map(|row| row[0].as_str().unwrap().parse().unwrap()).collect();
            assert!(prices.windows(2).all(|w| if *bid { w[0] > w[1] } else { w[0] < w[1] }), "bids fall, asks rise");
            for row in rows {
                let key = (*bid, row[0].as_str().unwrap().to_owned());
                if row[1] == "0.00000000" {
                    deletes += 1;
                    unknown += usize::from(!known.remove(&key));
                } else {
                    known.insert(key);
                }
            }
        }
    }
    let seen = (one_sided, empty, deletes, unknown);
    assert!(one_sided > 100 && empty > 0 && deletes > 1_000 && unknown > 10, "{seen:?}");
}

// The reference: a book kept as the venue tells its users to (drop u <= L, first U <= L+1 <= u, then U == u + 1), with
// code of its own for everything.

#[derive(Default)]
struct Reference {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    last: Option<u64>,
    held: Vec<Value>,
}

fn mantissa(text: &Value, scale: u8) -> i64 {
    let (whole, part) = text.as_str().unwrap().split_once('.').unwrap();
    let (keep, rest) = part.split_at(usize::from(scale));
    assert!(rest.bytes().all(|b| b == b'0'), "{text} has more than {scale} decimals");
    format!("{whole}{keep}").parse().unwrap()
}

impl Reference {
    fn rows(&mut self, rows: &Value, side: Side, scales: (u8, u8)) {
        let levels = if side == Side::Bid { &mut self.bids } else { &mut self.asks };
        for row in rows.as_array().unwrap() {
            let price = mantissa(&row[0], scales.0);
            match mantissa(&row[1], scales.1) {
                0 => levels.remove(&price),
                qty => levels.insert(price, qty),
            };
        }
    }

    /// False when a number is missing.
    fn event(&mut self, event: &Value, scales: (u8, u8)) -> bool {
        let (first, last) = (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap());
        let Some(known) = self.last else {
            self.held.push(event.clone());
            return true;
        };
        if last <= known {
            return true;
        }
        if first > known + 1 {
            return false;
        }
        self.rows(&event["b"], Side::Bid, scales);
        self.rows(&event["a"], Side::Ask, scales);
        self.last = Some(last);
        true
    }

    fn snapshot(&mut self, body: &Value, scales: (u8, u8)) -> bool {
        (self.bids, self.asks) = Default::default();
        self.rows(&body["bids"], Side::Bid, scales);
        self.rows(&body["asks"], Side::Ask, scales);
        self.last = body["lastUpdateId"].as_u64();
        std::mem::take(&mut self.held).iter().all(|event| self.event(event, scales))
    }

    fn fingerprint(&self) -> u64 {
        let bids = self.bids.iter().map(|(price, qty)| fingerprint_level(Side::Bid, *price, *qty));
        let asks = self.asks.iter().map(|(price, qty)| fingerprint_level(Side::Ask, *price, *qty));
        bids.chain(asks).fold(0, u64::wrapping_add)
    }
}

#[test]
fn snapshot_and_deltas_rebuild_the_truth() {
    let (mut compared, mut refetched, mut dropped, mut straddled) = (0, 0, 0, 0);
    for kind in [VenueKind::Binance, VenueKind::BinanceUs, VenueKind::BinanceJe] {
        for seed in 0..30 {
            let mut run = Run::new(kind, |config| {
                config.seed = seed;
                config.snapshot = SnapshotMix { now: 1, last: 1, recent: 1, old: 1 };
            });
            // Some history first, so that there are old points to take snapshots at.
            run.run(8 * S);
            let symbol = run.venue.market().symbol(seed as usize % 3).clone();
            let scales = (symbol.price_scale, symbol.qty_scale);
            run.connect(&format!("/ws/{}@depth@100ms", symbol.name.to_lowercase()));
            run.run(500 * MS);
            let mut book = Reference::default();
            let mut seen = 0;
            for round in 0..44 {
                for text in run.texts().split_off(seen) {
                    seen += 1;
                    let event = json(&text);
                    let straddles = book.last.is_some_and(|last| event["U"].as_u64().unwrap() <= last);
                    straddled += usize::from(straddles);
                    assert!(book.event(&event, scales), "no number is missing");
                    if let Some(last) = book.last.filter(|last| event["u"].as_u64() == Some(*last)) {
                        assert_eq!(Some(book.fingerprint()), run.venue.truth_at(&symbol.name, last), "seed {seed}");
                        compared += 1;
                    }
                }
                if book.last.is_none() && round % 2 == 0 {
                    let reply = run.http(&format!("/api/v3/depth?symbol={}&limit=1000", symbol.name));
                    let body = json(&reply.body);
                    let id = body["lastUpdateId"].as_u64().unwrap();
                    dropped += book.held.iter().filter(|event| event["u"].as_u64().unwrap() <= id).count();
                    if book.held.first().is_some_and(|event| id + 1 < event["U"].as_u64().unwrap()) {
                        refetched += 1;
                    } else {
                        assert!(book.snapshot(&body, scales));
                    }
                }
                // Not in step with the batches, so that snapshots fall into the middle of them too.
                run.run(90 * MS);
            }
            assert!(book.last.is_some(), "some snapshot fits");
        }
    }
    let seen = (compared, refetched, dropped, straddled);
    assert!(compared > 2_000 && refetched > 10 && dropped > 50 && straddled > 5, "{seen:?}");
}

#[test]
fn the_slow_stream_rebuilds_the_truth_too() {
    for rate in [None, Some(200)] {
        let mut run = Run::new(VenueKind::Binance, |config| {
            config.snapshot = SnapshotMix { now: 1, last: 1, recent: 0, old: 0 };
            config.rate = rate;
        });
        run.connect("/ws/btcusdt@depth");
        run.run(3 * S);
        let mut book = Reference::default();
        let events: Vec<Value> = run.texts().iter().map(|text| json(text)).collect();
        assert!(events.iter().all(|event| book.event(event, (2, 5))));
        let body = json(&run.http("/api/v3/depth?symbol=BTCUSDT&limit=1000").body);
        assert!(book.snapshot(&body, (2, 5)));
        let seen = run.texts().len();
        run.run(5 * S);
        for text in &run.texts()[seen..] {
            let event = json(text);
            assert!(book.event(&event, (2, 5)));
            assert_eq!(Some(book.fingerprint()), run.venue.truth_at("BTCUSDT", event["u"].as_u64().unwrap()));
        }
        assert!(run.texts().len() >= seen + 5);
    }
}

#[test]
fn a_snapshot_in_the_middle_of_a_batch_has_to_be_straddled() {
    let mut run = Run::new(VenueKind::Binance, |config| {
        config.snapshot = SnapshotMix { now: 1, last: 0, recent: 0, old: 0 };
        config.updates_per_s = 200;
    });
    run.connect("/ws/btcusdt@depth@100ms");
    run.run(550 * MS);
    let id = json(&run.http("/api/v3/depth?symbol=BTCUSDT").body)["lastUpdateId"].as_u64().unwrap();
    run.run(200 * MS);
    let ranges = &ranges(&run.texts())["BTCUSDT"];
    assert!(ranges.iter().any(|(first, last)| *first <= id && id < *last), "{id} {ranges:?}");
    assert_eq!(run.venue.truth_levels_at("BTCUSDT", id).unwrap().update_id, id);
}

#[test]
fn snapshots_are_cut_to_the_limit() {
    let mut run = Run::binance();
    let body = json(&run.http("/api/v3/depth?symbol=BTCUSDT&limit=5").body);
    assert_eq!((body["bids"].as_array().unwrap().len(), body["asks"].as_array().unwrap().len()), (5, 5));
    let truth = run.venue.truth("BTCUSDT").unwrap();
    assert_eq!(body["lastUpdateId"].as_u64(), Some(truth.update_id));
    assert_eq!(mantissa(&body["bids"][0][0], truth.price_scale), truth.bids[0].0);
    assert_eq!((truth.tick.as_str(), truth.step.as_str()), ("0.01", "0.00001"));
}

#[test]
fn best_prices_partial_books_and_trades_agree_with_the_book() {
    let mut run = Run::binance();
    run.connect("/stream?streams=btcusdt@bookTicker/btcusdt@depth5@100ms/btcusdt@trade/btcusdt@aggTrade");
    run.run(10 * S);
    let (mut trades, mut aggs, mut tops) = (Vec::new(), Vec::new(), 0);
    for text in run.texts() {
        let message = json(&text);
        let data = &message["data"];
        match message["stream"].as_str().unwrap() {
            "btcusdt@bookTicker" => {
                let truth = run.venue.truth_levels_at("BTCUSDT", data["u"].as_u64().unwrap()).unwrap();
                assert_eq!((mantissa(&data["b"], 2), mantissa(&data["B"], 5)), truth.bids[0]);
                assert_eq!((mantissa(&data["a"], 2), mantissa(&data["A"], 5)), truth.asks[0]);
                tops += 1;
            }
            "btcusdt@depth5@100ms" => {
                let truth = run.venue.truth_levels_at("BTCUSDT", data["lastUpdateId"].as_u64().unwrap()).unwrap();
                let rows = |rows: &Value| -> Vec<(i64, i64)> {
                    rows.as_array().unwrap().iter().map(|row| (mantissa(&row[0], 2), mantissa(&row[1], 5))).collect()
                };
                assert_eq!(rows(&data["bids"]), truth.bids[..5]);
                assert_eq!(rows(&data["asks"]), truth.asks[..5]);
            }
            "btcusdt@trade" => trades.push(data["t"].as_u64().unwrap()),
            _ => aggs.push((data["f"].as_u64().unwrap(), data["l"].as_u64().unwrap())),
        }
    }
    assert!(tops > 20 && trades.len() > 5);
    assert!(trades.windows(2).all(|w| w[1] == w[0] + 1));
    assert_eq!((aggs[0].0, aggs.last().unwrap().1), (trades[0], *trades.last().unwrap()));
    let log: Vec<u64> = run.venue.market().trades(0).iter().map(|trade| trade.id).collect();
    assert!(log.ends_with(&trades));
}

#[test]
fn candles_close_once_and_follow_each_other() {
    let mut run = Run::binance();
    run.connect("/ws/btcusdt@kline_1m");
    run.run_alive(200 * S);
    let mut closed = Vec::new();
    for (at, text) in run.timed_texts() {
        let candle = &json(&text)["k"];
        let (open, end) = (candle["t"].as_u64().unwrap(), candle["T"].as_u64().unwrap());
        assert_eq!(end - open, 59_999);
        assert_eq!(candle["x"].as_bool().unwrap(), (START + at) / MS > end, "closed when its time is over");
        if candle["x"] == true {
            closed.push(open);
        }
    }
    assert!(closed.len() >= 3 && closed.windows(2).all(|w| w[1] == w[0] + 60_000), "{closed:?}");
    let mut run = Run::binance();
    run.connect("/ws/btcusdt@kline_1s");
    run.run(10 * S);
    let texts = run.texts();
    assert_eq!(texts.len(), 10);
    assert!(texts.iter().all(|text| json(text)["k"]["x"] == true));
}

#[test]
fn rest_candles_join_the_past_to_the_present() {
    let mut run = Run::binance();
    run.run(180 * S);
    for interval in "1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M".split(' ') {
        let body = json(&run.http(&format!("/api/v3/klines?symbol=BTCUSDT&interval={interval}&limit=50")).body);
        let rows = body.as_array().unwrap();
        assert_eq!(rows.len(), 50, "{interval}");
        for pair in rows.windows(2) {
            assert_eq!(pair[1][0].as_u64().unwrap(), pair[0][6].as_u64().unwrap() + 1, "{interval}");
        }
        let now_ms = run.now / MS;
        let last = rows.last().unwrap();
        assert!(last[0].as_u64().unwrap() <= now_ms && now_ms <= last[6].as_u64().unwrap());
        for row in rows {
            let [open, high, low, close] = [1, 2, 3, 4].map(|i| mantissa(&row[i], 2));
            assert!(low <= open.min(close) && high >= open.max(close), "{interval} {row}");
            assert_eq!(row.as_array().unwrap().len(), 12);
        }
    }
    // The made-up candles end at the price at which the market began.
    let body = json(&run.http("/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=8").body);
    let closes: Vec<i64> = body.as_array().unwrap().iter().map(|row| mantissa(&row[4], 2)).collect();
    assert!(closes.windows(2).all(|w| (w[1] - w[0]).abs() < 60_000), "less than 1 % a minute: {closes:?}");
    let from = 1_699_999_980_000u64;
    let target = format!("/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={from}&limit=3");
    let body = json(&run.http(&target).body);
    let opens: Vec<u64> = body.as_array().unwrap().iter().map(|row| row[0].as_u64().unwrap()).collect();
    assert_eq!(opens, [from, from + 60_000, from + 120_000]);
    assert_eq!(body, json(&run.http(&target).body));
}

#[test]
fn rest_answers_have_the_documented_members() {
    let mut run = Run::binance();
    run.run(5 * S);
    let trades = "id isBestMatch isBuyerMaker price qty quoteQty time";
    let day = "askPrice askQty bidPrice bidQty closeTime count firstId highPrice lastId lastPrice lastQty lowPrice \
               openPrice openTime prevClosePrice priceChange priceChangePercent quoteVolume symbol volume \
               weightedAvgPrice";
    let rolling = "closeTime count firstId highPrice lastId lastPrice lowPrice openPrice openTime priceChange \
                   priceChangePercent quoteVolume symbol volume weightedAvgPrice";
    let mini =
        "closeTime count firstId highPrice lastId lastPrice lowPrice openPrice openTime quoteVolume symbol volume";
    for (target, members) in [
        ("/api/v3/time", "serverTime"),
        ("/api/v3/trades?symbol=BTCUSDT", trades),
        ("/api/v3/historicalTrades?symbol=BTCUSDT&limit=3", trades),
        ("/api/v3/aggTrades?symbol=BTCUSDT", "M T a f l m p q"),
        ("/api/v3/avgPrice?symbol=BTCUSDT", "closeTime mins price"),
        ("/api/v3/ticker/price?symbol=BTCUSDT", "price symbol"),
        ("/api/v3/ticker/price", "price symbol"),
        ("/api/v3/ticker/bookTicker", "askPrice askQty bidPrice bidQty symbol"),
        ("/api/v3/ticker/24hr?symbols=[%22BTCUSDT%22,%22ETHUSDT%22]", day),
        ("/api/v3/ticker?symbol=BTCUSDT&windowSize=2h", rolling),
        ("/api/v3/ticker/tradingDay?symbol=BTCUSDT&type=MINI", mini),
        ("/sapi/v1/system/status", "msg status"),
    ] {
        let reply = run.http(target);
        assert_eq!(reply.status, 200, "{target} {}", reply.body);
        let body = json(&reply.body);
        let row = body.as_array().map_or(&body, |rows| &rows[0]);
        let mut seen: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        seen.sort_unstable();
        assert_eq!(seen.join(" "), members, "{target}");
    }
    assert_eq!(run.http("/api/v3/ping").body, "{}");
    let info = json(&run.http("/api/v3/exchangeInfo?symbol=ETHUSDT").body);
    let symbols = info["symbols"].as_array().unwrap();
    assert_eq!((symbols.len(), symbols[0]["symbol"].as_str()), (1, Some("ETHUSDT")));
    let filter = |kind: &str| {
        let filters = symbols[0]["filters"].as_array().unwrap();
        filters.iter().find(|filter| filter["filterType"] == kind).unwrap().clone()
    };
    assert_eq!(filter("PRICE_FILTER")["tickSize"], "0.01000000");
    assert_eq!(filter("LOT_SIZE")["stepSize"], "0.00010000");
    assert_eq!(info["rateLimits"][0]["limit"], 6_000);
    assert_eq!(json(&run.http("/api/v3/exchangeInfo").body)["symbols"].as_array().unwrap().len(), 3);
    let other = json(&run.http("/api/v3/exchangeInfo?permissions=LEVERAGED").body);
    assert_eq!(other["symbols"].as_array().unwrap().len(), 0);
}

#[test]
fn rest_errors_are_the_documented_ones() {
    use VenueKind::{Binance, BinanceJe, BinanceUs};
    for (kind, target, status, code) in [
        (Binance, "/api/v3/depth", 400, -1102),
        (Binance, "/api/v3/depth?symbol=NOSUCH", 400, -1121),
        (Binance, "/api/v3/depth?symbol=btcusdt", 400, -1100),
        (Binance, "/api/v3/depth?symbol=BTCUSDT&limit=x", 400, -1100),
        (Binance, "/api/v3/depth?symbol=BTCUSDT&limit=0", 400, -1130),
        (Binance, "/api/v3/depth?symbol=BTCUSDT&limit=", 400, -1105),
        (Binance, "/api/v3/depth?symbol=BTCUSDT&symbol=ETHUSDT", 400, -1101),
        (Binance, "/api/v3/depth?symbol=BTCUSDT&foo=1", 400, -1104),
        (Binance, "/api/v3/depth?symbol=BTCUSDT&limit=9999", 200, 0),
        (BinanceJe, "/api/v3/depth?symbol=BTCEUR&limit=7", 400, -1100),
        (BinanceJe, "/api/v1/depth?symbol=BTCEUR", 200, 0),
        (Binance, "/api/v1/depth?symbol=BTCUSDT", 404, 0),
        (Binance, "/api/v3/klines?symbol=BTCUSDT&interval=7m", 400, -1120),
        (BinanceUs, "/api/v3/klines?symbol=BTCUSDT&interval=1s", 400, -1120),
        (Binance, "/api/v3/klines?symbol=BTCUSDT", 400, -1102),
        (Binance, "/api/v3/ticker/24hr?symbol=BTCUSDT&symbols=[]", 400, -1128),
        (Binance, "/api/v3/ticker/24hr?symbols=BTCUSDT", 400, -1100),
        (Binance, "/api/v3/ticker/24hr?symbols=[%22BTCUSDT%22,%22BTCUSDT%22]", 400, -1151),
        (Binance, "/api/v3/ticker/24hr?symbol=BTCUSDT&type=HUGE", 400, -1139),
        (Binance, "/api/v3/ticker?symbol=BTCUSDT&windowSize=60m", 400, -1130),
        (Binance, "/api/v3/exchangeInfo?symbolStatus=ODD", 400, -1122),
        (BinanceUs, "/api/v3/historicalTrades?symbol=BTCUSDT", 401, -2014),
        (BinanceJe, "/sapi/v1/system/status", 404, 0),
        (Binance, "/api/v3/nothing", 404, 0),
        (Binance, "/", 404, 0),
    ] {
        let reply = Run::new(kind, |_| {}).http(target);
        assert_eq!(reply.status, status, "{target} {}", reply.body);
        if code != 0 {
            json(&reply.body);
            assert!(reply.body.starts_with(&format!("{{\"code\":{code},\"msg\":\"")), "{target} {}", reply.body);
        } else if status == 404 {
            assert_eq!(reply.body, "<html><body><h2>404 Not found</h2></body></html>");
        }
    }
    assert_eq!(Run::binance().venue.http(START, "POST", "/api/v3/depth?symbol=BTCUSDT", &[]).status, 404);
}

#[test]
fn weights_add_up_and_too_much_of_them_ends_in_a_ban() {
    let mut run = Run::binance();
    let mut used = 0;
    for (target, weight) in [
        ("/api/v3/ping", 1),
        ("/api/v3/time", 1),
        ("/api/v3/exchangeInfo", 20),
        ("/api/v3/depth?symbol=BTCUSDT", 5),
        ("/api/v3/depth?symbol=BTCUSDT&limit=500", 25),
        ("/api/v3/depth?symbol=BTCUSDT&limit=1000", 50),
        ("/api/v3/depth?symbol=BTCUSDT&limit=5000", 250),
        ("/api/v3/trades?symbol=BTCUSDT", 25),
        ("/api/v3/aggTrades?symbol=BTCUSDT", 4),
        ("/api/v3/klines?symbol=BTCUSDT&interval=1m", 2),
        ("/api/v3/ticker/24hr", 80),
        ("/api/v3/ticker/24hr?symbol=BTCUSDT", 2),
        ("/api/v3/ticker/bookTicker", 4),
        ("/api/v3/ticker?symbols=[%22BTCUSDT%22,%22ETHUSDT%22]", 8),
    ] {
        used += weight;
        let reply = run.http(target);
        assert_eq!(header(&reply, "X-MBX-USED-WEIGHT-1M"), Some(used.to_string().as_str()), "{target}");
    }
    let heavy = "/api/v3/depth?symbol=BTCUSDT&limit=5000";
    while run.http(heavy).status == 200 {}
    assert_eq!(run.venue.counters().too_many, 1);
    let reply = run.http(heavy);
    // From 22:13:20 to the next minute.
    assert_eq!((reply.status, header(&reply, "Retry-After")), (429, Some("40")));
    assert!(reply.body.starts_with(r#"{"code":-1003,"msg":"Too much request weight used; current limit is 6000 "#));
    assert_eq!(run.http(heavy).status, 429);
    assert_eq!(run.venue.counters().bans, 0);
    let reply = run.http(heavy);
    assert_eq!((reply.status, header(&reply, "Retry-After")), (418, Some("120")));
    assert!(reply.body.contains("IP banned until 1700000120000"));
    assert_eq!(run.http("/api/v3/ping").status, 418);
    assert_eq!(run.venue.counters().bans, 1);
    run.now += 120 * S;
    assert_eq!(run.http("/api/v3/ping").status, 200);
}

#[test]
fn who_heeds_retry_after_is_never_banned() {
    let mut run = Run::new(VenueKind::BinanceUs, |_| {});
    for _ in 0..2_000 {
        let reply = run.http("/api/v3/depth?symbol=BTCUSDT&limit=1000");
        if let Some(wait) = header(&reply, "Retry-After") {
            run.now += wait.parse::<u64>().unwrap() * S;
        }
    }
    assert!(run.venue.counters().too_many > 10);
    assert_eq!(run.venue.counters().bans, 0);
}

#[test]
fn more_than_five_messages_a_second_close_the_connection() {
    // Pings and pongs count like messages.
    for sixth in 0..3 {
        let mut run = Run::binance();
        let conn = run.connect("/ws");
        run.ask(conn, r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#);
        run.venue.ping(run.now, conn, b"x");
        run.venue.pong(run.now, conn, b"x");
        run.venue.pong(run.now, conn, b"");
        run.drain();
        run.now += 999 * MS;
        run.ask(conn, r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#);
        assert_eq!(run.venue.counters().too_many_messages, 0);
        match sixth {
            0 => run.venue.ping(run.now, conn, b"x"),
            1 => run.venue.pong(run.now, conn, b"x"),
            _ => run.venue.text(run.now, conn, "x"),
        }
        run.drain();
        assert!(matches!(run.said.last(), Some((_, _, Out::Close { code: 1008, .. }))));
        assert_eq!(run.venue.counters().too_many_messages, 1);
        assert_eq!(run.venue.connections(), 0);
    }
    let mut run = Run::binance();
    let conn = run.connect("/ws");
    for _ in 0..50 {
        run.now += 200 * MS;
        run.ask(conn, r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#);
    }
    assert_eq!(run.venue.connections(), 1);
}

#[test]
fn a_thousand_and_twenty_four_streams_are_the_most() {
    let subscribe = |run: &mut Run, conn, from: usize, to: usize| {
        let names: Vec<String> = (from..to).map(|i| format!("\"s{i}@trade\"")).collect();
        run.now += S;
        run.send(conn, &format!(r#"{{"method":"SUBSCRIBE","params":[{}],"id":1}}"#, names.join(",")));
    };
    let mut run = Run::binance();
    let conn = run.connect("/ws");
    subscribe(&mut run, conn, 0, 1_000);
    subscribe(&mut run, conn, 1_000, 1_024);
    subscribe(&mut run, conn, 0, 1_024);
    assert_eq!(run.venue.connections(), 1, "the same stream again is not one more");
    subscribe(&mut run, conn, 1_024, 1_025);
    assert!(matches!(run.said.last(), Some((_, _, Out::Close { code: 1008, .. }))));
    assert_eq!(run.venue.counters().too_many_streams, 1);
    let names: Vec<String> = (0..1_025).map(|i| format!("s{i}@trade")).collect();
    let target = format!("/stream?streams={}", names.join("/"));
    assert_eq!(run.venue.connect(run.now, &target).unwrap_err().status, 400);
}

#[test]
fn three_hundred_connects_in_five_minutes_are_the_most() {
    let mut run = Run::binance();
    for _ in 0..300 {
        let conn = run.connect("/ws");
        run.venue.lost(conn);
    }
    let refused = run.venue.connect(run.now, "/ws").unwrap_err();
    assert_eq!((refused.status, header(&refused, "Retry-After")), (429, Some("300")));
    for _ in 0..2 {
        assert_eq!(run.venue.connect(run.now, "/ws").unwrap_err().status, 429);
    }
    assert_eq!(run.venue.connect(run.now, "/ws").unwrap_err().status, 418);
    run.now += 301 * S;
    run.connect("/ws");
    assert_eq!(run.venue.counters().connects_refused, 4);
}

#[test]
fn paths_that_are_no_streams_are_not_found() {
    let mut run = Run::binance();
    for target in ["/", "/wss", "/ws-api/v2", "/streams?streams=a@trade", "/public/ws", "ws"] {
        assert_eq!(run.venue.connect(run.now, target).unwrap_err().status, 404, "{target}");
    }
    for target in ["/ws", "/ws/", "/stream", "/stream?", "/stream?streams=", "/ws/btcusdt@trade/", "/ws?a=b"] {
        assert!(run.venue.connect(run.now, target).is_ok(), "{target}");
    }
    assert_eq!(run.venue.connect(run.now, "/ws/a%20b").unwrap_err().status, 400);
}

#[test]
fn pings_come_and_a_missing_pong_ends_the_connection() {
    let quiet = |config: &mut Config| config.updates_per_s = 1;
    for (kind, ping_s, timeout_s) in [(VenueKind::Binance, 20, 60), (VenueKind::BinanceUs, 180, 600)] {
        let mut run = Run::new(kind, quiet);
        run.connect("/ws");
        run.run(700 * S);
        let controls = run.controls();
        let (last, pings) = controls.split_last().unwrap();
        let times: Vec<u64> = pings.iter().map(|(at, _)| at / S).collect();
        let expected: Vec<u64> = (1..).map(|n| n * ping_s).take_while(|at| *at < timeout_s).collect();
        assert_eq!(times, expected);
        assert!(pings.iter().all(|(_, out)| matches!(out, Out::Ping(payload) if !payload.is_empty())));
        assert_eq!(*last, (timeout_s * S, Out::Close { code: 1008, reason: "Pong timeout".to_owned() }));
        assert_eq!(run.venue.counters().missed_pongs, 1);
    }
    let mut run = Run::new(VenueKind::Binance, quiet);
    run.connect("/ws");
    run.run_alive(600 * S);
    assert_eq!(run.venue.connections(), 1, "answered pings keep it alive");
    let mut run = Run::new(VenueKind::Binance, quiet);
    let conn = run.connect("/ws");
    for _ in 0..30 {
        run.run(2 * S);
        run.venue.pong(run.now, conn, b"");
        run.venue.pong(run.now, conn, b"other");
    }
    assert_eq!(run.venue.connections(), 0, "unsolicited pongs and wrong payloads do not");
}

#[test]
fn a_connection_has_a_lifetime_that_is_announced() {
    let short = |config: &mut Config| {
        config.limits.lifetime_ns = 50 * S;
        config.limits.shutdown_notice_ns = 10 * S;
        config.updates_per_s = 1;
    };
    let mut run = Run::new(VenueKind::Binance, short);
    run.connect("/ws");
    run.connect("/stream");
    run.run_alive(60 * S);
    let raw = r#"{"e":"serverShutdown","E":1700000040000}"#.to_owned();
    let combined = format!(r#"{{"stream":"!serverShutdown","data":{raw}}}"#);
    assert_eq!(run.timed_texts(), [(40 * S, raw), (40 * S, combined)]);
    let is_close = |(_, out): &(u64, Out)| matches!(out, Out::Close { .. });
    let closes: Vec<(u64, Out)> = run.controls().into_iter().filter(is_close).collect();
    let close = (50 * S, Out::Close { code: 1001, reason: "going away".to_owned() });
    assert_eq!(closes, [close.clone(), close]);
    // The sisters have no announcement.
    let mut run = Run::new(VenueKind::BinanceUs, short);
    run.connect("/ws");
    run.run_alive(60 * S);
    assert!(run.texts().is_empty());
    assert_eq!(run.venue.connections(), 0);
}

#[test]
fn a_client_that_closes_is_answered() {
    let mut run = Run::binance();
    let conn = run.connect("/ws/btcusdt@bookTicker");
    run.venue.close(run.now, conn, Some(1000));
    run.run(2 * S);
    assert_eq!(run.controls(), [(0, Out::Close { code: 1000, reason: String::new() })]);
    assert!(run.texts().is_empty());
    // A stale id does nothing, even when its place is taken again.
    let other = run.connect("/ws");
    assert_eq!(other.index(), conn.index());
    run.venue.close(run.now, conn, None);
    run.venue.lost(conn);
    assert_eq!(run.venue.connections(), 1);
}

#[test]
fn the_accelerated_mode_keeps_its_rate() {
    let mut run = Run::new(VenueKind::Binance, |config| config.rate = Some(5_000));
    let fast = run.connect("/ws/btcusdt@depth@100ms/ethusdt@depth@100ms");
    run.connect("/ws/ethusdt@depth");
    run.run(S);
    let of = |of_fast: bool| -> Vec<String> {
        let text = |(_, to, out): &(u64, ConnId, Out)| match out {
            Out::Text(text) if (*to == fast) == of_fast => Some(text.clone()),
            _ => None,
        };
        run.said.iter().filter_map(text).collect()
    };
    let ranges_of = ranges(&of(true));
    assert_eq!((ranges_of["BTCUSDT"].len(), ranges_of["ETHUSDT"].len()), (2_500, 2_500));
    for (symbol, ranges) in &ranges_of {
        assert_eq!(breaks(ranges), 0);
        assert!(run.venue.truth_at(symbol, ranges.last().unwrap().1).is_some());
    }
    let slow = &ranges(&of(false))["ETHUSDT"];
    assert_eq!((slow.len(), breaks(slow)), (250, 0));
}

#[test]
fn a_long_sleep_does_not_flood_the_queue() {
    // One connection: so many steps and no more; three: so many messages and hardly more.
    for (connections, least, most) in [(1, STEPS_MAX - 10, STEPS_MAX), (3, QUEUE_MAX, QUEUE_MAX + 100)] {
        let mut run = Run::new(VenueKind::Binance, |config| config.rate = Some(50_000));
        for _ in 0..connections {
            run.connect("/ws/btcusdt@depth@100ms");
        }
        run.venue.advance(START + 3_600 * S);
        let waiting = std::iter::from_fn(|| run.venue.pop()).count();
        assert!((least..=most).contains(&waiting), "{connections} {waiting}");
        assert!(run.venue.next_deadline().unwrap() < START + 3_600 * S);
    }
}

// Faults.

fn depth_run(script: &str, seconds: u64) -> Run {
    let mut run = Run::with(script);
    run.connect("/ws/btcusdt@depth@100ms/ethusdt@depth@100ms");
    run.run_alive(seconds * S);
    run
}

/// Times of the events of a symbol that a run without faults has and this one has not, and the other way round.
fn missing_and_added(faulty: &Run, symbol: &str, seconds: u64) -> (Vec<u64>, Vec<u64>) {
    let of = |run: &Run| -> Vec<(u64, String)> {
        run.timed_texts().into_iter().filter(|(_, text)| text.contains(&format!("\"s\":\"{symbol}\""))).collect()
    };
    let (clean, faulty) = (of(&depth_run("", seconds)), of(faulty));
    let without = |a: &[(u64, String)], b: &[(u64, String)]| -> Vec<u64> {
        let mut b: Vec<&String> = b.iter().map(|(_, text)| text).collect();
        let mut left = Vec::new();
        for (at, text) in a {
            match b.iter().position(|other| *other == text) {
                Some(found) => drop(b.swap_remove(found)),
                None => left.push(*at),
            }
        }
        left
    };
    (without(&clean, &faulty), without(&faulty, &clean))
}

#[test]
fn gap_loses_one_event_each_time() {
    let run = depth_run("every 3s gap BTCUSDT", 11);
    let (missing, added) = missing_and_added(&run, "BTCUSDT", 11);
    assert_eq!(missing.iter().map(|at| at / S).collect::<Vec<_>>(), [3, 6, 9]);
    assert!(added.is_empty());
    assert_eq!(missing_and_added(&run, "ETHUSDT", 11), (vec![], vec![]));
    assert_eq!(breaks(&ranges(&run.texts())["BTCUSDT"]), 3);
    assert_eq!(run.venue.counters().faults, 3);
}

#[test]
fn duplicate_sends_twice_and_reorder_swaps() {
    let run = depth_run("at 3s duplicate btcusdt@depth@*", 6);
    let (missing, added) = missing_and_added(&run, "BTCUSDT", 6);
    assert_eq!((missing.len(), added.len()), (0, 1));
    assert_eq!(ranges(&run.texts())["BTCUSDT"].windows(2).filter(|w| w[1] == w[0]).count(), 1);

    let run = depth_run("at 3s reorder ETHUSDT", 6);
    assert_eq!(missing_and_added(&run, "ETHUSDT", 6), (vec![], vec![]));
    let eth = &ranges(&run.texts())["ETHUSDT"];
    let at = eth.windows(2).position(|w| w[1].0 < w[0].0).unwrap();
    assert_eq!(eth[at + 1].1 + 1, eth[at].0, "the two are neighbours");
    assert_eq!(eth[at - 1].1 + 1, eth[at + 1].0);
}

#[test]
fn corrupt_sends_something_that_is_no_json() {
    let run = depth_run("every 1s corrupt", 20);
    let bad = run.texts().iter().filter(|text| serde_json::from_str::<Value>(text).is_err()).count();
    assert!((18..=20).contains(&bad), "{bad}");
}

#[test]
fn silence_withholds_events_for_its_time() {
    let run = depth_run("at 2s silence BTCUSDT for 3s", 8);
    let is_btc = |(_, text): &(u64, String)| text.contains("BTCUSDT");
    let times: Vec<u64> = run.timed_texts().into_iter().filter(is_btc).map(|(at, _)| at).collect();
    assert!(times.iter().all(|at| *at < 2 * S || *at >= 5 * S));
    assert!(times.iter().any(|at| *at > 5 * S));
    assert_eq!(missing_and_added(&run, "ETHUSDT", 8), (vec![], vec![]));
    assert_eq!(breaks(&ranges(&run.texts())["BTCUSDT"]), 1, "what was withheld is lost");
}

#[test]
fn a_silent_connection_says_nothing_at_all() {
    let mut run = Run::with("at 15s silence connection for 10s");
    let conn = run.connect("/ws/btcusdt@depth@100ms");
    run.run(16 * S);
    run.send(conn, r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#);
    run.venue.ping(run.now, conn, b"x");
    run.run(10 * S);
    let quiet = run.said.iter().filter(|(at, _, _)| (15 * S..25 * S).contains(at)).count();
    assert_eq!(quiet, 0, "no events, no ping at 20 s, no answers");
    assert!(run.said.iter().any(|(at, _, _)| *at >= 25 * S));
    assert_eq!(run.venue.connections(), 1);
}

#[test]
fn ends_of_connections() {
    for (script, expected) in [
        ("at 2s close 1012", Out::Close { code: 1012, reason: String::new() }),
        ("at 2s cut", Out::Cut),
        ("at 2s half-open", Out::Stall),
    ] {
        let mut run = Run::with(script);
        run.connect("/ws/btcusdt@bookTicker");
        run.connect("/ws/btcusdt@bookTicker");
        run.run(4 * S);
        assert_eq!(run.controls(), [(2 * S, expected.clone()), (2 * S, expected)], "{script}");
        assert_eq!(run.said.last().unwrap().0, 2 * S, "nothing follows");
        assert_eq!(run.venue.connections(), 0);
    }
    let mut run = Run::with("at 2s cut one");
    run.connect("/ws/btcusdt@bookTicker");
    run.connect("/ws/btcusdt@bookTicker");
    run.run(4 * S);
    assert_eq!(run.controls(), [(2 * S, Out::Cut)]);
    assert_eq!(run.venue.connections(), 1);
}

#[test]
fn shutdown_is_announced_and_then_closes() {
    let mut run = Run::with("at 5s shutdown after 2s");
    run.connect("/ws");
    run.run(6 * S);
    // A connection of meanwhile is not concerned.
    run.connect("/ws");
    run.run(4 * S);
    assert_eq!(run.timed_texts(), [(5 * S, r#"{"e":"serverShutdown","E":1700000005000}"#.to_owned())]);
    assert_eq!(run.controls(), [(7 * S, Out::Close { code: 1001, reason: "going away".to_owned() })]);
    assert_eq!(run.venue.connections(), 1);
}

#[test]
fn a_scripted_lifetime_replaces_the_venues_own() {
    let mut run = Run::with("lifetime 10s");
    run.connect("/ws");
    run.run(11 * S);
    assert_eq!(run.timed_texts().len(), 1);
    assert_eq!(run.controls(), [(10 * S, Out::Close { code: 1001, reason: "going away".to_owned() })]);
}

#[test]
fn faults_of_requests() {
    let mut run = Run::with("at 1s http 503 /api/v3/depth for 2 requests\nat 2s http 429\nat 3s slow 3s");
    run.now += S;
    assert_eq!(run.http("/api/v3/time").status, 200);
    let depth = "/api/v3/depth?symbol=BTCUSDT";
    let statuses: Vec<u16> = (0..3).map(|_| run.http(depth).status).collect();
    assert_eq!(statuses, [503, 503, 200]);
    run.now += S;
    let reply = run.http("/api/v3/time");
    assert_eq!((reply.status, header(&reply, "Retry-After")), (429, Some("1")));
    assert_eq!(run.venue.counters().too_many, 0, "a scripted 429 is not the client's fault");
    run.now += S;
    let slow = run.http(depth).delay_ns;
    assert!((3 * S..=3 * S + 20 * MS).contains(&slow));
    assert!(run.http(depth).delay_ns <= 20 * MS);
}

#[test]
fn stale_snapshots_are_older_than_what_was_held() {
    let mut run = Run::with("at 9s stale BTCUSDT for 2 requests");
    run.run(8 * S);
    run.connect("/ws/btcusdt@depth@100ms");
    run.run(S + 500 * MS);
    let first_held = ranges(&run.texts())["BTCUSDT"][0].0;
    for _ in 0..2 {
        let id = json(&run.http("/api/v3/depth?symbol=BTCUSDT").body)["lastUpdateId"].as_u64().unwrap();
        assert!(id + 1 < first_held, "{id} {first_held}");
        let truth = run.venue.truth_levels_at("BTCUSDT", id).unwrap();
        assert_eq!(run.venue.truth_at("BTCUSDT", id), Some(truth.fingerprint()));
    }
}

#[test]
fn connections_are_refused_for_a_while() {
    let mut run = Run::with("at 2s refuse for 3s");
    let refused: Vec<u64> = (0..8).filter(|s| run.venue.refuses(START + s * S)).collect();
    assert_eq!(refused, [2, 3, 4]);
}

#[test]
fn faults_of_bytes_are_announced_to_the_wire() {
    let mut run = Run::with("at 1s split 3 for 2s\nat 1s glue 5 for 2s\nat 1s fragment for 2s");
    run.connect("/ws");
    run.run(2 * S);
    let until = START + 3 * S;
    assert_eq!(
        run.controls(),
        [
            (S, Out::Wire(WireFault::Split(3), until)),
            (S, Out::Wire(WireFault::Glue(5), until)),
            (S, Out::Wire(WireFault::Fragment, until)),
        ]
    );
    assert_eq!(run.venue.wire_faults(run.now).count(), 3);
    assert_eq!(run.venue.wire_faults(until).count(), 0);
}

#[test]
fn equal_seeds_give_equal_runs_with_random_faults() {
    let go = |seed: u64| {
        let mut run = Run::new(VenueKind::Binance, |config| {
            config.seed = seed;
            config.early_event_percent = 25;
            config.script = Script::random(seed, 20 * S, &["BTCUSDT", "ETHUSDT"]);
        });
        run.connect("/stream?streams=btcusdt@depth@100ms/ethusdt@trade/btcusdt@ticker");
        let other = run.connect("/ws");
        run.send(other, r#"{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":1}"#);
        run.run_alive(20 * S);
        let snapshot = run.http("/api/v3/depth?symbol=BTCUSDT&limit=1000");
        (run.said, snapshot)
    };
    for seed in 0..20 {
        assert_eq!(go(seed), go(seed), "seed {seed}");
    }
}
