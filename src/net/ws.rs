//! WebSocket framing for a client (RFC 6455), without a socket.
//!
//! Drive it like this: read bytes into [`Ws::spare`], say how many with [`Ws::filled`], then call [`Ws::next`] until it
//! answers `None`. Whatever waits in [`Ws::out`] goes to the server. A message is lent from the reading buffer and is
//! gone at the next call; nothing is allocated or copied for it, except that the parts of a fragmented message are moved
//! together in place.
//!
//! Pings are answered here and reported all the same, so that the caller can count them. A close frame is answered here
//! too. What a server may not send ends the connection with the close code that RFC 6455 names for it: reserved bits and
//! opcodes, masked frames, long or fragmented control frames, continuation out of order, lengths not in their shortest
//! form, bad close codes, text that is not UTF-8, messages over the limit.
//!
//! Fast when a message arrives whole (a header of 2 to 10 bytes is looked at, and a slice is returned); slower when it
//! is larger than what is left of the buffer, because it then moves to the front once.

use super::buf::{OutBuf, PlainBuf};
use super::error::NetError;

/// Readable bytes behind the end of every payload, so that vector loads may run over it.
pub const PADDING_BYTES: usize = 64;

/// Below this much free space the buffer is tidied before a read.
const SPARE_BYTES_MIN: usize = 4 * 1024;

/// Smallest buffer: the head of the upgrade response has to fit, with room to read.
const BUFFER_BYTES_MIN: usize = 2 * super::handshake::HEAD_BYTES_MAX;

/// Longest payload of a control frame (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// Longest header of a frame that we send: 2 bytes, 8 of length, 4 of mask.
const HEADER_BYTES_MAX: usize = 14;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Sizes of one WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WsLimits {
    /// Size of the reading buffer at the start, in bytes.
    pub buffer_start_bytes: usize,
    /// The largest message that is accepted, in bytes. The buffer grows up to this and 8 KiB more.
    pub message_bytes_max: usize,
    /// The most bytes that may wait to be sent.
    pub out_bytes_max: usize,
    /// Whether text is checked to be UTF-8.
    pub text_check: TextCheck,
}

impl Default for WsLimits {
    fn default() -> Self {
        Self {
            buffer_start_bytes: 64 * 1024,
            message_bytes_max: 16 * 1024 * 1024,
            out_bytes_max: 256 * 1024,
            text_check: TextCheck::Trusted,
        }
    }
}

