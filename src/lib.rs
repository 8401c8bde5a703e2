//! wirebook takes crypto-exchange traffic from the wire to a correct order book, and does it on one thread, without an
//! async executor.
//!
//! # The run loop
//!
//! ```no_run
//! use wirebook::{Engine, EngineConfig};
//!
//! let mut engine = Engine::new(EngineConfig::default())?;
//! let venue = engine.add_venue("binance")?;
//! engine.load_markets(venue)?;
//! let feed = engine.watch_order_book(venue, "BTC/USDT", Some(100))?;
//!
//! loop {
//!     engine.poll()?; // never blocks; `wait` sleeps instead
//!     if engine.changed().contains(&feed) {
//!         let book = engine.book(feed)?;
//!         // Both are `None` while the book is not whole, in sequence and fresh.
//!         if let (Some(bid), Some(ask)) = (book.best_bid(), book.best_ask()) {
//!             println!("{} / {}", book.price(bid), book.price(ask));
//!         }
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), wirebook::Error>(())
//! ```
//!
//! There is no reconnect, resubscribe, resync or rate-limit code to write: the [`Engine`] owns all of it. `Err` from
//! `poll` means that the engine is of no further use; trouble of one connection or one feed is an event. Method names
//! are those of CCXT Pro in Rust's spelling, and so are the kinds of [`Error`].
//!
//! # What is promised
//!
//! - A book that may be wrong is never shown as good. [`Book::state`](book::Book::state) says whether it can be relied
//!   on, why, and since when; `best_bid` and its kin answer only for a live book.
//! - From a readable socket to your callback nothing is allocated in steady state, no lock is taken, and no system call
//!   is made but the read.
//! - Numbers are exact: an `i64` mantissa with its number of decimals. A digit is never lost silently.
//! - Everything is bounded: each queue, pool, retry and message size has a named maximum.
//!
//! Not promised: that two feeds of one venue are consistent with each other, or that a symbol's trades and its book come
//! in the order in which the venue made them; venues do not promise it either.
//!
//! # Layers
//!
//! ```text
//!            your loop: engine.poll()  /  callbacks  /  engine.wait()
//!                                  |
//!  engine   the only place where bytes, time and venue logic meet
//!     |                            |
//!  net                          venue      bytes in, events out; no socket, no clock
//!  tcp tls ws http dns             |
//!     |                         book  json  decimal  market  model  metrics
//!  sys      the only unsafe code
//! ```
//!
//! Dependencies point down only. [`engine::Core`] is the engine without its sockets: tests drive it with a virtual
//! clock, `wirebook replay` with recordings, the [`Engine`] with mio.
//!
//! # The way of one message
//!
//! Eight stops, and a reader can follow them in this order: `engine/io.rs` (`read_messages`) reads the socket once,
//! `net/tls.rs` opens the records in it, `net/ws.rs` finds the message, `engine/core` (`on_message`) hands it to the
//! venue's `on_frame` (`venue/binance`), which reads it with [`json::Cursor`] into [`venue::Decoded`];
//! [`book::Sync`] judges its sequence number, [`book::Side`] takes its levels, and `engine/feed.rs` (`on_item`) lends
//! the book to you.
//!
//! # Features
//!
//! None is on by default. `sim` brings the loopback venues, `cli` the command-line tool, `native-roots` the operating
//! system's certificate authorities. A venue that is never named is dropped by the linker.

pub mod book;
pub mod credentials;
pub mod decimal;
pub mod engine;
pub mod error;
pub mod json;
pub mod market;
pub mod metrics;
pub mod model;
pub mod net;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sys;
pub mod venue;

pub use engine::{Engine, EngineConfig, Handler, Outbox, VenueConfig};
pub use error::{Error, ErrorKind, Retry};
