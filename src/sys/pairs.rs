//! Two decimals at once: the price and the amount of a level, with AVX2.
//!
//! Most of what a feed sends are pairs of quoted decimals. Here both are found with a few masks over 64 bytes, and
//! become integers in one pass through vector instructions, without a branch on their lengths, because the lengths change
//! from one level to the next and a mispredicted branch costs more than all of that. Whatever is unusual (a number of
//! more than sixteen characters, a sign, an exponent, digits beyond the scale, white space, the last bytes of a short text)
//! is left to the plain readers of `json` and `decimal`, which also know what is wrong with it. They are the judges in
//! the tests of both.
//!
//! Processors without AVX2 always take the plain way.

#[cfg(target_arch = "x86_64")]
use std::sync::atomic::{AtomicU8, Ordering};

/// What stands between the two numbers of a pair, quotes included; at most eight bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Between {
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    bytes: u64,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    mask: u64,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    len: usize,
}

impl Between {
    /// From the closing quote of the first number to the opening quote of the second, like `","q":"`.
    pub(crate) const fn new(text: &[u8]) -> Between {
        assert!(text.len() <= 8, "at most eight bytes");
        let (mut bytes, mut mask, mut at) = (0, 0, text.len());
        while at > 0 {
            at -= 1;
            bytes = bytes << 8 | text[at] as u64;
            mask = mask << 8 | 0xff;
        }
        Between { bytes, mask, len: text.len() }
    }
}

/// Two mantissas and where the text of the second number ends: at its closing quote.
pub(crate) type Pair = ([i64; 2], usize);

/// Reads two quoted numbers, of which the first begins at `at`, behind its quote.
///
/// `None` where the plain readers have to decide.
#[inline(always)]
pub(crate) fn pair(text: &[u8], at: usize, between: Between, scales: [u8; 2]) -> Option<Pair> {
    #[cfg(target_arch = "x86_64")]
    if available() {
        let mut numbers = [0; 2];
        // SAFETY: the processor has what the function is compiled for.
        let end = unsafe { avx2::pair::<{ avx2::QUOTED }>(text, at, between, scales, &mut numbers) };
        return end.map(|end| (numbers, end.get()));
    }
    let _ = (text, at, between, scales);
    None
}

/// Reads two numbers without quotes, of which the first begins at `at`. The second ends at the first byte that is no
/// digit and no point; whether that may follow on a number is for the caller to see.
///
/// `None` where the plain readers have to decide.
#[inline(always)]
pub(crate) fn bare_pair(text: &[u8], at: usize, between: Between, scales: [u8; 2]) -> Option<Pair> {
    #[cfg(target_arch = "x86_64")]
    if available() {
        let mut numbers = [0; 2];
        // SAFETY: as above.
        let end = unsafe { avx2::pair::<{ avx2::BARE }>(text, at, between, scales, &mut numbers) };
        return end.map(|end| (numbers, end.get()));
    }
    let _ = (text, at, between, scales);
    None
}

/// Reads rows that begin with two quoted numbers, `["0.5","12"],["0.6","7","1"]`, from the first bracket on, as long as they
/// are plain and `push` takes them. Says where it stopped: at a row, which is the plain reader's then, or behind the
/// last one, where no comma follows (`true`).
#[inline(always)]
pub(crate) fn rows(text: &[u8], at: usize, scales: [u8; 2], push: impl FnMut(i64, i64) -> bool) -> (usize, bool) {
    #[cfg(target_arch = "x86_64")]
    if available() {
        // SAFETY: as above.
        return unsafe { avx2::rows(text, at, scales, push) };
    }
    let _ = (text, scales, push);
    (at, false)
}

/// Whether the processor has what the routines are compiled for; one look at one byte.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn available() -> bool {
    match AVAILABLE.load(Ordering::Relaxed) {
        UNKNOWN => detect(),
        known => known == YES,
    }
}

#[cfg(target_arch = "x86_64")]
static AVAILABLE: AtomicU8 = AtomicU8::new(UNKNOWN);
#[cfg(target_arch = "x86_64")]
const UNKNOWN: u8 = 0;
#[cfg(target_arch = "x86_64")]
const YES: u8 = 1;
#[cfg(target_arch = "x86_64")]
const NO: u8 = 2;

