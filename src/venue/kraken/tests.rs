//! Frames of captures and of the documentation in, exact values out.

use super::*;
use crate::book::{Expected, Level, checksum::Scales};
use crate::decimal::Fixed;
use crate::model::{Health, TakerSide};
use crate::venue::Item;
use crate::venue::shared::judge_usual_reader;

fn adapter() -> Kraken {
    Kraken::default()
}

fn routes(topic: &str, price_scale: u8, amount_scale: u8) -> Routes {
    let mut routes = Routes::default();
    let (channel, _) = adapter().parse_topic(topic).unwrap();
    let route = Route { feed: 0, channel, market: None, price_scale, amount_scale, levels_max: 100 };
    routes.insert(adapter().route_key(topic), route);
    routes
}

fn decode(topic: &str, frame: &str) -> Result<Decoded, DecodeError> {
    let mut out = Decoded::new();
    adapter().on_frame(frame.as_bytes(), &routes(topic, 4, 8), &mut out)?;
    Ok(out)
}

fn fixed(text: &str) -> Option<Fixed> {
    Some(text.parse().unwrap())
}

const BOOK: &str = r#"{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5666,"qty":4831.75496356},{"price":0.566,"qty":0.0}],"asks":[{"price":0.5668,"qty":4410.79769741}],"checksum":2439117997,"timestamp":"2023-10-06T17:35:55.440295Z"}]}"#;

#[test]
fn book_of_version_2() {
    for topic in ["book:MATIC/USD", "book:MATIC/USD@25"] {
        let out = decode(topic, BOOK).unwrap();
        let delta = out.delta(&out.items[0]).unwrap();
        assert_eq!(delta.bids, [Level { price: 5666, qty: 483_175_496_356 }, Level { price: 5660, qty: 0 }]);
        assert_eq!(delta.asks, [Level { price: 5668, qty: 441_079_769_741 }]);
        assert_eq!(delta.venue_time, Some(Wall(1_696_613_755_440_295_000)));
        let Item::Book { checksum, .. } = out.items[0] else { panic!() };
        let printed = Scales { price: 4, qty: 8 };
        assert_eq!(checksum, Some(Expected::Kraken { crc: 2_439_117_997, printed }));
    }
    let out = decode("book:MATIC/USD", &BOOK.replace("update", "snapshot")).unwrap();
    assert_eq!(out.snapshot(&out.items[0]).unwrap().bids.len(), 2);
    let other = decode("book:ADA/USD", BOOK).unwrap();
    assert!(matches!(other.items[..], [Item::Unrouted]));
}

#[test]
fn members_may_come_in_any_order() {
    let frame = r#" {"data":[{"checksum":5,"asks":[],"bids":[ {"qty":1e-08,"new":1, "price":0.5} ],"symbol":"MATIC/USD"}],"type":"snapshot","channel":"book"} "#;
    let out = decode("book:MATIC/USD", frame).unwrap();
    let snapshot = out.snapshot(&out.items[0]).unwrap();
    assert_eq!((snapshot.bids, snapshot.venue_time), (&[Level { price: 5000, qty: 1 }][..], None));
}

