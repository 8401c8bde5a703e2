//! What the commands share: arguments, failures, output, signals.
//!
//! Standard output carries the answer and nothing else; progress and warnings go to standard error. An error is one line
//! that begins with `wirebook:`. The exit code is 0 for success, 1 for a failure, 2 for misuse.

mod account;
mod decode;
mod demo;
mod doctor;
mod events;
mod log;
mod markets;
mod place;
mod recording;
mod replay;
mod sim;
mod table;
mod venues;
mod watch;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use wirebook::decimal::Fixed;
use wirebook::model::Timeframe;
use wirebook::sim::VenueKind;
use wirebook::sim::market::SYMBOLS_MAX;
use wirebook::venue::{self, Channel, PrivateChannel, Profile};

use place::Place;

/// Crypto-exchange traffic from the wire to a correct order book.
#[derive(Parser)]
#[command(
    name = "wirebook",
    version,
    disable_help_subcommand = true,
    after_help = "Answers go to standard output, progress and warnings to standard error.\n\
                  Exit code: 0 success, 1 failure, 2 misuse. `wirebook COMMAND --help` says more."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Watch(Watch),
    Markets(Markets),
    Venues(Venues),
    Account(Account),
    Order(OrderCommand),
    Replay(Replay),
    Decode(Decode),
    Sim(Sim),
    Demo(Demo),
    Doctor(Doctor),
}

/// Show events of a venue as they come: order books, trades, tickers, candles.
///
/// Connects, subscribes, follows the venue's rules and repairs what breaks; a book that is not whole says so and shows
/// nothing. Ends after --seconds or --count, or when it is stopped. Without symbols, `ticker` and `bidask` show all
/// markets where the venue has such a stream.
///
/// Example: wirebook watch binance BTC/USDT ETH/USDT --channel book,trades
#[derive(Args)]
pub(crate) struct Watch {
    /// The venue.
    #[arg(value_name = "VENUE", value_parser = profile)]
    venue: &'static Profile,
    /// Symbols, unified (BTC/USDT) or as the venue spells them (BTCUSDT).
    #[arg(value_name = "SYMBOL")]
    symbols: Vec<String>,
    /// What to watch: book, trades, aggtrades, ticker, bidask, candles:INTERVAL, status. Several with commas.
    #[arg(
        long = "channel",
        value_name = "CHANNEL",
        value_parser = channel,
        value_delimiter = ',',
        default_value = "book"
    )]
    channels: Vec<Channel>,
    /// Levels a side that the book has to have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    depth: Option<u16>,
    #[command(flatten)]
    place: Place,
    /// End after so many seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// End after so many events; changes of state do not count.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// List the markets of a venue: symbol, tick, step, limits.
#[derive(Args)]
pub(crate) struct Markets {
    /// The venue.
    #[arg(value_name = "VENUE", value_parser = profile)]
    venue: &'static Profile,
    /// Only markets with this in their name.
    filter: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
}

/// Show what each venue can do, method by method: native, emulated, or not at all.
#[derive(Args)]
pub(crate) struct Venues {
    /// Only these venues.
    #[arg(value_name = "VENUE", value_parser = profile)]
    venues: Vec<&'static Profile>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Show what an account holds and does, one JSON object a line.
///
/// Connects, logs in, brings the account up to date and shows it; with --follow or --seconds, also what changes from then
/// on. Credentials come from a file or the environment and are never printed.
///
/// Example: wirebook account okex --channel balance,orders --credentials keys.txt --live --follow
#[derive(Args)]
pub(crate) struct Account {
    /// The venue.
    #[arg(value_name = "VENUE", value_parser = profile)]
    venue: &'static Profile,
    /// What to show: balance, orders, mytrades, positions, transactions, ledger. Several with commas.
    #[arg(
        long = "channel",
        value_name = "CHANNEL",
        value_parser = account::private_channel,
        value_delimiter = ',',
        default_value = "balance"
    )]
    channels: Vec<PrivateChannel>,
    #[command(flatten)]
    access: account::Access,
    /// Go on until stopped.
    #[arg(long)]
    follow: bool,
    /// End after so many seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

/// Make, change, cancel and list orders.
///
/// Prices, amounts and limits are checked against the market before anything is sent. What becomes of the order is
/// printed, one JSON object a line; a refusal is an error.
///
/// Example: wirebook order okex --live buy BTC/USDT 0.01 --price 42000 --post-only
#[derive(Args)]
pub(crate) struct OrderCommand {
    /// The venue.
    #[arg(value_name = "VENUE", value_parser = profile)]
    venue: &'static Profile,
    #[command(flatten)]
    access: account::Access,
    /// Check everything, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Seconds to wait until it is settled.
    #[arg(long, value_name = "N", default_value_t = 10)]
    wait: u64,
    #[command(subcommand)]
    what: OrderWhat,
}

