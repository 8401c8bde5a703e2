//! Numbers and small pieces of JSON as a venue writes them, without the crate's own decimal and JSON code.
//!
//! Fast enough for tens of thousands of frames a second: everything is appended to a buffer that the caller owns.

use std::fmt::Write as _;

/// Powers of ten up to the largest that a `u64` holds.
const POW10: [u64; 20] = {
    let mut table = [1u64; 20];
    let mut i = 1;
    while i < 20 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// Ten to the `n`, saturating above 10^19.
pub(crate) fn pow10(n: u8) -> u64 {
    POW10[usize::from(n).min(19)]
}

/// Appends `value` in decimal.
pub(crate) fn put_u64(out: &mut String, value: u64) {
    put_u128(out, u128::from(value));
}

/// Appends `value` in decimal with its sign.
pub(crate) fn put_i64(out: &mut String, value: i64) {
    if value < 0 {
        out.push('-');
    }
    put_u64(out, value.unsigned_abs());
}

fn put_u128(out: &mut String, value: u128) {
    let mut buf = [b'0'; 40];
    let at = digits(&mut buf, value);
    push_ascii(out, &buf[at..]);
}

/// Writes the digits of `value` to the end of `buf` and returns where they begin; at least one digit.
fn digits(buf: &mut [u8; 40], value: u128) -> usize {
    let mut at = buf.len();
    // Most numbers fit 64 bits, where a division is some ten times cheaper.
    let mut high = value;
    while high > u128::from(u64::MAX) {
        at -= 1;
        buf[at] = b'0' + (high % 10) as u8;
        high /= 10;
    }
    let mut low = high as u64;
    loop {
        at -= 1;
        buf[at] = b'0' + (low % 10) as u8;
        low /= 10;
        if low == 0 {
            return at;
        }
    }
}

fn push_ascii(out: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => out.push_str(text),
        Err(_) => debug_assert!(false, "digits are ASCII"),
    }
}

/// Appends `mantissa` of `scale` decimals as a plain decimal with exactly `decimals` digits behind the point; what
/// does not fit is cut off, as the venue does with quote volumes.
pub(crate) fn put_fixed(out: &mut String, mantissa: i128, scale: u8, decimals: u8) {
    if mantissa < 0 {
        out.push('-');
    }
    let magnitude = mantissa.unsigned_abs();
    let value = if decimals >= scale {
        magnitude.saturating_mul(u128::from(pow10(decimals - scale)))
    } else {
        magnitude / u128::from(pow10(scale - decimals))
    };
    let mut buf = [b'0'; 40];
    let decimals = usize::from(decimals);
    let mut at = digits(&mut buf, value);
    // At least one digit stands before the point; the buffer is already filled with zeros.
    at = at.min(buf.len() - decimals - 1);
    let point = buf.len() - decimals;
    push_ascii(out, &buf[at..point]);
    if decimals > 0 {
        out.push('.');
        push_ascii(out, &buf[point..]);
    }
}

/// Appends `mantissa` of `scale` decimals as the shortest plain decimal: no zeros at the end, no point without digits
/// behind it.
pub(crate) fn put_short(out: &mut String, mantissa: i128, scale: u8) {
    let begin = out.len();
    put_fixed(out, mantissa, scale, scale);
    if scale > 0 {
        let shortest = out[begin..].trim_end_matches('0').trim_end_matches('.').len();
        out.truncate(begin + shortest);
    }
}

/// Appends a time as `2023-10-06T17:35:55.440295Z`, with so many digits of the second, at most nine.
pub(crate) fn put_time(out: &mut String, time_ns: u64, digits: u8) {
    let (days, of_day_ns) = (time_ns / DAY_NS, time_ns % DAY_NS);
    let (year, month, day) = civil(days);
    let seconds = of_day_ns / SECOND_NS;
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    );
    if digits > 0 {
        let fraction = of_day_ns % SECOND_NS / pow10(9 - digits.min(9));
        let _ = write!(out, ".{fraction:0width$}", width = usize::from(digits.min(9)));
    }
    out.push('Z');
}

const SECOND_NS: u64 = 1_000_000_000;
const DAY_NS: u64 = 86_400 * SECOND_NS;

/// Year, month and day of a day counted from 1970-01-01, by the usual shift to years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Appends `text` as a JSON string with its quotes.
pub(crate) fn put_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                out.push_str("\\u00");
                out.push(char::from_digit(c as u32 >> 4, 16).unwrap_or('0'));
                out.push(char::from_digit(c as u32 & 15, 16).unwrap_or('0'));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Decodes `%41` of a query; what is not a valid escape stays as it is. A plus stays a plus, because it occurs in stream
/// names (`kline_1d@+08:00`).
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                i += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(mantissa: i128, scale: u8, decimals: u8) -> String {
        let mut out = String::new();
        put_fixed(&mut out, mantissa, scale, decimals);
        out
    }

    #[test]
    fn fixed_point_texts() {
        assert_eq!(fixed(3513, 4, 8), "0.35130000");
        assert_eq!(fixed(6_000_000, 2, 8), "60000.00000000");
        assert_eq!(fixed(1, 8, 8), "0.00000001");
        assert_eq!(fixed(0, 2, 8), "0.00000000");
        assert_eq!(fixed(-125, 2, 3), "-1.250");
        assert_eq!(fixed(7, 0, 0), "7");
        assert_eq!(fixed(123_456_789_999, 10, 8), "12.34567899");
        assert_eq!(fixed(i128::from(i64::MAX) * 1000, 2, 8), "92233720368547758070.00000000");
    }

    #[test]
    fn shortest_texts() {
        let short = |mantissa: i128, scale: u8| {
            let mut out = String::from("x");
            put_short(&mut out, mantissa, scale);
            out
        };
        assert_eq!([short(3_030_000, 2), short(3_030_050, 2)], ["x30300", "x30300.5"]);
        assert_eq!([short(0, 2), short(5, 4), short(100, 0), short(-250, 2)], ["x0", "x0.0005", "x100", "x-2.5"]);
    }

    #[test]
    fn times_of_the_calendar() {
        let time = |time_ns: u64, digits: u8| {
            let mut out = String::new();
            put_time(&mut out, time_ns, digits);
            out
        };
        assert_eq!(time(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_700_000_000_123_456_789, 6), "2023-11-14T22:13:20.123456Z");
        assert_eq!(time(1_709_208_000_000_000_000, 9), "2024-02-29T12:00:00.000000000Z");
        assert_eq!(time(1_735_689_599_999_999_999, 3), "2024-12-31T23:59:59.999Z");
    }

    #[test]
    fn integers() {
        let mut out = String::new();
        put_u64(&mut out, 0);
        put_u64(&mut out, u64::MAX);
        put_i64(&mut out, i64::MIN);
        assert_eq!(out, "018446744073709551615-9223372036854775808");
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = String::new();
        put_string(&mut out, "a\"b\\c\n\u{1}é");
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\u0001é\"");
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), "a\"b\\c\n\u{1}é");
    }

    #[test]
    fn percent_escapes() {
        assert_eq!(percent_decode("%5B%22BTCUSDT%22%5D"), "[\"BTCUSDT\"]");
        assert_eq!(percent_decode("a%2"), "a%2");
        assert_eq!(percent_decode("a+b%zz"), "a+b%zz");
    }
}
