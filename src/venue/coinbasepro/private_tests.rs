//! The private channel and orders: frames and answers in, exact rows out; orders in, exact bytes out.

use rust_decimal::Decimal;

use super::private::TRADING;
use super::rest::{kind_of, markets};
use super::*;
use crate::credentials::Credentials;
use crate::decimal::Fixed;
use crate::error::Retry;
use crate::market::Markets;
use crate::model::*;
use crate::venue::trading::{
    Context, Fetch, Fetched, OrderAct, OrderRow, PrivateRow, PrivateRows, SignedRequest, Trading, Way,
};
use crate::venue::{PrivateChannel, shared};

const PRODUCTS: &str = r#"[{"id":"BTC-USD","quote_increment":"0.01","base_increment":"0.00000001","status":"online"},{"id":"OLD-USD","quote_increment":"0.01","base_increment":"0.01","status":"delisted"},{"id":"CGLD-EUR","quote_increment":"0.0001","base_increment":"0.01","status":"online"}]"#;

/// The time of the documented signatures.
pub(super) const NOW: Wall = Wall(1_700_000_000_250_000_000);

/// An adapter, and the markets it is given.
pub(super) struct Bench {
    pub(super) markets: Markets,
    pub(super) trading: Box<dyn Trading>,
}

impl Bench {
    pub(super) fn new() -> Bench {
        let credentials = Credentials::new("testKey0001", "d2Itc2VjcmV0LTAwMDEtMzItYnl0ZXMtbG9uZyEhISE=");
        Bench::of(Some(&credentials.with_passphrase("a \"b\"")))
    }

    pub(super) fn of(credentials: Option<&Credentials>) -> Bench {
        let mut list = Markets::default();
        let mut parser = DocParser::default();
        list.merge(VenueId(0), markets(&parser.parse(PRODUCTS.as_bytes()).unwrap()).unwrap());
        Bench { markets: list, trading: (TRADING.open)(credentials).unwrap() }
    }

    pub(super) fn market(&self, symbol: &str) -> MarketId {
        self.markets.resolve(symbol).unwrap().id
    }

    fn subscribe(&mut self, channels: &[PrivateChannel]) -> Vec<String> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        let mut out = Vec::new();
        self.trading.subscribe(channels, 7, &cx, &mut out);
        out.into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
    }

    fn frame(&mut self, frame: &str) -> Vec<PrivateRow> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        let mut out = PrivateRows::default();
        self.trading.on_frame(frame.as_bytes(), &cx, &mut out).unwrap();
        out.rows
    }

    fn row(&mut self, frame: &str) -> OrderRow {
        match self.frame(frame).remove(0) {
            PrivateRow::Order(row) => row,
            other => panic!("{other:?}"),
        }
    }

    fn order(&mut self, act: &OrderAct, order: &Order) -> Result<SignedRequest, Error> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        let mut out = Vec::new();
        let Way::Rest(request) = self.trading.order(act, order, 1512, &cx, &mut out)? else { panic!() };
        assert!(out.is_empty());
        Ok(*request)
    }

    fn body(&mut self, order: &Order) -> String {
        let request = self.order(&OrderAct::Create, order).unwrap();
        assert_eq!((request.method, &*request.target), (Method::Post, "/orders"));
        String::from_utf8(request.body).unwrap()
    }

    fn order_reply(&mut self, act: &OrderAct, status: u16, body: &str) -> Result<OrderRow, Error> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
        self.trading.on_order_reply(act, &reply, &cx)
    }

    pub(super) fn request(&mut self, fetch: &Fetch) -> Result<SignedRequest, Error> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        self.trading.request(fetch, &cx)
    }

    pub(super) fn reply(&mut self, fetch: &Fetch, status: u16, body: &str) -> Result<Fetched, Error> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
        self.trading.on_reply(fetch, &reply, &cx)
    }
}

pub(super) fn fixed(text: &str) -> Option<Fixed> {
    Some(text.parse().unwrap())
}

pub(super) fn money(text: &str) -> Option<Decimal> {
    Some(text.parse().unwrap())
}

