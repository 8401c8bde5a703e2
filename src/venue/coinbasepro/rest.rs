//! Markets and refusals, as REST spells them.

use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, Doc, Kind, Node};
use crate::market::{Limits, Market, MarketKind};
use crate::model::{Code, MarketId, VenueId};
use crate::venue::shared::{cut, limit, readable};
use crate::venue::{Reply, trading};

/// `[{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","base_min_size":"0.0001","base_max_size":"280",
/// "quote_increment":"0.01","base_increment":"0.00000001","min_market_funds":"5","status":"online"}]`; without the
/// sizes since 2022.
pub(super) fn markets(doc: &Doc<'_>) -> Result<Vec<Market>, Error> {
    if doc.root().kind() != Kind::Array {
        return Err(Error::new(ErrorKind::BadResponse, "the list of products is no array"));
    }
    readable(doc.root().iter().map(market), "products")
}

fn market(row: Node<'_>) -> Option<Market> {
    let text = |key: &str| row.get(key).and_then(|node| node.str().ok());
    let number = |key: &str| limit(row, key);
    let venue_symbol = text("id")?;
    // The id, since a product for auctions has the currencies of another one.
    let (base, quote) = venue_symbol.split_once('-')?;
    let (base, quote) = (code(base), code(quote));
    let (price_tick, amount_step) = (number("quote_increment"), number("base_increment"));
    Some(Market {
        id: MarketId { venue: VenueId(0), index: 0 },
        symbol: format!("{base}/{quote}").into(),
        venue_symbol: venue_symbol.into(),
        numeric_id: None,
        base: base.into(),
        quote: quote.into(),
        settle: None,
        kind: MarketKind::Spot,
        active: text("status") == Some("online"),
        price_scale: price_tick.map_or(8, |tick| tick.trimmed().scale()),
        amount_scale: amount_step.map_or(8, |step| step.trimmed().scale()),
        price_tick,
        amount_step,
        price_limits: Limits::default(),
        amount_limits: Limits { min: number("base_min_size"), max: number("base_max_size") },
        cost_limits: Limits { min: number("min_market_funds"), max: number("max_market_funds") },
        contract_size: None,
    })
}

/// The unified code of a currency: Coinbase spells one differently.
fn code(currency: &str) -> &str {
    if currency == "CGLD" { "CELO" } else { currency }
}

/// The same as a code; none of what cannot be one.
pub(super) fn currency(spelling: &str) -> Code {
    trading::code(code(spelling))
}

/// `{"message":"NotFound"}`
pub(super) fn refusal(reply: &Reply<'_>) -> Error {
    let mut message = "";
    let known = Cursor::new(reply.body).object(|c, key| {
        if key == b"message" {
            message = c.raw_str()?;
            return Ok(());
        }
        c.skip()
    });
    let by_status = ErrorKind::of_http_status(reply.status);
    // Of these the message is the venue's own.
    let otherwise = if matches!(reply.status, 400 | 404) { ErrorKind::ExchangeError } else { by_status };
    match known {
        Ok(()) if !message.is_empty() => Error::new(kind_of(message, otherwise), cut(message)),
        _ => Error::new(by_status, format!("HTTP status {}", reply.status)),
    }
}

/// Coinbase has no codes, only texts.
pub(super) fn kind_of(message: &str, otherwise: ErrorKind) -> ErrorKind {
    use ErrorKind::*;
    match message {
        "Insufficient funds" => InsufficientFunds,
        "NotFound" => OrderNotFound,
        "Invalid API Key" | "invalid signature" | "Invalid Passphrase" | "Authentication Failed" => AuthenticationError,
        "request timestamp expired" | "invalid timestamp" => InvalidNonce,
        "Product not found" => BadSymbol,
        "Invalid order id" => InvalidOrder,
        "Private rate limit exceeded" | "Public rate limit exceeded" => RateLimitExceeded,
        "Trading pair not available" => PermissionDenied,
        "ErrSlowConsume" | "ErrSlowRead" => NetworkError,
        _ if message.contains("Order already done") || message.contains("order not found") => OrderNotFound,
        _ if message.contains("price too") || message.contains("size is too small") => InvalidOrder,
        _ if message.contains("under maintenance") || message.contains("Cancel only mode") => OnMaintenance,
        _ => otherwise,
    }
}
