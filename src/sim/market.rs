//! The market behind a loopback venue: seeded, and known at every instant.
//!
//! Per symbol there is one true book, the trades that moved it, and what follows from them: best prices, candles,
//! rolling statistics. Orders come, go and trade near the touch; now and then the price jumps, a level is placed and
//! taken back at once (so that subscribers see a delete of a level they never knew), or an order is replaced by an
//! equal one (so that an update number is used and nothing changes).
//!
//! How to drive it: [`Market::next_ns`] says when the next update happens by itself, [`Market::run_until`] makes all
//! updates up to a time and appends what a venue would tell in real time to a list. A venue that sends its book in
//! batches asks [`Market::changes_since`] at the end of a batch and marks that point with [`Market::mark`], which keeps
//! its fingerprint for [`Market::truth_at`].
//!
//! Prices and quantities are mantissas: a price is `mantissa / 10^price_scale`, always a multiple of the symbol's tick;
//! the scales are the fewest decimals that can write the tick and the step. Update numbers start at a random point and
//! rise by one with every changed level.
//!
//! What it never does: read a clock, open a socket, or know how a venue spells anything. Equal seeds and equal calls
//! give equal markets.

use std::collections::{HashMap, VecDeque};

use fastrand::Rng;

/// Which half of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Buyers.
    Bid,
    /// Sellers.
    Ask,
}

/// One tradable instrument of the loopback venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The venue's own spelling, for example `BTCUSDT`.
    pub name: String,
    /// Base asset, the one that quantities count.
    pub base: String,
    /// Quote asset, the one that prices count.
    pub quote: String,
    /// Decimals of a price mantissa: the fewest that can write the tick.
    pub price_scale: u8,
    /// Decimals of a quantity mantissa: the fewest that can write the step.
    pub qty_scale: u8,
    /// Smallest price step as a mantissa, at least 1.
    pub tick: i64,
    /// Smallest quantity step as a mantissa, at least 1.
    pub step: i64,
    /// Price around which the market moves, as a mantissa; raised to what the depth of the book needs.
    pub price: i64,
    /// Usual quantity of one order, in steps, at least 1.
    pub order_steps: i64,
}

/// The ten symbols of the default market: name parts, price scale, quantity scale, price, usual order in steps.
const KNOWN: [(&str, &str, u8, u8, i64, i64); 10] = [
    ("BTC", "USDT", 2, 5, 6_000_000, 30_000),
    ("ETH", "USDT", 2, 4, 250_000, 40_000),
    ("BNB", "USDT", 2, 3, 60_000, 5_000),
    ("SOL", "USDT", 2, 3, 15_000, 40_000),
    ("XRP", "USDT", 4, 1, 22_000, 30_000),
    ("ADA", "USDT", 4, 1, 8_000, 50_000),
    ("DOGE", "USDT", 5, 0, 20_000, 20_000),
    ("LTC", "USDT", 2, 3, 9_000, 20_000),
    ("ETH", "BTC", 5, 4, 4_166, 20_000),
    ("SHIB", "USDT", 8, 0, 2_400, 90_000_000),
];

/// The first `count` symbols of the loopback world: ten known ones, then made-up assets against `quote`.
///
/// The ten are quoted in `quote` too, except the pair of two coins. At most 2,000 are made.
pub fn symbols(count: usize, quote: &str) -> Vec<Symbol> {
    let mut list = Vec::with_capacity(count.min(SYMBOLS_MAX));
    for i in 0..count.min(SYMBOLS_MAX) {
        let made_up;
        let (base, known_quote, price_scale, qty_scale, price, order_steps) = match KNOWN.get(i) {
            Some(known) => *known,
            None => {
                // Three letters hold 17,576 names; the leading Q keeps them apart from real assets.
                let letters = [i / 676 % 26, i / 26 % 26, i % 26];
                made_up = letters.iter().fold(String::from("Q"), |mut name, n| {
                    name.push((b'A' + *n as u8) as char);
                    name
                });
                let price_scale = [2, 3, 4, 5, 6][i % 5];
                (
                    made_up.as_str(),
                    "USDT",
                    price_scale,
                    [3, 2, 1, 0][i % 4],
                    20_000 + (i as i64 * 7_919) % 400_000,
                    2_000,
                )
            }
        };
        let quote = if known_quote == "USDT" { quote } else { known_quote };
        list.push(Symbol {
            name: format!("{base}{quote}"),
            base: base.to_owned(),
            quote: quote.to_owned(),
            price_scale,
            qty_scale,
            tick: 1,
            step: 1,
            price,
            order_steps,
        });
    }
    list
}

/// Most symbols that [`symbols`] makes and a market takes.
pub const SYMBOLS_MAX: usize = 2_000;

/// Length of a candle and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Milliseconds, or `None` for a calendar month.
    pub len_ms: Option<u64>,
    /// Added to a time before it is cut down to a multiple of the length, so that weeks can begin on Monday and days
    /// in another time zone.
    pub offset_ms: u64,
}

impl Span {
    /// Start of the candle that holds `time_ms` (Unix milliseconds).
    pub fn open_ms(&self, time_ms: u64) -> u64 {
        let local = time_ms + self.offset_ms;
        let open = match self.len_ms {
            Some(len) => local - local % len.max(1),
            None => {
                let (year, month) = civil_month(local / DAY_MS);
                days_before_month(year, month) * DAY_MS
            }
        };
        open.saturating_sub(self.offset_ms)
    }

    /// Start of the candle after the one that opened at `open_ms`.
    pub fn next_ms(&self, open_ms: u64) -> u64 {
        match self.len_ms {
            Some(len) => open_ms + len.max(1),
            None => {
                let (year, month) = civil_month((open_ms + self.offset_ms) / DAY_MS);
                let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                (days_before_month(year, month) * DAY_MS).saturating_sub(self.offset_ms)
            }
        }
    }

    /// Start of the candle before the one that opened at `open_ms`.
    pub fn previous_ms(&self, open_ms: u64) -> u64 {
        self.open_ms(open_ms.saturating_sub(1))
    }
}

const DAY_MS: u64 = 86_400_000;
const MINUTE_MS: u64 = 60_000;

/// Year and month (1 to 12) of a day counted from 1970-01-01.
fn civil_month(day: u64) -> (u64, u64) {
    let mut year = 1970 + day / 366;
    while days_before_month(year + 1, 1) <= day {
        year += 1;
    }
    let mut month = 12;
    while days_before_month(year, month) > day {
        month -= 1;
    }
    (year, month)
}

