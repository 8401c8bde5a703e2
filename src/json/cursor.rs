//! A pull reader that walks a JSON text once.
//!
//! ```
//! use wirebook::json::Cursor;
//!
//! let mut cursor = Cursor::new(br#"{"e":"trade","t":7,"p":"0.35210000","extra":[1,{"a":null}]}"#);
//! let (mut id, mut price) = (0, 0);
//! cursor.object(|c, key| match key {
//!     b"t" => c.u64().map(|value| id = value),
//!     b"p" => c.decimal(4).map(|value| price = value),
//!     _ => c.skip(),
//! })?;
//! cursor.finish()?;
//! assert_eq!((id, price), (7, 3521));
//! # Ok::<(), wirebook::json::JsonError>(())
//! ```
//!
//! Fast where a message is read in its own order and most of it is wanted; a value that is skipped is still checked
//! for structure, at about the speed of its strings. What is read is exactly what the text says. What is skipped is
//! checked but for two things that only a reader of the string would notice: UTF-8, and surrogates without partner.
//!
//! The reader is a position in borrowed bytes: copy it to come back to a place.

use super::{JsonError, JsonErrorKind};
use crate::{
    book::side::Level,
    decimal::{self, DecimalError, Fixed, Parts, Scaler},
    model::Id,
    sys::{
        lanes::{self, Lanes},
        pairs::{self, Between},
    },
};

/// How many arrays and objects within each other [`Cursor::skip`] and [`Cursor::raw`] go through.
pub const DEPTH_MAX: u32 = 64;

/// What kind of value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// A string, which may hold a number.
    String,
    /// A number without quotes.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
    /// Nothing: the text has ended.
    End,
    /// Something that starts no value.
    Invalid,
}

