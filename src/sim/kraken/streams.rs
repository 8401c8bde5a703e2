//! The channels of the loopback Kraken: what there is, and when it is told.

use serde_json::{Value, json};

use super::super::hub::{ConnId, Hub, NewStream, Writing};
use super::super::market::{Event, Span};
use super::super::shown::{PushedOut, Shown};
use super::{Kraken, frames};

const DAY_MS: u64 = 86_400_000;
const MINUTE_MS: u64 = 60_000;
/// Weeks begin on Monday, and the epoch was a Thursday.
const WEEK_MS: u64 = 3 * DAY_MS;
/// Trades, and candles, of a snapshot.
const SNAPSHOT_ROWS: usize = 50;

/// Lengths of candles in minutes.
pub(super) static INTERVALS: [u64; 9] = [1, 5, 15, 30, 60, 240, 1_440, 10_080, 21_600];

pub(super) static SPANS: [Span; 9] = {
    let mut spans = [Span { len_ms: None, offset_ms: 0 }; 9];
    let mut at = 0;
    while at < spans.len() {
        let offset_ms = if INTERVALS[at] == 10_080 { WEEK_MS } else { 0 };
        spans[at] = Span { len_ms: Some(INTERVALS[at] * MINUTE_MS), offset_ms };
        at += 1;
    }
    spans
};

const DEPTHS: [u64; 5] = [10, 25, 100, 500, 1_000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Book,
    Trades,
    /// Told with each trade.
    Ticker,
    /// Told with each change of the best prices.
    TickerOfTop,
    Candle(usize),
    Instruments,
    /// Told by itself, or never.
    Silent,
}

