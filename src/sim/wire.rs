//! The venue's end of one connection at the level of bytes: HTTP/1.1 requests and answers, the upgrade, WebSocket
//! frames. It knows no socket, so the server and tests with a virtual clock run the same code.
//!
//! How to drive it: give what was received to [`ServerWire::on_bytes`], answer each [`Input::Request`] with
//! [`ServerWire::reply`] and each [`Input::Upgrade`] with [`ServerWire::accept`] or a reply, hand everything the venue
//! says to [`ServerWire::push`], and send what [`ServerWire::take`] gives. When [`ServerWire::is_finished`] the
//! connection is to be closed; while [`ServerWire::is_stalled`] nothing is to be read or written.
//!
//! The faults of bytes are applied here: [`WireFault::Split`] limits what `take` gives at a time, [`WireFault::Glue`]
//! holds frames back until several leave together, [`WireFault::Fragment`] cuts messages into several frames.
//!
//! It is a strict server: frames without a mask, reserved bits, long control frames and the like are violations. It
//! offers no extension.

use std::fmt::Write as _;

use fastrand::Rng;
use tungstenite::handshake::derive_accept_key;

use super::faults::WireFault;

/// Longest head of a request, in bytes; an address with 1,024 streams fits.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Longest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest message of a client, in bytes, joined from its frames.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// How long glued frames wait for company at most, in nanoseconds.
pub const GLUE_NS_MAX: u64 = 50_000_000;
/// Time between two pieces of split bytes, in nanoseconds.
pub const SPLIT_PAUSE_NS: u64 = 20_000;
/// Time between two pings that a client gets between fragments, in nanoseconds; other gaps hold pongs, which need no
/// answer, so that the fault does not make the client break the venue's message limit.
pub const FRAGMENT_PING_NS: u64 = 2_000_000_000;

/// A request as it was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Method in the client's spelling.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header names in lower case, values without surrounding spaces.
    pub headers: Vec<(String, String)>,
    /// Body, empty where there is none.
    pub body: Vec<u8>,
}

impl Request {
    /// Value of the first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// HTTP status.
    pub status: u16,
    /// Headers beside those of the transport (length, connection).
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: String,
    /// How long the venue thinks before it answers, in nanoseconds.
    pub delay_ns: u64,
}

/// What a venue sends to one WebSocket connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// A text message.
    Text(String),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame; nothing follows, the connection ends when it is sent.
    Close {
        /// Close code.
        code: u16,
        /// Reason, at most 123 bytes.
        reason: String,
    },
    /// The end of the connection without a close frame; half of what has not been sent is lost.
    Cut,
    /// From now on nothing is read or written, and the connection stays open.
    Stall,
    /// From now until a time (Unix nanoseconds) bytes leave in an odd way.
    Wire(WireFault, u64),
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A request to answer.
    Request(Request),
    /// A request to become a WebSocket; answer it.
    Upgrade(Request),
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame with its code, if it had one.
    Close(Option<u16>),
    /// The client broke a rule of HTTP or WebSocket; the connection is already on its way to its end.
    Violation(Violation),
}

/// A rule of HTTP or WebSocket that a client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// Not HTTP/1.1, or a head that makes no sense.
    BadRequest,
    /// Head or body beyond [`HEAD_BYTES_MAX`] or [`BODY_BYTES_MAX`].
    RequestTooLarge,
    /// A frame without a mask.
    UnmaskedFrame,
    /// Reserved bits, unknown opcodes, long or fragmented control frames, fragments out of order.
    BadFrame,
    /// A message beyond [`MESSAGE_BYTES_MAX`].
    MessageTooLarge,
    /// A text message that is not UTF-8.
    BadUtf8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    ExpectRequest,
    /// A request was handed out and not answered yet; what follows waits in the buffer.
    ExpectReply,
    ExpectFrames,
    /// The last bytes are in the buffer.
    Draining,
    Stalled,
}

