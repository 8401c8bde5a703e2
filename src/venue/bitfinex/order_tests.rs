//! Orders in, exact bytes out; notifications back to their requests.

use super::private::BitfinexTrading;
use super::private_tests::{adapter, context, fixed, id, market, ms, rows_of, same, sample_markets};
use crate::error::{Error, ErrorKind, Retry};
use crate::market::Markets;
use crate::model::{Id, Order, OrderId, OrderKind, OrderStatus, TakerSide, TimeInForce, VenueId, Wall};
use crate::venue::Reply;
use crate::venue::trading::{Context, OrderAct, OrderRow, PrivateRow, Trading, Way};

fn order(markets: &Markets, kind: OrderKind) -> Order {
    Order {
        handle: OrderId { venue: VenueId(7), slot: 0, generation: 0 },
        id: Id::NONE,
        client_order_id: id("1700000000001"),
        market: market(markets, "BTC/USD"),
        status: OrderStatus::Pending,
        side: TakerSide::Buy,
        kind,
        time_in_force: None,
        post_only: false,
        reduce_only: false,
        price: fixed("52000.00").filter(|_| kind.has_price()),
        trigger_price: fixed("53000").filter(|_| kind.has_trigger()),
        amount: fixed("0.010"),
        cost_ordered: None,
        filled: crate::decimal::Fixed::ZERO,
        cost: None,
        average: None,
        fees: Vec::new(),
        created: None,
        updated: None,
        last_trade: None,
        error: None,
    }
}

fn send(adapter: &mut BitfinexTrading, act: &OrderAct, order: &Order, request: u64) -> Result<String, Error> {
    let (markets, mut out) = (sample_markets(), Vec::new());
    let way = adapter.order(act, order, request, &context(&markets), &mut out)?;
    assert!(matches!(way, Way::Socket));
    Ok(String::from_utf8(out).unwrap())
}

fn written(act: &OrderAct, order: &Order) -> Result<String, Error> {
    send(&mut adapter(), act, order, 5)
}

