//! Fixed-point decimals: an `i64` mantissa and a power of ten.
//!
//! Venues write prices and quantities as decimal text. Here that text becomes an integer at a scale which the market
//! fixes once: `"123.45"` at scale 2 is the mantissa `12345`. [`parse_exact`] never loses a digit silently: what does
//! not fit the scale is an error that names the scale which would do. [`parse_round`] is for statistics, where venues
//! send up to 19 digits and nobody compares them.
//!
//! Fast for the text that venues send nearly always: up to 8 digits before the point and up to 8 behind it, without an
//! exponent. That is decoded in registers, without a loop and without a branch on the number of digits, because their
//! number changes from one level to the next and a mispredicted branch costs more than the decoding. Everything else
//! takes a loop over the digits, which is two to four times slower.

use crate::sys::lanes::{self, Lanes};
use std::{
    cmp::Ordering,
    error::Error,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

/// The most decimals a scale can have: 10^18 is the largest power of ten an `i64` holds.
pub const SCALE_MAX: u8 = 18;

/// Why a text could not become a fixed-point number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecimalError {
    /// The text is not a number in the grammar of JSON, without quotes (RFC 8259, section 6).
    Syntax,
    /// The number has more decimals than the scale holds.
    Inexact {
        /// The smallest scale that holds it, at most [`SCALE_MAX`].
        scale: u8,
    },
    /// The number is too big for an `i64` at the scale, or needs more than [`SCALE_MAX`] decimals or more than 64 bits
    /// at any scale, so that a finer scale would not help.
    Overflow,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecimalError::Syntax => f.write_str("not a decimal number"),
            DecimalError::Inexact { scale } => write!(f, "more decimals than the scale holds, {scale} are needed"),
            DecimalError::Overflow => f.write_str("number too big for 64 bits at its scale"),
        }
    }
}

impl Error for DecimalError {}

/// Reads `text`, a JSON number without quotes, as a mantissa at `scale`: `b"1.50"` at scale 3 is 1500.
///
/// Zeros beyond the scale are accepted because they change nothing. Exponents are understood. A leading `+`, needless
/// leading zeros, `1.` and `.5` are refused, as JSON does.
///
/// # Errors
/// See [`DecimalError`]. A `scale` above [`SCALE_MAX`] is always `Overflow`.
#[inline]
pub fn parse_exact(text: &[u8], scale: u8) -> Result<i64, DecimalError> {
    let (digits, negative) = match text {
        [b'-', rest @ ..] => (rest, true),
        _ => (text, false),
    };
    if let Some((mantissa, len)) = lanes_of(digits).and_then(|lanes| Scaler::of(scale).decimal(lanes))
        && len == digits.len()
        && scale <= SCALE_MAX
    {
        return Ok(if negative { -mantissa } else { mantissa });
    }
    parse_exact_slow(text, scale)
}

/// Reads `text` like [`parse_exact`], but rounds to `scale`, half to even: `b"0.125"` at scale 2 is 12.
///
/// For statistics only, never for a price or quantity of a book, trade or order.
///
/// # Errors
/// `Syntax` and `Overflow`, never `Inexact`. A `scale` above [`SCALE_MAX`] is always `Overflow`.
pub fn parse_round(text: &[u8], scale: u8) -> Result<i64, DecimalError> {
    let number = Number::read(text)?;
    if scale > SCALE_MAX {
        return Err(DecimalError::Overflow);
    }
    number.round(scale)
}

/// Appends the canonical text of `mantissa` at `scale` to `out`: no exponent, no needless zeros, never `-0`.
///
/// # Errors
/// Only those of `out`.
pub fn write(mantissa: i64, scale: u8, out: &mut impl fmt::Write) -> fmt::Result {
    let mut buffer = Text::new();
    let text = buffer.canonical(mantissa, scale);
    out.write_str(std::str::from_utf8(text).unwrap_or_default())
}

/// Appends the canonical text of `mantissa` at `scale` to `out`, like [`write()`] for bytes.
pub fn push_text(mantissa: i64, scale: u8, out: &mut Vec<u8>) {
    let mut buffer = Text::new();
    out.extend_from_slice(buffer.canonical(mantissa, scale));
}

/// 10 to the power `exponent`, or `None` if that exceeds an `i64` (`exponent` above 18).
pub const fn power_of_ten(exponent: u8) -> Option<i64> {
    if exponent <= SCALE_MAX { Some(POWERS[exponent as usize] as i64) } else { None }
}

/// A fixed-point number that carries its own scale, for places that are not bound to one market.
///
/// Compares, orders and hashes by value: `1.0` equals `1.00`. The default is zero.
#[derive(Clone, Copy, Default)]
pub struct Fixed {
    mantissa: i64,
    scale: u8,
}

impl Fixed {
    /// Zero.
    pub const ZERO: Fixed = Fixed { mantissa: 0, scale: 0 };

    /// `mantissa` / 10^`scale`.
    ///
    /// # Panics
    /// If `scale` exceeds [`SCALE_MAX`]. Use [`Fixed::try_new`] for a scale that comes from a peer.
    pub const fn new(mantissa: i64, scale: u8) -> Fixed {
        assert!(scale <= SCALE_MAX, "scale above SCALE_MAX");
        Fixed { mantissa, scale }
    }

    /// `mantissa` / 10^`scale`, or `None` if `scale` exceeds [`SCALE_MAX`].
    pub const fn try_new(mantissa: i64, scale: u8) -> Option<Fixed> {
        if scale <= SCALE_MAX { Some(Fixed { mantissa, scale }) } else { None }
    }

