//! A whole session, with the engine's core on our side and frames by hand on the venue's.

use super::private_tests::fixed;
use crate::credentials::Credentials;
use crate::engine::{Command, Config, Core, LinkId, NoSink, RequestId, VenueConfig};
use crate::model::{FeedId, FeedState, Mono, NewOrder, OrderStatus, Stamp, TakerSide, VenueId, Wall};
use crate::venue::{Channel, PrivateChannel, Reply};

const VENUE: VenueId = VenueId(0);

struct Hand {
    core: Core,
    now: Stamp,
    link: Option<LinkId>,
    sent: Vec<String>,
    asked: Vec<(RequestId, String)>,
}

fn reply(body: &str) -> Reply<'_> {
    Reply { status: 200, body: body.as_bytes(), weight_used: None, retry_after_s: None }
}

impl Hand {
    fn new() -> Hand {
        let mut core = Core::new(Config { seed: 1, ..Config::default() });
        let credentials = Some(Credentials::new("my-key", "my-secret"));
        core.add_venue("bitfinex", VenueConfig { credentials, ..VenueConfig::default() }).unwrap();
        let now = Stamp { mono: Mono(1_000_000_000), wall: Wall::from_ms(1_700_000_000_000) };
        core.read_markets(VENUE, &reply(r#"[["BTCUSD"],[]]"#), now).unwrap();
        Hand { core, now, link: None, sent: Vec::new(), asked: Vec::new() }
    }

    fn watch(&mut self, channel: PrivateChannel) -> FeedId {
        let feed = self.core.watch(VENUE, None, Channel::Private(channel), None, self.now.mono).unwrap();
        self.core.on_tick(self.now, &mut NoSink);
        self.carry_out();
        feed
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.core.next_command() {
            match command {
                Command::Connect { link, .. } => {
                    self.link = Some(link);
                    self.core.on_link_up(link, self.now, &mut NoSink);
                }
                Command::Send { text, .. } => self.sent.push(String::from_utf8(text).unwrap()),
                Command::Request { request, signed, .. } => self.asked.push((request, signed.target)),
                _ => {}
            }
        }
    }

    fn message(&mut self, text: &str) {
        self.core.on_message(self.link.unwrap(), text.as_bytes(), self.now, None, &mut NoSink);
        self.carry_out();
    }

    /// Answers the last ping.
    fn pong(&mut self) {
        let cid = self.sent.last().unwrap().strip_prefix(r#"{"event":"ping","cid":"#).unwrap().to_owned();
        self.message(&format!(r#"{{"event":"pong","ts":1700000000000,"cid":{cid}"#));
    }

    fn answer(&mut self, path: &str, body: &str) {
        let at = self.asked.iter().position(|asked| asked.1 == path).unwrap();
        let (request, _) = self.asked.remove(at);
        self.core.on_reply(request, Ok(reply(body)), self.now, &mut NoSink);
        self.carry_out();
    }

    fn is_live(&self, feed: FeedId) -> bool {
        self.core.feed_state(feed).unwrap().0 == FeedState::Live
    }
}

#[test]
fn a_session_from_the_login_to_an_order_that_ends() {
    let mut hand = Hand::new();
    let orders = hand.watch(PrivateChannel::Orders);
    hand.message(r#"{"event":"info","version":2,"serverId":"x","platform":{"status":1}}"#);
    hand.message(r#"{"event":"conf","status":"OK","flags":229376}"#);
    assert!(hand.sent.last().unwrap().starts_with(r#"{"event":"auth","#), "{:?}", hand.sent);
    hand.message(r#"{"event":"auth","status":"OK","chanId":0,"userId":1}"#);
    hand.message(r#"[0,"os",[],2,1,1700000000000]"#);
    hand.pong();
    hand.answer("/v2/auth/r/orders", "[]");
    assert!(hand.is_live(orders));
    // A channel that is wanted later is there already, and has to be confirmed nevertheless.
    let balance = hand.watch(PrivateChannel::Balance);
    assert!(!hand.is_live(balance));
    hand.pong();
    hand.answer("/v2/auth/r/wallets", r#"[["exchange","BTC",2,0,1.5]]"#);
    hand.answer("/v2/auth/r/orders", "[]");
    hand.answer("/v2/auth/r/trades/hist", "[]");
    assert!(hand.is_live(balance) && hand.is_live(orders));

    hand.sent.clear();
    let market = hand.core.markets(VENUE).resolve("BTC/USD").unwrap().id;
    let new = NewOrder::limit(market, TakerSide::Sell, fixed("0.01").unwrap(), fixed("42000.5").unwrap());
    hand.core.create_order(&new, hand.now).unwrap();
    hand.carry_out();
    let cid = 1_700_000_000_000_u64;
    let sent = format!(
        r#"[0,"on",null,{{"cid":{cid},"type":"EXCHANGE LIMIT","symbol":"tBTCUSD","amount":"-0.01","price":"42000.5"}}]"#
    );
    assert_eq!(hand.sent, [sent]);
    let row = |left: &str, state: &str| {
        format!(
            r#"[77,null,{cid},"tBTCUSD",1700000000000,1700000000001,{left},-0.01,"EXCHANGE LIMIT",null,null,null,0,"{state}",null,null,42000.5,0]"#
        )
    };
    let state = |hand: &Hand| {
        let order = hand.core.find_order(VENUE, "77").unwrap();
        (order.status, Some(order.filled))
    };
    hand.message(&format!(r#"[0,"n",[1,"on-req",null,null,{},null,"SUCCESS","x"],2,2]"#, row("-0.01", "ACTIVE")));
    assert_eq!(state(&hand), (OrderStatus::Open, fixed("0")));
    hand.message(&format!(r#"[0,"ou",{}]"#, row("-0.004", "PARTIALLY FILLED @ 42000.5(-0.006)")));
    hand.message(r#"[0,"tu",[9,"tBTCUSD",1700000000002,77,-0.006,42000.5,"EXCHANGE LIMIT",42000.5,1,-0.25,"USD"]]"#);
    assert_eq!(state(&hand), (OrderStatus::Open, fixed("0.006")));
    let fees = hand.core.find_order(VENUE, "77").unwrap().fees.clone();
    assert_eq!((fees.len(), fees[0].cost.to_string().as_str()), (1, "0.25"));
    let handle = hand.core.find_order(VENUE, "77").unwrap().handle;
    hand.core.cancel_order(handle, hand.now).unwrap();
    hand.carry_out();
    assert_eq!(hand.sent.last().unwrap(), r#"[0,"oc",null,{"id":77}]"#);
    hand.message(r#"[0,"n",[1,"oc-req",null,null,[77],null,"SUCCESS","Submitted for cancellation"]]"#);
    hand.message(&format!(r#"[0,"oc",{}]"#, row("-0.004", "CANCELED was: PARTIALLY FILLED @ 42000.5(-0.006)")));
    assert_eq!(state(&hand), (OrderStatus::Canceled, fixed("0.006")));
}
