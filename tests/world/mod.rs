//! The engine's core against the loopback venue, byte for byte, on a virtual clock and without a socket.
//!
//! Everything that the venue says passes as bytes in pieces of random size; every book that the core shows as live is
//! compared with the venue's truth at that update number, at the moment at which it is shown.

#[path = "../accounts/mod.rs"]
mod accounts;

use std::collections::HashMap;

#[allow(unused_imports)] // Not every test that has a world trades.
pub use accounts::{agree, fixed};

use wirebook::credentials::Credentials;
use wirebook::engine::{Backoff, Command, Config, Core, LinkDown, LinkId, RequestId, Sink, VenueConfig};
use wirebook::model::{Event, FeedId, Mono, Stamp, Update, VenueId, Wall};
use wirebook::net::Url;
use wirebook::net::handshake::{Offered, Upgrade};
use wirebook::net::http::{HttpLimits, ResponseReader};
use wirebook::net::stream::End;
use wirebook::net::ws::{Message, TextCheck, Ws, WsLimits};
use wirebook::sim::faults::Script;
use wirebook::sim::host::{Fate, Host, LinkId as WireId};
use wirebook::sim::market::{Side, fingerprint_level};
use wirebook::sim::{self, VenueKind};
use wirebook::venue::{Channel, PrivateChannel, Reply, SignedRequest};
use wirebook::{Error, ErrorKind};

pub const START_NS: u64 = 1_700_000_000_000_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// What is counted and compared while the world turns.
#[derive(Debug, Default)]
pub struct Seen {
    /// Live books compared with the truth.
    pub compared: u64,
    /// Book events by feed, and how many of them showed a live book.
    pub events: HashMap<FeedId, (u64, u64)>,
    /// Feeds whose book left the live state after it had been live, and how often.
    pub fell: HashMap<FeedId, u64>,
    was_live: HashMap<FeedId, bool>,
    pub trades: u64,
    pub quotes: u64,
    pub candles: u64,
    pub tickers: u64,
    /// Ids of own trades as they were told.
    pub my_trades: Vec<String>,
    /// What was wrong, the first few.
    pub wrong: Vec<String>,
}

pub struct World {
    pub core: Core,
    pub host: Host,
    pub venue: VenueId,
    pub now_ns: u64,
    pub seen: Seen,
    pub symbols: HashMap<FeedId, String>,
    sockets: HashMap<LinkId, Socket>,
    https: Vec<Http>,
    rng: fastrand::Rng,
    /// Update number of each symbol at past times, to tell how far behind a book is.
    past: HashMap<String, Vec<(u64, u64)>>,
    bytes: Vec<u8>,
}

struct Socket {
    wire: WireId,
    ws: Ws,
    upgrade: Option<Upgrade>,
}

struct Http {
    wire: WireId,
    request: RequestId,
    reader: ResponseReader,
    input: Vec<u8>,
}

/// A sink that compares each live book with the truth.
struct Judge<'a> {
    host: &'a Host,
    seen: &'a mut Seen,
    symbols: &'a HashMap<FeedId, String>,
}

impl Sink for Judge<'_> {
    fn update(&mut self, update: &Update<'_>) {
        match update.event {
            Event::Book { book, .. } => {
                let counts = self.seen.events.entry(update.feed).or_default();
                counts.0 += 1;
                let was_live = self.seen.was_live.insert(update.feed, book.is_live());
                if was_live == Some(true) && !book.is_live() {
                    *self.seen.fell.entry(update.feed).or_default() += 1;
                }
                if !book.is_live() {
                    assert!(
                        book.best_bid().is_none() && book.asks().len() == 0,
                        "a book that is not live shows nothing"
                    );
                    return;
                }
                counts.1 += 1;
                // The first event may come while the feed is being added.
                let Some(symbol) = self.symbols.get(&update.feed) else { return };
                self.seen.compared += 1;
                if let Err(wrong) = compare(book, symbol, self.host)
                    && self.seen.wrong.len() < 5
                {
                    self.seen.wrong.push(wrong);
                }
            }
            Event::Trades(trades) => self.seen.trades += trades.len() as u64,
            Event::BidAsk(_) => self.seen.quotes += 1,
            Event::Candle(_) => self.seen.candles += 1,
            Event::Ticker(_) => self.seen.tickers += 1,
            Event::MyTrade(trade) => self.seen.my_trades.push(trade.id.to_string()),
            _ => {}
        }
    }
}