/// A place in a JSON text, see the head of the module.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    text: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    /// A reader at the start of `text`.
    #[inline]
    pub const fn new(text: &'a [u8]) -> Cursor<'a> {
        Cursor { text, position: 0 }
    }

    /// How many bytes of the text have been read.
    #[inline]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Checks that only white space is left.
    ///
    /// # Errors
    /// `Unexpected` if there is more.
    #[inline]
    pub fn finish(&mut self) -> Result<(), JsonError> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.unexpected()),
        }
    }

    /// The error for an object at this place that lacks a member, or whose members contradict each other.
    #[cold]
    pub fn missing(&self) -> JsonError {
        JsonError::new(JsonErrorKind::Missing, self.position)
    }

    /// The kind of the next value, told by its first byte. Nothing is read.
    #[inline]
    pub fn peek(&mut self) -> Kind {
        match self.next_byte() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            Some(_) => Kind::Invalid,
            None => Kind::End,
        }
    }

    /// Reads an object. `member` is called with each key, escapes left in, and has to read exactly the value.
    ///
    /// # Errors
    /// Those of the text and of `member`.
    #[inline]
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Cursor<'a>, &'a [u8]) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let Some(mut key) = self.first_key()? else { return Ok(()) };
        loop {
            member(self, key)?;
            match self.next_key()? {
                Some(next) => key = next,
                None => return Ok(()),
            }
        }
    }

    /// Reads exactly `text` if that comes next, and says whether it did. For messages of which the beginning is always
    /// the same: try that, and go back to a copy of the cursor where it is not.
    ///
    /// ```
    /// # use wirebook::json::Cursor;
    /// let mut cursor = Cursor::new(br#"{"e":"trade","E":17}"#);
    /// assert!(cursor.eat_text(br#"{"e":"trade","E":"#) && !cursor.eat_text(b"{"));
    /// assert_eq!(cursor.u64(), Ok(17));
    /// ```
    #[inline(always)]
    pub fn eat_text<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        let eaten = self.near::<N>() == Some(text);
        if eaten {
            self.position += N;
        }
        eaten
    }

    /// Reads two numbers in quotes and what is `between` them, quotes included, up to behind the second closing quote, as
    /// mantissas at these scales. `None`, and nothing is read, where it is anything but plain: whoever asks has to have
    /// another way. That is always so on processors without AVX2.
    #[inline(always)]
    pub(crate) fn plain_pair(&mut self, between: Between, scales: [u8; 2]) -> Option<[i64; 2]> {
        if self.text.get(self.position) != Some(&b'"') {
            return None;
        }
        let mut ahead = Cursor { position: self.position + 1, ..*self };
        let numbers = ahead.plain_quoted_pair(between, scales)?;
        *self = ahead;
        Some(numbers)
    }

    /// The same from behind the first quote on.
    #[inline(always)]
    pub(crate) fn plain_quoted_pair(&mut self, between: Between, scales: [u8; 2]) -> Option<[i64; 2]> {
        let (numbers, quote) = pairs::pair(self.text, self.position, between, scales)?;
        self.position = quote + 1;
        Some(numbers)
    }

    /// Reads two numbers without quotes and what is `between` them, up to the end of the second, as mantissas at these
    /// scales. `None`, and nothing is read, as in [`Cursor::plain_pair`]. The caller has to see that a comma or a bracket
    /// follows.
    #[inline(always)]
    pub(crate) fn plain_bare_pair(&mut self, between: Between, scales: [u8; 2]) -> Option<[i64; 2]> {
        let (numbers, end) = pairs::bare_pair(self.text, self.position, between, scales)?;
        self.position = end;
        Some(numbers)
    }

    /// Reads the next `N` bytes, whatever they are. `None` if fewer are left.
    #[inline(always)]
    pub(crate) fn plain_chunk<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let near = self.near::<N>()?;
        self.position += N;
        Some(near)
    }

    /// Reads a string of at most 15 bytes without escapes as a little-endian integer, with zeros behind its last byte.
    /// `None`, and nothing is read, if anything else comes, or too little behind it.
    #[inline(always)]
    pub(crate) fn plain_word(&mut self) -> Option<u128> {
        let near = self.near::<NEAR>()?;
        let lanes = Lanes::of(near, 1)?;
        let len = lanes.string_stops().trailing_zeros() as usize;
        if near[0] != b'"' || len > 15 || *near.get(1 + len)? != b'"' {
            return None;
        }
        self.position += len + 2;
        Some(lanes.bits() & ((1 << (8 * len)) - 1))
    }

    /// Reads the digits of a bare integer of at most fifteen, without a needless zero. `None`, and nothing is read, if
    /// anything else comes. The caller has to see that a comma or a bracket follows.
    #[inline(always)]
    pub(crate) fn plain_digits(&mut self) -> Option<&'a [u8]> {
        let near = self.near::<16>()?;
        let len = decimal::integer_len(Lanes::of(near, 0)?)?;
        self.position += len;
        near.get(..len)
    }

    /// Reads the same as an id.
    #[inline(always)]
    pub(crate) fn plain_id(&mut self) -> Option<Id> {
        let near = self.near::<16>()?;
        Id::of_digits(near, self.plain_digits()?.len())
    }

    /// Reads a bare integer of at most fifteen digits, not before the sixteenth byte of the text. `None` if anything else
    /// comes. The caller has to see that a comma or a bracket follows.
    #[inline(always)]
    pub(crate) fn plain_u64(&mut self) -> Option<u64> {
        let len = decimal::integer_len(Lanes::of(self.near::<16>()?, 0)?)?;
        self.position += len;
        let last = self.text.get(..self.position)?.last_chunk()?;
        let [upper, lower] = lanes::last_digits(last, len)?;
        Some(u64::from(upper) * 100_000_000 + u64::from(lower))
    }

    /// The same anywhere in the text, for some instructions more.
    #[inline(always)]
    pub(crate) fn plain_early_u64(&mut self) -> Option<u64> {
        let (value, len) = decimal::integer(Lanes::of(self.near::<16>()?, 0)?)?;
        self.position += len;
        Some(value)
    }

    /// Reads a string of at most 15 bytes without escapes, and says whether one came. Nothing is read otherwise, or if too
    /// little is behind it.
    #[inline(always)]
    pub(crate) fn eat_plain_string(&mut self) -> bool {
        let Some(near) = self.near::<NEAR>() else { return false };
        let len = short_string(near).filter(|len| *len < 16);
        if let Some(len) = len {
            self.position += len + 2;
        }
        len.is_some()
    }

    /// Whether all of the text has been read.
    #[inline(always)]
    pub(crate) fn is_at_end(&self) -> bool {
        self.position == self.text.len()
    }

    /// Reads an array. `element` is called at each element and has to read exactly that.
    ///
    /// # Errors
    /// Those of the text and of `element`.
    #[inline]
    pub fn array(
        &mut self,
        mut element: impl FnMut(&mut Cursor<'a>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.open(b'[')?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    /// Reads the `[` of an array whose elements differ and are read one by one, each but the first after
    /// [`Cursor::comma`], until [`Cursor::close_array`].
    ///
    /// # Errors
    /// `Unexpected` if no array comes.
    #[inline]
    pub fn open_array(&mut self) -> Result<(), JsonError> {
        self.open(b'[')
    }

    /// Reads the comma between two elements.
    ///
    /// # Errors
    /// `Unexpected` if there is none, `Truncated` at the end.
    #[inline]
    pub fn comma(&mut self) -> Result<(), JsonError> {
        self.open(b',')
    }

    /// Skips all elements that are left, and reads the `]`. Comes after an element, or after `[`.
    ///
    /// # Errors
    /// Those of the text.
    #[inline]
    pub fn close_array(&mut self) -> Result<(), JsonError> {
        if self.eat(b']') {
            return Ok(());
        }
        // Without a comma this has to be the first element.
        if !self.eat(b',') && !self.text[..self.position.min(self.text.len())].trim_ascii_end().ends_with(b"[") {
            return Err(self.unexpected());
        }
        loop {
            self.skip()?;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    /// Reads `[]` if that comes next, and says whether it did.
    #[inline]
    pub fn is_empty_array(&mut self) -> bool {
        let mut ahead = *self;
        let empty = ahead.eat(b'[') && ahead.eat(b']');
        if empty {
            *self = ahead;
        }
        empty
    }

    /// Reads a string without escapes.
    ///
    /// # Errors
    /// `Escape` if it has any (see [`Cursor::string`]), `Utf8` if it is not UTF-8.
    #[inline]
    pub fn str(&mut self) -> Result<&'a str, JsonError> {
        let start = self.position;
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| JsonError::new(JsonErrorKind::Utf8, start))
    }

    /// Reads a string without escapes as the bytes between its quotes, which need not be UTF-8.
    ///
    /// # Errors
    /// `Escape` if it has any.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], JsonError> {
        if let Some(near) = self.near()
            && let Some(len) = short_string(near)
            && let Some(bytes) = near.get(1..1 + len)
        {
            self.position += len + 2;
            return Ok(bytes);
        }
        self.any_bytes()
    }

    /// Reads a string of at most 31 bytes, as most topics are, as little-endian integers: its bytes, zeros, and its length as the
    /// highest byte. `None`, and nothing is read, if anything else comes, or too little behind it. Backslashes and control
    /// characters are left in, which a text that is looked for with this has none of.
    #[inline(always)]
    pub(crate) fn plain_topic(&mut self) -> Option<[u64; 4]> {
        let near = self.near::<36>()?;
        let quotes = Lanes::of(near, 1)?.quotes() | Lanes::of(near, 17)?.quotes() << 16;
        // With no quote at all this is 32.
        let len = quotes.trailing_zeros() as usize;
        let mut words = lanes::first_bytes(near.get(1..)?.first_chunk()?, len)?;
        if near[0] != b'"' || len == 32 {
            return None;
        }
        words[3] |= (len as u64) << 56;
        self.position += len + 2;
        Some(words)
    }

    #[inline(never)]
    fn any_bytes(&mut self) -> Result<&'a [u8], JsonError> {
        self.open(b'"')?;
        let start = self.position;
        let end = string_stop(self.text, start);
        match self.text.get(end) {
            Some(b'"') => {
                self.position = end + 1;
                Ok(&self.text[start..end])
            }
            Some(b'\\') => Err(JsonError::new(JsonErrorKind::Escape, end)),
            Some(_) => Err(JsonError::new(JsonErrorKind::Unexpected, end)),
            None => Err(JsonError::new(JsonErrorKind::Truncated, end)),
        }
    }

    /// Reads a string and leaves its escapes in; [`unescape`] resolves them.
    ///
    /// # Errors
    /// `Escape` if one is bad, `Utf8` if the text is not UTF-8.
    pub fn raw_str(&mut self) -> Result<&'a str, JsonError> {
        self.space();
        let start = self.position;
        let bytes = self.raw_bytes()?;
        std::str::from_utf8(bytes).map_err(|_| JsonError::new(JsonErrorKind::Utf8, start))
    }

    /// Reads any string into `out`, which is emptied first, with escapes resolved.
    ///
    /// # Errors
    /// `Escape` and `Utf8`.
    pub fn string(&mut self, out: &mut String) -> Result<(), JsonError> {
        let start = self.position;
        out.clear();
        unescape(self.raw_str()?, out).map_err(|error| JsonError::new(error.kind, start))
    }

    /// Reads a number, bare or in quotes, as its text.
    ///
    /// # Errors
    /// `Number` if it is none.
    pub fn number_text(&mut self) -> Result<&'a [u8], JsonError> {
        let text = match self.next_byte() {
            Some(b'"') => self.bytes()?,
            Some(b'-' | b'0'..=b'9') => self.bare_number(),
            _ => return Err(self.unexpected()),
        };
        match number_len(text) {
            Some(len) if len == text.len() => Ok(text),
            _ => Err(self.number(text, DecimalError::Syntax)),
        }
    }

    /// Reads a number, bare or in quotes, as a mantissa at `scale`.
    ///
    /// # Errors
    /// `Number` with the reason, see [`decimal::parse_exact`].
    #[inline]
    pub fn decimal(&mut self, scale: u8) -> Result<i64, JsonError> {
        let scaler = Scaler::of(scale);
        if let Some((mantissa, len)) = self.near().and_then(|near| short_decimal(near, scaler)) {
            self.position += len;
            return Ok(mantissa);
        }
        self.any_decimal(scale)
    }

    #[inline(never)]
    fn any_decimal(&mut self, scale: u8) -> Result<i64, JsonError> {
        match self.moved(|near| short_decimal(near, Scaler::of(scale))) {
            Some(mantissa) => Ok(mantissa),
            None => self.number_with(|text| decimal::parse_exact(text, scale)),
        }
    }

    /// Reads a number, bare or in quotes, at its natural scale.
    ///
    /// # Errors
    /// `Number` with the reason, see [`Fixed::parse_exact`].
    pub fn fixed(&mut self) -> Result<Fixed, JsonError> {
        self.number_with(Fixed::parse_exact)
    }

    /// Reads a number, bare or in quotes, and rounds it where it has more digits than fit. For statistics only.
    ///
    /// # Errors
    /// `Number` with the reason, see [`Fixed::parse_round`].
    pub fn fixed_round(&mut self) -> Result<Fixed, JsonError> {
        self.number_with(Fixed::parse_round)
    }

    /// Reads an integer that is not negative, bare or in quotes, without point and exponent.
    ///
    /// # Errors
    /// `Number`.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, JsonError> {
        if let Some((value, len)) = self.near().and_then(|near| short_integer(near, 0)) {
            self.position += len;
            return Ok(value);
        }
        self.any_u64()
    }

    #[inline(never)]
    fn any_u64(&mut self) -> Result<u64, JsonError> {
        match self.moved(|near| short_integer(near, 0)) {
            Some(value) => Ok(value),
            None => self.number_with(|text| integer(text, false).map(|(magnitude, _)| magnitude)),
        }
    }

    /// Reads an integer, bare or in quotes, without point and exponent.
    ///
    /// # Errors
    /// `Number`.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, JsonError> {
        if let Some((value, len)) = self.near().and_then(short_signed) {
            self.position += len;
            return Ok(value);
        }
        self.any_i64()
    }

    #[inline(never)]
    fn any_i64(&mut self) -> Result<i64, JsonError> {
        if let Some(value) = self.moved(short_signed) {
            return Ok(value);
        }
        self.number_with(|text| {
            let (magnitude, negative) = integer(text, true)?;
            let value =
                if negative { 0_i64.checked_sub_unsigned(magnitude) } else { 0_i64.checked_add_unsigned(magnitude) };
            value.ok_or(DecimalError::Overflow)
        })
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    /// `Unexpected` if neither comes.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, JsonError> {
        match self.next_byte() {
            Some(b't') if self.eat_text(b"true") => Ok(true),
            Some(b'f') if self.eat_text(b"false") => Ok(false),
            _ => Err(self.skip_literal().err().unwrap_or(self.unexpected())),
        }
    }

    /// Reads `null` if that comes next, and says whether it did.
    #[inline]
    pub fn null(&mut self) -> bool {
        self.next_byte() == Some(b'n') && self.eat_text(b"null")
    }

    /// Reads `null` or `""` if that comes next, and says whether it did. Some venues write the one for the other.
    #[inline]
    pub fn absent(&mut self) -> bool {
        if self.next_byte() == Some(b'"') && self.text.get(self.position + 1) == Some(&b'"') {
            self.position += 2;
            return true;
        }
        self.null()
    }

    /// Skips a value of any kind.
    ///
    /// # Errors
    /// Those of the text; `Depth` beyond [`DEPTH_MAX`].
    #[inline]
    pub fn skip(&mut self) -> Result<(), JsonError> {
        if let Some(len) = self.near().and_then(short_value) {
            self.position += len;
            return Ok(());
        }
        self.skip_any()
    }

    /// Skips a value of any kind and returns its text.
    ///
    /// # Errors
    /// As [`Cursor::skip`].
    pub fn raw(&mut self) -> Result<&'a [u8], JsonError> {
        self.space();
        let start = self.position;
        self.skip()?;
        Ok(&self.text[start..self.position])
    }

    /// Reads an array of rows that start with a price and a quantity, `[["0.5",12],["0.6","7","ignored"]]`, and appends
    /// them to `out`, which may have `levels_max` elements at the end. Further cells of a row are ignored.
    ///
    /// A level that fits neither this nor any finer scale is left out; the result says how many were. They are not
    /// counted against `levels_max`.
    ///
    /// # Errors
    /// `Inexact` if finer scales are needed, with scales that do; `LevelsMax`; those of the text. On any error `out` is
    /// as it was.
    #[inline(always)]
    pub fn levels(
        &mut self,
        price_scale: u8,
        qty_scale: u8,
        levels_max: usize,
        out: &mut Vec<Level>,
    ) -> Result<u32, JsonError> {
        if self.usual_levels([price_scale, qty_scale], levels_max, out) {
            return Ok(0);
        }
        // On a copy, so that the cursor itself is never lent and stays in registers.
        let mut ahead = *self;
        let read = ahead.any_levels(price_scale, qty_scale, levels_max, out);
        *self = ahead;
        read
    }

    /// Reads an array that is empty or has nothing but rows that [`pairs::rows`] understands. False, and nothing is read, if
    /// there is anything else.
    #[inline(always)]
    fn usual_levels(&mut self, scales: [u8; 2], levels_max: usize, out: &mut Vec<Level>) -> bool {
        let Some(near) = self.near::<2>() else { return false };
        if *near == *b"[]" {
            self.position += 2;
            return true;
        }
        let len = out.len();
        let (at, last) = usual_rows(self.text, self.position + 1, scales, levels_max, out);
        let whole = near[0] == b'[' && last && self.text.get(at) == Some(&b']');
        if whole {
            self.position = at + 1;
        } else {
            out.truncate(len);
        }
        whole
    }

    #[inline(never)]
    fn any_levels(
        &mut self,
        price_scale: u8,
        qty_scale: u8,
        levels_max: usize,
        out: &mut Vec<Level>,
    ) -> Result<u32, JsonError> {
        let len = out.len();
        let result = self.levels_into(price_scale, qty_scale, levels_max, out);
        if result.is_err() {
            out.truncate(len);
        }
        result
    }

    #[inline]
    fn levels_into(
        &mut self,
        price_scale: u8,
        qty_scale: u8,
        levels_max: usize,
        out: &mut Vec<Level>,
    ) -> Result<u32, JsonError> {
        self.open(b'[')?;
        if self.eat(b']') {
            return Ok(0);
        }
        let mut odd = OddLevels::default();
        loop {
            if self.plain_rows([price_scale, qty_scale], levels_max, out)? == Row::Next
                && let Some(level) = self.any_row(price_scale, qty_scale, &mut odd)?
            {
                if out.len() >= levels_max {
                    return Err(self.error(JsonErrorKind::LevelsMax));
                }
                out.push(level);
            }
            if !self.more(b']')? {
                break;
            }
        }
        let OddLevels { price_scale: None, qty_scale: None, rejected } = odd else {
            let OddLevels { price_scale, qty_scale, .. } = odd;
            return Err(self.error(JsonErrorKind::Inexact { price_scale, qty_scale }));
        };
        Ok(rejected)
    }

    /// Reads rows as long as they are plain and nothing but a comma is between them. Says whether it stopped before a
    /// row or behind one.
    #[inline(always)]
    fn plain_rows(&mut self, scales: [u8; 2], levels_max: usize, out: &mut Vec<Level>) -> Result<Row, JsonError> {
        let text = self.text;
        let scalers = scales.map(Scaler::of);
        let stopped = loop {
            // In a register, while `self` is in memory.
            let (mut at, last) = usual_rows(text, self.position, scales, levels_max, out);
            self.position = at;
            if last {
                break Row::Last;
            }
            // One row that is less usual, then on as before.
            let Some(rest) = text.get(at..) else { break Row::Next };
            let row = match rest.first_chunk::<ROW>() {
                Some(near) => plain_cells(near, scalers),
                None => plain_cells_at_end(rest, scalers),
            };
            let Some((level, len)) = row else { break Row::Next };
            let Some(end) = end_of_row(text, at + len) else { break Row::Next };
            if out.len() >= levels_max {
                return Err(JsonError::new(JsonErrorKind::LevelsMax, at));
            }
            out.push(level);
            at = end;
            self.position = at;
            if text.get(at) != Some(&b',') {
                break Row::Last;
            }
            self.position = at + 1;
        };
        Ok(stopped)
    }

    #[cold]
    #[inline(never)]
    fn any_row(&mut self, price_scale: u8, qty_scale: u8, odd: &mut OddLevels) -> Result<Option<Level>, JsonError> {
        self.open(b'[')?;
        let price = self.number_or_reason(price_scale)?;
        self.comma()?;
        let qty = self.number_or_reason(qty_scale)?;
        while self.more(b']')? {
            self.skip()?;
        }
        let finer = |wanted: &mut Option<u8>, reason: DecimalError| {
            if let DecimalError::Inexact { scale } = reason {
                *wanted = Some(wanted.map_or(scale, |wanted| wanted.max(scale)));
            }
        };
        match (price, qty) {
            (Ok(price), Ok(qty)) => return Ok(Some(Level { price, qty })),
            (Err(DecimalError::Overflow), _) | (_, Err(DecimalError::Overflow)) => {
                odd.rejected = odd.rejected.saturating_add(1);
            }
            (price, qty) => {
                price.map_or_else(|reason| finer(&mut odd.price_scale, reason), drop);
                qty.map_or_else(|reason| finer(&mut odd.qty_scale, reason), drop);
            }
        }
        Ok(None)
    }

    /// A number whose size or decimals may be wrong, but not its syntax.
    fn number_or_reason(&mut self, scale: u8) -> Result<Result<i64, DecimalError>, JsonError> {
        match self.decimal(scale) {
            Ok(mantissa) => Ok(Ok(mantissa)),
            Err(JsonError { kind: JsonErrorKind::Number(reason), .. }) if reason != DecimalError::Syntax => {
                Ok(Err(reason))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a number by its text. The text is behind us afterwards even if `parse` refuses it.
    fn number_with<T>(&mut self, parse: impl FnOnce(&[u8]) -> Result<T, DecimalError>) -> Result<T, JsonError> {
        let text = match self.next_byte() {
            Some(b'"') => self.bytes()?,
            Some(b'-' | b'0'..=b'9') => self.bare_number(),
            _ => return Err(self.unexpected()),
        };
        parse(text).map_err(|reason| self.number(text, reason))
    }

    /// All bytes that can be part of a number.
    fn bare_number(&mut self) -> &'a [u8] {
        let rest = &self.text[self.position..];
        let len = rest.iter().position(|&byte| ends_number(byte)).unwrap_or(rest.len());
        self.position += len;
        &rest[..len]
    }

    /// Reads the `{` of an object and its first key, or `{}`.
    #[inline(always)]
    fn first_key(&mut self) -> Result<Option<&'a [u8]>, JsonError> {
        match self.key_after(b'{') {
            Some(key) => Ok(Some(key)),
            None => self.any_first_key(),
        }
    }

    #[inline(never)]
    fn any_first_key(&mut self) -> Result<Option<&'a [u8]>, JsonError> {
        self.open(b'{')?;
        if self.eat(b'}') { Ok(None) } else { self.any_key().map(Some) }
    }

    /// Reads what comes after a member: a comma and the next key, or `}`.
    #[inline(always)]
    fn next_key(&mut self) -> Result<Option<&'a [u8]>, JsonError> {
        match self.key_after(b',') {
            Some(key) => Ok(Some(key)),
            None => self.any_next_key(),
        }
    }

    #[inline(never)]
    fn any_next_key(&mut self) -> Result<Option<&'a [u8]>, JsonError> {
        if !self.more(b'}')? {
            return Ok(None);
        }
        let key = |near: &[u8; NEAR]| {
            let len = short_string(near).filter(|len| near.get(len + 2) == Some(&b':'))?;
            Some((len, len + 3))
        };
        if let Some(len) = self.moved(key) {
            let end = self.position - 2;
            return Ok(self.text.get(end - len..end));
        }
        self.any_key().map(Some)
    }

    /// Reads `before`, a key and its colon, if the key is short and nothing is between them.
    #[inline(always)]
    fn key_after(&mut self, before: u8) -> Option<&'a [u8]> {
        let near = self.near::<NEAR>()?;
        if near[..2] != [before, b'"'] {
            return None;
        }
        let len = (Lanes::of(near, 2)?.string_stops() | 1 << 16).trailing_zeros() as usize;
        if near.get(2 + len..4 + len)? != b"\":" {
            return None;
        }
        let key = near.get(2..2 + len)?;
        self.position += len + 4;
        Some(key)
    }

    #[inline(never)]
    fn any_key(&mut self) -> Result<&'a [u8], JsonError> {
        if self.next_byte() != Some(b'"') {
            return Err(self.unexpected());
        }
        let key = self.raw_bytes()?;
        self.open(b':')?;
        Ok(key)
    }

    /// The bytes between the quotes of a string, escapes checked and left in. At the quote.
    #[inline]
    fn raw_bytes(&mut self) -> Result<&'a [u8], JsonError> {
        self.open(b'"')?;
        let start = self.position;
        let end = string_stop(self.text, start);
        self.position = end;
        if self.text.get(end) != Some(&b'"') {
            self.skip_escapes()?;
        }
        let bytes = &self.text[start..self.position];
        self.position += 1;
        Ok(bytes)
    }

    /// Goes on to the closing quote of a string that has escapes.
    #[cold]
    fn skip_escapes(&mut self) -> Result<(), JsonError> {
        loop {
            match self.text.get(self.position) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => {
                    let len = match self.text.get(self.position + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') => match self.text.get(self.position + 2..self.position + 6) {
                            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => 6,
                            Some(_) => return Err(self.error(JsonErrorKind::Escape)),
                            None => return Err(self.error(JsonErrorKind::Truncated)),
                        },
                        Some(_) => return Err(self.error(JsonErrorKind::Escape)),
                        None => return Err(self.error(JsonErrorKind::Truncated)),
                    };
                    self.position = string_stop(self.text, self.position + len);
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    #[inline(never)]
    fn skip_any(&mut self) -> Result<(), JsonError> {
        match self.next_byte() {
            Some(b'{' | b'[') => self.skip_nested(),
            Some(b'"') => self.raw_bytes().map(drop),
            _ => match self.moved(|near| short_value(near).map(|len| ((), len))) {
                Some(()) => Ok(()),
                None => self.skip_leaf(),
            },
        }
    }

    /// Skips what is no array and no object.
    #[inline(never)]
    fn skip_leaf(&mut self) -> Result<(), JsonError> {
        match self.next_byte() {
            Some(b'"') => self.raw_bytes().map(drop),
            Some(b'-' | b'0'..=b'9') => {
                let short = self.near().and_then(short_number);
                let Some(len) = short.or_else(|| number_len(&self.text[self.position..])) else {
                    let text = self.bare_number();
                    return Err(self.number(text, DecimalError::Syntax));
                };
                self.position += len;
                Ok(())
            }
            _ => self.skip_literal(),
        }
    }

    fn skip_literal(&mut self) -> Result<(), JsonError> {
        match self.text.get(self.position) {
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.unexpected()),
        }
    }

    /// Skips an array or object without recursion: one bit says for each depth which of them it is.
    fn skip_nested(&mut self) -> Result<(), JsonError> {
        let mut objects = 0_u64;
        let mut depth = 0;
        loop {
            // At a value.
            match self.next_byte() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == DEPTH_MAX {
                        return Err(self.error(JsonErrorKind::Depth));
                    }
                    let object = open == b'{';
                    let entered = if object {
                        self.first_key()?.is_some()
                    } else {
                        self.position += 1;
                        !self.eat(b']')
                    };
                    if entered {
                        depth += 1;
                        objects = objects << 1 | u64::from(object);
                        continue;
                    }
                }
                _ => match self.near().and_then(short_value) {
                    Some(len) => self.position += len,
                    None => self.skip_leaf()?,
                },
            }
            // After a value.
            while depth > 0 {
                let more = if objects & 1 == 1 { self.next_key()?.is_some() } else { self.more(b']')? };
                if more {
                    break;
                }
                depth -= 1;
                objects >>= 1;
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// The bytes that come next, if there are as many.
    #[inline(always)]
    fn near<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.text.get(self.position..)?.first_chunk()
    }

    /// Lets `read` look at the last bytes of the text, with zeros behind them.
    #[inline(always)]
    fn near_end<R>(&self, read: impl Fn(&[u8; NEAR]) -> Option<R>) -> Option<R> {
        let rest = self.text.get(self.position..)?;
        let mut near = [0; NEAR];
        near.get_mut(..rest.len())?.copy_from_slice(rest);
        read(&near)
    }

    /// Tries `read` again where it may have failed for white space or the end of the text.
    #[inline(always)]
    fn moved<R>(&mut self, read: impl Fn(&[u8; NEAR]) -> Option<(R, usize)>) -> Option<R> {
        self.next_byte();
        let (value, len) = match self.near() {
            Some(near) => read(near),
            None => self.near_end(read),
        }?;
        self.position += len;
        Some(value)
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), JsonError> {
        let rest = &self.text[self.position..];
        if rest.starts_with(literal) {
            self.position += literal.len();
            return Ok(());
        }
        let kind = if literal.starts_with(rest) { JsonErrorKind::Truncated } else { JsonErrorKind::Unexpected };
        Err(self.error(kind))
    }

    /// After an element: whether another one follows, or `close` did.
    #[inline(always)]
    fn more(&mut self, close: u8) -> Result<bool, JsonError> {
        let byte = self.next_byte();
        if byte == Some(b',') || byte == Some(close) {
            self.position += 1;
            return Ok(byte == Some(b','));
        }
        Err(self.unexpected())
    }

    /// Reads `byte` and nothing else.
    #[inline(always)]
    fn open(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.eat(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Reads `byte` if it comes next.
    #[inline(always)]
    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.next_byte() == Some(byte);
        // Not as an addition of 0 or 1, which rustc 1.95 loses behind a loop in some places.
        if eaten {
            self.position += 1;
        }
        eaten
    }

    /// The next byte that is not white space, without reading it.
    #[inline(always)]
    fn next_byte(&mut self) -> Option<u8> {
        match self.text.get(self.position) {
            Some(&byte) if byte > b' ' => Some(byte),
            None => None,
            _ => {
                self.space();
                self.text.get(self.position).copied()
            }
        }
    }

    /// Moves over white space. Venues send none between tokens as a rule, or one blank.
    #[inline(never)]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.position) {
            self.position += 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn unexpected(&self) -> JsonError {
        let end = self.position >= self.text.len();
        self.error(if end { JsonErrorKind::Truncated } else { JsonErrorKind::Unexpected })
    }

    #[cold]
    fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError::new(kind, self.position)
    }

    /// The error of a number whose text ends here, or before the quote here.
    #[cold]
    fn number(&self, text: &[u8], reason: DecimalError) -> JsonError {
        let quote = usize::from(self.text.get(self.position.wrapping_sub(1)) == Some(&b'"'));
        JsonError::new(JsonErrorKind::Number(reason), self.position.saturating_sub(text.len() + quote))
    }
}

