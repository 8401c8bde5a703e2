//! HTTP/1.1 for a client: one request after the other on a kept-alive connection.
//!
//! [`ResponseReader`] reads one response without a socket and without allocating once its buffers are warm; it is
//! lenient about nothing that decides where a body ends. [`HttpLink`] is the connection. Redirects are not followed:
//! a venue that answers 301 has moved, and signatures do not survive a move.
//!
//! Neither requests nor responses are logged, because credentials travel in both.

use std::net::SocketAddr;

use mio::net::TcpStream;

use super::buf::{InBuf, OutBuf};
use super::config::NetConfig;
use super::error::{EofKind, NetError};
use super::handshake::check_header;
use super::link::{Fill, LinkState};
use super::stream::{End, Progress, ReadMode, Stream};
use super::url::Url;
use crate::sys::Failure;

/// Most headers that a response may have.
const HEADERS_MAX: usize = 128;

/// Longest line that gives the size of a chunk, with its extensions.
const CHUNK_LINE_BYTES_MAX: usize = 1024;

/// Most bytes of trailers after a chunked body.
const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Most interim (1xx) responses before the real one.
const INTERIM_MAX: u32 = 8;

/// Size of the reading buffer.
const IN_BYTES: usize = 64 * 1024;

/// Sizes of an HTTP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Most bytes of status line and headers; at most 32 KiB have effect.
    pub head_bytes_max: usize,
    /// Most bytes of body.
    pub body_bytes_max: usize,
    /// Most bytes of a request.
    pub request_bytes_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { head_bytes_max: 16 * 1024, body_bytes_max: 64 * 1024 * 1024, request_bytes_max: 256 * 1024 }
    }
}

/// What to do with the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Create.
    Post,
    /// Replace.
    Put,
    /// Remove.
    Delete,
}

impl Method {
    /// As written in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A request. `Host`, `User-Agent` and `Content-Length` are added by the link.
#[derive(Clone, Copy)]
pub struct HttpRequest<'a> {
    /// What to do.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub target: &'a str,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; may be empty.
    pub body: &'a [u8],
}

impl std::fmt::Debug for HttpRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys are in the headers, signatures in the query.
        write!(f, "{} {}", self.method.as_str(), self.target.split('?').next().unwrap_or_default())
    }
}

/// A complete response, lent until the next request. `Debug` shows neither values of headers nor the body.
pub struct HttpResponse<'a> {
    /// The status, 200 to 999.
    pub status: u16,
    /// The headers.
    pub headers: Headers<'a>,
    /// The body. It is the link's own buffer: take what is needed, and leave the memory for the next response.
    pub body: &'a mut Vec<u8>,
}

impl std::fmt::Debug for HttpResponse<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}, body of {} bytes", self.status, self.headers, self.body.len())
    }
}

/// The headers of a response.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    head: &'a [u8],
    spans: &'a [Span],
}

/// Name and value of a header, as ranges of the head.
#[derive(Clone, Copy, Debug)]
struct Span {
    name: (u16, u16),
    value: (u16, u16),
}

impl<'a> Headers<'a> {
    /// The value of the first header of that name, in any case.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The value of the first header of that name, if it is a whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        std::str::from_utf8(self.value(name)?).ok()?.trim().parse().ok()
    }

    /// All headers, names as sent.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let head = self.head;
        let part = move |(start, end): (u16, u16)| &head[usize::from(start)..usize::from(end)];
        self.spans.iter().map(move |span| (part(span.name), part(span.value)))
    }
}

impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be credentials (`Set-Cookie`); names are enough to see what came.
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

/// Reads one response after the other out of a stream of bytes. See the [module](self). `Debug` shows no content.
pub struct ResponseReader {
    limits: HttpLimits,
    expect: Expect,
    head: Vec<u8>,
    spans: Vec<Span>,
    status: u16,
    body: Vec<u8>,
    keep_alive: bool,
    interim: u32,
    trailer_bytes: usize,
}

impl std::fmt::Debug for ResponseReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseReader")
            .field("expect", &self.expect)
            .field("status", &self.status)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Head,
    /// So many bytes of body, of which the length was announced.
    Sized(u64),
    /// Body until the connection ends.
    UntilEnd,
    /// The line with the size of a chunk.
    ChunkLine,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// Trailers, or the empty line that ends them.
    Trailer,
    Nothing,
}