/// Days from 1970-01-01 to the first of a month.
fn days_before_month(year: u64, month: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let past = year - 1;
    let leap_days = past / 4 - past / 100 + past / 400 - 477;
    let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    (year - 1970) * 365 + leap_days + BEFORE[(month as usize - 1).min(11)] + u64::from(leap && month > 2)
}

/// One execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Trade number, rising by one per symbol.
    pub id: u64,
    /// Price mantissa.
    pub price: i64,
    /// Quantity mantissa.
    pub qty: i64,
    /// When, in Unix nanoseconds.
    pub time_ns: u64,
    /// True when the buyer's order rested, so that the taker sold.
    pub buyer_is_maker: bool,
    /// Number of the buyer's order.
    pub buyer_order: u64,
    /// Number of the seller's order.
    pub seller_order: u64,
}

/// All executions of one taker order at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggTrade {
    /// Number of the aggregate, rising by one per symbol.
    pub id: u64,
    /// Price mantissa.
    pub price: i64,
    /// Sum of the quantities, a mantissa.
    pub qty: i64,
    /// First trade in it.
    pub first: u64,
    /// Last trade in it.
    pub last: u64,
    /// When, in Unix nanoseconds.
    pub time_ns: u64,
    /// True when the taker sold.
    pub buyer_is_maker: bool,
}

/// What a venue may want to tell at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An execution in the market of this index.
    Trade(usize, Trade),
    /// All executions of one taker order at one price.
    Agg(usize, AggTrade),
    /// The best bid or the best ask, or its quantity, is not what it was; Unix nanoseconds of the change.
    Top(usize, u64),
}

/// A changed level, with its quantity before and after. Zero means that the level is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Update number of the change.
    pub id: u64,
    /// Which side.
    pub side: Side,
    /// Price mantissa.
    pub price: i64,
    /// Quantity mantissa before.
    pub old: i64,
    /// Quantity mantissa after.
    pub new: i64,
}

/// Open, high, low, close and volume of one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candle {
    /// Start in Unix milliseconds.
    pub open_ms: u64,
    /// First price, mantissa.
    pub open: i64,
    /// Highest price, mantissa.
    pub high: i64,
    /// Lowest price, mantissa.
    pub low: i64,
    /// Last price, mantissa.
    pub close: i64,
    /// Traded quantity, mantissa.
    pub volume: i64,
    /// Sum of price times quantity, mantissa at the sum of both scales.
    pub quote_volume: i128,
    /// Part of the volume that takers bought.
    pub taker_volume: i64,
    /// Part of the quote volume that takers bought.
    pub taker_quote_volume: i128,
    /// Number of trades.
    pub trades: u64,
    /// Number of the first trade; meaningless without trades.
    pub first: u64,
    /// Number of the last trade; meaningless without trades.
    pub last: u64,
}

impl Candle {
    fn flat(open_ms: u64, price: i64) -> Self {
        Candle {
            open_ms,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
            quote_volume: 0,
            taker_volume: 0,
            taker_quote_volume: 0,
            trades: 0,
            first: 0,
            last: 0,
        }
    }

    fn add(&mut self, trade: &Trade) {
        let quote = i128::from(trade.price) * i128::from(trade.qty);
        if self.trades == 0 {
            self.first = trade.id;
            self.open = trade.price;
            self.high = trade.price;
            self.low = trade.price;
        }
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.close = trade.price;
        self.volume = self.volume.saturating_add(trade.qty);
        self.quote_volume = self.quote_volume.saturating_add(quote);
        if !trade.buyer_is_maker {
            self.taker_volume = self.taker_volume.saturating_add(trade.qty);
            self.taker_quote_volume = self.taker_quote_volume.saturating_add(quote);
        }
        self.trades += 1;
        self.last = trade.id;
    }
}

/// Statistics of a window of time, cut to whole minutes at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// First price in the window, mantissa; the last known price when nothing traded.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Last price.
    pub last: i64,
    /// Quantity of the last trade.
    pub last_qty: i64,
    /// Last price before the window.
    pub previous: i64,
    /// Traded quantity.
    pub volume: i64,
    /// Sum of price times quantity, mantissa at the sum of both scales.
    pub quote_volume: i128,
    /// Number of trades.
    pub trades: u64,
    /// Number of the first trade in the window, if there was one.
    pub first: Option<u64>,
    /// Number of the last trade in the window, if there was one.
    pub last_id: Option<u64>,
}

/// A whole book as it truly is, best levels first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Number of the last update in it.
    pub update_id: u64,
    /// Price and quantity mantissas of the bids, highest price first.
    pub bids: Vec<(i64, i64)>,
    /// Price and quantity mantissas of the asks, lowest price first.
    pub asks: Vec<(i64, i64)>,
    /// Decimals of the price mantissas.
    pub price_scale: u8,
    /// Decimals of the quantity mantissas.
    pub qty_scale: u8,
    /// The tick as plain text, for example `0.01`.
    pub tick: String,
    /// The quantity step as plain text.
    pub step: String,
}

impl Truth {
    /// Fingerprint of all levels: the wrapping sum of [`fingerprint_level`] over them.
    pub fn fingerprint(&self) -> u64 {
        let bids = self.bids.iter().map(|(price, qty)| fingerprint_level(Side::Bid, *price, *qty));
        let asks = self.asks.iter().map(|(price, qty)| fingerprint_level(Side::Ask, *price, *qty));
        bids.chain(asks).fold(0, u64::wrapping_add)
    }
}

/// Hash of one level. The fingerprint of a book is the wrapping sum (`u64::wrapping_add`, starting from 0) of the hashes
/// of all its levels with a quantity other than zero, in any order.
///
/// Price and quantity are mantissas at the scales of [`Truth`].
pub fn fingerprint_level(side: Side, price: i64, qty: i64) -> u64 {
    // The finaliser of splitmix64, twice, so that neither swapping price and quantity nor moving a quantity from one
    // level to another leaves the sum as it was.
    fn mix(mut x: u64) -> u64 {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
    let salt = match side {
        Side::Bid => 0x9e37_79b9_7f4a_7c15,
        Side::Ask => 0xd1b5_4a32_d192_ed03,
    };
    mix(mix((price as u64).wrapping_add(salt)).wrapping_add(qty as u64))
}

/// What a market is made of.
#[derive(Clone, Debug)]
pub struct MarketConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Instruments, at most [`SYMBOLS_MAX`]; further ones are ignored.
    pub symbols: Vec<Symbol>,
    /// Levels per side at the start; later between three quarters and five quarters of it. At least 4.
    pub levels: usize,
    /// Mean number of book updates a second and symbol; the first symbols get more of them when there are many.
    pub updates_per_s: u32,
    /// How many marked points [`Market::truth_at`] remembers per symbol; trades are remembered in equal number.
    pub history: usize,
    /// Candle lengths.
    pub spans: &'static [Span],
}

