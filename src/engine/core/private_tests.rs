//! Sessions, orders and reconciliation of the core, driven by hand in the words of OKX.

use super::{Command, Core, LinkDown, LinkId, RequestId, Sink};
use crate::credentials::Credentials;
use crate::engine::config::{Config, VenueConfig};
use crate::error::{Error, ErrorKind, Retry};
use crate::model::{
    Event, FeedId, FeedState, Mono, NewOrder, OrderId, OrderStatus, Outcome, Stamp, TakerSide, Update, VenueId, Wall,
};
use crate::venue::{Channel, OrderAct, PrivateChannel, Reply};

const MARKETS: &str = r#"{"code":"0","msg":"","data":[{"instId":"BTC-USDT","instIdCode":10459,"instType":"SPOT","baseCcy":"BTC","quoteCcy":"USDT","tickSz":"0.1","lotSz":"0.00000001","minSz":"0.00001","state":"live"}]}"#;

const VENUE: VenueId = VenueId(0);

/// What was told, a line each.
#[derive(Default)]
struct Told(Vec<String>);

impl Sink for Told {
    fn update(&mut self, update: &Update<'_>) {
        self.0.push(match &update.event {
            Event::Order(order) => format!(
                "order {} {} filled {}",
                if order.id.is_none() { order.client_order_id } else { order.id },
                order.status.as_str(),
                order.filled
            ),
            Event::OrderAnswer { act, outcome, .. } => {
                let act = match act {
                    OrderAct::Create => "create",
                    OrderAct::Edit { .. } => "edit",
                    OrderAct::Cancel => "cancel",
                };
                match outcome {
                    Outcome::Accepted => format!("{act} accepted"),
                    Outcome::Rejected(error) => format!("{act} rejected {:?}", error.kind()),
                    Outcome::Unknown(error) => format!("{act} unknown {:?}", error.kind()),
                }
            }
            Event::MyTrade(trade) => format!("trade {} of {} backfilled {}", trade.id, trade.order, trade.backfilled),
            Event::Balance { balance, .. } => {
                format!(
                    "balance {} {}",
                    balance.currency,
                    balance.free.map(|free| free.to_string()).unwrap_or_default()
                )
            }
            Event::State { state, .. } => format!("{state:?}"),
            other => format!("{other:?}").chars().take(40).collect(),
        });
    }
}

struct Hand {
    core: Core,
    now: Stamp,
    told: Told,
    link: Option<LinkId>,
    sent: Vec<String>,
    asked: Vec<(RequestId, String)>,
}

impl Hand {
    fn new() -> Hand {
        let mut core = Core::new(Config { seed: 1, ..Config::default() });
        let credentials = Credentials::new("my-key", "my-secret").with_passphrase("my-phrase");
        let config = VenueConfig { credentials: Some(credentials), ..VenueConfig::default() };
        core.add_venue("okex", config).unwrap();
        let now = Stamp { mono: Mono(1_000_000_000), wall: Wall::from_ms(1_700_000_000_000) };
        core.read_markets(VENUE, &reply(200, MARKETS), now).unwrap();
        let told = Told::default();
        Hand { core, now, told, link: None, sent: Vec::new(), asked: Vec::new() }
    }

