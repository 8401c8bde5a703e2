//! A TLS 1.3 server in memory that encrypts what clients of several kinds then read, and the frames it puts in.

use std::io::Write;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use wirebook::net::buf::OutBuf;
use wirebook::net::tls::{Tls, TlsConfig, TlsRoots};

use super::frames::Frames;

/// Whom the server's certificate is for.
pub(crate) const NAME: &str = "venue.test";

/// The server's side of one session.
pub(crate) struct Server {
    connection: ServerConnection,
    authority: CertificateDer<'static>,
}

impl Server {
    /// One that speaks TLS 1.3 with AES-128-GCM and sends no tickets.
    pub(crate) fn new() -> Server {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![NAME.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        config.send_tls13_tickets = 0;
        Server { connection: ServerConnection::new(Arc::new(config)).unwrap(), authority: issuer.der().clone() }
    }

    /// Takes ciphertext of the client.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.connection.read_tls(&mut bytes).unwrap();
            self.connection.process_new_packets().unwrap();
        }
    }

    /// The ciphertext that waits for the client.
    pub(crate) fn give(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Each text as a WebSocket frame in a record of its own (several where it is longer than a record may be).
    pub(crate) fn seal(&mut self, texts: &Frames) -> Frames {
        let mut records = Frames::default();
        for text in texts.iter() {
            self.connection.writer().write_all(&frame(text)).unwrap();
            records.push(&self.give());
        }
        records
    }

    /// A configuration for rustls as it is.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// wirebook's client, its handshake done.
    pub(crate) fn connect(&mut self) -> (Tls, OutBuf) {
        #[allow(clippy::needless_update, reason = "with the feature native-roots there is one field more")]
        let roots = TlsRoots { webpki: false, extra: vec![self.authority.to_vec()], ..TlsRoots::default() };
        let mut client = Tls::start(&TlsConfig::new(&roots).unwrap(), NAME).unwrap();
        let mut out = OutBuf::new(4096, 1 << 20);
        loop {
            let done = client.handshake(&mut out).unwrap();
            self.take(out.as_slice());
            let n = out.len();
            out.consume(n);
            if done && !self.is_handshaking() {
                return (client, out);
            }
            let bytes = self.give();
            client.cipher_spare()[..bytes.len()].copy_from_slice(&bytes);
            client.cipher_filled(bytes.len());
        }
    }

    /// rustls as most use it, its handshake done.
    pub(crate) fn connect_buffered(&mut self) -> ClientConnection {
        let mut client = ClientConnection::new(self.client_config(), NAME.try_into().unwrap()).unwrap();
        while client.is_handshaking() || self.is_handshaking() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            self.take(&bytes);
            let bytes = self.give();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        client
    }
}

/// A text frame as a server sends it.
pub(crate) fn frame(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x81];
    match text.len() {
        len @ 0..126 => bytes.push(len as u8),
        len @ 126..65_536 => {
            bytes.push(126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(text);
    bytes
}
