//! Markets, status and refusals, as REST spells them.

use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::json::{Doc, Node};
use crate::market::{Limits, Market, MarketKind};
use crate::model::{Health, MarketId, Status, VenueId, Wall};
use crate::venue::kraken::names::code;
use crate::venue::shared::{cut, limit, readable};

/// `{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","base":"XXBT","quote":"ZUSD",
/// "pair_decimals":1,"lot_decimals":8,"ordermin":"0.0001","costmin":"0.5","tick_size":"0.1","status":"online"}}}`; the
/// last three are not there in 2021. The venue's symbol is `wsname`; dark pools have none.
pub(super) fn markets(doc: &Doc<'_>) -> Result<Vec<Market>, Error> {
    let Some(rows) = doc.root().get("result") else {
        return Err(Error::new(ErrorKind::BadResponse, "the list of pairs has no member \"result\""));
    };
    readable(rows.entries().map(|(_, row)| market(row)), "pairs")
}

fn market(row: Node<'_>) -> Option<Market> {
    let text = |key: &str| row.get(key).and_then(|node| node.str().ok());
    let number = |key: &str| limit(row, key);
    let decimals = |key: &str| row.get(key).and_then(|node| node.u64().ok()).map(|n| n.min(18) as u8);
    let venue_symbol = text("wsname")?;
    let (base, quote) = (code(text("base")?), code(text("quote")?));
    let (price_scale, amount_scale) = (decimals("pair_decimals")?, decimals("lot_decimals")?);
    Some(Market {
        id: MarketId { venue: VenueId(0), index: 0 },
        symbol: format!("{base}/{quote}").into(),
        venue_symbol: venue_symbol.into(),
        numeric_id: None,
        base: base.into(),
        quote: quote.into(),
        settle: None,
        kind: MarketKind::Spot,
        active: text("status").is_none_or(|status| status == "online"),
        price_scale,
        amount_scale,
        price_tick: number("tick_size").or(Some(Fixed::new(1, price_scale))),
        amount_step: Some(Fixed::new(1, amount_scale)),
        price_limits: Limits::default(),
        amount_limits: Limits { min: number("ordermin"), max: None },
        cost_limits: Limits { min: number("costmin"), max: None },
        contract_size: None,
    })
}

/// `{"error":[],"result":{"status":"online","timestamp":".."}}`
pub(super) fn status(doc: &Doc<'_>, now: Wall) -> Status {
    let word = doc.root().get("result").and_then(|result| result.get("status")).and_then(|word| word.str().ok());
    let status = word.map_or(Health::Unknown, |word| super::v2::health_of(word.as_bytes()));
    Status { status, updated: now, emulated: true }
}

/// `{"error":["EQuery:Unknown asset pair"]}`; nothing if the list is empty, or holds nothing but warnings (`W..`).
pub(super) fn message<'a>(doc: &'a Doc<'_>) -> Option<&'a str> {
    let mut messages = doc.root().get("error")?.iter().filter_map(|message| message.str().ok());
    messages.find(|message| !message.starts_with('W'))
}

/// The same as an error.
pub(super) fn refusal(doc: &Doc<'_>) -> Option<Error> {
    message(doc).map(|message| Error::new(kind_of(message), cut(message)))
}

/// Kraken has no codes, only texts.
pub(super) fn kind_of(message: &str) -> ErrorKind {
    use ErrorKind::*;
    const KINDS: [(&str, ErrorKind); 33] = [
        ("EOrder:Insufficient ", InsufficientFunds),
        ("EOrder:Unknown order", OrderNotFound),
        ("EOrder:Rate limit exceeded", RateLimitExceeded),
        ("EOrder:Post only order", OrderImmediatelyFillable),
        ("EOrder:", InvalidOrder),
        ("EAPI:Invalid key", AuthenticationError),
        ("EAPI:Invalid signature", AuthenticationError),
        ("ESession:Invalid session", AuthenticationError),
        ("EAuth:Account temporary disabled", AccountSuspended),
        ("EAuth:", AuthenticationError),
        ("EAPI:Invalid nonce", InvalidNonce),
        ("EAPI:Rate limit exceeded", DdosProtection),
        ("EGeneral:Temporary lockout", DdosProtection),
        ("EGeneral:Too many requests", DdosProtection),
        ("Exceeded msg rate", RateLimitExceeded),
        ("EGeneral:Permission denied", PermissionDenied),
        ("EAccount:Invalid permissions", PermissionDenied),
        ("EGeneral:Invalid arguments", BadRequest),
        ("EGeneral:Unknown method", BadRequest),
        ("EGeneral:Internal error", ExchangeNotAvailable),
        ("ETrade:Invalid request", BadRequest),
        ("EAPI:Bad request", BadRequest),
        ("Malformed request", BadRequest),
        ("Already subscribed", BadRequest),
        ("Subscription ", BadRequest),
        ("EService:Market in ", OnMaintenance),
        ("EService:", ExchangeNotAvailable),
        ("EDatabase:", ExchangeNotAvailable),
        ("EQuery:", BadSymbol),
        ("Currency pair not supported", BadSymbol),
        ("Currency pair not in ISO 4217-A3 format", BadSymbol),
        ("Pair(s) not found", BadSymbol),
        ("ETrade:User Locked", AccountSuspended),
    ];
    KINDS.iter().find(|(start, _)| message.starts_with(start)).map_or(ExchangeError, |row| row.1)
}
