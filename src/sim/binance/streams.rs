//! The streams of the loopback binance: what there is, and when it is told.

use super::super::hub::{ConnId, Hub, NewStream, Writing};
use super::super::market::{Candle, Event, Market, Side};
use super::frames::{self, Kline, ROLLING, TimeUnit};
use super::{Binance, INTERVALS, SECOND, SLOW, SPANS, interval};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Depth { slow: bool },
    Partial { levels: usize, slow: bool },
    Trade,
    AggTrade,
    BookTicker,
    Ticker,
    MiniTicker,
    Rolling(usize),
    AvgPrice,
    Kline(usize),
    AllMiniTickers,
    AllTickers,
    AllRolling(usize),
    AllBookTickers,
}

/// How a connection wants its events.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) unit: TimeUnit,
    /// Each event comes in an envelope with the name of its stream.
    pub(super) combined: bool,
}

impl View {
    pub(super) fn number(self) -> usize {
        usize::from(self.unit == TimeUnit::Micro) | usize::from(self.combined) << 1
    }

    pub(super) fn of(number: usize) -> View {
        let unit = if number & 1 == 1 { TimeUnit::Micro } else { TimeUnit::Milli };
        View { unit, combined: number & 2 == 2 }
    }
}

/// Added to the view of a connection of the WS-API.
pub(super) const API_VIEW: usize = 4;

/// The message before the end of a connection.
pub(super) fn put_shutdown_notice(now_ns: u64, _conn: ConnId, view: usize, out: &mut String) {
    let is_api = view & API_VIEW != 0;
    let view = View::of(view);
    if is_api {
        out.push_str("{\"event\":");
    }
    put_event(out, view, "!serverShutdown", |out| frames::server_shutdown(out, now_ns, view.unit));
    if is_api {
        out.push('}');
    }
}

fn put_event(out: &mut String, view: View, stream: &str, write: impl FnOnce(&mut String)) {
    if view.combined {
        out.push_str("{\"stream\":\"");
        out.push_str(stream);
        out.push_str("\",\"data\":");
    }
    write(out);
    if view.combined {
        out.push('}');
    }
}

fn publish(hub: &mut Hub, stream: usize, write: impl Fn(&Market, TimeUnit, &mut String)) {
    hub.publish(stream, |writing: Writing<'_>, out: &mut String| {
        let view = View::of(writing.view);
        put_event(out, view, writing.name, |out| write(writing.market, view.unit, out));
    });
}

impl Binance {
    /// A name without a stream is subscribed too, and stays silent.
    pub(super) fn subscribe(&mut self, hub: &mut Hub, conn: ConnId, name: &str) {
        let stream = self.stream(hub, name);
        hub.subscribe(conn, name, stream);
    }

    /// The stream of a name, if the venue has it.
    fn stream(&mut self, hub: &mut Hub, name: &str) -> Option<usize> {
        if let Some(known) = hub.stream_named(name) {
            return Some(known);
        }
        let (symbol, kind) = self.parse_stream(hub, name)?;
        let is_book = matches!(kind, Kind::Depth { .. } | Kind::Partial { .. });
        self.kinds.push(kind);
        Some(hub.add_stream(NewStream { name, symbol, is_book, has_checksum: false }))
    }

    fn parse_stream(&self, hub: &Hub, name: &str) -> Option<(usize, Kind)> {
        let variant = self.variant;
        let all = hub.market.len();
        let rolling = |window: &str| ROLLING[..variant.rolling].iter().position(|rolling| rolling.name == window);
        let kind = match name {
            "!miniTicker@arr" => Some(Kind::AllMiniTickers),
            "!ticker@arr" if variant.all_tickers => Some(Kind::AllTickers),
            "!bookTicker" if variant.all_book_tickers => Some(Kind::AllBookTickers),
            _ => name
                .strip_prefix("!ticker_")
                .and_then(|rest| rest.strip_suffix("@arr"))
                .and_then(rolling)
                .map(Kind::AllRolling),
        };
        if let Some(kind) = kind {
            return Some((all, kind));
        }
        let (symbol, topic) = name.split_once('@')?;
        let symbol = *self.lower.get(symbol)?;
        let (head, tail) = topic.split_once('@').map_or((topic, None), |(head, tail)| (head, Some(tail)));
        let slow = match tail {
            None | Some("1000ms") => Some(true),
            Some("100ms") => Some(false),
            _ => None,
        };
        let kind = match (head, tail) {
            ("depth", _) => Kind::Depth { slow: slow? },
            ("depth5", _) => Kind::Partial { levels: 5, slow: slow? },
            ("depth10", _) => Kind::Partial { levels: 10, slow: slow? },
            ("depth20", _) => Kind::Partial { levels: 20, slow: slow? },
            ("trade", None) => Kind::Trade,
            ("aggTrade", None) => Kind::AggTrade,
            ("bookTicker", None) => Kind::BookTicker,
            ("ticker", None) => Kind::Ticker,
            ("miniTicker", None) => Kind::MiniTicker,
            ("avgPrice", None) if variant.avg_price => Kind::AvgPrice,
            (head, tail) => match (head.strip_prefix("kline_"), head.strip_prefix("ticker_"), tail) {
                (Some(name), _, None) => Kind::Kline(interval(name, false, variant)?),
                (Some(name), _, Some("+08:00")) => Kind::Kline(interval(name, true, variant)?),
                (_, Some(window), None) => Kind::Rolling(rolling(window)?),
                _ => return None,
            },
        };
        Some((symbol, kind))
    }

