//! What most people write: tokio, tokio-tungstenite, rustls, serde_json, and a book of two `BTreeMap`s.

use std::cell::RefCell;

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async};

use super::books::DecimalMaps;
use super::common::{Books, Levels, block_on, ended, first_of, load, tokio_connect};
use crate::contender::{Contender, Observer, Target, Waiting};

/// See the module's head.
#[derive(Default)]
pub(crate) struct TokioTungstenite {
    books: Option<DecimalMaps>,
}

impl Contender for TokioTungstenite {
    fn run(&mut self, target: &Target, waiting: Waiting, observer: &mut dyn Observer) -> Result<(), String> {
        let books = self.books.insert(load(target)?);
        block_on(waiting, async {
            let mut sockets = Vec::new();
            for socket in 0..target.sockets {
                let stream = tokio_connect(target).await?;
                let upgraded = client_async(target.stream_url(socket), stream).await;
                sockets.push(upgraded.map_err(|error| format!("handshake: {error}"))?.0);
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

async fn read(
    mut ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    shared: &RefCell<(&mut DecimalMaps, &mut dyn Observer)>,
) -> Result<(), String> {
    while let Some(message) = ws.next().await {
        let text = match message {
            Ok(Message::Text(text)) => text,
            Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Ok(_) => continue,
            Err(error) => return ended(error.to_string()),
        };
        let (books, observer) = &mut *shared.borrow_mut();
        if let Some(seen) = books.on_frame(text.as_bytes())?
            && !observer.on_top(seen.stream, seen.last_update_id, seen.top)
        {
            return Ok(());
        }
    }
    Ok(())
}
