//! `wirebook doctor`: what this machine does to latency.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};
use wirebook::sys::doctor::{self, FindingState};

use super::table::Table;
use super::{Doctor, Failure, colours};

/// Runs the command.
pub(crate) fn run(arguments: &Doctor) -> Result<(), Failure> {
    let findings = doctor::inspect();
    let mut out = io::stdout().lock();
    if arguments.json {
        let rows = findings.iter().map(|finding| {
            json!({
                "name": finding.name,
                "state": word(finding.state),
                "found": finding.found,
                "advice": finding.advice,
            })
        });
        writeln!(out, "{}", Value::from_iter(rows))?;
        return Ok(());
    }
    let mut table = Table::new(&["STATE", "WHAT", "FOUND", "WHAT IT BUYS, AND HOW"]);
    for finding in &findings {
        // What is good needs no advice.
        let advice = if finding.state == FindingState::Good { "" } else { finding.advice };
        table.row([word(finding.state).to_owned(), finding.name.to_owned(), finding.found.clone(), advice.to_owned()]);
    }
    let mut text = Vec::new();
    table.write(&mut text)?;
    let colours = colours(io::stdout().is_terminal());
    for line in String::from_utf8_lossy(&text).lines() {
        match line.split_once(' ') {
            Some(("warn", rest)) if colours => writeln!(out, "\x1b[33mwarn\x1b[0m {rest}")?,
            Some(("good", rest)) if colours => writeln!(out, "\x1b[32mgood\x1b[0m {rest}")?,
            _ => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

fn word(state: FindingState) -> &'static str {
    match state {
        FindingState::Good => "good",
        FindingState::Warn => "warn",
        FindingState::Unknown => "unknown",
    }
}