    /// Sends what is told at once: trades and best prices.
    pub(super) fn tell(&mut self, hub: &mut Hub, event: Event) {
        let index = match event {
            Event::Trade(index, _) | Event::Agg(index, _) | Event::Top(index, _) => index,
        };
        for at in 0..hub.stream_count_of(index) {
            let stream = hub.stream_of(index, at);
            match (self.kinds[stream], event) {
                (Kind::Trade, Event::Trade(_, trade)) => {
                    let order_ids = self.variant.order_ids;
                    publish(hub, stream, |market, unit, out| {
                        frames::trade(out, market.symbol(index), &trade, order_ids, unit);
                    });
                }
                (Kind::AggTrade, Event::Agg(_, agg)) => {
                    publish(hub, stream, |market, unit, out| {
                        frames::agg_trade(out, market.symbol(index), &agg, unit);
                    });
                }
                (Kind::BookTicker, Event::Top(..)) => {
                    publish(hub, stream, |market, _, out| frames::book_ticker(out, market, index));
                }
                _ => {}
            }
        }
        if let Event::Top(..) = event {
            let all = hub.market.len();
            for at in 0..hub.stream_count_of(all) {
                let stream = hub.stream_of(all, at);
                if self.kinds[stream] == Kind::AllBookTickers {
                    publish(hub, stream, |market, _, out| frames::book_ticker(out, market, index));
                }
            }
        }
    }

    pub(super) fn tell_books(&mut self, hub: &mut Hub, index: usize, pace: usize) {
        let slow = pace == SLOW;
        let now_ns = hub.now_ns();
        let from = hub.told_id(index, pace);
        let mut gathered = false;
        for at in 0..hub.stream_count_of(index) {
            let stream = hub.stream_of(index, at);
            if !hub.is_wanted(stream) {
                continue;
            }
            match self.kinds[stream] {
                Kind::Depth { slow: its } if its == slow => {
                    let mut batch = std::mem::take(&mut self.batch);
                    if !gathered {
                        batch.gather(&hub.market, index, from);
                        gathered = true;
                    }
                    publish(hub, stream, |market, unit, out| {
                        frames::depth(out, market.symbol(index), unit.of_ns(now_ns), &batch);
                    });
                    self.batch = batch;
                }
                Kind::Partial { levels, slow: its } if its == slow => {
                    publish(hub, stream, |market, _, out| {
                        let side = |side| market.levels(index, side).take(levels);
                        let id = market.update_id(index);
                        frames::partial_depth(out, market.symbol(index), id, side(Side::Bid), side(Side::Ask));
                    });
                }
                _ => {}
            }
        }
    }

