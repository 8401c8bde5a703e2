//! The engine's methods for an account: private feeds, orders, and questions by REST.

use std::time::Duration;

use super::{Engine, RequestId};
use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::model::{
    Balance, Candle, Code, Currency, FeedId, Id, LedgerEntry, MarketId, MyTrade, NewOrder, Order, OrderId, Position,
    Ring, TakerSide, Ticker, Timeframe, Trade, TradingFee, Transaction, VenueId, Wall,
};
use crate::venue::{Ability, Fetch, Fetched, FetchedBook, OrderRow, PrivateChannel, TradingProfile};

/// Asks, and takes the one kind of answer that there can be.
macro_rules! expect {
    ($engine:ident, $venue:ident, $fetch:expr, $kind:ident) => {
        match $engine.fetch($venue, $fetch)? {
            Fetched::$kind(answer) => Ok(answer),
            _ => Err(Error::new(ErrorKind::BadResponse, "another answer than was asked for")),
        }
    };
}

impl Engine {
    // --- Watching an account ------------------------------------------------------------------------------------------

    /// Watches the balances of the account. Where the venue does not push them they are asked for again and again.
    ///
    /// # Errors
    /// [`ErrorKind::AuthenticationError`] without credentials; [`ErrorKind::NotSupported`].
    pub fn watch_balance(&mut self, venue: VenueId) -> Result<FeedId, Error> {
        self.watch_private(venue, PrivateChannel::Balance)
    }

    /// Watches all orders of the account, those of others with the same account included. Each transition of each order is
    /// an event. [`Engine::open_orders`] and [`Engine::closed_orders`] are views of it.
    ///
    /// # Errors
    /// As [`Engine::watch_balance`].
    pub fn watch_orders(&mut self, venue: VenueId) -> Result<FeedId, Error> {
        self.watch_private(venue, PrivateChannel::Orders)
    }

    /// Watches the trades of the account, each once.
    ///
    /// # Errors
    /// As [`Engine::watch_balance`].
    pub fn watch_my_trades(&mut self, venue: VenueId) -> Result<FeedId, Error> {
        self.watch_private(venue, PrivateChannel::MyTrades)
    }

    /// Watches the positions of the account.
    ///
    /// # Errors
    /// As [`Engine::watch_balance`].
    pub fn watch_positions(&mut self, venue: VenueId) -> Result<FeedId, Error> {
        self.watch_private(venue, PrivateChannel::Positions)
    }

    /// Watches deposits and withdrawals of the account.
    ///
    /// # Errors
    /// As [`Engine::watch_balance`].
    pub fn watch_transactions(&mut self, venue: VenueId) -> Result<FeedId, Error> {
        self.watch_private(venue, PrivateChannel::Transactions)
    }

    /// Watches all that changes a balance of the account.
    ///
    /// # Errors
    /// As [`Engine::watch_balance`].
    pub fn watch_ledger(&mut self, venue: VenueId) -> Result<FeedId, Error> {
        self.watch_private(venue, PrivateChannel::Ledger)
    }

    fn watch_private(&mut self, venue: VenueId, channel: PrivateChannel) -> Result<FeedId, Error> {
        self.watch(venue, None, crate::venue::Channel::Private(channel), None)
    }

    /// True while the private half of a venue is connected, subscribed and reconciled.
    pub fn is_account_live(&self, venue: VenueId) -> bool {
        self.core.is_account_live(venue)
    }

    // --- Looking at an account ----------------------------------------------------------------------------------------

    /// All balances that are known.
    pub fn balances(&self, venue: VenueId) -> &[Balance] {
        self.core.balances(venue)
    }

    /// The balance of one currency, by its unified code.
    pub fn balance(&self, venue: VenueId, currency: &str) -> Option<&Balance> {
        self.balances(venue).iter().find(|balance| balance.currency.as_str() == currency)
    }

    /// An order by its handle.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`] after it has ended and its place was needed.
    pub fn order(&self, order: OrderId) -> Result<&Order, Error> {
        let stale = || Error::new(ErrorKind::StaleHandle, "this order is not of this engine");
        self.core.account(order.venue()).ok_or_else(stale)?.orders.find(order)
    }

    /// An order by the venue's id or by ours.
    pub fn find_order(&self, venue: VenueId, id: &str) -> Option<&Order> {
        self.core.find_order(venue, id)
    }