    /// Reads a JSON number without quotes at its natural scale: as many decimals as it has without trailing zeros.
    ///
    /// # Errors
    /// `Syntax`, or `Overflow` when it needs more than [`SCALE_MAX`] decimals or more than 64 bits.
    pub fn parse_exact(text: &[u8]) -> Result<Fixed, DecimalError> {
        let number = Number::read(text)?;
        let scale = number.scale_needed().ok_or(DecimalError::Overflow)?;
        Ok(Fixed { mantissa: number.exact(scale)?, scale })
    }

    /// Reads a JSON number without quotes and keeps as many decimals as fit, rounding half to even.
    ///
    /// # Errors
    /// `Syntax`, or `Overflow` when not even the integer part fits.
    pub fn parse_round(text: &[u8]) -> Result<Fixed, DecimalError> {
        let number = Number::read(text)?;
        // The first scale that fits is the finest one. A number that overflows at scale 0 overflows at all.
        for scale in (0..=number.scale_needed().unwrap_or(SCALE_MAX)).rev() {
            if let Ok(mantissa) = number.round(scale) {
                return Ok(Fixed { mantissa, scale }.trimmed());
            }
        }
        Err(DecimalError::Overflow)
    }

    /// The integer that, divided by 10^[`scale`](Fixed::scale), is the value.
    pub const fn mantissa(self) -> i64 {
        self.mantissa
    }

    /// How many decimals the mantissa has, at most [`SCALE_MAX`].
    pub const fn scale(self) -> u8 {
        self.scale
    }

    /// Whether the value is zero.
    pub const fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// The mantissa of the same value at another scale.
    ///
    /// # Errors
    /// `Inexact` when the value has more decimals than `scale`, `Overflow` when it does not fit.
    pub fn rescale(self, scale: u8) -> Result<i64, DecimalError> {
        if scale > SCALE_MAX {
            return Err(DecimalError::Overflow);
        }
        if scale >= self.scale {
            let factor = power_of_ten(scale - self.scale).ok_or(DecimalError::Overflow)?;
            return self.mantissa.checked_mul(factor).ok_or(DecimalError::Overflow);
        }
        let trimmed = self.trimmed();
        if trimmed.scale > scale {
            return Err(DecimalError::Inexact { scale: trimmed.scale });
        }
        trimmed.rescale(scale)
    }

    /// The nearest `f64`. Lossy: an `f64` has 53 bits, so anything beyond 15 digits may change. For display and plots,
    /// never for the price or quantity of an order.
    pub fn to_f64(self) -> f64 {
        self.mantissa as f64 / POWERS[usize::from(self.scale)] as f64
    }

    /// The exact sum, or `None` if no scale holds it.
    pub fn checked_add(self, other: Fixed) -> Option<Fixed> {
        let scale = self.scale.max(other.scale);
        Fixed::from_wide(self.at(scale) + other.at(scale), scale)
    }

    /// The exact difference, or `None` if no scale holds it.
    pub fn checked_sub(self, other: Fixed) -> Option<Fixed> {
        let scale = self.scale.max(other.scale);
        Fixed::from_wide(self.at(scale) - other.at(scale), scale)
    }

    /// The exact product, or `None` if no scale holds it.
    pub fn checked_mul(self, other: Fixed) -> Option<Fixed> {
        Fixed::from_wide(i128::from(self.mantissa) * i128::from(other.mantissa), self.scale + other.scale)
    }

    /// The same value with the smallest scale that holds it.
    pub fn trimmed(self) -> Fixed {
        let Fixed { mut mantissa, mut scale } = self;
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Fixed { mantissa, scale }
    }

    /// The mantissa at `scale`, which is not below `self.scale`. Below 2^63 * 10^18 < 2^123, so two of them can be added.
    fn at(self, scale: u8) -> i128 {
        i128::from(self.mantissa) * i128::from(POWERS[usize::from(scale - self.scale)])
    }

    /// Drops zeros at the end until both parts fit.
    fn from_wide(mut mantissa: i128, mut scale: u8) -> Option<Fixed> {
        loop {
            if scale <= SCALE_MAX
                && let Ok(mantissa) = i64::try_from(mantissa)
            {
                return Some(Fixed { mantissa, scale });
            }
            if scale == 0 || mantissa % 10 != 0 {
                return None;
            }
            mantissa /= 10;
            scale -= 1;
        }
    }
}

impl From<Fixed> for rust_decimal::Decimal {
    fn from(fixed: Fixed) -> rust_decimal::Decimal {
        rust_decimal::Decimal::new(fixed.mantissa, u32::from(fixed.scale))
    }
}

impl PartialEq for Fixed {
    fn eq(&self, other: &Fixed) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Fixed {}

impl PartialOrd for Fixed {
    fn partial_cmp(&self, other: &Fixed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fixed {
    fn cmp(&self, other: &Fixed) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.at(scale).cmp(&other.at(scale))
    }
}

impl Hash for Fixed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let trimmed = self.trimmed();
        trimmed.mantissa.hash(state);
        trimmed.scale.hash(state);
    }
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = Text::new();
        let text = std::str::from_utf8(buffer.canonical(self.mantissa, self.scale)).unwrap_or_default();
        // `pad_integral` honours width, fill and sign, so that tables line up.
        f.pad_integral(self.mantissa >= 0, "", text.strip_prefix('-').unwrap_or(text))
    }
}

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fixed {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Fixed, DecimalError> {
        Fixed::parse_exact(text.as_bytes())
    }
}

