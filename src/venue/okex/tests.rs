//! Frames of captures and of the documentation in, exact values out.

use super::rest::kind_of;
use super::*;
use crate::book::Level;
use crate::decimal::Fixed;
use crate::market::MarketKind;
use crate::venue::shared::judge_usual_reader;

fn adapter() -> Okex {
    Okex::new(&OKEX, "/ws/v5/business")
}

fn routes(topics: &[&str]) -> Routes {
    let mut routes = Routes::default();
    for (feed, topic) in topics.iter().enumerate() {
        let (channel, _) = adapter().parse_topic(topic).unwrap();
        let (price_scale, amount_scale) = (2, 0);
        routes.insert(
            topic,
            Route { feed: feed as u32, channel, market: None, price_scale, amount_scale, levels_max: 100 },
        );
    }
    routes
}

fn decode(topic: &str, frame: &str) -> Result<Decoded, DecodeError> {
    let mut out = Decoded::new();
    adapter().on_frame(frame.as_bytes(), &routes(&[topic]), &mut out)?;
    Ok(out)
}

fn fixed(text: &str) -> Option<Fixed> {
    Some(text.parse().unwrap())
}

const UPDATE: &str = r#"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","0","0","0"]],"ts":"1597026383085","checksum":-855196043,"seqId":123457,"prevSeqId":123456}]}"#;

#[test]
fn update_with_numbers_and_checksum() {
    let out = decode("books:BTC-USDT", UPDATE).unwrap();
    let delta = out.delta(&out.items[0]).unwrap();
    assert_eq!((delta.last, delta.prev), (123_457, Some(123_456)));
    assert_eq!(delta.venue_time, Some(Wall(1_597_026_383_085_000_000)));
    assert_eq!(delta.asks, [Level { price: 847_698, qty: 415 }]);
    assert_eq!(delta.bids, [Level { price: 847_697, qty: 0 }]);
    let Item::Book { checksum, rejected: 0, .. } = out.items[0] else { panic!() };
    assert_eq!((checksum, out.items.len()), (Some(Expected::Okx(-855_196_043)), 1));
    assert!(out.snapshot(&out.items[0]).is_none());
}

