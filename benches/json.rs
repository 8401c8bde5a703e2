//! Ways to read JSON: the levels of a frame as numbers, without a book.
//!
//! wirebook reads frequent messages with `Cursor` and everything else with `Doc`, a view over simd-json's tape; this is
//! what keeps that choice proven.

use std::rc::Rc;

use serde::Deserialize;
use serde_json::Value;
use simd_json::Buffers;
use wirebook::book::Level;
use wirebook::decimal::parse_exact;
use wirebook::json::{Cursor, DocParser, JsonError, Node};

use crate::common::frames::{self, Stream};
use crate::common::{Case, Contender, Contenders};

/// The cases.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        case::<Depth>("binance-depth", 2_000, frames::binance_depth),
        case::<Depth>("binance-futures-depth", 1_000, frames::binance_futures_depth),
        case::<Okx>("okx-books", 500, frames::okx_books),
        case::<Whole>("snapshot-55k", 10, frames::binance_snapshot),
    ]
}

fn case<S: Shape>(name: &str, units: usize, frames: fn(usize) -> Stream) -> Case {
    Case::new(format!("json/{name}"), units, move |units| {
        let stream = Rc::new(frames(units));
        let [a, b, c, d, e] = [(); 5].map(|()| stream.clone());
        Contenders::new(stream.frames.bytes_mean())
            .with("wirebook", || {
                let mut levels = Vec::with_capacity(4_000);
                Reader::new(a, move |text, sums| {
                    levels.clear();
                    S::cursor(&mut Cursor::new(text), sums.scales, &mut levels).expect("a frame");
                    levels.iter().for_each(|level: &Level| sums.add(level.price, level.qty));
                })
            })
            .with("wirebook-doc", || {
                let mut parser = DocParser::with_capacity(128 << 10);
                Reader::new(b, move |text, sums| {
                    let doc = parser.parse(text).expect("a frame");
                    for key in S::SIDES {
                        for row in S::inner_doc(doc.root()).get(key).expect("a side").iter() {
                            let mut cells = row.iter();
                            let mut number = |at: usize| {
                                cells.next().and_then(|cell| cell.decimal(sums.scales[at]).ok()).expect("a number")
                            };
                            let (price, qty) = (number(0), number(1));
                            sums.add(price, qty);
                        }
                    }
                })
            })
            .with("simd-json-typed", || {
                let mut buffers = Buffers::default();
                Reader::new(c, move |text, sums| {
                    let message: S::Message<'_> =
                        simd_json::serde::from_slice_with_buffers(text, &mut buffers).expect("a frame");
                    S::rows(&message, |price, qty| sums.text(price, qty));
                })
            })
            .with("serde-json-typed", || {
                Reader::new(d, |text, sums| {
                    let message: S::Message<'_> = serde_json::from_slice(text).expect("a frame");
                    S::rows(&message, |price, qty| sums.text(price, qty));
                })
            })
            .with("serde-json-value", || {
                Reader::new(e, |text, sums| {
                    let message: Value = serde_json::from_slice(text).expect("a frame");
                    for key in S::SIDES {
                        for row in S::inner(&message)[key].as_array().expect("a side") {
                            sums.text(row[0].as_str().expect("a price"), row[1].as_str().expect("an amount"));
                        }
                    }
                })
            })
    })
}

/// Everything that was read, so that nothing can be left out.
struct Sums {
    scales: [u8; 2],
    sums: [i64; 4],
}

impl Sums {
    #[inline]
    fn add(&mut self, price: i64, qty: i64) {
        self.sums[0] = self.sums[0].wrapping_add(price);
        self.sums[1] = self.sums[1].wrapping_add(qty);
        self.sums[2] += 1;
    }

    #[inline]
    fn text(&mut self, price: &str, qty: &str) {
        let [price_scale, qty_scale] = self.scales;
        let price = parse_exact(price.as_bytes(), price_scale).expect("a price");
        self.add(price, parse_exact(qty.as_bytes(), qty_scale).expect("an amount"));
    }
}

struct Reader<F> {
    stream: Rc<Stream>,
    buffer: Vec<u8>,
    read: F,
}

impl<F: FnMut(&mut [u8], &mut Sums)> Reader<F> {
    fn new(stream: Rc<Stream>, read: F) -> Reader<F> {
        Reader { stream, buffer: vec![0; 128 << 10], read }
    }
}

