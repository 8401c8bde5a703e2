//! What can go wrong between the wire and a message, in the words of the person who has to act on it.
//!
//! Every error of this module concerns one connection, and after it that connection is finished; the two exceptions,
//! where the link stays usable, are [`NetError::SendBufferFull`] and [`NetError::Misuse`].

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Longest piece of text from a peer that is kept inside an error, in bytes.
pub const DETAIL_BYTES_MAX: usize = 256;

/// Trouble with one connection. Small and cheap to clone, so that it can travel inside an event.
///
/// Text from the peer is cut to [`DETAIL_BYTES_MAX`] and stripped of control characters. No request is ever quoted,
/// because requests carry credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetError {
    /// The name could not be resolved.
    Dns {
        /// The host as it was asked for.
        host: Box<str>,
        /// What the resolver said.
        detail: Box<str>,
    },
    /// The TCP connection was not established.
    Connect {
        /// Where we tried to connect to.
        addr: SocketAddr,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
    /// No answer to the TCP connect before the caller's deadline.
    ConnectTimeout {
        /// Where we tried to connect to.
        addr: SocketAddr,
    },
    /// The proxy refused, or is none. There was no direct connection instead.
    Proxy(Box<str>),
    /// The proxy did not answer before the caller's deadline.
    ProxyTimeout,
    /// The TLS session could not be made or broke.
    Tls {
        /// The kind of fault; decides which advice the message gives.
        fault: TlsFault,
        /// Particulars, such as the names in the certificate.
        detail: Box<str>,
    },
    /// The TLS handshake did not finish before the caller's deadline.
    TlsTimeout,
    /// The server answered the upgrade request with something other than `101 Switching Protocols`.
    Upgrade {
        /// The HTTP status.
        status: u16,
        /// Seconds the server asks us to wait, from `Retry-After`.
        retry_after_s: Option<u32>,
        /// The beginning of the reply's body.
        detail: Box<str>,
    },
    /// No complete answer to the upgrade request before the caller's deadline.
    UpgradeTimeout,
    /// The server broke RFC 6455; the second field is the close code that was sent to it.
    Protocol(&'static str, u16),
    /// A text message was not UTF-8 (close code 1007 was sent).
    Utf8,
    /// A message, or a response body, is larger than the limit set for it.
    MessageTooBig {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// The server closed the WebSocket.
    Closed {
        /// The close code; 1005 when the server sent none.
        code: u16,
        /// The server's reason, at most 123 bytes.
        reason: Box<str>,
    },
    /// The connection ended without the protocol's own goodbye.
    Eof(EofKind),
    /// Nothing of the message was taken: the peer reads slower than we write.
    SendBufferFull {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// A URL that cannot be used: which part, and what would be right.
    Url(Box<str>),
    /// The server broke HTTP/1.1, or uses a part of it that is not supported.
    Http(&'static str),
    /// No complete response before the caller's deadline.
    HttpTimeout,
    /// The caller asked for something that is not possible in the link's present state.
    Misuse(&'static str),
    /// The operating system refused something outside connecting, reading and writing.
    Os {
        /// What we wanted to do.
        what: &'static str,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
}

/// How a connection ended when it did not end properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EofKind {
    /// The peer closed the connection in an orderly way, but in the middle of things: for a WebSocket without a close
    /// frame (what other libraries report as code 1006), for HTTP before the response was complete.
    Closed,
    /// TCP ended without the TLS close_notify, so bytes may be missing.
    Truncated,
    /// The connection was reset.
    Reset,
    /// The peer stopped acknowledging what we sent.
    TimedOut,
}

/// What was wrong with a TLS session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFault {
    /// The certificate is not signed by an authority that we trust.
    UnknownIssuer,
    /// The certificate is past its last day.
    Expired,
    /// The certificate is before its first day.
    NotYetValid,
    /// The certificate is for another name.
    WrongName,
    /// Any other objection to the certificate.
    Certificate,
    /// What came back is not TLS at all.
    NotTls,
    /// The server has no protocol version or cipher in common with us.
    Incompatible,
    /// The server refused with an alert.
    Alert,
    /// A record could not be decrypted or was out of order.
    Record,
    /// The server name cannot be used in a certificate check.
    ServerName,
    /// The certificate authorities given by the user cannot be used.
    Roots,
    /// Something else went wrong during the handshake.
    Handshake,
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns { host, detail } => {
                write!(f, "cannot resolve host {host:?}: {detail}; check the spelling and this machine's DNS")
            }
            Self::Connect { addr, kind } => match kind {
                io::ErrorKind::ConnectionRefused => {
                    write!(f, "connection to {addr} refused: nothing listens there, or a firewall rejects us")
                }
                io::ErrorKind::AddrNotAvailable => {
                    write!(
                        f,
                        "cannot connect to {addr}: the source address is not one of this machine, or no port is left"
                    )
                }
                io::ErrorKind::PermissionDenied => {
                    write!(f, "cannot connect to {addr}: not permitted; check the firewall and interface binding")
                }
                kind => write!(f, "cannot connect to {addr}: {kind}; check the network and the route to it"),
            },
            Self::ConnectTimeout { addr } => {
                write!(f, "no answer from {addr} in time; check the route and the firewall, or allow more time")
            }
            Self::Proxy(detail) => write!(f, "the proxy does not let us through: {detail}"),
            Self::ProxyTimeout => f.write_str("no answer from the proxy in time; check its address and kind"),
            Self::Tls { fault, detail } => {
                write!(f, "TLS: {}", fault.sentence())?;
                if !detail.is_empty() {
                    write!(f, " ({detail})")?;
                }
                Ok(())
            }
            Self::TlsTimeout => f.write_str("the TLS handshake did not finish in time; is this really a TLS port?"),
            Self::Upgrade { status, retry_after_s, detail } => {
                write!(f, "the server refused the WebSocket upgrade with HTTP status {status}")?;
                match (status, retry_after_s) {
                    (_, Some(seconds)) => write!(f, "; wait {seconds} s before trying again")?,
                    (418 | 429, None) => f.write_str("; too many connection attempts, wait before trying again")?,
                    (401 | 403, None) => {
                        f.write_str("; check credentials, permissions and the country of this address")?
                    }
                    (404, None) => f.write_str("; check the path of the URL")?,
                    (500..=599, None) => f.write_str("; the server has trouble of its own, try again later")?,
                    _ => {}
                }
                if !detail.is_empty() {
                    write!(f, ": {detail}")?;
                }
                Ok(())
            }
            Self::UpgradeTimeout => f.write_str("no answer to the WebSocket upgrade in time; check host and path"),
            Self::Protocol(what, code) => {
                write!(f, "the server broke the WebSocket protocol: {what} (closed with {code})")
            }
            Self::Utf8 => f.write_str("the server sent a text message that is not UTF-8 (closed with 1007)"),
            Self::MessageTooBig { limit_bytes } => {
                write!(
                    f,
                    "a message is larger than the limit of {limit_bytes} bytes; raise the limit if it is legitimate"
                )
            }
            Self::Closed { code, reason } => {
                write!(f, "the server closed the WebSocket with code {code}")?;
                if !reason.is_empty() {
                    write!(f, ": {reason}")?;
                }
                Ok(())
            }
            Self::Eof(kind) => f.write_str(match kind {
                EofKind::Closed => "the server closed the connection without a goodbye; connect again",
                EofKind::Truncated => "the connection ended in the middle of the TLS session; connect again",
                EofKind::Reset => "the connection was reset; connect again",
                EofKind::TimedOut => "the server stopped acknowledging data; connect again",
            }),
            Self::SendBufferFull { limit_bytes } => write!(
                f,
                "not sent: {limit_bytes} bytes already wait for the peer to read; send less often or raise the limit"
            ),
            Self::Url(detail) => write!(f, "bad URL: {detail}"),
            Self::Http(what) => write!(f, "bad HTTP response: {what}"),
            Self::HttpTimeout => f.write_str("no complete HTTP response in time; try again or allow more time"),
            Self::Misuse(what) => write!(f, "misuse of a link: {what}"),
            Self::Os { what, kind } => write!(f, "cannot {what}: {kind}"),
        }
    }
}

impl std::error::Error for NetError {}

impl NetError {
    /// What a failed read or write on a connected socket means.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Self::Eof(EofKind::Reset)
            }
            io::ErrorKind::TimedOut => Self::Eof(EofKind::TimedOut),
            kind => Self::Os { what: "use the connection", kind },
        }
    }
}

