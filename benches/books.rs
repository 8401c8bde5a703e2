//! How a side of a book may lie in memory: changes of recorded shape, and the best level read after each.

use std::collections::BTreeMap;
use std::rc::Rc;

use wirebook::book::{BookSide, Side};
use wirebook::decimal::parse_exact;

use crate::common::recorded::COINBASE;
use crate::common::walk::{Change, Walk};
use crate::common::{Case, Contender, Contenders};

/// The cases: as many levels a side as venues were recorded with, and one recorded stream.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [100, 400, 1_300, 5_000].map(walked).into();
    if COINBASE.is_here() {
        cases.push(case("coinbase-recorded".to_owned(), 1_188, recorded));
    }
    cases
}

fn walked(levels: usize) -> Case {
    case(format!("{levels}-levels"), 4_096, move |units| {
        let mut walk = Walk::new(21, 100_000, 1, levels, 1_000_000, 10);
        let start = walk.bids().map(|(price, qty)| Change { is_bid: true, price, qty });
        let start = start.chain(walk.asks().map(|(price, qty)| Change { is_bid: false, price, qty })).collect();
        Script { start, changes: (0..units).flat_map(|_| walk.changes(1)).collect(), levels_max: 2 * levels }
    })
}

fn recorded(units: usize) -> Script {
    let stream = COINBASE.stream(units);
    let change = |is_bid| move |&(price, qty): &(i64, i64)| Change { is_bid, price, qty };
    let start = stream.bids.iter().map(change(true)).chain(stream.asks.iter().map(change(false))).collect();
    let mut changes = Vec::new();
    for frame in stream.frames.iter() {
        let message: serde_json::Value = serde_json::from_slice(frame).unwrap();
        let text = |cell: usize| message["changes"][0][cell].as_str().unwrap().as_bytes();
        changes.push(Change {
            is_bid: text(0) == b"buy",
            price: parse_exact(text(1), stream.market.price_scale).unwrap(),
            qty: parse_exact(text(2), stream.market.amount_scale).unwrap(),
        });
    }
    Script { start, changes, levels_max: 4_000 }
}

fn case(name: String, units: usize, script: impl Fn(usize) -> Script + 'static) -> Case {
    Case::new(format!("books/{name}"), units, move |units| {
        let script = Rc::new(script(units));
        let [a, b, c, d] = [(); 4].map(|()| script.clone());
        Contenders::new(size_of::<Change>() as f64)
            .with("wirebook", || Run::<[Side; 2]>::new(a))
            .with("btreemap", || Run::<[BTreeMap<i64, i64>; 2]>::new(b))
            .with("sorted-vec", || Run::<[Vec<(i64, i64)>; 2]>::new(c))
            .with("tick-ladder", || Run::<[Ladder; 2]>::new(d))
    })
}

struct Script {
    start: Vec<Change>,
    changes: Vec<Change>,
    levels_max: usize,
}

/// Two sides, bids first.
trait Layout: 'static {
    fn new(levels_max: usize) -> Self;
    fn set(&mut self, is_bid: bool, price: i64, qty: i64);
    fn top(&self) -> [i64; 4];
}

struct Run<L> {
    script: Rc<Script>,
    book: L,
}

impl<L: Layout> Run<L> {
    fn new(script: Rc<Script>) -> Run<L> {
        Run { book: L::new(script.levels_max), script }
    }
}

impl<L: Layout> Contender for Run<L> {
    type Outcome = [i64; 4];

    fn restart(&mut self) {
        self.book = L::new(self.script.levels_max);
        for change in &self.script.start {
            self.book.set(change.is_bid, change.price, change.qty);
        }
    }

    #[inline]
    fn step(&mut self, unit: usize) -> [i64; 4] {
        let Change { is_bid, price, qty } = self.script.changes[unit];
        self.book.set(is_bid, price, qty);
        self.book.top()
    }

    fn numbers(&self, outcome: [i64; 4]) -> [i64; 4] {
        outcome
    }
}

impl Layout for [Side; 2] {
    fn new(levels_max: usize) -> [Side; 2] {
        [BookSide::Bid, BookSide::Ask].map(|side| Side::new(side, levels_max))
    }

    #[inline]
    fn set(&mut self, is_bid: bool, price: i64, qty: i64) {
        self[usize::from(!is_bid)].set(price, qty);
    }

