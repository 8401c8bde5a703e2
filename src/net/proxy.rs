//! Getting through a proxy: HTTP CONNECT and SOCKS5 (RFC 1928, RFC 1929), without a socket.
//!
//! The proxy gets the name of the host and resolves it itself, so nothing about the destination is asked of the local
//! name servers. It fails closed: when the proxy cannot be used there is an error and never a direct connection.

use super::error::{NetError, detail};
use super::url::Url;

/// Most bytes that the answer of an HTTP proxy may have.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Longest name that SOCKS5 can carry: user, password, host.
const SOCKS_TEXT_BYTES_MAX: usize = 255;

/// A proxy to connect through. `Debug` leaves the credentials out.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    kind: ProxyKind,
    host: Box<str>,
    port: u16,
    credentials: Option<Credentials>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP with the CONNECT method.
    Http,
    /// SOCKS version 5.
    Socks5,
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: Box<[u8]>,
    password: Box<[u8]>,
}

impl Proxy {
    /// Reads a proxy as it is usually written: `http://host:port` or `socks5://user:password@host:port`. `%XX` in user and
    /// password stands for a byte.
    ///
    /// # Errors
    /// [`NetError::Url`] says which part is wrong, and never shows the credentials.
    pub fn parse(text: &str) -> Result<Self, NetError> {
        let bad = |what: &str| NetError::Url(format!("proxy: {what}").into_boxed_str());
        let (kind, rest) = match text.split_once("://") {
            Some(("http", rest)) => (ProxyKind::Http, rest),
            Some(("socks5" | "socks5h", rest)) => (ProxyKind::Socks5, rest),
            _ => return Err(bad("begin with http:// or socks5://")),
        };
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?', '#']) {
            return Err(bad("nothing may follow the port"));
        }
        if !place.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())) {
            return Err(bad("say which port, as in http://host:3128"));
        }
        let url = Url::parse(&format!("http://{place}/"))?;
        let credentials = match credentials {
            None => None,
            Some(credentials) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                let decoded = |text: &str| {
                    percent_decoded(text)
                        .filter(|bytes| bytes.len() <= SOCKS_TEXT_BYTES_MAX)
                        .ok_or_else(|| bad("user and password have at most 255 bytes each, and % is written as %25"))
                };
                Some(Credentials { user: decoded(user)?, password: decoded(password)? })
            }
        };
        Ok(Self { kind, host: url.host().into(), port: url.port(), credentials })
    }

    /// What it speaks.
    pub fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Its name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let credentials = if self.credentials.is_some() { " with credentials" } else { "" };
        write!(f, "Proxy({:?} {}:{}{credentials})", self.kind, self.host, self.port)
    }
}

/// The client's side of the talk with a proxy. See [`Tunnel::offer`].
pub struct Tunnel {
    expect: Expect,
    /// What has to be sent now.
    output: Vec<u8>,
    /// The SOCKS5 request, for when the proxy has let us in.
    request: Vec<u8>,
    login: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    HttpHead,
    SocksMethod,
    SocksLogin,
    SocksReply,
    Nothing,
}

/// What [`Tunnel::offer`] made of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// How many of the offered bytes are used up.
    pub consumed: usize,
    /// Whether the tunnel is open.
    pub open: bool,
}

impl Tunnel {
    /// Asks `proxy` for a connection to `host` and `port`.
    ///
    /// # Errors
    /// [`NetError::Proxy`] when the proxy cannot be asked for such a host.
    pub fn new(proxy: &Proxy, host: &str, port: u16) -> Result<Self, NetError> {
        match proxy.kind {
            ProxyKind::Http => Ok(Self {
                expect: Expect::HttpHead,
                output: connect_request(proxy, host, port),
                request: Vec::new(),
                login: Vec::new(),
            }),
            ProxyKind::Socks5 => {
                let mut login = Vec::new();
                let mut output = vec![5, 1, 0];
                if let Some(Credentials { user, password }) = &proxy.credentials {
                    output = vec![5, 2, 0, 2];
                    login.push(1);
                    for part in [user, password] {
                        login.push(part.len() as u8);
                        login.extend_from_slice(part);
                    }
                }
                Ok(Self { expect: Expect::SocksMethod, output, request: socks_request(host, port)?, login })
            }
        }
    }

