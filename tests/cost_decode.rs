//! What decoding costs. Not run with the others, because it asserts nothing about time:
//!
//!     cargo test --release --test cost_decode -- --ignored --nocapture
//!
//! For instructions, which do not depend on what else the machine does, run it under callgrind with `COST_ONLY` set to
//! one of the printed names and `COST_ROUNDS` to two numbers in turn; the difference is the cost of the rounds between.

#![allow(clippy::unwrap_used, reason = "a test may fail in its helpers, too")]

use std::{env, hint::black_box, time::Instant};
use wirebook::{
    book::{
        checksum::{Checksum, Scales},
        side::{BookSide, Level, Side},
    },
    decimal,
    json::{Cursor, DocParser},
};

/// Binance USD-M futures `<symbol>@depth`, spot `<symbol>@trade` and `<symbol>@bookTicker`, okx `books`, kraken v1
/// `book-1000`, bitfinex `book`; all of 2021 and 2022, as they were sent.
const FUTURES: &[u8] = br#"{"e":"depthUpdate","E":1633998523964,"T":1633998523957,"s":"SUSHIUSDT","U":600859604843,"u":600859605926,"pu":600859604824,"b":[["10.3010","0"],["10.3170","3126"],["10.3250","2205"],["10.3280","1420"]],"a":[["10.3350","1018"],["10.3430","0"],["10.3490","2477"],["10.3680","87"]]}"#;
const TRADE: &[u8] = br#"{"e":"trade","E":1633998523963,"s":"NKNUSDT","t":27412934,"p":"0.35280000","q":"58.00000000","b":196312314,"a":196312222,"T":1633998523963,"m":false,"M":true}"#;
const TICKER: &[u8] =
    br#"{"u":499869768,"s":"NKNUSDT","b":"0.35210000","B":"672.00000000","a":"0.35260000","A":"3199.00000000"}"#;
const OKX: &[u8] = br#"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["30243.5","1.2112","0","4"],["30243.6","0.059","0","1"],["30246.6","0.16","0","1"],["30247.5","0","0","0"],["30249.3","0.06523858","0","1"],["30249.7","0","0","0"],["30254.8","0.635","0","1"],["30259.5","0","0","0"],["30260.4","2.52627349","0","3"],["30261","0","0","0"]],"bids":[["30237.2","0","0","0"],["30236.1","0.05452","0","1"],["30235.9","0.1016","0","2"],["30231.6","0.07189062","0","1"],["30228.9","0","0","0"],["30227","2.244","0","1"]],"ts":"1652459225453","checksum":-652563973}]}"#;
const KRAKEN: &[u8] =
    br#"[992,{"b":[["354.15000000","5.00000000","1618678133.365913"]],"c":"2583817756"},"book-1000","XMR/USD"]"#;
const BITFINEX: &[u8] = br#"[17082,[60397,2,-0.51],1633998523964]"#;

