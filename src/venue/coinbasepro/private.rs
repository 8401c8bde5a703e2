//! The private half of Coinbase: the channel `user` of the same socket, and the entry of orders by REST.
//!
//! The frame that subscribes carries the signature. It names all markets, since the venue has no word for that. What an
//! order was filled is never told: matches are, and the engine adds them up.

use super::rest::kind_of;
use super::{COINBASEPRO, orders, rows};
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind};
use crate::json::{DocParser, JsonError, Node};
use crate::market::Market;
use crate::model::{Code, Id, Order};
use crate::venue::shared::cut;
use crate::venue::sign::{HmacSha256, PhraseKeys};
use crate::venue::trading::{
    Ability, Context, Fetch, Fetched, Members, OrderAct, OrderRow, PrivateRow, PrivateRows, SignedRequest, Trading,
    TradingProfile, Way, needs_credentials, push_member,
};
use crate::venue::{MessageLimit, PrivateChannel, Reply};

/// The private half of Coinbase.
pub(super) static TRADING: TradingProfile = TradingProfile {
    ws_url: "wss://ws-feed.exchange.coinbase.com",
    needs_token: false,
    renew_token_s: 0,
    needs_login: false,
    native: &[PrivateChannel::Orders, PrivateChannel::MyTrades],
    // There is a channel of balances too, of accounts that have to be asked for and named one by one.
    polled: &[(PrivateChannel::Balance, 5_000), (PrivateChannel::Transactions, 30_000)],
    fills_add_up: true,
    fees_add_up: true,
    asks_balance: true,
    // For each profile, with bursts of twice as many.
    orders: MessageLimit { count: 15, window_ms: 1_000 },
    cancels_per_message_max: 1,
    my_trades_of_all: false,
    open_orders_of_all: true,
    abilities: {
        use Ability::*;
        &[
            CreateOrder,
            MarketOrder,
            MarketOrderWithCost,
            StopLimitOrder,
            TakeProfitLimitOrder,
            PostOnly,
            ImmediateOrCancel,
            FillOrKill,
            ClientOrderId,
            CancelOrder,
            CancelAllOrders,
            CancelAllOrdersOfMarket,
            FetchTime,
            FetchStatus,
            FetchMarkets,
            FetchCurrencies,
            FetchOrderBook,
            FetchTicker,
            FetchTrades,
            FetchOhlcv,
            FetchBalance,
            FetchOrder,
            FetchOpenOrders,
            FetchClosedOrders,
            FetchMyTrades,
            FetchDeposits,
            FetchWithdrawals,
            FetchLedger,
            FetchTradingFees,
        ]
    },
    open: CoinbaseTrading::open,
};

/// Products that the venue lists as active and yet does not let anybody subscribe.
const LEFT_OUT_MAX: usize = 64;

/// The adapter of the private half.
pub(super) struct CoinbaseTrading {
    pub(super) keys: Option<PhraseKeys>,
    pub(super) doc: DocParser,
    /// Channels that were subscribed on this connection, each once at most.
    asked: Vec<PrivateChannel>,
    left_out: Vec<Id>,
    stops: rows::Stops,
    /// The account of each currency: ledgers and transfers go by its id.
    pub(super) accounts: Vec<(Id, Code)>,
}

impl CoinbaseTrading {
    fn open(credentials: Option<&Credentials>) -> Result<Box<dyn Trading>, Error> {
        let keys =
            |credentials: &Credentials| PhraseKeys::new(credentials, HmacSha256::of_base64(&credentials.secret)?);
        Ok(Box::new(CoinbaseTrading {
            keys: credentials.map(keys).transpose().map_err(|error| error.at(COINBASEPRO.id))?,
            doc: DocParser::default(),
            asked: Vec::new(),
            left_out: Vec::new(),
            stops: rows::Stops::default(),
            accounts: Vec::new(),
        }))
    }
}

impl Trading for CoinbaseTrading {
    fn reset(&mut self) {
        self.asked.clear();
    }

    /// The socket of the public streams; the question mark keeps both apart.
    fn socket_path(&self, _: &Context<'_>) -> String {
        "/?".to_owned()
    }

    /// A random UUID by its looks, in which the number stands: the venue takes nothing else.
    fn client_order_id(&self, number: u64) -> Id {
        orders::uuid(number)
    }

