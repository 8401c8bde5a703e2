//! The channels of the loopback OKX: what there is, and when it is told.

use serde_json::Value;

use super::super::hub::{ConnId, Hub, NewStream, Writing};
use super::super::market::{Event, Side, Span};
use super::super::shown::{PushedOut, Shown};
use super::{BOOKS, Okex, Path, Refusal, SECOND, candle_span, frames, private, span, symbol};

/// Levels a side of `books`.
const DEPTH: usize = 400;
/// A book without a change for so long says that it is still there.
const IDLE_NS: u64 = 60 * SECOND;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Midnight of Hong Kong comes so much earlier.
const ZONE_MS: u64 = 8 * HOUR_MS;
/// Weeks begin on Monday, and the epoch was a Thursday.
const WEEK_MS: u64 = 3 * DAY_MS;

pub(super) static INTERVALS: [&str; 22] = [
    "1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H", "6H", "12H", "1D", "2D", "3D", "1W", "1M", "6Hutc", "12Hutc",
    "1Dutc", "2Dutc", "3Dutc", "1Wutc", "1Mutc",
];

pub(super) static SPANS: [Span; 22] = [
    candle_span(60_000, 0),
    candle_span(180_000, 0),
    candle_span(300_000, 0),
    candle_span(900_000, 0),
    candle_span(1_800_000, 0),
    candle_span(HOUR_MS, 0),
    candle_span(2 * HOUR_MS, 0),
    candle_span(4 * HOUR_MS, 0),
    candle_span(6 * HOUR_MS, ZONE_MS),
    candle_span(12 * HOUR_MS, ZONE_MS),
    candle_span(DAY_MS, ZONE_MS),
    candle_span(2 * DAY_MS, ZONE_MS),
    candle_span(3 * DAY_MS, ZONE_MS),
    candle_span(7 * DAY_MS, ZONE_MS + WEEK_MS),
    Span { len_ms: None, offset_ms: ZONE_MS },
    candle_span(6 * HOUR_MS, 0),
    candle_span(12 * HOUR_MS, 0),
    candle_span(DAY_MS, 0),
    candle_span(2 * DAY_MS, 0),
    candle_span(3 * DAY_MS, 0),
    candle_span(7 * DAY_MS, WEEK_MS),
    Span { len_ms: None, offset_ms: 0 },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Books,
    Books5,
    BestTick,
    Trades,
    AllTrades,
    Ticker,
    Candle(usize),
    /// Index in [`frames::INST_TYPES`].
    Instruments(usize),
    /// What exists and has no news.
    Silent,
    /// Balances; those of one currency if the name says so.
    Account,
    /// Orders of a kind of markets, an index in [`frames::INST_TYPES`], or of one market.
    Orders {
        inst_type: Option<usize>,
        symbol: Option<usize>,
    },
    /// There are never any.
    Positions,
    BalanceAndPosition,
}

impl Okex {
    /// The stream of an argument of a subscription.
    pub(super) fn stream(
        &mut self,
        hub: &mut Hub,
        path: Path,
        logged_in: bool,
        channel: &str,
        arg: &Value,
    ) -> Result<usize, Refusal> {
        let (kind, home) = match channel {
            "books" => (Kind::Books, Path::Public),
            "books5" => (Kind::Books5, Path::Public),
            "bbo-tbt" => (Kind::BestTick, Path::Public),
            "trades" => (Kind::Trades, Path::Public),
            "tickers" => (Kind::Ticker, Path::Public),
            "instruments" => (Kind::Instruments(0), Path::Public),
            "status" => (Kind::Silent, Path::Public),
            "trades-all" => (Kind::AllTrades, Path::Business),
            "books-l2-tbt" | "books50-l2-tbt" if path == Path::Public => {
                return Err(if logged_in { poor() } else { stranger() });
            }
            "account" | "orders" | "positions" | "balance_and_position" | "fills" if path == Path::Private => {
                if !logged_in {
                    return Err(stranger());
                }
                return self.private_stream(hub, channel, arg);
            }
            _ => match channel.strip_prefix("candle").and_then(span) {
                Some(span) => (Kind::Candle(span), Path::Business),
                None => return Err(unknown(channel, arg)),
            },
        };
        if home != path {
            return Err(unknown(channel, arg));
        }
        let all = hub.market.len();
        let (symbol, name) = match kind {
            Kind::Instruments(_) => {
                let inst_type = arg.get("instType").and_then(Value::as_str);
                let at = frames::INST_TYPES.iter().position(|known| Some(*known) == inst_type);
                let at = at.ok_or_else(|| unknown(channel, arg))?;
                return Ok(self.named(
                    hub,
                    &format!("{channel}:{}", frames::INST_TYPES[at]),
                    all,
                    Kind::Instruments(at),
                ));
            }
            Kind::Silent => (all, channel.to_owned()),
            _ => {
                let symbol = symbol(hub, arg).ok_or_else(|| unknown(channel, arg))?;
                (symbol, format!("{channel}:{}", hub.market.symbol(symbol).name))
            }
        };
        Ok(self.named(hub, &name, symbol, kind))
    }

