//! Frames of captures and of the documentation in, exact values out.

use super::rest::kind_of;
use super::*;
use crate::book::Level;
use crate::decimal::Fixed;
use crate::json::JsonErrorKind;
use crate::market::Limits;
use crate::model::TakerSide;
use crate::venue::shared::judge_usual_reader;

fn adapter() -> Binance {
    Binance::new(&VARIANTS[0])
}

fn routes(topics: &[(&str, Channel)]) -> Routes {
    let mut routes = Routes::default();
    for (feed, (topic, channel)) in topics.iter().enumerate() {
        let route = Route {
            feed: feed as u32,
            channel: *channel,
            market: None,
            price_scale: 4,
            amount_scale: 0,
            levels_max: 100,
        };
        routes.insert(topic, route);
    }
    routes
}

fn decode(topic: &str, channel: Channel, frame: &str) -> Result<Decoded, DecodeError> {
    let mut out = Decoded::new();
    adapter().on_frame(frame.as_bytes(), &routes(&[(topic, channel)]), &mut out)?;
    Ok(out)
}

fn fixed(text: &str) -> Option<Fixed> {
    Some(text.parse().unwrap())
}

const DEPTH: &str = r#"{"stream":"nknusdt@depth@100ms","data":{"e":"depthUpdate","E":1633998512068,"s":"NKNUSDT","U":499869750,"u":499869752,"b":[["0.35130000","6195.00000000"],["0.34750000","0.00000000"]],"a":[]}}"#;

#[test]
fn depth_update_of_the_capture() {
    let out = decode("nknusdt@depth@100ms", Channel::Book, DEPTH).unwrap();
    let delta = out.delta(&out.items[0]).unwrap();
    assert_eq!((delta.first, delta.last, delta.prev), (499869750, 499869752, None));
    assert_eq!(delta.venue_time, Some(Wall(1_633_998_512_068_000_000)));
    assert_eq!(delta.bids, [Level { price: 3513, qty: 6195 }, Level { price: 3475, qty: 0 }]);
    assert_eq!((delta.asks, out.items.len()), (&[][..], 1));
    assert!(out.snapshot(&out.items[0]).is_none());
}

#[test]
fn members_may_come_in_any_order() {
    let frame = r#" { "data" : {"a":[],"b":[["0.35130000","6195.00000000"]],"new":{"x":[1,2]},"u":2,"U":1,"s":"NKNUSDT","E":5,"e":"depthUpdate"}, "stream":"nknusdt@depth@100ms" } "#;
    let out = decode("nknusdt@depth@100ms", Channel::Book, frame).unwrap();
    let delta = out.delta(&out.items[0]).unwrap();
    assert_eq!((delta.first, delta.last, delta.bids.len()), (1, 2, 1));
}

#[test]
fn a_finer_number_asks_for_finer_scales() {
    let frame = DEPTH.replace("0.34750000", "0.34751200").replace("6195.00000000", "6195.50000000");
    let error = decode("nknusdt@depth@100ms", Channel::Book, &frame).unwrap_err();
    assert_eq!(error, DecodeError::Finer { route: RouteId(0), price_scale: 6, amount_scale: 1 });
}

