//! Who takes part.

#[cfg(feature = "rivals")]
mod barter;
#[cfg(feature = "rivals")]
mod books;
#[cfg(feature = "rivals")]
mod boomnet;
#[cfg(feature = "ccxt-pro")]
mod ccxt_pro;
#[cfg(feature = "rivals")]
mod common;
#[cfg(feature = "rivals")]
mod fastwebsockets;
mod floor;
#[cfg(feature = "rivals")]
mod mio_tungstenite;
mod order;
#[cfg(all(test, feature = "rivals"))]
mod tests;
#[cfg(feature = "rivals")]
mod tokio_tungstenite;
mod wirebook;

use ::wirebook::net::stream::ReadMode;

use self::floor::{Floor, Method};
use self::wirebook::{Extra, Wirebook};
use crate::contender::{Contender, Waiting};

/// What a contender is compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The least that can be done: no parsing, no book.
    Floor,
    /// wirebook.
    Ours,
    /// What others use.
    Rival,
}

/// One line of the list.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name, in tables and on the command line.
    pub(crate) name: &'static str,
    /// What it is, in one line.
    pub(crate) about: &'static str,
    /// What it is compared as.
    pub(crate) kind: Kind,
    /// How it waits.
    pub(crate) waiting: Waiting,
    /// It can wait asleep too, whatever `waiting` says; then instructions and system calls are counted that way.
    pub(crate) can_sleep: bool,
    /// It can spread its streams over several sockets.
    pub(crate) many_sockets: bool,
    /// Only for series and questions of its own; not part of a run unless it is named.
    pub(crate) only_by_name: bool,
    /// Makes it.
    pub(crate) make: fn() -> Box<dyn Contender>,
}

/// The contender that ratios are taken to: nothing that is read from a socket can come sooner.
pub(crate) const REFERENCE: &str = "floor-late";

/// Those of a quick run, as far as this build has them.
pub(crate) const QUICK: &[&str] = &[
    "floor-recv",
    REFERENCE,
    "wirebook",
    "wirebook-late",
    "wirebook-sleep",
    "boomnet",
    "mio-tungstenite-tuned",
    "fastwebsockets-busy",
    "tokio-tungstenite-busy",
    "tokio-tungstenite-sleep",
];

/// The entry of that name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// What most entries have in common.
pub(crate) const PLAIN: Entry = Entry {
    name: "",
    about: "",
    kind: Kind::Floor,
    waiting: Waiting::Spin,
    can_sleep: true,
    many_sockets: true,
    only_by_name: false,
    make: || Floor::boxed(Method::Recv),
};

const OURS: Entry = Entry { kind: Kind::Ours, ..PLAIN };

#[cfg(feature = "rivals")]
const RIVAL: Entry = Entry { kind: Kind::Rival, ..PLAIN };

