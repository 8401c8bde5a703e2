//! Requests about orders, byte by byte.

use super::orders::Params;
use super::private::Private;
use super::private_tests::{KEY, cx, fixed, hmac, id, market, markets, open, signed_query};
use super::*;
use crate::credentials::Credentials;
use crate::decimal::Fixed;
use crate::model::{Id, NewOrder, Order, OrderId, OrderKind, OrderStatus, TakerSide, TimeInForce, VenueId};
use crate::venue::{OrderAct, PrivateChannel, Trading, Way};

const REQUEST: u64 = 7;

fn order(new: NewOrder) -> Order {
    Order {
        handle: OrderId { venue: VenueId(0), slot: 0, generation: 0 },
        id: Id::NONE,
        client_order_id: new.client_order_id.unwrap_or(id("wb7")),
        market: Some(new.market),
        status: OrderStatus::Pending,
        side: new.side,
        kind: new.kind,
        time_in_force: new.time_in_force,
        post_only: new.post_only,
        reduce_only: new.reduce_only,
        price: new.price,
        trigger_price: new.trigger_price,
        amount: new.amount,
        cost_ordered: new.cost,
        filled: Fixed::default(),
        cost: None,
        average: None,
        fees: Vec::new(),
        created: None,
        updated: None,
        last_trade: None,
        error: None,
    }
}

/// An order that rests under an id of the venue.
fn resting(new: NewOrder) -> Order {
    Order { id: id("12569099453"), status: OrderStatus::Open, ..order(new) }
}

/// The parameters of a message whose signature is right: that of all of them by the order of their names.
fn signed_params(message: &[u8]) -> (String, String) {
    let value: serde_json::Value = serde_json::from_slice(message).unwrap();
    let params = value["params"].as_object().unwrap();
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut pairs: Vec<String> = params
        .iter()
        .filter(|(key, _)| *key != "signature")
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    pairs.sort();
    assert_eq!(text(&params["signature"]), hmac(&pairs.join("&")), "{}", String::from_utf8_lossy(message));
    let message = String::from_utf8(message.to_vec()).unwrap();
    let head = message.split_once(",\"params\":{").unwrap().0.to_owned();
    let tail = message.split_once(&format!("\"apiKey\":\"{KEY}\",")).unwrap().1;
    (head, tail.split_once(",\"signature\":\"").unwrap().0.to_owned())
}

fn place(order: &Order, act: OrderAct) -> Result<(String, String), Error> {
    let markets = markets();
    let mut out = Vec::new();
    let way = open(0).order(&act, order, REQUEST, &cx(&markets), &mut out)?;
    assert!(matches!(way, Way::Socket));
    let (head, params) = signed_params(&out);
    let method = head.strip_prefix("{\"id\":7,\"method\":\"").unwrap().strip_suffix('"').unwrap();
    Ok((method.to_owned(), params))
}

fn rest(order: &Order, act: OrderAct) -> Result<(&'static str, String, String), Error> {
    let markets = markets();
    let mut out = Vec::new();
    let Way::Rest(request) = open(1).order(&act, order, REQUEST, &cx(&markets), &mut out)? else { panic!() };
    assert!(out.is_empty() && request.weight == 1);
    let path = request.target.split('?').next().unwrap().to_owned();
    Ok((request.method.as_str(), path, signed_query(&request)))
}

#[test]
fn signatures_of_the_card() {
    let mut signed = String::new();
    let mut params = Params { signed: &mut signed, json: None };
    for (name, value) in [("apiKey", KEY), ("price", "52000.00"), ("quantity", "0.01000000"), ("recvWindow", "5000")] {
        params.text(name, value);
    }
    for (name, value) in [("side", "BUY"), ("symbol", "BTCUSDT"), ("timeInForce", "GTC")] {
        params.text(name, value);
    }
    let markets = markets();
    params.timestamp(&cx(&markets));
    params.text("type", "LIMIT");
    assert_eq!(hmac(&signed), "1167499cdeee71a4588842c90389589eca806ca3ae599dff939fd37b03e5f129");
    let mut out = Vec::new();
    open(0).subscribe(&PrivateChannel::ALL, 1, &cx(&markets), &mut out);
    let expected = format!(
        "{{\"id\":1,\"method\":\"userDataStream.subscribe.signature\",\"params\":{{\"apiKey\":\"{KEY}\",\"timestamp\":\
         1700000000000,\"signature\":\"ff051c6858ee28c9f113056018593336e18774b68421b37f72b29c6f6976011b\"}}}}"
    );
    assert_eq!((String::from_utf8(out.remove(0)).unwrap(), out.len()), (expected, 0));
}

