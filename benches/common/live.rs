//! wirebook itself, as the engine runs it from a message on: route, adapter, sequence rule, book, and a look at the top.

use wirebook::book::Level;
use wirebook::engine::{Command, Config, Core, LinkId, Sink, VenueConfig};
use wirebook::model::{Event, Mono, Stamp, Update, Wall};
use wirebook::venue::Reply;

use super::frames::{Market, Stream};

/// A core with one feed that is live.
pub(crate) struct Live {
    core: Core,
    link: LinkId,
    now: Stamp,
    top: Look,
}

/// What the last event said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look(pub(crate) [i64; 4]);

impl Sink for Look {
    #[inline]
    fn update(&mut self, update: &Update<'_>) {
        match update.event {
            Event::Book { book, .. } => {
                let numbers = |level: Option<Level>| level.map_or([0, 0], |level| [level.price, level.qty]);
                let ([bid, bid_qty], [ask, ask_qty]) = (numbers(book.best_bid()), numbers(book.best_ask()));
                self.0 = [bid, bid_qty, ask, ask_qty];
            }
            Event::BidAsk(quote) => {
                self.0 = [quote.bid, quote.bid_volume, quote.ask, quote.ask_volume]
                    .map(|number| number.map_or(0, |number| number.mantissa()));
            }
            Event::Trades([.., trade]) => self.0 = [trade.price.mantissa(), trade.amount.mantissa(), 0, 0],
            _ => {}
        }
    }
}

impl Live {
    /// Brings a feed of this stream up to its first frame.
    pub(crate) fn open(stream: &Stream) -> Live {
        let market = &stream.market;
        let mut config = Config::default();
        config.seed = 1;
        let mut core = Core::new(config);
        let venue = core.add_venue(market.venue, VenueConfig::default()).expect("the venue is known");
        let now = Stamp { mono: Mono(1), wall: Wall(1_700_000_000_000_000_000) };
        core.read_markets(venue, &reply(&markets(market)), now).expect("the market list can be read");
        let depth = core.profile(venue).snapshot_depth(1_000).0.min(1_000);
        core.watch(venue, Some(&market.symbol()), stream.channel, Some(depth), now.mono).expect("it can be watched");
        core.on_tick(now, &mut Look::default());
        let mut up = None;
        while let Some(command) = core.next_command() {
            match command {
                Command::Connect { link, .. } => {
                    core.on_link_up(link, now, &mut Look::default());
                    core.confirm_all(link, now, &mut Look::default());
                    core.on_tick(now, &mut Look::default());
                    up = Some(link);
                }
                Command::Request { request, .. } => {
                    let body = rest_snapshot(stream);
                    core.on_reply(request, Ok(reply(&body)), now, &mut Look::default());
                }
                _ => {}
            }
        }
        let mut live = Live { core, link: up.expect("it connects"), now, top: Look::default() };
        // Some venues send the whole book in the stream.
        if let Some(snapshot) = &stream.snapshot {
            live.message(snapshot.as_bytes());
        }
        live
    }

    /// The way of one message through the engine.
    #[inline]
    pub(crate) fn message(&mut self, text: &[u8]) -> Look {
        self.now.mono.0 += 1_000;
        self.core.begin_cycle();
        self.core.on_message(self.link, text, self.now, None, &mut self.top);
        self.top
    }
}

/// An answer by REST.
pub(crate) fn reply(body: &str) -> Reply<'_> {
    Reply { status: 200, body: body.as_bytes(), weight_used: None, retry_after_s: None }
}

/// Binance `/api/v3/depth`.
fn rest_snapshot(stream: &Stream) -> String {
    let (price_scale, amount_scale) = (stream.market.price_scale, stream.market.amount_scale);
    let rows = |levels: &[(i64, i64)]| {
        let row = |&(price, qty): &(i64, i64)| {
            let (mut price_text, mut amount_text) = (String::new(), String::new());
            wirebook::decimal::write(price, price_scale, &mut price_text).expect("a string takes all");
            wirebook::decimal::write(qty, amount_scale, &mut amount_text).expect("a string takes all");
            format!(r#"["{price_text}","{amount_text}"]"#)
        };
        levels.iter().map(row).collect::<Vec<_>>().join(",")
    };
    format!(r#"{{"lastUpdateId":{},"bids":[{}],"asks":[{}]}}"#, stream.last, rows(&stream.bids), rows(&stream.asks))
}

/// The venue's list of markets, with this one in it.
pub(crate) fn markets(market: &Market) -> String {
    let (base, quote) = (market.base, market.quote);
    let [price_tick, amount_tick] = [market.price_scale, market.amount_scale].map(|scale| {
        let mut text = String::new();
        wirebook::decimal::write(1, scale, &mut text).expect("a string takes all");
        text
    });
    match market.venue {
        "binance" => format!(
            r#"{{"symbols":[{{"symbol":"{base}{quote}","status":"TRADING","baseAsset":"{base}","quoteAsset":"{quote}","filters":[{{"filterType":"PRICE_FILTER","tickSize":"{price_tick}"}},{{"filterType":"LOT_SIZE","stepSize":"{amount_tick}"}}]}}]}}"#
        ),
        "okex" => format!(
            r#"{{"code":"0","msg":"","data":[{{"instType":"SPOT","instId":"{base}-{quote}","baseCcy":"{base}","quoteCcy":"{quote}","tickSz":"{price_tick}","lotSz":"{amount_tick}","minSz":"{amount_tick}","state":"live"}}]}}"#
        ),
        "kraken" => format!(
            r#"{{"error":[],"result":{{"{base}{quote}":{{"altname":"{base}{quote}","wsname":"{base}/{quote}","base":"{base}","quote":"Z{quote}","pair_decimals":{},"lot_decimals":{},"status":"online"}}}}}}"#,
            market.price_scale, market.amount_scale
        ),
        "coinbasepro" => format!(
            r#"[{{"id":"{base}-{quote}","base_currency":"{base}","quote_currency":"{quote}","quote_increment":"{price_tick}","base_increment":"{amount_tick}","status":"online"}}]"#
        ),
        venue => panic!("the market list of {venue} is not written yet"),
    }
}
