//! What every loopback venue has, whatever it speaks: its market, its connections and what they have subscribed, the
//! way of a message through the faults, pings, lifetimes, and the queue of what is to be sent.
//!
//! A [`Protocol`](super::venue::Protocol) is handed the hub in each of its calls. It opens connections in it, names its
//! streams, and says what is to be sent; the hub decides what becomes of it.

mod faults;
mod paces;

use std::collections::{HashMap, VecDeque};

use fastrand::Rng;

pub(crate) use self::paces::Batch;
use self::paces::Pace;
pub(super) use self::paces::Rate;
use super::account::Account;
use super::faults::{Action, Engine, Verdict, WireFault};
use super::limits::Sliding;
use super::market::{Candle, Market, MarketConfig, Span};
use super::wire::Out;
use super::{Config, Counters, Limits};

/// How many ways of writing one and the same event a venue has, at most; see [`Hub::open`].
pub(crate) const VIEWS_MAX: usize = 8;
/// Books of one symbol that a venue cuts at different times, at most.
const PACES_MAX: usize = 3;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// How long an acknowledgement waits for an event to come first.
const ACK_NS_MAX: u64 = 250 * MS;

/// A connection. Stale ids are ignored everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    /// A number below the most connections that were ever open at a time; reused after the end of a connection.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// A number that no other connection of the venue ever had.
    pub(crate) fn number(self) -> u32 {
        self.generation
    }
}

/// What a table can say about a venue.
#[derive(Debug)]
pub(crate) struct Rules {
    /// How often changes of a book are gathered and told, in nanoseconds; zero for after each update. The truth is
    /// marked at the pace that stands first. At most [`PACES_MAX`].
    pub(crate) paces_ns: &'static [u64],
    /// Candle lengths of the market.
    pub(crate) spans: &'static [Span],
    /// Writes the message that announces the end of a connection (time in nanoseconds, connection, view), where there
    /// is one.
    pub(crate) shutdown_notice: Option<fn(u64, ConnId, usize, &mut String)>,
    /// Added to the seed, so that equal seeds do not give equal dice to all venues.
    pub(crate) salt: u64,
}

/// What is told to whoever subscribes it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    /// Index of the symbol; the number of symbols for streams of all of them.
    pub(crate) symbol: usize,
    /// The book, or a part of it.
    pub(crate) is_book: bool,
    /// Its messages carry a checksum.
    pub(crate) has_checksum: bool,
    /// Indices of the connections that get it.
    subscribers: Vec<u32>,
    /// What was last told, as far as a stream only tells news: for example a number of an update, of a trade, a candle.
    pub(crate) told: (u64, u64),
    /// Texts that a fault put behind the next event.
    held: Vec<(u32, String)>,
}

/// A stream to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewStream<'a> {
    /// Unique; scripted faults name it.
    pub(crate) name: &'a str,
    pub(crate) symbol: usize,
    pub(crate) is_book: bool,
    pub(crate) has_checksum: bool,
}

/// What a writer of an event may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing<'a> {
    pub(crate) market: &'a Market,
    /// Name of the stream.
    pub(crate) name: &'a str,
    /// How the connection wants it written.
    pub(crate) view: usize,
    /// The checksum has to be wrong.
    pub(crate) spoil_checksum: bool,
}