#[test]
fn snapshot_today_and_in_2022() {
    let frame = UPDATE.replace("update", "snapshot").replace("123456", "-1").replace("-855196043", "0");
    let out = decode("books:BTC-USDT", &frame).unwrap();
    let snapshot = out.snapshot(&out.items[0]).unwrap();
    assert_eq!((snapshot.last, snapshot.bids_cut, snapshot.asks_cut), (123_457, false, false));
    let Item::Book { checksum: None, prev: None, .. } = out.items[0] else { panic!("0 stands for none") };
    let frame = UPDATE.replace(r#","seqId":123457,"prevSeqId":123456"#, "");
    let out = decode("books:BTC-USDT", &frame).unwrap();
    let delta = out.delta(&out.items[0]).unwrap();
    assert_eq!((delta.first, delta.last, delta.prev), (0, 0, None));
}

#[test]
fn members_may_come_in_any_order() {
    let frame = r#" {"data":[{"bids":[],"ts":"5","asks":[["1.5","2","0","1"]]}], "action":"snapshot", "new":[{}], "arg":{"uid":"1","instId":"BTC-USDT","channel":"books"}} "#;
    let out = decode("books:BTC-USDT", frame).unwrap();
    let snapshot = out.snapshot(&out.items[0]).unwrap();
    assert_eq!((snapshot.asks, out.items.len()), (&[Level { price: 150, qty: 2 }][..], 1));
    // The action behind the data: what was read as a change is read once more.
    let frame = r#"{"arg":{"channel":"books","instId":"BTC-USDT"},"data":[{"asks":[["1.5","2"]],"bids":[]}],"action":"snapshot"}"#;
    let out = decode("books:BTC-USDT", frame).unwrap();
    assert_eq!((out.snapshot(&out.items[0]).unwrap().asks.len(), out.items.len()), (1, 1));
}

#[test]
fn what_is_broken_or_finer_says_so() {
    let error = decode("books:BTC-USDT", &UPDATE.replace("8476.98", "8476.981")).unwrap_err();
    assert_eq!(error, DecodeError::Finer { route: RouteId(0), price_scale: 3, amount_scale: 0 });
    for (from, to) in
        [("8476.98", "84.76.98"), (r#","bids":[["8476.97","0","0","0"]]"#, ""), ("}]}", "}]"), ("}]}", "}]}}")]
    {
        let error = decode("books:BTC-USDT", &UPDATE.replace(from, to)).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { route: Some(RouteId(0)), .. }), "{from} -> {to}: {error:?}");
    }
    assert!(matches!(decode("books:BTC-USDT", "nonsense"), Err(DecodeError::Malformed { route: None, .. })));
    let other = decode("books:ETH-USDT", UPDATE).unwrap();
    assert!(matches!(other.items[..], [Item::Unrouted]));
}

#[test]
fn top_five_and_best() {
    let frame = r#"{"arg":{"channel":"books5","instId":"BTC-USDT"},"data":[{"asks":[["31738.3","5","0","3"]],"bids":[["31738.2","6","0","9"]],"instId":"BTC-USDT","ts":"1626537446491"}]}"#;
    let out = decode("books5:BTC-USDT", frame).unwrap();
    let snapshot = out.snapshot(&out.items[0]).unwrap();
    assert_eq!((snapshot.bids.len(), snapshot.bids_cut), (1, false));
    let frame = r#"{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["36232.2","1.8826134","0","17"]],"bids":[],"ts":"1651826598363","seqId":123456}]}"#;
    let out = decode("bbo-tbt:BTC-USDT", frame).unwrap();
    let Item::BidAsk { row, .. } = out.items[0] else { panic!() };
    let quote = out.bid_ask(row).unwrap();
    assert_eq!((quote.ask, quote.ask_volume, quote.bid), (fixed("36232.2"), fixed("1.8826134"), None));
    assert_eq!((quote.nonce, quote.venue_time), (Some(123_456), Some(Wall(1_651_826_598_363_000_000))));
}

#[test]
fn several_trades_in_one_message() {
    let frame = r#"{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"7849","px":"30218.8","sz":"1","side":"buy","ts":"1652459199958"},{"instId":"BTC-USDT","tradeId":"7850","px":"30218.7","sz":"0.25","side":"sell","ts":"1652459199959"}]}"#;
    let out = decode("trades:BTC-USDT", frame).unwrap();
    let [Item::Trades { trades, .. }] = out.items[..] else { panic!("{:?}", out.items) };
    let trades = out.trades(trades);
    assert_eq!((trades[0].id.as_str(), trades[0].side), ("7849", Some(TakerSide::Buy)));
    assert_eq!((trades[1].id.as_str(), trades[1].side), ("7850", Some(TakerSide::Sell)));
    assert_eq!((Some(trades[1].price), Some(trades[1].amount)), (fixed("30218.7"), fixed("0.25")));
}

#[test]
fn volumes_of_tickers_and_candles_depend_on_the_kind() {
    let frame = r#"{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT","last":"30218.8","askPx":"","askSz":"","bidPx":"30210.4","bidSz":"4","open24h":"29571.4","high24h":"30899","low24h":"28716.4","volCcy24h":"2620.289","vol24h":"779573","ts":"1652459223003"}]}"#;
    let volumes = |frame: &str| {
        let out = decode("tickers:BTC-USDT", frame).unwrap();
        let Item::Ticker { row, .. } = out.items[0] else { panic!() };
        let ticker = *out.ticker(row).unwrap();
        assert_eq!((ticker.bid, ticker.ask, ticker.open), (fixed("30210.4"), None, fixed("29571.4")));
        (ticker.base_volume, ticker.quote_volume)
    };
    assert_eq!(volumes(frame), (fixed("779573"), fixed("2620.289")));
    assert_eq!(volumes(&frame.replace("SPOT", "SWAP")), (fixed("2620.289"), None));
    let candle = |symbol: &str, row: &str| {
        let frame = format!(r#"{{"arg":{{"channel":"candle1m","instId":"{symbol}"}},"data":[{row}]}}"#);
        let out = decode(&format!("candle1m:{symbol}"), &frame).unwrap();
        let Item::Candle { row, .. } = out.items[0] else { panic!() };
        *out.candle(row).unwrap()
    };
    let now = candle("BTC-USDT", r#"["1597026360000","1","3","0.5","2","10","20","20","1"]"#);
    assert_eq!((now.open_time, now.closed), (Wall(1_597_026_360_000_000_000), true));
    assert_eq!((Some(now.high), Some(now.volume), now.quote_volume), (fixed("3"), fixed("10"), fixed("20")));
    let of_2022 = candle("BTC-USDT", r#"["1597026360000","1","3","0.5","2","10","20"]"#);
    assert_eq!((Some(of_2022.volume), of_2022.quote_volume, of_2022.closed), (fixed("10"), fixed("20"), false));
    let swap = candle("BTC-USDT-SWAP", r#"["1597026360000","1","3","0.5","2","10","0.1","2000","0"]"#);
    assert_eq!((Some(swap.volume), swap.quote_volume), (fixed("0.1"), fixed("2000")));
}

#[test]
fn answers_and_notices() {
    let item = |frame: &str| decode("books:BTC-USDT", frame).unwrap().items[0].clone();
    let ack = r#"{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}"#;
    assert!(matches!(item(ack), Item::Settled { act: Act::Subscribe, topic } if &*topic == "books:BTC-USDT"));
    let ack = ack.replace("subscribe", "unsubscribe");
    assert!(matches!(item(&ack), Item::Settled { act: Act::Unsubscribe, .. }));
    assert!(matches!(item("pong"), Item::Heartbeat));
    assert!(matches!(item(r#"{"event":"channel-conn-count","channel":"orders","connCount":"2"}"#), Item::Heartbeat));
    let notice = r#"{"event":"notice","code":"64008","msg":"The connection will soon be closed.","connId":"a4d3ae55"}"#;
    assert!(matches!(item(notice), Item::Shutdown));
    let refused = r#"{"event":"error","code":"60018","msg":"Wrong URL or channel:books,instId:FOO-BAR doesn't exist. Please use the correct URL.","connId":"a4d3ae55"}"#;
    let Item::TopicRefused { topic, error } = item(refused) else { panic!() };
    assert_eq!((&*topic, error.kind(), error.code()), ("books:FOO-BAR", ErrorKind::BadRequest, Some("60018")));
    let refused = r#"{"event":"error","code":"60012","msg":"Illegal request: {\"id\":\"17\",\"op\":\"subscribe\",\"args\":[{}]}","connId":"a4d3ae55"}"#;
    assert!(matches!(item(refused), Item::Refusal { id: Some(17), .. }));
    let refused = r#"{"id":"18","event":"error","code":"60014","msg":"Requests too frequent","connId":"a4d3ae55"}"#;
    let Item::Refusal { id: Some(18), error } = item(refused) else { panic!() };
    assert_eq!(error.kind(), ErrorKind::RateLimitExceeded);
}

#[test]
fn topics_there_and_back() {
    let (mut topic, market) = (String::new(), sample_markets().remove(0));
    for channel in [
        Channel::Book,
        Channel::TopBook(5),
        Channel::Trades,
        Channel::Ticker,
        Channel::BidAsk,
        Channel::Candles(Timeframe::H1),
        Channel::Candles(Timeframe::D1),
    ] {
        topic.clear();
        adapter().topic(Some(&market), channel, &mut topic).unwrap();
        assert_eq!(adapter().parse_topic(&topic), Some((channel, Some("BTC-USDT".to_owned()))), "{topic}");
    }
    assert_eq!(topic, "candle1Dutc:BTC-USDT");
    // Days of Hong Kong are other candles, and still days.
    assert_eq!(adapter().parse_topic("candle1D:X-Y").map(|found| found.0), Some(Channel::Candles(Timeframe::D1)));
    assert_eq!(adapter().parse_topic("mark-price:X-Y"), None);
    assert_eq!(adapter().topic_of(UPDATE.as_bytes()).as_deref(), Some("books:BTC-USDT"));
    let error = adapter().topic(Some(&market), Channel::Candles(Timeframe::S1), &mut topic).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    assert_eq!(
        (adapter().ws_path(Channel::Candles(Timeframe::M1)), adapter().ws_path(Channel::Book)),
        ("/ws/v5/business", "/ws/v5/public")
    );
}

#[test]
fn subscriptions_are_spelled_as_documented() {
    let mut out = Vec::new();
    adapter().subscription(Act::Subscribe, &["books:BTC-USDT", "trades:ETH-USDT"], 1, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        r#"{"id":"1","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"},{"channel":"trades","instId":"ETH-USDT"}]}"#
    );
    assert_eq!(adapter().topics_of_subscription(text.as_bytes()), ["books:BTC-USDT", "trades:ETH-USDT"]);
    assert!(adapter().topics_of_subscription(text.replace("subscribe", "unsubscribe").as_bytes()).is_empty());
    assert!(adapter().topics_of_subscription(b"ping").is_empty());
}

const INSTRUMENTS: &str = r#"{"code":"0","msg":"","data":[{"instType":"SPOT","instId":"BTC-USDT","uly":"","baseCcy":"BTC","quoteCcy":"USDT","settleCcy":"","tickSz":"0.1","lotSz":"0.00000001","minSz":"0.00001","maxLmtSz":"9999999999","expTime":"","state":"live"},{"instType":"SWAP","instId":"BTC-USD-SWAP","uly":"BTC-USD","baseCcy":"","quoteCcy":"","settleCcy":"BTC","tickSz":"0.1","lotSz":"1","minSz":"1","state":"suspend"},{"instType":"FUTURES","instId":"BTC-USD-220527","uly":"BTC-USD","settleCcy":"BTC","tickSz":"0.1","lotSz":"1","minSz":"1","expTime":"1653638400000","state":"live"},{"instType":"OPTION","instId":"BTC-USD-220304-32000-P","uly":"BTC-USD","tickSz":"0.0005","lotSz":"1","state":"live"},{"instType":"SPOT","instId":"NEW-USDT","baseCcy":"","quoteCcy":"","tickSz":"","lotSz":"","state":"preopen"}]}"#;

fn answer(ask: Ask, status: u16, body: &str) -> Result<Answer, AnswerError> {
    let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
    let routes = routes(&["books:BTC-USDT"]);
    adapter().on_reply(ask, &reply, routes.route(RouteId(0)).unwrap(), Wall(5), &mut Decoded::new())
}

fn sample_markets() -> Vec<Market> {
    match answer(Ask::MoreMarkets(1), 200, INSTRUMENTS) {
        Ok(Answer::Markets(list)) => list,
        other => panic!("{other:?}"),
    }
}

#[test]
fn markets_of_all_kinds() {
    let list = sample_markets();
    let names: Vec<_> = list.iter().map(|market| (&*market.symbol, &*market.venue_symbol, market.active)).collect();
    assert_eq!(
        names,
        [
            ("BTC/USDT", "BTC-USDT", true),
            ("BTC/USD:BTC", "BTC-USD-SWAP", false),
            ("BTC/USD:BTC-220527", "BTC-USD-220527", true),
            ("NEW/USDT", "NEW-USDT", false),
        ]
    );
    assert_eq!((list[0].price_scale, list[0].amount_scale, list[0].kind), (1, 8, MarketKind::Spot));
    assert_eq!((list[1].settle.as_deref(), list[1].kind), (Some("BTC"), MarketKind::Swap));
    assert_eq!((list[2].amount_scale, list[2].kind), (0, MarketKind::Future));
    assert_eq!(list[0].amount_limits.min, fixed("0.00001"));
    let lists: Vec<String> = [Ask::Markets, Ask::MoreMarkets(1), Ask::MoreMarkets(2)]
        .map(|ask| adapter().request(ask, None).unwrap().target)
        .to_vec();
    assert_eq!(lists[0], "/api/v5/public/instruments?instType=SPOT");
    assert_eq!(lists[2], "/api/v5/public/instruments?instType=FUTURES");
    assert!(adapter().request(Ask::MoreMarkets(3), None).is_err());
}

#[test]
fn okcoin_trades_spot_on_one_socket() {
    let okcoin = (OKCOIN.open)();
    assert_eq!(okcoin.profile().id, "okcoin");
    assert!(okcoin.request(Ask::Markets, None).is_ok());
    let error = okcoin.request(Ask::MoreMarkets(1), None).unwrap_err();
    assert_eq!(error.to_string(), "okcoin: has no list of markets 1");
    assert_eq!(okcoin.ws_path(Channel::Candles(Timeframe::M1)), "/ws/v5/public");
}

#[test]
fn refusals_and_status() {
    let refused = |status, body: &str| match answer(Ask::Markets, status, body) {
        Err(AnswerError::Refused(error)) => (error.kind(), error.to_string()),
        other => panic!("{other:?}"),
    };
    let (kind, text) = refused(200, r#"{"code":"51001","msg":"Instrument ID does not exist","data":[]}"#);
    assert_eq!((kind, text.as_str()), (ErrorKind::BadSymbol, "okex: Instrument ID does not exist (code 51001)"));
    assert_eq!(refused(429, r#"{"code":"50011","msg":"Too Many Requests"}"#).0, ErrorKind::RateLimitExceeded);
    assert_eq!(refused(503, "<html>").1, "okex: HTTP status 503");
    assert_eq!(
        (kind_of("50001"), kind_of("60009"), kind_of("x")),
        (ErrorKind::OnMaintenance, ErrorKind::AuthenticationError, ErrorKind::ExchangeError)
    );
    let health = |body: &str| match answer(Ask::Status, 200, body) {
        Ok(Answer::Status(status)) => status.status,
        other => panic!("{other:?}"),
    };
    use crate::model::Health;
    assert_eq!(health(r#"{"code":"0","data":[{"state":"scheduled"}],"msg":""}"#), Health::Ok);
    assert_eq!(health(r#"{"code":"0","data":[{"state":"ongoing"}],"msg":""}"#), Health::Maintenance);
}

#[test]
fn the_usual_way_is_taken_and_reads_what_the_plain_one_reads() {
    for (frame, topic) in [
        (UPDATE, "books:BTC-USDT"),
        (&UPDATE.replace("update", "snapshot").replace("123456", "-1"), "books:BTC-USDT"),
        (&UPDATE.replace(r#","seqId":123457,"prevSeqId":123456"#, ""), "books:BTC-USDT"),
    ] {
        let routes = routes(&[topic]);
        judge_usual_reader(frame, 1_000, |frame| {
            let mut out = Decoded::new();
            let usual = on_usual_book(frame, &routes, &mut out).map(|()| format!("{out:?}"));
            out.clear();
            let any = on_any_frame(frame, &routes, OKEX.id, &mut out);
            (usual, any.ok().map(|()| format!("{out:?}")))
        });
    }
}
