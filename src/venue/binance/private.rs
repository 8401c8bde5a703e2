//! The private half of Binance spot and Binance.US: the account's stream and order entry.
//!
//! Binance has one socket for both (the WS-API): requests are signed one by one, and the account's events come on it once
//! they are subscribed. Binance.US has Binance's way of 2023: a stream named by a listen key, and orders by REST. Which is
//! which stands in [`Access`]; the forms of orders are the same. Sources: Binance's spot API documentation
//! (web-socket-api, user-data-stream, rest-api, errors) as of 2026-07, and that of Binance.US of 2024-06. What REST
//! answers is read in `fetch`, events in `events`, rows of
//! both in `rows`; the forms of orders and signatures stand in `orders`.

use super::events::on_event;
use super::fetch::Weights;
use super::orders::{CANCEL, CANCEL_ALL, Command, Keys, PLACE, Params, Wanted, invalid, numbered, push_integer};
use super::rest::refusal;
use super::rows::{order_answer, order_refusal, order_rows, refusal_of};
use super::{VARIANTS, Variant};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::json::{DocParser, JsonError, Node};
use crate::market::Market;
use crate::model::{Id, Order};
use crate::venue::shared::unreadable;
use crate::venue::sign::percent_encode;
use crate::venue::trading::{needs_credentials, unsupported};
use crate::venue::{
    Ability, Context, Fetch, Fetched, MessageLimit, OrderAct, OrderRow, PrivateChannel, PrivateRow, PrivateRows, Reply,
    SignedRequest, Trading, TradingProfile, Way,
};

/// Binance spot.
pub(super) static BINANCE: TradingProfile = TradingProfile {
    ws_url: "wss://ws-api.binance.com:443",
    needs_token: false,
    renew_token_s: 0,
    abilities: {
        use Ability::*;
        &[
            CreateOrder,
            MarketOrder,
            MarketOrderWithCost,
            StopOrder,
            StopLimitOrder,
            TakeProfitOrder,
            TakeProfitLimitOrder,
            PostOnly,
            ImmediateOrCancel,
            FillOrKill,
            ClientOrderId,
            EditOrder,
            CancelOrder,
            CancelAllOrdersOfMarket,
            OrdersOnSocket,
            FetchTime,
            FetchStatus,
            FetchMarkets,
            FetchCurrencies,
            FetchOrderBook,
            FetchTicker,
            FetchTickers,
            FetchTrades,
            FetchOhlcv,
            FetchBalance,
            FetchOrder,
            FetchOpenOrders,
            FetchClosedOrders,
            FetchMyTrades,
            FetchDeposits,
            FetchWithdrawals,
            FetchTradingFees,
        ]
    },
    open: |credentials| Ok(Box::new(Private::new(&VARIANTS[0], credentials)?)),
    ..SHARED
};

/// Binance.US. Market orders over an amount of the quote currency are left out, as in CCXT.
pub(super) static BINANCEUS: TradingProfile = TradingProfile {
    ws_url: "wss://stream.binance.us:9443",
    needs_token: true,
    // A listen key lives for an hour after each renewal.
    renew_token_s: 1_200,
    orders: MessageLimit { count: 100, window_ms: 10_000 },
    abilities: {
        use Ability::*;
        &[
            CreateOrder,
            MarketOrder,
            StopOrder,
            StopLimitOrder,
            TakeProfitOrder,
            TakeProfitLimitOrder,
            PostOnly,
            ImmediateOrCancel,
            FillOrKill,
            ClientOrderId,
            EditOrder,
            CancelOrder,
            CancelAllOrdersOfMarket,
            FetchTime,
            FetchStatus,
            FetchMarkets,
            FetchCurrencies,
            FetchOrderBook,
            FetchTicker,
            FetchTickers,
            FetchTrades,
            FetchOhlcv,
            FetchBalance,
            FetchOrder,
            FetchOpenOrders,
            FetchClosedOrders,
            FetchMyTrades,
            FetchDeposits,
            FetchWithdrawals,
            FetchTradingFees,
        ]
    },
    open: |credentials| Ok(Box::new(Private::new(&VARIANTS[1], credentials)?)),
    ..SHARED
};

const SHARED: TradingProfile = TradingProfile {
    ws_url: "",
    needs_token: false,
    renew_token_s: 0,
    needs_login: false,
    native: &[PrivateChannel::Balance, PrivateChannel::Orders, PrivateChannel::MyTrades],
    // The list of withdrawals may be asked for ten times a minute.
    polled: &[(PrivateChannel::Transactions, 60_000)],
    fills_add_up: false,
    fees_add_up: true,
    asks_balance: false,
    orders: MessageLimit { count: 50, window_ms: 10_000 },
    cancels_per_message_max: 1,
    my_trades_of_all: false,
    open_orders_of_all: true,
    abilities: &[],
    open: |credentials| Ok(Box::new(Private::new(&VARIANTS[0], credentials)?)),
};

