//! `wirebook account` and `wirebook order`: what one holds, and what one orders.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use serde_json::Value;
use wirebook::credentials::Credentials;
use wirebook::decimal::Fixed;
use wirebook::engine::{Engine, EngineConfig, Handler, Outbox, VenueConfig};
use wirebook::error::ErrorKind;
use wirebook::model::{
    Balance, Event, FeedState, LedgerEntry, MyTrade, NewOrder, Order, OrderId, OrderKind, Outcome, Position, TakerSide,
    TimeInForce, Transaction, Update, VenueId,
};
use wirebook::venue::{PrivateChannel, Profile};

use super::events::Object;
use super::place::load_markets;
use super::{Account, Failure, OrderCommand, OrderWhat, Stop};

/// The account was not live for so long.
const LIVE_WITHIN: Duration = Duration::from_secs(30);

/// Runs `wirebook account`.
pub(crate) fn run(arguments: &Account) -> Result<(), Failure> {
    let stop = Stop::listen();
    let deadline = arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut engine, venue) = open(arguments.venue, &arguments.access, &stop, deadline)?;
    let mut printer = Printer::default();
    for channel in &arguments.channels {
        engine.watch(venue, None, wirebook::venue::Channel::Private(*channel), None)?;
    }
    wait_until_live(&mut engine, venue, &stop, &mut printer)?;
    let mut out = io::stdout().lock();
    let follows = arguments.seconds.is_some() || arguments.follow;
    loop {
        out.write_all(&std::mem::take(&mut printer.out))?;
        out.flush()?;
        if !follows || stop.is_asked() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(());
        }
        engine.wait_with(Some(Duration::from_millis(100)), &mut printer)?;
    }
}

/// Runs `wirebook order`.
pub(crate) fn order(arguments: &OrderCommand) -> Result<(), Failure> {
    let stop = Stop::listen();
    let (mut engine, venue) = open(arguments.venue, &arguments.access, &stop, None)?;
    let mut printer = Printer::default();
    if let (OrderWhat::Buy(new) | OrderWhat::Sell(new), true) = (&arguments.what, arguments.dry_run) {
        let side = if matches!(arguments.what, OrderWhat::Buy(_)) { TakerSide::Buy } else { TakerSide::Sell };
        let new = new_order(&engine, venue, side, new)?;
        engine.check_order(&new)?;
        return Ok(writeln!(io::stdout(), "the order is in order; nothing was sent (--dry-run)")?);
    }
    engine.watch_orders(venue)?;
    wait_until_live(&mut engine, venue, &stop, &mut printer)?;
    printer.out.clear();
    let mut waiting: Vec<OrderId> = Vec::new();
    let found = |engine: &Engine, id: &str| {
        let none = || Failure::failed(format!("no open order {id:?}; `wirebook order VENUE list` shows them"));
        engine.find_order(venue, id).map(|order| order.handle).ok_or_else(none)
    };
    match &arguments.what {
        OrderWhat::Buy(new) => {
            let new = new_order(&engine, venue, TakerSide::Buy, new)?;
            waiting.push(engine.create_order(&new)?);
        }
        OrderWhat::Sell(new) => {
            let new = new_order(&engine, venue, TakerSide::Sell, new)?;
            waiting.push(engine.create_order(&new)?);
        }
        OrderWhat::List => {
            for order in engine.open_orders(venue) {
                let symbol = order.market.and_then(|market| engine.market(market)).map(|market| &*market.symbol);
                printer.line(order_row(symbol, order));
            }
        }
        OrderWhat::Cancel { id } => {
            let order = found(&engine, id)?;
            if arguments.dry_run {
                printer.out.extend_from_slice(b"the order is there; nothing was sent (--dry-run)\n");
            } else {
                engine.cancel_order(order)?;
                waiting.push(order);
            }
        }
        OrderWhat::Edit { id, price, amount } => {
            let order = found(&engine, id)?;
            if arguments.dry_run {
                printer.out.extend_from_slice(b"the order is there; nothing was sent (--dry-run)\n");
            } else {
                engine.edit_order(order, *price, *amount)?;
                waiting.push(order);
            }
        }
        OrderWhat::CancelAll { symbol } => {
            waiting = engine.open_orders(venue).map(|order| order.handle).collect();
            if let Some(symbol) = symbol {
                let market = engine.markets(venue).resolve(symbol)?.id;
                waiting.retain(|order| engine.order(*order).is_ok_and(|order| order.market == Some(market)));
            }
            if arguments.dry_run {
                let text = format!("{} orders would be cancelled; nothing was sent (--dry-run)\n", waiting.len());
                printer.out.extend_from_slice(text.as_bytes());
                waiting.clear();
            } else if !waiting.is_empty() {
                engine.cancel_all_orders(venue, symbol.as_deref())?;
            }
        }
    }
    let ends = matches!(arguments.what, OrderWhat::Cancel { .. } | OrderWhat::CancelAll { .. });
    let deadline = Instant::now() + Duration::from_secs(arguments.wait);
    let mut out = io::stdout().lock();
    loop {
        out.write_all(&std::mem::take(&mut printer.out))?;
        out.flush()?;
        if let Some(failure) = printer.refused.take() {
            return Err(failure);
        }
        // An order is waited for until the venue has it; one that is cancelled, until it has ended.
        waiting.retain(|order| {
            engine.order(*order).is_ok_and(|order| {
                if ends { !order.status.is_final() } else { !printer.answered && !order.status.is_final() }
            })
        });
        if waiting.is_empty() || stop.is_asked() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let text = format!("{} orders were not settled within {} s", waiting.len(), arguments.wait);
            return Err(Failure::failed(text));
        }
        engine.wait_with(Some(Duration::from_millis(50)), &mut printer)?;
    }
}

