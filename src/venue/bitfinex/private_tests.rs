//! Frames of the private socket in, exact rows out.

use super::private::{BitfinexTrading, TRADING};
use super::rest::{kind_of, kind_or, markets};
use crate::credentials::Credentials;
use crate::decimal::Fixed;
use crate::error::{ErrorKind, Retry};
use crate::json::DocParser;
use crate::market::Markets;
use crate::model::{
    Balance, Code, Fee, Id, Liquidity, MarketId, MyTrade, OrderKind, OrderStatus, Position, PositionSide, TakerSide,
    TimeInForce, VenueId, Wall,
};
use crate::venue::PrivateChannel::{self, Balance as Balances, MyTrades, Orders, Positions};
use crate::venue::shared::damaged;
use crate::venue::trading::{Context, OrderRow, PrivateRow, PrivateRows, Trading};
use rust_decimal::Decimal;

pub(super) fn adapter() -> BitfinexTrading {
    BitfinexTrading::new(Some(&Credentials::new("my-key", "wbs_4f9c1e0example0secret"))).unwrap()
}

pub(super) fn sample_markets() -> Markets {
    let text = r#"[["BTCUSD","ETHUSD","DOGE:UST","ETHBTC"],["BTCF0:USTF0"]]"#;
    let mut known = Markets::default();
    known.merge(VenueId(7), markets(&DocParser::new().parse(text.as_bytes()).unwrap()).unwrap());
    known
}

pub(super) fn context(markets: &Markets) -> Context<'_> {
    Context { now: Wall::from_ms(1_700_000_000_000), markets, token: "" }
}