    /// What has to be sent now; it is taken out by this.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Reads what the proxy has sent so far. The bytes that were not consumed must be offered again, with more behind
    /// them. Look for [`take_output`](Self::take_output) after every call.
    ///
    /// # Errors
    /// [`NetError::Proxy`] when the proxy refuses, or is none.
    pub fn offer(&mut self, bytes: &[u8]) -> Result<Passed, NetError> {
        let mut consumed = 0;
        while let Some(n) = self.step(&bytes[consumed..])? {
            consumed += n;
        }
        Ok(Passed { consumed, open: self.expect == Expect::Nothing })
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Option<usize>, NetError> {
        match (self.expect, bytes) {
            (Expect::HttpHead, _) => {
                let n = http_answer(bytes)?;
                if n.is_some() {
                    self.expect = Expect::Nothing;
                }
                Ok(n)
            }
            (Expect::SocksMethod, [5, 0, ..]) => {
                self.ask();
                Ok(Some(2))
            }
            (Expect::SocksMethod, [5, 2, ..]) if !self.login.is_empty() => {
                self.output.append(&mut self.login);
                self.expect = Expect::SocksLogin;
                Ok(Some(2))
            }
            (Expect::SocksMethod, [5, ..=1 | 3.., ..]) | (Expect::SocksMethod, [5, 2, ..]) => {
                Err(refused("it wants a way to log in that was not offered; check user and password"))
            }
            (Expect::SocksLogin, [1, 0, ..]) => {
                self.ask();
                Ok(Some(2))
            }
            (Expect::SocksLogin, [1, _, ..]) => Err(refused("user or password is wrong")),
            (Expect::SocksReply, [5, 0, ..]) => Ok(self.reply_len(bytes)?.inspect(|_| self.expect = Expect::Nothing)),
            (Expect::SocksReply, [5, code, ..]) => Err(refused(socks_error(*code))),
            (Expect::SocksMethod | Expect::SocksReply, [5] | []) | (Expect::SocksLogin, [1] | []) => Ok(None),
            (Expect::Nothing, _) => Ok(None),
            _ => Err(refused("what came back is not SOCKS5")),
        }
    }

    fn ask(&mut self) {
        self.output.append(&mut self.request);
        self.expect = Expect::SocksReply;
    }

    /// Length of a complete reply: version, code, reserved, an address of one of three kinds, port.
    fn reply_len(&self, bytes: &[u8]) -> Result<Option<usize>, NetError> {
        let len = match *bytes {
            [_, _, _, 1, ..] => 4 + 4 + 2,
            [_, _, _, 4, ..] => 4 + 16 + 2,
            [_, _, _, 3, len, ..] => 5 + usize::from(len) + 2,
            [_, _, _, 3] | [_, _] | [_, _, _] => return Ok(None),
            _ => return Err(refused("what came back is not SOCKS5")),
        };
        Ok((bytes.len() >= len).then_some(len))
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Credentials are in the rest.
        f.debug_struct("Tunnel").field("expect", &self.expect).finish()
    }
}

fn refused(why: &str) -> NetError {
    NetError::Proxy(detail(why.as_bytes()))
}

fn connect_request(proxy: &Proxy, host: &str, port: u16) -> Vec<u8> {
    let place = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut text = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    if let Some(Credentials { user, password }) = &proxy.credentials {
        text.push_str("Proxy-Authorization: Basic ");
        text.push_str(&base64(&[user, &b":"[..], password].concat()));
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Length of the proxy's answer when it is complete and good.
fn http_answer(bytes: &[u8]) -> Result<Option<usize>, NetError> {
    let offered = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    match parsed.parse(offered) {
        Ok(httparse::Status::Complete(n)) => match parsed.code {
            Some(200..=299) => Ok(Some(n)),
            Some(407) => Err(refused("HTTP status 407: it wants user and password, or others than these")),
            Some(403) => Err(refused("HTTP status 403: it does not allow this host or port")),
            Some(code) => Err(refused(&format!("HTTP status {code}: {}", parsed.reason.unwrap_or_default()))),
            None => Err(refused("what came back is not HTTP")),
        },
        Ok(httparse::Status::Partial) if bytes.len() >= HEAD_BYTES_MAX => Err(refused("its answer exceeds 8 KiB")),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(refused("what came back is not HTTP")),
    }
}

fn socks_request(host: &str, port: u16) -> Result<Vec<u8>, NetError> {
    let mut request = vec![5, 1, 0];
    match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => {
            request.push(1);
            request.extend(address.octets());
        }
        Ok(std::net::IpAddr::V6(address)) => {
            request.push(4);
            request.extend(address.octets());
        }
        Err(_) => {
            let len = u8::try_from(host.len()).map_err(|_| refused("the host has more than 255 bytes"))?;
            request.extend([3, len]);
            request.extend(host.bytes());
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

/// RFC 1928, section 6.
fn socks_error(code: u8) -> &'static str {
    match code {
        1 => "it failed",
        2 => "its rules do not allow this connection",
        3 => "it cannot reach the network",
        4 => "it cannot reach the host, or not resolve its name",
        5 => "the host refused its connection",
        6 => "the connection took it too long",
        7 | 8 => "it cannot do what was asked",
        _ => "it failed for an unknown reason",
    }
}

/// `%XX` as a byte; `None` when a `%` is not followed by two hexadecimal digits.
fn percent_decoded(text: &str) -> Option<Box<[u8]>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    Some(bytes.into_boxed_slice())
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers in any pieces; what was sent, and how it ended.
    fn talk(proxy: &str, host: &str, answers: &[&[u8]]) -> (Vec<u8>, Result<Passed, NetError>) {
        let mut outcomes = Vec::new();
        for piece in [1, 3, usize::MAX] {
            let mut tunnel = Tunnel::new(&Proxy::parse(proxy).unwrap(), host, 443).unwrap();
            let mut sent = tunnel.take_output();
            let mut outcome = Ok(Passed { consumed: 0, open: false });
            // The proxy answers only to what it was asked.
            for answer in answers {
                let mut bytes = Vec::new();
                for part in answer.chunks(piece.min(answer.len())) {
                    bytes.extend_from_slice(part);
                    outcome = tunnel.offer(&bytes);
                    if let Ok(passed) = outcome {
                        bytes.drain(..passed.consumed);
                    } else {
                        break;
                    }
                    sent.extend(tunnel.take_output());
                }
                outcome = outcome.map(|passed| Passed { consumed: bytes.len(), ..passed });
            }
            outcomes.push((sent, outcome));
        }
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
        outcomes.remove(0)
    }

    /// Open, with nothing left unread.
    const OPEN: Result<Passed, NetError> = Ok(Passed { consumed: 0, open: true });

    #[test]
    fn http_connect() {
        let (sent, outcome) =
            talk("http://p.test:3128", "a.test", &[b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"]);
        assert_eq!(sent, b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
        assert_eq!(outcome, OPEN);
        let (sent, _) = talk("http://us%3Aer:pass@p.test:3128/", "::1", &[b"HTTP/1.0 200 OK\r\n\r\n"]);
        let expected =
            "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Authorization: Basic dXM6ZXI6cGFzcw==\r\n\r\n";
        assert_eq!(String::from_utf8(sent).unwrap(), expected);
        for (answer, part) in [
            (&b"HTTP/1.1 407 Auth\r\n\r\n"[..], "407"),
            (b"HTTP/1.1 403 No\r\n\r\n", "403"),
            (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502: Bad Gateway"),
            (b"\x05\x00", "not HTTP"),
        ] {
            let error = talk("http://p.test:3128", "a.test", &[answer]).1.unwrap_err();
            assert!(matches!(&error, NetError::Proxy(detail) if detail.contains(part)), "{error}");
        }
        let mut tunnel = Tunnel::new(&Proxy::parse("http://p.test:3128").unwrap(), "a.test", 443).unwrap();
        let long = [b"HTTP/1.1 200 OK\r\nX: ", &[b'y'; HEAD_BYTES_MAX][..]].concat();
        assert!(tunnel.offer(&long).is_err());
    }

    #[test]
    fn socks5() {
        let reply = [5, 0, 0, 1, 127, 0, 0, 1, 4, 56];
        let (sent, outcome) = talk("socks5://p.test:1080", "a.test", &[&[5, 0], &reply]);
        assert_eq!(sent, [&[5, 1, 0, 5, 1, 0, 3, 6][..], b"a.test", &[1, 187]].concat());
        assert_eq!(outcome, OPEN);
        let (sent, outcome) = talk("socks5h://u:pw@p.test:1080", "1.2.3.4", &[&[5, 2], &[1, 0], &reply]);
        assert_eq!(sent, [&[5, 2, 0, 2, 1, 1][..], b"u", &[2], b"pw", &[5, 1, 0, 1, 1, 2, 3, 4, 1, 187]].concat());
        assert_eq!(outcome, OPEN);
        // Replies with other kinds of address.
        let name = [&[5, 0, 0, 3, 2][..], b"xy", &[0, 80]].concat();
        let v6 = [&[5, 0, 0, 4][..], &[0; 18]].concat();
        for reply in [name, v6] {
            assert_eq!(talk("socks5://p.test:1080", "a.test", &[&[5, 0], &reply]).1, OPEN);
        }
        for (proxy, answers, part) in [
            ("socks5://p.test:1080", &[&[5, 0xFF][..]][..], "log in"),
            ("socks5://p.test:1080", &[&[5, 2]], "log in"),
            ("socks5://u:p@p.test:1080", &[&[5, 2], &[1, 1]], "password is wrong"),
            ("socks5://p.test:1080", &[&[5, 0], &[5, 5, 0, 1]], "refused"),
            ("socks5://p.test:1080", &[&[5, 0], &[5, 0, 0, 9, 0]], "not SOCKS5"),
            ("socks5://p.test:1080", &[b"HTTP/1.1 400 Bad\r\n"], "not SOCKS5"),
        ] {
            let error = talk(proxy, "a.test", answers).1.unwrap_err();
            assert!(matches!(&error, NetError::Proxy(detail) if detail.contains(part)), "{error}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_said_without_its_secrets() {
        for text in [
            "p.test:1",
            "ftp://p.test:1",
            "https://p.test:1",
            "http://p.test",
            "http://p.test:0",
            "http://p.test:1/path",
            "http://secret:secret@p.test",
            "http://secret%:x@p.test:1",
            "http://secret%+1:x@p.test:1",
            "socks5://secret%4@p.test:1",
        ] {
            let error = Proxy::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Proxy::parse(&format!("http://{}@p.test:1", "x".repeat(256))).is_err());
        let proxy = Proxy::parse("socks5://secret:secret@[::1]:9050").unwrap();
        assert_eq!(format!("{proxy:?}"), "Proxy(Socks5 ::1:9050 with credentials)");
        let tunnel = Tunnel::new(&proxy, "a.test", 1).unwrap();
        assert!(!format!("{tunnel:?}").contains("115"));
    }

    #[test]
    fn base64_of_every_length() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xFB, 0xFF]), "+/8=");
    }
}
