//! The private half of a venue, and REST: who one is, what one holds, what one orders, and what can be asked for.
//!
//! As with [`Venue`](super::Venue): a table ([`TradingProfile`]) says what a table can say, an adapter ([`Trading`]) the
//! rest, and neither knows a socket, a clock or a retry. The engine opens the private socket, logs in, subscribes,
//! reconciles by REST, and sends orders, in the words of the adapter.

use std::fmt;

use super::shared::{civil, parse_iso};
use super::sign::percent_encode;
pub use crate::model::{Fetched, FetchedBook, OrderAct, OrderRow};

use super::{MessageLimit, Method, PrivateChannel, Reply};
use crate::book::Level;
use crate::credentials::Credentials;
use crate::decimal::{self, DecimalError, Fixed};
use crate::error::{Error, ErrorKind};
use crate::json::{JsonError, Node};
use crate::market::{Market, Markets};
use crate::model::{Balance, Code, Id, LedgerEntry, MarketId, MyTrade, Order, Position, Timeframe, Transaction, Wall};
use rust_decimal::Decimal;

/// The table of a venue's private half.
#[derive(Debug)]
pub struct TradingProfile {
    /// Base URL of the private socket, without a path. Empty if there is none.
    pub ws_url: &'static str,
    /// The private socket needs a token or listen key, which [`Fetch::Token`] asks for before each connection.
    pub needs_token: bool,
    /// The token is renewed this often, in seconds, by [`Fetch::RenewToken`]; 0 for never.
    pub renew_token_s: u32,
    /// The socket needs a login of its own.
    pub needs_login: bool,
    /// Channels that the venue pushes on the private socket.
    pub native: &'static [PrivateChannel],
    /// Channels that are asked for by REST instead, with the time between two questions in milliseconds.
    pub polled: &'static [(PrivateChannel, u32)],
    /// The venue pushes what was filled with each fill, and not how much was filled in all.
    pub fills_add_up: bool,
    /// The venue tells the fee with each trade, and not with the order.
    pub fees_add_up: bool,
    /// Balances of the stream are changes, or leave out what is bound: after each fill they are asked for by REST.
    pub asks_balance: bool,
    /// Order requests that one account may send.
    pub orders: MessageLimit,
    /// Orders that one request may cancel by id; 1 where there is no such request.
    pub cancels_per_message_max: u16,
    /// Own trades can be asked for without naming a market.
    pub my_trades_of_all: bool,
    /// Open orders can be asked for without naming a market.
    pub open_orders_of_all: bool,
    /// The methods of REST and of order entry that the venue has.
    pub abilities: &'static [Ability],
    /// Makes an adapter. Without credentials it answers for what needs none.
    pub open: OpenTrading,
}

/// Makes an adapter, with credentials if there are any.
pub type OpenTrading = fn(Option<&Credentials>) -> Result<Box<dyn Trading>, Error>;

/// What a venue may be able to do, as far as that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Ability {
    CreateOrder,
    MarketOrder,
    MarketOrderWithCost,
    StopOrder,
    StopLimitOrder,
    TakeProfitOrder,
    TakeProfitLimitOrder,
    PostOnly,
    ReduceOnly,
    ImmediateOrCancel,
    FillOrKill,
    ClientOrderId,
    EditOrder,
    CancelOrder,
    CancelAllOrders,
    CancelAllOrdersOfMarket,
    /// Orders go over the private socket; by REST otherwise.
    OrdersOnSocket,
    FetchTime,
    FetchStatus,
    FetchMarkets,
    FetchCurrencies,
    FetchOrderBook,
    FetchTicker,
    FetchTickers,
    FetchTrades,
    FetchOhlcv,
    FetchBalance,
    FetchOrder,
    FetchOpenOrders,
    FetchClosedOrders,
    FetchMyTrades,
    FetchDeposits,
    FetchWithdrawals,
    FetchLedger,
    FetchPositions,
    FetchTradingFees,
}

/// What an adapter is given with each call.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time by the venue's clock, as far as that is known.
    pub now: Wall,
    /// The markets of the venue.
    pub markets: &'a Markets,
    /// The answer to [`Fetch::Token`]; empty before there is one.
    pub token: &'a str,
}

impl<'a> Context<'a> {
    /// A market of this venue.
    ///
    /// # Errors
    /// [`ErrorKind::BadSymbol`].
    pub fn market(&self, id: MarketId) -> Result<&'a Market, Error> {
        self.markets.market(id).ok_or_else(|| Error::new(ErrorKind::BadSymbol, "this market is not of this venue"))
    }

    /// The market that the venue spells like this.
    pub fn market_of(&self, venue_symbol: &str) -> Option<MarketId> {
        self.markets.by_venue_symbol(venue_symbol).map(|market| market.id)
    }
}

