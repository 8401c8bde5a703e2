//! Checksums by which venues let us prove that a book is theirs.
//!
//! All are CRC-32 (IEEE, as in zlib) over the text of the best levels. The text is made from mantissas, never kept from
//! messages: each venue has a rule for writing numbers, and by that rule one value has one text.
//!
//! Printing dozens of numbers is slow beside everything else that happens to a book, so the texts of levels are kept
//! and only what changed is printed again. That asks for one [`Checksum`] a book.

use super::side::{BookSide, Entry, Side};
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
/// Right for any sides, fast if most levels are those of the last time: a text follows its level when others come and
/// go before it, one whose quantity changed keeps the text of its price, the joined text is made anew from the first
/// rank that changed, and nothing is done if none did.
#[derive(Debug)]
pub struct Checksum {
    state: Box<State>,
}

/// Nothing in it has a pointer of its own, so that whatever is needed lies at a known distance.
#[derive(Debug)]
struct State {
    /// How the texts were made; `None` if none of them can be relied on.
    rule: Option<Rule>,
    bids: Ranks,
    asks: Ranks,
    /// The text to be checked, up to `len`.
    text: [u8; TEXT_STARTS + LINE_LEN_MAX],
    len: usize,
    /// Where each line starts in it, or each pair of lines if sides alternate.
    starts: [u16; STARTS],
    /// Its checksum.
    crc: u32,
}

/// The levels of one side with their texts, best first.
#[derive(Debug)]
struct Ranks {
    /// How many levels are in the text.
    len: usize,
    /// The levels, then [`NOTHING`].
    kept: [Kept; PLACES],
    /// What there was, while levels come and go.
    before: [Kept; PLACES],
    pool: Pool,
}

/// A level and where its text is.
#[derive(Clone, Copy, Debug)]
struct Kept {
    level: Entry,
    line: u8,
}

/// The texts of a side, in no order.
#[derive(Debug)]
struct Pool {
    side: BookSide,
    lines: [Line; LINES],
    free: Vec<u8>,
}

/// A level as it is printed. It takes one line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line {
    text: [u8; LINE_LEN_MAX],
    len: u8,
    /// Where the text of the quantity starts.
    qty_at: u8,
}