#[test]
fn orders_are_spelled_as_documented() {
    let markets = sample_markets();
    let text = |order: &Order| written(&OrderAct::Create, order).unwrap();
    let limit = order(&markets, OrderKind::Limit);
    let all = |name: &str, rest: &str| {
        format!(r#"[0,"on",null,{{"cid":1700000000001,"type":"{name}","symbol":"tBTCUSD",{rest}}}]"#)
    };
    let known = r#""amount":"0.01","price":"52000""#;
    assert_eq!(text(&limit), all("EXCHANGE LIMIT", known));
    let post_only = Order { post_only: true, time_in_force: Some(TimeInForce::Gtc), ..limit.clone() };
    assert_eq!(text(&post_only), all("EXCHANGE LIMIT", &format!(r#"{known},"flags":4096"#)));
    for (time_in_force, name) in [(TimeInForce::Ioc, "EXCHANGE IOC"), (TimeInForce::Fok, "EXCHANGE FOK")] {
        assert_eq!(text(&Order { time_in_force: Some(time_in_force), ..limit.clone() }), all(name, known));
    }
    let sold = Order { side: TakerSide::Sell, ..order(&markets, OrderKind::Market) };
    assert_eq!(text(&sold), all("EXCHANGE MARKET", r#""amount":"-0.01""#));
    let stop = order(&markets, OrderKind::Stop);
    assert_eq!(text(&stop), all("EXCHANGE STOP", r#""amount":"0.01","price":"53000""#));
    let stop_limit = r#""amount":"0.01","price":"53000","price_aux_limit":"52000""#;
    assert_eq!(text(&order(&markets, OrderKind::StopLimit)), all("EXCHANGE STOP LIMIT", stop_limit));
    let swap = Order { market: market(&markets, "BTC/USDT:USDT"), reduce_only: true, post_only: true, ..limit };
    let expected = all("LIMIT", &format!(r#"{known},"flags":5120"#)).replace("tBTCUSD", "tBTCF0:USTF0");
    assert_eq!(text(&swap), expected);
}

#[test]
fn what_cannot_be_expressed_is_refused() {
    let markets = sample_markets();
    let limit = order(&markets, OrderKind::Limit);
    let kind = |order: Order| written(&OrderAct::Create, &order).map_err(|error| (error.kind(), error.venue()));
    let refused = |kind| Err((kind, Some("bitfinex")));
    for (kind_of_order, time_in_force) in [
        (OrderKind::TakeProfit, None),
        (OrderKind::TakeProfitLimit, None),
        (OrderKind::Limit, Some(TimeInForce::Gtd)),
        (OrderKind::Market, Some(TimeInForce::Fok)),
        (OrderKind::Stop, Some(TimeInForce::Ioc)),
        (OrderKind::StopLimit, Some(TimeInForce::Fok)),
    ] {
        let order = Order { time_in_force, ..order(&markets, kind_of_order) };
        assert_eq!(kind(order), refused(ErrorKind::NotSupported), "{kind_of_order:?} {time_in_force:?}");
    }
    assert_eq!(kind(Order { reduce_only: true, ..limit.clone() }), refused(ErrorKind::NotSupported));
    let cost = Order { amount: None, cost_ordered: fixed("5"), ..order(&markets, OrderKind::Market) };
    assert_eq!(kind(cost), refused(ErrorKind::NotSupported));
    assert_eq!(kind(Order { price: None, ..limit.clone() }), refused(ErrorKind::ArgumentsRequired));
    assert_eq!(kind(Order { market: None, ..limit.clone() }), refused(ErrorKind::BadSymbol));
    for (text, is_right) in [
        ("1", true),
        ("35184372088831", true),
        ("35184372088832", false),
        ("0", false),
        ("01", false),
        ("+1", false),
        ("wb1", false),
        ("18446744073709551616", false),
    ] {
        let order = Order { client_order_id: id(text), ..limit.clone() };
        assert_eq!(
            kind(order),
            if is_right {
                kind(limit.clone()).map(|known| known.replace("1700000000001", text))
            } else {
                refused(ErrorKind::InvalidOrder)
            },
            "{text}"
        );
    }
    let mut nobody = BitfinexTrading::new(None).unwrap();
    let error = send(&mut nobody, &OrderAct::Create, &limit, 1).unwrap_err();
    assert_eq!((error.kind(), error.venue()), (ErrorKind::AuthenticationError, Some("bitfinex")));
}

#[test]
fn changes_and_cancellations_are_spelled_as_documented() {
    let markets = sample_markets();
    let ours = order(&markets, OrderKind::Limit);
    let known = Order { id: id("1234567"), ..ours.clone() };
    let edit = |price: &str, amount: &str| {
        let number = |text: &str| if text.is_empty() { None } else { fixed(text) };
        OrderAct::Edit { price: number(price), amount: number(amount) }
    };
    let text = |act: &OrderAct, order: &Order| written(act, order).unwrap();
    let changed = r#"[0,"ou",null,{"id":1234567,"price":"52010","delta":"0.02"}]"#;
    assert_eq!(text(&edit("52010.0", "0.03"), &known), changed);
    // Less of a sale is less of something negative.
    let sold = Order { side: TakerSide::Sell, ..known.clone() };
    assert_eq!(text(&edit("", "0.03"), &sold), r#"[0,"ou",null,{"id":1234567,"delta":"-0.02"}]"#);
    assert_eq!(text(&edit("", "0.004"), &sold), r#"[0,"ou",null,{"id":1234567,"delta":"0.006"}]"#);
    assert_eq!(text(&edit("52010", "0.01"), &known), r#"[0,"ou",null,{"id":1234567,"price":"52010"}]"#);
    assert_eq!(written(&edit("", "0.01"), &known).unwrap_err().kind(), ErrorKind::NoChange);
    let by_ours = r#"[0,"ou",null,{"cid":1700000000001,"cid_date":"2023-11-14","price":"52010"}]"#;
    assert_eq!(text(&edit("52010", ""), &ours), by_ours);
    let stop_limit = Order { id: id("1234567"), ..order(&markets, OrderKind::StopLimit) };
    assert_eq!(text(&edit("7", ""), &stop_limit), r#"[0,"ou",null,{"id":1234567,"price_aux_limit":"7"}]"#);
    let stop = Order { id: id("1234567"), ..order(&markets, OrderKind::Stop) };
    assert_eq!(written(&edit("7", ""), &stop).unwrap_err().kind(), ErrorKind::NotSupported);
    let unknown = Order { amount: None, ..known.clone() };
    assert_eq!(written(&edit("", "7"), &unknown).unwrap_err().kind(), ErrorKind::ArgumentsRequired);

    assert_eq!(text(&OrderAct::Cancel, &known), r#"[0,"oc",null,{"id":1234567}]"#);
    let today = r#"[0,"oc",null,{"cid":1700000000001,"cid_date":"2023-11-14"}]"#;
    assert_eq!(text(&OrderAct::Cancel, &ours), today);
    let older = Order { created: ms(1_614_556_799_999), ..ours };
    assert_eq!(text(&OrderAct::Cancel, &older), today.replace("2023-11-14", "2021-02-28"));
    let odd = Order { id: id("O1"), ..known };
    assert_eq!(written(&OrderAct::Cancel, &odd).unwrap_err().kind(), ErrorKind::InvalidOrder);

    let (cx, mut out) = (context(&markets), Vec::new());
    assert!(matches!(adapter().cancel_all(None, 5, &cx, &mut out), Ok(Way::Socket)));
    assert_eq!(out, br#"[0,"oc_multi",null,{"all":1}]"#);
    let error = adapter().cancel_all(markets.by_symbol("BTC/USD"), 5, &cx, &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    let error = BitfinexTrading::new(None).unwrap().cancel_all(None, 5, &cx, &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthenticationError);
    let reply = Reply { status: 200, body: b"[]", weight_used: None, retry_after_s: None };
    assert!(adapter().on_order_reply(&OrderAct::Cancel, &reply, &cx).is_err());
}

/// A second change of the amount would count from what the first one has changed already.
#[test]
fn amounts_are_changed_one_after_the_other() {
    let markets = sample_markets();
    let known = Order { id: id("1234567"), ..order(&markets, OrderKind::Limit) };
    let more = OrderAct::Edit { price: None, amount: fixed("0.03") };
    let price = OrderAct::Edit { price: fixed("1"), amount: None };
    let mut ours = adapter();
    send(&mut ours, &more, &known, 1).unwrap();
    assert_eq!(send(&mut ours, &more, &known, 2).unwrap_err().kind(), ErrorKind::OperationRejected);
    send(&mut ours, &price, &known, 3).unwrap();
    send(&mut ours, &more, &Order { id: id("7"), ..known.clone() }, 4).unwrap();
    let answer = notification("ou-req", "[1234567,null,1700000000001]", "null", "ERROR", "amount: invalid");
    assert_eq!(answered(&rows_of(&mut ours, &answer)), (1, Some(ErrorKind::ExchangeError)));
    send(&mut ours, &more, &known, 5).unwrap();
    // One that was never answered does not bind for ever.
    let later = Context { now: Wall(context(&markets).now.0 + 10_000_000_000), ..context(&markets) };
    assert!(ours.order(&more, &known, 6, &later, &mut Vec::new()).is_ok());
}

fn notification(kind: &str, info: &str, code: &str, status: &str, text: &str) -> String {
    format!(r#"[0,"n",[1575289447641,"{kind}",null,null,{info},{code},"{status}","{text}"]]"#)
}

fn answered(rows: &[PrivateRow]) -> (u64, Option<ErrorKind>) {
    match rows {
        [PrivateRow::Answer { request, outcome }] => (*request, outcome.as_ref().err().map(Error::kind)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_find_their_requests() {
    let markets = sample_markets();
    let first = Order { client_order_id: id("788"), ..order(&markets, OrderKind::Limit) };
    let mut ours = adapter();
    send(&mut ours, &OrderAct::Create, &first, 10).unwrap();
    send(&mut ours, &OrderAct::Create, &Order { client_order_id: id("789"), ..first.clone() }, 11).unwrap();
    let accepted = r#"[0,"n",[null,"on-req",null,null,[1201469553,0,788,"tBTCUSD",1611922089073,1611922089073,0.001,0.001,"EXCHANGE LIMIT",null,null,null,0,"ACTIVE",null,null,33,0,0,0,null,null,null,0,0,null,null,null,"API>BFX",null,null,null],null,"SUCCESS","Submitting market buy order for 1.0 BTC."]]"#;
    let row = OrderRow {
        id: id("1201469553"),
        client_order_id: id("788"),
        market: market(&markets, "BTC/USD"),
        status: Some(OrderStatus::Open),
        side: Some(TakerSide::Buy),
        kind: Some(OrderKind::Limit),
        post_only: Some(false),
        reduce_only: Some(false),
        price: fixed("33"),
        amount: fixed("0.001"),
        filled: fixed("0"),
        created: ms(1_611_922_089_073),
        updated: ms(1_611_922_089_073),
        ..OrderRow::default()
    };
    same(&rows_of(&mut ours, accepted), &[PrivateRow::Answer { request: 10, outcome: Ok(row) }]);
    same(&rows_of(&mut ours, accepted), &[]);
    // In a list, as orders with a second one come.
    let refused = "Invalid order: not enough exchange balance for 0.01 BTCUSD at 52000.0";
    let info = r#"[[null,null,789,"tBTCUSD",null,null,0.01,null,"EXCHANGE LIMIT"]]"#;
    let rows = rows_of(&mut ours, &notification("on-req", info, "10001", "ERROR", refused));
    let [PrivateRow::Answer { request: 11, outcome: Err(error) }] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::InsufficientFunds, Retry::Never));
    assert_eq!(error.to_string(), format!("bitfinex: {refused} (code 10001)"));
}

#[test]
fn changes_and_cancellations_are_answered_by_id_or_ours() {
    let markets = sample_markets();
    let ours = Order { client_order_id: id("555"), ..order(&markets, OrderKind::Limit) };
    let known = Order { id: id("1234567"), ..ours.clone() };
    let mut adapter = adapter();
    send(&mut adapter, &OrderAct::Cancel, &known, 20).unwrap();
    send(&mut adapter, &OrderAct::Cancel, &ours, 21).unwrap();
    send(&mut adapter, &OrderAct::Edit { price: fixed("1"), amount: None }, &known, 22).unwrap();
    let (cx, mut out) = (context(&markets), Vec::new());
    adapter.cancel_all(None, 23, &cx, &mut out).unwrap();
    let text = "Submitted for cancellation; waiting for confirmation (ID: unknown).";
    // Neither the one with another id, nor one of another kind.
    same(&rows_of(&mut adapter, &notification("oc-req", "[9,null,7]", "null", "SUCCESS", text)), &[]);
    same(&rows_of(&mut adapter, &notification("oc-req", "[1234567,null,555]", "null", "INFO", text)), &[]);
    same(&rows_of(&mut adapter, &notification("on-req", "[1234567,null,555]", "null", "SUCCESS", text)), &[]);
    let answer = |row: OrderRow, request| PrivateRow::Answer { request, outcome: Ok(row) };
    let info = r#"[1234567,null,555,"tBTCUSD",1,2,-3,-3,"LIMIT",null,null,null,0,"ACTIVE"]"#;
    let row = OrderRow { id: id("1234567"), client_order_id: id("555"), ..OrderRow::default() };
    let frame = notification("ou-req", info, "null", "SUCCESS", text);
    same(&rows_of(&mut adapter, &frame), &[answer(row.clone(), 22)]);
    let frame = notification("oc-req", info, "null", "SUCCESS", text);
    same(&rows_of(&mut adapter, &frame), &[answer(row, 20)]);
    let frame = notification("oc-req", "[null,null,555,null]", "null", "ERROR", "Order not found.");
    let rows = rows_of(&mut adapter, &frame);
    assert_eq!(answered(&rows), (21, Some(ErrorKind::OrderNotFound)));
    let frame =
        notification("oc_multi-req", &format!("[{info}]"), "null", "SUCCESS", "Submitting 1 order cancellations.");
    same(&rows_of(&mut adapter, &frame), &[answer(OrderRow::default(), 23)]);
    same(&rows_of(&mut adapter, &frame), &[]);
    send(&mut adapter, &OrderAct::Cancel, &known, 24).unwrap();
    adapter.reset();
    same(&rows_of(&mut adapter, &notification("oc-req", info, "null", "SUCCESS", text)), &[]);
}

/// What is never answered takes bounded room.
#[test]
fn the_oldest_request_is_forgotten_first() {
    let markets = sample_markets();
    let (mut ours, known) = (adapter(), Order { id: id("1"), ..order(&markets, OrderKind::Limit) });
    for request in 0..5_000 {
        send(&mut ours, &OrderAct::Cancel, &known, request).unwrap();
    }
    let frame = notification("oc-req", "[1]", "null", "SUCCESS", "");
    assert_eq!(answered(&rows_of(&mut ours, &frame)).0, 5_000 - 4_096);
}