#[test]
fn what_is_broken_or_finer_says_so() {
    let error = decode("book:MATIC/USD", &BOOK.replace("0.5666", "0.56661").replace("0.5668", "0.566812")).unwrap_err();
    assert_eq!(error, DecodeError::Finer { route: RouteId(0), price_scale: 6, amount_scale: 8 });
    for (from, to) in [
        ("0.5668,", "0.56.68,"),
        (r#""qty":0.0"#, r#""size":0.0"#),
        (r#","asks":[{"price":0.5668,"qty":4410.79769741}]"#, ""),
        ("}]}", "}]"),
    ] {
        let error = decode("book:MATIC/USD", &BOOK.replace(from, to)).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { route: Some(RouteId(0)), .. }), "{from} -> {to}: {error:?}");
    }
    let out = decode("book:MATIC/USD", &BOOK.replace("0.5668,", "99999999999999999999,")).unwrap();
    let Item::Book { rejected, .. } = out.items[0] else { panic!() };
    assert_eq!((rejected, out.delta(&out.items[0]).unwrap().asks.len()), (1, 0));
    let long = vec![r#"{"price":1,"qty":1}"#; 101].join(",");
    let frame = BOOK.replace(r#"{"price":0.5668,"qty":4410.79769741}"#, &long);
    assert!(matches!(decode("book:MATIC/USD", &frame), Err(DecodeError::Malformed { route: Some(_), .. })));
}

const V1: &str =
    r#"[992,{"b":[["354.15000000","5.00000000","1618678133.365913"]],"c":"2583817756"},"book-1000","XMR/USD"]"#;

#[test]
fn book_of_version_1() {
    let out = decode("book:XMR/USD", V1).unwrap();
    let delta = out.delta(&out.items[0]).unwrap();
    assert_eq!((delta.bids, delta.asks), (&[Level { price: 3_541_500, qty: 500_000_000 }][..], &[][..]));
    assert_eq!(delta.venue_time, Some(Wall(1_618_678_133_365_913_000)));
    let Item::Book { checksum, .. } = out.items[0] else { panic!() };
    assert_eq!(checksum, Some(Expected::Kraken { crc: 2_583_817_756, printed: Scales { price: 8, qty: 8 } }));
    // Both sides in two objects, a level that is sent again, spaces.
    let frame = r#"[741, {"a":[["413.90000","27.71904764","1561939258.527125","r"]]}, {"b":[["400.00000","3.38983321","1561939258.526326"]],"c":"5"} , "book-10" , "BCH/USD" ] "#.replace(r#""BCH/USD" ]"#, r#""BCH/USD"]"#);
    let out = decode("book:BCH/USD@10", &frame).unwrap();
    let delta = out.delta(&out.items[0]).unwrap();
    assert_eq!((delta.bids.len(), delta.asks.len()), (1, 1));
    assert_eq!(delta.venue_time, Some(Wall(1_561_939_258_527_125_000)), "the later of both");
    let Item::Book { checksum, .. } = out.items[0] else { panic!() };
    assert_eq!(checksum, Some(Expected::Kraken { crc: 5, printed: Scales { price: 5, qty: 8 } }));
    let frame = r#"[0,{"as":[["5541.3","2.507","1534614248.456738"]],"bs":[]},"book-1000","XMR/USD"]"#;
    let out = decode("book:XMR/USD", frame).unwrap();
    assert_eq!(out.snapshot(&out.items[0]).unwrap().asks.len(), 1);
    for broken in [
        r#"[992,{"c":"1"},"book-1000","XMR/USD"]"#,
        r#"[992,{"as":[]},"book-1000","XMR/USD"]"#,
        r#"[992,{"a":[["1"]]},"book-1000","XMR/USD"]"#,
    ] {
        assert!(
            matches!(decode("book:XMR/USD", broken), Err(DecodeError::Malformed { route: Some(_), .. })),
            "{broken}"
        );
    }
    for broken in ["[", "[992]", r#"["]"#, r#"[1,{},"XMR/USD"]"#] {
        assert!(matches!(decode("book:XMR/USD", broken), Err(DecodeError::Malformed { route: None, .. })), "{broken}");
    }
    assert!(matches!(decode("book:ADA/USD", V1).unwrap().items[..], [Item::Unrouted]));
}

#[test]
fn trades_of_both_versions() {
    let frame = r#"{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"},{"symbol":"MATIC/USD","side":"buy","price":0.5118,"qty":1.5,"ord_type":"limit","trade_id":4665907,"timestamp":"2023-09-25T07:49:37.808706Z"}]}"#;
    let out = decode("trade:MATIC/USD", frame).unwrap();
    let [Item::Trades { trades, .. }] = out.items[..] else { panic!("{:?}", out.items) };
    let trades = out.trades(trades);
    assert_eq!((trades[0].id.as_str(), trades[0].side, trades.len()), ("4665906", Some(TakerSide::Sell), 2));
    assert_eq!((Some(trades[1].price), Some(trades[1].amount)), (fixed("0.5118"), fixed("1.5")));
    // Those from before the subscription are none of this feed.
    assert!(matches!(
        decode("trade:MATIC/USD", &frame.replace("update", "snapshot")).unwrap().items[..],
        [Item::Heartbeat]
    ));
    let frame = r#"[170,[["0.01136500","2.51146536","1561939201.587070","s","l",""],["0.0114","1","1561939201.6","b","l",""]],"trade","LTC/XBT"]"#;
    let out = decode("trade:LTC/XBT", frame).unwrap();
    let Item::Trades { trades, .. } = out.items[0] else { panic!() };
    let trades = out.trades(trades);
    assert_eq!(
        (trades[0].id.as_str(), trades[0].side, trades[1].side),
        ("", Some(TakerSide::Sell), Some(TakerSide::Buy))
    );
    assert_eq!(trades[0].venue_time, Some(Wall(1_561_939_201_587_070_000)));
    assert_eq!((Some(trades[0].price), Some(trades[0].amount)), (fixed("0.011365"), fixed("2.51146536")));
}

const TICKER: &str = r#"{"channel":"ticker","type":"update","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10035,"ask_qty":740.0,"last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017,"change_pct":-0.17,"timestamp":"2025-10-06T17:35:55.440295Z"}]}"#;

#[test]
fn ticker_and_best_bid_and_ask_are_one_message() {
    let out = decode("ticker:ALGO/USD", TICKER).unwrap();
    let Item::Ticker { row, .. } = out.items[0] else { panic!() };
    let ticker = out.ticker(row).unwrap();
    assert_eq!((ticker.last, ticker.bid, ticker.change), (fixed("0.10035"), fixed("0.10025"), fixed("-0.00017")));
    assert_eq!((ticker.base_volume, ticker.ask_volume), (fixed("997038.98383185"), fixed("740")));
    let out = decode("ticker:ALGO/USD@bbo", TICKER).unwrap();
    let Item::BidAsk { row, .. } = out.items[0] else { panic!() };
    let quote = out.bid_ask(row).unwrap();
    assert_eq!((quote.bid, quote.ask, quote.bid_volume), (fixed("0.10025"), fixed("0.10035"), fixed("740")));
    assert_eq!(quote.venue_time, Some(Wall(1_759_772_155_440_295_000)));
    let frame = r#"[996,{"a":["354.55000000",10,"10.38309685"],"b":["354.10000000",1,"1.40000000"],"c":["354.55000000","1.25690315"],"v":["17861.00545423","33466.67340785"],"p":["355.33492037","349.17014510"],"t":[6483,10283],"l":["340.88000000","333.87000000"],"h":["368.00000000","368.00000000"],"o":["340.88000000","335.20000000"]},"ticker","XMR/USD"]"#;
    let out = decode("ticker:XMR/USD", frame).unwrap();
    let Item::Ticker { row, .. } = out.items[0] else { panic!() };
    let ticker = out.ticker(row).unwrap();
    assert_eq!((ticker.bid, ticker.bid_volume, ticker.ask), (fixed("354.1"), fixed("1.4"), fixed("354.55")));
    assert_eq!((ticker.open, ticker.low, ticker.vwap), (fixed("335.2"), fixed("333.87"), fixed("349.1701451")));
}

#[test]
fn candles_of_both_versions() {
    let frame = r#"{"channel":"ohlc","type":"update","timestamp":"2023-10-04T16:26:30.000000Z","data":[{"symbol":"MATIC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,"vwap":0.5626,"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,"timestamp":"2023-10-04T16:30:00.000000Z"}]}"#;
    let out = decode("ohlc-5:MATIC/USD", frame).unwrap();
    let Item::Candle { row, .. } = out.items[0] else { panic!() };
    let candle = out.candle(row).unwrap();
    assert_eq!((candle.open_time, candle.trades), (Wall(1_696_436_700_000_000_000), Some(12)));
    assert_eq!((Some(candle.high), Some(candle.volume)), (fixed("0.5628"), fixed("30927.68066226")));
    assert!(matches!(decode("ohlc-1:MATIC/USD", frame).unwrap().items[..], [Item::Unrouted]));
    let frame = r#"[343,["1675209613.118218","1675209660.000000","23135.00000","23135.40000","23135.00000","23135.40000","23135.13297","0.39012812",7],"ohlc-1","XBT/USD"]"#;
    let out = decode("ohlc-1:XBT/USD", frame).unwrap();
    let Item::Candle { row, .. } = out.items[0] else { panic!() };
    let candle = out.candle(row).unwrap();
    assert_eq!((candle.open_time, candle.trades), (Wall(1_675_209_600_000_000_000), Some(7)));
    assert_eq!((Some(candle.close), Some(candle.volume)), (fixed("23135.4"), fixed("0.39012812")));
}

#[test]
fn answers_and_notices() {
    let item = |frame: &str| decode("book:BTC/USD", frame).unwrap().items[0].clone();
    let ack = r#"{"method":"subscribe","result":{"channel":"book","depth":10,"snapshot":true,"symbol":"BTC/USD"},"success":true,"time_in":"2023-10-06T17:35:55.219022Z","time_out":"2023-10-06T17:35:55.219067Z","req_id":7}"#;
    assert!(matches!(item(ack), Item::Ack { id: 7 }));
    let refused = r#"{"error":"Currency pair not supported FOO/BAR","method":"subscribe","success":false,"symbol":"FOO/BAR","req_id":8}"#;
    let Item::Refusal { id: Some(8), error } = item(refused) else { panic!() };
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::BadSymbol, "kraken: Currency pair not supported FOO/BAR")
    );
    for beat in [
        r#"{"channel":"heartbeat"}"#,
        r#"{"method":"pong","req_id":101}"#,
        r#"{"event":"heartbeat"}"#,
        r#"{"event":"pong"}"#,
    ] {
        assert!(matches!(item(beat), Item::Heartbeat), "{beat}");
    }
    let status = r#"{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2","connection_id":6447481662169813000}]}"#;
    assert!(matches!(item(status), Item::Status(Health::Ok)));
    assert!(matches!(item(&status.replace("online", "cancel_only")), Item::Status(Health::Maintenance)));
    let status = r#"{"connectionID":18239578009413566319,"event":"systemStatus","status":"online","version":"1.8.3"}"#;
    assert!(matches!(item(status), Item::Status(Health::Ok)));
}

