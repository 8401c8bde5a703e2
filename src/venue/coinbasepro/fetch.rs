//! What Coinbase answers by REST: the requests, signed where they have to be, and the rows of the answers.
//!
//! Lists come newest first and are turned round here. A refusal is `{"message":".."}`.

use super::private::CoinbaseTrading;
use super::rest::{currency, refusal};
use super::{COINBASEPRO, orders, rows};
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::json::Node;
use crate::market::Market;
use crate::model::{
    Candle, Code, Currency, Health, Id, MarketId, Status, Ticker, Timeframe, Trade, TradingFee, TransactionKind, Wall,
};
use crate::venue::shared::{no_candles, unreadable};
use crate::venue::trading::{
    self, Context, Fetch, Fetched, FetchedBook, Members, OrderAct, OrderRow, SignedRequest, Target, iso_text,
    needs_credentials, unsupported,
};
use crate::venue::{Method, Reply};

/// Rows of a list at most.
const ROWS_MAX: u16 = 1_000;
/// Candles of an answer at most.
const CANDLES_MAX: u16 = 300;

impl CoinbaseTrading {
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
        let (target, is_private) = self.target(fetch, cx).map_err(|error| error.at(COINBASEPRO.id))?;
        match is_private {
            true => self.signed(Method::Get, target.0, Vec::new(), cx),
            false => Ok(SignedRequest::new(Method::Get, target.0, 1)),
        }
    }

    /// A request in the name of the account: what is signed is the time in seconds, the method, the target and the body.
    pub(super) fn signed(
        &self,
        method: Method,
        target: String,
        body: Vec<u8>,
        cx: &Context<'_>,
    ) -> Result<SignedRequest, Error> {
        let keys = self.keys.as_ref().ok_or_else(|| needs_credentials().at(COINBASEPRO.id))?;
        let time = cx.now.0.div_euclid(1_000_000_000).to_string();
        let sign = keys.hasher.base64_text(&[time.as_bytes(), method.as_str().as_bytes(), target.as_bytes(), &body]);
        let headers = vec![
            ("CB-ACCESS-KEY", keys.key.reveal().to_owned()),
            ("CB-ACCESS-SIGN", sign),
            ("CB-ACCESS-TIMESTAMP", time),
            ("CB-ACCESS-PASSPHRASE", keys.passphrase.reveal().to_owned()),
        ];
        Ok(SignedRequest { headers, body, ..SignedRequest::new(method, target, 1) })
    }

    /// Path and query, and whether it has to be signed.
    fn target(&self, fetch: &Fetch, cx: &Context<'_>) -> Result<(Target, bool), Error> {
        let symbol = |id: &MarketId| cx.market(*id).map(|market| &*market.venue_symbol);
        let of_product =
            |id: &MarketId, what: &str| symbol(id).map(|symbol| Target::new(&format!("/products/{symbol}/{what}")));
        let any = |market: &Option<MarketId>| market.as_ref().map(&symbol).transpose();
        let missing = |text: &str| Error::new(ErrorKind::ArgumentsRequired, text);
        Ok(match fetch {
            // The venue's clock answers while the venue lives.
            Fetch::Time | Fetch::Status => (Target::new("/time"), false),
            Fetch::Currencies => (Target::new("/currencies"), false),
            Fetch::OrderBook { market, limit } => {
                let level = if *limit == Some(1) { "1" } else { "2" };
                (of_product(market, "book")?.with("level", level), false)
            }
            Fetch::Ticker { market } => (of_product(market, "ticker")?, false),
            Fetch::Tickers => return Err(unsupported("has no tickers of all markets at once: ask for one")),
            Fetch::Trades { market, limit, .. } => (of_product(market, "trades")?.limit(limit, ROWS_MAX), false),
            Fetch::Ohlcv { market, timeframe, since, limit } => {
                if !COINBASEPRO.timeframes.contains(timeframe) {
                    return Err(no_candles(&COINBASEPRO, *timeframe));
                }
                let target = of_product(market, "candles")?.with("granularity", &timeframe.seconds().to_string());
                (candles_from(target, *timeframe, since, limit), false)
            }
            Fetch::Balance => (Target::new("/accounts"), true),
            Fetch::Order { id, client_order_id, .. } => {
                (Target::new(&orders::order_path(*id, *client_order_id)?), true)
            }
            Fetch::OpenOrders { market } => {
                let all = ["open", "pending", "active"];
                let target = all.iter().fold(Target::new("/orders"), |target, status| target.with("status", status));
                (target.maybe("product_id", any(market)?).limit(&Some(ROWS_MAX), ROWS_MAX), true)
            }
            Fetch::ClosedOrders { market, since, limit } => {
                let target = Target::new("/orders").with("status", "done").maybe("product_id", any(market)?);
                (from(target, since).limit(limit, ROWS_MAX), true)
            }
            Fetch::MyTrades { market, since, limit } => {
                let market = market.as_ref().ok_or_else(|| missing("lists own trades by market: name one"))?;
                let target = Target::new("/fills").with("product_id", symbol(market)?);
                (from(target, since).limit(limit, ROWS_MAX), true)
            }
            Fetch::Deposits { limit, .. } => {
                (Target::new("/transfers").with("type", "deposit").limit(limit, ROWS_MAX), true)
            }
            Fetch::Withdrawals { limit, .. } => {
                (Target::new("/transfers").with("type", "withdraw").limit(limit, ROWS_MAX), true)
            }
            Fetch::Ledger { currency, since, limit } => {
                let currency = currency.ok_or_else(|| missing("keeps a ledger of each currency: name one"))?;
                // The venue's ledgers go by accounts.
                let id = self.account(currency).ok_or_else(|| {
                    missing("needs the id of the account, which comes with the balance: fetch the balance first")
                })?;
                let target = Target::new(&format!("/accounts/{id}/ledger"));
                (from(target, since).limit(limit, ROWS_MAX), true)
            }
            Fetch::Positions => return Err(unsupported("has no positions: it trades spot only")),
            Fetch::TradingFees { .. } => (Target::new("/fees"), true),
            Fetch::Token | Fetch::RenewToken => {
                return Err(unsupported("has no tokens: the private channel is signed"));
            }
            Fetch::Raw { .. } => return Err(Error::new(ErrorKind::BadRequest, "names its own target")),
        })
    }

    fn account(&self, currency: Code) -> Option<Id> {
        self.accounts.iter().find(|account| account.1 == currency).map(|account| account.0)
    }

    /// The answer to `fetch`.
    pub(super) fn read(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error> {
        if let Fetch::Raw { .. } = fetch {
            return Ok(Fetched::Raw { status: reply.status, body: reply.body.into() });
        }
        let at = |error: Error| error.at(COINBASEPRO.id);
        if reply.status != 200 {
            return Err(at(refusal(reply)));
        }
        let doc = self.doc.parse(reply.body).map_err(|error| at(unreadable(error)))?;
        let root = doc.root();
        if let Fetch::Balance = fetch {
            self.accounts = root.iter().filter_map(account).collect();
        }
        fetched(fetch, root, &self.accounts, cx).map_err(at)
    }

    /// The answer to a request about an order: the order itself, or the ids of those that are cancelled.
    pub(super) fn read_order_reply(
        &mut self,
        act: &OrderAct,
        reply: &Reply<'_>,
        cx: &Context<'_>,
    ) -> Result<OrderRow, Error> {
        let at = |error: Error| error.at(COINBASEPRO.id).of_order();
        if reply.status != 200 {
            return Err(at(refusal(reply)));
        }
        let doc = self.doc.parse(reply.body).map_err(|error| at(unreadable(error)))?;
        let root = doc.root();
        if *act == OrderAct::Create {
            let none = || Error::new(ErrorKind::NullResponse, "the answer names no order");
            let row = rows::order(root, cx).ok_or_else(|| at(none()))?;
            return rows::rejection(root).map_or(Ok(row), Err);
        }
        // Of those that are cancelled at once, none is meant in particular.
        let one = if root.len() == 1 { root.at(0) } else { Some(root) };
        let id = one.and_then(|node| node.str().ok()).map_or(Id::NONE, trading::id);
        Ok(OrderRow { id, ..OrderRow::default() })
    }
}

