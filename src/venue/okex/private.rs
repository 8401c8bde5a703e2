//! The private socket of OKX, and the entry of orders on it.
//!
//! One login opens the socket; each channel is subscribed by a message of its own, so that a refusal names it. Fills have
//! no channel that everybody may have: they stand in the rows of `orders`. Orders name the market by its number.

use super::fetch::accepted;
use super::orders::{push_order, push_u64};
use super::rest::refused;
use super::{OKCOIN, OKEX, quoted_id, rows};
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind};
use crate::json::{DocParser, JsonError, Node};
use crate::market::Market;
use crate::model::{Id, Order};
use crate::venue::shared::cut;
use crate::venue::sign::{HmacSha256, PhraseKeys};
use crate::venue::trading::{
    Ability, Context, Fetch, Fetched, Members, OrderAct, OrderRow, PrivateRow, PrivateRows, SignedRequest, Trading,
    TradingProfile, Way, needs_credentials, push_member, unsupported,
};
use crate::venue::{MessageLimit, Method, PrivateChannel, Profile, Reply};

const GLOBAL: TradingProfile = TradingProfile {
    ws_url: "wss://ws.okx.com:8443",
    needs_token: false,
    renew_token_s: 0,
    needs_login: true,
    native: &[PrivateChannel::Balance, PrivateChannel::Orders, PrivateChannel::MyTrades, PrivateChannel::Positions],
    polled: &[(PrivateChannel::Transactions, 30_000), (PrivateChannel::Ledger, 30_000)],
    fills_add_up: false,
    fees_add_up: false,
    asks_balance: false,
    // For each user and family of instruments.
    orders: MessageLimit { count: 60, window_ms: 2_000 },
    cancels_per_message_max: 1,
    my_trades_of_all: true,
    open_orders_of_all: true,
    abilities: {
        use Ability::*;
        &[
            CreateOrder,
            MarketOrder,
            MarketOrderWithCost,
            PostOnly,
            ReduceOnly,
            ImmediateOrCancel,
            FillOrKill,
            ClientOrderId,
            EditOrder,
            CancelOrder,
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
            FetchLedger,
            FetchPositions,
            FetchTradingFees,
        ]
    },
    open: |credentials| OkexTrading::open(&OKEX, true, credentials),
};

/// The private half of OKX.
pub(super) static TRADING: TradingProfile = GLOBAL;

/// The private half of Okcoin: spot only, orders by REST.
pub(super) static OKCOIN_TRADING: TradingProfile = TradingProfile {
    ws_url: "wss://real.okcoin.com:8443",
    native: &[PrivateChannel::Balance, PrivateChannel::Orders, PrivateChannel::MyTrades],
    abilities: {
        use Ability::*;
        &[
            CreateOrder,
            MarketOrder,
            MarketOrderWithCost,
            PostOnly,
            ImmediateOrCancel,
            FillOrKill,
            ClientOrderId,
            EditOrder,
            CancelOrder,
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
            FetchLedger,
            FetchTradingFees,
        ]
    },
    open: |credentials| OkexTrading::open(&OKCOIN, false, credentials),
    ..GLOBAL
};

/// The adapter of the private half.
pub(super) struct OkexTrading {
    pub(super) profile: &'static Profile,
    /// Orders go over the socket.
    on_socket: bool,
    pub(super) keys: Option<PhraseKeys>,
    pub(super) doc: DocParser,
    /// What was subscribed on this connection: each channel once at most.
    asked: Vec<Asked>,
    /// The login was sent and not answered yet.
    logging_in: bool,
}

struct Asked {
    channel: PrivateChannel,
    /// The venue's name of what serves it.
    name: &'static str,
    /// The number of the message that subscribed it, until it is answered.
    request: Option<u64>,
}

impl OkexTrading {
    /// An adapter for `profile`, with orders over the socket or by REST.
    pub(super) fn open(
        profile: &'static Profile,
        on_socket: bool,
        credentials: Option<&Credentials>,
    ) -> Result<Box<dyn Trading>, Error> {
        let keys = |credentials: &Credentials| PhraseKeys::new(credentials, HmacSha256::new(&credentials.secret)?);
        let keys = credentials.map(keys).transpose().map_err(|error| error.at(profile.id))?;
        let doc = DocParser::default();
        Ok(Box::new(OkexTrading { profile, on_socket, keys, doc, asked: Vec::new(), logging_in: false }))
    }
}

impl Trading for OkexTrading {
    fn reset(&mut self) {
        self.asked.clear();
        self.logging_in = false;
    }

