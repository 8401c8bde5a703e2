//! A loopback venue on real sockets: 127.0.0.1, plain or TLS, REST and WebSocket on one port.
//!
//! [`Server::start`] opens the port and runs everything in one thread of its own; dropping the server (or
//! [`Server::stop`]) ends it. Base addresses for clients are [`Server::rest_url`] and [`Server::ws_url`]. With TLS the
//! certificate is for `localhost` and `127.0.0.1` and comes from a certificate authority made at the start, whose
//! certificate clients have to trust: [`Server::ca_pem`].
//!
//! ```no_run
//! use wirebook::sim::server::{Server, ServerConfig};
//! use wirebook::sim::{Config, VenueKind};
//!
//! let server = Server::start(ServerConfig::new(Config::new(VenueKind::Binance)))?;
//! println!("{} {}", server.rest_url(), server.ws_url());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The thread sleeps until a socket or the venue has something to do. The sleep of the operating system is whole
//! milliseconds, so what is due is told up to a millisecond late, and together; [`ServerConfig::busy`] spins instead.
//! Everything about the venue is behind one lock that the thread holds during a cycle, so the accessors wait for the end
//! of one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::ServerConnection;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::host::{Fate, Host, LinkId};
use super::market::Truth;
use super::venue::Venue;
use super::{Config, Counters};

/// Bytes that one connection may read in one turn, so that a busy client does not keep the others waiting.
const READ_BYTES_MAX: usize = 256 * 1024;
/// Bytes handed to the socket layer at a time.
const WRITE_BYTES: usize = 64 * 1024;
/// How long a closed connection waits for the client to close too.
const LINGER: Duration = Duration::from_secs(1);
/// Longest sleep; deadlines and sockets end it earlier.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// After so long sockets are looked at again, and the lock is given up, although the venue is behind its time.
const TURN: Duration = Duration::from_millis(5);
/// How often the thread steps back for those who want to look at the venue.
const YIELDS_MAX: usize = 1_000;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// How to serve a venue.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The venue.
    pub sim: Config,
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// TLS or plain TCP.
    pub tls: bool,
    /// Spin instead of sleeping: messages leave within microseconds of their time, at the price of a core.
    pub busy: bool,
}

impl ServerConfig {
    /// TLS on a free port.
    pub fn new(sim: Config) -> Self {
        ServerConfig { sim, port: 0, tls: true, busy: false }
    }
}