/// The rows of an answer.
fn fetched(fetch: &Fetch, root: Node<'_>, accounts: &[(Id, Code)], cx: &Context<'_>) -> Result<Fetched, Error> {
    let is_since =
        |since: &Option<Wall>, time: Option<Wall>| since.is_none_or(|since| time.is_none_or(|time| time >= since));
    let transactions = |kind, currency: &Option<Code>, since| {
        let mut list = oldest_first(root, |row| rows::transaction(kind, row, accounts));
        list.retain(|row| currency.is_none_or(|currency| row.currency == currency) && is_since(since, row.created));
        Fetched::Transactions(list)
    };
    Ok(match fetch {
        Fetch::Time => Fetched::Time(root.iso("iso").ok_or_else(no_data)?),
        Fetch::Status => Fetched::Status(Status { status: Health::Ok, updated: cx.now, emulated: true }),
        Fetch::Currencies => Fetched::Currencies(root.iter().filter_map(currency_row).collect()),
        Fetch::OrderBook { market, limit } => {
            let mut book = book(root, cx.market(*market)?)?;
            let levels = limit.map_or(usize::MAX, usize::from);
            book.bids.truncate(levels);
            book.asks.truncate(levels);
            Fetched::OrderBook(book)
        }
        Fetch::Ticker { .. } => Fetched::Ticker(Box::new(ticker(root).ok_or_else(no_data)?)),
        // The venue cannot be asked for trades from a time on.
        Fetch::Trades { since, .. } => {
            let mut trades = oldest_first(root, trade);
            trades.retain(|trade| is_since(since, trade.venue_time));
            Fetched::Trades(trades)
        }
        Fetch::Ohlcv { timeframe, since, limit, .. } => {
            let mut candles = oldest_first(root, |row| candle(row, *timeframe, cx.now));
            candles.retain(|candle| is_since(since, Some(candle.open_time)));
            let rows = limit.map_or(usize::MAX, usize::from);
            match since {
                Some(_) => candles.truncate(rows),
                None => drop(candles.drain(..candles.len().saturating_sub(rows))),
            }
            Fetched::Candles(candles)
        }
        // There is an account of each currency that the venue knows.
        Fetch::Balance => {
            let mut balances: Vec<_> = root.iter().filter_map(rows::balance).collect();
            balances.retain(|balance| balance.total.is_none_or(|total| !total.is_zero()));
            Fetched::Balances(balances)
        }
        Fetch::Order { .. } => Fetched::Orders(vec![rows::order(root, cx).ok_or_else(no_data)?]),
        Fetch::OpenOrders { .. } => Fetched::Orders(oldest_first(root, |row| rows::order(row, cx))),
        Fetch::ClosedOrders { since, .. } => {
            let mut list = oldest_first(root, |row| rows::order(row, cx));
            list.retain(|row| is_since(since, row.created));
            Fetched::Orders(list)
        }
        Fetch::MyTrades { since, .. } => {
            let mut trades = oldest_first(root, |row| rows::fill(row, cx));
            trades.retain(|trade| is_since(since, trade.venue_time));
            Fetched::MyTrades(trades)
        }
        Fetch::Deposits { currency, since, .. } => transactions(TransactionKind::Deposit, currency, since),
        Fetch::Withdrawals { currency, since, .. } => transactions(TransactionKind::Withdrawal, currency, since),
        Fetch::Ledger { currency: Some(currency), since, .. } => {
            let mut entries = oldest_first(root, |row| rows::ledger_entry(row, *currency));
            entries.retain(|entry| is_since(since, entry.venue_time));
            Fetched::Ledger(entries)
        }
        Fetch::TradingFees { market } => {
            let rate = |key: &str| root.money(key).ok_or_else(no_data);
            let (maker, taker) = (rate("maker_fee_rate")?, rate("taker_fee_rate")?);
            Fetched::TradingFees(vec![TradingFee { market: *market, maker, taker }])
        }
        _ => return Err(Error::new(ErrorKind::BadRequest, "this was never asked for")),
    })
}