/// Appends `raw`, a string of JSON without its quotes, to `out` with its escapes resolved.
///
/// # Errors
/// `Escape` where an escape is bad, with its place in `raw`.
pub fn unescape(raw: &str, out: &mut String) -> Result<(), JsonError> {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let Some((character, len)) = escaped(escape.as_bytes()) else {
            return Err(JsonError::new(JsonErrorKind::Escape, raw.len() - escape.len()));
        };
        out.push(character);
        // An escape is ASCII, so what follows starts at a character.
        rest = escape.get(len..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(())
}

/// The character that the escape at the start of `text` stands for, and the length of the escape.
fn escaped(text: &[u8]) -> Option<(char, usize)> {
    let character = match text.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = code_unit(text)?;
            if !(0xd800..0xe000).contains(&first) {
                return Some((char::from_u32(first)?, 6));
            }
            // The first half of a pair of surrogates; the second one has to follow.
            let second = code_unit(text.get(6..)?)?;
            if first >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
                return None;
            }
            return Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 12));
        }
        _ => return None,
    };
    Some((character, 2))
}

/// The value of `\uXXXX` at the start of `text`.
fn code_unit(text: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = text else { return None };
    digits.first_chunk::<4>()?.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}

/// What the readers of short values look at: a quote, a sign, sixteen bytes and two that follow. Each of them answers
/// `None` where the value is longer or unusual.
const NEAR: usize = 20;