/// A live book against the venue's truth at the same update number, or at any where the venue has no numbers.
pub fn compare(book: &wirebook::book::Book, symbol: &str, host: &Host) -> Result<(), String> {
    let ours = fingerprint(book);
    let Some(nonce) = book.nonce() else {
        return match host.venue().update_with(symbol, ours) {
            Some(_) => Ok(()),
            None => Err(format!("{symbol}: the venue never had {:?} {:?}", book.best_bid(), book.best_ask())),
        };
    };
    let truth = host.venue().truth_at(symbol, nonce);
    match truth {
        Some(truth) if truth == ours => Ok(()),
        _ => {
            // A snapshot in the middle of a batch has no mark; it is rebuilt from the changes.
            let truth =
                host.venue().truth_levels_at(symbol, nonce).ok_or(format!("no truth of {symbol} at {nonce}"))?;
            if truth.fingerprint() == ours {
                return Ok(());
            }
            let bids: Vec<_> = book.bids().map(|level| (level.price, level.qty)).collect();
            let asks: Vec<_> = book.asks().map(|level| (level.price, level.qty)).collect();
            Err(format!(
                "{symbol} at {nonce}:\n ours  {bids:?}\n       {asks:?}\n truth {:?}\n       {:?}",
                truth.bids, truth.asks
            ))
        }
    }
}

fn fingerprint(book: &wirebook::book::Book) -> u64 {
    let bids = book.bids().map(|level| fingerprint_level(Side::Bid, level.price, level.qty));
    let asks = book.asks().map(|level| fingerprint_level(Side::Ask, level.price, level.qty));
    bids.chain(asks).fold(0, u64::wrapping_add)
}

impl World {
    pub fn new(sim: &sim::Config, config: Config, seed: u64) -> World {
        World::new_as(sim, config, seed, None)
    }

    /// A world with the keys of an account.
    pub fn new_as(sim: &sim::Config, config: Config, seed: u64, credentials: Option<Credentials>) -> World {
        let mut core = Core::new(config);
        let mut at = VenueConfig::at("ws://venue.test", "http://venue.test");
        at.credentials = credentials;
        let venue = core.add_venue(sim.venue.name(), at).unwrap();
        World {
            core,
            host: Host::new(sim, START_NS),
            venue,
            now_ns: START_NS,
            seen: Seen::default(),
            symbols: HashMap::new(),
            sockets: HashMap::new(),
            https: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            past: HashMap::new(),
            bytes: Vec::with_capacity(64 * 1024),
        }
    }

    /// A world with a book of each symbol, and the trades of the first, when all books are live.
    pub fn with_books(kind: VenueKind, symbols: &[&str], script: &str) -> (World, Vec<FeedId>) {
        let mut sim = sim::Config::new(kind).with_symbols(symbols.len());
        sim.levels = 20;
        sim.script = Script::parse(script).unwrap();
        let mut config = Config::default();
        config.stale_after_ms = Some(2_000);
        config.reconnect = Backoff { first_ms: 100, max_ms: 2_000 };
        config.retry = Backoff { first_ms: 100, max_ms: 2_000 };
        let mut world = World::new(&sim, config, 1);
        let books: Vec<FeedId> = symbols.iter().map(|symbol| world.watch(symbol, Channel::Book, Some(100))).collect();
        world.watch(symbols[0], Channel::Trades, None);
        assert!(world.run_until_done(4 * SECOND, World::all_live), "{:?}", world.core);
        (world, books)
    }

    /// How often each book fell out of the live state.
    pub fn fell(&self, books: &[FeedId]) -> Vec<u64> {
        books.iter().map(|feed| self.seen.fell.get(feed).copied().unwrap_or(0)).collect()
    }

    pub fn stamp(&self) -> Stamp {
        Stamp { mono: Mono(self.now_ns - START_NS + 1), wall: Wall(self.now_ns as i64) }
    }