    #[inline]
    fn top(&self) -> [i64; 4] {
        let [bid, ask] = [0, 1].map(|at: usize| self[at].best().unwrap_or_default());
        [bid.price, bid.qty, ask.price, ask.qty]
    }
}

impl Layout for [BTreeMap<i64, i64>; 2] {
    fn new(_: usize) -> [BTreeMap<i64, i64>; 2] {
        Default::default()
    }

    #[inline]
    fn set(&mut self, is_bid: bool, price: i64, qty: i64) {
        let side = &mut self[usize::from(!is_bid)];
        if qty == 0 {
            side.remove(&price);
        } else {
            side.insert(price, qty);
        }
    }

    #[inline]
    fn top(&self) -> [i64; 4] {
        let level = |level: Option<(&i64, &i64)>| level.map_or((0, 0), |(price, qty)| (*price, *qty));
        let (bid, ask) = (level(self[0].last_key_value()), level(self[1].first_key_value()));
        [bid.0, bid.1, ask.0, ask.1]
    }
}

/// Best first, found by halving: what many libraries have.
impl Layout for [Vec<(i64, i64)>; 2] {
    fn new(levels_max: usize) -> [Vec<(i64, i64)>; 2] {
        [(); 2].map(|()| Vec::with_capacity(levels_max + 1))
    }

    #[inline]
    fn set(&mut self, is_bid: bool, price: i64, qty: i64) {
        let key = if is_bid { -price } else { price };
        let side = &mut self[usize::from(!is_bid)];
        match side.binary_search_by_key(&key, |level| level.0) {
            Ok(at) if qty == 0 => drop(side.remove(at)),
            Ok(at) => side[at].1 = qty,
            Err(_) if qty == 0 => {}
            Err(at) => side.insert(at, (key, qty)),
        }
    }

    #[inline]
    fn top(&self) -> [i64; 4] {
        let [bid, ask] = [0, 1].map(|at: usize| self[at].first().copied().unwrap_or_default());
        [-bid.0, bid.1, ask.0, ask.1]
    }
}

/// One cell a tick and a bit for each that is not empty. A judge of speed and no book: its window stands still, so it
/// forgets what does not lie within 32768 ticks.
struct Ladder {
    side: BookSide,
    base: Option<i64>,
    cells: Vec<i64>,
    filled: Vec<u64>,
    /// Cell of the best level, `usize::MAX` if there is none. Better ones have greater numbers.
    best: usize,
}

const TICKS: i64 = 1 << 15;

impl Ladder {
    #[inline]
    fn set(&mut self, price: i64, qty: i64) {
        let key = if self.side == BookSide::Bid { price } else { -price };
        let base = *self.base.get_or_insert(key - TICKS / 2);
        let Some(cell) = usize::try_from(key - base).ok().filter(|cell| *cell < TICKS as usize) else { return };
        self.cells[cell] = qty;
        let (word, bit) = (cell / 64, 1 << (cell % 64));
        if qty != 0 {
            self.filled[word] |= bit;
            if self.best == usize::MAX || cell > self.best {
                self.best = cell;
            }
            return;
        }
        self.filled[word] &= !bit;
        if cell == self.best {
            let last = (0..=word).rev().find(|word| self.filled[*word] != 0);
            self.best = last.map_or(usize::MAX, |word| word * 64 + 63 - self.filled[word].leading_zeros() as usize);
        }
    }

    #[inline]
    fn top(&self) -> (i64, i64) {
        let (Some(base), Some(qty)) = (self.base, self.cells.get(self.best)) else { return (0, 0) };
        let key = base + self.best as i64;
        (if self.side == BookSide::Bid { key } else { -key }, *qty)
    }
}

impl Layout for [Ladder; 2] {
    fn new(_: usize) -> [Ladder; 2] {
        [BookSide::Bid, BookSide::Ask].map(|side| Ladder {
            side,
            base: None,
            cells: vec![0; TICKS as usize],
            filled: vec![0; TICKS as usize / 64],
            best: usize::MAX,
        })
    }

    #[inline]
    fn set(&mut self, is_bid: bool, price: i64, qty: i64) {
        self[usize::from(!is_bid)].set(price, qty);
    }

    #[inline]
    fn top(&self) -> [i64; 4] {
        let (bid, ask) = (self[0].top(), self[1].top());
        [bid.0, bid.1, ask.0, ask.1]
    }
}
