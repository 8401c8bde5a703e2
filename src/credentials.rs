//! Keys of an account: where they come from, and how they are kept out of everything that is printed.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// A text that is never printed, and overwritten when it is dropped.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a text. Copies that were made of it before are the caller's to erase.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text itself: for signing and for headers, nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a venue gave to whom it knows.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The key's name.
    pub key: Secret,
    /// What is signed with.
    pub secret: Secret,
    /// The third part that some venues want.
    pub passphrase: Option<Secret>,
}

impl Credentials {
    /// Key and secret.
    pub fn new(key: impl Into<String>, secret: impl Into<String>) -> Credentials {
        Credentials { key: Secret::new(key), secret: Secret::new(secret), passphrase: None }
    }

    /// The same with a passphrase.
    pub fn with_passphrase(self, passphrase: impl Into<String>) -> Credentials {
        Credentials { passphrase: Some(Secret::new(passphrase)), ..self }
    }

    /// From the environment variables `WIREBOOK_<ID>_KEY`, `_SECRET` and, if it is there, `_PASSPHRASE`; `<ID>` is the
    /// ccxt id in capitals.
    ///
    /// # Errors
    /// [`ErrorKind::ArgumentsRequired`], naming the variable that is missing.
    pub fn from_env(id: &str) -> Result<Credentials, Error> {
        let name = |part: &str| format!("WIREBOOK_{}_{part}", id.to_ascii_uppercase());
        let find = |part: &str| {
            let value = std::env::var(name(part)).ok().filter(|value| !value.is_empty());
            value.ok_or_else(|| {
                Error::new(ErrorKind::ArgumentsRequired, format!("the environment variable {} is not set", name(part)))
            })
        };
        let credentials = Credentials::new(find("KEY")?, find("SECRET")?);
        Ok(match find("PASSPHRASE") {
            Ok(passphrase) => credentials.with_passphrase(passphrase),
            Err(_) => credentials,
        })
    }

    /// From a file with lines `key = ...`, `secret = ...` and, where the venue has one, `passphrase = ...`. Empty lines
    /// and lines that begin with `#` are left out; quotes around a value are taken off.
    ///
    /// # Errors
    /// [`ErrorKind::ArgumentsRequired`] if the file cannot be read, lacks a line, or has one that is none of these. The
    /// error names the line by its number and never shows it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Credentials, Error> {
        let path = path.as_ref();
        let wrong = |text: String| Error::new(ErrorKind::ArgumentsRequired, format!("{}: {text}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let text = Zeroizing::new(text);
        let (mut key, mut secret, mut passphrase) = (None, None, None);
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let hint = "has to be key = ..., secret = ... or passphrase = ...";
            let (name, value) = line.split_once('=').ok_or_else(|| wrong(format!("line {number} {hint}")))?;
            let value = value.trim().trim_matches('"');
            let place = match name.trim() {
                "key" => &mut key,
                "secret" => &mut secret,
                "passphrase" => &mut passphrase,
                _ => return Err(wrong(format!("line {number} {hint}"))),
            };
            if place.replace(Secret::new(value)).is_some() {
                return Err(wrong(format!("line {number} says again what was said before")));
            }
        }
        let missing = |what: &str| wrong(format!("a line {what} = ... is missing"));
        let (key, secret) = (key.ok_or_else(|| missing("key"))?, secret.ok_or_else(|| missing("secret"))?);
        Ok(Credentials { key, secret, passphrase })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> Result<Credentials, Error> {
        let path = std::env::temp_dir().join(format!("wirebook-credentials-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let read = Credentials::from_file(&path);
        std::fs::remove_file(&path).unwrap();
        read
    }

    #[test]
    fn nothing_secret_is_printed() {
        let credentials = Credentials::new("my-key", "my-secret").with_passphrase("my-phrase");
        let shown = format!("{credentials:?} {credentials:#?}");
        assert!(!shown.contains("my-"), "{shown}");
        assert_eq!(credentials.secret.reveal(), "my-secret");
    }

    #[test]
    fn files_are_read_and_their_mistakes_named_without_showing_them() {
        let read = file("right", "# a comment\n\nkey = abc\nsecret=\"d=f\"\npassphrase = g h\n").unwrap();
        assert_eq!((read.key.reveal(), read.secret.reveal()), ("abc", "d=f"));
        assert_eq!(read.passphrase.unwrap().reveal(), "g h");
        for (name, text, says) in [
            ("short", "key = hush\n", "a line secret = ... is missing"),
            ("odd", "key = hush\nhush\n", "line 2 has to be key"),
            ("twice", "key = hush\nkey = hush\n", "line 2 says again"),
            ("other", "token = hush\n", "line 1 has to be key"),
        ] {
            let error = file(name, text).unwrap_err();
            assert!(error.message().contains(says) && !error.message().contains("hush"), "{error}");
        }
        assert_eq!(Credentials::from_env("no-such-venue").unwrap_err().kind(), ErrorKind::ArgumentsRequired);
    }
}
