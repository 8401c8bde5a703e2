//! The CRC-32 (IEEE, as in zlib) of a text of many lines, from what is known of each line, without the text.
//!
//! A checksum of this kind is a remainder of polynomials, so the part that a line has in it is its own remainder times a
//! power that depends only on how many bytes follow. Who keeps the remainder and the length of each line needs one
//! carry-less multiplication a line for the checksum of them all, wherever the line now stands; neither copying the
//! text nor reading it again.
//!
//! A remainder here is a polynomial of degree 63 at most, which is only congruent to the real one; the last step reduces
//! it to 32 bits. Bits are reflected as in all of this CRC: the lowest bit belongs to the highest power.
//!
//! Lines of two numbers can be printed with AVX2, both numbers at once. Processors without AVX2 or carry-less
//! multiplication take the plain way, which is the judge in the tests.

#[cfg(target_arch = "x86_64")]
use std::sync::atomic::{AtomicU8, Ordering};

/// What a line adds to a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Congruent to the line times x^32.
    remainder: u64,
    len: usize,
}

impl Line {
    /// The text of no byte.
    pub(crate) const EMPTY: Line = Line { remainder: 0, len: 0 };

    /// Any text.
    pub(crate) fn of_text(text: &[u8]) -> Line {
        // A register of zero, which crc32fast keeps inverted.
        let mut hasher = crc32fast::Hasher::new_with_initial(u32::MAX);
        hasher.update(text);
        Line { remainder: u64::from(!hasher.finalize()) << 32, len: text.len() }
    }

    /// `price:qty:` in plain decimals without needless zeros. [`Line::EMPTY`] for numbers below zero or of many digits, and
    /// where the processor cannot do it.
    #[inline(always)]
    pub(crate) fn of_decimals(numbers: [i64; 2], scales: [u8; 2]) -> Line {
        #[cfg(target_arch = "x86_64")]
        if available() {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { avx2::decimals(numbers[0], numbers[1], scales) };
        }
        let _ = (numbers, scales);
        Line::EMPTY
    }

    /// The digits of both numbers without leading zeros. [`Line::EMPTY`] for numbers that are not above zero or have many
    /// digits, and where the processor cannot do it.
    #[inline(always)]
    pub(crate) fn of_digits(numbers: [i64; 2]) -> Line {
        #[cfg(target_arch = "x86_64")]
        if available() {
            // SAFETY: as above.
            return unsafe { avx2::digits(numbers[0], numbers[1]) };
        }
        let _ = numbers;
        Line::EMPTY
    }

    /// Whether there is no text.
    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.len == 0
    }

    /// This line behind others: rows of them, of which the last comes first. Rows have one or two lines, of at most 62
    /// bytes each.
    #[inline(always)]
    pub(crate) fn behind<const N: usize>(self, rows: impl Iterator<Item = [Line; N]>) -> Line {
        #[cfg(target_arch = "x86_64")]
        if available() {
            // SAFETY: as above.
            return unsafe { avx2::behind(self, rows) };
        }
        behind::<u128, N>(self, rows)
    }

    /// Two lines as one.
    #[inline(always)]
    pub(crate) fn followed_by(self, after: Line) -> Line {
        #[cfg(target_arch = "x86_64")]
        if available() {
            // SAFETY: as above.
            return unsafe { avx2::joined(self, after) };
        }
        joined::<u128>(self, after)
    }

    /// The checksum of the text.
    #[inline(always)]
    pub(crate) fn crc(self) -> u32 {
        self.finish(0, 0)
    }

    /// The checksum of the text without its last byte, which is this one.
    #[inline(always)]
    pub(crate) fn crc_without(self, last: u8) -> u32 {
        if self.len == 0 { 0 } else { self.finish(1, last) }
    }

    #[inline(always)]
    fn finish(self, less: usize, last: u8) -> u32 {
        #[cfg(target_arch = "x86_64")]
        if available() {
            // SAFETY: as above.
            return unsafe { avx2::finish(self, less, last) };
        }
        finish::<u128>(self, less, last)
    }
}

/// The product of two polynomials. Nothing here is a target feature, so that it can be a trait; all of it is inlined where
/// the processor is known.
trait Product: Copy {
    const ZERO: Self;

    /// The second one has at most 33 bits, so that the product has 96.
    fn of(a: u64, b: &u64) -> Self;

    fn plus(self, other: Self) -> Self;

    /// Congruent to the 96 bits, in 64.
    fn folded(self) -> u64;

