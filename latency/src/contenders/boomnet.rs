//! boomnet: its own WebSocket and TLS stream over rustls, polled. As `boomnet`: with wirebook's JSON reader and book,
//! the best that it can be given. As `boomnet-simd`: simd-json into a type of integers, and a book of two sorted
//! vectors.
//!
//! Spinning it tries to read all the time, as its own examples do. It has no way to sleep; for that its streams are
//! registered with a `mio::Poll` that waits.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use boomnet::service::select::Selectable;
use boomnet::stream::mio::IntoMioStream;
use boomnet::stream::tls::{IntoTlsStream, TlsConfig};
use boomnet::stream::{ConnectionInfo, ReadHint, tcp::TcpStream};
use boomnet::ws::{Error, IntoWebsocket, Websocket, WebsocketFrame};
use mio::event::Source;
use mio::{Events, Interest, Poll, Token};
use rustls_0_22::client::WebPkiServerVerifier;
use rustls_0_22::{RootCertStore, crypto};

use super::books::{CursorArrays, SimdVecs};
use super::common::{self, Books, Levels};
use crate::contender::{Contender, Observer, Target, Waiting};

/// boomnet writes the request of its handshake into a buffer of 256 bytes, which leaves this many for the path.
const PATH_LEN_MAX: usize = 100;

/// So many reads of 4 KiB take a TLS record of the greatest size.
const READS_PER_RECORD: u32 = 5;

/// See the module's head.
pub(crate) struct Boomnet<B> {
    books: Option<B>,
}

impl Boomnet<CursorArrays> {
    /// With wirebook's parser and book.
    pub(crate) fn new() -> Boomnet<CursorArrays> {
        Boomnet { books: None }
    }
}

impl Boomnet<SimdVecs> {
    /// With simd-json and sorted vectors.
    pub(crate) fn simd() -> Boomnet<SimdVecs> {
        Boomnet { books: None }
    }
}

impl<B: Books> Contender for Boomnet<B> {
    fn run(&mut self, target: &Target, waiting: Waiting, observer: &mut dyn Observer) -> Result<(), String> {
        let books = self.books.insert(common::load(target)?);
        let verifier = if target.tls { Some(verifier(target)?) } else { None };
        let tls = |config: &mut TlsConfig| {
            if let Some(verifier) = &verifier {
                config.as_rustls_mut().dangerous().set_certificate_verifier(verifier.clone());
            }
        };
        let mut plain = Vec::new();
        let mut over_tls = Vec::new();
        let mut plain_mio = Vec::new();
        let mut over_tls_mio = Vec::new();
        for socket in 0..target.sockets {
            let url = target.stream_url(socket);
            let path = url.find("/stream").map(|start| &url[start..]).unwrap_or("/");
            if path.len() > PATH_LEN_MAX {
                return Err(format!("boomnet has no room for the path of socket {socket}: at most 5 streams on one"));
            }
            let stream = connect(target)?;
            let failed = |error: std::io::Error| format!("boomnet: {error}");
            match (waiting, target.tls) {
                (Waiting::Spin, false) => plain.push(stream.into_websocket(path)),
                (Waiting::Spin, true) => {
                    over_tls.push(stream.into_tls_stream_with_config(tls).map_err(failed)?.into_websocket(path));
                }
                (Waiting::Sleep, false) => plain_mio.push(stream.into_mio_stream().into_websocket(path)),
                (Waiting::Sleep, true) => {
                    let stream = stream.into_mio_stream().into_tls_stream_with_config(tls).map_err(failed)?;
                    over_tls_mio.push(stream.into_websocket(path));
                }
            }
        }
        match (waiting, target.tls) {
            (Waiting::Spin, false) => spin(plain, books, observer),
            (Waiting::Spin, true) => spin(over_tls, books, observer),
            (Waiting::Sleep, false) => sleep(plain_mio, books, observer),
            (Waiting::Sleep, true) => sleep(over_tls_mio, books, observer),
        }
    }

    fn book(&self, stream: u32) -> (Levels, Levels) {
        self.books.as_ref().map(|books| books.levels(stream)).unwrap_or_default()
    }
}

fn connect(target: &Target) -> Result<TcpStream, String> {
    ConnectionInfo::new("localhost", target.addr.port())
        .into_tcp_stream_with_addr(target.addr)
        .map_err(|error| format!("cannot connect to {}: {error}", target.addr))
}

