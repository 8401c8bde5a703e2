//! Whatever a server sends, in pieces of any size: the answer to the upgrade, WebSocket frames, HTTP responses. The first
//! byte says which, the second how the rest is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirebook::net::Url;
use wirebook::net::handshake::{Offered, Upgrade};
use wirebook::net::http::{HttpLimits, ResponseReader};
use wirebook::net::ws::{TextCheck, Ws, WsLimits};

fuzz_target!(|data: &[u8]| {
    let [kind, cut, rest @ ..] = data else { return };
    let piece = usize::from(*cut).max(1);
    match kind % 4 {
        0 => ws(rest, piece, TextCheck::Strict),
        1 => ws(rest, piece, TextCheck::Trusted),
        2 => {
            let limits = HttpLimits { body_bytes_max: 4_096, ..HttpLimits::default() };
            let mut reader = ResponseReader::new(limits);
            let mut input = Vec::new();
            for bytes in rest.chunks(piece) {
                input.extend_from_slice(bytes);
                let Ok(used) = reader.offer(&input) else { return };
                assert!(used <= input.len());
                input.drain(..used);
                if reader.is_complete() {
                    assert!(reader.response().body.len() <= 4_096);
                    reader.reset();
                }
            }
        }
        _ => {
            let Ok(url) = Url::parse("wss://venue.test/stream") else { return };
            let Ok((_, mut upgrade)) = Upgrade::request(&url, &[]) else { return };
            for end in (0..=rest.len()).step_by(piece) {
                match upgrade.offer(&rest[..end], end == rest.len()) {
                    Ok(Offered::Incomplete) => {}
                    Ok(Offered::Accepted { consumed }) => return assert!(consumed <= end),
                    Err(_) => return,
                }
            }
            if let Ok(text) = std::str::from_utf8(rest) {
                let _ = Url::parse(text);
            }
        }
    }
});

fn ws(bytes: &[u8], piece: usize, text_check: TextCheck) {
    let limits = WsLimits { message_bytes_max: 4_096, text_check, ..WsLimits::default() };
    let mut ws = Ws::new(limits, 1);
    for mut bytes in bytes.chunks(piece) {
        while !bytes.is_empty() {
            let spare = ws.spare();
            let n = spare.len().min(bytes.len());
            spare[..n].copy_from_slice(&bytes[..n]);
            ws.filled(n);
            bytes = &bytes[n..];
            loop {
                match ws.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
            if ws.is_over() {
                return;
            }
            let waiting = ws.out().len();
            ws.out().consume(waiting);
        }
    }
}
