//! Frames of captures and of the documentation in, exact values out.

use super::*;
use crate::book::checksum::{Checksum, Scales};
use crate::book::{BookSide, Side};
use crate::market::MarketKind;
use crate::model::Health;
use crate::venue::shared::judge_usual_reader;

const BOOK: &str = "book:tBTCUSD";

fn routes(topics: &[&str]) -> Routes {
    let mut routes = Routes::default();
    for (feed, topic) in topics.iter().enumerate() {
        let (channel, _) = Bitfinex::default().parse_topic(topic).unwrap();
        let (price_scale, amount_scale) = (1, 8);
        routes.insert(
            topic,
            Route { feed: feed as u32, channel, market: None, price_scale, amount_scale, levels_max: 100 },
        );
    }
    routes
}

/// An adapter that knows this topic as channel 17.
fn adapter(topic: &str) -> Bitfinex {
    let mut adapter = Bitfinex::default();
    assert!(adapter.channels.insert(17, topic));
    adapter
}

fn decode(topic: &str, frame: &str) -> Result<Decoded, DecodeError> {
    let mut out = Decoded::new();
    adapter(topic).on_frame(frame.as_bytes(), &routes(&[topic]), &mut out)?;
    Ok(out)
}

/// The only item of a message that concerns no data.
fn item(adapter: &mut Bitfinex, frame: &str) -> Item {
    let mut out = Decoded::new();
    adapter.on_frame(frame.as_bytes(), &routes(&[BOOK]), &mut out).unwrap();
    assert_eq!(out.items.len(), 1, "{:?}", out.items);
    out.items[0].clone()
}

fn fixed(text: &str) -> Option<Fixed> {
    Some(text.parse().unwrap())
}

#[test]
fn rows_set_and_delete_levels_of_the_side_that_the_sign_tells() {
    let levels = |frame: &str| {
        let out = decode(BOOK, frame).unwrap();
        let delta = out.delta(&out.items[0]).unwrap();
        let Item::Book { kind: BookKind::Delta, rejected: 0, checksum: None, prev: None, .. } = out.items[0] else {
            panic!("{:?}", out.items)
        };
        ((delta.bids.to_vec(), delta.asks.to_vec()), delta.last, delta.venue_time)
    };
    let level = |price, qty| vec![Level { price, qty }];
    let time = Some(Wall(1_633_998_523_964_000_000));
    assert_eq!(levels("[17,[60397,2,0.51],24,1633998523964]"), ((level(603_970, 51_000_000), vec![]), 24, time));
    assert_eq!(levels("[17,[60397.5,2,-0.51],24]"), ((vec![], level(603_975, 51_000_000)), 24, None));
    assert_eq!(levels("[17,[60397,0,1],25,1633998523964]"), ((level(603_970, 0), vec![]), 25, time));
    assert_eq!(levels("[17,[60397,0,-1]]"), ((vec![], level(603_970, 0)), 0, None));
    assert_eq!(levels("[17,[2e5,1,-1e-8],7]"), ((vec![], level(2_000_000, 1)), 7, None));
    // Rows and messages may become longer; number and time are the last.
    assert_eq!(levels("[17,[1,1,1,null,[]],null,99,26,1633998523964]"), ((level(10, 100_000_000), vec![]), 26, time));
}

#[test]
fn snapshots_hold_both_sides() {
    let out =
        decode(BOOK, "[17,[[216,2,31.52],[215.5,1,1],[218.5,1,-13.33333333],[218.7,1,-2]],10,1564617600541]").unwrap();
    let snapshot = out.snapshot(&out.items[0]).unwrap();
    assert_eq!((snapshot.last, snapshot.bids_cut, snapshot.asks_cut), (10, false, false));
    assert_eq!(snapshot.bids, [Level { price: 2_160, qty: 3_152_000_000 }, Level { price: 2_155, qty: 100_000_000 }]);
    assert_eq!(snapshot.asks[0], Level { price: 2_185, qty: 1_333_333_333 });
    let out = decode(BOOK, "[17,[],1]").unwrap();
    assert_eq!(out.snapshot(&out.items[0]).map(|book| book.bids.len() + book.asks.len()), Some(0));
}

