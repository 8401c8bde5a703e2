//! Venues: what each one speaks, without a socket or a clock.
//!
//! A venue is a constant [`Profile`] that says all a table can say, and an adapter ([`Venue`]) for the rest: bytes in,
//! [`Decoded`] out; commands in, bytes out. It never names a socket, a time, a retry or another venue.

mod binance;
mod bitfinex;
mod coinbasepro;
mod decoded;
mod has;
mod kraken;
mod okex;
mod profile;
mod routes;
mod shared;
#[allow(dead_code)] // Used as the adapters come.
mod sign;
#[allow(dead_code)]
mod trading;
mod written;

pub use binance::{BINANCE, BINANCEJE, BINANCEUS};
pub use bitfinex::BITFINEX;
pub use coinbasepro::COINBASEPRO;
pub use decoded::{BookKind, DecodeError, Decoded, Item, Items, Span};
pub use has::{Support, capabilities};
pub use kraken::KRAKEN;
pub use okex::{OKCOIN, OKEX};
pub use profile::{MessageLimit, PingRule, Profile, RestLimit};
pub(crate) use routes::Footprint;
pub use routes::{Route, RouteId, Routes};
pub use trading::{
    Ability, Context, Fetch, Fetched, FetchedBook, OpenTrading, OrderAct, OrderRow, PrivateRow, PrivateRows,
    SignedRequest, Trading, TradingProfile, Way,
};

use crate::error::{Error, ErrorKind};
use crate::market::Market;
use crate::model::{Status, Timeframe, Wall};

/// A kind of data, as a feed asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Channel {
    /// The order book, from a snapshot and deltas.
    Book,
    /// The best levels of the order book, whole in each message: 5, 10 or 20 of them, say.
    TopBook(u16),
    /// Single trades.
    Trades,
    /// Trades of one taker order at one price added up.
    AggTrades,
    /// Rolling statistics of one market.
    Ticker,
    /// Rolling statistics of all markets of the venue.
    AllTickers,
    /// Best bid and ask of one market.
    BidAsk,
    /// Best bid and ask of all markets of the venue.
    AllBidsAsks,
    /// Candles.
    Candles(Timeframe),
    /// Status of the venue.
    Status,
    /// Something of the account's.
    Private(PrivateChannel),
}

impl Channel {
    /// True if it is one market's, false if it is the whole venue's.
    pub fn has_market(self) -> bool {
        !matches!(self, Channel::AllTickers | Channel::AllBidsAsks | Channel::Status | Channel::Private(_))
    }

    /// The short name in tables, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Book | Channel::TopBook(_) => "book",
            Channel::Trades | Channel::AggTrades => "trades",
            Channel::Ticker | Channel::AllTickers => "ticker",
            Channel::BidAsk | Channel::AllBidsAsks => "bidask",
            Channel::Candles(_) => "candles",
            Channel::Status => "status",
            Channel::Private(channel) => channel.as_str(),
        }
    }
}

/// A kind of an account's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrivateChannel {
    /// Balances.
    Balance,
    /// Orders, every transition of each.
    Orders,
    /// Own trades.
    MyTrades,
    /// Positions.
    Positions,
    /// Deposits and withdrawals.
    Transactions,
    /// All that changes a balance.
    Ledger,
}

impl PrivateChannel {
    /// All of them.
    pub const ALL: [PrivateChannel; 6] = [
        PrivateChannel::Balance,
        PrivateChannel::Orders,
        PrivateChannel::MyTrades,
        PrivateChannel::Positions,
        PrivateChannel::Transactions,
        PrivateChannel::Ledger,
    ];

    /// The short name in tables, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            PrivateChannel::Balance => "balance",
            PrivateChannel::Orders => "orders",
            PrivateChannel::MyTrades => "mytrades",
            PrivateChannel::Positions => "positions",
            PrivateChannel::Transactions => "transactions",
            PrivateChannel::Ledger => "ledger",
        }
    }
}

/// What a REST request is for; its answer is read accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ask {
    /// The list of markets, or the first of several.
    Markets,
    /// One of the further lists of markets, counted from 1.
    MoreMarkets(u8),
    /// A book with at least this many levels a side.
    Snapshot {
        /// Levels a side.
        depth: u16,
    },
    /// How the venue is.
    Status,
}

/// HTTP methods that venues use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// As it stands in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// A REST request, ready to be sent to the venue's REST host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub target: String,
    /// What it costs of the venue's request weight.
    pub weight: u32,
}

/// The answer to a REST request.
#[derive(Debug)]
pub struct Reply<'a> {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
    /// The REST weight used so far in the present window, where the venue's headers say so.
    pub weight_used: Option<u32>,
    /// Seconds to wait, from `Retry-After`.
    pub retry_after_s: Option<u32>,
}

