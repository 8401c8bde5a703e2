//! The account of the loopback binance.com, asked by hand.

use serde_json::{Value, json};

use super::super::account::AccountConfig;
use super::super::account::hmac_sha256_hex;
use super::super::hub::ConnId;
use super::super::venue::Venue;
use super::super::wire::{Out, Request};
use super::super::{Config, VenueKind};

const START: u64 = 1_700_000_000_000_000_000;
const NOW_MS: u64 = START / 1_000_000;

fn venue() -> Venue {
    let mut config = Config::new(VenueKind::Binance).with_symbols(2);
    config.levels = 20;
    Venue::new(&config, START)
}

/// The answer to a request with these parameters, signed at `time_ms`.
fn ask_at(venue: &mut Venue, method: &str, path: &str, params: &str, time_ms: u64) -> (u16, Value) {
    let payload = format!("{params}&timestamp={time_ms}");
    let payload = payload.trim_start_matches('&');
    let signature = hmac_sha256_hex(AccountConfig::SECRET, payload);
    let target = format!("{path}?{payload}&signature={signature}");
    ask_unsigned(venue, method, &target, "loopback-key")
}

fn ask(venue: &mut Venue, method: &str, path: &str, params: &str) -> (u16, Value) {
    ask_at(venue, method, path, params, NOW_MS)
}

fn ask_unsigned(venue: &mut Venue, method: &str, target: &str, key: &str) -> (u16, Value) {
    let request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: vec![("x-mbx-apikey".to_owned(), key.to_owned())],
        body: Vec::new(),
    };
    let reply = venue.request(START, &request);
    (reply.status, serde_json::from_str(&reply.body).unwrap())
}

fn code(answer: (u16, Value)) -> (u16, i64) {
    (answer.0, answer.1["code"].as_i64().unwrap())
}

/// A request on the WS-API; the answer, and the events behind it.
fn call(venue: &mut Venue, conn: ConnId, method: &str, mut params: Value) -> (Value, Vec<Value>) {
    params["apiKey"] = json!("loopback-key");
    params["timestamp"] = json!(NOW_MS);
    let pairs: std::collections::BTreeMap<&String, &Value> = params.as_object().unwrap().iter().collect();
    let payload: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().map_or(value.to_string(), str::to_owned)))
        .collect();
    let signature = hmac_sha256_hex(AccountConfig::SECRET, &payload.join("&"));
    params["signature"] = json!(signature);
    let text = json!({ "id": "a1", "method": method, "params": params }).to_string();
    venue.text(START, conn, &text);
    let mut texts = said(venue);
    (texts.remove(0), texts)
}

fn said(venue: &mut Venue) -> Vec<Value> {
    let mut texts = Vec::new();
    while let Some((_, out)) = venue.pop() {
        if let Out::Text(text) = out {
            texts.push(serde_json::from_str(&text).unwrap());
        }
    }
    texts
}

fn order(price: &str) -> Value {
    json!({ "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01",
            "price": price, "newClientOrderId": "mine" })
}

#[test]
fn signature_time_and_key_are_checked() {
    let mut venue = venue();
    let (status, account) = ask(&mut venue, "GET", "/api/v3/account", "omitZeroBalances=true");
    assert_eq!((status, account["canTrade"].as_bool()), (200, Some(true)));
    let usdt = account["balances"].as_array().unwrap().iter().find(|row| row["asset"] == "USDT").unwrap();
    assert_eq!((usdt["free"].as_str(), usdt["locked"].as_str()), (Some("1000000.00000000"), Some("0.00000000")));
    let path = "/api/v3/account";
    assert_eq!(code(ask_at(&mut venue, "GET", path, "", NOW_MS + 1_000)), (400, -1021));
    assert_eq!(ask_at(&mut venue, "GET", path, "", NOW_MS + 999).0, 200);
    assert_eq!(code(ask_at(&mut venue, "GET", path, "", NOW_MS - 5_001)), (400, -1021));
    assert_eq!(ask_at(&mut venue, "GET", path, "recvWindow=6000", NOW_MS - 5_001).0, 200);
    assert_eq!(code(ask(&mut venue, "GET", path, "recvWindow=60001")), (400, -1131));
    let plain = format!("{path}?timestamp={NOW_MS}");
    assert_eq!(code(ask_unsigned(&mut venue, "GET", &plain, "loopback-key")), (400, -1102));
    let wrong = format!("{plain}&signature={}", "0".repeat(64));
    assert_eq!(code(ask_unsigned(&mut venue, "GET", &wrong, "loopback-key")), (400, -1022));
    assert_eq!(code(ask_unsigned(&mut venue, "GET", &wrong, "")), (401, -2014));
    assert_eq!(code(ask_unsigned(&mut venue, "GET", &wrong, "other")), (401, -2015));
    assert_eq!(code(ask(&mut venue, "GET", path, "strange=1")), (400, -1104));
}

