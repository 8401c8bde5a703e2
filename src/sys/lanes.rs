//! Questions about sixteen bytes at once, answered with one bit per byte.
//!
//! On x86-64 these are SSE2 instructions, which every such processor has; elsewhere plain loops. The instructions are
//! not system calls, but calling them is `unsafe` for the compiler, and this is the place for that.

/// Sixteen bytes in two registers, the first byte lowest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lanes {
    /// Bytes 0 to 7.
    pub(crate) low: u64,
    /// Bytes 8 to 15.
    pub(crate) high: u64,
}

impl Lanes {
    /// The bytes of `text` from `position` on, zeros behind its end. `None` at its end, and near it where the text as
    /// a whole is shorter than sixteen bytes.
    #[inline(always)]
    pub(crate) fn load(text: &[u8], position: usize) -> Option<Lanes> {
        match text.get(position..).and_then(<[u8]>::first_chunk::<16>) {
            Some(bytes) => Some(Lanes::from_bits(u128::from_le_bytes(*bytes))),
            None => Lanes::load_end(text, position),
        }
    }

    /// Sixteen bytes of an array whose size the compiler knows, so that it can do without checks.
    #[inline(always)]
    pub(crate) fn of<const N: usize>(bytes: &[u8; N], position: usize) -> Option<Lanes> {
        let bytes = bytes.get(position..position + 16)?.first_chunk::<16>()?;
        Some(Lanes::from_bits(u128::from_le_bytes(*bytes)))
    }

    /// Reads the last sixteen bytes of the text and moves them down.
    #[inline(never)]
    fn load_end(text: &[u8], position: usize) -> Option<Lanes> {
        let last = u128::from_le_bytes(*text.last_chunk::<16>()?);
        let missing = position.checked_sub(text.len() - 16).filter(|&missing| missing < 16)?;
        Some(Lanes::from_bits(last >> (8 * missing)))
    }

    /// The bytes of a little-endian integer.
    #[inline(always)]
    pub(crate) fn from_bits(bits: u128) -> Lanes {
        Lanes { low: bits as u64, high: (bits >> 64) as u64 }
    }

    /// The bytes as a little-endian integer.
    #[inline(always)]
    pub(crate) fn bits(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    /// Which bytes are no decimal digits, and which are points. The first has two more bits set above those of the
    /// bytes, so that a search in it ends.
    #[inline(always)]
    pub(crate) fn others_and_points(self) -> (u32, u32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 is part of x86-64, so the instructions exist wherever this runs.
        let (others, points) = unsafe { sse2::others_and_points(self) };
        #[cfg(not(target_arch = "x86_64"))]
        let (others, points) = (self.plain(|byte| !byte.is_ascii_digit()), self.plain(|byte| byte == b'.'));
        (others | 0x30000, points)
    }

    /// Which bytes a JSON string cannot hold as they are: quote, backslash, control characters.
    #[inline(always)]
    pub(crate) fn string_stops(self) -> u32 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        unsafe {
            sse2::string_stops(self)
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.plain(|byte| byte == b'"' || byte == b'\\' || byte < 0x20)
    }

    /// Which bytes are quotes.
    #[inline(always)]
    pub(crate) fn quotes(self) -> u32 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        unsafe {
            sse2::equal(self, b'"')
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.plain(|byte| byte == b'"')
    }

    /// How long any number of `,"digits"` is, in which points may be, too. `None` if there is something else before the
    /// first byte that none of them can hold. Up to 17, and only below 16 it is certain that they end there.
    #[inline(always)]
    pub(crate) fn end_of_numbers(self) -> Option<usize> {
        let (others, points) = self.others_and_points();
        let quotes = self.quotes();
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        let commas = unsafe { sse2::equal(self, b',') };
        #[cfg(not(target_arch = "x86_64"))]
        let commas = self.plain(|byte| byte == b',');
        let end = (others & !(points | quotes | commas)).trailing_zeros();
        let before = (1 << end) - 1;
        let (quotes, commas) = (quotes & before, commas & before);
        let opening = quotes & commas << 1;
        let closing = quotes & !opening;
        // Each comma is followed by a quote, and each other quote by a comma, which the first byte is, or by the end.
        let regular = opening == commas << 1 && closing << 1 == commas & !1 | 1 << end && commas & 1 == 1;
        regular.then_some(end as usize)
    }

    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn plain(self, wanted: impl Fn(u8) -> bool) -> u32 {
        let bytes = self.bits().to_le_bytes();
        bytes.iter().enumerate().fold(0, |bits, (index, &byte)| bits | u32::from(wanted(byte)) << index)
    }
}

/// Where the bracket is that ends a row, if from `start` on there are only quoted numbers before it, `,"0","13"]`, and few of
/// them.
#[inline(always)]
pub(crate) fn end_of_cells(text: &[u8], start: usize) -> Option<usize> {
    let near = text.get(start..)?.first_chunk::<16>()?;
    let end = start + Lanes::of(near, 0)?.end_of_numbers()?;
    (text.get(end) == Some(&b']')).then_some(end)
}

/// The number that the last `len` of sixteen bytes spell, which have to be digits: its upper and its lower eight. Nothing is
/// moved for it from one register to another, as it is where a number is cut out at its start.
#[inline(always)]
pub(crate) fn last_digits(bytes: &[u8; 16], len: usize) -> Option<[u32; 2]> {
    let mask = LAST.get(len..)?.first_chunk::<16>()?;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        Some(sse2::masked_digits(bytes, mask))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let digits = u128::from_le_bytes(*bytes) & u128::from_le_bytes(*mask);
        Some([eight_digits_plain(digits as u64), eight_digits_plain((digits >> 64) as u64)])
    }
}