#[derive(Debug)]
struct Conn {
    generation: u32,
    view: usize,
    /// Names in the order of subscription; no index for streams that do not exist.
    subscriptions: Vec<(String, Option<usize>)>,
    messages: Sliding,
    /// Acknowledgements that wait for an event: text, latest time, events to come first.
    acks: VecDeque<(String, u64, u32)>,
    next_ping_ns: u64,
    ping_payload: Vec<u8>,
    alive_ns: u64,
    /// When something was last sent.
    sent_ns: u64,
    notice_ns: u64,
    close_ns: u64,
    silent_until_ns: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) market: Market,
    /// What happens in it is told to the protocol after each call.
    pub(crate) account: Account,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) rng: Rng,
    pub(super) rules: &'static Rules,
    pub(super) faults: Engine,
    early_event_percent: u32,
    http_delay_ns: (u64, u64),
    conns: Vec<Option<Conn>>,
    open: usize,
    generation: u32,
    streams: Vec<Stream>,
    stream_by_name: HashMap<String, usize>,
    /// Streams of each symbol, then those of all symbols.
    streams_of: Vec<Vec<usize>>,
    paces: Vec<[Pace; PACES_MAX]>,
    /// Symbols that changed since they were last told, for each pace.
    dirty: [Vec<usize>; PACES_MAX],
    pub(super) rate: Option<Rate>,
    pub(super) queue: VecDeque<(ConnId, Out)>,
    /// Texts to use again.
    spare: Vec<String>,
    pub(super) now_ns: u64,
    /// Earliest deadline of a connection; may be too early, never too late.
    pub(super) next_conn_ns: u64,
    wire_faults: Vec<(WireFault, u64)>,
    actions: Vec<Action>,
    scratch: [String; VIEWS_MAX],
    /// Connections that ended since the protocol was last told.
    pub(super) gone: Vec<ConnId>,
}

impl Hub {
    pub(super) fn new(config: &Config, rules: &'static Rules, start_ns: u64) -> Self {
        let market = Market::new(
            &MarketConfig {
                seed: config.seed,
                symbols: config.symbols.clone(),
                levels: config.levels,
                updates_per_s: config.updates_per_s,
                history: config.history,
                spans: rules.spans,
            },
            start_ns,
        );
        let paces = (0..market.len()).map(|index| [Pace::told(market.update_id(index)); PACES_MAX]);
        let rate = config.rate.map(|per_s| Rate::new(per_s, market.len(), start_ns));
        debug_assert!(!rules.paces_ns.is_empty() && rules.paces_ns.len() <= PACES_MAX, "as many as there is room for");
        Hub {
            account: Account::new(&config.account),
            limits: config.limits.clone(),
            counters: Counters::default(),
            rng: Rng::with_seed(config.seed ^ rules.salt),
            rules,
            faults: Engine::new(&config.script, config.seed, start_ns),
            early_event_percent: config.early_event_percent,
            http_delay_ns: config.http_delay_ns,
            conns: Vec::new(),
            open: 0,
            generation: 0,
            streams: Vec::new(),
            stream_by_name: HashMap::new(),
            streams_of: vec![Vec::new(); market.len() + 1],
            paces: paces.collect(),
            dirty: Default::default(),
            rate,
            queue: VecDeque::new(),
            spare: Vec::new(),
            now_ns: start_ns,
            next_conn_ns: u64::MAX,
            wire_faults: Vec::new(),
            actions: Vec::new(),
            scratch: Default::default(),
            gone: Vec::new(),
            market,
        }
    }

    /// The time of the current call, in Unix nanoseconds.
    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    // Connections.

