//! Whatever a venue sends: frames and REST answers, a line each, through the engine's core with every kind of feed. A
//! line that begins with `H` and a digit answers the oldest request with a status, one that begins with `C` cuts the
//! connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirebook::engine::{Command, Config, Core, LinkDown, LinkId, NoSink, RequestId, VenueConfig};
use wirebook::model::{Mono, Stamp, Timeframe, Wall};
use wirebook::venue::{Channel, Reply};
use wirebook::{Error, ErrorKind};

const MARKETS: &[u8] = br#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","stepSize":"0.00001000"}]}]}"#;

fuzz_target!(|data: &[u8]| {
    let mut config = Config::default();
    config.seed = 1;
    (config.trades_max, config.candles_max) = (8, 8);
    let mut core = Core::new(config);
    let Ok(venue) = core.add_venue("binance", VenueConfig::default()) else { return };
    let mut now = Stamp { mono: Mono(1), wall: Wall(1) };
    let markets = Reply { status: 200, body: MARKETS, weight_used: None, retry_after_s: None };
    assert!(core.read_markets(venue, &markets, now).is_ok());
    let channels = [
        Channel::Book,
        Channel::TopBook(5),
        Channel::Trades,
        Channel::AggTrades,
        Channel::Ticker,
        Channel::BidAsk,
        Channel::Candles(Timeframe::M1),
    ];
    let feeds = channels.map(|channel| core.watch(venue, Some("BTCUSDT"), channel, Some(5), now.mono));
    assert!(core.watch(venue, None, Channel::AllTickers, None, now.mono).is_ok());
    let Ok(book) = feeds[0] else { panic!("there is such a channel") };
    let mut world = (None::<LinkId>, Vec::<RequestId>::new());
    for line in data.split(|byte| *byte == b'\n') {
        now = Stamp { mono: now.mono.after_ms(100), wall: Wall(now.wall.0 + 100_000_000) };
        core.begin_cycle();
        core.on_tick(now, &mut NoSink);
        carry_out(&mut core, now, &mut world);
        let Some(link) = world.0 else { continue };
        match line {
            [b'H', status, body @ ..] if !world.1.is_empty() => {
                let status = [200, 200, 400, 403, 418, 429, 500, 503, 200, 200][usize::from(status % 10)];
                let reply = Reply { status, body, weight_used: Some(u32::from(status)), retry_after_s: Some(1) };
                core.on_reply(world.1.remove(0), Ok(reply), now, &mut NoSink);
            }
            [b'C', ..] => {
                let down = LinkDown { error: Error::new(ErrorKind::NetworkError, "cut"), retry_after_s: None };
                core.on_link_down(link, &down, now, &mut NoSink);
                world.0 = None;
            }
            frame => core.on_message(link, frame, now, None, &mut NoSink),
        }
        carry_out(&mut core, now, &mut world);
        if let Ok(book) = core.book(book)
            && !book.is_live()
        {
            assert!(book.best_bid().is_none() && book.asks().len() == 0);
        }
    }
});

fn carry_out(core: &mut Core, now: Stamp, world: &mut (Option<LinkId>, Vec<RequestId>)) {
    while let Some(command) = core.next_command() {
        match command {
            Command::Connect { link, .. } => {
                world.0 = Some(link);
                core.on_link_up(link, now, &mut NoSink);
                core.confirm_all(link, now, &mut NoSink);
            }
            Command::Close { .. } => world.0 = None,
            Command::Request { request, .. } => world.1.push(request),
            Command::Cancel { request } => world.1.retain(|other| *other != request),
            _ => {}
        }
    }
}