#[test]
fn a_limit_order_byte_by_byte() {
    let markets = markets();
    let new = NewOrder::limit(market(&markets, "BTC/USDT"), TakerSide::Buy, fixed("0.01000"), fixed("52000.00"));
    let mut out = b"kept".to_vec();
    open(0).order(&OrderAct::Create, &order(new), REQUEST, &cx(&markets), &mut out).unwrap();
    let expected = "kept{\"id\":7,\"method\":\"order.place\",\"params\":{\"apiKey\":\"wbk_7Qd2Zx0example0key\",\
        \"newClientOrderId\":\"wb7\",\"newOrderRespType\":\"RESULT\",\"price\":\"52000\",\"quantity\":\"0.01\",\
        \"side\":\"BUY\",\"symbol\":\"BTCUSDT\",\"timeInForce\":\"GTC\",\"timestamp\":1700000000000,\"type\":\"LIMIT\",\
        \"signature\":\"189ad7d66c6365659b2a06a56beb1cb9c394829dd2ff1d863ed943271f53cb81\"}}";
    assert_eq!(String::from_utf8(out).unwrap(), expected);

    // The same of Binance.US: a form, by the same names.
    let mut out = Vec::new();
    let way = open(1).order(&OrderAct::Create, &order(new), REQUEST, &cx(&markets), &mut out).unwrap();
    let Way::Rest(request) = way else { panic!() };
    assert_eq!((request.method.as_str(), request.target.as_str(), out.len()), ("POST", "/api/v3/order", 0));
    let expected = "newClientOrderId=wb7&newOrderRespType=RESULT&price=52000&quantity=0.01&side=BUY&symbol=BTCUSDT&\
        timeInForce=GTC&timestamp=1700000000000&type=LIMIT&\
        signature=86278bad19bed2e36e61cfa22d62b9007add8be09eeacf0a1b2ef1313f636496";
    assert_eq!(std::str::from_utf8(&request.body).unwrap(), expected);
    let shown = format!("{request:?}");
    assert!(!shown.contains("signature") && !shown.contains(KEY), "{shown}");
}

