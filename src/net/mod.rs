//! Transport: TCP, TLS, WebSocket, HTTP/1.1, DNS. Knows no venue.
//!
//! Two links come out of it, both driven by readiness events and without a clock: [`link::WsLink`] and
//! [`http::HttpLink`]. Below them the protocols ([`ws`], [`tls`], [`handshake`], the reader in [`http`]) know no socket,
//! and [`stream`] is the one place that reads and writes one.

pub mod buf;
pub mod config;
pub mod dns;
pub mod error;
pub mod handshake;
pub mod http;
pub mod link;
pub mod proxy;
mod records;
pub mod stream;
pub mod tls;
pub mod url;
pub mod ws;

pub use config::NetConfig;
pub use error::{EofKind, NetError, TlsFault};
pub use http::HttpLink;
pub use link::{Fill, LinkState, WsLink};
pub use proxy::Proxy;
pub use url::Url;
pub use ws::Message;
