//! The market that is sent: books that wander at random, the depth messages of it, and what is true after each.
//!
//! The messages have the shape of Binance's: USD-M futures `depthUpdate` as recorded in July 2021, 287 bytes and 8.4
//! levels in the mean, few levels in most and fifty in some. Everything follows from the seed.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;

use crate::contender::{Levels, Top};
use crate::shared::{FIRST_ID, digest};

/// A price of one tick at eight decimals: ticks are 0.001, spelled with four decimals as Binance does.
const TICK: i64 = 100_000;
/// An amount of one at eight decimals.
const LOT: i64 = 100_000_000;
/// Where the walk begins, in ticks.
const START_TICKS: i64 = 10_330;
/// How many levels a message has, as recorded: at this share of messages in a thousand, so many at most.
const LEVELS: [(u64, u64); 8] = [(0, 1), (100, 1), (250, 2), (500, 4), (750, 10), (900, 21), (990, 51), (1_000, 61)];

/// How far from the touch they lie, in ticks; likewise. Nearly all of them change a level that is there: of a hundred,
/// two or three delete and as many are new.
const DEPTHS: [(u64, u64); 8] = [(0, 0), (100, 2), (250, 4), (500, 10), (750, 23), (900, 51), (990, 180), (1_000, 600)];

/// A book: ticks to amount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Book {
    fn side(&mut self, bid: bool) -> &mut BTreeMap<i64, i64> {
        if bid { &mut self.bids } else { &mut self.asks }
    }

    /// Applies one change: an amount of zero deletes.
    pub(crate) fn apply(&mut self, change: Change) {
        let side = self.side(change.bid);
        if change.amount == 0 {
            side.remove(&change.ticks);
        } else {
            side.insert(change.ticks, change.amount);
        }
    }

    /// Both sides, best first, at eight decimals.
    pub(crate) fn levels(&self) -> (Levels, Levels) {
        let at_eight = |(ticks, amount): (&i64, &i64)| (ticks * TICK, amount * LOT);
        (self.bids.iter().rev().map(at_eight).collect(), self.asks.iter().map(at_eight).collect())
    }

    /// What a true book comes to.
    pub(crate) fn digest(&self) -> u64 {
        let (bids, asks) = self.levels();
        digest(&bids, &asks)
    }

    fn top(&self) -> Top {
        let (bid, ask) = (self.bids.last_key_value(), self.asks.first_key_value());
        Top {
            bid: bid.map_or(0, |(ticks, _)| ticks * TICK),
            bid_amount: bid.map_or(0, |(_, amount)| amount * LOT),
            ask: ask.map_or(0, |(ticks, _)| ticks * TICK),
            ask_amount: ask.map_or(0, |(_, amount)| amount * LOT),
        }
    }

    /// The answer to `GET /api/v3/depth`, of at most `limit` levels a side.
    pub(crate) fn snapshot(&self, last_id: u64, limit: usize) -> Vec<u8> {
        let mut out = format!("{{\"lastUpdateId\":{last_id},\"bids\":[").into_bytes();
        write_levels(&mut out, self.bids.iter().rev().take(limit));
        out.extend_from_slice(b"],\"asks\":[");
        write_levels(&mut out, self.asks.iter().take(limit));
        out.extend_from_slice(b"]}");
        out
    }
}

/// One level of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) bid: bool,
    pub(crate) ticks: i64,
    pub(crate) amount: i64,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) stream: u32,
    pub(crate) top: Top,
    text: Range<usize>,
    /// Where the symbol ends in the text.
    symbol_end: usize,
    changes: Range<usize>,
}

/// All messages of a run, made before the first is sent.
#[derive(Debug)]
pub(crate) struct Market {
    /// The books before the first message.
    pub(crate) start: Vec<Book>,
    pub(crate) messages: Vec<Message>,
    text: Vec<u8>,
    changes: Vec<Change>,
}

impl Market {
    /// `messages` messages about `streams` books of about `levels` levels a side. Books take turns for one round, so
    /// that each is heard of soon; after that they come at random.
    pub(crate) fn new(streams: u32, levels: usize, messages: usize, seed: u64) -> Market {
        let mut random = Random(seed);
        let mut walks: Vec<Walk> = (0..streams).map(|_| Walk::new(levels, &mut random)).collect();
        let mut market = Market {
            start: walks.iter().map(|walk| walk.book.clone()).collect(),
            messages: Vec::with_capacity(messages),
            text: Vec::with_capacity(messages * 300),
            changes: Vec::with_capacity(messages * 9),
        };
        let mut last_ids = vec![FIRST_ID - 1; streams as usize];
        for at in 0..messages {
            let stream = if at < streams as usize { at as u32 } else { random.below(u64::from(streams)) as u32 };
            let walk = &mut walks[stream as usize];
            let from = market.changes.len();
            walk.step(&mut random, &mut market.changes);
            let id = FIRST_ID + at as u64;
            let before = std::mem::replace(&mut last_ids[stream as usize], id);
            let text_from = market.text.len();
            let symbol_end = write_message(&mut market.text, at, stream, before, id, &market.changes[from..]);
            market.messages.push(Message {
                stream,
                top: walk.book.top(),
                text: text_from..market.text.len(),
                symbol_end,
                changes: from..market.changes.len(),
            });
        }
        market
    }