/// The market of all symbols. See the module's documentation.
#[derive(Debug)]
pub struct Market {
    rng: Rng,
    instruments: Vec<Instrument>,
    by_name: HashMap<String, usize>,
    levels: usize,
    history: usize,
    spans: &'static [Span],
    mean_gap_ns: f64,
    next_ns: u64,
    start_ns: u64,
}

#[derive(Debug)]
struct Instrument {
    symbol: Symbol,
    base_price: i64,
    start_ms: u64,
    /// Worst first, so that the busy end is the cheap one.
    bids: Vec<Level>,
    asks: Vec<Level>,
    fingerprint: u64,
    id: u64,
    changes: VecDeque<Change>,
    /// All changes above this number are in `changes`.
    changes_after: u64,
    marks: VecDeque<(u64, u64)>,
    trades: VecDeque<Trade>,
    aggs: VecDeque<AggTrade>,
    next_trade: u64,
    next_agg: u64,
    next_order: u64,
    series: Vec<Series>,
    last_trade: Trade,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    price: i64,
    qty: i64,
}

#[derive(Debug)]
struct Series {
    current: Candle,
    closed: VecDeque<Candle>,
}

/// How many changes are remembered for each remembered mark, at most.
const CHANGES_PER_MARK: usize = 4;

impl Market {
    /// Builds the market as it is at `start_ns` (Unix nanoseconds): full books and one opening trade per symbol, a
    /// second before the start.
    pub fn new(config: &MarketConfig, start_ns: u64) -> Self {
        let mut rng = Rng::with_seed(config.seed);
        let levels = config.levels.max(4);
        let mut instruments = Vec::with_capacity(config.symbols.len().min(SYMBOLS_MAX));
        let mut by_name = HashMap::with_capacity(config.symbols.len().min(SYMBOLS_MAX));
        for symbol in config.symbols.iter().take(SYMBOLS_MAX) {
            by_name.insert(symbol.name.clone(), instruments.len());
            instruments.push(Instrument::new(symbol, levels, config.spans, start_ns, &mut rng));
        }
        let updates_per_s = f64::from(config.updates_per_s.max(1)) * instruments.len().max(1) as f64;
        let mut market = Market {
            rng,
            instruments,
            by_name,
            levels,
            history: config.history.max(1),
            spans: config.spans,
            mean_gap_ns: 1e9 / updates_per_s,
            next_ns: start_ns,
            start_ns,
        };
        market.next_ns = start_ns + market.gap_ns();
        for index in 0..market.instruments.len() {
            market.mark(index);
        }
        market
    }

    /// Number of symbols.
    pub fn len(&self) -> usize {
        self.instruments.len()
    }

    /// True without symbols.
    pub fn is_empty(&self) -> bool {
        self.instruments.is_empty()
    }

    /// Index of a symbol by the venue's exact spelling.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The symbol of an index below [`Market::len`].
    pub fn symbol(&self, index: usize) -> &Symbol {
        &self.instruments[index].symbol
    }

    /// When the market began, in Unix nanoseconds.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// When the next update happens by itself.
    pub fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Makes the update that is due at [`Market::next_ns`] and appends what it caused to `events`. Gives the index of the
    /// symbol it concerned.
    pub fn step(&mut self, events: &mut Vec<Event>) -> usize {
        let time_ns = self.next_ns;
        self.next_ns = time_ns + self.gap_ns();
        let count = self.instruments.len();
        if count == 0 {
            return 0;
        }
        let index = if count <= 4 {
            self.rng.usize(..count)
        } else {
            // A few symbols are busy and most are quiet, as on a real venue.
            let u = self.rng.f64();
            ((u * u * count as f64) as usize).min(count - 1)
        };
        self.update(index, time_ns, events);
        index
    }

    /// Makes all updates up to and including `until_ns`.
    pub fn run_until(&mut self, until_ns: u64, events: &mut Vec<Event>) {
        while self.next_ns <= until_ns {
            self.step(events);
        }
    }

    fn gap_ns(&mut self) -> u64 {
        let u = 1.0 - self.rng.f64();
        (-u.ln() * self.mean_gap_ns) as u64 + 1
    }

    /// Makes one update of one symbol now, whatever the time of its own next update is.
    pub fn update(&mut self, index: usize, time_ns: u64, events: &mut Vec<Event>) {
        let levels = self.levels;
        let rng = &mut self.rng;
        let it = &mut self.instruments[index];
        let top = it.top();
        let before = events.len();
        let side = if rng.bool() { Side::Bid } else { Side::Ask };
        let count = it.side(side).len();
        if count < levels * 3 / 4 || it.side(side.other()).len() < levels * 3 / 4 {
            let side = if count < levels * 3 / 4 { side } else { side.other() };
            it.place(side, levels, rng);
        } else if count > levels * 5 / 4 {
            it.cancel_worst(side);
        } else {
            match rng.u32(..1000) {
                0..430 => it.place(side, levels, rng),
                430..730 => it.cancel(side, rng),
                730..840 => it.resize(side, rng),
                840..960 => it.take(time_ns, 1, self.spans, rng, events),
                960..975 => it.take(time_ns, 2 + rng.usize(..4), self.spans, rng, events),
                975..978 => it.take(time_ns, (levels / 6).max(2), self.spans, rng, events),
                978..985 => it.cancel_worst(side),
                985..990 => it.id += 1,
                _ => {
                    // Placed and taken back at once: in a batch only the delete of an unknown level is left.
                    let (best_bid, best_ask) = (it.best(Side::Bid), it.best(Side::Ask));
                    let depth = it.symbol.tick * (levels as i64 * 2 + 1);
                    let price = match side {
                        Side::Bid => best_bid - depth,
                        Side::Ask => best_ask + depth,
                    };
                    if price > 0 && it.quantity(side, price) == 0 {
                        let qty = it.random_qty(rng);
                        it.set(side, price, qty);
                        it.set(side, price, 0);
                    }
                }
            }
        }
        let history = self.history;
        while it.trades.len() > history {
            it.trades.pop_front();
        }
        while it.aggs.len() > history {
            it.aggs.pop_front();
        }
        debug_assert!(it.best(Side::Bid) < it.best(Side::Ask), "the true book is never crossed");
        for event in &mut events[before..] {
            match event {
                Event::Trade(at, _) | Event::Agg(at, _) | Event::Top(at, _) => *at = index,
            }
        }
        if it.top() != top {
            events.push(Event::Top(index, time_ns));
        }
    }

