//! Checksums by which venues let us prove that a book is theirs.
//!
//! All are CRC-32 (IEEE, as in zlib) over the text of the best levels. The text is made from mantissas, never kept from
//! messages: each venue has a rule for writing numbers, and by that rule one value has one text.
//!
//! Printing dozens of numbers is slow beside everything else that happens to a book, so what a level adds to a checksum is
//! kept (see [`sys::lines`](crate::sys)), and only levels that are new or changed are printed. That asks for one
//! [`Checksum`] a book.

use super::side::{BookSide, Entry, Side};
use crate::decimal::{SCALE_MAX, Text};
use crate::sys::lines::Line;
use std::slice;

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
    /// [`Checksum::bitfinex`].
    Bitfinex(i32),
}

impl Expected {
    /// The checksum itself.
    pub fn value(self) -> u32 {
        match self {
            Expected::Okx(crc) | Expected::Bitfinex(crc) => crc.cast_unsigned(),
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

/// Computes the checksums of one book, of the known levels of its sides; more than the venue counts are ignored, fewer
/// are what the venue has, too.
///
/// Right for any sides, fast if most levels are those of the last time: what a level adds is looked up by its price and
/// holds if the quantity is the same, wherever the level stands now.
#[derive(Debug)]
pub struct Checksum {
    state: Box<State>,
}

#[derive(Debug)]
struct State {
    /// How the lines were printed; `None` if none of them can be relied on.
    rule: Option<Rule>,
    bids: Lines,
    asks: Lines,
}

/// The lines of one side.
#[derive(Debug)]
struct Lines {
    side: BookSide,
    /// Each level has one place, which it may lose to another one: that is printed again then. The hundred prices in a
    /// row that are nearest to each other all have places of their own, whatever the step between them.
    places: [Place; PLACES],
    /// A level could not be printed.
    failed: bool,
    /// The levels that kraken's checksum was made of the last time, if they were as many as there may be, and what all
    /// of them add.
    whole: [Entry; KRAKEN_LEVELS],
    whole_line: Line,
}

/// A level and what it adds.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Place {
    level: Entry,
    line: Line,
}

/// No level has this key.
const NOTHING: Entry = Entry { key: i64::MIN, qty: 0 };
/// As many as eight bits can tell apart, so that no index needs a check.
const PLACES: usize = 256;
/// Two numbers of at most 25 bytes (as Python prints them), two colons and a sign. The digits of two numbers for kraken
/// could be more, if 25 of them were zeros behind the last decimal that any level of the book ever had.
const LINE_LEN_MAX: usize = 62;
const _: () = assert!(LINE_LEN_MAX >= 2 * 25 + 3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Digits { held: Scales, printed: Scales },
    Plain(Scales),
    JavaScript(Scales),
    Python(Scales),
}

impl Checksum {
    /// Takes memory for the lines of both sides.
    pub fn new() -> Checksum {
        Checksum {
            state: Box::new(State { rule: None, bids: Lines::new(BookSide::Bid), asks: Lines::new(BookSide::Ask) }),
        }
    }

    /// Kraken: ten asks, then ten bids, of each the digits of price and quantity at the pair's own precision without
    /// point and leading zeros. `held` are the scales of `bids` and `asks`, `printed` the precision: of the pair in
    /// version 2 of the protocol, of the numbers as they are sent in version 1.
    ///
    /// `None` if a level has more decimals than are printed or a negative number, so that it cannot be one of this pair.
    pub fn kraken(&mut self, bids: &Side, asks: &Side, held: Scales, printed: Scales) -> Option<u32> {
        debug_assert_eq!((bids.side(), asks.side()), (BookSide::Bid, BookSide::Ask));
        self.state.successive(bids.best_entries(KRAKEN_LEVELS), asks.best_entries(KRAKEN_LEVELS), held, printed)
    }

    /// Okx and okcoin: `price:quantity` of bid, ask, bid ... for 25 levels, in plain decimals without needless zeros.
    /// What is left of the longer side follows alone.
    pub fn okx(&mut self, bids: &Side, asks: &Side, scales: Scales) -> i32 {
        self.interleaved(bids, asks, OKX_LEVELS, Rule::Plain(scales)).cast_signed()
    }

    /// Bitfinex (`OB_CHECKSUM`): as okx, but with negative quantities for asks and numbers as JavaScript prints them:
    /// `7e-7` below 0.000001.
    pub fn bitfinex(&mut self, bids: &Side, asks: &Side, scales: Scales) -> i32 {
        self.interleaved(bids, asks, BITFINEX_LEVELS, Rule::JavaScript(scales)).cast_signed()
    }

    /// Ftx: as okx with 100 levels, but numbers as Python prints floats: `83274.0`, and `2.262e-05` below 0.0001.
    pub fn ftx(&mut self, bids: &Side, asks: &Side, scales: Scales) -> u32 {
        self.interleaved(bids, asks, FTX_LEVELS, Rule::Python(scales))
    }

    fn interleaved(&mut self, bids: &Side, asks: &Side, count: usize, rule: Rule) -> u32 {
        debug_assert_eq!((bids.side(), asks.side()), (BookSide::Bid, BookSide::Ask));
        // These rules print every number, so there is always an outcome.
        self.state.interleaved(bids.best_entries(count), asks.best_entries(count), rule).unwrap_or_default()
    }
}

impl State {
    fn successive(&mut self, bids: &[Entry], asks: &[Entry], held: Scales, printed: Scales) -> Option<u32> {
        let rule = Rule::Digits { held, printed };
        self.begin(rule);
        let bids = self.bids.whole(bids, rule);
        let whole = self.asks.whole(asks, rule).followed_by(bids);
        self.end()?;
        Some(whole.crc())
    }

    fn interleaved(&mut self, bids: &[Entry], asks: &[Entry], rule: Rule) -> Option<u32> {
        self.begin(rule);
        // Entries are sorted from the worst to the best, as the text is from its end to its start.
        let both = bids.len().min(asks.len());
        let (more_bids, bids) = bids.split_at(bids.len() - both);
        let (more_asks, asks) = asks.split_at(asks.len() - both);
        let mut text = Line::EMPTY;
        // What is left of the longer side.
        if !more_bids.is_empty() {
            text = text.behind(Rows { levels: more_bids.iter(), lines: &mut self.bids, rule });
        } else if !more_asks.is_empty() {
            text = text.behind(Rows { levels: more_asks.iter(), lines: &mut self.asks, rule });
        }
        let bids = Rows { levels: bids.iter(), lines: &mut self.bids, rule };
        text = text.behind(Pairs { bids, asks: Rows { levels: asks.iter(), lines: &mut self.asks, rule } });
        self.end()?;
        // Each level ends with a colon, which the last one has not.
        Some(text.crc_without(b':'))
    }

    #[inline]
    fn begin(&mut self, rule: Rule) {
        if self.rule != Some(rule) {
            self.bids.clear();
            self.asks.clear();
            self.rule = Some(rule);
        }
    }

    /// `None` if a level could not be printed.
    #[inline]
    fn end(&mut self) -> Option<()> {
        if self.bids.failed | self.asks.failed {
            self.rule = None;
            return None;
        }
        Some(())
    }
}

impl Lines {
    fn new(side: BookSide) -> Lines {
        let places = [Place { level: NOTHING, line: Line::EMPTY }; PLACES];
        Lines { side, places, failed: false, whole: [NOTHING; KRAKEN_LEVELS], whole_line: Line::EMPTY }
    }

    #[cold]
    fn clear(&mut self) {
        self.places.fill(Place { level: NOTHING, line: Line::EMPTY });
        self.failed = false;
        self.whole[0] = NOTHING;
    }

    /// What one level adds.
    #[inline(always)]
    fn line(&mut self, level: &Entry, rule: Rule) -> Line {
        // By this factor numbers of any step come far apart.
        let number = (level.key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        let place = &mut self.places[usize::from(number as u8)];
        if place.level.key == level.key && place.level.qty == level.qty {
            return place.line;
        }
        self.print(level, usize::from(number as u8), rule)
    }

    /// Prints a level that is new or changed.
    #[inline(never)]
    fn print(&mut self, level: &Entry, place: usize, rule: Rule) -> Line {
        let numbers = [self.side.price(level.key), level.qty];
        let mut line = match rule {
            Rule::Plain(Scales { price, qty }) => Line::of_decimals(numbers, [price, qty]),
            Rule::Digits { held, printed } if held == printed => Line::of_digits(numbers),
            _ => Line::EMPTY,
        };
        if line.is_empty() {
            let plain = print_plainly(rule, self.side, numbers);
            self.failed |= plain.is_none();
            line = plain.unwrap_or(Line::EMPTY);
        }
        self.places[place % PLACES] = Place { level: *level, line };
        line
    }

    /// What all levels add, the best first.
    #[inline]
    fn whole(&mut self, levels: &[Entry], rule: Rule) -> Line {
        let all: Option<&[Entry; KRAKEN_LEVELS]> = levels.try_into().ok();
        let differ = |(a, b): (&Entry, &Entry)| (a.key ^ b.key) | (a.qty ^ b.qty);
        if let Some(all) = all
            && all.iter().zip(&self.whole).map(differ).fold(0, |all, one| all | one) == 0
        {
            return self.whole_line;
        }
        let whole = Line::EMPTY.behind(Rows { levels: levels.iter(), lines: self, rule });
        (self.whole, self.whole_line) = (all.copied().unwrap_or([NOTHING; KRAKEN_LEVELS]), whole);
        whole
    }
}

impl Default for Checksum {
    fn default() -> Checksum {
        Checksum::new()
    }
}

/// The lines of levels, one after the other. Inlined wherever they are added up, which the compiler would not do by itself.
struct Rows<'a> {
    levels: slice::Iter<'a, Entry>,
    lines: &'a mut Lines,
    rule: Rule,
}

impl Iterator for Rows<'_> {
    type Item = [Line; 1];

    #[inline(always)]
    fn next(&mut self) -> Option<[Line; 1]> {
        let level = self.levels.next()?;
        Some([self.lines.line(level, self.rule)])
    }
}

/// Those of two sides by turns.
struct Pairs<'a> {
    bids: Rows<'a>,
    asks: Rows<'a>,
}