#[test]
fn what_is_missing_or_contradicts_is_malformed() {
    for (from, to) in [
        (r#""U":499869750,"#, ""),
        (r#","a":[]"#, ""),
        (r#""u":499869752"#, r#""u":499869749"#),
        ("depthUpdate", "depthSnapshot"),
        ("6195.00000000", "6195.x"),
        ("}}", "}"),
        ("}}", "}}}"),
    ] {
        let error = decode("nknusdt@depth@100ms", Channel::Book, &DEPTH.replace(from, to)).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { route: Some(RouteId(0)), .. }), "{from} -> {to}: {error:?}");
    }
    // Cut within the topic: nobody knows whose it was.
    let error = decode("nknusdt@depth@100ms", Channel::Book, &DEPTH[..20]).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed { route: None, .. }));
    let long = DEPTH.replace(r#""a":[]"#, &format!(r#""a":[{}]"#, vec![r#"["1","1"]"#; 101].join(",")));
    match decode("nknusdt@depth@100ms", Channel::Book, &long) {
        Err(DecodeError::Malformed { error, .. }) => assert_eq!(error.kind, JsonErrorKind::LevelsMax),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_level_that_cannot_be_held_is_left_out_and_counted() {
    let frame = DEPTH.replace("0.34750000", "99999999999999999999");
    let out = decode("nknusdt@depth@100ms", Channel::Book, &frame).unwrap();
    let Item::Book { rejected, .. } = out.items[0] else { panic!() };
    assert_eq!((rejected, out.delta(&out.items[0]).unwrap().bids.len()), (1, 1));
}

#[test]
fn trades_and_aggregates() {
    let frame = r#"{"stream":"bnbbtc@trade","data":{"e":"trade","E":1554076800945,"s":"BNBBTC","t":40756030,"p":"0.00426990","q":"33.82000000","b":133829535,"a":133829504,"T":1554076800940,"m":false,"M":true}}"#;
    let out = decode("bnbbtc@trade", Channel::Trades, frame).unwrap();
    let Item::Trades { trades, .. } = out.items[0] else { panic!() };
    let trade = out.trades(trades)[0];
    assert_eq!((trade.id.as_str(), trade.side), ("40756030", Some(TakerSide::Buy)));
    assert_eq!(trade.venue_time, Some(Wall(1_554_076_800_940_000_000)));
    // Finer than the market's scales: kept exactly all the same.
    assert_eq!((Some(trade.price), Some(trade.amount)), (fixed("0.0042699"), fixed("33.82")));

    let frame = r#"{"stream":"nknusdt@aggTrade","data":{"e":"aggTrade","E":1633998523963,"s":"NKNUSDT","a":15683430,"p":"0.35280000","q":"58.00000000","f":19862790,"l":19862790,"T":1633998523963,"m":true,"M":true}}"#;
    let out = decode("nknusdt@aggTrade", Channel::AggTrades, frame).unwrap();
    let Item::Trades { trades, .. } = out.items[0] else { panic!() };
    let trade = out.trades(trades)[0];
    assert_eq!((trade.id.as_str(), trade.side), ("15683430", Some(TakerSide::Sell)));
    assert_eq!((Some(trade.price), Some(trade.amount)), (fixed("0.3528"), fixed("58")));
}

#[test]
fn book_ticker_has_no_type_and_no_time() {
    let frame = r#"{"stream":"nknusdt@bookTicker","data":{"u":499869768,"s":"NKNUSDT","b":"0.35210000","B":"672.00000000","a":"0.35260000","A":"3199.00000000"}}"#;
    let out = decode("nknusdt@bookTicker", Channel::BidAsk, frame).unwrap();
    let Item::BidAsk { row, symbol: None, .. } = out.items[0] else { panic!() };
    let quote = *out.bid_ask(row).unwrap();
    assert_eq!((quote.nonce, quote.venue_time), (Some(499869768), None));
    assert_eq!((quote.bid, quote.bid_volume), (fixed("0.3521"), fixed("672")));
    assert_eq!((quote.ask, quote.ask_volume), (fixed("0.3526"), fixed("3199")));
}

#[test]
fn ticker_keeps_what_is_sent_and_nothing_else() {
    let frame = r#"{"stream":"ethusdt@ticker","data":{"e":"24hrTicker","E":1653812650349,"s":"ETHUSDT","p":"28.23000000","P":"1.600","w":"1781.16275609","x":"1764.61000000","c":"1792.84000000","Q":"0.55720000","b":"1792.83000000","B":"1.62740000","a":"1792.84000000","A":"20.29140000","o":"1764.61000000","h":"1808.98000000","l":"1748.94000000","v":"471703.53110000","q":"840180761.51358100","O":1653726250344,"C":1653812650344,"F":841094172,"L":841646650,"n":552479}}"#;
    let out = decode("ethusdt@ticker", Channel::Ticker, frame).unwrap();
    let Item::Ticker { row, .. } = out.items[0] else { panic!() };
    let ticker = out.ticker(row).unwrap();
    assert_eq!(
        (ticker.last, ticker.open, ticker.previous_close),
        (fixed("1792.84"), fixed("1764.61"), fixed("1764.61"))
    );
    assert_eq!((ticker.high, ticker.low, ticker.vwap), (fixed("1808.98"), fixed("1748.94"), fixed("1781.16275609")));
    assert_eq!((ticker.base_volume, ticker.quote_volume), (fixed("471703.5311"), fixed("840180761.513581")));
    assert_eq!((ticker.change, ticker.percentage), (fixed("28.23"), fixed("1.6")));
    assert_eq!((ticker.bid_volume, ticker.ask_volume), (fixed("1.6274"), fixed("20.2914")));

    let mini = r#"{"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker","E":1,"s":"AUSDT","c":"2","o":"1","h":"3","l":"0.5","v":"10","q":"20"},{"e":"24hrMiniTicker","E":1,"s":"BUSDT","c":"4","o":"1","h":"3","l":"0.5","v":"10","q":"20"}]}"#;
    let out = decode("!miniTicker@arr", Channel::AllTickers, mini).unwrap();
    let symbols: Vec<&[u8]> = out
        .items
        .iter()
        .map(|item| match item {
            Item::Ticker { symbol: Some(symbol), .. } => symbol.of(mini.as_bytes()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(symbols, [b"AUSDT", b"BUSDT"]);
    assert_eq!((out.ticker(1).unwrap().last, out.ticker(1).unwrap().bid), (fixed("4"), None));
}

#[test]
fn candle() {
    let frame = r#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1653818762502,"s":"BTCUSDT","k":{"t":1653818760000,"T":1653818819999,"s":"BTCUSDT","i":"1m","f":1384844002,"L":1384844032,"o":"29038.46000000","c":"29038.47000000","h":"29038.48000000","l":"29038.45000000","v":"0.20926000","n":31,"x":true,"q":"6076.58918320","V":"0.10436000","Q":"3030.45472920","B":"0"}}}"#;
    let out = decode("btcusdt@kline_1m", Channel::Candles(Timeframe::M1), frame).unwrap();
    let Item::Candle { row, .. } = out.items[0] else { panic!() };
    let candle = out.candle(row).unwrap();
    assert_eq!(candle.open_time, Wall(1_653_818_760_000_000_000));
    assert_eq!((Some(candle.open), Some(candle.close)), (fixed("29038.46"), fixed("29038.47")));
    assert_eq!((Some(candle.high), Some(candle.low)), (fixed("29038.48"), fixed("29038.45")));
    assert_eq!((Some(candle.volume), candle.quote_volume), (fixed("0.20926"), fixed("6076.5891832")));
    assert_eq!((candle.trades, candle.closed), (Some(31), true));
}

#[test]
fn partial_depth_is_a_whole_book() {
    let frame = r#"{"stream":"ethusdt@depth5@100ms","data":{"lastUpdateId":17044571457,"bids":[["1782.00000000","6.00000000"]],"asks":[["1782.01000000","15.00000000"],["1782.02000000","7.00000000"]]}}"#;
    let out = decode("ethusdt@depth5@100ms", Channel::TopBook(5), frame).unwrap();
    let snapshot = out.snapshot(&out.items[0]).unwrap();
    assert_eq!((snapshot.last, snapshot.bids_cut, snapshot.asks_cut), (17044571457, false, false));
    assert_eq!(snapshot.asks, [Level { price: 17820100, qty: 15 }, Level { price: 17820200, qty: 7 }]);
    let out = decode("ethusdt@depth5@100ms", Channel::TopBook(2), frame).unwrap();
    let snapshot = out.snapshot(&out.items[0]).unwrap();
    assert_eq!((snapshot.bids_cut, snapshot.asks_cut), (false, true), "as many as were asked for: there may be more");
}

#[test]
fn each_side_has_its_own_limit() {
    let rows = |count: usize| vec![r#"["1.0","2"]"#; count].join(",");
    let frame = DEPTH
        .replace(r#"[["0.35130000","6195.00000000"],["0.34750000","0.00000000"]]"#, &format!("[{}]", rows(100)))
        .replace(r#""a":[]"#, &format!(r#""a":[{}]"#, rows(100)));
    let out = decode("nknusdt@depth@100ms", Channel::Book, &frame).unwrap();
    let delta = out.delta(&out.items[0]).unwrap();
    assert_eq!((delta.bids.len(), delta.asks.len()), (100, 100));
    // The deepest snapshot that the venue gives.
    let body = format!(r#"{{"lastUpdateId":1,"bids":[{}],"asks":[{}]}}"#, rows(5_000), rows(5_000));
    let reply = Reply { status: 200, body: body.as_bytes(), weight_used: None, retry_after_s: None };
    assert!(matches!(answer(Ask::Snapshot { depth: 5_000 }, reply), Ok(Answer::Snapshot)));
}

#[test]
fn answers_and_notices() {
    let items = |frame: &str| decode("x@trade", Channel::Trades, frame).unwrap().items;
    assert!(matches!(items(r#"{"result":null,"id":7}"#)[..], [Item::Ack { id: 7 }]));
    let refused = items(r#"{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":7}"#);
    let Item::Refusal { id: Some(7), error } = &refused[0] else { panic!("{refused:?}") };
    assert_eq!(error.to_string(), "binance: Invalid request: unknown variant (code 2)");
    assert!(matches!(items(r#"{"code":3,"msg":"Invalid JSON"}"#)[..], [Item::Refusal { id: None, .. }]));
    assert!(matches!(items(r#"{"e":"serverShutdown","E":1770123456789}"#)[..], [Item::Shutdown]));
    let combined = r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#;
    assert!(matches!(items(combined)[..], [Item::Shutdown]));
    assert!(matches!(items(r#"{"stream":"y@trade","data":{"e":"trade"}}"#)[..], [Item::Unrouted]));
    assert!(matches!(items(r#"{"stream":"y@trade","data":[1]}"#)[..], [Item::Unrouted]));
}

#[test]
fn events_without_a_wrapper_find_their_feed() {
    let raw = &DEPTH[r#"{"stream":"nknusdt@depth@100ms","data":"#.len()..DEPTH.len() - 1];
    let out = decode("nknusdt@depth@100ms", Channel::Book, raw).unwrap();
    assert_eq!(out.delta(&out.items[0]).unwrap().last, 499869752);
    let raw = r#"{"u":1,"s":"NKNUSDT","b":"0.3521","B":"6","a":"0.3526","A":"3"}"#;
    let out = decode("nknusdt@bookTicker", Channel::BidAsk, raw).unwrap();
    assert!(matches!(out.items[0], Item::BidAsk { .. }));
}

#[test]
fn topics_there_and_back() {
    let (mut topic, market) = (String::new(), sample_market());
    for channel in [
        Channel::Book,
        Channel::TopBook(20),
        Channel::Trades,
        Channel::AggTrades,
        Channel::Ticker,
        Channel::BidAsk,
        Channel::Candles(Timeframe::Month1),
    ] {
        topic.clear();
        adapter().topic(Some(&market), channel, &mut topic).unwrap();
        assert_eq!(adapter().parse_topic(&topic), Some((channel, Some("ETHBTC".to_owned()))), "{topic}");
    }
    assert_eq!(topic, "ethbtc@kline_1M");
    assert_eq!(adapter().parse_topic("ethbtc@depth20"), Some((Channel::TopBook(20), Some("ETHBTC".to_owned()))));
    assert_eq!(adapter().parse_topic("ethbtc@forceOrder"), None);
    let error = adapter().topic(None, Channel::AllBidsAsks, &mut topic).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSupported);
    let error = Binance::new(&VARIANTS[1])
        .topic(Some(&market), Channel::Candles(Timeframe::S1), &mut topic)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "binanceus: has no candles of 1s; it has 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h, 1d, 3d, 1w, 1M"
    );
}

#[test]
fn subscriptions_are_spelled_as_documented() {
    let mut out = Vec::new();
    adapter().subscription(Act::Subscribe, &["btcusdt@depth@100ms", "btcusdt@trade"], 1, &mut out);
    assert_eq!(out, br#"{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms","btcusdt@trade"],"id":1}"#);
    out.clear();
    adapter().subscription(Act::Unsubscribe, &["btcusdt@trade"], 2, &mut out);
    assert_eq!(out, br#"{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":2}"#);
}

const EXCHANGE_INFO: &str = r#"{"timezone":"UTC","symbols":[{"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","baseAssetPrecision":8,"quoteAsset":"BTC","quotePrecision":8,"filters":[{"filterType":"PRICE_FILTER","minPrice":"0.00000100","maxPrice":"922327.00000000","tickSize":"0.00000100"},{"filterType":"LOT_SIZE","minQty":"0.00010000","maxQty":"100000.00000000","stepSize":"0.00010000"},{"filterType":"MIN_NOTIONAL","minNotional":"0.00010000","applyToMarket":true,"avgPriceMins":5}],"permissions":["SPOT","MARGIN"]},{"symbol":"YOYOBTC","status":"BREAK","baseAsset":"YOYO","quoteAsset":"BTC","filters":[]},{"broken":1},{"symbol":"AB","status":"TRADING","baseAsset":"A","quoteAsset":"B","filters":[],"permissions":["TRD_GRP_003"]}]}"#;

fn sample_market() -> Market {
    let reply = Reply { status: 200, body: EXCHANGE_INFO.as_bytes(), weight_used: None, retry_after_s: None };
    match answer(Ask::Markets, reply) {
        Ok(Answer::Markets(list)) => list[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn answer(ask: Ask, reply: Reply<'_>) -> Result<Answer, AnswerError> {
    let routes = routes(&[("nknusdt@depth@100ms", Channel::Book)]);
    let route = *routes.route(RouteId(0)).unwrap();
    adapter().on_reply(ask, &reply, &route, Wall(5), &mut Decoded::new())
}

#[test]
fn markets_of_exchange_info() {
    let reply = Reply { status: 200, body: EXCHANGE_INFO.as_bytes(), weight_used: None, retry_after_s: None };
    let Ok(Answer::Markets(list)) = answer(Ask::Markets, reply) else { panic!() };
    let names: Vec<_> = list.iter().map(|market| (&*market.symbol, &*market.venue_symbol, market.active)).collect();
    assert_eq!(names, [("ETH/BTC", "ETHBTC", true), ("YOYOW/BTC", "YOYOBTC", false), ("A/B", "AB", false)]);
    let market = &list[0];
    assert_eq!((market.price_scale, market.amount_scale), (6, 4));
    assert_eq!((market.price_tick, market.amount_step), (fixed("0.000001"), fixed("0.0001")));
    assert_eq!(market.amount_limits, Limits { min: fixed("0.0001"), max: fixed("100000") });
    assert_eq!(market.cost_limits, Limits { min: fixed("0.0001"), max: None });
    assert_eq!((list[1].price_scale, list[1].price_tick), (8, None));
}

#[test]
fn rest_requests_carry_their_weight() {
    let market = sample_market();
    let request = |depth| adapter().request(Ask::Snapshot { depth }, Some(&market)).unwrap();
    assert_eq!((request(100).target.as_str(), request(100).weight), ("/api/v3/depth?symbol=ETHBTC&limit=100", 5));
    assert_eq!((request(101).target.as_str(), request(101).weight), ("/api/v3/depth?symbol=ETHBTC&limit=500", 25));
    assert_eq!((request(u16::MAX).weight, request(1_000).weight), (250, 50));
    let market = Market { venue_symbol: "币安USDT".into(), ..market };
    let target = adapter().request(Ask::Snapshot { depth: 100 }, Some(&market)).unwrap().target;
    assert_eq!(target, "/api/v3/depth?symbol=%E5%B8%81%E5%AE%89USDT&limit=100");
}

#[test]
fn refusals_in_unified_words() {
    let kind = |status, body: &str| {
        let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
        match answer(Ask::Snapshot { depth: 100 }, reply) {
            Err(AnswerError::Refused(error)) => (error.kind(), error.to_string()),
            other => panic!("{other:?}"),
        }
    };
    let (found, text) = kind(400, r#"{"code":-1121,"msg":"Invalid symbol."}"#);
    assert_eq!((found, text.as_str()), (ErrorKind::BadSymbol, "binance: Invalid symbol. (code -1121)"));
    assert_eq!(kind(429, r#"{"code":-1003,"msg":"Too many requests"}"#).0, ErrorKind::RateLimitExceeded);
    assert_eq!(kind(418, "").0, ErrorKind::DdosProtection);
    assert_eq!(kind(503, "<html>").1, "binance: HTTP status 503");
    assert_eq!(kind(200, "[]").0, ErrorKind::BadResponse);
    assert_eq!(kind(200, r#"{"lastUpdateId":1,"bids":[]}"#).0, ErrorKind::BadResponse);
    for (code, text, expected) in [
        (-1021, "", ErrorKind::InvalidNonce),
        (-1022, "", ErrorKind::AuthenticationError),
        (-2010, "Account has insufficient balance for requested action.", ErrorKind::InsufficientFunds),
        (-2010, "Order would immediately match and take.", ErrorKind::OrderImmediatelyFillable),
        (-2010, "other", ErrorKind::InvalidOrder),
        (-1013, "Filter failure: LOT_SIZE", ErrorKind::InvalidOrder),
        (-1013, "Market is closed.", ErrorKind::MarketClosed),
        (-1013, "other", ErrorKind::BadRequest),
        (-1105, "", ErrorKind::BadRequest),
        (-1108, "", ErrorKind::BadSymbol),
        (-1125, "", ErrorKind::AuthenticationError),
        (-2011, "", ErrorKind::OrderNotFound),
        (-1007, "", ErrorKind::RequestTimeout),
        (-9999, "", ErrorKind::ExchangeError),
    ] {
        assert_eq!(kind_of(code, text), expected, "{code} {text}");
    }
}

#[test]
fn status_by_rest() {
    let health = |body: &str| match answer(
        Ask::Status,
        Reply { status: 200, body: body.as_bytes(), weight_used: None, retry_after_s: None },
    ) {
        Ok(Answer::Status(status)) => (status.status, status.updated, status.emulated),
        other => panic!("{other:?}"),
    };
    assert_eq!(health(r#"{"status":0,"msg":"normal"}"#), (Health::Ok, Wall(5), true));
    assert_eq!(health(r#"{"status":1,"msg":"system maintenance"}"#).0, Health::Maintenance);
    assert_eq!(health("{}").0, Health::Ok);
}

const FUTURES_DEPTH: &str = r#"{"stream":"sushiusdt@depth@100ms","data":{"e":"depthUpdate","E":1633998523964,"T":1633998523957,"s":"SUSHIUSDT","U":600859604843,"u":600859605926,"pu":600859604824,"b":[["10.3010","0"],["10.3170","3126"],["10.3250","2205"],["10.3280","1420"]],"a":[["10.3350","1018"],["10.3430","0"],["10.3490","2477"],["10.3680","87"]]}}"#;
const TRADE: &str = r#"{"stream":"nknusdt@trade","data":{"e":"trade","E":1633998523963,"s":"NKNUSDT","t":27412934,"p":"0.35280000","q":"58.00000000","b":196312314,"a":196312222,"T":1633998523963,"m":false,"M":true}}"#;
const TRADE_NOW: &str = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1753998523963,"s":"BTCUSDT","t":5127412934,"p":"113528.0100","q":"58.00000000","T":1753998523963,"m":true,"M":true}}"#;
const BOOK_TICKER: &str = r#"{"stream":"nknusdt@bookTicker","data":{"u":499869768,"s":"NKNUSDT","b":"0.35210000","B":"672.00000000","a":"0.35260000","A":"3199.00000000"}}"#;

/// Both ways of reading a frame: what the usual one makes of it, if anything, and the plain one.
fn both_ways(frame: &[u8], routes: &Routes) -> (Option<String>, Option<String>) {
    let mut out = Decoded::new();
    let usual = usual(frame, routes, &mut out).map(|()| format!("{out:?}"));
    out.clear();
    let any = adapter().on_any_frame(frame, routes, &mut out);
    (usual, any.ok().map(|()| format!("{out:?}")))
}

#[test]
fn the_usual_way_is_taken_and_reads_what_the_plain_one_reads() {
    for (frame, topic, channel) in [
        (DEPTH, "nknusdt@depth@100ms", Channel::Book),
        (FUTURES_DEPTH, "sushiusdt@depth@100ms", Channel::Book),
        (TRADE, "nknusdt@trade", Channel::Trades),
        (TRADE_NOW, "btcusdt@trade", Channel::Trades),
        (BOOK_TICKER, "nknusdt@bookTicker", Channel::BidAsk),
    ] {
        let routes = routes(&[(topic, channel)]);
        judge_usual_reader(frame, 1_001, |frame| both_ways(frame, &routes));
        // Pairs of numbers need AVX2, levels do not.
        if channel == Channel::Book {
            let (usual, any) = both_ways(frame.as_bytes(), &routes);
            assert_eq!(usual, any);
        }
    }
}
