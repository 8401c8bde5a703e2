//! Markets, status and refusals, as REST spells them.

use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, Doc, Node};
use crate::market::{Limits, Market, MarketKind};
use crate::model::{Health, MarketId, Status, VenueId, Wall};
use crate::venue::Reply;
use crate::venue::shared::{cut, readable};

/// Decimals of amounts.
const AMOUNT_SCALE: u8 = 8;

/// Lists of pairs: `[[["BTCUSD",[null,null,null,"0.00004","2000.0",null,null,null,0.2,0.1]]],[["BTCF0:USTF0",[..]]]]`, of
/// which the two numbers are the smallest and the largest amount; in 2021 only names, `[["BTCUSD","AAVE:USD"]]`.
pub(super) fn markets(doc: &Doc<'_>) -> Result<Vec<Market>, Error> {
    let lists = || doc.root().iter().flat_map(Node::iter);
    // A list of currencies looks like one of pairs, and some of its names like a pair.
    if let Some(name) = lists().filter_map(|row| row.str().ok()).find(|name| codes(name).is_none()) {
        let text = format!("not a list of pairs: {:?} is none", cut(name));
        return Err(Error::new(ErrorKind::BadResponse, text));
    }
    readable(lists().map(market), "pairs")
}

fn market(row: Node<'_>) -> Option<Market> {
    let name = row.str().ok().or_else(|| row.at(0)?.str().ok())?;
    let limit = |index: usize| row.at(1)?.at(index)?.fixed().ok().filter(|number: &Fixed| !number.is_zero());
    let (base, quote) = codes(name)?;
    let is_swap = name.contains("F0");
    let (base, quote) = (code_of(base), code_of(quote));
    let symbol = if is_swap { format!("{base}/{quote}:{quote}") } else { format!("{base}/{quote}") };
    Some(Market {
        id: MarketId { venue: VenueId(0), index: 0 },
        symbol: symbol.into(),
        venue_symbol: format!("t{name}").into(),
        numeric_id: None,
        base: base.into(),
        quote: quote.into(),
        settle: is_swap.then(|| quote.into()),
        kind: if is_swap { MarketKind::Swap } else { MarketKind::Spot },
        active: true,
        // Five digits that count, wherever the point is: a book begins with what its snapshot needs.
        price_scale: 0,
        amount_scale: AMOUNT_SCALE,
        price_tick: None,
        amount_step: Some(Fixed::new(1, AMOUNT_SCALE)),
        price_limits: Limits::default(),
        amount_limits: Limits { min: limit(3), max: limit(4) },
        cost_limits: Limits::default(),
        contract_size: None,
    })
}

/// The two codes in `BTCUSD`, `AVAX:USD` or `BTCF0:USTF0`.
fn codes(pair: &str) -> Option<(&str, &str)> {
    if pair.is_empty() || !pair.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':') {
        return None;
    }
    match pair.split_once(':') {
        Some((base, quote)) => (!base.is_empty() && !quote.is_empty() && !quote.contains(':')).then_some((base, quote)),
        None => (pair.len() == 6).then(|| pair.split_at(3)),
    }
}

/// The unified code of a currency.
pub(super) fn code_of(name: &str) -> &str {
    let plain = name.strip_suffix("F0").unwrap_or(name);
    CODES.iter().find(|row| row.0 == plain).map_or(plain, |row| row.1)
}

/// The venue's name of a currency.
pub(super) fn asset_of(code: &str) -> &str {
    CODES.iter().find(|row| row.1 == code).map_or(code, |row| row.0)
}

const CODES: [(&str, &str); 35] = [
    ("UST", "USDT"),
    ("UDC", "USDC"),
    ("TSD", "TUSD"),
    ("EUT", "EURT"),
    ("IOT", "IOTA"),
    ("DSH", "DASH"),
    ("QTM", "QTUM"),
    ("MNA", "MANA"),
    ("ATO", "ATOM"),
    ("ALG", "ALGO"),
    ("DAT", "DATA"),
    ("STJ", "STORJ"),
    ("SNG", "SNGLS"),
    ("VSY", "VSYS"),
    ("YYW", "YOYOW"),
    ("XCH", "XCHF"),
    ("ZBT", "ZB"),
    ("WAX", "WAXP"),
    ("EDO", "PNT"),
    ("RBT", "RBTC"),
    ("QSH", "QASH"),
    ("BCHN", "BCH"),
    ("BCHABC", "XEC"),
    ("DOG", "MDOGE"),
    ("AMP", "AMPL"),
    ("LUNA", "LUNC"),
    ("LUNA2", "LUNA"),
    ("TERRAUST", "USTC"),
    ("HTX", "HT"),
    ("IDX", "ID"),
    ("IQX", "IQ"),
    ("EUS", "EURS"),
    ("PAS", "PASS"),
    ("YGG", "YEED"),
    ("ORS", "ORS Group"),
];

