//! From the text of a frame to the top of the book, per shape of frame.
//!
//! wirebook runs what the engine runs: it finds the route by the topic, checks every member that it relies on, judges the
//! sequence number (and the checksum, where the venue sends one), and hands the event to a sink. wirebook-adapter is the
//! same without the engine: adapter, sequence rule and book, no feeds, no events and no checksum. The others are told in
//! advance what kind of frame comes, check the sequence number only, and look at no checksum. All copy the frame into
//! their buffer first, as a socket would; simd-json needs that, since it overwrites what it reads.

use std::collections::BTreeMap;
use std::rc::Rc;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use wirebook::book::{Book, BookSide, Level, Side, Snapshot, Sync};
use wirebook::decimal::parse_exact;
use wirebook::engine::{Config, Core, VenueConfig};
use wirebook::json::{Doc, DocParser, Node};
use wirebook::model::Stamp;
use wirebook::venue::{Decoded, Item, Route, Routes, Venue};

use crate::common::frames::{self, Stream};
use crate::common::live::{Live, Look, markets, reply};
use crate::common::{Case, Contender, Contenders, recorded};

/// The cases.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case::<BinanceDepth>("binance-depth", 2_000, frames::binance_depth),
        case::<BinanceDepth>("binance-futures-depth", 1_000, frames::binance_futures_depth),
        case::<BinanceTrade>("binance-trade", 2_000, frames::binance_trade),
        case::<BinanceTicker>("binance-book-ticker", 2_000, frames::binance_book_ticker),
        case::<Okx>("okx-books", 500, frames::okx_books),
        case::<Okx>("okx-books-unproven", 500, frames::okx_books_unproven),
        case::<Kraken>("kraken-book", 2_000, frames::kraken_book),
        case::<Coinbase>("coinbase-l2", 2_000, frames::coinbase_l2),
    ];
    if recorded::OKX.is_here() && recorded::COINBASE.is_here() {
        cases.push(case::<Okx>("okx-books-recorded", 47, |count| recorded::OKX.stream(count)));
        cases.push(case::<Coinbase>("coinbase-l2-recorded", 1_188, |count| recorded::COINBASE.stream(count)));
    }
    cases
}

fn case<S: Shape>(name: &str, units: usize, frames: fn(usize) -> Stream) -> Case {
    Case::new(format!("decode/{name}"), units, move |units| {
        let stream = Rc::new(frames(units));
        let [a, b, c, d, e] = [(); 5].map(|()| stream.clone());
        Contenders::new(stream.frames.bytes_mean())
            .with("wirebook", || Ours { live: None, buffer: buffer(), stream: a })
            .with("serde-json-decimal", || Typed::<S, _, DecimalBook>::new(SerdeJson, b))
            .with("simd-json-typed", || Typed::<S, _, ArrayBook>::new(SimdJson::default(), c))
            .with("simd-json-tape", || Tape::<S>::new(d))
            .with("wirebook-adapter", || Adapter::new(e))
    })
}

/// As large as the largest frame, and the same memory for every frame, as a socket's buffer is.
fn buffer() -> Vec<u8> {
    vec![0; 128 << 10]
}

/// What the engine runs.
struct Ours {
    live: Option<Live>,
    buffer: Vec<u8>,
    stream: Rc<Stream>,
}

impl Contender for Ours {
    type Outcome = Look;

    fn restart(&mut self) {
        self.live = Some(Live::open(&self.stream));
    }

    #[inline]
    fn step(&mut self, unit: usize) -> Look {
        let frame = self.stream.frames.at(unit);
        let text = &mut self.buffer[..frame.len()];
        text.copy_from_slice(frame);
        self.live.as_mut().map_or(Look::default(), |live| live.message(text))
    }

    fn numbers(&self, outcome: Look) -> [i64; 4] {
        outcome.0
    }
}

/// wirebook without its engine, which is as much as the others do.
struct Adapter {
    venue: Box<dyn Venue>,
    routes: Routes,
    decoded: Decoded,
    sync: Sync,
    book: Book,
    stream: Rc<Stream>,
    buffer: Vec<u8>,
}