/// Whether text messages are checked to be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextCheck {
    /// Every byte, as early as it arrives (RFC 6455, 8.1).
    Strict,
    /// Not here: the reader of the JSON checks the strings that it hands out.
    Trusted,
}

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message; checked to be UTF-8 only with [`TextCheck::Strict`].
    Text(&'a mut [u8]),
    /// A binary message.
    Binary(&'a mut [u8]),
    /// A ping; its answer is already in the out buffer.
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The server's close frame; its answer is already in the out buffer, and nothing more will come.
    Close {
        /// The close code; 1005 when the frame had none.
        code: u16,
        /// The reason, at most 123 bytes.
        reason: &'a str,
    },
}

/// The client's end of one WebSocket. See the [module](self). `Debug` shows no content.
pub struct Ws {
    /// `usable()` bytes for data and [`PADDING_BYTES`] behind them.
    buf: Vec<u8>,
    /// Where the payload of the message under way begins; meaningful while `message` or `frame` is set.
    message_start: usize,
    /// How much of that payload is together.
    message_len: usize,
    /// How much of it is known to be UTF-8.
    checked_len: usize,
    /// First byte that has not been looked at.
    pos: usize,
    /// End of the data.
    end: usize,
    /// Text or binary, while a message is under way.
    message: Option<u8>,
    /// The data frame whose payload is still arriving.
    frame: Option<Unfinished>,
    life: Life,
    limits: WsLimits,
    out: OutBuf,
    masks: fastrand::Rng,
}

#[derive(Clone, Copy, Debug)]
struct Unfinished {
    remaining: usize,
    fin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// We sent a close frame and wait for the server's.
    CloseSent,
    /// Both close frames are done, or the server broke the protocol: whatever else comes is thrown away.
    Over,
}

impl Ws {
    /// A WebSocket that has just been upgraded. `seed` starts the generator of the masks.
    pub fn new(limits: WsLimits, seed: u64) -> Self {
        let usable = limits.buffer_start_bytes.max(BUFFER_BYTES_MIN);
        Self {
            buf: vec![0; usable + PADDING_BYTES],
            message_start: 0,
            message_len: 0,
            checked_len: 0,
            pos: 0,
            end: 0,
            message: None,
            frame: None,
            life: Life::Open,
            limits,
            out: OutBuf::new(4 * 1024, limits.out_bytes_max),
            masks: fastrand::Rng::with_seed(seed),
        }
    }

    /// What waits to be sent to the server.
    pub fn out(&mut self) -> &mut OutBuf {
        &mut self.out
    }

    /// How many bytes wait to be sent.
    pub fn out_len(&self) -> usize {
        self.out.len()
    }

    /// Whether the WebSocket is finished: closed from both sides, or broken.
    pub fn is_over(&self) -> bool {
        self.life == Life::Over
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.life == Life::Open
    }

    /// Bytes read and not yet taken; the upgrade response is read from here before the first frame.
    pub fn unread(&self) -> &[u8] {
        &self.buf[self.pos..self.end]
    }

    /// Forgets the first `n` unread bytes.
    pub fn consume(&mut self, n: usize) {
        self.pos = (self.pos + n).min(self.end);
    }

    /// The free part of the buffer. After [`next`](Self::next) has answered `None` it is never empty.
    pub fn spare(&mut self) -> &mut [u8] {
        PlainBuf::spare(self, SPARE_BYTES_MIN)
    }

    /// Says that the first `n` bytes of [`spare`](Self::spare) now hold data.
    pub fn filled(&mut self, n: usize) {
        PlainBuf::filled(self, n);
    }

    /// The next message, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`NetError::Protocol`], [`NetError::Utf8`] or [`NetError::MessageTooBig`]. The close frame for it is already in
    /// the out buffer, and from then on everything that arrives is thrown away.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it lends, which iterators cannot")]
    pub fn next(&mut self) -> Result<Option<Message<'_>>, NetError> {
        Ok(self.find()?.map(|found| self.lend(found)))
    }

    /// Whether everything that arrived has been taken.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.pos == self.end
    }

    /// The first half of [`next`](Self::next): where the next message is. Between the halves what waits in the out buffer
    /// can be sent.
    #[inline]
    pub(super) fn find(&mut self) -> Result<Option<Found>, NetError> {
        if self.pos == self.end {
            return Ok(None);
        }
        if let Some(found) = self.whole_frame() {
            return Ok(Some(found));
        }
        let found = self.advance();
        if let Err(error) = &found {
            self.fail(error);
        }
        found
    }

    /// Nearly every message is one data frame that is all here; it can be found without looking at anything else.
    /// Whatever is unusual is left to [`advance`](Self::advance), which can do this too.
    #[inline]
    fn whole_frame(&mut self) -> Option<Found> {
        if self.message.is_some() || self.life == Life::Over || self.limits.text_check == TextCheck::Strict {
            return None;
        }
        let bytes = &self.buf[self.pos..self.end];
        let (first, size, len) = match *bytes {
            [first @ (0x81 | 0x82), len @ 0..=125, ..] => (first, 2, usize::from(len)),
            [first @ (0x81 | 0x82), 126, high, low, ..] if high > 0 || low > 125 => {
                (first, 4, usize::from(u16::from_be_bytes([high, low])))
            }
            _ => return None,
        };
        if bytes.len() < size + len || len > self.limits.message_bytes_max {
            return None;
        }
        let start = self.pos + size;
        self.pos = start + len;
        Some(Found { opcode: first & 0x0F, start, len })
    }

    /// Queues a text message.
    ///
    /// # Errors
    /// [`NetError::SendBufferFull`], or [`NetError::Misuse`] after closing; nothing is queued then.
    pub fn send_text(&mut self, text: &[u8]) -> Result<(), NetError> {
        self.send(TEXT, text)
    }

    /// Queues a binary message.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.send(BINARY, bytes)
    }

    /// Queues a ping of at most 125 bytes.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text), and [`NetError::Misuse`] when it is too long.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), NetError> {
        self.send_control(PING, payload)
    }

    /// Queues an unasked pong of at most 125 bytes, which some venues want as a sign of life.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), NetError> {
        self.send_control(PONG, payload)
    }

    /// Queues a close frame; the reason is cut to 123 bytes. Does nothing when closing has begun already.
    ///
    /// # Errors
    /// [`NetError::Misuse`] for a code that may not be sent (RFC 6455, 7.4), [`NetError::SendBufferFull`].
    pub fn close(&mut self, code: u16, reason: &str) -> Result<(), NetError> {
        if !may_be_sent(code) {
            return Err(NetError::Misuse("a close code that may not be sent; use 1000 or 3000 to 4999"));
        }
        if self.life != Life::Open {
            return Ok(());
        }
        self.queue_close(code, reason)?;
        self.life = Life::CloseSent;
        Ok(())
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<(), NetError> {
        if self.life != Life::Open {
            return Err(NetError::Misuse("sending after the WebSocket was closed"));
        }
        self.queue(opcode, payload)
    }

    fn send_control(&mut self, opcode: u8, payload: &[u8]) -> Result<(), NetError> {
        if payload.len() > CONTROL_BYTES_MAX {
            return Err(NetError::Misuse("a ping or pong holds at most 125 bytes"));
        }
        self.send(opcode, payload)
    }

    fn queue_close(&mut self, code: u16, reason: &str) -> Result<(), NetError> {
        let mut payload = [0; CONTROL_BYTES_MAX];
        payload[..2].copy_from_slice(&code.to_be_bytes());
        let cut = reason.floor_char_boundary(CONTROL_BYTES_MAX - 2);
        payload[2..2 + cut].copy_from_slice(&reason.as_bytes()[..cut]);
        self.queue(CLOSE, &payload[..2 + cut])
    }

    /// Writes one final, masked frame into the out buffer, or nothing.
    fn queue(&mut self, opcode: u8, payload: &[u8]) -> Result<(), NetError> {
        let mask = self.masks.u32(..).to_ne_bytes();
        let mut header = [0; HEADER_BYTES_MAX];
        header[0] = 0x80 | opcode;
        let size = match payload.len() {
            len @ 0..126 => {
                header[1] = 0x80 | len as u8;
                2
            }
            len @ 126..0x1_0000 => {
                header[1] = 0x80 | 126;
                header[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                4
            }
            len => {
                header[1] = 0x80 | 127;
                header[2..10].copy_from_slice(&(len as u64).to_be_bytes());
                10
            }
        };
        header[size..size + 4].copy_from_slice(&mask);
        self.out.prepare(size + 4 + payload.len())?;
        self.out.push(&header[..size + 4])?;
        self.out.push(payload)?;
        apply_mask(mask, self.out.last_mut(payload.len()));
        Ok(())
    }

    /// Queues the close frame that goes with `error` and stops listening.
    fn fail(&mut self, error: &NetError) {
        if self.life == Life::Open {
            let code = match error {
                NetError::Protocol(_, code) => *code,
                NetError::Utf8 => 1007,
                NetError::MessageTooBig { .. } => 1009,
                _ => 1002,
            };
            // When even the close frame does not fit, the server learns it from the end of the connection.
            let _ = self.queue_close(code, "");
        }
        self.stop();
    }

    fn stop(&mut self) {
        self.life = Life::Over;
        self.message = None;
        self.frame = None;
        self.pos = self.end;
    }

    /// Advances to the next whole message and says where it is.
    fn advance(&mut self) -> Result<Option<Found>, NetError> {
        if self.life == Life::Over {
            self.pos = self.end;
            return Ok(None);
        }
        loop {
            if let Some(frame) = self.frame {
                // The payload arrives right behind what is already together, so taking it is counting it.
                let taken = frame.remaining.min(self.end - self.pos);
                self.pos += taken;
                self.message_len += taken;
                let remaining = frame.remaining - taken;
                let finished = remaining == 0 && frame.fin;
                self.check_text(finished)?;
                if remaining > 0 {
                    self.frame = Some(Unfinished { remaining, ..frame });
                    return Ok(None);
                }
                self.frame = None;
                if finished {
                    return Ok(self.message.take().map(|opcode| Found {
                        opcode,
                        start: self.message_start,
                        len: self.message_len,
                    }));
                }
            }
            let Some(header) = Header::parse(&self.buf[self.pos..self.end])? else { return Ok(None) };
            if header.opcode >= CLOSE {
                if self.end - self.pos < header.size + header.len {
                    return Ok(None);
                }
                let start = self.pos + header.size;
                self.pos = start + header.len;
                return self.control(header.opcode, start, header.len).map(Some);
            }
            self.begin(header)?;
        }
    }

    /// Starts a data frame: its payload continues the message under way, or begins one.
    fn begin(&mut self, header: Header) -> Result<(), NetError> {
        let payload = self.pos + header.size;
        match (header.opcode, self.message) {
            (CONTINUATION, None) => {
                return Err(NetError::Protocol("a continuation frame without a message to continue", 1002));
            }
            (CONTINUATION, Some(_)) => {}
            (_, Some(_)) => return Err(NetError::Protocol("a new message within a fragmented one", 1002)),
            (opcode, None) => {
                self.message = Some(opcode);
                self.message_start = payload;
                self.message_len = 0;
                self.checked_len = 0;
            }
        }
        if header.len > self.limits.message_bytes_max - self.message_len {
            return Err(NetError::MessageTooBig { limit_bytes: self.limits.message_bytes_max });
        }
        let joined_end = self.message_start + self.message_len;
        if payload != joined_end {
            // Only this frame's bytes move: a flood of tiny fragments must not move the whole buffer each time.
            let here = header.len.min(self.end - payload);
            self.buf.copy_within(payload..payload + here, joined_end);
            if here < header.len {
                self.end = joined_end + here;
                self.pos = joined_end;
            } else {
                // The whole frame is here. It is counted at once, because what follows it stays where it is.
                self.message_len += here;
                self.pos = payload + here;
                self.frame = Some(Unfinished { remaining: 0, fin: header.fin });
                return Ok(());
            }
        } else {
            self.pos = payload;
        }
        self.frame = Some(Unfinished { remaining: header.len, fin: header.fin });
        Ok(())
    }

    /// Checks what is new of a text message; at its end no character may be incomplete.
    fn check_text(&mut self, finished: bool) -> Result<(), NetError> {
        if self.limits.text_check == TextCheck::Trusted || self.message != Some(TEXT) {
            return Ok(());
        }
        let start = self.message_start;
        match std::str::from_utf8(&self.buf[start + self.checked_len..start + self.message_len]) {
            Ok(_) => self.checked_len = self.message_len,
            Err(error) if error.error_len().is_none() && !finished => self.checked_len += error.valid_up_to(),
            Err(_) => return Err(NetError::Utf8),
        }
        Ok(())
    }

    fn control(&mut self, opcode: u8, start: usize, len: usize) -> Result<Found, NetError> {
        let payload = &self.buf[start..start + len];
        match opcode {
            PING if self.life == Life::Open => {
                let mut copy = [0; CONTROL_BYTES_MAX];
                copy[..len].copy_from_slice(payload);
                // A server that floods us with pings and does not read the answers loses answers, not our memory.
                let _ = self.queue(PONG, &copy[..len]);
            }
            CLOSE => {
                let code = match payload {
                    [] => 1005,
                    [_] => return Err(NetError::Protocol("a close frame of one byte", 1002)),
                    [high, low, reason @ ..] => {
                        if std::str::from_utf8(reason).is_err() {
                            return Err(NetError::Utf8);
                        }
                        let code = u16::from_be_bytes([*high, *low]);
                        if !may_be_sent(code) {
                            return Err(NetError::Protocol("a close code that may not be sent", 1002));
                        }
                        code
                    }
                };
                if self.life == Life::Open {
                    let _ = if code == 1005 { self.queue(CLOSE, &[]) } else { self.queue_close(code, "") };
                }
                self.stop();
            }
            _ => {}
        }
        Ok(Found { opcode, start, len })
    }

    /// The second half of [`next`](Self::next).
    pub(super) fn lend(&mut self, found: Found) -> Message<'_> {
        let payload = &mut self.buf[found.start..found.start + found.len];
        match found.opcode {
            TEXT => Message::Text(payload),
            BINARY => Message::Binary(payload),
            PING => Message::Ping(payload),
            PONG => Message::Pong(payload),
            _ => match &*payload {
                [high, low, reason @ ..] => Message::Close {
                    code: u16::from_be_bytes([*high, *low]),
                    reason: std::str::from_utf8(reason).unwrap_or_default(),
                },
                _ => Message::Close { code: 1005, reason: "" },
            },
        }
    }

    fn usable(&self) -> usize {
        self.buf.len() - PADDING_BYTES
    }

    /// The most that the buffer may grow to, without the padding.
    fn usable_max(&self) -> usize {
        self.limits.message_bytes_max.saturating_add(2 * SPARE_BYTES_MIN).max(self.usable())
    }

    /// Moves the message under way, and what follows it, to the front of the buffer.
    fn tidy(&mut self) {
        let mut front = 0;
        if self.message.is_some() {
            if self.message_start > 0 {
                self.buf.copy_within(self.message_start..self.message_start + self.message_len, 0);
                self.message_start = 0;
            }
            front = self.message_len;
        }
        if self.pos > front {
            self.buf.copy_within(self.pos..self.end, front);
            self.end -= self.pos - front;
            self.pos = front;
        }
    }
}

