//! Markets and refusals, as REST spells them.

use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, Doc, Node};
use crate::market::{Limits, Market, MarketKind};
use crate::model::{MarketId, VenueId};
use crate::venue::Reply;
use crate::venue::shared::{cut, limit, readable};

/// The row of a market in `exchangeInfo` (cut): `{"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH",
/// "quoteAsset":"BTC","quotePrecision":8,"baseAssetPrecision":8,"filters":[{"filterType":"PRICE_FILTER",
/// "minPrice":"0.00000100","maxPrice":"922327.00000000","tickSize":"0.00000100"},{"filterType":"LOT_SIZE",
/// "minQty":"0.00010000","maxQty":"100000.00000000","stepSize":"0.00010000"},{"filterType":"MIN_NOTIONAL",
/// "minNotional":"0.00010000"}],"permissions":["SPOT","MARGIN"]}`
pub(super) fn markets(doc: &Doc<'_>) -> Result<Vec<Market>, Error> {
    let Some(rows) = doc.root().get("symbols") else {
        return Err(Error::new(ErrorKind::BadResponse, "the list of markets has no member \"symbols\""));
    };
    readable(rows.iter().map(market), "markets")
}

fn market(row: Node<'_>) -> Option<Market> {
    let text = |key: &str| row.get(key).and_then(|node| node.str().ok());
    let venue_symbol = text("symbol")?;
    let (base, quote) = (code(text("baseAsset")?), code(text("quoteAsset")?));
    let (mut price_tick, mut amount_step) = (None, None);
    let (mut price_limits, mut amount_limits, mut cost_limits) =
        (Limits::default(), Limits::default(), Limits::default());
    for filter in row.get("filters").into_iter().flat_map(|filters| filters.iter()) {
        let number = |key: &str| limit(filter, key);
        match filter.get("filterType").and_then(|node| node.str().ok()) {
            Some("PRICE_FILTER") => {
                price_tick = number("tickSize");
                price_limits = Limits { min: number("minPrice"), max: number("maxPrice") };
            }
            Some("LOT_SIZE") => {
                amount_step = number("stepSize");
                amount_limits = Limits { min: number("minQty"), max: number("maxQty") };
            }
            Some("NOTIONAL" | "MIN_NOTIONAL") => {
                cost_limits = Limits { min: number("minNotional"), max: number("maxNotional") };
            }
            _ => {}
        }
    }
    let precision = |key: &str| row.get(key).and_then(|node| node.u64().ok()).map_or(8, |n| n.min(18) as u8);
    let restricted =
        row.get("permissions").is_some_and(|list| list.iter().any(|permission| permission.str() == Ok("TRD_GRP_003")));
    Some(Market {
        id: MarketId { venue: VenueId(0), index: 0 },
        symbol: format!("{base}/{quote}").into(),
        venue_symbol: venue_symbol.into(),
        numeric_id: None,
        base: base.into(),
        quote: quote.into(),
        settle: None,
        kind: MarketKind::Spot,
        active: text("status") == Some("TRADING") && !restricted,
        price_scale: price_tick.map_or_else(|| precision("quotePrecision"), |tick| tick.trimmed().scale()),
        amount_scale: amount_step.map_or_else(|| precision("baseAssetPrecision"), |step| step.trimmed().scale()),
        price_tick,
        amount_step,
        price_limits,
        amount_limits,
        cost_limits,
        contract_size: None,
    })
}

/// The unified code of a currency: Binance spells one differently.
fn code(asset: &str) -> &str {
    if asset == "YOYO" { "YOYOW" } else { asset }
}

/// Symbols may hold letters beyond ASCII since December 2025.
pub(super) fn percent_encoded(symbol: &str) -> String {
    let mut out = String::with_capacity(symbol.len());
    for byte in symbol.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `{"code":-1121,"msg":"Invalid symbol."}`; the text decides before the code, the code before the status.
pub(super) fn refusal(reply: &Reply<'_>) -> Error {
    let (mut code, mut message) = (None, "");
    let mut c = Cursor::new(reply.body);
    let known = c.object(|c, key| {
        match key {
            b"code" => code = Some(c.i64()?),
            b"msg" => message = c.raw_str()?,
            _ => c.skip()?,
        }
        Ok(())
    });
    let kind = match (reply.status, code) {
        (418, _) => ErrorKind::DdosProtection,
        (429, _) => ErrorKind::RateLimitExceeded,
        (_, Some(code)) if known.is_ok() => kind_of(code, message),
        (status, _) => ErrorKind::of_http_status(status),
    };
    let text = if message.is_empty() { format!("HTTP status {}", reply.status) } else { cut(message) };
    let error = Error::new(kind, text);
    match code {
        Some(code) => error.with_code(code),
        None => error,
    }
}

/// Binance's documentation of error codes, in unified words.
pub(super) fn kind_of(code: i64, message: &str) -> ErrorKind {
    use ErrorKind::*;
    if message.contains("Market is closed") {
        return MarketClosed;
    }
    match code {
        -1000 | -1001 | -1006 | -1008 | -1010 => OperationFailed,
        -1007 => RequestTimeout,
        -1003 | -1015 => RateLimitExceeded,
        -1002 | -1022 | -1125 | -2008 | -2014 | -2015 => AuthenticationError,
        -1021 => InvalidNonce,
        -1014 => InvalidOrder,
        -1013
            if ["LOT_SIZE", "PRICE_FILTER", "Price * QTY is zero or less"]
                .iter()
                .any(|text| message.contains(text)) =>
        {
            InvalidOrder
        }
        -1108 | -1121 => BadSymbol,
        -1130..=-1100 | -1131 | -1013 => BadRequest,
        -2010 if message.contains("insufficient balance") => InsufficientFunds,
        -2010 if message.contains("would immediately") || message.contains("would trigger immediately") => {
            OrderImmediatelyFillable
        }
        -2010 => InvalidOrder,
        -2011 | -2013 => OrderNotFound,
        -2021 | -2022 => BadResponse,
        _ => ExchangeError,
    }
}
