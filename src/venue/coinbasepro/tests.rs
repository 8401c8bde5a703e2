//! Frames of captures and of the documentation in, exact values out.

use super::*;
use crate::book::Level;
use crate::decimal::Fixed;
use crate::venue::RouteId;
use crate::venue::shared::judge_usual_reader;

fn adapter() -> CoinbasePro {
    CoinbasePro::default()
}

fn routes(topic: &str) -> Routes {
    let mut routes = Routes::default();
    let (channel, _) = adapter().parse_topic(topic).unwrap();
    let route = Route { feed: 0, channel, market: None, price_scale: 5, amount_scale: 6, levels_max: 100 };
    routes.insert(topic, route);
    routes
}

fn decode(topic: &str, frame: &str) -> Result<Decoded, DecodeError> {
    let mut out = Decoded::new();
    adapter().on_frame(frame.as_bytes(), &routes(topic), &mut out)?;
    Ok(out)
}

fn fixed(text: &str) -> Option<Fixed> {
    Some(text.parse().unwrap())
}

const UPDATE: &str = r#"{"type":"l2update","product_id":"YFI-BTC","changes":[["sell","0.83063","1.5"],["buy","0.82063","0.014210"],["sell","0.84","0.00000000"]],"time":"2021-04-17T16:43:40.217224Z"}"#;

const UPDATE_ONE: &str = r#"{"type":"l2update","product_id":"YFI-BTC","changes":[["buy","0.82063","0.014210"]],"time":"2021-04-17T16:43:40.217224Z"}"#;

#[test]
fn changes_of_both_sides_in_one_message() {
    let out = decode("level2:YFI-BTC", UPDATE).unwrap();
    let delta = out.delta(&out.items[0]).unwrap();
    assert_eq!(delta.bids, [Level { price: 82_063, qty: 14_210 }]);
    assert_eq!(delta.asks, [Level { price: 83_063, qty: 1_500_000 }, Level { price: 84_000, qty: 0 }]);
    assert_eq!(delta.venue_time, Some(Wall(1_618_677_820_217_224_000)));
    assert_eq!((delta.first, delta.last, delta.prev, out.items.len()), (0, 0, None, 1));
    let zeros = ["0", "0.0", "0.00", "0.000000", "0.00000000"];
    for zero in zeros {
        let out = decode("level2:YFI-BTC", &UPDATE.replace("0.014210", zero)).unwrap();
        assert_eq!(out.delta(&out.items[0]).unwrap().bids, [Level { price: 82_063, qty: 0 }]);
    }
    let other = decode("level2:YFI-USD", UPDATE).unwrap();
    assert!(matches!(other.items[..], [Item::Unrouted]));
}

#[test]
fn members_may_come_in_any_order() {
    let frame = r#"{ "time":"0001-01-01T00:00:00.000000Z","changes":[["buy","1","2"]],"product_id":"YFI-BTC","type":"l2update"}"#;
    let out = decode("level2:YFI-BTC", frame).unwrap();
    let delta = out.delta(&out.items[0]).unwrap();
    assert_eq!((delta.bids.len(), delta.venue_time), (1, None), "the year 1 is no time");
}