impl Adapter {
    fn new(stream: Rc<Stream>) -> Adapter {
        let mut core = Core::new(Config::default());
        let id = core.add_venue(stream.market.venue, VenueConfig::default()).expect("the venue is known");
        core.read_markets(id, &reply(&markets(&stream.market)), Stamp::default()).expect("the list can be read");
        let market = core.markets(id).resolve(&stream.market.symbol()).expect("it is in the list");
        let (price_scale, amount_scale) = (stream.market.price_scale, stream.market.amount_scale);
        let route =
            Route { feed: 0, channel: stream.channel, market: None, price_scale, amount_scale, levels_max: 5_000 };
        let (profile, mut routes, mut topic) = (core.profile(id), Routes::default(), String::new());
        let venue = (profile.open)();
        venue.topic(Some(market), stream.channel, &mut topic).expect("the venue has the channel");
        routes.insert(venue.route_key(&topic), route);
        let (sync, book) = (Sync::new(profile.rule), Book::new(market.id, price_scale, amount_scale, 2_000));
        Adapter { venue, routes, decoded: Decoded::new(), sync, book, stream, buffer: buffer() }
    }

    #[inline]
    fn message(&mut self, len: usize) -> [i64; 4] {
        self.decoded.clear();
        self.venue.on_frame(&self.buffer[..len], &self.routes, &mut self.decoded).expect("a frame");
        match &self.decoded.items[..] {
            [item @ Item::Book { .. }, ..] => {
                match self.decoded.snapshot(item) {
                    Some(whole) => self.sync.on_snapshot(&whole, &mut self.book, Stamp::default()),
                    None => {
                        let delta = self.decoded.delta(item).expect("a change");
                        self.sync.on_delta(&delta, &mut self.book, Stamp::default())
                    }
                };
                let sides = self.book.last_known();
                let [bid, ask] = [sides.bids, sides.asks].map(|side| side.best().unwrap_or_default());
                [bid.price, bid.qty, ask.price, ask.qty]
            }
            [Item::Trades { trades, .. }, ..] => {
                let [.., trade] = self.decoded.trades(*trades) else { return [0; 4] };
                [trade.price.mantissa(), trade.amount.mantissa(), 0, 0]
            }
            [Item::BidAsk { row, .. }, ..] => self.decoded.bid_ask(*row).map_or([0; 4], |quote| {
                [quote.bid, quote.bid_volume, quote.ask, quote.ask_volume]
                    .map(|number| number.map_or(0, |number| number.mantissa()))
            }),
            _ => [0; 4],
        }
    }
}

impl Contender for Adapter {
    type Outcome = [i64; 4];

    fn restart(&mut self) {
        let stream = self.stream.clone();
        self.sync.disconnected();
        self.sync.subscribed();
        match &stream.snapshot {
            Some(whole) => {
                self.buffer[..whole.len()].copy_from_slice(whole.as_bytes());
                self.message(whole.len());
            }
            None => {
                let levels =
                    |side: &[(i64, i64)]| side.iter().map(|&(price, qty)| Level { price, qty }).collect::<Vec<_>>();
                let (bids, asks) = (levels(&stream.bids), levels(&stream.asks));
                let (bids, asks, last) = (&bids[..], &asks[..], stream.last);
                let whole = Snapshot { last, venue_time: None, bids, asks, bids_cut: false, asks_cut: false };
                self.sync.on_snapshot(&whole, &mut self.book, Stamp::default());
            }
        }
    }

    #[inline]
    fn step(&mut self, unit: usize) -> [i64; 4] {
        let frame = self.stream.frames.at(unit);
        self.buffer[..frame.len()].copy_from_slice(frame);
        self.message(frame.len())
    }

    fn numbers(&self, outcome: [i64; 4]) -> [i64; 4] {
        outcome
    }
}

/// A book as the others keep it: what it stores, and how a number's text becomes that.
trait RivalBook {
    type Number: Copy + Default;

