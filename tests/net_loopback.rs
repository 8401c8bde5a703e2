//! The links of `net/` against real sockets on loopback: honest servers made of tungstenite and rustls, and hostile ones
//! written by hand. Every wait has a deadline.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use wirebook::net::http::{HttpRequest, Method};
use wirebook::net::stream::ReadMode;
use wirebook::net::tls::TlsRoots;
use wirebook::net::ws::TextCheck;
use wirebook::net::{EofKind, HttpLink, LinkState, Message, NetConfig, NetError, Proxy, TlsFault, Url, WsLink};

const PATIENCE: Duration = Duration::from_secs(20);

static AUTHORITIES: AtomicUsize = AtomicUsize::new(0);

/// A certificate authority made for one test.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two authorities of the same name would be taken for one with a bad signature.
        let name = format!("test authority {}", AUTHORITIES.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn roots(&self) -> TlsRoots {
        TlsRoots { webpki: false, extra: vec![self.issuer.pem().into_bytes()], ..TlsRoots::default() }
    }

    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(certificate.der().to_vec())],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        Arc::new(config)
    }
}

/// Runs `serve` for one connection on a thread, and gives the address to connect to.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        serve(stream);
    });
    (addr, thread)
}

fn tls_stream(config: &Arc<ServerConfig>, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)
}

/// Echoes text and binary messages until the client closes.
fn echo<S: Read + Write>(stream: S) {
    let mut socket = tungstenite::accept(stream).unwrap();
    loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message).unwrap(),
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn config(roots: &TlsRoots) -> NetConfig {
    let mut config = NetConfig::new(roots).unwrap();
    config.ws.text_check = TextCheck::Strict;
    config
}

/// A link and the loop around it.
struct Client {
    poll: Poll,
    events: Events,
    link: WsLink,
    deadline: Instant,
    pings: usize,
    /// Whether reading may bring something without another event. Never read otherwise: a wake-up that the link forgets
    /// to ask for is a test that fails.
    more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Close(u16, String),
}