const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

#[inline(never)]
fn parse_exact_slow(text: &[u8], scale: u8) -> Result<i64, DecimalError> {
    if let Some(mantissa) = parse_exact_plain(text, scale) {
        return Ok(mantissa);
    }
    let number = Number::read(text)?;
    if scale > SCALE_MAX {
        return Err(DecimalError::Overflow);
    }
    number.exact(scale)
}

/// Numbers of up to 19 characters without an exponent, such as large quantities of cheap coins. `None` leaves the text to
/// [`Number`], which knows the reason if it has no mantissa.
fn parse_exact_plain(text: &[u8], scale: u8) -> Option<i64> {
    let (digits, negative) = match text {
        [b'-', rest @ ..] => (rest, true),
        _ => (text, false),
    };
    // Nineteen digits fit 64 bits.
    if digits.len() > 19 || scale > SCALE_MAX {
        return None;
    }
    let mut value = 0_u64;
    let mut point = None;
    for (index, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(index),
            _ => return None,
        }
    }
    let integer_len = point.unwrap_or(digits.len());
    let fraction_len = point.map_or(0, |point| digits.len() - point - 1);
    let lone_point = point.is_some() && fraction_len == 0;
    if integer_len == 0 || (integer_len > 1 && digits[0] == b'0') || lone_point {
        return None;
    }
    let scale = usize::from(scale);
    let mantissa = match scale.checked_sub(fraction_len) {
        Some(up) => value.checked_mul(POWERS[up])?,
        None if value.is_multiple_of(POWERS[fraction_len - scale]) => value / POWERS[fraction_len - scale],
        None => return None,
    };
    let mantissa = i64::try_from(mantissa).ok()?;
    Some(if negative { -mantissa } else { mantissa })
}

/// The value `±D * 10^exponent`, where `D` are the digits of `text[first..last]` without the point: no zero at either
/// end, empty for zero.
struct Number<'a> {
    negative: bool,
    digits: Digits<'a>,
    exponent: i64,
}

impl<'a> Number<'a> {
    fn read(text: &'a [u8]) -> Result<Number<'a>, DecimalError> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let (integer, rest) = split_digits(rest);
        if integer.is_empty() || (integer.len() > 1 && integer[0] == b'0') {
            return Err(DecimalError::Syntax);
        }
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => match split_digits(rest) {
                ([], _) => return Err(DecimalError::Syntax),
                split => split,
            },
            _ => (&rest[..0], rest),
        };
        let mut exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => {
                let (down, rest) = match rest {
                    [b'-', rest @ ..] => (true, rest),
                    [b'+', rest @ ..] => (false, rest),
                    _ => (false, rest),
                };
                let (digits, []) = split_digits(rest) else { return Err(DecimalError::Syntax) };
                if digits.is_empty() {
                    return Err(DecimalError::Syntax);
                }
                // Saturates far above any number of digits a message can hold.
                let size = digits.iter().fold(0_i64, |size, &digit| {
                    size.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(i64::MAX / 4)
                });
                if down { -size } else { size }
            }
            _ => return Err(DecimalError::Syntax),
        };
        exponent -= i64::try_from(fraction.len()).unwrap_or(i64::MAX / 4);
        let mut digits = Digits { integer, fraction };
        exponent += i64::try_from(digits.trim()).unwrap_or(i64::MAX / 4);
        Ok(Number { negative, digits, exponent })
    }

    /// How many decimals the value has, if at most [`SCALE_MAX`].
    fn scale_needed(&self) -> Option<u8> {
        if self.digits.len() == 0 || self.exponent >= 0 {
            return Some(0);
        }
        u8::try_from(-self.exponent).ok().filter(|&scale| scale <= SCALE_MAX)
    }

    fn exact(&self, scale: u8) -> Result<i64, DecimalError> {
        let needed = self.scale_needed().ok_or(DecimalError::Overflow)?;
        let digits = self.digits.value(0..self.digits.len()).ok_or(DecimalError::Overflow)?;
        if needed > scale {
            // Only a scale that holds the value is worth naming.
            self.signed(digits)?;
            return Err(DecimalError::Inexact { scale: needed });
        }
        self.scaled(digits, self.exponent.saturating_add(i64::from(scale)))
    }

    fn round(&self, scale: u8) -> Result<i64, DecimalError> {
        let up = self.exponent.saturating_add(i64::from(scale));
        let len = self.digits.len();
        let cut = usize::try_from(up.saturating_neg()).unwrap_or(0);
        if cut == 0 {
            let digits = self.digits.value(0..len).ok_or(DecimalError::Overflow)?;
            return self.scaled(digits, up);
        }
        if cut > len {
            return Ok(0);
        }
        let kept = self.digits.value(0..len - cut).ok_or(DecimalError::Overflow)?;
        // There is no zero at the end, so a tie is a lone 5.
        let round_up = match (self.digits.at(len - cut).cmp(&5), cut) {
            (Ordering::Equal, 1) => kept % 2 == 1,
            (order, _) => order != Ordering::Less,
        };
        self.signed(kept.checked_add(u64::from(round_up)).ok_or(DecimalError::Overflow)?)
    }

    fn scaled(&self, digits: u64, up: i64) -> Result<i64, DecimalError> {
        if digits == 0 {
            return Ok(0);
        }
        let factor = usize::try_from(up).ok().and_then(|up| POWERS.get(up)).ok_or(DecimalError::Overflow)?;
        self.signed(digits.checked_mul(*factor).ok_or(DecimalError::Overflow)?)
    }

    fn signed(&self, magnitude: u64) -> Result<i64, DecimalError> {
        let value =
            if self.negative { 0_i64.checked_sub_unsigned(magnitude) } else { 0_i64.checked_add_unsigned(magnitude) };
        value.ok_or(DecimalError::Overflow)
    }
}

