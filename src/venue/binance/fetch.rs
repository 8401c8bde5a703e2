//! REST of Binance spot and Binance.US: what can be asked for, and how the answers are read.

use super::orders::Params;
use super::private::Private;
use super::rest::{candle, currency_row, lacks, levels, list, refusal, ticker, trade};
use super::rows::{balance, deposit, my_trade, order_row, order_rows, withdrawal};
use crate::credentials::Secret;
use crate::error::{Error, ErrorKind};
use crate::json::Node;
use crate::model::{
    Balance, Candle, Health, MarketId, MyTrade, Status, Timeframe, Trade, TradingFee, Transaction, Wall,
};
use crate::venue::shared::{no_candles, unreadable};
use crate::venue::trading::{Members, book, needs_credentials, unsupported};
use crate::venue::{Context, Fetch, Fetched, Method, OrderRow, Reply, SignedRequest};

/// Weights of REST requests.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) ticker: u32,
    pub(super) tickers: u32,
    pub(super) trades: u32,
    pub(super) aggregates: u32,
    pub(super) candles: u32,
    pub(super) account: u32,
    pub(super) order: u32,
    pub(super) open_orders: u32,
    pub(super) all_open_orders: u32,
    /// Orders and own trades of the past.
    pub(super) history: u32,
}

/// Rows that one answer holds at most.
const ROWS_MAX: u16 = 1_000;

/// What a request needs besides its path and its parameters.
#[derive(Clone, Copy, PartialEq)]
enum Auth {
    None,
    /// The key alone.
    Key,
    /// Key, time and signature.
    Signed,
}

/// Parameters of a query.
struct Query<'a> {
    text: String,
    cx: &'a Context<'a>,
}

impl Query<'_> {
    fn params(&mut self) -> Params<'_> {
        Params { signed: &mut self.text, json: None }
    }

    fn add(&mut self, name: &str, value: &str) {
        self.params().text(name, value);
    }

    fn market(&mut self, market: MarketId) -> Result<(), Error> {
        let cx = self.cx;
        self.add("symbol", &cx.market(market)?.venue_symbol);
        Ok(())
    }

    fn needed_market(&mut self, market: Option<MarketId>, what: &str) -> Result<(), Error> {
        let text = || format!("{what} are asked for market by market: name one");
        self.market(market.ok_or_else(|| Error::new(ErrorKind::ArgumentsRequired, text()))?)
    }

    fn rows(&mut self, since: Option<Wall>, limit: Option<u16>) {
        if let Some(since) = since {
            self.params().integer("startTime", since.ms().max(0).cast_unsigned());
        }
        if let Some(limit) = limit {
            self.params().integer("limit", u64::from(limit.clamp(1, ROWS_MAX)));
        }
    }
}