impl ResponseReader {
    /// A reader with these limits.
    pub fn new(limits: HttpLimits) -> Self {
        let limits = HttpLimits { head_bytes_max: limits.head_bytes_max.min(IN_BYTES / 2), ..limits };
        Self {
            limits,
            expect: Expect::Head,
            head: Vec::new(),
            spans: Vec::new(),
            status: 0,
            body: Vec::new(),
            keep_alive: true,
            interim: 0,
            trailer_bytes: 0,
        }
    }

    /// Forgets the response and expects another.
    pub fn reset(&mut self) {
        self.expect = Expect::Head;
        self.head.clear();
        self.spans.clear();
        self.status = 0;
        self.body.clear();
        self.keep_alive = true;
        self.interim = 0;
        self.trailer_bytes = 0;
    }

    /// Reads on, and says how many bytes of `bytes` it has used up. The rest must be offered again with more behind it.
    /// Bytes behind the end of the response are not touched.
    ///
    /// # Errors
    /// [`NetError::Http`] for what is no proper response, [`NetError::MessageTooBig`] for a body over the limit.
    pub fn offer(&mut self, bytes: &[u8]) -> Result<usize, NetError> {
        let mut used = 0;
        while !self.is_complete() {
            let rest = &bytes[used..];
            let Some(step) = self.step(rest)? else { break };
            used += step;
        }
        Ok(used)
    }

    /// The connection has ended; whether the response is complete with that.
    ///
    /// # Errors
    /// [`NetError::Eof`] when it is not, or may not be.
    pub fn ended(&mut self, end: End) -> Result<(), NetError> {
        self.keep_alive = false;
        match (self.expect, end) {
            (Expect::Nothing, _) => Ok(()),
            (Expect::UntilEnd, End::Clean) => {
                self.expect = Expect::Nothing;
                Ok(())
            }
            (_, End::Clean) => Err(NetError::Eof(EofKind::Closed)),
            (_, End::Truncated) => Err(NetError::Eof(EofKind::Truncated)),
        }
    }

    /// Whether the whole response is here.
    pub fn is_complete(&self) -> bool {
        self.expect == Expect::Nothing
    }

    /// Whether the head is here.
    pub fn has_head(&self) -> bool {
        self.expect != Expect::Head
    }

