//! The command-line tool `wirebook`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
