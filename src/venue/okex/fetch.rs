//! What OKX answers by REST: the requests, signed where they have to be, and the rows of the answers.
//!
//! Each answer is `{"code":"0","msg":"","data":[..]}` with the newest row first; rows are turned round here. Lists end
//! after 100 rows, or what `limit` says.

use super::private::OkexTrading;
use super::rest::{refusal, refused, status};
use super::{INTERVALS, rows};
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::json::Node;
use crate::market::{Market, MarketKind};
use crate::model::{Candle, Code, MarketId, Ticker, Timeframe, Trade, TransactionKind, Wall};
use crate::venue::shared::{no_candles, unreadable};
use crate::venue::trading::{
    self, Context, Fetch, Fetched, FetchedBook, Members, OrderRow, SignedRequest, Target, iso_text, needs_credentials,
    unsupported,
};
use crate::venue::{Method, Profile, Reply};

const DAY_MS: i64 = 24 * 3600 * 1000;

impl OkexTrading {
    /// The request for `fetch`.
    pub(super) fn ask(&self, fetch: &Fetch, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        if let Fetch::Raw { method, path, query, body, private } = fetch {
            let target = query.iter().fold(Target::new(path), |target, (key, value)| target.with(key, value));
            let body = body.as_bytes().to_vec();
            return match private {
                true => self.signed(*method, target.0, body, cx),
                false => Ok(SignedRequest { body, ..SignedRequest::new(*method, target.0, 1) }),
            };
        }
        let (target, is_private) = target(fetch, cx, self.profile).map_err(|error| error.at(self.profile.id))?;
        match is_private {
            true => self.signed(Method::Get, target.0, Vec::new(), cx),
            false => Ok(SignedRequest::new(Method::Get, target.0, 1)),
        }
    }

    /// A request in the name of the account: what is signed is the time, the method, the target and the body.
    pub(super) fn signed(
        &self,
        method: Method,
        target: String,
        body: Vec<u8>,
        cx: &Context<'_>,
    ) -> Result<SignedRequest, Error> {
        let keys = self.keys.as_ref().ok_or_else(|| needs_credentials().at(self.profile.id))?;
        let time = iso_text(cx.now);
        let sign = keys.hasher.base64_text(&[time.as_bytes(), method.as_str().as_bytes(), target.as_bytes(), &body]);
        let headers = vec![
            ("OK-ACCESS-KEY", keys.key.reveal().to_owned()),
            ("OK-ACCESS-SIGN", sign),
            ("OK-ACCESS-TIMESTAMP", time),
            ("OK-ACCESS-PASSPHRASE", keys.passphrase.reveal().to_owned()),
        ];
        Ok(SignedRequest { headers, body, ..SignedRequest::new(method, target, 1) })
    }

