//! The one error type of the public API.
//!
//! An [`Error`] says what went wrong in the words of CCXT ([`ErrorKind`]), and what is left to do ([`Retry`]): callers
//! match on five retry classes rather than on forty names. It is one pointer wide, so that a `Result` stays cheap.

use std::fmt;

/// What went wrong, by the names of CCXT's exception tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The venue refused for a reason of its own.
    ExchangeError,
    /// Key, secret or signature were refused.
    AuthenticationError,
    /// The key may not do this.
    PermissionDenied,
    /// The account lacks something that has to be switched on first.
    AccountNotEnabled,
    /// The account is locked.
    AccountSuspended,
    /// An argument is missing.
    ArgumentsRequired,
    /// The request makes no sense, to us or to the venue.
    BadRequest,
    /// The symbol is unknown.
    BadSymbol,
    /// The venue, or this build, cannot do this.
    NotSupported,
    /// A handle that is not valid any more, such as a feed that was unwatched.
    StaleHandle,
    /// The operation was refused in the present state of the market.
    OperationRejected,
    /// Nothing would change. What was wanted is so already.
    NoChange,
    /// The margin mode is set already.
    MarginModeAlreadySet,
    /// Somebody has to do something by hand at the venue first.
    ManualInteractionNeeded,
    /// Not allowed from this place.
    RestrictedLocation,
    /// The market does not trade now.
    MarketClosed,
    /// An address for withdrawals is not valid.
    InvalidAddress,
    /// An address is still being made.
    AddressPending,
    /// The funds do not suffice.
    InsufficientFunds,
    /// The order itself is not valid.
    InvalidOrder,
    /// The venue does not know the order.
    OrderNotFound,
    /// We do not know the order.
    OrderNotCached,
    /// A post-only order would have taken.
    OrderImmediatelyFillable,
    /// A fill-or-kill order could not be filled.
    OrderNotFillable,
    /// The client order id was used before: the first send arrived.
    DuplicateOrderId,
    /// The contract cannot be traded by this account.
    ContractUnavailable,
    /// A cancellation is on its way already.
    CancelPending,
    /// The venue failed to carry out a sensible request.
    OperationFailed,
    /// The connection could not be made or was lost.
    NetworkError,
    /// The address is banned for a while.
    DdosProtection,
    /// Too many requests.
    RateLimitExceeded,
    /// The venue is not there, or not any more.
    ExchangeNotAvailable,
    /// The venue is being maintained.
    OnMaintenance,
    /// A clock or a sequence number is off.
    InvalidNonce,
    /// A book does not agree with the venue's checksum.
    ChecksumError,
    /// No answer in time.
    RequestTimeout,
    /// The answer makes no sense.
    BadResponse,
    /// There is no answer where one should be.
    NullResponse,
    /// What was waited for was unwatched.
    UnsubscribeError,
    /// The settings of a proxy contradict each other.
    InvalidProxySettings,
    /// The user closed the connection.
    ExchangeClosedByUser,
    /// A limit of our own was reached.
    LimitReached,
    /// The operating system refused something that the engine cannot do without.
    System,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same call may succeed after a pause.
    Backoff,
    /// First resynchronise (clock or book), then retry.
    Resync,
    /// Wait until the venue is back.
    Wait,
    /// The outcome of an order is unknown: look it up by its client order id, never send it again.
    Unknown,
    /// The same call will never succeed.
    Never,
}

impl ErrorKind {
    /// The retry class that goes with this kind where the call was not an order.
    pub fn retry(self) -> Retry {
        use ErrorKind::*;
        match self {
            OperationFailed | NetworkError | DdosProtection | RateLimitExceeded | ExchangeNotAvailable
            | RequestTimeout | BadResponse | NullResponse | CancelPending => Retry::Backoff,
            InvalidNonce | ChecksumError => Retry::Resync,
            OnMaintenance | MarketClosed | AddressPending => Retry::Wait,
            _ => Retry::Never,
        }
    }

