//! From a TLS record to the top of the book, without system calls: one frame in a record of its own, as venues send it.
//!
//! - `wirebook`: what the engine runs between the read and the callback.
//! - `rustls-cursor`: rustls' unbuffered interface, tungstenite's frame header on a buffer of one's own, a plain pull
//!   cursor (byte by byte, below), and wirebook's own decimals and array book: what a careful hand writes.
//! - `rustls-tungstenite-serde`: rustls' stream, tungstenite as it comes, `serde_json::Value`, and a `BTreeMap` by
//!   mantissa: what most people write.
//!
//! The other two are told the kind of frame in advance and look at nothing that they do not need.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::rc::Rc;

use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::ConnectionState;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::{Role, WebSocket};
use wirebook::book::{BookSide, Level, Side};
use wirebook::decimal::parse_exact;
use wirebook::net::buf::OutBuf;
use wirebook::net::tls::Tls;
use wirebook::net::ws::{Message, Ws, WsLimits};
use wirebook::venue::Channel;

use crate::common::frames::{self, Frames, Stream};
use crate::common::live::{Live, Look};
use crate::common::tls::{NAME, Server};
use crate::common::{Case, Contender, Contenders};

/// The cases.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("quote-100", 1_000, frames::binance_short_ticker),
        case("depth-300", 1_000, frames::binance_futures_depth),
        case("snapshot-55k", 20, frames::binance_snapshot),
    ]
}

fn case(name: &str, units: usize, frames: fn(usize) -> Stream) -> Case {
    Case::new(format!("stack/{name}"), units, move |units| {
        let stream = Rc::new(frames(units));
        let [a, b, c] = [(); 3].map(|()| stream.clone());
        Contenders::new(stream.frames.bytes_mean())
            .with("wirebook", || Session::<Ours>::new(a))
            .with("rustls-cursor", || Session::<ByHand>::new(b))
            .with("rustls-tungstenite-serde", || Session::<Usual>::new(c))
    })
}

/// A client that has shaken hands, and the records it will read: new ones each round, because no two sessions share keys.
struct Session<C> {
    stream: Rc<Stream>,
    open: Option<(C, Frames)>,
}

/// What a contender does with a record.
trait Client: 'static {
    fn connect(server: &mut Server, stream: &Stream) -> Self;
    fn record(&mut self, bytes: &[u8]) -> [i64; 4];
}

impl<C: Client> Session<C> {
    fn new(stream: Rc<Stream>) -> Session<C> {
        Session { stream, open: None }
    }
}

impl<C: Client> Contender for Session<C> {
    type Outcome = [i64; 4];

    fn restart(&mut self) {
        let mut server = Server::new();
        let client = C::connect(&mut server, &self.stream);
        self.open = Some((client, server.seal(&self.stream.frames)));
    }

    #[inline]
    fn step(&mut self, unit: usize) -> [i64; 4] {
        let (client, records) = self.open.as_mut().expect("restarted");
        client.record(records.at(unit))
    }

    fn numbers(&self, outcome: [i64; 4]) -> [i64; 4] {
        outcome
    }
}

/// wirebook.
struct Ours {
    tls: Tls,
    out: OutBuf,
    ws: Ws,
    live: Live,
}

impl Client for Ours {
    fn connect(server: &mut Server, stream: &Stream) -> Ours {
        let (tls, out) = server.connect();
        Ours { tls, out, ws: Ws::new(WsLimits::default(), 1), live: Live::open(stream) }
    }

    #[inline]
    fn record(&mut self, mut bytes: &[u8]) -> [i64; 4] {
        let mut look = Look::default();
        while !bytes.is_empty() {
            let spare = self.tls.cipher_spare();
            let n = spare.len().min(bytes.len());
            spare[..n].copy_from_slice(&bytes[..n]);
            self.tls.cipher_filled(n);
            bytes = &bytes[n..];
            loop {
                let opened = self.tls.open(&mut self.ws, &mut self.out).expect("a record");
                while let Some(Message::Text(text)) = self.ws.next().expect("a frame") {
                    look = self.live.message(text);
                }
                if !opened.more {
                    break;
                }
            }
        }
        look.0
    }
}

/// The careful hand.
struct ByHand {
    connection: UnbufferedClientConnection,
    cipher: Vec<u8>,
    plain: Vec<u8>,
    channel: Channel,
    book: ArrayBook,
}

struct ArrayBook {
    bids: Side,
    asks: Side,
    scales: [u8; 2],
    last: u64,
    levels: Vec<Level>,
}

impl ArrayBook {
    fn of(stream: &Stream) -> ArrayBook {
        let mut book = ArrayBook {
            bids: Side::new(BookSide::Bid, 2_000),
            asks: Side::new(BookSide::Ask, 2_000),
            scales: [stream.market.price_scale, stream.market.amount_scale],
            last: stream.last,
            levels: Vec::with_capacity(2_000),
        };
        for &(price, qty) in &stream.bids {
            book.bids.set(price, qty);
        }
        for &(price, qty) in &stream.asks {
            book.asks.set(price, qty);
        }
        book
    }

