//! The core driven by hand, where the loopback venue cannot be made to do what is needed.

use super::{Command, Core, LinkId, NoSink, RequestId};
use crate::book::BookState;
use crate::engine::config::{Config, VenueConfig};
use crate::model::{Cause, FeedId, FeedState, Mono, Stamp, VenueId, Wall};
use crate::venue::{Channel, Reply};

const MARKETS: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01"},{"filterType":"LOT_SIZE","stepSize":"0.1"}]}]}"#;

/// A core, a clock, and what the core has asked for.
struct Hand {
    core: Core,
    now: Stamp,
    link: Option<LinkId>,
    requests: Vec<RequestId>,
    sent: Vec<String>,
    urls: Vec<String>,
}

impl Hand {
    fn new() -> Hand {
        Hand::at("binance", MARKETS)
    }

    fn at(venue: &str, markets: &str) -> Hand {
        let mut core = Core::new(Config { seed: 1, ..Config::default() });
        let venue = core.add_venue(venue, VenueConfig::default()).unwrap();
        let now = Stamp { mono: Mono(1), wall: Wall(1) };
        core.read_markets(venue, &reply(200, markets), now).unwrap();
        Hand { core, now, link: None, requests: Vec::new(), sent: Vec::new(), urls: Vec::new() }
    }

    fn watch(&mut self, symbol: &str, channel: Channel) -> FeedId {
        let feed = self.core.watch(VenueId(0), Some(symbol), channel, None, self.now.mono).unwrap();
        self.pass_ms(200);
        feed
    }

    /// State, cause, and the best bid and ask that are shown.
    fn book(&self, feed: FeedId) -> (BookState, Cause, Option<i64>, Option<i64>) {
        let book = self.core.book(feed).unwrap();
        (book.state(), book.cause(), book.best_bid().map(|l| l.price), book.best_ask().map(|l| l.price))
    }

    /// What was sent since the last call.
    fn take_sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent)
    }

    fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now = Stamp { mono: self.now.mono.after_ms(100), wall: self.now.wall };
            // The link is alive, however little happens on it.
            if let Some(link) = self.link {
                self.core.on_activity(link, 0, self.now.mono);
            }
            self.core.on_tick(self.now, &mut NoSink);
            self.carry_out();
        }
    }

    fn message(&mut self, text: &str) {
        self.core.on_message(self.link.unwrap(), text.as_bytes(), self.now, None, &mut NoSink);
        self.carry_out();
    }

    fn answer(&mut self, status: u16, body: &str) {
        let request = self.requests.remove(0);
        self.core.on_reply(request, Ok(reply(status, body)), self.now, &mut NoSink);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.core.next_command() {
            match command {
                Command::Connect { link, url } => {
                    self.urls.push(url);
                    self.link = Some(link);
                    self.core.on_link_up(link, self.now, &mut NoSink);
                }
                Command::Send { text, .. } => self.sent.push(String::from_utf8(text).unwrap()),
                Command::Request { request, .. } => self.requests.push(request),
                Command::Close { .. } => self.link = None,
                _ => {}
            }
        }
    }
}

fn reply(status: u16, body: &str) -> Reply<'_> {
    Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None }
}

