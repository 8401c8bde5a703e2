//! wirebook: crypto-exchange traffic from the wire to a correct order book, without an async executor.

pub mod book;
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
