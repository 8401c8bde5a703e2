//! REST. Public questions are `GET`, those of an account `POST` with a JSON body that is signed together with the path and
//! a number that only grows. Lists come newest first.

use super::private::BitfinexTrading;
use super::rest::{asset_of, code_of, refusal, status};
use super::rows::{self, Cells, absolute};
use super::{BITFINEX, INTERVALS, RARE};
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::json::{Doc, Node};
use crate::market::{Market, MarketKind};
use crate::model::{
    Candle, Code, Currency, Id, MarketId, TakerSide, Ticker, Timeframe, Trade, TradingFee, TransactionKind, Wall,
};
use crate::venue::shared::{no_candles, unreadable};
use crate::venue::trading::{
    self, Context, Fetch, Fetched, FetchedBook, OrderRow, SignedRequest, code, needs_credentials, target, unsupported,
};
use crate::venue::written::{key, push_integer};
use crate::venue::{Method, Reply};
use rust_decimal::Decimal;

/// Orders that are remembered as being looked for among those that ended.
const ENDED_MAX: usize = 256;

/// Clocks of two sides are not further apart, in milliseconds.
const APART_MS: i64 = 600_000;

impl BitfinexTrading {
    pub(super) fn request_for(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        let symbol = |id: &MarketId| cx.market(*id).map(|market| &*market.venue_symbol);
        match fetch {
            Fetch::Time => Err(unsupported("has no clock by REST; the pongs of its sockets tell the time")),
            Fetch::Status => Ok(public("/v2/platform/status", RARE)),
            Fetch::Currencies => Ok(public("/v2/conf/pub:list:currency,pub:map:currency:label", RARE)),
            Fetch::OrderBook { market, limit } => {
                let levels = if limit.is_some_and(|limit| limit <= 25) { 25 } else { 100 };
                Ok(public(&format!("/v2/book/{}/P0?len={levels}", symbol(market)?), 1))
            }
            Fetch::Ticker { market } => Ok(public(&format!("/v2/ticker/{}", symbol(market)?), 1)),
            Fetch::Tickers => Ok(public("/v2/tickers?symbols=ALL", 1)),
            Fetch::Trades { market, since, limit } => {
                let path = format!("/v2/trades/{}/hist", symbol(market)?);
                Ok(public(&history(&path, since, limit), 4))
            }
            Fetch::Ohlcv { market, timeframe, since, limit } => {
                let interval = INTERVALS.iter().find(|row| row.1 == *timeframe);
                let (name, _) = interval.ok_or_else(|| no_candles(&BITFINEX, *timeframe))?;
                let path = format!("/v2/candles/trade:{name}:{}/hist", symbol(market)?);
                Ok(public(&history(&path, since, limit), 2))
            }
            Fetch::Balance => self.private("/v2/auth/r/wallets", Body::default(), cx),
            Fetch::Order { market, id, client_order_id } => {
                self.ended.retain(|ended| *ended != looked_up(id, client_order_id));
                let path = of_market("/v2/auth/r/orders", market, "", cx)?;
                self.private(&path, by_id(id, client_order_id)?, cx)
            }
            Fetch::OpenOrders { market } => {
                self.private(&of_market("/v2/auth/r/orders", market, "", cx)?, Body::default(), cx)
            }
            Fetch::ClosedOrders { market, since, limit } => {
                let path = of_market("/v2/auth/r/orders", market, "/hist", cx)?;
                self.private(&path, Body::default().since(since).limit(limit, 2_500), cx)
            }
            Fetch::MyTrades { market, since, limit } => {
                let path = of_market("/v2/auth/r/trades", market, "/hist", cx)?;
                self.private(&path, Body::default().since(since).limit(limit, 2_500), cx)
            }
            // Both kinds come in one list, so that a limit cannot be the venue's.
            Fetch::Deposits { currency, since, limit } | Fetch::Withdrawals { currency, since, limit } => {
                let body = Body::default().since(since).limit(&limit.map(|_| 1_000), 1_000);
                self.private(&of_currency("/v2/auth/r/movements", currency), body, cx)
            }
            Fetch::Ledger { currency, since, limit } => {
                let body = Body::default().since(since).limit(limit, 2_500);
                self.private(&of_currency("/v2/auth/r/ledgers", currency), body, cx)
            }
            Fetch::Positions => self.private("/v2/auth/r/positions", Body::default(), cx),
            Fetch::TradingFees { .. } => self.private("/v2/auth/r/summary", Body::default(), cx),
            Fetch::Token | Fetch::RenewToken => Err(unsupported("has no tokens here; the private socket has a login")),
            Fetch::Raw { method, path, query, body, private } => {
                if *private && !query.is_empty() {
                    let text = "a private request has its parameters in the body, as JSON";
                    return Err(Error::new(ErrorKind::BadRequest, text));
                }
                let query = query.iter().map(|(key, value)| (&**key, &**value));
                let request = SignedRequest::new(*method, target(path, query), 1);
                match *private {
                    // Without parameters it is an object nevertheless.
                    true if body.is_empty() => self.signed(request, b"{}".to_vec(), cx),
                    true => self.signed(request, body.as_bytes().to_vec(), cx),
                    false => Ok(SignedRequest { body: body.as_bytes().to_vec(), ..request }),
                }
            }
        }
    }

