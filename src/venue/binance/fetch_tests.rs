//! What is asked by REST, to the byte, and answers of the documentation, to the digit.

use super::private::Private;
use super::private_tests::{KEY, NOW, code, cx, decimal, fixed, id, markets, open, signed_query};
use super::*;
use crate::book::Level;
use crate::market::Markets;
use crate::model::{
    Balance, Candle, Currency, Fee, Id, Liquidity, MarketId, MyTrade, OrderKind, OrderStatus, TakerSide, TimeInForce,
    Trade, TradingFee, Transaction, TransactionKind, TransactionStatus,
};
use crate::venue::shared::damaged;
use crate::venue::{Fetch, Fetched, FetchedBook, OrderRow, SignedRequest, Trading};

fn ids(markets: &Markets) -> (MarketId, MarketId) {
    (markets.resolve("BTC/USDT").unwrap().id, markets.resolve("ETH/BTC").unwrap().id)
}

fn request(variant: usize, fetch: &Fetch) -> Result<SignedRequest, Error> {
    open(variant).request(fetch, &cx(&markets()))
}

fn reply(fetch: &Fetch, status: u16, body: &str) -> Result<Fetched, Error> {
    let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
    open(1).on_reply(fetch, &reply, &cx(&markets()))
}

fn read(fetch: &Fetch, body: &str) -> Fetched {
    reply(fetch, 200, body).unwrap()
}

/// The answer says exactly this.
fn expect(fetch: &Fetch, body: &str, expected: Fetched) {
    assert_eq!(format!("{:#?}", read(fetch, body)), format!("{expected:#?}"));
}

fn at(ms: i64) -> Option<Wall> {
    Some(Wall::from_ms(ms))
}

#[test]
fn public_questions() {
    let (btc, _) = ids(&markets());
    let (since, limit) = (at(1_699_999_000_000), Some(5_000));
    let none = (None, None);
    for (fetch, target, weights) in [
        (Fetch::Time, "/api/v3/time", [1, 1]),
        (Fetch::Status, "/sapi/v1/system/status", [1, 1]),
        (Fetch::OrderBook { market: btc, limit: None }, "/api/v3/depth?symbol=BTCUSDT&limit=100", [5, 1]),
        (Fetch::OrderBook { market: btc, limit: Some(150) }, "/api/v3/depth?symbol=BTCUSDT&limit=150", [25, 5]),
        (Fetch::OrderBook { market: btc, limit: Some(9_000) }, "/api/v3/depth?symbol=BTCUSDT&limit=5000", [250, 50]),
        (Fetch::Ticker { market: btc }, "/api/v3/ticker/24hr?symbol=BTCUSDT", [2, 1]),
        (Fetch::Tickers, "/api/v3/ticker/24hr", [80, 40]),
        (Fetch::Trades { market: btc, since: none.0, limit: none.1 }, "/api/v3/trades?symbol=BTCUSDT", [25, 1]),
        (
            Fetch::Trades { market: btc, since, limit },
            "/api/v3/aggTrades?symbol=BTCUSDT&startTime=1699999000000&limit=1000",
            [4, 1],
        ),
        (
            Fetch::Ohlcv { market: btc, timeframe: Timeframe::Month1, since, limit: Some(10) },
            "/api/v3/klines?symbol=BTCUSDT&interval=1M&startTime=1699999000000&limit=10",
            [2, 1],
        ),
    ] {
        for (variant, weight) in weights.into_iter().enumerate() {
            // Nobody has to say who he is.
            let mut adapter = Private::new(&VARIANTS[variant], None).unwrap();
            let asked = adapter.request(&fetch, &cx(&markets())).unwrap();
            assert_eq!(asked, SignedRequest::new(Method::Get, target.to_owned(), weight));
        }
    }
    let seconds = Fetch::Ohlcv { market: btc, timeframe: Timeframe::S1, since: None, limit: None };
    assert!(request(0, &seconds).is_ok());
    assert_eq!(request(1, &seconds).unwrap_err().kind(), ErrorKind::NotSupported);
}

