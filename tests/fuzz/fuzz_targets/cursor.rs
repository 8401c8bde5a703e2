//! The cursor against serde_json: both accept the same texts, and what is read is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, value::RawValue};
use wirebook::{
    book::side::Level,
    decimal::{self, DecimalError},
    json::{Cursor, JsonError, JsonErrorKind, Kind, unescape},
};

fn tree(c: &mut Cursor<'_>, depth: u32) -> Result<Value, JsonError> {
    let error = |kind| JsonError::new(kind, 0);
    if depth == 0 {
        return Err(error(JsonErrorKind::Depth));
    }
    Ok(match c.peek() {
        Kind::Object => {
            let mut members = serde_json::Map::new();
            c.object(|c, key| {
                let mut name = String::new();
                unescape(std::str::from_utf8(key).map_err(|_| error(JsonErrorKind::Utf8))?, &mut name)?;
                members.insert(name, tree(c, depth - 1)?);
                Ok(())
            })?;
            Value::Object(members)
        }
        Kind::Array => {
            let mut elements = Vec::new();
            c.array(|c| tree(c, depth - 1).map(|value| elements.push(value)))?;
            Value::Array(elements)
        }
        Kind::String => {
            let plain = { *c }.str();
            let mut out = String::new();
            c.string(&mut out)?;
            if let Ok(plain) = plain {
                assert_eq!(plain, out);
            }
            Value::String(out)
        }
        Kind::Number => {
            let (exact, signed, unsigned) = ({ *c }.decimal(8), { *c }.i64(), { *c }.u64());
            let text = std::str::from_utf8(c.number_text()?).unwrap();
            assert_eq!(
                exact.map_err(|error| error.kind),
                decimal::parse_exact(text.as_bytes(), 8).map_err(JsonErrorKind::Number)
            );
            assert_eq!(signed.ok(), text.parse().ok());
            assert_eq!(unsigned.ok(), text.parse().ok());
            Value::Number(serde_json::from_str(text).unwrap())
        }
        Kind::Bool => Value::Bool(c.bool()?),
        _ if c.null() => Value::Null,
        _ => return Err(error(JsonErrorKind::Unexpected)),
    })
}

fn levels(value: &Value, scale: u8) -> Option<Result<Vec<Level>, ()>> {
    let mut levels = Vec::new();
    let mut inexact = false;
    for row in value.as_array()? {
        let [price, qty, ..] = &row.as_array()?[..] else { return None };
        let number = |value: &Value| match value {
            Value::String(text) => Some(decimal::parse_exact(text.as_bytes(), scale)),
            Value::Number(number) => Some(decimal::parse_exact(number.to_string().as_bytes(), scale)),
            _ => None,
        };
        match (number(price)?, number(qty)?) {
            (Err(DecimalError::Syntax), _) | (_, Err(DecimalError::Syntax)) => return None,
            (Err(DecimalError::Overflow), _) | (_, Err(DecimalError::Overflow)) => {}
            (Ok(price), Ok(qty)) => levels.push(Level { price, qty }),
            _ => inexact = true,
        }
    }
    Some(if inexact { Err(()) } else { Ok(levels) })
}

fuzz_target!(|data: &[u8]| {
    let mut cursor = Cursor::new(data);
    let ours = tree(&mut cursor, 60).and_then(|value| cursor.finish().map(|()| value));
    let serde = serde_json::from_slice::<Value>(data);
    let deep = matches!(ours, Err(JsonError { kind: JsonErrorKind::Depth, .. }));
    if !deep {
        assert_eq!(ours.as_ref().ok(), serde.as_ref().ok());
    }
    let mut cursor = Cursor::new(data);
    let skipped = cursor.skip().and_then(|()| cursor.finish());
    if let Ok(text) = std::str::from_utf8(data)
        && !matches!(skipped, Err(JsonError { kind: JsonErrorKind::Depth, .. }))
    {
        assert_eq!(skipped.is_ok(), serde_json::from_str::<&RawValue>(text).is_ok());
    }
    for scale in [2, 8, 12] {
        let mut out = Vec::new();
        let mut cursor = Cursor::new(data);
        let read = cursor.levels(scale, scale, 1000, &mut out);
        assert!(read.is_ok() || out.is_empty());
        let read = read.and_then(|_| cursor.finish());
        let expected = ours.as_ref().ok().and_then(|value| levels(value, scale));
        match (read, expected) {
            (Ok(()), Some(Ok(levels))) => assert_eq!(out, levels),
            (Err(JsonError { kind: JsonErrorKind::Inexact { .. }, .. }), Some(Err(()))) => {}
            // An escape in a price, or a skipped cell of which serde cannot make a value: refused, but never read wrongly.
            (Err(_), _) => {}
            (Ok(()), expected) => assert!(expected.is_none() && (serde.is_err() || deep), "{expected:?}"),
        }
    }
    let c = Cursor::new(data);
    let _ =
        ({ c }.raw(), { c }.absent(), { c }.is_empty_array(), { c }.close_array(), { c }.fixed(), { c }.fixed_round());
});
