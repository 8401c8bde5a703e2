//! Checksums by which venues let us prove that a book is theirs.
//!
//! All are CRC-32 (IEEE, as in zlib) over the text of the best levels. The text is made from mantissas, never kept from
//! messages: each venue has a rule for writing numbers, and by that rule one value has one text.
//!
//! Printing dozens of numbers is slow beside everything else that happens to a book, so the texts of levels are kept
//! and only those of changed levels are printed again. That asks for one [`Checksum`] a book.

use super::side::{BookSide, Level};
use crate::decimal::{SCALE_MAX, Text};

/// Scales of prices and quantities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scales {
    /// Decimals of a price.
    pub price: u8,
    /// Decimals of a quantity.
    pub qty: u8,
}

/// The checksum that came with a message, and how it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// [`Checksum::okx`].
    Okx(i32),
    /// [`Checksum::kraken`].
    Kraken {
        /// The checksum.
        crc: u32,
        /// The decimals with which numbers are printed for it.
        printed: Scales,
    },
}

impl Expected {
    /// The checksum itself.
    pub fn value(self) -> u32 {
        match self {
            Expected::Okx(crc) => crc.cast_unsigned(),
            Expected::Kraken { crc, .. } => crc,
        }
    }
}

/// How many levels of a side kraken's checksum covers, whatever the depth of the book.
pub const KRAKEN_LEVELS: usize = 10;
/// How many levels of a side okx's checksum covers.
pub const OKX_LEVELS: usize = 25;
/// How many levels of a side bitfinex's checksum covers.
pub const BITFINEX_LEVELS: usize = 25;
/// How many levels of a side ftx's checksum covers.
pub const FTX_LEVELS: usize = 100;

/// Computes the checksums of one book. Levels come best first; more than the venue counts are ignored, fewer are what
/// the venue has, too.
///
/// Right for any levels, fast if most of them are those of the last time: texts are kept by rank and move along with
/// their level, the joined text is made anew from the first rank that changed, and nothing is done if none did.
#[derive(Debug)]
pub struct Checksum {
    /// How the texts were made.
    rule: Option<Rule>,
    bids: Ranks,
    asks: Ranks,
    /// The text to be checked, up to `len`.
    text: Box<TextBuffer>,
    len: usize,
    /// Where each rank starts in it, if sides alternate.
    starts: Box<[u16; FTX_LEVELS]>,
    /// Its checksum.
    crc: u32,
}

/// The levels of one side with their texts, best first.
#[derive(Debug)]
struct Ranks {
    side: BookSide,
    levels: Vec<Level>,
    /// Where the text of each level is kept.
    slots: Vec<u8>,
    lines: Box<[Line; LINES]>,
    free: Vec<u8>,
    /// What there was before, while levels move.
    before: Vec<(Level, u8)>,
}

/// A level as it is printed.
#[derive(Clone, Copy, Debug)]
struct Line {
    text: [u8; LINE_LEN_MAX],
    len: u8,
}

/// All levels may be new while the old ones are still kept. As many as a slot can name, so that none needs a check.
const LINES: usize = 256;
const _: () = assert!(LINES >= 2 * FTX_LEVELS);
/// Two numbers, two colons and a sign; a multiple of 8 together with the length.
const LINE_LEN_MAX: usize = 71;
/// Copied at once, because a copy of fixed length is a few instructions. Most lines are shorter.
const COPIED_AT_ONCE: usize = 32;
/// Where a line may start. A power of two, so that a mask shows the compiler that there is room for it.
const TEXT_STARTS: usize = 1 << 14;
const _: () = assert!(TEXT_STARTS >= 2 * FTX_LEVELS * LINE_LEN_MAX);

type TextBuffer = [u8; TEXT_STARTS + LINE_LEN_MAX];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Digits { held: Scales, printed: Scales },
    Plain(Scales),
    JavaScript(Scales),
    Python(Scales),
}

