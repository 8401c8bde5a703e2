//! What proving a book costs: the checksum of the best levels after each change, as venues compute it.

use std::rc::Rc;

use wirebook::book::checksum::{Checksum, Scales};
use wirebook::book::{BookSide, Side};
use wirebook::decimal::parse_exact;

use crate::common::recorded::OKX;
use crate::common::walk::{Change, Walk};
use crate::common::{Case, Contender, Contenders};

/// The cases: the changes of one message, then the checksum of the whole.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        walked("okx-unchanged", 0, Kind::Okx),
        walked("okx-2-changes", 2, Kind::Okx),
        walked("okx-25-changes", 25, Kind::Okx),
        walked("kraken-1-change", 1, Kind::Kraken),
    ];
    if OKX.is_here() {
        cases.push(case("okx-recorded", 47, Kind::Okx, recorded));
    }
    cases
}

#[derive(Clone, Copy)]
enum Kind {
    Okx,
    Kraken,
}

fn walked(name: &str, changes: usize, kind: Kind) -> Case {
    case(name, 500, kind, move |units| {
        let mut walk = Walk::new(22, 302_435, 1, 400, 300_000_000, 1_000_000);
        let start = walk.bids().map(|(price, qty)| Change { is_bid: true, price, qty });
        let start = start.chain(walk.asks().map(|(price, qty)| Change { is_bid: false, price, qty })).collect();
        Script { start, messages: (0..units).map(|_| walk.changes(changes)).collect() }
    })
}

fn recorded(units: usize) -> Script {
    let stream = OKX.stream(units);
    let change = |is_bid| move |&(price, qty): &(i64, i64)| Change { is_bid, price, qty };
    let start = stream.bids.iter().map(change(true)).chain(stream.asks.iter().map(change(false))).collect();
    let message = |frame: &[u8]| {
        let message: serde_json::Value = serde_json::from_slice(frame).unwrap();
        let number = |cell: &serde_json::Value, scale| parse_exact(cell.as_str().unwrap().as_bytes(), scale).unwrap();
        let mut changes = Vec::new();
        for (side, is_bid) in [("bids", true), ("asks", false)] {
            changes.extend(message["data"][0][side].as_array().unwrap().iter().map(|row| Change {
                is_bid,
                price: number(&row[0], stream.market.price_scale),
                qty: number(&row[1], stream.market.amount_scale),
            }));
        }
        changes
    };
    Script { start, messages: stream.frames.iter().map(message).collect() }
}

fn case(name: &str, units: usize, kind: Kind, script: impl Fn(usize) -> Script + 'static) -> Case {
    Case::new(format!("checksums/{name}"), units, move |units| {
        let script = Rc::new(script(units));
        let [a, b] = [(); 2].map(|()| script.clone());
        Contenders::new(0.0)
            .with("wirebook", move || Proven { script: a, kind: Some(kind), state: None })
            .with("no-checksum", move || Proven { script: b, kind: None, state: None })
    })
}

/// The levels at the start, and the changes of each message.
struct Script {
    start: Vec<Change>,
    messages: Vec<Vec<Change>>,
}

struct Proven {
    script: Rc<Script>,
    kind: Option<Kind>,
    state: Option<([Side; 2], Checksum)>,
}

impl Contender for Proven {
    type Outcome = u32;

    fn restart(&mut self) {
        let mut sides = [BookSide::Bid, BookSide::Ask].map(|side| Side::new(side, 1_000));
        for change in &self.script.start {
            sides[usize::from(!change.is_bid)].set(change.price, change.qty);
        }
        self.state = Some((sides, Checksum::new()));
    }

    #[inline]
    fn step(&mut self, unit: usize) -> u32 {
        let (sides, checksum) = self.state.as_mut().expect("restarted");
        for change in &self.script.messages[unit] {
            sides[usize::from(!change.is_bid)].set(change.price, change.qty);
        }
        let [bids, asks] = sides;
        let scales = Scales { price: 1, qty: 8 };
        match self.kind {
            Some(Kind::Okx) => checksum.okx(bids, asks, scales).cast_unsigned(),
            Some(Kind::Kraken) => checksum.kraken(bids, asks, scales, scales).expect("a checksum"),
            None => 0,
        }
    }

    /// One contender has none; whether checksums are right is the business of tests.
    fn numbers(&self, _: u32) -> [i64; 4] {
        [0; 4]
    }
}