    /// Number of the last update of a symbol.
    pub fn update_id(&self, index: usize) -> u64 {
        self.instruments[index].id
    }

    /// All changes above an update number, oldest first, as far as they are remembered. Never forgotten are those after
    /// the `keep_after` of the last [`Market::mark_keeping`].
    pub fn changes_since(&self, index: usize, after: u64) -> impl DoubleEndedIterator<Item = &Change> {
        let changes = &self.instruments[index].changes;
        // A batch is short, so looking from the end is quicker than halving thousands of old changes.
        let newer = changes.iter().rev().take_while(|change| change.id > after).count();
        changes.range(changes.len() - newer..)
    }

    /// Quantity at a price, zero when there is no such level.
    pub fn quantity(&self, index: usize, side: Side, price: i64) -> i64 {
        self.instruments[index].quantity(side, price)
    }

    /// Best price and quantity of a side.
    pub fn best(&self, index: usize, side: Side) -> (i64, i64) {
        self.instruments[index].side(side).last().map_or((0, 0), |level| (level.price, level.qty))
    }

    /// Levels of a side, best first, as price and quantity mantissas.
    pub fn levels(&self, index: usize, side: Side) -> impl Iterator<Item = (i64, i64)> {
        self.instruments[index].side(side).iter().rev().map(|level| (level.price, level.qty))
    }

    /// Remembers the fingerprint of the book as it is now.
    pub fn mark(&mut self, index: usize) {
        let id = self.instruments[index].id;
        self.mark_keeping(index, id);
    }

    /// As [`Market::mark`], and promises that changes above `keep_after` stay readable.
    pub fn mark_keeping(&mut self, index: usize, keep_after: u64) {
        let history = self.history;
        let it = &mut self.instruments[index];
        if it.marks.back().is_none_or(|(id, _)| *id < it.id) {
            it.marks.push_back((it.id, it.fingerprint));
        }
        while it.marks.len() > history {
            it.marks.pop_front();
        }
        let oldest = it.marks.front().map_or(it.id, |(id, _)| *id);
        while let Some(change) = it.changes.front() {
            let forgotten = change.id <= oldest || it.changes.len() > history * CHANGES_PER_MARK;
            if !forgotten || change.id > keep_after {
                break;
            }
            it.changes_after = change.id;
            it.changes.pop_front();
        }
    }

    /// Update numbers of the marked points that are remembered, oldest first.
    pub fn marks(&self, index: usize) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator {
        self.instruments[index].marks.iter().map(|(id, _)| *id)
    }

    /// Fingerprint of the book as it was after update `update_id`, if that was a marked point and is remembered.
    pub fn truth_at(&self, index: usize, update_id: u64) -> Option<u64> {
        let marks = &self.instruments[index].marks;
        let at = marks.binary_search_by_key(&update_id, |(id, _)| *id).ok()?;
        marks.get(at).map(|(_, fingerprint)| *fingerprint)
    }

    /// The last marked update number after which the book had this fingerprint.
    pub fn update_with(&self, index: usize, fingerprint: u64) -> Option<u64> {
        let mut marks = self.instruments[index].marks.iter().rev();
        marks.find(|(_, its)| *its == fingerprint).map(|(id, _)| *id)
    }

    /// The book as it is now.
    pub fn truth(&self, index: usize) -> Truth {
        let it = &self.instruments[index];
        it.truth(it.id, it.bids.clone(), it.asks.clone())
    }

    /// The book as it was after update `update_id`, rebuilt by undoing remembered changes: slow. `None` when the number
    /// lies in the future or too far back.
    pub fn truth_levels_at(&self, index: usize, update_id: u64) -> Option<Truth> {
        let it = &self.instruments[index];
        if update_id > it.id || update_id < it.changes_after {
            return None;
        }
        let (mut bids, mut asks) = (it.bids.clone(), it.asks.clone());
        for change in it.changes.iter().rev().take_while(|change| change.id > update_id) {
            match change.side {
                Side::Bid => set_level(&mut bids, Side::Bid, change.price, change.old),
                Side::Ask => set_level(&mut asks, Side::Ask, change.price, change.old),
            };
        }
        Some(it.truth(update_id, bids, asks))
    }

    /// The trades that are remembered, oldest first.
    pub fn trades(&self, index: usize) -> &VecDeque<Trade> {
        &self.instruments[index].trades
    }

    /// The aggregated trades that are remembered, oldest first.
    pub fn agg_trades(&self, index: usize) -> &VecDeque<AggTrade> {
        &self.instruments[index].aggs
    }

    /// The last trade.
    pub fn last_trade(&self, index: usize) -> &Trade {
        &self.instruments[index].last_trade
    }

    /// Closes candles whose time is over at `now_ns`, as trades do by themselves.
    pub fn roll(&mut self, index: usize, span: usize, now_ns: u64) {
        let kept = self.candles_kept(span);
        let it = &mut self.instruments[index];
        if let (Some(series), Some(span)) = (it.series.get_mut(span), self.spans.get(span)) {
            series.roll(span, now_ns / 1_000_000, kept);
        }
    }

    /// The open candle of a span and the closed ones, oldest first. Call [`Market::roll`] before.
    pub fn candles(&self, index: usize, span: usize) -> Option<(&Candle, &VecDeque<Candle>)> {
        self.instruments[index].series.get(span).map(|series| (&series.current, &series.closed))
    }

    /// The candle that opened at a time; call [`Market::roll`] before. What lies before the market's beginning, or is
    /// forgotten, is made up.
    pub fn candle_at(&self, index: usize, span: usize, open_ms: u64) -> Candle {
        if let Some((current, closed)) = self.candles(index, span) {
            if current.open_ms == open_ms {
                return *current;
            }
            if let Ok(at) = closed.binary_search_by_key(&open_ms, |candle| candle.open_ms) {
                return closed[at];
            }
        }
        self.old_candle(index, span, open_ms)
    }

