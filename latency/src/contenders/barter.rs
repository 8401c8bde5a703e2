//! barter-data's own types, sequencer, transformer, stream and order book, over its own kind of socket.
//!
//! Only what barter-data hard-wires to the real venue is replaced: who connects (its URLs and roots of trust are
//! constants), who fetches the snapshot, and a parser that takes the event out of the wrapper of a combined stream.

use std::cell::RefCell;
use std::collections::VecDeque;

use barter_data::books::OrderBook;
use barter_data::event::MarketEvent;
use barter_data::exchange::Connector;
use barter_data::exchange::binance::book::l2::BinanceOrderBookL2Snapshot;
use barter_data::exchange::binance::channel::BinanceChannel;
use barter_data::exchange::binance::spot::BinanceSpot;
use barter_data::exchange::binance::spot::l2::BinanceSpotOrderBooksL2Transformer;
use barter_data::exchange::subscription::ExchangeSub;
use barter_data::subscription::Map;
use barter_data::subscription::book::OrderBookEvent;
use barter_data::transformer::ExchangeTransformer;
use barter_data::{ExchangeWsStream, Identifier};
use barter_integration::error::SocketError;
use barter_integration::protocol::StreamParser;
use barter_integration::protocol::websocket::{WebSocket, WebSocketSerdeParser, WsError, WsMessage};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio_tungstenite_0_26::{MaybeTlsStream, client_async};

use super::books::decimal_mantissa;
use super::common::{Levels, block_on, ended, first_of, snapshot, tokio_connect};
use crate::contender::{Contender, Observer, Target, Top, Waiting};

type BarterStream = ExchangeWsStream<CombinedParser, BinanceSpotOrderBooksL2Transformer<u32>>;

/// See the module's head.
#[derive(Default)]
pub(crate) struct Barter {
    books: Vec<OrderBook>,
}

impl Contender for Barter {
    fn run(&mut self, target: &Target, waiting: Waiting, observer: &mut dyn Observer) -> Result<(), String> {
        let mut snapshots = Vec::new();
        self.books.clear();
        for stream in 0..target.streams {
            let snapshot: BinanceOrderBookL2Snapshot = serde_json::from_slice(&snapshot(target, stream)?)
                .map_err(|error| format!("the snapshot cannot be read: {error}"))?;
            let event = MarketEvent::from((BinanceSpot::ID, stream, snapshot));
            let mut book = OrderBook::default();
            book.update(&event.kind);
            self.books.push(book);
            snapshots.push(event);
        }
        let books = &mut self.books;
        block_on(waiting, async {
            let mut streams = Vec::new();
            for socket in 0..target.sockets {
                streams.push(connect(target, socket, &snapshots).await?);
            }
            observer.on_ready();
            let shared = RefCell::new((books, observer));
            first_of(streams.into_iter().map(|stream| read(stream, &shared))).await
        })
    }

    fn book(&self, stream: u32) -> (Levels, Levels) {
        let levels = |levels: &[barter_data::books::Level]| levels.iter().map(level).collect();
        self.books
            .get(stream as usize)
            .map(|book| (levels(book.bids().levels()), levels(book.asks().levels())))
            .unwrap_or_default()
    }
}

async fn connect(
    target: &Target,
    socket: u32,
    snapshots: &[MarketEvent<u32, OrderBookEvent>],
) -> Result<BarterStream, String> {
    let stream = match tokio_connect(target).await? {
        tokio_tungstenite::MaybeTlsStream::Rustls(tls) => MaybeTlsStream::Rustls(tls),
        tokio_tungstenite::MaybeTlsStream::Plain(tcp) => MaybeTlsStream::Plain(tcp),
        _ => return Err("a stream of a kind that is not asked for".to_owned()),
    };
    let (ws, _) =
        client_async(target.stream_url(socket), stream).await.map_err(|error| format!("handshake: {error}"))?;
    let (_, ws) = ws.split();
    let subscriptions: Map<u32> = (socket..target.streams)
        .step_by(target.sockets as usize)
        .map(|stream| (ExchangeSub::from((BinanceChannel::ORDER_BOOK_L2, format!("S{stream}"))).id(), stream))
        .collect();
    // Messages to the venue, of which there are none.
    let (to_venue, _) = tokio::sync::mpsc::unbounded_channel();
    let transformer = BinanceSpotOrderBooksL2Transformer::init(subscriptions, snapshots, to_venue)
        .await
        .map_err(|error| error.to_string())?;
    Ok(ExchangeWsStream::new(ws, transformer, VecDeque::new()))
}

async fn read(
    mut stream: BarterStream,
    shared: &RefCell<(&mut Vec<OrderBook>, &mut dyn Observer)>,
) -> Result<(), String> {
    while let Some(event) = stream.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => return ended(error.to_string()),
        };
        let (books, observer) = &mut *shared.borrow_mut();
        let book = books.get_mut(event.instrument as usize).ok_or("a market that was not asked for")?;
        book.update(&event.kind);
        let (bid, bid_amount) = book.bids().best().map(level).unwrap_or_default();
        let (ask, ask_amount) = book.asks().best().map(level).unwrap_or_default();
        if !observer.on_top(event.instrument, book.sequence(), Top { bid, bid_amount, ask, ask_amount }) {
            return Ok(());
        }
    }
    Ok(())
}

fn level(level: &barter_data::books::Level) -> (i64, i64) {
    (decimal_mantissa(level.price), decimal_mantissa(level.amount))
}

/// barter-data's parser, with the wrapper of a combined stream around what it reads.
struct CombinedParser;

#[derive(Deserialize)]
struct Combined<T> {
    data: T,
}

impl<T: for<'de> Deserialize<'de>> StreamParser<T> for CombinedParser {
    type Stream = WebSocket;
    type Message = WsMessage;
    type Error = WsError;

    fn parse(input: Result<WsMessage, WsError>) -> Option<Result<T, SocketError>> {
        let parsed = <WebSocketSerdeParser as StreamParser<Combined<T>>>::parse(input)?;
        Some(parsed.map(|combined| combined.data))
    }
}