impl Private {
    pub(super) fn request_of(&self, fetch: &Fetch, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        let weights = &self.variant.access.weights;
        let mut query = Query { text: String::new(), cx };
        let mut method = Method::Get;
        let (path, weight, auth) = match fetch {
            Fetch::Time => ("/api/v3/time", 1, Auth::None),
            Fetch::Status => (self.variant.status, 1, Auth::None),
            Fetch::Currencies => ("/sapi/v1/capital/config/getall", 10, Auth::Signed),
            Fetch::OrderBook { market, limit } => {
                query.market(*market)?;
                let (depth, weight) = self.variant.profile.snapshot_depth(limit.unwrap_or(100));
                // Between the steps of the weight any number does.
                query.params().integer("limit", u64::from(limit.unwrap_or(100).clamp(1, depth)));
                ("/api/v3/depth", weight, Auth::None)
            }
            Fetch::Ticker { market } => {
                query.market(*market)?;
                ("/api/v3/ticker/24hr", weights.ticker, Auth::None)
            }
            Fetch::Tickers => ("/api/v3/ticker/24hr", weights.tickers, Auth::None),
            // Single trades cannot be asked for by time, those added up can.
            Fetch::Trades { market, since, limit } => {
                query.market(*market)?;
                query.rows(*since, *limit);
                match since {
                    None => ("/api/v3/trades", weights.trades, Auth::None),
                    Some(_) => ("/api/v3/aggTrades", weights.aggregates, Auth::None),
                }
            }
            Fetch::Ohlcv { market, timeframe, since, limit } => {
                query.market(*market)?;
                query.add("interval", self.interval(*timeframe)?);
                query.rows(*since, *limit);
                ("/api/v3/klines", weights.candles, Auth::None)
            }
            Fetch::Balance => ("/api/v3/account", weights.account, Auth::Signed),
            Fetch::Order { market, id, client_order_id } => {
                query.needed_market(*market, "orders")?;
                match (id.is_none(), client_order_id.is_none()) {
                    (false, _) => query.add("orderId", id.as_str()),
                    (true, false) => query.add("origClientOrderId", client_order_id.as_str()),
                    _ => return Err(Error::new(ErrorKind::ArgumentsRequired, "an order needs an id, or our own")),
                }
                ("/api/v3/order", weights.order, Auth::Signed)
            }
            Fetch::OpenOrders { market } => {
                market.map(|market| query.market(market)).transpose()?;
                let weight = if market.is_some() { weights.open_orders } else { weights.all_open_orders };
                ("/api/v3/openOrders", weight, Auth::Signed)
            }
            Fetch::ClosedOrders { market, since, limit } => {
                query.needed_market(*market, "orders")?;
                query.rows(*since, *limit);
                ("/api/v3/allOrders", weights.history, Auth::Signed)
            }
            Fetch::MyTrades { market, since, limit } => {
                query.needed_market(*market, "own trades")?;
                query.rows(*since, *limit);
                ("/api/v3/myTrades", weights.history, Auth::Signed)
            }
            Fetch::Deposits { currency, since, limit } | Fetch::Withdrawals { currency, since, limit } => {
                if let Some(currency) = currency {
                    query.add("coin", currency.as_str());
                }
                query.rows(*since, *limit);
                match fetch {
                    Fetch::Deposits { .. } => ("/sapi/v1/capital/deposit/hisrec", 1, Auth::Signed),
                    _ => ("/sapi/v1/capital/withdraw/history", 1, Auth::Signed),
                }
            }
            Fetch::TradingFees { market } => {
                market.map(|market| query.market(market)).transpose()?;
                (self.variant.access.trading_fees, 1, Auth::Signed)
            }
            Fetch::Ledger { .. } => {
                return Err(unsupported("has no ledger; it has own trades, deposits and withdrawals"));
            }
            Fetch::Positions => return Err(unsupported("has no positions on spot markets; it has balances")),
            Fetch::Token | Fetch::RenewToken if !self.variant.access.listen_key => {
                return Err(unsupported(
                    "has no listen keys any more: the account's stream is subscribed with a signature",
                ));
            }
            Fetch::Token => {
                method = Method::Post;
                ("/api/v3/userDataStream", 1, Auth::Key)
            }
            Fetch::RenewToken => {
                if cx.token.is_empty() {
                    return Err(Error::new(ErrorKind::ArgumentsRequired, "there is no listen key yet"));
                }
                method = Method::Put;
                query.add("listenKey", cx.token);
                ("/api/v3/userDataStream", 1, Auth::Key)
            }
            Fetch::Raw { method, path, query: given, body, private } => {
                given.iter().for_each(|(name, value)| query.add(name, value));
                return self.raw(*method, path, query, body, *private);
            }
        };
        let keys = || self.keys.as_ref().ok_or_else(needs_credentials);
        if auth == Auth::Signed {
            query.params().timestamp(cx);
            return Ok(keys()?.signed_request(method, path, query.text, weight));
        }
        let mut request = SignedRequest::new(method, joined(path, &query.text), weight);
        if auth == Auth::Key {
            request.headers.push(("X-MBX-APIKEY", keys()?.key.reveal().to_owned()));
        }
        Ok(request)
    }

    /// Everything in the query, besides a body if one is given: it is signed with it.
    fn raw(
        &self,
        method: Method,
        path: &str,
        mut query: Query<'_>,
        body: &str,
        private: bool,
    ) -> Result<SignedRequest, Error> {
        let mut headers = Vec::new();
        if private {
            let keys = self.keys.as_ref().ok_or_else(needs_credentials)?;
            let cx = query.cx;
            query.params().timestamp(cx);
            let signature = keys.signer.hex_text(&[query.text.as_bytes(), body.as_bytes()]);
            query.add("signature", &signature);
            headers.push(("X-MBX-APIKEY", keys.key.reveal().to_owned()));
        }
        Ok(SignedRequest {
            headers,
            body: body.as_bytes().to_vec(),
            content_type: "application/x-www-form-urlencoded",
            ..SignedRequest::new(method, joined(path, &query.text), 1)
        })
    }

