//! The least that can be done: the kernel's receive path, over TLS the opening of the record where it lies, and a walk
//! over the frames. Nothing is parsed, no book is kept; what anybody does more shows as the difference.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ConnectionTrafficSecrets, RootCertStore, StreamOwned};
use wirebook::sys::socket::{self, SocketOptions};

use crate::contender::{Contender, Levels, Observer, Target, Top, Waiting};
use crate::shared::FIRST_ID;

/// How bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// `recv`.
    Recv,
    /// `recvmsg`, with the kernel's receive stamp.
    Stamped,
    /// `recv` with `MSG_PEEK`; the bytes are taken after the work, and the acknowledgement leaves behind it.
    Late,
}

/// Room for a burst.
const BUFFER_BYTES: usize = 64 << 10;

/// The contender.
#[derive(Debug)]
pub(super) struct Floor {
    method: Method,
}

impl Floor {
    pub(super) fn boxed(method: Method) -> Box<dyn Contender> {
        Box::new(Floor { method })
    }
}

impl Contender for Floor {
    fn run(&mut self, target: &Target, waiting: Waiting, observer: &mut dyn Observer) -> Result<(), String> {
        let blocking = waiting == Waiting::Sleep && target.sockets == 1;
        let mut sockets = (0..target.sockets)
            .map(|at| Socket::open(target, at, self.method, blocking))
            .collect::<io::Result<Vec<Socket>>>()
            .map_err(|error| format!("connecting: {error}"))?;
        let mut walk = Walk { observer, messages: 0, one_stream: target.streams == 1 };
        if let [socket] = &mut sockets[..] {
            walk.observer.on_ready();
            while socket.turn(self.method, &mut walk)? {}
            return Ok(());
        }
        let explain = |error: io::Error| error.to_string();
        let (mut poll, mut events) = (Poll::new().map_err(explain)?, Events::with_capacity(256));
        for (at, socket) in sockets.iter_mut().enumerate() {
            poll.registry().register(&mut socket.socket, Token(at), Interest::READABLE).map_err(explain)?;
        }
        walk.observer.on_ready();
        let timeout = (waiting == Waiting::Spin).then_some(std::time::Duration::ZERO);
        loop {
            poll.poll(&mut events, timeout).map_err(explain)?;
            for event in &events {
                if let Some(socket) = sockets.get_mut(event.token().0)
                    && !socket.turn(self.method, &mut walk)?
                {
                    return Ok(());
                }
            }
        }
    }

    fn book(&self, _: u32) -> (Levels, Levels) {
        (Vec::new(), Vec::new())
    }
}

/// Counts messages, and tells of each.
struct Walk<'a> {
    observer: &'a mut dyn Observer,
    messages: u64,
    one_stream: bool,
}

impl Walk<'_> {
    /// Whole frames, as a server sends them; false when the run is over.
    #[inline]
    fn frames(&mut self, mut bytes: &[u8]) -> Result<(bool, usize), String> {
        let len_before = bytes.len();
        let mut running = true;
        loop {
            let (start, len) = match bytes {
                [_, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([*a, *b]))),
                [_, len @ 0..=125, ..] => (2, usize::from(*len)),
                [_, 127..=255, ..] => return Err("a frame that the sender never makes".into()),
                _ => break,
            };
            let Some(text) = bytes.get(start..start + len) else { break };
            // On one stream counting is enough; otherwise the number has to be looked for.
            let (id, stream) = if self.one_stream { (FIRST_ID + self.messages, 0) } else { number_of(text)? };
            self.messages += 1;
            running &= self.observer.on_top(stream, id, Top::default());
            bytes = &bytes[start + len..];
        }
        Ok((running, len_before - bytes.len()))
    }
}

/// Update id and stream of a text, found by their place and nothing else.
fn number_of(text: &[u8]) -> Result<(u64, u32), String> {
    let digits = |after: &[u8]| {
        let start = text.windows(after.len()).position(|window| window == after)? + after.len();
        let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit());
        Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    };
    let both = digits(b"\"u\":").zip(digits(b"{\"stream\":\"s"));
    both.map(|(id, stream)| (id, stream as u32)).ok_or_else(|| "a message without a number".into())
}

/// One connection.
#[derive(Debug)]
struct Socket {
    socket: TcpStream,
    opener: Option<Opener>,
    buffer: Box<[u8]>,
    /// What of the buffer was read before and is not whole.
    filled: usize,
}

