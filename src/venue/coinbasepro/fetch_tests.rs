//! REST: questions in, exact requests out; answers in, exact rows out.

use super::private_tests::{Bench, NOW, fixed, id, money, rest_order, usd};
use super::*;
use crate::model::*;
use crate::venue::trading::{Context, Fetch, Fetched, FetchedBook, OrderRow};

fn raw(method: Method, path: &str, query: &[(&str, &str)], body: &str, private: bool) -> Fetch {
    let query = query.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Fetch::Raw { method, path: path.into(), query, body: body.into(), private }
}

#[test]
fn requests_are_signed_as_documented() {
    let mut bench = Bench::new();
    let get = bench.request(&Fetch::Balance).unwrap();
    let headers = [
        ("CB-ACCESS-KEY", "testKey0001"),
        ("CB-ACCESS-SIGN", "Azb8igdWGSwwiVDoIezT0H7KOlcOrnpL3rlPF+c10pw="),
        ("CB-ACCESS-TIMESTAMP", "1700000000"),
        ("CB-ACCESS-PASSPHRASE", "a \"b\""),
    ];
    assert_eq!((get.method, &*get.target, get.body.len()), (Method::Get, "/accounts", 0));
    assert_eq!(get.headers, headers.map(|(name, value)| (name, value.to_owned())));
    let body = r#"{"type":"limit","side":"buy","product_id":"BTC-USD","size":"0.001","price":"30000.00"}"#;
    let post = bench.request(&raw(Method::Post, "/orders", &[], body, true)).unwrap();
    assert_eq!(post.headers[1].1, "gVgo5Z/4CAOGqORsoFkp8cPA1R8/yvTMDp5flJew9Sc=");
    assert_eq!((&*post.body, post.content_type), (body.as_bytes(), "application/json"));
    let public = bench.request(&raw(Method::Get, "/x", &[("a", "b c"), ("d", "e")], "", false)).unwrap();
    assert_eq!((&*public.target, public.headers.len()), ("/x?a=b%20c&d=e", 0));
    assert!(matches!(
        bench.reply(&raw(Method::Get, "/x", &[], "", true), 404, "no").unwrap(),
        Fetched::Raw { status: 404, body } if *body == *b"no"
    ));
    let error = Bench::of(None).request(&Fetch::Balance).unwrap_err();
    assert_eq!((error.kind(), error.venue()), (ErrorKind::AuthenticationError, Some("coinbasepro")));
    assert_eq!(Bench::of(None).request(&Fetch::Time).unwrap().target, "/time");
}

/// 2023-11-14T22:13:20.250Z is [`NOW`].
const AN_HOUR_AGO: Option<Wall> = Some(Wall(1_699_996_400_250_000_000));