    /// Whether the connection may be used again after this response.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The status; 0 before the head is here.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The response; its parts are empty as long as it is not complete.
    pub fn response(&mut self) -> HttpResponse<'_> {
        HttpResponse {
            status: self.status,
            headers: Headers { head: &self.head, spans: &self.spans },
            body: &mut self.body,
        }
    }

    /// One step forward, or `None` when more bytes are needed.
    fn step(&mut self, rest: &[u8]) -> Result<Option<usize>, NetError> {
        match self.expect {
            Expect::Head => self.read_head(rest),
            Expect::Sized(left) => {
                let n = self.take_body(rest, left)?;
                self.expect = match left - n as u64 {
                    0 => Expect::Nothing,
                    left => Expect::Sized(left),
                };
                Ok((n > 0).then_some(n))
            }
            Expect::UntilEnd => {
                let n = self.take_body(rest, u64::MAX)?;
                Ok((n > 0).then_some(n))
            }
            Expect::ChunkLine => {
                let Some(line) = line(rest, CHUNK_LINE_BYTES_MAX, "the size of a chunk has no line end")? else {
                    return Ok(None);
                };
                let size = chunk_size(line)?;
                self.check_body_size(size)?;
                self.expect = if size == 0 { Expect::Trailer } else { Expect::Chunk(size) };
                Ok(Some(line.len() + 2))
            }
            Expect::Chunk(left) => {
                let n = self.take_body(rest, left)?;
                self.expect = match left - n as u64 {
                    0 => Expect::ChunkEnd,
                    left => Expect::Chunk(left),
                };
                Ok((n > 0).then_some(n))
            }
            Expect::ChunkEnd => match rest {
                [b'\r', b'\n', ..] => {
                    self.expect = Expect::ChunkLine;
                    Ok(Some(2))
                }
                [] | [b'\r'] => Ok(None),
                _ => Err(NetError::Http("a chunk is longer than its size")),
            },
            Expect::Trailer => {
                let left = TRAILER_BYTES_MAX.saturating_sub(self.trailer_bytes);
                let Some(line) = line(rest, left, "the trailers exceed 8 KiB")? else { return Ok(None) };
                self.trailer_bytes += line.len() + 2;
                if line.is_empty() {
                    self.expect = Expect::Nothing;
                }
                Ok(Some(line.len() + 2))
            }
            Expect::Nothing => Ok(None),
        }
    }

    fn take_body(&mut self, rest: &[u8], left: u64) -> Result<usize, NetError> {
        let n = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.check_body_size(n as u64)?;
        self.body.extend_from_slice(&rest[..n]);
        Ok(n)
    }

    fn check_body_size(&self, more: u64) -> Result<(), NetError> {
        let limit_bytes = self.limits.body_bytes_max;
        if more > limit_bytes.saturating_sub(self.body.len()) as u64 {
            return Err(NetError::MessageTooBig { limit_bytes });
        }
        Ok(())
    }

    fn read_head(&mut self, rest: &[u8]) -> Result<Option<usize>, NetError> {
        let offered = &rest[..rest.len().min(self.limits.head_bytes_max)];
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        let len = match parsed.parse(offered) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if offered.len() < rest.len() => {
                return Err(NetError::Http("status line and headers exceed the limit"));
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(NetError::Http("more than 128 headers")),
            Err(_) => return Err(NetError::Http("what came back is not HTTP")),
        };
        let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
            return Err(NetError::Http("what came back is not HTTP"));
        };
        if status < 200 {
            if status == 101 || status < 100 {
                return Err(NetError::Http("a status that nobody asked for"));
            }
            self.interim += 1;
            if self.interim > INTERIM_MAX {
                return Err(NetError::Http("too many interim responses"));
            }
            return Ok(Some(len));
        }
        let framing = Framing::read(parsed.headers, minor)?;
        self.status = status;
        self.keep_alive = framing.keep_alive;
        self.expect = match framing {
            // RFC 9112, 6.3: these have no body, whatever their headers say.
            _ if matches!(status, 204 | 304) => Expect::Nothing,
            Framing { chunked: true, .. } => Expect::ChunkLine,
            Framing { length: Some(0), .. } => Expect::Nothing,
            Framing { length: Some(length), .. } => {
                self.check_body_size(length)?;
                Expect::Sized(length)
            }
            Framing { .. } => {
                self.keep_alive = false;
                Expect::UntilEnd
            }
        };
        self.head.extend_from_slice(&offered[..len]);
        let base = offered.as_ptr() as usize;
        let span = |part: &[u8]| {
            let start = part.as_ptr() as usize - base;
            // The head has at most 32 KiB.
            (start as u16, (start + part.len()) as u16)
        };
        let spans =
            parsed.headers.iter().map(|header| Span { name: span(header.name.as_bytes()), value: span(header.value) });
        self.spans.extend(spans);
        Ok(Some(len))
    }
}

/// Where a body ends, and whether the connection lives on (RFC 9112, 6.3 and 9.3).
#[derive(Clone, Copy)]
struct Framing {
    chunked: bool,
    length: Option<u64>,
    keep_alive: bool,
}

impl Framing {
    fn read(headers: &[httparse::Header<'_>], minor: u8) -> Result<Self, NetError> {
        let mut framing = Self { chunked: false, length: None, keep_alive: minor >= 1 };
        let mut close = false;
        for header in headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                for part in header.value.split(|b| *b == b',') {
                    let length = decimal(part.trim_ascii())?;
                    if framing.length.is_some_and(|before| before != length) {
                        return Err(NetError::Http("two different Content-Length headers"));
                    }
                    framing.length = Some(length);
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if framing.chunked || !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(NetError::Http("a Transfer-Encoding other than chunked, which nobody asked for"));
                }
                framing.chunked = true;
            } else if header.name.eq_ignore_ascii_case("connection") {
                for part in header.value.split(|b| *b == b',') {
                    let part = part.trim_ascii();
                    close |= part.eq_ignore_ascii_case(b"close");
                    framing.keep_alive |= part.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        if framing.chunked && (framing.length.is_some() || minor == 0) {
            // Two readers could disagree about where this body ends; after it the connection is not to be trusted.
            framing.keep_alive = false;
        }
        framing.keep_alive &= !close;
        Ok(framing)
    }
}

fn decimal(digits: &[u8]) -> Result<u64, NetError> {
    let bad = NetError::Http("Content-Length is not a number");
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad);
    }
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(bad)
}

