//! One accepted socket: TLS, HTTP, and after an upgrade a WebSocket.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use tungstenite::handshake::derive_accept_key;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The answer to a REST request.
    Get(String),
    /// These streams on this socket, in the wrapper that names them or bare.
    Topics { topics: Vec<String>, wrapped: bool },
}

/// A request or a message longer than this is not from one of our clients.
const INPUT_BYTES_MAX: usize = 1 << 20;
/// TLS records hold at most this much plain text.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// A socket.
#[derive(Debug)]
pub(super) struct Peer {
    socket: TcpStream,
    tls: Option<ServerConnection>,
    /// Plain text that was received and is not understood yet.
    input: Vec<u8>,
    /// What the socket is to take, encrypted if it is.
    output: Vec<u8>,
    taken: usize,
    /// A frame while it is made.
    frame: Vec<u8>,
    /// Upgraded; whether messages name their stream.
    websocket: Option<bool>,
}

impl Peer {
    pub(super) fn new(socket: TcpStream, tls: Option<Arc<ServerConfig>>) -> Result<Peer, String> {
        let explain = |error: std::io::Error| format!("an accepted socket: {error}");
        socket.set_nonblocking(true).map_err(explain)?;
        socket.set_nodelay(true).map_err(explain)?;
        let tls = tls.map(ServerConnection::new).transpose().map_err(|error| format!("TLS: {error}"))?;
        let (input, output, frame) = (Vec::new(), Vec::with_capacity(64 << 10), Vec::with_capacity(64 << 10));
        Ok(Peer { socket, tls, input, output, taken: 0, frame, websocket: None })
    }

    /// Reads what is there and understands it; true if anything came. An error means that the client is gone.
    pub(super) fn read(&mut self, wanted: &mut Vec<Wanted>) -> Result<bool, String> {
        let mut busy = false;
        let mut space = [0; 4096];
        loop {
            let read = match &mut self.tls {
                Some(tls) => tls.read_tls(&mut self.socket),
                None => self.socket.read(&mut space),
            };
            match read {
                Ok(0) => return Err("closed".into()),
                Ok(n) => {
                    busy = true;
                    match &mut self.tls {
                        Some(tls) => {
                            tls.process_new_packets().map_err(|error| format!("TLS: {error}"))?;
                            // What cannot be read yet is not there.
                            let _ = tls.reader().read_to_end(&mut self.input);
                        }
                        None => self.input.extend_from_slice(&space[..n]),
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
            if self.input.len() > INPUT_BYTES_MAX {
                return Err("too much".into());
            }
        }
        while match self.websocket {
            None => self.on_request(wanted)?,
            Some(wrapped) => self.on_frame(wrapped, wanted)?,
        } {}
        self.encrypt();
        Ok(busy)
    }

    /// Writes what waits; true when nothing does any more.
    pub(super) fn write(&mut self) -> Result<bool, String> {
        while self.taken < self.output.len() {
            match self.socket.write(&self.output[self.taken..]) {
                Ok(n) => self.taken += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(format!("writing to the receiver: {error}")),
            }
        }
        self.output.clear();
        self.taken = 0;
        Ok(true)
    }

    /// A text message in a frame and, over TLS, in a record of its own.
    pub(super) fn frame(&mut self, parts: &[&[u8]]) -> Result<(), String> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.frame.clear();
        self.frame.push(0x81);
        match len {
            0..126 => self.frame.push(len as u8),
            126..0x1_0000 => {
                self.frame.push(126);
                self.frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => return Err("a message is too long".into()),
        }
        parts.iter().for_each(|part| self.frame.extend_from_slice(part));
        let frame = std::mem::take(&mut self.frame);
        self.send(&frame);
        self.frame = frame;
        Ok(())
    }

    /// The answer to a REST request.
    pub(super) fn reply(&mut self, status: &str, body: &[u8]) -> Result<(), String> {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-MBX-USED-WEIGHT-1M: 1\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(head.as_bytes());
        self.send(body);
        Ok(())
    }

    fn send(&mut self, plain: &[u8]) {
        match &mut self.tls {
            Some(tls) => {
                for record in plain.chunks(RECORD_BYTES_MAX) {
                    // Encrypts at once; what comes out waits in memory, which does not fail.
                    let _ = tls.writer().write_all(record);
                    while tls.wants_write() {
                        let _ = tls.write_tls(&mut self.output);
                    }
                }
            }
            None => self.output.extend_from_slice(plain),
        }
    }

    /// Takes what TLS itself has to say.
    fn encrypt(&mut self) {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                let _ = tls.write_tls(&mut self.output);
            }
        }
    }

    /// True if there was a whole request.
    fn on_request(&mut self, wanted: &mut Vec<Wanted>) -> Result<bool, String> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let len = match request.parse(&self.input).map_err(|error| format!("HTTP: {error}"))? {
            httparse::Status::Complete(len) => len,
            httparse::Status::Partial => return Ok(false),
        };
        let target = request.path.unwrap_or("/").to_owned();
        let key = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
        let accept = key.map(|header| derive_accept_key(header.value));
        self.input.drain(..len);
        let Some(accept) = accept else {
            wanted.push(Wanted::Get(target));
            return Ok(true);
        };
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let wrapped = path == "/stream";
        self.websocket = Some(wrapped);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.send(answer.as_bytes());
        let list = if wrapped { query.strip_prefix("streams=") } else { path.strip_prefix("/ws/") };
        let topics: Vec<String> = list
            .unwrap_or("")
            .split('/')
            .filter(|topic| !topic.is_empty())
            .map(|topic| topic.replace("%40", "@"))
            .collect();
        wanted.push(Wanted::Topics { topics, wrapped });
        Ok(true)
    }