/// No level has this key, and every level is better.
const NOTHING: Kept = Kept { level: Entry { key: i64::MIN, qty: 0 }, line: 0 };
/// One for [`NOTHING`].
const PLACES: usize = FTX_LEVELS + 1;
/// As many as a place can name, so that none needs a check. All levels may be new while the old ones are still kept.
const LINES: usize = 256;
const _: () = assert!(LINES >= 2 * FTX_LEVELS);
/// Two numbers of at most 25 bytes (as Python prints them), two colons and a sign. The digits of two numbers for kraken
/// could be more, if 25 of them were zeros behind the last decimal that any level of the book ever had.
const LINE_LEN_MAX: usize = 62;
const _: () = assert!(LINE_LEN_MAX >= 2 * 25 + 3 && size_of::<Line>() == 64);
/// One for each pair of lines, or for each line of kraken's, and one for their end.
const STARTS: usize = PLACES;
const _: () = assert!(STARTS > FTX_LEVELS && STARTS > 2 * KRAKEN_LEVELS);
/// Copied at once, because a copy of fixed length is a few instructions. Most lines are shorter.
const COPIED_AT_ONCE: usize = 32;
/// Where a line may start; a power of two as well.
const TEXT_STARTS: usize = 1 << 14;
const _: () = assert!(TEXT_STARTS >= 2 * FTX_LEVELS * LINE_LEN_MAX);

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
            state: Box::new(State {
                rule: None,
                bids: Ranks::new(BookSide::Bid),
                asks: Ranks::new(BookSide::Ask),
                text: [0; TEXT_STARTS + LINE_LEN_MAX],
                len: 0,
                starts: [0; STARTS],
                crc: 0,
            }),
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
        let first = match self.update(bids, asks, rule)? {
            (None, None) => return Some(self.crc),
            (_, Some(ask)) => ask,
            (Some(bid), None) => asks.len() + bid,
        };
        let mut len = self.start(first);
        let asks_from = first.min(asks.len());
        for (side, from, at) in
            [(&self.asks, asks_from, asks_from), (&self.bids, first - asks_from, first.max(asks.len()))]
        {
            for (kept, start) in side.kept[from..side.len].iter().zip(&mut self.starts[at..]) {
                *start = len as u16;
                len = push(&mut self.text, len, side.pool.line(kept));
            }
        }
        self.finish(bids.len() + asks.len(), len, 0)
    }

    fn interleaved(&mut self, bids: &[Entry], asks: &[Entry], rule: Rule) -> Option<u32> {
        let first = match self.update(bids, asks, rule)? {
            (None, None) => return Some(self.crc),
            (Some(bid), Some(ask)) => bid.min(ask),
            (Some(first), None) | (None, Some(first)) => first,
        };
        let mut len = self.start(first);
        let both = self.bids.len.min(self.asks.len).max(first);
        let of_bids = self.bids.kept[..both].iter().skip(first);
        let of_asks = self.asks.kept[..both].iter().skip(first);
        for ((bid, ask), start) in of_bids.zip(of_asks).zip(self.starts.iter_mut().skip(first)) {
            *start = len as u16;
            len = push(&mut self.text, len, self.bids.pool.line(bid));
            len = push(&mut self.text, len, self.asks.pool.line(ask));
        }
        // What is left of the longer side.
        let longer = if bids.len() > asks.len() { &self.bids } else { &self.asks };
        for (kept, start) in longer.kept[..longer.len].iter().zip(&mut self.starts).skip(both) {
            *start = len as u16;
            len = push(&mut self.text, len, longer.pool.line(kept));
        }
        let longer_len = longer.len;
        // Each level ends with a colon, which the last one has not.
        self.finish(longer_len, len, 1)
    }

    /// Takes over the levels, and says from which ranks on the text has to be joined anew. `None` if the rule has no
    /// text for a level.
    #[inline]
    fn update(&mut self, bids: &[Entry], asks: &[Entry], rule: Rule) -> Option<(Option<usize>, Option<usize>)> {
        let is_new = self.rule != Some(rule);
        if is_new {
            self.bids.clear();
            self.asks.clear();
        }
        // Unless all goes well, nothing is relied on next time.
        self.rule = None;
        let first = (self.bids.update(bids, rule)?, self.asks.update(asks, rule)?);
        self.rule = Some(rule);
        Some(if is_new { (Some(0), Some(0)) } else { first })
    }

    /// Where the text of this line starts, if those before it are as they were.
    #[inline]
    fn start(&self, first: usize) -> usize {
        if first == 0 { 0 } else { usize::from(self.starts[first]) }
    }

    #[inline]
    fn finish(&mut self, lines: usize, len: usize, unhashed: usize) -> Option<u32> {
        // Where the next line would start, if it comes.
        self.starts[lines] = len as u16;
        self.len = len;
        self.crc = crc32fast::hash(self.text.get(..len.saturating_sub(unhashed)).unwrap_or_default());
        Some(self.crc)
    }
}