    /// An order that is not among the open ones may have ended.
    pub(super) fn further_request_for(
        &mut self,
        fetch: &Fetch,
        cx: &Context<'_>,
    ) -> Option<Result<SignedRequest, Error>> {
        let Fetch::Order { market, id, client_order_id } = fetch else { return None };
        let body = by_id(id, client_order_id).map(|body| match client_order_id.as_u64() {
            // Our ids tell when they were made, those of a user's own perhaps not.
            Some(ms) if id.is_none() => {
                let made = i64::try_from(ms).unwrap_or(0).saturating_sub(APART_MS);
                let is_time = made > 1_000_000_000_000 && made <= cx.now.ms();
                body.since(&Some(Wall::from_ms(made)).filter(|_| is_time)).limit(&Some(2_500), 2_500)
            }
            _ => body,
        });
        let path = of_market("/v2/auth/r/orders", market, "/hist", cx);
        let request = path.and_then(|path| self.private(&path, body?, cx));
        if request.is_ok() {
            if self.ended.len() == ENDED_MAX {
                self.ended.pop_front();
            }
            self.ended.push_back(looked_up(id, client_order_id));
        }
        Some(request)
    }

    fn private(&mut self, path: &str, body: Body, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        self.signed(SignedRequest::new(Method::Post, path.to_owned(), 1), body.finish(), cx)
    }

    fn signed(&mut self, request: SignedRequest, body: Vec<u8>, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        let account = self.account.as_mut().ok_or_else(needs_credentials)?;
        let headers = account.headers(&request.target, &body, cx);
        Ok(SignedRequest { headers, body, ..request })
    }

    pub(super) fn fetched(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error> {
        if let Fetch::Raw { .. } = fetch {
            return Ok(Fetched::Raw { status: reply.status, body: reply.body.into() });
        }
        if reply.status != 200 {
            return Err(refusal(reply));
        }
        let doc = self.doc.parse(reply.body).map_err(unreadable)?;
        let root = doc.root();
        if root.at(0).is_some_and(|first| first.str() == Ok("error")) {
            return Err(refusal(reply));
        }
        let rows = Rows { doc: &doc, root, cx };
        if let Fetch::Order { id, client_order_id, .. } = fetch {
            let found = rows.order(id, client_order_id)?;
            let looked_up = looked_up(id, client_order_id);
            let was_ended = self.ended.iter().position(|ended| *ended == looked_up);
            if let Some(at) = was_ended {
                self.ended.remove(at);
            }
            return match found.is_empty() && was_ended.is_some() {
                true => Err(Error::new(ErrorKind::OrderNotFound, "there is no such order, open or ended")),
                false => Ok(Fetched::Orders(found)),
            };
        }
        rows.read(fetch)
    }
}

/// An answer, and what it is read with.
struct Rows<'a> {
    doc: &'a Doc<'a>,
    root: Node<'a>,
    cx: &'a Context<'a>,
}

