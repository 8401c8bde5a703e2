//! The account of the loopback binance.com: signed requests by REST, and what they have in common with the WS-API.
//!
//! # Scripted answers
//! A status 504 that a script asks for comes after the order was carried out, any other one instead of it.

use std::fmt::Write as _;

use rust_decimal::Decimal;

use super::super::account::{
    Amend, Amount, Change, Event, Fill, Lasts, NewOrder, Order, Reason, Refusal, Status, Stop, hmac_sha256_hex,
};
use super::super::hub::Hub;
use super::super::market::Side;
use super::super::text::put_string;
use super::super::wire::Request;
use super::frames::TimeUnit;
use super::rest::{Answer, ApiError, Handler, Params, bad, illegal, mandatory};
use super::{Binance, MS};

/// A signed request with its weight.
pub(super) struct Route {
    pub(super) handler: Handler,
    pub(super) weight: u64,
    /// It changes something.
    pub(super) acts: bool,
}

const fn asks(handler: Handler, weight: u64) -> Option<Route> {
    Some(Route { handler, weight, acts: false })
}

const fn acts(handler: Handler) -> Option<Route> {
    Some(Route { handler, weight: 0, acts: true })
}

/// Signed requests by REST. `route` is the path without `/api/v3`.
pub(super) fn rest_route(method: &str, route: &str) -> Option<Route> {
    match (method, route) {
        ("GET", "/account") => asks(Binance::account, 20),
        ("GET", "/openOrders") => asks(Binance::open_orders, 6),
        ("GET", "/allOrders") => asks(Binance::all_orders, 20),
        ("GET", "/order") => asks(Binance::order_status, 4),
        ("GET", "/myTrades") => asks(Binance::my_trades, 20),
        ("POST", "/order") => acts(Binance::order_place),
        ("POST", "/order/test") => asks(Binance::order_test, 1),
        ("DELETE", "/order") => acts(Binance::order_cancel),
        ("POST", "/order/cancelReplace") => acts(Binance::order_cancel_replace),
        ("PUT", "/order/amend/keepPriority") => acts(Binance::order_amend),
        ("DELETE", "/openOrders") => acts(Binance::cancel_all),
        ("GET", "/sapi/v1/capital/config/getall") => asks(Binance::coins, 10),
        ("GET", "/sapi/v1/asset/tradeFee") => asks(Binance::trade_fees, 1),
        ("GET", "/sapi/v1/capital/deposit/hisrec" | "/sapi/v1/capital/withdraw/history") => asks(Binance::transfers, 1),
        _ => None,
    }
}

/// Signed requests by the WS-API.
pub(super) fn ws_route(method: &str) -> Option<Route> {
    match method {
        "account.status" => asks(Binance::account, 20),
        "openOrders.status" => asks(Binance::open_orders, 6),
        "allOrders" => asks(Binance::all_orders, 20),
        "order.status" => asks(Binance::order_status, 4),
        "myTrades" => asks(Binance::my_trades, 20),
        "order.place" => acts(Binance::order_place),
        "order.test" => asks(Binance::order_test, 1),
        "order.cancel" => acts(Binance::order_cancel),
        "order.cancelReplace" => acts(Binance::order_cancel_replace),
        "order.amend.keepPriority" => acts(Binance::order_amend),
        "openOrders.cancelAll" => acts(Binance::cancel_all),
        _ => None,
    }
}

const DAY_MS: u64 = 86_400_000;
const NAME_RANGE: &str = "^[a-zA-Z0-9-_]{1,36}$";
const NUMBER_RANGE: &str = "^([0-9]{1,20})(\\.[0-9]{1,20})?$";

impl Binance {
    /// The parameters of a signed request by REST, if its key, signature and time are right.
    pub(super) fn signed_params(&self, hub: &Hub, request: &Request, query: &str) -> Result<Params, ApiError> {
        let key = request.header("x-mbx-apikey").unwrap_or_default();
        self.check_key(hub, key)?;
        let body = std::str::from_utf8(&request.body).map_err(|_| illegal("body", "^[ -~]*$"))?;
        let mut params = Params::new(&format!("{query}&{body}"))?;
        let unsigned = |text: &str| {
            let pairs: Vec<&str> = text.split('&').filter(|pair| !pair.starts_with("signature=")).collect();
            pairs.join("&")
        };
        self.check_signature(hub, &format!("{}{}", unsigned(query), unsigned(body)), &mut params)?;
        Ok(params)
    }

    pub(super) fn check_key(&self, hub: &Hub, key: &str) -> Result<(), ApiError> {
        let (code, message) = match key {
            "" => (-2014, "API-key format invalid."),
            _ if key != hub.account.config().key => (-2015, "Invalid API-key, IP, or permissions for action."),
            _ => return Ok(()),
        };
        Err(ApiError { status: 401, ..bad(code, message) })
    }