fn oldest_first<'a, T>(root: Node<'a>, read: impl FnMut(Node<'a>) -> Option<T>) -> Vec<T> {
    let mut list: Vec<T> = root.iter().filter_map(read).collect();
    list.reverse();
    list
}

/// From `since` on, so many that the last one still fits. By itself the venue gives the newest.
fn candles_from(target: Target, timeframe: Timeframe, since: &Option<Wall>, limit: &Option<u16>) -> Target {
    let Some(start) = since else { return target };
    let length_ms = i64::from(timeframe.seconds()) * 1_000;
    let more = i64::from(limit.unwrap_or(CANDLES_MAX).clamp(1, CANDLES_MAX)) - 1;
    let start_ms = start.ms().saturating_add(length_ms - 1).div_euclid(length_ms).saturating_mul(length_ms);
    let end = Wall::from_ms(start_ms.saturating_add(more.saturating_mul(length_ms)));
    target.with("start", &iso_text(Wall::from_ms(start_ms))).with("end", &iso_text(end))
}

fn from(target: Target, since: &Option<Wall>) -> Target {
    match since {
        Some(since) => target.with("start_date", &iso_text(*since)),
        None => target,
    }
}

/// The id of an account with its currency.
fn account(row: Node<'_>) -> Option<(Id, Code)> {
    Some((row.id("id"), currency(row.text("currency")))).filter(|(id, code)| !id.is_none() && !code.is_none())
}