/// What differs between the private halves beside their tables.
#[derive(Debug)]
pub(super) struct Access {
    /// The account's events come on a stream that a listen key names, and orders go by REST. Otherwise both go over one
    /// socket, request by request signed.
    pub(super) listen_key: bool,
    /// An order's amount can be lowered in place.
    pub(super) amends: bool,
    /// Where the fees of trading are asked for.
    pub(super) trading_fees: &'static str,
    /// Weights of REST.
    pub(super) weights: Weights,
}

/// Binance's.
pub(super) const ACCESS: Access = Access {
    listen_key: false,
    amends: true,
    trading_fees: "/sapi/v1/asset/tradeFee",
    weights: Weights {
        ticker: 2,
        tickers: 80,
        trades: 25,
        aggregates: 4,
        candles: 2,
        account: 20,
        order: 4,
        open_orders: 6,
        all_open_orders: 80,
        history: 20,
    },
};

/// That of Binance.US: Binance's of 2023.
pub(super) const OLDER_ACCESS: Access = Access {
    listen_key: true,
    amends: false,
    trading_fees: "/sapi/v1/asset/query/trading-fee",
    weights: Weights {
        ticker: 1,
        tickers: 40,
        trades: 1,
        aggregates: 1,
        candles: 1,
        account: 10,
        order: 2,
        open_orders: 3,
        all_open_orders: 40,
        history: 10,
    },
};

/// The adapter.
pub(super) struct Private {
    pub(super) variant: &'static Variant,
    pub(super) keys: Option<Keys>,
    pub(super) doc: DocParser,
    /// What is signed; kept so that orders need no memory of their own.
    signed: String,
    stream: Stream,
}

/// One subscription serves all channels. Where it stands, and who waits for it.
#[derive(Default)]
struct Stream {
    active: bool,
    /// The request that the venue has not answered yet.
    asked: Option<u64>,
    waiting: Vec<PrivateChannel>,
}

impl Private {
    pub(super) fn new(variant: &'static Variant, credentials: Option<&Credentials>) -> Result<Private, Error> {
        let keys = credentials.map(Keys::new).transpose().map_err(|error| error.at(variant.profile.id))?;
        let (doc, signed, stream) = (DocParser::new(), String::new(), Stream::default());
        Ok(Private { variant, keys, doc, signed, stream })
    }

