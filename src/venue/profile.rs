//! What a table can say about a venue.

use super::{Channel, TradingProfile, Venue};
use crate::book::Rule;
use crate::model::Timeframe;

/// The table of a venue.
#[derive(Debug)]
pub struct Profile {
    /// Its ccxt id.
    pub id: &'static str,
    /// Its name in prose.
    pub name: &'static str,
    /// Base URL of the public streams, without a path.
    pub ws_url: &'static str,
    /// Path of the stream socket.
    pub ws_path: &'static str,
    /// Base URL of REST.
    pub rest_url: &'static str,
    /// The day the venue closed for good, if it did. Live connections are refused then.
    pub closed: Option<&'static str>,
    /// Keep-alive.
    pub ping: PingRule,
    /// The venue cuts a connection after this many seconds.
    pub lifetime_s: u32,
    /// Messages a client may send on one socket.
    pub messages: MessageLimit,
    /// Connection attempts from one address.
    pub connects: MessageLimit,
    /// Streams on one socket that we use. At most what the venue allows.
    pub streams_per_link_max: u16,
    /// Topics in one subscribe message.
    pub topics_per_message_max: u16,
    /// Limit of REST.
    pub rest: RestLimit,
    /// The header of REST answers that says how much weight was used, in lower case; empty if there is none.
    pub weight_header: &'static str,
    /// Depths of the partial-depth streams, smallest first.
    pub top_depths: &'static [u16],
    /// Depths of the REST snapshot with their weight, smallest first.
    pub snapshot_depths: &'static [(u16, u32)],
    /// Candle intervals.
    pub timeframes: &'static [Timeframe],
    /// How deltas are numbered.
    pub rule: Rule,
    /// The same for [`Channel::TopBook`].
    pub top_rule: Rule,
    /// Levels of a side in [`Channel::Book`] where the venue keeps only so many and does not delete what falls out;
    /// [`Channel::TopBook`] has its own number. 0 if all are kept, or what falls out of either is deleted.
    pub book_window: u16,
    /// Lists that make up the markets: as many [`Ask::Markets`](super::Ask::Markets) and
    /// [`Ask::MoreMarkets`](super::Ask::MoreMarkets) there are.
    pub market_lists: u8,
    /// The message that asks for a sign of life, where the venue wants one instead of a WebSocket ping.
    pub ping_text: Option<&'static str>,
    /// The private half and REST, where they are built.
    pub trading: Option<&'static TradingProfile>,
    /// Makes an adapter.
    pub open: fn() -> Box<dyn Venue>,
}

/// Who pings whom.
#[derive(Clone, Copy, Debug)]
pub struct PingRule {
    /// The venue sends a WebSocket ping this often, in seconds.
    pub venue_every_s: u32,
    /// It cuts the connection if no pong comes for so long, in seconds.
    pub venue_timeout_s: u32,
    /// We ping when nothing came for so long, in seconds.
    pub ask_after_s: u32,
    /// The link is dead when nothing came for so long after our ping, in seconds.
    pub dead_after_s: u32,
}

/// At most `count` in any window of `window_ms` milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct MessageLimit {
    /// How many.
    pub count: u32,
    /// In which time.
    pub window_ms: u32,
}

/// Weights of REST.
#[derive(Clone, Copy, Debug)]
pub struct RestLimit {
    /// Weight allowed in a window.
    pub weight: u32,
    /// Length of the window in milliseconds.
    pub window_ms: u32,
}

impl Profile {
    /// The channel that serves an order book of at least `limit` levels (`None`: as deep as the default snapshot).
    pub fn book_channel(&self, limit: Option<u16>) -> Channel {
        match limit.and_then(|limit| self.top_depths.iter().find(|depth| **depth >= limit)) {
            Some(depth) => Channel::TopBook(*depth),
            None => Channel::Book,
        }
    }

    /// The smallest snapshot of at least `depth` levels, or the largest there is, with its weight.
    pub fn snapshot_depth(&self, depth: u16) -> (u16, u32) {
        let fits = self.snapshot_depths.iter().find(|row| row.0 >= depth);
        fits.or(self.snapshot_depths.last()).copied().unwrap_or((depth, 1))
    }
}