/// The length of the string at the start of `near` without its quotes.
#[inline(always)]
fn short_string(near: &[u8; NEAR]) -> Option<usize> {
    if near[0] != b'"' {
        return None;
    }
    // Sixteen bytes without a stop may still be followed by the quote.
    let len = (Lanes::of(near, 1)?.string_stops() | 1 << 16).trailing_zeros() as usize;
    (near[1 + len] == b'"').then_some(len)
}

/// The length of the string, integer or literal at the start of `near`. Fractions are left to [`short_number`], because
/// looking for them here would cost the others, of which there are more, a third.
#[inline(always)]
fn short_value(near: &[u8; NEAR]) -> Option<usize> {
    match near[0] {
        b'"' => short_string(near).map(|len| len + 2),
        b'0'..=b'9' => {
            let len = decimal::integer_len(Lanes::of(near, 0)?)?;
            matches!(near.get(len)?, b',' | b'}' | b']').then_some(len)
        }
        b't' if near[1..4] == *b"rue" => Some(4),
        b'f' if near[1..5] == *b"alse" => Some(5),
        b'n' if near[1..4] == *b"ull" => Some(4),
        _ => None,
    }
}

/// The length of the bare number at the start of `near`, if a comma or bracket follows.
#[inline(always)]
fn short_number(near: &[u8; NEAR]) -> Option<usize> {
    let minus = usize::from(near[0] == b'-');
    let len = minus + decimal::short_len(Lanes::of(near, minus)?)?;
    matches!(near.get(len)?, b',' | b'}' | b']').then_some(len)
}