/// The venue's end of one connection. See the module's documentation.
#[derive(Debug)]
pub struct ServerWire {
    phase: Phase,
    /// Received bytes; those before `input_start` are dealt with.
    input: Vec<u8>,
    input_start: usize,
    /// How many bytes behind `input_start` hold no end of a head, so that a head in small pieces is looked at once.
    searched: usize,
    /// Payload of a fragmented message so far, and whether it is text.
    message: Option<(Vec<u8>, bool)>,
    upgrade_key: Option<String>,
    keep_alive: bool,
    head_only: bool,
    out: Vec<u8>,
    out_start: usize,
    out_bytes_max: usize,
    overflowed: bool,
    cut: bool,
    split: (u32, u64),
    next_piece_ns: u64,
    glue: (u32, u64),
    glued: u32,
    glue_release_ns: u64,
    fragment_until_ns: u64,
    fragment_ping_ns: u64,
    frames_sent: u64,
    rng: Rng,
}

impl ServerWire {
    /// A fresh connection that holds at most `out_bytes_max` unsent bytes.
    pub fn new(out_bytes_max: usize, seed: u64) -> Self {
        ServerWire {
            phase: Phase::ExpectRequest,
            input: Vec::new(),
            input_start: 0,
            searched: 0,
            message: None,
            upgrade_key: None,
            keep_alive: true,
            head_only: false,
            out: Vec::new(),
            out_start: 0,
            out_bytes_max,
            overflowed: false,
            cut: false,
            split: (0, 0),
            next_piece_ns: 0,
            glue: (0, 0),
            glued: 0,
            glue_release_ns: 0,
            fragment_until_ns: 0,
            fragment_ping_ns: 0,
            frames_sent: 0,
            rng: Rng::with_seed(seed),
        }
    }

    /// Takes received bytes in and appends what they mean to `inputs`. May be called without bytes to go on with what
    /// waited for a reply.
    pub fn on_bytes(&mut self, bytes: &[u8], inputs: &mut Vec<Input>) {
        if matches!(self.phase, Phase::Draining | Phase::Stalled) {
            return;
        }
        self.input.extend_from_slice(bytes);
        self.read_inputs(inputs);
        self.input.drain(..self.input_start);
        self.input_start = 0;
    }

    fn read_inputs(&mut self, inputs: &mut Vec<Input>) {
        loop {
            let step = match self.phase {
                Phase::ExpectRequest => self.next_request(),
                Phase::ExpectFrames => self.next_frame(),
                Phase::ExpectReply if self.input.len() - self.input_start > HEAD_BYTES_MAX + BODY_BYTES_MAX => {
                    Err(Violation::RequestTooLarge)
                }
                _ => Ok(None),
            };
            match step {
                Ok(Some(input)) => inputs.push(input),
                Ok(None) => return,
                Err(violation) => {
                    self.refuse(violation);
                    inputs.push(Input::Violation(violation));
                    return;
                }
            }
        }
    }

    /// Answers the request that was handed out last. A request to become a WebSocket may be answered so too.
    pub fn reply(&mut self, reply: &HttpReply) {
        if self.phase != Phase::ExpectReply {
            return;
        }
        let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
        for (name, value) in &reply.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        let _ = write!(head, "Content-Length: {}\r\nConnection: {connection}\r\n\r\n", reply.body.len());
        self.append(head.as_bytes());
        if !self.head_only {
            self.append(reply.body.as_bytes());
        }
        self.upgrade_key = None;
        self.phase = if self.keep_alive { Phase::ExpectRequest } else { Phase::Draining };
    }

    /// Answers the request to become a WebSocket with 101.
    pub fn accept(&mut self, now_ns: u64) {
        let Some(key) = self.upgrade_key.take() else { return };
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        self.append(head.as_bytes());
        self.count_glued(now_ns);
        self.phase = Phase::ExpectFrames;
    }

