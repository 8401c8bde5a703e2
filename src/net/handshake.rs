//! The WebSocket upgrade (RFC 6455, section 4), without a socket.

use std::fmt::Write as _;

use tungstenite::handshake::client::{Response, generate_key};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;

use super::error::{NetError, detail};
use super::url::Url;

/// Most bytes that the head of a response may have.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How much of the body of a refusal is waited for, in bytes.
const REFUSAL_BYTES_MAX: usize = super::error::DETAIL_BYTES_MAX;

/// The client's side of one upgrade: write the request, then offer what came back until it is decided.
#[derive(Debug)]
pub struct Upgrade {
    accept_key: String,
    refused: Option<Refusal>,
}

/// What [`Upgrade::offer`] made of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Offered {
    /// More bytes are needed; the offered ones must be offered again, together with them.
    Incomplete,
    /// The WebSocket is open. The first `consumed` bytes were the response, and what follows are frames.
    Accepted {
        /// Length of the response.
        consumed: usize,
    },
}

#[derive(Debug)]
struct Refusal {
    status: u16,
    retry_after_s: Option<u32>,
    head_len: usize,
    /// Bytes of body worth waiting for.
    body_wanted: usize,
}

impl Upgrade {
    /// The request for `url` with `headers` beside the usual ones, and what will judge the answer.
    ///
    /// # Errors
    /// [`NetError::Misuse`] when a header could not be sent as it is.
    pub fn request(url: &Url, headers: &[(&str, &str)]) -> Result<(Vec<u8>, Self), NetError> {
        let key = generate_key();
        let mut text = String::with_capacity(512);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
            url.target(),
            url.host_header()
        );
        for (name, value) in headers {
            check_header(name, value)?;
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        Ok((text.into_bytes(), Self { accept_key: derive_accept_key(key.as_bytes()), refused: None }))
    }

    /// Judges what the server has sent so far; `ended` says that nothing will follow.
    ///
    /// # Errors
    /// [`NetError::Upgrade`] for a refusal, [`NetError::Http`] for what is no proper response.
    pub fn offer(&mut self, bytes: &[u8], ended: bool) -> Result<Offered, NetError> {
        if self.refused.is_none() {
            let Some((consumed, response)) = parse_head(bytes)? else {
                return Ok(Offered::Incomplete);
            };
            if response.status().as_u16() == 101 {
                self.verify(&response)?;
                return Ok(Offered::Accepted { consumed });
            }
            self.refused = Some(Refusal::new(&response, consumed));
        }
        match &self.refused {
            Some(refusal) if ended || bytes.len() - refusal.head_len.min(bytes.len()) >= refusal.body_wanted => {
                Err(refusal.error(bytes))
            }
            _ => Ok(Offered::Incomplete),
        }
    }

    /// The error when the caller's deadline has passed: the refusal if its head has come, else a timeout.
    pub fn timed_out(&self, bytes: &[u8]) -> NetError {
        self.refused.as_ref().map_or(NetError::UpgradeTimeout, |refusal| refusal.error(bytes))
    }

    /// RFC 6455, section 4.1, the six rules for the server's answer.
    fn verify(&self, response: &Response) -> Result<(), NetError> {
        let headers = response.headers();
        let lists = |name: &str, token: &str| {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
        };
        if !lists("upgrade", "websocket") {
            return Err(NetError::Http("status 101 without `Upgrade: websocket`"));
        }
        if !lists("connection", "upgrade") {
            return Err(NetError::Http("status 101 without `Connection: Upgrade`"));
        }
        if headers.get("sec-websocket-accept").is_none_or(|value| value.as_bytes() != self.accept_key.as_bytes()) {
            return Err(NetError::Http("status 101 with the wrong Sec-WebSocket-Accept; a cache or proxy in between?"));
        }
        if headers.contains_key("sec-websocket-extensions") {
            return Err(NetError::Http("the server chose a WebSocket extension that was not offered"));
        }
        if headers.contains_key("sec-websocket-protocol") {
            return Err(NetError::Http("the server chose a WebSocket subprotocol that was not offered"));
        }
        Ok(())
    }
}

impl Refusal {
    fn new(response: &Response, head_len: usize) -> Self {
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let announced = text("content-length").and_then(|value| value.parse::<usize>().ok());
        let chunked = text("transfer-encoding").is_some();
        Self {
            status: response.status().as_u16(),
            retry_after_s: text("retry-after").and_then(|value| value.parse().ok()),
            head_len,
            // Without a length the first bytes of the body have to do.
            body_wanted: announced.unwrap_or(usize::from(chunked)).min(REFUSAL_BYTES_MAX),
        }
    }

