//! The sender: a minimal Binance on one port, in a process of its own.
//!
//! Setting up is slow and thorough: it serves REST and WebSockets to whoever comes, one thread, all sockets in turn.
//! Then it sends a few messages slowly, until the receiver has seen every book; and then those that count, spinning:
//! each is framed and encrypted before its time, stamped, and written.

mod peer;

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use wirebook::sys::thread::{self, RealTimeGuard};

use self::peer::{Peer, Wanted};
use crate::load::Load;
use crate::market::{Book, Market};
use crate::proc::{FIFO_PRIORITY, run_delay_ns};
use crate::shared::{FIRST_ID, Shared, Word};
use crate::sys::{now_ns, ordinary_priority};

/// What the sender is told.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) load: Load,
    /// Messages that count.
    pub(crate) messages: usize,
    pub(crate) seed: u64,
    /// Pins to this core.
    pub(crate) core: Option<usize>,
    /// Spins under SCHED_FIFO.
    pub(crate) fifo: bool,
}

/// What it has to say afterwards.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sent {
    /// By how much the latest message was late.
    pub(crate) late_ns_max: u64,
    /// Time it waited for its core while it counted.
    pub(crate) run_delay_ns: u64,
    /// How long it took.
    pub(crate) took_ns: u64,
    /// Messages before those that count.
    pub(crate) warm: usize,
}

/// A receiver that is not ready after so long never will be.
const SETUP_MAX: Duration = Duration::from_secs(60);
/// A write that the receiver does not make room for in so long.
const WRITE_NS_MAX: u64 = 2_000_000_000;
/// Silence before the last message, where there are several sockets.
const LAST_GAP_NS: u64 = 20_000_000;
/// From the last message to the receiver's word that it is done.
const DONE_MAX: Duration = Duration::from_secs(10);
/// Quiet time before the first message that counts, so that the receiver is done with noting down where it stands.
const QUIET: Duration = Duration::from_millis(5);

/// Where a stream's messages go.
#[derive(Clone, Debug)]
struct Route {
    peer: usize,
    /// The topic as the client spelled it, if it is to be named.
    wrap: Option<Vec<u8>>,
    /// What the client adds to the symbol, in capitals: `USDT` or nothing.
    suffix: Vec<u8>,
}

/// Runs from listening to the receiver's last word.
pub(crate) fn run(order: &Order, shared: &Path, ca: &Path) -> Result<Sent, String> {
    if let Some(core) = order.core {
        thread::pin_to_core(core).map_err(|failure| failure.to_string())?;
    }
    let shared = Shared::open(shared).map_err(|error| format!("the shared file: {error}"))?;
    let warm_max = order.load.warm_max();
    if shared.capacity() < warm_max + order.messages || shared.streams() < order.load.streams as usize {
        return Err("the shared file is too small".into());
    }
    let market = Market::new(order.load.streams, order.load.levels(), warm_max + order.messages, order.seed);
    for (at, message) in market.messages.iter().enumerate() {
        shared.set_truth(at, message.stream, message.top);
    }
    let tls = if order.load.tls { Some(peer::certificates(ca)?) } else { None };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("listening: {error}"))?;
    listener.set_nonblocking(true).map_err(|error| format!("listening: {error}"))?;
    let port = listener.local_addr().map_err(|error| format!("listening: {error}"))?.port();
    let mut sender = Sender {
        listener,
        tls,
        peers: Vec::new(),
        routes: vec![None; order.load.streams as usize],
        books: market.start.clone(),
        last_ids: vec![FIRST_ID - 1; order.load.streams as usize],
        market: &market,
    };
    shared.set(Word::Port, u64::from(port));
    sender.run(order, &shared)
}

struct Sender<'a> {
    listener: TcpListener,
    tls: Option<std::sync::Arc<rustls::ServerConfig>>,
    /// Gone ones stay as holes, because routes point here.
    peers: Vec<Option<Peer>>,
    routes: Vec<Option<Route>>,
    /// The true books of this moment, for snapshots.
    books: Vec<Book>,
    last_ids: Vec<u64>,
    market: &'a Market,
}

