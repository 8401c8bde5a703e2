//! Events and answers of the documentation, row by row.

use super::private::Private;
use super::rest::kind_of;
use super::*;
use crate::credentials::Credentials;
use crate::decimal::Fixed;
use crate::error::Retry;
use crate::market::{Limits, MarketKind, Markets};
use crate::model::{
    Balance, Code, Fee, Id, Liquidity, MarketId, MyTrade, OrderKind, OrderStatus, TakerSide, TimeInForce, VenueId,
};
use crate::venue::shared::damaged;
use crate::venue::sign::HmacSha256;
use crate::venue::{Context, OrderAct, OrderRow, PrivateChannel, PrivateRow, PrivateRows, SignedRequest, Trading};
use rust_decimal::Decimal;

pub(super) const KEY: &str = "wbk_7Qd2Zx0example0key";
const SECRET: &str = "wbs_4f9c1e0example0secret";
pub(super) const NOW: Wall = Wall(1_700_000_000_000_000_000);
const REQUEST: u64 = 7;

pub(super) fn markets() -> Markets {
    let mut markets = Markets::default();
    let row = |base: &str, quote: &str, price_scale| Market {
        id: MarketId { venue: VenueId(0), index: 0 },
        symbol: format!("{base}/{quote}").into(),
        venue_symbol: format!("{base}{quote}").into(),
        numeric_id: None,
        base: base.into(),
        quote: quote.into(),
        settle: None,
        kind: MarketKind::Spot,
        active: true,
        price_tick: None,
        amount_step: None,
        price_scale,
        amount_scale: 5,
        price_limits: Limits::default(),
        amount_limits: Limits::default(),
        cost_limits: Limits::default(),
        contract_size: None,
    };
    markets.merge(VenueId(0), vec![row("BTC", "USDT", 2), row("ETH", "BTC", 5), row("币", "USDT", 2)]);
    markets
}

pub(super) fn cx(markets: &Markets) -> Context<'_> {
    Context { now: NOW, markets, token: "pqia91ma19a5s61cv6a8" }
}

pub(super) fn open(variant: usize) -> Private {
    Private::new(&VARIANTS[variant], Some(&Credentials::new(KEY, SECRET))).unwrap()
}

pub(super) fn fixed(text: &str) -> Fixed {
    text.parse().unwrap()
}

pub(super) fn decimal(text: &str) -> Option<Decimal> {
    Some(text.parse().unwrap())
}

pub(super) fn code(text: &str) -> Code {
    Code::new(text.as_bytes()).unwrap()
}

pub(super) fn id(text: &str) -> Id {
    Id::new(text.as_bytes()).unwrap()
}

pub(super) fn market(markets: &Markets, symbol: &str) -> MarketId {
    markets.resolve(symbol).unwrap().id
}

pub(super) fn hmac(text: &str) -> String {
    HmacSha256::new(&crate::credentials::Secret::new(SECRET)).unwrap().hex_text(&[text.as_bytes()])
}

/// The parameters of a REST request whose signature is right.
pub(super) fn signed_query(request: &SignedRequest) -> String {
    let in_body = !request.body.is_empty();
    let params = if in_body {
        assert_eq!(request.content_type, "application/x-www-form-urlencoded");
        std::str::from_utf8(&request.body).unwrap()
    } else {
        request.target.split_once('?').unwrap().1
    };
    let (params, signature) = params.split_once("&signature=").unwrap();
    assert_eq!(signature, hmac(params));
    assert_eq!(request.headers, [("X-MBX-APIKEY", KEY.to_owned())]);
    params.to_owned()
}

/// Everything that a message says, as it is printed.
fn rows(adapter: &mut Private, frame: &str) -> Vec<PrivateRow> {
    let (markets, mut out) = (markets(), PrivateRows::default());
    adapter.on_frame(frame.as_bytes(), &cx(&markets), &mut out).unwrap();
    out.rows
}

