//! The private socket: that of the public streams on another host, where a login opens channel 0.
//!
//! The login subscribes to everything, so that there is nothing to subscribe; the answer to a ping shows that the channel
//! lives. Frames are `[0,"type",payload]`. Requests about orders are answered by notifications, which name the order and
//! not the request. The engine's greeting makes the venue put numbers behind each frame; nobody says how they count here.

use super::BITFINEX;
use super::orders;
use super::rest::{kind_or, refused};
use super::rows::{self, Cells};
use crate::credentials::{Credentials, Secret};
use crate::error::{Error, ErrorKind};
use crate::json::{DocParser, JsonError, Kind, Node};
use crate::market::Market;
use crate::model::{Id, Order, OrderStatus, Wall};
use crate::venue::sign::HmacSha384;
use crate::venue::trading::{
    Ability, Context, Fetch, Fetched, Members, OrderAct, OrderRow, PrivateRow, PrivateRows, SignedRequest, Trading,
    TradingProfile, Way, needs_credentials, unsupported,
};
use crate::venue::written::{integer, push_integer, text};
use crate::venue::{MessageLimit, PrivateChannel, Reply};
use std::collections::VecDeque;

/// The private half of Bitfinex.
pub(super) static TRADING: TradingProfile = TradingProfile {
    ws_url: "wss://api.bitfinex.com",
    needs_token: false,
    renew_token_s: 0,
    needs_login: true,
    native: &[PrivateChannel::Balance, PrivateChannel::Orders, PrivateChannel::MyTrades, PrivateChannel::Positions],
    polled: &[(PrivateChannel::Transactions, 60_000), (PrivateChannel::Ledger, 60_000)],
    fills_add_up: false,
    fees_add_up: true,
    // The stream leaves out what is at one's disposal where that would have to be computed.
    asks_balance: true,
    orders: MessageLimit { count: 1_000, window_ms: 300_000 },
    cancels_per_message_max: 1,
    my_trades_of_all: true,
    open_orders_of_all: true,
    abilities: {
        use Ability::*;
        // Without TakeProfitOrder, TakeProfitLimitOrder, MarketOrderWithCost, CancelAllOrdersOfMarket and FetchTime.
        &[
            CreateOrder,
            MarketOrder,
            StopOrder,
            StopLimitOrder,
            PostOnly,
            ReduceOnly,
            ImmediateOrCancel,
            FillOrKill,
            ClientOrderId,
            EditOrder,
            CancelOrder,
            CancelAllOrders,
            OrdersOnSocket,
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
    open: |credentials| Ok(Box::new(BitfinexTrading::new(credentials)?)),
};

/// The adapter. `Debug` is left out on purpose: it holds a signer.
pub(super) struct BitfinexTrading {
    pub(super) doc: DocParser,
    pub(super) account: Option<Account>,
    /// Orders that were not among the open ones, and are looked for among those that ended.
    pub(super) ended: VecDeque<Id>,
    link: Link,
}

/// Whose requests are signed, and with what.
pub(super) struct Account {
    key: Secret,
    signer: HmacSha384,
    /// The last nonce. Each one is greater than the one before, on the socket and by REST alike.
    nonce: u64,
}

/// What belongs to a connection.
#[derive(Default)]
struct Link {
    /// The login was sent and not answered yet.
    logging_in: bool,
    /// Channels that were asked for, with the number of the ping.
    asked: Vec<(u64, Vec<PrivateChannel>)>,
    /// Requests about orders that were not answered yet, the oldest first.
    pending: VecDeque<Pending>,
}

/// A request about an order.
struct Pending {
    request: u64,
    /// As the notification names it.
    kind: &'static str,
    /// The venue's id of the order, 0 if it has none yet.
    id: u64,
    /// Ours.
    cid: u64,
    /// When it was sent, if it changes the amount.
    resized: Option<Wall>,
}

/// Pings that are remembered on one connection.
const ASKED_MAX: usize = 32;

/// Requests that are remembered on one connection. One that is forgotten is taken for unanswered, and looked up.
const PENDING_MAX: usize = 4_096;

/// Later than so an answer does not come.
const ANSWERED_AFTER_NS: i64 = 10_000_000_000;

impl BitfinexTrading {
    pub(super) fn new(credentials: Option<&Credentials>) -> Result<BitfinexTrading, Error> {
        let account = credentials.map(Account::new).transpose().map_err(|error| error.at(BITFINEX.id))?;
        Ok(BitfinexTrading { doc: DocParser::new(), account, ended: VecDeque::new(), link: Link::default() })
    }

    fn write(&mut self, act: &OrderAct, order: &Order, cx: &Context<'_>, out: &mut Vec<u8>) -> Result<Pending, Error> {
        if self.account.is_none() {
            return Err(needs_credentials());
        }
        let [id, cid] = [order.id, order.client_order_id].map(|id| id.as_u64().unwrap_or(0));
        let (kind, resized) = match act {
            OrderAct::Create => {
                orders::create(order, cx, out)?;
                ("on-req", None)
            }
            OrderAct::Edit { price, amount } => {
                let resized = amount.map(|_| cx.now);
                if resized.is_some() && self.link.is_resizing(id, cid, cx.now) {
                    let text = "another change of its amount was not answered yet: each counts from the one before";
                    return Err(Error::new(ErrorKind::OperationRejected, text));
                }
                orders::edit(order, *price, *amount, cx, out)?;
                ("ou-req", resized)
            }
            OrderAct::Cancel => {
                orders::cancel(order, cx, out)?;
                ("oc-req", None)
            }
        };
        Ok(Pending { request: 0, kind, id, cid, resized })
    }
}

impl Account {
    fn new(credentials: &Credentials) -> Result<Account, Error> {
        let key = credentials.key.clone();
        // It stands in a header, and in JSON.
        if key.reveal().bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'"' | b'\\')) {
            let text = "the key holds what no key of this venue does: was it copied whole?";
            return Err(Error::new(ErrorKind::AuthenticationError, text));
        }
        Ok(Account { key, signer: HmacSha384::new(&credentials.secret)?, nonce: 0 })
    }

    /// Microseconds, unless time stands still.
    fn next_nonce(&mut self, cx: &Context<'_>) -> u64 {
        self.nonce = u64::try_from(cx.now.0 / 1_000).unwrap_or(0).max(self.nonce.saturating_add(1));
        self.nonce
    }

    /// Headers that sign a request: `/api`, path, nonce and body one after the other.
    pub(super) fn headers(&mut self, path: &str, body: &[u8], cx: &Context<'_>) -> Vec<(&'static str, String)> {
        let nonce = self.next_nonce(cx).to_string();
        let signature = self.signer.hex_text(&[b"/api", path.as_bytes(), nonce.as_bytes(), body]);
        vec![("bfx-nonce", nonce), ("bfx-apikey", self.key.reveal().to_owned()), ("bfx-signature", signature)]
    }
}