impl Iterator for Pairs<'_> {
    type Item = [Line; 2];

    #[inline(always)]
    fn next(&mut self) -> Option<[Line; 2]> {
        let ([bid], [ask]) = (self.bids.next()?, self.asks.next()?);
        Some([bid, ask])
    }
}

/// Prints any level, on any processor. `None` if the rule has no text for it.
#[inline(never)]
fn print_plainly(rule: Rule, side: BookSide, [price, qty]: [i64; 2]) -> Option<Line> {
    let mut out = [0; LINE_LEN_MAX];
    let qty_at = print_price(rule, price, &mut out)?;
    let end = print_qty(rule, side, qty, qty_at, &mut out)?;
    Some(Line::of_text(out.get(..end)?))
}

/// Prints a price, and returns where the quantity starts.
fn print_price(rule: Rule, price: i64, out: &mut [u8; LINE_LEN_MAX]) -> Option<usize> {
    let end = match rule {
        Rule::Digits { held, printed } => return put_digits(price, held.price, printed.price, 0, out),
        Rule::Plain(scales) => put(Text::new().canonical(price, scales.price), 0, out)?,
        Rule::JavaScript(scales) => put(java_script(&mut Text::new(), price, scales.price), 0, out)?,
        Rule::Python(scales) => put(python(&mut Text::new(), price, scales.price), 0, out)?,
    };
    put(b":", end, out)
}

