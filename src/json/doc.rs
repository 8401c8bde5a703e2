//! A reader that takes in a message as a whole, for members that come in any order.
//!
//! ```
//! use wirebook::json::DocParser;
//!
//! let mut parser = DocParser::new();
//! let doc = parser.parse(br#"{"data":[{"px":"0.5","sz":12.50,"ts":1630048897897}],"code":null}"#)?;
//! let row = doc.root().member("data")?.element(0)?;
//! assert_eq!(row.member("px")?.decimal(2), Ok(50));
//! assert_eq!(row.member("sz")?.decimal(2), Ok(1250));
//! assert_eq!(row.member("ts")?.u64(), Ok(1_630_048_897_897));
//! assert!(doc.root().get("code").is_some_and(|code| code.is_null()));
//! # Ok::<(), wirebook::json::JsonError>(())
//! ```
//!
//! A thin view over the tape of simd-json, whose buffers are kept from message to message: after the largest message
//! nothing is allocated any more. The text is copied once, because the tape puts unescaped strings where the escaped
//! ones were; numbers are read from the text itself. So a decimal is exact to its last digit, although the tape keeps
//! it as an `f64`.
//!
//! Use [`Cursor`](super::Cursor) where a message is frequent and its members come in a known order.

use super::{Cursor, DEPTH_MAX, JsonError, JsonErrorKind, Kind, cursor::integer};
use crate::decimal::{self, DecimalError, Fixed};
use rust_decimal::Decimal;
use simd_json::{Buffers, ErrorType, INPUT_PADDING, Node as TapeNode, StaticNode, Tape};

/// Reads messages into buffers that it keeps. One for each connection, or one for all.
pub struct DocParser {
    buffers: Buffers,
    /// `None` only while a [`Doc`] has it.
    tape: Option<Tape<'static>>,
    /// The text with the padding that simd-json reads beyond its end.
    work: Vec<u8>,
    floats: Vec<Float>,
}

/// A number that the tape keeps as an `f64`.
#[derive(Clone, Copy, Debug)]
struct Float {
    /// Its place in the tape.
    node: u32,
    /// Its place in the text.
    offset: u32,
}

impl DocParser {
    /// A parser without buffers; they grow with the messages.
    pub fn new() -> DocParser {
        DocParser::with_capacity(0)
    }

    /// A parser with buffers for messages of `text_len` bytes.
    pub fn with_capacity(text_len: usize) -> DocParser {
        DocParser {
            buffers: Buffers::with_max_depth(text_len, DEPTH_MAX as usize),
            // A node for every four bytes is more than messages have.
            tape: Some(Tape(Vec::with_capacity(text_len / 4))),
            work: Vec::with_capacity(text_len + INPUT_PADDING),
            floats: Vec::new(),
        }
    }

    /// Reads a text as a whole. The result lends the buffers until it is dropped.
    ///
    /// # Errors
    /// Those of the text; arrays and objects deeper than [`DEPTH_MAX`], and floating-point numbers beyond the range of
    /// an `f64`, are errors too.
    pub fn parse<'p>(&'p mut self, text: &'p [u8]) -> Result<Doc<'p>, JsonError> {
        let DocParser { buffers, tape: slot, work, floats } = self;
        work.clear();
        work.extend_from_slice(text);
        work.extend_from_slice(&[b' '; INPUT_PADDING]);
        let base = work.as_ptr().addr();
        let mut tape = slot.take().map_or(Tape(Vec::new()), Tape::reset);
        floats.clear();
        // Whatever happens, the memory of the tape has to come back.
        if let Err(error) = simd_json::fill_tape_padded(work, text.len(), buffers, &mut tape) {
            *slot = Some(tape.reset());
            return Err(error_of(&error, text));
        }
        if !locate_floats(&tape.0, buffers.structural_indexes(), text, floats) {
            *slot = Some(tape.reset());
            return Err(JsonError::new(JsonErrorKind::Unexpected, 0));
        }
        Ok(Doc { tape, slot, text, floats, base })
    }
}

