//! What the contenders built from other people's crates share: how they connect, the books they keep, and how their
//! executor waits.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde::Deserialize;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::MaybeTlsStream;

use crate::contender::{Target, Top, Waiting};

/// Prices and amounts have this many decimals.
pub(crate) const SCALE: u8 = 8;

/// Levels of one side, `(price, amount)` at eight decimals.
pub(crate) type Levels = Vec<(i64, i64)>;

/// What a message did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) stream: u32,
    pub(crate) last_update_id: u64,
    pub(crate) top: Top,
}

/// A parser with the books that it keeps, one for each stream.
pub(crate) trait Books {
    /// Empty books for so many streams.
    fn new(streams: u32) -> Self;

    /// Starts the book of a stream from the answer to `GET /api/v3/depth`.
    fn load(&mut self, stream: u32, snapshot: &[u8]) -> Result<(), String>;

    /// Takes a message. `None` if the snapshot already contains it.
    fn on_frame(&mut self, frame: &[u8]) -> Result<Option<Seen>, String>;

    /// Takes a message that may be overwritten.
    fn on_frame_mut(&mut self, frame: &mut [u8]) -> Result<Option<Seen>, String> {
        self.on_frame(frame)
    }

    /// All levels of a stream, best first.
    fn levels(&self, stream: u32) -> (Levels, Levels);
}

/// Books with the snapshot of every stream in them.
pub(crate) fn load<B: Books>(target: &Target) -> Result<B, String> {
    let mut books = B::new(target.streams);
    for stream in 0..target.streams {
        books.load(stream, &snapshot(target, stream)?)?;
    }
    Ok(books)
}

/// Which update ids a book has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sequence {
    last: u64,
}

impl Sequence {
    /// A book that was started from a snapshot.
    pub(crate) const fn after(snapshot_id: u64) -> Sequence {
        Sequence { last: snapshot_id }
    }

    /// Whether the update `first..=last` is news to the book.
    ///
    /// # Errors
    /// Updates are missing before it.
    #[inline]
    pub(crate) fn admit(&mut self, first: u64, last: u64) -> Result<bool, String> {
        if last <= self.last {
            return Ok(false);
        }
        if first > self.last + 1 {
            return Err(format!("updates are missing: {} was the last, now {first} comes", self.last));
        }
        self.last = last;
        Ok(true)
    }
}

/// The number of a stream from the market it is of: 12 for `S12`.
pub(crate) fn stream_of(market: &[u8]) -> Option<u32> {
    let digits = market.strip_prefix(b"S")?;
    (!digits.is_empty() && digits.len() < 9)
        .then(|| digits.iter().try_fold(0, |n, &b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0'))))?
}

/// The snapshot as it comes.
#[derive(Debug, Deserialize)]
pub(crate) struct Snapshot {
    #[serde(rename = "lastUpdateId")]
    pub(crate) last_update_id: u64,
    pub(crate) bids: Vec<(String, String)>,
    pub(crate) asks: Vec<(String, String)>,
}

impl Snapshot {
    pub(crate) fn read(text: &[u8]) -> Result<Snapshot, String> {
        serde_json::from_slice(text).map_err(|error| format!("the snapshot cannot be read: {error}"))
    }
}

/// Levels of a snapshot as mantissas.
pub(crate) fn mantissas(levels: &[(String, String)]) -> Result<Levels, String> {
    levels.iter().map(|(price, amount)| Ok((mantissa(price)?, mantissa(amount)?))).collect()
}

/// `"0.35130000"` as 35130000.
#[inline]
pub(crate) fn mantissa(text: &str) -> Result<i64, String> {
    wirebook::decimal::parse_exact(text.as_bytes(), SCALE).map_err(|error| format!("{text} is no price: {error}"))
}

/// Fetches the snapshot of a stream.
pub(crate) fn snapshot(target: &Target, stream: u32) -> Result<Vec<u8>, String> {
    http_get(target, &format!("/api/v3/depth?symbol=S{stream}&limit=5000"))
}

/// The body of a small answer over a connection of its own.
pub(crate) fn http_get(target: &Target, path: &str) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("GET {path}: {error}");
    let mut stream = Stream::connect(target)?;
    let host = format!("localhost:{}", target.addr.port());
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").map_err(failed)?;
    stream.flush().map_err(failed)?;
    let mut answer = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        if let Some(body) = http_body(&answer)? {
            return Ok(body.to_vec());
        }
        match stream.read(&mut part).map_err(failed)? {
            0 => return Err(format!("GET {path}: the answer ends after {} bytes", answer.len())),
            len => answer.extend_from_slice(&part[..len]),
        }
    }
}