impl std::fmt::Debug for Ws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ws")
            .field("life", &self.life)
            .field("unread", &self.unread().len())
            .field("out", &self.out)
            .finish_non_exhaustive()
    }
}

impl PlainBuf for Ws {
    fn spare(&mut self, need: usize) -> &mut [u8] {
        if self.pos == self.end && self.message.is_none() {
            self.pos = 0;
            self.end = 0;
        } else if self.usable() - self.end < need.max(SPARE_BYTES_MIN) {
            self.tidy();
            // Grown only as data arrives, so that a header alone, whatever it announces, takes no memory.
            let wanted = self.frame.map_or(SPARE_BYTES_MIN, |frame| frame.remaining.min(SPARE_BYTES_MIN));
            if self.message.is_some() && self.usable() - self.end < wanted {
                let usable = self.usable().saturating_mul(2).min(self.usable_max());
                self.buf.reserve_exact(usable + PADDING_BYTES - self.buf.len());
                self.buf.resize(usable + PADDING_BYTES, 0);
            }
        }
        let end = self.end;
        let usable = self.usable();
        &mut self.buf[end..usable]
    }

    fn filled(&mut self, n: usize) {
        self.end = (self.end + n).min(self.usable());
    }
}

/// A whole message in the buffer.
#[derive(Clone, Copy)]
pub(super) struct Found {
    opcode: u8,
    start: usize,
    len: usize,
}

