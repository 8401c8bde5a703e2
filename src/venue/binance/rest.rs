//! What is public, as REST spells it: markets, books, tickers, trades, candles, currencies; and refusals.

use super::rows::currency;
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::json::{Cursor, Doc, Kind, Node};
use crate::market::{Limits, Market, MarketKind};
use crate::model::{Candle, Currency, MarketId, TakerSide, Ticker, Trade, VenueId, Wall};
use crate::venue::Reply;
use crate::venue::shared::{cut, limit, readable, unreadable};
use crate::venue::trading::Members;

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

/// The rows of an answer that has to be a list.
pub(super) fn list(node: Node<'_>) -> Result<impl Iterator<Item = Node<'_>>, Error> {
    if node.kind() == Kind::Array {
        return Ok(node.iter());
    }
    Err(Error::new(ErrorKind::BadResponse, "the answer is no list"))
}

pub(super) fn lacks(member: &str) -> Error {
    Error::new(ErrorKind::BadResponse, format!("the answer has no member {member:?}"))
}

/// `[["0.0024","10"]]`. A book with a level that cannot be read would be wrong.
pub(super) fn levels(root: Node<'_>, key: &str) -> Result<Vec<(Fixed, Fixed)>, Error> {
    let rows = root.get(key).ok_or_else(|| lacks(key))?;
    let cell = |row: Node<'_>, at| row.element(at).and_then(|node| node.fixed()).map_err(unreadable);
    list(rows)?.map(|row| Ok((cell(row, 0)?, cell(row, 1)?))).collect()
}

/// `{"symbol":"BNBBTC","priceChange":"-94.99999800","priceChangePercent":"-95.960","weightedAvgPrice":"0.29628482",
/// "prevClosePrice":"0.10002000","lastPrice":"4.00000200","lastQty":"200.00000000","bidPrice":"4.00000000",
/// "bidQty":"100.00000000","askPrice":"4.00000200","askQty":"100.00000000","openPrice":"99.00000000",
/// "highPrice":"100.00000000","lowPrice":"0.10000000","volume":"8913.30000000","quoteVolume":"15.30000000",
/// "openTime":1499783499040,"closeTime":1499869899040,"firstId":28385,"lastId":28460,"count":76}`
pub(super) fn ticker(row: Node<'_>) -> Ticker {
    // Volumes have more digits than fit: statistics may round.
    let number = |key: &str| row.get(key).and_then(|node| node.fixed_round().ok());
    Ticker {
        venue_time: row.ms("closeTime"),
        high: number("highPrice"),
        low: number("lowPrice"),
        bid: number("bidPrice"),
        bid_volume: number("bidQty"),
        ask: number("askPrice"),
        ask_volume: number("askQty"),
        vwap: number("weightedAvgPrice"),
        open: number("openPrice"),
        last: number("lastPrice"),
        previous_close: number("prevClosePrice"),
        change: number("priceChange"),
        percentage: number("priceChangePercent"),
        base_volume: number("volume"),
        quote_volume: number("quoteVolume"),
    }
}

/// `{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,
/// "isBuyerMaker":true,"isBestMatch":true}`, or added up `{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,
/// "l":27781,"T":1498793709153,"m":true,"M":true}`.
pub(super) fn trade(row: Node<'_>) -> Option<Trade> {
    let names = match row.get("a") {
        None => ["id", "price", "qty", "time", "isBuyerMaker"],
        Some(_) => ["a", "p", "q", "T", "m"],
    };
    let buyer_rested = row.get(names[4]).and_then(|node| node.bool().ok());
    Some(Trade {
        id: row.id(names[0]),
        venue_time: row.ms(names[3]),
        price: row.number(names[1])?,
        amount: row.number(names[2])?,
        side: buyer_rested.map(|rested| if rested { TakerSide::Sell } else { TakerSide::Buy }),
    })
}

/// `[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,
/// "2434.19055334",308,"1756.87402397","28.46694368","0"]`: open time, open, high, low, close, volume, close time, volume
/// in the quote currency, number of trades.
pub(super) fn candle(row: Node<'_>, now: Wall) -> Option<Candle> {
    let number = |at| row.at(at).and_then(|node| node.fixed().ok());
    let rounded = |at| row.at(at).and_then(|node| node.fixed_round().ok());
    let ms = |at| row.at(at).and_then(|node| node.i64().ok()).map(Wall::from_ms);
    Some(Candle {
        open_time: ms(0)?,
        venue_time: None,
        open: number(1)?,
        high: number(2)?,
        low: number(3)?,
        close: number(4)?,
        volume: rounded(5)?,
        quote_volume: rounded(7),
        trades: row.at(8).and_then(|node| node.u64().ok()),
        closed: ms(6).is_some_and(|end| end < now),
    })
}

/// `{"coin":"AGLD","depositAllEnable":true,"withdrawAllEnable":true,"name":"Adventure Gold","free":"0","locked":"0",
/// "isLegalMoney":false,"trading":true,"networkList":[..]}`
pub(super) fn currency_row(row: Node<'_>) -> Option<Currency> {
    let is = |key: &str| row.get(key).and_then(|node| node.bool().ok());
    let (venue_code, name) = (row.text("coin"), row.text("name"));
    let code = currency(venue_code);
    (!code.is_none()).then(|| Currency {
        name: (!name.is_empty()).then(|| name.into()),
        active: is("trading").unwrap_or(true),
        deposit: is("depositAllEnable"),
        withdraw: is("withdrawAllEnable"),
        ..Currency::new(code, venue_code)
    })
}

/// The unified code of a currency: Binance spells one differently.
pub(super) fn code(asset: &str) -> &str {
    if asset == "YOYO" { "YOYOW" } else { asset }
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
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if says(&["Market is closed"]) {
        return MarketClosed;
    }
    if says(&["not permitted for this account", "restricted for this account", "trading is not enabled"])
        || says(&["disabled on this account", "may not place or cancel orders"])
    {
        return PermissionDenied;
    }
    match code {
        -1000 | -1001 | -1006 | -1008 | -1010 => OperationFailed,
        -1007 => RequestTimeout,
        -1003 | -1015 => RateLimitExceeded,
        -1002 | -1022 | -1125 | -2008 | -2014 | -2015 => AuthenticationError,
        -1021 => InvalidNonce,
        -1014 => InvalidOrder,
        -1013 if says(&["LOT_SIZE", "PRICE_FILTER", "Price * QTY is zero or less"]) => InvalidOrder,
        -1108 | -1121 => BadSymbol,
        -1130..=-1100 | -1131 | -1013 => BadRequest,
        -2010 if says(&["insufficient balance"]) => InsufficientFunds,
        -2010 if says(&["would immediately", "would trigger immediately"]) => OrderImmediatelyFillable,
        -2010 if says(&["Duplicate order"]) => DuplicateOrderId,
        // The order is there, and was filled in the meantime.
        -2011 if says(&["cancel restrictions"]) => OperationRejected,
        -2010 => InvalidOrder,
        -2011 | -2013 | -2026 => OrderNotFound,
        -2021 | -2022 => BadResponse,
        _ => ExchangeError,
    }
}