impl Checksum {
    /// Takes memory for the longest text.
    pub fn new() -> Checksum {
        Checksum {
            rule: None,
            bids: Ranks::new(BookSide::Bid),
            asks: Ranks::new(BookSide::Ask),
            text: Box::new([0; TEXT_STARTS + LINE_LEN_MAX]),
            len: 0,
            starts: Box::new([0; FTX_LEVELS]),
            crc: 0,
        }
    }

    /// Kraken: ten asks, then ten bids, of each the digits of price and quantity at the pair's own precision without
    /// point and leading zeros. `held` are the scales of `bids` and `asks`, `printed` the precision: of the pair in
    /// version 2 of the protocol, of the numbers as they are sent in version 1.
    ///
    /// `None` if a level has more decimals than are printed or a negative number, so that it cannot be one of this pair.
    pub fn kraken(
        &mut self,
        bids: impl IntoIterator<Item = Level>,
        asks: impl IntoIterator<Item = Level>,
        held: Scales,
        printed: Scales,
    ) -> Option<u32> {
        let rule = Rule::Digits { held, printed };
        let first = self.update(bids, asks, KRAKEN_LEVELS, rule)?;
        if first.is_some() {
            let mut len = 0;
            for side in [&self.asks, &self.bids] {
                for slot in &side.slots {
                    len = push(&mut self.text, len, &side.lines[usize::from(*slot)]);
                }
            }
            self.len = len;
            self.crc = crc32fast::hash(self.text.get(..self.len).unwrap_or_default());
        }
        Some(self.crc)
    }

    /// Okx and okcoin: `price:quantity` of bid, ask, bid ... for 25 levels, in plain decimals without needless zeros.
    /// What is left of the longer side follows alone.
    pub fn okx(
        &mut self,
        bids: impl IntoIterator<Item = Level>,
        asks: impl IntoIterator<Item = Level>,
        scales: Scales,
    ) -> i32 {
        self.interleaved(bids, asks, OKX_LEVELS, Rule::Plain(scales)).cast_signed()
    }

    /// Bitfinex (`OB_CHECKSUM`): as okx, but with negative quantities for asks and numbers as JavaScript prints them:
    /// `7e-7` below 0.000001.
    pub fn bitfinex(
        &mut self,
        bids: impl IntoIterator<Item = Level>,
        asks: impl IntoIterator<Item = Level>,
        scales: Scales,
    ) -> i32 {
        self.interleaved(bids, asks, BITFINEX_LEVELS, Rule::JavaScript(scales)).cast_signed()
    }

    /// Ftx: as okx with 100 levels, but numbers as Python prints floats: `83274.0`, and `2.262e-05` below 0.0001.
    pub fn ftx(
        &mut self,
        bids: impl IntoIterator<Item = Level>,
        asks: impl IntoIterator<Item = Level>,
        scales: Scales,
    ) -> u32 {
        self.interleaved(bids, asks, FTX_LEVELS, Rule::Python(scales))
    }

