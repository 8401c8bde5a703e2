//! A venue with its connections, at the level of bytes and with time as an argument.
//!
//! A link is what a TCP connection is elsewhere: REST requests and WebSockets share them. How to drive it:
//!
//! 1. [`Host::open`] for each new connection; `None` means that it is to be closed at once.
//! 2. [`Host::on_bytes`] for what a client sent, [`Host::lost`] when it is gone.
//! 3. [`Host::advance`] when [`Host::next_deadline`] has come.
//! 4. After each of these, [`Host::pop_ready`] names the links that have something to send or have come to their end:
//!    [`Host::take`] what may leave now, then ask for the [`Host::fate`]. What a socket does not take stays with the
//!    caller, who goes on with [`Host::take`] when it does.
//!
//! The server runs this over sockets, tests run it over buffers and a clock of their own; both see the same bytes at the
//! same times.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::Config;
use super::venue::{ConnId, Venue};
use super::wire::{HttpReply, Input, Out, ServerWire};

/// A connection of bytes. Stale ids are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    index: u32,
    generation: u32,
}

impl LinkId {
    /// A number below the most connections that were ever open at a time; reused after the end of a link.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// What is to become of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Open,
    /// Neither read nor write; leave it open until the client closes it.
    Stalled,
    /// Everything is taken: close it, then call [`Host::lost`].
    Finished,
    /// The same, but without a farewell of TLS or any other layer.
    Cut,
    /// It does not exist (any more).
    Gone,
}

#[derive(Debug)]
struct Link {
    generation: u32,
    wire: ServerWire,
    conn: Option<ConnId>,
    reply: Option<HttpReply>,
    ready: bool,
}

/// A venue with its connections. See the module's documentation.
#[derive(Debug)]
pub struct Host {
    venue: Venue,
    links: Vec<Option<Link>>,
    open: usize,
    generation: u32,
    /// Link of each connection of the venue, by the connection's index.
    link_of: Vec<Option<LinkId>>,
    /// Answers that are still being thought about.
    replies: BinaryHeap<Reverse<(u64, LinkId)>>,
    /// Links whose bytes may leave later.
    later: Vec<(u64, LinkId)>,
    ready: VecDeque<LinkId>,
    inputs: Vec<Input>,
}

impl Host {
    /// A venue without connections; its market begins at `start_ns` (Unix nanoseconds).
    pub fn new(config: &Config, start_ns: u64) -> Self {
        Host {
            venue: Venue::new(config, start_ns),
            links: Vec::new(),
            open: 0,
            generation: 0,
            link_of: Vec::new(),
            replies: BinaryHeap::new(),
            later: Vec::new(),
            ready: VecDeque::new(),
            inputs: Vec::new(),
        }
    }

    /// The venue.
    pub fn venue(&self) -> &Venue {
        &self.venue
    }

    /// Open links, REST and WebSocket.
    pub fn links(&self) -> usize {
        self.open
    }

