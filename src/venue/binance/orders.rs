//! Requests about orders: which parameters each form of an order has, and how they are written and signed.

use super::private::Access;
use crate::credentials::{Credentials, Secret};
use crate::decimal::{self, Fixed};
use crate::error::{Error, ErrorKind};
use crate::model::{Id, Order, OrderKind, TakerSide, TimeInForce};
use crate::venue::sign::{HmacSha256, percent_encode};
use crate::venue::trading::unsupported;
use crate::venue::{Context, Method, SignedRequest};

/// Who we are.
pub(super) struct Keys {
    pub(super) key: Secret,
    pub(super) signer: HmacSha256,
}

impl Keys {
    pub(super) fn new(credentials: &Credentials) -> Result<Keys, Error> {
        let wrong = |text: &str| Err(Error::new(ErrorKind::AuthenticationError, text));
        let (key, secret) = (&credentials.key, &credentials.secret);
        if key.reveal().is_empty() || !key.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("the key is empty or holds blanks: was it copied whole?");
        }
        if secret.reveal().is_empty() || secret.reveal().contains("-----BEGIN") {
            return wrong("the secret has to be that of an HMAC key; RSA and Ed25519 keys are not read");
        }
        Ok(Keys { key: key.clone(), signer: HmacSha256::new(secret)? })
    }

    /// A REST request with all its parameters, the time among them, signed.
    pub(super) fn signed_request(&self, method: Method, path: &str, mut params: String, weight: u32) -> SignedRequest {
        let signature = self.signer.hex_text(&[params.as_bytes()]);
        params.push_str("&signature=");
        params.push_str(&signature);
        let mut request = SignedRequest::new(method, path.to_owned(), weight);
        match method {
            Method::Get | Method::Delete => {
                request.target.push('?');
                request.target.push_str(&params);
            }
            Method::Post | Method::Put => {
                request.body = params.into_bytes();
                request.content_type = "application/x-www-form-urlencoded";
            }
        }
        request.headers.push(("X-MBX-APIKEY", self.key.reveal().to_owned()));
        request
    }

    /// `{"id":1,"method":"order.cancel","params":{"apiKey":"..","orderId":5,"symbol":"BTCUSDT","timestamp":..,
    /// "signature":".."}}`. `write` gives the parameters but for the key, which is always the first; `signed` is empty.
    pub(super) fn socket_request(
        &self,
        method: &str,
        request: u64,
        signed: &mut String,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Params<'_>),
    ) {
        out.extend_from_slice(b"{\"id\":");
        push_integer(request, out);
        out.extend_from_slice(b",\"method\":\"");
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(b"\",\"params\":{");
        let mut params = Params { signed, json: Some(out) };
        params.text("apiKey", self.key.reveal());
        write(&mut params);
        out.extend_from_slice(b",\"signature\":\"");
        self.signer.hex(&[signed.as_bytes()], out);
        out.extend_from_slice(b"\"}}");
    }
}

pub(super) fn push_integer(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(Id::of_u64(number).as_str().as_bytes());
}

/// Parameters as they are signed, which Binance wants by the order of their names where they go over the socket: there
/// they are written as JSON at the same time, and not percent-encoded.
pub(super) struct Params<'a> {
    pub(super) signed: &'a mut String,
    pub(super) json: Option<&'a mut Vec<u8>>,
}

impl Params<'_> {
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        match &mut self.json {
            Some(json) => {
                self.signed.push_str(value);
                json.push(b'"');
                for byte in value.bytes() {
                    if matches!(byte, b'"' | b'\\') {
                        json.push(b'\\');
                    }
                    json.push(byte);
                }
                json.push(b'"');
            }
            None => percent_encode(value, self.signed),
        }
    }

    /// Prices and amounts are texts in JSON.
    fn number(&mut self, name: &str, value: Option<Fixed>) {
        let Some(value) = value else { return };
        self.name(name);
        let start = self.signed.len();
        // Writing to a text cannot fail.
        let _ = decimal::write(value.mantissa(), value.scale(), self.signed);
        if let Some(json) = &mut self.json {
            json.push(b'"');
            json.extend_from_slice(&self.signed.as_bytes()[start..]);
            json.push(b'"');
        }
    }

    pub(super) fn integer(&mut self, name: &str, value: u64) {
        self.name(name);
        let text = Id::of_u64(value);
        self.signed.push_str(text.as_str());
        if let Some(json) = &mut self.json {
            json.extend_from_slice(text.as_str().as_bytes());
        }
    }

    pub(super) fn timestamp(&mut self, cx: &Context<'_>) {
        self.integer("timestamp", cx.now.ms().max(0).cast_unsigned());
    }

    fn name(&mut self, name: &str) {
        let first = self.signed.is_empty();
        if !first {
            self.signed.push('&');
        }
        self.signed.push_str(name);
        self.signed.push('=');
        if let Some(json) = &mut self.json {
            json.extend_from_slice(if first { b"\"" } else { b",\"" });
            json.extend_from_slice(name.as_bytes());
            json.extend_from_slice(b"\":");
        }
    }
}

