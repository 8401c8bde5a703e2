//! JSON as requests about orders want it: members one after the other, without a detour over a tree or an allocation.

use crate::decimal::{self, Fixed};

/// The name of a member, after a comma if it is not the first one.
pub(super) fn key(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A text in which nothing has to be escaped.
pub(super) fn text(name: &str, value: &str, out: &mut Vec<u8>) {
    key(name, out);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

/// A bare number.
pub(super) fn number(name: &str, value: Fixed, out: &mut Vec<u8>) {
    key(name, out);
    decimal::push_text(value.mantissa(), value.scale(), out);
}

/// A number in quotes.
pub(super) fn quoted(name: &str, value: Fixed, out: &mut Vec<u8>) {
    key(name, out);
    out.push(b'"');
    decimal::push_text(value.mantissa(), value.scale(), out);
    out.push(b'"');
}

/// What is on.
pub(super) fn flag(name: &str, out: &mut Vec<u8>) {
    key(name, out);
    out.extend_from_slice(b"true");
}

/// A whole number.
pub(super) fn integer(name: &str, value: u64, out: &mut Vec<u8>) {
    key(name, out);
    push_integer(value, out);
}

/// The digits of a whole number.
pub(super) fn push_integer(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(decimal::Text::new().digits(value));
}
