//! REST requests. Public ones are `GET`, private ones forms that are signed together with a number that only grows.

use super::KRAKEN;
use super::names::{asset_of, rest_pair};
use super::private::KrakenTrading;
use crate::error::{Error, ErrorKind};
use crate::market::Market;
use crate::model::{Code, Id, MarketId, Wall};
use crate::venue::Method;
use crate::venue::shared::no_candles;
use crate::venue::sign::{percent_encode, sha256};
use crate::venue::trading::{Context, Fetch, SignedRequest, needs_credentials, unsupported};

/// The history of an account costs twice of what the rest does.
const HISTORY_WEIGHT: u32 = 2;

impl KrakenTrading {
    pub(super) fn request_for(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        let none = Query::default;
        match fetch {
            Fetch::Time => Ok(public("/0/public/Time", none())),
            Fetch::Status => Ok(public("/0/public/SystemStatus", none())),
            Fetch::Currencies => Ok(public("/0/public/Assets", none())),
            Fetch::OrderBook { market, limit } => {
                let count = limit.unwrap_or(100).clamp(1, 500);
                Ok(public("/0/public/Depth", pair(*market, cx)?.with("count", &count.to_string())))
            }
            Fetch::Ticker { market } => Ok(public("/0/public/Ticker", pair(*market, cx)?)),
            Fetch::Tickers => Ok(public("/0/public/Ticker", none())),
            Fetch::Trades { market, since, limit } => {
                // What comes after a nanosecond.
                let since = since.map(|since| since.0.saturating_sub(1).max(0).to_string());
                let count = limit.map(|limit| limit.clamp(1, 1_000).to_string());
                Ok(public("/0/public/Trades", pair(*market, cx)?.maybe("since", since).maybe("count", count)))
            }
            Fetch::Ohlcv { market, timeframe, since, .. } => {
                if !KRAKEN.timeframes.contains(timeframe) {
                    return Err(no_candles(&KRAKEN, *timeframe));
                }
                let seconds = i64::from(timeframe.seconds());
                // One earlier, because that of `since` itself may be left out. What is too early is dropped.
                let since = since.map(|since| (since.0 / 1_000_000_000).saturating_sub(seconds).max(0).to_string());
                let query = pair(*market, cx)?.with("interval", &(seconds / 60).to_string());
                Ok(public("/0/public/OHLC", query.maybe("since", since)))
            }
            Fetch::Balance => self.private("/0/private/BalanceEx", none(), 1, cx),
            Fetch::Order { id, client_order_id, .. } if id.is_none() => {
                self.private("/0/private/OpenOrders", by_our_id(client_order_id)?, 1, cx)
            }
            Fetch::Order { id, .. } => self.private("/0/private/QueryOrders", none().with("txid", id.as_str()), 1, cx),
            Fetch::OpenOrders { .. } => self.private("/0/private/OpenOrders", none(), 1, cx),
            Fetch::ClosedOrders { since, .. } => {
                self.private("/0/private/ClosedOrders", none().maybe("start", start(*since)), HISTORY_WEIGHT, cx)
            }
            Fetch::MyTrades { since, .. } => {
                self.private("/0/private/TradesHistory", none().maybe("start", start(*since)), HISTORY_WEIGHT, cx)
            }
            Fetch::Deposits { currency, since, .. } => {
                self.private("/0/private/DepositStatus", asset(currency).maybe("start", start(*since)), 1, cx)
            }
            Fetch::Withdrawals { currency, since, .. } => {
                self.private("/0/private/WithdrawStatus", asset(currency).maybe("start", start(*since)), 1, cx)
            }
            Fetch::Ledger { currency, since, .. } => {
                self.private("/0/private/Ledgers", asset(currency).maybe("start", start(*since)), HISTORY_WEIGHT, cx)
            }
            Fetch::Positions => {
                let query = none().with("docalcs", "true").with("consolidation", "market");
                self.private("/0/private/OpenPositions", query, 1, cx)
            }
            Fetch::TradingFees { market: Some(market) } => {
                self.private("/0/private/TradeVolume", pair(*market, cx)?, 1, cx)
            }
            Fetch::TradingFees { market: None } => {
                Err(Error::new(ErrorKind::ArgumentsRequired, "tells the fees of one market at a time: name it"))
            }
            Fetch::Token => self.private("/0/private/GetWebSocketsToken", none(), 1, cx),
            Fetch::RenewToken => Err(unsupported("has tokens that live as long as a subscription made with them")),
            Fetch::Raw { method, path, query, body, private } => {
                let query = query.iter().fold(none(), |query, (key, value)| query.with(key, value));
                if *private {
                    return self.signed_body(path, &query, body, 1, cx);
                }
                let mut request = SignedRequest { method: *method, ..public(path, query) };
                request.body = body.as_bytes().to_vec();
                Ok(request)
            }
        }
    }

