//! What most people write: tokio, tokio-tungstenite, rustls, serde_json, and a book of two `BTreeMap`s.

use std::cell::RefCell;

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::books::DecimalMaps;
use super::common::{self, Books, Levels, block_on, first_of, server_name, tls_config};
use crate::contender::{Contender, Observer, Target, Waiting};

/// See the module's head.
#[derive(Default)]
pub(crate) struct TokioTungstenite {
    books: Option<DecimalMaps>,
}

impl Contender for TokioTungstenite {
    fn run(&mut self, target: &Target, waiting: Waiting, observer: &mut dyn Observer) -> Result<(), String> {
        let books = self.books.insert(common::load(target)?);
        block_on(waiting, async {
            if target.tls {
                let connector = TlsConnector::from(tls_config(target)?);
                let mut sockets = Vec::new();
                for socket in 0..target.sockets {
                    let tls = connector.connect(server_name()?, common::tokio_connect(target).await?).await;
                    sockets.push(upgrade(target, socket, tls.map_err(|error| format!("TLS: {error}"))?).await?);
                }
                read_all(sockets, books, observer).await
            } else {
                let mut sockets = Vec::new();
                for socket in 0..target.sockets {
                    sockets.push(upgrade(target, socket, common::tokio_connect(target).await?).await?);
                }
                read_all(sockets, books, observer).await
            }
        })
    }

    fn book(&self, stream: u32) -> (Levels, Levels) {
        self.books.as_ref().map(|books| books.levels(stream)).unwrap_or_default()
    }
}

async fn upgrade<S>(target: &Target, socket: u32, stream: S) -> Result<WebSocketStream<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (ws, _) = client_async(target.stream_url(socket), stream).await.map_err(|error| error.to_string())?;
    Ok(ws)
}

async fn read_all<S>(
    sockets: Vec<WebSocketStream<S>>,
    books: &mut DecimalMaps,
    observer: &mut dyn Observer,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    observer.on_ready();
    let shared = RefCell::new((books, observer));
    first_of(sockets.into_iter().map(|ws| read(ws, &shared))).await
}

async fn read<S>(
    mut ws: WebSocketStream<S>,
    shared: &RefCell<(&mut DecimalMaps, &mut dyn Observer)>,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = ws.next().await {
        let text = match message {
            Ok(Message::Text(text)) => text,
            Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Ok(_) => continue,
            Err(error) => return common::ended(error.to_string()),
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