#[test]
fn private_questions() {
    let (btc, _) = ids(&markets());
    let (since, limit) = (at(1_699_999_000_000), Some(10));
    let rows = "startTime=1699999000000&limit=10&";
    for (fetch, path, query, weights) in [
        (Fetch::Currencies, "/sapi/v1/capital/config/getall", String::new(), [10, 10]),
        (Fetch::Balance, "/api/v3/account", String::new(), [20, 10]),
        (
            Fetch::Order { market: Some(btc), id: id("5"), client_order_id: id("wb7") },
            "/api/v3/order",
            "symbol=BTCUSDT&orderId=5&".to_owned(),
            [4, 2],
        ),
        (
            Fetch::Order { market: Some(btc), id: Id::NONE, client_order_id: id("a/b") },
            "/api/v3/order",
            "symbol=BTCUSDT&origClientOrderId=a%2Fb&".to_owned(),
            [4, 2],
        ),
        (Fetch::OpenOrders { market: None }, "/api/v3/openOrders", String::new(), [80, 40]),
        (Fetch::OpenOrders { market: Some(btc) }, "/api/v3/openOrders", "symbol=BTCUSDT&".to_owned(), [6, 3]),
        (
            Fetch::ClosedOrders { market: Some(btc), since, limit },
            "/api/v3/allOrders",
            format!("symbol=BTCUSDT&{rows}"),
            [20, 10],
        ),
        (
            Fetch::MyTrades { market: Some(btc), since, limit },
            "/api/v3/myTrades",
            format!("symbol=BTCUSDT&{rows}"),
            [20, 10],
        ),
        (
            Fetch::Deposits { currency: Some(code("BTC")), since, limit },
            "/sapi/v1/capital/deposit/hisrec",
            format!("coin=BTC&{rows}"),
            [1, 1],
        ),
        (
            Fetch::Withdrawals { currency: None, since: None, limit: None },
            "/sapi/v1/capital/withdraw/history",
            String::new(),
            [1, 1],
        ),
    ] {
        for (variant, weight) in weights.into_iter().enumerate() {
            let asked = request(variant, &fetch).unwrap();
            assert_eq!((asked.method, asked.weight, asked.target.split('?').next()), (Method::Get, weight, Some(path)));
            assert_eq!(signed_query(&asked), format!("{query}timestamp=1700000000000"));
            let mut nobody = Private::new(&VARIANTS[variant], None).unwrap();
            let error = nobody.request(&fetch, &cx(&markets())).unwrap_err();
            assert_eq!(
                (error.kind(), error.venue()),
                (ErrorKind::AuthenticationError, Some(VARIANTS[variant].profile.id))
            );
        }
    }
    for (variant, path) in [(0, "/sapi/v1/asset/tradeFee"), (1, "/sapi/v1/asset/query/trading-fee")] {
        let asked = request(variant, &Fetch::TradingFees { market: Some(btc) }).unwrap();
        assert_eq!(asked.target.split('?').next(), Some(path));
        assert_eq!(signed_query(&asked), "symbol=BTCUSDT&timestamp=1700000000000");
        assert_eq!(
            signed_query(&request(variant, &Fetch::TradingFees { market: None }).unwrap()),
            "timestamp=1700000000000"
        );
    }
    let target = "/api/v3/account?timestamp=1700000000000&signature=3f883cb27a28812d84ba8e9ac8d3f031aec7d3a7a0e4f041ff79dff1a52037cd";
    assert_eq!(request(0, &Fetch::Balance).unwrap().target, target);
}