/// The digits before and after the point as one sequence.
struct Digits<'a> {
    integer: &'a [u8],
    fraction: &'a [u8],
}

impl Digits<'_> {
    fn len(&self) -> usize {
        self.integer.len() + self.fraction.len()
    }

    fn at(&self, index: usize) -> u8 {
        let digit = match index.checked_sub(self.integer.len()) {
            None => self.integer[index],
            Some(index) => self.fraction[index],
        };
        digit - b'0'
    }

    /// Removes zeros from both ends and returns how many there were at the end.
    fn trim(&mut self) -> usize {
        let len = self.len();
        while let [b'0', rest @ ..] = self.integer {
            self.integer = rest;
        }
        if self.integer.is_empty() {
            while let [b'0', rest @ ..] = self.fraction {
                self.fraction = rest;
            }
        }
        let leading = len - self.len();
        while let [rest @ .., b'0'] = self.fraction {
            self.fraction = rest;
        }
        if self.fraction.is_empty() {
            while let [rest @ .., b'0'] = self.integer {
                self.integer = rest;
            }
        }
        len - leading - self.len()
    }

    /// The digits of the range as an integer; `None` above 19 of them, which 64 bits always hold.
    fn value(&self, range: std::ops::Range<usize>) -> Option<u64> {
        if range.len() > 19 {
            return None;
        }
        Some(range.fold(0, |value, index| value * 10 + u64::from(self.at(index))))
    }
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// Room for the text of a number, which is written from its end.
pub(crate) struct Text {
    bytes: [u8; Text::LEN_MAX],
}

impl Text {
    /// A sign, 19 digits, a point and five bytes of exponent are the most.
    pub(crate) const LEN_MAX: usize = 32;

    pub(crate) fn new() -> Text {
        Text { bytes: [0; Text::LEN_MAX] }
    }

    /// Without exponent and needless zeros.
    pub(crate) fn canonical(&mut self, mantissa: i64, scale: u8) -> &[u8] {
        let (rest, decimals) = trimmed(mantissa.unsigned_abs(), scale);
        self.plain(Text::LEN_MAX, mantissa < 0, rest, decimals)
    }

    /// Like [`Text::canonical`], but an integer has the fraction `.0`.
    pub(crate) fn with_fraction(&mut self, mantissa: i64, scale: u8) -> &[u8] {
        let (rest, decimals) = trimmed(mantissa.unsigned_abs(), scale);
        if decimals > 0 {
            return self.plain(Text::LEN_MAX, mantissa < 0, rest, decimals);
        }
        let end = Text::LEN_MAX - 2;
        self.bytes[end..].copy_from_slice(b".0");
        self.plain(end, mantissa < 0, rest, 0)
    }

    /// One digit before the point, and `exponent`, with a sign if it is negative or padded to two digits.
    pub(crate) fn scientific(&mut self, mantissa: i64, exponent: i32, exponent_len: u32) -> &[u8] {
        let mut end = self.put(Text::LEN_MAX, u64::from(exponent.unsigned_abs()), exponent_len);
        for byte in [if exponent < 0 { b'-' } else { b'+' }, b'e'] {
            end -= 1;
            self.bytes[end] = byte;
        }
        let (rest, _) = trimmed(mantissa.unsigned_abs(), SCALE_MAX + 1);
        let decimals = rest.checked_ilog10().unwrap_or(0);
        self.plain(end, mantissa < 0, rest, decimals as u8)
    }

    /// All digits and nothing else.
    pub(crate) fn digits(&mut self, magnitude: u64) -> &[u8] {
        let start = self.put(Text::LEN_MAX, magnitude, 1);
        &self.bytes[start..]
    }

    fn plain(&mut self, end: usize, negative: bool, magnitude: u64, decimals: u8) -> &[u8] {
        let mut start = end;
        let mut integer = magnitude;
        if decimals > 0 {
            let power = POWERS[usize::from(decimals)];
            integer = magnitude / power;
            start = self.put(start, magnitude % power, u32::from(decimals)) - 1;
            self.bytes[start] = b'.';
        }
        start = self.put(start, integer, 1);
        if negative {
            start -= 1;
            self.bytes[start] = b'-';
        }
        &self.bytes[start..]
    }

    /// Writes at least `len` digits that end before `end`, and returns where they start.
    fn put(&mut self, end: usize, mut magnitude: u64, len: u32) -> usize {
        let mut start = end;
        while magnitude >= 100 {
            start -= 2;
            self.bytes[start..start + 2].copy_from_slice(&PAIRS[(magnitude % 100) as usize]);
            magnitude /= 100;
        }
        start -= 2;
        self.bytes[start..start + 2].copy_from_slice(&PAIRS[magnitude as usize]);
        start += usize::from(magnitude < 10);
        let wanted = end - len as usize;
        while start > wanted {
            start -= 1;
            self.bytes[start] = b'0';
        }
        start
    }
}