fn expect(frame: &str, expected: &[PrivateRow]) {
    assert_eq!(format!("{:#?}", rows(&mut open(0), frame)), format!("{expected:#?}"));
    // Old streams deliver the inner event bare.
    if let Some(inner) = frame.strip_prefix("{\"subscriptionId\":0,\"event\":").and_then(|text| text.strip_suffix('}'))
    {
        let theirs = format!("{:#?}", rows(&mut open(1), inner)).replace("binanceus", "binance");
        assert_eq!(theirs, format!("{expected:#?}"));
        let combined = format!("{{\"stream\":\"key\",\"data\":{inner}}}");
        assert_eq!(rows(&mut open(1), &combined).len(), expected.len());
    }
}

/// From the documentation of executionReport.
const NEW: &str = r#"{"subscriptionId":0,"event":{"e":"executionReport","E":1499405658658,"s":"ETHBTC","c":"mUvoqJxFIILMdfAW5iGSOW","S":"BUY","o":"LIMIT","f":"GTC","q":"1.00000000","p":"0.10264410","P":"0.00000000","F":"0.00000000","g":-1,"C":"","x":"NEW","X":"NEW","r":"NONE","i":4293153,"l":"0.00000000","z":"0.00000000","L":"0.00000000","n":"0","N":null,"T":1499405658657,"t":-1,"I":8641984,"w":true,"m":false,"O":1499405658657,"Z":"0.00000000","Y":"0.00000000","Q":"0.00000000","W":1499405658657,"V":"NONE"}}"#;

fn new_row() -> OrderRow {
    OrderRow {
        id: id("4293153"),
        client_order_id: id("mUvoqJxFIILMdfAW5iGSOW"),
        market: Some(market(&markets(), "ETH/BTC")),
        status: Some(OrderStatus::Open),
        side: Some(TakerSide::Buy),
        kind: Some(OrderKind::Limit),
        time_in_force: Some(TimeInForce::Gtc),
        post_only: Some(false),
        price: Some(fixed("0.1026441")),
        amount: Some(fixed("1")),
        filled: Some(fixed("0")),
        cost: decimal("0.00000000"),
        created: Some(Wall::from_ms(1_499_405_658_657)),
        updated: Some(Wall::from_ms(1_499_405_658_657)),
        ..OrderRow::default()
    }
}

