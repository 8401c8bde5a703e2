//! A TCP connection, with or without TLS, that never waits.
//!
//! Readiness comes from outside (edge-triggered, as mio has it). One [`Stream::recv`] makes exactly one read system call;
//! a read that did not fill the buffer has drained the socket, so no second read is needed to learn that. Only when the
//! event said that the peer has closed does reading go on until the end is seen.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::TcpStream;

use super::buf::{OutBuf, PlainBuf};
use super::config::NetConfig;
use super::error::{EofKind, NetError};
use super::proxy::{Proxy, Tunnel};
use super::tls::{Tls, TlsConfig};
use super::url::Url;
use crate::sys::Failure;
use crate::sys::socket::{self, SocketOptions};

/// Room for ciphertext that waits to be sent.
const CIPHER_OUT_BYTES_MAX: usize = 64 * 1024;

/// How bytes are read from the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadMode {
    /// `recv`.
    Recv,
    /// `recvmsg`, which also brings the kernel's receive stamp; about 180 ns more.
    Stamped,
    /// `recv` with `MSG_PEEK`, and the bytes are taken from the kernel in [`Stream::finish_read`] after the work.
    ///
    /// Taking bytes is when the kernel may send an acknowledgement, and on the way there it spends longer than on the copy;
    /// this way it does so behind the work. It costs a second system call per read, after the callbacks, and copies nothing
    /// twice. It is as safe as `recv`: what was only peeked at is still the kernel's until it is taken, nothing is read
    /// twice, and what arrives in between raises an event of its own. What is left untaken when a connection is closed makes
    /// the kernel reset it, so [`Stream::shutdown`] takes it first. A callback that takes long delays the
    /// acknowledgement, but never beyond the kernel's own timer for it (40 ms), and keeps the receive window smaller by what
    /// it has not taken. It gains nothing where a thread sleeps between messages, since waking takes ten times as long, and
    /// little where one read brings much. Measured over loopback; a network card that acknowledges by itself has less to
    /// gain.
    #[default]
    LateAck,
}

/// What [`Stream::advance`] is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The TCP connection.
    Connecting,
    /// The proxy.
    Tunnelling,
    /// The TLS handshake.
    Handshaking,
    /// Nothing: plain text can be sent and received.
    Ready,
}

/// What one [`Stream::recv`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recv {
    /// Bytes of plain text.
    pub bytes: usize,
    /// Another call may bring more without a new readiness event.
    pub maybe_more: bool,
    /// The peer has ended the connection, and everything before the end has been delivered.
    pub end: Option<End>,
}

/// How the peer ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Properly: nothing is missing.
    Clean,
    /// Without TLS close_notify: something may be missing.
    Truncated,
}

/// One connection. See the [module](self).
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    addr: SocketAddr,
    /// The talk with the proxy, and what came of its answer so far.
    tunnel: Option<(Tunnel, Vec<u8>)>,
    tls: Option<Box<Tls>>,
    cipher_out: OutBuf,
    progress: Progress,
    read_mode: ReadMode,
    /// An event said that the peer has closed its side.
    read_closed: bool,
    /// Ciphertext or plain text that was read before may still be delivered.
    backlog: bool,
    end: Option<End>,
    /// Bytes peeked at that the kernel still holds.
    peeked: usize,
    kernel_stamp_ns: Option<i64>,
    failures: Vec<Failure>,
}

impl Stream {
    /// Begins to connect as `config` says, to `addr`, which is one of the addresses of [`NetConfig::connect_to`].
    pub(super) fn open(addr: SocketAddr, url: &Url, config: &NetConfig, read_mode: ReadMode) -> Result<Self, NetError> {
        let tls = url.scheme().is_tls().then_some((&config.tls, url.host()));
        let mut stream = Self::connect(addr, tls, &config.socket_options(read_mode), read_mode)?;
        if let Some(proxy) = &config.proxy {
            stream.through(proxy, url.host(), url.port())?;
        }
        Ok(stream)
    }

    /// Begins to connect. With `tls`, the certificate must be for the name given there.
    ///
    /// # Errors
    /// [`NetError::Connect`] when the operating system refuses at once, [`NetError::Tls`] for an impossible name.
    pub fn connect(
        addr: SocketAddr,
        tls: Option<(&TlsConfig, &str)>,
        options: &SocketOptions,
        read_mode: ReadMode,
    ) -> Result<Self, NetError> {
        let tls = match tls {
            Some((config, server_name)) => Some(Box::new(Tls::start(config, server_name)?)),
            None => None,
        };
        let (socket, failures) =
            socket::connect(addr, options).map_err(|error| NetError::Connect { addr, kind: error.kind() })?;
        Ok(Self {
            socket: TcpStream::from_std(socket),
            addr,
            cipher_out: OutBuf::new(if tls.is_some() { 4 * 1024 } else { 0 }, CIPHER_OUT_BYTES_MAX),
            tunnel: None,
            tls,
            progress: Progress::Connecting,
            read_mode,
            read_closed: false,
            backlog: false,
            end: None,
            peeked: 0,
            kernel_stamp_ns: None,
            failures,
        })
    }

