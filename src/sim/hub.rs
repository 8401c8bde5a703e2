//! What every loopback venue has, whatever it speaks: its market, its connections and what they have subscribed, the
//! way of a message through the faults, pings, lifetimes, and the queue of what is to be sent.
//!
//! A [`Protocol`](super::venue::Protocol) is handed the hub in each of its calls. It opens connections in it, names its
//! streams, and says what is to be sent; the hub decides what becomes of it.

use std::collections::{HashMap, VecDeque};

use fastrand::Rng;

use super::faults::{Action, Engine, RequestVerdict, Verdict, Who, WireFault};
use super::limits::Sliding;
use super::market::{Change, Market, MarketConfig, Side, Span};
use super::wire::Out;
use super::{Config, Counters, Limits};

/// How many ways of writing one and the same event a venue has, at most; see [`Hub::open`].
pub(crate) const VIEWS_MAX: usize = 4;
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
}

/// What a table can say about a venue.
#[derive(Debug)]
pub(crate) struct Rules {
    /// How often changes of a book are gathered and told, in nanoseconds; zero for after each update. The truth is
    /// marked at the pace that stands first. At most [`PACES_MAX`].
    pub(crate) paces_ns: &'static [u64],
    /// Candle lengths of the market.
    pub(crate) spans: &'static [Span],
    /// Writes the message that announces the end of a connection (time in nanoseconds, view), where there is one.
    pub(crate) shutdown_notice: Option<fn(u64, usize, &mut String)>,
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

/// How far a symbol's book was told at each pace.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// Last update number told.
    last: u64,
    changed: bool,
    /// Books told at the first pace since the last one at this, for the accelerated mode.
    count: u64,
}

/// The accelerated mode.
#[derive(Debug)]
pub(super) struct Rate {
    per_s: u64,
    /// Events so far, from which the next time follows without rounding errors.
    count: u64,
    from_ns: u64,
    /// Symbols whose book somebody has subscribed, or all.
    turn: Vec<usize>,
    at: usize,
}

impl Rate {
    pub(super) fn next_ns(&self) -> u64 {
        self.from_ns + ((u128::from(self.count) + 1) * u128::from(SECOND) / u128::from(self.per_s)) as u64
    }

