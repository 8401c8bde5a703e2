//! Events as JSON objects, with CCXT's names of the fields. Numbers are exact decimals in quotes; what a venue left out is
//! left out here too. Times are milliseconds since 1970.

use serde_json::{Map, Value, json};
use wirebook::decimal::Fixed;
use wirebook::model::{BidAsk, Candle, Ticker, Timeframe, Trade, Wall};

/// An object under construction, in which absent fields are left out.
pub(crate) struct Object(Map<String, Value>);

impl Object {
    /// An event of this type about this symbol.
    pub(crate) fn new(kind: &str, symbol: Option<&str>) -> Object {
        Object(Map::new()).with("type", kind).with("symbol", symbol)
    }

    /// Adds a field, unless it is null.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Object {
        let value = value.into();
        if !value.is_null() {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    /// Adds an exact number.
    pub(crate) fn number(self, name: &str, value: impl Into<Option<Fixed>>) -> Object {
        let text = value.into().map(|value| value.to_string());
        self.with(name, text)
    }

    /// Adds a time in milliseconds.
    pub(crate) fn time(self, name: &str, value: impl Into<Option<Wall>>) -> Object {
        let ms = value.into().map(Wall::ms);
        self.with(name, ms)
    }

    /// Adds levels as pairs of price and amount.
    pub(crate) fn levels(self, name: &str, levels: impl Iterator<Item = (Fixed, Fixed)>) -> Object {
        let rows: Vec<Value> = levels.map(|(price, amount)| json!([price.to_string(), amount.to_string()])).collect();
        self.with(name, rows)
    }

    /// The whole.
    pub(crate) fn end(self) -> Value {
        self.0.into()
    }
}

/// A trade; `kind` is `trade` or `aggtrade`.
pub(crate) fn trade(kind: &str, symbol: Option<&str>, trade: &Trade) -> Object {
    Object::new(kind, symbol)
        .with("id", trade.id.as_str())
        .time("timestamp", trade.venue_time)
        .with("side", trade.side.map(|side| side.as_str()))
        .number("price", trade.price)
        .number("amount", trade.amount)
}

/// A ticker.
pub(crate) fn ticker(symbol: Option<&str>, ticker: &Ticker) -> Object {
    Object::new("ticker", symbol)
        .time("timestamp", ticker.venue_time)
        .number("high", ticker.high)
        .number("low", ticker.low)
        .number("bid", ticker.bid)
        .number("bidVolume", ticker.bid_volume)
        .number("ask", ticker.ask)
        .number("askVolume", ticker.ask_volume)
        .number("vwap", ticker.vwap)
        .number("open", ticker.open)
        .number("close", ticker.last)
        .number("last", ticker.last)
        .number("previousClose", ticker.previous_close)
        .number("change", ticker.change)
        .number("percentage", ticker.percentage)
        .number("baseVolume", ticker.base_volume)
        .number("quoteVolume", ticker.quote_volume)
}

/// Best bid and ask.
pub(crate) fn bid_ask(symbol: Option<&str>, quote: &BidAsk) -> Object {
    Object::new("bidask", symbol)
        .time("timestamp", quote.venue_time)
        .with("nonce", quote.nonce)
        .number("bid", quote.bid)
        .number("bidVolume", quote.bid_volume)
        .number("ask", quote.ask)
        .number("askVolume", quote.ask_volume)
}

/// A candle; its timestamp is the start of the interval.
pub(crate) fn candle(symbol: Option<&str>, timeframe: Timeframe, candle: &Candle) -> Object {
    Object::new("candle", symbol)
        .with("timeframe", timeframe.as_str())
        .time("timestamp", candle.open_time)
        .number("open", candle.open)
        .number("high", candle.high)
        .number("low", candle.low)
        .number("close", candle.close)
        .number("volume", candle.volume)
        .number("quoteVolume", candle.quote_volume)
        .with("trades", candle.trades)
        .with("closed", candle.closed)
        .time("updated", candle.venue_time)
}
