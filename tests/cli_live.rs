//! The commands that talk to a venue, against the loopback venue over real sockets.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // What is not there ends the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use wirebook::decimal::Fixed;
use wirebook::sim::faults::Script;
use wirebook::sim::server::{Server, ServerConfig};
use wirebook::sim::{Config, VenueKind};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirebook"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn wirebook(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn errors(output: &Output) -> Vec<String> {
    String::from_utf8(output.stderr.clone()).unwrap().lines().map(str::to_owned).collect()
}

fn json_lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A loopback venue, and the file of its certificate authority.
struct Venue {
    server: Server,
    ca: PathBuf,
}

impl Venue {
    fn start(tls: bool, script: &str) -> Venue {
        let mut config = Config::new(VenueKind::Binance).with_symbols(3);
        // Books small enough that no snapshot is cut.
        config.levels = 20;
        config.script = Script::parse(script).unwrap();
        let mut server_config = ServerConfig::new(config);
        server_config.tls = tls;
        let server = Server::start(server_config).unwrap();
        let ca = std::env::temp_dir().join(format!("wirebook-{}-{}.pem", std::process::id(), server.address().port()));
        std::fs::write(&ca, server.ca_pem().unwrap_or("")).unwrap();
        Venue { server, ca }
    }

    /// Runs a command at this venue.
    fn run(&self, arguments: &[&str]) -> Output {
        let (ws, ca) = (self.server.ws_url(), self.ca.to_str().unwrap());
        let mut all = arguments.to_vec();
        all.extend(["--endpoint", &ws]);
        if self.server.ca_pem().is_some() {
            all.extend(["--ca", ca]);
        }
        wirebook(&all)
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.ca);
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Every live book that is shown is the venue's own, over TLS and plain.
#[test]
fn watched_books_are_the_venues() {
    for tls in [true, false] {
        let venue = Venue::start(tls, "");
        let output =
            venue.run(&["watch", "binance", "BTC/USDT", "ETHUSDT", "--depth", "100", "--json", "--count", "30"]);
        assert!(output.status.success(), "{:?}", errors(&output));
        assert_eq!(errors(&output), Vec::<String>::new());
        let events = json_lines(&output);
        let mut live = 0;
        for event in events.iter().filter(|event| event["type"] == "book") {
            let (bids, asks) = (event["bids"].as_array().unwrap(), event["asks"].as_array().unwrap());
            if event["state"] != "live" {
                assert!(bids.is_empty() && asks.is_empty(), "a book that is not whole shows nothing: {event}");
                continue;
            }
            live += 1;
            let id = event["symbol"].as_str().unwrap().replace('/', "");
            let truth = venue.server.truth_levels_at(&id, event["nonce"].as_u64().unwrap()).unwrap();
            for (ours, theirs) in [(bids, &truth.bids), (asks, &truth.asks)] {
                let ours: Vec<(Fixed, Fixed)> = ours
                    .iter()
                    .map(|level| {
                        (level[0].as_str().unwrap().parse().unwrap(), level[1].as_str().unwrap().parse().unwrap())
                    })
                    .collect();
                let theirs: Vec<(Fixed, Fixed)> = theirs
                    .iter()
                    .map(|(p, q)| (Fixed::new(*p, truth.price_scale), Fixed::new(*q, truth.qty_scale)))
                    .collect();
                assert_eq!(ours, theirs);
            }
        }
        assert_eq!(live, 30);
        assert!(events.iter().any(|event| event["type"] == "state" && event["state"] == "confirmed"));
    }
}

#[test]
fn other_channels_come_as_events_with_the_names_of_ccxt() {
    let venue = Venue::start(true, "");
    let channels = "trades,aggtrades,bidask,ticker,candles:1m";
    let output = venue.run(&["watch", "binance", "BTC/USDT", "--channel", channels, "--json", "--seconds", "3"]);
    assert!(output.status.success(), "{:?}", errors(&output));
    let events = json_lines(&output);
    let first = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    for (kind, fields) in [
        ("trade", &["id", "side", "price", "amount", "timestamp"][..]),
        ("aggtrade", &["id", "side", "price", "amount", "timestamp"]),
        ("bidask", &["bid", "bidVolume", "ask", "askVolume", "nonce"]),
        ("ticker", &["last", "high", "low", "baseVolume", "vwap"]),
        ("candle", &["timeframe", "timestamp", "open", "high", "low", "close", "volume"]),
    ] {
        let event = first(kind);
        assert_eq!(event["symbol"], "BTC/USDT");
        for field in fields {
            assert!(event.get(*field).is_some(), "{kind} has no {field}: {event}");
        }
    }
}

/// A cut connection shows, and the book comes back.
#[test]
fn a_lost_connection_shows_and_heals() {
    let venue = Venue::start(true, "at 1500ms cut");
    let output = venue.run(&["watch", "binance", "BTC/USDT", "--json", "--count", "30"]);
    assert!(output.status.success(), "{:?}", errors(&output));
    let events = json_lines(&output);
    let lost = events.iter().position(|event| event["type"] == "book" && event["cause"] == "connection lost").unwrap();
    assert_eq!(events[lost]["state"], "syncing");
    assert!(events[..lost].iter().any(|event| event["state"] == "live"));
    assert!(events[lost..].iter().any(|event| event["state"] == "live"));
    let warning = &errors(&output)[0];
    assert!(warning.starts_with("wirebook: warning: the "), "{warning}");
}

#[test]
fn the_text_is_one_line_an_event() {
    let venue = Venue::start(true, "");
    let output = venue.run(&["watch", "binance", "BTC/USDT", "--count", "3"]);
    assert!(output.status.success(), "{:?}", errors(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().any(|line| line.contains("BTC/USDT     book     [confirmed: confirmed]")), "{text}");
    let books = text.lines().filter(|line| line.contains(" levels, nonce "));
    assert_eq!(books.count(), 3, "{text}");
}

/// Each cause in one clear line, at the end at the latest.
#[test]
fn wrong_input_and_wrong_places_are_named() {
    let venue = Venue::start(true, "");
    let (ws, rest) = (venue.server.ws_url(), venue.server.rest_url());
    let plain = ws.replace("wss:", "ws:");
    let last = |code: i32, output: Output| {
        assert_eq!(output.status.code(), Some(code), "{:?}", errors(&output));
        errors(&output).pop().unwrap()
    };
    // The symbol.
    let text = last(1, venue.run(&["watch", "binance", "BTC/USDTT"]));
    assert!(text.starts_with("wirebook: binance: BTC/USDTT: no such market; did you mean BTC/USDT"), "{text}");
    // The certificate; warned of at once, and the error at the end.
    let output = wirebook(&["watch", "binance", "BTC/USDT", "--endpoint", &ws, "--seconds", "1"]);
    let lines = errors(&output);
    assert!(lines.len() >= 2, "{lines:?}");
    assert!(lines[0].starts_with("wirebook: warning: markets of binance could not be loaded: TLS: "), "{lines:?}");
    let text = last(1, output);
    assert!(text.starts_with("wirebook: TLS: the certificate is not signed by a trusted authority"), "{text}");
    // A port where nothing listens.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("ws://{}", listener.local_addr().unwrap())
    };
    let text = last(1, wirebook(&["watch", "binance", "BTC/USDT", "--endpoint", &closed, "--seconds", "1"]));
    assert!(text.contains("refused: nothing listens there"), "{text}");
    // The streams there, and the markets elsewhere: the connection is what fails then.
    let mut arguments = vec!["watch", "binance", "BTC/USDT", "--endpoint", &closed, "--rest-url", &rest];
    arguments.extend(["--ca", venue.ca.to_str().unwrap()]);
    let output = wirebook(&arguments);
    assert!(errors(&output)[0].contains("warning: connection to 127.0.0.1:"), "{:?}", errors(&output));
    let text = last(1, output);
    assert!(text.contains("refused: nothing listens there"), "{text}");
    // Plain where TLS is spoken.
    let text = last(1, wirebook(&["watch", "binance", "BTC/USDT", "--endpoint", &plain, "--seconds", "1"]));
    assert!(text.starts_with("wirebook: bad HTTP response: "), "{text}");
    // URLs.
    let text = last(2, wirebook(&["watch", "binance", "BTC/USDT", "--endpoint", "127.0.0.1:1"]));
    assert!(text.contains("bad URL: no scheme; begin with ws://, wss://"), "{text}");
    let text = last(2, wirebook(&["watch", "binance", "BTC/USDT", "--endpoint", "wss://127.0.0.1:1/stream"]));
    assert!(text.ends_with("give scheme, host and port only; the paths are those of the venue"), "{text}");
    let text = last(2, wirebook(&["markets", "binance", "--rest-url", "wss://127.0.0.1:1"]));
    assert!(text.ends_with("REST needs https:// or http://"), "{text}");
    // The rest.
    let text = last(2, wirebook(&["watch", "binanze", "BTC/USDT"]));
    assert!(text.contains("there are binance, binanceus, binanceje, okex, okcoin, kraken, coinbasepro"), "{text}");
    let text = last(1, wirebook(&["watch", "binanceje", "BTC/USDT"]));
    assert!(text.contains("Binance Jersey closed on 2020-11-30"), "{text}");
    let text = last(2, wirebook(&["watch", "binance", "BTC/USDT", "--channel", "candles:2m"]));
    assert!(text.contains("no timeframe \"2m\"; there are 1s, 1m"), "{text}");
    let text = last(2, venue.run(&["watch", "binance"]));
    assert_eq!(text, "wirebook: name at least one symbol for --channel book");
    let text = last(2, venue.run(&["watch", "binance", "BTC/USDT", "--channel", "trades", "--depth", "5"]));
    assert_eq!(text, "wirebook: --depth is for --channel book");
    let text = last(1, venue.run(&["watch", "binance", "BTC/USDT", "--depth", "60000"]));
    assert!(text.contains("a book has 1 to 5000 levels a side here"), "{text}");
    let text = last(1, wirebook(&["watch", "binance", "BTC/USDT", "--ca", "/nowhere.pem"]));
    assert_eq!(text, "wirebook: /nowhere.pem: No such file or directory (os error 2)");
}

#[test]
fn markets_are_listed_with_their_steps() {
    let venue = Venue::start(true, "");
    let output = venue.run(&["markets", "binance", "--json"]);
    assert!(output.status.success(), "{:?}", errors(&output));
    let markets: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ids: Vec<&str> = markets.as_array().unwrap().iter().map(|market| market["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["BTCUSDT", "ETHUSDT", "BNBUSDT"]);
    let truth = venue.server.truth("BTCUSDT").unwrap();
    let btc = &markets[0];
    assert_eq!(
        (btc["symbol"].as_str(), btc["base"].as_str(), btc["type"].as_str()),
        (Some("BTC/USDT"), Some("BTC"), Some("spot"))
    );
    let number = |value: &Value| value.as_str().unwrap().parse::<Fixed>().unwrap();
    assert_eq!(number(&btc["precision"]["price"]), truth.tick.parse().unwrap());
    assert_eq!(number(&btc["precision"]["amount"]), truth.step.parse().unwrap());
    let output = venue.run(&["markets", "binance", "eth"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["SYMBOL", "ID", "ACTIVE"]);
    assert_eq!((lines.len(), &lines[1][..3]), (2, &["ETH/USDT", "ETHUSDT", "yes"][..]));
    let output = venue.run(&["markets", "binance", "nosuch"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors(&output), ["wirebook: none of the 3 markets of binance has \"NOSUCH\" in its name"]);
}

/// Ctrl-C ends a command with success, and whoever closes the pipe hears nothing more.
#[test]
fn an_interrupt_and_a_closed_pipe_end_it_quietly() {
    let venue = Venue::start(true, "");
    let (ws, ca) = (venue.server.ws_url(), venue.ca.to_str().unwrap());
    for how in ["-INT", "-TERM", "close"] {
        let mut child = command(&["watch", "binance", "BTC/USDT", "--endpoint", &ws, "--ca", ca]).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("levels, nonce") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended too early");
        }
        if how == "close" {
            drop(out);
        } else {
            signal(&child, how);
            // The rest is whole lines.
            let mut rest = String::new();
            out.read_to_string(&mut rest).unwrap();
            assert!(rest.is_empty() || rest.ends_with('\n'));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), errors(&output)), (Some(0), vec![]), "{how}");
    }
}

#[test]
fn sim_says_where_it_is_and_serves_until_it_is_stopped() {
    let ca = std::env::temp_dir().join(format!("wirebook-sim-{}.pem", std::process::id()));
    for plain in [false, true] {
        let mut arguments = vec!["sim", "binanceus", "--symbols", "2", "--seed", "7", "--rate", "50"];
        if plain {
            arguments.push("--plain");
        } else {
            arguments.extend(["--ca-out", ca.to_str().unwrap()]);
        }
        let mut child = command(&arguments).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let place: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(place["venue"], "binanceus");
        let (ws, rest) = (place["ws"].as_str().unwrap(), place["rest"].as_str().unwrap());
        assert_eq!(ws.starts_with("wss://127.0.0.1:"), !plain);
        let mut arguments = vec!["watch", "binanceus", "BTCUSDT", "--endpoint", ws, "--rest-url", rest, "--count", "2"];
        if plain {
            assert!(place["ca"].is_null());
        } else {
            arguments.extend(["--ca", place["ca"].as_str().unwrap()]);
        }
        let output = wirebook(&arguments);
        assert!(output.status.success(), "{:?}", errors(&output));
        signal(&child, "-TERM");
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "one line and no more");
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), errors(&output)), (Some(0), vec![]));
    }
    let _ = std::fs::remove_file(ca);
}