/// A question to a venue by REST. Times are inclusive; `limit` is a number of rows, `None` for what the venue gives.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Fetch {
    Time,
    Status,
    Currencies,
    OrderBook {
        market: MarketId,
        limit: Option<u16>,
    },
    Ticker {
        market: MarketId,
    },
    Tickers,
    Trades {
        market: MarketId,
        since: Option<Wall>,
        limit: Option<u16>,
    },
    Ohlcv {
        market: MarketId,
        timeframe: Timeframe,
        since: Option<Wall>,
        limit: Option<u16>,
    },
    Balance,
    /// One order, by the venue's id, or by our own where that is empty.
    Order {
        market: Option<MarketId>,
        id: Id,
        client_order_id: Id,
    },
    OpenOrders {
        market: Option<MarketId>,
    },
    ClosedOrders {
        market: Option<MarketId>,
        since: Option<Wall>,
        limit: Option<u16>,
    },
    MyTrades {
        market: Option<MarketId>,
        since: Option<Wall>,
        limit: Option<u16>,
    },
    Deposits {
        currency: Option<Code>,
        since: Option<Wall>,
        limit: Option<u16>,
    },
    Withdrawals {
        currency: Option<Code>,
        since: Option<Wall>,
        limit: Option<u16>,
    },
    Ledger {
        currency: Option<Code>,
        since: Option<Wall>,
        limit: Option<u16>,
    },
    Positions,
    TradingFees {
        market: Option<MarketId>,
    },
    /// What the private socket needs to be opened.
    Token,
    /// The same token goes on for a while.
    RenewToken,
    /// Any endpoint: the way out for what has no name here. `private` signs it.
    Raw {
        method: Method,
        path: Box<str>,
        query: Box<[(Box<str>, Box<str>)]>,
        body: Box<str>,
        private: bool,
    },
}

/// A REST request, signed where it has to be.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// Method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub target: String,
    /// Headers besides those that HTTP itself needs.
    pub headers: Vec<(&'static str, String)>,
    /// Body; empty for none.
    pub body: Vec<u8>,
    /// The body's type, where there is one.
    pub content_type: &'static str,
    /// What it costs of the venue's request weight.
    pub weight: u32,
}

impl SignedRequest {
    /// Without headers and body.
    pub fn new(method: Method, target: String, weight: u32) -> SignedRequest {
        SignedRequest {
            method,
            target,
            headers: Vec::new(),
            body: Vec::new(),
            content_type: "application/json",
            weight,
        }
    }
}

impl fmt::Debug for SignedRequest {
    /// Shows no header, no query and no body: they hold keys and signatures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or("");
        write!(f, "{} {path} ({} bytes)", self.method.as_str(), self.body.len())
    }
}

/// How a request about orders goes out.
#[derive(Debug)]
pub enum Way {
    /// Over the private socket: the text that was written.
    Socket,
    /// By REST.
    Rest(Box<SignedRequest>),
}

/// One piece of meaning in a private message.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // The rows lie in one vector that is used again.
pub enum PrivateRow {
    /// The login was accepted.
    LoggedIn,
    /// The login was refused.
    LoginRefused(Error),
    /// A channel is subscribed.
    Confirmed(PrivateChannel),
    /// A channel cannot be subscribed.
    ChannelRefused(PrivateChannel, Error),
    /// The answer to the request about orders with this number, with what it says of the order.
    Answer {
        /// The number of the request.
        request: u64,
        /// What it says.
        outcome: Result<OrderRow, Error>,
    },
    /// An order is new or has changed.
    Order(OrderRow),
    /// An own trade.
    MyTrade(MyTrade),
    /// What is held of a currency.
    Balance(Balance),
    /// So much more is at one's disposal of a currency, or less.
    BalanceChange {
        /// The currency.
        currency: Code,
        /// What came.
        amount: Decimal,
    },
    /// A position.
    Position(Position),
    /// A ledger entry.
    Ledger(LedgerEntry),
    /// A deposit or a withdrawal.
    Transaction(Transaction),
    /// Messages were lost on this connection: what it should have told has to be asked for.
    Gap,
    /// The token or the login ends: the connection has to be made anew.
    Expired,
    /// The venue shuts this connection down.
    Shutdown,
}

/// What an adapter makes of one private message: a scratch area that is reused.
#[derive(Debug, Default)]
pub struct PrivateRows {
    /// In the order of the message.
    pub rows: Vec<PrivateRow>,
}

impl PrivateRows {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Adds a row.
    pub fn push(&mut self, row: PrivateRow) {
        self.rows.push(row);
    }
}