/// Takes zeros from the end, at most `scale` of them, and returns what is left of both.
fn trimmed(mut magnitude: u64, mut scale: u8) -> (u64, u8) {
    if magnitude == 0 {
        return (0, 0);
    }
    while scale > 0 && magnitude.is_multiple_of(10) {
        magnitude /= 10;
        scale -= 1;
    }
    (magnitude, scale)
}

/// The texts of 0 to 99, two digits each.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Brings numbers to one scale; prepared once, used for many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaler {
    /// Where a fraction of eight digits has digits beyond the scale.
    beyond: u64,
    /// Moves the fraction so that its last digit at the scale is the last of eight.
    shift: u32,
    /// 10^scale, or 10^8 for a scale above 8, which `extra` then completes.
    power: u64,
    extra: i64,
}

impl Scaler {
    /// For a scale up to [`SCALE_MAX`]; a greater one, which no number has, is taken for that.
    #[inline(always)]
    pub(crate) fn of(scale: u8) -> &'static Scaler {
        &SCALERS[usize::from(scale.min(SCALE_MAX))]
    }

    const fn new(scale: u8) -> Scaler {
        let near = if scale < 8 { scale } else { 8 };
        Scaler {
            beyond: !FIRST[near as usize],
            // For scale 0 this is a shift by 64, which does nothing to a fraction that has to be zero then.
            shift: 64 - 8 * near as u32,
            power: POWERS[near as usize],
            extra: POWERS[(scale - near) as usize] as i64,
        }
    }

    /// The mantissa of the number without sign and exponent at the start of `lanes`, and the length of its text.
    ///
    /// `None` where the general routine has to decide: bad syntax, more than 8 digits before or after the point, a
    /// value that does not fit. The caller has to look at what follows: nothing says that the number ends within the
    /// lanes, and an exponent may follow.
    #[inline(always)]
    pub(crate) fn decimal(&self, lanes: Lanes) -> Option<(i64, usize)> {
        let (parts, len) = self.parts(lanes, |start| (lanes.bits() >> (8 * start)) as u64)?;
        Some((self.mantissa(lanes::two_times_eight_digits([parts.integer, parts.fraction]))?, len))
    }

    /// The digits of the number for [`Parts::pair`], and the length of its text, under the conditions of
    /// [`Scaler::decimal`]. `bytes_from` returns the eight bytes from an index on, which is 2 to 9.
    #[inline(always)]
    pub(crate) fn parts(&self, lanes: Lanes, bytes_from: impl Fn(usize) -> u64) -> Option<(Parts, usize)> {
        let Shape { integer_len, point, fraction_len, needless_zero } = Shape::of(lanes);
        // No point and no fraction, or a point and 1 to 8 digits.
        let fraction_wrong = fraction_len.wrapping_sub(point) > 7;
        // Not a chain of conditions, because whether a number starts with a zero cannot be foretold.
        if integer_len.wrapping_sub(1) > 7 || fraction_wrong | needless_zero {
            return None;
        }
        let integer = (lanes.low ^ ZEROS) << (64 - 8 * integer_len);
        let fraction = (bytes_from(integer_len as usize + 1) ^ ZEROS) & FIRST[fraction_len as usize];
        if fraction & self.beyond != 0 {
            return None;
        }
        let fraction = fraction.wrapping_shl(self.shift);
        Some((Parts { integer, fraction }, (integer_len + point + fraction_len) as usize))
    }

    #[inline(always)]
    fn mantissa(&self, [integer, fraction]: [u32; 2]) -> Option<i64> {
        let mantissa = u64::from(integer) * self.power + u64::from(fraction);
        (mantissa as i64).checked_mul(self.extra)
    }
}

static SCALERS: [Scaler; SCALE_MAX as usize + 1] = {
    let mut scalers = [Scaler::new(0); SCALE_MAX as usize + 1];
    let mut scale = 0;
    while scale < scalers.len() {
        scalers[scale] = Scaler::new(scale as u8);
        scale += 1;
    }
    scalers
};

/// The digits of a number as values of 0 to 9, the last one in the highest byte.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    integer: u64,
    fraction: u64,
}

impl Parts {
    /// The mantissas of two numbers. Together they are one pass through vector instructions.
    #[inline(always)]
    pub(crate) fn pair([first, second]: [Parts; 2], scalers: [&Scaler; 2]) -> Option<(i64, i64)> {
        let digits = [first.integer, first.fraction, second.integer, second.fraction];
        let [a, b, c, d] = lanes::four_times_eight_digits(digits);
        Some((scalers[0].mantissa([a, b])?, scalers[1].mantissa([c, d])?))
    }
}

/// The integer without sign at the start of `lanes`, and the length of its text, which ends within the lanes. `None`
/// if there is no digit, a needless zero, or no end.
#[inline(always)]
pub(crate) fn integer(lanes: Lanes) -> Option<(u64, usize)> {
    let len = integer_len(lanes)?;
    let zeros = u128::from(ZEROS) << 64 | u128::from(ZEROS);
    let digits = Lanes::from_bits((lanes.bits() ^ zeros) << (128 - 8 * len));
    let [first, last] = lanes::two_times_eight_digits([digits.low, digits.high]);
    Some((u64::from(first) * POWERS[8] + u64::from(last), len))
}

/// The length of the integer without sign at the start of `lanes`, as for [`integer`].
#[inline(always)]
pub(crate) fn integer_len(lanes: Lanes) -> Option<usize> {
    let (others, _) = lanes.others_and_points();
    let len = others.trailing_zeros();
    if !(1..=15).contains(&len) || (lanes.low as u8 == b'0' && len > 1) {
        return None;
    }
    Some(len as usize)
}