    /// All orders that are remembered.
    pub fn orders(&self, venue: VenueId) -> impl Iterator<Item = &Order> {
        self.core.orders(venue)
    }

    /// Those that go on.
    pub fn open_orders(&self, venue: VenueId) -> impl Iterator<Item = &Order> {
        self.orders(venue).filter(|order| !order.status.is_final())
    }

    /// Those that have ended and are still remembered.
    pub fn closed_orders(&self, venue: VenueId) -> impl Iterator<Item = &Order> {
        self.orders(venue).filter(|order| order.status.is_final())
    }

    /// The last trades of the account.
    pub fn my_trades(&self, venue: VenueId) -> Option<&Ring<MyTrade>> {
        self.core.account(venue).map(|account| &account.trades)
    }

    /// The positions that are known, those that were closed included.
    pub fn positions(&self, venue: VenueId) -> &[Position] {
        self.core.account(venue).map_or(&[], |account| &account.positions)
    }

    /// The last ledger entries.
    pub fn ledger(&self, venue: VenueId) -> Option<&Ring<LedgerEntry>> {
        self.core.account(venue).map(|account| &account.ledger)
    }

    /// The last deposits and withdrawals, each state of each.
    pub fn transactions(&self, venue: VenueId) -> Option<&Ring<Transaction>> {
        self.core.account(venue).map(|account| &account.transactions)
    }

    // --- Orders -------------------------------------------------------------------------------------------------------

    /// Sends a new order. The handle that this gives finds it ever after; what becomes of it comes as events.
    ///
    /// # Errors
    /// What is wrong with it, before anything is sent: an order that gave an error was not sent. On a venue that takes
    /// orders over its private socket, that has to be up: [`ErrorKind::NetworkError`] until then.
    pub fn create_order(&mut self, order: &NewOrder) -> Result<OrderId, Error> {
        let now = self.now();
        self.core.create_order(order, now)
    }