impl Sender<'_> {
    fn run(&mut self, order: &Order, shared: &Shared) -> Result<Sent, String> {
        let deadline = now_ns() + SETUP_MAX.as_nanos() as u64;
        while shared.word(Word::Ready) == 0 || self.routes.iter().any(Option::is_none) {
            if now_ns() > deadline {
                let missing = self.routes.iter().filter(|route| route.is_none()).count();
                return Err(format!(
                    "{missing} streams are not subscribed, or the receiver is not ready, after {SETUP_MAX:?}"
                ));
            }
            if shared.word(Word::Done) != 0 {
                return Err("the receiver gave up".into());
            }
            if !self.serve()? {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        let warm = self.warm_up(order, shared)?;
        let end = warm + order.messages;
        shared.set(Word::Begin, warm as u64);
        shared.set(Word::End, end as u64);
        std::thread::sleep(QUIET);
        if order.fifo {
            // Twice the time that it should take, and some.
            let us = order.messages as u64 / order.load.group() as u64 * order.load.interval_ns() / 500 + 3_000_000;
            thread::real_time(FIFO_PRIORITY, RealTimeGuard::EndAfterUs(us)).map_err(|failure| failure.to_string())?;
        }
        let delay_before = run_delay_ns();
        let began = now_ns();
        let late_ns_max = self.send_all(order.load, warm..end, shared)?;
        let (took_ns, run_delay_ns) = (now_ns() - began, run_delay_ns() - delay_before);
        if order.fifo {
            ordinary_priority();
        }
        for at in warm..end {
            self.apply(at);
        }
        for (stream, book) in self.books.iter().enumerate() {
            shared.set_book(stream, book.digest());
        }
        shared.set(Word::TruthKnown, 1);
        let deadline = now_ns() + DONE_MAX.as_nanos() as u64;
        while shared.word(Word::Done) == 0 && now_ns() < deadline {
            self.serve()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Sent { late_ns_max, run_delay_ns, took_ns, warm })
    }

    /// Sends slowly until every book was seen; how many messages that took.
    fn warm_up(&mut self, order: &Order, shared: &Shared) -> Result<usize, String> {
        let interval_ns = 1_000_000_000 / order.load.warm_per_s();
        let mut due = now_ns();
        for at in 0..order.load.warm_max() {
            while now_ns() < due {
                if !self.serve()? {
                    std::thread::sleep(Duration::from_micros(20));
                }
                if shared.word(Word::SeenAll) != 0 {
                    return Ok(at);
                }
            }
            due += interval_ns;
            let peer = self.prepare(at)?;
            shared.set_sent(at, now_ns());
            self.write(peer)?;
            self.apply(at);
        }
        Err(format!("the receiver has not seen every book after {} messages", order.load.warm_max()))
    }

    /// Sends what counts; by how much the latest was late.
    fn send_all(&mut self, load: Load, messages: std::ops::Range<usize>, shared: &Shared) -> Result<u64, String> {
        let mut late_ns_max = 0;
        let mut due = now_ns() + 100_000;
        let mut at = messages.start;
        while at < messages.end {
            let group = at..(at + load.group()).min(messages.end);
            if group.end == messages.end && load.sockets > 1 {
                // A receiver stops at the last message, which must not overtake others on other sockets.
                due += LAST_GAP_NS;
            }
            let mut peer = 0;
            for message in group.clone() {
                peer = self.prepare(message)?;
            }
            let mut now = now_ns();
            while now < due {
                std::hint::spin_loop();
                now = now_ns();
            }
            late_ns_max = late_ns_max.max(now - due);
            for message in group.clone() {
                shared.set_sent(message, now);
            }
            // One stamp is nearer to the write than the last look at the clock.
            if group.len() == 1 {
                shared.set_sent(group.start, now_ns());
            }
            self.write(peer)?;
            due += load.interval_ns();
            at = group.end;
        }
        Ok(late_ns_max)
    }

    /// Frames and encrypts a message into the buffer of its socket.
    fn prepare(&mut self, at: usize) -> Result<usize, String> {
        let stream = self.market.messages[at].stream as usize;
        let route = self.routes[stream].as_ref().ok_or("a stream lost its socket")?;
        let peer = self.peers[route.peer].as_mut().ok_or("a socket with streams was closed")?;
        let (head, tail) = self.market.text(at);
        match &route.wrap {
            Some(topic) => {
                peer.frame(&[b"{\"stream\":\"", topic, b"\",\"data\":", head, &route.suffix, tail, b"}"])?;
            }
            None => peer.frame(&[head, &route.suffix, tail])?,
        }
        Ok(route.peer)
    }

    fn write(&mut self, peer: usize) -> Result<(), String> {
        let peer = self.peers[peer].as_mut().ok_or("a socket with streams was closed")?;
        if peer.write()? {
            return Ok(());
        }
        let deadline = now_ns() + WRITE_NS_MAX;
        while !peer.write()? {
            if now_ns() > deadline {
                return Err(format!("the receiver took nothing for {} s", WRITE_NS_MAX / 1_000_000_000));
            }
        }
        Ok(())
    }

    /// Keeps the true books up to date.
    fn apply(&mut self, at: usize) {
        let stream = self.market.messages[at].stream as usize;
        self.market.changes(at).iter().for_each(|change| self.books[stream].apply(*change));
        self.last_ids[stream] = FIRST_ID + at as u64;
    }

    /// One look at every socket; true if anything happened.
    fn serve(&mut self) -> Result<bool, String> {
        let mut busy = false;
        while let Ok((socket, _)) = self.listener.accept() {
            busy = true;
            self.peers.push(Some(Peer::new(socket, self.tls.clone())?));
        }
        let mut wanted = Vec::new();
        for at in 0..self.peers.len() {
            let Some(peer) = &mut self.peers[at] else { continue };
            match peer.read(&mut wanted) {
                Ok(read) => busy |= read,
                // Clients come and go; a socket that carries streams is missed when it is written to.
                Err(_) => {
                    self.peers[at] = None;
                    continue;
                }
            }
            for wanted in wanted.drain(..) {
                self.answer(at, wanted)?;
            }
            if let Some(peer) = &mut self.peers[at]
                && peer.write().is_err()
            {
                self.peers[at] = None;
            }
        }
        Ok(busy)
    }

    fn answer(&mut self, at: usize, wanted: Wanted) -> Result<(), String> {
        match wanted {
            Wanted::Topics { topics, wrapped } => {
                for topic in topics {
                    if let Some((stream, suffix)) = stream_of(&topic)
                        && let Some(route) = self.routes.get_mut(stream)
                    {
                        let wrap = wrapped.then(|| topic.into_bytes());
                        *route = Some(Route { peer: at, wrap, suffix: suffix.into_bytes() });
                    }
                }
            }
            Wanted::Get(target) => {
                let answer = self.rest(&target);
                if let Some(peer) = &mut self.peers[at] {
                    match answer {
                        Ok(body) => peer.reply("200 OK", &body)?,
                        Err(body) => peer.reply("400 Bad Request", body.as_bytes())?,
                    }
                }
            }
        }
        Ok(())
    }

    fn rest(&self, target: &str) -> Result<Vec<u8>, String> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let argument = |name: &str| {
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|x| x.1)
        };
        match path {
            "/api/v3/ping" => Ok(b"{}".to_vec()),
            "/api/v3/time" => Ok(b"{\"serverTime\":1633998523964}".to_vec()),
            "/sapi/v1/system/status" => Ok(b"{\"status\":0,\"msg\":\"normal\"}".to_vec()),
            "/api/v3/exchangeInfo" => Ok(exchange_info(self.books.len())),
            "/api/v3/depth" => {
                let symbol = argument("symbol").unwrap_or_default().to_ascii_lowercase();
                let stream = stream_of(&format!("{symbol}@depth")).map(|(stream, _)| stream);
                let limit = argument("limit").and_then(|limit| limit.parse().ok()).unwrap_or(100);
                match stream.and_then(|stream| Some((self.books.get(stream)?, self.last_ids[stream]))) {
                    Some((book, last_id)) => Ok(book.snapshot(last_id, limit)),
                    None => Err("{\"code\":-1121,\"msg\":\"Invalid symbol.\"}".into()),
                }
            }
            _ => Err(format!("{{\"code\":-1100,\"msg\":\"no {path} here\"}}")),
        }
    }
}