    /// The lowest 64 bits.
    fn low(self) -> u64;
}

impl Product for u128 {
    const ZERO: u128 = 0;

    #[inline]
    fn of(a: u64, b: &u64) -> u128 {
        let product = u128::from(times(a, *b as u32)) ^ u128::from(times(a >> 32, *b as u32)) << 32;
        product ^ u128::from(a * (*b >> 32)) << 32
    }

    #[inline]
    fn plus(self, other: u128) -> u128 {
        self ^ other
    }

    #[inline]
    fn folded(self) -> u64 {
        (self >> 32) as u64 ^ times(self as u64, X_63 as u32)
    }

    #[inline]
    fn low(self) -> u64 {
        self as u64
    }
}

/// The product of the lower halves of `a` and of `b`. Integers are multiplied of which every fourth bit is used at most, so
/// that sums of eight ones do not reach the next one that counts.
#[inline]
fn times(a: u64, b: u32) -> u64 {
    const EVERY_FOURTH: u64 = 0x1111_1111_1111_1111;
    let part = |number: u64, n: u32| number & 0xffff_ffff & (EVERY_FOURTH << n);
    let mut product = 0;
    for n in 0..4 {
        let sum = (0..4).fold(0, |sum, m| sum ^ part(a, m).wrapping_mul(part(b.into(), (n + 4 - m) % 4)));
        product |= sum & EVERY_FOURTH << n;
    }
    product
}

/// See [`Line::behind`].
#[inline(always)]
fn behind<P: Product, const N: usize>(mut after: Line, mut rows: impl Iterator<Item = [Line; N]>) -> Line {
    loop {
        let (mut sum, mut len) = (P::ZERO, 0);
        let is_last = loop {
            let Some(row) = rows.next() else { break true };
            for line in row.into_iter().rev() {
                // The mask changes nothing, since a row has two lines at most, and no line more than 62 bytes.
                sum = sum.plus(P::of(line.remainder, &POWERS[(len + ORIGIN) % POWERS.len()]));
                len += line.len;
            }
            // The table is for texts of the usual length.
            if len > FOLLOWING_MAX {
                break false;
            }
        };
        after = joined::<P>(Line { remainder: sum.folded(), len }, after);
        if is_last {
            return after;
        }
    }
}

/// Two lines as one.
#[inline(always)]
fn joined<P: Product>(before: Line, after: Line) -> Line {
    if after.len == 0 {
        return before;
    }
    Line { remainder: followed::<P>(before.remainder, after.len) ^ after.remainder, len: before.len + after.len }
}

/// What a line adds if so many bytes follow.
#[inline(always)]
fn followed<P: Product>(mut remainder: u64, mut len: usize) -> u64 {
    while len > FOLLOWING_MAX {
        remainder = P::of(remainder, &POWERS[FOLLOWING_MAX + ORIGIN]).folded();
        len -= FOLLOWING_MAX;
    }
    P::of(remainder, &POWERS[len + ORIGIN]).folded()
}

/// The checksum of a line with `less` bytes fewer, of which `last` was the one.
#[inline(always)]
fn finish<P: Product>(line: Line, less: usize, last: u8) -> u32 {
    // The register begins with ones.
    let start = followed::<P>(0xffff_ffff << 32, line.len - less);
    let own = P::of(line.remainder, &POWERS[ORIGIN - less]).folded();
    let sum = start ^ own;
    // Barrett's way to the remainder of 32 bits.
    let quotient = P::of(sum & 0xffff_ffff, &INVERSE).low();
    let register = (sum ^ P::of(quotient & 0xffff_ffff, &POLYNOMIAL).low()) >> 32;
    !(register as u32 ^ u32::from(last))
}

/// The polynomial of this CRC, and the quotient of x^64 by it, with all of their 33 bits.
const POLYNOMIAL: u64 = 0x1_db71_0641;
const INVERSE: u64 = 0x1_f701_1641;

/// x^63.
const X_63: u64 = {
    let (mut power, mut n) = (1 << 31, 0);
    while n < 63 {
        power = times_x(power);
        n += 1;
    }
    power
};

/// Where in [`POWERS`] nothing follows.
const ORIGIN: usize = 16;
/// Up to so many bytes may follow on a row of lines.
const FOLLOWING_MAX: usize = 1_900;

