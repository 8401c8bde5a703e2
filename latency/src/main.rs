//! Measures wirebook and its rivals from the wire to the book, over loopback, in pairs of processes that take turns.
//!
//! `wirebook-latency run` measures, `report` prints what a record holds, `list` names the contenders. `send` and
//! `receive` are the two sides of a pair; `run` starts them.

mod contender;
mod contenders;
mod load;
mod market;
mod pair;
mod plot;
mod proc;
mod receive;
mod record;
mod report;
mod run;
mod send;
mod shared;
mod stats;
mod sys;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use wirebook::sys::thread::RealTimeGuard;

use crate::contender::Waiting;
use crate::contenders::{ALL, Entry, QUICK, REFERENCE};
use crate::load::Load;
use crate::record::Record;
use crate::report::Detail;
use crate::run::{Part, Plan};

/// Measures wirebook and its rivals from the wire to the book.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs contenders in turn, and reports.
    Run(RunArgs),
    /// Prints the tables of a record.
    Report(ReportArgs),
    /// Names the contenders.
    List,
    /// The sender of a pair.
    #[command(hide = true)]
    Send(SendArgs),
    /// The receiver of a pair.
    #[command(hide = true)]
    Receive(ReceiveArgs),
}

#[derive(Args)]
struct RunArgs {
    /// A small version that takes less than a minute.
    #[arg(long)]
    quick: bool,
    /// Only these contenders; the one that ratios are taken to comes along.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these loads, named like tls-10k, plain-burst, tls-10k-100x10 (100 books on 10 sockets).
    #[arg(long, value_delimiter = ',')]
    loads: Vec<Load>,
    /// Only these parts. All by default; latency alone where contenders or loads are named.
    #[arg(long, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Rounds: 9, or 3 with --quick.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// Traffic of a pair in a round, in milliseconds.
    #[arg(long, default_value_t = 350, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    round_ms: u64,
    /// Prints everything as JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Keeps a record: figures, histograms, pictures.
    #[arg(long)]
    record: bool,
    /// Where records are kept, by host and date.
    #[arg(long, default_value = "latency/records")]
    records: PathBuf,
    /// Leaves both sides at ordinary priority: for machines that allow no other. Tails mean nothing then.
    #[arg(long)]
    no_fifo: bool,
    /// Leaves both sides on whichever cores they get.
    #[arg(long)]
    no_pin: bool,
}

#[derive(Args)]
struct ReportArgs {
    /// A directory with a summary.json, or such a file.
    record: PathBuf,
    /// Puts the report between the lines `<!-- latency: begin -->` and `<!-- latency: end -->` of this file.
    #[arg(long)]
    into: Option<PathBuf>,
}

#[derive(Args)]
struct SideArgs {
    #[arg(long)]
    load: Load,
    #[arg(long)]
    messages: usize,
    #[arg(long)]
    shared: PathBuf,
    #[arg(long)]
    ca: PathBuf,
    /// Where to write what is to be said.
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    core: Option<usize>,
    #[arg(long)]
    fifo: bool,
}

#[derive(Args)]
struct SendArgs {
    #[command(flatten)]
    side: SideArgs,
    #[arg(long)]
    seed: u64,
}

