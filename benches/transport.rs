//! What the transport costs per message, in memory: no system calls, one message of 300 bytes per read.
//!
//!     cargo bench --features sim --bench transport [-- PART_OF_A_NAME]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use wirebook::net::buf::OutBuf;
use wirebook::net::tls::{Tls, TlsConfig, TlsRoots};
use wirebook::net::ws::{TextCheck, Ws, WsLimits};
use wirebook::sys::clock::Clock;

const MESSAGES: usize = 2_000;
const ROUNDS: usize = 30;

fn main() {
    for len in [100, 300, 1_000, 5_000] {
        for (name, check) in [("trusted", TextCheck::Trusted), ("strict", TextCheck::Strict)] {
            report(&format!("ws {name}, {len} B"), || read_frames(len, check));
        }
    }
    for len in [100, 300, 1_000, 5_000] {
        report(&format!("tls + ws, {len} B"), || read_records(len));
    }
    for len in [150, 300] {
        report(&format!("send ws, {len} B"), || send_frames(len));
        report(&format!("send ws + tls, {len} B"), || send_records(len));
    }
    let clock = Clock::start();
    report(&format!("clock ({:?})", clock.source()), || {
        let start = Instant::now();
        for _ in 0..MESSAGES {
            black_box(clock.now());
        }
        start.elapsed().as_nanos() as f64 / MESSAGES as f64
    });
}

/// Prints the best and the median of some rounds, in nanoseconds per message.
fn report(name: &str, mut round: impl FnMut() -> f64) {
    if std::env::args().skip(1).find(|argument| !argument.starts_with('-')).is_some_and(|part| !name.contains(&part)) {
        return;
    }
    let mut times: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    times.sort_by(f64::total_cmp);
    println!("{name:28} best {:7.1} ns   median {:7.1} ns", times[0], times[ROUNDS / 2]);
}

fn frame(len: usize) -> Vec<u8> {
    let mut bytes = vec![0x81];
    if len < 126 {
        bytes.push(len as u8);
    } else {
        bytes.push(126);
        bytes.extend((len as u16).to_be_bytes());
    }
    bytes.extend((0..len).map(|i| b' ' + (i % 90) as u8));
    bytes
}

fn ws(text_check: TextCheck) -> Ws {
    Ws::new(WsLimits { text_check, ..WsLimits::default() }, 1)
}

fn drain(ws: &mut Ws) -> usize {
    let mut n = 0;
    while let Ok(Some(message)) = ws.next() {
        black_box(&message);
        n += 1;
    }
    n
}

fn read_frames(len: usize, check: TextCheck) -> f64 {
    let frame = frame(len);
    let mut ws = ws(check);
    let start = Instant::now();
    let mut n = 0;
    for _ in 0..MESSAGES {
        ws.spare()[..frame.len()].copy_from_slice(&frame);
        ws.filled(frame.len());
        n += drain(&mut ws);
    }
    assert_eq!(n, MESSAGES);
    start.elapsed().as_nanos() as f64 / MESSAGES as f64
}

fn session() -> (Tls, ServerConnection, OutBuf) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let roots = TlsRoots { webpki: false, extra: vec![issuer.der().to_vec()], ..TlsRoots::default() };
    let mut client = Tls::start(&TlsConfig::new(&roots).unwrap(), "a.test").unwrap();
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    let mut out = OutBuf::new(4096, 1 << 20);
    loop {
        let done = client.handshake(&mut out).unwrap();
        let mut bytes = out.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            server.process_new_packets().unwrap();
        }
        let n = out.len();
        out.consume(n);
        if done && !server.is_handshaking() {
            break;
        }
        feed(&mut client, &cipher(&mut server));
    }
    feed(&mut client, &cipher(&mut server));
    let mut ws = ws(TextCheck::Trusted);
    client.open(&mut ws, &mut out).unwrap();
    (client, server, out)
}

fn cipher(server: &mut ServerConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn feed(client: &mut Tls, bytes: &[u8]) {
    client.cipher_spare()[..bytes.len()].copy_from_slice(bytes);
    client.cipher_filled(bytes.len());
}

fn read_records(len: usize) -> f64 {
    let (mut client, mut server, mut out) = session();
    let frame = frame(len);
    let records: Vec<Vec<u8>> = (0..MESSAGES)
        .map(|_| {
            server.writer().write_all(&frame).unwrap();
            cipher(&mut server)
        })
        .collect();
    let mut ws = ws(TextCheck::Trusted);
    let start = Instant::now();
    let mut n = 0;
    for record in &records {
        feed(&mut client, record);
        client.open(&mut ws, &mut out).unwrap();
        n += drain(&mut ws);
    }
    assert_eq!(n, MESSAGES);
    start.elapsed().as_nanos() as f64 / MESSAGES as f64
}

fn send_frames(len: usize) -> f64 {
    let text = vec![b'x'; len];
    let mut ws = ws(TextCheck::Trusted);
    let start = Instant::now();
    for _ in 0..MESSAGES {
        ws.send_text(&text).unwrap();
        let n = black_box(ws.out().as_slice()).len();
        ws.out().consume(n);
    }
    start.elapsed().as_nanos() as f64 / MESSAGES as f64
}

fn send_records(len: usize) -> f64 {
    let (mut client, _server, mut out) = session();
    let text = vec![b'x'; len];
    let mut ws = ws(TextCheck::Trusted);
    let start = Instant::now();
    for _ in 0..MESSAGES {
        ws.send_text(&text).unwrap();
        let n = client.seal(ws.out().as_slice(), &mut out).unwrap();
        ws.out().consume(n);
        let n = black_box(out.as_slice()).len();
        out.consume(n);
    }
    start.elapsed().as_nanos() as f64 / MESSAGES as f64
}