/// The stream that a topic means, and what of the symbol is not ours: `s7@depth@100ms` or `s7usdt@depth@100ms`.
fn stream_of(topic: &str) -> Option<(usize, String)> {
    let (symbol, channel) = topic.split_once('@')?;
    if !matches!(channel.split('@').next(), Some("depth")) {
        return None;
    }
    let rest = symbol.strip_prefix('s')?;
    let digits = rest.trim_end_matches(|c: char| !c.is_ascii_digit());
    Some((digits.parse().ok()?, rest[digits.len()..].to_ascii_uppercase()))
}

/// The list of markets `S0`, `S1` .. with the members that clients read.
fn exchange_info(streams: usize) -> Vec<u8> {
    let rows: Vec<String> = (0..streams)
        .map(|stream| {
            format!(
                "{{\"symbol\":\"S{stream}\",\"status\":\"TRADING\",\"baseAsset\":\"S{stream}\",\"baseAssetPrecision\":8,\
                 \"quoteAsset\":\"USDT\",\"quotePrecision\":8,\"quoteAssetPrecision\":8,\
                 \"baseCommissionPrecision\":8,\"quoteCommissionPrecision\":8,\
                 \"orderTypes\":[\"LIMIT\",\"MARKET\"],\"icebergAllowed\":true,\"ocoAllowed\":true,\
                 \"isSpotTradingAllowed\":true,\"isMarginTradingAllowed\":false,\"filters\":[\
                 {{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"0.00100000\",\"maxPrice\":\"100000.00000000\",\
                 \"tickSize\":\"0.00100000\"}},{{\"filterType\":\"LOT_SIZE\",\"minQty\":\"1.00000000\",\
                 \"maxQty\":\"9000000.00000000\",\"stepSize\":\"1.00000000\"}},\
                 {{\"filterType\":\"NOTIONAL\",\"minNotional\":\"5.00000000\"}}],\"permissions\":[\"SPOT\"],\
                 \"permissionSets\":[[\"SPOT\"]]}}"
            )
        })
        .collect();
    format!(
        "{{\"timezone\":\"UTC\",\"serverTime\":1633998523964,\"rateLimits\":[],\"exchangeFilters\":[],\"symbols\":[{}]}}",
        rows.join(",")
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_name_streams() {
        assert_eq!(stream_of("s12@depth@100ms"), Some((12, String::new())));
        assert_eq!(stream_of("s0usdt@depth"), Some((0, "USDT".into())));
        for other in ["s0@trade", "s0", "btcusdt@depth", "s@depth", "s0@depth5@100ms"] {
            assert_eq!(stream_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_list_of_markets_is_json() {
        let json: serde_json::Value = serde_json::from_slice(&exchange_info(3)).unwrap();
        assert_eq!(json["symbols"][2]["symbol"], "S2");
        assert_eq!(json["symbols"].as_array().unwrap().len(), 3);
    }
}
