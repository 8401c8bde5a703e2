//! Who takes part.

mod floor;
mod order;
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
];
