//! Who takes part.

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
pub const ALL: &[Entry] = &[];