#[test]
fn topics_there_and_back() {
    let (mut topic, market) = (String::new(), sample_market());
    for channel in [
        Channel::Book,
        Channel::TopBook(25),
        Channel::Trades,
        Channel::Ticker,
        Channel::BidAsk,
        Channel::Candles(Timeframe::H4),
    ] {
        topic.clear();
        adapter().topic(Some(&market), channel, &mut topic).unwrap();
        // Version 2 writes BTC, and so does the unified name.
        assert_eq!(adapter().parse_topic(&topic), Some((channel, Some("BTC/USD".to_owned()))), "{topic}");
    }
    assert_eq!(topic, "ohlc-240:BTC/USD");
    assert_eq!(adapter().route_key("book:BTC/USD@25"), "book:BTC/USD");
    assert_eq!(adapter().parse_topic("ohlc-7:BTC/USD"), None);
    assert_eq!(adapter().topic_of(BOOK.as_bytes()).as_deref(), Some("book:MATIC/USD"));
    assert_eq!(adapter().topic_of(V1.as_bytes()).as_deref(), Some("book:XMR/USD"));
    assert_eq!(adapter().topic_of(V1.replace("1000", "25").as_bytes()).as_deref(), Some("book:XMR/USD@25"));
}

#[test]
fn subscriptions_are_spelled_as_documented() {
    let text = |topic: &str| {
        let mut out = Vec::new();
        adapter().subscription(Act::Subscribe, &[topic], 1, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(adapter().topics_of_subscription(text.as_bytes()), [topic], "{text}");
        text
    };
    assert_eq!(
        text("book:BTC/USD@10"),
        r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10},"req_id":1}"#
    );
    assert!(text("book:BTC/USD").contains(r#""depth":1000"#));
    assert!(text("ticker:BTC/USD@bbo").contains(r#""event_trigger":"bbo""#));
    assert!(text("trade:BTC/USD").contains(r#""snapshot":false"#));
    assert!(text("ohlc-5:BTC/USD").contains(r#""channel":"ohlc","symbol":["BTC/USD"],"interval":5"#));
    assert!(!text("ticker:BTC/USD").contains("bbo"));
    let v1 = br#"{"event":"subscribe","pair":["XMR/USD","ADA/XBT"],"subscription":{"name":"book","depth":1000}}"#;
    assert_eq!(adapter().topics_of_subscription(v1), ["book:XMR/USD", "book:ADA/XBT"]);
    assert!(
        adapter()
            .topics_of_subscription(br#"{"event":"unsubscribe","pair":["XMR/USD"],"subscription":{"name":"book"}}"#)
            .is_empty()
    );
}

const PAIRS: &str = r#"{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT\/USD","base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8,"ordermin":"0.0001","costmin":"0.5","tick_size":"0.1","status":"online"},"ETHUSD.d":{"altname":"ETHUSD.d","base":"XETH","quote":"ZUSD","pair_decimals":2,"lot_decimals":8},"LUNAUSD":{"altname":"LUNAUSD","wsname":"LUNA/USD","base":"LUNA","quote":"ZUSD","pair_decimals":8,"lot_decimals":8,"status":"cancel_only"},"XDGXBT":{"wsname":"XDG/XBT","base":"XXDG","quote":"XXBT","pair_decimals":8,"lot_decimals":8}}}"#;

fn answer(ask: Ask, status: u16, body: &str) -> Result<Answer, AnswerError> {
    let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
    let routes = routes("book:BTC/USD", 1, 8);
    adapter().on_reply(ask, &reply, routes.route(RouteId(0)).unwrap(), Wall(5), &mut Decoded::new())
}

fn sample_market() -> Market {
    match answer(Ask::Markets, 200, PAIRS) {
        Ok(Answer::Markets(mut list)) => list.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn markets_status_and_refusals() {
    let Ok(Answer::Markets(list)) = answer(Ask::Markets, 200, PAIRS) else { panic!() };
    let names: Vec<_> = list.iter().map(|market| (&*market.symbol, &*market.venue_symbol, market.active)).collect();
    assert_eq!(
        names,
        [("BTC/USD", "XBT/USD", true), ("LUNC/USD", "LUNA/USD", false), ("DOGE/BTC", "XDG/XBT", true)],
        "dark pools have no name on the stream"
    );
    assert_eq!((list[0].price_scale, list[0].amount_scale, list[0].price_tick), (1, 8, fixed("0.1")));
    assert_eq!((list[1].price_tick, list[0].cost_limits.min), (fixed("0.00000001"), fixed("0.5")));
    assert_eq!(v2_symbol("XDG/XBT"), "DOGE/BTC");
    let refused = |status, body: &str| match answer(Ask::Markets, status, body) {
        Err(AnswerError::Refused(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(200, r#"{"error":["EGeneral:Too many requests"]}"#), "kraken: EGeneral:Too many requests");
    assert_eq!(refused(520, "<html>"), "kraken: HTTP status 520");
    assert_eq!(rest::kind_of("EGeneral:Too many requests"), ErrorKind::DdosProtection);
    assert_eq!(rest::kind_of("EService:Market in cancel_only mode"), ErrorKind::OnMaintenance);
    let Ok(Answer::Status(status)) = answer(Ask::Status, 200, r#"{"error":[],"result":{"status":"maintenance"}}"#)
    else {
        panic!()
    };
    assert_eq!((status.status, status.updated), (Health::Maintenance, Wall(5)));
}

#[test]
fn the_usual_way_is_taken_and_reads_what_the_plain_one_reads() {
    for (frame, topic) in [
        (BOOK, "book:MATIC/USD"),
        (&BOOK.replace("update", "snapshot"), "book:MATIC/USD"),
        (&BOOK.replace("MATIC/USD", "1000MATICS.d/USD"), "book:1000MATICS.d/USD"),
    ] {
        let routes = routes(topic, 4, 8);
        let mut times = IsoTimes::default();
        judge_usual_reader(frame, 1_000, |frame| {
            let mut out = Decoded::new();
            let usual = v2::on_usual_book(frame, &routes, &mut times, &mut out).map(|()| format!("{out:?}"));
            out.clear();
            let any = v2::on_frame(frame, &routes, &mut IsoTimes::default(), &mut out);
            (usual, any.ok().map(|()| format!("{out:?}")))
        });
    }
}
