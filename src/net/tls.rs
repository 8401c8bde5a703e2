//! TLS for a client, without a socket: ciphertext in, plain text out, and back.
//!
//! All of rustls that this crate uses is in this file. It drives the unbuffered interface of rustls 0.23, which costs one
//! allocation per record (rustls keeps each decrypted record in a vector of its own); ciphertext stays in one buffer of
//! ours, however many records one read brings and however records are cut by reads.

use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError};
use rustls::{CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore};

use super::buf::{OutBuf, PlainBuf};
use super::error::{NetError, TlsFault, detail};

/// Room for ciphertext: a handshake message of 64 KiB, the longest that rustls takes, and the record around its end.
const CIPHER_BYTES: usize = 84 * 1024;

/// Most plain text in one record (RFC 8446, 5.1).
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// More than any record adds to its plain text: header, explicit nonce, content type and tag.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// Which certificate authorities are trusted.
///
/// The default is the list of Mozilla, compiled in.
#[derive(Clone, Debug)]
pub struct TlsRoots {
    /// Trust the authorities of webpki-roots.
    pub webpki: bool,
    /// Trust the authorities of the operating system too.
    #[cfg(feature = "native-roots")]
    pub native: bool,
    /// Further authorities: PEM text with any number of certificates, or one certificate in DER.
    pub extra: Vec<Vec<u8>>,
}

impl Default for TlsRoots {
    fn default() -> Self {
        Self {
            webpki: true,
            #[cfg(feature = "native-roots")]
            native: false,
            extra: Vec::new(),
        }
    }
}

/// What all TLS sessions of one engine share: trusted authorities and tickets for resumption. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    shared: Arc<ClientConfig>,
}

impl TlsConfig {
    /// A configuration that trusts `roots`.
    ///
    /// # Errors
    /// [`NetError::Tls`] when a given authority cannot be read, or none is left to trust.
    pub fn new(roots: &TlsRoots) -> Result<Self, NetError> {
        let mut store = RootCertStore::empty();
        if roots.webpki {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        #[cfg(feature = "native-roots")]
        if roots.native {
            // Single certificates of a system store are often odd; only an empty result is an error, below.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        for given in &roots.extra {
            add_roots(given, &mut store)?;
        }
        if store.is_empty() {
            return Err(fault(TlsFault::Roots, "no authority is trusted; enable webpki or give one"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| explain(&error))?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { shared: Arc::new(config) })
    }
}

/// One TLS session. See the [module](self).
pub struct Tls {
    connection: UnbufferedClientConnection,
    /// Ciphertext; what lies between `start` and `end` has not been processed.
    cipher: Box<[u8]>,
    start: usize,
    end: usize,
    /// Plain text that found no room where it should go.
    rest: Vec<u8>,
    rest_start: usize,
    established: bool,
    /// rustls holds a decrypted record that came along with the end of the handshake.
    undelivered: bool,
    peer_closed: bool,
    close_sent: bool,
}

/// What one call of [`Tls::open`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Bytes of plain text delivered.
    pub bytes: usize,
    /// There is more plain text, for which there was no room.
    pub more: bool,
}

impl Tls {
    /// A new session with the server of that name, which its certificate must be for.
    ///
    /// # Errors
    /// [`NetError::Tls`] when the name cannot be checked.
    pub fn start(config: &TlsConfig, server_name: &str) -> Result<Self, NetError> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| fault(TlsFault::ServerName, &format!("{server_name:?}")))?;
        let connection =
            UnbufferedClientConnection::new(config.shared.clone(), name).map_err(|error| explain(&error))?;
        Ok(Self {
            connection,
            cipher: vec![0; CIPHER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            rest: Vec::new(),
            rest_start: 0,
            established: false,
            undelivered: false,
            peer_closed: false,
            close_sent: false,
        })
    }