#[derive(Args)]
struct ReceiveArgs {
    contender: String,
    #[command(flatten)]
    side: SideArgs,
    #[arg(long)]
    waiting: WaitingArg,
    #[arg(long)]
    latencies: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum WaitingArg {
    Spin,
    Sleep,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Action::Run(args) => run(&args),
        Action::Report(args) => report(&args),
        Action::List => {
            for entry in ALL {
                println!("{:24} {}", entry.name, entry.about);
            }
            Ok(())
        }
        Action::Send(args) => send(args),
        Action::Receive(args) => receive(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn send(args: SendArgs) -> Result<(), String> {
    let SideArgs { load, messages, shared, ca, out, core, fifo } = args.side;
    let order = send::Order { load, messages, seed: args.seed, core, fifo };
    let sent = send::run(&order, &shared, &ca)?;
    write_json(&out, &sent)
}

fn receive(args: ReceiveArgs) -> Result<(), String> {
    let SideArgs { load, messages, shared, ca, out, core, fifo } = args.side;
    let entry = find(&args.contender)?;
    let waiting = match args.waiting {
        WaitingArg::Spin => Waiting::Spin,
        WaitingArg::Sleep => Waiting::Sleep,
    };
    let order = receive::Order { load, messages, waiting, core, fifo, shared, ca, latencies: args.latencies };
    let received = receive::run(entry, &order)?;
    write_json(&out, &received)
}

fn find(name: &str) -> Result<&'static Entry, String> {
    let names = || ALL.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
    contenders::find(name).ok_or_else(|| format!("there is no contender {name}; there are {}", names()))
}

fn write_json(path: &std::path::Path, value: &impl serde::Serialize) -> Result<(), String> {
    let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(args: &RunArgs) -> Result<(), String> {
    let plan = plan(args)?;
    let command: Vec<String> = std::env::args().skip(1).collect();
    let (record, raw) = run::run(&plan, format!("wirebook-latency {}", command.join(" ")))?;
    let failed: Vec<String> = record
        .rows
        .iter()
        .filter_map(|row| Some(format!("{} {}: {}", row.load, row.contender, row.failure.as_ref()?)))
        .chain(record.notes.iter().filter(|note| note.starts_with("failed: ")).cloned())
        .collect();
    if args.record {
        let directory = record.write(&args.records, &raw)?;
        eprintln!("recorded in {}", directory.display());
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&record).map_err(|error| error.to_string())?);
    } else {
        print!("{}", report::markdown(&record, Detail::Full));
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// What the command line asks for, with what follows from it.
fn plan(args: &RunArgs) -> Result<Plan, String> {
    let mut entries: Vec<&Entry> = match args.only.is_empty() {
        true => {
            ALL.iter().filter(|entry| !entry.only_by_name && (!args.quick || QUICK.contains(&entry.name))).collect()
        }
        false => args.only.iter().map(|name| find(name)).collect::<Result<_, _>>()?,
    };
    if !entries.iter().any(|entry| entry.name == REFERENCE) {
        entries.insert(0, find(REFERENCE)?);
    }
    let named = |loads: &[&str]| loads.iter().map(|load| load.parse()).collect::<Result<Vec<Load>, String>>();
    let loads = match (args.loads.is_empty(), args.quick) {
        (false, _) => args.loads.clone(),
        (true, true) => named(QUICK_LOADS)?,
        (true, false) => named(LOADS)?,
    };
    let chosen = !args.only.is_empty() || !args.loads.is_empty();
    let parts = match (args.parts.is_empty(), args.quick, chosen) {
        (false, ..) => args.parts.clone(),
        (true, _, true) => vec![Part::Latency],
        (true, true, false) => vec![Part::Latency, Part::Orders],
        (true, false, false) => vec![Part::Latency, Part::Orders, Part::Growth, Part::Counts],
    };
    let pin = !args.no_pin;
    if pin && !(wirebook::sys::thread::cores().contains(&0) && wirebook::sys::thread::cores().contains(&1)) {
        return Err("cores 0 and 1 are needed for receiver and sender; --no-pin goes without".into());
    }
    if !args.no_fifo {
        // In a thread that ends at once, so that nothing of it stays.
        let allowed = std::thread::spawn(|| wirebook::sys::thread::real_time(1, RealTimeGuard::None)).join();
        if let Ok(Err(failure)) = allowed {
            return Err(format!("{failure}; or --no-fifo goes without, and tails mean nothing then"));
        }
    }
    let rounds = args.rounds.map_or(if args.quick { 3 } else { 9 }, usize::from);
    Ok(Plan { entries, loads, parts, rounds, round_ms: args.round_ms, pin, fifo: !args.no_fifo })
}

/// The loads of a full run, and of a quick one.
const LOADS: &[&str] = &[
    "tls-1k",
    "tls-10k",
    "tls-50k",
    "tls-burst",
    "plain-1k",
    "plain-10k",
    "plain-50k",
    "plain-burst",
    "tls-10k-10x10",
];
const QUICK_LOADS: &[&str] = &["tls-10k", "tls-burst"];

fn report(args: &ReportArgs) -> Result<(), String> {
    let record = Record::read(&args.record)?;
    match &args.into {
        Some(file) => {
            let directory = if args.record.is_dir() { Some(args.record.as_path()) } else { args.record.parent() };
            report::into_file(&record, directory.unwrap_or(&args.record), file)
        }
        None => {
            print!("{}", report::markdown(&record, Detail::Full));
            Ok(())
        }
    }
}