    fn socket_path(&self, _: &Context<'_>) -> String {
        "/ws/v5/private".to_owned()
    }

    /// At most 32 letters and digits.
    fn client_order_id(&self, number: u64) -> Id {
        let digits: Id = Id::of_u64(number);
        let mut text = [0; 22];
        text[..2].copy_from_slice(b"wb");
        let len = 2 + digits.as_str().len();
        text[2..len].copy_from_slice(digits.as_str().as_bytes());
        Id::new(&text[..len]).unwrap_or(digits)
    }

    /// `{"op":"login","args":[{"apiKey":"K","passphrase":"P","timestamp":"1704164645","sign":"S"}]}`
    fn login(&mut self, cx: &Context<'_>, out: &mut Vec<u8>) {
        let Some(keys) = &self.keys else { return };
        let seconds = cx.now.0.div_euclid(1_000_000_000).to_string();
        out.extend_from_slice(b"{\"op\":\"login\",\"args\":[{");
        push_member("\"apiKey\":\"", keys.key.reveal(), out);
        push_member(",\"passphrase\":\"", keys.passphrase.reveal(), out);
        push_member(",\"timestamp\":\"", &seconds, out);
        out.extend_from_slice(b",\"sign\":\"");
        keys.hasher.base64(&[seconds.as_bytes(), b"GET/users/self/verify"], out);
        out.extend_from_slice(b"\"}]}");
        self.logging_in = true;
    }

