//! Reading JSON, updating a side and recording a time allocate nothing once the buffers have grown. In a file of its own, because it brings an allocator.

#[allow(unreachable_pub, dead_code)]
mod counting;

use counting::allocations;
use wirebook::{
    book::side::{BookSide, Side},
    decimal,
    json::{Cursor, DocParser},
    metrics::{Counter, Metrics, Stage},
};

const DEPTH: &[u8] = br#"{"e":"depthUpdate","E":1633998523964,"s":"NKNUSDT","U":499869750,"u":499869752,"b":[["0.35210000","672.00000000"],["0.35190000","0.00000000"]],"a":[["0.35260000","3199.00000000"]]}"#;
const FLOATS: &[u8] =
    br#"[17082,[[60397,2,0.51],[60396.123456789012,1,-1e-8,"\u00e9 \"x\""]],1618678133.365913,{"k":null}]"#;

#[test]
fn reading_allocates_nothing() {
    let mut parser = DocParser::new();
    let (mut bids, mut text, mut string) = (Vec::with_capacity(8), Vec::with_capacity(64), String::with_capacity(64));
    let mut side = Side::new(BookSide::Bid, 4);
    let mut metrics = Metrics::new(1);
    let channel = metrics.register("binance", "book", &Stage::ALL).unwrap();
    let mut sum = 0_i64;
    let mut round = |price: i64| {
        bids.clear();
        let mut cursor = Cursor::new(DEPTH);
        cursor
            .object(|c, key| match key {
                b"b" => c.levels(4, 2, 8, &mut bids).map(drop),
                b"u" => c.u64().map(|id| sum += id as i64),
                _ => c.skip(),
            })
            .unwrap();
        for level in &bids {
            side.set(level.price + price, level.qty);
        }
        sum += side.levels().map(|level| level.qty).sum::<i64>();
        text.clear();
        decimal::push_text(sum, 8, &mut text);
        metrics.record(channel, Stage::Book, price.unsigned_abs().pow(4));
        metrics.add(channel, Counter::Messages, 1);
        for message in [DEPTH, FLOATS] {
            let doc = parser.parse(message).unwrap();
            let floats = doc.root().at(1).and_then(|rows| rows.at(1));
            sum ^= floats.map_or(0, |row| row.element(0).unwrap().decimal(12).unwrap());
        }
        // An error costs no more than a success.
        assert!(parser.parse(b"[1,2").is_err() && parser.parse(b"[\"\xff\"]").is_err());
        Cursor::new(br#""a\"b\u00e9""#).string(&mut string).unwrap();
        assert!(Cursor::new(b"[[1,2}").skip().is_err());
    };
    round(0);
    let before = allocations();
    for price in 0..1000 {
        round(price);
    }
    assert_eq!(allocations() - before, 0);
    // The counter counts.
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(allocations() - before, 1);
}