/// The mantissa of the number at the start of `near`, bare or in quotes, and the length of its text.
#[inline(always)]
fn short_decimal(near: &[u8; NEAR], scaler: &Scaler) -> Option<(i64, usize)> {
    let quote = usize::from(near[0] == b'"');
    let minus = usize::from(near[quote] == b'-');
    let (mantissa, len) = scaler.decimal(Lanes::of(near, quote + minus)?)?;
    let len = ended(near, quote + minus + len)?;
    Some((if minus == 1 { -mantissa } else { mantissa }, len))
}

/// The integer at the start of `near`, bare or in quotes, after `minus` bytes of sign, and the length of its text.
#[inline(always)]
fn short_integer(near: &[u8; NEAR], minus: usize) -> Option<(u64, usize)> {
    let start = usize::from(near[0] == b'"') + minus;
    let (value, len) = decimal::integer(Lanes::of(near, start)?)?;
    Some((value, ended(near, start + len)?))
}

/// The same with its sign.
#[inline(always)]
fn short_signed(near: &[u8; NEAR]) -> Option<(i64, usize)> {
    let quote = usize::from(near[0] == b'"');
    let minus = usize::from(near[quote] == b'-');
    let (value, len) = short_integer(near, minus)?;
    // At most 15 digits.
    Some((if minus == 1 { -(value as i64) } else { value as i64 }, len))
}

/// The length of the text of a number whose digits end at `end`, if that is what follows there.
#[inline(always)]
fn ended(near: &[u8; NEAR], end: usize) -> Option<usize> {
    let after = *near.get(end)?;
    if near[0] == b'"' {
        return (after == b'"').then_some(end + 1);
    }
    ends_number(after).then_some(end)
}

/// Where [`Cursor::plain_rows`] stopped: before the next row, or behind the last one it read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    Next,
    Last,
}

/// No less than the longest text that [`plain_cells`] looks at: `["`, 17 digits and points, `","`, 17 more and a quote.
const ROW: usize = 48;

/// Rows from `at` on as [`pairs::rows`] reads them, as long as there is room.
#[inline(always)]
fn usual_rows(text: &[u8], at: usize, scales: [u8; 2], levels_max: usize, out: &mut Vec<Level>) -> (usize, bool) {
    pairs::rows(text, at, scales, |price, qty| {
        let fits = out.len() < levels_max;
        if fits {
            out.push(Level { price, qty });
        }
        fits
    })
}

/// The cells `["digits.digits","digits.digits"` at the start of `near`, as nearly all venues begin their rows, or the
/// same without quotes, and the length of their text. Anything else is left to [`Cursor::any_row`].
#[inline(always)]
fn plain_cells(near: &[u8; ROW], scalers: [&Scaler; 2]) -> Option<(Level, usize)> {
    if near[0] != b'[' {
        return None;
    }
    if near[1] == b'"' {
        let (price, comma) = cell(near, 2, scalers[0])?;
        if near.get(comma..comma + 3)? != b"\",\"" {
            return None;
        }
        let (qty, quote) = cell(near, comma + 3, scalers[1])?;
        if *near.get(quote)? != b'"' {
            return None;
        }
        let (price, qty) = Parts::pair([price, qty], scalers)?;
        return Some((Level { price, qty }, quote + 1));
    }
    let (price, comma) = cell(near, 1, scalers[0])?;
    if *near.get(comma)? != b',' {
        return None;
    }
    // What follows is looked at by who goes on from there.
    let (qty, end) = cell(near, comma + 1, scalers[1])?;
    let (price, qty) = Parts::pair([price, qty], scalers)?;
    Some((Level { price, qty }, end))
}

/// The number from `start` on, and where it ends.
#[inline(always)]
fn cell(near: &[u8; ROW], start: usize, scaler: &Scaler) -> Option<(Parts, usize)> {
    let bytes_from = |index: usize| match near.get(start + index..).and_then(<[u8]>::first_chunk::<8>) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => 0,
    };
    let (parts, len) = scaler.parts(Lanes::of(near, start)?, bytes_from)?;
    Some((parts, start + len))
}

/// The same where the text ends soon.
#[inline(never)]
fn plain_cells_at_end(rest: &[u8], scalers: [&Scaler; 2]) -> Option<(Level, usize)> {
    let mut near = [0; ROW];
    near.get_mut(..rest.len())?.copy_from_slice(rest);
    plain_cells(&near, scalers)
}