    /// Takes signature and time out of the parameters and checks them.
    pub(super) fn check_signature(&self, hub: &Hub, payload: &str, params: &mut Params) -> Result<(), ApiError> {
        let signature = params.take("signature")?.ok_or_else(|| mandatory("signature"))?;
        let timestamp = params.int("timestamp")?.ok_or_else(|| mandatory("timestamp"))?;
        let window = params.int("recvWindow")?.unwrap_or(5_000);
        if window > 60_000 {
            return Err(bad(-1131, "recvWindow must be less than 60000."));
        }
        if !signature.eq_ignore_ascii_case(&hmac_sha256_hex(&hub.account.config().secret, payload)) {
            return Err(bad(-1022, "Signature for this request is not valid."));
        }
        let now_ms = hub.now_ns() / MS;
        if timestamp >= now_ms + 1_000 {
            return Err(bad(-1021, "Timestamp for this request was 1000ms ahead of the server's time."));
        }
        if now_ms.saturating_sub(timestamp) > window {
            return Err(bad(-1021, "Timestamp for this request is outside of the recvWindow."));
        }
        Ok(())
    }

    // --- Questions ----------------------------------------------------------------------------------------------------

    fn account(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let without_zeros = params.take("omitZeroBalances")?.as_deref() == Some("true");
        let account = &hub.account;
        let config = account.config();
        let (maker, taker) = (config.maker_fee, config.taker_fee);
        let points = |fee: Decimal| (fee * Decimal::from(10_000)).trunc().normalize();
        let updated = account.ledger().next_back().map_or(hub.market.start_ns(), |entry| entry.time_ns);
        let mut out = format!(
            "{{\"makerCommission\":{},\"takerCommission\":{},\"buyerCommission\":0,\"sellerCommission\":0,\
             \"commissionRates\":{{\"maker\":\"{}\",\"taker\":\"{}\",\"buyer\":\"0.00000000\",\"seller\":\"0.00000000\"}},\
             \"canTrade\":true,\"canWithdraw\":true,\"canDeposit\":true,\"brokered\":false,\
             \"requireSelfTradePrevention\":false,\"preventSor\":false,\"updateTime\":{},\"accountType\":\"SPOT\",\
             \"balances\":[",
            points(maker),
            points(taker),
            plain(maker),
            plain(taker),
            unit.of_ns(updated)
        );
        let balances =
            account.balances().filter(|balance| !without_zeros || balance.free + balance.used > Decimal::ZERO);
        for (i, balance) in balances.enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let _ = write!(
                out,
                "{comma}{{\"asset\":\"{}\",\"free\":\"{}\",\"locked\":\"{}\"}}",
                balance.asset,
                plain(balance.free),
                plain(balance.used)
            );
        }
        out.push_str("],\"permissions\":[\"SPOT\"],\"uid\":354937868}");
        Ok(out)
    }

    fn open_orders(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let symbol = match params.take("symbol")? {
            Some(name) => Some(self.symbol_named(hub, &name, "symbol")?),
            None => None,
        };
        let orders = hub.account.open_orders().filter(|order| symbol.is_none_or(|symbol| order.symbol == symbol));
        Ok(list(orders.map(|order| order_row(hub, order, unit))))
    }

    fn all_orders(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let symbol = self.symbol(hub, params)?;
        let from = params.int("orderId")?;
        let (start_ns, end_ns) = window(params)?;
        let limit = params.limit(500, 1_000)?;
        let within = |order: &&Order| {
            order.symbol == symbol
                && from.is_none_or(|from| order.id >= from)
                && (start_ns..=end_ns).contains(&order.created_ns)
        };
        let orders: Vec<&Order> = hub.account.orders().filter(within).collect();
        let first = from.is_some() || start_ns > 0;
        Ok(list(cut(&orders, first, limit).iter().map(|order| order_row(hub, order, unit))))
    }

    fn order_status(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let id = self.order_asked(hub, params, "orderId", "origClientOrderId", (-2013, "Order does not exist."))?;
        let order = hub.account.order(id).ok_or_else(|| bad(-2013, "Order does not exist."))?;
        Ok(order_row(hub, order, unit))
    }

    fn my_trades(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let symbol = self.symbol(hub, params)?;
        let order = params.int("orderId")?;
        let from = params.int("fromId")?;
        let (start_ns, end_ns) = window(params)?;
        let limit = params.limit(500, 1_000)?;
        let within = |fill: &&Fill| {
            fill.symbol == symbol
                && order.is_none_or(|order| fill.order_id == order)
                && from.is_none_or(|from| fill.id >= from)
                && (start_ns..=end_ns).contains(&fill.time_ns)
        };
        let fills: Vec<&Fill> = hub.account.fills().filter(within).collect();
        let first = from.is_some() || start_ns > 0;
        let rows = cut(&fills, first, limit).iter().map(|fill| {
            format!(
                "{{\"symbol\":\"{}\",\"id\":{},\"orderId\":{},\"orderListId\":-1,\"price\":\"{}\",\"qty\":\"{}\",\
                 \"quoteQty\":\"{}\",\"commission\":\"{}\",\"commissionAsset\":\"{}\",\"time\":{},\"isBuyer\":{},\
                 \"isMaker\":{},\"isBestMatch\":true}}",
                hub.market.symbol(fill.symbol).name,
                fill.id,
                fill.order_id,
                plain(fill.price),
                plain(fill.amount),
                plain(fill.cost),
                plain(fill.fee),
                fill.fee_asset,
                unit.of_ns(fill.time_ns),
                fill.side == Side::Bid,
                fill.maker
            )
        });
        Ok(list(rows))
    }

    /// All coins of the account, without networks.
    fn coins(&mut self, hub: &mut Hub, _unit: TimeUnit, _params: &mut Params) -> Answer {
        let rows = hub.account.balances().map(|balance| {
            format!(
                "{{\"coin\":\"{0}\",\"name\":\"{0}\",\"free\":\"{1}\",\"locked\":\"{2}\",\"depositAllEnable\":true,\
                 \"withdrawAllEnable\":true,\"isLegalMoney\":false,\"trading\":true,\"networkList\":[]}}",
                balance.asset,
                plain(balance.free),
                plain(balance.used)
            )
        });
        Ok(list(rows))
    }

    fn trade_fees(&mut self, hub: &mut Hub, _unit: TimeUnit, params: &mut Params) -> Answer {
        let symbol = match params.take("symbol")? {
            Some(name) => Some(self.symbol_named(hub, &name, "symbol")?),
            None => None,
        };
        let config = hub.account.config();
        let (maker, taker) = (config.maker_fee.normalize(), config.taker_fee.normalize());
        let rows = (0..hub.market.len()).filter(|index| symbol.is_none_or(|symbol| symbol == *index)).map(|index| {
            let name = &hub.market.symbol(index).name;
            format!("{{\"symbol\":\"{name}\",\"makerCommission\":\"{maker}\",\"takerCommission\":\"{taker}\"}}")
        });
        Ok(list(rows))
    }

    /// Deposits and withdrawals: there are none.
    fn transfers(&mut self, _hub: &mut Hub, _unit: TimeUnit, params: &mut Params) -> Answer {
        for name in ["coin", "status", "offset", "limit", "startTime", "endTime", "includeSource"] {
            params.take(name)?;
        }
        Ok("[]".to_owned())
    }

    // --- Orders -------------------------------------------------------------------------------------------------------

    fn order_place(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let (new, kind) = self.new_order(hub, params)?;
        params.done()?;
        self.count_order(hub)?;
        self.place(hub, unit, new, kind)
    }

    fn order_test(&mut self, hub: &mut Hub, _unit: TimeUnit, params: &mut Params) -> Answer {
        params.take("computeCommissionRates")?;
        self.new_order(hub, params)?;
        Ok("{}".to_owned())
    }

    fn order_cancel(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let unknown = (-2011, "Unknown order sent.");
        let id = self.order_asked(hub, params, "orderId", "origClientOrderId", unknown)?;
        let name = self.name_asked(params, "newClientOrderId")?;
        let only = params.take("cancelRestrictions")?;
        params.done()?;
        let filled = hub.account.order(id).is_some_and(|order| !order.filled.is_zero());
        if only.is_some_and(|only| (only == "ONLY_NEW") == filled) {
            return Err(bad(-2011, "Order was not canceled due to cancel restrictions."));
        }
        self.cancel(hub, unit, id, name)
    }

    fn order_amend(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let id = self.order_asked(hub, params, "orderId", "origClientOrderId", (-2013, "Order does not exist."))?;
        let name = self.name_asked(params, "newClientOrderId")?;
        let amount = number(params, "newQty")?.ok_or_else(|| mandatory("newQty"))?;
        params.done()?;
        let now_ns = hub.now_ns();
        let order = hub.account.order(id).ok_or_else(|| bad(-2013, "Order does not exist."))?;
        if amount >= order.amount {
            return Err(bad(-2038, "Order amend (quantity increase) is not supported."));
        }
        let old_name = order.client_id.clone();
        let name = name.unwrap_or_else(|| self.make_name());
        let amend = Amend { price: None, amount: Some(amount), client_id: Some(name) };
        hub.account.amend(&hub.market, now_ns, id, amend).map_err(|refusal| refused(refusal, -2013))?;
        let Some(order) = hub.account.order(id) else { return Err(bad(-2013, "Order does not exist.")) };
        Ok(format!(
            "{{\"transactTime\":{},\"executionId\":{},\"amendedOrder\":{{\"symbol\":\"{}\",\"orderId\":{},\
             \"orderListId\":-1,\"origClientOrderId\":\"{}\",\"clientOrderId\":\"{}\",\"price\":\"{}\",\"qty\":\"{}\",\
             \"executedQty\":\"{}\",\"preventedQty\":\"0.00000000\",\"quoteOrderQty\":\"0.00000000\",\
             \"cumulativeQuoteQty\":\"{}\",\"status\":\"{}\",\"timeInForce\":\"{}\",\"type\":\"{}\",\"side\":\"{}\",\
             \"workingTime\":{},\"selfTradePreventionMode\":\"EXPIRE_MAKER\"}}}}",
            unit.of_ns(now_ns),
            self.executions,
            hub.market.symbol(order.symbol).name,
            order.id,
            old_name,
            order.client_id,
            price_of(order),
            plain(order.amount),
            plain(order.filled),
            plain(order.cost),
            status(order),
            lasts(order),
            kind(order),
            side(order),
            unit.of_ns(order.created_ns)
        ))
    }

    fn order_cancel_replace(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let go_on = match params.take("cancelReplaceMode")?.as_deref() {
            Some("STOP_ON_FAILURE") => false,
            Some("ALLOW_FAILURE") => true,
            Some(_) => return Err(bad(-1130, "Data sent for parameter 'cancelReplaceMode' is not valid.")),
            None => return Err(mandatory("cancelReplaceMode")),
        };
        let unknown = (-2011, "Unknown order sent.");
        let asked = self.order_asked(hub, &mut params.copy(), "cancelOrderId", "cancelOrigClientOrderId", unknown);
        let asked = match asked {
            Err(error) if error.code != -2011 => return Err(error),
            asked => asked,
        };
        params.take("cancelOrderId")?;
        params.take("cancelOrigClientOrderId")?;
        params.take("cancelRestrictions")?;
        let name = self.name_asked(params, "cancelNewClientOrderId")?;
        let (new, kind) = self.new_order(hub, params)?;
        params.done()?;
        self.count_order(hub)?;
        let canceled = asked.and_then(|id| self.cancel(hub, unit, id, name));
        let placed = match &canceled {
            Err(_) if !go_on => None,
            _ => Some(self.place(hub, unit, new, kind)),
        };
        let word = |done: bool| if done { "SUCCESS" } else { "FAILURE" };
        let text = |answer: &Answer| match answer {
            Ok(body) => body.clone(),
            Err(error) => error.body(),
        };
        let body = format!(
            "{{\"cancelResult\":\"{}\",\"newOrderResult\":\"{}\",\"cancelResponse\":{},\"newOrderResponse\":{}}}",
            word(canceled.is_ok()),
            placed.as_ref().map_or("NOT_ATTEMPTED", |placed| word(placed.is_ok())),
            text(&canceled),
            placed.as_ref().map_or("null".to_owned(), text)
        );
        match (canceled.is_ok(), placed.is_some_and(|placed| placed.is_ok())) {
            (true, true) => Ok(body),
            (false, false) => Err(ApiError { data: Some(body), ..bad(-2022, "Order cancel-replace failed.") }),
            _ => {
                Err(ApiError { status: 409, data: Some(body), ..bad(-2021, "Order cancel-replace partially failed.") })
            }
        }
    }

    fn cancel_all(&mut self, hub: &mut Hub, unit: TimeUnit, params: &mut Params) -> Answer {
        let symbol = self.symbol(hub, params)?;
        params.done()?;
        let ids: Vec<u64> =
            hub.account.open_orders().filter(|order| order.symbol == symbol).map(|order| order.id).collect();
        if ids.is_empty() {
            return Err(bad(-2011, "Unknown order sent."));
        }
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            rows.push(self.cancel(hub, unit, id, None)?);
        }
        Ok(list(rows.into_iter()))
    }

    /// Fifty orders in ten seconds.
    fn count_order(&mut self, hub: &Hub) -> Result<(), ApiError> {
        let hit = self.orders.hit(hub.now_ns());
        hit.map_err(|_| {
            let most = hub.limits.orders_per_10s;
            let text = format!("Too many new orders; current limit is {most} orders per 10 SECOND.");
            ApiError { status: 429, ..bad(-1015, text) }
        })
    }

    fn place(&mut self, hub: &mut Hub, unit: TimeUnit, mut new: NewOrder, answer: AnswerKind) -> Answer {
        if new.client_id.is_empty() {
            new.client_id = self.make_name();
        }
        let now_ns = hub.now_ns();
        let first = hub.account.fills().next_back().map_or(0, |fill| fill.id + 1);
        let id = hub.account.place(&hub.market, now_ns, new).map_err(|refusal| refused(refusal, -2010))?;
        let Some(order) = hub.account.order(id) else { return Err(bad(-2013, "Order does not exist.")) };
        let mut out = format!(
            "{{\"symbol\":\"{}\",\"orderId\":{id},\"orderListId\":-1,\"clientOrderId\":\"{}\",\"transactTime\":{}",
            hub.market.symbol(order.symbol).name,
            order.client_id,
            unit.of_ns(now_ns)
        );
        if answer != AnswerKind::Ack {
            put_result(&mut out, order);
            let _ = write!(
                out,
                ",\"workingTime\":{}",
                if order.status == Status::Waiting { -1 } else { unit.of_ns(now_ns) as i64 }
            );
        }
        if answer == AnswerKind::Full {
            let fills = hub.account.fills().filter(|fill| fill.id >= first && fill.order_id == id).map(|fill| {
                format!(
                    "{{\"price\":\"{}\",\"qty\":\"{}\",\"commission\":\"{}\",\"commissionAsset\":\"{}\",\"tradeId\":{}}}",
                    plain(fill.price),
                    plain(fill.amount),
                    plain(fill.fee),
                    fill.fee_asset,
                    fill.id
                )
            });
            out.push_str(",\"fills\":");
            out.push_str(&list(fills));
        }
        if answer != AnswerKind::Ack {
            out.push_str(",\"selfTradePreventionMode\":\"EXPIRE_MAKER\"");
        }
        out.push('}');
        Ok(out)
    }

    fn cancel(&mut self, hub: &mut Hub, unit: TimeUnit, id: u64, name: Option<String>) -> Answer {
        let now_ns = hub.now_ns();
        let name = name.unwrap_or_else(|| self.make_name());
        hub.account.cancel(&hub.market, now_ns, id).map_err(|refusal| refused(refusal, -2011))?;
        let Some(order) = hub.account.order(id) else { return Err(bad(-2011, "Unknown order sent.")) };
        let mut out = format!(
            "{{\"symbol\":\"{}\",\"origClientOrderId\":\"{}\",\"orderId\":{id},\"orderListId\":-1,\
             \"clientOrderId\":\"{name}\",\"transactTime\":{}",
            hub.market.symbol(order.symbol).name,
            order.client_id,
            unit.of_ns(now_ns)
        );
        self.cancel_names.insert(id, name);
        put_result(&mut out, order);
        out.push_str(",\"selfTradePreventionMode\":\"EXPIRE_MAKER\"}");
        Ok(out)
    }

    /// What the venue calls what the client gave no name to.
    fn make_name(&mut self) -> String {
        self.names += 1;
        format!("venue{:017}", self.names)
    }

    fn name_asked(&self, params: &mut Params, name: &str) -> Result<Option<String>, ApiError> {
        let text = params.take(name)?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        match text {
            Some(text) if text.len() > 36 || !text.bytes().all(legal) => Err(illegal(name, NAME_RANGE)),
            text => Ok(text),
        }
    }

    /// The order that a request names by its number or by the client's name.
    fn order_asked(
        &self,
        hub: &Hub,
        params: &mut Params,
        by_id: &str,
        by_name: &str,
        unknown: (i64, &str),
    ) -> Result<u64, ApiError> {
        let symbol = self.symbol(hub, params)?;
        let id = params.int(by_id)?;
        let name = params.take(by_name)?;
        let order = match (id, &name) {
            (Some(id), _) => hub.account.order(id),
            (None, Some(name)) => hub.account.order_named(name),
            (None, None) => {
                let text = format!("Param '{by_name}' or '{by_id}' must be sent, but both were empty/null!");
                return Err(bad(-1102, text));
            }
        };
        let order = order.filter(|order| order.symbol == symbol);
        order.map(|order| order.id).ok_or_else(|| bad(unknown.0, unknown.1))
    }

    fn new_order(&self, hub: &Hub, params: &mut Params) -> Result<(NewOrder, AnswerKind), ApiError> {
        let symbol = self.symbol(hub, params)?;
        let side = match params.take("side")?.as_deref() {
            Some("BUY") => Side::Bid,
            Some("SELL") => Side::Ask,
            Some(_) => return Err(bad(-1117, "Invalid side.")),
            None => return Err(mandatory("side")),
        };
        let kind = params.take("type")?.ok_or_else(|| mandatory("type"))?;
        let (limited, conditional) = match kind.as_str() {
            "LIMIT" | "LIMIT_MAKER" => (true, false),
            "MARKET" => (false, false),
            "STOP_LOSS" | "TAKE_PROFIT" => (false, true),
            "STOP_LOSS_LIMIT" | "TAKE_PROFIT_LIMIT" => (true, true),
            _ => return Err(bad(-1116, "Invalid orderType.")),
        };
        let lasts = match params.take("timeInForce")?.as_deref() {
            None if limited && kind != "LIMIT_MAKER" => return Err(mandatory("timeInForce")),
            Some(_) if !limited || kind == "LIMIT_MAKER" => return Err(unread("timeInForce")),
            None if limited => Lasts::Resting,
            None => Lasts::Immediate,
            Some("GTC") => Lasts::Resting,
            Some("IOC") => Lasts::Immediate,
            Some("FOK") => Lasts::AllOrNothing,
            Some(_) => return Err(bad(-1115, "Invalid timeInForce.")),
        };
        let quantity = number(params, "quantity")?;
        let cost = number(params, "quoteOrderQty")?;
        let amount = match (quantity, cost) {
            (Some(quantity), None) => Amount::Base(quantity),
            (None, Some(cost)) if kind == "MARKET" => Amount::Cost(cost),
            (_, Some(_)) => return Err(unread("quoteOrderQty")),
            (None, None) => return Err(mandatory("quantity")),
        };
        let price = number(params, "price")?;
        match price {
            None if limited => return Err(mandatory("price")),
            Some(_) if !limited => return Err(unread("price")),
            _ => {}
        }
        let stop = number(params, "stopPrice")?;
        let above = kind.starts_with("STOP") == (side == Side::Bid);
        let stop = match stop {
            None if conditional => return Err(mandatory("stopPrice")),
            Some(_) if !conditional => return Err(unread("stopPrice")),
            stop => stop.map(|price| Stop { price, above }),
        };
        let client_id = self.name_asked(params, "newClientOrderId")?.unwrap_or_default();
        let plain_kind = matches!(kind.as_str(), "LIMIT" | "MARKET");
        let answer = match params.take("newOrderRespType")?.as_deref() {
            None if plain_kind => AnswerKind::Full,
            None | Some("ACK") => AnswerKind::Ack,
            Some("RESULT") => AnswerKind::Result,
            Some("FULL") => AnswerKind::Full,
            Some(_) => return Err(bad(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")),
        };
        for name in ["selfTradePreventionMode", "strategyId", "strategyType"] {
            params.take(name)?;
        }
        let post_only = kind == "LIMIT_MAKER";
        Ok((NewOrder { symbol, side, price, amount, lasts, post_only, stop, client_id }, answer))
    }

    // --- Events -------------------------------------------------------------------------------------------------------

    /// The events of the user data stream that tell what happened, in order.
    pub(super) fn user_events(&mut self, hub: &Hub, event: &Event, unit: TimeUnit, name: Option<&str>) -> Vec<String> {
        let now = unit.of_ns(event.time_ns);
        let mut texts = Vec::new();
        if let Some(order) = &event.order {
            texts.push(self.execution_report(hub, event, order, unit, name));
        }
        for entry in event.ledger.iter().filter(|entry| entry.reason == Reason::Transfer) {
            texts.push(format!(
                "{{\"e\":\"balanceUpdate\",\"E\":{now},\"a\":\"{}\",\"d\":\"{}\",\"T\":{now}}}",
                entry.asset,
                plain(entry.change)
            ));
        }
        if !event.balances.is_empty() {
            let rows = event.balances.iter().map(|balance| {
                format!(
                    "{{\"a\":\"{}\",\"f\":\"{}\",\"l\":\"{}\"}}",
                    balance.asset,
                    plain(balance.free),
                    plain(balance.used)
                )
            });
            texts.push(format!("{{\"e\":\"outboundAccountPosition\",\"E\":{now},\"u\":{now},\"B\":{}}}", list(rows)));
        }
        texts
    }

    fn execution_report(&self, hub: &Hub, event: &Event, order: &Order, unit: TimeUnit, name: Option<&str>) -> String {
        let now = unit.of_ns(event.time_ns);
        let (client_id, original) = match &event.change {
            Change::Canceled => (name.unwrap_or(&order.client_id), order.client_id.as_str()),
            Change::Amended { old_client_id } => (order.client_id.as_str(), old_client_id.as_str()),
            _ => (order.client_id.as_str(), ""),
        };
        let execution = match event.change {
            Change::New | Change::Triggered | Change::Transfer => "NEW",
            Change::Amended { .. } => "REPLACED",
            Change::Filled => "TRADE",
            Change::Canceled => "CANCELED",
            Change::Expired => "EXPIRED",
        };
        let mut out = format!(
            "{{\"e\":\"executionReport\",\"E\":{now},\"s\":\"{}\",\"c\":\"{client_id}\",\"S\":\"{}\",\"o\":\"{}\",\
             \"f\":\"{}\",\"q\":\"{}\",\"p\":\"{}\",\"P\":\"{}\",\"F\":\"0.00000000\",\"g\":-1,\"C\":\"{original}\",\
             \"x\":\"{execution}\",\"X\":\"{}\",\"r\":\"NONE\",\"i\":{}",
            hub.market.symbol(order.symbol).name,
            side(order),
            kind(order),
            lasts(order),
            plain(order.amount),
            price_of(order),
            plain(order.stop.map_or(Decimal::ZERO, |stop| stop.price)),
            status(order),
            order.id
        );
        let zero = Decimal::ZERO;
        let fill = event.fill.as_ref();
        let _ = write!(
            out,
            ",\"l\":\"{}\",\"z\":\"{}\",\"L\":\"{}\",\"n\":\"{}\",\"N\":",
            plain(fill.map_or(zero, |fill| fill.amount)),
            plain(order.filled),
            plain(fill.map_or(zero, |fill| fill.price)),
            plain(fill.map_or(zero, |fill| fill.fee))
        );
        match fill {
            Some(fill) => put_string(&mut out, &fill.fee_asset),
            None => out.push_str("null"),
        }
        let _ = write!(
            out,
            ",\"T\":{now},\"t\":{},\"v\":0,\"I\":{},\"w\":{},\"m\":{},\"M\":{},\"O\":{},\"Z\":\"{}\",\"Y\":\"{}\",\
             \"Q\":\"{}\",\"W\":{},\"V\":\"EXPIRE_MAKER\"}}",
            fill.map_or(-1, |fill| fill.id as i64),
            self.executions,
            order.status == Status::Open,
            fill.is_some_and(|fill| fill.maker),
            fill.is_some(),
            unit.of_ns(order.created_ns),
            plain(order.cost),
            plain(fill.map_or(zero, |fill| fill.cost)),
            plain(order.cost_asked.unwrap_or_default()),
            unit.of_ns(order.created_ns)
        );
        out
    }
}

/// How much an order's answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerKind {
    Ack,
    Result,
    Full,
}