impl<F: FnMut(&mut [u8], &mut Sums)> Contender for Reader<F> {
    type Outcome = [i64; 4];

    #[inline]
    fn step(&mut self, unit: usize) -> [i64; 4] {
        let frame = self.stream.frames.at(unit);
        let text = &mut self.buffer[..frame.len()];
        text.copy_from_slice(frame);
        let market = &self.stream.market;
        let mut sums = Sums { scales: [market.price_scale, market.amount_scale], sums: [0; 4] };
        (self.read)(text, &mut sums);
        sums.sums
    }

    fn numbers(&self, outcome: [i64; 4]) -> [i64; 4] {
        outcome
    }
}

/// Where the sides are in a kind of frame: in `data`, if it does not say otherwise.
trait Shape: 'static {
    const SIDES: [&'static str; 2];
    type Message<'a>: Deserialize<'a>;

    fn rows(message: &Self::Message<'_>, row: impl FnMut(&str, &str));

    fn inner(message: &Value) -> &Value {
        &message["data"]
    }

    #[inline]
    fn inner_doc(root: Node<'_>) -> Node<'_> {
        root.get("data").expect("data")
    }

    #[inline]
    fn cursor(c: &mut Cursor<'_>, scales: [u8; 2], levels: &mut Vec<Level>) -> Result<(), JsonError> {
        c.object(|c, key| if key == b"data" { sides(c, Self::SIDES, scales, levels) } else { c.skip() })
    }
}

#[inline]
fn sides(c: &mut Cursor<'_>, names: [&str; 2], scales: [u8; 2], levels: &mut Vec<Level>) -> Result<(), JsonError> {
    c.object(|c, key| {
        if names.iter().any(|name| name.as_bytes() == key) {
            return c.levels(scales[0], scales[1], 4_000, levels).map(drop);
        }
        c.skip()
    })
}

#[derive(Deserialize)]
struct Wrapped<T> {
    data: T,
}

struct Depth;

#[derive(Deserialize)]
struct DepthSides<'a> {
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
}

impl Shape for Depth {
    const SIDES: [&'static str; 2] = ["b", "a"];
    type Message<'a> = Wrapped<DepthSides<'a>>;

    #[inline]
    fn rows(message: &Self::Message<'_>, mut row: impl FnMut(&str, &str)) {
        message.data.b.iter().chain(&message.data.a).for_each(|[price, qty]| row(price, qty));
    }
}

struct Whole;

#[derive(Deserialize)]
struct WholeSides<'a> {
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    asks: Vec<[&'a str; 2]>,
}

impl Shape for Whole {
    const SIDES: [&'static str; 2] = ["bids", "asks"];
    type Message<'a> = Wrapped<WholeSides<'a>>;

    #[inline]
    fn rows(message: &Self::Message<'_>, mut row: impl FnMut(&str, &str)) {
        message.data.bids.iter().chain(&message.data.asks).for_each(|[price, qty]| row(price, qty));
    }
}

struct Okx;

#[derive(Deserialize)]
struct OkxSides<'a> {
    #[serde(borrow)]
    bids: Vec<[&'a str; 4]>,
    #[serde(borrow)]
    asks: Vec<[&'a str; 4]>,
}

impl Shape for Okx {
    const SIDES: [&'static str; 2] = ["bids", "asks"];
    type Message<'a> = Wrapped<[OkxSides<'a>; 1]>;

    #[inline]
    fn rows(message: &Self::Message<'_>, mut row: impl FnMut(&str, &str)) {
        let [data] = &message.data;
        data.bids.iter().chain(&data.asks).for_each(|[price, qty, ..]| row(price, qty));
    }

    fn inner(message: &Value) -> &Value {
        &message["data"][0]
    }

    #[inline]
    fn inner_doc(root: Node<'_>) -> Node<'_> {
        root.get("data").and_then(|data| data.at(0)).expect("data")
    }

    #[inline]
    fn cursor(c: &mut Cursor<'_>, scales: [u8; 2], levels: &mut Vec<Level>) -> Result<(), JsonError> {
        c.object(|c, key| if key == b"data" { c.array(|c| sides(c, Self::SIDES, scales, levels)) } else { c.skip() })
    }
}