/// By what a remainder is multiplied where bytes follow: x^(8n-1) for n bytes, from -16 on. A product of two reflected
/// numbers is one power too high, hence the one that is taken away.
static POWERS: [u64; 2_048] = {
    let mut table = [0; 2_048];
    let (mut power, mut n) = (1 << 31, 0);
    while n < 8 * ORIGIN + 1 {
        // Divided by x.
        power = if power >> 31 == 0 { power << 1 } else { (power ^ POLYNOMIAL >> 1) << 1 | 1 } & 0xffff_ffff;
        n += 1;
    }
    let mut at = 0;
    while at < table.len() {
        table[at] = power;
        n = 0;
        while n < 8 {
            power = times_x(power);
            n += 1;
        }
        at += 1;
    }
    table
};

const fn times_x(power: u64) -> u64 {
    (power >> 1) ^ ((power & 1) * (POLYNOMIAL >> 1))
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
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("lzcnt")
        && std::is_x86_feature_detected!("pclmulqdq");
    AVAILABLE.store(if all { YES } else { NO }, Ordering::Relaxed);
    all
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Line, ORIGIN, POWERS, Product, X_63};
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_and_si128, _mm_clmulepi64_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_insert_epi64,
        _mm_loadu_si128, _mm_or_si128, _mm_set_epi32, _mm_setzero_si128, _mm_srli_si128, _mm_xor_si128,
        _mm256_and_si256, _mm256_castsi128_si256, _mm256_castsi256_si128, _mm256_cmpeq_epi8, _mm256_cvtepu32_epi64,
        _mm256_extracti128_si256, _mm256_inserti128_si256, _mm256_movemask_epi8, _mm256_mul_epu32, _mm256_mulhi_epu16,
        _mm256_mullo_epi16, _mm256_or_si256, _mm256_set_epi64x, _mm256_set1_epi8, _mm256_set1_epi16,
        _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_slli_epi32,
        _mm256_slli_epi64, _mm256_srli_epi16, _mm256_srli_epi64, _mm256_sub_epi16, _mm256_sub_epi64,
    };

    /// The most digits of a number.
    const NUMBER: usize = 16;
    const NUMBER_END: u64 = 10_000_000_000_000_000;

    /// A product in one register. Only for functions that are compiled for AVX2 and carry-less multiplication.
    #[derive(Clone, Copy)]
    struct Wide(__m128i);

    impl Product for Wide {
        // SAFETY: all bits zero are a value of this type.
        const ZERO: Wide = Wide(unsafe { std::mem::zeroed() });

        #[inline(always)]
        fn of(a: u64, b: &u64) -> Wide {
            // SAFETY: whoever uses this type is compiled for these instructions.
            unsafe {
                let (a, b) = (_mm_cvtsi64_si128(a.cast_signed()), _mm_cvtsi64_si128(b.cast_signed()));
                Wide(_mm_clmulepi64_si128::<0x00>(a, b))
            }
        }

        #[inline(always)]
        fn plus(self, other: Wide) -> Wide {
            // SAFETY: as above.
            unsafe { Wide(_mm_xor_si128(self.0, other.0)) }
        }

        #[inline(always)]
        fn folded(self) -> u64 {
            // SAFETY: as above.
            unsafe {
                let low = _mm_and_si128(self.0, _mm_set_epi32(0, 0, 0, -1));
                let low = _mm_clmulepi64_si128::<0x00>(low, _mm_cvtsi64_si128(X_63.cast_signed()));
                _mm_cvtsi128_si64(_mm_xor_si128(_mm_srli_si128::<4>(self.0), low)).cast_unsigned()
            }
        }

        #[inline(always)]
        fn low(self) -> u64 {
            // SAFETY: as above.
            unsafe { _mm_cvtsi128_si64(self.0).cast_unsigned() }
        }
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq")]
    pub(super) fn behind<const N: usize>(after: Line, rows: impl Iterator<Item = [Line; N]>) -> Line {
        super::behind::<Wide, N>(after, rows)
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq")]
    pub(super) fn joined(before: Line, after: Line) -> Line {
        super::joined::<Wide>(before, after)
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq")]
    pub(super) fn finish(line: Line, less: usize, last: u8) -> u32 {
        super::finish::<Wide>(line, less, last)
    }

    /// The sixteen digits of both numbers, a byte each, the first one lowest. Halves, quarters and single digits are divided
    /// all at once, by multiplications that are exact for numbers so small.
    ///
    /// Both are below [`NUMBER_END`].
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq")]
    #[inline]
    fn sixteen_digits([first, second]: [u64; 2]) -> __m256i {
        const EIGHT: u64 = 100_000_000;
        // The upper eight digits are in the lower half.
        let halves = |number: u64| {
            let upper = number / EIGHT;
            ((number << 32).wrapping_sub(upper.wrapping_mul((EIGHT << 32) - 1))).cast_signed()
        };
        let eights = _mm_insert_epi64::<1>(_mm_cvtsi64_si128(halves(first)), halves(second));
        let eights = _mm256_cvtepu32_epi64(eights);
        // Each step makes of `ab` in one field `a` in its lower half and `b` in its upper half.
        let upper = _mm256_srli_epi64::<45>(_mm256_mul_epu32(eights, _mm256_set1_epi64x(3_518_437_209)));
        let lower = _mm256_sub_epi64(eights, _mm256_mul_epu32(upper, _mm256_set1_epi64x(10_000)));
        let fours = _mm256_or_si256(upper, _mm256_slli_epi64::<32>(lower));
        let upper = _mm256_srli_epi16::<3>(_mm256_mulhi_epu16(fours, _mm256_set1_epi16(5_243)));
        let lower = _mm256_sub_epi16(fours, _mm256_mullo_epi16(upper, _mm256_set1_epi16(100)));
        let twos = _mm256_or_si256(upper, _mm256_slli_epi32::<16>(lower));
        let upper = _mm256_mulhi_epu16(twos, _mm256_set1_epi16(6_554));
        let lower = _mm256_sub_epi16(twos, _mm256_mullo_epi16(upper, _mm256_set1_epi16(10)));
        _mm256_or_si256(upper, _mm256_slli_epi16::<8>(lower))
    }

    /// See [`Line::of_decimals`].
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq")]
    pub(super) fn decimals(price: i64, qty: i64, scales: [u8; 2]) -> Line {
        let [price, qty] = [price, qty].map(i64::cast_unsigned);
        let [price_scale, qty_scale] = scales.map(usize::from);
        // The first of sixteen digits makes room for the point.
        if price.max(qty) >= NUMBER_END / 10 || price_scale.max(qty_scale) >= NUMBER - 1 {
            return Line::EMPTY;
        }
        let digits = sixteen_digits([price, qty]);
        let zeros = _mm256_movemask_epi8(_mm256_cmpeq_epi8(digits, _mm256_setzero_si256())).cast_unsigned();
        // The digit before the point is there in any case.
        let points = [1_u32 << 15 >> price_scale, 1_u32 << 15 >> qty_scale];
        let (price_first, price_len) = first_and_len(!zeros & 0xffff | points[0], points[0]);
        let (qty_first, qty_len) = first_and_len(!zeros >> 16 | points[1], points[1]);
        if price_len.max(qty_len) >= NUMBER {
            return Line::EMPTY;
        }
        let row = |scale: usize, first: usize| from_table(&ORIGINS[scale % NUMBER][first % NUMBER]);
        // SAFETY: both lengths are below 16, so 16 bytes follow on each place in the table.
        let end = |len: usize| unsafe { _mm_loadu_si128(END.as_ptr().add(NUMBER - len).cast::<__m128i>()) };
        let origins = halves(
            _mm_or_si128(row(price_scale, price_first), end(price_len)),
            _mm_or_si128(row(qty_scale, qty_first), end(qty_len)),
        );
        let chars = _mm256_set_epi64x(
            0x3030_3030_3030_3030,
            0x3030_3030_3030_302e,
            0x3030_3030_3030_3030,
            0x3030_3030_3030_302e,
        );
        let text = _mm256_shuffle_epi8(_mm256_or_si256(digits, chars), origins);
        // Zeros behind the texts count, so the powers are lower by the sixteen bytes. Both colons come from a table.
        let both = price_len + qty_len + 2;
        let line = of_parts(text, [both + ORIGIN - 12, qty_len + 1 + ORIGIN - 12], both);
        Line { remainder: line.remainder ^ COLONS[qty_len], len: both }
    }

    /// The first digit that is kept, and the length of the text with its point, if there is one.
    #[inline(always)]
    fn first_and_len(kept: u32, point: u32) -> (usize, usize) {
        let first = kept.trailing_zeros();
        let len = 32 - kept.leading_zeros() - first + u32::from(kept >= point * 2);
        (first as usize, len as usize)
    }

    /// See [`Line::of_digits`].
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq")]
    pub(super) fn digits(price: i64, qty: i64) -> Line {
        let [price, qty] = [price, qty].map(i64::cast_unsigned);
        if price.wrapping_sub(1).max(qty.wrapping_sub(1)) >= NUMBER_END - 1 {
            return Line::EMPTY;
        }
        let digits = sixteen_digits([price, qty]);
        let zeros = _mm256_movemask_epi8(_mm256_cmpeq_epi8(digits, _mm256_setzero_si256())).cast_unsigned();
        let len = |kept: u32| NUMBER - kept.trailing_zeros() as usize % NUMBER;
        let (price_len, qty_len) = (len(!zeros), len(!zeros >> 16));
        // SAFETY: the lengths are 1 to 16, so 16 bytes follow on each place in the table.
        let text = |len: usize| unsafe { _mm_loadu_si128(TEXT.as_ptr().add(len).cast::<__m128i>()) };
        let chars = _mm256_or_si256(digits, _mm256_set1_epi8(b'0'.cast_signed()));
        // Zeros before a text add nothing.
        let chars = _mm256_and_si256(chars, halves(text(price_len), text(qty_len)));
        of_parts(chars, [qty_len + ORIGIN + 4, ORIGIN + 4], price_len + qty_len)
    }

    /// The line of two texts of sixteen bytes. The powers are those of the second halves of both.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq")]
    #[inline]
    fn of_parts(chars: __m256i, powers: [usize; 2], len: usize) -> Line {
        let parts = [_mm256_castsi256_si128(chars), _mm256_extracti128_si256::<1>(chars)];
        let mut sum = _mm_setzero_si128();
        for (part, power) in parts.into_iter().zip(powers) {
            // SAFETY: `power` is below 64, and the table longer. Two powers are read, of which the second is not used.
            let (first, second) = unsafe {
                let power = POWERS.as_ptr().add(power);
                (_mm_loadu_si128(power.add(8).cast()), _mm_loadu_si128(power.cast()))
            };
            sum = _mm_xor_si128(sum, _mm_clmulepi64_si128::<0x00>(part, first));
            sum = _mm_xor_si128(sum, _mm_clmulepi64_si128::<0x01>(part, second));
        }
        Line { remainder: Wide(sum).folded(), len }
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq")]
    #[inline]
    fn halves(low: __m128i, high: __m128i) -> __m256i {
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq")]
    #[inline]
    fn from_table(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: sixteen bytes are read of sixteen.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    /// For each scale and each first digit: where characters come from. The one before the fraction is the point, which is
    /// the first of the sixteen.
    static ORIGINS: [[[u8; 16]; NUMBER]; NUMBER] = {
        let mut table = [[[0; 16]; NUMBER]; NUMBER];
        let mut at = 0;
        while at < NUMBER * NUMBER * 16 {
            let (scale, first, place) = (at / NUMBER / 16, at / 16 % NUMBER, at % 16);
            let integer_len = (NUMBER - scale).saturating_sub(first);
            table[scale][first][place] = if place < integer_len {
                (place + first) as u8 & 15
            } else if place == integer_len {
                0
            } else {
                (place + first - 1) as u8 & 15
            };
            at += 1;
        }
        table
    };

    /// Sixteen zeros, and then what makes a zero of every character.
    static END: [u8; 32] = half(0x80);
    /// Of these, so many bytes are text as the place tells where reading begins.
    static TEXT: [u8; 32] = half(0xff);

    const fn half(byte: u8) -> [u8; 32] {
        let mut table = [0; 32];
        let mut at = 16;
        while at < 32 {
            table[at] = byte;
            at += 1;
        }
        table
    }

    /// For each length of a quantity what the colons before and behind it add.
    static COLONS: [u64; NUMBER] = {
        let mut table = [0; NUMBER];
        let (mut power, mut n) = ((b':' as u64), 0);
        while n < 8 {
            power = super::times_x(power);
            n += 1;
        }
        let behind = power;
        let mut len = 0;
        while len < NUMBER {
            n = 0;
            while n < 8 {
                power = super::times_x(power);
                n += 1;
            }
            table[len] = (behind ^ power) << 32;
            len += 1;
        }
        table
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(mantissa: i64, scale: u8) -> String {
        let power = 10_i64.pow(scale.into());
        let text = format!("{}.{:0len$}", mantissa / power, mantissa % power, len = usize::from(scale));
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// The plain way on every processor.
    fn crc(line: Line, less: usize, last: u8) -> u32 {
        let plain = if less > line.len { 0 } else { finish::<u128>(line, less, last) };
        let fast = if less == 0 { line.crc() } else { line.crc_without(last) };
        assert_eq!(fast, plain);
        fast
    }

    #[test]
    fn any_text() {
        let text: Vec<u8> = (0..9_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        for len in (0..70).chain([1_899, 1_900, 1_901, 3_800, 9_000]) {
            let line = Line::of_text(&text[..len]);
            assert_eq!(crc(line, 0, 0), crc32fast::hash(&text[..len]), "{len}");
            if len > 0 {
                assert_eq!(crc(line, 1, text[len - 1]), crc32fast::hash(&text[..len - 1]), "{len}");
            }
        }
    }

    fn decimals(numbers: [i64; 2], scales: [u8; 2]) -> Option<Line> {
        Some(Line::of_decimals(numbers, scales)).filter(|line| !line.is_empty())
    }

    fn digits(numbers: [i64; 2]) -> Option<Line> {
        Some(Line::of_digits(numbers)).filter(|line| !line.is_empty())
    }

    #[test]
    fn numbers_of_the_capture() {
        let decimals = |numbers, scales| decimals(numbers, scales).map(Line::crc);
        let digits = |numbers| digits(numbers).map(Line::crc);
        let hash = |text: &str| available().then(|| crc32fast::hash(text.as_bytes()));
        assert_eq!(decimals([302_493, 6_523_858], [1, 8]), hash("30249.3:0.06523858:"));
        assert_eq!(decimals([302_490, 100_000_000], [1, 8]), hash("30249:1:"));
        assert_eq!(decimals([0, 5], [1, 0]), hash("0:5:"));
        assert_eq!(
            decimals([123_456_789_012_345, 10_203_040_506_070], [0, 6]),
            hash("123456789012345:10203040.50607:")
        );
        assert_eq!(decimals([1, 9_999_999_999_999_999], [15, 15]), None, "17 characters");
        assert_eq!(decimals([-1, 1], [0, 0]), None);
        assert_eq!(decimals([1, 10_000_000_000_000_000], [0, 0]), None);
        assert_eq!(digits([5_666, 483_175_496_356]), hash("5666483175496356"));
        assert_eq!(digits([1, 9_999_999_999_999_999]), hash("19999999999999999"));
        assert_eq!(digits([0, 1]), None, "no digits at all");
        assert_eq!(digits([1, 10_000_000_000_000_000]), None);
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn available() -> bool {
        false
    }

    /// Of any length.
    fn number() -> impl Strategy<Value = i64> {
        (0..i64::MAX, 0..19_u32, 0..19_u32).prop_map(|(number, less, zeros)| {
            let power = 10_i64.pow(zeros);
            number / 10_i64.pow(less) / power * power
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn numbers_are_those_of_the_plain_way(numbers in [number(), number()], scales in [0..18_u8, 0..18_u8]) {
            let texts = [0, 1].map(|at| plain(numbers[at], scales[at]));
            match decimals(numbers, scales) {
                Some(line) => {
                    let text = texts.join(":") + ":";
                    prop_assert_eq!(line.len, text.len());
                    prop_assert_eq!(line.crc(), crc32fast::hash(text.as_bytes()), "{}", text);
                }
                None => prop_assert!(
                    !available() || numbers.iter().any(|n| *n >= 1_000_000_000_000_000) || scales.iter().any(|s| *s > 14)
                        || texts.iter().any(|text| text.len() > 15)
                ),
            }
            match digits(numbers) {
                Some(line) => {
                    let text = numbers.map(|n| n.to_string()).concat();
                    prop_assert_eq!(line.len, text.len());
                    prop_assert_eq!(line.crc(), crc32fast::hash(text.as_bytes()), "{}", text);
                }
                None => prop_assert!(!available() || numbers.iter().any(|n| *n == 0 || *n >= 10_000_000_000_000_000)),
            }
        }
    }

    proptest! {
        /// Lines of any length, and as many as no table has powers for.
        #[test]
        fn rows_are_their_text(texts in prop::collection::vec(["[0-9.:]{0,30}", "[0-9.:]{0,62}"], 0..120), after in "[0-9]{0,5}") {
            let rows = || texts.iter().rev().map(|row| [0, 1].map(|at| Line::of_text(row[at].as_bytes())));
            let after_line = Line::of_text(after.as_bytes());
            let text = texts.concat().concat() + &after;
            let line = after_line.behind(rows());
            prop_assert_eq!(line.len, text.len());
            prop_assert_eq!(line.crc(), crc32fast::hash(text.as_bytes()));
            prop_assert_eq!(behind::<u128, 2>(after_line, rows()).crc(), line.crc());
        }
    }
}