/// Puts a line at `len`, and returns where it ends.
#[inline(always)]
fn push(text: &mut [u8; TEXT_STARTS + LINE_LEN_MAX], len: usize, line: &Line) -> usize {
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
        let lines = [Line { text: [0; LINE_LEN_MAX], len: 0, qty_at: 0 }; LINES];
        let pool = Pool { side, lines, free: Vec::with_capacity(LINES) };
        let mut ranks = Ranks { len: 0, kept: [NOTHING; PLACES], before: [NOTHING; PLACES], pool };
        ranks.clear();
        ranks
    }

    fn clear(&mut self) {
        self.kept[0] = NOTHING;
        self.len = 0;
        self.pool.free.clear();
        self.pool.free.extend((0..=u8::MAX).rev());
    }

    /// Takes over the levels, and says which rank is the first that changed; `Some(None)` if none did. `None` if the
    /// rule has no text for a level.
    #[inline]
    fn update(&mut self, levels: &[Entry], rule: Rule) -> Option<Option<usize>> {
        let first = self.same(levels, 0);
        let mut rank = first;
        // As long as only quantities changed.
        while let Some(level) = levels.len().checked_sub(rank + 1).map(|at| levels[at])
            && let kept = &mut self.kept[rank]
            && kept.level.key == level.key
        {
            kept.level = level;
            self.pool.print_qty(kept.line, level.qty, rule)?;
            rank = self.same(levels, rank + 1);
        }
        if rank == levels.len() && rank == self.len {
            return Some(Some(first).filter(|first| *first < rank));
        }
        self.merge(levels, rank, rule)?;
        Some(Some(first))
    }

    /// From `rank` on, the first rank at which there is not the level of the last time.
    #[inline]
    fn same(&self, levels: &[Entry], mut rank: usize) -> usize {
        let differ = |kept: &Kept, level: &Entry| (kept.level.key ^ level.key) | (kept.level.qty ^ level.qty);
        let levels = &levels[..levels.len() - rank];
        let kept = &self.kept[rank..];
        // Five at once, since most are the same: both 25 and 10 are fives.
        let mut same = 0;
        for (levels, kept) in levels.rchunks_exact(5).zip(kept.chunks_exact(5)) {
            if (0..5).fold(0, |differs, at| differs | differ(&kept[at], &levels[4 - at])) != 0 {
                break;
            }
            same += 5;
        }
        rank += same;
        for (level, kept) in levels[..levels.len() - same].iter().rev().zip(&kept[same..]) {
            if differ(kept, level) != 0 {
                break;
            }
            rank += 1;
        }
        rank
    }

    /// From `rank` on levels came or went: those that stayed keep their texts.
    #[inline(never)]
    fn merge(&mut self, levels: &[Entry], rank: usize, rule: Rule) -> Option<()> {
        let Ranks { len, kept, before, pool } = self;
        let moved = &kept[rank..=*len];
        let before = &mut before[..moved.len()];
        before.copy_from_slice(moved);
        // It ends with `NOTHING`, which is never taken.
        let mut before = before.iter();
        let mut old = before.next()?;
        for (level, kept) in levels[..levels.len() - rank].iter().rev().zip(&mut kept[rank..]) {
            let line;
            if old.level.key == level.key && old.level.qty == level.qty {
                line = old.line;
                old = before.next()?;
            } else {
                // Those before it are gone.
                while old.level.key > level.key {
                    pool.free.push(old.line);
                    old = before.next()?;
                }
                if old.level.key == level.key {
                    line = old.line;
                    if old.level.qty != level.qty {
                        pool.print_qty(line, level.qty, rule)?;
                    }
                    old = before.next()?;
                } else {
                    line = pool.add(*level, rule)?;
                }
            }
            *kept = Kept { level: *level, line };
        }
        while old.level.key != NOTHING.level.key {
            pool.free.push(old.line);
            old = before.next()?;
        }
        *len = levels.len();
        kept[*len] = NOTHING;
        Some(())
    }
}

impl Pool {
    #[inline(always)]
    fn line(&self, kept: &Kept) -> &Line {
        &self.lines[usize::from(kept.line)]
    }

    /// Prints a new level.
    #[inline(never)]
    fn add(&mut self, level: Entry, rule: Rule) -> Option<u8> {
        let number = self.free.pop()?;
        let line = &mut self.lines[usize::from(number)];
        let price = self.side.price(level.key);
        // Plain numbers in one go, since that is what most books are made of.
        if let Rule::Plain(scales) = rule
            && line.put_plain_price(price, scales.price).is_some()
            && line.put_plain_qty(level.qty, scales.qty).is_some()
        {
            return Some(number);
        }
        line.qty_at = print_price(rule, price, &mut line.text)? as u8;
        line.len = print_qty(rule, self.side, level.qty, usize::from(line.qty_at), &mut line.text)? as u8;
        Some(number)
    }

