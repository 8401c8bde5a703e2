//! The records of an established TLS 1.3 session, opened where they lie.
//!
//! rustls 0.23 puts each decrypted record into a vector of its own. Once it has shaken hands, it can hand over the keys
//! of the session, and keeps what belongs to their updates and to tickets ([`KernelConnection`], made for kernels that
//! encrypt). What is left are the records themselves (RFC 8446, section 5): sealed and opened here with ring, which rustls
//! uses as well, without an allocation and without a copy. TLS 1.2 stays with rustls.

use std::ops::Range;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::{AlertDescription, ConnectionTrafficSecrets, Error, InvalidMessage, PeerMisbehaved};

use super::buf::OutBuf;
use super::error::NetError;

/// Type, version and length.
const HEADER_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
/// Most plain text in one record (RFC 8446, 5.1).
const PLAIN_BYTES_MAX: usize = 1 << 14;
/// Most bytes behind the header (RFC 8446, 5.2).
const SEALED_BYTES_MAX: usize = PLAIN_BYTES_MAX + 256;
/// The longest handshake message that is put together, like rustls.
const MESSAGE_BYTES_MAX: usize = 0xffff;
/// After so many records the sending key is changed; AES-GCM allows some 2^24.5 (RFC 8446, 5.5). Tests do not wait for that.
const SEALED_MAX: u64 = if cfg!(test) { 100 } else { 1 << 23 };

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

/// What one record was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Not all of it is there.
    Incomplete,
    /// Plain text, which now lies at this place of the ciphertext.
    Data { at: Range<usize>, consumed: usize },
    /// Something that is settled.
    Settled { consumed: usize },
    /// The server ends the session; what it sends after that is of no interest.
    Closed,
}

/// The records of one session in both directions.
pub(super) struct Records {
    kernel: KernelConnection<ClientConnectionData>,
    opening: Keys,
    sealing: Keys,
    /// The beginning of a handshake message that goes on in the next record.
    message: Vec<u8>,
}

struct Keys {
    key: LessSafeKey,
    iv: [u8; 12],
    /// The number of the next record.
    number: u64,
}

impl Records {
    /// Takes over a TLS 1.3 session of which the handshake is done, and of which rustls holds nothing that would have to be
    /// sent or delivered.
    pub(super) fn of(connection: UnbufferedClientConnection) -> Result<Records, Error> {
        let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
        let (opening, sealing) = (Keys::new(secrets.rx)?, Keys::new(secrets.tx)?);
        Ok(Records { kernel, opening, sealing, message: Vec::new() })
    }

    /// Opens the first record of `cipher`. Answers to the server go to `out`.
    #[inline]
    pub(super) fn open(&mut self, cipher: &mut [u8], out: &mut OutBuf) -> Result<Record, Error> {
        let Some((header, rest)) = cipher.split_first_chunk_mut::<HEADER_BYTES>() else {
            return Ok(Record::Incomplete);
        };
        let sealed_len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if header[0] != DATA {
            return Err(Error::InvalidMessage(InvalidMessage::InvalidContentType));
        }
        if sealed_len > SEALED_BYTES_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        let Some(sealed) = rest.get_mut(..sealed_len) else { return Ok(Record::Incomplete) };
        let plain = self.opening.open(*header, sealed)?;
        // Padding of zeros, and before it the kind of content.
        let len = match plain {
            [.., DATA] => plain.len() - 1,
            _ => plain.iter().rposition(|byte| *byte != 0).ok_or(PeerMisbehaved::IllegalTlsInnerPlaintext)?,
        };
        if len > PLAIN_BYTES_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        let consumed = HEADER_BYTES + sealed_len;
        if plain[len] != DATA {
            let (kind, content) = (plain[len], &plain[..len]);
            return self.on_control(kind, content, out, consumed);
        }
        if !self.message.is_empty() {
            return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
        }
        Ok(Record::Data { at: HEADER_BYTES..HEADER_BYTES + len, consumed })
    }