#[test]
fn questions_that_cannot_be_asked() {
    use ErrorKind::{ArgumentsRequired, BadSymbol, NotSupported};
    let (since, limit, other) = (None, None, MarketId { venue: crate::model::VenueId(9), index: 0 });
    for (fetch, kind) in [
        (Fetch::Positions, NotSupported),
        (Fetch::Ledger { currency: None, since, limit }, NotSupported),
        (Fetch::Token, NotSupported),
        (Fetch::RenewToken, NotSupported),
        (Fetch::MyTrades { market: None, since, limit }, ArgumentsRequired),
        (Fetch::ClosedOrders { market: None, since, limit }, ArgumentsRequired),
        (Fetch::Order { market: None, id: id("5"), client_order_id: Id::NONE }, ArgumentsRequired),
        (Fetch::Order { market: Some(ids(&markets()).0), id: Id::NONE, client_order_id: Id::NONE }, ArgumentsRequired),
        (Fetch::Ticker { market: other }, BadSymbol),
    ] {
        let error = request(0, &fetch).unwrap_err();
        assert_eq!((error.kind(), error.venue()), (kind, Some("binance")), "{error}");
    }
}

#[test]
fn listen_keys() {
    let asked = request(1, &Fetch::Token).unwrap();
    let headers = vec![("X-MBX-APIKEY", KEY.to_owned())];
    let expected = SignedRequest::new(Method::Post, "/api/v3/userDataStream".to_owned(), 1);
    assert_eq!(asked, SignedRequest { headers: headers.clone(), ..expected });
    let asked = request(1, &Fetch::RenewToken).unwrap();
    let target = "/api/v3/userDataStream?listenKey=pqia91ma19a5s61cv6a8".to_owned();
    assert_eq!(asked, SignedRequest { headers, ..SignedRequest::new(Method::Put, target, 1) });
    assert!(!format!("{asked:?}").contains("pqia91"));
    let Fetched::Token(token) = read(&Fetch::Token, r#"{"listenKey":"pqia91ma19a5s61cv6a8"}"#) else { panic!() };
    assert_eq!(token.reveal(), "pqia91ma19a5s61cv6a8");
    assert_eq!(reply(&Fetch::Token, 200, "{}").unwrap_err().kind(), ErrorKind::BadResponse);
    expect(&Fetch::RenewToken, "{}", Fetched::Done);
}

#[test]
fn raw_questions_are_signed_as_the_card_says() {
    let query = [
        ("symbol", "BTCUSDT"),
        ("side", "BUY"),
        ("type", "LIMIT"),
        ("timeInForce", "GTC"),
        ("quantity", "0.01000000"),
        ("price", "52000.00"),
        ("recvWindow", "5000"),
    ];
    let query = query.map(|(name, value)| (name.into(), value.into()));
    let raw = |query: &[(Box<str>, Box<str>)], body: &str, private| Fetch::Raw {
        method: Method::Post,
        path: "/api/v3/order".into(),
        query: query.into(),
        body: body.into(),
        private,
    };
    let expected = "/api/v3/order?symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01000000&price=52000.00&\
        recvWindow=5000&timestamp=1700000000000&\
        signature=5a03aeb288be8f8a54cf81e983fc402cb1148dd8f83d7c895de0c8bdc208ad23";
    assert_eq!(request(0, &raw(&query, "", true)).unwrap().target, expected);
    // The body is signed behind the query.
    let (query, body) = ([("recvWindow".into(), "5000".into())], "symbol=LTCBTC&side=BUY");
    let asked = request(0, &raw(&query, body, true)).unwrap();
    // openssl dgst -sha256 -hmac over "recvWindow=5000&timestamp=1700000000000symbol=LTCBTC&side=BUY".
    let signature = "1d40cafc6ee20abf4b0cb978c92ceb36029b812bbef6057fee924ab1d4f46184";
    let expected = format!("/api/v3/order?recvWindow=5000&timestamp=1700000000000&signature={signature}");
    assert_eq!((asked.target, asked.body.as_slice()), (expected, body.as_bytes()));
    let asked = request(0, &raw(&[], "", false)).unwrap();
    assert_eq!((asked.target.as_str(), asked.headers.len()), ("/api/v3/order", 0));
    // Whatever comes back is handed on.
    let Fetched::Raw { status, body } = reply(&raw(&[], "", false), 418, "<html>").unwrap() else { panic!() };
    assert_eq!((status, &*body), (418, &b"<html>"[..]));
}

#[test]
fn public_answers() {
    let (btc, eth) = ids(&markets());
    expect(&Fetch::Time, r#"{"serverTime":1499827319559}"#, Fetched::Time(Wall::from_ms(1_499_827_319_559)));
    for (body, status) in [(r#"{"status":0,"msg":"normal"}"#, Health::Ok), (r#"{"status":1}"#, Health::Maintenance)] {
        expect(&Fetch::Status, body, Fetched::Status(Status { status, updated: NOW, emulated: true }));
    }
    // Finer than the market's scales.
    let level = |price, qty| Level { price, qty };
    let book = FetchedBook {
        bids: vec![level(4_000, 431_000_000), level(3_999, 100_000)],
        asks: vec![level(4_200, 12_000_001)],
        price_scale: 3,
        amount_scale: 6,
        nonce: Some(1_027_024),
        venue_time: None,
    };
    let body = r#"{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"],["3.99900000","0.10000000"]],"asks":[["4.20000000","12.00000100"]]}"#;
    expect(&Fetch::OrderBook { market: btc, limit: None }, body, Fetched::OrderBook(book));
    for body in [r#"{"bids":[["x","1"]],"asks":[]}"#, r#"{"bids":[]}"#, r#"{"bids":[["1"]],"asks":[]}"#] {
        let error = reply(&Fetch::OrderBook { market: btc, limit: None }, 200, body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadResponse);
    }

    let row = r#"{"symbol":"ETHBTC","priceChange":"-94.99999800","priceChangePercent":"-95.960","weightedAvgPrice":"0.29628482","prevClosePrice":"0.10002000","lastPrice":"4.00000200","lastQty":"200.00000000","bidPrice":"4.00000000","bidQty":"100.00000000","askPrice":"4.00000200","askQty":"101.00000000","openPrice":"99.00000000","highPrice":"100.00000000","lowPrice":"0.10000000","volume":"8913.30000000","quoteVolume":"15.30000000","openTime":1499783499040,"closeTime":1499869899040,"firstId":28385,"lastId":28460,"count":76}"#;
    let some = |text: &str| Some(fixed(text));
    let ticker = crate::model::Ticker {
        venue_time: at(1_499_869_899_040),
        high: some("100"),
        low: some("0.1"),
        bid: some("4"),
        bid_volume: some("100"),
        ask: some("4.000002"),
        ask_volume: some("101"),
        vwap: some("0.29628482"),
        open: some("99"),
        last: some("4.000002"),
        previous_close: some("0.10002"),
        change: some("-94.999998"),
        percentage: some("-95.96"),
        base_volume: some("8913.3"),
        quote_volume: some("15.3"),
    };
    expect(&Fetch::Ticker { market: eth }, row, Fetched::Ticker(Box::new(ticker)));
    let body = format!("[{row},{}]", row.replace("ETHBTC", "NOBODY"));
    expect(&Fetch::Tickers, &body, Fetched::Tickers(vec![(eth, ticker)]));

    let fetch = Fetch::Trades { market: eth, since: None, limit: None };
    let trade = |number: &str, ms, side| Trade {
        id: id(number),
        venue_time: at(ms),
        price: fixed("4.000001"),
        amount: fixed("12"),
        side: Some(side),
    };
    let body = r#"[{"id":28458,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549591,"isBuyerMaker":false,"isBestMatch":true},{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]"#;
    let (first, second) =
        (trade("28457", 1_499_865_549_590, TakerSide::Sell), trade("28458", 1_499_865_549_591, TakerSide::Buy));
    expect(&fetch, body, Fetched::Trades(vec![first, second]));
    let body =
        r#"[{"a":28457,"p":"4.00000100","q":"12.00000000","f":27781,"l":27781,"T":1499865549590,"m":true,"M":true}]"#;
    expect(&fetch, body, Fetched::Trades(vec![first]));

    let candle = Candle {
        open_time: Wall::from_ms(1_499_040_000_000),
        venue_time: None,
        open: fixed("0.0163479"),
        high: fixed("0.8"),
        low: fixed("0.015758"),
        close: fixed("0.015771"),
        volume: fixed("148976.11427815"),
        quote_volume: some("2434.19055334"),
        trades: Some(308),
        closed: true,
    };
    let row = r#"[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,"2434.19055334",308,"1756.87402397","28.46694368","0"]"#;
    let now = row.replace("1499040000000", "1699999200000").replace("1499644799999", "1700002799999");
    let running = Candle { open_time: Wall::from_ms(1_699_999_200_000), closed: false, ..candle };
    let fetch = Fetch::Ohlcv { market: eth, timeframe: Timeframe::H1, since: None, limit: None };
    expect(&fetch, &format!("[{row},{now}]"), Fetched::Candles(vec![candle, running]));
}

#[test]
fn answers_about_the_account() {
    let (btc, eth) = ids(&markets());
    let body = r#"{"makerCommission":15,"canTrade":true,"balances":[{"asset":"BTC","free":"4723846.89208129","locked":"0.10000000"},{"asset":"LTC","free":"0.00000000","locked":"0.00000000"}]}"#;
    let (free, used, total) = (decimal("4723846.89208129"), decimal("0.10000000"), decimal("4723846.99208129"));
    expect(
        &Fetch::Balance,
        body,
        Fetched::Balances(vec![Balance { currency: code("BTC"), free, used, total, debt: None }]),
    );

    let row = r#"{"symbol":"ETHBTC","orderId":1,"orderListId":-1,"clientOrderId":"myOrder1","price":"0.1","origQty":"1.0","executedQty":"0.0","cummulativeQuoteQty":"0.0","status":"NEW","timeInForce":"GTC","type":"STOP_LOSS_LIMIT","side":"BUY","stopPrice":"0.05","icebergQty":"0.0","time":1499827319559,"updateTime":1499827319560,"isWorking":true,"workingTime":1499827319559,"origQuoteOrderQty":"0.000000","selfTradePreventionMode":"NONE"}"#;
    let order = OrderRow {
        id: id("1"),
        client_order_id: id("myOrder1"),
        market: Some(eth),
        status: Some(OrderStatus::Open),
        side: Some(TakerSide::Buy),
        kind: Some(OrderKind::StopLimit),
        time_in_force: Some(TimeInForce::Gtc),
        post_only: Some(false),
        price: Some(fixed("0.1")),
        trigger_price: Some(fixed("0.05")),
        amount: Some(fixed("1")),
        filled: Some(fixed("0")),
        cost: decimal("0.0"),
        created: at(1_499_827_319_559),
        updated: at(1_499_827_319_560),
        ..OrderRow::default()
    };
    let by_id = Fetch::Order { market: Some(eth), id: id("1"), client_order_id: Id::NONE };
    expect(&by_id, row, Fetched::Orders(vec![order.clone()]));
    let later =
        row.replace("\"orderId\":1", "\"orderId\":2").replace("\"time\":1499827319559", "\"time\":1499827319600");
    let later_order = OrderRow { id: id("2"), created: at(1_499_827_319_600), ..order.clone() };
    let open_orders = Fetch::OpenOrders { market: None };
    expect(&open_orders, &format!("[{later},{row}]"), Fetched::Orders(vec![order, later_order.clone()]));
    let ended = later.replace("NEW", "EXPIRED_IN_MATCH");
    let ended_order = OrderRow { status: Some(OrderStatus::Expired), ..later_order };
    let closed = Fetch::ClosedOrders { market: Some(eth), since: None, limit: None };
    expect(&closed, &format!("[{row},{ended}]"), Fetched::Orders(vec![ended_order]));
    // Costs that the venue does not have are below zero.
    let Fetched::Orders(rows) = read(&by_id, &row.replace("Qty\":\"0.0\",\"status", "Qty\":\"-1.0\",\"status")) else {
        panic!()
    };
    assert_eq!((rows[0].cost, rows[0].average), (None, None));

    let body = r#"[{"symbol":"ETHBTC","id":28457,"orderId":100234,"orderListId":-1,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","commission":"10.10000000","commissionAsset":"BNB","time":1499865549590,"isBuyer":true,"isMaker":false,"isBestMatch":true}]"#;
    let trade = MyTrade {
        id: id("28457"),
        order: id("100234"),
        market: Some(eth),
        venue_time: at(1_499_865_549_590),
        side: TakerSide::Buy,
        price: fixed("4.000001"),
        amount: fixed("12"),
        cost: decimal("48.000012"),
        liquidity: Some(Liquidity::Taker),
        fee: Some(Fee { currency: code("BNB"), cost: decimal("10.10000000").unwrap() }),
        backfilled: false,
    };
    expect(&Fetch::MyTrades { market: Some(eth), since: None, limit: None }, body, Fetched::MyTrades(vec![trade]));

    let body = r#"[{"symbol":"BTCUSDT","makerCommission":"0.001","takerCommission":"0.002"},{"symbol":"NOBODY","makerCommission":"0","takerCommission":"0"}]"#;
    let fee = TradingFee { market: Some(btc), maker: decimal("0.001").unwrap(), taker: decimal("0.002").unwrap() };
    expect(&Fetch::TradingFees { market: None }, body, Fetched::TradingFees(vec![fee]));

    let body = r#"[{"coin":"AGLD","depositAllEnable":true,"withdrawAllEnable":false,"name":"Adventure Gold","free":"0","locked":"0","isLegalMoney":false,"trading":true,"networkList":[{"network":"ETH"}]}]"#;
    let currency = Currency {
        name: Some("Adventure Gold".into()),
        deposit: Some(true),
        withdraw: Some(false),
        ..Currency::new(code("AGLD"), "AGLD")
    };
    expect(&Fetch::Currencies, body, Fetched::Currencies(vec![currency]));
}

#[test]
fn deposits_and_withdrawals() {
    let fetch = Fetch::Deposits { currency: None, since: None, limit: None };
    let body = r#"[{"id":"769800519366885376","amount":"0.001","coin":"BNB","network":"BNB","status":1,"address":"bnb136ns6","addressTag":"101764890","txId":"98A3EA560C6B3336","insertTime":1661493146000,"completeTime":1661493146999,"transferType":0,"confirmTimes":"1/1"},{"id":"1","amount":"0.50000000","coin":"BTC","network":"BTC","status":0,"address":"x","addressTag":"","txId":"","insertTime":1566791463000}]"#;
    let first = Transaction {
        network: Some("BTC".into()),
        address: Some("x".into()),
        created: at(1_566_791_463_000),
        ..Transaction::new(id("1"), TransactionKind::Deposit, code("BTC"), decimal("0.50000000").unwrap())
    };
    let new =
        Transaction::new(id("769800519366885376"), TransactionKind::Deposit, code("BNB"), decimal("0.001").unwrap());
    let second = Transaction {
        txid: Some("98A3EA560C6B3336".into()),
        network: Some("BNB".into()),
        status: TransactionStatus::Ok,
        address: Some("bnb136ns6".into()),
        tag: Some("101764890".into()),
        created: at(1_661_493_146_000),
        updated: at(1_661_493_146_999),
        ..new
    };
    expect(&fetch, body, Fetched::Transactions(vec![first, second]));

    let fetch = Fetch::Withdrawals { currency: None, since: None, limit: None };
    let body = r#"[{"id":"b6ae22b3aa844210a7041aee7589627c","amount":"8.91000000","transactionFee":"0.004","coin":"USDT","status":6,"address":"0x94df8b35","txId":"0xb5ef8c13","applyTime":"2019-10-12 11:12:02","network":"ETH","transferType":0,"withdrawOrderId":"test","completeTime":"2023-03-23 16:52:41"}]"#;
    let usdt = code("USDT");
    let new = Transaction::new(
        id("b6ae22b3aa844210a7041aee7589627c"),
        TransactionKind::Withdrawal,
        usdt,
        decimal("8.91000000").unwrap(),
    );
    let row = Transaction {
        txid: Some("0xb5ef8c13".into()),
        network: Some("ETH".into()),
        status: TransactionStatus::Ok,
        address: Some("0x94df8b35".into()),
        fee: Some(Fee { currency: usdt, cost: decimal("0.004").unwrap() }),
        created: at(1_570_878_722_000),
        updated: at(1_679_590_361_000),
        ..new
    };
    expect(&fetch, body, Fetched::Transactions(vec![row]));
}

#[test]
fn states_of_deposits_and_withdrawals() {
    use TransactionStatus::{Canceled, Failed, Ok, Pending};
    let (currency, since, limit) = (None, None, None);
    let deposits = Fetch::Deposits { currency, since, limit };
    let withdrawals = Fetch::Withdrawals { currency, since, limit };
    let status = |fetch: &Fetch, number: u8| {
        let body = format!(r#"[{{"id":"1","amount":"1","coin":"X","status":{number}}}]"#);
        let Fetched::Transactions(rows) = read(fetch, &body) else { panic!() };
        rows[0].status
    };
    assert_eq!([0, 1, 2, 6, 7, 8].map(|n| status(&deposits, n)), [Pending, Ok, Failed, Ok, Failed, Pending]);
    let expected = [Pending, Canceled, Pending, Failed, Pending, Failed, Ok];
    assert_eq!([0, 1, 2, 3, 4, 5, 6].map(|n| status(&withdrawals, n)), expected);
}

#[test]
fn refusals_by_rest() {
    let fetch = Fetch::Balance;
    for (status, body, kind, code) in [
        (400, r#"{"code":-1121,"msg":"Invalid symbol."}"#, ErrorKind::BadSymbol, Some("-1121")),
        (401, r#"{"code":-2015,"msg":"Invalid API-key"}"#, ErrorKind::AuthenticationError, Some("-2015")),
        (418, r#"{"code":-1003,"msg":"banned"}"#, ErrorKind::DdosProtection, Some("-1003")),
        (429, "", ErrorKind::RateLimitExceeded, None),
        (503, "<html>", ErrorKind::ExchangeNotAvailable, None),
        (200, "<html>", ErrorKind::BadResponse, None),
        (200, "{}", ErrorKind::BadResponse, None),
    ] {
        let error = reply(&fetch, status, body).unwrap_err();
        assert_eq!((error.kind(), error.code(), error.venue()), (kind, code, Some("binanceus")), "{body}");
    }
    assert_eq!(reply(&Fetch::Tickers, 200, "{}").unwrap_err().kind(), ErrorKind::BadResponse);
}

#[test]
fn damaged_answers_do_no_harm() {
    let (markets, mut adapter) = (markets(), open(0));
    let (btc, _) = ids(&markets);
    let (market, since, limit, currency) = (Some(btc), None, None, None);
    let all = [
        Fetch::Time,
        Fetch::Currencies,
        Fetch::OrderBook { market: btc, limit },
        Fetch::Ticker { market: btc },
        Fetch::Trades { market: btc, since, limit },
        Fetch::Ohlcv { market: btc, timeframe: Timeframe::M1, since, limit },
        Fetch::Balance,
        Fetch::OpenOrders { market },
        Fetch::MyTrades { market, since, limit },
        Fetch::Deposits { currency, since, limit },
        Fetch::Withdrawals { currency, since, limit },
        Fetch::TradingFees { market },
    ];
    let row = r#"[{"id":1,"price":"1","qty":"2","time":3,"coin":"X","amount":"4","status":6,"applyTime":"2019-10-12 11:12:02"}]"#;
    let book = r#"{"serverTime":1,"bids":[["1.5","2"]],"asks":[],"balances":[{"asset":"A","free":"1"}]}"#;
    let mut turn = 0;
    damaged(&[row, book, r#"[[1,"2","3","4","5","6",7,"8",9]]"#], 60_000, |body| {
        turn += 1;
        let reply = Reply { status: 200, body, weight_used: None, retry_after_s: None };
        let _ = adapter.on_reply(&all[turn % all.len()], &reply, &cx(&markets));
    });
}