/// `count` rows from price 100.00 on, a cent apart, upwards or downwards, each of this amount.
fn rows(count: i64, step: i64, amount: &str) -> String {
    let rows = (1..=count)
        .map(|n| format!(r#"["{}.{:02}","{amount}"]"#, (10_000 + n * step) / 100, (10_000 + n * step) % 100));
    format!("[{}]", rows.collect::<Vec<_>>().join(","))
}

fn delta(first: u64, last: u64, bids: &str) -> String {
    format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":{first},"u":{last},"b":{bids},"a":[]}}}}"#
    )
}

/// A book that is live, and whose side then runs low, asks for a fresh snapshot; the venue refuses for good.
#[test]
fn a_feed_that_fails_shows_no_live_book() {
    let mut hand = Hand::new();
    let venue = VenueId(0);
    let feed = hand.core.watch(venue, Some("BTC/USDT"), Channel::Book, Some(100), hand.now.mono).unwrap();
    hand.pass_ms(200);
    hand.message(r#"{"result":null,"id":1}"#);
    let snapshot = format!(r#"{{"lastUpdateId":10,"bids":{},"asks":{}}}"#, rows(100, -1, "1"), rows(100, 1, "1"));
    hand.answer(200, &snapshot);
    hand.message(&delta(11, 11, "[]"));
    assert!(hand.core.book(feed).unwrap().is_live());
    hand.message(&delta(12, 12, &rows(60, -1, "0")));
    hand.pass_ms(6_000);
    assert!(hand.core.book(feed).unwrap().is_live(), "it is live while it is renewed");
    assert_eq!(hand.requests.len(), 1);
    hand.answer(400, r#"{"code":-1121,"msg":"Invalid symbol."}"#);
    assert_eq!(hand.core.feed_state(feed).unwrap().0, FeedState::Failed);
    let book = hand.core.book(feed).unwrap();
    assert_eq!((book.is_live(), book.best_ask()), (false, None), "nothing follows it any more");
    assert_eq!(hand.link, None, "the connection had nothing else to carry");
}

const OKEX_MARKETS: &str = r#"{"code":"0","data":[{"instType":"SPOT","instId":"BTC-USDT","baseCcy":"BTC","quoteCcy":"USDT","tickSz":"0.0005","lotSz":"1","state":"live"},{"instType":"SPOT","instId":"ETH-USDT","baseCcy":"ETH","quoteCcy":"USDT","tickSz":"0.0005","lotSz":"1","state":"live"}]}"#;

/// A message of the books channel; `row` is what differs.
fn okex(symbol: &str, action: &str, asks: &str, row: &str) -> String {
    format!(
        r#"{{"arg":{{"channel":"books","instId":"{symbol}"}},"action":"{action}","data":[{{"asks":[{asks}],"bids":[],"ts":"1597026383085",{row}}}]}}"#
    )
}

fn okex_ack(event: &str, symbol: &str) -> String {
    format!(r#"{{"event":"{event}","arg":{{"channel":"books","instId":"{symbol}"}},"connId":"a4d3ae55"}}"#)
}

fn okex_request(id: u32, op: &str, symbol: &str) -> String {
    format!(r#"{{"id":"{id}","op":"{op}","args":[{{"channel":"books","instId":"{symbol}"}}]}}"#)
}

const TWO_ASKS: &str = r#"["0.0005","305","0","1"],["0.001","550","0","1"]"#;
const TWO_GONE: &str = r#"["0.0005","0","0","0"],["0.001","0","0","0"],["0.0015","906","0","1"]"#;

#[test]
fn a_gap_of_okex_leaves_and_subscribes_that_topic_alone() {
    let mut hand = Hand::at("okex", OKEX_MARKETS);
    let (btc, eth) = (hand.watch("BTC/USDT", Channel::Book), hand.watch("ETH/USDT", Channel::Book));
    assert_eq!(hand.urls, ["wss://ws.okx.com:8443/ws/v5/public"]);
    assert_eq!(hand.take_sent(), [okex_request(1, "subscribe", "BTC-USDT"), okex_request(2, "subscribe", "ETH-USDT")]);
    // The data may come before the confirmation.
    hand.message(&okex("BTC-USDT", "snapshot", TWO_ASKS, r#""checksum":971343753,"seqId":10,"prevSeqId":-1"#));
    hand.message(&okex_ack("subscribe", "BTC-USDT"));
    hand.message(&okex_ack("subscribe", "ETH-USDT"));
    hand.message(&okex("ETH-USDT", "snapshot", TWO_ASKS, r#""checksum":0,"seqId":50,"prevSeqId":-1"#));
    assert_eq!(hand.book(btc), (BookState::Live, Cause::Synced, None, Some(5)));
    hand.message(&okex("BTC-USDT", "update", "", r#""checksum":971343753,"seqId":10,"prevSeqId":10"#));
    hand.message(&okex("BTC-USDT", "update", TWO_GONE, r#""checksum":-288111842,"seqId":8,"prevSeqId":10"#));
    assert_eq!(hand.book(btc).3, Some(15), "a number that goes back is no gap while the chain holds");
    assert_eq!(hand.core.book(btc).unwrap().nonce(), Some(8));
    hand.message(&okex("BTC-USDT", "update", "", r#""checksum":-288111842,"seqId":12,"prevSeqId":11"#));
    let gap = Cause::Gap { expected: 8, got: 11 };
    assert_eq!(hand.book(btc), (BookState::Gapped, gap, None, None));
    hand.pass_ms(200);
    assert_eq!(hand.take_sent(), [okex_request(3, "unsubscribe", "BTC-USDT")]);
    // What still comes on the old subscription is none of the new one.
    hand.message(&okex("BTC-USDT", "update", "", r#""checksum":-288111842,"seqId":13,"prevSeqId":12"#));
    hand.pass_ms(200);
    assert_eq!(hand.take_sent(), Vec::<String>::new(), "it waits until it has left");
    hand.message(&okex_ack("unsubscribe", "BTC-USDT"));
    hand.pass_ms(200);
    assert_eq!(hand.take_sent(), [okex_request(4, "subscribe", "BTC-USDT")]);
    hand.message(&okex_ack("subscribe", "BTC-USDT"));
    assert_eq!(hand.book(btc).0, BookState::Gapped);
    hand.message(&okex("BTC-USDT", "snapshot", TWO_ASKS, r#""checksum":971343753,"seqId":20,"prevSeqId":-1"#));
    assert_eq!(hand.book(btc), (BookState::Live, Cause::Synced, None, Some(5)));
    assert_eq!(hand.book(eth), (BookState::Live, Cause::Synced, None, Some(5)));
    let counters = hand.core.counters();
    assert_eq!((counters.gaps, counters.reconnects, hand.requests.len()), (1, 0, 0));
}

#[test]
fn a_wrong_checksum_makes_the_book_gapped_and_a_missing_snapshot_is_asked_for_again() {
    let mut hand = Hand::at("okex", OKEX_MARKETS);
    let feed = hand.watch("BTC/USDT", Channel::Book);
    hand.message(&okex_ack("subscribe", "BTC-USDT"));
    hand.message(&okex("BTC-USDT", "snapshot", TWO_ASKS, r#""checksum":971343753"#));
    hand.message(&okex("BTC-USDT", "update", TWO_GONE, r#""checksum":5"#));
    let cause = Cause::Checksum { expected: 5, got: (-288_111_842_i32).cast_unsigned() };
    assert_eq!(hand.book(feed), (BookState::Gapped, cause, None, None), "a wrong book is never shown");
    hand.pass_ms(200);
    hand.message(&okex_ack("unsubscribe", "BTC-USDT"));
    hand.pass_ms(200);
    hand.message(&okex_ack("subscribe", "BTC-USDT"));
    assert_eq!(hand.take_sent().len(), 3);
    hand.pass_ms(9_000);
    assert_eq!(hand.take_sent(), Vec::<String>::new());
    hand.pass_ms(2_000);
    assert_eq!(hand.take_sent(), [okex_request(4, "unsubscribe", "BTC-USDT")], "confirmed, and nothing came");
}

#[test]
fn refused_topics_of_okex_fail_alone() {
    let mut hand = Hand::at("okex", OKEX_MARKETS);
    let (btc, eth) = (hand.watch("BTC/USDT", Channel::Book), hand.watch("ETH/USDT", Channel::Book));
    let refused = r#"{"event":"error","code":"60018","msg":"Wrong URL or channel:books,instId:BTC-USDT doesn't exist.","connId":"a"}"#;
    hand.message(refused);
    hand.message(&okex_ack("subscribe", "ETH-USDT"));
    let (state, _, error) = hand.core.feed_state(btc).unwrap();
    assert_eq!((state, error.unwrap().code()), (FeedState::Failed, Some("60018")));
    assert_eq!(hand.core.feed_state(eth).unwrap().0, FeedState::Live);
    // Leaving what was never there is refused as well, and that is an answer.
    hand.pass_ms(200);
    assert!(hand.take_sent().contains(&okex_request(3, "unsubscribe", "BTC-USDT")));
    hand.message(refused);
    // Candles live on a socket of their own, and a silent one is asked for a sign of life in the venue's way.
    hand.watch("ETH/USDT", Channel::Candles(crate::model::Timeframe::M1));
    assert_eq!(hand.urls[1], "wss://ws.okx.com:8443/ws/v5/business");
    hand.take_sent();
    for _ in 0..110 {
        hand.now.mono = hand.now.mono.after_ms(100);
        hand.core.on_tick(hand.now, &mut NoSink);
        hand.carry_out();
    }
    assert!(hand.take_sent().contains(&"ping".to_owned()));
}

const KRAKEN_MARKETS: &str = r#"{"error":[],"result":{"XXBTZUSD":{"wsname":"XBT/USD","base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8}}}"#;

/// A message of Kraken's book with the checksum of this text.
fn kraken(kind: &str, bids: &str, asks: &str, digits: &str) -> String {
    let crc = crc32fast::hash(digits.as_bytes());
    format!(
        r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{bids}],"asks":[{asks}],"checksum":{crc},"timestamp":"2023-10-06T17:35:55.440295Z"}}]}}"#
    )
}

fn kraken_ack(method: &str, id: u32) -> String {
    format!(r#"{{"method":"{method}","result":{{"channel":"book","symbol":"BTC/USD"}},"success":true,"req_id":{id}}}"#)
}

#[test]
fn kraken_cuts_to_its_depth_and_proves_each_message() {
    let mut hand = Hand::at("kraken", KRAKEN_MARKETS);
    let feed = hand.watch("BTC/USD", Channel::TopBook(10));
    let request = |method: &str, id: u32| {
        format!(
            r#"{{"method":"{method}","params":{{"channel":"book","symbol":["BTC/USD"],"depth":10}},"req_id":{id}}}"#
        )
    };
    assert_eq!(hand.take_sent(), [request("subscribe", 1)]);
    hand.message(&kraken_ack("subscribe", 1));
    let ten: Vec<String> = (0..10).map(|n| format!(r#"{{"price":{},"qty":1}}"#, 100 - n)).collect();
    let digits = |from: i64| (0..10).map(|n| format!("{}0100000000", from - n)).collect::<String>();
    hand.message(&kraken("snapshot", &ten.join(","), "", &digits(100)));
    assert_eq!(hand.book(feed), (BookState::Live, Cause::Synced, Some(1_000), None));
    // A better level pushes the worst one out without a word.
    hand.message(&kraken("update", r#"{"price":101,"qty":1}"#, "", &digits(101)));
    assert_eq!(hand.book(feed).0, BookState::Live);
    assert_eq!(hand.core.book(feed).unwrap().bids().len(), 10);
    // It goes again, and the one that had fallen out is sent anew.
    let back = r#"{"price":101,"qty":0},{"price":91.0,"qty":1.00000000}"#;
    hand.message(&kraken("update", back, "", &digits(100)));
    assert_eq!((hand.book(feed).0, hand.book(feed).2), (BookState::Live, Some(1_000)));
    // A lost message shows in the next one.
    hand.message(&kraken("update", r#"{"price":99,"qty":2}"#, "", "something else"));
    assert!(matches!(hand.book(feed), (BookState::Gapped, Cause::Checksum { .. }, None, None)));
    hand.pass_ms(200);
    assert_eq!(hand.take_sent(), [request("unsubscribe", 2)]);
    hand.message(&kraken_ack("unsubscribe", 2));
    hand.pass_ms(200);
    assert_eq!(hand.take_sent(), [request("subscribe", 3)]);
    hand.message(&kraken("snapshot", &ten.join(","), "", &digits(100)));
    hand.message(&kraken_ack("subscribe", 3));
    assert_eq!(hand.book(feed), (BookState::Live, Cause::Synced, Some(1_000), None));
}

#[test]
fn two_depths_of_one_symbol_do_not_share_a_connection() {
    let mut hand = Hand::at("kraken", KRAKEN_MARKETS);
    hand.watch("BTC/USD", Channel::TopBook(10));
    hand.watch("BTC/USD", Channel::Trades);
    assert_eq!(hand.urls.len(), 1);
    let deep = hand.watch("BTC/USD", Channel::Book);
    assert_eq!(hand.urls.len(), 2, "their messages look alike");
    hand.message(&kraken("snapshot", r#"{"price":100,"qty":1}"#, "", "1000100000000"));
    assert_eq!(hand.book(deep).2, Some(1_000));
}

const COINBASE_MARKETS: &str = r#"[{"id":"BTC-USD","quote_increment":"0.01","base_increment":"0.00000001","status":"online"},{"id":"ETH-USD","quote_increment":"0.01","base_increment":"0.00000001","status":"online"}]"#;

#[test]
fn coinbase_answers_with_all_that_is_subscribed() {
    let mut hand = Hand::at("coinbasepro", COINBASE_MARKETS);
    let (btc, eth) = (hand.watch("BTC/USD", Channel::Book), hand.watch("ETH/USD", Channel::Book));
    let request = |kind: &str, product: &str| {
        format!(r#"{{"type":"{kind}","channels":[{{"name":"level2_batch","product_ids":["{product}"]}}]}}"#)
    };
    assert_eq!(hand.take_sent(), [request("subscribe", "BTC-USD"), request("subscribe", "ETH-USD")]);
    let list = |products: &str| {
        format!(r#"{{"type":"subscriptions","channels":[{{"name":"level2_50","product_ids":[{products}]}}]}}"#)
    };
    hand.message(&list(r#""BTC-USD""#));
    assert_eq!(hand.core.feed_state(btc).unwrap().0, FeedState::Live);
    assert_eq!(hand.core.feed_state(eth).unwrap().0, FeedState::Subscribing);
    let snapshot = r#"{"type":"snapshot","product_id":"BTC-USD","asks":[["101.00","1"]],"bids":[["100.00","1"]]}"#;
    hand.message(snapshot);
    hand.message(&snapshot.replace("BTC", "ETH"));
    hand.message(&list(r#""BTC-USD","ETH-USD""#));
    let update = r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","100.50","1"]],"time":"2021-04-17T16:43:40.217224Z"}"#;
    hand.message(update);
    assert_eq!(hand.book(btc), (BookState::Live, Cause::Synced, Some(10_050), Some(10_100)));
    hand.message(&update.replace("100.50", "100.5O"));
    assert_eq!(hand.book(btc), (BookState::Gapped, Cause::Malformed, None, None));
    assert_eq!(hand.book(eth).0, BookState::Live);
    hand.pass_ms(200);
    assert_eq!(hand.take_sent(), [request("unsubscribe", "BTC-USD")]);
    hand.message(&list(r#""ETH-USD""#));
    hand.pass_ms(200);
    assert_eq!(hand.take_sent(), [request("subscribe", "BTC-USD")]);
    hand.message(&list(r#""BTC-USD","ETH-USD""#));
    hand.message(snapshot);
    assert_eq!(hand.book(btc), (BookState::Live, Cause::Synced, Some(10_000), Some(10_100)));
    let refused = r#"{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}"#;
    hand.message(refused);
    assert_eq!(hand.core.feed_state(btc).unwrap().0, FeedState::Live, "it was confirmed before");
}

const BITFINEX_MARKETS: &str = r#"[[["BTCUSD",[null,null,null,"0.00004","2000.0"]],["ETHUSD",[]]],[]]"#;

fn bitfinex_request(channel: &str, symbol: &str) -> String {
    let depth = if channel == "book" { r#","prec":"P0","freq":"F0","len":"250""# } else { "" };
    format!(r#"{{"event":"subscribe","channel":"{channel}","symbol":"{symbol}"{depth}}}"#)
}

fn bitfinex_ack(number: u32, channel: &str, symbol: &str) -> String {
    let request = bitfinex_request(channel, symbol).replace("subscribe", "subscribed");
    request.replace("}", &format!(r#","chanId":{number}}}"#))
}

const BITFINEX_CONF: &str = r#"{"event":"conf","flags":229376}"#;

#[test]
fn a_missing_message_of_bitfinex_begins_all_books_of_the_connection_anew() {
    let mut hand = Hand::at("bitfinex", BITFINEX_MARKETS);
    let (btc, eth) = (hand.watch("BTC/USD", Channel::Book), hand.watch("ETH/USD", Channel::Book));
    assert_eq!(hand.urls, ["wss://api-pub.bitfinex.com/ws/2"]);
    let requests = [bitfinex_request("book", "tBTCUSD"), bitfinex_request("book", "tETHUSD")];
    assert_eq!(hand.take_sent(), [BITFINEX_CONF, &requests[0], &requests[1]]);
    hand.message(r#"{"event":"conf","status":"OK","flags":229376}"#);
    hand.message(&bitfinex_ack(11, "book", "tBTCUSD"));
    hand.message("[11,[[100,1,1],[101,1,-1]],1,1633998523964]");
    hand.message(&bitfinex_ack(12, "book", "tETHUSD"));
    hand.message("[12,[[100,1,1],[101,1,-1]],2,1633998523964]");
    let live = (BookState::Live, Cause::Synced, Some(100), Some(101));
    assert_eq!((hand.book(btc), hand.book(eth)), (live, live));
    let right = crc32fast::hash(b"100:1:101:-1").cast_signed();
    hand.message(&format!(r#"[12,"cs",{right},3,1633998523965]"#));
    hand.message(r#"[11,"hb",4,1633998523965]"#);
    assert_eq!((hand.book(eth), hand.core.book(eth).unwrap().updates()), (live, 1), "no change, and no news");
    // A finer price: everything moves along.
    hand.message("[12,[100.25,1,0.5],5,1633998523965]");
    assert_eq!(hand.book(eth), (BookState::Live, Cause::Synced, Some(10_025), Some(10_100)));
    assert_eq!(hand.core.book(eth).unwrap().nonce(), Some(5));
    // The sixth was another one's, and nobody's book is known any more before the seventh is looked at.
    hand.message("[12,[100.5,1,0.5],7,1633998523965]");
    let gapped = (BookState::Gapped, Cause::Gap { expected: 6, got: 7 }, None, None);
    assert_eq!((hand.book(btc), hand.book(eth)), (gapped, gapped));
    assert_eq!(hand.core.book(eth).unwrap().updates(), 2);
    hand.pass_ms(200);
    let leave = |number: u32| format!(r#"{{"event":"unsubscribe","chanId":{number}}}"#);
    assert_eq!(hand.take_sent(), [leave(11), leave(12)]);
    for number in [12, 11] {
        hand.message(&format!(r#"{{"event":"unsubscribed","status":"OK","chanId":{number}}}"#));
    }
    hand.pass_ms(200);
    assert_eq!(hand.take_sent(), [requests[1].as_str(), &requests[0]]);
    hand.message(&bitfinex_ack(21, "book", "tBTCUSD"));
    hand.message("[21,[[100,1,1],[101,1,-1]],8,1633998523966]");
    assert_eq!((hand.book(btc), hand.book(eth)), (live, gapped));
    hand.message(r#"[21,"cs",5,9,1633998523967]"#);
    let cause = Cause::Checksum { expected: 5, got: right.cast_unsigned() };
    assert_eq!(hand.book(btc), (BookState::Gapped, cause, None, None));
    assert_eq!((hand.core.counters().gaps, hand.core.counters().malformed), (3, 0));
    assert_eq!((hand.core.counters().unrouted, hand.core.counters().reconnects), (0, 0));
}

/// What falls out of the depth is deleted, and may be so after what comes in at the end: nothing is cut off here.
#[test]
fn bitfinex_deletes_what_falls_out_of_its_depth() {
    let mut hand = Hand::at("bitfinex", BITFINEX_MARKETS);
    let feed = hand.watch("BTC/USD", Channel::TopBook(25));
    assert!(hand.take_sent()[1].contains(r#""len":"25""#));
    hand.message(&bitfinex_ack(11, "book", "tBTCUSD").replace("250", "25"));
    let rows: Vec<String> = (0..25).map(|n| format!("[{},1,1]", 100 - n)).collect();
    hand.message(&format!("[11,[{}],1]", rows.join(",")));
    hand.message("[11,[75,2,3],2]");
    hand.message("[11,[90,0,1],3]");
    let book = hand.core.book(feed).unwrap();
    let worst = book.bids().last().map(|level| (level.price, level.qty));
    assert_eq!((book.bids().len(), worst), (25, Some((75, 300_000_000))));
}

#[test]
fn a_channel_of_bitfinex_is_left_when_it_has_a_number() {
    let mut hand = Hand::at("bitfinex", BITFINEX_MARKETS);
    let (ticker, refused) = (hand.watch("BTC/USD", Channel::Ticker), hand.watch("ETH/USD", Channel::Trades));
    hand.watch("BTC/USD", Channel::Trades);
    hand.take_sent();
    hand.core.unwatch(ticker, hand.now.mono).unwrap();
    hand.core.unwatch(refused, hand.now.mono).unwrap();
    hand.pass_ms(500);
    assert!(hand.take_sent().is_empty(), "nobody knows yet what to call them");
    hand.message(&bitfinex_ack(31, "ticker", "tBTCUSD"));
    let error = bitfinex_request("trades", "tETHUSD").replace("subscribe", "error");
    hand.message(&error.replace("}", r#","msg":"symbol: invalid","code":10300}"#));
    hand.pass_ms(500);
    assert_eq!(hand.take_sent(), [r#"{"event":"unsubscribe","chanId":31}"#]);
    hand.pass_ms(500);
    assert!(hand.take_sent().is_empty(), "what was refused need not be left");
}

/// Lists of markets that come one by one: a symbol of the last list must not fail when the first one is here.
#[test]
fn feeds_wait_for_all_lists_of_markets() {
    let mut core = Core::new(Config { seed: 1, ..Config::default() });
    let venue = core.add_venue("okex", VenueConfig::default()).unwrap();
    let now = Stamp { mono: Mono(1), wall: Wall(1) };
    let mut hand = Hand { core, now, link: None, requests: Vec::new(), sent: Vec::new(), urls: Vec::new() };
    let feed = hand.core.watch(venue, Some("BTC/USD:BTC-220527"), Channel::Book, None, hand.now.mono).unwrap();
    hand.pass_ms(100);
    hand.answer(200, OKEX_MARKETS);
    let one = |kind: &str, id: &str| {
        format!(
            r#"{{"code":"0","data":[{{"instType":"{kind}","instId":"{id}","uly":"BTC-USD","settleCcy":"BTC","tickSz":"0.1","lotSz":"1","state":"live"}}]}}"#
        )
    };
    hand.answer(200, &one("SWAP", "BTC-USD-SWAP"));
    assert_eq!(hand.core.feed_state(feed).unwrap().0, FeedState::AwaitingMarkets);
    hand.answer(200, &one("FUTURES", "BTC-USD-220527"));
    assert!(hand.requests.is_empty());
    hand.pass_ms(200);
    assert_eq!(hand.take_sent(), [okex_request(1, "subscribe", "BTC-USD-220527")]);
    assert_eq!(hand.core.markets(venue).iter().filter(|market| market.active).count(), 4);
}

/// A venue of several lists may have nothing in one of them; nothing in all of them is no list.
#[test]
fn an_empty_list_of_markets_is_none_only_where_all_are_empty() {
    let empty = r#"{"code":"0","msg":"","data":[]}"#;
    let spot = r#"{"code":"0","msg":"","data":[{"instId":"BTC-USDT","instType":"SPOT","baseCcy":"BTC","quoteCcy":"USDT","tickSz":"0.1","lotSz":"0.1","minSz":"0.1","state":"live"}]}"#;
    for (lists, count) in [([spot, empty, empty], 1), ([empty, empty, empty], 0)] {
        let mut core = Core::new(Config { seed: 1, ..Config::default() });
        let venue = core.add_venue("okex", VenueConfig::default()).unwrap();
        let now = Stamp { mono: Mono(1), wall: Wall(1) };
        let mut hand = Hand { core, now, link: None, requests: Vec::new(), sent: Vec::new(), urls: Vec::new() };
        hand.core.load_markets(venue, hand.now.mono);
        hand.carry_out();
        for list in lists {
            hand.answer(200, list);
        }
        assert_eq!(hand.core.markets(venue).len(), count);
        assert_eq!(hand.core.has_markets(venue), count > 0);
        assert_eq!(hand.core.last_error(venue).is_some(), count == 0);
    }
}