/// `{"id":"BTC","name":"Bitcoin","min_size":"0.00000001","status":"online","message":"","max_precision":"0.00000001",
/// "details":{"type":"crypto"}}`
fn currency_row(row: Node<'_>) -> Option<Currency> {
    let spelling = row.text("id");
    let unified = currency(spelling);
    if unified.is_none() {
        return None;
    }
    Some(Currency {
        name: Some(row.text("name")).filter(|name| !name.is_empty()).map(Into::into),
        active: row.text("status") == "online",
        scale: row.positive("max_precision").map(|step| step.trimmed().scale()),
        ..Currency::new(unified, spelling)
    })
}

/// `{"sequence":1924393896,"bids":[["0.01825","24.34811287",2]],"asks":[["0.01826","171.10414904",4]],"time":".."}`
fn book(root: Node<'_>, market: &Market) -> Result<FetchedBook, Error> {
    let side = |key: &str| -> Option<Vec<(Fixed, Fixed)>> {
        let levels = root.get(key)?.iter();
        levels.map(|level| Some((level.at(0)?.fixed().ok()?, level.at(1)?.fixed().ok()?))).collect()
    };
    let (Some(bids), Some(asks)) = (side("bids"), side("asks")) else {
        return Err(Error::new(ErrorKind::BadResponse, "the book has a level that cannot be read"));
    };
    let book = trading::book(market, [bids, asks])?;
    let nonce = root.get("sequence").and_then(|sequence| sequence.u64().ok());
    Ok(FetchedBook { nonce, venue_time: root.iso("time"), ..book })
}

/// `{"trade_id":843439,"price":"0.997999","size":"80.29769","time":"2020-01-28T02:13:33.012523Z","bid":"0.997094",
/// "ask":"0.998","volume":"1903188.03750000"}`
fn ticker(row: Node<'_>) -> Option<Ticker> {
    let number = |key: &str| row.get(key).and_then(|node| node.fixed_round().ok());
    Some(Ticker {
        venue_time: row.iso("time"),
        bid: number("bid"),
        ask: number("ask"),
        last: Some(number("price")?),
        base_volume: number("volume"),
        ..Ticker::default()
    })
}

/// `{"trade_id":15035219,"side":"sell","size":"0.27426731","price":"25820.42","time":"2023-09-10T13:47:41.447577Z"}`: the
/// side of the maker.
fn trade(row: Node<'_>) -> Option<Trade> {
    let (price, amount) = (row.number("price")?, row.number("size")?);
    let side = rows::side(row).map(rows::opposite);
    Some(Trade { id: row.id("trade_id"), venue_time: row.iso("time"), price, amount, side })
}

/// `[1591514160,0.02506,0.02508,0.02507,0.02507,0.02816506]`: start in seconds, low, high, open, close, volume.
fn candle(row: Node<'_>, timeframe: Timeframe, now: Wall) -> Option<Candle> {
    let number = |at: usize| row.at(at)?.fixed_round().ok();
    let open_time = Wall(row.at(0)?.i64().ok()?.checked_mul(1_000_000_000)?);
    Some(Candle {
        open_time,
        venue_time: None,
        open: number(3)?,
        high: number(2)?,
        low: number(1)?,
        close: number(4)?,
        volume: number(5)?,
        quote_volume: None,
        trades: None,
        closed: open_time.0.saturating_add(i64::from(timeframe.seconds()) * 1_000_000_000) <= now.0,
    })
}

fn no_data() -> Error {
    Error::new(ErrorKind::NullResponse, "the answer holds no data")
}
