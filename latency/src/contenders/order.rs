//! A connection for orders, open and warm before the first one.
//!
//! The engine has no orders yet; this is what its outbox will have to do: frame, encrypt and write from within a callback,
//! by the same `net` that the engine reads with.

use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use wirebook::net::config::NetConfig;
use wirebook::net::link::{LinkState, WsLink};
use wirebook::net::url::Url;

use super::wirebook::trusted;
use crate::contender::Target;

/// What Binance's WebSocket API takes; prepared, with everything filled in.
const ORDER: &[u8] = br#"{"id":"7f3c0a52-1d0b-4a34-9b7e-0c3f2f6b1a55","method":"order.place","params":{"symbol":"S0","side":"SELL","type":"LIMIT","timeInForce":"IOC","price":"10.3300","quantity":"12","newClientOrderId":"w0000001","timestamp":1633998523964}}"#;

const OPEN_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct OrderLink {
    link: WsLink,
}

impl OrderLink {
    /// Connects, and waits until orders can be sent.
    pub(super) fn open(target: &Target) -> Result<OrderLink, String> {
        let scheme = if target.tls { "wss" } else { "ws" };
        let explain = |error: wirebook::net::error::NetError| format!("the connection for orders: {error}");
        let system = |error: std::io::Error| format!("the connection for orders: {error}");
        let config = NetConfig::new(&trusted(target)?).map_err(explain)?;
        let url = Url::parse(&format!("{scheme}://localhost:{}/ws", target.addr.port())).map_err(explain)?;
        let mut link = WsLink::open(target.addr, &url, &config, 1).map_err(explain)?;
        let (mut poll, mut events) = (Poll::new().map_err(system)?, Events::with_capacity(4));
        poll.registry().register(link.source(), Token(0), Interest::READABLE | Interest::WRITABLE).map_err(system)?;
        let start = Instant::now();
        while link.state() != LinkState::Open {
            poll.poll(&mut events, Some(Duration::from_millis(50))).map_err(system)?;
            for event in &events {
                link.ready(event.is_readable(), event.is_writable(), event.is_read_closed()).map_err(explain)?;
            }
            if start.elapsed() > OPEN_MAX {
                return Err(link.timed_out().to_string());
            }
        }
        poll.registry().deregister(link.source()).map_err(system)?;
        Ok(OrderLink { link })
    }

    /// Frames, encrypts, writes. An order that the socket does not take at once is an error.
    #[inline]
    pub(super) fn send(&mut self) -> Result<(), String> {
        self.link.send_text(ORDER).map_err(|error| error.to_string())?;
        if self.link.wants_write() { Err("the socket is full".into()) } else { Ok(()) }
    }
}