#[test]
fn a_snapshot_is_the_whole_book() {
    let frame =
        r#"{"type":"snapshot","product_id":"YFI-BTC","asks":[["0.5762","2865.9"],["0.5767","6327.2"]],"bids":[]}"#;
    let out = decode("level2:YFI-BTC", frame).unwrap();
    let snapshot = out.snapshot(&out.items[0]).unwrap();
    assert_eq!((snapshot.asks.len(), snapshot.bids.len(), snapshot.asks_cut), (2, 0, false));
    let rows = vec![r#"["1","2"]"#; 20_000].join(",");
    let frame = format!(r#"{{"type":"snapshot","product_id":"YFI-BTC","asks":[{rows}],"bids":[{rows}]}}"#);
    let out = decode("level2:YFI-BTC", &frame).unwrap();
    assert_eq!(out.snapshot(&out.items[0]).unwrap().bids.len(), 20_000, "the limit of a delta is none of a snapshot");
}

#[test]
fn what_is_broken_or_finer_says_so() {
    let error =
        decode("level2:YFI-BTC", &UPDATE.replace("0.82063", "0.8206301").replace("1.5", "1.5000001")).unwrap_err();
    assert_eq!(error, DecodeError::Finer { route: RouteId(0), price_scale: 7, amount_scale: 7 });
    for (from, to) in
        [("\"buy\"", "\"hold\""), ("0.82063", "0.8.3"), ("changes", "news"), (r#"Z"}"#, r#"Z"}}"#), (r#"Z"}"#, r#""}"#)]
    {
        let result = decode("level2:YFI-BTC", &UPDATE.replace(from, to));
        assert!(
            matches!(result, Err(DecodeError::Malformed { route: Some(RouteId(0)), .. })),
            "{from} -> {to}: {result:?}"
        );
    }
    let long = vec![r#"["buy","1","2"]"#; 101].join(",");
    let frame = format!(r#"{{"type":"l2update","product_id":"YFI-BTC","changes":[{long}]}}"#);
    assert!(decode("level2:YFI-BTC", &frame).is_err());
    assert!(matches!(
        decode("level2:YFI-BTC", r#"{"type":"l2update"}"#),
        Err(DecodeError::Malformed { route: None, .. })
    ));
    assert!(matches!(decode("level2:YFI-BTC", "{}"), Err(DecodeError::Malformed { route: None, .. })));
}

#[test]
fn the_taker_is_on_the_other_side_than_the_maker() {
    let frame = r#"{"type":"last_match","trade_id":563678,"maker_order_id":"a714a99e-e437-46dc-890e-a8bc12d3f306","taker_order_id":"3560b5fa-dbc1-48eb-b3a2-e29cdbd110e5","side":"sell","size":"70","price":"0.4394","product_id":"NU-GBP","sequence":108779525,"time":"2021-04-17T16:43:18.435588Z"}"#;
    let out = decode("matches:NU-GBP", frame).unwrap();
    let Item::Trades { trades, .. } = out.items[0] else { panic!() };
    let trade = out.trades(trades)[0];
    assert_eq!((trade.id.as_str(), trade.side), ("563678", Some(TakerSide::Buy)));
    assert_eq!((Some(trade.price), Some(trade.amount)), (fixed("0.4394"), fixed("70")));
    assert_eq!(trade.venue_time, Some(Wall(1_618_677_798_435_588_000)));
    let out = decode("matches:NU-GBP", &frame.replace("last_match", "match").replace("\"sell\"", "\"buy\"")).unwrap();
    let Item::Trades { trades, .. } = out.items[0] else { panic!() };
    assert_eq!(out.trades(trades)[0].side, Some(TakerSide::Sell));
}

#[test]
fn ticker() {
    let frame = r#"{"type":"ticker","sequence":201392664,"product_id":"SKL-USD","price":"0.7909","open_24h":"0.7055","volume_24h":"34162410.20000000","low_24h":"0.6915","high_24h":"0.8098","volume_30d":"948589762.90000000","best_bid":"0.7909","best_bid_size":"5","best_ask":"0.7916"}"#;
    let out = decode("ticker:SKL-USD", frame).unwrap();
    let Item::Ticker { row, .. } = out.items[0] else { panic!() };
    let ticker = out.ticker(row).unwrap();
    assert_eq!((ticker.last, ticker.bid, ticker.ask), (fixed("0.7909"), fixed("0.7909"), fixed("0.7916")));
    assert_eq!((ticker.bid_volume, ticker.ask_volume, ticker.venue_time), (fixed("5"), None, None));
    assert_eq!(ticker.base_volume, fixed("34162410.2"));
}

#[test]
fn answers_and_notices() {
    let items = |frame: &str| decode("ticker:SKL-USD", frame).unwrap().items;
    let list = r#"{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["A-B","C-D"]},{"name":"heartbeat","product_ids":["A-B"]},{"name":"ticker","product_ids":["A-B"]}]}"#;
    let [Item::Subscribed(topics)] = &items(list)[..] else { panic!() };
    assert_eq!(topics.iter().map(|topic| &**topic).collect::<Vec<_>>(), ["level2:A-B", "level2:C-D", "ticker:A-B"]);
    assert!(
        matches!(&items(r#"{"type":"subscriptions","channels":[]}"#)[..], [Item::Subscribed(topics)] if topics.is_empty())
    );
    let refused =
        items(r#"{"type":"error","message":"Failed to subscribe","reason":"XYZ-USD is not a valid product"}"#);
    let Item::TopicRefused { topic, error } = &refused[0] else { panic!("{refused:?}") };
    assert_eq!((&**topic, error.kind(), refused.len()), ("level2:XYZ-USD", ErrorKind::BadSymbol, 3));
    assert_eq!(error.to_string(), "coinbasepro: Failed to subscribe: XYZ-USD is not a valid product");
    let refused =
        items(r#"{"type":"error","message":"Authentication Failed","reason":"{\"message\":\"Invalid API Key\"}"}"#);
    let Item::Refusal { id: None, error } = &refused[0] else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::AuthenticationError);
    let beat = r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}"#;
    assert!(matches!(items(beat)[..], [Item::Heartbeat]));
    assert!(matches!(items(r#"{"type":"something new"}"#)[..], [Item::Heartbeat]));
}

#[test]
fn topics_and_subscriptions() {
    let (mut topic, market) = (String::new(), sample_markets().remove(0));
    for channel in [Channel::Book, Channel::Trades, Channel::Ticker] {
        topic.clear();
        adapter().topic(Some(&market), channel, &mut topic).unwrap();
        assert_eq!(adapter().parse_topic(&topic), Some((channel, Some("BTC-USD".to_owned()))), "{topic}");
    }
    let error = adapter().topic(Some(&market), Channel::BidAsk, &mut topic).unwrap_err();
    assert_eq!(error.to_string(), "coinbasepro: has no stream of best bid and ask; watch the book");
    assert_eq!(adapter().topic_of(UPDATE.as_bytes()).as_deref(), Some("level2:YFI-BTC"));
    let mut out = Vec::new();
    adapter().subscription(Act::Subscribe, &["level2:A-B", "ticker:A-B", "level2:C-D"], 1, &mut out);
    assert_eq!(
        String::from_utf8(out.clone()).unwrap(),
        r#"{"type":"subscribe","channels":[{"name":"level2_batch","product_ids":["A-B","C-D"]},{"name":"ticker","product_ids":["A-B"]}]}"#
    );
    assert_eq!(adapter().topics_of_subscription(&out), ["level2:A-B", "level2:C-D", "ticker:A-B"]);
    let recorded = br#"{"type":"subscribe","product_ids":["A-B"],"channels":["matches","heartbeat",{"name":"level2","product_ids":["E-F"]}]}"#;
    assert_eq!(adapter().topics_of_subscription(recorded), ["matches:A-B", "level2:E-F"]);
}

const PRODUCTS: &str = r#"[{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","base_min_size":"0.0001","base_max_size":"280","quote_increment":"0.01000000","base_increment":"0.00000001","min_market_funds":"5","status":"online"},{"id":"BTCAUCTION-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01","base_increment":"0.00000001","status":"delisted"},{"broken":1},{"id":"CGLD-EUR","quote_increment":"0.0001","base_increment":"0.01","status":"online"}]"#;

fn answer(ask: Ask, status: u16, body: &str) -> Result<Answer, AnswerError> {
    let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
    let (channel, market) = (Channel::Book, None);
    let route = Route { feed: 0, channel, market, price_scale: 0, amount_scale: 0, levels_max: 1 };
    adapter().on_reply(ask, &reply, &route, Wall(5), &mut Decoded::new())
}

fn sample_markets() -> Vec<Market> {
    match answer(Ask::Markets, 200, PRODUCTS) {
        Ok(Answer::Markets(list)) => list,
        other => panic!("{other:?}"),
    }
}

#[test]
fn markets_status_and_refusals() {
    let list = sample_markets();
    let names: Vec<_> = list.iter().map(|market| (&*market.symbol, market.active)).collect();
    assert_eq!(names, [("BTC/USD", true), ("BTCAUCTION/USD", false), ("CELO/EUR", true)]);
    assert_eq!((list[0].price_scale, list[0].amount_scale), (2, 8));
    assert_eq!((list[0].amount_limits.min, list[0].cost_limits.min), (fixed("0.0001"), fixed("5")));
    let refused = |status, body: &str| match answer(Ask::Markets, status, body) {
        Err(AnswerError::Refused(error)) => (error.kind(), error.to_string()),
        other => panic!("{other:?}"),
    };
    let (kind, text) = refused(429, r#"{"message":"Public rate limit exceeded"}"#);
    assert_eq!((kind, text.as_str()), (ErrorKind::RateLimitExceeded, "coinbasepro: Public rate limit exceeded"));
    assert_eq!(refused(503, "").1, "coinbasepro: HTTP status 503");
    assert_eq!(refused(200, "{}").0, ErrorKind::BadResponse);
    let Ok(Answer::Status(status)) = answer(Ask::Status, 200, "{}") else { panic!() };
    assert_eq!((status.status, status.emulated), (Health::Ok, true));
}

#[test]
fn the_usual_way_is_taken_and_reads_what_the_plain_one_reads() {
    for (frame, topic) in [(UPDATE, "level2:YFI-BTC"), (UPDATE_ONE, "level2:YFI-BTC")] {
        let routes = routes(topic);
        let mut times = IsoTimes::default();
        judge_usual_reader(frame, 1_000, |frame| {
            let mut out = Decoded::new();
            let usual = on_usual_update(frame, &routes, &mut times, &mut out).map(|()| format!("{out:?}"));
            out.clear();
            let any = on_any_frame(frame, &routes, &mut IsoTimes::default(), &mut out);
            (usual, any.ok().map(|()| format!("{out:?}")))
        });
    }
}