    /// An order that is not among the open ones by our id may have ended.
    pub(super) fn further_request_for(
        &mut self,
        fetch: &Fetch,
        cx: &Context<'_>,
    ) -> Option<Result<SignedRequest, Error>> {
        match fetch {
            Fetch::Order { id, client_order_id, .. } if id.is_none() => {
                let query = by_our_id(client_order_id);
                Some(query.and_then(|query| self.private("/0/private/ClosedOrders", query, HISTORY_WEIGHT, cx)))
            }
            _ => None,
        }
    }

    fn private(&mut self, path: &str, query: Query, weight: u32, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        self.signed_body(path, &query, "", weight, cx)
    }

    /// `nonce=..&txid=..`, or an object that begins with the nonce. The signature covers the path, and the hash of the nonce
    /// and the body.
    fn signed_body(
        &mut self,
        path: &str,
        query: &Query,
        body: &str,
        weight: u32,
        cx: &Context<'_>,
    ) -> Result<SignedRequest, Error> {
        let account = self.account.as_ref().ok_or_else(needs_credentials)?;
        self.nonce = u64::try_from(cx.now.ms()).unwrap_or(0).max(self.nonce.saturating_add(1));
        let nonce = self.nonce.to_string();
        let object = body.trim_start().strip_prefix('{').map(str::trim_start);
        if object.is_some() && !query.0.is_empty() {
            return Err(Error::new(
                ErrorKind::BadRequest,
                "a private request is a form or an object, not both at once",
            ));
        }
        let (text, content_type) = match object {
            Some(members) => {
                let comma = if members.starts_with('}') { "" } else { "," };
                (format!(r#"{{"nonce":{nonce}{comma}{members}"#), "application/json")
            }
            None => {
                let mut text = format!("nonce={nonce}");
                for part in [query.0.as_str(), body].into_iter().filter(|part| !part.is_empty()) {
                    text.push('&');
                    text.push_str(part);
                }
                (text, "application/x-www-form-urlencoded")
            }
        };
        let mut request = SignedRequest::new(Method::Post, path.to_owned(), weight);
        let digest = sha256(&[nonce.as_bytes(), text.as_bytes()]);
        let signature = account.signer.base64_text(&[path.as_bytes(), &digest]);
        request.headers = vec![("API-Key", account.key.reveal().to_owned()), ("API-Sign", signature)];
        request.body = text.into_bytes();
        request.content_type = content_type;
        Ok(request)
    }
}

fn public(path: &str, query: Query) -> SignedRequest {
    let target = if query.0.is_empty() { path.to_owned() } else { format!("{path}?{}", query.0) };
    SignedRequest::new(Method::Get, target, 1)
}

/// Names and values, percent-encoded.
#[derive(Default)]
struct Query(String);

impl Query {
    fn with(mut self, key: &str, value: &str) -> Query {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        percent_encode(key, &mut self.0);
        self.0.push('=');
        percent_encode(value, &mut self.0);
        self
    }

    fn maybe(self, key: &str, value: Option<String>) -> Query {
        match value {
            Some(value) => self.with(key, &value),
            None => self,
        }
    }
}

fn pair(market: MarketId, cx: &Context<'_>) -> Result<Query, Error> {
    let market: &Market = cx.market(market)?;
    Ok(Query::default().with("pair", &rest_pair(&market.venue_symbol)))
}

fn asset(currency: &Option<Code>) -> Query {
    Query::default().maybe("asset", currency.map(|code| asset_of(code.as_str()).to_owned()))
}

fn by_our_id(id: &Id) -> Result<Query, Error> {
    if id.is_none() {
        return Err(Error::new(ErrorKind::ArgumentsRequired, "an order is looked up by its id or by ours: give one"));
    }
    Ok(Query::default().with("cl_ord_id", id.as_str()))
}

/// What comes after a second.
fn start(since: Option<Wall>) -> Option<String> {
    since.map(|since| (since.0.saturating_sub(1) / 1_000_000_000).max(0).to_string())
}