/// How an account is reached.
#[derive(clap::Args)]
pub(crate) struct Access {
    #[command(flatten)]
    place: super::place::Place,
    /// A file with lines `key = ...`, `secret = ...` and, where the venue has one, `passphrase = ...`.
    ///
    /// Without it, the environment variables WIREBOOK_<VENUE>_KEY, _SECRET and _PASSPHRASE are read.
    #[arg(long, value_name = "FILE")]
    credentials: Option<std::path::PathBuf>,
    /// Allow the venue itself. Without this, only another --endpoint is used, such as a loopback venue.
    #[arg(long)]
    live: bool,
}

/// An engine with the account, and the markets loaded.
fn open(
    profile: &'static Profile,
    access: &Access,
    stop: &Stop,
    deadline: Option<Instant>,
) -> Result<(Engine, VenueId), Failure> {
    if !access.place.is_elsewhere() && !access.live {
        let text = format!(
            "this is the account at {} itself: say --live, or give a loopback venue as --endpoint",
            profile.name
        );
        return Err(Failure::misuse(text));
    }
    let credentials = match &access.credentials {
        Some(path) => Credentials::from_file(path)?,
        None => Credentials::from_env(profile.id)
            .map_err(|error| Failure::misuse(format!("{error}; set it, or give --credentials FILE")))?,
    };
    let mut config = VenueConfig::default();
    config.credentials = Some(credentials);
    let (mut engine, venue) = access.place.engine_with(profile, EngineConfig::default(), config)?;
    load_markets(&mut engine, venue, stop, deadline)?;
    Ok((engine, venue))
}

fn wait_until_live(engine: &mut Engine, venue: VenueId, stop: &Stop, printer: &mut Printer) -> Result<(), Failure> {
    printer.symbols = engine.markets(venue).iter().map(|market| (market.id, market.symbol.to_string())).collect();
    let start = Instant::now();
    while !engine.is_account_live(venue) {
        engine.wait_with(Some(Duration::from_millis(50)), printer)?;
        let failed = engine.feeds().find_map(|feed| match engine.state(feed) {
            Ok((FeedState::Failed, _, error)) => Some(error.cloned()),
            _ => None,
        });
        match failed {
            Some(Some(error)) => return Err(error.into()),
            Some(None) => return Err(Failure::failed("the venue refused")),
            None => {}
        }
        if stop.is_asked() {
            return Err(Failure::failed("stopped before the account was there"));
        }
        if start.elapsed() > LIVE_WITHIN {
            let text = format!("the account did not come within {} s", LIVE_WITHIN.as_secs());
            return Err(engine.last_error(venue).cloned().map_or_else(|| Failure::failed(text), Failure::from));
        }
    }
    Ok(())
}