    /// The text of a message in two parts, between which more of the symbol may go.
    pub(crate) fn text(&self, message: usize) -> (&[u8], &[u8]) {
        let message = &self.messages[message];
        (&self.text[message.text.start..message.symbol_end], &self.text[message.symbol_end..message.text.end])
    }

    /// The levels of a message.
    pub(crate) fn changes(&self, message: usize) -> &[Change] {
        &self.changes[self.messages[message].changes.clone()]
    }
}

/// A book that wanders.
#[derive(Debug)]
struct Walk {
    book: Book,
    /// The best price that a bid may have; the best of an ask is one tick above.
    mid: i64,
    /// Where it began, and where it is drawn to.
    home: i64,
    /// More levels than this a side never has.
    levels: usize,
    /// How far from the middle levels may lie.
    reach: u64,
}

impl Walk {
    fn new(levels: usize, random: &mut Random) -> Walk {
        let reach = levels as u64 * 7 / 8;
        let home = START_TICKS + random.below(500) as i64;
        let mut walk = Walk { book: Book::default(), mid: home, home, levels, reach };
        for bid in [true, false] {
            for depth in 0..reach {
                if depth == 0 || random.below(100) < 97 {
                    let (ticks, amount) = (walk.ticks(bid, depth), walk.amount(random));
                    walk.book.side(bid).insert(ticks, amount);
                }
            }
        }
        walk
    }

    fn ticks(&self, bid: bool, depth: u64) -> i64 {
        if bid { self.mid - depth as i64 } else { self.mid + 1 + depth as i64 }
    }

    fn amount(&self, random: &mut Random) -> i64 {
        // Most are small.
        let digits = random.below(4);
        1 + random.below([30, 300, 3_000, 9_000][digits as usize]) as i64
    }

    /// Changes the book, and says how.
    fn step(&mut self, random: &mut Random, changes: &mut Vec<Change>) {
        let from = changes.len();
        let count = drawn(&LEVELS, random) as usize;
        if random.below(100) < 17 {
            let up = (random.below(200) as i64) < 100 - (self.mid - self.home).clamp(-99, 99);
            self.mid += if up { 1 } else { -1 };
            // What the middle moved onto has to go.
            let gone = if up { self.mid } else { self.mid + 1 };
            if self.book.side(!up).contains_key(&gone) {
                self.change(Change { bid: !up, ticks: gone, amount: 0 }, changes);
            }
        }
        // A level comes once in a message; twenty tries find enough that are free.
        for _ in 0..count * 20 {
            if changes.len() - from >= count {
                break;
            }
            let bid = random.below(2) == 0;
            let depth = drawn(&DEPTHS, random);
            let ticks = self.ticks(bid, depth);
            if depth >= self.reach || changes[from..].iter().any(|change| change.bid == bid && change.ticks == ticks) {
                continue;
            }
            let levels = self.levels;
            let amount = self.amount(random);
            let (len, there) = (self.book.side(bid).len(), self.book.side(bid).contains_key(&ticks));
            let amount = if there && len * 4 > levels * 3 && random.below(100) == 0 { 0 } else { amount };
            // Never more levels than a snapshot holds.
            if there || len < levels {
                self.change(Change { bid, ticks, amount }, changes);
            }
        }
        changes[from..].sort_unstable_by_key(|change| (!change.bid, change.ticks));
    }

    fn change(&mut self, change: Change, changes: &mut Vec<Change>) {
        self.book.apply(change);
        changes.push(change);
    }
}

/// A number of the distribution of which some places in a thousand are given.
fn drawn(places: &[(u64, u64); 8], random: &mut Random) -> u64 {
    let place = random.below(1_000);
    let upper = places.iter().position(|(at, _)| *at > place).unwrap_or(places.len() - 1).max(1);
    let ((from, low), (to, high)) = (places[upper - 1], places[upper]);
    let span = (high - low) * (place - from);
    let width = to - from;
    // What the division leaves decides by chance, so that the mean is right.
    let part = span / width + u64::from(random.below(width) < span % width);
    low + part
}

/// Writes the text; where the symbol ends.
fn write_message(out: &mut Vec<u8>, at: usize, stream: u32, before: u64, id: u64, changes: &[Change]) -> usize {
    let time_ms = 1_633_998_523_964 + at as u64 / 10;
    // Writing into a vector does not fail.
    let _ = write!(out, "{{\"e\":\"depthUpdate\",\"E\":{time_ms},\"T\":{},\"s\":\"S{stream}", time_ms - 7);
    let symbol_end = out.len();
    let _ = write!(out, "\",\"U\":{},\"u\":{id},\"pu\":{before},\"b\":[", before + 1);
    let of = |bid: bool| changes.iter().filter(move |change| change.bid == bid).map(|c| (&c.ticks, &c.amount));
    write_levels(out, of(true));
    out.extend_from_slice(b"],\"a\":[");
    write_levels(out, of(false));
    out.extend_from_slice(b"]}");
    symbol_end
}

