//! What proving a book costs: the checksum of the best levels after each change, as venues compute it.

use std::rc::Rc;

use wirebook::book::checksum::{Checksum, Scales};
use wirebook::book::{BookSide, Side};

use crate::common::walk::{Change, Walk};
use crate::common::{Case, Contender, Contenders};

/// The cases: the changes of one message, then the checksum of the whole.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("okx-unchanged", 0, Kind::Okx),
        case("okx-2-changes", 2, Kind::Okx),
        case("okx-25-changes", 25, Kind::Okx),
        case("kraken-1-change", 1, Kind::Kraken),
    ]
}

#[derive(Clone, Copy)]
enum Kind {
    Okx,
    Kraken,
}

fn case(name: &str, changes: usize, kind: Kind) -> Case {
    Case::new(format!("checksums/{name}"), 500, move |units| {
        let mut walk = Walk::new(22, 302_435, 1, 400, 300_000_000, 1_000_000);
        let start = walk.bids().map(|(price, qty)| Change { is_bid: true, price, qty });
        let start = start.chain(walk.asks().map(|(price, qty)| Change { is_bid: false, price, qty })).collect();
        let messages: Vec<Vec<Change>> = (0..units).map(|_| walk.changes(changes)).collect();
        let script = Rc::new((start, messages));
        let [a, b] = [(); 2].map(|()| script.clone());
        Contenders::new(0.0)
            .with("wirebook", move || Proven { script: a, kind: Some(kind), state: None })
            .with("no-checksum", move || Proven { script: b, kind: None, state: None })
    })
}

struct Proven {
    script: Rc<(Vec<Change>, Vec<Vec<Change>>)>,
    kind: Option<Kind>,
    state: Option<([Side; 2], Checksum)>,
}

impl Contender for Proven {
    type Outcome = u32;

    fn restart(&mut self) {
        let mut sides = [BookSide::Bid, BookSide::Ask].map(|side| Side::new(side, 1_000));
        for change in &self.script.0 {
            sides[usize::from(!change.is_bid)].set(change.price, change.qty);
        }
        self.state = Some((sides, Checksum::new()));
    }

    #[inline]
    fn step(&mut self, unit: usize) -> u32 {
        let (sides, checksum) = self.state.as_mut().expect("restarted");
        for change in &self.script.1[unit] {
            sides[usize::from(!change.is_bid)].set(change.price, change.qty);
        }
        let [bids, asks] = sides;
        let scales = Scales { price: 1, qty: 8 };
        match self.kind {
            Some(Kind::Okx) => checksum.okx(bids.levels(), asks.levels(), scales).cast_unsigned(),
            Some(Kind::Kraken) => checksum.kraken(bids.levels(), asks.levels(), scales, scales).expect("a checksum"),
            None => 0,
        }
    }

    /// One contender has none; whether checksums are right is the business of tests.
    fn numbers(&self, _: u32) -> [i64; 4] {
        [0; 4]
    }
}
