//! The core driven by hand, where the loopback venue cannot be made to do what is needed.

use super::{Command, Core, LinkId, NoSink, RequestId};
use crate::engine::config::{Config, VenueConfig};
use crate::model::{FeedState, Mono, Stamp, Wall};
use crate::venue::{Channel, Reply};

const MARKETS: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01"},{"filterType":"LOT_SIZE","stepSize":"0.1"}]}]}"#;

/// A core, a clock, and what the core has asked for.
struct Hand {
    core: Core,
    now: Stamp,
    link: Option<LinkId>,
    requests: Vec<RequestId>,
    sent: Vec<String>,
}

impl Hand {
    fn new() -> Hand {
        let mut core = Core::new(Config { seed: 1, ..Config::default() });
        let venue = core.add_venue("binance", VenueConfig::default()).unwrap();
        let now = Stamp { mono: Mono(1), wall: Wall(1) };
        core.read_markets(venue, &reply(200, MARKETS), now).unwrap();
        Hand { core, now, link: None, requests: Vec::new(), sent: Vec::new() }
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
                Command::Connect { link, .. } => {
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
    let venue = crate::model::VenueId(0);
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