impl Trading for BitfinexTrading {
    fn reset(&mut self) {
        self.link.logging_in = false;
        self.link.asked.clear();
        self.link.pending.clear();
    }

    fn socket_path(&self, _: &Context<'_>) -> String {
        BITFINEX.ws_path.to_owned()
    }

    /// A number of 45 bits: milliseconds fit for a thousand years.
    fn client_order_id(&self, number: u64) -> Id {
        Id::of_u64(number % orders::CID_END)
    }

    /// `{"event":"auth","apiKey":"K","authNonce":N,"authPayload":"AUTHN","authSig":".."}`
    fn login(&mut self, cx: &Context<'_>, out: &mut Vec<u8>) {
        let Some(account) = &mut self.account else { return };
        let nonce = Id::of_u64(account.next_nonce(cx));
        out.extend_from_slice(br#"{"event":"auth""#);
        text("apiKey", account.key.reveal(), out);
        integer("authNonce", account.nonce, out);
        out.extend_from_slice(br#","authPayload":"AUTH"#);
        out.extend_from_slice(nonce.as_str().as_bytes());
        out.extend_from_slice(br#"","authSig":""#);
        account.signer.hex(&[b"AUTH", nonce.as_str().as_bytes()], out);
        out.extend_from_slice(br#""}"#);
        self.link.logging_in = true;
    }

    /// `{"event":"ping","cid":7}`
    fn subscribe(&mut self, channels: &[PrivateChannel], request: u64, _: &Context<'_>, out: &mut Vec<Vec<u8>>) {
        let wanted: Vec<_> = channels.iter().copied().filter(|channel| TRADING.native.contains(channel)).collect();
        if wanted.is_empty() {
            return;
        }
        let mut message = br#"{"event":"ping","cid":"#.to_vec();
        push_integer(request, &mut message);
        message.push(b'}');
        out.push(message);
        if self.link.asked.len() == ASKED_MAX {
            self.link.asked.remove(0);
        }
        self.link.asked.push((request, wanted));
    }

    fn on_frame(&mut self, frame: &[u8], cx: &Context<'_>, out: &mut PrivateRows) -> Result<(), JsonError> {
        let BitfinexTrading { doc, link, .. } = self;
        let doc = doc.parse(frame)?;
        let root = doc.root();
        if root.kind() == Kind::Object {
            link.on_event(root, out);
            return Ok(());
        }
        let cells = Cells::of(root);
        let (Some(0), Some(payload)) = (cells.integer(0), cells.node(2)) else { return Ok(()) };
        match cells.text(1) {
            "os" => out.rows.extend(payload.iter().filter_map(|row| rows::order(row, cx)).map(PrivateRow::Order)),
            "on" | "ou" => out.rows.extend(rows::order(payload, cx).map(PrivateRow::Order)),
            "oc" => out.rows.extend(rows::order(payload, cx).map(ended).map(PrivateRow::Order)),
            // `te` comes a moment before, without the fee.
            "tu" => out.rows.extend(rows::my_trade(payload, cx).map(PrivateRow::MyTrade)),
            "ws" => out.rows.extend(payload.iter().filter_map(rows::balance).map(PrivateRow::Balance)),
            "wu" => out.rows.extend(rows::balance(payload).map(PrivateRow::Balance)),
            "ps" => {
                let positions = payload.iter().filter_map(|row| rows::position(row, false, cx));
                out.rows.extend(positions.map(PrivateRow::Position));
            }
            kind @ ("pn" | "pu" | "pc") => {
                out.rows.extend(rows::position(payload, kind == "pc", cx).map(PrivateRow::Position));
            }
            "n" => link.on_notification(payload, cx, out),
            // Heartbeats, and what the account is worth.
            _ => {}
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
        let written = self.write(act, order, cx, out);
        let pending = written.map_err(|error| error.of_order().at(BITFINEX.id))?;
        self.link.sent(Pending { request, ..pending });
        Ok(Way::Socket)
    }

    fn cancel_all(
        &mut self,
        market: Option<&Market>,
        request: u64,
        _: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Way, Error> {
        let possible = match (market, &self.account) {
            (Some(_), _) => {
                Err(unsupported("cancels all orders of the account at once, or single ones; not those of a market"))
            }
            (None, None) => Err(needs_credentials()),
            (None, Some(_)) => Ok(()),
        };
        possible.map_err(|error| error.of_order().at(BITFINEX.id))?;
        orders::cancel_all(out);
        self.link.sent(Pending { request, kind: "oc_multi-req", id: 0, cid: 0, resized: None });
        Ok(Way::Socket)
    }

    fn on_order_reply(&mut self, _: &OrderAct, _: &Reply<'_>, _: &Context<'_>) -> Result<OrderRow, Error> {
        Err(unsupported("answers requests about orders on the private socket").of_order().at(BITFINEX.id))
    }

    fn request(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        self.request_for(fetch, cx).map_err(|error| error.at(BITFINEX.id))
    }

    fn request_further(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Option<Result<SignedRequest, Error>> {
        Some(self.further_request_for(fetch, cx)?.map_err(|error| error.at(BITFINEX.id)))
    }

    fn on_reply(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error> {
        self.fetched(fetch, reply, cx).map_err(|error| error.at(BITFINEX.id))
    }
}

/// An order that has ended, however the venue puts it.
fn ended(row: OrderRow) -> OrderRow {
    let status = row.status.filter(|status| status.is_final()).unwrap_or(OrderStatus::Canceled);
    OrderRow { status: Some(status), ..row }
}

impl Link {
    fn sent(&mut self, pending: Pending) {
        if self.pending.len() == PENDING_MAX {
            self.pending.pop_front();
        }
        self.pending.push_back(pending);
    }

    /// A change of this order's amount is on its way.
    fn is_resizing(&self, id: u64, cid: u64, now: Wall) -> bool {
        let is_fresh = |sent: Wall| now.0.saturating_sub(sent.0) < ANSWERED_AFTER_NS;
        self.pending.iter().any(|pending| pending.is_of(id, cid) && pending.resized.is_some_and(is_fresh))
    }

    /// `{"event":"auth","status":"OK","chanId":0,"userId":1,"caps":{..}}`, `{"event":"auth","status":"FAILED","chanId":0,
    /// "code":10100,"msg":"apikey: invalid"}`, `{"event":"pong","ts":1511545528111,"cid":7}`, `{"event":"info",
    /// "code":20051,"msg":".."}`, `{"event":"error","msg":"..","code":10000}`.
    fn on_event(&mut self, root: Node<'_>, out: &mut PrivateRows) {
        let number = |key: &str| root.get(key).and_then(|node| node.u64().ok());
        match (root.text("event"), root.text("status")) {
            ("auth", "OK") => {
                self.logging_in = false;
                out.push(PrivateRow::LoggedIn);
            }
            ("auth", _) => self.on_login_refused(root, out),
            // Nothing else goes out before the login is answered.
            ("error", _) if self.logging_in => self.on_login_refused(root, out),
            ("pong", _) => {
                let Some(at) = self.asked.iter().position(|asked| Some(asked.0) == number("cid")) else { return };
                let (_, channels) = self.asked.remove(at);
                out.rows.extend(channels.into_iter().map(PrivateRow::Confirmed));
            }
            // The server restarts; or maintenance is over, and everything is as after a restart.
            ("info", _) if matches!(number("code"), Some(20_051 | 20_061)) => out.push(PrivateRow::Shutdown),
            _ => {}
        }
    }

    fn on_login_refused(&mut self, root: Node<'_>, out: &mut PrivateRows) {
        self.logging_in = false;
        let code = root.get("code").and_then(|code| code.u64().ok());
        let message = root.text("msg");
        let kind = kind_or(code.unwrap_or(10_001), message, ErrorKind::AuthenticationError);
        out.push(PrivateRow::LoginRefused(refused(kind, code, message).at(BITFINEX.id)));
    }

    /// `[MTS,TYPE,MESSAGE_ID,_,INFO,CODE,STATUS,TEXT]`, where the info is the order, or a list of them.
    fn on_notification(&mut self, payload: Node<'_>, cx: &Context<'_>, out: &mut PrivateRows) {
        let cells = Cells::of(payload);
        let info = cells.node(4);
        let row = match info.and_then(|info| info.at(0)).filter(|first| first.kind() == Kind::Array) {
            Some(first) => Some(first),
            None => info,
        };
        let order = row.and_then(|row| rows::order(row, cx)).unwrap_or_default();
        let number = |id: Id| id.as_u64().unwrap_or(0);
        let (id, cid) = (number(order.id), number(order.client_order_id));
        let kind = cells.text(1);
        let is_same = |pending: &Pending| pending.kind == kind && (kind == ALL || pending.is_of(id, cid));
        let code = cells.integer(5);
        let outcome = match (cells.text(6), kind) {
            ("SUCCESS", "on-req") => Ok(order),
            // They say how the order was before.
            ("SUCCESS", "ou-req" | "oc-req") => {
                Ok(OrderRow { id: order.id, client_order_id: order.client_order_id, ..OrderRow::default() })
            }
            ("SUCCESS", ALL) => Ok(OrderRow::default()),
            ("ERROR" | "FAILURE", _) => {
                let message = cells.text(7);
                let kind = kind_or(code.unwrap_or(0), message, ErrorKind::ExchangeError);
                Err(refused(kind, code, message).of_order().at(BITFINEX.id))
            }
            _ => return,
        };
        let Some(at) = self.pending.iter().position(is_same) else { return };
        let Some(Pending { request, .. }) = self.pending.remove(at) else { return };
        out.push(PrivateRow::Answer { request, outcome });
    }
}

/// The answer to a request that cancels all orders.
const ALL: &str = "oc_multi-req";

impl Pending {
    /// It is about this order. Ids may be 0 for what is not known.
    fn is_of(&self, id: u64, cid: u64) -> bool {
        if self.id != 0 && id != 0 { self.id == id } else { self.cid != 0 && self.cid == cid }
    }
}