    /// A candle from before the market began: made up from the seed of the symbol, equal for equal questions, and
    /// joined to its neighbours at open and close.
    pub fn old_candle(&self, index: usize, span: usize, open_ms: u64) -> Candle {
        let it = &self.instruments[index];
        let end_ms = self.spans.get(span).map_or(open_ms + 1, |span| span.next_ms(open_ms)).min(it.start_ms);
        let open = it.old_price(open_ms);
        let close = it.old_price(end_ms);
        let noise = fingerprint_level(Side::Bid, open_ms as i64, span as i64 ^ it.base_price);
        let reach = it.symbol.tick * (1 + (noise & 31) as i64);
        let volume = it.symbol.order_steps * it.symbol.step * (1 + (noise >> 8 & 255) as i64);
        let mut candle = Candle::flat(open_ms, open);
        candle.close = close;
        candle.high = open.max(close) + reach;
        candle.low = (open.min(close) - reach).max(it.symbol.tick);
        candle.volume = volume;
        candle.quote_volume = i128::from(volume) * i128::from((open + close) / 2);
        candle.taker_volume = volume / 2;
        candle.taker_quote_volume = candle.quote_volume / 2;
        candle.trades = 1 + (noise >> 16 & 255);
        candle
    }

    /// Statistics of the last `window_ms`, its start cut down to a whole minute.
    pub fn stats(&mut self, index: usize, window_ms: u64, now_ns: u64) -> Stats {
        let minute = self.spans.iter().position(|span| span.len_ms == Some(MINUTE_MS) && span.offset_ms == 0);
        let last = self.instruments[index].last_trade;
        let mut stats = Stats {
            open: last.price,
            high: last.price,
            low: last.price,
            last: last.price,
            last_qty: last.qty,
            previous: last.price,
            volume: 0,
            quote_volume: 0,
            trades: 0,
            first: None,
            last_id: None,
        };
        let Some(minute) = minute else { return stats };
        self.roll(index, minute, now_ns);
        let from_ms = (now_ns / 1_000_000).saturating_sub(window_ms);
        let from_ms = from_ms - from_ms % MINUTE_MS;
        let Some((current, closed)) = self.candles(index, minute) else { return stats };
        let begin = closed.partition_point(|candle| candle.open_ms < from_ms);
        if let Some(before) = begin.checked_sub(1).and_then(|at| closed.get(at)) {
            stats.previous = before.close;
        } else if let Some(oldest) = closed.front() {
            stats.previous = oldest.open;
        }
        for candle in closed.range(begin..).chain([current]).filter(|candle| candle.trades > 0) {
            if stats.first.is_none() {
                stats.first = Some(candle.first);
                stats.open = candle.open;
                stats.high = candle.high;
                stats.low = candle.low;
            }
            stats.high = stats.high.max(candle.high);
            stats.low = stats.low.min(candle.low);
            stats.volume = stats.volume.saturating_add(candle.volume);
            stats.quote_volume = stats.quote_volume.saturating_add(candle.quote_volume);
            stats.trades += candle.trades;
            stats.last_id = Some(candle.last);
        }
        stats
    }

    fn candles_kept(&self, span: usize) -> usize {
        candles_kept(self.spans.get(span), self.history)
    }
}

/// Most candles kept of a span: a day of minutes for the rolling statistics, otherwise what the history allows.
fn candles_kept(span: Option<&Span>, history: usize) -> usize {
    if span.is_some_and(|span| span.len_ms == Some(MINUTE_MS)) { 1_500 } else { history.clamp(16, 1_000) }
}

impl Side {
    /// The other side.
    pub fn other(self) -> Side {
        match self {
            Side::Bid => Side::Ask,
            Side::Ask => Side::Bid,
        }
    }
}

impl Series {
    fn roll(&mut self, span: &Span, now_ms: u64, kept: usize) {
        let mut end_ms = span.next_ms(self.current.open_ms);
        if now_ms < end_ms {
            return;
        }
        // After a long sleep only the newest candles are worth filling in.
        if let Some(len) = span.len_ms {
            let missed = (now_ms - end_ms) / len.max(1);
            if missed > kept as u64 {
                self.closed.clear();
                self.current = Candle::flat(span.open_ms(now_ms - len * kept as u64), self.current.close);
                end_ms = span.next_ms(self.current.open_ms);
            }
        }
        while now_ms >= end_ms {
            if self.closed.len() >= kept {
                self.closed.pop_front();
            }
            self.closed.push_back(self.current);
            self.current = Candle::flat(end_ms, self.current.close);
            end_ms = span.next_ms(end_ms);
        }
    }
}

impl Instrument {
    fn new(symbol: &Symbol, levels: usize, spans: &'static [Span], start_ns: u64, rng: &mut Rng) -> Self {
        let tick = symbol.tick.max(1);
        // Room for the deepest level that `update` ever places, so that prices stay positive.
        let room = (levels as i64 * 6 + 64).saturating_mul(tick);
        let base_price = (symbol.price - symbol.price % tick).max(room - room % tick);
        let symbol =
            Symbol { tick, step: symbol.step.max(1), order_steps: symbol.order_steps.max(1), ..symbol.clone() };
        let mut it = Instrument {
            base_price,
            start_ms: start_ns / 1_000_000,
            bids: Vec::with_capacity(levels * 5 / 4 + 4),
            asks: Vec::with_capacity(levels * 5 / 4 + 4),
            fingerprint: 0,
            id: 1_000_000 + rng.u64(..1_000_000_000),
            changes: VecDeque::new(),
            changes_after: 0,
            marks: VecDeque::new(),
            trades: VecDeque::new(),
            aggs: VecDeque::new(),
            next_trade: 1_000 + rng.u64(..1_000_000_000),
            next_agg: 1_000 + rng.u64(..100_000_000),
            next_order: 1_000 + rng.u64(..1_000_000_000),
            series: Vec::with_capacity(spans.len()),
            last_trade: Trade {
                id: 0,
                price: base_price,
                qty: symbol.step * symbol.order_steps,
                time_ns: start_ns.saturating_sub(1_000_000_000),
                buyer_is_maker: false,
                buyer_order: 0,
                seller_order: 0,
            },
            symbol,
        };
        for side in [Side::Bid, Side::Ask] {
            let mut price = base_price;
            for _ in 0..levels {
                let gap = it.symbol.tick * if rng.u8(..8) < 5 { 1 } else { 1 + rng.i64(1..4) };
                price += if side == Side::Bid { -gap } else { gap };
                let level = Level { price, qty: it.random_qty(rng) };
                it.fingerprint = it.fingerprint.wrapping_add(fingerprint_level(side, level.price, level.qty));
                it.side_mut(side).push(level);
            }
            it.side_mut(side).reverse();
        }
        it.changes_after = it.id;
        let open_ms = it.last_trade.time_ns / 1_000_000;
        it.series.extend(
            spans.iter().map(|span| Series {
                current: Candle::flat(span.open_ms(open_ms), base_price),
                closed: VecDeque::new(),
            }),
        );
        let opening = Fill { price: base_price, qty: it.last_trade.qty, taker: Side::Bid };
        let time_ns = it.last_trade.time_ns;
        it.execute(opening, time_ns, spans, 1, rng, &mut Vec::new());
        it
    }