/// boomnet makes its settings by itself, without any roots, and lets them be changed: so the sender's authority comes
/// in by the verifier.
fn verifier(target: &Target) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(common::ca(target)?).map_err(|error| format!("{}: {error}", target.ca.display()))?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(crypto::ring::default_provider()))
        .build()
        .map_err(|error| format!("TLS: {error}"))
}

fn spin<S, B>(mut sockets: Vec<Websocket<S>>, books: &mut B, observer: &mut dyn Observer) -> Result<(), String>
where
    S: Read + Write + ReadHint,
    B: Books,
{
    while !sockets.iter().all(Websocket::handshake_complete) {
        for ws in &mut sockets {
            shake_hands(ws, books, observer)?;
        }
    }
    observer.on_ready();
    loop {
        for ws in &mut sockets {
            if read(ws, books, observer)? == Outcome::Over {
                return Ok(());
            }
        }
    }
}

fn sleep<S, B>(mut sockets: Vec<Websocket<S>>, books: &mut B, observer: &mut dyn Observer) -> Result<(), String>
where
    S: Read + Write + ReadHint + Source + Selectable,
    B: Books,
{
    let failed = |error: std::io::Error| format!("mio: {error}");
    let mut poll = Poll::new().map_err(failed)?;
    let mut events = Events::with_capacity(64);
    for (index, ws) in sockets.iter_mut().enumerate() {
        poll.registry().register(ws, Token(index), Interest::WRITABLE).map_err(failed)?;
    }
    let mut ready = false;
    loop {
        // The handshake takes steps of which the socket tells nothing.
        let timeout = (!ready).then_some(Duration::from_millis(1));
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.map_err(failed)?,
        }
        for event in &events {
            let ws = &mut sockets[event.token().0];
            if event.is_writable() && ws.connected().map_err(failed)? {
                ws.make_writable().map_err(failed)?;
                poll.registry().reregister(ws, event.token(), Interest::READABLE).map_err(failed)?;
            }
            if event.is_readable() {
                ws.make_readable().map_err(failed)?;
                // mio tells only once, and one read takes 4 KiB, which need not be a whole record. Once the socket is
                // empty, another read costs no system call.
                let mut nothing = 0;
                while nothing < READS_PER_RECORD {
                    match read(ws, books, observer)? {
                        Outcome::Nothing => nothing += 1,
                        Outcome::Messages => nothing = 0,
                        Outcome::Over => return Ok(()),
                    }
                }
            }
        }
        if !ready {
            for ws in &mut sockets {
                shake_hands(ws, books, observer)?;
            }
            ready = sockets.iter().all(Websocket::handshake_complete);
            if ready {
                observer.on_ready();
            }
        }
    }
}

/// One step of the handshake; there are no messages yet.
fn shake_hands<S, B>(ws: &mut Websocket<S>, books: &mut B, observer: &mut dyn Observer) -> Result<(), String>
where
    S: Read + Write + ReadHint,
    B: Books,
{
    match read(ws, books, observer)? {
        Outcome::Over => Err("the sender closed during the handshake".to_owned()),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Nothing,
    Messages,
    Over,
}

/// Reads once, and takes all messages that have come.
#[inline]
fn read<S, B>(ws: &mut Websocket<S>, books: &mut B, observer: &mut dyn Observer) -> Result<Outcome, String>
where
    S: Read + Write + ReadHint,
    B: Books,
{
    let mut read = Outcome::Nothing;
    let batch = match ws.read_batch() {
        Ok(batch) => batch,
        Err(error) => return ended(&error),
    };
    for frame in batch {
        let text = match frame {
            Ok(WebsocketFrame::Text(true, text)) => text,
            Ok(WebsocketFrame::Text(false, _) | WebsocketFrame::Continuation(..)) => {
                return Err("boomnet does not join the parts of a message".to_owned());
            }
            Ok(_) => continue,
            Err(error) => return ended(&error),
        };
        read = Outcome::Messages;
        if let Some(seen) = books.on_frame(text)?
            && !observer.on_top(seen.stream, seen.last_update_id, seen.top)
        {
            return Ok(Outcome::Over);
        }
    }
    Ok(read)
}

fn ended(error: &Error) -> Result<Outcome, String> {
    match error {
        Error::Closed | Error::ReceivedCloseFrame(..) => Ok(Outcome::Over),
        error => common::ended(error.to_string()).map(|()| Outcome::Over),
    }
}