/// The size in hexadecimal, before extensions, which are ignored (RFC 9112, 7.1).
fn chunk_size(line: &[u8]) -> Result<u64, NetError> {
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if digits.is_empty() || digits.len() > 16 {
        return Err(NetError::Http("the size of a chunk is not a number"));
    }
    digits.iter().try_fold(0_u64, |size, digit| match char::from(*digit).to_digit(16) {
        Some(value) => Ok(size << 4 | u64::from(value)),
        None => Err(NetError::Http("the size of a chunk is not a number")),
    })
}

/// The line at the front, without its end, or `None` when it is not complete yet.
fn line<'a>(rest: &'a [u8], bytes_max: usize, too_long: &'static str) -> Result<Option<&'a [u8]>, NetError> {
    let Some(at) = memchr::memchr(b'\n', &rest[..rest.len().min(bytes_max + 2)]) else {
        return if rest.len() >= bytes_max + 2 { Err(NetError::Http(too_long)) } else { Ok(None) };
    };
    match rest[..at].split_last() {
        Some((b'\r', line)) => Ok(Some(line)),
        _ => Err(NetError::Http("a line of a chunked body does not end in CR LF")),
    }
}

/// One HTTP connection.
///
/// Open it, register [`HttpLink::source`], hand it a [`HttpLink::request`] at any time, and for every event call
/// [`HttpLink::ready`] and then [`HttpLink::fill`] as long as it says that there may be more. When
/// [`HttpLink::response`] answers something, the response is complete; [`HttpLink::reusable`] then says whether another
/// request may follow.
///
/// Nothing here knows the time; see [`HttpLink::timed_out`].
#[derive(Debug)]
pub struct HttpLink {
    stream: Stream,
    host_header: String,
    user_agent: String,
    input: InBuf,
    out: OutBuf,
    reader: ResponseReader,
    state: HttpState,
    /// A failed write; reported when everything received before it has been read, because that may be an answer.
    send_error: Option<NetError>,
}

/// What an HTTP link is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HttpState {
    /// The connection; a request may be waiting for it.
    Connecting,
    /// A request.
    Idle,
    /// The rest of a response.
    Awaiting,
    /// The caller to look at a response.
    Answered,
    Closed,
}

impl HttpLink {
    /// Begins to connect to `addr`, which is one of the addresses of [`NetConfig::connect_to`]. The path of the URL is not used.
    ///
    /// # Errors
    /// [`NetError::Connect`], [`NetError::Tls`], or [`NetError::Misuse`] for a URL that is not `http` or `https`.
    pub fn open(addr: SocketAddr, url: &Url, config: &NetConfig) -> Result<Self, NetError> {
        if url.scheme().is_websocket() {
            return Err(NetError::Misuse("an HTTP request needs an http:// or https:// URL"));
        }
        Ok(Self {
            stream: Stream::open(addr, url, config, ReadMode::Recv)?,
            host_header: url.host_header(),
            user_agent: config.user_agent.clone(),
            input: InBuf::new(IN_BYTES),
            out: OutBuf::new(2 * 1024, config.http.request_bytes_max),
            reader: ResponseReader::new(config.http),
            state: HttpState::Connecting,
            send_error: None,
        })
    }

    /// The socket, to be registered for reading and writing.
    pub fn source(&mut self) -> &mut TcpStream {
        self.stream.source()
    }

    /// The address connected to.
    pub fn addr(&self) -> SocketAddr {
        self.stream.addr()
    }

    /// Socket options that could not be set.
    pub fn failures(&self) -> &[Failure] {
        self.stream.failures()
    }

    /// What the link is waiting for: `Open` stands for a request as well as for a response.
    pub fn state(&self) -> LinkState {
        match (self.state, self.stream.progress()) {
            (HttpState::Closed, _) => LinkState::Closed,
            (HttpState::Connecting, Progress::Connecting) => LinkState::Connecting,
            (HttpState::Connecting, Progress::Tunnelling) => LinkState::ProxyHandshake,
            (HttpState::Connecting, Progress::Handshaking) => LinkState::TlsHandshake,
            _ => LinkState::Open,
        }
    }