/// The first `len` of 32 bytes and zeros, as little-endian integers. `None` if there are not as many.
#[inline(always)]
pub(crate) fn first_bytes(bytes: &[u8; 32], len: usize) -> Option<[u64; 4]> {
    let mask = FIRST.get(32_usize.checked_sub(len)?..)?.first_chunk::<32>()?;
    let word = |bytes: &[u8; 32], at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    Some([0, 8, 16, 24].map(|at| word(bytes, at) & word(mask, at)))
}

/// From place `32 - n` on: a mask of the first `n` of 32 bytes.
static FIRST: [u8; 64] = {
    let mut table = [0; 64];
    let mut at = 0;
    while at < 32 {
        table[at] = 0xff;
        at += 1;
    }
    table
};

/// From place `n` on: a mask of the last `n` of sixteen digits, each without what makes it a character.
static LAST: [u8; 32] = {
    let mut table = [0; 32];
    let mut at = 16;
    while at < 32 {
        table[at] = 0x0f;
        at += 1;
    }
    table
};

/// The numbers that four times eight digits make, each digit a byte of value 0 to 9, the most significant lowest.
#[inline(always)]
pub(crate) fn four_times_eight_digits(digits: [u64; 4]) -> [u32; 4] {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        sse2::four_times_eight_digits(digits)
    }
    #[cfg(not(target_arch = "x86_64"))]
    digits.map(eight_digits_plain)
}

