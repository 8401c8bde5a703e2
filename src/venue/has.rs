//! What each venue can do: the table behind `wirebook venues`, in the words of the unified API.

use super::{Ability, Channel, PrivateChannel, Profile};
use crate::model::Timeframe;

/// How a venue does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It pushes it, or has a request for it.
    Native,
    /// It is made of something else: asked for again and again, or one by one.
    Emulated,
    /// Not at all: [`ErrorKind::NotSupported`](crate::ErrorKind), before anything is sent.
    None,
}

impl Support {
    /// `native`, `emulated` or `none`.
    pub fn as_str(self) -> &'static str {
        match self {
            Support::Native => "native",
            Support::Emulated => "emulated",
            Support::None => "none",
        }
    }
}

/// What a venue can do, method by method. The same methods in the same order for each venue.
///
/// It is asked of the adapters themselves, so it says what they do and not what somebody wrote down about them.
pub fn capabilities(profile: &'static Profile) -> Vec<(&'static str, Support)> {
    let adapter = (profile.open)();
    let streams = |channel: Channel| {
        let mut topic = String::new();
        if adapter.topic(None, channel, &mut topic).is_ok() { Support::Native } else { Support::None }
    };
    let interval = profile.timeframes.first().copied().unwrap_or(Timeframe::M1);
    let mut rows = vec![
        ("watch_order_book", streams(Channel::Book)),
        ("watch_trades", streams(Channel::Trades)),
        ("watch_agg_trades", streams(Channel::AggTrades)),
        ("watch_ticker", streams(Channel::Ticker)),
        ("watch_tickers", streams(Channel::AllTickers)),
        ("watch_bids_asks", streams(Channel::BidAsk)),
        ("watch_ohlcv", streams(Channel::Candles(interval))),
        // What no stream tells is asked for.
        ("watch_status", Support::Emulated),
    ];
    let trading = profile.trading;
    let private = |channel: PrivateChannel| match trading {
        Some(trading) if trading.native.contains(&channel) => Support::Native,
        Some(trading) if trading.polled.iter().any(|row| row.0 == channel) => Support::Emulated,
        _ => Support::None,
    };
    rows.extend([
        ("watch_balance", private(PrivateChannel::Balance)),
        ("watch_orders", private(PrivateChannel::Orders)),
        ("watch_my_trades", private(PrivateChannel::MyTrades)),
        ("watch_positions", private(PrivateChannel::Positions)),
        ("watch_transactions", private(PrivateChannel::Transactions)),
        ("watch_ledger", private(PrivateChannel::Ledger)),
    ]);
    let able = |ability: Ability| trading.is_some_and(|trading| trading.abilities.contains(&ability));
    let native = |ability| if able(ability) { Support::Native } else { Support::None };
    let one_by_one = |ability| match (able(ability), able(Ability::CancelOrder)) {
        (true, _) => Support::Native,
        (false, true) => Support::Emulated,
        _ => Support::None,
    };
    rows.extend([
        ("create_order", native(Ability::CreateOrder)),
        ("create_order_ws", native(Ability::OrdersOnSocket)),
        ("create_market_order", native(Ability::MarketOrder)),
        ("create_market_order_with_cost", native(Ability::MarketOrderWithCost)),
        ("create_stop_order", native(Ability::StopOrder)),
        ("create_stop_limit_order", native(Ability::StopLimitOrder)),
        ("create_take_profit_order", native(Ability::TakeProfitOrder)),
        ("create_take_profit_limit_order", native(Ability::TakeProfitLimitOrder)),
        ("create_post_only_order", native(Ability::PostOnly)),
        ("create_reduce_only_order", native(Ability::ReduceOnly)),
        ("create_ioc_order", native(Ability::ImmediateOrCancel)),
        ("create_fok_order", native(Ability::FillOrKill)),
        ("client_order_id", native(Ability::ClientOrderId)),
        ("edit_order", native(Ability::EditOrder)),
        ("cancel_order", native(Ability::CancelOrder)),
        ("cancel_all_orders", one_by_one(Ability::CancelAllOrders)),
        ("cancel_all_orders_of_market", one_by_one(Ability::CancelAllOrdersOfMarket)),
        ("fetch_time", native(Ability::FetchTime)),
        ("fetch_status", native(Ability::FetchStatus)),
        ("fetch_markets", Support::Native),
        ("fetch_currencies", native(Ability::FetchCurrencies)),
        ("fetch_order_book", native(Ability::FetchOrderBook)),
        ("fetch_ticker", native(Ability::FetchTicker)),
        ("fetch_tickers", native(Ability::FetchTickers)),
        ("fetch_trades", native(Ability::FetchTrades)),
        ("fetch_ohlcv", native(Ability::FetchOhlcv)),
        ("fetch_balance", native(Ability::FetchBalance)),
        ("fetch_order", native(Ability::FetchOrder)),
        ("fetch_open_orders", native(Ability::FetchOpenOrders)),
        ("fetch_closed_orders", native(Ability::FetchClosedOrders)),
        ("fetch_my_trades", native(Ability::FetchMyTrades)),
        ("fetch_deposits", native(Ability::FetchDeposits)),
        ("fetch_withdrawals", native(Ability::FetchWithdrawals)),
        ("fetch_ledger", native(Ability::FetchLedger)),
        ("fetch_positions", native(Ability::FetchPositions)),
        ("fetch_trading_fees", native(Ability::FetchTradingFees)),
    ]);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::{BINANCE, BINANCEJE, COINBASEPRO};

    fn of(profile: &'static Profile, method: &str) -> Support {
        capabilities(profile).into_iter().find(|row| row.0 == method).unwrap().1
    }

    #[test]
    fn adapters_say_themselves_what_they_do() {
        assert_eq!(of(&BINANCE, "watch_agg_trades"), Support::Native);
        assert_eq!(of(&COINBASEPRO, "watch_ohlcv"), Support::None);
        assert_eq!(of(&BINANCE, "create_order_ws"), Support::Native);
        assert_eq!(of(&BINANCE, "cancel_all_orders"), Support::Emulated);
        assert_eq!(of(&BINANCE, "watch_transactions"), Support::Emulated);
        assert_eq!(of(&BINANCEJE, "create_order"), Support::None);
    }
}
