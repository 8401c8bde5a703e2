//! mio, tungstenite and rustls without an executor. As `mio-tungstenite`: tungstenite as it is shipped, simd-json into
//! a type of integers, and a book of two sorted vectors. As `mio-tungstenite-tuned`: a read buffer of 8 KiB, which
//! tungstenite fills with zeros before every read, and wirebook's JSON reader and book.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use super::books::{CursorArrays, SimdVecs};
use super::common::{self, Books, Levels, Stream};
use crate::contender::{Contender, Observer, Target, Waiting};

/// See the module's head.
pub(crate) struct MioTungstenite<B> {
    books: Option<B>,
    config: WebSocketConfig,
}

impl MioTungstenite<SimdVecs> {
    /// As shipped.
    pub(crate) fn new() -> MioTungstenite<SimdVecs> {
        MioTungstenite { books: None, config: WebSocketConfig::default() }
    }
}

impl MioTungstenite<CursorArrays> {
    /// As good as it gets.
    pub(crate) fn tuned() -> MioTungstenite<CursorArrays> {
        MioTungstenite { books: None, config: WebSocketConfig::default().read_buffer_size(8 * 1024) }
    }
}

impl<B: Books> Contender for MioTungstenite<B> {
    fn run(&mut self, target: &Target, waiting: Waiting, observer: &mut dyn Observer) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("mio: {error}");
        let books = self.books.insert(common::load(target)?);
        let mut poll = Poll::new().map_err(failed)?;
        let mut sockets = Vec::new();
        for socket in 0..target.sockets {
            let stream = Stream::connect(target)?;
            let (ws, _) = tungstenite::client::client_with_config(target.stream_url(socket), stream, Some(self.config))
                .map_err(|error| format!("handshake: {error}"))?;
            let tcp = ws.get_ref().tcp();
            tcp.set_nonblocking(true).map_err(failed)?;
            poll.registry()
                .register(&mut SourceFd(&tcp.as_raw_fd()), Token(socket as usize), Interest::READABLE)
                .map_err(failed)?;
            sockets.push(ws);
        }
        let mut events = Events::with_capacity(64);
        let timeout = match waiting {
            Waiting::Spin => Some(Duration::ZERO),
            Waiting::Sleep => None,
        };
        observer.on_ready();
        loop {
            match poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.map_err(failed)?,
            }
            for event in &events {
                if !drain(&mut sockets[event.token().0], books, observer)? {
                    return Ok(());
                }
            }
        }
    }

    fn book(&self, stream: u32) -> (Levels, Levels) {
        self.books.as_ref().map(|books| books.levels(stream)).unwrap_or_default()
    }
}

/// Reads until nothing is left, as edge triggering asks. False when the run is over.
fn drain<B: Books>(ws: &mut WebSocket<Stream>, books: &mut B, observer: &mut dyn Observer) -> Result<bool, String> {
    loop {
        match ws.read() {
            Ok(Message::Text(text)) => {
                if let Some(seen) = books.on_frame(text.as_bytes())?
                    && !observer.on_top(seen.stream, seen.last_update_id, seen.top)
                {
                    return Ok(false);
                }
            }
            Ok(Message::Close(_)) | Err(Error::ConnectionClosed) => return Ok(false),
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return common::ended(error.to_string()).map(|()| false),
        }
    }
}
