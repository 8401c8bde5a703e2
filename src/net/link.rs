//! A WebSocket connection from connecting to closed, as one state machine.
//!
//! Open it, register [`WsLink::source`] with mio for reading and writing, and then, for every event: call
//! [`WsLink::ready`]; while the state is `Open` or `Closing`, call [`WsLink::fill`] and after it [`WsLink::next`] until
//! it answers `None`, as long as `fill` says that there may be more. Do so too when `ready` answers `Open` for the first
//! time, because messages may have come together with the end of the upgrade.
//!
//! Nothing here knows the time. The caller watches the deadline of a phase and asks [`WsLink::timed_out`] for the error.

use std::net::SocketAddr;

use mio::net::TcpStream;

use super::config::NetConfig;
use super::error::{EofKind, NetError};
use super::handshake::{Offered, Upgrade};
use super::stream::{End, Progress, Stream};
use super::url::Url;
use super::ws::{Message, Ws};
use crate::sys::Failure;

/// What a link is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The TCP connection.
    Connecting,
    /// The proxy, to open a tunnel.
    ProxyHandshake,
    /// The TLS handshake.
    TlsHandshake,
    /// The server's answer to the upgrade request.
    Upgrading,
    /// Messages.
    Open,
    /// The server's close frame, or the end of the connection after it. What arrives is still delivered until then.
    Closing,
    /// Nothing: drop the link.
    Closed,
}

/// What one [`WsLink::fill`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Bytes of plain text.
    pub bytes: usize,
    /// Another call may bring more without a new event.
    pub maybe_more: bool,
}

/// One WebSocket connection. See the [module](self).
#[derive(Debug)]
pub struct WsLink {
    stream: Stream,
    ws: Ws,
    upgrade: Upgrade,
    state: LinkState,
    /// A failed write; reported when everything received before it has been delivered.
    send_error: Option<NetError>,
}

impl WsLink {
    /// Begins to connect to `addr`, which is one of the addresses of [`NetConfig::connect_to`]. `seed` starts the generator of
    /// the frame masks.
    ///
    /// # Errors
    /// [`NetError::Connect`], [`NetError::Tls`], or [`NetError::Misuse`] for a URL that is not `ws` or `wss`.
    pub fn open(addr: SocketAddr, url: &Url, config: &NetConfig, seed: u64) -> Result<Self, NetError> {
        Self::open_with_headers(addr, url, &[], config, seed)
    }

    /// As [`open`](Self::open), with further headers in the upgrade request.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`NetError::Misuse`] for a header that cannot be sent.
    pub fn open_with_headers(
        addr: SocketAddr,
        url: &Url,
        headers: &[(&str, &str)],
        config: &NetConfig,
        seed: u64,
    ) -> Result<Self, NetError> {
        if !url.scheme().is_websocket() {
            return Err(NetError::Misuse("a WebSocket needs a ws:// or wss:// URL"));
        }
        let mut all = Vec::with_capacity(headers.len() + 1);
        if !config.user_agent.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            all.push(("User-Agent", config.user_agent.as_str()));
        }
        all.extend_from_slice(headers);
        let (request, upgrade) = Upgrade::request(url, &all)?;
        let mut ws = Ws::new(config.ws, seed);
        ws.out().push(&request)?;
        let stream = Stream::open(addr, url, config, config.read_mode)?;
        Ok(Self { stream, ws, upgrade, state: LinkState::Connecting, send_error: None })
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

    /// What the link is waiting for.
    pub fn state(&self) -> LinkState {
        self.state
    }