/// A running loopback venue. See the module's documentation.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    ca_pem: Option<String>,
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Opens the port and starts the thread.
    ///
    /// # Errors
    /// The port is taken, or the operating system refuses a thread, a poll or a certificate's random numbers.
    pub fn start(config: ServerConfig) -> io::Result<Self> {
        let (tls, ca_pem) = if config.tls {
            let (tls, ca_pem) = certificates()?;
            (Some(Arc::new(tls)), Some(ca_pem))
        } else {
            (None, None)
        };
        let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, config.port)))?;
        let address = listener.local_addr()?;
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let clock = Clock::new();
        let shared = Arc::new(Shared {
            host: Mutex::new(Host::new(&config.sim, clock.now_ns())),
            waiting: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let server_loop = Loop {
            poll,
            listener,
            tls,
            shared: Arc::clone(&shared),
            clock,
            busy: config.busy,
            peers: Vec::new(),
            again: Vec::new(),
            closing: 0,
            plain: Vec::with_capacity(WRITE_BYTES),
            read: vec![0; 16 * 1024],
        };
        let name = format!("sim-{}", config.sim.venue);
        let thread = std::thread::Builder::new().name(name).spawn(move || server_loop.run())?;
        Ok(Server { address, ca_pem, shared, waker, thread: Some(thread) })
    }

    /// Address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base address of REST requests, without a slash at the end.
    pub fn rest_url(&self) -> String {
        format!("{}://{}", if self.ca_pem.is_some() { "https" } else { "http" }, self.address)
    }

    /// Base address of WebSockets, without a slash at the end.
    pub fn ws_url(&self) -> String {
        format!("{}://{}", if self.ca_pem.is_some() { "wss" } else { "ws" }, self.address)
    }

    /// The certificate of the authority that clients have to trust, as PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The true book now; `None` for an unknown symbol.
    pub fn truth(&self, symbol: &str) -> Option<Truth> {
        self.with_venue(|venue| venue.truth(symbol))
    }

    /// Fingerprint of the true book at the end of a book event, see [`Venue::truth_at`].
    pub fn truth_at(&self, symbol: &str, update_id: u64) -> Option<u64> {
        self.with_venue(|venue| venue.truth_at(symbol, update_id))
    }

    /// The true book at any remembered update number, see [`Venue::truth_levels_at`].
    pub fn truth_levels_at(&self, symbol: &str, update_id: u64) -> Option<Truth> {
        self.with_venue(|venue| venue.truth_levels_at(symbol, update_id))
    }

    /// Open WebSocket connections.
    pub fn connections(&self) -> usize {
        self.with_venue(Venue::connections)
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.with_venue(|venue| venue.counters().clone())
    }

    /// Looks at the venue while its thread waits.
    pub fn with_venue<R>(&self, look: impl FnOnce(&Venue) -> R) -> R {
        look(self.shared.look().venue())
    }

    /// Ends the thread and all connections.
    ///
    /// # Errors
    /// What the thread died of, if it was not this call.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.shared.stop.store(true, Ordering::Release);
        // The thread looks at the flag at least every `SLEEP_MAX` even when it cannot be woken.
        let _ = self.waker.wake();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the thread of the loopback venue panicked")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A destructor has nobody to tell; `stop` has.
        let _ = self.end();
    }
}

/// What the thread and its owner share.
#[derive(Debug)]
struct Shared {
    host: Mutex<Host>,
    /// How many wait for the lock. The lock is not fair, and a thread that never sleeps would never let them in.
    waiting: AtomicUsize,
    stop: AtomicBool,
}

impl Shared {
    /// The lock for everybody but the thread.
    fn look(&self) -> MutexGuard<'_, Host> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let host = self.lock();
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        host
    }

    /// The lock for the thread: after those who wait, though not forever.
    fn take_turn(&self) -> MutexGuard<'_, Host> {
        for _ in 0..YIELDS_MAX {
            if self.waiting.load(Ordering::Acquire) == 0 {
                break;
            }
            std::thread::yield_now();
        }
        self.lock()
    }

    /// A panic elsewhere leaves a venue that can still be looked at.
    fn lock(&self) -> MutexGuard<'_, Host> {
        self.host.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Unix time that never goes back.
#[derive(Clone, Copy, Debug)]
struct Clock {
    unix_ns: u64,
    since: Instant,
}

impl Clock {
    fn new() -> Self {
        let unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos);
        Clock { unix_ns, since: Instant::now() }
    }

    fn now_ns(&self) -> u64 {
        self.unix_ns.saturating_add(nanos(self.since.elapsed()))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A fresh authority and a certificate of its for this host.
fn certificates() -> io::Result<(rustls::ServerConfig, String)> {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    };
    fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
        io::Error::other(error)
    }
    let ca_key = KeyPair::generate().map_err(other)?;
    let mut ca = CertificateParams::new(Vec::new()).map_err(other)?;
    ca.distinguished_name.push(DnType::CommonName, "wirebook loopback venue authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let ca_pem = ca.self_signed(&ca_key).map_err(other)?.pem();
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate().map_err(other)?;
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).map_err(other)?;
    leaf.distinguished_name.push(DnType::CommonName, "wirebook loopback venue");
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = leaf.signed_by(&key, &issuer).map_err(other)?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .map_err(other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((config, ca_pem))
}

/// One accepted socket.
#[derive(Debug)]
struct Peer {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    link: LinkId,
    /// Bytes on their way into the socket, with TLS already applied in `tls` itself.
    out: Vec<u8>,
    out_start: usize,
    /// The last bytes are in the socket and the client has until then to close its end.
    closing: Option<Instant>,
}