/// Runs one case and prints the shortest time of a round, per thing done in it.
fn cost(name: &str, things: usize, mut round: impl FnMut()) {
    let only = env::var("COST_ONLY").ok();
    if only.as_deref().is_some_and(|only| only != name) {
        return;
    }
    let rounds: usize = env::var("COST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20_000);
    let mut best = f64::MAX;
    for _ in 0..if only.is_some() { 1 } else { 15 } {
        let start = Instant::now();
        for _ in 0..rounds {
            round();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / rounds.max(1) as f64);
    }
    println!("{name:24} {:8.1} ns", best / things as f64);
}

#[test]
#[ignore = "measures, asserts nothing about time"]
fn costs() {
    let texts: Vec<&[u8]> = [FUTURES, OKX, KRAKEN, TRADE]
        .iter()
        .flat_map(|frame| frame.split(|&byte| byte == b'"'))
        .filter(|text| text.len() > 2 && decimal::parse_exact(text, 8).is_ok())
        .collect();
    cost("parse_exact", texts.len(), || {
        for text in &texts {
            black_box(decimal::parse_exact(black_box(text), 8)).unwrap();
        }
    });

    let (mut bids, mut asks) = (Vec::<Level>::with_capacity(64), Vec::<Level>::with_capacity(64));
    cost("futures depth, 8 levels", 1, || {
        bids.clear();
        asks.clear();
        let mut last = 0;
        Cursor::new(black_box(FUTURES))
            .object(|c, key| match key {
                b"u" => c.u64().map(|id| last = id),
                b"b" => c.levels(4, 0, 64, &mut bids).map(drop),
                b"a" => c.levels(4, 0, 64, &mut asks).map(drop),
                _ => c.skip(),
            })
            .unwrap();
        black_box((last, &bids, &asks));
    });
    cost("okx books, 16 levels", 1, || {
        bids.clear();
        asks.clear();
        Cursor::new(black_box(OKX))
            .object(|c, key| match key {
                b"data" => c.array(|c| {
                    c.object(|c, key| match key {
                        b"bids" => c.levels(1, 8, 64, &mut bids).map(drop),
                        b"asks" => c.levels(1, 8, 64, &mut asks).map(drop),
                        _ => c.skip(),
                    })
                }),
                _ => c.skip(),
            })
            .unwrap();
        black_box((&bids, &asks));
    });
    cost("kraken book, 1 level", 1, || {
        bids.clear();
        let mut c = Cursor::new(black_box(KRAKEN));
        c.open_array().unwrap();
        black_box(c.u64()).unwrap();
        c.comma().unwrap();
        c.object(|c, key| match key {
            b"b" => c.levels(8, 8, 64, &mut bids).map(drop),
            _ => c.skip(),
        })
        .unwrap();
        c.close_array().unwrap();
        black_box(&bids);
    });
    cost("bitfinex book, 1 level", 1, || {
        let mut c = Cursor::new(black_box(BITFINEX));
        c.open_array().unwrap();
        let mut row = [0; 3];
        let channel = c.u64().unwrap();
        c.comma().unwrap();
        c.open_array().unwrap();
        for (index, cell) in row.iter_mut().enumerate() {
            if index > 0 {
                c.comma().unwrap();
            }
            *cell = c.decimal(if index == 1 { 0 } else { 8 }).unwrap();
        }
        c.close_array().unwrap();
        c.close_array().unwrap();
        black_box((channel, row));
    });
    cost("trade", 1, || {
        let (mut id, mut price, mut qty, mut time, mut maker) = (0, 0, 0, 0, false);
        Cursor::new(black_box(TRADE))
            .object(|c, key| match key {
                b"t" => c.u64().map(|value| id = value),
                b"p" => c.decimal(4).map(|value| price = value),
                b"q" => c.decimal(2).map(|value| qty = value),
                b"T" => c.u64().map(|value| time = value),
                b"m" => c.bool().map(|value| maker = value),
                _ => c.skip(),
            })
            .unwrap();
        black_box((id, price, qty, time, maker));
    });
    cost("best bid and ask", 1, || {
        let mut values = [0; 4];
        Cursor::new(black_box(TICKER))
            .object(|c, key| match key {
                b"b" => c.decimal(4).map(|value| values[0] = value),
                b"B" => c.decimal(2).map(|value| values[1] = value),
                b"a" => c.decimal(4).map(|value| values[2] = value),
                b"A" => c.decimal(2).map(|value| values[3] = value),
                _ => c.skip(),
            })
            .unwrap();
        black_box(values);
    });
    let mut parser = DocParser::with_capacity(4096);
    for (name, text) in [("doc: futures depth", FUTURES), ("doc: okx books", OKX), ("doc: bitfinex", BITFINEX)] {
        cost(name, 1, || {
            black_box(parser.parse(black_box(text)).unwrap().root().len());
        });
    }

    // A random walk of the touch over a book of 500 levels, 9 of 10 changes within the best 16.
    let mut side = Side::new(BookSide::Bid, 1000);
    let levels: Vec<Level> = (0..500).map(|n| Level { price: 100_000 - n, qty: 5 }).collect();
    side.reset(&levels, false);
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let changes: Vec<Level> = (0..4096)
        .map(|_| {
            let depth = if random(10) == 0 { random(400) } else { random(16) };
            Level { price: 100_000 - depth as i64, qty: random(3) as i64 }
        })
        .collect();
    cost("side.set, 500 levels", changes.len(), || {
        for level in &changes {
            black_box(side.set(level.price, level.qty));
        }
    });
    let top: Vec<Level> = (1..27).map(|n| Level { price: 302_336 - n, qty: 100_000_000 + n * 1_234_567 }).collect();
    let [mut bids, mut asks] = [BookSide::Bid, BookSide::Ask].map(|side| Side::new(side, 100));
    bids.reset(&top, false);
    asks.reset(&top, false);
    let mut checksum = Checksum::new();
    let scales = Scales { price: 1, qty: 8 };
    cost("checksum okx, unchanged", 1, || {
        black_box(checksum.okx(black_box(&bids), &asks, scales));
    });
    // The amount of one level changes, then one level goes and another comes, at every rank in turn.
    let mut turn = 0;
    cost("checksum okx, one amount", 1, || {
        turn = (turn + 1) % 25;
        let Level { price, qty } = top[turn];
        bids.set(price, qty + turn as i64);
        black_box(checksum.okx(black_box(&bids), &asks, scales));
    });
    cost("checksum okx, one gone", 1, || {
        bids.set(top[turn].price, top[turn].qty);
        turn = (turn + 1) % 26;
        bids.set(top[turn].price, 0);
        black_box(checksum.okx(black_box(&bids), &asks, scales));
    });
    cost("checksum kraken", 1, || {
        black_box(checksum.kraken(black_box(&bids), &asks, scales, scales));
    });
}
