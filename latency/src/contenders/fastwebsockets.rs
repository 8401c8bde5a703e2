//! fastwebsockets on tokio and rustls, simd-json into a type of integers, and a book of two sorted vectors.

use std::cell::RefCell;

use fastwebsockets::{FragmentCollector, OpCode, Payload, Role, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;

use super::books::SimdVecs;
use super::common::{Books, Levels, block_on, ended, first_of, load, tokio_connect, upgrade_request};
use crate::contender::{Contender, Observer, Target, Waiting};

type Stream = MaybeTlsStream<TcpStream>;

/// See the module's head.
#[derive(Default)]
pub(crate) struct FastWebsockets {
    books: Option<SimdVecs>,
}

impl Contender for FastWebsockets {
    fn run(&mut self, target: &Target, waiting: Waiting, observer: &mut dyn Observer) -> Result<(), String> {
        let books = self.books.insert(load(target)?);
        block_on(waiting, async {
            let mut sockets = Vec::new();
            for socket in 0..target.sockets {
                sockets.push(upgrade(target, socket, tokio_connect(target).await?).await?);
            }
            observer.on_ready();
            let shared = RefCell::new((books, observer));
            first_of(sockets.into_iter().map(|ws| read(ws, &shared))).await
        })
    }

    fn book(&self, stream: u32) -> (Levels, Levels) {
        self.books.as_ref().map(|books| books.levels(stream)).unwrap_or_default()
    }
}

/// Shakes hands without hyper, whose upgraded connection would put a virtual call under every read. The sender is
/// silent, so nothing comes behind the answer.
async fn upgrade(target: &Target, socket: u32, mut stream: Stream) -> Result<FragmentCollector<Stream>, String> {
    let failed = |error: std::io::Error| format!("handshake: {error}");
    let (request, _) = upgrade_request(target, socket)?;
    stream.write_all(&request).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut answer).await.map_err(failed)? == 0 {
            return Err("handshake: the sender closed".to_owned());
        }
    }
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("handshake: {}", String::from_utf8_lossy(&answer)));
    }
    Ok(FragmentCollector::new(WebSocket::after_handshake(stream, Role::Client)))
}

async fn read(
    mut ws: FragmentCollector<Stream>,
    shared: &RefCell<(&mut SimdVecs, &mut dyn Observer)>,
) -> Result<(), String> {
    loop {
        let mut frame = match ws.read_frame().await {
            Ok(frame) => frame,
            Err(error) => return ended(error.to_string()),
        };
        match frame.opcode {
            OpCode::Text => {}
            OpCode::Close => return Ok(()),
            _ => continue,
        }
        let (books, observer) = &mut *shared.borrow_mut();
        let seen = match &mut frame.payload {
            Payload::Bytes(bytes) => books.on_frame_mut(bytes)?,
            payload => books.on_frame_mut(payload.to_mut())?,
        };
        if let Some(seen) = seen
            && !observer.on_top(seen.stream, seen.last_update_id, seen.top)
        {
            return Ok(());
        }
    }
}