    /// Handles an event. `read_closed` says that the peer has closed its side.
    ///
    /// A failed write on an open link is no error yet: [`fill`](Self::fill) has to be called, because the server's reason
    /// for closing may wait to be read, and reports it after that.
    ///
    /// # Errors
    /// Whatever ended the connection; the state is then [`LinkState::Closed`].
    pub fn ready(&mut self, _readable: bool, writable: bool, read_closed: bool) -> Result<LinkState, NetError> {
        if read_closed {
            self.stream.note_read_closed();
        }
        let result = match self.state {
            LinkState::Connecting | LinkState::ProxyHandshake | LinkState::TlsHandshake | LinkState::Upgrading => {
                self.advance()
            }
            LinkState::Open | LinkState::Closing if writable && self.send_error.is_none() => {
                self.send_error = self.flush().err();
                Ok(())
            }
            LinkState::Open | LinkState::Closing | LinkState::Closed => Ok(()),
        };
        if let Err(error) = result {
            self.state = LinkState::Closed;
            return Err(error);
        }
        Ok(self.state)
    }

    /// Reads once; see [`Stream::recv`]. To be called only when [`next`](Self::next) has answered `None`.
    ///
    /// # Errors
    /// Whatever ended the connection, after everything received before has been delivered.
    pub fn fill(&mut self) -> Result<Fill, NetError> {
        if !matches!(self.state, LinkState::Open | LinkState::Closing) {
            return Ok(Fill { bytes: 0, maybe_more: false });
        }
        let result = self.stream.recv(&mut self.ws);
        match result {
            Ok(recv) if recv.bytes > 0 => {
                Ok(Fill { bytes: recv.bytes, maybe_more: recv.maybe_more || recv.end.is_some() })
            }
            Ok(recv) => {
                let error = match (self.send_error.take(), recv.end) {
                    // After both close frames any end is as good as another.
                    (Some(_), _) | (_, Some(_)) if self.ws.is_over() => None,
                    (Some(error), _) => Some(error),
                    (None, Some(End::Clean)) => Some(NetError::Eof(EofKind::Closed)),
                    (None, Some(End::Truncated)) => Some(NetError::Eof(EofKind::Truncated)),
                    (None, None) => return Ok(Fill { bytes: 0, maybe_more: recv.maybe_more }),
                };
                self.state = LinkState::Closed;
                error.map_or(Ok(Fill { bytes: 0, maybe_more: false }), Err)
            }
            Err(_) if self.ws.is_over() => {
                self.state = LinkState::Closed;
                Ok(Fill { bytes: 0, maybe_more: false })
            }
            Err(error) => {
                self.state = LinkState::Closed;
                Err(error)
            }
        }
    }