impl<'a> Rows<'a> {
    fn read(&self, fetch: &Fetch) -> Result<Fetched, Error> {
        let cx = self.cx;
        Ok(match fetch {
            Fetch::Status => Fetched::Status(status(self.doc, cx.now)?),
            Fetch::Currencies => Fetched::Currencies(self.currencies()?),
            Fetch::OrderBook { market, limit } => Fetched::OrderBook(self.book(cx.market(*market)?, *limit)?),
            Fetch::Ticker { .. } => {
                let ticker = ticker(self.root, 0).ok_or_else(|| bad("the answer is no ticker"))?;
                Fetched::Ticker(Box::new(ticker))
            }
            Fetch::Tickers => {
                let row = |row: Node<'_>| Some((cx.market_of(row.at(0)?.str().ok()?)?, ticker(row, 1)?));
                Fetched::Tickers(self.list()?.iter().filter_map(row).collect())
            }
            Fetch::Trades { since, .. } => Fetched::Trades(self.from(*since, trade, |row| row.venue_time)?),
            Fetch::Ohlcv { since, timeframe, .. } => {
                let read = |row| candle(row, *timeframe, cx.now);
                Fetched::Candles(self.from(*since, read, |row| Some(row.open_time))?)
            }
            Fetch::Balance => Fetched::Balances(self.list()?.iter().filter_map(rows::balance).collect()),
            Fetch::OpenOrders { .. } | Fetch::ClosedOrders { .. } => {
                Fetched::Orders(self.from(None, |row| rows::order(row, cx), |row| row.created)?)
            }
            Fetch::MyTrades { since, .. } => {
                Fetched::MyTrades(self.from(*since, |row| rows::my_trade(row, cx), |row| row.venue_time)?)
            }
            Fetch::Deposits { limit, .. } => self.transactions(TransactionKind::Deposit, *limit)?,
            Fetch::Withdrawals { limit, .. } => self.transactions(TransactionKind::Withdrawal, *limit)?,
            Fetch::Ledger { since, .. } => {
                Fetched::Ledger(self.from(*since, rows::ledger_entry, |row| row.venue_time)?)
            }
            Fetch::Positions => {
                let positions = self.list()?.iter().filter_map(|row| rows::position(row, false, cx));
                Fetched::Positions(positions.filter(|position| position.side.is_some()).collect())
            }
            Fetch::TradingFees { market: Some(market) } => {
                Fetched::TradingFees(vec![self.trading_fee(cx.market(*market)?)?])
            }
            Fetch::TradingFees { market: None } => {
                // Those of derivatives are not there for everybody.
                let markets = cx.markets.iter().filter(|market| market.active);
                let fees: Vec<_> = markets.filter_map(|market| self.trading_fee(market).ok()).collect();
                if fees.is_empty() {
                    return Err(bad("the answer has no fees"));
                }
                Fetched::TradingFees(fees)
            }
            _ => return Err(Error::new(ErrorKind::BadRequest, "this was never asked for")),
        })
    }