    fn interleaved(
        &mut self,
        bids: impl IntoIterator<Item = Level>,
        asks: impl IntoIterator<Item = Level>,
        levels: usize,
        rule: Rule,
    ) -> u32 {
        // These rules print every number, so there is always an outcome.
        let Some(Some(first)) = self.update(bids, asks, levels, rule) else { return self.crc };
        let (bids, asks) = (self.bids.slots.len(), self.asks.slots.len());
        self.len = match first {
            0 => 0,
            // The rank before is as it was, so this one starts where it did.
            first => self.starts.get(first).map_or(0, |start| usize::from(*start)),
        };
        // In a register, while `self` is in memory.
        let mut len = self.len;
        let both = bids.min(asks);
        let [bid_lines, ask_lines] = [&self.bids, &self.asks].map(|side| side.slots.get(first..).unwrap_or_default());
        let starts = self.starts.get_mut(first..).unwrap_or_default();
        for ((start, bid), ask) in starts.iter_mut().zip(bid_lines).zip(ask_lines) {
            *start = len as u16;
            len = push(&mut self.text, len, &self.bids.lines[usize::from(*bid)]);
            len = push(&mut self.text, len, &self.asks.lines[usize::from(*ask)]);
        }
        // What is left of the longer side.
        let longer = if bids > asks { &self.bids } else { &self.asks };
        for rank in first.max(both)..bids.max(asks) {
            if let Some(start) = self.starts.get_mut(rank) {
                *start = len as u16;
            }
            len = push(&mut self.text, len, longer.line(rank));
        }
        self.len = len;
        // Where the next rank would start, if it comes.
        if let Some(start) = self.starts.get_mut(bids.max(asks)) {
            *start = self.len as u16;
        }
        // Each level ends with a colon, which the last one has not.
        self.crc = crc32fast::hash(self.text.get(..self.len.saturating_sub(1)).unwrap_or_default());
        self.crc
    }

    /// Takes over the levels, and says from which rank on the text has to be joined anew; `Some(None)` if it is as it
    /// was. `None` if the rule has no text for a level.
    fn update(
        &mut self,
        bids: impl IntoIterator<Item = Level>,
        asks: impl IntoIterator<Item = Level>,
        levels: usize,
        rule: Rule,
    ) -> Option<Option<usize>> {
        let is_new = self.rule != Some(rule);
        if is_new {
            self.bids.clear();
            self.asks.clear();
        }
        // Unless all goes well, nothing is relied on next time.
        self.rule = None;
        let bids = self.bids.update(bids.into_iter(), levels, rule)?;
        let asks = self.asks.update(asks.into_iter(), levels, rule)?;
        self.rule = Some(rule);
        let first = bids.min(asks);
        Some(if is_new { Some(0) } else { Some(first).filter(|first| *first < usize::MAX) })
    }
}

/// Puts a line at `len`, and returns where it ends.
#[inline(always)]
fn push(text: &mut TextBuffer, len: usize, line: &Line) -> usize {
    // The mask changes nothing, because no rule asks for more than `FTX_LEVELS` of a side.
    let start = len & (TEXT_STARTS - 1);
    let room = &mut text[start..start + LINE_LEN_MAX];
    room[..COPIED_AT_ONCE].copy_from_slice(&line.text[..COPIED_AT_ONCE]);
    if usize::from(line.len) > COPIED_AT_ONCE {
        room[COPIED_AT_ONCE..].copy_from_slice(&line.text[COPIED_AT_ONCE..]);
    }
    len + usize::from(line.len)
}

impl Ranks {
    fn new(side: BookSide) -> Ranks {
        let lines = Box::new([Line { text: [0; LINE_LEN_MAX], len: 0 }; LINES]);
        let mut ranks = Ranks {
            side,
            levels: Vec::with_capacity(FTX_LEVELS),
            slots: Vec::with_capacity(FTX_LEVELS),
            lines,
            free: Vec::with_capacity(LINES),
            before: Vec::with_capacity(FTX_LEVELS),
        };
        ranks.clear();
        ranks
    }

    fn clear(&mut self) {
        self.levels.clear();
        self.slots.clear();
        self.free.clear();
        self.free.extend((0..=u8::MAX).rev());
    }

    #[inline]
    fn line(&self, rank: usize) -> &Line {
        &self.lines[usize::from(self.slots[rank])]
    }