    #[inline(never)]
    fn print_qty(&mut self, number: u8, qty: i64, rule: Rule) -> Option<()> {
        let line = &mut self.lines[usize::from(number)];
        if let Rule::Plain(scales) = rule
            && line.put_plain_qty(qty, scales.qty).is_some()
        {
            return Some(());
        }
        line.len = print_qty(rule, self.side, qty, usize::from(line.qty_at), &mut line.text)? as u8;
        Some(())
    }
}

impl Line {
    /// `None` if [`plain`] has no text for it.
    #[inline(always)]
    fn put_plain_price(&mut self, price: i64, scale: u8) -> Option<()> {
        let len = plain(price, scale, self.text.first_chunk_mut()?)? & 31;
        self.text[len] = b':';
        self.qty_at = len as u8 + 1;
        Some(())
    }

    #[inline(always)]
    fn put_plain_qty(&mut self, qty: i64, scale: u8) -> Option<()> {
        // No price is longer, so the mask changes nothing.
        let at = usize::from(self.qty_at) & 31;
        let room = &mut self.text[at..at + ROOM + 1];
        let len = plain(qty, scale, room.first_chunk_mut()?)?;
        *room.get_mut(len)? = b':';
        self.len = (at + len + 1) as u8;
        Some(())
    }
}

impl Default for Checksum {
    fn default() -> Checksum {
        Checksum::new()
    }
}

/// Prints a price, and returns where the quantity starts.
#[inline(never)]
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
#[inline(never)]
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

/// What [`plain`] may write to.
const ROOM: usize = 24;

/// Puts a number of at most eight decimals and eight digits before them, and returns its length. `None` for others.
#[inline(always)]
fn plain(mantissa: i64, scale: u8, room: &mut [u8; ROOM]) -> Option<usize> {
    let scale = usize::from(scale);
    let mantissa = u64::try_from(mantissa).ok().filter(|mantissa| *mantissa > 0)?;
    // With `fraction` digits of 8, the first at the lowest byte, what is behind the last one that is not zero.
    let zeros = |digits: u64| digits.leading_zeros() as usize / 8;
    let integer_len;
    let (fraction, fraction_len);
    if mantissa < EIGHT_DIGITS && scale < 8 {
        let digits = eight_digits(mantissa);
        // Zeros in front, but for the one before the point.
        let none = (digits.trailing_zeros() as usize / 8).min(7 - scale);
        let text = digits | ZEROS;
        room[..8].copy_from_slice(&(text >> (8 * none)).to_le_bytes());
        integer_len = 8 - scale - none;
        fraction = text >> (8 * (7 - scale)) >> 8;
        fraction_len = scale.saturating_sub(zeros(digits));
    } else {
        let scaled = mantissa.checked_mul(*TO_EIGHT.get(scale)?)?;
        let (integer, rest) = (scaled / EIGHT_DIGITS, scaled % EIGHT_DIGITS);
        if integer < 10 {
            room[0] = b'0' + integer as u8;
            integer_len = 1;
        } else if integer < EIGHT_DIGITS {
            let digits = eight_digits(integer);
            let none = digits.trailing_zeros() as usize / 8;
            room[..8].copy_from_slice(&((digits | ZEROS) >> (8 * none)).to_le_bytes());
            integer_len = 8 - none;
        } else {
            return None;
        }
        let digits = eight_digits(rest);
        fraction = digits | ZEROS;
        fraction_len = 8 - zeros(digits);
    }
    // At most eight; the mask says so.
    let point = integer_len & 15;
    room[point] = b'.';
    room[point + 1..point + 9].copy_from_slice(&fraction.to_le_bytes());
    Some(integer_len + fraction_len + usize::from(fraction_len > 0))
}

