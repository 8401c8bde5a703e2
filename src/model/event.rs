//! What the engine tells: events lent to callbacks, the states of feeds, and the causes of both.

use std::fmt;

use crate::book::{Book, Level};
use crate::error::Error;
use crate::model::{
    Balance, BidAsk, Candle, FeedId, Fetched, LedgerEntry, MarketId, MyTrade, NewOrder, Order, OrderAct, Outcome,
    Position, RequestId, Stamp, Status, Ticker, Trade, Transaction, Wall,
};

/// One thing that happened, lent to the user for the length of a callback.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The feed it belongs to.
    pub feed: FeedId,
    /// The market it is about; `None` for what concerns a whole venue.
    pub market: Option<MarketId>,
    /// When its bytes were read from the socket.
    pub received: Stamp,
    /// When the kernel received them, where receive stamps are on.
    pub kernel: Option<Wall>,
    /// What happened.
    pub event: Event<'a>,
}

/// What happened. Nothing here is queued or cloned: keep what you need before you return.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A book changed, in content or in state: look at [`Book::state`] first, or use accessors that answer only for a
    /// live book.
    Book {
        /// The book after the change.
        book: &'a Book,
        /// The bids of the change as they were sent, amount 0 for a level that is gone; empty where only the state
        /// changed or the whole book was replaced.
        bids: &'a [Level],
        /// The asks of the change, likewise.
        asks: &'a [Level],
    },
    /// Trades, the oldest first.
    Trades(&'a [Trade]),
    /// A ticker.
    Ticker(&'a Ticker),
    /// Best bid and ask.
    BidAsk(&'a BidAsk),
    /// A candle: a new one, or the present one as it grew.
    Candle(&'a Candle),
    /// Status of the venue.
    Status(&'a Status),
    /// An order is new or has changed: every transition, none left out.
    Order(&'a Order),
    /// What became of a request about an order of ours. What the answer changed in the order follows as
    /// [`Event::Order`].
    OrderAnswer {
        /// The order as it is now.
        order: &'a Order,
        /// What was asked for.
        act: OrderAct,
        /// What became of it.
        outcome: &'a Outcome,
    },
    /// An order that was asked for in a callback was refused before it was sent.
    OrderRefused {
        /// The order.
        order: &'a NewOrder,
        /// Why.
        error: &'a Error,
    },
    /// A trade of one's own.
    MyTrade(&'a MyTrade),
    /// What is held of one currency changed.
    Balance {
        /// That currency.
        balance: &'a Balance,
        /// All currencies.
        all: &'a [Balance],
    },
    /// A position changed.
    Position(&'a Position),
    /// A deposit or withdrawal is new or has changed.
    Transaction(&'a Transaction),
    /// A ledger entry.
    Ledger(&'a LedgerEntry),
    /// The answer to a question by REST.
    Fetched {
        /// Which question.
        request: RequestId,
        /// The answer.
        answer: Result<&'a Fetched, &'a Error>,
    },
    /// The feed went into another state.
    State {
        /// The state.
        state: FeedState,
        /// Why.
        cause: Cause,
        /// The error behind it, for [`FeedState::Failed`] and refusals that are tried again.
        error: Option<&'a Error>,
    },
    /// Something worth knowing that changes no state.
    Notice(Notice),
}

/// Where a feed stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FeedState {
    /// Waits for the venue's list of markets.
    AwaitingMarkets,
    /// Waits for a connection.
    Connecting,
    /// Connected; waits for the venue to confirm the subscription.
    Subscribing,
    /// Confirmed. A book may still be syncing: see its own state.
    Live,
    /// The venue or the market does not allow it; see the error of the event. It is not tried again.
    Failed,
    /// Unwatched; the handle is stale.
    Ended,
}

/// Why a state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The user asked for it.
    Asked,
    /// The venue confirmed the subscription, or data came.
    Confirmed,
    /// Snapshot and deltas are joined.
    Synced,
    /// A snapshot came, and nothing on the stream yet that joins it.
    AwaitingDelta,
    /// The connection was lost.
    Disconnected,
    /// The connection was replaced before the venue would have cut it.
    PlannedReconnect,
    /// No bytes for too long, and no answer to a ping.
    DeadLink,
    /// The venue said that it shuts this connection down.
    VenueShutdown,
    /// A sequence number is missing.
    Gap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// The book does not have the checksum that the venue sent with a message.
    Checksum {
        /// The venue's.
        expected: u32,
        /// The book's.
        got: u32,
    },
    /// The snapshot is older than the first delta that is held.
    SnapshotTooOld,
    /// A message of this feed could not be read.
    Malformed,
    /// A number does not fit the fixed-point range.
    Unrepresentable,
    /// Best bid at or above best ask.
    Crossed,
    /// One side ran low of known levels.
    SideLow,
    /// Nothing came for longer than the feed's limit.
    Silence,
    /// The market does not trade.
    MarketInactive,
    /// A REST request that was needed failed.
    RequestFailed,
    /// The venue refused.
    Refused,
}

/// Something worth knowing that changes no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Levels whose numbers cannot be held were left out of the book.
    LevelsRejected(u32),
    /// Own trades of a time in which the connection was lost cannot be had: there were more than the venue tells. From the
    /// first time to the second.
    TradesMissing {
        /// The last trade that is known before the hole.
        since: Wall,
        /// The first one after it.
        until: Wall,
    },
    /// A finer number came; the feed counts with more decimals from now on.
    Rescaled {
        /// Decimals of prices now.
        price_scale: u8,
        /// Decimals of amounts now.
        amount_scale: u8,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Asked => f.write_str("asked for"),
            Cause::Confirmed => f.write_str("confirmed"),
            Cause::Synced => f.write_str("snapshot and deltas joined"),
            Cause::AwaitingDelta => f.write_str("snapshot not confirmed by the stream yet"),
            Cause::Disconnected => f.write_str("connection lost"),
            Cause::PlannedReconnect => f.write_str("planned reconnect"),
            Cause::DeadLink => f.write_str("dead link"),
            Cause::VenueShutdown => f.write_str("venue shuts down"),
            Cause::Gap { expected, got } => write!(f, "gap: {expected} was due, {got} came"),
            Cause::Checksum { expected, got } => write!(f, "checksum {got:08x} instead of {expected:08x}"),
            Cause::SnapshotTooOld => f.write_str("snapshot older than the stream"),
            Cause::Malformed => f.write_str("unreadable message"),
            Cause::Unrepresentable => f.write_str("number out of range"),
            Cause::Crossed => f.write_str("bid at or above ask"),
            Cause::SideLow => f.write_str("few known levels left"),
            Cause::Silence => f.write_str("silent for too long"),
            Cause::MarketInactive => f.write_str("market does not trade"),
            Cause::RequestFailed => f.write_str("request failed"),
            Cause::Refused => f.write_str("venue refused"),
        }
    }
}
