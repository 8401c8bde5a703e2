//! A loopback venue without sockets: a hub, and a protocol that speaks for it.
//!
//! Connections are opened with [`Venue::connect`], client messages go in by [`Venue::text`], [`Venue::ping`],
//! [`Venue::pong`] and [`Venue::close`], REST requests by [`Venue::request`]. Time passes by [`Venue::advance`]; what the
//! venue says waits in a queue for [`Venue::pop`]. Call `advance` when [`Venue::next_deadline`] has come and pop
//! everything after each call of any kind: `advance` stops early when [`QUEUE_MAX`] messages wait or [`STEPS_MAX`] things
//! have happened, and its deadline then lies in the past.
//!
//! All clients count as one address for the limits.

use std::fmt;

use super::account::{self, Account};
use super::faults::WireFault;
pub use super::hub::ConnId;
use super::hub::{Hub, Rules};
use super::market::{Event, Market, Truth};
use super::wire::{HttpReply, Out, Request};
use super::{Config, Counters, Limits, VenueKind};

/// Messages that wait to be popped at most before [`Venue::advance`] stops early. A single instant may go beyond it by
/// what it says to all connections.
pub const QUEUE_MAX: usize = 16_384;
/// Updates, batches and timers that one [`Venue::advance`] works through at most, so that a call stays short.
pub const STEPS_MAX: usize = 10_000;

const SECOND: u64 = 1_000_000_000;

/// What a venue says, and nothing else: everything that has to do with time, bytes and trouble is the hub's.
///
/// The current time is [`Hub::now_ns`] in each call.
pub(crate) trait Protocol: fmt::Debug + Send {
    /// What a table can say about the venue.
    fn rules(&self) -> &'static Rules;

    /// A client asks for a WebSocket at a path with its query. Opens it with [`Hub::open`], or refuses with an answer.
    fn connect(&mut self, hub: &mut Hub, target: &str) -> Result<ConnId, HttpReply>;

    /// A text message of a client, already counted.
    fn on_text(&mut self, hub: &mut Hub, conn: ConnId, text: &str);

    /// A connection is over, whoever ended it. Its subscriptions are forgotten already.
    fn on_gone(&mut self, _hub: &mut Hub, _conn: ConnId) {}

    /// A trade, or a best price that moved: what is told in real time.
    fn on_event(&mut self, hub: &mut Hub, event: Event);

    /// Something happened in the account, see [`Hub::account`]; told after the call that did it, behind its answer.
    fn on_account(&mut self, _hub: &mut Hub, _event: &account::Event) {}

    /// A book changed since it was last told at this pace, see [`Rules::paces_ns`] and [`Hub::told_id`].
    fn on_book(&mut self, hub: &mut Hub, symbol: usize, pace: usize);

    /// Each full second of the clock.
    fn on_second(&mut self, hub: &mut Hub);

    /// A REST request, already counted. [`Hub::judge_request`] has to be asked about it.
    fn on_request(&mut self, hub: &mut Hub, request: &Request) -> HttpReply;
}

/// One loopback venue. See the module's documentation.
#[derive(Debug)]
pub struct Venue {
    kind: VenueKind,
    hub: Hub,
    protocol: Box<dyn Protocol>,
    /// When books are told next, for each pace.
    next_book_ns: Vec<u64>,
    next_second_ns: u64,
    events: Vec<Event>,
}

impl Venue {
    /// A venue whose market begins at `start_ns` (Unix nanoseconds).
    pub fn new(config: &Config, start_ns: u64) -> Self {
        let protocol = config.venue.protocol(config);
        let rules = protocol.rules();
        let next_book_ns = rules.paces_ns.iter().map(|pace_ns| match *pace_ns {
            0 => u64::MAX,
            pace_ns => start_ns - start_ns % pace_ns + pace_ns,
        });
        Venue {
            kind: config.venue,
            hub: Hub::new(config, rules, start_ns),
            protocol,
            next_book_ns: next_book_ns.collect(),
            next_second_ns: start_ns - start_ns % SECOND + SECOND,
            events: Vec::new(),
        }
    }

    /// Which venue it is.
    pub fn kind(&self) -> VenueKind {
        self.kind
    }

    /// The venue's limits in this run.
    pub fn limits(&self) -> &Limits {
        &self.hub.limits
    }

    /// The market behind the venue.
    pub fn market(&self) -> &Market {
        &self.hub.market
    }

    /// The account as it truly is.
    pub fn account(&self) -> &Account {
        &self.hub.account
    }

    /// For tests: a deposit, or a withdrawal with a negative amount, at `now_ns`.
    ///
    /// # Errors
    /// [`account::Refusal::Funds`] if less than that is free.
    pub fn transfer(
        &mut self,
        now_ns: u64,
        asset: &str,
        change: rust_decimal::Decimal,
    ) -> Result<(), account::Refusal> {
        self.pass(now_ns);
        let done = self.hub.account.transfer(now_ns, asset, change);
        self.settle();
        done
    }

