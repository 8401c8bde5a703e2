//! From `create_order` to the text for the socket nothing is allocated in steady state, nor from the answer to the event.
//! In a file of its own, because it brings an allocator.
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

#[allow(unreachable_pub, dead_code)] // A module of tests: nothing else reaches it.
mod counting;

use wirebook::credentials::Credentials;
use wirebook::engine::{Command, Config, Core, LinkId, NoSink, Sink, VenueConfig};
use wirebook::model::{Event, MarketId, Mono, NewOrder, Outcome, Stamp, TakerSide, Update, VenueId, Wall};
use wirebook::venue::{Channel, PrivateChannel, Reply};

const MARKETS: &str = r#"{"code":"0","msg":"","data":[{"instId":"BTC-USDT","instIdCode":10459,"instType":"SPOT","baseCcy":"BTC","quoteCcy":"USDT","tickSz":"0.1","lotSz":"0.00000001","minSz":"0.00001","state":"live"}]}"#;

/// Orders of a session that is driven by hand in the words of OKX.
struct Desk {
    core: Core,
    venue: VenueId,
    market: MarketId,
    link: LinkId,
    now: Stamp,
    sent: Vec<u8>,
    accepted: u64,
}

struct Accepted<'a>(&'a mut u64);

impl Sink for Accepted<'_> {
    fn update(&mut self, update: &Update<'_>) {
        if let Event::OrderAnswer { outcome: Outcome::Accepted, .. } = update.event {
            *self.0 += 1;
        }
    }
}

fn reply(body: &str) -> Reply<'_> {
    Reply { status: 200, body: body.as_bytes(), weight_used: None, retry_after_s: None }
}

impl Desk {
    fn live() -> Desk {
        let mut config = Config::default();
        config.orders_max = 64;
        let mut core = Core::new(config);
        let mut account = VenueConfig::default();
        account.credentials = Some(Credentials::new("key", "secret").with_passphrase("phrase"));
        let venue = core.add_venue("okex", account).unwrap();
        let now = Stamp { mono: Mono(1_000_000_000), wall: Wall::from_ms(1_700_000_000_000) };
        core.read_markets(venue, &reply(MARKETS), now).unwrap();
        let market = core.markets(venue).resolve("BTC/USDT").unwrap().id;
        core.watch(venue, None, Channel::Private(PrivateChannel::Orders), None, now.mono).unwrap();
        core.on_tick(now, &mut NoSink);
        let mut link = None;
        while let Some(command) = core.next_command() {
            if let Command::Connect { link: connected, .. } = command {
                link = Some(connected);
            }
        }
        let link = link.unwrap();
        core.on_link_up(link, now, &mut NoSink);
        for message in [
            r#"{"event":"login","code":"0","msg":"","connId":"a"}"#,
            r#"{"event":"subscribe","arg":{"channel":"orders","instType":"ANY"},"connId":"a"}"#,
        ] {
            core.on_message(link, message.as_bytes(), now, None, &mut NoSink);
        }
        while let Some(command) = core.next_command() {
            if let Command::Request { request, .. } = command {
                core.on_reply(request, Ok(reply(r#"{"code":"0","msg":"","data":[]}"#)), now, &mut NoSink);
            }
        }
        Desk { core, venue, market, link, now, sent: Vec::with_capacity(4_096), accepted: 0 }
    }

    /// One order: made, sent, accepted, filled.
    fn trade(&mut self, answer: &mut Vec<u8>) {
        use std::io::Write;
        // Slowly enough for the venue's limit.
        self.now = Stamp { mono: self.now.mono.after_ms(100), wall: Wall(self.now.wall.0 + 100_000_000) };
        let (amount, price) = ("0.01".parse().unwrap(), "42000.5".parse().unwrap());
        let new = NewOrder::limit(self.market, TakerSide::Buy, amount, price).post_only();
        let handle = self.core.create_order(&new, self.now).unwrap();
        while let Some(command) = self.core.next_command() {
            if let Command::Send { text, .. } = command {
                // As a driver does: into the socket's buffer, and the text goes back.
                self.sent.clear();
                self.sent.extend_from_slice(&text);
                self.core.recycle(text);
            }
        }
        let number = digits_after(&self.sent, b"\"id\":\"");
        let own = word_after(&self.sent, b"\"clOrdId\":\"");
        answer.clear();
        write!(answer, r#"{{"id":"{number}","op":"order","data":[{{"ordId":"{number}","clOrdId":""#).unwrap();
        answer.extend_from_slice(own);
        answer.extend_from_slice(br#"","tag":"","ts":"1","sCode":"0","sMsg":""}],"code":"0","msg":""}"#);
        let mut sink = Accepted(&mut self.accepted);
        self.core.on_message(self.link, answer, self.now, None, &mut sink);
        answer.clear();
        write!(answer, r#"{{"arg":{{"channel":"orders","instType":"ANY","uid":"1"}},"data":[{{"instType":"SPOT","instId":"BTC-USDT","ordId":"{number}","clOrdId":"","side":"buy","ordType":"post_only","px":"42000.5","sz":"0.01","state":"filled","accFillSz":"0.01","avgPx":"42000.5","cTime":"1700000000000","uTime":"1700000000001"}}]}}"#).unwrap();
        self.core.on_message(self.link, answer, self.now, None, &mut sink);
        let _ = (handle, self.venue);
    }
}

fn word_after<'t>(text: &'t [u8], key: &[u8]) -> &'t [u8] {
    let at = text.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    let len = text[at..].iter().position(|byte| *byte == b'"').unwrap();
    &text[at..at + len]
}

fn digits_after(text: &[u8], key: &[u8]) -> u64 {
    word_after(text, key).iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

#[test]
fn orders_allocate_nothing() {
    let mut desk = Desk::live();
    let mut answer = Vec::with_capacity(4_096);
    // Until every place of an order was used several times.
    for _ in 0..500 {
        desk.trade(&mut answer);
    }
    let before = counting::allocations();
    for _ in 0..2_000 {
        desk.trade(&mut answer);
    }
    assert_eq!(counting::allocations() - before, 0);
    assert_eq!(desk.accepted, 2_500);
}