    /// As it is before the first frame.
    fn of(stream: &Stream) -> Self;
    fn price(&self, text: &str) -> Self::Number;
    fn amount(&self, text: &str) -> Self::Number;
    fn price_of_f64(&self, number: f64) -> Self::Number;
    fn amount_of_f64(&self, number: f64) -> Self::Number;
    fn set(&mut self, is_bid: bool, price: Self::Number, amount: Self::Number);
    fn top(&self) -> [Self::Number; 4];
    /// At the market's scales.
    fn numbers(&self, outcome: [Self::Number; 4]) -> [i64; 4];

    #[inline]
    fn level(&mut self, is_bid: bool, price: &str, amount: &str) {
        let (price, amount) = (self.price(price), self.amount(amount));
        self.set(is_bid, price, amount);
    }
}

/// What most people write.
struct DecimalBook {
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
    scales: [u32; 2],
}

impl RivalBook for DecimalBook {
    type Number = Decimal;

    fn of(stream: &Stream) -> DecimalBook {
        let scales = [stream.market.price_scale.into(), stream.market.amount_scale.into()];
        let level = |&(price, qty): &(i64, i64)| (Decimal::new(price, scales[0]), Decimal::new(qty, scales[1]));
        let side = |levels: &[(i64, i64)]| levels.iter().map(level).collect();
        DecimalBook { bids: side(&stream.bids), asks: side(&stream.asks), scales }
    }

    #[inline]
    fn price(&self, text: &str) -> Decimal {
        Decimal::from_str_exact(text).expect("a number")
    }

    #[inline]
    fn amount(&self, text: &str) -> Decimal {
        Decimal::from_str_exact(text).expect("a number")
    }

    fn price_of_f64(&self, number: f64) -> Decimal {
        Decimal::try_from(number).expect("a number")
    }

    fn amount_of_f64(&self, number: f64) -> Decimal {
        Decimal::try_from(number).expect("a number")
    }

    #[inline]
    fn set(&mut self, is_bid: bool, price: Decimal, amount: Decimal) {
        let side = if is_bid { &mut self.bids } else { &mut self.asks };
        if amount.is_zero() {
            side.remove(&price);
        } else {
            side.insert(price, amount);
        }
    }

    #[inline]
    fn top(&self) -> [Decimal; 4] {
        let (bid, ask) = (self.bids.last_key_value(), self.asks.first_key_value());
        let level = |level: Option<(&Decimal, &Decimal)>| level.map_or_else(Default::default, |(p, q)| (*p, *q));
        let ((bid, bid_qty), (ask, ask_qty)) = (level(bid), level(ask));
        [bid, bid_qty, ask, ask_qty]
    }

    fn numbers(&self, outcome: [Decimal; 4]) -> [i64; 4] {
        let mut numbers = [0; 4];
        for (at, mut number) in outcome.into_iter().enumerate() {
            number.rescale(self.scales[at % 2]);
            numbers[at] = number.mantissa() as i64;
        }
        numbers
    }
}

/// wirebook's own sides and decimals, for those who only read the JSON in another way.
struct ArrayBook {
    bids: Side,
    asks: Side,
    scales: [u8; 2],
}

impl RivalBook for ArrayBook {
    type Number = i64;