    pub fn watch(&mut self, venue_symbol: &str, channel: Channel, depth: Option<u16>) -> FeedId {
        let now = self.stamp().mono;
        let feed = self.core.watch(self.venue, Some(venue_symbol), channel, depth, now).unwrap();
        if matches!(channel, Channel::Book) {
            self.symbols.insert(feed, venue_symbol.to_owned());
        }
        feed
    }

    /// Watches what is private to the account.
    pub fn watch_account(&mut self) {
        let now = self.stamp().mono;
        for channel in [PrivateChannel::Orders, PrivateChannel::MyTrades, PrivateChannel::Balance] {
            self.core.watch(self.venue, None, Channel::Private(channel), None, now).unwrap();
        }
    }

    /// Whether orders, trades and balances are those of the venue; what is not.
    pub fn account_agrees(&self) -> Result<(), String> {
        if !self.core.is_account_live(self.venue) {
            return Err("the account is not live".to_owned());
        }
        let find = |id: &str| self.core.find_order(self.venue, id);
        let (orders, balances) = (self.core.orders(self.venue), self.core.balances(self.venue));
        agree(self.host.venue(), orders, find, balances, &self.seen.my_trades)
    }

    /// Turns the world until `until_ns` after the start.
    pub fn run_until(&mut self, until_ns: u64) {
        let until_ns = START_NS + until_ns;
        while self.now_ns < until_ns {
            self.turn(until_ns);
        }
    }

    /// Turns the world until `done`, at most until `until_ns` after the start; whether it is done.
    pub fn run_until_done(&mut self, until_ns: u64, mut done: impl FnMut(&World) -> bool) -> bool {
        let until_ns = START_NS + until_ns;
        while self.now_ns < until_ns {
            if done(self) {
                return true;
            }
            self.turn(until_ns);
        }
        done(self)
    }

