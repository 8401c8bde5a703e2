//! TLS for a client, without a socket: ciphertext in, plain text out, and back.
//!
//! All of rustls that this crate uses is in this file and in `records`. It drives the unbuffered interface of rustls 0.23;
//! ciphertext stays in one buffer of ours, however many records one read brings and however records are cut by reads. Once
//! hands are shaken, the records of TLS 1.3 are opened in that buffer ([`TlsRecords::InPlace`]); rustls itself makes one
//! allocation and two copies per record.

use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, ProtocolVersion, RootCertStore};

use super::buf::{OutBuf, PlainBuf};
use super::error::{NetError, TlsFault, detail};
use super::records::{Record, Records};

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

/// Who opens and seals the records of an established session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsRecords {
    /// This crate, with ring, where they lie: no allocation. For TLS 1.3; TLS 1.2 is left to rustls.
    #[default]
    InPlace,
    /// rustls, with one allocation per record.
    Rustls,
}

/// What all TLS sessions of one engine share: trusted authorities and tickets for resumption. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    shared: Arc<ClientConfig>,
    records: TlsRecords,
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
        // Without this rustls keeps the keys of a session to itself.
        config.enable_secret_extraction = true;
        Ok(Self { shared: Arc::new(config), records: TlsRecords::default() })
    }

    /// The same with another way of opening and sealing records.
    pub fn with_records(self, records: TlsRecords) -> Self {
        Self { records, ..self }
    }
}

/// One TLS session. See the [module](self).
pub struct Tls {
    session: Session,
    records: TlsRecords,
    /// Ciphertext; what lies between `start` and `end` has not been processed.
    cipher: Box<[u8]>,
    start: usize,
    end: usize,
    /// Plain text of one record at most that found no room where it should go.
    rest: Vec<u8>,
    rest_start: usize,
    established: bool,
    /// rustls holds a decrypted record that came along with the end of the handshake.
    undelivered: bool,
    peer_closed: bool,
    close_sent: bool,
    /// Why the session is over. After an error rustls is left alone.
    failed: Option<NetError>,
}

