//! The links of `net/` against real sockets on loopback: honest servers made of tungstenite and rustls, and hostile ones
//! written by hand. Every wait has a deadline.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use wirebook::net::tls::TlsRoots;
use wirebook::net::ws::TextCheck;
use wirebook::net::{LinkState, Message, NetConfig, NetError, Url, WsLink};

const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate authority made for one test.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
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
        let mut client = Self { poll, events: Events::with_capacity(8), link, deadline, pings: 0 };
        while client.link.state() != LinkState::Open {
            client.turn()?;
        }
        Ok(client)
    }

    /// Waits for an event and handles it.
    fn turn(&mut self) -> Result<(), NetError> {
        assert!(Instant::now() < self.deadline, "nothing happened in {PATIENCE:?}, in state {:?}", self.link.state());
        self.poll.poll(&mut self.events, Some(Duration::from_millis(100))).unwrap();
        for event in &self.events {
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
            let fill = self.link.fill()?;
            self.link.finish_read()?;
            if self.link.state() == LinkState::Closed {
                return Ok(None);
            }
            if fill.bytes == 0 && !fill.maybe_more {
                self.turn()?;
            }
        }
    }
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
