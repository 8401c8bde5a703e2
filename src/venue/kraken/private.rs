//! The private socket: version 2 on a host of its own, with a token in each request.
//!
//! Two channels say everything: `executions` (orders and own trades) and `balances` (what is held, and the ledger, of
//! which deposits and withdrawals are a part). Each counts its messages; a number that is left out is a gap. Orders go
//! over the same socket.

use super::frames::{on_balance, on_execution, on_ledger};
use super::names::Pairs;
use super::rest::kind_of;
use super::{KRAKEN, orders};
use crate::credentials::{Credentials, Secret};
use crate::error::{Error, ErrorKind};
use crate::json::{DocParser, JsonError, Node};
use crate::market::Market;
use crate::model::{Id, Order};
use crate::venue::shared::cut;
use crate::venue::sign::HmacSha512;
use crate::venue::trading::{
    Ability, Context, Fetch, Fetched, Members, OrderAct, OrderRow, PrivateRow, PrivateRows, SignedRequest, Trading,
    TradingProfile, Way, unsupported,
};
use crate::venue::{MessageLimit, PrivateChannel, Reply};

/// The private half of Kraken.
pub(super) static TRADING: TradingProfile = TradingProfile {
    ws_url: "wss://ws-auth.kraken.com",
    needs_token: true,
    // A token lives as long as a subscription that was made with it.
    renew_token_s: 0,
    needs_login: false,
    native: {
        use PrivateChannel::*;
        &[Balance, Orders, MyTrades, Transactions, Ledger]
    },
    polled: &[(PrivateChannel::Positions, 10_000)],
    fills_add_up: false,
    fees_add_up: true,
    // The stream tells totals only.
    asks_balance: true,
    // A counter for each pair: 60 in the lowest tier, and one less each second.
    orders: MessageLimit { count: 60, window_ms: 60_000 },
    cancels_per_message_max: 1,
    my_trades_of_all: true,
    open_orders_of_all: true,
    abilities: {
        use Ability::*;
        // Without FillOrKill and CancelAllOrdersOfMarket.
        &[
            CreateOrder,
            MarketOrder,
            MarketOrderWithCost,
            StopOrder,
            StopLimitOrder,
            TakeProfitOrder,
            TakeProfitLimitOrder,
            PostOnly,
            ReduceOnly,
            ImmediateOrCancel,
            ClientOrderId,
            EditOrder,
            CancelOrder,
            CancelAllOrders,
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
    open: |credentials| Ok(Box::new(KrakenTrading::new(credentials)?)),
};

/// The adapter. `Debug` is left out on purpose: it holds a signer.
pub(super) struct KrakenTrading {
    pub(super) doc: DocParser,
    pub(super) account: Option<Account>,
    /// The last nonce. Each one is greater than the one before.
    pub(super) nonce: u64,
    pub(super) pairs: Pairs,
    link: Link,
}

/// Whose requests are signed, and with what.
pub(super) struct Account {
    pub(super) key: Secret,
    pub(super) signer: HmacSha512,
}

/// What belongs to a connection.
#[derive(Default)]
struct Link {
    /// The highest number of a request so far.
    last_request: u64,
    /// Subscriptions that were asked for, with the number of the request.
    asked: Vec<(u64, Vec<PrivateChannel>)>,
    /// The last number of a message, by [`Stream`].
    sequences: [Option<u64>; 2],
}

/// A channel of the venue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Executions,
    Balances,
}

/// Subscriptions that are remembered on one connection.
const ASKED_MAX: usize = 32;

/// Requests are numbered with 31 bits.
const REQUEST_MASK: u64 = 0x7fff_ffff;

impl KrakenTrading {
    pub(super) fn new(credentials: Option<&Credentials>) -> Result<KrakenTrading, Error> {
        let account = match credentials {
            Some(Credentials { key, secret, .. }) => {
                let signer = HmacSha512::of_base64(secret).map_err(|error| error.at(KRAKEN.id))?;
                Some(Account { key: key.clone(), signer })
            }
            None => None,
        };
        Ok(KrakenTrading { doc: DocParser::new(), account, nonce: 0, pairs: Pairs::default(), link: Link::default() })
    }
}

impl Trading for KrakenTrading {
    fn reset(&mut self) {
        self.link = Link::default();
    }

    fn socket_path(&self, _: &Context<'_>) -> String {
        "/v2".to_owned()
    }

    /// A free text may have 18 characters; a longer id would have to be a UUID.
    fn client_order_id(&self, number: u64) -> Id {
        let mut text = *b"wb0000000000000000";
        for (place, byte) in text[2..].iter_mut().enumerate() {
            *byte = b"0123456789abcdef"[(number >> (60 - 4 * place)) as usize & 15];
        }
        Id::new(&text).unwrap_or(Id::NONE)
    }

    fn login(&mut self, _: &Context<'_>, _: &mut Vec<u8>) {}

    fn subscribe(&mut self, channels: &[PrivateChannel], request: u64, cx: &Context<'_>, out: &mut Vec<Vec<u8>>) {
        let mut number = request;
        for stream in [Stream::Executions, Stream::Balances] {
            let wanted: Vec<_> =
                channels.iter().copied().filter(|channel| Stream::of(*channel) == Some(stream)).collect();
            if wanted.is_empty() {
                continue;
            }
            let mut message = Vec::with_capacity(256);
            orders::begin("subscribe", &mut message);
            message.extend_from_slice(match stream {
                // Trades of long ago would look like new ones; what was missed is fetched.
                Stream::Executions => {
                    br#""channel":"executions","snap_orders":true,"snap_trades":false,"order_status":true"#
                }
                Stream::Balances => br#""channel":"balances","snapshot":true"#,
            });
            self.link.end(number, cx, &mut message);
            out.push(message);
            if self.link.asked.len() == ASKED_MAX {
                self.link.asked.remove(0);
            }
            self.link.asked.push((number, wanted));
            number += 1;
        }
    }

    fn on_frame(&mut self, frame: &[u8], cx: &Context<'_>, out: &mut PrivateRows) -> Result<(), JsonError> {
        self.pairs.refresh(cx.markets);
        let KrakenTrading { doc, pairs, link, .. } = self;
        let doc = doc.parse(frame)?;
        let root = doc.root();
        let stream = match root.text("channel") {
            "executions" => Stream::Executions,
            "balances" => Stream::Balances,
            "" => {
                link.on_answer(root, out);
                return Ok(());
            }
            // Heartbeats and the status of the system.
            _ => return Ok(()),
        };
        let is_snapshot = root.text("type") == "snapshot";
        if link.is_gap(stream, is_snapshot, root.get("sequence").and_then(|number| number.u64().ok())) {
            out.push(PrivateRow::Gap);
        }
        for row in root.get("data").into_iter().flat_map(Node::iter) {
            match stream {
                Stream::Executions => on_execution(row, is_snapshot, pairs, out),
                Stream::Balances if is_snapshot => on_balance(row, out),
                Stream::Balances => on_ledger(row, out),
            }
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
        let written = has_token(cx).and_then(|()| match act {
            OrderAct::Create => orders::create(order, cx, out),
            OrderAct::Edit { price, amount } => orders::edit(order, *price, *amount, out),
            OrderAct::Cancel => orders::cancel(order, out),
        });
        written.map_err(|error| error.of_order().at(KRAKEN.id))?;
        self.link.end(request, cx, out);
        Ok(Way::Socket)
    }

    fn cancel_all(
        &mut self,
        market: Option<&Market>,
        request: u64,
        cx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Way, Error> {
        let possible = match market {
            Some(_) => {
                Err(unsupported("cancels all orders of the account at once, or single ones; not those of a market"))
            }
            None => has_token(cx),
        };
        possible.map_err(|error| error.of_order().at(KRAKEN.id))?;
        orders::begin("cancel_all", out);
        self.link.end(request, cx, out);
        Ok(Way::Socket)
    }

    fn on_order_reply(&mut self, _: &OrderAct, _: &Reply<'_>, _: &Context<'_>) -> Result<OrderRow, Error> {
        Err(unsupported("answers requests about orders on the private socket").of_order().at(KRAKEN.id))
    }

    fn request(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Result<SignedRequest, Error> {
        self.request_for(fetch, cx).map_err(|error| error.at(KRAKEN.id))
    }

    fn request_further(&mut self, fetch: &Fetch, cx: &Context<'_>) -> Option<Result<SignedRequest, Error>> {
        Some(self.further_request_for(fetch, cx)?.map_err(|error| error.at(KRAKEN.id)))
    }

    fn on_reply(&mut self, fetch: &Fetch, reply: &Reply<'_>, cx: &Context<'_>) -> Result<Fetched, Error> {
        self.fetched(fetch, reply, cx).map_err(|error| error.at(KRAKEN.id))
    }
}

impl Stream {
    fn of(channel: PrivateChannel) -> Option<Stream> {
        match channel {
            PrivateChannel::Orders | PrivateChannel::MyTrades => Some(Stream::Executions),
            PrivateChannel::Balance | PrivateChannel::Transactions | PrivateChannel::Ledger => Some(Stream::Balances),
            PrivateChannel::Positions => None,
        }
    }
}

/// The token comes before the connection, so that there is one unless something is out of order.
fn has_token(cx: &Context<'_>) -> Result<(), Error> {
    if cx.token.is_empty() {
        return Err(Error::new(ErrorKind::AuthenticationError, "there is no token yet for the private socket"));
    }
    Ok(())
}

impl Link {
    /// Writes the end of a request: the token and the number.
    fn end(&mut self, request: u64, cx: &Context<'_>, out: &mut Vec<u8>) {
        self.last_request = self.last_request.max(request);
        orders::end(cx.token, request & REQUEST_MASK, out);
    }

    /// Whether messages were lost before this one. A snapshot begins anew.
    fn is_gap(&mut self, stream: Stream, is_snapshot: bool, sequence: Option<u64>) -> bool {
        let Some(sequence) = sequence else { return false };
        let last = self.sequences[stream as usize].replace(sequence);
        !is_snapshot && last.is_some_and(|last| last.wrapping_add(1) != sequence)
    }

    /// `{"method":"add_order","req_id":123,"result":{"order_id":"AA5JGQ-SBMRC-SCJ7J7","order_userref":100054},
    /// "success":true}`, `{"error":"EOrder:Insufficient funds","method":"add_order","req_id":99,"success":false}`; to a
    /// subscription with a `channel` in the result.
    fn on_answer(&mut self, root: Node<'_>, out: &mut PrivateRows) {
        let (method, message) = (root.text("method"), root.text("error"));
        let success = root.get("success").and_then(|success| success.bool().ok());
        let Some(is_success) = success.or((!message.is_empty()).then_some(false)) else { return };
        let Some(request) = root.get("req_id").and_then(|id| id.u64().ok()).and_then(|id| self.request_of(id)) else {
            return;
        };
        let asked = self.asked.iter().find(|asked| asked.0 == request && matches!(method, "subscribe" | ""));
        if let Some((_, channels)) = asked {
            // A second subscription, for the sake of another of our channels, is refused and all is well.
            let is_confirmed = is_success || message.starts_with("Already subscribed");
            for channel in channels {
                out.push(if is_confirmed {
                    PrivateRow::Confirmed(*channel)
                } else {
                    PrivateRow::ChannelRefused(*channel, refused(message, kind_of(message)))
                });
            }
            return;
        }
        // A request that could not even be read is refused without its name.
        let is_nameless = method.is_empty() && !is_success;
        if !is_nameless && !matches!(method, "add_order" | "amend_order" | "cancel_order" | "cancel_all") {
            return;
        }
        if is_success {
            let result = root.get("result");
            let text = |key| result.map_or(Id::NONE, |result| result.id(key));
            let row = OrderRow { id: text("order_id"), client_order_id: text("cl_ord_id"), ..OrderRow::default() };
            out.push(PrivateRow::Answer { request, outcome: Ok(row) });
            return;
        }
        let kind = match kind_of(message) {
            // The market takes no such orders now, which is an answer: nothing is left to be found out.
            ErrorKind::OnMaintenance => ErrorKind::MarketClosed,
            kind => kind,
        };
        out.push(PrivateRow::Answer { request, outcome: Err(refused(message, kind).of_order()) });
        if message.starts_with("ESession:") {
            // The token has ended along with the subscriptions that kept it alive.
            out.push(PrivateRow::Expired);
        }
    }

    /// The latest request whose number has these last 31 bits.
    fn request_of(&self, answered: u64) -> Option<u64> {
        self.last_request.checked_sub(self.last_request.wrapping_sub(answered) & REQUEST_MASK)
    }
}

/// A refusal in the venue's words, its class of errors as the code.
pub(super) fn refused(message: &str, kind: ErrorKind) -> Error {
    let class = message.split_once(':').map_or(message, |parts| parts.0);
    Error::new(kind, cut(message)).with_code(cut(class)).at(KRAKEN.id)
}