/// The header of a frame, checked for everything that it alone can have wrong.
#[derive(Clone, Copy)]
struct Header {
    opcode: u8,
    fin: bool,
    /// Length of the header itself.
    size: usize,
    /// Length of the payload.
    len: usize,
}

impl Header {
    #[inline]
    fn parse(bytes: &[u8]) -> Result<Option<Self>, NetError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let opcode = first & 0x0F;
        let fin = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(NetError::Protocol("reserved bits set, though no extension was agreed", 1002));
        }
        if second & 0x80 != 0 {
            return Err(NetError::Protocol("a masked frame", 1002));
        }
        if !matches!(opcode, CONTINUATION..=BINARY | CLOSE..=PONG) {
            return Err(NetError::Protocol("a reserved opcode", 1002));
        }
        let short = second & 0x7F;
        if opcode >= CLOSE && (short as usize > CONTROL_BYTES_MAX || !fin) {
            return Err(NetError::Protocol("a control frame that is fragmented or longer than 125 bytes", 1002));
        }
        let (size, len) = match (short, rest) {
            (126, &[a, b, ..]) => {
                let len = u16::from_be_bytes([a, b]);
                if len < 126 {
                    return Err(NetError::Protocol("a length not in its shortest form", 1002));
                }
                (4, usize::from(len))
            }
            (127, &[a, b, c, d, e, f, g, h, ..]) => {
                let len = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                if len < 0x1_0000 || len >> 63 != 0 {
                    return Err(NetError::Protocol("a length not in its shortest form, or over 63 bits", 1002));
                }
                (10, usize::try_from(len).unwrap_or(usize::MAX))
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (2, usize::from(short)),
        };
        Ok(Some(Self { opcode, fin, size, len }))
    }
}