    /// The stream of an argument of a subscription on the private path, by somebody who is logged in.
    fn private_stream(&mut self, hub: &mut Hub, channel: &str, arg: &Value) -> Result<usize, Refusal> {
        let part = |name: &str| arg.get(name).and_then(Value::as_str).filter(|value| !value.is_empty());
        let mut name = channel.to_owned();
        let kind = match channel {
            "account" => {
                if let Some(wanted) = part("ccy") {
                    let known = (0..hub.market.len()).map(|index| hub.market.symbol(index));
                    let mut known = known.flat_map(|symbol| [&symbol.base, &symbol.quote]);
                    known.find(|known| *known == wanted).ok_or_else(|| unknown(channel, arg))?;
                    name.push_str(&format!(":{wanted}"));
                }
                Kind::Account
            }
            "orders" | "positions" => {
                let inst_type = part("instType").ok_or_else(|| unknown(channel, arg))?;
                let at = frames::INST_TYPES.iter().position(|known| *known == inst_type);
                if at.is_none() && inst_type != "ANY" {
                    return Err(unknown(channel, arg));
                }
                name.push_str(&format!(":{inst_type}"));
                let symbol = match part("instId") {
                    None => None,
                    Some(inst_id) => {
                        name.push_str(&format!(":{inst_id}"));
                        Some(symbol(hub, arg).ok_or_else(|| unknown(channel, arg))?)
                    }
                };
                if channel == "orders" { Kind::Orders { inst_type: at, symbol } } else { Kind::Positions }
            }
            "balance_and_position" => Kind::BalanceAndPosition,
            _ => return Err(poor()),
        };
        let all = hub.market.len();
        Ok(self.named(hub, &name, all, kind))
    }

    fn named(&mut self, hub: &mut Hub, name: &str, symbol: usize, kind: Kind) -> usize {
        if let Some(known) = hub.stream_named(name) {
            return known;
        }
        self.kinds.push(kind);
        self.shown.push(match kind {
            Kind::Books => {
                let told = hub.told_id(symbol, BOOKS);
                Some(Shown::at(&hub.market, symbol, told, DEPTH, hub.now_ns()))
            }
            _ => None,
        });
        let is_book = matches!(kind, Kind::Books | Kind::Books5 | Kind::BestTick);
        hub.add_stream(NewStream { name, symbol, is_book, has_checksum: kind == Kind::Books })
    }

    /// What a subscription begins with.
    pub(super) fn tell_first(&mut self, hub: &mut Hub, conn: ConnId, stream: usize) {
        let index = hub.stream(stream).symbol;
        let now_ns = hub.now_ns();
        let mut text = String::new();
        match self.kinds[stream] {
            Kind::Books => {
                let Some(shown) = &self.shown[stream] else { return };
                frames::book_snapshot(&mut text, &hub.market, index, shown);
            }
            Kind::Books5 => frames::levels(&mut text, &hub.market, index, 5, now_ns),
            Kind::BestTick => frames::levels(&mut text, &hub.market, index, 1, now_ns),
            Kind::Trades => {
                let Some(last) = hub.market.agg_trades(index).back().copied() else { return };
                frames::trade(&mut text, &hub.market, index, &last);
            }
            Kind::AllTrades => frames::single_trade(&mut text, hub.market.symbol(index), hub.market.last_trade(index)),
            Kind::Ticker => {
                let stats = hub.market.stats(index, DAY_MS, now_ns);
                frames::ticker(&mut text, &hub.market, index, &stats, now_ns);
            }
            Kind::Candle(span) => {
                hub.market.roll(index, span, now_ns);
                let Some((current, _)) = hub.market.candles(index, span) else { return };
                frames::candle(&mut text, hub.market.symbol(index), INTERVALS[span], current, false);
            }
            Kind::Instruments(at) => frames::instruments(&mut text, &hub.market, frames::INST_TYPES[at]),
            Kind::Account => private::account(&mut text, hub, stream, "snapshot"),
            Kind::Positions => private::no_positions(&mut text, hub, stream),
            Kind::BalanceAndPosition => private::balance_and_position(&mut text, hub, "snapshot"),
            Kind::Silent | Kind::Orders { .. } => return,
        }
        hub.send_text(conn, text);
    }