impl Default for DocParser {
    fn default() -> DocParser {
        DocParser::new()
    }
}

impl std::fmt::Debug for DocParser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocParser").field("capacity", &self.work.capacity()).finish_non_exhaustive()
    }
}

/// A message that was read.
pub struct Doc<'p> {
    tape: Tape<'p>,
    slot: &'p mut Option<Tape<'static>>,
    text: &'p [u8],
    floats: &'p [Float],
    /// The address at which the tape's strings were read, for the places of errors.
    base: usize,
}

impl Drop for Doc<'_> {
    fn drop(&mut self) {
        *self.slot = Some(std::mem::replace(&mut self.tape, Tape(Vec::new())).reset());
    }
}

impl std::fmt::Debug for Doc<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.text))
    }
}

impl Doc<'_> {
    /// The value that the text is.
    pub fn root(&self) -> Node<'_> {
        Node { doc: self, index: 0 }
    }

    /// The value of a member of the root, if that is an object and has it.
    pub fn get(&self, key: &str) -> Option<Node<'_>> {
        self.root().get(key)
    }
}

/// A value in a [`Doc`].
///
/// Readers of a leaf fail where the value is of another kind; [`Node::get`] and its kin find nothing then.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    doc: &'a Doc<'a>,
    index: usize,
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.tape_node())
    }
}

impl<'a> Node<'a> {
    /// The kind of the value.
    pub fn kind(self) -> Kind {
        match self.tape_node() {
            TapeNode::Object { .. } => Kind::Object,
            TapeNode::Array { .. } => Kind::Array,
            TapeNode::String(_) => Kind::String,
            TapeNode::Static(StaticNode::Null) => Kind::Null,
            TapeNode::Static(StaticNode::Bool(_)) => Kind::Bool,
            TapeNode::Static(_) => Kind::Number,
        }
    }

