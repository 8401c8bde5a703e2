//! `wirebook demo`: the engine against a loopback venue, with every number on the screen and every book checked.
//!
//! The venue runs in a thread of its own, the engine in the main thread without ever sleeping. A third thread compares
//! books with the venue's truth and draws, so that neither a slow terminal nor the venue's lock can hold up the engine.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crossterm::terminal::{Clear, ClearType, DisableLineWrap, EnableLineWrap};
use crossterm::{cursor, queue, terminal};
use serde_json::{Value, json};
use wirebook::book::{Book, Side};
use wirebook::decimal::Fixed;
use wirebook::engine::{Counters, Engine, EngineConfig, Handler, Outbox, VenueConfig};
use wirebook::metrics::{Report, Stage};
use wirebook::model::{Event, FeedId, Mono, Update};
use wirebook::net::tls::TlsRoots;
use wirebook::sim::VenueKind;
use wirebook::sim::market::{Side as TrueSide, Truth, fingerprint_level};
use wirebook::sim::server::{Server, ServerConfig};

use super::place::load_markets;
use super::{Demo, Failure, Progress, Stop, colours, in_place};

/// One book is checked this often, each in its turn.
const CHECK_NS: u64 = 5_000_000;
/// The screen is drawn this often; plain lines come every second.
const DRAW_NS: u64 = 100_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// At the end the books get so long to catch up with the venue.
const SETTLE_NS: u64 = 3 * SECOND_NS;
/// Jobs that wait for the third thread; what has no room is left out.
const JOBS_MAX: usize = 1_024;

/// Runs the command.
pub(crate) fn run(arguments: &Demo) -> Result<(), Failure> {
    let stop = Stop::listen();
    let rate = Some(arguments.rate);
    let config =
        super::sim::config(VenueKind::Binance, arguments.symbols, arguments.seed, rate, arguments.faults.as_deref())?;
    let mut server_config = ServerConfig::new(config);
    server_config.tls = !arguments.plain;
    // The engine spins, and a thread draws and checks. With a core left over the venue spins too: asleep it would send a
    // millisecond's events at once, and the latencies would be those of waiting behind each other.
    server_config.busy = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 2);
    let server = Arc::new(super::sim::start(server_config)?);
    let mut config = EngineConfig::default();
    if let Some(pem) = server.ca_pem() {
        let mut roots = TlsRoots::default();
        roots.extra.push(pem.as_bytes().to_vec());
        // Nobody else is to be believed here.
        roots.webpki = false;
        config.roots = roots;
    }
    let mut engine = Engine::new(config)?;
    let venue = engine.add_venue_with("binance", VenueConfig::at(server.ws_url(), server.rest_url()))?;
    load_markets(&mut engine, venue, &stop, None)?;

    let mut board = Board::default();
    let depth = depth_for(engine.markets(venue).len())?;
    let symbols: Vec<(String, String)> = engine
        .markets(venue)
        .iter()
        .map(|market| (market.symbol.to_string(), market.venue_symbol.to_string()))
        .collect();
    for (symbol, venue_symbol) in symbols {
        let feed = engine.watch_order_book(venue, &symbol, Some(depth))?;
        board.rows.insert(feed, board.books.len());
        board.books.push(Watched {
            feed,
            symbol: symbol.as_str().into(),
            venue_symbol: venue_symbol.as_str().into(),
            updates: 0,
            changed: false,
        });
        engine.watch_trades(venue, &symbol)?;
    }

    let side = SideThread::start(Arc::clone(&server), arguments.json);
    let start = engine.now().mono;
    let end = start.after_ns(arguments.seconds.saturating_mul(SECOND_NS));
    hot_loop(&mut engine, &mut board, &side, &stop, start, end)?;
    let ran_ns = engine.now().mono.since_ns(start);
    let report = engine.metrics().report();
    let verdicts = settle(&mut engine, &mut board, &server)?;
    let checks = side.end();
    let outcome = Outcome { ran_ns, report, verdicts, checked: checks.0, wrong: checks.1, counters: engine.counters() };
    drop(engine);
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", outcome.to_json())?;
    } else {
        outcome.write(&mut out)?;
    }
    outcome.judge()
}

/// The deepest snapshots for which the request weight of one minute suffices, with some to spare for repeats.
fn depth_for(symbols: usize) -> Result<u16, Failure> {
    match symbols {
        0..=100 => Ok(1_000),
        101..=200 => Ok(500),
        201..=1_000 => Ok(100),
        _ => Err(Failure::misuse("the venue's request weight serves at most 1000 symbols in a minute")),
    }
}