    /// The true book now; `None` for an unknown symbol. In the middle of a batch it is ahead of what was told.
    pub fn truth(&self, symbol: &str) -> Option<Truth> {
        self.market().index(symbol).map(|index| self.market().truth(index))
    }

    /// Fingerprint of the true book at the end of a book event, see
    /// [`fingerprint_level`](super::market::fingerprint_level); `None` when no event ended there or too long ago.
    pub fn truth_at(&self, symbol: &str, update_id: u64) -> Option<u64> {
        self.market().truth_at(self.market().index(symbol)?, update_id)
    }

    /// The true book at any remembered update number. Slow.
    pub fn truth_levels_at(&self, symbol: &str, update_id: u64) -> Option<Truth> {
        self.market().truth_levels_at(self.market().index(symbol)?, update_id)
    }

    /// The last marked update number after which the true book had this fingerprint, for venues that tell no numbers.
    pub fn update_with(&self, symbol: &str, fingerprint: u64) -> Option<u64> {
        self.market().update_with(self.market().index(symbol)?, fingerprint)
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.hub.counters
    }

    /// For whoever carries the bytes: counts what only it can see.
    pub fn counters_mut(&mut self) -> &mut Counters {
        &mut self.hub.counters
    }

    /// Open WebSocket connections.
    pub fn connections(&self) -> usize {
        self.hub.connections()
    }

    /// Whether a scripted fault closes new connections before a byte is exchanged.
    pub fn refuses(&mut self, now_ns: u64) -> bool {
        self.pass(now_ns);
        self.hub.refuses()
    }

    /// Faults of bytes that are in force, with their end; for links that carry no WebSocket or are not open yet.
    pub fn wire_faults(&self, now_ns: u64) -> impl Iterator<Item = (WireFault, u64)> {
        self.hub.wire_faults(now_ns)
    }

    /// A request to become a WebSocket.
    ///
    /// # Errors
    /// The answer that refuses it: 404 for an unknown path, 400 for parameters that make no sense, 429 and the like for
    /// too many attempts.
    pub fn connect(&mut self, now_ns: u64, target: &str) -> Result<ConnId, HttpReply> {
        self.pass(now_ns);
        let opened = self.protocol.connect(&mut self.hub, target);
        self.settle();
        opened
    }

    /// A text message of a client.
    pub fn text(&mut self, now_ns: u64, conn: ConnId, text: &str) {
        self.pass(now_ns);
        if self.hub.count_message(conn) {
            self.protocol.on_text(&mut self.hub, conn, text);
        }
        self.settle();
    }

    /// A ping of a client.
    pub fn ping(&mut self, now_ns: u64, conn: ConnId, payload: &[u8]) {
        self.pass(now_ns);
        if self.hub.count_message(conn) {
            self.hub.send_pong(conn, payload);
        }
        self.settle();
    }

    /// A pong of a client. Only the payload of the last ping keeps the connection alive.
    pub fn pong(&mut self, now_ns: u64, conn: ConnId, payload: &[u8]) {
        self.pass(now_ns);
        if self.hub.count_message(conn) {
            self.hub.on_pong(conn, payload);
        }
        self.settle();
    }

    /// A close frame of a client; it is answered and the connection is over.
    pub fn close(&mut self, now_ns: u64, conn: ConnId, code: Option<u16>) {
        self.pass(now_ns);
        self.hub.close(conn, code.unwrap_or(1000), "");
        self.settle();
    }

    /// A connection that is gone without a word.
    pub fn lost(&mut self, conn: ConnId) {
        self.hub.lost(conn);
        self.settle();
    }

    /// A REST request. The answer says how long it takes.
    pub fn request(&mut self, now_ns: u64, request: &Request) -> HttpReply {
        self.pass(now_ns);
        self.hub.advance_faults();
        self.hub.counters.requests += 1;
        let reply = self.protocol.on_request(&mut self.hub, request);
        self.settle();
        reply
    }

