//! The tape reader against serde_json and against the cursor. A zero byte ends one message and starts the next, so that
//! buffers are used again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::cell::RefCell;
use wirebook::{
    decimal::Fixed,
    json::{DocParser, JsonErrorKind, Kind, Node},
};

fn check(node: Node<'_>, value: &Value) {
    match value {
        Value::Object(members) => {
            assert_eq!(node.kind(), Kind::Object);
            for (key, value) in node.entries() {
                // serde keeps the last of members with the same name.
                if node.entries().filter(|&(name, _)| name == key).count() == 1 {
                    check(value, &members[key]);
                }
            }
            assert!(members.keys().all(|key| node.get(key).is_some()));
        }
        Value::Array(elements) => {
            assert_eq!((node.kind(), node.len()), (Kind::Array, elements.len()));
            node.iter().zip(elements).for_each(|(node, value)| check(node, value));
        }
        Value::String(text) => assert_eq!(node.str(), Ok(text.as_str())),
        Value::Bool(value) => assert_eq!(node.bool(), Ok(*value)),
        Value::Null => assert!(node.is_null()),
        Value::Number(number) => {
            let text = number.to_string();
            assert_eq!(node.kind(), Kind::Number);
            let expected = Fixed::parse_exact(text.as_bytes()).map_err(JsonErrorKind::Number);
            assert_eq!(node.fixed().map_err(|error| error.kind), expected);
            // serde writes -0 as it is, the tape has 0.
            assert_eq!(node.i64().ok(), text.parse().ok());
            if text != "-0" {
                assert_eq!(node.u64().ok(), text.parse().ok());
            }
        }
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

thread_local! {
    static PARSER: RefCell<DocParser> = RefCell::new(DocParser::new());
}

fuzz_target!(|data: &[u8]| {
    PARSER.with_borrow_mut(|parser| {
        for text in data.split(|&byte| byte == 0) {
            let serde = serde_json::from_slice::<Value>(text).ok();
            match (parser.parse(text), serde) {
                (Ok(doc), Some(value)) => check(doc.root(), &value),
                (Err(error), Some(value)) => {
                    assert!(error.kind == JsonErrorKind::Depth || beyond_f64(&value) || huge(text), "{error}");
                }
                (Ok(_), None) => panic!("accepted what serde refuses"),
                (Err(_), None) => {}
            }
        }
    });
});

/// Members that serde dropped may be beyond an f64, too.
fn huge(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'e' | b'E')) || text.len() > 300
}
