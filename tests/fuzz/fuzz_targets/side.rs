//! A side against the whole book of the venue in a BTreeMap. Three bytes are a step, the first two bytes the settings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use wirebook::book::side::{BookSide, Level, Side};

fuzz_target!(|data: &[u8]| {
    let [settings, levels_max, steps @ ..] = data else { return };
    let side = if settings & 1 == 0 { BookSide::Bid } else { BookSide::Ask };
    let sign = if side == BookSide::Bid { 1 } else { -1 };
    let levels_max = usize::from(levels_max % 40);
    let mut ours = Side::new(side, levels_max);
    // By key, the greatest is the best.
    let mut truth: BTreeMap<i64, i64> = BTreeMap::new();
    for step in steps.chunks_exact(3) {
        let price = i64::from(step[1].cast_signed());
        match step[0] % 32 {
            0 => {
                let limit = usize::from(step[1]).max(1);
                let mut levels: Vec<Level> =
                    truth.iter().rev().take(limit).map(|(&key, &qty)| Level { price: key * sign, qty }).collect();
                let middle = usize::from(step[2]) % (levels.len() + 1);
                levels.rotate_left(middle);
                ours.reset(&levels, levels.len() == limit);
            }
            1 => {
                if ours.rescale(10, 10).is_ok() {
                    let scaled = truth.iter().map(|(key, qty)| (key.checked_mul(10), qty.checked_mul(10)));
                    let Some(scaled) = scaled.map(|(key, qty)| Some((key?, qty?))).collect() else { return };
                    truth = scaled;
                } else {
                    return;
                }
            }
            2 => {
                truth.clear();
                ours.clear();
            }
            _ => {
                let qty = i64::from(step[2] % 4);
                ours.set(price, qty);
                if qty == 0 {
                    truth.remove(&(price * sign))
                } else {
                    truth.insert(price * sign, qty)
                };
            }
        }
        let edge = ours.edge().map_or(i64::MIN, |price| price * sign);
        let known: Vec<Level> =
            truth.range(edge..).rev().map(|(&key, &qty)| Level { price: key * sign, qty }).collect();
        assert_eq!(ours.levels().collect::<Vec<_>>(), known);
        assert_eq!((ours.best(), ours.len(), ours.is_empty()), (known.first().copied(), known.len(), known.is_empty()));
        assert!(ours.len_all() <= ours.capacity());
        assert!(ours.levels_all().all(|level| truth.get(&(level.price * sign)) == Some(&level.qty)));
        assert!(ours.edge().is_some() || ours.len() == truth.len());
    }
});
