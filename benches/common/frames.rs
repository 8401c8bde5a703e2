//! Frames as venues send them: the shape, length and number of levels of recorded ones, with content from a seed.
//!
//! The recordings that the shapes were taken from cannot be part of the repository, so the frames are made anew: the
//! same members in the same order, numbers of the same length, and as many levels in the mean. What the numbers say is
//! a random walk. They differ from frame to frame as real ones do, so that no branch predictor learns them by heart.

use std::fmt::Write;

use wirebook::venue::Channel;

use super::walk::{Change, Walk};

/// Frames of one subscription, and the book they start from.
pub(crate) struct Stream {
    pub(crate) market: Market,
    pub(crate) channel: Channel,
    pub(crate) frames: Frames,
    /// The book before the first frame, best first, as mantissas.
    pub(crate) bids: Vec<(i64, i64)>,
    pub(crate) asks: Vec<(i64, i64)>,
    /// Sequence number of that book, where the venue has them.
    pub(crate) last: u64,
    /// The message with the whole book that comes before the frames, on venues that send it in the stream.
    pub(crate) snapshot: Option<String>,
}

/// A market as its venue describes it.
#[derive(Clone, Copy)]
pub(crate) struct Market {
    /// The ccxt id.
    pub(crate) venue: &'static str,
    pub(crate) base: &'static str,
    pub(crate) quote: &'static str,
    /// Decimals of a price and of an amount: what mantissas are counted in.
    pub(crate) price_scale: u8,
    pub(crate) amount_scale: u8,
    /// Decimals that the venue writes; fewer than the scale if it trims zeros (`None`).
    price_written: Option<u8>,
    amount_written: Option<u8>,
}

/// Frames one after the other in one piece of memory.
#[derive(Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    pub(crate) fn push(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn bytes_mean(&self) -> f64 {
        self.bytes.len() as f64 / self.len().max(1) as f64
    }

    #[inline]
    pub(crate) fn at(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.at(index))
    }
}

const NKN: Market = Market {
    venue: "binance",
    base: "NKN",
    quote: "USDT",
    price_scale: 4,
    amount_scale: 0,
    price_written: Some(8),
    amount_written: Some(8),
};
const SUSHI: Market = Market { base: "SUSHI", price_scale: 3, price_written: Some(4), amount_written: Some(0), ..NKN };
const LTC: Market = Market::trimmed("binance", "LTC", "BTC", 4, 2);
const OKX_BTC: Market = Market::trimmed("okex", "BTC", "USDT", 1, 8);
const MATIC: Market = Market::trimmed("kraken", "MATIC", "USD", 4, 8);
const YFI: Market = Market {
    venue: "coinbasepro",
    base: "YFI",
    quote: "BTC",
    price_scale: 5,
    amount_scale: 6,
    price_written: Some(5),
    amount_written: Some(6),
};

impl Market {
    /// One whose venue writes no needless zeros.
    pub(crate) const fn trimmed(
        venue: &'static str,
        base: &'static str,
        quote: &'static str,
        price_scale: u8,
        amount_scale: u8,
    ) -> Market {
        Market { venue, base, quote, price_scale, amount_scale, price_written: None, amount_written: None }
    }

    fn price(&self, mantissa: i64) -> String {
        written(mantissa, self.price_scale, self.price_written)
    }

    fn amount(&self, mantissa: i64) -> String {
        written(mantissa, self.amount_scale, self.amount_written)
    }

    pub(crate) fn symbol(&self) -> String {
        format!("{}/{}", self.base, self.quote)
    }