    /// Whether an order is right, as far as can be told without sending it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_order(&self, order: &NewOrder) -> Result<(), Error> {
        self.core.check_order(order)
    }

    /// Sends several orders: those that are wrong are not sent, the others are.
    pub fn create_orders(&mut self, orders: &[NewOrder]) -> Vec<Result<OrderId, Error>> {
        orders.iter().map(|order| self.create_order(order)).collect()
    }

    /// A limit order.
    ///
    /// # Errors
    /// As [`Engine::create_order`].
    pub fn create_limit_order(
        &mut self,
        market: MarketId,
        side: TakerSide,
        amount: Fixed,
        price: Fixed,
    ) -> Result<OrderId, Error> {
        self.create_order(&NewOrder::limit(market, side, amount, price))
    }

    /// A market order.
    ///
    /// # Errors
    /// As [`Engine::create_order`].
    pub fn create_market_order(&mut self, market: MarketId, side: TakerSide, amount: Fixed) -> Result<OrderId, Error> {
        self.create_order(&NewOrder::market(market, side, amount))
    }

    /// Changes price or amount of an order; the amount is that of the whole order, what is filled included.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`], [`ErrorKind::OrderNotFound`] if it has ended, [`ErrorKind::NotSupported`], and what is
    /// wrong with the numbers.
    pub fn edit_order(&mut self, order: OrderId, price: Option<Fixed>, amount: Option<Fixed>) -> Result<(), Error> {
        let now = self.now();
        self.core.edit_order(order, price, amount, now)
    }

    /// Cancels an order.
    ///
    /// # Errors
    /// [`ErrorKind::StaleHandle`], [`ErrorKind::OrderNotFound`] if it has ended.
    pub fn cancel_order(&mut self, order: OrderId) -> Result<(), Error> {
        let now = self.now();
        self.core.cancel_order(order, now)
    }

    /// Cancels several orders.
    pub fn cancel_orders(&mut self, orders: &[OrderId]) -> Vec<Result<(), Error>> {
        orders.iter().map(|order| self.cancel_order(*order)).collect()
    }

    /// Cancels all orders of a venue, or of one market. How many requests that took.
    ///
    /// # Errors
    /// [`ErrorKind::BadSymbol`]; as [`Engine::create_order`].
    pub fn cancel_all_orders(&mut self, venue: VenueId, symbol: Option<&str>) -> Result<u32, Error> {
        let market = symbol.map(|symbol| self.market_id(venue, symbol)).transpose()?;
        let now = self.now();
        self.core.cancel_all_orders(venue, market, now)
    }

    /// What a venue can do, where its private half is built.
    pub fn abilities(&self, venue: VenueId) -> &'static [Ability] {
        self.core.profile(venue).trading.map_or(&[], |trading: &TradingProfile| trading.abilities)
    }

    // --- REST ---------------------------------------------------------------------------------------------------------

    /// Asks a venue by REST without waiting. The answer comes as [`Event::Fetched`](crate::model::Event::Fetched).
    ///
    /// # Errors
    /// [`ErrorKind::NotSupported`], [`ErrorKind::AuthenticationError`], [`ErrorKind::ArgumentsRequired`], before anything is
    /// sent.
    pub fn request(&mut self, venue: VenueId, fetch: Fetch) -> Result<RequestId, Error> {
        let now = self.now();
        self.core.fetch(venue, fetch, now)
    }

    /// Asks a venue by REST and waits for the answer, at most three request timeouts. Everything else goes on meanwhile.
    ///
    /// # Errors
    /// As [`Engine::request`]; what the venue or the network said.
    pub fn fetch(&mut self, venue: VenueId, fetch: Fetch) -> Result<Fetched, Error> {
        let start = self.now();
        let wait_ms = self.core.config().request_timeout_ms.saturating_mul(3);
        let request = self.core.fetch_kept(venue, fetch, start)?;
        loop {
            self.wait(Some(Duration::from_millis(50)))?;
            if let Some(answer) = self.core.take_fetched(request) {
                return answer;
            }
            if self.now().mono.since_ns(start.mono) > wait_ms.saturating_mul(1_000_000) {
                self.core.forget_fetch(request);
                let text = format!("no answer within {wait_ms} ms");
                return Err(Error::new(ErrorKind::RequestTimeout, text).at(self.core.profile(venue).id));
            }
        }
    }

    /// The venue's clock.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_time(&mut self, venue: VenueId) -> Result<Wall, Error> {
        expect!(self, venue, Fetch::Time, Time)
    }

    /// How the venue is.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_status(&mut self, venue: VenueId) -> Result<crate::model::Status, Error> {
        expect!(self, venue, Fetch::Status, Status)
    }

    /// The venue's currencies.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_currencies(&mut self, venue: VenueId) -> Result<Vec<Currency>, Error> {
        expect!(self, venue, Fetch::Currencies, Currencies)
    }

    /// A book by REST. [`Engine::watch_order_book`] is what keeps one.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_order_book(&mut self, venue: VenueId, symbol: &str, limit: Option<u16>) -> Result<FetchedBook, Error> {
        let market = self.market_id(venue, symbol)?;
        expect!(self, venue, Fetch::OrderBook { market, limit }, OrderBook)
    }

    /// A ticker by REST.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_ticker(&mut self, venue: VenueId, symbol: &str) -> Result<Ticker, Error> {
        let market = self.market_id(venue, symbol)?;
        let ticker: Box<Ticker> = expect!(self, venue, Fetch::Ticker { market }, Ticker)?;
        Ok(*ticker)
    }

    /// All tickers by REST.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_tickers(&mut self, venue: VenueId) -> Result<Vec<(MarketId, Ticker)>, Error> {
        expect!(self, venue, Fetch::Tickers, Tickers)
    }

    /// Trades by REST, oldest first.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_trades(
        &mut self,
        venue: VenueId,
        symbol: &str,
        since: Option<Wall>,
        limit: Option<u16>,
    ) -> Result<Vec<Trade>, Error> {
        let market = self.market_id(venue, symbol)?;
        expect!(self, venue, Fetch::Trades { market, since, limit }, Trades)
    }

    /// Candles by REST, oldest first.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_ohlcv(
        &mut self,
        venue: VenueId,
        symbol: &str,
        timeframe: Timeframe,
        since: Option<Wall>,
        limit: Option<u16>,
    ) -> Result<Vec<Candle>, Error> {
        let market = self.market_id(venue, symbol)?;
        expect!(self, venue, Fetch::Ohlcv { market, timeframe, since, limit }, Candles)
    }

    /// The balances of the account.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_balance(&mut self, venue: VenueId) -> Result<Vec<Balance>, Error> {
        expect!(self, venue, Fetch::Balance, Balances)
    }

    /// One order by the venue's id. Some venues want the symbol.
    ///
    /// # Errors
    /// As [`Engine::fetch`]; [`ErrorKind::OrderNotFound`].
    pub fn fetch_order(&mut self, venue: VenueId, id: &str, symbol: Option<&str>) -> Result<OrderRow, Error> {
        let market = symbol.map(|symbol| self.market_id(venue, symbol)).transpose()?;
        let Some(id) = Id::new(id.as_bytes()).filter(|id| !id.is_none()) else {
            return Err(Error::new(ErrorKind::BadRequest, "this is no id of an order").at(self.core.profile(venue).id));
        };
        let rows: Vec<OrderRow> = expect!(self, venue, Fetch::Order { market, id, client_order_id: Id::NONE }, Orders)?;
        let none =
            || Error::new(ErrorKind::OrderNotFound, "the venue does not know it").at(self.core.profile(venue).id);
        rows.into_iter().next().ok_or_else(none)
    }

    /// The open orders of the account, of one market or of all.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_open_orders(&mut self, venue: VenueId, symbol: Option<&str>) -> Result<Vec<OrderRow>, Error> {
        let market = symbol.map(|symbol| self.market_id(venue, symbol)).transpose()?;
        expect!(self, venue, Fetch::OpenOrders { market }, Orders)
    }

    /// Orders of the account that have ended.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_closed_orders(
        &mut self,
        venue: VenueId,
        symbol: Option<&str>,
        since: Option<Wall>,
        limit: Option<u16>,
    ) -> Result<Vec<OrderRow>, Error> {
        let market = symbol.map(|symbol| self.market_id(venue, symbol)).transpose()?;
        expect!(self, venue, Fetch::ClosedOrders { market, since, limit }, Orders)
    }

    /// Trades of the account, oldest first.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_my_trades(
        &mut self,
        venue: VenueId,
        symbol: Option<&str>,
        since: Option<Wall>,
        limit: Option<u16>,
    ) -> Result<Vec<MyTrade>, Error> {
        let market = symbol.map(|symbol| self.market_id(venue, symbol)).transpose()?;
        expect!(self, venue, Fetch::MyTrades { market, since, limit }, MyTrades)
    }

    /// Deposits to the account, oldest first.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_deposits(
        &mut self,
        venue: VenueId,
        currency: Option<&str>,
        since: Option<Wall>,
        limit: Option<u16>,
    ) -> Result<Vec<Transaction>, Error> {
        let currency = code(currency)?;
        expect!(self, venue, Fetch::Deposits { currency, since, limit }, Transactions)
    }

    /// Withdrawals from the account, oldest first.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_withdrawals(
        &mut self,
        venue: VenueId,
        currency: Option<&str>,
        since: Option<Wall>,
        limit: Option<u16>,
    ) -> Result<Vec<Transaction>, Error> {
        let currency = code(currency)?;
        expect!(self, venue, Fetch::Withdrawals { currency, since, limit }, Transactions)
    }

    /// Ledger entries of the account, oldest first.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_ledger(
        &mut self,
        venue: VenueId,
        currency: Option<&str>,
        since: Option<Wall>,
        limit: Option<u16>,
    ) -> Result<Vec<LedgerEntry>, Error> {
        let currency = code(currency)?;
        expect!(self, venue, Fetch::Ledger { currency, since, limit }, Ledger)
    }

    /// The open positions of the account.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_positions(&mut self, venue: VenueId) -> Result<Vec<Position>, Error> {
        expect!(self, venue, Fetch::Positions, Positions)
    }

    /// What trading costs this account, on one market or on all.
    ///
    /// # Errors
    /// As [`Engine::fetch`].
    pub fn fetch_trading_fees(&mut self, venue: VenueId, symbol: Option<&str>) -> Result<Vec<TradingFee>, Error> {
        let market = symbol.map(|symbol| self.market_id(venue, symbol)).transpose()?;
        expect!(self, venue, Fetch::TradingFees { market }, TradingFees)
    }

    fn market_id(&self, venue: VenueId, symbol: &str) -> Result<MarketId, Error> {
        let id = self.core.profile(venue).id;
        Ok(self.core.markets(venue).resolve(symbol).map_err(|error| error.at(id))?.id)
    }
}

fn code(currency: Option<&str>) -> Result<Option<Code>, Error> {
    let Some(currency) = currency else { return Ok(None) };
    let code = Code::new(currency.as_bytes()).filter(|code| !code.is_none());
    code.map(Some).ok_or_else(|| Error::new(ErrorKind::BadRequest, format!("{currency:?} is no code of a currency")))
}