/// Prints a quantity at `at`, and returns where the line ends.
fn print_qty(rule: Rule, side: BookSide, qty: i64, mut at: usize, out: &mut [u8; LINE_LEN_MAX]) -> Option<usize> {
    let end = match rule {
        Rule::Digits { held, printed } => return put_digits(qty, held.qty, printed.qty, at, out),
        Rule::Plain(scales) => put(Text::new().canonical(qty, scales.qty), at, out)?,
        Rule::JavaScript(scales) => {
            if side == BookSide::Ask {
                at = put(b"-", at, out)?;
            }
            put(java_script(&mut Text::new(), qty, scales.qty), at, out)?
        }
        Rule::Python(scales) => put(python(&mut Text::new(), qty, scales.qty), at, out)?,
    };
    put(b":", end, out)
}

/// Puts a text at `at`, and returns where it ends. `None` if there is no room.
#[inline]
fn put(text: &[u8], at: usize, out: &mut [u8; LINE_LEN_MAX]) -> Option<usize> {
    let end = at + text.len();
    out.get_mut(at..end)?.copy_from_slice(text);
    Some(end)
}

/// Puts the digits of a number at `printed` decimals without leading zeros. `None` for a negative number, or if there are
/// more decimals.
fn put_digits(mantissa: i64, held: u8, printed: u8, at: usize, out: &mut [u8; LINE_LEN_MAX]) -> Option<usize> {
    let mut number = u64::try_from(mantissa).ok()?;
    for _ in printed..held {
        if !number.is_multiple_of(10) {
            return None;
        }
        number /= 10;
    }
    if number == 0 {
        // There would be only leading zeros.
        return Some(at);
    }
    let digits_end = put(Text::new().digits(number), at, out)?;
    let zeros = usize::from(printed.min(SCALE_MAX).saturating_sub(held));
    out.get_mut(digits_end..digits_end + zeros)?.fill(b'0');
    Some(digits_end + zeros)
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
    use crate::{book::Level, decimal};
    use proptest::prelude::*;

    /// A side from `price/qty price/qty`, at the scales.
    fn side(side: BookSide, text: &str, scales: Scales) -> Side {
        let level = |level: &str| {
            let (price, qty) = level.split_once('/').unwrap();
            let number =
                |text: &str, scale| decimal::parse_exact(text.trim_start_matches('-').as_bytes(), scale).unwrap();
            (number(price, scales.price), number(qty, scales.qty))
        };
        filled(side, text.split_whitespace().map(level))
    }

    fn bids(text: &str, scales: Scales) -> Side {
        side(BookSide::Bid, text, scales)
    }

    fn asks(text: &str, scales: Scales) -> Side {
        side(BookSide::Ask, text, scales)
    }

    fn filled(side: BookSide, levels: impl IntoIterator<Item = (i64, i64)>) -> Side {
        let mut side = Side::new(side, 200);
        for (price, qty) in levels {
            side.set(price, qty);
        }
        side
    }

    fn hash(text: &str) -> u32 {
        crc32fast::hash(text.as_bytes())
    }

    /// Without point, or `None` if there are more decimals than are printed.
    fn digits(mantissa: i64, held: u8, printed: u8) -> Option<String> {
        let number = i128::from(mantissa) * 10_i128.pow(u32::from(printed));
        let power = 10_i128.pow(u32::from(held));
        if mantissa < 0 || number % power != 0 {
            return None;
        }
        Some((number / power).to_string().trim_start_matches('0').to_owned())
    }

    fn plain_text(mantissa: i64, scale: u8) -> String {
        let power = 10_u64.pow(u32::from(scale));
        let (integer, fraction) = (mantissa.unsigned_abs() / power, mantissa.unsigned_abs() % power);
        let text =
            format!("{}{integer}.{fraction:0len$}", if mantissa < 0 { "-" } else { "" }, len = usize::from(scale));
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// The judge: prints everything, in the plainest way, and remembers nothing.
    fn judged_okx(bids: &Side, asks: &Side, scales: Scales) -> i32 {
        let mut numbers = Vec::new();
        for rank in 0..OKX_LEVELS {
            for level in [bids, asks].into_iter().filter_map(|side| side.levels().nth(rank)) {
                numbers.push(plain_text(level.price, scales.price));
                numbers.push(plain_text(level.qty, scales.qty));
            }
        }
        crc32fast::hash(numbers.join(":").as_bytes()).cast_signed()
    }

    fn judged_kraken(bids: &Side, asks: &Side, held: Scales, printed: Scales) -> Option<u32> {
        let mut text = String::new();
        for level in [asks, bids].into_iter().flat_map(|side| side.levels().take(KRAKEN_LEVELS)) {
            text += &digits(level.price, held.price, printed.price)?;
            text += &digits(level.qty, held.qty, printed.qty)?;
        }
        Some(crc32fast::hash(text.as_bytes()))
    }

    const fn scales(price: u8, qty: u8) -> Scales {
        Scales { price, qty }
    }

    #[test]
    fn kraken_worked_example() {
        // BTC/USD, from the checksum guide of version 2.
        let ask_levels = "45285.2/0.00100000 45286.4/1.54571953 45286.6/1.54571109 45289.6/1.54560911 45290.2/0.15890660 45291.8/1.54553491 45294.7/0.04454749 45296.1/0.35380000 45297.5/0.09945542 45299.5/0.18772827";
        let bid_levels = "45283.5/0.10000000 45283.4/1.54582015 45282.1/0.10000000 45281.0/0.10000000 45280.3/1.54592586 45279.0/0.07990000 45277.6/0.03310103 45277.5/0.30000000 45277.3/1.54602737 45276.6/0.15445238";
        let mut checksum = Checksum::new();
        let mut of =
            |held: Scales, printed| checksum.kraken(&bids(bid_levels, held), &asks(ask_levels, held), held, printed);
        assert_eq!(of(scales(1, 8), scales(1, 8)), Some(3_310_070_434));
        // The same from a book that is held more finely, or less finely printed than it is.
        assert_eq!(of(scales(5, 10), scales(1, 8)), Some(3_310_070_434));
        assert_eq!(of(scales(1, 8), scales(0, 8)), None);
        assert_ne!(of(scales(1, 8), scales(2, 8)), Some(3_310_070_434));
    }

    #[test]
    fn kraken_pads_to_the_precision_and_takes_ten() {
        let held = scales(1, 0);
        let (no_bid, no_ask) = (bids("", held), asks("", held));
        let mut checksum = Checksum::new();
        let of = |count| filled(BookSide::Bid, (0..count).map(|n| (1000 - n, 1)));
        let ten = checksum.kraken(&of(10), &no_ask, held, held);
        assert_eq!(checksum.kraken(&of(20), &no_ask, held, held), ten);
        let padded = checksum.kraken(&bids("0.5/3", held), &asks("1.2/7", held), held, scales(3, 2));
        assert_eq!(padded, Some(hash("1200700500300")));
        assert_eq!(checksum.kraken(&no_bid, &no_ask, held, held), Some(0));
        assert_eq!(checksum.kraken(&filled(BookSide::Bid, [(-1, 1)]), &no_ask, held, held), None);
        // What went wrong is not remembered.
        assert_eq!(checksum.kraken(&of(10), &no_ask, held, held), ten);
        // A price of nothing has no digits.
        let no_price = checksum.kraken(&filled(BookSide::Bid, [(0, 123_456_789)]), &no_ask, held, held);
        assert_eq!(no_price, Some(hash("123456789")));
    }

    #[test]
    fn okx_worked_examples() {
        let mut checksum = Checksum::new();
        let held = scales(4, 2);
        let (no_bid, no_ask) = (bids("", held), asks("", held));
        assert_eq!(checksum.okx(&no_bid, &asks("0.0005/305 0.001/550", held), held), 971_343_753);
        assert_eq!(checksum.okx(&no_bid, &asks("0.0015/906", held), held), -288_111_842);
        let text = "30233.6:3:30238.8:2:30219.4:104:30249.5:50:1:1";
        let crc = checksum.okx(&bids("30233.6/3 30219.4/104 1/1", held), &asks("30238.8/2 30249.5/50", held), held);
        assert_eq!(crc.cast_unsigned(), hash(text));
        let crc = checksum.okx(&bids("30233.6/3", held), &asks("30238.8/2 30249.5/50", held), held);
        assert_eq!(crc.cast_unsigned(), hash("30233.6:3:30238.8:2:30249.5:50"));
        assert_eq!(checksum.okx(&no_bid, &no_ask, held), 0);
        let [many_bids, many_asks] =
            [BookSide::Bid, BookSide::Ask].map(|side| filled(side, (10..50).map(|price| (price, 1))));
        let text: Vec<String> = (0..25).map(|rank| format!("{}:1:{}:1", 49 - rank, 10 + rank)).collect();
        assert_eq!(checksum.okx(&many_bids, &many_asks, scales(0, 0)).cast_unsigned(), hash(&text.join(":")));
    }

    #[test]
    fn bitfinex_worked_example() {
        // tXRPBTC with P0, 25 levels, of which the bids have only 18.
        let bid_levels = "0.0000011/266122.94 0.00000109/500793.10790141 0.00000108/776367.43 0.00000107/23329.54842056 0.00000106/116868.87735849 0.00000105/205000 0.00000103/227308.25386407 0.00000102/105000 0.00000101/2970 0.000001/21000 7e-7/10000 6.6e-7/10000 6e-7/100000 4.9e-7/10000 2.5e-7/2000 6e-8/100000 5e-8/200000 1e-8/640000";
        let ask_levels = "0.00000111/-4847.13 0.00000112/-528102.69042633 0.00000113/-302397.07 0.00000114/-339088.93 0.00000126/-245944.06 0.00000127/-5000 0.0000013/-5000 0.00000134/-8249.18938656 0.00000136/-13161.25184766 0.00000145/-2914 0.0000015/-54448.5 0.00000152/-5538.54849594 0.00000153/-62691.75475079 0.00000159/-2914 0.0000016/-52631.10296831 0.00000164/-4000 0.00000166/-3831.46784605 0.00000171/-14575.17730379 0.00000174/-3124.81815395 0.0000018/-18000 0.00000182/-16000 0.00000186/-4000 0.00000189/-10000.686624 0.00000191/-14500 0.00000193/-2422";
        let mut checksum = Checksum::new();
        for held in [scales(8, 8), scales(12, 8)] {
            assert_eq!(checksum.bitfinex(&bids(bid_levels, held), &asks(ask_levels, held), held), -1_175_357_890);
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
            let [bid, ask] = [BookSide::Bid, BookSide::Ask].map(|side| filled(side, [(price, qty)]));
            let [no_bid, no_ask] = [BookSide::Bid, BookSide::Ask].map(|side| Side::new(side, 1));
            let held = scales(scale, scale);
            let mut fresh = Checksum::new();
            for _ in 0..2 {
                assert_eq!(kept.okx(&bid, &no_ask, held), judged_okx(&bid, &no_ask, held));
                assert_eq!(kept.okx(&no_bid, &ask, held), judged_okx(&no_bid, &ask, held));
                assert_eq!(kept.bitfinex(&no_bid, &ask, held), fresh.bitfinex(&no_bid, &ask, held));
                assert_eq!(kept.bitfinex(&bid, &ask, held), fresh.bitfinex(&bid, &ask, held));
                assert_eq!(kept.ftx(&bid, &ask, held), fresh.ftx(&bid, &ask, held));
                let four = scales(scale + 4, scale);
                assert_eq!(kept.kraken(&bid, &ask, held, four), judged_kraken(&bid, &ask, held, four));
            }
        };
        for price in [0, 1, 5, i64::MAX, -3, -i64::MAX] {
            for qty in [1, 7, i64::MAX, 70] {
                for scale in [0, 1, 8] {
                    of(price, qty, scale);
                }
            }
        }
        // One rule, so that only the level differs: prices that share a place, and quantities at one price.
        let held = scales(1, 8);
        for n in 0..2000 {
            let [bid, ask] = [BookSide::Bid, BookSide::Ask]
                .map(|side| filled(side, [(if n < 1000 { n % 150 } else { n % 5 }, 1 + n / 7)]));
            assert_eq!(kept.okx(&bid, &ask, held), judged_okx(&bid, &ask, held));
        }
    }

    #[test]
    fn as_many_levels_as_there_may_be() {
        // All of the longest text, and all new again and again. So many lose their places to each other, too.
        let (mut kept, held) = (Checksum::new(), scales(18, 18));
        let level = |n: i64| (-i64::MAX + n, i64::MAX - n);
        for start in [0, 1000, 1050, 1150, 0] {
            let [bid, ask] = [BookSide::Bid, BookSide::Ask].map(|side| filled(side, (start..start + 150).map(level)));
            assert_eq!(kept.ftx(&bid, &ask, held), Checksum::new().ftx(&bid, &ask, held));
            assert_eq!(kept.okx(&bid, &ask, held), judged_okx(&bid, &ask, held));
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Levels of one side: tick from the best of a thousand, quantity, and what that is multiplied by.
        Set(bool, Vec<(i64, i64, i64)>),
        Reset(bool, Vec<(i64, i64)>, bool),
        CutTo(usize),
        Rescale(bool),
        Clear(bool),
        /// Something else is asked of the same checksum, or of the same book at other scales.
        Other(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let near = prop_oneof![5 => 0..12_i64, 3 => 0..60_i64, 1 => 0..1000_i64];
        let qty = prop_oneof![
            4 => Just(0), 4 => 1..9_i64, 2 => 0..1_000_000_007_i64, 1 => 0..i64::MAX / 1_000_000_000, 1 => 0..100_000_000_000_000_000_i64
        ];
        let by = prop_oneof![Just(1), Just(10), Just(100_000_000)];
        let change = (near, qty, by).prop_map(|(tick, qty, by)| (tick, qty, by));
        let step = prop_oneof![
            40 => (any::<bool>(), prop::collection::vec(change.clone(), 0..4)).prop_map(|(bid, levels)| Step::Set(bid, levels)),
            6 => (any::<bool>(), prop::collection::vec(change, 20..60)).prop_map(|(bid, levels)| Step::Set(bid, levels)),
            1 => (any::<bool>(), prop::collection::vec((0..90_i64, 1..500_i64), 0..60), any::<bool>())
                .prop_map(|(bid, levels, cut)| Step::Reset(bid, levels, cut)),
            1 => (0..40_usize).prop_map(Step::CutTo),
            1 => any::<bool>().prop_map(Step::Rescale),
            1 => any::<bool>().prop_map(Step::Clear),
            1 => (0..3_u8).prop_map(Step::Other),
        ];
        prop::collection::vec(step, 0..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Whatever happens to a book, after each step its checksums are those of the judge.
        #[test]
        fn whatever_happens_the_judge_agrees(steps in steps(), first_ask in prop_oneof![Just(2), Just(-30), Just(99_995), Just(5_123_456_789)]) {
            let mut sides = [BookSide::Bid, BookSide::Ask].map(|side| Side::new(side, 80));
            let mut held = scales(1, 8);
            let (mut okx, mut kraken) = (Checksum::new(), Checksum::new());
            let mut unit = 1;
            let price = |bid: bool, tick: i64, unit: i64| unit * if bid { first_ask - 1 - tick } else { first_ask + tick };
            for step in steps {
                match step {
                    Step::Set(bid, levels) => for (tick, qty, by) in levels {
                        sides[usize::from(!bid)].set(price(bid, tick, unit), qty.saturating_mul(by));
                    },
                    Step::Reset(bid, levels, cut) => {
                        let level = |(tick, qty)| Level { price: price(bid, tick, unit), qty };
                        let levels: Vec<Level> = levels.into_iter().map(level).collect();
                        sides[usize::from(!bid)].reset(&levels, cut);
                    }
                    Step::CutTo(depth) => for side in &mut sides {
                        side.cut_to(depth);
                    },
                    Step::Rescale(of_price) => {
                        let factors = if of_price { (10, 1) } else { (1, 10) };
                        let (bids, asks) = (sides[0].clone(), sides[1].clone());
                        if held.price < 5 && held.qty < 11 && sides.iter_mut().all(|side| side.rescale(factors.0, factors.1).is_ok()) {
                            unit *= factors.0;
                            held = if of_price { scales(held.price + 1, held.qty) } else { scales(held.price, held.qty + 1) };
                        } else {
                            sides = [bids, asks];
                        }
                    }
                    Step::Clear(bid) => sides[usize::from(!bid)].clear(),
                    Step::Other(what) => {
                        let [bids, asks] = &sides;
                        let other = scales(held.price + 1, held.qty - 1);
                        match what {
                            0 => prop_assert_eq!(okx.ftx(bids, asks, held), Checksum::new().ftx(bids, asks, held)),
                            1 => prop_assert_eq!(kraken.kraken(bids, asks, held, other), judged_kraken(bids, asks, held, other)),
                            _ => prop_assert_eq!(okx.okx(bids, asks, other), judged_okx(bids, asks, other)),
                        }
                    }
                }
                let [bids, asks] = &sides;
                prop_assert_eq!(okx.okx(bids, asks, held), judged_okx(bids, asks, held));
                prop_assert_eq!(kraken.kraken(bids, asks, held, held), judged_kraken(bids, asks, held, held));
            }
        }

        #[test]
        fn numbers_are_those_of_the_judge(mantissa in number(), scale in 0..=SCALE_MAX, printed in 0..=SCALE_MAX) {
            let mut out = [b'x'; LINE_LEN_MAX];
            let len = print_price(Rule::Plain(scales(scale, 0)), mantissa, &mut out).unwrap();
            prop_assert_eq!(std::str::from_utf8(&out[..len]).unwrap(), plain_text(mantissa, scale) + ":");
            for printed in [scale, printed] {
                let len = put_digits(mantissa, scale, printed, 5, &mut out);
                let text = len.map(|len| std::str::from_utf8(&out[5..len]).unwrap().to_owned());
                prop_assert_eq!(text, digits(mantissa, scale, printed));
            }
        }
    }

    /// As many digits as may be, some of them zeros at the end.
    fn number() -> impl Strategy<Value = i64> {
        (0..=i64::MAX, 0..19_u32, 0..19_u32, prop_oneof![1 => Just(-1), 9 => Just(1)]).prop_map(
            |(number, less, zeros, sign)| {
                let power = 10_i64.pow(zeros);
                sign * (number / 10_i64.pow(less) / power * power)
            },
        )
    }
}