/// What to do with orders.
#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // One of them is made in the life of the process.
pub(crate) enum OrderWhat {
    /// Buy.
    Buy(account::NewArguments),
    /// Sell.
    Sell(account::NewArguments),
    /// Change price or amount of an order.
    Edit {
        /// The venue's id of the order, or ours.
        id: String,
        /// The new price.
        #[arg(long, value_name = "N")]
        price: Option<Fixed>,
        /// The new amount, what is filled included.
        #[arg(long, value_name = "N")]
        amount: Option<Fixed>,
    },
    /// Cancel an order.
    Cancel {
        /// The venue's id of the order, or ours.
        id: String,
    },
    /// Cancel all orders.
    CancelAll {
        /// Only those of this market.
        symbol: Option<String>,
    },
    /// List the open orders.
    List,
}

/// Play recordings through the adapter and the books, and say what came out.
///
/// A recording is a folder with one file for each connection, one JSON object a line: `ws.N.jsonl` a WebSocket,
/// `http.N.jsonl` the snapshots fetched beside it, `symbols.jsonl` the list of markets; each may be packed as `.gz`.
/// Every WebSocket connection is played on its own, from an empty state; recorded answers come at their recorded times.
#[derive(Args)]
pub(crate) struct Replay {
    /// The venue that was recorded.
    #[arg(long, value_name = "VENUE", value_parser = profile)]
    venue: &'static Profile,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// A folder, or the files of single connections; answers and markets beside a file are found by themselves.
    #[arg(required = true, value_name = "FOLDER|FILE")]
    paths: Vec<PathBuf>,
}

/// Decode single messages into unified events, one JSON object a line.
///
/// Reads standard input, one message a line: as the venue sent it, or a line of a recording. Numbers are exact decimals
/// in quotes. A line that cannot be decoded is named on standard error, and the exit code is 1 then.
#[derive(Args)]
pub(crate) struct Decode {
    /// The venue that sent the messages.
    #[arg(value_name = "VENUE", value_parser = profile)]
    venue: &'static Profile,
    /// For symmetry with other commands: the output is JSON in any case.
    #[arg(long)]
    json: bool,
}

/// Serve a loopback venue: the venue's own protocol on 127.0.0.1, behind it a random market.
///
/// Prints one line of JSON when it is ready: `rest` and `ws` are the base URLs to use in place of the venue's, `ca` is
/// the certificate authority to trust (PEM text, or the file of --ca-out). Serves until it is stopped.
#[derive(Args)]
pub(crate) struct Sim {
    /// The venue to be: binance, binanceus, binanceje, okex, kraken.
    #[arg(value_name = "VENUE")]
    venue: VenueKind,
    /// Plain TCP instead of TLS.
    #[arg(long)]
    plain: bool,
    /// The port; a free one by default.
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// Seed of everything random.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Book events a second, over all symbols that somebody has subscribed; by default the market's own pace.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Symbols.
    #[arg(long, value_name = "N", value_parser = symbols)]
    symbols: Option<usize>,
    /// A script of faults: one a line, such as `at 5s gap BTCUSDT` or `every 10s cut`.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Write the certificate authority to this file.
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
}

/// Watch books of a loopback venue at full speed, and check them against its truth.
///
/// Starts the venue in a thread of its own, watches all of its symbols over TLS in a loop that never sleeps, and shows
/// the tops of the books, rates and latencies. Books are compared with the venue's truth on the way and completely at
/// the end, in every level; the exit code is 0 only if all were right and live.
#[derive(Args)]
pub(crate) struct Demo {
    /// End after so many seconds.
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u64,
    /// Symbols.
    #[arg(long, value_name = "N", value_parser = symbols)]
    symbols: Option<usize>,
    /// Book events a second, over all symbols.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Seed of everything random.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Plain TCP instead of TLS.
    #[arg(long)]
    plain: bool,
    /// A script of faults: one a line, such as `at 5s gap BTCUSDT` or `every 10s cut`.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Print one JSON object at the end, and nothing before.
    #[arg(long)]
    json: bool,
}

/// Tell what this machine does to latency, and how to change it.
#[derive(Args)]
pub(crate) struct Doctor {
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
}

/// Runs the command that the arguments of the process name.
pub(crate) fn run() -> ExitCode {
    log::start();
    let outcome = match Arguments::try_parse() {
        Ok(arguments) => match arguments.command {
            Command::Watch(arguments) => watch::run(&arguments),
            Command::Markets(arguments) => markets::run(&arguments),
            Command::Venues(arguments) => venues::run(&arguments),
            Command::Account(arguments) => account::run(&arguments),
            Command::Order(arguments) => account::order(&arguments),
            Command::Replay(arguments) => replay::run(&arguments),
            Command::Decode(arguments) => decode::run(&arguments),
            Command::Sim(arguments) => sim::run(&arguments),
            Command::Demo(arguments) => demo::run(&arguments),
            Command::Doctor(arguments) => doctor::run(&arguments),
        },
        Err(error) => misuse(&error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message {
                say(message);
            }
            ExitCode::from(failure.code)
        }
    }
}