    /// One step: carries out commands, moves the clock to whatever is next, and delivers.
    fn turn(&mut self, until_ns: u64) {
        self.core.begin_cycle();
        self.carry_out();
        let mono = self.core.next_deadline();
        let core_ns = mono.0.saturating_add(START_NS - 1);
        let host_ns = self.host.next_deadline().unwrap_or(u64::MAX);
        self.now_ns = core_ns.min(host_ns).clamp(self.now_ns, until_ns);
        if host_ns <= self.now_ns {
            self.host.advance(self.now_ns);
            self.note_past();
        }
        self.deliver();
        if core_ns <= self.now_ns {
            let stamp = self.stamp();
            let World { core, host, seen, symbols, .. } = self;
            core.on_tick(stamp, &mut Judge { host, seen, symbols });
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.core.next_command() {
            match command {
                Command::Connect { link, url } => self.connect(link, &url),
                Command::Send { link, text } => {
                    if let Some(socket) = self.sockets.get_mut(&link) {
                        socket.ws.send_text(&text).unwrap();
                        self.send(link);
                    }
                }
                Command::Ping { link } => {
                    if let Some(socket) = self.sockets.get_mut(&link) {
                        socket.ws.ping(b"").unwrap();
                        self.send(link);
                    }
                }
                Command::Close { link } => self.drop_socket(link),
                Command::Request { request, signed, .. } => self.request(request, &signed),
                Command::Cancel { request } => {
                    if let Some(at) = self.https.iter().position(|http| http.request == request) {
                        let http = self.https.swap_remove(at);
                        self.host.lost(http.wire);
                    }
                }
            }
        }
    }

    fn connect(&mut self, link: LinkId, url: &str) {
        let Some(wire) = self.host.open(self.now_ns) else {
            self.down(link, ErrorKind::NetworkError, None);
            return;
        };
        let (request, upgrade) = Upgrade::request(&Url::parse(url).unwrap(), &[]).unwrap();
        let limits = WsLimits { buffer_start_bytes: 1, text_check: TextCheck::Strict, ..WsLimits::default() };
        let ws = Ws::new(limits, self.rng.u64(..));
        self.sockets.insert(link, Socket { wire, ws, upgrade: Some(upgrade) });
        self.host.on_bytes(self.now_ns, wire, &request);
    }

    fn drop_socket(&mut self, link: LinkId) {
        if let Some(socket) = self.sockets.remove(&link) {
            self.host.lost(socket.wire);
        }
    }

    fn down(&mut self, link: LinkId, kind: ErrorKind, retry_after_s: Option<u32>) {
        self.drop_socket(link);
        let stamp = self.stamp();
        let down = LinkDown { error: Error::new(kind, "down"), retry_after_s };
        let World { core, host, seen, symbols, .. } = self;
        core.on_link_down(link, &down, stamp, &mut Judge { host, seen, symbols });
    }

    fn send(&mut self, link: LinkId) {
        let Some(socket) = self.sockets.get_mut(&link) else { return };
        let out = socket.ws.out();
        let n = out.len();
        self.host.on_bytes(self.now_ns, socket.wire, out.as_slice());
        out.consume(n);
    }

    fn request(&mut self, request: RequestId, signed: &SignedRequest) {
        let Some(wire) = self.host.open(self.now_ns) else {
            let stamp = self.stamp();
            let World { core, host, seen, symbols, .. } = self;
            let error = Error::new(ErrorKind::NetworkError, "refused");
            core.on_reply(request, Err(error), stamp, &mut Judge { host, seen, symbols });
            return;
        };
        let mut text = format!("{} {} HTTP/1.1\r\nHost: venue.test\r\n", signed.method.as_str(), signed.target);
        for (name, value) in &signed.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !signed.body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", signed.body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&signed.body);
        self.host.on_bytes(self.now_ns, wire, &bytes);
        self.https.push(Http { wire, request, reader: ResponseReader::new(HttpLimits::default()), input: Vec::new() });
    }

    fn deliver(&mut self) {
        while let Some(wire) = self.host.pop_ready() {
            loop {
                let mut bytes = std::mem::take(&mut self.bytes);
                bytes.clear();
                let max = self.rng.usize(1..4_000);
                let n = self.host.take(self.now_ns, wire, max, &mut bytes);
                if n > 0 {
                    self.received(wire, &bytes);
                }
                self.bytes = bytes;
                match self.host.fate(wire) {
                    Fate::Finished | Fate::Cut => {
                        self.ended(wire);
                        break;
                    }
                    Fate::Open if n > 0 => {}
                    _ => break,
                }
            }
        }
    }

    fn received(&mut self, wire: WireId, bytes: &[u8]) {
        if let Some(link) = self.link_of(wire) {
            self.received_ws(link, bytes);
            return;
        }
        let Some(at) = self.https.iter().position(|http| http.wire == wire) else { return };
        let http = &mut self.https[at];
        http.input.extend_from_slice(bytes);
        let used = http.reader.offer(&http.input).unwrap();
        http.input.drain(..used);
        if http.reader.is_complete() {
            self.answered(at);
        }
    }

    fn answered(&mut self, at: usize) {
        let mut http = self.https.swap_remove(at);
        self.host.lost(http.wire);
        let stamp = self.stamp();
        let World { core, host, seen, symbols, .. } = self;
        let weight = "x-mbx-used-weight-1m";
        let response = http.reader.response();
        let number = |name: &str| response.headers.number(name).and_then(|n| u32::try_from(n).ok());
        let reply = Reply {
            status: response.status,
            body: response.body,
            weight_used: number(weight),
            retry_after_s: number("retry-after"),
        };
        core.on_reply(http.request, Ok(reply), stamp, &mut Judge { host, seen, symbols });
    }

    fn link_of(&self, wire: WireId) -> Option<LinkId> {
        self.sockets.iter().find(|(_, socket)| socket.wire == wire).map(|(link, _)| *link)
    }

    fn received_ws(&mut self, link: LinkId, mut bytes: &[u8]) {
        let stamp = self.stamp();
        let mut lost = None;
        {
            let World { core, host, seen, symbols, sockets, .. } = self;
            let Some(socket) = sockets.get_mut(&link) else { return };
            let mut judge = Judge { host, seen, symbols };
            'all: loop {
                let spare = socket.ws.spare();
                let n = spare.len().min(bytes.len());
                spare[..n].copy_from_slice(&bytes[..n]);
                socket.ws.filled(n);
                bytes = &bytes[n..];
                if let Some(upgrade) = &mut socket.upgrade {
                    match upgrade.offer(socket.ws.unread(), false) {
                        Ok(Offered::Accepted { consumed }) => {
                            socket.ws.consume(consumed);
                            socket.upgrade = None;
                            core.on_link_up(link, stamp, &mut judge);
                        }
                        Ok(_) if bytes.is_empty() => break,
                        Ok(_) => continue,
                        Err(error) => {
                            let retry_after_s = match &error {
                                wirebook::net::NetError::Upgrade { retry_after_s, .. } => *retry_after_s,
                                _ => None,
                            };
                            lost = Some(retry_after_s);
                            break;
                        }
                    }
                }
                loop {
                    match socket.ws.next() {
                        Ok(Some(Message::Text(text) | Message::Binary(text))) => {
                            core.on_message(link, text, stamp, None, &mut judge);
                        }
                        Ok(Some(Message::Ping(_))) => core.on_activity(link, 1, stamp.mono),
                        Ok(Some(Message::Pong(_))) => core.on_activity(link, 0, stamp.mono),
                        Ok(Some(Message::Close { .. })) | Err(_) => {
                            lost = Some(None);
                            break 'all;
                        }
                        Ok(None) => break,
                    }
                }
                if bytes.is_empty() {
                    break;
                }
            }
        }
        self.send(link);
        if let Some(retry_after_s) = lost {
            self.down(link, ErrorKind::NetworkError, retry_after_s);
        }
    }