    #[inline]
    fn number(&self, text: &[u8], scale: usize) -> i64 {
        parse_exact(text, self.scales[scale]).expect("a number")
    }

    #[inline]
    fn top(&self) -> [i64; 4] {
        let (bid, ask) = (self.bids.best().unwrap_or_default(), self.asks.best().unwrap_or_default());
        [bid.price, bid.qty, ask.price, ask.qty]
    }

    /// `[["price","amount"],..]`
    #[inline]
    fn read_side(&mut self, text: &mut Plain<'_>, is_bid: bool, is_whole: bool) {
        self.levels.clear();
        text.array(|text| {
            let mut cells = [0; 2];
            let mut at = 0;
            text.array(|text| {
                cells[at] = self.number(text.string(), at);
                at += 1;
            });
            self.levels.push(Level { price: cells[0], qty: cells[1] });
        });
        let side = if is_bid { &mut self.bids } else { &mut self.asks };
        if is_whole {
            side.reset(&self.levels, false);
        } else {
            self.levels.iter().for_each(|level| _ = side.set(level.price, level.qty));
        }
    }

    fn read(&mut self, text: &[u8], channel: Channel) -> [i64; 4] {
        let mut quote = [0; 4];
        let (mut first, mut last) = (0, 0);
        Plain { text, at: 0 }.object(|text, key| match key {
            b"data" => text.object(|text, key| match (channel, key) {
                (Channel::Book, b"U") => first = text.number(),
                (Channel::Book, b"u") => last = text.number(),
                (Channel::Book, b"b" | b"a") => self.read_side(text, key == b"b", false),
                (Channel::BidAsk, b"b") => quote[0] = self.number(text.string(), 0),
                (Channel::BidAsk, b"B") => quote[1] = self.number(text.string(), 1),
                (Channel::BidAsk, b"a") => quote[2] = self.number(text.string(), 0),
                (Channel::BidAsk, b"A") => quote[3] = self.number(text.string(), 1),
                (Channel::TopBook(_), b"bids" | b"asks") => self.read_side(text, key == b"bids", true),
                _ => text.skip(),
            }),
            _ => text.skip(),
        });
        match channel {
            Channel::BidAsk => return quote,
            Channel::Book => {
                assert_eq!(self.last + 1, first, "a frame is missing");
                self.last = last;
            }
            _ => {}
        }
        self.top()
    }
}

impl Client for ByHand {
    fn connect(server: &mut Server, stream: &Stream) -> ByHand {
        let name = NAME.try_into().unwrap();
        let mut connection = UnbufferedClientConnection::new(server.client_config(), name).unwrap();
        let (mut cipher, mut end) = (vec![0; 128 << 10], 0);
        loop {
            let status = connection.process_tls_records(&mut cipher[..end]);
            let discard = status.discard;
            let mut ready = false;
            match status.state.unwrap() {
                ConnectionState::EncodeTlsData(mut data) => {
                    let mut bytes = vec![0; 16 << 10];
                    let n = data.encode(&mut bytes).unwrap();
                    server.take(&bytes[..n]);
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(_) => ready = true,
                ConnectionState::BlockedHandshake => {
                    let bytes = server.give();
                    cipher[end..end + bytes.len()].copy_from_slice(&bytes);
                    end += bytes.len();
                }
                state => panic!("{state:?}"),
            }
            cipher.copy_within(discard..end, 0);
            end -= discard;
            if ready && !server.is_handshaking() {
                break;
            }
        }
        let plain = Vec::with_capacity(128 << 10);
        ByHand { connection, cipher, plain, channel: stream.channel, book: ArrayBook::of(stream) }
    }

    #[inline]
    fn record(&mut self, bytes: &[u8]) -> [i64; 4] {
        self.cipher[..bytes.len()].copy_from_slice(bytes);
        let mut start = 0;
        while start < bytes.len() {
            let status = self.connection.process_tls_records(&mut self.cipher[start..bytes.len()]);
            start += status.discard;
            if let ConnectionState::ReadTraffic(mut traffic) = status.state.expect("a record") {
                while let Some(record) = traffic.next_record() {
                    let record = record.expect("a record");
                    start += record.discard;
                    self.plain.extend_from_slice(record.payload);
                }
            }
        }
        let mut top = [0; 4];
        let mut read = 0;
        loop {
            let mut cursor = io::Cursor::new(&self.plain[read..]);
            let Some((_, len)) = FrameHeader::parse(&mut cursor).expect("a header") else { break };
            let from = read + cursor.position() as usize;
            let to = from + len as usize;
            if to > self.plain.len() {
                break;
            }
            top = self.book.read(&self.plain[from..to], self.channel);
            read = to;
        }
        self.plain.drain(..read);
        top
    }
}

/// A pull cursor without any trick: no vector instructions, no guess at what comes next. It trusts the text.
struct Plain<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Plain<'a> {
    #[inline]
    fn next(&mut self) -> u8 {
        while let b' ' | b'\n' | b'\r' | b'\t' = self.text[self.at] {
            self.at += 1;
        }
        self.text[self.at]
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        if self.next() != byte {
            return false;
        }
        self.at += 1;
        true
    }