    /// Everything but data: alerts, tickets, new keys.
    #[cold]
    fn on_control(&mut self, kind: u8, content: &[u8], out: &mut OutBuf, consumed: usize) -> Result<Record, Error> {
        match (kind, content) {
            (ALERT, [_, description]) => match AlertDescription::from(*description) {
                AlertDescription::CloseNotify => Ok(Record::Closed),
                AlertDescription::UserCanceled => Ok(Record::Settled { consumed }),
                description => Err(Error::AlertReceived(description)),
            },
            (HANDSHAKE, [_, ..]) => {
                if self.message.len() + content.len() > MESSAGE_BYTES_MAX {
                    return Err(Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge));
                }
                self.message.extend_from_slice(content);
                let mut message = std::mem::take(&mut self.message);
                let used = self.on_handshake(&message, out)?;
                message.drain(..used);
                self.message = message;
                Ok(Record::Settled { consumed })
            }
            _ => Err(Error::InvalidMessage(InvalidMessage::InvalidContentType)),
        }
    }

    /// Settles the complete handshake messages in `bytes`, and says how long they are.
    fn on_handshake(&mut self, bytes: &[u8], out: &mut OutBuf) -> Result<usize, Error> {
        let mut used = 0;
        while let [kind, high, middle, low, rest @ ..] = &bytes[used..] {
            let len = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            let Some(body) = rest.get(..len) else {
                if len > MESSAGE_BYTES_MAX {
                    return Err(Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge));
                }
                break;
            };
            used += 4 + len;
            match (*kind, body) {
                (NEW_SESSION_TICKET, ticket) => self.kernel.handle_new_session_ticket(ticket)?,
                (KEY_UPDATE, [asked @ (0 | 1)]) => {
                    // What follows is under the new key, so nothing may be left of this record.
                    if used != bytes.len() {
                        return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
                    }
                    self.opening = Keys::new(self.kernel.update_rx_secret()?)?;
                    if *asked == 1 {
                        self.change_sealing_key(out)?;
                    }
                }
                _ => return Err(Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate)),
            }
        }
        Ok(used)
    }

    fn change_sealing_key(&mut self, out: &mut OutBuf) -> Result<(), Error> {
        let sealed = self.seal_as(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0], out);
        sealed.map_err(|_| Error::General("no room to answer a change of keys".into()))?;
        self.sealing = Keys::new(self.kernel.update_tx_secret()?)?;
        Ok(())
    }

    /// Seals `plain`, which is at most 16 KiB, as one record.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut OutBuf) -> Result<(), NetError> {
        if self.sealing.number >= SEALED_MAX {
            self.change_sealing_key(out).map_err(|error| super::tls::explain(&error))?;
        }
        self.seal_as(DATA, plain, out)
    }

    /// Seals an alert: 1 for a warning, 2 for the end of the session.
    pub(super) fn seal_alert(&mut self, level: u8, description: AlertDescription, out: &mut OutBuf) {
        // Without room for it the server just sees the connection end.
        let _ = self.seal_as(ALERT, &[level, description.into()], out);
    }

    fn seal_as(&mut self, kind: u8, content: &[u8], out: &mut OutBuf) -> Result<(), NetError> {
        let sealed_len = content.len() + 1 + TAG_BYTES;
        out.write_with(HEADER_BYTES + sealed_len, |space| {
            let [high, low] = (sealed_len as u16).to_be_bytes();
            let header = [DATA, 3, 3, high, low];
            let (before, sealed) = space.split_at_mut(HEADER_BYTES);
            before.copy_from_slice(&header);
            let (plain, tag) = sealed.split_at_mut(content.len() + 1);
            plain[..content.len()].copy_from_slice(content);
            plain[content.len()] = kind;
            let sealed = self.sealing.seal(header, plain).map_err(|error| super::tls::explain(&error))?;
            tag.copy_from_slice(&sealed);
            Ok(HEADER_BYTES + sealed_len)
        })
    }
}

impl Keys {
    fn new((number, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Keys, Error> {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(Error::General("a cipher suite that is not known here".into())),
        };
        let wrong = || Error::General("a key of the wrong length".into());
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| wrong())?;
        let iv = iv.as_ref().try_into().map_err(|_| wrong())?;
        Ok(Keys { key: LessSafeKey::new(key), iv, number })
    }

    /// The nonce of the next record: its number over the last eight bytes of the vector (RFC 8446, 5.3). Numbers are never
    /// used again: keys change long before they run out.
    #[inline]
    fn nonce(&mut self) -> Result<Nonce, Error> {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.number.to_be_bytes()) {
            *byte ^= number;
        }
        self.number = self.number.checked_add(1).ok_or(Error::DecryptError)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    #[inline]
    fn open<'a>(&mut self, header: [u8; HEADER_BYTES], sealed: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let nonce = self.nonce()?;
        self.key.open_in_place(nonce, Aad::from(header), sealed).map_err(|_| Error::DecryptError)
    }

    fn seal(&mut self, header: [u8; HEADER_BYTES], plain: &mut [u8]) -> Result<[u8; TAG_BYTES], Error> {
        let nonce = self.nonce().map_err(|_| Error::EncryptError)?;
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(header), plain);
        let tag = tag.map_err(|_| Error::EncryptError)?;
        tag.as_ref().try_into().map_err(|_| Error::EncryptError)
    }
}