    /// The same without a body. `headers` have lower-case names.
    pub fn http(&mut self, now_ns: u64, method: &str, target: &str, headers: &[(String, String)]) -> HttpReply {
        let request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.to_vec(),
            body: Vec::new(),
        };
        self.request(now_ns, &request)
    }

    /// Lets time pass up to `now_ns`, or until [`QUEUE_MAX`] messages wait or [`STEPS_MAX`] things have happened.
    pub fn advance(&mut self, now_ns: u64) {
        for _ in 0..STEPS_MAX {
            if self.hub.queue.len() >= QUEUE_MAX {
                break;
            }
            let due_ns = self.due_ns();
            if due_ns > now_ns {
                self.pass(now_ns);
                break;
            }
            self.pass(due_ns);
            self.step(due_ns);
            self.settle();
        }
    }

    /// When [`Venue::advance`] has something to do next. There is always something: the market never sleeps.
    pub fn next_deadline(&self) -> Option<u64> {
        Some(self.due_ns())
    }

    /// The oldest message that waits.
    pub fn pop(&mut self) -> Option<(ConnId, Out)> {
        self.hub.queue.pop_front()
    }

    /// Gives the text of a popped message back so that its memory is used again. Optional.
    pub fn recycle(&mut self, out: Out) {
        self.hub.recycle(out);
    }

    /// Time never goes back.
    fn pass(&mut self, now_ns: u64) {
        self.hub.now_ns = self.hub.now_ns.max(now_ns);
    }

    /// Tells the protocol what happened in the account, and which connections are over.
    fn settle(&mut self) {
        for event in self.hub.account.take_events() {
            self.protocol.on_account(&mut self.hub, &event);
        }
        while let Some(conn) = self.hub.gone.pop() {
            self.protocol.on_gone(&mut self.hub, conn);
        }
    }

    fn due_ns(&self) -> u64 {
        let market_ns = match &self.hub.rate {
            Some(rate) => rate.next_ns(),
            None => self.next_book_ns.iter().copied().fold(self.hub.market.next_ns(), u64::min),
        };
        let fault_ns = self.hub.faults.next_ns().unwrap_or(u64::MAX);
        market_ns.min(self.next_second_ns).min(self.hub.next_conn_ns).min(fault_ns)
    }

    /// Does what is due at `now_ns`, one source at a time.
    fn step(&mut self, now_ns: u64) {
        self.hub.advance_faults();
        if self.hub.next_conn_ns <= now_ns {
            self.hub.serve_connections();
        }
        match &self.hub.rate {
            Some(rate) if rate.next_ns() <= now_ns => self.accelerated(now_ns),
            Some(_) => {}
            None => {
                // Updates of the same instant belong to the batch that ends then.
                if self.hub.market.next_ns() <= now_ns {
                    let mut events = std::mem::take(&mut self.events);
                    let index = self.hub.market.step(&mut events);
                    self.tell(&mut events);
                    self.events = events;
                    self.hub.note_change(index);
                    self.tell_books(|pace_ns| pace_ns == 0);
                    return;
                }
                self.tell_due_books(now_ns);
            }
        }
        if self.next_second_ns <= now_ns {
            self.next_second_ns += SECOND;
            self.protocol.on_second(&mut self.hub);
        }
    }

    /// Sends what is told at once.
    fn tell(&mut self, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            if let Event::Trade(index, trade) = &event {
                self.hub.account.on_trade(&self.hub.market, trade, *index);
            }
            self.protocol.on_event(&mut self.hub, event);
        }
    }

    fn tell_due_books(&mut self, now_ns: u64) {
        for pace in 0..self.next_book_ns.len() {
            if self.next_book_ns[pace] <= now_ns {
                self.next_book_ns[pace] += self.hub.rules.paces_ns[pace];
                self.tell_books_at(pace);
            }
        }
    }

    /// Tells the changed books of all paces that are wanted.
    fn tell_books(&mut self, wanted: impl Fn(u64) -> bool) {
        for (pace, pace_ns) in self.hub.rules.paces_ns.iter().enumerate() {
            if wanted(*pace_ns) {
                self.tell_books_at(pace);
            }
        }
    }

    fn tell_books_at(&mut self, pace: usize) {
        let dirty = self.hub.take_dirty(pace);
        for index in &dirty {
            self.tell_book(*index, pace);
        }
        self.hub.give_dirty(pace, dirty);
    }

    fn tell_book(&mut self, index: usize, pace: usize) {
        if pace == 0 {
            self.hub.mark(index);
        }
        self.protocol.on_book(&mut self.hub, index, pace);
        self.hub.note_told(index, pace);
    }

    /// One book event of the accelerated mode, with the updates that lead to it.
    fn accelerated(&mut self, now_ns: u64) {
        let Some(index) = self.hub.rate.as_mut().and_then(super::hub::Rate::take_turn) else { return };
        let updates = self.hub.rng.u32(1..9);
        let mut events = std::mem::take(&mut self.events);
        for _ in 0..updates {
            self.hub.market.update(index, now_ns, &mut events);
            self.tell(&mut events);
        }
        self.events = events;
        // Orders that changed nothing in the end make no event: the venue never sends one without an update number.
        if self.hub.market.update_id(index) == self.hub.told_id(index, 0) {
            return;
        }
        self.tell_book(index, 0);
        for pace in 1..self.next_book_ns.len() {
            if self.hub.count_turn(index, pace) {
                self.tell_book(index, pace);
            }
        }
    }
}
