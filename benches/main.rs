//! What wirebook costs, beside others that do the same: `cargo bench -p wirebook-benches -- [PART_OF_A_NAME..]`.
//!
//!     --list           names of cases, nothing else
//!     --rounds N       rounds of each case (default 21)
//!     --units N        units of work in a round, where fewer than usual are wanted
//!     --json           one JSON object a line instead of the table
//!     --test           one short round of everything: that it runs and all contenders agree
//!     --only CASE/CONTENDER --units N     exactly this much work of one contender, for callgrind
//!     --instructions [--update]           instruction counts; see `instructions`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod books;
mod checksums;
mod common;
mod decimals;
mod decode;
mod instructions;
mod json;
mod stack;
mod transport;

use common::{Case, measure, run_one};

const USAGE: &str =
    "usage: [PART_OF_A_NAME..] [--list] [--rounds N] [--units N] [--json] [--test] [--only CASE/CONTENDER]";

fn main() {
    let mut parts = Vec::new();
    let (mut rounds, mut units, mut json, mut list, mut only) = (21, None, false, false, None);
    let (mut count, mut update) = (false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().unwrap_or_default();
            text.parse::<usize>()
                .ok()
                .filter(|n| *n > 0)
                .unwrap_or_else(|| quit(&format!("{argument} takes a number above 0, not {text:?}")))
        };
        match argument.as_str() {
            "--rounds" => rounds = number(),
            "--units" => units = Some(number()),
            "--test" => (rounds, units) = (1, Some(50)),
            "--json" => json = true,
            "--list" => list = true,
            "--instructions" => count = true,
            "--update" => update = true,
            "--only" => only = arguments.next(),
            // Cargo's own.
            "--bench" => {}
            option if option.starts_with('-') => quit(&format!("unknown option {option}\n{USAGE}")),
            part => parts.push(part.to_owned()),
        }
    }
    if count {
        std::process::exit(i32::from(!instructions::run(update)));
    }
    let groups = [
        decode::cases(),
        stack::cases(),
        decimals::cases(),
        json::cases(),
        books::cases(),
        checksums::cases(),
        transport::cases(),
    ];
    let cases: Vec<Case> = groups.into_iter().flatten().collect();
    if let Some(only) = only {
        let Some((name, contender)) = only.rsplit_once('/') else { quit("--only takes CASE/CONTENDER") };
        let Some(case) = cases.iter().find(|case| case.name == name) else {
            quit(&format!("no case {name:?}; see --list"))
        };
        return run_one(case, contender, units.unwrap_or(case.units));
    }
    let wanted = |case: &&Case| parts.is_empty() || parts.iter().any(|part| case.name.contains(part.as_str()));
    if cases.iter().filter(wanted).count() == 0 {
        quit(&format!("no case's name contains any of {parts:?}; see --list"));
    }
    if !list && !json {
        println!(
            "{:44} {:>7} {:>9} {:>17} {:>7} {:>8} {:>9}",
            "", "bytes", "ns median", "quartiles", "ratio", "allocs", "bytes"
        );
    }
    for case in cases.iter().filter(wanted) {
        let units = units.unwrap_or(case.units).min(case.units);
        if list {
            println!("{}", case.name);
            continue;
        }
        for row in measure(case, rounds, units) {
            if json {
                println!("{}", serde_json::to_string(&row).expect("numbers and names"));
                continue;
            }
            println!(
                "{:44} {:7.0} {:9.1} {:>17} {:7.2} {:8.2} {:9.0}",
                format!("{}/{}", row.case, row.contender),
                row.bytes,
                row.ns[1],
                format!("{:.1} .. {:.1}", row.ns[0], row.ns[2]),
                row.ratio,
                row.allocations,
                row.bytes_allocated,
            );
        }
    }
}

fn quit(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(2);
}