#[derive(Debug)]
struct Loop {
    poll: Poll,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    shared: Arc<Shared>,
    clock: Clock,
    busy: bool,
    /// By the index of their link.
    peers: Vec<Option<Peer>>,
    /// Links that had more to read than one turn allows.
    again: Vec<usize>,
    /// Peers that are closing.
    closing: usize,
    plain: Vec<u8>,
    read: Vec<u8>,
}

/// Whether a peer is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peering {
    Alive,
    Over,
}

impl Loop {
    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut behind = false;
        while !self.shared.stop.load(Ordering::Acquire) {
            let timeout = if behind || self.busy || !self.again.is_empty() {
                Duration::ZERO
            } else {
                let deadline_ns = self.shared.take_turn().next_deadline().unwrap_or(u64::MAX);
                Duration::from_nanos(deadline_ns.saturating_sub(self.clock.now_ns())).min(SLEEP_MAX)
            };
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let shared = Arc::clone(&self.shared);
            let mut host = shared.take_turn();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(&mut host),
                    WAKER => {}
                    Token(index) => self.on_event(&mut host, index, event),
                }
            }
            for index in std::mem::take(&mut self.again) {
                self.receive(&mut host, index);
            }
            behind = true;
            let begin = Instant::now();
            while begin.elapsed() < TURN {
                let now_ns = self.clock.now_ns();
                if host.next_deadline().is_none_or(|deadline_ns| deadline_ns > now_ns) {
                    behind = false;
                    break;
                }
                host.advance(now_ns);
                self.send_ready(&mut host);
            }
            self.send_ready(&mut host);
            self.end_closing(&mut host);
        }
        Ok(())
    }

    fn accept(&mut self, host: &mut Host) {
        // Any other failure concerns one client that has already gone.
        while let Ok((mut socket, _)) = self.listener.accept() {
            let Some(link) = host.open(self.clock.now_ns()) else { continue };
            let index = link.index();
            // Without it small messages would wait for acknowledgements; a failure only makes them late.
            let _ = socket.set_nodelay(true);
            let tls = match &self.tls {
                Some(config) => match ServerConnection::new(Arc::clone(config)) {
                    Ok(mut tls) => {
                        // What waits is bounded by what is taken from the host.
                        tls.set_buffer_limit(None);
                        Some(Box::new(tls))
                    }
                    Err(_) => {
                        host.lost(link);
                        continue;
                    }
                },
                None => None,
            };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut socket, Token(index), interest).is_err() {
                host.lost(link);
                continue;
            }
            if self.peers.len() <= index {
                self.peers.resize_with(index + 1, || None);
            }
            self.peers[index] = Some(Peer { socket, tls, link, out: Vec::new(), out_start: 0, closing: None });
        }
    }

    fn on_event(&mut self, host: &mut Host, index: usize, event: &Event) {
        let Some(peer) = self.peers.get(index).and_then(Option::as_ref) else { return };
        if host.fate(peer.link) == Fate::Stalled {
            // Nothing is read, but a client that leaves is let go.
            if event.is_read_closed() || event.is_error() {
                self.drop_peer(host, index);
            }
            return;
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.receive(host, index);
        }
        if event.is_writable() {
            self.send(host, index);
        }
    }

    /// Reads what is there, up to [`READ_BYTES_MAX`].
    fn receive(&mut self, host: &mut Host, index: usize) {
        let Some(peer) = self.peers.get_mut(index).and_then(Option::as_mut) else { return };
        let mut total = 0;
        let mut peering = Peering::Alive;
        while peering == Peering::Alive && host.fate(peer.link) != Fate::Stalled {
            if total >= READ_BYTES_MAX {
                self.again.push(index);
                break;
            }
            let count = match peer.socket.read(&mut self.read) {
                Ok(0) => {
                    peering = Peering::Over;
                    break;
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    peering = Peering::Over;
                    break;
                }
            };
            total += count;
            // A connection that is over only waits for its end.
            if peer.closing.is_some() {
                continue;
            }
            let now_ns = self.clock.now_ns();
            let mut bytes = &self.read[..count];
            match &mut peer.tls {
                None => host.on_bytes(now_ns, peer.link, bytes),
                Some(tls) => {
                    while !bytes.is_empty() && peering == Peering::Alive {
                        peering = decrypt(tls, &mut bytes, &mut self.plain);
                        host.on_bytes(now_ns, peer.link, &self.plain);
                    }
                }
            }
        }
        if peering == Peering::Over {
            // An alert about a bad handshake may still wait.
            if let Some(peer) = self.peers.get_mut(index).and_then(Option::as_mut) {
                let _ = flush(peer);
            }
            self.drop_peer(host, index);
        } else {
            self.send(host, index);
        }
    }

    fn send_ready(&mut self, host: &mut Host) {
        while let Some(link) = host.pop_ready() {
            self.send(host, link.index());
        }
    }

    /// Writes what may leave now, as far as the socket takes it.
    fn send(&mut self, host: &mut Host, index: usize) {
        let Some(peer) = self.peers.get_mut(index).and_then(Option::as_mut) else { return };
        loop {
            match flush(peer) {
                Ok(true) => {}
                // The socket is full; it says when it is not.
                Ok(false) => return,
                Err(_) => {
                    self.drop_peer(host, index);
                    return;
                }
            }
            if peer.closing.is_some() {
                return;
            }
            self.plain.clear();
            if host.take(self.clock.now_ns(), peer.link, WRITE_BYTES, &mut self.plain) == 0 {
                break;
            }
            match &mut peer.tls {
                None => {
                    peer.out.clear();
                    peer.out.extend_from_slice(&self.plain);
                    peer.out_start = 0;
                }
                Some(tls) => {
                    if tls.writer().write_all(&self.plain).is_err() {
                        self.drop_peer(host, index);
                        return;
                    }
                }
            }
        }
        match host.fate(peer.link) {
            Fate::Open | Fate::Stalled => {}
            Fate::Gone | Fate::Cut => self.drop_peer(host, index),
            Fate::Finished => {
                if let Some(tls) = &mut peer.tls {
                    tls.send_close_notify();
                }
                let flushed = flush(peer).is_ok() && peer.socket.shutdown(Shutdown::Write).is_ok();
                peer.closing = Some(Instant::now() + LINGER);
                self.closing += 1;
                if !flushed {
                    self.drop_peer(host, index);
                }
            }
        }
    }

    /// Lets peers go that did not close their end in time.
    fn end_closing(&mut self, host: &mut Host) {
        if self.closing == 0 {
            return;
        }
        let now = Instant::now();
        for index in 0..self.peers.len() {
            if self.peers[index].as_ref().and_then(|peer| peer.closing).is_some_and(|until| until <= now) {
                self.drop_peer(host, index);
            }
        }
    }

    fn drop_peer(&mut self, host: &mut Host, index: usize) {
        if let Some(mut peer) = self.peers.get_mut(index).and_then(Option::take) {
            self.closing -= usize::from(peer.closing.is_some());
            // The socket is closed right after, which ends the registration as well.
            let _ = self.poll.registry().deregister(&mut peer.socket);
            host.lost(peer.link);
        }
    }
}