    fn interval(&self, timeframe: Timeframe) -> Result<&'static str, Error> {
        let known = self.variant.profile.timeframes.contains(&timeframe);
        if known { Ok(timeframe.as_str()) } else { Err(no_candles(self.variant.profile, timeframe)) }
    }

    pub(super) fn read(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error> {
        if let Fetch::Raw { .. } = fetch {
            return Ok(Fetched::Raw { status: reply.status, body: reply.body.into() });
        }
        if !(200..300).contains(&reply.status) {
            return Err(refusal(reply));
        }
        let doc = self.doc.parse(reply.body).map_err(unreadable)?;
        let root = doc.root();
        Ok(match fetch {
            Fetch::Time => Fetched::Time(root.ms("serverTime").ok_or_else(|| lacks("serverTime"))?),
            // `{"status":0,"msg":"normal"}`, 1 is maintenance.
            Fetch::Status => {
                let is_ok = root.get("status").is_none_or(|status| status.u64() == Ok(0));
                let status = if is_ok { Health::Ok } else { Health::Maintenance };
                Fetched::Status(Status { status, updated: cx.now, emulated: true })
            }
            Fetch::Currencies => Fetched::Currencies(list(root)?.filter_map(currency_row).collect()),
            Fetch::OrderBook { market, .. } => {
                let sides = [levels(root, "bids")?, levels(root, "asks")?];
                let mut book = book(cx.market(*market)?, sides)?;
                book.nonce = root.get("lastUpdateId").and_then(|node| node.u64().ok());
                Fetched::OrderBook(book)
            }
            Fetch::Ticker { .. } => Fetched::Ticker(Box::new(ticker(root))),
            Fetch::Tickers => {
                let row = |row: Node<'_>| Some((cx.market_of(row.text("symbol"))?, ticker(row)));
                Fetched::Tickers(list(root)?.filter_map(row).collect())
            }
            Fetch::Trades { .. } => {
                Fetched::Trades(by_time(list(root)?.filter_map(trade).collect(), |row: &Trade| row.venue_time))
            }
            Fetch::Ohlcv { .. } => {
                let rows = list(root)?.filter_map(|row| candle(row, cx.now)).collect();
                Fetched::Candles(by_time(rows, |row: &Candle| Some(row.open_time)))
            }
            Fetch::Balance => {
                let rows = root.get("balances").ok_or_else(|| lacks("balances"))?;
                let held = |row: &Balance| row.total.is_none_or(|total| !total.is_zero());
                let rows = list(rows)?.filter_map(|row| balance(row, "asset", "free", "locked"));
                Fetched::Balances(rows.filter(held).collect())
            }
            Fetch::Order { .. } => Fetched::Orders(vec![order_row(root, cx)]),
            Fetch::OpenOrders { .. } | Fetch::ClosedOrders { .. } => {
                let ended = |row: &OrderRow| row.status.is_some_and(|status| status.is_final());
                let closed = matches!(fetch, Fetch::ClosedOrders { .. });
                let mut rows = Vec::new();
                order_rows(list(root)?, cx, &mut |row| {
                    if !closed || ended(&row) {
                        rows.push(row)
                    }
                });
                Fetched::Orders(by_time(rows, |row| row.created))
            }
            Fetch::MyTrades { .. } => {
                let rows = list(root)?.filter_map(|row| my_trade(row, cx)).collect();
                Fetched::MyTrades(by_time(rows, |row: &MyTrade| row.venue_time))
            }
            Fetch::Deposits { .. } | Fetch::Withdrawals { .. } => {
                let read = if matches!(fetch, Fetch::Deposits { .. }) { deposit } else { withdrawal };
                let rows = list(root)?.filter_map(read).collect();
                Fetched::Transactions(by_time(rows, |row: &Transaction| row.created))
            }
            // `[{"symbol":"ADABNB","makerCommission":"0.001","takerCommission":"0.001"}]`
            Fetch::TradingFees { .. } => {
                let row = |row: Node<'_>| {
                    let (maker, taker) = (row.money("makerCommission")?, row.money("takerCommission")?);
                    Some(TradingFee { market: Some(cx.market_of(row.text("symbol"))?), maker, taker })
                };
                Fetched::TradingFees(list(root)?.filter_map(row).collect())
            }
            Fetch::Token => match root.text("listenKey") {
                "" => return Err(lacks("listenKey")),
                key => Fetched::Token(Secret::new(key)),
            },
            Fetch::RenewToken => Fetched::Done,
            Fetch::Ledger { .. } | Fetch::Positions | Fetch::Raw { .. } => {
                return Err(unsupported("was never asked for this"));
            }
        })
    }
}

fn joined(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Oldest first; what has no time comes before.
fn by_time<T>(mut rows: Vec<T>, time: impl Fn(&T) -> Option<Wall>) -> Vec<T> {
    rows.sort_by_key(|row| time(row));
    rows
}