    /// Where the next ciphertext goes. Empty only while plain text waits that [`open`](Self::open) has not delivered.
    pub fn cipher_spare(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.cipher.len() - self.end < RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES {
            self.cipher.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.cipher[self.end..]
    }

    /// Says that the first `n` bytes of [`cipher_spare`](Self::cipher_spare) now hold ciphertext.
    pub fn cipher_filled(&mut self, n: usize) {
        self.end = (self.end + n).min(self.cipher.len());
    }

    /// Whether the handshake is done and plain text can be sealed.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Whether the server has ended the session properly, so that nothing is missing.
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Whether plain text waits that found no room, or was in the way of sealing.
    pub fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Advances the handshake with the ciphertext that is there; what is to be sent goes to `out`.
    ///
    /// # Errors
    /// [`NetError::Tls`]; `out` then holds the alert for the server.
    pub fn handshake(&mut self, out: &mut OutBuf) -> Result<bool, NetError> {
        while !self.established {
            match self.step(out, Want::Handshake)? {
                Step::Again => {}
                Step::Blocked => break,
                Step::Traffic => self.established = true,
            }
        }
        self.check_progress()?;
        Ok(self.established)
    }

    /// Decrypts every complete record that is there and for which `plain` has room.
    ///
    /// # Errors
    /// [`NetError::Tls`]; `out` then holds the alert for the server. Plain text that came before the fault is delivered.
    pub fn open(&mut self, plain: &mut impl PlainBuf, out: &mut OutBuf) -> Result<Opened, NetError> {
        let mut bytes = self.deliver_rest(plain);
        // With nothing left to process there is no need to ask rustls once more what state it is in.
        while self.rest.is_empty() && (self.start < self.end || self.undelivered) {
            let mut delivered = 0;
            let step = self.step(
                out,
                Want::Plain(&mut |payload, rest| {
                    let space = plain.spare(payload.len());
                    let n = payload.len().min(space.len());
                    space[..n].copy_from_slice(&payload[..n]);
                    plain.filled(n);
                    rest.extend_from_slice(&payload[n..]);
                    delivered += n;
                }),
            )?;
            bytes += delivered;
            if step != Step::Again {
                break;
            }
        }
        self.check_progress()?;
        Ok(Opened { bytes, more: !self.rest.is_empty() })
    }

    /// Encrypts the beginning of `plain` into `out`, as much as fits, and says how much that was.
    ///
    /// # Errors
    /// [`NetError::Tls`] before the handshake is done and after the session has ended.
    pub fn seal(&mut self, plain: &[u8], out: &mut OutBuf) -> Result<usize, NetError> {
        let mut sealed = 0;
        while sealed < plain.len() {
            let Some(room) = out.room().checked_sub(RECORD_OVERHEAD_BYTES).filter(|room| *room > 0) else { break };
            let piece = &plain[sealed..plain.len().min(sealed + room.min(RECORD_BYTES_MAX))];
            match self.step(out, Want::Seal(piece))? {
                Step::Again => {}
                Step::Traffic => sealed += piece.len(),
                Step::Blocked => return Err(fault(TlsFault::Handshake, "sending before the handshake was done")),
            }
        }
        Ok(sealed)
    }

    /// Queues the close_notify alert, once.
    pub fn close(&mut self, out: &mut OutBuf) {
        while self.established && !self.close_sent {
            match self.step(out, Want::Close) {
                Ok(Step::Again) => {}
                Ok(Step::Traffic | Step::Blocked) | Err(_) => self.close_sent = true,
            }
        }
    }

    fn deliver_rest(&mut self, plain: &mut impl PlainBuf) -> usize {
        let waiting = &self.rest[self.rest_start..];
        if waiting.is_empty() {
            return 0;
        }
        let space = plain.spare(waiting.len());
        let n = waiting.len().min(space.len());
        space[..n].copy_from_slice(&waiting[..n]);
        plain.filled(n);
        self.rest_start += n;
        if self.rest_start == self.rest.len() {
            self.rest.clear();
            self.rest_start = 0;
        }
        n
    }

    /// One state of rustls, handled, with what it has used up of the ciphertext discarded.
    fn step(&mut self, out: &mut OutBuf, want: Want<'_>) -> Result<Step, NetError> {
        let status = self.connection.process_tls_records(&mut self.cipher[self.start..self.end]);
        let discard = status.discard;
        let step = match status.state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                if let Want::Handshake = want {
                    self.undelivered = true;
                    self.start += discard;
                    return Ok(Step::Traffic);
                }
                self.undelivered = false;
                match (traffic.next_record(), want) {
                    (Some(Ok(record)), Want::Plain(deliver)) => {
                        deliver(record.payload, &mut self.rest);
                        Ok(Step::Again)
                    }
                    // Plain text is in the way of sealing; it waits for the next `open`.
                    (Some(Ok(record)), _) => {
                        self.rest.extend_from_slice(record.payload);
                        Ok(Step::Again)
                    }
                    (Some(Err(error)), _) => Err(explain(&error)),
                    (None, _) => Ok(Step::Again),
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, out).map(|()| Step::Again),
            Ok(ConnectionState::TransmitTlsData(data)) => {
                // The bytes are in `out`, which the caller flushes; for rustls that is sent.
                data.done();
                Ok(Step::Again)
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => match want {
                Want::Seal(piece) => out
                    .write_with(piece.len() + RECORD_OVERHEAD_BYTES, |space| {
                        traffic.encrypt(piece, space).map_err(|error| match error {
                            EncryptError::InsufficientSize(_) => {
                                fault(TlsFault::Record, "a record is larger than expected")
                            }
                            EncryptError::EncryptExhausted => fault(TlsFault::Record, "the session's keys are used up"),
                        })
                    })
                    .map(|()| Step::Traffic),
                Want::Close => out
                    .write_with(RECORD_OVERHEAD_BYTES, |space| Ok(traffic.queue_close_notify(space).unwrap_or(0)))
                    .map(|()| Step::Traffic),
                Want::Handshake | Want::Plain(_) => Ok(Step::Traffic),
            },
            Ok(ConnectionState::PeerClosed) => {
                self.peer_closed = true;
                Ok(Step::Again)
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Ok(Step::Blocked),
            Ok(_) => Err(fault(TlsFault::Handshake, "an unexpected state of the TLS library")),
            Err(error) => Err(explain(&error)),
        };
        self.start += discard;
        if step.is_err() {
            self.queue_alert(out);
        }
        step
    }

    /// A full buffer in which nothing can be processed would stay full for ever.
    fn check_progress(&self) -> Result<(), NetError> {
        if self.start == 0 && self.end == self.cipher.len() && self.rest.is_empty() {
            return Err(fault(TlsFault::Record, "a handshake message of more than 64 KiB"));
        }
        Ok(())
    }

    /// After an error rustls holds an alert that tells the server why.
    fn queue_alert(&mut self, out: &mut OutBuf) {
        for _ in 0..4 {
            let status = self.connection.process_tls_records(&mut []);
            match status.state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    // Without room for the alert the server just sees the connection end.
                    let _ = encode(&mut data, out);
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => break,
            }
        }
        self.start = self.end;
        self.close_sent = true;
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither plain text nor keys.
        f.debug_struct("Tls").field("established", &self.established).field("peer_closed", &self.peer_closed).finish()
    }
}

/// What a step is made for, in case rustls is ready for it.
enum Want<'a> {
    Handshake,
    /// Called with the plain text of a record; what it does not take goes into the vector.
    Plain(&'a mut dyn FnMut(&[u8], &mut Vec<u8>)),
    Seal(&'a [u8]),
    Close,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Something was done, and there may be more to do.
    Again,
    /// More ciphertext is needed.
    Blocked,
    /// The handshake is done; when sealing was wanted, that was done too.
    Traffic,
}

fn encode(data: &mut EncodeTlsData<'_, ClientConnectionData>, out: &mut OutBuf) -> Result<(), NetError> {
    let needed = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        Ok(_) | Err(EncodeError::AlreadyEncoded) => return Ok(()),
    };
    out.write_with(needed, |space| data.encode(space).map_err(|_| fault(TlsFault::Handshake, "a message changed size")))
        .map_err(|_| fault(TlsFault::Handshake, "the server does not read what the session has to send"))
}

fn add_roots(given: &[u8], store: &mut RootCertStore) -> Result<(), NetError> {
    let unreadable = |what: &str| fault(TlsFault::Roots, &format!("{what}; give PEM text or DER bytes"));
    if !given.windows(10).any(|window| window == b"-----BEGIN") {
        let der = CertificateDer::from(given.to_vec());
        return store.add(der).map_err(|_| unreadable("one is neither PEM nor a DER certificate"));
    }
    let mut found = 0;
    for der in CertificateDer::pem_slice_iter(given) {
        let der = der.map_err(|_| unreadable("the PEM text is damaged"))?;
        store.add(der).map_err(|_| unreadable("the PEM text holds something that is not a certificate"))?;
        found += 1;
    }
    if found == 0 {
        return Err(unreadable("the PEM text holds no certificate, only other things, such as a key"));
    }
    Ok(())
}

fn fault(fault: TlsFault, particulars: &str) -> NetError {
    NetError::Tls { fault, detail: detail(particulars.as_bytes()) }
}

fn explain(error: &Error) -> NetError {
    let (kind, particulars) = match error {
        Error::InvalidCertificate(objection) => match objection {
            CertificateError::UnknownIssuer => (TlsFault::UnknownIssuer, String::new()),
            CertificateError::Expired => (TlsFault::Expired, String::new()),
            CertificateError::ExpiredContext { time, not_after } => {
                (TlsFault::Expired, format!("{} s ago", time.as_secs().saturating_sub(not_after.as_secs())))
            }
            CertificateError::NotValidYet => (TlsFault::NotYetValid, String::new()),
            CertificateError::NotValidYetContext { time, not_before } => (
                TlsFault::NotYetValid,
                format!("for another {} s", not_before.as_secs().saturating_sub(time.as_secs())),
            ),
            CertificateError::NotValidForName => (TlsFault::WrongName, String::new()),
            CertificateError::NotValidForNameContext { expected, presented } => {
                (TlsFault::WrongName, format!("wanted {}, it is for {}", expected.to_str(), presented.join(", ")))
            }
            other => (TlsFault::Certificate, other.to_string()),
        },
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => (TlsFault::NotTls, String::new()),
        Error::InvalidMessage(other) => (TlsFault::Record, format!("{other:?}")),
        Error::AlertReceived(alert) => (TlsFault::Alert, format!("alert {alert:?}")),
        Error::PeerIncompatible(reason) => (TlsFault::Incompatible, format!("{reason:?}")),
        Error::DecryptError | Error::PeerSentOversizedRecord => (TlsFault::Record, error.to_string()),
        other => (TlsFault::Handshake, other.to_string()),
    };
    fault(kind, &particulars)
}