/// The loop that a trading program would have: poll, and look at what came.
fn hot_loop(
    engine: &mut Engine,
    board: &mut Board,
    side: &SideThread,
    stop: &Stop,
    start: Mono,
    end: Mono,
) -> Result<(), Failure> {
    let (mut check_at, mut draw_at, mut report_at) = (start, start.after_ns(DRAW_NS), start.after_ns(SECOND_NS));
    let (mut next_book, mut report, mut last) = (0, Report::default(), (start, 0, 0));
    let mut rates = (0, 0);
    loop {
        engine.poll_with(board)?;
        let now = engine.now().mono;
        if now >= check_at {
            check_at = now.after_ns(CHECK_NS);
            board.check_next(engine, &mut next_book, side);
        }
        if now >= draw_at {
            draw_at = now.after_ns(DRAW_NS);
            let second = now >= report_at;
            if second {
                report_at = report_at.after_ns(SECOND_NS).max(now);
                report = engine.metrics().report();
                let messages = engine.counters().messages;
                let passed_ns = now.since_ns(last.0).max(1);
                let per_second = |count: u64| count.saturating_mul(SECOND_NS) / passed_ns;
                rates = (per_second(messages.saturating_sub(last.1)), per_second(board.trades - last.2));
                last = (now, messages, board.trades);
            }
            side.draw(board.picture(engine, &report, rates, now.since_ns(start), second));
            if stop.is_asked() || side.is_unheard() || now >= end {
                return Ok(());
            }
        }
    }
}

/// What is watched, and what came.
#[derive(Default)]
struct Board {
    books: Vec<Watched>,
    rows: HashMap<FeedId, usize>,
    trades: u64,
}

struct Watched {
    feed: FeedId,
    symbol: Arc<str>,
    venue_symbol: Arc<str>,
    updates: u64,
    /// Since it was checked.
    changed: bool,
}

impl Handler for Board {
    fn on_update(&mut self, update: &Update<'_>, _: &mut Outbox) {
        match update.event {
            Event::Book { .. } => {
                if let Some(row) = self.rows.get(&update.feed).and_then(|at| self.books.get_mut(*at)) {
                    row.updates += 1;
                    row.changed = true;
                }
            }
            Event::Trades(trades) => self.trades += trades.len() as u64,
            _ => {}
        }
    }
}

impl Board {
    /// Sends the fingerprint of the next book that changed to be compared.
    fn check_next(&mut self, engine: &Engine, next: &mut usize, side: &SideThread) {
        for _ in 0..self.books.len() {
            *next = (*next + 1) % self.books.len();
            let row = &mut self.books[*next];
            if !row.changed {
                continue;
            }
            row.changed = false;
            let Ok(book) = engine.book(row.feed) else { continue };
            if let (true, Some(nonce)) = (book.is_live(), book.nonce()) {
                let known = book.last_known();
                let edges = (known.bids.edge(), known.asks.edge());
                side.check(Check { symbol: Arc::clone(&row.venue_symbol), nonce, ours: fingerprint(book), edges });
                return;
            }
        }
    }

    fn picture(&self, engine: &Engine, report: &Report, rates: (u64, u64), passed_ns: u64, second: bool) -> Picture {
        let rows = self.books.iter().filter_map(|row| {
            let book = engine.book(row.feed).ok()?;
            let pair = |level: Option<_>| level.map(|level| (book.price(level), book.amount(level)));
            Some(PictureRow {
                symbol: Arc::clone(&row.symbol),
                state: book.state().as_str(),
                bid: pair(book.best_bid()),
                ask: pair(book.best_ask()),
                updates: row.updates,
                nonce: book.nonce(),
            })
        });
        Picture {
            passed_ns,
            second,
            rows: rows.collect(),
            counters: engine.counters(),
            messages_per_s: rates.0,
            trades_per_s: rates.1,
            times: [Stage::Parsed, Stage::Book, Stage::User].map(|stage| times_of(report, stage)),
        }
    }
}

/// The sum over all levels that the venue computes too.
fn fingerprint(book: &Book) -> u64 {
    let bids = book.bids().map(|level| fingerprint_level(TrueSide::Bid, level.price, level.qty));
    let asks = book.asks().map(|level| fingerprint_level(TrueSide::Ask, level.price, level.qty));
    bids.chain(asks).fold(0, u64::wrapping_add)
}

/// Median, 99 % and maximum of a stage of book messages, in nanoseconds.
fn times_of(report: &Report, stage: Stage) -> Option<(&'static str, [u64; 3])> {
    let row = report.stages.iter().find(|row| row.stage == stage && row.channel == "book")?;
    Some((stage.name(), [row.p50_ns, row.p99_ns, row.max_ns]))
}