    /// Has the peer, which is a proxy, open a tunnel to `host` and `port` before anything else. To be called at once.
    ///
    /// # Errors
    /// [`NetError::Proxy`] when it cannot be asked for such a host.
    pub fn through(&mut self, proxy: &Proxy, host: &str, port: u16) -> Result<(), NetError> {
        self.tunnel = Some((Tunnel::new(proxy, host, port)?, Vec::new()));
        Ok(())
    }

    /// The socket, to be registered for reading and writing.
    pub fn source(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// The address of the peer.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Socket options that could not be set.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// What the connection waits for.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// To be called when an event says that the peer has closed its side for writing.
    pub fn note_read_closed(&mut self) {
        self.read_closed = true;
    }

    /// Advances connecting and the TLS handshake. To be called on every event until [`Progress::Ready`].
    ///
    /// # Errors
    /// [`NetError::Connect`], [`NetError::Tls`], [`NetError::Eof`]: the connection is finished.
    pub fn advance(&mut self) -> Result<Progress, NetError> {
        if self.progress == Progress::Connecting {
            let failed = |error: &io::Error| NetError::Connect { addr: self.addr, kind: error.kind() };
            match self.socket.take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => return Err(failed(&error)),
            }
            match self.socket.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(self.progress),
                Err(error) => return Err(failed(&error)),
            }
            self.progress = Progress::Tunnelling;
        }
        if self.progress == Progress::Tunnelling && self.tunnel()? {
            self.progress = if self.tls.is_some() { Progress::Handshaking } else { Progress::Ready };
        }
        if self.progress == Progress::Handshaking {
            self.handshake()?;
        }
        Ok(self.progress)
    }

    /// Whether the way is free.
    fn tunnel(&mut self) -> Result<bool, NetError> {
        let Some((tunnel, answer)) = &mut self.tunnel else { return Ok(true) };
        loop {
            // `cipher_out` is not needed for anything else yet, and its limit is far above what a proxy is sent.
            self.cipher_out.push(&tunnel.take_output())?;
            flush(&self.socket, &mut self.cipher_out)?;
            let mut space = [0; 1024];
            match (&self.socket).read(&mut space) {
                Ok(0) => return Err(NetError::Proxy("it closed the connection".into())),
                Ok(n) => answer.extend_from_slice(&space[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(NetError::from_io(&error)),
            }
            let passed = tunnel.offer(answer)?;
            answer.drain(..passed.consumed);
            if passed.open {
                // In both protocols that we speak through it the client begins.
                if !answer.is_empty() {
                    return Err(NetError::Proxy("it sent more than an answer".into()));
                }
                self.tunnel = None;
                return Ok(true);
            }
        }
    }

    fn handshake(&mut self) -> Result<(), NetError> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let mut drained = false;
        loop {
            let outcome = tls.handshake(&mut self.cipher_out);
            // Also after an error: the alert tells the server why.
            let flushed = flush(&self.socket, &mut self.cipher_out);
            if outcome? {
                flushed?;
                self.progress = Progress::Ready;
                self.backlog = true;
                return Ok(());
            }
            flushed?;
            if drained {
                return Ok(());
            }
            let space = tls.cipher_spare();
            let space_len = space.len();
            match (&self.socket).read(space) {
                Ok(0) => return Err(NetError::Eof(EofKind::Truncated)),
                Ok(n) => {
                    drained = n < space_len && !self.read_closed;
                    tls.cipher_filled(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(NetError::from_io(&error)),
            }
        }
    }

    /// Reads once, and delivers what came as plain text.
    ///
    /// What was read before but found no room is delivered first, without a system call.
    ///
    /// # Errors
    /// [`NetError::Tls`], [`NetError::Eof`] for a reset connection: it is finished.
    pub fn recv(&mut self, into: &mut impl PlainBuf) -> Result<Recv, NetError> {
        if self.progress != Progress::Ready {
            return Ok(Recv { bytes: 0, maybe_more: false, end: None });
        }
        if self.backlog
            && let Some(tls) = &mut self.tls
        {
            let opened = tls.open(into, &mut self.cipher_out);
            self.backlog = matches!(opened, Ok(opened) if opened.more);
            let bytes = self.opened(opened)?;
            if bytes > 0 || self.backlog {
                return Ok(Recv { bytes, maybe_more: true, end: None });
            }
        }
        if self.end.is_some() {
            return Ok(Recv { bytes: 0, maybe_more: false, end: self.end });
        }
        self.finish_read()?;
        let space = match &mut self.tls {
            Some(tls) => tls.cipher_spare(),
            None => into.spare(1),
        };
        let space_len = space.len();
        if space_len == 0 {
            return Ok(Recv { bytes: 0, maybe_more: true, end: None });
        }
        let read = match self.read_mode {
            ReadMode::Recv => (&self.socket).read(space),
            ReadMode::Stamped => socket::recv_stamped(&self.socket, space).map(|(n, stamp)| {
                self.kernel_stamp_ns = stamp;
                n
            }),
            ReadMode::LateAck => socket::peek(&self.socket, space).inspect(|n| self.peeked = *n),
        };
        let n = match read {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Recv { bytes: 0, maybe_more: false, end: None });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Ok(Recv { bytes: 0, maybe_more: true, end: None });
            }
            Err(error) => return Err(NetError::from_io(&error)),
        };
        let maybe_more = n == space_len || self.read_closed;
        let Some(tls) = &mut self.tls else {
            into.filled(n);
            if n == 0 {
                self.end = Some(End::Clean);
            }
            return Ok(Recv { bytes: n, maybe_more: maybe_more && n > 0, end: self.end });
        };
        if n == 0 {
            self.end = Some(End::Truncated);
            return Ok(Recv { bytes: 0, maybe_more: false, end: self.end });
        }
        tls.cipher_filled(n);
        let opened = tls.open(into, &mut self.cipher_out);
        self.backlog = matches!(opened, Ok(opened) if opened.more);
        let bytes = self.opened(opened)?;
        Ok(Recv { bytes, maybe_more: maybe_more || self.backlog, end: self.end.filter(|_| !self.backlog) })
    }

    /// Sends what decrypting produced for the server (alerts, key updates) and notes the end of the session.
    fn opened(&mut self, opened: Result<super::tls::Opened, NetError>) -> Result<usize, NetError> {
        if !self.cipher_out.is_empty() {
            let flushed = flush(&self.socket, &mut self.cipher_out);
            if opened.is_ok() {
                flushed?;
            }
        }
        let opened = opened?;
        if self.tls.as_ref().is_some_and(|tls| tls.peer_closed()) {
            self.end = Some(End::Clean);
        }
        Ok(opened.bytes)
    }

    /// Takes from the kernel what was only peeked at; to be called after the work with [`ReadMode::LateAck`], and
    /// harmless otherwise.
    ///
    /// # Errors
    /// [`NetError::Eof`] when the connection was reset meanwhile.
    pub fn finish_read(&mut self) -> Result<(), NetError> {
        while self.peeked > 0 {
            match socket::take(&self.socket, self.peeked) {
                Ok(0) => self.peeked = 0,
                Ok(n) => self.peeked -= n.min(self.peeked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.peeked = 0;
                    return Err(NetError::from_io(&error));
                }
            }
        }
        Ok(())
    }

    /// Sends the beginning of `plain`, as much as the socket takes, and says how much that was.
    ///
    /// With TLS, bytes that were taken may wait as ciphertext; [`wants_write`](Self::wants_write) tells.
    ///
    /// # Errors
    /// [`NetError::Eof`] and [`NetError::Tls`]: the connection is finished.
    pub fn send(&mut self, plain: &[u8]) -> Result<usize, NetError> {
        if self.progress != Progress::Ready || plain.is_empty() {
            return Ok(0);
        }
        let Some(tls) = &mut self.tls else { return write_some(&self.socket, plain) };
        flush(&self.socket, &mut self.cipher_out)?;
        if !self.cipher_out.is_empty() {
            return Ok(0);
        }
        let sealed = tls.seal(plain, &mut self.cipher_out)?;
        flush(&self.socket, &mut self.cipher_out)?;
        Ok(sealed)
    }

    /// Sends ciphertext that waits.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn flush(&mut self) -> Result<(), NetError> {
        flush(&self.socket, &mut self.cipher_out)
    }

    /// Whether ciphertext waits for the socket to become writable.
    pub fn wants_write(&self) -> bool {
        !self.cipher_out.is_empty()
    }

    /// How many bytes of ciphertext wait.
    pub fn buffered_out(&self) -> usize {
        self.cipher_out.len()
    }

    /// When the kernel received what the last [`recv`](Self::recv) read, in nanoseconds since 1970; only with
    /// [`ReadMode::Stamped`].
    pub fn kernel_stamp_ns(&self) -> Option<i64> {
        self.kernel_stamp_ns
    }

    /// Ends our side: TLS close_notify, then TCP. Errors do not matter any more.
    pub fn shutdown(&mut self) {
        // With bytes that were not taken the kernel would reset the connection, and what was sent last be lost.
        let _ = self.finish_read();
        if let Some(tls) = &mut self.tls {
            tls.close(&mut self.cipher_out);
            let _ = flush(&self.socket, &mut self.cipher_out);
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

fn flush(socket: &TcpStream, out: &mut OutBuf) -> Result<(), NetError> {
    while !out.is_empty() {
        let n = write_some(socket, out.as_slice())?;
        if n == 0 {
            break;
        }
        out.consume(n);
    }
    Ok(())
}

/// Writes once; 0 means that the socket takes nothing at present.
fn write_some(mut socket: &TcpStream, bytes: &[u8]) -> Result<usize, NetError> {
    loop {
        match socket.write(bytes) {
            Ok(n) => return Ok(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(NetError::from_io(&error)),
        }
    }
}