    /// Trades.
    pub(super) fn tell(&mut self, hub: &mut Hub, event: Event) {
        let (Event::Trade(index, _) | Event::Agg(index, _) | Event::Top(index, _)) = event;
        for at in 0..hub.stream_count_of(index) {
            let stream = hub.stream_of(index, at);
            match (self.kinds[stream], event) {
                (Kind::Trades, Event::Agg(_, agg)) => hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                    frames::trade(out, writing.market, index, &agg);
                }),
                (Kind::AllTrades, Event::Trade(_, trade)) => {
                    hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                        frames::single_trade(out, writing.market.symbol(index), &trade);
                    });
                }
                _ => {}
            }
        }
    }

    /// Books of a symbol that changed, and its ticker.
    pub(super) fn tell_books(&mut self, hub: &mut Hub, index: usize, pace: usize) {
        let now_ns = hub.now_ns();
        for at in 0..hub.stream_count_of(index) {
            let stream = hub.stream_of(index, at);
            match self.kinds[stream] {
                Kind::Books if pace == BOOKS => {
                    let Some(shown) = &mut self.shown[stream] else { continue };
                    let before = shown.id;
                    if shown.refresh(&hub.market, index, now_ns, PushedOut::Deleted) {
                        hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                            frames::book_update(out, writing, index, shown, before);
                        });
                    }
                }
                Kind::Books5 if pace == BOOKS && hub.is_wanted(stream) && is_new_top(hub, stream, index, 5) => {
                    hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                        frames::levels(out, writing.market, index, 5, now_ns);
                    });
                }
                Kind::BestTick if pace != BOOKS && hub.is_wanted(stream) && is_new_top(hub, stream, index, 1) => {
                    hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                        frames::levels(out, writing.market, index, 1, now_ns);
                    });
                }
                Kind::Ticker if pace == BOOKS && hub.is_wanted(stream) && is_new_top(hub, stream, index, 1) => {
                    let stats = hub.market.stats(index, DAY_MS, now_ns);
                    hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                        frames::ticker(out, writing.market, index, &stats, now_ns);
                    });
                }
                _ => {}
            }
        }
    }

    /// Candles, and signs of life of quiet books.
    pub(super) fn every_second(&mut self, hub: &mut Hub) {
        let now_ns = hub.now_ns();
        for stream in 0..hub.stream_count() {
            let index = hub.stream(stream).symbol;
            match (self.kinds[stream], &mut self.shown[stream]) {
                (Kind::Candle(span), _) if hub.is_wanted(stream) => {
                    for (candle, closed) in hub.candle_news(stream, span).into_iter().flatten() {
                        hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                            let symbol = writing.market.symbol(index);
                            frames::candle(out, symbol, INTERVALS[span], &candle, closed);
                        });
                    }
                }
                (Kind::Books, Some(shown)) if now_ns >= shown.time_ns.saturating_add(IDLE_NS) => {
                    shown.time_ns = now_ns;
                    shown.bid_changes.clear();
                    shown.ask_changes.clear();
                    let id = shown.id;
                    hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
                        frames::book_update(out, writing, index, shown, id);
                    });
                }
                _ => {}
            }
        }
    }
}

/// Whether the best levels, or the last trade, are not what the stream last told.
fn is_new_top(hub: &mut Hub, stream: usize, index: usize, depth: usize) -> bool {
    let side = |side| hub.market.levels(index, side).take(depth);
    let print = |sum: u64, (price, qty): (i64, i64)| {
        (sum ^ price as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ qty as u64
    };
    let top = side(Side::Ask).fold(side(Side::Bid).fold(0, print), print);
    let last = hub.market.last_trade(index).id;
    hub.is_news(stream, (top, last))
}

/// Who has not logged in.
pub(super) fn stranger() -> Refusal {
    Refusal::new(60011, "Please log in")
}

/// Who does not trade enough for a channel.
fn poor() -> Refusal {
    Refusal::new(64003, "Your trading fee tier doesn't meet the requirement to access this channel")
}

fn unknown(channel: &str, arg: &Value) -> Refusal {
    let mut about = format!("channel:{channel}");
    for (key, value) in arg.as_object().into_iter().flatten().filter(|(key, _)| *key != "channel") {
        about.push_str(&format!(",{key}:{}", value.as_str().unwrap_or_default()));
    }
    let message = format!(
        "Wrong URL or {about} doesn't exist. Please use the correct URL, channel and parameters referring to API \
         document."
    );
    Refusal::new(60018, message)
}