    /// True if there was a whole frame.
    fn on_frame(&mut self, wrapped: bool, wanted: &mut Vec<Wanted>) -> Result<bool, String> {
        let Some((opcode, start, len)) = frame_at(&self.input) else { return Ok(false) };
        let mask: [u8; 4] = match self.input[start - 4..start].try_into() {
            Ok(mask) => mask,
            Err(_) => return Ok(false),
        };
        let mut payload = self.input[start..start + len].to_vec();
        payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
        self.input.drain(..start + len);
        match opcode {
            1 => self.on_text(&payload, wrapped, wanted),
            8 => return Err("closed".into()),
            9 => {
                let mut pong = vec![0x8a, payload.len().min(125) as u8];
                pong.extend_from_slice(&payload[..payload.len().min(125)]);
                self.send(&pong);
            }
            _ => {}
        }
        Ok(true)
    }

    fn on_text(&mut self, text: &[u8], wrapped: bool, wanted: &mut Vec<Wanted>) {
        // Orders are only there to be written.
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(text) else { return };
        if json["method"] == "SUBSCRIBE" {
            let topics = json["params"].as_array().into_iter().flatten();
            let topics = topics.filter_map(|topic| Some(topic.as_str()?.to_owned())).collect();
            wanted.push(Wanted::Topics { topics, wrapped });
        } else if json["method"] == "order.place" {
            return;
        }
        let ack = format!("{{\"result\":null,\"id\":{}}}", json["id"]);
        // An acknowledgement is shorter than any limit.
        let _ = self.frame(&[ack.as_bytes()]);
    }
}

/// Opcode, start and length of the payload of a client's frame, if all of it is there.
fn frame_at(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (start, len): (usize, usize) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        len => (2, usize::from(len)),
    };
    // A client masks its frames.
    let start = start + 4;
    (bytes.len() >= start.checked_add(len)?).then_some((first & 0x0f, start, len))
}

/// A certificate for `localhost` and 127.0.0.1; that of its authority is written to `ca`.
pub(super) fn certificates(ca: &Path) -> Result<Arc<ServerConfig>, String> {
    fn explain(error: impl std::fmt::Display) -> String {
        format!("the certificate: {error}")
    }
    let ca_key = KeyPair::generate().map_err(explain)?;
    let mut authority = CertificateParams::new(Vec::new()).map_err(explain)?;
    authority.distinguished_name.push(DnType::CommonName, "wirebook-latency authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let pem = authority.self_signed(&ca_key).map_err(explain)?.pem();
    std::fs::write(ca, pem).map_err(explain)?;
    let issuer = Issuer::new(authority, ca_key);

    let key = KeyPair::generate().map_err(explain)?;
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).map_err(explain)?;
    leaf.distinguished_name.push(DnType::CommonName, "wirebook-latency sender");
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = leaf.signed_by(&key, &issuer).map_err(explain)?;

    // One suite, so that all contenders do the same work.
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(explain)?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .map_err(explain)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets would come between the upgrade and the first message.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_clients_are_found_when_they_are_whole() {
        let frame = [0x81, 0x83, 1, 2, 3, 4, b'a', b'b', b'c'];
        assert_eq!(frame_at(&frame), Some((1, 6, 3)));
        for len in 0..frame.len() {
            assert_eq!(frame_at(&frame[..len]), None);
        }
        let mut long = vec![0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0];
        long.extend([0; 256]);
        assert_eq!(frame_at(&long), Some((9, 8, 256)));
    }
}
