//! REST answers: `{"error":[],"result":..}`, numbers mostly as texts, times in seconds with a fraction.

use super::names::Pairs;
use super::private::{KrakenTrading, refused};
use super::rest::{kind_of, message, status};
use super::rows::{
    bad, balance, bounded, candle, closing_reason, currency, kind_of_order, ledger_entry, limited, public_trade,
    seconds, side, status_of_order, ticker, transaction, whole,
};
use crate::error::{Error, ErrorKind};
use crate::json::Node;
use crate::model::{
    Fee, Id, Liquidity, MarketId, MyTrade, OrderStatus, Position, PositionSide, TakerSide, TradingFee, Transaction,
    TransactionKind, Wall,
};
use crate::venue::Reply;
use crate::venue::shared::unreadable;
use crate::venue::trading::{self, Context, Fetch, Fetched, FetchedBook, Members, OrderRow, id};
use rust_decimal::Decimal;

impl KrakenTrading {
    pub(super) fn fetched(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error> {
        if let Fetch::Raw { .. } = fetch {
            return Ok(Fetched::Raw { status: reply.status, body: reply.body.into() });
        }
        self.pairs.refresh(cx.markets);
        let KrakenTrading { doc, pairs, .. } = self;
        let of_status = || {
            let kind = ErrorKind::of_http_status(reply.status);
            Error::new(kind, format!("HTTP status {}", reply.status)).with_code(reply.status)
        };
        let doc = match doc.parse(reply.body) {
            Ok(doc) => doc,
            Err(_) if reply.status != 200 => return Err(of_status()),
            Err(error) => return Err(unreadable(error)),
        };
        if let Some(message) = message(&doc) {
            return Err(refused(message, kind_of(message)));
        }
        if reply.status != 200 {
            return Err(of_status());
        }
        if let Fetch::Status = fetch {
            return Ok(Fetched::Status(status(&doc, cx.now)));
        }
        let result = doc.get("result").ok_or_else(|| bad("the answer has no member \"result\""))?;
        Answer { result, pairs, cx }.read(fetch)
    }
}

/// What an answer holds, and what it is read with.
struct Answer<'a> {
    result: Node<'a>,
    pairs: &'a Pairs,
    cx: &'a Context<'a>,
}

impl<'a> Answer<'a> {
    fn read(&self, fetch: &Fetch) -> Result<Fetched, Error> {
        let result = self.result;
        Ok(match fetch {
            Fetch::Time => {
                let seconds = result.get("unixtime").and_then(seconds);
                Fetched::Time(seconds.ok_or_else(|| bad("the answer has no member \"unixtime\""))?)
            }
            Fetch::Currencies => Fetched::Currencies(result.entries().map(|(name, row)| currency(name, row)).collect()),
            Fetch::OrderBook { market, .. } => Fetched::OrderBook(self.book(*market)?),
            Fetch::Ticker { .. } => Fetched::Ticker(Box::new(ticker(self.only()?))),
            Fetch::Tickers => {
                let row = |(name, row): (&str, Node<'_>)| Some((self.pairs.find(name)?, ticker(row)));
                Fetched::Tickers(result.entries().filter_map(row).collect())
            }
            Fetch::Trades { since, limit, .. } => {
                let rows = whole(self.only()?.iter().map(public_trade), "trades")?;
                Fetched::Trades(bounded(rows, *since, *limit, |trade| trade.venue_time))
            }
            Fetch::Ohlcv { since, limit, .. } => {
                let rows = self.only()?;
                let last = rows.len().saturating_sub(1);
                // The last one still grows.
                let candles = rows.iter().enumerate().map(|(at, row)| candle(row, at < last));
                let candles = whole(candles, "candles")?;
                Fetched::Candles(bounded(candles, *since, *limit, |candle| Some(candle.open_time)))
            }
            Fetch::Balance => {
                Fetched::Balances(whole(result.entries().map(|(name, row)| balance(name, row)), "balances")?)
            }
            Fetch::Order { id, client_order_id, .. } => {
                Fetched::Orders(self.order(if id.is_none() { *client_order_id } else { Id::NONE })?)
            }
            Fetch::OpenOrders { market } => Fetched::Orders(self.orders("open", *market, None, None)?),
            Fetch::ClosedOrders { market, since, limit } => {
                Fetched::Orders(self.orders("closed", *market, *since, *limit)?)
            }
            Fetch::MyTrades { market, since, limit } => {
                let rows = self.list("trades")?.entries().map(|(name, row)| self.my_trade(name, row));
                let mut rows = whole(rows, "own trades")?;
                rows.retain(|trade| market.is_none() || trade.market == *market);
                Fetched::MyTrades(bounded(rows, *since, *limit, |trade| trade.venue_time))
            }
            Fetch::Deposits { since, limit, .. } => {
                Fetched::Transactions(self.transactions(TransactionKind::Deposit, *since, *limit)?)
            }
            Fetch::Withdrawals { since, limit, .. } => {
                Fetched::Transactions(self.transactions(TransactionKind::Withdrawal, *since, *limit)?)
            }
            Fetch::Ledger { since, limit, .. } => {
                let rows =
                    whole(self.list("ledger")?.entries().map(|(name, row)| ledger_entry(name, row)), "ledger entries")?;
                Fetched::Ledger(bounded(rows, *since, *limit, |entry| entry.venue_time))
            }
            Fetch::Positions => {
                // By market they come in a list, each trade for itself in an object.
                let rows = result.iter().map(|row| (row.text("posid"), row)).chain(result.entries());
                let mut rows = whole(rows.map(|(name, row)| self.position(name, row)), "positions")?;
                rows.retain(|position| !position.contracts.is_zero());
                Fetched::Positions(rows)
            }
            Fetch::TradingFees { market } => Fetched::TradingFees(vec![self.fees(*market)?]),
            Fetch::Token => {
                let token = result.text("token");
                if token.is_empty() {
                    return Err(bad("the answer has no member \"token\""));
                }
                Fetched::Token(crate::credentials::Secret::new(token))
            }
            _ => Fetched::Done,
        })
    }

    /// What stands under the name of the only market that was asked for, whatever its spelling.
    fn only(&self) -> Result<Node<'a>, Error> {
        let mut rows = self.result.entries().filter(|(name, _)| *name != "last");
        rows.next().map(|row| row.1).ok_or_else(|| bad("the answer has no market"))
    }