#[test]
fn what_is_broken_or_finer_says_so() {
    let error = decode(BOOK, "[17,[[216.25,2,31.5],[215.125,1,1]],10]").unwrap_err();
    assert_eq!(error, DecodeError::Finer { route: RouteId(0), price_scale: 3, amount_scale: 8 });
    let error = decode(BOOK, "[17,[2e-8,1,0.000000001],10]").unwrap_err();
    assert_eq!(error, DecodeError::Finer { route: RouteId(0), price_scale: 8, amount_scale: 9 });
    for frame in [
        "[17,[60397,2,0],24]",
        "[17,[60397,2],24]",
        "[17,[60397,-2,1],24]",
        "[17,[60397,2,0.51],24",
        "[17,[60397,2,0.51],24]]",
        "[17,[[60397,2,0.51],7],24]",
        "[17]",
        r#"[17,"cs",x,3]"#,
    ] {
        let error = decode(BOOK, frame).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { route: Some(RouteId(0)), .. }), "{frame}: {error:?}");
    }
    for frame in ["", "nonsense", "[]", "[-1,[]]", r#"{"event":"#] {
        assert!(matches!(decode(BOOK, frame), Err(DecodeError::Malformed { route: None, .. })), "{frame}");
    }
    let many = vec!["[1,1,1]"; 201].join(",");
    let error = decode(BOOK, &format!("[17,[{many}],1]")).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed { error, .. } if error.kind == JsonErrorKind::LevelsMax));
    let out = decode(BOOK, "[17,[99999999999999999999,1,1],1]").unwrap();
    assert!(matches!(out.items[0], Item::Book { rejected: 1, .. }));
}