fn unread(name: &str) -> ApiError {
    bad(-1106, format!("Parameter '{name}' sent when not required."))
}

fn number(params: &mut Params, name: &str) -> Result<Option<Decimal>, ApiError> {
    let Some(text) = params.take(name)? else { return Ok(None) };
    let legal = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.starts_with(|c: char| c.is_ascii_digit());
    let value = text.parse::<Decimal>().ok().filter(|_| legal && text.len() <= 28);
    let value = value.ok_or_else(|| illegal(name, NUMBER_RANGE))?;
    if value.normalize().scale() > 8 {
        return Err(bad(-1111, format!("Parameter '{name}' has too much precision.")));
    }
    Ok(Some(value))
}

/// Start and end of a question in nanoseconds; they are at most a day apart.
fn window(params: &mut Params) -> Result<(u64, u64), ApiError> {
    let (start, end) = (params.int("startTime")?, params.int("endTime")?);
    if let (Some(start), Some(end)) = (start, end)
        && end.saturating_sub(start) > DAY_MS
    {
        return Err(bad(-1127, "More than 24 hours between startTime and endTime."));
    }
    let start_ns = start.unwrap_or(0).saturating_mul(MS);
    let end_ns = end.unwrap_or(u64::MAX).saturating_mul(MS).saturating_add(MS - 1);
    Ok((start_ns, if start.is_some() && end.is_none() { start_ns.saturating_add(DAY_MS * MS) } else { end_ns }))
}