    /// A new connection. `None`: close it at once, because of a fault or because
    /// [`Limits::connections_max`](super::Limits::connections_max) are open.
    pub fn open(&mut self, now_ns: u64) -> Option<LinkId> {
        if self.venue.refuses(now_ns) || self.open >= self.venue.limits().connections_max {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let out_bytes_max = self.venue.limits().out_bytes_max;
        let wire = ServerWire::new(out_bytes_max, u64::from(generation));
        let link = Link { generation, wire, conn: None, reply: None, ready: false };
        let index = match self.links.iter().position(Option::is_none) {
            Some(index) => {
                self.links[index] = Some(link);
                index
            }
            None => {
                self.links.push(Some(link));
                self.links.len() - 1
            }
        };
        self.open += 1;
        Some(LinkId { index: index as u32, generation })
    }

    /// Bytes from a client.
    pub fn on_bytes(&mut self, now_ns: u64, id: LinkId, bytes: &[u8]) {
        let mut inputs = std::mem::take(&mut self.inputs);
        if let Some(link) = self.link(id) {
            link.wire.on_bytes(bytes, &mut inputs);
        }
        self.on_inputs(now_ns, id, &mut inputs);
        self.inputs = inputs;
        self.deliver(now_ns);
        self.note_ready(id);
    }

    /// A connection that is gone.
    pub fn lost(&mut self, id: LinkId) {
        if let Some(conn) = self.link(id).and_then(|link| link.conn) {
            self.venue.lost(conn);
        }
        if self.link(id).is_some() {
            self.links[id.index()] = None;
            self.open -= 1;
        }
    }

    /// Lets time pass. May have to be called again at once when very much happened: [`Host::next_deadline`] then lies in
    /// the past.
    pub fn advance(&mut self, now_ns: u64) {
        self.venue.advance(now_ns);
        self.deliver(now_ns);
        while let Some(Reverse((due_ns, id))) = self.replies.peek().copied() {
            if due_ns > now_ns {
                break;
            }
            self.replies.pop();
            self.reply(now_ns, id);
        }
        let mut later = std::mem::take(&mut self.later);
        later.retain(|(due_ns, id)| {
            let due = *due_ns <= now_ns;
            if due {
                self.note_ready(*id);
            }
            !due
        });
        later.append(&mut self.later);
        self.later = later;
    }

    /// When [`Host::advance`] has something to do.
    pub fn next_deadline(&self) -> Option<u64> {
        let reply_ns = self.replies.peek().map(|Reverse((due_ns, _))| *due_ns);
        let later_ns = self.later.iter().map(|(due_ns, _)| *due_ns).min();
        [self.venue.next_deadline(), reply_ns, later_ns].into_iter().flatten().min()
    }

    /// The next link that has something to send or has come to its end; each is named once until it is taken from.
    pub fn pop_ready(&mut self) -> Option<LinkId> {
        loop {
            let id = self.ready.pop_front()?;
            if let Some(link) = self.link(id) {
                link.ready = false;
                return Some(id);
            }
        }
    }

    /// Moves at most `max` bytes that may leave now to the end of `into` and returns how many.
    pub fn take(&mut self, now_ns: u64, id: LinkId, max: usize, into: &mut Vec<u8>) -> usize {
        let Some(link) = self.link(id) else { return 0 };
        let count = link.wire.take(now_ns, max, into);
        // What is held back on purpose comes by itself; what was too much for `max` is the caller's to ask for.
        if let Some(due_ns) = link.wire.next_take_ns().filter(|due_ns| *due_ns > now_ns) {
            self.later.retain(|(_, other)| *other != id);
            self.later.push((due_ns, id));
        }
        count
    }

    /// Bytes of a link that wait, whether they may leave now or not.
    pub fn pending(&self, id: LinkId) -> usize {
        let link = self.links.get(id.index()).and_then(Option::as_ref);
        link.filter(|link| link.generation == id.generation).map_or(0, |link| link.wire.pending())
    }

    /// What is to become of a link.
    pub fn fate(&self, id: LinkId) -> Fate {
        match self.links.get(id.index()).and_then(Option::as_ref).filter(|link| link.generation == id.generation) {
            None => Fate::Gone,
            Some(link) if link.wire.is_stalled() => Fate::Stalled,
            Some(link) if link.wire.is_finished() && link.wire.is_cut() => Fate::Cut,
            Some(link) if link.wire.is_finished() => Fate::Finished,
            Some(_) => Fate::Open,
        }
    }

    fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id.index())?.as_mut().filter(|link| link.generation == id.generation)
    }

    fn on_inputs(&mut self, now_ns: u64, id: LinkId, inputs: &mut Vec<Input>) {
        for input in inputs.drain(..) {
            let conn = self.link(id).and_then(|link| link.conn);
            match (input, conn) {
                (Input::Request(request), _) => {
                    let reply = self.venue.request(now_ns, &request);
                    let due_ns = now_ns.saturating_add(reply.delay_ns);
                    if let Some(link) = self.link(id) {
                        link.reply = Some(reply);
                        self.replies.push(Reverse((due_ns, id)));
                    }
                }
                (Input::Upgrade(request), _) => match self.venue.connect(now_ns, &request.target) {
                    Ok(conn) => {
                        self.apply_wire_faults(now_ns, id);
                        if let Some(link) = self.link(id) {
                            link.conn = Some(conn);
                            link.wire.accept(now_ns);
                        }
                        let at = conn.index();
                        if self.link_of.len() <= at {
                            self.link_of.resize(at + 1, None);
                        }
                        self.link_of[at] = Some(id);
                    }
                    Err(reply) => {
                        if let Some(link) = self.link(id) {
                            link.wire.reply(&reply);
                        }
                    }
                },
                (Input::Text(text), Some(conn)) => self.venue.text(now_ns, conn, &text),
                // The venue has no binary messages; as JSON they are as wrong as can be.
                (Input::Binary(bytes), Some(conn)) => {
                    self.venue.text(now_ns, conn, &String::from_utf8_lossy(&bytes));
                }
                (Input::Ping(payload), Some(conn)) => self.venue.ping(now_ns, conn, &payload),
                (Input::Pong(payload), Some(conn)) => self.venue.pong(now_ns, conn, &payload),
                (Input::Close(code), Some(conn)) => self.venue.close(now_ns, conn, code),
                (Input::Violation(_), conn) => {
                    self.venue.counters_mut().protocol_violations += 1;
                    if let Some(conn) = conn {
                        self.venue.lost(conn);
                    }
                }
                (_, None) => {}
            }
        }
    }

    fn reply(&mut self, now_ns: u64, id: LinkId) {
        self.apply_wire_faults(now_ns, id);
        let Some(link) = self.link(id) else { return };
        if let Some(reply) = link.reply.take() {
            link.wire.reply(&reply);
            if link.wire.is_overflowed() {
                self.cut_slow_reader(now_ns, id);
            }
            // The next request may have come meanwhile.
            self.on_bytes(now_ns, id, &[]);
        }
    }

    /// Bytes of new links and of answers leave as oddly as those of the WebSockets that the venue knows.
    fn apply_wire_faults(&mut self, now_ns: u64, id: LinkId) {
        let Host { venue, links, .. } = self;
        if let Some(link) = links.get_mut(id.index()).and_then(Option::as_mut) {
            for (fault, until_ns) in venue.wire_faults(now_ns) {
                link.wire.push(now_ns, &Out::Wire(fault, until_ns));
            }
        }
    }

    /// Hands what the venue says to the links.
    fn deliver(&mut self, now_ns: u64) {
        while let Some((conn, out)) = self.venue.pop() {
            let id = self.link_of.get(conn.index()).copied().flatten();
            if let Some(id) = id
                && let Some(link) = self.link(id)
                && link.conn == Some(conn)
            {
                link.wire.push(now_ns, &out);
                let overflowed = link.wire.is_overflowed();
                if !link.ready {
                    link.ready = true;
                    self.ready.push_back(id);
                }
                if overflowed {
                    self.cut_slow_reader(now_ns, id);
                }
            }
            self.venue.recycle(out);
        }
    }

    fn cut_slow_reader(&mut self, now_ns: u64, id: LinkId) {
        let Some(link) = self.link(id) else { return };
        if link.wire.is_draining() {
            return;
        }
        link.wire.push(now_ns, &Out::Cut);
        let conn = link.conn;
        self.venue.counters_mut().slow_readers += 1;
        if let Some(conn) = conn {
            self.venue.lost(conn);
        }
    }

    fn note_ready(&mut self, id: LinkId) {
        if let Some(link) = self.link(id)
            && !link.ready
            && (link.wire.pending() > 0 || link.wire.is_draining() || link.wire.is_stalled())
        {
            link.ready = true;
            self.ready.push_back(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::VenueKind;
    use super::super::faults::Script;
    use super::*;

    const START: u64 = 1_700_000_000_000_000_000;
    const MS: u64 = 1_000_000;

    fn host(script: &str, change: impl FnOnce(&mut Config)) -> Host {
        let mut config = Config::new(VenueKind::Binance).with_symbols(2);
        config.levels = 20;
        config.script = Script::parse(script).unwrap();
        change(&mut config);
        Host::new(&config, START)
    }

    fn upgrade(target: &str) -> Vec<u8> {
        format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .into_bytes()
    }

    /// Runs until a time and collects the bytes of one link with the times at which they left.
    fn run(host: &mut Host, id: LinkId, until_ns: u64) -> Vec<(u64, Vec<u8>)> {
        let mut pieces = Vec::new();
        let mut now_ns = START;
        loop {
            while let Some(ready) = host.pop_ready() {
                let mut bytes = Vec::new();
                if host.take(now_ns, ready, usize::MAX, &mut bytes) > 0 && ready == id {
                    pieces.push((now_ns - START, bytes));
                }
            }
            now_ns = host.next_deadline().unwrap().max(now_ns);
            if now_ns > until_ns {
                return pieces;
            }
            host.advance(now_ns);
        }
    }

    #[test]
    fn rest_and_websocket_share_the_door() {
        let mut host = host("", |config| config.http_delay_ns = (5 * MS, 5 * MS));
        let rest = host.open(START).unwrap();
        host.on_bytes(START, rest, b"GET /api/v3/ping HTTP/1.1\r\n\r\nGET /api/v3/time HTTP/1.1\r\n\r\n");
        let stream = host.open(START).unwrap();
        host.on_bytes(START, stream, &upgrade("/ws/btcusdt@trade"));
        assert_eq!((host.links(), host.venue().connections()), (2, 1));
        let mut bytes = Vec::new();
        host.take(START, stream, usize::MAX, &mut bytes);
        assert!(bytes.starts_with(b"HTTP/1.1 101 "));
        let pieces = run(&mut host, rest, START + 20 * MS);
        // One answer after the other, each after its time.
        assert_eq!(pieces.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [5 * MS, 10 * MS]);
        assert!(pieces[0].1.ends_with(b"\r\n\r\n{}"));
        assert!(pieces[1].1.ends_with(b"{\"serverTime\":1700000000005}"));
    }

    #[test]
    fn refused_upgrades_are_answered() {
        let mut host = host("", |_| {});
        let id = host.open(START).unwrap();
        host.on_bytes(START, id, &upgrade("/nowhere"));
        let mut bytes = Vec::new();
        host.take(START, id, usize::MAX, &mut bytes);
        assert!(bytes.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
        assert_eq!(host.fate(id), Fate::Open);
    }

    #[test]
    fn faults_of_bytes_reach_every_link() {
        let mut host = host("at 0s split 5 for 10s", |config| config.http_delay_ns = (0, 0));
        host.advance(START);
        let id = host.open(START).unwrap();
        host.on_bytes(START, id, b"GET /api/v3/ping HTTP/1.1\r\n\r\n");
        let pieces = run(&mut host, id, START + 20 * MS);
        assert!(pieces.len() > 20, "{}", pieces.len());
        assert!(pieces.iter().all(|(_, bytes)| bytes.len() <= 5));
        assert!(pieces.windows(2).all(|w| w[0].0 < w[1].0));
    }

    #[test]
    fn glue_holds_frames_behind_the_answer_to_the_upgrade() {
        let mut host = host("at 0s glue 3 for 10s", |config| config.updates_per_s = 1_000);
        host.advance(START);
        let id = host.open(START).unwrap();
        host.on_bytes(START, id, &upgrade("/ws/btcusdt@bookTicker"));
        let pieces = run(&mut host, id, START + 1_000 * MS);
        let first = String::from_utf8_lossy(&pieces[0].1).into_owned();
        assert!(first.starts_with("HTTP/1.1 101 ") && first.matches("\"u\":").count() == 2, "{first}");
        assert_eq!(String::from_utf8_lossy(&pieces[1].1).matches("\"u\":").count(), 3);
    }

    #[test]
    fn the_number_of_links_is_limited() {
        let mut host = host("", |config| config.limits.connections_max = 2);
        let first = host.open(START).unwrap();
        assert!(host.open(START).is_some());
        assert_eq!(host.open(START), None);
        host.lost(first);
        let again = host.open(START).unwrap();
        assert_eq!(again.index(), first.index());
        assert_eq!(host.fate(first), Fate::Gone);
        host.lost(first);
        assert_eq!(host.links(), 2, "a stale id ends nothing");
    }

    #[test]
    fn a_slow_reader_is_cut_and_counted() {
        let mut host = host("", |config| {
            config.limits.out_bytes_max = 2_000;
            config.updates_per_s = 1_000;
        });
        let id = host.open(START).unwrap();
        host.on_bytes(START, id, &upgrade("/ws/btcusdt@bookTicker"));
        for i in 0..1_000 {
            host.advance(START + i * MS);
        }
        assert_eq!(host.venue().counters().slow_readers, 1);
        assert_eq!(host.venue().connections(), 0);
        assert!(host.pending(id) <= 1_000);
        let mut bytes = Vec::new();
        host.take(START + 1_000 * MS, id, usize::MAX, &mut bytes);
        assert_eq!(host.fate(id), Fate::Cut);
    }

    #[test]
    fn a_breach_of_the_protocol_ends_the_connection() {
        let mut host = host("", |_| {});
        let id = host.open(START).unwrap();
        host.on_bytes(START, id, &upgrade("/ws"));
        host.on_bytes(START, id, b"\x81\x02ab");
        assert_eq!(host.venue().counters().protocol_violations, 1);
        assert_eq!(host.venue().connections(), 0);
        let mut bytes = Vec::new();
        host.take(START, id, usize::MAX, &mut bytes);
        assert!(bytes.ends_with(&[0x88, 2, 3, 0xea]));
        assert_eq!(host.fate(id), Fate::Finished);
    }

    #[test]
    fn a_stalled_link_stays_and_says_nothing() {
        let mut host = host("at 1s half-open", |_| {});
        let id = host.open(START).unwrap();
        host.on_bytes(START, id, &upgrade("/ws/btcusdt@bookTicker"));
        let pieces = run(&mut host, id, START + 5_000 * MS);
        assert!(pieces.iter().all(|(at, _)| *at <= 1_000 * MS));
        assert!(pieces.len() > 2);
        assert_eq!(host.fate(id), Fate::Stalled);
        assert_eq!(host.venue().connections(), 0);
        host.lost(id);
        assert_eq!(host.links(), 0);
    }
}
