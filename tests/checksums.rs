//! Books rebuilt from recorded frames have the checksums that the venues sent with them. Every step is one of the
//! library: reader, decimals, sides, checksum. Skipped where the recordings are not beside the repository (or in
//! `WIREBOOK_SHARED`).

#![allow(clippy::unwrap_used, reason = "a test may fail in its helpers, too")]

use serde_json::Value;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};
use wirebook::{
    book::{
        checksum::{Checksum, Scales},
        side::{BookSide, Level, Side},
    },
    json::{Cursor, JsonError, JsonErrorKind, Kind},
};

/// The text messages that a connection received, or `None` with a word about it.
fn frames(venue: &str, file: &str) -> Option<Vec<String>> {
    let shared = std::env::var_os("WIREBOOK_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let path = shared.join("recordings").join(venue).join(file);
    let Ok(lines) = fs::read_to_string(&path) else {
        println!("skipped: no {}", path.display());
        return None;
    };
    let frame = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        (line["dir"] == "in" && line["kind"] == "text").then(|| match line["data"].take() {
            Value::String(text) => text,
            other => panic!("{other}"),
        })
    };
    Some(lines.lines().filter_map(frame).collect())
}

struct Book {
    bids: Side,
    asks: Side,
    scales: Scales,
    checksum: Checksum,
}

impl Book {
    fn new(scales: Scales, depth: usize) -> Book {
        Book {
            bids: Side::new(BookSide::Bid, depth),
            asks: Side::new(BookSide::Ask, depth),
            scales,
            checksum: Checksum::new(),
        }
    }

    /// Reads levels at the scales of the book, and at finer ones if they are needed.
    fn levels(&mut self, cursor: &mut Cursor<'_>) -> Result<Vec<Level>, JsonError> {
        let start = *cursor;
        let mut levels = Vec::new();
        loop {
            *cursor = start;
            match cursor.levels(self.scales.price, self.scales.qty, 10_000, &mut levels) {
                Ok(rejected) => {
                    assert_eq!(rejected, 0);
                    return Ok(levels);
                }
                Err(JsonError { kind: JsonErrorKind::Inexact { price_scale, qty_scale }, .. }) => {
                    let price = price_scale.unwrap_or(self.scales.price);
                    let qty = qty_scale.unwrap_or(self.scales.qty);
                    let factor = |finer: u8, scale: u8| 10_i64.pow(u32::from(finer - scale));
                    let (by, by_qty) = (factor(price, self.scales.price), factor(qty, self.scales.qty));
                    for side in [&mut self.bids, &mut self.asks] {
                        side.rescale(by, by_qty).unwrap();
                    }
                    self.scales = Scales { price, qty };
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[test]
fn kraken_version_1() -> Result<(), JsonError> {
    let Some(frames) = frames("kraken", "ws.50.jsonl") else { return Ok(()) };
    let mut books: HashMap<u64, Book> = HashMap::new();
    let mut verified = 0;
    for frame in frames.iter().filter(|frame| frame.starts_with('[') && frame.contains("\"book-1000\"")) {
        let mut cursor = Cursor::new(frame.as_bytes());
        cursor.open_array()?;
        let channel = cursor.u64()?;
        // All numbers of a pair are sent with the same decimals; these are what the checksum is made of.
        let decimals = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u8);
        let book = books.entry(channel).or_insert_with(|| {
            let mut texts = frame.split("[[\"").nth(1).unwrap().split('"');
            let price = decimals(texts.next().unwrap());
            Book::new(Scales { price, qty: decimals(texts.nth(1).unwrap()) }, 1000)
        });
        let (mut levels, mut expected) = (Vec::new(), None);
        loop {
            cursor.comma()?;
            if cursor.peek() != Kind::Object {
                break;
            }
            cursor.object(|c, key| {
                match key {
                    b"as" | b"bs" => {
                        let snapshot = book.levels(c)?;
                        let side = if key == b"as" { &mut book.asks } else { &mut book.bids };
                        side.reset(&snapshot, snapshot.len() == 1000);
                    }
                    b"a" => levels.extend(book.levels(c)?.into_iter().map(|level| (BookSide::Ask, level))),
                    b"b" => levels.extend(book.levels(c)?.into_iter().map(|level| (BookSide::Bid, level))),
                    b"c" => expected = Some(c.u64()?),
                    _ => c.skip()?,
                }
                Ok(())
            })?;
        }
        cursor.skip()?;
        cursor.close_array()?;
        cursor.finish()?;
        for (side, Level { price, qty }) in levels {
            let side = if side == BookSide::Bid { &mut book.bids } else { &mut book.asks };
            side.set(price, qty);
        }
        if let Some(expected) = expected {
            let ours = book.checksum.kraken(&book.bids, &book.asks, book.scales, book.scales);
            assert_eq!(ours.map(u64::from), Some(expected), "{frame}");
            verified += 1;
        }
    }
    assert_eq!(verified, 2126);
    Ok(())
}

fn okx(venue: &str, frames_verified: usize) -> Result<(), JsonError> {
    let Some(frames) = frames(venue, "ws.1.jsonl") else { return Ok(()) };
    let mut books: HashMap<&str, Book> = HashMap::new();
    let mut verified = 0;
    for frame in frames.iter().filter(|frame| frame.contains("\"checksum\"")) {
        let mut cursor = Cursor::new(frame.as_bytes());
        let (mut name, mut snapshot, mut expected) = ("", false, 0);
        cursor.object(|c, key| match key {
            b"arg" => c.object(|c, key| match key {
                b"instId" => c.str().map(|text| name = text),
                _ => c.skip(),
            }),
            b"action" => c.str().map(|action| snapshot = action == "snapshot"),
            b"data" => c.array(|c| {
                let book = books.entry(name).or_insert_with(|| Book::new(Scales { price: 0, qty: 0 }, 1000));
                c.object(|c, key| {
                    match key {
                        b"bids" | b"asks" => {
                            let levels = book.levels(c)?;
                            let side = if key == b"asks" { &mut book.asks } else { &mut book.bids };
                            if snapshot {
                                side.reset(&levels, levels.len() == 400);
                            } else {
                                for Level { price, qty } in levels {
                                    side.set(price, qty);
                                }
                            }
                        }
                        b"checksum" => expected = c.i64()?,
                        _ => c.skip()?,
                    }
                    Ok(())
                })
            }),
            _ => c.skip(),
        })?;
        cursor.finish()?;
        let book = books.get_mut(name).unwrap();
        let ours = book.checksum.okx(&book.bids, &book.asks, book.scales);
        assert_eq!(i64::from(ours), expected, "{frame}");
        verified += 1;
    }
    assert_eq!(verified, frames_verified);
    Ok(())
}

#[test]
fn okx_version_5() -> Result<(), JsonError> {
    okx("okex", 140)
}

#[test]
fn okcoin() -> Result<(), JsonError> {
    okx("okcoin", 3)
}