    /// The answer to `fetch`.
    pub(super) fn read(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error> {
        if let Fetch::Raw { .. } = fetch {
            return Ok(Fetched::Raw { status: reply.status, body: reply.body.into() });
        }
        let at = |error: Error| error.at(self.profile.id);
        if reply.status != 200 {
            return Err(at(refusal(reply)));
        }
        let doc = self.doc.parse(reply.body).map_err(|error| at(unreadable(error)))?;
        if doc.root().text("code") != "0" {
            return Err(at(refusal(reply)));
        }
        if let Fetch::Status = fetch {
            return Ok(Fetched::Status(status(&doc, cx.now)));
        }
        let data = doc.get("data").ok_or_else(|| at(no_data()))?;
        fetched(fetch, data, self.profile.id, cx).map_err(at)
    }

    /// The answer to a request about an order.
    pub(super) fn read_order_reply(&mut self, reply: &Reply<'_>) -> Result<OrderRow, Error> {
        if reply.status != 200 {
            return Err(refusal(reply).at(self.profile.id).of_order());
        }
        let doc = self.doc.parse(reply.body).map_err(|error| unreadable(error).at(self.profile.id).of_order())?;
        accepted(doc.root(), self.profile.id)
    }
}

/// `{"code":"0","msg":"","data":[{"ordId":"12345689","clOrdId":"b15","tag":"","sCode":"0","sMsg":""}]}`, on the socket
/// with `id` and `op`: the row says how it went, or the whole answer if there is none. That the venue took the order is all
/// it says; where the order stands comes on the channel.
pub(super) fn accepted(root: Node<'_>, venue: &'static str) -> Result<OrderRow, Error> {
    let row = root.get("data").and_then(|data| data.at(0)).filter(|row| !row.text("sCode").is_empty());
    let (code, message) = match row {
        Some(row) => (row.text("sCode"), row.text("sMsg")),
        None => (root.text("code"), root.text("msg")),
    };
    match (row, code) {
        (Some(row), "0") => {
            Ok(OrderRow { id: row.id("ordId"), client_order_id: row.id("clOrdId"), ..OrderRow::default() })
        }
        (None, "0" | "") => Err(Error::new(ErrorKind::NullResponse, "the answer names no order").at(venue).of_order()),
        _ => Err(refused(code, message, venue).of_order()),
    }
}

/// Path and query, and whether it has to be signed.
fn target(fetch: &Fetch, cx: &Context<'_>, profile: &Profile) -> Result<(Target, bool), Error> {
    let symbol = |id: &MarketId| cx.market(*id).map(|market| &*market.venue_symbol);
    let of_market = |path: &str, id: &MarketId| symbol(id).map(|symbol| Target::new(path).with("instId", symbol));
    let is_older =
        |since: &Option<Wall>, days: i64| since.is_some_and(|since| since.ms() < cx.now.ms() - days * DAY_MS);
    let missing = |text: &str| Error::new(ErrorKind::ArgumentsRequired, text);
    Ok(match fetch {
        Fetch::Time => (Target::new("/api/v5/public/time"), false),
        Fetch::Status => (Target::new("/api/v5/system/status"), false),
        Fetch::Currencies => (Target::new("/api/v5/asset/currencies"), true),
        Fetch::OrderBook { market, limit } => {
            let levels = limit.unwrap_or(LEVELS_MAX).clamp(1, LEVELS_MAX);
            (of_market("/api/v5/market/books", market)?.with("sz", &levels.to_string()), false)
        }
        Fetch::Ticker { market } => (of_market("/api/v5/market/ticker", market)?, false),
        Fetch::Tickers => (Target::new("/api/v5/market/tickers").with("instType", "SPOT"), false),
        Fetch::Trades { market, limit, .. } => (of_market("/api/v5/market/trades", market)?.limit(limit, 500), false),
        Fetch::Ohlcv { market, timeframe, since, limit } => {
            let target = candles(symbol(market)?, *timeframe, since, limit, cx.now);
            (target.ok_or_else(|| no_candles(profile, *timeframe))?, false)
        }
        Fetch::Balance => (Target::new("/api/v5/account/balance"), true),
        Fetch::Order { market, id, client_order_id } => {
            let market = market.as_ref().ok_or_else(|| missing("needs the market of the order"))?;
            let target = of_market("/api/v5/trade/order", market)?;
            let (key, id) = if id.is_none() { ("clOrdId", client_order_id) } else { ("ordId", id) };
            if id.is_none() {
                return Err(missing("needs the id of the order, or the client order id"));
            }
            (target.with(key, id.as_str()), true)
        }
        Fetch::OpenOrders { market } => {
            let path = "/api/v5/trade/orders-pending";
            (market.as_ref().map_or_else(|| Ok(Target::new(path)), |market| of_market(path, market))?, true)
        }
        Fetch::ClosedOrders { market, since, limit } => {
            let market = market.ok_or_else(|| missing("lists the orders that ended by market: name one"))?;
            let path = if is_older(since, 7) {
                "/api/v5/trade/orders-history-archive"
            } else {
                "/api/v5/trade/orders-history"
            };
            (of_kind(path, cx.market(market)?).since("begin", since).limit(limit, 100), true)
        }
        Fetch::MyTrades { market, since, limit } => {
            let target = match (market, is_older(since, 3)) {
                (None, false) => Target::new("/api/v5/trade/fills"),
                (Some(market), false) => of_market("/api/v5/trade/fills", market)?,
                (Some(market), true) => of_kind("/api/v5/trade/fills-history", cx.market(*market)?),
                (None, true) => return Err(missing("lists trades of more than three days ago by market: name one")),
            };
            (target.since("begin", since).limit(limit, 100), true)
        }
        Fetch::Deposits { currency, since, limit } => {
            let target = Target::new("/api/v5/asset/deposit-history").currency(currency);
            (target.newer_than(since).limit(limit, 100), true)
        }
        Fetch::Withdrawals { currency, since, limit } => {
            let target = Target::new("/api/v5/asset/withdrawal-history").currency(currency);
            (target.newer_than(since).limit(limit, 100), true)
        }
        Fetch::Ledger { currency, since, limit } => {
            let path = if is_older(since, 7) { "/api/v5/account/bills-archive" } else { "/api/v5/account/bills" };
            (Target::new(path).currency(currency).since("begin", since).limit(limit, 100), true)
        }
        Fetch::Positions if profile.market_lists == 1 => {
            return Err(unsupported("has no positions: it trades spot only"));
        }
        Fetch::Positions => (Target::new("/api/v5/account/positions"), true),
        Fetch::TradingFees { market } => {
            let market = market.ok_or_else(|| missing("has fees by kind of market and currency: name a market"))?;
            let market = cx.market(market)?;
            let target = Target::new("/api/v5/account/trade-fee").with("instType", kind_name(market));
            (
                match market.kind {
                    MarketKind::Spot => target.with("instId", &market.venue_symbol),
                    _ => target.with("instFamily", &family(market)),
                },
                true,
            )
        }
        Fetch::Token | Fetch::RenewToken => return Err(unsupported("has no tokens; the private socket has a login")),
        Fetch::Raw { .. } => return Err(Error::new(ErrorKind::BadRequest, "names its own target")),
    })
}

/// Levels of a side of a book by REST.
const LEVELS_MAX: u16 = 400;

/// Candles that are still being kept in the list of recent ones.
const RECENT_CANDLES: i64 = 1_440;

/// From `since` on, so many that the first is `since` itself: the venue counts from the newest back. `None` if it has no
/// candles of this length.
fn candles(symbol: &str, timeframe: Timeframe, since: &Option<Wall>, limit: &Option<u16>, now: Wall) -> Option<Target> {
    let (bar, _) = INTERVALS.iter().find(|row| row.1 == timeframe)?;
    let length_ms = i64::from(timeframe.seconds()) * 1_000;
    let is_recent = since.is_none_or(|since| since.ms() > now.ms() - (RECENT_CANDLES - 1) * length_ms);
    let path = if is_recent { "/api/v5/market/candles" } else { "/api/v5/market/history-candles" };
    let target = Target::new(path).with("instId", symbol).with("bar", bar);
    let Some(start) = since else { return Some(target.limit(limit, 300)) };
    let rows = limit.unwrap_or(100).clamp(1, 300);
    let end_ms = start.ms().saturating_add(length_ms * i64::from(rows));
    Some(target.newer_than(since).with("after", &end_ms.to_string()).limit(&Some(rows), 300))
}

/// The rows of an answer.
fn fetched(fetch: &Fetch, data: Node<'_>, venue: &'static str, cx: &Context<'_>) -> Result<Fetched, Error> {
    let first = || data.at(0).ok_or_else(no_data);
    let transactions = |kind| Fetched::Transactions(oldest_first(data, |row| rows::transaction(kind, row)));
    Ok(match fetch {
        Fetch::Time => Fetched::Time(first()?.ms("ts").ok_or_else(no_data)?),
        Fetch::Currencies => Fetched::Currencies(rows::currencies(data)),
        Fetch::OrderBook { market, .. } => Fetched::OrderBook(book(first()?, cx.market(*market)?)?),
        Fetch::Ticker { .. } => Fetched::Ticker(Box::new(ticker(first()?))),
        Fetch::Tickers => {
            let row = |row: Node<'_>| Some((cx.market_of(row.text("instId"))?, ticker(row)));
            Fetched::Tickers(data.iter().filter_map(row).collect())
        }
        // The venue cannot be asked for trades from a time on.
        Fetch::Trades { since, .. } => {
            let mut trades = oldest_first(data, trade);
            trades.retain(|trade| since.is_none_or(|since| trade.venue_time.is_none_or(|time| time >= since)));
            Fetched::Trades(trades)
        }
        Fetch::Ohlcv { market, .. } => {
            let is_spot = cx.market(*market)?.kind == MarketKind::Spot;
            Fetched::Candles(oldest_first(data, |row| candle(row, is_spot)))
        }
        Fetch::Balance => {
            let details = data.iter().filter_map(|row| row.get("details")).flat_map(Node::iter);
            Fetched::Balances(details.filter_map(rows::balance).collect())
        }
        Fetch::Order { .. } | Fetch::OpenOrders { .. } | Fetch::ClosedOrders { .. } => {
            Fetched::Orders(oldest_first(data, |row| rows::order(row, venue, cx)))
        }
        Fetch::MyTrades { .. } => Fetched::MyTrades(oldest_first(data, |row| rows::my_trade(row, "fee", "feeCcy", cx))),
        Fetch::Deposits { .. } => transactions(TransactionKind::Deposit),
        Fetch::Withdrawals { .. } => transactions(TransactionKind::Withdrawal),
        Fetch::Ledger { .. } => Fetched::Ledger(oldest_first(data, rows::ledger_entry)),
        Fetch::Positions => {
            let positions = data.iter().filter_map(|row| rows::position(row, cx));
            Fetched::Positions(positions.filter(|position| !position.contracts.is_zero()).collect())
        }
        Fetch::TradingFees { market: Some(market) } => Fetched::TradingFees(
            data.iter().filter_map(|row| rows::trading_fee(row, cx.market(*market).ok()?)).collect(),
        ),
        _ => return Err(Error::new(ErrorKind::BadRequest, "this was never asked for")),
    })
}

fn oldest_first<'a, T>(data: Node<'a>, read: impl FnMut(Node<'a>) -> Option<T>) -> Vec<T> {
    let mut list: Vec<T> = data.iter().filter_map(read).collect();
    list.reverse();
    list
}

/// `{"asks":[["41006.8","0.60038921","0","1"]],"bids":[["41006.3","0.30178218","0","2"]],"ts":"1629966436396"}`
fn book(row: Node<'_>, market: &Market) -> Result<FetchedBook, Error> {
    let side = |key: &str| -> Option<Vec<(Fixed, Fixed)>> {
        let levels = row.get(key)?.iter();
        levels.map(|level| Some((level.at(0)?.fixed().ok()?, level.at(1)?.fixed().ok()?))).collect()
    };
    let (Some(bids), Some(asks)) = (side("bids"), side("asks")) else {
        return Err(Error::new(ErrorKind::BadResponse, "the book has a level that cannot be read"));
    };
    let book = trading::book(market, [bids, asks])?;
    Ok(FetchedBook { nonce: row.get("seqId").and_then(|id| id.u64().ok()), venue_time: row.ms("ts"), ..book })
}

/// As on the channel `tickers`.
fn ticker(row: Node<'_>) -> Ticker {
    let number = |key: &str| row.get(key).and_then(|node| node.fixed_round().ok());
    let (volume, currency_volume) = (number("vol24h"), number("volCcy24h"));
    let (base_volume, quote_volume) =
        if row.text("instType") == "SPOT" { (volume, currency_volume) } else { (currency_volume, None) };
    Ticker {
        venue_time: row.ms("ts"),
        high: number("high24h"),
        low: number("low24h"),
        bid: number("bidPx"),
        bid_volume: number("bidSz"),
        ask: number("askPx"),
        ask_volume: number("askSz"),
        open: number("open24h"),
        last: number("last"),
        base_volume,
        quote_volume,
        ..Ticker::default()
    }
}

/// As on the channel `trades`.
fn trade(row: Node<'_>) -> Option<Trade> {
    let (price, amount) = (row.number("px")?, row.number("sz")?);
    Some(Trade { id: row.id("tradeId"), venue_time: row.ms("ts"), price, amount, side: rows::side(row) })
}

/// `["1597026383085","3.721","3.743","3.677","3.708","8422410","22698348.04","12698348.04","1"]`, as on the channel.
fn candle(row: Node<'_>, is_spot: bool) -> Option<Candle> {
    let number = |at: usize| row.at(at)?.fixed_round().ok();
    let (volume, quote_volume) =
        if is_spot { (number(5)?, number(7).or_else(|| number(6))) } else { (number(6)?, number(7)) };
    Some(Candle {
        open_time: Wall::from_ms(row.at(0)?.i64().ok()?),
        venue_time: None,
        open: number(1)?,
        high: number(2)?,
        low: number(3)?,
        close: number(4)?,
        volume,
        quote_volume,
        trades: None,
        closed: row.at(8).is_some_and(|closed| closed.str() == Ok("1")),
    })
}

/// The venue's word for the kind of a market.
fn kind_name(market: &Market) -> &'static str {
    match market.kind {
        MarketKind::Spot => "SPOT",
        MarketKind::Swap => "SWAP",
        MarketKind::Future => "FUTURES",
    }
}

/// `BTC-USD` of `BTC-USD-SWAP`.
fn family(market: &Market) -> String {
    market.venue_symbol.split('-').take(2).collect::<Vec<_>>().join("-")
}

fn of_kind(path: &str, market: &Market) -> Target {
    Target::new(path).with("instType", kind_name(market)).with("instId", &market.venue_symbol)
}

fn no_data() -> Error {
    Error::new(ErrorKind::NullResponse, "the answer holds no data")
}

impl Target {
    fn since(self, key: &str, since: &Option<Wall>) -> Target {
        match since {
            Some(since) => self.with(key, &since.ms().to_string()),
            None => self,
        }
    }

    /// Where the venue leaves out the time itself.
    fn newer_than(self, since: &Option<Wall>) -> Target {
        self.since("before", &since.map(|since| Wall::from_ms(since.ms().saturating_sub(1))))
    }

    fn currency(self, currency: &Option<Code>) -> Target {
        match currency {
            Some(currency) => self.with("ccy", currency.as_str()),
            None => self,
        }
    }
}