/// Who has the session.
enum Session {
    Rustls(Box<UnbufferedClientConnection>),
    InPlace(Box<Records>),
    /// Nobody: it was lost on the way from the one to the other. There is an error then.
    Lost,
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
            session: Session::Rustls(Box::new(connection)),
            records: config.records,
            cipher: vec![0; CIPHER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            rest: Vec::with_capacity(RECORD_BYTES_MAX),
            rest_start: 0,
            established: false,
            undelivered: false,
            peer_closed: false,
            close_sent: false,
            failed: None,
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

    /// Advances the handshake with the ciphertext that is there; what is to be sent goes to `out`.
    ///
    /// # Errors
    /// [`NetError::Tls`]; `out` then holds the alert for the server.
    pub fn handshake(&mut self, out: &mut OutBuf) -> Result<bool, NetError> {
        while !self.established {
            match self.step(out, Want::Handshake)? {
                Step::Again => {}
                Step::Blocked => break,
                Step::Traffic => {
                    self.established = true;
                    self.take_over()?;
                }
            }
        }
        self.check_progress()?;
        Ok(self.established)
    }

    /// Takes the records over from rustls, if that is wanted and it holds nothing back.
    fn take_over(&mut self) -> Result<(), NetError> {
        let Session::Rustls(connection) = &self.session else { return Ok(()) };
        let wanted = self.records == TlsRecords::InPlace && !self.undelivered;
        if !wanted || connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Ok(());
        }
        let Session::Rustls(connection) = std::mem::replace(&mut self.session, Session::Lost) else { return Ok(()) };
        match Records::of(*connection) {
            Ok(records) => self.session = Session::InPlace(Box::new(records)),
            Err(error) => {
                let error = explain(&error);
                self.failed = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Decrypts every complete record that is there and for which `plain` has room.
    ///
    /// # Errors
    /// [`NetError::Tls`]; `out` then holds the alert for the server. Plain text that came before the fault is delivered.
    #[inline]
    pub fn open(&mut self, plain: &mut impl PlainBuf, out: &mut OutBuf) -> Result<Opened, NetError> {
        let mut bytes = self.deliver_rest(plain);
        while self.rest.is_empty()
            && self.start < self.end
            && let Session::InPlace(records) = &mut self.session
        {
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            let cipher = &mut self.cipher[self.start..self.end];
            match records.open(cipher, out) {
                Ok(Record::Data { at, consumed }) => {
                    bytes += deliver(&cipher[at], plain, &mut self.rest);
                    self.start += consumed;
                }
                Ok(Record::Settled { consumed }) => self.start += consumed,
                Ok(Record::Closed) => {
                    self.peer_closed = true;
                    self.start = self.end;
                }
                Ok(Record::Incomplete) => break,
                Err(error) => return Err(self.fail_in_place(&error, out)),
            }
        }
        // With nothing left to process there is no need to ask rustls once more what state it is in.
        while matches!(self.session, Session::Rustls(_))
            && self.rest.is_empty()
            && (self.start < self.end || self.undelivered)
        {
            let mut delivered = 0;
            let step = self.step(out, Want::Plain(&mut |payload, rest| delivered += deliver(payload, plain, rest)))?;
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
            if let Session::InPlace(records) = &mut self.session {
                match &self.failed {
                    Some(error) => return Err(error.clone()),
                    None if self.close_sent => return Err(fault(TlsFault::Record, "sending after the end")),
                    None => records.seal(piece, out)?,
                }
                sealed += piece.len();
                continue;
            }
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
        if let Session::InPlace(records) = &mut self.session
            && !self.close_sent
            && self.failed.is_none()
        {
            records.seal_alert(1, AlertDescription::CloseNotify, out);
            self.close_sent = true;
        }
        while self.established && !self.close_sent && self.failed.is_none() {
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

    /// Tells the server, and remembers.
    #[cold]
    fn fail_in_place(&mut self, error: &Error, out: &mut OutBuf) -> NetError {
        let description = match error {
            Error::DecryptError => AlertDescription::BadRecordMac,
            Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
            Error::General(_) => AlertDescription::InternalError,
            _ => AlertDescription::UnexpectedMessage,
        };
        if let (Session::InPlace(records), false) = (&mut self.session, matches!(error, Error::AlertReceived(_))) {
            records.seal_alert(2, description, out);
        }
        let error = explain(error);
        self.failed = Some(error.clone());
        error
    }

    /// One state of rustls, handled, with what it has used up of the ciphertext discarded.
    fn step(&mut self, out: &mut OutBuf, want: Want<'_>) -> Result<Step, NetError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Session::Rustls(connection) = &mut self.session else { return Ok(Step::Blocked) };
        let status = connection.process_tls_records(&mut self.cipher[self.start..self.end]);
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
        if let Err(error) = &step {
            self.failed = Some(error.clone());
            self.queue_alert(out);
        }
        step
    }

    /// A full buffer in which nothing can be processed would stay full for ever.
    fn check_progress(&self) -> Result<(), NetError> {
        if self.start == 0 && self.end == self.cipher.len() && self.rest.is_empty() {
            return Err(fault(TlsFault::Record, "a handshake message of more than fits into the buffer"));
        }
        Ok(())
    }

    /// After an error rustls holds an alert that tells the server why.
    ///
    /// It has to be asked with the same ciphertext as before: positions in it are remembered, and used without a check.
    fn queue_alert(&mut self, out: &mut OutBuf) {
        let Session::Rustls(connection) = &mut self.session else { return };
        if !connection.wants_write() {
            return;
        }
        let status = connection.process_tls_records(&mut self.cipher[self.start..self.end]);
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state {
            // Without room for the alert the server just sees the connection end.
            let _ = encode(&mut data, out);
        }
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

/// Copies plain text to where it goes, and says how much had room there; the rest is kept.
#[inline(always)]
fn deliver(payload: &[u8], plain: &mut impl PlainBuf, rest: &mut Vec<u8>) -> usize {
    let space = plain.spare(payload.len());
    let n = payload.len().min(space.len());
    space[..n].copy_from_slice(&payload[..n]);
    plain.filled(n);
    rest.extend_from_slice(&payload[n..]);
    n
}

fn fault(fault: TlsFault, particulars: &str) -> NetError {
    NetError::Tls { fault, detail: detail(particulars.as_bytes()) }
}

pub(super) fn explain(error: &Error) -> NetError {
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
        Error::DecryptError | Error::PeerSentOversizedRecord | Error::PeerMisbehaved(_) => {
            (TlsFault::Record, error.to_string())
        }
        other => (TlsFault::Handshake, other.to_string()),
    };
    fault(kind, &particulars)
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests {
    use std::io::{Read, Write};

    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

    use super::*;
    use crate::net::buf::InBuf;

    /// Configurations of a client and a server that trust each other.
    fn configs(versions: &[&'static SupportedProtocolVersion]) -> (TlsConfig, Arc<ServerConfig>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let roots = TlsRoots { webpki: false, extra: vec![issuer.der().to_vec()], ..TlsRoots::default() };
        (TlsConfig::new(&roots).unwrap(), Arc::new(server))
    }

    type Kind = (&'static SupportedProtocolVersion, TlsRecords);

    /// Sessions of each version, with each way of opening records.
    const KINDS: [Kind; 3] = [
        (&rustls::version::TLS13, TlsRecords::InPlace),
        (&rustls::version::TLS13, TlsRecords::Rustls),
        (&rustls::version::TLS12, TlsRecords::InPlace),
    ];

    fn configs_of((version, records): Kind) -> (TlsConfig, Arc<ServerConfig>) {
        let (client, server) = configs(&[version]);
        (client.with_records(records), server)
    }

    /// Both ends of a session, and what is on its way to the client.
    struct Pair {
        client: Tls,
        server: ServerConnection,
        out: OutBuf,
        to_client: Vec<u8>,
        received: Vec<u8>,
    }

    impl Pair {
        fn new(client: &TlsConfig, server: &Arc<ServerConfig>) -> Self {
            Self {
                client: Tls::start(client, "a.test").unwrap(),
                server: ServerConnection::new(server.clone()).unwrap(),
                out: OutBuf::new(1024, CIPHER_BYTES),
                to_client: Vec::new(),
                received: Vec::new(),
            }
        }

        fn established(kind: Kind) -> Self {
            let (client, server) = configs_of(kind);
            let mut pair = Self::new(&client, &server);
            pair.shake_hands(usize::MAX).unwrap();
            let in_place = kind == KINDS[0];
            assert_eq!(matches!(pair.client.session, Session::InPlace(_)), in_place);
            pair
        }

        /// Takes turns, with at most `piece` bytes for the client at once.
        fn shake_hands(&mut self, piece: usize) -> Result<(), NetError> {
            for _ in 0..100_000 {
                let done = self.client.handshake(&mut self.out)?;
                self.client_sends();
                if done && !self.server.is_handshaking() {
                    return Ok(());
                }
                self.server_sends();
                self.deliver(piece);
            }
            panic!("the handshake does not end");
        }

        fn client_sends(&mut self) {
            let mut bytes = self.out.as_slice();
            while !bytes.is_empty() {
                self.server.read_tls(&mut bytes).unwrap();
                self.server.process_new_packets().unwrap();
                let _ = self.server.reader().read_to_end(&mut self.received);
            }
            let n = self.out.len();
            self.out.consume(n);
        }

        fn server_sends(&mut self) {
            while self.server.wants_write() {
                self.server.write_tls(&mut self.to_client).unwrap();
            }
        }

        /// Hands at most `piece` bytes to the client.
        fn deliver(&mut self, piece: usize) -> usize {
            let space = self.client.cipher_spare();
            let n = self.to_client.len().min(piece).min(space.len());
            space[..n].copy_from_slice(&self.to_client[..n]);
            self.client.cipher_filled(n);
            self.to_client.drain(..n);
            n
        }

        fn server_writes(&mut self, bytes: &[u8]) {
            self.server.writer().write_all(bytes).unwrap();
            self.server_sends();
        }

        /// What the server has received.
        fn server_reads(&mut self) -> Vec<u8> {
            self.client_sends();
            std::mem::take(&mut self.received)
        }
    }

    /// A buffer with little room, as a WebSocket's may have.
    struct Narrow {
        bytes: Vec<u8>,
        room: usize,
    }

    impl PlainBuf for Narrow {
        fn spare(&mut self, _need: usize) -> &mut [u8] {
            let len = self.bytes.len();
            self.bytes.resize(len + self.room, 0);
            // `filled` cuts it back.
            &mut self.bytes[len..]
        }

        fn filled(&mut self, n: usize) {
            let unfilled = self.room - n;
            self.bytes.truncate(self.bytes.len() - unfilled);
            self.room = unfilled;
        }
    }

    #[test]
    fn hands_are_shaken_bytewise() {
        for kind in KINDS {
            let (client, server) = configs_of(kind);
            let mut pair = Pair::new(&client, &server);
            pair.shake_hands(1).unwrap();
            assert_eq!(pair.server.alpn_protocol(), None, "the test server chooses none");
            assert_eq!(pair.client.seal(b"hello", &mut pair.out), Ok(5));
            assert_eq!(pair.server_reads(), b"hello");
        }
    }

    #[test]
    fn the_second_session_is_resumed() {
        let (client, server) = configs(&[&rustls::version::TLS13]);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut pair = Pair::new(&client, &server);
            pair.shake_hands(usize::MAX).unwrap();
            kinds.push(pair.server.handshake_kind().unwrap());
            // The ticket comes with the first traffic.
            pair.server_writes(b"x");
            pair.deliver(usize::MAX);
            pair.client.open(&mut InBuf::new(100), &mut pair.out).unwrap();
        }
        assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
    }

    #[test]
    fn plain_text_that_finds_no_room_waits_and_does_not_block_sending() {
        for kind in KINDS {
            let mut pair = Pair::established(kind);
            pair.server_writes(b"0123456789");
            pair.server_writes(b"abcdefghij");
            pair.deliver(usize::MAX);
            let mut narrow = Narrow { bytes: Vec::new(), room: 4 };
            assert_eq!(pair.client.open(&mut narrow, &mut pair.out), Ok(Opened { bytes: 4, more: true }));
            // The second record is still encrypted, and in the way.
            assert_eq!(pair.client.seal(b"order", &mut pair.out), Ok(5));
            assert_eq!(pair.server_reads(), b"order");
            narrow.room = 8;
            assert_eq!(pair.client.open(&mut narrow, &mut pair.out), Ok(Opened { bytes: 8, more: true }));
            narrow.room = 100;
            assert_eq!(pair.client.open(&mut narrow, &mut pair.out), Ok(Opened { bytes: 8, more: false }));
            assert_eq!(narrow.bytes, b"0123456789abcdefghij");
        }
    }

    #[test]
    fn plain_text_that_comes_with_the_end_of_the_handshake_is_delivered() {
        let (client, mut server) = configs(&[&rustls::version::TLS13]);
        Arc::get_mut(&mut server).unwrap().send_half_rtt_data = true;
        let mut pair = Pair::new(&client, &server);
        pair.client.handshake(&mut pair.out).unwrap();
        pair.client_sends();
        pair.server_writes(b"early");
        pair.deliver(usize::MAX);
        assert_eq!(pair.client.handshake(&mut pair.out), Ok(true));
        let mut plain = InBuf::new(100);
        assert_eq!(pair.client.open(&mut plain, &mut pair.out), Ok(Opened { bytes: 5, more: false }));
        assert_eq!(plain.unread(), b"early");
        assert_eq!(pair.client.seal(b"back", &mut pair.out), Ok(4));
        assert_eq!(pair.server_reads(), b"back");
    }

    #[test]
    fn sealing_stops_where_the_out_buffer_is_full() {
        for kind in KINDS.into_iter().take(2) {
            let mut pair = Pair::established(kind);
            let plain: Vec<u8> = (0..100_000_u32).map(|i| i as u8).collect();
            let mut received = Vec::new();
            let mut sealed = 0;
            while sealed < plain.len() {
                let n = pair.client.seal(&plain[sealed..], &mut pair.out).unwrap();
                assert!(n > 0);
                assert!(pair.out.len() <= pair.out.limit_bytes());
                sealed += n;
                received.extend(pair.server_reads());
            }
            assert_eq!(received, plain);
        }
    }

    #[test]
    fn key_updates_are_answered() {
        for kind in KINDS.into_iter().take(2) {
            let mut pair = Pair::established(kind);
            pair.server_writes(b"before");
            pair.server.refresh_traffic_keys().unwrap();
            pair.server_writes(b"after");
            pair.deliver(usize::MAX);
            let mut plain = InBuf::new(100);
            pair.client.open(&mut plain, &mut pair.out).unwrap();
            assert_eq!(plain.unread(), b"beforeafter");
            // The answer travels with what is sent next.
            let mut lens = Vec::new();
            for _ in 0..2 {
                assert_eq!(pair.client.seal(b"still here", &mut pair.out), Ok(10));
                lens.push(pair.out.len());
                assert_eq!(pair.server_reads(), b"still here");
            }
            assert_eq!(lens, [27 + 32, 32]);
        }
    }

    #[test]
    fn the_sending_key_is_changed_long_before_it_is_used_up() {
        let mut pair = Pair::established(KINDS[0]);
        let mut lens = Vec::new();
        for n in 0..250_u32 {
            let text = format!("{n:03}");
            assert_eq!(pair.client.seal(text.as_bytes(), &mut pair.out), Ok(3));
            lens.push(pair.out.len());
            assert_eq!(pair.server_reads(), text.as_bytes());
        }
        // A record of three bytes, and before it now and then one with the five of the message, under the old key. One record
        // of the handshake had the number 0 of another key.
        let changed: Vec<usize> = (0..250).filter(|n| lens[*n] == 25 + 27).collect();
        assert_eq!(changed, [100, 200]);
        assert_eq!(lens.iter().filter(|len| **len == 25).count(), 248);
    }

    #[test]
    fn records_that_are_not_what_the_session_agreed_on_end_it() {
        for (record, part) in [
            (&[21, 3, 3, 0, 2, 1, 0][..], "not TLS"),
            (&[20, 3, 3, 0, 1, 1], "not TLS"),
            (&[23, 3, 3, 0x41, 1], "peer sent"),
            (&[23, 3, 3, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17], "decrypt"),
            (&[23, 3, 3, 0, 0], "decrypt"),
        ] {
            let mut pair = Pair::established(KINDS[0]);
            pair.to_client.extend_from_slice(record);
            pair.deliver(usize::MAX);
            let error = pair.client.open(&mut InBuf::new(100), &mut pair.out).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert!(!pair.out.is_empty(), "the server is told");
        }
    }

    #[test]
    fn a_proper_end_is_told_from_the_data_before_it() {
        for kind in KINDS {
            let mut pair = Pair::established(kind);
            pair.server_writes(b"last words");
            pair.server.send_close_notify();
            pair.server_sends();
            pair.deliver(usize::MAX);
            let mut plain = InBuf::new(100);
            assert!(!pair.client.peer_closed());
            assert_eq!(pair.client.open(&mut plain, &mut pair.out), Ok(Opened { bytes: 10, more: false }));
            assert_eq!(plain.unread(), b"last words");
            assert!(pair.client.peer_closed());
            pair.client.close(&mut pair.out);
            pair.client.close(&mut pair.out);
            pair.client_sends();
            assert!(pair.server.process_new_packets().unwrap().peer_has_closed());
        }
    }

    #[test]
    fn a_flipped_bit_is_an_error_and_the_server_is_told() {
        for kind in KINDS {
            let mut pair = Pair::established(kind);
            pair.server_writes(b"good");
            let good = pair.to_client.len();
            pair.server_writes(b"evil");
            pair.to_client[good + 8] ^= 1;
            pair.deliver(usize::MAX);
            let mut plain = InBuf::new(100);
            let error = pair.client.open(&mut plain, &mut pair.out).unwrap_err();
            assert!(matches!(error, NetError::Tls { fault: TlsFault::Record, .. }), "{error}");
            assert_eq!(plain.unread(), b"good");
            let mut alert = pair.out.as_slice();
            pair.server.read_tls(&mut alert).unwrap();
            let told = pair.server.process_new_packets().unwrap_err();
            assert_eq!(told, Error::AlertReceived(AlertDescription::BadRecordMac));
            assert_eq!(pair.client.seal(b"x", &mut pair.out), Err(error.clone()));
            assert_eq!(pair.client.open(&mut plain, &mut pair.out), Err(error));
        }
    }

    #[test]
    fn a_handshake_that_never_ends_is_cut() {
        // A handshake message of the greatest length in records of the greatest length, and one of an allowed length in
        // records of one byte, of which the headers fill the buffer.
        for (header, record, part) in
            [([2, 0xFF, 0xFF, 0xFF], RECORD_BYTES_MAX, ""), ([2, 0x00, 0xFF, 0x00], 1, "more than fits")]
        {
            let (client, _) = configs(&[KINDS[0].0, KINDS[2].0]);
            let mut tls = Tls::start(&client, "a.test").unwrap();
            let mut out = OutBuf::new(1024, CIPHER_BYTES);
            tls.handshake(&mut out).unwrap();
            let mut message = header.to_vec();
            message.resize(400_000, 0);
            let mut stream = Vec::new();
            for body in message.chunks(record) {
                stream.extend([22, 3, 3]);
                stream.extend((body.len() as u16).to_be_bytes());
                stream.extend(body);
            }
            let error = cut_short(&mut tls, &stream, &mut out);
            assert!(matches!(error, NetError::Tls { .. }) && error.to_string().contains(part), "{error}");
        }
    }

    fn cut_short(tls: &mut Tls, stream: &[u8], out: &mut OutBuf) -> NetError {
        let mut rest = stream;
        loop {
            let space = tls.cipher_spare();
            let n = rest.len().min(space.len());
            assert!(n > 0, "no room and no error");
            space[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            tls.cipher_filled(n);
            if let Err(error) = tls.handshake(out) {
                return error;
            }
        }
    }

    #[test]
    fn plain_text_is_not_sealed_before_the_handshake() {
        let (client, _) = configs(&[KINDS[0].0, KINDS[2].0]);
        let mut tls = Tls::start(&client, "a.test").unwrap();
        let mut out = OutBuf::new(1024, CIPHER_BYTES);
        let error = tls.seal(b"secret", &mut out).unwrap_err();
        assert!(matches!(error, NetError::Tls { fault: TlsFault::Handshake, .. }), "{error}");
        assert!(!out.as_slice().windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn authorities_that_cannot_be_read_are_named() {
        let roots = |webpki, extra: &[&[u8]]| TlsRoots {
            webpki,
            extra: extra.iter().map(|bytes| bytes.to_vec()).collect(),
            ..TlsRoots::default()
        };
        let key = KeyPair::generate().unwrap().serialize_pem();
        for (roots, part) in [
            (roots(false, &[]), "no authority"),
            (roots(true, &[b"nonsense"]), "neither PEM nor"),
            (roots(true, &[b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----"]), "damaged"),
            (roots(true, &[b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]), "not a certificate"),
            (roots(true, &[key.as_bytes()]), "holds no certificate"),
        ] {
            let error = TlsConfig::new(&roots).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        TlsConfig::new(&TlsRoots::default()).unwrap();
    }

    #[test]
    fn names_that_no_certificate_has_are_refused() {
        let (client, _) = configs(&[KINDS[0].0, KINDS[2].0]);
        for name in ["", "a b", "-", "[::1]"] {
            let error = Tls::start(&client, name).unwrap_err();
            assert!(matches!(error, NetError::Tls { fault: TlsFault::ServerName, .. }), "{error}");
        }
        for name in ["a.test", "127.0.0.1", "::1"] {
            Tls::start(&client, name).unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn damage_is_an_error_and_never_a_panic(
            at in 0_usize..4_000,
            flip in 0_u8..=255,
            cut in prop::option::weighted(0.3, 0_usize..50),
            piece in prop_oneof![Just(usize::MAX), 1_usize..2_000],
            kind in 0_usize..3,
        ) {
            let (client, server) = configs_of(KINDS[kind]);
            let mut pair = Pair::new(&client, &server);
            let mut plain = InBuf::new(100);
            let mut passed = 0;
            let outcome = (0..10_000).try_for_each(|_| {
                pair.client.handshake(&mut pair.out)?;
                pair.client.open(&mut plain, &mut pair.out)?;
                let mut bytes = pair.out.as_slice();
                while !bytes.is_empty() && pair.server.read_tls(&mut bytes).is_ok() {
                    let _ = pair.server.process_new_packets();
                }
                let n = pair.out.len();
                pair.out.consume(n);
                let before = pair.to_client.len();
                pair.server_sends();
                // The damage, at its place in the whole stream.
                if let Some(i) = at.checked_sub(passed).map(|i| i + before).filter(|i| *i < pair.to_client.len()) {
                    pair.to_client[i] ^= flip;
                    if let Some(cut) = cut {
                        pair.to_client.drain(i..(i + cut).min(pair.to_client.len()));
                    }
                }
                passed += pair.to_client.len().saturating_sub(before);
                pair.deliver(piece);
                Ok(())
            });
            if let Err(error) = outcome {
                prop_assert!(matches!(error, NetError::Tls { .. }), "{}", error);
                prop_assert_eq!(pair.client.seal(b"x", &mut pair.out), Err(error));
            }
        }

        #[test]
        fn any_split_gives_the_same_plain_text(
            messages in prop::collection::vec(prop_oneof![4 => 0_usize..600, 1 => 0_usize..60_000], 1..12),
            pieces in prop::collection::vec(prop_oneof![1_usize..100, 1_usize..20_000], 1..6),
            rooms in prop::collection::vec(prop_oneof![1_usize..300, 1_usize..40_000], 1..4),
            kind in 0_usize..3,
        ) {
            let mut pair = Pair::established(KINDS[kind]);
            let mut sent = Vec::new();
            for (i, len) in messages.iter().enumerate() {
                let message: Vec<u8> = (0..*len).map(|j| (i * 31 + j) as u8).collect();
                pair.server_writes(&message);
                sent.extend(message);
            }
            let mut narrow = Narrow { bytes: Vec::new(), room: 0 };
            let mut turn = 0;
            while !pair.to_client.is_empty() {
                let n = pair.deliver(pieces[turn % pieces.len()]);
                prop_assert!(n > 0, "no room for ciphertext");
                loop {
                    narrow.room = rooms[turn % rooms.len()];
                    turn += 1;
                    let opened = pair.client.open(&mut narrow, &mut pair.out).unwrap();
                    if !opened.more {
                        break;
                    }
                }
            }
            prop_assert!(narrow.bytes == sent, "{} bytes of {}", narrow.bytes.len(), sent.len());
        }
    }
}