    /// Sends a request, or keeps it until the connection is there. The response before it is forgotten.
    ///
    /// # Errors
    /// [`NetError::Misuse`] when a request is under way, the connection cannot be used again, or the request has
    /// characters that cannot be sent; [`NetError::SendBufferFull`] when it exceeds the limit. Nothing is sent then.
    /// [`NetError::Eof`] and [`NetError::Tls`]: the connection is finished.
    pub fn request(&mut self, request: &HttpRequest<'_>) -> Result<(), NetError> {
        match self.state {
            HttpState::Connecting if self.out.is_empty() => {}
            HttpState::Idle => {}
            HttpState::Answered if self.reusable() => {}
            HttpState::Connecting | HttpState::Awaiting => {
                return Err(NetError::Misuse("a second request before the first is answered"));
            }
            HttpState::Answered | HttpState::Closed => {
                return Err(NetError::Misuse("a request on a connection that cannot be used again"));
            }
        }
        let text = self.head(request)?;
        self.out.prepare(text.len().saturating_add(request.body.len()))?;
        self.out.push(text.as_bytes())?;
        self.out.push(request.body)?;
        self.reader.reset();
        if self.state != HttpState::Connecting {
            self.state = HttpState::Awaiting;
            self.flush().inspect_err(|_| self.state = HttpState::Closed)?;
        }
        Ok(())
    }