    #[inline]
    fn string(&mut self) -> &'a [u8] {
        assert!(self.eat(b'"'), "a string");
        let start = self.at;
        while self.text[self.at] != b'"' {
            self.at += 1 + usize::from(self.text[self.at] == b'\\');
        }
        self.at += 1;
        &self.text[start..self.at - 1]
    }

    #[inline]
    fn number(&mut self) -> u64 {
        self.next();
        let mut number = 0;
        while self.at < self.text.len() && self.text[self.at].is_ascii_digit() {
            number = number * 10 + u64::from(self.text[self.at] - b'0');
            self.at += 1;
        }
        number
    }

    #[inline]
    fn object(&mut self, mut member: impl FnMut(&mut Plain<'a>, &[u8])) {
        assert!(self.eat(b'{'), "an object");
        while !self.eat(b'}') {
            let key = self.string();
            assert!(self.eat(b':'), "a colon");
            member(self, key);
            self.eat(b',');
        }
    }

    #[inline]
    fn array(&mut self, mut element: impl FnMut(&mut Plain<'a>)) {
        assert!(self.eat(b'['), "an array");
        while !self.eat(b']') {
            element(self);
            self.eat(b',');
        }
    }

    #[inline]
    fn skip(&mut self) {
        let mut depth = 0;
        loop {
            match self.next() {
                b'"' => drop(self.string()),
                b'[' | b'{' => {
                    depth += 1;
                    self.at += 1;
                }
                b']' | b'}' if depth == 0 => return,
                b']' | b'}' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' if depth == 0 => return,
                _ => self.at += 1,
            }
            if depth == 0 && matches!(self.next(), b',' | b']' | b'}') {
                return;
            }
        }
    }
}

/// Most people's way.
struct Usual {
    socket: WebSocket<StreamOwned<ClientConnection, Memory>>,
    channel: Channel,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    scales: [u8; 2],
    last: u64,
}

/// A socket that has what it was given, and then would block.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    read: usize,
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = into.len().min(self.bytes.len() - self.read);
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        into[..n].copy_from_slice(&self.bytes[self.read..self.read + n]);
        self.read += n;
        Ok(n)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Usual {
    fn side(&mut self, rows: &Value, is_bid: bool) {
        for row in rows.as_array().expect("rows") {
            let number = |at: usize| {
                parse_exact(row[at].as_str().expect("a string").as_bytes(), self.scales[at]).expect("a number")
            };
            let (price, qty) = (number(0), number(1));
            let side = if is_bid { &mut self.bids } else { &mut self.asks };
            if qty == 0 {
                side.remove(&price);
            } else {
                side.insert(price, qty);
            }
        }
    }

    fn read(&mut self, text: &str) -> [i64; 4] {
        let message: Value = serde_json::from_str(text).expect("a frame");
        let data = &message["data"];
        match self.channel {
            Channel::BidAsk => {
                let number = |key: &str, scale: usize| {
                    parse_exact(data[key].as_str().expect("a string").as_bytes(), self.scales[scale]).expect("a number")
                };
                return [number("b", 0), number("B", 1), number("a", 0), number("A", 1)];
            }
            Channel::Book => {
                assert_eq!(Some(self.last + 1), data["U"].as_u64(), "a frame is missing");
                self.last = data["u"].as_u64().expect("a number");
                self.side(&data["b"], true);
                self.side(&data["a"], false);
            }
            _ => {
                self.bids.clear();
                self.asks.clear();
                self.side(&data["bids"], true);
                self.side(&data["asks"], false);
            }
        }
        let (bid, ask) = (self.bids.last_key_value(), self.asks.first_key_value());
        let ((bid, bid_qty), (ask, ask_qty)) = (bid.unwrap_or((&0, &0)), ask.unwrap_or((&0, &0)));
        [*bid, *bid_qty, *ask, *ask_qty]
    }
}

impl Client for Usual {
    fn connect(server: &mut Server, stream: &Stream) -> Usual {
        let connection = StreamOwned::new(server.connect_buffered(), Memory::default());
        Usual {
            socket: WebSocket::from_raw_socket(connection, Role::Client, None),
            channel: stream.channel,
            bids: stream.bids.iter().copied().collect(),
            asks: stream.asks.iter().copied().collect(),
            scales: [stream.market.price_scale, stream.market.amount_scale],
            last: stream.last,
        }
    }

    #[inline]
    fn record(&mut self, bytes: &[u8]) -> [i64; 4] {
        let memory = &mut self.socket.get_mut().sock;
        memory.bytes.clear();
        memory.bytes.extend_from_slice(bytes);
        memory.read = 0;
        let text = self.socket.read().expect("a message").into_text().expect("text");
        self.read(&text)
    }
}
