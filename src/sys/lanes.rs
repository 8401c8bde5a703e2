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

    /// Which bytes are decimal digits, and which are points.
    #[inline(always)]
    pub(crate) fn digits_and_points(self) -> (u32, u32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 is part of x86-64, so the instructions exist wherever this runs.
        unsafe {
            sse2::digits_and_points(self)
        }
        #[cfg(not(target_arch = "x86_64"))]
        (self.plain(|byte| byte.is_ascii_digit()), self.plain(|byte| byte == b'.'))
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

    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn plain(self, wanted: impl Fn(u8) -> bool) -> u32 {
        let bytes = self.bits().to_le_bytes();
        bytes.iter().enumerate().fold(0, |bits, (index, &byte)| bits | u32::from(wanted(byte)) << index)
    }
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use super::Lanes;
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set_epi64x, _mm_set1_epi8,
    };

    #[target_feature(enable = "sse2")]
    #[inline]
    fn vector(lanes: Lanes) -> __m128i {
        _mm_set_epi64x(lanes.high as i64, lanes.low as i64)
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn digits_and_points(lanes: Lanes) -> (u32, u32) {
        let bytes = vector(lanes);
        let points = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'.' as i8));
        // Only a signed comparison exists, so the digits are moved to the lowest values.
        let moved = _mm_add_epi8(bytes, _mm_set1_epi8((0x80 - b'0') as i8));
        let digits = _mm_cmplt_epi8(moved, _mm_set1_epi8(i8::MIN + 10));
        (_mm_movemask_epi8(digits) as u32, _mm_movemask_epi8(points) as u32)
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn string_stops(lanes: Lanes) -> u32 {
        let bytes = vector(lanes);
        let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        // A byte is at most 0x1f exactly if the smaller of both is the byte.
        let controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::Lanes;

    #[test]
    fn every_byte_in_every_place_is_judged_like_by_a_plain_loop() {
        for place in 0..16 {
            for byte in 0..=255_u8 {
                let mut bytes = [b'a'; 16];
                bytes[place] = byte;
                let lanes = Lanes::from_bits(u128::from_le_bytes(bytes));
                let plain = (lanes.plain(|byte| byte.is_ascii_digit()), lanes.plain(|byte| byte == b'.'));
                assert_eq!(lanes.digits_and_points(), plain);
                let stops = lanes.plain(|byte| byte == b'"' || byte == b'\\' || byte < 0x20);
                assert_eq!(lanes.string_stops(), stops, "byte {byte:#x} at {place}");
                assert_eq!(stops != 0, byte < 0x20 || byte == b'"' || byte == b'\\');
            }
        }
    }
}