/// The first rows, or the last.
fn cut<T>(rows: &[T], first: bool, limit: usize) -> &[T] {
    let more = rows.len().saturating_sub(limit);
    if first { &rows[..rows.len() - more] } else { &rows[more..] }
}

fn refused(refusal: Refusal, unknown: i64) -> ApiError {
    match refusal {
        Refusal::Symbol => bad(-1121, "Invalid symbol."),
        Refusal::Price => bad(-1013, "Filter failure: PRICE_FILTER"),
        Refusal::Amount => bad(-1013, "Filter failure: LOT_SIZE"),
        Refusal::Cost => bad(-1013, "Filter failure: NOTIONAL"),
        Refusal::TooMany => bad(-1013, "Filter failure: MAX_NUM_ORDERS"),
        Refusal::Combination => bad(-1128, "Combination of optional parameters invalid."),
        Refusal::Funds => bad(-2010, "Account has insufficient balance for requested action."),
        Refusal::Duplicate => bad(-2010, "Duplicate order sent."),
        Refusal::WouldMatch => bad(-2010, "Order would immediately match and take."),
        Refusal::WouldTrigger => bad(-2010, "Stop price would trigger immediately."),
        Refusal::Unknown | Refusal::Ended if unknown == -2011 => bad(-2011, "Unknown order sent."),
        Refusal::Unknown | Refusal::Ended => bad(unknown, "Order does not exist."),
    }
}