    fn error(&self, bytes: &[u8]) -> NetError {
        NetError::Upgrade {
            status: self.status,
            retry_after_s: self.retry_after_s,
            detail: detail(bytes.get(self.head_len..).unwrap_or_default()),
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Response)>, NetError> {
    match Response::try_parse(&bytes[..bytes.len().min(HEAD_BYTES_MAX)]) {
        Ok(Some(found)) => Ok(Some(found)),
        Ok(None) if bytes.len() >= HEAD_BYTES_MAX => Err(NetError::Http("the head of the response exceeds 16 KiB")),
        Ok(None) => Ok(None),
        Err(tungstenite::Error::Capacity(_)) => Err(NetError::Http("too many headers")),
        Err(_) => Err(NetError::Http("what came back is not an HTTP/1.1 response")),
    }
}

/// A header that can be sent without changing the meaning of the request around it.
pub(crate) fn check_header(name: &str, value: &str) -> Result<(), NetError> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(NetError::Misuse("a header name has characters that are not allowed there"));
    }
    if !value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7F)) {
        return Err(NetError::Misuse("a header value has control characters; was it read with its line end?"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade() -> (String, Upgrade, String) {
        let url = Url::parse("wss://ws.example.com:8443/stream?x=1").unwrap();
        let (request, upgrade) = Upgrade::request(&url, &[("User-Agent", "test"), ("X-Key", "k")]).unwrap();
        let accept = upgrade.accept_key.clone();
        (String::from_utf8(request).unwrap(), upgrade, accept)
    }

    fn accepted(accept: &str) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nCONNECTION: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
    }

    #[test]
    fn the_request_is_one_that_a_server_accepts() {
        let (request, upgrade, accept) = upgrade();
        assert!(request.starts_with("GET /stream?x=1 HTTP/1.1\r\nHost: ws.example.com:8443\r\n"), "{request}");
        assert!(request.ends_with("\r\nUser-Agent: test\r\nX-Key: k\r\n\r\n"), "{request}");
        // The server's half of tungstenite reads it and computes the same key.
        let (used, parsed) = tungstenite::handshake::server::Request::try_parse(request.as_bytes()).unwrap().unwrap();
        assert_eq!(used, request.len());
        let response = tungstenite::handshake::server::create_response(&parsed).unwrap();
        assert_eq!(response.headers()["sec-websocket-accept"], accept.as_str());
        upgrade.verify(&response.map(|()| None)).unwrap();
    }

    #[test]
    fn keys_are_never_the_same() {
        assert_ne!(upgrade().2, upgrade().2);
    }

    #[test]
    fn headers_cannot_smuggle_others() {
        let url = Url::parse("ws://a/").unwrap();
        for (name, value) in [("a", "b\r\nc: d"), ("a\r\nb", "c"), ("a b", "c"), ("", "c"), ("a:", "b"), ("a", "b\0")] {
            assert!(matches!(Upgrade::request(&url, &[(name, value)]), Err(NetError::Misuse(_))), "{name:?} {value:?}");
        }
        Upgrade::request(&url, &[("a", "b\tc")]).unwrap();
    }

    #[test]
    fn the_answer_may_come_in_any_pieces_with_frames_behind() {
        let (_, mut upgrade, accept) = upgrade();
        let mut bytes = accepted(&accept).into_bytes();
        let head_len = bytes.len();
        bytes.extend(b"\x81\x05hello");
        for n in 0..head_len {
            assert_eq!(upgrade.offer(&bytes[..n], false), Ok(Offered::Incomplete), "{n}");
        }
        assert_eq!(upgrade.offer(&bytes, false), Ok(Offered::Accepted { consumed: head_len }));
    }

    #[test]
    fn a_wrong_101_is_refused() {
        let (_, _, accept) = upgrade();
        let (_, mut other, right) = upgrade();
        let good = accepted(&right);
        for (text, part) in [
            (accepted(&accept), "Accept"),
            (good.replace("WebSocket", "h2c"), "Upgrade: websocket"),
            (good.replace("keep-alive, Upgrade", "keep-alive"), "Connection: Upgrade"),
            (good.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"), "extension"),
            (good.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"), "subprotocol"),
            (good.replace("HTTP/1.1", "HTTP/1.0"), "not an HTTP/1.1"),
            ("\x01\x05hello".to_owned(), "not an HTTP/1.1"),
            ("HTTP/1.1 101 X\r\n".to_owned() + &"a: b\r\n".repeat(200) + "\r\n", "too many headers"),
            ("HTTP/1.1 101 X\r\na: ".to_owned() + &"b".repeat(HEAD_BYTES_MAX), "16 KiB"),
        ] {
            let error = other.offer(text.as_bytes(), false).unwrap_err();
            assert!(matches!(error, NetError::Http(what) if what.contains(part)), "{error} for {part}");
        }
    }

    #[test]
    fn a_refusal_keeps_status_wait_and_reason() {
        let head = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\nContent-Length: 17\r\n\r\n";
        let (_, mut upgrade, _) = upgrade();
        let error =
            |retry_after_s, detail: &str| NetError::Upgrade { status: 429, retry_after_s, detail: detail.into() };
        // The body is waited for, but not for ever.
        assert_eq!(upgrade.offer(head.as_bytes(), false), Ok(Offered::Incomplete));
        assert_eq!(upgrade.timed_out(head.as_bytes()), error(Some(30), ""));
        let text = head.to_owned() + "{\"code\":-1003}";
        assert_eq!(upgrade.offer(text.as_bytes(), false), Ok(Offered::Incomplete));
        assert_eq!(upgrade.offer(text.as_bytes(), true), Err(error(Some(30), "{\"code\":-1003}")));
        let text = text + "\r\nx";
        assert_eq!(upgrade.offer(text.as_bytes(), false), Err(error(Some(30), "{\"code\":-1003}  x")));
        // Without body and length it is known at once; a long body is not waited for in full.
        let (_, mut upgrade, _) = self::upgrade();
        assert_eq!(upgrade.offer(b"HTTP/1.1 429 X\r\n\r\n", false), Err(error(None, "")));
        let (_, mut upgrade, _) = self::upgrade();
        let long = "HTTP/1.1 429 X\r\nContent-Length: 1000000\r\n\r\n".to_owned() + &"z".repeat(300);
        assert_eq!(upgrade.offer(long.as_bytes(), false), Err(error(None, &"z".repeat(256))));
    }

    #[test]
    fn without_any_answer_it_is_a_timeout() {
        let (_, mut upgrade, _) = upgrade();
        upgrade.offer(b"HTTP/1.1 429 X\r\n", false).unwrap();
        assert_eq!(upgrade.timed_out(b"HTTP/1.1 429 X\r\n"), NetError::UpgradeTimeout);
    }
}