/// `[1]` while the platform works, `[0]` during maintenance.
pub(super) fn status(doc: &Doc<'_>, now: Wall) -> Result<Status, Error> {
    let Some(state) = doc.root().at(0).and_then(|state| state.u64().ok()) else {
        return Err(Error::new(ErrorKind::BadResponse, "the status of the platform is no list of one number"));
    };
    Ok(Status { status: health_of(state), updated: now, emulated: true })
}

/// The state of the platform.
pub(super) fn health_of(state: u64) -> Health {
    if state == 1 { Health::Ok } else { Health::Maintenance }
}

/// `["error",10020,"symbol: invalid"]` with status 500, or `{"code":503,"error":"temporarily_unavailable",..}`.
pub(super) fn refusal(reply: &Reply<'_>) -> Error {
    let mut c = Cursor::new(reply.body);
    let mut read = || {
        c.open_array()?;
        c.skip()?;
        c.comma()?;
        let code = c.u64()?;
        c.comma()?;
        Ok::<_, crate::json::JsonError>((code, c.raw_str()?))
    };
    match (reply.status, read()) {
        (429, _) => Error::new(ErrorKind::RateLimitExceeded, "HTTP status 429"),
        (_, Ok((code, text))) => refused(kind_or(code, text, ErrorKind::PermissionDenied), Some(code), text),
        (status, Err(_)) => {
            let text = std::str::from_utf8(reply.body).unwrap_or("");
            let kind = kind_of_text(text).unwrap_or_else(|| ErrorKind::of_http_status(status));
            Error::new(kind, format!("HTTP status {status}"))
        }
    }
}

/// A refusal in the venue's words.
pub(super) fn refused(kind: ErrorKind, code: Option<u64>, text: &str) -> Error {
    let text = if text.is_empty() { "refused without a reason".to_owned() } else { cut(text) };
    let error = Error::new(kind, text);
    match code {
        Some(code) => error.with_code(code),
        None => error,
    }
}

/// The venue's codes in unified words, as public streams use them.
pub(super) fn kind_of(code: u64, text: &str) -> ErrorKind {
    kind_or(code, text, ErrorKind::BadSymbol)
}

/// The venue's codes in unified words. Some codes mean several things, which only the text tells; 10001 means anything,
/// `generic` where the text says nothing that is known.
pub(super) fn kind_or(code: u64, text: &str, generic: ErrorKind) -> ErrorKind {
    use ErrorKind::*;
    kind_of_text(text).unwrap_or(match code {
        10001 => generic,
        10300 => BadSymbol,
        10000 | 10011 | 10012 | 10020 | 10301 | 10302 | 10400 | 10401 => BadRequest,
        10100..=10113 => AuthenticationError,
        10114 => InvalidNonce,
        10305 | 11010 => RateLimitExceeded,
        20060 => OnMaintenance,
        _ => ExchangeError,
    })
}

fn kind_of_text(text: &str) -> Option<ErrorKind> {
    use ErrorKind::*;
    let by_text = [
        ("available balance is only", InsufficientFunds),
        ("not enough exchange balance", InsufficientFunds),
        ("not enough tradable balance", InsufficientFunds),
        ("Order not found", OrderNotFound),
        ("symbol: invalid", BadSymbol),
        ("permission invalid", PermissionDenied),
        ("nonce: small", InvalidNonce),
        ("temporarily_unavailable", ExchangeNotAvailable),
        ("ratelimit", RateLimitExceeded),
        ("ERR_RATE_LIMIT", RateLimitExceeded),
        ("Invalid order", InvalidOrder),
        ("Invalid price", InvalidOrder),
    ];
    by_text.iter().find(|(part, _)| text.contains(part)).map(|row| row.1)
}