    /// `{"id":"7","op":"subscribe","args":[{"channel":"orders","instType":"ANY"}]}`
    fn subscribe(&mut self, channels: &[PrivateChannel], request: u64, _: &Context<'_>, out: &mut Vec<Vec<u8>>) {
        let kinds = if self.profile.market_lists > 1 { r#","instType":"ANY""# } else { r#","instType":"SPOT""# };
        let mut next = request;
        for &channel in channels {
            let (name, kinds) = match channel {
                PrivateChannel::Balance => ("account", ""),
                PrivateChannel::Orders | PrivateChannel::MyTrades => ("orders", kinds),
                PrivateChannel::Positions => ("positions", kinds),
                PrivateChannel::Transactions | PrivateChannel::Ledger => continue,
            };
            let same = |asked: &&Asked| asked.name == name && asked.request.is_some_and(|number| number >= request);
            let number = self.asked.iter().find(same).and_then(|asked| asked.request).unwrap_or(next);
            if number == next {
                let text = format!(r#"{{"id":"{number}","op":"subscribe","args":[{{"channel":"{name}"{kinds}}}]}}"#);
                out.push(text.into_bytes());
                next += 1;
            }
            self.asked.retain(|asked| asked.channel != channel);
            self.asked.push(Asked { channel, name, request: Some(number) });
        }
    }

    fn on_frame(&mut self, frame: &[u8], cx: &Context<'_>, out: &mut PrivateRows) -> Result<(), JsonError> {
        if frame == b"pong" {
            return Ok(());
        }
        let doc = self.doc.parse(frame)?;
        let root = doc.root();
        match (root.text("event"), root.text("op")) {
            ("", "") => on_data(root, self.profile.id, cx, out),
            ("", _) => {
                if let Some(request) = number(root) {
                    out.push(PrivateRow::Answer { request, outcome: accepted(root, self.profile.id) });
                }
            }
            ("login", _) if root.text("code") == "0" => {
                self.logging_in = false;
                out.push(PrivateRow::LoggedIn);
            }
            ("subscribe", _) => {
                let name = root.get("arg").map_or("", |arg| arg.text("channel"));
                for asked in self.asked.iter_mut().filter(|asked| asked.name == name) {
                    asked.request = None;
                    out.push(PrivateRow::Confirmed(asked.channel));
                }
            }
            // Too many connections have this channel; the youngest does not get it.
            ("channel-conn-count-error", _) => {
                let text = format!("too many connections of this account watch {}", cut(root.text("channel")));
                let error = Error::new(ErrorKind::RateLimitExceeded, text).at(self.profile.id);
                refuse(&self.asked, |asked| asked.name == root.text("channel"), &error, out);
            }
            ("error" | "login", _) => {
                let (code, message) = (root.text("code"), root.text("msg"));
                let error = refused(code, message, self.profile.id);
                let named = message
                    .split_once("channel:")
                    .map_or("", |(_, rest)| rest.split(|c: char| c.is_whitespace() || c == ',').next().unwrap_or(""));
                match number(root).or_else(|| quoted_id(message)) {
                    Some(id) if self.asked.iter().any(|asked| asked.request == Some(id)) => {
                        refuse(&self.asked, |asked| asked.request == Some(id), &error, out);
                    }
                    Some(request) => out.push(PrivateRow::Answer { request, outcome: Err(error.of_order()) }),
                    // Nothing else goes out before the login is answered.
                    None if self.logging_in || error.kind() == ErrorKind::AuthenticationError => {
                        self.logging_in = false;
                        out.push(PrivateRow::LoginRefused(error));
                    }
                    None => refuse(&self.asked, |asked| asked.name == named, &error, out),
                }
            }
            // The connection will be closed for an upgrade of the service, in a minute at most.
            ("notice", _) if root.text("code") == "64008" => out.push(PrivateRow::Shutdown),
            _ => {}
        }
        Ok(())
    }

    /// `{"id":"1512","op":"order","args":[{"instIdCode":10459,"tdMode":"cash","side":"buy","ordType":"limit",
    /// "px":"42000.5","sz":"0.01","clOrdId":"b15"}]}`, and what stands in `args` by REST, with the market's name.
    fn order(
        &mut self,
        act: &OrderAct,
        order: &Order,
        request: u64,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Way, Error> {
        let at = |error: Error| error.at(self.profile.id);
        if self.keys.is_none() {
            return Err(at(needs_credentials()));
        }
        let market = order.market.ok_or_else(|| Error::new(ErrorKind::BadSymbol, "the order names no market"));
        let market = market.and_then(|market| cx.market(market)).map_err(at)?;
        let op = match act {
            OrderAct::Create => "order",
            OrderAct::Edit { .. } => "amend-order",
            OrderAct::Cancel => "cancel-order",
        };
        if !self.on_socket {
            let mut body = Vec::with_capacity(256);
            push_order(act, order, market, None, &mut body).map_err(at)?;
            return self
                .signed(Method::Post, format!("/api/v5/trade/{op}"), body, cx)
                .map(|it| Way::Rest(Box::new(it)));
        }
        out.extend_from_slice(b"{\"id\":\"");
        push_u64(request, out);
        out.extend_from_slice(b"\",\"op\":\"");
        out.extend_from_slice(op.as_bytes());
        out.extend_from_slice(b"\",\"args\":[");
        push_order(act, order, market, market.numeric_id, out).map_err(at)?;
        out.extend_from_slice(b"]}");
        Ok(Way::Socket)
    }

    fn cancel_all(&mut self, _: Option<&Market>, _: u64, _: &Context<'_>, _: &mut Vec<u8>) -> Result<Way, Error> {
        Err(unsupported("cannot cancel all orders at once; they are cancelled one by one").at(self.profile.id))
    }

    fn on_order_reply(&mut self, _: &OrderAct, reply: &Reply<'_>, _: &Context<'_>) -> Result<OrderRow, Error> {
        self.read_order_reply(reply)
    }

    fn request(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        self.ask(fetch, cx)
    }

    fn on_reply(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error> {
        self.read(fetch, reply, cx)
    }
}

/// `{"arg":{"channel":"orders","instType":"ANY","uid":"1"},"data":[{..}]}`
fn on_data(root: Node<'_>, venue: &'static str, cx: &Context<'_>, out: &mut PrivateRows) {
    let (Some(arg), Some(data)) = (root.get("arg"), root.get("data")) else { return };
    let channel = arg.text("channel");
    for row in data.iter() {
        match channel {
            "orders" => {
                out.rows.extend(rows::order(row, venue, cx).map(PrivateRow::Order));
                out.rows.extend(rows::my_trade(row, "fillFee", "fillFeeCcy", cx).map(PrivateRow::MyTrade));
            }
            "account" => {
                let details = row.get("details").into_iter().flat_map(Node::iter);
                out.rows.extend(details.filter_map(rows::balance).map(PrivateRow::Balance));
            }
            "positions" => out.rows.extend(rows::position(row, cx).map(PrivateRow::Position)),
            _ => {}
        }
    }
}

fn refuse(asked: &[Asked], which: impl Fn(&Asked) -> bool, error: &Error, out: &mut PrivateRows) {
    let refused = asked.iter().filter(|asked| which(asked));
    out.rows.extend(refused.map(|asked| PrivateRow::ChannelRefused(asked.channel, error.clone())));
}

/// The number of our request.
fn number(root: Node<'_>) -> Option<u64> {
    root.get("id")?.u64().ok()
}
