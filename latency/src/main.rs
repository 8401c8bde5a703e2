//! Measures wirebook and its rivals from the wire to the book, over loopback, in pairs of processes that take turns.
//!
//! `wirebook-latency run` measures, `report` prints what a record holds, `list` names the contenders. `send` and
//! `receive` are the two sides of a pair; `run` starts them.

mod contender;
mod contenders;
mod load;
mod market;
mod pair;
mod proc;
mod receive;
mod send;
mod shared;
mod sys;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::contender::Waiting;
use crate::load::Load;

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
    /// Only these contenders.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// These loads.
    #[arg(long, value_delimiter = ',', default_value = "tls-10k")]
    loads: Vec<Load>,
    /// So many rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
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
        Action::List => {
            for entry in contenders::ALL {
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

fn find(name: &str) -> Result<&'static contenders::Entry, String> {
    let names = || contenders::ALL.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
    contenders::find(name).ok_or_else(|| format!("there is no contender {name}; there are {}", names()))
}

fn write_json(path: &std::path::Path, value: &impl serde::Serialize) -> Result<(), String> {
    let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(args: &RunArgs) -> Result<(), String> {
    let binary = std::env::current_exe().map_err(|error| error.to_string())?;
    let entries: Vec<_> = match args.only.is_empty() {
        true => contenders::ALL.iter().filter(|entry| !entry.only_by_name).collect(),
        false => args.only.iter().map(|name| find(name)).collect::<Result<_, _>>()?,
    };
    let scratch = pair::Scratch::new("run")?;
    for load in &args.loads {
        for round in 0..args.rounds {
            for entry in &entries {
                let setting = pair::Setting {
                    load: *load,
                    messages: load.messages_in(350),
                    waiting: entry.waiting,
                    seed: round as u64,
                    pin: true,
                    fifo: true,
                    wrapper: Vec::new(),
                    patience: 1,
                };
                match pair::run(&binary, entry, &setting, &scratch) {
                    Ok(mut outcome) => {
                        outcome.latencies_ns.sort_unstable();
                        let at = |q: f64| outcome.latencies_ns[((outcome.latencies_ns.len() - 1) as f64 * q) as usize];
                        println!(
                            "{load} {round} {:20} p50 {:6} p90 {:6} p99 {:7} max {:8}  alloc {:.2}  delay {} {}  late {}",
                            entry.name,
                            at(0.5),
                            at(0.9),
                            at(0.99),
                            at(1.0),
                            outcome.received.allocations as f64 / outcome.received.seen as f64,
                            outcome.received.run_delay_ns,
                            outcome.sent.run_delay_ns,
                            outcome.sent.late_ns_max
                        );
                    }
                    Err(error) => println!("{load} {round} {:20} {error}", entry.name),
                }
            }
        }
    }
    Ok(())
}