const EIGHT_DIGITS: u64 = 100_000_000;
const ZEROS: u64 = 0x3030_3030_3030_3030;
/// By this a number of each scale comes to scale 8.
const TO_EIGHT: [u64; 9] = [EIGHT_DIGITS, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// The digits of a number below [`EIGHT_DIGITS`], a byte each, the first one lowest. Halves, quarters and single digits
/// are divided all at once, by multiplications that are exact for numbers so small.
#[inline(always)]
fn eight_digits(number: u64) -> u64 {
    // Each step makes of `ab` in one field `a` in its lower half and `b` in its upper half: b = ab - 10^n a.
    let high = number / 10_000;
    let fours = (number << 32).wrapping_sub(high.wrapping_mul((10_000 << 32) - 1));
    let high = (fours.wrapping_mul(10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = (fours << 16).wrapping_sub(high.wrapping_mul((100 << 16) - 1));
    let high = (twos.wrapping_mul(103) >> 10) & 0x000f_000f_000f_000f;
    (twos << 8).wrapping_sub(high.wrapping_mul((10 << 8) - 1))
}

/// Puts the digits of a number at `printed` decimals without leading zeros. `None` for a number that has none.
#[inline]
fn put_digits(mantissa: i64, held: u8, printed: u8, at: usize, out: &mut [u8; LINE_LEN_MAX]) -> Option<usize> {
    let number = u64::try_from(mantissa).ok()?;
    if held != printed || number == 0 || number >= EIGHT_DIGITS * EIGHT_DIGITS {
        return put_padded(number, held, printed, at, out);
    }
    let room: &mut [u8; ROOM] = out.get_mut(at..at + ROOM)?.try_into().ok()?;
    let (high, low) = (number / EIGHT_DIGITS, number % EIGHT_DIGITS);
    let start = |digits: u64| digits.trailing_zeros() as usize / 8;
    if high == 0 {
        let digits = eight_digits(low);
        let none = start(digits);
        room[..8].copy_from_slice(&((digits | ZEROS) >> (8 * none)).to_le_bytes());
        return Some(at + 8 - none);
    }
    let digits = eight_digits(high);
    let none = start(digits);
    room[..8].copy_from_slice(&((digits | ZEROS) >> (8 * none)).to_le_bytes());
    let len = (8 - none) & 15;
    room[len..len + 8].copy_from_slice(&(eight_digits(low) | ZEROS).to_le_bytes());
    Some(at + len + 8)
}

/// The same for any number and any precision.
#[cold]
fn put_padded(mut number: u64, held: u8, printed: u8, at: usize, out: &mut [u8; LINE_LEN_MAX]) -> Option<usize> {
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

    fn text(checksum: &Checksum) -> &str {
        std::str::from_utf8(&checksum.state.text[..checksum.state.len]).unwrap()
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
        checksum.kraken(&bids("0.5/3", held), &asks("1.2/7", held), held, scales(3, 2)).unwrap();
        assert_eq!(text(&checksum), "1200700500300");
        assert_eq!(checksum.kraken(&no_bid, &no_ask, held, held), Some(0));
        assert_eq!(checksum.kraken(&filled(BookSide::Bid, [(-1, 1)]), &no_ask, held, held), None);
        // What went wrong is not remembered.
        assert_eq!(checksum.kraken(&of(10), &no_ask, held, held), ten);
        // A price of nothing has no digits.
        checksum.kraken(&filled(BookSide::Bid, [(0, 123_456_789)]), &no_ask, held, held).unwrap();
        assert_eq!(text(&checksum), "123456789");
    }

    #[test]
    fn okx_worked_examples() {
        let mut checksum = Checksum::new();
        let held = scales(4, 2);
        let (no_bid, no_ask) = (bids("", held), asks("", held));
        assert_eq!(checksum.okx(&no_bid, &asks("0.0005/305 0.001/550", held), held), 971_343_753);
        assert_eq!(text(&checksum), "0.0005:305:0.001:550:");
        assert_eq!(checksum.okx(&no_bid, &asks("0.0015/906", held), held), -288_111_842);
        checksum.okx(&bids("30233.6/3 30219.4/104 1/1", held), &asks("30238.8/2 30249.5/50", held), held);
        assert_eq!(text(&checksum), "30233.6:3:30238.8:2:30219.4:104:30249.5:50:1:1:");
        assert_eq!(checksum.okx(&no_bid, &no_ask, held), 0);
        let [many_bids, many_asks] =
            [BookSide::Bid, BookSide::Ask].map(|side| filled(side, (10..50).map(|price| (price, 1))));
        checksum.okx(&many_bids, &many_asks, scales(0, 0));
        assert_eq!(checksum.state.len, 25 * 2 * 5);
    }

    #[test]
    fn bitfinex_worked_example() {
        // tXRPBTC with P0, 25 levels, of which the bids have only 18.
        let bid_levels = "0.0000011/266122.94 0.00000109/500793.10790141 0.00000108/776367.43 0.00000107/23329.54842056 0.00000106/116868.87735849 0.00000105/205000 0.00000103/227308.25386407 0.00000102/105000 0.00000101/2970 0.000001/21000 7e-7/10000 6.6e-7/10000 6e-7/100000 4.9e-7/10000 2.5e-7/2000 6e-8/100000 5e-8/200000 1e-8/640000";
        let ask_levels = "0.00000111/-4847.13 0.00000112/-528102.69042633 0.00000113/-302397.07 0.00000114/-339088.93 0.00000126/-245944.06 0.00000127/-5000 0.0000013/-5000 0.00000134/-8249.18938656 0.00000136/-13161.25184766 0.00000145/-2914 0.0000015/-54448.5 0.00000152/-5538.54849594 0.00000153/-62691.75475079 0.00000159/-2914 0.0000016/-52631.10296831 0.00000164/-4000 0.00000166/-3831.46784605 0.00000171/-14575.17730379 0.00000174/-3124.81815395 0.0000018/-18000 0.00000182/-16000 0.00000186/-4000 0.00000189/-10000.686624 0.00000191/-14500 0.00000193/-2422";
        let mut checksum = Checksum::new();
        for held in [scales(8, 8), scales(12, 8)] {
            assert_eq!(checksum.bitfinex(&bids(bid_levels, held), &asks(ask_levels, held), held), -1_175_357_890);
            assert_eq!(checksum.state.len, 851 + 1);
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
        // All of the longest text, and all new again and again.
        let (mut kept, held) = (Checksum::new(), scales(18, 18));
        let level = |n: i64| (-i64::MAX + n, i64::MAX - n);
        for start in [0, 1000, 1050, 1150, 0] {
            let [bid, ask] = [BookSide::Bid, BookSide::Ask].map(|side| filled(side, (start..start + 150).map(level)));
            assert_eq!(kept.ftx(&bid, &ask, held), Checksum::new().ftx(&bid, &ask, held));
            assert!(kept.state.len > 200 * 42);
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
            if let Some(len) = plain(mantissa, scale, out.first_chunk_mut().unwrap()) {
                prop_assert_eq!(std::str::from_utf8(&out[..len]).unwrap(), plain_text(mantissa, scale));
            } else {
                prop_assert!(mantissa <= 0 || scale > 8 || mantissa / 10_i64.pow(u32::from(scale)) >= 100_000_000);
            }
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

    #[test]
    fn all_eight_digits() {
        for number in (0..EIGHT_DIGITS).step_by(997).chain(0..20_000).chain((0..8).map(|n| 10_u64.pow(n))) {
            let text = (eight_digits(number) | ZEROS).to_le_bytes();
            assert_eq!(std::str::from_utf8(&text), Ok(format!("{number:08}").as_str()));
        }
        let mut fours = [false; 10_000];
        for number in 0..10_000 {
            let digits = eight_digits(number * 10_001).to_le_bytes();
            let four = digits[4..].iter().fold(0, |four, digit| four * 10 + usize::from(*digit));
            assert!(digits[..4] == digits[4..] && !std::mem::replace(&mut fours[four], true));
        }
    }
}
