//! CCXT Pro's own Rust port, as its documentation says: `watch_order_book_for_symbols` in a loop.
//!
//! What it returns is its whole book copied into two vectors of `[f64; 2]`; that is its interface, and the top is read
//! from there. It fetches its snapshot itself. It connects with the authorities of webpki-roots and cannot be given
//! others, neither for its sockets nor for REST: so it can only be measured in the clear, where it has less to do than
//! the others have over TLS.

use std::sync::atomic::{AtomicU32, Ordering};

use ccxt_pro::exchange_generated::ExchangeBase;
use ccxt_pro::pro::binance::BinanceCore;
use ccxt_pro::types::OrderBook;
use ccxt_pro::{Binance, Params, Value};
use serde_json::json;

use super::common::{Levels, block_on_with, ended};
use crate::contender::{Contender, Observer, Target, Top, Waiting};

/// See the module's head.
#[derive(Default)]
pub(crate) struct CcxtPro {
    books: Vec<OrderBook>,
}

impl Contender for CcxtPro {
    fn run(&mut self, target: &Target, waiting: Waiting, observer: &mut dyn Observer) -> Result<(), String> {
        if target.tls {
            return Err("ccxt-pro only trusts the authorities of webpki-roots: it needs a sender without TLS".into());
        }
        if target.sockets != 1 {
            return Err("ccxt-pro watches all streams on one socket here".into());
        }
        self.books = (0..target.streams).map(|_| OrderBook::default()).collect();
        let books = &mut self.books;
        // It sets timers.
        block_on_with(tokio::runtime::Builder::new_current_thread().enable_all(), waiting, async {
            let mut binance = exchange(target);
            let symbols: Vec<String> = (0..target.streams).map(symbol).collect();
            // The first books are those of the snapshots, for the sender is silent.
            while books.iter().any(|book| book.nonce.is_none()) {
                let book = binance.watch_order_book_for_symbols(symbols.clone(), None, Params::none()).await;
                let book = book.map_err(|error| format!("the snapshot: {error}"))?;
                let stream = stream_of(&book)?;
                books[stream] = book;
            }
            observer.on_ready();
            loop {
                let book = match binance.watch_order_book_for_symbols(symbols.clone(), None, Params::none()).await {
                    Ok(book) => book,
                    Err(error) => return ended(error.to_string()),
                };
                let stream = stream_of(&book)?;
                let last_update_id = book.nonce.and_then(|id| u64::try_from(id).ok()).ok_or("a book without nonce")?;
                let (bid, bid_amount) = book.bids.first().map(level).unwrap_or_default();
                let (ask, ask_amount) = book.asks.first().map(level).unwrap_or_default();
                let top = Top { bid, bid_amount, ask, ask_amount };
                let more = observer.on_top(stream as u32, last_update_id, top);
                books[stream] = book;
                if !more {
                    return Ok(());
                }
            }
        })
    }

    fn book(&self, stream: u32) -> (Levels, Levels) {
        let levels = |levels: &[[f64; 2]]| levels.iter().map(level).collect();
        self.books.get(stream as usize).map(|book| (levels(&book.bids), levels(&book.asks))).unwrap_or_default()
    }
}

/// An exchange that believes the sender to be the venue, with its markets in place.
fn exchange(target: &Target) -> Binance {
    // Connections are kept by their URL for as long as the process lives, so each has to be another. The venue's URL
    // has `/stream` in its host, by which CCXT tells spot from derivatives; what stands behind `#` is not sent.
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let (port, run) = (target.addr.port(), RUNS.fetch_add(1, Ordering::Relaxed));
    let config = json!({
        "enableRateLimit": false,
        "options": { "watchOrderBookLimit": 5000 },
        "urls": { "api": {
            "public": format!("http://127.0.0.1:{port}/api/v3"),
            "ws": { "spot": format!("ws://127.0.0.1:{port}/ws#/stream/{run}") },
        } },
    });
    let mut core = BinanceCore::new(Some(Value::from(config)));
    let markets = (0..target.streams).map(|stream| {
        json!({
            "id": format!("S{stream}"), "lowercaseId": format!("s{stream}"), "symbol": symbol(stream),
            "base": format!("S{stream}"), "baseId": format!("S{stream}"), "quote": "USDT", "quoteId": "USDT",
            "type": "spot", "spot": true, "margin": false, "swap": false, "future": false, "option": false,
            "contract": false, "active": true, "precision": { "price": 1e-8, "amount": 1e-8 }, "limits": {},
        })
    });
    core.set_markets(Value::from(serde_json::Value::Array(markets.collect())), &[]);
    Binance::from_core(core)
}

fn symbol(stream: u32) -> String {
    format!("S{stream}/USDT")
}

fn stream_of(book: &OrderBook) -> Result<usize, String> {
    let symbol = book.symbol.as_deref().unwrap_or_default();
    let digits = symbol.strip_prefix('S').and_then(|rest| rest.strip_suffix("/USDT"));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("a book of {symbol:?} was not asked for"))
}

/// At eight decimals.
fn level(&[price, amount]: &[f64; 2]) -> (i64, i64) {
    ((price * 1e8).round() as i64, (amount * 1e8).round() as i64)
}
