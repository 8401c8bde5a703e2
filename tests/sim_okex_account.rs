//! The account of the loopback OKX: its private socket and its signed REST by hand, then a day's trading by the engine.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

#[allow(unreachable_pub, clippy::unwrap_used, dead_code)] // Modules of tests: nothing else reaches them.
mod by_hand;
#[allow(unreachable_pub, clippy::unwrap_used, dead_code)]
mod loopback;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use by_hand::{MS, Run, SECOND, START, keys, parsed};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use wirebook::sim::VenueKind;
use wirebook::sim::wire::Request;

// What the venue's account has where nothing else is asked for.
const KEY: &str = "loopback-key";
const SECRET: &str = "bG9vcGJhY2stc2VjcmV0LWxvb3BiYWNrLXNlY3JldCE=";
const PASSPHRASE: &str = "loopback-pass";

fn sign(text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn login(now_ns: u64) -> String {
    let time = (now_ns / SECOND).to_string();
    let sign = sign(&format!("{time}GET/users/self/verify"));
    json!({"op": "login", "args": [{"apiKey": KEY, "passphrase": PASSPHRASE, "timestamp": time, "sign": sign}]})
        .to_string()
}

/// A client that is logged in at the private path.
fn private() -> Run {
    let mut run = Run::with(VenueKind::Okex, "/ws/v5/private", |config| {
        config.levels = 20;
        config.early_event_percent = 0;
    });
    let ask = login(run.now);
    assert_eq!(run.ask(&ask), [r#"{"event":"login","code":"0","msg":"","connId":"00000001"}"#]);
    run
}

/// A signed request. The time is one of the first minute after [`START`], 2023-11-14T22:13:20Z.
fn signed(run: &mut Run, method: &str, target: &str, body: &str) -> (u16, Value) {
    let of_minute_ms = 20_000 + (run.now - START) / MS;
    let time = format!(
        "2023-11-14T22:{:02}:{:02}.{:03}Z",
        13 + of_minute_ms / 60_000,
        of_minute_ms / 1_000 % 60,
        of_minute_ms % 1_000
    );
    let sign = sign(&format!("{time}{method}{target}{body}"));
    let headers = [
        ("ok-access-key", KEY),
        ("ok-access-passphrase", PASSPHRASE),
        ("ok-access-timestamp", &time),
        ("ok-access-sign", &sign),
    ];
    let request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: body.as_bytes().to_vec(),
    };
    let reply = run.venue.request(run.now, &request);
    (reply.status, parsed(&reply.body))
}

#[test]
fn logins_are_checked() {
    let mut run = Run::new(VenueKind::Okex, "/ws/v5/private", "");
    let subscribe = r#"{"op":"subscribe","args":[{"channel":"orders","instType":"ANY"}]}"#;
    assert!(run.ask(subscribe)[0].contains("60011"));
    let order = r#"{"id":"1","op":"order","args":[{}]}"#;
    assert!(run.ask(order)[0].starts_with(r#"{"id":"1","event":"error","code":"60011""#));
    let right = login(run.now);
    for (from, to, code) in [
        ("loopback-key", "loopback-kex", "60005"),
        ("loopback-pass", "loopback-past", "60024"),
        ("\"1700000000\"", "\"1600000000\"", "60006"),
        ("\"1700000000\"", "\"1700000001\"", "60007"),
        ("timestamp", "time", "60009"),
    ] {
        let wrong = right.replace(from, to);
        assert_ne!(wrong, right);
        let answer = parsed(&run.ask(&wrong)[0]);
        assert_eq!((answer["event"].as_str(), answer["code"].as_str()), (Some("error"), Some(code)), "{from}");
        assert!(run.ask(subscribe)[0].contains("60011"));
    }
    assert_eq!(parsed(&run.ask(&right)[0])["event"], "login");
    let answers = run.ask(subscribe);
    assert_eq!(answers, [r#"{"event":"subscribe","arg":{"channel":"orders","instType":"ANY"},"connId":"00000001"}"#]);
    assert!(run.ask(&subscribe.replace("orders", "fills"))[0].contains("64003"));
    assert!(run.ask(&subscribe.replace("ANY", "ALL"))[0].contains("60018"));
}

#[test]
fn requests_are_checked() {
    let mut run = private();
    let target = "/api/v5/account/balance?ccy=BTC";
    let reply = run.venue.http(run.now, "GET", target, &[]);
    assert_eq!((reply.status, parsed(&reply.body)["code"].as_str()), (401, Some("50103")));
    let (status, answer) = signed(&mut run, "GET", target, "");
    let details = &answer["data"][0]["details"];
    assert_eq!((status, details.as_array().unwrap().len()), (200, 1));
    assert_eq!((details[0]["ccy"].as_str(), details[0]["eq"].as_str()), (Some("BTC"), Some("100")));
    assert_eq!(signed(&mut run, "POST", target, "").0, 405);
    assert_eq!(signed(&mut run, "POST", "/api/v5/trade/order", "[]").1["code"], "51000");
    assert_eq!(signed(&mut run, "POST", "/api/v5/trade/order", "{").1["code"], "50002");
    run.now += 31 * SECOND;
    let time = "2023-11-14T22:13:20.000Z";
    let sign = sign(&format!("{time}GET{target}"));
    let headers = [
        ("ok-access-key", KEY),
        ("ok-access-passphrase", PASSPHRASE),
        ("ok-access-timestamp", time),
        ("ok-access-sign", &sign),
    ];
    let reply =
        run.venue.http(run.now, "GET", target, &headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((reply.status, parsed(&reply.body)["code"].as_str()), (401, Some("50102")));
}

/// The rows of a channel among what was said, parts of them as text.
fn rows(texts: &[String], channel: &str, parts: &[&str]) -> Vec<String> {
    let messages = texts
        .iter()
        .map(|text| parsed(text))
        .filter(|message| message["arg"]["channel"] == channel && message["data"].is_array());
    let rows = messages.flat_map(|message| message["data"].as_array().unwrap().clone());
    let part = |row: &Value, name: &str| row[name].as_str().unwrap_or_else(|| panic!("{name} of {row}")).to_owned();
    rows.map(|row| parts.iter().map(|name| part(&row, name)).collect::<Vec<_>>().join(" ")).collect()
}

fn op(id: &str, op: &str, args: Value) -> String {
    json!({"id": id, "op": op, "args": args}).to_string()
}

const STATE: [&str; 4] = ["clOrdId", "state", "sz", "px"];

#[test]
fn orders_are_taken_changed_and_canceled() {
    let mut run = private();
    let texts = run.ask(
        r#"{"op":"subscribe","args":[{"channel":"orders","instType":"SPOT"},{"channel":"account","ccy":"USDT"},
            {"channel":"balance_and_position"},{"channel":"positions","instType":"ANY"}]}"#,
    );
    let channels: Vec<String> = texts
        .iter()
        .map(|text| parsed(text))
        .map(|text| format!("{} {}", text["event"].as_str().unwrap_or("-"), text["arg"]["channel"].as_str().unwrap()))
        .collect();
    assert_eq!(
        channels,
        [
            "subscribe orders",
            "subscribe account",
            "- account",
            "subscribe balance_and_position",
            "- balance_and_position",
            "subscribe positions",
            "- positions",
        ]
    );
    assert!(texts[2].starts_with(
        r#"{"arg":{"channel":"account","ccy":"USDT","uid":"1"},"eventType":"snapshot","curPage":1,"lastPage":true,"data":[{"#
    ));
    assert_eq!(rows(&texts, "account", &["uTime"]), ["1700000000000"]);
    let order = json!({"instIdCode": 10_000, "tdMode": "cash", "side": "buy", "ordType": "limit", "px": "20000", "sz": "0.5", "clOrdId": "b15"});
    let texts = run.ask(&op("1512", "order", json!([order])));
    assert_eq!(
        texts[0],
        r#"{"id":"1512","op":"order","data":[{"ordId":"1000001","clOrdId":"b15","tag":"","reqId":"","ts":"1700000000000","sCode":"0","sMsg":""}],"code":"0","msg":"","inTime":"1700000000000000","outTime":"1700000000000000"}"#
    );
    assert_eq!(rows(&texts, "orders", &STATE), ["b15 live 0.5 20000"]);
    let account = parsed(&texts[2]);
    let details = &account["data"][0]["details"][0];
    assert_eq!(
        ["eq", "availEq", "ordFrozen"].map(|name| details[name].as_str().unwrap()),
        ["1000000", "990000", "10000"]
    );
    assert_eq!(texts.len(), 3, "what is there in all has not changed");

    let amend = json!({"instId": "BTC-USDT", "clOrdId": "b15", "newSz": "0.25", "reqId": "r1"});
    let texts = run.ask(&op("2", "amend-order", json!([amend])));
    assert!(texts[0].contains(r#""reqId":"r1","ts":"1700000000000","sCode":"0""#), "{}", texts[0]);
    assert_eq!(rows(&texts, "orders", &["state", "sz", "amendResult", "reqId"]), ["live 0.25 0 r1"]);

    let mut second = order.clone();
    second["clOrdId"] = json!("b16");
    let texts = run.ask(&op("3", "batch-orders", json!([second, order])));
    let answer = parsed(&texts[0]);
    assert_eq!((answer["code"].as_str(), answer["data"][0]["sCode"].as_str()), (Some("2"), Some("0")));
    assert_eq!(answer["data"][1]["sCode"], "51016");
    assert_eq!(rows(&texts, "orders", &STATE), ["b16 live 0.5 20000"]);

    let (_, pending) = signed(&mut run, "GET", "/api/v5/trade/orders-pending?instType=SPOT", "");
    let ids = |answer: &Value| -> Vec<String> {
        answer["data"].as_array().unwrap().iter().map(|row| row["ordId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&pending), ["1000002", "1000001"]);
    let older = signed(&mut run, "GET", "/api/v5/trade/orders-pending?after=1000002&limit=5", "").1;
    assert_eq!(ids(&older), ["1000001"]);

    let texts = run.ask(&op("4", "cancel-order", json!([{"instId": "BTC-USDT", "ordId": "1000001"}])));
    assert_eq!(rows(&texts, "orders", &["clOrdId", "state", "cancelSource"]), ["b15 canceled 1"]);
    let texts = run.ask(&op("5", "cancel-order", json!([{"instId": "BTC-USDT", "ordId": "1000001"}])));
    assert_eq!(
        (parsed(&texts[0])["code"].as_str(), parsed(&texts[0])["data"][0]["sCode"].as_str()),
        (Some("1"), Some("51401"))
    );
    let body = r#"{"instId":"BTC-USDT","clOrdId":"b16"}"#;
    assert_eq!(signed(&mut run, "POST", "/api/v5/trade/cancel-order", body).1["code"], "0");
    assert_eq!(rows(&run.collect(), "orders", &STATE), ["b16 canceled 0.5 20000"]);
    assert_eq!(
        ids(&signed(&mut run, "GET", "/api/v5/trade/orders-history?instType=SPOT", "").1),
        ["1000002", "1000001"]
    );
    let row = signed(&mut run, "GET", "/api/v5/trade/order?instId=BTC-USDT&clOrdId=b15", "").1["data"][0].clone();
    assert_eq!(
        (row["ordId"].as_str(), row["sz"].as_str(), row["state"].as_str()),
        (Some("1000001"), Some("0.25"), Some("canceled"))
    );
    assert_eq!(run.venue.account().balance("USDT").used.to_string(), "0");
}

#[test]
fn orders_that_make_no_sense_are_refused() {
    let mut run = private();
    let order =
        json!({"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "limit", "px": "20000", "sz": "0.5"});
    for (name, value, code) in [
        ("instId", json!("CBT-USDT"), "51001"),
        ("instIdCode", json!(77), "51001"),
        ("instId", json!("BTC-USDT-SWAP"), "51010"),
        ("tdMode", json!("cross"), "51000"),
        ("side", json!("hold"), "51000"),
        ("ordType", json!("iceberg"), "51000"),
        ("px", json!(""), "51000"),
        ("px", json!("1e4"), "51000"),
        ("px", json!("0.001"), "51000"),
        ("sz", json!("0.000001"), "51121"),
        ("sz", json!("0.00001"), "51020"),
        ("sz", json!("9000"), "51008"),
        ("sz", json!(5), "51000"),
        ("clOrdId", json!("a-b"), "51000"),
        ("clOrdId", json!("a".repeat(33)), "51000"),
    ] {
        let mut wrong = order.clone();
        wrong[name] = value;
        let texts = run.ask(&op("1", "order", json!([wrong])));
        assert_eq!(parsed(&texts[0])["data"][0]["sCode"], code, "{wrong}");
        assert_eq!(texts.len(), 1);
    }
    for (text, code) in [
        (op("1", "order", json!([order, order])), "60013"),
        (op("1", "order", json!([])), "60013"),
        (op("1", "batch-orders", json!(vec![&order; 21])), "60013"),
        (op("1", "jump", json!([order])), "60012"),
        (op("1", "order", json!([order])).replace("\"id\":\"1\",", ""), "60012"),
    ] {
        assert_eq!(parsed(&run.ask(&text)[0])["code"], code, "{text}");
    }
    for (name, arg, code) in [
        ("cancel-order", json!({"instId": "BTC-USDT", "ordId": "5"}), "51400"),
        ("cancel-order", json!({"instId": "BTC-USDT"}), "50014"),
        ("amend-order", json!({"instId": "BTC-USDT", "ordId": "5", "newSz": "1"}), "51503"),
    ] {
        assert_eq!(parsed(&run.ask(&op("1", name, json!([arg])))[0])["data"][0]["sCode"], code, "{name} {arg}");
    }
    assert_eq!(
        (run.venue.account().orders().len(), run.venue.account().balance("USDT").used.to_string()),
        (0, "0".to_owned())
    );
}

#[test]
fn fills_fees_and_bills_are_told() {
    let mut run = private();
    run.run(2_000 * MS);
    run.ask(r#"{"op":"subscribe","args":[{"channel":"orders","instType":"ANY"},{"channel":"account"}]}"#);
    let buy = json!({"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "market", "sz": "0.1", "tgtCcy": "base_ccy", "clOrdId": "m1"});
    let texts = run.ask(&op("1", "order", json!([buy])));
    let told = rows(
        &texts,
        "orders",
        &["state", "accFillSz", "tradeId", "fillSz", "fillFee", "fillFeeCcy", "execType", "fee"],
    );
    let account = run.venue.account();
    let order = account.order_named("m1").unwrap().clone();
    let fills: Vec<_> = account.fills().cloned().collect();
    let (mut expected, mut filled, mut fee) = (vec!["live 0  0 0   0".to_owned()], wire(0), wire(0));
    for fill in &fills {
        filled += fill.amount;
        fee += fill.fee;
        let state = if filled == order.amount { "filled" } else { "partially_filled" };
        let (filled, fee) = (filled.normalize(), fee.normalize());
        let (amount, its_fee) = (fill.amount.normalize(), fill.fee.normalize());
        expected.push(format!("{state} {filled} {} {amount} -{its_fee} BTC T -{fee}", fill.id));
    }
    assert_eq!(told, expected);
    assert_eq!((filled, fee), (order.amount, order.amount / wire(1_000)));
    let (free, spent) = (account.balance("BTC").free, order.cost);
    assert_eq!(free, wire(100) + order.amount - fee);

    let (_, answer) = signed(&mut run, "GET", "/api/v5/trade/fills?instType=SPOT&instId=BTC-USDT", "");
    let ids: Vec<&str> =
        answer["data"].as_array().unwrap().iter().map(|row| row["tradeId"].as_str().unwrap()).collect();
    assert_eq!(ids, fills.iter().rev().map(|fill| fill.id.to_string()).collect::<Vec<_>>());
    let (_, answer) = signed(&mut run, "GET", "/api/v5/account/bills?type=2", "");
    let bills = answer["data"].as_array().unwrap();
    assert_eq!(bills.len(), 2 * fills.len());
    let sum = |currency: &str, name: &str| -> rust_decimal::Decimal {
        let its = bills.iter().filter(|bill| bill["ccy"] == currency);
        its.map(|bill| bill[name].as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap()).sum()
    };
    assert_eq!((sum("BTC", "balChg"), sum("BTC", "fee")), (order.amount - fee, -fee));
    assert_eq!((sum("USDT", "balChg"), sum("USDT", "fee")), (-spent, wire(0)));
    assert_eq!(bills.iter().find(|bill| bill["ccy"] == "BTC").unwrap()["bal"], free.normalize().to_string());
    assert_eq!(signed(&mut run, "GET", "/api/v5/account/trade-fee?instType=SPOT", "").1["data"][0]["taker"], "-0.001");
    assert_eq!(signed(&mut run, "GET", "/api/v5/account/positions", "").1["data"], json!([]));
    // All balances again, though nothing has happened.
    let texts = run.run(5 * SECOND);
    let again: Vec<Value> =
        texts.iter().map(|text| parsed(text)).filter(|text| text["arg"]["channel"] == "account").collect();
    assert_eq!(again.len(), 1);
    assert_eq!(keys(&again[0]), "arg curPage data eventType lastPage");
}

fn wire(value: i64) -> rust_decimal::Decimal {
    value.into()
}