/// The body if all of it is there.
fn http_body(answer: &[u8]) -> Result<Option<&[u8]>, String> {
    let Some(head_len) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&answer[..head_len]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(format!("not answered with 200: {}", head.lines().next().unwrap_or_default()));
    }
    let body_len = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let body_len = body_len.ok_or("the answer does not say its length")?;
    Ok(answer.get(head_len + 4..head_len + 4 + body_len))
}

/// A connected socket for contenders that do without an executor.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects and shakes hands, blocking.
    pub(crate) fn connect(target: &Target) -> Result<Stream, String> {
        let tcp = tcp_connect(target)?;
        if !target.tls {
            return Ok(Stream::Plain(tcp));
        }
        let connection = ClientConnection::new(tls_config(target)?, server_name()?).map_err(|e| format!("TLS: {e}"))?;
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| format!("TLS: {error}"))?;
        }
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// The socket below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.read(buf),
            Stream::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.write(buf),
            Stream::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

pub(crate) fn tcp_connect(target: &Target) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("cannot connect to {}: {error}", target.addr);
    let tcp = TcpStream::connect(target.addr).map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    Ok(tcp)
}

/// Trusts the authority of the sender and nobody else.
pub(crate) fn tls_config(target: &Target) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(ca(target)?).map_err(|error| format!("{}: {error}", target.ca.display()))?;
    // Named, because more than one provider may be compiled in.
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The certificate of the sender's authority.
pub(crate) fn ca(target: &Target) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_file(&target.ca).map_err(|error| format!("{}: {error}", target.ca.display()))
}

pub(crate) fn server_name() -> Result<ServerName<'static>, String> {
    ServerName::try_from("localhost").map_err(|error| format!("localhost is no name: {error}"))
}

/// The same for contenders on tokio.
pub(crate) async fn tokio_connect(target: &Target) -> Result<MaybeTlsStream<tokio::net::TcpStream>, String> {
    let failed = |error: std::io::Error| format!("cannot connect to {}: {error}", target.addr);
    let tcp = tokio::net::TcpStream::connect(target.addr).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    if !target.tls {
        return Ok(MaybeTlsStream::Plain(tcp));
    }
    let tls = TlsConnector::from(tls_config(target)?).connect(server_name()?, tcp).await;
    tls.map(MaybeTlsStream::Rustls).map_err(|error| format!("TLS: {error}"))
}

/// Runs a future on a tokio runtime of this one thread.
///
/// tokio always sleeps where nothing is ready. To keep it awake, the future yields whenever it has nothing to do: the
/// runtime then looks for readable sockets without waiting and comes back at once.
pub(crate) fn block_on<F>(waiting: Waiting, future: F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    block_on_with(tokio::runtime::Builder::new_current_thread().enable_io(), waiting, future)
}

/// The same with more than sockets.
pub(crate) fn block_on_with<F>(builder: &mut tokio::runtime::Builder, waiting: Waiting, future: F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let runtime = builder.build().map_err(|error| format!("tokio: {error}"))?;
    match waiting {
        Waiting::Sleep => runtime.block_on(future),
        Waiting::Spin => runtime.block_on(async {
            let mut future = std::pin::pin!(future);
            loop {
                let polled = poll_fn(|cx| match future.as_mut().poll(cx) {
                    Poll::Ready(result) => Poll::Ready(Some(result)),
                    Poll::Pending => Poll::Ready(None),
                });
                match polled.await {
                    Some(result) => return result,
                    None => tokio::task::yield_now().await,
                }
            }
        }),
    }
}

/// Runs one future for each socket until the first of them ends.
pub(crate) async fn first_of<F>(futures: impl IntoIterator<Item = F>) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let mut futures: VecDeque<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|cx| {
        for future in &mut futures {
            if let Poll::Ready(result) = future.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

/// The request that turns a connection into that of a socket, and its key.
pub(crate) fn upgrade_request(target: &Target, socket: u32) -> Result<(Vec<u8>, String), String> {
    use tungstenite::client::IntoClientRequest;
    let request = target.stream_url(socket).into_client_request().map_err(|error| error.to_string())?;
    tungstenite::handshake::client::generate_request(request).map_err(|error| error.to_string())
}

/// What a read that failed means: the sender may just close when it has sent everything.
pub(crate) fn ended(error: String) -> Result<(), String> {
    const CLOSED: [&str; 6] =
        ["close_notify", "without closing handshake", "Unexpected EOF", "reset by peer", "UnexpectedEof", "closed"];
    if CLOSED.iter().any(|closed| error.contains(closed)) { Ok(()) } else { Err(error) }
}