// --- The third thread -------------------------------------------------------------------------------------------------

enum Job {
    Check(Check),
    Draw(Box<Picture>),
}

/// A book at an update number.
struct Check {
    symbol: Arc<str>,
    nonce: u64,
    ours: u64,
    /// The worst price of each side up to which the book knows all levels; `None` if it knows all.
    edges: (Option<i64>, Option<i64>),
}

impl Check {
    /// What the fingerprint has to be, if the venue still remembers.
    fn truth(&self, server: &Server) -> Option<u64> {
        let whole = server.truth_at(&self.symbol, self.nonce);
        if let (Some(whole), (None, None)) = (whole, self.edges)
            && whole == self.ours
        {
            return Some(whole);
        }
        // Only up to an edge, or in the middle of one of the venue's events: rebuilt from its changes.
        let mut truth = server.truth_levels_at(&self.symbol, self.nonce)?;
        truth.bids.retain(|level| self.edges.0.is_none_or(|edge| level.0 >= edge));
        truth.asks.retain(|level| self.edges.1.is_none_or(|edge| level.0 <= edge));
        Some(truth.fingerprint())
    }
}

struct Picture {
    passed_ns: u64,
    /// A second has passed since the last one that had this set.
    second: bool,
    rows: Vec<PictureRow>,
    counters: Counters,
    messages_per_s: u64,
    trades_per_s: u64,
    times: [Option<(&'static str, [u64; 3])>; 3],
}

struct PictureRow {
    symbol: Arc<str>,
    state: &'static str,
    bid: Option<(Fixed, Fixed)>,
    ask: Option<(Fixed, Fixed)>,
    updates: u64,
    nonce: Option<u64>,
}

struct SideThread {
    jobs: SyncSender<Job>,
    shared: Arc<Shared>,
    thread: std::thread::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    checked: AtomicU64,
    wrong: AtomicU64,
    /// Nobody reads standard output any more.
    unheard: AtomicBool,
}

impl SideThread {
    fn start(server: Arc<Server>, silent: bool) -> SideThread {
        let (jobs, receiver) = sync_channel(JOBS_MAX);
        let shared = Arc::new(Shared::default());
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || work(&receiver, &server, &shared, silent)
        });
        SideThread { jobs, shared, thread }
    }

    fn check(&self, check: Check) {
        // Without room it goes unchecked: the engine does not wait.
        let _ = self.jobs.try_send(Job::Check(check));
    }

    fn draw(&self, picture: Picture) {
        // As above.
        let _ = self.jobs.try_send(Job::Draw(Box::new(picture)));
    }

    fn is_unheard(&self) -> bool {
        self.shared.unheard.load(Ordering::Relaxed)
    }

    /// Ends it; how many books were checked and how many of them were wrong.
    fn end(self) -> (u64, u64) {
        let SideThread { jobs, shared, thread } = self;
        drop(jobs);
        // If it panicked, what it counted is all there is.
        let _ = thread.join();
        (shared.checked.load(Ordering::Relaxed), shared.wrong.load(Ordering::Relaxed))
    }
}