/// Goes over the cells from `at` on to behind the `]`. `None` if there is anything else or an error.
#[inline(always)]
fn end_of_row(text: &[u8], mut at: usize) -> Option<usize> {
    if *text.get(at)? == b']' {
        return Some(at + 1);
    }
    // Further cells are numbers as a rule, like the number of orders.
    if let Some(near) = text.get(at..)?.first_chunk::<16>()
        && let Some(len) = Lanes::of(near, 0)?.end_of_numbers()
        && near.get(len) == Some(&b']')
    {
        return Some(at + len + 1);
    }
    while *text.get(at)? == b',' {
        let mut cell = Cursor { text, position: at + 1 };
        cell.skip().ok()?;
        at = cell.position;
    }
    (*text.get(at)? == b']').then_some(at + 1)
}

/// What [`Cursor::levels`] found besides levels.
#[derive(Default)]
struct OddLevels {
    price_scale: Option<u8>,
    qty_scale: Option<u8>,
    rejected: u32,
}

/// The index of the first byte from `start` on that a JSON string cannot hold as it is: quote, backslash or control
/// character. The length of the text if there is none.
#[inline(always)]
fn string_stop(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(lanes) = Lanes::load(text, at) {
        let stops = lanes.string_stops();
        if stops != 0 {
            // Behind the end of the text a block is filled with zeros, which count as control characters.
            return (at + stops.trailing_zeros() as usize).min(text.len());
        }
        at += 16;
    }
    if text.len() >= 16 {
        return text.len();
    }
    let stop = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    text.get(start..).and_then(|rest| rest.iter().position(stop)).map_or(text.len(), |found| start + found)
}

