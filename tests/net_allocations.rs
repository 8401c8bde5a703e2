//! Counts allocations on the path of a message: none, plain or over TLS, unless rustls opens and seals the records, which
//! takes one for each.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(unreachable_pub, dead_code)]
mod counting;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use counting::allocations;
use mio::{Events, Interest, Poll, Token};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use wirebook::net::stream::ReadMode;
use wirebook::net::tls::{TlsRecords, TlsRoots};
use wirebook::net::{LinkState, Message, NetConfig, Url, WsLink};

const PATIENCE: Duration = Duration::from_secs(20);
const MESSAGES: u64 = 500;
const PAYLOAD: [u8; 300] = [b'x'; 300];

/// Sends a message of 300 bytes for every one that it gets, which has 8.
fn serve(mut stream: impl Read + Write) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .unwrap();
    stream.flush().unwrap();
    let frame = [&[0x81, 126, 1, 44][..], &PAYLOAD].concat();
    let mut request = [0; 6 + 8];
    while stream.read_exact(&mut request).is_ok() {
        if stream.write_all(&frame).and_then(|()| stream.flush()).is_err() {
            break;
        }
    }
}

/// Allocations for sending and for receiving `MESSAGES` messages, after as many to warm up.
fn exchange(addr: SocketAddr, scheme: &str, config: &NetConfig) -> (u64, u64) {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let mut link = WsLink::open(addr, &Url::parse(&format!("{scheme}://{addr}/")).unwrap(), config, 1).unwrap();
    poll.registry().register(link.source(), Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let (mut sending, mut receiving) = (0, 0);
    let mut done = 0;
    while done < 2 * MESSAGES {
        assert!(Instant::now() < deadline, "{done} messages, in state {:?}", link.state());
        if link.state() != LinkState::Open {
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
            for event in &events {
                link.ready(event.is_readable(), event.is_writable(), event.is_read_closed()).unwrap();
            }
            continue;
        }
        let start = allocations();
        link.send_text(b"next one").unwrap();
        let sent = allocations() - start;
        let mut received = 0;
        while received == 0 {
            assert!(Instant::now() < deadline, "no answer to message {done}");
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
            let start = allocations();
            for event in &events {
                link.ready(event.is_readable(), event.is_writable(), event.is_read_closed()).unwrap();
            }
            let fill = link.fill().unwrap();
            while let Some(message) = link.next().unwrap() {
                assert!(matches!(message, Message::Text(text) if *text == PAYLOAD));
                received += 1;
            }
            link.finish_read().unwrap();
            let allocated = allocations() - start;
            if done >= MESSAGES && fill.bytes > 0 {
                receiving += allocated;
            }
        }
        assert_eq!(received, 1);
        if done >= MESSAGES {
            sending += sent;
        }
        done += 1;
    }
    (sending, receiving)
}

fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        serve(stream);
    });
    addr
}

#[test]
fn plain_messages_allocate_nothing() {
    for read_mode in [ReadMode::Recv, ReadMode::Stamped, ReadMode::LateAck] {
        let config = NetConfig { read_mode, ..NetConfig::new(&TlsRoots::default()).unwrap() };
        assert_eq!(exchange(server(serve), "ws", &config), (0, 0), "{read_mode:?}");
    }
}

#[test]
fn tls_messages_allocate_nothing_unless_rustls_opens_the_records() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let server_config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let roots = TlsRoots { webpki: false, extra: vec![issuer.der().to_vec()], ..TlsRoots::default() };
    let config = NetConfig::new(&roots).unwrap();
    let server_config = Arc::new(server_config);
    for (records, each) in [(TlsRecords::InPlace, 0), (TlsRecords::Rustls, MESSAGES)] {
        let config = NetConfig { tls: config.tls.clone().with_records(records), ..config.clone() };
        let server_config = server_config.clone();
        let addr = server(move |stream| {
            serve(StreamOwned::new(ServerConnection::new(server_config).unwrap(), stream));
        });
        assert_eq!(exchange(addr, "wss", &config), (each, each), "{records:?}");
    }
}