    /// With a session that is live, and nothing told or sent.
    fn live() -> (Hand, FeedId) {
        let mut hand = Hand::new();
        let feed = hand.watch(PrivateChannel::Orders);
        hand.watch(PrivateChannel::MyTrades);
        hand.tick();
        hand.up();
        hand.message(r#"{"event":"login","code":"0","msg":"","connId":"a"}"#);
        hand.confirm("orders");
        for path in ["/api/v5/public/time", "/api/v5/trade/orders-pending"] {
            let data = if path.ends_with("time") { r#"{"ts":"1700000000000"}"# } else { "" };
            hand.answer(path, 200, &format!(r#"{{"code":"0","msg":"","data":[{data}]}}"#));
        }
        assert!(hand.core.is_account_live(VENUE));
        hand.told.0.clear();
        hand.sent.clear();
        (hand, feed)
    }

    fn watch(&mut self, channel: PrivateChannel) -> FeedId {
        self.core.watch(VENUE, None, Channel::Private(channel), None, self.now.mono).unwrap()
    }

    fn tick(&mut self) {
        self.core.on_tick(self.now, &mut self.told);
        self.carry_out();
    }

    fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now = Stamp { mono: self.now.mono.after_ms(100), wall: Wall(self.now.wall.0 + 100_000_000) };
            if let Some(link) = self.link {
                self.core.on_activity(link, 0, self.now.mono);
            }
            self.tick();
        }
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.core.next_command() {
            match command {
                Command::Connect { link, .. } => self.link = Some(link),
                Command::Send { text, .. } => {
                    self.sent.push(String::from_utf8(text.clone()).unwrap());
                    self.core.recycle(text);
                }
                Command::Request { request, signed, .. } => self.asked.push((request, signed.target)),
                Command::Cancel { request } => self.asked.retain(|asked| asked.0 != request),
                Command::Close { .. } => self.link = None,
                Command::Ping { .. } => {}
            }
        }
    }

    fn up(&mut self) {
        self.core.on_link_up(self.link.unwrap(), self.now, &mut self.told);
        self.carry_out();
    }

    fn down(&mut self) {
        let error = Error::new(ErrorKind::NetworkError, "cut");
        let down = LinkDown { error, retry_after_s: None };
        self.core.on_link_down(self.link.take().unwrap(), &down, self.now, &mut self.told);
        self.carry_out();
    }

    fn message(&mut self, text: &str) {
        self.core.on_message(self.link.unwrap(), text.as_bytes(), self.now, None, &mut self.told);
        self.carry_out();
    }

    fn confirm(&mut self, channel: &str) {
        self.message(&format!(
            r#"{{"event":"subscribe","arg":{{"channel":"{channel}","instType":"ANY"}},"connId":"a"}}"#
        ));
    }

    /// Answers the question whose path begins like this.
    fn answer(&mut self, path: &str, status: u16, body: &str) {
        let at = self.asked.iter().position(|asked| asked.1.starts_with(path));
        let at = at.unwrap_or_else(|| panic!("{path} was not asked: {:?}", self.asked));
        let (request, _) = self.asked.remove(at);
        self.core.on_reply(request, Ok(reply(status, body)), self.now, &mut self.told);
        self.carry_out();
    }

    fn order(&mut self) -> (OrderId, u64, String) {
        let market = self.core.markets(VENUE).resolve("BTC/USDT").unwrap().id;
        let new = NewOrder::limit(market, TakerSide::Buy, "0.01".parse().unwrap(), "42000.5".parse().unwrap());
        let order = self.core.create_order(&new, self.now).unwrap();
        self.carry_out();
        let text = self.sent.last().unwrap();
        let number = text.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        let own = self.core.account(VENUE).unwrap().orders.find(order).unwrap().client_order_id.to_string();
        (order, number, own)
    }

    fn status(&self, order: OrderId) -> OrderStatus {
        self.core.account(VENUE).unwrap().orders.find(order).unwrap().status
    }

    fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told.0)
    }
}

fn reply(status: u16, body: &str) -> Reply<'_> {
    Reply { status, body: body.as_bytes(), weight_used: None, retry_after_s: None }
}

fn row(id: &str, own: &str, state: &str, filled: &str) -> String {
    format!(
        r#"{{"instType":"SPOT","instId":"BTC-USDT","ordId":"{id}","clOrdId":"{own}","side":"buy","ordType":"limit","px":"42000.5","sz":"0.01","state":"{state}","accFillSz":"{filled}","avgPx":"","tradeId":"","fillPx":"","fillSz":"0","fee":"0","feeCcy":"BTC","cTime":"1700000000000","uTime":"1700000000001"}}"#
    )
}

