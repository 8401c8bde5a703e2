//! What all connections of one engine share.

use super::error::NetError;
use super::http::HttpLimits;
use super::proxy::Proxy;
use super::stream::ReadMode;
use super::tls::{TlsConfig, TlsRoots};
use super::url::Url;
use super::ws::WsLimits;
use crate::sys::socket::SocketOptions;

/// Settings of a connection. Make one, share it: the TLS part remembers sessions, which makes reconnecting cheaper.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Whom to trust.
    pub tls: TlsConfig,
    /// Connect through this proxy, and never without it.
    pub proxy: Option<Proxy>,
    /// How sockets are set up.
    pub socket: SocketOptions,
    /// How WebSocket connections read. HTTP connections always use [`ReadMode::Recv`].
    pub read_mode: ReadMode,
    /// Sizes of a WebSocket.
    pub ws: WsLimits,
    /// Sizes of an HTTP connection.
    pub http: HttpLimits,
    /// What the `User-Agent` header says; empty for none. Some venues refuse clients without one.
    pub user_agent: String,
}

impl NetConfig {
    /// Default settings with these trusted authorities.
    ///
    /// # Errors
    /// [`NetError::Tls`] when the authorities cannot be used.
    pub fn new(roots: &TlsRoots) -> Result<Self, NetError> {
        Ok(Self {
            tls: TlsConfig::new(roots)?,
            proxy: None,
            socket: SocketOptions::default(),
            read_mode: ReadMode::default(),
            ws: WsLimits::default(),
            http: HttpLimits::default(),
            user_agent: concat!("wirebook/", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }

    /// Host and port to resolve and to connect to for `url`: the proxy's, if there is one.
    pub fn connect_to<'a>(&'a self, url: &'a Url) -> (&'a str, u16) {
        match &self.proxy {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (url.host(), url.port()),
        }
    }

    /// The socket options, with kernel stamps switched on where the read mode needs them.
    pub(super) fn socket_options(&self, read_mode: ReadMode) -> SocketOptions {
        SocketOptions { receive_stamps: read_mode == ReadMode::Stamped, ..self.socket.clone() }
    }
}