#[test]
fn an_order_by_rest_is_placed_seen_and_canceled() {
    let mut venue = venue();
    let params =
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=50000.00&newClientOrderId=mine";
    let (status, placed) = ask(&mut venue, "POST", "/api/v3/order", params);
    assert_eq!((status, placed["status"].as_str(), placed["fills"].as_array()), (200, Some("NEW"), Some(&vec![])));
    assert_eq!(code(ask(&mut venue, "POST", "/api/v3/order", params)), (400, -2010));
    let asked = ask(&mut venue, "GET", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=mine").1;
    assert_eq!((&asked["orderId"], asked["isWorking"].as_bool()), (&placed["orderId"], Some(true)));
    assert_eq!(code(ask(&mut venue, "GET", "/api/v3/order", "symbol=ETHUSDT&origClientOrderId=mine")), (400, -2013));
    assert_eq!(ask(&mut venue, "GET", "/api/v3/openOrders", "").1.as_array().unwrap().len(), 1);
    let canceled = ask(&mut venue, "DELETE", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=mine").1;
    assert_eq!((canceled["status"].as_str(), canceled["origClientOrderId"].as_str()), (Some("CANCELED"), Some("mine")));
    let again = ask(&mut venue, "DELETE", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=mine");
    assert_eq!(code(again), (400, -2011));
    assert_eq!(ask(&mut venue, "GET", "/api/v3/allOrders", "symbol=BTCUSDT").1.as_array().unwrap().len(), 1);
    let taker = "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.5";
    let sold = ask(&mut venue, "POST", "/api/v3/order", taker).1;
    assert_eq!((sold["status"].as_str(), sold["executedQty"].as_str()), (Some("FILLED"), Some("0.50000000")));
    let trades = ask(&mut venue, "GET", "/api/v3/myTrades", "symbol=BTCUSDT").1;
    assert_eq!(trades.as_array().unwrap().len(), sold["fills"].as_array().unwrap().len());
    assert_eq!((trades[0]["isMaker"].as_bool(), trades[0]["commissionAsset"].as_str()), (Some(false), Some("USDT")));
    for (params, expected) in [
        ("symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=50000", -1102),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&price=50000", -1106),
        ("symbol=BTCUSDT&side=HOLD&type=MARKET&quantity=1", -1117),
        ("symbol=BTCUSDT&side=BUY&type=BEST&quantity=1", -1116),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=-1", -1100),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.0000000001", -1111),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.0000001", -1013),
        ("symbol=NOUSDT&side=BUY&type=MARKET&quantity=1", -1121),
        ("symbol=BTCUSDT&side=SELL&type=MARKET&quantity=200", -2010),
    ] {
        assert_eq!(code(ask(&mut venue, "POST", "/api/v3/order", params)).1, expected, "{params}");
    }
}

#[test]
fn the_user_data_stream_tells_each_transition() {
    let mut venue = venue();
    let conn = venue.connect(START, "/ws-api/v3?returnRateLimits=false").unwrap();
    let answer = call(&mut venue, conn, "userDataStream.subscribe.signature", json!({})).0;
    assert_eq!(answer, json!({ "id": "a1", "status": 200, "result": { "subscriptionId": 0 } }));
    let answer = call(&mut venue, conn, "userDataStream.subscribe.signature", json!({})).0;
    assert_eq!((answer["status"].as_i64(), answer["error"]["code"].as_i64()), (Some(400), Some(-2035)));
    let (answer, events) = call(&mut venue, conn, "order.place", order("50000"));
    assert_eq!(answer["result"]["status"], "NEW");
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["subscriptionId"], 0);
    let report = &events[0]["event"];
    assert_eq!(
        (&report["x"], &report["X"], &report["c"], &report["C"]),
        (&json!("NEW"), &json!("NEW"), &json!("mine"), &json!(""))
    );
    let balances = json!([{ "a": "USDT", "f": "999500.00000000", "l": "500.00000000" }]);
    assert_eq!(events[1]["event"]["B"], balances);
    let amend = json!({ "symbol": "BTCUSDT", "origClientOrderId": "mine", "newQty": "0.005" });
    let (answer, events) = call(&mut venue, conn, "order.amend.keepPriority", amend);
    assert_eq!(answer["result"]["amendedOrder"]["qty"], "0.00500000");
    assert_eq!((&events[0]["event"]["x"], &events[0]["event"]["C"]), (&json!("REPLACED"), &json!("mine")));
    let id = answer["result"]["amendedOrder"]["orderId"].clone();
    let (answer, events) = call(&mut venue, conn, "order.cancel", json!({ "symbol": "BTCUSDT", "orderId": id }));
    assert_eq!(events[0]["event"]["x"], "CANCELED");
    assert_eq!(events[0]["event"]["C"], answer["result"]["origClientOrderId"]);
    assert_eq!(events[0]["event"]["c"], answer["result"]["clientOrderId"]);
    let answer = call(&mut venue, conn, "order.cancel", json!({ "symbol": "BTCUSDT", "orderId": id })).0;
    assert_eq!((answer["status"].as_i64(), answer["error"]["code"].as_i64()), (Some(400), Some(-2011)));
    venue.transfer(START, "USDT", 7.into()).unwrap();
    let events = said(&mut venue);
    assert_eq!((&events[0]["event"]["e"], &events[0]["event"]["d"]), (&json!("balanceUpdate"), &json!("7.00000000")));
    assert_eq!(events[1]["event"]["e"], "outboundAccountPosition");
    call(&mut venue, conn, "userDataStream.unsubscribe", json!({}));
    assert_eq!(
        call(
            &mut venue,
            conn,
            "order.place",
            json!({ "symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "1" })
        )
        .1,
        Vec::<Value>::new()
    );
}

#[test]
fn a_replacement_may_be_half_done() {
    let mut venue = venue();
    let conn = venue.connect(START, "/ws-api/v3").unwrap();
    let first = call(&mut venue, conn, "order.place", order("50000")).0;
    assert_eq!(first["rateLimits"][0]["rateLimitType"], "REQUEST_WEIGHT");
    let mut replace = order("50001");
    replace["newClientOrderId"] = json!("other");
    replace["cancelReplaceMode"] = json!("STOP_ON_FAILURE");
    replace["cancelOrderId"] = first["result"]["orderId"].clone();
    let done = call(&mut venue, conn, "order.cancelReplace", replace.clone()).0;
    assert_eq!(
        (done["status"].as_i64(), &done["result"]["newOrderResponse"]["price"]),
        (Some(200), &json!("50001.00000000"))
    );
    let failed = call(&mut venue, conn, "order.cancelReplace", replace.clone()).0;
    assert_eq!((failed["status"].as_i64(), failed["error"]["code"].as_i64()), (Some(400), Some(-2022)));
    assert_eq!(failed["error"]["data"]["newOrderResult"], "NOT_ATTEMPTED");
    replace["cancelOrderId"] = done["result"]["newOrderResponse"]["orderId"].clone();
    replace["quantity"] = json!("90");
    replace["newClientOrderId"] = json!("third");
    let half = call(&mut venue, conn, "order.cancelReplace", replace).0;
    assert_eq!((half["status"].as_i64(), half["error"]["code"].as_i64()), (Some(409), Some(-2021)));
    assert_eq!(half["error"]["data"]["newOrderResponse"]["code"], -2010);
    assert_eq!(venue.account().open_orders().count(), 0);
}
