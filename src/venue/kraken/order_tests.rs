//! Orders in, exact bytes out; answers and refusals back to their requests.

use super::private::KrakenTrading;
use super::private_tests::{adapter, context, fixed, id, market, rows_of, same, sample_markets};
use super::rest::kind_of;
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind, Retry};
use crate::market::Markets;
use crate::model::{Id, Order, OrderId, OrderKind, OrderStatus, TakerSide, TimeInForce, VenueId};
use crate::venue::trading::{Context, OrderAct, OrderRow, PrivateRow, Trading, Way};

fn order(markets: &Markets, kind: OrderKind) -> Order {
    Order {
        handle: OrderId { venue: VenueId(4), slot: 0, generation: 0 },
        id: Id::NONE,
        client_order_id: id("wb000000000000002a"),
        market: market(markets, "BTC/USD"),
        status: OrderStatus::Pending,
        side: TakerSide::Buy,
        kind,
        time_in_force: None,
        post_only: false,
        reduce_only: false,
        price: Some(Fixed::new(26_500_400, 3)).filter(|_| kind.has_price()),
        trigger_price: fixed("27000").filter(|_| kind.has_trigger()),
        amount: Some(Fixed::new(120, 2)),
        cost_ordered: None,
        filled: Fixed::ZERO,
        cost: None,
        average: None,
        fees: Vec::new(),
        created: None,
        updated: None,
        last_trade: None,
        error: None,
    }
}