    /// Whether [`next`](Self::next) would answer `None` and send nothing.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.ws.is_drained() && self.ws.out_len() == 0
    }

    /// The next message, or `None` when more bytes are needed. Pongs and the answer to a close frame are sent from here.
    ///
    /// # Errors
    /// [`NetError::Protocol`], [`NetError::Utf8`], [`NetError::MessageTooBig`]. The server has been told; the state is
    /// [`LinkState::Closing`], and the link may be dropped, or read on until the server has closed.
    #[expect(clippy::should_implement_trait, reason = "it lends, which iterators cannot")]
    pub fn next(&mut self) -> Result<Option<Message<'_>>, NetError> {
        if !matches!(self.state, LinkState::Open | LinkState::Closing) {
            return Ok(None);
        }
        let found = self.ws.find();
        if self.ws.out_len() > 0 && self.send_error.is_none() {
            self.send_error = self.flush().err();
        }
        if self.ws.is_over() {
            self.state = LinkState::Closing;
        }
        Ok(found?.map(|found| self.ws.lend(found)))
    }

    /// Sends a text message, or keeps it until the socket is writable.
    ///
    /// # Errors
    /// [`NetError::SendBufferFull`] and [`NetError::Misuse`] leave the link usable and nothing sent; others end it.
    pub fn send_text(&mut self, text: &[u8]) -> Result<(), NetError> {
        self.check_open()?;
        self.ws.send_text(text)?;
        self.flush()
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.check_open()?;
        self.ws.send_binary(bytes)?;
        self.flush()
    }

    /// Sends a ping of at most 125 bytes.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), NetError> {
        self.check_open()?;
        self.ws.ping(payload)?;
        self.flush()
    }

    /// Sends an unasked pong of at most 125 bytes.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), NetError> {
        self.check_open()?;
        self.ws.pong(payload)?;
        self.flush()
    }

    /// Begins to close. The server's answer comes as [`Message::Close`], and then the end of the connection.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn close(&mut self, code: u16, reason: &str) -> Result<(), NetError> {
        self.check_open()?;
        self.ws.close(code, reason)?;
        self.state = LinkState::Closing;
        self.flush()
    }

    /// Ends the connection without waiting for the server. Then drop the link.
    pub fn shutdown(&mut self) {
        self.stream.shutdown();
        self.state = LinkState::Closed;
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// [`NetError::Eof`] and [`NetError::Tls`]: the connection is finished.
    pub fn flush(&mut self) -> Result<(), NetError> {
        self.stream.flush()?;
        while self.ws.out_len() > 0 {
            let sent = self.stream.send(self.ws.out().as_slice())?;
            if sent == 0 {
                break;
            }
            self.ws.out().consume(sent);
        }
        Ok(())
    }

    /// Whether something waits for the socket to become writable.
    pub fn wants_write(&self) -> bool {
        self.buffered_out() > 0
    }

    /// How many bytes wait to be sent.
    pub fn buffered_out(&self) -> usize {
        self.ws.out_len() + self.stream.buffered_out()
    }

    /// When the kernel received what the last [`fill`](Self::fill) read, in nanoseconds since 1970; only with
    /// [`ReadMode::Stamped`](super::stream::ReadMode::Stamped).
    pub fn kernel_stamp_ns(&self) -> Option<i64> {
        self.stream.kernel_stamp_ns()
    }

    /// To be called after the work of a read; see [`Stream::finish_read`].
    ///
    /// # Errors
    /// [`NetError::Eof`] when the connection was reset meanwhile.
    pub fn finish_read(&mut self) -> Result<(), NetError> {
        self.stream.finish_read()
    }

    /// The error when the caller's deadline for the present phase has passed.
    pub fn timed_out(&self) -> NetError {
        match self.state {
            LinkState::Connecting => NetError::ConnectTimeout { addr: self.stream.addr() },
            LinkState::ProxyHandshake => NetError::ProxyTimeout,
            LinkState::TlsHandshake => NetError::TlsTimeout,
            LinkState::Upgrading => self.upgrade.timed_out(self.ws.unread()),
            LinkState::Open | LinkState::Closing | LinkState::Closed => NetError::Eof(EofKind::TimedOut),
        }
    }

    fn check_open(&self) -> Result<(), NetError> {
        match self.state {
            LinkState::Open => Ok(()),
            LinkState::Closing | LinkState::Closed => Err(NetError::Misuse("sending on a link that is closing")),
            _ => Err(NetError::Misuse("sending before the link is open")),
        }
    }

    /// Advances until the link is open or more has to arrive.
    fn advance(&mut self) -> Result<(), NetError> {
        self.state = match self.stream.advance()? {
            Progress::Connecting => LinkState::Connecting,
            Progress::Tunnelling => LinkState::ProxyHandshake,
            Progress::Handshaking => LinkState::TlsHandshake,
            Progress::Ready => LinkState::Upgrading,
        };
        if self.state != LinkState::Upgrading {
            return Ok(());
        }
        // Also when this fails the server may have answered, to say why it does not listen.
        let flushed = self.flush();
        loop {
            let recv = self.stream.recv(&mut self.ws)?;
            // No haste here, and who only sends afterwards would leave it with the kernel for ever.
            self.stream.finish_read()?;
            match self.upgrade.offer(self.ws.unread(), recv.end.is_some())? {
                Offered::Accepted { consumed } => {
                    self.ws.consume(consumed);
                    self.state = LinkState::Open;
                    return Ok(());
                }
                Offered::Incomplete => match recv.end {
                    Some(End::Clean) => return Err(NetError::Eof(EofKind::Closed)),
                    Some(End::Truncated) => return Err(NetError::Eof(EofKind::Truncated)),
                    None if !recv.maybe_more => return flushed,
                    None => {}
                },
            }
        }
    }
}