impl Client {
    fn open(addr: SocketAddr, url: &str, config: &NetConfig) -> Result<Self, NetError> {
        let poll = Poll::new().unwrap();
        let mut link = WsLink::open(addr, &Url::parse(url).unwrap(), config, 7)?;
        poll.registry().register(link.source(), Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut client = Self { poll, events: Events::with_capacity(8), link, deadline, pings: 0, more: true };
        while client.link.state() != LinkState::Open {
            client.turn()?;
        }
        Ok(client)
    }

    /// Waits for an event and handles it.
    fn turn(&mut self) -> Result<(), NetError> {
        let patience = self.deadline.saturating_duration_since(Instant::now());
        self.poll.poll(&mut self.events, Some(patience)).unwrap();
        assert!(!self.events.is_empty(), "nothing happened in {PATIENCE:?}, in state {:?}", self.link.state());
        for event in &self.events {
            self.more = true;
            self.link.ready(event.is_readable(), event.is_writable(), event.is_read_closed())?;
        }
        Ok(())
    }

    /// The next message that is not a ping or pong.
    fn receive(&mut self) -> Result<Option<Got>, NetError> {
        loop {
            loop {
                match self.link.next()? {
                    Some(Message::Text(text)) => {
                        return Ok(Some(Got::Text(String::from_utf8(text.to_vec()).unwrap())));
                    }
                    Some(Message::Binary(bytes)) => return Ok(Some(Got::Binary(bytes.to_vec()))),
                    Some(Message::Close { code, reason }) => return Ok(Some(Got::Close(code, reason.to_owned()))),
                    Some(Message::Ping(_)) => self.pings += 1,
                    Some(Message::Pong(_)) => {}
                    None => break,
                }
            }
            while !self.more {
                self.turn()?;
            }
            self.more = self.link.fill()?.maybe_more;
            self.link.finish_read()?;
            if self.link.state() == LinkState::Closed {
                return Ok(None);
            }
        }
    }
}

/// The error that connecting ends with.
fn refusal(addr: SocketAddr, url: &str, config: &NetConfig) -> NetError {
    match Client::open(addr, url, config) {
        Ok(_) => panic!("{url} opened"),
        Err(error) => error,
    }
}

/// Reads the head of a request, byte by byte, so that nothing behind it is taken.
fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The right answer to an upgrade request.
fn accepted(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// Answers the upgrade request with `answer`, and then waits until the client has gone.
fn answering(answer: impl Into<Vec<u8>>) -> (SocketAddr, JoinHandle<()>) {
    let answer = answer.into();
    server(move |mut stream| {
        read_head(&mut stream);
        // The client may have had enough before the end.
        let _ = stream.write_all(&answer);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

/// Opens the WebSocket and then does as `serve` says.
fn upgraded(serve: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    server(move |mut stream| {
        let head = read_head(&mut stream);
        stream.write_all(accepted(&head).as_bytes()).unwrap();
        serve(stream);
    })
}

fn open_plain(addr: SocketAddr) -> Client {
    Client::open(addr, &format!("ws://{addr}/"), &config(&TlsRoots::default())).unwrap()
}

fn text(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, u8::try_from(text.len()).unwrap()];
    frame.extend(text.as_bytes());
    frame
}

fn got(text: &str) -> Result<Option<Got>, NetError> {
    Ok(Some(Got::Text(text.to_owned())))
}

#[test]
fn echo_over_plain_tcp() {
    let (addr, thread) = server(echo);
    let mut client = Client::open(addr, &format!("ws://{addr}/"), &config(&TlsRoots::default())).unwrap();
    exchange(&mut client);
    thread.join().unwrap();
}

#[test]
fn echo_over_tls() {
    let authority = Authority::new();
    let tls = authority.server("127.0.0.1", |_| {});
    let (addr, thread) = server(move |stream| echo(tls_stream(&tls, stream)));
    let mut client = Client::open(addr, &format!("wss://{addr}/"), &config(&authority.roots())).unwrap();
    exchange(&mut client);
    thread.join().unwrap();
}

/// Messages of many sizes there and back, then a proper goodbye.
fn exchange(client: &mut Client) {
    for size in [0, 1, 125, 126, 300, 65_535, 65_536, 200_000] {
        let text = "x".repeat(size);
        client.link.send_text(text.as_bytes()).unwrap();
        assert_eq!(client.receive().unwrap(), Some(Got::Text(text)), "{size}");
        let bytes = vec![0xFF; size];
        client.link.send_binary(&bytes).unwrap();
        assert_eq!(client.receive().unwrap(), Some(Got::Binary(bytes)), "{size}");
    }
    client.link.close(1000, "done").unwrap();
    assert_eq!(client.receive().unwrap(), Some(Got::Close(1000, "done".to_owned())));
    assert_eq!(client.receive().unwrap(), None);
}

#[test]
fn echo_in_every_read_mode() {
    let authority = Authority::new();
    let tls = authority.server("127.0.0.1", |_| {});
    for mode in [ReadMode::Stamped, ReadMode::LateAck] {
        let config = NetConfig { read_mode: mode, ..config(&authority.roots()) };
        let (addr, thread) = server(echo);
        let mut client = Client::open(addr, &format!("ws://{addr}/"), &config).unwrap();
        let mut stamp_ns = None;
        // The kernel begins to stamp a moment after the first socket has asked for it.
        while Instant::now() < client.deadline {
            client.link.send_text(b"stamp me").unwrap();
            assert_eq!(client.receive(), got("stamp me"));
            stamp_ns = client.link.kernel_stamp_ns();
            if stamp_ns.is_some() || mode != ReadMode::Stamped {
                break;
            }
        }
        if mode == ReadMode::Stamped {
            let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
            let age_ns = now_ns - stamp_ns.unwrap();
            assert!((0..PATIENCE.as_nanos() as i64).contains(&age_ns), "{age_ns}");
        } else {
            assert_eq!(stamp_ns, None);
        }
        exchange(&mut client);
        thread.join().unwrap();
        let tls = tls.clone();
        let (addr, thread) = server(move |stream| echo(tls_stream(&tls, stream)));
        exchange(&mut Client::open(addr, &format!("wss://{addr}/"), &config).unwrap());
        thread.join().unwrap();
    }
}

#[test]
fn certificates_that_do_not_fit_are_told_apart() {
    let authority = Authority::new();
    let day = |year| rcgen::date_time_ymd(year, 1, 1);
    let good = authority.server("127.0.0.1", |_| {});
    let expired = authority.server("127.0.0.1", move |params| params.not_after = day(2020));
    let future = authority.server("127.0.0.1", move |params| {
        params.not_before = day(3000);
        params.not_after = day(3001);
    });
    let other = authority.server("other.test", |_| {});
    let ours = authority.roots();
    for (server_config, roots, fault, part) in [
        (&good, &Authority::new().roots(), TlsFault::UnknownIssuer, "add the authority"),
        (&expired, &ours, TlsFault::Expired, "s ago"),
        (&future, &ours, TlsFault::NotYetValid, "clock"),
        (&other, &ours, TlsFault::WrongName, "other.test"),
    ] {
        let server_config = server_config.clone();
        let (addr, thread) = server(move |stream| {
            let mut stream = tls_stream(&server_config, stream);
            // The client says why it goes.
            let told = stream.read(&mut [0; 10]).unwrap_err().to_string();
            assert!(told.contains("received fatal alert"), "{told}");
        });
        let error = refusal(addr, &format!("wss://{addr}/"), &config(roots));
        assert!(matches!(&error, NetError::Tls { fault: found, .. } if *found == fault), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn a_plain_server_on_a_tls_port_is_recognised() {
    for answer in ["HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "220 mail ready\r\n"] {
        let (addr, thread) = server(move |mut stream| {
            stream.read_exact(&mut [0; 5]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let error = refusal(addr, &format!("wss://{addr}/"), &config(&TlsRoots::default()));
        assert!(matches!(error, NetError::Tls { fault: TlsFault::NotTls, .. }), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn a_tls_server_on_a_plain_port_is_not_http() {
    let authority = Authority::new();
    let tls = authority.server("127.0.0.1", |_| {});
    let (addr, thread) = server(move |stream| {
        let _ = tls_stream(&tls, stream).read(&mut [0; 10]);
    });
    let error = refusal(addr, &format!("ws://{addr}/"), &config(&TlsRoots::default()));
    // The server may answer with an alert or just go.
    assert!(matches!(error, NetError::Http(_) | NetError::Eof(_)), "{error}");
    thread.join().unwrap();
}

#[test]
fn a_closed_port_refuses() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = refusal(addr, &format!("ws://{addr}/"), &config(&TlsRoots::default()));
    assert_eq!(error, NetError::Connect { addr, kind: std::io::ErrorKind::ConnectionRefused });
}

#[test]
fn a_source_address_is_used_or_the_connection_fails() {
    let (addr, thread) = server(|stream| {
        assert_eq!(stream.peer_addr().unwrap().ip().to_string(), "127.0.0.7");
        echo(stream);
    });
    let mut config = config(&TlsRoots::default());
    config.socket.source = Some("127.0.0.7".parse().unwrap());
    exchange(&mut Client::open(addr, &format!("ws://{addr}/"), &config).unwrap());
    thread.join().unwrap();
    config.socket.source = Some("192.0.2.1".parse().unwrap());
    let error = refusal(addr, &format!("ws://{addr}/"), &config);
    assert_eq!(error, NetError::Connect { addr, kind: std::io::ErrorKind::AddrNotAvailable });
    config.socket.source = None;
    config.socket.interface = Some("nosuchdevice".to_owned());
    assert!(matches!(refusal(addr, &format!("ws://{addr}/"), &config), NetError::Connect { .. }));
}

#[test]
fn options_that_cannot_be_set_are_reported_and_do_no_harm() {
    let (addr, thread) = server(echo);
    let mut config = config(&TlsRoots::default());
    config.socket.keep_alive_s = Some(1_000_000);
    config.socket.recv_buffer_bytes = Some(1 << 20);
    let mut client = Client::open(addr, &format!("ws://{addr}/"), &config).unwrap();
    let reports: Vec<String> = client.link.failures().iter().map(ToString::to_string).collect();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].starts_with("TCP_KEEPIDLE not possible") && reports[0].ends_with("from 1 to 32767 s"));
    exchange(&mut client);
    thread.join().unwrap();
}

#[test]
fn a_silent_server_is_a_timeout_of_the_phase() {
    // Nobody accepts: the kernel completes the connection, and then nothing happens.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    for (scheme, state, error) in
        [("wss", LinkState::TlsHandshake, NetError::TlsTimeout), ("ws", LinkState::Upgrading, NetError::UpgradeTimeout)]
    {
        let mut poll = Poll::new().unwrap();
        let url = Url::parse(&format!("{scheme}://{addr}/")).unwrap();
        let mut link = WsLink::open(addr, &url, &config(&TlsRoots::default()), 1).unwrap();
        assert_eq!(link.timed_out(), NetError::ConnectTimeout { addr });
        poll.registry().register(link.source(), Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
        let mut events = Events::with_capacity(8);
        let deadline = Instant::now() + PATIENCE;
        while link.state() != state {
            assert!(Instant::now() < deadline);
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
            for event in &events {
                link.ready(event.is_readable(), event.is_writable(), event.is_read_closed()).unwrap();
            }
        }
        assert_eq!(link.timed_out(), error);
        assert!(matches!(link.send_text(b"early"), Err(NetError::Misuse(_))));
    }
}

#[test]
fn garbage_instead_of_an_upgrade_is_refused() {
    let huge = format!("HTTP/1.1 101 X\r\nX: {}", "y".repeat(100_000));
    for (answer, part) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP/1.1"),
        ("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", "Accept"),
        (&huge, "16 KiB"),
    ] {
        let (addr, thread) = answering(answer);
        let error = refusal(addr, &format!("ws://{addr}/"), &config(&TlsRoots::default()));
        assert!(matches!(error, NetError::Http(what) if what.contains(part)), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn a_refused_upgrade_keeps_what_the_server_said() {
    let (addr, thread) =
        answering("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 14\r\n\r\n{\"code\":-1003}");
    let error = refusal(addr, &format!("ws://{addr}/"), &config(&TlsRoots::default()));
    let detail = "{\"code\":-1003}".into();
    assert_eq!(error, NetError::Upgrade { status: 429, retry_after_s: Some(60), detail });
    thread.join().unwrap();
    // The end of the connection ends the body.
    let (addr, thread) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\nnot from your country").unwrap();
    });
    let error = refusal(addr, &format!("ws://{addr}/"), &config(&TlsRoots::default()));
    let detail = "not from your country".into();
    assert_eq!(error, NetError::Upgrade { status: 403, retry_after_s: None, detail });
    thread.join().unwrap();
}

#[test]
fn a_dribbled_upgrade_and_frames_glued_behind_it() {
    let (addr, thread) = server(|mut stream| {
        stream.set_nodelay(true).unwrap();
        let head = read_head(&mut stream);
        for byte in accepted(&head).bytes() {
            stream.write_all(&[byte]).unwrap();
            thread::yield_now();
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    drop(open_plain(addr));
    thread.join().unwrap();
    // Frames in the same segment as the answer, the last of them cut.
    let (addr, thread) = server(|mut stream| {
        let head = read_head(&mut stream);
        let mut bytes = accepted(&head).into_bytes();
        bytes.extend([text("one"), text("two"), text("three")].concat());
        let cut = bytes.len() - 2;
        stream.write_all(&bytes[..cut]).unwrap();
        // A sign that the first two have been read.
        stream.read_exact(&mut [0; 6]).unwrap();
        stream.write_all(&bytes[cut..]).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut client = open_plain(addr);
    assert_eq!(client.receive(), got("one"));
    assert_eq!(client.receive(), got("two"));
    client.link.ping(b"").unwrap();
    assert_eq!(client.receive(), got("three"));
    drop(client);
    thread.join().unwrap();
}

#[test]
fn everything_before_the_end_is_delivered() {
    // Messages and the end of the connection arrive together.
    let (addr, thread) = upgraded(|mut stream| {
        let many: Vec<u8> = (0..10_000).flat_map(|i| text(&format!("message {i}"))).collect();
        stream.write_all(&many).unwrap();
    });
    let mut client = open_plain(addr);
    thread.join().unwrap();
    for i in 0..10_000 {
        assert_eq!(client.receive(), got(&format!("message {i}")));
    }
    assert_eq!(client.receive(), Err(NetError::Eof(EofKind::Closed)));
    assert_eq!(client.link.state(), LinkState::Closed);
}

#[test]
fn the_reason_for_closing_is_kept_although_our_answer_cannot_be_sent() {
    let (addr, thread) = upgraded(|mut stream| {
        let mut bytes = vec![0x89, 0];
        bytes.extend([0x88, 10]);
        bytes.extend(1008_u16.to_be_bytes());
        bytes.extend(b"too slow");
        stream.write_all(&bytes).unwrap();
    });
    let mut client = open_plain(addr);
    thread.join().unwrap();
    assert_eq!(client.receive(), Ok(Some(Got::Close(1008, "too slow".to_owned()))));
    assert_eq!(client.pings, 1);
    assert_eq!(client.receive(), Ok(None));
}

#[test]
fn a_cut_connection_is_told_from_a_closed_one() {
    let reset = |stream: TcpStream| {
        // Unread data makes the kernel send a reset.
        stream.peek(&mut [0; 6]).unwrap();
    };
    let (addr, thread) = upgraded(reset);
    let mut client = open_plain(addr);
    client.link.ping(b"").unwrap();
    assert_eq!(client.receive(), Err(NetError::Eof(EofKind::Reset)));
    thread.join().unwrap();
    // In the middle of a frame.
    let (addr, thread) = upgraded(|mut stream| stream.write_all(&text("cut off")[..5]).unwrap());
    assert_eq!(open_plain(addr).receive(), Err(NetError::Eof(EofKind::Closed)));
    thread.join().unwrap();
    // With TLS an end without close_notify may be the work of somebody in between.
    let authority = Authority::new();
    for polite in [false, true] {
        let tls = authority.server("127.0.0.1", |_| {});
        let (addr, thread) = server(move |stream| {
            let mut stream = tls_stream(&tls, stream);
            let head = read_head(&mut stream);
            stream.write_all(accepted(&head).as_bytes()).unwrap();
            stream.write_all(&text("last")).unwrap();
            if polite {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        });
        let mut client = Client::open(addr, &format!("wss://{addr}/"), &config(&authority.roots())).unwrap();
        thread.join().unwrap();
        assert_eq!(client.receive(), got("last"));
        let kind = if polite { EofKind::Closed } else { EofKind::Truncated };
        assert_eq!(client.receive(), Err(NetError::Eof(kind)));
    }
}

#[test]
fn a_ping_flood_is_answered_and_takes_no_memory() {
    let (addr, thread) = upgraded(|mut stream| {
        let mut flood = Vec::new();
        for i in 0..50_000_u32 {
            flood.extend([0x89, 4]);
            flood.extend(i.to_be_bytes());
        }
        // Nothing is read until everything is written, so that the client's answers pile up.
        stream.write_all(&flood).unwrap();
        stream.write_all(&text("still there")).unwrap();
        let mut answer = [0; 10];
        let mut answers = 0;
        while stream.read_exact(&mut answer).is_ok() {
            assert_eq!(answer[..2], [0x8A, 0x84]);
            answers += 1;
        }
        assert!(answers > 0);
    });
    let mut client = open_plain(addr);
    assert_eq!(client.receive(), got("still there"));
    assert_eq!(client.pings, 50_000);
    assert!(client.link.buffered_out() <= 256 * 1024);
    drop(client);
    thread.join().unwrap();
}

#[test]
fn a_server_that_does_not_read_fills_the_buffer_and_nothing_else() {
    let (send, go_on) = std::sync::mpsc::channel();
    let (addr, thread) = upgraded(move |mut stream| {
        go_on.recv_timeout(PATIENCE).unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        // Frames of 4 + 4 + 10,000 bytes, each of them whole.
        assert_eq!(bytes.len() % 10_008, 0);
    });
    let mut client = open_plain(addr);
    let message = vec![b'x'; 10_000];
    let mut sent = 0;
    let error = loop {
        match client.link.send_text(&message) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 10_000, "nothing stops us");
    };
    assert_eq!(error, NetError::SendBufferFull { limit_bytes: 256 * 1024 });
    assert_eq!(client.link.state(), LinkState::Open);
    assert!(client.link.wants_write());
    assert!(!format!("{:?}", client.link).contains("120, 120"));
    send.send(()).unwrap();
    while client.link.wants_write() {
        client.turn().unwrap();
    }
    client.link.send_text(&message).unwrap();
    while client.link.wants_write() {
        client.turn().unwrap();
    }
    client.link.shutdown();
    drop(client);
    thread.join().unwrap();
}

#[test]
fn breaking_the_protocol_is_answered_with_the_right_code() {
    for (bytes, code) in [(&[0xC1, 0][..], 1002), (&[0x81, 1, 0xFF], 1007)] {
        let (addr, thread) = upgraded(move |mut stream| {
            stream.write_all(bytes).unwrap();
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[..2], [0x88, 0x82]);
            let found = [answer[6] ^ answer[2], answer[7] ^ answer[3]];
            assert_eq!(u16::from_be_bytes(found), code);
        });
        let mut client = open_plain(addr);
        assert!(matches!(client.receive(), Err(NetError::Protocol(..) | NetError::Utf8)));
        assert_eq!(client.link.state(), LinkState::Closing);
        assert!(matches!(client.link.send_text(b"x"), Err(NetError::Misuse(_))));
        assert_eq!(client.receive(), Ok(None));
        thread.join().unwrap();
    }
}

/// An HTTP link and the loop around it.
struct Browser {
    poll: Poll,
    events: Events,
    link: HttpLink,
    /// As in [`Client`].
    more: bool,
}

impl Browser {
    fn open(addr: SocketAddr, scheme: &str, config: &NetConfig) -> Self {
        let poll = Poll::new().unwrap();
        let mut link = HttpLink::open(addr, &Url::parse(&format!("{scheme}://{addr}/")).unwrap(), config).unwrap();
        poll.registry().register(link.source(), Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
        Self { poll, events: Events::with_capacity(8), link, more: true }
    }

    fn get(&mut self, target: &str) -> Result<(u16, String), NetError> {
        self.ask(&HttpRequest { method: Method::Get, target, headers: &[], body: b"" })
    }

    fn ask(&mut self, request: &HttpRequest<'_>) -> Result<(u16, String), NetError> {
        self.link.request(request)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<(u16, String), NetError> {
        loop {
            while self.more {
                self.more = self.link.fill()?.maybe_more;
            }
            if let Some(response) = self.link.response() {
                return Ok((response.status, String::from_utf8(response.body.clone()).unwrap()));
            }
            self.turn()?;
        }
    }

    fn turn(&mut self) -> Result<(), NetError> {
        self.poll.poll(&mut self.events, Some(PATIENCE)).unwrap();
        assert!(!self.events.is_empty(), "nothing happened in {PATIENCE:?}, in state {:?}", self.link.state());
        for event in &self.events {
            self.more = true;
            self.link.ready(event.is_readable(), event.is_writable(), event.is_read_closed())?;
        }
        Ok(())
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    fn serve(stream: &mut (impl Read + Write)) {
        let head = read_head(stream);
        assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:"), "{head}");
        assert!(head.contains("\r\nUser-Agent: wirebook/") && !head.contains("Content-Length"), "{head}");
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe").unwrap();
        stream.flush().unwrap();
        stream.write_all(b"llo\r\n1;x\r\n!\r\n0\r\nTrailer: x\r\n\r\n").unwrap();
        stream.flush().unwrap();
        let head = read_head(stream);
        assert!(head.starts_with("POST /order HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nX-Key: secret\r\n") && head.contains("\r\nContent-Length: 4\r\n"), "{head}");
        let mut body = [0; 4];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"buy!");
        stream.write_all(b"HTTP/1.1 400 Bad\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope").unwrap();
        stream.flush().unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let authority = Authority::new();
    let tls = authority.server("127.0.0.1", |_| {});
    for scheme in ["http", "https"] {
        let tls = tls.clone();
        let (addr, thread) = server(move |mut stream| match scheme {
            "http" => serve(&mut stream),
            _ => serve(&mut tls_stream(&tls, stream)),
        });
        let mut browser = Browser::open(addr, scheme, &config(&authority.roots()));
        assert_eq!(browser.get("/a?b=c"), Ok((200, "hello!".to_owned())));
        assert!(browser.link.reusable());
        let order =
            HttpRequest { method: Method::Post, target: "/order", headers: &[("X-Key", "secret")], body: b"buy!" };
        assert_eq!(browser.ask(&order), Ok((400, "nope".to_owned())));
        assert!(!browser.link.reusable());
        assert!(matches!(browser.link.request(&order), Err(NetError::Misuse(_))));
        // Neither the key nor the order can be printed, as text or as numbers.
        let shown = format!("{:?}", browser.link);
        assert!(!shown.contains("secret") && !shown.contains("115, 101, 99"), "{shown}");
        drop(browser);
        thread.join().unwrap();
    }
}

#[test]
fn responses_that_cannot_be_trusted_are_errors() {
    let mut config = config(&TlsRoots::default());
    config.http.body_bytes_max = 1000;
    for (answer, error) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".to_owned(), NetError::MessageTooBig { limit_bytes: 1000 }),
        (format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1001)), NetError::MessageTooBig { limit_bytes: 1000 }),
        (
            format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000)),
            NetError::Http("status line and headers exceed the limit"),
        ),
        ("\u{16}\u{3}\u{1}".to_owned(), NetError::Http("what came back is not HTTP")),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n".to_owned(),
            NetError::Http("a Transfer-Encoding other than chunked, which nobody asked for"),
        ),
    ] {
        let (addr, thread) = answering(answer);
        let mut browser = Browser::open(addr, "http", &config);
        assert_eq!(browser.get("/"), Err(error));
        assert_eq!(browser.link.state(), LinkState::Closed);
        drop(browser);
        thread.join().unwrap();
    }
    // Cut in the middle.
    let (addr, thread) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    });
    assert_eq!(Browser::open(addr, "http", &config).get("/"), Err(NetError::Eof(EofKind::Closed)));
    thread.join().unwrap();
    // Without a length, the end of the connection is the end of the body.
    let (addr, thread) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nold style").unwrap();
    });
    let mut browser = Browser::open(addr, "http", &config);
    assert_eq!(browser.get("/"), Ok((200, "old style".to_owned())));
    assert!(!browser.link.reusable());
    thread.join().unwrap();
}

#[test]
fn an_idle_connection_that_the_server_closes_is_no_error() {
    let (send, go_on) = std::sync::mpsc::channel();
    let (addr, thread) = server(move |mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        go_on.recv_timeout(PATIENCE).unwrap();
    });
    let mut browser = Browser::open(addr, "http", &config(&TlsRoots::default()));
    assert_eq!(browser.get("/"), Ok((204, String::new())));
    assert!(browser.link.reusable());
    send.send(()).unwrap();
    while browser.link.state() != LinkState::Closed {
        browser.turn().unwrap();
        browser.link.fill().unwrap();
    }
    assert!(!browser.link.reusable());
    thread.join().unwrap();
}

#[test]
fn bytes_that_nobody_asked_for_end_a_kept_connection() {
    let (addr, thread) = answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n");
    let mut browser = Browser::open(addr, "http", &config(&TlsRoots::default()));
    assert_eq!(browser.get("/"), Ok((200, "x".to_owned())));
    assert!(!browser.link.reusable());
    drop(browser);
    thread.join().unwrap();
}

#[test]
fn requests_that_would_change_their_own_meaning_are_not_sent() {
    let (addr, thread) = server(|mut stream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"");
    });
    let mut browser = Browser::open(addr, "http", &config(&TlsRoots::default()));
    let plain = HttpRequest { method: Method::Get, target: "/", headers: &[], body: b"" };
    for request in [
        HttpRequest { target: "/a b", ..plain },
        HttpRequest { target: "/a\r\nX: y", ..plain },
        HttpRequest { target: "a", ..plain },
        HttpRequest { headers: &[("a", "b\r\nc: d")], ..plain },
        HttpRequest { headers: &[("Host", "other")], ..plain },
        HttpRequest { headers: &[("content-length", "9")], ..plain },
        HttpRequest { headers: &[("Transfer-Encoding", "chunked")], ..plain },
    ] {
        assert!(matches!(browser.ask(&request), Err(NetError::Misuse(_))), "{request:?}");
    }
    let big = HttpRequest { body: &[0; 300_000], ..plain };
    assert_eq!(browser.ask(&big), Err(NetError::SendBufferFull { limit_bytes: 256 * 1024 }));
    drop(browser);
    thread.join().unwrap();
}

/// Passes everything on between the client and `target`, after `shake_hands` has talked to the client.
fn proxy(
    target: SocketAddr,
    shake_hands: impl FnOnce(&mut TcpStream) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    server(move |mut client| {
        shake_hands(&mut client);
        let mut upstream = TcpStream::connect(target).unwrap();
        let (mut from_client, mut to_upstream) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
        let passing = thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_upstream);
            let _ = to_upstream.shutdown(std::net::Shutdown::Write);
        });
        let _ = std::io::copy(&mut upstream, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Both);
        passing.join().unwrap();
    })
}

#[test]
fn messages_pass_through_proxies() {
    let authority = Authority::new();
    let tls = authority.server("venue.test", |_| {});
    for kind in ["http", "socks5"] {
        for scheme in ["ws", "wss"] {
            let tls = tls.clone();
            let (target, serving) = server(move |stream| match scheme {
                "ws" => echo(stream),
                _ => echo(tls_stream(&tls, stream)),
            });
            let (addr, passing) = proxy(target, move |client| {
                if kind == "http" {
                    let head = read_head(client);
                    assert!(head.starts_with("CONNECT venue.test:4433 HTTP/1.1\r\n"), "{head}");
                    assert!(head.contains("\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n"), "{head}");
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                } else {
                    let mut greeting = [0; 4];
                    client.read_exact(&mut greeting).unwrap();
                    client.write_all(&[5, 2]).unwrap();
                    let mut login = [0; 11];
                    client.read_exact(&mut login).unwrap();
                    assert_eq!(&login, b"\x01\x04user\x04pass");
                    client.write_all(&[1, 0]).unwrap();
                    let mut request = [0; 17];
                    client.read_exact(&mut request).unwrap();
                    assert_eq!(&request, b"\x05\x01\x00\x03\x0avenue.test\x11\x51");
                    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
                }
            });
            let mut config = config(&authority.roots());
            config.proxy = Some(Proxy::parse(&format!("{kind}://user:pass@{addr}")).unwrap());
            let url = format!("{scheme}://venue.test:4433/");
            assert_eq!(config.connect_to(&Url::parse(&url).unwrap()), ("127.0.0.1", addr.port()));
            exchange(&mut Client::open(addr, &url, &config).unwrap());
            serving.join().unwrap();
            passing.join().unwrap();
        }
    }
}

#[test]
fn a_proxy_that_does_not_let_us_through_is_the_end() {
    for (kind, answer, part) in [
        ("http", &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], "407"),
        ("http", b"", "closed the connection"),
        ("http", b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101", "more than an answer"),
        ("socks5", &[5, 0xFF], "log in"),
        ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", "not SOCKS5"),
    ] {
        let (addr, thread) = server(move |mut stream| {
            stream.read_exact(&mut [0; 3]).unwrap();
            stream.write_all(answer).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let mut config = config(&TlsRoots::default());
        config.proxy = Some(Proxy::parse(&format!("{kind}://{addr}")).unwrap());
        let error = refusal(addr, "wss://venue.test/", &config);
        assert!(matches!(&error, NetError::Proxy(detail) if detail.contains(part)), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn no_wake_up_is_lost() {
    const MESSAGES: u64 = 3_000;
    let authority = Authority::new();
    let tls = authority.server("127.0.0.1", |_| {});
    for scheme in ["ws", "wss"] {
        for mode in [ReadMode::Recv, ReadMode::LateAck] {
            let tls = tls.clone();
            // Messages of all sizes in pieces of all sizes, with and without pauses.
            let (addr, thread) = server(move |stream| {
                stream.set_nodelay(true).unwrap();
                let mut stream: Box<dyn Duplex> =
                    if scheme == "ws" { Box::new(stream) } else { Box::new(tls_stream(&tls, stream)) };
                let head = read_head(&mut stream);
                let mut bytes = accepted(&head).into_bytes();
                let mut random = fastrand::Rng::with_seed(5);
                for i in 0..MESSAGES {
                    let len = 8 + if random.u32(..20) == 0 { random.usize(..50_000) } else { random.usize(..300) };
                    let mut message = vec![random.u8(..); len];
                    message[..8].copy_from_slice(&i.to_be_bytes());
                    bytes.extend(if len < 126 {
                        vec![0x82, len as u8]
                    } else {
                        vec![0x82, 126, (len >> 8) as u8, len as u8]
                    });
                    bytes.extend(message);
                    let here = random.usize(..=bytes.len());
                    stream.write_all(&bytes[..here]).unwrap();
                    stream.flush().unwrap();
                    bytes.drain(..here);
                    if random.u32(..4) == 0 {
                        thread::sleep(Duration::from_micros(random.u64(..100)));
                    }
                }
                stream.write_all(&bytes).unwrap();
                stream.flush().unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            });
            let config = NetConfig { read_mode: mode, ..config(&authority.roots()) };
            let mut client = Client::open(addr, &format!("{scheme}://{addr}/"), &config).unwrap();
            for i in 0..MESSAGES {
                let Ok(Some(Got::Binary(bytes))) = client.receive() else { panic!("{scheme} {mode:?} {i}") };
                assert_eq!(bytes[..8], i.to_be_bytes(), "{scheme} {mode:?}");
                assert!(bytes[8..].iter().all(|byte| *byte == bytes[bytes.len() - 1]));
            }
            drop(client);
            thread.join().unwrap();
        }
    }
}

trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

#[test]
fn an_answer_that_comes_with_the_end_of_the_tls_handshake_is_read() {
    let authority = Authority::new();
    let mut tls = authority.server("127.0.0.1", |_| {});
    Arc::get_mut(&mut tls).unwrap().send_half_rtt_data = true;
    let (addr, thread) = server(move |mut stream| {
        let mut connection = ServerConnection::new(tls).unwrap();
        connection.read_tls(&mut stream).unwrap();
        connection.process_new_packets().unwrap();
        connection.writer().write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut flight = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut flight).unwrap();
        }
        stream.write_all(&flight).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = refusal(addr, &format!("wss://{addr}/"), &config(&authority.roots()));
    assert_eq!(error, NetError::Upgrade { status: 503, retry_after_s: None, detail: "".into() });
    thread.join().unwrap();
}

#[test]
fn an_answer_is_read_although_the_request_could_not_be_sent_in_full() {
    let (addr, thread) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nsorry").unwrap();
        // The answer has time to arrive. Then what was not read makes the kernel reset the connection.
        thread::sleep(Duration::from_millis(50));
    });
    let mut config = config(&TlsRoots::default());
    config.http.request_bytes_max = 64 << 20;
    let mut browser = Browser::open(addr, "http", &config);
    let body = vec![b'x'; 32 << 20];
    let request = HttpRequest { method: Method::Post, target: "/", headers: &[], body: &body };
    browser.link.request(&request).unwrap();
    let all = browser.link.buffered_out();
    while browser.link.buffered_out() == all {
        browser.turn().unwrap();
    }
    thread.join().unwrap();
    assert!(browser.link.buffered_out() > 0, "the request went out in full");
    assert_eq!(browser.answer(), Ok((413, "sorry".to_owned())));
    assert!(!browser.link.reusable());
}