    fn list(&self, key: &str) -> Result<Node<'a>, Error> {
        self.result.get(key).ok_or_else(|| bad(&format!("the answer has no member {key:?}")))
    }

    /// `{"XXBTZUSD":{"asks":[["52523.00000","1.199",1616663113]],"bids":[["52522.90000","0.753",1616663112]]}}`
    fn book(&self, market: MarketId) -> Result<FetchedBook, Error> {
        let market = self.cx.market(market)?;
        let book = self.only()?;
        let level = |row: Node<'_>| Some((row.at(0)?.fixed().ok()?, row.at(1)?.fixed().ok()?));
        let side = |key: &str| match book.get(key) {
            Some(rows) => whole(rows.iter().map(level), "levels"),
            None => Err(bad(&format!("the book has no member {key:?}"))),
        };
        trading::book(market, [side("bids")?, side("asks")?])
    }

    /// One order: by its id from all of them, by our id from the open or the closed ones. That it is not open does not mean
    /// that there is none.
    fn order(&self, client_order_id: Id) -> Result<Vec<OrderRow>, Error> {
        let (list, is_open) = match (self.result.get("open"), self.result.get("closed")) {
            (Some(open), _) => (open, true),
            (None, closed) => (closed.unwrap_or(self.result), false),
        };
        let mut rows: Vec<_> = list.entries().filter(|(_, row)| row.get("descr").is_some()).collect();
        if !client_order_id.is_none() {
            rows.retain(|(_, row)| row.id("cl_ord_id") == client_order_id);
        }
        if rows.is_empty() && !is_open {
            return Err(Error::new(ErrorKind::OrderNotFound, "there is no such order"));
        }
        Ok(rows.into_iter().map(|(name, row)| self.order_row(name, row)).collect())
    }

    fn orders(
        &self,
        key: &str,
        market: Option<MarketId>,
        since: Option<Wall>,
        limit: Option<u16>,
    ) -> Result<Vec<OrderRow>, Error> {
        let mut rows: Vec<_> = self.list(key)?.entries().map(|(name, row)| self.order_row(name, row)).collect();
        rows.retain(|row| market.is_none() || row.market == market);
        // What ended since then was asked for too.
        rows.retain(|row| since.is_none() || row.created >= since || row.updated >= since);
        rows.sort_by_key(|row| row.created);
        Ok(limited(rows, since.is_some(), limit))
    }

    /// `{"refid":null,"userref":null,"cl_ord_id":null,"status":"closed","reason":null,"opentm":1586822919.3342,
    /// "closetm":1586822919.365,"starttm":0,"expiretm":0,"descr":{"pair":"XBTUSDT","type":"sell","ordertype":"market",
    /// "price":"0","price2":"0","leverage":"none","order":"sell 0.21804000 XBTUSDT @ market","close":""},
    /// "vol":"0.21804000","vol_exec":"0.21804000","cost":"1493.9","fee":"3.8","price":"6851.5","stopprice":"0.00000",
    /// "limitprice":"0.00000","misc":"","oflags":"fciq"}` under its id. The `price` of an order that waits for a trigger is
    /// that trigger, `price2` its limit.
    fn order_row(&self, name: &str, row: Node<'_>) -> OrderRow {
        let descr = row.get("descr").unwrap_or(row);
        let market = self.pairs.find(descr.text("pair"));
        let kind = kind_of_order(descr.text("ordertype"));
        let flags = row.text("oflags");
        let has_flag = |flag: &str| flags.split(',').any(|have| have == flag);
        let (price, trigger_price) = match kind {
            Some(kind) if kind.has_trigger() => {
                let limit = descr.positive("price2").or(row.positive("limitprice"));
                (limit.filter(|_| kind.has_price()), descr.positive("price").or(row.positive("stopprice")))
            }
            _ => (descr.positive("price"), None),
        };
        // The volume is one of the quote currency then.
        let is_cost = has_flag("viqc");
        let amount = row.positive("vol");
        let status = status_of_order(row.text("status"));
        OrderRow {
            id: id(name),
            client_order_id: row.id("cl_ord_id"),
            market,
            status,
            side: side(descr.text("type")),
            kind,
            time_in_force: None,
            post_only: row.get("oflags").map(|_| has_flag("post")),
            reduce_only: row.get("reduce_only").and_then(|flag| flag.bool().ok()),
            price,
            trigger_price,
            amount: amount.filter(|_| !is_cost),
            cost_ordered: amount.filter(|_| is_cost),
            filled: row.number("vol_exec").filter(|_| !is_cost),
            cost: row.money("cost"),
            average: row.money("price").filter(|price| !price.is_zero()),
            // The own trades say it once more, and from there it is added up.
            fee: None,
            created: row.get("opentm").and_then(seconds),
            updated: row.get("closetm").and_then(seconds),
            last_trade: None,
            error: status.filter(|status| *status == OrderStatus::Canceled).and_then(|_| closing_reason(row)),
        }
    }

    /// `{"ordertxid":"O26VBY-ISGAE-JP5TLU","postxid":"TKH2SE-M7IF5-CFI7LT","pair":"XBTUSDT","time":1688585840.8921,
    /// "type":"buy","ordertype":"limit","price":"29500.50","cost":"14750.25","fee":"23.60","vol":"0.50000000",
    /// "margin":"0.00000","misc":"","trade_id":1001,"maker":true,"ledgers":["L4UESK-KG3EQ-BJM7HJ"]}` under its id.
    fn my_trade(&self, name: &str, row: Node<'_>) -> Option<MyTrade> {
        let market = self.pairs.find(row.text("pair"));
        // Paid in the quote currency, unless the order asked for the other one, which only the stream tells.
        let fee = market.and_then(|market| {
            let currency = trading::code(&self.cx.market(market).ok()?.quote);
            Some(Fee { currency, cost: row.money("fee")? })
        });
        let liquidity = row.get("maker").and_then(|maker| maker.bool().ok());
        Some(MyTrade {
            id: id(name),
            order: row.id("ordertxid"),
            market,
            venue_time: row.get("time").and_then(seconds),
            side: side(row.text("type"))?,
            price: row.number("price")?,
            amount: row.number("vol")?,
            cost: row.money("cost"),
            liquidity: liquidity.map(|maker| if maker { Liquidity::Maker } else { Liquidity::Taker }),
            fee,
            backfilled: true,
        })
    }

    /// A list, or a page of one in an object.
    fn transactions(
        &self,
        kind: TransactionKind,
        since: Option<Wall>,
        limit: Option<u16>,
    ) -> Result<Vec<Transaction>, Error> {
        let pages = self.result.entries().filter(|(name, _)| *name != "next_cursor").map(|(_, page)| page);
        let rows = self.result.iter().chain(pages.flat_map(Node::iter));
        let rows = whole(rows.map(|row| transaction(kind, row)), "transactions")?;
        Ok(bounded(rows, since, limit, |transaction| transaction.created))
    }

    /// `{"pair":"XXBTZUSD","type":"buy","cost":"50000.00","fee":"75.00","vol":"0.50000000","vol_closed":"0.00000000",
    /// "margin":"10000.00","value":"51000.0","net":"+1000.0000","time":1714500000.123}`
    fn position(&self, name: &str, row: Node<'_>) -> Option<Position> {
        let (volume, closed) = (row.money("vol")?, row.money("vol_closed").unwrap_or_default());
        let cost = row.money("cost");
        Some(Position {
            id: id(name),
            market: self.pairs.find(row.text("pair")),
            side: Some(if side(row.text("type"))? == TakerSide::Buy {
                PositionSide::Long
            } else {
                PositionSide::Short
            }),
            contracts: volume.checked_sub(closed)?.abs(),
            notional: row.money("value"),
            entry_price: cost.and_then(|cost| cost.checked_div(volume)),
            initial_margin: row.money("margin"),
            unrealized_pnl: row.money("net"),
            updated: row.get("time").and_then(seconds),
            ..Position::default()
        })
    }

    /// `{"currency":"ZUSD","volume":"0.0000","fees":{"XXBTZUSD":{"fee":"0.2600","minfee":"0.1000"}},
    /// "fees_maker":{"XXBTZUSD":{"fee":"0.1600"}}}` in percent. Without the second, both are the same.
    fn fees(&self, market: Option<MarketId>) -> Result<TradingFee, Error> {
        let rate = |key: &str| {
            let percent = self.result.get(key)?.entries().next()?.1.money("fee")?;
            percent.checked_div(Decimal::ONE_HUNDRED)
        };
        let taker = rate("fees").ok_or_else(|| bad("the answer has no fees"))?;
        Ok(TradingFee { market, maker: rate("fees_maker").unwrap_or(taker), taker })
    }
}
