//! Parsers and the books they keep, from what most people write to the best that a contender can be given.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};
use wirebook::book::{BookSide, Level, Side};
use wirebook::json::{Cursor, JsonError};

use super::common::{Books, Levels, SCALE, Seen, Sequence, Snapshot, mantissa, mantissas, stream_of};
use crate::contender::Top;

/// Levels that a book of wirebook's has room for on each side.
const LEVELS_MAX: usize = 10_000;

/// serde_json into borrowed types, `rust_decimal`, a `BTreeMap` for each side: what most people write.
pub(crate) struct DecimalMaps {
    books: Vec<DecimalBook>,
}

#[derive(Default)]
struct DecimalBook {
    sequence: Sequence,
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
}

#[derive(Deserialize)]
struct Combined<T> {
    data: T,
}

#[derive(Deserialize)]
struct BorrowedDepth<'a> {
    s: &'a str,
    #[serde(rename = "U")]
    first: u64,
    u: u64,
    #[serde(borrow)]
    b: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    a: Vec<(&'a str, &'a str)>,
}

impl Books for DecimalMaps {
    fn new(streams: u32) -> DecimalMaps {
        DecimalMaps { books: (0..streams).map(|_| DecimalBook::default()).collect() }
    }

    fn load(&mut self, stream: u32, snapshot: &[u8]) -> Result<(), String> {
        let snapshot = Snapshot::read(snapshot)?;
        let book = self.books.get_mut(stream as usize).ok_or("no such stream")?;
        book.sequence = Sequence::after(snapshot.last_update_id);
        for (side, levels) in [(&mut book.bids, &snapshot.bids), (&mut book.asks, &snapshot.asks)] {
            side.clear();
            for (price, amount) in levels {
                set_decimal(side, price, amount)?;
            }
        }
        Ok(())
    }

    fn on_frame(&mut self, frame: &[u8]) -> Result<Option<Seen>, String> {
        let Combined { data } = serde_json::from_slice::<Combined<BorrowedDepth<'_>>>(frame).map_err(text_of)?;
        let (stream, book) = book_of(&mut self.books, data.s.as_bytes())?;
        if !book.sequence.admit(data.first, data.u)? {
            return Ok(None);
        }
        for (price, amount) in data.b {
            set_decimal(&mut book.bids, price, amount)?;
        }
        for (price, amount) in data.a {
            set_decimal(&mut book.asks, price, amount)?;
        }
        let (bid, bid_amount) = book.bids.last_key_value().map_or((0, 0), decimal_level);
        let (ask, ask_amount) = book.asks.first_key_value().map_or((0, 0), decimal_level);
        Ok(Some(Seen { stream, last_update_id: data.u, top: Top { bid, bid_amount, ask, ask_amount } }))
    }

    fn levels(&self, stream: u32) -> (Levels, Levels) {
        self.books.get(stream as usize).map_or((Vec::new(), Vec::new()), |book| {
            (book.bids.iter().rev().map(decimal_level).collect(), book.asks.iter().map(decimal_level).collect())
        })
    }
}

fn set_decimal(side: &mut BTreeMap<Decimal, Decimal>, price: &str, amount: &str) -> Result<(), String> {
    let price = Decimal::from_str_exact(price).map_err(text_of)?;
    let amount = Decimal::from_str_exact(amount).map_err(text_of)?;
    if amount.is_zero() {
        side.remove(&price);
    } else {
        side.insert(price, amount);
    }
    Ok(())
}

fn decimal_level((price, amount): (&Decimal, &Decimal)) -> (i64, i64) {
    (decimal_mantissa(*price), decimal_mantissa(*amount))
}

