//! The account of the loopback OKX: its private socket and its signed REST by hand, then a day's trading by the engine.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

#[allow(unreachable_pub, clippy::unwrap_used, dead_code)] // Modules of tests: nothing else reaches them.
mod by_hand;
#[allow(unreachable_pub, clippy::unwrap_used, dead_code)]
mod loopback;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use by_hand::{MS, Run, SECOND, START, keys, parsed};
use hmac::{Hmac, KeyInit, Mac};
use loopback::{Loopback, engine_config, sim_of};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sha2::Sha256;
use wirebook::credentials::Credentials;
use wirebook::decimal::Fixed;
use wirebook::model::{
    Event, FeedState, Liquidity, MarketId, NewOrder, OrderId, OrderStatus, TakerSide, TimeInForce, Update, VenueId,
};
use wirebook::sim::VenueKind;
use wirebook::sim::account::Status;
use wirebook::sim::market::Side;
use wirebook::sim::server::{Server, ServerConfig};
use wirebook::sim::venue::Venue;
use wirebook::sim::wire::Request;
use wirebook::{Engine, ErrorKind, VenueConfig};

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
    assert_eq!(run.venue.account().balance("USDT").used, wire(0));
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
    let sum = |currency: &str, name: &str| -> Decimal {
        let its = bills.iter().filter(|bill| bill["ccy"] == currency);
        its.map(|bill| bill[name].as_str().unwrap().parse::<Decimal>().unwrap()).sum()
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

fn wire(value: i64) -> Decimal {
    value.into()
}

fn fixed(text: &str) -> Fixed {
    Fixed::parse_exact(text.as_bytes()).unwrap()
}

fn exact(value: Fixed) -> Decimal {
    value.to_string().parse().unwrap()
}

/// An engine at a loopback OKX, with the keys of its account or others.
fn engine_at(script: &str, secret: &str) -> Loopback {
    let mut sim = sim_of(VenueKind::Okex, 3, script);
    sim.updates_per_s = 100;
    let server = Server::start(ServerConfig { tls: true, ..ServerConfig::new(sim) }).unwrap();
    let mut config = engine_config();
    config.core.order_timeout_ms = 1_000;
    config.roots.extra.extend(server.ca_pem().map(|pem| pem.as_bytes().to_vec()));
    let mut engine = Engine::new(config).unwrap();
    let mut at = VenueConfig::at(server.ws_url(), server.rest_url());
    at.credentials = Some(Credentials::new(KEY, secret).with_passphrase(PASSPHRASE));
    let venue = engine.add_venue_with("okex", at).unwrap();
    engine.load_markets(venue).unwrap();
    Loopback { server, engine, venue }
}

/// An engine with a live account.
struct Day {
    run: Loopback,
    market: MarketId,
    /// Own trades as they were told: id, maker or taker, and the fee.
    trades: Rc<RefCell<Vec<(String, bool, Decimal)>>>,
}

impl Day {
    fn start(script: &str) -> Day {
        let mut run = engine_at(script, SECRET);
        let venue = run.venue;
        run.engine.watch_orders(venue).unwrap();
        run.engine.watch_balance(venue).unwrap();
        let told = run.engine.watch_my_trades(venue).unwrap();
        let trades = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&trades);
        let note = move |update: &Update<'_>, _: &mut wirebook::Outbox| {
            if let Event::MyTrade(trade) = update.event {
                let maker = trade.liquidity == Some(Liquidity::Maker);
                noted.borrow_mut().push((trade.id.to_string(), maker, trade.fee.unwrap().cost));
            }
        };
        run.engine.on(told, note).unwrap();
        assert!(run.run_until(20, |engine, _| engine.is_account_live(venue)), "{:?}", run.engine);
        let market = run.engine.markets(venue).resolve("BTC/USDT").unwrap().id;
        Day { run, market, trades }
    }

    /// Best price of a side in cents.
    fn best(&self, side: Side) -> i64 {
        self.run.server.with_venue(|venue| venue.market().best(0, side).0)
    }

    fn limit(&self, side: TakerSide, amount: &str, cents: i64) -> NewOrder {
        NewOrder::limit(self.market, side, fixed(amount), fixed(&format!("{}.{:02}", cents / 100, cents % 100)))
    }

    fn create(&mut self, order: &NewOrder) -> OrderId {
        self.run.engine.create_order(order).unwrap()
    }

    /// Waits until an order has a status.
    fn until(&mut self, order: OrderId, status: OrderStatus) {
        let done = self.run.run_until(20, |engine, _| engine.order(order).unwrap().status == status);
        assert!(done, "not {status:?}: {:?}", self.run.engine.order(order));
    }

    /// Waits until both sides say the same.
    fn until_agreed(&mut self) {
        let venue = self.run.venue;
        let trades = Rc::clone(&self.trades);
        let mut why = String::new();
        let done = self.run.run_until(20, |engine, server| {
            why = server.with_venue(|truth| agree(truth, engine, venue, &trades.borrow())).err().unwrap_or_default();
            why.is_empty() && engine.is_account_live(venue)
        });
        assert!(done, "{why}\n{:?}", self.run.engine);
    }

    fn asked(&self) -> u64 {
        self.run.server.with_venue(|venue| venue.account().asked())
    }
}