    /// The member of an object, the first if there are several of that name. Looks at the keys in turn.
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        self.entries().find(|&(name, _)| name == key).map(|(_, value)| value)
    }

    /// The member of an object.
    ///
    /// # Errors
    /// `Missing` if there is none of that name.
    pub fn member(self, key: &str) -> Result<Node<'a>, JsonError> {
        self.get(key).ok_or_else(|| self.error(JsonErrorKind::Missing))
    }

    /// The element of an array at an index from 0 on. Walks there from the first one.
    pub fn at(self, index: usize) -> Option<Node<'a>> {
        self.iter().nth(index)
    }

    /// The element of an array at an index from 0 on.
    ///
    /// # Errors
    /// `Missing` if there is none.
    pub fn element(self, index: usize) -> Result<Node<'a>, JsonError> {
        self.at(index).ok_or_else(|| self.error(JsonErrorKind::Missing))
    }

    /// The elements of an array; none for any other value.
    pub fn iter(self) -> Elements<'a> {
        let left = match self.tape_node() {
            TapeNode::Array { len, .. } => *len,
            _ => 0,
        };
        Elements { doc: self.doc, next: self.index + 1, left }
    }

    /// The members of an object, keys unescaped; none for any other value.
    pub fn entries(self) -> Entries<'a> {
        let left = match self.tape_node() {
            TapeNode::Object { len, .. } => *len,
            _ => 0,
        };
        Entries { doc: self.doc, next: self.index + 1, left }
    }

    /// How many elements or members an array or object has, otherwise 0.
    pub fn len(self) -> usize {
        match self.tape_node() {
            TapeNode::Array { len, .. } | TapeNode::Object { len, .. } => *len,
            _ => 0,
        }
    }

    /// Whether there are no elements or members.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// A string, unescaped.
    ///
    /// # Errors
    /// `Unexpected` for another kind.
    pub fn str(self) -> Result<&'a str, JsonError> {
        match self.tape_node() {
            TapeNode::String(text) => Ok(text),
            _ => Err(self.error(JsonErrorKind::Unexpected)),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// `Unexpected` for another kind.
    pub fn bool(self) -> Result<bool, JsonError> {
        match self.tape_node() {
            TapeNode::Static(StaticNode::Bool(value)) => Ok(*value),
            _ => Err(self.error(JsonErrorKind::Unexpected)),
        }
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        matches!(self.tape_node(), TapeNode::Static(StaticNode::Null))
    }

    /// Whether the value is `null` or `""`. Some venues write the one for the other.
    pub fn is_absent(self) -> bool {
        matches!(self.tape_node(), TapeNode::Static(StaticNode::Null) | TapeNode::String(""))
    }

    /// An integer that is not negative, bare or in quotes, without point and exponent.
    ///
    /// # Errors
    /// `Number`, or `Unexpected` for another kind.
    pub fn u64(self) -> Result<u64, JsonError> {
        match self.tape_node() {
            TapeNode::Static(StaticNode::U64(value)) => Ok(*value),
            TapeNode::Static(StaticNode::I64(_)) => Err(self.number(DecimalError::Syntax)),
            _ => self.with_text(|text| integer(text, false).map(|(magnitude, _)| magnitude)),
        }
    }

    /// An integer, bare or in quotes, without point and exponent.
    ///
    /// # Errors
    /// `Number`, or `Unexpected` for another kind.
    pub fn i64(self) -> Result<i64, JsonError> {
        match self.tape_node() {
            TapeNode::Static(StaticNode::I64(value)) => Ok(*value),
            TapeNode::Static(StaticNode::U64(value)) => {
                i64::try_from(*value).map_err(|_| self.number(DecimalError::Overflow))
            }
            _ => self.with_text(|text| {
                let (magnitude, negative) = integer(text, true)?;
                let value = if negative {
                    0_i64.checked_sub_unsigned(magnitude)
                } else {
                    0_i64.checked_add_unsigned(magnitude)
                };
                value.ok_or(DecimalError::Overflow)
            }),
        }
    }

    /// A number, bare or in quotes, as a mantissa at `scale`.
    ///
    /// # Errors
    /// `Number` with the reason, see [`decimal::parse_exact`]; `Unexpected` for another kind.
    pub fn decimal(self, scale: u8) -> Result<i64, JsonError> {
        match self.integer() {
            Some(value) => value.and_then(|value| value.rescale(scale)).map_err(|reason| self.number(reason)),
            None => self.with_text(|text| decimal::parse_exact(text, scale)),
        }
    }

    /// A number, bare or in quotes, at its natural scale.
    ///
    /// # Errors
    /// `Number` with the reason, see [`Fixed::parse_exact`]; `Unexpected` for another kind.
    pub fn fixed(self) -> Result<Fixed, JsonError> {
        match self.integer() {
            Some(value) => value.map_err(|reason| self.number(reason)),
            None => self.with_text(Fixed::parse_exact),
        }
    }

    /// A number, bare or in quotes, rounded where it has more digits than fit. For statistics only.
    ///
    /// # Errors
    /// `Number` with the reason, see [`Fixed::parse_round`]; `Unexpected` for another kind.
    pub fn fixed_round(self) -> Result<Fixed, JsonError> {
        match self.integer() {
            Some(value) => value.map_err(|reason| self.number(reason)),
            None => self.with_text(Fixed::parse_round),
        }
    }

    /// A number, bare or in quotes, of up to 28 digits; further ones are rounded. For what venues compute: balances, fees,
    /// averages.
    ///
    /// # Errors
    /// `Number` with the reason; `Unexpected` for another kind.
    pub fn big_decimal(self) -> Result<Decimal, JsonError> {
        match self.tape_node() {
            TapeNode::Static(StaticNode::I64(value)) => Ok(Decimal::from(*value)),
            TapeNode::Static(StaticNode::U64(value)) => Ok(Decimal::from(*value)),
            _ => self.with_text(|text| {
                let text = std::str::from_utf8(text).map_err(|_| DecimalError::Syntax)?;
                let is_scientific = text.bytes().any(|byte| matches!(byte, b'e' | b'E'));
                let read = if is_scientific { Decimal::from_scientific(text) } else { text.parse() };
                read.map_err(|_| DecimalError::Syntax)
            }),
        }
    }

    fn tape_node(self) -> &'a TapeNode<'a> {
        self.doc.tape.0.get(self.index).unwrap_or(&TapeNode::Static(StaticNode::Null))
    }

    /// The value of a bare integer.
    fn integer(self) -> Option<Result<Fixed, DecimalError>> {
        match self.tape_node() {
            TapeNode::Static(StaticNode::I64(value)) => Some(Ok(Fixed::new(*value, 0))),
            TapeNode::Static(StaticNode::U64(value)) => {
                Some(i64::try_from(*value).map(|value| Fixed::new(value, 0)).map_err(|_| DecimalError::Overflow))
            }
            _ => None,
        }
    }

    /// Reads the text of a number in quotes, or of a bare one that is no integer.
    fn with_text<T>(self, read: impl FnOnce(&[u8]) -> Result<T, DecimalError>) -> Result<T, JsonError> {
        let text = match self.tape_node() {
            TapeNode::String(text) => text.as_bytes(),
            TapeNode::Static(StaticNode::F64(_)) => {
                let offset = self.float_offset().ok_or_else(|| self.error(JsonErrorKind::Unexpected))?;
                number_at(self.doc.text, offset)
            }
            _ => return Err(self.error(JsonErrorKind::Unexpected)),
        };
        read(text).map_err(|reason| self.number(reason))
    }

    fn float_offset(self) -> Option<usize> {
        let found = self.doc.floats.binary_search_by_key(&self.index, |float| float.node as usize).ok()?;
        Some(self.doc.floats[found].offset as usize)
    }

    #[cold]
    fn number(self, reason: DecimalError) -> JsonError {
        self.error(JsonErrorKind::Number(reason))
    }

    /// An error at this value, or where the tape does not say where that is, at the last string before.
    #[cold]
    fn error(self, kind: JsonErrorKind) -> JsonError {
        let offset = (0..=self.index).rev().find_map(|index| match (Node { doc: self.doc, index }).tape_node() {
            TapeNode::String(text) => text.as_ptr().addr().checked_sub(self.doc.base),
            TapeNode::Static(StaticNode::F64(_)) => Node { doc: self.doc, index }.float_offset(),
            _ => None,
        });
        JsonError::new(kind, offset.unwrap_or(0))
    }

    /// Where the next value after this one begins.
    fn end(self) -> usize {
        match self.tape_node() {
            TapeNode::Array { count, .. } | TapeNode::Object { count, .. } => self.index + 1 + count,
            _ => self.index + 1,
        }
    }
}