    /// Queues what the venue says. Ignored once the connection is on its way to its end.
    pub fn push(&mut self, now_ns: u64, out: &Out) {
        if let Out::Wire(fault, until_ns) = out {
            match fault {
                WireFault::Split(bytes) => self.split = (*bytes, *until_ns),
                WireFault::Glue(frames) => self.glue = (*frames, *until_ns),
                WireFault::Fragment => self.fragment_until_ns = *until_ns,
            }
            return;
        }
        if matches!(self.phase, Phase::Draining | Phase::Stalled) {
            return;
        }
        match out {
            Out::Text(text) if now_ns < self.fragment_until_ns && text.len() > 1 => {
                self.fragments(now_ns, text.as_bytes());
            }
            Out::Text(text) => self.frame(now_ns, 0x81, text.as_bytes()),
            Out::Ping(payload) => self.frame(now_ns, 0x89, payload),
            Out::Pong(payload) => self.frame(now_ns, 0x8a, payload),
            Out::Close { code, reason } => {
                let mut payload = code.to_be_bytes().to_vec();
                let mut end = reason.len().min(123);
                while !reason.is_char_boundary(end) {
                    end -= 1;
                }
                payload.extend_from_slice(&reason.as_bytes()[..end]);
                self.frame(now_ns, 0x88, &payload);
                self.finish();
            }
            Out::Cut => {
                let keep = self.pending() / 2;
                self.out.truncate(self.out_start + keep);
                self.cut = true;
                self.finish();
            }
            Out::Stall => self.phase = Phase::Stalled,
            Out::Wire(..) => {}
        }
    }

    /// Ends the connection once everything queued is sent.
    pub fn finish(&mut self) {
        self.phase = Phase::Draining;
        self.glued = 0;
    }

    /// Moves at most `max` bytes that may leave now to the end of `into` and returns how many.
    pub fn take(&mut self, now_ns: u64, max: usize, into: &mut Vec<u8>) -> usize {
        if self.phase == Phase::Stalled || self.next_take_ns().is_some_and(|next_ns| next_ns > now_ns) {
            return 0;
        }
        let mut count = self.pending().min(max);
        if now_ns < self.split.1 && count > 0 {
            // Long answers would take forever in tiny pieces, so the pieces grow with what waits.
            let piece = (self.split.0 as usize).max(self.pending() / 64);
            count = count.min(self.rng.usize(1..piece.max(1) + 1));
            self.next_piece_ns = now_ns + SPLIT_PAUSE_NS;
        }
        into.extend_from_slice(&self.out[self.out_start..self.out_start + count]);
        self.out_start += count;
        if self.out_start == self.out.len() {
            self.out.clear();
            self.out_start = 0;
            self.glued = 0;
        } else if self.out_start > 64 * 1024 && self.out_start * 2 > self.out.len() {
            self.out.drain(..self.out_start);
            self.out_start = 0;
        }
        count
    }

    /// When the next bytes may leave: `None` without any, a time in the past (or zero) for at once.
    pub fn next_take_ns(&self) -> Option<u64> {
        if self.pending() == 0 || self.phase == Phase::Stalled {
            return None;
        }
        let held = self.glued > 0 && self.glued < self.glue.0;
        Some(if held { self.glue_release_ns } else { self.next_piece_ns })
    }

    /// Bytes that wait to be sent.
    pub fn pending(&self) -> usize {
        self.out.len() - self.out_start
    }