    /// Handles an event. `read_closed` says that the peer has closed its side.
    ///
    /// A failed write is no error yet: [`fill`](Self::fill) has to be called, because the server may have answered before it
    /// stopped listening, and reports it after that.
    ///
    /// # Errors
    /// Whatever ended the connection.
    pub fn ready(&mut self, _readable: bool, writable: bool, read_closed: bool) -> Result<LinkState, NetError> {
        if read_closed {
            self.stream.note_read_closed();
        }
        let result = match self.state {
            HttpState::Connecting => self.advance(),
            HttpState::Closed => Ok(()),
            _ if writable && self.send_error.is_none() => {
                self.send_error = self.flush().err();
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = result {
            self.state = HttpState::Closed;
            return Err(error);
        }
        Ok(self.state())
    }

    /// Reads once.
    ///
    /// An idle connection that the server closes becomes [`LinkState::Closed`] without an error.
    ///
    /// # Errors
    /// Whatever ended the connection: [`NetError::Http`], [`NetError::MessageTooBig`], [`NetError::Eof`]...
    pub fn fill(&mut self) -> Result<Fill, NetError> {
        if matches!(self.state, HttpState::Connecting | HttpState::Closed) {
            return Ok(Fill { bytes: 0, maybe_more: false });
        }
        let result = self.receive();
        if result.is_err() {
            self.state = HttpState::Closed;
        }
        result
    }

    /// The response, once it is complete, until the next request.
    pub fn response(&mut self) -> Option<HttpResponse<'_>> {
        self.reader.is_complete().then(|| self.reader.response())
    }

    /// Whether a request may be made now.
    pub fn reusable(&self) -> bool {
        match self.state {
            HttpState::Connecting => self.out.is_empty(),
            HttpState::Idle => true,
            HttpState::Answered => self.reader.keep_alive() && self.input.unread().is_empty() && self.out.is_empty(),
            HttpState::Awaiting | HttpState::Closed => false,
        }
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// [`NetError::Eof`] and [`NetError::Tls`]: the connection is finished.
    pub fn flush(&mut self) -> Result<(), NetError> {
        self.stream.flush()?;
        while !self.out.is_empty() {
            let sent = self.stream.send(self.out.as_slice())?;
            if sent == 0 {
                break;
            }
            self.out.consume(sent);
        }
        Ok(())
    }

    /// How many bytes wait to be sent.
    pub fn buffered_out(&self) -> usize {
        self.out.len() + self.stream.buffered_out()
    }

    /// Ends the connection. Then drop the link.
    pub fn shutdown(&mut self) {
        self.stream.shutdown();
        self.state = HttpState::Closed;
    }

    /// The error when the caller's deadline for the present phase has passed.
    pub fn timed_out(&self) -> NetError {
        match self.state() {
            LinkState::Connecting => NetError::ConnectTimeout { addr: self.stream.addr() },
            LinkState::ProxyHandshake => NetError::ProxyTimeout,
            LinkState::TlsHandshake => NetError::TlsTimeout,
            _ => NetError::HttpTimeout,
        }
    }

    fn advance(&mut self) -> Result<(), NetError> {
        if self.stream.advance()? != Progress::Ready {
            return Ok(());
        }
        self.state = if self.out.is_empty() { HttpState::Idle } else { HttpState::Awaiting };
        self.send_error = self.flush().err();
        Ok(())
    }

    fn receive(&mut self) -> Result<Fill, NetError> {
        let recv = self.stream.recv(&mut self.input)?;
        if recv.bytes == 0
            && let Some(error) = self.send_error.take()
        {
            return Err(error);
        }
        if self.state == HttpState::Awaiting {
            let used = self.reader.offer(self.input.unread())?;
            self.input.consume(used);
            if let Some(end) = recv.end
                && !self.reader.is_complete()
            {
                self.reader.ended(end)?;
            }
            if self.reader.is_complete() {
                self.state = HttpState::Answered;
            }
        } else if !self.input.unread().is_empty() {
            // Whatever it is, nobody asked for it, and the next response could not be told from it.
            self.state = HttpState::Closed;
        }
        if recv.end.is_some() {
            // A complete response stays readable.
            self.state = HttpState::Closed;
        }
        Ok(Fill { bytes: recv.bytes, maybe_more: recv.maybe_more && self.state != HttpState::Closed })
    }

    /// The head of a request.
    fn head(&self, request: &HttpRequest<'_>) -> Result<String, NetError> {
        let target = request.target;
        if !target.starts_with('/') || !target.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b'#') {
            return Err(NetError::Misuse("a request target begins with / and has no spaces; write others as %XX"));
        }
        let mut text = String::with_capacity(256 + target.len());
        let mut add = |parts: &[&str]| parts.iter().for_each(|part| text.push_str(part));
        add(&[request.method.as_str(), " ", target, " HTTP/1.1\r\nHost: ", &self.host_header, "\r\n"]);
        let mut named_agent = self.user_agent.is_empty();
        for (name, value) in request.headers {
            check_header(name, value)?;
            let reserved = ["host", "content-length", "transfer-encoding", "connection"];
            if reserved.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
                return Err(NetError::Misuse("a header that the link sets itself"));
            }
            named_agent |= name.eq_ignore_ascii_case("user-agent");
            add(&[name, ": ", value, "\r\n"]);
        }
        if !named_agent {
            add(&["User-Agent: ", &self.user_agent, "\r\n"]);
        }
        if !request.body.is_empty() || matches!(request.method, Method::Post | Method::Put) {
            add(&["Content-Length: ", &request.body.len().to_string(), "\r\n"]);
        }
        add(&["\r\n"]);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ureq_proto::client::{Call, RecvResponseResult, SendRequestResult};

    use super::*;

    const LIMITS: HttpLimits = HttpLimits { head_bytes_max: 1024, body_bytes_max: 4096, request_bytes_max: 4096 };

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Read {
        status: u16,
        body: Vec<u8>,
        keep_alive: bool,
        /// How many bytes were left behind the response.
        left: usize,
    }

    /// Offers `bytes` in pieces, the lengths of which go round in `pieces`, and then the end, if there is one.
    fn read(bytes: &[u8], pieces: &[usize], end: Option<End>) -> Result<Option<Read>, NetError> {
        let mut reader = ResponseReader::new(LIMITS);
        let (mut start, mut here, mut turn) = (0, 0, 0);
        while !reader.is_complete() && here < bytes.len() {
            here = (here + pieces[turn % pieces.len()].max(1)).min(bytes.len());
            turn += 1;
            start += reader.offer(&bytes[start..here])?;
        }
        if let Some(end) = end {
            reader.ended(end)?;
        }
        let keep_alive = reader.keep_alive();
        let complete = reader.is_complete();
        let response = reader.response();
        let read = Read { status: response.status, body: response.body.clone(), keep_alive, left: bytes.len() - start };
        Ok(complete.then_some(read))
    }

    fn whole(text: &str) -> Result<Option<Read>, NetError> {
        let read = read(text.as_bytes(), &[usize::MAX], None);
        assert_eq!(self::read(text.as_bytes(), &[1], None).map(drop_left), read.clone().map(drop_left), "{text}");
        read
    }

    /// Bytewise nothing is offered behind the end.
    fn drop_left(read: Option<Read>) -> Option<Read> {
        read.map(|read| Read { left: 0, ..read })
    }

    fn found(status: u16, body: &str, keep_alive: bool, left: usize) -> Result<Option<Read>, NetError> {
        Ok(Some(Read { status, body: body.into(), keep_alive, left }))
    }

    #[test]
    fn bodies_end_where_the_headers_say() {
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP"), found(200, "hello", true, 4));
        assert_eq!(whole("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), found(200, "", true, 0));
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), Ok(None));
        assert_eq!(
            whole("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 02\r\n\r\nab"),
            found(200, "ab", true, 0)
        );
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(whole(&format!("{chunked}5\r\nhello\r\n0\r\n\r\nxx")), found(200, "hello", true, 2));
        assert_eq!(
            whole(&format!("{chunked}A;x=y\r\n0123456789\r\n1 \r\nz\r\n0\r\nA: b\r\nC: d\r\n\r\n")),
            found(200, "0123456789z", true, 0)
        );
        assert_eq!(whole(&format!("{chunked}5\r\nhello\r\n0\r\n")), Ok(None));
        for status in [204, 304] {
            assert_eq!(whole(&format!("HTTP/1.1 {status} X\r\nContent-Length: 9\r\n\r\n")), found(status, "", true, 0));
        }
        assert_eq!(
            whole(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 418 X\r\nContent-Length: 1\r\n\r\nz"
            ),
            found(418, "z", true, 0)
        );
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection() {
        let text = b"HTTP/1.1 200 OK\r\n\r\nsome";
        assert_eq!(read(text, &[3], None), Ok(None));
        assert_eq!(read(text, &[3], Some(End::Clean)), found(200, "some", false, 0));
        assert_eq!(read(text, &[3], Some(End::Truncated)), Err(NetError::Eof(EofKind::Truncated)));
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell";
        assert_eq!(read(sized, &[3], Some(End::Clean)), Err(NetError::Eof(EofKind::Closed)));
        assert_eq!(read(b"HTTP/1.1 200", &[3], Some(End::Clean)), Err(NetError::Eof(EofKind::Closed)));
    }

    #[test]
    fn connections_are_kept_only_when_both_sides_agree() {
        let kept = |head: &str| whole(&format!("{head}Content-Length: 0\r\n\r\n")).unwrap().unwrap().keep_alive;
        assert!(kept("HTTP/1.1 200 OK\r\n"));
        assert!(!kept("HTTP/1.1 200 OK\r\nConnection: Close\r\n"));
        assert!(!kept("HTTP/1.1 200 OK\r\nConnection: x, close\r\n"));
        assert!(!kept("HTTP/1.1 200 OK\r\nConnection: close, x\r\nConnection: y\r\n"));
        assert!(!kept("HTTP/1.0 200 OK\r\n"));
        assert!(kept("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"));
        assert!(!kept("HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n"));
        // A length and chunks: the chunks count, and the connection is not used again.
        let both =
            whole("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
        assert_eq!(both, found(200, "a", false, 0));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let many_headers: String = (0..129).map(|i| format!("h{i}:\r\n")).collect();
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            "HTTP/2 200\r\n\r\n".to_owned(),
            "HTTP/1.1 99 X\r\n\r\n".to_owned(),
            "HTTP/1.1 101 Switching\r\n\r\n".to_owned(),
            "HTTP/1.1 103 X\r\n\r\n".repeat(9),
            format!("HTTP/1.1 200 OK\r\n{many_headers}\r\n"),
            format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1024)),
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n".to_owned(),
            format!("{chunked}\r\n"),
            format!("{chunked}+5\r\nhello\r\n"),
            format!("{chunked}xyz\r\n"),
            format!("{chunked}00000000000000005\r\nhello\r\n"),
            format!("{chunked}5\nhello\r\n"),
            format!("{chunked}5\r\nhello!\r\n"),
            format!("{chunked}5;{}", "x".repeat(2000)),
            format!("{chunked}0\r\n{}", "a: b\r\n".repeat(2000)),
        ] {
            let shown = &text[..text.len().min(60)];
            assert!(matches!(whole(&text), Err(NetError::Http(_))), "{shown:?} gave {:?}", whole(&text));
        }
    }