#[test]
fn sim_refuses_what_makes_no_sense() {
    let script = std::env::temp_dir().join(format!("wirebook-faults-{}.txt", std::process::id()));
    std::fs::File::create(&script).unwrap().write_all(b"at 5s gap\nat 5s explode\n").unwrap();
    let path = script.to_str().unwrap();
    let output = wirebook(&["sim", "binance", "--faults", path]);
    std::fs::remove_file(&script).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output)[0].starts_with(&format!("wirebook: {path}:2: ")), "{:?}", errors(&output));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = wirebook(&["sim", "binance", "--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        errors(&output),
        [format!("wirebook: port {port} is taken; choose another one, or none for a free one")]
    );
    let output = wirebook(&["sim", "binance", "--plain", "--ca-out", "/tmp/x"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_demo_checks_every_book() {
    let output = wirebook(&["demo", "--seconds", "2", "--symbols", "3", "--rate", "200", "--json"]);
    assert!(output.status.success(), "{:?}", errors(&output));
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&outcome["ok"], &outcome["wrong"]), (&Value::Bool(true), &serde_json::json!(0)));
    assert!(outcome["checked"].as_u64().unwrap() > 10, "{outcome}");
    let books = outcome["books"].as_array().unwrap();
    assert_eq!(books.len(), 3);
    assert!(books.iter().all(|book| book["right"] == true && book["state"] == "live"));
    let stages = outcome["metrics"]["stages"].as_array().unwrap();
    assert!(stages.iter().any(|row| row["channel"] == "book" && row["stage"] == "user"));
    // A snapshot comes by no stream, so there is no read that its stages could be counted from.
    let minute = 59_000_000_000;
    assert!(stages.iter().all(|row| row["max_ns"].as_u64().unwrap() < minute), "longer than it ran: {outcome}");
}

/// A venue that falls silent leaves books that are behind its truth, and the demo says so.
#[test]
fn the_demo_fails_when_books_are_behind() {
    let script = std::env::temp_dir().join(format!("wirebook-demo-{}.txt", std::process::id()));
    std::fs::write(&script, "at 500ms silence connection for 60s\n").unwrap();
    let output = wirebook(&["demo", "--seconds", "1", "--symbols", "2", "--faults", script.to_str().unwrap()]);
    std::fs::remove_file(&script).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let last = errors(&output).pop().unwrap();
    assert!(last.starts_with("wirebook: 2 of 2 books are not right; BTC/USDT: the venue was at "), "{last}");
}

#[test]
fn the_doctor_reports_as_table_and_as_json() {
    let output = wirebook(&["doctor", "--json"]);
    assert!(output.status.success());
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = findings.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"clock source") && names.contains(&"open files"), "{names:?}");
    let output = wirebook(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), names.len() + 1);
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal");
}

#[test]
fn help_and_misuse_keep_to_their_streams() {
    let output = wirebook(&["--help"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && errors(&output).is_empty());
    for command in ["watch", "markets", "replay", "decode", "sim", "demo", "doctor"] {
        assert!(text.contains(&format!("\n  {command} ")), "{command} is not in:\n{text}");
        let output = wirebook(&[command, "--help"]);
        assert!(output.status.success() && output.stdout.starts_with(b"") && errors(&output).is_empty());
    }
    for arguments in
        [&[][..], &["nosuch"], &["watch"], &["replay", "--venue", "binance"], &["sim", "binance", "--rate", "0"]]
    {
        let output = wirebook(arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
        let lines = errors(&output);
        assert!(lines.len() == 1 && lines[0].starts_with("wirebook: "), "{lines:?}");
    }
}