#[test]
fn forms_of_new_orders() {
    use OrderKind::*;
    let markets = markets();
    let (buy, amount, price) = (TakerSide::Buy, fixed("0.5"), fixed("0.06"));
    let eth = market(&markets, "ETH/BTC");
    let limit = NewOrder::limit(eth, TakerSide::Sell, amount, price);
    let at_once = NewOrder::market(eth, buy, amount);
    let head = r#""newClientOrderId":"wb7","newOrderRespType":"RESULT","#;
    let time = r#""timestamp":1700000000000,"type":"#;
    for (new, middle, kind) in [
        (limit, r#""price":"0.06","quantity":"0.5","side":"SELL","symbol":"ETHBTC","timeInForce":"GTC","#, "LIMIT"),
        (
            limit.staying(TimeInForce::Ioc),
            r#""price":"0.06","quantity":"0.5","side":"SELL","symbol":"ETHBTC","timeInForce":"IOC","#,
            "LIMIT",
        ),
        (
            limit.staying(TimeInForce::Fok),
            r#""price":"0.06","quantity":"0.5","side":"SELL","symbol":"ETHBTC","timeInForce":"FOK","#,
            "LIMIT",
        ),
        (limit.post_only(), r#""price":"0.06","quantity":"0.5","side":"SELL","symbol":"ETHBTC","#, "LIMIT_MAKER"),
        (at_once, r#""quantity":"0.5","side":"BUY","symbol":"ETHBTC","#, "MARKET"),
        (
            NewOrder::market_with_cost(eth, buy, fixed("10.50")),
            r#""quoteOrderQty":"10.5","side":"BUY","symbol":"ETHBTC","#,
            "MARKET",
        ),
        (
            at_once.triggered_at(Stop, fixed("0.07")),
            r#""quantity":"0.5","side":"BUY","stopPrice":"0.07","symbol":"ETHBTC","#,
            "STOP_LOSS",
        ),
        (
            at_once.triggered_at(TakeProfit, fixed("0.05")),
            r#""quantity":"0.5","side":"BUY","stopPrice":"0.05","symbol":"ETHBTC","#,
            "TAKE_PROFIT",
        ),
        (
            limit.triggered_at(StopLimit, fixed("0.05")),
            r#""price":"0.06","quantity":"0.5","side":"SELL","stopPrice":"0.05","symbol":"ETHBTC","timeInForce":"GTC","#,
            "STOP_LOSS_LIMIT",
        ),
        (
            limit.triggered_at(TakeProfitLimit, fixed("0.07")),
            r#""price":"0.06","quantity":"0.5","side":"SELL","stopPrice":"0.07","symbol":"ETHBTC","timeInForce":"GTC","#,
            "TAKE_PROFIT_LIMIT",
        ),
    ] {
        let expected = ("order.place".to_owned(), format!("{head}{middle}{time}\"{kind}\""));
        assert_eq!(place(&order(new), OrderAct::Create).unwrap(), expected);
    }
    // Letters beyond ASCII: as they are over the socket, percent-encoded by REST, and signed like that.
    let coin = order(NewOrder { market: market(&markets, "币/USDT"), ..limit });
    assert!(place(&coin, OrderAct::Create).unwrap().1.contains("\"symbol\":\"币USDT\""));
    assert!(rest(&coin, OrderAct::Create).unwrap().2.contains("symbol=%E5%B8%81USDT"));
}

#[test]
fn orders_that_cannot_be_expressed_are_refused() {
    use ErrorKind::{InvalidOrder, NotSupported};
    let markets = markets();
    let limit = NewOrder::limit(market(&markets, "BTC/USDT"), TakerSide::Buy, fixed("1"), fixed("5"));
    let at_once = NewOrder::market(limit.market, TakerSide::Buy, fixed("1"));
    for (new, kind) in [
        (limit.reduce_only(), NotSupported),
        (limit.staying(TimeInForce::Gtd), NotSupported),
        (limit.triggered_at(OrderKind::StopLimit, fixed("4")).post_only(), NotSupported),
        (limit.post_only().staying(TimeInForce::Ioc), InvalidOrder),
        (at_once.staying(TimeInForce::Fok), InvalidOrder),
        (NewOrder { price: None, ..limit }, InvalidOrder),
        (NewOrder { amount: None, ..limit }, InvalidOrder),
        (NewOrder { kind: OrderKind::Stop, ..at_once }, InvalidOrder),
        (limit.with_client_order_id(id("a\"b")), InvalidOrder),
        (limit.with_client_order_id(id("0123456789012345678901234567890123456")), InvalidOrder),
    ] {
        let mut out = Vec::new();
        let error = open(0).order(&OrderAct::Create, &order(new), 1, &cx(&markets), &mut out).unwrap_err();
        assert_eq!((error.kind(), error.venue(), out.len()), (kind, Some("binance"), 0), "{error}");
    }
    let mut adapter = Private::new(&VARIANTS[0], None).unwrap();
    let error = adapter.order(&OrderAct::Create, &order(limit), 1, &cx(&markets), &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthenticationError);
    for (key, secret) in [("", "x"), ("a b", "x"), ("a", ""), ("a", "-----BEGIN PRIVATE KEY-----")] {
        let error = Private::new(&VARIANTS[0], Some(&Credentials::new(key, secret))).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::AuthenticationError);
    }
}

#[test]
fn cancellations() {
    let markets = markets();
    let limit = NewOrder::limit(market(&markets, "BTC/USDT"), TakerSide::Buy, fixed("1"), fixed("5"));
    let tail = r#""symbol":"BTCUSDT","timestamp":1700000000000"#;
    let expected = |id: &str| ("order.cancel".to_owned(), format!("{id},{tail}"));
    assert_eq!(place(&resting(limit), OrderAct::Cancel).unwrap(), expected(r#""orderId":12569099453"#));
    // Its answer has not come yet.
    assert_eq!(place(&order(limit), OrderAct::Cancel).unwrap(), expected(r#""origClientOrderId":"wb7""#));
    let nameless = Order { client_order_id: Id::NONE, ..order(limit) };
    assert_eq!(place(&nameless, OrderAct::Cancel).unwrap_err().kind(), ErrorKind::InvalidOrder);
    let (method, path, query) = rest(&resting(limit), OrderAct::Cancel).unwrap();
    assert_eq!((method, path.as_str()), ("DELETE", "/api/v3/order"));
    assert_eq!(query, "orderId=12569099453&symbol=BTCUSDT&timestamp=1700000000000");

    let (mut out, btc) = (Vec::new(), markets.resolve("BTC/USDT").unwrap());
    open(0).cancel_all(Some(btc), REQUEST, &cx(&markets), &mut out).unwrap();
    assert_eq!(signed_params(&out), ("{\"id\":7,\"method\":\"openOrders.cancelAll\"".to_owned(), tail.to_owned()));
    let Way::Rest(request) = open(1).cancel_all(Some(btc), REQUEST, &cx(&markets), &mut out).unwrap() else { panic!() };
    assert!(request.method == Method::Delete && request.target.starts_with("/api/v3/openOrders?symbol=BTCUSDT&"));
    signed_query(&request);
    let error = open(0).cancel_all(None, REQUEST, &cx(&markets), &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
}

#[test]
fn edits_keep_the_client_order_id() {
    let markets = markets();
    let limit = NewOrder::limit(market(&markets, "BTC/USDT"), TakerSide::Buy, fixed("1"), fixed("5"));
    let edit = |price: Option<&str>, amount: Option<&str>| OrderAct::Edit {
        price: price.map(fixed),
        amount: amount.map(fixed),
    };
    // A smaller amount alone keeps the place in the queue, also of an order that is partly filled.
    let partly = Order { filled: fixed("0.25"), ..resting(limit) };
    for order in [&resting(limit), &partly] {
        let params = r#""newClientOrderId":"wb7","newQty":"0.5","orderId":12569099453,"symbol":"BTCUSDT","timestamp":1700000000000"#;
        let expected = ("order.amend.keepPriority".to_owned(), params.to_owned());
        assert_eq!(place(order, edit(Some("5.0"), Some("0.5"))).unwrap(), expected);
    }
    let replaced = |price: &str, amount: &str| {
        format!(
            r#""cancelNewClientOrderId":"wbedit7","cancelOrderId":12569099453,"cancelReplaceMode":"STOP_ON_FAILURE","cancelRestrictions":"ONLY_NEW","newClientOrderId":"wb7","newOrderRespType":"RESULT","price":"{price}","quantity":"{amount}","side":"BUY","symbol":"BTCUSDT","timeInForce":"GTC","timestamp":1700000000000,"type":"LIMIT""#
        )
    };
    for (act, price, amount) in [
        (edit(Some("6"), None), "6", "1"),
        (edit(None, Some("2")), "5", "2"),
        (edit(Some("4"), Some("0.5")), "4", "0.5"),
    ] {
        let expected = ("order.cancelReplace".to_owned(), replaced(price, amount));
        assert_eq!(place(&resting(limit), act).unwrap(), expected);
    }
    // Binance.US changes nothing in place.
    let (method, path, query) = rest(&order(limit), edit(None, Some("0.5"))).unwrap();
    assert_eq!((method, path.as_str()), ("POST", "/api/v3/order/cancelReplace"));
    let expected = "cancelNewClientOrderId=wbedit7&cancelOrigClientOrderId=wb7&cancelReplaceMode=STOP_ON_FAILURE&\
        cancelRestrictions=ONLY_NEW&newClientOrderId=wb7&newOrderRespType=RESULT&price=5&quantity=0.5&side=BUY&\
        symbol=BTCUSDT&timeInForce=GTC&timestamp=1700000000000&type=LIMIT";
    assert_eq!(query, expected);

    let at_once = NewOrder::market(limit.market, TakerSide::Buy, fixed("1"));
    for (order, act, kind) in [
        (&partly, edit(Some("6"), None), ErrorKind::NotSupported),
        (&partly, edit(None, Some("2")), ErrorKind::NotSupported),
        (&resting(limit), edit(Some("5"), Some("1")), ErrorKind::NoChange),
        (&resting(at_once), edit(Some("6"), None), ErrorKind::InvalidOrder),
        (&resting(at_once), edit(None, Some("2")), ErrorKind::InvalidOrder),
    ] {
        assert_eq!(place(order, act).unwrap_err().kind(), kind);
    }
}