pub(super) fn id(text: &str) -> Id {
    Id::new(text.as_bytes()).unwrap()
}

pub(super) fn usd(cost: &str) -> Option<Fee> {
    Some(Fee { currency: Code::new(b"USD").unwrap(), cost: cost.parse().unwrap() })
}

const OURS: &str = "1822e338-8e16-4740-a998-fcc33dcfc443";
const MAKER: &str = "ac928c66-ca53-498f-9c13-a110027a60e8";
const TAKER: &str = "132fb6ae-456b-4654-b4e0-d681ac05cea1";
/// 2014-11-07T08:19:27.028459Z
const TIME: Option<Wall> = Some(Wall(1_415_348_367_028_459_000));

fn new_order(bench: &Bench, kind: OrderKind) -> Order {
    Order {
        handle: OrderId { venue: VenueId(0), slot: 0, generation: 0 },
        id: Id::NONE,
        client_order_id: id(OURS),
        market: Some(bench.market("BTC/USD")),
        status: OrderStatus::Pending,
        side: TakerSide::Buy,
        kind,
        time_in_force: None,
        post_only: false,
        reduce_only: false,
        price: fixed("30000.00").filter(|_| kind.has_price()),
        trigger_price: fixed("30100.50").filter(|_| kind.has_trigger()),
        amount: fixed("0.0010"),
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

#[test]
fn one_frame_subscribes_all_active_markets_and_is_signed() {
    use PrivateChannel::{MyTrades, Orders};
    let mut bench = Bench::new();
    let cx = Context { now: NOW, markets: &bench.markets, token: "" };
    assert_eq!(bench.trading.socket_path(&cx), "/?");
    assert_eq!(
        bench.subscribe(&[Orders, MyTrades]),
        [
            r#"{"type":"subscribe","product_ids":["BTC-USD","CGLD-EUR"],"channels":["user"],"signature":"+7MPU/bgyTZTfn9OBJaW+TUFYDEttPBCgTCg0/GymEc=","key":"testKey0001","passphrase":"a \"b\"","timestamp":"1700000000"}"#
        ]
    );
    assert!(bench.frame(r#"{"type":"subscriptions","channels":[]}"#).is_empty());
    let confirmed = r#"{"type":"subscriptions","channels":[{"name":"user","product_ids":["BTC-USD","CGLD-EUR"]}]}"#;
    assert!(matches!(bench.frame(confirmed)[..], [PrivateRow::Confirmed(Orders), PrivateRow::Confirmed(MyTrades)]));
    assert!(bench.frame(confirmed).is_empty(), "each is confirmed once");
    bench.subscribe(&[MyTrades]);
    assert!(matches!(bench.frame(confirmed)[..], [PrivateRow::Confirmed(MyTrades)]));
    // Nothing is remembered over a reconnect.
    bench.subscribe(&[Orders]);
    bench.trading.reset();
    assert!(bench.frame(confirmed).is_empty());
}

#[test]
fn refusals_say_what_is_refused() {
    use PrivateChannel::{MyTrades, Orders};
    let mut bench = Bench::new();
    let mut refused = |frame: &str| {
        bench.trading.reset();
        bench.subscribe(&[Orders, MyTrades]);
        bench.frame(frame)
    };
    let rows =
        refused(r#"{"type":"error","message":"Authentication Failed","reason":"{\"message\":\"Invalid API Key\"}"}"#);
    let [PrivateRow::LoginRefused(error)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::AuthenticationError, Retry::Never));
    assert_eq!(error.to_string(), r#"coinbasepro: Authentication Failed: {"message":"Invalid API Key"}"#);
    let rows = refused(
        r#"{"type":"error","message":"Authentication Failed","reason":"{\"message\":\"request timestamp expired\"}"}"#,
    );
    let [PrivateRow::LoginRefused(error)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(error.retry(), Retry::Resync);
    let rows = refused(r#"{"type":"error","message":"Failed to subscribe","reason":"user channel is not here"}"#);
    let [PrivateRow::ChannelRefused(Orders, error), PrivateRow::ChannelRefused(MyTrades, _)] = &rows[..] else {
        panic!("{rows:?}")
    };
    assert_eq!((error.kind(), error.venue()), (ErrorKind::BadRequest, Some("coinbasepro")));
    assert!(matches!(refused(r#"{"type":"error","message":"ErrSlowConsume"}"#)[..], [PrivateRow::Shutdown]));
}

#[test]
fn a_product_that_cannot_be_subscribed_is_left_out_the_next_time() {
    use PrivateChannel::Orders;
    let mut bench = Bench::new();
    bench.subscribe(&[Orders]);
    let frame = r#"{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}"#;
    assert!(matches!(bench.frame(frame)[..], [PrivateRow::Expired]));
    bench.trading.reset();
    assert!(bench.subscribe(&[Orders])[0].starts_with(r#"{"type":"subscribe","product_ids":["CGLD-EUR"],"#));
    // The same again cannot be helped.
    assert!(matches!(bench.frame(frame)[..], [PrivateRow::ChannelRefused(Orders, _)]));
}

fn message(kind: &str, rest: &str) -> String {
    format!(
        r#"{{"type":"{kind}","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","sequence":10,"user_id":"5","profile_id":"6","order_id":"{MAKER}","side":"sell",{rest}}}"#
    )
}

#[test]
fn the_life_of_an_order() {
    let mut bench = Bench::new();
    let row = bench.row(&message(
        "received",
        &format!(r#""size":"1.34","price":"502.10","order_type":"limit","client_oid":"{OURS}""#),
    ));
    assert_eq!((row.id, row.client_order_id), (id(MAKER), id(OURS)));
    assert_eq!((row.market, row.status), (Some(bench.market("BTC/USD")), Some(OrderStatus::Open)));
    assert_eq!((row.side, row.kind), (Some(TakerSide::Sell), Some(OrderKind::Limit)));
    assert_eq!((row.price, row.amount, row.cost_ordered, row.filled), (fixed("502.1"), fixed("1.34"), None, None));
    assert_eq!((row.created, row.updated), (TIME, TIME));
    let funds = bench.row(&message("received", r#""funds":"3000.23","order_type":"market""#));
    assert_eq!((funds.kind, funds.amount, funds.cost_ordered), (Some(OrderKind::Market), None, fixed("3000.23")));
    let both = bench.row(&message("received", r#""size":"1","funds":"3000.23","order_type":"market""#));
    assert_eq!((both.amount, both.cost_ordered), (fixed("1"), None));

    let row = bench.row(&message("open", r#""price":"200.2","remaining_size":"1.00""#));
    assert_eq!((row.status, row.price, row.amount, row.kind), (Some(OrderStatus::Open), fixed("200.2"), None, None));
    assert_eq!((row.created, row.updated), (None, TIME));

    let row = bench.row(&message("done", r#""price":"200.2","reason":"filled","remaining_size":"0""#));
    assert_eq!((row.status, row.price, row.filled), (Some(OrderStatus::Closed), None, None));
    let row = bench.row(&message("done", r#""reason":"canceled","cancel_reason":"101:Time In Force""#));
    assert_eq!((row.status, row.error.is_none()), (Some(OrderStatus::Canceled), true));
    let row = bench.row(&message("done", r#""reason":"canceled","cancel_reason":"105:Insufficient Funds""#));
    let error = row.error.unwrap();
    assert_eq!((error.kind(), error.code()), (ErrorKind::InsufficientFunds, Some("105")));

    let row = bench.row(&message("change", r#""reason":"STP","old_size":"5.23512","new_size":"5.0","price":"400.23""#));
    assert_eq!((row.amount, row.price, row.status), (fixed("5"), fixed("400.23"), None));
    let row = bench.row(&message(
        "change",
        r#""reason":"modify_order","old_size":"2","new_size":"1","old_price":"5","new_price":"6""#,
    ));
    assert_eq!((row.amount, row.price), (fixed("1"), fixed("6")));
}

#[test]
fn orders_with_a_trigger_stay_what_they_are_when_it_is_reached() {
    let mut bench = Bench::new();
    let activate = message("activate", r#""stop_type":"loss","stop_price":"80","size":"2","funds":"50""#);
    let row = bench.row(&activate);
    assert_eq!((row.kind, row.trigger_price, row.amount), (Some(OrderKind::StopLimit), fixed("80"), fixed("2")));
    assert_eq!((row.status, row.id), (Some(OrderStatus::Open), id(MAKER)));
    assert_eq!(bench.row(&activate.replace("loss", "entry")).kind, Some(OrderKind::TakeProfitLimit));
    let received = message("received", r#""size":"2","price":"79","order_type":"limit""#);
    assert_eq!(bench.row(&received).kind, None);
    bench.row(&message("done", r#""reason":"filled""#));
    assert_eq!(bench.row(&received).kind, Some(OrderKind::Limit), "another one");
}

fn matched(rest: &str) -> String {
    format!(
        r#"{{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"{MAKER}","taker_order_id":"{TAKER}","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.2","price":"400.20","side":"sell"{rest}}}"#
    )
}

#[test]
fn the_taker_of_a_match_is_on_the_other_side() {
    let mut bench = Bench::new();
    let taker = matched(r#","taker_user_id":"5","user_id":"5","taker_profile_id":"6","taker_fee_rate":"0.005""#);
    let [PrivateRow::MyTrade(trade)] = bench.frame(&taker)[..] else { panic!() };
    let expected = MyTrade {
        id: id("10"),
        order: id(TAKER),
        market: Some(bench.market("BTC/USD")),
        venue_time: TIME,
        side: TakerSide::Buy,
        price: fixed("400.2").unwrap(),
        amount: fixed("5.2").unwrap(),
        cost: money("2081.04"),
        liquidity: Some(Liquidity::Taker),
        fee: usd("10.4052"),
        backfilled: false,
    };
    assert_eq!(trade, expected);
    let maker = matched(r#","maker_user_id":"5","user_id":"5","maker_fee_rate":"-0.0001""#);
    let [PrivateRow::MyTrade(trade)] = bench.frame(&maker)[..] else { panic!() };
    assert_eq!((trade.order, trade.side, trade.liquidity), (id(MAKER), TakerSide::Sell, Some(Liquidity::Maker)));
    assert_eq!(trade.fee, usd("-0.208104"), "a rebate");
    let [PrivateRow::MyTrade(trade)] = bench.frame(&matched(r#","maker_user_id":"5""#))[..] else { panic!() };
    assert_eq!(trade.fee, None);
    assert!(bench.frame(&matched("")).is_empty(), "somebody else's");
}

#[test]
fn what_says_nothing_gives_no_rows() {
    let mut bench = Bench::new();
    for frame in [
        r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD"}"#,
        r#"{"type":"something new","order_id":"1"}"#,
        r#"{"type":"done","reason":"filled"}"#,
        r#"{"type":"error","message":"late"}"#,
        "{}",
        "[]",
        "7",
    ] {
        assert!(bench.frame(frame).is_empty(), "{frame}");
    }
    let year_one =
        message("open", "\"price\":\"1\"").replace("2014-11-07T08:19:27.028459Z", "0001-01-01T00:00:00.000000Z");
    assert_eq!(bench.row(&year_one).updated, None);
    let cx = Context { now: NOW, markets: &bench.markets, token: "" };
    assert!(bench.trading.on_frame(b"nonsense", &cx, &mut PrivateRows::default()).is_err());
}

#[test]
fn orders_are_spelled_as_documented() {
    let mut bench = Bench::new();
    let limit = new_order(&bench, OrderKind::Limit);
    let plain = r#"{"type":"limit","side":"buy","product_id":"BTC-USD","size":"0.001","price":"30000""#;
    let oid = format!(r#","client_oid":"{OURS}"}}"#);
    assert_eq!(bench.body(&limit), format!("{plain}{oid}"));
    for (time_in_force, post_only, text) in [
        (Some(TimeInForce::Gtc), false, r#","time_in_force":"GTC""#),
        (Some(TimeInForce::Ioc), false, r#","time_in_force":"IOC""#),
        (Some(TimeInForce::Fok), false, r#","time_in_force":"FOK""#),
        (None, true, r#","post_only":true"#),
        (Some(TimeInForce::Gtc), true, r#","time_in_force":"GTC","post_only":true"#),
    ] {
        let order = Order { time_in_force, post_only, ..limit.clone() };
        assert_eq!(bench.body(&order), format!("{plain}{text}{oid}"));
    }
    for (kind, side, stop) in [
        (OrderKind::StopLimit, TakerSide::Sell, "loss"),
        (OrderKind::StopLimit, TakerSide::Buy, "entry"),
        (OrderKind::TakeProfitLimit, TakerSide::Buy, "loss"),
        (OrderKind::TakeProfitLimit, TakerSide::Sell, "entry"),
    ] {
        let order = Order { side, ..new_order(&bench, kind) };
        let plain = plain.replace("buy", side.as_str());
        assert_eq!(bench.body(&order), format!(r#"{plain},"stop":"{stop}","stop_price":"30100.5"{oid}"#));
    }
    let market = Order { side: TakerSide::Sell, client_order_id: Id::NONE, ..new_order(&bench, OrderKind::Market) };
    assert_eq!(bench.body(&market), r#"{"type":"market","side":"sell","product_id":"BTC-USD","size":"0.001"}"#);
    let funds = Order { amount: None, cost_ordered: fixed("500.00"), ..market };
    assert_eq!(bench.body(&funds), r#"{"type":"market","side":"sell","product_id":"BTC-USD","funds":"500"}"#);
}

#[test]
fn cancellations() {
    let mut bench = Bench::new();
    let mut order = new_order(&bench, OrderKind::Limit);
    let request = bench.order(&OrderAct::Cancel, &order).unwrap();
    assert_eq!(
        (request.method, request.target, request.body.len()),
        (Method::Delete, format!("/orders/client:{OURS}?product_id=BTC-USD"), 0)
    );
    order.id = id(MAKER);
    assert_eq!(bench.order(&OrderAct::Cancel, &order).unwrap().target, format!("/orders/{MAKER}?product_id=BTC-USD"));
    let cx = Context { now: NOW, markets: &bench.markets, token: "" };
    for (market, expected) in [(None, "/orders"), (Some("BTC/USD"), "/orders?product_id=BTC-USD")] {
        let market = market.map(|symbol| bench.markets.resolve(symbol).unwrap());
        let Way::Rest(request) = bench.trading.cancel_all(market, 1, &cx, &mut Vec::new()).unwrap() else { panic!() };
        assert_eq!((request.method, &*request.target, request.headers.len()), (Method::Delete, expected, 4));
    }
    let row = bench.order_reply(&OrderAct::Cancel, 200, &format!("\"{MAKER}\"")).unwrap();
    assert_eq!((row.id, row.status), (id(MAKER), None));
    let many = format!(r#"["{MAKER}","{TAKER}"]"#);
    assert_eq!(bench.order_reply(&OrderAct::Cancel, 200, &many).unwrap().id, Id::NONE);
    let error = bench.order_reply(&OrderAct::Cancel, 400, r#"{"message":"Order already done"}"#).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::OrderNotFound, Retry::Never));
}

#[test]
fn what_cannot_be_expressed_is_refused() {
    let mut bench = Bench::new();
    let (limit, market) = (new_order(&bench, OrderKind::Limit), new_order(&bench, OrderKind::Market));
    let stop = new_order(&bench, OrderKind::StopLimit);
    let mut refused = |act: OrderAct, order: Order| {
        let error = bench.order(&act, &order).unwrap_err();
        assert_eq!(error.venue(), Some("coinbasepro"), "{error}");
        error.kind()
    };
    use ErrorKind::{InvalidOrder, NotSupported};
    for (order, kind) in [
        (Order { price: None, ..limit.clone() }, InvalidOrder),
        (Order { amount: None, ..limit.clone() }, InvalidOrder),
        (Order { amount: None, cost_ordered: fixed("5"), ..limit.clone() }, NotSupported),
        (Order { post_only: true, time_in_force: Some(TimeInForce::Ioc), ..limit.clone() }, InvalidOrder),
        (Order { post_only: true, ..market.clone() }, InvalidOrder),
        (Order { reduce_only: true, ..limit.clone() }, NotSupported),
        (Order { time_in_force: Some(TimeInForce::Gtd), ..limit.clone() }, NotSupported),
        (Order { time_in_force: Some(TimeInForce::Fok), ..market }, NotSupported),
        (Order { trigger_price: None, ..stop.clone() }, InvalidOrder),
        (Order { kind: OrderKind::Stop, ..stop }, NotSupported),
        (Order { client_order_id: id("b15"), ..limit.clone() }, InvalidOrder),
        (Order { client_order_id: id(&OURS.to_uppercase()), ..limit.clone() }, InvalidOrder),
        (Order { market: None, ..limit.clone() }, ErrorKind::BadSymbol),
    ] {
        assert_eq!(refused(OrderAct::Create, order.clone()), kind, "{order:?}");
    }
    let nameless = Order { client_order_id: Id::NONE, ..limit.clone() };
    assert_eq!(refused(OrderAct::Cancel, nameless), ErrorKind::ArgumentsRequired);
    assert_eq!(refused(OrderAct::Edit { price: fixed("1"), amount: None }, limit.clone()), NotSupported);
    let error = Bench::of(None).order(&OrderAct::Create, &limit).unwrap_err();
    assert_eq!((error.kind(), error.venue()), (ErrorKind::AuthenticationError, Some("coinbasepro")));
}

#[test]
fn client_order_ids_are_uuids_in_which_the_number_stands() {
    let trading = Bench::new().trading;
    assert_eq!(trading.client_order_id(0).as_str(), "00000000-0000-4000-8000-776972656264");
    assert_eq!(trading.client_order_id(0x0123_4567_89ab_cdef).as_str(), "01234567-89ab-4cde-8f00-776972656264");
    assert_eq!(trading.client_order_id(u64::MAX).as_str(), "ffffffff-ffff-4fff-8f00-776972656264");
}

pub(super) fn rest_order() -> String {
    format!(
        r#"{{"id":"{MAKER}","price":"400.10000000","size":"0.50000000","product_id":"BTC-USD","client_oid":"{OURS}","side":"buy","stp":"dc","type":"limit","time_in_force":"GTC","post_only":false,"created_at":"2014-11-07T08:19:27.028459Z","fill_fees":"0.2500000000000000","filled_size":"0.25000000","executed_value":"100.0000000000000000","status":"open","settled":false}}"#
    )
}

#[test]
fn answers_to_orders() {
    let mut bench = Bench::new();
    let create = OrderAct::Create;
    let row = bench.order_reply(&create, 200, &rest_order()).unwrap();
    assert_eq!((row.id, row.client_order_id), (id(MAKER), id(OURS)));
    assert_eq!((row.market, row.status), (Some(bench.market("BTC/USD")), Some(OrderStatus::Open)));
    assert_eq!((row.side, row.kind), (Some(TakerSide::Buy), Some(OrderKind::Limit)));
    assert_eq!((row.time_in_force, row.post_only), (Some(TimeInForce::Gtc), Some(false)));
    assert_eq!((row.price, row.amount, row.filled), (fixed("400.1"), fixed("0.5"), fixed("0.25")));
    assert_eq!((row.cost, row.average, row.fee), (money("100"), money("400"), usd("0.25")));
    assert_eq!((row.created, row.updated, row.error.is_none()), (TIME, None, true));
    let rejected = rest_order().replace(r#""status":"open""#, r#""status":"rejected","reject_reason":"post only""#);
    let error = bench.order_reply(&create, 200, &rejected).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::OrderImmediatelyFillable, "coinbasepro: post only".into())
    );
    let mut retry = |status, body: &str| bench.order_reply(&create, status, body).unwrap_err().retry();
    assert_eq!(retry(400, r#"{"message":"Insufficient funds"}"#), Retry::Never);
    assert_eq!(retry(429, r#"{"message":"Private rate limit exceeded"}"#), Retry::Backoff);
    assert_eq!(retry(400, r#"{"message":"request timestamp expired"}"#), Retry::Resync);
    assert_eq!(retry(503, r#"{"message":"Service is under maintenance"}"#), Retry::Unknown);
    assert_eq!(retry(500, r#"{"message":"Internal server error"}"#), Retry::Unknown);
    assert_eq!(retry(200, "<html>"), Retry::Unknown);
    assert_eq!(retry(200, "{}"), Retry::Unknown);
}

#[test]
fn messages_are_the_errors_of_the_table() {
    use ErrorKind::*;
    for (message, kind) in [
        ("Insufficient funds", InsufficientFunds),
        ("NotFound", OrderNotFound),
        ("Order already done", OrderNotFound),
        ("order not found", OrderNotFound),
        ("Invalid API Key", AuthenticationError),
        ("invalid signature", AuthenticationError),
        ("Invalid Passphrase", AuthenticationError),
        ("Authentication Failed", AuthenticationError),
        ("request timestamp expired", InvalidNonce),
        ("Invalid order id", InvalidOrder),
        // More exact than an invalid order.
        ("Product not found", BadSymbol),
        ("price too small", InvalidOrder),
        ("price too precise (1.001)", InvalidOrder),
        ("size is too small. Minimum size is 1", InvalidOrder),
        ("Private rate limit exceeded", RateLimitExceeded),
        ("Trading pair not available", PermissionDenied),
        ("BTC-USD is under maintenance", OnMaintenance),
        ("Cancel only mode", OnMaintenance),
        ("something else", ExchangeError),
    ] {
        assert_eq!(kind_of(message, ExchangeError), kind, "{message}");
        let body = format!(r#"{{"message":"{message}"}}"#);
        let error = Bench::new().reply(&Fetch::Balance, 400, &body).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (kind, format!("coinbasepro: {message}")));
    }
}

#[test]
fn credentials_have_three_parts_that_fit_into_headers() {
    let open = |credentials: Credentials| (TRADING.open)(Some(&credentials)).err().unwrap();
    let error = open(Credentials::new("hush", "aHVzaA=="));
    assert_eq!((error.kind(), error.venue()), (ErrorKind::ArgumentsRequired, Some("coinbasepro")));
    for credentials in [
        Credentials::new("hush", "aHVzaA==").with_passphrase("hush\r\nX: 1"),
        Credentials::new("hush", "hush, no base64").with_passphrase("hush"),
    ] {
        let error = open(credentials);
        assert_eq!(error.kind(), ErrorKind::AuthenticationError);
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[test]
fn damaged_frames_do_no_harm() {
    use PrivateChannel::{MyTrades, Orders};
    let frames = [
        message("received", r#""size":"1.34","price":"502.10","order_type":"limit","client_oid":"1""#),
        message("done", r#""price":"200.2","reason":"canceled","cancel_reason":"105:Insufficient Funds""#),
        message("change", r#""old_size":"2","new_size":"1","old_price":"5","new_price":"6""#),
        message("activate", r#""stop_type":"loss","stop_price":"80","size":"2""#),
        matched(r#","taker_user_id":"5","taker_fee_rate":"0.005""#),
        r#"{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}"#.to_owned(),
        r#"{"type":"subscriptions","channels":[{"name":"user","product_ids":["BTC-USD"]}]}"#.to_owned(),
    ];
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let mut bench = Bench::new();
    bench.subscribe(&[Orders, MyTrades]);
    let cx = Context { now: NOW, markets: &bench.markets, token: "" };
    let mut out = PrivateRows::default();
    let mut rows = 0;
    shared::damaged(&frames, 20_000, |frame| {
        out.clear();
        rows += usize::from(bench.trading.on_frame(frame, &cx, &mut out).is_ok()) * out.rows.len();
    });
    assert!(rows > 2_000, "{rows}: nearly all were unreadable, which tests little");
}