#[test]
fn orders_and_fills_of_the_stream() {
    expect(NEW, &[PrivateRow::Order(new_row())]);
    let fill = NEW
        .replace(r#""x":"NEW","X":"NEW""#, r#""x":"TRADE","X":"PARTIALLY_FILLED""#)
        .replace(
            r#""l":"0.00000000","z":"0.00000000","L":"0.00000000","n":"0","N":null,"T":1499405658657,"t":-1"#,
            r#""l":"0.25000000","z":"0.50000000","L":"0.10264000","n":"0.00025","N":"BNB","T":1499405659000,"t":28457"#,
        )
        .replace(r#""Z":"0.00000000","Y":"0.00000000""#, r#""Z":"0.05132000","Y":"0.02566000""#);
    let row = OrderRow {
        filled: Some(fixed("0.5")),
        cost: decimal("0.05132000"),
        average: decimal("0.10264"),
        updated: Some(Wall::from_ms(1_499_405_659_000)),
        last_trade: Some(Wall::from_ms(1_499_405_659_000)),
        ..new_row()
    };
    let trade = MyTrade {
        id: id("28457"),
        order: id("4293153"),
        market: row.market,
        venue_time: row.updated,
        side: TakerSide::Buy,
        price: fixed("0.10264"),
        amount: fixed("0.25"),
        cost: decimal("0.02566000"),
        liquidity: Some(Liquidity::Taker),
        fee: Some(Fee { currency: code("BNB"), cost: decimal("0.00025").unwrap() }),
        backfilled: false,
    };
    expect(&fill, &[PrivateRow::Order(row.clone()), PrivateRow::MyTrade(trade)]);
    let resting =
        fill.replace(r#""m":false"#, r#""m":true"#).replace(r#""n":"0.00025","N":"BNB""#, r#""n":"0","N":null"#);
    let trade = MyTrade { liquidity: Some(Liquidity::Maker), fee: None, ..trade };
    expect(&resting, &[PrivateRow::Order(row.clone()), PrivateRow::MyTrade(trade)]);
    // A fill that cannot be read is asked for.
    let unreadable = fill.replace(r#""L":"0.10264000""#, r#""L":"x""#);
    expect(&unreadable, &[PrivateRow::Order(row), PrivateRow::Gap]);
}

#[test]
fn ends_of_orders_on_the_stream() {
    for (what, state, status) in [
        ("CANCELED", "CANCELED", OrderStatus::Canceled),
        ("EXPIRED", "EXPIRED", OrderStatus::Expired),
        ("TRADE_PREVENTION", "EXPIRED_IN_MATCH", OrderStatus::Expired),
    ] {
        let frame = NEW
            .replace(r#""x":"NEW","X":"NEW""#, &format!(r#""x":"{what}","X":"{state}""#))
            .replace(r#""c":"mUvoqJxFIILMdfAW5iGSOW""#, r#""c":"cancel1""#)
            .replace(r#""C":"""#, r#""C":"mUvoqJxFIILMdfAW5iGSOW""#);
        expect(&frame, &[PrivateRow::Order(OrderRow { status: Some(status), ..new_row() })]);
    }
    let rejected =
        NEW.replace(r#""x":"NEW","X":"NEW","r":"NONE""#, r#""x":"REJECTED","X":"REJECTED","r":"WOULD_MATCH""#);
    let error = Error::new(ErrorKind::InvalidOrder, "WOULD_MATCH").at("binance");
    let row = OrderRow { status: Some(OrderStatus::Rejected), error: Some(error), ..new_row() };
    expect(&rejected, &[PrivateRow::Order(row)]);
    // Half of an edit of ours.
    let edited = NEW
        .replace(r#""x":"NEW","X":"NEW""#, r#""x":"CANCELED","X":"CANCELED""#)
        .replace(r#""c":"mUvoqJxFIILMdfAW5iGSOW""#, r#""c":"wbedit7""#)
        .replace(r#""C":"""#, r#""C":"mUvoqJxFIILMdfAW5iGSOW""#);
    expect(&edited, &[]);
    // Changed in place, by us or by somebody else: the new name holds.
    let amended = NEW
        .replace(r#""x":"NEW""#, r#""x":"REPLACED""#)
        .replace(r#""q":"1.00000000""#, r#""q":"0.50000000""#)
        .replace(r#""C":"""#, r#""C":"older""#);
    expect(&amended, &[PrivateRow::Order(OrderRow { amount: Some(fixed("0.5")), ..new_row() })]);
}

#[test]
fn balances_and_notices_of_the_stream() {
    let balance = |currency: &str, free: &str, used: &str, total: &str| {
        let (free, used, total) = (decimal(free), decimal(used), decimal(total));
        PrivateRow::Balance(Balance { currency: code(currency), free, used, total, debt: None })
    };
    expect(
        r#"{"subscriptionId":0,"event":{"e":"outboundAccountPosition","E":1564034571105,"u":1564034571073,"B":[{"a":"ETH","f":"10000.000000","l":"0.500000"},{"a":"YOYO","f":"1","l":"2"}]}}"#,
        &[balance("ETH", "10000.000000", "0.500000", "10000.500000"), balance("YOYOW", "1", "2", "3")],
    );
    expect(
        r#"{"subscriptionId":0,"event":{"e":"balanceUpdate","E":1573200697110,"a":"BTC","d":"-100.00000000","T":1573200697068}}"#,
        &[PrivateRow::BalanceChange { currency: code("BTC"), amount: decimal("-100.00000000").unwrap() }],
    );
    expect(
        r#"{"subscriptionId":0,"event":{"e":"externalLockUpdate","E":1581557507324,"a":"NEO","d":"10.00000000","T":1581557507268}}"#,
        &[PrivateRow::Gap],
    );
    expect(r#"{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":1728973001334}}"#, &[PrivateRow::Expired]);
    expect(r#"{"e":"listenKeyExpired","E":1699596037418,"listenKey":"x"}"#, &[PrivateRow::Expired]);
    expect(r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#, &[PrivateRow::Shutdown]);
    expect(r#"{"subscriptionId":0,"event":{"e":"listStatus","E":1564035303637,"s":"ETHBTC","g":2}}"#, &[]);
    for other in ["{}", "[]", "1", r#"{"id":null,"status":400,"error":{"code":-1135,"msg":"x"}}"#, r#"{"event":{}}"#] {
        expect(other, &[]);
    }
    let (markets, mut out) = (markets(), PrivateRows::default());
    assert!(open(0).on_frame(b"{\"id\":", &cx(&markets), &mut out).is_err());
}

#[test]
fn one_subscription_serves_all_channels() {
    use PrivateChannel::{Balance, MyTrades, Orders};
    let markets = markets();
    let mut adapter = open(0);
    let ask = |adapter: &mut Private, channels: &[PrivateChannel], request| {
        let mut out = Vec::new();
        adapter.subscribe(channels, request, &cx(&markets), &mut out);
        out.into_iter().map(|message| String::from_utf8(message).unwrap()).collect::<Vec<_>>()
    };
    let told = |rows: Vec<PrivateRow>| format!("{rows:?}");
    assert_eq!(ask(&mut adapter, &[Orders], 3).len(), 1);
    // Not answered yet: the same answer will do for this one too.
    assert_eq!(ask(&mut adapter, &[Balance, Orders, PrivateChannel::Positions], 4).len(), 0);
    let rows_of = rows(&mut adapter, r#"{"id":3,"status":200,"result":{"subscriptionId":0}}"#);
    assert_eq!(told(rows_of), told(vec![PrivateRow::Confirmed(Orders), PrivateRow::Confirmed(Balance)]));
    assert_eq!(ask(&mut adapter, &[MyTrades], 5), [r#"{"id":5,"method":"ping"}"#]);
    assert_eq!(
        told(rows(&mut adapter, r#"{"id":5,"status":200,"result":{}}"#)),
        told(vec![PrivateRow::Confirmed(MyTrades)])
    );
    adapter.reset();
    assert!(ask(&mut adapter, &[Orders], 6)[0].contains("subscribe.signature"));
    let refused =
        r#"{"id":6,"status":400,"error":{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}}"#;
    let rows_of = rows(&mut adapter, refused);
    let [PrivateRow::ChannelRefused(Orders, error)] = &rows_of[..] else { panic!("{rows_of:?}") };
    assert_eq!(
        (error.kind(), error.code(), error.venue()),
        (ErrorKind::AuthenticationError, Some("-2015"), Some("binance"))
    );

    let mut adapter = open(1);
    assert_eq!(adapter.socket_path(&cx(&markets)), "/ws/pqia91ma19a5s61cv6a8");
    assert_eq!(ask(&mut adapter, &[Orders], 3), [r#"{"id":3,"method":"LIST_SUBSCRIPTIONS"}"#]);
    let answer = r#"{"result":["pqia91ma19a5s61cv6a8"],"id":3}"#;
    assert_eq!(told(rows(&mut adapter, answer)), told(vec![PrivateRow::Confirmed(Orders)]));
    assert_eq!(open(0).socket_path(&cx(&markets)), "/ws-api/v3?returnRateLimits=false");
    assert_eq!(open(0).client_order_id(u64::MAX).as_str(), "wb18446744073709551615");
}

const PLACED: &str = r#"{"symbol":"BTCUSDT","orderId":12569099453,"orderListId":-1,"clientOrderId":"wb7","transactTime":1660801715639,"price":"23416.10000000","origQty":"0.00847000","executedQty":"0.00400000","origQuoteOrderQty":"0.000000","cummulativeQuoteQty":"93.66440000","status":"PARTIALLY_FILLED","timeInForce":"GTC","type":"LIMIT","side":"SELL","workingTime":1660801715639,"selfTradePreventionMode":"NONE"}"#;
const CANCELED: &str = r#"{"symbol":"BTCUSDT","origClientOrderId":"wb7","orderId":12569099453,"orderListId":-1,"clientOrderId":"91fe37ce9e69c90d6358c0","transactTime":1684804350068,"price":"23416.10000000","origQty":"0.00847000","executedQty":"0.00400000","origQuoteOrderQty":"0.000000","cummulativeQuoteQty":"93.66440000","status":"CANCELED","timeInForce":"GTC","type":"LIMIT","side":"SELL","stopPrice":"0.00000000","selfTradePreventionMode":"NONE"}"#;

fn placed_row() -> OrderRow {
    OrderRow {
        id: id("12569099453"),
        client_order_id: id("wb7"),
        market: Some(market(&markets(), "BTC/USDT")),
        status: Some(OrderStatus::Open),
        side: Some(TakerSide::Sell),
        kind: Some(OrderKind::Limit),
        time_in_force: Some(TimeInForce::Gtc),
        post_only: Some(false),
        price: Some(fixed("23416.1")),
        amount: Some(fixed("0.00847")),
        filled: Some(fixed("0.004")),
        cost: decimal("93.66440000"),
        average: decimal("23416.1"),
        created: Some(Wall::from_ms(1_660_801_715_639)),
        updated: Some(Wall::from_ms(1_660_801_715_639)),
        ..OrderRow::default()
    }
}

fn canceled_row() -> OrderRow {
    let (status, updated) = (Some(OrderStatus::Canceled), Some(Wall::from_ms(1_684_804_350_068)));
    OrderRow { status, updated, created: None, ..placed_row() }
}

/// The answer over the socket, and the same by REST.
fn answers(status: u16, body: &str) -> [(Result<OrderRow, Error>, usize); 2] {
    let markets = markets();
    let what = if status < 400 { "result" } else { "error" };
    let mut all = rows(&mut open(0), &format!("{{\"id\":7,\"status\":{status},\"{what}\":{body}}}"));
    let Some(PrivateRow::Answer { request: REQUEST, outcome }) = all.pop() else { panic!("{all:?}") };
    let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
    let by_rest = open(0).on_order_reply(&OrderAct::Create, &reply, &cx(&markets));
    [(outcome, all.len()), (by_rest, 0)]
}

#[test]
fn answers_to_orders() {
    let amended = r#"{"transactTime":1741669661670,"executionId":22,"amendedOrder":{"symbol":"BTCUSDT","orderId":12569099453,"orderListId":-1,"origClientOrderId":"wb7","clientOrderId":"wb7","price":"23416.10000000","qty":"0.00500000","executedQty":"0.00400000","preventedQty":"0.00000000","quoteOrderQty":"0.00000000","cumulativeQuoteQty":"93.66440000","status":"PARTIALLY_FILLED","timeInForce":"GTC","type":"LIMIT","side":"SELL","workingTime":1741669661670,"selfTradePreventionMode":"NONE"}}"#;
    let amended_row = OrderRow {
        amount: Some(fixed("0.005")),
        created: None,
        updated: Some(Wall::from_ms(1_741_669_661_670)),
        ..placed_row()
    };
    let replaced = format!(
        r#"{{"cancelResult":"SUCCESS","newOrderResult":"SUCCESS","cancelResponse":{CANCELED},"newOrderResponse":{PLACED}}}"#
    );
    for (body, expected) in
        [(PLACED, placed_row()), (CANCELED, canceled_row()), (amended, amended_row), (&replaced, placed_row())]
    {
        for (row, _) in answers(200, body) {
            assert_eq!(format!("{:#?}", row.unwrap()), format!("{expected:#?}"));
        }
    }
    // What was cancelled together is told row by row.
    let list = format!("[{CANCELED},{{\"orderListId\":1929,\"orderReports\":[{CANCELED},{CANCELED}]}}]");
    let [(socket, told), (rest, _)] = answers(200, &list);
    assert!(socket.unwrap().id.is_none() && rest.unwrap().id.is_none() && told == 3);
    // An answer that names no order may belong to one that was taken.
    for (row, _) in answers(200, "{}") {
        let error = row.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry(), error.venue()),
            (ErrorKind::BadResponse, Retry::Unknown, Some("binance"))
        );
    }
}

#[test]
fn refusals_of_orders() {
    for (status, body, kind, retry, code) in [
        (
            400,
            r#"{"code":-2010,"msg":"Account has insufficient balance for requested action."}"#,
            ErrorKind::InsufficientFunds,
            Retry::Never,
            "-2010",
        ),
        (400, r#"{"code":-2010,"msg":"Duplicate order sent."}"#, ErrorKind::DuplicateOrderId, Retry::Unknown, "-2010"),
        (
            400,
            r#"{"code":-1007,"msg":"Timeout waiting for response from backend server."}"#,
            ErrorKind::RequestTimeout,
            Retry::Unknown,
            "-1007",
        ),
        (504, r#"{"code":-1007,"msg":"Timeout"}"#, ErrorKind::RequestTimeout, Retry::Unknown, "-1007"),
        (
            503,
            r#"{"code":-1003,"msg":"Unknown error, please check your request."}"#,
            ErrorKind::OperationFailed,
            Retry::Unknown,
            "-1003",
        ),
        (
            429,
            r#"{"code":-1003,"msg":"Too much request weight used"}"#,
            ErrorKind::RateLimitExceeded,
            Retry::Backoff,
            "-1003",
        ),
        (
            418,
            r#"{"code":-1003,"msg":"Way too much request weight used; IP banned until 1"}"#,
            ErrorKind::DdosProtection,
            Retry::Backoff,
            "-1003",
        ),
        (
            400,
            r#"{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}"#,
            ErrorKind::InvalidNonce,
            Retry::Resync,
            "-1021",
        ),
        (
            400,
            r#"{"code":-2011,"msg":"Order was not canceled due to cancel restrictions."}"#,
            ErrorKind::OperationRejected,
            Retry::Never,
            "-2011",
        ),
        (400, r#"{"code":-2011,"msg":"Unknown order sent."}"#, ErrorKind::OrderNotFound, Retry::Never, "-2011"),
        // Nothing was done of an edit: the reason within counts.
        (
            400,
            r#"{"code":-2022,"msg":"Order cancel-replace failed.","data":{"cancelResult":"FAILURE","newOrderResult":"NOT_ATTEMPTED","cancelResponse":{"code":-2011,"msg":"Order was not canceled due to cancel restrictions."},"newOrderResponse":null}}"#,
            ErrorKind::OperationRejected,
            Retry::Never,
            "-2011",
        ),
        (
            409,
            r#"{"code":-2021,"msg":"Order cancel-replace partially failed."}"#,
            ErrorKind::BadResponse,
            Retry::Unknown,
            "-2021",
        ),
    ] {
        for (row, _) in answers(status, body) {
            let error = row.unwrap_err();
            assert_eq!(
                (error.kind(), error.retry(), error.code(), error.venue()),
                (kind, retry, Some(code), Some("binance")),
                "{body}"
            );
        }
    }
    // The old order is gone, and there is no new one.
    let half = format!(
        r#"{{"code":-2021,"msg":"Order cancel-replace partially failed.","data":{{"cancelResult":"SUCCESS","newOrderResult":"FAILURE","cancelResponse":{CANCELED},"newOrderResponse":{{"code":-2010,"msg":"Account has insufficient balance for requested action."}}}}}}"#
    );
    for (row, _) in answers(409, &half) {
        let row = row.unwrap();
        let error = row.error.clone().unwrap();
        assert_eq!((error.kind(), error.code()), (ErrorKind::InsufficientFunds, Some("-2010")));
        assert_eq!(format!("{:?}", OrderRow { error: None, ..row }), format!("{:?}", canceled_row()));
    }
    // A page of some machine in between.
    let markets = markets();
    for (status, kind, retry) in [
        (403, ErrorKind::PermissionDenied, Retry::Never),
        (502, ErrorKind::ExchangeNotAvailable, Retry::Unknown),
        (200, ErrorKind::BadResponse, Retry::Unknown),
    ] {
        let reply = Reply { status, body: b"<html>", weight_used: None, retry_after_s: None };
        let error = open(1).on_order_reply(&OrderAct::Cancel, &reply, &cx(&markets)).unwrap_err();
        assert_eq!((error.kind(), error.retry(), error.venue()), (kind, retry, Some("binanceus")));
    }
}

#[test]
fn codes_of_the_card() {
    use ErrorKind::*;
    for (codes, message, kind) in [
        (&[-1000, -1001, -1006, -1010, -1008][..], "", OperationFailed),
        (&[-1007], "", RequestTimeout),
        (&[-1003, -1015], "", RateLimitExceeded),
        (&[-1002, -1022, -1125, -2008, -2014, -2015], "", AuthenticationError),
        (&[-1021], "", InvalidNonce),
        (&[-1013], "", BadRequest),
        (&[-1013], "Filter failure: LOT_SIZE", InvalidOrder),
        (&[-1013], "Filter failure: PRICE_FILTER", InvalidOrder),
        (&[-1013], "Price * QTY is zero or less.", InvalidOrder),
        (&[-1013, -2010, -2011], "Market is closed.", MarketClosed),
        (&[-1014], "", InvalidOrder),
        (&[-1100, -1101, -1102, -1103, -1104, -1105, -1106, -1111, -1114, -1115, -1116, -1117], "", BadRequest),
        (&[-1118, -1119, -1120, -1127, -1128, -1130, -1131], "", BadRequest),
        (&[-1108, -1121], "Invalid symbol.", BadSymbol),
        (&[-2010], "", InvalidOrder),
        (&[-2010], "Account has insufficient balance for requested action.", InsufficientFunds),
        (&[-2010], "Order would immediately match and take.", OrderImmediatelyFillable),
        (&[-2010], "Stop price would trigger immediately.", OrderImmediatelyFillable),
        (&[-2010], "Order would trigger immediately.", OrderImmediatelyFillable),
        (&[-2011, -2013], "", OrderNotFound),
        (&[-2010, -1013], "This symbol is not permitted for this account.", PermissionDenied),
        (&[-2010], "Rest API trading is not enabled.", PermissionDenied),
        (&[-2021, -2022], "", BadResponse),
        (&[-9999], "", ExchangeError),
    ] {
        for code in codes {
            assert_eq!(kind_of(*code, message), kind, "{code} {message}");
        }
    }
}

#[test]
fn damaged_messages_do_no_harm() {
    let (markets, mut adapter, mut out) = (markets(), open(0), PrivateRows::default());
    let answer = format!(r#"{{"id":7,"status":200,"result":{PLACED}}}"#);
    let refusal = r#"{"id":7,"status":409,"error":{"code":-2021,"msg":"m","data":{"cancelResponse":{"orderId":1},"newOrderResponse":{"code":-2010,"msg":"x"}}}}"#;
    let position =
        r#"{"subscriptionId":0,"event":{"e":"outboundAccountPosition","B":[{"a":"ETH","f":"1.5","l":"0.5"}]}}"#;
    let mut read = 0;
    damaged(&[NEW, &answer, refusal, position], 80_000, |frame| {
        out.clear();
        let result = adapter.on_frame(frame, &cx(&markets), &mut out);
        read += usize::from(result.is_ok() && !out.rows.is_empty());
        let reply = Reply { status: 409, body: frame, weight_used: None, retry_after_s: None };
        let _ = adapter.on_order_reply(&OrderAct::Cancel, &reply, &cx(&markets));
    });
    assert!(read > 1_000, "{read}");
}
