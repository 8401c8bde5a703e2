//! Questions by REST: exact requests, and answers of the documentation read to exact values.

use super::private::BitfinexTrading;
use super::private_tests::{adapter, code, context, fixed, id, market, money, ms, sample_markets};
use crate::book::Level;
use crate::error::{Error, ErrorKind};
use crate::model::{
    Fee, Health, Id, LedgerKind, MarketId, OrderStatus, PositionSide, TakerSide, Ticker, Timeframe, TransactionKind,
    TransactionStatus, Wall,
};
use crate::venue::shared::damaged;
use crate::venue::trading::{Fetch, Fetched, OrderRow, SignedRequest, Trading};
use crate::venue::{Method, Reply};

fn raw(path: &str, query: &[(&str, &str)], body: &str, private: bool) -> Fetch {
    let query = query.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Fetch::Raw { method: Method::Post, path: path.into(), query, body: body.into(), private }
}

fn request(fetch: &Fetch) -> Result<SignedRequest, Error> {
    adapter().request(fetch, &context(&sample_markets()))
}

/// Method, target, body and weight of a request.
fn asked(fetch: &Fetch) -> String {
    let request = request(fetch).unwrap();
    assert_eq!(request.headers.len(), if request.method == Method::Post { 3 } else { 0 });
    let body = String::from_utf8(request.body).unwrap();
    format!("{} {} {body} {}", request.method.as_str(), request.target, request.weight)
}

fn reply(fetch: &Fetch, status: u16, body: &str) -> Result<Fetched, Error> {
    reply_to(&mut adapter(), fetch, status, body)
}

fn reply_to(adapter: &mut BitfinexTrading, fetch: &Fetch, status: u16, body: &str) -> Result<Fetched, Error> {
    let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
    adapter.on_reply(fetch, &reply, &context(&sample_markets()))
}

fn btc_usd() -> MarketId {
    market(&sample_markets(), "BTC/USD").unwrap()
}

