//! wirebook: crypto-exchange traffic from the wire to a correct order book, without an async executor.

pub mod book;
pub mod decimal;
pub mod json;
pub mod metrics;
pub mod net;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sys;