    /// The symbol whose turn it is.
    pub(super) fn take_turn(&mut self) -> Option<usize> {
        self.count += 1;
        let index = self.turn.get(self.at % self.turn.len().max(1)).copied()?;
        self.at = (self.at + 1) % self.turn.len();
        Some(index)
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) market: Market,
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
        let paces =
            (0..market.len()).map(|index| [Pace { last: market.update_id(index), ..Pace::default() }; PACES_MAX]);
        let rate = config.rate.map(|per_s| Rate {
            per_s: u64::from(per_s.clamp(1, 1_000_000)),
            count: 0,
            from_ns: start_ns,
            turn: (0..market.len()).collect(),
            at: 0,
        });
        debug_assert!(!rules.paces_ns.is_empty() && rules.paces_ns.len() <= PACES_MAX, "as many as there is room for");
        Hub {
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

    /// In the accelerated mode the symbols take turns whose book somebody wants.
    fn refresh_turn(&mut self) {
        let Some(rate) = &mut self.rate else { return };
        rate.turn.clear();
        for index in 0..self.market.len() {
            let wanted = |stream: &usize| {
                let stream = &self.streams[*stream];
                stream.is_book && !stream.subscribers.is_empty()
            };
            if self.streams_of[index].iter().any(wanted) {
                rate.turn.push(index);
            }
        }
        if rate.turn.is_empty() {
            rate.turn.extend(0..self.market.len());
        }
    }

    fn leave(&mut self, stream: usize, index: u32) {
        let stream = &mut self.streams[stream];
        stream.subscribers.retain(|other| *other != index);
        stream.held.retain(|(other, _)| *other != index);
        if stream.subscribers.is_empty() {
            stream.told = (0, 0);
        }
    }

    // Paces.

    /// Last update number of a symbol that was told at a pace.
    pub(crate) fn told_id(&self, symbol: usize, pace: usize) -> u64 {
        self.paces[symbol][pace].last
    }

    /// Remembers that a symbol has something to tell, and gives the paces at which it is to be told at once.
    pub(super) fn note_change(&mut self, index: usize) {
        let Some(paces) = self.paces.get_mut(index) else { return };
        let id = self.market.update_id(index);
        for (at, pace) in paces.iter_mut().enumerate().take(self.rules.paces_ns.len()) {
            // An update may find nothing to do, and an event without update numbers does not exist.
            if id != pace.last && !std::mem::replace(&mut pace.changed, true) {
                self.dirty[at].push(index);
            }
        }
    }

    /// Symbols that have something to tell at a pace; they count as told from now on.
    pub(super) fn take_dirty(&mut self, pace: usize) -> Vec<usize> {
        let dirty = std::mem::take(&mut self.dirty[pace]);
        for index in &dirty {
            self.paces[*index][pace].changed = false;
        }
        dirty
    }

    /// The list of [`Hub::take_dirty`] for the next time.
    pub(super) fn give_dirty(&mut self, pace: usize, mut dirty: Vec<usize>) {
        dirty.clear();
        if self.dirty[pace].is_empty() {
            self.dirty[pace] = dirty;
        }
    }

    /// Marks the truth before a book is told at the first pace.
    pub(super) fn mark(&mut self, index: usize) {
        let told = self.paces[index].iter().take(self.rules.paces_ns.len()).map(|pace| pace.last).min();
        self.market.mark_keeping(index, told.unwrap_or_default());
    }

    /// The book was told.
    pub(super) fn note_told(&mut self, index: usize, pace: usize) {
        self.paces[index][pace].last = self.market.update_id(index);
    }

    /// In the accelerated mode: whether a slower pace has its turn after so many books of the first one.
    pub(super) fn count_turn(&mut self, index: usize, pace: usize) -> bool {
        let paces_ns = self.rules.paces_ns;
        let every = paces_ns[pace].checked_div(paces_ns[0]).unwrap_or(1).max(1);
        let pace = &mut self.paces[index][pace];
        pace.count += 1;
        let due = pace.count >= every;
        if due {
            pace.count = 0;
        }
        due
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
        write(self.now_ns, conn.view, &mut text);
        self.send(index, Out::Text(text));
    }

    // Faults.

    /// Asks what becomes of a request, and how long its answer takes. `symbol` is empty where the request names none;
    /// `snapshot` says that it wants a book.
    pub(crate) fn judge_request(&mut self, path: &str, symbol: &str, snapshot: bool) -> RequestVerdict {
        let mut verdict = self.faults.on_request(self.now_ns, path, symbol, snapshot);
        let touched = verdict.status.is_some() || verdict.delay_ns > 0 || verdict.stale;
        self.counters.faults += u64::from(touched);
        let (least_ns, most_ns) = self.http_delay_ns;
        let delay_ns = self.rng.u64(least_ns..most_ns.max(least_ns) + 1);
        verdict.delay_ns = delay_ns.saturating_add(verdict.delay_ns);
        verdict
    }

    /// Whether a scripted fault closes new connections before a byte is exchanged.
    pub(super) fn refuses(&mut self) -> bool {
        self.advance_faults();
        let refused = self.faults.refuses(self.now_ns);
        self.counters.faults += u64::from(refused);
        refused
    }

    /// Faults of bytes that are in force, with their end.
    pub(super) fn wire_faults(&self, now_ns: u64) -> impl Iterator<Item = (WireFault, u64)> {
        self.wire_faults.iter().copied().filter(move |(_, until_ns)| now_ns < *until_ns)
    }

    pub(super) fn advance_faults(&mut self) {
        let now_ns = self.now_ns;
        if self.faults.next_ns().is_some_and(|next_ns| next_ns <= now_ns) {
            self.faults.fire(now_ns, &mut self.actions);
            self.act();
        }
    }

    /// Does what the faults ask for.
    fn act(&mut self) {
        let now_ns = self.now_ns;
        let actions = std::mem::take(&mut self.actions);
        for action in &actions {
            if let Action::Wire { fault, until_ns } = action {
                self.wire_faults.retain(|(_, until_ns)| now_ns < *until_ns);
                self.wire_faults.push((*fault, *until_ns));
            }
            let who = match action {
                Action::Close { who, .. }
                | Action::Cut { who }
                | Action::HalfOpen { who }
                | Action::Silence { who, .. } => *who,
                Action::Wire { .. } | Action::Shutdown { .. } => Who::All,
            };
            let mut concerned: Vec<u32> =
                (0..self.conns.len() as u32).filter(|index| self.conns[*index as usize].is_some()).collect();
            if who == Who::One && !concerned.is_empty() {
                concerned = vec![concerned[self.faults.pick(concerned.len())]];
            }
            for index in concerned {
                self.counters.faults += 1;
                match action {
                    Action::Close { code, .. } => self.end(index, Out::Close { code: *code, reason: String::new() }),
                    Action::Cut { .. } => self.end(index, Out::Cut),
                    Action::HalfOpen { .. } => self.end(index, Out::Stall),
                    Action::Wire { fault, until_ns } => self.send(index, Out::Wire(*fault, *until_ns)),
                    Action::Silence { until_ns, .. } => {
                        if let Some(conn) = self.conns[index as usize].as_mut() {
                            conn.silent_until_ns = conn.silent_until_ns.max(*until_ns);
                        }
                    }
                    Action::Shutdown { after_ns } => {
                        self.announce_shutdown(index);
                        if let Some(conn) = self.conns[index as usize].as_mut() {
                            conn.close_ns = conn.close_ns.min(now_ns.saturating_add(*after_ns));
                            conn.notice_ns = u64::MAX;
                        }
                        self.next_conn_ns = 0;
                    }
                }
            }
        }
        self.actions = actions;
        self.actions.clear();
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

/// A batch of book changes, already sorted: bids falling, asks rising.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) bids: Vec<(i64, i64)>,
    pub(crate) asks: Vec<(i64, i64)>,
}

impl Batch {
    /// Gathers all changes above `after`, each price once with its quantity now.
    pub(crate) fn gather(&mut self, market: &Market, index: usize, after: u64) {
        self.first = after + 1;
        self.last = market.update_id(index);
        self.bids.clear();
        self.asks.clear();
        let slot = |change: &Change| (change.price, 0);
        for change in market.changes_since(index, after) {
            match change.side {
                Side::Bid => self.bids.push(slot(change)),
                Side::Ask => self.asks.push(slot(change)),
            }
        }
        self.bids.sort_unstable_by_key(|level| std::cmp::Reverse(level.0));
        self.asks.sort_unstable();
        self.bids.dedup_by_key(|level| level.0);
        self.asks.dedup_by_key(|level| level.0);
        for (side, levels) in [(Side::Bid, &mut self.bids), (Side::Ask, &mut self.asks)] {
            for (level_price, level_qty) in levels {
                *level_qty = market.quantity(index, side, *level_price);
            }
        }
    }
}