/// All contenders, in the order in which they take turns.
pub(crate) const ALL: &[Entry] = &[
    Entry { name: "floor-recv", about: "recv, nothing parsed, spinning", ..PLAIN },
    Entry {
        name: "floor-stamped",
        about: "recvmsg with kernel stamps, nothing parsed, spinning",
        make: || Floor::boxed(Method::Stamped),
        ..PLAIN
    },
    Entry {
        name: "floor-late",
        about: "recv with MSG_PEEK, taken after the work; nothing parsed, spinning",
        make: || Floor::boxed(Method::Late),
        ..PLAIN
    },
    Entry {
        name: "floor-sleep",
        about: "blocking recv, nothing parsed",
        waiting: Waiting::Sleep,
        make: || Floor::boxed(Method::Recv),
        ..PLAIN
    },
    Entry {
        name: "wirebook",
        about: "Engine::poll in a loop, recv",
        make: || Wirebook::boxed(ReadMode::Recv, Extra::Nothing),
        ..OURS
    },
    Entry {
        name: "wirebook-stamped",
        about: "Engine::poll in a loop, recvmsg with kernel stamps",
        make: || Wirebook::boxed(ReadMode::Stamped, Extra::Nothing),
        ..OURS
    },
    Entry {
        name: "wirebook-late",
        about: "Engine::poll in a loop, late acknowledge",
        make: || Wirebook::boxed(ReadMode::LateAck, Extra::Nothing),
        ..OURS
    },
    Entry {
        name: "wirebook-sleep",
        about: "Engine::wait, recv",
        waiting: Waiting::Sleep,
        make: || Wirebook::boxed(ReadMode::Recv, Extra::Nothing),
        ..OURS
    },
    Entry {
        name: "wirebook-metrics",
        about: "Engine::poll in a loop, recv, with the engine's own histograms on",
        make: || Wirebook::boxed(ReadMode::Recv, Extra::Metrics),
        ..OURS
    },
    Entry {
        name: "wirebook-poll-time",
        about: "Engine::poll in a loop, each poll timed",
        only_by_name: true,
        make: || Wirebook::boxed(ReadMode::Recv, Extra::PollTime),
        ..OURS
    },
    Entry {
        name: "wirebook-order",
        about: "Engine::poll in a loop, late acknowledge, an order written from the callback of every tenth message",
        only_by_name: true,
        make: || Wirebook::boxed(ReadMode::LateAck, Extra::Orders),
        ..OURS
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "mio-tungstenite-tuned",
        about: "mio, tungstenite with a read buffer of 8 KiB, rustls; wirebook's JSON reader and book",
        make: || Box::new(mio_tungstenite::MioTungstenite::tuned()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "mio-tungstenite",
        about: "mio, tungstenite, rustls; simd-json into a type, sorted vectors",
        make: || Box::new(mio_tungstenite::MioTungstenite::new()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "boomnet",
        about: "boomnet with rustls; wirebook's JSON reader and book",
        make: || Box::new(boomnet::Boomnet::new()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "boomnet-simd",
        about: "boomnet with rustls; simd-json into a type, sorted vectors",
        make: || Box::new(boomnet::Boomnet::simd()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "fastwebsockets-busy",
        about: "tokio kept awake, fastwebsockets, rustls; simd-json into a type, sorted vectors",
        make: || Box::new(fastwebsockets::FastWebsockets::default()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "tokio-tungstenite-busy",
        about: "tokio kept awake, tokio-tungstenite, rustls; serde_json into a type, BTreeMaps of Decimal",
        make: || Box::new(tokio_tungstenite::TokioTungstenite::default()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "barter-data-busy",
        about: "tokio kept awake; barter-data's stream, transformer and book",
        make: || Box::new(barter::Barter::default()),
        ..RIVAL
    },
    #[cfg(feature = "ccxt-pro")]
    Entry {
        name: "ccxt-pro-busy",
        about: "tokio kept awake; CCXT Pro in Rust, which cannot be given a certificate: without TLS only",
        many_sockets: false,
        make: || Box::new(ccxt_pro::CcxtPro::default()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "mio-tungstenite-sleep",
        about: "mio, tungstenite, rustls; simd-json into a type, sorted vectors; asleep",
        waiting: Waiting::Sleep,
        make: || Box::new(mio_tungstenite::MioTungstenite::new()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "boomnet-sleep",
        about: "boomnet with rustls, its sockets in a mio::Poll; wirebook's JSON reader and book; asleep",
        waiting: Waiting::Sleep,
        make: || Box::new(boomnet::Boomnet::new()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "fastwebsockets-sleep",
        about: "tokio, fastwebsockets, rustls; simd-json into a type, sorted vectors",
        waiting: Waiting::Sleep,
        make: || Box::new(fastwebsockets::FastWebsockets::default()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "tokio-tungstenite-sleep",
        about: "tokio, tokio-tungstenite, rustls; serde_json into a type, BTreeMaps of Decimal",
        waiting: Waiting::Sleep,
        make: || Box::new(tokio_tungstenite::TokioTungstenite::default()),
        ..RIVAL
    },
    #[cfg(feature = "rivals")]
    Entry {
        name: "barter-data-sleep",
        about: "tokio; barter-data's stream, transformer and book",
        waiting: Waiting::Sleep,
        make: || Box::new(barter::Barter::default()),
        ..RIVAL
    },
    #[cfg(feature = "ccxt-pro")]
    Entry {
        name: "ccxt-pro-sleep",
        about: "tokio; CCXT Pro in Rust, which cannot be given a certificate: without TLS only",
        waiting: Waiting::Sleep,
        many_sockets: false,
        make: || Box::new(ccxt_pro::CcxtPro::default()),
        ..RIVAL
    },
];