fn write_levels<'a>(out: &mut Vec<u8>, levels: impl Iterator<Item = (&'a i64, &'a i64)>) {
    for (at, (ticks, amount)) in levels.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let _ = write!(out, "[\"{}.{:03}0\",\"{amount}\"]", ticks / 1_000, ticks % 1_000);
    }
}

/// SplitMix64: small, and the same everywhere.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A price or an amount at eight decimals.
    fn at_eight(text: &str) -> i64 {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        format!("{whole}{part:0<8}").parse().unwrap()
    }

    #[test]
    fn texts_say_what_happened() {
        let market = Market::new(3, 200, 5_000, 1);
        let mut books: Vec<[BTreeMap<i64, i64>; 2]> = Vec::new();
        for (stream, book) in market.start.iter().enumerate() {
            let text = book.snapshot(FIRST_ID - 1, 1_000);
            let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(json["lastUpdateId"], FIRST_ID - 1, "{stream}");
            books.push([&json["bids"], &json["asks"]].map(|side| {
                let levels = side.as_array().unwrap().iter();
                levels.map(|l| (at_eight(l[0].as_str().unwrap()), at_eight(l[1].as_str().unwrap()))).collect()
            }));
        }
        let mut last = [FIRST_ID - 1; 3];
        for (at, message) in market.messages.iter().enumerate() {
            let (head, tail) = market.text(at);
            let json: serde_json::Value = serde_json::from_slice(&[head, tail].concat()).unwrap();
            let stream = message.stream as usize;
            assert_eq!(json["s"], format!("S{stream}"));
            assert_eq!((&json["U"], &json["pu"]), (&(last[stream] + 1).into(), &last[stream].into()));
            last[stream] = json["u"].as_u64().unwrap();
            assert_eq!(last[stream], FIRST_ID + at as u64);
            for (side, name) in ["b", "a"].into_iter().enumerate() {
                for level in json[name].as_array().unwrap() {
                    let (price, amount) = (at_eight(level[0].as_str().unwrap()), at_eight(level[1].as_str().unwrap()));
                    if amount == 0 {
                        assert!(books[stream][side].remove(&price).is_some(), "message {at} deletes what is not there");
                    } else {
                        books[stream][side].insert(price, amount);
                    }
                }
            }
            let bid = books[stream][0].last_key_value().unwrap();
            let ask = books[stream][1].first_key_value().unwrap();
            let top = Top { bid: *bid.0, bid_amount: *bid.1, ask: *ask.0, ask_amount: *ask.1 };
            assert_eq!(top, message.top, "message {at}");
            assert!(top.bid < top.ask);
        }
        // The same by way of the changes.
        let mut truth = market.start.clone();
        for (at, message) in market.messages.iter().enumerate() {
            market.changes(at).iter().for_each(|change| truth[message.stream as usize].apply(*change));
        }
        for (book, truth) in books.iter().zip(&truth) {
            let bids: Vec<_> = book[0].iter().rev().map(|(p, a)| (*p, *a)).collect();
            let asks: Vec<_> = book[1].iter().map(|(p, a)| (*p, *a)).collect();
            assert_eq!((bids, asks), truth.levels());
        }
    }

    #[test]
    fn messages_have_the_recorded_shape() {
        let market = Market::new(1, 980, 20_000, 7);
        let bytes: usize = (0..20_000).map(|at| market.text(at).0.len() + market.text(at).1.len()).sum();
        let levels: usize = (0..20_000).map(|at| market.changes(at).len()).sum();
        let deleted = (0..20_000).flat_map(|at| market.changes(at)).filter(|change| change.amount == 0).count();
        // Recorded: 286.9 bytes and 8.4 levels, of which 2.5% delete.
        assert!((275..300).contains(&(bytes / 20_000)), "{}", bytes / 20_000);
        assert!((160_000..180_000).contains(&levels), "{levels}");
        assert!((20..35).contains(&(deleted * 1_000 / levels)), "{deleted} of {levels}");
        let mut counts: Vec<usize> = (0..20_000).map(|at| market.changes(at).len()).collect();
        counts.sort_unstable();
        assert_eq!([counts[2_000], counts[10_000]], [1, 4]);
        assert!((20..=22).contains(&counts[18_000]), "{}", counts[18_000]);
        let mut book = market.start[0].clone();
        for at in 0..20_000 {
            market.changes(at).iter().for_each(|change| book.apply(*change));
            let (bids, asks) = (book.bids.len(), book.asks.len());
            assert!((700..=980).contains(&bids) && (700..=980).contains(&asks), "{bids} {asks} at {at}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_messages() {
        let all = |seed| {
            let market = Market::new(2, 50, 100, seed);
            (0..100).flat_map(|at| [market.text(at).0, market.text(at).1].concat()).collect::<Vec<u8>>()
        };
        assert_eq!(all(3), all(3));
        assert_ne!(all(3), all(4));
    }
}
