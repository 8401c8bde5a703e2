//! Texts of prices and amounts to numbers.

use std::rc::Rc;

use rust_decimal::Decimal;
use wirebook::decimal::parse_exact;

use crate::common::walk::Random;
use crate::common::{Case, Contender, Contenders};

/// The cases: as long as venues write them.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        // `0.35130000`: decimals that say nothing, as Binance writes them.
        case("padded", |random| format!("0.{:04}0000", random.below(10_000))),
        // `30243.5`, `0.06523858`: as few digits as there are.
        case("short", |random| match random.below(2) {
            0 => format!("{}.{}", 30_000 + random.below(999), 1 + random.below(9)),
            _ => format!("0.{:08}", random.below(100_000_000)),
        }),
        // `137080311.50000000`: the longest in books.
        case("long", |random| format!("{}.{:02}000000", 100_000_000 + random.below(99_999_999), random.below(100))),
    ]
}

fn case(name: &str, text: fn(&mut Random) -> String) -> Case {
    Case::new(format!("decimals/{name}"), 4_096, move |units| {
        let mut random = Random::new(5);
        let texts: Rc<Vec<String>> = Rc::new((0..units).map(|_| text(&mut random)).collect());
        let bytes = texts.iter().map(String::len).sum::<usize>() as f64 / units as f64;
        let [a, b, c] = [(); 3].map(|()| texts.clone());
        Contenders::new(bytes)
            .with("wirebook", || Ours(a))
            .with("rust-decimal", || RustDecimal(b))
            .with("f64", || Float(c))
    })
}

const SCALE: u8 = 8;

struct Ours(Rc<Vec<String>>);

impl Contender for Ours {
    type Outcome = i64;

    #[inline]
    fn step(&mut self, unit: usize) -> i64 {
        parse_exact(self.0[unit].as_bytes(), SCALE).unwrap()
    }

    fn numbers(&self, outcome: i64) -> [i64; 4] {
        [outcome, 0, 0, 0]
    }
}

struct RustDecimal(Rc<Vec<String>>);

impl Contender for RustDecimal {
    type Outcome = Decimal;

    #[inline]
    fn step(&mut self, unit: usize) -> Decimal {
        Decimal::from_str_exact(&self.0[unit]).unwrap()
    }

    fn numbers(&self, mut outcome: Decimal) -> [i64; 4] {
        outcome.rescale(SCALE.into());
        [outcome.mantissa() as i64, 0, 0, 0]
    }
}

struct Float(Rc<Vec<String>>);

impl Contender for Float {
    type Outcome = f64;

    #[inline]
    fn step(&mut self, unit: usize) -> f64 {
        self.0[unit].parse().unwrap()
    }

    fn numbers(&self, outcome: f64) -> [i64; 4] {
        // The shortest text that means this float is the one it was read from: all are short enough.
        [parse_exact(outcome.to_string().as_bytes(), SCALE).unwrap(), 0, 0, 0]
    }
}