    fn list(&self) -> Result<Node<'a>, Error> {
        Some(self.root)
            .filter(|root| root.kind() == crate::json::Kind::Array)
            .ok_or_else(|| bad("the answer is no list"))
    }

    /// Rows in the order of their times. One that cannot be read is left out.
    fn from<T>(
        &self,
        since: Option<Wall>,
        read: impl FnMut(Node<'a>) -> Option<T>,
        time: impl Fn(&T) -> Option<Wall>,
    ) -> Result<Vec<T>, Error> {
        let mut list: Vec<T> = self.list()?.iter().filter_map(read).collect();
        // Newest first; rows of one moment keep their order that way.
        if list.first().and_then(&time) > list.last().and_then(&time) || since.is_none() {
            list.reverse();
        }
        list.sort_by_key(|row| time(row));
        list.retain(|row| since.is_none_or(|since| time(row).is_none_or(|time| time >= since)));
        Ok(list)
    }

    fn transactions(&self, kind: TransactionKind, limit: Option<u16>) -> Result<Fetched, Error> {
        let mut list = self.from(None, |row| rows::transaction(kind, row), |row| row.created)?;
        if let Some(limit) = limit {
            list.drain(..list.len().saturating_sub(usize::from(limit)));
        }
        Ok(Fetched::Transactions(list))
    }

    fn order(&self, id: &Id, client_order_id: &Id) -> Result<Vec<OrderRow>, Error> {
        let mut list = self.from(None, |row| rows::order(row, self.cx), |row| row.created)?;
        list.retain(|row| if id.is_none() { row.client_order_id == *client_order_id } else { row.id == *id });
        Ok(list)
    }

    /// `[[PRICE,COUNT,AMOUNT],..]`, bids first; the amounts of asks are negative.
    fn book(&self, market: &Market, limit: Option<u16>) -> Result<FetchedBook, Error> {
        let (mut bids, mut asks) = (Vec::new(), Vec::new());
        for row in self.list()?.iter().map(Cells::of) {
            let level = row.number(0).zip(row.number(2));
            let (price, amount) = level.ok_or_else(|| bad("the book has a level that cannot be read"))?;
            let side = if amount.mantissa() < 0 { &mut asks } else { &mut bids };
            side.push((price, absolute(amount).ok_or_else(|| bad("the book has a number that cannot be held"))?));
        }
        if let Some(limit) = limit {
            bids.truncate(usize::from(limit.max(1)));
            asks.truncate(usize::from(limit.max(1)));
        }
        trading::book(market, [bids, asks])
    }

    /// `[["BTC","UST"],[["UST","Tether USDt"]]]`: names, and names in prose.
    fn currencies(&self) -> Result<Vec<Currency>, Error> {
        let (names, labels) = (self.list()?.at(0), self.root.at(1));
        let label_of = |name: &str| {
            let rows = labels.into_iter().flat_map(Node::iter).map(Cells::of);
            rows.filter(|row| row.text(0) == name).map(|row| row.text(1)).find(|label| !label.is_empty())
        };
        let currency = |name: &'a str| {
            let unified = code(code_of(name));
            let currency = Currency { name: label_of(name).map(Into::into), ..Currency::new(unified, name) };
            Some(currency).filter(|_| !unified.is_none())
        };
        let names = names.ok_or_else(|| bad("the answer has no list of currencies"))?.iter();
        Ok(names.filter_map(|name| currency(name.str().ok()?)).collect())
    }

    /// `[_,_,_,_,[[MAKER_CRYPTO,MAKER_STABLE,MAKER_FIAT,_,_,DERIVATIVE_REBATE],[TAKER_CRYPTO,TAKER_STABLE,TAKER_FIAT,_,_,
    /// TAKER_DERIVATIVE]],..]`
    fn trading_fee(&self, market: &Market) -> Result<TradingFee, Error> {
        let at = match (market.kind, &*market.quote) {
            (MarketKind::Spot, "USD" | "EUR" | "GBP" | "JPY" | "CNH" | "TRY" | "CHF" | "MXN") => 2,
            (MarketKind::Spot, "USDT" | "USDC" | "TUSD" | "EURT" | "EURS" | "CNHT" | "MXNT" | "DAI" | "XCHF") => 1,
            (MarketKind::Spot, _) => 0,
            _ => 5,
        };
        let fees = self.root.at(4);
        let fee = |side: usize| fees.and_then(|fees| Cells::of(fees.at(side)?).money(at));
        let (maker, taker) = fee(0).zip(fee(1)).ok_or_else(|| bad("the answer has no fees"))?;
        // Of derivatives it is what makers are given.
        let maker = if at == 5 { Decimal::ZERO - maker } else { maker };
        Ok(TradingFee { market: Some(market.id), maker, taker })
    }
}

/// `[BID,BID_SIZE,ASK,ASK_SIZE,CHANGE,CHANGE_FRACTION,LAST,VOLUME,HIGH,LOW]` from a place on, as on the channel.
fn ticker(row: Node<'_>, start: usize) -> Option<Ticker> {
    let cells = Cells::of(row);
    let number = |at: usize| cells.node(start + at)?.fixed_round().ok();
    let (last, change) = (number(6)?, number(4));
    Some(Ticker {
        bid: number(0),
        ask: number(2),
        open: change.and_then(|change| last.checked_sub(change)),
        last: Some(last),
        high: number(8),
        low: number(9),
        change,
        percentage: number(5).and_then(|fraction| fraction.checked_mul(Fixed::new(100, 0))),
        base_volume: number(7),
        ..Ticker::default()
    })
}