/// Whether a close code may appear in a close frame (RFC 6455, 7.4, and the IANA registry).
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn apply_mask(mask: [u8; 4], bytes: &mut [u8]) {
    let mask = u32::from_ne_bytes(mask);
    // Blocks this long become vector instructions.
    let (blocks, rest) = bytes.as_chunks_mut::<32>();
    for block in blocks {
        for word in block.as_chunks_mut::<4>().0 {
            *word = (u32::from_ne_bytes(*word) ^ mask).to_ne_bytes();
        }
    }
    for (i, byte) in rest.iter_mut().enumerate() {
        *byte ^= mask.to_ne_bytes()[i % 4];
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};

    use proptest::prelude::*;
    use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

    use super::*;

    const MESSAGE_BYTES_MAX: usize = 100_000;

    fn ws(text_check: TextCheck) -> Ws {
        Ws::new(
            WsLimits { buffer_start_bytes: 0, message_bytes_max: MESSAGE_BYTES_MAX, out_bytes_max: 4096, text_check },
            1,
        )
    }

    /// A frame as a server sends it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..126 => bytes.push(len as u8),
            len @ 126..65_536 => {
                bytes.push(126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(payload);
        bytes
    }

    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Got {
        Text(Vec<u8>),
        Binary(Vec<u8>),
        Ping(Vec<u8>),
        Pong(Vec<u8>),
        Close(u16, String),
        Error(NetError),
    }

    fn owned(message: Message<'_>) -> Got {
        match message {
            Message::Text(bytes) => Got::Text(bytes.to_vec()),
            Message::Binary(bytes) => Got::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Got::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Got::Pong(bytes.to_vec()),
            Message::Close { code, reason } => Got::Close(code, reason.to_owned()),
        }
    }

    /// Feeds `bytes` in pieces, the lengths of which go round in `pieces`, and collects what comes out.
    fn feed(ws: &mut Ws, bytes: &[u8], pieces: &[usize]) -> Vec<Got> {
        let mut got = Vec::new();
        let mut rest = bytes;
        let mut turn = 0;
        while !rest.is_empty() {
            let space = ws.spare();
            assert!(!space.is_empty(), "no room to read");
            let n = pieces[turn % pieces.len()].clamp(1, space.len()).min(rest.len());
            turn += 1;
            space[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            ws.filled(n);
            loop {
                match ws.next() {
                    Ok(Some(message)) => got.push(owned(message)),
                    Ok(None) => break,
                    Err(error) => got.push(Got::Error(error)),
                }
            }
        }
        got
    }

    fn feed_all(ws: &mut Ws, frames: &[Vec<u8>]) -> Vec<Got> {
        feed(ws, &frames.concat(), &[usize::MAX])
    }

    /// The opcode, fin bit and unmasked payload of each frame in the out buffer.
    fn sent(ws: &mut Ws) -> Vec<(u8, Vec<u8>)> {
        let mut bytes = ws.out().as_slice().to_vec();
        ws.out().consume(bytes.len());
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(bytes[0] & 0xF0, 0x80, "final, no reserved bits");
            assert_eq!(bytes[1] & 0x80, 0x80, "masked");
            let (size, len) = match bytes[1] & 0x7F {
                126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
                127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
                len => (2, usize::from(len)),
            };
            let mask: [u8; 4] = bytes[size..size + 4].try_into().unwrap();
            let payload = &bytes[size + 4..size + 4 + len];
            frames.push((bytes[0] & 0x0F, payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]).collect()));
            bytes.drain(..size + 4 + len);
        }
        frames
    }

    #[test]
    fn lends_messages_with_readable_bytes_behind() {
        let mut ws = ws(TextCheck::Strict);
        let bytes = [frame(0x81, b"hello"), frame(0x82, &[1, 2]), frame(0x8A, b"x")].concat();
        ws.spare()[..bytes.len()].copy_from_slice(&bytes);
        ws.filled(bytes.len());
        assert_eq!(ws.next(), Ok(Some(Message::Text(&mut b"hello".to_vec()))));
        assert_eq!(ws.next(), Ok(Some(Message::Binary(&mut [1, 2]))));
        assert_eq!(ws.next(), Ok(Some(Message::Pong(b"x"))));
        assert_eq!(ws.next(), Ok(None));
        // Even when the buffer is full to the last byte.
        let mut full = Ws::new(WsLimits::default(), 1);
        let len = full.spare().len();
        full.filled(len);
        assert_eq!(full.buf.len() - full.end, PADDING_BYTES);
    }

    #[test]
    fn fragments_are_joined_around_pings() {
        let frames =
            [frame(0x01, b"ab"), frame(0x89, b"p1"), frame(0x00, b"cd"), frame(0x89, b"p2"), frame(0x80, b"ef")];
        for pieces in [vec![1], vec![3], vec![usize::MAX]] {
            let mut ws = ws(TextCheck::Strict);
            let got = feed(&mut ws, &frames.concat(), &pieces);
            assert_eq!(got, [Got::Ping(b"p1".into()), Got::Ping(b"p2".into()), Got::Text(b"abcdef".into())]);
            assert_eq!(sent(&mut ws), [(PONG, b"p1".to_vec()), (PONG, b"p2".to_vec())]);
        }
    }

    #[test]
    fn what_a_server_may_not_send_ends_the_connection() {
        let long = [0; 126];
        for (bytes, code) in [
            (frame(0xC1, b"x"), 1002),
            (frame(0xA1, b"x"), 1002),
            (frame(0x91, b"x"), 1002),
            (vec![0x81, 0x81, 0, 0, 0, 0, b'x'], 1002),
            (frame(0x83, b"x"), 1002),
            (frame(0x87, b"x"), 1002),
            (frame(0x8B, b"x"), 1002),
            (frame(0x8F, b"x"), 1002),
            (frame(0x80, b"x"), 1002),
            ([frame(0x01, b"x"), frame(0x81, b"y")].concat(), 1002),
            ([frame(0x01, b"x"), frame(0x02, b"y")].concat(), 1002),
            (frame(0x09, b"x"), 1002),
            (frame(0x89, &long), 1002),
            (frame(0x88, &long), 1002),
            (frame(0x88, b"x"), 1002),
            (frame(0x88, &1005_u16.to_be_bytes()), 1002),
            (frame(0x88, &999_u16.to_be_bytes()), 1002),
            (frame(0x88, &1004_u16.to_be_bytes()), 1002),
            (frame(0x88, &1006_u16.to_be_bytes()), 1002),
            (frame(0x88, &1015_u16.to_be_bytes()), 1002),
            (frame(0x88, &2999_u16.to_be_bytes()), 1002),
            (frame(0x88, &5000_u16.to_be_bytes()), 1002),
            (frame(0x88, b"\x03\xe8\xff"), 1007),
            (vec![0x81, 126, 0, 125], 1002),
            ([&[0x81, 126, 0, 125][..], &long].concat(), 1002),
            (vec![0x81, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], 1002),
            (vec![0x81, 127, 0x80, 0, 0, 0, 0, 1, 0, 0], 1002),
            (frame(0x81, b"\xc0\x80"), 1007),
            (frame(0x81, b"\xe2\x82"), 1007),
            (frame(0x82, &[0; MESSAGE_BYTES_MAX + 1]), 1009),
            ([frame(0x02, &[0; MESSAGE_BYTES_MAX]), frame(0x80, b"x")].concat(), 1009),
            (vec![0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], 1009),
        ] {
            let shown = &bytes[..bytes.len().min(12)];
            for check in [TextCheck::Strict, TextCheck::Trusted] {
                if check == TextCheck::Trusted && code == 1007 && bytes[0] == 0x81 {
                    continue;
                }
                let mut ws = ws(check);
                // Nothing behind the fault counts any more.
                let got = feed(&mut ws, &[bytes.clone(), frame(0x81, b"more")].concat(), &[usize::MAX]);
                assert!(matches!(&got[..], [Got::Error(_)]), "{shown:x?} gave {got:?}");
                assert_eq!(sent(&mut ws), [(CLOSE, u16::to_be_bytes(code).to_vec())], "{shown:x?}");
                assert!(ws.is_over());
                assert!(ws.send_text(b"x").is_err());
            }
        }
    }

    #[test]
    fn the_limit_holds_for_small_messages_too() {
        for check in [TextCheck::Strict, TextCheck::Trusted] {
            for (limit, len) in [(100, 101), (1000, 1001)] {
                let mut ws =
                    Ws::new(WsLimits { message_bytes_max: limit, text_check: check, ..WsLimits::default() }, 1);
                let good = vec![b'x'; limit];
                let got = feed_all(&mut ws, &[frame(0x81, &good), frame(0x81, &vec![b'x'; len])]);
                assert_eq!(got, [Got::Text(good), Got::Error(NetError::MessageTooBig { limit_bytes: limit })]);
            }
        }
    }

    #[test]
    fn close_codes_of_the_standard_are_taken() {
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            let mut ws = ws(TextCheck::Strict);
            let payload = [&u16::to_be_bytes(code)[..], b"why"].concat();
            let got = feed_all(&mut ws, &[frame(0x88, &payload), frame(0x81, b"late")]);
            assert_eq!(got, [Got::Close(code, "why".to_owned())]);
            assert_eq!(sent(&mut ws), [(CLOSE, code.to_be_bytes().to_vec())]);
        }
        let mut ws = ws(TextCheck::Strict);
        assert_eq!(feed_all(&mut ws, &[frame(0x88, b"")]), [Got::Close(1005, String::new())]);
        assert_eq!(sent(&mut ws), [(CLOSE, Vec::new())]);
    }

    #[test]
    fn our_close_is_answered_once() {
        let mut ws = ws(TextCheck::Strict);
        ws.close(1000, "bye").unwrap();
        ws.close(1001, "again").unwrap();
        assert!(ws.close(1005, "").is_err());
        assert!(ws.send_text(b"x").is_err());
        // What the server sent before it saw our close still counts; a ping needs no answer any more.
        let got = feed_all(&mut ws, &[frame(0x81, b"data"), frame(0x89, b""), frame(0x88, &1000_u16.to_be_bytes())]);
        assert_eq!(got, [Got::Text(b"data".into()), Got::Ping(Vec::new()), Got::Close(1000, String::new())]);
        assert_eq!(sent(&mut ws), [(CLOSE, b"\x03\xe8bye".to_vec())]);
        assert!(ws.is_over());
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut ws = ws(TextCheck::Strict);
        ws.close(3000, &"é".repeat(100)).unwrap();
        let frames = sent(&mut ws);
        assert_eq!(frames[0].1.len(), 2 + 122);
        assert!(std::str::from_utf8(&frames[0].1[2..]).is_ok());
    }

    #[test]
    fn bad_text_fails_before_the_message_is_complete() {
        // "κόσμε" and then a byte that cannot follow, in one frame that goes on (as Autobahn 6.4.3 has it).
        let payload = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited";
        let bytes = frame(0x81, payload);
        let mut ws = ws(TextCheck::Strict);
        assert_eq!(feed(&mut ws, &bytes[..2 + 12], &[1]), []);
        assert_eq!(feed(&mut ws, &bytes[2 + 12..2 + 13], &[1]), [Got::Error(NetError::Utf8)]);
        // Trusted text is handed out as it is.
        let mut ws = self::ws(TextCheck::Trusted);
        assert_eq!(feed(&mut ws, &bytes, &[5]), [Got::Text(payload.to_vec())]);
    }

    #[test]
    fn the_buffer_grows_to_the_limit_and_no_further() {
        let mut ws = ws(TextCheck::Trusted);
        let start = ws.usable();
        assert_eq!(start, BUFFER_BYTES_MIN);
        let big = vec![b'x'; MESSAGE_BYTES_MAX];
        // The header alone takes no memory.
        feed(&mut ws, &frame(0x81, &big)[..10], &[usize::MAX]);
        assert_eq!(ws.usable(), start);
        let got = feed(&mut ws, &frame(0x81, &big)[10..], &[1000]);
        assert_eq!(got, [Got::Text(big.clone())]);
        let grown = ws.usable();
        assert!(grown <= MESSAGE_BYTES_MAX + 2 * SPARE_BYTES_MIN, "{grown}");
        // The largest message in the smallest fragments that matter, with pings in between, twice.
        for _ in 0..2 {
            let mut bytes = frame(0x01, b"");
            for piece in big.chunks(997) {
                bytes.extend(frame(0x00, piece));
                bytes.extend(frame(0x89, &[0; 125]));
            }
            bytes.extend(frame(0x80, b""));
            let got = feed(&mut ws, &bytes, &[1459]);
            assert_eq!(got.last(), Some(&Got::Text(big.clone())));
            assert!(ws.usable() <= MESSAGE_BYTES_MAX + 2 * SPARE_BYTES_MIN);
        }
    }

    #[test]
    fn a_ping_flood_takes_no_memory() {
        let mut ws = ws(TextCheck::Strict);
        for i in 0..10_000_u32 {
            assert_eq!(feed_all(&mut ws, &[frame(0x89, &i.to_be_bytes())]).len(), 1);
        }
        // Some answers are lost, those that are there are whole and in order.
        assert!(ws.out_len() <= 4096);
        let frames = sent(&mut ws);
        for (i, (opcode, payload)) in frames.iter().enumerate() {
            assert_eq!((*opcode, &payload[..]), (PONG, &(i as u32).to_be_bytes()[..]));
        }
        assert!(frames.len() > 200, "{}", frames.len());
    }

    #[test]
    fn a_full_out_buffer_refuses_whole_messages() {
        let mut ws = ws(TextCheck::Strict);
        ws.send_text(&[b'x'; 4000]).unwrap();
        assert_eq!(ws.send_text(&[b'y'; 100]), Err(NetError::SendBufferFull { limit_bytes: 4096 }));
        ws.ping(b"fits").unwrap();
        let frames = sent(&mut ws);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1], (PING, b"fits".to_vec()));
        assert_eq!(ws.ping(&[0; 126]), Err(NetError::Misuse("a ping or pong holds at most 125 bytes")));
    }

    #[test]
    fn the_upgrade_response_can_be_read_first() {
        let mut ws = ws(TextCheck::Strict);
        let bytes = [b"HTTP/1.1 101\r\n\r\n".to_vec(), frame(0x81, b"first")].concat();
        ws.spare()[..bytes.len()].copy_from_slice(&bytes);
        ws.filled(bytes.len());
        assert!(ws.unread().starts_with(b"HTTP"));
        ws.consume(16);
        assert_eq!(ws.next().map(|message| message.map(owned)), Ok(Some(Got::Text(b"first".into()))));
    }

    /// A socket that has received `input` and nothing more.
    struct Received<'a> {
        input: &'a [u8],
    }

    impl Read for Received<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.input.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.input.read(into)
        }
    }

    impl Write for Received<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What tungstenite reads from the same bytes; its errors are reduced to the close code for them.
    fn judge(bytes: &[u8]) -> (Vec<Got>, Option<u16>) {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let mut socket = WebSocket::from_raw_socket(Received { input: bytes }, Role::Client, Some(config));
        let mut got = Vec::new();
        loop {
            match socket.read() {
                Ok(tungstenite::Message::Text(text)) => got.push(Got::Text(text.as_bytes().to_vec())),
                Ok(tungstenite::Message::Binary(bytes)) => got.push(Got::Binary(bytes.to_vec())),
                Ok(tungstenite::Message::Ping(bytes)) => got.push(Got::Ping(bytes.to_vec())),
                Ok(tungstenite::Message::Pong(bytes)) => got.push(Got::Pong(bytes.to_vec())),
                // How it hands out a close frame with a code that may not be sent.
                Ok(tungstenite::Message::Close(Some(frame))) if frame.reason == "Protocol violation" => {
                    return (got, Some(1002));
                }
                Ok(tungstenite::Message::Close(Some(frame))) => {
                    got.push(Got::Close(frame.code.into(), frame.reason.to_string()));
                    return (got, None);
                }
                Ok(tungstenite::Message::Close(None)) => {
                    got.push(Got::Close(1005, String::new()));
                    return (got, None);
                }
                Ok(tungstenite::Message::Frame(_)) => unreachable!("only written, never read"),
                Err(tungstenite::Error::Io(_)) => return (got, None),
                Err(tungstenite::Error::Utf8(_)) => return (got, Some(1007)),
                Err(tungstenite::Error::Capacity(_)) => return (got, Some(1009)),
                Err(tungstenite::Error::Protocol(_)) => return (got, Some(1002)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let opcode = prop_oneof![20 => Just(0_u8), 20 => Just(1), 10 => Just(2), 10 => Just(9), 5 => Just(10), 1 => Just(8), 1 => 0_u8..16];
        let text = prop_oneof![
            5 => "[a-zé€😀]{0,40}".prop_map(String::into_bytes),
            2 => prop::collection::vec(any::<u8>(), 0..20),
            2 => (0_usize..140).prop_map(|n| vec![b'a'; n]),
            1 => (65_000_usize..70_000).prop_map(|n| vec![b'b'; n]),
            1 => prop_oneof![Just(1000_u16), 900_u16..5100].prop_map(|code| code.to_be_bytes().to_vec()),
        ];
        let first = (opcode, prop::bool::weighted(0.6), prop_oneof![60 => Just(0_u8), 1 => 0_u8..8]);
        let one = (first, text).prop_map(|((opcode, fin, reserved), mut payload)| {
            if opcode >= 8 && fin {
                payload.truncate(125);
            }
            frame(u8::from(fin) << 7 | reserved << 4 | opcode, &payload)
        });
        prop::collection::vec(one, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn trusted_text_is_read_as_checked_text_is(frames in frames(), pieces in prop::collection::vec(1_usize..5_000, 1..8)) {
            let bytes = frames.concat();
            let checked = feed(&mut ws(TextCheck::Strict), &bytes, &pieces);
            let trusted = feed(&mut ws(TextCheck::Trusted), &bytes, &pieces);
            let agreed = checked.len() - usize::from(checked.last() == Some(&Got::Error(NetError::Utf8)));
            prop_assert_eq!(&trusted[..agreed], &checked[..agreed]);
            prop_assert!(agreed < checked.len() || trusted.len() == checked.len());
        }

        #[test]
        fn reads_as_tungstenite_does(frames in frames(), pieces in prop::collection::vec(1_usize..5_000, 1..8)) {
            let bytes = frames.concat();
            let mut got = feed(&mut ws(TextCheck::Strict), &bytes, &pieces);
            let error = match got.last() {
                Some(Got::Error(NetError::Protocol(_, code))) => Some(*code),
                Some(Got::Error(NetError::Utf8)) => Some(1007),
                Some(Got::Error(NetError::MessageTooBig { .. })) => Some(1009),
                _ => None,
            };
            if error.is_some() {
                got.pop();
            }
            let (judged, judged_error) = judge(&bytes);
            prop_assert_eq!(got, judged);
            prop_assert_eq!(error, judged_error);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50) {
            for check in [TextCheck::Strict, TextCheck::Trusted] {
                feed(&mut ws(check), &bytes, &[piece]);
            }
        }

        #[test]
        fn what_we_send_is_what_a_server_reads(payload in prop::collection::vec(any::<u8>(), 0..3_000), seed: u64) {
            let mut ws = Ws::new(WsLimits::default(), seed);
            ws.send_binary(&payload).unwrap();
            let bytes = ws.out().as_slice().to_vec();
            let mut socket = WebSocket::from_raw_socket(Received { input: &bytes }, Role::Server, None);
            prop_assert_eq!(socket.read().unwrap(), tungstenite::Message::binary(payload));
        }
    }
}