#[test]
fn each_question_has_its_target() {
    let mut bench = Bench::new();
    let btc = bench.market("BTC/USD");
    let (market, since, limit, currency) = (Some(btc), AN_HOUR_AGO, Some(5), Code::new(b"BTC"));
    let (none, all) = (Id::NONE, None);
    for (fetch, target) in [
        (Fetch::Time, "/time"),
        (Fetch::Status, "/time"),
        (Fetch::Currencies, "/currencies"),
        (Fetch::OrderBook { market: btc, limit: None }, "/products/BTC-USD/book?level=2"),
        (Fetch::OrderBook { market: btc, limit: Some(1) }, "/products/BTC-USD/book?level=1"),
        (Fetch::Ticker { market: btc }, "/products/BTC-USD/ticker"),
        (Fetch::Trades { market: btc, since, limit: Some(9_000) }, "/products/BTC-USD/trades?limit=1000"),
        (
            Fetch::Ohlcv { market: btc, timeframe: Timeframe::M1, since: None, limit },
            "/products/BTC-USD/candles?granularity=60",
        ),
        (
            Fetch::Ohlcv { market: btc, timeframe: Timeframe::M1, since, limit },
            "/products/BTC-USD/candles?granularity=60&start=2023-11-14T21%3A14%3A00.000Z&end=2023-11-14T21%3A18%3A00.000Z",
        ),
        (Fetch::Balance, "signed /accounts"),
        (Fetch::Order { market, id: id("a9"), client_order_id: id("b15") }, "signed /orders/a9"),
        (Fetch::Order { market, id: none, client_order_id: id("b15") }, "signed /orders/client:b15"),
        (Fetch::OpenOrders { market: all }, "signed /orders?status=open&status=pending&status=active&limit=1000"),
        (
            Fetch::OpenOrders { market },
            "signed /orders?status=open&status=pending&status=active&product_id=BTC-USD&limit=1000",
        ),
        (
            Fetch::ClosedOrders { market, since, limit },
            "signed /orders?status=done&product_id=BTC-USD&start_date=2023-11-14T21%3A13%3A20.250Z&limit=5",
        ),
        (
            Fetch::MyTrades { market, since, limit },
            "signed /fills?product_id=BTC-USD&start_date=2023-11-14T21%3A13%3A20.250Z&limit=5",
        ),
        (Fetch::Deposits { currency, since, limit }, "signed /transfers?type=deposit&limit=5"),
        (Fetch::Withdrawals { currency, since, limit: None }, "signed /transfers?type=withdraw"),
        (Fetch::TradingFees { market: all }, "signed /fees"),
    ] {
        let request = bench.request(&fetch).unwrap();
        assert_eq!((request.method, request.body.len(), request.weight), (Method::Get, 0, 1));
        let signed = if request.headers.is_empty() { "" } else { "signed " };
        assert_eq!(format!("{signed}{}", request.target), target);
    }
    let timeframe = Timeframe::H4;
    for (fetch, kind, text) in [
        (Fetch::Tickers, ErrorKind::NotSupported, "has no tickers of all markets at once: ask for one"),
        (Fetch::Positions, ErrorKind::NotSupported, "has no positions: it trades spot only"),
        (Fetch::Token, ErrorKind::NotSupported, "has no tokens: the private channel is signed"),
        (
            Fetch::Ohlcv { market: btc, timeframe, since: None, limit: None },
            ErrorKind::NotSupported,
            "has no candles of 4h; it has 1m, 5m, 15m, 1h, 6h, 1d",
        ),
        (
            Fetch::MyTrades { market: all, since, limit },
            ErrorKind::ArgumentsRequired,
            "lists own trades by market: name one",
        ),
        (
            Fetch::Ledger { currency: None, since, limit },
            ErrorKind::ArgumentsRequired,
            "keeps a ledger of each currency: name one",
        ),
        (
            Fetch::Order { market, id: none, client_order_id: none },
            ErrorKind::ArgumentsRequired,
            "needs the id of the order, or the client order id",
        ),
    ] {
        let error = bench.request(&fetch).unwrap_err();
        assert_eq!((error.kind(), error.message(), error.venue()), (kind, text, Some("coinbasepro")));
    }
}

fn orders(bench: &mut Bench, body: &str) -> Vec<OrderRow> {
    match bench.reply(&Fetch::OpenOrders { market: None }, 200, body).unwrap() {
        Fetched::Orders(rows) => rows,
        other => panic!("{other:?}"),
    }
}