fn pushed(row: &str) -> String {
    format!(r#"{{"arg":{{"channel":"orders","instType":"ANY","uid":"1"}},"data":[{row}]}}"#)
}

fn accepted(number: u64, id: &str, own: &str) -> String {
    format!(
        r#"{{"id":"{number}","op":"order","data":[{{"ordId":"{id}","clOrdId":"{own}","tag":"","ts":"1","sCode":"0","sMsg":""}}],"code":"0","msg":"","inTime":"1","outTime":"2"}}"#
    )
}

fn listed(rows: &[String]) -> String {
    format!(r#"{{"code":"0","msg":"","data":[{}]}}"#, rows.join(","))
}

#[test]
fn a_session_that_waits_for_the_list_of_markets_sleeps_meanwhile() {
    let mut core = Core::new(Config { seed: 1, ..Config::default() });
    let credentials = Credentials::new("my-key", "my-secret").with_passphrase("my-phrase");
    core.add_venue("okex", VenueConfig { credentials: Some(credentials), ..VenueConfig::default() }).unwrap();
    let now = Stamp { mono: Mono(1_000_000_000), wall: Wall::from_ms(1_700_000_000_000) };
    let channel = Channel::Private(PrivateChannel::Orders);
    core.watch(VENUE, None, channel, None, now.mono).unwrap();
    let mut told = Told::default();
    core.on_tick(now, &mut told);
    core.on_tick(now, &mut told);
    assert!(core.next_deadline() > now.mono, "the answer is awaited, nothing is due");
}

#[test]
fn a_session_logs_in_subscribes_and_reconciles_before_it_is_live() {
    let mut hand = Hand::new();
    let feed = hand.watch(PrivateChannel::Balance);
    hand.tick();
    assert_eq!(hand.core.feed_state(feed).unwrap().0, FeedState::Connecting);
    hand.up();
    assert_eq!(hand.sent.len(), 1, "only the login goes out: {:?}", hand.sent);
    assert!(hand.sent[0].starts_with(r#"{"op":"login","#));
    hand.message(r#"{"event":"login","code":"0","msg":"","connId":"a"}"#);
    assert!(hand.sent[1].contains(r#""channel":"account""#), "{:?}", hand.sent);
    assert_eq!(hand.core.feed_state(feed).unwrap().0, FeedState::Subscribing);
    hand.confirm("account");
    assert_eq!(hand.core.feed_state(feed).unwrap().0, FeedState::Subscribing, "the balances are not here yet");
    let details = r#"{"ccy":"BTC","eq":"2","availEq":"1.5","uTime":"1"}"#;
    let body = format!(r#"{{"code":"0","msg":"","data":[{{"details":[{details}]}}]}}"#);
    hand.answer("/api/v5/account/balance", 200, &body);
    assert_eq!(hand.core.feed_state(feed).unwrap().0, FeedState::Live);
    assert!(hand.take_told().contains(&"balance BTC 1.5".to_owned()));
}

#[test]
fn a_login_that_is_refused_for_good_is_not_tried_again() {
    let mut hand = Hand::new();
    let feed = hand.watch(PrivateChannel::Orders);
    hand.tick();
    hand.up();
    hand.message(r#"{"event":"error","code":"60009","msg":"Login failed.","connId":"a"}"#);
    let (state, _, error) = hand.core.feed_state(feed).unwrap();
    assert_eq!((state, error.unwrap().kind()), (FeedState::Failed, ErrorKind::AuthenticationError));
    assert!(!format!("{error:?}").contains("my-"));
    assert_eq!(hand.link, None, "closed");
    hand.pass_ms(60_000);
    assert_eq!(hand.link, None, "and not connected again");
}

#[test]
fn an_order_goes_from_sent_to_filled_and_its_trade_counts_once() {
    let (mut hand, _) = Hand::live();
    let (order, number, own) = hand.order();
    assert_eq!(hand.sent.len(), 1);
    assert!(hand.sent[0].contains(r#""instIdCode":10459"#) && hand.sent[0].contains(r#""px":"42000.5""#));
    assert_eq!(hand.status(order), OrderStatus::Pending);
    // The state comes before the answer here; both are told, nothing twice.
    hand.message(&pushed(&row("77", &own, "live", "0")));
    hand.message(&accepted(number, "77", &own));
    let fill = row("77", &own, "filled", "0.01").replace(
        r#""tradeId":"","fillPx":"","fillSz":"0""#,
        r#""tradeId":"9","fillPx":"42000.5","fillSz":"0.01","fillTime":"1700000000002","execType":"M","fillFee":"-0.1","fillFeeCcy":"USDT""#,
    );
    hand.message(&pushed(&fill));
    hand.message(&pushed(&fill));
    let told = hand.take_told();
    let expected =
        ["order 77 open filled 0", "create accepted", "order 77 closed filled 0.01", "trade 9 of 77 backfilled false"];
    assert_eq!(told, expected);
}

#[test]
fn a_refused_order_says_why_and_is_not_looked_up() {
    let (mut hand, _) = Hand::live();
    let (order, number, own) = hand.order();
    let refusal = format!(
        r#"{{"id":"{number}","op":"order","data":[{{"ordId":"","clOrdId":"{own}","tag":"","sCode":"51008","sMsg":"Order failed. Insufficient balance."}}],"code":"1","msg":"All operations failed"}}"#
    );
    hand.message(&refusal);
    assert_eq!(
        hand.take_told(),
        ["create rejected InsufficientFunds".to_owned(), format!("order {own} rejected filled 0")]
    );
    let error = hand.core.account(VENUE).unwrap().orders.find(order).unwrap().error.clone().unwrap();
    assert_eq!((error.code(), error.retry(), error.venue()), (Some("51008"), Retry::Never, Some("okex")));
    hand.pass_ms(20_000);
    assert_eq!(hand.asked, [], "nothing is asked about it");
}

#[test]
fn an_order_cut_off_between_send_and_answer_is_looked_up_and_never_sent_again() {
    let (mut hand, feed) = Hand::live();
    let (order, _, own) = hand.order();
    hand.down();
    assert_eq!(hand.status(order), OrderStatus::Unknown);
    assert_eq!(hand.core.feed_state(feed).unwrap().0, FeedState::Connecting);
    let told = hand.take_told();
    assert!(told.contains(&"create unknown NetworkError".to_owned()), "{told:?}");
    hand.pass_ms(1_000);
    let target = format!("/api/v5/trade/order?instId=BTC-USDT&clOrdId={own}");
    assert!(hand.asked.iter().any(|asked| asked.1 == target), "{:?}", hand.asked);
    hand.answer(&target, 200, &listed(&[row("78", &own, "live", "0")]));
    assert_eq!(hand.status(order), OrderStatus::Open);
    assert!(hand.take_told().contains(&"order 78 open filled 0".to_owned()));
    assert_eq!(hand.sent.iter().filter(|text| text.contains("\"op\":\"order\"")).count(), 1, "sent once");
    // Back again, the trades that were missed are asked for and marked.
    hand.up();
    hand.message(r#"{"event":"login","code":"0","msg":"","connId":"a"}"#);
    hand.confirm("orders");
    assert_eq!(hand.core.feed_state(feed).unwrap().0, FeedState::Subscribing);
    hand.answer("/api/v5/trade/orders-pending", 200, &listed(&[]));
    let fill = r#"{"instType":"SPOT","instId":"BTC-USDT","tradeId":"10","ordId":"78","clOrdId":"","side":"buy","fillPx":"42000.5","fillSz":"0.01","execType":"T","fee":"-0.2","feeCcy":"USDT","ts":"1700000000500"}"#;
    hand.answer("/api/v5/trade/fills", 200, &listed(&[fill.to_owned()]));
    assert!(hand.take_told().contains(&"trade 10 of 78 backfilled true".to_owned()));
    assert_eq!(
        hand.core.feed_state(feed).unwrap().0,
        FeedState::Subscribing,
        "the order is not in the list: where is it?"
    );
    hand.pass_ms(100);
    hand.answer("/api/v5/trade/order?", 200, &listed(&[row("78", &own, "filled", "0.01")]));
    assert_eq!(hand.status(order), OrderStatus::Closed);
    assert_eq!(hand.core.feed_state(feed).unwrap().0, FeedState::Live);
}

#[test]
fn an_order_that_never_arrived_counts_as_refused_after_a_while_and_not_before() {
    let (mut hand, _) = Hand::live();
    let (order, _, own) = hand.order();
    hand.pass_ms(5_100);
    assert_eq!(hand.status(order), OrderStatus::Unknown, "no answer in time");
    hand.pass_ms(600);
    let unknown = r#"{"code":"51603","msg":"Order does not exist","data":[]}"#;
    hand.answer("/api/v5/trade/order?", 200, unknown);
    assert_eq!(hand.status(order), OrderStatus::Unknown, "it may still be on its way");
    for _ in 0..40 {
        hand.pass_ms(500);
        if hand.asked.iter().any(|asked| asked.1.starts_with("/api/v5/trade/order?")) {
            hand.answer("/api/v5/trade/order?", 200, unknown);
        }
    }
    assert_eq!(hand.status(order), OrderStatus::Rejected);
    let told = hand.take_told();
    assert!(told.ends_with(&[format!("order {own} rejected filled 0")]), "{told:?}");
    assert_eq!(hand.sent.iter().filter(|text| text.contains("\"op\":\"order\"")).count(), 1);
}

#[test]
fn what_is_wrong_is_said_before_anything_is_sent() {
    let mut core = Core::new(Config::default());
    core.add_venue("okex", VenueConfig::default()).unwrap();
    let now = Stamp { mono: Mono(1), wall: Wall(1) };
    core.read_markets(VENUE, &reply(200, MARKETS), now).unwrap();
    let private = Channel::Private(PrivateChannel::Orders);
    let refused = core.watch(VENUE, None, private, None, now.mono).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AuthenticationError);
    let ledger = Channel::Private(PrivateChannel::Ledger);
    assert_eq!(core.watch(VENUE, None, ledger, None, now.mono).unwrap_err().kind(), ErrorKind::AuthenticationError);

    let (mut hand, _) = Hand::live();
    let market = hand.core.markets(VENUE).resolve("BTC/USDT").unwrap().id;
    let small = NewOrder::limit(market, TakerSide::Buy, "0.000001".parse().unwrap(), "42000.5".parse().unwrap());
    let error = hand.core.create_order(&small, hand.now).unwrap_err();
    assert_eq!(error.to_string(), "okex: BTC/USDT: amount 0.000001 is below the least of 0.00001");
    let (order, _, _) = hand.order();
    assert_eq!(hand.core.edit_order(order, None, None, hand.now).unwrap_err().kind(), ErrorKind::ArgumentsRequired);
    let mut hand = Hand::new();
    let early = NewOrder { amount: Some("1".parse().unwrap()), ..small };
    let error = hand.core.create_order(&early, hand.now).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::NetworkError, Retry::Backoff), "{error}");
    hand.tick();
    assert!(hand.link.is_some(), "but the session is on its way now");
}

#[test]
fn a_cancellation_that_came_too_late_asks_what_became_of_the_order() {
    let (mut hand, _) = Hand::live();
    let (order, number, own) = hand.order();
    hand.message(&accepted(number, "79", &own));
    hand.core.cancel_order(order, hand.now).unwrap();
    hand.carry_out();
    assert_eq!(hand.status(order), OrderStatus::Canceling);
    let refusal = format!(
        r#"{{"id":"{}","op":"cancel-order","data":[{{"ordId":"79","clOrdId":"","sCode":"51400","sMsg":"Cancellation failed as the order does not exist."}}],"code":"1","msg":""}}"#,
        number + 1
    );
    hand.message(&refusal);
    hand.pass_ms(100);
    hand.answer("/api/v5/trade/order?", 200, &listed(&[row("79", &own, "filled", "0.01")]));
    assert_eq!(hand.status(order), OrderStatus::Closed);
    assert_eq!(hand.core.cancel_order(order, hand.now).unwrap_err().kind(), ErrorKind::OrderNotFound);
}