/// Whether a byte can follow a bare number: anything that cannot be part of one.
#[inline(always)]
fn ends_number(byte: u8) -> bool {
    !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

/// The length of the number at the start of `text`, or `None` if there is none or something sticks to its end.
fn number_len(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let integer = digits(at);
    if integer == 0 || (integer > 1 && text[at] == b'0') {
        return None;
    }
    at += integer;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    text.get(at).is_none_or(|&byte| ends_number(byte)).then_some(at)
}

/// The magnitude of an integer, and whether it is negative.
pub(super) fn integer(text: &[u8], signed: bool) -> Result<(u64, bool), DecimalError> {
    let (digits, negative) = match text {
        [b'-', digits @ ..] if signed => (digits, true),
        _ => (text, false),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) || (digits.len() > 1 && digits[0] == b'0') {
        return Err(DecimalError::Syntax);
    }
    let value =
        digits.iter().try_fold(0_u64, |value, &digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    Ok((value.ok_or(DecimalError::Overflow)?, negative))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const UNEXPECTED: JsonErrorKind = JsonErrorKind::Unexpected;
    const TRUNCATED: JsonErrorKind = JsonErrorKind::Truncated;

    fn level(price: i64, qty: i64) -> Level {
        Level { price, qty }
    }

    /// What `levels` makes of a text that is an array of rows and nothing else.
    fn levels(text: &str, price_scale: u8, qty_scale: u8) -> Result<(Vec<Level>, u32), JsonErrorKind> {
        let mut out = vec![level(-1, -1)];
        let mut cursor = Cursor::new(text.as_bytes());
        let result = cursor.levels(price_scale, qty_scale, 100, &mut out);
        assert_eq!(out[0], level(-1, -1), "what was there stays");
        match result {
            Ok(rejected) => {
                cursor.finish().unwrap();
                Ok((out.split_off(1), rejected))
            }
            Err(error) => {
                assert_eq!(out.len(), 1, "nothing is left of an array that failed");
                Err(error.kind)
            }
        }
    }

    #[test]
    fn a_depth_update_of_binance() {
        // Spot `<symbol>@depth`, 2021.
        let text = br#"{"e":"depthUpdate","E":1633998523964,"s":"NKNUSDT","U":499869750,"u":499869752,"b":[["0.35210000","672.00000000"],["0.35190000","0.00000000"]],"a":[]}"#;
        let mut cursor = Cursor::new(text);
        let (mut event, mut symbol, mut last, mut bids, mut asks) = ("", "", 0, Vec::new(), vec![level(1, 1)]);
        cursor
            .object(|c, key| {
                match key {
                    b"e" => event = c.str()?,
                    b"s" => symbol = c.str()?,
                    b"u" => last = c.u64()?,
                    b"b" => assert_eq!(c.levels(4, 2, 8, &mut bids)?, 0),
                    b"a" => assert_eq!(c.levels(4, 2, 8, &mut asks)?, 0),
                    _ => c.skip()?,
                }
                Ok(())
            })
            .unwrap();
        cursor.finish().unwrap();
        assert_eq!((event, symbol, last), ("depthUpdate", "NKNUSDT", 499_869_752));
        assert_eq!(bids, [level(3521, 67_200), level(3519, 0)]);
        assert_eq!(asks, [level(1, 1)]);
    }

    #[test]
    fn rows_of_every_shape_are_levels() {
        let expected = vec![level(302_494, 0), level(302_610, 4)];
        for text in [
            r#"[["30249.4","0"],["30261","4"]]"#,
            r#"[["30249.4","0","0","0"],["30261","4","0","1"]]"#,
            r#"[["30249.40000000","0.00000000","1618678133.365913"],["30261.00000000","4.00000000","1618678133.365913","r"]]"#,
            "[[30249.4,0],[30261,4]]",
            "[[3.02494e4,0e7],[3.0261E+4,4.0]]",
            " [ [ \"30249.4\" , \"0\" ] , [ 30261 ,\n4 , {\"a\":[1]} , null ] ]",
            r#"[["30249.4",0],[30261,"4"]]"#,
        ] {
            assert_eq!(levels(text, 1, 0), Ok((expected.clone(), 0)), "{text}");
            // The same where the text goes on, so that no block is the last one.
            let longer = format!("{text}                                                   ");
            assert_eq!(levels(&longer, 1, 0), Ok((expected.clone(), 0)), "{text}");
        }
        assert_eq!(levels("[]", 1, 0), Ok((vec![], 0)));
        assert_eq!(levels("[ ]", 1, 0), Ok((vec![], 0)));
        // A quantity below zero is a matter of the venue (bitfinex sends asks that way).
        assert_eq!(levels("[[\"1\",\"-2.5\"],[1.5,-2]]", 1, 1), Ok((vec![level(10, -25), level(15, -20)], 0)));
    }

    #[test]
    fn finer_scales_are_named_for_the_whole_array() {
        let inexact = |price_scale, qty_scale| Err(JsonErrorKind::Inexact { price_scale, qty_scale });
        let text = r#"[["1.5","2"],["1.25","0.001"],["1.125","0.01"]]"#;
        assert_eq!(levels(text, 1, 0), inexact(Some(3), Some(3)));
        assert_eq!(levels(text, 3, 0), inexact(None, Some(3)));
        assert_eq!(levels(text, 2, 3), inexact(Some(3), None));
        let exact = vec![level(1500, 2000), level(1250, 1), level(1125, 10)];
        assert_eq!(levels(text, 3, 3), Ok((exact, 0)));
    }

    #[test]
    fn a_level_that_no_scale_holds_is_left_out_alone() {
        // Hitbtc has sent prices of 9999999999.99999.
        let text = r#"[["1.5","2"],["9999999999.99999","1.123"],["1.5","12345678901234567890"],["2","3"]]"#;
        assert_eq!(levels(text, 10, 0), Ok((vec![level(15_000_000_000, 2), level(20_000_000_000, 3)], 2)));
        // Its scale is not asked for, because that would not help it.
        assert_eq!(levels(r#"[["1.5","99999999999999999999.5"]]"#, 0, 0), Ok((vec![], 1)));
    }

    #[test]
    fn levels_have_a_maximum() {
        let mut out = vec![level(9, 9)];
        let text = br#"[["1","1"],["2","2"]]"#;
        let error = Cursor::new(text).levels(0, 0, 2, &mut out).unwrap_err();
        assert_eq!((error.kind, out.as_slice()), (JsonErrorKind::LevelsMax, &[level(9, 9)][..]));
        assert_eq!(Cursor::new(text).levels(0, 0, 3, &mut out), Ok(0));
        assert_eq!(out, [level(9, 9), level(1, 1), level(2, 2)]);
    }

    #[test]
    fn broken_rows_are_errors() {
        let syntax = JsonErrorKind::Number(DecimalError::Syntax);
        let cases = [
            ("", TRUNCATED),
            ("{}", UNEXPECTED),
            ("[", TRUNCATED),
            ("[[", TRUNCATED),
            ("[[]]", UNEXPECTED),
            (r#"[["1"]]"#, UNEXPECTED),
            (r#"[["1","2"]"#, TRUNCATED),
            (r#"[["1","2""#, TRUNCATED),
            (r#"[["1","2"],]"#, UNEXPECTED),
            (r#"[["1","2"]["1","2"]]"#, UNEXPECTED),
            (r#"[["1","2x],["1","2"]]"#, syntax),
            (r#"[["1","2]],["1","2"]]"#, syntax),
            (r#"[["1,"2"],["1","2"]]"#, syntax),
            ("[[1,2x],[1,2]]", UNEXPECTED),
            ("[[1,2.3.4],[1,2]]", syntax),
            ("[[1,2}", UNEXPECTED),
            (r#"[["1","2",]]"#, UNEXPECTED),
            (r#"[["1","2" "3"]]"#, UNEXPECTED),
            (r#"[["1","2","3]]"#, TRUNCATED),
            (r#"[["1","2","3","\x"]]"#, JsonErrorKind::Escape),
            (r#"[["1";"2"]]"#, UNEXPECTED),
            (r#"[["","2"]]"#, syntax),
            (r#"[["01","2"]]"#, syntax),
            (r#"[["1.","2"]]"#, syntax),
            (r#"[["1","2x"]]"#, syntax),
            (r#"[["1","2.3.4"]]"#, syntax),
            (r#"[["1",2.]]"#, syntax),
            (r#"[["1",null]]"#, UNEXPECTED),
            (r#"[["1\u0030","2"]]"#, JsonErrorKind::Escape),
        ];
        for (text, kind) in cases {
            assert_eq!(levels(text, 2, 2), Err(kind), "{text}");
        }
    }

    #[test]
    fn leaves() {
        let c = |text: &'static str| Cursor::new(text.as_bytes());
        assert_eq!(c("18446744073709551615").u64(), Ok(u64::MAX));
        assert_eq!(c("\"6447481662169813000\",").u64(), Ok(6_447_481_662_169_813_000));
        assert_eq!(c("1633998523963,\"s\":\"NKNUSDT\"").u64(), Ok(1_633_998_523_963));
        assert_eq!(c("-9223372036854775808").i64(), Ok(i64::MIN));
        assert_eq!(c("\"-890884919\",12345678").i64(), Ok(-890_884_919));
        assert_eq!(c("[-890884919,12345678]").array(|c| c.i64().map(drop)), Ok(()));
        assert_eq!(c("  true ").bool(), Ok(true));
        assert_eq!(c("false").bool(), Ok(false));
        assert_eq!(c("\"1.50\"").decimal(3), Ok(1500));
        assert_eq!(c("1.50").decimal(3), Ok(1500));
        assert_eq!(c("-1.50,              ").decimal(3), Ok(-1500));
        assert_eq!(c("1.5e2,              ").decimal(0), Ok(150));
        assert_eq!(c("\"1.5e2\",          ").decimal(0), Ok(150));
        assert_eq!(
            c("0.1875391284828123456,   ").fixed().map(|f| f.to_string()),
            Err(JsonError::new(JsonErrorKind::Number(DecimalError::Overflow), 0))
        );
        assert_eq!(
            c("0.1875391284828123456,   ").fixed_round().map(|f| f.to_string()),
            Ok("0.187539128482812346".into())
        );
        assert_eq!(c("\"0.0100\"").fixed().map(|f| f.to_string()), Ok("0.01".into()));
        assert_eq!(c("\"1e-08\"").number_text(), Ok(&b"1e-08"[..]));
        assert_eq!(c("1e-08}").number_text(), Ok(&b"1e-08"[..]));
        assert_eq!(c("\"BTC/USD\"").str(), Ok("BTC/USD"));
        assert_eq!(c("\"\u{e9}\"").bytes(), Ok("\u{e9}".as_bytes()));
        assert_eq!(c(" {\"a\" : [ 1 , 2 ] } x").raw(), Ok(&b"{\"a\" : [ 1 , 2 ] }"[..]));
        assert_eq!(c(r#""a\"b""#).raw_str(), Ok(r#"a\"b"#));
        let mut cursor = c("null \"\" \"x\" nul");
        assert!(cursor.null() && cursor.absent() && !cursor.absent());
        assert_eq!(cursor.str(), Ok("x"));
        assert!(!cursor.null() && !cursor.absent());
        assert!(c("[ ]").is_empty_array() && !c("[1]").is_empty_array());
        let kinds = ["{", "[", "\"", "-1", "0", "t", "f", "n", "", " ", "x"].map(|text| c(text).peek());
        use Kind::*;
        assert_eq!(kinds, [Object, Array, String, Number, Number, Bool, Bool, Null, End, End, Invalid]);
    }

    #[test]
    fn an_array_of_unlike_elements() {
        // Kraken v1: [channelID, payload, channelName, pair].
        let mut c = Cursor::new(br#"[992,{"b":[]},"book-1000","XMR/USD"]"#);
        c.open_array().unwrap();
        assert_eq!(c.u64(), Ok(992));
        c.comma().unwrap();
        c.skip().unwrap();
        c.comma().unwrap();
        assert_eq!(c.str(), Ok("book-1000"));
        c.close_array().unwrap();
        c.finish().unwrap();
        for (text, rest) in [("[]", Ok(())), ("[1,2]", Ok(())), ("[ 1 ]", Ok(()))] {
            let mut c = Cursor::new(text.as_bytes());
            c.open_array().unwrap();
            assert_eq!(c.close_array().and_then(|()| c.finish()), rest, "{text}");
        }
        let mut c = Cursor::new(b"[1 2]");
        c.open_array().unwrap();
        c.u64().unwrap();
        assert_eq!(c.close_array().map_err(|error| error.kind), Err(UNEXPECTED));
    }

    #[test]
    fn errors_say_what_and_where() {
        let at = |kind, offset| JsonError { kind, offset };
        let c = |text: &'static str| Cursor::new(text.as_bytes());
        assert_eq!(c("12x,").skip(), Ok(()), "what sticks to a number is found by who reads on");
        assert_eq!(c("  tru").bool(), Err(at(TRUNCATED, 2)));
        assert_eq!(c("  trux").bool(), Err(at(UNEXPECTED, 2)));
        assert_eq!(c("  \"ab").str(), Err(at(TRUNCATED, 5)));
        assert_eq!(c("\"a\\nb\"").str(), Err(at(JsonErrorKind::Escape, 2)));
        assert_eq!(c("\"a\nb\"").str(), Err(at(UNEXPECTED, 2)));
        assert_eq!(c(" -1").u64(), Err(at(JsonErrorKind::Number(DecimalError::Syntax), 1)));
        assert_eq!(c("1.0").u64(), Err(at(JsonErrorKind::Number(DecimalError::Syntax), 0)));
        assert_eq!(c("\"18446744073709551616\"").u64(), Err(at(JsonErrorKind::Number(DecimalError::Overflow), 1)));
        assert_eq!(c(" 0.125,").decimal(2), Err(at(JsonErrorKind::Number(DecimalError::Inexact { scale: 3 }), 1)));
        assert_eq!(c("[] x").raw().map(drop).and(Ok(())), Ok(()));
        assert_eq!(Cursor::new(b"\"\xff\"").str(), Err(at(JsonErrorKind::Utf8, 0)));
        let text = c(" 0.125,").decimal(2).unwrap_err().to_string();
        assert_eq!(text, "more decimals than the scale holds, 3 are needed at byte 1");
        assert!(size_of::<JsonError>() <= 12, "{}", size_of::<JsonError>());
    }

    #[test]
    fn depth_has_a_limit() {
        let max = DEPTH_MAX as usize;
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(Cursor::new(nested(max).as_bytes()).skip(), Ok(()));
            let error = Cursor::new(nested(max + 1).as_bytes()).skip().unwrap_err();
            assert_eq!(error.kind, JsonErrorKind::Depth);
        }
        let flat = format!("[{}[]]", "[[]],".repeat(500));
        assert_eq!(Cursor::new(flat.as_bytes()).skip(), Ok(()));
    }

    #[test]
    fn escapes_resolve_like_those_of_serde() {
        let texts = [
            r#""plain""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u00e9\u20AC""#,
            r#""\ud83d\ude00 x""#,
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83dx""#,
            r#""\ud83d\u0041""#,
            r#""\u12""#,
            r#""\x""#,
            r#""\"#,
            r#""\u00zz""#,
            r#""\u+123""#,
            "\"\u{1}\"",
            "\"a\u{7f}\"",
        ];
        for text in texts {
            let mut out = "old".to_string();
            let ours = Cursor::new(text.as_bytes()).string(&mut out).ok().map(|()| out);
            assert_eq!(ours, serde_json::from_str::<String>(text).ok(), "{text}");
        }
    }

    /// Reads a text into the tree that serde_json would make of it, with every number as its text.
    fn tree(c: &mut Cursor<'_>) -> Result<Value, JsonError> {
        Ok(match c.peek() {
            Kind::Object => {
                let mut members = serde_json::Map::new();
                c.object(|c, key| {
                    let mut name = String::new();
                    let raw = std::str::from_utf8(key).map_err(|_| JsonError::new(JsonErrorKind::Utf8, 0))?;
                    unescape(raw, &mut name)?;
                    members.insert(name, tree(c)?);
                    Ok(())
                })?;
                Value::Object(members)
            }
            Kind::Array => {
                let mut elements = Vec::new();
                c.array(|c| tree(c).map(|value| elements.push(value)))?;
                Value::Array(elements)
            }
            Kind::String => {
                let mut out = String::new();
                c.string(&mut out)?;
                Value::String(out)
            }
            Kind::Number => {
                // Through serde only because it writes exponents its own way; the digits are those of the text.
                Value::Number(serde_json::from_slice(c.number_text()?).unwrap())
            }
            Kind::Bool => Value::Bool(c.bool()?),
            _ if c.null() => Value::Null,
            _ => return Err(c.unexpected()),
        })
    }

    fn whole(text: &[u8]) -> Result<Value, JsonError> {
        let mut cursor = Cursor::new(text);
        let value = tree(&mut cursor)?;
        cursor.finish()?;
        Ok(value)
    }

    fn skipped(text: &[u8]) -> Result<(), JsonError> {
        let mut cursor = Cursor::new(text);
        cursor.skip()?;
        cursor.finish()
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,12})?([eE][-+]?[0-9]{1,3})?",
            "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,8})?",
            "\"(0|[1-9][0-9]{0,9})(\\.[0-9]{1,8})?\"",
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            "\"[a-z]{0,40}(\\\\u[0-9a-f]{4}|\\\\n|\\\\\")?[a-z]{0,20}\"",
        ];
        let blank = prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\t\r\n ")];
        leaf.prop_recursive(5, 40, 6, move |inner| {
            let cell = (blank.clone(), inner, blank.clone())
                .prop_map(|(before, value, after)| format!("{before}{value}{after}"));
            let member = ("\"[a-zA-Z]{0,20}\"", cell.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
            prop_oneof![
                prop::collection::vec(cell, 0..6).prop_map(|cells| format!("[{}]", cells.join(","))),
                prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]

        #[test]
        fn what_is_read_is_what_serde_reads(text in value()) {
            let serde = serde_json::from_str::<Value>(&text);
            prop_assert_eq!(whole(text.as_bytes()).ok(), serde.ok());
            prop_assert_eq!(skipped(text.as_bytes()), Ok(()));
        }

        #[test]
        fn damaged_text_is_judged_like_by_serde(
            text in value(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
                Just(b'"'), Just(b'\\'), Just(b','), Just(b']'), Just(b'}'), Just(b'['), Just(b'{'), Just(b':'), Just(b'0'),
                Just(b'.'), Just(b'e'), Just(b'-'), Just(b' '), any::<u8>(),
            ], 0..3_u8), 1..3),
        ) {
            let mut bytes = text.into_bytes();
            for (place, byte, how) in damage {
                if bytes.is_empty() {
                    break;
                }
                let place = place.index(bytes.len());
                match how {
                    0 => bytes[place] = byte,
                    1 => bytes.insert(place, byte),
                    _ => drop(bytes.remove(place)),
                }
            }
            prop_assert_eq!(whole(&bytes).ok(), serde_json::from_slice::<Value>(&bytes).ok(), "{:?}", bytes);
            // What is skipped need not be UTF-8; serde's raw values have to be.
            if let Ok(text) = std::str::from_utf8(&bytes) {
                let raw = serde_json::from_str::<&serde_json::value::RawValue>(text);
                prop_assert_eq!(skipped(&bytes).is_ok(), raw.is_ok(), "{}", text);
            }
        }

        #[test]
        fn a_text_cut_anywhere_is_an_error(text in value().prop_filter("closed", |text| text.ends_with([']', '}'])), cut in any::<prop::sample::Index>()) {
            let cut = &text.as_bytes()[..cut.index(text.len())];
            prop_assert!(skipped(cut).is_err());
            prop_assert!(whole(cut).is_err());
        }

        #[test]
        fn levels_are_what_serde_and_the_decimals_say(
            rows in prop::collection::vec(
                ("\"(0|[1-9][0-9]{0,8})(\\.[0-9]{1,9})?\"|(0|[1-9][0-9]{0,5})(\\.[0-9]{1,3})?", "\"(0|[1-9][0-9]{0,5})(\\.[0-9]{1,4})?\"|[0-9]\\.[0-9]{1,8}0{0,4}", "(,\"[0-9]\"|,1|,\\[\\]){0,2}"),
                0..6,
            ),
            blank in prop_oneof![Just(""), Just(" ")],
            price_scale in 0..=10_u8,
            qty_scale in 0..=10_u8,
        ) {
            let rows: Vec<String> = rows.iter().map(|(p, q, more)| format!("{blank}[{p},{blank}{q}{more}{blank}]")).collect();
            let text = format!("[{}]", rows.join(","));
            let mut expected = Vec::new();
            let (mut rejected, mut price_needed, mut qty_needed) = (0, None, None);
            let rows: Vec<Vec<Value>> = serde_json::from_str(&text).unwrap();
            for row in rows {
                let number = |value: &Value, scale| decimal::parse_exact(value.as_str().map_or(value.to_string(), String::from).as_bytes(), scale);
                let (price, qty) = (number(&row[0], price_scale), number(&row[1], qty_scale));
                if price == Err(DecimalError::Overflow) || qty == Err(DecimalError::Overflow) {
                    rejected += 1;
                    continue;
                }
                if let Err(DecimalError::Inexact { scale }) = price {
                    price_needed = price_needed.max(Some(scale));
                }
                if let Err(DecimalError::Inexact { scale }) = qty {
                    qty_needed = qty_needed.max(Some(scale));
                }
                if let (Ok(price), Ok(qty)) = (price, qty) {
                    expected.push(level(price, qty));
                }
            }
            let expected = match (price_needed, qty_needed) {
                (None, None) => Ok((expected, rejected)),
                (price_scale, qty_scale) => Err(JsonErrorKind::Inexact { price_scale, qty_scale }),
            };
            prop_assert_eq!(levels(&text, price_scale, qty_scale), expected);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), scale in 0..=20_u8) {
            let c = Cursor::new(&bytes);
            let _ = (whole(&bytes), skipped(&bytes), { c }.levels(scale, scale, 4, &mut Vec::new()));
            let _ = ({ c }.decimal(scale), { c }.u64(), { c }.i64(), { c }.number_text(), { c }.str(), { c }.fixed(), { c }.fixed_round());
            let _ = ({ c }.bool(), { c }.null(), { c }.absent(), { c }.raw(), { c }.is_empty_array(), { c }.close_array());
        }
    }
}
