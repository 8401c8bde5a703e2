//! Markets, status and refusals, as REST spells them.

use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, Doc, Node};
use crate::market::{Limits, Market, MarketKind};
use crate::model::{Health, MarketId, Status, VenueId, Wall};
use crate::venue::Reply;
use crate::venue::shared::{cut, limit, readable};

/// `{"code":"0","data":[{"instType":"SWAP","instId":"BTC-USD-SWAP","uly":"BTC-USD","baseCcy":"","quoteCcy":"",
/// "settleCcy":"BTC","tickSz":"0.1","lotSz":"1","minSz":"1","maxLmtSz":"100000","expTime":"","state":"live"}]}`
pub(super) fn markets(doc: &Doc<'_>) -> Result<Vec<Market>, Error> {
    let Some(rows) = doc.root().get("data") else {
        return Err(Error::new(ErrorKind::BadResponse, "the list of instruments has no member \"data\""));
    };
    readable(rows.iter().map(market), "instruments")
}

fn market(row: Node<'_>) -> Option<Market> {
    let text = |key: &str| row.get(key).and_then(|node| node.str().ok()).filter(|text| !text.is_empty());
    let number = |key: &str| limit(row, key);
    let venue_symbol = text("instId")?;
    let kind = match text("instType")? {
        "SPOT" => MarketKind::Spot,
        "SWAP" => MarketKind::Swap,
        "FUTURES" => MarketKind::Future,
        _ => return None,
    };
    // The currencies of a contract are those of its underlying; some rows that do not trade yet name none at all.
    let pair = text("uly").unwrap_or(venue_symbol).split_once('-')?;
    let (base, quote) = match kind {
        MarketKind::Spot => (text("baseCcy").unwrap_or(pair.0), text("quoteCcy").unwrap_or(pair.1)),
        _ => pair,
    };
    let settle = text("settleCcy").filter(|_| kind != MarketKind::Spot);
    let symbol = match (kind, settle) {
        (MarketKind::Swap, Some(settle)) => format!("{base}/{quote}:{settle}"),
        // The expiry stands in the name: BTC-USD-220527.
        (MarketKind::Future, Some(settle)) => format!("{base}/{quote}:{settle}-{}", venue_symbol.rsplit('-').next()?),
        _ => format!("{base}/{quote}"),
    };
    let (price_tick, amount_step) = (number("tickSz"), number("lotSz"));
    Some(Market {
        id: MarketId { venue: VenueId(0), index: 0 },
        symbol: symbol.into(),
        venue_symbol: venue_symbol.into(),
        numeric_id: row.get("instIdCode").and_then(|code| code.u64().ok()),
        base: base.into(),
        quote: quote.into(),
        settle: settle.map(Into::into),
        kind,
        active: text("state") == Some("live"),
        price_scale: price_tick.map_or(8, |tick| tick.trimmed().scale()),
        amount_scale: amount_step.map_or(8, |step| step.trimmed().scale()),
        price_tick,
        amount_step,
        price_limits: Limits::default(),
        amount_limits: Limits { min: number("minSz"), max: number("maxLmtSz") },
        cost_limits: Limits::default(),
        contract_size: match kind {
            MarketKind::Spot => None,
            _ => number("ctVal").and_then(|size| size.checked_mul(number("ctMult").unwrap_or(Fixed::new(1, 0)))),
        },
    })
}

/// `{"code":"0","data":[{"state":"ongoing","title":"..","begin":"1672823400000"}],"msg":""}`: planned and present
/// maintenance.
pub(super) fn status(doc: &Doc<'_>, now: Wall) -> Status {
    let ongoing = |row: Node<'_>| row.get("state").is_some_and(|state| state.str() == Ok("ongoing"));
    let maintenance = doc.root().get("data").is_some_and(|rows| rows.iter().any(ongoing));
    let status = if maintenance { Health::Maintenance } else { Health::Ok };
    Status { status, updated: now, emulated: true }
}

/// `{"code":"51001","msg":"Instrument ID does not exist","data":[]}`; the code decides before the status.
pub(super) fn refusal(reply: &Reply<'_>) -> Error {
    let (mut code, mut message) = ("", "");
    let known = Cursor::new(reply.body).object(|c, key| {
        match key {
            b"code" => code = c.str()?,
            b"msg" => message = c.raw_str()?,
            _ => c.skip()?,
        }
        Ok(())
    });
    let text = if message.is_empty() { format!("HTTP status {}", reply.status) } else { cut(message) };
    match (reply.status, known) {
        (429, _) => Error::new(ErrorKind::RateLimitExceeded, text),
        (_, Ok(())) if !code.is_empty() => Error::new(kind_of(code), text).with_code(code),
        (status, _) => Error::new(ErrorKind::of_http_status(status), text),
    }
}

/// The venue's refusal where it stands within a message.
pub(super) fn refused(code: &str, message: &str, venue: &'static str) -> Error {
    let error = Error::new(kind_of(code), cut(message)).at(venue);
    if code.is_empty() { error } else { error.with_code(code) }
}

/// OKX's documentation of error codes, in unified words.
pub(super) fn kind_of(code: &str) -> ErrorKind {
    use ErrorKind::*;
    match code.parse::<u32>().unwrap_or(0) {
        50001 => OnMaintenance,
        50004 => RequestTimeout,
        50005 | 50013 | 50026 | 60016 => ExchangeNotAvailable,
        50011 | 60014 => RateLimitExceeded,
        60023 => DdosProtection,
        50102 | 60006 => InvalidNonce,
        50105 | 50111..=50114 | 60001..=60005 | 60007 | 60009 | 60011 | 60024 | 60032 => AuthenticationError,
        50027 | 50110 => PermissionDenied,
        60029 | 60030 | 64003 => AccountNotEnabled,
        51001 | 51012 | 51015 => BadSymbol,
        51000 | 60012 | 60013 | 60017..=60019 | 64000..=64002 | 64004 => BadRequest,
        60028 => NotSupported,
        60015 | 64008 => NetworkError,
        51006 | 51016 | 51020 | 51121 => InvalidOrder,
        51008 | 51119 | 51127 | 51131 | 51502 => InsufficientFunds,
        51021 | 51022 | 51027..=51030 => ContractUnavailable,
        51155 => RestrictedLocation,
        51400..=51402 | 51503 | 51509 | 51603 => OrderNotFound,
        51410 => CancelPending,
        _ => ExchangeError,
    }
}