/// One line on standard error.
pub(crate) fn say(text: impl std::fmt::Display) {
    // There is nowhere left to complain to if this fails.
    let _ = writeln!(io::stderr(), "wirebook: {text}");
}

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: Option<String>,
}

impl Failure {
    /// It did not work out.
    pub(crate) fn failed(message: impl Into<String>) -> Failure {
        Failure { code: 1, message: Some(message.into()) }
    }

    /// The arguments make no sense.
    pub(crate) fn misuse(message: impl Into<String>) -> Failure {
        Failure { code: 2, message: Some(message.into()) }
    }
}

impl From<wirebook::Error> for Failure {
    fn from(error: wirebook::Error) -> Failure {
        Failure::failed(error.to_string())
    }
}

impl From<io::Error> for Failure {
    /// For writing to standard output: who closed it does not want to hear more.
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { code: 0, message: None },
            _ => Failure::failed(format!("cannot write to standard output: {error}")),
        }
    }
}

/// The venue behind an argument.
fn profile(id: &str) -> Result<&'static Profile, wirebook::Error> {
    venue::profile(id)
}

/// The channel behind an argument.
fn channel(text: &str) -> Result<Channel, String> {
    let (name, interval) = text.split_once(':').map_or((text, None), |(name, interval)| (name, Some(interval)));
    match (name, interval) {
        ("book", None) => Ok(Channel::Book),
        ("trades", None) => Ok(Channel::Trades),
        ("aggtrades", None) => Ok(Channel::AggTrades),
        ("ticker", None) => Ok(Channel::Ticker),
        ("bidask", None) => Ok(Channel::BidAsk),
        ("status", None) => Ok(Channel::Status),
        ("candles", interval) => {
            interval.unwrap_or("1m").parse::<Timeframe>().map(Channel::Candles).map_err(|error| error.to_string())
        }
        _ => Err("there are book, trades, aggtrades, ticker, bidask, candles:INTERVAL, status".to_owned()),
    }
}

/// A number of symbols of a loopback venue.
fn symbols(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=SYMBOLS_MAX).contains(&count) => Ok(count),
        _ => Err(format!("a number from 1 to {SYMBOLS_MAX}")),
    }
}

/// Puts what clap has to say into one line; help and version go to standard output.
fn misuse(error: &clap::Error) -> Result<(), Failure> {
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let mut out = io::stdout().lock();
            if colours(io::stdout().is_terminal()) {
                write!(out, "{}", text.ansi())?;
            } else {
                write!(out, "{text}")?;
            }
            out.flush()?;
            return Ok(());
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let commands: Vec<String> =
                Arguments::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
            let text = format!("name a command: {}; `wirebook --help` says more", commands.join(", "));
            return Err(Failure::misuse(text));
        }
        _ => {}
    }
    let text = text.to_string();
    let before_usage = text.lines().take_while(|line| !line.starts_with("Usage:"));
    let words: Vec<&str> = before_usage.flat_map(str::split_whitespace).collect();
    let line = words.join(" ");
    let line = line.split(" For more information, try").next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line).replace(" tip: ", "; ");
    Err(Failure::misuse(format!("{line}; `--help` says more")))
}

/// True if what stands on a terminal may be written over.
pub(crate) fn in_place(terminal: bool) -> bool {
    terminal && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// True if output to a place that is a terminal or not may be coloured.
pub(crate) fn colours(terminal: bool) -> bool {
    in_place(terminal) && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Set by Ctrl-C and SIGTERM: the command comes to its end with what there is so far. The second one ends at once.
pub(crate) struct Stop {
    flag: Arc<AtomicBool>,
}

impl Stop {
    /// Listens to signals from now on.
    pub(crate) fn listen() -> Stop {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The first signal finds the flag unset and only sets it. Where this cannot be had, the default stays.
            let _ = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&flag));
            let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
        }
        Stop { flag }
    }

    /// True once it was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

/// Says on standard error how far a long command has come: first after a second, then every second on a terminal, every
/// ten elsewhere.
pub(crate) struct Progress {
    next: Instant,
    terminal: bool,
    shown: bool,
}

impl Progress {
    /// Begins now.
    pub(crate) fn start() -> Progress {
        let terminal = in_place(io::stderr().is_terminal());
        Progress { next: Instant::now() + Duration::from_secs(1), terminal, shown: false }
    }

    /// Shows `text` if it is time.
    pub(crate) fn tell(&mut self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let text = text();
        // Whoever closed standard error does not want to know.
        let _ = match self.terminal {
            true => write!(io::stderr(), "\r\x1b[K{text}"),
            false => writeln!(io::stderr(), "{text}"),
        };
        self.shown = true;
        self.next = now + Duration::from_secs(if self.terminal { 1 } else { 10 });
    }

    /// Wipes what was shown.
    pub(crate) fn end(&mut self) {
        if self.terminal && self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        self.shown = false;
    }
}