    /// Takes over the best `count` levels, and says which rank is the first that changed; `usize::MAX` if none did.
    /// `None` if the rule has no text for a level.
    #[inline]
    fn update(&mut self, mut levels: impl Iterator<Item = Level>, count: usize, rule: Rule) -> Option<usize> {
        let mut first = usize::MAX;
        let mut rank = 0;
        loop {
            // Tight, since most levels are as they were.
            let kept = self.levels.get(rank..).unwrap_or_default();
            let mut odd = None;
            let mut same = 0;
            for before in kept {
                let next = levels.next();
                match next {
                    Some(level) if (level.price ^ before.price) | (level.qty ^ before.qty) == 0 => same += 1,
                    next => {
                        odd = Some((before.price, next));
                        break;
                    }
                }
            }
            rank += same;
            let Some((price, next)) = odd else { break };
            first = first.min(rank);
            match next {
                Some(level) if level.price == price => {
                    self.levels[rank] = level;
                    self.print(self.slots[rank], level, rule)?;
                    rank += 1;
                }
                Some(level) => {
                    self.move_from(rank, level, levels.take(count - rank - 1), rule)?;
                    return Some(first);
                }
                None => {
                    self.free.extend(self.slots.drain(rank..));
                    self.levels.truncate(rank);
                    return Some(first);
                }
            }
        }
        for level in levels.take(count.saturating_sub(rank)) {
            first = first.min(self.levels.len());
            self.add(level, rule)?;
        }
        Some(first)
    }

    /// From `rank` on levels came or went: those that stayed keep their texts. Any order is right; the book's is fast.
    fn move_from(&mut self, rank: usize, level: Level, levels: impl Iterator<Item = Level>, rule: Rule) -> Option<()> {
        self.before.clear();
        self.before.extend(self.levels.drain(rank..).zip(self.slots.drain(rank..)));
        let before = std::mem::take(&mut self.before);
        let mut old = before.iter().peekable();
        let is_bid = self.side == BookSide::Bid;
        for level in std::iter::once(level).chain(levels) {
            while let Some((_, slot)) =
                old.next_if(|(old, _)| (old.price > level.price) == is_bid && old.price != level.price)
            {
                self.free.push(*slot);
            }
            match old.next_if(|(old, _)| old.price == level.price) {
                Some((was, slot)) => {
                    self.levels.push(level);
                    self.slots.push(*slot);
                    if *was != level {
                        self.print(*slot, level, rule)?;
                    }
                }
                None => self.add(level, rule)?,
            }
        }
        self.free.extend(old.map(|(_, slot)| *slot));
        self.before = before;
        Some(())
    }

    fn add(&mut self, level: Level, rule: Rule) -> Option<()> {
        let slot = self.free.pop()?;
        self.levels.push(level);
        self.slots.push(slot);
        self.print(slot, level, rule)
    }

    fn print(&mut self, slot: u8, level: Level, rule: Rule) -> Option<()> {
        let line = &mut self.lines[usize::from(slot)];
        line.len = print(rule, level, self.side, &mut line.text)? as u8;
        Some(())
    }
}

impl Default for Checksum {
    fn default() -> Checksum {
        Checksum::new()
    }
}

/// Prints a level and returns the length of its text.
#[inline(never)]
fn print(rule: Rule, level: Level, side: BookSide, out: &mut [u8; LINE_LEN_MAX]) -> Option<usize> {
    type Number = fn(&mut Text, i64, u8) -> &[u8];
    let (number, scales): (Number, Scales) = match rule {
        Rule::Digits { held, printed } => {
            let len = put_digits(level.price, held.price, printed.price, out)?;
            return Some(len + put_digits(level.qty, held.qty, printed.qty, out.get_mut(len..)?)?);
        }
        Rule::Plain(scales) => (Text::canonical, scales),
        Rule::JavaScript(scales) => (java_script, scales),
        Rule::Python(scales) => (python, scales),
    };
    let sign = if side == BookSide::Ask && matches!(rule, Rule::JavaScript(_)) { "-" } else { "" };
    let (mut price, mut qty) = (Text::new(), Text::new());
    let mut len = 0;
    for part in [
        number(&mut price, level.price, scales.price),
        b":",
        sign.as_bytes(),
        number(&mut qty, level.qty, scales.qty),
        b":",
    ] {
        out.get_mut(len..len + part.len())?.copy_from_slice(part);
        len += part.len();
    }
    Some(len)
}