/// What a REST answer held.
#[derive(Debug)]
pub enum Answer {
    /// Markets; their handles are not set yet.
    Markets(Vec<Market>),
    /// A book: item 0 of the [`Decoded`] that was handed in.
    Snapshot,
    /// Status.
    Status(Status),
}

/// Why a REST answer could not be used.
#[derive(Clone, Debug)]
pub enum AnswerError {
    /// The venue's refusal, or an answer that makes no sense.
    Refused(Error),
    /// A number is finer than the scales that were handed in: decode again with finer ones.
    Decode(DecodeError),
}

impl From<AnswerError> for Error {
    fn from(error: AnswerError) -> Error {
        match error {
            AnswerError::Refused(error) => error,
            AnswerError::Decode(error) => Error::new(ErrorKind::BadResponse, error.to_string()),
        }
    }
}

/// Subscribe or unsubscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Act {
    Subscribe,
    Unsubscribe,
}

/// One venue's protocol. Implementations keep no connection state that outlives [`Venue::reset`].
pub trait Venue: Send {
    /// The table of the venue.
    fn profile(&self) -> &'static Profile;

    /// Forgets what belonged to the last connection. Called before each connect.
    fn reset(&mut self) {}

    /// The message that is sent first on every connection, where the venue has to be asked for how it should speak.
    fn greeting(&self) -> Option<&'static str> {
        None
    }

    /// Writes the venue's topic for a channel of a market to `out`.
    ///
    /// # Errors
    /// [`ErrorKind::NotSupported`] if the venue has no such channel, saying what it has instead.
    fn topic(&self, market: Option<&Market>, channel: Channel, out: &mut String) -> Result<(), Error>;

    /// The channel and the venue's symbol that a topic stands for: what [`Venue::topic`] made, and the venue's other
    /// spellings of it. For replaying recordings.
    fn parse_topic(&self, topic: &str) -> Option<(Channel, Option<String>)>;

    /// The topic of a single message, found without knowing what was subscribed. For reading single messages.
    fn topic_of(&self, frame: &[u8]) -> Option<String>;

    /// What of a topic the messages name, and so where they are looked up. Two topics with one key cannot be told apart
    /// on one connection, and go to two.
    fn route_key<'t>(&self, topic: &'t str) -> &'t str {
        topic
    }

    /// The path of the socket that serves a channel.
    fn ws_path(&self, channel: Channel) -> &'static str {
        let _ = channel;
        self.profile().ws_path
    }

    /// The topics that a message of a client subscribes to. For replaying recordings.
    fn topics_of_subscription(&self, message: &[u8]) -> Vec<String>;

    /// Writes the message that subscribes to, or unsubscribes from, `topics` under the request number `id`. Nothing where
    /// the venue has not said yet what to call a topic that is to be left.
    fn subscription(&self, act: Act, topics: &[&str], id: u64, out: &mut Vec<u8>);

    /// Reads one message of the stream. `out` is empty when it is called.
    ///
    /// # Errors
    /// [`DecodeError`]; what `out` holds then is not to be used.
    fn on_frame(&mut self, frame: &[u8], routes: &Routes, out: &mut Decoded) -> Result<(), DecodeError>;

    /// The REST request for `ask`.
    ///
    /// # Errors
    /// [`ErrorKind::NotSupported`] if the venue has none.
    fn request(&self, ask: Ask, market: Option<&Market>) -> Result<Request, Error>;

    /// Reads the answer to `ask`. Levels of a snapshot are read with the scales of `route`.
    ///
    /// # Errors
    /// [`AnswerError`]: the venue's refusal in unified terms, or numbers that do not fit.
    fn on_reply(
        &mut self,
        ask: Ask,
        reply: &Reply<'_>,
        route: &Route,
        now: Wall,
        out: &mut Decoded,
    ) -> Result<Answer, AnswerError>;
}

/// All venues, by ccxt id.
pub const PROFILES: [&Profile; 8] =
    [&BINANCE, &BINANCEUS, &BINANCEJE, &OKEX, &OKCOIN, &KRAKEN, &COINBASEPRO, &BITFINEX];

/// The profile of a venue.
///
/// # Errors
/// [`ErrorKind::NotSupported`], naming the venues there are.
pub fn profile(id: &str) -> Result<&'static Profile, Error> {
    PROFILES.iter().find(|profile| profile.id == id).copied().ok_or_else(|| {
        let known: Vec<&str> = PROFILES.iter().map(|profile| profile.id).collect();
        Error::new(ErrorKind::NotSupported, format!("no venue {id:?}; there are {}", known.join(", ")))
    })
}