    #[test]
    fn bodies_over_the_limit_are_refused_as_early_as_possible() {
        let too_big = Err(NetError::MessageTooBig { limit_bytes: 4096 });
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n"), too_big);
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n"), too_big);
        assert_eq!(whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"), too_big);
        let body = "x".repeat(4096);
        assert_eq!(
            whole(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n{body}\r\n1\r\n")),
            too_big
        );
        assert_eq!(read(format!("HTTP/1.1 200 OK\r\n\r\n{body}y").as_bytes(), &[100], None), too_big);
        assert_eq!(
            whole(&format!("HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n{body}")),
            found(200, &body, true, 0)
        );
    }

    #[test]
    fn headers_are_found_in_any_case_and_not_printed() {
        let mut reader = ResponseReader::new(LIMITS);
        reader.offer(b"HTTP/1.1 429 Slow\r\nRetry-After: 17\r\nX-Secret: abc\r\nContent-Length: 3\r\n\r\nabc").unwrap();
        let response = reader.response();
        assert_eq!(response.headers.number("retry-after"), Some(17));
        assert_eq!(response.headers.value("X-SECRET"), Some(&b"abc"[..]));
        assert_eq!(response.headers.value("x-none"), None);
        assert_eq!(response.headers.iter().count(), 3);
        assert_eq!(format!("{response:?}"), "429 [\"Retry-After\", \"X-Secret\", \"Content-Length\"], body of 3 bytes");
        assert!(!format!("{reader:?}").contains("[97"));
        let request =
            HttpRequest { method: Method::Get, target: "/a?signature=abc", headers: &[("key", "abc")], body: b"abc" };
        assert_eq!(format!("{request:?}"), "GET /a");
    }

    #[test]
    fn a_reader_is_used_again_without_allocating() {
        let mut reader = ResponseReader::new(LIMITS);
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let mut places = Vec::new();
        for _ in 0..3 {
            reader.reset();
            assert_eq!(reader.offer(text), Ok(text.len()));
            places.push((reader.head.as_ptr(), reader.body.as_ptr(), reader.spans.as_ptr()));
        }
        assert!(places.windows(2).all(|pair| pair[0] == pair[1]));
    }

    /// What ureq-proto makes of the same bytes, all at once.
    fn judge(bytes: &[u8]) -> Option<(u16, Vec<u8>, usize)> {
        let request = ureq_proto::http::Request::get("http://a.b/").body(()).unwrap();
        let mut call = Call::new(request).unwrap().proceed();
        call.write(&mut [0; 1024]).unwrap();
        let Ok(Some(SendRequestResult::RecvResponse(mut call))) = call.proceed() else {
            panic!("no body was asked for")
        };
        let mut used = 0;
        let response = loop {
            let (n, response) = call.try_response(&bytes[used..], false).unwrap();
            used += n;
            match response {
                Some(response) => break response,
                None if n == 0 => return None,
                None => {}
            }
        };
        let status = response.status().as_u16();
        let RecvResponseResult::RecvBody(mut call) = call.proceed().unwrap() else {
            return Some((status, Vec::new(), used));
        };
        let mut body = Vec::new();
        let mut space = vec![0; 8192];
        loop {
            let (n, out) = call.read(&bytes[used..], &mut space).unwrap();
            body.extend_from_slice(&space[..out]);
            used += n;
            if n == 0 && out == 0 {
                return call.can_proceed().then_some((status, body, used));
            }
        }
    }

    proptest! {
        #[test]
        fn reads_as_ureq_does(
            status in prop_oneof![Just(200_u16), Just(204), 200_u16..600],
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6),
            chunked: bool,
            trailer in prop_oneof![Just(""), Just("T: x\r\n")],
            interim in prop_oneof![3 => Just(""), 1 => Just("HTTP/1.1 102 Wait\r\n\r\n")],
            behind in prop::collection::vec(any::<u8>(), 0..5),
            cut in 0.0..1.3_f64,
            pieces in prop::collection::vec(1_usize..200, 1..6),
        ) {
            let mut bytes = format!("{interim}HTTP/1.1 {status} X\r\nServer: test\r\n").into_bytes();
            if chunked {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                if status != 204 && status != 304 {
                    for chunk in &chunks {
                        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                        bytes.extend(chunk);
                        bytes.extend(b"\r\n");
                    }
                    bytes.extend(format!("0\r\n{trailer}\r\n").bytes());
                }
            } else {
                let body = chunks.concat();
                bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                if status != 204 && status != 304 {
                    bytes.extend(body);
                }
            }
            bytes.extend(behind);
            bytes.truncate((bytes.len() as f64 * cut) as usize);
            let got = read(&bytes, &[usize::MAX], None).unwrap();
            let judged = judge(&bytes).map(|(status, body, used)| (status, body, bytes.len() - used));
            prop_assert_eq!(got.clone().map(|read| (read.status, read.body, read.left)), judged);
            prop_assert_eq!(read(&bytes, &pieces, None).map(drop_left), Ok(drop_left(got)));
        }

        #[test]
        fn any_bytes_are_survived(
            front in prop::sample::select(vec![
                "",
                "HTTP/1.1 200 OK\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            ]),
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'0')], 0..200),
            piece in 1_usize..50,
        ) {
            let bytes = [front.as_bytes(), &bytes].concat();
            let _ = read(&bytes, &[piece], Some(End::Clean));
        }
    }
}