/// A kind of request about orders: its method on the socket, and where it goes by REST.
pub(super) struct Command {
    pub(super) socket: &'static str,
    pub(super) http: Method,
    pub(super) path: &'static str,
}

pub(super) const PLACE: Command = Command { socket: "order.place", http: Method::Post, path: "/api/v3/order" };
pub(super) const CANCEL: Command = Command { socket: "order.cancel", http: Method::Delete, path: "/api/v3/order" };
const REPLACE: Command =
    Command { socket: "order.cancelReplace", http: Method::Post, path: "/api/v3/order/cancelReplace" };
const AMEND: Command =
    Command { socket: "order.amend.keepPriority", http: Method::Put, path: "/api/v3/order/amend/keepPriority" };
pub(super) const CANCEL_ALL: Command =
    Command { socket: "openOrders.cancelAll", http: Method::Delete, path: "/api/v3/openOrders" };

/// How the cancellations are called that belong to an edit: the order goes on under its client order id then.
pub(super) const EDIT: &str = "wbedit";

/// The parameters of a request about orders, in the order of their names.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    /// The order that a new one replaces, and the number of the request.
    replaces: Option<(Target, u64)>,
    new_client_order_id: Id,
    /// The answer says how far the order was filled. By default some kinds answer less, and others list each fill.
    result: bool,
    new_amount: Option<Fixed>,
    target: Option<Target>,
    price: Option<Fixed>,
    amount: Option<Fixed>,
    cost: Option<Fixed>,
    side: Option<TakerSide>,
    trigger_price: Option<Fixed>,
    symbol: &'a str,
    time_in_force: Option<&'static str>,
    kind: Option<&'static str>,
}

impl<'a> Wanted<'a> {
    /// The end of one order, or of all of a market.
    pub(super) fn of_cancel(order: Option<&Order>, symbol: &'a str) -> Result<Wanted<'a>, Error> {
        Ok(Wanted { target: order.map(target).transpose()?, symbol, ..Wanted::default() })
    }

    pub(super) fn write(&self, params: &mut Params<'_>, cx: &Context<'_>) {
        if let Some((old, request)) = &self.replaces {
            params.text("cancelNewClientOrderId", numbered(EDIT, *request).as_str());
            old.write("cancelOrderId", "cancelOrigClientOrderId", params);
            params.text("cancelReplaceMode", "STOP_ON_FAILURE");
            // What is filled meanwhile would be ordered a second time.
            params.text("cancelRestrictions", "ONLY_NEW");
        }
        if !self.new_client_order_id.is_none() {
            params.text("newClientOrderId", self.new_client_order_id.as_str());
        }
        if self.result {
            params.text("newOrderRespType", "RESULT");
        }
        params.number("newQty", self.new_amount);
        if let Some(target) = &self.target {
            target.write("orderId", "origClientOrderId", params);
        }
        params.number("price", self.price);
        params.number("quantity", self.amount);
        params.number("quoteOrderQty", self.cost);
        match self.side {
            Some(TakerSide::Buy) => params.text("side", "BUY"),
            Some(TakerSide::Sell) => params.text("side", "SELL"),
            None => {}
        }
        params.number("stopPrice", self.trigger_price);
        params.text("symbol", self.symbol);
        if let Some(time_in_force) = self.time_in_force {
            params.text("timeInForce", time_in_force);
        }
        params.timestamp(cx);
        if let Some(kind) = self.kind {
            params.text("type", kind);
        }
    }

    /// A new order, with its price and its amount.
    pub(super) fn of_new(
        order: &Order,
        price: Option<Fixed>,
        amount: Option<Fixed>,
        symbol: &'a str,
    ) -> Result<Wanted<'a>, Error> {
        if order.reduce_only {
            return Err(unsupported("has no reduce-only orders: there are no positions on a spot market"));
        }
        let (kind, time_in_force) = form(order)?;
        let cost = order.cost_ordered.filter(|_| order.kind == OrderKind::Market && amount.is_none());
        if amount.is_none() && cost.is_none() {
            return Err(invalid("the order needs an amount"));
        }
        let price = price.filter(|_| order.kind.has_price());
        if order.kind.has_price() && price.is_none() {
            return Err(invalid("the order needs a price"));
        }
        let trigger_price = order.trigger_price.filter(|_| order.kind.has_trigger());
        if order.kind.has_trigger() && trigger_price.is_none() {
            return Err(invalid("the order needs a trigger price"));
        }
        Ok(Wanted {
            new_client_order_id: client_order_id(order)?,
            result: true,
            price,
            amount,
            cost,
            side: Some(order.side),
            trigger_price,
            symbol,
            time_in_force,
            kind: Some(kind),
            ..Wanted::default()
        })
    }

