//! The `tidemill` command.

use std::process::ExitCode;

use clap::Parser;
use tidemill::args::Args;
use tidemill::run::{self, Exit};

fn main() -> ExitCode {
    // `--help`, `--version` and wrong usage end in here, before a runtime or a session exists.
    let command = Args::parse().command().unwrap_or_else(|error| error.exit());
    run::command(command).unwrap_or_else(Exit::from).into()
}
