//! The private half: frames and answers in, exact rows out; orders and questions in, exact bytes out.

use super::private::{OKCOIN_TRADING, TRADING};
use super::rest::{kind_of, markets};
use super::*;
use crate::credentials::Credentials;
use crate::decimal::Fixed;
use crate::error::Retry;
use crate::market::Markets;
use crate::model::*;
use crate::venue::trading::{Context, Fetch, Fetched, OrderAct, PrivateRow, PrivateRows, SignedRequest, Trading, Way};
use crate::venue::{PrivateChannel, shared};
use rust_decimal::Decimal;

const INSTRUMENTS: &str = r#"{"code":"0","msg":"","data":[{"instType":"SPOT","instId":"BTC-USDT","instIdCode":10459,"uly":"","baseCcy":"BTC","quoteCcy":"USDT","settleCcy":"","ctVal":"","ctMult":"","tickSz":"0.1","lotSz":"0.00000001","minSz":"0.00001","state":"live"},{"instType":"SWAP","instId":"XRP-USDT-SWAP","instIdCode":9,"uly":"XRP-USDT","settleCcy":"USDT","ctVal":"100","ctMult":"1","tickSz":"0.00001","lotSz":"1","minSz":"1","state":"live"},{"instType":"SWAP","instId":"BTC-USD-SWAP","uly":"BTC-USD","settleCcy":"BTC","ctVal":"100","ctMult":"","tickSz":"0.1","lotSz":"1","minSz":"1","state":"live"}]}"#;

/// An adapter, the markets it is given, and the time: 2024-01-02T03:04:05.678Z.
struct Bench {
    markets: Markets,
    trading: Box<dyn Trading>,
}

const NOW: Wall = Wall(1_704_164_645_678_000_000);

impl Bench {
    fn new() -> Bench {
        let credentials = Credentials::new("testKey0001", "testSecret0001").with_passphrase("a \"b\"");
        Bench::of((TRADING.open)(Some(&credentials)).unwrap())
    }

    fn of(trading: Box<dyn Trading>) -> Bench {
        let mut list = Markets::default();
        let mut parser = DocParser::default();
        list.merge(VenueId(0), markets(&parser.parse(INSTRUMENTS.as_bytes()).unwrap()).unwrap());
        Bench { markets: list, trading }
    }

    fn market(&self, symbol: &str) -> MarketId {
        self.markets.resolve(symbol).unwrap().id
    }