fn list(rows: impl Iterator<Item = String>) -> String {
    let mut out = String::from("[");
    for (i, row) in rows.enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&row);
    }
    out.push(']');
    out
}

/// Eight decimals.
fn plain(value: Decimal) -> String {
    format!("{:.8}", value.trunc_with_scale(8))
}

fn price_of(order: &Order) -> String {
    plain(order.price.unwrap_or_default())
}

fn side(order: &Order) -> &'static str {
    if order.side == Side::Bid { "BUY" } else { "SELL" }
}

fn kind(order: &Order) -> &'static str {
    match (order.stop, order.price.is_some()) {
        (None, true) if order.post_only => "LIMIT_MAKER",
        (None, true) => "LIMIT",
        (None, false) => "MARKET",
        (Some(stop), limited) => match (stop.above == (order.side == Side::Bid), limited) {
            (true, false) => "STOP_LOSS",
            (true, true) => "STOP_LOSS_LIMIT",
            (false, false) => "TAKE_PROFIT",
            (false, true) => "TAKE_PROFIT_LIMIT",
        },
    }
}

fn lasts(order: &Order) -> &'static str {
    match order.lasts {
        _ if order.price.is_none() => "GTC",
        Lasts::Resting => "GTC",
        Lasts::Immediate => "IOC",
        Lasts::AllOrNothing => "FOK",
    }
}