/// The same for two.
#[inline(always)]
pub(crate) fn two_times_eight_digits(digits: [u64; 2]) -> [u32; 2] {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        sse2::two_times_eight_digits(digits)
    }
    #[cfg(not(target_arch = "x86_64"))]
    digits.map(eight_digits_plain)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn eight_digits_plain(digits: u64) -> u32 {
    digits.to_le_bytes().iter().fold(0, |number, &digit| number * 10 + u32::from(digit))
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use super::Lanes;
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_and_si128, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_cvtsi128_si64, _mm_loadu_si128,
        _mm_madd_epi16, _mm_min_epu8, _mm_movemask_epi8, _mm_mullo_epi16, _mm_or_si128, _mm_packs_epi32,
        _mm_set_epi64x, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32, _mm_srli_epi16, _mm_unpackhi_epi64,
        _mm_xor_si128,
    };

    #[target_feature(enable = "sse2")]
    #[inline]
    fn vector(lanes: Lanes) -> __m128i {
        _mm_set_epi64x(lanes.high as i64, lanes.low as i64)
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn others_and_points(lanes: Lanes) -> (u32, u32) {
        let bytes = vector(lanes);
        let points = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'.' as i8));
        // Only a signed comparison exists, so the digits are moved to the lowest values.
        let moved = _mm_add_epi8(bytes, _mm_set1_epi8((0x80 - b'0') as i8));
        let others = _mm_cmpgt_epi8(moved, _mm_set1_epi8(i8::MIN + 9));
        (_mm_movemask_epi8(others) as u32, _mm_movemask_epi8(points) as u32)
    }

    /// Numbers of four digits from sixteen digits, in 32 bits each.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn fours(digits: __m128i) -> __m128i {
        // Neighbours become numbers of two digits, in 16 bits each: 256 * (10 * first + second) + first, shifted.
        let twos = _mm_srli_epi16::<8>(_mm_mullo_epi16(digits, _mm_set1_epi16(10 * 256 + 1)));
        _mm_madd_epi16(twos, _mm_set1_epi32(1 << 16 | 100))
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn four_times_eight_digits([a, b, c, d]: [u64; 4]) -> [u32; 4] {
        let fours = _mm_packs_epi32(fours(vector(Lanes { low: a, high: b })), fours(vector(Lanes { low: c, high: d })));
        let eights = _mm_madd_epi16(fours, _mm_set1_epi32(1 << 16 | 10_000));
        let low = _mm_cvtsi128_si64(eights) as u64;
        let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(eights, eights)) as u64;
        [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32]
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn two_times_eight_digits([a, b]: [u64; 2]) -> [u32; 2] {
        eights(vector(Lanes { low: a, high: b }))
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn masked_digits(bytes: &[u8; 16], mask: &[u8; 16]) -> [u32; 2] {
        // SAFETY: sixteen bytes are read of sixteen, twice.
        let (bytes, mask) = unsafe { (_mm_loadu_si128(bytes.as_ptr().cast()), _mm_loadu_si128(mask.as_ptr().cast())) };
        eights(_mm_and_si128(bytes, mask))
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn eights(digits: __m128i) -> [u32; 2] {
        let fours = fours(digits);
        let eights = _mm_madd_epi16(_mm_packs_epi32(fours, fours), _mm_set1_epi32(1 << 16 | 10_000));
        let eights = _mm_cvtsi128_si64(eights) as u64;
        [eights as u32, (eights >> 32) as u32]
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn equal(lanes: Lanes, byte: u8) -> u32 {
        _mm_movemask_epi8(_mm_cmpeq_epi8(vector(lanes), _mm_set1_epi8(byte.cast_signed()))) as u32
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn string_stops(lanes: Lanes) -> u32 {
        let bytes = vector(lanes);
        let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        // With this bit turned the quote is 0x20 and the control characters are still those below. A byte is at most
        // 0x20 exactly if the smaller of both is the byte.
        let turned = _mm_xor_si128(bytes, _mm_set1_epi8(2));
        let others = _mm_cmpeq_epi8(_mm_min_epu8(turned, _mm_set1_epi8(0x20)), turned);
        _mm_movemask_epi8(_mm_or_si128(backslashes, others)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_in_every_place_is_judged_like_by_a_plain_loop() {
        for place in 0..16 {
            for byte in 0..=255_u8 {
                let mut bytes = [b'a'; 16];
                bytes[place] = byte;
                let lanes = Lanes::from_bits(u128::from_le_bytes(bytes));
                let plain = (lanes.plain(|byte| !byte.is_ascii_digit()) | 0x30000, lanes.plain(|byte| byte == b'.'));
                assert_eq!(lanes.others_and_points(), plain);
                let stops = lanes.plain(|byte| byte == b'"' || byte == b'\\' || byte < 0x20);
                assert_eq!(lanes.string_stops(), stops, "byte {byte:#x} at {place}");
                assert_eq!(stops != 0, byte < 0x20 || byte == b'"' || byte == b'\\');
            }
        }
    }

    /// The index of the bracket, as the caller finds it.
    fn end_of_row(bytes: &[u8; 16]) -> Option<usize> {
        let end = Lanes::from_bits(u128::from_le_bytes(*bytes)).end_of_numbers()?;
        (bytes.get(end) == Some(&b']')).then_some(end)
    }

    /// The plain judge: a walk over the bytes.
    fn end_of_numbers(bytes: &[u8; 16]) -> Option<usize> {
        let mut at = 0;
        while bytes.get(at..at + 2) == Some(b",\"") {
            at += 2;
            at += bytes[at..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
            if bytes.get(at) != Some(&b'"') {
                return None;
            }
            at += 1;
        }
        (at > 0 && bytes.get(at) == Some(&b']')).then_some(at)
    }

    #[test]
    fn rows_end_where_a_walk_says() {
        let end = |text: &[u8; 16]| end_of_row(text);
        assert_eq!(end(br#","0","13"],["302"#), Some(9));
        assert_eq!(end(br#","16186781.36"],"#), Some(14));
        assert_eq!(end(br#","1618678133.3"]"#), Some(15));
        assert_eq!(end(br#","1618678133.36""#), None);
        assert_eq!(end(br#","0"1","2"],["30"#), None);
        assert_eq!(end(br#",""],["30249.4","#), Some(3));
        assert_eq!(end(br#"],["30249.4","0""#), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn rows_end_where_a_walk_says_on_any_text(mut text in prop_oneof![
            "(,\"[0-9.]{0,4}\"){0,4}\\][ -~]{0,12}",
            "[,\"0\\].x]{16}",
        ], place in 0..16_usize, byte in prop::sample::select(&b"\",]0.x["[..]), damage in any::<bool>()) {
            text.truncate(16);
            let mut bytes = [b' '; 16];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            if damage {
                bytes[place] = byte;
            }
            prop_assert_eq!(end_of_row(&bytes), end_of_numbers(&bytes), "{}", String::from_utf8_lossy(&bytes));
        }
    }

    proptest! {
        #[test]
        fn digits_make_the_number_that_they_spell(numbers in any::<[u32; 4]>()) {
            let numbers = numbers.map(|number| number % 100_000_000);
            let digits = numbers.map(|number| {
                let text: Vec<u8> = format!("{number:08}").bytes().map(|byte| byte - b'0').collect();
                u64::from_le_bytes(text.try_into().unwrap())
            });
            prop_assert_eq!(four_times_eight_digits(digits), numbers);
            prop_assert_eq!(two_times_eight_digits([digits[0], digits[1]]), [numbers[0], numbers[1]]);
            prop_assert_eq!(digits.map(eight_digits_plain), numbers);
        }

        #[test]
        fn the_first_bytes_are_cut_out(text in "[ -~]{32}", len in 0..=33_usize) {
            let bytes = text.as_bytes().first_chunk().unwrap();
            let words = first_bytes(bytes, len).map(|words| words.map(u64::to_le_bytes).concat());
            let mut wanted = bytes[..len.min(32)].to_vec();
            wanted.resize(32, 0);
            prop_assert_eq!(words, (len <= 32).then_some(wanted));
        }

        #[test]
        fn the_last_digits_are_read_whatever_is_before_them(number in 0..10_u64.pow(15), before in "[ -~]{16}") {
            let digits = number.to_string();
            let text = before + &digits;
            let last = text.as_bytes().last_chunk().unwrap();
            let [upper, lower] = last_digits(last, digits.len()).unwrap();
            prop_assert_eq!(u64::from(upper) * 100_000_000 + u64::from(lower), number);
        }
    }
}