/// Takes received bytes into TLS, as many as it wants at a time, and replaces `plain` by what they say.
fn decrypt(tls: &mut ServerConnection, bytes: &mut &[u8], plain: &mut Vec<u8>) -> Peering {
    plain.clear();
    if tls.read_tls(bytes).is_err() {
        return Peering::Over;
    }
    let Ok(state) = tls.process_new_packets() else { return Peering::Over };
    let count = state.plaintext_bytes_to_read();
    plain.resize(count, 0);
    if count > 0 && tls.reader().read_exact(plain).is_err() {
        return Peering::Over;
    }
    if state.peer_has_closed() && count == 0 { Peering::Over } else { Peering::Alive }
}

/// Writes what waits: true when nothing is left, false when the socket is full.
fn flush(peer: &mut Peer) -> io::Result<bool> {
    let Peer { socket, tls, out, out_start, .. } = peer;
    loop {
        let result = match tls {
            Some(tls) if tls.wants_write() => tls.write_tls(socket).map(|_| ()),
            Some(_) => return Ok(true),
            None if *out_start < out.len() => socket.write(&out[*out_start..]).map(|count| *out_start += count),
            None => return Ok(true),
        };
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream as StdStream;

    use tungstenite::client::client;
    use tungstenite::{Message, WebSocket};

    use super::super::VenueKind;
    use super::super::faults::Script;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn server(tls: bool, change: impl FnOnce(&mut Config)) -> Server {
        let mut sim = Config::new(VenueKind::Binance).with_symbols(2);
        sim.levels = 20;
        sim.updates_per_s = 500;
        change(&mut sim);
        Server::start(ServerConfig { tls, ..ServerConfig::new(sim) }).unwrap()
    }

    fn socket(server: &Server) -> StdStream {
        let socket = StdStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    type Secure = rustls::StreamOwned<rustls::ClientConnection, StdStream>;

    fn secure(server: &Server) -> Secure {
        use rustls::pki_types::pem::PemObject;
        let ca = rustls::pki_types::CertificateDer::from_pem_slice(server.ca_pem().unwrap().as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        rustls::StreamOwned::new(connection, socket(server))
    }

    fn stream<S: Read + Write>(server: &Server, target: &str, socket: S) -> WebSocket<S> {
        client(format!("{}{target}", server.ws_url()), socket).unwrap().0
    }

    fn next_text<S: Read + Write>(ws: &mut WebSocket<S>) -> String {
        loop {
            if let Message::Text(text) = ws.read().unwrap() {
                return text.to_string();
            }
        }
    }

    fn until(what: &str, done: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < end, "waited too long: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Status line and body of one answer.
    fn get(stream: &mut impl ReadWrite, target: &str) -> (String, String) {
        write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let mut body = vec![0; len.parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        (head.lines().next().unwrap().to_owned(), String::from_utf8(body).unwrap())
    }

    trait ReadWrite: Read + Write {}
    impl<T: Read + Write> ReadWrite for T {}

    fn exercise<S: Read + Write>(server: &Server, mut rest: S, socket: S) {
        let (status, body) = get(&mut rest, "/api/v3/depth?symbol=BTCUSDT&limit=5");
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(body.starts_with("{\"lastUpdateId\":"));
        // The connection is kept.
        assert_eq!(get(&mut rest, "/api/v3/ping").1, "{}");
        assert!(get(&mut rest, "/nothing").0.contains("404"));

        let mut ws = stream(server, "/ws", socket);
        ws.send(Message::text(r#"{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":1}"#)).unwrap();
        let mut seen = 0;
        let mut last = 0u64;
        while seen < 5 {
            let text = next_text(&mut ws);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            if let Some(u) = value["u"].as_u64() {
                if last > 0 {
                    assert_eq!(value["U"].as_u64(), Some(last + 1));
                }
                last = u;
                seen += 1;
                assert!(server.truth_at("BTCUSDT", u).is_some());
            }
        }
        assert_eq!(server.connections(), 1);
        ws.close(None).unwrap();
        while ws.read().is_ok() {}
        until("the end of the connection", || server.connections() == 0);
    }

    #[test]
    fn plain_sockets() {
        let server = server(false, |_| {});
        assert!(server.rest_url().starts_with("http://127.0.0.1:") && server.ws_url().starts_with("ws://127.0.0.1:"));
        assert_eq!(server.ca_pem(), None);
        exercise(&server, socket(&server), socket(&server));
        server.stop().unwrap();
    }

    #[test]
    fn tls_sockets() {
        let server = server(true, |_| {});
        assert!(server.rest_url().starts_with("https://127.0.0.1:") && server.ws_url().starts_with("wss://127.0.0.1:"));
        exercise(&server, secure(&server), secure(&server));
        server.stop().unwrap();
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let first = server(false, |_| {});
        let config = ServerConfig {
            port: first.address().port(),
            tls: false,
            ..ServerConfig::new(Config::new(VenueKind::Binance))
        };
        assert_eq!(Server::start(config).unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn garbage_instead_of_tls_ends_one_connection_only() {
        let server = server(true, |_| {});
        let mut bad = socket(&server);
        bad.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut rest = Vec::new();
        let _ = bad.read_to_end(&mut rest);
        assert_eq!(get(&mut secure(&server), "/api/v3/ping").1, "{}");
    }

    #[test]
    fn a_client_that_vanishes_is_forgotten() {
        let server = server(true, |_| {});
        let ws = stream(&server, "/ws/btcusdt@bookTicker", secure(&server));
        assert_eq!(server.connections(), 1);
        drop(ws);
        until("the end of the connection", || server.connections() == 0);
    }

    #[test]
    fn ends_of_connections_look_as_they_should() {
        for (script, close) in [("at 200ms close 1012", Some(1012)), ("at 200ms cut", None)] {
            for tls in [false, true] {
                let server = server(tls, |sim| sim.script = Script::parse(script).unwrap());
                let end = if tls {
                    last_words(stream(&server, "/ws/btcusdt@bookTicker", secure(&server)))
                } else {
                    last_words(stream(&server, "/ws/btcusdt@bookTicker", socket(&server)))
                };
                assert_eq!(end, close, "{script} tls {tls}");
            }
        }
    }

    /// Reads to the end and gives the close code, if one came.
    fn last_words<S: Read + Write>(mut ws: WebSocket<S>) -> Option<u16> {
        let mut code = None;
        loop {
            match ws.read() {
                Ok(Message::Close(frame)) => code = frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(_) => return code,
            }
        }
    }

    #[test]
    fn a_slow_reader_is_cut() {
        let server = server(false, |sim| {
            sim.rate = Some(20_000);
            sim.limits.out_bytes_max = 100_000;
        });
        let ws = stream(&server, "/ws/btcusdt@depth@100ms", socket(&server));
        until("the slow reader", || server.counters().slow_readers == 1);
        until("its end", || server.connections() == 0);
        drop(ws);
    }

    #[test]
    fn a_half_open_connection_stays_until_the_client_leaves() {
        let server = server(false, |sim| sim.script = Script::parse("at 100ms half-open").unwrap());
        let mut ws = stream(&server, "/ws/btcusdt@bookTicker", socket(&server));
        until("the stall", || server.connections() == 0);
        ws.get_mut().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let end = loop {
            match ws.read() {
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) => break error.kind(),
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(end, ErrorKind::WouldBlock, "neither data nor an end");
        assert_eq!(server.shared.look().links(), 1);
        drop(ws);
        until("the link's end", || server.shared.look().links() == 0);
    }

    #[test]
    fn refused_connections_end_at_once() {
        let server = server(false, |sim| sim.script = Script::parse("at 0s refuse for 1h").unwrap());
        let mut refused = socket(&server);
        let mut bytes = Vec::new();
        // An end or a reset, whichever comes first.
        let _ = refused.read_to_end(&mut bytes);
        assert!(bytes.is_empty());
        assert!(server.counters().faults >= 1);
    }

    #[test]
    fn dribbled_and_glued_bytes_arrive_whole() {
        let server = server(true, |sim| {
            sim.script = Script::parse("at 0s split 9 for 1h\nat 0s fragment for 1h").unwrap();
        });
        let mut ws = stream(&server, "/ws/btcusdt@bookTicker", secure(&server));
        for _ in 0..20 {
            let text = next_text(&mut ws);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
    }
}