fn written(act: &OrderAct, order: &Order) -> Result<String, Error> {
    let (markets, mut out) = (sample_markets(), Vec::new());
    let way = adapter().order(act, order, 123, &context(&markets), &mut out)?;
    assert!(matches!(way, Way::Socket));
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn orders_are_spelled_as_documented() {
    let markets = sample_markets();
    let text = |order: &Order| written(&OrderAct::Create, order).unwrap();
    let all =
        |params: &str| format!(r#"{{"method":"add_order","params":{{{params},"token":"to/ken+"}},"req_id":123}}"#);
    let limit = order(&markets, OrderKind::Limit);
    let known = r#""order_type":"limit","side":"buy","order_qty":1.2,"symbol":"BTC/USD","limit_price":26500.4"#;
    let ours = r#""cl_ord_id":"wb000000000000002a""#;
    assert_eq!(text(&limit), all(&format!("{known},{ours}")));
    assert_eq!(text(&Order { client_order_id: Id::NONE, ..limit.clone() }), all(known));
    let post_only = Order { post_only: true, time_in_force: Some(TimeInForce::Gtc), ..limit.clone() };
    assert_eq!(text(&post_only), all(&format!(r#"{known},"time_in_force":"gtc","post_only":true,{ours}"#)));
    let reduce_only = Order { reduce_only: true, time_in_force: Some(TimeInForce::Ioc), ..limit.clone() };
    let expected = format!(r#"{known},"time_in_force":"ioc","margin":true,"reduce_only":true,{ours}"#);
    assert_eq!(text(&reduce_only), all(&expected));
    let market = Order { side: TakerSide::Sell, ..order(&markets, OrderKind::Market) };
    let expected = r#""order_type":"market","side":"sell","order_qty":1.2,"symbol":"BTC/USD""#;
    assert_eq!(text(&market), all(&format!("{expected},{ours}")));
    let cost = Order { amount: None, cost_ordered: fixed("100.50"), ..order(&markets, OrderKind::Market) };
    let expected = r#""order_type":"market","side":"buy","cash_order_qty":100.5,"symbol":"BTC/USD""#;
    assert_eq!(text(&cost), all(&format!("{expected},{ours}")));
    let trigger = r#""triggers":{"reference":"last","price":27000,"price_type":"static"}"#;
    for (kind, word) in [(OrderKind::Stop, "stop-loss"), (OrderKind::TakeProfit, "take-profit")] {
        let expected =
            format!(r#""order_type":"{word}","side":"buy","order_qty":1.2,"symbol":"BTC/USD",{trigger},{ours}"#);
        assert_eq!(text(&order(&markets, kind)), all(&expected));
    }
    for (kind, word) in [(OrderKind::StopLimit, "stop-loss-limit"), (OrderKind::TakeProfitLimit, "take-profit-limit")] {
        let known = known.replace("limit\",", &format!("{word}\","));
        assert_eq!(text(&order(&markets, kind)), all(&format!("{known},{trigger},{ours}")));
    }
}

#[test]
fn changes_and_cancellations_are_spelled_as_documented() {
    let markets = sample_markets();
    let ours = order(&markets, OrderKind::Limit);
    let known = Order { id: id("OFGKYQ-FHPCQ-HUQFEK"), post_only: true, ..ours.clone() };
    let both = OrderAct::Edit { price: fixed("61031.3"), amount: fixed("0.5") };
    assert_eq!(
        written(&both, &known).unwrap(),
        r#"{"method":"amend_order","params":{"order_id":"OFGKYQ-FHPCQ-HUQFEK","order_qty":0.5,"limit_price":61031.3,"post_only":true,"token":"to/ken+"},"req_id":123}"#
    );
    let amount = OrderAct::Edit { price: None, amount: None };
    assert_eq!(
        written(&amount, &ours).unwrap(),
        r#"{"method":"amend_order","params":{"cl_ord_id":"wb000000000000002a","order_qty":1.2,"token":"to/ken+"},"req_id":123}"#
    );
    assert_eq!(
        written(&OrderAct::Cancel, &known).unwrap(),
        r#"{"method":"cancel_order","params":{"order_id":["OFGKYQ-FHPCQ-HUQFEK"],"token":"to/ken+"},"req_id":123}"#
    );
    assert_eq!(
        written(&OrderAct::Cancel, &ours).unwrap(),
        r#"{"method":"cancel_order","params":{"cl_ord_id":["wb000000000000002a"],"token":"to/ken+"},"req_id":123}"#
    );
    let (cx, mut out) = (context(&markets), Vec::new());
    assert!(matches!(adapter().cancel_all(None, 5, &cx, &mut out), Ok(Way::Socket)));
    assert_eq!(out, br#"{"method":"cancel_all","params":{"token":"to/ken+"},"req_id":5}"#);
    let error = adapter().cancel_all(markets.by_symbol("BTC/USD"), 5, &cx, &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
}

#[test]
fn what_cannot_be_expressed_is_refused() {
    let markets = sample_markets();
    let limit = order(&markets, OrderKind::Limit);
    let kind = |order: Order| written(&OrderAct::Create, &order).map_err(|error| (error.kind(), error.venue()));
    let refused = |kind| Err((kind, Some("kraken")));
    let fok = Order { time_in_force: Some(TimeInForce::Fok), ..limit.clone() };
    assert_eq!(kind(fok), refused(ErrorKind::NotSupported));
    let gtd = Order { time_in_force: Some(TimeInForce::Gtd), ..limit.clone() };
    assert_eq!(kind(gtd), refused(ErrorKind::NotSupported));
    let cost = Order { amount: None, cost_ordered: fixed("5"), ..limit.clone() };
    assert_eq!(kind(cost), refused(ErrorKind::NotSupported));
    assert_eq!(kind(Order { price: None, ..limit.clone() }), refused(ErrorKind::ArgumentsRequired));
    assert_eq!(kind(Order { amount: None, ..limit.clone() }), refused(ErrorKind::ArgumentsRequired));
    assert_eq!(kind(Order { market: None, ..limit.clone() }), refused(ErrorKind::BadSymbol));
    for (text, is_right) in [
        ("6d1b345e-2821-40e2-ad83-4ecb18a06876", true),
        ("6d1b345e282140e2ad834ecb18a06876", true),
        ("arb-20240509-00010", true),
        ("arb-20240509-000100", false),
        ("6d1b345e-2821-40e2-ad83-4ecb18a0687g", false),
        ("a\"b", false),
        ("a\\b", false),
    ] {
        let order = Order { client_order_id: id(text), ..limit.clone() };
        assert_eq!(kind(order).is_ok(), is_right, "{text}");
    }
    let cx = Context { token: "", ..context(&markets) };
    let error = adapter().order(&OrderAct::Create, &limit, 1, &cx, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthenticationError);
    assert_eq!(adapter().client_order_id(0x2a), id("wb000000000000002a"));
    assert_eq!(adapter().client_order_id(u64::MAX), id("wbffffffffffffffff"));
}

#[test]
fn answers_find_their_requests() {
    let markets = sample_markets();
    let (mut adapter, cx) = (adapter(), context(&markets));
    let send = |adapter: &mut KrakenTrading, number| {
        adapter.order(&OrderAct::Create, &order(&markets, OrderKind::Limit), number, &cx, &mut Vec::new()).unwrap();
    };
    send(&mut adapter, 123);
    let right = r#"{"method":"add_order","req_id":123,"result":{"order_id":"AA5JGQ-SBMRC-SCJ7J7","cl_ord_id":"wb1"},"success":true,"time_in":"..","time_out":".."}"#;
    let row = OrderRow { id: id("AA5JGQ-SBMRC-SCJ7J7"), client_order_id: id("wb1"), ..OrderRow::default() };
    let rows = rows_of(&mut adapter, right);
    same(&rows, &[PrivateRow::Answer { request: 123, outcome: Ok(row) }]);
    same(&rows_of(&mut adapter, &right.replace("123", "124")), &[]);
    // Numbers beyond 31 bits are sent without the rest of them, which is put back.
    send(&mut adapter, (5 << 31) + 1);
    let rows = rows_of(&mut adapter, &right.replace("123", "1"));
    assert!(matches!(rows[..], [PrivateRow::Answer { request, .. }] if request == (5 << 31) + 1));
    let rows = rows_of(&mut adapter, &right.replace("123", "2147483647"));
    assert!(matches!(rows[..], [PrivateRow::Answer { request, .. }] if request == (5 << 31) - 1));
    for method in ["amend_order", "cancel_order", "cancel_all"] {
        let text = right.replace("add_order", method).replace("123", "1");
        assert!(matches!(rows_of(&mut adapter, &text)[..], [PrivateRow::Answer { outcome: Ok(_), .. }]), "{method}");
    }
    let nameless = rows_of(&mut adapter, r#"{"req_id":1,"success":false,"error":"Malformed request"}"#);
    assert!(matches!(nameless[..], [PrivateRow::Answer { outcome: Err(_), .. }]));
    let mut refusal = |text: &str| {
        let frame = format!(r#"{{"method":"add_order","req_id":1,"success":false,"error":"{text}"}}"#);
        let mut rows = rows_of(&mut adapter, &frame);
        let expires = matches!(rows.last(), Some(PrivateRow::Expired));
        match rows.swap_remove(0) {
            PrivateRow::Answer { outcome: Err(error), .. } => (error.kind(), error.retry(), expires),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refusal("EOrder:Insufficient funds"), (ErrorKind::InsufficientFunds, Retry::Never, false));
    assert_eq!(refusal("EOrder:Unknown order"), (ErrorKind::OrderNotFound, Retry::Never, false));
    assert_eq!(refusal("EOrder:Rate limit exceeded"), (ErrorKind::RateLimitExceeded, Retry::Backoff, false));
    // It may have been carried out, or it was not: the words tell.
    assert_eq!(refusal("EService:Unavailable"), (ErrorKind::ExchangeNotAvailable, Retry::Unknown, false));
    assert_eq!(refusal("EService:Market in post_only mode"), (ErrorKind::MarketClosed, Retry::Wait, false));
    assert_eq!(refusal("ESession:Invalid session"), (ErrorKind::AuthenticationError, Retry::Never, true));
}

#[test]
fn errors_of_the_venue_have_their_kinds() {
    use ErrorKind::*;
    for (text, kind) in [
        ("EOrder:Insufficient funds (insufficient user funds)", InsufficientFunds),
        ("EOrder:Insufficient margin", InsufficientFunds),
        ("EOrder:Invalid price", InvalidOrder),
        ("EOrder:Order minimum not met", InvalidOrder),
        ("EOrder:Orders limit exceeded", InvalidOrder),
        ("EOrder:Cannot open position", InvalidOrder),
        ("EOrder:Margin allowance exceeded", InvalidOrder),
        ("EOrder:Invalid order", InvalidOrder),
        ("EOrder:Post only order", OrderImmediatelyFillable),
        ("EOrder:Unknown order", OrderNotFound),
        ("EOrder:Rate limit exceeded", RateLimitExceeded),
        ("EAPI:Invalid key", AuthenticationError),
        ("EAPI:Invalid signature", AuthenticationError),
        ("ESession:Invalid session", AuthenticationError),
        ("EAuth:Account unconfirmed", AuthenticationError),
        ("EAPI:Invalid nonce", InvalidNonce),
        ("EAPI:Rate limit exceeded", DdosProtection),
        ("EGeneral:Temporary lockout", DdosProtection),
        ("EGeneral:Too many requests", DdosProtection),
        ("EGeneral:Permission denied", PermissionDenied),
        ("EAccount:Invalid permissions", PermissionDenied),
        ("EGeneral:Invalid arguments", BadRequest),
        ("ETrade:Invalid request", BadRequest),
        ("Malformed request", BadRequest),
        ("Already subscribed", BadRequest),
        ("Subscription depth not supported", BadRequest),
        ("Subscription name invalid", BadRequest),
        ("EService:Unavailable", ExchangeNotAvailable),
        ("EService:Busy", ExchangeNotAvailable),
        ("EService:Deadline elapsed", ExchangeNotAvailable),
        ("EDatabase:Internal error", ExchangeNotAvailable),
        ("EGeneral:Internal error", ExchangeNotAvailable),
        ("EService:Market in post_only mode", OnMaintenance),
        ("EService:Market in cancel_only mode", OnMaintenance),
        ("EQuery:Invalid asset pair", BadSymbol),
        ("EQuery:Unknown asset", BadSymbol),
        ("Currency pair not supported FOO/BAR", BadSymbol),
        ("Currency pair not in ISO 4217-A3 format FOO", BadSymbol),
        ("Pair(s) not found", BadSymbol),
        ("ETrade:User Locked", AccountSuspended),
        ("EAuth:Account temporary disabled", AccountSuspended),
        ("Exceeded msg rate", RateLimitExceeded),
        ("ESomething:New", ExchangeError),
    ] {
        assert_eq!(kind_of(text), kind, "{text}");
    }
}