/// `[ID,MTS,AMOUNT,PRICE]`, negative amounts where the taker sold.
fn trade(row: Node<'_>) -> Option<Trade> {
    let cells = Cells::of(row);
    let (amount, price) = (cells.number(2)?, cells.number(3)?);
    let side = if amount.mantissa() < 0 { TakerSide::Sell } else { TakerSide::Buy };
    Some(Trade { id: cells.id(0), venue_time: cells.ms(1), price, amount: absolute(amount)?, side: Some(side) })
}

/// `[MTS,OPEN,CLOSE,HIGH,LOW,VOLUME]`.
fn candle(row: Node<'_>, timeframe: Timeframe, now: Wall) -> Option<Candle> {
    let cells = Cells::of(row);
    let open_time = cells.ms(0)?;
    Some(Candle {
        open_time,
        venue_time: None,
        open: cells.number(1)?,
        close: cells.number(2)?,
        high: cells.number(3)?,
        low: cells.number(4)?,
        volume: cells.node(5)?.fixed_round().ok()?,
        quote_volume: None,
        trades: None,
        closed: open_time.ms().saturating_add(i64::from(timeframe.seconds()) * 1_000) <= now.ms(),
    })
}

fn public(target: &str, weight: u32) -> SignedRequest {
    SignedRequest::new(Method::Get, target.to_owned(), weight)
}

/// What a public history is asked for: from a time on, the oldest first, or the newest.
fn history(path: &str, since: &Option<Wall>, limit: &Option<u16>) -> String {
    let limit = limit.map(|limit| limit.clamp(1, 10_000).to_string());
    let start = since.map(|since| since.ms().to_string());
    let sort = start.as_ref().map(|_| "1");
    let query = [("limit", limit.as_deref()), ("start", start.as_deref()), ("sort", sort)];
    target(path, query.into_iter().filter_map(|(key, value)| Some((key, value?))))
}

fn of_market(path: &str, market: &Option<MarketId>, end: &str, cx: &Context<'_>) -> Result<String, Error> {
    Ok(match market {
        Some(market) => format!("{path}/{}{end}", cx.market(*market)?.venue_symbol),
        None => format!("{path}{end}"),
    })
}

fn of_currency(path: &str, currency: &Option<Code>) -> String {
    match currency {
        Some(currency) => format!("{path}/{}/hist", asset_of(currency.as_str())),
        None => format!("{path}/hist"),
    }
}

/// How an order is remembered while it is looked for.
fn looked_up(id: &Id, client_order_id: &Id) -> Id {
    if id.is_none() { *client_order_id } else { *id }
}

/// By the venue's id. By ours nothing can be asked for without the day, so that all are looked through.
fn by_id(id: &Id, client_order_id: &Id) -> Result<Body, Error> {
    match (id.is_none(), client_order_id.is_none()) {
        (false, _) => {
            let number = id.as_u64();
            let number = number.ok_or_else(|| Error::new(ErrorKind::BadRequest, "ids of orders are numbers"))?;
            Ok(Body::default().with("id", &[number]))
        }
        (true, false) => Ok(Body::default()),
        (true, true) => {
            let text = "an order is looked up by its id or by ours: give one";
            Err(Error::new(ErrorKind::ArgumentsRequired, text))
        }
    }
}

fn bad(text: &str) -> Error {
    Error::new(ErrorKind::BadResponse, text)
}

/// The body of a private request: an object of numbers.
struct Body(Vec<u8>);

impl Default for Body {
    fn default() -> Body {
        Body(b"{".to_vec())
    }
}

impl Body {
    fn with(mut self, name: &str, list: &[u64]) -> Body {
        key(name, &mut self.0);
        for (at, number) in list.iter().enumerate() {
            self.0.push(if at == 0 { b'[' } else { b',' });
            push_integer(*number, &mut self.0);
        }
        self.0.push(b']');
        self
    }

    fn number(mut self, name: &str, number: u64) -> Body {
        key(name, &mut self.0);
        push_integer(number, &mut self.0);
        self
    }

    fn since(self, since: &Option<Wall>) -> Body {
        match since {
            Some(since) => self.number("start", u64::try_from(since.ms()).unwrap_or(0)),
            None => self,
        }
    }

    fn limit(self, limit: &Option<u16>, max: u16) -> Body {
        match limit {
            Some(limit) => self.number("limit", u64::from((*limit).clamp(1, max))),
            None => self,
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}