    /// A smaller amount alone is changed in place, where the venue can. All else is a cancellation and a new order, which
    /// carries on the client order id.
    pub(super) fn of_edit(
        order: &Order,
        symbol: &'a str,
        price: Option<Fixed>,
        amount: Option<Fixed>,
        request: u64,
        access: &Access,
    ) -> Result<(&'static Command, Wanted<'a>), Error> {
        if price.is_some() && !order.kind.has_price() {
            return Err(invalid("the order has no price that could be changed"));
        }
        let new_price = price.filter(|price| order.price != Some(*price));
        let new_amount = amount.filter(|amount| order.amount != Some(*amount));
        if new_price.is_none() && new_amount.is_none() {
            return Err(Error::new(ErrorKind::NoChange, "price and amount are so already"));
        }
        let old = target(order)?;
        if access.amends && new_price.is_none() && new_amount < order.amount {
            let new_client_order_id = client_order_id(order)?;
            let target = Some(old);
            return Ok((&AMEND, Wanted { new_client_order_id, new_amount, target, symbol, ..Wanted::default() }));
        }
        if !order.filled.is_zero() {
            let text = "a changed order is a new one here, which begins unfilled; this one is partly filled: cancel it \
                        and make another";
            return Err(unsupported(text));
        }
        if matches!(order.kind, OrderKind::Market) {
            return Err(invalid("a market order does not rest: there is nothing to change"));
        }
        let new = Wanted::of_new(order, price.or(order.price), amount.or(order.amount), symbol)?;
        Ok((&REPLACE, Wanted { replaces: Some((old, request)), ..new }))
    }
}

/// An order, as requests name it.
#[derive(Clone, Copy)]
enum Target {
    Id(u64),
    Client(Id),
}

impl Target {
    fn write(self, id_name: &str, client_name: &str, params: &mut Params<'_>) {
        match self {
            Target::Id(id) => params.integer(id_name, id),
            Target::Client(id) => params.text(client_name, id.as_str()),
        }
    }
}

fn target(order: &Order) -> Result<Target, Error> {
    match order.id.as_u64() {
        Some(id) => Ok(Target::Id(id)),
        None if order.client_order_id.is_none() => Err(invalid("the order has no id")),
        None => client_order_id(order).map(Target::Client),
    }
}

fn client_order_id(order: &Order) -> Result<Id, Error> {
    let id = order.client_order_id;
    let fits = |byte| matches!(byte, b'.' | b':' | b'/' | b'_' | b'-') || u8::is_ascii_alphanumeric(&byte);
    if id.as_str().len() > 36 || !id.as_str().bytes().all(fits) {
        return Err(invalid("a client order id has up to 36 letters, digits and .:/_-"));
    }
    Ok(id)
}

/// The venue's name for the kind of an order, and its time in force, where that kind has one.
fn form(order: &Order) -> Result<(&'static str, Option<&'static str>), Error> {
    let time_in_force = match order.time_in_force {
        Some(TimeInForce::Gtd) => return Err(unsupported("has no orders until a given time, only GTC, IOC and FOK")),
        Some(given) => given.as_str(),
        None => "GTC",
    };
    let (kind, waits) = match order.kind {
        OrderKind::Limit if order.post_only && time_in_force != "GTC" => {
            return Err(invalid("a post-only order rests: IOC and FOK contradict it"));
        }
        OrderKind::Limit if order.post_only => ("LIMIT_MAKER", false),
        _ if order.post_only => return Err(unsupported("has post-only orders of kind limit only")),
        OrderKind::Limit => ("LIMIT", true),
        OrderKind::StopLimit => ("STOP_LOSS_LIMIT", true),
        OrderKind::TakeProfitLimit => ("TAKE_PROFIT_LIMIT", true),
        OrderKind::Market => ("MARKET", false),
        OrderKind::Stop => ("STOP_LOSS", false),
        OrderKind::TakeProfit => ("TAKE_PROFIT", false),
    };
    let contradicts = !matches!(order.time_in_force, None | Some(TimeInForce::Ioc));
    if !order.kind.has_price() && contradicts {
        return Err(invalid("a market order is filled at once or not at all: it takes no time in force"));
    }
    Ok((kind, Some(time_in_force).filter(|_| waits)))
}

#[cold]
pub(super) fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::InvalidOrder, text)
}

/// A text that ends with a number.
pub(super) fn numbered(prefix: &str, number: u64) -> Id {
    let digits = Id::of_u64(number);
    let mut text = [0; Id::BYTES_MAX];
    let len = prefix.len() + digits.as_str().len();
    if len > text.len() {
        return digits;
    }
    text[..prefix.len()].copy_from_slice(prefix.as_bytes());
    text[prefix.len()..len].copy_from_slice(digits.as_str().as_bytes());
    Id::new(&text[..len]).unwrap_or(digits)
}