fn put_digits(mantissa: i64, held: u8, printed: u8, out: &mut [u8]) -> Option<usize> {
    let mut mantissa = u64::try_from(mantissa).ok()?;
    for _ in printed..held {
        if !mantissa.is_multiple_of(10) {
            return None;
        }
        mantissa /= 10;
    }
    if mantissa == 0 {
        // There would be only leading zeros.
        return Some(0);
    }
    let mut text = Text::new();
    let digits = text.digits(mantissa);
    let zeros = usize::from(printed.min(SCALE_MAX).saturating_sub(held));
    out.get_mut(..digits.len())?.copy_from_slice(digits);
    out.get_mut(digits.len()..digits.len() + zeros)?.fill(b'0');
    Some(digits.len() + zeros)
}

/// As JavaScript's `String(number)`: an exponent below 0.000001. Above 10^21 as well, which an `i64` does not reach.
fn java_script(text: &mut Text, mantissa: i64, scale: u8) -> &[u8] {
    match exponent(text, mantissa, scale) {
        Some(exponent) if exponent < -6 => text.scientific(mantissa, exponent, 1),
        _ => text.canonical(mantissa, scale),
    }
}

/// As Python's `repr(float)`: an exponent of two digits below 0.0001 and from 10^16 on, otherwise always a fraction.
fn python(text: &mut Text, mantissa: i64, scale: u8) -> &[u8] {
    match exponent(text, mantissa, scale) {
        Some(exponent) if !(-4..16).contains(&exponent) => text.scientific(mantissa, exponent, 2),
        _ => text.with_fraction(mantissa, scale),
    }
}