fn work(jobs: &Receiver<Job>, server: &Server, shared: &Shared, silent: bool) {
    let (mut painter, mut progress) = (Painter::start(), Progress::start());
    for job in jobs {
        match job {
            Job::Check(check) => {
                let Some(truth) = check.truth(server) else { continue };
                shared.checked.fetch_add(1, Ordering::Relaxed);
                if truth != check.ours {
                    shared.wrong.fetch_add(1, Ordering::Relaxed);
                    super::say(format_args!("warning: {} is wrong at {}", check.symbol, check.nonce));
                }
            }
            Job::Draw(picture) => {
                let checks = (shared.checked.load(Ordering::Relaxed), shared.wrong.load(Ordering::Relaxed));
                if silent {
                    progress.tell(|| summary(&picture, checks));
                    continue;
                }
                if painter.draw(&picture, checks).is_err() {
                    shared.unheard.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    }
    progress.end();
    // Whoever closed the terminal does not miss its cursor.
    let _ = painter.end();
}

/// Draws on a terminal, again and again in the same place; elsewhere a line a second.
struct Painter {
    in_place: bool,
    colours: bool,
    lines: u16,
}

impl Painter {
    fn start() -> Painter {
        let terminal = io::stdout().is_terminal();
        Painter { in_place: in_place(terminal), colours: colours(terminal), lines: 0 }
    }

    fn draw(&mut self, picture: &Picture, checks: (u64, u64)) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if !self.in_place {
            if picture.second {
                writeln!(out, "{}", summary(picture, checks))?;
            }
            return out.flush();
        }
        // Some terminals do not tell their size.
        let height = terminal::size().map_or(0, |size| usize::from(size.1));
        let height = if height == 0 { 24 } else { height };
        let mut lines =
            vec![format!("{:<14} {:<8} {:>24}   {:<24} {:>9}  NONCE", "SYMBOL", "STATE", "BID", "ASK", "UPDATES")];
        for row in picture.rows.iter().take(height.saturating_sub(5).max(1)) {
            let side = |side: &Option<(Fixed, Fixed)>| {
                side.map_or_else(|| "-".to_owned(), |(price, amount)| format!("{price} x {amount}"))
            };
            // A book that is not live has no top; what it last knew would be a guess.
            let state = match (row.state, self.colours) {
                ("live", true) => format!("\x1b[32m{:<8}\x1b[0m", row.state),
                (_, true) => format!("\x1b[33m{:<8}\x1b[0m", row.state),
                (_, false) => format!("{:<8}", row.state),
            };
            let nonce = row.nonce.map_or_else(String::new, |nonce| format!("  {nonce}"));
            let (bid, ask) = (side(&row.bid), side(&row.ask));
            lines.push(format!("{:<14} {state} {bid:>24} | {ask:<24} {:>9}{nonce}", row.symbol, row.updates));
        }
        lines.push(String::new());
        lines.push(summary(picture, checks));
        if self.lines > 0 {
            queue!(out, cursor::MoveToPreviousLine(self.lines))?;
        } else {
            // A line that is cut is better than a picture that creeps down the screen.
            queue!(out, cursor::Hide, DisableLineWrap)?;
        }
        for line in &lines {
            queue!(out, Clear(ClearType::CurrentLine))?;
            writeln!(out, "{line}")?;
        }
        self.lines = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        out.flush()
    }

    fn end(&mut self) -> io::Result<()> {
        if self.in_place && self.lines > 0 {
            let mut out = io::stdout().lock();
            queue!(out, cursor::Show, EnableLineWrap)?;
            writeln!(out)?;
            out.flush()?;
        }
        Ok(())
    }
}

fn summary(picture: &Picture, (checked, wrong): (u64, u64)) -> String {
    let counters = &picture.counters;
    let mut text = format!(
        "{:>3} s  {}/{} live  {} messages/s  {} trades/s  {checked} checked, {wrong} wrong",
        picture.passed_ns / SECOND_NS,
        counters.books_live,
        counters.books,
        picture.messages_per_s,
        picture.trades_per_s
    );
    if counters.gaps + counters.reconnects > 0 {
        text.push_str(&format!("  {} gaps, {} reconnects", counters.gaps, counters.reconnects));
    }
    for (name, [p50, p99, _]) in picture.times.iter().flatten() {
        text.push_str(&format!("  {name} {} / {} us", micros(*p50), micros(*p99)));
    }
    text
}

fn micros(ns: u64) -> String {
    format!("{}.{:02}", ns / 1_000, ns % 1_000 / 10)
}

// --- The end ----------------------------------------------------------------------------------------------------------

/// A book at the end.
struct Verdict {
    symbol: Arc<str>,
    state: &'static str,
    nonce: Option<u64>,
    levels: usize,
    /// What is wrong with it.
    wrong: Option<String>,
}

struct Outcome {
    ran_ns: u64,
    report: Report,
    verdicts: Vec<Verdict>,
    checked: u64,
    wrong: u64,
    counters: Counters,
}

/// Lets all books catch up with where the venue is now, then compares each in every level that it knows.
fn settle(engine: &mut Engine, board: &mut Board, server: &Server) -> Result<Vec<Verdict>, Failure> {
    let due: Vec<u64> =
        board.books.iter().map(|row| server.truth(&row.venue_symbol).map_or(0, |truth| truth.update_id)).collect();
    let until = engine.now().mono.after_ns(SETTLE_NS);
    let caught_up = |engine: &Engine, board: &Board| {
        board.books.iter().zip(&due).all(|(row, due)| {
            engine.book(row.feed).is_ok_and(|book| book.is_live() && book.nonce().is_some_and(|nonce| nonce >= *due))
        })
    };
    while !caught_up(engine, board) && engine.now().mono < until {
        engine.poll_with(board)?;
    }
    let verdict = |(row, due): (&Watched, &u64)| {
        let symbol = Arc::clone(&row.symbol);
        let Ok(book) = engine.book(row.feed) else {
            return Verdict {
                symbol,
                state: "none",
                nonce: None,
                levels: 0,
                wrong: Some("there is no book".to_owned()),
            };
        };
        let truth = book.nonce().and_then(|nonce| server.truth_levels_at(&row.venue_symbol, nonce));
        let wrong = match truth {
            _ if !book.is_live() => Some(format!("{}: {}", book.state().as_str(), book.cause())),
            _ if book.nonce() < Some(*due) => Some(format!("the venue was at {due} when it ended")),
            None => Some("the venue does not remember this state".to_owned()),
            Some(truth) => differences(book, &truth),
        };
        let levels = book.bids().len() + book.asks().len();
        Verdict { symbol, state: book.state().as_str(), nonce: book.nonce(), levels, wrong }
    };
    Ok(board.books.iter().zip(&due).map(verdict).collect())
}

/// How a book differs from the truth in the levels that it knows, if it does.
fn differences(book: &Book, truth: &Truth) -> Option<String> {
    let known = book.last_known();
    let sides = [("bid", known.bids, &truth.bids), ("ask", known.asks, &truth.asks)];
    for (name, side, truth_side) in sides {
        let ours: Vec<(Fixed, Fixed)> = side.levels().map(|level| (book.price(level), book.amount(level))).collect();
        let exact = |(price, amount): &(i64, i64)| {
            (Fixed::new(*price, truth.price_scale), Fixed::new(*amount, truth.qty_scale))
        };
        let within = |level: &(Fixed, Fixed)| is_known(side, level.0, book.price_scale(), name == "bid");
        let theirs: Vec<(Fixed, Fixed)> = truth_side.iter().map(exact).filter(within).collect();
        if ours != theirs {
            let at = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
            let at = at.unwrap_or(ours.len().min(theirs.len()));
            let level = |list: &[(Fixed, Fixed)]| {
                list.get(at).map_or_else(|| "nothing".to_owned(), |(price, amount)| format!("{price} x {amount}"))
            };
            return Some(format!("{name} {}: {} instead of {}", at + 1, level(&ours), level(&theirs)));
        }
    }
    None
}

/// True if a price is not beyond what the side knows.
fn is_known(side: &Side, price: Fixed, scale: u8, bid: bool) -> bool {
    match side.edge() {
        None => true,
        Some(edge) if bid => price >= Fixed::new(edge, scale),
        Some(edge) => price <= Fixed::new(edge, scale),
    }
}

impl Outcome {
    fn right(&self) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.wrong.is_none()).count()
    }

    fn to_json(&self) -> Value {
        let books = self.verdicts.iter().map(|verdict| {
            json!({
                "symbol": &*verdict.symbol,
                "state": verdict.state,
                "nonce": verdict.nonce,
                "levels": verdict.levels,
                "right": verdict.wrong.is_none(),
                "wrong": verdict.wrong,
            })
        });
        // Written by ourselves, so it reads.
        let metrics: Value = serde_json::from_str(&self.report.to_json()).unwrap_or(Value::Null);
        json!({
            "ok": self.judge().is_ok(),
            "seconds": self.ran_ns as f64 / 1e9,
            "messages": self.counters.messages,
            "checked": self.checked,
            "wrong": self.wrong,
            "gaps": self.counters.gaps,
            "snapshots": self.counters.snapshots,
            "reconnects": self.counters.reconnects,
            "books": Value::from_iter(books),
            "metrics": metrics,
        })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let count = self.verdicts.len();
        let rate = self.counters.messages.saturating_mul(SECOND_NS) / self.ran_ns.max(1);
        writeln!(out)?;
        writeln!(out, "{} of {count} books are live and equal to the venue's in every level they know", self.right())?;
        writeln!(
            out,
            "{} messages, {rate} a second; {} book states checked on the way, {} wrong; {} gaps, {} snapshots, {} reconnects",
            self.counters.messages,
            self.checked,
            self.wrong,
            self.counters.gaps,
            self.counters.snapshots,
            self.counters.reconnects
        )?;
        writeln!(out, "\nTimes since the read that brought a message began:")?;
        write!(out, "{}", self.report)
    }

    fn judge(&self) -> Result<(), Failure> {
        let bad: Vec<String> = self
            .verdicts
            .iter()
            .filter_map(|verdict| Some(format!("{}: {}", verdict.symbol, verdict.wrong.as_ref()?)))
            .collect();
        match (bad.first(), self.wrong) {
            (Some(first), _) => {
                Err(Failure::failed(format!("{} of {} books are not right; {first}", bad.len(), self.verdicts.len())))
            }
            (None, 1..) => Err(Failure::failed(format!("{} book states were wrong on the way", self.wrong))),
            (None, 0) => Ok(()),
        }
    }
}
