//! The contenders.

#[cfg(feature = "rivals")]
pub(crate) mod barter;
#[cfg(feature = "rivals")]
pub(crate) mod books;
#[cfg(feature = "rivals")]
pub(crate) mod boomnet;
#[cfg(feature = "rivals")]
pub(crate) mod common;
#[cfg(feature = "rivals")]
pub(crate) mod fastwebsockets;
#[cfg(feature = "rivals")]
pub(crate) mod mio_tungstenite;
#[cfg(all(test, feature = "rivals"))]
mod tests;
#[cfg(feature = "rivals")]
pub(crate) mod tokio_tungstenite;