    fn ended(&mut self, wire: WireId) {
        self.host.lost(wire);
        if let Some(link) = self.link_of(wire) {
            self.down(link, ErrorKind::NetworkError, None);
            return;
        }
        let Some(at) = self.https.iter().position(|http| http.wire == wire) else { return };
        if self.https[at].reader.ended(End::Clean).is_ok() {
            self.answered(at);
            return;
        }
        let http = self.https.swap_remove(at);
        let stamp = self.stamp();
        let World { core, host, seen, symbols, .. } = self;
        let error = Error::new(ErrorKind::NetworkError, "cut");
        core.on_reply(http.request, Err(error), stamp, &mut Judge { host, seen, symbols });
    }

    /// A message that the venue never sent comes on every link.
    pub fn inject(&mut self, text: &[u8]) {
        let stamp = self.stamp();
        let World { core, host, seen, symbols, sockets, .. } = self;
        for link in sockets.keys() {
            core.on_message(*link, text, stamp, None, &mut Judge { host, seen, symbols });
        }
    }

    fn note_past(&mut self) {
        for symbol in self.symbols.values() {
            let Some(index) = self.host.venue().market().index(symbol) else { continue };
            let id = self.host.venue().market().update_id(index);
            let past = self.past.entry(symbol.clone()).or_default();
            if past.last().is_none_or(|(at, _)| self.now_ns - at >= SECOND / 10) {
                past.push((self.now_ns, id));
            }
        }
    }

    /// True if all watched books are live.
    pub fn all_live(&self) -> bool {
        self.symbols.keys().all(|feed| self.core.book(*feed).is_ok_and(|book| book.is_live()))
    }

    /// The number of the update after which the venue had this book.
    fn update_of(&self, book: &wirebook::book::Book, symbol: &str) -> Option<u64> {
        self.host.venue().update_with(symbol, fingerprint(book))
    }

    /// Live books that show nothing newer than what the venue had `behind_ns` ago.
    pub fn behind(&self, behind_ns: u64) -> Vec<String> {
        let mut behind = Vec::new();
        for (feed, symbol) in &self.symbols {
            let Ok(book) = self.core.book(*feed) else { continue };
            if !book.is_live() {
                continue;
            }
            let Some(nonce) = book.nonce().or_else(|| self.update_of(book, symbol)) else { continue };
            let past = self.past.get(symbol).map(Vec::as_slice).unwrap_or_default();
            let then = past.iter().rev().find(|(at, _)| self.now_ns - at >= behind_ns);
            if let Some((_, id)) = then.filter(|(_, id)| *id > nonce) {
                behind.push(format!("{symbol} is live at {nonce}, the venue was at {id} {behind_ns} ns ago"));
            }
        }
        behind
    }
}