impl Socket {
    fn open(target: &Target, at: u32, method: Method, blocking: bool) -> io::Result<Socket> {
        let options = SocketOptions { receive_stamps: method == Method::Stamped, ..SocketOptions::default() };
        let (mut socket, _) = socket::connect(target.addr, &options)?;
        socket.set_nonblocking(false)?;
        let url = target.stream_url(at);
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        let request = format!(
            "GET /{path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let opener = match target.tls {
            false => {
                upgrade(&mut socket, &request)?;
                None
            }
            true => {
                let connection = tls(&target.ca)?;
                let mut stream = StreamOwned::new(connection, socket);
                upgrade(&mut stream, &request)?;
                let (connection, inner) = stream.into_parts();
                socket = inner;
                Some(Opener::new(connection)?)
            }
        };
        socket.set_nonblocking(!blocking)?;
        let socket = TcpStream::from_std(socket);
        Ok(Socket { socket, opener, buffer: vec![0; BUFFER_BYTES].into(), filled: 0 })
    }

    /// One read, and what came with it; false when the run is over.
    #[inline]
    fn turn(&mut self, method: Method, walk: &mut Walk<'_>) -> Result<bool, String> {
        let space = &mut self.buffer[self.filled..];
        let read = match method {
            Method::Recv => self.socket.read(space),
            Method::Stamped => socket::recv_stamped(&self.socket, space).map(|(n, _)| n),
            Method::Late => socket::peek(&self.socket, space),
        };
        let n = match read {
            Ok(0) => return Err("the sender closed the connection".into()),
            Ok(n) => n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(true),
            Err(error) => return Err(format!("reading: {error}")),
        };
        let len = self.filled + n;
        let bytes = &mut self.buffer[..len];
        let (running, done) = match &mut self.opener {
            Some(opener) => opener.records(bytes, walk)?,
            None => walk.frames(bytes)?,
        };
        if method == Method::Late {
            // What is not whole stays in the kernel. The whole ones were read before, so they are there to be taken.
            socket::take(&self.socket, done).map_err(|error| format!("reading: {error}"))?;
        } else {
            self.buffer.copy_within(done..len, 0);
            self.filled = len - done;
        }
        Ok(running)
    }
}

/// Opens the records of a TLS 1.3 connection where they lie.
struct Opener {
    key: LessSafeKey,
    iv: [u8; 12],
    next: u64,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Opener {
    fn new(connection: ClientConnection) -> io::Result<Opener> {
        let secrets = connection.dangerous_extract_secrets().map_err(io::Error::other)?;
        let (next, ConnectionTrafficSecrets::Aes128Gcm { key, iv }) = secrets.rx else {
            return Err(io::Error::other("the sender took another cipher than AES-128-GCM"));
        };
        let key = UnboundKey::new(&AES_128_GCM, key.as_ref()).map_err(|_| io::Error::other("no AES-128 key"))?;
        let iv = iv.as_ref().try_into().map_err(io::Error::other)?;
        Ok(Opener { key: LessSafeKey::new(key), iv, next })
    }

    /// Opens all whole records; the bytes that they took.
    #[inline]
    fn records(&mut self, bytes: &mut [u8], walk: &mut Walk<'_>) -> Result<(bool, usize), String> {
        let (mut at, mut running) = (0, true);
        while let Some([kind, high, low, a, b]) = bytes.get(at..at + 5).and_then(|head| <[u8; 5]>::try_from(head).ok())
        {
            let len = usize::from(u16::from_be_bytes([a, b]));
            let Some(record) = bytes.get_mut(at + 5..at + 5 + len) else { break };
            let mut nonce = self.iv;
            nonce[4..].iter_mut().zip(self.next.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
            self.next += 1;
            let aad = Aad::from([kind, high, low, a, b]);
            let plain = self
                .key
                .open_in_place(Nonce::assume_unique_for_key(nonce), aad, record)
                .map_err(|_| "a record that does not open")?;
            // The last byte says what it is: 23 is data.
            if let [frames @ .., 23] = plain {
                let (goes_on, done) = walk.frames(frames)?;
                if done != frames.len() {
                    return Err("a record that does not hold whole frames".into());
                }
                running &= goes_on;
            }
            at += 5 + len;
        }
        Ok((running, at))
    }
}

/// Asks for a WebSocket and reads the answer, byte by byte so that nothing after it is taken.
fn upgrade(stream: &mut (impl Read + Write), request: &str) -> io::Result<()> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    if answer.starts_with(b"HTTP/1.1 101 ") { Ok(()) } else { Err(io::Error::other("the upgrade was refused")) }
}

fn tls(ca: &std::path::Path) -> io::Result<ClientConnection> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).map_err(io::Error::other)?).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_place() {
        let text =
            br#"{"stream":"s17@depth@100ms","data":{"e":"depthUpdate","s":"S17","U":7,"u":600859604850,"pu":6}}"#;
        assert_eq!(number_of(text), Ok((600_859_604_850, 17)));
        assert!(number_of(b"{}").is_err());
    }
}