    fn of(stream: &Stream) -> ArrayBook {
        let mut book = ArrayBook {
            bids: Side::new(BookSide::Bid, 2_000),
            asks: Side::new(BookSide::Ask, 2_000),
            scales: [stream.market.price_scale, stream.market.amount_scale],
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
    fn price(&self, text: &str) -> i64 {
        parse_exact(text.as_bytes(), self.scales[0]).expect("a number")
    }

    #[inline]
    fn amount(&self, text: &str) -> i64 {
        parse_exact(text.as_bytes(), self.scales[1]).expect("a number")
    }

    #[inline]
    fn price_of_f64(&self, number: f64) -> i64 {
        (number * 10_f64.powi(self.scales[0].into())).round() as i64
    }

    #[inline]
    fn amount_of_f64(&self, number: f64) -> i64 {
        (number * 10_f64.powi(self.scales[1].into())).round() as i64
    }

    #[inline]
    fn set(&mut self, is_bid: bool, price: i64, amount: i64) {
        if is_bid { &mut self.bids } else { &mut self.asks }.set(price, amount);
    }

    #[inline]
    fn top(&self) -> [i64; 4] {
        let (bid, ask) = (self.bids.best().unwrap_or_default(), self.asks.best().unwrap_or_default());
        [bid.price, bid.qty, ask.price, ask.qty]
    }

    fn numbers(&self, outcome: [i64; 4]) -> [i64; 4] {
        outcome
    }
}

/// Reads a whole frame into a struct, and does with it what is to be done.
trait Parser {
    fn apply<S: Shape, B: RivalBook>(&mut self, text: &mut [u8], last: &mut u64, book: &mut B) -> [B::Number; 4];
}

struct SerdeJson;

impl Parser for SerdeJson {
    #[inline]
    fn apply<S: Shape, B: RivalBook>(&mut self, text: &mut [u8], last: &mut u64, book: &mut B) -> [B::Number; 4] {
        let message: S::Message<'_> = serde_json::from_slice(text).expect("a frame");
        S::apply(&message, last, book)
    }
}

#[derive(Default)]
struct SimdJson(simd_json::Buffers);

impl Parser for SimdJson {
    #[inline]
    fn apply<S: Shape, B: RivalBook>(&mut self, text: &mut [u8], last: &mut u64, book: &mut B) -> [B::Number; 4] {
        let message: S::FloatMessage<'_> =
            simd_json::serde::from_slice_with_buffers(text, &mut self.0).expect("a frame");
        S::apply_floats(&message, last, book)
    }
}

/// A kind of frame: as a struct of borrowed text, and what is done with it.
trait Shape: 'static {
    type Message<'a>: Deserialize<'a>;
    /// The same with numbers as floats, where simd-json cannot give their text.
    type FloatMessage<'a>: Deserialize<'a>;

    fn apply<B: RivalBook>(message: &Self::Message<'_>, last: &mut u64, book: &mut B) -> [B::Number; 4];

    fn apply_floats<B: RivalBook>(message: &Self::FloatMessage<'_>, last: &mut u64, book: &mut B) -> [B::Number; 4];

    fn walk(doc: &Doc<'_>, last: &mut u64, book: &mut ArrayBook) -> [i64; 4];
}

struct Typed<S, P, B> {
    parser: P,
    book: B,
    last: u64,
    stream: Rc<Stream>,
    buffer: Vec<u8>,
    shape: std::marker::PhantomData<S>,
}

impl<S, P, B: RivalBook> Typed<S, P, B> {
    fn new(parser: P, stream: Rc<Stream>) -> Typed<S, P, B> {
        let shape = std::marker::PhantomData;
        Typed { parser, book: B::of(&stream), last: 0, stream, buffer: buffer(), shape }
    }
}

impl<S: Shape, P: Parser, B: RivalBook> Contender for Typed<S, P, B> {
    type Outcome = [B::Number; 4];

    fn restart(&mut self) {
        self.book = B::of(&self.stream);
        self.last = self.stream.last;
    }

    #[inline]
    fn step(&mut self, unit: usize) -> [B::Number; 4] {
        let frame = self.stream.frames.at(unit);
        let text = &mut self.buffer[..frame.len()];
        text.copy_from_slice(frame);
        self.parser.apply::<S, B>(text, &mut self.last, &mut self.book)
    }

    fn numbers(&self, outcome: [B::Number; 4]) -> [i64; 4] {
        self.book.numbers(outcome)
    }
}

/// simd-json's tape with all buffers used again, through the thin view over it that wirebook has.
struct Tape<S> {
    parser: DocParser,
    book: ArrayBook,
    last: u64,
    stream: Rc<Stream>,
    buffer: Vec<u8>,
    shape: std::marker::PhantomData<S>,
}

impl<S> Tape<S> {
    fn new(stream: Rc<Stream>) -> Tape<S> {
        let book = ArrayBook::of(&stream);
        let parser = DocParser::with_capacity(128 << 10);
        Tape { parser, book, last: 0, stream, buffer: buffer(), shape: std::marker::PhantomData }
    }
}

impl<S: Shape> Contender for Tape<S> {
    type Outcome = [i64; 4];

    fn restart(&mut self) {
        self.book = ArrayBook::of(&self.stream);
        self.last = self.stream.last;
    }

    #[inline]
    fn step(&mut self, unit: usize) -> [i64; 4] {
        let frame = self.stream.frames.at(unit);
        let text = &mut self.buffer[..frame.len()];
        text.copy_from_slice(frame);
        S::walk(&self.parser.parse(text).expect("a frame"), &mut self.last, &mut self.book)
    }

    fn numbers(&self, outcome: [i64; 4]) -> [i64; 4] {
        outcome
    }
}

/// A row of one side in a document.
#[inline]
fn doc_level(book: &mut ArrayBook, is_bid: bool, price: Node<'_>, amount: Node<'_>) {
    let price = price.decimal(book.scales[0]).expect("a price");
    let amount = amount.decimal(book.scales[1]).expect("an amount");
    book.set(is_bid, price, amount);
}

#[inline]
fn doc_rows(book: &mut ArrayBook, is_bid: bool, rows: Node<'_>) {
    for row in rows.iter() {
        let mut cells = row.iter();
        if let (Some(price), Some(amount)) = (cells.next(), cells.next()) {
            doc_level(book, is_bid, price, amount);
        }
    }
}

fn in_sequence(last: &mut u64, first: u64, to: u64) {
    assert_eq!(*last + 1, first, "a frame is missing");
    *last = to;
}

struct BinanceDepth;

#[derive(Deserialize)]
#[allow(dead_code)] // Members that nobody looks at are read all the same.
struct Wrapped<'a, T> {
    stream: &'a str,
    data: T,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct DepthUpdate<'a> {
    #[serde(rename = "E")]
    time: i64,
    #[serde(rename = "U")]
    first: u64,
    #[serde(rename = "u")]
    last: u64,
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
}

impl Shape for BinanceDepth {
    type Message<'a> = Wrapped<'a, DepthUpdate<'a>>;
    type FloatMessage<'a> = Self::Message<'a>;

    #[inline]
    fn apply<B: RivalBook>(message: &Self::Message<'_>, last: &mut u64, book: &mut B) -> [B::Number; 4] {
        in_sequence(last, message.data.first, message.data.last);
        message.data.b.iter().for_each(|[price, amount]| book.level(true, price, amount));
        message.data.a.iter().for_each(|[price, amount]| book.level(false, price, amount));
        book.top()
    }

    #[inline]
    fn apply_floats<B: RivalBook>(message: &Self::FloatMessage<'_>, last: &mut u64, book: &mut B) -> [B::Number; 4] {
        Self::apply(message, last, book)
    }

    #[inline]
    fn walk(doc: &Doc<'_>, last: &mut u64, book: &mut ArrayBook) -> [i64; 4] {
        let data = doc.get("data").expect("data");
        let (mut first, mut to) = (0, 0);
        for (key, node) in data.entries() {
            match key {
                "U" => first = node.u64().expect("a number"),
                "u" => to = node.u64().expect("a number"),
                "b" => doc_rows(book, true, node),
                "a" => doc_rows(book, false, node),
                _ => {}
            }
        }
        in_sequence(last, first, to);
        book.top()
    }
}

struct BinanceTrade;

#[derive(Deserialize)]
#[allow(dead_code)]
struct TradeEvent<'a> {
    t: u64,
    #[serde(borrow)]
    p: &'a str,
    #[serde(borrow)]
    q: &'a str,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
}

impl Shape for BinanceTrade {
    type Message<'a> = Wrapped<'a, TradeEvent<'a>>;
    type FloatMessage<'a> = Self::Message<'a>;

    #[inline]
    fn apply<B: RivalBook>(message: &Self::Message<'_>, _: &mut u64, book: &mut B) -> [B::Number; 4] {
        [book.price(message.data.p), book.amount(message.data.q), B::Number::default(), B::Number::default()]
    }

    #[inline]
    fn apply_floats<B: RivalBook>(message: &Self::FloatMessage<'_>, last: &mut u64, book: &mut B) -> [B::Number; 4] {
        Self::apply(message, last, book)
    }

    #[inline]
    fn walk(doc: &Doc<'_>, _: &mut u64, book: &mut ArrayBook) -> [i64; 4] {
        let mut top = [0; 4];
        for (key, node) in doc.get("data").expect("data").entries() {
            match key {
                "p" => top[0] = node.decimal(book.scales[0]).expect("a price"),
                "q" => top[1] = node.decimal(book.scales[1]).expect("an amount"),
                _ => {}
            }
        }
        top
    }
}

struct BinanceTicker;

#[derive(Deserialize)]
#[allow(dead_code)]
struct BookTicker<'a> {
    u: u64,
    #[serde(borrow)]
    b: &'a str,
    #[serde(borrow, rename = "B")]
    bid_qty: &'a str,
    #[serde(borrow)]
    a: &'a str,
    #[serde(borrow, rename = "A")]
    ask_qty: &'a str,
}

impl Shape for BinanceTicker {
    type Message<'a> = Wrapped<'a, BookTicker<'a>>;
    type FloatMessage<'a> = Self::Message<'a>;

