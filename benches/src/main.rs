//! `cargo run --release -p tidemill-benches -- wordcount --megabytes 100`

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidemill_benches::{
    Failure, checkpoints, engine, ingest, jobs, keys, latency, nexmark, passthrough, startup, windows, wordcount,
};

/// Benches of the whole program; each makes its data, runs tidemill as a child process, and checks what it answers.
#[derive(Parser)]
#[command(name = "tidemill-benches")]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// How many MB/s of text does a streaming word count take?
    Wordcount(wordcount::Wordcount),
    /// How many events/s go through when they are only decoded, filtered and projected?
    Passthrough(passthrough::Passthrough),
    /// How many events/s do the queries of Nexmark take?
    Nexmark(nexmark::Nexmark),
    /// What does a row cost in overlapping windows, and beside batch?
    Windows(windows::Windows),
    /// How do streams compare with batch engines at what both can do?
    Jobs(jobs::Jobs),
    /// How many rows/s does a GROUP BY with many keys take?
    Keys(keys::Keys),
    /// How long from a line on a socket to its count?
    Latency(latency::Latency),
    /// How many lines/s does a socket take, and what do paced and idle streams cost?
    Ingest(ingest::Ingest),
    /// What do checkpoints cost a GROUP BY with many keys?
    Checkpoints(checkpoints::Checkpoints),
    /// How long does the smallest query take, and how much memory?
    Startup(startup::Startup),
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().peekable();
    let program = arguments.next();
    if arguments.next_if(|argument| argument == engine::AS_ENGINE).is_some() {
        return engine::run(program.into_iter().chain(arguments));
    }
    let ran = match Args::parse().bench {
        Bench::Wordcount(bench) => bench.run(),
        Bench::Passthrough(bench) => bench.run(),
        Bench::Nexmark(bench) => bench.run(),
        Bench::Windows(bench) => bench.run(),
        Bench::Jobs(bench) => bench.run(),
        Bench::Keys(bench) => bench.run(),
        Bench::Latency(bench) => bench.run(),
        Bench::Ingest(bench) => bench.run(),
        Bench::Checkpoints(bench) => bench.run(),
        Bench::Startup(bench) => bench.run(),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    eprintln!("error: {failure}");
    ExitCode::FAILURE
}
