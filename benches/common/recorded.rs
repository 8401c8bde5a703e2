//! Frames of real venues, where the recordings lie beside the checkout (or in `WIREBOOK_SHARED`).

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;
use wirebook::decimal::parse_exact;
use wirebook::venue::Channel;

use super::frames::{Frames, Market, Stream};

/// A book of one market in one file.
#[derive(Clone, Copy)]
pub(crate) struct Recorded {
    pub(crate) file: &'static str,
    pub(crate) market: Market,
    /// What stands in all messages of this book and in no others.
    marks: [&'static str; 2],
    /// From a message to the object with the sides.
    inner: fn(&Value) -> &Value,
}

/// Coinbase Exchange SKL-USD of April 2021, one level a frame: 1188 frames, 2155 levels.
pub(crate) const COINBASE: Recorded = Recorded {
    file: "coinbasepro/ws.28.jsonl.gz",
    market: Market::trimmed("coinbasepro", "SKL", "USD", 4, 1),
    marks: [r#""product_id":"SKL-USD","#, r#"","#],
    inner: |message| message,
};

/// Okx BTC-USDT of May 2022, some 25 levels a frame: 47 frames, 800 levels.
pub(crate) const OKX: Recorded = Recorded {
    file: "okex/ws.1.jsonl",
    market: Market::trimmed("okex", "BTC", "USDT", 1, 8),
    marks: [r#""channel":"books","instId":"BTC-USDT""#, r#""action":"#],
    inner: |message| &message["data"][0],
};

#[derive(Deserialize)]
struct Line {
    dir: String,
    data: String,
}

impl Recorded {
    /// True if the file is here.
    pub(crate) fn is_here(&self) -> bool {
        self.path().is_file()
    }

    fn path(&self) -> PathBuf {
        let shared = std::env::var_os("WIREBOOK_SHARED").map(PathBuf::from);
        let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
        shared.join("recordings").join(self.file)
    }

    /// The book's snapshot and at most `count` of the frames after it.
    pub(crate) fn stream(&self, count: usize) -> Stream {
        let bytes = std::fs::read(self.path()).expect("the recording can be read");
        let mut text = String::new();
        if self.file.ends_with(".gz") {
            GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("the recording is whole");
        } else {
            text = String::from_utf8(bytes).expect("text");
        }
        let lines = text.lines().map(|line| serde_json::from_str::<Line>(line).expect("a line of a recording"));
        let mut messages = lines
            .filter(|line| line.dir == "in" && self.marks.iter().all(|mark| line.data.contains(mark)))
            .map(|line| line.data)
            .skip_while(|data| !data.contains(r#""snapshot""#));
        let snapshot = messages.next().expect("a snapshot");
        let mut frames = Frames::default();
        messages.filter(|data| data.contains("update\"")).take(count).for_each(|data| frames.push(data.as_bytes()));
        let message: Value = serde_json::from_str(&snapshot).expect("JSON");
        let side = |key| -> Vec<(i64, i64)> {
            let number = |cell: &Value, scale| parse_exact(cell.as_str().unwrap().as_bytes(), scale).unwrap();
            let row =
                |row: &Value| (number(&row[0], self.market.price_scale), number(&row[1], self.market.amount_scale));
            (self.inner)(&message)[key].as_array().unwrap().iter().map(row).collect()
        };
        let (bids, asks) = (side("bids"), side("asks"));
        Stream { market: self.market, channel: Channel::Book, frames, bids, asks, last: 0, snapshot: Some(snapshot) }
    }
}