/// The elements of an array, see [`Node::iter`].
#[derive(Clone, Copy)]
pub struct Elements<'a> {
    doc: &'a Doc<'a>,
    next: usize,
    left: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        self.left = self.left.checked_sub(1)?;
        let node = Node { doc: self.doc, index: self.next };
        self.next = node.end();
        Some(node)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// The members of an object, see [`Node::entries`].
#[derive(Clone, Copy)]
pub struct Entries<'a> {
    doc: &'a Doc<'a>,
    next: usize,
    left: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a str, Node<'a>);

    fn next(&mut self) -> Option<(&'a str, Node<'a>)> {
        self.left = self.left.checked_sub(1)?;
        let key = Node { doc: self.doc, index: self.next }.str().unwrap_or_default();
        let value = Node { doc: self.doc, index: self.next + 1 };
        self.next = value.end();
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Entries<'_> {}

/// Finds where in the text the numbers are that the tape has as floats. Both have their numbers in the same order, and
/// only numbers start with a digit or a minus outside of strings. Returns whether the counts agreed, which they do.
fn locate_floats(tape: &[TapeNode<'_>], structurals: &[u32], text: &[u8], floats: &mut Vec<Float>) -> bool {
    let is_float = |node: &TapeNode<'_>| matches!(node, TapeNode::Static(StaticNode::F64(_)));
    if !tape.iter().any(is_float) {
        return true;
    }
    let starts_number =
        |&&offset: &&u32| text.get(offset as usize).is_some_and(|byte| matches!(byte, b'-' | b'0'..=b'9'));
    let mut offsets = structurals.iter().filter(starts_number);
    for (index, node) in tape.iter().enumerate() {
        if let TapeNode::Static(StaticNode::F64(_) | StaticNode::I64(_) | StaticNode::U64(_)) = node {
            let (Some(&offset), Ok(index)) = (offsets.next(), u32::try_from(index)) else { return false };
            if is_float(node) {
                floats.push(Float { node: index, offset });
            }
        }
    }
    offsets.next().is_none()
}

/// The number that starts at `offset`.
fn number_at(text: &[u8], offset: usize) -> &[u8] {
    let rest = text.get(offset..).unwrap_or_default();
    let number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    &rest[..rest.iter().position(|byte| !number(byte)).unwrap_or(rest.len())]
}

/// Says what was wrong. The cursor goes over the text once more because it knows better where an error is; it finds
/// none where simd-json is stricter.
#[cold]
fn error_of(error: &simd_json::Error, text: &[u8]) -> JsonError {
    let mut cursor = Cursor::new(text);
    if let Err(error) = cursor.skip().and_then(|()| cursor.finish()) {
        return error;
    }
    let kind = match error.error() {
        ErrorType::InvalidUtf8 => JsonErrorKind::Utf8,
        ErrorType::InvalidEscape | ErrorType::InvalidUnicodeEscape | ErrorType::InvalidUnicodeCodepoint => {
            JsonErrorKind::Escape
        }
        ErrorType::InvalidNumber | ErrorType::InvalidExponent => JsonErrorKind::Number(DecimalError::Overflow),
        _ => JsonErrorKind::Unexpected,
    };
    JsonError::new(kind, error.index())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_many_digits_are_kept() {
        let mut parser = DocParser::new();
        let text = br#"["11.960650700086292123", 1e-8, -3, 18446744073709551615, "1.50E+2", "x", ""]"#;
        let doc = parser.parse(text).unwrap();
        let read = |at: usize| doc.root().at(at).unwrap().big_decimal().ok().map(|number| number.to_string());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(0), some("11.960650700086292123"));
        assert_eq!(read(1), some("0.00000001"));
        assert_eq!((read(2), read(3)), (some("-3"), some("18446744073709551615")));
        assert_eq!((read(4), read(5), read(6)), (some("150"), None, None));
    }
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn members_in_any_order() {
        // An order update of okx, cut.
        let text = br#"{"arg":{"channel":"orders"},"data":[{"state":"filled","accFillSz":"0.03","fillPx":"103698.9","fillTime":"1746947317402","fee":-0.021776769,"px":"","isFilled":true,"n":-7}]}"#;
        let mut parser = DocParser::new();
        let doc = parser.parse(text).unwrap();
        let row = doc.get("data").unwrap().at(0).unwrap();
        assert_eq!(row.member("fee").unwrap().decimal(9), Ok(-21_776_769));
        assert_eq!(row.member("fillPx").unwrap().decimal(1), Ok(1_036_989));
        assert_eq!(row.member("state").unwrap().str(), Ok("filled"));
        assert_eq!(row.member("fillTime").unwrap().u64(), Ok(1_746_947_317_402));
        assert_eq!(row.member("isFilled").unwrap().bool(), Ok(true));
        assert_eq!(row.member("n").unwrap().i64(), Ok(-7));
        assert_eq!(row.member("n").unwrap().fixed(), Ok(Fixed::new(-7, 0)));
        assert!(row.member("px").unwrap().is_absent() && !row.member("px").unwrap().is_null());
        assert_eq!(row.entries().map(|(key, _)| key).last(), Some("n"));
        assert_eq!((row.len(), row.kind(), doc.root().len()), (8, Kind::Object, 2));
    }

    #[test]
    fn decimals_are_those_of_the_text() {
        let text = br#"["\u0031.5\"",0.12345678901234567,1e-8,12,123456789012345678,1.0,99999999999999999999999,-0.0,18446744073709551615,-9223372036854775809]"#;
        let mut parser = DocParser::new();
        let doc = parser.parse(text).unwrap();
        let node = |index| doc.root().at(index).unwrap();
        assert_eq!(node(0).str(), Ok("1.5\""));
        // Seventeen digits are more than an f64 has.
        assert_eq!(node(1).decimal(17), Ok(12_345_678_901_234_567));
        assert_eq!(
            node(1).decimal(8).map_err(|e| e.kind),
            Err(JsonErrorKind::Number(DecimalError::Inexact { scale: 17 }))
        );
        assert_eq!(node(2).decimal(8), Ok(1));
        assert_eq!(node(3).decimal(2), Ok(1200));
        assert_eq!(node(4).decimal(0), Ok(123_456_789_012_345_678));
        assert_eq!(node(4).decimal(2).map_err(|e| e.kind), Err(JsonErrorKind::Number(DecimalError::Overflow)));
        assert_eq!(node(5).decimal(0), Ok(1));
        assert_eq!(node(5).u64().map_err(|e| e.kind), Err(JsonErrorKind::Number(DecimalError::Syntax)));
        assert_eq!(node(6).fixed().map_err(|e| e.kind), Err(JsonErrorKind::Number(DecimalError::Overflow)));
        assert_eq!(node(6).u64().map_err(|e| e.kind), Err(JsonErrorKind::Number(DecimalError::Overflow)));
        assert_eq!(node(7).decimal(3), Ok(0));
        assert_eq!(node(8).u64(), Ok(u64::MAX));
        assert_eq!(node(8).i64().map_err(|e| e.kind), Err(JsonErrorKind::Number(DecimalError::Overflow)));
        assert_eq!(node(9).i64().map_err(|e| e.kind), Err(JsonErrorKind::Number(DecimalError::Overflow)));
    }

    #[test]
    fn what_is_not_there_is_an_error_and_not_a_panic() {
        let mut parser = DocParser::new();
        let doc = parser.parse(br#"{"a":[1],"b":{"c":null}}"#).unwrap();
        let root = doc.root();
        assert!(root.get("c").is_none() && root.at(0).is_none() && root.iter().next().is_none());
        let a = root.get("a").unwrap();
        assert!(a.get("c").is_none() && a.at(1).is_none());
        assert_eq!(root.member("c").map_err(|e| e.kind).map(drop), Err(JsonErrorKind::Missing));
        assert_eq!(a.element(1).map_err(|e| e.kind).map(drop), Err(JsonErrorKind::Missing));
        let unexpected = JsonError { kind: JsonErrorKind::Unexpected, offset: 2 };
        for error in [
            root.str().map(drop),
            root.bool().map(drop),
            root.u64().map(drop),
            root.decimal(2).map(drop),
            root.fixed().map(drop),
        ] {
            assert_eq!(error.map_err(|e| e.kind), Err(JsonErrorKind::Unexpected));
        }
        assert_eq!(a.str(), Err(unexpected), "at the last string before");
    }

    #[test]
    fn errors_leave_the_parser_usable() {
        let mut parser = DocParser::with_capacity(64);
        let kind = |parser: &mut DocParser, text: &[u8]| parser.parse(text).map(drop).map_err(|error| error.kind);
        assert_eq!(kind(&mut parser, b"[\"\xff\"]"), Err(JsonErrorKind::Utf8));
        assert_eq!(kind(&mut parser, b"[1,2"), Err(JsonErrorKind::Truncated));
        assert_eq!(kind(&mut parser, b""), Err(JsonErrorKind::Truncated));
        assert_eq!(kind(&mut parser, b"[1 2]"), Err(JsonErrorKind::Unexpected));
        assert_eq!(kind(&mut parser, b"[1e400]"), Err(JsonErrorKind::Number(DecimalError::Overflow)));
        assert_eq!(kind(&mut parser, br#"["\ud800"]"#), Err(JsonErrorKind::Escape));
        assert_eq!(kind(&mut parser, br#"["\x"]"#), Err(JsonErrorKind::Escape));
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(kind(&mut parser, nested(1000).as_bytes()), Err(JsonErrorKind::Depth));
        assert_eq!(kind(&mut parser, nested(DEPTH_MAX as usize).as_bytes()), Ok(()));
        assert_eq!(parser.parse(b"[1.5]").unwrap().root().at(0).unwrap().decimal(1), Ok(15));
    }

    /// The tree as serde_json would have it, or `None` where a number is beyond what this reader tells.
    fn tree(node: Node<'_>) -> Value {
        match node.kind() {
            Kind::Object => Value::Object(node.entries().map(|(key, value)| (key.to_owned(), tree(value))).collect()),
            Kind::Array => Value::Array(node.iter().map(tree).collect()),
            Kind::String => Value::String(node.str().unwrap().to_owned()),
            Kind::Bool => Value::Bool(node.bool().unwrap()),
            Kind::Number => match node.fixed() {
                Ok(fixed) => Value::String(format!("number {fixed}")),
                Err(error) => Value::String(format!("number {:?}", error.kind)),
            },
            _ => Value::Null,
        }
    }

    fn expected(value: Value) -> Value {
        match value {
            Value::Object(members) => {
                Value::Object(members.into_iter().map(|(key, value)| (key, expected(value))).collect())
            }
            Value::Array(elements) => Value::Array(elements.into_iter().map(expected).collect()),
            Value::Number(number) => match Fixed::parse_exact(number.to_string().as_bytes()) {
                Ok(fixed) => Value::String(format!("number {fixed}")),
                Err(reason) => Value::String(format!("number {:?}", JsonErrorKind::Number(reason))),
            },
            other => other,
        }
    }

    fn beyond_f64(value: &Value) -> bool {
        match value {
            Value::Object(members) => members.values().any(beyond_f64),
            Value::Array(elements) => elements.iter().any(beyond_f64),
            Value::Number(number) => number.to_string().parse::<f64>().is_ok_and(f64::is_infinite),
            _ => false,
        }
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,12})?([eE][-+]?[0-9]{1,2})?",
            "\"-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,8})?\"",
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            let blank = prop_oneof![8 => Just(""), 1 => Just(" ")];
            let cell = (blank, inner).prop_map(|(before, value)| format!("{before}{value}"));
            prop_oneof![
                prop::collection::vec(cell.clone(), 0..6).prop_map(|cells| format!("[{}]", cells.join(","))),
                prop::collection::vec(cell, 0..6).prop_map(|cells| {
                    let members = cells.iter().enumerate().map(|(index, cell)| format!("\"k\\u003{index}\" :{cell}"));
                    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn what_is_read_is_what_serde_reads(texts in prop::collection::vec(value(), 1..4)) {
            let mut parser = DocParser::new();
            for text in texts {
                let doc = parser.parse(text.as_bytes());
                prop_assert!(doc.is_ok(), "{text} {:?}", doc.err());
                prop_assert_eq!(tree(doc.unwrap().root()), expected(serde_json::from_str(&text).unwrap()));
            }
        }

        #[test]
        fn what_both_accept_is_the_same(mut bytes in value().prop_map(String::into_bytes), place in any::<prop::sample::Index>(), byte in prop_oneof![Just(b'"'), Just(b'\\'), Just(b'0'), Just(b'.'), Just(b','), any::<u8>()], insert in any::<bool>()) {
            let place = place.index(bytes.len());
            if insert { bytes.insert(place, byte) } else { bytes[place] = byte }
            let mut parser = DocParser::new();
            let doc = parser.parse(&bytes);
            let serde = serde_json::from_slice::<Value>(&bytes);
            let accepted = serde.as_ref().is_ok_and(|value| !beyond_f64(value));
            prop_assert_eq!(doc.is_ok(), accepted, "{:?}", String::from_utf8_lossy(&bytes));
            if let (Ok(doc), Ok(serde)) = (doc, serde) {
                let doubled = String::from_utf8_lossy(&bytes).matches("\"k").count() > 0;
                prop_assert!(doubled || tree(doc.root()) == expected(serde));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = DocParser::new().parse(&bytes).map(|doc| tree(doc.root()));
        }
    }
}