/// Whether orders, trades and balances are those of the venue; what is not.
fn agree(truth: &Venue, engine: &Engine, venue: VenueId, trades: &[(String, bool, Decimal)]) -> Result<(), String> {
    let account = truth.account();
    let open: BTreeSet<String> = engine.open_orders(venue).map(|order| order.id.to_string()).collect();
    let truly_open: BTreeSet<String> = account.open_orders().map(|order| order.id.to_string()).collect();
    if open != truly_open {
        return Err(format!("open are {open:?}, in truth {truly_open:?}"));
    }
    for truth in account.orders() {
        let order = engine.find_order(venue, &truth.id.to_string()).ok_or_else(|| format!("unknown: {truth:?}"))?;
        let status = match truth.status {
            Status::Waiting | Status::Open => OrderStatus::Open,
            Status::Filled => OrderStatus::Closed,
            // The venue has one word for both.
            Status::Canceled | Status::Expired => OrderStatus::Canceled,
        };
        // The venue tells no cost but the average price, which may have no end.
        let cost = (order.average.unwrap_or_default() * truth.filled).round_dp(8);
        let right = order.status == status
            && exact(order.filled) == truth.filled
            && cost == truth.cost
            && order.price.map(exact) == truth.price
            && (truth.cost_asked.is_some() || order.amount.map(exact) == Some(truth.amount));
        if !right {
            return Err(format!("{order:?}\nin truth {truth:?}"));
        }
    }
    let mut told = trades.to_vec();
    told.sort();
    let fills: Vec<_> = account.fills().map(|fill| (fill.id.to_string(), fill.maker, fill.fee)).collect();
    if told != fills {
        return Err(format!("trades are {told:?}, in truth {fills:?}"));
    }
    for truth in account.balances() {
        let balance = engine.balance(venue, &truth.asset);
        if balance.map(|balance| (balance.free, balance.used)) != Some((Some(truth.free), Some(truth.used))) {
            return Err(format!("{balance:?} in truth {truth:?}"));
        }
    }
    Ok(())
}