/// The private half of one venue, and its REST. What belongs to a connection is forgotten in [`Trading::reset`].
pub trait Trading: Send {
    /// Forgets what belonged to the last private connection. Called before each connect.
    fn reset(&mut self) {}

    /// Path and query of the private socket.
    fn socket_path(&self, cx: &Context<'_>) -> String;

    /// An id for a new order that nobody used before, in the form that the venue wants, made of a number that is never
    /// used twice by this account.
    fn client_order_id(&self, number: u64) -> Id;

    /// Writes the message that logs in on the private socket: where [`TradingProfile::needs_login`].
    fn login(&mut self, cx: &Context<'_>, out: &mut Vec<u8>);

    /// Writes the messages that subscribe to `channels`, each into a vector of its own. What serves several channels is
    /// written once. The adapter remembers what it asked for, so that it can name the channels in
    /// [`PrivateRow::Confirmed`]; `request` numbers the first message, the next ones follow.
    fn subscribe(&mut self, channels: &[PrivateChannel], request: u64, cx: &Context<'_>, out: &mut Vec<Vec<u8>>);

    /// Reads one message of the private socket.
    ///
    /// # Errors
    /// The message cannot be read; what `out` holds then is not to be used.
    fn on_frame(&mut self, frame: &[u8], cx: &Context<'_>, out: &mut PrivateRows) -> Result<(), JsonError>;

    /// Writes a request about `order` under the number `request`: to `out` if it goes over the socket. What is asked for
    /// was checked against the market and the venue's abilities before. Nothing is allocated on the way over the socket.
    ///
    /// # Errors
    /// [`ErrorKind::NotSupported`] or [`ErrorKind::InvalidOrder`] for what the venue cannot express; `out` is not sent.
    fn order(
        &mut self,
        act: &OrderAct,
        order: &Order,
        request: u64,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Way, Error>;

    /// Writes the request that cancels all orders, of one market or of all, under the number `request`.
    ///
    /// # Errors
    /// [`ErrorKind::NotSupported`] where the venue has none: the engine cancels one by one then.
    fn cancel_all(
        &mut self,
        market: Option<&Market>,
        request: u64,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Way, Error>;

    /// Reads the answer to a request about an order that went by REST.
    ///
    /// # Errors
    /// The venue's refusal in unified terms, with the retry class of an order.
    fn on_order_reply(&mut self, act: &OrderAct, reply: &Reply<'_>, cx: &Context<'_>) -> Result<OrderRow, Error>;

    /// The REST request for `fetch`, signed if it is private.
    ///
    /// # Errors
    /// [`ErrorKind::NotSupported`] if the venue has none, [`ErrorKind::ArgumentsRequired`] for what is missing,
    /// [`ErrorKind::AuthenticationError`] if it needs credentials and there are none.
    fn request(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Result<SignedRequest, Error>;

    /// The request that follows when the answer to `fetch` was an empty list, where the venue keeps in two places what was
    /// asked for: an order by our id among the open ones, and then among those that ended, say. Its answer is read as one
    /// to `fetch`. `None` where the first answer is the last word.
    ///
    /// # Errors
    /// As [`Trading::request`].
    fn request_further(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Option<Result<SignedRequest, Error>> {
        let _ = (fetch, cx);
        None
    }

    /// Reads the answer to `fetch`.
    ///
    /// # Errors
    /// The venue's refusal in unified terms, or why the answer cannot be read.
    fn on_reply(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error>;
}

// --- What adapters share -----------------------------------------------------------------------------------------------

/// A private matter, and no credentials.
pub(super) fn needs_credentials() -> Error {
    let text = "needs credentials: give them in VenueConfig::credentials";
    Error::new(ErrorKind::AuthenticationError, text)
}

/// What the venue does not have.
pub(super) fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::NotSupported, what)
}

/// Some currency's code. One that cannot be kept is as good as none.
pub(super) fn code(text: &str) -> Code {
    Code::new(text.as_bytes()).unwrap_or(Code::NONE)
}

/// Some id of the venue, likewise.
pub(super) fn id(text: &str) -> Id {
    Id::new(text.as_bytes()).unwrap_or(Id::NONE)
}

/// Path and query, percent-encoded.
pub(super) fn target<'a>(path: &str, query: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut target = path.to_owned();
    for (key, value) in query {
        target.push(if target.contains('?') { '&' } else { '?' });
        percent_encode(key, &mut target);
        target.push('=');
        percent_encode(value, &mut target);
    }
    target
}

/// A book of bids and asks, best first, at the scales of `market`, or at finer ones where its numbers need them.
pub(super) fn book(market: &Market, [bids, asks]: [Vec<(Fixed, Fixed)>; 2]) -> Result<FetchedBook, Error> {
    let (mut price_scale, mut amount_scale) = (market.price_scale, market.amount_scale);
    for (price, amount) in bids.iter().chain(&asks) {
        price_scale = price_scale.max(price.trimmed().scale());
        amount_scale = amount_scale.max(amount.trimmed().scale());
    }
    let side = |rows: Vec<(Fixed, Fixed)>| -> Result<Vec<Level>, DecimalError> {
        let level = |(price, amount): (Fixed, Fixed)| {
            Ok(Level { price: price.rescale(price_scale)?, qty: amount.rescale(amount_scale)? })
        };
        rows.into_iter().map(level).collect()
    };
    let wide =
        |error| Error::new(ErrorKind::BadResponse, format!("the book has a number that cannot be held: {error}"));
    let (bids, asks) = (side(bids).map_err(wide)?, side(asks).map_err(wide)?);
    Ok(FetchedBook { bids, asks, price_scale, amount_scale, ..FetchedBook::default() })
}

/// Members of a row as adapters want them: what is absent, `null`, `""` or cannot be read is `None`.
pub(super) trait Members<'a>: Copy {
    /// A text; empty if there is none.
    fn text(self, key: &str) -> &'a str;
    /// A price or an amount.
    fn number(self, key: &str) -> Option<Fixed>;
    /// A price or an amount; zero stands for none.
    fn positive(self, key: &str) -> Option<Fixed>;
    /// What the venue computed.
    fn money(self, key: &str) -> Option<Decimal>;
    /// A time in milliseconds, bare or in quotes.
    fn ms(self, key: &str) -> Option<Wall>;
    /// A time in RFC 3339; none for the year 1, which stands for no time.
    fn iso(self, key: &str) -> Option<Wall>;
    /// An id that is a text or a number.
    fn id(self, key: &str) -> Id;
}

impl<'a> Members<'a> for Node<'a> {
    fn text(self, key: &str) -> &'a str {
        self.get(key).and_then(|node| node.str().ok()).unwrap_or("")
    }

    fn number(self, key: &str) -> Option<Fixed> {
        self.get(key).and_then(|node| node.fixed().ok())
    }

    fn positive(self, key: &str) -> Option<Fixed> {
        self.number(key).filter(|number| !number.is_zero())
    }

    fn money(self, key: &str) -> Option<Decimal> {
        self.get(key).and_then(|node| node.big_decimal().ok())
    }

    fn ms(self, key: &str) -> Option<Wall> {
        self.get(key).and_then(|node| node.i64().ok()).filter(|ms| *ms > 0).map(Wall::from_ms)
    }

    fn iso(self, key: &str) -> Option<Wall> {
        parse_iso(self.text(key).as_bytes()).filter(|wall| wall.0 > 0)
    }

    fn id(self, key: &str) -> Id {
        let Some(node) = self.get(key) else { return Id::NONE };
        match (node.str(), node.u64()) {
            (Ok(text), _) => id(text),
            (_, Ok(number)) => Id::of_u64(number),
            _ => Id::NONE,
        }
    }
}

/// Path and query of a request, percent-encoded.
pub(super) struct Target(pub(super) String);

impl Target {
    /// A path.
    pub(super) fn new(path: &str) -> Target {
        Target(path.to_owned())
    }

    /// One more parameter.
    pub(super) fn with(mut self, key: &str, value: &str) -> Target {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        percent_encode(key, &mut self.0);
        self.0.push('=');
        percent_encode(value, &mut self.0);
        self
    }

    /// One more parameter, if there is a value.
    pub(super) fn maybe(self, key: &str, value: Option<&str>) -> Target {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The parameter `limit`, at most `max`.
    pub(super) fn limit(self, limit: &Option<u16>, max: u16) -> Target {
        match limit {
            Some(limit) => self.with("limit", &(*limit).clamp(1, max).to_string()),
            None => self,
        }
    }
}

/// `2024-01-02T03:04:05.678Z`
pub(super) fn iso_text(time: Wall) -> String {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let (days, ms) = (time.ms().div_euclid(DAY_MS), time.ms().rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let (hours, minutes, seconds, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z")
}

/// `key` with all that stands before its value, then the text and the quote: a member of a JSON object, without
/// allocating.
pub(super) fn push_member(key: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// The same with a number in quotes.
pub(super) fn push_number(key: &str, number: Fixed, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    decimal::push_text(number.mantissa(), number.scale(), out);
    out.push(b'"');
}

/// True for `1822e338-8e16-4740-a998-fcc33dcfc443`.
pub(super) fn is_uuid(text: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(is_hex)
}