    /// The retry class of an answer to an order. Where the venue may have carried it out all the same, it must not be sent
    /// again. Kinds that say that the venue did not look at it (a ban, too many requests, a clock that is off) are answers.
    pub fn retry_of_order(self) -> Retry {
        use ErrorKind::*;
        match self {
            OperationFailed | NetworkError | ExchangeNotAvailable | OnMaintenance | RequestTimeout | BadResponse
            | NullResponse => Retry::Unknown,
            // The first send arrived.
            DuplicateOrderId => Retry::Unknown,
            _ => self.retry(),
        }
    }

    /// The kind that an HTTP status stands for where the body says nothing better.
    ///
    /// Unlike CCXT, a 400, 403 or 451 without a known body is not called retryable.
    pub fn of_http_status(status: u16) -> ErrorKind {
        use ErrorKind::*;
        match status {
            401 | 407 | 511 => AuthenticationError,
            403 | 451 => PermissionDenied,
            408 | 504 => RequestTimeout,
            418 => DdosProtection,
            429 => RateLimitExceeded,
            400..=499 => BadRequest,
            500..=599 => ExchangeNotAvailable,
            _ => BadResponse,
        }
    }
}

/// An error of the public API. Never holds a credential.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    retry: Retry,
    venue: Option<&'static str>,
    code: Option<Box<str>>,
    symbol: Option<Box<str>>,
    message: Box<str>,
}

impl Error {
    /// An error of `kind` with a sentence that says what was wrong, where, and what would be right.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            retry: kind.retry(),
            venue: None,
            code: None,
            symbol: None,
            message: message.into().into_boxed_str(),
        }))
    }

    /// Names the venue it came from, by its ccxt id.
    pub fn at(mut self, venue: &'static str) -> Error {
        self.0.venue = Some(venue);
        self
    }

    /// Keeps the venue's own error code.
    pub fn with_code(mut self, code: impl fmt::Display) -> Error {
        self.0.code = Some(code.to_string().into_boxed_str());
        self
    }

    /// As the answer to an order: see [`ErrorKind::retry_of_order`].
    pub fn of_order(mut self) -> Error {
        self.0.retry = self.0.kind.retry_of_order();
        self
    }

    /// Names the symbol it is about.
    pub fn with_symbol(mut self, symbol: &str) -> Error {
        self.0.symbol = Some(symbol.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What is left to do.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The ccxt id of the venue, if it is about one.
    pub fn venue(&self) -> Option<&'static str> {
        self.0.venue
    }

    /// The venue's own code, if it gave one.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The symbol, if it is about one.
    pub fn symbol(&self) -> Option<&str> {
        self.0.symbol.as_deref()
    }

    /// The sentence, without venue, symbol and code.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(venue) = self.0.venue {
            write!(f, "{venue}: ")?;
        }
        if let Some(symbol) = &self.0.symbol {
            write!(f, "{symbol}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(code) = &self.0.code {
            write!(f, " (code {code})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn says_who_where_what() {
        let error =
            Error::new(ErrorKind::BadSymbol, "no such market").at("binance").with_symbol("BTC/USDX").with_code(-1121);
        assert_eq!(error.to_string(), "binance: BTC/USDX: no such market (code -1121)");
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!(ErrorKind::of_http_status(429).retry(), Retry::Backoff);
        assert_eq!(ErrorKind::of_http_status(403).retry(), Retry::Never);
    }

    #[test]
    fn an_order_that_may_have_arrived_is_not_sent_again() {
        let error = |kind| Error::new(kind, "").of_order().retry();
        for kind in [ErrorKind::RequestTimeout, ErrorKind::NetworkError, ErrorKind::OnMaintenance] {
            assert_eq!(error(kind), Retry::Unknown);
        }
        assert_eq!(error(ErrorKind::DdosProtection), Retry::Backoff);
        assert_eq!(error(ErrorKind::InvalidNonce), Retry::Resync);
        assert_eq!(error(ErrorKind::InsufficientFunds), Retry::Never);
    }
}