#[cfg(target_arch = "x86_64")]
#[cold]
fn detect() -> bool {
    let all = std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2");
    AVAILABLE.store(if all { YES } else { NO }, Ordering::Relaxed);
    all
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::Between;
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_cvtsi128_si64, _mm_extract_epi64, _mm_loadu_si128, _mm_madd_epi16, _mm_packus_epi32,
        _mm_set1_epi8, _mm_set1_epi32, _mm_shuffle_epi8, _mm256_add_epi8, _mm256_adds_epu8, _mm256_and_si256,
        _mm256_andnot_si256, _mm256_castsi128_si256, _mm256_castsi256_si128, _mm256_cmpeq_epi8,
        _mm256_extracti128_si256, _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
        _mm256_max_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
        _mm256_shuffle_epi8, _mm256_sub_epi8, _mm256_subs_epu8, _mm256_testz_si256, _mm256_xor_si256,
    };
    use std::num::NonZeroUsize;
    use std::ops::Range;

    /// How many bytes are looked at for one row.
    const WINDOW: usize = 64;
    /// The longest number, and the most digits that come of one.
    const NUMBER: usize = 16;
    /// How many bytes are looked at for one pair: two numbers and what is between them, and no number begins so late that 16
    /// bytes would not follow.
    const SHORT: usize = 48;

    /// Who asks. Each has a copy of the routines of its own, because the compiler puts them together then, where a call between
    /// them would cost a quarter of the whole.
    type Kind = u8;
    /// For a row in a list, with enough behind it.
    const ROW: Kind = 0;
    /// For a row near the end of the text.
    const LAST_ROW: Kind = 1;
    /// For numbers that end at a quote, wherever they are.
    pub(super) const QUOTED: Kind = 2;
    /// For numbers that end at whatever is no part of them, wherever they are.
    pub(super) const BARE: Kind = 3;

    /// Where the bytes from some place on hold quotes and points, one bit for each.
    struct Masks {
        quotes: u64,
        points: u64,
    }

    /// The masks of the 64 bytes from `at` on; unless for a `ROW`, of as many as there are before the end of the text.
    ///
    /// # Safety
    /// There are 64, or unless for a `ROW`, the text has as many, and `at` is in it.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    unsafe fn masks<const KIND: Kind>(text: &[u8], at: usize) -> Masks {
        let from = if KIND != ROW { at.min(text.len() - WINDOW) } else { at };
        // SAFETY: as for this function.
        let (low, high) = unsafe {
            let start = text.as_ptr().add(from);
            (_mm256_loadu_si256(start.cast()), _mm256_loadu_si256(start.add(32).cast()))
        };
        let before = at - from;
        Masks { quotes: equal(low, high, b'"') >> before, points: equal(low, high, b'.') >> before }
    }

    /// Sixteen bytes from `at` on; unless for a `ROW`, with zeros behind the end of the text.
    ///
    /// # Safety
    /// There are 16, or unless for a `ROW`, the text has as many, and `at` is in it.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    unsafe fn sixteen_from<const KIND: Kind>(text: &[u8], at: usize) -> __m128i {
        let from = if KIND != ROW { at.min(text.len() - NUMBER) } else { at };
        // SAFETY: as for this function; `from` is at most 16 before `at`.
        unsafe {
            let bytes = _mm_loadu_si128(text.as_ptr().add(from).cast());
            if KIND != ROW { _mm_shuffle_epi8(bytes, from_table(MOVED.as_ptr().add(at - from))) } else { bytes }
        }
    }

    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    fn equal(low: __m256i, high: __m256i, byte: u8) -> u64 {
        let byte = _mm256_set1_epi8(byte.cast_signed());
        let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, byte)).cast_unsigned();
        let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, byte)).cast_unsigned();
        u64::from(low) | u64::from(high) << 32
    }

    /// How many digits of a number are before its point or its end, if it is laid out as the routines here can take it;
    /// whether all else are digits shows later. `points` are those from its first byte on.
    ///
    /// All of these conditions hold as a rule, and each has a branch of its own, because the compiler would compute them
    /// side by side in vectors otherwise, which takes three times as long.
    #[inline(always)]
    fn integer_len(first: u8, len: u32, points: u64, scale: u8) -> Option<u32> {
        if len > NUMBER as u32 {
            return None;
        }
        let integer_len = (points | 1 << len).trailing_zeros();
        if integer_len.wrapping_sub(1) > NUMBER as u32 - 1 - u32::from(scale) {
            return None;
        }
        if len == integer_len + 1 {
            return None;
        }
        if (first == b'0') & (integer_len != 1) {
            return None;
        }
        Some(integer_len)
    }

    /// Where a number is, how long it is, and how many digits are before its point or its end.
    #[derive(Clone, Copy)]
    struct Place {
        at: usize,
        len: u32,
        integer_len: u32,
    }

    /// Both numbers, one in each half of the registers. `None` if a byte is no digit, or a digit beyond the scale no zero.
    ///
    /// # Safety
    /// 16 bytes follow on each `at`, or unless for a `ROW`, it is as for [`sixteen_from`]. `len` is at most 16, `integer_len` and its scale together as well, and scales are below
    /// 16.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    unsafe fn integers<const KIND: Kind>(
        text: &[u8],
        [first, second]: [Place; 2],
        scales: [u8; 2],
    ) -> Option<[i64; 2]> {
        // SAFETY: as for this function; no number of bytes exceeds 17, and scales are rows of the table.
        let (bytes, own, held, origins) = unsafe {
            let beyond = |place: Place, scale: u8| first_bytes(place.integer_len as usize + 1 + usize::from(scale));
            let origins = |scale: u8| from_table(ORIGINS.get_unchecked(usize::from(scale)).as_ptr());
            (
                halves(sixteen_from::<KIND>(text, first.at), sixteen_from::<KIND>(text, second.at)),
                halves(first_bytes(first.len as usize), first_bytes(second.len as usize)),
                halves(beyond(first, scales[0]), beyond(second, scales[1])),
                halves(origins(scales[0]), origins(scales[1])),
            )
        };
        let values = _mm256_and_si256(_mm256_xor_si256(bytes, _mm256_set1_epi8(b'0'.cast_signed())), own);
        // Each digit moves so that the last one at the scale is the last of sixteen. What would come from outside becomes
        // zero, for which its highest bit has to be set: the saturating addition does that.
        let moved = halves(_mm_set1_epi8(first.integer_len as i8), _mm_set1_epi8(second.integer_len as i8));
        let origins = _mm256_adds_epu8(_mm256_add_epi8(origins, moved), _mm256_set1_epi8(0x70));
        let digits = _mm256_shuffle_epi8(values, origins);
        let no_digits = _mm256_subs_epu8(digits, _mm256_set1_epi8(9));
        let wrong = _mm256_or_si256(no_digits, _mm256_andnot_si256(held, values));
        if _mm256_testz_si256(wrong, wrong) == 0 {
            return None;
        }
        let twos = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(1 << 8 | 10));
        let fours = _mm256_madd_epi16(twos, _mm256_set1_epi32(1 << 16 | 100));
        let fours = _mm_packus_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256::<1>(fours));
        let eights = _mm_madd_epi16(fours, _mm_set1_epi32(1 << 16 | 10_000));
        Some([sixteen(_mm_cvtsi128_si64(eights)), sixteen(_mm_extract_epi64::<1>(eights))])
    }

    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    fn halves(low: __m128i, high: __m128i) -> __m256i {
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
    }

    /// The number of which the upper eight digits are in the lower half.
    #[inline(always)]
    fn sixteen(halves: i64) -> i64 {
        (halves & 0xffff_ffff) * 100_000_000 + (halves >> 32)
    }

    /// The pair whose first number begins at `at`, and where the second ends, in a window that does not depend on how long
    /// the numbers are: for one row after the other.
    ///
    /// # Safety
    /// 80 bytes follow on `at`, or unless for a `ROW`, the text has 64 and `at` is in it; both scales are below 16.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    unsafe fn in_window<const KIND: Kind>(
        text: &[u8],
        at: usize,
        between: Between,
        scales: [u8; 2],
        numbers: &mut [i64; 2],
    ) -> Option<NonZeroUsize> {
        // SAFETY: as for this function.
        let Masks { quotes, points } = unsafe { masks::<KIND>(text, at) };
        let first_end = quotes.trailing_zeros();
        let second = first_end + between.len as u32;
        let second_end = (quotes & (!0_u64).checked_shl(second)?).trailing_zeros();
        if second_end >= WINDOW as u32 {
            return None;
        }
        // SAFETY: with a quote behind `second` all of these places are in the text.
        unsafe { in_place::<KIND>(text, at, first_end, second..second_end, points, between, scales, numbers) }
    }

    /// The pair of which both numbers are found, and where the second ends. `points` are those from `at` on.
    ///
    /// # Safety
    /// Both numbers are in the text; 16 bytes follow on the start of each, or unless for a `ROW`, the text has as many; both scales are
    /// below 16.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    #[allow(clippy::too_many_arguments)] // All of them in registers.
    unsafe fn in_place<const KIND: Kind>(
        text: &[u8],
        at: usize,
        first_len: u32,
        second: Range<u32>,
        points: u64,
        between: Between,
        scales: [u8; 2],
        numbers: &mut [i64; 2],
    ) -> Option<NonZeroUsize> {
        let gap_at = at + first_len as usize;
        if KIND != ROW && text.len() - gap_at < size_of::<u64>() {
            return None;
        }
        // SAFETY: eight bytes follow on the gap, and the numbers begin in the text.
        let (gap, first_byte, second_byte) = unsafe {
            let byte = |place: usize| text.as_ptr().add(place);
            (byte(gap_at).cast::<[u8; 8]>().read(), *byte(at), *byte(at + second.start as usize))
        };
        if u64::from_le_bytes(gap) & between.mask != between.bytes {
            return None;
        }
        let second_len = second.end - second.start;
        let first_integer_len = integer_len(first_byte, first_len, points, scales[0])?;
        let second_integer_len = integer_len(second_byte, second_len, points >> second.start, scales[1])?;
        let end = at + second.end as usize;
        let first = Place { at, len: first_len, integer_len: first_integer_len };
        let second = Place { at: at + second.start as usize, len: second_len, integer_len: second_integer_len };
        // SAFETY: the numbers have at most 16 bytes, which was found out with their digits before the point.
        *numbers = unsafe { integers::<KIND>(text, [first, second], scales)? };
        NonZeroUsize::new(end)
    }

    /// In registers goes back where the second number ends, on which the caller waits, and in memory what they are.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    pub(super) fn pair<const KIND: Kind>(
        text: &[u8],
        at: usize,
        between: Between,
        scales: [u8; 2],
        numbers: &mut [i64; 2],
    ) -> Option<NonZeroUsize> {
        if scales[0].max(scales[1]) >= NUMBER as u8 || at >= text.len() {
            return None;
        }
        if text.len() < SHORT {
            return None;
        }
        // SAFETY: it has 48 bytes.
        unsafe { in_short::<KIND>(text, at, between, scales, numbers) }
    }

    /// The same.
    ///
    /// # Safety
    /// The text has 48 bytes, and `at` is in it; both scales are below 16.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    unsafe fn in_short<const KIND: Kind>(
        text: &[u8],
        at: usize,
        between: Between,
        scales: [u8; 2],
        numbers: &mut [i64; 2],
    ) -> Option<NonZeroUsize> {
        let from = at.min(text.len() - SHORT);
        // SAFETY: 48 bytes follow on it.
        let (low, high) = unsafe {
            let start = text.as_ptr().add(from);
            (_mm256_loadu_si256(start.cast()), _mm_loadu_si128(start.add(32).cast()))
        };
        let high = _mm256_castsi128_si256(high);
        // What is seen ends with bit 48, which may be the end of the text.
        let points = equal(low, high, b'.') >> (at - from);
        let ends = if KIND == QUOTED { equal(low, high, b'"') } else { no_number(low, high) };
        let ends = (ends & ((1 << SHORT) - 1) | 1 << SHORT) >> (at - from);
        let first_end = ends.trailing_zeros();
        // So that the second one begins at 24 at most.
        if first_end > NUMBER as u32 {
            return None;
        }
        let second = first_end + between.len as u32;
        let second_end = second + (ends >> second).trailing_zeros();
        // A quote has to be there, while a bare number may go to the end of the text.
        let last = text.len() - at - usize::from(KIND == QUOTED);
        if second_end as usize > last || second as usize >= text.len() - at {
            return None;
        }
        // SAFETY: both are in the text then, which has 16 bytes.
        unsafe { in_place::<KIND>(text, at, first_end, second..second_end, points, between, scales, numbers) }
    }

    /// Which bytes are neither digits nor points; `/`, which lies between them, counts as one of them here.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    fn no_number(low: __m256i, high: __m256i) -> u64 {
        let of_32 = |bytes: __m256i| {
            let moved = _mm256_sub_epi8(bytes, _mm256_set1_epi8(b'.'.cast_signed()));
            let last = _mm256_set1_epi8((b'9' - b'.').cast_signed());
            _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(moved, last), last)).cast_unsigned()
        };
        !(u64::from(of_32(low)) | u64::from(of_32(high)) << 32)
    }

    #[target_feature(enable = "avx2,bmi1,bmi2")]
    pub(super) fn rows(
        text: &[u8],
        start: usize,
        scales: [u8; 2],
        mut push: impl FnMut(i64, i64) -> bool,
    ) -> (usize, bool) {
        const BETWEEN: Between = Between::new(b"\",\"");
        /// Bracket, quote, a window, and what has to follow on it.
        const ROW_BYTES: usize = 2 + WINDOW + NUMBER;
        let (mut at, mut numbers) = (start, [0; 2]);
        if scales[0].max(scales[1]) >= NUMBER as u8 {
            return (at, false);
        }
        loop {
            let Some(rest) = text.get(at..).filter(|rest| rest.starts_with(b"[\"")) else { return (at, false) };
            let row = if rest.len() >= ROW_BYTES {
                // SAFETY: as many bytes are left.
                unsafe { in_window::<ROW>(text, at + 2, BETWEEN, scales, &mut numbers) }
            } else if text.len() >= WINDOW && rest.len() > 2 {
                // SAFETY: the text has as many bytes, and one at least is left behind the quote.
                unsafe { in_window::<LAST_ROW>(text, at + 2, BETWEEN, scales, &mut numbers) }
            } else {
                None
            };
            let Some(quote) = row else { return (at, false) };
            let mut end = quote.get() + 1;
            if text.get(end) != Some(&b']') {
                let Some(bracket) = super::super::lanes::end_of_cells(text, end) else { return (at, false) };
                end = bracket;
            }
            if !push(numbers[0], numbers[1]) {
                return (at, false);
            }
            at = end + 1;
            if text.get(at) != Some(&b',') {
                return (at, true);
            }
            at += 1;
        }
    }

    /// # Safety
    /// 16 bytes follow on the place.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    unsafe fn from_table(place: *const u8) -> __m128i {
        // SAFETY: as for this function.
        unsafe { _mm_loadu_si128(place.cast()) }
    }

    /// A mask of the first `n` bytes.
    ///
    /// # Safety
    /// `n` is at most 32.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    unsafe fn first_bytes(n: usize) -> __m128i {
        // SAFETY: sixteen bytes follow on the place in the table.
        unsafe { _mm_loadu_si128(FIRST.as_ptr().add(32 - n).cast()) }
    }

    /// From place `n` on: moves sixteen bytes `n` places down, zeros behind them.
    static MOVED: [u8; 32] = {
        let mut table = [0x80; 32];
        let mut at = 0;
        while at < 16 {
            table[at] = at as u8;
            at += 1;
        }
        table
    };

    static FIRST: [u8; 48] = {
        let mut table = [0; 48];
        let mut at = 0;
        while at < 32 {
            table[at] = 0xff;
            at += 1;
        }
        table
    };

    /// For each scale and each of the sixteen digits: where it comes from, less the digits before the point. A digit of the
    /// fraction comes from one place further, behind the point.
    static ORIGINS: [[u8; 16]; NUMBER] = {
        let mut table = [[0; 16]; NUMBER];
        let mut scale = 0;
        while scale < NUMBER {
            let mut digit = 0;
            while digit < 16 {
                let integers = 16 - scale as i8;
                let fraction = digit as i8 >= integers;
                table[scale][digit] = (digit as i8 - integers + fraction as i8).cast_unsigned();
                digit += 1;
            }
            scale += 1;
        }
        table
    };
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::decimal::parse_exact;

    const COMMA: Between = Between::new(b"\",\"");

    #[test]
    fn pairs_of_the_capture() {
        if !available() {
            return;
        }
        let text = br#"["0.35130000","6195.00000000"],["10.3010","0"],["30249.3","0.06523858","0","1"]],"ts":"1652459225453"}}"#;
        let at = |place: usize, scales| pair(text, place, COMMA, scales);
        assert_eq!(at(2, [4, 0]), Some(([3513, 6195], 28)));
        assert_eq!(at(2, [8, 8]), Some(([35_130_000, 619_500_000_000], 28)));
        assert_eq!(at(2, [3, 0]), None, "a digit is beyond the scale");
        assert_eq!(at(33, [4, 15]), Some(([103_010, 0], 44)));
        assert_eq!(at(49, [1, 8]), Some(([302_493, 6_523_858], 69)));
        assert_eq!(at(3, [4, 0]), None, "no digit before the point");
        let mut levels = Vec::new();
        let mut push = |price, qty| {
            levels.push([price, qty]);
            true
        };
        assert_eq!(rows(text, 0, [8, 8], &mut push), (text.len() - 24, true));
        assert_eq!(levels, [[35_130_000, 619_500_000_000], [1_030_100_000, 0], [3_024_930_000_000, 6_523_858]]);
        assert_eq!(rows(text, 0, [8, 8], |_, _| false), (0, false));
        // Cut anywhere, also behind a first quote: the rows that are whole, and nothing of the one that is not.
        let (before, long) = (64, [&[b'x'; 64], &text[..]].concat());
        for len in before..long.len() {
            let (cut, mut count) = (&long[..len], 0);
            let (end, _) = rows(cut, before, [8, 8], |_, _| {
                count += 1;
                true
            });
            assert!(end <= len && count < cut.split(|byte| *byte == b']').count(), "{len}");
            for at in before..=len {
                assert!(pair(cut, at, COMMA, [8, 8]).is_none_or(|(_, quote)| quote < len), "{at} of {len}");
            }
        }
    }

    fn number(random: &mut fastrand::Rng) -> String {
        let mut text: String = (0..random.usize(1..=9)).map(|_| random.digit(10)).collect();
        if random.bool() {
            text.push('.');
            text.extend((0..random.usize(1..=9)).map(|_| random.digit(10)));
        }
        text
    }

    /// The text within a longer one, and where it is there: near the end, and far from it.
    fn within(mut text: Vec<u8>, random: &mut fastrand::Rng) -> (Vec<u8>, usize) {
        let at = random.usize(..90);
        text.splice(..0, vec![b'x'; at]);
        text.resize(text.len() + random.usize(..90), b'x');
        (text, at)
    }

    /// What stands in quotes at `at`, and where it ends.
    fn quoted(text: &[u8], at: usize) -> Option<(&[u8], usize)> {
        let len = text.get(at..)?.iter().position(|byte| *byte == b'"')?;
        Some((&text[at..at + len], at + len))
    }

    /// The plain judge.
    fn plain(text: &[u8], scales: [u8; 2]) -> Option<Pair> {
        let (first, end) = quoted(text, 0)?;
        if text.get(end..end + 3)? != b"\",\"" {
            return None;
        }
        let (second, end) = quoted(text, end + 3)?;
        Some(([parse_exact(first, scales[0]).ok()?, parse_exact(second, scales[1]).ok()?], end))
    }

    #[test]
    fn rows_are_what_the_plain_way_reads() {
        if !available() {
            return;
        }
        let mut random = fastrand::Rng::with_seed(3);
        let (mut read, mut refused) = (0, 0);
        for _ in 0..400_000 {
            let mut text = format!("[\"{}\",\"{}\"]", number(&mut random), number(&mut random)).into_bytes();
            for _ in 0..random.usize(..=2) {
                let at = random.usize(..text.len());
                text[at] = b"0123456789..--e+\",] "[random.usize(..20)];
            }
            let (text, at) = within(text, &mut random);
            let scales = [random.u8(..=17), random.u8(..=17)];
            let mut row = None;
            let (end, last) = rows(&text, at, scales, |price, qty| row.replace([price, qty]).is_none());
            let shown = String::from_utf8_lossy(&text);
            match row {
                Some(numbers) => {
                    read += 1;
                    let (judged, quote) =
                        plain(&text[at + 2..], scales).unwrap_or_else(|| panic!("{shown} at {scales:?}"));
                    assert_eq!((numbers, last, text[end - 1]), (judged, true, b']'), "{shown} at {scales:?}");
                    assert!(end >= at + 2 + quote + 2, "{shown}");
                }
                None => {
                    refused += 1;
                    assert_eq!((end, last), (at, false), "{shown}");
                }
            }
        }
        assert!(read > 40_000 && refused > 40_000, "{read} read, {refused} refused");
    }

    /// The plain judge of numbers without quotes.
    fn plain_bare(text: &[u8], between: &[u8], scales: [u8; 2]) -> Option<Pair> {
        let len = |text: &[u8]| text.iter().take_while(|byte| matches!(byte, b'.'..=b'9')).count();
        let first = len(text);
        let rest = text[first..].strip_prefix(between)?;
        let second = len(rest);
        let numbers = [parse_exact(&text[..first], scales[0]).ok()?, parse_exact(&rest[..second], scales[1]).ok()?];
        Some((numbers, first + between.len() + second))
    }

    #[test]
    fn pairs_are_what_the_plain_way_reads() {
        if !available() {
            return;
        }
        const QTY: Between = Between::new(b",\"qty\":");
        let text = br#"{"price":0.5666,"qty":4831.75496356}],"asks":[]}"#;
        assert_eq!(bare_pair(text, 9, QTY, [4, 8]), Some(([5_666, 483_175_496_356], 35)));
        assert_eq!(bare_pair(text, 9, QTY, [3, 8]), None, "a digit is beyond the scale");
        let text = br#"{"type":"l2update","changes":[["buy","0.82063","0.014210"]]}"#;
        assert_eq!(pair(text, 38, COMMA, [5, 6]), Some(([82_063, 14_210], 56)));
        assert_eq!(pair(&text[20..], 18, COMMA, [5, 6]), None, "too short a text");
        let mut random = fastrand::Rng::with_seed(4);
        let (mut read, mut refused) = ([0; 2], 0);
        for _ in 0..400_000 {
            let quoted = random.bool();
            let (between, end) = if quoted { ("\",\"", '"') } else { (",\"qty\":", '}') };
            let mut text = format!("{}{between}{}{end}", number(&mut random), number(&mut random)).into_bytes();
            for _ in 0..random.usize(..=2) {
                let at = random.usize(..text.len());
                text[at] = b"0123456789../-e+\",} "[random.usize(..20)];
            }
            let (text, at) = within(text, &mut random);
            let scales = [random.u8(..=17), random.u8(..=17)];
            let found = if quoted { pair(&text, at, COMMA, scales) } else { bare_pair(&text, at, QTY, scales) };
            let Some((numbers, end)) = found else {
                refused += 1;
                continue;
            };
            read[usize::from(quoted)] += 1;
            let judged = &text[at..];
            let plain = if quoted { plain(judged, scales) } else { plain_bare(judged, between.as_bytes(), scales) };
            assert_eq!(Some((numbers, end - at)), plain, "{} at {scales:?}", String::from_utf8_lossy(&text));
        }
        assert!(read[0] > 20_000 && read[1] > 20_000 && refused > 40_000, "{read:?} read, {refused} refused");
    }
}