    fn subscribe(&mut self, channels: &[PrivateChannel], request: u64) -> Vec<String> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        let mut out = Vec::new();
        self.trading.subscribe(channels, request, &cx, &mut out);
        out.into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
    }

    fn frame(&mut self, frame: &str) -> Vec<PrivateRow> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        let mut out = PrivateRows::default();
        self.trading.on_frame(frame.as_bytes(), &cx, &mut out).unwrap();
        out.rows
    }

    fn order(&mut self, act: &OrderAct, order: &Order) -> Result<String, Error> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        let mut out = Vec::new();
        let way = self.trading.order(act, order, 1512, &cx, &mut out)?;
        assert!(matches!(way, Way::Socket));
        Ok(String::from_utf8(out).unwrap())
    }

    fn request(&mut self, fetch: Fetch) -> Result<SignedRequest, Error> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        self.trading.request(&fetch, &cx)
    }

    fn target(&mut self, fetch: Fetch) -> String {
        let request = self.request(fetch).unwrap();
        assert_eq!((request.method, request.body.len(), request.weight), (Method::Get, 0, 1));
        let is_private = request.headers.iter().any(|(name, _)| *name == "OK-ACCESS-SIGN");
        format!("{}{}", if is_private { "signed " } else { "" }, request.target)
    }

    fn reply(&mut self, fetch: Fetch, status: u16, body: &str) -> Result<Fetched, Error> {
        let cx = Context { now: NOW, markets: &self.markets, token: "" };
        let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
        self.trading.on_reply(&fetch, &reply, &cx)
    }

    /// The rows of an answer that went well.
    fn rows(&mut self, fetch: Fetch, rows: &str) -> Fetched {
        self.reply(fetch, 200, &format!(r#"{{"code":"0","msg":"","data":[{rows}]}}"#)).unwrap()
    }
}

fn fixed(text: &str) -> Option<Fixed> {
    Some(text.parse().unwrap())
}

fn money(text: &str) -> Option<Decimal> {
    Some(text.parse().unwrap())
}

fn id(text: &str) -> Id {
    Id::new(text.as_bytes()).unwrap()
}

fn ms(ms: i64) -> Option<Wall> {
    Some(Wall::from_ms(ms))
}

fn new_order(bench: &Bench, symbol: &str, kind: OrderKind) -> Order {
    Order {
        handle: OrderId { venue: VenueId(0), slot: 0, generation: 0 },
        id: Id::NONE,
        client_order_id: id("b15"),
        market: Some(bench.market(symbol)),
        status: OrderStatus::Pending,
        side: TakerSide::Buy,
        kind,
        time_in_force: None,
        post_only: false,
        reduce_only: false,
        price: fixed("42000.50").filter(|_| kind.has_price()),
        trigger_price: None,
        amount: fixed("0.010"),
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
fn login_as_documented() {
    let mut bench = Bench::new();
    let cx = Context { now: NOW, markets: &bench.markets, token: "" };
    assert_eq!(bench.trading.socket_path(&cx), "/ws/v5/private");
    let mut out = Vec::new();
    bench.trading.login(&cx, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"op":"login","args":[{"apiKey":"testKey0001","passphrase":"a \"b\"","timestamp":"1704164645","sign":"Bcxk45vKfO8u59vOE9u4R9HXi5xIXEcsSDmPCyioDEY="}]}"#
    );
    let rows = bench.frame(r#"{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}"#);
    assert!(matches!(rows[..], [PrivateRow::LoggedIn]));
}

#[test]
fn a_login_that_is_refused_says_why() {
    for (code, kind) in [("60009", ErrorKind::AuthenticationError), ("60006", ErrorKind::InvalidNonce)] {
        let mut bench = Bench::new();
        let cx = Context { now: NOW, markets: &bench.markets, token: "" };
        bench.trading.login(&cx, &mut Vec::new());
        let frame = format!(r#"{{"event":"error","code":"{code}","msg":"Login failed.","connId":"a4d3ae55"}}"#);
        let [PrivateRow::LoginRefused(error)] = &bench.frame(&frame)[..] else { panic!("{code}") };
        assert_eq!((error.kind(), error.venue(), error.code()), (kind, Some("okex"), Some(code)));
        // Answered: what comes later is about something else.
        let other = r#"{"event":"error","code":"60012","msg":"Illegal request: {\"op\":\"x\"}"}"#;
        assert!(bench.frame(other).is_empty());
    }
}

#[test]
fn credentials_have_three_parts_that_fit_into_headers() {
    let open = |credentials: Credentials| (TRADING.open)(Some(&credentials)).err().unwrap();
    let error = open(Credentials::new("hush", "hush"));
    assert_eq!((error.kind(), error.venue()), (ErrorKind::ArgumentsRequired, Some("okex")));
    let error = open(Credentials::new("hush", "hush").with_passphrase("hush\r\nX: 1"));
    assert_eq!(error.kind(), ErrorKind::AuthenticationError);
    assert!(!error.to_string().contains("hush"), "{error}");
}

#[test]
fn each_channel_is_subscribed_once_and_named_again_in_the_answer() {
    use PrivateChannel::{Balance, MyTrades, Orders, Positions};
    let mut bench = Bench::new();
    assert_eq!(
        bench.subscribe(&[Balance, Orders, MyTrades, Positions], 7),
        [
            r#"{"id":"7","op":"subscribe","args":[{"channel":"account"}]}"#,
            r#"{"id":"8","op":"subscribe","args":[{"channel":"orders","instType":"ANY"}]}"#,
            r#"{"id":"9","op":"subscribe","args":[{"channel":"positions","instType":"ANY"}]}"#,
        ]
    );
    let ack = r#"{"id":"8","event":"subscribe","arg":{"channel":"orders","instType":"ANY"},"connId":"a4d3ae55"}"#;
    assert!(matches!(bench.frame(ack)[..], [PrivateRow::Confirmed(Orders), PrivateRow::Confirmed(MyTrades)]));
    let refused =
        r#"{"id":"9","event":"error","code":"60029","msg":"Only users who are VIP5 and above","connId":"a4"}"#;
    let [PrivateRow::ChannelRefused(Positions, error)] = &bench.frame(refused)[..] else { panic!() };
    assert_eq!((error.kind(), error.venue()), (ErrorKind::AccountNotEnabled, Some("okex")));
    let named =
        r#"{"event":"error","code":"60018","msg":"Wrong URL or channel:account,ccy:BTC doesn't exist.","connId":"a4"}"#;
    assert!(matches!(&bench.frame(named)[..], [PrivateRow::ChannelRefused(Balance, _)]));
    let quoted = r#"{"event":"error","code":"60012","msg":"Illegal request: {\"id\":\"7\",\"op\":\"subscribe\"}"}"#;
    assert!(matches!(&bench.frame(quoted)[..], [PrivateRow::ChannelRefused(Balance, _)]));
    let crowded = r#"{"event":"channel-conn-count-error","channel":"positions","connCount":"30","connId":"a4"}"#;
    let [PrivateRow::ChannelRefused(Positions, error)] = &bench.frame(crowded)[..] else { panic!() };
    assert_eq!(error.kind(), ErrorKind::RateLimitExceeded);
    // Nothing is remembered over a reconnect.
    bench.trading.reset();
    assert!(bench.frame(ack).is_empty());
    assert_eq!(bench.subscribe(&[MyTrades], 3).len(), 1);
    assert!(matches!(bench.frame(ack)[..], [PrivateRow::Confirmed(MyTrades)]));
}

#[test]
fn what_says_nothing_gives_no_rows() {
    let mut bench = Bench::new();
    for frame in [
        "pong",
        r#"{"event":"channel-conn-count","channel":"orders","connCount":"2","connId":"a4d3ae55"}"#,
        r#"{"event":"unsubscribe","arg":{"channel":"orders"}}"#,
        r#"{"event":"notice","code":"64000","msg":"."}"#,
        r#"{"arg":{"channel":"fills"},"data":[{"ordId":"1"}]}"#,
        r#"{"arg":{"channel":"orders"},"data":[{"state":"live"}]}"#,
        r#"{"arg":{"channel":"orders"},"data":7}"#,
        "{}",
        "[]",
        "7",
    ] {
        assert!(bench.frame(frame).is_empty(), "{frame}");
    }
    let notice = r#"{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"a4d3ae55"}"#;
    assert!(matches!(bench.frame(notice)[..], [PrivateRow::Shutdown]));
    let cx = Context { now: NOW, markets: &bench.markets, token: "" };
    assert!(bench.trading.on_frame(b"nonsense", &cx, &mut PrivateRows::default()).is_err());
}

const ACCOUNT: &str = r#"{"arg":{"channel":"account","uid":"1"},"eventType":"snapshot","curPage":1,"lastPage":true,"data":[{"uTime":"1773837554158","totalEq":"711018.8951315446","details":[{"ccy":"TUSD","eq":"2900","cashBal":"2900","availBal":"2900","availEq":"2800.5","frozenBal":"0","ordFrozen":"0","liab":"-3","uTime":"1752243427083"},{"ccy":"BTC","eq":"","availBal":"1.5","availEq":"","frozenBal":"0.25","liab":""},{"ccy":""}]}]}"#;

const NEW: &str = r#"{"arg":{"channel":"orders","instType":"ANY","uid":"1"},"data":[{"instType":"SPOT","instId":"BTC-USDT","ordId":"312269865356374016","clOrdId":"b15","tag":"","px":"42000.5","sz":"0.03","ordType":"post_only","side":"buy","posSide":"","tdMode":"cash","tgtCcy":"","state":"live","accFillSz":"0","fillSz":"0","fillPx":"","tradeId":"","avgPx":"","fillTime":"","fee":"0","feeCcy":"BTC","fillFee":"0","fillFeeCcy":"","execType":"","reduceOnly":"false","category":"normal","amendResult":"","code":"0","msg":"","cTime":"1746947317400","uTime":"1746947317401"}]}"#;

/// The same order, filled whole.
fn filled() -> String {
    NEW.replace(r#""state":"live","accFillSz":"0","fillSz":"0","fillPx":"","tradeId":"","avgPx":"","fillTime":"","fee":"0","feeCcy":"BTC","fillFee":"0","fillFeeCcy":"","execType":"""#,
        r#""state":"filled","accFillSz":"0.03","fillPx":"103698.9","fillSz":"0.01","fillTime":"1746947317402","tradeId":"1518905529","avgPx":"103698.95","fee":"-0.021776769","feeCcy":"USDT","fillFee":"-0.007","fillFeeCcy":"USDT","execType":"M""#)
}

const POSITION: &str = r#"{"instId":"XRP-USDT-SWAP","instType":"SWAP","posSide":"net","pos":"1","avgPx":"0.52668","lever":"3","liqPx":"0.3287514731020614","markPx":"0.52692","mgnMode":"cross","imr":"17.564","mmr":"0.26346","upl":"0.0240000000000018","uplRatio":"0.0013670539986328","notionalUsd":"52.68620388000001","posId":"616057041198907393","cTime":"1693151444408","uTime":"1693151444408","pTime":"1693151906023"}"#;

fn position_frame(row: &str) -> String {
    format!(r#"{{"arg":{{"channel":"positions","instType":"ANY","uid":"1"}},"data":[{row}]}}"#)
}

#[test]
fn balances() {
    let rows = Bench::new().frame(ACCOUNT);
    let [PrivateRow::Balance(tusd), PrivateRow::Balance(btc)] = rows[..] else { panic!("{rows:?}") };
    let expected = Balance {
        currency: Code::new(b"TUSD").unwrap(),
        free: money("2800.5"),
        used: money("99.5"),
        total: money("2900"),
        debt: money("3"),
    };
    assert_eq!(tusd, expected);
    assert_eq!((btc.free, btc.used, btc.total, btc.debt), (money("1.5"), money("0.25"), money("1.75"), None));
}

#[test]
fn an_order_that_is_new() {
    let mut bench = Bench::new();
    let [PrivateRow::Order(row)] = &bench.frame(NEW)[..] else { panic!() };
    assert_eq!((row.id, row.client_order_id), (id("312269865356374016"), id("b15")));
    assert_eq!((row.market, row.status), (Some(bench.market("BTC/USDT")), Some(OrderStatus::Open)));
    assert_eq!((row.side, row.kind, row.time_in_force), (Some(TakerSide::Buy), Some(OrderKind::Limit), None));
    assert_eq!((row.post_only, row.reduce_only), (Some(true), Some(false)));
    assert_eq!((row.price, row.amount, row.filled), (fixed("42000.5"), fixed("0.03"), fixed("0")));
    assert_eq!((row.average, row.cost, row.cost_ordered, row.trigger_price), (None, None, None, None));
    assert_eq!(row.fee, None);
    assert_eq!((row.created, row.updated, row.last_trade), (ms(1_746_947_317_400), ms(1_746_947_317_401), None));
    assert!(row.error.is_none());
}

#[test]
fn a_fill_comes_after_the_change_of_its_order() {
    let mut bench = Bench::new();
    let rows = bench.frame(&filled());
    let [PrivateRow::Order(order), PrivateRow::MyTrade(trade)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(
        (order.status, order.filled, order.average),
        (Some(OrderStatus::Closed), fixed("0.03"), money("103698.95"))
    );
    let usdt = Code::new(b"USDT").unwrap();
    assert_eq!(order.fee, Some(Fee { currency: usdt, cost: money("0.021776769").unwrap() }));
    assert_eq!(order.last_trade, ms(1_746_947_317_402));
    let expected = MyTrade {
        id: id("1518905529"),
        order: id("312269865356374016"),
        market: Some(bench.market("BTC/USDT")),
        venue_time: ms(1_746_947_317_402),
        side: TakerSide::Buy,
        price: fixed("103698.9").unwrap(),
        amount: fixed("0.01").unwrap(),
        cost: None,
        liquidity: Some(Liquidity::Maker),
        fee: Some(Fee { currency: usdt, cost: money("0.007").unwrap() }),
        backfilled: false,
    };
    assert_eq!(*trade, expected);
    let taker = filled().replace(r#""execType":"M""#, r#""execType":"T""#).replace("-0.007", "0.007");
    let [_, PrivateRow::MyTrade(trade)] = &bench.frame(&taker)[..] else { panic!() };
    assert_eq!(trade.liquidity, Some(Liquidity::Taker));
    assert_eq!(trade.fee.unwrap().cost, money("-0.007").unwrap(), "a rebate");
}

#[test]
fn states_and_kinds_of_orders() {
    let mut bench = Bench::new();
    let mut row = |from: &str, to: &str| match bench.frame(&NEW.replace(from, to)).remove(0) {
        PrivateRow::Order(row) => row,
        other => panic!("{other:?}"),
    };
    use OrderStatus::{Canceled, Closed, Open};
    for (state, status) in [
        ("live", Some(Open)),
        ("partially_filled", Some(Open)),
        ("partially_effective", Some(Open)),
        ("filled", Some(Closed)),
        ("effective", Some(Closed)),
        ("canceled", Some(Canceled)),
        ("mmp_canceled", Some(Canceled)),
        ("order_failed", Some(Canceled)),
        ("something", None),
    ] {
        assert_eq!(row(r#""state":"live""#, &format!(r#""state":"{state}""#)).status, status, "{state}");
    }
    use OrderKind::{Limit, Market};
    use TimeInForce::{Fok, Ioc};
    for (word, kind, post_only, time_in_force) in [
        ("limit", Some(Limit), Some(false), None),
        ("market", Some(Market), Some(false), None),
        ("post_only", Some(Limit), Some(true), None),
        ("rpi", Some(Limit), Some(true), None),
        ("fok", Some(Limit), Some(false), Some(Fok)),
        ("ioc", Some(Limit), Some(false), Some(Ioc)),
        ("optimal_limit_ioc", Some(Market), Some(false), Some(Ioc)),
        ("something", None, None, None),
    ] {
        let row = row(r#""ordType":"post_only""#, &format!(r#""ordType":"{word}""#));
        assert_eq!((row.kind, row.post_only, row.time_in_force), (kind, post_only, time_in_force), "{word}");
    }
    let amount = row(r#""ordType":"post_only""#, r#""ordType":"market""#);
    assert_eq!((amount.amount, amount.cost_ordered), (fixed("0.03"), None));
    let cost = row(r#""sz":"0.03","ordType":"post_only""#, r#""sz":"500","ordType":"market","tgtCcy":"quote_ccy""#);
    assert_eq!((cost.amount, cost.cost_ordered), (None, fixed("500")));
    // A change that failed leaves the order as it was; an order that failed says why.
    let code = r#""code":"51008","msg":"Insufficient USDT balance""#;
    assert!(row(r#""code":"0","msg":"""#, code).error.is_none());
    let failed = row(r#""state":"live""#, &format!(r#""state":"order_failed",{code}"#)).error.unwrap();
    assert_eq!((failed.kind(), failed.venue()), (ErrorKind::InsufficientFunds, Some("okex")));
}

#[test]
fn positions_long_short_inverse_and_closed() {
    let mut bench = Bench::new();
    let mut position = |row: &str| match bench.frame(&position_frame(row))[..] {
        [PrivateRow::Position(position)] => position,
        ref other => panic!("{other:?}"),
    };
    let long = position(POSITION);
    let expected = Position {
        id: id("616057041198907393"),
        market: long.market,
        side: Some(PositionSide::Long),
        hedged: false,
        contracts: Decimal::ONE,
        notional: money("52.68620388000001"),
        entry_price: money("0.52668"),
        mark_price: money("0.52692"),
        liquidation_price: money("0.3287514731020614"),
        leverage: money("3"),
        isolated: Some(false),
        collateral: money("17.5880000000000018"),
        initial_margin: money("17.564"),
        maintenance_margin: money("0.26346"),
        unrealized_pnl: money("0.0240000000000018"),
        realized_pnl: None,
        updated: ms(1_693_151_444_408),
    };
    assert_eq!(long, expected);
    let short = position(&POSITION.replace(r#""pos":"1""#, r#""pos":"-2""#));
    assert_eq!((short.side, short.contracts), (Some(PositionSide::Short), money("2").unwrap()));
    let hedged = position(&POSITION.replace("net", "short"));
    assert_eq!((hedged.side, hedged.hedged), (Some(PositionSide::Short), true));
    let closed = position(&POSITION.replace(r#""pos":"1""#, r#""pos":"0""#));
    assert_eq!((closed.side, closed.contracts), (None, Decimal::ZERO));
    let isolated = position(
        &POSITION.replace(r#""mgnMode":"cross","imr":"17.564""#, r#""mgnMode":"isolated","imr":"","margin":"20""#),
    );
    assert_eq!((isolated.isolated, isolated.collateral), (Some(true), money("20.0240000000000018")));
    let inverse = POSITION.replace("XRP-USDT-SWAP", "BTC-USD-SWAP").replace("0.52692", "40000");
    let inverse = position(&inverse.replace(r#""pos":"1""#, r#""pos":"-4""#));
    assert_eq!(inverse.notional, money("0.01"), "4 contracts of 100 USD each");
    assert_eq!(inverse.market, Some(bench.market("BTC/USD:BTC")));
    assert_eq!(long.market, Some(bench.market("XRP/USDT:USDT")));
}

#[test]
fn orders_are_spelled_as_documented() {
    let mut bench = Bench::new();
    let mut limit = new_order(&bench, "BTC/USDT", OrderKind::Limit);
    let text = |bench: &mut Bench, order: &Order| bench.order(&OrderAct::Create, order).unwrap();
    assert_eq!(
        text(&mut bench, &limit),
        r#"{"id":"1512","op":"order","args":[{"instIdCode":10459,"tdMode":"cash","side":"buy","ordType":"limit","px":"42000.5","sz":"0.01","clOrdId":"b15"}]}"#
    );
    for (time_in_force, post_only, word) in [
        (Some(TimeInForce::Gtc), false, "limit"),
        (Some(TimeInForce::Ioc), false, "ioc"),
        (Some(TimeInForce::Fok), false, "fok"),
        (None, true, "post_only"),
    ] {
        (limit.time_in_force, limit.post_only) = (time_in_force, post_only);
        assert!(text(&mut bench, &limit).contains(&format!(r#""ordType":"{word}","px":"42000.5""#)), "{word}");
    }
    let mut market = new_order(&bench, "BTC/USDT", OrderKind::Market);
    market.side = TakerSide::Sell;
    assert_eq!(
        text(&mut bench, &market),
        r#"{"id":"1512","op":"order","args":[{"instIdCode":10459,"tdMode":"cash","side":"sell","ordType":"market","sz":"0.01","tgtCcy":"base_ccy","clOrdId":"b15"}]}"#
    );
    (market.amount, market.cost_ordered, market.client_order_id) = (None, fixed("500.00"), Id::NONE);
    assert_eq!(
        text(&mut bench, &market),
        r#"{"id":"1512","op":"order","args":[{"instIdCode":10459,"tdMode":"cash","side":"sell","ordType":"market","sz":"500","tgtCcy":"quote_ccy"}]}"#
    );
    let mut swap = new_order(&bench, "XRP/USDT:USDT", OrderKind::Market);
    (swap.amount, swap.reduce_only, swap.time_in_force) = (fixed("3"), true, Some(TimeInForce::Ioc));
    assert_eq!(
        text(&mut bench, &swap),
        r#"{"id":"1512","op":"order","args":[{"instIdCode":9,"tdMode":"cross","side":"buy","ordType":"optimal_limit_ioc","sz":"3","reduceOnly":true,"clOrdId":"b15"}]}"#
    );
    // A market whose number is not known goes by its name.
    let mut inverse = new_order(&bench, "BTC/USD:BTC", OrderKind::Limit);
    inverse.amount = fixed("7");
    assert_eq!(
        text(&mut bench, &inverse),
        r#"{"id":"1512","op":"order","args":[{"instId":"BTC-USD-SWAP","tdMode":"cross","side":"buy","ordType":"limit","px":"42000.5","sz":"7","clOrdId":"b15"}]}"#
    );
}

#[test]
fn changes_and_cancellations() {
    let mut bench = Bench::new();
    let mut order = new_order(&bench, "BTC/USDT", OrderKind::Limit);
    assert_eq!(
        bench.order(&OrderAct::Cancel, &order).unwrap(),
        r#"{"id":"1512","op":"cancel-order","args":[{"instIdCode":10459,"clOrdId":"b15"}]}"#
    );
    order.id = id("312269865356374016");
    assert_eq!(
        bench.order(&OrderAct::Cancel, &order).unwrap(),
        r#"{"id":"1512","op":"cancel-order","args":[{"instIdCode":10459,"ordId":"312269865356374016"}]}"#
    );
    assert_eq!(
        bench.order(&OrderAct::Edit { price: fixed("42001"), amount: fixed("0.020") }, &order).unwrap(),
        r#"{"id":"1512","op":"amend-order","args":[{"instIdCode":10459,"ordId":"312269865356374016","newSz":"0.02","newPx":"42001"}]}"#
    );
    assert_eq!(
        bench.order(&OrderAct::Edit { price: None, amount: fixed("2") }, &order).unwrap(),
        r#"{"id":"1512","op":"amend-order","args":[{"instIdCode":10459,"ordId":"312269865356374016","newSz":"2"}]}"#
    );
    let cx = Context { now: NOW, markets: &bench.markets, token: "" };
    let error = bench.trading.cancel_all(None, 1, &cx, &mut Vec::new()).unwrap_err();
    assert_eq!((error.kind(), error.venue()), (ErrorKind::NotSupported, Some("okex")));
}

#[test]
fn what_cannot_be_expressed_is_refused() {
    let mut bench = Bench::new();
    let limit = new_order(&bench, "BTC/USDT", OrderKind::Limit);
    let market = new_order(&bench, "BTC/USDT", OrderKind::Market);
    let swap = new_order(&bench, "XRP/USDT:USDT", OrderKind::Market);
    let mut refused = |act: OrderAct, order: Order| {
        let error = bench.order(&act, &order).unwrap_err();
        assert_eq!(error.venue(), Some("okex"), "{error}");
        error.kind()
    };
    use ErrorKind::{InvalidOrder, NotSupported};
    let create = OrderAct::Create;
    for (order, kind) in [
        (Order { price: None, ..limit.clone() }, InvalidOrder),
        (Order { amount: None, ..limit.clone() }, InvalidOrder),
        (Order { amount: None, cost_ordered: fixed("5"), ..limit.clone() }, NotSupported),
        (Order { amount: None, cost_ordered: fixed("5"), ..swap }, NotSupported),
        (Order { post_only: true, time_in_force: Some(TimeInForce::Ioc), ..limit.clone() }, InvalidOrder),
        (Order { post_only: true, ..market.clone() }, InvalidOrder),
        (Order { time_in_force: Some(TimeInForce::Gtd), ..limit.clone() }, NotSupported),
        (Order { time_in_force: Some(TimeInForce::Fok), ..market }, NotSupported),
        (Order { kind: OrderKind::StopLimit, ..limit.clone() }, NotSupported),
        (Order { reduce_only: true, ..limit.clone() }, NotSupported),
        (Order { client_order_id: id("b-15"), ..limit.clone() }, InvalidOrder),
        (Order { client_order_id: id(&"b".repeat(33)), ..limit.clone() }, InvalidOrder),
        (Order { market: None, ..limit.clone() }, ErrorKind::BadSymbol),
    ] {
        assert_eq!(refused(create, order.clone()), kind, "{order:?}");
    }
    assert_eq!(refused(OrderAct::Cancel, Order { client_order_id: Id::NONE, ..limit.clone() }), InvalidOrder);
    assert_eq!(refused(OrderAct::Edit { price: None, amount: None }, limit), InvalidOrder);
}

#[test]
fn client_order_ids_are_what_the_venue_takes() {
    let trading = Bench::new().trading;
    assert_eq!(trading.client_order_id(0).as_str(), "wb0");
    assert_eq!(trading.client_order_id(u64::MAX).as_str(), "wb18446744073709551615");
}

const ANSWER: &str = r#"{"id":"1512","op":"order","data":[{"ordId":"12345689","clOrdId":"b15","tag":"","ts":"1695190491421","sCode":"0","sMsg":""}],"code":"0","msg":"","inTime":"1695190491421339","outTime":"1695190491423240"}"#;

#[test]
fn answers_to_orders_are_told_by_their_number() {
    let mut bench = Bench::new();
    let mut answer = |frame: &str| match bench.frame(frame).remove(0) {
        PrivateRow::Answer { request: 1512, outcome } => outcome,
        other => panic!("{other:?}"),
    };
    let row = answer(ANSWER).unwrap();
    assert_eq!((row.id, row.client_order_id, row.status), (id("12345689"), id("b15"), None));
    for op in ["amend-order", "cancel-order"] {
        assert!(answer(&ANSWER.replace(r#""op":"order""#, &format!(r#""op":"{op}""#))).is_ok());
    }
    let refused = ANSWER.replace(r#""sCode":"0","sMsg":"""#, r#""sCode":"51008","sMsg":"Insufficient USDT balance""#);
    // What the row says counts, whether all failed (1) or some (2).
    for code in ["1", "2"] {
        let error = answer(&refused.replace(r#""code":"0""#, &format!(r#""code":"{code}""#))).unwrap_err();
        assert_eq!(error.to_string(), "okex: Insufficient USDT balance (code 51008)");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::InsufficientFunds, Retry::Never));
    }
    let error = answer(r#"{"id":"1512","op":"order","data":[],"code":"60013","msg":"Invalid args"}"#).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::BadRequest, Some("60013")));
    let error = answer(r#"{"id":"1512","op":"order","data":[],"code":"50004","msg":"Endpoint request timeout"}"#);
    assert_eq!(error.unwrap_err().retry(), Retry::Unknown);
    let error = answer(r#"{"id":"1512","op":"order","data":[],"code":"0","msg":""}"#).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::NullResponse, Retry::Unknown));
    let error = answer(r#"{"id":"1512","event":"error","code":"60011","msg":"Please log in","connId":"a4"}"#);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::AuthenticationError);
    let illegal = r#"{"event":"error","code":"60012","msg":"Illegal request: {\"id\": \"1512\",\"op\":\"order\"}","connId":"a4"}"#;
    assert_eq!(answer(illegal).unwrap_err().kind(), ErrorKind::BadRequest);
}

#[test]
fn okcoin_trades_spot_and_takes_orders_by_rest() {
    let credentials = Credentials::new("testKey0001", "testSecret0001").with_passphrase("phrase");
    let mut bench = Bench::of((OKCOIN_TRADING.open)(Some(&credentials)).unwrap());
    assert_eq!(
        bench.subscribe(&OKCOIN_TRADING.native[1..], 1),
        [r#"{"id":"1","op":"subscribe","args":[{"channel":"orders","instType":"SPOT"}]}"#]
    );
    assert_eq!(bench.request(Fetch::Positions).unwrap_err().kind(), ErrorKind::NotSupported);
    let order = new_order(&bench, "BTC/USDT", OrderKind::Limit);
    let cx = Context { now: NOW, markets: &bench.markets, token: "" };
    let mut out = Vec::new();
    let Way::Rest(request) = bench.trading.order(&OrderAct::Create, &order, 1, &cx, &mut out).unwrap() else {
        panic!()
    };
    assert_eq!((request.method, &*request.target, out.len()), (Method::Post, "/api/v5/trade/order", 0));
    assert_eq!(
        std::str::from_utf8(&request.body).unwrap(),
        r#"{"instId":"BTC-USDT","tdMode":"cash","side":"buy","ordType":"limit","px":"42000.5","sz":"0.01","clOrdId":"b15"}"#
    );
    let mut reply = |status, body: &str| {
        let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
        bench.trading.on_order_reply(&OrderAct::Create, &reply, &cx)
    };
    assert_eq!(reply(200, ANSWER).unwrap().id, id("12345689"));
    let error = reply(200, &ANSWER.replace(r#""sCode":"0""#, r#""sCode":"51020""#)).unwrap_err();
    assert_eq!((error.kind(), error.venue()), (ErrorKind::InvalidOrder, Some("okcoin")));
    assert_eq!(reply(503, "<html>").unwrap_err().retry(), Retry::Unknown);
    assert_eq!(reply(200, "<html>").unwrap_err().retry(), Retry::Unknown);
    assert_eq!(reply(429, "{}").unwrap_err().retry(), Retry::Backoff);
}

fn raw(method: Method, path: &str, query: &[(&str, &str)], body: &str, private: bool) -> Fetch {
    let query = query.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Fetch::Raw { method, path: path.into(), query, body: body.into(), private }
}

#[test]
fn requests_are_signed_as_documented() {
    let mut bench = Bench::new();
    let get = bench.request(raw(Method::Get, "/api/v5/account/balance", &[("ccy", "BTC")], "", true)).unwrap();
    assert_eq!(get.target, "/api/v5/account/balance?ccy=BTC");
    let headers = [
        ("OK-ACCESS-KEY", "testKey0001"),
        ("OK-ACCESS-SIGN", "5xPWeuyOx0Ex9kRYGax4oxcNaz2XemeU4nMBKNZPhIo="),
        ("OK-ACCESS-TIMESTAMP", "2024-01-02T03:04:05.678Z"),
        ("OK-ACCESS-PASSPHRASE", "a \"b\""),
    ];
    assert_eq!(get.headers, headers.map(|(name, value)| (name, value.to_owned())));
    let body = r#"{"instId":"BTC-USDT","tdMode":"cash","side":"buy","ordType":"limit","px":"42000.5","sz":"0.01"}"#;
    let post = bench.request(raw(Method::Post, "/api/v5/trade/order", &[], body, true)).unwrap();
    assert_eq!(post.headers[1].1, "2zV01bzzmo9exIub9SzvQFRbtiH9FlKuy5afYIKN+zE=");
    assert_eq!((post.body, post.content_type), (body.as_bytes().to_vec(), "application/json"));
    let public = bench.request(raw(Method::Get, "/x", &[("a", "b c"), ("d", "e")], "", false)).unwrap();
    assert_eq!((&*public.target, public.headers.len()), ("/x?a=b%20c&d=e", 0));
    assert!(matches!(
        bench.reply(raw(Method::Get, "/x", &[], "", true), 404, "no").unwrap(),
        Fetched::Raw { status: 404, body } if *body == *b"no"
    ));
    for (time, text) in [
        (Wall(0), "1970-01-01T00:00:00.000Z"),
        (Wall(951_868_799_999_999_999), "2000-02-29T23:59:59.999Z"),
        (Wall(1_709_251_200_000_000_000), "2024-03-01T00:00:00.000Z"),
        (Wall(1_735_689_599_999_000_000), "2024-12-31T23:59:59.999Z"),
    ] {
        let cx = Context { now: time, markets: &bench.markets, token: "" };
        assert_eq!(bench.trading.request(&Fetch::Balance, &cx).unwrap().headers[2].1, text);
    }
}

#[test]
fn each_question_has_its_target() {
    let mut bench = Bench::new();
    let (btc, xrp) = (bench.market("BTC/USDT"), bench.market("XRP/USDT:USDT"));
    // A day ago, and thirty.
    let (since, long_ago) = (ms(1_704_078_245_678), ms(1_701_572_645_678));
    let usdt = Code::new(b"USDT");
    let (market, limit) = (Some(btc), Some(5));
    for (fetch, target) in [
        (Fetch::Time, "/api/v5/public/time"),
        (Fetch::Status, "/api/v5/system/status"),
        (Fetch::Currencies, "signed /api/v5/asset/currencies"),
        (Fetch::OrderBook { market: btc, limit: None }, "/api/v5/market/books?instId=BTC-USDT&sz=400"),
        (Fetch::OrderBook { market: btc, limit }, "/api/v5/market/books?instId=BTC-USDT&sz=5"),
        (Fetch::Ticker { market: xrp }, "/api/v5/market/ticker?instId=XRP-USDT-SWAP"),
        (Fetch::Tickers, "/api/v5/market/tickers?instType=SPOT"),
        (Fetch::Trades { market: btc, since, limit: None }, "/api/v5/market/trades?instId=BTC-USDT"),
        (Fetch::Trades { market: btc, since, limit: Some(900) }, "/api/v5/market/trades?instId=BTC-USDT&limit=500"),
        (
            Fetch::Ohlcv { market: btc, timeframe: Timeframe::M1, since: None, limit },
            "/api/v5/market/candles?instId=BTC-USDT&bar=1m&limit=5",
        ),
        (
            Fetch::Ohlcv { market: btc, timeframe: Timeframe::H1, since, limit },
            "/api/v5/market/candles?instId=BTC-USDT&bar=1H&before=1704078245677&after=1704096245678&limit=5",
        ),
        (
            Fetch::Ohlcv { market: btc, timeframe: Timeframe::M1, since: long_ago, limit: None },
            "/api/v5/market/history-candles?instId=BTC-USDT&bar=1m&before=1701572645677&after=1701578645678&limit=100",
        ),
        (Fetch::Balance, "signed /api/v5/account/balance"),
        (
            Fetch::Order { market, id: id("12"), client_order_id: id("b15") },
            "signed /api/v5/trade/order?instId=BTC-USDT&ordId=12",
        ),
        (
            Fetch::Order { market, id: Id::NONE, client_order_id: id("b15") },
            "signed /api/v5/trade/order?instId=BTC-USDT&clOrdId=b15",
        ),
        (Fetch::OpenOrders { market: None }, "signed /api/v5/trade/orders-pending"),
        (Fetch::OpenOrders { market }, "signed /api/v5/trade/orders-pending?instId=BTC-USDT"),
        (
            Fetch::ClosedOrders { market, since, limit },
            "signed /api/v5/trade/orders-history?instType=SPOT&instId=BTC-USDT&begin=1704078245678&limit=5",
        ),
        (
            Fetch::ClosedOrders { market: Some(xrp), since: long_ago, limit: None },
            "signed /api/v5/trade/orders-history-archive?instType=SWAP&instId=XRP-USDT-SWAP&begin=1701572645678",
        ),
        (Fetch::MyTrades { market: None, since: None, limit: None }, "signed /api/v5/trade/fills"),
        (
            Fetch::MyTrades { market, since, limit: Some(500) },
            "signed /api/v5/trade/fills?instId=BTC-USDT&begin=1704078245678&limit=100",
        ),
        (
            Fetch::MyTrades { market, since: long_ago, limit: None },
            "signed /api/v5/trade/fills-history?instType=SPOT&instId=BTC-USDT&begin=1701572645678",
        ),
        (
            Fetch::Deposits { currency: usdt, since, limit },
            "signed /api/v5/asset/deposit-history?ccy=USDT&before=1704078245677&limit=5",
        ),
        (Fetch::Withdrawals { currency: None, since: None, limit: None }, "signed /api/v5/asset/withdrawal-history"),
        (
            Fetch::Ledger { currency: usdt, since, limit },
            "signed /api/v5/account/bills?ccy=USDT&begin=1704078245678&limit=5",
        ),
        (
            Fetch::Ledger { currency: None, since: long_ago, limit: None },
            "signed /api/v5/account/bills-archive?begin=1701572645678",
        ),
        (Fetch::Positions, "signed /api/v5/account/positions"),
        (Fetch::TradingFees { market }, "signed /api/v5/account/trade-fee?instType=SPOT&instId=BTC-USDT"),
        (
            Fetch::TradingFees { market: Some(xrp) },
            "signed /api/v5/account/trade-fee?instType=SWAP&instFamily=XRP-USDT",
        ),
    ] {
        assert_eq!(bench.target(fetch), target);
    }
    let mut refused = |fetch: Fetch| {
        let error = bench.request(fetch).unwrap_err();
        assert_eq!(error.venue(), Some("okex"), "{error}");
        error.kind()
    };
    use ErrorKind::{ArgumentsRequired, NotSupported};
    let unnamed = Fetch::Order { market: None, id: id("12"), client_order_id: Id::NONE };
    let no_id = Fetch::Order { market, id: Id::NONE, client_order_id: Id::NONE };
    for fetch in [
        unnamed,
        no_id,
        Fetch::ClosedOrders { market: None, since, limit },
        Fetch::MyTrades { market: None, since: long_ago, limit },
        Fetch::TradingFees { market: None },
    ] {
        assert_eq!(refused(fetch.clone()), ArgumentsRequired, "{fetch:?}");
    }
    for fetch in [
        Fetch::Token,
        Fetch::RenewToken,
        Fetch::Ohlcv { market: btc, timeframe: Timeframe::S1, since: None, limit: None },
    ] {
        assert_eq!(refused(fetch.clone()), NotSupported, "{fetch:?}");
    }
    let elsewhere = MarketId { venue: VenueId(7), index: 0 };
    assert_eq!(refused(Fetch::Ticker { market: elsewhere }), ErrorKind::BadSymbol);
}

#[test]
fn without_credentials_only_public_questions_are_answered() {
    let mut bench = Bench::of((TRADING.open)(None).unwrap());
    assert_eq!(bench.target(Fetch::Time), "/api/v5/public/time");
    for fetch in [Fetch::Balance, raw(Method::Get, "/x", &[], "", true)] {
        let error = bench.request(fetch).unwrap_err();
        assert_eq!((error.kind(), error.venue()), (ErrorKind::AuthenticationError, Some("okex")));
    }
    let order = new_order(&bench, "BTC/USDT", OrderKind::Limit);
    assert_eq!(bench.order(&OrderAct::Create, &order).unwrap_err().kind(), ErrorKind::AuthenticationError);
    let cx = Context { now: NOW, markets: &bench.markets, token: "" };
    let mut out = Vec::new();
    bench.trading.login(&cx, &mut out);
    assert!(out.is_empty());
}

#[test]
fn public_answers() {
    let mut bench = Bench::new();
    let btc = bench.market("BTC/USDT");
    let Fetched::Time(time) = bench.rows(Fetch::Time, r#"{"ts":"1597026383085"}"#) else { panic!() };
    assert_eq!(time, Wall::from_ms(1_597_026_383_085));
    let Fetched::Status(status) = bench.rows(Fetch::Status, r#"{"state":"ongoing"}"#) else { panic!() };
    assert_eq!((status.status, status.updated), (Health::Maintenance, NOW));
    let book = r#"{"asks":[["41006.8","0.60038921","0","1"],["41006.85","2","0","1"]],"bids":[["41006.3","0.30178218","0","2"]],"ts":"1629966436396","seqId":3235851742}"#;
    let Fetched::OrderBook(book) = bench.rows(Fetch::OrderBook { market: btc, limit: None }, book) else { panic!() };
    assert_eq!((book.price_scale, book.amount_scale), (2, 8), "one price was finer than the market");
    assert_eq!(book.bids, [crate::book::Level { price: 4_100_630, qty: 30_178_218 }]);
    assert_eq!(book.asks[1], crate::book::Level { price: 4_100_685, qty: 200_000_000 });
    assert_eq!((book.nonce, book.venue_time), (Some(3_235_851_742), ms(1_629_966_436_396)));
    let row = r#"{"instType":"SPOT","instId":"BTC-USDT","last":"9999.99","lastSz":"1","askPx":"9999.99","askSz":"11","bidPx":"8888.88","bidSz":"5","open24h":"9000","high24h":"10000","low24h":"8888.88","volCcy24h":"2222","vol24h":"2223","ts":"1597026383085"}"#;
    let Fetched::Ticker(ticker) = bench.rows(Fetch::Ticker { market: btc }, row) else { panic!() };
    assert_eq!((ticker.last, ticker.ask, ticker.bid), (fixed("9999.99"), fixed("9999.99"), fixed("8888.88")));
    assert_eq!((ticker.base_volume, ticker.quote_volume), (fixed("2223"), fixed("2222")));
    assert_eq!((ticker.open, ticker.high, ticker.low), (fixed("9000"), fixed("10000"), fixed("8888.88")));
    let rows = format!("{row},{}", row.replace("BTC-USDT", "NOT-KNOWN"));
    let Fetched::Tickers(tickers) = bench.rows(Fetch::Tickers, &rows) else { panic!() };
    assert_eq!((tickers.len(), tickers[0].0, tickers[0].1), (1, btc, *ticker));
    let rows = r#"{"instId":"BTC-USDT","side":"sell","sz":"0.00001","px":"29963.2","tradeId":"242720720","ts":"1654161646974"},{"instId":"BTC-USDT","side":"buy","sz":"0.25","px":"29964.1","tradeId":"242720719","ts":"1654161641568"}"#;
    let mut trades = |since| match bench.rows(Fetch::Trades { market: btc, since, limit: None }, rows) {
        Fetched::Trades(trades) => trades,
        other => panic!("{other:?}"),
    };
    let all = trades(None);
    assert_eq!((all[0].id, all[1].id, all[0].side), (id("242720719"), id("242720720"), Some(TakerSide::Buy)));
    assert_eq!((Some(all[0].price), Some(all[0].amount)), (fixed("29964.1"), fixed("0.25")));
    assert_eq!(trades(ms(1_654_161_641_569)), all[1..]);
    let rows = r#"["1597026443085","3.708","3.799","3.494","3.72","24912403","67632347.2","37632347.2","0"],["1597026383085","3.721","3.743","3.677","3.708","8422410","22698348.04","12698348.04","1"]"#;
    let mut candles =
        |market| match bench.rows(Fetch::Ohlcv { market, timeframe: Timeframe::M1, since: None, limit: None }, rows) {
            Fetched::Candles(candles) => candles,
            other => panic!("{other:?}"),
        };
    let spot = candles(btc);
    assert_eq!((spot[0].open_time, spot[0].closed, spot[1].closed), (Wall::from_ms(1_597_026_383_085), true, false));
    assert_eq!((Some(spot[0].open), Some(spot[0].close)), (fixed("3.721"), fixed("3.708")));
    assert_eq!((Some(spot[0].volume), spot[0].quote_volume), (fixed("8422410"), fixed("12698348.04")));
    let swap = candles(MarketId { index: 1, ..btc });
    assert_eq!((Some(swap[0].volume), swap[0].quote_volume), (fixed("22698348.04"), fixed("12698348.04")));
}

#[test]
fn private_answers() {
    let mut bench = Bench::new();
    let btc = bench.market("BTC/USDT");
    let rows = r#"{"ccy":"USDT","name":"Tether","chain":"USDT-ERC20","canDep":false,"canWd":true,"wdTickSz":"6"},{"ccy":"USDT","name":"Tether","chain":"USDT-TRC20","canDep":true,"canWd":false,"wdTickSz":"8"},{"ccy":"BTC","chain":"BTC-Bitcoin"}"#;
    let Fetched::Currencies(list) = bench.rows(Fetch::Currencies, rows) else { panic!() };
    assert_eq!((list.len(), list[0].code.as_str(), list[0].name.as_deref()), (2, "USDT", Some("Tether")));
    assert_eq!((list[0].deposit, list[0].withdraw, list[0].scale), (Some(true), Some(true), Some(8)));
    assert_eq!((&*list[1].venue_code, list[1].deposit, list[1].scale), ("BTC", None, None));
    let row = r#"{"adjEq":"","details":[{"ccy":"BTC","eq":"1.5","availEq":"1","frozenBal":"0.5"}]}"#;
    let Fetched::Balances(balances) = bench.rows(Fetch::Balance, row) else { panic!() };
    assert_eq!((balances.len(), balances[0].used), (1, money("0.5")));
    let order = |id: &str| {
        format!(r#"{{"instId":"BTC-USDT","ordId":"{id}","state":"canceled","ordType":"limit","px":"1","sz":"2"}}"#)
    };
    let two = format!("{},{}", order("8"), order("7"));
    let Fetched::Orders(orders) = bench.rows(Fetch::OpenOrders { market: None }, &two) else { panic!() };
    assert_eq!((orders[0].id, orders[1].id, orders[0].market), (id("7"), id("8"), Some(btc)));
    let fill = |id: &str| {
        format!(
            r#"{{"instType":"SPOT","instId":"BTC-USDT","tradeId":"{id}","ordId":"312","clOrdId":"","billId":"1","fillPx":"42000.5","fillSz":"0.01","side":"sell","posSide":"net","execType":"T","feeCcy":"USDT","fee":"-0.42","ts":"1695190491422","fillTime":"1695190491421"}}"#
        )
    };
    let fetch = Fetch::MyTrades { market: None, since: None, limit: None };
    let two = format!("{},{}", fill("8"), fill("7"));
    let Fetched::MyTrades(trades) = bench.rows(fetch, &two) else { panic!() };
    assert_eq!((trades[0].id, trades[1].id, trades[0].order), (id("7"), id("8"), id("312")));
    assert_eq!((trades[0].fee.unwrap().cost, trades[0].venue_time), (money("0.42").unwrap(), ms(1_695_190_491_421)));
    let row = r#"{"ccy":"USDT","chain":"USDT-TRC20","amt":"100.5","from":"","to":"TN4hGjV","txId":"16f3638329","ts":"1597026383085","state":"2","depId":"4703879"}"#;
    let fetch = Fetch::Deposits { currency: None, since: None, limit: None };
    let Fetched::Transactions(deposits) = bench.rows(fetch, &format!("{row},{}", row.replace(r#""2""#, r#""1""#)))
    else {
        panic!()
    };
    let usdt = Code::new(b"USDT").unwrap();
    let expected = Transaction {
        txid: Some("16f3638329".into()),
        network: Some("USDT-TRC20".into()),
        status: TransactionStatus::Ok,
        address: Some("TN4hGjV".into()),
        created: ms(1_597_026_383_085),
        ..Transaction::new(id("4703879"), TransactionKind::Deposit, usdt, money("100.5").unwrap())
    };
    assert_eq!(deposits[1], expected);
    assert_eq!(deposits[0].status, TransactionStatus::Pending);
    let row = r#"{"ccy":"ETH","chain":"ETH-Ethereum","fee":"0.007","feeCcy":"","amt":"0.029809","from":"1","to":"0xa30","memo":"m","txId":"","ts":"1655251200000","state":"-2","wdId":"67485"}"#;
    let fetch = Fetch::Withdrawals { currency: None, since: None, limit: None };
    let mut withdrawal = |state: &str| match bench.rows(fetch.clone(), &row.replace("-2", state)) {
        Fetched::Transactions(mut list) => list.remove(0),
        other => panic!("{other:?}"),
    };
    let canceled = withdrawal("-2");
    let fee = Fee { currency: Code::new(b"ETH").unwrap(), cost: money("0.007").unwrap() };
    assert_eq!((canceled.id, canceled.txid, canceled.fee), (id("67485"), None, Some(fee)));
    assert_eq!((canceled.tag.as_deref(), canceled.status), (Some("m"), TransactionStatus::Canceled));
    for (state, status) in [
        ("2", TransactionStatus::Ok),
        ("-1", TransactionStatus::Failed),
        ("-3", TransactionStatus::Pending),
        ("17", TransactionStatus::Pending),
    ] {
        assert_eq!(withdrawal(state).status, status, "{state}");
    }
    let row = r#"{"bal":"8694.2179403378290202","balChg":"0.021933823221","billId":"623950854533513219","ccy":"USDT","clOrdId":"","execType":"T","fee":"-0.000021955779","instId":"BTC-USDT","ordId":"623950854525124608","pnl":"0","subType":"1","sz":"0.021955779","tradeId":"586760148","ts":"1695033476167","type":"2"}"#;
    let fetch = Fetch::Ledger { currency: None, since: None, limit: None };
    let mut entry = |kind: &str| match bench.rows(fetch.clone(), &row.replace(r#""type":"2""#, kind)) {
        Fetched::Ledger(mut list) => list.remove(0),
        other => panic!("{other:?}"),
    };
    let expected = LedgerEntry {
        reference: id("586760148"),
        after: money("8694.2179403378290202"),
        fee: money("0.000021955779"),
        venue_time: ms(1_695_033_476_167),
        ..LedgerEntry::new(id("623950854533513219"), LedgerKind::Trade, usdt, money("0.021933823221").unwrap())
    };
    assert_eq!(entry(r#""type":"2""#), expected);
    for (number, kind) in [("1", LedgerKind::Transfer), ("8", LedgerKind::Fee), ("999", LedgerKind::Other)] {
        assert_eq!(entry(&format!(r#""type":"{number}""#)).kind, kind, "{number}");
    }
    let two = format!("{POSITION},{}", POSITION.replace(r#""pos":"1""#, r#""pos":"0""#));
    let Fetched::Positions(positions) = bench.rows(Fetch::Positions, &two) else { panic!() };
    assert_eq!((positions.len(), positions[0].side), (1, Some(PositionSide::Long)), "a closed one is left out");
}

#[test]
fn fees_are_those_of_the_currency() {
    let mut bench = Bench::new();
    let row = r#"{"instType":"SPOT","level":"lv1","maker":"-0.0008","taker":"-0.001","makerU":"-0.0002","takerU":"-0.0005","makerUSDC":"0.0001","takerUSDC":"-0.0003","fiat":[{"ccy":"EUR","maker":"-0.3","taker":"-0.4"}]}"#;
    for (symbol, maker, taker) in
        [("BTC/USDT", "0.0008", "0.001"), ("XRP/USDT:USDT", "0.0002", "0.0005"), ("BTC/USD:BTC", "0.0008", "0.001")]
    {
        let market = Some(bench.market(symbol));
        let Fetched::TradingFees(fees) = bench.rows(Fetch::TradingFees { market }, row) else { panic!() };
        let expected = TradingFee { market, maker: money(maker).unwrap(), taker: money(taker).unwrap() };
        assert_eq!(fees, [expected], "{symbol}");
    }
}

#[test]
fn answers_that_are_refusals_or_nonsense() {
    let mut bench = Bench::new();
    let mut refused = |status, body: &str| {
        let error = bench.reply(Fetch::Balance, status, body).unwrap_err();
        assert_eq!(error.venue(), Some("okex"));
        (error.kind(), error.code().map(str::to_owned))
    };
    use ErrorKind::*;
    let coded = |kind, code: &str| (kind, Some(code.to_owned()));
    assert_eq!(refused(401, r#"{"msg":"Invalid Sign","code":"50113"}"#), coded(AuthenticationError, "50113"));
    assert_eq!(refused(200, r#"{"code":"50102","msg":"Timestamp expired","data":[]}"#), coded(InvalidNonce, "50102"));
    assert_eq!(refused(502, "<html>"), (ExchangeNotAvailable, None));
    assert_eq!(refused(200, "<html>"), (BadResponse, None));
    assert_eq!(refused(200, r#"{"code":"0"}"#), (NullResponse, None));
    assert_eq!(bench.reply(Fetch::Time, 200, r#"{"code":"0","data":[]}"#).unwrap_err().kind(), NullResponse);
    let market = bench.market("BTC/USDT");
    let book = r#"{"code":"0","data":[{"asks":[["x","1"]],"bids":[]}]}"#;
    assert_eq!(bench.reply(Fetch::OrderBook { market, limit: None }, 200, book).unwrap_err().kind(), BadResponse);
}

#[test]
fn each_code_has_its_kind() {
    use ErrorKind::*;
    let table: [(ErrorKind, &[u32]); 22] = [
        (OnMaintenance, &[50001]),
        (RequestTimeout, &[50004]),
        (RateLimitExceeded, &[50011, 60014]),
        (ExchangeNotAvailable, &[50013, 50026, 50005, 60016]),
        (InvalidNonce, &[50102, 60006]),
        (
            AuthenticationError,
            &[50105, 50111, 50112, 50113, 50114, 60001, 60002, 60003, 60004, 60005, 60007, 60009, 60011, 60024, 60032],
        ),
        (PermissionDenied, &[50110, 50027]),
        (BadRequest, &[51000, 60012, 60013, 60017, 60018, 60019, 64000, 64001, 64002, 64004]),
        (NetworkError, &[60015, 64008]),
        (NotSupported, &[60028]),
        (InsufficientFunds, &[51008, 51119, 51127, 51131, 51502]),
        (BadSymbol, &[51001, 51012, 51015]),
        (InvalidOrder, &[51006, 51016, 51020, 51121]),
        (ContractUnavailable, &[51021, 51022, 51027, 51028, 51029, 51030]),
        (OrderNotFound, &[51400, 51401, 51402, 51503, 51509, 51603]),
        (CancelPending, &[51410]),
        (RestrictedLocation, &[51155]),
        (AccountNotEnabled, &[60029, 60030, 64003]),
        (DdosProtection, &[60023]),
        (ExchangeError, &[50061, 1, 2]),
        (ExchangeError, &[63999]),
        (ExchangeError, &[0, 12_345]),
    ];
    for (kind, codes) in table {
        for code in codes {
            assert_eq!(kind_of(&code.to_string()), kind, "{code}");
        }
    }
}

#[test]
fn damaged_frames_do_no_harm() {
    use PrivateChannel::{Balance, MyTrades, Orders, Positions};
    let (filled, position) = (filled(), position_frame(POSITION));
    let error = r#"{"event":"error","code":"60012","msg":"Illegal request: {\"id\":\"17\",\"op\":\"subscribe\"}"}"#;
    let frames = [ACCOUNT, NEW, &filled, &position, ANSWER, error];
    let mut bench = Bench::new();
    bench.subscribe(&[Balance, Orders, MyTrades, Positions], 7);
    let cx = Context { now: NOW, markets: &bench.markets, token: "" };
    let mut out = PrivateRows::default();
    let mut rows = 0;
    shared::damaged(&frames, 20_000, |frame| {
        out.clear();
        rows += usize::from(bench.trading.on_frame(frame, &cx, &mut out).is_ok()) * out.rows.len();
    });
    assert!(rows > 2_000, "{rows}: nearly all were unreadable, which tests little");
}

#[test]
fn markets_have_number_and_contract_size() {
    let bench = Bench::new();
    let of = |symbol: &str| {
        let market = bench.markets.resolve(symbol).unwrap();
        (market.numeric_id, market.contract_size)
    };
    assert_eq!(of("BTC/USDT"), (Some(10_459), None));
    assert_eq!(of("XRP/USDT:USDT"), (Some(9), fixed("100")));
    assert_eq!(of("BTC/USD:BTC"), (None, fixed("100")));
}

#[test]
fn abilities_are_those_that_work() {
    let mut bench = Bench::new();
    let market = Some(bench.market("BTC/USDT"));
    use crate::venue::Ability::*;
    for missing in [StopOrder, StopLimitOrder, TakeProfitOrder, TakeProfitLimitOrder, CancelAllOrders] {
        assert!(!TRADING.abilities.contains(&missing), "{missing:?}");
    }
    let all = [PrivateChannel::Balance, PrivateChannel::Orders, PrivateChannel::MyTrades, PrivateChannel::Positions];
    assert_eq!(TRADING.native, all);
    // What is asked for by REST in place of a channel can be asked for.
    let since = Some(NOW);
    let asked = [
        Fetch::Deposits { currency: None, since, limit: None },
        Fetch::Withdrawals { currency: None, since, limit: None },
        Fetch::Ledger { currency: None, since, limit: None },
        Fetch::OpenOrders { market: None },
        Fetch::MyTrades { market: None, since, limit: None },
        Fetch::TradingFees { market },
    ];
    assert!(asked.into_iter().all(|fetch| bench.request(fetch).is_ok()));
}
