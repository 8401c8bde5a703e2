//! Questions by REST: exact requests, and answers of the documentation read to exact values.

use super::private::KrakenTrading;
use super::private_tests::{adapter, code, context, fixed, id, market, money, sample_markets};
use crate::book::Level;
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind};
use crate::market::Markets;
use crate::model::{
    Balance, Fee, Health, Id, LedgerKind, Liquidity, OrderKind, OrderStatus, PositionSide, TakerSide, Ticker,
    Timeframe, TransactionKind, TransactionStatus, Wall,
};
use crate::venue::shared::damaged;
use crate::venue::trading::{Fetch, Fetched, OrderAct, OrderRow, SignedRequest, Trading};
use crate::venue::{Method, Reply};

fn header<'r>(request: &'r SignedRequest, name: &str) -> &'r str {
    request.headers.iter().find(|header| header.0 == name).map_or("", |header| &header.1)
}

fn raw(path: &str, query: &[(&str, &str)], body: &str, private: bool) -> Fetch {
    let query = query.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Fetch::Raw { method: Method::Post, path: path.into(), query, body: body.into(), private }
}

#[test]
fn signatures_are_those_of_the_documentation() {
    let markets = sample_markets();
    let mut ours = adapter();
    let request = ours.request(&Fetch::Token, &context(&markets)).unwrap();
    assert_eq!((request.method, request.target.as_str()), (Method::Post, "/0/private/GetWebSocketsToken"));
    assert_eq!((&request.body[..], request.content_type), (&b"nonce=1700000000000"[..], FORM));
    assert_eq!(header(&request, "API-Key"), "my-key");
    assert_eq!(
        header(&request, "API-Sign"),
        "4e98GPq901F/0pkyR5qfeMaipPVLsFb8zulYlmy8ywEBpNgkKG7x7yqtfDOBDLZuO+K897P5JF05cQ3lZ9Bo1w=="
    );
    let again = ours.request(&Fetch::Token, &context(&markets)).unwrap();
    assert_eq!(again.body, b"nonce=1700000000001", "each one is greater");
    let members = [("ordertype", "limit"), ("pair", "XBTUSD"), ("price", "52000"), ("type", "buy"), ("volume", "0.01")];
    let request = adapter().request(&raw("/0/private/AddOrder", &members, "", true), &context(&markets)).unwrap();
    assert_eq!(
        header(&request, "API-Sign"),
        "PCHjEkN0ynZc7sPBSDMFRkbsykH2gcV6Q1gxHgci9c3Pp0T7ABDJAYe0V4cTjANIPKOEAr2RTPclJzTf5rnUdg=="
    );
    assert_eq!(request.body, b"nonce=1700000000000&ordertype=limit&pair=XBTUSD&price=52000&type=buy&volume=0.01");
    // The one that Kraken publishes.
    let secret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";
    let mut published = KrakenTrading::new(Some(&Credentials::new("key", secret))).unwrap();
    let mut cx = context(&markets);
    cx.now = Wall::from_ms(1_616_492_376_594);
    let body = "ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25";
    let request = published.request(&raw("/0/private/AddOrder", &[], body, true), &cx).unwrap();
    assert_eq!(
        header(&request, "API-Sign"),
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    );
    let shown = format!("{request:?}");
    assert_eq!(shown, "POST /0/private/AddOrder (80 bytes)");
}

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn raw_requests_go_as_they_are() {
    let markets = sample_markets();
    let request = |fetch: &Fetch| adapter().request(fetch, &context(&markets));
    let public = request(&raw("/0/public/Spread", &[("pair", "XBT/USD"), ("since", "1")], "", false)).unwrap();
    assert_eq!((public.target.as_str(), public.headers.len()), ("/0/public/Spread?pair=XBT%2FUSD&since=1", 0));
    let object = request(&raw("/0/private/CancelOrderBatch", &[], r#"{ "orders":["O1"]}"#, true)).unwrap();
    assert_eq!(object.body, br#"{"nonce":1700000000000,"orders":["O1"]}"#);
    assert_eq!(object.content_type, "application/json");
    let empty = request(&raw("/0/private/Balance", &[], "{}", true)).unwrap();
    assert_eq!(empty.body, br#"{"nonce":1700000000000}"#);
    let both = request(&raw("/0/private/Balance", &[("a", "b")], "{}", true)).unwrap_err();
    assert_eq!(both.kind(), ErrorKind::BadRequest);
    let reply = Reply { status: 502, body: b"<html>", weight_used: None, retry_after_s: None };
    let answer = adapter().on_reply(&raw("/", &[], "", false), &reply, &context(&markets)).unwrap();
    assert!(matches!(answer, Fetched::Raw { status: 502, body } if *body == *b"<html>"));
}

/// Each question with the target, or with the path and the form behind the nonce.
#[test]
fn questions_are_spelled_as_documented() {
    let markets = sample_markets();
    let btc = market(&markets, "BTC/USD").unwrap();
    let since = Some(Wall(1_616_663_618_500_000_000));
    let limit = Some(50);
    let currency = Some(code("BTC"));
    let timeframe = Timeframe::M5;
    for (fetch, expected) in [
        (Fetch::Time, "/0/public/Time"),
        (Fetch::Status, "/0/public/SystemStatus"),
        (Fetch::Currencies, "/0/public/Assets"),
        (Fetch::OrderBook { market: btc, limit: None }, "/0/public/Depth?pair=XBTUSD&count=100"),
        (Fetch::OrderBook { market: btc, limit: Some(1_000) }, "/0/public/Depth?pair=XBTUSD&count=500"),
        (Fetch::Ticker { market: btc }, "/0/public/Ticker?pair=XBTUSD"),
        (Fetch::Tickers, "/0/public/Ticker"),
        (Fetch::Trades { market: btc, since: None, limit: None }, "/0/public/Trades?pair=XBTUSD"),
        (
            Fetch::Trades { market: btc, since, limit },
            "/0/public/Trades?pair=XBTUSD&since=1616663618499999999&count=50",
        ),
        (
            Fetch::Ohlcv { market: btc, timeframe, since, limit },
            "/0/public/OHLC?pair=XBTUSD&interval=5&since=1616663318",
        ),
        (Fetch::Ohlcv { market: btc, timeframe, since: None, limit }, "/0/public/OHLC?pair=XBTUSD&interval=5"),
        (Fetch::Balance, "/0/private/BalanceEx "),
        (Fetch::Order { market: None, id: id("O1"), client_order_id: id("c") }, "/0/private/QueryOrders &txid=O1"),
        (
            Fetch::Order { market: None, id: Id::NONE, client_order_id: id("c/1") },
            "/0/private/OpenOrders &cl_ord_id=c%2F1",
        ),
        (Fetch::OpenOrders { market: Some(btc) }, "/0/private/OpenOrders "),
        (Fetch::ClosedOrders { market: None, since, limit }, "/0/private/ClosedOrders &start=1616663618"),
        (Fetch::MyTrades { market: None, since: None, limit }, "/0/private/TradesHistory "),
        (
            Fetch::MyTrades { market: None, since: Some(Wall::from_ms(1_616_663_618_000)), limit },
            "/0/private/TradesHistory &start=1616663617",
        ),
        (Fetch::Deposits { currency, since, limit }, "/0/private/DepositStatus &asset=XBT&start=1616663618"),
        (Fetch::Withdrawals { currency, since: None, limit }, "/0/private/WithdrawStatus &asset=XBT"),
        (Fetch::Ledger { currency: None, since: None, limit }, "/0/private/Ledgers "),
        (Fetch::Positions, "/0/private/OpenPositions &docalcs=true&consolidation=market"),
        (Fetch::TradingFees { market: Some(btc) }, "/0/private/TradeVolume &pair=XBTUSD"),
    ] {
        let request = adapter().request(&fetch, &context(&markets)).unwrap();
        let Some((path, form)) = expected.split_once(' ') else {
            assert_eq!((request.method, request.target.as_str(), request.body.len()), (Method::Get, expected, 0));
            let mut nobody = KrakenTrading::new(None).unwrap();
            assert_eq!(nobody.request(&fetch, &context(&markets)).unwrap(), request, "needs no credentials");
            continue;
        };
        assert_eq!((request.method, request.target.as_str()), (Method::Post, path));
        assert_eq!(String::from_utf8(request.body).unwrap(), format!("nonce=1700000000000{form}"));
        assert_eq!(request.headers.len(), 2);
        let refused = KrakenTrading::new(None).unwrap().request(&fetch, &context(&markets)).unwrap_err();
        assert_eq!((refused.kind(), refused.venue()), (ErrorKind::AuthenticationError, Some("kraken")));
    }
    let kind = |fetch: Fetch| adapter().request(&fetch, &context(&markets)).unwrap_err().kind();
    assert_eq!(kind(Fetch::RenewToken), ErrorKind::NotSupported);
    assert_eq!(kind(Fetch::TradingFees { market: None }), ErrorKind::ArgumentsRequired);
    let timeframe = Timeframe::H2;
    assert_eq!(kind(Fetch::Ohlcv { market: btc, timeframe, since, limit }), ErrorKind::NotSupported);
    let nothing = Fetch::Order { market: None, id: Id::NONE, client_order_id: Id::NONE };
    assert_eq!(kind(nothing), ErrorKind::ArgumentsRequired);
}

fn answer(markets: &Markets, fetch: &Fetch, status: u16, body: &str) -> Result<Fetched, Error> {
    let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
    adapter().on_reply(fetch, &reply, &context(markets))
}

fn result(markets: &Markets, fetch: &Fetch, result: &str) -> Fetched {
    answer(markets, fetch, 200, &format!(r#"{{"error":[],"result":{result}}}"#)).unwrap()
}

#[test]
fn time_status_and_currencies() {
    let markets = sample_markets();
    let time = result(&markets, &Fetch::Time, r#"{"unixtime":1591502873,"rfc1123":"Sun,  7 Jun 20 04:07:53 +0000"}"#);
    assert!(matches!(time, Fetched::Time(wall) if wall == Wall::from_ms(1_591_502_873_000)));
    let status = result(&markets, &Fetch::Status, r#"{"status":"maintenance","timestamp":".."}"#);
    let Fetched::Status(status) = status else { panic!() };
    assert_eq!((status.status, status.updated), (Health::Maintenance, Wall::from_ms(1_700_000_000_000)));
    let body = r#"{"XXBT":{"aclass":"currency","altname":"XBT","decimals":10,"display_decimals":5,"status":"enabled"},"XBT.F":{"status":"deposit_only","decimals":8}}"#;
    let Fetched::Currencies(list) = result(&markets, &Fetch::Currencies, body) else { panic!() };
    let rows: Vec<_> =
        list.iter().map(|c| (c.code, &*c.venue_code, c.active, c.deposit, c.withdraw, c.scale)).collect();
    assert_eq!(
        rows,
        [
            (code("BTC"), "XXBT", true, Some(true), Some(true), Some(10)),
            (code("BTC.F"), "XBT.F", false, Some(true), Some(false), Some(8)),
        ]
    );
}

#[test]
fn books_tickers_trades_and_candles() {
    let markets = sample_markets();
    let btc = market(&markets, "BTC/USD").unwrap();
    let body = r#"{"XXBTZUSD":{"asks":[["52523.00000","1.199",1616663113],["52536.90000","0.300",1616663112]],"bids":[["52522.95000","0.753",1616663112]]}}"#;
    let Fetched::OrderBook(book) = result(&markets, &Fetch::OrderBook { market: btc, limit: None }, body) else {
        panic!()
    };
    assert_eq!((book.price_scale, book.amount_scale, book.nonce), (2, 8, None), "one price is finer");
    assert_eq!(book.bids, [Level { price: 5_252_295, qty: 75_300_000 }]);
    assert_eq!(book.asks[1], Level { price: 5_253_690, qty: 30_000_000 });
    let row = r#"{"a":["52609.60000","1","1.000"],"b":["52609.50000","1","2.000"],"c":["52641.10000","0.00080000"],"v":["1920.83610601","7954.00219674"],"p":["52389.94668","54022.90683"],"t":[23329,80463],"l":["51513.90000","51513.80000"],"h":["53219.90000","57200.00000"],"o":"52280.40000"}"#;
    let expected = Ticker {
        high: fixed("57200"),
        low: fixed("51513.8"),
        bid: fixed("52609.5"),
        bid_volume: fixed("2"),
        ask: fixed("52609.6"),
        ask_volume: fixed("1"),
        vwap: fixed("54022.90683"),
        last: fixed("52641.1"),
        base_volume: fixed("7954.00219674"),
        ..Ticker::default()
    };
    let one = result(&markets, &Fetch::Ticker { market: btc }, &format!(r#"{{"XXBTZUSD":{row}}}"#));
    assert!(matches!(one, Fetched::Ticker(ticker) if *ticker == expected));
    let body = format!(r#"{{"XXBTZUSD":{row},"XETHXXBT":{row},"ETHUSDT":{row},"OTHER":{row}}}"#);
    let Fetched::Tickers(list) = result(&markets, &Fetch::Tickers, &body) else { panic!() };
    let found: Vec<_> = list.iter().map(|row| &*markets.market(row.0).unwrap().symbol).collect();
    assert_eq!(found, ["BTC/USD", "ETH/BTC", "ETH/USDT"]);

    let trades = |since, limit| {
        let body = r#"{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953]],"last":"1688671969993150842"}"#;
        match result(&markets, &Fetch::Trades { market: btc, since, limit }, body) {
            Fetched::Trades(rows) => rows,
            other => panic!("{other:?}"),
        }
    };
    let first = trades(None, None)[0];
    assert_eq!((first.id, first.venue_time), (id("61044952"), Some(Wall(1_688_669_597_827_736_900))));
    assert_eq!((Some(first.price), Some(first.amount)), (fixed("30243.4"), fixed("0.34507674")));
    assert_eq!((first.side, trades(None, None)[1].side), (Some(TakerSide::Buy), Some(TakerSide::Sell)));
    assert_eq!(trades(None, Some(1))[0].id, id("61044953"), "the newest");
    assert_eq!(trades(Some(Wall(5)), Some(1))[0].id, id("61044952"), "the oldest since then");
    assert_eq!(trades(Some(Wall(1_688_669_598_000_000_000)), None).len(), 1);

    let body = r#"{"XXBTZUSD":[[1688671200,"30306.1","30306.2","30305.7","30305.8","30306.1","3.39243896",23],[1688671260,"30304.5","30304.5","30300.0","30300.0","30300.0","4.42996871",18]],"last":1688672160}"#;
    let fetch = Fetch::Ohlcv { market: btc, timeframe: Timeframe::M1, since: None, limit: None };
    let Fetched::Candles(rows) = result(&markets, &fetch, body) else { panic!() };
    let c = rows[0];
    assert_eq!((c.open_time, c.trades, c.closed), (Wall::from_ms(1_688_671_200_000), Some(23), true));
    assert_eq!(
        [c.open, c.high, c.low, c.close, c.volume].map(Some),
        ["30306.1", "30306.2", "30305.7", "30305.8", "3.39243896"].map(fixed)
    );
    assert!(!rows[1].closed, "the last one still grows");
    let broken = answer(&markets, &fetch, 200, &format!(r#"{{"error":[],"result":{}}}"#, body.replace("30306.2", "x")));
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::BadResponse);
}

#[test]
fn balances_positions_fees_and_the_token() {
    let markets = sample_markets();
    let btc = market(&markets, "BTC/USD");
    let body = r#"{"ZUSD":{"balance":"200000.00","hold_trade":"1500.00"},"XXBT":{"balance":"0.5","hold_trade":"0.1","credit":"0","credit_used":"0.2"},"XBT.F":{"balance":"2.0"}}"#;
    let Fetched::Balances(rows) = result(&markets, &Fetch::Balance, body) else { panic!() };
    let row = |name: &str, free: &str, used: &str, total: &str| {
        let number = |text: &str| if text.is_empty() { None } else { money(text) };
        Balance { currency: code(name), free: number(free), used: number(used), total: number(total), debt: None }
    };
    assert_eq!(
        rows,
        [
            row("USD", "198500", "1500", "200000"),
            Balance { debt: money("0.2"), ..row("BTC", "0.4", "0.1", "0.5") },
            row("BTC.F", "", "", "2"),
        ]
    );
    let position = r#"{"ordertxid":"OYVGEW-DQCBM-123456","pair":"XXBTZUSD","time":1714500000.123,"type":"sell","ordertype":"market","cost":"30000.00","fee":"75.00","vol":"0.50000000","vol_closed":"0.10000000","margin":"10000.00","value":"24000.0","net":"+12.5","posstatus":"open"}"#;
    for body in [format!("[{position}]"), format!(r#"{{"TF4RHX-FZPAS-ABCDEF":{position}}}"#)] {
        let Fetched::Positions(rows) = result(&markets, &Fetch::Positions, &body) else { panic!() };
        assert_eq!((rows.len(), rows[0].market, rows[0].side), (1, btc, Some(PositionSide::Short)));
        assert_eq!((Some(rows[0].contracts), rows[0].entry_price), (money("0.4"), money("60000")));
        assert_eq!((rows[0].unrealized_pnl, rows[0].notional), (money("12.5"), money("24000")));
        assert_eq!((rows[0].initial_margin, rows[0].updated), (money("10000"), Some(Wall(1_714_500_000_123_000_000))));
    }
    let body = r#"{"currency":"ZUSD","volume":"0.0","fees":{"XXBTZUSD":{"fee":"0.2600"}},"fees_maker":{"XXBTZUSD":{"fee":"0.1600"}}}"#;
    let Fetched::TradingFees(rows) = result(&markets, &Fetch::TradingFees { market: btc }, body) else { panic!() };
    assert_eq!((rows[0].market, Some(rows[0].maker), Some(rows[0].taker)), (btc, money("0.0016"), money("0.0026")));
    let token =
        result(&markets, &Fetch::Token, r#"{"token":"1Dwc4lzSwNWOAwkMdqhssNNFhs1ed606d1WcF3XfEMw","expires":900}"#);
    let shown = format!("{token:?}");
    let Fetched::Token(token) = token else { panic!() };
    assert_eq!(token.reveal(), "1Dwc4lzSwNWOAwkMdqhssNNFhs1ed606d1WcF3XfEMw");
    assert!(!shown.contains("1Dwc"), "{shown}");
}

const CLOSED: &str = r#""OTLAS3-RRHUF-NDWH5A":{"refid":null,"userref":null,"cl_ord_id":"mine","status":"closed","reason":null,"opentm":1586822919.3342,"closetm":1586822919.365,"starttm":0,"expiretm":0,"descr":{"pair":"XBTUSDT","type":"sell","ordertype":"market","price":"0","price2":"0","leverage":"none","order":"sell 0.21804000 XBTUSDT @ market","close":""},"vol":"0.21804000","vol_exec":"0.21804000","cost":"1493.9","fee":"3.8","price":"6851.5","stopprice":"0.00000","limitprice":"0.00000","misc":"","oflags":"fciq","trades":["TT5UC3-GOIRW-6AZZ6R"]}"#;
const STOP: &str = r#""OYEQF4-FDE4C-NMUYUI":{"refid":null,"userref":0,"status":"open","opentm":1586822920.1234,"starttm":0,"expiretm":0,"descr":{"pair":"XXBTZUSD","type":"buy","ordertype":"stop-loss-limit","price":"1800.0","price2":"1810.5","leverage":"none","order":"..","close":""},"vol":"1.00000000","vol_exec":"0.00000000","cost":"0.00000","fee":"0.00000","price":"0","stopprice":"1800.0","limitprice":"0.00000","misc":"","oflags":"fcib,post"}"#;

#[test]
fn orders_by_rest() {
    let markets = sample_markets();
    let rows = |fetch: &Fetch, body: &str| match result(&markets, fetch, body) {
        Fetched::Orders(rows) => rows,
        other => panic!("{other:?}"),
    };
    let by_id = Fetch::Order { market: None, id: id("OTLAS3-RRHUF-NDWH5A"), client_order_id: id("other") };
    let expected = OrderRow {
        id: id("OTLAS3-RRHUF-NDWH5A"),
        client_order_id: id("mine"),
        market: market(&markets, "BTC/USDT"),
        status: Some(OrderStatus::Closed),
        side: Some(TakerSide::Sell),
        kind: Some(OrderKind::Market),
        post_only: Some(false),
        amount: fixed("0.21804"),
        filled: fixed("0.21804"),
        cost: money("1493.9"),
        average: money("6851.5"),
        created: Some(Wall(1_586_822_919_334_200_000)),
        updated: Some(Wall(1_586_822_919_365_000_000)),
        ..OrderRow::default()
    };
    let found = rows(&by_id, &format!("{{{CLOSED}}}"));
    assert_eq!(format!("{found:#?}"), format!("{:#?}", [expected]));
    let open = Fetch::OpenOrders { market: None };
    let stop = OrderRow {
        id: id("OYEQF4-FDE4C-NMUYUI"),
        market: market(&markets, "BTC/USD"),
        status: Some(OrderStatus::Open),
        side: Some(TakerSide::Buy),
        kind: Some(OrderKind::StopLimit),
        post_only: Some(true),
        price: fixed("1810.5"),
        trigger_price: fixed("1800"),
        amount: fixed("1"),
        filled: fixed("0"),
        cost: money("0.00000"),
        created: Some(Wall(1_586_822_920_123_400_000)),
        ..OrderRow::default()
    };
    let found = rows(&open, &format!(r#"{{"open":{{{STOP}}}}}"#));
    assert_eq!(format!("{found:#?}"), format!("{:#?}", [stop]));
    // Bought for an amount of the quote currency.
    let cost = CLOSED.replace(r#""oflags":"fciq""#, r#""oflags":"viqc,fciq""#);
    let found = rows(&by_id, &format!("{{{cost}}}"));
    assert_eq!((found[0].amount, found[0].filled, found[0].cost_ordered), (None, None, fixed("0.21804")));

    let two = format!(r#"{{"closed":{{{STOP},{CLOSED}}},"count":2}}"#);
    let closed = |market, since, limit| {
        let found = rows(&Fetch::ClosedOrders { market, since, limit }, &two);
        found.iter().map(|row| row.id.as_str().split('-').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(closed(None, None, None), ["OTLAS3", "OYEQF4"], "oldest first");
    assert_eq!(closed(None, None, Some(1)), ["OYEQF4"]);
    assert_eq!(closed(None, Some(Wall(5)), Some(1)), ["OTLAS3"]);
    assert_eq!(closed(None, Some(Wall(1_586_822_919_350_000_000)), None), ["OTLAS3", "OYEQF4"], "ended since then");
    assert_eq!(closed(None, Some(Wall(1_586_822_920_000_000_000)), None), ["OYEQF4"]);
    assert_eq!(closed(market(&markets, "BTC/USDT"), None, None), ["OTLAS3"]);
}

#[test]
fn an_order_is_looked_up_by_our_id_in_two_places() {
    let markets = sample_markets();
    let ours = Fetch::Order { market: None, id: Id::NONE, client_order_id: id("mine") };
    let found = |place: &str, rows: &str| match answer(
        &markets,
        &ours,
        200,
        &format!(r#"{{"error":[],"result":{{"{place}":{{{rows}}}}}}}"#),
    ) {
        Ok(Fetched::Orders(rows)) => Ok(rows.len()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.kind()),
    };
    assert_eq!(found("open", CLOSED), Ok(1));
    assert_eq!(found("open", STOP), Ok(0), "one of somebody else");
    assert_eq!(found("open", ""), Ok(0), "it may have ended");
    let further = adapter().request_further(&ours, &context(&markets)).unwrap().unwrap();
    assert_eq!(further.target, "/0/private/ClosedOrders");
    assert_eq!(further.body, b"nonce=1700000000000&cl_ord_id=mine");
    assert_eq!(found("closed", CLOSED), Ok(1));
    assert_eq!(found("closed", ""), Err(ErrorKind::OrderNotFound));
    let by_id = Fetch::Order { market: None, id: id("O1"), client_order_id: Id::NONE };
    assert!(adapter().request_further(&by_id, &context(&markets)).is_none());
    let error = answer(&markets, &by_id, 200, r#"{"error":[],"result":{}}"#).unwrap_err();
    assert_eq!((error.kind(), error.venue()), (ErrorKind::OrderNotFound, Some("kraken")));
}

#[test]
fn own_trades_transactions_and_the_ledger() {
    let markets = sample_markets();
    let (since, limit, currency) = (None, None, None);
    let body = r#"{"trades":{"TDCVFQ-TPEG4-6X7LSZ":{"ordertxid":"OYEQF4-FDE4C-NMUYUI","pair":"ETHUSDT","time":1688586440.3456,"type":"sell","ordertype":"market","price":"1799.75","cost":"1799.75","fee":"3.60","vol":"1.00000000","maker":false},"TCCCTY-WJ6EO-4FP4VZ":{"ordertxid":"O26VBY-ISGAE-JP5TLU","pair":"XXBTZUSD","time":1688585840.8921,"type":"buy","ordertype":"limit","price":"29500.50","cost":"14750.25","fee":"23.60","vol":"0.50000000","maker":true}},"count":2}"#;
    let Fetched::MyTrades(rows) = result(&markets, &Fetch::MyTrades { market: None, since, limit }, body) else {
        panic!()
    };
    let first = rows[0];
    assert_eq!((first.id, first.order), (id("TCCCTY-WJ6EO-4FP4VZ"), id("O26VBY-ISGAE-JP5TLU")));
    assert_eq!((first.market, first.side), (market(&markets, "BTC/USD"), TakerSide::Buy));
    assert_eq!(
        (Some(first.price), Some(first.amount), first.cost),
        (fixed("29500.5"), fixed("0.5"), money("14750.25"))
    );
    assert_eq!(first.fee, Some(Fee { currency: code("USD"), cost: money("23.6").unwrap() }));
    assert_eq!((first.liquidity, rows[1].liquidity), (Some(Liquidity::Maker), Some(Liquidity::Taker)));
    assert_eq!((first.venue_time, first.backfilled), (Some(Wall(1_688_585_840_892_100_000)), true));
    let fetch = Fetch::MyTrades { market: market(&markets, "ETH/USDT"), since, limit };
    assert!(matches!(result(&markets, &fetch, body), Fetched::MyTrades(rows) if rows.len() == 1));

    let list = r#"[{"method":"Ether (Hex)","aclass":"currency","asset":"XETH","refid":"Q2CANKL-LBFVEE-U4Y2WQ","txid":"0x57fd","info":"0x615f","amount":"7.9999257900","fee":"0.0010000000","time":1529223212,"status":"Success"},{"method":"Bitcoin","asset":"XXBT","refid":"Q3","amount":"1","time":1529223200,"status":"Success","status-prop":"on-hold"}]"#;
    for body in [list.to_owned(), format!(r#"{{"deposits":{list},"next_cursor":"HgAAAA"}}"#)] {
        let Fetched::Transactions(rows) = result(&markets, &Fetch::Deposits { currency, since, limit }, &body) else {
            panic!()
        };
        let (held, done) = (&rows[0], &rows[1]);
        assert_eq!((held.id, held.status), (id("Q3"), TransactionStatus::Pending));
        assert_eq!((done.id, done.kind), (id("Q2CANKL-LBFVEE-U4Y2WQ"), TransactionKind::Deposit));
        assert_eq!((done.currency, Some(done.amount)), (code("ETH"), money("7.99992579")));
        assert_eq!((done.txid.as_deref(), done.address.as_deref()), (Some("0x57fd"), Some("0x615f")));
        assert_eq!((done.network.as_deref(), done.status), (Some("Ether (Hex)"), TransactionStatus::Ok));
        assert_eq!(done.fee, Some(Fee { currency: code("ETH"), cost: money("0.001").unwrap() }));
        assert_eq!(done.created, Some(Wall::from_ms(1_529_223_212_000)));
    }
    for (word, status) in [
        ("Failure", TransactionStatus::Failed),
        ("Settled", TransactionStatus::Pending),
        ("Initial", TransactionStatus::Pending),
    ] {
        let body = list.replacen("Success", word, 1);
        let Fetched::Transactions(rows) = result(&markets, &Fetch::Withdrawals { currency, since, limit }, &body)
        else {
            panic!()
        };
        assert_eq!((rows[1].status, rows[1].kind), (status, TransactionKind::Withdrawal), "{word}");
    }

    let body = r#"{"ledger":{"L4UESK-KG3EQ-UFO4T5":{"refid":"TJKLXF-PGMUI-4NTLXU","time":1688464484.1787,"type":"trade","subtype":"","aclass":"currency","asset":"ZGBP","amount":"-24.5000","fee":"0.0490","balance":"459567.9171"},"LMKZCZ-Z3GVL-CXKK4H":{"refid":"TBZIP2-F6QOU-TMB6FY","time":1688444262.8888,"type":"rollover","asset":"XXBT","amount":"0.1","fee":"0"}},"count":2}"#;
    let Fetched::Ledger(rows) = result(&markets, &Fetch::Ledger { currency, since, limit }, body) else { panic!() };
    let (margin, trade) = (rows[0], rows[1]);
    assert_eq!((margin.kind, margin.currency, margin.after), (LedgerKind::Margin, code("BTC"), None));
    assert_eq!((trade.id, trade.reference), (id("L4UESK-KG3EQ-UFO4T5"), id("TJKLXF-PGMUI-4NTLXU")));
    assert_eq!((trade.kind, trade.currency), (LedgerKind::Trade, code("GBP")));
    assert_eq!((Some(trade.amount), trade.fee, trade.after), (money("-24.5"), money("0.049"), money("459567.9171")));
    assert_eq!(trade.venue_time, Some(Wall(1_688_464_484_178_700_000)));
}

#[test]
fn refusals_say_who_and_why() {
    let markets = sample_markets();
    let refused = |status, body: &str| answer(&markets, &Fetch::Balance, status, body).unwrap_err();
    let error = refused(200, r#"{"error":["EAPI:Invalid nonce"]}"#);
    assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidNonce, Some("EAPI")));
    assert_eq!(error.to_string(), "kraken: EAPI:Invalid nonce (code EAPI)");
    let error = refused(520, "<html>");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::ExchangeNotAvailable, "kraken: HTTP status 520 (code 520)")
    );
    assert_eq!(refused(503, r#"{"error":["EService:Unavailable"]}"#).code(), Some("EService"));
    assert_eq!(refused(403, r#"{"error":[],"result":{}}"#).kind(), ErrorKind::PermissionDenied);
    assert_eq!(refused(200, "<html>").kind(), ErrorKind::BadResponse);
    assert_eq!(refused(200, r#"{"error":[]}"#).kind(), ErrorKind::BadResponse);
    let warned = answer(&markets, &Fetch::Balance, 200, r#"{"error":["WGeneral:Danger"],"result":{}}"#);
    assert!(matches!(warned, Ok(Fetched::Balances(rows)) if rows.is_empty()));
    let reply = Reply { status: 200, body: b"{}", weight_used: None, retry_after_s: None };
    let error = adapter().on_order_reply(&OrderAct::Cancel, &reply, &context(&markets)).unwrap_err();
    assert_eq!((error.kind(), error.venue()), (ErrorKind::NotSupported, Some("kraken")));
}

#[test]
fn damaged_answers_never_panic() {
    let markets = sample_markets();
    let btc = market(&markets, "BTC/USD").unwrap();
    let (mut adapter, cx) = (adapter(), context(&markets));
    let body = format!(r#"{{"error":[],"result":{{"open":{{{STOP},{CLOSED}}}}}}}"#);
    let fetches = [
        Fetch::OpenOrders { market: None },
        Fetch::Balance,
        Fetch::Positions,
        Fetch::Tickers,
        Fetch::OrderBook { market: btc, limit: None },
        Fetch::Deposits { currency: None, since: None, limit: None },
    ];
    let mut turn = 0;
    damaged(&[&body], 5_000, |body| {
        let reply = Reply { status: 200, body, weight_used: None, retry_after_s: None };
        let _ = adapter.on_reply(&fetches[turn % fetches.len()], &reply, &cx);
        turn += 1;
    });
}
