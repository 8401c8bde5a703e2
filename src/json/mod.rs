//! JSON readers.
//!
//! [`Cursor`] is for the hot channels: it walks the text once, in its order, and copies nothing. [`Doc`] is for
//! everything else: it reads a message as a whole into a reused tape, so that members can be asked for in any order.
//! Their leaves have the same names. Neither panics nor allocates without bound on any bytes.

mod cursor;
mod doc;

pub use cursor::{Cursor, DEPTH_MAX, Kind, unescape};
pub use doc::{Doc, DocParser, Elements, Entries, Node};

use crate::decimal::DecimalError;
use std::{error::Error, fmt};

/// Why a text could not be read, and where. The reader it came from is of no further use: its place is undefined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// What was wrong.
    pub kind: JsonErrorKind,
    /// The byte in the text at which it was noticed.
    pub offset: u32,
}

/// What was wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// Not JSON, or not the kind of value that was asked for.
    Unexpected,
    /// The text ends within a value.
    Truncated,
    /// More than [`DEPTH_MAX`] arrays and objects within each other.
    Depth,
    /// A bad escape, or an escape where the bytes were asked for as they are.
    Escape,
    /// A string is not UTF-8.
    Utf8,
    /// A number could not be read as asked.
    Number(DecimalError),
    /// Prices or quantities of [`Cursor::levels`] have more decimals than the scales hold. All levels were looked at,
    /// so these scales do for the whole array.
    Inexact {
        /// The scale that holds all prices, if the given one does not.
        price_scale: Option<u8>,
        /// The scale that holds all quantities, if the given one does not.
        qty_scale: Option<u8>,
    },
    /// More levels than the caller has room for.
    LevelsMax,
    /// A member or element that has to be there is not, or members contradict each other.
    Missing,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            JsonErrorKind::Unexpected => f.write_str("unexpected JSON")?,
            JsonErrorKind::Truncated => f.write_str("JSON ends too early")?,
            JsonErrorKind::Depth => write!(f, "JSON nested deeper than {DEPTH_MAX}")?,
            JsonErrorKind::Escape => f.write_str("bad escape in a JSON string")?,
            JsonErrorKind::Utf8 => f.write_str("JSON string is not UTF-8")?,
            JsonErrorKind::Number(error) => error.fmt(f)?,
            JsonErrorKind::Inexact { price_scale, qty_scale } => {
                f.write_str("levels need finer scales:")?;
                for (name, scale) in [("price", price_scale), ("quantity", qty_scale)] {
                    if let Some(scale) = scale {
                        write!(f, " {name} {scale}")?;
                    }
                }
            }
            JsonErrorKind::Missing => f.write_str("a member or element is missing or contradicts another")?,
            JsonErrorKind::LevelsMax => f.write_str("more levels than allowed")?,
        }
        write!(f, " at byte {}", self.offset)
    }
}

impl Error for JsonError {}

impl JsonError {
    /// For the errors of adapters that read JSON: the kind with its place in the text.
    pub fn new(kind: JsonErrorKind, offset: usize) -> JsonError {
        JsonError { kind, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }

    /// The finer scales of prices and amounts that would hold what was read, if that is what was wrong.
    pub fn finer(&self) -> Option<(Option<u8>, Option<u8>)> {
        match self.kind {
            JsonErrorKind::Inexact { price_scale, qty_scale } => Some((price_scale, qty_scale)),
            _ => None,
        }
    }
}
