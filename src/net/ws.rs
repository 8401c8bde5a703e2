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

/// The client's end of one WebSocket. See the [module](self).
#[derive(Debug)]
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
    #[expect(clippy::should_implement_trait, reason = "it lends, which iterators cannot")]
    pub fn next(&mut self) -> Result<Option<Message<'_>>, NetError> {
        Ok(self.find()?.map(|found| self.lend(found)))
    }

    /// The first half of [`next`](Self::next): where the next message is. Between the halves what waits in the out buffer
    /// can be sent.
    pub(super) fn find(&mut self) -> Result<Option<Found>, NetError> {
        let found = self.advance();
        if let Err(error) = &found {
            self.fail(error);
        }
        found
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
        self.out.write_with(payload.len() + HEADER_BYTES_MAX, |space| {
            space[0] = 0x80 | opcode;
            let size = match payload.len() {
                len @ 0..126 => {
                    space[1] = 0x80 | len as u8;
                    2
                }
                len @ 126..0x1_0000 => {
                    space[1] = 0x80 | 126;
                    space[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                    4
                }
                len => {
                    space[1] = 0x80 | 127;
                    space[2..10].copy_from_slice(&(len as u64).to_be_bytes());
                    10
                }
            };
            space[size..size + 4].copy_from_slice(&mask);
            mask_into(payload, mask, &mut space[size + 4..size + 4 + payload.len()]);
            Ok(size + 4 + payload.len())
        })
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
                        let code = u16::from_be_bytes([*high, *low]);
                        if !may_be_sent(code) {
                            return Err(NetError::Protocol("a close code that may not be sent", 1002));
                        }
                        if std::str::from_utf8(reason).is_err() {
                            return Err(NetError::Utf8);
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

/// Copies `from` to `to`, which has the same length, with the mask applied.
fn mask_into(from: &[u8], mask: [u8; 4], to: &mut [u8]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (from_words, from_rest) = from.as_chunks::<8>();
    let (to_words, to_rest) = to.as_chunks_mut::<8>();
    for (from, to) in from_words.iter().zip(to_words) {
        *to = (u64::from_ne_bytes(*from) ^ wide).to_ne_bytes();
    }
    for (i, (from, to)) in from_rest.iter().zip(to_rest).enumerate() {
        *to = from ^ mask[i % 4];
    }
}