    /// `["price","amount"],..`
    fn rows(&self, levels: impl Iterator<Item = (i64, i64)>) -> String {
        join(levels.map(|(price, qty)| format!(r#"["{}","{}"]"#, self.price(price), self.amount(qty))))
    }
}

/// A mantissa as text: with that many decimals, or with as few as it needs.
fn written(mantissa: i64, scale: u8, decimals: Option<u8>) -> String {
    let power = 10_i64.pow(scale.into());
    let (whole, part) = (mantissa / power, mantissa % power);
    let digits = if scale == 0 { String::new() } else { format!("{part:0width$}", width = usize::from(scale)) };
    let digits = match decimals {
        Some(decimals) => format!("{digits:0<width$}", width = usize::from(decimals)),
        None => digits.trim_end_matches('0').to_owned(),
    };
    if digits.is_empty() { whole.to_string() } else { format!("{whole}.{digits}") }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

fn side(changes: &[Change], is_bid: bool) -> impl Iterator<Item = (i64, i64)> + '_ {
    changes.iter().filter(move |change| change.is_bid == is_bid).map(|change| (change.price, change.qty))
}

/// `frame(walk, n)` makes the frame number `n`.
fn stream(
    market: Market,
    channel: Channel,
    mut walk: Walk,
    count: usize,
    snapshot: Option<String>,
    mut frame: impl FnMut(&mut Walk, u64) -> String,
) -> Stream {
    let (bids, asks) = (walk.bids().collect(), walk.asks().collect());
    let mut frames = Frames::default();
    for n in 0..count as u64 {
        frames.push(frame(&mut walk, n).as_bytes());
    }
    Stream { market, channel, frames, bids, asks, last: LAST, snapshot }
}

/// Sequence number of the books that streams start from.
const LAST: u64 = 600_859_600_000;

fn small_walk(levels: usize) -> Walk {
    Walk::new(11, 3_520, 1, levels, 20_000, 1)
}

/// Binance spot `<symbol>@depth@100ms`, as recorded in October 2021: 152 bytes in the mean and 40 of the wrapper,
/// two levels.
pub(crate) fn binance_depth(count: usize) -> Stream {
    let mut last = LAST;
    stream(NKN, Channel::Book, small_walk(400), count, None, move |walk, n| {
        // One level as often as more than two: 2.0 in the mean.
        let levels = [1, 1, 1, 2, 2, 2, 3, 4][walk.random.below(8) as usize];
        let changes = walk.changes(levels);
        let first = last + 1;
        last = first + walk.random.below(4) as u64;
        let (b, a) = (NKN.rows(side(&changes, true)), NKN.rows(side(&changes, false)));
        format!(
            r#"{{"stream":"nknusdt@depth@100ms","data":{{"e":"depthUpdate","E":{},"s":"NKNUSDT","U":{first},"u":{last},"b":[{b}],"a":[{a}]}}}}"#,
            1_633_998_512_068 + n * 100
        )
    })
}

/// Binance USD-M futures `<symbol>@depth@100ms`, as recorded in July 2021: 286 bytes in the mean and 40 of the wrapper,
/// eight levels. The update numbers are continuous as those of spot are, because the spot adapter reads them here.
pub(crate) fn binance_futures_depth(count: usize) -> Stream {
    let mut last = LAST;
    let walk = Walk::new(12, 10_335, 1, 500, 100_000, 1);
    stream(SUSHI, Channel::Book, walk, count, None, move |walk, n| {
        let levels = [3, 5, 6, 7, 8, 10, 12, 16][walk.random.below(8) as usize];
        let changes = walk.changes(levels);
        let (first, before) = (last + 1, last);
        last = first + 400 + walk.random.below(800) as u64;
        let (b, a) = (SUSHI.rows(side(&changes, true)), SUSHI.rows(side(&changes, false)));
        let time = 1_633_998_523_964 + n * 100;
        format!(
            r#"{{"stream":"sushiusdt@depth@100ms","data":{{"e":"depthUpdate","E":{time},"T":{},"s":"SUSHIUSDT","U":{first},"u":{last},"pu":{before},"b":[{b}],"a":[{a}]}}}}"#,
            time - 7
        )
    })
}

/// Binance spot `<symbol>@trade`, as of 2021: 160 bytes with the wrapper.
pub(crate) fn binance_trade(count: usize) -> Stream {
    stream(NKN, Channel::Trades, small_walk(20), count, None, |walk, n| {
        let (price, qty, maker) = (3_520 + walk.random.below(200), walk.qty(), walk.random.below(2) == 0);
        let time = 1_633_998_523_963 + n * 37;
        format!(
            r#"{{"stream":"nknusdt@trade","data":{{"e":"trade","E":{time},"s":"NKNUSDT","t":{},"p":"{}","q":"{}","b":{},"a":{},"T":{time},"m":{maker},"M":true}}}}"#,
            27_412_934 + n,
            NKN.price(price),
            NKN.amount(qty),
            196_312_314 + n * 3,
            196_312_222 + n * 5,
        )
    })
}

/// Binance spot `<symbol>@bookTicker`, as recorded in October 2021: 101 bytes and 38 of the wrapper.
pub(crate) fn binance_book_ticker(count: usize) -> Stream {
    book_ticker(NKN, count)
}

/// The same of a market with short numbers: a frame of about 100 bytes, wrapper and all.
pub(crate) fn binance_short_ticker(count: usize) -> Stream {
    book_ticker(LTC, count)
}

fn book_ticker(market: Market, count: usize) -> Stream {
    let symbol = format!("{}{}", market.base, market.quote);
    let topic = symbol.to_lowercase();
    stream(market, Channel::BidAsk, small_walk(20), count, None, move |walk, n| {
        let bid = 3_520 + walk.random.below(200);
        let ask = bid + 1 + walk.random.below(8);
        let (bid_qty, ask_qty) = (walk.qty(), walk.qty());
        format!(
            r#"{{"stream":"{topic}@bookTicker","data":{{"u":{},"s":"{symbol}","b":"{}","B":"{}","a":"{}","A":"{}"}}}}"#,
            499_869_768 + n,
            market.price(bid),
            market.amount(bid_qty),
            market.price(ask),
            market.amount(ask_qty),
        )
    })
}

/// Binance partial depth with 900 levels a side, so that it is as long as a snapshot of kraken with 1000: 55 kB.
/// The venue sends twenty levels at most in this channel; what matters here is the length.
pub(crate) fn binance_snapshot(count: usize) -> Stream {
    stream(NKN, Channel::TopBook(1_000), small_walk(900), count, None, |walk, n| {
        walk.changes(20);
        let (bids, asks) = (NKN.rows(walk.bids()), NKN.rows(walk.asks()));
        format!(
            r#"{{"stream":"nknusdt@depth1000@100ms","data":{{"lastUpdateId":{},"bids":[{bids}],"asks":[{asks}]}}}}"#,
            499_869_768 + n
        )
    })
}

/// Okx `books`, as recorded in May 2022: 787 bytes in the mean, 25 levels, a checksum in each; sequence numbers did
/// not exist yet.
pub(crate) fn okx_books(count: usize) -> Stream {
    okx(count, okx_checksum)
}

/// The same without a checksum, which the venue says by a zero since 2026.
pub(crate) fn okx_books_unproven(count: usize) -> Stream {
    okx(count, |_| 0)
}

fn okx(count: usize, checksum: fn(&Walk) -> i32) -> Stream {
    let rows = |levels: &mut dyn Iterator<Item = (i64, i64)>, orders: &mut dyn FnMut(i64) -> i64| {
        join(levels.map(|(price, qty)| {
            format!(r#"["{}","{}","0","{}"]"#, OKX_BTC.price(price), OKX_BTC.amount(qty), orders(qty))
        }))
    };
    let whole = |action, bids: String, asks: String, ts: u64, checksum: i32| {
        format!(
            r#"{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"{action}","data":[{{"asks":[{asks}],"bids":[{bids}],"ts":"{ts}","checksum":{checksum}}}]}}"#
        )
    };
    let walk = Walk::new(13, 302_435, 1, 300, 300_000_000, 1_000_000);
    let snapshot = whole(
        "snapshot",
        rows(&mut walk.bids(), &mut |_| 1),
        rows(&mut walk.asks(), &mut |_| 1),
        1_652_459_225_000,
        checksum(&walk),
    );
    stream(OKX_BTC, Channel::Book, walk, count, Some(snapshot), move |walk, n| {
        let levels = [6, 14, 18, 22, 26, 30, 35, 45][walk.random.below(8) as usize];
        let changes = walk.changes(levels);
        let mut orders = |qty| if qty == 0 { 0 } else { 1 + qty % 4 };
        let (bids, asks) =
            (rows(&mut side(&changes, true), &mut orders), rows(&mut side(&changes, false), &mut orders));
        whole("update", bids, asks, 1_652_459_225_453 + n * 100, checksum(walk))
    })
}

fn okx_checksum(walk: &Walk) -> i32 {
    let text = |(price, qty)| format!("{}:{}", OKX_BTC.price(price), OKX_BTC.amount(qty));
    let rows = walk.bids().zip(walk.asks()).take(25).flat_map(|(bid, ask)| [text(bid), text(ask)]);
    crc32fast::hash(rows.collect::<Vec<_>>().join(":").as_bytes()).cast_signed()
}

/// Kraken's `book` in version 2 of its protocol, with frames as documented in 2023: 186 bytes, one level, numbers without
/// quotes, a checksum in each.
pub(crate) fn kraken_book(count: usize) -> Stream {
    let rows = |levels: &mut dyn Iterator<Item = (i64, i64)>| {
        join(levels.map(|(price, qty)| format!(r#"{{"price":{},"qty":{}}}"#, MATIC.price(price), MATIC.amount(qty))))
    };
    let whole = |kind, bids: String, asks: String, checksum: u32, n: u64| {
        format!(
            r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"MATIC/USD","bids":[{bids}],"asks":[{asks}],"checksum":{checksum},"timestamp":"2023-10-06T17:{:02}:{:02}.{:06}Z"}}]}}"#,
            n / 600_000 % 60,
            n / 10_000 % 60,
            n * 100 % 1_000_000
        )
    };
    let walk = Walk::new(14, 5_667, 1, 400, 500_000_000_000, 100_000);
    let snapshot = whole("snapshot", rows(&mut walk.bids()), rows(&mut walk.asks()), kraken_checksum(&walk), 0);
    stream(MATIC, Channel::Book, walk, count, Some(snapshot), move |walk, n| {
        let levels = [1, 1, 1, 1, 1, 1, 1, 2][walk.random.below(8) as usize];
        let changes = walk.changes(levels);
        let (bids, asks) = (rows(&mut side(&changes, true)), rows(&mut side(&changes, false)));
        whole("update", bids, asks, kraken_checksum(walk), 440_295 + n * 731)
    })
}

fn kraken_checksum(walk: &Walk) -> u32 {
    let mut text = String::new();
    for (price, qty) in walk.asks().take(10).chain(walk.bids().take(10)) {
        write!(text, "{price}{qty}").expect("a string takes all");
    }
    crc32fast::hash(text.as_bytes())
}

/// Coinbase Exchange's `level2`, as recorded in April 2021: 120 bytes, one level.
pub(crate) fn coinbase_l2(count: usize) -> Stream {
    let walk = Walk::new(15, 82_063, 1, 800, 3_000_000, 1_000);
    let snapshot = format!(
        r#"{{"type":"snapshot","product_id":"YFI-BTC","asks":[{}],"bids":[{}]}}"#,
        YFI.rows(walk.asks()),
        YFI.rows(walk.bids())
    );
    stream(YFI, Channel::Book, walk, count, Some(snapshot), |walk, n| {
        let Change { is_bid, price, qty } = walk.changes(1)[0];
        format!(
            r#"{{"type":"l2update","product_id":"YFI-BTC","changes":[["{}","{}","{}"]],"time":"2021-04-17T16:{:02}:{:02}.{:06}Z"}}"#,
            if is_bid { "buy" } else { "sell" },
            YFI.price(price),
            YFI.amount(qty),
            43 + n / 600 % 17,
            n / 10 % 60,
            217_224 + n % 10
        )
    })
}