#[test]
fn channels_that_nobody_knows_are_told_from_heartbeats() {
    assert!(matches!(decode(BOOK, "[18,[60397,2,0.51],24]").unwrap().items[..], [Item::Unrouted]));
    assert!(matches!(decode(BOOK, r#"[18,"te",[1,2,3,4],24]"#).unwrap().items[..], [Item::Unrouted]));
    assert!(matches!(decode(BOOK, r#"[18,"hb",127]"#).unwrap().items[..], [Item::Heartbeat]));
    assert!(matches!(decode(BOOK, r#"[17,"hb",127]"#).unwrap().items[..], [Item::Unchanged { checksum: None, .. }]));
    // Known to the adapter, and left by us in the meantime.
    let mut out = Decoded::new();
    adapter("ticker:tBTCUSD").on_frame(b"[17,[1],24]", &routes(&[BOOK]), &mut out).unwrap();
    assert!(matches!(out.items[..], [Item::Unrouted]));
}

/// tXRPBTC in April 2021.
const BIDS: &str = "0.0000011/266122.94 0.00000109/500793.10790141 0.00000108/776367.43 0.00000107/23329.54842056 \
    0.00000106/116868.87735849 0.00000105/205000 0.00000103/227308.25386407 0.00000102/105000 0.00000101/2970 \
    0.000001/21000 7e-7/10000 6.6e-7/10000 6e-7/100000 4.9e-7/10000 2.5e-7/2000 6e-8/100000 5e-8/200000 1e-8/640000";
const ASKS: &str = "0.00000111/-4847.13 0.00000112/-528102.69042633 0.00000113/-302397.07 0.00000114/-339088.93 \
    0.00000126/-245944.06 0.00000127/-5000 0.0000013/-5000 0.00000134/-8249.18938656 0.00000136/-13161.25184766 \
    0.00000145/-2914 0.0000015/-54448.5 0.00000152/-5538.54849594 0.00000153/-62691.75475079 0.00000159/-2914 \
    0.0000016/-52631.10296831 0.00000164/-4000 0.00000166/-3831.46784605 0.00000171/-14575.17730379 \
    0.00000174/-3124.81815395 0.0000018/-18000 0.00000182/-16000 0.00000186/-4000 0.00000189/-10000.686624 \
    0.00000191/-14500 0.00000193/-2422";

#[test]
fn the_checksum_of_a_snapshot_as_it_is_read_is_the_venues() {
    let rows: Vec<String> =
        format!("{BIDS} {ASKS}").split_whitespace().map(|row| format!("[{}]", row.replace('/', ",1,"))).collect();
    let mut routes = routes(&[BOOK]);
    let frame = format!("[17,[{}],1]", rows.join(","));
    let mut out = Decoded::new();
    let error = adapter(BOOK).on_frame(frame.as_bytes(), &routes, &mut out).unwrap_err();
    let DecodeError::Finer { route, price_scale: 8, amount_scale: 8 } = error else { panic!("{error:?}") };
    routes.route_mut(route).unwrap().price_scale = 8;
    out.clear();
    adapter(BOOK).on_frame(frame.as_bytes(), &routes, &mut out).unwrap();
    let snapshot = out.snapshot(&out.items[0]).unwrap();
    let (mut bids, mut asks) = (Side::new(BookSide::Bid, 100), Side::new(BookSide::Ask, 100));
    bids.reset(snapshot.bids, false);
    asks.reset(snapshot.asks, false);
    assert_eq!((bids.len(), asks.len()), (18, 25));
    let crc = Checksum::new().bitfinex(&bids, &asks, Scales { price: 8, qty: 8 });
    let cs = decode(BOOK, r#"[17,"cs",-1175357890,2,1633998523964]"#).unwrap();
    let [Item::Unchanged { checksum: Some(expected), .. }] = cs.items[..] else { panic!("{:?}", cs.items) };
    assert_eq!((expected, expected.value()), (Expected::Bitfinex(crc), crc.cast_unsigned()));
}

#[test]
fn every_message_counts_once_the_venue_said_so() {
    let (mut adapter, routes) = (adapter(BOOK), routes(&[BOOK]));
    let mut see = |frame: &str| {
        let mut out = Decoded::new();
        adapter.on_frame(frame.as_bytes(), &routes, &mut out).err()
    };
    let gap = |expected, got| Some(DecodeError::Gap { expected, got });
    // Not asked for: no matter what comes.
    assert_eq!((see("[17,[1,1,1],5]"), see("[17,[1,1,1],9]")), (None, None));
    assert_eq!(see(r#"{"event":"conf","status":"OK","flags":229376}"#), None);
    assert_eq!((see(r#"[18,"hb",1,1633998523964]"#), see("[17,[1,1,1],2,1633998523964]")), (None, None));
    assert_eq!(see(r#"{"event":"pong","ts":1,"cid":1}"#), None);
    assert_eq!((see(r#"[17,"cs",-5,3,1633998523964]"#), see("[18,[1],4,1633998523964]")), (None, None));
    // Decoded again, it is the one that has to come.
    let six = "[17,[1,1,1],6,1633998523964]";
    assert_eq!((see(six), see(six), see("[17,[1,1,1],7]")), (gap(5, 6), None, None));
    // Twice the same is no less wrong. A finer number is decoded again, and counts once.
    assert_eq!((see("[17,[1,1,1],7]"), see("[17,[1,1,1],7]")), (gap(8, 7), None));
    assert!(matches!(see("[17,[1.25,1,1],8]"), Some(DecodeError::Finer { .. })));
    assert_eq!(see("[17,[1,1,1],8]"), None);
    // One that cannot be read was there all the same.
    assert!(matches!(see("[17,[1,x,1],9]"), Some(DecodeError::Malformed { .. })));
    assert_eq!((see("[17,[1,1,1],10]"), see("[17,[1,1,1],999999999999]")), (None, gap(11, 999_999_999_999)));
    adapter.reset();
    assert_eq!((&adapter.counter, adapter.channels.peek(17)), (&Counter::Off, None));
}

#[test]
fn trades_come_once_and_oldest_first() {
    let topic = "trades:tBTCUSD";
    let out =
        decode(topic, r#"[17,"te",[382489563,1564617600709,-0.00705845,10087.98969503],18,1564617600784]"#).unwrap();
    let [Item::Trades { trades, .. }] = out.items[..] else { panic!("{:?}", out.items) };
    let [trade] = out.trades(trades) else { panic!() };
    assert_eq!((trade.id.as_str(), trade.side), ("382489563", Some(TakerSide::Sell)));
    assert_eq!((Some(trade.price), Some(trade.amount)), (fixed("10087.98969503"), fixed("0.00705845")));
    assert_eq!(trade.venue_time, Some(Wall(1_564_617_600_709_000_000)));
    let again = decode(topic, r#"[17,"tu",[382489563,1564617600709,-0.00705845,10087.98969503],19]"#).unwrap();
    assert!(matches!(again.items[..], [Item::Heartbeat]));
    let out =
        decode(topic, "[17,[[669899159,1618665870435,166.391496,0.076989],[669899158,1618665870434,-6961,0.07]],8]");
    let out = out.unwrap();
    let [Item::Trades { trades, .. }] = out.items[..] else { panic!("{:?}", out.items) };
    let ids: Vec<_> = out.trades(trades).iter().map(|trade| (trade.id.as_u64(), trade.side)).collect();
    assert_eq!(ids, [(Some(669_899_158), Some(TakerSide::Sell)), (Some(669_899_159), Some(TakerSide::Buy))]);
    assert!(matches!(decode(topic, "[17,[],8]").unwrap().items[..], [Item::Heartbeat]));
}

#[test]
fn ticker_of_2021_and_2026() {
    let frame =
        "[17,[71741,0.26742262,71760,1.22665447,-647,0.00909896,71754,900.8715945,73120,70434,null],1,1775779200144]";
    for frame in [frame, &frame.replace(",null", "")] {
        let out = decode("ticker:tBTCUSD", frame).unwrap();
        let [Item::Ticker { row, symbol: None, .. }] = out.items[..] else { panic!("{:?}", out.items) };
        let expected = Ticker {
            venue_time: Some(Wall(1_775_779_200_144_000_000)),
            bid: fixed("71741"),
            ask: fixed("71760"),
            change: fixed("-647"),
            percentage: fixed("0.909896"),
            open: fixed("72401"),
            last: fixed("71754"),
            base_volume: fixed("900.8715945"),
            high: fixed("73120"),
            low: fixed("70434"),
            ..Ticker::default()
        };
        assert_eq!(out.ticker(row), Some(&expected));
    }
    let error = decode("ticker:tBTCUSD", &frame.replace(",73120,70434,null", "")).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed { route: Some(_), .. }));
}

#[test]
fn candles_come_oldest_first() {
    let topic = "candles:trade:1m:tBTCUSD";
    let frame = "[17,[[1654074480000,31636,31637,31639,31630,0.0001],[1654074420000,31633,31631,31640,31631,0.11289119]],3,1654074481000]";
    let out = decode(topic, frame).unwrap();
    let rows: Vec<_> = out
        .items
        .iter()
        .map(|item| match item {
            Item::Candle { row, .. } => *out.candle(*row).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].open_time, Wall(1_654_074_420_000_000_000));
    let newest = rows[1];
    let prices = [newest.open, newest.high, newest.low, newest.close, newest.volume].map(Some);
    assert_eq!(prices, ["31636", "31639", "31630", "31637", "0.0001"].map(fixed));
    assert_eq!((newest.venue_time, newest.closed), (Some(Wall(1_654_074_481_000_000_000)), false));
    let out = decode(topic, "[17,[1654076040000,31672,31673,31673,31667,0.053312790000000006]]").unwrap();
    let [Item::Candle { row, .. }] = out.items[..] else { panic!("{:?}", out.items) };
    assert_eq!(out.candle(row).map(|candle| candle.volume), fixed("0.053312790000000006"));
}

#[test]
fn answers_name_channels() {
    let mut adapter = Bitfinex::default();
    let ack = r#"{"event":"subscribed","channel":"book","chanId":232957,"symbol":"tTESTBTC:TESTUSD","prec":"P0","freq":"F0","len":"100","pair":"TESTBTC:TESTUSD"}"#;
    let topic = "book:tTESTBTC:TESTUSD@100";
    assert!(matches!(item(&mut adapter, ack), Item::Settled { act: Act::Subscribe, topic: t } if &*t == topic));
    assert_eq!(adapter.topic_of(b"[232957,[1,1,1]]").as_deref(), Some(topic));
    let ack = r#"{"event":"subscribed","channel":"candles","chanId":8,"key":"trade:1D:tBTCUSD"}"#;
    assert!(matches!(item(&mut adapter, ack), Item::Settled { topic, .. } if &*topic == "candles:trade:1D:tBTCUSD"));
    // A book of orders, which is not read.
    let ack = r#"{"event":"subscribed","channel":"book","chanId":9,"symbol":"tBTCUSD","prec":"R0","len":"25"}"#;
    assert!(matches!(item(&mut adapter, ack), Item::Heartbeat));
    assert_eq!((adapter.topic_of(b"[9,[1,1,1]]"), adapter.topic_of(b"{}")), (None, None));

    let text = |act, topic: &str, adapter: &Bitfinex| {
        let mut out = Vec::new();
        adapter.subscription(act, &[topic], 1, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(text(Act::Unsubscribe, topic, &adapter), r#"{"event":"unsubscribe","chanId":232957}"#);
    assert_eq!(text(Act::Unsubscribe, "ticker:tBTCUSD", &adapter), "");
    let left = item(&mut adapter, r#"{"event":"unsubscribed","status":"OK","chanId":232957}"#);
    assert!(matches!(left, Item::Settled { act: Act::Unsubscribe, topic: t } if &*t == topic));
    assert_eq!(text(Act::Unsubscribe, topic, &adapter), "");
    // Left already.
    assert!(matches!(item(&mut adapter, r#"{"event":"unsubscribed","status":"OK","chanId":232957}"#), Item::Heartbeat));
}

#[test]
fn refusals_name_their_topic_if_they_can() {
    let mut adapter = adapter("trades:tETHUSD");
    let refused = r#"{"event":"error","msg":"symbol: invalid","code":10300,"channel":"book","symbol":"tNOPE","prec":"P0","len":"25","pair":"NOPE"}"#;
    let Item::TopicRefused { topic, error } = item(&mut adapter, refused) else { panic!() };
    assert_eq!((&*topic, error.kind(), error.code()), ("book:tNOPE@25", ErrorKind::BadSymbol, Some("10300")));
    assert_eq!(error.to_string(), "bitfinex: symbol: invalid (code 10300)");
    // Subscribed already: the number is as good as that of a confirmation.
    let twice =
        r#"{"event":"error","msg":"subscribe: dup","code":10301,"channel":"ticker","symbol":"tBTCUSD","chanId":44}"#;
    assert!(matches!(item(&mut adapter, twice), Item::Settled { act: Act::Subscribe, .. }));
    assert_eq!(adapter.channels.peek(44), Some("ticker:tBTCUSD"));
    let not_left = r#"{"event":"error","msg":"unsubscribe: invalid","code":10400,"chanId":17}"#;
    assert!(matches!(item(&mut adapter, not_left), Item::TopicRefused { topic, .. } if &*topic == "trades:tETHUSD"));
    assert_eq!(adapter.channels.peek(17), None);
    let Item::Refusal { id: None, error } =
        item(&mut adapter, r#"{"event":"error","msg":"event: invalid","code":10000}"#)
    else {
        panic!()
    };
    assert_eq!((error.kind(), error.message()), (ErrorKind::BadRequest, "event: invalid"));
    let Item::Refusal { error, .. } = item(&mut adapter, r#"{"event":"conf","status":"FAILED","flags":1}"#) else {
        panic!()
    };
    assert_eq!(error.message(), "conf was refused");
}

#[test]
fn notices_of_the_platform() {
    let adapter = &mut Bitfinex::default();
    let hello = |state| {
        format!(r#"{{"event":"info","version":2,"serverId":"083bd8d4","platform":{{"status":{state},"more":[{{}}]}}}}"#)
    };
    assert!(matches!(item(adapter, &hello(1)), Item::Status(Health::Ok)));
    assert!(matches!(item(adapter, &hello(0)), Item::Status(Health::Maintenance)));
    let notice = |code| format!(r#"{{"event":"info","code":{code},"msg":"Stopping. Please try to reconnect"}}"#);
    assert!(matches!(item(adapter, &notice(20_051)), Item::Shutdown));
    assert!(matches!(item(adapter, &notice(20_060)), Item::Status(Health::Maintenance)));
    assert!(matches!(item(adapter, &notice(1)), Item::Heartbeat));
    let mut out = Decoded::new();
    adapter.on_frame(notice(20_061).as_bytes(), &routes(&[]), &mut out).unwrap();
    assert!(matches!(out.items[..], [Item::Status(Health::Ok), Item::Shutdown]));
}

#[test]
fn topics_there_and_back() {
    let (mut topic, market) = (String::new(), sample_markets().remove(0));
    let adapter = Bitfinex::default();
    let mut texts = Vec::new();
    for channel in [
        Channel::Book,
        Channel::TopBook(25),
        Channel::Trades,
        Channel::Ticker,
        Channel::Candles(Timeframe::M1),
        Channel::Candles(Timeframe::W1),
    ] {
        topic.clear();
        adapter.topic(Some(&market), channel, &mut topic).unwrap();
        assert_eq!(adapter.parse_topic(&topic), Some((channel, Some("tBTCUSD".to_owned()))), "{topic}");
        let mut out = Vec::new();
        adapter.subscription(Act::Subscribe, &[&topic], 1, &mut out);
        assert_eq!(adapter.topics_of_subscription(&out), [topic.as_str()]);
        texts.push(String::from_utf8(out).unwrap());
    }
    assert_eq!(
        texts,
        [
            r#"{"event":"subscribe","channel":"book","symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"250"}"#,
            r#"{"event":"subscribe","channel":"book","symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"25"}"#,
            r#"{"event":"subscribe","channel":"trades","symbol":"tBTCUSD"}"#,
            r#"{"event":"subscribe","channel":"ticker","symbol":"tBTCUSD"}"#,
            r#"{"event":"subscribe","channel":"candles","key":"trade:1m:tBTCUSD"}"#,
            r#"{"event":"subscribe","channel":"candles","key":"trade:7D:tBTCUSD"}"#,
        ]
    );
    // As other clients write it: without what is usual, or with a number for a text.
    let bare = br#"{"event":"subscribe","channel":"book","symbol":"tBTCUSD"}"#;
    assert_eq!(adapter.topics_of_subscription(bare), ["book:tBTCUSD@25"]);
    let number = br#"{"event":"subscribe","channel":"book","symbol":"tBTCUSD","prec":"P0","len":100}"#;
    assert_eq!(adapter.topics_of_subscription(number), ["book:tBTCUSD@100"]);
    for other in [
        &br#"{"event":"subscribe","channel":"book","symbol":"tBTCUSD","prec":"P1"}"#[..],
        br#"{"event":"subscribe","channel":"status","key":"deriv:tBTCF0:USTF0"}"#,
        br#"{"event":"unsubscribe","chanId":5}"#,
        CONF.as_bytes(),
    ] {
        assert!(adapter.topics_of_subscription(other).is_empty());
    }
    assert_eq!(adapter.parse_topic("candles:trade:4h:tBTCUSD"), None);
    assert_eq!(adapter.parse_topic("status:tBTCUSD"), None);
    for channel in [Channel::Candles(Timeframe::M3), Channel::BidAsk, Channel::AllTickers, Channel::Status] {
        assert_eq!(adapter.topic(Some(&market), channel, &mut topic).unwrap_err().kind(), ErrorKind::NotSupported);
    }
    for timeframe in BITFINEX.timeframes {
        assert!(INTERVALS.iter().any(|row| row.1 == *timeframe), "{timeframe}");
    }
    assert_eq!(BITFINEX.timeframes.len(), INTERVALS.len());
}

const PAIRS: &str = r#"[[["BTCUSD",[null,null,null,"0.00004","2000.0",null,null,null,0.2,0.1]],["AVAX:USD",[null,null,null,"0.2","5000"]],["UDCUST",[]],["broke"],[7]],[["BTCF0:USTF0",[null,null,null,"0.00004","100.0",null,null,null,0.01,0.005]]]]"#;

fn answer(ask: Ask, status: u16, body: &str) -> Result<Answer, AnswerError> {
    let reply = Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None };
    let routes = routes(&[BOOK]);
    Bitfinex::default().on_reply(ask, &reply, routes.route(RouteId(0)).unwrap(), Wall(5), &mut Decoded::new())
}

fn markets_in(body: &str) -> Vec<Market> {
    match answer(Ask::Markets, 200, body) {
        Ok(Answer::Markets(list)) => list,
        other => panic!("{other:?}"),
    }
}

fn sample_markets() -> Vec<Market> {
    markets_in(PAIRS)
}

#[test]
fn markets_of_both_kinds() {
    let names = |list: &[Market]| -> Vec<String> {
        list.iter().map(|market| format!("{} {}", market.symbol, market.venue_symbol)).collect()
    };
    let list = sample_markets();
    assert_eq!(
        names(&list),
        ["BTC/USD tBTCUSD", "AVAX/USD tAVAX:USD", "USDC/USDT tUDCUST", "BTC/USDT:USDT tBTCF0:USTF0"]
    );
    assert_eq!((list[0].kind, list[0].price_tick, list[0].amount_scale), (MarketKind::Spot, None, 8));
    assert_eq!((list[0].amount_limits.min, list[0].amount_limits.max), (fixed("0.00004"), fixed("2000")));
    assert_eq!(
        (list[3].kind, list[3].settle.as_deref(), list[2].amount_limits.min),
        (MarketKind::Swap, Some("USDT"), None)
    );
    // As it was in 2021.
    let list = markets_in(r#"[["DOGUSD","TESTBTC:TESTUSD","TESTBTCF0:TESTUSDTF0"]]"#);
    assert_eq!(
        names(&list),
        ["MDOGE/USD tDOGUSD", "TESTBTC/TESTUSD tTESTBTC:TESTUSD", "TESTBTC/TESTUSDT:TESTUSDT tTESTBTCF0:TESTUSDTF0"]
    );
    let error = |body: &str| Error::from(answer(Ask::Markets, 200, body).unwrap_err()).to_string();
    // Currencies, of which some look like pairs.
    assert_eq!(error(r#"[["LINKF0","AAA"]]"#), "bitfinex: not a list of pairs: \"AAA\" is none");
}

#[test]
fn refusals_and_status_by_rest() {
    let refused = |status, body: &str| match answer(Ask::Markets, status, body) {
        Err(AnswerError::Refused(error)) => (error.kind(), error.to_string()),
        other => panic!("{other:?}"),
    };
    let (kind, text) = refused(500, r#"["error",10020,"symbol: invalid"]"#);
    assert_eq!((kind, text.as_str()), (ErrorKind::BadSymbol, "bitfinex: symbol: invalid (code 10020)"));
    assert_eq!(refused(500, r#"["error",11010,"ratelimit: error"]"#).0, ErrorKind::RateLimitExceeded);
    assert_eq!(refused(503, "<html>").1, "bitfinex: HTTP status 503");
    assert_eq!(refused(429, "").0, ErrorKind::RateLimitExceeded);
    assert_eq!(
        [
            kind_of(10_001, "Invalid order: not enough exchange balance for 1 BTC"),
            kind_of(10_100, "apikey: invalid"),
            kind_of(10_114, "nonce: small"),
            kind_of(10_305, ""),
            kind_of(1, "")
        ],
        [
            ErrorKind::InsufficientFunds,
            ErrorKind::AuthenticationError,
            ErrorKind::InvalidNonce,
            ErrorKind::RateLimitExceeded,
            ErrorKind::ExchangeError
        ]
    );
    let health = |body: &str| match answer(Ask::Status, 200, body) {
        Ok(Answer::Status(status)) => Some(status.status),
        _ => None,
    };
    assert_eq!((health("[1]"), health("[0]"), health("{}")), (Some(Health::Ok), Some(Health::Maintenance), None));
    assert_eq!(Bitfinex::default().request(Ask::Status, None).unwrap().target, "/v2/platform/status");
    assert!(Bitfinex::default().request(Ask::Snapshot { depth: 5 }, None).is_err());
}

#[test]
fn the_usual_way_is_taken_and_reads_what_the_plain_one_reads() {
    let (routes, fresh) = (routes(&[BOOK]), || adapter(BOOK));
    let levels = |out: &Decoded| match out.items[..] {
        // Empty sides may stand anywhere.
        [Item::Book { route, kind, first, last, prev, venue_time, bids, asks, rejected, checksum }] => {
            let levels = (out.levels(bids), out.levels(asks));
            format!("{:?}", (route, kind, first, last, prev, venue_time, levels, rejected, checksum))
        }
        _ => format!("{:?}", out.items),
    };
    for frame in [
        "[17,[60397,2,-0.51],7,1633998523964]",
        "[17,[60397.5,1,12.50000001],7,1633998523964]",
        "[17,[60397,0,1],7,1633998523964]",
        "[17,[60397,0,-1],7,1633998523964]",
        "[17,[60397,1,0.51],7]",
    ] {
        judge_usual_reader(frame, 1_000, |frame| {
            let (mut usual, mut plain) = (fresh(), fresh());
            (usual.counter, plain.counter) = (Counter::Next(7), Counter::Next(7));
            let mut out = Decoded::new();
            let found = on_usual_level(frame, &mut usual.channels, &mut usual.counter, &routes, &mut out);
            let found = found.map(|()| format!("{} {:?}", levels(&out), usual.counter));
            assert!(found.is_some() || usual.counter == Counter::Next(7), "the plain way begins where this one did");
            out.clear();
            let any = on_data(frame, &mut plain.channels, &mut plain.counter, &routes, &mut out);
            (found, any.ok().map(|()| format!("{} {:?}", levels(&out), plain.counter)))
        });
    }
}
