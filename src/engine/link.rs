//! The logical side of one WebSocket connection: which topics it carries, what was asked for and not yet confirmed,
//! and how alive it is. The socket itself belongs to whoever drives the core.

use std::collections::VecDeque;

use super::policy::RollingWindow;
use crate::model::{FeedId, Mono, VenueId};
use crate::venue::{Act, Routes, Venue};

/// A logical connection.
pub(crate) struct Link {
    pub(crate) venue: VenueId,
    pub(crate) adapter: Box<dyn Venue>,
    /// Path of its socket.
    pub(crate) path: &'static str,
    /// It is the account's: its messages are for the session.
    pub(crate) is_private: bool,
    pub(crate) routes: Routes,
    /// Feeds that live here, in the order in which they came.
    pub(crate) feeds: Vec<FeedId>,
    pub(crate) phase: LinkPhase,
    /// What is to be sent, in order.
    pub(crate) ops: VecDeque<Op>,
    /// Subscribe and unsubscribe requests without an answer.
    pub(crate) sent: Vec<SentOp>,
    /// Client messages on this socket, pongs included.
    pub(crate) window: RollingWindow,
    /// When the next message may be sent, if the window was full.
    pub(crate) pump_at: Mono,
    pub(crate) next_id: u64,
    /// When something was last heard.
    pub(crate) heard: Mono,
    /// When we pinged because it had been silent.
    pub(crate) pinged: Option<Mono>,
    /// Failures since it was well for long.
    pub(crate) failures: u32,
    /// When it is replaced, ahead of the venue's cut-off.
    pub(crate) replace_at: Mono,
    pub(crate) messages: u64,
    pub(crate) malformed: u64,
    pub(crate) unrouted: u64,
    pub(crate) reconnects: u64,
}

/// Where a link stands, by what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkPhase {
    /// The next attempt is due at this time.
    Backoff(Mono),
    /// The driver connects; it has until this time.
    Connecting(Mono),
    /// Up since this time.
    Up(Mono),
}

/// A topic to subscribe to, or to leave.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) act: Act,
    pub(crate) feed: FeedId,
    pub(crate) topic: Box<str>,
}

/// Feeds with their topics.
pub(crate) type Topics = Vec<(FeedId, Box<str>)>;

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct SentOp {
    pub(crate) id: u64,
    pub(crate) act: Act,
    pub(crate) feeds: Topics,
    pub(crate) deadline: Mono,
}

impl Link {
    /// Everything that is asked for goes on the list again: after a connection came up.
    pub(crate) fn forget_requests(&mut self) {
        self.ops.clear();
        self.sent.clear();
        self.pinged = None;
        self.pump_at = Mono(0);
    }

    /// When this link needs attention next, and for what.
    pub(crate) fn deadline(&self, silence_ns: u64, dead_ns: u64) -> Mono {
        match self.phase {
            LinkPhase::Backoff(at) | LinkPhase::Connecting(at) => at,
            LinkPhase::Up(_) => {
                let silence = match self.pinged {
                    Some(at) => at.after_ns(dead_ns),
                    None => self.heard.after_ns(silence_ns),
                };
                let pump = if self.ops.is_empty() { Mono::NEVER } else { self.pump_at };
                let ack = self.sent.iter().map(|sent| sent.deadline).min().unwrap_or(Mono::NEVER);
                silence.min(pump).min(ack).min(self.replace_at)
            }
        }
    }

    /// The next messages to send: operations of one kind, at most `topics_max`, that are still wanted.
    pub(crate) fn next_batch(&mut self, topics_max: usize) -> Option<(Act, Topics)> {
        let act = self.ops.front()?.act;
        let mut batch = Vec::new();
        while batch.len() < topics_max && self.ops.front().is_some_and(|op| op.act == act) {
            let Some(op) = self.ops.pop_front() else { break };
            batch.push((op.feed, op.topic));
        }
        Some((act, batch))
    }
}