/// An order as the arguments say it.
#[derive(clap::Args)]
pub(crate) struct NewArguments {
    /// The market, unified (BTC/USDT) or as the venue spells it.
    symbol: String,
    /// How much, in the base currency.
    amount: Fixed,
    /// The price of a limit order; without it, a market order.
    #[arg(long, value_name = "N")]
    price: Option<Fixed>,
    /// Wait for this price first: a stop order.
    #[arg(long, value_name = "N")]
    trigger: Option<Fixed>,
    /// The trigger takes a profit instead of stopping a loss.
    #[arg(long, requires = "trigger")]
    take_profit: bool,
    /// Refuse it rather than fill it at once.
    #[arg(long)]
    post_only: bool,
    /// Cancel what cannot be filled at once.
    #[arg(long, conflicts_with = "fok")]
    ioc: bool,
    /// Fill it at once and whole, or not at all.
    #[arg(long)]
    fok: bool,
    /// Only close what is open.
    #[arg(long)]
    reduce_only: bool,
    /// A client order id of your own.
    #[arg(long, value_name = "ID")]
    client_order_id: Option<String>,
}

fn new_order(engine: &Engine, venue: VenueId, side: TakerSide, arguments: &NewArguments) -> Result<NewOrder, Failure> {
    let market = engine.markets(venue).resolve(&arguments.symbol)?.id;
    let mut new = NewOrder::market(market, side, arguments.amount);
    new.price = arguments.price;
    new.trigger_price = arguments.trigger;
    new.kind = match (arguments.price.is_some(), arguments.trigger.is_some(), arguments.take_profit) {
        (true, false, _) => OrderKind::Limit,
        (false, false, _) => OrderKind::Market,
        (true, true, false) => OrderKind::StopLimit,
        (false, true, false) => OrderKind::Stop,
        (true, true, true) => OrderKind::TakeProfitLimit,
        (false, true, true) => OrderKind::TakeProfit,
    };
    new.time_in_force = match (arguments.ioc, arguments.fok) {
        (true, _) => Some(TimeInForce::Ioc),
        (_, true) => Some(TimeInForce::Fok),
        _ => None,
    };
    (new.post_only, new.reduce_only) = (arguments.post_only, arguments.reduce_only);
    if let Some(id) = &arguments.client_order_id {
        let id = wirebook::model::Id::new(id.as_bytes()).filter(|id| !id.is_none());
        new.client_order_id = Some(id.ok_or_else(|| {
            Failure::misuse("--client-order-id has to be 1 to 39 printable ASCII characters without blanks")
        })?);
    }
    Ok(new)
}

/// Writes events to a buffer, one JSON object a line.
#[derive(Default)]
struct Printer {
    out: Vec<u8>,
    symbols: std::collections::HashMap<wirebook::model::MarketId, String>,
    /// An answer to a request of ours came.
    answered: bool,
    refused: Option<Failure>,
}

impl Printer {
    fn line(&mut self, object: Object) {
        self.out.extend_from_slice(object.end().to_string().as_bytes());
        self.out.push(b'\n');
    }
}

impl Handler for Printer {
    fn on_update(&mut self, update: &Update<'_>, _: &mut Outbox) {
        let symbol = update.market.and_then(|market| self.symbols.get(&market)).cloned();
        let symbol = symbol.as_deref();
        match &update.event {
            Event::Order(order) => self.line(order_row(symbol, order)),
            Event::OrderAnswer { outcome: Outcome::Accepted, .. } => self.answered = true,
            Event::OrderAnswer { outcome: Outcome::Rejected(error), .. } => {
                self.answered = true;
                self.refused = Some(error.clone().into());
            }
            Event::OrderAnswer { outcome: Outcome::Unknown(error), .. } => super::say(error),
            Event::OrderRefused { error, .. } => self.refused = Some((*error).clone().into()),
            Event::MyTrade(trade) => self.line(trade_row(symbol, trade)),
            Event::Balance { balance, .. } => self.line(balance_row(balance)),
            Event::Position(position) => self.line(position_row(symbol, position)),
            Event::Ledger(entry) => self.line(ledger_row(entry)),
            Event::Transaction(row) => self.line(transaction_row(row)),
            Event::State { error: Some(error), .. } if error.kind() != ErrorKind::NetworkError => super::say(error),
            _ => {}
        }
    }
}

fn money(number: Option<Decimal>) -> Option<String> {
    number.map(|number| number.normalize().to_string())
}

