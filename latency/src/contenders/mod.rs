//! Who takes part.

#[cfg(feature = "rivals")]
pub(crate) mod barter;
#[cfg(feature = "rivals")]
pub(crate) mod books;
#[cfg(feature = "rivals")]
pub(crate) mod boomnet;
#[cfg(feature = "ccxt-pro")]
pub(crate) mod ccxt_pro;
#[cfg(feature = "rivals")]
pub(crate) mod common;
#[cfg(feature = "rivals")]
pub(crate) mod fastwebsockets;
#[cfg(feature = "rivals")]
pub(crate) mod mio_tungstenite;
#[cfg(feature = "rivals")]
pub(crate) mod tokio_tungstenite;

#[cfg(all(test, feature = "rivals"))]
mod tests;

use crate::contender::{Contender, Waiting};

/// What a contender is compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The least that can be done: no parsing, no book.
    Floor,
    /// wirebook.
    Ours,
    /// What others use.
    Rival,
}

/// One line of the list.
pub struct Entry {
    /// Its name, in tables and on the command line.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// What it is compared as.
    pub kind: Kind,
    /// How it waits.
    pub waiting: Waiting,
    /// It can wait asleep too, whatever `waiting` says; then instructions and system calls are counted that way.
    pub can_sleep: bool,
    /// It can spread its streams over several sockets.
    pub many_sockets: bool,
    /// Makes it.
    pub make: fn() -> Box<dyn Contender>,
}

/// All contenders, in the order in which they take turns.
pub const ALL: &[Entry] = &[
    #[cfg(feature = "rivals")]
    Entry {
        name: "mio-tungstenite-tuned",
        about: "mio, tungstenite with a read buffer of 8 KiB, rustls; wirebook's JSON reader and book",
        kind: Kind::Rival,
        waiting: Waiting::Spin,
        can_sleep: true,
        many_sockets: true,
        make: || Box::new(mio_tungstenite::MioTungstenite::tuned()),
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "mio-tungstenite",
        about: "mio, tungstenite, rustls; simd-json into a type, sorted vectors",
        kind: Kind::Rival,
        waiting: Waiting::Spin,
        can_sleep: true,
        many_sockets: true,
        make: || Box::new(mio_tungstenite::MioTungstenite::new()),
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "boomnet",
        about: "boomnet with rustls; wirebook's JSON reader and book",
        kind: Kind::Rival,
        waiting: Waiting::Spin,
        can_sleep: true,
        many_sockets: true,
        make: || Box::new(boomnet::Boomnet::new()),
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "boomnet-simd",
        about: "boomnet with rustls; simd-json into a type, sorted vectors",
        kind: Kind::Rival,
        waiting: Waiting::Spin,
        can_sleep: true,
        many_sockets: true,
        make: || Box::new(boomnet::Boomnet::simd()),
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "fastwebsockets-busy",
        about: "tokio kept busy, fastwebsockets, rustls; simd-json into a type, sorted vectors",
        kind: Kind::Rival,
        waiting: Waiting::Spin,
        can_sleep: true,
        many_sockets: true,
        make: || Box::new(fastwebsockets::FastWebsockets::default()),
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "tokio-tungstenite-busy",
        about: "tokio kept busy, tokio-tungstenite, rustls; serde_json into a type, BTreeMaps of Decimal",
        kind: Kind::Rival,
        waiting: Waiting::Spin,
        can_sleep: true,
        many_sockets: true,
        make: || Box::new(tokio_tungstenite::TokioTungstenite::default()),
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "barter-data-busy",
        about: "tokio kept busy, barter-data's stream, transformer and book",
        kind: Kind::Rival,
        waiting: Waiting::Spin,
        can_sleep: true,
        many_sockets: true,
        make: || Box::new(barter::Barter::default()),
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "fastwebsockets",
        about: "tokio, fastwebsockets, rustls; simd-json into a type, sorted vectors",
        kind: Kind::Rival,
        waiting: Waiting::Sleep,
        can_sleep: true,
        many_sockets: true,
        make: || Box::new(fastwebsockets::FastWebsockets::default()),
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "tokio-tungstenite",
        about: "tokio, tokio-tungstenite, rustls; serde_json into a type, BTreeMaps of Decimal",
        kind: Kind::Rival,
        waiting: Waiting::Sleep,
        can_sleep: true,
        many_sockets: true,
        make: || Box::new(tokio_tungstenite::TokioTungstenite::default()),
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "barter-data",
        about: "tokio, barter-data's stream, transformer and book",
        kind: Kind::Rival,
        waiting: Waiting::Sleep,
        can_sleep: true,
        many_sockets: true,
        make: || Box::new(barter::Barter::default()),
    },
    #[cfg(feature = "ccxt-pro")]
    Entry {
        name: "ccxt-pro-busy",
        about: "tokio kept busy, CCXT Pro in Rust; without TLS only",
        kind: Kind::Rival,
        waiting: Waiting::Spin,
        can_sleep: true,
        many_sockets: false,
        make: || Box::new(ccxt_pro::CcxtPro::default()),
    },
    #[cfg(feature = "ccxt-pro")]
    Entry {
        name: "ccxt-pro",
        about: "tokio, CCXT Pro in Rust; without TLS only",
        kind: Kind::Rival,
        waiting: Waiting::Sleep,
        can_sleep: true,
        many_sockets: false,
        make: || Box::new(ccxt_pro::CcxtPro::default()),
    },
];