impl TlsFault {
    fn sentence(self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "the certificate is not signed by a trusted authority; add the authority if a proxy or test server is meant"
            }
            Self::Expired => {
                "the certificate has expired; check this machine's clock, otherwise the server is at fault"
            }
            Self::NotYetValid => "the certificate is not valid yet; check this machine's clock",
            Self::WrongName => "the certificate is for another name; check the host",
            Self::Certificate => "the certificate is not acceptable",
            Self::NotTls => "the answer is not TLS; use ws:// or http:// if this port is a plain one",
            Self::Incompatible => "no protocol version or cipher in common with the server",
            Self::Alert => "the server refused",
            Self::Record => "a record could not be decrypted or is out of order",
            Self::ServerName => "the host cannot be used as a name in a certificate",
            Self::Roots => "the certificate authorities cannot be used",
            Self::Handshake => "the handshake failed",
        }
    }
}

/// Text of a peer made fit for an error: at most [`DETAIL_BYTES_MAX`] bytes, control characters replaced by spaces.
pub(crate) fn detail(bytes: &[u8]) -> Box<str> {
    let cut = &bytes[..bytes.len().min(DETAIL_BYTES_MAX)];
    let mut text = String::with_capacity(cut.len());
    for chunk in cut.utf8_chunks() {
        text.extend(chunk.valid().chars().map(|c| if c.is_control() { ' ' } else { c }));
        if !chunk.invalid().is_empty() {
            text.push('?');
        }
    }
    text.trim().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_small() {
        assert!(size_of::<NetError>() <= 40, "{}", size_of::<NetError>());
    }

    #[test]
    fn detail_is_bounded_and_printable() {
        assert_eq!(&*detail(b"{\"code\":-1003,\r\n\x1b[31mred\xff}"), "{\"code\":-1003,   [31mred?}");
        assert_eq!(detail(&[b'x'; 10_000]).len(), DETAIL_BYTES_MAX);
        // A character cut in half at the limit becomes a question mark, never a panic.
        let mut long = vec![b'x'; DETAIL_BYTES_MAX - 1];
        long.extend("é".as_bytes());
        assert!(detail(&long).ends_with("x?"));
    }

    #[test]
    fn messages_say_what_to_do() {
        let error = NetError::Upgrade { status: 429, retry_after_s: Some(7), detail: "slow down".into() };
        assert_eq!(
            error.to_string(),
            "the server refused the WebSocket upgrade with HTTP status 429; wait 7 s before trying again: slow down"
        );
        let error = NetError::Tls { fault: TlsFault::NotTls, detail: "".into() };
        assert_eq!(error.to_string(), "TLS: the answer is not TLS; use ws:// or http:// if this port is a plain one");
    }
}