#[test]
fn a_trading_day_ends_with_the_account_of_the_venue() {
    let mut day = Day::start("");
    // An order that rests, is made smaller, moved, and canceled.
    let bid = day.best(Side::Bid);
    let order = day.create(&day.limit(TakerSide::Buy, "0.01", bid - 50_000));
    day.until(order, OrderStatus::Open);
    day.run.engine.edit_order(order, None, Some(fixed("0.005"))).unwrap();
    assert!(day.run.run_until(20, |engine, _| engine.order(order).unwrap().amount == Some(fixed("0.005"))));
    day.until_agreed();
    let price = day.limit(TakerSide::Buy, "1", bid - 60_000).price.unwrap();
    day.run.engine.edit_order(order, Some(price), None).unwrap();
    let moved = day.run.run_until(20, |engine, _| engine.order(order).unwrap().price == Some(price));
    assert!(moved, "{:?}", day.run.engine.order(order));
    day.until_agreed();
    day.run.engine.cancel_order(order).unwrap();
    day.until(order, OrderStatus::Canceled);
    day.until_agreed();

    // A taker that eats several levels, and a maker that waits for the market.
    let taker = day.create(&day.limit(TakerSide::Buy, "3", day.best(Side::Ask) + 10_000));
    day.until(taker, OrderStatus::Closed);
    day.until_agreed();
    assert!(day.trades.borrow().len() > 1, "several levels");
    let maker = day.create(&day.limit(TakerSide::Sell, "0.002", day.best(Side::Ask)));
    day.until(maker, OrderStatus::Closed);
    day.until_agreed();
    let market = day.create(&NewOrder::market(day.market, TakerSide::Sell, fixed("0.5")));
    day.until(market, OrderStatus::Closed);
    let immediate = day.limit(TakerSide::Sell, "90", day.best(Side::Bid)).staying(TimeInForce::Ioc);
    let immediate = day.create(&immediate);
    day.until(immediate, OrderStatus::Canceled);
    let none = day.limit(TakerSide::Sell, "90", day.best(Side::Bid)).staying(TimeInForce::Fok);
    let none = day.create(&none);
    day.until(none, OrderStatus::Canceled);
    day.until_agreed();

    // What is refused, by us and by the venue.
    let asked = day.asked();
    let error = day.run.engine.create_order(&day.limit(TakerSide::Buy, "0.000001", bid)).unwrap_err();
    assert_eq!((error.kind(), day.asked()), (ErrorKind::InvalidOrder, asked), "{error}");
    for (order, kind) in [
        (day.limit(TakerSide::Buy, "90", bid - 100), ErrorKind::InsufficientFunds),
        (day.limit(TakerSide::Buy, "0.01", day.best(Side::Ask) + 50_000).post_only(), ErrorKind::InvalidOrder),
        (day.limit(TakerSide::Buy, "0.00001", bid), ErrorKind::InvalidOrder),
    ] {
        let order = day.create(&order);
        day.until(order, OrderStatus::Rejected);
        assert_eq!(day.run.engine.order(order).unwrap().error.as_ref().unwrap().kind(), kind);
    }

    // All at once.
    let many: Vec<OrderId> =
        (1..6).map(|step| day.create(&day.limit(TakerSide::Buy, "0.01", bid - 200_000 - step * 100))).collect();
    many.iter().for_each(|order| day.until(*order, OrderStatus::Open));
    day.until_agreed();
    day.run.engine.cancel_all_orders(day.run.venue, Some("BTC/USDT")).unwrap();
    many.iter().for_each(|order| day.until(*order, OrderStatus::Canceled));
    day.until_agreed();
    let counters = day.run.server.counters();
    assert_eq!((counters.protocol_violations, counters.too_many, counters.bad_messages), (0, 0, 0));

    // What is asked by REST says the same.
    let venue = day.run.venue;
    let engine = &mut day.run.engine;
    let balances = engine.fetch_balance(venue).unwrap();
    let (usdt, orders, fills, paid) = day.run.server.with_venue(|venue| {
        let account = venue.account();
        let paid: Decimal = account.fills().map(|fill| fill.fee).sum();
        (account.balance("USDT").free, account.orders().len(), account.fills().len(), paid)
    });
    assert_eq!(balances.iter().find(|row| row.currency.as_str() == "USDT").unwrap().free, Some(usdt));
    let trades = engine.fetch_my_trades(venue, Some("BTC/USDT"), None, None).unwrap();
    assert_eq!((trades.len(), trades.iter().map(|trade| trade.fee.unwrap().cost).sum()), (fills, paid));
    assert_eq!(engine.fetch_open_orders(venue, None).unwrap().len(), 0);
    assert_eq!(engine.fetch_closed_orders(venue, Some("BTC/USDT"), None, None).unwrap().len(), orders);
    let id = engine.order(taker).unwrap().id.to_string();
    let row = engine.fetch_order(venue, &id, Some("BTC/USDT")).unwrap();
    assert_eq!((row.status, row.filled), (Some(OrderStatus::Closed), Some(fixed("3"))));
    assert_eq!(engine.fetch_ledger(venue, None, None, None).unwrap().len(), 2 * fills);
    assert_eq!(engine.fetch_deposits(venue, None, None, None).unwrap().len(), 0);
    assert_eq!(engine.fetch_withdrawals(venue, None, None, None).unwrap().len(), 0);
    assert_eq!(engine.fetch_positions(venue).unwrap().len(), 0);
    let fees = engine.fetch_trading_fees(venue, Some("BTC/USDT")).unwrap();
    assert_eq!(fees[0].taker.to_string(), "0.001");
}

#[test]
fn an_order_whose_answer_is_lost_is_found_and_never_sent_again() {
    let mut day = Day::start("at 6s silence connection for 20s\nat 8s cut");
    let begun = day.run.server.with_venue(|venue| venue.market().start_ns());
    let silent = day.run.run_until(20, |_, server| {
        server.with_venue(|venue| venue.market().last_trade(0).time_ns > begun + 6_500 * MS)
    });
    assert!(silent);
    let order = day.create(&day.limit(TakerSide::Buy, "0.01", day.best(Side::Bid) - 50_000));
    day.until(order, OrderStatus::Unknown);
    day.until(order, OrderStatus::Open);
    day.until_agreed();
    day.run.engine.cancel_order(order).unwrap();
    day.until(order, OrderStatus::Canceled);
    day.until_agreed();
    assert_eq!(day.asked(), 1);
}

#[test]
fn a_wrong_secret_fails_for_good() {
    let mut run = engine_at("", "another");
    let orders = run.engine.watch_orders(run.venue).unwrap();
    let failed = run.run_until(20, |engine, _| engine.state(orders).unwrap().0 == FeedState::Failed);
    assert!(failed, "{:?}", run.engine);
    let error = run.engine.fetch_balance(run.venue).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthenticationError, "{error}");
}