    /// There is none.
    fn login(&mut self, _: &Context<'_>, _: &mut Vec<u8>) {}

    /// `{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channels":["user"],"signature":"S","key":"K",
    /// "passphrase":"P","timestamp":"1700000000"}`
    fn subscribe(&mut self, channels: &[PrivateChannel], _: u64, cx: &Context<'_>, out: &mut Vec<Vec<u8>>) {
        let Some(keys) = &self.keys else { return };
        for &channel in channels.iter().filter(|channel| TRADING.native.contains(channel)) {
            self.asked.retain(|asked| *asked != channel);
            self.asked.push(channel);
        }
        let seconds = cx.now.0.div_euclid(1_000_000_000).to_string();
        let mut text = br#"{"type":"subscribe","product_ids":["#.to_vec();
        let is_wanted =
            |market: &&Market| market.active && !self.left_out.iter().any(|id| id.as_str() == &*market.venue_symbol);
        for market in cx.markets.iter().filter(is_wanted) {
            let comma = if text.last() == Some(&b'[') { "\"" } else { ",\"" };
            push_member(comma, &market.venue_symbol, &mut text);
        }
        text.extend_from_slice(br#"],"channels":["user"],"signature":""#);
        keys.hasher.base64(&[seconds.as_bytes(), b"GET/users/self/verify"], &mut text);
        push_member("\",\"key\":\"", keys.key.reveal(), &mut text);
        push_member(",\"passphrase\":\"", keys.passphrase.reveal(), &mut text);
        push_member(",\"timestamp\":\"", &seconds, &mut text);
        text.push(b'}');
        out.push(text);
    }

    fn on_frame(&mut self, frame: &[u8], cx: &Context<'_>, out: &mut PrivateRows) -> Result<(), JsonError> {
        let doc = self.doc.parse(frame)?;
        let root = doc.root();
        match root.text("type") {
            "subscriptions" => {
                let mut channels = root.get("channels").into_iter().flat_map(Node::iter);
                if channels.any(|channel| channel.text("name") == "user") {
                    out.rows.extend(self.asked.drain(..).map(PrivateRow::Confirmed));
                }
            }
            "error" => refuse(root, &mut self.asked, &mut self.left_out, out),
            _ => rows::on_user_message(root, &mut self.stops, cx, out),
        }
        Ok(())
    }

    fn order(
        &mut self,
        act: &OrderAct,
        order: &Order,
        _: u64,
        cx: &Context<'_>,
        _: &mut Vec<u8>,
    ) -> Result<Way, Error> {
        if self.keys.is_none() {
            return Err(needs_credentials().at(COINBASEPRO.id));
        }
        let (method, target, body) = orders::request(act, order, cx).map_err(|error| error.at(COINBASEPRO.id))?;
        Ok(Way::Rest(Box::new(self.signed(method, target, body, cx)?)))
    }

    /// `DELETE /orders?product_id=BTC-USD`
    fn cancel_all(&mut self, market: Option<&Market>, _: u64, cx: &Context<'_>, _: &mut Vec<u8>) -> Result<Way, Error> {
        let (method, target) = orders::cancel_all(market);
        Ok(Way::Rest(Box::new(self.signed(method, target, Vec::new(), cx)?)))
    }

    fn on_order_reply(&mut self, act: &OrderAct, reply: &Reply<'_>, cx: &Context<'_>) -> Result<OrderRow, Error> {
        self.read_order_reply(act, reply, cx)
    }

    fn request(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        self.ask(fetch, cx)
    }

    fn on_reply(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error> {
        self.read(fetch, reply, cx)
    }
}

/// `{"type":"error","message":"Authentication Failed","reason":"{\"message\":\"Invalid API Key\"}"}`,
/// `{"type":"error","message":"Failed to subscribe","reason":"XYZ-USD is not a valid product"}`
fn refuse(root: Node<'_>, asked: &mut Vec<PrivateChannel>, left_out: &mut Vec<Id>, out: &mut PrivateRows) {
    let (message, reason) = (root.text("message"), root.text("reason"));
    let kind = match kind_of(message, ErrorKind::BadRequest) {
        ErrorKind::AuthenticationError | ErrorKind::BadRequest if reason.contains("timestamp expired") => {
            ErrorKind::InvalidNonce
        }
        kind => kind,
    };
    let text = if reason.is_empty() { cut(message) } else { cut(&format!("{message}: {reason}")) };
    let error = Error::new(kind, text).at(COINBASEPRO.id);
    match kind {
        ErrorKind::AuthenticationError | ErrorKind::InvalidNonce => {
            asked.clear();
            out.push(PrivateRow::LoginRefused(error));
        }
        // The venue closes the connection then.
        ErrorKind::NetworkError => out.push(PrivateRow::Shutdown),
        _ => {
            let product = reason.split_once(" is not a valid product").and_then(|(id, _)| Id::new(id.as_bytes()));
            match product.filter(|id| left_out.len() < LEFT_OUT_MAX && !left_out.contains(id)) {
                // One of many: without it the next connection goes well.
                Some(id) if !asked.is_empty() => {
                    left_out.push(id);
                    out.push(PrivateRow::Expired);
                }
                _ => out.rows.extend(asked.drain(..).map(|it| PrivateRow::ChannelRefused(it, error.clone()))),
            }
        }
    }
}
