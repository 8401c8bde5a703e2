//! URLs of the four schemes that we speak, and nothing else.
//!
//! Small on purpose: no user names, no fragments, no relative references. What it accepts, it can connect to.

use std::fmt;

use super::error::NetError;

/// Longest URL that is accepted, in bytes.
pub const URL_BYTES_MAX: usize = 8 * 1024;

/// What to speak after connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// WebSocket over plain TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// HTTP over plain TCP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// A parsed URL: scheme, host, port, and the target (path and query) of the request.
///
/// `Debug` and `Display` leave the query out, because listen keys and signatures travel there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
    target: Box<str>,
}

impl Scheme {
    /// The port when the URL names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Ws | Self::Http => 80,
            Self::Wss | Self::Https => 443,
        }
    }

    /// Whether TLS comes before anything else.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Wss | Self::Https)
    }

    /// Whether this is a WebSocket rather than HTTP.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// As written in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`NetError::Url`] says which part is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, NetError> {
        if text.len() > URL_BYTES_MAX {
            return Err(bad(format!("{} bytes long, {URL_BYTES_MAX} are allowed", text.len())));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(bad("no scheme; begin with ws://, wss://, http:// or https://".to_owned()));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" => Scheme::Ws,
            "wss" => Scheme::Wss,
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(bad(format!("unknown scheme {other:?}; use ws, wss, http or https"))),
        };
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(authority_end);
        if authority.contains('@') {
            return Err(bad("a user name before the host is not supported; give credentials separately".to_owned()));
        }
        let (host, port) = split_authority(authority)?;
        let port = match port {
            None => scheme.default_port(),
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port != 0 && digits.bytes().all(|b| b.is_ascii_digit()) => port,
                _ => return Err(bad(format!("port {digits:?} is not a number from 1 to 65535"))),
            },
        };
        Ok(Self { scheme, host: checked_host(host)?, port, target: checked_target(target)? })
    }

    /// The same server with another path and query, which begins with `/` or `?`.
    ///
    /// # Errors
    /// [`NetError::Url`] when the target has characters that a request line cannot hold.
    pub fn with_target(&self, target: &str) -> Result<Self, NetError> {
        if !target.is_empty() && !target.starts_with(['/', '?']) {
            return Err(bad(format!("target {:?} does not begin with / or ?", path_of(target))));
        }
        if target.len() > URL_BYTES_MAX {
            return Err(bad(format!("target is {} bytes long, {URL_BYTES_MAX} are allowed", target.len())));
        }
        Ok(Self { target: checked_target(target)?, ..self.clone() })
    }

    /// What to speak.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Name or address, in lower case; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, given or by scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query for the request line; never empty.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The value of the `Host` header: brackets around IPv6, and the port unless it is the scheme's own.
    pub fn host_header(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        if self.port == self.scheme.default_port() {
            format!("{open}{}{close}", self.host)
        } else {
            format!("{open}{}{close}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = path_of(&self.target);
        let hidden = if path.len() < self.target.len() { "?..." } else { "" };
        write!(f, "{}://{}{path}{hidden}", self.scheme.as_str(), self.host_header())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

impl std::str::FromStr for Url {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        Self::parse(text)
    }
}

fn bad(detail: String) -> NetError {
    NetError::Url(detail.into_boxed_str())
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

fn split_authority(authority: &str) -> Result<(&str, Option<&str>), NetError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else {
            return Err(bad(format!("the bracket around the IPv6 address in {authority:?} is not closed")));
        };
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(bad(format!("{after:?} after the IPv6 address; only a port such as :443 may follow"))),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err(bad(format!("{authority:?} looks like an IPv6 address; write it in brackets, as [::1]:443")))
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn checked_host(host: &str) -> Result<Box<str>, NetError> {
    if host.is_empty() {
        return Err(bad("no host between the slashes and the path".to_owned()));
    }
    if host.contains(':') {
        return match host.parse::<std::net::Ipv6Addr>() {
            Ok(address) => Ok(address.to_string().into_boxed_str()),
            Err(_) => Err(bad(format!("{host:?} in brackets is not an IPv6 address"))),
        };
    }
    if host.len() > 253 {
        return Err(bad(format!("the host has {} characters, a name has at most 253", host.len())));
    }
    if let Some(wrong) = host.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_')) {
        return Err(bad(format!("{wrong:?} cannot be part of host {host:?}; use letters, digits, dots and hyphens")));
    }
    Ok(host.to_ascii_lowercase().into_boxed_str())
}

fn checked_target(target: &str) -> Result<Box<str>, NetError> {
    if target.contains('#') {
        return Err(bad("a fragment (#...) is never sent to a server; leave it out".to_owned()));
    }
    // Neither the target nor the character is safe to print in full: signatures are in the query.
    if let Some((at, wrong)) = target.char_indices().find(|(_, c)| !matches!(c, '!'..='~')) {
        return Err(bad(format!("character {wrong:?} at byte {at} of the path and query; write it as %XX")));
    }
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok(format!("{slash}{target}").into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Scheme, String, u16, String) {
        let url = Url::parse(text).unwrap();
        (url.scheme(), url.host().to_owned(), url.port(), url.target().to_owned())
    }

    #[test]
    fn parses_what_venues_use() {
        assert_eq!(
            parts("wss://stream.binance.com:9443/stream?streams=btcusdt@depth"),
            (Scheme::Wss, "stream.binance.com".into(), 9443, "/stream?streams=btcusdt@depth".into())
        );
        assert_eq!(parts("WSS://WS.Kraken.com"), (Scheme::Wss, "ws.kraken.com".into(), 443, "/".into()));
        assert_eq!(parts("http://127.0.0.1:8080?x=1"), (Scheme::Http, "127.0.0.1".into(), 8080, "/?x=1".into()));
        assert_eq!(parts("ws://[::1]:9001/a"), (Scheme::Ws, "::1".into(), 9001, "/a".into()));
        assert_eq!(parts("https://[2001:DB8::1]/"), (Scheme::Https, "2001:db8::1".into(), 443, "/".into()));
    }

    #[test]
    fn host_header_has_brackets_and_the_odd_port() {
        let header = |text| Url::parse(text).unwrap().host_header();
        assert_eq!(header("wss://a.b/x"), "a.b");
        assert_eq!(header("wss://a.b:443/x"), "a.b");
        assert_eq!(header("wss://a.b:80/x"), "a.b:80");
        assert_eq!(header("ws://[::1]:9001"), "[::1]:9001");
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("stream.binance.com", "no scheme"),
            ("ftp://a.b/", "unknown scheme \"ftp\""),
            ("ws:///path", "no host"),
            ("ws://a:0/", "port \"0\""),
            ("ws://a:65536/", "port \"65536\""),
            ("ws://a:+80/", "port \"+80\""),
            ("ws://a:/", "port \"\""),
            ("ws://::1/", "brackets"),
            ("ws://[::1/", "not closed"),
            ("ws://[::1]x/", "after the IPv6 address"),
            ("ws://[zz:1]/", "not an IPv6 address"),
            ("ws://user:secret@host/", "user name"),
            ("ws://ho st/", "' ' cannot be part of host"),
            ("ws://höst/", "cannot be part of host"),
            ("ws://host/a b", "' ' at byte 2"),
            ("ws://host/a\r\nX: y", "'\\r' at byte 2"),
            ("ws://host/#x", "fragment"),
        ] {
            let error = Url::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Url::parse(&format!("ws://{}/", "a".repeat(254))).is_err());
        assert!(Url::parse(&format!("ws://a/{}", "a".repeat(URL_BYTES_MAX))).is_err());
    }

    #[test]
    fn with_target_replaces_path_and_query() {
        let url = Url::parse("https://api.x.com/v1?a=b").unwrap();
        assert_eq!(url.with_target("/v2/time").unwrap().target(), "/v2/time");
        assert_eq!(url.with_target("?q").unwrap().target(), "/?q");
        assert!(url.with_target("v2").is_err());
        assert!(url.with_target("/v2 ").is_err());
    }

    #[test]
    fn queries_are_not_printed() {
        let url = Url::parse("wss://a.b/ws?listenKey=SECRET").unwrap();
        assert_eq!(format!("{url} {url:?}"), "wss://a.b/ws?... Url(wss://a.b/ws?...)");
    }
}