/// The length of the number without sign and exponent at the start of `lanes`, which ends within them. `None` if there
/// is none. The caller has to look at what follows.
#[inline(always)]
pub(crate) fn short_len(lanes: Lanes) -> Option<usize> {
    let Shape { integer_len, point, fraction_len, needless_zero } = Shape::of(lanes);
    let len = integer_len + point + fraction_len;
    if integer_len == 0 || fraction_len < point || needless_zero || len > 15 {
        return None;
    }
    Some(len as usize)
}

/// How the number at the start of some lanes is laid out.
struct Shape {
    /// Digits before the point or the end, up to 16.
    integer_len: u32,
    /// 1 if there is a point behind them.
    point: u32,
    /// Digits behind the point.
    fraction_len: u32,
    /// Whether there is a leading zero too much. Not if there is no digit at all.
    needless_zero: bool,
}

impl Shape {
    #[inline(always)]
    fn of(lanes: Lanes) -> Shape {
        let (others, points) = lanes.others_and_points();
        let integer_len = others.trailing_zeros();
        let point = points >> integer_len & 1;
        // The second byte that is no digit ends the number if the first one is a point.
        let end = (others & (others - 1)).trailing_zeros();
        let fraction_len = (end - integer_len - 1) & point.wrapping_neg();
        let needless_zero = (lanes.low as u8 == b'0') & (integer_len != 1);
        Shape { integer_len, point, fraction_len, needless_zero }
    }
}

/// All of `text`, if it has at most 16 bytes.
#[inline(always)]
fn lanes_of(text: &[u8]) -> Option<Lanes> {
    let len = text.len();
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        if len > 16 {
            return None;
        }
        let last = u64::from_le_bytes(*last);
        // Overlapping loads; the bytes that both have are shifted out of the second.
        let high = last.unbounded_shr(8 * (16 - len as u32));
        return Some(Lanes { low: u64::from_le_bytes(*first), high });
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let last = u64::from(u32::from_le_bytes(*last));
        let low = u64::from(u32::from_le_bytes(*first)) | last << (8 * (len as u32 - 4));
        return Some(Lanes { low, high: 0 });
    }
    let low = text.iter().rev().fold(0, |low, &byte| low << 8 | u64::from(byte));
    Some(Lanes { low, high: 0 })
}

/// Masks for the first 0 to 8 bytes of eight; padded so that an index of four bits needs no check.
const FIRST: [u64; 16] = {
    let mut first = [u64::MAX; 16];
    let mut len = 0;
    while len < 8 {
        first[len] = (1 << (8 * len)) - 1;
        len += 1;
    }
    first
};

