//! What the commands share: arguments, failures, output, signals.
//!
//! Standard output carries the answer and nothing else; progress and warnings go to standard error. An error is one line
//! that begins with `wirebook:`. The exit code is 0 for success, 1 for a failure, 2 for misuse.

mod log;
mod recording;
mod replay;
mod table;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use wirebook::venue::{self, Profile};

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
    Replay(Replay),
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

/// Runs the command that the arguments of the process name.
pub(crate) fn run() -> ExitCode {
    log::start();
    let outcome = match Arguments::try_parse() {
        Ok(arguments) => match arguments.command {
            Command::Replay(arguments) => replay::run(&arguments),
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

/// True if output to a place that is a terminal or not may be coloured.
pub(crate) fn colours(terminal: bool) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    terminal && !refused && !dumb
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
        let terminal = colours(io::stderr().is_terminal());
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