    /// True when everything is sent and the connection is to be closed.
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Draining && self.pending() == 0
    }

    /// True when the connection takes no more input and is on its way to its end.
    pub fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    /// True when the connection is to end without a farewell of any layer.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// True when nothing is to be read or written any more.
    pub fn is_stalled(&self) -> bool {
        self.phase == Phase::Stalled
    }

    /// True when the client reads so slowly that the buffer is full; the connection is to be cut.
    pub fn is_overflowed(&self) -> bool {
        self.overflowed
    }

    /// WebSocket frames queued so far.
    pub fn frames_sent(&self) -> u64 {
        self.frames_sent
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.pending() + bytes.len() > self.out_bytes_max {
            self.overflowed = true;
            return;
        }
        self.out.extend_from_slice(bytes);
    }

    /// Counts what belongs together while frames are glued.
    fn count_glued(&mut self, now_ns: u64) {
        if now_ns < self.glue.1 {
            if self.glued == 0 {
                self.glue_release_ns = now_ns + GLUE_NS_MAX;
            }
            self.glued += 1;
        } else {
            self.glued = 0;
        }
    }

    fn frame(&mut self, now_ns: u64, first_byte: u8, payload: &[u8]) {
        let mut head = [0u8; 10];
        head[0] = first_byte;
        let head_len = match payload.len() {
            len @ 0..126 => {
                head[1] = len as u8;
                2
            }
            len @ 126..65_536 => {
                head[1] = 126;
                head[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                4
            }
            len => {
                head[1] = 127;
                head[2..].copy_from_slice(&(len as u64).to_be_bytes());
                10
            }
        };
        if self.pending() + head_len + payload.len() > self.out_bytes_max {
            self.overflowed = true;
            return;
        }
        self.out.extend_from_slice(&head[..head_len]);
        self.out.extend_from_slice(payload);
        self.frames_sent += 1;
        self.count_glued(now_ns);
    }

    fn fragments(&mut self, now_ns: u64, payload: &[u8]) {
        let count = self.rng.usize(2..5).min(payload.len());
        let mut at = 0;
        for i in 0..count {
            let left = count - i - 1;
            let end = if left == 0 { payload.len() } else { self.rng.usize(at + 1..payload.len() - left + 1) };
            let opcode = if i == 0 { 0x01 } else { 0x00 };
            let fin = if left == 0 { 0x80 } else { 0x00 };
            self.frame(now_ns, fin | opcode, &payload[at..end]);
            at = end;
            if left > 0 {
                if now_ns >= self.fragment_ping_ns {
                    self.fragment_ping_ns = now_ns + FRAGMENT_PING_NS;
                    self.frame(now_ns, 0x89, b"between");
                } else {
                    self.frame(now_ns, 0x8a, b"");
                }
            }
        }
    }

    /// Sends what tells the client of its mistake, and ends the connection.
    fn refuse(&mut self, violation: Violation) {
        let code: u16 = match violation {
            Violation::BadRequest | Violation::RequestTooLarge => {
                self.phase = Phase::ExpectReply;
                self.keep_alive = false;
                let status = if violation == Violation::BadRequest { 400 } else { 431 };
                self.reply(&HttpReply { status, headers: Vec::new(), body: String::new(), delay_ns: 0 });
                return;
            }
            Violation::UnmaskedFrame | Violation::BadFrame => 1002,
            Violation::MessageTooLarge => 1009,
            Violation::BadUtf8 => 1007,
        };
        self.frame(0, 0x88, &code.to_be_bytes());
        self.finish();
    }

    fn next_request(&mut self) -> Result<Option<Input>, Violation> {
        let input = &self.input[self.input_start..];
        let from = self.searched.saturating_sub(3).min(input.len());
        let Some(end) = find(&input[from..], b"\r\n\r\n").map(|end| from + end) else {
            self.searched = input.len();
            let too_long = input.len() > HEAD_BYTES_MAX;
            return if too_long { Err(Violation::RequestTooLarge) } else { Ok(None) };
        };
        if end > HEAD_BYTES_MAX {
            return Err(Violation::RequestTooLarge);
        }
        // Where the end is found again at once, should the body be still on its way.
        self.searched = end;
        let head = std::str::from_utf8(&input[..end]).map_err(|_| Violation::BadRequest)?;
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (first.next(), first.next(), first.next(), first.next())
        else {
            return Err(Violation::BadRequest);
        };
        if method.is_empty() || !target.starts_with('/') {
            return Err(Violation::BadRequest);
        }
        let mut request =
            Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() };
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(Violation::BadRequest)?;
            if name.is_empty() || name.ends_with(' ') {
                return Err(Violation::BadRequest);
            }
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if request.header("transfer-encoding").is_some() {
            return Err(Violation::BadRequest);
        }
        let body_len = match request.header("content-length") {
            Some(text) => text.parse::<usize>().map_err(|_| Violation::BadRequest)?,
            None => 0,
        };
        if body_len > BODY_BYTES_MAX {
            return Err(Violation::RequestTooLarge);
        }
        let total = end + 4 + body_len;
        if input.len() < total {
            return Ok(None);
        }
        request.body = input[end + 4..total].to_vec();
        self.input_start += total;
        self.searched = 0;
        self.phase = Phase::ExpectReply;
        self.head_only = request.method == "HEAD";
        let has = |name: &str, token: &str| {
            request.header(name).is_some_and(|v| v.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
        };
        self.keep_alive = !has("connection", "close");
        if !has("upgrade", "websocket") {
            return Ok(Some(Input::Request(request)));
        }
        let version = request.header("sec-websocket-version") == Some("13");
        // The base64 of 16 bytes.
        let key = request.header("sec-websocket-key").filter(|key| key.len() == 24 && key.ends_with("=="));
        match key {
            Some(key) if version && has("connection", "upgrade") && request.method == "GET" => {
                self.upgrade_key = Some(key.to_owned());
                Ok(Some(Input::Upgrade(request)))
            }
            _ => Err(Violation::BadRequest),
        }
    }

    fn next_frame(&mut self) -> Result<Option<Input>, Violation> {
        loop {
            let before = self.input_start;
            match self.one_frame()? {
                // A part of a message was taken in and there is nothing to report yet.
                None if self.input_start > before => {}
                input => return Ok(input),
            }
        }
    }

    /// One frame, or `None` when it is not there yet or is only a part of a message.
    fn one_frame(&mut self) -> Result<Option<Input>, Violation> {
        let input = &self.input[self.input_start..];
        let [first, second, ..] = *input else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let control = opcode >= 8;
        if first & 0x70 != 0 || !matches!(opcode, 0..=2 | 8..=10) {
            return Err(Violation::BadFrame);
        }
        if second & 0x80 == 0 {
            return Err(Violation::UnmaskedFrame);
        }
        let (len, head_len) = match second & 0x7f {
            126 => match input.get(2..4) {
                Some(bytes) => (bytes.iter().fold(0u64, |len, b| len << 8 | u64::from(*b)), 4),
                None => return Ok(None),
            },
            127 => match input.get(2..10) {
                Some(bytes) => (bytes.iter().fold(0u64, |len, b| len << 8 | u64::from(*b)), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        if control && (len > 125 || !fin) {
            return Err(Violation::BadFrame);
        }
        let so_far = self.message.as_ref().map_or(0, |(payload, _)| payload.len());
        if !control && len.saturating_add(so_far as u64) > MESSAGE_BYTES_MAX as u64 {
            return Err(Violation::MessageTooLarge);
        }
        let body = head_len + 4;
        let total = body + len as usize;
        if input.len() < total {
            return Ok(None);
        }
        let mask = [input[head_len], input[head_len + 1], input[head_len + 2], input[head_len + 3]];
        let mut payload = input[body..total].to_vec();
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        self.input_start += total;
        match (opcode, &mut self.message) {
            (8, _) => {
                let code = match payload[..] {
                    [] => None,
                    [_] => return Err(Violation::BadFrame),
                    [high, low, ..] => Some(u16::from_be_bytes([high, low])),
                };
                Ok(Some(Input::Close(code)))
            }
            (9, _) => Ok(Some(Input::Ping(payload))),
            (10, _) => Ok(Some(Input::Pong(payload))),
            (0, None) => Err(Violation::BadFrame),
            (0, Some((message, text))) => {
                message.extend_from_slice(&payload);
                if !fin {
                    return Ok(None);
                }
                let (message, text) = (std::mem::take(message), *text);
                self.message = None;
                joined(message, text)
            }
            (_, Some(_)) => Err(Violation::BadFrame),
            (_, None) if fin => joined(payload, opcode == 1),
            (_, None) => {
                self.message = Some((payload, opcode == 1));
                Ok(None)
            }
        }
    }
}

fn joined(payload: Vec<u8>, text: bool) -> Result<Option<Input>, Violation> {
    if !text {
        return Ok(Some(Input::Binary(payload)));
    }
    match String::from_utf8(payload) {
        Ok(text) => Ok(Some(Input::Text(text))),
        Err(_) => Err(Violation::BadUtf8),
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        418 => "I'm a teapot",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ if status < 500 => "Client Error",
        _ => "Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &[u8] =
        b"GET /ws/btcusdt@trade HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, \
        Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        let mask = [1u8, 2, 3, 4];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn open() -> ServerWire {
        let mut wire = ServerWire::new(1 << 20, 1);
        let mut inputs = Vec::new();
        wire.on_bytes(UPGRADE, &mut inputs);
        assert!(matches!(&inputs[..], [Input::Upgrade(request)] if request.target == "/ws/btcusdt@trade"));
        wire.accept(0);
        wire
    }

    fn taken(wire: &mut ServerWire, now_ns: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while wire.take(now_ns, usize::MAX, &mut out) > 0 {}
        out
    }

    fn opened() -> ServerWire {
        let mut wire = open();
        let head = taken(&mut wire, 0);
        // The example of RFC 6455, section 1.3.
        assert!(String::from_utf8(head).unwrap().contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        wire
    }

    #[test]
    fn requests_arrive_in_any_pieces_and_one_at_a_time() {
        let bytes = b"GET /api/v3/time HTTP/1.1\r\nHost: x\r\nX-Odd:  a b \r\n\r\nPOST /p HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 1..bytes.len() {
            let mut wire = ServerWire::new(1 << 20, 1);
            let mut inputs = Vec::new();
            wire.on_bytes(&bytes[..cut], &mut inputs);
            wire.on_bytes(&bytes[cut..], &mut inputs);
            assert_eq!(inputs.len(), 1, "the second waits for the first answer");
            let reply = HttpReply { status: 200, headers: vec![("X-A", "1".into())], body: "{}".into(), delay_ns: 0 };
            wire.reply(&reply);
            wire.on_bytes(&[], &mut inputs);
            let [Input::Request(first), Input::Request(second)] = &inputs[..] else { panic!("{inputs:?}") };
            assert_eq!((first.target.as_str(), first.header("x-odd")), ("/api/v3/time", Some("a b")));
            assert_eq!((second.method.as_str(), second.body.as_slice()), ("POST", b"abc".as_slice()));
            assert_eq!(
                taken(&mut wire, 0),
                b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}"
            );
            assert!(!wire.is_finished());
        }
    }

    #[test]
    fn head_has_no_body_and_close_closes() {
        let mut wire = ServerWire::new(1 << 20, 1);
        let mut inputs = Vec::new();
        wire.on_bytes(b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n", &mut inputs);
        wire.reply(&HttpReply { status: 418, headers: Vec::new(), body: "abc".into(), delay_ns: 0 });
        assert_eq!(taken(&mut wire, 0), b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
        assert!(wire.is_finished());
    }

    #[test]
    fn bad_requests_are_refused() {
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        let keyless = "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        for (bytes, violation) in [
            ("GET / HTTP/1.0\r\n\r\n", Violation::BadRequest),
            ("GET  / HTTP/1.1\r\n\r\n", Violation::BadRequest),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", Violation::BadRequest),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Violation::BadRequest),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", Violation::BadRequest),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", Violation::RequestTooLarge),
            (keyless, Violation::BadRequest),
            (&long, Violation::RequestTooLarge),
            (&"x".repeat(HEAD_BYTES_MAX + 1), Violation::RequestTooLarge),
        ] {
            let mut wire = ServerWire::new(1 << 20, 1);
            let mut inputs = Vec::new();
            wire.on_bytes(bytes.as_bytes(), &mut inputs);
            assert_eq!(inputs, [Input::Violation(violation)], "{}", &bytes[..bytes.len().min(60)]);
            let status: &[u8] = if violation == Violation::BadRequest { b"HTTP/1.1 400 " } else { b"HTTP/1.1 431 " };
            assert!(taken(&mut wire, 0).starts_with(status));
            assert!(wire.is_finished());
        }
    }

    #[test]
    fn frames_of_all_lengths_go_both_ways() {
        for len in [0, 1, 125, 126, 65_535, 65_536, MESSAGE_BYTES_MAX] {
            let text = "x".repeat(len);
            let mut wire = opened();
            let mut inputs = Vec::new();
            for piece in masked(0x81, text.as_bytes()).chunks(40_000) {
                wire.on_bytes(piece, &mut inputs);
            }
            assert_eq!(inputs, [Input::Text(text.clone())]);
            wire.push(0, &Out::Text(text.clone()));
            let bytes = taken(&mut wire, 0);
            let mut client = tungstenite::protocol::frame::FrameHeader::parse(&mut std::io::Cursor::new(&bytes));
            let (header, payload_len) = client.as_mut().unwrap().take().unwrap();
            assert!(header.is_final && header.mask.is_none());
            assert_eq!(payload_len as usize, len);
            assert_eq!(&bytes[bytes.len() - len..], text.as_bytes());
        }
    }

    #[test]
    fn client_fragments_are_joined_around_control_frames() {
        let mut bytes = masked(0x01, b"ab");
        bytes.extend(masked(0x89, b"p"));
        bytes.extend(masked(0x00, b"cd"));
        bytes.extend(masked(0x80, b"ef"));
        bytes.extend(masked(0x82, &[1, 2]));
        bytes.extend(masked(0x8a, b"q"));
        bytes.extend(masked(0x88, &[3, 232]));
        for cut in 1..bytes.len() {
            let mut wire = opened();
            let mut inputs = Vec::new();
            wire.on_bytes(&bytes[..cut], &mut inputs);
            wire.on_bytes(&bytes[cut..], &mut inputs);
            assert_eq!(
                inputs,
                [
                    Input::Ping(b"p".to_vec()),
                    Input::Text("abcdef".into()),
                    Input::Binary(vec![1, 2]),
                    Input::Pong(b"q".to_vec()),
                    Input::Close(Some(1000)),
                ]
            );
        }
    }

    #[test]
    fn a_flood_of_empty_fragments_is_taken_in_stride() {
        let mut bytes = masked(0x01, b"a");
        for _ in 0..100_000 {
            bytes.extend(masked(0x00, b""));
        }
        bytes.extend(masked(0x80, b"z"));
        let mut wire = opened();
        let mut inputs = Vec::new();
        for piece in bytes.chunks(16_384) {
            wire.on_bytes(piece, &mut inputs);
        }
        assert_eq!(inputs, [Input::Text("az".into())]);
    }

    #[test]
    fn frames_against_the_rules_end_the_connection() {
        let mut unmasked = masked(0x81, b"ab");
        unmasked[1] &= 0x7f;
        let mut huge = masked(0x81, b"");
        huge[1] = 0xff;
        huge.splice(2..2, [0xff; 8]);
        for (bytes, violation, code) in [
            (unmasked, Violation::UnmaskedFrame, 1002u16),
            (masked(0xc1, b"ab"), Violation::BadFrame, 1002),
            (masked(0x83, b"ab"), Violation::BadFrame, 1002),
            (masked(0x80, b"ab"), Violation::BadFrame, 1002),
            (masked(0x09, b"ab"), Violation::BadFrame, 1002),
            (masked(0x89, &[0; 126]), Violation::BadFrame, 1002),
            (masked(0x88, &[3]), Violation::BadFrame, 1002),
            ([masked(0x01, b"a"), masked(0x81, b"b")].concat(), Violation::BadFrame, 1002),
            (masked(0x81, &[0xff, 0xfe]), Violation::BadUtf8, 1007),
            (huge, Violation::MessageTooLarge, 1009),
            (
                [masked(0x01, &vec![b'x'; MESSAGE_BYTES_MAX]), masked(0x80, b"x")].concat(),
                Violation::MessageTooLarge,
                1009,
            ),
        ] {
            let mut wire = opened();
            let mut inputs = Vec::new();
            wire.on_bytes(&bytes, &mut inputs);
            assert_eq!(inputs, [Input::Violation(violation)]);
            let code = code.to_be_bytes();
            assert_eq!(taken(&mut wire, 0), [0x88, 2, code[0], code[1]]);
            assert!(wire.is_finished());
        }
    }

    #[test]
    fn a_full_buffer_is_reported_and_not_outgrown() {
        let mut wire = ServerWire::new(1_000, 1);
        wire.on_bytes(UPGRADE, &mut Vec::new());
        wire.accept(0);
        for _ in 0..100 {
            wire.push(0, &Out::Text("x".repeat(98)));
        }
        assert!(wire.is_overflowed());
        assert!(wire.pending() <= 1_000);
    }

    #[test]
    fn split_gives_small_pieces_with_pauses() {
        let mut wire = opened();
        wire.push(0, &Out::Wire(WireFault::Split(3), 1_000_000));
        wire.push(0, &Out::Text("hello world".into()));
        let mut got = Vec::new();
        let mut now_ns = 0;
        while wire.pending() > 0 {
            let before = got.len();
            assert!(wire.take(now_ns, usize::MAX, &mut got) > 0);
            assert!(got.len() - before <= 3);
            assert_eq!(wire.take(now_ns, usize::MAX, &mut got), 0, "a pause comes first");
            now_ns = wire.next_take_ns().unwrap_or(now_ns);
        }
        assert_eq!(got, b"\x81\x0bhello world");
        wire.push(2_000_000, &Out::Text("hello world".into()));
        assert_eq!(wire.take(2_000_000, usize::MAX, &mut got), 13);
    }

    #[test]
    fn glue_holds_frames_until_enough_are_there_or_a_while_has_passed() {
        let mut wire = ServerWire::new(1 << 20, 1);
        wire.on_bytes(UPGRADE, &mut Vec::new());
        wire.push(0, &Out::Wire(WireFault::Glue(3), 1_000_000_000));
        wire.accept(0);
        let mut got = Vec::new();
        wire.push(5, &Out::Text("a".into()));
        assert_eq!(wire.take(5, usize::MAX, &mut got), 0);
        assert_eq!(wire.next_take_ns(), Some(GLUE_NS_MAX));
        wire.push(6, &Out::Text("b".into()));
        wire.take(6, usize::MAX, &mut got);
        assert!(got.starts_with(b"HTTP/1.1 101") && got.ends_with(b"\r\n\r\n\x81\x01a\x81\x01b"));
        got.clear();
        wire.push(7, &Out::Text("c".into()));
        assert_eq!(wire.take(7, usize::MAX, &mut got), 0);
        assert_eq!(wire.take(7 + GLUE_NS_MAX, usize::MAX, &mut got), 3);
    }

    #[test]
    fn fragments_join_to_the_message_and_hold_control_frames() {
        let mut wire = opened();
        wire.push(0, &Out::Wire(WireFault::Fragment, 1_000));
        let text = "äöü and more of it, so that there is something to cut".to_owned();
        wire.push(0, &Out::Text(text.clone()));
        let bytes = taken(&mut wire, 0);
        let (mut at, mut joined, mut opcodes) = (0, Vec::new(), Vec::new());
        while at < bytes.len() {
            let (first, len) = (bytes[at], usize::from(bytes[at + 1]));
            opcodes.push(first);
            if first & 0x08 == 0 {
                joined.extend_from_slice(&bytes[at + 2..at + 2 + len]);
            }
            at += 2 + len;
        }
        assert_eq!(String::from_utf8(joined).unwrap(), text);
        assert_eq!(opcodes[0], 0x01);
        assert_eq!(opcodes.last(), Some(&0x80));
        assert_eq!(opcodes[1], 0x89, "the first gap holds a ping");
        assert!(opcodes.len() >= 3);
        wire.push(1_000, &Out::Text("whole".into()));
        assert_eq!(taken(&mut wire, 1_000), b"\x81\x05whole");
    }

    #[test]
    fn the_ends_of_a_connection() {
        let mut wire = opened();
        wire.push(0, &Out::Close { code: 1008, reason: "no".into() });
        wire.push(0, &Out::Text("late".into()));
        assert!(wire.is_draining() && !wire.is_finished());
        assert_eq!(taken(&mut wire, 0), b"\x88\x04\x03\xf0no");
        assert!(wire.is_finished());

        let mut wire = opened();
        wire.push(0, &Out::Text("12345678".into()));
        wire.push(0, &Out::Cut);
        assert_eq!(taken(&mut wire, 0).len(), 5, "half of what was queued");
        assert!(wire.is_finished());

        let mut wire = opened();
        wire.push(0, &Out::Text("12345678".into()));
        wire.push(0, &Out::Stall);
        assert_eq!(taken(&mut wire, 0), b"");
        assert!(wire.is_stalled() && !wire.is_finished());
        let mut inputs = Vec::new();
        wire.on_bytes(&masked(0x81, b"x"), &mut inputs);
        assert!(inputs.is_empty());
    }
}