    #[inline]
    fn apply<B: RivalBook>(message: &Self::Message<'_>, _: &mut u64, book: &mut B) -> [B::Number; 4] {
        let data = &message.data;
        [book.price(data.b), book.amount(data.bid_qty), book.price(data.a), book.amount(data.ask_qty)]
    }

    #[inline]
    fn apply_floats<B: RivalBook>(message: &Self::FloatMessage<'_>, last: &mut u64, book: &mut B) -> [B::Number; 4] {
        Self::apply(message, last, book)
    }

    #[inline]
    fn walk(doc: &Doc<'_>, _: &mut u64, book: &mut ArrayBook) -> [i64; 4] {
        let mut top = [0; 4];
        for (key, node) in doc.get("data").expect("data").entries() {
            let at = match key {
                "b" => 0,
                "B" => 1,
                "a" => 2,
                "A" => 3,
                _ => continue,
            };
            top[at] = node.decimal(book.scales[at % 2]).expect("a number");
        }
        top
    }
}

struct Okx;

#[derive(Deserialize)]
#[allow(dead_code)]
struct OkxMessage<'a> {
    #[serde(borrow)]
    arg: OkxArg<'a>,
    #[serde(borrow)]
    action: &'a str,
    #[serde(borrow)]
    data: [OkxData<'a>; 1],
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct OkxArg<'a> {
    channel: &'a str,
    #[serde(rename = "instId")]
    id: &'a str,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct OkxData<'a> {
    #[serde(borrow)]
    asks: Vec<[&'a str; 4]>,
    #[serde(borrow)]
    bids: Vec<[&'a str; 4]>,
    ts: &'a str,
    checksum: i32,
}

impl Shape for Okx {
    type Message<'a> = OkxMessage<'a>;
    type FloatMessage<'a> = OkxMessage<'a>;

    #[inline]
    fn apply<B: RivalBook>(message: &Self::Message<'_>, _: &mut u64, book: &mut B) -> [B::Number; 4] {
        let [data] = &message.data;
        data.asks.iter().for_each(|[price, amount, ..]| book.level(false, price, amount));
        data.bids.iter().for_each(|[price, amount, ..]| book.level(true, price, amount));
        book.top()
    }

    #[inline]
    fn apply_floats<B: RivalBook>(message: &Self::FloatMessage<'_>, last: &mut u64, book: &mut B) -> [B::Number; 4] {
        Self::apply(message, last, book)
    }

    #[inline]
    fn walk(doc: &Doc<'_>, _: &mut u64, book: &mut ArrayBook) -> [i64; 4] {
        for data in doc.get("data").expect("data").iter() {
            for (key, node) in data.entries() {
                match key {
                    "asks" => doc_rows(book, false, node),
                    "bids" => doc_rows(book, true, node),
                    _ => {}
                }
            }
        }
        book.top()
    }
}

struct Kraken;

#[derive(Deserialize)]
#[allow(dead_code)]
struct KrakenMessage<'a, N> {
    channel: &'a str,
    r#type: &'a str,
    #[serde(borrow)]
    data: [KrakenData<'a, N>; 1],
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct KrakenData<'a, N> {
    symbol: &'a str,
    bids: Vec<KrakenLevel<N>>,
    asks: Vec<KrakenLevel<N>>,
    checksum: u32,
    timestamp: &'a str,
}

#[derive(Deserialize)]
struct KrakenLevel<N> {
    price: N,
    qty: N,
}

impl Shape for Kraken {
    type Message<'a> = KrakenMessage<'a, &'a RawValue>;
    type FloatMessage<'a> = KrakenMessage<'a, f64>;

    #[inline]
    fn apply<B: RivalBook>(message: &Self::Message<'_>, _: &mut u64, book: &mut B) -> [B::Number; 4] {
        let [data] = &message.data;
        data.bids.iter().for_each(|level| book.level(true, level.price.get(), level.qty.get()));
        data.asks.iter().for_each(|level| book.level(false, level.price.get(), level.qty.get()));
        book.top()
    }

    #[inline]
    fn apply_floats<B: RivalBook>(message: &Self::FloatMessage<'_>, _: &mut u64, book: &mut B) -> [B::Number; 4] {
        let [data] = &message.data;
        for (is_bid, levels) in [(true, &data.bids), (false, &data.asks)] {
            for level in levels {
                let (price, amount) = (book.price_of_f64(level.price), book.amount_of_f64(level.qty));
                book.set(is_bid, price, amount);
            }
        }
        book.top()
    }

    #[inline]
    fn walk(doc: &Doc<'_>, _: &mut u64, book: &mut ArrayBook) -> [i64; 4] {
        for data in doc.get("data").expect("data").iter() {
            for (key, node) in data.entries() {
                if let "bids" | "asks" = key {
                    for row in node.iter() {
                        if let (Some(price), Some(amount)) = (row.get("price"), row.get("qty")) {
                            doc_level(book, key == "bids", price, amount);
                        }
                    }
                }
            }
        }
        book.top()
    }
}

struct Coinbase;

#[derive(Deserialize)]
#[allow(dead_code)]
struct CoinbaseMessage<'a> {
    r#type: &'a str,
    product_id: &'a str,
    #[serde(borrow)]
    changes: Vec<[&'a str; 3]>,
    time: &'a str,
}

impl Shape for Coinbase {
    type Message<'a> = CoinbaseMessage<'a>;
    type FloatMessage<'a> = CoinbaseMessage<'a>;

    #[inline]
    fn apply<B: RivalBook>(message: &Self::Message<'_>, _: &mut u64, book: &mut B) -> [B::Number; 4] {
        for [side, price, amount] in &message.changes {
            book.level(*side == "buy", price, amount);
        }
        book.top()
    }

    #[inline]
    fn apply_floats<B: RivalBook>(message: &Self::FloatMessage<'_>, last: &mut u64, book: &mut B) -> [B::Number; 4] {
        Self::apply(message, last, book)
    }

    #[inline]
    fn walk(doc: &Doc<'_>, _: &mut u64, book: &mut ArrayBook) -> [i64; 4] {
        for row in doc.get("changes").expect("changes").iter() {
            let mut cells = row.iter();
            if let (Some(side), Some(price), Some(amount)) = (cells.next(), cells.next(), cells.next()) {
                doc_level(book, side.str() == Ok("buy"), price, amount);
            }
        }
        book.top()
    }
}