pub(super) fn market(markets: &Markets, symbol: &str) -> Option<MarketId> {
    Some(markets.by_symbol(symbol).unwrap().id)
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

pub(super) fn code(text: &str) -> Code {
    Code::new(text.as_bytes()).unwrap()
}

pub(super) fn ms(ms: i64) -> Option<Wall> {
    Some(Wall::from_ms(ms))
}

pub(super) fn rows_of(adapter: &mut BitfinexTrading, frame: &str) -> Vec<PrivateRow> {
    let mut out = PrivateRows::default();
    adapter.on_frame(frame.as_bytes(), &context(&sample_markets()), &mut out).unwrap();
    out.rows
}

fn rows(frame: &str) -> Vec<PrivateRow> {
    rows_of(&mut adapter(), frame)
}

/// Rows hold errors, which cannot be compared; what they show can.
#[track_caller]
pub(super) fn same(rows: &[PrivateRow], expected: &[PrivateRow]) {
    assert_eq!(format!("{rows:#?}"), format!("{expected:#?}"));
}

const NEW: &str = r#"[0,"on",[1234567,0,123,"tBTCUSD",1515179518260,1515179518315,1,1,"LIMIT",null,null,null,0,"ACTIVE",null,null,900,0,null,null,null,null,null,0,0,0,null,null,null,null,null,null,null]]"#;
const FILLED: &str = r#"[0,"oc",[1234567,0,123,"tBTCUSD",1514909325236,1514909325631,0,1,"MARKET",null,null,null,0,"EXECUTED @ 916.2(0.78): was PARTIALLY FILLED @ 915.9(0.22)",null,null,915.5,916.13496085,null,null,null,null,null,0,0,0]]"#;
const TRADE: &str = r#"[0,"te",[1,"tBTCUSD",1514909325593,1234567,0.21679716,915.9,null,null,0]]"#;
const TRADE_AGAIN: &str =
    r#"[0,"tu",[1,"tBTCUSD",1514909325593,1234567,0.21679716,915.9,"MARKET",915.5,-1,-0.39712904,"USD"]]"#;
const WALLETS: &str =
    r#"[0,"ws",[["exchange","BTC",30,0,null],["exchange","USD",80000,0,null],["margin","USD",9987.16871968,0,null]]]"#;
const WALLET: &str = r#"[0,"wu",["exchange","BTC",30,0,30,null,null,null]]"#;
const POSITION: &str = r#"[0,"pu",["tBTCUSD","ACTIVE",1,916.13496085,0,0,-2.76536085,-0.30185082,0,43.7962]]"#;
const ACCEPTED: &str = r#"[0,"n",[null,"on-req",null,null,[1201469553,0,788,"tBTCUSD",1611922089073,1611922089073,0.001,0.001,"EXCHANGE LIMIT",null,null,null,0,"ACTIVE",null,null,33,0,0,0,null,null,null,0,0,null,null,null,"API>BFX",null,null,null],null,"SUCCESS","Submitting market buy order for 1.0 BTC."]]"#;

#[test]
fn the_login_is_signed_and_its_answer_read() {
    let markets = sample_markets();
    let (mut ours, mut out) = (adapter(), Vec::new());
    assert_eq!(ours.socket_path(&context(&markets)), "/ws/2");
    ours.login(&context(&markets), &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"event":"auth","apiKey":"my-key","authNonce":1700000000000000,"authPayload":"AUTH1700000000000000","authSig":"51a17a2d05f8f8b6411b0f09d4fe1c172fbada12d3b7e3e6d170dc039187cbd29e0ec122f7fbad19090347ac193c4aa1"}"#
    );
    let ok =
        r#"{"event":"auth","status":"OK","chanId":0,"userId":1,"auth_id":"..","caps":{"orders":{"read":1,"write":1}}}"#;
    same(&rows_of(&mut ours, ok), &[PrivateRow::LoggedIn]);
    let refused = |frame: &str| {
        let mut ours = adapter();
        ours.login(&context(&sample_markets()), &mut Vec::new());
        let [PrivateRow::LoginRefused(error)] = &rows_of(&mut ours, frame)[..] else { panic!("{frame}") };
        (error.kind(), error.to_string())
    };
    assert_eq!(
        refused(r#"{"event":"auth","status":"FAILED","chanId":0,"code":10100,"msg":"apikey: invalid"}"#),
        (ErrorKind::AuthenticationError, "bitfinex: apikey: invalid (code 10100)".to_owned())
    );
    let (kind, _) = refused(r#"{"event":"auth","status":"FAILED","chanId":0,"code":10114,"msg":"nonce: small"}"#);
    assert_eq!((kind, kind.retry()), (ErrorKind::InvalidNonce, Retry::Resync));
    let (kind, _) = refused(r#"{"event":"error","msg":"auth: unknown","code":10111}"#);
    assert_eq!(kind, ErrorKind::AuthenticationError);
    assert_eq!(refused(r#"{"event":"auth","status":"FAILED"}"#).0, ErrorKind::AuthenticationError);
    // After the login an error is about something else.
    same(&rows_of(&mut ours, r#"{"event":"error","msg":"unknown event","code":10000}"#), &[]);
}

#[test]
fn channels_are_confirmed_by_a_pong() {
    let markets = sample_markets();
    let (mut ours, mut out) = (adapter(), Vec::new());
    ours.subscribe(&[Balances, Orders, MyTrades, Positions], 7, &context(&markets), &mut out);
    ours.subscribe(&[PrivateChannel::Ledger], 8, &context(&markets), &mut out);
    ours.subscribe(&[Orders], 9, &context(&markets), &mut out);
    assert_eq!(out, [br#"{"event":"ping","cid":7}"#, br#"{"event":"ping","cid":9}"#]);
    let pong = |cid: u32| format!(r#"{{"event":"pong","ts":1511545528111,"cid":{cid}}}"#);
    same(&rows_of(&mut ours, &pong(1)), &[]);
    let confirmed =
        |channels: &[PrivateChannel]| channels.iter().copied().map(PrivateRow::Confirmed).collect::<Vec<_>>();
    same(&rows_of(&mut ours, &pong(7)), &confirmed(&[Balances, Orders, MyTrades, Positions]));
    same(&rows_of(&mut ours, &pong(7)), &[]);
    ours.reset();
    same(&rows_of(&mut ours, &pong(9)), &[]);
}

#[test]
fn an_order_that_is_new_and_one_that_was_filled() {
    let markets = sample_markets();
    let new = OrderRow {
        id: id("1234567"),
        client_order_id: id("123"),
        market: market(&markets, "BTC/USD"),
        status: Some(OrderStatus::Open),
        side: Some(TakerSide::Buy),
        kind: Some(OrderKind::Limit),
        post_only: Some(false),
        reduce_only: Some(false),
        price: fixed("900"),
        amount: fixed("1"),
        filled: fixed("0"),
        created: ms(1_515_179_518_260),
        updated: ms(1_515_179_518_315),
        ..OrderRow::default()
    };
    same(&rows(NEW), &[PrivateRow::Order(new.clone())]);
    // With what is appended since we ask for it, and in the list that comes first.
    same(&rows(&NEW.replace("null]]", "null],3,12,1515179518400]")), &[PrivateRow::Order(new.clone())]);
    let list = NEW.replace("\"on\",[", "\"os\",[[").replace("null]]", "null]]]");
    same(&rows(&list), &[PrivateRow::Order(new.clone())]);
    let filled = OrderRow {
        status: Some(OrderStatus::Closed),
        kind: Some(OrderKind::Market),
        price: None,
        filled: fixed("1"),
        average: money("916.13496085"),
        cost: money("916.13496085"),
        created: ms(1_514_909_325_236),
        updated: ms(1_514_909_325_631),
        ..new
    };
    same(&rows(FILLED), &[PrivateRow::Order(filled)]);
}

/// The row of [`NEW`] with some of its cells changed.
fn changed(name: &str, cells: &[(&str, &str)]) -> OrderRow {
    let mut frame = NEW.replace("\"on\"", &format!("{name:?}"));
    for (from, to) in cells {
        assert!(frame.contains(from), "{from}");
        frame = frame.replacen(from, to, 1);
    }
    match rows(&frame).pop() {
        Some(PrivateRow::Order(row)) => row,
        other => panic!("{other:?}"),
    }
}

#[test]
fn states_of_orders() {
    use OrderStatus::{Canceled, Closed, Open, Rejected};
    let row = |name: &str, state: &str| changed(name, &[("ACTIVE", state)]);
    for (state, status, kind) in [
        ("ACTIVE", Some(Open), None),
        ("PARTIALLY FILLED @ 915.9(0.22)", Some(Open), None),
        ("EXECUTED @ 916.2(0.78)", Some(Closed), None),
        ("CANCELED", Some(Canceled), None),
        ("CANCELED was: PARTIALLY FILLED @ 915.9(0.22)", Some(Canceled), None),
        ("INSUFFICIENT MARGIN was: PARTIALLY FILLED @ 9(0.2)", Some(Canceled), Some(ErrorKind::InsufficientFunds)),
        ("POSTONLY CANCELED", Some(Canceled), Some(ErrorKind::OrderImmediatelyFillable)),
        ("IOC CANCELED", Some(Canceled), None),
        ("FILLORKILL CANCELED", Some(Canceled), Some(ErrorKind::OrderNotFillable)),
        ("RSN_DUST", Some(Rejected), Some(ErrorKind::InvalidOrder)),
        ("RSN_PAUSE", Some(Rejected), Some(ErrorKind::MarketClosed)),
        ("SOMETHING NEW", None, None),
    ] {
        let found = row("ou", state);
        assert_eq!((found.status, found.error.map(|error| error.kind())), (status, kind), "{state}");
        // What is closed has ended, whatever it is called.
        let ended = if matches!(status, None | Some(Open)) { Some(Canceled) } else { status };
        assert_eq!(row("oc", state).status, ended, "{state}");
    }
    let error = row("oc", "INSUFFICIENT MARGIN was: PARTIALLY FILLED @ 9(0.2)").error.unwrap();
    assert_eq!((error.venue(), error.code()), (Some("bitfinex"), Some("INSUFFICIENT")));
}

#[test]
fn kinds_of_orders() {
    use OrderKind::{Limit, Market, Stop, StopLimit};
    let row = |name: &str| changed("on", &[("LIMIT", name), ("900,0,null,null", "900,0,0,910")]);
    for (name, kind, time_in_force, price, trigger) in [
        ("EXCHANGE LIMIT", Some(Limit), None, "900", ""),
        ("EXCHANGE IOC", Some(Limit), Some(TimeInForce::Ioc), "900", ""),
        ("FOK", Some(Limit), Some(TimeInForce::Fok), "900", ""),
        ("EXCHANGE MARKET", Some(Market), None, "", ""),
        ("STOP", Some(Stop), None, "", "900"),
        ("EXCHANGE TRAILING STOP", Some(Stop), None, "", "900"),
        ("EXCHANGE STOP LIMIT", Some(StopLimit), None, "910", "900"),
        ("ODD LIMIT", Some(Limit), None, "900", ""),
        ("ODD", None, None, "900", ""),
    ] {
        let number = |text: &str| if text.is_empty() { None } else { fixed(text) };
        let found = row(name);
        assert_eq!((found.kind, found.time_in_force), (kind, time_in_force), "{name}");
        assert_eq!((found.price, found.trigger_price), (number(price), number(trigger)), "{name}");
    }
    let flags = |flags: &str| changed("on", &[("0,\"ACTIVE\"", &format!("{flags},\"ACTIVE\""))]);
    assert_eq!((flags("4096").post_only, flags("1024").reduce_only), (Some(true), Some(true)));
    assert_eq!((flags("\"5120\"").post_only, flags("\"5120\"").reduce_only), (Some(true), Some(true)));
    assert_eq!((flags("64").post_only, flags("null").post_only), (Some(false), None));
    let until = changed("on", &[("\"LIMIT\",null,null", "\"LIMIT\",null,1515179519000")]);
    assert_eq!(until.time_in_force, Some(TimeInForce::Gtd));
}

#[test]
fn what_was_filled() {
    let sold = changed("ou", &[("1,1,", "-0.12999999999999998,-0.2,")]);
    assert_eq!((sold.side, sold.amount, sold.filled), (Some(TakerSide::Sell), fixed("0.2"), fixed("0.07")));
    // Once an order was changed its first amount says nothing more.
    let text = "PARTIALLY FILLED @ 915.9(-0.22), PARTIALLY FILLED @ 915.8(-0.1)";
    let edited = changed("ou", &[("1,1,", "-2.5,-1,"), ("\"LIMIT\",null", "\"LIMIT\",\"LIMIT\""), ("ACTIVE", text)]);
    assert_eq!((edited.amount, edited.filled), (fixed("2.82"), fixed("0.32")));
    let edited = changed("ou", &[("1,1,", "0.5,1,"), ("\"LIMIT\",null", "\"LIMIT\",\"LIMIT\"")]);
    assert_eq!((edited.amount, edited.filled), (fixed("0.5"), fixed("0")));
    let odd = changed("ou", &[("1,1,", "3,1,")]);
    assert_eq!((odd.amount, odd.filled), (fixed("1"), None));
    let average = changed("ou", &[("1,1,", "0.75,1,"), ("900,0", "900,899.5")]);
    assert_eq!((average.average, average.cost), (money("899.5"), money("224.875")));
}

#[test]
fn own_trades_come_once_with_their_fee() {
    same(&rows(TRADE), &[]);
    let markets = sample_markets();
    let trade = MyTrade {
        id: id("1"),
        order: id("1234567"),
        market: market(&markets, "BTC/USD"),
        venue_time: ms(1_514_909_325_593),
        side: TakerSide::Buy,
        price: fixed("915.9").unwrap(),
        amount: fixed("0.21679716").unwrap(),
        cost: None,
        liquidity: Some(Liquidity::Taker),
        fee: Some(Fee { currency: code("USD"), cost: money("0.39712904").unwrap() }),
        backfilled: false,
    };
    same(&rows(TRADE_AGAIN), &[PrivateRow::MyTrade(trade)]);
    let sold = TRADE_AGAIN.replace("0.21679716", "-0.5").replace("-1,-0.39712904,\"USD\"", "1,0.01,\"UST\",17");
    let fee = Some(Fee { currency: code("USDT"), cost: money("-0.01").unwrap() });
    let amount = fixed("0.5").unwrap();
    let liquidity = Some(Liquidity::Maker);
    same(&rows(&sold), &[PrivateRow::MyTrade(MyTrade { side: TakerSide::Sell, amount, liquidity, fee, ..trade })]);
}

#[test]
fn balances_are_those_of_the_exchange_wallet() {
    let total = |name: &str, total: &str| {
        PrivateRow::Balance(Balance { currency: code(name), total: money(total), ..Balance::default() })
    };
    same(&rows(WALLETS), &[total("BTC", "30"), total("USD", "80000")]);
    let (free, used) = (money("30"), money("0"));
    let whole = Balance { currency: code("BTC"), free, used, total: money("30"), debt: None };
    same(&rows(WALLET), &[PrivateRow::Balance(whole)]);
    let computed = WALLET.replace("\"BTC\",30,0,30", "\"UST\",11.960650700086292,0,1e-7");
    let PrivateRow::Balance(row) = rows(&computed)[0] else { panic!() };
    assert_eq!((row.currency, row.total, row.free), (code("USDT"), money("11.960650700086292"), money("0.0000001")));
    assert_eq!(row.used, money("11.960650600086292"));
}

#[test]
fn positions() {
    let markets = sample_markets();
    let position = Position {
        market: market(&markets, "BTC/USD"),
        side: Some(PositionSide::Long),
        contracts: money("1").unwrap(),
        entry_price: money("916.13496085"),
        unrealized_pnl: money("-2.76536085"),
        liquidation_price: money("0"),
        leverage: money("43.7962"),
        ..Position::default()
    };
    same(&rows(POSITION), &[PrivateRow::Position(position)]);
    same(&rows(&POSITION.replace("\"pu\",[", "\"ps\",[[").replace("]]", "]]]")), &[PrivateRow::Position(position)]);
    let closed = Position { side: None, contracts: Decimal::ZERO, ..position };
    same(&rows(&POSITION.replace("\"pu\"", "\"pc\"")), &[PrivateRow::Position(closed)]);
    same(&rows(&POSITION.replace("ACTIVE", "CLOSED")), &[PrivateRow::Position(closed)]);
    let swap = r#"[0,"pn",["tBTCF0:USTF0","ACTIVE",-0.5,35000,0,0,-1.5,-0.01,40000,10,null,142355652,1574002216000,1574002216001,null,1,null,1750.5,175,{"reason":"TRADE"}]]"#;
    let swap_row = Position {
        id: id("142355652"),
        market: market(&markets, "BTC/USDT:USDT"),
        side: Some(PositionSide::Short),
        contracts: money("0.5").unwrap(),
        entry_price: money("35000"),
        unrealized_pnl: money("-1.5"),
        liquidation_price: money("40000"),
        leverage: money("10"),
        isolated: Some(true),
        collateral: money("1750.5"),
        updated: ms(1_574_002_216_001),
        ..Position::default()
    };
    same(&rows(swap), &[PrivateRow::Position(swap_row)]);
}

#[test]
fn what_says_nothing_gives_no_rows() {
    for frame in [
        "[]",
        "{}",
        "7",
        r#"[0,"hb"]"#,
        r#"[0,"hb",12,3]"#,
        r#"[0,"bu",[147260,147260]]"#,
        r#"[17,"on",[1234567,0,123]]"#,
        r#"[0,"on",[null,null,null]]"#,
        r#"[0,"on",7]"#,
        r#"[0,"os",[]]"#,
        r#"[0,"n",[1,"uca",null,null,{"a":1},null,"SUCCESS","x"]]"#,
        r#"{"event":"info","version":2,"platform":{"status":1}}"#,
        r#"{"event":"info","code":20060,"msg":"maintenance"}"#,
        r#"{"event":"conf","status":"OK","flags":229376}"#,
        ACCEPTED,
    ] {
        same(&rows(frame), &[]);
    }
    same(&rows(r#"{"event":"info","code":20051,"msg":"restart"}"#), &[PrivateRow::Shutdown]);
    same(&rows(r#"{"event":"info","code":20061,"msg":"back"}"#), &[PrivateRow::Shutdown]);
    let markets = sample_markets();
    assert!(adapter().on_frame(b"nonsense", &context(&markets), &mut PrivateRows::default()).is_err());
}

#[test]
fn damaged_frames_never_panic() {
    let markets = sample_markets();
    let (mut adapter, mut out, mut read) = (adapter(), PrivateRows::default(), 0);
    let frames = [NEW, FILLED, TRADE_AGAIN, WALLETS, WALLET, POSITION, ACCEPTED];
    damaged(&frames, 20_000, |frame| {
        out.clear();
        read += usize::from(adapter.on_frame(frame, &context(&markets), &mut out).is_ok());
    });
    assert!((2_000..18_000).contains(&read), "{read}");
}

#[test]
fn errors_of_the_venue_have_their_kinds() {
    use ErrorKind::*;
    for (code, text, kind) in [
        (10_000, "", BadRequest),
        (10_001, "unknown pair", BadSymbol),
        (10_001, "Invalid order: not enough exchange balance for 1 BTC", InsufficientFunds),
        (10_001, "Invalid order: minimum size for BTC/USD is 0.00004", InvalidOrder),
        (10_001, "The available balance is only 1 BTC", InsufficientFunds),
        (10_011, "", BadRequest),
        (10_012, "", BadRequest),
        (10_020, "", BadRequest),
        (10_020, "symbol: invalid", BadSymbol),
        (10_100, "apikey: invalid", AuthenticationError),
        (10_112, "", AuthenticationError),
        (10_114, "", InvalidNonce),
        (10_020, "nonce: small", InvalidNonce),
        (10_300, "", BadSymbol),
        (10_301, "", BadRequest),
        (10_302, "", BadRequest),
        (10_305, "", RateLimitExceeded),
        (10_400, "", BadRequest),
        (10_401, "", BadRequest),
        (11_010, "", RateLimitExceeded),
        (10_020, "ratelimit: error", RateLimitExceeded),
        (20_060, "", OnMaintenance),
        (0, "Order not found", OrderNotFound),
        (503, "temporarily_unavailable", ExchangeNotAvailable),
        (1, "", ExchangeError),
    ] {
        assert_eq!(kind_of(code, text), kind, "{code} {text}");
    }
    assert_eq!(kind_or(10_001, "api_key: permission invalid", ExchangeError), PermissionDenied);
    assert_eq!(kind_or(10_001, "", PermissionDenied), PermissionDenied);
}

#[test]
fn the_table_says_what_the_adapter_does() {
    assert!(TRADING.needs_login && !TRADING.needs_token && TRADING.asks_balance && !TRADING.fills_add_up);
    assert_eq!((TRADING.open)(None).unwrap().client_order_id(1_700_000_000_001), id("1700000000001"));
    for key in ["my key", "my\"key", "my\r\nkey", "schlüssel"] {
        let error = (TRADING.open)(Some(&Credentials::new(key, "hush"))).err().unwrap();
        assert_eq!((error.kind(), error.venue()), (ErrorKind::AuthenticationError, Some("bitfinex")));
        assert!(!error.to_string().contains(key), "{error}");
    }
    // Without credentials nothing is sent.
    let mut out = Vec::new();
    BitfinexTrading::new(None).unwrap().login(&context(&sample_markets()), &mut out);
    assert!(out.is_empty());
}