fn status(order: &Order) -> &'static str {
    match order.status {
        Status::Waiting => "NEW",
        Status::Open if order.filled.is_zero() => "NEW",
        Status::Open => "PARTIALLY_FILLED",
        Status::Filled => "FILLED",
        Status::Canceled => "CANCELED",
        Status::Expired => "EXPIRED",
    }
}

/// The members that answers to order requests share.
fn put_result(out: &mut String, order: &Order) {
    let _ = write!(
        out,
        ",\"price\":\"{}\",\"origQty\":\"{}\",\"executedQty\":\"{}\",\"origQuoteOrderQty\":\"{}\",\
         \"cummulativeQuoteQty\":\"{}\",\"status\":\"{}\",\"timeInForce\":\"{}\",\"type\":\"{}\",\"side\":\"{}\"",
        price_of(order),
        plain(order.amount),
        plain(order.filled),
        plain(order.cost_asked.unwrap_or_default()),
        plain(order.cost),
        status(order),
        lasts(order),
        kind(order),
        side(order)
    );
    if let Some(stop) = order.stop {
        let _ = write!(out, ",\"stopPrice\":\"{}\"", plain(stop.price));
    }
}

/// An order as questions show it.
fn order_row(hub: &Hub, order: &Order, unit: TimeUnit) -> String {
    let created = unit.of_ns(order.created_ns);
    format!(
        "{{\"symbol\":\"{}\",\"orderId\":{},\"orderListId\":-1,\"clientOrderId\":\"{}\",\"price\":\"{}\",\
         \"origQty\":\"{}\",\"executedQty\":\"{}\",\"cummulativeQuoteQty\":\"{}\",\"status\":\"{}\",\"timeInForce\":\"{}\",\
         \"type\":\"{}\",\"side\":\"{}\",\"stopPrice\":\"{}\",\"icebergQty\":\"0.00000000\",\"time\":{created},\
         \"updateTime\":{},\"isWorking\":{},\"workingTime\":{created},\"origQuoteOrderQty\":\"{}\",\
         \"selfTradePreventionMode\":\"EXPIRE_MAKER\"}}",
        hub.market.symbol(order.symbol).name,
        order.id,
        order.client_id,
        price_of(order),
        plain(order.amount),
        plain(order.filled),
        plain(order.cost),
        status(order),
        lasts(order),
        kind(order),
        side(order),
        plain(order.stop.map_or(Decimal::ZERO, |stop| stop.price)),
        unit.of_ns(order.updated_ns),
        order.status != Status::Waiting,
        plain(order.cost_asked.unwrap_or_default())
    )
}