    /// Opens a connection whose events are written as `view` says, a number below [`VIEWS_MAX`] that means what the
    /// protocol wants.
    pub(crate) fn open(&mut self, view: usize) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        let now_ns = self.now_ns;
        let lifetime_ns = self.faults.lifetime_ns().unwrap_or(self.limits.lifetime_ns);
        let close_ns = now_ns.saturating_add(lifetime_ns);
        let conn = Conn {
            generation: self.generation,
            view,
            subscriptions: Vec::new(),
            messages: Sliding::new(self.limits.messages_per_s, SECOND),
            acks: VecDeque::new(),
            next_ping_ns: now_ns.saturating_add(self.limits.ping_ns),
            ping_payload: Vec::new(),
            alive_ns: now_ns,
            sent_ns: now_ns,
            notice_ns: if self.rules.shutdown_notice.is_some() {
                // Half of a short life is announced rather than none of it.
                close_ns.saturating_sub(self.limits.shutdown_notice_ns.min(lifetime_ns / 2))
            } else {
                u64::MAX
            },
            close_ns,
            silent_until_ns: 0,
        };
        let index = match self.conns.iter().position(Option::is_none) {
            Some(index) => {
                self.conns[index] = Some(conn);
                index
            }
            None => {
                self.conns.push(Some(conn));
                self.conns.len() - 1
            }
        };
        self.open += 1;
        self.counters.connects += 1;
        self.next_conn_ns = 0;
        ConnId { index: index as u32, generation: self.generation }
    }

    /// How many are open.
    pub(crate) fn connections(&self) -> usize {
        self.open
    }

    /// Those that are open.
    pub(crate) fn conn_ids(&self) -> Vec<ConnId> {
        let conns = self.conns.iter().enumerate();
        conns
            .filter_map(|(index, conn)| {
                conn.as_ref().map(|conn| ConnId { index: index as u32, generation: conn.generation })
            })
            .collect()
    }

    /// Whether a connection is open.
    pub(crate) fn is_open(&self, id: ConnId) -> bool {
        self.peek(id).is_some()
    }

    pub(crate) fn view(&self, id: ConnId) -> usize {
        self.peek(id).map_or(0, |conn| conn.view)
    }

    pub(crate) fn set_view(&mut self, id: ConnId, view: usize) {
        if let Some(conn) = self.conn(id) {
            conn.view = view;
        }
    }

    /// Takes a connection out of the limit of messages.
    pub(crate) fn lift_message_limit(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id) {
            conn.messages = Sliding::new(usize::MAX, SECOND);
        }
    }

    /// When something was last sent to a connection.
    pub(crate) fn sent_ns(&self, id: ConnId) -> u64 {
        self.peek(id).map_or(0, |conn| conn.sent_ns)
    }

    /// Ends a connection with a close frame.
    pub(crate) fn close(&mut self, id: ConnId, code: u16, reason: &str) {
        if self.is_open(id) {
            self.end(id.index, Out::Close { code, reason: reason.to_owned() });
        }
    }

    /// Forgets a connection that is gone without a word.
    pub(super) fn lost(&mut self, id: ConnId) {
        if self.is_open(id) {
            self.remove(id.index);
        }
    }

    /// Counts a message of a client; false when the connection is unknown or was closed for too many of them.
    pub(super) fn count_message(&mut self, id: ConnId) -> bool {
        let now_ns = self.now_ns;
        let Some(conn) = self.conn(id) else { return false };
        let within = conn.messages.hit(now_ns).is_ok();
        self.counters.messages_received += 1;
        if !within {
            self.counters.too_many_messages += 1;
            self.end(id.index, Out::Close { code: 1008, reason: "Too many requests".to_owned() });
        }
        within
    }

    /// Only the payload of the last ping keeps a connection alive.
    pub(super) fn on_pong(&mut self, id: ConnId, payload: &[u8]) {
        let now_ns = self.now_ns;
        if let Some(conn) = self.conn(id)
            && !payload.is_empty()
            && conn.ping_payload == payload
        {
            conn.alive_ns = now_ns;
        }
    }

    // Streams.

    /// The stream of a name, if somebody has subscribed it before.
    pub(crate) fn stream_named(&self, name: &str) -> Option<usize> {
        self.stream_by_name.get(name).copied()
    }

    /// Adds a stream and gives its index; indices rise by one. Streams stay for good, so there must be finitely many.
    pub(crate) fn add_stream(&mut self, new: NewStream<'_>) -> usize {
        let at = self.streams.len();
        self.streams.push(Stream {
            name: new.name.to_owned(),
            symbol: new.symbol,
            is_book: new.is_book,
            has_checksum: new.has_checksum,
            subscribers: Vec::new(),
            told: (0, 0),
            held: Vec::new(),
        });
        self.stream_by_name.insert(new.name.to_owned(), at);
        self.streams_of[new.symbol].push(at);
        at
    }

    pub(crate) fn stream(&self, stream: usize) -> &Stream {
        &self.streams[stream]
    }

    pub(crate) fn stream_mut(&mut self, stream: usize) -> &mut Stream {
        &mut self.streams[stream]
    }

    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// How many streams a symbol has, and with [`Market::len`] how many all symbols share.
    pub(crate) fn stream_count_of(&self, symbol: usize) -> usize {
        self.streams_of[symbol].len()
    }

    /// The streams of a symbol one by one, so that nothing is borrowed while they are told.
    pub(crate) fn stream_of(&self, symbol: usize, at: usize) -> usize {
        self.streams_of[symbol][at]
    }

    /// Whether anybody has subscribed it.
    pub(crate) fn is_wanted(&self, stream: usize) -> bool {
        !self.streams[stream].subscribers.is_empty()
    }

    /// Whether a stream has not told this yet; remembers it.
    pub(crate) fn is_news(&mut self, stream: usize, news: (u64, u64)) -> bool {
        std::mem::replace(&mut self.streams[stream].told, news) != news
    }

    /// What a stream of candles has to tell: the candle that ended since the last time, and the open one if it is not
    /// as it was told.
    pub(crate) fn candle_news(&mut self, stream: usize, span: usize) -> [Option<(Candle, bool)>; 2] {
        let index = self.streams[stream].symbol;
        self.market.roll(index, span, self.now_ns);
        let Some((current, closed)) = self.market.candles(index, span) else { return [None; 2] };
        let current = *current;
        let told_ms = self.streams[stream].told.0;
        let ended = closed.binary_search_by_key(&told_ms, |candle| candle.open_ms).ok().map(|at| closed[at]);
        let is_news = self.is_news(stream, (current.open_ms, current.trades));
        [ended.map(|ended| (ended, true)), is_news.then_some((current, false))]
    }

    /// Subscribes a stream, or a name without one; false when it was subscribed already.
    pub(crate) fn subscribe(&mut self, id: ConnId, name: &str, stream: Option<usize>) -> bool {
        let Some(conn) = self.conn(id) else { return false };
        if conn.subscriptions.iter().any(|(known, _)| known == name) {
            return false;
        }
        conn.subscriptions.push((name.to_owned(), stream));
        match stream {
            Some(stream) => self.streams[stream].subscribers.push(id.index),
            None => self.counters.unknown_streams += 1,
        }
        self.refresh_turn();
        true
    }

    /// False when it was not subscribed.
    pub(crate) fn unsubscribe(&mut self, id: ConnId, name: &str) -> bool {
        let Some(conn) = self.conn(id) else { return false };
        let Some(at) = conn.subscriptions.iter().position(|(known, _)| known == name) else { return false };
        let (_, stream) = conn.subscriptions.remove(at);
        if let Some(stream) = stream {
            self.leave(stream, id.index);
            self.refresh_turn();
        }
        true
    }

    /// Names that a connection has subscribed, in order.
    pub(crate) fn subscriptions(&self, id: ConnId) -> impl ExactSizeIterator<Item = &str> {
        let subscriptions = self.peek(id).map(|conn| conn.subscriptions.as_slice()).unwrap_or_default();
        subscriptions.iter().map(|(name, _)| name.as_str())
    }

    fn leave(&mut self, stream: usize, index: u32) {
        let stream = &mut self.streams[stream];
        stream.subscribers.retain(|other| *other != index);
        stream.held.retain(|(other, _)| *other != index);
        if stream.subscribers.is_empty() {
            stream.told = (0, 0);
        }
    }

    // What is sent.

    /// Sends one event of a stream to all who subscribed it, through the faults.
    pub(crate) fn publish(&mut self, stream: usize, write: impl Fn(Writing<'_>, &mut String)) {
        let now_ns = self.now_ns;
        let it = &mut self.streams[stream];
        if it.subscribers.is_empty() {
            return;
        }
        let mut verdict = Verdict::Pass;
        if !self.faults.is_idle() {
            let symbol = if it.symbol < self.market.len() { &self.market.symbol(it.symbol).name } else { "" };
            verdict = self.faults.on_event(now_ns, symbol, &it.name, it.has_checksum, &mut self.actions);
            self.counters.faults += u64::from(verdict != Verdict::Pass);
        }
        let mut late = std::mem::take(&mut self.streams[stream].held);
        if verdict != Verdict::Drop {
            let mut written = [false; VIEWS_MAX];
            let mut scratch = std::mem::take(&mut self.scratch);
            for i in 0..self.streams[stream].subscribers.len() {
                let index = self.streams[stream].subscribers[i];
                let Some(conn) = self.conns[index as usize].as_ref() else { continue };
                let view = conn.view.min(VIEWS_MAX - 1);
                if !std::mem::replace(&mut written[view], true) {
                    scratch[view].clear();
                    let writing = Writing {
                        market: &self.market,
                        name: &self.streams[stream].name,
                        view,
                        spoil_checksum: verdict == Verdict::BadChecksum,
                    };
                    write(writing, &mut scratch[view]);
                }
                let mut text = self.spare.pop().unwrap_or_default();
                text.push_str(&scratch[view]);
                match verdict {
                    Verdict::Later => {
                        self.streams[stream].held.push((index, text));
                        continue;
                    }
                    Verdict::Corrupt => self.corrupt(&mut text),
                    Verdict::Twice => self.send_event(index, text.clone()),
                    _ => {}
                }
                self.send_event(index, text);
            }
            self.scratch = scratch;
        }
        for (index, text) in late.drain(..) {
            // Whoever has left the stream since then gets nothing; a new connection in its place was cleared out.
            if self.streams[stream].subscribers.contains(&index) {
                self.send_event(index, text);
            }
        }
        if self.streams[stream].held.is_empty() {
            self.streams[stream].held = late;
        }
        if !self.actions.is_empty() {
            self.act();
        }
    }

    /// Queues an answer behind acknowledgements that still wait.
    pub(crate) fn answer(&mut self, id: ConnId, text: String) {
        match self.conn(id) {
            Some(conn) if !conn.acks.is_empty() => conn.acks.push_back((text, 0, 0)),
            Some(_) => self.send(id.index, Out::Text(text)),
            None => {}
        }
    }

    /// Acknowledges at once, or after the first event or two.
    pub(crate) fn acknowledge(&mut self, id: ConnId, text: String) {
        let waits = self.rng.u32(..100) < self.early_event_percent;
        let events = self.rng.u32(1..3);
        let due_ns = self.now_ns.saturating_add(ACK_NS_MAX);
        match self.conn(id) {
            Some(conn) if waits => {
                conn.acks.push_back((text, due_ns, events));
                self.next_conn_ns = self.next_conn_ns.min(due_ns);
            }
            _ => self.answer(id, text),
        }
    }

    /// Sends a text at once, ahead of acknowledgements that wait.
    pub(crate) fn send_text(&mut self, id: ConnId, text: String) {
        if self.is_open(id) {
            self.send_event(id.index, text);
        }
    }

    pub(super) fn send_pong(&mut self, id: ConnId, payload: &[u8]) {
        if self.is_open(id) {
            self.send(id.index, Out::Pong(payload.to_vec()));
        }
    }

    /// Gives the text of a message back so that its memory is used again.
    pub(super) fn recycle(&mut self, out: Out) {
        if let Out::Text(mut text) = out
            && self.spare.len() < 64
        {
            text.clear();
            self.spare.push(text);
        }
    }

    /// Makes a text that is no JSON any more: cut short, or with a raw control character in it.
    fn corrupt(&mut self, text: &mut String) {
        let mut at = self.faults.pick(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        if self.faults.pick(2) == 0 {
            text.truncate(at);
        } else {
            text.insert(at, '\u{1}');
        }
    }

    fn send_event(&mut self, index: u32, text: String) {
        self.send(index, Out::Text(text));
        let Some(conn) = self.conns[index as usize].as_mut() else { return };
        // Acknowledgements that waited for this event.
        if let Some(ack) = conn.acks.front_mut() {
            ack.2 = ack.2.saturating_sub(1);
            if ack.2 == 0 {
                self.send_acks(index);
            }
        }
    }

    /// Sends acknowledgements in order, up to the first that still waits.
    fn send_acks(&mut self, index: u32) {
        let now_ns = self.now_ns;
        while let Some(conn) = self.conns[index as usize].as_mut() {
            match conn.acks.front() {
                Some((_, due_ns, events)) if *events == 0 || *due_ns <= now_ns => {}
                _ => return,
            }
            if let Some((text, _, _)) = conn.acks.pop_front() {
                self.send(index, Out::Text(text));
            }
        }
    }

    fn send(&mut self, index: u32, out: Out) {
        let now_ns = self.now_ns;
        let Some(conn) = self.conns.get_mut(index as usize).and_then(Option::as_mut) else { return };
        if now_ns < conn.silent_until_ns {
            self.counters.faults += 1;
            return;
        }
        if let Out::Text(_) = out {
            self.counters.messages_sent += 1;
            conn.sent_ns = now_ns;
        }
        self.queue.push_back((ConnId { index, generation: conn.generation }, out));
    }

    /// Says the last word to a connection and forgets it.
    fn end(&mut self, index: u32, out: Out) {
        if let Some(conn) = self.conns.get(index as usize).and_then(Option::as_ref) {
            self.queue.push_back((ConnId { index, generation: conn.generation }, out));
            self.remove(index);
        }
    }

    fn remove(&mut self, index: u32) {
        let Some(conn) = self.conns[index as usize].take() else { return };
        self.open -= 1;
        self.gone.push(ConnId { index, generation: conn.generation });
        for (_, stream) in conn.subscriptions {
            if let Some(stream) = stream {
                self.leave(stream, index);
            }
        }
        self.refresh_turn();
    }

    fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id.index as usize)?.as_mut().filter(|conn| conn.generation == id.generation)
    }

    fn peek(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(id.index as usize)?.as_ref().filter(|conn| conn.generation == id.generation)
    }

    /// Pings, missing pongs, lifetimes and late acknowledgements of all connections.
    pub(super) fn serve_connections(&mut self) {
        let now_ns = self.now_ns;
        let mut next_ns = u64::MAX;
        for index in 0..self.conns.len() {
            let Some(conn) = self.conns[index].as_mut() else { continue };
            let at = index as u32;
            if now_ns >= conn.close_ns {
                self.end(at, Out::Close { code: 1001, reason: "going away".to_owned() });
                continue;
            }
            if now_ns >= conn.alive_ns.saturating_add(self.limits.pong_timeout_ns) {
                self.counters.missed_pongs += 1;
                self.end(at, Out::Close { code: 1008, reason: "Pong timeout".to_owned() });
                continue;
            }
            let ack_due = conn.acks.front().is_some_and(|(_, due_ns, _)| *due_ns <= now_ns);
            let ping = now_ns >= conn.next_ping_ns;
            let notice = now_ns >= conn.notice_ns;
            if ping {
                conn.next_ping_ns = now_ns.saturating_add(self.limits.ping_ns);
                conn.ping_payload = (now_ns / MS).to_string().into_bytes();
            }
            let payload = conn.ping_payload.clone();
            if notice {
                conn.notice_ns = u64::MAX;
            }
            if ack_due {
                self.send_acks(at);
            }
            if ping {
                self.send(at, Out::Ping(payload));
            }
            if notice {
                self.announce_shutdown(at);
            }
            if let Some(conn) = self.conns[index].as_ref() {
                let ack_ns = conn.acks.front().map_or(u64::MAX, |(_, due_ns, _)| *due_ns);
                let pong_ns = conn.alive_ns.saturating_add(self.limits.pong_timeout_ns);
                let own_ns = conn.next_ping_ns.min(pong_ns).min(conn.close_ns).min(conn.notice_ns).min(ack_ns);
                next_ns = next_ns.min(own_ns);
            }
        }
        self.next_conn_ns = next_ns;
    }

    fn announce_shutdown(&mut self, index: u32) {
        let Some(write) = self.rules.shutdown_notice else { return };
        let Some(conn) = self.conns[index as usize].as_ref() else { return };
        let mut text = String::new();
        write(self.now_ns, ConnId { index, generation: conn.generation }, conn.view, &mut text);
        self.send(index, Out::Text(text));
    }
}

/// What a protocol remembers of each connection.
#[derive(Debug)]
pub(crate) struct PerConn<T>(Vec<Option<(ConnId, T)>>);

impl<T> Default for PerConn<T> {
    fn default() -> Self {
        PerConn(Vec::new())
    }
}

impl<T> PerConn<T> {
    pub(crate) fn insert(&mut self, id: ConnId, value: T) {
        if self.0.len() <= id.index() {
            self.0.resize_with(id.index() + 1, || None);
        }
        self.0[id.index()] = Some((id, value));
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        self.0.get_mut(id.index())?.as_mut().filter(|(owner, _)| *owner == id).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get_mut(id)?;
        self.0[id.index()].take().map(|(_, value)| value)
    }
}
