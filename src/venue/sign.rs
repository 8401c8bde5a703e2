//! Signatures as venues want them: HMAC over the SHA-2 family, in hexadecimal digits or base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::credentials::{Credentials, Secret};
use crate::error::{Error, ErrorKind};

/// A key, hashed as far as it can be ahead: signing begins from here.
///
/// `Debug` is left out on purpose.
#[derive(Clone)]
pub(super) struct Hasher<M>(M);

/// HMAC-SHA256.
pub(super) type HmacSha256 = Hasher<Hmac<Sha256>>;
/// HMAC-SHA384.
pub(super) type HmacSha384 = Hasher<Hmac<Sha384>>;
/// HMAC-SHA512.
pub(super) type HmacSha512 = Hasher<Hmac<Sha512>>;

impl<M: Mac + KeyInit + Clone> Hasher<M> {
    /// With the secret's own bytes.
    pub(super) fn new(secret: &Secret) -> Result<Hasher<M>, Error> {
        Hasher::of_bytes(secret.reveal().as_bytes())
    }

    /// With the bytes that the secret stands for in base64.
    pub(super) fn of_base64(secret: &Secret) -> Result<Hasher<M>, Error> {
        let bytes = STANDARD.decode(secret.reveal().trim()).map(Zeroizing::new).map_err(|_| {
            Error::new(ErrorKind::AuthenticationError, "the secret is not base64: was it copied whole?")
        })?;
        Hasher::of_bytes(&bytes)
    }

    fn of_bytes(bytes: &[u8]) -> Result<Hasher<M>, Error> {
        let mac = <M as KeyInit>::new_from_slice(bytes);
        mac.map(Hasher).map_err(|_| Error::new(ErrorKind::AuthenticationError, "the secret cannot be signed with"))
    }

    /// The signature of `parts` one after the other, in lower-case hexadecimal digits, appended to `out`.
    pub(super) fn hex(&self, parts: &[&[u8]], out: &mut Vec<u8>) {
        for byte in self.sign(parts) {
            out.extend_from_slice(&[
                b"0123456789abcdef"[usize::from(byte >> 4)],
                b"0123456789abcdef"[usize::from(byte & 15)],
            ]);
        }
    }

    /// The same in base64.
    pub(super) fn base64(&self, parts: &[&[u8]], out: &mut Vec<u8>) {
        let signature = self.sign(parts);
        let mut text = [0; 96];
        // 64 bytes give 88 letters.
        if let Ok(len) = STANDARD.encode_slice(signature, &mut text) {
            out.extend_from_slice(&text[..len]);
        }
    }

    /// As [`Hasher::hex`], for headers.
    pub(super) fn hex_text(&self, parts: &[&[u8]]) -> String {
        let mut out = Vec::with_capacity(128);
        self.hex(parts, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// As [`Hasher::base64`], for headers.
    pub(super) fn base64_text(&self, parts: &[&[u8]]) -> String {
        let mut out = Vec::with_capacity(96);
        self.base64(parts, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    fn sign(&self, parts: &[&[u8]]) -> impl IntoIterator<Item = u8> + AsRef<[u8]> + use<M> {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes()
    }
}

/// What signs, and the key and the passphrase that go with it in headers. Without `Debug` on purpose.
pub(super) struct PhraseKeys {
    pub(super) hasher: HmacSha256,
    pub(super) key: Secret,
    pub(super) passphrase: Secret,
}

impl PhraseKeys {
    /// With what the secret gave.
    pub(super) fn new(credentials: &Credentials, hasher: HmacSha256) -> Result<PhraseKeys, Error> {
        let Some(passphrase) = &credentials.passphrase else {
            let text = "needs a passphrase beside key and secret: the one that was chosen for the key";
            return Err(Error::new(ErrorKind::ArgumentsRequired, text));
        };
        for (name, text) in [("key", &credentials.key), ("passphrase", passphrase)] {
            if text.reveal().bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
                let text = format!("the {name} holds what is not printable ASCII: was it copied whole?");
                return Err(Error::new(ErrorKind::AuthenticationError, text));
            }
        }
        Ok(PhraseKeys { hasher, key: credentials.key.clone(), passphrase: passphrase.clone() })
    }
}

/// SHA-256.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Appends `text` as it has to stand in a query: letters, digits and `-_.~` as they are, all else in percent signs.
pub(super) fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => {
                out.push('%');
                out.push(char::from(b"0123456789ABCDEF"[usize::from(byte >> 4)]));
                out.push(char::from(b"0123456789ABCDEF"[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let secret = Secret::new("Jefe");
        let (a, b): (&[u8], &[u8]) = (b"what do ya want ", b"for nothing?");
        let sha256 = HmacSha256::new(&secret).unwrap();
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(sha256.hex_text(&[a, b]), expected);
        assert_eq!(sha256.hex_text(&[a, b]), expected, "a key can be used again");
        assert_eq!(sha256.base64_text(&[a, b]), "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
        let sha384 = HmacSha384::new(&secret).unwrap().hex_text(&[a, b]);
        assert!(sha384.starts_with("af45d2e376484031617f78d2b58a6b1b") && sha384.len() == 96);
        let sha512 = HmacSha512::of_base64(&Secret::new("SmVmZQ==")).unwrap().hex_text(&[a, b]);
        assert!(sha512.starts_with("164b7a7bfcf819e2e395fbe73b56e0a3") && sha512.len() == 128);
        assert!(HmacSha256::of_base64(&Secret::new("no base64!")).is_err());
    }

    #[test]
    fn queries_are_percent_encoded() {
        let mut out = String::new();
        percent_encode("a b/ü-_.~1", &mut out);
        assert_eq!(out, "a%20b%2F%C3%BC-_.~1");
    }
}