/// The mantissa at eight decimals; the text has at most as many.
#[inline]
pub(crate) fn decimal_mantissa(decimal: Decimal) -> i64 {
    const FACTORS: [i64; 9] = [100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    let factor = FACTORS.get(decimal.scale() as usize).copied().unwrap_or_default();
    i64::try_from(decimal.mantissa()).unwrap_or_default() * factor
}

/// simd-json into a type with integers, its buffers reused, and a sorted vector for each side.
pub(crate) struct SimdVecs {
    buffers: simd_json::Buffers,
    /// simd-json writes into the text that it reads.
    text: Vec<u8>,
    books: Vec<VecBook>,
}

#[derive(Default)]
struct VecBook {
    sequence: Sequence,
    /// Ascending, so the best bid is the last.
    bids: Levels,
    /// Descending by price, so the best ask is the last.
    asks: Levels,
}

#[derive(Deserialize)]
struct IntegerDepth {
    #[serde(rename = "s", deserialize_with = "stream_number")]
    stream: u32,
    #[serde(rename = "U")]
    first: u64,
    u: u64,
    b: Vec<(Mantissa, Mantissa)>,
    a: Vec<(Mantissa, Mantissa)>,
}

/// A number in quotes, at eight decimals.
#[derive(Clone, Copy)]
struct Mantissa(i64);

impl<'de> Deserialize<'de> for Mantissa {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mantissa, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Mantissa;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number in quotes")
            }

            #[inline]
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Mantissa, E> {
                mantissa(text).map(Mantissa).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

fn stream_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let market = <&str>::deserialize(deserializer)?;
    stream_of(market.as_bytes()).ok_or_else(|| D::Error::custom("no market of the sender"))
}

impl SimdVecs {
    fn take(&mut self, data: &IntegerDepth) -> Result<Option<Seen>, String> {
        let book = self.books.get_mut(data.stream as usize).ok_or("a market that was not asked for")?;
        if !book.sequence.admit(data.first, data.u)? {
            return Ok(None);
        }
        for &(price, amount) in &data.b {
            set_sorted(&mut book.bids, price.0, amount.0, |level| level);
        }
        for &(price, amount) in &data.a {
            set_sorted(&mut book.asks, price.0, amount.0, |level| -level);
        }
        let (bid, bid_amount) = book.bids.last().copied().unwrap_or_default();
        let (ask, ask_amount) = book.asks.last().copied().unwrap_or_default();
        let top = Top { bid, bid_amount, ask, ask_amount };
        Ok(Some(Seen { stream: data.stream, last_update_id: data.u, top }))
    }
}

impl Books for SimdVecs {
    fn new(streams: u32) -> SimdVecs {
        let books = (0..streams).map(|_| VecBook::default()).collect();
        SimdVecs { buffers: simd_json::Buffers::new(4096), text: Vec::with_capacity(4096), books }
    }

    fn load(&mut self, stream: u32, snapshot: &[u8]) -> Result<(), String> {
        let snapshot = Snapshot::read(snapshot)?;
        let book = self.books.get_mut(stream as usize).ok_or("no such stream")?;
        book.sequence = Sequence::after(snapshot.last_update_id);
        book.bids = mantissas(&snapshot.bids)?;
        book.asks = mantissas(&snapshot.asks)?;
        book.bids.sort_unstable();
        book.asks.sort_unstable_by(|a, b| b.cmp(a));
        Ok(())
    }

    fn on_frame(&mut self, frame: &[u8]) -> Result<Option<Seen>, String> {
        self.text.clear();
        self.text.extend_from_slice(frame);
        let Combined { data } =
            simd_json::serde::from_slice_with_buffers(&mut self.text, &mut self.buffers).map_err(text_of)?;
        self.take(&data)
    }

    fn on_frame_mut(&mut self, frame: &mut [u8]) -> Result<Option<Seen>, String> {
        let Combined { data } = simd_json::serde::from_slice_with_buffers(frame, &mut self.buffers).map_err(text_of)?;
        self.take(&data)
    }

    fn levels(&self, stream: u32) -> (Levels, Levels) {
        let best_first = |side: &Levels| side.iter().rev().copied().collect();
        self.books
            .get(stream as usize)
            .map_or((Vec::new(), Vec::new()), |book| (best_first(&book.bids), best_first(&book.asks)))
    }
}

/// Sets a level on a side that ascends by `key`.
#[inline]
fn set_sorted(side: &mut Levels, price: i64, amount: i64, key: impl Fn(i64) -> i64) {
    match (side.binary_search_by_key(&key(price), |&(price, _)| key(price)), amount) {
        (Ok(index), 0) => drop(side.remove(index)),
        (Ok(index), amount) => side[index].1 = amount,
        (Err(_), 0) => {}
        (Err(index), amount) => side.insert(index, (price, amount)),
    }
}

/// wirebook's own JSON reader and book, as a library for others.
pub(crate) struct CursorArrays {
    levels: [Vec<Level>; 2],
    books: Vec<ArrayBook>,
}

struct ArrayBook {
    sequence: Sequence,
    bids: Side,
    asks: Side,
}

impl Books for CursorArrays {
    fn new(streams: u32) -> CursorArrays {
        let side = |side| Side::new(side, LEVELS_MAX);
        let book =
            |_| ArrayBook { sequence: Sequence::default(), bids: side(BookSide::Bid), asks: side(BookSide::Ask) };
        CursorArrays { levels: [0, 1].map(|_| Vec::with_capacity(1000)), books: (0..streams).map(book).collect() }
    }

    fn load(&mut self, stream: u32, snapshot: &[u8]) -> Result<(), String> {
        let snapshot = Snapshot::read(snapshot)?;
        let book = self.books.get_mut(stream as usize).ok_or("no such stream")?;
        book.sequence = Sequence::after(snapshot.last_update_id);
        for (side, levels) in [(&mut book.bids, &snapshot.bids), (&mut book.asks, &snapshot.asks)] {
            let levels: Vec<Level> = mantissas(levels)?.into_iter().map(|(price, qty)| Level { price, qty }).collect();
            side.reset(&levels, false);
        }
        Ok(())
    }

    fn on_frame(&mut self, frame: &[u8]) -> Result<Option<Seen>, String> {
        let (market, first, last) = self.read(frame).map_err(text_of)?;
        let (stream, book) = book_of(&mut self.books, market)?;
        if !book.sequence.admit(first, last)? {
            return Ok(None);
        }
        for (side, levels) in [&mut book.bids, &mut book.asks].into_iter().zip(&self.levels) {
            for level in levels {
                side.set(level.price, level.qty);
            }
        }
        let (bid, ask) = (book.bids.best().unwrap_or_default(), book.asks.best().unwrap_or_default());
        let top = Top { bid: bid.price, bid_amount: bid.qty, ask: ask.price, ask_amount: ask.qty };
        Ok(Some(Seen { stream, last_update_id: last, top }))
    }

    fn levels(&self, stream: u32) -> (Levels, Levels) {
        let best_first = |side: &Side| side.levels().map(|level| (level.price, level.qty)).collect();
        self.books
            .get(stream as usize)
            .map_or((Vec::new(), Vec::new()), |book| (best_first(&book.bids), best_first(&book.asks)))
    }
}

impl CursorArrays {
    /// Reads the levels into `self.levels`, and returns the market and the update ids.
    #[inline]
    fn read<'a>(&mut self, frame: &'a [u8]) -> Result<(&'a [u8], u64, u64), JsonError> {
        let [bids, asks] = &mut self.levels;
        bids.clear();
        asks.clear();
        let (mut market, mut first, mut last): (&[u8], _, _) = (b"", 0, 0);
        Cursor::new(frame).object(|c, key| match key {
            b"data" => c.object(|c, key| {
                match key {
                    b"s" => market = c.bytes()?,
                    b"U" => first = c.u64()?,
                    b"u" => last = c.u64()?,
                    b"b" => drop(c.levels(SCALE, SCALE, LEVELS_MAX, bids)?),
                    b"a" => drop(c.levels(SCALE, SCALE, LEVELS_MAX, asks)?),
                    _ => c.skip()?,
                }
                Ok(())
            }),
            _ => c.skip(),
        })?;
        Ok((market, first, last))
    }
}

/// The book of a market and the number of its stream.
#[inline]
fn book_of<'a, T>(books: &'a mut [T], market: &[u8]) -> Result<(u32, &'a mut T), String> {
    let unknown = || format!("{} was not asked for", String::from_utf8_lossy(market));
    let stream = stream_of(market).ok_or_else(unknown)?;
    Ok((stream, books.get_mut(stream as usize).ok_or_else(unknown)?))
}

fn text_of(error: impl std::fmt::Display) -> String {
    format!("the message cannot be read: {error}")
}