/// A stream with what the acknowledgement tells of it, or what is wrong; for a symbol where the channel has symbols.
type Wanted = (Option<String>, Result<(usize, Value), &'static str>);

impl Kraken {
    /// The streams that the parameters of a subscription name.
    pub(super) fn wanted(&mut self, hub: &mut Hub, params: &Value) -> Vec<Wanted> {
        let channel = params.get("channel").and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str, default: u64| match params.get(name) {
            None => Some(default),
            Some(value) => value.as_u64(),
        };
        let mut about = json!({"channel": channel});
        let (kind, prefix) = match channel {
            "book" => match number("depth", 10).filter(|depth| DEPTHS.contains(depth)) {
                Some(depth) => {
                    about["depth"] = json!(depth);
                    (Kind::Book, format!("book-{depth}"))
                }
                None => return vec![(None, Err("Subscription depth not supported"))],
            },
            "trade" => (Kind::Trades, "trade".to_owned()),
            "ticker" => match params.get("event_trigger").and_then(Value::as_str).unwrap_or("trades") {
                "trades" => {
                    about["event_trigger"] = json!("trades");
                    (Kind::Ticker, "ticker".to_owned())
                }
                "bbo" => {
                    about["event_trigger"] = json!("bbo");
                    (Kind::TickerOfTop, "ticker-bbo".to_owned())
                }
                _ => return vec![(None, Err("EGeneral:Invalid arguments:event_trigger"))],
            },
            "ohlc" => {
                let interval = number("interval", 1);
                match INTERVALS.iter().position(|known| Some(*known) == interval) {
                    Some(at) => {
                        about["interval"] = json!(INTERVALS[at]);
                        (Kind::Candle(at), format!("ohlc-{}", INTERVALS[at]))
                    }
                    None => return vec![(None, Err("EGeneral:Invalid arguments:interval"))],
                }
            }
            "instrument" | "status" | "heartbeat" => {
                let kind = if channel == "instrument" { Kind::Instruments } else { Kind::Silent };
                let all = hub.market.len();
                let stream = self.named(hub, channel, all, kind, 0);
                return vec![(None, Ok((stream, about)))];
            }
            "executions" | "balances" | "level3" => return vec![(None, Err("ESession:Invalid session"))],
            _ => return vec![(None, Err("Subscription name invalid"))],
        };
        let Some(symbols) = params.get("symbol").and_then(Value::as_array).filter(|list| !list.is_empty()) else {
            return vec![(None, Err("EGeneral:Invalid arguments:symbol"))];
        };
        let depth = about.get("depth").and_then(Value::as_u64).unwrap_or_default() as usize;
        let mut wanted = Vec::with_capacity(symbols.len());
        for symbol in symbols {
            let name = symbol.as_str().unwrap_or_default();
            let found = hub.market.index(name).ok_or("Currency pair not supported").map(|index| {
                let mut about = about.clone();
                about["symbol"] = json!(name);
                (self.named(hub, &format!("{prefix}:{name}"), index, kind, depth), about)
            });
            wanted.push((Some(name.to_owned()), found));
        }
        wanted
    }

    fn named(&mut self, hub: &mut Hub, name: &str, symbol: usize, kind: Kind, depth: usize) -> usize {
        if let Some(known) = hub.stream_named(name) {
            return known;
        }
        self.kinds.push(kind);
        let told = |hub: &Hub| Shown::at(&hub.market, symbol, hub.told_id(symbol, 0), depth, hub.now_ns());
        self.shown.push((kind == Kind::Book).then(|| told(hub)));
        let is_book = kind == Kind::Book;
        hub.add_stream(NewStream { name, symbol, is_book, has_checksum: is_book })
    }

    /// What a subscription begins with.
    pub(super) fn tell_first(&mut self, hub: &mut Hub, conn: ConnId, stream: usize) {
        let index = hub.stream(stream).symbol;
        let now_ns = hub.now_ns();
        let mut text = String::new();
        match self.kinds[stream] {
            Kind::Book => {
                let Some(shown) = &self.shown[stream] else { return };
                frames::book_snapshot(&mut text, hub.market.symbol(index), shown);
            }
            Kind::Trades => {
                let trades = hub.market.trades(index);
                let skipped = trades.len().saturating_sub(SNAPSHOT_ROWS);
                frames::trades(&mut text, hub.market.symbol(index), "snapshot", trades.range(skipped..));
            }
            Kind::Ticker | Kind::TickerOfTop => {
                let stats = hub.market.stats(index, DAY_MS, now_ns);
                frames::ticker(&mut text, &hub.market, index, "snapshot", &stats, now_ns);
            }
            Kind::Candle(span) => {
                hub.market.roll(index, span, now_ns);
                let its = &SPANS[span];
                let newest_ms = its.open_ms(now_ns / 1_000_000);
                let opens = std::iter::successors(Some(newest_ms), |open_ms| Some(its.previous_ms(*open_ms)));
                let mut candles: Vec<_> =
                    opens.take(SNAPSHOT_ROWS).map(|open_ms| hub.market.candle_at(index, span, open_ms)).collect();
                candles.reverse();
                let symbol = hub.market.symbol(index);
                frames::candles(&mut text, symbol, "snapshot", INTERVALS[span], &candles, now_ns);
            }
            Kind::Instruments => frames::instruments(&mut text, &hub.market),
            Kind::Silent => return,
        }
        hub.send_text(conn, text);
    }

    /// Trades, and what follows from them; best prices.
    pub(super) fn tell(&mut self, hub: &mut Hub, event: Event) {
        let now_ns = hub.now_ns();
        let (Event::Trade(index, _) | Event::Agg(index, _) | Event::Top(index, _)) = event;
        for at in 0..hub.stream_count_of(index) {
            let stream = hub.stream_of(index, at);
            if !hub.is_wanted(stream) {
                continue;
            }
            match (self.kinds[stream], event) {
                // All that one order met comes together.
                (Kind::Trades, Event::Agg(_, agg)) => hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                    let trades = writing.market.trades(index);
                    let first = trades.partition_point(|trade| trade.id < agg.first);
                    let last = trades.partition_point(|trade| trade.id <= agg.last);
                    frames::trades(out, writing.market.symbol(index), "update", trades.range(first..last));
                }),
                (Kind::Ticker, Event::Agg(..)) | (Kind::TickerOfTop, Event::Top(..)) => {
                    let stats = hub.market.stats(index, DAY_MS, now_ns);
                    hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                        frames::ticker(out, writing.market, index, "update", &stats, now_ns);
                    });
                }
                (Kind::Candle(span), Event::Agg(..)) => {
                    hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                        let Some((current, _)) = writing.market.candles(index, span) else { return };
                        let symbol = writing.market.symbol(index);
                        frames::candles(out, symbol, "update", INTERVALS[span], &[*current], now_ns);
                    });
                }
                _ => {}
            }
        }
    }

    /// Books of a symbol that changed, of all depths.
    pub(super) fn tell_books(&mut self, hub: &mut Hub, index: usize) {
        let now_ns = hub.now_ns();
        for at in 0..hub.stream_count_of(index) {
            let stream = hub.stream_of(index, at);
            if let Some(shown) = &mut self.shown[stream]
                && shown.refresh(&hub.market, index, now_ns, PushedOut::Untold)
            {
                hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                    frames::book_update(out, writing, index, shown);
                });
            }
        }
    }
}