const ZEROS: u64 = 0x3030_3030_3030_3030;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::hash_map::DefaultHasher;

    #[test]
    fn exact_values() {
        let cases: &[(&str, u8, i64)] = &[
            ("0", 0, 0),
            ("-0", 5, 0),
            ("0.00000000", 2, 0),
            ("0e9999999999999999999999", 2, 0),
            ("0.35280000", 4, 3528),
            ("0.35280000", 8, 35_280_000),
            ("27543.1", 2, 2_754_310),
            ("-27543.1", 1, -275_431),
            ("99999999.99999999", 8, 9_999_999_999_999_999),
            ("137080311.50000000", 8, 13_708_031_150_000_000),
            ("9999999999.99999", 5, 999_999_999_999_999),
            ("0.123456789", 9, 123_456_789),
            ("0.000000000000001", 15, 1),
            ("1e-8", 8, 1),
            ("1.5E+3", 0, 1500),
            ("12300e-2", 0, 123),
            ("9223372036854775807", 0, i64::MAX),
            ("-9223372036854775808", 0, i64::MIN),
            ("0.000000000000000001", 18, 1),
            ("1.000000000000000000000000000000", 3, 1000),
        ];
        for &(text, scale, mantissa) in cases {
            assert_eq!(parse_exact(text.as_bytes(), scale), Ok(mantissa), "{text} at {scale}");
        }
    }

    #[test]
    fn what_does_not_fit_says_why() {
        let inexact = |scale| Err(DecimalError::Inexact { scale });
        let overflow = Err(DecimalError::Overflow);
        let cases: &[(&str, u8, Result<i64, DecimalError>)] = &[
            ("0.3528", 3, inexact(4)),
            ("0.35280000", 3, inexact(4)),
            ("1e-8", 7, inexact(8)),
            ("0.123456789", 8, inexact(9)),
            ("0.000000000000000001", 17, inexact(18)),
            ("9223372036854775808", 0, overflow),
            ("-9223372036854775809", 0, overflow),
            ("9999999999.99999", 10, overflow),
            // No scale would do for these, so none is named.
            ("1234567890123.12345678", 2, overflow),
            ("0.0000000000000000001", 18, overflow),
            ("1e-99999999999999999999", 18, overflow),
            ("1e99999999999999999999", 0, overflow),
            ("1", 19, overflow),
        ];
        for &(text, scale, result) in cases {
            assert_eq!(parse_exact(text.as_bytes(), scale), result, "{text} at {scale}");
        }
    }

    #[test]
    fn only_numbers_of_json_are_numbers() {
        for text in [
            "",
            "-",
            ".",
            "+1",
            "1.",
            ".5",
            "00",
            "00.1",
            "01",
            "-01",
            "1.2.3",
            "1..2",
            "1e",
            "1e+",
            "1e-",
            "e5",
            "1 ",
            " 1",
            "1,5",
            "0x10",
            "1_000",
            "NaN",
            "Infinity",
            "--1",
            "1-",
            "1.5f",
            "1.e5",
            "\u{661}",
            "1\0",
            "000000000000000001",
            "1234567890123456.",
            "12345678.",
        ] {
            for scale in [0, 2, 8, 18] {
                assert_eq!(parse_exact(text.as_bytes(), scale), Err(DecimalError::Syntax), "{text:?}");
                assert_eq!(parse_round(text.as_bytes(), scale), Err(DecimalError::Syntax), "{text:?}");
            }
            assert_eq!(Fixed::parse_exact(text.as_bytes()), Err(DecimalError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn rounding_goes_half_to_even() {
        let cases: &[(&str, u8, i64)] = &[
            ("0.125", 2, 12),
            ("0.135", 2, 14),
            ("-0.125", 2, -12),
            ("0.1250000000000000000000000001", 2, 13),
            ("0.5", 0, 0),
            ("1.5", 0, 2),
            ("0.05", 0, 0),
            ("0.99", 1, 10),
            ("0.0000000000000000000000009", 18, 0),
            ("19203.444049780002", 8, 1_920_344_404_978),
            ("215375.1010537074991", 8, 21_537_510_105_371),
            ("9223372036854775807.4", 0, i64::MAX),
            ("7", 3, 7000),
        ];
        for &(text, scale, mantissa) in cases {
            assert_eq!(parse_round(text.as_bytes(), scale), Ok(mantissa), "{text} at {scale}");
        }
        assert_eq!(parse_round(b"9223372036854775807.5", 0), Err(DecimalError::Overflow));
        assert_eq!(parse_round(b"99999999999999999999.5", 0), Err(DecimalError::Overflow));
        assert_eq!(
            Fixed::parse_round(b"215375.1010537074991").map(|f| f.to_string()),
            Ok("215375.1010537074991".into())
        );
        assert_eq!(
            Fixed::parse_round(b"1215375.10105370749912").map(|f| f.to_string()),
            Ok("1215375.101053707499".into())
        );
        assert_eq!(Fixed::parse_round(b"92233720368547758070"), Err(DecimalError::Overflow));
    }

    #[test]
    fn canonical_text() {
        let cases: &[(i64, u8, &str)] = &[
            (0, 8, "0"),
            (10, 1, "1"),
            (100, 0, "100"),
            (-5, 1, "-0.5"),
            (1, 18, "0.000000000000000001"),
            (-1, 18, "-0.000000000000000001"),
            (i64::MAX, 0, "9223372036854775807"),
            (i64::MIN, 0, "-9223372036854775808"),
            (i64::MIN, 18, "-9.223372036854775808"),
            (3_024_940, 2, "30249.4"),
            (1_000_000, 6, "1"),
        ];
        for &(mantissa, scale, text) in cases {
            let mut bytes = b"x".to_vec();
            push_text(mantissa, scale, &mut bytes);
            assert_eq!(bytes, format!("x{text}").into_bytes());
            let mut string = String::new();
            write(mantissa, scale, &mut string).unwrap();
            assert_eq!(string, text);
            assert_eq!(Fixed::new(mantissa, scale).to_string(), text);
            assert_eq!(format!("{:?}", Fixed::new(mantissa, scale)), text);
            assert_eq!(text.parse(), Ok(Fixed::new(mantissa, scale)));
        }
        assert_eq!(
            format!("{:>8}|{:<6}|{:+}", Fixed::new(-15, 1), Fixed::new(15, 1), Fixed::new(15, 1)),
            "    -1.5|1.5   |+1.5"
        );
    }

    #[test]
    fn fixed_compares_by_value() {
        let hash = |fixed: Fixed| {
            let mut hasher = DefaultHasher::new();
            fixed.hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(Fixed::new(10, 1), Fixed::new(100, 2));
        assert_eq!(hash(Fixed::new(10, 1)), hash(Fixed::new(100, 2)));
        assert_eq!(hash(Fixed::new(0, 9)), hash(Fixed::default()));
        assert!(Fixed::new(11, 1) > Fixed::new(109, 2));
        assert!(Fixed::new(i64::MIN, 0) < Fixed::new(i64::MIN, 18));
        assert!(Fixed::new(i64::MAX, 0) > Fixed::new(i64::MAX, 18));
    }

    #[test]
    fn fixed_arithmetic_is_exact_or_nothing() {
        let fixed = |text: &str| text.parse::<Fixed>().unwrap();
        assert_eq!(fixed("0.1").checked_add(fixed("0.02")), Some(fixed("0.12")));
        assert_eq!(fixed("0.1").checked_sub(fixed("0.02")), Some(fixed("0.08")));
        assert_eq!(fixed("-1.5").checked_mul(fixed("0.02")), Some(fixed("-0.03")));
        assert_eq!(Fixed::new(5, 18).checked_mul(Fixed::new(2, 1)), Some(Fixed::new(1, 18)));
        assert_eq!(Fixed::new(1, 18).checked_mul(Fixed::new(1, 1)), None);
        assert_eq!(Fixed::new(i64::MAX, 0).checked_add(Fixed::new(1, 0)), None);
        assert_eq!(Fixed::new(i64::MAX, 0).checked_add(Fixed::new(1, 18)), None);
        assert_eq!(
            Fixed::new(1_000_000, 6).checked_add(Fixed::new(9_000_000_000_000_000, 0)).map(|f| f.to_string()),
            Some("9000000000000001".into())
        );
        assert_eq!(fixed("12.5").rescale(3), Ok(12_500));
        assert_eq!(Fixed::new(12_500, 3).rescale(1), Ok(125));
        assert_eq!(fixed("12.5").rescale(0), Err(DecimalError::Inexact { scale: 1 }));
        assert_eq!(Fixed::new(i64::MAX, 0).rescale(1), Err(DecimalError::Overflow));
        assert_eq!(Fixed::try_new(1, 19), None);
        assert_eq!(fixed("0.1").to_f64(), 0.1);
        assert!(Fixed::new(0, 3).is_zero() && !Fixed::new(1, 3).is_zero());
    }

    #[test]
    fn errors_are_small() {
        assert!(size_of::<Result<i64, DecimalError>>() <= 16);
    }

    /// The plain judge: every step in 128 bits, digit by digit, on text that is known to be a number without exponent
    /// and has at most 36 digits.
    fn plain(text: &str, scale: u8) -> Result<i64, DecimalError> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (integer, fraction) = rest.split_once('.').unwrap_or((rest, ""));
        let fraction = fraction.trim_end_matches('0');
        let at = |scale: usize| {
            let digits = format!("{integer}{fraction:0<scale$}");
            let value = digits.parse::<i128>().ok()?;
            i64::try_from(if negative { -value } else { value }).ok()
        };
        if fraction.len() > usize::from(scale) {
            return match at(fraction.len()) {
                Some(_) if fraction.len() <= 18 => Err(DecimalError::Inexact { scale: fraction.len() as u8 }),
                _ => Err(DecimalError::Overflow),
            };
        }
        at(usize::from(scale)).ok_or(DecimalError::Overflow)
    }

    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,9})?",
            "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?",
            "(0|[1-9][0-9]{0,4})\\.[0-9]{0,4}0{1,6}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn judged_by_the_plain_routine(text in number(), scale in 0..=18_u8) {
            prop_assert_eq!(parse_exact(text.as_bytes(), scale), plain(&text, scale));
            // Behind a block that holds more than the number the same must come out.
            let longer = format!("{text}\",\"123.4567890123456");
            if let Some((mantissa, len)) = Lanes::load(longer.as_bytes(), 0).and_then(|lanes| Scaler::of(scale).decimal(lanes))
                && longer.as_bytes()[len] == b'"'
            {
                prop_assert_eq!(len, text.len());
                prop_assert_eq!(Ok(mantissa), plain(&text, scale));
            }
        }

        #[test]
        fn an_exponent_only_moves_the_point(digits in 1..1_000_000_000_i64, scale in 0..=9_u8, exponent in -9..=9_i32) {
            let text = format!("{}e{exponent}", Fixed::new(digits, scale));
            let expected = Fixed::new(digits, (i32::from(scale) - exponent).max(0) as u8);
            let factor = 10_i64.pow((exponent - i32::from(scale)).max(0) as u32);
            let expected = Fixed::new(expected.mantissa() * factor, expected.scale());
            prop_assert_eq!(text.parse::<Fixed>(), Ok(expected));
        }

        #[test]
        fn any_bytes_are_a_number_exactly_if_serde_says_so(text in "[-+.0-9eE]{0,20}|\\PC{0,20}") {
            let valid = serde_json::from_str::<serde_json::Number>(&text).is_ok() && !text.starts_with([' ', '\n', '\t', '\r']) && text.trim_end() == text;
            let ours = parse_exact(text.as_bytes(), 8) != Err(DecimalError::Syntax);
            prop_assert_eq!(ours, valid, "{:?}", text);
            prop_assert_eq!(parse_round(text.as_bytes(), 8) != Err(DecimalError::Syntax), valid);
        }

        #[test]
        fn text_comes_back(mantissa in any::<i64>(), scale in 0..=18_u8) {
            let fixed = Fixed::new(mantissa, scale);
            prop_assert_eq!(fixed.to_string().parse(), Ok(fixed));
            prop_assert_eq!(parse_exact(fixed.to_string().as_bytes(), scale), Ok(mantissa));
        }

        #[test]
        fn rounding_is_within_half_a_unit(text in "-?(0|[1-9][0-9]{0,6})\\.[0-9]{1,20}", scale in 0..=9_u8) {
            let rounded = i128::from(parse_round(text.as_bytes(), scale).unwrap()) * 10_i128.pow(20 - u32::from(scale));
            let (negative, rest) = text.strip_prefix('-').map_or((false, text.as_str()), |rest| (true, rest));
            let (integer, fraction) = rest.split_once('.').unwrap();
            let exact = format!("{integer}{fraction:0<20}").parse::<i128>().unwrap() * if negative { -1 } else { 1 };
            let unit = 10_i128.pow(20 - u32::from(scale));
            let distance = (rounded - exact).abs() * 2;
            prop_assert!(distance < unit || (distance == unit && rounded / unit % 2 == 0));
        }

        #[test]
        fn order_is_that_of_the_values(a in any::<i64>(), b in any::<i64>(), scales in (0..=18_u8, 0..=18_u8)) {
            let wide = |mantissa: i64, scale: u8| i128::from(mantissa) * 10_i128.pow(u32::from(18 - scale));
            let (x, y) = (Fixed::new(a, scales.0), Fixed::new(b, scales.1));
            prop_assert_eq!(x.cmp(&y), wide(a, scales.0).cmp(&wide(b, scales.1)));
        }
    }
}