    fn side(&self, side: Side) -> &Vec<Level> {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Vec<Level> {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }

    /// Best price of a side. No side is ever empty.
    fn best(&self, side: Side) -> i64 {
        self.side(side).last().map_or(self.base_price, |level| level.price)
    }

    fn top(&self) -> [(i64, i64); 2] {
        [&self.bids, &self.asks].map(|side| side.last().map_or((0, 0), |level| (level.price, level.qty)))
    }

    fn quantity(&self, side: Side, price: i64) -> i64 {
        find_level(self.side(side), side, price).map_or(0, |at| self.side(side)[at].qty)
    }

    fn random_qty(&self, rng: &mut Rng) -> i64 {
        // Many small orders and a few large ones.
        let u = rng.f64();
        let steps = (self.symbol.order_steps as f64 * u * u * 3.0) as i64 + 1;
        steps * self.symbol.step
    }

    /// Sets one level; takes one update number even when nothing changes.
    fn set(&mut self, side: Side, price: i64, qty: i64) {
        let old = set_level(self.side_mut(side), side, price, qty);
        if old != 0 {
            self.fingerprint = self.fingerprint.wrapping_sub(fingerprint_level(side, price, old));
        }
        if qty != 0 {
            self.fingerprint = self.fingerprint.wrapping_add(fingerprint_level(side, price, qty));
        }
        self.id += 1;
        if old != qty {
            self.changes.push_back(Change { id: self.id, side, price, old, new: qty });
        }
    }

    /// A new order somewhere near the touch, or better than it where there is room.
    fn place(&mut self, side: Side, levels: usize, rng: &mut Rng) {
        let tick = self.symbol.tick;
        let (best, other) = (self.best(side), self.best(side.other()));
        let gap = (best - other).abs() / tick;
        let distance = if gap > 1 && rng.u8(..4) == 0 {
            -1 - rng.i64(0..(gap - 1).min(3))
        } else {
            let u = rng.f64();
            (u * u * u * levels as f64 * 2.0) as i64
        };
        let mut price = match side {
            Side::Bid => best - distance * tick,
            Side::Ask => best + distance * tick,
        };
        if price <= 0 {
            price = tick;
        }
        let qty = self.random_qty(rng);
        let old = self.quantity(side, price);
        self.set(side, price, old.saturating_add(qty).min(qty.saturating_mul(4)));
    }

    /// Takes one level near the touch away, while enough are left.
    fn cancel(&mut self, side: Side, rng: &mut Rng) {
        let count = self.side(side).len();
        if count > 2 {
            let u = rng.f64();
            let depth = ((u * u * u * count as f64) as usize).min(count - 1);
            let price = self.side(side)[count - 1 - depth].price;
            self.set(side, price, 0);
        }
    }

    fn cancel_worst(&mut self, side: Side) {
        if self.side(side).len() > 2 {
            let price = self.side(side)[0].price;
            self.set(side, price, 0);
        }
    }

    fn resize(&mut self, side: Side, rng: &mut Rng) {
        let count = self.side(side).len();
        let u = rng.f64();
        let depth = ((u * u * count as f64) as usize).min(count - 1);
        let price = self.side(side)[count - 1 - depth].price;
        let qty = self.random_qty(rng);
        self.set(side, price, qty);
    }

    /// A taker order that eats up to `sweep` levels, the last one perhaps in part.
    fn take(&mut self, time_ns: u64, sweep: usize, spans: &'static [Span], rng: &mut Rng, events: &mut Vec<Event>) {
        // The price leans back to where it began, so that it stays positive and books stay comparable.
        let middle = (self.best(Side::Bid) + self.best(Side::Ask)) / 2;
        let leaning = if middle > self.base_price { 40 } else { 60 };
        let taker = if rng.u32(..100) < leaning { Side::Bid } else { Side::Ask };
        let maker = taker.other();
        self.next_order += 1;
        let order = self.next_order;
        let mut left = sweep.min(self.side(maker).len().saturating_sub(2));
        while left > 0 {
            left -= 1;
            let Some(level) = self.side(maker).last().copied() else { return };
            let steps = level.qty / self.symbol.step;
            let whole = steps <= 1 || left > 0 || rng.u8(..3) == 0;
            let qty = if whole { level.qty } else { rng.i64(1..steps) * self.symbol.step };
            self.execute(Fill { price: level.price, qty, taker }, time_ns, spans, order, rng, events);
            self.set(maker, level.price, level.qty - qty);
        }
    }

    /// Books the trades of one taker order at one price: one to three, for each resting order that it meets.
    fn execute(
        &mut self,
        fill: Fill,
        time_ns: u64,
        spans: &'static [Span],
        order: u64,
        rng: &mut Rng,
        events: &mut Vec<Event>,
    ) {
        let first = self.next_trade;
        let step = self.symbol.step;
        let mut left = fill.qty;
        let mut makers = 1 + rng.i64(0..3);
        while left > 0 {
            let steps = left / step;
            let part = if makers <= 1 || steps <= 1 { left } else { rng.i64(1..steps) * step };
            makers -= 1;
            left -= part;
            let maker_order = order.saturating_sub(rng.u64(1..100_000)).max(1);
            let buyer_is_maker = fill.taker == Side::Ask;
            let trade = Trade {
                id: self.next_trade,
                price: fill.price,
                qty: part,
                time_ns,
                buyer_is_maker,
                buyer_order: if buyer_is_maker { maker_order } else { order },
                seller_order: if buyer_is_maker { order } else { maker_order },
            };
            self.next_trade += 1;
            for (series, span) in self.series.iter_mut().zip(spans) {
                // Few trades cross the end of a candle; `roll` looks first and returns.
                series.roll(span, time_ns / 1_000_000, candles_kept(Some(span), 1_000));
                series.current.add(&trade);
            }
            self.last_trade = trade;
            self.trades.push_back(trade);
            events.push(Event::Trade(0, trade));
        }
        let agg = AggTrade {
            id: self.next_agg,
            price: fill.price,
            qty: fill.qty,
            first,
            last: self.next_trade - 1,
            time_ns,
            buyer_is_maker: fill.taker == Side::Ask,
        };
        self.next_agg += 1;
        self.aggs.push_back(agg);
        events.push(Event::Agg(0, agg));
    }

    /// A smooth made-up price for times before the market began; it ends at the price at which the market began.
    fn old_price(&self, time_ms: u64) -> i64 {
        let change = self.old_noise(time_ms) - self.old_noise(self.start_ms);
        let price = (self.base_price as f64 * (1.0 + change * 0.1)) as i64;
        (price - price % self.symbol.tick).max(self.symbol.tick)
    }

    fn old_noise(&self, time_ms: u64) -> f64 {
        let mut sum = 0.0;
        for (octave, weight) in [(3_600_000u64, 0.2), (86_400_000, 0.5), (2_592_000_000, 1.0)] {
            let at = time_ms / octave;
            let part = (time_ms % octave) as f64 / octave as f64;
            let noise = |n: u64| {
                let hash = fingerprint_level(Side::Ask, n as i64, (octave as i64) ^ self.base_price);
                (hash >> 11) as f64 / (1u64 << 53) as f64 - 0.5
            };
            sum += weight * (noise(at) * (1.0 - part) + noise(at + 1) * part);
        }
        sum
    }

    fn truth(&self, update_id: u64, bids: Vec<Level>, asks: Vec<Level>) -> Truth {
        let plain = |levels: Vec<Level>| levels.iter().rev().map(|level| (level.price, level.qty)).collect();
        let text = |mantissa: i64, scale: u8| {
            let mut out = String::new();
            super::text::put_fixed(&mut out, i128::from(mantissa), scale, scale);
            out
        };
        Truth {
            update_id,
            bids: plain(bids),
            asks: plain(asks),
            price_scale: self.symbol.price_scale,
            qty_scale: self.symbol.qty_scale,
            tick: text(self.symbol.tick, self.symbol.price_scale),
            step: text(self.symbol.step, self.symbol.qty_scale),
        }
    }
}

struct Fill {
    price: i64,
    qty: i64,
    taker: Side,
}

fn find_level(levels: &[Level], side: Side, price: i64) -> Result<usize, usize> {
    levels.binary_search_by(|level| match side {
        Side::Bid => level.price.cmp(&price),
        Side::Ask => price.cmp(&level.price),
    })
}

/// Sets a level, or takes it away with quantity zero, and returns its quantity before.
fn set_level(levels: &mut Vec<Level>, side: Side, price: i64, qty: i64) -> i64 {
    match find_level(levels, side, price) {
        Ok(at) if qty == 0 => levels.remove(at).qty,
        Ok(at) => std::mem::replace(&mut levels[at].qty, qty),
        Err(_) if qty == 0 => 0,
        Err(at) => {
            levels.insert(at, Level { price, qty });
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: [Span; 3] = [
        Span { len_ms: Some(1_000), offset_ms: 0 },
        Span { len_ms: Some(60_000), offset_ms: 0 },
        Span { len_ms: None, offset_ms: 0 },
    ];
    const START: u64 = 1_700_000_000_000_000_000;

    fn market(seed: u64, count: usize, levels: usize) -> Market {
        let config = MarketConfig {
            seed,
            symbols: symbols(count, "USDT"),
            levels,
            updates_per_s: 50,
            history: 256,
            spans: &SPANS,
        };
        Market::new(&config, START)
    }

    #[test]
    fn equal_seeds_give_equal_markets() {
        let run = |seed| {
            let mut market = market(seed, 3, 20);
            let mut events = Vec::new();
            market.run_until(START + 5_000_000_000, &mut events);
            (events, (0..3).map(|i| market.truth(i)).collect::<Vec<_>>())
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn the_book_stays_sorted_uncrossed_and_in_size() {
        for seed in 0..20 {
            let mut market = market(seed, 2, 20);
            for _ in 0..3_000 {
                market.step(&mut Vec::new());
            }
            for i in 0..2 {
                let truth = market.truth(i);
                assert!(truth.bids.windows(2).all(|w| w[0].0 > w[1].0));
                assert!(truth.asks.windows(2).all(|w| w[0].0 < w[1].0));
                assert!(truth.bids[0].0 < truth.asks[0].0);
                assert!(truth.bids.iter().chain(&truth.asks).all(|(price, qty)| *price > 0 && *qty > 0));
                for side in [&truth.bids, &truth.asks] {
                    assert!((10..=26).contains(&side.len()), "{} levels", side.len());
                }
            }
        }
    }

    #[test]
    fn the_fingerprint_is_kept_incrementally() {
        let mut market = market(3, 2, 20);
        for _ in 0..2_000 {
            market.step(&mut Vec::new());
        }
        for i in 0..2 {
            market.mark(i);
            let truth = market.truth(i);
            assert_eq!(market.truth_at(i, truth.update_id), Some(truth.fingerprint()));
        }
    }

    #[test]
    fn a_fingerprint_tells_books_apart() {
        let one = fingerprint_level(Side::Bid, 10, 5);
        assert_ne!(one, fingerprint_level(Side::Ask, 10, 5));
        assert_ne!(one, fingerprint_level(Side::Bid, 5, 10));
        let a = one.wrapping_add(fingerprint_level(Side::Bid, 11, 6));
        let b = fingerprint_level(Side::Bid, 10, 6).wrapping_add(fingerprint_level(Side::Bid, 11, 5));
        assert_ne!(a, b);
        // Pinned, because books elsewhere are compared by it.
        assert_eq!(fingerprint_level(Side::Bid, 3513, 619_500), 6_780_229_841_540_747_880);
    }

    #[test]
    fn old_books_are_rebuilt_by_undoing_changes() {
        let mut market = market(5, 1, 20);
        let mut seen = Vec::new();
        for _ in 0..200 {
            market.step(&mut Vec::new());
            market.mark(0);
            seen.push(market.truth(0));
        }
        for old in seen {
            let rebuilt = market.truth_levels_at(0, old.update_id).unwrap();
            assert_eq!(rebuilt, old);
            assert_eq!(market.truth_at(0, old.update_id), Some(old.fingerprint()));
        }
        assert_eq!(market.truth_levels_at(0, market.update_id(0) + 1), None);
    }

    #[test]
    fn history_is_bounded() {
        let mut market = market(5, 1, 20);
        let first = market.update_id(0);
        for _ in 0..5_000 {
            market.step(&mut Vec::new());
            market.mark(0);
        }
        assert_eq!(market.marks(0).len(), 256);
        assert!(market.instruments[0].changes.len() <= 256 * CHANGES_PER_MARK);
        assert_eq!(market.trades(0).len(), 256);
        assert_eq!(market.truth_at(0, first), None);
        assert_eq!(market.truth_levels_at(0, first), None);
    }

    #[test]
    fn changes_since_lists_each_change_once() {
        let mut market = market(11, 1, 20);
        let from = market.truth(0);
        for _ in 0..50 {
            market.step(&mut Vec::new());
        }
        let (mut bids, mut asks): (Vec<Level>, Vec<Level>) = (Vec::new(), Vec::new());
        for (price, qty) in from.bids.iter().rev() {
            bids.push(Level { price: *price, qty: *qty });
        }
        for (price, qty) in from.asks.iter().rev() {
            asks.push(Level { price: *price, qty: *qty });
        }
        let mut last = from.update_id;
        for change in market.changes_since(0, from.update_id) {
            assert!(change.id > last);
            last = change.id;
            let levels = if change.side == Side::Bid { &mut bids } else { &mut asks };
            assert_eq!(set_level(levels, change.side, change.price, change.new), change.old);
        }
        let now = market.truth(0);
        assert_eq!(bids.iter().rev().map(|l| (l.price, l.qty)).collect::<Vec<_>>(), now.bids);
        assert_eq!(asks.iter().rev().map(|l| (l.price, l.qty)).collect::<Vec<_>>(), now.asks);
    }

    #[test]
    fn candles_and_statistics_follow_from_the_trades() {
        let mut market = market(2, 1, 20);
        let mut events = Vec::new();
        market.run_until(START + 90_000_000_000, &mut events);
        let trades: Vec<Trade> = events
            .iter()
            .filter_map(|event| match event {
                Event::Trade(_, trade) => Some(*trade),
                _ => None,
            })
            .collect();
        assert!(trades.len() > 100);
        assert!(trades.windows(2).all(|w| w[1].id == w[0].id + 1 && w[1].time_ns >= w[0].time_ns));
        let stats = market.stats(0, DAY_MS, START + 90_000_000_000);
        // The opening trade comes before the start.
        let opening = trades[0].id - stats.first.unwrap();
        assert!((1..=3).contains(&opening), "{opening}");
        assert_eq!(stats.trades, trades.len() as u64 + opening);
        assert_eq!(stats.last, trades.last().unwrap().price);
        assert!(stats.high >= trades.iter().map(|t| t.price).max().unwrap());
        market.roll(0, 1, START + 90_000_000_000);
        let (current, closed) = market.candles(0, 1).unwrap();
        let in_current: Vec<&Trade> = trades.iter().filter(|t| t.time_ns / 1_000_000 >= current.open_ms).collect();
        assert_eq!(current.volume, in_current.iter().map(|t| t.qty).sum::<i64>());
        assert_eq!(current.open, in_current[0].price);
        assert!(closed.iter().zip(closed.iter().skip(1)).all(|(a, b)| b.open_ms == a.open_ms + 60_000));
    }

    #[test]
    fn aggregates_cover_their_trades() {
        let mut market = market(9, 1, 20);
        let mut events = Vec::new();
        market.run_until(START + 20_000_000_000, &mut events);
        let mut since = Vec::new();
        let mut seen = 0;
        for event in &events {
            match event {
                Event::Trade(_, trade) => since.push(*trade),
                Event::Agg(_, agg) => {
                    assert_eq!((since[0].id, since.last().unwrap().id), (agg.first, agg.last));
                    assert_eq!(since.iter().map(|t| t.qty).sum::<i64>(), agg.qty);
                    assert!(since.iter().all(|t| t.price == agg.price && t.buyer_is_maker == agg.buyer_is_maker));
                    since.clear();
                    seen += 1;
                }
                Event::Top(..) => {}
            }
        }
        assert!(seen > 20);
    }

    #[test]
    fn spans_begin_where_calendars_say() {
        let week = Span { len_ms: Some(7 * DAY_MS), offset_ms: 3 * DAY_MS };
        // 2023-11-14 22:13:20 is a Tuesday; its week began on Monday the 13th.
        assert_eq!(week.open_ms(1_700_000_000_000), 1_699_833_600_000);
        let month = Span { len_ms: None, offset_ms: 0 };
        assert_eq!(month.open_ms(1_700_000_000_000), 1_698_796_800_000);
        assert_eq!(month.next_ms(1_698_796_800_000), 1_701_388_800_000);
        assert_eq!(month.previous_ms(1_698_796_800_000), 1_696_118_400_000);
        // 2024-02-29 12:00.
        assert_eq!(month.open_ms(1_709_208_000_000), 1_706_745_600_000);
        assert_eq!(month.next_ms(1_706_745_600_000), 1_709_251_200_000);
        let day8 = Span { len_ms: Some(DAY_MS), offset_ms: 8 * 3_600_000 };
        assert_eq!(day8.open_ms(1_700_000_000_000), 1_699_977_600_000);
    }

    #[test]
    fn two_thousand_symbols_have_names_of_their_own() {
        let list = symbols(5_000, "USDT");
        assert_eq!(list.len(), SYMBOLS_MAX);
        let names: std::collections::HashSet<&str> = list.iter().map(|symbol| symbol.name.as_str()).collect();
        assert_eq!(names.len(), SYMBOLS_MAX);
        assert_eq!(list[0].name, "BTCUSDT");
        assert_eq!(symbols(1, "EUR")[0].name, "BTCEUR");
    }
}