#[test]
fn signatures_are_exact() {
    let wallets = request(&Fetch::Balance).unwrap();
    let headers = |signature: &str| {
        vec![
            ("bfx-nonce", "1700000000000000".to_owned()),
            ("bfx-apikey", "my-key".to_owned()),
            ("bfx-signature", signature.to_owned()),
        ]
    };
    assert_eq!((wallets.target.as_str(), &wallets.body[..]), ("/v2/auth/r/wallets", &b"{}"[..]));
    assert_eq!(
        wallets.headers,
        headers("cfd7a232f5aff6b1bf8ab366cee8ef681cf30b7bf27fbaf5b1b4dcd93d9b441d3a5007f92aa8af8320ec04453a2057fd")
    );
    let body = r#"{"type":"EXCHANGE LIMIT","symbol":"tBTCUSD","amount":"0.01","price":"52000"}"#;
    let order = request(&raw("/v2/auth/w/order/submit", &[], body, true)).unwrap();
    assert_eq!(
        order.headers,
        headers("82cc8837fea97aede419484bb3267d4f78711a23664681126b51ae196ec47132ef596b9831bbc859ca2ff2f4919fb037")
    );
    assert_eq!((&order.body[..], order.content_type), (body.as_bytes(), "application/json"));
    assert_eq!(format!("{order:?}"), "POST /v2/auth/w/order/submit (76 bytes)");
    let (mut ours, markets) = (adapter(), sample_markets());
    for nonce in ["1700000000000000", "1700000000000001", "1700000000000002"] {
        let request = ours.request(&Fetch::Balance, &context(&markets)).unwrap();
        assert_eq!(request.headers[0].1, nonce, "each one is greater");
    }
    let mut out = Vec::new();
    ours.login(&context(&markets), &mut out);
    assert!(String::from_utf8(out).unwrap().contains(r#""authNonce":1700000000000003,"#), "those of the login, too");
}

#[test]
fn public_questions() {
    let market = btc_usd();
    let (since, limit) = (ms(1_600_000_000_000), Some(5));
    let (timeframe, none) = (Timeframe::M1, None);
    for (fetch, expected) in [
        (Fetch::Status, "GET /v2/platform/status  6"),
        (Fetch::Currencies, "GET /v2/conf/pub:list:currency,pub:map:currency:label  6"),
        (Fetch::OrderBook { market, limit: None }, "GET /v2/book/tBTCUSD/P0?len=100  1"),
        (Fetch::OrderBook { market, limit }, "GET /v2/book/tBTCUSD/P0?len=25  1"),
        (Fetch::Ticker { market }, "GET /v2/ticker/tBTCUSD  1"),
        (Fetch::Tickers, "GET /v2/tickers?symbols=ALL  1"),
        (Fetch::Trades { market, since: none, limit: None }, "GET /v2/trades/tBTCUSD/hist  4"),
        (Fetch::Trades { market, since, limit }, "GET /v2/trades/tBTCUSD/hist?limit=5&start=1600000000000&sort=1  4"),
        (Fetch::Ohlcv { market, timeframe, since: none, limit }, "GET /v2/candles/trade:1m:tBTCUSD/hist?limit=5  2"),
        (
            Fetch::Ohlcv { market, timeframe: Timeframe::W1, since, limit: None },
            "GET /v2/candles/trade:7D:tBTCUSD/hist?start=1600000000000&sort=1  2",
        ),
    ] {
        assert_eq!(asked(&fetch), expected);
        // Nobody needs a key for them.
        let mut nobody = BitfinexTrading::new(None).unwrap();
        assert!(nobody.request(&fetch, &context(&sample_markets())).is_ok());
    }
    let kind = |fetch: &Fetch| request(fetch).unwrap_err().kind();
    let odd = Fetch::Ohlcv { market, timeframe: Timeframe::H2, since, limit };
    for fetch in [odd, Fetch::Time, Fetch::Token, Fetch::RenewToken] {
        assert_eq!(kind(&fetch), ErrorKind::NotSupported, "{fetch:?}");
    }
    let foreign = MarketId { index: 77, ..market };
    assert_eq!(kind(&Fetch::Ticker { market: foreign }), ErrorKind::BadSymbol);
}

#[test]
fn private_questions() {
    let market = Some(btc_usd());
    let (since, limit, currency) = (ms(1_600_000_000_000), Some(5), Some(code("USDT")));
    let (id, client_order_id) = (id("95408916206"), id("1653322349926"));
    for (fetch, expected) in [
        (Fetch::Balance, "POST /v2/auth/r/wallets {} 1"),
        (
            Fetch::Order { market, id, client_order_id: Id::NONE },
            r#"POST /v2/auth/r/orders/tBTCUSD {"id":[95408916206]} 1"#,
        ),
        (Fetch::Order { market: None, id: Id::NONE, client_order_id }, "POST /v2/auth/r/orders {} 1"),
        (Fetch::OpenOrders { market: None }, "POST /v2/auth/r/orders {} 1"),
        (Fetch::OpenOrders { market }, "POST /v2/auth/r/orders/tBTCUSD {} 1"),
        (
            Fetch::ClosedOrders { market, since, limit },
            r#"POST /v2/auth/r/orders/tBTCUSD/hist {"start":1600000000000,"limit":5} 1"#,
        ),
        (Fetch::ClosedOrders { market: None, since: None, limit: None }, "POST /v2/auth/r/orders/hist {} 1"),
        (
            Fetch::MyTrades { market, since, limit: Some(9_999) },
            r#"POST /v2/auth/r/trades/tBTCUSD/hist {"start":1600000000000,"limit":2500} 1"#,
        ),
        (Fetch::MyTrades { market: None, since: None, limit }, r#"POST /v2/auth/r/trades/hist {"limit":5} 1"#),
        (
            Fetch::Deposits { currency, since, limit },
            r#"POST /v2/auth/r/movements/UST/hist {"start":1600000000000,"limit":1000} 1"#,
        ),
        (Fetch::Withdrawals { currency: None, since: None, limit: None }, "POST /v2/auth/r/movements/hist {} 1"),
        (Fetch::Ledger { currency, since: None, limit }, r#"POST /v2/auth/r/ledgers/UST/hist {"limit":5} 1"#),
        (Fetch::Positions, "POST /v2/auth/r/positions {} 1"),
        (Fetch::TradingFees { market }, "POST /v2/auth/r/summary {} 1"),
        (raw("/v2/auth/r/info/user", &[], "", true), "POST /v2/auth/r/info/user {} 1"),
    ] {
        assert_eq!(asked(&fetch), expected);
        let mut nobody = BitfinexTrading::new(None).unwrap();
        let error = nobody.request(&fetch, &context(&sample_markets())).unwrap_err();
        assert_eq!((error.kind(), error.venue()), (ErrorKind::AuthenticationError, Some("bitfinex")));
    }
    let kind = |fetch: &Fetch| request(fetch).unwrap_err().kind();
    let nothing = Fetch::Order { market, id: Id::NONE, client_order_id: Id::NONE };
    assert_eq!(kind(&nothing), ErrorKind::ArgumentsRequired);
    let odd = Fetch::Order { market, id: super::private_tests::id("O1"), client_order_id };
    assert_eq!(kind(&odd), ErrorKind::BadRequest);
    assert_eq!(kind(&raw("/v2/auth/r/wallets", &[("a", "b")], "", true)), ErrorKind::BadRequest);
    let public = request(&raw("/v2/tickers", &[("symbols", "tBTCUSD,fUSD")], "", false)).unwrap();
    assert_eq!((public.target.as_str(), public.headers.len()), ("/v2/tickers?symbols=tBTCUSD%2CfUSD", 0));
    let answer = reply(&raw("/", &[], "", false), 502, "<html>").unwrap();
    assert!(matches!(answer, Fetched::Raw { status: 502, body } if *body == *b"<html>"));
}

#[test]
fn refusals() {
    let refused = |status, body: &str| {
        let error = reply(&Fetch::Balance, status, body).unwrap_err();
        (error.kind(), error.to_string())
    };
    for (status, body, kind, text) in [
        (500, r#"["error",10100,"apikey: invalid"]"#, ErrorKind::AuthenticationError, "apikey: invalid (code 10100)"),
        (500, r#"["error",10114,"nonce: small"]"#, ErrorKind::InvalidNonce, "nonce: small (code 10114)"),
        (500, r#"["error",10001,"Temporary"]"#, ErrorKind::PermissionDenied, "Temporary (code 10001)"),
        (200, r#"["error",10020,"limit: invalid"]"#, ErrorKind::BadRequest, "limit: invalid (code 10020)"),
        (500, r#"["error",11010,"ratelimit: error"]"#, ErrorKind::RateLimitExceeded, "ratelimit: error (code 11010)"),
        (429, r#"{"error":"ERR_RATE_LIMIT"}"#, ErrorKind::RateLimitExceeded, "HTTP status 429"),
        (
            500,
            r#"{"code":503,"error":"temporarily_unavailable","error_description":"x"}"#,
            ErrorKind::ExchangeNotAvailable,
            "HTTP status 500",
        ),
        (401, "", ErrorKind::AuthenticationError, "HTTP status 401"),
    ] {
        assert_eq!(refused(status, body), (kind, format!("bitfinex: {text}")), "{body}");
    }
    assert_eq!(refused(200, "<html>").0, ErrorKind::BadResponse);
    assert_eq!(refused(200, "{}").0, ErrorKind::BadResponse);
}

#[test]
fn status_and_currencies() {
    let answer = reply(&Fetch::Status, 200, "[1]").unwrap();
    assert!(matches!(answer, Fetched::Status(status) if status.status == Health::Ok));
    let body = r#"[["BTC","UST","ORS"],[["UST","Tether USDt"],["BTC","Bitcoin"]]]"#;
    let Fetched::Currencies(list) = reply(&Fetch::Currencies, 200, body).unwrap() else { panic!() };
    let shown: Vec<_> = list.iter().map(|row| (row.code.as_str(), &*row.venue_code, row.name.as_deref())).collect();
    assert_eq!(shown, [("BTC", "BTC", Some("Bitcoin")), ("USDT", "UST", Some("Tether USDt"))]);
}

#[test]
fn books_tickers_trades_and_candles() {
    let market = btc_usd();
    let body = "[[60397,2,0.51],[60396.5,1,1e-7],[60396,1,3],[60398,1,-0.25],[60399,3,-1.5]]";
    let fetch = Fetch::OrderBook { market, limit: Some(2) };
    let Fetched::OrderBook(book) = reply(&fetch, 200, body).unwrap() else { panic!() };
    let level = |price, qty| Level { price, qty };
    assert_eq!((book.price_scale, book.amount_scale), (1, 8));
    assert_eq!(book.bids, [level(603_970, 51_000_000), level(603_965, 10)]);
    assert_eq!(book.asks, [level(603_980, 25_000_000), level(603_990, 150_000_000)]);
    assert_eq!(reply(&fetch, 200, "[[60397,2,\"x\"]]").unwrap_err().kind(), ErrorKind::BadResponse);

    let cells =
        "0.068965,60157.36709703,0.0774,48578.50804052,0.001969,0.0262,0.076989,101459.39453471,0.0828,0.068961";
    let expected = Ticker {
        bid: fixed("0.068965"),
        ask: fixed("0.0774"),
        last: fixed("0.076989"),
        open: fixed("0.07502"),
        change: fixed("0.001969"),
        percentage: fixed("2.62"),
        base_volume: fixed("101459.39453471"),
        high: fixed("0.0828"),
        low: fixed("0.068961"),
        ..Ticker::default()
    };
    let answer = reply(&Fetch::Ticker { market }, 200, &format!("[{cells},null]")).unwrap();
    assert!(matches!(answer, Fetched::Ticker(ticker) if *ticker == expected));
    let body = format!(r#"[["tBTCUSD",{cells}],["fUSD",0.0001,0.0002,30],["tNOPE",{cells}]]"#);
    let answer = reply(&Fetch::Tickers, 200, &body).unwrap();
    assert!(matches!(answer, Fetched::Tickers(list) if list == [(market, expected)]));

    let newest_first = "[[388063449,1567526214876,-1.918524,10682],[388063448,1567526214800,0.01,10681.5]]";
    let trades = |since, body: &str| match reply(&Fetch::Trades { market, since, limit: None }, 200, body).unwrap() {
        Fetched::Trades(list) => list,
        other => panic!("{other:?}"),
    };
    let list = trades(None, newest_first);
    assert_eq!([list[0].id, list[1].id], [id("388063448"), id("388063449")]);
    assert_eq!(
        (list[1].side, Some(list[1].price), Some(list[1].amount)),
        (Some(TakerSide::Sell), fixed("10682"), fixed("1.918524"))
    );
    assert_eq!((list[0].side, list[0].venue_time), (Some(TakerSide::Buy), ms(1_567_526_214_800)));
    // The oldest first when asked for like this.
    let oldest_first = "[[1,1567526214800,1,1],[2,1567526214800,1,1],[3,1567526214876,1,1]]";
    let ids: Vec<_> = trades(ms(1_567_526_214_800), oldest_first).iter().map(|row| row.id).collect();
    assert_eq!(ids, [id("1"), id("2"), id("3")]);

    let fetch = Fetch::Ohlcv { market, timeframe: Timeframe::M1, since: None, limit: None };
    let body = "[[1699999980000,31636,31637,31640,31630,0.0001],[1699999920000,31635,31636,31636,31635,1.5]]";
    let Fetched::Candles(list) = reply(&fetch, 200, body).unwrap() else { panic!() };
    assert_eq!((list.len(), list[0].open_time, list[0].closed), (2, Wall::from_ms(1_699_999_920_000), true));
    let last = list[1];
    assert_eq!(
        [Some(last.open), Some(last.close), Some(last.high), Some(last.low)],
        ["31636", "31637", "31640", "31630"].map(fixed)
    );
    assert_eq!((Some(last.volume), last.closed), (fixed("0.0001"), false));
}

const OPEN: &str = r#"[95408916206,null,1653322349926,"tDOGE:UST",1653322349926,1653322349927,-10,-10,"EXCHANGE LIMIT",null,null,null,0,"ACTIVE",null,null,0.11,0,0,0,null,null,null,0,0,null,null,null,"API>BFX",null,null,{"$F7":1}]"#;
const ENDED: &str = r#"[95412102131,null,1653325121798,"tDOGE:UST",1653325122000,1653325122000,-10,-10,"EXCHANGE LIMIT",null,null,null,"4096","POSTONLY CANCELED",null,null,0.071,0,0,0,null,null,null,0,0,null,null,null,"API>BFX",null,null,{"_$F7":1}]"#;

fn orders(answer: Result<Fetched, Error>) -> Vec<OrderRow> {
    match answer.unwrap() {
        Fetched::Orders(list) => list,
        other => panic!("{other:?}"),
    }
}

#[test]
fn orders_are_listed_oldest_first() {
    let both = format!("[{ENDED},{OPEN},[null]]");
    let list = orders(reply(&Fetch::OpenOrders { market: None }, 200, &both));
    assert_eq!([list[0].id, list[1].id], [id("95408916206"), id("95412102131")]);
    assert_eq!((list[0].market, list[0].status), (market(&sample_markets(), "DOGE/USDT"), Some(OrderStatus::Open)));
    assert_eq!((list[0].amount, list[0].price, list[0].side), (fixed("10"), fixed("0.11"), Some(TakerSide::Sell)));
    assert_eq!((list[1].post_only, list[1].status), (Some(true), Some(OrderStatus::Canceled)));
    assert_eq!(list[1].error.as_ref().unwrap().kind(), ErrorKind::OrderImmediatelyFillable);
    let closed = Fetch::ClosedOrders { market: None, since: None, limit: None };
    assert_eq!(orders(reply(&closed, 200, "[]")).len(), 0);
}

#[test]
fn an_order_is_looked_for_among_the_open_ones_and_then_among_the_ended() {
    let markets = sample_markets();
    let cx = context(&markets);
    let by_id = Fetch::Order { market: None, id: id("95412102131"), client_order_id: Id::NONE };
    let mut ours = adapter();
    ours.request(&by_id, &cx).unwrap();
    assert_eq!(orders(reply_to(&mut ours, &by_id, 200, "[]")).len(), 0, "it may have ended");
    let further = ours.request_further(&by_id, &cx).unwrap().unwrap();
    let body = br#"{"id":[95412102131]}"#;
    assert_eq!((further.target.as_str(), &further.body[..]), ("/v2/auth/r/orders/hist", &body[..]));
    assert_eq!(orders(reply_to(&mut ours, &by_id, 200, &format!("[{ENDED}]"))).len(), 1);
    // That is the last word; it is asked for anew from the start.
    ours.request_further(&by_id, &cx).unwrap().unwrap();
    let error = reply_to(&mut ours, &by_id, 200, "[]").unwrap_err();
    assert_eq!((error.kind(), error.venue()), (ErrorKind::OrderNotFound, Some("bitfinex")));
    assert!(reply_to(&mut ours, &by_id, 200, "[]").is_ok());
    ours.request_further(&by_id, &cx).unwrap().unwrap();
    ours.request(&by_id, &cx).unwrap();
    assert!(reply_to(&mut ours, &by_id, 200, "[]").is_ok());

    // By our id, all orders since that was made are looked through.
    let by_ours =
        Fetch::Order { market: market(&markets, "DOGE/USDT"), id: Id::NONE, client_order_id: id("1653322349926") };
    let both = format!("[{ENDED},{OPEN}]");
    let list = orders(reply_to(&mut ours, &by_ours, 200, &both));
    assert_eq!((list.len(), list[0].id), (1, id("95408916206")));
    let further = ours.request_further(&by_ours, &cx).unwrap().unwrap();
    let body = br#"{"start":1653321749926,"limit":2500}"#;
    assert_eq!((further.target.as_str(), &further.body[..]), ("/v2/auth/r/orders/tDOGE:UST/hist", &body[..]));
    let own_number = Fetch::Order { market: None, id: Id::NONE, client_order_id: id("17") };
    assert_eq!(ours.request_further(&own_number, &cx).unwrap().unwrap().body, br#"{"limit":2500}"#);
    assert!(ours.request_further(&Fetch::Balance, &cx).is_none());
}

#[test]
fn own_trades_and_balances() {
    let body = r#"[[2,"tBTCUSD",1514909325600,1234567,-0.5,916,"MARKET",915.5,-1,-0.1,"USD",12],[1,"tBTCUSD",1514909325593,1234567,0.21679716,915.9,"LIMIT",915.5,1,-0.39712904,"USD",12]]"#;
    let fetch = |since| Fetch::MyTrades { market: None, since, limit: None };
    let Fetched::MyTrades(list) = reply(&fetch(None), 200, body).unwrap() else { panic!() };
    assert_eq!([list[0].id, list[1].id], [id("1"), id("2")]);
    assert_eq!(
        (list[1].side, list[1].fee),
        (TakerSide::Sell, Some(Fee { currency: code("USD"), cost: money("0.1").unwrap() }))
    );
    let Fetched::MyTrades(list) = reply(&fetch(ms(1_514_909_325_594)), 200, body).unwrap() else { panic!() };
    assert_eq!(list.len(), 1);
    let body = r#"[["exchange","UST",19788.6529257,0,19788.6529,"Trading fees",null],["margin","UST",1,0,1]]"#;
    let Fetched::Balances(list) = reply(&Fetch::Balance, 200, body).unwrap() else { panic!() };
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].currency, list[0].free, list[0].used), (code("USDT"), money("19788.6529"), money("0.0000257")));
}

#[test]
fn deposits_and_withdrawals_share_a_list() {
    let out = r#"[13293039,"ETH","ETHEREUM",null,null,1574175052000,1574181326000,null,null,"CANCELED",null,null,-0.24,-0.00135,null,null,"0x38110e0Fc932CB2BE",null,null,null,"0x523ec8945500","Purchase of 100 pizzas"]"#;
    let into = r#"[13293037,"UST","TETHERUSX",null,null,1574175051000,1574175052000,null,null,"COMPLETED",null,null,100,0,null,null,"TAddress","memo",null,null,"0xabc",null]"#;
    let body = format!("[{out},{into}]");
    let (currency, since, limit) = (None, None, Some(1));
    let rows = |fetch: &Fetch| match reply(fetch, 200, &body).unwrap() {
        Fetched::Transactions(list) if list.len() == 1 => list[0].clone(),
        other => panic!("{other:?}"),
    };
    let deposit = rows(&Fetch::Deposits { currency, since, limit });
    assert_eq!(
        (deposit.id, deposit.kind, deposit.status),
        (id("13293037"), TransactionKind::Deposit, TransactionStatus::Ok)
    );
    assert_eq!((deposit.currency, Some(deposit.amount), deposit.fee), (code("USDT"), money("100"), None));
    assert_eq!((deposit.network.as_deref(), deposit.tag.as_deref()), (Some("TETHERUSX"), Some("memo")));
    let withdrawal = rows(&Fetch::Withdrawals { currency, since, limit });
    assert_eq!((withdrawal.status, Some(withdrawal.amount)), (TransactionStatus::Canceled, money("0.24")));
    assert_eq!(withdrawal.fee, Some(Fee { currency: code("ETH"), cost: money("0.00135").unwrap() }));
    assert_eq!(
        (withdrawal.txid.as_deref(), withdrawal.address.as_deref()),
        (Some("0x523ec8945500"), Some("0x38110e0Fc932CB2BE"))
    );
    assert_eq!((withdrawal.created, withdrawal.updated), (ms(1_574_175_052_000), ms(1_574_181_326_000)));
}

#[test]
fn ledger_entries_tell_in_prose_what_they_are_for() {
    let entry = |text: &str| {
        let body = format!(r#"[[2531822314,"USD",null,1573521810000,null,-0.01644445,12.5,null,"{text}"]]"#);
        match reply(&Fetch::Ledger { currency: None, since: None, limit: None }, 200, &body).unwrap() {
            Fetched::Ledger(list) => list[0],
            other => panic!("{other:?}"),
        }
    };
    let first = entry("Settlement @ 185.79 on wallet margin");
    assert_eq!((first.id, first.kind, first.currency), (id("2531822314"), LedgerKind::Trade, code("USD")));
    assert_eq!(
        (Some(first.amount), first.after, first.venue_time),
        (money("-0.01644445"), money("12.5"), ms(1_573_521_810_000))
    );
    for (text, kind, reference) in [
        ("Trading fees for 0.1 BTC (BTCUSD) @ 52000 on BFX (0.2%) on wallet exchange", LedgerKind::Fee, ""),
        ("Exchange 0.1 BTC for USD @ 52000 on wallet exchange", LedgerKind::Trade, ""),
        ("Deposit (BITCOIN) #13293037 on wallet exchange", LedgerKind::Deposit, "13293037"),
        ("BITCOIN Withdrawal #13293039 on wallet exchange", LedgerKind::Withdrawal, "13293039"),
        ("Crypto Withdrawal fee on wallet exchange", LedgerKind::Fee, ""),
        ("Transfer of 1.0 USD from wallet Exchange to Trading on wallet margin", LedgerKind::Transfer, ""),
        ("Margin Funding Payment on wallet funding", LedgerKind::Margin, ""),
        ("Position #142355652 closed @ 8000 on wallet margin", LedgerKind::Trade, "142355652"),
        ("Trading rebate for 1 BTC", LedgerKind::Rebate, ""),
        ("Adjustment on wallet exchange", LedgerKind::Other, ""),
    ] {
        let found = entry(text);
        assert_eq!((found.kind, found.reference.as_str()), (kind, reference), "{text}");
    }
}

#[test]
fn positions_and_fees() {
    let markets = sample_markets();
    let body = r#"[["tBTCUSD","ACTIVE",0.0195,8565.0267019,0,0,-0.33455568705000516,-0.0003117550117425625,7045.876419249083,3.0673001895895604,null,142355652,1574002216000,1574002216000,null,0,null,0,0,{"reason":"TRADE"}],["tETHUSD","CLOSED",0,0]]"#;
    let Fetched::Positions(list) = reply(&Fetch::Positions, 200, body).unwrap() else { panic!() };
    let [position] = list[..] else { panic!("{list:?}") };
    assert_eq!(
        (position.id, position.market, position.side),
        (id("142355652"), market(&markets, "BTC/USD"), Some(PositionSide::Long))
    );
    assert_eq!(
        (position.unrealized_pnl, position.isolated, position.collateral),
        (money("-0.33455568705000516"), Some(false), None)
    );

    let body =
        "[null,null,null,null,[[0.001,0.0011,0.0012,null,null,0.0002],[0.002,0.0021,0.0022,null,null,0.00065]],[],[]]";
    let fees = |symbol: &str| {
        let Fetched::TradingFees(list) =
            reply(&Fetch::TradingFees { market: market(&markets, symbol) }, 200, body).unwrap()
        else {
            panic!()
        };
        (list.len(), Some(list[0].maker), Some(list[0].taker))
    };
    assert_eq!(fees("ETH/BTC"), (1, money("0.001"), money("0.002")));
    assert_eq!(fees("DOGE/USDT"), (1, money("0.0011"), money("0.0021")));
    assert_eq!(fees("BTC/USD"), (1, money("0.0012"), money("0.0022")));
    assert_eq!(fees("BTC/USDT:USDT"), (1, money("-0.0002"), money("0.00065")));
    let Fetched::TradingFees(all) = reply(&Fetch::TradingFees { market: None }, 200, body).unwrap() else { panic!() };
    assert_eq!(all.len(), 5);
    let without = body.replace("0.0002", "null");
    let Fetched::TradingFees(all) = reply(&Fetch::TradingFees { market: None }, 200, &without).unwrap() else {
        panic!()
    };
    assert_eq!(all.len(), 4);
    assert_eq!(reply(&Fetch::TradingFees { market: None }, 200, "[1]").unwrap_err().kind(), ErrorKind::BadResponse);
}

#[test]
fn damaged_answers_never_panic() {
    let market = btc_usd();
    let (currency, since, limit) = (None, None, None);
    let both = format!("[{ENDED},{OPEN}]");
    let body = r#"[["exchange",1,"x",0.5,-1e-7],[1,"tBTCUSD",1514909325593,2,0.2,915.9,"LIMIT",915.5,1,-0.3,"USD"]]"#;
    for fetch in [
        Fetch::Status,
        Fetch::Currencies,
        Fetch::OrderBook { market, limit },
        Fetch::Ticker { market },
        Fetch::Tickers,
        Fetch::Trades { market, since, limit },
        Fetch::Ohlcv { market, timeframe: Timeframe::M1, since, limit },
        Fetch::Balance,
        Fetch::OpenOrders { market: None },
        Fetch::MyTrades { market: None, since, limit },
        Fetch::Deposits { currency, since, limit },
        Fetch::Ledger { currency, since, limit },
        Fetch::Positions,
        Fetch::TradingFees { market: None },
    ] {
        let markets = sample_markets();
        let mut ours = adapter();
        damaged(&[&both, body], 500, |body| {
            let reply = Reply { status: 200, body, weight_used: None, retry_after_s: None };
            let _ = ours.on_reply(&fetch, &reply, &context(&markets));
        });
    }
}