    /// Writes the request that `wanted` stands for.
    fn send(
        &mut self,
        command: &Command,
        wanted: &Wanted<'_>,
        request: u64,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Way, Error> {
        let keys = self.keys.as_ref().ok_or_else(needs_credentials)?;
        if self.variant.access.listen_key {
            let mut text = String::with_capacity(256);
            wanted.write(&mut Params { signed: &mut text, json: None }, cx);
            return Ok(Way::Rest(Box::new(keys.signed_request(command.http, command.path, text, 1))));
        }
        self.signed.clear();
        keys.socket_request(command.socket, request, &mut self.signed, out, |params| wanted.write(params, cx));
        Ok(Way::Socket)
    }

    fn order_of(
        &mut self,
        act: &OrderAct,
        order: &Order,
        request: u64,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Way, Error> {
        let market = order.market.ok_or_else(|| invalid("the market of the order is not known"))?;
        let symbol = &*cx.market(market)?.venue_symbol;
        let (command, wanted) = match act {
            OrderAct::Create => (&PLACE, Wanted::of_new(order, order.price, order.amount, symbol)?),
            OrderAct::Edit { price, amount } => {
                Wanted::of_edit(order, symbol, *price, *amount, request, &self.variant.access)?
            }
            OrderAct::Cancel => (&CANCEL, Wanted::of_cancel(Some(order), symbol)?),
        };
        self.send(command, &wanted, request, cx, out)
    }
}

impl Trading for Private {
    fn reset(&mut self) {
        self.stream = Stream::default();
    }

    fn socket_path(&self, cx: &Context<'_>) -> String {
        if !self.variant.access.listen_key {
            return "/ws-api/v3?returnRateLimits=false".to_owned();
        }
        let mut path = "/ws/".to_owned();
        percent_encode(cx.token, &mut path);
        path
    }

    fn client_order_id(&self, number: u64) -> Id {
        numbered("wb", number)
    }

    fn login(&mut self, _cx: &Context<'_>, _out: &mut Vec<u8>) {}

    fn subscribe(&mut self, channels: &[PrivateChannel], request: u64, cx: &Context<'_>, out: &mut Vec<Vec<u8>>) {
        let Some(keys) = &self.keys else { return };
        let native = channels.iter().filter(|channel| SHARED.native.contains(channel));
        let waiting = &mut self.stream.waiting;
        native.for_each(|channel| {
            if !waiting.contains(channel) {
                waiting.push(*channel)
            }
        });
        if waiting.is_empty() || self.stream.asked.is_some() {
            return;
        }
        self.stream.asked = Some(request);
        let mut message = Vec::new();
        self.signed.clear();
        if self.variant.access.listen_key || self.stream.active {
            // There is nothing to subscribe. The answer shows that the stream lives.
            let method =
                if self.stream.active && !self.variant.access.listen_key { "ping" } else { "LIST_SUBSCRIPTIONS" };
            message.extend_from_slice(b"{\"id\":");
            push_integer(request, &mut message);
            message.extend_from_slice(b",\"method\":\"");
            message.extend_from_slice(method.as_bytes());
            message.extend_from_slice(b"\"}");
        } else {
            let method = "userDataStream.subscribe.signature";
            keys.socket_request(method, request, &mut self.signed, &mut message, |params| params.timestamp(cx));
        }
        out.push(message);
    }

    fn on_frame(&mut self, frame: &[u8], cx: &Context<'_>, out: &mut PrivateRows) -> Result<(), JsonError> {
        let doc = self.doc.parse(frame)?;
        let root = doc.root();
        // Events stand in a member of the WS-API's messages, bare on a stream, and in another member of combined streams.
        let event = ["event", "data"].into_iter().find_map(|key| root.get(key)).unwrap_or(root);
        if event.get("e").is_some() {
            on_event(event, self.variant.profile.id, cx, out);
            return Ok(());
        }
        if let Some(request) = root.get("id").and_then(|node| node.u64().ok()) {
            on_answer(root, request, &mut self.stream, self.variant.profile.id, cx, out);
        }
        Ok(())
    }

    fn order(
        &mut self,
        act: &OrderAct,
        order: &Order,
        request: u64,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Way, Error> {
        let venue = self.variant.profile.id;
        self.order_of(act, order, request, cx, out).map_err(|error| error.at(venue))
    }

    fn cancel_all(
        &mut self,
        market: Option<&Market>,
        request: u64,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Way, Error> {
        let venue = self.variant.profile.id;
        let Some(market) = market else {
            return Err(unsupported("cancels all orders of one market only: name it, or cancel one by one").at(venue));
        };
        let wanted = Wanted::of_cancel(None, &market.venue_symbol).map_err(|error| error.at(venue))?;
        self.send(&CANCEL_ALL, &wanted, request, cx, out).map_err(|error| error.at(venue))
    }

    fn on_order_reply(&mut self, _act: &OrderAct, reply: &Reply<'_>, cx: &Context<'_>) -> Result<OrderRow, Error> {
        let venue = self.variant.profile.id;
        let is_ok = (200..300).contains(&reply.status);
        match self.doc.parse(reply.body) {
            Ok(doc) if is_ok => order_answer(doc.root(), cx).map_err(|error| error.at(venue)),
            Ok(doc) => order_refusal(doc.root(), reply.status, venue, cx),
            Err(error) if is_ok => Err(unreadable(error).at(venue).of_order()),
            // A page of some machine in between.
            Err(_) => Err(refusal(reply).at(venue).of_order()),
        }
    }

    fn request(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        self.request_of(fetch, cx).map_err(|error| error.at(self.variant.profile.id))
    }

    fn on_reply(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error> {
        let venue = self.variant.profile.id;
        self.read(fetch, reply, cx).map_err(|error| error.at(venue))
    }
}

/// `{"id":1,"status":200,"result":{"subscriptionId":0}}`, `{"id":2,"status":200,"result":{"symbol":"BTCUSDT",
/// "orderId":12569099453,..}}`, `{"id":2,"status":400,"error":{"code":-2010,"msg":".."}}`.
fn on_answer(
    root: Node<'_>,
    request: u64,
    stream: &mut Stream,
    venue: &'static str,
    cx: &Context<'_>,
    out: &mut PrivateRows,
) {
    let status = root.get("status").and_then(|node| node.u64().ok()).unwrap_or(200).min(999) as u16;
    let refused = root.get("error").filter(|error| !error.is_null());
    if stream.asked == Some(request) {
        stream.asked = None;
        let refusal = refused.map(|error| refusal_of(error, status).at(venue));
        stream.active |= refusal.is_none();
        for channel in stream.waiting.drain(..) {
            out.push(match &refusal {
                Some(error) => PrivateRow::ChannelRefused(channel, error.clone()),
                None => PrivateRow::Confirmed(channel),
            });
        }
        return;
    }
    let outcome = match (refused, root.get("result")) {
        (Some(error), _) => order_refusal(error, status, venue, cx),
        (None, Some(result)) if status < 400 => {
            // Orders that were cancelled together.
            order_rows(result.iter(), cx, &mut |row| out.push(PrivateRow::Order(row)));
            order_answer(result, cx).map_err(|error| error.at(venue))
        }
        (None, _) => order_refusal(root, status.max(400), venue, cx),
    };
    out.push(PrivateRow::Answer { request, outcome });
}