fn order_row(symbol: Option<&str>, order: &Order) -> Object {
    let text = |id: &str| if id.is_empty() { Value::Null } else { id.into() };
    let fees = order.fees.iter();
    let fees: Vec<Value> = fees
        .map(|fee| serde_json::json!({ "currency": fee.currency.as_str(), "cost": fee.cost.normalize().to_string() }))
        .collect();
    Object::new("order", symbol)
        .with("id", text(order.id.as_str()))
        .with("clientOrderId", text(order.client_order_id.as_str()))
        .with("status", order.status.as_str())
        .with("side", order.side.as_str())
        .with("orderType", order.kind.as_str())
        .with("timeInForce", order.time_in_force.map(TimeInForce::as_str))
        .with("postOnly", order.post_only.then_some(true))
        .with("reduceOnly", order.reduce_only.then_some(true))
        .number("price", order.price)
        .number("triggerPrice", order.trigger_price)
        .number("amount", order.amount)
        .number("filled", order.filled)
        .number("remaining", order.remaining())
        .with("cost", money(order.cost))
        .with("average", money(order.average))
        .with("fees", if fees.is_empty() { Value::Null } else { fees.into() })
        .time("timestamp", order.created)
        .time("lastUpdateTimestamp", order.updated)
        .time("lastTradeTimestamp", order.last_trade)
        .with("error", order.error.as_ref().map(ToString::to_string))
}

fn trade_row(symbol: Option<&str>, trade: &MyTrade) -> Object {
    Object::new("mytrade", symbol)
        .with("id", trade.id.as_str())
        .with("order", trade.order.as_str())
        .time("timestamp", trade.venue_time)
        .with("side", trade.side.as_str())
        .number("price", trade.price)
        .number("amount", trade.amount)
        .with("cost", money(trade.cost))
        .with("takerOrMaker", trade.liquidity.map(wirebook::model::Liquidity::as_str))
        .with("feeCurrency", trade.fee.map(|fee| fee.currency.to_string()))
        .with("feeCost", money(trade.fee.map(|fee| fee.cost)))
        .with("backfilled", trade.backfilled.then_some(true))
}

fn balance_row(balance: &Balance) -> Object {
    Object::new("balance", None)
        .with("currency", balance.currency.as_str())
        .with("free", money(balance.free))
        .with("used", money(balance.used))
        .with("total", money(balance.total))
        .with("debt", money(balance.debt))
}

fn position_row(symbol: Option<&str>, position: &Position) -> Object {
    Object::new("position", symbol)
        .with("side", position.side.map(wirebook::model::PositionSide::as_str))
        .with("contracts", position.contracts.normalize().to_string())
        .with("entryPrice", money(position.entry_price))
        .with("markPrice", money(position.mark_price))
        .with("liquidationPrice", money(position.liquidation_price))
        .with("leverage", money(position.leverage))
        .with("unrealizedPnl", money(position.unrealized_pnl))
        .time("lastUpdateTimestamp", position.updated)
}

fn ledger_row(entry: &LedgerEntry) -> Object {
    Object::new("ledger", None)
        .with("id", entry.id.as_str())
        .with("referenceId", if entry.reference.is_none() { Value::Null } else { entry.reference.as_str().into() })
        .with("entry", entry.kind.as_str())
        .with("currency", entry.currency.as_str())
        .with("amount", entry.amount.normalize().to_string())
        .with("after", money(entry.after))
        .with("fee", money(entry.fee))
        .time("timestamp", entry.venue_time)
}

fn transaction_row(row: &Transaction) -> Object {
    let kind = match row.kind {
        wirebook::model::TransactionKind::Deposit => "deposit",
        wirebook::model::TransactionKind::Withdrawal => "withdrawal",
    };
    let status = match row.status {
        wirebook::model::TransactionStatus::Pending => "pending",
        wirebook::model::TransactionStatus::Ok => "ok",
        wirebook::model::TransactionStatus::Failed => "failed",
        wirebook::model::TransactionStatus::Canceled => "canceled",
    };
    Object::new(kind, None)
        .with("id", row.id.as_str())
        .with("txid", row.txid.as_deref())
        .with("currency", row.currency.as_str())
        .with("amount", row.amount.normalize().to_string())
        .with("status", status)
        .time("timestamp", row.created)
}

/// The private channel behind an argument.
pub(crate) fn private_channel(text: &str) -> Result<PrivateChannel, String> {
    let all = PrivateChannel::ALL;
    let found = all.into_iter().find(|channel| channel.as_str() == text);
    found.ok_or_else(|| format!("there are {}", all.map(PrivateChannel::as_str).join(", ")))
}