#[test]
fn states_and_kinds_of_orders() {
    let mut bench = Bench::new();
    use OrderStatus::{Canceled, Closed, Open, Rejected};
    for (text, status) in [
        (r#""status":"pending""#, Open),
        (r#""status":"active""#, Open),
        (r#""status":"canceling""#, Open),
        (r#""status":"done","done_reason":"filled""#, Closed),
        (r#""status":"done","done_reason":"canceled""#, Canceled),
        (r#""status":"done""#, Closed),
        (r#""status":"rejected""#, Rejected),
    ] {
        let list = orders(&mut bench, &format!("[{}]", rest_order().replace(r#""status":"open""#, text)));
        assert_eq!((list[0].status, list[0].error.is_some()), (Some(status), status == Rejected), "{text}");
    }
    for (stop, side, kind) in [
        ("loss", "sell", OrderKind::StopLimit),
        ("entry", "buy", OrderKind::StopLimit),
        ("loss", "buy", OrderKind::TakeProfitLimit),
        ("entry", "sell", OrderKind::TakeProfitLimit),
    ] {
        let text = format!(r#""side":"{side}","stop":"{stop}","stop_price":"401""#);
        let list = orders(&mut bench, &format!("[{}]", rest_order().replace(r#""side":"buy""#, &text)));
        assert_eq!((list[0].kind, list[0].trigger_price), (Some(kind), fixed("401")), "{text}");
    }
    let funds = rest_order().replace(r#""size":"0.50000000""#, r#""funds":"99.5","specified_funds":"100""#);
    let list = orders(&mut bench, &format!(r#"[{{"id":"2"}},{},{{"price":"1"}}]"#, funds.replace("limit", "market")));
    assert_eq!((list[0].amount, list[0].cost_ordered, list[0].kind), (None, fixed("100"), Some(OrderKind::Market)));
    assert_eq!((list[1].id, list[1].status, list.len()), (id("2"), None, 2), "oldest first");
    let one = Fetch::Order { market: None, id: id("1"), client_order_id: Id::NONE };
    assert!(matches!(bench.reply(&one, 200, &rest_order()).unwrap(), Fetched::Orders(rows) if rows.len() == 1));
    assert_eq!(bench.reply(&one, 404, r#"{"message":"NotFound"}"#).unwrap_err().kind(), ErrorKind::OrderNotFound);
}

#[test]
fn public_answers() {
    let mut bench = Bench::new();
    let btc = bench.market("BTC/USD");
    let time = bench.reply(&Fetch::Time, 200, r#"{"iso":"2023-11-14T22:13:20.250Z","epoch":1700000000.250}"#).unwrap();
    assert!(matches!(time, Fetched::Time(NOW)));
    let status = bench.reply(&Fetch::Status, 200, "{}").unwrap();
    assert!(matches!(status, Fetched::Status(Status { status: Health::Ok, updated: NOW, emulated: true })));
    let text = r#"[{"id":"CGLD","name":"Celo","status":"online","max_precision":"0.00010000"},{"id":"X","status":"delisted"},{"name":"?"}]"#;
    let Fetched::Currencies(list) = bench.reply(&Fetch::Currencies, 200, text).unwrap() else { panic!() };
    assert_eq!((list[0].code.as_str(), &*list[0].venue_code, list[0].name.as_deref()), ("CELO", "CGLD", Some("Celo")));
    assert_eq!((list[0].active, list[0].scale, list[1].active, list.len()), (true, Some(4), false, 2));

    let text = r#"{"sequence":19,"bids":[["40000.5","1",2],["40000","2",1]],"asks":[["40001","0.123456789",4]],"time":"2023-11-14T22:13:20.250Z"}"#;
    let fetch = Fetch::OrderBook { market: btc, limit: Some(1) };
    let Fetched::OrderBook(book) = bench.reply(&fetch, 200, text).unwrap() else { panic!() };
    let expected = FetchedBook {
        bids: vec![Level { price: 4_000_050, qty: 1_000_000_000 }],
        asks: vec![Level { price: 4_000_100, qty: 123_456_789 }],
        price_scale: 2,
        amount_scale: 9,
        nonce: Some(19),
        venue_time: Some(NOW),
    };
    assert_eq!(book, expected);
    assert_eq!(bench.reply(&fetch, 200, r#"{"bids":[["a"]],"asks":[]}"#).unwrap_err().kind(), ErrorKind::BadResponse);

    let text = r#"{"trade_id":84,"price":"0.997","size":"80.2","time":"2023-11-14T22:13:20.25Z","bid":"0.99","ask":"0.998","volume":"1903188.0375"}"#;
    let Fetched::Ticker(ticker) = bench.reply(&Fetch::Ticker { market: btc }, 200, text).unwrap() else { panic!() };
    let expected = Ticker {
        venue_time: Some(NOW),
        bid: fixed("0.99"),
        ask: fixed("0.998"),
        last: fixed("0.997"),
        base_volume: fixed("1903188.0375"),
        ..Ticker::default()
    };
    assert_eq!(*ticker, expected);

    let text = r#"[{"trade_id":"3","side":"sell","size":"0.2","price":"25820","time":"2023-11-14T22:13:20.25Z"},{"trade_id":2,"side":"buy","size":"0.1","price":"25819","time":"2023-11-14T20:00:00Z"}]"#;
    let mut trades = |since| match bench.reply(&Fetch::Trades { market: btc, since, limit: None }, 200, text).unwrap() {
        Fetched::Trades(trades) => trades,
        other => panic!("{other:?}"),
    };
    let all = trades(None);
    assert_eq!((all[0].id.as_str(), all[0].side, all[1].side), ("2", Some(TakerSide::Sell), Some(TakerSide::Buy)));
    assert_eq!((all[1].venue_time, Some(all[1].price), Some(all[1].amount)), (Some(NOW), fixed("25820"), fixed("0.2")));
    assert_eq!(trades(AN_HOUR_AGO).len(), 1);
}

#[test]
fn candles_are_those_that_were_asked_for() {
    let mut bench = Bench::new();
    let text = r#"[[1699999980,1.5,4.5,2.5,3.5,10.25],[1699999920,1,4,2,3,10],[1699999860,1,4,2,3,9]]"#;
    let mut candles = |since, limit| {
        let fetch = Fetch::Ohlcv { market: bench.market("BTC/USD"), timeframe: Timeframe::M1, since, limit };
        match bench.reply(&fetch, 200, text).unwrap() {
            Fetched::Candles(candles) => candles,
            other => panic!("{other:?}"),
        }
    };
    let all = candles(None, None);
    assert_eq!((all.len(), all[0].volume, all[1].closed), (3, fixed("9").unwrap(), true));
    let expected = Candle {
        open_time: Wall(1_699_999_980_000_000_000),
        venue_time: None,
        open: fixed("2.5").unwrap(),
        high: fixed("4.5").unwrap(),
        low: fixed("1.5").unwrap(),
        close: fixed("3.5").unwrap(),
        volume: fixed("10.25").unwrap(),
        quote_volume: None,
        trades: None,
        closed: false,
    };
    assert_eq!(all[2], expected);
    assert_eq!(candles(None, Some(1)), [expected], "the newest");
    let second = candles(Some(Wall(1_699_999_900_000_000_000)), Some(1));
    assert_eq!(second[0].open_time, Wall(1_699_999_920_000_000_000), "the oldest");
}

const ACCOUNTS: &str = r#"[{"id":"acc-1","currency":"BTC","balance":"1.1000","available":"1.00","hold":"0.1000","profile_id":"75","trading_enabled":true},{"id":"acc-2","currency":"CGLD","balance":"0.0000","available":"0","hold":"0"}]"#;

#[test]
fn balances_leave_out_what_is_not_held() {
    let Fetched::Balances(rows) = Bench::new().reply(&Fetch::Balance, 200, ACCOUNTS).unwrap() else { panic!() };
    let currency = Code::new(b"BTC").unwrap();
    let expected = Balance { currency, free: money("1"), used: money("0.1"), total: money("1.1"), debt: None };
    assert_eq!(rows, [expected]);
}

const LEDGER: &str = r#"[{"id":"12","amount":"-0.0100","balance":"0.0645","created_at":"2023-11-14T22:13:20.25Z","type":"transfer","details":{"from":"a","profile_transfer_id":"pt","to":"b"}},{"id":"11","amount":"-1.75","balance":"0.0016","created_at":"2023-11-14T22:13:20.25Z","type":"fee","details":{"order_id":"or","product_id":"ETH-DAI","trade_id":"1740617"}}]"#;

#[test]
fn a_ledger_goes_by_the_account_which_the_balance_names() {
    let mut bench = Bench::new();
    let ledger = |code: &[u8]| Fetch::Ledger { currency: Code::new(code), since: AN_HOUR_AGO, limit: Some(5) };
    let celo = ledger(b"CELO");
    let error = bench.request(&celo).unwrap_err();
    assert_eq!((error.kind(), error.venue()), (ErrorKind::ArgumentsRequired, Some("coinbasepro")));
    assert!(error.message().ends_with("fetch the balance first"), "{error}");
    bench.reply(&Fetch::Balance, 200, ACCOUNTS).unwrap();
    let request = bench.request(&celo).unwrap();
    assert_eq!(request.target, "/accounts/acc-2/ledger?start_date=2023-11-14T21%3A13%3A20.250Z&limit=5");
    assert_eq!(request.headers.len(), 4);
    assert_eq!(bench.request(&ledger(b"XYZ")).unwrap_err().kind(), ErrorKind::ArgumentsRequired);
    let Fetched::Ledger(rows) = bench.reply(&celo, 200, LEDGER).unwrap() else { panic!() };
    let currency = Code::new(b"CELO").unwrap();
    let fee = LedgerEntry {
        reference: id("1740617"),
        after: money("0.0016"),
        venue_time: Some(NOW),
        ..LedgerEntry::new(id("11"), LedgerKind::Fee, currency, money("-1.75").unwrap())
    };
    assert_eq!((rows[0], rows[1].kind, rows[1].reference), (fee, LedgerKind::Transfer, id("pt")));
}

#[test]
fn own_trades_fees_and_transfers() {
    let mut bench = Bench::new();
    let market = Some(bench.market("BTC/USD"));
    let (since, limit, currency) = (None, None, None);
    let text = r#"[{"trade_id":74,"product_id":"BTC-USD","price":"10.00","size":"0.01","order_id":"or","created_at":"2023-11-14T22:13:20.250000Z","liquidity":"T","fee":"0.00025000","settled":true,"side":"buy"}]"#;
    let Fetched::MyTrades(rows) = bench.reply(&Fetch::MyTrades { market, since, limit }, 200, text).unwrap() else {
        panic!()
    };
    let expected = MyTrade {
        id: id("74"),
        order: id("or"),
        market,
        venue_time: Some(NOW),
        side: TakerSide::Buy,
        price: fixed("10").unwrap(),
        amount: fixed("0.01").unwrap(),
        cost: money("0.1"),
        liquidity: Some(Liquidity::Taker),
        fee: usd("0.00025"),
        backfilled: false,
    };
    assert_eq!(rows, [expected]);
    let text = r#"{"taker_fee_rate":"0.0050","maker_fee_rate":"0.0040","usd_volume":"43806.92"}"#;
    let Fetched::TradingFees(rows) = bench.reply(&Fetch::TradingFees { market: None }, 200, text).unwrap() else {
        panic!()
    };
    let (maker, taker) = (money("0.004").unwrap(), money("0.005").unwrap());
    assert_eq!(rows, [TradingFee { market: None, maker, taker }]);

    bench.reply(&Fetch::Balance, 200, ACCOUNTS).unwrap();
    let deposits = r#"[{"id":"d1","type":"deposit","created_at":"2023-11-14 22:13:20.25+00","completed_at":null,"account_id":"acc-2","amount":"0.01000000","details":{"network":"celo","crypto_address":"Mk","destination_tag":"7","crypto_transaction_hash":"75"},"canceled_at":null,"processed_at":null}]"#;
    let fetch = Fetch::Deposits { currency, since, limit };
    let Fetched::Transactions(rows) = bench.reply(&fetch, 200, deposits).unwrap() else { panic!() };
    let celo = Code::new(b"CELO").unwrap();
    let expected = Transaction {
        txid: Some("75".into()),
        network: Some("celo".into()),
        address: Some("Mk".into()),
        tag: Some("7".into()),
        created: Some(NOW),
        ..Transaction::new(id("d1"), TransactionKind::Deposit, celo, money("0.01").unwrap())
    };
    assert_eq!(rows, [expected]);
    let other = Fetch::Deposits { currency: Code::new(b"BTC"), since, limit };
    assert!(matches!(bench.reply(&other, 200, deposits).unwrap(), Fetched::Transactions(rows) if rows.is_empty()));
    let withdrawal = r#"[{"id":"w1","type":"withdraw","created_at":"2023-11-14 22:13:20.25+00","completed_at":"2023-11-14 22:13:20.25+00","amount":"1.0","details":{"sent_to_address":"Mx","crypto_address":"Mk","fee":"0.1"},"canceled_at":null,"processed_at":"2023-11-14 22:00:00+00","currency":"USD"}]"#;
    let fetch = Fetch::Withdrawals { currency, since, limit };
    let Fetched::Transactions(rows) = bench.reply(&fetch, 200, withdrawal).unwrap() else { panic!() };
    let row = &rows[0];
    assert_eq!((row.status, row.amount, row.fee), (TransactionStatus::Ok, money("0.9").unwrap(), usd("0.1")));
    assert_eq!((row.address.as_deref(), row.updated), (Some("Mx"), Some(NOW)));
    let mut status = |from: &str, to: &str| match bench.reply(&fetch, 200, &withdrawal.replace(from, to)).unwrap() {
        Fetched::Transactions(rows) => rows[0].status,
        other => panic!("{other:?}"),
    };
    let completed = r#""completed_at":"2023-11-14 22:13:20.25+00""#;
    assert_eq!(status(completed, r#""completed_at":null"#), TransactionStatus::Failed);
    let canceled = r#""canceled_at":"2023-11-14 22:13:20.25+00""#;
    assert_eq!(status(r#""canceled_at":null"#, canceled), TransactionStatus::Canceled);
}

#[test]
fn damaged_answers_do_no_harm() {
    let mut bench = Bench::new();
    let (market, since, limit, currency) = (Some(bench.market("BTC/USD")), None, None, None);
    let asked = [
        (Fetch::OpenOrders { market }, format!("[{}]", rest_order())),
        (Fetch::Balance, ACCOUNTS.to_owned()),
        (Fetch::Ledger { currency: Code::new(b"BTC"), since, limit }, LEDGER.to_owned()),
        (Fetch::Deposits { currency, since, limit }, r#"[{"id":"d","amount":"1","details":{"fee":"1"}}]"#.to_owned()),
    ];
    for (fetch, body) in &asked {
        let mut read = 0;
        crate::venue::shared::damaged(&[body], 2_000, |body| {
            let cx = Context { now: NOW, markets: &bench.markets, token: "" };
            let reply = Reply { status: 200, body, weight_used: None, retry_after_s: None };
            read += u32::from(bench.trading.on_reply(fetch, &reply, &cx).is_ok());
        });
        assert!(read > 200, "{read}: nearly all were unreadable, which tests little");
    }
}