/// The power of ten of the first digit. `None` for zero.
fn exponent(text: &mut Text, mantissa: i64, scale: u8) -> Option<i32> {
    if mantissa == 0 {
        return None;
    }
    let digits = text.digits(mantissa.unsigned_abs()).len();
    Some(digits as i32 - 1 - i32::from(scale.min(SCALE_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal;

    /// Levels from `price/qty price/qty`, at the scales.
    fn levels(text: &str, scales: Scales) -> Vec<Level> {
        text.split_whitespace()
            .map(|level| {
                let (price, qty) = level.split_once('/').unwrap();
                let number =
                    |text: &str, scale| decimal::parse_exact(text.trim_start_matches('-').as_bytes(), scale).unwrap();
                Level { price: number(price, scales.price), qty: number(qty, scales.qty) }
            })
            .collect()
    }

    const fn scales(price: u8, qty: u8) -> Scales {
        Scales { price, qty }
    }

    #[test]
    fn kraken_worked_example() {
        // BTC/USD, from the checksum guide of version 2.
        let asks = "45285.2/0.00100000 45286.4/1.54571953 45286.6/1.54571109 45289.6/1.54560911 45290.2/0.15890660 45291.8/1.54553491 45294.7/0.04454749 45296.1/0.35380000 45297.5/0.09945542 45299.5/0.18772827";
        let bids = "45283.5/0.10000000 45283.4/1.54582015 45282.1/0.10000000 45281.0/0.10000000 45280.3/1.54592586 45279.0/0.07990000 45277.6/0.03310103 45277.5/0.30000000 45277.3/1.54602737 45276.6/0.15445238";
        let mut checksum = Checksum::new();
        let mut of = |held: Scales, printed| checksum.kraken(levels(bids, held), levels(asks, held), held, printed);
        assert_eq!(of(scales(1, 8), scales(1, 8)), Some(3_310_070_434));
        // The same from a book that is held more finely, or less finely printed than it is.
        assert_eq!(of(scales(5, 10), scales(1, 8)), Some(3_310_070_434));
        assert_eq!(of(scales(1, 8), scales(0, 8)), None);
        assert_ne!(of(scales(1, 8), scales(2, 8)), Some(3_310_070_434));
    }

    #[test]
    fn kraken_pads_to_the_precision_and_takes_ten() {
        let held = scales(1, 0);
        let mut checksum = Checksum::new();
        let many: Vec<Level> = (0..20).map(|n| Level { price: 1000 - n, qty: 1 }).collect();
        let ten = checksum.kraken(many[..10].iter().copied(), [], held, held);
        assert_eq!(checksum.kraken(many, [], held, held), ten);
        checksum.kraken([Level { price: 5, qty: 3 }], [Level { price: 12, qty: 0 }], held, scales(3, 2)).unwrap();
        assert_eq!(&checksum.text[..checksum.len], b"1200500300");
        assert_eq!(checksum.kraken([], [], held, held), Some(0));
        assert_eq!(checksum.kraken([Level { price: -1, qty: 1 }], [], held, held), None);
    }

    #[test]
    fn okx_worked_examples() {
        let mut checksum = Checksum::new();
        let held = scales(4, 2);
        assert_eq!(checksum.okx([], levels("0.0005/305 0.001/550", held), held), 971_343_753);
        assert_eq!(&checksum.text[..checksum.len], b"0.0005:305:0.001:550:");
        assert_eq!(checksum.okx([], levels("0.0015/906", held), held), -288_111_842);
        checksum.okx(levels("30233.6/3 30219.4/104 1/1", held), levels("30238.8/2 30249.5/50", held), held);
        assert_eq!(&checksum.text[..checksum.len], b"30233.6:3:30238.8:2:30219.4:104:30249.5:50:1:1:");
        assert_eq!(checksum.okx([], [], held), 0);
        let many = vec![Level { price: 1, qty: 1 }; 40];
        checksum.okx(many.clone(), many, scales(0, 0));
        assert_eq!(checksum.len, 25 * 2 * 4);
    }

    #[test]
    fn bitfinex_worked_example() {
        // tXRPBTC with P0, 25 levels, of which the bids have only 18.
        let bids = "0.0000011/266122.94 0.00000109/500793.10790141 0.00000108/776367.43 0.00000107/23329.54842056 0.00000106/116868.87735849 0.00000105/205000 0.00000103/227308.25386407 0.00000102/105000 0.00000101/2970 0.000001/21000 7e-7/10000 6.6e-7/10000 6e-7/100000 4.9e-7/10000 2.5e-7/2000 6e-8/100000 5e-8/200000 1e-8/640000";
        let asks = "0.00000111/-4847.13 0.00000112/-528102.69042633 0.00000113/-302397.07 0.00000114/-339088.93 0.00000126/-245944.06 0.00000127/-5000 0.0000013/-5000 0.00000134/-8249.18938656 0.00000136/-13161.25184766 0.00000145/-2914 0.0000015/-54448.5 0.00000152/-5538.54849594 0.00000153/-62691.75475079 0.00000159/-2914 0.0000016/-52631.10296831 0.00000164/-4000 0.00000166/-3831.46784605 0.00000171/-14575.17730379 0.00000174/-3124.81815395 0.0000018/-18000 0.00000182/-16000 0.00000186/-4000 0.00000189/-10000.686624 0.00000191/-14500 0.00000193/-2422";
        let mut checksum = Checksum::new();
        for held in [scales(8, 8), scales(12, 8)] {
            assert_eq!(checksum.bitfinex(levels(bids, held), levels(asks, held), held), -1_175_357_890);
            assert_eq!(checksum.len, 851 + 1);
        }
    }

    #[test]
    fn numbers_of_java_script_and_python() {
        let cases: &[(&str, &str, &str)] = &[
            ("0", "0", "0.0"),
            ("0.000001", "0.000001", "1e-06"),
            ("0.0000010", "0.000001", "1e-06"),
            ("0.00000125", "0.00000125", "1.25e-06"),
            ("0.00000099", "9.9e-7", "9.9e-07"),
            ("0.000000000001", "1e-12", "1e-12"),
            ("0.00009999", "0.00009999", "9.999e-05"),
            ("0.0001", "0.0001", "0.0001"),
            ("83274", "83274", "83274.0"),
            ("83274.5", "83274.5", "83274.5"),
            ("100", "100", "100.0"),
            ("9999999999999999", "9999999999999999", "9999999999999999.0"),
            ("10000000000000000", "10000000000000000", "1e+16"),
            ("123456789000000000", "123456789000000000", "1.23456789e+17"),
            ("-0.0000005", "-5e-7", "-5e-07"),
        ];
        for &(plain, java, py) in cases {
            let fixed: decimal::Fixed = plain.parse().unwrap();
            for scale in fixed.scale()..=SCALE_MAX {
                let Ok(mantissa) = fixed.rescale(scale) else { continue };
                assert_eq!(java_script(&mut Text::new(), mantissa, scale), java.as_bytes(), "{plain} at {scale}");
                assert_eq!(python(&mut Text::new(), mantissa, scale), py.as_bytes(), "{plain} at {scale}");
            }
        }
    }

    #[test]
    fn kept_texts_are_those_of_the_level() {
        // Every way to be another level or to be printed in another way.
        let mut kept = Checksum::new();
        let mut of = |price, qty, scale| {
            let level = [Level { price, qty }];
            let held = scales(scale, scale);
            let mut fresh = Checksum::new();
            for _ in 0..2 {
                assert_eq!(kept.okx(level, [], held), fresh.okx(level, [], held));
                assert_eq!(kept.okx([], level, held), fresh.okx([], level, held));
                assert_eq!(kept.bitfinex([], level, held), fresh.bitfinex([], level, held));
                assert_eq!(kept.bitfinex(level, level, held), fresh.bitfinex(level, level, held));
                assert_eq!(kept.ftx(level, level, held), fresh.ftx(level, level, held));
                let four = scales(scale + 4, scale);
                assert_eq!(kept.kraken(level, level, held, four), fresh.kraken(level, level, held, four));
            }
        };
        for price in [0, 1, 5, i64::MAX, -3] {
            for qty in [0, 1, 7, i64::MAX, 70] {
                for scale in [0, 1, 8] {
                    of(price, qty, scale);
                }
            }
        }
        // A book that changes at random, against one that remembers nothing.
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut bids, mut asks) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
        let held = scales(1, 8);
        for step in 0..4_000 {
            for side in [&mut bids, &mut asks] {
                for _ in 0..rng.usize(0..4) {
                    let price = 100_000 + rng.i64(0..if step % 100 < 50 { 40 } else { 400 });
                    match rng.u8(0..3) {
                        0 => side.remove(&price),
                        1 => side.insert(price, rng.i64(1..50) * 10_000_000),
                        _ => side.insert(price, rng.i64(1..i64::MAX)),
                    };
                }
            }
            let level = |(price, qty): (&i64, &i64)| Level { price: *price, qty: *qty };
            let sorted = || (bids.iter().rev().map(level), asks.iter().map(level));
            let (b, a) = sorted();
            let (fresh_b, fresh_a) = sorted();
            assert_eq!(kept.okx(b, a, held), Checksum::new().okx(fresh_b, fresh_a, held), "step {step}");
            if step % 7 == 0 {
                // Another rule in between, and levels in no order.
                let (b, a) = sorted();
                let (fresh_b, fresh_a) = sorted();
                assert_eq!(kept.ftx(a, b, held), Checksum::new().ftx(fresh_a, fresh_b, held), "step {step}");
            }
        }
        // One rule, so that only the level differs: prices that share a place, and quantities at one price.
        for n in 0..2000 {
            let level = [Level { price: if n < 1000 { n % 150 } else { n % 5 }, qty: n / 7 }];
            assert_eq!(kept.okx(level, level, held), Checksum::new().okx(level, level, held));
        }
        assert_eq!(size_of::<Line>(), 72);
    }
}