    pub(super) fn every_second(&mut self, hub: &mut Hub) {
        let now_ns = hub.now_ns();
        const DAY: u64 = 86_400_000;
        for stream in 0..hub.stream_count() {
            if !hub.is_wanted(stream) {
                continue;
            }
            let index = hub.stream(stream).symbol;
            match self.kinds[stream] {
                Kind::Ticker => {
                    let stats = hub.market.stats(index, DAY, now_ns);
                    let news = (hub.market.update_id(index), 0);
                    if hub.is_news(stream, news) {
                        publish(hub, stream, |market, unit, out| {
                            frames::ticker(out, market, index, &stats, now_ns, unit);
                        });
                    }
                }
                Kind::MiniTicker => {
                    let stats = hub.market.stats(index, DAY, now_ns);
                    let news = (hub.market.last_trade(index).id, 0);
                    if hub.is_news(stream, news) {
                        publish(hub, stream, |market, unit, out| {
                            frames::mini_ticker(out, market.symbol(index), &stats, now_ns, unit);
                        });
                    }
                }
                Kind::Rolling(window) => {
                    let rolling = &ROLLING[window];
                    let stats = hub.market.stats(index, rolling.window_ms, now_ns);
                    let news = (hub.market.last_trade(index).id, 0);
                    if hub.is_news(stream, news) {
                        publish(hub, stream, |market, unit, out| {
                            frames::rolling_ticker(out, market.symbol(index), rolling, &stats, now_ns, unit);
                        });
                    }
                }
                Kind::AvgPrice => {
                    let stats = hub.market.stats(index, 300_000, now_ns);
                    publish(hub, stream, |market, unit, out| {
                        frames::avg_price(out, market, index, &stats, now_ns, unit);
                    });
                }
                Kind::Kline(span) => self.publish_kline(hub, stream, index, span),
                Kind::AllMiniTickers | Kind::AllTickers | Kind::AllRolling(_) => self.publish_all(hub, stream),
                _ => {}
            }
        }
    }

    /// Tells a candle when it has closed, and the open one every other second if it is not as it was told.
    fn publish_kline(&mut self, hub: &mut Hub, stream: usize, index: usize, span: usize) {
        let now_ns = hub.now_ns();
        const CLOSED: u64 = u64::MAX;
        hub.market.roll(index, span, now_ns);
        let Some((current, closed)) = hub.market.candles(index, span) else { return };
        let current = *current;
        let told = hub.stream(stream).told;
        let ended = if span == 0 {
            // A candle of a second is told once, when it is over.
            closed.back().filter(|last| last.open_ms != told.0)
        } else {
            let at = closed.binary_search_by_key(&told.0, |candle| candle.open_ms).ok();
            at.filter(|_| told.1 != CLOSED).and_then(|at| closed.get(at))
        };
        if let Some(ended) = ended.copied() {
            hub.stream_mut(stream).told = (ended.open_ms, CLOSED);
            self.publish_candle(hub, stream, span, &ended, true);
        }
        let even_second = (now_ns / SECOND).is_multiple_of(2);
        if span > 0 && even_second && hub.is_news(stream, (current.open_ms, current.trades)) {
            self.publish_candle(hub, stream, span, &current, false);
        }
    }

    fn publish_candle(&mut self, hub: &mut Hub, stream: usize, span: usize, candle: &Candle, closed: bool) {
        let now_ns = hub.now_ns();
        let index = hub.stream(stream).symbol;
        let kline = Kline { candle, interval: INTERVALS[span], end_ms: SPANS[span].next_ms(candle.open_ms), closed };
        publish(hub, stream, |market, unit, out| {
            frames::kline(out, market.symbol(index), &kline, now_ns, unit);
        });
    }

    /// The array streams: one object for each symbol that changed since the last time.
    fn publish_all(&mut self, hub: &mut Hub, stream: usize) {
        let now_ns = hub.now_ns();
        let since = hub.stream(stream).told.1;
        hub.stream_mut(stream).told.1 = now_ns;
        let kind = self.kinds[stream];
        let mut changed = Vec::new();
        for index in 0..hub.market.len() {
            // The first message after a subscription tells all.
            if since == 0 || hub.market.last_trade(index).time_ns > since {
                let window_ms =
                    if let Kind::AllRolling(window) = kind { ROLLING[window].window_ms } else { 86_400_000 };
                changed.push((index, hub.market.stats(index, window_ms, now_ns)));
            }
        }
        if changed.is_empty() {
            return;
        }
        publish(hub, stream, |market, unit, out| {
            for (i, (index, stats)) in changed.iter().enumerate() {
                out.push(if i == 0 { '[' } else { ',' });
                match kind {
                    Kind::AllMiniTickers => frames::mini_ticker(out, market.symbol(*index), stats, now_ns, unit),
                    Kind::AllRolling(window) => {
                        frames::rolling_ticker(out, market.symbol(*index), &ROLLING[window], stats, now_ns, unit);
                    }
                    _ => frames::ticker(out, market, *index, stats, now_ns, unit),
                }
            }
            out.push(']');
        });
    }
}
